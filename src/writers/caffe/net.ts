/** What a Caffe net consists of, and how one is put together: layers with settings and blobs, and the names of what they make. */
import type { Dim, Layer, Port } from '../../model/layer-map.js';
import { Names } from '../../model/names.js';
import { portValueShape } from '../../model/ports.js';
import { float32Tensor, type Tensor } from '../../model/tensor.js';

/** A layer of the file. */
export interface CaffeLayer {
  readonly name: string;
  readonly type: string;
  readonly bottoms: readonly string[];
  readonly tops: readonly string[];
  /** The block of settings: its name and its fields; a list is a repeated field. */
  readonly settings: Readonly<Record<string, Settings>>;
  readonly blobs: readonly Tensor[];
}

export interface Settings {
  readonly [field: string]: Setting | readonly Setting[] | Settings;
}

export type Setting = number | boolean | string | { readonly word: string };

export class NetBuilder {
  readonly layers: CaffeLayer[] = [];
  readonly #blobNames = new Map<string, string>();
  readonly #names = new Names();
  readonly #tops = new Names();

  /** @param read values that a layer takes, or the net gives */
  constructor(
    readonly shapes: ReadonlyMap<string, readonly Dim[]>,
    readonly read: ReadonlySet<string>,
  ) {}

  addInput(port: Port): string | null {
    const shape = portValueShape(port);
    // Caffe's nets have a batch of a given size, which a caller may change.
    const sizes = shape.map((size, axis) => (typeof size === 'string' ? (axis === 0 ? 1 : null) : size));
    if (sizes.includes(null)) return `its shape is [${shape}], and a Caffe net has sizes; --input-shape gives them`;
    const top = this.#top(port.value, port.name);
    this.layers.push({
      name: this.#names.take(port.name),
      type: 'Input',
      bottoms: [],
      tops: [top],
      settings: { input_param: { shape: { dim: sizes as number[] } } },
      blobs: [],
    });
    return null;
  }

  /** The last layer of a map's layer; gives its top the value's name. */
  add(
    layer: Layer,
    type: string,
    settings: CaffeLayer['settings'],
    blobs: readonly Tensor[] = [],
    bottoms: readonly string[] = layer.inputs.map((value) => this.blob(value)),
  ): null {
    this.#push(layer.name, type, bottoms, this.#top(layer.outputs[0]!, layer.name), settings, blobs);
    return null;
  }

  /** A layer before the last one of a map's layer; gives the name of its top. */
  before(layer: Layer, suffix: string, type: string, settings: CaffeLayer['settings'], blobs: readonly Tensor[], bottoms: readonly string[]): string {
    const top = this.#tops.take(`${layer.name}/${suffix}`);
    this.#push(`${layer.name}/${suffix}`, type, bottoms, top, settings, blobs);
    return top;
  }

