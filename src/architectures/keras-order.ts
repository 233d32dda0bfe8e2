/**
 * Weights of Keras's own nets in files that name no layers (`.weights.h5` of tf.keras and of Keras before 3.7): groups by class, each
 * counted in the order of the model's layers, layers/conv2d, layers/conv2d_1, ...
 *
 * That order is Keras's: layers that are farther from the output come first; those of one distance in the order in which a walk from the
 * output meets them.
 *
 * @see `map_graph_network` in https://github.com/keras-team/keras/blob/master/keras/src/ops/function.py
 */
import type { Layer, LayerMap } from '../model/layer-map.js';
import { counted } from './spelling.js';
import { blankStore, type ModuleKind, type OrderedLayer, type Spell, type WeightStore } from './store.js';

/** Nets whose branches and sums are known to be in Keras's order. */
export const ORDERED_FAMILIES: ReadonlySet<string> = new Set([
  ...['vgg', 'resnet', 'resnet_v2', 'densenet', 'inception_v3', 'xception', 'inception_resnet_v2'],
  ...['mobilenet', 'mobilenet_v2', 'mobilenet_v3', 'efficientnet', 'efficientnet_v2'],
]);

const CLASSES: Readonly<Record<ModuleKind | 'statistics', string>> = {
  conv: 'conv2d',
  depthwise: 'depthwise_conv2d',
  separable: 'separable_conv2d',
  dense: 'dense',
  norm: 'batch_normalization',
  'layer-norm': 'layer_normalization',
  statistics: 'normalization',
};

const GROUP = /^(.*)layers\/([^/]+?)(?:_(\d+))?$/;

/** Whether the layers are groups of a tree that tells no names. */
export function isUnnamed(layers: readonly OrderedLayer[]): boolean {
  return layers.length > 0 && layers.every(({ name }) => GROUP.test(name));
}

/** A net's modules by class, in Keras's order. @param build the net, over a store without weights */
export function kerasOrder(build: (store: WeightStore) => LayerMap): Map<string, string[]> {
  const kinds = new Map<string, ModuleKind | 'statistics'>();
  const blank = blankStore('keras');
  const store: WeightStore = {
    ...blank,
    take(path, kind, expected) {
      kinds.set(path, kind);
      return blank.take(path, kind, expected);
    },
    takeStatistics(path) {
      kinds.set(path, 'statistics');
      return blank.takeStatistics!(path);
    },
  };
  const { layers } = build(store);
  const byClass = new Map<string, string[]>();
  for (const name of inKerasOrder(layers)) {
    const kind = kinds.get(name);
    if (!kind) continue;
    const list = byClass.get(CLASSES[kind]);
    if (list) list.push(name);
    else byClass.set(CLASSES[kind], [name]);
  }
  // Statistics of the input are no layer of the map; there is one at most.
  for (const [name, kind] of kinds) if (kind === 'statistics') byClass.set(CLASSES.statistics, [name]);
  return byClass;
}

/** Names of layers, the farthest from the output first. */
export function inKerasOrder(layers: readonly Layer[]): string[] {
  const makers = new Map(layers.flatMap((layer) => layer.outputs.map((output) => [output, layer] as const)));
  const fromInput = new Map<Layer, number>();
  for (const layer of layers)
    fromInput.set(layer, 1 + Math.max(0, ...layer.inputs.map((input) => (makers.has(input) ? fromInput.get(makers.get(input)!)! : 0))));
  const depth = new Map<Layer, number>();
  for (const layer of layers.toReversed()) {
    const own = depth.get(layer) ?? 0;
    depth.set(layer, own);
    for (const input of layer.inputs) {
      const maker = makers.get(input);
      if (maker) depth.set(maker, Math.max(own + 1, depth.get(maker) ?? 0));
    }
  }
  const met = new Map<Layer, number>();
  const stack = layers.slice(-1);
  while (stack.length > 0) {
    const layer = stack.pop()!;
    if (met.has(layer)) continue;
    met.set(layer, met.size);
    const read = layer.inputs.flatMap((input) => makers.get(input) ?? []);
    // A sum has what goes around its branch in the first place.
    if (layer.op === 'Add') read.sort((a, b) => fromInput.get(a)! - fromInput.get(b)!);
    stack.push(...read.toReversed());
  }
  const place = (layer: Layer) => met.get(layer) ?? layers.length;
  return layers.toSorted((a, b) => depth.get(b)! - depth.get(a)! || place(a) - place(b)).map(({ name }) => name);
}

/** The stored layers under the names that a spelling has for the net's modules; null where they are not as many. A classifier may be missing. */
export function renamed(layers: readonly OrderedLayer[], order: ReadonlyMap<string, readonly string[]>, spell: Spell): OrderedLayer[] | null {
  const groups = new Map<string, OrderedLayer>();
  const prefixes = new Set<string>();
  for (const layer of layers) {
    const [, before = '', kind = '', count] = GROUP.exec(layer.name) ?? [];
    prefixes.add(before);
    groups.set(counted(kind, Number(count ?? 0)), layer);
  }
  if (prefixes.size > 1) return null;
  const made: OrderedLayer[] = [];
  for (const [kind, paths] of order) {
    const stored = paths.map((_, i) => groups.get(counted(kind, i)));
    if (kind === 'dense' && stored.every((layer) => layer === undefined)) continue;
    for (const [i, layer] of stored.entries()) {
      const name = spell(paths[i]!)?.split('|')[0];
      if (!layer || name === undefined) return null;
      made.push({ name, tensors: layer.tensors });
    }
  }
  return made.length === groups.size ? made : null;
}
