/** TensorFlow Lite's graphs on their way to nodes: names, constants as the numbers that they stand for, and one operator as a rule sees it. */
import type { TfAttribute, TfInput, TfNode } from '../../containers/tf-graph.js';
import type { LiteOperator, LiteOptions, LiteSubgraph, LiteTensor } from '../../containers/tflite.js';
import { ModelError } from '../../errors.js';
import { NARROW_RANGES } from '../../model/dtype.js';
import { Names } from '../../model/names.js';
import { numbersTensor } from '../../model/numbers.js';
import { dequantiseChannels } from '../../model/quantise.js';
import { permute, type Tensor } from '../../model/tensor.js';
import { isDType } from './node.js';

export interface LiteReading {
  readonly file: string;
  /** What flows into kernels in int8: rounded to codes of its own range, as the runtime does it, or left as it is. */
  readonly dynamicRange: 'rounded' | 'float';
}

/** What all graphs of a model have in common while they are read. */
export interface LiteShared {
  /** Operators whose kernels are in int8 where floats flow, rounded as the runtime does it or not. */
  readonly dynamic: string[];
  /** Recurrent operators of that kind, which the runtime rounds at each step. */
  readonly unrounded: string[];
  /** What the model's variables hold at first, by their names. */
  readonly variables: ReadonlyMap<string, LiteVariable>;
  /** Those that a call changes for the next one. */
  readonly changed: Set<string>;
  /** The function that one of the model's graphs becomes, by its number. */
  functionOf(graph: number): Promise<string>;
}

/** A constant of the graph that the first call runs. */
export interface LiteVariable {
  readonly graph: LiteSubgraph;
  readonly tensor: number;
}

export type Attributes = Readonly<Record<string, TfAttribute>>;

export const text = (value: string): TfAttribute => ({ kind: 'string', value });
export const int = (value: number): TfAttribute => ({ kind: 'int', value });
export const float = (value: number): TfAttribute => ({ kind: 'float', value });
export const flag = (value: boolean): TfAttribute => ({ kind: 'bool', value });
export const type = (value: string): TfAttribute => ({ kind: 'type', value });
export const ints = (values: readonly number[]): TfAttribute => ({ kind: 'list', value: values.map(int) });

/** ActivationFunctionType, by number. Of TANH and SIGN_BIT there is no merged form: kernels of convolutions and sums pass over them. */
const ACTIVATIONS: readonly (string | null)[] = [null, 'Relu', 'ReluN1To1', 'Relu6'];
const { int8, uint8, int16 } = NARROW_RANGES;
export const CODES: Readonly<Record<string, readonly [low: number, high: number] | undefined>> = { int8, uint8, int16 };

/** Dtypes in which constants are codes of numbers. */
const STORED_CODES: ReadonlySet<string> = new Set(['int8', 'uint8', 'int16', 'uint16', 'int32', 'int64']);

/** One graph of a model as it becomes nodes. */
export class LiteBuilder {
  readonly nodes: TfNode[] = [];
  readonly #names: readonly string[];
  readonly #taken = new Names(2);
  /** Variables by the tensors that stand for them. */
  readonly handles = new Map<number, string>();
  /** Names under which constants were added. */
  readonly #constants = new Map<string, string>();

  readonly file: string;

  /** Tensors that operators make, and those that flow in. */
  readonly #made: ReadonlySet<number>;

  /**
   * @param isOwn whether it is the model's own graph, whose ports are in codes where they are quantised; in branches and loops numbers flow
   */
  constructor(
    readonly model: LiteSubgraph,
    readonly reading: LiteReading,
    readonly isOwn: boolean,
  ) {
    this.file = reading.file;
    this.#names = model.tensors.map(({ name }) => this.free(name));
    this.#made = new Set([...model.inputs, ...model.operators.flatMap(({ outputs }) => outputs)]);
    if (isOwn) for (const index of model.inputs) this.#input(index);
  }

  name(index: number): string {
    return this.#names[index]!;
  }

  /** An input in codes is fed in codes; the numbers that they stand for bear the tensor's name. */
  placeholder(index: number): string {
    return isQuantised(this.model.tensors[index]!) ? `${this.name(index)}/codes` : this.name(index);
  }

