/** Channels-last graphs lose their Transposes and compute what they did: in TensorFlow.js on the graph, and by its layer map. */
import { describe, expect, it } from 'vitest';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { openModel } from '../../src/readers/open.js';
import { runLayers } from '../../src/verify/reference/session.js';
import { runTfjs } from '../run-tfjs.js';
import { type Attr, float, type GraphNode, graphDef, int32, placeholder, type SmallGraph, tfjsFiles, type Weight } from '../tf-graphs.js';

const noise = (count: number, seed: number) => Array.from({ length: count }, (_, i) => Math.sin((i + 1) * 12.9898 * seed));
const weight = (shape: readonly number[], seed = 2): Weight => ({
  dtype: 'float32',
  shape,
  values: noise(
    shape.reduce((a, b) => a * b, 1),
    seed,
  ),
});
const whole = (...list: number[]): Weight => ({ dtype: 'int32', shape: [list.length], values: list });
const scalar = (value: number): Weight => ({ dtype: 'int32', shape: [], values: [value] });
const pairs = (...values: number[]): Weight => ({ dtype: 'int32', shape: [values.length / 2, 2], values });
const T = { T: float };
const node = (name: string, op: string, input: string[], attr: Record<string, Attr> = {}): GraphNode => ({ name, op, input, attr: { ...T, ...attr } });
const conv = (name: string, x: string, kernel: string, padding = 'SAME'): GraphNode =>
  node(name, 'Conv2D', [x, kernel], {
    data_format: { s: 'NHWC' },
    padding: { s: padding },
    strides: { ints: [1, 1, 1, 1] },
    dilations: { ints: [1, 1, 1, 1] },
  });
const [kernel, one] = [weight([3, 3, 4, 4]), weight([1, 1, 4, 4], 3)];
const folded = { keep_dims: { b: false } };
const plain = { transpose_a: { b: false }, transpose_b: { b: false } };

interface Net {
  readonly title: string;
  readonly nodes: readonly GraphNode[];
  readonly weights: Readonly<Record<string, Weight>>;
  /** Operators that are left. */
  readonly left: string;
}

const NETS: readonly Net[] = [
  {
    title: 'squeeze and excitation by convolutions',
    nodes: [
      conv('c', 'x', 'kernel'),
      node('mean', 'Mean', ['c', 'axes'], folded),
      node('place', 'Reshape', ['mean', 'shape']),
      conv('d', 'place', 'one'),
      node('gate', 'Sigmoid', ['d']),
      node('y', 'Mul', ['c', 'gate']),
    ],
    weights: { kernel, one, axes: whole(1, 2), shape: whole(-1, 1, 1, 4) },
    left: 'Conv ReduceMean Reshape Conv Sigmoid Mul',
  },
  {
    title: 'squeeze and excitation by dense layers',
    nodes: [
      conv('c', 'x', 'kernel'),
      node('mean', 'Mean', ['c', 'axes'], folded),
      node('d', 'MatMul', ['mean', 'w'], plain),
      node('gate', 'Sigmoid', ['d']),
      node('place', 'Reshape', ['gate', 'shape']),
      node('z', 'Mul', ['c', 'place']),
      conv('y', 'z', 'one'),
    ],
    weights: { kernel, one, w: weight([4, 4], 5), axes: whole(1, 2), shape: whole(-1, 1, 1, 4) },
    left: 'Conv ReduceMean MatMul Sigmoid Reshape Mul Conv',
  },
  {
    title: 'a convolution with gaps, between pixels that are put together and apart',
    nodes: [
      node('begin', 'SpaceToBatchND', ['x', 'block', 'pads'], { Tblock_shape: int32, Tpaddings: int32 }),
      conv('c', 'begin', 'kernel', 'VALID'),
      node('end', 'BatchToSpaceND', ['c', 'block', 'crops'], { Tblock_shape: int32, Tcrops: int32 }),
      node('y', 'BiasAdd', ['end', 'bias'], { data_format: { s: 'NHWC' } }),
    ],
    weights: { kernel, block: whole(2, 2), pads: pairs(2, 2, 2, 3), crops: pairs(0, 0, 0, 1), bias: weight([4], 7) },
    left: 'Conv',
  },
  {
    title: 'an argument of the largest channel',
    nodes: [conv('c', 'x', 'kernel'), node('best', 'ArgMax', ['c', 'axis'], { output_type: int32 }), node('y', 'Cast', ['best'], { SrcT: int32, DstT: float })],
    weights: { kernel, axis: scalar(3) },
    left: 'Conv ArgMax Cast Cast',
  },
  {
    title: 'a head of one place',
    nodes: [
      node('mean', 'Mean', ['x', 'axes'], { keep_dims: { b: true } }),
      conv('c', 'mean', 'one'),
      node('row', 'Squeeze', ['c'], { squeeze_dims: { ints: [1, 2] } }),
      node('y', 'Softmax', ['row']),
    ],
    weights: { one, axes: whole(1, 2) },
    left: 'ReduceMean Conv Squeeze Softmax',
  },
  {
    title: 'parts, padding, and a stored picture that is joined',
    nodes: [
      conv('c', 'x', 'kernel'),
      { name: 'parts', op: 'Split', input: ['axis', 'c'], attr: { ...T, num_split: { i: 2 } } },
      node('wide', 'Pad', ['parts:1', 'pads'], { Tpaddings: int32 }),
      conv('d', 'wide', 'narrow', 'VALID'),
      node('y', 'ConcatV2', ['parts', 'd', 'grid', 'axis'], { N: { i: 3 } }),
    ],
    weights: { kernel, narrow: weight([3, 3, 2, 4], 8), grid: weight([1, 6, 5, 1], 9), axis: scalar(3), pads: pairs(0, 0, 1, 1, 1, 1, 0, 0) },
    left: 'Conv Slice Slice Pad Conv Constant Concat',
  },
];

