/** The reference evaluator's table: one function for each operator of the table. */
import { concat, flatten, pad, reshape, resize, slice, transpose } from './arrangement.js';
import { conv, convTranspose } from './convolution.js';
import { gather, gemm, matMul } from './dense.js';
import { activations, arithmetic, pRelu, variadic } from './elementwise.js';
import { batchNormalization, logSoftmax, lrn, softmax } from './normalisation.js';
import type { Operator } from './operator.js';
import { averagePool, globalAveragePool, globalMaxPool, maxPool } from './pooling.js';
import { reduceMax, reduceMean, reduceSum } from './reduction.js';

export const OPERATORS: Readonly<Record<string, Operator>> = {
  Conv: conv,
  ConvTranspose: convTranspose,
  Gemm: gemm,
  MatMul: matMul,
  Gather: gather,
  BatchNormalization: batchNormalization,
  ...activations,
  PRelu: pRelu,
  Softmax: softmax,
  LogSoftmax: logSoftmax,
  LRN: lrn,
  MaxPool: maxPool,
  AveragePool: averagePool,
  GlobalAveragePool: globalAveragePool,
  GlobalMaxPool: globalMaxPool,
  Flatten: flatten,
  Reshape: reshape,
  Transpose: transpose,
  Concat: concat,
  ...arithmetic,
  ...variadic,
  ReduceMean: reduceMean,
  ReduceMax: reduceMax,
  ReduceSum: reduceSum,
  Pad: pad,
  Slice: slice,
  Resize: resize,
};
