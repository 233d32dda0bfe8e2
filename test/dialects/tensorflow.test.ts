/** Each node of TensorFlow's that is translated: through the layer map into ONNX Runtime, against TensorFlow.js on the graph itself. */
import { describe, expect, it } from 'vitest';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { openModel } from '../../src/readers/open.js';
import { runLayers } from '../../src/verify/reference/session.js';
import { convertInMemory, runOnnx } from '../run-onnx.js';
import { runTfjs } from '../run-tfjs.js';
import { type Attr, float, type GraphNode, graphDef, int32, placeholder, type SmallGraph, tfjsFiles, type Weight } from '../tf-graphs.js';

/** Values of both signs without a pattern. */
function values(count: number, seed = 1): number[] {
  return Array.from({ length: count }, (_, i) => Math.sin((i + 1) * 12.9898 * seed) * 2);
}

const weight = (shape: readonly number[], seed = 2): Weight => ({
  dtype: 'float32',
  shape,
  values: values(
    shape.reduce((a, b) => a * b, 1),
    seed,
  ),
});
const positive = (shape: readonly number[]): Weight => ({ ...weight(shape), values: weight(shape).values.map((value) => Math.abs(value) + 0.1) });
const whole = (...list: number[]): Weight => ({ dtype: 'int32', shape: [list.length], values: list });
const scalar = (value: number): Weight => ({ dtype: 'int32', shape: [], values: [value] });

interface Case {
  readonly op: string;
  readonly title?: string;
  readonly attr?: Readonly<Record<string, Attr>>;
  /** Of the inputs that flow in. */
  readonly shapes?: readonly (readonly number[])[];
  readonly weights?: Readonly<Record<string, Weight>>;
  /** 'x' and 'y' flow in; all else are weights. x and the weights where left out. */
  readonly input?: readonly string[];
  /** Feeds numbers above zero. */
  readonly isPositive?: boolean;
}

const T = { T: float };
const list = (...ints: number[]): Attr => ({ ints });
const text = (s: string): Attr => ({ s });
const nhwc = { ...T, data_format: text('NHWC') };
const conv = (padding: string, strides: number, dilations = 1) => ({
  ...nhwc,
  padding: text(padding),
  strides: list(1, strides, strides, 1),
  dilations: list(1, dilations, dilations, 1),
});
const pool = (padding: string, size: number, stride: number) => ({
  ...nhwc,
  padding: text(padding),
  ksize: list(1, size, size, 1),
  strides: list(1, stride, stride, 1),
});
const PICTURE = [[2, 7, 6, 3]];
const reduce = (op: string): Case[] => [
  { op, title: 'over a picture', attr: { ...T, Tidx: int32, keep_dims: { b: false } }, shapes: PICTURE, weights: { axes: whole(1, 2) } },
  { op, title: 'kept', attr: { ...T, Tidx: int32, keep_dims: { b: true } }, shapes: PICTURE, weights: { axes: whole(-1) } },
];
const strided = (attr: Record<string, number>, begin: number[], end: number[], strides: number[]): Case => ({
  op: 'StridedSlice',
  title: JSON.stringify([attr, begin, end, strides]),
  attr: {
    ...T,
    Index: int32,
    ...Object.fromEntries(['begin_mask', 'end_mask', 'ellipsis_mask', 'new_axis_mask', 'shrink_axis_mask'].map((name) => [name, { i: attr[name] ?? 0 }])),
  },
  shapes: PICTURE,
  weights: { begin: whole(...begin), end: whole(...end), strides: whole(...strides) },
});

