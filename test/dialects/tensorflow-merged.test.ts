/** Nodes that tools made of others, against the others; and what finds boxes, cuts patches and widens codes. */
import { describe, expect, it } from 'vitest';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { openModel } from '../../src/readers/open.js';
import { runLayers } from '../../src/verify/reference/session.js';
import { convertInMemory, runOnnx } from '../run-onnx.js';
import { type Attr, float, type GraphNode, graphDef, int32, placeholder, type SmallGraph, type Weight } from '../tf-graphs.js';

const count = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
const noise = (length: number, seed = 1): number[] => Array.from({ length }, (_, i) => Math.fround(Math.sin((i + 1) * 12.9898 * seed) * 2));
const weight = (shape: readonly number[], seed = 2): Weight => ({ dtype: 'float32', shape, values: noise(count(shape), seed) });
const positive = (shape: readonly number[]): Weight => ({ ...weight(shape), values: noise(count(shape)).map((value) => Math.abs(value) + 0.1) });
const whole = (...values: number[]): Weight => ({ dtype: 'int32', shape: [values.length], values });
const scalar = (value: number): Weight => ({ dtype: 'int32', shape: [], values: [value] });
const number = (value: number): Weight => ({ dtype: 'float32', shape: [], values: [value] });
const T = { T: float };
const list = (...ints: number[]): Attr => ({ ints });
const conv = { ...T, padding: { s: 'VALID' }, strides: list(1, 1, 1, 1) };
const paddings: Weight = { dtype: 'int32', shape: [4, 2], values: [0, 0, 1, 2, 2, 1, 0, 0] };
const norm = { ...T, U: float, epsilon: { f: 0.01 }, is_training: { b: false }, data_format: { s: 'NHWC' } };
const statistics = { scale: weight([2], 3), offset: weight([2], 4), mean: weight([2], 5), variance: positive([2]) };

/** The outputs of a frozen graph, by our own evaluation. */
async function made(graph: SmallGraph, ...feeds: (readonly number[])[]): Promise<number[][]> {
  const map = await (await openModel(memoryFileSet({ 'model.pb': graphDef(graph) }, 'model.pb'))).map();
  const values = feeds.map((data, i) => ({ shape: map.inputs[i]!.shape as number[], data: Float64Array.from(data) }));
  return (await runLayers(map, values, () => {})).map(({ data }) => Array.from(data, Number));
}

interface Case {
  readonly op: string;
  readonly shape: readonly number[];
  readonly weights: Readonly<Record<string, Weight>>;
  readonly attr: Readonly<Record<string, Attr>>;
  readonly input?: readonly string[];
  /** The last of which makes 'y'. */
  readonly parts: readonly GraphNode[];
}

const CASES: readonly Case[] = [
  {
    op: 'FusedPadConv2D',
    shape: [1, 4, 5, 2],
    weights: { paddings, k: weight([3, 3, 2, 3]) },
    attr: { ...conv, mode: { s: 'REFLECT' } },
    parts: [
      { name: 'padded', op: 'MirrorPad', input: ['x', 'paddings'], attr: { ...T, mode: { s: 'REFLECT' } } },
      { name: 'y', op: 'Conv2D', input: ['padded', 'k'], attr: conv },
    ],
  },
  {
    op: 'FusedResizeAndPadConv2D',
    shape: [1, 4, 5, 2],
    weights: { size: whole(7, 6), paddings, k: weight([3, 3, 2, 3]) },
    attr: { ...conv, mode: { s: 'SYMMETRIC' }, resize_align_corners: { b: true } },
    parts: [
      { name: 'resized', op: 'ResizeBilinear', input: ['x', 'size'], attr: { ...T, align_corners: { b: true } } },
      { name: 'padded', op: 'MirrorPad', input: ['resized', 'paddings'], attr: { ...T, mode: { s: 'SYMMETRIC' } } },
      { name: 'y', op: 'Conv2D', input: ['padded', 'k'], attr: conv },
    ],
  },
  {
    op: '_FusedBatchNormEx',
    shape: [1, 3, 3, 2],
    weights: { ...statistics, side: weight([1, 3, 3, 2], 6) },
    attr: { ...norm, num_side_inputs: { i: 1 }, activation_mode: { s: 'Relu' } },
    parts: [
      { name: 'normal', op: 'FusedBatchNormV3', input: ['x', ...Object.keys(statistics)], attr: norm },
      { name: 'sum', op: 'AddV2', input: ['normal', 'side'], attr: T },
      { name: 'y', op: 'Relu', input: ['sum'], attr: T },
    ],
  },
  {
    op: '_FusedBatchNormEx',
    shape: [1, 3, 3, 2],
    weights: statistics,
    attr: { ...norm, num_side_inputs: { i: 0 }, activation_mode: { s: 'Identity' } },
    parts: [{ name: 'y', op: 'FusedBatchNormV3', input: ['x', ...Object.keys(statistics)], attr: norm }],
  },
  {
    op: 'SpaceToBatch',
    shape: [1, 4, 3, 2],
    weights: { pads: { dtype: 'int32', shape: [2, 2], values: [0, 0, 1, 0] }, block: whole(2, 2) },
    input: ['x', 'pads'],
    attr: { ...T, block_size: { i: 2 } },
    parts: [{ name: 'y', op: 'SpaceToBatchND', input: ['x', 'block', 'pads'], attr: T }],
  },
  {
    op: 'BatchToSpace',
    shape: [4, 2, 2, 2],
    weights: { crops: { dtype: 'int32', shape: [2, 2], values: [0, 1, 1, 0] }, block: whole(2, 2) },
    input: ['x', 'crops'],
    attr: { ...T, block_size: { i: 2 } },
    parts: [{ name: 'y', op: 'BatchToSpaceND', input: ['x', 'block', 'crops'], attr: T }],
  },
  {
    op: 'ExtractImagePatches',
    shape: [1, 5, 4, 3],
    weights: { begin: whole(0, 0, 0, 0), size: whole(-1, 4, 4, -1) },
    input: ['x'],
    attr: { ...T, ksizes: list(1, 2, 2, 1), strides: list(1, 2, 2, 1), rates: list(1, 1, 1, 1), padding: { s: 'VALID' } },
    parts: [
      { name: 'kept', op: 'Slice', input: ['x', 'begin', 'size'], attr: T },
      { name: 'y', op: 'SpaceToDepth', input: ['kept'], attr: { ...T, block_size: { i: 2 } } },
    ],
  },
];

