/**
 * TensorFlow Lite's operators as TensorFlow's nodes: the same arithmetic with kernels laid out otherwise and activations merged in.
 *
 * Nets in integers are read as what they compute: weights as the numbers that their codes stand for, and what flows rounded to the codes
 * that it would have.
 *
 * @see https://www.tensorflow.org/lite/performance/quantization_spec and
 *   https://github.com/tensorflow/tensorflow/tree/master/tensorflow/lite/kernels
 */
import type { TfAttribute, TfGraph, TfInput, TfNode } from '../../containers/tf-graph.js';
import type { LiteModel, LiteOperator, LiteOptions, LiteTensor } from '../../containers/tflite.js';
import { isModelError, ModelError, throwAll } from '../../errors.js';
import { numbersTensor } from '../../model/numbers.js';
import { dequantiseChannels } from '../../model/quantise.js';
import { permute, type Tensor } from '../../model/tensor.js';
import type { TfPort } from './graph.js';

export interface LiteGraph {
  readonly graph: TfGraph;
  readonly inputs: readonly TfPort[];
  readonly outputs: readonly TfPort[];
  /** Operators whose kernels are in int8 where floats flow. */
  readonly dynamic: readonly string[];
}

export interface LiteReading {
  readonly file: string;
  /** What flows into kernels in int8: rounded to codes of its own range, as the runtime does it, or left as it is. */
  readonly dynamicRange: 'rounded' | 'float';
}

/** @throws ModelError 'unsupported' listing every operator that cannot be said; where there are only such as are not known, they become nodes, which the graph lists */
export async function liteToTensorflow(model: LiteModel, reading: LiteReading): Promise<LiteGraph> {
  const builder = new LiteBuilder(model, reading);
  const errors: ModelError[] = [];
  for (const operator of model.operators) {
    try {
      await builder.operator(operator);
    } catch (error) {
      if (!isModelError(error) || error.kind !== 'unsupported') throw error;
      errors.push(error);
    }
  }
  if (errors.length > 0) {
    const unknown = new Set(model.operators.flatMap(({ op }) => (Object.hasOwn(RULES, op) ? [] : [op])));
    for (const op of unknown) errors.push(new ModelError('unsupported', `the operator ${op} is not translated`, { file: reading.file }));
    throwAll(errors, `${reading.file}: this TensorFlow Lite model cannot be translated:`);
  }
  const port = (index: number): TfPort => ({ name: model.tensors[index]!.name, from: { node: builder.name(index), output: 0 } });
  return {
    graph: { nodes: builder.nodes, functions: new Map(), producer: 0 },
    inputs: model.inputs.map((index) => ({ name: model.tensors[index]!.name, from: { node: builder.placeholder(index), output: 0 } })),
    outputs: model.outputs.map(port),
    dynamic: builder.dynamic,
  };
}

type Attributes = Readonly<Record<string, TfAttribute>>;

const text = (value: string): TfAttribute => ({ kind: 'string', value });
const int = (value: number): TfAttribute => ({ kind: 'int', value });
const float = (value: number): TfAttribute => ({ kind: 'float', value });
const flag = (value: boolean): TfAttribute => ({ kind: 'bool', value });
const type = (value: string): TfAttribute => ({ kind: 'type', value });
const ints = (values: readonly number[]): TfAttribute => ({ kind: 'list', value: values.map(int) });

/** ActivationFunctionType, by number. */
const ACTIVATIONS: readonly (string | null)[] = [null, 'Relu', 'ReluN1To1', 'Relu6', 'Tanh'];
const PADDINGS = ['SAME', 'VALID'];
const CODES: Readonly<Record<string, readonly [number, number]>> = { int8: [-128, 127], uint8: [0, 255], int16: [-32768, 32767] };

class LiteBuilder {
  readonly nodes: TfNode[] = [];
  /** Operators whose kernels are in int8 where floats flow. */
  readonly dynamic: string[] = [];
  readonly #names: readonly string[];
  readonly #taken = new Set<string>();
  /** Names under which constants were added. */
  readonly #constants = new Map<string, string>();

  readonly file: string;

  constructor(
    readonly model: LiteModel,
    readonly reading: LiteReading,
  ) {
    this.file = reading.file;
    this.#names = model.tensors.map(({ name }) => this.#free(name));
    for (const index of model.inputs) this.#input(index);
  }

  name(index: number): string {
    return this.#names[index]!;
  }

