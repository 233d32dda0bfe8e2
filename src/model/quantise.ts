/**
 * Weights in 8 or 16 bit integers, and back: lazy stages like casts, and the streaming passes that measure their scales.
 *
 * Two forms, as the targets have them. Affine, one for the whole tensor, is TensorFlow.js's: value = min + scale * q, with min and
 * scale in float64, nudged so that zero is exact where it lies in the range. Symmetric per channel is what ONNX files carry behind
 * `DequantizeLinear`: value = scale[channel] * q, in float32, q from -127 to 127. Both round to nearest, ties to even, and are worked
 * out in float64, in which the quotient of two float32 falls on the side of a tie on which it lies.
 *
 * @see https://github.com/tensorflow/tfjs, tfjs-converter/python/tensorflowjs/quantization.py
 * @see https://onnx.ai/onnx/operators/onnx__DequantizeLinear.html
 */
import { ModelError } from '../errors.js';
import { castTensor } from './cast.js';
import { ChannelCursor, KERNEL_GROUP, plainRun } from './channel-cursor.js';
import { DTYPE_BYTES, type DType } from './dtype.js';
import { type CodeLimits, type Parameters, PIECE_VALUES, QuantiseBench } from './quantise-bench.js';
import { elementCount, type Loop, type Path, rowMajorStrides, type Stage, type Tensor, tensorChunks, withStage } from './tensor.js';

/** value ≈ min + scale * q, q in 0..255 or 0..65535 */
export interface AffineQuantisation {
  readonly dtype: 'uint8' | 'uint16';
  readonly scale: number;
  readonly min: number;
}

export interface TensorRange {
  /** Of the finite values; Infinity where there are none. */
  readonly min: number;
  /** Of the finite values; -Infinity where there are none. */
  readonly max: number;
  /** NaN and infinities. */
  readonly nonFinite: number;
  /** The tensor, for messages. */
  readonly place?: { readonly file: string; readonly tensor: string };
}

const INT8_MAX = 127;
const INFINITY_BITS = 0x7f800000;
const SMALLEST_FLOAT32 = 2 ** -149;
/** Of the scale and of the minimum. */
const FLOAT32_ROUNDING = 2 ** -23;

/** Smallest and largest value, in float32, in one streaming pass over the stored order. */
export async function tensorRange(tensor: Tensor): Promise<TensorRange> {
  let [min, max, nonFinite] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0];
  const bench = new QuantiseBench();
  for await (const values of floatPieces(inStoredOrder(tensor))) {
    bench.load(values);
    const piece = bench.range(values.length);
    min = Math.min(min, piece.min);
    max = Math.max(max, piece.max);
    nonFinite += piece.nonFinite;
  }
  return { min, max, nonFinite, place: placeOf(tensor) };
}

/**
 * The form that covers a range as TensorFlow.js's own converter would choose it.
 *
 * @throws ModelError 'unsupported' where values are not finite
 */
export function affineFor({ min, max, nonFinite, place }: TensorRange, dtype: AffineQuantisation['dtype']): AffineQuantisation {
  if (nonFinite > 0) throw notFinite(`${nonFinite} values are`, place);
  if (!(min < max)) return { dtype, scale: 1, min: min === max ? min : 0 };
  const scale = (max - min) / largestCode(dtype);
  if (min > 0 || max < 0) return { dtype, scale, min };
  // Zero gets a whole number, so that what is padded with zeros or pruned stays exact.
  return { dtype, scale, min: 0 - roundToEven(-min / scale) * scale };
}

/**
 * How many steps below zero the smallest value lies, where they are a whole number that is a code: the zero point. The minimum is
 * rounded to float32 in files, and so may be off by that.
 */
export function wholeSteps({ scale, min }: Pick<AffineQuantisation, 'scale' | 'min'>, dtype: DType): number | null {
  const steps = -min / scale;
  const zero = Math.round(steps);
  if (zero < 0 || zero >= 2 ** (8 * DTYPE_BYTES[dtype])) return null;
  return Math.abs(steps - zero) <= zero * FLOAT32_ROUNDING ? zero : null;
}

