/** Division that rounds down, as Python's `//` and TensorFlow's FloorDiv do; ONNX's Div of integers rounds towards zero. */
import type { Value } from '../model/builder.js';
import { isSumOfSizes, quotientOf } from '../model/dims.js';
import { isFloatDType } from '../model/dtype.js';

type Step = (op: string, inputs: readonly Value[]) => Value;

/**
 * floor(a / b), and (a - a mod b) / b for integers, which is exact.
 *
 * @param before adds a layer before the last one
 * @param last adds the layer that makes the quotient
 */
export function floorQuotient(a: Value, b: Value, before: Step, last: Step): Value {
  if (a.dtype !== null && isFloatDType(a.dtype)) return last('Floor', [before('Div', [a, b])]);
  // Sizes stay arithmetic of sizes, which shapes are worked out from.
  if (roundsAlike(a, b)) return last('Div', [a, b]);
  return last('Div', [before('Sub', [a, before('Mod', [a, b])]), b]);
}

/** a - b floor(a / b): what is left has the sign of the divisor. ONNX has it for integers alone. */
export function floorRemainder(a: Value, b: Value, before: Step, last: Step): Value {
  if (a.dtype === null || !isFloatDType(a.dtype)) return last('Mod', [a, b]);
  return last('Sub', [a, before('Mul', [before('Floor', [before('Div', [a, b])]), b])]);
}

/** Whether down and towards zero are one: neither is negative, or nothing is left. */
function roundsAlike(a: Value, b: Value): boolean {
  if (isNeverNegative(a) && isNeverNegative(b)) return true;
  const [[size], [by]] = [a.elements ?? [], b.elements ?? []];
  return a.elements?.length === 1 && b.elements?.length === 1 && size != null && by != null && quotientOf(size, by) !== null;
}

function isNeverNegative({ dtype, elements }: Value): boolean {
  return (dtype?.startsWith('uint') ?? false) || (elements?.every((element) => element !== null && isSumOfSizes(element)) ?? false);
}
