/**
 * Builds a TensorFlow.js layers model: a Keras 2 configuration and weights named `layer/kernel`.
 *
 * TensorFlow.js passes over keys that it does not know without a word, and computes some layers for one setting only, so everything
 * here is held to what its layers really do (version 4.22). What they lack is put together from what they have where that gives the
 * same numbers: padding and slices along any axis through a reshape to a picture, group convolutions from slices.
 */
import type { ModelError } from '../../errors.js';
import { addDims, divideDim, multiplyDims, productOf, subtractDims } from '../../model/dims.js';
import type { Dim, Port } from '../../model/layer-map.js';
import { Names } from '../../model/names.js';
import { computedTensor, elementCount, float32Tensor, reshape, type Tensor, tensorBytes, withStage } from '../../model/tensor.js';
import {
  type ConvolutionForm,
  type FileNode,
  type FileValue,
  type FileWeight,
  inexpressible,
  knownSize,
  knownSizes,
  type Margins,
  type PoolForm,
  product,
  type Target,
} from './target.js';
import { nameNodes } from './valid-name.js';

export type Json = Readonly<Record<string, unknown>>;

/** A layer of the configuration. */
export interface KerasLayer extends FileNode {
  readonly className: string;
  /** In Keras's order. */
  readonly weights: readonly (readonly [role: string, weight: FileWeight])[];
}

export interface KerasNode extends KerasLayer {
  readonly config: Json;
  /** Of each call. */
  readonly calls: (readonly FileValue[])[];
}

/** A weight and its name in the manifest. */
export interface NamedWeight {
  readonly name: string;
  readonly weight: FileWeight;
}

/** Kernels of a convolution, by the number of its spatial axes. */
const CONVOLUTIONS = ['', 'Conv1D', 'Conv2D', 'Conv3D'];

const UNARY: Readonly<Record<string, string>> = {
  Relu: 'relu',
  Sigmoid: 'sigmoid',
  Tanh: 'tanh',
  Softplus: 'softplus',
  Softsign: 'softsign',
  Mish: 'mish',
};

const MERGES: Readonly<Record<string, string>> = { Add: 'Add', Mul: 'Multiply', Max: 'Maximum', Min: 'Minimum' };

const SELU = { alpha: 1.6732632423543772, gamma: 1.0507009873554805 };
/** What Keras 2 calls hard_sigmoid. */
const HARD_SIGMOID = { alpha: 0.2, beta: 0.5 };

/** An epsilon that TensorFlow's fused kernel takes as it is (it raises what is below 1.001e-5), and that float16 and bfloat16 take from 1 exactly. */
const PART_OF_ONE = 2 ** -8;
/** Of a matrix that is written out for an interpolation. */
const MOST_SHARES = 2 ** 22;

type Sampling = 'asymmetric' | 'half-pixel' | 'corners';

/** How much of each old element is in each new one: [old, new]. */
function sharesOf(size: number, made: number, factor: number, mode: 'nearest' | 'bilinear', sampling: Sampling): Float32Array {
  const shares = new Float32Array(size * made);
  // A factor that is not known follows from the sizes.
  const step = sampling === 'corners' ? (size - 1) / Math.max(made - 1, 1) : Number.isNaN(factor) ? size / made : 1 / factor;
  const within = (place: number) => Math.min(Math.max(place, 0), size - 1);
  for (let at = 0; at < made; at++) {
    const place = sampling === 'half-pixel' ? (at + 0.5) * step - (mode === 'nearest' ? 0 : 0.5) : at * step;
    const below = Math.floor(mode === 'nearest' ? place : within(place));
    const part = mode === 'nearest' ? 0 : within(place) - below;
    for (const [old, share] of [[below, 1 - part], [below + 1, part]] as const) shares[within(old) * made + at]! += share; // biome-ignore format: one line says it
  }
  return shares;
}

const close = (a: number, b: number): boolean => Math.fround(a) === Math.fround(b);

export class LayersTarget implements Target {
  readonly runtime: string = 'TensorFlow.js';
  /** What is said of a layer that there is not: where it can be had. */
  protected readonly instead: string = ', but a graph model (--to tfjs-graph) has it';
  readonly anyOrder = false;
  /** TensorFlow.js takes what reads a value twice for one reader, and lets go of the value one reader too early. */
  protected readonly mayReadTwice: boolean = false;
  /** Between the parts of a layer's name. */
  protected readonly separator: string = '/';
  readonly #nodes: KerasNode[] = [];
  readonly #names = new Names();
  readonly #inputs: FileValue[] = [];
  readonly #outputs: FileValue[] = [];
  /** Layers with weights, by class, configuration and weights, so that a shared layer stays one. */
  readonly #shared = new Map<string, KerasNode>();
  readonly #tensorNumbers = new Map<Tensor, number>();
  readonly #unnamed: KerasNode[] = [];

