/** Operators that pick, place, repeat and cut: Split, Tile, the Gather and Scatter families, Trilu, CumSum, EyeLike. */
import { ModelError } from '../../errors.js';
import { addDims, divideDim, multiplyDims, subtractDims } from '../dims.js';
import type { Dim } from '../layer-map.js';
import { elementCount, rowMajorStrides } from '../tensor.js';
import { aroundAxis, newValue, pickElements, type Value } from './array.js';
import { dtypeName, int, ints, operator, optional, word } from './operator.js';
import { checkedAxis, movedAxes } from './rules.js';

/** In equal parts, the last smaller, where split does not say. */
export const split = operator({
  op: 'Split',
  slots: ['x', 'split?'],
  attributes: { axis: int(0), split: optional(ints()), num_outputs: { ...int(), optional: true as const } },
  outputs: Number.POSITIVE_INFINITY,
  shape({ x, split: given }, { axis, split }, { outputs, fresh }) {
    const at = checkedAxis(axis, x.shape.length);
    const sizes = split ?? given?.elements ?? (given ? null : equalParts(x.shape[at]!, outputs));
    if (sizes && sizes.length !== outputs) throw new ModelError('malformed', `${sizes.length} parts for ${outputs} outputs`);
    const total = sizes?.reduce<Dim | null>((sum, part) => (sum === null || part === null ? null : addDims(sum, part)), 0);
    if (typeof total === 'number' && typeof x.shape[at] === 'number' && total !== x.shape[at])
      throw new ModelError('malformed', `parts of [${sizes}] of an axis of ${x.shape[at]}`);
    return Array.from({ length: outputs }, (_, i) => x.shape.with(at, sizes?.[i] ?? fresh(i, at)));
  },
  dtype: ({ x }) => new Array(64).fill(x.dtype),
  sign: ({ x }) => x,
  axes: ({ axis }, order) => ({ axis: movedAxes([axis], order)[0]! }),
  onnx: { since: 2, inputs: { split: { since: 13 } }, newer: { num_outputs: 18 } },
  compute({ x, split: given }, { axis, split }, { outputs }) {
    const at = checkedAxis(axis, x.shape.length);
    const sizes = split ?? (given ? [...given.data] : (equalParts(x.shape[at]!, outputs) as number[]));
    let start = 0;
    return sizes.map((size) => {
      const places = x.shape.map((whole, i) => Array.from({ length: i === at ? size : whole }, (_, k) => (i === at ? start + k : k)));
      start += size;
      return pickElements(x, places);
    });
  },
});

function equalParts(size: Dim, count: number): readonly Dim[] {
  const part = divideDim(addDims(size, count - 1), count);
  if (typeof size === 'string') return Array.from({ length: count }, (_, i) => (i < count - 1 ? part : subtractDims(size, multiplyDims(part, count - 1))));
  return Array.from({ length: count }, (_, i) => Math.max(0, Math.min(part as number, size - i * (part as number))));
}

export const tile = operator({
  op: 'Tile',
  slots: ['x', 'repeats?'],
  attributes: { repeats: optional(ints()) },
  shape: ({ x, repeats: given }, { repeats }, { fresh }) => [
    x.shape.map((size, axis) => {
      const times = (repeats ?? given?.elements)?.[axis];
      return times == null ? fresh(0, axis) : multiplyDims(size, times);
    }),
  ],
  moves: true,
  sign: ({ x }) => x,
  axes: ({ repeats }, order) => (repeats ? { repeats: order.map((axis) => repeats[axis]!) } : null),
  onnx: { since: 6, inputs: { repeats: { since: 6 } } },
  compute({ x, repeats: given }, { repeats }) {
    const times = repeats ?? [...given!.data];
    return [
      pickElements(
        x,
        x.shape.map((size, axis) => Array.from({ length: size * times[axis]! }, (_, i) => i % size)),
      ),
    ];
  },
});

const wrapped = (index: number, size: number): number => {
  const at = index < 0 ? index + size : index;
  if (!Number.isInteger(index) || at < 0 || at >= size) throw new ModelError('engine', `index ${index} into an axis of ${size}`);
  return at;
};

