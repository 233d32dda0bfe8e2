/**
 * Codes that are better than rounding: each value of an output channel is rounded so that the error which those before it have left in what
 * the channel gives is taken back, as far as the inputs seen tell. The greedy path of GPFQ; its memory is inputs times values of one channel.
 *
 * Before that, where the largest value of a group decides how wide its step is, narrower steps are tried, at which that value is held at the last code:
 * the one is taken whose errors, each times what flows in there, are least together.
 *
 * Codes that fit the inputs seen may fit others worse, where there are fewer inputs than values. So what the channel gives on other inputs decides,
 * weight by weight, and rounding stays where it is as good. What is left of the error on average is given back behind the kernel, where there is a place.
 *
 * @see Lybrand and Saab, "A greedy algorithm for quantizing neural networks", JMLR 2021, algorithm 1
 */
import { roundToEven } from '../model/block-codes.js';
import { castTensor, toFloat32Array } from '../model/cast.js';
import { constantTensor, sliceAxis, type Tensor, tensorBytes } from '../model/tensor.js';
import type { CodePlan } from './code-plan.js';
import type { Rows, SeenRows } from './patches.js';
import { standIn } from './stand-in.js';

export interface Improved {
  readonly kernel: Tensor;
  /** What each channel gives less than it should, on average; null where that is nothing, or has no place. */
  readonly means: Float64Array | null;
  /** Energy of the error on inputs that codes were not worked out with, of rounding and of these. */
  readonly rounded: number;
  readonly improved: number;
}

/** How much of the mean energy is added to each place: what hardly any input reaches is left to rounding. */
const DAMPING = 0.02;
/** Less than this is chance. */
export const LEAST_GAIN = 0.98;
/** Values of channels that are held at a time. */
const BLOCK_VALUES = 2 ** 20;
/** Steps that are tried, as parts of what the largest value asks for: for few codes, also wider ones. */
const FINE_PARTS = [1, 0.95, 0.9, 0.85, 0.8, 0.7] as const;
const COARSE_PARTS = [1, 1.08, 0.93, 0.87, 0.8, 0.73] as const;

/**
 * @param tensor kernel, channels first
 * @param mayMend whether what is left on average can be given back
 * @returns null where rounding is as good
 */
export async function withFeedback(tensor: Tensor, plan: CodePlan, seen: SeenRows, mayMend: boolean): Promise<Improved | null> {
  const [out] = tensor.shape as [number];
  const rowsOf = { fit: byGroup(seen.fit, tensor), check: byGroup(seen.check, tensor) };
  if (seen.fit.count === 0 || seen.check.count === 0) return null;
  const energies = rowsOf.fit.map(energiesOf);
  const steps = plan.isTight ? await fittedSteps(tensor, plan, energies) : plan.steps;
  const stored = new Uint8Array(out * rowsOf.fit[0]!.depth);
  const means = new Float64Array(out);
  let [rounded, improved, corrected] = [0, 0, 0];
  for await (const { channel, weights } of channelsOf(tensor)) {
    const group = Math.floor((channel * rowsOf.fit.length) / out);
    const check = rowsOf.check[group]!;
    const [plain, own] = [gridOf(plan, plan.steps, channel, weights.length), gridOf(plan, steps, channel, weights.length)];
    const { codes, left } = feedback(weights, own, rowsOf.fit[group]!, energies[group]!);
    const after = residual(weights, codes, own, check);
    const mean = average(left);
    means[channel] = mean;
    rounded += energy(residual(weights, roundedTo(plain, weights), plain, check), 0);
    improved += energy(after, 0);
    corrected += energy(after, mean);
    for (let t = 0; t < weights.length; t++) stored[channel * weights.length + t] = codes[t]! + own.zeros[t]!;
  }
  const mends = mayMend && corrected < improved * LEAST_GAIN;
  const least = mends ? corrected : improved;
  if (!(least < rounded * LEAST_GAIN)) return null;
  const codes = constantTensor(tensor.name, plan.range[0] < 0 ? 'int8' : 'uint8', tensor.shape, stored, tensor.origin);
  const method = `${plan.method}, error fed back`;
  return { kernel: standIn(tensor, plan.widened(codes, steps), method), means: mends ? means : null, rounded, improved: least };
}

/**
 * What each channel gives less than it should with another kernel, on average.
 *
 * @param tensor kernel, channels first
 * @returns null where giving it back does not bring what the channels give nearer, on other inputs
 */
export async function meansLost(tensor: Tensor, made: Tensor, { fit, check }: SeenRows): Promise<Float64Array | null> {
  if (fit.count === 0 || check.count === 0) return null;
  const [out] = tensor.shape as [number];
  const rowsOf = { fit: byGroup(fit, tensor), check: byGroup(check, tensor) };
  const means = new Float64Array(out);
  let [before, after] = [0, 0];
  const others = channelsOf(made);
  for await (const { channel, weights } of channelsOf(tensor)) {
    const other = (await others.next()).value!.weights;
    const lost = Float64Array.from(weights, (weight, t) => weight - other[t]!);
    const group = Math.floor((channel * rowsOf.fit.length) / out);
    means[channel] = average(along(lost, rowsOf.fit[group]!));
    const checked = along(lost, rowsOf.check[group]!);
    before += energy(checked, 0);
    after += energy(checked, means[channel]);
  }
  return after < before * LEAST_GAIN ? means : null;
}

/** The rows of each group of a convolution, whose kernels see a part of the channels. */
function byGroup({ count, depth, data }: Rows, { shape }: Tensor): Rows[] {
  const own = shape.slice(1).reduce((a, b) => a * b, 1);
  return Array.from({ length: depth / own }, (_, i) => ({ count, depth: own, data: data.subarray(i * own * count, (i + 1) * own * count) }));
}

