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
import { FeedbackBench, type GroupSteps } from './feedback-bench.js';
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
  const fits = byGroup(seen.fit, tensor);
  const { depth } = fits[0]!;
  const energies = fits.map(energiesOf);
  const places = Int32Array.from({ length: depth }, (_, t) => plan.groupAt(t));
  const steps = plan.isTight ? await fittedSteps(tensor, plan, places, energies) : plan.steps;
  const zeros = plan.zeros && new Uint8Array(plan.zeros);
  const stored = new Uint8Array(out * depth);
  const means = new Float64Array(out);
  let [rounded, improved, corrected] = [0, 0, 0];
  const bench = new FeedbackBench(seen, depth, TOGETHER, Math.min(plan.steps.length, Math.max(1, plan.perChannel) * TOGETHER));
  try {
    for await (const block of blocksOf(tensor, fits.length)) {
      bench.load(block.values, block.group);
      bench.round(stepsOf(plan, plan.steps, zeros, places, block));
      for (const sums of bench.along('check')) rounded += energy(sums, 0);
      const { codes, left } = bench.feedback(energies[block.group]!, stepsOf(plan, steps, zeros, places, block));
      stored.set(codes, block.first * depth);
      for (const [c, sums] of left.entries()) means[block.first + c] = average(sums);
      for (const [c, sums] of bench.along('check').entries()) {
        improved += energy(sums, 0);
        corrected += energy(sums, means[block.first + c]!);
      }
    }
  } finally {
    bench.close();
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
  const groups = byGroup(fit, tensor);
  const means = new Float64Array(tensor.shape[0]!);
  let [before, after] = [0, 0];
  const others = blocksOf(made, groups.length);
  const bench = new FeedbackBench({ fit, check }, groups[0]!.depth, TOGETHER, 0);
  try {
    for await (const { first, group, values } of blocksOf(tensor, groups.length)) {
      const other = (await others.next()).value!.values;
      bench.load(values, group);
      bench.lose(Float64Array.from(values, (value, at) => value - other[at]!));
      for (const [c, sums] of bench.along('fit').entries()) means[first + c] = average(sums);
      for (const [c, sums] of bench.along('check').entries()) {
        before += energy(sums, 0);
        after += energy(sums, means[first + c]!);
      }
    }
  } finally {
    bench.close();
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

/** How the channels of a block are coded, in steps of the plan or others. @param places which of its channel's groups each place is in */
function stepsOf(plan: CodePlan, steps: Float32Array, zeros: Uint8Array | null, places: Int32Array, { first, values }: Block): GroupSteps {
  const { perChannel, range } = plan;
  const [start, end] = perChannel === 0 ? [0, steps.length] : [first * perChannel, (first + values.length / places.length) * perChannel];
  return { steps: steps.subarray(start, end), zeros: zeros?.subarray(start, end) ?? null, perChannel, places, low: range[0], high: range[1] };
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

function energiesOf({ count, depth, data }: Rows): Float64Array {
  const energies = new Float64Array(depth);
  for (let t = 0; t < depth; t++) for (let i = 0; i < count; i++) energies[t] = energies[t]! + data[t * count + i]! ** 2;
  const damping = (DAMPING * energies.reduce((sum, value) => sum + value, 0)) / depth;
  return energies.map((value) => (value > 0 ? value + damping : 0));
}

function energy(values: Float64Array, mean: number): number {
  let sum = 0;
  for (const value of values) sum += (value - mean) ** 2;
  return sum;
}

function average(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
