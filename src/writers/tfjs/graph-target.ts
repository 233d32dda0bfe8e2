/**
 * Builds a TensorFlow.js graph model: a TensorFlow GraphDef as JSON, whose constants lie in the weights' files.
 *
 * Held to what the executor of @tensorflow/tfjs-converter 4.22 does: NHWC only; strings in base64, integers as text; `dilations` must be
 * there; poolings have SAME and VALID; softmax runs along the last axis.
 */
import { addDims, divideDim, multiplyDims, termsOf } from '../../model/dims.js';
import type { Dim, Port } from '../../model/layer-map.js';
import { Names } from '../../model/names.js';
import { constantTensor, float32Tensor, type Origin, reshape, type Tensor } from '../../model/tensor.js';
import { type NamedWeight, transposedShape, windowedShape } from './layers-target.js';
import {
  type ConvolutionForm,
  type FileNode,
  type FileValue,
  type FileWeight,
  inexpressible,
  knownSize,
  type Margins,
  type PoolForm,
  product,
  type Target,
} from './target.js';
import { nameNodes } from './valid-name.js';

type Attribute = Readonly<Record<string, unknown>>;

interface GraphNode extends FileNode {
  readonly op: string;
  /** With the name of each comes the number of the output, where it is not the first. */
  readonly inputs: readonly FileValue[];
  readonly attributes: Readonly<Record<string, Attribute>>;
  /** Of a Const. */
  readonly weight: FileWeight | null;
}

interface GraphPort {
  readonly port: Port;
  readonly value: FileValue;
  readonly dtype: string;
}

const ORIGIN: Origin = { file: 'weighbridge' };
const FLOAT: Attribute = { type: 'DT_FLOAT' };
const INT: Attribute = { type: 'DT_INT32' };

/** XNNPACK adds and multiplies values of so many axes; given more, TensorFlow.js (4.22) in WebAssembly makes arbitrary numbers of them, and tells the console. */
const MOST_AXES = 6;

/** Operators that take values and nothing else. */
const UNARY: ReadonlySet<string> = new Set(['Relu', 'Sigmoid', 'Tanh', 'Softplus', 'Erf', 'Exp', 'Log', 'Abs', 'Neg', 'Sqrt']);

const BINARY: Readonly<Record<string, string>> = { Add: 'AddV2', Sub: 'Sub', Mul: 'Mul', Div: 'RealDiv', Pow: 'Pow', Max: 'Maximum', Min: 'Minimum' };

const SELU = { alpha: 1.6732632423543772, gamma: 1.0507009873554805 };

const close = (a: number, b: number): boolean => Math.fround(a) === Math.fround(b);

const ints = (values: readonly number[]): Attribute => ({ list: { i: values.map(String) } });
const text = (value: string): Attribute => ({ s: btoa(value) });

export class GraphTarget implements Target {
  readonly runtime = 'TensorFlow.js';
  readonly anyOrder = true;
  readonly #nodes: GraphNode[] = [];
  readonly #names = new Names();
  readonly #inputs: GraphPort[] = [];
  readonly #outputs: GraphPort[] = [];
  /** Constants that are there already; layers that share a weight share it. */
  readonly #constants = new Map<Tensor, GraphNode>();
  readonly #unnamed: GraphNode[] = [];

