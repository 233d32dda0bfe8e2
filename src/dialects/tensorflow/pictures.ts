/** Nodes that make pictures larger or smaller, or cut parts out of them. */
import type { Value } from '../../model/builder.js';
import { scaleTo } from '../../model/ops/index.js';
import type { TfOperation } from './node.js';
import { areaWeights, cubicWeights, integerLinearWeights, KERNEL_NAMES, kernelWeights, type Weights } from './resampling.js';
import type { TfRule } from './rule.js';

/** What lies between pixels is worked out in float32, of pictures in integers too. */
function inFloats(operation: TfOperation, x: Value): Value {
  return x.dtype === null || x.dtype === 'float32' ? x : operation.before('Cast', [x], { to: 'float32' });
}

type Mode = 'nearest' | 'linear' | 'cubic';

const resize =
  (mode: Mode): TfRule =>
  (operation) =>
    resized(operation, mode, operation.flag('align_corners'), operation.flag('half_pixel_centers'));

/** inputs: picture, height and width of what is made of it. */
export function resized(operation: TfOperation, mode: Mode, corners: boolean, centers: boolean): Value {
  const x = operation.input(0);
  if (operation.rank(x) !== 4) throw operation.decline('pictures have four axes');
  const coordinate_transformation_mode = corners ? 'align_corners' : centers ? 'half_pixel' : 'asymmetric';
  // TensorFlow's nearest with half pixels takes the element under the centre: floor of a coordinate that is half a pixel further on.
  const nearest_mode = mode === 'nearest' && corners ? 'round_prefer_ceil' : mode === 'nearest' && centers ? 'round_prefer_ceil' : 'floor';
  const { elements } = operation.input(1);
  const sizes = elements?.every((size) => typeof size === 'number') ? (elements as readonly number[]) : null;
  const from = x.shape!.slice(1, 3);
  const turned = operation.first(mode === 'nearest' ? x : inFloats(operation, x), true);
  const attributes = {
    mode,
    coordinate_transformation_mode,
    nearest_mode,
    // With half pixels it is Keys's cubic without what lies beyond the border; before, it was another one with the border repeated.
    ...(mode === 'cubic' ? { cubic_coeff_a: centers ? -0.5 : -0.75, exclude_outside: centers ? 1 : 0 } : {}),
  };
  if (sizes && from.every((size) => typeof size === 'number')) {
    const scales = from.map((size, axis) => scaleTo(size as number, sizes[axis]!, mode));
    const isExact = scales.every((scale) => scale !== null);
    if (!isExact && mode === 'nearest') return picked(operation, turned, from as readonly number[], sizes, corners, centers);
    const how = isExact ? { scales: [1, 1, ...(scales as number[])] } : { axes: [2, 3], sizes: [...sizes] };
    return operation.back((name) => operation.add('Resize', [turned], { ...attributes, ...how }, name), true);
  }
  const factors = from.map((size, i) => operation.factorOf(elements?.[i], size));
  if (factors.some((factor) => factor === null)) {
    const wanted = operation.before('Cast', [operation.input(1)], { to: 'int64' });
    if (mode === 'nearest') return pickedByFlow(operation, turned, wanted, corners, centers);
    return operation.back((name) => operation.add('Resize', [turned, null, null, wanted], { ...attributes, axes: [2, 3] }, name), true);
  }
  return operation.back((name) => operation.add('Resize', [turned], { ...attributes, scales: [1, 1, ...(factors as number[])] }, name), true);
}

/** Rows and columns that are the nearest, where no factor says so in all runtimes. */
function picked(operation: TfOperation, x: Value, from: readonly number[], to: readonly number[], corners: boolean, centers: boolean): Value {
  const gathered = (value: Value, axis: 0 | 1, name?: string) => {
    const [old, wanted] = [from[axis]!, to[axis]!];
    // In float32, as kernels work it out.
    const step = Math.fround(corners && wanted > 1 ? (old - 1) / (wanted - 1) : old / wanted);
    const places = Array.from({ length: wanted }, (_, i) => {
      const at = Math.fround((centers ? i + 0.5 : i) * step);
      return Math.min(old - 1, Math.floor(corners ? at + 0.5 : at));
    });
    const indices = operation.build.numbers('int64', places);
    return name === undefined
      ? operation.before('Gather', [value, indices], { axis: axis + 2 })
      : operation.add('Gather', [value, indices], { axis: axis + 2 }, name);
  };
  return operation.back((name) => gathered(gathered(x, 0), 1, name), true);
}

