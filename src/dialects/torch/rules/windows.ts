/** Operators that slide over pictures: convolutions, poolings, and resampling. */

import { ModelError } from '../../../errors.js';
import { adaptiveMeans, plainPooling } from '../../../model/adaptive.js';
import type { Attributes, Value } from '../../../model/builder.js';
import { numbersTensor } from '../../../model/numbers.js';
import type { Call } from '../call.js';
import { type Item, List, TensorItem } from '../items.js';
import { listOf, type Rule, type Rules, rule } from '../rule.js';

const both = (pads: readonly number[]) => [...pads, ...pads];

interface ConvolutionArguments {
  readonly stride: readonly number[];
  readonly pads: readonly number[];
  readonly dilation: readonly number[];
  readonly groups: number;
}

function convolve(
  call: Call,
  x: Value,
  { stride, pads, dilation, groups }: ConvolutionArguments,
  transposed: boolean,
  outputPadding: readonly number[],
): Value {
  const [kernel, bias] = [call.tensor('weight'), call.optionalTensor('bias')];
  const attributes: Attributes = { strides: stride, pads, dilations: dilation, group: groups };
  if (!transposed) return call.add('Conv', [x, kernel, bias], attributes);
  return call.add('ConvTranspose', [x, kernel, bias], { ...attributes, output_padding: outputPadding });
}

/** @throws ModelError 'malformed' where what flows in has other axes than batch, channels and those of a window */
function checkedAxes(call: Call, x: Value, rank: number): Value {
  if (call.rank(x) === rank + 2) return x;
  throw new ModelError('malformed', `${call.op} takes ${rank + 2} axes, and [${call.shape(x)}] flows in`);
}

/** A picture alone, without the axis of the batch, is taken as a batch of one. */
function batched(call: Call, x: Value, rank: number, run: (x: Value) => Value): Value {
  if (call.rank(x) !== rank + 1) return run(checkedAxes(call, x, rank));
  return call.add('Squeeze', [run(call.add('Unsqueeze', [x], { axes: [0] }, 'batch'))], { axes: [0] }, 'picture');
}

const conv = rule('input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1', (call) => {
  const rank = call.rank(call.tensor('weight')) - 2;
  return batched(call, call.tensor('input'), rank, (x) => {
    const dilation = call.numbers('dilation', rank);
    return convolve(call, x, { stride: call.numbers('stride', rank), pads: padsOf(call, dilation, rank), dilation, groups: call.number('groups') }, false, []);
  });
});

/** Padding in numbers, or 'same' and 'valid'. */
function padsOf(call: Call, dilation: readonly number[], rank: number): readonly number[] {
  const padding = call.item('padding');
  if (typeof padding !== 'string') return both(call.numbers('padding', rank));
  if (padding === 'valid') return both(new Array<number>(rank).fill(0));
  if (padding !== 'same') throw call.decline(`its padding is ${JSON.stringify(padding)}`);
  const kernel = call.shape(call.tensor('weight')).slice(2) as readonly number[];
  const totals = kernel.map((size, axis) => (size - 1) * dilation[axis]!);
  return [...totals.map((total) => Math.floor(total / 2)), ...totals.map((total) => Math.ceil(total / 2))];
}

const convTranspose = (rank: number): Rule =>
  rule('input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1', (call) =>
    batched(call, call.tensor('input'), rank, (x) =>
      convolve(
        call,
        x,
        {
          stride: call.numbers('stride', rank),
          pads: both(call.numbers('padding', rank)),
          dilation: call.numbers('dilation', rank),
          groups: call.number('groups'),
        },
        true,
        call.numbers('output_padding', rank),
      ),
    ),
  );

/** Any convolution; how it is run has no effect on what it makes. */
const convolution = rule(
  'input, weight, bias, stride, padding, dilation, transposed, output_padding, groups, benchmark=False, deterministic=False, cudnn_enabled=True, allow_tf32=True',
  (call) => {
    const rank = call.rank(call.tensor('weight')) - 2;
    return batched(call, call.tensor('input'), rank, (x) =>
      convolve(
        call,
        x,
        {
          stride: call.numbers('stride', rank),
          pads: padsOf(call, call.numbers('dilation', rank), rank),
          dilation: call.numbers('dilation', rank),
          groups: call.number('groups'),
        },
        call.flag('transposed'),
        call.numbers('output_padding', rank),
      ),
    );
  },
);