const CASES: readonly Case[] = [
  ...['SAME', 'VALID'].flatMap((padding): Case[] => [
    { op: 'Conv2D', title: padding, attr: conv(padding, 2), shapes: PICTURE, weights: { k: weight([3, 2, 3, 4]) } },
    { op: 'Conv2D', title: `${padding} dilated`, attr: conv(padding, 1, 2), shapes: PICTURE, weights: { k: weight([2, 3, 3, 4]) } },
    { op: 'DepthwiseConv2dNative', title: padding, attr: conv(padding, 1), shapes: PICTURE, weights: { k: weight([3, 3, 3, 2]) } },
    { op: 'MaxPool', title: padding, attr: pool(padding, 3, 2), shapes: PICTURE },
    { op: 'AvgPool', title: padding, attr: pool(padding, 3, 2), shapes: PICTURE },
  ]),
  {
    op: 'Conv2D',
    title: 'with padding in numbers',
    attr: { ...conv('EXPLICIT', 2), explicit_paddings: list(0, 0, 1, 2, 0, 1, 0, 0) },
    shapes: PICTURE,
    weights: { k: weight([3, 2, 3, 4]) },
  },
  {
    op: 'Conv2DBackpropInput',
    title: 'SAME',
    attr: conv('SAME', 2),
    shapes: [[2, 4, 3, 3]],
    weights: { sizes: whole(2, 8, 6, 5), k: weight([3, 3, 5, 3]) },
    input: ['sizes', 'k', 'x'],
  },
  {
    op: 'Conv2DBackpropInput',
    title: 'SAME of an odd size',
    attr: conv('SAME', 2),
    shapes: [[2, 4, 3, 3]],
    weights: { sizes: whole(2, 7, 5, 5), k: weight([3, 3, 5, 3]) },
    input: ['sizes', 'k', 'x'],
  },
  {
    op: 'Conv2DBackpropInput',
    title: 'VALID',
    attr: conv('VALID', 2),
    shapes: [[2, 4, 3, 3]],
    weights: { sizes: whole(2, 9, 7, 5), k: weight([3, 3, 5, 3]) },
    input: ['sizes', 'k', 'x'],
  },
  {
    op: 'FusedBatchNormV3',
    attr: { ...nhwc, U: float, epsilon: { f: 0.001 }, is_training: { b: false } },
    shapes: PICTURE,
    weights: { scale: weight([3]), offset: weight([3], 3), mean: weight([3], 4), variance: positive([3]) },
  },
  { op: 'BiasAdd', attr: nhwc, shapes: PICTURE, weights: { b: weight([3]) } },
  { op: 'LRN', attr: { ...T, depth_radius: { i: 1 }, alpha: { f: 0.3 }, beta: { f: 0.6 }, bias: { f: 1.5 } }, shapes: [[1, 3, 2, 6]] },
  {
    op: '_FusedConv2D',
    attr: { ...conv('SAME', 1), num_args: { i: 1 }, fused_ops: { texts: ['BiasAdd', 'Relu6'] }, epsilon: { f: 0 } },
    shapes: PICTURE,
    weights: { k: weight([3, 3, 3, 4]), b: weight([4]) },
  },
  {
    op: 'FusedDepthwiseConv2dNative',
    attr: { ...conv('SAME', 1), num_args: { i: 1 }, fused_ops: { texts: ['BiasAdd', 'Relu'] }, explicit_paddings: list() },
    shapes: PICTURE,
    weights: { k: weight([3, 3, 3, 1]), b: weight([3]) },
  },
  {
    op: '_FusedMatMul',
    attr: { ...T, transpose_a: { b: false }, transpose_b: { b: false }, num_args: { i: 1 }, fused_ops: { texts: ['BiasAdd', 'Relu'] }, epsilon: { f: 0 } },
    shapes: [[3, 5]],
    weights: { k: weight([5, 4]), b: weight([4]) },
  },
  ...[
    'Relu',
    'Relu6',
    'Elu',
    'Selu',
    'Sigmoid',
    'Tanh',
    'Softplus',
    'Erf',
    'Exp',
    'Abs',
    'Neg',
    'Floor',
    'Ceil',
    'Square',
    'Sign',
    'Sin',
    'Cos',
    'Atan',
    'Expm1',
    'Softmax',
    'LogSoftmax',
    'Identity',
    'StopGradient',
    'ZerosLike',
    'OnesLike',
  ].map((op): Case => ({ op, attr: T, shapes: [[2, 5]] })),
  { op: 'Asinh', attr: T, shapes: [[2, 5]] },
  { op: 'Atan2', attr: T, shapes: [[3, 5], [5]], input: ['x', 'y'] },
  { op: 'Mod', attr: T, shapes: [[2, 5]], weights: { c: positive([5]) }, isPositive: true },
  {
    op: 'TensorScatterUpdate',
    attr: { ...T, Tindices: int32 },
    shapes: [[4, 3]],
    weights: { places: { dtype: 'int32', shape: [2, 1], values: [3, 0] }, rows: weight([2, 3]) },
  },
  {
    op: 'SparseToDense',
    attr: { ...T, Tindices: int32, validate_indices: { b: true } },
    shapes: [[2]],
    weights: { places: whole(4, 1), shape: whole(6), rest: { dtype: 'float32', shape: [], values: [0.5] } },
    input: ['places', 'shape', 'x', 'rest'],
  },
  {
    op: 'CropAndResize',
    attr: { ...T, method: text('bilinear'), extrapolation_value: { f: -3 } },
    shapes: PICTURE,
    weights: {
      boxes: { dtype: 'float32', shape: [4, 4], values: [0, 0, 1, 1, 0.9, 0.2, 0.1, 0.7, -0.3, 0.1, 0.6, 1.2, 0.25, 0.25, 0.5, 0.75] },
      pictures: whole(0, 1, 1, 0),
      size: whole(3, 4),
    },
  },
  {
    op: 'CropAndResize',
    title: 'of one place across',
    attr: { ...T, method: text('bilinear'), extrapolation_value: { f: 0 } },
    shapes: PICTURE,
    weights: { boxes: { dtype: 'float32', shape: [1, 4], values: [0.1, 0.2, 0.8, 0.6] }, pictures: whole(1), size: whole(2, 1) },
  },
  ...['Log', 'Sqrt', 'Rsqrt', 'Reciprocal', 'Log1p'].map((op): Case => ({ op, attr: T, shapes: [[2, 5]], isPositive: true })),
  { op: 'LeakyRelu', attr: { ...T, alpha: { f: 0.3 } }, shapes: PICTURE },
  { op: 'Prelu', attr: T, shapes: PICTURE, weights: { slope: weight([3]) } },
  ...['AddV2', 'Sub', 'Mul', 'RealDiv', 'Maximum', 'Minimum', 'SquaredDifference'].flatMap((op): Case[] => [
    { op, title: 'with a constant', attr: T, shapes: PICTURE, weights: { c: positive([3]) } },
    { op, title: 'of a constant', attr: T, shapes: PICTURE, weights: { c: weight([3]) }, input: ['c', 'x'], isPositive: true },
    { op, title: 'of two values', attr: T, shapes: [PICTURE[0]!, [1, 6, 1]], input: ['x', 'y'], isPositive: true },
  ]),
  { op: 'Pow', attr: T, shapes: [[2, 5]], weights: { c: weight([]) }, isPositive: true },
  { op: 'FloorDiv', attr: T, shapes: [[2, 5]], weights: { c: weight([5]) } },
  { op: 'FloorMod', attr: T, shapes: [[2, 5]], weights: { c: weight([5]) } },
  {
    op: 'AddN',
    attr: { ...T, N: { i: 2 } },
    shapes: [
      [2, 5],
      [2, 5],
    ],
    input: ['x', 'y'],
  },
  { op: 'MatMul', title: 'plain', attr: { ...T, transpose_a: { b: false }, transpose_b: { b: false } }, shapes: [[3, 5]], weights: { k: weight([5, 4]) } },
  { op: 'MatMul', title: 'transposed', attr: { ...T, transpose_a: { b: true }, transpose_b: { b: true } }, shapes: [[5, 3]], weights: { k: weight([4, 5]) } },
  {
    op: 'BatchMatMulV2',
    attr: { ...T, adj_x: { b: false }, adj_y: { b: true } },
    shapes: [
      [2, 3, 5],
      [2, 4, 5],
    ],
    input: ['x', 'y'],
  },
  ...['Mean', 'Sum', 'Max', 'Min', 'Prod'].flatMap(reduce),
  { op: 'Reshape', attr: { ...T, Tshape: int32 }, shapes: PICTURE, weights: { shape: whole(2, -1) } },
  { op: 'Squeeze', attr: { ...T, squeeze_dims: list(1, 2) }, shapes: [[2, 1, 1, 3]] },
  { op: 'ExpandDims', attr: { ...T, Tdim: int32 }, shapes: [[2, 5]], weights: { axis: scalar(-1) } },
  { op: 'Transpose', attr: { ...T, Tperm: int32 }, shapes: PICTURE, weights: { perm: whole(0, 3, 2, 1) } },
  { op: 'ConcatV2', attr: { ...T, Tidx: int32, N: { i: 2 } }, shapes: [PICTURE[0]!, [2, 7, 6, 2]], weights: { axis: scalar(3) }, input: ['x', 'y', 'axis'] },
  {
    op: 'Pack',
    attr: { ...T, N: { i: 2 }, axis: { i: 1 } },
    shapes: [
      [2, 5],
      [2, 5],
    ],
    input: ['x', 'y'],
  },
  { op: 'Slice', attr: { ...T, Index: int32 }, shapes: PICTURE, weights: { begin: whole(0, 1, 2, 0), size: whole(-1, 3, 2, 2) } },
  strided({ begin_mask: 1, end_mask: 1 }, [0, 1], [0, 5], [1, 2]),
  strided({ begin_mask: 1, end_mask: 1, shrink_axis_mask: 2 }, [0, -1], [0, 0], [1, 1]),
  strided({ ellipsis_mask: 1, shrink_axis_mask: 2 }, [0, 1], [0, 2], [1, 1]),
  strided({ begin_mask: 3, end_mask: 3 }, [0, 0, 3], [0, 0, 5], [1, -1, 1]),
  strided({ ellipsis_mask: 1, new_axis_mask: 2 }, [0, 0], [0, 0], [1, 1]),
  {
    op: 'GatherV2',
    attr: { Tparams: float, Tindices: int32, Taxis: int32, batch_dims: { i: 0 } },
    shapes: PICTURE,
    weights: { indices: whole(2, 0), axis: scalar(3) },
  },
  { op: 'Pad', attr: { ...T, Tpaddings: int32 }, shapes: PICTURE, weights: { paddings: { dtype: 'int32', shape: [4, 2], values: [0, 0, 1, 2, 0, 1, 0, 0] } } },
  {
    op: 'MirrorPad',
    attr: { ...T, Tpaddings: int32, mode: text('REFLECT') },
    shapes: PICTURE,
    weights: { paddings: { dtype: 'int32', shape: [4, 2], values: [0, 0, 1, 2, 0, 1, 0, 0] } },
  },
  ...[
    ['align_corners', true, false],
    ['half pixel centers', false, true],
    ['plain', false, false],
  ].flatMap(([title, align_corners, half_pixel_centers]): Case[] =>
    ['ResizeBilinear', 'ResizeNearestNeighbor'].map((op) => ({
      op,
      title: `${title}`,
      attr: { ...T, align_corners: { b: align_corners as boolean }, half_pixel_centers: { b: half_pixel_centers as boolean } },
      shapes: [[1, 4, 5, 2]],
      weights: { size: whole(8, 15) },
    })),
  ),
  {
    op: 'SpaceToBatchND',
    attr: { ...T, Tblock_shape: int32, Tpaddings: int32 },
    shapes: [[1, 4, 5, 2]],
    weights: { block: whole(2, 2), paddings: { dtype: 'int32', shape: [2, 2], values: [0, 0, 1, 0] } },
  },
  {
    op: 'BatchToSpaceND',
    attr: { ...T, Tblock_shape: int32, Tcrops: int32 },
    shapes: [[4, 2, 3, 2]],
    weights: { block: whole(2, 2), crops: { dtype: 'int32', shape: [2, 2], values: [0, 1, 1, 0] } },
  },
  {
    op: 'ClipByValue',
    attr: T,
    shapes: [[2, 5]],
    weights: { low: { dtype: 'float32', shape: [], values: [-0.5] }, high: { dtype: 'float32', shape: [], values: [0.7] } },
  },
];

