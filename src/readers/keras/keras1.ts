/**
 * Layers that only Keras 1 has: Deconvolution2D, which says how large its output is, dense layers with several kernels, and Merge.
 *
 * @see `convolutional.py`, `core.py` and `topology.py` of Keras 1.2.2, and `deconv2d` of its backends
 */
import { permute, reshape, type Tensor } from '../../model/tensor.js';
import { activation } from './activation-setting.js';
import { reduce, unsqueeze } from './axes.js';
import { brief } from './config-view.js';
import { bias, keras1Kernel, knownChannels, readConvolution, turned } from './convolutions.js';
import { productOver } from './dot.js';
import { concat, join } from './merge.js';
import type { Rule } from './rule.js';
import type { Scope } from './scope.js';
import type { Value } from './value.js';

/** The gradient of a convolution that would have made the input from an output of the given size; its kernel is that convolution's own. */
export const deconvolution: Rule = (config) => {
  const read = readConvolution(config, 2);
  const filters = config.integer(['nb_filter']);
  const given = config.value(['output_shape']);
  const sizes = Array.isArray(given) && given.length === 4 ? (read.format === 'channels_first' ? given.slice(2) : given.slice(1, 3)) : [];
  if (sizes.length === 0 || !sizes.every((size) => Number.isSafeInteger(size) && size > 0))
    config.decline(`"output_shape" is ${brief(given)}, expected the batch and three sizes`);
  const { theano } = config.dialect;
  const isEven = read.kernel.some((size) => size % 2 === 0);
  if (theano && read.padding === 'same' && isEven) config.decline('a padded Deconvolution2D with an even kernel, saved under Theano, is not translated');
  return ([input], scope) => {
    const value = scope.inFormat(input!, read.format);
    const channels = knownChannels(value, 2, scope);
    const stored = keras1Kernel(read, channels, filters, scope);
    const kernel = turned(permute(stored, [2, 3, 0, 1]), scope);
    // How much longer the whole overlap of all kernels is than the output.
    const surplus = read.kernel.map((size, axis) => {
      const [from, to, stride] = [value.shape[axis + 2]!, sizes[axis] as number, read.strides[axis]!];
      if (typeof from !== 'number') throw scope.unsupported('a Deconvolution2D over sizes that are not given; --input-shape gives them; this');
      if (from !== Math.ceil((read.padding === 'same' ? to : to - size + 1) / stride))
        throw scope.malformed(`an output of [${sizes}] does not come of an input of the shape [${value.shape}]`);
      return (from - 1) * stride + size - to;
    });
    const begin = surplus.map((amount, axis) => {
      if (read.padding === 'valid') return 0;
      return theano ? Math.floor(read.kernel[axis]! / 2) : Math.max(Math.floor(amount / 2), 0);
    });
    const end = surplus.map((amount, axis) => amount - begin[axis]!);
    const attributes = {
      kernel_shape: read.kernel,
      strides: read.strides,
      pads: [...begin, ...end.map((amount) => Math.max(amount, 0))],
      output_padding: end.map((amount) => Math.max(-amount, 0)),
    };
    return read.activation(scope.add('ConvTranspose', [value], { attributes, weights: { kernel, ...bias(read, filters, scope) } }), scope);
  };
};

function features(value: Value, scope: Scope): number {
  const size = value.shape[1];
  if (value.shape.length === 2 && typeof size === 'number') return size;
  throw scope.malformed(`a value of the shape [${value.shape}] flows in, expected [batch, features]`);
}

/** The largest of several linear functions, output by output. */
export const maxoutDense: Rule = (config) => {
  const units = config.integer(['output_dim']);
  const count = config.integer(['nb_feature'], 4);
  const hasBias = config.boolean(['bias'], true);
  return ([input], scope) => {
    const value = scope.builder.toKeras(input!);
    const size = features(value, scope);
    const kernel = reshape(permute(scope.weight('kernel', [count, size, units]), [1, 0, 2]), [size, count * units]);
    const product = scope.add('MatMul', [value], { weights: { kernel } });
    const all = hasBias ? scope.add('Add', [product], { weights: { operand: reshape(scope.weight('bias', [count, units]), [count * units]) } }) : product;
    return reduce('ReduceMax', scope.add('Reshape', [all], { attributes: { shape: [0, count, units] } }), [1], false, scope);
  };
};

