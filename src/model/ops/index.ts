/**
 * The operators: what each operator of the layer map means, in ONNX terms. One definition each, in the files beside this one.
 *
 * Attributes follow the newest opset's meaning; where newer opsets turned an attribute into an input (Reshape's shape, Clip's bounds,
 * Pad's pads), the map keeps the attribute where it is known, and has the input where it flows.
 *
 * @see https://onnx.ai/onnx/operators/
 */
export { inferLayer, inferMap, inferShapes, inferValues } from './infer.js';
export { beyondPlain, bindSlots, isNeverNegative, type LayerDraft, makeLayer, makersOf, readersOf, valuesRead } from './layers.js';
export type { AttributeType, Operator, Shaped, ValueType } from './operator.js';
export { isOptionalSlot, slotName } from './operator.js';
export { scaleTo } from './resize.js';
export { OPS, operatorOf } from './table.js';
export { padsInNumbers, windowedSize } from './window.js';
