/** A call of an operator as a rule sees it: its arguments by name, and the graph to which it adds layers. */
import { ModelError } from '../../errors.js';
import type { Attributes, GraphBuilder, Inputs, Value } from '../../model/builder.js';
import { quotientOf } from '../../model/dims.js';
import { DTYPE_BYTES, type DType, isFloatDType } from '../../model/dtype.js';
import type { Dim, Notice } from '../../model/layer-map.js';
import { operatorOf } from '../../model/ops/index.js';
import { countOperator, foldConstant, type Work } from './constants.js';
import { type Item, knownScalar, List, numberOf, Real, TensorItem, Tuple, typeName, Unknown, Untold, type View } from './items.js';

/** What all calls of a program share. */
export interface Workshop {
  readonly build: GraphBuilder;
  readonly work: Work;
  readonly inference: boolean;
  /** Version of the operators' meanings that the program was saved with. @see caffe2/serialize/versions.h */
  readonly version: number;
  /** Calls that act as in training. */
  readonly training: string[];
  /** What is told of the calls that were translated. */
  readonly notices: Notice[];
  /** Path of the module in which the program is, joined by dots, and whether it has no modules inside. */
  path: string;
  isLeaf: boolean;
}

/** Thrown where an argument is what an operator would have made that is not translated: the call's result is not known, and told already. */
export const BEHIND_OBSTACLE = Symbol('behind an obstacle');

/** torch.dtype by its number, which is how programs have it. @see c10/core/ScalarType.h */
const SCALAR_TYPES: readonly (DType | null)[] = [
  ...(['uint8', 'int8', 'int16', 'int32', 'int64', 'float16', 'float32', 'float64', null, 'complex64', 'complex128', 'bool'] as const),
  ...[null, null, null, 'bfloat16' as const],
];

export class Call {
  constructor(
    /** 'aten::conv2d'. */
    readonly op: string,
    readonly given: ReadonlyMap<string, Item>,
    readonly shop: Workshop,
  ) {}

  /** The same call with other arguments, for a rule that is another one's. */
  withGiven(more: Readonly<Record<string, Item>>): Call {
    return new Call(this.op, new Map([...this.given, ...Object.entries(more)]), this.shop);
  }

  get build(): GraphBuilder {
    return this.shop.build;
  }

  /** Last part of the operator's name. */
  get word(): string {
    return this.op.slice(this.op.lastIndexOf(':') + 1);
  }

  decline(problem: string): ModelError {
    return new ModelError('unsupported', `${this.op}: ${problem}`);
  }

  has(name: string): boolean {
    const item = this.given.get(name);
    return item !== undefined && item !== null;
  }

  item(name: string): Item {
    const item = this.given.get(name);
    if (item === undefined) throw new ModelError('malformed', `${this.op} lacks its ${name}`);
    if (item instanceof Unknown) throw BEHIND_OBSTACLE;
    if (item instanceof Untold) return item.told();
    return item;
  }