/** t · activation(x W + b) + (1 - t) · x, where t = sigmoid(x W' + b'). */
export const highway: Rule = (config) => {
  const then = activation(config);
  const hasBias = config.boolean(['bias'], true);
  return ([input], scope) => {
    const value = scope.builder.toKeras(input!);
    const size = features(value, scope);
    // Until 1.1 each bias followed its kernel.
    const all = Array.from({ length: hasBias ? 4 : 2 }, () => scope.nextWeight('kernel'));
    const ofRank = (rank: number) => all.filter(({ shape }) => shape.length === rank && shape.every((length) => length === size));
    const [[own, gate], [ownBias, gateBias]] = [ofRank(2), ofRank(1)] as const;
    if (!own || !gate || (hasBias && !gateBias))
      throw scope.malformed(`weights of the shapes ${all.map(({ shape }) => `[${shape}]`).join(', ')} over ${size} features`);
    const linear = (kernel: Tensor, offset?: Tensor) =>
      scope.add('Gemm', [value], { weights: { kernel: permute(kernel, [1, 0]), ...(offset ? { bias: offset } : {}) } });
    const made = then(linear(own, ownBias), scope);
    const share = scope.add('Sigmoid', [linear(gate, gateBias)]);
    // x + t · (made - x)
    return scope.add('Add', [value, scope.add('Mul', [share, scope.add('Sub', [made, value])])]);
  };
};

/** What a cosine's denominator is kept from being below. */
const KERAS_EPSILON = 1e-7;

/** The one joining layer of Keras 1, whose mode says what it does. */
export const legacyMerge: Rule = (config) => {
  const mode = config.oneOf(['mode'], ['sum', 'mul', 'ave', 'max', 'concat', 'dot', 'cos']);
  const axis = config.number(['concat_axis'], -1);
  const given = config.value(['dot_axes']) ?? -1;
  const dotAxes = Array.isArray(given) ? (given as number[]) : [given as number, given as number];
  if (dotAxes.length !== 2 || !dotAxes.every(Number.isSafeInteger)) config.decline(`"dot_axes" is ${brief(given)}, expected an axis, or one for each value`);
  config.expect(['mode_type'], ['raw'], 'Python code is never run');
  config.value(['output_shape', 'output_shape_type', 'output_mask', 'output_mask_type', 'arguments']);
  const ops = { sum: 'Add', mul: 'Mul', ave: 'Average', max: 'Max' } as const;
  return (inputs, scope) => {
    if (mode === 'concat') return concat(axis, inputs, scope);
    if (mode !== 'dot' && mode !== 'cos') return join(ops[mode], inputs, scope);
    const ranks = inputs.map(({ shape }) => shape.length);
    if (inputs.length !== 2) throw scope.malformed(`a product of ${inputs.length} values`);
    if (mode === 'cos') return cosine(inputs, scope);
    if (ranks.some((rank) => rank > 3)) throw scope.unsupported('a product of values of more than three axes');
    return productOver(inputs, dotAxes, null, scope);
  };
};

/** [N, 1, 1], though Keras 1 says [N, 1] of it. */
function cosine(inputs: readonly Value[], scope: Scope): Value {
  const [a, b] = inputs.map((input) => scope.builder.toKeras(input)) as [Value, Value];
  if (a.shape.length !== 2 || b.shape.length !== 2) throw scope.unsupported('the cosine of values that are no vectors');
  const dot = (left: Value, right: Value) => productOver([left, right], [1, 1], null, scope);
  const lengths = scope.add('Sqrt', [scope.add('Mul', [dot(a, a), dot(b, b)])]);
  const made = scope.add('Div', [dot(a, b), scope.add('Clip', [lengths], { attributes: { min: KERAS_EPSILON } })]);
  return unsqueeze(made, 1, scope);
}
