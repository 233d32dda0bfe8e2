/** Constant: a stored tensor wherever a value can stand. */
import { operator } from './operator.js';

/** No inputs; the tensor is the weight `value`, of any dtype, read when it is needed. Several layers may read what it makes. */
export const constant = operator({
  op: 'Constant',
  slots: ['value'],
  weights: ['value'],
  attributes: {},
  shape: ({ value }) => [value.shape],
  elements: ({ value }) => value.elements,
  axes: 'fixed',
  onnx: {},
  compute: ({ value }) => [value],
});
