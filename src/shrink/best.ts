/**
 * `--method best`: what is better than rounding, one thing after the other. Each is tried on the whole net, in the runtime that it is made for, and
 * kept where the output comes nearer to the net's own on inputs that nothing was worked out with.
 */
import type { Claim } from '../model/claims.js';
import type { Layer, LayerMap } from '../model/layer-map.js';
import type { Tensor } from '../model/tensor.js';
import { multiplications } from '../verify/effort.js';
import type { GivenInputs } from '../verify/feeds.js';
import { planBlocks } from './blocks.js';
import { codedWeight, isCodes, isStepLevel, type Level, planCodes } from './coded.js';
import { equalised } from './equalise.js';
import { meansLost, withFeedback } from './feedback.js';
import { type Judge, judgeOf } from './helps.js';
import { type Mend, mended, mendsOf } from './mends.js';
import { MAX_NET_BYTES } from './outputs.js';
import { channelsFirst, rowsSeen, type SeenRows } from './patches.js';
import { type Coder, codeRounded, type OnProgress, roundedWeights } from './rounded.js';
import { fewRows, keptBack, toWorkWith } from './rows.js';
import { stepsOfOneLevel } from './search.js';
import { type CodableWeight, codableWeights, withWeights } from './weights.js';

export interface BestCoder extends Coder {
  /** Whether levels are to stay as they are, for they were searched for. */
  readonly isSearched?: boolean;
}

export interface Coded {
  readonly map: LayerMap;
  /** What was done, and what it did. */
  readonly told: string;
  readonly claims: readonly Claim[];
}

/** Inputs that are run in our evaluator: so many of any net, and more where it takes seconds. With few of them codes fit what is rare in others badly. */
const LEAST_RUNS = 64;
const MOST_RUNS = 512;
const MULTIPLICATIONS = 2e10;
/** Part of a net's values that may stay in float16. */
const MOST_WIDE = 0.1;

/** @param net kernels have biases of their own */
export async function codeBest(net: LayerMap, coder: BestCoder, inputs: GivenInputs, onProgress?: OnProgress): Promise<Coded> {
  const inTime = Math.floor(MULTIPLICATIONS / Math.max(1, multiplications(net) * inputs.batch));
  const runs = Math.min(inputs.runs, MOST_RUNS, Math.max(LEAST_RUNS, inTime));
  const weights = codableWeights(net);
  const fit = toWorkWith(inputs, runs);
  let seen: Seen = await rowsSeen(net, weights, inputs, runs, (done, total) => onProgress?.('running the net on inputs', done, total));
  const mayTry = runs > 1 && weights.reduce((sum, { count }) => sum + count * 4, 0) <= MAX_NET_BYTES;
  const judge = mayTry ? await judgeOf(net, await codeRounded(net, coder), keptBack(inputs, runs)) : null;
  let [map, levels] = [net, coder.levels];
  const claims: Claim[] = [];
  const equal = judge ? await equalised(net, seen) : null;
  if (
    judge &&
    equal &&
    (await judge.helps(`channels of ${equal.layers.length} layers evened with the layers before them`, await codeRounded(equal.map, coder)))
  ) {
    ({ map, seen } = equal);
    claims.push('even-channels');
  }
  if (judge && !coder.isSearched && levels.some((level) => typeof level === 'number')) {
    const other = await stepsOfOneLevel(map, coder.form, levels, fit, onProgress);
    if (other && (await judge.helps('as many bytes in steps by what each weight does to the output', await codeRounded(map, { ...coder, levels: other }))))
      levels = other;
  }
  const fed = await fedBack(map, { ...coder, levels }, seen, onProgress);
  const start = await roundedWeights(map, { ...coder, levels }, judge ? new Map() : fed.made);
  const told = `; the error is fed back in ${fed.count}${fed.gain}${fewRows(inputs.rows)}`;
  if (!judge) return { map: withWeights(map, new Map([...start, ...fed.made])), told, claims: fed.count > 0 ? [...claims, 'worked-out'] : claims };
  const kept = await tried(map, { ...coder, levels }, { seen, fed: fed.made, start }, judge);
  return { map: withWeights(map, kept.made), told: `${told}${judge.told()}`, claims: kept.isWorkedOut ? [...claims, 'worked-out'] : claims };
}

type Seen = ReadonlyMap<CodableWeight, SeenRows>;

interface Fed {
  readonly made: ReadonlyMap<Tensor, Tensor>;
  readonly count: number;
  /** How much smaller errors are, in words. */
  readonly gain: string;
}