/** For each element of the indices the flat place in `shape` that they mean along an axis. */
function placesAlong(indices: Value, shape: readonly number[], axis: number): number[] {
  const strides = rowMajorStrides(shape);
  const own = rowMajorStrides(indices.shape);
  return Array.from(indices.data, (index, i) =>
    indices.shape.reduce((place, size, d) => place + (d === axis ? wrapped(index, shape[axis]!) : Math.floor(i / own[d]!) % size) * strides[d]!, 0),
  );
}

export const gatherElements = operator({
  op: 'GatherElements',
  slots: ['x', 'indices'],
  attributes: { axis: int(0) },
  shape: ({ indices }) => [indices.shape],
  onnx: { since: 11 },
  compute({ x, indices }, { axis }) {
    const places = placesAlong(indices, x.shape, checkedAxis(axis, x.shape.length));
    return [{ shape: indices.shape, data: Float64Array.from(places, (place) => x.data[place]!) }];
  },
});

export const gatherND = operator({
  op: 'GatherND',
  slots: ['x', 'indices'],
  attributes: { batch_dims: int(0) },
  shape({ x, indices }, { batch_dims }) {
    const depth = indices.shape.at(-1);
    if (typeof depth !== 'number') throw new ModelError('unsupported', 'how many axes are picked from is known only when the model runs');
    return [[...indices.shape.slice(0, -1), ...x.shape.slice(batch_dims + depth)]];
  },
  onnx: { since: 11, newer: { batch_dims: 12 } },
  compute({ x, indices }, { batch_dims }) {
    const depth = indices.shape.at(-1)!;
    const slice = elementCount(x.shape.slice(batch_dims + depth));
    const y = newValue([...indices.shape.slice(0, -1), ...x.shape.slice(batch_dims + depth)]);
    const strides = rowMajorStrides(x.shape);
    const rows = indices.data.length / depth;
    const perBatch = rows / elementCount(x.shape.slice(0, batch_dims));
    for (let row = 0; row < rows; row++) {
      let place = Math.floor(row / perBatch) * elementCount(x.shape.slice(batch_dims));
      for (let d = 0; d < depth; d++) place += wrapped(indices.data[row * depth + d]!, x.shape[batch_dims + d]!) * strides[batch_dims + d]!;
      y.data.set(x.data.subarray(place, place + slice), row * slice);
    }
    return [y];
  },
});

const REDUCTIONS = {
  none: (_: number, update: number) => update,
  add: (old: number, update: number) => old + update,
  mul: (old: number, update: number) => old * update,
  max: Math.max,
  min: Math.min,
} as const;

const reducing = { reduction: word('none', 'add', 'mul', 'max', 'min') } as const;
const newerWords = { reduction: { add: 16, mul: 16, max: 18, min: 18 } } as const;

export const scatterElements = operator({
  op: 'ScatterElements',
  slots: ['x', 'indices', 'updates'],
  attributes: { axis: int(0), ...reducing },
  shape: ({ x }) => [x.shape],
  onnx: { since: 11, newer: { reduction: 16 }, newerWords },
  compute({ x, indices, updates }, { axis, reduction }) {
    const data = x.data.slice();
    placesAlong(indices, x.shape, checkedAxis(axis, x.shape.length)).forEach((place, i) => {
      data[place] = REDUCTIONS[reduction](data[place]!, updates.data[i]!);
    });
    return [{ shape: x.shape, data }];
  },
});

export const scatterND = operator({
  op: 'ScatterND',
  slots: ['x', 'indices', 'updates'],
  attributes: reducing,
  shape: ({ x }) => [x.shape],
  onnx: { since: 11, newer: { reduction: 16 }, newerWords },
  compute({ x, indices, updates }, { reduction }) {
    const data = x.data.slice();
    const depth = indices.shape.at(-1)!;
    const slice = elementCount(x.shape.slice(depth));
    const strides = rowMajorStrides(x.shape);
    for (let row = 0; row * depth < indices.data.length; row++) {
      let place = 0;
      for (let d = 0; d < depth; d++) place += wrapped(indices.data[row * depth + d]!, x.shape[d]!) * strides[d]!;
      for (let i = 0; i < slice; i++) data[place + i] = REDUCTIONS[reduction](data[place + i]!, updates.data[row * slice + i]!);
    }
    return [{ shape: x.shape, data }];
  },
});

