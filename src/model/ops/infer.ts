/** Works out dtype and shape of every value of a graph, and the elements of small ones as far as they are known before it runs. */
import { isModelError, ModelError } from '../../errors.js';
import { type DType, isFloatDType } from '../dtype.js';
import type { Dim, Layer, LayerMap } from '../layer-map.js';
import { portValueShape } from '../ports.js';
import type { Tensor } from '../tensor.js';
import type { Value } from './array.js';
import { type Bound, bindSlots } from './layers.js';
import type { Elements, Operator, Shaped, ValueType } from './operator.js';
import { roundTo } from './rounding.js';
import { operatorOf } from './table.js';

/** Values with more elements are not followed: what makes shapes is small. */
const MAX_KNOWN_ELEMENTS = 1024;

/**
 * Types of what a layer makes.
 *
 * @param given types of its inputs, in order; anything for one that is left out
 * @throws ModelError 'malformed' naming the layer where what flows in does not fit it
 */
export function inferLayer(layer: Layer, given: readonly ValueType[]): readonly ValueType[] {
  const last = INFERRED.get(layer);
  if (last?.given.length === given.length && given.every((type, i) => isSame(type, last.given[i]!))) return last.made;
  const made = infer(layer, given);
  INFERRED.set(layer, { given, made });
  return made;
}

/** What came of each layer last: the types of a map are asked for by the builder, transforms and writers, and layers never change. */
const INFERRED = new WeakMap<Layer, { readonly given: readonly ValueType[]; readonly made: readonly ValueType[] }>();

function isSame(a: ValueType, b: ValueType): boolean {
  return a === b || (a.dtype === b.dtype && isSameList(a.shape, b.shape) && isSameList(a.elements, b.elements));
}

function isSameList(a: readonly unknown[] | null | undefined, b: readonly unknown[] | null | undefined): boolean {
  return a === b || (a?.length === b?.length && a?.every((item, i) => item === b![i]) === true);
}

function infer(layer: Layer, given: readonly ValueType[]): readonly ValueType[] {
  if (layer.foreign) return layer.outputs.map((_, i) => layer.foreign!.types[i] ?? UNKNOWN);
  const operator = operatorOf(layer.op);
  if (!operator) throw new ModelError('unsupported', `the operator ${layer.op} is not known`, { layer: layer.name });
  const computed = weightDType(layer, given);
  const bound = bindSlots<ValueType>(operator, layer, given, (tensor) => weightType(tensor, layer, computed));
  try {
    return inferBound(operator, layer, bound);
  } catch (error) {
    const [file, tensor] = [layer.weights.kernel?.origin.file, layer.weights.kernel?.name];
    throw isModelError(error) ? error.at({ layer: layer.name, ...(file === undefined ? {} : { file }), ...(tensor === undefined ? {} : { tensor }) }) : error;
  }
}

const UNKNOWN: ValueType = { dtype: null, shape: null };

/** dtype in which stored weights of whatever float dtype are computed with: that of what flows in, float32 where nothing does. */
function weightDType(layer: Layer, given: readonly ValueType[]): DType {
  const float = layer.op === 'Constant' ? undefined : given.find(({ dtype }) => dtype !== null && isFloatDType(dtype));
  return float?.dtype ?? 'float32';
}

function weightType(tensor: Tensor, layer: Layer, computed: DType): ValueType {
  const dtype = layer.op === 'Constant' || !isFloatDType(tensor.dtype) ? tensor.dtype : computed;
  return { dtype, shape: tensor.shape, ...(tensor.known ? { elements: tensor.known } : {}) };
}

function inferBound(operator: Operator, layer: Layer, bound: Bound<ValueType>): readonly ValueType[] {
  const all = Object.values(bound).flatMap((value) => value ?? []);
  const attributes = layer.attributes as never;
  const dtypes = operator.dtype?.(bound as never, attributes) ?? layer.outputs.map(() => all[0]?.dtype ?? null);
  if (all.some(({ shape }) => shape === null)) return layer.outputs.map((_, i) => ({ dtype: dtypes[i] ?? null, shape: null }));
  const context = { outputs: layer.outputs.length, fresh: (output: number, axis: number) => `?${layer.outputs[output] ?? layer.name}.${axis}` };
  const shapes = operator.shape(bound as never, attributes, context);
  for (const shape of shapes) {
    const endless = shape.find((size) => typeof size === 'number' && size > Number.MAX_SAFE_INTEGER);
    if (endless !== undefined) throw new ModelError('malformed', `${layer.op} makes an axis of ${endless} places, which no tensor has`);
    if (shape.some((size) => typeof size === 'number' && (!Number.isInteger(size) || size < 0))) {
      const from = all.map((value) => `[${value.shape}]`).join(', ');
      throw new ModelError('malformed', `${layer.op} makes the shape [${shape}] from ${from}. Is the input too small?`);
    }
  }
  const elements = inferElements(operator, layer, bound as Bound<Shaped>, all as readonly Shaped[], shapes, dtypes);
  return layer.outputs.map((_, i) => ({ dtype: dtypes[i] ?? null, shape: shapes[i] ?? null, ...(elements?.[i] ? { elements: elements[i] } : {}) }));
}