/** The same of sizes that flow in, in float32 too. */
function pickedByFlow(operation: TfOperation, x: Value, wanted: Value, corners: boolean, centers: boolean): Value {
  const number = (value: number) => operation.build.numbers('float32', [value], []);
  const one = (op: string, ...inputs: Value[]) => operation.before(op, inputs);
  const element = (values: Value, at: number) =>
    operation.before('Cast', [operation.before('Gather', [values, operation.build.numbers('int64', [at], [])])], { to: 'float32' });
  const sizes = operation.before('Shape', [x]);
  const gathered = (value: Value, axis: 0 | 1, name?: string) => {
    const [old, made] = [element(sizes, axis + 2), element(wanted, axis)];
    const last = one('Sub', old, number(1));
    const step = corners ? one('Div', last, one('Max', one('Sub', made, number(1)), number(1))) : one('Div', old, made);
    const rows = one('Range', number(0), made, number(1));
    const at = one('Mul', centers ? one('Add', rows, number(0.5)) : rows, step);
    const nearest = one('Min', one('Floor', corners ? one('Add', at, number(0.5)) : at), last);
    const inputs = [value, operation.before('Cast', [nearest], { to: 'int64' })];
    return name === undefined ? operation.before('Gather', inputs, { axis: axis + 2 }) : operation.add('Gather', inputs, { axis: axis + 2 }, name);
  };
  return operation.back((name) => gathered(gathered(x, 0), 1, name), true);
}

/** Far larger pictures than nets are given, for which a matrix would be. */
const MAX_WEIGHTS = 2 ** 22;

/** Sizes of a picture and of what is made of it, where all of them are known. */
function knownSizes(operation: TfOperation): readonly [readonly number[], readonly number[]] | null {
  const from = operation.sizes(operation.input(0)).slice(1, 3);
  const { elements: to } = operation.input(1);
  const isKnown = [from, to ?? [null]].every((sizes) => sizes.every((size) => typeof size === 'number'));
  if (!isKnown || from.some((size, axis) => (size as number) * (to![axis] as number) > MAX_WEIGHTS)) return null;
  return [from as readonly number[], to as readonly number[]];
}

/** Products of each channel [height, width] with a matrix on either side. */
function weighed(operation: TfOperation, [down, across]: readonly [Weights, Weights]): Value {
  const matrix = (rows: Weights) =>
    operation.build.numbers(
      'float32',
      [...rows].flatMap((row) => [...row]),
      [rows.length, rows[0]!.length],
    );
  const turned = Array.from(across[0]!, (_, column) => Float64Array.from(across, (row) => row[column]!));
  const x = operation.first(inFloats(operation, operation.input(0)), true);
  return operation.back((name) => operation.add('MatMul', [matrix(down), operation.before('MatMul', [x, matrix(turned)])], {}, name), true);
}

/** TensorFlow looks its weights up in a table, which Resize comes close to only; where sizes are free it has to do. */
const cubic: TfRule = (operation) => {
  const [corners, centers] = [operation.flag('align_corners'), operation.flag('half_pixel_centers')];
  const sizes = knownSizes(operation);
  if (!sizes) return resized(operation, 'cubic', corners, centers);
  const [from, to] = sizes;
  const along = (axis: 0 | 1) => cubicWeights(from[axis]!, to[axis]!, corners, centers);
  return weighed(operation, [along(0), along(1)]);
};

/** TensorFlow Lite's kernel for int16 counts places in parts of an element, and comes about a thousandth off. */
export const integerBilinear: TfRule = (operation) => {
  const [corners, centers] = [operation.flag('align_corners'), operation.flag('half_pixel_centers')];
  const sizes = knownSizes(operation);
  if (!sizes) throw operation.decline('its sizes are known only when the model runs; give those of the input with --input-shape');
  const [from, to] = sizes;
  const along = (axis: 0 | 1) => integerLinearWeights(from[axis]!, to[axis]!, corners, centers);
  return weighed(operation, [along(0), along(1)]);
};