/** The upper or lower triangle of the last two axes, from the k-th diagonal on. */
export const trilu = operator({
  op: 'Trilu',
  slots: ['x', 'k?'],
  attributes: { k: int(0), upper: int(1) },
  shape: ({ x }) => [x.shape],
  sign: ({ x }) => x,
  onnx: { since: 14, inputs: { k: { since: 14, scalar: true } } },
  compute({ x, k: given }, { k, upper }) {
    const diagonal = given?.data[0] ?? k;
    const [rows, columns] = x.shape.slice(-2) as [number, number];
    const isKept = (row: number, column: number) => (upper ? column - row >= diagonal : column - row <= diagonal);
    return [{ shape: x.shape, data: x.data.map((element, i) => (isKept(Math.floor(i / columns) % rows, i % columns) ? element : 0)) }];
  },
});

export const cumSum = operator({
  op: 'CumSum',
  slots: ['x', 'axis?'],
  attributes: { axis: { ...int(), optional: true as const }, exclusive: int(0), reverse: int(0) },
  shape: ({ x }) => [x.shape],
  sign: ({ x }) => x,
  onnx: { since: 11, inputs: { axis: { since: 11, scalar: true } } },
  compute({ x, axis: given }, { axis, exclusive, reverse }) {
    const { outer, size, inner } = aroundAxis(x.shape, axis ?? given!.data[0]!);
    const y = newValue(x.shape);
    for (let o = 0; o < outer; o++) {
      for (let n = 0; n < inner; n++) {
        let sum = 0;
        for (let step = 0; step < size; step++) {
          const at = (o * size + (reverse ? size - 1 - step : step)) * inner + n;
          if (!exclusive) sum += x.data[at]!;
          y.data[at] = sum;
          if (exclusive) sum += x.data[at]!;
        }
      }
    }
    return [y];
  },
});

/** Reverses the beginnings of lines along one axis, of lengths that flow in for each place of another. */
export const reverseSequence = operator({
  op: 'ReverseSequence',
  slots: ['x', 'lengths'],
  attributes: { batch_axis: int(1), time_axis: int(0) },
  shape: ({ x }) => [x.shape],
  sign: ({ x }) => x,
  onnx: { since: 10 },
  compute({ x, lengths }, { batch_axis, time_axis }) {
    const strides = rowMajorStrides(x.shape);
    const indexOf = (i: number, axis: number) => Math.floor(i / strides[axis]!) % x.shape[axis]!;
    const data = x.data.map((element, i) => {
      const [length, at] = [lengths.data[indexOf(i, batch_axis)]!, indexOf(i, time_axis)];
      return at < length ? x.data[i + (length - 1 - 2 * at) * strides[time_axis]!]! : element;
    });
    return [{ shape: x.shape, data }];
  },
});

/** The slices along an axis (or the elements) for which a condition holds. */
export const compress = operator({
  op: 'Compress',
  slots: ['x', 'condition'],
  attributes: { axis: { ...int(), optional: true as const } },
  shape: ({ x }, { axis }, { fresh }) =>
    axis === undefined ? [[fresh(0, 0)]] : [x.shape.with(checkedAxis(axis, x.shape.length), fresh(0, checkedAxis(axis, x.shape.length)))],
  sign: ({ x }) => x,
  onnx: { since: 9 },
  compute({ x, condition }, { axis }) {
    const flat = axis === undefined ? { shape: [x.data.length], data: x.data } : x;
    const at = checkedAxis(axis ?? 0, flat.shape.length);
    const chosen = [...condition.data.keys()].filter((i) => condition.data[i] !== 0 && i < flat.shape[at]!);
    return [
      pickElements(
        flat,
        flat.shape.map((size, i) => (i === at ? chosen : Array.from({ length: size }, (_, k) => k))),
      ),
    ];
  },
});

