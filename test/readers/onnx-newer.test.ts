/** What opsets from 18 on say: the file as it is in ONNX Runtime, the reference evaluator, and the file written from the map alone give the same. */
import { describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { ATTRIBUTE, ATTRIBUTE_TYPE, MODEL, NODE, TENSOR } from '../../src/containers/onnx-schema.js';
import { MessageBuilder } from '../../src/containers/protobuf-writer.js';
import { convert } from '../../src/convert.js';
import type { LayerMap } from '../../src/model/layer-map.js';
import { numbersTensor } from '../../src/model/numbers.js';
import { storedDType } from '../../src/model/packing.js';
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
  'linear attention in two steps, two heads of queries for one of keys, whose state decays and is corrected': {
    graph: {
      nodes: [
        node('LinearAttention', ['x', 'k', 'v', '', 'g', 'b'], ['y'], {
          q_num_heads: intAttribute(2),
          kv_num_heads: intAttribute(1),
          scale: { type: 'float', value: 1 },
        }),
      ],
      tensors: [
        float32Tensor('k', [1, 2, 2], [1, 2, 0.5, -1], ORIGIN),
        float32Tensor('v', [1, 2, 1], [3, 5], ORIGIN),
        float32Tensor('g', [1, 2, 1], [7, Math.log(0.5)], ORIGIN),
        float32Tensor('b', [1, 2, 1], [0.5, 2], ORIGIN),
      ],
      inputs: [['x', [1, 2, 4]]],
    },
    opset: 27,
    // S1 = (1, 2) 1.5 = (1.5, 3); kept by half (0.75, 1.5); recalled 0.375 - 1.5 = -1.125; v = 2 (5 + 1.125) = 12.25; S2 = (6.875, -10.75).
    values: [1, 0, 0, 1, 2, 1, -1, 0],
    expected: [1.5, 3, 3, -6.875],
  },
  'linear attention that only adds up, for one head of a size that is not said to be scaled': {
    graph: {
      nodes: [
        node('LinearAttention', ['x', 'k', 'v', 's'], ['y'], {
          q_num_heads: intAttribute(1),
          kv_num_heads: intAttribute(1),
          update_rule: text('linear'),
        }),
      ],
      tensors: [
        float32Tensor('k', [1, 1, 4], [1, 2, 3, 4], ORIGIN),
        float32Tensor('v', [1, 1, 2], [1, -1], ORIGIN),
        float32Tensor('s', [1, 1, 4, 2], [1, 0, 0, 0, 0, 0, 0, 8], ORIGIN),
      ],
      inputs: [['x', [1, 1, 4]]],
    },
    opset: 27,
    values: [1, 1, 1, 1],
    expected: [5.5, -1],
  },
  'a convolution that looks back at the end of the last call': {
    graph: {
      nodes: [node('CausalConvWithState', ['x', 'w', 'b', 'past'], ['y'], { activation: text('silu') })],
      tensors: [
        float32Tensor('w', [2, 1, 3], [1, 2, 3, 0, 0, 1], ORIGIN),
        float32Tensor('b', [2], [0.5, 0], ORIGIN),
        float32Tensor('past', [1, 2, 2], [1, -1, 9, 9], ORIGIN),
      ],
      inputs: [['x', [1, 2, 2]]],
    },
    opset: 27,
    values: [1, 2, -3, 4],
    // 1 - 2 + 3 + 0.5 = 2.5 and -1 + 2 + 6 + 0.5 = 7.5; each times its sigmoid.
    expected: [2.5 / (1 + Math.exp(-2.5)), 7.5 / (1 + Math.exp(-7.5)), -3 / (1 + Math.exp(3)), 4 / (1 + Math.exp(-4))],
  },
  'a convolution that looks back at zeros': {
    graph: {
      nodes: [node('CausalConvWithState', ['x', 'w'], ['y'])],
      tensors: [float32Tensor('w', [1, 1, 3], [1, 2, 3], ORIGIN)],
      inputs: [['x', [1, 1, 4]]],
    },
    opset: 27,
    values: [1, 0, 0, -1],
    expected: [3, 2, 1, -3],
  },
  'a store of keys written around its end, from another place for each of the batch': {
    graph: {
      nodes: [node('TensorScatter', ['past', 'x', 'at'], ['y'], { mode: text('circular'), axis: intAttribute(1) })],
      tensors: [float32Tensor('past', [2, 3, 1], [1, 2, 3, 4, 5, 6], ORIGIN), int64('at', [2, 1])],
      inputs: [['x', [2, 2, 1]]],
    },
    opset: 24,
    values: [10, 20, 30, 40],
    expected: [20, 2, 10, 4, 30, 40],
  },
  'a running product': {
    graph: { nodes: [node('CumProd', ['x', 'axis'], ['y'])], tensors: [int64('axis', [1], [])], inputs: [['x', [2, 5]]] },
    opset: 26,
    values: [2, 0.5, -3, 1.5, 0.25, 1, -1, 4, 0, 7],
  },
  'a running product from the end that leaves each element out': {
    graph: {
      nodes: [node('CumProd', ['x', 'axis'], ['y'], { exclusive: intAttribute(1), reverse: intAttribute(1) })],
      tensors: [int64('axis', [-1], [])],
      inputs: [['x', [2, 5]]],
    },
    opset: 26,
    values: [2, 0.5, -3, 1.5, 0.25, 1, -1, 4, 0, 7],
  },
  'a running product over rows that leaves each out': {
    graph: { nodes: [node('CumProd', ['x', 'axis'], ['y'], { exclusive: intAttribute(1) })], tensors: [int64('axis', [0], [])], inputs: [['x', [2, 5]]] },
    opset: 26,
    values: [2, 0.5, -3, 1.5, 0.25, 1, -1, 4, 0, 7],
  },
  'a weight that is standardised by its own statistics, as a normalisation in training would': {
    graph: {
      nodes: [
        node('BatchNormalization', ['w', 'scale', 'bias', 'mean', 'variance'], ['n', 'running mean', 'running variance'], { training_mode: intAttribute(1) }),
        node('Add', ['x', 'n'], ['y']),
      ],
      tensors: [
        float32Tensor('w', [1, 2, 3], [1, 2, 3, 0, 0, 6], ORIGIN),
        float32Tensor('scale', [2], [2, 0.5], ORIGIN),
        float32Tensor('bias', [2], [0.25, -1], ORIGIN),
        float32Tensor('mean', [2], [0, 0], ORIGIN),
        float32Tensor('variance', [2], [1, 1], ORIGIN),
      ],
      inputs: [['x', [1, 2, 3]]],
    },
    opset: 17,
    values: [1, 2, 3, 4, 5, 6],
    expected: [-1.1994714, 2.25, 5.6994714, 2.6464468, 3.6464468, 5.7071063],
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
  },
  'the mean of a loss, weighted, with a target that is no class left out': {
    graph: {
      nodes: [node('SoftmaxCrossEntropyLoss', ['x', 'target', 'weights'], ['y', 'log'], { ignore_index: intAttribute(-7) }), node('Exp', ['log'], ['p'])],
      tensors: [int64('target', [2, -7, 0, 1]), float32Tensor('weights', [3], [1, 0.5, 4], ORIGIN)],
      inputs: [['x', [4, 3]]],
    },
    opset: 13,
    values: [1, 2, 0.5, 3, 1, 1, -1, 0, 2, 0.25, 4, -3],
  },
  'losses of each place': {
    graph: {
      nodes: [
        node('LogSoftmax', ['x'], ['l'], { axis: intAttribute(1) }),
        node('NegativeLogLikelihoodLoss', ['l', 'target'], ['y'], { reduction: text('none') }),
      ],
      tensors: [int64('target', [0, 1, 1, 0], [2, 2])],
      inputs: [['x', [2, 2, 2]]],
    },
    opset: 13,
    values: [1, 2, 0.5, 3, 1, 1, -1, 0],
  },
  'a determinant': {
    graph: { nodes: [node('Det', ['x'], ['y'])], inputs: [['x', [2, 3, 3]]] },
    opset: 22,
    values: [0, 2, 1, 4, 0.5, 3, -1, 1, 1, 1, 2, 3, 2, 4, 6, 0, 1, 5],
    declined: 'the operator Det has no translation',
  },
  'each row once, in the order of the first ones': {
    graph: {
      nodes: [
        node('Unique', ['x'], ['u', 'first', 'kind', 'count'], { axis: intAttribute(0), sorted: intAttribute(0) }),
        node('Cast', ['kind'], ['y'], { to: intAttribute(1) }),
      ],
      inputs: [['x', [4, 2]]],
    },
    opset: 11,
    values: [3, 1, -2, 5, 3, 1, -2, 4],
    declined: 'the operator Unique has no translation',
  },
  'a gate by the first input': {
    graph: { nodes: [node('SwiGLU', ['x', 'x'], ['y'], { alpha: { type: 'float', value: 0.5 } })], inputs: vector(3) },
    opset: 28,
    values: [1, -2, 3],
    expected: [1, -2, 3].map((x) => (x * x) / (1 + Math.exp(-0.5 * x))),
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
    const graph: Graph = { nodes: [node('Inverse', ['x'], ['y'], {}, { domain: 'com.microsoft' })], inputs: [['x', [2, 2]]], unshaped: ['y'], outputs: [] };
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
  const tensors = [
    waves('w', [3, 2, 3, 3], 0),
    waves('b', [3], 1),
    waves('g', [4], 2),
    waves('m', [2, 5, 4], 3),
    waves('n', [5, 3, 4], 6),
    waves('k', [5, 4], 4),
    waves('aw', [4, 12], 7),
    waves('ab', [12], 8),
    waves('b5', [5], 9),
    waves('cs', [5], 1.2),
    numbersTensor('mask', 'int32', [2, 3], [1, 1, 1, 1, 0, 1], ORIGIN),
    numbersTensor('counts', 'int32', [2], [3, 2], ORIGIN),
    waves('turns', [6, 1], 10),
    int64('first', [2]),
    int64('places', [0, 1, 2, 3, 5, 4], [2, 3]),
    int64('pads', [0, 1, 0, 0, 0, 2]),
    number('fill', 1.5),
    int64('picked', [0, 1, 1, 2], [2, 2]),
    numbersTensor('axis', 'int32', [], [1], ORIGIN),
    waves('grid', [1, 3, 2, 2], 11),
    code('c', 'int8', [1, -2, 3, 4, 5, -50, 50, 8, 9, 10, -11, 12, 13, 14, 15, 16, -17, 18, 19, 20], [4, 5]),
    code('cz', 'int8', [0, 0, 0, 0, 0], [5]),
  ];
  const cases: readonly (readonly [string, OnnxNode, readonly number[]])[] = [
    [
      'a convolution and a bound',
      node('FusedConv', ['x', 'w', 'b'], ['y'], { activation: text('Clip'), activation_params: floats(-0.5, 0.7) }, microsoft),
      picture,
    ],
    ['a convolution, a sum and an activation', node('FusedConv', ['x', 'w', 'b', 'w2'], ['y'], { activation: text('Relu') }, microsoft), picture],
    ['a product with turned matrices', node('FusedMatMul', ['x', 'm'], ['y'], { transB: intAttribute(1), alpha: float(0.5) }, microsoft), matrix],
    [
      'a product whose batches were turned',
      node('FusedMatMul', ['x', 'n'], ['y'], { transB: intAttribute(1), transBatchA: intAttribute(1), transBatchB: intAttribute(1) }, microsoft),
      matrix,
    ],
    ['attention to what a mask leaves', node('Attention', ['x', 'aw', 'ab', 'mask'], ['y'], { num_heads: intAttribute(2) }, microsoft), matrix],
    ['attention to as many as are counted', node('Attention', ['x', 'aw', 'ab', 'counts'], ['y'], { num_heads: intAttribute(2), scale: float(0.4) }, microsoft), matrix], // biome-ignore format: one case, one line
    ['attention to what lies before', node('Attention', ['x', 'aw', 'ab'], ['y'], { num_heads: intAttribute(2), unidirectional: intAttribute(1) }, microsoft), matrix], // biome-ignore format: one case, one line
    ['attention of queries and keys', node('MultiHeadAttention', ['x', 'x', 'x', 'ab', 'mask'], ['y'], { num_heads: intAttribute(2) }, microsoft), matrix],
    ['a product in codes that are chosen when it runs', node('DynamicQuantizeMatMul', ['x', 'c', 'cs', 'cz', 'b5'], ['y'], {}, microsoft), matrix],
    ['a bend of sums', node('BiasGelu', ['x', 'g'], ['y'], {}, microsoft), matrix],
    ['a bend by a tanh', node('FastGelu', ['x', 'g'], ['y'], {}, microsoft), matrix],
    ['a sum that is normalised', node('SkipLayerNormalization', ['x', 'x', 'g', 'g', 'g'], ['y'], { epsilon: float(1e-5) }, microsoft), matrix],
    ['a sum that is divided by its root', node('SkipSimplifiedLayerNormalization', ['x', 'x', 'g'], ['y'], { epsilon: float(1e-5) }, microsoft), matrix],
    ['what is divided by its root', node('SimplifiedLayerNormalization', ['x', 'g'], ['y'], { epsilon: float(1e-5), axis: intAttribute(-1) }), matrix],
    ['features that places turn', node('RotaryEmbedding', ['x', 'first', 'turns', 'turns'], ['y'], { num_heads: intAttribute(2) }, microsoft), matrix],
    ['features that places turn, pair by pair', node('RotaryEmbedding', ['x', 'places', 'turns', 'turns'], ['y'], { num_heads: intAttribute(2), interleaved: intAttribute(1) }, microsoft), matrix], // biome-ignore format: one case, one line
    ['a triangle', node('Trilu', ['x'], ['y'], { upper: intAttribute(0) }, microsoft), matrix],
    ['margins', node('Pad', ['x', 'pads', 'fill'], ['y'], {}, microsoft), matrix],
    ['rows that are picked', node('GatherND', ['x', 'picked'], ['y'], {}, microsoft), matrix],
    ['an axis more', node('ExpandDims', ['x', 'axis'], ['y'], {}, microsoft), matrix],
    ['distances', node('CDist', ['x', 'k'], ['y'], { metric: text('euclidean') }, microsoft), [3, 4]],
    ['distances, squared', node('CDist', ['x', 'k'], ['y'], { metric: text('sqeuclidean') }, microsoft), [3, 4]],
    ['a product with a turned matrix', node('TransposeMatMul', ['x', 'm'], ['y'], { transB: intAttribute(1) }, microsoft), matrix],
    ['places of a grid', node('GridSample', ['x', 'grid'], ['y'], { mode: text('bilinear'), padding_mode: text('border'), align_corners: intAttribute(1) }, microsoft), picture], // biome-ignore format: one case, one line
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

  const bytes = (name: string, shape: readonly number[]) =>
    code(
      name,
      'uint8',
      Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => (37 * i + 11) % 256),
      shape,
    );
  const halves = (name: string, dtype: 'int8' | 'uint8', shape: readonly number[]) =>
    code(
      name,
      dtype,
      Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => ((5 * i) % 16) - (dtype === 'int8' ? 8 : 0)),
      shape,
    );
  const product = { K: intAttribute(20), N: intAttribute(3), block_size: intAttribute(16) };
  const rows = { gather_axis: intAttribute(0), quantize_axis: intAttribute(1), block_size: intAttribute(16) };
  const few: readonly (readonly [string, Graph])[] = [
    [
      'a product with codes of 4 bits, and a sum',
      {
        nodes: [node('MatMulNBits', ['x', 'q', 's', '', '', 'b'], ['y'], { ...product, bits: intAttribute(4), accuracy_level: intAttribute(1) }, microsoft)],
        tensors: [bytes('q', [3, 2, 8]), waves('s', [3, 2], 1), waves('b', [3], 2)],
      },
    ],
    [
      'a product with codes of 4 bits that have zeros of their own',
      {
        nodes: [node('MatMulNBits', ['x', 'q', 's', 'z'], ['y'], { ...product, bits: intAttribute(4) }, microsoft)],
        tensors: [bytes('q', [3, 2, 8]), waves('s', [6], 1), bytes('z', [3])],
      },
    ],
    [
      'a product with codes of 8 bits',
      {
        nodes: [node('MatMulNBits', ['x', 'q', 's'], ['y'], { ...product, bits: intAttribute(8) }, microsoft)],
        tensors: [bytes('q', [3, 2, 16]), waves('s', [6], 1)],
      },
    ],
    [
      'words and places together',
      {
        nodes: [
          node('Cast', ['x'], ['ids'], { to: intAttribute(6) }),
          node('EmbedLayerNormalization', ['ids', '', 'words', 'rows', '', 'g8', 'g8', 'ids'], ['e', 'counts'], { epsilon: float(1e-5) }, microsoft),
          node('Cast', ['counts'], ['many'], { to: intAttribute(1) }),
          node('Add', ['e', 'many'], ['y']),
        ],
        tensors: [waves('words', [5, 2], 1), waves('rows', [24, 2], 2), waves('g8', [2], 3)],
      },
    ],
    [
      'a product of codes',
      {
        nodes: [
          node('DynamicQuantizeLinear', ['x'], ['codes', 'scale', 'zero']),
          node('MatMulIntegerToFloat', ['codes', 'k8', 'scale', 'ks', 'zero', 'kz'], ['y'], {}, microsoft),
        ],
        tensors: [bytes('k8', [20, 3]), waves('ks', [1], 1), bytes('kz', [1])],
      },
    ],
    [
      'attention over codes',
      {
        nodes: [
          node('Reshape', ['x', 'rows'], ['r']),
          node('DynamicQuantizeLinear', ['r'], ['codes', 'scale', 'zero']),
          node('QAttention', ['codes', 'k12', 'b12', 'scale', 'ks', '', 'zero', 'kz'], ['y'], { num_heads: intAttribute(2) }, microsoft),
        ],
        tensors: [int64('rows', [2, 5, 4]), bytes('k12', [4, 12]), waves('b12', [12], 2), float32Tensor('ks', [], [0.02], ORIGIN), code('kz', 'uint8', [120])],
      },
    ],
    ...(['int8', 'uint8'] as const).map((dtype): readonly [string, Graph] => [
      `rows of a table of ${dtype === 'int8' ? '' : 'u'}int4`,
      {
        nodes: [
          node('Cast', ['x'], ['places'], { to: intAttribute(7) }),
          node('GatherBlockQuantized', ['q', 'places', 's', ...(dtype === 'int8' ? [] : ['z'])], ['y'], rows, microsoft),
        ],
        tensors: [waves('s', [4, 2], 1)],
        packed: [halves('q', dtype, [4, 32]), ...(dtype === 'int8' ? [] : [halves('z', dtype, [4, 2])])],
      },
    ]),
  ];
  it.each(few)('%s is what it computes', async (_, graph) => {
    const shape = [2, 20];
    const feed = { shape, data: Float32Array.from({ length: 40 }, (__, i) => i % 4) };
    const file = await onnxFile({ ...graph, inputs: [['x', shape]] }, { opset: 21 });
    const map = await (await openModel(memoryFileSet({ 'm.onnx': file }, 'm.onnx'))).map();
    expect(map.layers.filter(({ foreign }) => foreign)).toEqual([]);
    const [wanted] = (await runOnnx(file, [feed])).values();
    const [made] = (await runOnnx(await writtenAnew(map), [feed])).values();
    const [evaluated] = (await (await referenceSession(map)).run(new Map([['x', feed]]))).values();
    for (const one of [made!, evaluated!]) {
      expect(one.shape).toEqual(wanted!.shape);
      Array.from(one.data, Number).forEach((value, i) => {
        expect(value / 100).toBeCloseTo(wanted!.data[i]! / 100, 4);
      });
    }
  });

  it('codes of 16 bits of an older opset are what they are in opset 21, and are written there alone', async () => {
    const graph: Graph = {
      nodes: [node('QuantizeLinear', ['x', 's16', 'z16'], ['q'], {}, microsoft), node('DequantizeLinear', ['q', 's16', 'z16'], ['y'], {}, microsoft)],
      tensors: [number('s16', 0.01), numbersTensor('z16', 'uint16', [], [300], ORIGIN)],
      inputs: [['x', [4]]],
    };
    const feed = { shape: [4], data: Float32Array.of(-2.996, 0, 1.239, 9) };
    const file = await onnxFile(graph);
    const map = await (await openModel(memoryFileSet({ 'm.onnx': file }, 'm.onnx'))).map();
    const [wanted] = (await runOnnx(file, [feed])).values();
    const [evaluated] = (await (await referenceSession(map)).run(new Map([['x', feed]]))).values();
    expect([...(evaluated!.data as Float64Array)].map(Math.fround)).toEqual([...wanted!.data]);
    const options = { dtype: 'source', layout: 'source', metadata: async () => ({}) } as const;
    const anew = { ...map, layers: [...map.layers] };
    expect((await onnx.check(anew, { ...options, opset: 17 })).map(({ problem }) => problem)).toEqual([
      'QuantizeLinear of uint16 needs opset 21; choose --opset 21 or newer',
      'DequantizeLinear of uint16 needs opset 21; choose --opset 21 or newer',
    ]);
    expect(await onnx.check(anew, { ...options, opset: 21 })).toEqual([]);
    // Where no opset is asked for, the file has one with words for it.
    const [made] = (await runOnnx(await writtenAnew(map), [feed])).values();
    expect([...made!.data]).toEqual([...wanted!.data]);
  });

  it('what is kept as it came has its integers of 4 bits in the file that is written anew', async () => {
    const graph: Graph = {
      nodes: [node('Cast', ['x'], ['places'], { to: intAttribute(7) }), node('GatherBlockQuantized', ['q', 'places', 's'], ['y'], { ...rows, other: intAttribute(1) }, microsoft)], // biome-ignore format: one graph, two lines
      tensors: [waves('s', [4, 2], 1)],
      packed: [halves('q', 'int8', [4, 32])],
      inputs: [['x', [2]]],
    };
    const map = await (await openModel(memoryFileSet({ 'm.onnx': await onnxFile(graph, { opset: 21 }) }, 'm.onnx'))).map();
    expect(map.layers.filter(({ foreign }) => foreign)).toHaveLength(1);
    const written = await openModel(memoryFileSet({ 'm.onnx': await writtenAnew(map) }, 'm.onnx'));
    expect(storedDType(written.tensors.find(({ tensor: { name } }) => name === 'q')!.tensor)).toBe('int4');
  });
});

