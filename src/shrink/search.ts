/**
 * Which level each weight gets, within so many bytes or at a least agreement.
 *
 * Errors of weights add up in the output, each with a weight of its own: how far the output moves when that weight alone is coarse, measured in the
 * target's own runtime, beside the energy that the weight lost. `prices.ts` then spends the bytes.
 *
 * Everything is measured on the same inputs in the same order, so that a search always ends the same.
 */
import { DTYPE_BYTES } from '../model/dtype.js';
import type { SearchRecord } from '../model/edited.js';
import type { Layer, LayerMap } from '../model/layer-map.js';
import { narrowByteLength } from '../model/narrow-form.js';
import type { Tensor } from '../model/tensor.js';
import type { GivenInputs } from '../verify/feeds.js';
import { beforeSoftmax } from './before-softmax.js';
import { type CodeForm, codedWeight, isStepLevel, type Level } from './coded.js';
import { describeRank, isLarge, matrixOf, mostRank, withRanks } from './low-rank.js';
import { distance, MAX_NET_BYTES, outputsOf, sameTop } from './outputs.js';
import { atPrice, type Choice, type Counted, errorOf, type Priced, priceRange, within } from './prices.js';
import { type Rate, ratesOf } from './rates.js';
import { type Coder, codeRounded } from './rounded.js';
import { type LowRank, lowRank, truncated } from './svd.js';
import { type CodableWeight, codableWeights, withWeights } from './weights.js';

export interface SearchOptions {
  readonly form: CodeForm;
  /** Whether the target takes codes of 4 bits, and palettes. */
  readonly fours?: boolean;
  readonly palettes?: boolean;
  /** Most bytes, and which are counted. */
  readonly budget: { readonly byteLength: number; readonly count: Counted } | null;
  readonly minAgreement: number | null;
  /** The net whose classes are to be kept, where that is not the one whose weights are coded. */
  readonly source?: LayerMap;
  /** Bytes that a net takes when it is written; where it is left out, and for large nets, they are estimated. */
  readonly measure?: (map: LayerMap) => Promise<number>;
  /** Null where there are none: then the loss of each weight, relative to its own size, counts the same. */
  readonly inputs: GivenInputs | null;
  readonly onProgress?: (phase: string, done: number, total: number) => void;
}

export interface Found {
  readonly choices: readonly Choice[];
  /** Whether what was asked for is met, as estimated. */
  readonly isMet: boolean;
  readonly record: SearchRecord;
  /** Whether the output's error was measured for each weight. */
  readonly isMeasured: boolean;
}

/** Rows on which each weight's own effect is measured, and on which agreement is. */
const PROBED_ROWS = 12;
const JUDGED_ROWS = 512;
/** The level at which an effect is measured: well above what rounding does, well below where effects stop to add up. */
const PROBE: Level = 0.3;
const JUDGED_PRICES = 8;
/** Prices at which the curve of bytes against error is told. */
const SHOWN_PRICES = 12;
/** Budgets that are searched for anew, by what the estimate missed before. */
const MOST_MEASURED = 5;
/** Part of a budget from which on it is used up. */
const FULL = 0.98;
/** Parts of the largest rank that is worth anything. */
const RANKS = [1, 0.6, 0.35, 0.2, 0.1] as const;
/** Left for names and wiring, and for what an estimate on a part of the values misses. */
const SLACK = 0.985;
const WIRING_BYTES = 200;
const PACKED_FLOATS = 0.93;