export const eyeLike = operator({
  op: 'EyeLike',
  slots: ['x'],
  attributes: { dtype: optional(dtypeName()), k: int(0) },
  shape: ({ x }) => [x.shape],
  dtype: ({ x }, { dtype }) => [(dtype as typeof x.dtype) ?? x.dtype],
  onnx: { since: 9 },
  compute({ x }, { k }) {
    const columns = x.shape[1]!;
    return [{ shape: x.shape, data: x.data.map((_, i) => (i % columns === Math.floor(i / columns) + k ? 1 : 0)) }];
  },
});

/** Channels dealt out again: the first of each group, then the second of each. ONNX writes it as a Reshape, a Transpose and a Reshape. */
export const channelShuffle = operator({
  op: 'ChannelShuffle',
  slots: ['x'],
  attributes: { groups: int() },
  shape: ({ x }) => [x.shape],
  sign: ({ x }) => x,
  onnx: null,
  compute({ x }, { groups }) {
    const { size: channels } = aroundAxis(x.shape, 1);
    const dealt = Array.from({ length: channels }, (_, i) => (i % groups) * (channels / groups) + Math.floor(i / groups));
    const all = (size: number) => Array.from({ length: size }, (_, i) => i);
    return [
      pickElements(
        x,
        x.shape.map((size, axis) => (axis === 1 ? dealt : all(size))),
      ),
    ];
  },
});

/** mode DCR: [depth, column, row] blocks come before channels; CRD: behind. */
export const depthToSpace = operator({
  op: 'DepthToSpace',
  slots: ['x'],
  attributes: { blocksize: int(), mode: word('DCR', 'CRD') },
  shape({ x }, { blocksize }) {
    const [n, c, h, w] = x.shape;
    return [[n!, divideDim(c!, blocksize ** 2), multiplyDims(h!, blocksize), multiplyDims(w!, blocksize)]];
  },
  sign: ({ x }) => x,
  onnx: { newer: { mode: 11 } },
  compute({ x }, { blocksize: b, mode }) {
    const [n, c, h, w] = x.shape as [number, number, number, number];
    const channels = c / (b * b);
    const y = newValue([n, channels, h * b, w * b]);
    let at = 0;
    for (let i = 0; i < n * channels; i++) {
      const [batch, channel] = [Math.floor(i / channels), i % channels];
      for (let row = 0; row < h * b; row++) {
        for (let column = 0; column < w * b; column++) {
          const block = (row % b) * b + (column % b);
          const source = mode === 'DCR' ? block * channels + channel : channel * b * b + block;
          y.data[at++] = x.data[((batch * c + source) * h + Math.floor(row / b)) * w + Math.floor(column / b)]!;
        }
      }
    }
    return [y];
  },
});

export const spaceToDepth = operator({
  op: 'SpaceToDepth',
  slots: ['x'],
  attributes: { blocksize: int(), mode: word('DCR', 'CRD') },
  shape({ x }, { blocksize }) {
    const [n, c, h, w] = x.shape;
    return [[n!, multiplyDims(c!, blocksize ** 2), divideDim(h!, blocksize), divideDim(w!, blocksize)]];
  },
  sign: ({ x }) => x,
  onnx: { newer: { mode: 28 } },
  compute({ x }, { blocksize: b, mode }) {
    const [n, c, h, w] = x.shape as [number, number, number, number];
    const [rows, columns] = [Math.floor(h / b), Math.floor(w / b)];
    const y = newValue([n, c * b * b, rows, columns]);
    let at = 0;
    for (let i = 0; i < n * c * b * b; i++) {
      const [batch, out] = [Math.floor(i / (c * b * b)), i % (c * b * b)];
      const [block, channel] = mode === 'DCR' ? [Math.floor(out / c), out % c] : [out % (b * b), Math.floor(out / (b * b))];
      for (let row = 0; row < rows; row++) {
        for (let column = 0; column < columns; column++) {
          y.data[at++] = x.data[((batch * c + channel) * h + row * b + Math.floor(block / b)) * w + column * b + (block % b)]!;
        }
      }
    }
    return [y];
  },
});