async function* channelsOf(tensor: Tensor): AsyncGenerator<{ readonly channel: number; readonly weights: Float32Array }, undefined> {
  const [out, ...window] = tensor.shape as [number, ...number[]];
  const depth = window.reduce((a, b) => a * b, 1);
  const perBlock = Math.max(1, Math.floor(BLOCK_VALUES / depth));
  for (let start = 0; start < out; start += perBlock) {
    const end = Math.min(out, start + perBlock);
    const values = toFloat32Array(await tensorBytes(castTensor(sliceAxis(tensor, 0, start, end), 'float32')), 'float32');
    for (let channel = start; channel < end; channel++) yield { channel, weights: values.subarray((channel - start) * depth, (channel - start + 1) * depth) };
  }
  return undefined;
}

/** What the places of a channel may hold: value = step * code, codes counted from that of zero. */
interface Grid {
  readonly steps: Float64Array;
  readonly zeros: Float64Array;
  readonly low: Float64Array;
  readonly high: Float64Array;
}

function gridOf({ perChannel, groupAt, zeros, range: [low, high] }: CodePlan, steps: Float32Array, channel: number, depth: number): Grid {
  const groups = Int32Array.from({ length: depth }, (_, t) => channel * perChannel + groupAt(t));
  const own = Float64Array.from(groups, (group) => zeros?.[group] ?? 0);
  return { steps: Float64Array.from(groups, (group) => steps[group]!), zeros: own, low: own.map((zero) => low - zero), high: own.map((zero) => high - zero) };
}

function codeAt({ steps, low, high }: Grid, t: number, value: number): number {
  return Math.min(high[t]!, Math.max(low[t]!, roundToEven(value / steps[t]!)));
}

function roundedTo(grid: Grid, weights: Float32Array): Float64Array {
  return Float64Array.from(weights, (weight, t) => codeAt(grid, t, weight));
}

/** For each group the step of those tried at which the errors, each times what flows in there, are least together. */
async function fittedSteps(tensor: Tensor, plan: CodePlan, energies: readonly Float64Array[]): Promise<Float32Array> {
  const parts = plan.range[1] - plan.range[0] > 15 ? FINE_PARTS : COARSE_PARTS;
  const steps = plan.steps.slice();
  const groups = Math.max(1, plan.perChannel);
  const lost = parts.map(() => new Float64Array(groups));
  const settle = (first: number) => {
    for (let group = 0; group < groups; group++) {
      const best = parts.reduce((least, _, i) => (lost[i]![group]! < lost[least]![group]! ? i : least), 0);
      steps[first + group] = plan.steps[first + group]! * parts[best]!;
    }
    for (const sums of lost) sums.fill(0);
  };
  for await (const { channel, weights } of channelsOf(tensor)) {
    const own = energies[Math.floor((channel * energies.length) / tensor.shape[0]!)]!;
    const grid = gridOf(plan, plan.steps, channel, weights.length);
    for (const [i, part] of parts.entries()) {
      for (let t = 0; t < weights.length; t++) {
        const step = Math.fround(grid.steps[t]! * part);
        const code = Math.min(grid.high[t]!, Math.max(grid.low[t]!, roundToEven(weights[t]! / step)));
        lost[i]![plan.perChannel === 0 ? 0 : plan.groupAt(t)]! += own[t]! * (weights[t]! - code * step) ** 2;
      }
    }
    if (plan.perChannel > 0) settle(channel * plan.perChannel);
  }
  if (plan.perChannel === 0) settle(0);
  return steps;
}

/** Rounds one place after the other, with what those before it left; and what is left in the end, for each row. */
function feedback(weights: Float32Array, grid: Grid, { count, depth, data }: Rows, energies: Float64Array) {
  const left = new Float64Array(count);
  const codes = new Float64Array(depth);
  for (let t = 0; t < depth; t++) {
    const at = t * count;
    let sum = 0;
    for (let i = 0; i < count; i++) sum += data[at + i]! * left[i]!;
    const [w, reach] = [weights[t]!, energies[t]!];
    const chosen = codeAt(grid, t, reach > 0 ? w + sum / reach : w);
    codes[t] = chosen;
    const lost = w - chosen * grid.steps[t]!;
    if (lost !== 0) for (let i = 0; i < count; i++) left[i] = left[i]! + lost * data[at + i]!;
  }
  return { codes, left };
}

function energiesOf({ count, depth, data }: Rows): Float64Array {
  const energies = new Float64Array(depth);
  for (let t = 0; t < depth; t++) for (let i = 0; i < count; i++) energies[t] = energies[t]! + data[t * count + i]! ** 2;
  const damping = (DAMPING * energies.reduce((sum, value) => sum + value, 0)) / depth;
  return energies.map((value) => (value > 0 ? value + damping : 0));
}

/** What the channel gives less than it should, for each row. */
function residual(weights: Float32Array, codes: Float64Array, { steps }: Grid, rows: Rows): Float64Array {
  return along(
    codes.map((code, t) => weights[t]! - code * steps[t]!),
    rows,
  );
}

/** Each row times what is at its places. */
function along(factors: Float64Array, { count, depth, data }: Rows): Float64Array {
  const sums = new Float64Array(count);
  for (let t = 0; t < depth; t++) {
    const factor = factors[t]!;
    if (factor !== 0) for (let i = 0; i < count; i++) sums[i] = sums[i]! + factor * data[t * count + i]!;
  }
  return sums;
}

function energy(values: Float64Array, mean: number): number {
  let sum = 0;
  for (const value of values) sum += (value - mean) ** 2;
  return sum;
}

function average(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
