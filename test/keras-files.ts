/** Keras models made in tests: their HDF5 is written by h5wasm, the HDF Group's own library, their archives by fflate. */
import { randomUUID } from 'node:crypto';
import { strToU8, zipSync } from 'fflate';

export interface Weight {
  readonly shape: readonly number[];
  readonly values: ArrayLike<number>;
}

/** Weights of each top-level layer by name, in the order in which the file lists them. */
export type LegacyWeights = Readonly<Record<string, Readonly<Record<string, Weight>>>>;

/** One layer of a sequence: its class and settings. */
export type LayerSpec = readonly [className: string, config?: Readonly<Record<string, unknown>>];

/** A Sequential model over an input of the given shape, batch first, as tf.keras writes it. */
export function sequential(inputShape: readonly (number | null)[], layers: readonly LayerSpec[], dtype = 'float32') {
  const counts = new Map<string, number>();
  const entries = layers.map(([class_name, config = {}]) => {
    const stem = class_name.toLowerCase();
    const count = counts.get(stem) ?? 0;
    counts.set(stem, count + 1);
    return { class_name, config: { name: count === 0 ? stem : `${stem}_${count}`, trainable: true, ...config } };
  });
  const input = { class_name: 'InputLayer', config: { batch_input_shape: inputShape, dtype, sparse: false, ragged: false, name: 'input_1' } };
  return { class_name: 'Sequential', config: { name: 'sequential', layers: [input, ...entries] } };
}

/** A functional model as tf.keras writes it; `inbound` is the layer's `inbound_nodes`. */
export function functional(
  layers: readonly { class_name: string; name: string; config?: object; inbound?: readonly unknown[]; module?: string | null; registered_name?: string }[],
  inputs: readonly unknown[],
  outputs: readonly unknown[],
  name = 'model',
) {
  const entries = layers.map(({ class_name, name: own, config = {}, inbound = [], ...beside }) => ({
    ...beside,
    class_name,
    name: own,
    config: { name: own, ...config },
    inbound_nodes: inbound,
  }));
  return { class_name: 'Functional', config: { name, layers: entries, input_layers: inputs, output_layers: outputs } };
}

/** A whole model in HDF5, as Keras 1 and 2 and tf.keras save it. */
export async function legacyH5(config: object, weights: LegacyWeights = {}, attributes: Readonly<Record<string, string>> = {}): Promise<Uint8Array> {
  return writeHdf5((file) => {
    for (const [name, value] of Object.entries({ keras_version: '2.13.1', backend: 'tensorflow', model_config: JSON.stringify(config), ...attributes }))
      file.create_attribute(name, value);
    const holder = file.create_group('model_weights');
    const layers = Object.keys(weights);
    if (layers.length > 0) holder.create_attribute('layer_names', layers);
    for (const layer of layers) {
      const group = groupAt(holder, layer.split('/'));
      const names = Object.keys(weights[layer]!);
      if (names.length > 0) group.create_attribute('weight_names', names);
      for (const name of names) createDataset(group, name, weights[layer]![name]!);
    }
  });
}

/** A `.keras` archive: the variables of each group of `model.weights.h5`, by the group's path ('layers/dense'). */
export async function kerasArchive(config: object, tree: Readonly<Record<string, readonly Weight[]>> = {}, version = '3.5.0'): Promise<Uint8Array> {
  const weights = await weightTree(tree);
  const metadata = { keras_version: version, date_saved: '2024-01-01@00:00:00' };
  return zipSync({ 'metadata.json': strToU8(JSON.stringify(metadata)), 'config.json': strToU8(JSON.stringify(config)), 'model.weights.h5': weights });
}

/** `model.weights.h5`: the variables of each group. @param isFirst of several files that hold a model, the first has the model's own variables */
export async function weightTree(tree: Readonly<Record<string, readonly Weight[]>>, isFirst = true): Promise<Uint8Array> {
  return writeHdf5((file) => {
    if (isFirst) file.create_group('vars');
    file.create_group('layers');
    for (const [path, variables] of Object.entries(tree)) {
      variables.forEach((variable, i) => {
        createDataset(file, `${path}/vars/${i}`, variable);
      });
    }
  });
}

type H5 = typeof import('h5wasm');
type H5Group = InstanceType<H5['Group']>;

function createDataset(root: H5Group, path: string, { shape, values }: Weight): void {
  const parts = path.split('/');
  groupAt(root, parts.slice(0, -1)).create_dataset({ name: parts.at(-1)!, ...stored(values), shape: [...shape] });
}

/** Codes as such, all else in float32. */
const stored = (values: ArrayLike<number>) => (values instanceof Int8Array ? { data: values, dtype: '<b' } : { data: Float32Array.from(values), dtype: '<f' });

/** The group, made where it is not there. */
function groupAt(root: H5Group, path: readonly string[]): H5Group {
  return path.reduce<H5Group>((group, name) => {
    if (!group.keys().includes(name)) group.create_group(name);
    return group.get(name) as H5Group;
  }, root);
}

async function writeHdf5(fill: (file: InstanceType<H5['File']>) => void): Promise<Uint8Array> {
  // The build without Node's file system keeps its files in memory.
  const h5wasm: H5 = await import('h5wasm');
  const { FS } = await h5wasm.ready;
  const name = `${randomUUID()}.h5`;
  const file = new h5wasm.File(name, 'w');
  fill(file);
  file.close();
  const bytes = FS.readFile(name) as Uint8Array;
  FS.unlink(name);
  return bytes.slice();
}

/** Numbers that look random and are the same each time, in [-scale, scale]. */
export function noise(count: number, seed = 1, scale = 1): Float32Array {
  let state = seed * 2654435761;
  return Float32Array.from({ length: count }, () => {
    state = Math.imul(state ^ (state >>> 15), 2246822519) + 3266489917;
    return scale * (((state >>> 8) & 0xffff) / 0x8000 - 1);
  });
}

export function weight(shape: readonly number[], seed: number, scale = 0.7): Weight {
  return {
    shape,
    values: noise(
      shape.reduce((a, b) => a * b, 1),
      seed,
      scale,
    ),
  };
}