  /** What no layer makes. */
  protected lacking(what: string): ModelError {
    return inexpressible(`${what}; ${this.runtime} has no such layer${this.instead}`);
  }

  /** The configuration as Keras 2 writes it. */
  config(name: string): Json {
    const layers = this.#ordered().map((node) => this.layerConfig(node));
    return { class_name: 'Model', config: { name, layers, input_layers: this.#inputs.map(referenceOf), output_layers: this.#outputs.map(referenceOf) } };
  }

  protected layerConfig({ name, className, config, calls }: KerasNode): Json {
    return {
      class_name: className,
      name,
      config: { name, trainable: true, dtype: 'float32', ...config },
      inbound_nodes: calls.filter((inputs) => inputs.length > 0).map((inputs) => inputs.map((input) => [...referenceOf(input), {}])),
    };
  }

  /** Its layers, each once however often it is called. */
  layers(): readonly KerasLayer[] {
    return this.#ordered();
  }

  weights(): NamedWeight[] {
    return this.#nodes.flatMap(({ name, weights }) => weights.map(([role, weight]) => ({ name: `${name}/${role}`, weight })));
  }

  #ordered(): readonly KerasNode[] {
    return this.order(this.#nodes, this.#inputs, this.#outputs);
  }

  /** The layers as the file has them: in running order, which is any to TensorFlow.js. */
  protected order(nodes: readonly KerasNode[], _inputs: readonly FileValue[], _outputs: readonly FileValue[]): readonly KerasNode[] {
    return nodes;
  }

  nameNodes(name: string, result: FileValue): void {
    nameNodes(this.#unnamed.splice(0), name, result, this.#names, this.separator);
  }

  input(port: Port, shape: readonly Dim[]): FileValue {
    // TensorFlow.js turns integers that are fed into an input's dtype. Said to be int32 they would stay it, and the normalisation that a Rescaling
    // becomes takes their bits for floats.
    const dtype = 'float32';
    const sizes = shape.map((size, axis) => (axis === 0 && typeof size === 'string' ? null : knownSize(size)));
    const value = this.add('InputLayer', 'input', { batch_input_shape: sizes, dtype, sparse: false }, [], shape);
    this.#inputs.push(value);
    this.nameNodes(port.name, value);
    return value;
  }

  output(port: Port, value: FileValue, ports: readonly Port[]): void {
    // An output is known by its layer's name, which must not be that of another output.
    const isOthers = ports.some(({ name }) => name !== port.name && name === value.node.name);
    const isTaken = isOthers || [...this.#inputs, ...this.#outputs].some(({ node, call }) => node === value.node && call === value.call);
    const own = isTaken ? this.activation(value, 'linear') : value;
    this.nameNodes(port.name, own);
    this.#outputs.push(own);
  }

  transpose(x: FileValue, perm: readonly number[]): FileValue {
    if (perm[0] !== 0) throw inexpressible('the batch would have to become another axis, and layers leave it where it is');
    return this.add(
      'Permute',
      'permute',
      { dims: perm.slice(1) },
      [x],
      perm.map((axis) => x.shape[axis]!),
    );
  }

  reshape(x: FileValue, shape: readonly Dim[]): FileValue {
    if (shape[0] !== x.shape[0]) throw inexpressible(`a reshape from [${x.shape}] to [${shape}], which does not keep the batch`);
    const sizes = shape.slice(1).map((size) => knownSize(size) ?? -1);
    if (sizes.filter((size) => size === -1).length > 1) throw inexpressible(`a reshape to [${shape}], of which several sizes are free`);
    return this.add('Reshape', 'reshape', { target_shape: sizes }, [x], shape);
  }

  flatten(x: FileValue): FileValue {
    const sizes = x.shape.slice(1).map(knownSize);
    const features = sizes.every((size) => size !== null) ? product(sizes) : '?';
    return this.add('Flatten', 'flatten', { data_format: 'channels_last' }, [x], [x.shape[0]!, features]);
  }

  pad(x: FileValue, margins: Margins, mode: string, value: number): FileValue {
    const grows = margins.some((margin) => margin.some((amount) => amount > 0));
    if (grows && !['constant', 'reflect', 'edge'].includes(mode)) throw inexpressible(`padding with mode ${mode}`);
    if (grows && mode === 'constant' && value !== 0) throw inexpressible(`padding with ${value}; layers pad with zeros`);
    if (margins[0]!.some((amount) => amount !== 0)) throw inexpressible('padding of the batch');
    const cuts = margins.map(([before, after]) => [Math.max(-before, 0), Math.max(-after, 0)] as const);
    const adds = margins.map(([before, after]) => [Math.max(before, 0), Math.max(after, 0)] as const);
    const cut = this.#alongPicture(x, cuts, 'Cropping2D', 'crop', 'cropping', -1);
    if (mode === 'constant') return this.#alongPicture(cut, adds, 'ZeroPadding2D', 'pad', 'padding', 1);
    return adds.reduce((padded, amounts, axis) => this.#repeatEdges(padded, axis, amounts, mode), cut);
  }

  /** What is there already, put beside it element by element. */
  #repeatEdges(x: FileValue, axis: number, [before, after]: readonly [number, number], mode: string): FileValue {
    if (before === 0 && after === 0) return x;
    const size = knownSize(x.shape[axis]);
    if (size === null) throw inexpressible(`padding with mode ${mode} of an axis of free size`);
    const away = mode === 'edge' ? 0 : 1;
    const places = [...Array.from({ length: before }, (_, i) => (before - i) * away), ...Array.from({ length: after }, (_, i) => size - 1 - (i + 1) * away)];
    const parts = places.map((at) => this.slice(x, axis, at, at + 1));
    return this.concat([...parts.slice(0, before), x, ...parts.slice(before)], axis);
  }

  slice(x: FileValue, axis: number, start: number, end: number): FileValue {
    if (axis === 0) throw inexpressible('a slice of the batch');
    const size = knownSize(x.shape[axis]);
    if (size === null) throw inexpressible('a slice of an axis of free size');
    const cuts = x.shape.map((_, other) => (other === axis ? ([start, size - end] as const) : ([0, 0] as const)));
    return this.#alongPicture(x, cuts, 'Cropping2D', 'crop', 'cropping', -1);
  }

  /** Padding and cropping exist for pictures; other axes are taken to the place of a picture's width. */
  #alongPicture(x: FileValue, amounts: Margins, className: string, suffix: string, key: string, sign: 1 | -1): FileValue {
    const changed = amounts.flatMap((amount, axis) => (amount[0] !== 0 || amount[1] !== 0 ? [axis] : []));
    const grown = (shape: readonly Dim[], axes: readonly number[]) =>
      shape.map((size, axis) => (axes.includes(axis) && typeof size === 'number' ? size + sign * (amounts[axis]![0] + amounts[axis]![1]) : size));
    if (changed.length === 0) return x;
    if (x.shape.length === 4 && changed.every((axis) => axis === 1 || axis === 2)) {
      return this.add(className, suffix, { [key]: [amounts[1], amounts[2]], data_format: 'channels_last' }, [x], grown(x.shape, changed));
    }
    const what = className === 'Cropping2D' ? 'cutting' : 'padding';
    return changed.reduce((value, axis) => {
      const sizes = [1, ...knownSizes(value, `${what} other axes than a picture's`)];
      const batch = value.shape[0]!;
      const picture = [batch, product(sizes.slice(1, axis)), sizes[axis]!, product(sizes.slice(axis + 1))];
      const changedPicture = picture.with(2, sizes[axis]! + sign * (amounts[axis]![0] + amounts[axis]![1]));
      const config = { [key]: [[0, 0], amounts[axis]], data_format: 'channels_last' };
      const made = this.add(className, suffix, config, [this.reshape(value, picture)], changedPicture);
      return this.reshape(made, grown(value.shape, [axis]));
    }, x);
  }

  subsample(x: FileValue, strides: readonly number[]): FileValue {
    // The largest of one element is that element.
    return this.pool(x, { kind: 'max', size: strides.map(() => 1), strides, padding: 'valid' });
  }

  concat(xs: readonly FileValue[], axis: number): FileValue {
    if (axis === 0) throw inexpressible('a concatenation along the batch');
    const sizes = xs.map(({ shape }) => knownSize(shape[axis]));
    const total = sizes.every((size) => size !== null) ? sizes.reduce((a, b) => a + b, 0) : '?';
    return this.add('Concatenate', 'concat', { axis: axis === xs[0]!.shape.length - 1 ? -1 : axis }, xs, xs[0]!.shape.with(axis, total));
  }

  resize(x: FileValue, factors: readonly number[], mode: 'nearest' | 'bilinear', sampling: Sampling, wanted: readonly Dim[]): FileValue {
    // UpSampling2D of Keras and of TensorFlow.js differ in how they interpolate.
    if (mode !== 'nearest' || sampling !== 'asymmetric' || !factors.every((factor) => Number.isInteger(factor) && factor >= 1))
      return this.#resizeByShares(x, factors, mode, sampling, wanted);
    if (factors.length === 2) return this.enlarge(x, factors, 'nearest');
    const [batch, ...sizes] = [x.shape[0]!, ...knownSizes(x, 'enlarging other axes than those of a picture')] as [Dim, ...number[]];
    return factors.reduce((value, factor, i) => {
      if (factor === 1) return value;
      const [before, after] = [product(sizes.slice(0, i)), product(sizes.slice(i + 1))];
      const made = this.enlarge(this.reshape(value, [batch, before, sizes[i]!, after]), [1, factor], 'nearest');
      sizes[i] = sizes[i]! * factor;
      return this.reshape(made, [batch, ...sizes]);
    }, x);
  }

  /** Along each axis every new element is a sum of old ones: a dense layer whose kernel has the shares. */
  #resizeByShares(x: FileValue, factors: readonly number[], mode: 'nearest' | 'bilinear', sampling: Sampling, wanted: readonly Dim[]): FileValue {
    return factors.reduce((value, factor, i) => {
      const [size, made] = [knownSize(value.shape[i + 1]), knownSize(wanted[i])];
      if (size === null || made === null) throw inexpressible(`interpolation (${sampling}) of axes of free size; give them with --input-shape`);
      if (size === made && (factor === 1 || sampling === 'corners')) return value;
      if (size * made > MOST_SHARES) throw this.lacking(`interpolation (${sampling}) from ${size} to ${made} elements`);
      const shares = float32Tensor('shares', [size, made], sharesOf(size, made, factor, mode, sampling), { file: 'weighbridge' });
      const axes = value.shape.map((_, axis) => axis);
      const last = [...axes.filter((axis) => axis !== i + 1), i + 1];
      const turned = this.dense(this.transpose(value, last), { tensor: shares, source: null, kind: 'other', layer: '' }, null);
      return this.transpose(
        turned,
        axes.map((axis) => last.indexOf(axis)),
      );
    }, x);
  }

  protected enlarge(x: FileValue, factors: readonly number[], interpolation: 'nearest' | 'bilinear'): FileValue {
    const shape = x.shape.map((size, axis) => multiplyDims(size, axis === 1 || axis === 2 ? factors[axis - 1]! : 1));
    return this.add('UpSampling2D', 'resize', { size: factors, data_format: 'channels_last', interpolation }, [x], shape);
  }

  convolution(x: FileValue, { kernel, bias, strides, dilations, padding, groups = 1 }: ConvolutionForm): FileValue {
    const window = kernel.tensor.shape.slice(0, -2);
    const filters = kernel.tensor.shape.at(-1)!;
    const config = {
      filters,
      kernel_size: window,
      strides,
      padding,
      data_format: 'channels_last',
      dilation_rate: dilations,
      ...(groups === 1 ? {} : { groups }),
      activation: 'linear',
      use_bias: bias !== null,
    };
    const spatial = windowedShape(x.shape.slice(1, -1), { window, strides, dilations, padding });
    return this.add(CONVOLUTIONS[window.length]!, 'conv', config, [x], [x.shape[0]!, ...spatial, filters], weightsOf({ kernel, bias }));
  }

  hasDepthwise({ dilations }: Pick<ConvolutionForm, 'dilations'>): boolean {
    // DepthwiseConv2D of TensorFlow.js takes a dilation and does not use it.
    return dilations.every((dilation) => dilation === 1);
  }

  depthwise(x: FileValue, { kernel, bias, strides, dilations, padding }: ConvolutionForm): FileValue {
    const [height, width, channels, multiplier] = kernel.tensor.shape as [number, number, number, number];
    const window = [height, width];
    const config = {
      kernel_size: window,
      strides,
      padding,
      depth_multiplier: multiplier,
      data_format: 'channels_last',
      dilation_rate: dilations,
      activation: 'linear',
      use_bias: bias !== null,
    };
    const spatial = windowedShape(x.shape.slice(1, -1), { window, strides, dilations, padding });
    const weights = weightsOf({ depthwise_kernel: kernel, bias });
    return this.add('DepthwiseConv2D', 'depthwise', config, [x], [x.shape[0]!, ...spatial, channels * multiplier], weights);
  }

  transposedConvolution(x: FileValue, { kernel, bias, strides }: Pick<ConvolutionForm, 'kernel' | 'bias' | 'strides'>): FileValue {
    const window = kernel.tensor.shape.slice(0, 2);
    const filters = kernel.tensor.shape[2]!;
    const config = {
      filters,
      kernel_size: window,
      strides,
      padding: 'valid',
      data_format: 'channels_last',
      dilation_rate: [1, 1],
      activation: 'linear',
      use_bias: bias !== null,
    };
    const spatial = transposedShape(x.shape.slice(1, -1), window, strides);
    return this.add('Conv2DTranspose', 'conv', config, [x], [x.shape[0]!, ...spatial, filters], weightsOf({ kernel, bias }));
  }

  dense(x: FileValue, kernel: FileWeight, bias: FileWeight | null): FileValue {
    if (x.shape.length < 2) throw inexpressible('a dense layer without a batch');
    const units = kernel.tensor.shape[1]!;
    const config = { units, activation: 'linear', use_bias: bias !== null };
    return this.add('Dense', 'dense', config, [x], x.shape.with(-1, units), weightsOf({ kernel, bias }));
  }

  matMul(a: FileValue, b: FileValue): FileValue {
    if (a.shape.length !== 3 || b.shape.length !== 3 || a.shape[0] !== b.shape[0])
      throw this.lacking(`a product of two values of the shapes [${a.shape}] and [${b.shape}]`);
    return this.add('Dot', 'dot', { axes: [2, 1], normalize: false }, [a, b], [...a.shape.slice(0, 2), b.shape[2]!]);
  }

  gather(x: FileValue, table: FileWeight): FileValue {
    const [rows, width] = table.tensor.shape as [number, number];
    const config = { input_dim: rows, output_dim: width, mask_zero: false, input_length: null };
    return this.add('Embedding', 'embedding', config, [x], [...x.shape, width], [['embeddings', table]]);
  }

  normalise(x: FileValue, { scale, bias, mean, variance }: Readonly<Record<'scale' | 'bias' | 'mean' | 'variance', FileWeight>>, epsilon: number): FileValue {
    const weights = weightsOf({ gamma: scale, beta: bias, moving_mean: mean, moving_variance: variance });
    return this.#normalise(x, { epsilon, center: true, scale: true }, weights);
  }

  #normalise(x: FileValue, config: Json, weights: KerasNode['weights']): FileValue {
    const rank = x.shape.length;
    const whole = { axis: -1, momentum: 0.99, ...config };
    if (rank <= 4) return this.add('BatchNormalization', 'normalise', whole, [x], x.shape, weights);
    const sizes = knownSizes(x, `a normalisation over ${rank} axes`);
    const picture = [x.shape[0]!, product(sizes.slice(0, -2)), ...sizes.slice(-2)];
    return this.reshape(this.add('BatchNormalization', 'normalise', whole, [this.reshape(x, picture)], picture, weights), x.shape);
  }

  /** Over the last axes, as many as the scale has. */
  layerNormalise(x: FileValue, { scale, bias }: { readonly scale: FileWeight; readonly bias: FileWeight | null }, epsilon: number): FileValue {
    const axes = scale.tensor.shape.map((_, i) => i - scale.tensor.shape.length);
    const config = { axis: axes.length === 1 ? -1 : axes.map((axis) => axis + x.shape.length), epsilon, center: bias !== null, scale: true };
    return this.add('LayerNormalization', 'normalise', config, [x], x.shape, weightsOf({ gamma: scale, beta: bias }));
  }

  /** Of the last axis, in groups of channels that have one mean. */
  groupNormalise(_x: FileValue, _groups: number, _weights: Readonly<Record<'scale' | 'bias', FileWeight>>, _epsilon: number): FileValue {
    throw this.lacking('a normalisation of groups or of each channel alone');
  }

  localResponse(_x: FileValue, _form: Parameters<Target['localResponse']>[1]): FileValue {
    throw this.lacking('LRN (local response normalisation)');
  }

  pool(x: FileValue, { kind, size, strides, padding }: PoolForm): FileValue {
    const className = `${kind === 'max' ? 'Max' : 'Average'}Pooling${size.length}D`;
    const spatial = windowedShape(x.shape.slice(1, -1), { window: size, strides, dilations: size.map(() => 1), padding });
    const config = { pool_size: size, strides, padding, data_format: 'channels_last' };
    return this.add(className, 'pool', config, [x], [x.shape[0]!, ...spatial, x.shape.at(-1)!]);
  }

  weightedAverage(x: FileValue, margins: Margins, form: PoolForm, factors: Tensor): FileValue {
    const pooled = this.pool(this.pad(x, margins, 'constant', 0), form);
    const rank = pooled.shape.length;
    // The channels come before the picture, so that there is one factor for each of the last elements.
    const first = this.transpose(pooled, [0, rank - 1, ...Array.from({ length: rank - 2 }, (_, i) => i + 1)]);
    const shares = reshape(factors, [1, 1, ...factors.shape.slice(0, -1)]);
    const scaled = this.withOperand('Mul', first, { tensor: shares, source: null, kind: 'other', layer: '' }, first.shape);
    return this.transpose(scaled, [0, ...Array.from({ length: rank - 2 }, (_, i) => i + 2), 1]);
  }

  padForMaximum(x: FileValue, margins: Margins, isNonNegative: boolean): FileValue {
    // A zero is never larger than what is not negative. Elsewhere the edge goes on: each window that reaches beyond it has it already.
    return this.pad(x, margins, isNonNegative ? 'constant' : 'edge', 0);
  }

  reduce(x: FileValue, kind: 'mean' | 'max' | 'sum', axes: readonly number[]): FileValue {
    const kept = x.shape.slice(axes.length + 1);
    if (axes.length === 0) return x;
    const word = kind === 'max' ? 'GlobalMaxPooling' : 'GlobalAveragePooling';
    let made: FileValue;
    if (kept.length === 1 && axes.length <= 2) {
      made = this.add(`${word}${axes.length}D`, 'pool', axes.length === 2 ? { data_format: 'channels_last' } : {}, [x], [x.shape[0]!, ...kept]);
    } else {
      const sizes = knownSizes(x, 'a reduction over these axes');
      const rows = [x.shape[0]!, product(sizes.slice(0, axes.length)), product(sizes.slice(axes.length))];
      const pooled = this.add(`${word}1D`, 'pool', {}, [this.reshape(x, rows)], [rows[0]!, rows[2]!]);
      made = kept.length === 1 ? pooled : this.reshape(pooled, [x.shape[0]!, ...kept]);
    }
    return kind === 'sum' ? this.rescale(made, product(knownSizes(x, 'a sum').slice(0, axes.length)), 0) : made;
  }

  softmax(x: FileValue, isLog: boolean): FileValue {
    if (x.shape.length < 2) throw inexpressible('a softmax without a batch');
    return this.activation(x, isLog ? 'log_softmax' : 'softmax');
  }

  gelu(x: FileValue, isByTanh: boolean): FileValue {
    if (!isByTanh) return this.activation(x, 'gelu');
    const cube = this.binary('Mul', this.binary('Mul', x, x, x.shape), x, x.shape);
    const line = this.rescale(this.binary('Add', x, this.rescale(cube, 0.044715, 0), x.shape), Math.sqrt(2 / Math.PI), 0);
    return this.binary('Mul', x, this.rescale(this.activation(line, 'tanh'), 0.5, 0.5), x.shape);
  }

  unary(x: FileValue, op: string, attributes: Readonly<Record<string, number>>): FileValue {
    const name = UNARY[op];
    if (name !== undefined) return this.activation(x, name);
    const { alpha = 1, beta = 0, gamma = 1, min, max } = attributes;
    switch (op) {
      case 'LeakyRelu':
        return this.add('LeakyReLU', 'leaky-relu', { alpha }, [x], x.shape);
      case 'ThresholdedRelu':
        return this.add('ThresholdedReLU', 'thresholded-relu', { theta: alpha }, [x], x.shape);
      case 'Elu':
        return this.#elu(x, alpha, 1);
      case 'Selu':
        return close(alpha, SELU.alpha) && close(gamma, SELU.gamma) ? this.activation(x, 'selu') : this.#elu(x, alpha, gamma);
      case 'HardSigmoid':
        if (close(alpha, HARD_SIGMOID.alpha) && close(beta, HARD_SIGMOID.beta)) return this.activation(x, 'hard_sigmoid');
        return this.hardSigmoid(x, alpha, beta);
      case 'Neg':
        return this.rescale(x, -1, 0);
      case 'Abs':
        return this.binary('Add', this.activation(x, 'relu'), this.activation(this.rescale(x, -1, 0), 'relu'), x.shape);
      case 'Clip':
        if (min === 0 && max === Number.POSITIVE_INFINITY) return this.activation(x, 'relu');
        if (min === 0 && max! > 0) return this.add('ReLU', 'relu', { max_value: max }, [x], x.shape);
        throw this.lacking(`a Clip from ${min} to ${max}`);
      default:
        throw this.lacking(op);
    }
  }

  protected hardSigmoid(x: FileValue, alpha: number, beta: number): FileValue {
    return this.add('ReLU', 'relu', { max_value: 1 }, [this.rescale(x, alpha, beta)], x.shape);
  }

  /** gamma · (x above zero, alpha · (e^x - 1) below); the ELU layer of TensorFlow.js has alpha 1 only. */
  #elu(x: FileValue, alpha: number, gamma: number): FileValue {
    if (alpha === 1 && gamma === 1) return this.activation(x, 'elu');
    const below = this.rescale(this.activation(this.rescale(x, -1, 0), 'relu'), -1, 0);
    const made = this.binary('Add', this.activation(x, 'relu'), this.rescale(this.activation(below, 'elu'), alpha, 0), x.shape);
    return gamma === 1 ? made : this.rescale(made, gamma, 0);
  }

