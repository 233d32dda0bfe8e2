/** What recordings are commonly made with otherwise than nets are run: the order of rows, how inputs were prepared, what stands behind the outputs. */
import { isFloatDType } from '../../model/dtype.js';
import type { LayerMap, Port } from '../../model/layer-map.js';
import { toValue, type Value } from '../../model/ops/array.js';
import { evaluateLayer } from '../../model/ops/evaluate.js';
import { inferMap, makeLayer } from '../../model/ops/index.js';
import { isChannelsLast } from '../../model/ports.js';
import { elementCount } from '../../model/tensor.js';
import { Allowance, shapesBy, stepsOf, stepsThrough } from '../allowance.js';
import { toLayout } from '../array.js';
import type { NdArray } from '../engine.js';
import type { CauseReport } from '../report.js';
import type { RunSample } from '../samples.js';
import type { Arrays, Feeds, Side } from '../side.js';
import type { Cause } from './cause.js';
import { arranged, scales } from './inputs.js';
import { errorOf, scaled, scaleOf } from './segment.js';

/** Rows whose order is looked for: all beside all. */
const MOST_ROWS = 256;
/** Steps that trying inputs may take: about 2.5 s. */
const STEPS = 2.5e9;
/** Of a run of a net whose layers are not known: all that are made of most inputs are tried. */
const UNKNOWN_RUN = 5e7;
/** At least, of an output's scale: what is this near is the same. */
const LEAST_ALLOWED = 2e-5;
/** What explains it leaves no more of the error than this part. */
const PART = 0.25;
const MOST_NAMED = 4;
/** Rows that one of inputs is held to, those that differ most. */
const MOST_TRIED = 32;
/** In reverse, moved on, any. */
const ORDERS = 3;

export interface Recorded {
  readonly map: Pick<LayerMap, 'inputs' | 'outputs' | 'layers'>;
  /** Whether the map has all weights, and so shapes of all that flows. */
  readonly isRead: boolean;
  readonly actual: Pick<Side, 'run'>;
  /** What was recorded as `wanted`; the one that differs first, or all rows in their order. */
  readonly samples: readonly RunSample[];
  /** Of an output's scale. */
  readonly rtol: number;
}

/** Null where nothing of it explains every sample that is held to it. */
export async function explainRecording(recorded: Recorded): Promise<CauseReport | null> {
  const before = Math.max(...recorded.samples.map(({ wanted, found }) => distance(found, wanted)));
  const allowed = Math.min(Math.max(LEAST_ALLOWED, recorded.rtol), before * PART);
  const ofOutputs = [...otherRows(recorded, allowed), ...(await otherEnd(recorded, allowed))];
  const ofInputs = ofOutputs.length > 0 ? { explained: [], tried: 0 } : await otherInputs(recorded, allowed);
  const explainedBy = [...ofOutputs, ...ofInputs.explained].slice(0, MOST_NAMED);
  const [first] = explainedBy;
  if (!first) return null;
  const what = explainedBy.map((each) => each.what).join('; or equally by: ');
  const becomes = scaled(Math.max(...explainedBy.map(({ error }) => error)));
  const message = `the recording: explained by: ${what} (error ${scaled(before)} of scale becomes ${becomes})`;
  const error = Number.isFinite(before) ? before : null;
  return { layer: first.layer, side: 'recording', by: 'values', error, explainedBy, tried: ofInputs.tried + ORDERS + 2 * ENDS.length, message };
}

type Explained = CauseReport['explainedBy'][number];

/** Outputs that are those of other rows. Rows may be alike, so orders that people make come before any other. */
function otherRows({ map, samples }: Recorded, allowed: number): Explained[] {
  const count = samples.length;
  if (count < 2 || count > MOST_ROWS) return [];
  const errorAt = (row: number, at: number) => distance(samples[at]!.found, samples[row]!.wanted);
  const isOrder = (order: readonly number[]) => order.every((at, row) => errorAt(row, at) <= allowed);
  const rows = Array.from(samples.keys());
  const moved = (by: number) => rows.map((row) => (row + by) % count);
  const by = rows.slice(1).find((each) => isOrder(moved(each)));
  const [order, how] = isOrder(rows.toReversed())
    ? [rows.toReversed(), 'in reverse']
    : by !== undefined
      ? [moved(by), `${by} ${by === 1 ? 'row' : 'rows'} on`]
      : [anyOrder(count, (row, at) => errorAt(row, at) <= allowed), ''];
  if (!order) return [];
  const what = `the rows of its outputs are in another order than those of its inputs (${how || `row 0 is of input ${order[0]}, row 1 of input ${order[1]}`})`;
  return [{ kind: 'recorded-rows', what, layer: map.outputs[0]!.name, error: Math.max(...order.map((at, row) => errorAt(row, at))) }];
}

function anyOrder(count: number, fits: (row: number, at: number) => boolean): number[] | null {
  const free = new Set(Array.from({ length: count }, (_, i) => i));
  const order: number[] = [];
  for (let row = 0; row < count; row++) {
    const at = [...free].find((each) => fits(row, each));
    if (at === undefined) return null;
    free.delete(at);
    order.push(at);
  }
  return order;
}

/** Functions that are left out, or put behind, where a net is recorded. */
const ENDS = ['Softmax', 'LogSoftmax', 'Sigmoid', 'Relu', 'Tanh'] as const;