  /** The GraphDef. */
  topology(): unknown {
    const node = this.#nodes.map(({ name, op, inputs, attributes }) => ({
      name,
      op,
      ...(inputs.length > 0 ? { input: inputs.map(reference) } : {}),
      attr: attributes,
    }));
    // The version says which GraphDefs a reader must understand; TensorFlow 2.11 wrote this one.
    return { node, library: {}, versions: { producer: 1286, minConsumer: 12 } };
  }

  signature(): unknown {
    const entries = (ports: readonly GraphPort[], word: string) => {
      const names = ports.map(({ port }) => port.name);
      // TensorFlow.js gives ports in the order of these keys, and JavaScript puts keys that are whole numbers first, by size.
      const isMoved = Object.keys(Object.fromEntries(names.map((name) => [name, null]))).some((name, i) => name !== names[i]);
      const keys = new Names();
      return Object.fromEntries(
        ports.map(({ port, value, dtype }) => [
          keys.take(isMoved ? `${word}_${port.name}` : port.name),
          { name: `${value.node.name}:0`, dtype, tensorShape: tensorShape(value.shape) },
        ]),
      );
    };
    return { inputs: entries(this.#inputs, 'in'), outputs: entries(this.#outputs, 'out') };
  }

  weights(): NamedWeight[] {
    return this.#nodes.flatMap(({ name, weight }) => (weight ? [{ name, weight }] : []));
  }

  nameNodes(name: string, result: FileValue): void {
    nameNodes(this.#unnamed.splice(0), name, result, this.#names);
  }

  input(port: Port, shape: readonly Dim[]): FileValue {
    const isInteger = /^u?int|^bool/.test(port.dtype);
    const dtype = isInteger ? 'DT_INT32' : 'DT_FLOAT';
    const attributes = { dtype: { type: dtype }, shape: { shape: tensorShape(shape) } };
    const value = this.#made(this.#add('Placeholder', 'input', [], attributes), shape);
    this.nameNodes(port.name, value);
    this.#inputs.push({ port, value, dtype });
    if (!isInteger) return value;
    // Everything but the numbers of an embedding's rows is computed in float32.
    const cast = this.#made(this.#add('Cast', 'float32', [value], { SrcT: INT, DstT: FLOAT, Truncate: { b: false } }), shape);
    this.nameNodes(`${port.name}/float32`, cast);
    return cast;
  }

  output(port: Port, value: FileValue, ports: readonly Port[]): void {
    // Where nodes are asked for by their names, TensorFlow.js takes a name for a key of the signature first, and gives that output in its place.
    const isOthers = ports.some(({ name }) => name !== port.name && name === value.node.name);
    const isTaken = value.output || isOthers || [...this.#inputs, ...this.#outputs].some((other) => other.value.node === value.node);
    const own = isTaken ? this.#made(this.#add('Identity', 'identity', [value], { T: FLOAT }), value.shape) : value;
    this.nameNodes(port.name, own);
    this.#outputs.push({ port, value: own, dtype: 'DT_FLOAT' });
  }

  transpose(x: FileValue, perm: readonly number[]): FileValue {
    const node = this.#add('Transpose', 'transpose', [x, this.ints('perm', perm)], { T: FLOAT, Tperm: INT });
    return this.#made(
      node,
      perm.map((axis) => x.shape[axis]!),
    );
  }

  /** One free size is what is left over; the others are asked for when the graph runs. */
  reshape(x: FileValue, shape: readonly Dim[]): FileValue {
    const free = shape.flatMap((size, axis) => (typeof size === 'number' ? [] : [axis]));
    const left = free.find((axis) => !this.#isKnowable(shape[axis]!)) ?? free.at(-1);
    const sizes = this.vector(shape.map((size, axis) => (axis === left ? -1 : size)));
    return this.#made(this.#add('Reshape', 'reshape', [x, sizes], { T: FLOAT, Tshape: INT }), shape);
  }

  flatten(x: FileValue): FileValue {
    const sizes = x.shape.slice(1).map(knownSize);
    return this.reshape(x, [x.shape[0]!, sizes.every((size) => size !== null) ? product(sizes) : '?']);
  }

  /** Where free sizes are seen first. */
  readonly #seen = new Map<string, { readonly value: FileValue; readonly axis: number }>();
  readonly #shapes = new Map<string, FileValue>();
  readonly #sizes = new Map<string, FileValue>();

  sized(value: FileValue, shape: readonly Dim[]): void {
    shape.forEach((size, axis) => {
      if (typeof size === 'string' && !this.#seen.has(size)) this.#seen.set(size, { value, axis });
    });
  }

  #isKnowable(size: Dim): boolean {
    if (typeof size === 'number' || this.#seen.has(size)) return true;
    return termsOf(size)?.every(({ factors }) => factors.every((factor) => this.#isKnowable(typeof factor === 'string' ? factor : factor.of))) ?? false;
  }

  /** A size as a vector of one, in float32: as the graph sees it when it runs. @throws ModelError 'unsupported' */
  #size(size: Dim): FileValue {
    if (typeof size === 'number') return this.tensor('size', float32Tensor('size', [1], [size], ORIGIN));
    const known = this.#sizes.get(size) ?? this.#asked(size) ?? this.#workedOut(size);
    this.#sizes.set(size, known);
    return known;
  }

  #asked(size: string): FileValue | null {
    const seen = this.#seen.get(size);
    if (!seen) return null;
    const { value, axis } = seen;
    const key = reference(value) || size;
    const shape = this.#shapes.get(key) ?? this.#made(this.#add('Shape', 'input_shape', [value], { T: FLOAT, out_type: INT }), [value.shape.length]);
    if (value.node.name !== '') this.#shapes.set(key, shape);
    const own = this.#made(this.#add('Slice', 'size', [shape, this.ints('begin', [axis]), this.ints('size', [1])], { T: INT, Index: INT }), [1]);
    return this.cast(own, 'DT_INT32', 'DT_FLOAT');
  }

  #workedOut(size: string): FileValue {
    const terms = termsOf(size);
    if (!terms) throw inexpressible(`the size "${size}" is known only when the model runs; give the sizes of the input with --input-shape`);
    const one = (op: string, a: FileValue, b: FileValue) => this.#made(this.#add(op, 'size', [a, b], { T: FLOAT }), [1]);
    const divided = (of: Dim, by: number) => this.#made(this.#add('Floor', 'size', [one('RealDiv', this.#size(of), this.#size(by))], { T: FLOAT }), [1]);
    const products = terms.map(({ coefficient, factors }) => {
      const sizes = factors.map((factor) => (typeof factor === 'string' ? this.#size(factor) : divided(factor.of, factor.by)));
      return (coefficient === 1 && sizes.length > 0 ? sizes : [...sizes, this.#size(coefficient)]).reduce((a, b) => one('Mul', a, b));
    });
    return products.reduce((a, b) => one('AddV2', a, b));
  }

  /** Whole numbers as a vector: sizes that may be free, and vectors of one in float32. @throws ModelError 'unsupported' */
  vector(parts: readonly (Dim | FileValue)[]): FileValue {
    if (parts.every((part) => typeof part === 'number')) return this.ints('shape', parts as readonly number[]);
    const values: FileValue[] = [];
    for (let i = 0; i < parts.length; i++) {
      const numbers: number[] = [];
      while (typeof parts[i] === 'number') numbers.push(parts[i++] as number);
      if (numbers.length > 0) values.push(this.ints('sizes', numbers));
      const part = parts[i];
      if (part !== undefined) values.push(this.cast(typeof part === 'object' ? part : this.#size(part), 'DT_FLOAT', 'DT_INT32'));
    }
    if (values.length === 1) return values[0]!;
    const inputs = [...values, this.int('axis', 0)];
    return this.#made(this.#add('ConcatV2', 'shape', inputs, { T: INT, Tidx: INT, N: { i: String(values.length) } }), [parts.length]);
  }

  pad(x: FileValue, margins: Margins, mode: string, value: number): FileValue {
    const cut = this.#crop(x, margins);
    const adds = margins.map(([before, after]) => [Math.max(before, 0), Math.max(after, 0)] as const);
    if (adds.every(([before, after]) => before === 0 && after === 0)) return cut;
    if (mode === 'constant') return this.#padConstant(cut, adds, value);
    if (mode === 'reflect') return this.#mirror(cut, adds, 'REFLECT');
    if (mode !== 'edge') throw inexpressible(`padding with mode ${mode}`);
    // A mirror that repeats the edge gives the edge, one element at a time.
    let made = cut;
    let left = adds;
    while (left.some(([before, after]) => before > 0 || after > 0)) {
      made = this.#mirror(
        made,
        left.map(([before, after]) => [Math.min(before, 1), Math.min(after, 1)] as const),
        'SYMMETRIC',
      );
      left = left.map(([before, after]) => [Math.max(before - 1, 0), Math.max(after - 1, 0)] as const);
    }
    return made;
  }

  #padConstant(x: FileValue, margins: Margins, value: number): FileValue {
    const amounts = this.#matrix('paddings', margins);
    const node =
      value === 0
        ? this.#add('Pad', 'pad', [x, amounts], { T: FLOAT, Tpaddings: INT })
        : this.#add('PadV2', 'pad', [x, amounts, this.scalar('pad_value', value)], { T: FLOAT, Tpaddings: INT });
    return this.#made(node, grown(x.shape, margins));
  }

  #mirror(x: FileValue, margins: Margins, mode: string): FileValue {
    const node = this.#add('MirrorPad', 'pad', [x, this.#matrix('paddings', margins)], { T: FLOAT, Tpaddings: INT, mode: text(mode) });
    return this.#made(node, grown(x.shape, margins));
  }

  #crop(x: FileValue, margins: Margins): FileValue {
    return margins.reduce((value, [before, after], axis) => {
      if (before >= 0 && after >= 0) return value;
      const size = knownSize(value.shape[axis]);
      const [start, cut] = [Math.max(-before, 0), Math.max(-after, 0)];
      return size === null ? this.#cutEnds(value, axis, start, cut) : this.slice(value, axis, start, size - cut);
    }, x);
  }

  /** Without so many elements in front and behind, of an axis of free size. */
  #cutEnds(x: FileValue, axis: number, start: number, cut: number): FileValue {
    const all = 2 ** x.shape.length - 1;
    const at = (number: number) =>
      this.ints(
        'bounds',
        x.shape.map((_, other) => (other === axis ? number : 0)),
      );
    const attributes = {
      T: FLOAT,
      Index: INT,
      begin_mask: { i: String(all - 2 ** axis) },
      end_mask: { i: String(cut === 0 ? all : all - 2 ** axis) },
      ellipsis_mask: { i: '0' },
      new_axis_mask: { i: '0' },
      shrink_axis_mask: { i: '0' },
    };
    const inputs = [
      x,
      at(start),
      at(-cut),
      this.ints(
        'strides',
        x.shape.map(() => 1),
      ),
    ];
    return this.#made(this.#add('StridedSlice', 'cut', inputs, attributes), x.shape.with(axis, addDims(x.shape[axis]!, -start - cut)));
  }

  slice(x: FileValue, axis: number, start: number, end: number): FileValue {
    const begin = x.shape.map((_, other) => (other === axis ? start : 0));
    const size = x.shape.map((_, other) => (other === axis ? end - start : -1));
    const node = this.#add('Slice', 'slice', [x, this.ints('begin', begin), this.ints('size', size)], { T: FLOAT, Index: INT });
    return this.#made(node, x.shape.with(axis, end - start));
  }

  subsample(x: FileValue, strides: readonly number[]): FileValue {
    const all = [1, ...strides, 1];
    const zeros = all.map(() => 0);
    const whole = { i: String(2 ** all.length - 1) };
    const attributes = {
      T: FLOAT,
      Index: INT,
      begin_mask: whole,
      end_mask: whole,
      ellipsis_mask: { i: '0' },
      new_axis_mask: { i: '0' },
      shrink_axis_mask: { i: '0' },
    };
    const inputs = [x, this.ints('begin', zeros), this.ints('end', zeros), this.ints('strides', all)];
    const node = this.#add('StridedSlice', 'subsample', inputs, attributes);
    return this.#made(
      node,
      x.shape.map((size, axis) => divideDim(addDims(size, all[axis]! - 1), all[axis]!)),
    );
  }

  concat(xs: readonly FileValue[], axis: number): FileValue {
    const total = xs.map(({ shape }) => shape[axis]!).reduce(addDims);
    const node = this.#add('ConcatV2', 'concat', [...xs, this.int('axis', axis)], { T: FLOAT, Tidx: INT, N: { i: String(xs.length) } });
    return this.#made(node, xs[0]!.shape.with(axis, total));
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
    return this.#made(this.#add(op, 'resize', [x, this.vector(sizes)], attributes), [x.shape[0]!, ...sizes, x.shape[3]!]);
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
    const made = this.#made(this.#add(op, op, [x, this.constant('kernel', kernel)], attributes), [x.shape[0]!, ...shape]);
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
    const node = this.#add('Conv2DBackpropInput', 'Conv2DBackpropInput', [this.vector(shape), this.constant('kernel', kernel), x], attributes);
    return this.#withBias(this.#made(node, shape), bias);
  }

  dense(x: FileValue, kernel: FileWeight, bias: FileWeight | null): FileValue {
    if (x.shape.length !== 2) {
      const [inputs, units] = kernel.tensor.shape as [number, number];
      const made = this.dense(this.reshape(x, ['rows', inputs]), kernel, bias);
      return this.reshape(made, x.shape.with(-1, units));
    }
    const attributes = { T: FLOAT, transpose_a: { b: false }, transpose_b: { b: false } };
    const node = this.#add('MatMul', 'MatMul', [x, this.constant('kernel', kernel)], attributes);
    return this.#withBias(this.#made(node, [x.shape[0]!, kernel.tensor.shape[1]!]), bias);
  }

  #withBias(x: FileValue, bias: FileWeight | null): FileValue {
    if (!bias) return x;
    return this.#made(this.#add('BiasAdd', 'BiasAdd', [x, this.constant('bias', bias)], { T: FLOAT, data_format: text('NHWC') }), x.shape);
  }

  matMul(a: FileValue, b: FileValue): FileValue {
    const rank = Math.max(a.shape.length, b.shape.length);
    if (a.shape.length < 2 || b.shape.length < 2) throw inexpressible(`a product of values of the shapes [${a.shape}] and [${b.shape}]`);
    const batch = (shape: readonly Dim[]) => [...new Array<Dim>(rank - shape.length).fill(1), ...shape.slice(0, -2)];
    const [left, right] = [batch(a.shape), batch(b.shape)];
    const shape = [...left.map((size, axis) => (size === 1 ? right[axis]! : size)), a.shape.at(-2)!, b.shape.at(-1)!];
    if (rank === 2) return this.#made(this.#add('MatMul', 'MatMul', [a, b], { T: FLOAT, transpose_a: { b: false }, transpose_b: { b: false } }), shape);
    const operands = [this.#inBatches(a, left, shape.slice(0, -2)), this.#inBatches(b, right, shape.slice(0, -2))];
    return this.#made(this.#add('BatchMatMulV2', 'BatchMatMulV2', operands, { T: FLOAT, adj_x: { b: false }, adj_y: { b: false } }), shape);
  }

  /** TensorFlow.js (4.22) begins with an operand's matrices anew after the last one: it repeats all of them, and none of them for itself. */
  #inBatches(x: FileValue, own: readonly Dim[], wanted: readonly Dim[]): FileValue {
    const first = own.findIndex((size) => size !== 1);
    if (first < 0 || own.slice(first).every((size, axis) => size === wanted[first + axis])) return x;
    const repeats = [...wanted.map((size, axis) => (own[axis] === 1 ? size : 1)).slice(own.length - (x.shape.length - 2)), 1, 1];
    const shape = x.shape.map((size, axis) => (repeats[axis] === 1 ? size : repeats[axis]!));
    return this.#made(this.#add('Tile', 'repeated', [x, this.vector(repeats)], { T: FLOAT, Tmultiples: INT }), shape);
  }

  gather(x: FileValue, table: FileWeight): FileValue {
    const numbers = this.#made(this.#add('Cast', 'indices', [x], { SrcT: FLOAT, DstT: INT, Truncate: { b: false } }), x.shape);
    const inputs = [this.constant('table', table), numbers, this.int('axis', 0)];
    const node = this.#add('GatherV2', 'GatherV2', inputs, { Tparams: FLOAT, Tindices: INT, Taxis: INT, batch_dims: { i: '0' } });
    return this.#made(node, [...x.shape, table.tensor.shape[1]!]);
  }

  normalise(x: FileValue, { scale, bias, mean, variance }: Readonly<Record<'scale' | 'bias' | 'mean' | 'variance', FileWeight>>, epsilon: number): FileValue {
    if (x.shape.length > 4) {
      const rows = this.reshape(x, ['rows', 1, 1, x.shape.at(-1)!]);
      return this.reshape(this.normalise(rows, { scale, bias, mean, variance }, epsilon), x.shape);
    }
    const inputs = [x, this.constant('scale', scale), this.constant('bias', bias), this.constant('mean', mean), this.constant('variance', variance)];
    const attributes = { T: FLOAT, U: FLOAT, epsilon: { f: Math.fround(epsilon) }, data_format: text('NHWC'), is_training: { b: false } };
    return this.#made(this.#add('FusedBatchNormV3', 'FusedBatchNormV3', inputs, attributes), x.shape);
  }

  localResponse(x: FileValue, { radius, bias, alpha, beta }: { radius: number; bias: number; alpha: number; beta: number }): FileValue {
    if (x.shape.length !== 4) {
      const [batch, ...rest] = x.shape;
      const picture = rest.length === 2 ? [batch!, 1, ...rest] : ['rows', 1, 1, x.shape.at(-1)!];
      return this.reshape(this.localResponse(this.reshape(x, picture), { radius, bias, alpha, beta }), x.shape);
    }
    const attributes = { T: FLOAT, depth_radius: { i: String(radius) }, bias: { f: bias }, alpha: { f: alpha }, beta: { f: beta } };
    return this.#made(this.#add('LRN', 'LRN', [x], attributes), x.shape);
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
    return this.#made(this.#add(op, op, [x], attributes), [x.shape[0]!, ...spatial, x.shape.at(-1)!]);
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
    return this.#made(this.#add('Mul', 'Mul', [pooled, this.tensor('factors', factors)], { T: FLOAT }), pooled.shape);
  }

  padForMaximum(x: FileValue, margins: Margins, isNonNegative: boolean): FileValue {
    return this.pad(x, margins, 'constant', isNonNegative ? 0 : Number.NEGATIVE_INFINITY);
  }

  reduce(x: FileValue, kind: 'mean' | 'max' | 'sum', axes: readonly number[], keep: boolean): FileValue {
    const op = { mean: 'Mean', max: 'Max', sum: 'Sum' }[kind];
    const node = this.#add(op, op, [x, this.ints('axes', axes)], { T: FLOAT, Tidx: INT, keep_dims: { b: keep } });
    const shape = keep ? x.shape.map((size, axis) => (axes.includes(axis) ? 1 : size)) : x.shape.filter((_, axis) => !axes.includes(axis));
    return this.#made(node, shape);
  }

  softmax(x: FileValue, isLog: boolean): FileValue {
    // It is made of sums over as many axes.
    if (x.shape.length > MOST_AXES)
      return this.reshape(this.softmax(this.reshape(x, [x.shape.slice(0, -1).reduce(multiplyDims), x.shape.at(-1)!]), isLog), x.shape);
    const op = isLog ? 'LogSoftmax' : 'Softmax';
    return this.#made(this.#add(op, op, [x], { T: FLOAT }), x.shape);
  }

  unary(x: FileValue, op: string, attributes: Readonly<Record<string, number>>): FileValue {
    const { alpha = 1, beta = 0, gamma = 1, min, max } = attributes;
    const plain = (name: string, own = x) => this.#made(this.#add(name, name, [own], { T: FLOAT }), x.shape);
    switch (op) {
      case 'LeakyRelu':
        return this.#made(this.#add('LeakyRelu', 'LeakyRelu', [x], { T: FLOAT, alpha: { f: alpha } }), x.shape);
      case 'ThresholdedRelu': {
        const isAbove = this.#made(this.#add('Greater', 'Greater', [x, this.scalar('threshold', alpha)], { T: FLOAT }), x.shape);
        const zeros = plain('ZerosLike');
        return this.#made(this.#add('SelectV2', 'SelectV2', [isAbove, x, zeros], { T: FLOAT }), x.shape);
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
    const above = this.#made(this.#add('Relu', 'Relu', [x], { T: FLOAT }), x.shape);
    const negative = this.#made(this.#add('Minimum', 'Minimum', [x, this.scalar('zero', 0)], { T: FLOAT }), x.shape);
    const below = this.withScalar('Mul', this.#made(this.#add('Elu', 'Elu', [negative], { T: FLOAT }), x.shape), alpha);
    const made = this.binary('Add', above, below, x.shape);
    return gamma === 1 ? made : this.withScalar('Mul', made, gamma);
  }

  #clip(x: FileValue, min: number, max: number): FileValue {
    if (min === 0 && max === Number.POSITIVE_INFINITY) return this.#made(this.#add('Relu', 'Relu', [x], { T: FLOAT }), x.shape);
    if (min === 0 && max === 6) return this.#made(this.#add('Relu6', 'Relu6', [x], { T: FLOAT }), x.shape);
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
      const above = this.#made(this.#add('Relu', 'Relu', [x], { T: FLOAT }), x.shape);
      return this.binary('Add', above, this.withOperand('Mul', this.binary('Sub', x, above, x.shape), slope, x.shape), x.shape);
    }
    return this.#made(this.#add('Prelu', 'Prelu', [x, this.constant('slope', slope)], { T: FLOAT }), x.shape);
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
    const node = (left: FileValue, right: FileValue, made: readonly Dim[]) => this.#made(this.#add(op, op, [left, right], { T: FLOAT }), made);
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

  constant(suffix: string, weight: FileWeight): FileValue {
    const { tensor } = weight;
    const node = this.#constants.get(tensor) ?? this.#addConstant(suffix, weight);
    this.#constants.set(tensor, node);
    return this.#made(node, tensor.shape);
  }

  tensor(suffix: string, tensor: Tensor): FileValue {
    return this.#made(this.#addConstant(suffix, { tensor, source: null, kind: 'other', layer: '' }), tensor.shape);
  }

  scalar(suffix: string, value: number): FileValue {
    return this.tensor(suffix, float32Tensor(suffix, [], [value], ORIGIN));
  }

  int(suffix: string, value: number): FileValue {
    return this.tensor(suffix, int32Tensor(suffix, [], [value]));
  }

  ints(suffix: string, values: readonly number[]): FileValue {
    return this.tensor(suffix, int32Tensor(suffix, [values.length], values));
  }

  floats(suffix: string, values: readonly number[]): FileValue {
    return this.tensor(suffix, float32Tensor(suffix, [values.length], values, ORIGIN));
  }

  #matrix(suffix: string, pairs: Margins): FileValue {
    return this.tensor(suffix, int32Tensor(suffix, [pairs.length, 2], pairs.flat()));
  }

  #addConstant(suffix: string, weight: FileWeight): GraphNode {
    const { tensor } = weight;
    const dtype = constantDType(weight);
    return this.#add('Const', suffix, [], { dtype: { type: dtype }, value: { tensor: { dtype, tensorShape: tensorShape(tensor.shape) } } }, weight);
  }

  #add(op: string, suffix: string, inputs: readonly FileValue[], attributes: GraphNode['attributes'], weight: FileWeight | null = null): GraphNode {
    const node: GraphNode = { name: '', suffix, op, inputs, attributes, weight };
    this.#nodes.push(node);
    this.#unnamed.push(node);
    return node;
  }

  /** A node of any operator, for rules of graph models alone. */
  node(op: string, inputs: readonly FileValue[], attributes: Readonly<Record<string, unknown>>, shape: readonly Dim[], output = 0): FileValue {
    return { ...this.#made(this.#add(op, op, inputs, attributes as GraphNode['attributes']), shape), ...(output > 0 ? { output } : {}) };
  }

  /** Another output of the node that made a value. */
  other(value: FileValue, output: number, shape: readonly Dim[]): FileValue {
    return { ...value, shape, output };
  }

  cast(x: FileValue, from: 'DT_FLOAT' | 'DT_INT32' | 'DT_BOOL', to: 'DT_FLOAT' | 'DT_INT32' | 'DT_BOOL'): FileValue {
    return this.#made(this.#add('Cast', 'Cast', [x], { SrcT: { type: from }, DstT: { type: to }, Truncate: { b: false } }), x.shape);
  }

  #made(node: GraphNode, shape: readonly Dim[]): FileValue {
    return { node, call: 0, shape };
  }
}

/** How a node's input names what it reads. */
function reference({ node, output = 0 }: FileValue): string {
  return output === 0 ? node.name : `${node.name}:${output}`;
}

/** Whole numbers of the file's own are axes and sizes; those of the map are computed with in float32, as all its values are. */
function constantDType({ tensor, source }: FileWeight): string {
  return tensor.dtype === 'int32' && source === null ? 'DT_INT32' : 'DT_FLOAT';
}

function int32Tensor(name: string, shape: readonly number[], values: readonly number[]): Tensor {
  return constantTensor(name, 'int32', shape, new Uint8Array(Int32Array.from(values).buffer), ORIGIN);
}

function tensorShape(shape: readonly Dim[]): unknown {
  return shape.length === 0 ? {} : { dim: shape.map((size) => ({ size: typeof size === 'number' ? String(size) : '-1' })) };
}

function grown(shape: readonly Dim[], margins: Margins): Dim[] {
  return shape.map((size, axis) => addDims(size, margins[axis]![0] + margins[axis]![1]));
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