  slope(x: FileValue, slope: FileWeight): FileValue {
    const shared = slope.tensor.shape.flatMap((size, axis) => (size === 1 ? [axis + 1] : []));
    const free = slope.tensor.shape.some((size, axis) => size !== 1 && x.shape[axis + 1] !== size);
    if (free) throw inexpressible(`a slope of the shape [${slope.tensor.shape}] for values of the shape [${x.shape}]`);
    return this.add('PReLU', 'prelu', { shared_axes: shared.length > 0 ? shared : null }, [x], x.shape, [['alpha', slope]]);
  }

  binary(op: string, a: FileValue, b: FileValue, shape: readonly Dim[]): FileValue {
    if (a.shape[0] !== b.shape[0]) throw inexpressible(`${op} of values whose batches differ ([${a.shape}] and [${b.shape}])`);
    if (op === 'Sub') return this.binary('Add', a, this.rescale(b, -1, 0), shape);
    const className = MERGES[op];
    if (className === undefined) throw this.lacking(`${op} of two values`);
    return this.add(className, op.toLowerCase(), {}, [a, b], shape);
  }

  /** As a normalisation with mean 0 and a variance that makes 1 with its epsilon, which multiplies and adds exactly, of the elements along which the constant varies. */
  withOperand(op: string, a: FileValue, { tensor, layer }: FileWeight, shape: readonly Dim[]): FileValue {
    const varying = tensor.shape.findIndex((size) => size !== 1);
    const first = varying < 0 ? shape.length - 1 : varying;
    const block = shape.slice(first).map(knownSize);
    const keepsShape = shape.length === a.shape.length && shape.every((size, axis) => size === a.shape[axis]);
    const isWhole = varying < 0 || tensor.shape.slice(first).every((size, axis) => size === block[axis]);
    if (!['Add', 'Sub', 'Mul'].includes(op) || first < 1 || block.includes(null) || !keepsShape || !isWhole)
      throw this.lacking(`${op} with a constant of the shape [${tensor.shape}]`);
    const channels = product(block as number[]);
    if (block.length > 1) {
      const rows = [a.shape[0]!, ...(first === 1 ? [] : [productOf(a.shape.slice(1, first))]), channels];
      const row = { tensor: reshape(tensor, [...rows.slice(0, -1).map(() => 1), channels]), source: null, kind: 'other', layer } as const;
      return this.reshape(this.withOperand(op, this.reshape(a, rows), row, rows), a.shape);
    }
    const row = repeatTo(tensor, channels);
    const constant = (value: number): FileWeight => ({ tensor: filled(channels, value), source: null, kind: 'other', layer });
    const own = (changed: Tensor): FileWeight => ({ tensor: changed, source: null, kind: 'other', layer });
    const statistics = { moving_mean: constant(0), moving_variance: constant(1 - PART_OF_ONE) };
    if (op === 'Mul') return this.#normalise(a, { epsilon: PART_OF_ONE, center: false, scale: true }, weightsOf({ gamma: own(row), ...statistics }));
    const beta = own(op === 'Sub' ? negated(row) : row);
    return this.#normalise(a, { epsilon: PART_OF_ONE, center: true, scale: false }, weightsOf({ beta, ...statistics }));
  }

