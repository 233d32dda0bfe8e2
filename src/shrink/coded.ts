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
import { dequantiseAffine, dequantiseChannels, quantiseAffine, quantiseChannels } from '../model/quantise.js';
import { elementCount, type Tensor, tensorChunks } from '../model/tensor.js';
import { blockedWeight } from './blocks.js';
import { standIn } from './stand-in.js';

/** How the target keeps codes: a step for each channel, or one for the whole weight. */
export type CodeForm = 'channels' | 'whole';

/** What a weight becomes: wide, in codes of 4 bits, or of 8 in steps of so many standard deviations; 'full' takes all codes that there are. */
export type Level = 'float32' | 'float16' | 'full' | CodeRange | number;

/** Levels of 8 bits, whose steps are one for each channel or one for all. */
export type StepLevel = 'full' | number;
export const isStepLevel = (level: Level): level is StepLevel => level === 'full' || typeof level === 'number';

export interface Spread {
  /** Standard deviation of each channel about zero, and the largest magnitude; of a single one for the whole weight. */
  readonly deviation: Float64Array;
  readonly largest: Float64Array;
  readonly min: number;
  readonly max: number;
}

export const INT8_MAX = 127;
const UINT8_MAX = 255;

/** One streaming pass. @throws ModelError 'unsupported' where values are not finite */
export async function spreadOf(tensor: Tensor, axis: number, form: CodeForm): Promise<Spread> {
  const channels = form === 'channels' ? tensor.shape[axis]! : 1;
  const inner = form === 'channels' ? elementCount(tensor.shape.slice(axis + 1)) : elementCount(tensor.shape);
  const [squares, largest] = [new Float64Array(channels), new Float64Array(channels)];
  let [min, max, position] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0];
  for await (const chunk of tensorChunks(castTensor(tensor, 'float32'))) {
    const values = new Float32Array(chunk.buffer, chunk.byteOffset, chunk.byteLength / 4);
    for (let start = 0; start < values.length; ) {
      const channel = Math.floor((position + start) / inner) % channels;
      const end = Math.min(values.length, start + inner - ((position + start) % inner));
      let [sum, most] = [squares[channel]!, largest[channel]!];
      for (let i = start; i < end; i++) {
        const value = values[i]!;
        sum += value * value;
        if (value < min) min = value;
        if (value > max) max = value;
        if (Math.abs(value) > most) most = Math.abs(value);
      }
      squares[channel] = sum;
      largest[channel] = most;
      start = end;
    }
    position += values.length;
  }
  if (!squares.every(Number.isFinite))
    throw new ModelError('unsupported', 'holds NaN or infinite values, which codes cannot hold', { file: tensor.origin.file, tensor: tensor.name });
  const each = elementCount(tensor.shape) / channels;
  return { deviation: squares.map((sum) => Math.sqrt(sum / each)), largest, min, max };
}

/** The step of each channel: no value is beyond the codes, however small the step that was asked for. */
export function stepsFor({ deviation, largest, min, max }: Spread, form: CodeForm, level: 'full' | number): Float32Array {
  return Float32Array.from(deviation, (sigma, c) => {
    const least = form === 'channels' ? largest[c]! / INT8_MAX : (Math.max(0, max) - Math.min(0, min)) / UINT8_MAX;
    const step = level === 'full' ? least : Math.max(least, level * sigma);
    return Math.fround(step) > 0 ? step : 1;
  });
}

/** How a weight is coded. */
export interface CodePlan {
  readonly dtype: 'int8' | 'uint8';
  /** One for each channel, or one for all. */
  readonly steps: Float32Array;
  /** The code of zero. */
  readonly zero: number;
  /** The code, counted from that of zero, of a value in steps. */
  readonly code: (value: number) => number;
  readonly method: string;
}

export async function planCodes(tensor: Tensor, axis: number, form: CodeForm, level: 'full' | number): Promise<CodePlan> {
  const spread = await spreadOf(tensor, axis, form);
  const steps = stepsFor(spread, form, level);
  const dtype = form === 'channels' ? 'int8' : 'uint8';
  // In the middle of what the range leaves free on both sides.
  const zero = form === 'channels' ? 0 : Math.min(UINT8_MAX, Math.max(0, Math.round((UINT8_MAX - (spread.max + spread.min) / steps[0]!) / 2)));
  const [low, high] = form === 'channels' ? [-INT8_MAX, INT8_MAX] : [-zero, UINT8_MAX - zero];
  const code = (value: number) => Math.min(high, Math.max(low, Math.round(value)));
  return { dtype, steps, zero, code, method: `${dtype}, ${level === 'full' ? 'all levels' : `steps of ${level} deviations`}` };
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
  if (!isStepLevel(level)) return blockedWeight(tensor, axis, level, block);
  const { steps, zero, method } = await planCodes(tensor, axis, form, level);
  if (form === 'channels') return standIn(tensor, dequantiseChannels(quantiseChannels(tensor, axis, steps), axis, steps), method);
  const quantisation = { dtype: 'uint8', scale: steps[0]!, min: 0 - zero * steps[0]! } as const;
  return standIn(tensor, dequantiseAffine(quantiseAffine(tensor, quantisation), quantisation), method);
}
