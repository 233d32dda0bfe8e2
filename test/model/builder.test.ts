import { expect, test } from 'vitest';
import { GraphBuilder, type Value } from '../../src/model/builder.js';
import type { Dim } from '../../src/model/layer-map.js';
import { inferValues } from '../../src/model/ops/index.js';
import { float32Tensor, tensorBytes } from '../../src/model/tensor.js';

const ORIGIN = { file: 'made.onnx' };
const weight = (name: string, shape: readonly number[]) => float32Tensor(name, shape, new Float32Array(shape.reduce((a, b) => a * b, 1)), ORIGIN);

function started(shape: readonly Dim[] = ['N', 3, 224, 224]): { build: GraphBuilder; x: Value } {
  const build = new GraphBuilder(ORIGIN);
  return { build, x: build.input('x', 'float32', shape) };
}

test('a constant goes where it belongs: into weights, into an attribute, or into a layer of its own', () => {
  const { build, x } = started();
  const kernel = build.constant(weight('w', [8, 3, 3, 3]));
  const y = build.add('Conv', [x, kernel, build.constant(weight('b', [8]))], { pads: [1, 1, 1, 1] }, 'conv');
  const clipped = build.add('Clip', [y, build.numbers('float32', 0), null], {}, 'clip');
  const z = build.add('Sub', [build.numbers('float32', 1), clipped], {}, 'one minus');
  expect(z.shape).toEqual(['N', 8, 224, 224]);
  expect(build.finish([z]).map(({ op, name, inputs, weights }) => [op, name, inputs, Object.keys(weights)])).toEqual([
    ['Conv', 'conv', ['x'], ['kernel', 'bias']],
    ['Clip', 'clip', ['conv'], []],
    ['Constant', 'constant', [], ['value']],
    ['Sub', 'one minus', ['constant', 'clip'], []],
  ]);
});

test('an addition has its constant second, whichever side it came from; a larger one is a layer', () => {
  const { build, x } = started([2, 3]);
  const offset = build.constant(weight('offset', [3]));
  const y = build.add('Add', [offset, x]);
  const z = build.add('Add', [y, build.constant(weight('batch', [4, 2, 3]))]);
  expect(z.shape).toEqual([4, 2, 3]);
  expect(build.finish([z]).map(({ op, inputs, weights }) => [op, inputs.length, Object.keys(weights)])).toEqual([
    ['Add', 1, ['operand']],
    ['Constant', 0, ['value']],
    ['Add', 2, []],
  ]);
});

test('several layers share a constant', () => {
  const { build, x } = started([2, 3]);
  const shared = build.constant(weight('shared', [4, 2, 3]));
  const y = build.add('Sub', [shared, x]);
  const z = build.add('Div', [shared, y]);
  expect(build.finish([z]).map(({ op }) => op)).toEqual(['Constant', 'Sub', 'Div']);
});

/** "Flatten all but the batch", as PyTorch says it. */
test('what is worked out from shapes becomes one Reshape, and a free batch stays free', () => {
  const { build, x } = started();
  const shape = build.add('Shape', [x]);
  const batch = build.add('Gather', [shape, build.numbers('int64', 0)]);
  const wanted = build.add('Concat', [build.add('Unsqueeze', [batch], { axes: [0] }), build.numbers('int64', [-1])], { axis: 0 });
  const y = build.add('Reshape', [x, wanted], {}, 'flat');
  expect(y.shape).toEqual(['N', 3 * 224 * 224]);
  expect(build.finish([y]).map(({ op, attributes }) => [op, attributes])).toEqual([['Reshape', { shape: [0, -1], allowzero: 0 }]]);
});

test('arithmetic on known sizes is done: half of the channels, by Slice', () => {
  const { build, x } = started(['N', 8, 'H', 'W']);
  const channels = build.add('Gather', [build.add('Shape', [x]), build.numbers('int64', [1])]);
  const half = build.add('Div', [build.add('Add', [channels, build.numbers('int64', 1)]), build.numbers('int64', 2)]);
  const y = build.add('Slice', [x, build.numbers('int64', [0]), half, build.numbers('int64', [1])]);
  expect(y.shape).toEqual(['N', 4, 'H', 'W']);
  expect(build.finish([y]).map(({ op, attributes }) => [op, attributes])).toEqual([['Slice', { starts: [0], ends: [4], axes: [1] }]]);
});

