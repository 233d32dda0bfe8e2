/** Operators that only move elements: Flatten, Reshape, Transpose, Concat, Pad and Slice. */
import { ModelError } from '../../errors.js';
import { addDims, productOf, quotientOf } from '../dims.js';
import type { Dim } from '../layer-map.js';
import { elementCount } from '../tensor.js';
import { aroundAxis, newValue, pickElements, transposeValue, type Value } from './array.js';
import { float, int, ints, operator, optional, type Shaped, word } from './operator.js';
import { agreeingDims, checkedAxis, movedAxes } from './rules.js';

export const flatten = operator({
  op: 'Flatten',
  slots: ['x'],
  attributes: { axis: int(1) },
  shape({ x }, { axis }) {
    const at = flattenAxis(axis, x.shape.length);
    return [[productOf(x.shape.slice(0, at)), productOf(x.shape.slice(at))]];
  },
  moves: true,
  sign: ({ x }) => x,
  onnx: {},
  compute({ x }, { axis }) {
    const at = flattenAxis(axis, x.shape.length);
    return [{ shape: [elementCount(x.shape.slice(0, at)), elementCount(x.shape.slice(at))], data: x.data }];
  },
});

/** The axis may also be one past the last. */
function flattenAxis(axis: number, rank: number): number {
  return axis === rank ? rank : checkedAxis(axis, rank);
}

/** shape: 0 copies the input's size (unless allowzero says that it is one), -1 is worked out. */
export const reshape = operator({
  op: 'Reshape',
  slots: ['x', 'shape?'],
  attributes: { shape: optional(ints()), allowzero: int(0) },
  plain: { attributes: { allowzero: 0 } },
  shape({ x, shape: given }, { shape, allowzero }, { fresh }) {
    const elements = shape ?? given?.elements ?? freshElements(given, fresh);
    const wanted = elements.map((size, axis) => (size === 0 && !allowzero ? (x.shape[axis] ?? unknownAxis(axis, x)) : (size ?? fresh(0, axis))));
    const hole = wanted.indexOf(-1);
    const total = productOf(x.shape);
    if (hole >= 0) {
      const rest = quotientOf(total, productOf(wanted.toSpliced(hole, 1)));
      if (rest === null && wanted.every((size) => typeof size === 'number') && typeof total === 'number') throw unfit(x, wanted);
      return [wanted.with(hole, rest ?? fresh(0, hole))];
    }
    const made = productOf(wanted);
    if (typeof total === 'number' && typeof made === 'number' && total !== made) throw unfit(x, wanted);
    return [wanted];
  },
  moves: true,
  settle({ x, shape }, { allowzero = 0 }) {
    const sizes = shape?.elements?.map((size, axis) => (typeof size === 'number' ? size : size !== null && x?.shape?.[axis] === size && !allowzero ? 0 : null));
    if (!sizes) return undefined;
    // One size that is known only when the model runs can be left to be worked out.
    const hole = sizes.includes(-1) ? -1 : sizes.indexOf(null);
    const wanted = hole < 0 ? sizes : sizes.with(hole, -1);
    return wanted.every((size) => size !== null) ? { shape: wanted } : undefined;
  },
  sign: ({ x }) => x,
  onnx: { since: 1, inputs: { shape: { since: 5 } }, newer: { allowzero: 14 } },
  compute({ x, shape: given }, { shape, allowzero }) {
    const wanted = (shape ?? [...given!.data]).map((size, axis) => (size === 0 && !allowzero ? x.shape[axis]! : size));
    const known = elementCount(wanted.filter((size) => size >= 0));
    const made = wanted.map((size) => (size === -1 ? x.data.length / known : size));
    if (elementCount(made) !== x.data.length) throw new ModelError('engine', `the shape [${x.shape}] cannot become [${wanted}]`);
    return [{ shape: made, data: x.data }];
  },
});

const unfit = (x: Shaped, wanted: readonly Dim[]) => new ModelError('malformed', `the shape [${x.shape}] cannot become [${wanted}]`);

function unknownAxis(axis: number, x: Shaped): never {
  throw new ModelError('malformed', `axis ${axis} is to be copied, which the shape [${x.shape}] lacks`);
}

/** Sizes that nothing tells, as many as the shape has elements. */
export function freshElements(shape: Shaped | undefined, fresh: (output: number, axis: number) => Dim): readonly Dim[] {
  const [rank] = shape?.shape ?? [];
  if (typeof rank !== 'number') throw new ModelError('unsupported', 'how many axes it makes is known only when the model runs');
  return Array.from({ length: rank }, (_, axis) => fresh(0, axis));
}

