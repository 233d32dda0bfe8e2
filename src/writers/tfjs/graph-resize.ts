/**
 * Resize in graph models beyond what TensorFlow.js's own operators do: along each axis every new element is a sum of old ones, a row of a matrix. Where the
 * sizes are known the matrix is written out, else the graph makes it when it runs.
 */
import { identity } from '../../model/axis-order.js';
import type { Dim, Layer } from '../../model/layer-map.js';
import { OPS } from '../../model/ops/index.js';
import { float32Tensor } from '../../model/tensor.js';
import { Formula, type GraphRule } from './formula.js';
import { flowingInto, flowingNumbers, reshaped, sizesOf } from './graph-flowing.js';
import { lastFirst } from './graph-sampling.js';
import type { GraphTarget } from './graph-target.js';
import type { Lowering } from './lowering.js';
import { axesPlace, front } from './rules.js';
import type { FileValue } from './target.js';

const FLOAT = { type: 'DT_FLOAT' };
/** A matrix that is written out. */
const MOST_NUMBERS = 2 ** 22;

type Words = Readonly<Record<string, string | number | undefined>>;

const isCropped = ({ attributes }: Layer): boolean => attributes.coordinate_transformation_mode === 'tf_crop_and_resize';

function alongOf({ attributes }: Layer, rank: number): readonly number[] {
  return (attributes.axes as readonly number[] | undefined)?.map((axis) => front(axis, rank)) ?? identity(rank);
}

/** Along one axis after the other, which all of these interpolations allow. */
export const resizeByMatrices: GraphRule = (layer, lowering, graph) => {
  const [from, wanted] = [lowering.shape(layer.inputs[0]!), lowering.shape(layer.outputs[0]!)];
  const { attributes } = layer;
  const along = alongOf(layer, from.length);
  const scales = attributes.sizes ? undefined : (attributes.scales as readonly number[] | undefined);
  // An axis that keeps its size by a factor that is not 1 is interpolated all the same, and one that is cut.
  const moved = along.filter((axis, i) => wanted[axis] !== from[axis] || (scales?.[i] ?? 1) !== 1 || isCropped(layer));
  const isWritten =
    (attributes.scales !== undefined || attributes.sizes !== undefined) &&
    !isCropped(layer) &&
    [...from, ...wanted].every((size, i) => typeof size === 'number' || !moved.includes(i % from.length)) &&
    (attributes.keep_aspect_ratio_policy === 'stretch' || from.every((size) => typeof size === 'number'));
  const x = lowering.plain(layer.inputs[0]!);
  const made = isWritten
    ? moved.reduce((value, axis) => resizedByTable(value, axis, layer, lowering, graph), x)
    : flowingResize(x, moved, along, layer, lowering, graph);
  return axesPlace({ ...made, shape: wanted });
};

/** With the matrix that the evaluator makes of unit vectors. */
function resizedByTable(x: FileValue, axis: number, layer: Layer, lowering: Lowering, graph: GraphTarget): FileValue {
  const { attributes } = layer;
  const [from, wanted] = [lowering.shape(layer.inputs[0]!), lowering.shape(layer.outputs[0]!)];
  const along = alongOf(layer, from.length);
  const sizes = attributes.sizes as readonly number[] | undefined;
  const [size, made] = [from[axis] as number, wanted[axis] as number];
  if (size * made > MOST_NUMBERS) return lowering.decline(`a matrix of ${size} x ${made} numbers`);
  // One ratio is for all axes that keep it.
  const isKept = attributes.keep_aspect_ratio_policy !== 'stretch' && sizes !== undefined;
  const ratios = isKept ? along.map((one, i) => sizes[i]! / (from[one] as number)) : [];
  const ratio = attributes.keep_aspect_ratio_policy === 'not_larger' ? Math.min(...ratios) : Math.max(...ratios);
  const scale = sizes ? undefined : (attributes.scales as readonly number[] | undefined)?.[along.indexOf(axis)];
  const own = {
    ...attributes,
    axes: [1],
    roi: undefined,
    ...(scale === undefined ? { scales: undefined, sizes: [isKept ? ratio * size : made] } : { scales: [scale], sizes: undefined }),
  };
  const unit = { shape: [size, size], data: Float64Array.from({ length: size * size }, (_, i) => (i % (size + 1) === 0 ? 1 : 0)) };
  const [matrix] = OPS.Resize!.compute!({ x: unit } as never, own as never, { outputs: 1 });
  const factors = graph.tensor('shares', float32Tensor('shares', [size, made], matrix!.data, { file: 'weighbridge' }));
  const { to, back } = lastFirst(from.length, axis);
  const turned = graph.transpose(x, to);
  const rows = graph.matMul(graph.reshape(turned, ['rows', size]), factors);
  return graph.transpose(graph.reshape(rows, turned.shape.with(-1, made)), back);
}

