/**
 * Weights in codes of few bits whose scale is that of a block of neighbours along one axis, as ONNX has it from opset 21 on: value = scale *
 * (code - zero), a scale and a zero for each block. A block as long as its axis allows one scale for each output channel as well.
 *
 * A step of four bits is wide, so where a block's scale lies matters: several are tried, and the one that loses least is taken.
 *
 * @see https://onnx.ai/onnx/operators/onnx__DequantizeLinear.html, block_size
 */
import { ModelError } from '../errors.js';
import type { BlockCodes } from './block-form.js';
import { castTensor } from './cast.js';
import { ChannelCursor } from './channel-cursor.js';
import { dequantiseAlong } from './quantise.js';
import { elementCount, type Loop, type Path, permute, rowMajorStrides, type Stage, type Tensor, tensorChunks, withStage } from './tensor.js';

/** Codes that there are. */
export type CodeRange = 'int4' | 'uint4';

/** The first and the last of each. */
export const CODE_RANGES: Readonly<Record<CodeRange, readonly [low: number, high: number]>> = { int4: [-8, 7], uint4: [0, 15] };
/** Largest magnitudes that are put where the last code is, by which code that is: the values beyond are held at it. */
const REACHES = [8, 7.5, 7, 7.9 / 0.9, 7.9 / 0.8] as const;
/** The same for codes with a zero point: parts of the range that are covered. */
const PARTS = [1, 0.93, 0.85] as const;

export function dequantiseBlocks(tensor: Tensor, codes: Omit<BlockCodes, 'kind'>): Tensor {
  return dequantiseAlong(tensor, blockPath(tensor.shape, codes), codes.scales, codes.zeroPoints);
}

/** Codes of a weight, an element a byte. Values beyond the codes are held at the last. */
export function quantiseBlocks(tensor: Tensor, codes: Omit<BlockCodes, 'kind'>, range: CodeRange): Tensor {
  return encodeAlong(tensor, blockPath(tensor.shape, codes), codes, range);
}

/** The same, one scale for each place along an axis. */
export function quantiseFew(tensor: Tensor, axis: number, codes: Pick<BlockCodes, 'scales' | 'zeroPoints'>, range: CodeRange): Tensor {
  const path = { offset: 0, axes: tensor.shape.map((size, i) => [{ size, stride: i === axis ? 1 : 0 }]) };
  return encodeAlong(tensor, path, codes, range);
}

function encodeAlong(tensor: Tensor, own: Path, { scales, zeroPoints }: Pick<BlockCodes, 'scales' | 'zeroPoints'>, range: CodeRange): Tensor {
  const [low, high] = CODE_RANGES[range];
  const zeros = zeroPoints ?? new Uint8Array(scales.length);
  const begin = (path: Path): Stage['apply'] => {
    const cursor = new ChannelCursor(path);
    const { offsets } = cursor;
    return (input) => {
      const values = new Float32Array(input.buffer, input.byteOffset, input.byteLength / 4);
      const codes = new Int8Array(values.length);
      for (let start = 0; start < values.length; ) {
        const { base, at, count } = cursor.next(values.length - start);
        for (let i = 0; i < count; i++) {
          const place = offsets ? base + offsets[at + i]! : base;
          const code = roundToEven(values[start + i]! / scales[place]!) + zeros[place]!;
          codes[start + i] = Math.max(low, Math.min(high, code));
        }
        start += count;
      }
      return new Uint8Array(codes.buffer);
    };
  };
  const dtype = range === 'int4' ? 'int8' : 'uint8';
  return withStage(castTensor(tensor, 'float32'), { dtype, bits: 4, ...own, begin });
}

/** The path over the parameters of a row-major tensor. */
function blockPath(shape: readonly number[], { axis, size, shape: parameters }: Pick<BlockCodes, 'axis' | 'size' | 'shape'>): Path {
  const strides = rowMajorStrides(parameters);
  const axes = shape.map((count, i): Loop[] => {
    const stride = strides[i]!;
    if (i !== axis) return [{ size: count, stride }];
    return [
      { size: count / size, stride },
      { size, stride: 0 },
    ];
  });
  return { offset: 0, axes };
}

/**
 * Scales for blocks along an axis, in one streaming pass.
 *
 * @param size divides the axis
 * @throws ModelError 'unsupported' where values are not finite
 */
