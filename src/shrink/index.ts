/** What `shrink` does beyond a dtype: other weights in place of a net's own, by a step that is given or by search. */
import { ModelError } from '../errors.js';
import type { CodeRange } from '../model/block-codes.js';
import type { Claim } from '../model/claims.js';
import type { Change } from '../model/edited.js';
import type { LayerMap } from '../model/layer-map.js';
import type { Tensor } from '../model/tensor.js';
import type { GivenInputs } from '../verify/feeds.js';
import { DEFAULT_BLOCK } from './blocks.js';
import { type CodeForm, codedWeight, isStepLevel, type Level, planCodes } from './coded.js';
import { withFeedback } from './feedback.js';
import { keptWhereItHelps, type Trial } from './helps.js';
import { MAX_NET_BYTES } from './outputs.js';
import { rowsSeen } from './patches.js';
import { fewRows, keptBack } from './rows.js';
import { type Candidate, type SearchOptions, search } from './search.js';
import { type CodableWeight, codableWeights, withOwnBiases, withWeights } from './weights.js';

export interface Shrunk {
  readonly map: LayerMap;
  readonly change: Change;
  /** What is to be said of the weights in the file; nothing where they are the net's own, each rounded. */
  readonly claims?: readonly Claim[];
}

/** Targets that keep codes, and how. */
export const CODE_FORMS: Readonly<Record<string, CodeForm>> = { onnx: 'channels', tfjs: 'whole', 'tfjs-graph': 'whole' };

export { DEFAULT_BLOCK };

/** Targets that keep codes of 4 bits. */
export const FOUR_BITS: ReadonlySet<string> = new Set(['onnx']);

/**
 * Every large weight in codes of 4 bits, with a scale for each block along the input axis; depthwise kernels and the net's ends in 8 bits.
 *
 * @param block longest
 * @throws ModelError 'usage' where the net has no large weights
 */
export async function shrinkToFour(map: LayerMap, range: CodeRange, block: number, onProgress?: Better['onProgress']): Promise<Shrunk> {
  const weights = someWeights(map);
  const { made } = await codeAll(map, 'channels', levelsOf(weights, range), { inputs: null, onProgress }, block);
  const blocked = [...made.values()].filter(({ replaces }) => / in blocks /.test(replaces?.method ?? '')).length;
  const tender = weights.filter(({ isTender }) => isTender).length;
  const parts = [
    `${blocked} weights are ${range} in blocks of up to ${block} values along the input axis`,
    ...(weights.length - tender > blocked ? [`${weights.length - tender - blocked}, whose axes no such block divides, have a scale for each channel`] : []),
    ...(tender > 0 ? [`${tender} (depthwise kernels, the net's ends) are in all codes of 8 bits`] : []),
  ];
  return { map: withWeights(map, made), change: { transform: 'shrink', message: parts.join(', '), layers: weights.map(({ layer }) => layer.name) } };
}

function levelsOf(weights: readonly CodableWeight[], level: Level): Levelled[] {
  return weights.map((weight) => ({ weight, level: weight.isTender ? 'full' : level }));
}

/** Inputs to work better codes out with; null: each value is rounded. */
export interface Better {
  readonly inputs: GivenInputs | null;
  readonly onProgress?: (phase: string, done: number, total: number) => void;
}

/** Inputs that are run in our evaluator. */
const CALIBRATION_RUNS = 24;
/** Part of a net's values that may stay in float16. */
const MOST_WIDE = 0.1;

/**
 * Every large weight in steps of so many of its standard deviations; depthwise kernels and the net's ends in all codes that there are. 'full': all of them so.
 *
 * @throws ModelError 'usage' where the net has no large weights
 */