/** torch.expand: sizes of -1 are those of the tensor, which exporters say by Where and Equal. */
test('choices between sizes are made, because no size is -1', () => {
  const { build, x } = started(['N', 1, 4]);
  const wanted = build.add('Concat', [build.add('Gather', [build.add('Shape', [x]), build.numbers('int64', [0])]), build.numbers('int64', [5, -1])], {
    axis: 0,
  });
  const ones = build.add('ConstantOfShape', [build.numbers('int64', [3])], { value: 1, dtype: 'int64' });
  const isKept = build.add('Equal', [wanted, build.numbers('int64', [-1])]);
  const y = build.add('Expand', [x, build.add('Where', [isKept, ones, wanted])]);
  expect(y.shape).toEqual(['N', 5, 4]);
});

test('what depends on two free sizes stays in the graph, and its shape is still known', () => {
  const { build, x } = started(['N', 8, 'H', 'W']);
  const sizes = build.add('Shape', [x]);
  const part = (axis: number) => build.add('Gather', [sizes, build.numbers('int64', [axis])]);
  const wanted = build.add('Concat', [part(0), build.numbers('int64', [2, 4]), part(2), part(3)], { axis: 0 });
  const y = build.add('Reshape', [x, wanted]);
  expect(y.shape).toEqual(['N', 2, 4, 'H', 'W']);
  const layers = build.finish([y]);
  expect(layers.map(({ op }) => op)).toContain('Concat');
  // Whoever works the types out again finds the same.
  const types = inferValues(layers, new Map([['x', { dtype: 'float32', shape: ['N', 8, 'H', 'W'] }]]));
  expect(types.get(y.name)).toMatchObject({ dtype: 'float32', shape: ['N', 2, 4, 'H', 'W'] });
});

test('sizes that are equal have one name, and a derived one another than its source', () => {
  const { build, x } = started(['N', 3, 'H', 'W']);
  const kernel = build.constant(weight('w', [3, 3, 3, 3]));
  const half = build.add('Conv', [x, kernel], { strides: [2, 2], pads: [1, 1, 1, 1] });
  const same = build.add('Conv', [x, kernel], { pads: [1, 1, 1, 1] });
  const pooled = build.add('MaxPool', [x], { kernel_shape: [2, 2], strides: [2, 2] });
  expect(same.shape).toEqual(x.shape);
  expect(half.shape![2]).not.toBe('H');
  expect(half.shape![2]).not.toBe(pooled.shape![2]);
  const unnamed = new GraphBuilder(ORIGIN).input('x', 'float32', ['?', '?']);
  expect(new Set(unnamed.shape).size).toBe(2);
});

test('shapes that do not go together are an error that names the layer', () => {
  const { build, x } = started([2, 3]);
  const y = build.input('y', 'float32', [5, 3, 4]);
  expect(build.add('MatMul', [x, y]).shape).toEqual([5, 2, 4]);
  const four = build.input('four', 'float32', [4]);
  expect(() => build.add('Add', [x, four], {}, 'sum')).toThrow('layer "sum": the shapes [2,3], [4] do not broadcast together');
  expect(() => build.add('Concat', [x, four], { axis: 0 }, 'cat')).toThrow('layer "cat": the shapes [2,3], [4] cannot be joined');
});

test('values have dtypes', () => {
  const { build, x } = started([2, 3]);
  expect(build.add('Greater', [x, build.numbers('float32', 0)]).dtype).toBe('bool');
  expect(build.add('Cast', [x], { to: 'float16' }).dtype).toBe('float16');
  expect(build.add('Shape', [x]).elements).toEqual([2, 3]);
});

