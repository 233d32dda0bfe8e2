/** Layers that bring activations to a common scale, and those that move and scale them by stored factors. */
import { toFloat64Array } from '../../../model/cast.js';
import type { Dim, Notice } from '../../../model/layer-map.js';
import { computedTensor, elementCount, reshape, type Tensor, tensorBytes } from '../../../model/tensor.js';
import type { CaffeBuilder } from '../builder.js';
import type { Params } from '../params.js';
import type { CaffeLayer } from '../topology.js';
import { pictureShape } from './pooling.js';
import type { Rule } from './rule.js';

export const lrn: Rule = {
  block: 'lrn_param',
  build(builder, layer, params) {
    const size = params.number('local_size', 5);
    const alpha = params.number('alpha', 1);
    const beta = params.number('beta', 0.75);
    const bias = params.number('k', 1);
    const input = builder.input(layer);
    if (size % 2 !== 1) throw builder.malformed(layer, `local_size is ${size}; Caffe asks for an odd one`);
    if (params.word('norm_region', 'ACROSS_CHANNELS') === 'ACROSS_CHANNELS') {
      builder.output(layer, builder.add(layer, layer.name, 'LRN', [input], { attributes: { size, alpha, beta, bias } }));
      return;
    }
    // Within a channel: x / (1 + alpha * mean of squares over the window)^beta, where k plays no part.
    const { name } = layer;
    const pad = (size - 1) / 2;
    pictureShape(builder, layer);
    const squared = builder.add(layer, `${name}/square`, 'Mul', [input, input]);
    const attributes = { kernel_shape: [size, size], strides: [1, 1], pads: [pad, pad, pad, pad], count_include_pad: 1 };
    const mean = builder.add(layer, `${name}/mean`, 'AveragePool', [squared], { attributes });
    const scaled = builder.withScalar(layer, `${name}/scale`, 'Mul', mean, alpha);
    const shifted = builder.withScalar(layer, `${name}/shift`, 'Add', scaled, 1);
    const power = builder.withScalar(layer, `${name}/power`, 'Pow', shifted, beta);
    builder.output(layer, builder.add(layer, name, 'Div', [input, power]));
  },
};

/** Where a layer's blobs lie. */
interface Statistics {
  readonly mean: number;
  readonly variance: number;
  readonly factor?: number;
  readonly scale?: number;
  readonly bias?: number;
}

const BVLC: Statistics = { mean: 0, variance: 1, factor: 2 };
/** NVIDIA's fork keeps what is BVLC's Scale layer in the same layer. */
const NVIDIA: Statistics = { ...BVLC, scale: 3, bias: 4 };
/** Its first version, of DIGITS, began with them; its last blob is one number without a meaning. */
const DIGITS: Statistics = { scale: 0, bias: 1, mean: 2, variance: 3 };
/** PSPNet's, of type BN. */
const PSPNET: Statistics = { scale: 0, bias: 1, mean: 2, variance: 3 };

export const batchNorm: Rule = {
  block: 'batch_norm_param',
  build(builder, layer, params) {
    const { weights } = builder;
    if (!params.flag('use_global_stats', true))
      throw builder.unsupported(
        layer,
        'use_global_stats is false, so that each batch is normalised by its own statistics. For predictions of single samples it has to be true',
      );
    const fillers = ['scale_filler', 'bias_filler'].map((name) => params.child(name));
    const asksForScale = params.flag('scale_bias', false) || fillers.some(({ exists }) => exists);
    const hasScale = weights.count(layer) === 5;
    if (asksForScale && !hasScale)
      throw builder.malformed(layer, `the net asks for a scale and a bias here, but the weights have ${weights.count(layer)} blobs instead of 5`);
    const last = hasScale ? weights.find(layer, 4)! : null;
    const isDigits = last !== null && elementCount(last.shape) === 1 && builder.inputShape(layer)[1] !== 1;
    normalise(builder, layer, params.number('eps', 1e-5), isDigits ? DIGITS : hasScale ? NVIDIA : BVLC);
  },
};