/** The step is the window's size where none is given. */
function windowOf(call: Call, rank: number): Attributes {
  const kernel = call.numbers('kernel_size', rank);
  const isGiven = call.has('stride') && !(call.item('stride') instanceof List && (call.item('stride') as List).items.length === 0);
  return {
    kernel_shape: kernel,
    strides: isGiven ? call.numbers('stride', rank) : kernel,
    pads: both(call.numbers('padding', rank)),
    ceil_mode: call.flag('ceil_mode') ? 1 : 0,
  };
}

const maxPool = (rank: number): Rule =>
  rule('self, kernel_size, stride=[], padding=0, dilation=1, ceil_mode=False', (call) =>
    batched(call, call.tensor('self'), rank, (x) => call.add('MaxPool', [x], { ...windowOf(call, rank), dilations: call.numbers('dilation', rank) })),
  );

/** With the places of the largest elements, counted within each picture; they are made only where something reads them. */
const maxPoolWithIndices = (rank: number): Rule =>
  rule('self, kernel_size, stride=[], padding=0, dilation=1, ceil_mode=False', (call) => {
    const made = maxPool(rank).run(call) as Value;
    const x = call.tensor('self');
    const places = () => {
      if (call.rank(x) !== rank + 2) throw call.decline('its places in a picture without the axis of a batch cannot be said');
      const count = Array.from({ length: rank }, (_, axis) => call.size(x, axis + 2)).reduce((a, b) => a * b, 1);
      const [, all] = call.addMany('MaxPool', [x], { ...windowOf(call, rank), dilations: call.numbers('dilation', rank) }, 2);
      return new TensorItem(call.add('Mod', [all!, call.build.numbers('int64', count)], {}, 'places'));
    };
    return new List([...listOf([made]).items, call.unknown('the places of the largest elements', places)]);
  });

/** Puts elements where a pooling found them, into zeros. */
const maxUnpool: Rule = rule('self, indices, output_size, stride=[], padding=[]', (call) => {
  const [x, indices] = [call.tensor('self'), call.tensor('indices')];
  const sizes = call.numbers('output_size');
  if (call.rank(x) !== sizes.length + 2) throw call.decline('pictures without the axis of a batch are not put back');
  const lead = [call.sizeItem(x, 0), call.sizeItem(x, 1)];
  const flat = (value: Value, step: string) => call.reshaped(value, call.sizesOf([...lead, -1], 'shape'), step);
  const shape = call.sizesOf([...lead, sizes.reduce((a, b) => a * b, 1)], 'shape');
  const zeros = call.add(
    'ConstantOfShape',
    [Array.isArray(shape) ? call.build.numbers('int64', shape) : (shape as Value)],
    { value: 0, dtype: x.dtype! },
    'zeros',
  );
  const placed = call.add('ScatterElements', [zeros, flat(indices, 'places'), flat(x, 'values')], { axis: 2, reduction: 'none' }, 'placed');
  return call.reshaped(placed, call.sizesOf([...lead, ...sizes], 'shape'));
});

const averagePool = (rank: number): Rule =>
  rule('self, kernel_size, stride=[], padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None', (call) => {
    const window = windowOf(call, rank);
    return batched(call, call.tensor('self'), rank, (x) => {
      const include = call.flag('count_include_pad') ? 1 : 0;
      if (!call.has('divisor_override')) return call.add('AveragePool', [x], { ...window, count_include_pad: include });
      if (window.ceil_mode) throw call.decline('it has a divisor of its own and rounds sizes up');
      const size = (window.kernel_shape as readonly number[]).reduce((a, b) => a * b, 1);
      const mean = call.add('AveragePool', [x], { ...window, count_include_pad: 1 }, 'mean');
      return call.add('Mul', [mean, call.scalar(size / call.number('divisor_override'), x)]);
    });
  });

/** No picture is larger, along one axis. */
const MAX_OUT = 2 ** 16;

