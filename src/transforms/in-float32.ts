/**
 * A net of doubles or of half precision that computes in float32: its ports, weights, casts and everything that flows as floats.
 *
 * What is finite stays so: numbers of formulas that float32 has not (the least double, which masks are filled with) are the largest that it has.
 */
import { ModelError, throwAll } from '../errors.js';
import { castTensor } from '../model/cast.js';
import { type DType, isFloatDType } from '../model/dtype.js';
import type { Change } from '../model/edited.js';
import type { AttributeValue, Layer, LayerMap, Port } from '../model/layer-map.js';
import { numbersTensor } from '../model/numbers.js';
import { inferMap, operatorOf } from '../model/ops/index.js';
import { elementCount, type Tensor } from '../model/tensor.js';

const LARGEST = (2 - 2 ** -23) * 2 ** 127;

const isOther = (dtype: DType | null | undefined): dtype is DType => dtype === 'float64' || dtype === 'float16' || dtype === 'bfloat16';

/** Whether anything of the net is computed in other floats than float32. */
export function computesInOtherFloats(map: LayerMap): boolean {
  if (map.inputs.some(({ valueDType }) => isOther(valueDType))) return true;
  return [...inferMap(map).values()].some(({ dtype }) => isOther(dtype));
}

/** @throws ModelError 'unsupported' naming what is kept as it came, and computes in floats of its own */
export function computeInFloat32(map: LayerMap): { readonly map: LayerMap; readonly change: Change } {
  const types = inferMap(map);
  const kept = map.layers.filter(({ foreign, outputs, inputs }) => foreign && [...inputs, ...outputs].some((name) => isOther(types.get(name)?.dtype)));
  if (kept.length > 0) {
    const errors = kept.map(
      ({ name, foreign }) => new ModelError('unsupported', `${foreign!.op} is kept as it came, and computes in floats of its own`, { layer: name }),
    );
    throwAll(errors, 'The net cannot be made to compute in float32:');
  }
  const found = new Set([...map.inputs.map(({ valueDType }) => valueDType), ...[...types.values()].map(({ dtype }) => dtype)].filter(isOther));
  const changed = map.layers.map((layer) => changedLayer(layer));
  const layers = map.layers.filter((layer, i) => layer !== changed[i]).map(({ name }) => name);
  const message = `what computed in ${[...found].join(' and ')} computes in float32`;
  return {
    map: { ...map, inputs: map.inputs.map(changedPort), outputs: map.outputs.map(changedPort), layers: changed },
    change: { transform: 'in-float32', message, layers },
  };
}

function changedPort(port: Port): Port {
  const changed = (dtype: DType): DType => (isOther(dtype) ? 'float32' : dtype);
  return { ...port, dtype: changed(port.dtype), ...(port.valueDType ? { valueDType: changed(port.valueDType) } : {}) };
}

function changedLayer(layer: Layer): Layer {
  const specs = operatorOf(layer.op)?.attributes ?? {};
  const attributes = Object.entries(layer.attributes).map(([name, value]): [string, AttributeValue] => {
    if (specs[name]?.isDType) return [name, isOther(value as DType) ? 'float32' : value];
    return [name, typeof value === 'number' && Number.isFinite(value) ? within(value) : value];
  });
  const weights = Object.entries(layer.weights).map(([role, tensor]) => [role, changedWeight(tensor)] as const);
  const isSame = attributes.every(([name, value]) => value === layer.attributes[name]) && weights.every(([role, tensor]) => tensor === layer.weights[role]);
  return isSame ? layer : { ...layer, attributes: Object.fromEntries(attributes), weights: Object.fromEntries(weights) };
}

function changedWeight(tensor: Tensor): Tensor {
  if (!isFloatDType(tensor.dtype) || tensor.dtype === 'float32') return tensor;
  // Numbers of formulas are at hand.
  if (tensor.known && tensor.known.length === elementCount(tensor.shape) && tensor.known.every((one) => typeof one === 'number'))
    return numbersTensor(tensor.name, 'float32', tensor.shape, (tensor.known as readonly number[]).map(within), tensor.origin);
  return castTensor(tensor, 'float32');
}

const within = (value: number): number => (Number.isFinite(value) ? Math.min(Math.max(value, -LARGEST), LARGEST) : value);