export async function shrinkByStep(net: LayerMap, form: CodeForm, step: number | 'full', better: Better = { inputs: null }): Promise<Shrunk> {
  const { map, shared } = withOwnBiases(net);
  const weights = someWeights(map);
  const levels = levelsOf(weights, step);
  const tender = weights.filter(({ isTender }) => isTender).length;
  const wide = `${weights.length - tender} weights are in steps of ${step} of their standard deviations${tender > 0 ? `, and ${tender} (depthwise kernels, the net's ends) in all codes of 8 bits` : ''}`;
  const { made, told, claims } = await codeAll(map, form, levels, better);
  const message = `${step === 'full' ? `${weights.length} weights are in codes of 8 bits` : wide}${told}`;
  return {
    map: withWeights(map, new Map([...shared, ...made])),
    claims,
    change: { transform: 'shrink', message, layers: weights.map(({ layer }) => layer.name) },
  };
}

function someWeights(map: LayerMap): CodableWeight[] {
  const weights = codableWeights(map);
  if (weights.length === 0) throw new ModelError('usage', 'the net has no kernels or tables to be coded.');
  return weights;
}

interface Levelled {
  readonly weight: CodableWeight;
  readonly level: Level;
}

/** Tensors in place of the net's, and a sentence on what inputs did for them. */
async function codeAll(map: LayerMap, form: CodeForm, levels: readonly Levelled[], { inputs, onProgress }: Better, block?: number, mayWiden = true) {
  const made = new Map<Tensor, Tensor>();
  const weights = levels.map(({ weight }) => weight);
  const runs = Math.min(inputs?.runs ?? 0, CALIBRATION_RUNS);
  const seen = inputs ? await rowsSeen(map, weights, inputs, runs, (done, total) => onProgress?.('running the net on inputs', done, total)) : new Map();
  const fed = new Map<Tensor, Tensor>();
  let [kept, rounded, improved] = [0, 0, 0];
  for (const [i, { weight, level }] of levels.entries()) {
    const { tensor, axis, layer } = weight;
    const rows = seen.get(weight);
    const { bias } = layer.weights;
    const found = rows && isStepLevel(level) ? await withFeedback(tensor, bias, await planCodes(tensor, axis, form, level), rows) : null;
    made.set(tensor, await codedWeight(tensor, axis, form, level, block));
    if (found) fed.set(tensor, found.kernel);
    if (found?.bias && bias) fed.set(bias, found.bias);
    if (found) [kept, rounded, improved] = [kept + 1, rounded + 1, improved + found.improved / found.rounded];
    onProgress?.('coding weights', i + 1, levels.length);
  }
  if (!inputs) return { made, told: '', claims: [] };
  const gain = rounded > 0 ? `, whose layers' errors are ${(100 * (1 - improved / rounded)).toFixed(0)} % smaller on inputs kept back, on average` : '';
  const told = `; the error is fed back in ${kept}${gain}${fewRows(inputs.rows)}`;
  const mayTry = runs > 1 && weights.reduce((sum, { count }) => sum + count * 4, 0) <= MAX_NET_BYTES;
  const claimed = (all: ReadonlyMap<Tensor, Tensor>): Claim[] => ([...fed].some(([tensor, other]) => all.get(tensor) === other) ? ['worked-out'] : []);
  if (!mayTry) return { made: new Map([...made, ...fed]), told, claims: claimed(fed) };
  const trials = [...(fed.size > 0 ? [{ what: 'feedback', made: fed }] : []), ...(mayWiden ? await keptWide(levels) : [])];
  const helped = await keptWhereItHelps(map, made, trials, keptBack(inputs, runs));
  return { made: helped.made, told: `${told}${helped.told}`, claims: claimed(helped.made) };
}

/** Depthwise kernels, and the first and last weight, in float16, where they are few. */
async function keptWide(levels: readonly Levelled[]): Promise<Trial[]> {
  const total = levels.reduce((sum, { weight }) => sum + weight.count, 0);
  const coded = levels.filter(({ weight, level }) => weight.isTender && isStepLevel(level)).map(({ weight }) => weight);
  const isEnd = (weight: CodableWeight) => weight === levels[0]!.weight || weight === levels.at(-1)!.weight;
  const groups = [
    { what: 'depthwise kernels in float16', weights: coded.filter((weight) => !isEnd(weight)) },
    { what: 'the first and last weight in float16', weights: coded.filter(isEnd) },
  ];
  const trials: Trial[] = [];
  for (const { what, weights } of groups) {
    if (weights.length === 0 || weights.reduce((sum, { count }) => sum + count, 0) > MOST_WIDE * total) continue;
    const made = new Map<Tensor, Tensor>();
    for (const { tensor, axis } of weights) made.set(tensor, await codedWeight(tensor, axis, 'channels', 'float16'));
    trials.push({ what, made });
  }
  return trials;
}

/** Levels by search, within a budget or at a least agreement. */
export async function shrinkBySearch(net: LayerMap, options: SearchOptions, better: Better = { inputs: null }): Promise<Shrunk> {
  const { map, shared } = withOwnBiases(net);
  someWeights(map);
  const { choices, isMet, candidates, isMeasured } = await search(map, options);
  const levelled = choices.map(({ weight, rate }) => ({ weight, level: rate.level }));
  // Which weights stay wide is what was searched for.
  const { made, told, claims } = await codeAll(map, options.form, levelled, better, undefined, false);
  const few = options.inputs && !better.inputs ? fewRows(options.inputs.rows) : '';
  const levels = new Map<Level, number>();
  for (const { rate } of choices) levels.set(rate.level, (levels.get(rate.level) ?? 0) + 1);
  const list = [...levels].sort(([a], [b]) => place(a) - place(b)).map(([level, count]) => `${count} ${nameOf(level)}`);
  const how = isMeasured ? 'by what each does to the output' : "by each one's own size, as there were no inputs, or the net is too large";
  const near = isMet ? '' : '; what was asked for is not to be had';
  const message = `what weights become was searched for, ${how}: ${list.join(', ')}${told}${few}${near}${tried(candidates)}`;
  return {
    map: withWeights(map, new Map([...shared, ...made])),
    claims,
    change: { transform: 'shrink', message, layers: choices.map(({ weight }) => weight.layer.name) },
  };
}

function tried(candidates: readonly Candidate[]): string {
  const judged = candidates.filter(({ agreement }) => agreement !== null);
  if (judged.length === 0) return '';
  const list = judged
    .toSorted((a, b) => b.bytes - a.bytes)
    .map(({ bytes, agreement }) => `${bytes} bytes on the wire agree on ${(100 * agreement!).toFixed(1)} %`);
  return `; of those tried ${list.join(', ')}`;
}

function place(level: Level): number {
  return level === 'float32' ? -3 : level === 'float16' ? -2 : level === 'full' ? -1 : typeof level === 'number' ? level : MOST_STEPS;
}

/** Behind all steps. */
const MOST_STEPS = 9;

function nameOf(level: Level): string {
  return level === 'full' ? 'in all codes of 8 bits' : typeof level === 'number' ? `in steps of ${level} deviations` : level;
}