/** Sizes of the result; one that is left out stays as it is. */
function adaptiveSizes(call: Call, x: Value, rank: number): readonly (number | null)[] {
  const item = call.item('output_size');
  const items: readonly Item[] = item instanceof List ? item.items : [item];
  const wanted = items.length === 1 ? new Array<Item>(rank).fill(items[0]!) : items;
  const from = call.shape(x).slice(-rank);
  return wanted.map((size, axis) => {
    if (size === null || call.isSameSize(size, from[axis]!)) return null;
    const out = call.withGiven({ size }).number('size');
    if (!(Number.isInteger(out) && out >= 1 && out <= MAX_OUT)) throw call.decline(`it makes a size of ${out}`);
    return out;
  });
}

const adaptiveAverage = (rank: number): Rule =>
  rule('self, output_size', (call) =>
    batched(call, call.tensor('self'), rank, (x) => {
      const outs = adaptiveSizes(call, x, rank);
      if (outs.every((size) => size === null)) return x;
      if (outs.every((size) => size === 1)) return call.add('GlobalAveragePool', [x]);
      const sizes = outs.map((_, axis) => call.size(x, axis + 2));
      const plain = outs.map((out, axis) => plainPooling(sizes[axis]!, out ?? sizes[axis]!));
      if (plain.every((axis) => axis !== null)) {
        return call.add('AveragePool', [x], { kernel_shape: plain.map((axis) => axis!.kernel), strides: plain.map((axis) => axis!.stride) });
      }
      const last = outs.length - 1;
      return outs.reduce<Value>((made, out, axis) => {
        if (out === null || out === sizes[axis]) return made;
        const means = adaptiveMeans(sizes[axis]!, out);
        const tensor = numbersTensor('means', 'float32', [sizes[axis]!, out], means.flat(), call.build.origin);
        const { known: _, ...matrix } = tensor;
        const turned = axis === last ? made : call.transposed(made, axis + 2, -1);
        const product = call.add('MatMul', [turned, call.build.constant(matrix)], {}, `axis${axis}`);
        return axis === last ? product : call.transposed(product, axis + 2, -1);
      }, x);
    }),
  );

const adaptiveMax = (rank: number): Rule =>
  rule('self, output_size', (call) => {
    const pooled = batched(call, call.tensor('self'), rank, (x) => {
      const outs = adaptiveSizes(call, x, rank);
      if (outs.every((size) => size === 1)) return call.add('GlobalMaxPool', [x]);
      const plain = outs.map((out, axis) => plainPooling(call.size(x, axis + 2), out ?? call.size(x, axis + 2)));
      if (!plain.every((axis) => axis !== null)) return largestOfParts(call, x, outs);
      return call.add('MaxPool', [x], { kernel_shape: plain.map((axis) => axis!.kernel), strides: plain.map((axis) => axis!.stride) });
    });
    return new List([...listOf([pooled]).items, call.unknown('the places of the largest elements')]);
  });

/** Windows that differ in size: each a part of an axis, folded; one axis after the other. */
function largestOfParts(call: Call, x: Value, outs: readonly (number | null)[]): Value {
  return outs.reduce<Value>((made, out, i) => {
    const [axis, size] = [i + 2, call.size(x, i + 2)];
    if (out === null || out === size) return made;
    if (out > MAX_PARTS) throw call.decline(`its windows over [${call.shape(x)}] differ in size`);
    const parts = Array.from({ length: out }, (_, at) => {
      const bounds = { starts: [Math.floor((at * size) / out)], ends: [Math.ceil(((at + 1) * size) / out)], axes: [axis], steps: [1] };
      return call.add('ReduceMax', [call.add('Slice', [made], bounds, 'part')], { axes: [axis], keepdims: 1 }, 'largest');
    });
    return call.add('Concat', parts, { axis }, `axis${i}`);
  }, x);
}

/** Windows of different sizes that are written out; a net's are a few. */
const MAX_PARTS = 64;

interface Resampling {
  readonly mode: string;
  readonly coordinates: string;
  readonly nearest?: string;
  /** Windows widen where a picture shrinks, and weights of what lies outside are given to what lies inside. */
  readonly antialias?: boolean;
}