/** How an axis is resized when the graph runs: single numbers, and the size that its result is known by. */
interface Axis {
  readonly size: FileValue;
  readonly made: FileValue;
  readonly scale: FileValue;
  /** Part of the axis that is read, of a Resize that crops. */
  readonly part: readonly [FileValue, FileValue] | null;
  readonly dims: readonly [from: Dim, to: Dim];
}

function flowingResize(x: FileValue, moved: readonly number[], along: readonly number[], layer: Layer, lowering: Lowering, graph: GraphTarget): FileValue {
  const f = new Formula(graph);
  const wanted = lowering.shape(layer.outputs[0]!);
  const numbers = (slot: 'sizes' | 'scales' | 'roi'): FileValue | null => {
    const stored = layer.attributes[slot] as readonly number[] | undefined;
    if (stored?.length) return graph.floats(slot, stored);
    const flowing = flowingNumbers(layer, slot, lowering, graph);
    return flowing && flowing.count > 0 ? flowing.values : null;
  };
  const single = (values: FileValue, i: number) => graph.reshape(graph.slice(values, 0, i, i + 1), []);
  const all = sizesOf(x, graph);
  const sizes = numbers('sizes');
  const scales = sizes ? null : numbers('scales');
  const roi = isCropped(layer) ? numbers('roi') : null;
  if ((!sizes && !scales) || (isCropped(layer) && !roi)) return lowering.decline('a Resize whose sizes are not given');
  const policy = layer.attributes.keep_aspect_ratio_policy;
  // One ratio is for all axes that keep it.
  const ratio =
    sizes && policy !== 'stretch'
      ? along.map((axis, i) => f.div(single(sizes, i), single(all, axis))).reduce((a, b) => f.two(policy === 'not_larger' ? 'Minimum' : 'Maximum', a, b))
      : null;
  return moved.reduce((value, axis) => {
    const i = along.indexOf(axis);
    const size = single(all, axis);
    const scale = ratio ?? (sizes ? f.div(single(sizes, i), size) : single(scales!, i));
    const made = ratio ? f.one('Floor', f.add(f.mul(ratio, size), 0.5)) : sizes ? single(sizes, i) : f.one('Floor', f.mul(size, scale));
    const part = roi ? ([single(roi, i), single(roi, i + along.length)] as const) : null;
    return resizedAlong(value, axis, { size, made, scale, part, dims: [x.shape[axis]!, wanted[axis]!] }, layer, graph);
  }, x);
}

function resizedAlong(x: FileValue, axis: number, along: Axis, layer: Layer, graph: GraphTarget): FileValue {
  const f = new Formula(graph);
  const rank = x.shape.length;
  const [from, to] = along.dims;
  const at = sourceCoordinates(along, layer, f);
  const order = lastFirst(rank, axis);
  const turned = graph.transpose(x, order.to);
  const rows = graph.matMul(graph.reshape(turned, ['rows', from]), sharesOf(at, along, layer, f));
  const settled = along.part
    ? f.choose(f.add(f.compare('Less', at, 0), f.compare('Greater', at, f.sub(along.size, 1))), (layer.attributes as Words).extrapolation_value as number, rows)
    : rows;
  const made = graph.reshape(along.made, [1]);
  const sizes = rank === 1 ? made : graph.concat([graph.slice(sizesOf(turned, graph), 0, 0, rank - 1), made], 0);
  return graph.transpose(reshaped(settled, sizes, turned.shape.with(-1, to), graph), order.back);
}

