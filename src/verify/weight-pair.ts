/**
 * One weight beside the one that it was made from: bit for bit where it was copied or rounded, within half a step where it was quantised.
 *
 * The rule for quantised weights asks nothing of the code that quantised them: whatever the scale is, each value must lie
 * within half of it, and unless the values are met exactly the scale must be no larger than their range needs, or half of it
 * would excuse anything. Wider steps, which make a file small once it is packed, are told by how wide they are; what they cost is
 * judged by what the net gives.
 */
import { castStage, newCastTally } from '../model/cast.js';
import { DTYPE_BYTES, isFloatDType } from '../model/dtype.js';
import { narrowByteLength, narrowForm } from '../model/narrow-form.js';
import { elementBits, packedByteLength, storedDType } from '../model/packing.js';
import { nearestIn } from '../model/palette.js';
import { alignedPieces, firstDifference, type Values, valuesOf } from '../model/side-by-side.js';
import { elementCount, permute, type Replaced, type Tensor, tensorByteLength } from '../model/tensor.js';
import { newWeightTally, watchValues } from '../model/watch.js';
import type { WeightReport } from './report.js';
import { isAsItWas } from './written/as-it-was.js';
import { turnedQuantisation, widenWeight } from './written/widen.js';
import type { WeightQuantisation, WrittenWeight } from './written/written.js';

export interface ComparedWeight {
  /** What is wrong, or null. */
  readonly problem: string | null;
  readonly facts: Omit<WeightReport, 'layer' | 'role'>;
}

/** How much larger than necessary a scale may be: quantisers nudge ranges so that zero is met exactly. */
const SCALE_SLACK = 1.01;
/** Steps that many standard deviations wide change a bell of values by more than half of its size (s / sqrt(12)): next to nothing is left of a weight. */
const WIDEST_STEP = 2;
/** The step between the smallest float32, which is all the choice that a scale has there. */
const SMALLEST_FLOAT32 = 2 ** -149;
/** Roundings of float32 on the way back: the scale, the product, the sum. */
export const FLOAT32_SLACK = 4e-7;
/** Half, and the rounding of the quotient that decides which way a value goes. */
export const HALF_STEP = 0.5 * (1 + 1e-5);

/** Compares one weight; both are read once, in chunks. */
export async function compareWeight(source: Tensor, written: WrittenWeight): Promise<ComparedWeight> {
  return source.replaces ? compareStandIn(source, source.replaces, written) : compareOwn(source, written);
}

/** What stands for a weight must be in the file bit for bit; how far it is from that weight is told. */
async function compareStandIn(source: Tensor, { tensor: original, method }: Replaced, written: WrittenWeight): Promise<ComparedWeight> {
  const form = narrowForm(source);
  const { problem, facts } = await (form?.codes && written.quantisation ? compareOwn(form.stored, { tensor: written.tensor }) : compareOwn(source, written));
  const isSame = problem !== null || isAsItWas(source, written) || !form;
  const error = problem === null ? await errorOf(original, widenWeight(written)) : { maxAbsolute: null, relativeError: null };
  const bytes = {
    byteLengthBefore: narrowByteLength(original),
    byteLengthAfter: facts.byteLengthAfter + quantisationBytes(written.tensor, written.quantisation),
  };
  return { problem: isSame ? problem : 'has other steps than it was written with', facts: { ...facts, ...bytes, ...error, method } };
}