const area: TfRule = (operation) => {
  const corners = operation.flag('align_corners');
  const sizes = knownSizes(operation);
  if (!sizes) throw operation.decline('its sizes are known only when the model runs; give those of the input with --input-shape');
  const [from, to] = sizes;
  const along = (axis: 0 | 1) => areaWeights(from[axis]!, to[axis]!, corners);
  return weighed(operation, [along(0), along(1)]);
};

/** inputs: picture, height and width of what is made of it, how much larger that is, by how many pixels it is moved. */
const scaleAndTranslate: TfRule = (operation) => {
  const [kernel, smooths] = [operation.text('kernel_type', 'lanczos3'), operation.flag('antialias', true)];
  if (!KERNEL_NAMES.includes(kernel)) throw operation.decline(`kernel_type is ${kernel}`);
  const sizes = knownSizes(operation);
  if (!sizes) throw operation.decline('its sizes are known only when the model runs; give those of the input with --input-shape');
  const [scales, shifts] = [operation.known(2, 'scale'), operation.known(3, 'translation')];
  const [from, to] = sizes;
  const along = (axis: 0 | 1) => kernelWeights(from[axis]!, to[axis]!, kernel, scales[axis]!, shifts[axis]!, smooths);
  return weighed(operation, [along(0), along(1)]);
};

const depth =
  (op: 'DepthToSpace' | 'SpaceToDepth'): TfRule =>
  (operation) => {
    const isLast = operation.isLast();
    const x = operation.first(operation.input(0), isLast);
    const blocksize = operation.number('block_size', 0);
    const attributes = op === 'DepthToSpace' ? { blocksize, mode: 'DCR' } : { blocksize };
    return operation.back((name) => operation.add(op, [x], attributes, name), isLast);
  };

/** Squares side by side that fill the picture are SpaceToDepth, where parts of squares at the borders are left out. */
function sideBySide(operation: TfOperation, [sizes, strides, rates]: readonly (readonly number[])[]): Value | null {
  const x = operation.input(0);
  const blocksize = sizes![0];
  if (blocksize === undefined || ![...sizes!, ...strides!].every((size) => size === blocksize) || rates!.some((rate) => rate !== 1)) return null;
  const from = operation.sizes(x).slice(1, 3);
  if (from.some((size) => typeof size !== 'number'))
    throw operation.decline('the size of its picture is known only when the model runs; give it with --input-shape');
  const kept = from.map((size) => (size as number) - ((size as number) % blocksize));
  const isCut = kept.some((size, i) => size !== from[i]);
  if (isCut && operation.text('padding') !== 'VALID') return null;
  const whole = isCut ? operation.before('Slice', [x], { starts: [0, 0], ends: kept, axes: [1, 2] }) : x;
  const turned = operation.first(whole, true);
  return operation.back((name) => operation.add('SpaceToDepth', [turned], { blocksize }, name), true);
}

/** Each window of the picture as a place of all that it holds: a convolution with one element of the window for each channel that it makes. */
const patches: TfRule = (operation) => {
  const [sizes, strides, rates] = ['ksizes', 'strides', 'rates'].map((name) => operation.numbers(name).slice(1, 3)) as [number[], number[], number[]];
  const padding = operation.text('padding');
  if (padding !== 'SAME' && padding !== 'VALID') throw operation.decline(`padding is ${padding}`);
  const blocks = sideBySide(operation, [sizes, strides, rates]);
  if (blocks) return blocks;
  const channels = operation.sizes(operation.input(0))[3];
  const window = sizes[0]! * sizes[1]!;
  if (typeof channels !== 'number' || channels * window * window > MAX_WEIGHTS)
    throw operation.decline(`it cuts windows of [${sizes}] out of ${channels} channels`);
  const ones = Float64Array.from({ length: channels * window * window }, (_, at) => (Math.floor(at / window) % window === at % window ? 1 : 0));
  const kernel = operation.build.numbers('float32', [...ones], [channels * window, 1, ...sizes]);
  const x = operation.first(inFloats(operation, operation.input(0)), true);
  const auto_pad = padding === 'SAME' ? 'SAME_UPPER' : 'VALID';
  const cut = operation.before('Conv', [x, kernel], { strides, dilations: rates, auto_pad, group: channels });
  // The windows of each channel lie one behind the other; all channels of a place belong together.
  const order = Array.from({ length: channels * window }, (_, at) => (at % channels) * window + Math.floor(at / channels));
  return operation.back((name) => operation.add('Gather', [cut, operation.integers(order)], { axis: 1 }, name), true);
};