/** An output that was recorded before or behind a function that the file computes, or does not. */
async function otherEnd({ map, samples }: Recorded, allowed: number): Promise<Explained[]> {
  const explained: Explained[] = [];
  const largest = async (errorOfOne: (sample: RunSample) => Promise<number>) => {
    let most = 0;
    for (const sample of samples) if (most <= allowed) most = Math.max(most, await errorOfOne(sample));
    return most;
  };
  for (const [place, port] of map.outputs.entries())
    for (const op of ENDS) {
      const ended = async (arrays: Arrays): Promise<Arrays> => (arrays[place] ? arrays.with(place, await endOf(op, arrays[place], port)) : arrays);
      const tell = (what: string, error: number) =>
        explained.push({ kind: 'recorded-end', what: `"${port.name}" was recorded ${what}`, layer: port.name, error });
      const behind = await largest(async ({ wanted, found }) => distance(await ended(found), wanted));
      if (behind <= allowed) tell(`behind a ${op}, which the file does not compute`, behind);
      const before = await largest(async ({ wanted, found }) => distance(found, await ended(wanted)));
      if (before <= allowed) tell(`without the ${op} that the file computes`, before);
    }
  return explained;
}

async function endOf(op: (typeof ENDS)[number], array: NdArray, { name, layout }: Port): Promise<Value> {
  const axis = array.shape.length > 2 && layout !== 'other' && !isChannelsLast(layout) ? 1 : -1;
  const layer = makeLayer({ name, op, inputs: ['x'], outputs: ['y'], attributes: op.endsWith('Softmax') ? { axis } : {} });
  // A number without axes has no line to go along.
  const value = toValue(array);
  const made = (await evaluateLayer(layer, [value.shape.length === 0 ? { ...value, shape: [1] } : value]))[0]!;
  return { ...made, shape: value.shape };
}

/** An input that was prepared otherwise before it was recorded, or after. */
async function otherInputs({ map, isRead, actual, samples }: Recorded, allowed: number): Promise<{ readonly explained: Explained[]; readonly tried: number }> {
  const explained: Explained[] = [];
  let tried = 0;
  const allowance = new Allowance(STEPS);
  const steps = isRead ? stepsOfRun(map, samples[0]!.feeds) : UNKNOWN_RUN;
  // Rows that hardly differ, such as behind a softmax that is saturated, are right with any input.
  const differing = samples.map((sample) => ({ sample, error: distance(sample.found, sample.wanted) })).toSorted((a, b) => b.error - a.error);
  const [first, ...more] = differing.slice(0, MOST_TRIED).map(({ sample }) => sample);
  for (const [place, port] of map.inputs.entries()) {
    const rest = async ({ feeds, wanted }: RunSample, cause: Cause) => {
      const changed = await fedWith(feeds, place, port, cause);
      return changed ? distance(await actual.run(changed), wanted) : Number.POSITIVE_INFINITY;
    };
    for (const cause of causesOf(first!.feeds[place]!, port)) {
      if (allowance.isSpent) return { explained, tried };
      allowance.spend(steps);
      tried++;
      let error = await rest(first!, cause);
      for (const sample of more) {
        if (error > allowed) break;
        allowance.spend(steps);
        error = Math.max(error, await rest(sample, cause));
      }
      if (error <= allowed) explained.push({ kind: cause.kind, what: `${cause.what} gives what was recorded`, layer: port.name, error });
    }
  }
  return { explained, tried };
}

function stepsOfRun(map: Recorded['map'], feeds: Feeds): number {
  if (map.layers.length === 0) return UNKNOWN_RUN;
  const shapeOf = shapesBy(inferMap(map));
  const read = stepsThrough(feeds.reduce((sum, { shape }) => sum + elementCount(shape), 0));
  return map.layers.reduce((sum, layer) => sum + stepsOf(layer, shapeOf), read);
}

/** The mistakes that are made with inputs, as of a layer that does nothing but to read this one. */
function causesOf(fed: NdArray, port: Port): Cause[] {
  const layer = makeLayer({ name: port.name, op: 'Identity', inputs: [port.value], outputs: [''] });
  const suspect = { map: { inputs: [port] }, layer, inputs: [inMap(fed, port)] };
  // No input of whole numbers was divided by 255.
  return isFloatDType(port.dtype) ? [...arranged(suspect), ...scales(suspect)] : [...arranged(suspect)];
}

async function fedWith(feeds: Feeds, place: number, port: Port, cause: Cause): Promise<Feeds | null> {
  const [read] = (await cause.read!([inMap(feeds[place]!, port)])) ?? [];
  return read ? feeds.with(place, toLayout(read, CHANNELS_FIRST, port.layout)) : null;
}

const CHANNELS_FIRST = 'nchw';
const inMap = (array: NdArray, { layout }: Port): Value => toValue(toLayout(array, layout, CHANNELS_FIRST));

/** The largest of all outputs, each of its own scale; beyond number where one lacks or is of another shape. */
export function distance(found: Arrays, wanted: Arrays): number {
  let most = 0;
  for (const [i, array] of wanted.entries()) {
    const other = found[i];
    if (!array || !other) continue;
    const [a, b] = [toValue(array), toValue(other)];
    most = Math.max(most, errorOf(a, b, scaleOf(a)));
  }
  return most;
}