/** To a size or by factors; the scale that coordinates are worked out with is the given factor, or the ratio of the sizes. */
function resample(call: Call, rank: number, { mode, coordinates, nearest, antialias }: Resampling, given: { size: Item; scales: Item }): Value {
  const x = checkedAxes(call, call.tensor('self'), rank);
  const attributes: Attributes = {
    mode,
    coordinate_transformation_mode: coordinates,
    ...(nearest ? { nearest_mode: nearest } : {}),
    // Pillow's own, where it is antialiased.
    ...(mode === 'cubic' ? { cubic_coeff_a: antialias ? -0.5 : -0.75 } : {}),
    ...(antialias ? { antialias: 1, exclude_outside: 1 } : {}),
  };
  const scales = given.scales === null ? null : call.withGiven({ scales: given.scales }).numbers('scales', rank);
  if (scales && coordinates !== 'align_corners') return call.add('Resize', [x], { ...attributes, scales: [1, 1, ...scales] });
  const from = call.shape(x).slice(2);
  const sizes = scales ? from.map((_, axis) => Math.floor(call.size(x, axis + 2) * scales[axis]!)) : call.withGiven({ size: given.size }).sizes('size');
  if (Array.isArray(sizes)) {
    const factors = sizes.map((size, axis) => call.quotient(size, from[axis]!));
    if (factors.every((factor) => factor !== null)) return call.add('Resize', [x], { ...attributes, scales: [1, 1, ...(factors as number[])] });
    const lead = call.shape(x).slice(0, 2);
    if (lead.every((size) => typeof size === 'number')) return call.add('Resize', [x], { ...attributes, sizes: [...(lead as number[]), ...sizes] });
  }
  const shape = call.add('Slice', [call.add('Shape', [x], {}, 'shape')], { starts: [0], ends: [2], axes: [0] }, 'lead');
  const tail = Array.isArray(sizes) ? call.build.numbers('int64', sizes) : (sizes as Value);
  return call.add('Resize', [x, null, null, call.add('Concat', [shape, tail], { axis: 0 }, 'sizes')], attributes);
}

/** Overloads: (size, corners, factor of each axis ...), as it first was, and (size or none, corners, factors or none). */
function upsampling(rank: number, hasCorners: boolean, how: (corners: boolean) => Resampling): Rule {
  const corners = hasCorners ? 'align_corners, ' : '';
  return rule(`self, output_size, ${corners}scale_factors=None, scales_b=None, scales_c=None`, (call) => {
    const factors = ['scale_factors', 'scales_b', 'scales_c'].flatMap((name) => (call.has(name) ? [call.item(name)] : []));
    const [first] = factors;
    const scales = first === undefined ? null : first instanceof List ? first : new List(factors);
    const size = call.given.get('output_size') ?? null;
    const aligned = hasCorners && call.flag('align_corners');
    // Given both, the size is how large it becomes, and the factors are what coordinates are worked out with.
    if (scales && size !== null && !agree(call, rank, size, scales)) throw call.decline('its size and its factors do not agree');
    return resample(call, rank, how(aligned), { size, scales });
  });
}

function agree(call: Call, rank: number, size: Item, scales: List): boolean {
  const given = call.withGiven({ size, scales });
  const from = call.shape(call.tensor('self')).slice(2);
  const [sizes, factors] = [given.sizes('size'), given.numbers('scales', rank)];
  return !Array.isArray(sizes) || from.every((one, axis) => typeof one !== 'number' || Math.floor(one * factors[axis]!) === sizes[axis]);
}

const linear = (corners: boolean): Resampling => ({ mode: 'linear', coordinates: corners ? 'align_corners' : 'half_pixel' });
const nearest = (): Resampling => ({ mode: 'nearest', coordinates: 'asymmetric', nearest: 'floor' });
/** The pixel whose area the centre of the new one falls into. */
const nearestExact = (): Resampling => ({ mode: 'nearest', coordinates: 'half_pixel', nearest: 'round_prefer_ceil' });
const cubic = (corners: boolean): Resampling => ({ mode: 'cubic', coordinates: corners ? 'align_corners' : 'half_pixel' });

