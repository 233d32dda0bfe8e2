/**
 * What a widened tensor was before: half-precision floats, or the codes of integers with their scale. A writer whose format has the same
 * form stores that, so that nothing becomes larger than it was, and nothing is rounded again.
 */
import { type BlockCodes, blocksOnPath } from './block-form.js';
import { DTYPE_BYTES, type DType } from './dtype.js';
import { packedByteLength } from './packing.js';
import type { PaletteCodes } from './palette.js';
import { isPlaced, type Path, type PlacedStage, type Stage, type Tensor } from './tensor.js';

/** value = scale * (code - zero), one pair for all, or for each place along an axis. */
export interface ChannelCodes {
  readonly kind: 'channels';
  /** In the tensor's own orientation; null where one pair is for all. */
  readonly axis: number | null;
  readonly scales: Float32Array;
  readonly zeroPoints?: ArrayLike<number>;
}

/** value = min + scale * code. */
export interface AffineCodes {
  readonly kind: 'affine';
  readonly scale: number;
  readonly min: number;
}

export interface NarrowForm {
  /** The narrower elements, laid out as the tensor is. */
  readonly stored: Tensor;
  /** How its elements are widened; null for a float of the same value. */
  readonly codes: ChannelCodes | BlockCodes | AffineCodes | PaletteCodes | null;
}

/** The form before the tensor's last step, where that widened it exactly; null where it did not, or has changed it since. */
export function narrowForm(tensor: Tensor): NarrowForm | null {
  const last = tensor.stages.at(-1);
  if (!last?.widens) return null;
  const stored = withoutLast(tensor);
  // Codes of 32 bits, as biases are in, are no narrower, and another form all the same.
  const isCodes = last.widens.kind !== 'cast';
  if (isCodes ? DTYPE_BYTES[stored.dtype] > DTYPE_BYTES[tensor.dtype] : DTYPE_BYTES[stored.dtype] >= DTYPE_BYTES[tensor.dtype]) return null;
  if (last.widens.kind === 'cast') return narrowForm(stored) ?? { stored, codes: null };
  if (last.widens.kind === 'affine' || last.widens.kind === 'palette') return { stored, codes: last.widens };
  if (!isPlaced(last)) return null;
  const { scales, zeroPoints } = last.widens;
  const channels = channelsOf(last, scales, zeroPoints);
  if (channels) return { stored, codes: channels };
  const blocks = blocksOnPath(last, scales, zeroPoints);
  return blocks && { stored, codes: blocks };
}

/** A float tensor as it was before it was widened to another float; any other as it is. */
export function unwidened(tensor: Tensor): Tensor {
  const form = narrowForm(tensor);
  return form?.codes === null ? form.stored : tensor;
}

/** Bytes of the elements as the source has them. */
export function narrowByteLength(tensor: Tensor): number {
  return packedByteLength(narrowForm(tensor)?.stored ?? tensor);
}

/** Of the elements as the source has them. */
export function narrowDType(tensor: Tensor): DType {
  return narrowForm(tensor)?.stored.dtype ?? tensor.dtype;
}

function withoutLast({ known: _, replaces: __, derived: ___, ...tensor }: Tensor): Tensor {
  const stages: readonly (Stage | PlacedStage)[] = tensor.stages.slice(0, -1);
  return { ...tensor, dtype: stages.at(-1)?.dtype ?? tensor.walk.dtype, stages };
}

/** Channels of a step by its path, in the orientation that it has now, and those alone that are left of them; null where they lie along no single axis. */
function channelsOf({ offset, axes }: Path, scales: Float32Array, zeroPoints?: ArrayLike<number>): ChannelCodes | null {
  const told = { kind: 'channels' as const, scales, ...(zeroPoints ? { zeroPoints } : {}) };
  if (scales.length === 1) return { ...told, axis: null };
  const moving = axes.flatMap((loops, axis) => (loops.some(({ size, stride }) => size > 1 && stride !== 0) ? [axis] : []));
  const [axis] = moving;
  if (axis === undefined || moving.length > 1) return null;
  const [loop, ...more] = axes[axis]!.filter(({ size }) => size > 1);
  if (!loop || more.length > 0) return null;
  if (offset === 0 && loop.size === scales.length && loop.stride === 1) return { ...told, axis };
  const own = (from: ArrayLike<number>) => Float64Array.from({ length: loop.size }, (_, i) => from[offset + i * loop.stride]!);
  return { kind: 'channels', axis, scales: Float32Array.from(own(scales)), ...(zeroPoints ? { zeroPoints: own(zeroPoints) } : {}) };
}