  /** An input in codes is fed in codes; the numbers that they stand for bear the tensor's name. */
  placeholder(index: number): string {
    return isQuantised(this.model.tensors[index]!) ? `${this.name(index)}/codes` : this.name(index);
  }

  #input(index: number): void {
    const tensor = this.model.tensors[index]!;
    const attributes = { dtype: type(tensor.dtype), shape: { kind: 'shape', value: tensor.shape } as TfAttribute };
    this.node('Placeholder', this.placeholder(index), [], attributes);
    if (!isQuantised(tensor)) return;
    const [scale, zero] = this.#single(tensor);
    this.node('DequantizeCodes', this.name(index), [this.placeholder(index)], { scale: float(scale), zero: int(zero) });
  }

  node(op: string, name: string, inputs: readonly string[], attributes: Attributes = {}): string {
    this.nodes.push({ name, op, inputs: inputs.map((node): TfInput => ({ node, output: 0 })), control: [], attributes: new Map(Object.entries(attributes)) });
    return name;
  }

  /** A value that an operator reads: what flows, or a constant as the numbers that it stands for. */
  input(index: number): string {
    const tensor = this.model.tensors[index]!;
    if (!tensor.data) return this.name(index);
    return this.constant(`${index}`, this.name(index), this.numbers(index));
  }

  constant(key: string, wanted: string, value: Tensor): string {
    const known = this.#constants.get(key);
    if (known !== undefined) return known;
    const name = key.includes(' ') ? this.#free(wanted) : wanted;
    this.#constants.set(key, name);
    return this.node('Const', name, [], { dtype: type(value.dtype), value: { kind: 'tensor', value } });
  }

  list(values: readonly number[], near: string): string {
    const name = this.#free(`${near}/list`);
    return this.node('Const', name, [], {
      dtype: type('int32'),
      value: { kind: 'tensor', value: numbersTensor(name, 'int32', [values.length], values, { file: this.file }) },
    });
  }

  scalar(value: number, near: string, dtype: 'int32' | 'float32' = 'int32'): string {
    const name = this.#free(`${near}/scalar`);
    return this.node('Const', name, [], { dtype: type(dtype), value: { kind: 'tensor', value: numbersTensor(name, dtype, [], [value], { file: this.file }) } });
  }

  /** The numbers of a constant. */
  numbers(index: number): Tensor {
    const { data, quantisation, dtype } = this.model.tensors[index]!;
    if (!quantisation || dtype === 'float32' || dtype === 'float16') return data!;
    const { scales, zeroPoints, axis } = quantisation;
    const whole = data!.shape.length === 0 ? { ...data!, shape: [1], walk: { ...data!.walk, axes: [[{ size: 1, stride: 1 }]] } } : data!;
    const count = whole.shape[axis] ?? 0;
    if (scales.length !== 1 && scales.length !== count) {
      throw new ModelError('malformed', `${scales.length} scales for an axis of ${count}`, { file: this.file, tensor: data!.name });
    }
    const each = Float32Array.from({ length: count }, (_, i) => scales[scales.length === 1 ? 0 : i]!);
    const zeros = Array.from({ length: count }, (_, i) => zeroPoints[scales.length === 1 ? 0 : i]!);
    return dequantiseChannels(whole, axis, each, zeros);
  }

  async operator(operator: LiteOperator): Promise<void> {
    const [output] = operator.outputs;
    if (output === undefined) return;
    if (output < 0) throw new ModelError('malformed', `${operator.op} makes no tensor`, { file: this.file });
    const rule = Object.hasOwn(RULES, operator.op) ? RULES[operator.op] : undefined;
    const named = this.model.tensors[output]!;
    const codes = isQuantised(named);
    const result = codes ? this.#free(`${this.name(output)}/numbers`) : this.name(output);
    if (rule) {
      await rule(new LiteNode(this, operator, result));
      const rest = AT_REST[operator.op] ?? [];
      const unread = (await operator.options.unread()).filter((field) => !rest.includes(field));
      if (unread.length > 0)
        throw new ModelError('unsupported', `${operator.op} has settings that are not known: ${unread.map((field) => `field ${field}`).join(', ')}`, {
          file: this.file,
          layer: result,
        });
    } else
      this.node(
        operator.op,
        result,
        operator.inputs.filter((index) => index >= 0).map((index) => this.input(index)),
      );
    if (!codes) return;
    const [scale, zero] = this.#single(named);
    const [low, high] = CODES[named.dtype]!;
    const isPort = this.model.outputs.includes(output);
    this.node(isPort ? 'RoundToCodesAsCodes' : 'RoundToCodes', this.name(output), [result], {
      scale: float(scale),
      zero: int(zero),
      low: int(low),
      high: int(high),
      codes: type(named.dtype),
    });
  }

  #single({ name, quantisation }: LiteTensor): readonly [number, number] {
    const { scales, zeroPoints } = quantisation!;
    if (scales.length !== 1) throw new ModelError('unsupported', 'what flows has several scales', { file: this.file, tensor: name });
    return [scales[0]!, zeroPoints[0]!];
  }

  #free(wanted: string): string {
    // ':' and '^' mean something in the inputs of TensorFlow's nodes.
    const plain = wanted.replaceAll(/[:^]/g, '_');
    let name = plain;
    for (let i = 2; this.#taken.has(name); i++) name = `${plain}_${i}`;
    this.#taken.add(name);
    return name;
  }

  free(wanted: string): string {
    return this.#free(wanted);
  }
}

