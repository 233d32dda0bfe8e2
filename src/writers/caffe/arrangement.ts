/** What moves values without changing them, and interpolation, which adds shares of them. */
import type { Layer } from '../../model/layer-map.js';
import { evaluateLayer } from '../../model/ops/evaluate.js';
import { computedTensor, elementCount, float32Tensor, type Tensor } from '../../model/tensor.js';
import { constantBlob, dimsFor, front, type NetBuilder, number, numbers, ORIGIN, type Rule, reshapeOf, type Settings } from './net.js';

/** The same elements under the sizes of what comes out. */
const reshaped: Rule = (layer, net) => {
  const dims = dimsFor(net.shape(layer.inputs[0]!), net.shape(layer.outputs[0]!));
  return dims ? net.add(layer, 'Reshape', reshapeOf(dims), [], [net.blob(layer.inputs[0]!)]) : `${layer.op} that leaves several axes of free size`;
};

/** Along one axis; a Slice of several goes one after the other. */
const sliced: Rule = (layer, net) => {
  if (layer.inputs.length > 1) return 'Slice whose ends flow in';
  const shape = net.shape(layer.inputs[0]!);
  const [axes, starts, ends] = [numbers(layer, 'axes') ?? [...shape.keys()], numbers(layer, 'starts'), numbers(layer, 'ends')];
  if (numbers(layer, 'steps')?.some((step) => step !== 1)) return 'Slice in steps, which Caffe does not take';
  const cuts = axes.flatMap((given, i) => {
    const axis = front(given, shape.length);
    const size = shape[axis]!;
    if (typeof size !== 'number') return starts[i] === 0 && ends[i]! >= Number.MAX_SAFE_INTEGER ? [] : [null];
    const at = (value: number) => Math.max(0, Math.min(size, value < 0 ? value + size : value));
    const [start, end] = [at(starts[i]!), at(ends[i]!)];
    return start === 0 && end === size ? [] : [{ axis, size, start, end }];
  });
  if (cuts.includes(null)) return 'Slice of an axis of free size';
  if (cuts.some((cut) => cut!.start >= cut!.end)) return 'Slice of nothing';
  if (cuts.length === 0) return net.add(layer, 'Split', {}, [], [net.blob(layer.inputs[0]!)]);
  cuts.reduce(
    (blob, cut, i) => net.cut(layer, [blob, cut!.axis, cut!.size], cut!.start, cut!.end, i === cuts.length - 1 ? undefined : `cut${i}`),
    net.blob(layer.inputs[0]!),
  );
  return null;
};

const split: Rule = (layer, net) => {
  const axis = front(number(layer, 'axis'), net.shape(layer.inputs[0]!).length);
  const sizes = layer.outputs.map((value) => net.shapes.get(value)?.[axis]);
  if (!sizes.every((size) => typeof size === 'number')) return 'Split of an axis of free size';
  let at = 0;
  const points = sizes.slice(0, -1).map((size) => (at += size));
  return net.parts(layer, axis, points);
};

/** Caffe itself moves no axes; its fork for SSD, which other tools follow, does. */
const transposed: Rule = (layer, net) => {
  const shape = net.shape(layer.inputs[0]!);
  const order = numbers(layer, 'perm') ?? [...shape.keys()].reverse();
  if (order[0] !== 0) return `Transpose that moves the batch (${order})`;
  // Axes of one element may go anywhere.
  const long = order.filter((axis) => shape[axis] !== 1);
  if (long.every((axis, i) => i === 0 || axis > long[i - 1]!)) return reshaped(layer, net);
  return net.add(layer, 'Permute', { permute_param: { order } });
};

/** A kernel of ones and zeros. */
function placed(name: string, shape: readonly number[], ones: Iterable<number>): Tensor {
  const values = new Float32Array(elementCount(shape));
  for (const at of ones) values[at] = 1;
  return float32Tensor(name, shape, values, ORIGIN);
}

/** Where in a block, and in which of its channels, the n-th channel lies: blocks come before channels (DCR), or behind. */
function blockOf(n: number, { blocks, channels, mode }: { blocks: number; channels: number; mode: unknown }): { block: number; channel: number } {
  return mode === 'CRD' ? { channel: Math.floor(n / blocks), block: n % blocks } : { block: Math.floor(n / channels), channel: n % channels };
}