async function compareOwn(source: Tensor, { tensor: stored, quantisation }: WrittenWeight): Promise<ComparedWeight> {
  const facts = {
    name: stored.name,
    dtype: storedDType(stored),
    method: methodOf(source, stored, quantisation),
    count: elementCount(source.shape),
    byteLengthBefore: narrowByteLength(source),
    byteLengthAfter: packedByteLength(stored) + quantisationBytes(stored, quantisation),
  };
  if (source.shape.join() !== stored.shape.join()) {
    const problem = `has the shape [${stored.shape}], expected [${source.shape}]`;
    return { problem, facts: { ...facts, nonFinite: 0, maxAbsolute: null, relativeError: null, equal: false } };
  }
  // Reading both in the stored order keeps a large transposed kernel from being turned twice.
  const turn = stored.shape.length === 2 && isTransposed(stored);
  const [first, second] = turn ? [permute(source, [1, 0]), permute(stored, [1, 0])] : [source, stored];
  const turned = turn && quantisation ? turnedQuantisation(quantisation) : quantisation;
  const found = !turned
    ? await compareExact(first, second)
    : turned.kind === 'palette'
      ? await comparePalette(first, second, turned.table)
      : await compareQuantised(first, second, turned);
  return {
    problem: found.problem,
    facts: {
      ...facts,
      ...(found.step === undefined ? {} : { method: `${facts.method}, steps of up to ${found.step.toPrecision(2)} deviations` }),
      nonFinite: found.nonFinite ?? 0,
      maxAbsolute: found.maxAbsolute,
      relativeError: found.relativeError,
      equal: found.problem === null,
    },
  };
}

interface Found {
  readonly problem: string | null;
  /** NaN and infinities among the stored values. */
  readonly nonFinite?: number;
  readonly maxAbsolute: number | null;
  readonly relativeError: number | null;
  /** The widest step in standard deviations of its values, where that is more than their range needs. */
  readonly step?: number;
}

/** Bit for bit with what rounding to the stored dtype gives. */
async function compareExact(source: Tensor, stored: Tensor): Promise<Found> {
  const isSame = source.dtype === stored.dtype;
  // Whole numbers may be stored as the float32 that they are computed with.
  const isNumber = isFloatDType(source.dtype) || (stored.dtype === 'float32' && /^u?int|^bool$/.test(source.dtype));
  if (!isSame && !(isNumber && isFloatDType(stored.dtype))) {
    return { problem: `is ${stored.dtype} without a scale, and the source is ${source.dtype}`, maxAbsolute: null, relativeError: null };
  }
  const cast = isSame ? null : castStage(source.dtype, stored.dtype, newCastTally());
  const mayCastInPlace = DTYPE_BYTES[source.dtype] === DTYPE_BYTES[stored.dtype];
  let problem: string | null = null;
  let position = 0;
  const [before, after] = [newWeightTally(), newWeightTally()];
  for await (const [a, b] of alignedPieces(source, stored)) {
    watchValues(b, stored.dtype, after);
    if (!isSame && after.nonFinite > 0) watchValues(a, source.dtype, before);
    const differs = firstDifference(cast ? cast.apply(mayCastInPlace ? a.slice() : a) : a, b);
    if (differs >= 0) {
      problem = `differs from the source at byte ${position + differs} of its ${stored.dtype} values`;
      break;
    }
    position += b.byteLength;
  }
  if (!isSame && after.nonFinite > before.nonFinite)
    problem ??= `holds ${after.nonFinite - before.nonFinite} values that are infinite in ${stored.dtype} and finite in the source`;
  const { nonFinite } = after;
  if (problem === null && isSame) return { problem, nonFinite, maxAbsolute: 0, relativeError: 0 };
  return { problem, nonFinite, ...(await errorOf(source, stored)) };
}

/** How far stored values are from the source's, whatever is right. */
async function errorOf(source: Tensor, stored: Tensor): Promise<Omit<Found, 'problem' | 'nonFinite'>> {
  const error = newError();
  for await (const [a, b] of alignedPieces(source, stored)) error.add(valuesOf(a, source.dtype), valuesOf(b, stored.dtype));
  return error.found();
}

