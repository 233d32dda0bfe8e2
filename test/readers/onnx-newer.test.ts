/** What opsets from 18 on say: the file as it is in ONNX Runtime, the reference evaluator, and the file written from the map alone give the same. */
import { describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { ATTRIBUTE, ATTRIBUTE_TYPE, MODEL, NODE, TENSOR } from '../../src/containers/onnx-schema.js';
import { MessageBuilder } from '../../src/containers/protobuf-writer.js';
import { convert } from '../../src/convert.js';
import type { LayerMap } from '../../src/model/layer-map.js';
import { numbersTensor } from '../../src/model/numbers.js';
import { float32Tensor } from '../../src/model/tensor.js';
import { openModel } from '../../src/readers/open.js';
import { referenceSession } from '../../src/verify/reference/session.js';
import { encodeNode } from '../../src/writers/onnx/encode.js';
import type { OnnxAttribute, OnnxNode } from '../../src/writers/onnx/graph.js';
import { intAttribute } from '../../src/writers/onnx/graph.js';
import { onnx } from '../../src/writers/onnx/index.js';
import { type Graph, graphOf, int64, node, ORIGIN, onnxFile } from '../onnx-graphs.js';
import { runOnnx } from '../run-onnx.js';
import { runTfjs } from '../run-tfjs.js';

const text = (value: string): OnnxAttribute => ({ type: 'string', value });
const number = (name: string, value: number) => float32Tensor(name, [], [value], ORIGIN);
const code = (name: string, dtype: 'int8' | 'uint8', values: readonly number[], shape: readonly number[] = []) =>
  numbersTensor(name, dtype, shape, values, ORIGIN);

/** Without its layers as they were read, nothing of the file can be copied. */
async function writtenAnew(map: LayerMap): Promise<Uint8Array> {
  const [anew, options] = [{ ...map, layers: [...map.layers] }, { dtype: 'source', layout: 'source', metadata: async () => ({}) } as const];
  expect(await onnx.check(anew, options)).toEqual([]);
  const sink = memorySink();
  await onnx.write(anew, sink, 'm.onnx', options);
  await sink.commit();
  return sink.files.get('m.onnx')!;
}

interface Case {
  readonly graph: Graph;
  readonly opset: number;
  readonly values: readonly number[];
  /** Where ONNX Runtime does not run it, or not as the specification has it. */
  readonly expected?: readonly number[];
  /** What TensorFlow.js has no form for. */
  readonly declined?: string;
}

const vector = (length: number): Graph['inputs'] => [['x', [length]]];

const CASES: Readonly<Record<string, Case>> = {
  'a Cast to an 8-bit float that does not saturate': {
    graph: {
      nodes: [node('Cast', ['x'], ['h'], { to: intAttribute(17), saturate: intAttribute(0) }), node('Cast', ['h'], ['y'], { to: intAttribute(1) })],
      inputs: vector(8),
    },
    opset: 19,
    values: [0.479, -7.3, 448, 470, -1e9, 0.001, 0.0019, 17],
    expected: [0.46875, -7.5, 448, Number.NaN, Number.NaN, 0.001953125, 0.001953125, 16],
    declined: 'a Cast to float8_e4m3fn',
  },
  'a Cast to an 8-bit float that saturates': {
    graph: { nodes: [node('Cast', ['x'], ['h'], { to: intAttribute(19) }), node('Cast', ['h'], ['y'], { to: intAttribute(1) })], inputs: vector(5) },
    opset: 19,
    values: [0.479, -7.3, 1e9, -1e9, 70],
    declined: 'a Cast to float8_e5m2',
  },
  'codes of 4 bits, which end at 7 and -8': {
    graph: {
      nodes: [node('QuantizeLinear', ['x', 's', 'z'], ['q']), node('DequantizeLinear', ['q', 's', 'z'], ['y'])],
      tensors: [number('s', 2)],
      packed: [code('z', 'int8', [1])],
      inputs: vector(6),
    },
    opset: 21,
    values: [0, 5, 14, 40, -18, -400],
    expected: [0, 4, 12, 12, -18, -18],
  },
  'codes of 4 bits without a sign, which end at 15': {
    graph: {
      nodes: [node('QuantizeLinear', ['x', 's', 'z'], ['q']), node('DequantizeLinear', ['q', 's', 'z'], ['y'])],
      tensors: [number('s', 2)],
      packed: [code('z', 'uint8', [1])],
      inputs: vector(4),
    },
    opset: 21,
    values: [0, 5, 40, -400],
    expected: [0, 4, 28, -2],
  },
  'a Resize by 1.4, which is a little less in float32': {
    graph: {
      nodes: [node('Resize', ['x', '', 'scales'], ['y'], { mode: text('linear') })],
      tensors: [float32Tensor('scales', [3], [1, 1, 1.4], ORIGIN)],
      inputs: [['x', [1, 1, 5]]],
    },
    opset: 19,
    values: [1, -2, 3, 5, 8],
  },
  'padding that goes on at the other end of what is left': {
    graph: { nodes: [node('Pad', ['x', 'pads'], ['y'], { mode: text('wrap') })], tensors: [int64('pads', [-1, 2])], inputs: vector(5) },
    opset: 19,
    values: [1, 2, 3, 4, 5],
    declined: 'padding with mode wrap',
  },
  'the largest of no elements': {
    graph: { nodes: [node('ReduceMax', ['x', 'axes'], ['y'])], tensors: [int64('axes', [1])], inputs: [['x', [2, 0]]] },
    opset: 20,
    values: [],
    declined: 'a maximum of no elements',
  },
};

describe('what newer opsets say', () => {
  it.each(Object.entries(CASES))('%s', async (_, { graph, opset, values, expected, declined }) => {
    const file = await onnxFile(graph, { opset });
    const open = () => memoryFileSet({ 'm.onnx': file }, 'm.onnx');
    const feed = { shape: graph.inputs![0]![1] as readonly number[], data: Float32Array.from(values) };
    const only = (made: ReadonlyMap<string, { readonly data: ArrayLike<number | bigint> }>) => Array.from([...made.values()][0]!.data, Number);
    const wanted = expected ?? only(await runOnnx(file, [feed]));
    const matches = (made: readonly number[]) => {
      expect(made).toHaveLength(wanted.length);
      made.forEach((value, i) => {
        if (Number.isFinite(wanted[i])) expect(value).toBeCloseTo(wanted[i]!, 4);
        else expect(value).toBe(wanted[i]);
      });
    };
    const map = await (await openModel(open())).map();
    expect(map.layers.filter(({ foreign }) => foreign)).toEqual([]);
    const session = await referenceSession(map);
    matches(only(await session.run(new Map([[map.inputs[0]!.name, feed]]))));
    matches(only(await runOnnx(await writtenAnew(map), [feed])));
    const sink = memorySink();
    const converted = convert(open(), sink, 'model.json', { to: 'tfjs-graph' });
    if (declined) await expect(converted).rejects.toMatchObject({ message: expect.stringContaining(declined) });
    else {
      await converted;
      const [made] = await runTfjs('tfjs-graph', sink.files, [feed]);
      matches([...made!.data]);
    }
  });
});

describe('what is not understood', () => {
  const open = async (graph: Graph, opset: number) => (await openModel(memoryFileSet({ 'm.onnx': await onnxFile(graph, { opset }) }, 'm.onnx'))).map();
  const branches = (op: string) => {
    const message = encodeNode(node('If', ['c'], ['y']));
    for (const [name, inner] of [
      ['then_branch', node(op, ['x'], ['t'])],
      ['else_branch', node('Neg', ['x'], ['t'])],
    ] as const) {
      const graph = graphOf({ nodes: [inner], outputs: ['t'] });
      message.message(
        NODE.attribute,
        new MessageBuilder().string(ATTRIBUTE.name, name).message(ATTRIBUTE.graph, graph).int(ATTRIBUTE.type, ATTRIBUTE_TYPE.graph),
      );
    }
    const nodes = [node('ReduceMax', ['x'], ['most'], { keepdims: intAttribute(0) }), node('Greater', ['most', 'zero'], ['c']), message];
    return { nodes, tensors: [number('zero', 0)], inputs: [['x', [2, 3]]] } satisfies Graph;
  };
  const check = (map: LayerMap, opset?: number) =>
    onnx.check({ ...map, layers: [...map.layers] }, { dtype: 'source', layout: 'source', metadata: async () => ({}), ...(opset ? { opset } : {}) });

  it('is written in another opset only where its words mean the same there, those of its branches included', async () => {
    expect(await check(await open(branches('Softmax'), 11))).toMatchObject([
      { problem: expect.stringContaining('If, which has Softmax inside of it, is kept') },
    ]);
    expect(await check(await open(branches('Sigmoid'), 11))).toEqual([]);
    expect(await check(await open(branches('Softmax'), 17), 21)).toEqual([]);
    expect(await check(await open(branches('Softmax'), 17), 13)).toMatchObject([{ problem: expect.stringContaining('choose --opset 17') }]);
  });

  it('may be text: it goes along, and so does what reads it', async () => {
    const words = (name: string, ...texts: string[]) => {
      const message = new MessageBuilder().int(TENSOR.dims, texts.length).int(TENSOR.dataType, 8).string(TENSOR.name, name);
      for (const one of texts) message.string(6, one);
      return message;
    };
    const graph: Graph = {
      nodes: [node('Equal', ['a', 'b'], ['same']), node('Cast', ['same'], ['ones'], { to: intAttribute(1) }), node('Mul', ['x', 'ones'], ['y'])],
      more: [words('a', 'cat', 'dog', 'owl'), words('b', 'cat', 'cow', 'owl')],
      inputs: vector(3),
    };
    const map = await open(graph, 19);
    expect(map.layers.map(({ op }) => op)).toEqual(['ai.onnx::Constant', 'ai.onnx::Constant', 'ai.onnx::Equal', 'Cast', 'Mul']);
    const made = await runOnnx(await writtenAnew(map), [{ shape: [3], data: Float32Array.of(5, 6, 7) }]);
    expect([...[...made.values()][0]!.data]).toEqual([5, 0, 7]);
    // Other targets say why not.
    const declined = convert(memoryFileSet({ 'm.onnx': await onnxFile(graph, { opset: 19 }) }, 'm.onnx'), memorySink(), 'model.json', { to: 'tfjs-graph' });
    await expect(declined).rejects.toMatchObject({ message: expect.stringContaining('ai.onnx::Equal, which is kept as it came (what flows in holds text') });
  });

  it('leaves an output without a shape where the file says none', async () => {
    const graph: Graph = { nodes: [node('Det', ['x'], ['y'])], inputs: [['x', [2, 2]]], unshaped: ['y'], outputs: [] };
    const map = await open(graph, 17);
    expect(map.outputs).toMatchObject([{ name: 'y', shape: [], isUnshaped: true }]);
    const made = await runOnnx(await writtenAnew(map), [{ shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) }]);
    expect(Number([...made.values()][0]!.data[0])).toBeCloseTo(-2, 5);
  });

  it('is refused where it is a second graph', async () => {
    const twice = new MessageBuilder().raw(await onnxFile(branches('Relu'))).message(MODEL.graph, graphOf(branches('Neg')));
    await expect(openModel(memoryFileSet({ 'm.onnx': twice.toBytes() }, 'm.onnx'))).rejects.toMatchObject({ kind: 'malformed' });
  });
});

