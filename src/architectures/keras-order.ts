/**
 * Weights of Keras's own nets in files that name no layers (`.weights.h5` of tf.keras and of Keras before 3.7): groups by class, each
 * counted in the order of the model's layers, layers/conv2d, layers/conv2d_1, ...
 *
 * That order is Keras's: layers that are farther from the output come first; those of one distance in the order in which a walk from the
 * output meets them. A net that is used as a layer has its groups below that layer's, layers/functional/layers/conv2d.
 *
 * @see `map_graph_network` in https://github.com/keras-team/keras/blob/master/keras/src/ops/function.py
 */
import type { Layer, LayerMap } from '../model/layer-map.js';
import { makersOf } from '../model/ops/index.js';
import { counted } from './spelling.js';
import { blankStore, type ModuleKind, type OrderedLayer, type Spell, type WeightStore } from './store.js';

/** Where Keras's own model of a family is wired otherwise than the map of the same net. */
interface Wiring {
  /** What a sum has in the first place; mostly what goes around its branch. */
  readonly sums?: 'branch';
  /** How many layers Keras has in the place of one of the map's; mostly one. */
  readonly span?: (layer: Layer) => number;
  /** The Sequential that holds a module, by its place among those of the net. */
  readonly sequential?: (path: string) => number | null;
}

const ONE_TO_ONE: Wiring = {};

/** Nets whose branches and sums are known to be in Keras's order. */
export const ORDERED_FAMILIES: ReadonlyMap<string, Wiring> = new Map([
  ...['vgg', 'resnet', 'resnet_v2', 'densenet', 'inception_v3', 'xception', 'inception_resnet_v2'].map((name) => [name, ONE_TO_ONE] as const),
  ...['mobilenet', 'mobilenet_v2', 'mobilenet_v3', 'efficientnet', 'efficientnet_v2'].map((name) => [name, ONE_TO_ONE] as const),
  ['regnet', { sums: 'branch' }],
  ['resnet_rs', { sums: 'branch' }],
  // A separable convolution is one layer, which has a padding before it where it strides; a picture is cropped along both axes at once.
  ['nasnet', { sums: 'branch', span: (layer) => (isDeepPart(layer) ? strideOf(layer) - 1 : layer.op === 'Slice' ? axisOf(layer) - 2 : 1) }],
  // The stem and what makes pictures smaller: features.0, features.2, ...
  [
    'convnext',
    {
      sequential: (path) => {
        const [, place] = /^features\.(\d+)\.\d+$/.exec(path) ?? [];
        return place === undefined ? null : Number(place) / 2;
      },
    },
  ],
] as const satisfies readonly (readonly [string, Wiring])[]);

const isDeepPart = ({ name }: Layer) => name.endsWith('.depthwise');
const strideOf = ({ attributes }: Layer) => (attributes.strides as readonly number[])[0]!;
const axisOf = ({ attributes }: Layer) => (attributes.axes as readonly number[])[0]!;

const CLASSES: Readonly<Record<ModuleKind | 'statistics' | 'parameter', string>> = {
  conv: 'conv2d',
  depthwise: 'depthwise_conv2d',
  separable: 'separable_conv2d',
  dense: 'dense',
  norm: 'batch_normalization',
  'layer-norm': 'layer_normalization',
  statistics: 'normalization',
  parameter: 'layer_scale',
};

const GROUP = /^(?:.*\/)?layers\/[^/]+$/;

/** Whether the layers are groups of a tree that tells no names. */
export function isUnnamed(layers: readonly OrderedLayer[]): boolean {
  return layers.length > 0 && layers.every(({ name }) => GROUP.test(name));
}

/** A module of a net, and the group that Keras would file its weights under, below that of the net. */
export interface Filed {
  readonly path: string;
  readonly group: string;
}

/** A net's modules in Keras's order. @param build the net, over a store without weights */
export function kerasOrder(build: (store: WeightStore) => LayerMap, family: string): Filed[] {
  const wiring = ORDERED_FAMILIES.get(family) ?? ONE_TO_ONE;
  const kinds = new Map<string, keyof typeof CLASSES>();
  const blank = blankStore('keras');
  const store: WeightStore = {
    ...blank,
    take(path, kind, expected) {
      // A convolution of many groups is a plain one to Keras where its class is.
      kinds.set(path, family === 'convnext' && kind === 'depthwise' ? 'conv' : kind);
      return blank.take(path, kind, expected);
    },
    takeParameter(path, shape) {
      kinds.set(path, 'parameter');
      return blank.takeParameter(path, shape);
    },
    takeStatistics(path) {
      kinds.set(path, 'statistics');
      return blank.takeStatistics!(path);
    },
  };
  const { layers } = build(store);
  const counts = new Map<string, number>();
  const file = (path: string): Filed => {
    const stem = CLASSES[kinds.get(path)!];
    const holder = wiring.sequential?.(path) ?? null;
    const within = holder === null ? 'layers/' : `layers/${counted('sequential', holder)}/layers/`;
    const count = counts.get(within + stem) ?? 0;
    counts.set(within + stem, count + 1);
    return { path, group: within + counted(stem, count) };
  };
  // Statistics of the input are no layer of the map; there is one at most.
  const statistics = [...kinds].filter(([, kind]) => kind === 'statistics').map(([path]) => path);
  return [...statistics, ...inKerasOrder(layers, wiring).filter((name) => kinds.has(name) && !statistics.includes(name))].map(file);
}

