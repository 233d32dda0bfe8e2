/**
 * Which level each weight gets, within so many bytes or at a least agreement.
 *
 * Errors of weights add up in the output, each with a weight of its own: how far the output moves when that weight alone is coarse, measured in the
 * target's own runtime, beside the energy that the weight lost. Of all ways to spend the same bytes the one with the least sum is found by a price
 * of a byte (Lagrange): each weight takes the level at which error and bytes at that price cost least. The price is then found by halving.
 *
 * Everything is measured on the same inputs in the same order, so that a search always ends the same.
 */
import { DTYPE_BYTES } from '../model/dtype.js';
import type { LayerMap } from '../model/layer-map.js';
import { narrowByteLength } from '../model/narrow-form.js';
import type { Tensor } from '../model/tensor.js';
import type { GivenInputs } from '../verify/feeds.js';
import { type CodeForm, codedWeight, isStepLevel, type Level } from './coded.js';
import { distance, MAX_NET_BYTES, outputsOf, sameTop } from './outputs.js';
import { type Rate, ratesOf } from './rates.js';
import { type CodableWeight, codableWeights, withWeights } from './weights.js';

export interface SearchOptions {
  readonly form: CodeForm;
  /** Whether the target takes codes of 4 bits. */
  readonly fours?: boolean;
  /** Most bytes, and which are counted. */
  readonly budget: { readonly byteLength: number; readonly count: 'disk' | 'wire' } | null;
  readonly minAgreement: number | null;
  /** The net whose classes are to be kept, where that is not the one whose weights are coded. */
  readonly source?: LayerMap;
  /** Bytes that a net takes when it is written; where it is left out, and for large nets, they are estimated. */
  readonly measure?: (map: LayerMap) => Promise<number>;
  /** Null where there are none: then the loss of each weight, relative to its own size, counts the same. */
  readonly inputs: GivenInputs | null;
  readonly onProgress?: (phase: string, done: number, total: number) => void;
}

export interface Choice {
  readonly weight: CodableWeight;
  readonly rate: Rate;
}

/** One way to spend bytes, as it was measured. */
export interface Candidate {
  readonly bytes: number;
  /** Sum of the errors as estimated, relative to the output. */
  readonly error: number;
  /** Share of inputs with the same top class; null where that was not run. */
  readonly agreement: number | null;
}

export interface Found {
  readonly choices: readonly Choice[];
  /** Whether what was asked for is met, as estimated. */
  readonly isMet: boolean;
  readonly candidates: readonly Candidate[];
  /** Whether the output's error was measured for each weight. */
  readonly isMeasured: boolean;
}

/** Rows on which each weight's own effect is measured, and on which agreement is. */
const PROBED_ROWS = 12;
const JUDGED_ROWS = 512;
/** The level at which an effect is measured: well above what rounding does, well below where effects stop to add up. */
const PROBE: Level = 0.3;
const HALVINGS = 40;
/** Of refinement; little is left over after so many. */
const MOST_ROUNDS = 40;
const JUDGED_PRICES = 8;
/** Budgets that are searched for anew, less what the estimate missed before. */
const MOST_MEASURED = 5;
/** Left for names and wiring, and for what an estimate on a part of the values misses. */
const SLACK = 0.985;
const WIRING_BYTES = 200;
const PACKED_FLOATS = 0.93;

interface Priced {
  readonly weight: CodableWeight;
  readonly rates: readonly Rate[];
  /** Error of the output for each unit of the weight's own. */
  readonly effect: number;
}

