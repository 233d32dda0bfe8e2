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

import { castTensor, toFloat32Array } from '../model/cast.js';
import { roundToEven } from '../model/quantise.js';
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
/** Channels that go through the rows together: what is left of each stays in the processor's cache, and so does the row that all read. */
const TOGETHER = 16;
/** Steps that are tried, as parts of what the largest value asks for: for few codes, also wider ones. */
const FINE_PARTS = [1, 0.95, 0.9, 0.85, 0.8, 0.7] as const;
const COARSE_PARTS = [1, 1.08, 0.93, 0.87, 0.8, 0.73] as const;

/**
 * @param tensor kernel, channels first
 * @param mayMend whether what is left on average can be given back
 * @returns null where rounding is as good
 */
export async function withFeedback(tensor: Tensor, plan: CodePlan, seen: SeenRows, mayMend: boolean): Promise<Improved | null> {
  if (seen.fit.count === 0 || seen.check.count === 0) return null;
  const [out] = tensor.shape as [number];
  const [fits, checks] = [byGroup(seen.fit, tensor), byGroup(seen.check, tensor)];
  const { depth } = fits[0]!;
  const energies = fits.map(energiesOf);
  const places = Int32Array.from({ length: depth }, (_, t) => plan.groupAt(t));
  const steps = plan.isTight ? await fittedSteps(tensor, plan, places, energies) : plan.steps;
  const stored = new Uint8Array(out * depth);
  const means = new Float64Array(out);
  let [rounded, improved, corrected] = [0, 0, 0];
  for await (const block of blocksOf(tensor, fits.length)) {
    const [plain, own] = [plan.steps, steps].map((some) => gridOf(plan, some, places, block)) as [Grid, Grid];
    const { codes, left } = feedback(block, own, fits[block.group]!, energies[block.group]!);
    const check = checks[block.group]!;
    const before = along(lostBy(block, roundedTo(plain, block), plain), check);
    const after = along(lostBy(block, codes, own), check);
    for (const [c, sums] of after.entries()) {
      const mean = average(left[c]!);
      means[block.first + c] = mean;
      rounded += energy(before[c]!, 0);
      improved += energy(sums, 0);
      corrected += energy(sums, mean);
    }
    for (let at = 0; at < codes.length; at++) stored[block.first * depth + at] = codes[at]! + own.zeros[at]!;
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
  const [fits, checks] = [byGroup(fit, tensor), byGroup(check, tensor)];
  const means = new Float64Array(tensor.shape[0]!);
  let [before, after] = [0, 0];
  const others = blocksOf(made, fits.length);
  for await (const { first, group, values } of blocksOf(tensor, fits.length)) {
    const other = (await others.next()).value!.values;
    const lost = Float64Array.from(values, (value, at) => value - other[at]!);
    const checked = along(lost, checks[group]!);
    for (const [c, sums] of along(lost, fits[group]!).entries()) {
      const mean = average(sums);
      means[first + c] = mean;
      before += energy(checked[c]!, 0);
      after += energy(checked[c]!, mean);
    }
  }
  return after < before * LEAST_GAIN ? means : null;
}

/** The rows of each group of a convolution, whose kernels see a part of the channels. */
function byGroup({ count, depth, data }: Rows, { shape }: Tensor): Rows[] {
  const own = shape.slice(1).reduce((a, b) => a * b, 1);
  return Array.from({ length: depth / own }, (_, i) => ({ count, depth: own, data: data.subarray(i * own * count, (i + 1) * own * count) }));
}

/** Some channels of a kernel, which see the same rows. */
interface Block {
  readonly first: number;
  /** Of the convolution's groups. */
  readonly group: number;
  /** [channels, depth] */
  readonly values: Float32Array;
}

async function* blocksOf(tensor: Tensor, groups: number): AsyncGenerator<Block, undefined> {
  const perGroup = tensor.shape[0]! / groups;
  for (let group = 0; group < groups; group++) {
    for (let first = group * perGroup; first < (group + 1) * perGroup; first += TOGETHER) {
      const end = Math.min((group + 1) * perGroup, first + TOGETHER);
      yield { first, group, values: toFloat32Array(await tensorBytes(castTensor(sliceAxis(tensor, 0, first, end), 'float32')), 'float32') };
    }
  }
  return undefined;
}

/** What the places of some channels may hold: value = step * code, codes counted from that of zero. */
interface Grid {
  readonly steps: Float32Array;
  readonly zeros: Uint8Array;
  readonly low: number;
  readonly high: number;
}

/** @param places which of its channel's groups each place is in */
function gridOf({ perChannel, zeros, range: [low, high] }: CodePlan, steps: Float32Array, places: Int32Array, { first, values }: Block): Grid {
  const grid = { steps: new Float32Array(values.length), zeros: new Uint8Array(values.length), low, high };
  const depth = places.length;
  for (let at = 0, channel = first; at < values.length; at += depth, channel++) {
    for (let t = 0; t < depth; t++) {
      const group = channel * perChannel + places[t]!;
      grid.steps[at + t] = steps[group]!;
      if (zeros) grid.zeros[at + t] = zeros[group]!;
    }
  }
  return grid;
}

function codeAt({ steps, zeros, low, high }: Grid, at: number, value: number): number {
  const zero = zeros[at]!;
  return Math.min(high - zero, Math.max(low - zero, roundToEven(value / steps[at]!)));
}

function roundedTo(grid: Grid, { values }: Block): Float64Array {
  const codes = new Float64Array(values.length);
  for (let at = 0; at < codes.length; at++) codes[at] = codeAt(grid, at, values[at]!);
  return codes;
}

function lostBy({ values }: Block, codes: Float64Array, { steps }: Grid): Float64Array {
  return codes.map((code, at) => values[at]! - code * steps[at]!);
}

/** For each group the step of those tried at which the errors, each times what flows in there, are least together. */
async function fittedSteps(tensor: Tensor, plan: CodePlan, places: Int32Array, energies: readonly Float64Array[]): Promise<Float32Array> {
  const parts = plan.range[1] - plan.range[0] > 15 ? FINE_PARTS : COARSE_PARTS;
  const steps = plan.steps.slice();
  const groups = Math.max(1, plan.perChannel);
  const depth = places.length;
  const lost = parts.map(() => new Float64Array(groups));
  const settle = (first: number) => {
    for (let group = 0; group < groups; group++) {
      const best = parts.reduce((least, _, i) => (lost[i]![group]! < lost[least]![group]! ? i : least), 0);
      steps[first + group] = plan.steps[first + group]! * parts[best]!;
    }
    for (const sums of lost) sums.fill(0);
  };
  for await (const block of blocksOf(tensor, energies.length)) {
    const own = energies[block.group]!;
    for (let start = 0, channel = block.first; start < block.values.length; start += depth, channel++) {
      for (const [i, part] of parts.entries()) {
        const sums = lost[i]!;
        for (let t = 0; t < depth; t++) {
          const group = channel * plan.perChannel + places[t]!;
          const step = Math.fround(plan.steps[group]! * part);
          const [value, zero] = [block.values[start + t]!, plan.zeros?.[group] ?? 0];
          const code = Math.min(plan.range[1] - zero, Math.max(plan.range[0] - zero, roundToEven(value / step)));
          const error = value - code * step;
          sums[places[t]!]! += own[t]! * error * error;
        }
      }
      if (plan.perChannel > 0) settle(channel * plan.perChannel);
    }
  }
  if (plan.perChannel === 0) settle(0);
  return steps;
}

/** Rounds one place after the other, with what those before it left; and what is left of each channel in the end, for each row. */
function feedback({ values }: Block, grid: Grid, { count, depth, data }: Rows, energies: Float64Array) {
  const left = Array.from({ length: values.length / depth }, () => new Float64Array(count));
  const codes = new Float64Array(values.length);
  for (let t = 0; t < depth; t++) {
    const row = data.subarray(t * count, (t + 1) * count);
    const reach = energies[t]!;
    for (let c = 0; c < left.length; c++) {
      const [at, own] = [c * depth + t, left[c]!];
      const weight = values[at]!;
      const chosen = codeAt(grid, at, reach > 0 ? weight + product(row, own) / reach : weight);
      codes[at] = chosen;
      addTo(own, row, weight - chosen * grid.steps[at]!);
    }
  }
  return { codes, left };
}

/** Four sums at a time, which need not wait for each other. */
function product(row: Float32Array, left: Float64Array): number {
  let [a, b, c, d, i] = [0, 0, 0, 0, 0];
  for (; i + 3 < row.length; i += 4) {
    a += row[i]! * left[i]!;
    b += row[i + 1]! * left[i + 1]!;
    c += row[i + 2]! * left[i + 2]!;
    d += row[i + 3]! * left[i + 3]!;
  }
  for (; i < row.length; i++) a += row[i]! * left[i]!;
  return a + b + c + d;
}

function addTo(sums: Float64Array, row: Float32Array, factor: number): void {
  if (factor !== 0) for (let i = 0; i < row.length; i++) sums[i]! += factor * row[i]!;
}

function energiesOf({ count, depth, data }: Rows): Float64Array {
  const energies = new Float64Array(depth);
  for (let t = 0; t < depth; t++) for (let i = 0; i < count; i++) energies[t] = energies[t]! + data[t * count + i]! ** 2;
  const damping = (DAMPING * energies.reduce((sum, value) => sum + value, 0)) / depth;
  return energies.map((value) => (value > 0 ? value + damping : 0));
}

/** For each channel what rows make of values at its places. @param factors [channels, depth] */
function along(factors: Float64Array, { count, depth, data }: Rows): Float64Array[] {
  const sums = Array.from({ length: factors.length / depth }, () => new Float64Array(count));
  for (let t = 0; t < depth; t++) {
    const row = data.subarray(t * count, (t + 1) * count);
    for (let c = 0; c < sums.length; c++) addTo(sums[c]!, row, factors[c * depth + t]!);
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
