/**
 * What a value is in terms of another one: a sum of products of powers, in which the order of operands, the place of a factor and whether
 * it multiplies or its reciprocal divides make no difference. Exporters write x/2 · (1 + erf(x/√2)) in a dozen ways; all are the same sum.
 *
 * Broadcasting changes nothing of it: elements are combined the same way, whatever shape the parts have on the way.
 */

import { isFloatDType } from '../model/dtype.js';
import type { Layer } from '../model/layer-map.js';
import { elementCount, type Tensor } from '../model/tensor.js';
import type { Wiring } from './wiring.js';

/** What is not taken apart any further. */
export type Atom =
  /** The value in whose terms all is said. */
  | { readonly kind: 'x' }
  /** Any other one. */
  | { readonly kind: 'value'; readonly value: string }
  | { readonly kind: 'weight'; readonly tensor: Tensor }
  /** Of elements, or a ReduceMean that keeps its axes, which `axes` names. */
  | { readonly kind: 'call'; readonly layer: Layer; readonly of: Sum; readonly axes?: readonly number[] };

export interface Term {
  readonly coefficient: number;
  /** Atoms by their keys, with the powers that they are raised to. */
  readonly powers: ReadonlyMap<string, number>;
}

export interface Sum {
  readonly terms: ReadonlyMap<string, Term>;
  readonly atoms: ReadonlyMap<string, Atom>;
}

/** A sum with more terms is of no pattern; neither is one that takes more layers to see. */
const MAX_TERMS = 8;
const MAX_LAYERS = 24;

const CALLS: ReadonlySet<string> = new Set(['Erf', 'Tanh', 'Sigmoid', 'HardSigmoid', 'Clip', 'Softplus', 'Exp', 'Log']);

/** The key of `x` itself. */
export const X = 'x';

/** Numbers of one element, which are read before anything is looked for. */
export type Numbers = ReadonlyMap<Tensor, number>;

/** A value taken apart, and the layers that make it of `x`. */
export interface Found {
  readonly sum: Sum;
  readonly inner: ReadonlySet<Layer>;
}

/**
 * The layers of arithmetic that make a value of `x`, which is there before any sum is worked out: most ends of most patterns have more of them, or other readers.
 *
 * @returns null where there are more than of any pattern, or `x` is not among what they read
 */
export function layersFrom(x: string, value: string, wiring: Wiring, numbers: Numbers): ReadonlySet<Layer> | null {
  const inner = new Set<Layer>();
  const open = [value];
  let isReached = false;
  while (open.length > 0) {
    const one = open.pop()!;
    if (one === x) {
      isReached = true;
      continue;
    }
    const layer = wiring.maker(one);
    if (!layer || inner.has(layer) || !isArithmetic(layer, wiring, numbers)) continue;
    if (inner.size === MAX_LAYERS) return null;
    inner.add(layer);
    for (const value of layer.op === 'Pow' ? layer.inputs.slice(0, 1) : layer.inputs) open.push(value);
  }
  return isReached ? inner : null;
}

/** Gives what each value is in terms of one; null where it is more than a small sum. What several of them are made of is worked out once. */
export function inTermsOf(x: string, wiring: Wiring, numbers: Numbers): (value: string) => Sum | null {
  const expansion = new Expansion(x, wiring, numbers);
  return (value) => {
    try {
      return expansion.value(value);
    } catch (error) {
      if (error === TOO_MUCH) return null;
      throw error;
    }
  };
}

const TOO_MUCH = new Error('more than any pattern');

/** Whether a layer is taken apart; what it makes is a value of its own otherwise. */
function isArithmetic(layer: Layer, wiring: Wiring, numbers: Numbers): boolean {
  const { op, attributes } = layer;
  if (layer.foreign || layer.outputs.length !== 1 || !ARITHMETIC.has(op)) return false;
  const dtype = wiring.types.get(layer.outputs[0]!)?.dtype;
  if (!dtype || !isFloatDType(dtype)) return false;
  // Bounds of a Clip that flow in are no part of it.
  if (layer.inputs.length + Object.keys(layer.weights).length !== (TWO.has(op) ? 2 : 1)) return false;
  if (op === 'Pow') return POWERS.has(powerOf(layer, wiring, numbers) ?? Number.NaN);
  if (op !== 'ReduceMean') return true;
  return attributes.keepdims === 1 && meanAxes(layer, wiring) !== null;
}

