/**
 * Sinks Transposes: a graph that came channels-last, with a Transpose on both sides of each of its operators, becomes the same map as its
 * channels-first twin.
 *
 * Each value is followed as "the transposed form of another one". A Transpose only changes what a value is the form of; an operator that
 * works element by element, or whose attributes can follow (`axes` in its definition), computes on what lies beneath; only where the order
 * of axes is part of the meaning is a Transpose written. A dense layer behind a flattened picture takes the order into its kernel, ports take
 * it into their layout. Constants are turned when they are read, at no cost.
 */
import { identity, inverse, sameOrder } from '../model/axis-order.js';
import type { Dim, Layer, LayerMap, Layout, Port } from '../model/layer-map.js';
import { Names } from '../model/names.js';
import { inferMap, makeLayer, operatorOf, slotName, type ValueType } from '../model/ops/index.js';
import { isListSlot } from '../model/ops/operator.js';
import { toChannelsLast } from '../model/ports.js';
import { permute, reshape, type Tensor } from '../model/tensor.js';
import { withoutUnread } from './wiring.js';

/** Axis i of the value is axis `order[i]` of `source`. */
interface Turned {
  readonly source: string;
  readonly order: readonly number[];
}

/** A value [batch, features] whose features are those of a turned picture, merged in the picture's own order and not in the source's. */
interface Flattened {
  /** [batch, features], merged in the source's order. */
  readonly source: string;
  /** Sizes of the picture's axes behind the batch, and their order, as of a `Turned`. */
  readonly sizes: readonly number[];
  readonly order: readonly number[];
  /** What to flatten where the order has to be right after all. */
  readonly picture: Turned;
  readonly layer: Layer;
}

/** Layers that prepare a picture: codes to numbers, a mean taken off, a factor, padding. */
const MAX_PREPARATION = 16;

const CHANNELS_LAST: Readonly<Record<number, Layout>> = { 3: 'nwc', 4: 'nhwc', 5: 'ndhwc' };

/** The same net with as few Transposes as its operators allow. Names of layers stay; what layers make may have its axes in another order. */
export function sinkTransposes(map: LayerMap): LayerMap {
  const sinking = new Sinking(map);
  const inputs = map.inputs.map((port) => sinking.input(port));
  for (const layer of map.layers) sinking.layer(layer);
  const outputs = map.outputs.map((port) => sinking.output(port));
  return { ...map, inputs, outputs, layers: withoutUnread(sinking.layers, { outputs }, ({ op }) => op === 'Constant' || op === 'Reshape') };
}

class Sinking {
  readonly layers: Layer[] = [];
  readonly #types: ReadonlyMap<string, ValueType>;
  readonly #turned = new Map<string, Turned>();
  readonly #flattened = new Map<string, Flattened>();
  /** Constants, which are turned where they are read. */
  readonly #constants = new Map<string, Layer>();
  /** Reshapes that were written, by what they make. */
  readonly #reshapes = new Map<string, Layer>();
  /** What was written already, by what it is. */
  readonly #written = new Map<string, string>();
  readonly #names = new Names(2);
  readonly #users = new Map<string, Layer[]>();

  constructor(readonly map: LayerMap) {
    this.#types = inferMap(map);
    for (const name of [...map.layers.flatMap(({ name, outputs }) => [name, ...outputs]), ...map.inputs.map(({ value }) => value)]) this.#names.add(name);
    for (const layer of map.layers) {
      for (const input of layer.inputs) {
        const users = this.#users.get(input);
        if (users) users.push(layer);
        else this.#users.set(input, [layer]);
      }
    }
  }

