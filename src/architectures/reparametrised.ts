/**
 * Weights that PyTorch keeps apart in training, put together as the net computes with them: `weight_norm` has a direction and its length,
 * w = g · v / |v|; `spectral_norm` a weight and two vectors of its largest singular value, w = w₀ / (u · w₀v), which inference does not
 * change; pruning a weight and what is left of it, w = w₀ · mask. The old hooks name them weight_g, weight_v and weight_orig, weight_u,
 * weight_v and weight_orig, weight_mask; the parametrizations of torch 1.9 and later parametrizations.weight.original0, original1 and
 * original, 0._u, 0._v.
 *
 * @see https://github.com/pytorch/pytorch/blob/main/torch/nn/utils/weight_norm.py and spectral_norm.py, prune.py, parametrizations.py beside them
 */
import { type ByteSource, checkRange } from '../bytes/byte-source.js';
import { ModelError } from '../errors.js';
import { toFloat64Array } from '../model/cast.js';
import { DTYPE_BYTES, isFloatDType } from '../model/dtype.js';
import { computedTensor, elementCount, rowMajorStrides, storedTensor, type Tensor, tensorBytes, tensorChunks } from '../model/tensor.js';

export interface Folded {
  /** In the order of the file; each folded weight stands where its first part stood. */
  readonly tensors: ReadonlyMap<string, Tensor>;
  /** Names of the weights that were put together. */
  readonly names: readonly string[];
}

/** What a weight is made of, by the names of its parts. */
interface Parts {
  readonly kind: keyof typeof FORMS;
  readonly of: string;
  readonly names: readonly string[];
}

/** Puts together whatever is complete and fits; parts that do not stay as they are. Nothing is read yet. */
export function foldReparametrised(tensors: ReadonlyMap<string, Tensor>): Folded {
  const folded = new Map<string, Tensor>();
  /** Which weight a part belongs to. */
  const used = new Map<string, string>();
  for (const name of tensors.keys()) {
    const parts = partsOf(name, tensors);
    if (!parts || tensors.has(parts.of) || folded.has(parts.of)) continue;
    const found = parts.names.map((part) => tensors.get(part));
    if (!found.every((tensor) => tensor !== undefined && isFloatDType(tensor.dtype))) continue;
    const whole = FORMS[parts.kind](parts.of, found as Tensor[]);
    if (!whole) continue;
    folded.set(parts.of, whole);
    for (const part of parts.names) used.set(part, parts.of);
  }
  if (folded.size === 0) return { tensors, names: [] };
  const all = new Map<string, Tensor>();
  for (const [name, tensor] of tensors) {
    const of = used.get(name);
    if (of === undefined) all.set(name, tensor);
    else all.set(of, folded.get(of)!);
  }
  return { tensors: all, names: [...folded.keys()] };
}

const FORMS = { weight: weightNorm, spectral: spectralNorm, pruned } as const;

/** By the name of the part that no other form has. */
function partsOf(name: string, tensors: ReadonlyMap<string, Tensor>): Parts | null {
  const found = /^(.*)(_g|_orig)$/.exec(name) ?? /^((?:.*\.)?parametrizations\.\w+)\.(original0|original)$/.exec(name);
  if (!found) return null;
  const [, stem = '', part] = found;
  const of = stem.replace(/parametrizations\.(\w+)$/, '$1');
  if (part === '_g') return { kind: 'weight', of, names: [name, `${stem}_v`] };
  if (part === 'original0') return { kind: 'weight', of, names: [name, `${stem}.original1`] };
  if (part === '_orig' && tensors.has(`${stem}_mask`)) return { kind: 'pruned', of, names: [name, `${stem}_mask`] };
  return { kind: 'spectral', of, names: part === '_orig' ? [name, `${stem}_u`, `${stem}_v`] : [name, `${stem}.0._u`, `${stem}.0._v`] };
}

/** A mask of ones and zeros, of the weight's shape. */
function pruned(name: string, [weight, mask]: readonly Tensor[]): Tensor | null {
  const { dtype, shape, origin } = weight!;
  if (`${mask!.shape}` !== `${shape}` || (dtype !== 'float32' && dtype !== 'float64')) return null;
  return computedTensor(name, dtype, shape, origin, async () => {
    const left = toFloat64Array(await tensorBytes(mask!), mask!.dtype);
    const values = toFloat64Array(await tensorBytes(weight!), dtype).map((value, i) => value * left[i]!);
    return new Uint8Array(dtype === 'float64' ? values.buffer : Float32Array.from(values).buffer);
  });
}

/** The length has the direction's axes, of which all but one have size 1, or none at all. */
function weightNorm(name: string, [length, direction]: readonly Tensor[]): Tensor | null {
  const { shape } = direction!;
  const own = length!.shape;
  if (own.length !== 0 && (own.length !== shape.length || own.some((size, axis) => size !== 1 && size !== shape[axis]))) return null;
  const moving = own.flatMap((size, axis) => (size === 1 ? [] : [axis]));
  if (moving.length > 1) return null;
  return scaled(name, direction!, moving[0] ?? null, async () => {
    const squares = new Float64Array(elementCount(own));
    const channel = channels(shape, moving[0] ?? null);
    await visit(direction!, (value, i) => {
      squares[channel(i)]! += value * value;
    });
    const lengths = toFloat64Array(await tensorBytes(length!), length!.dtype);
    return lengths.map((one, i) => one / Math.sqrt(squares[i]!));
  });
}

