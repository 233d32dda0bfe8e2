import { identity, sameOrder } from '../../model/axis-order.js';
import type { Dim, Layer, Port } from '../../model/layer-map.js';
import { isNeverNegative } from '../../model/ops/index.js';
import type { ValueType } from '../../model/ops/operator.js';
import { portValueShape } from '../../model/ports.js';
import type { Tensor } from '../../model/tensor.js';
import type { WholeResult } from '../../model/whole-numbers.js';
import type { WriteOptions } from '../writer.js';
import { channelsLast, type Flattening, type Placement, portOrder } from './placement.js';
import { type FileValue, type FileWeight, inexpressible, type Target, type WeightKind } from './target.js';

/**
 * How a layer of the map is found again in the file, where that is not plain: what it makes has the layer's own name and its channels
 * last, and so have its weights.
 */
export interface LayerNote {
  /** The name in the file, where it is another one. */
  readonly node?: string;
  /** The order in which the file has the axes of what the layer makes. */
  readonly order?: readonly number[];
  /** False where the file does not show the value with the map's axes, in whatever order. */
  readonly shown?: false;
  /** The order of the features that the layer's weights belong to. */
  readonly features?: Flattening;
}

/** What a rule makes of a layer: its output, or one for each; null for one that nothing reads. */
export type Made = Placement | readonly (Placement | null)[];

/** What the rules work with. */
export class Lowering {
  readonly #places = new Map<string, Placement>();
  /** What values were turned into for one layer serves the next. */
  readonly #turned = new Map<string, FileValue>();
  readonly #nonNegative = new Set<string>();
  readonly #lowered: { layer: Layer; place: Placement; features: Flattening | null }[] = [];
  /** Weights in the forms that they were given, so that layers that share a weight share its form. */
  readonly #forms = new Map<Tensor, Map<string, Tensor>>();

  constructor(
    readonly target: Target,
    readonly types: ReadonlyMap<string, ValueType>,
    /** What arithmetic makes of whole numbers, by value. */
    readonly whole: ReadonlyMap<string, WholeResult>,
  ) {}

  addInput(port: Port, options: Pick<WriteOptions, 'layout'>): void {
    const order = portOrder(port, options);
    const shape = portValueShape(port);
    const value = this.target.input(
      port,
      order.map((axis) => shape[axis]!),
    );
    this.#places.set(port.value, { kind: 'axes', value, order });
    this.#sized(port.value);
  }

