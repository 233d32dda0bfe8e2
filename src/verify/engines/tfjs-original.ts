/**
 * The original Keras file for TensorFlow.js: its configuration and weights, opened with h5wasm, the HDF Group's own library, so that a
 * mistake of our HDF5 reader shows too.
 */
import { ModelError } from '../../errors.js';
import type { EngineModel } from '../engine.js';

export interface WeightSpec {
  readonly name: string;
  readonly shape: number[];
  readonly dtype: 'float32';
}

/** Configuration and weights of the original file, through h5wasm. */
export async function readOriginal({ files, path }: EngineModel): Promise<{ config: string; specs: WeightSpec[]; data: ArrayBuffer }> {
  const h5wasm = typeof process !== 'undefined' && path !== undefined ? await import('h5wasm/node') : await import('h5wasm');
  const { FS } = await h5wasm.ready;
  let name = path;
  if (name === undefined) {
    const source = await files.open(files.main!);
    name = 'model.h5';
    FS.writeFile(name, await source.read(0, source.byteLength));
  }
  const file = new h5wasm.File(name, 'r');
  try {
    const config = file.attrs.model_config?.value;
    if (typeof config !== 'string') throw new ModelError('engine', 'the file holds weights without a configuration');
    if (file.attrs.backend?.value === 'theano')
      throw new ModelError('engine', 'the file was saved under Theano, whose convolutions TensorFlow.js does not compute');
    const holder = file.get('model_weights') as InstanceType<typeof h5wasm.Group>;
    const weights: { spec: WeightSpec; values: Float32Array }[] = [];
    for (const layer of namesOf(holder, 'layer_names')) {
      const group = holder.get(layer) as InstanceType<typeof h5wasm.Group>;
      for (const weight of namesOf(group, 'weight_names')) {
        const dataset = group.get(weight) as InstanceType<typeof h5wasm.Dataset>;
        const last = weight.replace(/:\d+$/, '').split('/').at(-1);
        weights.push({
          spec: { name: `${layer}/${last}`, shape: dataset.shape as number[], dtype: 'float32' },
          values: Float32Array.from(dataset.value as Float32Array),
        });
      }
    }
    const data = new Float32Array(weights.reduce((sum, { values }) => sum + values.length, 0));
    let at = 0;
    for (const { values } of weights) {
      data.set(values, at);
      at += values.length;
    }
    return { config, specs: weights.map(({ spec }) => spec), data: data.buffer };
  } finally {
    file.close();
  }
}

function namesOf(group: { attrs: Record<string, { value: unknown }> }, attribute: string): string[] {
  const value = group.attrs[attribute]?.value;
  if (Array.isArray(value)) return value.map(String);
  if (value !== undefined && value !== null && !(ArrayBuffer.isView(value) && value.byteLength === 0)) return [String(value)];
  const pieces: string[] = [];
  for (let i = 0; group.attrs[`${attribute}${i}`]; i++) pieces.push(...(group.attrs[`${attribute}${i}`]!.value as unknown[]).map(String));
  return pieces;
}
