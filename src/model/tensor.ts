/**
 * Lazy tensors: dtype, shape and origin now, bytes later, in chunks.
 *
 * A tensor is a strided walk over stored elements, followed by stages (byte order, casts, quantisation). Layout changes
 * (HWIO to OIHW, the HWC-to-CHW reorder of a dense layer's rows, a 180 degree kernel flip, a slice) only change the walk,
 * so they compose, cost nothing until the bytes are streamed, and happen once. `tensor-chunks.ts` does the walking.
 */
import { type ByteSource, computedSource, memorySource } from '../bytes/byte-source.js';
import { ModelError } from '../errors.js';
import { DTYPE_BYTES, type DType } from './dtype.js';
import { type Piece, streamChunks, streamPieces } from './tensor-chunks.js';
import { isPlaced, type Loop, type Origin, type Path, type PlacedStage, type Stage, type StoredShape, type Tensor } from './walk.js';

export {
  type Derived,
  isPlaced,
  type Loop,
  type Origin,
  type Path,
  type PlacedStage,
  type Replaced,
  type Stage,
  type Tensor,
  type Walk,
  type Widening,
} from './walk.js';

export interface StoredTensorOptions {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Bytes of the stored elements, the first at byte 0; use `sliceSource` for a span of a file. */
  readonly source: ByteSource;
  readonly origin: Origin;
  /** In elements; row-major when left out. */
  readonly strides?: readonly number[];
  /** Element index in `source` of element [0, 0, ...]. */
  readonly offset?: number;
  readonly bigEndian?: boolean;
}

/** Upper bound on a tensor's elements: the largest count whose byte length stays an exact integer for any dtype. */
const MAX_ELEMENTS = Number.MAX_SAFE_INTEGER / 16;

/** NumPy's own limit, and the largest of any framework's. */
const MAX_RANK = 64;

/**
 * A tensor over stored bytes.
 *
 * @throws ModelError 'malformed' when the shape is not one of non-negative integers, overflows, or needs elements that the
 *   source does not have
 */
export function storedTensor(options: StoredTensorOptions): Tensor {
  const { name, dtype, shape, source, origin, offset = 0 } = options;
  const place = { file: origin.file, tensor: name };
  checkShape(shape, place);
  const strides = options.strides ?? rowMajorStrides(shape);
  if (strides.length !== shape.length || !strides.every(Number.isSafeInteger) || !Number.isSafeInteger(offset)) {
    throw new ModelError('malformed', `strides [${strides}] do not fit the shape [${shape}]`, place);
  }
  if (elementCount(shape) > 0) {
    let first = offset;
    let last = offset;
    shape.forEach((size, axis) => {
      const span = (size - 1) * strides[axis]!;
      if (span < 0) first += span;
      else last += span;
    });
    const stored = Math.floor(source.byteLength / DTYPE_BYTES[dtype]);
    if (first < 0 || last >= stored) {
      throw new ModelError('malformed', `shape [${shape}] of ${dtype} needs elements ${first} to ${last}, but ${stored} are stored`, place);
    }
  }
  const axes = shape.map((size, axis) => [{ size, stride: strides[axis]! }]);
  const stages = options.bigEndian && DTYPE_BYTES[dtype] > 1 ? [byteSwapStage(dtype)] : [];
  return { name, dtype, shape: [...shape], origin, walk: { source, dtype, offset, axes }, stages };
}

/** Whether it is a number of a function, such as the half of a GELU, that its reader knows and no file stores. */
export function isNumber({ shape, origin }: Pick<Tensor, 'shape' | 'origin'>): boolean {
  return elementCount(shape) === 1 && origin.name === undefined && origin.offset === undefined;
}

/** A small tensor whose little-endian bytes are at hand. */
export function constantTensor(name: string, dtype: DType, shape: readonly number[], bytes: Uint8Array, origin: Origin): Tensor {
  return storedTensor({ name, dtype, shape, source: memorySource(bytes, origin.file), origin });
}

/** A float32 tensor of given values. */
export function float32Tensor(name: string, shape: readonly number[], values: ArrayLike<number>, origin: Origin): Tensor {
  return constantTensor(name, 'float32', shape, new Uint8Array(new Float32Array(values).buffer), origin);
}

/**
 * A tensor whose bytes are worked out from other tensors when they are read, for small ones (a batch normalisation's
 * rescaled statistics). The bytes are made when they are read; nothing holds on to them.
 */
