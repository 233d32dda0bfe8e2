/**
 * What an operator is: one definition holds everything that any part of the house knows of it.
 *
 * Its slots and attributes, the shape and dtype of what it makes, its evaluation in float64, and how ONNX spells it. The operators stand
 * in the files beside this one, by family; `index.ts` is the list.
 */
import type { DType } from '../dtype.js';
import type { AttributeValue, Dim, Layer } from '../layer-map.js';
import type { Tensor } from '../tensor.js';
import type { Value } from './array.js';
import type { Multiplier } from './multiplier.js';

/** A dtype or shape that nothing tells is null: so it is behind an operator that is not known. */
export interface ValueType {
  readonly dtype: DType | null;
  readonly shape: readonly Dim[] | null;
  /**
   * The elements of a small value, row-major, as far as they are known before anything runs: numbers, free sizes by name, null for the
   * rest. What graphs work out from shapes is followed by them.
   */
  readonly elements?: Elements;
}

export type Elements = readonly (Dim | null)[];

/** A value whose shape is known. */
export type Shaped = ValueType & { readonly shape: readonly Dim[] };

interface Kinds {
  readonly int: number;
  readonly float: number;
  readonly string: string;
  readonly ints: readonly number[];
  readonly floats: readonly number[];
  readonly strings: readonly string[];
}
export type AttributeType = keyof Kinds;

export interface AttributeSpec<T extends AttributeValue = AttributeValue, Optional extends boolean = boolean> {
  readonly type: AttributeType;
  /** Left out: the attribute must be given, unless it is optional. */
  readonly default?: T;
  /** May be absent, which has a meaning of its own: all axes, or a value in the slot of the same name. */
  readonly optional: Optional;
  /** A string that names a dtype, which ONNX has as a number. */
  readonly isDType?: true;
  /** The words that a string may be. */
  readonly words?: readonly string[];
}

type Attributes = Readonly<Record<string, AttributeSpec>>;
type Slots = readonly string[];

export type ValuesOf<A extends Attributes> = {
  readonly [N in keyof A]: A[N] extends AttributeSpec<infer T, infer O> ? (O extends true ? T | undefined : T) : never;
};

type Bare<S> = S extends `${infer N}?` | `${infer N}...` ? N : S;
/** What fills the slots: 'x' is always there, 'bias?' may be missing, 'parts...' is a list. */
export type SlotsOf<S extends Slots, T> = {
  readonly [N in S[number] as Bare<N> & string]: N extends `${string}...` ? readonly T[] : N extends `${string}?` ? T | undefined : T;
};

/** What a shape rule may ask of its layer. */
export interface RuleContext {
  /** How many outputs the layer has. */
  readonly outputs: number;
  /** A size that nothing tells before the model runs; the same one each time that the rule is asked. */
  fresh(output: number, axis: number): Dim;
}

/** An input of an operator that reads its weights piece by piece: a value at hand, or a stored tensor. */
export type Operand = Value | Tensor;

/** What an operator does when the axes of its inputs lie in another order: axis i of the new order is axis `order[i]` of the old one. */
export type Axes<A extends Attributes> =
  /** Element by element: the order passes through. */
  | 'any'
  /** The order is part of its meaning: a Transpose stops here. */
  | 'fixed'
  /** It passes through, and the attributes follow. */
  | ((attributes: ValuesOf<A>, order: readonly number[]) => Partial<ValuesOf<A>> | null);

/** How ONNX spells an operator, for its reader and its writer. What differs from the map is said, all else carries over as it is. */
export interface OnnxSpelling {
  /** The oldest opset in which the operator means what the map means; 1 where left out. */
  readonly since?: number;
  /** Attributes that became inputs, in the slot of the same name, and the opset from which on; `scalar`: as a single element without axes. */
  readonly inputs?: Readonly<Record<string, { readonly since: number; readonly scalar?: true }>>;
  /** Attributes of ONNX that the map lacks: they must have this value, and are written with it. */
  readonly rest?: Readonly<Record<string, RestingAttribute>>;
  /** Attributes that ONNX has from this opset on only; before it they must be at their default. */
  readonly newer?: Readonly<Record<string, number>>;
  /** An attribute that ONNX has as a tensor of one element, by the attribute that names the tensor's dtype. */
  readonly oneElement?: Readonly<Record<string, string>>;
  /** How many outputs a node has at least, whether or not all are read. */
  readonly outputs?: number;
  /** Slots that ONNX has from an opset on only. */
  readonly newerSlots?: Readonly<Record<string, number>>;
  /** Words that were spelt otherwise before an opset. */
  readonly spellings?: Readonly<Record<string, readonly { readonly before: number; readonly words: Readonly<Record<string, string>> }[]>>;
  /** Words of a string attribute that ONNX has from an opset on only. */
  readonly newerWords?: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** Attributes whose default was another one before an opset. */
  readonly defaults?: Readonly<Record<string, { readonly before: number; readonly value: AttributeValue }>>;
}

export interface RestingAttribute {
  readonly type: AttributeType;
  readonly value: AttributeValue | ((layer: Layer) => AttributeValue);
  /** First opset that has it, and the first that has it no more. */
  readonly since?: number;
  readonly until?: number;
  /** Other values that change nothing where one inference is all that counts, such as an exponential average's momentum. */
  readonly any?: true;
}

