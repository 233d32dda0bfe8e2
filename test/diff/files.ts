/** Files to compare, made here: safetensors of given tensors, ONNX files of given layer maps. */
import { memorySink } from '../../src/bytes/byte-sink.js';
import { type FileSet, memoryFileSet } from '../../src/bytes/file-set.js';
import { diffFiles } from '../../src/diff/diff.js';
import type { DiffDocument, TensorDiff } from '../../src/diff/document.js';
import type { LayerMap } from '../../src/model/layer-map.js';
import { constantTensor, type Tensor } from '../../src/model/tensor.js';
import { writers } from '../../src/writers/index.js';
import type { WeightsWriter } from '../../src/writers/writer.js';
import { written } from '../verify/small-files.js';

const ORIGIN = { file: 'made here' };

/** Values that are all different, from -1 to 1, seeded by the name. */
export function random(name: string, shape: readonly number[]): Tensor {
  let state = [...name].reduce((sum, letter) => Math.imul(sum, 31) + letter.charCodeAt(0), 17) >>> 0;
  const next = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 31 - 1;
  };
  return floats(name, shape, Array.from({ length: shape.reduce((a, b) => a * b, 1) }, next));
}

export function floats(name: string, shape: readonly number[], values: readonly number[]): Tensor {
  return constantTensor(name, 'float32', shape, new Uint8Array(Float32Array.from(values).buffer), ORIGIN);
}

/** The same tensor, in place of its values what `change` makes of them. */
export async function changed(tensor: Tensor, change: (value: number, index: number) => number): Promise<Tensor> {
  return floats(tensor.name, tensor.shape, [...(await valuesOf(tensor))].map(change));
}

export async function valuesOf(tensor: Tensor): Promise<Float32Array> {
  const { tensorBytes } = await import('../../src/model/tensor.js');
  return new Float32Array((await tensorBytes(tensor)).slice().buffer);
}

export async function safetensors(...tensors: readonly Tensor[]): Promise<FileSet> {
  const writer = writers.find(({ name }) => name === 'safetensors') as WeightsWriter;
  const sink = memorySink();
  await writer.write(tensors, sink, 'w.safetensors', { dtype: 'source', layout: 'source', metadata: async () => ({}) });
  await sink.commit();
  return memoryFileSet(Object.fromEntries(sink.files), 'w.safetensors');
}

export async function onnx(map: LayerMap): Promise<FileSet> {
  return memoryFileSet(await written(map), 'net.onnx');
}

/** A map with one weight in the place of another. */
export function withWeight(map: LayerMap, layer: string, role: string, change: (tensor: Tensor) => Tensor): LayerMap {
  const layers = map.layers.map((one) => (one.name === layer ? { ...one, weights: { ...one.weights, [role]: change(one.weights[role]!) } } : one));
  return { ...map, layers };
}

export async function diffOf(a: FileSet, b: FileSet): Promise<DiffDocument> {
  return diffFiles(a, b, { histograms: true });
}

export function tensorOf({ tensors }: DiffDocument, layer: string, role?: string): TensorDiff {
  return tensors.find((tensor) => tensor.layer === layer && (role === undefined || tensor.role === role))!;
}

export const texts = ({ changes }: TensorDiff) => changes.map(({ text }) => text);
