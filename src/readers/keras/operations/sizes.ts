/**
 * Numbers that a model works out from the shapes of its values (`tf.shape(x)[0]`, `h * w`), for a reshape most often. They are worked
 * out here; no layer makes them, and none can read them.
 */
import type { Dim } from '../../../model/layer-map.js';
import type { Scope } from '../scope.js';
import { kerasShape, type Value } from '../value.js';
import { isConstant, type Operand, valueAt } from './arguments.js';
import type { Index } from './operation.js';

/** `isOne`: a number rather than a list. Free sizes are words, and so is what is worked out from them. */
export interface Sizes {
  readonly dims: readonly Dim[];
  readonly isOne: boolean;
}

export function sizesValue(dims: readonly Dim[], isOne: boolean): Value {
  return { name: '', shape: isOne ? [] : [dims.length], order: 'keras', integer: true, sizes: { dims, isOne } };
}

export function shapeOf(value: Value): Value {
  return sizesValue(kerasShape(value), false);
}

/** What an operand is as sizes: worked out, or whole numbers of the configuration; null for anything else. */
export function sizesOf(operand: Operand, inputs: readonly Value[]): Sizes | null {
  if (!isConstant(operand)) return valueAt(operand, inputs).sizes ?? null;
  const { shape, values } = operand.constant;
  return shape.length < 2 && values.every(Number.isInteger) ? { dims: values, isOne: shape.length === 0 } : null;
}

/** Arithmetic between sizes, and with numbers. */
export function combineSizes(op: string, left: Sizes, right: Sizes, scope: Scope): Value {
  const count = Math.max(left.dims.length, right.dims.length);
  const at = ({ dims }: Sizes, i: number) => dims[dims.length === 1 ? 0 : i]!;
  if ([left, right].some(({ dims }) => dims.length !== 1 && dims.length !== count)) throw scope.malformed(`${left.dims.length} sizes and ${right.dims.length}`);
  const dims = Array.from({ length: count }, (_, i) => combineDims(op, at(left, i), at(right, i), scope));
  return sizesValue(dims, left.isOne && right.isOne);
}

const ARITHMETIC: Readonly<Record<string, (a: number, b: number) => number>> = {
  Add: (a, b) => a + b,
  Sub: (a, b) => a - b,
  Mul: (a, b) => a * b,
  Div: (a, b) => a / b,
  FloorDiv: (a, b) => Math.floor(a / b),
  Mod: (a, b) => ((a % b) + b) % b,
  Max: Math.max,
  Min: Math.min,
};

function combineDims(op: string, a: Dim, b: Dim, scope: Scope): Dim {
  if (typeof a === 'number' && typeof b === 'number' && Object.hasOwn(ARITHMETIC, op)) return ARITHMETIC[op]!(a, b);
  if ((op === 'Mul' || op === 'Div' || op === 'FloorDiv') && b === 1) return a;
  if (op === 'Mul' && a === 1) return b;
  if (!Object.hasOwn(ARITHMETIC, op)) throw scope.unsupported(`${op} of sizes`);
  return `(${a} ${op} ${b})`;
}

export function productOf({ dims }: Sizes, scope: Scope): Value {
  return dims.reduce((product, size) => combineSizes('Mul', product.sizes!, { dims: [size], isOne: true }, scope), sizesValue([1], true));
}

/** One size of a list, or a part of it. */
export function indexSizes({ dims }: Sizes, indices: readonly Index[], scope: Scope): Value {
  const [first, ...rest] = indices.filter(({ kind }) => kind !== 'rest');
  if (!first || first.kind === 'all') return sizesValue(dims, false);
  if (rest.length > 0 || (first.kind !== 'one' && first.kind !== 'range')) throw scope.unsupported('this index of a list of sizes');
  if (first.kind === 'one') {
    const size = dims.at(first.at);
    if (size === undefined) throw scope.malformed(`size ${first.at} of ${dims.length}`);
    return sizesValue([size], true);
  }
  if (first.step !== 1) throw scope.unsupported(`a part of the sizes in steps of ${first.step}`);
  return sizesValue(dims.slice(first.start ?? 0, first.stop ?? undefined), false);
}

/** Lists one behind the other, or numbers as a list; null where what is joined are values. */
export function joinSizes(operands: readonly Operand[], inputs: readonly Value[]): Value | null {
  const parts = operands.map((operand) => sizesOf(operand, inputs));
  if (!operands.some((operand) => !isConstant(operand)) || parts.includes(null)) return null;
  return sizesValue(
    parts.flatMap((part) => part!.dims),
    false,
  );
}
