/** Classifiers at the end of a net, as published and as people replace them when they fine-tune. */
import { ModelError } from '../errors.js';
import { layerNorm } from './attention.js';
import { ACTIVATIONS, type Activation, type Net, type Value } from './net.js';
import { RAW_NAME } from './store.js';

/** More layers than any head has. */
const MAX_CHILDREN = 32;
/** A Sequential in a Sequential in ... */
const MAX_DEPTH = 4;

export interface HeadOptions {
  /** Between its layers. */
  readonly act?: Activation;
  /** The published head, for a net without weights: modules below the head's own, and their widths. */
  readonly layers?: readonly (readonly [path: string, out: number])[];
  /** Other modules under which the head may lie. */
  readonly also?: readonly string[];
}

export const CLASSES = 1000;

const FEATURES = 'there is no classifier: what comes out is the {} of features (mean: of each channel; picture: nothing is pooled)';

/** The mean of each channel, and a classifier over them. Keras's nets without their top end in the picture of features. */
export function pooledHead(net: Net, x: Value, path: string, options: HeadOptions = {}): Value {
  const isHeadless = ![path, ...(options.also ?? [])].some((name) => net.has(name, true)) && besideOf(net, path, undefined) === undefined;
  if (isHeadless && (net.ecosystem === 'keras' || net.setting<string>('features', 'mean', FEATURES) === 'picture')) return x;
  return head(net, net.globalPool(x), path, options);
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
  const { act = 'relu', layers = [['', CLASSES]], also = [] } = options;
  if (net.store.has(path) === undefined) return published(net, x, path, act, layers);
  const own = [path, ...also].find((candidate) => net.has(candidate, false));
  let y = x;
  if (own !== undefined) {
    const leaves = leavesOf(net, own);
    y = runLeaves(net, y, own, leaves, act, layers);
    net.endsInClasses = !isCut(net, own, leaves, layers);
    net.hasOwnHead = own === path ? leaves.some((leaf, i) => leaf.path !== below(path, layers[i]?.[0])) : leaves.length > 1;
    const meaning = 'the last layer of the published head is not there, and what is left ends in the activation {} (or none)';
    if (!net.endsInClasses && net.setting<string>('head_end', act, meaning) !== 'none') y = net.activation(y, act);
  }
  const beside = besideOf(net, path, own);
  if (beside === undefined) return y;
  const leaves = leavesOf(net, beside);
  if (net.endsInClasses) {
    // Somebody else's, unless it takes the classes of the net's own.
    if (net.store.shape(leaves.find(({ kind }) => kind === 'dense')?.path ?? beside)?.[1] !== y.shape[1]) return y;
    const [here, there] = [net.store.sourceName(own!), net.store.sourceName(beside)];
    const between = net.setting<string>('between', 'none', `what "${here}" makes goes into "${there}" with {} between (none, or relu)`);
    if (between !== 'none') y = net.activation(y, 'relu');
  }
  net.endsInClasses = true;
  net.hasOwnHead = true;
  return runLeaves(net, y, beside, leaves, 'relu', []);
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
  if (store.ecosystem === 'keras' || store.has(path) === undefined || (own !== undefined && !store.prefix)) return undefined;
  // What holds the net's own head is no other one.
  const within = [path, ...(own === undefined ? [] : [own])].map((name) => `${store.sourceName(name)}.`);
  return [...new Set([store.prefix ?? '', ''])]
    .flatMap((prefix) => OTHER_NAMES.map((name) => prefix + name))
    .filter((name) => !within.some((inside) => inside.startsWith(`${name}.`)))
    .map((name) => RAW_NAME + name)
    .find((name) => net.has(name, false));
}

/** A layer of a head. */
interface Leaf {
  readonly path: string;
  readonly kind: 'dense' | 'norm' | 'layer-norm';
  /** Modules without weights that stand right before it, as far as numbers tell; null where names do not. */
  readonly gap: number | null;
}

