/**
 * Conversions between element types: IEEE 754 round-to-nearest-even, infinities and NaN kept, nothing clamped in silence.
 *
 * Every conversion goes through float32 or, where the source has more precision, float64.
 */
import { DTYPE_BYTES, type DType, isFloatDType } from './dtype.js';
import { type KernelInstance, kernelMemory, kernelsOver } from './kernel-instance.js';
import { type Stage, type Tensor, withStage } from './tensor.js';

/** What a cast did to values, counted while the tensor is streamed. */
export interface CastTally {
  /** Finite values that became infinite. */
  overflow: number;
  /** Nonzero values that became zero. */
  underflow: number;
  /** NaN in the source; they stay NaN. */
  nan: number;
}

export function newCastTally(): CastTally {
  return { overflow: 0, underflow: 0, nan: 0 };
}

/**
 * The tensor with its values in another floating-point dtype.
 *
 * @param dtype float64, float32, float16 or bfloat16
 * @param tally counts losses as the tensor is streamed; counts add up if it is streamed twice
 */
export function castTensor(tensor: Tensor, dtype: DType, tally: CastTally = newCastTally()): Tensor {
  if (tensor.dtype === dtype) return tensor;
  return withStage(tensor, castStage(tensor.dtype, dtype, tally));
}

/** @throws Error when the pair of dtypes has no cast (a bug: callers check what their format takes) */
export function castStage(from: DType, to: DType, tally: CastTally): Stage {
  // A wider float holds every value of a narrower one.
  const widens = isFloatDType(from) && DTYPE_BYTES[from] < DTYPE_BYTES[to] ? { widens: { kind: 'cast' as const } } : {};
  const wide = from === 'float64' || from === 'int64' || from === 'uint64' || from === 'int32' || from === 'uint32';
  if (wide) {
    const encode = encodeFloat64(to, tally);
    return { dtype: to, apply: (input) => encode(toFloat64Array(input, from)) };
  }
  const encode = encodeFloat32(to, tally);
  return { dtype: to, ...widens, apply: (input) => encode(toFloat32Array(input, from)) };
}

/** Values of little-endian bytes as float32; exact for float32, the narrower floats and integers of up to 16 bits. */
export function toFloat32Array(bytes: Uint8Array, dtype: DType): Float32Array {
  switch (dtype) {
    case 'float32':
      return new Float32Array(...span(bytes, 4));
    case 'float16':
      return halfTable(new Uint16Array(...span(bytes, 2)));
    case 'bfloat16': {
      const words = new Uint16Array(...span(bytes, 2));
      const bits = new Uint32Array(words.length);
      for (let i = 0; i < words.length; i++) bits[i] = words[i]! << 16;
      return new Float32Array(bits.buffer);
    }
    default:
      return new Float32Array(toFloat64Array(bytes, dtype));
  }
}

/** Values of little-endian bytes as float64; 64-bit integers beyond 2^53 are rounded, complex numbers give pairs. */
export function toFloat64Array(bytes: Uint8Array, dtype: DType): Float64Array {
  switch (dtype) {
    case 'float64':
    case 'complex128':
      return new Float64Array(...span(bytes, 8));
    case 'complex64':
      return new Float64Array(new Float32Array(...span(bytes, 4)));
    case 'float32':
    case 'float16':
    case 'bfloat16':
      return new Float64Array(toFloat32Array(bytes, dtype));
    case 'float8_e4m3fn':
      return Float64Array.from(bytes, (byte) => float8(byte, 4, 3, 7));
    case 'float8_e5m2':
      return Float64Array.from(bytes, (byte) => float8(byte, 5, 2, 15));
    case 'int64':
      return Float64Array.from(new BigInt64Array(...span(bytes, 8)), Number);
    case 'uint64':
      return Float64Array.from(new BigUint64Array(...span(bytes, 8)), Number);
    case 'int32':
      return new Float64Array(new Int32Array(...span(bytes, 4)));
    case 'uint32':
      return new Float64Array(new Uint32Array(...span(bytes, 4)));
    case 'int16':
      return new Float64Array(new Int16Array(...span(bytes, 2)));
    case 'uint16':
      return new Float64Array(new Uint16Array(...span(bytes, 2)));
    case 'int8':
      return new Float64Array(new Int8Array(...span(bytes, 1)));
    case 'uint8':
    case 'bool':
      return new Float64Array(bytes);
  }
}

