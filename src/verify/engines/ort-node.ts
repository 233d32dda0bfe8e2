/** ONNX Runtime's native build, for the engines that compute with it. */
import { fromCompanion } from './companion.js';
import type { Ort } from './ort.js';

export async function loadOrtNode(): Promise<Ort> {
  try {
    return (await import('onnxruntime-node')) as unknown as Ort;
  } catch (error) {
    return fromCompanion(error, 'onnxruntime-node');
  }
}
