/**
 * How each type of Caffe layer becomes operators of the layer map.
 *
 * @see https://caffe.berkeleyvision.org/tutorial/layers.html and the layers' sources, where the documentation is silent
 */
import { toFloat64Array } from '../../model/cast.js';
import type { Dim } from '../../model/layer-map.js';
import { computedTensor, elementCount, float32Tensor, permute, reshape, type Tensor, tensorBytes } from '../../model/tensor.js';
import type { CaffeBuilder, Step } from './builder.js';
import { textsOf } from './message.js';
import type { Params } from './params.js';
import type { CaffeLayer } from './topology.js';

export interface Rule {
  /** The layer's parameter message. */
  readonly block: string | null;
  build(builder: CaffeBuilder, layer: CaffeLayer, params: Params): void;
}

/** A rule for a layer of one input and one output, of one operator. */
function simple(block: string | null, make: (params: Params, builder: CaffeBuilder, layer: CaffeLayer) => Step & { readonly op: string }): Rule {
  return {
    block,
    build(builder, layer, params) {
      const { op, ...step } = make(params, builder, layer);
      builder.output(layer, builder.add(layer, layer.name, op, [builder.input(layer)], step));
    },
  };
}

/** Height and width of a window parameter: a repeated field, or the _h and _w pair. */
function pair(params: Params, name: string, fallback: number | null, layer: CaffeLayer, builder: CaffeBuilder): [number, number] {
  const stem = name === 'kernel_size' ? 'kernel' : name;
  const [height, width] = [params.numbers(`${stem}_h`).at(-1), params.numbers(`${stem}_w`).at(-1)];
  const sizes = params.numbers(name);
  if (height !== undefined || width !== undefined) return check([height ?? fallback ?? 0, width ?? fallback ?? 0]);
  if (sizes.length === 0 && fallback === null) throw builder.malformed(layer, `${layer.type} has no ${name}`);
  if (sizes.length > 2) throw builder.unsupported(layer, `${name} has ${sizes.length} sizes; nets over pictures have two`);
  return check([sizes[0] ?? fallback!, sizes[1] ?? sizes[0] ?? fallback!]);

  function check(values: [number, number]): [number, number] {
    if (!values.every((value) => Number.isSafeInteger(value) && value >= 0)) throw builder.malformed(layer, `${name} is [${values}], which are no sizes`);
    return values;
  }
}

function window(builder: CaffeBuilder, layer: CaffeLayer, params: Params) {
  const kernel = pair(params, 'kernel_size', null, layer, builder);
  const stride = pair(params, 'stride', 1, layer, builder);
  const pad = pair(params, 'pad', 0, layer, builder);
  if (kernel.includes(0) || stride.includes(0)) throw builder.malformed(layer, `kernel [${kernel}] and stride [${stride}] must be at least 1`);
  return { kernel, stride, pad };
}

function rank4(builder: CaffeBuilder, layer: CaffeLayer): readonly Dim[] {
  const shape = builder.shapeOf(builder.input(layer));
  if (shape.length !== 4) throw builder.unsupported(layer, `${layer.type} over an input of shape [${shape}]; four axes are translated`);
  return shape;
}

const convolution: Rule = {
  block: 'convolution_param',
  build(builder, layer, params) {
    const { kernel, stride, pad } = window(builder, layer, params);
    const transposed = layer.type === 'Deconvolution';
    const dilations = params.numbers('dilation');
    const dilation = [dilations[0] ?? 1, dilations[1] ?? dilations[0] ?? 1];
    const group = params.number('group', 1);
    const out = params.number('num_output', 0);
    if (params.number('axis', 1) !== 1) throw builder.unsupported(layer, 'a convolution along another axis than the channels');
    const channels = rank4(builder, layer)[1] as number;
    if (channels % group !== 0 || out % group !== 0)
      throw builder.malformed(layer, `${channels} channels and ${out} outputs do not divide into ${group} groups`);
    const shape = transposed ? [channels, out / group, ...kernel] : [out, channels / group, ...kernel];
    const weights: Record<string, Tensor> = { kernel: builder.blob(layer, 0, 'kernel', shape) };
    if (params.flag('bias_term', true)) weights.bias = builder.blob(layer, 1, 'bias', [out]);
    const attributes = { kernel_shape: kernel, strides: stride, pads: [...pad, ...pad], dilations: dilation, group };
    builder.output(layer, builder.add(layer, layer.name, transposed ? 'ConvTranspose' : 'Conv', [builder.input(layer)], { weights, attributes }));
  },
};

