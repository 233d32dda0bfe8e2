/** Builds the layer map of a Caffe net, layer by layer: values, shapes, and obstacles. */
import { ModelError } from '../../errors.js';
import type { DType } from '../../model/dtype.js';
import type { AttributeValue, Dim, Layer, Notice } from '../../model/layer-map.js';
import { Names } from '../../model/names.js';
import { NetSize } from '../../model/net-size.js';
import { inferLayer, makeLayer } from '../../model/ops/index.js';
import { computedTensor, float32Tensor, type Tensor } from '../../model/tensor.js';
import type { Blobs } from './blobs.js';
import { MAX_AXES } from './schema.js';
import type { CaffeLayer } from './topology.js';
import { NetWeights } from './weights.js';

/** Caffe counts a blob's values in an int. */
const MAX_VALUES = 2 ** 31 - 1;
/** The deepest published nets come to some five thousand operators. */
const MAX_OPERATORS = 25_000;

export interface Step {
  readonly attributes?: Readonly<Record<string, AttributeValue>>;
  readonly weights?: Readonly<Record<string, Tensor>>;
}

/** What a pooling says of where its maxima lie: enough to find them again. */
export interface Positions {
  readonly layer: CaffeLayer;
  /** The value that was pooled, and what became of it. */
  readonly input: string;
  readonly pooled: string;
  /** Windows lie side by side. */
  readonly kernel: readonly number[];
}

export class CaffeBuilder {
  readonly layers: Layer[] = [];
  readonly warnings: Notice[] = [];
  readonly obstacles: ModelError[] = [];
  readonly shapes = new Map<string, readonly Dim[]>();
  /** What a blob's name stands for now; in-place layers change it. */
  readonly values = new Map<string, string>();
  /** By the blobs that hold them, which are no values. */
  readonly positions = new Map<string, Positions>();
  readonly #positionsUsed = new Set<string>();
  readonly weights: NetWeights;
  /** Looks at values of weights, once the net is understood. */
  readonly checks: (() => Promise<readonly Notice[]>)[] = [];
  /** Said of layers that cannot be translated without the input's size. */
  readonly sizeNeeded = new Set<ModelError>();
  readonly #names = new Names(2);
  /** Of values that are not float32, as everything of Caffe's is. */
  readonly #dtypes = new Map<string, DType>();
  /** Blobs that a layer should have made which could not be translated. */
  readonly #givenUp = new Set<string>();
  readonly #size: NetSize;

  constructor(
    readonly file: string,
    stored: ReadonlyMap<string, Blobs>,
    layers: readonly CaffeLayer[],
  ) {
    this.weights = new NetWeights(file, stored, layers);
    this.#size = new NetSize(file, MAX_OPERATORS);
  }

  /** A value that flows in from outside, and bears its blob's name. */
  addInput(name: string, shape: readonly Dim[]): void {
    this.#names.take(name);
    this.values.set(name, name);
    this.shapes.set(name, shape);
  }

  /** What follows a layer without translation is looked at as far as it can be, so that more obstacles are found. */
  giveUpOn(blob: string): void {
    this.#givenUp.add(blob);
    this.values.delete(blob);
  }

  isGivenUp(blob: string): boolean {
    return this.#givenUp.has(blob);
  }

  /** The shape behind a value. */
  shapeOf(value: string): readonly Dim[] {
    return this.shapes.get(value)!;
  }

  /** @returns the value that a layer reads */
  input(layer: CaffeLayer, i = 0): string {
    const blob = layer.bottoms[i];
    if (blob === undefined) throw this.malformed(layer, `${layer.type} has no bottom ${i}`);
    const value = this.values.get(blob);
    if (value === undefined && this.positions.has(blob)) throw this.unsupported(layer, `reads "${blob}", the positions of maxima, which are for Upsample only`);
    if (value === undefined) throw this.malformed(layer, `reads "${blob}", which no earlier layer makes`);
    return value;
  }

  /** The positions that a layer reads. */
  positionsOf(layer: CaffeLayer, i: number): Positions {
    const blob = layer.bottoms[i]!;
    const positions = this.positions.get(blob);
    if (!positions) throw this.malformed(layer, `reads "${blob}" as the positions of maxima, which no pooling gives`);
    this.#positionsUsed.add(blob);
    return positions;
  }

  /** Of poolings whose positions nothing takes: they would be outputs. */
  openPositions(): ModelError[] {
    return [...this.positions].flatMap(([blob, { layer }]) =>
      this.#positionsUsed.has(blob)
        ? []
        : [this.unsupported(layer, `pooling that also gives the positions of its maxima ("${blob}"), which no Upsample takes`)],
    );
  }

  inputs(layer: CaffeLayer): string[] {
    return layer.bottoms.map((_, i) => this.input(layer, i));
  }

  /** The shape of what a layer reads. */
  inputShape(layer: CaffeLayer, i = 0): readonly Dim[] {
    return this.shapeOf(this.input(layer, i));
  }