  rescale(x: FileValue, scale: number, offset: number): FileValue {
    return this.add('Rescaling', 'rescale', { scale, offset }, [x], x.shape);
  }

  protected activation(x: FileValue, activation: string): FileValue {
    return this.add('Activation', activation.replaceAll('_', '-'), { activation }, [x], x.shape);
  }

  protected add(
    className: string,
    suffix: string,
    config: Json,
    given: readonly FileValue[],
    shape: readonly Dim[],
    weights: KerasNode['weights'] = [],
  ): FileValue {
    const isAgain = ({ node, call }: FileValue, i: number) => given.findIndex((one) => one.node === node && one.call === call) < i;
    const inputs = this.mayReadTwice ? given : given.map((input, i) => (isAgain(input, i) ? this.activation(input, 'linear') : input));
    const key = weights.length > 0 ? JSON.stringify([className, config, weights.map(([role, { tensor }]) => [role, this.#numberOf(tensor)])]) : null;
    const known = key === null ? undefined : this.#shared.get(key);
    if (known) {
      known.calls.push(inputs);
      return { node: known, call: known.calls.length - 1, shape };
    }
    const node: KerasNode = { name: '', suffix, className, config, calls: [inputs], weights };
    this.#nodes.push(node);
    this.#unnamed.push(node);
    if (key !== null) this.#shared.set(key, node);
    return { node, call: 0, shape };
  }

  #numberOf(tensor: Tensor): number {
    const known = this.#tensorNumbers.get(tensor);
    if (known !== undefined) return known;
    this.#tensorNumbers.set(tensor, this.#tensorNumbers.size);
    return this.#tensorNumbers.size - 1;
  }
}

/** A value as configurations name it: its layer, which call of it, which of the outputs. */
export const referenceOf = ({ node, call }: FileValue): readonly [string, number, number] => [node.name, call, 0];

function weightsOf(weights: Readonly<Record<string, FileWeight | null>>): [string, FileWeight][] {
  return Object.entries(weights).filter((entry): entry is [string, FileWeight] => entry[1] !== null);
}

interface Window {
  readonly window: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly padding: 'same' | 'valid';
}

/** Spatial sizes behind a convolution or pooling. */
export function windowedShape(spatial: readonly Dim[], { window, strides, dilations, padding }: Window): Dim[] {
  return spatial.map((size, axis) => {
    const stride = strides[axis]!;
    const extent = (window[axis]! - 1) * dilations[axis]! + 1;
    return padding === 'same' ? divideDim(addDims(size, stride - 1), stride) : addDims(divideDim(subtractDims(size, extent), stride), 1);
  });
}
export function transposedShape(spatial: readonly Dim[], window: readonly number[], strides: readonly number[]): Dim[] {
  return spatial.map((size, axis) => addDims(multiplyDims(subtractDims(size, 1), strides[axis]!), Math.max(window[axis]!, strides[axis]!)));
}

/** One value for each channel; a single one serves them all. */
function repeatTo(tensor: Tensor, channels: number): Tensor {
  const row = reshape(tensor, [elementCount(tensor.shape)]);
  if (row.shape[0] === channels) return row;
  return computedTensor(row.name, row.dtype, [channels], row.origin, async () => {
    const bytes = await tensorBytes(row);
    const repeated = new Uint8Array(bytes.byteLength * channels);
    for (let i = 0; i < channels; i++) repeated.set(bytes, i * bytes.byteLength);
    return repeated;
  });
}

function filled(count: number, value: number): Tensor {
  return float32Tensor('constant', [count], new Float32Array(count).fill(value), { file: 'weighbridge' });
}

/** Flips the sign bit of little-endian floats, whatever their width. */
function negated(tensor: Tensor): Tensor {
  const bytes = { float64: 8, float32: 4, float16: 2, bfloat16: 2 }[tensor.dtype as string];
  if (bytes === undefined) throw inexpressible(`subtracting a constant of ${tensor.dtype}`);
  return withStage(tensor, {
    dtype: tensor.dtype,
    apply(input) {
      for (let at = bytes - 1; at < input.byteLength; at += bytes) input[at]! ^= 0x80;
      return input;
    },
  });
}