describe('merged nodes', () => {
  it.each(CASES)('$op computes what its parts compute', async ({ op, shape, weights, attr, input, parts }) => {
    const graph = (nodes: readonly GraphNode[]): SmallGraph => ({ nodes: [placeholder('x', shape), ...nodes], weights, inputs: ['x'], outputs: ['y'] });
    const x = noise(count(shape), 7);
    const [expected] = await made(graph(parts), x);
    const [actual] = await made(graph([{ name: 'y', op, input: input ?? ['x', ...Object.keys(weights)], attr }]), x);
    expect(actual).toEqual(expected);
  });

  it('that are none of these are refused', async () => {
    const one = (op: string, attr: Record<string, Attr>, weights: Record<string, Weight>): SmallGraph => ({
      nodes: [placeholder('x', [1, 4, 4, 2]), { name: 'y', op, input: ['x', ...Object.keys(weights)], attr: { ...T, ...attr } }],
      weights,
      inputs: ['x'],
      outputs: ['y'],
    });
    const patches = { ksizes: list(1, 3, 3, 1), strides: list(1, 2, 2, 1), rates: list(1, 1, 1, 1), padding: { s: 'EXPLICIT' } };
    await expect(made(one('ExtractImagePatches', patches, {}), noise(32))).rejects.toThrow(/padding is EXPLICIT/);
    const elu = { ...norm, num_side_inputs: { i: 0 }, activation_mode: { s: 'Elu' } };
    await expect(made(one('_FusedBatchNormEx', elu, statistics), noise(32))).rejects.toThrow(/Elu are merged/);
  });
});

