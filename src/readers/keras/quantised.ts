/**
 * Layers that Keras 3 has quantised to int8. Their weights are codes, which a scale divides; what flows into a dense layer becomes codes too,
 * row by row.
 *
 * @see `_int8_call` of keras/src/layers/core/dense.py and embedding.py, `abs_max_quantize` of keras/src/quantizers/quantizers.py
 */
import { castTensor } from '../../model/cast.js';
import { reshape, type Tensor } from '../../model/tensor.js';
import { constantValue } from './arithmetic.js';
import { reduce } from './axes.js';
import type { Scope } from './scope.js';
import type { Value } from './value.js';

/** The largest code; the least is its negative. */
const MOST = 127;
/** What the largest magnitude of a row is kept from being nothing by. */
const KERAS_EPSILON = 1e-7;

/** The product of a value and a kernel of codes [in, out], whose columns have a scale each. */
export function int8Product(input: Value, kernel: Tensor, scale: Tensor, scope: Scope): Value {
  const value = scope.builder.toKeras(input);
  const most = reduce('ReduceMax', scope.add('Abs', [value]), [value.shape.length - 1], true, scope);
  const own = scope.add('Div', [constantValue({ shape: [], values: [MOST] }, scope), scope.withScalar('Add', most, KERAS_EPSILON)]);
  const codes = scope.add('Clip', [scope.add('Round', [scope.add('Mul', [value, own])])], { attributes: { min: -MOST, max: MOST } });
  const product = scope.add('MatMul', [codes], { weights: { kernel: castTensor(kernel, 'float32') } });
  return scope.add('Div', [product, scope.add('Mul', [own], { weights: { operand: scale } })]);
}

/** Rows of a table of codes, each with a scale. */
export function int8Rows(ids: Value, table: Tensor, scale: Tensor, scope: Scope): Value {
  const rows = scope.add('Gather', [ids], { weights: { table: castTensor(table, 'float32') } });
  const scales = scope.add('Gather', [ids], { weights: { table: reshape(scale, [scale.shape[0]!, 1]) } });
  return scope.add('Div', [rows, scales]);
}