const POWERS: ReadonlySet<number> = new Set([-1, -0.5, 0.5, 1, 2, 3, 4]);

function powerOf({ weights, inputs }: Layer, wiring: Wiring, numbers: Numbers): number | undefined {
  const tensor = weights.operand ?? wiring.maker(inputs[1])?.weights.value;
  return tensor && numbers.get(tensor);
}

/** Counted from the first axis on; null where there are none. */
function meanAxes({ inputs, attributes }: Layer, wiring: Wiring): readonly number[] | null {
  const rank = wiring.shape(inputs[0])?.length;
  const axes = attributes.axes as readonly number[] | undefined;
  if (rank === undefined || !axes?.length) return null;
  return axes.map((axis) => (axis < 0 ? axis + rank : axis)).toSorted((a, b) => a - b);
}

class Expansion {
  readonly #known = new Map<string, Sum>();

  constructor(
    readonly x: string,
    readonly wiring: Wiring,
    readonly numbers: Numbers,
  ) {}

  value(value: string): Sum {
    const known = this.#known.get(value);
    if (known) return known;
    const sum = this.#value(value);
    if (sum.terms.size > MAX_TERMS) throw TOO_MUCH;
    this.#known.set(value, sum);
    return sum;
  }

  #value(value: string): Sum {
    if (value === this.x) return atomSum(X, { kind: 'x' });
    const layer = this.wiring.maker(value);
    if (layer?.op === 'Constant') return this.#weight(layer.weights.value!);
    if (!layer || !isArithmetic(layer, this.wiring, this.numbers)) return atomSum(`value ${value}`, { kind: 'value', value });
    const { op, attributes } = layer;
    const a = this.value(layer.inputs[0]!);
    if (op === 'ReduceMean') {
      const axes = meanAxes(layer, this.wiring)!;
      return call(`mean ${axes}`, layer, a, axes);
    }
    if (op === 'Pow') {
      const power = powerOf(layer, this.wiring, this.numbers)!;
      if (power === -1) return inverted(a);
      return Number.isInteger(power) ? Array.from({ length: power }, () => a).reduce(product) : raised(call('Sqrt', layer, a), power * 2);
    }
    if (op === 'Identity') return a;
    if (op === 'Neg') return scaled(a, -1);
    if (op === 'Reciprocal') return inverted(a);
    if (CALLS.has(op) || op === 'Sqrt') return call(op === 'Sqrt' ? 'Sqrt' : `${op} ${JSON.stringify(attributes)}`, layer, a);
    const b = layer.weights.operand ? this.#weight(layer.weights.operand) : this.value(layer.inputs[1]!);
    if (op === 'Add') return sumOf(a, b);
    if (op === 'Sub') return sumOf(a, scaled(b, -1));
    return product(a, op === 'Mul' ? b : inverted(b));
  }

  #weight(tensor: Tensor): Sum {
    const number = this.numbers.get(tensor);
    if (number !== undefined) return number === 0 ? NOTHING : { terms: new Map([['', { coefficient: number, powers: new Map() }]]), atoms: new Map() };
    return atomSum(`weight ${idOf(tensor)}`, { kind: 'weight', tensor });
  }
}

const TWO: ReadonlySet<string> = new Set(['Add', 'Sub', 'Mul', 'Div', 'Pow']);
/** Operators that a pattern may be made of. */
export const ARITHMETIC: ReadonlySet<string> = new Set([...TWO, ...CALLS, 'Sqrt', 'Neg', 'Reciprocal', 'Identity', 'ReduceMean']);

const NOTHING: Sum = { terms: new Map(), atoms: new Map() };

const ids = new WeakMap<Tensor, number>();
let count = 0;
function idOf(tensor: Tensor): number {
  const id = ids.get(tensor) ?? ++count;
  ids.set(tensor, id);
  return id;
}

function atomSum(key: string, atom: Atom): Sum {
  const powers = new Map([[key, 1]]);
  return { terms: new Map([[termKey(powers), { coefficient: 1, powers }]]), atoms: new Map([[key, atom]]) };
}

function call(name: string, layer: Layer, of: Sum, axes?: readonly number[]): Sum {
  return atomSum(`${name} (${keyOf(of)})`, { kind: 'call', layer, of, ...(axes ? { axes } : {}) });
}

/** The same for sums that are the same. */
function keyOf({ terms }: Sum): string {
  return [...terms]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, { coefficient }]) => `${coefficient} ${key}`)
    .join(' + ');
}