/** A type of forks, whose blobs say which. */
export const bn: Rule = {
  block: 'bn_param',
  build(builder, layer, params) {
    ['slope_filler', 'scale_filler', 'bias_filler', 'shift_filler'].forEach((name) => void params.child(name));
    const count = builder.weights.count(layer);
    if (count === 4 && !params.has('bn_mode')) {
      normalise(builder, layer, params.number('eps', 1e-5), PSPNET);
    } else if (count === 2 && params.word('bn_mode', 'LEARN') === 'INFERENCE') {
      const channels = channelsOf(builder, layer);
      const scaled = multiply(builder, layer, `${layer.name}/scale`, 'Mul', builder.input(layer), builder.weights.blob(layer, 0, 'scale', [channels]));
      builder.output(layer, multiply(builder, layer, layer.name, 'Add', scaled, builder.weights.blob(layer, 1, 'shift', [channels])));
    } else {
      throw builder.unsupported(layer, `BN with ${count} blobs. Translated: 4 (scale, bias, mean, variance), and 2 with bn_mode: INFERENCE (scale and shift)`);
    }
  },
};

function normalise(builder: CaffeBuilder, layer: CaffeLayer, epsilon: number, places: Statistics): void {
  const channels = channelsOf(builder, layer);
  const { weights } = builder;
  const filled = (role: string, value: number) => builder.constant(`${layer.name}/${role}`, [channels], new Array<number>(channels).fill(value));
  const stored = (place: number | undefined, what: string) => (place === undefined ? null : weights.blob(layer, place, what, [channels]));
  const mean = stored(places.mean, 'mean')!;
  const variance = stored(places.variance, 'variance')!;
  const factor = places.factor === undefined ? null : weights.blob(layer, places.factor, 'scale factor', [1]);
  const scale = stored(places.scale, 'scale');
  const bias = stored(places.bias, 'bias');
  builder.checks.push(() => doubtfulStatistics(layer, mean, variance, factor, scale !== null));
  // NVIDIA's has no use for the factor where it has a scale; it is 1 there, or 0 where it was never touched.
  const rescale = (sums: Tensor) => (factor ? rescaled(sums, factor, scale ? 1 : 0) : sums);
  const roles = { scale: scale ?? filled('scale', 1), bias: bias ?? filled('bias', 0), mean: rescale(mean), variance: rescale(variance) };
  builder.output(layer, builder.add(layer, layer.name, 'BatchNormalization', [builder.input(layer)], { weights: roles, attributes: { epsilon } }));
}

/** Stored statistics are sums; the factor says over how much. For BVLC a factor of zero means that nothing was gathered, and all are 0. */
function rescaled(sums: Tensor, factor: Tensor, forZero: number): Tensor {
  return computedTensor(sums.name, 'float32', sums.shape, sums.origin, async () => {
    const [divisor] = toFloat64Array(await tensorBytes(factor), factor.dtype);
    const scale = Math.fround(divisor === 0 ? forZero : 1 / divisor!);
    return new Uint8Array(Float32Array.from(toFloat64Array(await tensorBytes(sums), sums.dtype), (value) => value * scale).buffer);
  });
}

/** Longer ones are no statistics of channels. */
const MAX_CHECKED = 2 ** 20;