export const transpose = operator({
  op: 'Transpose',
  slots: ['x'],
  attributes: { perm: ints() },
  shape({ x }, { perm }) {
    const fits = perm.length === x.shape.length && perm.every((axis) => axis in x.shape) && new Set(perm).size === perm.length;
    if (!fits) throw new ModelError('malformed', `[${perm}] is no order of the axes of [${x.shape}]`);
    return [perm.map((axis) => x.shape[axis]!)];
  },
  moves: true,
  sign: ({ x }) => x,
  onnx: {},
  compute: ({ x }, { perm }) => [transposeValue(x, perm)],
});

export const concat = operator({
  op: 'Concat',
  slots: ['parts...'],
  attributes: { axis: int() },
  shape({ parts }, { axis }) {
    const shapes = parts.map(({ shape }) => shape);
    const at = checkedAxis(axis, shapes[0]!.length);
    const sizes = agreeingDims(shapes, at);
    return [sizes.with(at, shapes.map((shape) => shape[at]!).reduce(addDims))];
  },
  moves: true,
  sign: ({ parts }) => parts.every((part) => part),
  axes: ({ axis }, order) => ({ axis: movedAxes([axis], order)[0]! }),
  onnx: { defaults: { axis: { before: 4, value: 1 } } },
  compute: ({ parts }, { axis }) => [joinValues(parts, axis)],
});

export function joinValues(parts: readonly Value[], axis: number): Value {
  const shapes = parts.map(({ shape }) => shape);
  const at = checkedAxis(axis, shapes[0]!.length);
  const sizes = agreeingDims(shapes, at) as readonly number[];
  const y = newValue(
    sizes.with(
      at,
      shapes.reduce((sum, shape) => sum + shape[at]!, 0),
    ),
  );
  const { outer } = aroundAxis(y.shape, at);
  let position = 0;
  for (let o = 0; o < outer; o++) {
    for (const { data } of parts) {
      const run = data.length / outer;
      y.data.set(data.subarray(o * run, (o + 1) * run), position);
      position += run;
    }
  }
  return y;
}

/** pads: [begin of each axis ..., end of each], batch and channels included; negative ones cut off. */
export const pad = operator({
  op: 'Pad',
  slots: ['x', 'pads?', 'value?', 'axes?'],
  // 'reflect' mirrors about the edge element, which is not repeated; 'wrap' goes on at the other end.
  attributes: { pads: optional(ints()), mode: word('constant', 'reflect', 'edge', 'wrap'), value: float(0) },
  plain: { attributes: {} },
  shape({ x, pads: given, axes }, { pads }, { fresh }) {
    const rank = x.shape.length;
    // Which axes the pads are of is known only when the model runs.
    if (axes) return [x.shape.map((_, axis) => fresh(0, axis))];
    const elements = pads ?? given?.elements;
    if (elements && elements.length !== 2 * rank) throw new ModelError('malformed', `${elements.length} pads for [${x.shape}]`);
    return [
      x.shape.map((size, axis) => {
        const [begin, end] = [elements?.[axis], elements?.[axis + rank]];
        return begin == null || end == null ? fresh(0, axis) : addDims(size, addDims(begin, end));
      }),
    ];
  },
  sign: ({ x, value: filled }, { mode, value }) => x && (mode !== 'constant' || (filled ?? value >= 0)),
  axes: ({ pads }, order) => (pads ? { pads: [...order.map((axis) => pads[axis]!), ...order.map((axis) => pads[axis + order.length]!)] } : null),
  onnx: { since: 2, inputs: { pads: { since: 11 }, value: { since: 11, scalar: true } }, newerWords: { mode: { wrap: 19 } }, newerSlots: { axes: 18 } },
  compute({ x, pads: given, value: flowing, axes }, { pads: fixed, mode, value }) {
    const pads = axes ? spreadPads(fixed ?? [...given!.data], [...axes.data], x.shape.length) : (fixed ?? [...given!.data]);
    const places = x.shape.map((size, axis) => {
      const begin = pads[axis]!;
      const end = pads[axis + x.shape.length]!;
      const length = Math.max(0, size + begin + end);
      // What is cut off is not gone on with.
      const [first, left] = [Math.max(0, -begin), size - Math.max(0, -begin) - Math.max(0, -end)];
      return Array.from({ length }, (_, i) => {
        const at = i - begin;
        if (at >= 0 && at < size) return at;
        if (mode === 'constant') return -1;
        if (mode === 'edge') return Math.max(0, Math.min(size - 1, at));
        if (mode === 'wrap') return first + ((((at - first) % left) + left) % left);
        const period = 2 * (size - 1);
        const wrapped = period === 0 ? 0 : ((at % period) + period) % period;
        return Math.min(wrapped, period - wrapped);
      });
    });
    return [pickElements(x, places, flowing?.data[0] ?? value)];
  },
});

