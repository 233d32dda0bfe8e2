/** Rounds float64 elements to what a narrower dtype holds. */
import { float32ToHalfPlain, newCastTally, toFloat32Array } from '../cast.js';
import type { DType } from '../dtype.js';

export function roundTo(data: Float64Array, dtype: DType): Float64Array {
  switch (dtype) {
    case 'float32':
      return data.map(Math.fround);
    case 'float16':
      return Float64Array.from(toFloat32Array(new Uint8Array(float32ToHalfPlain(Float32Array.from(data), newCastTally()).buffer as ArrayBuffer), 'float16'));
    case 'bfloat16':
      return data.map(toBfloat16);
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
