/**
 * Keras weights as Keras 3 saves them (`.weights.h5`, and `model.weights.h5` in a `.keras` archive; tf.keras from 2.12 on):
 * a tree of groups, layers/<class>[_<n>]/vars/<i>, without any list of names.
 */
import type { Hdf5Dataset, Hdf5Group } from '../../containers/hdf5/index.js';
import { ModelError } from '../../errors.js';
import type { Tensor } from '../../model/tensor.js';
import type { KerasLayer, KerasModel } from './config.js';
import { isObject, type Json } from './json.js';
import { leafLayers, weightRoles } from './weight-roles.js';
import { openWeight } from './weights.js';

/** The variables of one layer. */
export interface TreeLayer {
  /** Of the group that holds `vars`: 'layers/conv2d_1'. */
  readonly path: string;
  /** The layer's own name, which newer versions note. */
  readonly name: string | null;
  /** Named by their path in the file. */
  readonly tensors: readonly Tensor[];
}

/** What a model calls the group of its layers. */
const CONTAINER = 'layers';
/** What tf.keras 2.12 called it. */
const OLD_CONTAINER = '_layer_checkpoint_dependencies';
const CONTAINERS: readonly string[] = [CONTAINER, OLD_CONTAINER];
/** What a compiled model keeps beside its layers: the optimiser, and in tf.keras what its metrics count. */
const OF_TRAINING = /^(optimizer|metrics)([/\\]|$)/;
/** Hard links can lead in circles. */
const MAX_DEPTH = 64;
/** More than the groups of any real model, of which each layer has two or three. */
const MAX_GROUPS = 200_000;

/** States of random generators; no weights of the model. */
export const RANDOM_STATE = /(^|\/)(seed_generator|_?random_generator)$/;

/** Whether the file is such a tree. */
export async function isWeightTree(root: Hdf5Group): Promise<boolean> {
  const keys = await root.keys();
  const container = keys.find((key) => CONTAINERS.includes(withSlashes(key).split('/')[0]!));
  if (container === undefined) return false;
  if (keys.includes('vars')) return true;
  // Of a model in several files only the first has variables of its own.
  const group = await root.get(container);
  const [first] = group?.kind === 'group' ? await group.keys() : [];
  const layer = first === undefined || group?.kind !== 'group' ? null : await group.get(first);
  return layer?.kind === 'group' && (await layer.keys()).includes('vars');
}

/** On Windows, Keras up to 3.0 joined the names of groups by backslashes. */
function withSlashes(path: string): string {
  return path.replaceAll('\\', '/');
}

/**
 * Lists all layers that have variables, those of one class in the order of the model; the optimiser's and those of metrics are left out.
 *
 * @throws ModelError 'malformed' for a tree that is none
 */
export async function readTreeLayers(root: Hdf5Group, file: string): Promise<TreeLayer[]> {
  const layers: TreeLayer[] = [];
  let groups = 0;
  const visit = async (group: Hdf5Group, path: string, depth: number): Promise<void> => {
    if (depth > MAX_DEPTH || ++groups > MAX_GROUPS) throw new ModelError('malformed', 'the groups are nested without an end', { file });
    const keys = await group.keys();
    const isModel = depth === 0 || keys.some((key) => CONTAINERS.includes(withSlashes(key).split('/')[0]!));
    for (const key of keys.toSorted(byNumber)) {
      if (isModel && OF_TRAINING.test(key)) continue;
      const child = await group.get(key);
      if (child?.kind !== 'group') continue;
      if (key === 'vars') await readVars(child, path);
      else await visit(child, path === '' ? key : `${path}/${key}`, depth + 1);
    }
  };
  const readVars = async (vars: Hdf5Group, path: string): Promise<void> => {
    const tensors: Tensor[] = [];
    for (const key of (await vars.keys()).toSorted(byNumber))
      tensors.push(openWeight(await typed((await vars.get(key))!), path === '' ? `vars/${key}` : `${path}/vars/${key}`, file));
    const name = (await vars.attributes()).get('name');
    if (tensors.length > 0) layers.push({ path, name: typeof name === 'string' ? name : null, tensors });
  };
  await visit(root, '', 0);
  return layers;
}

/** HDF5 has no bfloat16 of its own: Keras stores it as bytes, and says so in an attribute. */
async function typed(dataset: Hdf5Group | Hdf5Dataset): Promise<Hdf5Group | Hdf5Dataset> {
  if (dataset.kind !== 'dataset' || dataset.typeName !== 'opaque' || (await dataset.attributes()).get('dtype') !== 'bfloat16') return dataset;
  return { ...dataset, dtype: 'bfloat16' };
}

/** conv2d, conv2d_1, conv2d_2, ..., conv2d_10: within a class the order of the model. */
function byNumber(a: string, b: string): number {
  const [, stemA = '', numberA = '-1'] = /^(.*?)_?(\d+)?$/.exec(a) ?? [];
  const [, stemB = '', numberB = '-1'] = /^(.*?)_?(\d+)?$/.exec(b) ?? [];
  if (stemA !== stemB) return stemA < stemB ? -1 : 1;
  return Number(numberA) - Number(numberB);
}

/**
 * Gives each layer of a model its weights, as Keras does: by class and count, in the order of the configuration.
 *
 * @throws ModelError 'malformed' for weights that no layer of the model claims
 */
export function assignTreeWeights(model: KerasModel, saved: readonly TreeLayer[], file: string): Map<KerasLayer, readonly Tensor[]> {
  const isOld = saved.some(({ path }) => path.includes(OLD_CONTAINER));
  const once = assignBy(model, saved, 'once');
  // tf.keras 2.12 counted each layer that has weights twice, so that the second convolution is conv2d_2.
  const { assigned, left } = isOld && once.left ? assignBy(model, saved, 'twice') : once;
  if (!left) {
    checkShared(leafLayers(model), assigned, file);
    return assigned;
  }
  throw new ModelError('malformed', 'no layer of the configuration has these weights. Do they belong together?', { file, tensor: left.tensors[0]!.name });
}