/** @param quantisation of a range that covers the tensor; values outside of it are held at its ends */
export function quantiseAffine(tensor: Tensor, quantisation: AffineQuantisation): Tensor {
  const { dtype, scale, min } = quantisation;
  const unit = DTYPE_BYTES[dtype];
  return withStage(castTensor(tensor, 'float32'), {
    dtype,
    apply(input) {
      const bench = new QuantiseBench();
      const values = asFloats(input);
      const codes = new Uint8Array(values.length * unit);
      for (let start = 0; start < values.length; start += PIECE_VALUES) {
        const piece = values.subarray(start, start + PIECE_VALUES);
        bench.load(piece);
        codes.set(bench.encodeAffine(unit, piece.length, min, scale), start * unit);
      }
      return codes;
    },
  });
}

/** The values that TensorFlow.js has after loading: float32. */
export function dequantiseAffine(tensor: Tensor, quantisation: AffineQuantisation): Tensor {
  const { dtype, scale, min } = quantisation;
  // All codes' values are worked out once, when the first are asked for.
  let table: Float32Array | null = null;
  return withStage(tensor, {
    dtype: 'float32',
    widens: { kind: 'affine', scale, min },
    apply(input) {
      table ??= Float32Array.from({ length: largestCode(dtype) + 1 }, (_, code) => code * scale + min);
      const codes = dtype === 'uint8' ? input : new Uint16Array(input.buffer, input.byteOffset, input.byteLength / 2);
      const values = new Float32Array(codes.length);
      for (let i = 0; i < codes.length; i++) values[i] = table[codes[i]!]!;
      return new Uint8Array(values.buffer);
    },
  });
}

/** Of the values of each place along an axis. */
export interface ChannelSpreads {
  /** Zero, or below it. */
  readonly low: Float64Array;
  /** Zero, or above it. */
  readonly high: Float64Array;
  /** Mean square. */
  readonly energy: Float64Array;
}

/** In one streaming pass over the stored order; null where values are not finite. */
export async function channelSpreads(tensor: Tensor, axis: number): Promise<ChannelSpreads | null> {
  const channels = tensor.shape[axis]!;
  const [low, high, energy] = [new Float64Array(channels), new Float64Array(channels), new Float64Array(channels)];
  const ordered = inStoredOrder(tensor, axis);
  const cursor = new ChannelCursor(ordered.path);
  for await (const values of floatPieces(ordered.tensor)) {
    for (let start = 0; start < values.length; ) {
      const { base, at, count } = cursor.next(values.length - start);
      for (let i = 0; i < count; i++) {
        const channel = cursor.offsets ? base + cursor.offsets[at + i]! : base;
        const value = values[start + i]!;
        if (value < low[channel]!) low[channel] = value;
        else if (value > high[channel]!) high[channel] = value;
        energy[channel]! += value * value;
      }
      start += count;
    }
  }
  const each = elementCount(tensor.shape) / channels;
  return energy.every(Number.isFinite) ? { low, high, energy: energy.map((sum) => sum / each) } : null;
}

/**
 * Scales for `quantiseChannels`, in one streaming pass over the stored order: max|w| / 127, as float32. A channel of zeros has 1, so
 * that no scale is zero; where max|w| is so small that the quotient would lose its value, the next float32 that covers it is taken.
 *
 * @throws ModelError 'unsupported' where values are not finite
 */
export async function channelScales(tensor: Tensor, axis: number): Promise<Float32Array> {
  const channels = tensor.shape[axis]!;
  const largest = new Uint32Array(channels);
  const raise = (channel: number, bits: number) => {
    if (bits > largest[channel]!) largest[channel] = bits;
  };
  const ordered = inStoredOrder(tensor, axis);
  const cursor = new ChannelCursor(ordered.path);
  const { offsets, length } = cursor;
  const bench = new QuantiseBench();
  for await (const values of floatPieces(ordered.tensor)) {
    bench.load(values);
    // Repetitions from one base are taken together, before their magnitudes are dealt out to the channels.
    let [base, from, to] = [-1, 0, 0];
    const dealOut = () => {
      const magnitudes = bench.magnitudes(to - from);
      for (let i = from; i < to; i++) raise(base + offsets![i]!, magnitudes[i - from]!);
    };
    for (let start = 0; start < values.length; ) {
      const visit = cursor.next(values.length - start);
      const { at, count } = visit;
      if (!offsets) raise(visit.base, bench.largestMagnitude(start, count));
      else {
        if (visit.base !== base || length > PIECE_VALUES) {
          dealOut();
          [base, from, to] = length > PIECE_VALUES ? [visit.base, at, at + count] : [visit.base, 0, length];
          bench.clearMagnitudes(to - from);
        }
        bench.raiseMagnitudes(at - from, start, count);
      }
      start += count;
    }
    dealOut();
  }
  const channel = largest.findIndex((bits) => bits >= INFINITY_BITS);
  if (channel >= 0) throw notFinite(`channel ${channel} of axis ${axis} holds values that are`, placeOf(tensor));
  return new Float32Array(largest.buffer).map(scaleFor);
}

