/**
 * Values between layers, and the graph as it grows.
 *
 * Keras names axes of what it sees; inside the layer map channels come first. A `Value` knows how the one lies in the other, so
 * that a layer can ask for the order it needs; a Transpose appears only where two layers disagree.
 */
import { ModelError } from '../../errors.js';
import type { AttributeValue, Dim, Layer, Notice } from '../../model/layer-map.js';
import { Names } from '../../model/names.js';
import { inferShapes, makeLayer } from '../../model/ops/index.js';
import { toChannelsFirst, toChannelsLast } from '../../model/ports.js';
import { float32Tensor, type Tensor } from '../../model/tensor.js';

export interface Value {
  /** In the layer map. */
  readonly name: string;
  /** As the value lies in the layer map. */
  readonly shape: readonly Dim[];
  /**
   * - `keras`: axes lie as Keras has them.
   * - `moved`: Keras has [N, ...spatial, C], the map has [N, C, ...spatial].
   * - `flattened`: both have [N, size], but Keras counts the elements as [...spatial, C] and the map as [C, ...spatial].
   */
  readonly order: 'keras' | 'moved' | 'flattened';
  /** Of a flattened value: [C, ...spatial]. */
  readonly unflattened?: readonly number[];
  /** Whole numbers, as they came in or were made of such: the map computes in floating point, but Keras may not. */
  readonly integer?: boolean;
  /** The narrow float that Keras has it in: its elements are such, and what operations make of it are rounded to such. */
  readonly half?: Half;
  /** Whether all elements are 1 or 0, which comparisons made. */
  readonly truth?: true;
  /** Numbers that are known from shapes; no layer makes such a value. */
  readonly sizes?: { readonly dims: readonly Dim[]; readonly isOne: boolean };
  /** [N, steps], 1 for each step of a sequence that counts and 0 for one that fills it up; 'unknown' where several masks met. */
  readonly mask?: Value | 'unknown';
}

export type Half = 'float16' | 'bfloat16';

/** Operators that make whole numbers of whole numbers, beside those that leave them as they are. */
const STAY_WHOLE: ReadonlySet<string> = new Set([
  ...['Relu', 'Abs', 'Neg', 'Max', 'Min', 'MaxPool', 'GlobalMaxPool', 'ReduceMax', 'ReduceMin', 'ReduceSum', 'Gather', 'Split', 'Tile', 'Expand'],
]);

/** Operators that leave numbers as they are. */
const MOVES: ReadonlySet<string> = new Set(['Identity', 'Reshape', 'Flatten', 'Transpose', 'Slice', 'Concat', 'Pad', 'Squeeze', 'Unsqueeze']);

/** The value's shape as Keras sees it. */
export function kerasShape({ shape, order }: Pick<Value, 'shape' | 'order'>): readonly Dim[] {
  return order === 'moved' ? toChannelsLast(shape.length).map((axis) => shape[axis]!) : shape;
}

/** The axis of the map's value that is Keras's `axis` (negative: from the end); -1 where there is none. */
export function mapAxis(value: Value, axis: number): number {
  const rank = value.shape.length;
  const positive = axis < 0 ? axis + rank : axis;
  if (!(positive >= 0 && positive < rank)) return -1;
  return value.order === 'moved' ? toChannelsLast(rank)[positive]! : positive;
}

export interface Step {
  readonly op: string;
  readonly inputs: readonly Value[];
  readonly attributes?: Readonly<Record<string, AttributeValue>>;
  readonly weights?: Readonly<Record<string, Tensor>>;
  /** Order of the result; that of the first input that has axes when left out. */
  readonly order?: Value['order'];
  readonly unflattened?: readonly number[];
}

/** Far more than any net has; layers that are written out step by step multiply. */
const MAX_LAYERS = 200_000;

/** The layers made so far. */
export class GraphBuilder {
  readonly layers: Layer[] = [];
  /** What was taken for so, or left open, on the way. */
  readonly notices: Notice[] = [];
  readonly #names = new Names(2);

  constructor(readonly file: string) {}

  /** The name, or the name with a number where it is taken; from now on it is taken. */
  unique(name: string): string {
    return this.#names.take(name);
  }

  /**
   * Appends a layer and gives its output, which bears the layer's name.
   *
   * @throws ModelError 'malformed' when weights or shapes do not fit
   */
  add(wanted: string, step: Step): Value {
    return this.addAll(wanted, step, 1)[0]!;
  }

