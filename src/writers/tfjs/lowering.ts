/** Takes a layer map layer by layer to a TensorFlow.js target, and keeps account of where each value lies. */
import { isModelError, ModelError } from '../../errors.js';
import type { Dim, Layer, LayerMap, Port } from '../../model/layer-map.js';
import { inferShapes } from '../../model/ops/index.js';
import { portValueShape } from '../../model/ports.js';
import type { Tensor } from '../../model/tensor.js';
import type { WriteOptions } from '../writer.js';
import { channelsLast, type Flattening, filePortLayout, identity, type Placement, portOrder, sameOrder } from './placement.js';
import { isNonNegative, RULES } from './rules.js';
import { type FileValue, type FileWeight, inexpressible, type Target, type WeightKind } from './target.js';

/** Axes of what a layout is said of. */
const LAYOUT_RANK: Readonly<Record<string, number>> = { nchw: 4, nhwc: 4, ncw: 3, nwc: 3, ncdhw: 5, ndhwc: 5 };

/**
 * How a layer of the map is found again in the file, where that is not plain: what it makes has the layer's own name and its channels
 * last, and so have its weights.
 */
export interface LayerNote {
  /** The name in the file, where it is another one. */
  readonly node?: string;
  /** The order in which the file has the axes of what the layer makes. */
  readonly order?: readonly number[];
  /** False where the file does not show the value with the map's axes. */
  readonly shown?: false;
  /** The order of the features that the layer's weights belong to. */
  readonly features?: Flattening;
}

export interface Lowered {
  /** Where there are any, what was built is of no use. */
  readonly obstacles: readonly ModelError[];
  /** By the layer's name, where there is something to say. */
  readonly notes: Readonly<Record<string, LayerNote>>;
}

/** Builds the whole model in `target`; finds every obstacle. */
export function lower(map: LayerMap, target: Target, options: Pick<WriteOptions, 'layout'>): Lowered {
  const obstacles: ModelError[] = [];
  for (const port of [...map.inputs, ...map.outputs]) {
    const rank = LAYOUT_RANK[port.layout];
    if (rank !== undefined && rank !== port.shape.length)
      obstacles.push(new ModelError('unsupported', `the port "${port.name}" is said to be ${port.layout}, but its shape is [${port.shape}]`));
    if (port.dtype.startsWith('complex')) obstacles.push(new ModelError('unsupported', `the port "${port.name}" is ${port.dtype}`));
  }
  const unknown = map.layers.filter(({ op, outputs }) => !Object.hasOwn(RULES, op) || outputs.length !== 1);
  for (const { name, op } of unknown) obstacles.push(new ModelError('unsupported', `the operator ${op} has no translation to TensorFlow.js`, { layer: name }));
  if (obstacles.length > 0) return { obstacles, notes: {} };
  let shapes: ReadonlyMap<string, readonly Dim[]>;
  try {
    shapes = inferShapes(map.layers, new Map(map.inputs.map((port) => [port.value, portValueShape(port)])));
  } catch (error) {
    if (isModelError(error)) return { obstacles: [error], notes: {} };
    throw error;
  }
  const lowering = new Lowering(target, shapes);
  for (const port of map.inputs) lowering.addInput(port, options);
  for (const layer of map.layers) {
    try {
      lowering.addLayer(layer);
    } catch (error) {
      if (!isModelError(error)) throw error;
      obstacles.push(error.at({ layer: layer.name }));
      lowering.pretend(layer);
    }
  }
  for (const port of map.outputs) {
    try {
      lowering.addOutput(port, options);
    } catch (error) {
      if (!isModelError(error)) throw error;
      obstacles.push(new ModelError(error.kind, `the output "${port.name}": ${error.problem}`));
    }
  }
  return { obstacles, notes: lowering.notes() };
}

/** Each port's layout in the file, for its metadata: shapes alone do not tell. */
export function layoutMetadata({ inputs, outputs }: LayerMap, options: Pick<WriteOptions, 'layout'>): Record<string, string> {
  return Object.fromEntries([...inputs, ...outputs].map((port) => [`weighbridge.layout.${port.name}`, filePortLayout(port, options)]));
}

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
    readonly shapes: ReadonlyMap<string, readonly Dim[]>,
  ) {}

  addInput(port: Port, options: Pick<WriteOptions, 'layout'>): void {
    const order = portOrder(port, options);
    const shape = portValueShape(port);
    const value = this.target.input(
      port,
      order.map((axis) => shape[axis]!),
    );
    this.#places.set(port.value, { kind: 'axes', value, order });
  }

  addLayer(layer: Layer): void {
    const place = RULES[layer.op]!(layer, this);
    this.target.nameNodes(layer.name, place.value);
    const [output] = layer.outputs;
    this.#places.set(output!, place);
    const [input] = layer.inputs.map((name) => this.place(name));
    this.#lowered.push({ layer, place, features: input?.kind === 'flattened' ? input : null });
    if (isNonNegative(layer, (value) => this.#nonNegative.has(value))) this.#nonNegative.add(output!);
  }

  /** What is to be said of layers, once all nodes have their names. */
  notes(): Record<string, LayerNote> {
    const notes: Record<string, LayerNote> = Object.create(null);
    for (const { layer, place, features } of this.#lowered) {
      const { value } = place;
      const order = place.kind === 'axes' && !sameOrder(place.order, channelsLast(place.order.length)) ? place.order : undefined;
      const isShown = place.kind !== 'flattened' && order === undefined && value.call === 0;
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
    const [output] = layer.outputs;
    const shape = this.shape(output!);
    const order = channelsLast(shape.length);
    const node = { name: layer.name, suffix: '' };
    this.#places.set(output!, { kind: 'axes', value: { node, call: 0, shape: order.map((axis) => shape[axis]!) }, order });
  }

  addOutput(port: Port, options: Pick<WriteOptions, 'layout'>): void {
    const value = this.inOrder(port.value, portOrder(port, options));
    this.target.nameNodes(port.name, value);
    this.target.output(port, value);
  }

  place(value: string): Placement {
    return this.#places.get(value)!;
  }

  /** Sizes in the map. */
  shape(value: string): readonly Dim[] {
    return this.shapes.get(value)!;
  }

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
