/** Nodes that put numbers into bins, or count them there. */
import type { TfRule } from './rule.js';

/** Comparisons beside each other for every number: more bins than categories that people give to nets. */
const MOST_BINS = 4096;

/** How many boundaries a number has reached; all of them where it is none. */
const bucketize: TfRule = (operation) => {
  const boundaries = operation.numbers('boundaries');
  if (boundaries.length > MOST_BINS) throw operation.decline(`it has ${boundaries.length} boundaries, and up to ${MOST_BINS} are compared beside each other`);
  const x = operation.input(0);
  const numbers = x.dtype === 'float32' ? x : operation.before('Cast', [x], { to: 'float32' });
  const rank = operation.rank(x);
  const each = operation.before('Unsqueeze', [numbers], { axes: [rank] });
  const isReached = operation.before('Not', [operation.before('Less', [each, operation.build.numbers('float32', boundaries)])]);
  return operation.add('ReduceSum', [operation.before('Cast', [isReached], { to: 'int32' })], { axes: [rank], keepdims: 0 });
};

/** inputs: rows of integers, how many bins there are, what each counts, if not one. What has no bin is left out. */
const bincount: TfRule = (operation) => {
  const [x, weights] = [operation.input(0), operation.input(2)];
  const [count] = operation.known(1, 'size');
  if (!(count! >= 1 && count! <= MOST_BINS)) throw operation.decline(`it has ${count} bins, and up to ${MOST_BINS} are compared beside each other`);
  const rank = operation.rank(x);
  const dtype = weights.dtype ?? 'float32';
  const bins = operation.build.numbers(
    x.dtype ?? 'int32',
    Array.from({ length: count! }, (_, bin) => bin),
  );
  const isOf = operation.before('Equal', [operation.before('Unsqueeze', [x], { axes: [rank] }), bins]);
  const ones = operation.before('Cast', [isOf], { to: dtype });
  const isWeighted = !operation.sizes(weights).includes(0);
  const [axes, keepdims] = [[rank - 1], 0];
  if (operation.flag('binary_output')) return operation.add('ReduceMax', [ones], { axes, keepdims });
  const shares = isWeighted ? operation.before('Mul', [ones, operation.before('Unsqueeze', [weights], { axes: [rank] })]) : ones;
  return operation.add('ReduceSum', [shares], { axes, keepdims });
};

export const bins: Readonly<Record<string, TfRule>> = { Bucketize: bucketize, DenseBincount: bincount };