describe('what an older opset has no operator for', () => {
  const ones = (name: string) => float32Tensor(name, [4], [0.5, -1, 2, 1], ORIGIN);
  const cases: readonly (readonly [string, readonly OnnxNode[]])[] = [
    ['Mish', [node('Mish', ['x'], ['y'])]],
    ['HardSwish', [node('HardSwish', ['x'], ['y'])]],
    ['Gelu by a tanh', [node('Gelu', ['x'], ['y'], { approximate: text('tanh') })]],
    ['Gelu', [node('Gelu', ['x'], ['y'])]],
    ['LayerNormalization without a bias', [node('LayerNormalization', ['x', 'g'], ['y'], { axis: intAttribute(-1) })]],
    ['LayerNormalization over several axes', [node('LayerNormalization', ['x', 'g', 'b'], ['y'], { axis: intAttribute(1) })]],
    ['RMSNormalization', [node('RMSNormalization', ['x', 'g'], ['y'], { axis: intAttribute(-1) })]],
    ['a part of a shape', [node('Shape', ['x'], ['s'], { start: intAttribute(-2), end: intAttribute(3) }), node('Expand', ['x', 's'], ['y'])]],
    ['equal parts', [node('Split', ['x'], ['p', 'q'], { axis: intAttribute(1), num_outputs: intAttribute(2) }), node('Sub', ['p', 'q'], ['y'])]],
  ];
  it.each(cases)('%s is its steps in opset 13', async (_, nodes) => {
    const file = await onnxFile({ nodes, tensors: [ones('g'), ones('b')], inputs: [['x', ['n', 2, 4]]] }, { opset: 23 });
    const feed = { shape: [3, 2, 4], data: Float32Array.from({ length: 24 }, (__, i) => 3 * Math.sin(i)) };
    const map = await (await openModel(memoryFileSet({ 'm.onnx': file }, 'm.onnx'))).map();
    const [wanted] = (await (await referenceSession(map)).run(new Map([['x', feed]]))).values();
    const sink = memorySink();
    await convert(memoryFileSet({ 'm.onnx': file }, 'm.onnx'), sink, 'm.onnx', { to: 'onnx', opset: 13 });
    const [made] = (await runOnnx(sink.files.get('m.onnx')!, [feed])).values();
    expect(made!.shape).toEqual(wanted!.shape);
    made!.data.forEach((value, i) => {
      expect(value).toBeCloseTo(Number(wanted!.data[i]), 4);
    });
  });

  it('no sums of squares are made in float16', async () => {
    const file = await onnxFile({ nodes: [node('LayerNormalization', ['x', 'g'], ['y'])], tensors: [ones('g')], inputs: [['x', [2, 4]]] });
    const converted = convert(memoryFileSet({ 'm.onnx': file }, 'm.onnx'), memorySink(), 'm.onnx', { to: 'onnx', opset: 13, float16Compute: true });
    await expect(converted).rejects.toMatchObject({ message: expect.stringContaining('LayerNormalization needs opset 17') });
  });
});
