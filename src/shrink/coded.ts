/**
 * Weights of few levels: codes of 8 bits, whose step is wider than their range asks for, so that few of the codes occur. On disk they take what
 * int8 takes; over the wire, with Huffman codes, little more than their entropy.
 *
 * A uniform step is within 0.25 bits of what any code of the same error takes, and every runtime has it: `DequantizeLinear` in ONNX, one scale and
 * minimum in TensorFlow.js.
 */
import { ModelError } from '../errors.js';
import type { CodeRange } from '../model/block-codes.js';
import { castTensor } from '../model/cast.js';
import { dequantiseAffine, dequantiseChannels, floatPieces, quantiseAffine, quantiseChannels } from '../model/quantise.js';
import { QuantiseBench } from '../model/quantise-bench.js';
import { elementCount, type Tensor } from '../model/tensor.js';
import { blockedWeight } from './blocks.js';
import type { CodePlan } from './code-plan.js';
import { palettedWeight, SEARCHED_PALETTE } from './paletted.js';
import { standIn } from './stand-in.js';

/** How the target keeps codes: a step for each channel, or one for the whole weight. */
export type CodeForm = 'channels' | 'whole';

/** What a weight becomes: wide, in codes of 4 bits, places in a palette, or codes of 8 bits in steps of so many standard deviations; 'full' takes all codes that there are. */
export type Level = 'float32' | 'float16' | 'full' | 'palette' | CodeRange | number;

/** Levels of 8 bits, whose steps are one for each channel or one for all. */
export type StepLevel = 'full' | number;
export const isStepLevel = (level: Level): level is StepLevel => level === 'full' || typeof level === 'number';

/** Whether a weight is in codes of even steps. */
export const isCodes = (level: Level): level is StepLevel | CodeRange => isStepLevel(level) || level === 'int4' || level === 'uint4';

export interface Spread {
  /** Standard deviation of each channel about zero, and the largest magnitude; of a single one for the whole weight. */
  readonly deviation: Float64Array;
  readonly largest: Float64Array;
  readonly min: number;
  readonly max: number;
}

export const INT8_MAX = 127;
const UINT8_MAX = 255;

/** Shorter runs of one channel are not worth a call of the kernel. */
const LEAST_RUN = 16;

/** One streaming pass. @throws ModelError 'unsupported' where values are not finite */
export async function spreadOf(tensor: Tensor, axis: number, form: CodeForm): Promise<Spread> {
  const channels = form === 'channels' ? tensor.shape[axis]! : 1;
  const inner = form === 'channels' ? elementCount(tensor.shape.slice(axis + 1)) : elementCount(tensor.shape);
  const [squares, largest] = [new Float64Array(channels), new Float64Array(channels)];
  let [min, max, position] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0];
  const bench = new QuantiseBench();
  for await (const values of floatPieces(tensor)) {
    bench.load(values);
    for (let start = 0; start < values.length; ) {
      const channel = Math.floor((position + start) / inner) % channels;
      const count = Math.min(values.length - start, inner - ((position + start) % inner));
      const found = count < LEAST_RUN ? plainSpread(values.subarray(start, start + count), squares[channel]!) : bench.spread(start, count, squares[channel]!);
      squares[channel] = found.sum;
      largest[channel] = Math.max(largest[channel]!, Math.abs(found.min), Math.abs(found.max));
      min = Math.min(min, found.min);
      max = Math.max(max, found.max);
      start += count;
    }
    position += values.length;
  }
  if (!squares.every(Number.isFinite))
    throw new ModelError('unsupported', 'holds NaN or infinite values, which codes cannot hold', { file: tensor.origin.file, tensor: tensor.name });
  const each = elementCount(tensor.shape) / channels;
  return { deviation: squares.map((sum) => Math.sqrt(sum / each)), largest, min, max };
}

/** As the kernel does it. */
function plainSpread(values: Float32Array, sum: number): { sum: number; min: number; max: number } {
  let [min, max] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) {
    sum += value * value;
    if (value < min) min = value;
    if (value > max) max = value;
  }
  return { sum, min, max };
}

/** The step of each channel: no value is beyond the codes, however small the step that was asked for. */
export function stepsFor({ deviation, largest, min, max }: Spread, form: CodeForm, level: 'full' | number): Float32Array {
  return Float32Array.from(deviation, (sigma, c) => {
    const least = form === 'channels' ? largest[c]! / INT8_MAX : (Math.max(0, max) - Math.min(0, min)) / UINT8_MAX;
    const step = level === 'full' ? least : Math.max(least, level * sigma);
    return Math.fround(step) > 0 ? step : 1;
  });
}

/** @param axis of the channels, of which there is a step each, or one for all */
export async function planCodes(tensor: Tensor, axis: number, form: CodeForm, level: StepLevel): Promise<CodePlan> {
  const spread = await spreadOf(tensor, axis, form);
  const steps = stepsFor(spread, form, level);
  const told = { steps, groupAt: () => 0, isTight: level === 'full' };
  const levels = level === 'full' ? 'in all levels' : `in steps of ${level} deviations`;
  if (form === 'channels') {
    const widened = (codes: Tensor, own: Float32Array) => dequantiseChannels(codes, axis, own);
    return { ...told, range: [-INT8_MAX, INT8_MAX], zeros: null, perChannel: 1, method: `int8 ${levels}`, widened };
  }
  // In the middle of what the range leaves free on both sides.
  const zero = Math.min(UINT8_MAX, Math.max(0, Math.round((UINT8_MAX - (spread.max + spread.min) / steps[0]!) / 2)));
  const widened = (codes: Tensor, [step]: Float32Array) => dequantiseAffine(codes, { dtype: 'uint8', scale: step!, min: 0 - zero * step! });
  return { ...told, range: [0, UINT8_MAX], zeros: [zero], perChannel: 0, method: `uint8 ${levels}`, widened };
}

/**
 * The tensor that stands for a weight: float32 values that are codes times a step, which writers keep as the codes.
 *
 * @param axis of the channels
 * @param block of codes of 4 bits, at most
 */
export async function codedWeight(tensor: Tensor, axis: number, form: CodeForm, level: Level, block?: number): Promise<Tensor> {
  if (level === 'float32') return tensor;
  if (level === 'float16') return standIn(tensor, castTensor(castTensor(tensor, 'float16'), 'float32'), 'float16');
  if (level === 'palette') return palettedWeight(tensor, SEARCHED_PALETTE);
  if (!isStepLevel(level)) return blockedWeight(tensor, axis, level, block);
  const { steps, zeros, method, widened } = await planCodes(tensor, axis, form, level);
  const min = 0 - (zeros?.[0] ?? 0) * steps[0]!;
  const codes = form === 'channels' ? quantiseChannels(tensor, axis, steps) : quantiseAffine(tensor, { dtype: 'uint8', scale: steps[0]!, min });
  return standIn(tensor, widened(codes, steps), method);
}