/** Kernels whose codes take the error back, and biases that take up what is left, where other inputs say that they are better. */
async function fedBack(map: LayerMap, { form, levels, block }: Coder, seen: Seen, onProgress?: OnProgress): Promise<Fed> {
  const made = new Map<Tensor, Tensor>();
  const mends = mendsOf(map);
  let [count, improved] = [0, 0];
  for (const [i, weight] of codableWeights(map).entries()) {
    const rows = rowsOf(seen, weight);
    const level = levels[i]!;
    if (rows && isCodes(level)) {
      const kernel = channelsFirst(weight, weight.tensor);
      const plan = isStepLevel(level) ? await planCodes(kernel, 0, form, level) : await planBlocks(kernel, level, block);
      const mend = mends.get(weight.layer);
      const found = await withFeedback(kernel, plan, rows, mend !== undefined);
      if (found) {
        made.set(weight.tensor, { ...channelsFirst(weight, found.kernel), replaces: { tensor: weight.tensor, method: found.kernel.replaces!.method } });
        if (found.means && mend) made.set(mend.tensor, await mended(mend, found.means));
        [count, improved] = [count + 1, improved + found.improved / found.rounded];
      }
    }
    onProgress?.('coding weights', i + 1, levels.length);
  }
  const gain = count > 0 ? `, whose layers' errors are ${(100 * (1 - improved / count)).toFixed(0)} % smaller on inputs kept back, on average` : '';
  return { made, count, gain };
}

function rowsOf(seen: Seen, { tensor }: CodableWeight): SeenRows | undefined {
  for (const [weight, rows] of seen) if (weight.tensor === tensor) return rows;
  return undefined;
}

interface Start {
  readonly seen: Seen;
  readonly fed: ReadonlyMap<Tensor, Tensor>;
  readonly start: ReadonlyMap<Tensor, Tensor>;
}

/** Feedback, biases, and weights that stay wide. */
async function tried(map: LayerMap, coder: BestCoder, { seen, fed, start }: Start, judge: Judge) {
  let made = new Map(start);
  let isWorkedOut = false;
  const keep = async (what: string, changed: ReadonlyMap<Tensor, Tensor>) => {
    if (changed.size === 0) return false;
    const all = new Map([...made, ...changed]);
    const helps = await judge.helps(what, withWeights(map, all));
    if (helps) made = all;
    return helps;
  };
  isWorkedOut = await keep('feedback', fed);
  const biases = await corrected(map, made, seen);
  isWorkedOut = (await keep(`biases of ${biases.size} layers`, biases)) || isWorkedOut;
  if (!coder.isSearched) for (const { what, wide } of await keptWide(map, coder.levels)) await keep(what, wide);
  // What stays wide may be all that was worked out.
  return { made, isWorkedOut: isWorkedOut && [...fed, ...biases].some(([tensor, other]) => made.get(tensor) === other) };
}

/** Biases that take up what codes lose on average, where they do not yet. */
async function corrected(map: LayerMap, made: ReadonlyMap<Tensor, Tensor>, seen: Seen): Promise<Map<Tensor, Tensor>> {
  const found = new Map<Tensor, Tensor>();
  const mends: ReadonlyMap<Layer, Mend> = mendsOf(map);
  for (const [weight, rows] of seen) {
    const mend = mends.get(weight.layer);
    const other = made.get(weight.tensor);
    if (!mend || !other || made.has(mend.tensor)) continue;
    const means = await meansLost(channelsFirst(weight, weight.tensor), channelsFirst(weight, other), rows);
    if (means) found.set(mend.tensor, await mended(mend, means));
  }
  return found;
}

/** Depthwise kernels, and the first and last weight, in float16, where they are few. */
async function keptWide(map: LayerMap, levels: readonly Level[]) {
  const weights = codableWeights(map);
  const total = weights.reduce((sum, { count }) => sum + count, 0);
  const coded = weights.filter((weight, i) => weight.isTender && isCodes(levels[i]!));
  const isEnd = (weight: CodableWeight) => weight === weights[0] || weight === weights.at(-1);
  const groups = [
    { what: 'depthwise kernels in float16', weights: coded.filter((weight) => !isEnd(weight)) },
    { what: 'the first and last weight in float16', weights: coded.filter(isEnd) },
  ];
  const trials: { readonly what: string; readonly wide: ReadonlyMap<Tensor, Tensor> }[] = [];
  for (const { what, weights: own } of groups) {
    if (own.length === 0 || own.reduce((sum, { count }) => sum + count, 0) > MOST_WIDE * total) continue;
    const wide = new Map<Tensor, Tensor>();
    for (const { tensor, axis } of own) wide.set(tensor, await codedWeight(tensor, axis, 'channels', 'float16'));
    trials.push({ what, wide });
  }
  return trials;
}