describe('channels-last graphs', () => {
  it.each(NETS)('$title: no Transpose is left', async ({ nodes, weights, left }) => {
    const shape = [1, 6, 5, 4];
    const graph: SmallGraph = { nodes: [placeholder('x', shape), ...nodes], weights, inputs: ['x'], outputs: ['y'] };
    const x = noise(120, 4);
    const [expected] = await runTfjs('tfjs-graph', tfjsFiles(graph), [{ shape, data: Float32Array.from(x) }]);
    const map = await (await openModel(memoryFileSet({ 'model.pb': graphDef(graph) }, 'model.pb'))).map();
    const [made] = await runLayers(map, [{ shape, data: Float64Array.from(x) }], () => {});
    expect(made!.shape).toEqual(expected!.shape);
    for (const [i, value] of expected!.data.entries()) expect(Number(made!.data[i])).toBeCloseTo(value, 4);
    expect(map.layers.map(({ op }) => op).join(' ')).toBe(left);
    expect(map.inputs[0]!.layout).toBe('nhwc');
  });

  it('are turned where a row of several places is reshaped to a picture of one row', async () => {
    const shape = [1, 7, 4];
    const nodes = [placeholder('x', shape), node('row', 'Reshape', ['x', 'shape']), conv('y', 'row', 'kernel')];
    const graph: SmallGraph = { nodes, weights: { kernel, shape: whole(1, 1, 7, 4) }, inputs: ['x'], outputs: ['y'] };
    const x = noise(28, 4);
    const [expected] = await runTfjs('tfjs-graph', tfjsFiles(graph), [{ shape, data: Float32Array.from(x) }]);
    const map = await (await openModel(memoryFileSet({ 'model.pb': graphDef(graph) }, 'model.pb'))).map();
    const [made] = await runLayers(map, [{ shape, data: Float64Array.from(x) }], () => {});
    expect(made!.shape).toEqual(expected!.shape);
    for (const [i, value] of expected!.data.entries()) expect(Number(made!.data[i])).toBeCloseTo(value, 4);
  });

  it('transposed convolutions to sizes that only the model knows are refused, with what to do', async () => {
    const graph: SmallGraph = {
      nodes: [
        placeholder('x', [-1, -1, -1, 4]),
        node('c', 'MaxPool', ['x'], { ksize: { ints: [1, 2, 2, 1] }, strides: { ints: [1, 2, 2, 1] }, padding: { s: 'SAME' } }),
        node('shape', 'Shape', ['x'], { out_type: int32 }),
        node('y', 'Conv2DBackpropInput', ['shape', 'kernel', 'c'], { padding: { s: 'SAME' }, strides: { ints: [1, 2, 2, 1] } }),
      ],
      weights: { kernel },
      inputs: ['x'],
      outputs: ['y'],
    };
    const files = memoryFileSet({ 'model.pb': graphDef(graph) }, 'model.pb');
    await expect((await openModel(files)).map()).rejects.toThrow(/--input-shape/);
    const map = await (await openModel(files, { inputShape: [1, 5, 6, 4] })).map();
    expect(map.outputs[0]!.shape).toEqual([1, 5, 6, 4]);
  });
});

it('a value that one layer reads 100,000 times is read as fast as it is long', async () => {
  const join = node('c', 'ConcatV2', [...new Array<string>(100_000).fill('x'), 'axis'], { N: { i: 100_000 }, Tidx: int32 });
  const graph: SmallGraph = { nodes: [placeholder('x', [1, 4]), join], weights: { axis: scalar(1) }, inputs: ['x'], outputs: ['c'] };
  const map = await (await openModel(memoryFileSet({ 'frozen.pb': graphDef(graph) }, 'frozen.pb'))).map();
  expect(map.outputs[0]!.shape).toEqual([1, 400_000]);
});
