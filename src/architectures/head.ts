/** Classifiers at the end of a net, as published and as people replace them when they fine-tune. */
import { ModelError } from '../errors.js';
import { cosineHead } from './cosine.js';
import { type Leaf, leavesFrom, leavesOf, only, type Published, placesAround, runLeaves } from './leaves.js';
import { ACTIVATIONS, type Activation, type Net, sizeOf, type Value } from './net.js';
import { otherHeads } from './other-heads.js';
import { RAW_NAME } from './store.js';

export interface HeadOptions {
  /** Between its layers. */
  readonly act?: Activation;
  /** The published head, for a net without weights: modules below the head's own, and their widths. */
  readonly layers?: readonly (readonly [path: string, out: number])[];
  /** A module of the head that the family has run itself. */
  readonly done?: string;
  /** What comes out where there is no head; the mean of each channel where left out. */
  readonly features?: 'picture';
  /** Other modules under which the head may lie. */
  readonly also?: readonly string[];
}

export const CLASSES = 1000;

const FEATURES = 'there is no classifier: what comes out is the {} of features (mean, max: of each channel; picture: nothing is pooled)';

/** The mean of each channel, and a classifier over them. Keras's nets without their top end in the picture of features. */
export function pooledHead(net: Net, x: Value, path: string, options: HeadOptions = {}): Value {
  const isHeadless = ![path, ...(options.also ?? [])].some((name) => net.has(name, true)) && besideOf(net, path, undefined) === undefined;
  if (isHeadless) {
    // Keras's own are told apart by what stands behind them.
    const isKeras = net.ecosystem === 'keras';
    const taken = net.setting<string>('features', isKeras ? 'picture' : (options.features ?? 'mean'), FEATURES, isKeras);
    if (taken === 'picture') return x;
    if (taken === 'max') return net.flatten(net.op('GlobalMaxPool', [x]));
  }
  return head(net, pooled(net, x, path, options), path, options);
}

const POOLING = 'what the classifier takes is the {} of each channel (mean, or max)';
const BOTH = 'the classifier takes two numbers of each channel: {} (max-mean: all largest ones first, as fastai has them; mean-max)';

/** One number of each channel, or two where the head takes as many. */
function pooled(net: Net, x: Value, path: string, { also = [] }: HeadOptions): Value {
  const at = [path, ...also].find((candidate) => net.has(candidate, false)) ?? besideOf(net, path, undefined);
  const channels = sizeOf(x, 1);
  const first = at === undefined || net.store.has(path) === undefined ? undefined : leavesOf(net, at)[0];
  const taken = first && (first.kind === 'dense' ? net.store.shape(first.path)?.[1] : net.store.shape(first.path, 'scale')?.[0]);
  const max = () => net.flatten(net.op('GlobalMaxPool', [x]));
  if (taken !== 2 * channels) return net.setting<string>('head_pooling', 'mean', POOLING, true) === 'max' ? max() : net.globalPool(x);
  const both = net.setting<string>('head_pooling', 'max-mean', BOTH);
  return net.concat(both === 'mean-max' ? [net.globalPool(x), max()] : [max(), net.globalPool(x)]);
}

/** What people call the head that they put on a net, or beside one that is a part of theirs. */
const OTHER_NAMES = [
  'fc',
  'classifier',
  'head',
  'linear',
  'last_linear',
  'head.fc',
  'classifier.fc',
  'cls_head',
  'cls_head.fc',
  'output',
  'out',
  'logits',
  'classification_head',
];

/**
 * A classifier over [batch, features]: one dense layer, a Sequential of several (in another, too), or none. It has the published name, or
 * lies beside the net under one of those that people give it, instead of the published one or behind it.
 *
 * Activations and dropout have no weights; between two dense layers of a Sequential stands an activation.
 */
