/** The list of all operators. */
import { concat, flatten, pad, reshape, slice, transpose } from './arrangement.js';
import { constant } from './constant.js';
import { conv, convTranspose } from './convolution.js';
import { gather, gemm, matMul } from './dense.js';
import { activations, arithmetic, clip, pRelu, variadics } from './elementwise.js';
import { cast, comparisons, not, where } from './logic.js';
import { batchNormalization, logSoftmax, lrn, softmax } from './normalisation.js';
import type { Operator } from './operator.js';
import { averagePool, globalAveragePool, globalMaxPool, maxPool } from './pooling.js';
import { argMax, reductions } from './reduction.js';
import { resize } from './resize.js';
import { constantOfShape, expand, range, shape, size, squeeze, unsqueeze } from './sizes.js';

const LIST: readonly Operator[] = [
  conv,
  convTranspose,
  gemm,
  matMul,
  gather,
  batchNormalization,
  lrn,
  softmax,
  logSoftmax,
  ...activations,
  clip,
  pRelu,
  maxPool,
  averagePool,
  globalAveragePool,
  globalMaxPool,
  flatten,
  reshape,
  transpose,
  concat,
  pad,
  slice,
  resize,
  ...arithmetic,
  ...variadics,
  ...reductions,
  argMax,
  constant,
  shape,
  size,
  unsqueeze,
  squeeze,
  expand,
  range,
  constantOfShape,
  ...comparisons,
  not,
  where,
  cast,
];

export const OPS: Readonly<Record<string, Operator>> = Object.fromEntries(LIST.map((operator) => [operator.op, operator]));

/** @returns undefined where the vocabulary has no such operator */
export function operatorOf(op: string): Operator | undefined {
  return Object.hasOwn(OPS, op) ? OPS[op] : undefined;
}