const innerProduct: Rule = {
  block: 'inner_product_param',
  build(builder, layer, params) {
    if (params.number('axis', 1) !== 1) throw builder.unsupported(layer, 'an inner product along another axis than the channels');
    let input = builder.input(layer);
    if (builder.shapeOf(input).length !== 2) input = builder.add(layer, `${layer.name}/flatten`, 'Flatten', [input]);
    const features = builder.shapeOf(input)[1]!;
    const out = params.number('num_output', 0);
    if (typeof features !== 'number')
      throw builder.unsupported(layer, 'an inner product over features whose number is not known. Give the input size with --input-shape.');
    const transposed = params.flag('transpose', false);
    const stored = builder.blob(layer, 0, 'kernel', transposed ? [features, out] : [out, features]);
    const weights: Record<string, Tensor> = { kernel: transposed ? permute(stored, [1, 0]) : stored };
    if (params.flag('bias_term', true)) weights.bias = builder.blob(layer, 1, 'bias', [out]);
    builder.output(layer, builder.add(layer, layer.name, 'Gemm', [input], { weights }));
  },
};

/**
 * Caffe rounds the number of windows up, leaves out one that would start in the end padding, and in averages divides by the
 * part of the window that lies within the padded picture. Stated with explicit padding, because runtimes differ about ceil_mode.
 */
const pooling: Rule = {
  block: 'pooling_param',
  build(builder, layer, params) {
    const method = params.word('pool', 'MAX');
    if (method !== 'MAX' && method !== 'AVE') throw builder.unsupported(layer, `${method} pooling is not translated`);
    if (layer.tops.length > 1) throw builder.unsupported(layer, 'pooling that also gives the positions of its maxima');
    let input = builder.input(layer);
    const shape = rank4(builder, layer);
    if (params.flag('global_pooling', false)) {
      ['kernel_size', 'kernel_h', 'kernel_w', 'stride', 'pad'].forEach((name) => void params.numbers(name));
      params.word('round_mode', 'CEIL');
      builder.output(layer, builder.add(layer, layer.name, method === 'MAX' ? 'GlobalMaxPool' : 'GlobalAveragePool', [input]));
      return;
    }
    const { kernel, stride, pad } = window(builder, layer, params);
    const roundUp = params.word('round_mode', 'CEIL') === 'CEIL';
    const end = [0, 1].map((i) => {
      const size = shape[i + 2]!;
      if (typeof size === 'string')
        throw builder.unsupported(layer, 'pooling over a picture whose size is not known, because Caffe rounds up. Give the input size with --input-shape.');
      const steps = (size + 2 * pad[i]! - kernel[i]!) / stride[i]!;
      let count = (roundUp ? Math.ceil(steps) : Math.floor(steps)) + 1;
      if ((pad[0] > 0 || pad[1] > 0) && (count - 1) * stride[i]! >= size + pad[i]!) count--;
      return Math.max(0, (count - 1) * stride[i]! + kernel[i]! - size - pad[i]!);
    });
    const attributes = { kernel_shape: kernel, strides: stride, pads: [...pad, ...end] };
    if (method === 'MAX') {
      builder.output(layer, builder.add(layer, layer.name, 'MaxPool', [input], { attributes }));
      return;
    }
    if (pad.every((size) => size === 0)) {
      builder.output(layer, builder.add(layer, layer.name, 'AveragePool', [input], { attributes }));
    } else if (pad.every((size, i) => size === end[i])) {
      builder.output(layer, builder.add(layer, layer.name, 'AveragePool', [input], { attributes: { ...attributes, count_include_pad: 1 } }));
    } else {
      // The padding counts as picture, what a window reaches beyond it does not.
      input = builder.add(layer, `${layer.name}/pad`, 'Pad', [input], { attributes: { pads: [0, 0, ...pad, 0, 0, ...pad] } });
      const beyond = end.map((size, i) => Math.max(0, size - pad[i]!));
      builder.output(layer, builder.add(layer, layer.name, 'AveragePool', [input], { attributes: { ...attributes, pads: [0, 0, ...beyond] } }));
    }
  },
};

