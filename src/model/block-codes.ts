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
import { type Kernels, kernelMemory, kernelsOver } from './kernel-instance.js';
import { dequantiseAlong, encodeAlong } from './quantise.js';
import { PIECE_VALUES } from './quantise-bench.js';
import { elementCount, type Loop, type Path, permute, rowMajorStrides, type Tensor, tensorChunks } from './tensor.js';

/** Codes that there are. */
export type CodeRange = 'int4' | 'uint4';

/** The first and the last of each. */
export const CODE_RANGES: Readonly<Record<CodeRange, readonly [low: number, high: number]>> = { int4: [-8, 7], uint4: [0, 15] };
/**
 * Scales that are tried: the span of a block times the first over the second. The largest magnitude is put where these codes are, and the values
 * beyond the last code are held at it; with a zero point, such parts of the range are covered.
 */
const TRIALS: Readonly<Record<CodeRange, readonly (readonly [factor: number, divisor: number])[]>> = {
  int4: [8, 7.5, 7, 7.9 / 0.9, 7.9 / 0.8].map((reach) => [1, reach] as const),
  uint4: [1, 0.93, 0.85].map((part) => [part, 15] as const),
};

export function dequantiseBlocks(tensor: Tensor, codes: Omit<BlockCodes, 'kind'>): Tensor {
  return dequantiseAlong(tensor, blockPath(tensor.shape, codes), codes.scales, codes.zeroPoints);
}

/** Codes of a weight, an element a byte. Values beyond the codes are held at the last. */
export function quantiseBlocks(tensor: Tensor, codes: Omit<BlockCodes, 'kind'>, range: CodeRange): Tensor {
  return encodeFew(tensor, blockPath(tensor.shape, codes), codes, range);
}

/** The same, one scale for each place along an axis. */
export function quantiseFew(tensor: Tensor, axis: number, codes: Pick<BlockCodes, 'scales' | 'zeroPoints'>, range: CodeRange): Tensor {
  const path = { offset: 0, axes: tensor.shape.map((size, i) => [{ size, stride: i === axis ? 1 : 0 }]) };
  return encodeFew(tensor, path, codes, range);
}

function encodeFew(tensor: Tensor, path: Path, { scales, zeroPoints }: Pick<BlockCodes, 'scales' | 'zeroPoints'>, range: CodeRange): Tensor {
  const [low, high] = CODE_RANGES[range];
  return encodeAlong(tensor, path, scales, { dtype: range === 'int4' ? 'int8' : 'uint8', bits: 4, low, high, zeros: zeroPoints && new Uint8Array(zeroPoints) });
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
  const slab = size * inner;
  const bench = new BlockBench(size, inner, Math.max(1, Math.floor(PIECE_VALUES / slab)), range);
  let [filled, at] = [0, 0];
  const measure = () => {
    const count = filled / size;
    bench.choose(count);
    scales.set(bench.scales.subarray(0, count), at);
    if (range === 'uint4') zeroPoints.set(bench.zeros.subarray(0, count), at);
    [filled, at] = [0, at + count];
  };
  for await (const chunk of tensorChunks(castTensor(tensor, 'float32'))) {
    const values = new Float32Array(chunk.buffer, chunk.byteOffset, chunk.byteLength / 4);
    for (let start = 0; start < values.length; ) {
      const taken = Math.min(bench.held.length - filled, values.length - start);
      bench.held.set(values.subarray(start, start + taken), filled);
      [filled, start] = [filled + taken, start + taken];
      if (filled === bench.held.length) measure();
    }
  }
  if (filled > 0) measure();
  if (!areFinite(scales))
    throw new ModelError('unsupported', 'holds NaN or infinite values, which codes cannot hold', { file: tensor.origin.file, tensor: tensor.name });
  return { scales, ...(range === 'uint4' ? { zeroPoints } : {}) };
}

/** A loop: a function called for each of some million scales takes as long as finding them. */
function areFinite(values: Float32Array): boolean {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) return false;
  return true;
}

/** The kernel has a group in each lane of a vector. */
const LANES = 4;

/** Groups of values in the memory of the kernel that chooses their scales. */
class BlockBench {
  /** To be filled: slabs of `size` rows of `inner` values, a group in each column. */
  readonly held: Float32Array;
  readonly scales: Float32Array;
  readonly zeros: Uint8Array;
  /** As the kernel takes them. */
  readonly #groups: Float32Array;
  /** Values of one; 0 where they lie beside each other, as they are held. Else each is filled up with zeros, which change nothing, to a multiple of four. */
  readonly #stride: number;
  readonly #trials: Float64Array;
  /** Address of the vectors that the kernel works on. */
  readonly #lanes: number;
  readonly #kernels: Kernels;

  constructor(
    readonly size: number,
    readonly inner: number,
    slabs: number,
    readonly range: CodeRange,
  ) {
    const groups = slabs * inner;
    this.#stride = inner < LANES ? 4 * Math.ceil(size / 4) : 0;
    const trials = TRIALS[range];
    const isTurned = this.#stride !== 0 && (inner > 1 || this.#stride !== size);
    // The kernel reads and writes as if the number of groups were a multiple of that of the lanes.
    const beyond = LANES - 1;
    const values = Math.max(groups * size, isTurned ? 0 : (groups + beyond) * this.#stride);
    const turned = isTurned ? (groups + beyond) * this.#stride : 0;
    const vectors = size + LANES;
    const memory = kernelMemory(16 * trials.length + 16 * vectors + 4 * (values + turned + groups + beyond) + groups + beyond);
    this.#trials = new Float64Array(memory, 0, 2 * trials.length);
    this.#trials.set(trials.flat());
    this.#lanes = this.#trials.byteLength;
    this.held = new Float32Array(memory, this.#lanes + 16 * vectors, groups * size);
    this.#groups = isTurned ? new Float32Array(memory, this.held.byteOffset + 4 * values, groups * this.#stride) : this.held;
    this.scales = new Float32Array(memory, this.held.byteOffset + 4 * (values + turned), groups + beyond);
    this.zeros = new Uint8Array(memory, this.scales.byteOffset + this.scales.byteLength, groups + beyond);
    this.#kernels = kernelsOver(memory)!.kernels;
  }

  /** Chooses scales, and zeros of uint4, for the first groups. A scale is not finite where a value is not. */
  choose(groups: number): void {
    const { size, inner, held } = this;
    const stride = this.#stride;
    if (stride === 0) {
      for (let first = 0; first < groups; first += inner) this.#scales(first, held.byteOffset + first * size * 4, inner, size, inner * 4);
      return;
    }
    for (let first = 0; first < groups && held !== this.#groups; first += inner) {
      const [to, from] = [this.#groups.byteOffset + first * stride * 4, held.byteOffset + first * size * 4];
      this.#kernels.transpose(to, stride * 4, from, inner * 4, size, inner);
    }
    this.#scales(0, this.#groups.byteOffset, groups, stride, 4);
  }

  /** @param first group whose scale it is; what is written behind the last is written over by the next */
  #scales(first: number, source: number, groups: number, size: number, step: number): void {
    const zeros = this.range === 'uint4' ? this.zeros.byteOffset + first : 0;
    const [low, high] = CODE_RANGES[this.range];
    const tries = TRIALS[this.range].length;
    this.#kernels.blockScales(this.scales.byteOffset + 4 * first, zeros, source, groups, size, step, this.#lanes, this.#trials.byteOffset, tries, low, high);
  }
}
