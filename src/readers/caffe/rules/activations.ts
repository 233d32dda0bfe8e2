/** Functions of single values. */
import { reshape } from '../../../model/tensor.js';
import type { CaffeBuilder } from '../builder.js';
import type { Params } from '../params.js';
import type { CaffeLayer } from '../topology.js';
import { channelsOf } from './normalisation.js';
import { type Rule, simple } from './rule.js';

export const relu = simple('relu_param', (params) => {
  const alpha = params.number('negative_slope', 0);
  return alpha === 0 ? { op: 'Relu' } : { op: 'LeakyRelu', attributes: { alpha } };
});

export const relu6 = simple(null, () => ({ op: 'Clip', attributes: { min: 0, max: 6 } }));

export const prelu = simple('prelu_param', (params, builder, layer) => {
  const rest = builder.inputShape(layer).slice(2);
  const count = params.flag('channel_shared', false) ? 1 : channelsOf(builder, layer);
  const slope = builder.weights.blob(layer, 0, 'slope', [count], params.child('filler'));
  return { op: 'PRelu', weights: { slope: reshape(slope, [count, ...rest.map(() => 1)]) } };
});

export const elu = simple('elu_param', (params) => ({ op: 'Elu', attributes: { alpha: params.number('alpha', 1) } }));
export const sigmoid = simple('sigmoid_param', () => ({ op: 'Sigmoid' }));
export const tanh = simple('tanh_param', () => ({ op: 'Tanh' }));
export const absolute = simple(null, () => ({ op: 'Abs' }));
/** log(1 + exp(x)). */
export const bnll = simple(null, () => ({ op: 'Softplus' }));

export const clip = simple('clip_param', (params, builder, layer) => {
  if (!params.has('min') || !params.has('max')) throw builder.malformed(layer, 'Clip has no min or no max');
  return { op: 'Clip', attributes: { min: params.number('min', 0), max: params.number('max', 0) } };
});

/** 1 above the threshold, 0 elsewhere. */
export const threshold: Rule = {
  block: 'threshold_param',
  build(builder, layer, params) {
    const { name } = layer;
    const value = builder.constant(`${name}/threshold`, [], [params.number('threshold', 0)]);
    const bound = builder.add(layer, `${name}/threshold`, 'Constant', [], { weights: { value } });
    const isAbove = builder.add(layer, `${name}/above`, 'Greater', [builder.input(layer), bound]);
    builder.output(layer, builder.add(layer, name, 'Cast', [isAbove], { attributes: { to: 'float32' } }));
  },
};

/** x * sigmoid(beta * x). */
export const swish: Rule = {
  block: 'swish_param',
  build(builder, layer, params) {
    const input = builder.input(layer);
    const beta = params.number('beta', 1);
    const scaled = beta === 1 ? input : builder.withScalar(layer, `${layer.name}/beta`, 'Mul', input, beta);
    const gate = builder.add(layer, `${layer.name}/gate`, 'Sigmoid', [scaled]);
    builder.output(layer, builder.add(layer, layer.name, 'Mul', [input, gate]));
  },
};

/** x * min(max(x + 3, 0), 6) / 6. */
export const hardSwish: Rule = {
  block: null,
  build(builder, layer) {
    const input = builder.input(layer);
    const gate = builder.add(layer, `${layer.name}/gate`, 'HardSigmoid', [input], { attributes: { alpha: 1 / 6, beta: 0.5 } });
    builder.output(layer, builder.add(layer, layer.name, 'Mul', [input, gate]));
  },
};

/** x * tanh(log(1 + exp(x))). */
export const mish: Rule = {
  block: 'mish_param',
  build(builder, layer) {
    const input = builder.input(layer);
    const soft = builder.add(layer, `${layer.name}/soft`, 'Softplus', [input]);
    const gate = builder.add(layer, `${layer.name}/gate`, 'Tanh', [soft]);
    builder.output(layer, builder.add(layer, layer.name, 'Mul', [input, gate]));
  },
};

export const softmax = simple('softmax_param', (params, builder, layer) => ({
  op: 'Softmax',
  attributes: { axis: builder.axis(layer, params.number('axis', 1)) },
}));

/** (shift + scale * x) ^ power. */
export const power: Rule = {
  block: 'power_param',
  build(builder, layer, params) {
    const exponent = params.number('power', 1);
    affine(builder, layer, params, (value) => (exponent === 1 ? value : builder.withScalar(layer, layer.name, 'Pow', value, exponent)));
  },
};

/** base ^ (shift + scale * x), and the logarithm of the same; a base of -1 stands for e. */
export const exponential: Rule = {
  block: 'exp_param',
  build(builder, layer, params) {
    const base = baseOf(builder, layer, params);
    affine(builder, layer, params, (value) => {
      const scaled = base === null ? value : builder.withScalar(layer, `${layer.name}/base`, 'Mul', value, Math.log(base));
      return builder.add(layer, layer.name, 'Exp', [scaled]);
    });
  },
};

export const logarithm: Rule = {
  block: 'log_param',
  build(builder, layer, params) {
    const base = baseOf(builder, layer, params);
    affine(builder, layer, params, (value) => {
      const result = builder.add(layer, base === null ? layer.name : `${layer.name}/log`, 'Log', [value]);
      return base === null ? result : builder.withScalar(layer, layer.name, 'Div', result, Math.log(base));
    });
  },
};

function baseOf(builder: CaffeBuilder, layer: CaffeLayer, params: Params): number | null {
  const base = params.number('base', -1);
  if (base === -1) return null;
  if (base <= 0 || base === 1) throw builder.malformed(layer, `a base of ${base}; Caffe asks for one above 0, or -1 for e`);
  return base;
}

function affine(builder: CaffeBuilder, layer: CaffeLayer, params: Params, then: (value: string) => string): void {
  const factor = params.number('scale', 1);
  const shift = params.number('shift', 0);
  const input = builder.input(layer);
  let value = input;
  if (factor !== 1) value = builder.withScalar(layer, `${layer.name}/scale`, 'Mul', value, factor);
  if (shift !== 0) value = builder.withScalar(layer, `${layer.name}/shift`, 'Add', value, shift);
  const result = then(value);
  builder.output(layer, result === input ? builder.add(layer, layer.name, 'Identity', [result]) : result);
}
