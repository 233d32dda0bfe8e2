/** What a layer's translation works with: its name, its weights, the graph. */
import { ModelError } from '../../errors.js';
import type { Dim } from '../../model/layer-map.js';
import type { Tensor } from '../../model/tensor.js';
import type { KerasLayer } from './config.js';
import type { DataFormat, Dialect } from './config-view.js';
import { type GraphBuilder, type Step, scalar, type Value } from './value.js';

export class Scope {
  #taken = 0;
  #steps = 0;

  /**
   * @param name of the layer in the map; what it makes first is named so, later steps add their operator to it
   * @param weights in Keras's order
   */
  constructor(
    readonly builder: GraphBuilder,
    readonly layer: KerasLayer,
    readonly name: string,
    readonly dialect: Dialect,
    readonly weights: readonly Tensor[],
  ) {}

  /** Appends a step of this layer. */
  add(op: string, inputs: readonly Value[], step: Omit<Step, 'op' | 'inputs'> = {}): Value {
    return this.addAll(op, inputs, step, 1)[0]!;
  }

  /** A step that makes several values. */
  addAll(op: string, inputs: readonly Value[], step: Omit<Step, 'op' | 'inputs'>, count: number): readonly Value[] {
    const name = this.#steps++ === 0 ? this.name : `${this.name}/${op}`;
    return this.builder.addAll(name, { ...step, op, inputs }, count);
  }

  /** A binary operator whose second operand is a number. */
  withScalar(op: string, input: Value, value: number): Value {
    return this.add(op, [input], { weights: { operand: scalar(`${this.name}/${value}`, value, this.builder.file) } });
  }

  /** The value in the order that a layer of this data format works in. */
  inFormat(value: Value, format: DataFormat): Value {
    return format === 'channels_last' ? this.builder.toMoved(value) : this.builder.toKeras(value);
  }

  /**
   * The layer's next weight, which must have the given shape.
   *
   * @throws ModelError 'malformed' when there is none, or it has another shape
   */
  weight(role: string, shape: readonly Dim[]): Tensor {
    const tensor = this.nextWeight(role);
    // A layer whose parts were quantised does not say so itself, and HDF5 has what is not in codes before the codes.
    const isCodes = /^u?int8$/.test(tensor.dtype);
    if (isCodes || (`${tensor.shape}` !== `${shape}` && this.weights.some(({ dtype }) => /^u?int8$/.test(dtype)))) {
      const how = `; Keras loads no such file either: save the model before it is quantised. As it stands this`;
      throw this.unsupported(`the ${role} of this ${this.layer.className} is stored as codes of 8 bits, as Keras quantises it${how}`);
    }
    return this.#fitting(tensor, role, shape);
  }

  /** The layer's next weight, of codes that stand for its elements. @throws ModelError as `weight` does */
  codes(role: string, shape: readonly Dim[]): Tensor {
    return this.#fitting(this.nextWeight(role), role, shape);
  }

  #fitting(tensor: Tensor, role: string, shape: readonly Dim[]): Tensor {
    if (tensor.shape.length !== shape.length || shape.some((size, axis) => size !== tensor.shape[axis])) {
      throw new ModelError('malformed', `the ${role} has the shape [${tensor.shape}], but the configuration asks for [${shape}]. Do they belong together?`, {
        file: tensor.origin.file,
        layer: this.layer.path,
        tensor: tensor.name,
      });
    }
    return tensor;
  }

  /** The shape of the weight that is next; undefined where there is none. */
  get nextShape(): readonly number[] | undefined {
    return this.weights[this.#taken]?.shape;
  }

  /** The layer's next weight, of whatever shape. */
  nextWeight(role: string): Tensor {
    const tensor = this.weights[this.#taken++];
    if (!tensor) {
      throw new ModelError('malformed', `the ${role} of this ${this.layer.className} is missing: the file has ${this.weights.length} weights for it`, {
        file: this.builder.file,
        layer: this.layer.path,
      });
    }
    return tensor;
  }

  /** @throws ModelError 'malformed' when the layer has weights that nobody took */
  finish(): void {
    const left = this.weights.slice(this.#taken).map((tensor) => tensor.name);
    if (left.length === 0) return;
    throw new ModelError('malformed', `the ${this.layer.className} has weights that its configuration does not speak of: ${left.join(', ')}`, {
      file: this.builder.file,
      layer: this.layer.path,
    });
  }

  /** Tells what the file does not say, and what was taken for it. */
  assume(message: string): void {
    this.tell('assumed', message);
  }

  tell(code: string, message: string): void {
    this.builder.notices.push({ code, message, layer: this.layer.path });
  }

  unsupported(problem: string): ModelError {
    return new ModelError('unsupported', `${problem} is not translated`, { file: this.builder.file, layer: this.layer.path });
  }

  /** For a configuration that its weights or its inputs contradict. */
  malformed(problem: string): ModelError {
    return new ModelError('malformed', problem, { file: this.builder.file, layer: this.layer.path });
  }
}