/** All layers below a module, in their order. */
function leavesOf(net: Net, at: string, gap: number | null = 0, depth = 0): Leaf[] {
  const kind = isStatistics(net, at) ? 'norm' : net.store.shape(at)?.length === 1 ? 'layer-norm' : 'dense';
  const children = isDense(net, at) || kind !== 'dense' || depth === MAX_DEPTH ? [] : childrenOf(net, at);
  if (children.length === 0) return [{ path: at, kind, gap }];
  return children.flatMap((child, i) => {
    const between = i === 0 ? 0 : Number(child) - Number(children[i - 1]) - 1;
    return leavesOf(net, `${at}.${child}`, i === 0 ? gap : Number.isNaN(between) ? null : between, depth + 1);
  });
}

type Published = NonNullable<HeadOptions['layers']>;

/** @param layers of the published head, where it is that, or what is left of it */
function runLeaves(net: Net, x: Value, at: string, leaves: readonly Leaf[], act: Activation, layers: Published): Value {
  let y = x;
  // Before the first dense layer there is at most dropout; one activation follows each, before or behind its normalisation.
  let before: Leaf | null = null;
  let passed = 0;
  for (const leaf of leaves) {
    const { path, kind, gap } = leaf;
    if (before !== null && (gap === null ? kind === 'dense' : gap > 0)) {
      const [usual, next] = layers.slice(passed - 1);
      // Where the published head has one, too.
      const isPlace = before.path === `${at}.${usual?.[0]}` && (next === undefined || `${path}.`.startsWith(`${at}.${next[0]}.`));
      const isPublished = isPlace && net.store.shape(before.path)?.[0] === usual?.[1];
      y = net.activation(y, isPublished ? act : between(net, at, isPlace ? act : 'relu'));
      before = null;
    }
    if (kind === 'norm') y = net.norm(y, path);
    else if (kind === 'layer-norm') y = layerNorm(net, y, path, 1e-5);
    else {
      y = net.dense(y, path, only(net, at, leaves.length));
      before = leaf;
      passed++;
    }
  }
  return y;
}

/** @throws ModelError 'usage' for an activation that is none */
function between(net: Net, at: string, usual: Activation): Activation {
  const taken = net.setting<string>('head_activation', usual, `between the layers of the head ("${net.store.sourceName(at)}") stands a {}`);
  if (ACTIVATIONS.has(taken) || taken === 'none') return taken as Activation;
  throw new ModelError('usage', `--assume head_activation=${taken} is no activation; known: ${[...ACTIVATIONS, 'none'].join(', ')}`);
}

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
function only(net: Net, at: string, count: number): { canonical?: string } {
  const canonical = count === 1 ? net.options.canonical?.(at) : null;
  return canonical ? { canonical } : {};
}

/** Numbers in their order, or names in the file's. */
function childrenOf(net: Net, at: string): readonly string[] {
  const numbers = Array.from({ length: MAX_CHILDREN }, (_, i) => String(i)).filter((i) => net.has(`${at}.${i}`, false));
  if (numbers.length > 0) return numbers;
  const below = `${net.store.sourceName(at)}.`;
  const { prefix = '' } = net.store;
  const inside = net.store.modules.map((name) => prefix + name).filter((name) => name.startsWith(below));
  return [...new Set(inside.map((name) => name.slice(below.length).split('.', 1)[0]!))].slice(0, MAX_CHILDREN);
}

function published(net: Net, x: Value, path: string, act: Activation, layers: Published): Value {
  net.endsInClasses = true;
  return layers.reduce((y, [suffix, out], i) => {
    const dense = net.dense(y, suffix === '' ? path : `${path}.${suffix}`, { out, ...only(net, path, layers.length) });
    return i < layers.length - 1 ? net.activation(dense, act) : dense;
  }, x);
}

function isDense(net: Net, path: string): boolean {
  return net.store.shape(path)?.length === 2;
}

function isStatistics(net: Net, path: string): boolean {
  return net.store.shape(path, 'mean') !== undefined;
}
