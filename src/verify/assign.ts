/**
 * Which port is which, where names, order and shapes leave it open: found by what the ports do.
 *
 * Outputs are paired each with each, so that hundreds of one shape cost a few runs. Inputs that are few are tried in every order; of many, one at
 * a time is fed something else than the rest, and which outputs move, and to what, tells on both sides which it was.
 */
import { isModelError } from '../errors.js';
import type { LayerMap } from '../model/layer-map.js';
import { uniqueNames } from '../model/ports.js';
import { compareOutput, type Tolerance } from './compare.js';
import type { NdArray } from './engine.js';
import { matched } from './ports.js';
import type { Actual, Arrays, Feeds, Places } from './side.js';

/** So many inputs are tried in every order: 24 runs. */
const MOST_ORDERED = 4;
/** Outputs that one input does not tell apart, such as the largest class of each of several heads, are looked at on so many. */
const MOST_SAMPLES = 4;
/** Pairs that are named in a sentence. */
const MOST_NAMED = 6;

/** What is expected, and what may be tried. */
export interface Evidence {
  readonly map: Pick<LayerMap, 'inputs' | 'outputs'>;
  readonly tolerance: Tolerance;
  readonly samples: number;
  feedsOf(sample: number): Feeds;
  expected(feeds: Feeds, sample: number): Promise<Arrays>;
  /** Whether that answers whatever it is fed, which a recording does not. */
  readonly isAsked: boolean;
}

type Ports = readonly (number | null)[];

/**
 * Gives the file's ports the places under which it makes what is expected; those that agree with nothing keep their order.
 *
 * @returns what was assumed, in sentences; empty where nothing had to be
 */
export async function assignPorts(actual: Actual, evidence: Evidence): Promise<string[]> {
  const { aligned } = actual;
  let best: { readonly places: Places; readonly found: Pairing } | null = null;
  for await (const inputs of inputOrders(actual, evidence)) {
    actual.assign({ inputs, outputs: aligned.outputs.places });
    const found = await pairOutputs(actual, evidence);
    if (best && best.found.agreeing >= found.agreeing) continue;
    best = { places: { inputs, outputs: found.places }, found };
    if (found.agreeing === evidence.map.outputs.length) break;
  }
  const places = best && best.found.agreeing > 0 ? best.places : { inputs: aligned.inputs.places, outputs: aligned.outputs.places };
  actual.assign(places);
  return best && best.found.agreeing > 0 ? told(actual, evidence, best.places, best.found) : [];
}

/** Ways in which the inputs may lie, likely ones first. */
async function* inputOrders(actual: Actual, evidence: Evidence): AsyncGenerator<Ports> {
  const { places, candidates } = actual.aligned.inputs;
  const open = candidates.flatMap((some, port) => (some.length > 1 ? [port] : []));
  if (open.length > MOST_ORDERED) {
    const felt = evidence.isAsked ? await byResponse(actual, evidence, open) : null;
    if (felt) yield felt;
    yield places;
    return;
  }
  yield places;
  const all = orders(candidates.map((some, port) => (some.length > 0 ? some : [places[port]!])));
  for (const order of all) if (order.join() !== places.join()) yield order;
}

/** All ways to give each port one of its places, no two the same. */
function orders(candidates: readonly (readonly number[])[]): number[][] {
  let found: number[][] = [[]];
  for (const places of candidates) found = found.flatMap((taken) => places.filter((place) => !taken.includes(place)).map((place) => [...taken, place]));
  return candidates.length === 0 ? [] : found;
}

/** All inputs of one shape are fed alike, but for one: on both sides the same answer comes when it is the same one. */
async function byResponse(actual: Actual, { map, tolerance, feedsOf, expected }: Evidence, open: readonly number[]): Promise<Ports | null> {
  const { inputs, outputs } = actual.aligned;
  const feeds = feedsOf(0);
  const kind = (port: number) => `${map.inputs[port]!.dtype} ${feeds[port]!.shape}`;
  const alike = (port: number) => open.filter((other) => kind(other) === kind(port));
  const fed = (odd: number | null) => feeds.map((own, port) => (open.includes(port) ? feeds[alike(port).at(port === odd ? -1 : 0)!]! : own));
  const wanted = new Map<number, Arrays>();
  const found = new Map<number, Arrays>();
  actual.assign({ inputs: inputs.places, outputs: outputs.places });
  for (const port of open) {
    wanted.set(port, await expected(fed(port), 0));
    found.set(inputs.places[port]!, await actual.run(fed(port)));
  }
  const agree = (port: number, place: number) => {
    const outputs = fittingOutputs(actual, { map, tolerance }, wanted.get(port)!, found.get(place)!);
    return outputs.every((some) => some.length > 0) && matched([...outputs.keys()], (output) => outputs[output]!) !== null;
  };
  const kindAt = new Map(open.map((port) => [inputs.places[port]!, kind(port)]));
  const fitting = new Map(open.map((port) => [port, inputs.candidates[port]!.filter((place) => kindAt.get(place) === kind(port) && agree(port, place))]));
  const chosen = matched(open, (port) => fitting.get(port)!);
  return chosen && inputs.places.map((place, port) => chosen[open.indexOf(port)] ?? place);
}