export function head(net: Net, x: Value, path: string, options: HeadOptions = {}): Value {
  const { act = 'relu', layers = [['', CLASSES]], also = [], done } = options;
  if (net.store.has(path) === undefined) return published(net, x, path, act, layers);
  const own = [path, ...also].find((candidate) => net.has(candidate, false));
  const beside = besideOf(net, path, own);
  if (own === undefined || layers.length === 1) {
    const several = otherHeads(net, x, own === undefined && beside === undefined ? 1 : 2, own === undefined);
    if (several !== x) return several;
  }
  let y = x;
  if (own !== undefined) {
    const leaves = leavesOf(net, own).filter((leaf) => leaf.path !== `${own}.${done}`);
    y = runLeaves(net, y, own, leaves, act, layers);
    net.endsInClasses = !isCut(net, own, leaves, layers);
    net.hasOwnHead = own === path ? leaves.some((leaf, i) => leaf.path !== below(path, layers[i]?.[0])) : leaves.length > 1;
    const meaning = 'the last layer of the published head is not there, and what is left ends in the activation {} (or none)';
    if (!net.endsInClasses && net.setting<string>('head_end', act, meaning) !== 'none') y = net.activation(y, act);
  }
  if (beside === undefined) return y;
  const leaves = leavesFrom(net, beside);
  if (net.endsInClasses) {
    // Somebody else's, unless it takes the classes of the net's own.
    if (net.store.shape(leaves.find(({ kind }) => kind === 'dense')?.path ?? beside)?.[1] !== y.shape[1]) return y;
    const [here, there] = [net.store.sourceName(own!), net.store.sourceName(beside)];
    // Behind a Sequential of somebody's own stands what ends it; behind a published head nothing, unless a number is left out.
    const between = net.setting<string>(
      'between',
      net.hasOwnHead || (leaves[0]!.gap ?? 0) > 0 ? 'relu' : 'none',
      `what "${here}" makes goes into "${there}" with {} between (none, or relu)`,
    );
    if (between !== 'none') y = net.activation(y, 'relu');
  }
  net.endsInClasses = true;
  net.hasOwnHead = true;
  return cosineHead(net, y, beside, leaves) ?? runLeaves(net, y, beside, leaves, 'relu', []);
}

function below(path: string, child: string | undefined): string {
  return child === '' ? path : `${path}.${child}`;
}

/** How many features the head takes that lies beside a net without one of its own; null where there is none. */
export function besideWidth(net: Net, path: string): number | null {
  const beside = besideOf(net, path, undefined);
  const first = beside === undefined ? undefined : leavesOf(net, beside).find(({ kind }) => kind === 'dense');
  return first ? (net.store.shape(first.path)?.[1] ?? null) : null;
}

/** Where a head lies that is no part of the net itself. */
function besideOf(net: Net, path: string, own: string | undefined): string | undefined {
  const { store } = net;
  if (store.ecosystem === 'keras' || store.has(path) === undefined) return undefined;
  // A learner of fastai is a Sequential of body and head; others have the head's layers behind the net.
  const root = /^(|.*\.)0\.$/.exec(store.prefix ?? '')?.[1];
  const following = root === undefined ? [] : Array.from({ length: MOST_BEHIND }, (_, i) => `${root}${i + 1}`);
  // What holds the net's own head is no other one.
  const within = [path, ...(own === undefined ? [] : [own])].map((name) => `${store.sourceName(name)}.`);
  return [...following, ...placesAround(store.prefix).flatMap((prefix) => OTHER_NAMES.map((name) => prefix + name))]
    .filter((name) => !within.some((inside) => inside.startsWith(`${name}.`)))
    .map((name) => RAW_NAME + name)
    .find((name) => net.has(name, false));
}

/** More modules than a Sequential has between a net and the first layer behind it. */
const MOST_BEHIND = 4;

const ENDS: Readonly<Record<string, (net: Net, x: Value) => Value>> = {
  softmax: (net, x) => net.op('Softmax', [x], { axis: x.shape.length === 4 ? 1 : -1 }),
  'log-softmax': (net, x) => net.op('LogSoftmax', [x], { axis: x.shape.length === 4 ? 1 : -1 }),
};

/**
 * What people put behind the last layer of nets or heads that they write themselves, where the user says so.
 *
 * @param quiet it is not told where there is nothing
 */
export function ending(net: Net, x: Value, quiet = false): Value {
  const known = [...ACTIVATIONS, ...Object.keys(ENDS), 'none'];
  const taken = net.setting<string>('end', 'none', 'behind the last layer stands {} (none, softmax, log-softmax, sigmoid, tanh, relu)', quiet);
  if (!known.includes(taken)) throw new ModelError('usage', `--assume end=${taken} is no end of a net; known: ${known.join(', ')}`);
  return ENDS[taken]?.(net, x) ?? net.activation(x, taken as Activation);
}

/** Whether the published head lost its last layers, and nothing replaced them: the features of its hidden layers are what people want then. */
function isCut(net: Net, at: string, leaves: readonly Leaf[], layers: Published): boolean {
  const dense = leaves.filter(({ kind }) => kind === 'dense');
  const last = dense.at(-1);
  const isBeginning = dense.every(({ path }, i) => path === `${at}.${layers[i]?.[0]}`);
  return last !== undefined && dense.length < layers.length && isBeginning && net.store.shape(last.path)?.[0] === layers[dense.length - 1]![1];
}

/** The only layer of a head is called what the head is, whatever stands before it. */
function published(net: Net, x: Value, path: string, act: Activation, layers: Published): Value {
  net.endsInClasses = true;
  return layers.reduce((y, [suffix, out], i) => {
    const dense = net.dense(y, suffix === '' ? path : `${path}.${suffix}`, { out, ...only(net, path, layers.length) });
    return i < layers.length - 1 ? net.activation(dense, act) : dense;
  }, x);
}
