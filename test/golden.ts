/** Recorded inputs and outputs that ship with the demo. */
import { readFileSync } from 'node:fs';
import { memorySource } from '../src/bytes/byte-source.js';
import { readNpz } from '../src/containers/npy.js';
import { toFloat32Array } from '../src/model/cast.js';
import { tensorBytes } from '../src/model/tensor.js';
import type { Run } from './run-onnx.js';

export async function readGolden(path: string): Promise<{ input: Run; output: Run }> {
  const arrays = await readNpz(memorySource(new Uint8Array(readFileSync(path)), path));
  const load = async (name: string): Promise<Run> => {
    const tensor = arrays.get(name)!;
    return { shape: tensor.shape, data: toFloat32Array(await tensorBytes(tensor), tensor.dtype) };
  };
  return { input: await load('input'), output: await load('output') };
}

/** All arrays of a golden file, by name. */
export function readGoldenArrays(path: string): ReturnType<typeof readNpz> {
  return readNpz(memorySource(new Uint8Array(readFileSync(path)), path));
}