  /** An axis of the layer's first input from 0 on; Caffe counts negative ones from the end. */
  axis(layer: CaffeLayer, axis: number, rank = this.inputShape(layer).length): number {
    const positive = axis < 0 ? axis + rank : axis;
    if (!Number.isInteger(positive) || positive < 0 || positive >= rank) throw this.malformed(layer, `axis ${axis} of ${rank} axes`);
    return positive;
  }

  /** A size that must be known. */
  size(layer: CaffeLayer, size: Dim | undefined, what: string): number {
    if (typeof size === 'number') return size;
    throw this.needsSize(layer, what);
  }

  /**
   * Appends an operator.
   *
   * @param name of the step; the layer's own name for its last one
   * @returns the value it makes
   */
  add(layer: CaffeLayer, name: string, op: string, inputs: readonly string[], step: Step = {}): string {
    this.#size.add(layer.name, inputs.length, 1);
    const unique = this.#names.take(name);
    const made = makeLayer({ name: unique, op, inputs, outputs: [unique], ...step });
    const [type] = inferLayer(
      made,
      inputs.map((value) => ({ dtype: this.#dtypes.get(value) ?? 'float32', shape: this.shapeOf(value) })),
    );
    const { dtype, shape } = type as { readonly dtype: DType; readonly shape: readonly Dim[] };
    if (shape.length > MAX_AXES) throw this.malformed(layer, `${layer.type} makes a blob of ${shape.length} axes; Caffe allows ${MAX_AXES}`);
    if (shape.includes(0)) throw this.malformed(layer, `${layer.type} makes the shape [${shape}]. Is the input too small?`);
    if (shape.reduce<number>((product, size) => product * (typeof size === 'number' ? size : 1), 1) > MAX_VALUES)
      throw this.malformed(layer, `${layer.type} makes the shape [${shape}], which has more values than a blob of Caffe's may have`);
    this.shapes.set(unique, shape);
    if (dtype !== 'float32') this.#dtypes.set(unique, dtype);
    this.layers.push(made);
    return unique;
  }

  /** Says what a layer's top stands for. */
  output(layer: CaffeLayer, value: string, i = 0): void {
    const blob = layer.tops[i];
    if (blob === undefined) throw this.malformed(layer, `${layer.type} has no top ${i}`);
    this.#givenUp.delete(blob);
    this.values.set(blob, value);
  }

  /** A binary operator whose second operand is a number. */
  withScalar(layer: CaffeLayer, name: string, op: string, input: string, value: number): string {
    return this.add(layer, name, op, [input], { weights: { operand: this.constant(`${name}/operand`, [], [value]) } });
  }

  /** Weights that are no blob's, but follow from settings. */
  constant(name: string, shape: readonly number[], values: ArrayLike<number>): Tensor {
    return float32Tensor(name, shape, values, { file: this.file });
  }

  /**
   * Appends a Reshape to known sizes; free ones of the input stay where they are.
   *
   * @throws ModelError 'unsupported' where a size that is not known would have to move
   */
  reshape(layer: CaffeLayer, name: string, input: string, target: readonly Dim[]): string {
    const from = this.shapeOf(input);
    if (target.length > MAX_AXES) throw this.malformed(layer, `${layer.type} makes a blob of ${target.length} axes; Caffe allows ${MAX_AXES}`);
    if (from.join() === target.join()) return this.add(layer, name, 'Identity', [input]);
    const shape = target.map((size, axis) => (typeof size === 'number' ? size : from[axis] === size ? 0 : -1));
    if (shape.filter((size) => size === -1).length > 1)
      throw this.needsSize(layer, `${layer.type} from [${from}] to [${target}], which moves sizes that are not known`);
    const value = this.add(layer, name, 'Reshape', [input], { attributes: { shape } });
    this.shapes.set(value, target);
    return value;
  }

  /**
   * Weights that no blob holds, worked out when they are written.
   *
   * @throws ModelError 'unsafe' where a net asks for more of them than any has
   */
  computed(layer: CaffeLayer, name: string, shape: readonly number[], compute: () => Float32Array): Tensor {
    this.weights.countMade(layer, shape);
    return computedTensor(name, 'float32', shape, { file: this.file }, async () => new Uint8Array(compute().buffer));
  }

  unsupported(layer: CaffeLayer, problem: string): ModelError {
    return new ModelError('unsupported', problem, { file: this.file, layer: layer.name });
  }

  malformed(layer: CaffeLayer, problem: string): ModelError {
    return new ModelError('malformed', problem, { file: this.file, layer: layer.name });
  }

  /** @param what cannot be done without knowing the size */
  needsSize(layer: CaffeLayer, what: string): ModelError {
    const error = this.unsupported(layer, `${what}. Give the input's size with --input-shape.`);
    this.sizeNeeded.add(error);
    return error;
  }
}