  #wrong(name: string, wanted: string): ModelError {
    return this.decline(`its ${name} is ${typeName(this.item(name))}, expected ${wanted}`);
  }

  tensorItem(name: string): TensorItem {
    const item = this.item(name);
    return item instanceof TensorItem ? item : new TensorItem(this.#asValue(item, name));
  }

  /** A number becomes a tensor without axes. */
  tensor(name: string): Value {
    return this.valueOf(this.item(name), name);
  }

  valueOf(item: Item, name: string): Value {
    if (item instanceof Unknown) throw BEHIND_OBSTACLE;
    return item instanceof TensorItem ? item.value : this.#asValue(item, name);
  }

  #asValue(item: Item, name: string): Value {
    const scalar = knownScalar(item);
    if (scalar === null) throw this.decline(`its ${name} is ${typeName(item)}, expected a tensor`);
    return this.build.numbers(dtypeOfScalar(scalar), numberOf(scalar));
  }

  optionalTensor(name: string): Value | null {
    return this.has(name) ? this.tensor(name) : null;
  }

  tensors(name: string): Value[] {
    return this.items(name).map((item) => this.valueOf(item, name));
  }

  items(name: string): readonly Item[] {
    const item = this.item(name);
    if (item instanceof List || item instanceof Tuple) return item.items;
    throw this.#wrong(name, 'a list');
  }

  /** @throws ModelError 'unsupported' where it is known only when the model runs */
  number(name: string): number {
    const scalar = knownScalar(this.item(name));
    if (scalar !== null) return numberOf(scalar);
    if (this.item(name) instanceof TensorItem) throw this.decline(`its ${name} is known only when the model runs`);
    throw this.#wrong(name, 'a number');
  }

  flag(name: string): boolean {
    return this.number(name) !== 0;
  }

  text(name: string): string {
    const item = this.item(name);
    if (typeof item !== 'string') throw this.#wrong(name, 'a text');
    return item;
  }

  /** A list of numbers, or one number for each of so many axes. */
  numbers(name: string, count?: number): readonly number[] {
    const item = this.item(name);
    const items = item instanceof List || item instanceof Tuple ? item.items : [item];
    const numbers = items.map((one) => {
      const scalar = knownScalar(one);
      if (one instanceof Unknown) throw BEHIND_OBSTACLE;
      if (scalar === null) throw this.decline(`its ${name} is known only when the model runs`);
      return numberOf(scalar);
    });
    if (count === undefined || numbers.length === count) return numbers;
    if (numbers.length === 1) return new Array<number>(count).fill(numbers[0]!);
    throw this.decline(`its ${name} [${numbers}] is not of ${count} numbers`);
  }

  dtype(name: string): DType | null {
    if (!this.has(name)) return null;
    const item = this.item(name);
    const dtype = typeof item === 'number' ? SCALAR_TYPES[item] : undefined;
    if (!dtype) throw this.decline(`its ${name} is a data type that is not known`);
    return dtype;
  }

  /** Sizes that a program has as a list: numbers where all are known, else a value. */
  sizes(name: string): readonly number[] | Value {
    const item = this.item(name);
    return this.sizesOf(item instanceof List || item instanceof Tuple ? item.items : [item], name);
  }

  sizesOf(items: readonly Item[], name: string): readonly number[] | Value {
    const scalars = items.map((item) => knownScalar(item));
    if (scalars.every((scalar) => scalar !== null)) return scalars.map((scalar) => numberOf(scalar!));
    const parts = items.map((item) => {
      const value = this.valueOf(item, name);
      const whole = value.dtype === 'int64' ? value : this.add('Cast', [value], { to: 'int64' }, 'sizes');
      return this.add('Unsqueeze', [whole], { axes: [0] }, 'sizes');
    });
    return this.add('Concat', parts, { axis: 0 }, 'sizes');
  }

  shape(value: Value): readonly Dim[] {
    if (!value.shape) throw BEHIND_OBSTACLE;
    return value.shape;
  }

  rank(value: Value): number {
    return this.shape(value).length;
  }

  /** @throws ModelError 'unsupported' where the size is free */
  size(value: Value, axis: number): number {
    const size = this.shape(value)[axis];
    if (typeof size !== 'number') throw this.decline(`the size of axis ${axis} of what flows into it is free, and has to be known; say it with --input-shape`);
    return size;
  }

  axis(name: string, value: Value, more = 0): number {
    return this.axisOf(this.number(name), this.rank(value) + more, name);
  }

  axisOf(axis: number, rank: number, name = 'dim'): number {
    const at = axis < 0 ? axis + rank : axis;
    if (!Number.isInteger(at) || at < 0 || at >= Math.max(rank, 1)) throw new ModelError('malformed', `${this.op}: its ${name} is ${axis}, of ${rank} axes`);
    return at;
  }

  /** A size as a program has it: a number, or a tensor that is worked out. */
  sizeItem(value: Value, axis: number): Item {
    const size = this.shape(value)[axis]!;
    if (typeof size === 'number') return size;
    const shape = this.add('Shape', [value], {}, 'shape');
    return new TensorItem(this.add('Gather', [shape, this.build.numbers('int64', axis)], { axis: 0 }, 'size'));
  }

  /** Whether a program's number is a size of a value. */
  isSameSize(item: Item, size: Dim): boolean {
    const scalar = knownScalar(item);
    if (scalar !== null) return numberOf(scalar) === size;
    return item instanceof TensorItem && item.value.elements?.length === 1 && item.value.elements[0] === size;
  }

  /** One of several results, which nothing can be made of, or which is made only where something reads it. */
  unknown(what: string, make: (() => Item) | null = null): Item {
    return new Untold(`${this.op}: ${what} cannot be said`, make);
  }

  /** How many times larger a size is than another, where that is a number. */
  quotient(a: Dim, b: Dim): number | null {
    const quotient = quotientOf(a, b);
    return typeof quotient === 'number' ? quotient : null;
  }

  /** A layer with one output; without a step it is the last one that the call adds, and bears the module's name. */
  add(op: string, inputs: Inputs, attributes: Attributes = {}, step?: string): Value {
    const operator = operatorOf(op)!;
    countOperator(this.shop.work);
    const folded = foldConstant(operator, inputs, attributes, this.build.origin, this.shop.work);
    return folded ?? this.build.add(op, inputs, attributes, this.layerName(step));
  }

  addMany(op: string, inputs: Inputs, attributes: Attributes, outputs: number): readonly Value[] {
    const name = this.layerName();
    const made = Array.from({ length: outputs }, (_, i) => this.build.freeValue(`${name}.${i}`));
    return this.build.node(op, inputs, attributes, { name, outputs: made });
  }

  layerName(step?: string): string {
    const own = this.word.replace(/_+$/, '').replace(/^_+/, '');
    const { path, isLeaf } = this.shop;
    const name = path === '' ? own : isLeaf ? path : `${path}.${own}`;
    return step === undefined ? name : `${name}.${step}`;
  }

  scalar(value: number, like: Value): Value {
    return this.build.numbers(like.dtype ?? 'float32', value);
  }

  cast(value: Value, to: DType, step = 'cast'): Value {
    return value.dtype === to ? value : this.add('Cast', [value], { to }, step);
  }

  transposed(value: Value, first = -2, second = -1): Value {
    const rank = this.rank(value);
    const [a, b] = [this.axisOf(first, rank), this.axisOf(second, rank)];
    const perm = Array.from({ length: rank }, (_, axis) => axis)
      .with(a, b)
      .with(b, a);
    return a === b ? value : this.add('Transpose', [value], { perm }, 'transpose');
  }

  reshaped(value: Value, shape: readonly number[] | Value, step?: string): Value {
    return Array.isArray(shape) ? this.add('Reshape', [value], { shape }, step) : this.add('Reshape', [value, shape as Value], {}, step);
  }

  /** A part of a tensor that shares its memory. */
  view(name: string, get: View['get'], put: View['put'], isRowMajor = false): Item {
    const of = this.tensorItem(name);
    return new TensorItem(get(of.value), { of, get, put }, isRowMajor);
  }

  /**
   * The dtype of arithmetic with these operands. Those of tensors with axes count first, then those of tensors without, then those of plain
   * numbers: what comes later only counts where it is of a kind that holds more (a float among integers).
   *
   * @see c10/core/ScalarType.h and `at::native::result_type`
   */
  promotedType(names: readonly string[]): DType {
    const ranked: DType[] = [];
    const single: DType[] = [];
    const plain: DType[] = [];
    for (const name of names) {
      const item = this.item(name);
      // Tracing keeps numbers as tensors of one float64: they are numbers still.
      const scalar = knownScalar(item);
      if (scalar !== null) plain.push(dtypeOfScalar(scalar));
      else {
        const { dtype, shape } = this.valueOf(item, name);
        if (dtype === null) throw BEHIND_OBSTACLE;
        (shape?.length === 0 ? single : ranked).push(dtype);
      }
    }
    const widest = (dtypes: readonly DType[]) => dtypes.reduce<DType | null>((a, b) => (a === null ? b : promoteTypes(a, b)), null);
    return givingWay(widest(ranked), givingWay(widest(single), widest(plain))) ?? 'float32';
  }

  /** Operands of arithmetic, brought to one dtype. */
  promoted(names: readonly string[]): { values: Value[]; dtype: DType } {
    const dtype = this.promotedType(names);
    const values = names.map((name) => {
      const scalar = knownScalar(this.item(name));
      return scalar === null ? this.cast(this.tensor(name), dtype) : this.build.numbers(dtype, numberOf(scalar));
    });
    return { values, dtype };
  }

  /** Whether a call that acts otherwise in training does so here; tells it. */
  trains(name: string): boolean {
    if (!this.has(name) || !this.flag(name)) return false;
    this.shop.training.push(`${this.word} in "${this.shop.path}"`);
    return true;
  }
}