/** As scripted programs keep it: the mode is a word. */
const interpolate = rule('self, size=None, scale_factor=None, mode=nearest, align_corners=None, recompute_scale_factor=None, antialias=False', (call) => {
  const x = call.tensor('self');
  const rank = call.rank(x) - 2;
  const mode = call.text('mode');
  const corners = call.has('align_corners') && call.flag('align_corners');
  const how: Readonly<Record<string, Resampling>> = {
    nearest: nearest(),
    'nearest-exact': nearestExact(),
    ...Object.fromEntries(['linear', 'bilinear', 'trilinear'].map((word) => [word, linear(corners)])),
    bicubic: cubic(corners),
  };
  const list = (name: string) => {
    const item = call.item(name);
    return item instanceof List ? item : new List(new Array<Item>(rank).fill(item));
  };
  const isFactor = !call.has('size');
  const recomputed = isFactor && call.has('recompute_scale_factor') && call.flag('recompute_scale_factor');
  const factors = isFactor ? call.numbers('scale_factor', rank) : [];
  const size = isFactor
    ? new List(factors.map((factor, axis) => (recomputed || mode === 'area' ? Math.floor(call.size(x, axis + 2) * factor) : 0)))
    : list('size');
  if (mode === 'area') return adaptiveAverage(rank).run(call.withGiven({ output_size: size }));
  if (!how[mode]) throw call.decline(`its mode is ${JSON.stringify(mode)}`);
  return resample(call, rank, { ...how[mode], antialias: call.flag('antialias') }, { size, scales: isFactor && !recomputed ? list('scale_factor') : null });
});

/** A window's elements become channels: a convolution that picks one element for each. */
const im2col = rule('self, kernel_size, dilation, padding, stride', (call) => {
  const x = checkedAxes(call, call.tensor('self'), 2);
  const channels = call.size(x, 1);
  const [height, width] = call.numbers('kernel_size', 2) as [number, number];
  const count = height * width;
  if (channels * count * count > MAX_PICKED) throw call.decline(`its windows of ${height} x ${width} over ${channels} channels are too many elements`);
  const picks = Array.from({ length: channels * count * count }, (_, i) => (Math.floor(i / count) % count === i % count ? 1 : 0));
  const kernel = call.build.numbers('float32', picks, [channels * count, 1, height, width]);
  const attributes = {
    kernel_shape: [height, width],
    strides: call.numbers('stride', 2),
    pads: both(call.numbers('padding', 2)),
    dilations: call.numbers('dilation', 2),
    group: channels,
  };
  const windows = call.add('Conv', [x, kernel], attributes, 'windows');
  return call.reshaped(windows, [0, channels * count, -1]);
});

/** Elements of a kernel that picks. */
const MAX_PICKED = 2 ** 22;

/** Coordinates of a picture's pixels, from -1 to 1, turned by matrices [batch, 2, 3]. */
const affineGrid = rule('theta, size, align_corners', (call) => {
  const theta = call.tensor('theta');
  const sizes = call.numbers('size');
  if (sizes.length !== 4) throw call.decline(`its size is [${sizes}], expected that of pictures`);
  const [, , height, width] = sizes as [number, number, number, number];
  if (!(height * width <= MAX_PICKED)) throw call.decline(`its size is [${sizes}]`);
  const corners = call.flag('align_corners');
  const at = (i: number, size: number) => (corners ? (size === 1 ? 0 : (2 * i) / (size - 1) - 1) : (2 * i + 1) / size - 1);
  const pixels = Array.from({ length: height * width }, (_, i) => [at(i % width, width), at(Math.floor(i / width), height)] as const);
  const base = [...pixels.map(([x]) => x), ...pixels.map(([, y]) => y), ...pixels.map(() => 1)];
  const turned = call.add('MatMul', [theta, call.build.numbers('float32', base, [3, height * width])], {}, 'turned');
  return call.reshaped(call.transposed(turned), [0, height, width, 2]);
});

const gridSampler = rule('input, grid, interpolation_mode, padding_mode, align_corners', (call) => {
  const mode = ['linear', 'nearest', 'cubic'][call.number('interpolation_mode')];
  const padding = ['zeros', 'border', 'reflection'][call.number('padding_mode')];
  if (!mode || !padding) throw call.decline('its mode is not known');
  const attributes = { mode, padding_mode: padding, align_corners: call.flag('align_corners') ? 1 : 0 };
  return call.add('GridSample', [call.tensor('input'), call.tensor('grid')], attributes);
});

