/** Evaluates one layer in float64. */
import { isModelError, ModelError } from '../../errors.js';
import type { DType } from '../dtype.js';
import type { Layer } from '../layer-map.js';
import type { Value } from './array.js';
import { type Bound, bindSlots } from './layers.js';
import { type Multiplier, ownMultiplier } from './multiplier.js';
import { readOperand } from './operands.js';
import { type Operand, slotName } from './operator.js';
import { operatorOf } from './table.js';

/** Whether `evaluateLayer` can do the layer. */
export function canEvaluate(layer: Layer): boolean {
  const operator = layer.foreign ? undefined : operatorOf(layer.op);
  return operator !== undefined && (operator.compute ?? operator.run) !== undefined;
}

/**
 * What a layer makes, one value for each of its outputs.
 *
 * @param inputs in the layer's order, undefined where one is left out; never changed, and the results may share their data
 * @param multiplier does the products of large layers; this thread where left out
 * @throws ModelError 'engine' naming the layer for what the evaluator does not do
 */
export async function evaluateLayer(layer: Layer, inputs: readonly (Value | undefined)[], multiplier: Multiplier = ownMultiplier): Promise<readonly Value[]> {
  const operator = layer.foreign ? undefined : operatorOf(layer.op);
  if (!operator) throw new ModelError('engine', `the reference evaluator has no operator ${layer.op}`, { layer: layer.name });
  try {
    const bound = bindSlots<Operand | undefined>(operator, layer, inputs, (tensor) => tensor);
    const attributes = layer.attributes as never;
    const made = operator.run
      ? await operator.run(bound as never, attributes, { multiplier })
      : operator.compute!((await readAll(bound)) as never, attributes, { outputs: layer.outputs.length });
    const types = operator.dtype?.(bound as never, attributes) ?? made.map(() => firstDType(operator.slots, bound));
    return made.map((value, i) => withDType(value, types[i] ?? 'float32'));
  } catch (error) {
    throw isModelError(error) ? error.at({ layer: layer.name }) : error;
  }
}

function firstDType(slots: readonly string[], bound: Bound<Operand | undefined>): DType {
  const first = slots.map((slot) => bound[slotName(slot)]).find((filled) => filled !== undefined) as Operand | readonly Operand[] | undefined;
  const one = Array.isArray(first) ? first[0] : (first as Operand | undefined);
  return one?.dtype ?? 'float32';
}

async function readAll(bound: Bound<Operand | undefined>): Promise<Record<string, unknown>> {
  const entries = await Promise.all(
    Object.entries(bound).map(async ([slot, filled]) => {
      if (filled === undefined) return [slot, undefined] as const;
      return [slot, Array.isArray(filled) ? await Promise.all(filled.map(readOperand)) : await readOperand(filled as Operand)] as const;
    }),
  );
  return Object.fromEntries(entries);
}

/** Integers wrap around at the ends of their range, as in every runtime; int64 and uint64 are as exact as float64 is. */
function withDType(value: Value, dtype: DType): Value {
  const wrap = WRAP[dtype];
  return { shape: value.shape, data: wrap ? value.data.map(wrap) : value.data, dtype };
}

const WRAP: Readonly<Partial<Record<DType, (element: number) => number>>> = {
  int8: (x) => (x << 24) >> 24,
  int16: (x) => (x << 16) >> 16,
  int32: (x) => x | 0,
  uint8: (x) => x & 0xff,
  uint16: (x) => x & 0xffff,
  uint32: (x) => x >>> 0,
  int64: Math.trunc,
  uint64: (x) => (x <= -1 ? Math.trunc(x) + 2 ** 64 : Math.trunc(x)),
};
