/**
 * Keras weights as Keras 0 to 2, tf.keras and Keras 3's legacy HDF5 save them: lists of names in attributes, which say which
 * datasets belong to which layer, in which order.
 */
import type { Hdf5Group, Hdf5Value } from '../../containers/hdf5/index.js';
import { ModelError } from '../../errors.js';
import { storedTensor, type Tensor } from '../../model/tensor.js';
import type { KerasLayer, KerasModel } from './config.js';
import { bearsRole, nestedOrders, weightRoles } from './weight-roles.js';

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
/** Variables of a Keras 3 model that belong to none of its layers; in no list of layers. */
const TOP_LEVEL = 'top_level_model_weights';

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
    layers.push(await readNamedLayer(group, layer, file));
  }
  const topLevel = await root.get(TOP_LEVEL);
  if (topLevel?.kind === 'group') layers.push(await readNamedLayer(topLevel, TOP_LEVEL, file));
  return layers;
}

async function readNamedLayer(group: Hdf5Group, layer: string, file: string): Promise<LayerWeights> {
  const tensors: Tensor[] = [];
  for (const name of listAttribute(await group.attributes(), 'weight_names', file)) {
    const dataset = await group.get(name);
    if (dataset === null) throw new ModelError('malformed', 'weight_names lists it, but there is no such dataset', { file, tensor: `${layer}/${name}` });
    tensors.push(openWeight(dataset, `${layer}/${name}`, file));
  }
  return { layer, tensors };
}

/** Keras 0: attribute nb_layers, groups layer_0, layer_1, ..., each with nb_params datasets param_0, param_1, ... */
async function readNumberedLayers(root: Hdf5Group, attributes: ReadonlyMap<string, Hdf5Value>, file: string): Promise<LayerWeights[]> {
  const layers: LayerWeights[] = [];
  const layerCount = toCount(attributes.get('nb_layers'), file);
  for (let i = 0; i < layerCount; i++) {
    const layer = `layer_${i}`;
    const group = await root.get(layer);
    if (group?.kind !== 'group') throw new ModelError('malformed', `nb_layers counts a group "${layer}" that is not there`, { file, layer });
    const count = toCount((await group.attributes()).get('nb_params') ?? 0, file);
    const tensors: Tensor[] = [];
    for (let p = 0; p < count; p++) {
      const dataset = await group.get(`param_${p}`);
      if (dataset === null) throw new ModelError('malformed', `nb_params counts ${count} datasets, but param_${p} is not there`, { file, layer });
      tensors.push(openWeight(dataset, `${layer}/param_${p}`, file));
    }
    layers.push({ layer, tensors });
  }
  return layers;
}

/** @throws ModelError 'malformed' for a group, 'unsupported' for elements that are no numbers */
export function openWeight(dataset: NonNullable<Awaited<ReturnType<Hdf5Group['get']>>>, name: string, file: string): Tensor {
  const place = { file, tensor: name };
  if (dataset.kind !== 'dataset') throw new ModelError('malformed', 'a group stands where a dataset should be', place);
  if (dataset.dtype === null) throw new ModelError('unsupported', `holds ${dataset.typeName} values, which are no weights`, place);
  const { dtype, shape, source, bigEndian, fileOffset } = dataset;
  return storedTensor({ name, dtype, shape, source, bigEndian, origin: { file, name, ...(fileOffset === null ? {} : { offset: fileOffset }) } });
}

/** An attribute that is a list of names, in one piece or in numbered ones. */
function listAttribute(attributes: ReadonlyMap<string, Hdf5Value>, name: string, file: string): readonly string[] {
  const names: string[] = [];
  const add = (value: Hdf5Value | undefined) => {
    if (value === null || value === undefined) return;
    const list = Array.isArray(value) ? value : [value];
    // An empty list has no type of its own, so h5py writes it as one of numbers; that is the only list that is no list of strings.
    for (const item of list) {
      if (typeof item !== 'string') throw new ModelError('malformed', `the attribute ${name} is no list of names`, { file });
      names.push(item);
    }
  };
  if (attributes.has(name)) add(attributes.get(name));
  else for (let i = 0; i < MAX_ATTRIBUTE_CHUNKS && attributes.has(`${name}${i}`); i++) add(attributes.get(`${name}${i}`));
  return names;
}

function toCount(value: Hdf5Value | undefined, file: string): number {
  const count = Number(value);
  if (Number.isSafeInteger(count) && count >= 0 && count <= MAX_NUMBERED) return count;
  throw new ModelError('malformed', `${String(value)} is no count of layers or weights`, { file });
}

/**
 * Gives each layer of a model its weights, by the layers' names; where they are not those of the file, by their order, as Keras does.
 *
 * @throws ModelError 'malformed' where the file has weights of layers that the model does not have
 */
export function assignWeights(model: KerasModel, saved: readonly LayerWeights[], file: string): Map<KerasLayer, readonly Tensor[]> {
  const assigned = new Map<KerasLayer, readonly Tensor[]>();
  const filled = saved.filter(({ tensors }) => tensors.length > 0);
  for (const [layer, tensors] of pairLayers(model, filled, file)) {
    if (layer.model) assignNested(layer.model, tensors, assigned, file);
    else assigned.set(layer, tensors);
  }
  return assigned;
}

function pairLayers(model: KerasModel, saved: readonly LayerWeights[], file: string): [KerasLayer, readonly Tensor[]][] {
  const byName = new Map(model.layers.map((layer) => [layer.name, layer]));
  const stranger = saved.find(({ layer }) => !byName.has(layer));
  if (!stranger) return saved.map(({ layer, tensors }) => [byName.get(layer)!, tensors]);
  const weighty = model.layers.map((layer) => [layer, countOf(layer)] as const).filter(([, count]) => count > 0);
  const fits = weighty.length === saved.length && weighty.every(([, count], i) => count === saved[i]!.tensors.length);
  if (fits) return weighty.map(([layer], i) => [layer, saved[i]!.tensors]);
  throw new ModelError('malformed', 'the file has weights for a layer that the configuration does not have. Do they belong together?', {
    file,
    layer: stranger.layer,
  });
}

function countOf(layer: KerasLayer): number {
  if (layer.model) return nestedOrders(layer.model)[0]!.length;
  const { trained, fixed } = weightRoles(layer);
  return trained.length + fixed.length;
}

/**
 * A model used as a layer keeps the weights of all its layers in one list. Keras goes by the order of the list, and so do we: names may
 * be those of another session ('dense' for "dense_1"), or start with the names of enclosing models. They only tell which of Keras's
 * orders it is.
 */
function assignNested(model: KerasModel, tensors: readonly Tensor[], assigned: Map<KerasLayer, readonly Tensor[]>, file: string): void {
  const orders = nestedOrders(model);
  const fitting = orders.filter((order) => order.length === tensors.length);
  const order = fitting.find((places) => places.every(({ role }, i) => bearsRole(tensors[i]!.name, role))) ?? fitting[0];
  if (!order) {
    throw new ModelError(
      'malformed',
      `the file has ${tensors.length} weights for the model "${model.name}" inside the model, whose layers have ${orders[0]!.length}`,
      {
        file,
        tensor: tensors[0]!.name,
      },
    );
  }
  const own = new Map(order.map(({ layer }) => [layer, [...(assigned.get(layer) ?? [])]]));
  for (const [i, { layer }] of order.entries()) own.get(layer)!.push(tensors[i]!);
  for (const [layer, weights] of own) assigned.set(layer, weights);
}