/** Pads of some axes as pads of all. */
export function spreadPads(pads: readonly number[], axes: readonly number[], rank: number): readonly number[] {
  const all = new Array<number>(2 * rank).fill(0);
  axes.forEach((axis, i) => {
    const at = checkedAxis(axis, rank);
    [all[at], all[at + rank]] = [pads[i]!, pads[i + axes.length]!];
  });
  return all;
}

/** starts, ends, axes and steps as NumPy's slices; axes are the leading ones and steps 1 where left out. */
export const slice = operator({
  op: 'Slice',
  slots: ['x', 'starts?', 'ends?', 'axes?', 'steps?'],
  attributes: { starts: optional(ints()), ends: optional(ints()), axes: optional(ints()), steps: optional(ints()) },
  plain: { attributes: { steps: undefined } },
  shape({ x, starts: givenStarts, ends: givenEnds, axes: givenAxes, steps: givenSteps }, { starts, ends, axes, steps }, { fresh }) {
    const from = starts ?? givenStarts?.elements ?? [];
    const to = ends ?? givenEnds?.elements ?? [];
    const along = axes ?? givenAxes?.elements ?? (givenAxes ? undefined : from.map((_, axis) => axis));
    // Which axes are cut is known only when the model runs: any of them may be.
    if (!along?.every((axis) => typeof axis === 'number')) return [x.shape.map((_, axis) => fresh(0, axis))];
    const by = steps ?? givenSteps?.elements;
    const cut = (along as readonly number[]).map((axis) => checkedAxis(axis, x.shape.length));
    return [
      x.shape.map((size, axis) => {
        const i = cut.indexOf(axis);
        if (i < 0) return size;
        return slicedSize(size, from[i] ?? null, to[i] ?? null, givenSteps && by === undefined ? null : (by?.[i] ?? 1)) ?? fresh(0, axis);
      }),
    ];
  },
  moves: true,
  sign: ({ x }) => x,
  axes: ({ axes }, order) => (axes ? { axes: movedAxes(axes, order) } : null),
  onnx: { inputs: { starts: { since: 10 }, ends: { since: 10 }, axes: { since: 10 }, steps: { since: 10 } } },
  compute({ x, starts, ends, axes, steps }, given) {
    const from = given.starts ?? [...starts!.data];
    const to = given.ends ?? [...ends!.data];
    const along = given.axes ?? (axes ? [...axes.data] : from.map((_, axis) => axis));
    const by = given.steps ?? (steps ? [...steps.data] : from.map(() => 1));
    const cut = along.map((axis) => checkedAxis(axis, x.shape.length));
    return [
      pickElements(
        x,
        x.shape.map((size, axis) => {
          const i = cut.indexOf(axis);
          if (i < 0) return Array.from({ length: size }, (_, at) => at);
          const { start, count } = sliceRange(size, from[i]!, to[i]!, by[i]!);
          return Array.from({ length: count }, (_, k) => start + k * by[i]!);
        }),
      ),
    ];
  },
});

/** The elements that a slice takes of an axis, its ends clamped to the axis as NumPy clamps them. */
function sliceRange(size: number, start: number, end: number, step: number): { start: number; count: number } {
  if (step === 0) throw new ModelError('malformed', 'a slice with steps of 0');
  const clamp = (at: number, low: number, high: number) => Math.max(low, Math.min(high, at < 0 ? at + size : at));
  const [first, last] = step > 0 ? [clamp(start, 0, size), clamp(end, 0, size)] : [clamp(start, 0, size - 1), clamp(end, -1, size - 1)];
  return { start: first, count: Math.max(0, Math.ceil((last - first) / step)) };
}

/** Size of a slice; null where it depends on what is known only when the model runs. */
function slicedSize(size: Dim, start: Dim | null, end: Dim | null, step: Dim | null): Dim | null {
  if (typeof size === 'number' && typeof start === 'number' && typeof end === 'number' && typeof step === 'number')
    return sliceRange(size, start, end, step).count;
  // From the beginning to whatever end: ends beyond any size are how exporters say "all".
  if (step === 1 && start === 0 && typeof end === 'number' && end >= 2 ** 31 - 1) return size;
  if (step === 1 && start === 0 && end === size) return size;
  return null;
}