  /** A port whose picture goes into a Transpose to channels-first is one that has its channels last. */
  input(port: Port): Port {
    const rank = port.shape.length;
    const layout = CHANNELS_LAST[rank];
    if (port.layout !== 'other' || layout === undefined) return port;
    const last = toChannelsLast(rank);
    if (!this.#isTurned(port.value, last)) return port;
    this.#turned.set(port.value, { source: port.value, order: last });
    return { ...port, layout };
  }

  /** Whether a value is turned to channels-first, behind whatever prepares it. */
  #isTurned(value: string, last: readonly number[], depth = 0): boolean {
    return (this.#users.get(value) ?? []).some((user) => {
      if (user.op === 'Transpose') return sameOrder(inverse(user.attributes.perm as number[]), last);
      const { axes } = operatorOf(user.op) ?? {};
      const follows = axes !== undefined && axes !== 'fixed' && user.inputs.length === 1 && user.outputs.length === 1;
      const isAlike = follows && this.#types.get(user.outputs[0]!)?.shape?.length === last.length;
      return isAlike && depth < MAX_PREPARATION && this.#isTurned(user.outputs[0]!, last, depth + 1);
    });
  }

  output(port: Port): Port {
    const form = this.#turned.get(port.value);
    const layout = CHANNELS_LAST[port.shape.length];
    if (form && layout && port.layout === 'other' && sameOrder(form.order, toChannelsLast(port.shape.length))) return { ...port, value: form.source, layout };
    return { ...port, value: this.#plain(port.value) };
  }

  layer(layer: Layer): void {
    if (layer.foreign) return this.#write({ ...layer, inputs: layer.inputs.map((value) => this.#plain(value)) });
    if (layer.op === 'Constant') this.#constants.set(layer.outputs[0]!, layer);
    else if (layer.op === 'Transpose') return this.#transpose(layer);
    else if (layer.op === 'Reshape' || layer.op === 'Flatten') {
      if (this.#reshape(layer)) return;
    } else if (layer.op === 'Squeeze') {
      if (this.#squeeze(layer)) return;
    } else if (layer.inputs.some((value) => this.#flattened.has(value))) {
      if (this.#dense(layer) || this.#elementsOfFlattened(layer)) return;
    }
    if (this.#through(layer)) return;
    this.#write({ ...layer, inputs: layer.inputs.map((value) => this.#plain(value)) });
  }

  #transpose(layer: Layer): void {
    const [value] = layer.inputs;
    const perm = layer.attributes.perm as readonly number[];
    const { source, order } = this.#formOf(value!, perm.length);
    this.#turned.set(layer.outputs[0]!, { source, order: perm.map((axis) => order[axis]!) });
  }

  /** The operator computes on what lies beneath its inputs, all in one order. */
  #through(layer: Layer): boolean {
    const operator = operatorOf(layer.op)!;
    const { axes } = operator;
    const forms = layer.inputs.map((value) => (value === '' ? undefined : this.#turned.get(value)));
    if (axes === undefined || axes === 'fixed' || layer.outputs.length !== 1) return false;
    const order = mostFrequent(forms.filter((form) => form !== undefined).map((form) => form.order));
    if (!order || sameOrder(order, identity(order.length))) return false;
    const rank = order.length;
    const back = inverse(order);
    let attributes = layer.attributes;
    let outputOrder: readonly number[] = order;
    if (typeof axes === 'function') {
      // Inputs that stand for attributes would have to be turned as the attributes are.
      const slots = operator.slots.map(slotName);
      const isPlain =
        isListSlot(operator.slots[0]!) || layer.inputs.slice(1).every((value) => value === '') || !slots.slice(1).some((slot) => slot in operator.attributes);
      if (!isPlain) return false;
      const moved = axes(layer.attributes as never, back);
      const folded = moved === null ? foldedAway(layer, order) : null;
      if (moved === null && folded === null) return false;
      attributes = { ...layer.attributes, ...(folded?.attributes ?? (moved as Record<string, never>)) };
      outputOrder = folded?.order ?? order;
    } else if (this.#types.get(layer.outputs[0]!)?.shape?.length !== rank) return false;
    const inputs: string[] = [];
    for (const value of layer.inputs) {
      const beneath = value === '' ? '' : this.#inOrder(value, order, axes === 'any');
      if (beneath === null) return false;
      inputs.push(beneath);
    }
    const weights = Object.fromEntries(Object.entries(layer.weights).map(([slot, tensor]) => [slot, beneathTensor(tensor, order)]));
    this.#write({ ...layer, attributes, inputs, weights });
    const [output] = layer.outputs;
    if (!sameOrder(outputOrder, identity(outputOrder.length))) this.#turned.set(output!, { source: output!, order: outputOrder });
    return true;
  }

  /**
   * The value with the axes of what lies beneath a value of that order; null where that takes more than a Transpose.
   *
   * @param broadcasts whether axes of size one may be left out
   */
  #inOrder(value: string, order: readonly number[], broadcasts: boolean): string | null {
    const form = this.#turned.get(value);
    if (form && sameOrder(form.order, order)) return form.source;
    const constant = this.#constants.get(value);
    if (constant) {
      const tensor = constant.weights.value!;
      if (tensor.shape.length === 0) return this.#plain(value);
      if (!broadcasts && tensor.shape.length !== order.length) return null;
      const turned = broadcasts ? beneathTensor(tensor, order) : permute(tensor, inverse(order));
      return this.#once(`${value} beneath ${order} ${broadcasts}`, `${value}/turned`, (name) =>
        makeLayer({ ...constant, name, outputs: [name], weights: { value: turned } }),
      );
    }
    const rank = this.#types.get(value)?.shape?.length;
    if (rank === 0) return this.#plain(value);
    if (rank !== order.length) return null;
    const back = inverse(order);
    const { source, order: own } = this.#formOf(value, rank);
    return this.#transposed(
      source,
      back.map((axis) => own[axis]!),
    );
  }

  /** A Reshape that would give the same from what lies beneath, or one that flattens a picture for dense layers. */
  #reshape(layer: Layer): boolean {
    const [value] = layer.inputs;
    const form = this.#turned.get(value!);
    const shape = this.#types.get(value!)?.shape;
    const made = this.#types.get(layer.outputs[0]!)?.shape;
    if (!form || !shape || !made || layer.inputs.length !== 1) return false;
    if (keepsElements(form.order, shape)) {
      const sizes = sizesOf(made, shape[0]!, form.order[0] === 0);
      if (!sizes) return false;
      this.#write(makeLayer({ name: layer.name, op: 'Reshape', inputs: [form.source], outputs: layer.outputs, attributes: { shape: sizes } }));
      return true;
    }
    const features = shape.slice(1);
    const isFlat = made.length === 2 && made[0] === shape[0] && form.order[0] === 0 && features.every((size) => typeof size === 'number');
    if (!isFlat || !this.#isForDense(layer.outputs[0]!)) return false;
    const [output] = layer.outputs;
    this.#write(makeLayer({ name: layer.name, op: 'Flatten', inputs: [form.source], outputs: layer.outputs }));
    const order = form.order.slice(1).map((axis) => axis - 1);
    this.#flattened.set(output!, { source: output!, sizes: features as number[], order, picture: form, layer });
    return true;
  }

  /** Whether all that reads a flattened picture are dense layers, with layers between that treat each element alike. */
  #isForDense(value: string): boolean {
    if (this.map.outputs.some((port) => port.value === value)) return false;
    return (this.#users.get(value) ?? []).every((user) => {
      if ((user.op === 'Gemm' || user.op === 'MatMul') && user.inputs[0] === value) return user.weights.kernel !== undefined;
      return isUnary(user) && this.#isForDense(user.outputs[0]!);
    });
  }

  #dense(layer: Layer): boolean {
    const flattened = this.#flattened.get(layer.inputs[0]!);
    if (!flattened || !(layer.op === 'Gemm' || layer.op === 'MatMul') || !layer.weights.kernel) return false;
    const kernel = layer.op === 'Gemm' ? permute(layer.weights.kernel, [1, 0]) : layer.weights.kernel;
    const { sizes, order } = flattened;
    const back = inverse(order);
    const split = reshape(kernel, [...sizes, kernel.shape[1]!]);
    const rows = reshape(permute(split, [...back, order.length]), kernel.shape);
    this.#write({ ...layer, inputs: [flattened.source], weights: { ...layer.weights, kernel: layer.op === 'Gemm' ? permute(rows, [1, 0]) : rows } });
    return true;
  }

  #elementsOfFlattened(layer: Layer): boolean {
    const flattened = this.#flattened.get(layer.inputs[0]!);
    if (!flattened || !isUnary(layer)) return false;
    this.#write({ ...layer, inputs: [flattened.source] });
    this.#flattened.set(layer.outputs[0]!, { ...flattened, source: layer.outputs[0]! });
    return true;
  }

  #squeeze(layer: Layer): boolean {
    const [value] = layer.inputs;
    const form = this.#turned.get(value!);
    const dropped = layer.attributes.axes as readonly number[] | undefined;
    if (!form || !dropped || layer.inputs.length !== 1) return false;
    const rank = form.order.length;
    const gone = dropped.map((axis) => form.order[axis < 0 ? axis + rank : axis]!);
    const order = withoutAxes(form.order, gone);
    this.#write({ ...layer, inputs: [form.source], attributes: { ...layer.attributes, axes: gone.toSorted((a, b) => a - b) } });
    if (!sameOrder(order, identity(order.length))) this.#turned.set(layer.outputs[0]!, { source: layer.outputs[0]!, order });
    return true;
  }

  /** The value as it is meant to be, with a Transpose where it is the form of another. */
  #plain(value: string): string {
    if (value === '') return value;
    const form = this.#turned.get(value);
    if (form) return this.#transposed(form.source, form.order);
    const flattened = this.#flattened.get(value);
    if (!flattened || flattened.source !== value) return value;
    // Only layers that are not for it come here, which `#isForDense` has seen to be none.
    throw new Error(`${flattened.layer.name} was flattened in another order than ${value} is read in`);
  }

  #transposed(source: string, order: readonly number[]): string {
    if (sameOrder(order, identity(order.length))) return source;
    return this.#once(`${source} by ${order}`, `${source}/transpose`, (name) => {
      const merged = this.#reshapedInstead(source, order);
      if (merged) return makeLayer({ name, op: 'Reshape', inputs: [merged.from], outputs: [name], attributes: { shape: merged.shape } });
      return makeLayer({ name, op: 'Transpose', inputs: [source], outputs: [name], attributes: { perm: order } });
    });
  }

  /**
   * What a value that a Reshape made is to be reshaped to in place of it, where turning moves axes of size one alone: features become a
   * channels-first picture of one place at once.
   */
  #reshapedInstead(source: string, order: readonly number[]): { from: string; shape: number[] } | null {
    const made = this.#reshapes.get(source);
    const shape = this.#types.get(source)?.shape;
    if (!made || !shape || shape.length !== order.length) return null;
    const turned = order.map((axis) => shape[axis]!);
    if (!keepsElements(order, turned)) return null;
    const sizes = sizesOf(turned, '', false);
    return sizes && { from: made.inputs[0]!, shape: sizes };
  }

  #once(key: string, wanted: string, make: (name: string) => Layer): string {
    const known = this.#written.get(key);
    if (known !== undefined) return known;
    const layer = make(this.#names.take(wanted));
    this.layers.push(layer);
    this.#written.set(key, layer.outputs[0]!);
    return layer.outputs[0]!;
  }

  #formOf(value: string, rank: number): Turned {
    return this.#turned.get(value) ?? { source: value, order: identity(rank) };
  }

  #write(layer: Layer): void {
    this.layers.push(layer);
    if (layer.op === 'Reshape' && layer.inputs.length === 1) this.#reshapes.set(layer.outputs[0]!, layer);
  }
}

