/** A node of a TensorFlow graph as a rule sees it: its inputs as values, its attributes by name, each of which must be read. */
import type { TfAttribute, TfNode, TfShape } from '../../containers/tf-graph.js';
import { ModelError } from '../../errors.js';
import type { GraphBuilder, Value } from '../../model/builder.js';
import { divideDim, multiplyDims, quotientOf } from '../../model/dims.js';
import type { DType } from '../../model/dtype.js';
import type { Dim } from '../../model/layer-map.js';
import { operatorOf } from '../../model/ops/index.js';
import { toChannelsFirst, toChannelsLast } from '../../model/ports.js';
import { permute, reshape, type Tensor } from '../../model/tensor.js';

/** Attributes that say of what types a node is, or how it is run: the values themselves have their types. */
const AT_REST: ReadonlySet<string> = new Set([
  ...['T', 'U', 'N', 'S', 'Tdim', 'Tidx', 'Tindices', 'Tparams', 'Taxis', 'Tperm', 'Tshape', 'Tpaddings', 'Tblock_shape', 'Tcrops', 'Tlen', 'Tmultiples'],
  ...['Tin', 'Tout', 'TI', 'Tn', 'Tnumsegments', 'dtype', 'out_type', 'index_type', 'Index', 'SrcT', 'shape', 'use_cudnn_on_gpu', 'validate_indices'],
  ...[
    'Toutput_type',
    'T_threshold',
    'batch_dims',
    'num_args',
    'num_host_args',
    'host_args',
    'TArgs',
    'parallel_iterations',
    'container',
    'shared_name',
    'allowed_devices',
    'is_constant',
    'grad_a',
    'grad_b',
    'grad_x',
    'grad_y',
  ],
]);

/** A Split or Unpack of more parts is no net's. */
const MAX_OUTPUTS = 10_000;

export class TfOperation {
  readonly #read: Set<string>;

  /**
   * @param runtime whose meaning counts where TensorFlow.js computes otherwise than TensorFlow
   * @param name of the layer that makes what the node makes
   */
  constructor(
    readonly node: TfNode,
    readonly inputs: readonly Value[],
    readonly build: GraphBuilder,
    readonly runtime: 'tensorflow' | 'tfjs' = 'tensorflow',
    readonly name = node.name,
    read = new Set<string>(),
  ) {
    this.#read = read;
  }

