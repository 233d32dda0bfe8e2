/** Keras weights in HDF5: which datasets belong to which layer, in which order. */
import type { Hdf5Group, Hdf5Value } from '../../containers/hdf5/index.js';
import { ModelError } from '../../errors.js';
import { storedTensor, type Tensor } from '../../model/tensor.js';
import type { KerasLayer, KerasModel } from './config.js';

/** The weights saved under one top-level layer, in Keras's order. */
export interface LayerWeights {
  readonly layer: string;
  /** Named by the dataset's path below the group that holds all layers. */
  readonly tensors: readonly Tensor[];
}

/** Layers whose names fill more than 64 KB of attribute are spread over layer_names0, layer_names1, ... */
const MAX_ATTRIBUTE_CHUNKS = 10_000;
/** Keras 0 numbered layers; real nets have some hundred. */
const MAX_NUMBERED = 100_000;

/**
 * Reads the names of all weights; no weight.
 *
 * @param root the file, or its `model_weights` group
 * @throws ModelError 'malformed' where names and datasets disagree
 */
export async function readLayerWeights(root: Hdf5Group, file: string): Promise<LayerWeights[]> {
  const attributes = await root.attributes();
  if (attributes.has('nb_layers')) return readNumberedLayers(root, attributes, file);
  const layers: LayerWeights[] = [];
  for (const layer of listAttribute(attributes, 'layer_names', file)) {
    const group = await root.get(layer);
    if (group?.kind !== 'group') throw new ModelError('malformed', `layer_names lists "${layer}", but there is no such group`, { file, layer });
    const tensors: Tensor[] = [];
    for (const name of listAttribute(await group.attributes(), 'weight_names', file)) tensors.push(await openWeight(group, name, `${layer}/${name}`, file));
    layers.push({ layer, tensors });
  }
  return layers;
}

/** Keras 0: attribute nb_layers, groups layer_0, layer_1, ..., each with nb_params datasets param_0, param_1, ... */
async function readNumberedLayers(root: Hdf5Group, attributes: ReadonlyMap<string, Hdf5Value>, file: string): Promise<LayerWeights[]> {
  const layers: LayerWeights[] = [];
  for (let i = 0; i < toCount(attributes.get('nb_layers'), file); i++) {
    const layer = `layer_${i}`;
    const group = await root.get(layer);
    if (group?.kind !== 'group') throw new ModelError('malformed', `nb_layers counts a group "${layer}" that is not there`, { file, layer });
    const count = toCount((await group.attributes()).get('nb_params') ?? 0, file);
    const tensors: Tensor[] = [];
    for (let p = 0; p < count; p++) tensors.push(await openWeight(group, `param_${p}`, `${layer}/param_${p}`, file));
    layers.push({ layer, tensors });
  }
  return layers;
}

async function openWeight(group: Hdf5Group, path: string, name: string, file: string): Promise<Tensor> {
  const dataset = await group.get(path);
  const place = { file, tensor: name };
  if (dataset?.kind !== 'dataset') throw new ModelError('malformed', 'weight_names lists it, but there is no such dataset', place);
  if (dataset.dtype === null) throw new ModelError('unsupported', `holds ${dataset.typeName} values, which are no weights`, place);
  const { dtype, shape, source, bigEndian, fileOffset } = dataset;
  return storedTensor({ name, dtype, shape, source, bigEndian, origin: { file, name, ...(fileOffset === null ? {} : { offset: fileOffset }) } });
}

/** An attribute that is a list of names, in one piece or in numbered ones. */
function listAttribute(attributes: ReadonlyMap<string, Hdf5Value>, name: string, file: string): readonly string[] {
  const pieces: string[] = [];
  const add = (value: Hdf5Value | undefined) => {
    if (value === null || value === undefined) return;
    const list = Array.isArray(value) ? value : [value];
    // An empty list has no type of its own: h5py writes it as numbers.
    if (!list.every((item) => typeof item === 'string')) {
      if (list.length === 0) return;
      throw new ModelError('malformed', `the attribute ${name} is no list of names`, { file });
    }
    pieces.push(...list);
  };
  if (attributes.has(name)) add(attributes.get(name));
  else for (let i = 0; i < MAX_ATTRIBUTE_CHUNKS && attributes.has(`${name}${i}`); i++) add(attributes.get(`${name}${i}`));
  return pieces;
}

function toCount(value: Hdf5Value | undefined, file: string): number {
  const count = Number(value);
  if (!Number.isSafeInteger(count) || count < 0 || count > MAX_NUMBERED) throw new ModelError('malformed', `${String(value)} is no count of layers or weights`, { file });
  return count;
}

/**
 * Gives each layer of a model its weights. A model used as a layer keeps all its layers' weights in one list, told apart by the
 * part of their names before the last slash.
 *
 * @throws ModelError 'malformed' listing layers of the file that the model does not have
 */
export function assignWeights(model: KerasModel, saved: readonly LayerWeights[], file: string): Map<KerasLayer, readonly Tensor[]> {
  const assigned = new Map<KerasLayer, readonly Tensor[]>();
  const layers = new Map(model.layers.map((layer) => [layer.name, layer]));
  for (const { layer: name, tensors } of saved) {
    const layer = layers.get(name);
    if (tensors.length === 0) continue;
    if (!layer) throw new ModelError('malformed', `the file has weights for a layer that its configuration does not have. Do they belong together?`, { file, layer: name });
    if (layer.model) assignNested(layer.model, tensors, assigned, file);
    else assigned.set(layer, tensors);
  }
  return assigned;
}

function assignNested(model: KerasModel, tensors: readonly Tensor[], assigned: Map<KerasLayer, readonly Tensor[]>, file: string): void {
  const leaves = leafLayers(model);
  for (const tensor of tensors) {
    const parts = tensor.name.split('/').slice(0, -1);
    const found = leaves.filter(({ name }) => parts.at(-1) === name || parts.includes(name));
    const [layer] = found.length > 1 ? found.filter(({ name }) => parts.at(-1) === name) : found;
    if (!layer) throw new ModelError('malformed', `belongs to no layer of the model "${model.name}" inside the model`, { file, tensor: tensor.name });
    assigned.set(layer, [...(assigned.get(layer) ?? []), tensor]);
  }
}

function leafLayers(model: KerasModel): KerasLayer[] {
  return model.layers.flatMap((layer) => (layer.model ? leafLayers(layer.model) : [layer]));
}