export async function measureBlocks(tensor: Tensor, axis: number, size: number, range: CodeRange): Promise<BlockCodes> {
  const shape = tensor.shape.with(axis, tensor.shape[axis]! / size);
  const inner = elementCount(tensor.shape.slice(axis + 1));
  return { kind: 'blocks', axis, size, shape, ...(await measureGroups(tensor, size, inner, range)) };
}

/** Scales for each place along an axis. */
export async function measureFew(tensor: Tensor, axis: number, range: CodeRange): Promise<Pick<BlockCodes, 'scales' | 'zeroPoints'>> {
  const order = [axis, ...tensor.shape.map((_, i) => i).filter((i) => i !== axis)];
  return measureGroups(permute(tensor, order), elementCount(tensor.shape) / tensor.shape[axis]!, 1, range);
}

/** @param inner groups lie in each other, so many at a time: one value of each after the other */
async function measureGroups(tensor: Tensor, size: number, inner: number, range: CodeRange): Promise<Pick<BlockCodes, 'scales' | 'zeroPoints'>> {
  const scales = new Float32Array(elementCount(tensor.shape) / size);
  const zeroPoints = new Uint8Array(range === 'uint4' ? scales.length : 0);
  const held = new Float32Array(size * inner);
  const group = new Float32Array(size);
  let [filled, at] = [0, 0];
  for await (const chunk of tensorChunks(castTensor(tensor, 'float32'))) {
    const values = new Float32Array(chunk.buffer, chunk.byteOffset, chunk.byteLength / 4);
    for (let start = 0; start < values.length; ) {
      const taken = Math.min(held.length - filled, values.length - start);
      held.set(values.subarray(start, start + taken), filled);
      [filled, start] = [filled + taken, start + taken];
      if (filled < held.length) break;
      for (let i = 0; i < inner; i++, at++) {
        if (inner === 1) group.set(held);
        else for (let k = 0; k < size; k++) group[k] = held[k * inner + i]!;
        if (range === 'int4') scales[at] = scaleOf(group, tensor);
        else [scales[at], zeroPoints[at]] = scaleAndZero(group, tensor);
      }
      filled = 0;
    }
  }
  return { scales, ...(range === 'uint4' ? { zeroPoints } : {}) };
}

function scaleOf(group: Float32Array, tensor: Tensor): number {
  let largest = 0;
  for (const value of group) {
    const magnitude = Math.abs(value);
    if (!(magnitude <= largest)) largest = magnitude;
  }
  if (!Number.isFinite(largest)) throw notFinite(tensor);
  if (!(Math.fround(largest / 8) > 0)) return 1;
  let [best, least] = [1, Number.POSITIVE_INFINITY];
  for (const reach of REACHES) {
    const scale = Math.fround(largest / reach);
    let lost = 0;
    for (let i = 0; i < group.length; i++) {
      const code = roundToEven(group[i]! / scale);
      const error = group[i]! - Math.max(-8, Math.min(7, code)) * scale;
      lost += error * error;
    }
    if (lost < least) [best, least] = [scale, lost];
  }
  return best;
}

/** Zero is a code: what was pruned or padded stays zero. */
function scaleAndZero(group: Float32Array, tensor: Tensor): [scale: number, zero: number] {
  let [min, max] = [0, 0];
  for (const value of group) {
    if (!Number.isFinite(value)) throw notFinite(tensor);
    if (value < min) min = value;
    if (value > max) max = value;
  }
  if (!(Math.fround((max - min) / 15) > 0)) return [1, 0];
  let best: [number, number] = [1, 0];
  let least = Number.POSITIVE_INFINITY;
  for (const part of PARTS) {
    const scale = Math.fround(((max - min) * part) / 15);
    const zero = Math.min(15, Math.max(0, Math.round((-min * part) / scale)));
    let lost = 0;
    for (let i = 0; i < group.length; i++) {
      const code = roundToEven(group[i]! / scale) + zero;
      const error = group[i]! - (Math.max(0, Math.min(15, code)) - zero) * scale;
      lost += error * error;
    }
    if (lost < least) [best, least] = [[scale, zero], lost];
  }
  return best;
}

/** To nearest, ties to even: adding this leaves no bits behind the point. */
const WHOLE = 1.5 * 2 ** 52;

export function roundToEven(value: number): number {
  return value + WHOLE - WHOLE;
}

function notFinite({ name, origin }: Tensor): ModelError {
  return new ModelError('unsupported', 'holds NaN or infinite values, which codes cannot hold', { file: origin.file, tensor: name });
}