describe('what ONNX Runtime took together', () => {
  const waves = (name: string, shape: readonly number[], from: number) =>
    float32Tensor(
      name,
      shape,
      Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(1.7 * i + from)),
      ORIGIN,
    );
  const [microsoft, float] = [{ domain: 'com.microsoft' }, (value: number): OnnxAttribute => ({ type: 'float', value })];
  const floats = (...values: number[]): OnnxAttribute => ({ type: 'floats', value: values });
  const [picture, matrix] = [
    [1, 2, 4, 4],
    [2, 3, 4],
  ] as const;
  const tensors = [waves('w', [3, 2, 3, 3], 0), waves('b', [3], 1), waves('g', [4], 2), waves('m', [2, 5, 4], 3), waves('k', [5, 4], 4)];
  const cases: readonly (readonly [string, OnnxNode, readonly number[]])[] = [
    [
      'a convolution and a bound',
      node('FusedConv', ['x', 'w', 'b'], ['y'], { activation: text('Clip'), activation_params: floats(-0.5, 0.7) }, microsoft),
      picture,
    ],
    ['a convolution, a sum and an activation', node('FusedConv', ['x', 'w', 'b', 'w2'], ['y'], { activation: text('Relu') }, microsoft), picture],
    ['a product with turned matrices', node('FusedMatMul', ['x', 'm'], ['y'], { transB: intAttribute(1), alpha: float(0.5) }, microsoft), matrix],
    ['a sum that is normalised', node('SkipLayerNormalization', ['x', 'x', 'g', 'g', 'g'], ['y'], { epsilon: float(1e-5) }, microsoft), matrix],
    ['a sum that is divided by its root', node('SkipSimplifiedLayerNormalization', ['x', 'x', 'g'], ['y'], { epsilon: float(1e-5) }, microsoft), matrix],
    ['what is divided by its root', node('SimplifiedLayerNormalization', ['x', 'g'], ['y'], { epsilon: float(1e-5), axis: intAttribute(-1) }), matrix],
    ['a dense layer and an activation', node('FusedGemm', ['x', 'k'], ['y'], { activation: text('LeakyRelu'), activation_alpha: float(0.2), transB: intAttribute(1) }, microsoft), [3, 4]], // biome-ignore format: one case, one line
  ];
  it.each(cases)('%s is what it computes', async (_, one, shape) => {
    const graph: Graph = { nodes: [one], tensors: [...tensors, waves('w2', [1, 3, 2, 2], 5)], inputs: [['x', shape]] };
    const feed = { shape, data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (__, i) => Math.cos(i)) };
    const file = await onnxFile(graph);
    const map = await (await openModel(memoryFileSet({ 'm.onnx': file }, 'm.onnx'))).map();
    expect(map.layers.filter(({ foreign }) => foreign)).toEqual([]);
    const [wanted] = (await runOnnx(file, [feed])).values();
    const [made] = (await runOnnx(await writtenAnew(map), [feed])).values();
    expect(made!.shape).toEqual(wanted!.shape);
    made!.data.forEach((value, i) => {
      expect(value).toBeCloseTo(wanted!.data[i]!, 4);
    });
  });
});