describe('nodes of old and of newer graphs', () => {
  const codes = [0, 3, 200, 255];
  const decoded = (mode: string): SmallGraph => ({
    nodes: [
      placeholder('x', [4]),
      { name: 'codes', op: 'Cast', input: ['stored'], attr: { SrcT: int32, DstT: { type: 4 } } },
      { name: 'numbers', op: 'Dequantize', input: ['codes', 'least', 'largest'], attr: { T: { type: 12 }, mode: { s: mode } } },
      { name: 'y', op: 'AddV2', input: ['x', 'numbers'], attr: T },
    ],
    weights: { stored: whole(...codes), least: number(-1), largest: number(2) },
    inputs: ['x'],
    outputs: ['y'],
  });

  it.each([
    ['MIN_COMBINED', (code: number) => -1 + (code * 3) / 255],
    ['MIN_FIRST', (code: number) => ((Math.round(-255 / 3) + code) * 3) / 255],
    ['SCALED', (code: number) => (code * 2) / 255],
  ] as const)('Dequantize by %s gives the numbers for which codes stand', async (mode, truth) => {
    const [numbers] = await made(decoded(mode), [0, 0, 0, 0]);
    for (const [i, code] of codes.entries()) expect(numbers![i]).toBeCloseTo(truth(code), 5);
  });

  it('Dequantize of another mode is refused', async () => {
    await expect(made(decoded('MAX_FIRST'), [0, 0, 0, 0])).rejects.toThrow(/MAX_FIRST/);
  });

  it('TopK has its count in a setting, and LogicalXor is true where one side is', async () => {
    const graph: SmallGraph = {
      nodes: [
        placeholder('x', [4]),
        { name: 'top', op: 'TopK', input: ['x'], attr: { ...T, k: { i: 2 } } },
        { name: 'a', op: 'Greater', input: ['top', 'five'], attr: T },
        { name: 'b', op: 'Greater', input: ['top', 'two'], attr: T },
        { name: 'odd', op: 'LogicalXor', input: ['a', 'b'] },
        { name: 'y', op: 'Cast', input: ['odd'], attr: { SrcT: { type: 10 }, DstT: float } },
      ],
      weights: { five: number(5), two: number(2) },
      inputs: ['x'],
      outputs: ['y'],
    };
    expect(await made(graph, [1, 9, 3, 2])).toEqual([[0, 1]]);
  });

  it.each([true, false])('TopK whose order is said (%s), or told', async (sorted) => {
    const graph: SmallGraph = {
      nodes: [placeholder('x', [4]), { name: 'y', op: 'TopK', input: ['x'], attr: { ...T, k: { i: 2 }, sorted: { b: sorted } } }],
      weights: {},
      inputs: ['x'],
      outputs: ['y'],
    };
    const map = await (await openModel(memoryFileSet({ 'model.pb': graphDef(graph) }, 'model.pb'))).map();
    expect(map.warnings.map(({ message }) => message)).toEqual(sorted ? [] : [expect.stringMatching(/in no order that is said/)]);
  });

  const boxes = [0, 0, 1, 1, 0, 0, 1, 1.1, 0, 5, 1, 6, -0.5, 0, 0.4, 0.4];
  // Of two classes: the first two overlap in class 0, the last are good in class 1.
  const scores = [0.9, 0.2, 0.8, 0.1, 0.3, 0.6, 0.05, 0.7];
  const found = (attr: Record<string, Attr>, batch = 1): SmallGraph => ({
    nodes: [
      placeholder('boxes', [batch, 4, 1, 4]),
      placeholder('scores', [batch, 4, 2]),
      { name: 'y', op: 'CombinedNonMaxSuppression', input: ['boxes', 'scores', 'each', 'all', 'overlap', 'least'], attr },
      ...[1, 2, 3].map((i): GraphNode => ({ name: `y${i}`, op: 'Identity', input: [`y:${i}`], attr: T })),
      { name: 'y0', op: 'Identity', input: ['y'], attr: T },
    ],
    weights: { each: scalar(2), all: scalar(5), overlap: number(0.5), least: number(0.15) },
    inputs: ['boxes', 'scores'],
    outputs: ['y0', 'y1', 'y2', 'y3'],
  });

  it('CombinedNonMaxSuppression keeps the best of each class, and zeros behind them', async () => {
    const graph = found({ pad_per_class: { b: false }, clip_boxes: { b: true } });
    const { bytes } = await convertInMemory(memoryFileSet({ 'model.pb': graphDef(graph) }, 'model.pb'));
    const feeds = [
      { shape: [1, 4, 1, 4], data: Float32Array.from(boxes) },
      { shape: [1, 4, 2], data: Float32Array.from(scores) },
    ];
    const results = [...(await runOnnx(bytes, feeds)).values()];
    const byShape = (wanted: string) =>
      results.filter(({ shape }) => shape.join() === wanted).map(({ data }) => Array.from(data, (value) => Number(value.toFixed(3))));
    const none = [0, 0, 0, 0];
    expect(byShape('1,5,4')).toEqual([[0, 0, 1, 1, ...[0, 0, 0.4, 0.4], ...[0, 1, 1, 1], ...[0, 1, 1, 1], ...none]]);
    expect(byShape('1,5')).toEqual(
      expect.arrayContaining([
        [0.9, 0.7, 0.6, 0.3, 0],
        [0, 1, 1, 0, 0],
      ]),
    );
    expect(byShape('1')).toEqual([[4]]);
    const [own] = await made(found({ pad_per_class: { b: true }, clip_boxes: { b: false } }), boxes, scores).then((all) =>
      all.filter(({ length }) => length === 16),
    );
    expect(own!.slice(4, 8).map((value) => Number(value.toFixed(3)))).toEqual([-0.5, 0, 0.4, 0.4]);
  });

  it('CombinedNonMaxSuppression of several pictures is refused', async () => {
    await expect(made(found({}, 2), [...boxes, ...boxes], [...scores, ...scores])).rejects.toThrow(/in 2 pictures/);
  });
});
