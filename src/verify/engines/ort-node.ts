/** ONNX Runtime's native build, for the engines that compute with it. */
import { fromCompanion } from './companion.js';
import type { Ort } from './ort.js';

export async function loadOrtNode(): Promise<Ort> {
  // Its builds of version 1.30 for Linux and macOS hold a client of Microsoft's telemetry, which keeps records of runs and a number for the machine in the
  // user's cache, to be sent, and leaves a log in the temporary folder. The library looks at this when it is loaded; who says otherwise is heeded.
  process.env.ORT_DISABLE_TELEMETRY ||= '1';
  try {
    return (await import('onnxruntime-node')) as unknown as Ort;
  } catch (error) {
    return fromCompanion(error, 'onnxruntime-node');
  }
}