/** Where each new element lies among the old ones. Which of them is the nearest hangs on float32, in which runtimes work it out too. */
function sourceCoordinates({ size, made, scale, part, dims }: Axis, layer: Layer, f: Formula): FileValue {
  const places = counted(0, made, dims[1], f);
  const half = (by: FileValue) => f.sub(f.div(f.add(places, 0.5), by), 0.5);
  switch (layer.attributes.coordinate_transformation_mode) {
    case 'asymmetric':
      return f.div(places, scale);
    case 'half_pixel':
      return half(scale);
    case 'pytorch_half_pixel':
      return f.mul(half(scale), f.compare('Greater', made, 1));
    case 'tf_half_pixel_for_nn':
      return f.div(f.add(places, 0.5), scale);
    case 'half_pixel_symmetric':
      // The picture is centred when its size was rounded.
      return f.add(f.mul(f.mul(size, 0.5), f.sub(1, f.div(made, f.mul(size, scale)))), half(scale));
    case 'tf_crop_and_resize': {
      const [start, end] = part!;
      const last = f.sub(size, 1);
      const step = f.two('DivNoNan', f.mul(f.mul(places, f.sub(end, start)), last), f.sub(made, 1));
      const alone = f.mul(f.mul(f.add(start, end), 0.5), last);
      return f.choose(f.compare('Greater', made, 1), f.add(f.mul(start, last), step), alone);
    }
    default:
      return f.two('DivNoNan', f.mul(places, f.sub(size, 1)), f.sub(made, 1));
  }
}

/** Whole numbers in steps of one, as a vector that is known by a size. */
function counted(start: FileValue | number, end: FileValue, dim: Dim, f: Formula): FileValue {
  const first = typeof start === 'number' ? f.graph.scalar('start', start) : start;
  return f.graph.node('Range', [first, end, f.graph.scalar('step', 1)], { Tidx: FLOAT }, [dim]);
}

const NEAREST: Readonly<Record<string, (at: FileValue, f: Formula) => FileValue>> = {
  floor: (at, f) => f.one('Floor', at),
  ceil: (at, f) => f.one('Ceil', at),
  round_prefer_floor: (at, f) => f.one('Ceil', f.sub(at, 0.5)),
  round_prefer_ceil: (at, f) => f.one('Floor', f.add(at, 0.5)),
};

/** [old, new]: how much each old element counts for each new one. */
function sharesOf(at: FileValue, { size, scale, dims: [from, to] }: Axis, layer: Layer, f: Formula): FileValue {
  const { mode, nearest_mode: rounding, cubic_coeff_a: a, exclude_outside: excludes, antialias } = layer.attributes as Words;
  const { graph } = f;
  const column = (values: FileValue) => graph.reshape(values, ['places', 1]);
  const own = column(counted(0, size, from, f));
  const clamp = (values: FileValue) => f.two('Minimum', f.two('Maximum', values, 0), f.sub(size, 1));
  if (mode === 'nearest') return f.compare('Equal', own, graph.reshape(clamp(NEAREST[rounding!]!(at, f)), [1, to]));
  // Smaller pictures are smoothed: each element reaches as much farther.
  const shrunk = antialias ? f.two('Minimum', scale, 1) : null;
  const support = mode === 'linear' ? 1 : 2;
  const margin = shrunk ? f.add(f.one('Ceil', f.div(support, shrunk)), 1) : graph.scalar('margin', support + 1);
  const around = counted(f.one('Neg', margin), f.add(size, margin), 'around', f);
  const distance = f.one('Abs', f.sub(column(around), graph.reshape(at, [1, to])));
  const scaled = shrunk ? f.mul(distance, shrunk) : distance;
  const inside = f.compare('Equal', around, clamp(around));
  const counts = mode === 'linear' ? f.one('Relu', f.sub(1, scaled)) : cubicShare(scaled, a as number, f);
  const shares = excludes ? f.mul(counts, column(inside)) : counts;
  const normal = excludes || shrunk ? f.div(shares, f.reduce('Sum', shares, [0], true)) : shares;
  // What lies outside counts for the element at the edge.
  const edges = f.compare('Equal', own, graph.reshape(clamp(around), [1, 'around']));
  return graph.matMul({ ...edges, shape: [from, 'around'] }, { ...normal, shape: ['around', to] });
}