function sumOf(a: Sum, b: Sum): Sum {
  const terms = new Map(a.terms);
  for (const [key, term] of b.terms) addTerm(terms, key, term);
  return { terms, atoms: atomsOf(a, b) };
}

function addTerm(terms: Map<string, Term>, key: string, term: Term): void {
  const known = terms.get(key);
  const coefficient = (known?.coefficient ?? 0) + term.coefficient;
  if (coefficient === 0) terms.delete(key);
  else terms.set(key, known ? { ...term, coefficient } : term);
}

function atomsOf(a: Sum, b: Sum): Sum['atoms'] {
  return b.atoms.size === 0 ? a.atoms : a.atoms.size === 0 ? b.atoms : new Map([...a.atoms, ...b.atoms]);
}

function scaled(a: Sum, factor: number): Sum {
  return { ...a, terms: new Map([...a.terms].map(([key, term]) => [key, { ...term, coefficient: term.coefficient * factor }])) };
}

function product(a: Sum, b: Sum): Sum {
  if (a.terms.size * b.terms.size > MAX_TERMS * 2) throw TOO_MUCH;
  const terms = new Map<string, Term>();
  for (const left of a.terms.values()) {
    for (const right of b.terms.values()) {
      const powers = new Map(left.powers);
      for (const [atom, power] of right.powers) {
        const raisedTo = (powers.get(atom) ?? 0) + power;
        if (raisedTo === 0) powers.delete(atom);
        else powers.set(atom, raisedTo);
      }
      addTerm(terms, termKey(powers), { coefficient: left.coefficient * right.coefficient, powers });
    }
  }
  return { terms, atoms: atomsOf(a, b) };
}

/** Only of a single product. */
function inverted(a: Sum): Sum {
  return raised(a, -1);
}

function raised({ terms, atoms }: Sum, power: number): Sum {
  const [term] = terms.values();
  if (!term || terms.size > 1) throw TOO_MUCH;
  const powers = new Map([...term.powers].map(([atom, own]) => [atom, own * power]));
  return { terms: new Map([[termKey(powers), { coefficient: term.coefficient ** power, powers }]]), atoms };
}

function termKey(powers: ReadonlyMap<string, number>): string {
  return [...powers]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([atom, power]) => `${atom}^${power}`)
    .join(' · ');
}

/**
 * Equal but for rounding: constants that are stored as float32, and products and quotients of up to three of them. What a pattern's own
 * operator has instead is no further away than that.
 */
export function isClose(a: number, b: number): boolean {
  return Math.abs(a - b) <= 2 ** -22 * Math.abs(b);
}

/** The coefficient of a product of atoms with these powers; 0 where the sum has none. */
export function coefficientOf({ terms }: Sum, powers: Readonly<Record<string, number>>): number {
  const wanted = Object.entries(powers).filter(([, power]) => power !== 0);
  for (const term of terms.values()) {
    if (term.powers.size === wanted.length && wanted.every(([atom, power]) => term.powers.get(atom) === power)) return term.coefficient;
  }
  return 0;
}

/** The coefficients of a polynomial of `x` alone, from the constant on; null where the sum is none. */
export function polynomial({ terms }: Sum): readonly number[] | null {
  const coefficients: number[] = [0, 0, 0, 0];
  for (const { coefficient, powers } of terms.values()) {
    const power = powers.get(X) ?? 0;
    if (powers.size > (power === 0 ? 0 : 1) || !(power in coefficients)) return null;
    coefficients[power] = coefficient;
  }
  return coefficients;
}

/** Whether a polynomial has these coefficients, each but for rounding; zeros are zeros. */
export function isPolynomial(sum: Sum, wanted: readonly number[]): boolean {
  return polynomial(sum)?.every((coefficient, power) => isClose(coefficient, wanted[power] ?? 0)) === true;
}

/** The numbers that stand in a map for themselves: weights of one element, read where they are not known yet. */
export async function numbersOf(map: Wiring['map'], read: (tensor: Tensor) => Promise<readonly number[]>): Promise<Numbers> {
  const numbers = new Map<Tensor, number>();
  for (const layer of map.layers) {
    if (!ARITHMETIC.has(layer.op) && layer.op !== 'Constant') continue;
    for (const tensor of Object.values(layer.weights)) {
      if (elementCount(tensor.shape) === 1 && isFloatDType(tensor.dtype)) numbers.set(tensor, (tensor.known ?? (await read(tensor)))[0] as number);
    }
  }
  return numbers;
}