/** Whether a tensor that flows is in integer codes. */
function isQuantised({ dtype, quantisation, data }: LiteTensor): boolean {
  return data === null && quantisation !== null && Object.hasOwn(CODES, dtype);
}

/** One operator, as a rule sees it. */
class LiteNode {
  constructor(
    readonly builder: LiteBuilder,
    readonly operator: LiteOperator,
    /** Name of the node that makes the result. */
    readonly result: string,
  ) {}

  get options(): LiteOptions {
    return this.operator.options;
  }

  get inputs(): string[] {
    return this.operator.inputs.filter((index) => index >= 0).map((index) => this.builder.input(index));
  }

  input(i: number): string {
    return this.builder.input(this.#place(i));
  }

  /** Of the tensor that an input is. */
  #place(i: number): number {
    const index = this.operator.inputs[i] ?? -1;
    if (index < 0) throw new ModelError('malformed', `${this.operator.op} has no input ${i + 1}`, { file: this.builder.file, layer: this.result });
    return index;
  }

  has(i: number): boolean {
    return (this.operator.inputs[i] ?? -1) >= 0;
  }

  /**
   * What flows into a kernel. Where the kernel is in int8 and what flows in floats ("dynamic range"), the runtime rounds what flows to 256
   * steps between its least and its largest value: of the last axis where each place along the others is a row of a product, else of a sample.
   *
   * @param at the input that flows; the kernel is input 1
   */
  flowing(isRows: boolean, at = 0): string {
    const { builder } = this;
    const [flowing, kernel] = [at, 1].map((i) => builder.model.tensors[this.#place(i)]!) as [LiteTensor, LiteTensor];
    if (flowing.dtype !== 'float32' || !kernel.data || !kernel.quantisation || !Object.hasOwn(CODES, kernel.dtype)) return this.input(at);
    if (kernel.dtype !== 'int8')
      throw new ModelError(
        'unsupported',
        `${this.operator.op} has weights in ${kernel.dtype} where floats flow, which versions of the runtime read otherwise`,
        {
          file: builder.file,
          layer: this.result,
          tensor: kernel.name,
        },
      );
    builder.dynamic.push(this.result);
    if (builder.reading.dynamicRange === 'float') return this.input(at);
    const rank = flowing.shape.length;
    const axes = isRows ? [rank - 1] : Array.from({ length: rank - 1 }, (_, axis) => axis + 1);
    return this.before('RoundToOwnRange', [this.input(at)], { axes: ints(axes) });
  }

  dtype(i: number): string {
    return this.builder.model.tensors[this.#place(i)]!.dtype;
  }

  shape(i: number): readonly number[] {
    return this.builder.model.tensors[this.#place(i)]!.shape;
  }

  /** A constant in another order of axes; a node where it flows. */
  turned(i: number, order: readonly number[]): string {
    const index = this.#place(i);
    const { data, name, shape } = this.builder.model.tensors[index]!;
    if (shape.length !== order.length)
      throw new ModelError('malformed', `${this.operator.op} reads a tensor of shape [${shape}], and one of ${order.length} axes is expected`, {
        file: this.builder.file,
        layer: this.result,
        tensor: name,
      });
    if (data) return this.builder.constant(`${index} ${order}`, `${name}/turned`, permute(this.builder.numbers(index), order));
    return this.builder.node('Transpose', this.builder.free(`${this.result}/turned`), [this.input(i), this.builder.list(order, this.result)]);
  }

  /** The last node, with an activation behind it where one is merged in. */
  async finish(op: string, inputs: readonly string[], attributes: Attributes, activation: number): Promise<void> {
    const word = ACTIVATIONS[activation];
    if (word === undefined)
      throw new ModelError('unsupported', `the activation ${activation} is merged into ${this.operator.op}`, { file: this.builder.file, layer: this.result });
    if (word === null) this.builder.node(op, this.result, inputs, attributes);
    else this.builder.node(word, this.result, [this.builder.node(op, this.builder.free(`${this.result}/${op}`), inputs, attributes)]);
  }

  before(op: string, inputs: readonly string[], attributes: Attributes = {}): string {
    return this.builder.node(op, this.builder.free(`${this.result}/${op}`), inputs, attributes);
  }

  /** For operators of several outputs: each is output i of one node. */
  spread(op: string, inputs: readonly string[], attributes: Attributes): void {
    const node = this.before(op, inputs, attributes);
    this.operator.outputs.forEach((output, i) => {
      const name = i === 0 ? this.result : this.builder.name(output);
      this.builder.nodes.push({ name, op: 'Identity', inputs: [{ node, output: i }], control: [], attributes: new Map() });
    });
  }
}

/**
 * Settings that say how the runtime computes integers or what an input says too: of what type biases are summed, that scales are powers of
 * two, how dynamic ranges are rounded (asymmetrically by all kernels of today), how many inputs there are.
 */
const AT_REST: Readonly<Record<string, readonly number[]>> = {
  ADD: [1],
  SUB: [1],
  CONV_2D: [6],
  TRANSPOSE_CONV: [4],
  FULLY_CONNECTED: [3, 4],
  BATCH_MATMUL: [2],
  PACK: [0],
  RESHAPE: [0],
  SHAPE: [0],
  CAST: [0, 1],
  // Sizes of the window that a depthwise kernel has, which old converters write.
  DEPTHWISE_CONV_2D: [3],
};

type LiteRule = (node: LiteNode) => Promise<void>;

const padding = async (node: LiteNode): Promise<TfAttribute> => text(PADDINGS[await node.options.byte(0)] ?? 'unknown');

const conv: LiteRule = async (node) => {
  const { options } = node;
  const attributes = {
    strides: ints([1, await options.int(2), await options.int(1), 1]),
    dilations: ints([1, await options.int(5, 1), await options.int(4, 1), 1]),
    padding: await padding(node),
  };
  // One place of the picture is one row of a product where the runtime computes it as such.
  const isProduct = [...(node.shape(1).slice(1, 3) ?? []), await options.int(1), await options.int(2)].every((size) => size === 1);
  const inputs = [node.flowing(isProduct), node.turned(1, [1, 2, 3, 0])];
  const activation = await options.byte(3);
  if (!node.has(2)) return node.finish('Conv2D', inputs, attributes, activation);
  return node.finish('BiasAdd', [node.before('Conv2D', inputs, attributes), node.input(2)], {}, activation);
};

/** Kernel [1, height, width, channels times multiplier]. */
const depthwise: LiteRule = async (node) => {
  const { options } = node;
  const attributes = {
    strides: ints([1, await options.int(2), await options.int(1), 1]),
    dilations: ints([1, await options.int(6, 1), await options.int(5, 1), 1]),
    padding: await padding(node),
  };
  const inputs = [node.flowing(false), node.input(1)];
  const activation = await options.byte(4);
  if (!node.has(2)) return node.finish('LiteDepthwise', inputs, attributes, activation);
  return node.finish('BiasAdd', [node.before('LiteDepthwise', inputs, attributes), node.input(2)], {}, activation);
};

const transposedConv: LiteRule = async (node) => {
  const { options } = node;
  const attributes = { strides: ints([1, await options.int(2), await options.int(1), 1]), padding: await padding(node) };
  const inputs = [node.input(0), node.turned(1, [1, 2, 0, 3]), node.flowing(false, 2)];
  const activation = await options.byte(3);
  if (!node.has(3)) return node.finish('Conv2DBackpropInput', inputs, attributes, activation);
  return node.finish('BiasAdd', [node.before('Conv2DBackpropInput', inputs, attributes), node.input(3)], {}, activation);
};

const pool =
  (op: string): LiteRule =>
  async (node) => {
    const { options } = node;
    const attributes = {
      strides: ints([1, await options.int(2), await options.int(1), 1]),
      ksize: ints([1, await options.int(4), await options.int(3), 1]),
      padding: await padding(node),
    };
    return node.finish(op, [node.input(0)], attributes, await options.byte(5));
  };

/** Rows of features, merged from whatever shape flows in unless its axes are kept. */
const fullyConnected: LiteRule = async (node) => {
  const keeps = (await node.options.byte(2)) !== 0;
  if ((await node.options.byte(1)) !== 0)
    throw new ModelError('unsupported', 'FULLY_CONNECTED has shuffled weights', { file: node.builder.file, layer: node.result });
  const flowing = node.flowing(true);
  const features = node.shape(1)[1]!;
  const rank = node.shape(0).length;
  const x =
    keeps || (rank === 2 && node.shape(0)[1] === features) ? flowing : node.before('Reshape', [flowing, node.builder.list([-1, features], node.result)]);
  const inputs = [x, node.turned(1, [1, 0])];
  const op = keeps && rank > 2 ? 'BatchMatMulV2' : 'MatMul';
  const activation = await node.options.byte(0);
  if (!node.has(2)) return node.finish(op, inputs, {}, activation);
  return node.finish('BiasAdd', [node.before(op, inputs), node.input(2)], {}, activation);
};

const plain =
  (op: string, attributes: (node: LiteNode) => Promise<Attributes> | Attributes = () => ({})): LiteRule =>
  async (node) => {
    node.builder.node(op, node.result, node.inputs, await attributes(node));
  };

const merged =
  (op: string, field = 0): LiteRule =>
  async (node) =>
    node.finish(op, node.inputs, {}, await node.options.byte(field));

const reduce = (op: string): LiteRule => plain(op, async ({ options }) => ({ keep_dims: flag((await options.byte(0)) !== 0) }));

const reshape: LiteRule = async (node) => {
  const wanted = await node.options.ints(0);
  const shape = node.has(1) ? node.input(1) : node.builder.list(wanted, node.result);
  node.builder.node('Reshape', node.result, [node.input(0), shape]);
};

const softmax: LiteRule = async (node) => {
  const beta = await node.options.float(0, 1);
  const x = beta === 1 || beta === 0 ? node.input(0) : node.before('Mul', [node.input(0), node.builder.scalar(beta, node.result, 'float32')]);
  node.builder.node('Softmax', node.result, [x]);
};

const concatenation: LiteRule = async (node) => {
  const axis = node.builder.scalar(await node.options.int(0), node.result);
  return node.finish('ConcatV2', [...node.inputs, axis], {}, await node.options.byte(1));
};

const gather: LiteRule = async (node) => {
  const axis = node.builder.scalar(await node.options.int(0), node.result);
  node.builder.node('GatherV2', node.result, [...node.inputs, axis], { batch_dims: int(await node.options.int(1)) });
};

/** √ of the mean of squares in a window. */
const l2Pool: LiteRule = async (node) => {
  const { options } = node;
  const attributes = {
    strides: ints([1, await options.int(2), await options.int(1), 1]),
    ksize: ints([1, await options.int(4), await options.int(3), 1]),
    padding: await padding(node),
  };
  const mean = node.before('AvgPool', [node.before('Square', [node.input(0)])], attributes);
  return node.finish('Sqrt', [mean], {}, await options.byte(5));
};

/** MediaPipe's transposed convolution with a bias: its settings are TfLiteTransposeConvParams, as they lie in memory. */
const transposedConvBias: LiteRule = async (node) => {
  const { own } = node.options;
  if (own.byteLength < 12) throw new ModelError('malformed', `${node.operator.op} has no settings`, { file: node.builder.file, layer: node.result });
  const view = new DataView(own.buffer, own.byteOffset, own.byteLength);
  const [padding, width, height] = [0, 4, 8].map((at) => view.getInt32(at, true)) as [number, number, number];
  const attributes = { strides: ints([1, height, width, 1]), padding: text(PADDINGS[padding - 1] ?? 'unknown') };
  const [rows, columns] = [1, 2].map((axis) => {
    const [size, extent, stride] = [node.shape(0)[axis]!, node.shape(1)[axis]!, axis === 1 ? height : width];
    return padding === 1 ? size * stride : size * stride + Math.max(extent - stride, 0);
  });
  const sizes = node.builder.list([node.shape(0)[0]!, rows!, columns!, node.shape(1)[0]!], node.result);
  const made = node.before('Conv2DBackpropInput', [sizes, node.turned(1, [1, 2, 0, 3]), node.flowing(false)], attributes);
  return node.finish('BiasAdd', [made, node.input(2)], {}, 0);
};

/** Of one table, by rows. */
const embeddingLookup: LiteRule = async (node) => {
  node.builder.node('GatherV2', node.result, [node.input(1), node.input(0), node.builder.scalar(0, node.result)]);
};

const resize = (op: string, corners: number, centers: number): LiteRule =>
  plain(op, async ({ options }) => ({
    align_corners: flag((await options.byte(corners)) !== 0),
    half_pixel_centers: flag((await options.byte(centers)) !== 0),
  }));

const stridedSlice = plain('StridedSlice', async ({ options }) => {
  const masks = ['begin_mask', 'end_mask', 'ellipsis_mask', 'new_axis_mask', 'shrink_axis_mask'];
  const values = await Promise.all(masks.map((_, i) => options.int(i)));
  return Object.fromEntries(masks.map((mask, i) => [mask, int(values[i]!)]));
});

const RULES: Readonly<Record<string, LiteRule>> = {
  CONV_2D: conv,
  DEPTHWISE_CONV_2D: depthwise,
  TRANSPOSE_CONV: transposedConv,
  AVERAGE_POOL_2D: pool('AvgPool'),
  MAX_POOL_2D: pool('MaxPool'),
  L2_POOL_2D: l2Pool,
  FULLY_CONNECTED: fullyConnected,
  BATCH_MATMUL: async (node) => {
    const [x, y] = [(await node.options.byte(0)) !== 0, (await node.options.byte(1)) !== 0];
    node.builder.node('BatchMatMulV2', node.result, [node.flowing(!x), node.input(1)], { adj_x: flag(x), adj_y: flag(y) });
  },
  ADD: merged('AddV2'),
  SUB: merged('Sub'),
  MUL: merged('Mul'),
  DIV: merged('RealDiv'),
  ADD_N: plain('AddN'),
  CONCATENATION: concatenation,
  RESHAPE: reshape,
  SOFTMAX: softmax,
  LOG_SOFTMAX: plain('LogSoftmax'),
  LOGISTIC: plain('Sigmoid'),
  TANH: plain('Tanh'),
  RELU: plain('Relu'),
  RELU6: plain('Relu6'),
  RELU_N1_TO_1: plain('ReluN1To1'),
  RELU_0_TO_1: plain('Relu0To1'),
  ELU: plain('Elu'),
  LEAKY_RELU: plain('LeakyRelu', async ({ options }) => ({ alpha: float(await options.float(0)) })),
  PRELU: plain('Prelu'),
  HARD_SWISH: plain('HardSwish'),
  GELU: plain('Gelu', async ({ options }) => ({ approximate: flag((await options.byte(0)) !== 0) })),
  L2_NORMALIZATION: merged('L2Normalise'),
  LOCAL_RESPONSE_NORMALIZATION: plain('LRN', async ({ options }) => ({
    depth_radius: int(await options.int(0)),
    bias: float(await options.float(1)),
    alpha: float(await options.float(2)),
    beta: float(await options.float(3)),
  })),
  ABS: plain('Abs'),
  NEG: plain('Neg'),
  EXP: plain('Exp'),
  LOG: plain('Log'),
  SQRT: plain('Sqrt'),
  RSQRT: plain('Rsqrt'),
  SQUARE: plain('Square'),
  SIN: plain('Sin'),
  COS: plain('Cos'),
  FLOOR: plain('Floor'),
  CEIL: plain('Ceil'),
  ROUND: plain('Round'),
  SIGN: plain('Sign'),
  POW: plain('Pow'),
  MAXIMUM: plain('Maximum'),
  MINIMUM: plain('Minimum'),
  SQUARED_DIFFERENCE: plain('SquaredDifference'),
  FLOOR_DIV: plain('FloorDiv'),
  FLOOR_MOD: plain('FloorMod'),
  CUMSUM: plain('Cumsum', async ({ options }) => ({ exclusive: flag((await options.byte(0)) !== 0), reverse: flag((await options.byte(1)) !== 0) })),
  REVERSE_V2: plain('ReverseV2'),
  RANK: plain('Rank'),
  ONE_HOT: plain('OneHot', async ({ options }) => ({ axis: int(await options.int(0)) })),
  SCATTER_ND: plain('ScatterNd'),
  WHERE: plain('Where'),
  EMBEDDING_LOOKUP: embeddingLookup,
  GREATER: plain('Greater'),
  GREATER_EQUAL: plain('GreaterEqual'),
  LESS: plain('Less'),
  LESS_EQUAL: plain('LessEqual'),
  EQUAL: plain('Equal'),
  NOT_EQUAL: plain('NotEqual'),
  LOGICAL_AND: plain('LogicalAnd'),
  LOGICAL_OR: plain('LogicalOr'),
  LOGICAL_NOT: plain('LogicalNot'),
  SELECT: plain('Select'),
  SELECT_V2: plain('SelectV2'),
  MEAN: reduce('Mean'),
  SUM: reduce('Sum'),
  REDUCE_MAX: reduce('Max'),
  REDUCE_MIN: reduce('Min'),
  REDUCE_PROD: reduce('Prod'),
  REDUCE_ANY: reduce('Any'),
  REDUCE_ALL: reduce('All'),
  ARG_MAX: plain('ArgMax', async ({ options }) => ({ output_type: type((await options.byte(0)) === 4 ? 'int64' : 'int32') })),
  ARG_MIN: plain('ArgMin', async ({ options }) => ({ output_type: type((await options.byte(0)) === 4 ? 'int64' : 'int32') })),
  SQUEEZE: plain('Squeeze', async ({ options }) => ({ squeeze_dims: ints(await options.ints(0)) })),
  EXPAND_DIMS: plain('ExpandDims'),
  TRANSPOSE: plain('Transpose'),
  PAD: plain('Pad'),
  PADV2: plain('PadV2'),
  MIRROR_PAD: plain('MirrorPad', async ({ options }) => ({ mode: text((await options.byte(0)) === 0 ? 'REFLECT' : 'SYMMETRIC') })),
  SLICE: plain('Slice'),
  STRIDED_SLICE: stridedSlice,
  SPLIT: async (node) => node.spread('Split', node.inputs, { num_split: int(await node.options.int(0)) }),
  SPLIT_V: async (node) => node.spread('SplitV', node.inputs, { num_split: int(await node.options.int(0)) }),
  PACK: plain('Pack', async ({ options }) => ({ axis: int(await options.int(1)) })),
  UNPACK: async (node) => node.spread('Unpack', node.inputs, { num: int(await node.options.int(0)), axis: int(await node.options.int(1)) }),
  GATHER: gather,
  GATHER_ND: plain('GatherNd'),
  TILE: plain('Tile'),
  FILL: plain('Fill'),
  BROADCAST_TO: plain('BroadcastTo'),
  RANGE: plain('Range'),
  SHAPE: plain('Shape'),
  ZEROS_LIKE: plain('ZerosLike'),
  CAST: async (node) => {
    const { dtype } = node.builder.model.tensors[node.operator.outputs[0]!]!;
    node.builder.node('Cast', node.result, node.inputs, { DstT: type(dtype) });
  },
  DEPTH_TO_SPACE: plain('DepthToSpace', async ({ options }) => ({ block_size: int(await options.int(0)) })),
  SPACE_TO_DEPTH: plain('SpaceToDepth', async ({ options }) => ({ block_size: int(await options.int(0)) })),
  SPACE_TO_BATCH_ND: plain('SpaceToBatchND'),
  BATCH_TO_SPACE_ND: plain('BatchToSpaceND'),
  RESIZE_BILINEAR: resize('ResizeBilinear', 2, 3),
  RESIZE_NEAREST_NEIGHBOR: resize('ResizeNearestNeighbor', 0, 1),
  TOPK_V2: async (node) => node.spread('TopKV2', node.inputs, {}),
  'CUSTOM Convolution2DTransposeBias': transposedConvBias,
  // Constants stand for their numbers already, and what flows is rounded where it is made.
  DEQUANTIZE: async (node) => {
    const isHalf = node.dtype(0) === 'float16';
    node.builder.node(isHalf ? 'Cast' : 'Identity', node.result, node.inputs, isHalf ? { DstT: type('float32') } : {});
  },
  QUANTIZE: plain('Identity'),
};