const depthToSpace: Rule = (layer, net) => {
  const side = number(layer, 'blocksize');
  const channels = net.shape(layer.outputs[0]!)[1];
  if (typeof channels !== 'number') return `${layer.op} of a free number of channels`;
  const [blocks, mode] = [side * side, layer.attributes.mode];
  // Channels that lie together are a group of their own, otherwise each kernel sees all.
  const isGrouped = mode === 'CRD';
  const kernel = placed(
    'places',
    [channels * blocks, isGrouped ? 1 : channels, side, side],
    Array.from({ length: channels * blocks }, (_, n) => {
      const { block, channel } = blockOf(n, { blocks, channels, mode });
      return isGrouped ? n * blocks + block : (n * channels + channel) * blocks + block;
    }),
  );
  const settings = { num_output: channels, bias_term: false, kernel_size: side, stride: side, ...(isGrouped && channels > 1 ? { group: channels } : {}) };
  return net.add(layer, 'Deconvolution', { convolution_param: settings }, [kernel]);
};

const spaceToDepth: Rule = (layer, net) => {
  const side = number(layer, 'blocksize');
  const channels = net.shape(layer.inputs[0]!)[1];
  if (typeof channels !== 'number') return `${layer.op} of a free number of channels`;
  const [blocks, mode] = [side * side, layer.attributes.mode];
  const kernel = placed(
    'places',
    [channels * blocks, channels, side, side],
    Array.from({ length: channels * blocks }, (_, n) => {
      const { block, channel } = blockOf(n, { blocks, channels, mode });
      return (n * channels + channel) * blocks + block;
    }),
  );
  return net.add(layer, 'Convolution', { convolution_param: { num_output: channels * blocks, bias_term: false, kernel_size: side, stride: side } }, [kernel]);
};

/** Shares of 4 million old elements in new ones are 16 MiB of weights. */
const MOST_SHARES = 2 ** 22;

/**
 * Along each axis that changes, every new element is a sum of old ones: a convolution of channels that has the shares for its weights, or a
 * dense layer along rows. What the shares are, the operator itself says of each old element.
 *
 * @param alone the layer as it works along one axis only
 */
function byShares(layer: Layer, net: NetBuilder, alone: (axis: number) => Layer): string | null {
  const shapes = [net.shape(layer.inputs[0]!), net.shape(layer.outputs[0]!)] as const;
  const [from, to] = shapes.map((shape) => shape.slice(1));
  if (![...from!, ...to!].every((size) => typeof size === 'number')) return `${layer.op} of a picture of free size; --input-shape gives it`;
  const [sizes, made] = [from as number[], to as number[]];
  if (sizes.length !== 3) return `${layer.op} of ${sizes.length + 1} axes; Caffe has pictures`;
  const changed = [0, 1, 2].filter((axis) => sizes[axis] !== made[axis] || isMoved(layer, axis + 1));
  if (changed.some((axis) => sizes[axis]! * made[axis]! > MOST_SHARES)) return `${layer.op} from [${sizes}] to [${made}], for which there is no layer in Caffe`;
  let blob = net.blob(layer.inputs[0]!);
  const now = [...sizes];
  for (const [i, axis] of changed.entries()) {
    const [old, size] = [sizes[axis]!, made[axis]!];
    const shares = sharesOf(alone(axis + 1), axis + 1, old, size, axis === 2 ? [] : [1, 1]);
    const isLast = i === changed.length - 1;
    const step = (suffix: string, type: string, settings: Parameters<NetBuilder['before']>[3], blobs: readonly Tensor[], end: boolean) => {
      if (end) net.add(layer, type, settings, blobs, [blob]);
      else blob = net.before(layer, suffix, type, settings, blobs, [blob]);
    };
    const convolution = { convolution_param: { num_output: size, bias_term: false, kernel_size: 1 } };
    if (axis === 2) step('columns', 'InnerProduct', { inner_product_param: { num_output: size, axis: 3, bias_term: false } }, [shares], isLast);
    else if (axis === 0) step('channels', 'Convolution', convolution, [shares], isLast);
    else {
      // Rows stand in the place of channels, and channels in that of samples.
      step('rows', 'Reshape', reshapeOf([-1, old, now[2]!, 1]), [], false);
      step('made', 'Convolution', convolution, [shares], false);
      step('picture', 'Reshape', reshapeOf([-1, now[0]!, size, now[2]!]), [], isLast);
    }
    now[axis] = size;
  }
  return changed.length === 0 ? net.add(layer, 'Split', {}, [], [blob]) : null;
}

/** Whether an axis changes although its size does not: rows that are cut on one side and padded on the other. */
function isMoved(layer: Layer, axis: number): boolean {
  const pads = layer.op === 'Pad' ? numbers(layer, 'pads') : [];
  return pads.length > 0 && pads[axis] !== 0;
}