/** Places at the very border count as inside, however their sum was rounded. */
const BORDER = 1e-6;

/**
 * Boxes [count, 4] of y1, x1, y2, x2 in parts of the picture, each as one picture. Along each axis place i of n reads the picture at
 * (y1 + (y2 - y1) i / (n - 1)) (height - 1), which is one sample in the middle of each bin of a RoiAlign whose region is half a bin larger on each side.
 *
 * @see https://www.tensorflow.org/api_docs/python/tf/image/crop_and_resize
 */
const cropAndResize: TfRule = (operation) => {
  const method = operation.text('method', 'bilinear');
  if (method !== 'bilinear') throw operation.decline(`method is ${method}`);
  const beyond = operation.number('extrapolation_value', 0);
  const made = operation.known(3, 'crop size');
  const sizes = operation.sizes(operation.input(0)).slice(1, 3);
  const float = (values: readonly number[]) => operation.build.numbers('float32', values);
  const step = (op: string, inputs: readonly Value[], attributes = {}) => operation.before(op, inputs, attributes);
  const column = (at: number) => step('Slice', [operation.input(1)], { starts: [at], ends: [at + 1], axes: [1] });
  const axes = [0, 1].map((axis) => {
    const [size, count] = [sizes[axis], made[axis]!];
    if (typeof size !== 'number') throw operation.decline('it cuts from a picture whose size is known only when the model runs');
    const [from, to] = [column(axis), column(axis + 2)];
    const extent = step('Sub', [to, from]);
    // One place alone is the middle.
    const bin = count > 1 ? step('Div', [extent, float([count - 1])]) : extent;
    const start = count > 1 ? step('Sub', [from, step('Mul', [bin, float([0.5])])]) : from;
    const end = count > 1 ? step('Add', [to, step('Mul', [bin, float([0.5])])]) : to;
    const scaled = (value: Value) => step('Add', [step('Mul', [value, float([size - 1])]), float([0.5])]);
    const places = step('Add', [from, step('Mul', [extent, float(Array.from({ length: count }, (_, i) => (count > 1 ? i / (count - 1) : 0.5)))])]);
    const isInside = step('And', [step('GreaterOrEqual', [places, float([-BORDER])]), step('LessOrEqual', [places, float([1 + BORDER])])]);
    return { start: scaled(start), end: scaled(end), isInside };
  });
  const [down, across] = axes as [(typeof axes)[0], (typeof axes)[0]];
  const regions = step('Concat', [across.start, down.start, across.end, down.end], { axis: 1 });
  const isInside = step('And', [step('Unsqueeze', [down.isInside], { axes: [1, 3] }), step('Unsqueeze', [across.isInside], { axes: [1, 2] })]);
  const cut = step('RoiAlign', [operation.first(inFloats(operation, operation.input(0)), true), regions, operation.int64(2)], {
    mode: 'avg',
    coordinate_transformation_mode: 'half_pixel',
    output_height: made[0]!,
    output_width: made[1]!,
    sampling_ratio: 1,
    spatial_scale: 1,
  });
  return operation.back((name) => operation.add('Where', [isInside, cut, float([beyond])], {}, name), true);
};

/** Away from the mean of each channel, or towards it, by a factor. */
const contrast: TfRule = (operation) => {
  const x = operation.input(0);
  const rank = operation.rank(x);
  const mean = operation.before('ReduceMean', [x], { axes: [rank - 3, rank - 2], keepdims: 1 });
  const apart = operation.before('Mul', [operation.before('Sub', [x, mean]), operation.input(1)]);
  return operation.add('Add', [apart, mean]);
};

export const pictures: Readonly<Record<string, TfRule>> = {
  ResizeBilinear: resize('linear'),
  ResizeNearestNeighbor: resize('nearest'),
  ResizeBicubic: cubic,
  ResizeArea: area,
  ScaleAndTranslate: scaleAndTranslate,
  DepthToSpace: depth('DepthToSpace'),
  SpaceToDepth: depth('SpaceToDepth'),
  CropAndResize: cropAndResize,
  ExtractImagePatches: patches,
  AdjustContrastv2: contrast,
};
