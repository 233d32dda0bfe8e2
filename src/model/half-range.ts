/**
 * Numbers that stand in a graph, such as an epsilon or the filling of a mask, as a graph that computes in float16 has them: one that float16 would
 * round to zero is the smallest that it has, and what is too large for it the largest. So nothing is divided by zero, and a mask that hides all places
 * gives no NaN.
 */
import { castTensor } from './cast.js';
import { isFloatDType } from './dtype.js';
import type { Layer } from './layer-map.js';
import { elementCount, type Tensor, withStage } from './tensor.js';

/** The largest finite float16. */
export const LARGEST_HALF = 65504;
/** The smallest one above zero. */
const SMALLEST_HALF = 2 ** -24;

/** How many numbers were held. */
export interface HeldTally {
  large: number;
  small: number;
}

/** What adds a number, bounds by it, or puts it in a place; a factor that float16 does not hold is of no use as another one. */
const GUARDS: ReadonlySet<string> = new Set(['Add', 'Sub', 'Max', 'Min', 'Clip', 'Where', 'Pad']);

/** The layers whose numbers are held, constants that nothing else reads among them. */
export function guardsOf(layers: readonly Layer[]): ReadonlySet<Layer> {
  const elsewhere = new Set(layers.flatMap(({ op, inputs }) => (GUARDS.has(op) ? [] : inputs)));
  return new Set(layers.filter(({ op, outputs }) => GUARDS.has(op) || (op === 'Constant' && !outputs.some((output) => elsewhere.has(output)))));
}

/** The roles in which such a layer has them. */
const GUARD_ROLES: readonly string[] = ['operand', 'value'];

/** A weight of such a layer as the file has it. */
export function heldWeight(role: string, tensor: Tensor, tally?: HeldTally): Tensor {
  return GUARD_ROLES.includes(role) && isFloatDType(tensor.dtype) && tensor.dtype !== 'float64' ? heldTensor(tensor, tally) : tensor;
}

/** @param isAlone of several numbers some may vanish beside the others */
export function heldInHalf(value: number, isAlone: boolean): number {
  const size = Math.abs(value);
  if (size > LARGEST_HALF && Number.isFinite(size)) return Math.sign(value) * LARGEST_HALF;
  // Half of the smallest one is rounded to zero still.
  return isAlone && size !== 0 && size <= SMALLEST_HALF / 2 ? Math.sign(value) * SMALLEST_HALF : value;
}

function heldTensor(tensor: Tensor, tally: HeldTally = { large: 0, small: 0 }): Tensor {
  const isAlone = elementCount(tensor.shape) === 1;
  return withStage(castTensor(tensor, 'float32'), {
    dtype: 'float32',
    apply(input) {
      const values = new Float32Array(input.buffer, input.byteOffset, input.byteLength / 4);
      for (let i = 0; i < values.length; i++) {
        const held = heldInHalf(values[i]!, isAlone);
        if (held === values[i] || Number.isNaN(held)) continue;
        tally[Math.abs(held) === LARGEST_HALF ? 'large' : 'small']++;
        values[i] = held;
      }
      return input;
    },
  });
}