/** Each value within half a step of its stored one. */
async function compareQuantised(source: Tensor, stored: Tensor, quantisation: Exclude<WeightQuantisation, { kind: 'palette' }>): Promise<Found> {
  const error = newError();
  const isChannels = quantisation.kind !== 'affine';
  const { channels, channelOf } = channelsOf(quantisation, stored.shape);
  const scales = isChannels ? quantisation.scales : Float64Array.of(quantisation.scale);
  const offsets = isChannels ? Float64Array.from(scales, (scale, c) => -scale * (quantisation.zeroPoints?.[c] ?? 0)) : Float64Array.of(quantisation.min);
  const bad = scales.findIndex((scale) => !(scale > 0) || !Number.isFinite(scale));
  if (bad >= 0 || scales.length !== channels) {
    const problem = bad >= 0 ? `the scale ${scales[bad]} (channel ${bad}) is no positive number` : `${scales.length} scales for ${channels} channels`;
    return { problem, maxAbsolute: null, relativeError: null };
  }
  const low = new Float64Array(channels).fill(Number.POSITIVE_INFINITY);
  const high = new Float64Array(channels).fill(Number.NEGATIVE_INFINITY);
  /** How far values are beyond what rounding in float32 explains. */
  const inexact = new Float64Array(channels);
  const squares = new Float64Array(channels);
  const isHeld = heldAt(stored);
  let problem: string | null = null;
  let position = 0;
  for await (const [a, b] of alignedPieces(source, stored)) {
    const wanted = valuesOf(a, source.dtype);
    const steps = valuesOf(b, stored.dtype);
    const values = new Float64Array(steps.length);
    for (let i = 0; i < steps.length; i++) {
      const channel = channelOf(position + i);
      const [w, scale, offset] = [wanted[i]!, scales[channel]!, offsets[channel]!];
      const value = steps[i]! * scale + offset;
      values[i] = value;
      squares[channel]! += w * w;
      if (w < low[channel]!) low[channel] = w;
      if (w > high[channel]!) high[channel] = w;
      const beyond = Math.abs(w - value) - FLOAT32_SLACK * (Math.abs(w) + Math.abs(offset));
      if (beyond > inexact[channel]!) inexact[channel] = beyond;
      if (!(beyond <= scale * HALF_STEP) && !isHeld(w - offset, steps[i]!, scale))
        problem ??= `stands for ${value} at element ${position + i}, which is more than half a step (${scale / 2}) from ${w}`;
    }
    error.add(wanted, values);
    position += steps.length;
  }
  const isWide = (scale: number, c: number) =>
    inexact[c]! > 0 &&
    scale >
      SMALLEST_FLOAT32 + SCALE_SLACK * neededScale(Math.min(0, low[c]!), Math.max(0, high[c]!), elementBits(stored), isChannels && !quantisation.zeroPoints);
  const each = elementCount(source.shape) / channels;
  let step = 0;
  for (const [c, scale] of scales.entries()) {
    if (!isWide(scale, c)) continue;
    const deviations = scale / Math.sqrt(squares[c]! / each);
    if (deviations > WIDEST_STEP * SCALE_SLACK)
      problem ??= `the scale ${scale} (channel ${c}) is ${deviations.toPrecision(2)} standard deviations of its values, ${low[c]} to ${high[c]}, and leaves next to nothing of them`;
    step = Math.max(step, deviations);
  }
  return { problem, ...error.found(), ...(step > 0 ? { step } : {}) };
}

/** Each value beside the one of the palette that is nearest to it, up to the rounding of the border between two. */
async function comparePalette(source: Tensor, stored: Tensor, table: Float32Array): Promise<Found> {
  const error = newError();
  const ascending = Float32Array.from(table).sort();
  const nearest = nearestIn(ascending);
  let problem: string | null = null;
  let position = 0;
  for await (const [a, b] of alignedPieces(source, stored)) {
    const [wanted, places] = [valuesOf(a, source.dtype), valuesOf(b, stored.dtype)];
    const values = Float64Array.from(places, (place) => table[place] ?? Number.NaN);
    for (let i = 0; i < values.length; i++) {
      const w = wanted[i]!;
      const least = Math.abs(w - ascending[nearest(w)]!);
      if (!(Math.abs(w - values[i]!) <= least + FLOAT32_SLACK * (Math.abs(w) + least)))
        problem ??= `stands for ${values[i]} at element ${position + i}, and ${ascending[nearest(w)]} of its palette is nearer to ${w}`;
    }
    error.add(wanted, values);
    position += values.length;
  }
  return { problem, ...error.found() };
}

