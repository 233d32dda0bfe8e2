/** Rounds float64 elements to what a narrower dtype holds. */
import { float32ToHalfPlain, newCastTally, toFloat32Array } from '../cast.js';
import type { DType } from '../dtype.js';
import { roundHalfToEven } from './elementwise.js';

/** @param saturate 8-bit floats: what is too large is the largest number, rather than an infinity or none */
export function roundTo(data: Float64Array, dtype: DType, saturate = true): Float64Array {
  switch (dtype) {
    case 'float32':
      return data.map(Math.fround);
    case 'float16':
      return Float64Array.from(toFloat32Array(new Uint8Array(float32ToHalfPlain(Float32Array.from(data), newCastTally()).buffer as ArrayBuffer), 'float16'));
    case 'bfloat16':
      return data.map(toBfloat16);
    case 'float8_e4m3fn':
    case 'float8_e5m2':
      return data.map((element) => toFloat8(element, FLOAT8[dtype], saturate));
    case 'bool':
      return data.map((element) => (element === 0 ? 0 : 1));
    case 'float64':
      return data;
    default:
      return dtype.startsWith('int') || dtype.startsWith('uint') ? data.map(Math.trunc) : data;
  }
}

/** To nearest, ties to even. */
function toBfloat16(element: number): number {
  const view = new DataView(new ArrayBuffer(4));
  view.setFloat32(0, element);
  const bits = view.getUint32(0);
  if (!Number.isFinite(element)) return element;
  view.setUint32(0, ((bits + 0x7fff + ((bits >>> 16) & 1)) & 0xffff0000) >>> 0);
  return view.getFloat32(0);
}

interface Float8 {
  readonly mantissaBits: number;
  /** Exponent of the smallest number with a leading one. */
  readonly smallest: number;
  readonly largest: number;
  /** What is beyond, where nothing saturates. */
  readonly beyond: number;
}

const FLOAT8: Readonly<Record<'float8_e4m3fn' | 'float8_e5m2', Float8>> = {
  float8_e4m3fn: { mantissaBits: 3, smallest: -6, largest: 448, beyond: Number.NaN },
  float8_e5m2: { mantissaBits: 2, smallest: -14, largest: 57344, beyond: Number.POSITIVE_INFINITY },
};

/** To nearest, ties to even. @see https://onnx.ai/onnx/technical/float8.html, where the tables of what saturates stand */
function toFloat8(element: number, { mantissaBits, smallest, largest, beyond }: Float8, saturate: boolean): number {
  if (element === 0 || Number.isNaN(element)) return element;
  const size = Math.abs(element);
  const exponent = Math.max(smallest, Math.floor(Math.log2(size)));
  const step = 2 ** (exponent - mantissaBits);
  const rounded = roundHalfToEven(size / step) * step;
  return Math.sign(element) * (rounded <= largest ? rounded : saturate ? largest : beyond);
}
