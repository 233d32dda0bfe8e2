/**
 * Layers that computed in doubles or in half precision, made to compute in float32: their weights, casts, constants and what they make of a dtype.
 *
 * What is finite stays so: numbers of formulas that float32 has not (the least double, which masks are filled with) are the largest that it has.
 */
import { castTensor } from './cast.js';
import { type DType, isFloatDType } from './dtype.js';
import type { AttributeValue, Layer } from './layer-map.js';
import { numbersTensor } from './numbers.js';
import { operatorOf } from './ops/index.js';
import { elementCount, type Tensor } from './tensor.js';

const LARGEST = (2 - 2 ** -23) * 2 ** 127;

export const isOtherFloat = (dtype: DType | null | undefined): dtype is DType => dtype === 'float64' || dtype === 'float16' || dtype === 'bfloat16';

export const floatsAs32 = (dtype: DType): DType => (isOtherFloat(dtype) ? 'float32' : dtype);

/** @returns the same layer where nothing of it is in other floats */
export function layerInFloat32(layer: Layer): Layer {
  const specs = operatorOf(layer.op)?.attributes ?? {};
  const attributes = Object.entries(layer.attributes).map(([name, value]): [string, AttributeValue] => {
    if (specs[name]?.isDType) return [name, floatsAs32(value as DType)];
    return [name, typeof value === 'number' ? within(value) : value];
  });
  const weights = Object.entries(layer.weights).map(([role, tensor]) => [role, weightInFloat32(tensor)] as const);
  const isSame = attributes.every(([name, value]) => value === layer.attributes[name]) && weights.every(([role, tensor]) => tensor === layer.weights[role]);
  return isSame ? layer : { ...layer, attributes: Object.fromEntries(attributes), weights: Object.fromEntries(weights) };
}

function weightInFloat32(tensor: Tensor): Tensor {
  if (!isFloatDType(tensor.dtype) || tensor.dtype === 'float32') return tensor;
  // Numbers of formulas are at hand.
  if (tensor.known && tensor.known.length === elementCount(tensor.shape) && tensor.known.every((one) => typeof one === 'number'))
    return numbersTensor(tensor.name, 'float32', tensor.shape, (tensor.known as readonly number[]).map(within), tensor.origin);
  return castTensor(tensor, 'float32');
}

const within = (value: number): number => (Number.isFinite(value) ? Math.min(Math.max(value, -LARGEST), LARGEST) : value);