/**
 * int8, symmetric, a scale for each index of `axis`.
 *
 * @param scales positive; values beyond 127.5 of them are held at 127
 */
export function quantiseChannels(tensor: Tensor, axis: number, scales: Float32Array): Tensor {
  return encodeAlong(tensor, channelPath(tensor.shape, axis), scales);
}

/** Codes that are held within fewer than those of int8. */
export interface FewCodes extends CodeLimits {
  readonly dtype: 'int8' | 'uint8';
  /** That files need for each. */
  readonly bits: number;
  /** One for each scale; all zero where left out. */
  readonly zeros?: Uint8Array | undefined;
}

const INT8_CODES: CodeLimits = { low: -INT8_MAX, high: INT8_MAX };

/**
 * round(value / scale), ties to even, and a zero point.
 *
 * @param own goes over the scales, one for each element
 * @param few from -127 to 127 where left out
 */
export function encodeAlong(tensor: Tensor, own: Path, scales: Float32Array, few?: FewCodes): Tensor {
  const limits = few ?? INT8_CODES;
  const all: Parameters = { scales, zeros: few?.zeros ?? null };
  const begin = (path: Path): Stage['apply'] => {
    const encode = encoder(path, all, limits);
    return (input) => {
      const bench = new QuantiseBench();
      const values = asFloats(input);
      // In place: values are read before codes, which are shorter, come to lie over them.
      const codes = new Uint8Array(values.buffer, values.byteOffset, values.length);
      for (let first = 0; first < values.length; first += PIECE_VALUES) {
        const piece = values.subarray(first, first + PIECE_VALUES);
        bench.load(piece);
        encode(bench, piece.length);
        codes.set(bench.encoded(piece.length), first);
      }
      return codes;
    };
  };
  const { dtype = 'int8', bits } = few ?? {};
  return withStage(castTensor(tensor, 'float32'), { dtype, ...(bits === undefined ? {} : { bits }), ...own, begin });
}

/** Encodes as many values as are loaded, which go on where those before them ended. */
type Encoder = (bench: QuantiseBench, count: number) => void;

function encoder(path: Path, all: Parameters, limits: CodeLimits): Encoder {
  const run = plainRun(path);
  if (run !== null) return runEncoder(run, all, limits);
  const cursor = new ChannelCursor(path);
  const pattern = cursor.offsets ? new ParameterPattern(cursor.offsets, all) : null;
  return (bench, length) => {
    for (let start = 0; start < length; ) {
      const { base, at, count } = cursor.next(length - start);
      if (!pattern) bench.encodeRuns(start, count, part(all, base, base + 1), limits);
      else if (pattern.isInRuns(at, count)) bench.encodeRuns(start, pattern.run, pattern.ofRuns(base, at, count), limits);
      else bench.encodeEach(start, pattern.ofEach(base, at, count), limits);
      start += count;
    }
  };
}

/** For a path of plain runs: whole ones are taken together, whose parameters are taken as they lie. */
function runEncoder(run: number, all: Parameters, limits: CodeLimits): Encoder {
  let [channel, into] = [0, 0];
  return (bench, length) => {
    for (let start = 0; start < length; ) {
      const whole = into === 0 && run % KERNEL_GROUP === 0 ? Math.floor((length - start) / run) : 0;
      const count = whole > 0 ? whole * run : Math.min(run - into, length - start);
      bench.encodeRuns(start, whole > 0 ? run : count, part(all, channel, channel + Math.max(1, whole)), limits);
      into += count;
      channel += Math.floor(into / run);
      into %= run;
      start += count;
    }
  };
}

function part({ scales, zeros }: Parameters, start: number, end: number): Parameters {
  return { scales: scales.subarray(start, end), zeros: zeros?.subarray(start, end) ?? null };
}