/** @throws ModelError 'engine' where agreement is to be met and no runtime is there */
export async function search(map: LayerMap, options: SearchOptions): Promise<Found> {
  const { form, budget, minAgreement, inputs, onProgress } = options;
  const count = budget?.count ?? 'wire';
  const weights = codableWeights(map);
  const rates: Rate[][] = [];
  for (const [i, weight] of weights.entries()) {
    const mayPack = !weight.isTender;
    // Over the wire a palette is never shorter than steps of the same error.
    rates.push(await ratesOf(weight, { form, fours: options.fours === true && mayPack, palettes: options.palettes === true && mayPack && count === 'disk' }));
    onProgress?.('measuring weights', i + 1, weights.length);
  }
  const isMeasured = inputs !== null && bytesOfWeights(weights) <= MAX_NET_BYTES;
  const ranks = isMeasured ? 'measured' : count === 'memory' ? 'by energy' : 'none';
  const all = await pricedOf(map, { form, inputs: isMeasured ? inputs : null, onProgress }, weights, rates, ranks);
  // Codes take nothing off in memory: beside ranks, weights become there what they do where nothing is searched for.
  const priced = count === 'memory' ? all.map((one) => ({ ...one, rates: one.rates.filter(({ level }) => level === 'full') })) : all;
  const fixed = restBytes(map, weights) * (count === 'wire' ? PACKED_FLOATS : 1) + (count === 'memory' ? 0 : WIRING_BYTES * map.layers.length);
  const bytesOf = (choices: readonly Choice[]) => fixed + choices.reduce((sum, { weight, rate }) => sum + (rate[count] * weight.count) / 8, 0);
  const agreements = new Map<readonly Choice[], number>();
  const made = (choices: readonly Choice[]) => codedAs(map, form, choices);
  const found = (choices: readonly Choice[], isMet: boolean): Found => ({ choices, isMet, isMeasured, record: recordOf(choices) });
  const recordOf = (chosen: readonly Choice[]): SearchRecord => {
    const [low, high] = priceRange(priced, count);
    const curve = Array.from({ length: SHOWN_PRICES }, (_, i) => atPrice(priced, count, low * (high / low) ** (i / (SHOWN_PRICES - 1))));
    const ways = [...new Set([...curve, ...agreements.keys(), chosen])].map((choices) => ({
      bytes: Math.round(bytesOf(choices)),
      error: errorOf(priced, choices),
      agreement: agreements.get(choices) ?? null,
      levels: describeLevels(choices),
      isChosen: choices === chosen,
    }));
    // Prices beside each other often choose the same; of those the one that says most is told.
    const weight = ({ isChosen, agreement }: (typeof ways)[number]) => (isChosen ? 2 : agreement === null ? 0 : 1);
    const fresh = ways.filter(
      (way, i) => !ways.some((other, k) => other.levels === way.levels && (weight(other) > weight(way) || (weight(other) === weight(way) && k < i))),
    );
    return { count, ways: fresh.sort((a, b) => b.bytes - a.bytes) };
  };

  if (budget) {
    const measure = bytesOfWeights(weights) <= MAX_NET_BYTES ? options.measure : undefined;
    const least = (most: number) => within(priced, count, (tried) => bytesOf(tried) <= most);
    if (!measure) {
      const choices = least(budget.byteLength * (count === 'memory' ? 1 : SLACK));
      return found(choices, bytesOf(choices) <= budget.byteLength);
    }
    // By how much more is taken than estimated: less than nothing where what is not coded packs well.
    let missed = 0;
    let best: readonly Choice[] | null = null;
    for (let round = 1; ; round++) {
      const choices = least(budget.byteLength - missed);
      const taken = await measure(await made(choices));
      const isWithin = taken <= budget.byteLength;
      if (isWithin && (!best || errorOf(priced, choices) < errorOf(priced, best))) best = choices;
      const now = taken - bytesOf(choices);
      if (round === MOST_MEASURED || (isWithin && (taken >= FULL * budget.byteLength || now >= missed))) return found(best ?? choices, best !== null);
      missed = isWithin ? now : Math.max(missed + 1, now);
    }
  }
  const reference = await outputsOf(options.source ?? map, inputs!, JUDGED_ROWS);
  let best: readonly Choice[] | null = null;
  let [low, high] = priceRange(priced, count);
  for (let i = 0; i < JUDGED_PRICES; i++) {
    const price = Math.sqrt(low * high);
    const choices = atPrice(priced, count, price);
    const agreement = sameTop(reference, await outputsOf(await made(choices), inputs!, JUDGED_ROWS));
    agreements.set(choices, agreement);
    onProgress?.('searching', i + 1, JUDGED_PRICES);
    const isEnough = agreement >= minAgreement!;
    if (isEnough && (!best || bytesOf(choices) < bytesOf(best))) best = choices;
    if (isEnough) low = price;
    else high = price;
  }
  return found(best ?? atPrice(priced, count, 0), best !== null);
}

/** The net with dense layers of low rank where they were chosen, and the level of each of its weights. */
export function levelled(map: LayerMap, choices: readonly Choice[]): { readonly map: LayerMap; readonly levels: readonly Level[] } {
  const ranks = new Map<Layer, LowRank>();
  for (const { weight, rate } of choices) if (rate.low) ranks.set(weight.layer, rate.low.factors);
  const levels = choices.flatMap(({ rate }) => (rate.low ? [rate.level, rate.level] : [rate.level]));
  return { map: withRanks(map, ranks), levels };
}

/** A phrase for each level, from the finest to the coarsest: '3 in all codes of 8 bits', '2 in steps of 0.3 deviations'. */
export function describeLevels(choices: readonly Choice[]): string {
  const counts = new Map<Level, number>();
  for (const { rate } of choices) counts.set(rate.level, (counts.get(rate.level) ?? 0) + 1);
  const list = [...counts].sort(([a], [b]) => place(a) - place(b)).map(([level, count]) => `${count} ${nameOf(level)}`);
  const low = choices.flatMap(({ weight, rate }) => (rate.low ? [describeRank(weight.layer, rate.low.factors)] : []));
  return [...list, ...low].join(', ');
}

const ORDER: readonly Level[] = ['float32', 'float16', 'full'];
/** Behind all steps. */
const MOST_STEPS = 9;

function place(level: Level): number {
  const known = ORDER.indexOf(level);
  return known >= 0 ? known - ORDER.length : typeof level === 'number' ? level : MOST_STEPS;
}

