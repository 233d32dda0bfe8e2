/** Formulas over values and numbers alike: what is known is worked out here, the rest is wired. */
import type { BinaryOp } from '../arithmetic.js';
import type { Constant } from '../constant.js';
import type { Scope } from '../scope.js';
import type { Value } from '../value.js';
import { type Arguments, isConstant, type Operand } from './arguments.js';
import { combine } from './elementwise.js';

export type Term = Value | Constant;

type Arithmetic = Exclude<BinaryOp, 'Max' | 'Min'>;

const NUMBERS: Readonly<Record<Arithmetic, (a: number, b: number) => number>> = {
  Add: (a, b) => a + b,
  Sub: (a, b) => a - b,
  Mul: (a, b) => a * b,
  Div: (a, b) => a / b,
  Pow: (a, b) => a ** b,
};

export const isNumbers = (term: Term): term is Constant => 'values' in term;

export const numbers = (value: number): Constant => ({ shape: [], values: [value] });

/** The argument, or null where it is missing. */
export function optional(args: Arguments, name: string): Operand | null {
  return args.has(name) ? args.operand(name) : null;
}

export function termOf(operand: Operand, inputs: readonly Value[]): Term {
  return isConstant(operand) ? operand.constant : inputs[operand.input]!;
}

/** @throws ModelError 'unsupported' for numbers of two shapes, neither of which is a single one */
export function apply(op: Arithmetic, a: Term, b: Term, scope: Scope): Term {
  if (isNumbers(a) && isNumbers(b)) {
    const [long, short] = a.values.length >= b.values.length ? [a, b] : [b, a];
    if (short.values.length !== 1 && `${long.shape}` !== `${short.shape}`)
      throw scope.unsupported(`${op} of numbers of the shapes [${a.shape}] and [${b.shape}]`);
    const at = (term: Constant, i: number) => term.values[term.values.length === 1 ? 0 : i]!;
    return { shape: long.shape, values: long.values.map((_, i) => NUMBERS[op](at(a, i), at(b, i))) };
  }
  const values: Value[] = [];
  const operand = (term: Term): Operand => (isNumbers(term) ? { constant: term } : { input: values.push(term) - 1 });
  const [left, right] = [operand(a), operand(b)];
  return combine(op, left, right, values, scope);
}