/** @param counted how often a layer that has weights counts among those of its class */
function assignBy(model: KerasModel, saved: readonly TreeLayer[], counted: 'once' | 'twice') {
  const byPath = new Map(
    saved.filter(({ path }) => !RANDOM_STATE.test(withSlashes(path))).map((layer) => [withSlashes(layer.path).replaceAll(OLD_CONTAINER, CONTAINER), layer]),
  );
  const below = pathsBelow(byPath.keys());
  const assigned = new Map<KerasLayer, readonly Tensor[]>();
  const claim = (inner: KerasModel, prefix: string): void => {
    const counts = new Map<string, number>();
    for (const layer of inner.layers) {
      // Without the module or the package before it.
      const stem = snakeCase((layer.wrapper ?? layer.className).replace(/^.*[.>]/, ''));
      const count = counts.get(stem) ?? 0;
      counts.set(stem, count + (counted === 'twice' && hasWeights(layer) ? 2 : 1));
      const path = `${prefix}${CONTAINER}/${stem}${count === 0 ? '' : `_${count}`}`;
      claimLayer(layer, path);
    }
  };
  const claimLayer = (layer: KerasLayer, path: string): void => {
    // What works step by step holds its layer as an attribute.
    if (layer.perStep) claimLayer(layer.model!.layers.at(-1)!, `${path}/layer`);
    else if (layer.model) claim(layer.model, `${path}/`);
    else {
      const cells = cellGroups(layer.config);
      const rank = (key: string) =>
        key === path && layer.wrapper ? Number.MAX_VALUE : partRank(key) * MAX_CELLS + cells.findIndex((cell) => key.endsWith(`/cells/${cell}`));
      const own = (below.get(path) ?? []).filter((key) => byPath.has(key)).toSorted((a, b) => rank(a) - rank(b));
      if (own.length > 0)
        assigned.set(
          layer,
          // Before a wrapper's own vector Keras 3 keeps the kernel once more, which the layer's own replaces as it loads.
          own.flatMap((key) => byPath.get(key)!.tensors.slice(key === path && layer.wrapper ? -1 : 0)),
        );
      for (const key of own) byPath.delete(key);
    }
    byPath.delete(path);
  };
  claim(model, '');
  const [left] = byPath.values();
  return { assigned, left };
}

function hasWeights(layer: KerasLayer): boolean {
  return (layer.model ? leafLayers(layer.model) : [layer]).some((leaf) => {
    const { trained, fixed } = weightRoles(leaf);
    return trained.length + fixed.length > 0;
  });
}

/** More than people stack. */
const MAX_CELLS = 1000;

/** Groups of the cells of an RNN layer that has several, in its order; of a Bidirectional one, those of its layer. */
function cellGroups(config: Json): readonly string[] {
  const { layer, cell, cells } = config;
  const inner = [layer, cell].find((one) => isObject(one) && isObject(one.config)) as { config: Json } | undefined;
  if (!Array.isArray(cells)) return inner ? cellGroups(inner.config) : [];
  const counts = new Map<string, number>();
  return cells.map((one) => {
    const stem = snakeCase(isObject(one) ? String(one.class_name) : '');
    const count = counts.get(stem) ?? 0;
    counts.set(stem, count + 1);
    return count === 0 ? stem : `${stem}_${count}`;
  });
}

/** Layers that hold layers of their own list the weights of these in this order. */
const PARTS: readonly RegExp[] = [
  ...[/\/_?query_dense$/, /\/_?key_dense$/, /\/_?value_dense$/, /\/_?output_dense$/, /\/forward_layer\//, /\/backward_layer\//],
  // A PReLU that a layer has as its activation.
  /\/activation$/,
];

/** All paths by each of the groups that they are in, or are. */
function pathsBelow(paths: Iterable<string>): Map<string, string[]> {
  const below = new Map<string, string[]>();
  for (const path of paths) {
    const parts = path.split('/');
    for (let length = 1; length <= parts.length; length++) {
      const group = parts.slice(0, length).join('/');
      const known = below.get(group);
      if (known) known.push(path);
      else below.set(group, [path]);
    }
  }
  return below;
}

function partRank(path: string): number {
  return PARTS.findIndex((part) => part.test(path));
}

/** A layer that several models share is one layer for Keras, which saves its weights under the first of its places only. */
function checkShared(layers: readonly KerasLayer[], assigned: ReadonlyMap<KerasLayer, readonly Tensor[]>, file: string): void {
  const filled = new Map([...assigned.keys()].map((layer) => [`${layer.className} ${layer.name}`, layer]));
  for (const layer of layers) {
    const twin = filled.get(`${layer.className} ${layer.name}`);
    if (!twin || assigned.has(layer) || weightRoles(layer).trained.length === 0) continue;
    const problem = `shared between models: Keras saved its weights once, as those of "${twin.path}", and cannot load the archive itself. Save the model as HDF5 (model.h5), or without the sharing`;
    throw new ModelError('malformed', problem, { file, layer: layer.path });
  }
}

/** 'MaxPooling2D' to 'max_pooling2d', 'PReLU' to 'p_re_lu'. */
function snakeCase(className: string): string {
  return className
    .replace(/\W+/g, '')
    .replace(/(.)([A-Z][a-z]+)/g, '$1_$2')
    .replace(/([a-z])([A-Z])/g, '$1_$2')
    .toLowerCase();
}
