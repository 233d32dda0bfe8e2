/**
 * What is wrong with a weight in codes: the file's codes, scales and zero points are read in another way, and the one is named with which
 * they stand for the source's values, each to half a step.
 */
import { readOperand } from '../../model/ops/operands.js';
import { elementBits } from '../../model/packing.js';
import { elementCount, type Tensor } from '../../model/tensor.js';
import { roundToHalf } from '../half.js';
import { channelsOf, FLOAT32_SLACK, HALF_STEP, heldAt } from '../weight-pair.js';
import type { WrittenWeight } from '../written/written.js';
import { MOST_HELD } from './edit.js';

/** Codes, and what each place along the scales' axis, or each block, makes of them. */
interface Reading {
  readonly codes: Float64Array;
  readonly scales: ArrayLike<number>;
  readonly zeros: ArrayLike<number>;
  readonly channelOf: (i: number) => number;
  /** Whether a value is one that the code was cut off to. */
  readonly isCut?: (value: number, code: number) => boolean;
}

interface CodeCause {
  readonly kind: string;
  readonly what: string;
  readonly reading: Reading;
}

export interface ExplainedCodes {
  readonly kind: string;
  readonly what: string;
  /** What is left, of the largest value. */
  readonly error: number;
}

/** What rounding to float16 does to a scale, at most. */
const HALF_ROUNDING = 2 ** -11;

/** Of a weight in codes that are not the source's as they are read; null of others, and where nothing explains it. */
export async function explainCodes(source: Tensor, { tensor, quantisation }: WrittenWeight): Promise<ExplainedCodes | null> {
  if (!quantisation || quantisation.kind === 'palette' || `${source.shape}` !== `${tensor.shape}` || elementCount(source.shape) > MOST_HELD) return null;
  const [{ data: wanted }, { data: codes }] = [await readOperand(source), await readOperand(tensor)];
  const { channels, channelOf } = channelsOf(quantisation, tensor.shape);
  const isAffine = quantisation.kind === 'affine';
  const scales = isAffine ? [quantisation.scale] : quantisation.scales;
  const zeros = isAffine ? [-quantisation.min / quantisation.scale] : (quantisation.zeroPoints ?? new Float64Array(scales.length));
  if (scales.length !== channels) return null;
  const stored: Reading = { codes: Float64Array.from(codes), scales, zeros, channelOf };
  const isHeld = heldAt(tensor);
  const errorWith = ({ codes, scales, zeros, channelOf, isCut }: Reading): number | null => {
    let [most, largest] = [0, 0];
    for (let i = 0; i < codes.length; i++) {
      const [scale, zero] = [scales[channelOf(i)]!, zeros[channelOf(i)]!];
      const [value, code] = [wanted[i]!, codes[i]!];
      const off = Math.abs(value - scale * (code - zero));
      largest = Math.max(largest, Math.abs(value));
      const slack = FLOAT32_SLACK * (Math.abs(value) + Math.abs(scale * zero));
      if (off - slack <= scale * HALF_STEP) most = Math.max(most, off);
      else if (!isHeld(value + scale * zero, code, scale) && !isCut?.(value / scale + zero, code)) return null;
    }
    return most / (largest || 1);
  };
  if (errorWith(stored) !== null) return null;
  const weight = { wanted, stored, shape: tensor.shape, axis: quantisation.kind === 'channels' ? quantisation.axis : null, tensor };
  for (const family of families) {
    for (const { kind, what, reading } of family(weight)) {
      const error = errorWith(reading);
      if (error !== null) return { kind, what, error };
    }
  }
  return null;
}

interface CodedWeight {
  readonly wanted: ArrayLike<number>;
  readonly stored: Reading;
  readonly shape: readonly number[];
  /** Of the scales, where each place along one has its own. */
  readonly axis: number | null;
  readonly tensor: Tensor;
}

type CodeFamily = (weight: CodedWeight) => Iterable<CodeCause>;

/** Zero points that the source's values ask for, in whole codes. */
function* zeroPoints({ wanted, stored }: CodedWeight): Iterable<CodeCause> {
  const { codes, scales, zeros, channelOf } = stored;
  const off: number[][] = Array.from(scales, () => []);
  for (let i = 0; i < codes.length; i++) {
    const channel = channelOf(i);
    off[channel]!.push(codes[i]! - wanted[i]! / scales[channel]! - zeros[channel]!);
  }
  // The middle one: codes that were cut off at the last are further off.
  const offset = (c: number) => Math.round(off[c]!.toSorted((a, b) => a - b)[Math.floor(off[c]!.length / 2)] ?? 0);
  const asked = Float64Array.from(scales, (_, c) => zeros[c]! + offset(c));
  const others = [...asked.keys()].filter((c) => offset(c) !== 0);
  const [first] = others;
  if (first === undefined) return;
  const by = -offset(first);
  const isEven = others.length === asked.length && others.every((c) => offset(c) === -by);
  const isNone = Array.from(zeros).every((zero) => zero === 0);
  const count = `${others.length} of ${asked.length} zero points`;
  const what = isEven
    ? `every zero point ${Math.abs(by)} too ${by > 0 ? 'large' : 'small'}, or every code ${Math.abs(by)} too ${by > 0 ? 'small' : 'large'}`
    : `${count} ${isNone ? '0, as if left out' : 'wrong'} (that of ${first} is ${zeros[first]} for ${asked[first]})`;
  yield { kind: 'zero-point', what, reading: { ...stored, zeros: asked, isCut: beyondEnds(codes) } };
}

