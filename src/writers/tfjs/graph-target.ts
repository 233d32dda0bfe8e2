/**
 * Operations of a TensorFlow.js graph model.
 *
 * Held to what the executor of @tensorflow/tfjs-converter 4.22 does: NHWC only; `dilations` must be there; poolings have SAME and VALID; softmax
 * runs along the last axis.
 */
import { addDims, multiplyDims } from '../../model/dims.js';
import type { Dim } from '../../model/layer-map.js';
import { reshape, type Tensor } from '../../model/tensor.js';
import { type Attribute, FLOAT, GraphNodes, INT, text } from './graph-nodes.js';
import { padded, sliced, subsampled } from './graph-padding.js';
import { GraphSizes } from './graph-sizes.js';
import { transposedShape, windowedShape } from './layers-target.js';
import {
  type ConvolutionForm,
  type FileValue,
  type FileWeight,
  inexpressible,
  knownSize,
  type Margins,
  type PoolForm,
  product,
  type Target,
} from './target.js';

/** XNNPACK adds and multiplies values of so many axes; given more, TensorFlow.js (4.22) in WebAssembly makes arbitrary numbers of them, and tells the console. */
const MOST_AXES = 6;

/** Operators that take values and nothing else. */
const UNARY: ReadonlySet<string> = new Set(['Relu', 'Sigmoid', 'Tanh', 'Softplus', 'Erf', 'Exp', 'Log', 'Abs', 'Neg', 'Sqrt']);

const BINARY: Readonly<Record<string, string>> = { Add: 'AddV2', Sub: 'Sub', Mul: 'Mul', Div: 'RealDiv', Pow: 'Pow', Max: 'Maximum', Min: 'Minimum' };

const SELU = { alpha: 1.6732632423543772, gamma: 1.0507009873554805 };

const close = (a: number, b: number): boolean => Math.fround(a) === Math.fround(b);

const ints = (values: readonly number[]): Attribute => ({ list: { i: values.map(String) } });

export class GraphTarget extends GraphNodes implements Target {
  readonly runtime = 'TensorFlow.js';
  readonly anyOrder = true;
  readonly #sizes = new GraphSizes(this);

  sized(value: FileValue, shape: readonly Dim[]): void {
    this.#sizes.see(value, shape);
  }

  /** Whole numbers as a vector: sizes that may be free, and vectors of one in float32. @throws ModelError 'unsupported' */
  vector(parts: readonly (Dim | FileValue)[]): FileValue {
    return this.#sizes.vector(parts);
  }

  transpose(x: FileValue, perm: readonly number[]): FileValue {
    return this.made(
      'Transpose',
      'transpose',
      [x, this.ints('perm', perm)],
      { T: FLOAT, Tperm: INT },
      perm.map((axis) => x.shape[axis]!),
    );
  }

