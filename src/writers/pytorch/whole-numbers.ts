/** Arithmetic on whole numbers that PyTorch does otherwise than the source: it wraps around alike, but does not keep to integers everywhere. */
import { isModelError, ModelError } from '../../errors.js';
import { isFloatDType } from '../../model/dtype.js';
import type { Layer, LayerMap } from '../../model/layer-map.js';
import { inferMap, type ValueType } from '../../model/ops/index.js';
import { wholeResults } from '../../model/whole-numbers.js';
import { torchDType } from './graph-expressions.js';

/** What makes fractions of whole numbers, or takes none. */
const FRACTIONS: Readonly<Record<string, string>> = {
  Mean: 'the quotient of two integers is a fraction in PyTorch, and cut off to a whole number in the source',
  ReduceMean: 'PyTorch has no mean of integers',
  ReduceL2: 'PyTorch has no root of integers',
  ReduceLogSum: 'PyTorch has no logarithm of integers',
  ReduceLogSumExp: 'PyTorch has no exponential of integers',
};

/** What becomes int64. */
const SUMS: ReadonlySet<string> = new Set(['ReduceSum', 'ReduceL1', 'ReduceSumSquare']);

export function wholeObstacles(map: LayerMap): ModelError[] {
  let types: ReadonlyMap<string, ValueType>;
  try {
    types = inferMap(map);
  } catch (error) {
    if (isModelError(error)) return [error];
    throw error;
  }
  const results = wholeResults(map, types);
  const problem = (layer: Layer): string | null => {
    const dtype = types.get(layer.outputs[0]!)?.dtype;
    const strange = [...layer.inputs, ...layer.outputs].map((value) => types.get(value)?.dtype).find((one) => one && torchDType(one) === null);
    if (strange) return `${layer.op} of ${strange} values, which PyTorch does not compute with`;
    if (!dtype || isFloatDType(dtype)) return null;
    if (Object.hasOwn(FRACTIONS, layer.op)) return `${layer.op} of ${dtype} values: ${FRACTIONS[layer.op]}`;
    // A sum along an axis becomes int64; all else wraps around as it does in the source.
    const wraps = SUMS.has(layer.op) && results.get(layer.outputs[0]!)?.wraps;
    return wraps ? `${layer.op} of ${dtype} values may leave their range and wrap around, and PyTorch's is int64` : null;
  };
  return map.layers.flatMap((layer) => {
    const found = problem(layer);
    return found === null ? [] : [new ModelError('unsupported', found, { layer: layer.name })];
  });
}