const lrn: Rule = {
  block: 'lrn_param',
  build(builder, layer, params) {
    const size = params.number('local_size', 5);
    const alpha = params.number('alpha', 1);
    const beta = params.number('beta', 0.75);
    const bias = params.number('k', 1);
    const input = builder.input(layer);
    if (params.word('norm_region', 'ACROSS_CHANNELS') === 'ACROSS_CHANNELS') {
      builder.output(layer, builder.add(layer, layer.name, 'LRN', [input], { attributes: { size, alpha, beta, bias } }));
      return;
    }
    // Within a channel: x / (1 + alpha * mean of squares over the window)^beta, where k plays no part.
    const name = layer.name;
    const pad = (size - 1) / 2;
    if (!Number.isInteger(pad)) throw builder.malformed(layer, `local_size is ${size}; Caffe asks for an odd one`);
    rank4(builder, layer);
    const squared = builder.add(layer, `${name}/square`, 'Mul', [input, input]);
    const attributes = { kernel_shape: [size, size], strides: [1, 1], pads: [pad, pad, pad, pad], count_include_pad: 1 };
    const mean = builder.add(layer, `${name}/mean`, 'AveragePool', [squared], { attributes });
    const scaled = builder.withScalar(layer, `${name}/scale`, 'Mul', mean, alpha);
    const shifted = builder.withScalar(layer, `${name}/shift`, 'Add', scaled, 1);
    const power = builder.withScalar(layer, `${name}/power`, 'Pow', shifted, beta);
    builder.output(layer, builder.add(layer, name, 'Div', [input, power]));
  },
};

const batchNorm: Rule = {
  block: 'batch_norm_param',
  build(builder, layer, params) {
    const epsilon = params.number('eps', 1e-5);
    if (!params.flag('use_global_stats', true)) throw builder.unsupported(layer, 'batch normalisation with the statistics of each batch');
    const channels = builder.shapeOf(builder.input(layer))[1] as number;
    const factor = builder.blob(layer, 2, 'scale factor', [1]);
    const filled = (role: string, value: number) =>
      float32Tensor(`${layer.name}/${role}`, [channels], new Array<number>(channels).fill(value), { file: builder.file });
    const weights = {
      scale: filled('scale', 1),
      bias: filled('bias', 0),
      mean: rescaled(builder.blob(layer, 0, 'mean', [channels]), factor),
      variance: rescaled(builder.blob(layer, 1, 'variance', [channels]), factor),
    };
    builder.output(layer, builder.add(layer, layer.name, 'BatchNormalization', [builder.input(layer)], { weights, attributes: { epsilon } }));
  },
};

/** Stored statistics are sums; the factor says over how much. A factor of zero means that nothing was gathered. */
function rescaled(sums: Tensor, factor: Tensor): Tensor {
  return computedTensor(sums.name, 'float32', sums.shape, sums.origin, async () => {
    const [divisor] = toFloat64Array(await tensorBytes(factor), factor.dtype);
    const scale = Math.fround(divisor === 0 ? 0 : 1 / divisor!);
    return new Uint8Array(Float32Array.from(toFloat64Array(await tensorBytes(sums), sums.dtype), (value) => value * scale).buffer);
  });
}

/** Multiplies, and adds, along one axis. */
const scale: Rule = {
  block: 'scale_param',
  build(builder, layer, params) {
    const bias = params.flag('bias_term', false);
    const isBias = layer.type === 'Bias';
    if (layer.bottoms.length > 1) throw builder.unsupported(layer, `a ${layer.type} layer whose factors come from another layer`);
    const input = builder.input(layer);
    const shape = builder.shapeOf(input);
    const axis = params.number('axis', 1);
    const numAxes = params.number('num_axes', 1);
    if (axis !== 1 || numAxes !== 1) throw builder.unsupported(layer, `a ${layer.type} layer along other axes than the channels`);
    const channels = shape[1] as number;
    const operand = (i: number, what: string) => reshape(builder.blob(layer, i, what, [channels]), [channels, ...shape.slice(2).map(() => 1)]);
    if (isBias) {
      builder.output(layer, builder.add(layer, layer.name, 'Add', [input], { weights: { operand: operand(0, 'bias') } }));
      return;
    }
    const product = builder.add(layer, bias ? `${layer.name}/scale` : layer.name, 'Mul', [input], { weights: { operand: operand(0, 'scale') } });
    builder.output(layer, bias ? builder.add(layer, layer.name, 'Add', [product], { weights: { operand: operand(1, 'bias') } }) : product);
  },
};

const eltwise: Rule = {
  block: 'eltwise_param',
  build(builder, layer, params) {
    const operation = params.word('operation', 'SUM');
    const coefficients = params.numbers('coeff');
    let inputs = layer.bottoms.map((_, i) => builder.input(layer, i));
    if (coefficients.length > 0 && (operation !== 'SUM' || coefficients.length !== inputs.length))
      throw builder.malformed(layer, 'the number of coefficients does not fit');
    inputs = inputs.map((value, i) =>
      (coefficients[i] ?? 1) === 1 ? value : builder.withScalar(layer, `${layer.name}/coeff${i}`, 'Mul', value, coefficients[i]!),
    );
    const ops: Readonly<Record<string, string>> = { SUM: 'Add', PROD: 'Mul', MAX: 'Max' };
    const op = ops[operation];
    if (!op || inputs.length < 2) throw builder.unsupported(layer, `Eltwise ${operation} of ${inputs.length} inputs`);
    const result = inputs
      .slice(1)
      .reduce((left, right, i) => builder.add(layer, i === inputs.length - 2 ? layer.name : `${layer.name}/${i}`, op, [left, right]), inputs[0]!);
    builder.output(layer, result);
  },
};