/** [batch, channels, height, width] to blocks of channels, and back; the channels of a block stand together. */
const pixelShuffle = rule('self, upscale_factor', (call) =>
  call.add('DepthToSpace', [checkedAxes(call, call.tensor('self'), 2)], { blocksize: call.number('upscale_factor'), mode: 'CRD' }),
);

const pixelUnshuffle = rule('self, downscale_factor', (call) => {
  const [x, block] = [call.tensor('self'), call.number('downscale_factor')];
  const [batch, channels, height, width] = call.shape(x);
  if (typeof channels !== 'number' || typeof height !== 'number' || typeof width !== 'number') throw call.decline('sizes of what flows into it are free');
  const lead = typeof batch === 'number' ? batch : -1;
  const cut = call.reshaped(x, [lead, channels, height / block, block, width / block, block], 'cut');
  const turned = call.add('Transpose', [cut], { perm: [0, 1, 3, 5, 2, 4] }, 'turned');
  return call.reshaped(turned, [lead, channels * block * block, height / block, width / block]);
});

const channelShuffle = rule('self, groups', (call) => {
  const [x, groups] = [call.tensor('self'), call.number('groups')];
  const [, channels, height, width] = call.shape(x);
  if (typeof channels !== 'number' || typeof height !== 'number' || typeof width !== 'number') throw call.decline('sizes of what flows into it are free');
  const cut = call.reshaped(x, [0, groups, channels / groups, height * width], 'cut');
  const turned = call.add('Transpose', [cut], { perm: [0, 2, 1, 3] }, 'turned');
  return call.reshaped(turned, [0, channels, height, width]);
});

export const windows: Rules = {
  conv1d: conv,
  conv2d: conv,
  conv3d: conv,
  conv_transpose1d: convTranspose(1),
  conv_transpose2d: convTranspose(2),
  conv_transpose3d: convTranspose(3),
  _convolution: convolution,
  _convolution_mode: conv,
  convolution,
  max_pool1d: maxPool(1),
  max_pool2d: maxPool(2),
  max_pool3d: maxPool(3),
  max_pool1d_with_indices: maxPoolWithIndices(1),
  max_pool2d_with_indices: maxPoolWithIndices(2),
  max_pool3d_with_indices: maxPoolWithIndices(3),
  max_unpool2d: maxUnpool,
  max_unpool3d: maxUnpool,
  avg_pool1d: averagePool(1),
  avg_pool2d: averagePool(2),
  avg_pool3d: averagePool(3),
  adaptive_avg_pool1d: adaptiveAverage(1),
  adaptive_avg_pool2d: adaptiveAverage(2),
  _adaptive_avg_pool2d: adaptiveAverage(2),
  adaptive_avg_pool3d: adaptiveAverage(3),
  _adaptive_avg_pool3d: adaptiveAverage(3),
  adaptive_max_pool1d: adaptiveMax(1),
  adaptive_max_pool2d: adaptiveMax(2),
  adaptive_max_pool3d: adaptiveMax(3),
  upsample_nearest1d: upsampling(1, false, nearest),
  upsample_nearest2d: upsampling(2, false, nearest),
  upsample_nearest3d: upsampling(3, false, nearest),
  _upsample_nearest_exact1d: upsampling(1, false, nearestExact),
  _upsample_nearest_exact2d: upsampling(2, false, nearestExact),
  _upsample_nearest_exact3d: upsampling(3, false, nearestExact),
  upsample_linear1d: upsampling(1, true, linear),
  upsample_bilinear2d: upsampling(2, true, linear),
  upsample_trilinear3d: upsampling(3, true, linear),
  upsample_bicubic2d: upsampling(2, true, cubic),
  _upsample_bilinear2d_aa: upsampling(2, true, (corners) => ({ ...linear(corners), antialias: true })),
  _upsample_bicubic2d_aa: upsampling(2, true, (corners) => ({ ...cubic(corners), antialias: true })),
  __interpolate: interpolate,
  im2col,
  affine_grid_generator: affineGrid,
  grid_sampler: gridSampler,
  grid_sampler_2d: gridSampler,
  pixel_shuffle: pixelShuffle,
  pixel_unshuffle: pixelUnshuffle,
  channel_shuffle: channelShuffle,
  native_channel_shuffle: channelShuffle,
};