test('a node that is not understood stands in the map as it came, and its results have the types that the file gives', () => {
  const { build, x } = started([2, 3]);
  const foreign = {
    format: 'onnx',
    domain: 'com.microsoft',
    op: 'FusedX',
    reason: 'not known',
    attributes: [],
    captures: [],
    types: [{ dtype: 'float32', shape: ['N', 4] }],
  } as const;
  const [y] = build.foreign(foreign, [x, build.numbers('float32', 2)], { name: 'odd', outputs: ['y'] });
  const z = build.add('Relu', [y!]);
  expect(z.shape).toEqual(['N', 4]);
  expect(build.finish([z]).map(({ op, inputs }) => [op, inputs])).toEqual([
    ['Constant', []],
    ['com.microsoft::FusedX', ['x', 'constant']],
    ['Relu', ['y']],
  ]);
});

test('what is made of stored tensors alone is stored too, and worked out when it is read', async () => {
  const { build, x } = started(['N', 2, 5, 5]);
  const values = Float32Array.from({ length: 4 * 2 * 3 * 3 }, (_, i) => (i % 7) - 3);
  const kernel = build.constant(float32Tensor('w', [4, 2, 3, 3], values, ORIGIN));
  const mean = build.add('ReduceMean', [kernel, build.numbers('int64', [1, 2, 3])], { keepdims: 1 });
  const y = build.add('Conv', [x, build.add('Sub', [kernel, mean])], {}, 'conv');
  const layers = build.finish([y]);
  expect(layers.map(({ op }) => op)).toEqual(['Conv']);
  const standardised = new Float32Array((await tensorBytes(layers[0]!.weights.kernel!)).slice().buffer);
  const first = values.subarray(0, 18).reduce((a, b) => a + b, 0) / 18;
  expect(standardised[5]).toBeCloseTo(values[5]! - first, 6);
});

test('a long chain of steps is counted once for each step when it is read', async () => {
  const { build } = started();
  let value = build.constant(weight('w', [2 ** 14]));
  for (let i = 0; i < 200; i++) value = build.add('Add', [value, build.numbers('float32', 1)]);
  const [made] = build.finish([value]);
  expect(new Float32Array((await tensorBytes(made!.weights.value!)).slice().buffer)[5]).toBe(200);
});

test('a chain of doublings of a stored tensor stays in the graph from where it would be work without end', () => {
  const { build } = started();
  let value = build.constant(weight('w', [1024]));
  for (let i = 0; i < 200; i++) value = build.add('Add', [value, value]);
  expect(build.finish([value]).length).toBeGreaterThan(100);
});

test('narrow codes of a weight stay codes', () => {
  const { build } = started();
  const codes = build.numbers('int8', new Array<number>(2048).fill(3));
  const y = build.add('DequantizeLinear', [codes, build.constant(weight('scale', []))]);
  expect(build.finish([y]).map(({ op }) => op)).toEqual(['Constant', 'Constant', 'DequantizeLinear']);
});

test('a net of more operators, operands or outputs than any net has is refused while it is built', () => {
  const many = (count: number) => Array.from({ length: count }, (_, i) => `y${i}`);
  const parts = started([20_000]);
  expect(() => parts.build.node('Split', [parts.x], { axis: 0 }, { name: 's', outputs: many(20_000) })).toThrow(/"s".*20000 outputs/);
  const sum = started([1]);
  expect(() => sum.build.add('Sum', new Array(300_000).fill(sum.x))).toThrow(/operands, which no net has/);
});

test('constants made of one another twice at each step are worked out once each, and thousands deep', async () => {
  const { build, x } = started([1]);
  const seed = build.constant(weight('seed', [1]));
  let doubled: Value = seed;
  for (let i = 0; i < 14; i++) doubled = build.add('Concat', [build.add('Neg', [doubled]), build.add('Abs', [doubled])], { axis: 0 });
  let deep: Value = seed;
  for (let i = 0; i < 5000; i++) deep = build.add('Neg', [deep]);
  const layers = build.finish([build.add('Mul', [x, doubled]), build.add('Add', [x, deep])]);
  const made = layers.flatMap(({ weights }) => Object.values(weights));
  expect(await Promise.all(made.map(async (tensor) => (await tensorBytes(tensor)).byteLength))).toEqual([4 * 2 ** 14, 4]);
});