/** A reduction that drops axes: attributes for what lies beneath, and the order of what is left. */
function foldedAway(
  { attributes }: Layer,
  order: readonly number[],
): { attributes: Record<string, number | readonly number[]>; order: readonly number[] } | null {
  // ArgMax has one axis.
  const { axis } = attributes;
  const axes = typeof axis === 'number' ? [axis] : (attributes.axes as readonly number[] | undefined);
  if (attributes.keepdims !== 0 || !axes) return null;
  const folded = axes.map((axis) => order[axis < 0 ? axis + order.length : axis]!);
  if (typeof axis === 'number') return { attributes: { axis: folded[0]! }, order: withoutAxes(order, folded) };
  return { attributes: { axes: folded.toSorted((a, b) => a - b) }, order: withoutAxes(order, folded) };
}

/** The order of the axes that are left, where axes of the source are dropped. */
function withoutAxes(order: readonly number[], dropped: readonly number[]): readonly number[] {
  const left = order.filter((axis) => !dropped.includes(axis));
  const places = left.toSorted((a, b) => a - b);
  return left.map((axis) => places.indexOf(axis));
}

/** A constant, broadcast to a turned value, as it is broadcast to what lies beneath. */
function beneathTensor(tensor: Tensor, order: readonly number[]): Tensor {
  if (tensor.shape.length === 0) return tensor;
  const full = reshape(tensor, [...new Array<number>(order.length - tensor.shape.length).fill(1), ...tensor.shape]);
  const turned = permute(full, inverse(order));
  // Leading axes of size one are how broadcasting works; they are left out as they were.
  const lead = turned.shape.findIndex((size) => size !== 1);
  return reshape(turned, lead < 0 ? [] : turned.shape.slice(lead));
}