/** @throws ModelError 'engine' where agreement is to be met and no runtime is there */
export async function search(map: LayerMap, options: SearchOptions): Promise<Found> {
  const { form, budget, minAgreement, inputs, onProgress } = options;
  const weights = codableWeights(map);
  const rates: Rate[][] = [];
  for (const [i, weight] of weights.entries()) {
    rates.push(await ratesOf(weight, form, options.fours === true && !weight.isTender));
    onProgress?.('measuring weights', i + 1, weights.length);
  }
  const isMeasured = inputs !== null && weights.reduce((sum, { count }) => sum + count * 4, 0) <= MAX_NET_BYTES;
  const priced = await pricedOf(map, { form, inputs: isMeasured ? inputs : null, onProgress }, weights, rates);
  const count = budget?.count ?? 'wire';
  const fixed = restBytes(map, weights) * (count === 'wire' ? PACKED_FLOATS : 1) + WIRING_BYTES * map.layers.length;
  const bytesOf = (choices: readonly Choice[]) => fixed + choices.reduce((sum, { weight, rate }) => sum + (rate[count] * weight.count) / 8, 0);
  const candidates: Candidate[] = [];
  const told = (choices: readonly Choice[], agreement: number | null) =>
    candidates.push({ bytes: Math.round(bytesOf(choices)), error: errorOf(priced, choices), agreement });
  const made = async (choices: readonly Choice[]) => withWeights(map, await tensorsOf(choices, form));

  if (budget) {
    const measure = weights.reduce((sum, { count: size }) => sum + size * 4, 0) <= MAX_NET_BYTES ? options.measure : undefined;
    let missed = 0;
    for (let round = 1; ; round++) {
      const wanted = measure ? budget.byteLength - missed : budget.byteLength * SLACK;
      const choices = within(priced, count, (found) => bytesOf(found) <= wanted);
      const taken = measure ? await measure(await made(choices)) : bytesOf(choices);
      if (measure && taken > budget.byteLength && round < MOST_MEASURED) {
        missed = Math.max(missed + 1, taken - bytesOf(choices));
        continue;
      }
      told(choices, null);
      return { choices, isMet: taken <= budget.byteLength, candidates, isMeasured };
    }
  }
  const reference = await outputsOf(options.source ?? map, inputs!, JUDGED_ROWS);
  let best: readonly Choice[] | null = null;
  // Prices that make every weight as fine, and as coarse, as it can be.
  let [low, high] = priceRange(priced, count);
  for (let i = 0; i < JUDGED_PRICES; i++) {
    const price = Math.sqrt(low * high);
    const choices = atPrice(priced, count, price);
    const agreement = sameTop(reference, await outputsOf(await made(choices), inputs!, JUDGED_ROWS));
    told(choices, agreement);
    onProgress?.('searching', i + 1, JUDGED_PRICES);
    const isEnough = agreement >= minAgreement!;
    if (isEnough && (!best || bytesOf(choices) < bytesOf(best))) best = choices;
    if (isEnough) low = price;
    else high = price;
  }
  const choices = best ?? atPrice(priced, count, 0);
  return { choices, isMet: best !== null, candidates, isMeasured };
}

/** What each weight's error does to the output: measured where there are inputs, the same for all where there are none. */
async function pricedOf(
  map: LayerMap,
  { form, inputs, onProgress }: Pick<SearchOptions, 'form' | 'inputs' | 'onProgress'>,
  weights: readonly CodableWeight[],
  rates: readonly (readonly Rate[])[],
): Promise<Priced[]> {
  const exact = inputs ? await outputsOf(map, inputs, PROBED_ROWS) : null;
  const priced: Priced[] = [];
  for (const [i, weight] of weights.entries()) {
    const probe = rates[i]!.find(({ level }) => level === PROBE)!;
    let effect = 1;
    if (exact && probe.error > 0) {
      const coarse = withWeights(map, new Map([[weight.tensor, await codedWeight(weight.tensor, weight.axis, form, PROBE)]]));
      effect = distance(exact, await outputsOf(coarse, inputs!, PROBED_ROWS)) / probe.error;
      onProgress?.('measuring what each weight does', i + 1, weights.length);
    }
    priced.push({ weight, rates: rates[i]!, effect });
  }
  return priced;
}

/**
 * Other steps, which take as many bytes over the wire as those that are given, and of all that do so move the output least: reverse water-filling, with what
 * the output suffers from a byte less the same for all weights.
 *
 * @returns a level for each weight in running order; null where they stay as they are
 */
export async function stepsOfOneLevel(
  map: LayerMap,
  form: CodeForm,
  levels: readonly Level[],
  inputs: GivenInputs,
  onProgress?: SearchOptions['onProgress'],
): Promise<Level[] | null> {
  const weights = codableWeights(map);
  const rates: Rate[][] = [];
  for (const [i, weight] of weights.entries()) {
    const level = levels[i]!;
    rates.push((await ratesOf(weight, form, false, typeof level === 'number' ? [level] : [])).filter((rate) => isStepLevel(rate.level)));
  }
  const given = levels.map((level, i) => rates[i]!.find((rate) => rate.level === level));
  if (!given.every((rate) => rate !== undefined)) return null;
  const bytesOf = (found: readonly Pick<Choice, 'rate'>[]) => found.reduce((sum, { rate }, i) => sum + (rate.wire * weights[i]!.count) / 8, 0);
  const most = bytesOf(given.map((rate) => ({ rate })));
  const priced = await pricedOf(map, { form, inputs, onProgress }, weights, rates);
  const found = within(priced, 'wire', (choices) => bytesOf(choices) <= most).map(({ rate }) => rate.level);
  return found.every((level, i) => level === levels[i]) ? null : found;
}