/** Statistics that nobody can have meant. */
async function doubtfulStatistics(layer: CaffeLayer, mean: Tensor, variance: Tensor, factor: Tensor | null, hasScale: boolean): Promise<Notice[]> {
  if (elementCount(mean.shape) > MAX_CHECKED) return [];
  const valuesOf = async (tensor: Tensor) => toFloat64Array(await tensorBytes(tensor), tensor.dtype);
  const [means, variances] = [await valuesOf(mean), await valuesOf(variance)];
  const [divisor] = factor ? await valuesOf(factor) : [1];
  const isZero = (values: Float64Array) => values.every((value) => value === 0);
  const says = (message: string): Notice[] => [{ code: 'suspicious-weights', message, layer: layer.name }];
  if (![...means, ...variances, divisor!].every(Number.isFinite)) return says('the statistics of its batch normalisation hold values that are NaN or infinite');
  if (variances.some((value) => value * (divisor! < 0 ? -1 : 1) < 0)) return says('the statistics of its batch normalisation hold negative variances');
  if (divisor === 0 && !hasScale && !(isZero(means) && isZero(variances))) {
    return says(
      "its scale factor is 0 although its statistics are not: by Caffe's rule every mean and variance becomes 0. NVIDIA's fork writes such files, and uses the statistics as they are; there the factor should be 1",
    );
  }
  if (isZero(variances)) return says('all variances of its batch normalisation are 0: were its statistics ever gathered?');
  return [];
}

/** Multiplies, and adds, along some axes: by stored factors, or by those that another layer makes. */
export const scale: Rule = {
  block: 'scale_param',
  bottoms: [1, 2],
  build(builder, layer, params) {
    const { name } = layer;
    const input = builder.input(layer);
    const filler = params.child('filler');
    const biasFiller = params.child('bias_filler');
    const hasBias = params.flag('bias_term', false);
    const { sizes, covers } = coveredAxes(builder, layer, params);
    const productName = hasBias ? `${name}/scale` : name;
    const isGiven = layer.bottoms.length === 2;
    const product = isGiven
      ? builder.add(layer, productName, 'Mul', [input, aligned(builder, layer, covers)])
      : builder.add(layer, productName, 'Mul', [input], {
          weights: { operand: reshape(builder.weights.blob(layer, 0, 'scale', known(sizes), filler), known(covers)) },
        });
    if (!hasBias) builder.output(layer, product);
    else {
      const bias = reshape(builder.weights.blob(layer, isGiven ? 0 : 1, 'bias', known(sizes), biasFiller), known(covers));
      builder.output(layer, builder.add(layer, name, 'Add', [product], { weights: { operand: bias } }));
    }

    function known(dims: readonly Dim[]): number[] {
      return dims.map((size) => builder.size(layer, size, `${layer.type} by stored values along an axis whose size is not known`));
    }
  },
};

export const bias: Rule = {
  block: 'bias_param',
  bottoms: [1, 2],
  build(builder, layer, params) {
    const input = builder.input(layer);
    const filler = params.child('filler');
    const { sizes, covers } = coveredAxes(builder, layer, params);
    if (layer.bottoms.length === 2) {
      builder.output(layer, builder.add(layer, layer.name, 'Add', [input, aligned(builder, layer, covers)]));
      return;
    }
    const known = (dims: readonly Dim[]) => dims.map((size) => builder.size(layer, size, 'a Bias along an axis whose size is not known'));
    const operand = reshape(builder.weights.blob(layer, 0, 'bias', known(sizes), filler), known(covers));
    builder.output(layer, builder.add(layer, layer.name, 'Add', [input], { weights: { operand } }));
  },
};

/** Sizes of the axes that factors are for, and the same followed by ones up to the last axis. */
function coveredAxes(builder: CaffeBuilder, layer: CaffeLayer, params: Params): { sizes: readonly Dim[]; covers: readonly Dim[] } {
  const shape = builder.inputShape(layer);
  const axis = builder.axis(layer, params.number('axis', 1));
  const count = params.number('num_axes', 1);
  const given = layer.bottoms.length === 2 ? builder.inputShape(layer, 1) : null;
  if (count < -1) throw builder.malformed(layer, `num_axes is ${count}`);
  const end = given ? axis + given.length : count === -1 ? shape.length : axis + count;
  const sizes = shape.slice(axis, end);
  if (end > shape.length || (given && sizes.join() !== given.join()))
    throw builder.malformed(layer, `factors ${given ? `of shape [${given}]` : `for ${count} axes`} do not fit the axes from ${axis} on of [${shape}]`);
  // A single number covers everything.
  return { sizes, covers: sizes.length === 0 ? [] : [...sizes, ...shape.slice(end).map(() => 1)] };
}