export function computedTensor(name: string, dtype: DType, shape: readonly number[], origin: Origin, compute: () => Promise<Uint8Array>): Tensor {
  const byteLength = elementCount(shape) * DTYPE_BYTES[dtype];
  return storedTensor({ name, dtype, shape, source: computedSource(origin.file, byteLength, compute), origin });
}

/** Number of elements of a shape; 1 for a scalar. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Bytes of the tensor's elements, row-major. */
export function tensorByteLength(tensor: Pick<Tensor, 'dtype' | 'shape'>): number {
  return elementCount(tensor.shape) * DTYPE_BYTES[tensor.dtype];
}

export function rowMajorStrides(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= shape[axis]!;
  }
  return strides;
}

/**
 * Reorders axes: axis i of the result is axis `order[i]` of the tensor, as NumPy's transpose.
 *
 * @throws Error when `order` is no permutation of the tensor's axes (a bug, never a file's fault)
 */
export function permute(tensor: Tensor, order: readonly number[]): Tensor {
  if (order.length !== tensor.shape.length || new Set(order).size !== order.length || !order.every((axis) => axis in tensor.shape)) {
    throw new Error(`permute: [${order}] is no order of the ${tensor.shape.length} axes of ${tensor.name}`);
  }
  const shape = order.map((axis) => tensor.shape[axis]!);
  const made = { ...onPaths(tensor, ({ offset, axes }) => ({ offset, axes: order.map((axis) => axes[axis]!) })), shape };
  const before = storedShape(tensor);
  return order.length === 2 && order[0] === 1 && before ? { ...made, ...derivedAs(tensor), stored: { ...before, turned: !before.turned } } : made;
}

/** Reverses the order of elements along the given axes, as NumPy's flip. */
export function flip(tensor: Tensor, flipped: readonly number[]): Tensor {
  return onPaths(tensor, (path) => {
    let { offset } = path;
    const axes = path.axes.map((loops, axis) => {
      if (!flipped.includes(axis)) return loops;
      return loops.map(({ size, stride }) => {
        offset += (size - 1) * stride;
        return { size, stride: -stride };
      });
    });
    return { offset, axes };
  });
}

/**
 * Gives the same elements, in the same row-major order, another shape.
 *
 * @throws ModelError 'malformed' when the counts differ
 */
export function reshape(tensor: Tensor, shape: readonly number[]): Tensor {
  if (elementCount(shape) !== elementCount(tensor.shape)) {
    throw new ModelError(
      'malformed',
      `shape [${tensor.shape}] cannot be read as [${shape}]: ${elementCount(tensor.shape)} elements against ${elementCount(shape)}`,
      {
        file: tensor.origin.file,
        tensor: tensor.name,
      },
    );
  }
  const regrouped = new Map(pathsOf(tensor).map((path) => [path.axes, regroup(path.axes.flat(), shape)]));
  if ([...regrouped.values()].every((axes) => axes !== null)) {
    const before = storedShape(tensor);
    const made = { ...onPaths(tensor, ({ offset, axes }) => ({ offset, axes: regrouped.get(axes)! })), shape: [...shape] };
    const { known } = tensor;
    return { ...made, ...(known ? { known } : {}), ...(before && !before.turned ? { ...derivedAs(tensor), stored: before } : { stored: null }) };
  }
  // The walk crosses the new axes' borders: read it out first. No layout change of a known framework comes here.
  return computedTensor(tensor.name, tensor.dtype, shape, tensor.origin, () => tensorBytes(tensor));
}

/** Whether its source has it in a shape that differs in axes of one place: a matrix as a convolution of 1 x 1, a list as a column. */
export function hasOwnShape({ shape, stored }: Tensor): boolean {
  if (!stored) return false;
  const own = stored.turned ? shape.toReversed() : shape;
  const long = (sizes: readonly number[]) => sizes.filter((size) => size !== 1).join();
  return own.join() !== stored.shape.join() && long(own) === long(stored.shape);
}

/** The elements [start, end) along one axis. */
export function sliceAxis(tensor: Tensor, axis: number, start: number, end: number): Tensor {
  const size = tensor.shape[axis] ?? 0;
  if (start < 0 || end < start || end > size) throw new Error(`sliceAxis: [${start}, ${end}) of ${size}`);
  const shape = tensor.shape.with(axis, end - start);
  if (pathsOf(tensor).some(({ axes }) => axes[axis]!.length !== 1)) {
    return computedTensor(tensor.name, tensor.dtype, shape, tensor.origin, async () => {
      const read = constantTensor(tensor.name, tensor.dtype, tensor.shape, await tensorBytes(tensor), tensor.origin);
      return tensorBytes(sliceAxis(read, axis, start, end));
    });
  }
  const sliced = onPaths(tensor, ({ offset, axes }) => {
    const { stride } = axes[axis]![0]!;
    return { offset: offset + start * stride, axes: axes.with(axis, [{ size: end - start, stride }]) };
  });
  return { ...sliced, shape };
}