/** The parameters of one repetition by its base; worked out when the base changes. */
class ParameterPattern {
  /** How many neighbours have one offset, from the first on and all along. */
  readonly run: number;
  readonly #offsets: Int32Array;
  readonly #all: Parameters;
  readonly #runs: PatternTable;
  readonly #each: PatternTable;

  constructor(offsets: Int32Array, all: Parameters) {
    this.run = runLength(offsets);
    this.#offsets = offsets;
    this.#all = all;
    this.#runs = patternTable(offsets.length / this.run, all);
    this.#each = patternTable(offsets.length, all);
  }

  /** Whether elements of a repetition are whole runs that kernels take as such. */
  isInRuns(at: number, count: number): boolean {
    return this.run % KERNEL_GROUP === 0 && at % this.run === 0 && count % this.run === 0;
  }

  /** For each run; a view. */
  ofRuns(base: number, at: number, count: number): Parameters {
    this.#fill(this.#runs, base, this.run);
    return part(this.#runs, at / this.run, (at + count) / this.run);
  }

  /** For each element; a view. */
  ofEach(base: number, at: number, count: number): Parameters {
    this.#fill(this.#each, base, 1);
    return part(this.#each, at, at + count);
  }

  #fill(table: PatternTable, base: number, step: number): void {
    if (table.base === base) return;
    const { scales, zeros } = table;
    const [all, offsets] = [this.#all, this.#offsets];
    for (let i = 0; i < scales.length; i++) scales[i] = all.scales[base + offsets[i * step]!]!;
    if (zeros) for (let i = 0; i < zeros.length; i++) zeros[i] = all.zeros![base + offsets[i * step]!]!;
    table.base = base;
  }
}

interface PatternTable extends Parameters {
  /** What it was filled for; -1 at first. */
  base: number;
}

function patternTable(length: number, { zeros }: Parameters): PatternTable {
  return { base: -1, scales: new Float32Array(length), zeros: zeros && new Uint8Array(length) };
}

/** How many neighbours have one offset, from the first on and all along. */
function runLength(offsets: Int32Array): number {
  const first = offsets.findIndex((offset) => offset !== offsets[0]);
  const run = first < 0 ? offsets.length : first;
  return offsets.length % run === 0 && offsets.every((offset, i) => offset === offsets[i - (i % run)]) ? run : 1;
}

/**
 * The values that `DequantizeLinear` gives: float32, (q - zero point) * scale.
 *
 * @param tensor int8, uint8, int16, uint16 or int32
 * @param scales one for each place along the axis, or one for all
 * @param zeroPoints as many; all zero when left out
 */
export function dequantiseChannels(tensor: Tensor, axis: number, scales: Float32Array, zeroPoints?: ArrayLike<number>): Tensor {
  const path = scales.length === 1 ? { offset: 0, axes: tensor.shape.map((size) => [{ size, stride: 0 }]) } : channelPath(tensor.shape, axis);
  return dequantiseAlong(tensor, path, scales, zeroPoints);
}

/** @param own goes over the scales, one for each element */
export function dequantiseAlong(tensor: Tensor, own: Path, scales: Float32Array, zeroPoints?: ArrayLike<number>): Tensor {
  const codesOf = CODES[tensor.dtype as keyof typeof CODES];
  if (!codesOf) throw new Error(`dequantiseAlong: ${tensor.name} is ${tensor.dtype}`);
  const zeros = zeroPoints ?? new Int32Array(scales.length);
  const begin = (path: Path): Stage['apply'] => {
    const cursor = new ChannelCursor(path);
    const { offsets } = cursor;
    return (input) => {
      const codes = codesOf(input);
      const values = new Float32Array(codes.length);
      for (let start = 0; start < codes.length; ) {
        const { base, at, count } = cursor.next(codes.length - start);
        if (offsets) {
          for (let i = 0; i < count; i++) {
            const channel = base + offsets[at + i]!;
            values[start + i] = (codes[start + i]! - zeros[channel]!) * scales[channel]!;
          }
        } else {
          const [scale, zero] = [scales[base]!, zeros[base]!];
          for (let i = start; i < start + count; i++) values[i] = (codes[i]! - zero) * scale;
        }
        start += count;
      }
      return new Uint8Array(values.buffer);
    };
  };
  const widens = { kind: 'channels' as const, scales, ...(zeroPoints ? { zeroPoints } : {}) };
  return withStage(tensor, { dtype: 'float32', widens, ...own, begin });
}

const CODES = {
  int8: (bytes: Uint8Array) => new Int8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength),
  uint8: (bytes: Uint8Array) => bytes,
  int16: (bytes: Uint8Array) => new Int16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2),
  uint16: (bytes: Uint8Array) => new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2),
  int32: (bytes: Uint8Array) => new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4),
  // Biases where 16 bits flow; those of trained nets are far from the 53 bits that a number holds.
  int64: (bytes: Uint8Array) => Float64Array.from(new BigInt64Array(bytes.slice().buffer), Number),
};

