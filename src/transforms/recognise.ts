/**
 * Recognises patterns of exporters: several layers that are one operator become that operator. What a pattern is stands in files of their
 * own (`recognise-*.ts`); here is where each may end, and what is replaced.
 *
 * A pattern is replaced only where it is equal for all values that do not overflow on the way (constants as far as float32 tells them
 * apart), where all that it is made of is read by nothing else, and where the operator is one that is wanted. The layer has the name of
 * the pattern's last one, and makes its value.
 */
import type { Change } from '../model/edited.js';
import type { Layer, LayerMap } from '../model/layer-map.js';
import { makeLayer } from '../model/ops/index.js';
import type { LayerDraft } from '../model/ops/layers.js';
import { ARITHMETIC, type Found, inTermsOf, layersFrom, type Numbers } from './algebra.js';
import { type Wiring, wiringOf, withLayers } from './wiring.js';

/** Whether the target has the operator of a layer that a pattern may become. */
export type Wanted = (layer: Layer) => Promise<boolean>;

export interface Recognised {
  readonly map: LayerMap;
  readonly changes: readonly Change[];
}

/** A layer as a pattern makes it; its name and what it makes are those of the pattern's end. */
export type Draft = Pick<LayerDraft, 'op' | 'inputs' | 'attributes' | 'weights'>;

/** The layer in the place of several. */
export interface Match {
  readonly draft: Draft;
  readonly inner: ReadonlySet<Layer>;
  readonly end: Layer;
}

/** Looks for a pattern from a layer on that is in each of its kind. */
export type Matcher = (layer: Layer, wiring: Wiring, numbers: Numbers) => Match | null;

export async function recognise(map: LayerMap, numbers: Numbers, matcher: Matcher, wanted: Wanted): Promise<Recognised> {
  const wiring = wiringOf(map);
  const instead = new Map<Layer, Layer | null>();
  const counts = new Map<string, { count: number; nodes: number; layers: string[] }>();
  for (const layer of map.layers) {
    if (instead.has(layer)) continue;
    const match = matcher(layer, wiring, numbers);
    if (!match || [...match.inner].some((one) => instead.has(one))) continue;
    const { end, inner, draft } = match;
    const made = makeLayer({ ...draft, name: end.name, outputs: end.outputs });
    if (!(await wanted(made))) continue;
    for (const one of inner) instead.set(one, null);
    instead.set(end, made);
    const told = counts.get(draft.op) ?? { count: 0, nodes: 0, layers: [] };
    counts.set(draft.op, told);
    told.count++;
    told.nodes += inner.size;
    told.layers.push(end.name);
  }
  const changes = [...counts].map(
    ([op, { count, nodes, layers }]): Change => ({ transform: 'recognise', message: `${count} ${op} recognised from ${nodes} layers`, layers }),
  );
  return { map: withLayers(map, instead), changes };
}

/**
 * Where a pattern around a layer may end: what follows it over arithmetic alone, the furthest first.
 *
 * @param most layers that are looked at
 */
export function endsBehind(layer: Layer, wiring: Wiring, most: number): readonly Layer[] {
  const ends: Layer[] = [];
  const open = [layer];
  while (open.length > 0 && ends.length < most) {
    const one = open.shift()!;
    for (const next of wiring.readers(one.outputs[0]!)) {
      if (!ARITHMETIC.has(next.op) || next.outputs.length !== 1 || ends.includes(next) || ends.length >= most) continue;
      ends.push(next);
      open.push(next);
    }
  }
  return ends.toReversed();
}

/** Values from which a layer's input is made by arithmetic, itself included. */
export function valuesBefore(layer: Layer, wiring: Wiring, most: number): readonly string[] {
  const values: string[] = [];
  const open = [...layer.inputs];
  while (open.length > 0 && values.length < most) {
    const value = open.shift()!;
    if (value === '' || values.includes(value)) continue;
    values.push(value);
    const maker = wiring.maker(value);
    if (maker && ARITHMETIC.has(maker.op)) for (const read of maker.inputs) open.push(read);
  }
  return values;
}

/** What is found at the furthest end, in terms of the furthest of some values, where nothing else reads what lies between. */
export function furthest<T>(
  ends: readonly Layer[],
  values: readonly string[],
  wiring: Wiring,
  numbers: Numbers,
  judge: (found: Found, x: string, end: Layer) => T | null,
): T | null {
  const froms = values.toReversed().map((x) => ({ x, sumOf: inTermsOf(x, wiring, numbers) }));
  for (const end of ends) {
    for (const { x, sumOf } of froms) {
      const inner = layersFrom(x, end.outputs[0]!, wiring, numbers);
      if (!inner || !wiring.isClosed(inner, end)) continue;
      const sum = sumOf(end.outputs[0]!);
      const judged = sum && judge({ sum, inner }, x, end);
      if (judged) return judged;
    }
  }
  return null;
}