/**
 * Rows are those of the first axis, but for transposed convolutions, which the vectors tell: by their sizes, and where both axes have
 * one size by u, which training leaves along Wv.
 */
function spectralNorm(name: string, [weight, u, v]: readonly Tensor[]): Tensor | null {
  const { shape } = weight!;
  const [rows, columns] = [elementCount(u!.shape), elementCount(v!.shape)];
  const fitting = [0, 1].filter((candidate) => shape[candidate] === rows && rows * columns === elementCount(shape));
  if (fitting.length === 0) return null;
  // A matrix is a dense layer's.
  const axes = shape.length > 2 ? fitting : fitting.slice(0, 1);
  return scaled(name, weight!, null, async () => {
    const [left, right] = [toFloat64Array(await tensorBytes(u!), u!.dtype), toFloat64Array(await tensorBytes(v!), v!.dtype)];
    const products = axes.map(() => new Float64Array(rows));
    await visit(weight!, (value, i) => {
      for (const [which, axis] of axes.entries()) {
        // The place of an element among the columns: its index without the axis of the rows.
        const inner = elementCount(shape.slice(axis + 1));
        const column = Math.floor(i / (inner * rows)) * inner + (i % inner);
        products[which]![Math.floor(i / inner) % rows]! += value * right[column]!;
      }
    });
    const along = products.map((product) => dot(left, product) / Math.sqrt(dot(product, product)));
    const best = along[1]! > along[0]! ? 1 : 0;
    const [near, far] = [1 - along[best]!, 1 - along[1 - best]!];
    // Few channels may lie along both by chance; what training left lies ten times nearer.
    const isSure = along[best]! > ALONG && (far - near > MARGIN || near < far / 10);
    if (axes.length === 2 && !isSure && dot(left, products[0]!) !== dot(left, products[1]!))
      throw new ModelError(
        'unsupported',
        `spectral_norm of [${shape}] runs along the first axis, or in a transposed convolution the second, and its vectors do not tell which; save it after remove_spectral_norm`,
        { file: weight!.origin.file, tensor: name },
      );
    return Float64Array.of(1 / dot(left, products[best]!));
  });
}

/** The cosine of u and Wv, and how much larger it must be along one axis than along the other: a step of training moves it by some hundredths. */
const [ALONG, MARGIN] = [0.8, 0.2];

function dot(a: Float64Array, b: Float64Array): number {
  return a.reduce((sum, value, i) => sum + value * b[i]!, 0);
}

function channels(shape: readonly number[], axis: number | null): (i: number) => number {
  if (axis === null) return () => 0;
  const inner = elementCount(shape.slice(axis + 1));
  return (i) => Math.floor(i / inner) % shape[axis]!;
}

async function visit(tensor: Tensor, each: (value: number, i: number) => void): Promise<void> {
  let at = 0;
  for await (const chunk of tensorChunks(tensor)) {
    const values = toFloat64Array(chunk, tensor.dtype);
    for (let i = 0; i < values.length; i++) each(values[i]!, at + i);
    at += values.length;
  }
}

/**
 * The tensor times a factor for each place along an axis, or one for all. The factors take a pass over the tensor, when the first
 * elements are asked for; after that it is read piece by piece.
 */
function scaled(name: string, tensor: Tensor, axis: number | null, measure: () => Promise<Float64Array>): Tensor {
  const dtype = tensor.dtype === 'float64' ? 'float64' : 'float32';
  const { origin, shape } = tensor;
  let factors: Promise<Float64Array> | null = null;
  const channel = channels(shape, axis);
  const multiplied = async (bytes: Uint8Array, first: number) => {
    factors ??= measure();
    const known = await factors;
    const values = toFloat64Array(bytes, tensor.dtype).map((value, i) => value * known[channel(first + i)]!);
    return new Uint8Array(dtype === 'float64' ? values.buffer : Float32Array.from(values).buffer);
  };
  // A view that jumps about is read out first; what training saves lies in one piece.
  if (!isInOnePiece(tensor)) return computedTensor(name, dtype, shape, origin, async () => multiplied(await tensorBytes(tensor), 0));
  const [own, made] = [DTYPE_BYTES[tensor.dtype], DTYPE_BYTES[dtype]];
  const source: ByteSource = {
    name: origin.file,
    byteLength: elementCount(shape) * made,
    async read(start, end) {
      checkRange(source, start, end);
      const [first, last] = [Math.floor(start / made), Math.ceil(end / made)];
      const at = tensor.walk.offset;
      const bytes = await tensor.walk.source.read((at + first) * own, (at + last) * own);
      return (await multiplied(bytes, first)).subarray(start - first * made, end - first * made);
    },
    async readInto(start, target) {
      target.set(await source.read(start, start + target.byteLength));
    },
    async close() {},
  };
  return storedTensor({ name, dtype, shape, source, origin });
}

function isInOnePiece({ shape, walk, stages }: Tensor): boolean {
  const strides = rowMajorStrides(shape);
  return stages.length === 0 && walk.axes.every((loops, axis) => shape[axis] === 1 || (loops.length === 1 && loops[0]!.stride === strides[axis]));
}
