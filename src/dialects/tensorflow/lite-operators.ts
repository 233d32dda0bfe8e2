/**
 * TensorFlow Lite's operators, each as TensorFlow's nodes.
 *
 * @see https://github.com/tensorflow/tensorflow/tree/master/tensorflow/lite/kernels, and lite/schema/schema.fbs for the numbers of settings
 */
import { parseNumberMap } from '../../containers/flexbuffer.js';
import type { TfAttribute } from '../../containers/tf-graph.js';
import { ModelError } from '../../errors.js';
import { checkZeroPoint } from './lite-codes.js';
import { type Attributes, flag, float, int, ints, isQuantised, type LiteNode, text, type } from './lite-node.js';

const PADDINGS = ['SAME', 'VALID'];

/**
 * Settings that say how the runtime computes integers or what an input says too: of what type biases are summed, that scales are powers of
 * two, how dynamic ranges are rounded (asymmetrically by all kernels of today), how many inputs there are.
 */
export const AT_REST: Readonly<Record<string, readonly number[]>> = {
  ADD: [1],
  SUB: [1],
  CONV_2D: [6],
  TRANSPOSE_CONV: [4],
  FULLY_CONNECTED: [3, 4],
  BATCH_MATMUL: [2],
  PACK: [0],
  RESHAPE: [0],
  CAST: [0, 1],
  // Its name, attributes and version, for runtimes that know it as a whole.
  STABLEHLO_COMPOSITE: [0, 2, 3, 4],
  // Sizes of the window that a depthwise kernel has, which old converters write.
  DEPTHWISE_CONV_2D: [3],
};

export type LiteRule = (node: LiteNode) => Promise<void>;

/**
 * A product with a kernel, and behind it its bias, where it has one, and the activation that is merged into it.
 *
 * @param bias which input it is
 * @param at the input that flows
 */
async function product(node: LiteNode, op: string, inputs: readonly string[], attributes: Attributes, activation: number, bias = 2, at = 0): Promise<void> {
  if (op !== 'MatMul' && op !== 'BatchMatMulV2') checkZeroPoint(node.tensor(1), node.builder.file);
  if (!node.has(bias)) return node.finish(op, inputs, attributes, activation);
  return node.finish('BiasAdd', [node.before(op, inputs, attributes), node.bias(bias, at)], {}, activation);
}

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
  return product(node, 'Conv2D', inputs, attributes, await options.byte(3));
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
  return product(node, 'LiteDepthwise', inputs, attributes, await options.byte(4));
};

const transposedConv: LiteRule = async (node) => {
  const { options } = node;
  const attributes = { strides: ints([1, await options.int(2), await options.int(1), 1]), padding: await padding(node) };
  const inputs = [node.input(0), node.turned(1, [1, 2, 0, 3]), node.flowing(false, 2)];
  return product(node, 'Conv2DBackpropInput', inputs, attributes, await options.byte(3), 3, 2);
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
  const features = node.shape(1)[1]!;
  const rank = node.shape(0).length;
  const isKept = keeps || (rank === 2 && node.shape(0)[1] === features);
  const x = isKept ? node.flowing(true) : node.flowing(true, 0, node.before('Reshape', [node.input(0), node.builder.list([-1, features], node.result)]));
  const inputs = [x, node.turned(1, [1, 0])];
  const op = keeps && rank > 2 ? 'BatchMatMulV2' : 'MatMul';
  return product(node, op, inputs, {}, await node.options.byte(0));
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
  const said = await node.options.ints(0);
  // Old converters say so of a scalar.
  const wanted = said.length === 1 && said[0] === 0 ? [] : said;
  const shape = node.has(1) ? node.input(1) : node.builder.list(wanted, node.result);
  node.builder.node('Reshape', node.result, [node.input(0), shape]);
};

const softmax: LiteRule = async (node) => {
  const beta = await node.options.float(0);
  if (beta === 0) throw node.decline('its beta is 0, by which all classes are alike');
  const x = beta === 1 ? node.input(0) : node.before('Mul', [node.input(0), node.builder.scalar(beta, node.result, 'float32')]);
  node.builder.node('Softmax', node.result, [x]);
};