/** Arguments of a typed array over the bytes; they are copied where they do not start at a multiple of the element. */
function span(bytes: Uint8Array, unit: number): [ArrayBuffer, number, number] {
  const aligned = bytes.byteOffset % unit === 0 ? bytes : bytes.slice();
  return [aligned.buffer as ArrayBuffer, aligned.byteOffset, Math.floor(aligned.byteLength / unit)];
}

function bytesOf(array: Float32Array | Float64Array | Uint16Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

function encodeFloat32(to: DType, tally: CastTally): (values: Float32Array) => Uint8Array {
  switch (to) {
    case 'float32':
      return bytesOf;
    case 'float64':
      return (values) => bytesOf(Float64Array.from(values));
    case 'float16':
      return (values) => bytesOf(float32ToHalf(values, tally));
    case 'bfloat16':
      return (values) => bytesOf(float32ToBrain(values, tally));
    default:
      throw new Error(`no cast to ${to}`);
  }
}

function encodeFloat64(to: DType, tally: CastTally): (values: Float64Array) => Uint8Array {
  switch (to) {
    case 'float64':
      return bytesOf;
    case 'float32':
      return (values) => {
        const narrowed = Float32Array.from(values);
        for (let i = 0; i < values.length; i++) {
          if (narrowed[i] === values[i]) continue;
          if (Number.isNaN(values[i]!)) tally.nan++;
          else if (!Number.isFinite(narrowed[i]!)) tally.overflow++;
          else if (narrowed[i] === 0) tally.underflow++;
        }
        return bytesOf(narrowed);
      };
    default: {
      const encode = encodeFloat32(to, tally);
      return (values) => encode(roundToOdd(values));
    }
  }
}

/**
 * Narrows to float32 so that a second rounding, to 16 bits, gives what one rounding would have given: inexact values get an odd
 * last bit (Boldo & Melquiond 2008).
 */
function roundToOdd(values: Float64Array): Float32Array {
  const narrowed = Float32Array.from(values);
  const bits = new Uint32Array(narrowed.buffer);
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    const near = narrowed[i]!;
    if (near === value || Number.isNaN(value)) continue;
    // Rounded away from zero: step back first, so that the last bit speaks of what was cut off.
    if (Math.abs(near) > Math.abs(value)) bits[i] = bits[i]! - 1;
    bits[i] = bits[i]! | 1;
  }
  return narrowed;
}

/** Values that are copied to the kernel at a time, where they do not lie in its memory. */
const COPIED_VALUES = 2 ** 18;
/** The kernel takes whole groups; the few values that are left over go the plain way. */
const KERNEL_GROUP = 8;

let ownMemory: ArrayBuffer | null = null;

/** Rounds to IEEE binary16, in WebAssembly where there is enough to do: in place where the values lie in a kernel's memory. */
function float32ToHalf(values: Float32Array, tally: CastTally): Uint16Array {
  const whole = values.length - (values.length % KERNEL_GROUP);
  if (whole < 64) return float32ToHalfPlain(values, tally);
  const rest = float32ToHalfPlain(values.subarray(whole), tally);
  const { buffer, byteOffset } = values;
  const here = kernelsOver(buffer);
  const halves = here ? new Uint16Array(buffer, byteOffset, values.length) : new Uint16Array(values.length);
  if (here) {
    narrowToHalf(here, buffer, byteOffset, whole, tally);
  } else {
    ownMemory ??= kernelMemory(COPIED_VALUES * 4);
    const own = kernelsOver(ownMemory)!;
    for (let start = 0; start < whole; start += COPIED_VALUES) {
      const count = Math.min(COPIED_VALUES, whole - start);
      new Float32Array(ownMemory, 0, count).set(values.subarray(start, start + count));
      narrowToHalf(own, ownMemory, 0, count, tally);
      halves.set(new Uint16Array(ownMemory, 0, count), start);
    }
  }
  halves.set(rest, whole);
  return halves;
}

/** @param count a multiple of `KERNEL_GROUP` */
function narrowToHalf({ kernels, scratch }: KernelInstance, buffer: ArrayBufferLike, at: number, count: number, tally: CastTally): void {
  kernels.narrowToHalf(at, count, scratch);
  const [overflow, underflow, nan] = new Uint32Array(buffer, scratch, 3);
  tally.overflow += overflow!;
  tally.underflow += underflow!;
  tally.nan += nan!;
}