  /** One free size is what is left over; the others are asked for when the graph runs. */
  reshape(x: FileValue, shape: readonly Dim[]): FileValue {
    const free = shape.flatMap((size, axis) => (typeof size === 'number' ? [] : [axis]));
    const left = free.find((axis) => !this.#sizes.isKnowable(shape[axis]!)) ?? free.at(-1);
    const sizes = this.vector(shape.map((size, axis) => (axis === left ? -1 : size)));
    return this.made('Reshape', 'reshape', [x, sizes], { T: FLOAT, Tshape: INT }, shape);
  }

  flatten(x: FileValue): FileValue {
    const sizes = x.shape.slice(1).map(knownSize);
    return this.reshape(x, [x.shape[0]!, sizes.every((size) => size !== null) ? product(sizes) : '?']);
  }

  pad(x: FileValue, margins: Margins, mode: string, value: number): FileValue {
    return padded(x, margins, mode, value, this);
  }

  slice(x: FileValue, axis: number, start: number, end: number): FileValue {
    return sliced(x, axis, start, end, this);
  }

  subsample(x: FileValue, strides: readonly number[]): FileValue {
    return subsampled(x, strides, this);
  }

  concat(xs: readonly FileValue[], axis: number): FileValue {
    const total = xs.map(({ shape }) => shape[axis]!).reduce(addDims);
    return this.made(
      'ConcatV2',
      'concat',
      [...xs, this.int('axis', axis)],
      { T: FLOAT, Tidx: INT, N: { i: String(xs.length) } },
      xs[0]!.shape.with(axis, total),
    );
  }

  resize(x: FileValue, factors: readonly number[], mode: 'nearest' | 'bilinear', sampling: string, wanted?: readonly Dim[]): FileValue {
    if (factors.length === 1) {
      const [batch, length, channels] = x.shape;
      const made = this.resize(this.reshape(x, [batch!, 1, length!, channels!]), [1, factors[0]!], mode, sampling, wanted && [1, wanted[0]!]);
      return this.reshape(made, made.shape.toSpliced(1, 1));
    }
    if (factors.length !== 2) throw inexpressible(`a resize over ${factors.length} axes; TensorFlow.js resizes pictures`);
    const op = mode === 'nearest' ? 'ResizeNearestNeighbor' : 'ResizeBilinear';
    const attributes = { T: FLOAT, align_corners: { b: sampling === 'corners' }, half_pixel_centers: { b: sampling === 'half-pixel' } };
    const sizes =
      wanted ??
      x.shape.slice(1, 3).map((size, axis) => {
        if (typeof size === 'number') return Math.floor(size * factors[axis]!);
        // Free sizes are asked for when the graph runs.
        if (!Number.isInteger(factors[axis])) throw inexpressible('a resize of axes of free size by no whole factors; give the sizes with --input-shape');
        return multiplyDims(size, factors[axis]!);
      });
    return this.made(op, 'resize', [x, this.vector(sizes)], attributes, [x.shape[0]!, ...sizes, x.shape[3]!]);
  }

  convolution(x: FileValue, form: ConvolutionForm): FileValue {
    if (form.strides.length === 1) return this.#onLine(x, form, (own, square) => this.convolution(own, square));
    const window = form.kernel.tensor.shape.slice(0, -2);
    const spatial = windowedShape(x.shape.slice(1, -1), { ...form, window });
    return this.#windowed(window.length === 3 ? 'Conv3D' : 'Conv2D', x, form, [...spatial, form.kernel.tensor.shape.at(-1)!]);
  }

  hasDepthwise(): boolean {
    return true;
  }

  depthwise(x: FileValue, form: ConvolutionForm): FileValue {
    const [height, width, channels, multiplier] = form.kernel.tensor.shape as [number, number, number, number];
    const spatial = windowedShape(x.shape.slice(1, -1), { ...form, window: [height, width] });
    return this.#windowed('DepthwiseConv2dNative', x, form, [...spatial, channels * multiplier]);
  }

  #windowed(op: string, x: FileValue, { kernel, bias, strides, dilations, padding }: ConvolutionForm, shape: readonly Dim[]): FileValue {
    const attributes = {
      T: FLOAT,
      strides: ints([1, ...strides, 1]),
      dilations: ints([1, ...dilations, 1]),
      padding: text(padding.toUpperCase()),
      data_format: text(strides.length === 3 ? 'NDHWC' : 'NHWC'),
      ...(op === 'Conv2D' ? { use_cudnn_on_gpu: { b: true } } : {}),
      ...(op === 'Conv3D' ? {} : { explicit_paddings: ints([]) }),
    };
    const made = this.made(op, op, [x, this.constant('kernel', kernel)], attributes, [x.shape[0]!, ...shape]);
    return this.#withBias(made, bias);
  }

  /** What is there for pictures, for a line: a picture of one row. */
  #onLine(x: FileValue, form: ConvolutionForm, compute: (x: FileValue, form: ConvolutionForm) => FileValue): FileValue {
    const [batch, length, channels] = x.shape;
    const { tensor } = form.kernel;
    const kernel = { ...form.kernel, tensor: this.#squareKernel(tensor) };
    const square = { ...form, kernel, strides: [1, ...form.strides], dilations: [1, ...form.dilations] };
    const made = compute(this.reshape(x, [batch!, 1, length!, channels!]), square);
    return this.reshape(made, made.shape.toSpliced(1, 1));
  }

  readonly #squares = new Map<Tensor, Tensor>();

