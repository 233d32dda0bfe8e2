/** The list of all operators. */
import { concat, flatten, pad, reshape, slice, transpose } from './arrangement.js';
import { constant } from './constant.js';
import { conv, convTranspose } from './convolution.js';
import { gather, gemm, matMul } from './dense.js';
import { det } from './determinant.js';
import { einsum } from './einsum.js';
import { activations, arithmetic, bitShift, bits, clip, gelu, isInf, mean, mod, pRelu, variadics } from './elementwise.js';
import {
  channelShuffle,
  compress,
  cumSum,
  depthToSpace,
  eyeLike,
  gatherElements,
  gatherND,
  reverseSequence,
  scatterElements,
  scatterND,
  spaceToDepth,
  split,
  tile,
  trilu,
} from './indexing.js';
import { cast, comparisons, not, where } from './logic.js';
import {
  batchNormalization,
  groupNormalization,
  hardmax,
  instanceNormalization,
  layerNormalization,
  logSoftmax,
  lpNormalization,
  lrn,
  meanVarianceNormalization,
  rmsNormalization,
  softmax,
} from './normalisation.js';
import type { Operator } from './operator.js';
import { centerCropPad, col2Im, deformConv, maxUnpool } from './patches.js';
import { averagePool, globalAveragePool, globalLpPool, globalMaxPool, lpPool, maxPool } from './pooling.js';
import { convInteger, dequantizeLinear, dynamicQuantizeLinear, matMulInteger, qLinearConv, qLinearMatMul, quantizeLinear } from './quantisation.js';
import { reductions } from './reduction.js';
import { resize } from './resize.js';
import { affineGrid, gridSample, roiAlign } from './sampling.js';
import { argMax, argMin, nonMaxSuppression, nonZero, oneHot, topK } from './search.js';
import { constantOfShape, expand, range, shape, size, squeeze, unsqueeze } from './sizes.js';
import { unique } from './unique.js';

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
  gelu,
  isInf,
  mean,
  mod,
  groupNormalization,
  hardmax,
  instanceNormalization,
  layerNormalization,
  lpNormalization,
  meanVarianceNormalization,
  rmsNormalization,
  lpPool,
  channelShuffle,
  cumSum,
  depthToSpace,
  eyeLike,
  gatherElements,
  gatherND,
  scatterElements,
  scatterND,
  spaceToDepth,
  split,
  tile,
  trilu,
  convInteger,
  dequantizeLinear,
  dynamicQuantizeLinear,
  matMulInteger,
  qLinearConv,
  qLinearMatMul,
  quantizeLinear,
  affineGrid,
  gridSample,
  roiAlign,
  argMax,
  argMin,
  nonMaxSuppression,
  nonZero,
  oneHot,
  topK,
  unique,
  ...bits,
  bitShift,
  centerCropPad,
  col2Im,
  deformConv,
  maxUnpool,
  compress,
  det,
  einsum,
  reverseSequence,
  globalLpPool,
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
const BY_NAME = new Map(LIST.map((operator) => [operator.op, operator]));

/** @returns undefined where the vocabulary has no such operator */
export function operatorOf(op: string): Operator | undefined {
  return BY_NAME.get(op);
}