  /** Free sizes have the names that they have in the map. */
  #withOwnSizes(output: string, place: Placement): Placement {
    const shape = this.types.get(output)?.shape;
    if (place.kind !== 'axes' || !shape) return place;
    return { ...place, value: { ...place.value, shape: place.order.map((axis) => shape[axis]!) } };
  }

  #sized(name: string): void {
    const place = this.#places.get(name);
    const shape = this.types.get(name)?.shape;
    if (place?.kind === 'axes' && shape)
      this.target.sized?.(
        place.value,
        place.order.map((axis) => shape[axis]!),
      );
  }

  addLayer(layer: Layer, made: Made): void {
    const places = Array.isArray(made) ? (made as readonly (Placement | null)[]) : [made as Placement];
    const place = places.find((one) => one !== null)!;
    this.target.nameNodes(layer.name, place.value);
    layer.outputs.forEach((output, i) => {
      if (output === '') return;
      this.#places.set(output, this.#withOwnSizes(output, places[i]!));
      this.#sized(output);
    });
    const [first] = layer.inputs;
    const input = first ? this.place(first) : undefined;
    this.#lowered.push({ layer, place, features: input?.kind === 'flattened' ? input : null });
    if (isNeverNegative(layer, (value) => this.#nonNegative.has(value))) for (const output of layer.outputs) this.#nonNegative.add(output);
  }

  /** What is to be said of layers, once all nodes have their names. */
  notes(): Record<string, LayerNote> {
    const notes: Record<string, LayerNote> = Object.create(null);
    for (const { layer, place, features } of this.#lowered) {
      const { value } = place;
      const order = place.kind === 'axes' && !sameOrder(place.order, channelsLast(place.order.length)) ? place.order : undefined;
      const isShown = place.kind !== 'flattened' && value.call === 0;
      const note: LayerNote = {
        ...(value.node.name === layer.name ? {} : { node: value.node.name }),
        ...(order ? { order } : {}),
        ...(isShown ? {} : { shown: false }),
        ...(features && Object.keys(layer.weights).length > 0 ? { features: { sizes: features.sizes, order: features.order } } : {}),
      };
      if (Object.keys(note).length > 0) notes[layer.name] = note;
    }
    return notes;
  }

  /** Goes on after an obstacle as if it were none, so that the next ones are found too. */
  pretend(layer: Layer): void {
    for (const output of layer.outputs) {
      if (output === '') continue;
      const shape = this.shape(output);
      const order = channelsLast(shape.length);
      const node = { name: layer.name, suffix: '' };
      this.#places.set(output, { kind: 'axes', value: { node, call: 0, shape: order.map((axis) => shape[axis]!) }, order });
    }
  }

  /** @param ports all outputs, whose names the file gives to nothing else that it shows */
  addOutput(port: Port, ports: readonly Port[], options: Pick<WriteOptions, 'layout'>): void {
    const value = this.inOrder(port.value, portOrder(port, options));
    this.target.nameNodes(port.name, value);
    this.target.output(port, value, ports);
  }

  place(value: string): Placement {
    return this.#places.get(value)!;
  }

  /** Sizes in the map. */
  shape(value: string): readonly Dim[] {
    return this.types.get(value)!.shape!;
  }

  /** Never below zero, so that a zero beside it cannot be a maximum. */
  isNonNegative(value: string): boolean {
    return this.#nonNegative.has(value);
  }

  plain(value: string): FileValue {
    return this.inOrder(value, identity(this.shape(value).length));
  }

  last(value: string): FileValue {
    return this.inOrder(value, channelsLast(this.shape(value).length));
  }

  /** The value with its axes in the given order: axis i is axis `order[i]` in the map. */
  inOrder(value: string, order: readonly number[]): FileValue {
    const place = this.place(value);
    if (place.kind === 'axes' && sameOrder(place.order, order)) return place.value;
    const key = `${value} ${order}`;
    const known = this.#turned.get(key);
    if (known) return known;
    const turned = this.#turn(value, place, order);
    this.#turned.set(key, turned);
    return turned;
  }

  #turn(value: string, place: Placement, order: readonly number[]): FileValue {
    const shape = this.shape(value);
    if (place.kind === 'squeezed')
      return this.target.reshape(
        place.value,
        order.map((axis) => shape[axis]!),
      );
    if (place.kind === 'axes') return this.transpose(place.value, place.order, order);
    const [batch] = place.value.shape;
    const picture = this.target.reshape(place.value, [batch!, ...place.sizes]);
    const inFile = [0, ...place.order.map((axis) => axis + 1)];
    return this.target.flatten(this.transpose(picture, inFile, identity(inFile.length)));
  }

  /** @param from axis i of the value is axis `from[i]` in the map */
  transpose(value: FileValue, from: readonly number[], to: readonly number[]): FileValue {
    if (sameOrder(from, to)) return value;
    return this.target.transpose(
      value,
      to.map((axis) => from.indexOf(axis)),
    );
  }

  /** A weight of the layer in the target's layout. */
  weight(layer: Layer, role: string, kind: WeightKind, form: string, change: (tensor: Tensor) => Tensor = (tensor) => tensor): FileWeight {
    const source = layer.weights[role]!;
    const forms = this.#forms.get(source) ?? new Map<string, Tensor>();
    const tensor = forms.get(form) ?? change(source);
    this.#forms.set(source, forms.set(form, tensor));
    return { tensor, source, kind, layer: layer.name };
  }

  /** @throws ModelError 'unsupported' */
  decline(problem: string): never {
    throw inexpressible(problem);
  }
}