/** The cubic of Keys at a distance. */
function cubicShare(distance: FileValue, a: number, f: Formula): FileValue {
  const near = f.add(f.mul(f.mul(f.sub(f.mul(distance, a + 2), a + 3), distance), distance), 1);
  const far = f.sub(f.mul(f.add(f.mul(f.sub(f.mul(distance, a), 5 * a), distance), 8 * a), distance), 4 * a);
  return f.choose(f.compare('Less', distance, 1), near, f.mul(far, f.compare('Less', distance, 2)));
}

/** Whether a Resize is one that the rule of both forms can say. */
export function isPlainResize(layer: Layer, lowering: Lowering): boolean {
  const { mode, coordinate_transformation_mode: how, nearest_mode: rounding, ...rest } = layer.attributes as Words;
  const [from, wanted] = [lowering.shape(layer.inputs[0]!), lowering.shape(layer.outputs[0]!)];
  const isPicture = from.length <= 4 && wanted.slice(0, 2).every((size, axis) => size === from[axis]);
  if (!isPicture || rest.exclude_outside || rest.antialias || rest.keep_aspect_ratio_policy !== 'stretch' || !isWorkedOut(layer, from, lowering)) return false;
  const half = how === 'half_pixel' || how === 'pytorch_half_pixel';
  // PyTorch takes the first element where one is left, TensorFlow.js what is in the middle.
  if (how === 'pytorch_half_pixel' && wanted.some((size, axis) => size === 1 && from[axis] !== 1)) return false;
  if (mode === 'linear') return (half || how === 'align_corners' || how === 'asymmetric') && !lostSize(layer, from, wanted);
  if (mode !== 'nearest') return false;
  if (how === 'asymmetric' && rounding === 'floor') return !lostSize(layer, from, wanted);
  const isWhole = wanted.every((size, axis) => {
    const factor = typeof size === 'number' && typeof from[axis] === 'number' ? size / from[axis] : freeFactor(layer, axis, from.length);
    return size === from[axis] || (Number.isInteger(factor) && factor >= 1);
  });
  return half && (isWhole ? String(rounding).startsWith('round') : rounding === 'round_prefer_ceil' && !lostSize(layer, from, wanted));
}

/** The factor of an axis of free size; not a number where its size is given in its place. */
function freeFactor(layer: Layer, axis: number, rank: number): number {
  const { scales, sizes } = layer.attributes as Readonly<Record<string, readonly number[] | undefined>>;
  return (sizes ? undefined : scales?.[alongOf(layer, rank).indexOf(axis)]) ?? Number.NaN;
}

/** Whether the graph can work out the sizes from those that it knows: by whole factors, or as they are given. */
function isWorkedOut(layer: Layer, from: readonly Dim[], lowering: Lowering): boolean {
  if (layer.attributes.sizes) return true;
  if (layer.attributes.scales) {
    return from.every((size, axis) => {
      const factor = freeFactor(layer, axis, from.length);
      return typeof size === 'number' || Number.isNaN(factor) || Number.isInteger(factor);
    });
  }
  const sizes = flowingInto(layer, 'sizes');
  return sizes !== undefined && lowering.types.get(sizes)?.elements?.every((size) => size !== null) === true;
}

/** Whether the scales are not those that lead from one size to the other: TensorFlow.js works them out from the sizes. */
function lostSize({ attributes }: Layer, from: readonly Dim[], wanted: readonly Dim[]): boolean {
  const scales = attributes.scales as readonly number[] | undefined;
  if (!scales || attributes.sizes || attributes.axes || attributes.coordinate_transformation_mode === 'align_corners') return false;
  return scales.some((scale, axis) => typeof from[axis] === 'number' && Math.abs(scale * from[axis] - (wanted[axis] as number)) > 1e-6 * from[axis]);
}