/** Names of layers, the farthest from the output first. */
export function inKerasOrder(layers: readonly Layer[], { sums, span = () => 1 }: Wiring = ONE_TO_ONE): string[] {
  const makers = makersOf(layers);
  const fromInput = new Map<Layer, number>();
  for (const layer of layers)
    fromInput.set(layer, 1 + Math.max(0, ...layer.inputs.map((input) => (makers.has(input) ? fromInput.get(makers.get(input)!)! : 0))));
  const depth = new Map<Layer, number>();
  for (const layer of layers.toReversed()) {
    const own = depth.get(layer) ?? 0;
    depth.set(layer, own);
    for (const input of layer.inputs) {
      const maker = makers.get(input);
      if (maker) depth.set(maker, Math.max(own + span(layer), depth.get(maker) ?? 0));
    }
  }
  const met = new Map<Layer, number>();
  const stack = layers.slice(-1);
  while (stack.length > 0) {
    const layer = stack.pop()!;
    if (met.has(layer)) continue;
    met.set(layer, met.size);
    const read = layer.inputs.flatMap((input) => makers.get(input) ?? []);
    if (layer.op === 'Add' && sums !== 'branch') read.sort((a, b) => fromInput.get(a)! - fromInput.get(b)!);
    for (const layer of read.toReversed()) stack.push(layer);
  }
  const place = (layer: Layer) => met.get(layer) ?? layers.length;
  return layers.toSorted((a, b) => depth.get(b)! - depth.get(a)! || place(a) - place(b)).map(({ name }) => name);
}

/** Classes that a head may have and a net not, or one size of a net and another not. */
const ANYWHERE = /^(dense|batch_normalization|normalization)$/;

/** Whether the groups are of the classes that a net of this order has. */
export function mayBeOf(layers: readonly OrderedLayer[], order: readonly Filed[]): boolean {
  const classesOf = (names: readonly string[]) =>
    new Set(names.map((name) => name.slice(name.lastIndexOf('/') + 1).replace(/_\d+$/, '')).filter((stem) => !ANYWHERE.test(stem)));
  const [stored, own] = [classesOf(layers.map(({ name }) => name)), classesOf(order.map(({ group }) => group))];
  return stored.size === own.size && [...own].every((stem) => stored.has(stem));
}

/** The last layers of a net that may not be there, or be others: its classifier. */
const MAX_MISSING = 4;

/**
 * The stored layers under the names that a spelling has for the net's modules, in every way in which they may be the net's: as a whole, or
 * without its last layers, and then with a head of one's own beside or behind it.
 */
export function* renamed(layers: readonly OrderedLayer[], order: readonly Filed[], spell: Spell): Generator<OrderedLayer[]> {
  const groups = new Map(layers.map((layer) => [layer.name, layer]));
  for (const prefix of holdersOf(layers)) {
    for (let missing = 0; missing <= MAX_MISSING; missing++) {
      const named = order.slice(0, order.length - missing).map(({ path, group }): OrderedLayer | null => {
        const layer = groups.get(prefix + group);
        const name = spell(path)?.split('|')[0];
        return layer && name !== undefined ? { name, tensors: layer.tensors } : null;
      });
      if (!named.every((layer) => layer !== null)) continue;
      const taken = new Set(named.map(({ tensors }) => tensors));
      const rest = layers.filter(({ tensors }) => !taken.has(tensors));
      if (rest.length === 0) yield named;
      else if (missing > 0) {
        const head = inLine(rest);
        if (head) yield [...named, ...head.map(({ name, tensors }) => ({ name: `head_${name.slice(name.lastIndexOf('/') + 1)}`, tensors }))];
      }
    }
  }
}

/** What may stand before the groups of a net: nothing, or the layers that hold it. */
function holdersOf(layers: readonly OrderedLayer[]): string[] {
  const holders = new Set<string>();
  for (const { name } of layers) for (const { index } of name.matchAll(/(?<=^|\/)layers\//g)) holders.add(name.slice(0, index));
  return [...holders].slice(0, MAX_HOLDERS);
}

/** A net in a net in ... */
const MAX_HOLDERS = 8;

/**
 * Layers of a head one behind the other: those of each class are in order, and each takes as many features as the one before it makes. Where a
 * normalisation fits it comes first. null where they do not fit.
 */
export function inLine(rest: readonly OrderedLayer[]): OrderedLayer[] | null {
  const widths = ({ tensors: [first] }: OrderedLayer) => [first!.shape[0], first!.shape.at(-1)] as const;
  const ofRank = (rank: number) => rest.filter(({ tensors: [first] }) => first!.shape.length === rank);
  const queues = [ofRank(1), ofRank(2)];
  const line: OrderedLayer[] = [];
  const run = (flowing: number | undefined, left: readonly (readonly OrderedLayer[])[]): boolean => {
    if (left.every((queue) => queue.length === 0)) return true;
    return left.some((queue, i) => {
      const [next, ...others] = queue;
      if (!next || (flowing !== undefined && widths(next)[0] !== flowing)) return false;
      line.push(next);
      if (run(widths(next)[1], left.with(i, others))) return true;
      line.pop();
      return false;
    });
  };
  if (rest.length > MAX_HEAD || queues.flat().length < rest.length || !run(undefined, queues)) return null;
  return line;
}

/** Layers of a head; more would take long to put in order. */
const MAX_HEAD = 16;