  /**
   * The elements [start, end) along an axis; the others are taken in by a layer that gives nothing, so that they are no outputs.
   *
   * @param suffix of a step before the last one of a map's layer
   */
  cut(layer: Layer, [bottom, axis, size]: readonly [blob: string, axis: number, size: number], start: number, end: number, suffix?: string): string {
    const points = [...new Set([start, end])].filter((point) => point > 0 && point < size);
    const name = suffix === undefined ? layer.name : `${layer.name}/${suffix}`;
    const top = suffix === undefined ? this.#top(layer.outputs[0]!, layer.name) : this.#tops.take(name);
    if (points.length === 0) {
      this.#push(name, 'Split', [bottom], top, {}, []);
      return top;
    }
    const wanted = start === 0 ? 0 : 1;
    const tops = Array.from({ length: points.length + 1 }, (_, i) => (i === wanted ? top : this.#tops.take(`${name}/rest`)));
    this.layers.push({
      name: this.#names.take(name),
      type: 'Slice',
      bottoms: [bottom],
      tops,
      settings: { slice_param: { axis, slice_point: points } },
      blobs: [],
    });
    this.#silence(
      name,
      tops.filter((_, i) => i !== wanted),
    );
    return top;
  }

  /** All the parts of an axis, cut at the given points. */
  parts(layer: Layer, axis: number, points: readonly number[]): null {
    const tops = layer.outputs.map((value, i) => this.#top(value, `${layer.name}${i === 0 ? '' : `/${i}`}`));
    const settings: CaffeLayer['settings'] = points.length === 0 ? {} : { slice_param: { axis, slice_point: points } };
    this.layers.push({
      name: this.#names.take(layer.name),
      type: points.length === 0 ? 'Split' : 'Slice',
      bottoms: [this.blob(layer.inputs[0]!)],
      tops,
      settings,
      blobs: [],
    });
    return null;
  }

  /** Of values that something made, those that nobody reads, which would be outputs of the net, are taken in. */
  silence(name: string, values: readonly string[]): void {
    this.#silence(
      name,
      values.filter((value) => value !== '' && !this.read.has(value)).map((value) => this.blob(value)),
    );
  }

  #silence(name: string, bottoms: readonly string[]): void {
    if (bottoms.length === 0) return;
    this.layers.push({ name: this.#names.take(`${name}/silence`), type: 'Silence', bottoms, tops: [], settings: {}, blobs: [] });
  }

  addOutput(port: Port): void {
    const blob = this.blob(port.value);
    const isRead = this.layers.some(({ bottoms }) => bottoms.includes(blob));
    // A net's outputs are the blobs that no layer reads; one that is read gets a copy.
    if (isRead || this.layers.some(({ type, tops }) => type === 'Input' && tops.includes(blob))) {
      const top = this.#tops.take(port.name);
      this.#push(port.name, 'Split', [blob], top, {}, []);
    }
  }

  blob(value: string): string {
    return this.#blobNames.get(value)!;
  }

  shape(value: string): readonly Dim[] {
    return this.shapes.get(value)!;
  }

  /** Goes on after an obstacle, so that the next ones are found too. */
  pretend(layer: Layer): void {
    for (const output of layer.outputs) if (!this.#blobNames.has(output)) this.#top(output, layer.name);
  }

  #push(name: string, type: string, bottoms: readonly string[], top: string, settings: CaffeLayer['settings'], blobs: readonly Tensor[]): void {
    this.layers.push({ name: this.#names.take(name), type, bottoms, tops: [top], settings, blobs });
  }

  #top(value: string, wanted: string): string {
    const top = this.#tops.take(wanted);
    this.#blobNames.set(value, top);
    return top;
  }
}

/** Adds what the layer is; a text says why it cannot be said. */
export type Rule = (layer: Layer, net: NetBuilder) => string | null;

export const number = (layer: Layer, name: string) => layer.attributes[name] as number;
export const numbers = (layer: Layer, name: string) => layer.attributes[name] as readonly number[];
export const word = (text: string): Setting => ({ word: text });

/** Of what is made here, rather than read from a source. */
export const ORIGIN = { file: 'weighbridge' };

export const constantBlob = (name: string, shape: readonly number[], value: number): Tensor =>
  float32Tensor(name, shape, new Float32Array(shape.reduce((count, size) => count * size, 1)).fill(value), ORIGIN);

export const plain =
  (type: string, settings: (layer: Layer) => CaffeLayer['settings'] = () => ({})): Rule =>
  (layer, net) =>
    net.add(layer, type, settings(layer));

/** (shift + scale x) ^ power. */
export const powerOf = (settings: { readonly scale?: number; readonly shift?: number; readonly power?: number }): CaffeLayer['settings'] => ({
  power_param: settings,
});

export const eltwiseOf = (operation: 'SUM' | 'PROD' | 'MAX', coeff?: readonly number[]): CaffeLayer['settings'] => ({
  eltwise_param: { operation: word(operation), ...(coeff ? { coeff } : {}) },
});

/** An axis counted from the front. */
export function front(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis;
}

/** Sizes for a Reshape of a value of one shape to another: a free size stays where it stands, or is what is left; null where several are. */
export function dimsFor(from: readonly Dim[], to: readonly Dim[]): readonly number[] | null {
  const dims = to.map((size, i) => (typeof size === 'number' ? size : from[i] === size ? 0 : -1));
  return dims.filter((size) => size === -1).length > 1 ? null : dims;
}

export const reshapeOf = (dims: readonly number[]): CaffeLayer['settings'] => ({ reshape_param: { shape: { dim: dims } } });
