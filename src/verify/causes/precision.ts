/** How numbers are stored: a narrower dtype, the other byte order, steps and zero of a quantised weight. */
import { mapValue } from '../../model/ops/array.js';
import { elementCount, type Tensor } from '../../model/tensor.js';
import { roundToHalf } from '../half.js';
import { type Family, withWeights } from './cause.js';
import { MOST_HELD, mapped, worked } from './edit.js';

/** float32 whose bits are cut, rounded or turned. */
const bits = new DataView(new ArrayBuffer(4));

function throughBits(value: number, change: (word: number) => number, littleAgain = false): number {
  bits.setFloat32(0, value);
  bits.setUint32(0, change(bits.getUint32(0)) >>> 0);
  return bits.getFloat32(0, littleAgain);
}

const truncate = (keep: number) => (value: number) => throughBits(value, (word) => word & (-1 << (32 - keep)));
/** To the nearest bfloat16, ties to even. */
const toBfloat16 = (value: number) => throughBits(value, (word) => (word + 0x7fff + ((word >>> 16) & 1)) & 0xffff0000);
const otherEnd = (value: number) => throughBits(value, (word) => word, true);

const FORMS: readonly (readonly [kind: string, what: string, of: (value: number) => number])[] = [
  ['narrower', 'rounded to float16', roundToHalf],
  ['narrower', 'rounded to bfloat16', toBfloat16],
  ['narrower', 'cut to bfloat16', truncate(16)],
  ['narrower', 'cut to 3 of its 4 bytes', truncate(24)],
  ['byte-order', 'with the bytes of each value in the other order', otherEnd],
];

/** What values are rounded to by whoever computes, or hands on, narrower ones. */
export const NARROWER = FORMS.slice(0, 2);

export const storage: Family = function* ({ layer }) {
  const held = Object.entries(layer.weights).filter(([, { shape }]) => elementCount(shape) <= MOST_HELD);
  for (const [role, tensor] of held) {
    for (const [kind, what, of] of FORMS) yield { kind, what: `${role} ${what}`, layer: withWeights(layer, { [role]: mapped(tensor, of) }) };
    if (tensor.shape.length < 2) continue;
    yield { kind: 'quantised', what: `${role} rounded to int8, one scale for all`, layer: withWeights(layer, { [role]: quantised(tensor, false, 127) }) };
    yield {
      kind: 'quantised',
      what: `${role} rounded to int8, a scale for each output channel`,
      layer: withWeights(layer, { [role]: quantised(tensor, true, 127) }),
    };
    yield {
      kind: 'quantised',
      what: `${role} rounded to int4, a scale for each output channel`,
      layer: withWeights(layer, { [role]: quantised(tensor, true, 7) }),
    };
  }
  for (const [kind, what, of] of NARROWER) {
    const weights = Object.fromEntries(held.map(([role, tensor]) => [role, mapped(tensor, of)]));
    if (held.length > 1) yield { kind, what: `all weights ${what}`, layer: withWeights(layer, weights) };
    yield { kind: 'narrower-value', what: `what it makes ${what}`, made: (x) => mapValue(x, of) };
    yield { kind: 'narrower-value', what: `what it reads ${what}`, read: (inputs) => inputs.map((x) => x && { ...x, data: x.data.map(of) }) };
  }
};

/** How many low bits each float32 has lost, where all have lost as many and are else what they were; 0 where that is not so. */
export function lostBits(values: Float64Array, found: Float64Array): number {
  const [own, other] = [values, found].map((array) => new Uint32Array(Float32Array.from(array).buffer)) as [Uint32Array, Uint32Array];
  const set = other.reduce((all, word) => all | word, 0);
  const lost = set === 0 ? 0 : 31 - Math.clz32(set & -set);
  return lost > 0 && own.every((word, i) => (word & (-1 << lost)) >>> 0 === other[i]) ? lost : 0;
}

function quantised(tensor: Tensor, isPerChannel: boolean, levels: number): Tensor {
  return worked(tensor, (values) => {
    const inner = isPerChannel ? elementCount(tensor.shape.slice(1)) : values.length;
    const out = new Float64Array(values.length);
    for (let at = 0; at < values.length; at += inner) {
      const part = values.subarray(at, at + inner);
      const scale = part.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / levels || 1;
      for (let i = 0; i < part.length; i++) out[at + i] = Math.round(part[i]! / scale) * scale;
    }
    return out;
  });
}
