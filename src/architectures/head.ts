/** Classifiers at the end of a net, as published and as people replace them when they fine-tune. */
import type { Activation, Net, Value } from './net.js';

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

/**
 * A classifier over [batch, features]: one dense layer, a Sequential of several, or none.
 *
 * Activations and dropout have no weights; numbers that are left out between two layers of a Sequential are taken for an activation.
 */
export function head(net: Net, x: Value, path: string, { act = 'relu', layers = [['', CLASSES]], also = [] }: HeadOptions = {}): Value {
  if (net.store.has(path) === undefined) return published(net, x, path, act, layers);
  const at = [path, ...also].find((candidate) => net.has(candidate, false));
  if (at === undefined) return x;
  net.endsInClasses = true;
  if (isDense(net, at)) return net.dense(x, at);
  const children = Array.from({ length: MAX_CHILDREN }, (_, i) => i).filter((i) => net.has(`${at}.${i}`, false));
  let y = x;
  children.forEach((child, i) => {
    const name = `${at}.${child}`;
    const gap = i === 0 ? 1 : child - children[i - 1]!;
    // Before the first layer there is at most dropout.
    if (gap > 1 && !isStatistics(net, name)) {
      if (layers.length < 2) net.assume('head', `between the layers of the head ("${at}") stands a ${act}`);
      y = net.activation(y, act);
    }
    y = isStatistics(net, name) ? net.norm(y, name) : net.dense(y, name);
  });
  return y;
}

function published(net: Net, x: Value, path: string, act: Activation, layers: NonNullable<HeadOptions['layers']>): Value {
  net.endsInClasses = true;
  return layers.reduce((y, [suffix, out], i) => {
    const dense = net.dense(y, suffix === '' ? path : `${path}.${suffix}`, { out });
    return i < layers.length - 1 ? net.activation(dense, act) : dense;
  }, x);
}

function isDense(net: Net, path: string): boolean {
  return net.store.shape(path)?.length === 2;
}

function isStatistics(net: Net, path: string): boolean {
  return net.store.shape(path, 'mean') !== undefined;
}