  /** The same node, for a rule whose result is not the last that the node does. */
  named(name: string): TfOperation {
    return new TfOperation(this.node, this.inputs, this.build, this.runtime, name, this.#read);
  }

  /** The same node, of other inputs. */
  reading(inputs: readonly Value[]): TfOperation {
    return new TfOperation(this.node, inputs, this.build, this.runtime, this.name, this.#read);
  }

  /** @throws ModelError 'malformed' where the node has fewer inputs */
  input(index: number): Value {
    const value = this.inputs[index];
    if (!value) throw new ModelError('malformed', `${this.node.op} has ${this.inputs.length} inputs, and its input ${index} is asked for`);
    return value;
  }

  #attribute<K extends TfAttribute['kind']>(name: string, kind: K): Extract<TfAttribute, { kind: K }> | undefined {
    this.#read.add(name);
    const attribute = this.node.attributes.get(name);
    if (attribute === undefined) return undefined;
    if (attribute.kind !== kind) throw new ModelError('malformed', `the attribute ${name} of ${this.node.op} is a ${attribute.kind}, expected a ${kind}`);
    return attribute as Extract<TfAttribute, { kind: K }>;
  }

  number(name: string, missing: number): number {
    const attribute = this.node.attributes.get(name);
    this.#read.add(name);
    if (attribute === undefined) return missing;
    if (attribute.kind !== 'int' && attribute.kind !== 'float') throw new ModelError('malformed', `the attribute ${name} of ${this.node.op} is no number`);
    return attribute.value;
  }

  flag(name: string, missing = false): boolean {
    return this.#attribute(name, 'bool')?.value ?? missing;
  }

  text(name: string, missing = ''): string {
    return this.#attribute(name, 'string')?.value ?? missing;
  }

  numbers(name: string, missing: readonly number[] = []): readonly number[] {
    const list = this.#attribute(name, 'list')?.value;
    if (!list) return missing;
    return list.map((item) => {
      if (item.kind !== 'int' && item.kind !== 'float') throw new ModelError('malformed', `the attribute ${name} of ${this.node.op} lists a ${item.kind}`);
      return item.value;
    });
  }

  texts(name: string): readonly string[] {
    return (this.#attribute(name, 'list')?.value ?? []).map((item) => (item.kind === 'string' ? item.value : ''));
  }

  tensor(name: string): Tensor | null | undefined {
    return this.#attribute(name, 'tensor')?.value;
  }

  shape(name: string): TfShape | undefined {
    return this.#attribute(name, 'shape')?.value;
  }

  dtype(name: string): string | undefined {
    return this.#attribute(name, 'type')?.value;
  }

  /** A setting that is without effect at the given value. */
  rest(name: string, value: boolean | number | string): void {
    this.#read.add(name);
    const attribute = this.node.attributes.get(name);
    if (attribute !== undefined && attribute.value !== value) throw this.decline(`${name} is ${JSON.stringify(attribute.value)}`);
  }

  /** A setting that says what the values themselves say. */
  passOver(name: string): void {
    this.#read.add(name);
  }

  /** @throws ModelError 'unsupported' naming settings that no rule asked for */
  checkRead(): void {
    const unread = this.#unread();
    if (unread.length > 0) throw this.decline(`it has settings that are not known: ${unread.join(', ')}`);
  }

  #unread(): string[] {
    return [...this.node.attributes]
      .filter(
        ([name, { kind }]) =>
          !this.#read.has(name) && !name.startsWith('_') && !(AT_REST.has(name) && kind !== 'string') && !(kind === 'type' && /^T[a-z]*$/.test(name)),
      )
      .map(([name, { value }]) => `${name} ${JSON.stringify(value)?.slice(0, 60)}`);
  }

  /**
   * Integers that are known before the model runs: an axis, a shape.
   *
   * @throws ModelError 'unsupported' naming the input where they are not
   */
  known(index: number, what: string): readonly number[] {
    const { elements } = this.input(index);
    if (elements?.every((element) => typeof element === 'number')) return elements as readonly number[];
    throw this.decline(`its ${what} is known only when the model runs`);
  }

  /** Where a slice begins or ends, as far as it is known. */
  bounds(index: number): readonly (Dim | null)[] {
    return this.input(index).elements ?? [];
  }

  /** An input of integers as ONNX takes sizes. */
  int64(index: number): Value {
    const value = this.input(index);
    return value.dtype === 'int64' ? value : this.before('Cast', [value], { to: 'int64' });
  }

  /** @throws ModelError 'malformed' for a count of outputs that no node has */
  checkCount(count: number): void {
    if (!(Number.isInteger(count) && count >= 1 && count <= MAX_OUTPUTS)) throw new ModelError('malformed', `${this.node.op} makes ${count} outputs`);
  }

  sizes(value: Value): readonly Dim[] {
    if (!value.shape) throw this.decline('the shape of what flows into it is not known');
    return value.shape;
  }

  divided(size: Dim, by: number): Dim {
    if (typeof size === 'number' && size % by !== 0) throw this.decline(`a size of ${size} does not divide by ${by}`);
    return divideDim(size, by);
  }

  multiplied(size: Dim, by: number): Dim {
    return multiplyDims(size, by);
  }

  /** How many times larger a size is than another, where that is a number. */
  factorOf(made: Dim | null | undefined, size: Dim): number | null {
    const quotient = made === null || made === undefined ? null : quotientOf(made, size);
    return typeof quotient === 'number' ? quotient : null;
  }

  /** @throws ModelError 'unsupported' where several sizes are free */
  reshaped(value: Value, wanted: readonly Dim[], name = `${this.name}/Reshape`): Value {
    const from = this.sizes(value);
    const shape = wanted.map((size, axis) => (typeof size === 'number' ? size : size === from[axis] ? 0 : -1));
    if (shape.filter((size) => size === -1).length > 1) throw this.decline(`several sizes of [${wanted}] are known only when the model runs`);
    return this.add('Reshape', [value], { shape }, name);
  }

  /** The tensor of a constant input. @throws ModelError 'unsupported' where it flows */
  constant(index: number, what: string): Tensor {
    const { constant } = this.input(index);
    if (!constant) throw this.decline(`its ${what} is worked out when the model runs`);
    return constant;
  }

  rank(value: Value): number {
    if (!value.shape) throw this.decline('how many axes flow into it is not known');
    return value.shape.length;
  }

  /** Adds a layer of the operator; the last one that a rule adds bears the node's name. */
  add(
    op: string,
    inputs: readonly (Value | null)[],
    attributes: Readonly<Record<string, number | string | readonly number[] | undefined>> = {},
    name = this.name,
  ): Value {
    return this.many(op, inputs, attributes, 1, name)[0]!;
  }

  many(
    op: string,
    inputs: readonly (Value | null)[],
    attributes: Readonly<Record<string, number | string | readonly number[] | undefined>>,
    outputs: number,
    name = this.name,
  ): readonly Value[] {
    if (!operatorOf(op)) throw this.decline(`it needs the operator ${op}, which the layer map has not`);
    // Names of nodes are kept for what they make; all else takes what is free.
    const own = name === this.node.name ? { outputs: Array.from({ length: outputs }, (_, i) => (i === 0 ? name : `${name}:${i}`)) } : {};
    return this.build.node(op, inputs, attributes, { name, ...own });
  }

  /** A layer before the last one. */
  before(op: string, inputs: readonly (Value | null)[], attributes: Readonly<Record<string, number | string | readonly number[] | undefined>> = {}): Value {
    return this.add(op, inputs, attributes, `${this.name}/${op}`);
  }

  /** A constant scalar of the dtype of `like`. */
  scalar(value: number, like: Value): Value {
    return this.build.numbers(like.dtype ?? 'float32', value);
  }

  integers(values: readonly number[]): Value {
    return this.build.numbers('int64', values);
  }

  /** Whether the channels come last. @throws ModelError 'unsupported' for a layout that is not known */
  isLast(attribute = 'data_format'): boolean {
    const format = this.text(attribute, 'NHWC');
    if (['NHWC', 'NDHWC', 'NWC'].includes(format)) return true;
    if (['NCHW', 'NCDHW', 'NCW'].includes(format)) return false;
    throw this.decline(`${attribute} is ${JSON.stringify(format)}`);
  }

  /** The value with its channels first. */
  first(value: Value, isLast: boolean): Value {
    return isLast ? this.before('Transpose', [value], { perm: toChannelsFirst(this.rank(value)) }) : value;
  }

  /** What was made channels-first, in the node's own order and under its name. */
  back(make: (name: string) => Value, isLast: boolean): Value {
    if (!isLast) return make(this.name);
    return this.last(make(`${this.name}/${this.node.op}`), this.name);
  }

  /** The value with its channels last. */
  last(value: Value, name: string): Value {
    return this.add('Transpose', [value], { perm: toChannelsLast(this.rank(value)) }, name);
  }

  /** A constant as a value of another order or shape; nothing is read for it. */
  turned(tensor: Tensor, order: readonly number[], shape?: readonly number[]): Value {
    const moved = permute(tensor, order);
    return this.build.constant(shape ? reshape(moved, shape) : moved);
  }

  decline(problem: string): ModelError {
    return new ModelError('unsupported', `${this.node.op}: ${problem}`);
  }
}

export function isDType(name: string): name is DType {
  return name !== 'string' && !name.startsWith('type ');
}