function kindOf(dtype: DType): number {
  if (dtype === 'bool') return 0;
  if (dtype.startsWith('complex')) return 3;
  return isFloatDType(dtype) ? 2 : 1;
}

/** The first, but for a second of a kind that holds more. */
function givingWay(first: DType | null, second: DType | null): DType | null {
  if (first === null || second === null) return first ?? second;
  return kindOf(second) > kindOf(first) ? promoteTypes(first, second) : first;
}

export function promoteTypes(a: DType, b: DType): DType {
  if (a === b) return a;
  const [left, right] = [kindOf(a), kindOf(b)];
  if (left !== right) return left > right ? a : b;
  // The two halves have no common part, and become float32.
  if (left === 2 && DTYPE_BYTES[a] === DTYPE_BYTES[b]) return 'float32';
  if (left === 1 && DTYPE_BYTES[a] === DTYPE_BYTES[b]) return 'int16';
  return DTYPE_BYTES[a] > DTYPE_BYTES[b] ? a : b;
}

export function dtypeOfScalar(scalar: number | Real | boolean): DType {
  if (typeof scalar === 'boolean') return 'bool';
  return scalar instanceof Real ? 'float32' : 'int64';
}

/** torch.dtype's number of a dtype. */
export function scalarTypeOf(dtype: DType): number {
  return SCALAR_TYPES.indexOf(dtype);
}

export function isBehindObstacle(error: unknown): boolean {
  return error === BEHIND_OBSTACLE;
}
