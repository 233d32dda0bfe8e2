/**
 * Codes that are better than rounding: each value of an output channel is rounded so that the error which those before it have left in what
 * the channel gives is taken back, as far as the inputs seen tell. The greedy path of GPFQ; its memory is inputs times values of one channel.
 *
 * Codes that fit the inputs seen may fit others worse, where there are fewer inputs than values. So what the channel gives on other inputs decides,
 * weight by weight, and rounding stays where it is as good. What is left of the error on average goes into the bias.
 *
 * @see Lybrand and Saab, "A greedy algorithm for quantizing neural networks", JMLR 2021, algorithm 1
 */
import { castTensor, toFloat32Array } from '../model/cast.js';
import { dequantiseAffine, dequantiseChannels } from '../model/quantise.js';
import { constantTensor, float32Tensor, sliceAxis, type Tensor, tensorBytes } from '../model/tensor.js';
import type { CodePlan } from './coded.js';
import type { Rows, SeenRows } from './patches.js';
import { standIn } from './stand-in.js';

export interface Improved {
  readonly kernel: Tensor;
  /** Null where there is no bias, or it stays. */
  readonly bias: Tensor | null;
  /** Energy of the error on inputs that codes were not worked out with, of rounding and of these. */
  readonly rounded: number;
  readonly improved: number;
}

/** How much of the mean energy is added to each place: what hardly any input reaches is left to rounding. */
const DAMPING = 0.02;
/** Less than this is chance. */
const LEAST_GAIN = 0.98;
/** Values of channels that are held at a time. */
const BLOCK_VALUES = 2 ** 20;

/**
 * @param tensor kernel, channels first
 * @param bias one for each channel
 * @returns null where rounding is as good
 */
export async function withFeedback(tensor: Tensor, bias: Tensor | undefined, plan: CodePlan, { fit, check }: SeenRows): Promise<Improved | null> {
  const [out] = tensor.shape as [number];
  const { depth } = fit;
  if (fit.count === 0 || check.count === 0) return null;
  const energies = energiesOf(fit);
  const codes = new Uint8Array(out * depth);
  const means = new Float64Array(out);
  let [rounded, improved, corrected] = [0, 0, 0];
  const perBlock = Math.max(1, Math.floor(BLOCK_VALUES / depth));
  for (let start = 0; start < out; start += perBlock) {
    const end = Math.min(out, start + perBlock);
    const values = toFloat32Array(await tensorBytes(castTensor(sliceAxis(tensor, 0, start, end), 'float32')), 'float32');
    for (let channel = start; channel < end; channel++) {
      const weights = values.subarray((channel - start) * depth, (channel - start + 1) * depth);
      const step = plan.steps[plan.steps.length === 1 ? 0 : channel]!;
      const own = Float64Array.from(weights, (w) => plan.code(w / step));
      const better = feedback(weights, step, plan.code, fit, energies);
      const [before, after] = [residual(weights, own, step, check), residual(weights, better, step, check)];
      const mean = average(residual(weights, better, step, fit));
      means[channel] = mean;
      rounded += energy(before, 0);
      improved += energy(after, 0);
      corrected += energy(after, mean);
      for (let t = 0; t < depth; t++) codes[channel * depth + t] = better[t]! + plan.zero;
    }
  }
  const mends = bias !== undefined && corrected < improved * LEAST_GAIN;
  const least = mends ? corrected : improved;
  if (!(least < rounded * LEAST_GAIN)) return null;
  const stored = constantTensor(tensor.name, plan.dtype, tensor.shape, codes, tensor.origin);
  const [scale] = plan.steps as unknown as [number];
  const wide =
    plan.dtype === 'int8' ? dequantiseChannels(stored, 0, plan.steps) : dequantiseAffine(stored, { dtype: plan.dtype, scale, min: 0 - plan.zero * scale });
  return { kernel: standIn(tensor, wide, `${plan.method}, error fed back`), bias: mends ? await mended(bias, means) : null, rounded, improved: least };
}

/** Rounds one place after the other, with what those before it left. */
function feedback(weights: Float32Array, step: number, code: CodePlan['code'], { count, depth, data }: Rows, energies: Float64Array): Float64Array {
  const left = new Float64Array(count);
  const codes = new Float64Array(depth);
  for (let t = 0; t < depth; t++) {
    const at = t * count;
    let along = 0;
    for (let i = 0; i < count; i++) along += data[at + i]! * left[i]!;
    const [w, reach] = [weights[t]!, energies[t]!];
    const chosen = code((reach > 0 ? w + along / reach : w) / step);
    codes[t] = chosen;
    const lost = w - chosen * step;
    if (lost !== 0) for (let i = 0; i < count; i++) left[i] = left[i]! + lost * data[at + i]!;
  }
  return codes;
}

function energiesOf({ count, depth, data }: Rows): Float64Array {
  const energies = new Float64Array(depth);
  for (let t = 0; t < depth; t++) for (let i = 0; i < count; i++) energies[t] = energies[t]! + data[t * count + i]! ** 2;
  const damping = (DAMPING * energies.reduce((sum, value) => sum + value, 0)) / depth;
  return energies.map((value) => (value > 0 ? value + damping : 0));
}

/** What the channel gives less than it should, for each row. */
function residual(weights: Float32Array, codes: Float64Array, step: number, { count, depth, data }: Rows): Float64Array {
  const left = new Float64Array(count);
  for (let t = 0; t < depth; t++) {
    const lost = weights[t]! - codes[t]! * step;
    if (lost !== 0) for (let i = 0; i < count; i++) left[i] = left[i]! + lost * data[t * count + i]!;
  }
  return left;
}

function energy(values: Float64Array, mean: number): number {
  let sum = 0;
  for (const value of values) sum += (value - mean) ** 2;
  return sum;
}

function average(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

async function mended(bias: Tensor, means: Float64Array): Promise<Tensor> {
  const values = toFloat32Array(await tensorBytes(castTensor(bias, 'float32')), 'float32');
  if (values.length !== means.length) return bias;
  const made = float32Tensor(
    bias.name,
    bias.shape,
    values.map((value, i) => value + means[i]!),
    bias.origin,
  );
  return standIn(bias, made, 'float32, corrected');
}