function nameOf(level: Level): string {
  if (level === 'palette') return 'in palettes of 16';
  return level === 'full' ? 'in all codes of 8 bits' : typeof level === 'number' ? `in steps of ${level} deviations` : level;
}

async function codedAs(map: LayerMap, form: CodeForm, choices: readonly Choice[]): Promise<LayerMap> {
  const { map: low, levels } = levelled(map, choices);
  const coder: Coder = { form, levels };
  return codeRounded(low, coder);
}

/** What each weight's error does to the output: measured where there are inputs, the same for all where there are none. */
async function pricedOf(
  map: LayerMap,
  { form, inputs, onProgress }: Pick<SearchOptions, 'form' | 'inputs' | 'onProgress'>,
  weights: readonly CodableWeight[],
  rates: readonly (readonly Rate[])[],
  ranks: 'measured' | 'by energy' | 'none' = 'none',
): Promise<Priced[]> {
  const exact = inputs ? await outputsOf(beforeSoftmax(map), inputs, PROBED_ROWS) : null;
  const priced: Priced[] = [];
  for (const [i, weight] of weights.entries()) {
    const probe = rates[i]!.find(({ level }) => level === PROBE)!;
    let effect = 1;
    const low: Rate[] = [];
    if (exact && probe.error > 0) {
      const errorOfNet = async (net: LayerMap) => distance(exact, await outputsOf(beforeSoftmax(net), inputs!, PROBED_ROWS));
      effect = (await errorOfNet(withWeights(map, new Map([[weight.tensor, await codedWeight(weight.tensor, weight.axis, form, PROBE)]])))) / probe.error;
      const movedBy = (factors: LowRank) => errorOfNet(withRanks(map, new Map([[weight.layer, factors]])));
      if (ranks === 'measured') low.push(...(await lowerRanks(map, weight, rates[i]!, movedBy)));
      onProgress?.('measuring what each weight does', i + 1, weights.length);
    } else if (ranks === 'by energy') {
      low.push(...(await lowerRanks(map, weight, rates[i]!, async ({ energy }) => 1 - energy)));
      onProgress?.('measuring ranks', i + 1, weights.length);
    }
    priced.push({ weight, rates: [...rates[i]!, ...low], effect });
  }
  return priced;
}

/** A large dense layer as two of some ranks, in each level: what the rank does to the output is measured, what codes add to it is that of two kernels. */
async function lowerRanks(
  map: LayerMap,
  { layer, role, tensor }: CodableWeight,
  rates: readonly Rate[],
  movedBy: (factors: LowRank) => Promise<number>,
): Promise<Rate[]> {
  const isShared = map.layers.some((other) => other !== layer && Object.values(other.weights).includes(tensor));
  if (role !== 'kernel' || isShared || !isLarge(layer)) return [];
  const matrix = matrixOf(layer);
  const [rows, columns] = matrix.shape as [number, number];
  const most = mostRank(matrix);
  if (most < 1) return [];
  const whole = await lowRank(matrix, { energy: null, rank: most, most });
  if (!whole) return [];
  const ranks = new Set(RANKS.map((part) => Math.max(1, Math.round(part * whole.rank))));
  const found: Rate[] = [];
  for (const rank of ranks) {
    const factors = truncated(whole, rank);
    const moved = await movedBy(factors);
    const part = (rank * (rows + columns)) / (rows * columns);
    for (const { level, disk, wire, memory, error } of rates)
      found.push({ level, disk: disk * part, wire: wire * part, memory: memory * part, error: 2 * error, low: { factors, moved } });
  }
  return found;
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
    rates.push((await ratesOf(weight, { form, more: typeof level === 'number' ? [level] : [] })).filter((rate) => isStepLevel(rate.level)));
  }
  const given = levels.map((level, i) => rates[i]!.find((rate) => rate.level === level));
  if (!given.every((rate) => rate !== undefined)) return null;
  const bytesOf = (found: readonly Pick<Choice, 'rate'>[]) => found.reduce((sum, { rate }, i) => sum + (rate.wire * weights[i]!.count) / 8, 0);
  const most = bytesOf(given.map((rate) => ({ rate })));
  const priced = await pricedOf(map, { form, inputs, onProgress }, weights, rates);
  const found = within(priced, 'wire', (choices) => bytesOf(choices) <= most).map(({ rate }) => rate.level);
  return found.every((level, i) => level === levels[i]) ? null : found;
}

function bytesOfWeights(weights: readonly CodableWeight[]): number {
  return weights.reduce((sum, { count }) => sum + count * 4, 0);
}

/** Bytes of what is not coded: biases and statistics. */
function restBytes(map: LayerMap, weights: readonly CodableWeight[]): number {
  const coded = new Set(weights.map(({ tensor }) => tensor));
  const others = new Set(map.layers.flatMap((layer) => Object.values(layer.weights)).filter((tensor: Tensor) => !coded.has(tensor)));
  return [...others].reduce((sum, tensor) => sum + Math.min(narrowByteLength(tensor), (narrowByteLength(tensor) / DTYPE_BYTES[tensor.dtype]) * 4), 0);
}