/** The path over channels of a row-major tensor: only its axis moves. */
function channelPath(shape: readonly number[], axis: number): Path {
  if (!(axis in shape)) throw new Error(`the shape [${shape}] has no axis ${axis}`);
  return { offset: 0, axes: shape.map((size, i) => [{ size, stride: i === axis ? 1 : 0 }]) };
}

/**
 * The same elements in the order in which they are stored, for passes that do not care: a transposed kernel of 411 MB is read
 * straight through. The path over the axis's channels goes along.
 */
function inStoredOrder(tensor: Tensor): Tensor;
function inStoredOrder(tensor: Tensor, axis: number): { tensor: Tensor; path: Path };
function inStoredOrder(tensor: Tensor, axis?: number): Tensor | { tensor: Tensor; path: Path } {
  const { walk } = tensor;
  let { offset } = walk;
  let channel = 0;
  const loops: { stored: Loop; channel: Loop }[] = [];
  for (const [i, own] of walk.axes.entries()) {
    const steps = rowMajorStrides(own.map(({ size }) => size));
    for (const [j, { size, stride }] of own.entries()) {
      const step = i === axis ? steps[j]! : 0;
      const back = stride < 0 ? -1 : 1;
      if (back < 0) {
        offset += (size - 1) * stride;
        channel += (size - 1) * step;
      }
      loops.push({ stored: { size, stride: stride * back }, channel: { size, stride: step * back } });
    }
  }
  loops.sort((a, b) => b.stored.stride - a.stored.stride);
  const shape = loops.map(({ stored }) => stored.size);
  // A stage that goes by places has its own path, which is not turned here.
  const turn = !tensor.stages.some((stage) => 'begin' in stage);
  const ordered = turn ? { ...tensor, shape, walk: { ...walk, offset, axes: loops.map(({ stored }) => [stored]) } } : tensor;
  if (axis === undefined) return ordered;
  return { tensor: ordered, path: turn ? { offset: channel, axes: loops.map((loop) => [loop.channel]) } : channelPath(tensor.shape, axis) };
}

/** The tensor's values as float32, at most `PIECE_VALUES` at a time. */
export async function* floatPieces(tensor: Tensor): AsyncGenerator<Float32Array> {
  for await (const chunk of tensorChunks(castTensor(tensor, 'float32'))) {
    const values = asFloats(chunk);
    for (let start = 0; start < values.length; start += PIECE_VALUES) yield values.subarray(start, start + PIECE_VALUES);
  }
}

/** @param bytes aligned, as stages get and give them */
function asFloats(bytes: Uint8Array): Float32Array {
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
}

function scaleFor(largest: number): number {
  if (largest === 0) return 1;
  let scale = Math.fround(largest / INT8_MAX);
  // Only among the subnormals, where the step from one float32 to the next is large beside the scale.
  while (largest / scale > INT8_MAX + 0.5) scale += SMALLEST_FLOAT32;
  return scale;
}

function largestCode(dtype: AffineQuantisation['dtype']): number {
  return 2 ** (8 * DTYPE_BYTES[dtype]) - 1;
}

/** To nearest, ties to even: adding this leaves no bits behind the point. */
const WHOLE = 1.5 * 2 ** 52;

export function roundToEven(value: number): number {
  return value + WHOLE - WHOLE;
}

function placeOf(tensor: Tensor): { file: string; tensor: string } {
  return { file: tensor.origin.file, tensor: tensor.name };
}

function notFinite(what: string, place: TensorRange['place']): ModelError {
  return new ModelError('unsupported', `${what} NaN or infinite, which integers cannot hold. Choose --dtype float32 or float16.`, place);
}
