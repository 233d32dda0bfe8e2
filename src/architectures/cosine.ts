/** Heads that compare directions: ArcFace, CosFace and their like. */
import { derive } from '../model/derivations.js';
import type { Tensor } from '../model/tensor.js';
import type { Leaf } from './leaves.js';
import type { Net, Value } from './net.js';

const SCORES = 'has no bias, and takes features {} (plain: as they are; cosine: it gives cosines of angles between them and its rows, as ArcFace and its like)';
/** What PyTorch's normalize divides by at least. */
const SHORTEST = 1e-12;

/** A single dense layer without a bias, where the user says that it compares directions; null otherwise. */
export function cosineHead(net: Net, x: Value, at: string, [leaf, ...more]: readonly Leaf[]): Value | null {
  if (!leaf || more.length > 0 || leaf.kind !== 'dense' || net.store.shape(leaf.path, 'bias') !== undefined) return null;
  const taken = net.setting<string>('head_scores', 'plain', `the classifier "${net.store.sourceName(at)}" ${SCORES}`);
  return taken === 'cosine' ? net.dense(unit(net, x, 1), leaf.path, { change: { kernel: unitRows } }) : null;
}

/** Along an axis, to length 1. */
export function unit(net: Net, x: Value, axis: number): Value {
  const length = net.op('Sqrt', [net.op('ReduceSum', [net.multiply(x, x)], { axes: [axis], keepdims: 1 })]);
  return net.op('Div', [x, net.op('Clip', [length], { min: SHORTEST })]);
}

const unitRows = (matrix: Tensor) => derive(`${matrix.name}.unit`, 'unit-rows', [matrix]);
