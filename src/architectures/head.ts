/** Classifiers at the end of a net, as published and as people replace them when they fine-tune. */
import type { Activation, Net, Value } from './net.js';
import { RAW_NAME } from './store.js';

/** More layers than any head has. */
const MAX_CHILDREN = 32;

export interface HeadOptions {
  /** Between its layers. */
  readonly act?: Activation;
  /** The published head, for a net without weights: modules below the head's own, and their widths. */
  readonly layers?: readonly (readonly [path: string, out: number])[];
  /** Other modules under which the head may lie. */
  readonly also?: readonly string[];
}

export const CLASSES = 1000;

/** The mean of each channel, and a classifier over them. Keras's nets without their top end in the picture of features. */
export function pooledHead(net: Net, x: Value, path: string, options: HeadOptions = {}): Value {
  const isHeadless = net.ecosystem === 'keras' && ![path, ...(options.also ?? [])].some((name) => net.has(name, true));
  return isHeadless ? x : head(net, net.globalPool(x), path, options);
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
 * A classifier over [batch, features]: one dense layer, a Sequential of several, or none. It has the published name, or lies beside the
 * net under one of those that people give it.
 *
 * Activations and dropout have no weights; between two dense layers of a Sequential stands an activation.
 */
export function head(net: Net, x: Value, path: string, { act = 'relu', layers = [['', CLASSES]], also = [] }: HeadOptions = {}): Value {
  const { store } = net;
  if (store.has(path) === undefined) return published(net, x, path, act, layers);
  const prefixes = [...new Set([store.prefix ?? '', ''])];
  const raw = store.ecosystem === 'keras' ? [] : prefixes.flatMap((prefix) => OTHER_NAMES.map((name) => `${RAW_NAME}${prefix}${name}`));
  const at = [path, ...also, ...raw].find((candidate) => net.has(candidate, false));
  if (at === undefined) return x;
  net.endsInClasses = true;
  if (isDense(net, at)) return net.dense(x, at);
  const children = childrenOf(net, at);
  let y = x;
  children.forEach((child, i) => {
    const name = `${at}.${child}`;
    // Before the first layer there is at most dropout. Of layers with names only those without weights are missing.
    const gap = i === 0 ? 1 : Number(child) - Number(children[i - 1]);
    const isActive = i > 0 && (Number.isNaN(gap) ? isDense(net, `${at}.${children[i - 1]}`) || isStatistics(net, `${at}.${children[i - 1]}`) : gap > 1);
    if (isActive && !isStatistics(net, name)) {
      if (layers.length < 2) net.assume('head', `between the layers of the head ("${store.sourceName(at)}") stands a ${act}`);
      y = net.activation(y, act);
    }
    y = isStatistics(net, name) ? net.norm(y, name) : net.dense(y, name, only(net, at, children.length));
  });
  return y;
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
  const names = net.store.modules.map((name) => prefix + name).filter((name) => name.startsWith(below) && !name.slice(below.length).includes('.'));
  return names.slice(0, MAX_CHILDREN).map((name) => name.slice(below.length));
}

function published(net: Net, x: Value, path: string, act: Activation, layers: NonNullable<HeadOptions['layers']>): Value {
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
