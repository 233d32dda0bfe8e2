/** Converts a Keras model made in a test, and predicts with what was written. */
import { memoryFileSet } from '../src/bytes/file-set.js';
import { isModelError, type ModelError } from '../src/errors.js';
import type { LayerMap } from '../src/model/layer-map.js';
import { type LayerSpec, legacyH5, noise, sequential, type Weight } from './keras-files.js';
import { convertInMemory, type Run, runOnnx } from './run-onnx.js';

export interface Prediction {
  readonly results: ReadonlyMap<string, Run>;
  readonly warnings: string;
  readonly map: LayerMap;
}

export async function predictFile(name: string, bytes: Uint8Array, inputs: readonly Run[]): Promise<Prediction> {
  const { bytes: onnx, result } = await convertInMemory(memoryFileSet({ [name]: bytes }, name));
  return { results: await runOnnx(onnx, inputs), warnings: result.warnings.map(({ message }) => message).join('\n'), map: result.map! };
}

export interface SequenceOptions {
  readonly version?: string;
  /** Of the layers' groups ('conv2d'), without the layer's name: { conv2d: { 'kernel:0': ... } }. */
  readonly weights?: Readonly<Record<string, Readonly<Record<string, Weight>>>>;
  readonly dtype?: string;
  readonly backend?: string;
}

/** What a Sequential of these layers predicts for the input. */
export async function predictSequence(
  input: Run,
  layers: readonly LayerSpec[],
  { version = '2.13.1', weights = {}, dtype, backend = 'tensorflow' }: SequenceOptions = {},
): Promise<Run> {
  const config = sequential([null, ...input.shape.slice(1)], layers, dtype);
  const named = Object.fromEntries(
    Object.entries(weights).map(([layer, own]) => [layer, Object.fromEntries(Object.entries(own).map(([role, weight]) => [`${layer}/${role}`, weight]))]),
  );
  const bytes = await legacyH5(config, named, { keras_version: version, backend });
  const { results } = await predictFile('model.h5', bytes, [input]);
  return [...results.values()][0]!;
}

/** The error of a conversion; fails where there is none. */
export async function conversionError(work: Promise<unknown>): Promise<ModelError> {
  const outcome = await work.then(
    () => 'it was converted',
    (error: unknown) => error,
  );
  if (isModelError(outcome)) return outcome;
  throw outcome instanceof Error ? outcome : new Error(String(outcome));
}

/** Seeded numbers of a shape. */
export function random(shape: readonly number[], seed = 3, scale = 1.5): Run {
  return {
    shape,
    data: noise(
      shape.reduce((a, b) => a * b, 1),
      seed,
      scale,
    ),
  };
}

/** An array from a function of its index. */
export function arrayOf(shape: readonly number[], at: (...index: number[]) => number): Run {
  const count = shape.reduce((a, b) => a * b, 1);
  const data = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    let rest = i;
    const index = shape.map(() => 0);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      index[axis] = rest % shape[axis]!;
      rest = Math.floor(rest / shape[axis]!);
    }
    data[i] = at(...index);
  }
  return { shape, data };
}

/** The element of an array at an index. */
export function at({ shape, data }: Pick<Run, 'shape'> & { readonly data: ArrayLike<number> }, ...index: readonly number[]): number {
  return data[index.reduce((offset, i, axis) => offset * shape[axis]! + i, 0)]!;
}

/** Largest difference of two arrays; infinite where their shapes differ. */
export function difference(a: Run, b: Run): number {
  if (`${a.shape}` !== `${b.shape}`) throw new Error(`the shape is [${a.shape}], expected [${b.shape}]`);
  let worst = 0;
  for (let i = 0; i < a.data.length; i++) {
    const distance = Math.abs(a.data[i]! - b.data[i]!);
    if (!(distance <= worst)) worst = distance;
  }
  return worst;
}
