/** A mistake that converters make, as a change to one layer: with it the layer gives what was found, or it does not. */
import type { Layer, LayerMap } from '../../model/layer-map.js';
import type { Value } from '../../model/ops/array.js';
import type { Operator, ValueType } from '../../model/ops/index.js';

export type Inputs = readonly (Value | undefined)[];

export interface Cause {
  /** A stable word for machines: 'kernel-flipped'. Several causes may be of one kind. */
  readonly kind: string;
  /** For people, what is otherwise than the source has it: 'kernel mirrored along its width', 'stride [2, 2] for [1, 1]'. */
  readonly what: string;
  /** The layer in another form; as it is where left out. */
  readonly layer?: Layer;
  /** What the layer reads instead. @throws ModelError, or gives null, where that cannot be */
  read?(inputs: Inputs): Inputs | null | Promise<Inputs | null>;
  /** What is computed in its place, whatever it is; null where that cannot be. */
  compute?(): Promise<readonly Value[] | null>;
  /** What becomes of what it makes; null where that cannot be. */
  made?(value: Value): Value | null | Promise<Value | null>;
}

/** A layer that is looked at, and what is known around it. */
export interface Suspect {
  readonly map: LayerMap;
  readonly layer: Layer;
  readonly operator: Operator;
  /** Of the layer's inputs, in order. */
  readonly inputs: Inputs;
  /** Of all values of the map. */
  readonly types: ReadonlyMap<string, ValueType>;
  /** What flows in the net there, by its names; empty where only weights are looked at. */
  readonly known: ReadonlyMap<string, Value>;
  /** Values of other layers that have the shape of one that this layer reads, by the layer that makes them. */
  readonly others: ReadonlyMap<Layer, Value>;
}

/** As much of it as tells what is read. */
export interface Reading extends Pick<Suspect, 'layer' | 'inputs'> {
  readonly map: Pick<LayerMap, 'inputs'>;
}

/** Mistakes of one family, likely ones first. Those that cannot be of this layer are not among them. */
export type Family = (suspect: Suspect) => Iterable<Cause>;

/** The layer with some of its attributes otherwise. */
export function withAttributes(layer: Layer, attributes: Layer['attributes']): Layer {
  return { ...layer, attributes: { ...layer.attributes, ...attributes } };
}

/** The layer with some of its weights otherwise. */
export function withWeights(layer: Layer, weights: Layer['weights']): Layer {
  return { ...layer, weights: { ...layer.weights, ...weights } };
}

/** Whether a value of the net's own inputs flows into the layer. */
export function readsInput({ map, layer }: Pick<Reading, 'map' | 'layer'>): boolean {
  return map.inputs.some(({ value }) => layer.inputs.includes(value));
}

/** A name for each axis of a weight. */
export function axisNames({ op }: Pick<Layer, 'op'>, role: string, rank: number): string[] {
  const spatial = { 1: ['length'], 2: ['height', 'width'], 3: ['depth', 'height', 'width'] }[rank - 2];
  if (role === 'kernel' && rank === 2) return op === 'MatMul' ? ['inputs', 'outputs'] : ['outputs', 'inputs'];
  if (role === 'kernel' && spatial) return op === 'ConvTranspose' ? ['inputs', 'outputs', ...spatial] : ['outputs', 'inputs', ...spatial];
  if (rank === 1) return ['channels'];
  return Array.from({ length: rank }, (_, axis) => `axis ${axis}`);
}

/** All orders of `count` axes but the one that they have. */
export function otherOrders(count: number): number[][] {
  const orders = (rest: readonly number[]): number[][] =>
    rest.length === 0 ? [[]] : rest.flatMap((axis) => orders(rest.filter((other) => other !== axis)).map((tail) => [axis, ...tail]));
  return orders(Array.from({ length: count }, (_, axis) => axis)).slice(1);
}