/** The same in JavaScript; tests hold the kernel to it. */
export function float32ToHalfPlain(values: Float32Array, tally: CastTally): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const halves = new Uint16Array(bits.length);
  let overflow = 0;
  let underflow = 0;
  for (let i = 0; i < bits.length; i++) {
    const word = bits[i]!;
    const sign = (word >>> 16) & 0x8000;
    const magnitude = word & 0x7fffffff;
    if (magnitude >= 0x38800000 && magnitude < 0x47800000) {
      // Normal in both: drop 13 bits, ties to even; a carry moves into the exponent as it should.
      const half = (magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13;
      if (half >= 0x7c00) overflow++;
      halves[i] = sign | half;
    } else if (magnitude < 0x38800000) {
      if (magnitude <= 0x33000000) {
        // Up to half of the smallest subnormal.
        if (magnitude !== 0) underflow++;
        halves[i] = sign;
      } else {
        const shift = 126 - (magnitude >>> 23);
        const mantissa = (magnitude & 0x7fffff) | 0x800000;
        const half = mantissa >>> shift;
        const rest = mantissa & ((1 << shift) - 1);
        const tie = 1 << (shift - 1);
        halves[i] = sign | (rest > tie || (rest === tie && half & 1) ? half + 1 : half);
      }
    } else if (magnitude > 0x7f800000) {
      tally.nan++;
      halves[i] = sign | 0x7e00 | ((magnitude >>> 13) & 0x1ff);
    } else {
      if (magnitude !== 0x7f800000) overflow++;
      halves[i] = sign | 0x7c00;
    }
  }
  tally.overflow += overflow;
  tally.underflow += underflow;
  return halves;
}

/** Rounds to bfloat16: the upper half of a float32. */
function float32ToBrain(values: Float32Array, tally: CastTally): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const words = new Uint16Array(bits.length);
  for (let i = 0; i < bits.length; i++) {
    const word = bits[i]!;
    const magnitude = word & 0x7fffffff;
    if (magnitude > 0x7f800000) {
      tally.nan++;
      words[i] = (word >>> 16) | 0x40;
      continue;
    }
    const rounded = (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
    if ((rounded & 0x7fff) === 0x7f80 && magnitude !== 0x7f800000) tally.overflow++;
    if ((rounded & 0x7fff) === 0 && magnitude !== 0) tally.underflow++;
    words[i] = rounded;
  }
  return words;
}

let halves: Float32Array | null = null;

/** Widens binary16 values through a table of all 65,536 of them. */
function halfTable(words: Uint16Array): Float32Array {
  halves ??= Float32Array.from({ length: 0x10000 }, (_, word) => {
    const exponent = (word >>> 10) & 31;
    const mantissa = word & 0x3ff;
    const magnitude =
      exponent === 0
        ? mantissa * 2 ** -24
        : exponent === 31
          ? mantissa === 0
            ? Number.POSITIVE_INFINITY
            : Number.NaN
          : (1024 + mantissa) * 2 ** (exponent - 25);
    return word & 0x8000 ? -magnitude : magnitude;
  });
  const table = halves;
  const values = new Float32Array(words.length);
  for (let i = 0; i < words.length; i++) values[i] = table[words[i]!]!;
  return values;
}

/** An 8-bit float; e4m3fn has no infinities, and one NaN for each sign. See "FP8 Formats for Deep Learning", 2022. */
function float8(byte: number, exponentBits: number, mantissaBits: number, bias: number): number {
  const exponent = (byte & 0x7f) >>> mantissaBits;
  const mantissa = byte & ((1 << mantissaBits) - 1);
  const sign = byte & 0x80 ? -1 : 1;
  const top = (1 << exponentBits) - 1;
  if (exponentBits === 5 && exponent === top) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  if (exponentBits === 4 && (byte & 0x7f) === 0x7f) return Number.NaN;
  const fraction = mantissa / (1 << mantissaBits);
  return sign * (exponent === 0 ? fraction * 2 ** (1 - bias) : (1 + fraction) * 2 ** (exponent - bias));
}