/** (shift + scale * x) ^ power. */
const power: Rule = {
  block: 'power_param',
  build(builder, layer, params) {
    builder.output(
      layer,
      affine(builder, layer, params, (value) => {
        const exponent = params.number('power', 1);
        return exponent === 1 ? value : builder.withScalar(layer, `${layer.name}/power`, 'Pow', value, exponent);
      }),
    );
  },
};

/** base ^ (shift + scale * x), and the logarithm of the same; a base of -1 stands for e. */
const exponential: Rule = {
  block: 'exp_param',
  build(builder, layer, params) {
    const base = params.number('base', -1);
    builder.output(
      layer,
      affine(builder, layer, params, (value) => {
        const scaled = base === -1 ? value : builder.withScalar(layer, `${layer.name}/base`, 'Mul', value, Math.log(base));
        return builder.add(layer, layer.name, 'Exp', [scaled]);
      }),
    );
  },
};

const logarithm: Rule = {
  block: 'log_param',
  build(builder, layer, params) {
    const base = params.number('base', -1);
    builder.output(
      layer,
      affine(builder, layer, params, (value) => {
        const result = builder.add(layer, layer.name, 'Log', [value]);
        return base === -1 ? result : builder.withScalar(layer, `${layer.name}/base`, 'Div', result, Math.log(base));
      }),
    );
  },
};

function affine(builder: CaffeBuilder, layer: CaffeLayer, params: Params, then: (value: string) => string): string {
  const factor = params.number('scale', 1);
  const shift = params.number('shift', 0);
  let value = builder.input(layer);
  if (factor !== 1) value = builder.withScalar(layer, `${layer.name}/scale`, 'Mul', value, factor);
  if (shift !== 0) value = builder.withScalar(layer, `${layer.name}/shift`, 'Add', value, shift);
  const result = then(value);
  return result === builder.input(layer) ? builder.add(layer, layer.name, 'Identity', [result]) : result;
}

function positiveAxis(builder: CaffeBuilder, layer: CaffeLayer, axis: number): number {
  const rank = builder.shapeOf(builder.input(layer)).length;
  const positive = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(positive) || positive < 0 || positive >= rank) throw builder.malformed(layer, `axis ${axis} of ${rank} axes`);
  return positive;
}

const concat: Rule = {
  block: 'concat_param',
  build(builder, layer, params) {
    const axis = positiveAxis(builder, layer, params.numbers('concat_dim').at(-1) ?? params.number('axis', 1));
    params.number('axis', 1);
    const inputs = layer.bottoms.map((_, i) => builder.input(layer, i));
    builder.output(layer, builder.add(layer, layer.name, 'Concat', inputs, { attributes: { axis } }));
  },
};

const slice: Rule = {
  block: 'slice_param',
  build(builder, layer, params) {
    const axis = positiveAxis(builder, layer, params.numbers('slice_dim').at(-1) ?? params.number('axis', 1));
    params.number('axis', 1);
    const input = builder.input(layer);
    const size = builder.shapeOf(input)[axis];
    if (typeof size !== 'number') throw builder.unsupported(layer, 'a slice along an axis whose size is not known');
    const points = params.numbers('slice_point');
    const pieces = layer.tops.length;
    const cuts = points.length > 0 ? points : Array.from({ length: pieces - 1 }, (_, i) => (size / pieces) * (i + 1));
    if (cuts.length !== pieces - 1 || !cuts.every(Number.isInteger))
      throw builder.malformed(layer, `${size} does not divide into ${pieces} pieces at [${cuts}]`);
    layer.tops.forEach((top, i) => {
      const attributes = { starts: [cuts[i - 1] ?? 0], ends: [cuts[i] ?? size], axes: [axis] };
      builder.output(layer, builder.add(layer, `${layer.name}/${top}`, 'Slice', [input], { attributes }), i);
    });
  },
};

const flatten: Rule = {
  block: 'flatten_param',
  build(builder, layer, params) {
    if (params.number('axis', 1) !== 1 || params.number('end_axis', -1) !== -1) throw builder.unsupported(layer, 'a Flatten of some axes only');
    builder.output(layer, builder.add(layer, layer.name, 'Flatten', [builder.input(layer)]));
  },
};