const concatenation: LiteRule = async (node) => {
  const axis = node.builder.scalar(await node.options.int(0), node.result);
  if ((await node.options.byte(1)) !== 0) throw node.decline('an activation is merged into it, which its kernel has not');
  node.builder.node('ConcatV2', node.result, [...node.inputs, axis]);
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
  return product(node, 'Conv2DBackpropInput', [sizes, node.turned(1, [1, 2, 0, 3]), node.flowing(false)], attributes, 0);
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

/** Volumes: [batch, depth, height, width, channels], kernel [depth, height, width, in, out] as TensorFlow has it. */
const volumes = async ({ options }: LiteNode): Promise<Attributes> => ({
  strides: ints([1, await options.int(1), await options.int(3), await options.int(2), 1]),
  dilations: ints([1, await options.int(5, 1), await options.int(7, 1), await options.int(6, 1), 1]),
});

const conv3d: LiteRule = async (node) => {
  const attributes = { ...(await volumes(node)), padding: await padding(node) };
  const inputs = [node.flowing(false), node.input(1)];
  return product(node, 'Conv3D', inputs, attributes, await node.options.byte(4));
};

/** inputs: sizes of what it makes, kernel [depth, height, width, out, in], what flows in. */
const transposedConv3d: LiteRule = async (node) => {
  const attributes = { ...(await volumes(node)), padding: await padding(node) };
  const inputs = [node.input(0), node.input(1), node.flowing(false, 2)];
  return product(node, 'Conv3DBackpropInputV2', inputs, attributes, await node.options.byte(4), 3, 2);
};

/** Places among an operator's inputs of what an LSTM without projection and normalisation has. */
const LSTM = { input: [1, 2, 3, 4], recurrent: [5, 6, 7, 8], peepholes: [9, 11, 10], biases: [12, 13, 14, 15], more: [16, 17, 20, 21, 22, 23] } as const;
const LSTM_STATES = [18, 19];
const TANH = 4;

const together = (node: LiteNode, places: readonly number[]): string =>
  node.before('ConcatV2', [...places.map((i) => node.input(i)), node.builder.scalar(0, node.result)]);

/** Where weights are codes and what flows is not, the runtime rounds at each step. */
function checkRecurrent(node: LiteNode, weights: readonly number[]): void {
  if (node.isQuantised) throw node.decline('it computes in integers, with states in integers of their own');
  if (weights.some((i) => node.has(i) && node.isCodes(i))) node.shared.unrounded.push(node.result);
}

/** States are zeros at first, as they are where the runtime calls the net for the first time. */
const lstm: LiteRule = async (node) => {
  const { options } = node;
  checkRecurrent(node, [...LSTM.input, ...LSTM.recurrent]);
  if (!node.has(LSTM.input[0])) throw node.decline('its input gate is coupled to its forget gate');
  if (LSTM.more.some((i) => node.has(i))) throw node.decline('it has a projection, or normalises its gates');
  if ((await options.byte(0)) !== TANH) throw node.decline('its activation is none of tanh');
  if ((await options.float(1)) !== 0) throw node.decline('it cuts off its cell (cell_clip)');
  await options.float(2);
  const inputs = [node.input(0), together(node, LSTM.input), together(node, LSTM.recurrent), together(node, LSTM.biases)];
  for (const i of LSTM_STATES) node.state(i);
  const peepholes = LSTM.peepholes.some((i) => node.has(i)) ? [together(node, LSTM.peepholes)] : [];
  const [isTimeMajor] = [(await options.byte(3)) !== 0, await options.byte(4)];
  node.builder.node('LiteLstm', node.result, [...inputs, ...peepholes], { time_major: flag(isTimeMajor) });
};

const recurrent: LiteRule = async (node) => {
  const { options } = node;
  checkRecurrent(node, [1, 2]);
  node.state(4);
  const [isTimeMajor, activation] = [(await options.byte(0)) !== 0, await options.byte(1), await options.byte(2)];
  if (activation !== TANH && activation !== 1) throw node.decline(`its activation has the number ${activation}`);
  node.builder.node(
    'LiteRnn',
    node.result,
    [0, 1, 2, 3].map((i) => node.input(i)),
    { time_major: flag(isTimeMajor), activation: text(activation === TANH ? 'tanh' : 'relu') },
  );
};

/** Settings of TFLite_Detection_PostProcess that have a number of their own; all of them have to be known. */
const DETECTION_SETTINGS = ['max_detections', 'nms_score_threshold', 'nms_iou_threshold', 'num_classes', 'y_scale', 'x_scale', 'h_scale', 'w_scale'];
const DETECTION_REST = [
  'max_classes_per_detection',
  'detections_per_class',
  'use_regular_nms',
  '_output_quantized',
  '_support_output_type_float_in_quantized_op',
];

const detections: LiteRule = async (node) => {
  const settings = parseNumberMap(node.options.own);
  const missing = DETECTION_SETTINGS.find((name) => !settings?.has(name));
  if (!settings || missing) throw node.decline(`its settings do not say ${missing}`);
  const unknown = [...settings.keys()].find((name) => !DETECTION_SETTINGS.includes(name) && !DETECTION_REST.includes(name));
  if (unknown !== undefined) throw node.decline(`it has a setting that is not known: ${unknown}`);
  if ((settings.get('use_regular_nms') ?? 0) !== 0) throw node.decline('it looks for the best boxes of each class (use_regular_nms)');
  if ((settings.get('max_classes_per_detection') ?? 1) !== 1) throw node.decline('it gives several classes to a box (max_classes_per_detection)');
  if (node.shape(0)[0] !== 1) throw node.decline(`it takes ${node.shape(0)[0]} pictures`);
  node.spread('LiteDetections', node.inputs, Object.fromEntries(DETECTION_SETTINGS.map((name) => [name, float(settings.get(name)!)])));
};

const branch: LiteRule = async (node) => {
  const [then, otherwise] = [await node.options.int(0), await node.options.int(1)];
  node.spread('If', node.inputs, { then_branch: await node.calls(then), else_branch: await node.calls(otherwise) });
};

const loop: LiteRule = async (node) => {
  const [condition, body] = [await node.options.int(0), await node.options.int(1)];
  node.spread('While', node.inputs, { cond: await node.calls(condition), body: await node.calls(body) });
};

/** A variable is what it holds when the net is called for the first time, wherever its handle is passed on to. */
const handle: LiteRule = async (node) => {
  // Its container is one for all.
  await node.options.text(0);
  const name = await node.options.text(1);
  node.builder.handles.set(node.operator.outputs[0]!, name);
  const first = node.shared.variables.get(name);
  const value = first && node.builder.of(first.graph).constantOf(first.tensor);
  if (!value) throw node.decline(`nothing says what the variable "${name}" holds at first`);
  node.builder.node('Const', node.result, [], { dtype: type(value.dtype), value: { kind: 'tensor', value } });
};

const readVariable: LiteRule = async (node) => {
  const { shared, builder } = node;
  const name = builder.handles.get(node.operator.inputs[0]!);
  if (name === undefined && shared.changed.size > 0) throw node.decline('its variable comes from outside the graph, and may be one that was changed');
  if (name !== undefined && shared.changed.has(name)) throw node.decline(`it reads the variable "${name}" after the graph has changed it`);
  builder.node('Identity', node.result, [node.input(0)]);
};

export const LITE_RULES: Readonly<Record<string, LiteRule>> = {
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
  L2_NORMALIZATION: plain('L2Normalise', async (node) => {
    if ((await node.options.byte(0)) !== 0) throw node.decline('an activation is merged into it, which its kernel has not');
    return {};
  }),
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
  SEGMENT_SUM: plain('SegmentSum'),
  UNSORTED_SEGMENT_SUM: plain('UnsortedSegmentSum'),
  UNSORTED_SEGMENT_PROD: plain('UnsortedSegmentProd'),
  UNSORTED_SEGMENT_MAX: plain('UnsortedSegmentMax'),
  UNSORTED_SEGMENT_MIN: plain('UnsortedSegmentMin'),
  WHERE: plain('Where'),
  EMBEDDING_LOOKUP: embeddingLookup,
  CONV_3D: conv3d,
  CONV_3D_TRANSPOSE: transposedConv3d,
  UNIDIRECTIONAL_SEQUENCE_LSTM: lstm,
  UNIDIRECTIONAL_SEQUENCE_RNN: recurrent,
  STABLEHLO_COMPOSITE: async (node) => node.spread('PartitionedCall', node.inputs, { f: await node.calls(await node.options.int(1)) }),
  IF: branch,
  WHILE: loop,
  ATAN2: plain('Atan2'),
  BROADCAST_ARGS: plain('BroadcastArgs'),
  BITWISE_XOR: plain('BitwiseXor'),
  FAKE_QUANT: plain('FakeQuantWithMinMaxArgs', async ({ options }) => ({
    min: float(await options.float(0)),
    max: float(await options.float(1)),
    num_bits: int(await options.int(2)),
    narrow_range: flag((await options.byte(3)) !== 0),
  })),
  REVERSE_SEQUENCE: plain('ReverseSequence', async ({ options }) => ({ seq_dim: int(await options.int(0)), batch_dim: int(await options.int(1)) })),
  SPARSE_TO_DENSE: plain('SparseToDense', async ({ options }) => {
    await options.byte(0);
    return {};
  }),
  NON_MAX_SUPPRESSION_V4: async (node) => node.spread('NonMaxSuppressionV4', node.inputs, { pad_to_max_output_size: flag(true) }),
  NON_MAX_SUPPRESSION_V5: async (node) => node.spread('NonMaxSuppressionV5', node.inputs, { pad_to_max_output_size: flag(true) }),
  STABLEHLO_ADD: plain('AddV2'),
  STABLEHLO_MULTIPLY: plain('Mul'),
  STABLEHLO_MAXIMUM: plain('Maximum'),
  STABLEHLO_MINIMUM: plain('Minimum'),
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
  SHAPE: plain('Shape', async ({ options }) => ({ out_type: type((await options.byte(0)) === 4 ? 'int64' : 'int32') })),
  ZEROS_LIKE: plain('ZerosLike'),
  // Codes are cast as the integers that they are.
  CAST: async (node) => {
    const made = node.builder.model.tensors[node.operator.outputs[0]!]!;
    const attributes = { DstT: type(made.dtype) };
    if (!isQuantised(made)) return void node.builder.node('Cast', node.result, [node.codes(0)], attributes);
    const [scale, zero] = node.builder.single(made);
    node.builder.node('DequantizeCodes', node.result, [node.before('Cast', [node.codes(0)], attributes)], { scale: float(scale), zero: int(zero) });
  },
  DEPTH_TO_SPACE: plain('DepthToSpace', async ({ options }) => ({ block_size: int(await options.int(0)) })),
  SPACE_TO_DEPTH: plain('SpaceToDepth', async ({ options }) => ({ block_size: int(await options.int(0)) })),
  SPACE_TO_BATCH_ND: plain('SpaceToBatchND'),
  BATCH_TO_SPACE_ND: plain('BatchToSpaceND'),
  RESIZE_BILINEAR: async (node) => resize(node.isQuantised && node.dtype(0) === 'int16' ? 'LiteResizeBilinear' : 'ResizeBilinear', 2, 3)(node),
  RESIZE_NEAREST_NEIGHBOR: resize('ResizeNearestNeighbor', 0, 1),
  VAR_HANDLE: handle,
  READ_VARIABLE: readVariable,
  BUCKETIZE: plain('Bucketize', async ({ options }) => ({ boundaries: { kind: 'list', value: (await options.floats(0)).map(float) } })),
  RFFT2D: plain('RFFT2D'),
  COMPLEX_ABS: plain('ComplexAbs'),
  REAL: plain('Real'),
  IMAG: plain('Imag'),
  MATRIX_DIAG: plain('MatrixDiag'),
  MATRIX_SET_DIAG: plain('MatrixSetDiag'),
  DYNAMIC_UPDATE_SLICE: plain('LiteUpdate'),
  TOPK_V2: async (node) => node.spread('TopKV2', node.inputs, {}),
  'CUSTOM Convolution2DTransposeBias': transposedConvBias,
  'CUSTOM TFLite_Detection_PostProcess': detections,
  // Constants stand for their numbers already, and what flows is rounded where it is made.
  DEQUANTIZE: async (node) => {
    const isHalf = node.dtype(0) === 'float16';
    node.builder.node(isHalf ? 'Cast' : 'Identity', node.result, node.inputs, isHalf ? { DstT: type('float32') } : {});
  },
  QUANTIZE: plain('Identity'),
};