export interface OperatorDefinition<A extends Attributes, S extends Slots> {
  readonly op: string;
  /** In the order of ONNX's inputs. */
  readonly slots: S;
  readonly attributes: A;
  /** Slots that a stored weight may fill; in any other a constant is a layer of its own. */
  readonly weights?: readonly (Bare<S[number]> & string)[];
  /** How many outputs it has at most; one where left out, any number where Infinity. */
  readonly outputs?: number;
  /**
   * What the operator's plain form is, which every writer knows: attributes at these values, nothing in the slots of attributes, and in
   * the slots named here (those of `weights` where left out) nothing but weights.
   */
  readonly plain?: {
    readonly attributes?: Partial<ValuesOf<A>>;
    readonly ones?: readonly (keyof A & string)[];
    readonly weights?: readonly (Bare<S[number]> & string)[];
  };
  /** Attributes whose default depends on what flows in: a window's neutral strides. */
  complete?(inputs: Partial<SlotsOf<S, { readonly shape: readonly Dim[] }>>, attributes: Partial<ValuesOf<A>>): Partial<ValuesOf<A>>;
  /** Sizes of what it makes, channels-first. @throws ModelError 'malformed' for what cannot be, without the layer's name */
  shape(inputs: SlotsOf<S, Shaped>, attributes: ValuesOf<A>, context: RuleContext): readonly (readonly Dim[])[];
  /** dtypes of what it makes; that of the first input where left out. */
  dtype?(inputs: SlotsOf<S, ValueType>, attributes: ValuesOf<A>): readonly (DType | null)[];
  /**
   * Elements that are known before anything runs, where that takes more than those of the inputs: sizes, and arithmetic with free ones.
   * Operators that only move elements say `moves` instead.
   */
  elements?(inputs: SlotsOf<S, Shaped>, attributes: ValuesOf<A>): Elements | undefined;
  readonly moves?: true;
  /** The attributes that an input stands for, where it is known well enough although not each of its elements is a number. */
  settle?(inputs: Partial<SlotsOf<S, ValueType>>, attributes: Partial<ValuesOf<A>>): Partial<ValuesOf<A>> | undefined;
  /** Whether a constant of a shape is held as the weight of a slot, rather than as a layer; it is where left out. */
  holds?(slot: string, shape: readonly number[], x: readonly Dim[] | null, attributes: Partial<ValuesOf<A>>): boolean;
  /** Whether its first two inputs may trade places. */
  readonly commutes?: true;
  /** Evaluates it in float64. What comes out may share data with what goes in, which is never changed. */
  compute?(inputs: SlotsOf<S, Value>, attributes: ValuesOf<A>, context: { readonly outputs: number }): readonly Value[];
  /** The same, for operators that read large weights in pieces, or have many products to do. */
  run?(inputs: SlotsOf<S, Operand>, attributes: ValuesOf<A>, context: { readonly multiplier: Multiplier }): Promise<readonly Value[]>;
  /** 'fixed' where left out. */
  readonly axes?: Axes<A>;
  /** Whether what it makes is never below zero, given whether each input is. */
  sign?(inputs: SlotsOf<S, boolean>, attributes: ValuesOf<A>): boolean;
  /** Weights with nearly all bytes of a net, which may be stored narrower, and the axis of their channels (negative: from the back). */
  readonly narrow?: Partial<Record<Bare<S[number]> & string, number>>;
  /** Null where ONNX has no such operator. */
  readonly onnx: OnnxSpelling | null;
}

/** Any operator, as code sees it that is driven by the table. */
export type Operator = OperatorDefinition<Attributes, Slots>;

/** A definition, with the types of its slots and attributes worked out from what it says of them. */
export function operator<const A extends Attributes, const S extends Slots>(definition: OperatorDefinition<A, S>): Operator {
  return definition as unknown as Operator;
}

type Spec<T extends AttributeValue> = AttributeSpec<T, false>;
const spec = <T extends AttributeValue>(type: AttributeType, value: T | undefined): Spec<T> => ({
  type,
  optional: false,
  ...(value === undefined ? {} : { default: value }),
});

export const int = (value?: number): Spec<number> => spec('int', value);
export const float = (value?: number): Spec<number> => spec('float', value);
export const ints = (value?: readonly number[]): Spec<readonly number[]> => spec('ints', value);
export const floats = (value?: readonly number[]): Spec<readonly number[]> => spec('floats', value);
export const text = (value?: string): Spec<string> => spec('string', value);
/** A string that is one of the given words, the first where none is given. */
export const word = <const W extends readonly [string, ...string[]]>(...words: W): AttributeSpec<W[number], false> => ({
  type: 'string',
  optional: false,
  default: words[0],
  words,
});
/** The name of a dtype. */
export const dtypeName = (value?: string): Spec<string> => ({ ...text(value), isDType: true });
export const optional = <T extends AttributeValue>({ default: _, ...spec }: AttributeSpec<T, boolean>): AttributeSpec<T, true> => ({ ...spec, optional: true });

const slotNames = new Map<string, string>();
/** Asked for each slot of each layer: worked out once. */
export function slotName(slot: string): string {
  const name = slotNames.get(slot) ?? slot.replace(/\?$|\.\.\.$/, '');
  slotNames.set(slot, name);
  return name;
}
export const isOptionalSlot = (slot: string): boolean => slot.endsWith('?') || slot.endsWith('...');
export const isListSlot = (slot: string): boolean => slot.endsWith('...');