/** The second input with ones for the axes that it has not. */
function aligned(builder: CaffeBuilder, layer: CaffeLayer, covers: readonly Dim[]): string {
  const factors = builder.input(layer, 1);
  return covers.length === builder.shapeOf(factors).length ? factors : builder.reshape(layer, `${layer.name}/factors`, factors, covers);
}

/** (x - mean) / (deviation + eps), over each picture of a sample, or over the whole sample. */
export const meanVariance: Rule = {
  block: 'mvn_param',
  build(builder, layer, params) {
    const { name } = layer;
    const input = builder.input(layer);
    const rank = pictureShape(builder, layer).length;
    const first = params.flag('across_channels', false) ? 1 : 2;
    const attributes = { axes: Array.from({ length: rank - first }, (_, i) => first + i), keepdims: 1 };
    const isScaled = params.flag('normalize_variance', true);
    const epsilon = params.number('eps', 1e-9);
    const mean = builder.add(layer, `${name}/mean`, 'ReduceMean', [input], { attributes });
    const centred = builder.add(layer, isScaled ? `${name}/centred` : name, 'Sub', [input, mean]);
    if (!isScaled) {
      builder.output(layer, centred);
      return;
    }
    const squared = builder.add(layer, `${name}/square`, 'Mul', [centred, centred]);
    const variance = builder.add(layer, `${name}/variance`, 'ReduceMean', [squared], { attributes });
    const deviation = builder.withScalar(layer, `${name}/eps`, 'Add', builder.add(layer, `${name}/deviation`, 'Sqrt', [variance]), epsilon);
    builder.output(layer, builder.add(layer, name, 'Div', [centred, deviation]));
  },
};

/** SSD's: x / sqrt(sum of squares + eps), at each place or over the whole sample, times a stored scale. */
export const normalize: Rule = {
  block: 'norm_param',
  build(builder, layer, params) {
    const { name } = layer;
    const input = builder.input(layer);
    const rank = pictureShape(builder, layer).length;
    const axes = params.flag('across_spatial', true) ? Array.from({ length: rank - 1 }, (_, i) => i + 1) : [1];
    const isShared = params.flag('channel_shared', true);
    const channels = isShared ? 1 : channelsOf(builder, layer);
    const stored = builder.weights.blob(layer, 0, 'scale', [channels], params.child('scale_filler'));
    const squared = builder.add(layer, `${name}/square`, 'Mul', [input, input]);
    const sum = builder.add(layer, `${name}/sum`, 'ReduceSum', [squared], { attributes: { axes, keepdims: 1 } });
    const shifted = builder.withScalar(layer, `${name}/eps`, 'Add', sum, params.number('eps', 1e-10));
    const norm = builder.add(layer, `${name}/norm`, 'Sqrt', [shifted]);
    const unit = builder.add(layer, `${name}/unit`, 'Div', [input, norm]);
    builder.output(layer, multiply(builder, layer, name, 'Mul', unit, stored));
  },
};

export function channelsOf(builder: CaffeBuilder, layer: CaffeLayer): number {
  const shape = builder.inputShape(layer);
  if (shape.length < 2) throw builder.unsupported(layer, `${layer.type} over an input of shape [${shape}], which has no channels`);
  return builder.size(layer, shape[1], `${layer.type} over channels whose number is not known`);
}

/** One factor or summand for each channel. */
function multiply(builder: CaffeBuilder, layer: CaffeLayer, name: string, op: string, input: string, factors: Tensor): string {
  const operand = reshape(factors, [
    factors.shape[0]!,
    ...builder
      .shapeOf(input)
      .slice(2)
      .map(() => 1),
  ]);
  return builder.add(layer, name, op, [input], { weights: { operand } });
}