/** [new, old]: what the layer makes of each old element alone. */
function sharesOf(layer: Layer, axis: number, old: number, made: number, rest: readonly number[]): Tensor {
  return computedTensor('shares', 'float32', [made, old, ...rest], ORIGIN, async () => {
    const shape = [old, 1, 1, 1].with(axis, old);
    const unit = { shape, data: Float64Array.from({ length: old * old }, (_, i) => (Math.floor(i / old) === i % old ? 1 : 0)) };
    const [given] = await evaluateLayer(layer, [unit]);
    return new Uint8Array(Float32Array.from({ length: made * old }, (_, i) => given!.data[(i % old) * made + Math.floor(i / old)]!).buffer);
  });
}

const resized: Rule = (layer, net) => {
  const { scales, sizes, axes, roi } = layer.attributes as Readonly<Record<string, readonly number[] | undefined>>;
  if (layer.inputs.length > 1 || axes || roi || (!scales && !sizes)) return 'Resize whose sizes are known only when the net runs, or of a region';
  const [shape, made] = [net.shape(layer.inputs[0]!), net.shape(layer.outputs[0]!)];
  const factors = [2, 3].map((axis) => (scales ? scales[axis]! : (made[axis] as number) / (shape[axis] as number)));
  const { mode, coordinate_transformation_mode: coordinates, nearest_mode: nearest } = layer.attributes;
  const channels = shape[1];
  // Each element once for each place of its square, where those are the nearest ones.
  const isRepeated = mode === 'nearest' && shape.length === 4 && factors.every((factor) => Number.isInteger(factor) && factor >= 1);
  const isNearest = (coordinates === 'asymmetric' && nearest === 'floor') || (coordinates === 'half_pixel' && String(nearest).startsWith('round'));
  if (isRepeated && isNearest && typeof channels === 'number' && shape[1] === made[1]) {
    const [height, width] = factors as [number, number];
    const sides: Settings =
      height === width ? { kernel_size: height, stride: height } : { kernel_h: height, kernel_w: width, stride_h: height, stride_w: width };
    const settings = { num_output: channels, bias_term: false, ...sides, ...(channels > 1 ? { group: channels } : {}) };
    return net.add(layer, 'Deconvolution', { convolution_param: settings }, [constantBlob('ones', [channels, 1, height, width], 1)]);
  }
  const only = (values: readonly number[] | undefined, axis: number) => values?.map((value, i) => (i === axis ? value : 1));
  return byShares(layer, net, (axis) => ({
    ...layer,
    attributes: {
      ...layer.attributes,
      ...(scales ? { scales: only(scales, axis)!.with(0, 1) } : {}),
      ...(sizes ? { sizes: only(sizes, axis)!.with(0, shape[axis] as number) } : {}),
    },
  }));
};

const paddedPicture: Rule = (layer, net) => {
  if (layer.inputs.length > 1 || !layer.attributes.pads) return 'Pad whose amounts flow in';
  const pads = numbers(layer, 'pads');
  const shape = net.shape(layer.inputs[0]!);
  const rank = shape.length;
  const isConstant = layer.attributes.mode === 'constant';
  if (isConstant && number(layer, 'value') !== 0) return `Pad with ${number(layer, 'value')}; Caffe has zeros around pictures`;
  if (pads[0] !== 0 || pads[rank] !== 0) return 'Pad of the batch';
  return byShares(layer, net, (axis) => ({ ...layer, attributes: { ...layer.attributes, pads: pads.map((pad, i) => (i % rank === axis ? pad : 0)) } }));
};

export const arrangement: Readonly<Record<string, Rule>> = {
  Flatten: (layer, net) => (number(layer, 'axis') === 1 ? net.add(layer, 'Flatten', {}) : reshaped(layer, net)),
  Reshape: (layer, net) => (layer.inputs.length > 1 ? reshaped(layer, net) : net.add(layer, 'Reshape', reshapeOf(numbers(layer, 'shape')))),
  Squeeze: reshaped,
  Unsqueeze: reshaped,
  Concat: (layer, net) => net.add(layer, 'Concat', { concat_param: { axis: front(number(layer, 'axis'), net.shape(layer.inputs[0]!).length) } }),
  Slice: sliced,
  Split: split,
  Transpose: transposed,
  Pad: paddedPicture,
  Resize: resized,
  DepthToSpace: depthToSpace,
  SpaceToDepth: spaceToDepth,
  ChannelShuffle: (layer, net) => net.add(layer, 'ShuffleChannel', { shuffle_channel_param: { group: number(layer, 'groups') } }),
};