/**
 * Whether only axes of size one are moved, so that the elements stay where they are.
 *
 * @param shape of what is made, whose axis i is axis order[i] of what it is made of
 */
function keepsElements(order: readonly number[], shape: readonly Dim[]): boolean {
  const moved = order.filter((_, axis) => shape[axis] !== 1);
  return moved.every((axis, i) => i === 0 || axis > moved[i - 1]!);
}

/** A Reshape's sizes in numbers: one that is free is copied where it is the batch, and one more may be worked out. */
function sizesOf(made: readonly Dim[], batch: Dim, keepsBatch: boolean): number[] | null {
  const sizes = made.map((size, axis) => (typeof size === 'number' ? size : axis === 0 && size === batch && keepsBatch ? 0 : -1));
  // A size of 0 in the shape copies the source's, so one that is really zero cannot be said.
  if (made.includes(0) || sizes.filter((size) => size === -1).length > 1) return null;
  return sizes;
}

function isUnary(layer: Layer): boolean {
  return operatorOf(layer.op)?.axes === 'any' && layer.inputs.length === 1 && layer.outputs.length === 1 && Object.keys(layer.weights).length === 0;
}

function mostFrequent(orders: readonly (readonly number[])[]): readonly number[] | undefined {
  const counts = new Map<string, { order: readonly number[]; count: number }>();
  for (const order of orders) {
    const entry = counts.get(order.join()) ?? { order, count: 0 };
    entry.count++;
    counts.set(order.join(), entry);
  }
  return [...counts.values()].reduce<{ order: readonly number[]; count: number } | undefined>((a, b) => (a && a.count >= b.count ? a : b), undefined)?.order;
}