interface Pairing {
  readonly places: Ports;
  /** How many outputs agree with what is expected. */
  readonly agreeing: number;
  /** Outputs that agree with several of the file's, so that which is which is not known. */
  readonly alike: readonly number[];
}

async function pairOutputs(actual: Actual, evidence: Evidence): Promise<Pairing> {
  const { places, candidates } = actual.aligned.outputs;
  const { map, samples, feedsOf, expected } = evidence;
  let fitting: readonly (readonly number[])[] | null = null;
  for (let sample = 0; sample < Math.min(samples, MOST_SAMPLES); sample++) {
    const feeds = feedsOf(sample);
    let here: number[][];
    try {
      here = fittingOutputs(actual, evidence, await expected(feeds, sample), await actual.run(feeds));
    } catch (error) {
      // Token types, say, have no place for a token's number, and what is out of the ordinary is not always computed.
      if (!isModelError(error)) throw error;
      break;
    }
    fitting = here.map((some, output) => {
      const both = fitting ? fitting[output]!.filter((place) => some.includes(place)) : some;
      return both.length > 0 ? both : (fitting?.[output] ?? []);
    });
    if (fitting.every((some) => some.length <= 1)) break;
  }
  const agreeing = map.outputs.flatMap((_, output) => (fitting?.[output]?.length ? [output] : []));
  const others = map.outputs.flatMap((_, output) => (agreeing.includes(output) || places[output] === null ? [] : [output]));
  const ports = [...agreeing, ...others];
  const placesOf = (output: number) => ownFirst(agreeing.includes(output) ? fitting![output]! : (candidates[output] ?? []), places[output]);
  const chosen = matched(ports, placesOf);
  if (!chosen) return { places, agreeing: 0, alike: [] };
  return {
    places: places.map((place, output) => chosen[ports.indexOf(output)] ?? place),
    agreeing: agreeing.length,
    alike: agreeing.filter((output) => fitting![output]!.length > 1),
  };
}

/** What has a choice keeps the place that it has. */
function ownFirst(some: readonly number[], own: number | null | undefined): readonly number[] {
  return some.filter((place) => place === own).concat(some.filter((place) => place !== own));
}

/** For each output the places of those of the file's that have its values; the file's are as shown in the order first given. */
function fittingOutputs({ aligned: { outputs } }: Actual, { map, tolerance }: Pick<Evidence, 'map' | 'tolerance'>, wanted: Arrays, found: Arrays): number[][] {
  const portAt = new Map(outputs.places.map((place, port) => [place, port]));
  return map.outputs.map((_, output) => {
    const places = outputs.candidates[output] ?? outputs.places.slice(output, output + 1);
    return places.filter(
      (place): place is number => place !== null && isSame(wanted[output], found[portAt.get(place)!], tolerance.each?.[output] ?? tolerance),
    );
  });
}

function isSame(wanted: NdArray | undefined, found: NdArray | undefined, tolerance: Tolerance): boolean {
  if (!wanted || !found) return false;
  // The largest value decides nearly always, and what is allowed follows from it: of hundreds of outputs few pairs are looked at whole.
  const largest = placeOfLargest(wanted.data);
  const one = ({ data }: NdArray) => ({ shape: [1], data: Float64Array.of(Number(data[largest])) });
  const compared = (a: NdArray, b: NdArray) => {
    const comparison = compareOutput('', tolerance);
    comparison.add(a, b);
    const { passed, compared } = comparison.report();
    return passed && compared > 0;
  };
  return wanted.data.length === found.data.length && (largest < 0 || compared(one(wanted), one(found))) && compared(wanted, found);
}

function placeOfLargest(data: NdArray['data']): number {
  let [largest, at] = [-1, -1];
  for (let i = 0; i < data.length; i++) {
    const size = Math.abs(Number(data[i]));
    if (size > largest && Number.isFinite(size)) [largest, at] = [size, i];
  }
  return at;
}

function told(actual: Actual, { map }: Evidence, places: Places, { alike, agreeing }: Pairing): string[] {
  const pairs = (['inputs', 'outputs'] as const).flatMap((what) =>
    actual.aligned[what].candidates.flatMap((some, i) =>
      some.length > 1 ? [`"${map[what][i]!.name}" is "${actual[what][places[what][i] ?? -1]?.name}"`] : [],
    ),
  );
  const more = pairs.length > MOST_NAMED ? ` and ${pairs.length - MOST_NAMED} more` : '';
  const all = agreeing === map.outputs.length ? '' : ` (${agreeing} of ${map.outputs.length} outputs agree, the others are taken in order)`;
  const notes = [`names do not say which port is which; the assignment that agrees was taken: ${pairs.slice(0, MOST_NAMED).join(', ')}${more}${all}`];
  if (alike.length > 0) {
    const names = uniqueNames(map.outputs.map(({ name }) => name));
    const named = alike.slice(0, MOST_NAMED).map((output) => `"${names[output]}"`);
    const rest = alike.length > named.length ? ` and ${alike.length - named.length} more` : '';
    notes.push(`outputs have the same values on every input that was tried, so that which of the file's is which is not known: ${named.join(', ')}${rest}`);
  }
  return notes;
}