/** Where few codes are spread to lose least, values beyond the last are held at it: as far beyond as half of what the codes reach. */
export function heldAt(stored: Tensor): (value: number, code: number, scale: number) => boolean {
  const levels = 2 ** elementBits(stored);
  if (levels > 16) return () => false;
  const [low, high] = stored.dtype.startsWith('u') ? [0, levels - 1] : [-levels / 2, levels / 2 - 1];
  return (value, code, scale) => {
    const steps = value / scale - code;
    return (code === high && steps > 0 && steps <= levels / 4) || (code === low && steps < 0 && steps >= -levels / 4);
  };
}

/** Which scale each element has, of how many. */
export function channelsOf(
  quantisation: Exclude<WeightQuantisation, { kind: 'palette' }>,
  shape: readonly number[],
): { readonly channels: number; readonly channelOf: (i: number) => number } {
  if (quantisation.kind === 'affine' || isOfAll(quantisation)) return { channels: 1, channelOf: () => 0 };
  const { axis } = quantisation;
  const count = shape[axis]!;
  const inner = elementCount(shape.slice(axis + 1));
  if (quantisation.kind === 'channels') return { channels: count, channelOf: (i) => Math.floor(i / inner) % count };
  const { size, shape: blocks } = quantisation;
  const channelOf = (i: number) => (Math.floor(i / (inner * count)) * blocks[axis]! + Math.floor((Math.floor(i / inner) % count) / size)) * inner + (i % inner);
  return { channels: elementCount(blocks), channelOf };
}

/** Whether one scale is that of all values, which then have one range: that of a single channel, too. */
function isOfAll({ kind, scales }: Exclude<WeightQuantisation, { kind: 'palette' | 'affine' }>): boolean {
  return kind === 'channels' && scales.length === 1;
}

/** What has a scale of its own, for reports. */
export const PER: Readonly<Record<WeightQuantisation['kind'], string>> = { channels: 'channel', blocks: 'block', affine: 'tensor', palette: 'palette' };

/** Steps must reach the range from end to end, and symmetric ones (ONNX) the larger side. */
function neededScale(low: number, high: number, bits: number, isSymmetric: boolean): number {
  const levels = 2 ** bits - 1;
  return isSymmetric ? Math.max(-low, high) / Math.floor(levels / 2) : (high - low) / levels;
}

/** Adds up differences; null where they are not finite. */
function newError() {
  let [squares, scale, maxAbsolute] = [0, 0, 0];
  const finite = (value: number) => (Number.isFinite(value) ? value : null);
  return {
    add(source: Values, stored: Values) {
      for (let i = 0; i < source.length; i++) {
        const difference = Math.abs(source[i]! - stored[i]!);
        squares += difference * difference;
        scale += source[i]! * source[i]!;
        if (!(difference <= maxAbsolute)) maxAbsolute = difference;
      }
    },
    found: () => ({ maxAbsolute: finite(maxAbsolute), relativeError: squares === 0 ? 0 : finite(Math.sqrt(squares / scale)) }),
  };
}

/** What a stored weight's form is called in reports. */
function methodOf(source: Tensor, stored: Tensor, quantisation: WeightQuantisation | undefined): string {
  if (isAsItWas(source, { tensor: stored, ...(quantisation ? { quantisation } : {}) })) return 'as is';
  if (quantisation) return `${storedDType(stored)} per ${PER[quantisation.kind]}`;
  if (source.dtype === stored.dtype) return narrowByteLength(source) < tensorByteLength(source) ? 'widened' : 'as is';
  return DTYPE_BYTES[stored.dtype] < DTYPE_BYTES[source.dtype] ? 'rounded' : 'converted';
}

/** Bytes of scales and zero points beside the stored values. */
function quantisationBytes(stored: Tensor, quantisation: WeightQuantisation | undefined): number {
  if (!quantisation || quantisation.kind === 'affine') return 0;
  if (quantisation.kind === 'palette') return quantisation.table.byteLength;
  return quantisation.scales.byteLength + Math.ceil(((quantisation.zeroPoints?.length ?? 0) * elementBits(stored)) / 8);
}

function isTransposed({ walk }: Tensor): boolean {
  return (walk.axes[0]?.[0]?.stride ?? 0) === 1 && (walk.axes[1]?.[0]?.stride ?? 0) !== 1;
}