function derivedAs({ derived }: Tensor): Pick<Tensor, 'derived'> {
  return derived ? { derived } : {};
}

function storedShape({ shape, stored }: Tensor): StoredShape | null {
  return stored === undefined ? { shape, turned: false } : stored;
}

function pathsOf(tensor: Tensor): Path[] {
  return [tensor.walk, ...tensor.stages.filter(isPlaced)];
}

/** Changes the walk, and the paths of stages in step with it. */
function onPaths({ known: _, replaces: __, derived: ___, ...tensor }: Tensor, change: (path: Path) => Path): Tensor {
  return {
    ...tensor,
    stored: null,
    walk: { ...tensor.walk, ...change(tensor.walk) },
    stages: tensor.stages.map((stage) => (isPlaced(stage) ? { ...stage, ...change(stage) } : stage)),
  };
}

/**
 * The tensor with one more stage.
 *
 * @param stage the path of a placed one has the tensor's axes
 */
export function withStage({ known: _, replaces: __, derived: ___, ...tensor }: Tensor, stage: Stage | PlacedStage): Tensor {
  return { ...tensor, dtype: stage.dtype, stages: [...tensor.stages, stage] };
}

/** Yields the tensor's bytes, little-endian and row-major, in order; a yielded chunk is valid until the next is asked for. */
export function tensorChunks(tensor: Tensor): AsyncIterable<Uint8Array> {
  return streamChunks(tensor);
}

/**
 * The same bytes in pieces that say where they belong, and that come in whatever order reads the source fastest. They cover everything,
 * once. A piece is valid until the next is asked for.
 */
export function tensorPieces(tensor: Tensor): AsyncIterable<Piece> {
  return streamPieces(tensor);
}

/** All bytes of a tensor; for small ones. */
export async function tensorBytes(tensor: Tensor): Promise<Uint8Array> {
  const all = new Uint8Array(tensorByteLength(tensor));
  let position = 0;
  for await (const chunk of tensorChunks(tensor)) {
    all.set(chunk, position);
    position += chunk.byteLength;
  }
  return all;
}

function byteSwapStage(dtype: DType): Stage {
  const unit = dtype.startsWith('complex') ? DTYPE_BYTES[dtype] / 2 : DTYPE_BYTES[dtype];
  return {
    dtype,
    apply(input) {
      for (let start = 0; start < input.byteLength; start += unit) input.subarray(start, start + unit).reverse();
      return input;
    },
  };
}

function checkShape(shape: readonly number[], place: { file: string; tensor: string }): void {
  if (shape.length > MAX_RANK) throw new ModelError('malformed', `a shape of ${shape.length} axes; no framework has more than ${MAX_RANK}`, place);
  let count = 1;
  for (const size of shape) {
    if (!Number.isSafeInteger(size) || size < 0) throw new ModelError('malformed', `shape [${shape}] has a size that is no count`, place);
    count *= size;
    if (count > MAX_ELEMENTS) throw new ModelError('malformed', `shape [${shape}] overflows`, place);
  }
}

/** Distributes loops over the axes of a new shape, splitting loops where axes divide them; null where they do not. */
function regroup(loops: readonly Loop[], shape: readonly number[]): Loop[][] | null {
  if (shape.includes(0)) return shape.map((size) => [{ size, stride: 0 }]);
  const rest = loops.filter((loop) => loop.size !== 1);
  const axes: Loop[][] = [];
  for (const size of shape) {
    const axis: Loop[] = [];
    let needed = size;
    while (needed > 1) {
      const loop = rest.shift();
      if (!loop) return null;
      if (needed % loop.size === 0) {
        axis.push(loop);
        needed /= loop.size;
      } else if (loop.size % needed === 0) {
        const inner = loop.size / needed;
        axis.push({ size: needed, stride: loop.stride * inner });
        rest.unshift({ size: inner, stride: loop.stride });
        needed = 1;
      } else return null;
    }
    axes.push(axis.length > 0 ? axis : [{ size: 1, stride: 0 }]);
  }
  return axes;
}