/** The sign of codes. */
function* signs({ stored, tensor }: CodedWeight): Iterable<CodeCause> {
  const bits = elementBits(tensor);
  const [levels, half] = [2 ** bits, 2 ** (bits - 1)];
  const isUnsigned = tensor.dtype.startsWith('u');
  const low = isUnsigned ? 0 : -half;
  const within = (code: number) => ((((code - low) % levels) + levels) % levels) + low;
  const recoded = (of: (code: number) => number) => ({ ...stored, codes: stored.codes.map(of) });
  yield { kind: 'negated', what: 'codes of the other sign', reading: recoded((code) => -code) };
  yield { kind: 'negated', what: `codes of the other sign, in ${bits} bits`, reading: recoded((code) => within(-code)) };
  yield {
    kind: 'signed-codes',
    what: 'codes with their first bit turned, as signed ones read without a sign',
    reading: recoded((code) => within(code + half)),
  };
}

/** Codes in another order, and scales where they are. */
function* places({ stored, shape, tensor }: CodedWeight): Iterable<CodeCause> {
  const { codes } = stored;
  for (const [axis, size] of shape.entries()) {
    if (size < 2) continue;
    const inner = elementCount(shape.slice(axis + 1));
    const moved = (to: (at: number) => number) => ({
      ...stored,
      codes: codes.map((_, i) => {
        const at = Math.floor(i / inner) % size;
        return codes[i + (to(at) - at) * inner]!;
      }),
    });
    for (const by of [1, -1]) {
      const reading = moved((at) => (at + by + size) % size);
      yield { kind: 'codes-shifted', what: `codes moved on by one along axis ${axis}, beside scales that were not`, reading };
    }
    yield { kind: 'codes-reversed', what: `codes in reverse along axis ${axis}, beside scales that are not`, reading: moved((at) => size - 1 - at) };
  }
  if (elementBits(tensor) !== 4) return;
  const swapped = 'the two codes of each byte exchanged';
  if (codes.length % 2 === 0) yield { kind: 'nibbles-exchanged', what: swapped, reading: { ...stored, codes: codes.map((_, i) => codes[i ^ 1]!) } };
  // As a file has them that keeps a matrix the other way.
  const [rows = 0, columns = 0] = shape;
  if (shape.length !== 2 || rows % 2 !== 0) return;
  yield {
    kind: 'nibbles-exchanged',
    what: swapped,
    reading: { ...stored, codes: codes.map((_, i) => codes[i + (Math.floor(i / columns) % 2 === 0 ? columns : -columns)]!) },
  };
}

/** Scales along another axis of the same length. */
function* axes({ stored, shape, axis }: CodedWeight): Iterable<CodeCause> {
  if (axis === null || stored.scales.length === 1) return;
  for (const [other, size] of shape.entries()) {
    if (other === axis || size !== shape[axis]) continue;
    const inner = elementCount(shape.slice(other + 1));
    const reading = { ...stored, channelOf: (i: number) => Math.floor(i / inner) % size };
    yield { kind: 'scale-axis', what: `scales that belong to axis ${other}, taken along axis ${axis}`, reading };
  }
}

/** Codes that end before the last that the dtype has. */
function* cutOff({ stored }: CodedWeight): Iterable<CodeCause> {
  const [low, high] = endsOf(stored.codes);
  yield { kind: 'codes-cut', what: `codes cut off at ${low} and ${high}`, reading: { ...stored, isCut: beyondEnds(stored.codes) } };
}

/** The smallest and the largest code. */
function endsOf(codes: Float64Array): readonly [low: number, high: number] {
  return [codes.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY), codes.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY)];
}

/** Whether a value, in codes, lies beyond the last one, which it has. */
function beyondEnds(codes: Float64Array): (value: number, code: number) => boolean {
  const [low, high] = endsOf(codes);
  return (value, code) => (code === low && value < low) || (code === high && value > high);
}

/** Scales that the source's values allow, where those of the file are what rounding to float16 leaves. */
function* roundedScales({ wanted, stored }: CodedWeight): Iterable<CodeCause> {
  const { codes, scales, zeros, channelOf } = stored;
  const all = Array.from(scales);
  if (!all.every((scale) => roundToHalf(scale) === scale)) return;
  const [low, high] = [all.map((scale) => scale * (1 - HALF_ROUNDING)), all.map((scale) => scale * (1 + HALF_ROUNDING))];
  for (let i = 0; i < codes.length; i++) {
    const channel = channelOf(i);
    const [steps, value] = [Math.abs(codes[i]! - zeros[channel]!), Math.abs(wanted[i]!)];
    low[channel] = Math.max(low[channel]!, value / (steps + HALF_STEP));
    if (steps > HALF_STEP) high[channel] = Math.min(high[channel]!, value / (steps - HALF_STEP));
  }
  const between = low.map((least, channel) => (least + high[channel]!) / 2);
  if (low.some((least, channel) => least > high[channel]!)) return;
  yield { kind: 'scale-rounded', what: 'scales rounded to float16', reading: { ...stored, scales: between } };
}

/** Likely ones first. */
const families: readonly CodeFamily[] = [roundedScales, axes, signs, zeroPoints, places, cutOff];