  #input(index: number): void {
    const tensor = this.model.tensors[index]!;
    const attributes = { dtype: type(tensor.dtype), shape: { kind: 'shape', value: tensor.shape } as TfAttribute };
    this.node('Placeholder', this.placeholder(index), [], attributes);
    if (!isQuantised(tensor)) return;
    const [scale, zero] = this.single(tensor);
    this.node('DequantizeCodes', this.name(index), [this.placeholder(index)], { scale: float(scale), zero: int(zero) });
  }

  node(op: string, name: string, inputs: readonly string[], attributes: Attributes = {}): string {
    this.nodes.push({ name, op, inputs: inputs.map((node): TfInput => ({ node, output: 0 })), control: [], attributes: new Map(Object.entries(attributes)) });
    return name;
  }

  /** A value that an operator reads: what flows, or a constant as the numbers that it stands for. */
  input(index: number): string {
    const tensor = this.model.tensors[index]!;
    if (!tensor.data && !this.#made.has(index)) {
      const place = { file: this.file, tensor: tensor.name };
      if (tensor.isVariable)
        throw new ModelError('unsupported', 'is a state that is kept from one call to the next, which nets in the layer map have not', place);
      // A list of no sizes or axes has no bytes.
      if (!tensor.shape.includes(0) || !isDType(tensor.dtype)) throw new ModelError('malformed', 'is read, but nothing makes it', place);
      return this.constant(`${index}`, this.name(index), numbersTensor(tensor.name, tensor.dtype, tensor.shape, [], { file: this.file }));
    }
    if (!tensor.data) return this.name(index);
    return this.constant(`${index}`, this.name(index), this.numbers(index));
  }

  constant(key: string, wanted: string, value: Tensor): string {
    const known = this.#constants.get(key);
    if (known !== undefined) return known;
    const name = key.includes(' ') ? this.free(wanted) : wanted;
    this.#constants.set(key, name);
    return this.node('Const', name, [], { dtype: type(value.dtype), value: { kind: 'tensor', value } });
  }

  list(values: readonly number[], near: string): string {
    const name = this.free(`${near}/list`);
    return this.node('Const', name, [], {
      dtype: type('int32'),
      value: { kind: 'tensor', value: numbersTensor(name, 'int32', [values.length], values, { file: this.file }) },
    });
  }

  scalar(value: number, near: string, dtype: 'int32' | 'float32' = 'int32'): string {
    const name = this.free(`${near}/scalar`);
    return this.node('Const', name, [], { dtype: type(dtype), value: { kind: 'tensor', value: numbersTensor(name, dtype, [], [value], { file: this.file }) } });
  }

  /** Another graph of the same model. */
  of(graph: LiteSubgraph): LiteBuilder {
    return new LiteBuilder(graph, this.reading, false);
  }

  /** The numbers of a constant; undefined for what flows, and for no tensor. */
  constantOf(index: number): Tensor | undefined {
    return this.model.tensors[index]?.data ? this.numbers(index) : undefined;
  }

  /** The numbers of a constant. */
  numbers(index: number): Tensor {
    const { data, quantisation, dtype } = this.model.tensors[index]!;
    if (!quantisation || !STORED_CODES.has(dtype)) return data!;
    const { scales, zeroPoints, axis } = quantisation;
    // Some converters say of lists of sizes that each stands for itself.
    if (dtype.length === 5 && scales.every((scale) => scale === 1) && zeroPoints.every((point) => point === 0)) return data!;
    const whole = data!.shape.length === 0 ? { ...data!, shape: [1], walk: { ...data!.walk, axes: [[{ size: 1, stride: 1 }]] } } : data!;
    const count = whole.shape[axis] ?? 0;
    if (scales.length !== 1 && scales.length !== count) {
      throw new ModelError('malformed', `${scales.length} scales for an axis of ${count}`, { file: this.file, tensor: data!.name });
    }
    return dequantiseChannels(whole, axis, Float32Array.from(scales), zeroPoints.some((point) => point !== 0) ? zeroPoints : undefined);
  }

  single({ name, quantisation }: LiteTensor): readonly [number, number] {
    const { scales, zeroPoints } = quantisation!;
    if (scales.length !== 1) throw new ModelError('unsupported', 'what flows has several scales', { file: this.file, tensor: name });
    if (!(scales[0]! > 0 && scales[0]! < Number.POSITIVE_INFINITY))
      throw new ModelError('malformed', `its codes have the scale ${scales[0]}`, { file: this.file, tensor: name });
    return [scales[0]!, zeroPoints[0]!];
  }

  /** The codes of a tensor, of those that are in codes. */
  codes(index: number): string {
    const tensor = this.model.tensors[index]!;
    if (tensor.data) return this.constant(`${index} codes`, `${this.name(index)}/codes`, tensor.data);
    if (!isQuantised(tensor)) return this.input(index);
    if (this.isOwn && this.model.inputs.includes(index)) return this.placeholder(index);
    return this.node('RoundToCodesAsCodes', this.free(`${this.name(index)}/codes`), [this.name(index)], this.rounding(tensor));
  }

  /** How numbers become the codes of a tensor. */
  rounding(tensor: LiteTensor): Attributes {
    const [scale, zero] = this.single(tensor);
    const [low, high] = CODES[tensor.dtype]!;
    return { scale: float(scale), zero: int(zero), low: int(low), high: int(high), codes: type(tensor.dtype) };
  }

  /** The node that gives what leaves the graph. */
  port(index: number): string {
    const isFed = this.model.inputs.includes(index);
    if (!this.isOwn || !isQuantised(this.model.tensors[index]!)) return this.model.tensors[index]!.data ? this.input(index) : this.name(index);
    return isFed ? this.placeholder(index) : `${this.name(index)}/codes`;
  }

  free(wanted: string): string {
    // ':' and '^' mean something in the inputs of TensorFlow's nodes.
    return this.#taken.take(wanted.replaceAll(/[:^]/g, '_'));
  }
}