function graphOf({ op, attr = {}, shapes = [], weights = {}, input }: Case): SmallGraph {
  const flowing = ['x', 'y'].slice(0, shapes.length);
  const inputs = flowing.map((name, i): GraphNode => placeholder(name, shapes[i]!));
  const node: GraphNode = { name: 'node', op, input: input ?? ['x', ...Object.keys(weights)], attr };
  return { nodes: [...inputs, node], weights, inputs: flowing, outputs: ['node'] };
}

function feedsOf({ shapes = [], isPositive }: Case) {
  return shapes.map((shape, i) => {
    const data = values(
      shape.reduce((a, b) => a * b, 1),
      5 + i,
    );
    return { shape, data: Float32Array.from(isPositive ? data.map((value) => Math.abs(value) + 0.2) : data) };
  });
}

describe('TensorFlow nodes', () => {
  it.each(CASES)('$op $title computes what TensorFlow.js computes', async (one) => {
    const graph = graphOf(one);
    const files = tfjsFiles(graph);
    const feeds = feedsOf(one);
    const [expected] = await runTfjs('tfjs-graph', files, feeds);
    const set = memoryFileSet(Object.fromEntries(files), 'model.json');
    for (const source of [set, memoryFileSet({ 'model.pb': graphDef(graph) }, 'model.pb')]) {
      const { bytes } = await convertInMemory(source);
      const [actual] = (await runOnnx(bytes, feeds)).values();
      expect(actual!.shape).toEqual(expected!.shape);
      const scale = expected!.data.reduce((max, value) => Math.max(max, Math.abs(value)), 1e-3);
      const worst = expected!.data.reduce((max, value, i) => Math.max(max, Math.abs(value - actual!.data[i]!)), 0);
      expect(worst / scale).toBeLessThan(1e-5);
    }
  });

  const resize = { align_corners: { b: false }, half_pixel_centers: { b: true } };
  const boxes: Weight = { dtype: 'float32', shape: [1, 4], values: [0.1, 0.2, 0.8, 0.9] };
  const number = (value: number): Weight => ({ dtype: 'float32', shape: [], values: [value] });
  /** Graphs of integers; the node's result is cast to float32 where it is one. `tensorflow`: where TensorFlow computes otherwise than TensorFlow.js. */
  const INTEGERS: readonly (Case & { readonly tensorflow?: (x: readonly number[]) => readonly number[] })[] = [
    { op: 'ResizeBilinear', shapes: [[1, 3, 4, 2]], attr: resize, weights: { size: whole(5, 7) } },
    { op: 'ResizeNearestNeighbor', shapes: [[1, 3, 4, 2]], attr: resize, weights: { size: whole(5, 7) } },
    { op: 'CropAndResize', shapes: [[1, 5, 5, 1]], attr: { method: text('bilinear') }, weights: { boxes, which: whole(0), size: whole(3, 3) } },
    { op: 'OneHot', title: 'last', shapes: [[5]], attr: { axis: { i: -1 }, TI: int32 }, weights: { depth: scalar(4), on: number(2), off: number(-1) } },
    {
      op: 'OneHot',
      title: 'of integers',
      shapes: [[2, 3]],
      attr: { axis: { i: -1 }, TI: int32 },
      weights: { depth: scalar(3), on: scalar(5), off: scalar(1) },
    },
    { op: 'RealDiv', shapes: [[5]], weights: { c: scalar(3) }, tensorflow: (x) => x.map((value) => Math.trunc(value / 3)) },
    {
      op: 'Mean',
      shapes: [[2, 5]],
      attr: { keep_dims: { b: false } },
      weights: { axis: whole(1) },
      tensorflow: (x) => [x.slice(0, 5), x.slice(5)].map((row) => Math.trunc(row.reduce((a, b) => a + b) / 5)),
    },
    { op: 'MaxPoolWithArgmax', shapes: [[1, 4, 4, 2]], attr: pool('SAME', 3, 2) },
    {
      op: '_FusedConv2D',
      title: 'whose kernel says its order',
      shapes: [[1, 4, 4, 2]],
      attr: { ...conv('SAME', 1), num_args: { i: 1 }, num_host_args: { i: 0 }, filter_format: text('HWIO'), fused_ops: { texts: ['BiasAdd', 'Relu'] } },
      weights: { k: weight([3, 3, 2, 4]), b: weight([4]) },
    },
  ];

  it.each(INTEGERS)('$op $title of integers computes what its framework computes', async ({ op, shapes, attr = {}, weights = {}, tensorflow }) => {
    const isFloat = op.startsWith('Max') || op.startsWith('_Fused');
    const graph: SmallGraph = {
      nodes: [
        placeholder('x', shapes![0]!),
        { name: 'whole', op: isFloat ? 'Identity' : 'Cast', input: ['x'], attr: isFloat ? T : { SrcT: float, DstT: int32 } },
        { name: 'made', op, input: ['whole', ...Object.keys(weights)], attr: { ...attr, T: isFloat ? float : int32 } },
        { name: 'y', op: 'Cast', input: ['made'], attr: { SrcT: int32, DstT: float } },
      ],
      weights,
      inputs: ['x'],
      outputs: ['y'],
    };
    const [{ shape, data }] = feedsOf({ op, shapes: shapes! }) as [{ shape: readonly number[]; data: Float32Array }];
    const feeds = [{ shape, data: data.map((value) => (isFloat ? value : Math.round(value * 3))) }];
    const files = tfjsFiles(graph);
    const [expected] = await runTfjs('tfjs-graph', files, feeds);
    const sources = [memoryFileSet(Object.fromEntries(files), 'model.json'), memoryFileSet({ 'model.pb': graphDef(graph) }, 'model.pb')];
    for (const [i, source] of sources.entries()) {
      const [actual] = (await runOnnx((await convertInMemory(source)).bytes, feeds)).values();
      expect(actual!.shape).toEqual(expected!.shape);
      const wanted = i === 1 && tensorflow ? tensorflow([...feeds[0]!.data]) : [...expected!.data];
      for (const [at, value] of wanted.entries()) expect(actual!.data[at]).toBeCloseTo(value, 4);
    }
  });

  it('OneHot has its classes on the axis that it says, which TensorFlow.js passes over', async () => {
    const graph: SmallGraph = {
      nodes: [placeholder('x', [2], 3), { name: 'y', op: 'OneHot', input: ['x', 'depth', 'on', 'off'], attr: { T: float, TI: int32, axis: { i: 0 } } }],
      weights: { depth: scalar(3), on: number(1), off: number(0) },
      inputs: ['x'],
      outputs: ['y'],
    };
    expect(await made(graph, [[2, -1]])).toEqual([[0, 0, 0, 0, 1, 0]]);
    const [output] = await runTfjs('tfjs-graph', tfjsFiles(graph), [{ shape: [2], data: Float32Array.of(2, -1) }]);
    const { bytes } = await convertInMemory(memoryFileSet(Object.fromEntries(tfjsFiles(graph)), 'model.json'));
    expect([...(await runOnnx(bytes, [{ shape: [2], data: Float32Array.of(2, -1) }])).values()]).toEqual([output]);
  });

  it('into which TensorFlow.js finds no bias merged are refused from TensorFlow.js', async () => {
    const graph = graphOf({
      op: '_FusedConv2D',
      attr: { ...conv('SAME', 1), num_args: { i: 1 }, fused_ops: { texts: ['Prelu'] } },
      shapes: PICTURE,
      weights: { k: weight([3, 3, 3, 4]), slope: weight([4]) },
    });
    await expect(openModel(memoryFileSet(Object.fromEntries(tfjsFiles(graph)), 'model.json')).then((model) => model.map())).rejects.toThrow(/Prelu are merged/);
  });

  it.each([
    ['FloorDiv', (a: number, b: number) => Math.floor(a / b)],
    ['FloorMod', (a: number, b: number) => a - b * Math.floor(a / b)],
  ] as const)('%s rounds integers down, whatever their signs', async (op, truth) => {
    const [dividends, divisors] = [
      [-7, -7, 7, 7, -6],
      [2, -2, 2, -2, 3],
    ];
    const graph: SmallGraph = {
      nodes: [
        placeholder('x', [1, 5]),
        { name: 'whole', op: 'Cast', input: ['x'], attr: { SrcT: float, DstT: int32 } },
        { name: 'made', op, input: ['whole', 'c'], attr: { T: int32 } },
        { name: 'y', op: 'Cast', input: ['made'], attr: { SrcT: int32, DstT: float } },
      ],
      weights: { c: whole(...divisors) },
      inputs: ['x'],
      outputs: ['y'],
    };
    const map = await (await openModel(memoryFileSet({ 'model.pb': graphDef(graph) }, 'model.pb'))).map();
    const [made] = await runLayers(map, [{ shape: [1, 5], data: Float64Array.from(dividends) }], () => {});
    expect([...made!.data]).toEqual(dividends.map((a, i) => truth(a, divisors[i]!)));
  });

  /** Outputs of a graph that is run through the layer map. */
  async function made(graph: SmallGraph, feeds: readonly (readonly number[])[]): Promise<number[][]> {
    const map = await (await openModel(memoryFileSet({ 'model.pb': graphDef(graph) }, 'model.pb'))).map();
    const values = feeds.map((data, i) => ({ shape: map.inputs[i]!.shape as number[], data: Float64Array.from(data) }));
    return (await runLayers(map, values, () => {})).map(({ data }) => Array.from(data, Number));
  }
  const one = (op: string, shape: readonly number[], attr: Record<string, Attr>, weights: Record<string, Weight>): SmallGraph => ({
    nodes: [placeholder('x', shape), { name: 'y', op, input: ['x', ...Object.keys(weights)], attr: { ...T, ...attr } }],
    weights,
    inputs: ['x'],
    outputs: ['y'],
  });

  it.each([
    ['Args', -1, 1.5, 2, false],
    ['Vars', -0.5, 1, 8, false],
    ['Vars', -0.5, 1, 4, true],
  ] as const)('FakeQuantWithMinMax%s rounds to steps from %d to %d, of %d bits, in which zero is one', async (op, least, largest, bits, isNarrow) => {
    const attr = { num_bits: { i: bits }, narrow_range: { b: isNarrow }, ...(op === 'Args' ? { min: { f: least }, max: { f: largest } } : {}) };
    const number = (value: number): Weight => ({ dtype: 'float32', shape: [], values: [value] });
    const range: Record<string, Weight> = op === 'Args' ? {} : { least: number(least), largest: number(largest) };
    const x = [-3, -0.51, -0.2, 0, 0.03, 0.49, 0.9, 7];
    const [rounded] = await made(one(`FakeQuantWithMinMax${op}`, [8], attr, range), [x]);
    const [first, last] = [isNarrow ? 1 : 0, 2 ** bits - 1];
    const step = (largest - least) / (last - first);
    const zero = Math.round(first - least / step);
    const expected = x.map((value) => (Math.min(last, Math.max(first, Math.floor(value / step + zero + 0.5))) - zero) * step);
    for (const [i, value] of expected.entries()) expect(rounded![i]).toBeCloseTo(value, 5);
  });

  it('Roll, ReverseSequence, MatrixBandPart, ListDiff and InvertPermutation move elements to where they say', async () => {
    const x = [0, 1, 2, 3, 4, 5];
    expect(await made(one('Roll', [2, 3], {}, { shift: whole(1, -1), axes: whole(0, 1) }), [x])).toEqual([[4, 5, 3, 1, 2, 0]]);
    expect(await made(one('ReverseSequence', [2, 3], { seq_dim: { i: 1 }, batch_dim: { i: 0 }, Tlen: int32 }, { lengths: whole(2, 3) }), [x])).toEqual([
      [1, 0, 2, 5, 4, 3],
    ]);
    const square = Array.from({ length: 9 }, (_, i) => i + 1);
    const band = (lower: number, upper: number) =>
      made(one('MatrixBandPart', [3, 3], { Tindex: int32 }, { lower: scalar(lower), upper: scalar(upper) }), [square]);
    expect(await band(1, -1)).toEqual([[1, 2, 3, 4, 5, 6, 0, 8, 9]]);
    expect(await band(-1, 0)).toEqual([[1, 0, 0, 4, 5, 0, 7, 8, 9]]);
    expect(await band(0, 1)).toEqual([[1, 2, 0, 0, 5, 6, 0, 0, 9]]);
    const folded: SmallGraph = {
      nodes: [
        placeholder('x', [2, 3, 4]),
        { name: 'rest', op: 'ListDiff', input: ['all', 'some'], attr: { T: int32 } },
        { name: 'perm', op: 'InvertPermutation', input: ['order'], attr: { T: int32 } },
        { name: 't', op: 'Transpose', input: ['x', 'perm'], attr: T },
        { name: 'y', op: 'Sum', input: ['t', 'rest'], attr: { ...T, keep_dims: { b: false } } },
      ],
      weights: { all: whole(0, 1, 2), some: whole(1), order: whole(1, 2, 0) },
      inputs: ['x'],
      outputs: ['y'],
    };
    // Axes of 4, 2 and 3: the middle one is left.
    const sums = [0, 1].map((row) => Array.from({ length: 12 }, (_, i) => row * 12 + i).reduce((a, b) => a + b));
    expect(await made(folded, [Array.from({ length: 24 }, (_, i) => i)])).toEqual([sums]);
  });

  it('Unique gives each kind once, in the order of the first ones, and MatrixDeterminant what its name says', async () => {
    const x = [3, -1, 3, 2, -1, 5];
    const graph = (op: string, output: string, more: SmallGraph['weights'] = {}): SmallGraph => ({
      nodes: [
        placeholder('x', [6]),
        { name: 'u', op, input: ['x', ...Object.keys(more)], attr: { ...T, out_idx: int32 } },
        { name: 'y', op: 'Identity', input: [output], attr: T },
      ],
      weights: more,
      inputs: ['x'],
      outputs: ['y'],
    });
    expect(await made(graph('Unique', 'u'), [x])).toEqual([[3, -1, 2, 5]]);
    expect(await made(graph('Unique', 'u:1'), [x])).toEqual([[0, 1, 0, 2, 1, 3]]);
    expect(await made(graph('UniqueWithCounts', 'u:2'), [x])).toEqual([[2, 2, 1, 1]]);
    expect(await made(graph('UniqueV2', 'u:1', { axis: whole(0) }), [x])).toEqual([[0, 1, 0, 2, 1, 3]]);
    const [[first, second] = []] = await made(one('MatrixDeterminant', [2, 2, 2], {}, {}), [[1, 2, 3, 4, 0, 2, 2, 5]]);
    expect([first, second].map((value) => Number(value!.toFixed(4)))).toEqual([-2, -4]);
  });

  it('cross entropy is that of a softmax, by shares or by places', async () => {
    const x = [1, 2, 0.5, 3, 1, 1];
    const logs = [0, 1].map((row) => Math.log(x.slice(3 * row, 3 * row + 3).reduce((sum, value) => sum + Math.exp(value), 0)));
    const rounded = (values: readonly number[]) => values.map((value) => Number(value.toFixed(5)));
    const [sparse] = await made(one('SparseSoftmaxCrossEntropyWithLogits', [2, 3], { Tlabels: int32 }, { labels: whole(1, 0) }), [x]);
    expect(rounded(sparse!)).toEqual(rounded([logs[0]! - 2, logs[1]! - 3]));
    const labels: Weight = { dtype: 'float32', shape: [2, 3], values: [0.5, 0, 0.5, 0, 1, 0] };
    const [shared] = await made(one('SoftmaxCrossEntropyWithLogits', [2, 3], {}, { labels }), [x]);
    expect(rounded(shared!)).toEqual(rounded([logs[0]! - 0.75, logs[1]! - 1]));
  });

  it('rows are combined by the segments that they are in, and bounds are counted', async () => {
    const x = [1, -2, 3, 4, 5, -6];
    const sorted = (op: string) => made(one(op, [3, 2], { Tindices: int32 }, { ids: whole(0, 0, 2) }), [x]);
    expect(await sorted('SegmentSum')).toEqual([[4, 2, 0, 0, 5, -6]]);
    expect(await sorted('SegmentMean')).toEqual([[2, 1, 0, 0, 5, -6]]);
    expect(await sorted('SegmentProd')).toEqual([[3, -8, 0, 0, 5, -6]]);
    expect(await sorted('SegmentMax')).toEqual([[3, 4, 0, 0, 5, -6]]);
    expect(await sorted('SegmentMin')).toEqual([[1, -2, 0, 0, 5, -6]]);
    const unsorted = (op: string) => made(one(op, [3, 2], { Tindices: int32, Tnumsegments: int32 }, { ids: whole(1, -1, 1), count: scalar(2) }), [x]);
    const least = -3.4028234663852886e38;
    expect(await unsorted('UnsortedSegmentSum')).toEqual([[0, 0, 6, -8]]);
    expect(await unsorted('UnsortedSegmentProd')).toEqual([[1, 1, 5, 12]]);
    expect(await unsorted('UnsortedSegmentMax')).toEqual([[least, least, 5, -2]]);
    expect(await unsorted('UnsortedSegmentMin')).toEqual([[-least, -least, 1, -6]]);
    const rows: Weight = { dtype: 'float32', shape: [2, 3], values: [-1, 1, 3, 3, 4, 5] };
    const bound = (op: string): SmallGraph => ({
      nodes: [
        placeholder('x', [2, 3]),
        { name: 'b', op, input: ['rows', 'x'], attr: { ...T, out_type: int32 } },
        { name: 'y', op: 'Cast', input: ['b'], attr: { SrcT: int32, DstT: float } },
      ],
      weights: { rows },
      inputs: ['x'],
      outputs: ['y'],
    });
    expect(await made(bound('LowerBound'), [[1, 3, 9, 3, 4.5, 0]])).toEqual([[1, 2, 3, 0, 2, 0]]);
    expect(await made(bound('UpperBound'), [[1, 3, 9, 3, 4.5, 0]])).toEqual([[2, 3, 3, 1, 2, 0]]);
  });

  it('Cumprod multiplies along an axis in either direction, with and without its own element; Bucketize counts boundaries', async () => {
    const product = (attr: Record<string, { b: boolean }>): SmallGraph => ({
      nodes: [placeholder('x', [2, 5]), { name: 'y', op: 'Cumprod', input: ['x', 'axis'], attr: { ...T, Tidx: int32, ...attr } }],
      weights: { axis: { dtype: 'int32', shape: [], values: [1] } },
      inputs: ['x'],
      outputs: ['y'],
    });
    const x = [1, 2, -3, 4, 5, 2, 0, 1, 3, -1];
    expect(await made(product({}), [x])).toEqual([[1, 2, -6, -24, -120, 2, 0, 0, 0, -0]]);
    expect(await made(product({ exclusive: { b: true } }), [x])).toEqual([[1, 1, 2, -6, -24, 1, 2, 0, 0, 0]]);
    expect(await made(product({ reverse: { b: true } }), [x])).toEqual([[-120, -120, -60, 20, 5, -0, -0, -3, -3, -1]]);
    expect(await made(product({ reverse: { b: true }, exclusive: { b: true } }), [x])).toEqual([[-120, -60, 20, 5, 1, -0, -3, -3, -1, 1]]);
    const buckets: SmallGraph = {
      nodes: [
        placeholder('x', [2, 3]),
        { name: 'b', op: 'Bucketize', input: ['x'], attr: { ...T, boundaries: { floats: [0, 10, 100] } } },
        { name: 'y', op: 'Cast', input: ['b'], attr: { SrcT: int32, DstT: float } },
      ],
      weights: {},
      inputs: ['x'],
      outputs: ['y'],
    };
    expect(await made(buckets, [[-5, 10000, 150, 10, 5, 100]])).toEqual([[0, 3, 3, 2, 1, 3]]);
  });

  it.each([true, false])('MaxPoolWithArgmax counts its places with the channels last (pictures too: %s)', async (include_batch_in_index) => {
    const attr = { ksize: list(1, 2, 2, 1), strides: list(1, 2, 2, 1), padding: text('VALID'), include_batch_in_index: { b: include_batch_in_index } };
    const graph: SmallGraph = {
      nodes: [
        placeholder('x', [2, 2, 4, 2]),
        { name: 'p', op: 'MaxPoolWithArgmax', input: ['x'], attr: { ...T, ...attr, Targmax: int32 } },
        { name: 'y', op: 'Cast', input: ['p:1'], attr: { SrcT: int32, DstT: float } },
      ],
      weights: {},
      inputs: ['x'],
      outputs: ['y'],
    };
    // The largest of each window lie at [0, 1], [1, 3] of the first channel and [1, 0], [0, 2] of the second one.
    const picture = [0, 0, 9, 0, 0, 8, 0, 0, 0, 7, 0, 0, 0, 0, 6, 0];
    const places = [2, 9, 14, 5];
    const second = places.map((place) => place + (include_batch_in_index ? 16 : 0));
    const pooled = { ...graph, nodes: graph.nodes.slice(0, 2), outputs: ['p'] };
    const map = await (await openModel(memoryFileSet({ 'model.pb': graphDef(pooled) }, 'model.pb'))).map();
    expect(map.layers.map(({ op }) => op)).toEqual(['MaxPool']);
    expect(await made(graph, [[...picture, ...picture]])).toEqual([[...places, ...second]]);
  });

  it.each(['NonMaxSuppressionV2', 'NonMaxSuppressionV3', 'NonMaxSuppressionV4', 'NonMaxSuppressionV5'])(
    '%s keeps the best of boxes that overlap',
    async (op) => {
      const scores = [0.3, 0.9, 0.8, 0.7, 0.05];
      const boxes = [0, 0, 1, 1, 0, 0, 1, 1.1, 0, 5, 1, 6, 1, 1.2, 0, 0, 9, 9, 8, 8];
      const number = (value: number): Weight => ({ dtype: 'float32', shape: [], values: [value] });
      const more = op.endsWith('V2') ? {} : { least: number(0.1), ...(op.endsWith('V5') ? { sigma: number(0) } : {}) };
      const graph: SmallGraph = {
        nodes: [
          placeholder('boxes', [5, 4]),
          placeholder('scores', [5]),
          { name: 'y', op, input: ['boxes', 'scores', 'most', 'overlap', ...Object.keys(more)], attr: T },
          ...(op.endsWith('V5') ? [{ name: 'z', op: 'Identity', input: ['y:1'], attr: T }] : []),
        ],
        weights: { most: scalar(4), overlap: number(0.5), ...more },
        inputs: ['boxes', 'scores'],
        outputs: ['y'],
      };
      const results = await made(graph, [boxes, scores]);
      expect(results.map((values) => values.map((value) => Number(value.toFixed(3))))).toEqual([
        op.endsWith('V2') ? [1, 2, 4] : op.endsWith('V5') ? [0.9, 0.8] : [1, 2],
      ]);
    },
  );

  it('ResizeBicubic weighs four neighbours on each side, without those beyond the border where pixels have half centres', async () => {
    const x = [1, 5, -2, 3];
    for (const isHalf of [true, false]) {
      const graph = one('ResizeBicubic', [1, 1, 4, 1], { align_corners: { b: false }, half_pixel_centers: { b: isHalf } }, { size: whole(1, 8) });
      const [row] = await made(graph, [x]);
      const a = isHalf ? -0.5 : -0.75;
      const cubic = (t: number) => (t <= 1 ? ((a + 2) * t - (a + 3)) * t * t + 1 : t < 2 ? ((a * t - 5 * a) * t + 8 * a) * t - 4 * a : 0);
      for (let i = 0; i < 8; i++) {
        const at = isHalf ? (i + 0.5) / 2 - 0.5 : i / 2;
        const taps = [-1, 0, 1, 2].map((offset) => Math.floor(at) + offset);
        const shares = taps.map((tap) => (isHalf && (tap < 0 || tap > 3) ? 0 : cubic(Math.abs(at - tap))));
        const total = shares.reduce((sum, share) => sum + share, 0);
        const expected = taps.reduce((sum, tap, j) => sum + (shares[j]! / total) * x[Math.min(3, Math.max(0, tap))]!, 0);
        expect(row![i]).toBeCloseTo(expected, 5);
      }
    }
  });

  it('that are not known are listed all at once, by name and place', async () => {
    const graph: SmallGraph = {
      nodes: [
        placeholder('x', [1, 4]),
        { name: 'a', op: 'Bessel', input: ['x'] },
        { name: 'b', op: 'Lgamma', input: ['x'] },
        { name: 'c', op: 'AddV2', input: ['a', 'b'], attr: T },
      ],
      weights: {},
      inputs: ['x'],
      outputs: ['c'],
    };
    const model = await openModel(memoryFileSet(Object.fromEntries(tfjsFiles(graph)), 'model.json'));
    await expect(model.map()).rejects.toThrow(/"a": the operator Bessel[\s\S]*"b": the operator Lgamma/);
  });

  it.each(CASES.filter(({ op }) => op !== 'Identity'))('$op $title declines a setting that is not known', async (one) => {
    const graph = graphOf({ ...one, attr: { ...one.attr, unheard_of: { i: 3 } } });
    const model = await openModel(memoryFileSet({ 'model.pb': graphDef(graph) }, 'model.pb'));
    await expect(model.map()).rejects.toThrow(/unheard_of/);
  });
});