/** The level of each weight at which its error and its bytes cost least. */
function atPrice(priced: readonly Priced[], count: 'disk' | 'wire', price: number): Choice[] {
  return priced.map(({ weight, rates, effect }) => {
    const cost = (rate: Rate) => effect * rate.error + price * rate[count] * weight.count;
    return { weight, rate: rates.reduce((least, rate) => (cost(rate) < cost(least) ? rate : least)) };
  });
}

/** The finest levels that fit; the coarsest where none do. What a price leaves over goes to whom it serves best. */
function within(priced: readonly Priced[], count: 'disk' | 'wire', fits: (choices: readonly Choice[]) => boolean): Choice[] {
  let [low, high] = priceRange(priced, count);
  if (fits(atPrice(priced, count, 0))) return atPrice(priced, count, 0);
  for (let i = 0; i < HALVINGS; i++) {
    const price = Math.sqrt(low * high);
    if (fits(atPrice(priced, count, price))) high = price;
    else low = price;
  }
  return refined(priced, count, atPrice(priced, count, high), fits);
}

/** One finer level after the other, as long as one fits: the one that takes most error off for its bytes. */
function refined(priced: readonly Priced[], count: 'disk' | 'wire', start: readonly Choice[], fits: (choices: readonly Choice[]) => boolean): Choice[] {
  let choices = [...start];
  for (let round = 0; round < MOST_ROUNDS; round++) {
    const steps = priced.flatMap(({ weight, rates, effect }, i) =>
      rates.flatMap((rate) => {
        const own = choices[i]!.rate;
        const finer = choices.with(i, { weight, rate });
        if (rate.error >= own.error || !fits(finer)) return [];
        const cost = Math.max(1e-9, (rate[count] - own[count]) * weight.count);
        return [{ finer, worth: (effect * (own.error - rate.error)) / cost }];
      }),
    );
    if (steps.length === 0) return choices;
    choices = steps.reduce((best, step) => (step.worth > best.worth ? step : best)).finer;
  }
  return choices;
}

function priceRange(priced: readonly Priced[], count: 'disk' | 'wire'): [low: number, high: number] {
  const slopes = priced.flatMap(({ weight, rates, effect }) =>
    rates.flatMap((rate) =>
      rates.flatMap((finer) => {
        const saved = (finer[count] - rate[count]) * weight.count;
        return saved > 0 ? [(effect * (rate.error - finer.error)) / saved] : [];
      }),
    ),
  );
  const positive = slopes.filter((slope) => slope > 0);
  return positive.length === 0 ? [1e-30, 1] : [Math.min(...positive) / 2, Math.max(...positive) * 2];
}

function errorOf(priced: readonly Priced[], choices: readonly Choice[]): number {
  return Math.sqrt(choices.reduce((sum, { rate }, i) => sum + priced[i]!.effect * rate.error, 0));
}

async function tensorsOf(choices: readonly Choice[], form: CodeForm): Promise<Map<Tensor, Tensor>> {
  const made = new Map<Tensor, Tensor>();
  for (const { weight, rate } of choices) made.set(weight.tensor, await codedWeight(weight.tensor, weight.axis, form, rate.level));
  return made;
}

/** Bytes of what is not coded: biases and statistics. */
function restBytes(map: LayerMap, weights: readonly CodableWeight[]): number {
  const coded = new Set(weights.map(({ tensor }) => tensor));
  const others = new Set(map.layers.flatMap((layer) => Object.values(layer.weights)).filter((tensor) => !coded.has(tensor)));
  return [...others].reduce((sum, tensor) => sum + Math.min(narrowByteLength(tensor), (narrowByteLength(tensor) / DTYPE_BYTES[tensor.dtype]) * 4), 0);
}