/** Whether a tensor that flows is in integer codes. */
export function isQuantised({ dtype, quantisation, data }: LiteTensor): boolean {
  return data === null && quantisation !== null && Object.hasOwn(CODES, dtype);
}

/** One operator, as a rule sees it. */
export class LiteNode {
  /** Places of inputs that the rule looked at. */
  readonly #read = new Set<number>();

  constructor(
    readonly builder: LiteBuilder,
    readonly operator: LiteOperator,
    /** Names of the nodes that make the results. */
    readonly results: readonly string[],
    readonly shared: LiteShared,
  ) {}

  /** The first of them, which most operators have alone. */
  get result(): string {
    return this.results[0]!;
  }

  get options(): LiteOptions {
    return this.operator.options;
  }

  get inputs(): string[] {
    return this.operator.inputs.flatMap((index, i) => (index >= 0 ? [this.input(i)] : []));
  }

  /** What it reads and makes. */
  get tensors(): readonly LiteTensor[] {
    return [...this.operator.inputs, ...this.operator.outputs].filter((index) => index >= 0).map((index) => this.builder.model.tensors[index]!);
  }

  /** @throws ModelError 'unsupported' naming inputs that the rule did not look at */
  checkRead(): void {
    const left = this.operator.inputs.findIndex((index, i) => index >= 0 && !this.#read.has(i));
    if (left >= 0) throw this.decline(`its input ${left + 1} ("${this.builder.model.tensors[this.operator.inputs[left]!]!.name}") is not known`);
  }

  input(i: number): string {
    return this.builder.input(this.#place(i));
  }

  /** Of the tensor that an input is. */
  #place(i: number): number {
    const index = this.operator.inputs[i] ?? -1;
    if (index < 0) throw new ModelError('malformed', `${this.operator.op} has no input ${i + 1}`, { file: this.builder.file, layer: this.result });
    this.#read.add(i);
    return index;
  }

  /** An input in its codes, where it is in codes. */
  codes(i: number): string {
    return this.builder.codes(this.#place(i));
  }

  /** The runtime's own memory, which is zeros at first. */
  state(i: number): void {
    if (this.has(i) && !this.builder.model.tensors[this.#place(i)]!.isVariable) throw this.decline(`its state (input ${i + 1}) is none that the runtime keeps`);
  }

  /**
   * A bias. Of what is summed in integers it stands for multiples of the product of both scales, whatever it says itself.
   *
   * @param at the input that flows; the kernel is input 1
   */
  bias(i: number, at: number): string {
    const [index, flowing, kernel] = [this.#place(i), this.tensor(at), this.tensor(1)];
    const bias = this.builder.model.tensors[index]!;
    const isSummed = bias.data !== null && (bias.dtype === 'int32' || bias.dtype === 'int64') && Object.hasOwn(CODES, flowing.dtype);
    if (!isSummed || !flowing.quantisation || !kernel.quantisation) return this.input(i);
    const count = bias.shape[0] ?? 1;
    const { scales } = kernel.quantisation;
    if (bias.shape.length !== 1 || (scales.length !== 1 && scales.length !== count))
      throw this.decline(`its bias [${bias.shape}] does not fit ${scales.length} scales`);
    const [step] = this.builder.single(flowing);
    const each = Float32Array.from({ length: count }, (_, out) => step * scales[scales.length === 1 ? 0 : out]!);
    return this.builder.constant(`${index} by ${flowing.name}`, `${bias.name}/numbers`, dequantiseChannels(bias.data!, 0, each));
  }

  has(i: number): boolean {
    return (this.operator.inputs[i] ?? -1) >= 0;
  }

  /**
   * What flows into a kernel. Where the kernel is in int8 and what flows in floats ("dynamic range"), the runtime rounds what flows to 256
   * steps between its least and its largest value: of the last axis where each place along the others is a row of a product, else of a sample.
   *
   * @param at the input that flows; the kernel is input 1
   * @param rows what flows as the rows that the product is of, where it is put into their shape first
   */
  flowing(isRows: boolean, at = 0, rows?: string): string {
    const { builder } = this;
    const [flowing, kernel] = [this.tensor(at), this.tensor(1)];
    const x = rows ?? this.input(at);
    if (flowing.dtype !== 'float32' || !kernel.quantisation || !Object.hasOwn(CODES, kernel.dtype)) return x;
    if (kernel.dtype !== 'int8' && builder.reading.dynamicRange === 'rounded')
      throw new ModelError(
        'unsupported',
        `${this.operator.op} has weights in ${kernel.dtype} where floats flow, which versions of the runtime read otherwise; --assume dynamic_range=float takes them as the numbers that they stand for`,
        {
          file: builder.file,
          layer: this.result,
          tensor: kernel.name,
        },
      );
    this.shared.dynamic.push(this.result);
    if (builder.reading.dynamicRange === 'float') return x;
    const rank = rows === undefined ? flowing.shape.length : 2;
    const axes = isRows ? [rank - 1] : Array.from({ length: rank - 1 }, (_, axis) => axis + 1);
    return this.before('RoundToOwnRange', [x], { axes: ints(axes) });
  }

  /** One of the model's other graphs, as a function. */
  async calls(graph: number): Promise<TfAttribute> {
    return { kind: 'function', value: { name: await this.shared.functionOf(graph) } };
  }

  /** Whether it makes integer codes. */
  get isQuantised(): boolean {
    return this.operator.outputs.some((output) => output >= 0 && isQuantised(this.builder.model.tensors[output]!));
  }

  /** Whether an input is a constant in integer codes. */
  isCodes(i: number): boolean {
    const { data, quantisation, dtype } = this.tensor(i);
    return data !== null && quantisation !== null && Object.hasOwn(CODES, dtype);
  }

  tensor(i: number): LiteTensor {
    return this.builder.model.tensors[this.#place(i)]!;
  }

  dtype(i: number): string {
    return this.tensor(i).dtype;
  }

  shape(i: number): readonly number[] {
    return this.tensor(i).shape;
  }

  /** A constant in another order of axes; a node where it flows. */
  turned(i: number, order: readonly number[]): string {
    const index = this.#place(i);
    const { data, name, shape } = this.builder.model.tensors[index]!;
    if (shape.length !== order.length)
      throw new ModelError('malformed', `${this.operator.op} reads a tensor of shape [${shape}], and one of ${order.length} axes is expected`, {
        file: this.builder.file,
        layer: this.result,
        tensor: name,
      });
    if (data) return this.builder.constant(`${index} ${order}`, `${name}/turned`, permute(this.builder.numbers(index), order));
    return this.builder.node('Transpose', this.builder.free(`${this.result}/turned`), [this.input(i), this.builder.list(order, this.result)]);
  }

  /** The last node, with an activation behind it where one is merged in. */
  async finish(op: string, inputs: readonly string[], attributes: Attributes, activation: number): Promise<void> {
    const word = ACTIVATIONS[activation];
    if (word === undefined)
      throw new ModelError('unsupported', `the activation ${activation} is merged into ${this.operator.op}`, { file: this.builder.file, layer: this.result });
    if (word === null) this.builder.node(op, this.result, inputs, attributes);
    else this.builder.node(word, this.result, [this.builder.node(op, this.builder.free(`${this.result}/${op}`), inputs, attributes)]);
  }

  decline(problem: string): ModelError {
    return new ModelError('unsupported', `${this.operator.op}: ${problem}`, { file: this.builder.file, layer: this.result });
  }

  before(op: string, inputs: readonly string[], attributes: Attributes = {}): string {
    return this.builder.node(op, this.builder.free(`${this.result}/${op}`), inputs, attributes);
  }

  /** For operators of several outputs: each is output i of one node. */
  spread(op: string, inputs: readonly string[], attributes: Attributes): void {
    const node = this.before(op, inputs, attributes);
    for (const [i, name] of this.results.entries())
      this.builder.nodes.push({ name, op: 'Identity', inputs: [{ node, output: i }], control: [], attributes: new Map() });
  }
}