  #squareKernel(tensor: Tensor): Tensor {
    const square = this.#squares.get(tensor) ?? reshape(tensor, [1, ...tensor.shape]);
    this.#squares.set(tensor, square);
    return square;
  }

  transposedConvolution(x: FileValue, { kernel, bias, strides }: Pick<ConvolutionForm, 'kernel' | 'bias' | 'strides'>): FileValue {
    const spatial = transposedShape(x.shape.slice(1, -1), kernel.tensor.shape.slice(0, 2), strides);
    const filters = kernel.tensor.shape[2]!;
    const shape: readonly Dim[] = [x.shape[0]!, ...spatial, filters];
    const attributes = {
      T: FLOAT,
      strides: ints([1, ...strides, 1]),
      dilations: ints([1, 1, 1, 1]),
      padding: text('VALID'),
      data_format: text('NHWC'),
      use_cudnn_on_gpu: { b: true },
      explicit_paddings: ints([]),
    };
    return this.#withBias(
      this.made('Conv2DBackpropInput', 'Conv2DBackpropInput', [this.vector(shape), this.constant('kernel', kernel), x], attributes, shape),
      bias,
    );
  }

  dense(x: FileValue, kernel: FileWeight, bias: FileWeight | null): FileValue {
    if (x.shape.length !== 2) {
      const [inputs, units] = kernel.tensor.shape as [number, number];
      const made = this.dense(this.reshape(x, ['rows', inputs]), kernel, bias);
      return this.reshape(made, x.shape.with(-1, units));
    }
    const attributes = { T: FLOAT, transpose_a: { b: false }, transpose_b: { b: false } };
    return this.#withBias(this.made('MatMul', 'MatMul', [x, this.constant('kernel', kernel)], attributes, [x.shape[0]!, kernel.tensor.shape[1]!]), bias);
  }

  #withBias(x: FileValue, bias: FileWeight | null): FileValue {
    if (!bias) return x;
    return this.made('BiasAdd', 'BiasAdd', [x, this.constant('bias', bias)], { T: FLOAT, data_format: text('NHWC') }, x.shape);
  }

  matMul(a: FileValue, b: FileValue): FileValue {
    const rank = Math.max(a.shape.length, b.shape.length);
    if (a.shape.length < 2 || b.shape.length < 2) throw inexpressible(`a product of values of the shapes [${a.shape}] and [${b.shape}]`);
    const batch = (shape: readonly Dim[]) => [...new Array<Dim>(rank - shape.length).fill(1), ...shape.slice(0, -2)];
    const [left, right] = [batch(a.shape), batch(b.shape)];
    const shape = [...left.map((size, axis) => (size === 1 ? right[axis]! : size)), a.shape.at(-2)!, b.shape.at(-1)!];
    if (rank === 2) return this.made('MatMul', 'MatMul', [a, b], { T: FLOAT, transpose_a: { b: false }, transpose_b: { b: false } }, shape);
    const operands = [this.#inBatches(a, left, shape.slice(0, -2)), this.#inBatches(b, right, shape.slice(0, -2))];
    return this.made('BatchMatMulV2', 'BatchMatMulV2', operands, { T: FLOAT, adj_x: { b: false }, adj_y: { b: false } }, shape);
  }

  /** TensorFlow.js (4.22) begins with an operand's matrices anew after the last one: it repeats all of them, and none of them for itself. */
  #inBatches(x: FileValue, own: readonly Dim[], wanted: readonly Dim[]): FileValue {
    const first = own.findIndex((size) => size !== 1);
    if (first < 0 || own.slice(first).every((size, axis) => size === wanted[first + axis])) return x;
    const repeats = [...wanted.map((size, axis) => (own[axis] === 1 ? size : 1)).slice(own.length - (x.shape.length - 2)), 1, 1];
    const shape = x.shape.map((size, axis) => (repeats[axis] === 1 ? size : repeats[axis]!));
    return this.made('Tile', 'repeated', [x, this.vector(repeats)], { T: FLOAT, Tmultiples: INT }, shape);
  }

  gather(x: FileValue, table: FileWeight): FileValue {
    const numbers = this.made('Cast', 'indices', [x], { SrcT: FLOAT, DstT: INT, Truncate: { b: false } }, x.shape);
    const inputs = [this.constant('table', table), numbers, this.int('axis', 0)];
    return this.made('GatherV2', 'GatherV2', inputs, { Tparams: FLOAT, Tindices: INT, Taxis: INT, batch_dims: { i: '0' } }, [
      ...x.shape,
      table.tensor.shape[1]!,
    ]);
  }

  normalise(x: FileValue, { scale, bias, mean, variance }: Readonly<Record<'scale' | 'bias' | 'mean' | 'variance', FileWeight>>, epsilon: number): FileValue {
    if (x.shape.length > 4) {
      const rows = this.reshape(x, ['rows', 1, 1, x.shape.at(-1)!]);
      return this.reshape(this.normalise(rows, { scale, bias, mean, variance }, epsilon), x.shape);
    }
    const inputs = [x, this.constant('scale', scale), this.constant('bias', bias), this.constant('mean', mean), this.constant('variance', variance)];
    const attributes = { T: FLOAT, U: FLOAT, epsilon: { f: Math.fround(epsilon) }, data_format: text('NHWC'), is_training: { b: false } };
    return this.made('FusedBatchNormV3', 'FusedBatchNormV3', inputs, attributes, x.shape);
  }

  localResponse(x: FileValue, { radius, bias, alpha, beta }: { radius: number; bias: number; alpha: number; beta: number }): FileValue {
    if (x.shape.length !== 4) {
      const [batch, ...rest] = x.shape;
      const picture = rest.length === 2 ? [batch!, 1, ...rest] : ['rows', 1, 1, x.shape.at(-1)!];
      return this.reshape(this.localResponse(this.reshape(x, picture), { radius, bias, alpha, beta }), x.shape);
    }
    const attributes = { T: FLOAT, depth_radius: { i: String(radius) }, bias: { f: bias }, alpha: { f: alpha }, beta: { f: beta } };
    return this.made('LRN', 'LRN', [x], attributes, x.shape);
  }

  pool(x: FileValue, form: PoolForm): FileValue {
    const { kind, size, strides, padding } = form;
    if (size.length === 1) {
      const [batch, length, channels] = x.shape;
      const made = this.pool(this.reshape(x, [batch!, 1, length!, channels!]), { ...form, size: [1, ...size], strides: [1, ...strides] });
      return this.reshape(made, made.shape.toSpliced(1, 1));
    }
    if (size.length === 3 && kind === 'max' && x.shape.slice(1).every((length) => typeof length === 'number')) return this.#volumeMaximum(x, form);
    const attributes = {
      T: FLOAT,
      ksize: ints([1, ...size, 1]),
      strides: ints([1, ...strides, 1]),
      padding: text(padding.toUpperCase()),
      data_format: text(size.length === 3 ? 'NDHWC' : 'NHWC'),
    };
    const op = `${kind === 'max' ? 'MaxPool' : 'AvgPool'}${size.length === 3 ? '3D' : ''}`;
    const spatial = windowedShape(x.shape.slice(1, -1), { window: size, strides, dilations: size.map(() => 1), padding });
    return this.made(op, op, [x], attributes, [x.shape[0]!, ...spatial, x.shape.at(-1)!]);
  }

  /**
   * The maximum of each picture, and then over pictures: TensorFlow.js's WebAssembly kernel for volumes (4.22) starts at the smallest number
   * above zero, so that nothing below it is ever a maximum.
   */
  #volumeMaximum(x: FileValue, { size, strides, padding }: PoolForm): FileValue {
    const [batch, ...sizes] = x.shape as [Dim, number, number, number, number];
    const [depth, height, width, channels] = sizes;
    const pictures = this.reshape(x, [typeof batch === 'number' ? batch * depth : `${batch}*${depth}`, height, width, channels]);
    const flat = this.pool(pictures, { kind: 'max', size: size.slice(1), strides: strides.slice(1), padding });
    const [, outHeight, outWidth] = flat.shape as [Dim, number, number];
    const stacked = this.reshape(flat, [batch, depth, outHeight * outWidth, channels]);
    const made = this.pool(stacked, { kind: 'max', size: [size[0]!, 1], strides: [strides[0]!, 1], padding });
    return this.reshape(made, [batch, made.shape[1]!, outHeight, outWidth, channels]);
  }

  weightedAverage(x: FileValue, margins: Margins, form: PoolForm, factors: Tensor): FileValue {
    const pooled = this.pool(this.pad(x, margins, 'constant', 0), form);
    return this.made('Mul', 'Mul', [pooled, this.tensor('factors', factors)], { T: FLOAT }, pooled.shape);
  }

  padForMaximum(x: FileValue, margins: Margins, isNonNegative: boolean): FileValue {
    return this.pad(x, margins, 'constant', isNonNegative ? 0 : Number.NEGATIVE_INFINITY);
  }

  reduce(x: FileValue, kind: 'mean' | 'max' | 'sum', axes: readonly number[], keep: boolean): FileValue {
    const op = { mean: 'Mean', max: 'Max', sum: 'Sum' }[kind];
    const shape = keep ? x.shape.map((size, axis) => (axes.includes(axis) ? 1 : size)) : x.shape.filter((_, axis) => !axes.includes(axis));
    return this.made(op, op, [x, this.ints('axes', axes)], { T: FLOAT, Tidx: INT, keep_dims: { b: keep } }, shape);
  }

  softmax(x: FileValue, isLog: boolean): FileValue {
    // It is made of sums over as many axes.
    if (x.shape.length > MOST_AXES)
      return this.reshape(this.softmax(this.reshape(x, [x.shape.slice(0, -1).reduce(multiplyDims), x.shape.at(-1)!]), isLog), x.shape);
    const op = isLog ? 'LogSoftmax' : 'Softmax';
    return this.made(op, op, [x], { T: FLOAT }, x.shape);
  }

  unary(x: FileValue, op: string, attributes: Readonly<Record<string, number>>): FileValue {
    const { alpha = 1, beta = 0, gamma = 1, min, max } = attributes;
    const plain = (name: string, own = x) => this.made(name, name, [own], { T: FLOAT }, x.shape);
    switch (op) {
      case 'LeakyRelu':
        return this.made('LeakyRelu', 'LeakyRelu', [x], { T: FLOAT, alpha: { f: alpha } }, x.shape);
      case 'ThresholdedRelu': {
        const isAbove = this.made('Greater', 'Greater', [x, this.scalar('threshold', alpha)], { T: FLOAT }, x.shape);
        const zeros = plain('ZerosLike');
        return this.made('SelectV2', 'SelectV2', [isAbove, x, zeros], { T: FLOAT }, x.shape);
      }
      case 'Elu':
        return alpha === 1 ? plain('Elu') : this.#elu(x, alpha, 1);
      case 'Selu':
        return close(alpha, SELU.alpha) && close(gamma, SELU.gamma) ? plain('Selu') : this.#elu(x, alpha, gamma);
      case 'Softsign':
        return this.binary('Div', x, this.withScalar('Add', plain('Abs'), 1), x.shape);
      case 'HardSigmoid':
        return this.#clip(this.withScalar('Add', this.withScalar('Mul', x, alpha), beta), 0, 1);
      case 'Clip':
        // Where the bounds cross, ONNX lets the upper one stand.
        return this.#clip(x, Math.min(min!, max!), max!);
      default:
        if (!UNARY.has(op)) throw inexpressible(`${op}; TensorFlow.js graph models have no such operator`);
        return plain(op);
    }
  }

  /** gamma · (x above zero, alpha · (e^x - 1) below); Elu itself has alpha 1. */
  #elu(x: FileValue, alpha: number, gamma: number): FileValue {
    const above = this.made('Relu', 'Relu', [x], { T: FLOAT }, x.shape);
    const negative = this.made('Minimum', 'Minimum', [x, this.scalar('zero', 0)], { T: FLOAT }, x.shape);
    const below = this.withScalar('Mul', this.made('Elu', 'Elu', [negative], { T: FLOAT }, x.shape), alpha);
    const made = this.binary('Add', above, below, x.shape);
    return gamma === 1 ? made : this.withScalar('Mul', made, gamma);
  }

  #clip(x: FileValue, min: number, max: number): FileValue {
    if (min === 0 && max === Number.POSITIVE_INFINITY) return this.made('Relu', 'Relu', [x], { T: FLOAT }, x.shape);
    if (min === 0 && max === 6) return this.made('Relu6', 'Relu6', [x], { T: FLOAT }, x.shape);
    let made = x;
    if (max !== Number.POSITIVE_INFINITY) made = this.withScalar('Min', made, max);
    return min === Number.NEGATIVE_INFINITY ? made : this.withScalar('Max', made, min);
  }

  /**
   * TensorFlow.js's WebAssembly kernel (4.22) repeats the slopes from the last axis on, wherever their shape puts them. Where that is
   * another place, the slope multiplies what is below zero.
   */
  slope(x: FileValue, slope: FileWeight): FileValue {
    if (!isTrailing(slope.tensor.shape, x.shape)) {
      const above = this.made('Relu', 'Relu', [x], { T: FLOAT }, x.shape);
      return this.binary('Add', above, this.withOperand('Mul', this.binary('Sub', x, above, x.shape), slope, x.shape), x.shape);
    }
    return this.made('Prelu', 'Prelu', [x, this.constant('slope', slope)], { T: FLOAT }, x.shape);
  }

  binary(op: string, a: FileValue, b: FileValue, shape: readonly Dim[]): FileValue {
    return this.together(BINARY[op]!, a, b, shape);
  }

  withOperand(op: string, a: FileValue, operand: FileWeight, shape: readonly Dim[]): FileValue {
    return this.together(BINARY[op]!, a, this.constant('operand', operand), shape);
  }

  withScalar(op: string, a: FileValue, value: number): FileValue {
    return this.together(BINARY[op]!, a, this.scalar(op.toLowerCase(), value), a.shape);
  }

  /** A node of two values that broadcast to a shape. Where that has more axes than are computed with, those that lie beside each other and broadcast alike are one. */
  together(op: string, a: FileValue, b: FileValue, shape: readonly Dim[]): FileValue {
    const node = (left: FileValue, right: FileValue, made: readonly Dim[]) => this.made(op, op, [left, right], { T: FLOAT }, made);
    if (shape.length <= MOST_AXES) return node(a, b, shape);
    const groups = broadcastGroups(a.shape, b.shape, shape.length);
    if (groups.length > MOST_AXES)
      throw inexpressible(`arithmetic over ${groups.length} axes that broadcast differently; TensorFlow.js has it over ${MOST_AXES}`);
    const [left, right] = ([a, b] as const).map((x, side) =>
      this.reshape(
        x,
        groups.map((group) => group[side]!),
      ),
    ) as [FileValue, FileValue];
    const made = node(
      left,
      right,
      groups.map(([x, y]) => (x === 1 ? y : x)),
    );
    return this.reshape(made, shape);
  }
}

