/** Some layers with what flows into them, and how far what they make is from what was found. */
import type { Layer, LayerMap } from '../../model/layer-map.js';
import type { Value } from '../../model/ops/array.js';
import { evaluateLayer } from '../../model/ops/evaluate.js';
import type { ValueType } from '../../model/ops/index.js';
import type { Inputs } from './cause.js';

/** Layers that are evaluated together: one that is shown, and before it those that nothing shows apart. */
export interface Segment {
  readonly map: LayerMap;
  /** In running order; the last makes what is shown. */
  readonly layers: readonly Layer[];
  /** What flows into them. */
  readonly values: ReadonlyMap<string, Value>;
  readonly types: ReadonlyMap<string, ValueType>;
  /** Values of other layers, by the layer that makes them. */
  readonly others: ReadonlyMap<Layer, Value>;
}

export interface Explained {
  readonly kind: string;
  readonly what: string;
  readonly layer: string;
  /** What is left of the error. */
  readonly error: number;
}

/**
 * The layer, and those before it that nothing shows apart; and the makers of what flows into them.
 *
 * @param makers of all values: `makersOf` the net's layers
 * @param isShown whether a value of a layer is at hand
 */
export function hiddenBehind(makers: ReadonlyMap<string, Layer>, layer: Layer, isShown: (maker: Layer, value: string) => boolean) {
  const hidden = new Set<Layer>([layer]);
  const shown = new Set<Layer>();
  const open = [...layer.inputs];
  while (open.length > 0) {
    const value = open.pop()!;
    const maker = makers.get(value);
    if (!maker || hidden.has(maker) || shown.has(maker)) continue;
    if (isShown(maker, value)) shown.add(maker);
    else {
      hidden.add(maker);
      for (const read of maker.inputs) open.push(read);
    }
  }
  return { hidden, shown };
}

/** What the segment makes as it is. */
export async function evaluateSegment({ layers, values }: Segment): Promise<Value> {
  const known = await allValues(layers, values);
  return known.get(layers.at(-1)!.outputs[0]!)!;
}

/** What flows in, and what each of the layers makes of it. */
export async function allValues(layers: readonly Layer[], values: ReadonlyMap<string, Value>): Promise<Map<string, Value>> {
  const known = new Map(values);
  for (const layer of layers) {
    const made = await evaluateLayer(layer, inputsOf(layer, known));
    for (const [i, name] of layer.outputs.entries()) if (made[i]) known.set(name, made[i]);
  }
  return known;
}

export const inputsOf = (layer: Layer, known: ReadonlyMap<string, Value>): Inputs => layer.inputs.map((name) => known.get(name));

export function scaleOf({ data }: Value): number {
  return data.reduce((most, value) => (Number.isFinite(value) ? Math.max(most, Math.abs(value)) : most), 0);
}

/** The largest difference, of a scale; infinite where shapes differ, or one side is finite alone. */
export function errorOf(a: Value, b: Value, scale: number): number {
  const trim = (shape: readonly number[]) => shape.filter((size) => size !== 1).join();
  if (a.data.length !== b.data.length || trim(a.shape) !== trim(b.shape)) return Number.POSITIVE_INFINITY;
  let most = 0;
  for (let i = 0; i < a.data.length; i++) {
    const [x, y] = [a.data[i]!, b.data[i]!];
    if (Object.is(x, y) || x === y) continue;
    const difference = Math.abs(x - y);
    if (!(difference <= most)) most = difference;
    if (Number.isNaN(most)) return Number.POSITIVE_INFINITY;
  }
  return most === 0 ? 0 : most / (scale || 1);
}

/** An error of scale, for people. */
export function scaled(error: number): string {
  if (!Number.isFinite(error)) return 'beyond number';
  return error === 0 ? '0' : error >= 0.01 ? `${Number(error.toPrecision(2))}` : error.toExponential(0);
}