  /** A layer with several outputs, of which the first bears its name. */
  addAll(wanted: string, step: Step, count: number): readonly Value[] {
    if (this.layers.length >= MAX_LAYERS) throw new ModelError('unsafe', `the model takes more than ${MAX_LAYERS} operators`, { file: this.file });
    const name = this.unique(wanted);
    const [first] = step.inputs;
    if (step.inputs.some(({ sizes }) => sizes))
      throw new ModelError('unsupported', 'numbers of a shape flow into what works on values, which is not translated', { file: this.file });
    const outputs = Array.from({ length: count }, (_, i) => (i === 0 ? name : this.unique(`${name}/output_${i}`)));
    const layer = makeLayer({
      name,
      op: step.op,
      inputs: step.inputs.map((value) => value.name),
      outputs,
      attributes: step.attributes,
      weights: step.weights,
    });
    const shapes = inferShapes([layer], new Map(step.inputs.map((value) => [value.name, value.shape])));
    this.layers.push(layer);
    // A single number has no axes that could lie in an order.
    const lying = step.inputs.find(({ shape }) => shape.length > 0) ?? first;
    const order = step.order ?? lying?.order ?? 'keras';
    const unflattened = order === 'flattened' ? (step.unflattened ?? lying!.unflattened) : undefined;
    const moves = MOVES.has(step.op);
    const staysWhole = STAY_WHOLE.has(step.op) && step.weights === undefined && step.inputs.every((input) => input.integer);
    const integer = first?.integer && (moves || staysWhole) ? { integer: true } : {};
    const half = first?.half && moves && step.inputs.every((input) => input.half === first.half) ? { half: first.half } : {};
    return outputs.map((output) => ({ name: output, shape: shapes.get(output)!, order, unflattened, ...integer, ...half }));
  }

  /** The value rounded to a narrow float, in the float32 that the map computes in; infinite where that float is. */
  toHalf(value: Value, half: Half): Value {
    if (value.half === half) return value;
    const narrow = this.add(`${value.name}/${half}`, { op: 'Cast', inputs: [value], attributes: { to: half } });
    return { ...this.add(`${value.name}/float32`, { op: 'Cast', inputs: [narrow], attributes: { to: 'float32' } }), half };
  }

  /** The value with its axes and elements as Keras has them. */
  toKeras(value: Value): Value {
    if (value.order === 'keras') return value;
    const restored = value.order === 'flattened' ? this.#unflatten(value) : value;
    const perm = toChannelsLast(restored.shape.length);
    const transposed = this.add(`${value.name}/channels_last`, { op: 'Transpose', inputs: [restored], attributes: { perm }, order: 'keras' });
    return value.order === 'flattened' ? this.add(`${value.name}/flatten`, { op: 'Flatten', inputs: [transposed] }) : transposed;
  }

  /** The value with its elements as Keras counts them, its axes wherever they are. */
  unflattened(value: Value): Value {
    return value.order === 'flattened' ? this.toKeras(value) : value;
  }

  /** A value whose last Keras axis holds the channels, with the channels first. */
  toMoved(value: Value): Value {
    if (value.order === 'moved') return value;
    const plain = this.toKeras(value);
    const perm = toChannelsFirst(plain.shape.length);
    return this.add(`${value.name}/channels_first`, { op: 'Transpose', inputs: [plain], attributes: { perm }, order: 'moved' });
  }

  /** Several values in one order: that of the first where all can have it without a Transpose, else Keras's. */
  toSameOrder(values: readonly Value[]): readonly Value[] {
    const [first] = values;
    const same = values.every(
      (value) => value.order === first!.order && value.shape.length === first!.shape.length && `${value.unflattened}` === `${first!.unflattened}`,
    );
    if (same) return values;
    const movable = values.some((value) => value.order === 'moved') && values.every((value) => value.shape.length === first!.shape.length);
    return values.map((value) => (movable ? this.toMoved(value) : this.toKeras(value)));
  }

  #unflatten(value: Value): Value {
    return this.add(`${value.name}/unflatten`, { op: 'Reshape', inputs: [value], attributes: { shape: [0, ...value.unflattened!] }, order: 'moved' });
  }
}

/** A float32 scalar for the second place of a binary operator. */
export function scalar(name: string, value: number, file: string): Tensor {
  return float32Tensor(name, [1], [value], { file });
}