/** Elements of the outputs, where all of the operator's work can be done now. */
function inferElements(
  operator: Operator,
  layer: Layer,
  bound: Bound<Shaped>,
  all: readonly Shaped[],
  shapes: readonly (readonly Dim[])[],
  dtypes: readonly (DType | null)[],
): readonly Elements[] | undefined {
  const few = shapes.every((shape) => countOf(shape) <= MAX_KNOWN_ELEMENTS);
  if (!few) return undefined;
  const attributes = layer.attributes as never;
  const known = all.length > 0 && all.every(({ elements, shape }) => elements && countOf(shape) === elements.length);
  const numeric = known && all.every(({ elements }) => elements!.every((element) => typeof element === 'number'));
  if (operator.compute && numeric) {
    return evaluated(operator, layer, bound, attributes, (element) => element as number)?.map(({ data }, i) => [...roundTo(data, dtypes[i] ?? 'float64')]);
  }
  const own = operator.elements?.(bound as never, attributes);
  if (own) return [own];
  if (!operator.moves || !known) return undefined;
  // Elements that are only moved can be anything: their places in one long list move in their stead.
  const list: (Dim | null)[] = [];
  const made = evaluated(operator, layer, bound, attributes, (element) => list.push(element) - 1);
  return made?.map(({ data }) => [...data].map((at) => list[at] ?? null));
}

/** Runs the operator on what is known of its inputs; undefined where it declines. */
function evaluated(
  operator: Operator,
  layer: Layer,
  bound: Bound<Shaped>,
  attributes: never,
  toNumber: (element: Dim | null) => number,
): readonly Value[] | undefined {
  // Attributes in slots (a Slice's starts) say how elements move; they are never among those moved.
  const flowing = new Set(Object.keys(operator.attributes));
  const value = ({ dtype, shape, elements }: Shaped, slot: string): Value | null => {
    const data = elements!.map((element) => (flowing.has(slot) ? (typeof element === 'number' ? element : Number.NaN) : toNumber(element)));
    return data.some(Number.isNaN) ? null : { shape: shape as readonly number[], data: Float64Array.from(data), ...(dtype ? { dtype } : {}) };
  };
  const inputs = Object.entries(bound).map(([slot, filled]) => {
    if (filled === undefined) return [slot, undefined] as const;
    return [slot, Array.isArray(filled) ? filled.map((one: Shaped) => value(one, slot)) : value(filled as Shaped, slot)] as const;
  });
  if (inputs.some(([, filled]) => filled === null || (Array.isArray(filled) && filled.includes(null)))) return undefined;
  return operator.compute!(Object.fromEntries(inputs) as never, attributes, { outputs: layer.outputs.length });
}

/** Infinite where a size is free. */
function countOf(shape: readonly Dim[]): number {
  return shape.reduce<number>((product, size) => (typeof size === 'number' ? product * size : Number.POSITIVE_INFINITY), 1);
}

/**
 * Types of all values of a graph, channels-first, by value name.
 *
 * @param inputs types of the graph's input values
 * @throws ModelError 'malformed' naming the first layer whose weights do not fit what flows into it
 */
export function inferValues(layers: readonly Layer[], inputs: ReadonlyMap<string, ValueType>): Map<string, ValueType> {
  const types = new Map([...inputs].map(([name, type]) => [name, withNamedSizes(name, type)]));
  for (const layer of layers) {
    const given = layer.inputs.map((value) => {
      if (value === '') return UNKNOWN;
      const type = types.get(value);
      if (!type) throw new ModelError('malformed', `reads "${value}", which no earlier layer makes`, { layer: layer.name });
      return type;
    });
    const made = inferLayer(layer, given);
    layer.outputs.forEach((value, i) => {
      if (value !== '') types.set(value, made[i] ?? UNKNOWN);
    });
  }
  return types;
}

/** '?' names nothing: two of them are two sizes. */
function withNamedSizes(name: string, type: ValueType): ValueType {
  if (!type.shape?.includes('?')) return type;
  return { ...type, shape: type.shape.map((size, axis) => (size === '?' ? `?${name}.${axis}` : size)) };
}

/** Types of all values of a layer map. */
export function inferMap(map: Pick<LayerMap, 'inputs' | 'layers'>): Map<string, ValueType> {
  return inferValues(map.layers, new Map(map.inputs.map((port) => [port.value, { dtype: port.valueDType ?? 'float32', shape: portValueShape(port) }])));
}

/** Shapes of all values whose shape is known, given those of the graph's inputs; see `inferValues`. */
export function inferShapes(layers: readonly Layer[], inputs: ReadonlyMap<string, readonly Dim[]>): Map<string, readonly Dim[]> {
  const types = inferValues(layers, new Map([...inputs].map(([name, shape]) => [name, { dtype: 'float32', shape }])));
  return new Map([...types].flatMap(([name, { shape }]) => (shape ? [[name, shape] as const] : [])));
}