const reshapeRule: Rule = {
  block: 'reshape_param',
  build(builder, layer, params) {
    if (params.number('axis', 0) !== 0 || params.number('num_axes', -1) !== -1) throw builder.unsupported(layer, 'a Reshape of some axes only');
    const dims = params.messages('shape').flatMap((shape) => textsOf(shape, 'dim').map(Number));
    const batch = builder.shapeOf(builder.input(layer))[0];
    if (typeof batch === 'string' && dims[0] !== 0 && dims[0] !== -1) {
      throw builder.unsupported(layer, `a Reshape that fixes the batch to ${dims[0]}. Give the whole input shape, batch included, with --input-shape.`);
    }
    builder.output(layer, builder.add(layer, layer.name, 'Reshape', [builder.input(layer)], { attributes: { shape: dims } }));
  },
};

/** The same value under other names: Split, Dropout at test time, Silence. */
const alias: Rule = {
  block: null,
  build(builder, layer) {
    if (layer.type === 'Dropout')
      builder.warnings.push({ code: 'training-layer-removed', message: 'Dropout acts in training only and was left out', layer: layer.name });
    const value = builder.input(layer);
    for (const i of layer.tops.keys()) builder.output(layer, value, i);
  },
};

const softmax = simple('softmax_param', (params, builder, layer) => ({
  op: 'Softmax',
  attributes: { axis: positiveAxis(builder, layer, params.number('axis', 1)) },
}));

/** Rules by type; what is not here has no translation. */
export const RULES: Readonly<Record<string, Rule>> = {
  Convolution: convolution,
  Deconvolution: convolution,
  InnerProduct: innerProduct,
  Pooling: pooling,
  LRN: lrn,
  BatchNorm: batchNorm,
  Scale: scale,
  Bias: { ...scale, block: 'bias_param' },
  Eltwise: eltwise,
  Power: power,
  Exp: exponential,
  Log: logarithm,
  Concat: concat,
  Slice: slice,
  Flatten: flatten,
  Reshape: reshapeRule,
  Split: alias,
  Dropout: alias,
  Softmax: softmax,
  ReLU: simple('relu_param', (params) => {
    const alpha = params.number('negative_slope', 0);
    return alpha === 0 ? { op: 'Relu' } : { op: 'LeakyRelu', attributes: { alpha } };
  }),
  PReLU: simple('prelu_param', (params, builder, layer) => {
    const shape = builder.shapeOf(builder.input(layer));
    const channels = params.flag('channel_shared', false) ? 1 : (shape[1] as number);
    const slope = builder.blob(layer, 0, 'slope', channels === 1 && elementCount(builder.anyBlob(layer, 0)?.shape ?? []) === 1 ? [1] : [channels]);
    return { op: 'PRelu', weights: { slope: reshape(slope, [channels, ...shape.slice(2).map(() => 1)]) } };
  }),
  ELU: simple('elu_param', (params) => ({ op: 'Elu', attributes: { alpha: params.number('alpha', 1) } })),
  Sigmoid: simple('sigmoid_param', () => ({ op: 'Sigmoid' })),
  TanH: simple('tanh_param', () => ({ op: 'Tanh' })),
  AbsVal: simple(null, () => ({ op: 'Abs' })),
  BNLL: simple(null, () => ({ op: 'Softplus' })),
  Permute: simple('permute_param', (params, builder, layer) => {
    const rank = builder.shapeOf(builder.input(layer)).length;
    const order = params.numbers('order');
    const rest = Array.from({ length: rank }, (_, axis) => axis).filter((axis) => !order.includes(axis));
    const perm = [...order, ...rest];
    if (perm.length !== rank || new Set(perm).size !== rank) throw builder.malformed(layer, `[${order}] is no order of ${rank} axes`);
    return { op: 'Transpose', attributes: { perm } };
  }),
};

/** Layers that feed a net in training or testing. */
export const DATA_TYPES: ReadonlySet<string> = new Set(['Data', 'ImageData', 'HDF5Data', 'MemoryData', 'WindowData', 'DummyData']);
/** Losses and measurements, which inference has no use for. */
export const LOSS_TYPES: ReadonlySet<string> = new Set([
  'SoftmaxWithLoss',
  'SigmoidCrossEntropyLoss',
  'EuclideanLoss',
  'HingeLoss',
  'InfogainLoss',
  'MultinomialLogisticLoss',
  'ContrastiveLoss',
  'Accuracy',
  'Silence',
  'HDF5Output',
]);