/** The sizes of both sides, with axes as one that lie beside each other and that the same side is broadcast along, or none. */
function broadcastGroups(a: readonly Dim[], b: readonly Dim[], rank: number): (readonly [Dim, Dim])[] {
  const groups: { kind: string; sizes: readonly [Dim, Dim] }[] = [];
  for (let axis = 0; axis < rank; axis++) {
    const [x, y] = [a, b].map((shape) => shape[shape.length - rank + axis] ?? 1) as [Dim, Dim];
    if (x === 1 && y === 1) continue;
    const kind = x === y ? 'none' : x === 1 ? 'first' : y === 1 ? 'second' : 'none';
    const last = groups.at(-1);
    if (last?.kind === kind) last.sizes = [multiplyDims(last.sizes[0], x), multiplyDims(last.sizes[1], y)];
    else groups.push({ kind, sizes: [x, y] });
  }
  return groups.map(({ sizes }) => sizes);
}

/** Whether a shape without the batch, padded in front, ends as the values' shape does and is one before that. */
function isTrailing(shape: readonly number[], values: readonly Dim[]): boolean {
  const last = values.slice(values.length - shape.length);
  const first = shape.findIndex((size) => size !== 1);
  return first < 0 || shape.slice(first).every((size, axis) => size === last[first + axis]);
}
