/** Builds the layer map of a Caffe net, layer by layer: values, shapes, weights and obstacles. */
import { ModelError } from '../../errors.js';
import type { AttributeValue, Dim, Layer, Notice } from '../../model/layer-map.js';
import { inferLayer, makeLayer } from '../../model/ops/index.js';
import { elementCount, float32Tensor, reshape, type Tensor } from '../../model/tensor.js';
import type { CaffeLayer } from './topology.js';

export interface Step {
  readonly attributes?: Readonly<Record<string, AttributeValue>>;
  readonly weights?: Readonly<Record<string, Tensor>>;
}

export class CaffeBuilder {
  readonly layers: Layer[] = [];
  readonly warnings: Notice[] = [];
  readonly obstacles: ModelError[] = [];
  readonly shapes = new Map<string, readonly Dim[]>();
  /** What a blob's name stands for now; in-place layers change it. */
  readonly values = new Map<string, string>();
  /** Blobs of labels and other inputs that only training layers read. */
  readonly trainingBlobs = new Set<string>();
  readonly #used = new Set<string>();
  readonly #names = new Set<string>();

  constructor(
    readonly file: string,
    readonly blobs: ReadonlyMap<string, readonly Tensor[]>,
  ) {}

  /** The shape behind a blob. */
  shapeOf(value: string): readonly Dim[] {
    return this.shapes.get(value)!;
  }

  /** @returns the value that a layer reads */
  input(layer: CaffeLayer, i = 0): string {
    const blob = layer.bottoms[i];
    if (blob === undefined) throw this.malformed(layer, `${layer.type} has no bottom ${i}`);
    const value = this.values.get(blob);
    if (value === undefined) throw this.malformed(layer, `reads "${blob}", which no earlier layer makes`);
    return value;
  }

  /**
   * Appends an operator.
   *
   * @param name of the step; the layer's own name for its last one
   * @returns the value it makes
   */
  add(layer: CaffeLayer, name: string, op: string, inputs: readonly string[], step: Step = {}): string {
    const unique = this.#unique(name);
    const made = makeLayer({ name: unique, op, inputs, outputs: [unique], ...step });
    const [type] = inferLayer(
      made,
      inputs.map((value) => ({ dtype: 'float32' as const, shape: this.shapeOf(value) })),
    );
    const shape = type!.shape!;
    if (shape.includes(0)) throw this.malformed(layer, `${layer.type} makes the shape [${shape}]. Is the input too small?`);
    this.shapes.set(unique, shape);
    this.layers.push(made);
    return unique;
  }

  /** Says what a layer's top stands for. */
  output(layer: CaffeLayer, value: string, i = 0): void {
    const blob = layer.tops[i];
    if (blob === undefined) throw this.malformed(layer, `${layer.type} has no top ${i}`);
    this.values.set(blob, value);
  }

  /** A binary operator whose second operand is a number. */
  withScalar(layer: CaffeLayer, name: string, op: string, input: string, value: number): string {
    return this.add(layer, name, op, [input], { weights: { operand: float32Tensor(`${name}/operand`, [], [value], { file: this.file }) } });
  }

  /**
   * A layer's blob, which must hold what the layer's shape asks for. Old files write leading ones, which Caffe ignores too.
   *
   * @throws ModelError 'malformed' naming both sides
   */
  blob(layer: CaffeLayer, i: number, what: string, shape: readonly number[]): Tensor {
    this.#used.add(layer.name);
    const tensor = this.blobs.get(layer.name)?.[i];
    if (!tensor) throw this.malformed(layer, `the weights have no ${what} for this ${layer.type} (blob ${i}). Do prototxt and caffemodel belong together?`);
    const stripped = (sizes: readonly number[]) =>
      sizes.slice(sizes.findIndex((size) => size !== 1) < 0 ? sizes.length : sizes.findIndex((size) => size !== 1));
    if (elementCount(tensor.shape) !== elementCount(shape) || stripped(tensor.shape).join() !== stripped(shape).join()) {
      throw new ModelError(
        'malformed',
        `the ${what} has the shape [${tensor.shape}], but the net asks for [${shape}]. Do prototxt and caffemodel belong together?`,
        {
          file: this.file,
          layer: layer.name,
          tensor: tensor.name,
        },
      );
    }
    return reshape(tensor, shape);
  }

  /** A layer's blob of whatever shape. */
  anyBlob(layer: CaffeLayer, i: number): Tensor | undefined {
    this.#used.add(layer.name);
    return this.blobs.get(layer.name)?.[i];
  }

  blobCount(layer: CaffeLayer): number {
    return this.blobs.get(layer.name)?.length ?? 0;
  }

  /** Layers whose weights nothing asked for. */
  unusedBlobs(): string[] {
    return [...this.blobs.keys()].filter((name) => !this.#used.has(name));
  }

  unsupported(layer: CaffeLayer, problem: string): ModelError {
    return new ModelError('unsupported', problem, { file: this.file, layer: layer.name });
  }

  malformed(layer: CaffeLayer, problem: string): ModelError {
    return new ModelError('malformed', problem, { file: this.file, layer: layer.name });
  }

  #unique(name: string): string {
    let unique = name;
    for (let i = 2; this.#names.has(unique) || this.shapes.has(unique); i++) unique = `${name}_${i}`;
    this.#names.add(unique);
    return unique;
  }
}
