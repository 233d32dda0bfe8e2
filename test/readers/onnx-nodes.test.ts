/** ONNX graphs made here, one feature each: what the layer map says of them, and that it computes what they mean. */
import { describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { ATTRIBUTE, ATTRIBUTE_TYPE, FUNCTION, GRAPH, MODEL, NODE, TENSOR } from '../../src/containers/onnx-schema.js';
import { MessageBuilder, writePieces } from '../../src/containers/protobuf-writer.js';
import { numbersTensor } from '../../src/model/numbers.js';
import { makeLayer } from '../../src/model/ops/index.js';
import { float32Tensor } from '../../src/model/tensor.js';
import { openModel } from '../../src/readers/open.js';
import { referenceSession } from '../../src/verify/reference/session.js';
import { encodeNode } from '../../src/writers/onnx/encode.js';
import { intAttribute, intsAttribute, type OnnxAttribute } from '../../src/writers/onnx/graph.js';
import { onnx } from '../../src/writers/onnx/index.js';
import { type Graph, graphOf, int64, node, ORIGIN, onnxFile, withGraphs } from '../onnx-graphs.js';
import { runOnnx } from '../run-onnx.js';
import { joined } from '../tf-graphs.js';

async function read(graph: Graph, { inference = false, ...how }: { opset?: number; functions?: MessageBuilder[]; inference?: boolean } = {}) {
  return openModel(memoryFileSet({ 'm.onnx': await onnxFile(graph, how) }, 'm.onnx'), { inference });
}

const mapOf = async (...given: Parameters<typeof read>) => (await read(...given)).map();

async function run(map: Awaited<ReturnType<typeof mapOf>>, shape: readonly number[], values: readonly number[]): Promise<number[]> {
  const session = await referenceSession(map);
  const made = await session.run(new Map(map.inputs.map(({ name }) => [name, { shape, data: Float32Array.from(values) }])));
  return Array.from([...made.values()][0]!.data, Number);
}

/** Written from the map alone: without its layers as they were read, nothing of the file can be copied. */
async function writtenAnew(map: Awaited<ReturnType<typeof mapOf>>): Promise<Uint8Array> {
  const [anew, options] = [{ ...map, layers: [...map.layers] }, { dtype: 'source', layout: 'source', metadata: async () => ({}) } as const];
  expect(await onnx.check(anew, options)).toEqual([]);
  const sink = memorySink();
  await onnx.write(anew, sink, 'm.onnx', options);
  await sink.commit();
  return sink.files.get('m.onnx')!;
}

const X = [['x', ['N', 4]]] as const;

describe('branches, functions and nodes that are not understood', () => {
  const branches = {
    then_branch: { nodes: [node('Relu', ['x'], ['t'])], outputs: ['t'] },
    else_branch: { nodes: [node('Neg', ['x'], ['e'])], outputs: ['e'] },
  };

  it('an If whose condition is a constant is its branch', async () => {
    const condition = numbersTensor('c', 'bool', [], [0], ORIGIN);
    const map = await mapOf({ nodes: [withGraphs(node('If', ['c'], ['y']), branches)], tensors: [condition], inputs: X });
    expect(map.layers.map(({ op }) => op)).toEqual(['Neg']);
    expect(await run(map, [1, 4], [1, -2, 3, 0])).toEqual([-1, 2, -3, -0]);
  });

  it('an If whose condition flows in is kept as it came, with what its graphs read', async () => {
    const flag = node('Greater', ['s', 'zero'], ['c']);
    const sum = node('ReduceSum', ['x'], ['s'], { keepdims: intAttribute(0) });
    const zero = float32Tensor('zero', [], [0], ORIGIN);
    const map = await mapOf({ nodes: [sum, flag, withGraphs(node('If', ['c'], ['y']), branches)], tensors: [zero], inputs: X });
    const last = map.layers.at(-1)!;
    expect(last).toMatchObject({ op: 'ai.onnx::If', foreign: { captures: ['x'] } });
    // Written anew, it stands in the file as it came.
    const written = await writtenAnew(map);
    for (const [sign, y] of [
      [1, [1, 2, 3, 4]],
      [-1, [1, 2, 3, 4]],
    ] as const) {
      const made = await runOnnx(written, [{ shape: [1, 4], data: Float32Array.from([1, 2, 3, 4], (value) => value * sign) }]);
      expect([...[...made.values()][0]!.data]).toEqual(y);
    }
  });

  it('nodes may stand before what they, or graphs inside of them, read; ONNX Runtime takes that too', async () => {
    const inner = {
      then_branch: { nodes: [node('Add', ['late', 'late'], ['t'])], outputs: ['t'] },
      else_branch: { nodes: [node('Mul', ['late', 'x'], ['e'])], outputs: ['e'] },
    };
    const graph: Graph = {
      nodes: [
        node('Neg', ['h'], ['y']),
        node('Greater', ['s', 'zero'], ['c']),
        withGraphs(node('If', ['c'], ['h']), inner),
        node('ReduceSum', ['x'], ['s'], { keepdims: intAttribute(0) }),
        node('Relu', ['x'], ['late']),
      ],
      tensors: [float32Tensor('zero', [], [0], ORIGIN)],
      inputs: X,
    };
    const written = await writtenAnew(await mapOf(graph));
    for (const values of [
      [1, -2, 3, 4],
      [-1, -2, -3, 4],
    ]) {
      const feed = { shape: [1, 4], data: Float32Array.from(values) };
      const [made, wanted] = [await runOnnx(written, [feed]), await runOnnx(await onnxFile(graph), [feed])];
      expect([...made.values()][0]!.data).toEqual([...wanted.values()][0]!.data);
    }
  });

  it('nodes that read each other in a circle are malformed', async () => {
    const nodes = [node('Add', ['x', 'b'], ['a']), node('Relu', ['a'], ['b']), node('Neg', ['b'], ['y'])];
    await expect(mapOf({ nodes, inputs: X })).rejects.toMatchObject({ kind: 'malformed' });
  });

  it('a local function is the nodes that it stands for, with the attributes of the call', async () => {
    const reference = new MessageBuilder().string(ATTRIBUTE.name, 'alpha').string(ATTRIBUTE.reference, 'slope').int(ATTRIBUTE.type, ATTRIBUTE_TYPE.float);
    const leaky = encodeNode(node('LeakyRelu', ['a'], ['b'])).message(NODE.attribute, reference);
    const body = new MessageBuilder()
      .string(FUNCTION.name, 'Act')
      .string(FUNCTION.domain, 'local')
      .string(FUNCTION.input, 'a')
      .string(FUNCTION.output, 'b')
      .message(FUNCTION.node, leaky);
    const call = (from: string, to: string, slope: number) =>
      node('Act', [from], [to], { slope: { type: 'float', value: slope } }, { domain: 'local', name: `act_${to}` });
    const map = await mapOf({ nodes: [call('x', 'h', 0.5), call('h', 'y', 0.25)], inputs: X }, { functions: [body] });
    expect(map.layers.map(({ op, attributes }) => [op, attributes.alpha])).toEqual([
      ['LeakyRelu', 0.5],
      ['LeakyRelu', 0.25],
    ]);
    expect(new Set(map.layers.map(({ name }) => name)).size).toBe(2);
    expect(await run(map, [1, 4], [-8, 8, -16, 0])).toEqual([-1, 8, -2, 0]);
  });

  it('functions that call each other without end are refused', async () => {
    const body = new MessageBuilder().string(FUNCTION.name, 'F').string(FUNCTION.domain, 'local').string(FUNCTION.input, 'a').string(FUNCTION.output, 'b');
    body.message(FUNCTION.node, encodeNode(node('F', ['a'], ['b'], {}, { domain: 'local' })));
    await expect(mapOf({ nodes: [node('F', ['x'], ['y'], {}, { domain: 'local' })], inputs: X }, { functions: [body] })).rejects.toMatchObject({
      kind: 'unsafe',
    });
  });

  it('a function that has the name of an operator is not taken for it, nor the operator for the function: runtimes differ', async () => {
    const body = new MessageBuilder().string(FUNCTION.name, 'Relu').string(FUNCTION.input, 'a').string(FUNCTION.output, 'b');
    body.message(FUNCTION.node, encodeNode(node('Neg', ['a'], ['b'])));
    const { layers } = await mapOf({ nodes: [node('Relu', ['x'], ['y'])], inputs: X }, { functions: [body] });
    expect(layers).toMatchObject([{ op: 'ai.onnx::Relu', foreign: { reason: expect.stringContaining('a function of this name') } }]);
  });

  it('an attribute that is given twice is not chosen from', async () => {
    const alpha = (value: number) =>
      new MessageBuilder().string(ATTRIBUTE.name, 'alpha').float(ATTRIBUTE.float, value).int(ATTRIBUTE.type, ATTRIBUTE_TYPE.float);
    const twice = encodeNode(node('LeakyRelu', ['x'], ['y']))
      .message(NODE.attribute, alpha(0.1))
      .message(NODE.attribute, alpha(0.3));
    const { layers } = await mapOf({ nodes: [twice], inputs: X });
    expect(layers).toMatchObject([{ op: 'ai.onnx::LeakyRelu', foreign: { reason: expect.stringContaining('given twice') } }]);
  });

  it('an attribute that is to be that of a function is malformed outside of one', async () => {
    const reference = new MessageBuilder().string(ATTRIBUTE.name, 'alpha').string(ATTRIBUTE.reference, 'slope').int(ATTRIBUTE.type, ATTRIBUTE_TYPE.float);
    const leaky = encodeNode(node('LeakyRelu', ['x'], ['y'])).message(NODE.attribute, reference);
    await expect(mapOf({ nodes: [leaky], inputs: X })).rejects.toMatchObject({ kind: 'malformed', message: expect.stringContaining('it stands in none') });
  });
});

it.each([
  ['another size', [1, 5], 1],
  ['another number of axes', [1, 4, 1], 1],
  ['none that it knew', [], 0],
  ['its own', ['N', 4], 0],
])('a file that says of an output a shape with %s is told of where its nodes make another', async (_, shape, told) => {
  const { warnings } = await mapOf({ nodes: [node('Relu', ['x'], ['y'])], inputs: X, outputs: [['y', shape]] });
  expect(warnings.filter(({ code }) => code === 'declared-shape')).toHaveLength(told);
});

describe('layers in training mode', () => {
  const graph: Graph = {
    nodes: [node('BatchNormalization', ['x', 's', 'b', 'm', 'v'], ['y'], { training_mode: intAttribute(1) }, { name: 'norm' })],
    tensors: ['s', 'b', 'm', 'v'].map((name) => float32Tensor(name, [4], [1, 1, 1, 1], ORIGIN)),
    inputs: X,
  };

  it('are refused by name', async () => {
    await expect(mapOf(graph)).rejects.toMatchObject({
      kind: 'unsupported',
      problem: expect.stringContaining('BatchNormalization "norm" (training_mode = 1)'),
    });
  });

  it.each(['BatchNormalization', 'Dropout'])('are refused by name where an old %s says that it is not tested', async (op) => {
    const inputs = op === 'Dropout' ? ['x'] : ['x', 's', 'b', 'm', 'v'];
    const old = (attributes: Record<string, OnnxAttribute>) => ({
      ...graph,
      nodes: [node(op, inputs, ['h'], attributes, { name: 'norm' }), node('Neg', ['h'], ['y'])],
    });
    const untested = { is_test: intAttribute(0) };
    await expect(mapOf(old(untested), { opset: 6 })).rejects.toMatchObject({
      kind: 'unsupported',
      problem: expect.stringContaining(`${op} "norm" (is_test = 0)`),
    });
    const same = (await mapOf(old(untested), { opset: 6, inference: true })).layers.map((layer) => layer.op);
    const tested: readonly Record<string, OnnxAttribute>[] = [{ is_test: intAttribute(1) }, {}];
    for (const attributes of tested) expect((await mapOf(old(attributes), { opset: 6 })).layers.map((layer) => layer.op)).toEqual(same);
  });

  it('act as in inference where that is asked for, and the map says so', async () => {
    const map = await mapOf(graph, { inference: true });
    expect(map.warnings.map(({ code }) => code)).toEqual(['inference']);
  });
});

it('a value that two nodes make, or a node and an initializer, is an error that names it', async () => {
  const twice = { nodes: [node('Relu', ['x'], ['y']), node('Neg', ['x'], ['y'])], inputs: X };
  await expect(mapOf(twice)).rejects.toMatchObject({ kind: 'malformed', problem: expect.stringContaining('makes "y"') });
  const stored = { nodes: [node('Relu', ['x'], ['w']), node('Neg', ['w'], ['y'])], tensors: [float32Tensor('w', [4], [1, 2, 3, 4], ORIGIN)], inputs: X };
  await expect(mapOf(stored)).rejects.toMatchObject({ kind: 'malformed', problem: expect.stringContaining('makes "w"') });
});

it('a Dropout that drops nothing is nothing, in whichever mode', async () => {
  const tensors = [float32Tensor('ratio', [], [0], ORIGIN), numbersTensor('training', 'bool', [], [1], ORIGIN)];
  const nodes = [node('Dropout', ['x', 'ratio', 'training'], ['d']), node('Neg', ['d'], ['y'])];
  expect((await mapOf({ nodes, tensors, inputs: X })).layers.map(({ op }) => op)).toEqual(['Neg']);
  const half = [float32Tensor('ratio', [], [0.5], ORIGIN), tensors[1]!];
  await expect(mapOf({ nodes, tensors: half, inputs: X })).rejects.toMatchObject({ kind: 'unsupported' });
});

describe('what old opsets say otherwise', () => {
  it('Sum, Max, Min and Mean are of values of one shape, Clip and InstanceNormalization name what they consume', async () => {
    const consumed = { consumed_inputs: intsAttribute([0, 0, 0]) };
    const tensors = [float32Tensor('b', [1, 4], [4, 4, -4, -4], ORIGIN), float32Tensor('c', [1, 4], [1, -5, 1, -5], ORIGIN)];
    for (const [op, y] of [
      ['Sum', [7, 1, 0, -5]],
      ['Max', [4, 4, 3, 4]],
      ['Min', [1, -5, -4, -5]],
      ['Mean', [7 / 3, 1 / 3, 0, -5 / 3]],
    ] as const) {
      const map = await mapOf({ nodes: [node(op, ['x', 'b', 'c'], ['y'], consumed)], tensors, inputs: X }, { opset: 1 });
      (await run(map, [1, 4], [2, 2, 3, 4])).forEach((value, i) => {
        expect(value, op).toBeCloseTo(y[i]!, 6);
      });
    }
    const bounds = { min: { type: 'float', value: -1 }, max: { type: 'float', value: 2 } } as const;
    const clipped = await mapOf({ nodes: [node('Clip', ['x'], ['y'], { ...bounds, consumed_inputs: intsAttribute([0]) })], inputs: X }, { opset: 1 });
    expect(await run(clipped, [1, 4], [-3, 0, 1, 5])).toEqual([-1, 0, 1, 2]);
    const parameters = ['s', 'b'].map((name, i) => float32Tensor(name, [1], [i + 2], ORIGIN));
    const normalised = { nodes: [node('InstanceNormalization', ['x', 's', 'b'], ['y'], consumed)], tensors: parameters };
    const made = await run(await mapOf({ ...normalised, inputs: [['x', [1, 1, 1, 2]]] }, { opset: 1 }), [1, 1, 1, 2], [1000, 3000]);
    expect(made.map((value) => Math.round(value * 1000) / 1000)).toEqual([1, 5]);
  });

  it('Concat is along the second axis, and Selu has fewer digits, where nothing is said', async () => {
    const concat = await mapOf({ nodes: [node('Concat', ['x', 'x'], ['y'])], inputs: [['x', [2, 1]]] }, { opset: 1 });
    expect(await run(concat, [2, 1], [1, 2])).toEqual([1, 1, 2, 2]);
    const selu = async (opset: number) => run(await mapOf({ nodes: [node('Selu', ['x'], ['y'])], inputs: X }, { opset }), [1, 4], [100, 0, 0, 0]);
    expect((await selu(1))[0]).toBeCloseTo(105.07, 4);
    expect((await selu(6))[0]).toBeCloseTo(105.0701, 4);
  });

  it('Resize of opset 10 takes the next element where an axis becomes smaller, as the example of the specification', async () => {
    const graph = (scales: readonly number[]): Graph => ({
      nodes: [node('Resize', ['x', 's'], ['y'])],
      tensors: [float32Tensor('s', [4], scales, ORIGIN)],
      inputs: [['x', [1, 1, 2, 4]]],
    });
    const values = [1, 2, 3, 4, 5, 6, 7, 8];
    expect(await run(await mapOf(graph([1, 1, 0.6, 0.6]), { opset: 10 }), [1, 1, 2, 4], values)).toEqual([1, 3]);
    // Larger along one axis, smaller along the other; and what ONNX Runtime makes of the file.
    const mixed = graph([1, 1, 1.5, 0.75]);
    const [wanted] = [...(await runOnnx(await onnxFile(mixed, { opset: 10 }), [{ shape: [1, 1, 2, 4], data: Float32Array.from(values) }])).values()];
    const map = await mapOf(mixed, { opset: 10 });
    expect(await run(map, [1, 1, 2, 4], values)).toEqual([...wanted!.data]);
    const anew = await runOnnx(await writtenAnew(map), [{ shape: [1, 1, 2, 4], data: Float32Array.from(values) }]);
    expect([...[...anew.values()][0]!.data]).toEqual([...wanted!.data]);
  });

  it('GroupNormalization of opset 18 has a scale and a bias for each group', async () => {
    const tensors = [float32Tensor('s', [2], [1, 10], ORIGIN), float32Tensor('b', [2], [0, 100], ORIGIN)];
    const norm = node('GroupNormalization', ['x', 's', 'b'], ['y'], { num_groups: intAttribute(2), epsilon: { type: 'float', value: 0 } });
    const map = await mapOf({ nodes: [norm], tensors, inputs: [['x', [1, 4, 1]]] }, { opset: 18 });
    expect(await run(map, [1, 4, 1], [1, 3, 5, 9])).toEqual([-1, 1, 90, 110]);
  });

  it('the mask of a Dropout before opset 10 is of the dtype of what flows in', async () => {
    const map = await mapOf({ nodes: [node('Dropout', ['x'], ['d', 'm']), node('Add', ['d', 'm'], ['y'])], inputs: X }, { opset: 7 });
    expect(await run(map, [1, 4], [1, 2, 3, 4])).toEqual([2, 3, 4, 5]);
  });

  it('Add names the axis of its second operand', async () => {
    const bias = float32Tensor('b', [3], [10, 20, 30], ORIGIN);
    const add = node('Add', ['x', 'b'], ['y'], { broadcast: intAttribute(1), axis: intAttribute(1) });
    const map = await mapOf({ nodes: [add], tensors: [bias], inputs: [['x', [1, 3, 1, 2]]] }, { opset: 6 });
    expect(await run(map, [1, 3, 1, 2], [0, 1, 2, 3, 4, 5])).toEqual([10, 11, 22, 23, 34, 35]);
  });

  it('Softmax takes all axes from its own on together', async () => {
    const map = await mapOf({ nodes: [node('Softmax', ['x'], ['y'])], inputs: [['x', [1, 2, 2]]] }, { opset: 11 });
    expect(await run(map, [1, 2, 2], [0, 0, 0, 0])).toEqual([0.25, 0.25, 0.25, 0.25]);
  });

  it('Upsample is Resize, Unsqueeze has its axes as an attribute', async () => {
    const nodes = [
      node('Unsqueeze', ['x'], ['h'], { axes: intsAttribute([1]) }),
      node('Upsample', ['h', 's'], ['y'], { mode: { type: 'string', value: 'nearest' } }),
    ];
    const scales = float32Tensor('s', [3], [1, 1, 2], ORIGIN);
    const map = await mapOf({ nodes, tensors: [scales], inputs: [['x', [1, 2]]] }, { opset: 9 });
    expect(map.layers.map(({ op }) => op)).toEqual(['Unsqueeze', 'Resize']);
    expect(await run(map, [1, 2], [5, 7])).toEqual([5, 5, 7, 7]);
  });
});

it('Swish is its steps, in the newest opset too, and ONNX Runtime runs them', async () => {
  const alpha = { alpha: { type: 'float', value: 0.5 } } as const;
  const map = await mapOf({ nodes: [node('Swish', ['x'], ['y'], alpha)], inputs: X }, { opset: 26 });
  const wanted = [-2, 0, 1, 40].map((x) => x / (1 + Math.exp(-x / 2)));
  const [made] = [...(await runOnnx(await writtenAnew(map), [{ shape: [1, 4], data: Float32Array.of(-2, 0, 1, 40) }])).values()];
  for (const values of [await run(map, [1, 4], [-2, 0, 1, 40]), [...made!.data]])
    values.forEach((value, i) => {
      expect(value).toBeCloseTo(wanted[i]!, 5);
    });
  const [layer] = [makeLayer({ name: 's', op: 'Swish', inputs: ['x'], outputs: ['y'] })];
  for (const opset of [24, 26]) expect(await onnx.hasOperator!(layer!, map, { opset })).toBe(false);
});

it('Mod of floats has the sign of the divisor, and infinite ones are what Python makes of them', async () => {
  const divisors = float32Tensor('d', [1, 4], [3, -3, Number.POSITIVE_INFINITY, 0.5], ORIGIN);
  const map = await mapOf({ nodes: [node('Mod', ['x', 'd'], ['y'])], tensors: [divisors], inputs: X }, { opset: 28 });
  const wanted = [2, -2, Number.POSITIVE_INFINITY, 0];
  expect(await run(map, [1, 4], [-4, 4, -5, 2])).toEqual(wanted);
  const [made] = [...(await runOnnx(await writtenAnew(map), [{ shape: [1, 4], data: Float32Array.of(-4, 4, -5, 2) }])).values()];
  expect([...made!.data]).toEqual(wanted);
});

it('SpaceToDepth with its channels before its blocks is what runtimes of today can say', async () => {
  const shuffled = node('SpaceToDepth', ['x'], ['y'], { blocksize: intAttribute(2), mode: { type: 'string', value: 'CRD' } });
  const map = await mapOf({ nodes: [shuffled], inputs: [['x', ['N', 2, 2, 4]]] }, { opset: 28 });
  const values = Array.from({ length: 16 }, (_, i) => i);
  // Of each channel the four places of its blocks.
  const wanted = [0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15];
  expect(await run(map, [1, 2, 2, 4], values)).toEqual(wanted);
  const anew = await openModel(memoryFileSet({ 'm.onnx': await writtenAnew({ ...map, layers: [...map.layers] }) }, 'm.onnx'));
  expect(await run(await anew.map(), [1, 2, 2, 4], values)).toEqual(wanted);
  const [made] = [...(await runOnnx(await writtenAnew(map), [{ shape: [1, 2, 2, 4], data: Float32Array.from(values) }])).values()];
  expect([...made!.data]).toEqual(wanted);
});

it('an input that is no tensor of numbers is refused as what it is', async () => {
  const file = async (type: MessageBuilder) => {
    const port = new MessageBuilder().string(1, 'x').message(2, type);
    const graph = new MessageBuilder().message(GRAPH.node, encodeNode(node('Identity', ['x'], ['y']))).message(GRAPH.input, port);
    const model = new MessageBuilder()
      .int(MODEL.irVersion, 8)
      .message(MODEL.graph, graph.message(GRAPH.output, new MessageBuilder().string(1, 'y').message(2, type)))
      .message(MODEL.opsetImport, new MessageBuilder().string(1, '').int(2, 17));
    const sink = memorySink();
    const out = await sink.create('m.onnx');
    await writePieces(model.pieces, out);
    await out.close();
    await sink.commit();
    return openModel(memoryFileSet(Object.fromEntries(sink.files), 'm.onnx'));
  };
  const tensor = (code: number) => new MessageBuilder().int(1, code);
  for (const [type, words] of [
    [new MessageBuilder().message(4, new MessageBuilder().message(1, new MessageBuilder().message(1, tensor(1)))), 'a sequence'],
    [new MessageBuilder().message(1, tensor(8)), 'text'],
    [new MessageBuilder().message(1, tensor(99)), 'a tensor of data type 99'],
  ] as const) {
    await expect(file(type).then((model) => model.map())).rejects.toMatchObject({ kind: 'unsupported', problem: expect.stringContaining(`"x" is ${words}`) });
  }
});

describe('operators that were on trial in opset 1', () => {
  const float = (value: number): OnnxAttribute => ({ type: 'float', value });
  const floats = (value: readonly number[]): OnnxAttribute => ({ type: 'floats', value });
  const shape = [1, 2, 3, 3];
  const values = Array.from({ length: 18 }, (_, i) => (i - 7) / 3);
  for (const [op, attributes] of [
    ['ImageScaler', { scale: float(2), bias: floats([0.5, -1]) }],
    ['Affine', { alpha: float(2), beta: float(0.5) }],
    ['Crop', { border: intsAttribute([1, 0, 1, 2]) }],
    ['Crop', { border: intsAttribute([1, 0, 0, 0]), scale: intsAttribute([2, 1]) }],
    ['Scale', { scale: float(3) }],
    ['ScaledTanh', { alpha: float(2), beta: float(0.5) }],
    ['ParametricSoftplus', { alpha: float(2), beta: float(0.5) }],
    ['ThresholdedRelu', { alpha: float(0.5) }],
    ['MeanVarianceNormalization', { across_channels: intAttribute(1) }],
    ['MeanVarianceNormalization', {}],
  ] as const) {
    it(`${op} with ${Object.keys(attributes).join(', ') || 'nothing'} computes what ONNX Runtime does`, async () => {
      const graph: Graph = { nodes: [node(op, ['x'], ['y'], attributes)], inputs: [['x', shape]] };
      const map = await mapOf(graph, { opset: 1 });
      const [wanted] = [...(await runOnnx(await onnxFile(graph, { opset: 1 }), [{ shape, data: Float32Array.from(values) }])).values()];
      const made = await run(map, shape, values);
      expect(made).toHaveLength(wanted!.data.length);
      made.forEach((value, i) => {
        expect(value).toBeCloseTo(wanted!.data[i]!, 4);
      });
    });
  }

  it('one that says something else is kept as it came', async () => {
    for (const [op, attributes, reason] of [
      ['Crop', { border: intsAttribute([1, 1]) }, 'its border has not four sides'],
      ['Affine', { gamma: float(1) }, 'its gamma is not known'],
      ['ImageScaler', { bias: floats([1]) }, 'it has 1 biases for 2 channels'],
    ] as const) {
      const map = await mapOf({ nodes: [node(op, ['x'], ['y'], attributes)], inputs: [['x', shape]] }, { opset: 1 });
      expect(map.layers).toMatchObject([{ op: `ai.onnx::${op}`, foreign: { reason } }]);
    }
  });
});

it('attributes that name a dtype are read where they may be absent, too', async () => {
  const map = await mapOf({ nodes: [node('EyeLike', ['x'], ['y'], { dtype: intAttribute(7), k: intAttribute(1) })], inputs: [['x', [2, 3]]] });
  expect(map.layers.map(({ op, attributes }) => [op, attributes.dtype])).toEqual([['EyeLike', 'int64']]);
  expect(await run(map, [2, 3], [9, 9, 9, 9, 9, 9])).toEqual([0, 1, 0, 0, 0, 1]);
});

it('CastLike is a Cast to the dtype of its second input', async () => {
  const map = await mapOf({ nodes: [node('CastLike', ['x', 'i'], ['y'])], tensors: [int64('i', [1])], inputs: X });
  expect(map.layers.map(({ op, attributes }) => [op, attributes.to])).toEqual([['Cast', 'int64']]);
});

it('a BatchNormalization with statistics of each place is what it computes', async () => {
  const tensors = ['s', 'b', 'm', 'v'].map((name, i) => float32Tensor(name, [1, 1, 2], [i + 1, i + 3], ORIGIN));
  const norm = node('BatchNormalization', ['x', 's', 'b', 'm', 'v'], ['y'], { spatial: intAttribute(0), epsilon: { type: 'float', value: 0 } });
  const map = await mapOf({ nodes: [norm], tensors, inputs: [['x', [1, 1, 1, 2]]] }, { opset: 7 });
  const made = await run(map, [1, 1, 1, 2], [5, 11]);
  expect(made[0]).toBeCloseTo((5 - 3) / Math.sqrt(4) + 2, 6);
  expect(made[1]).toBeCloseTo(((11 - 5) / Math.sqrt(6)) * 3 + 4, 5);
});

describe('constants', () => {
  it('one that several nodes read is one layer, and its name is given once', async () => {
    const gather = (out: string, axis: number) => node('Gather', ['x', 'i'], [out], { axis: intAttribute(axis) });
    const map = await mapOf({
      nodes: [gather('a', 0), gather('b', 1), node('Concat', ['a', 'b'], ['y'], { axis: intAttribute(0) })],
      tensors: [int64('i', [0], [])],
      inputs: [['x', [4, 4]]],
    });
    expect(map.layers.map(({ op }) => op)).toEqual(['Constant', 'Gather', 'Gather', 'Concat']);
    expect(
      await run(
        map,
        [4, 4],
        Array.from({ length: 16 }, (_, i) => i),
      ),
    ).toEqual([0, 1, 2, 3, 0, 4, 8, 12]);
  });

  it('a Reshape of one is no layer beside its constant', async () => {
    const nodes = [node('Reshape', ['w', 's'], ['r']), node('Shape', ['r'], ['n']), node('Sub', ['r', 'x'], ['y']), node('Sub', ['x', 'r'], ['z'])];
    const tensors = [float32Tensor('w', [4], [1, 2, 3, 4], ORIGIN), int64('s', [1, 4])];
    const map = await mapOf({ nodes, tensors, inputs: [['x', [1, 4]]], outputs: ['y', 'z'] });
    const made = map.layers.flatMap(({ outputs }) => outputs);
    expect(new Set(made).size).toBe(made.length);
    expect(map.layers.map(({ op }) => op)).toEqual(['Constant', 'Sub', 'Sub']);
  });

  it('int4 numbers are read, two to a byte and the first in the lower half', async () => {
    const packed = new MessageBuilder().int(TENSOR.dims, 3).int(TENSOR.dataType, 22).string(TENSOR.name, 'q').bytes(TENSOR.rawData, Uint8Array.of(0xf1, 0x07));
    const graph = graphOf({ nodes: [node('DequantizeLinear', ['q', 's'], ['y'])], tensors: [float32Tensor('s', [], [0.5], ORIGIN)] }).message(
      GRAPH.initializer,
      packed,
    );
    const model = new MessageBuilder()
      .int(MODEL.irVersion, 10)
      .message(MODEL.graph, graph)
      .message(MODEL.opsetImport, new MessageBuilder().string(1, '').int(2, 21));
    const sink = memorySink();
    const file = await sink.create('m.onnx');
    await writePieces(model.pieces, file);
    await file.close();
    await sink.commit();
    const map = await (await openModel(memoryFileSet(Object.fromEntries(sink.files), 'm.onnx'))).map();
    expect(await run(map, [], [])).toEqual([0.5, -0.5, 3.5]);
  });

  it('a flatten that is worked out from the shape is one Reshape, and the batch stays free', async () => {
    const nodes = [
      node('Shape', ['x'], ['s']),
      node('Gather', ['s', 'zero'], ['n'], { axis: intAttribute(0) }),
      node('Unsqueeze', ['n', 'axes'], ['n1']),
      node('Concat', ['n1', 'rest'], ['wanted'], { axis: intAttribute(0) }),
      node('Reshape', ['x', 'wanted'], ['y']),
    ];
    const tensors = [int64('zero', [0], []), int64('axes', [0]), int64('rest', [-1])];
    const map = await mapOf({ nodes, tensors, inputs: [['x', ['N', 2, 3]]] });
    expect(map.layers.map(({ op, attributes }) => [op, attributes.shape])).toEqual([['Reshape', [0, -1]]]);
  });
});

describe('operators of ONNX Runtime', () => {
  const own = (op: string, inputs: readonly string[], attributes: Record<string, OnnxAttribute> = {}) =>
    node(op, inputs, ['q'], attributes, { domain: 'com.microsoft', name: 'own' });
  const scale = (name: string, value: number) => float32Tensor(name, [], [value], ORIGIN);
  const zero = (name: string, value: number) => numbersTensor(name, 'uint8', [], [value], ORIGIN);
  const x = ['x8', 'xs', 'xz'];
  const float = (value: number): OnnxAttribute => ({ type: 'float', value });
  const tensors = [
    ...[scale('xs', 0.02), zero('xz', 120), scale('ys', 0.03), zero('yz', 110), scale('ks', 0.01), zero('kz', 128)],
    numbersTensor(
      'k',
      'uint8',
      [5, 3],
      Array.from({ length: 15 }, (_, i) => (i * 37) % 256),
      ORIGIN,
    ),
    numbersTensor('b', 'int32', [3], [400, -300, 20], ORIGIN),
    numbersTensor(
      'kernel',
      'uint8',
      [3, 5, 1, 2],
      Array.from({ length: 30 }, (_, i) => 100 + ((i * 37) % 60)),
      ORIGIN,
    ),
    numbersTensor('chosen', 'bool', [4, 1], [1, 0, 0, 1], ORIGIN),
  ];
  it.each([
    ['QLinearAdd', [...x, ...x, 'ys', 'yz'], {}],
    ['QLinearMul', [...x, ...x, 'ys', 'yz'], {}],
    ['QLinearSigmoid', [...x, 'ys', 'yz'], {}],
    ['QLinearLeakyRelu', [...x, 'ys', 'yz'], { alpha: float(0.2) }],
    ['QLinearConcat', ['ys', 'yz', ...x, ...x], { axis: intAttribute(3) }],
    ['QLinearGlobalAveragePool', [...x, 'ys', 'yz'], { channels_last: intAttribute(0) }],
    ['QLinearAveragePool', [...x, 'ys', 'yz'], { kernel_shape: intsAttribute([2, 2]), pads: intsAttribute([1, 0, 0, 1]) }],
    ['QLinearAveragePool', [...x, 'ys', 'yz'], { kernel_shape: intsAttribute([2, 2]), strides: intsAttribute([1, 2]), channels_last: intAttribute(1) }],
    ['QLinearGlobalAveragePool', [...x, 'ys', 'yz'], { channels_last: intAttribute(1) }],
    ['QLinearConv', [...x, 'kernel', 'ks', 'kz', 'ys', 'yz', 'b'], { kernel_shape: intsAttribute([1, 2]), channels_last: intAttribute(1) }],
    ['NhwcMaxPool', ['x8'], { kernel_shape: intsAttribute([2, 2]) }],
    ['QLinearSoftmax', [...x, 'ys', 'yz'], { axis: intAttribute(2), opset: intAttribute(11) }],
    ['QLinearSoftmax', [...x, 'ys', 'yz'], { axis: intAttribute(2), opset: intAttribute(13) }],
    ['QLinearWhere', ['chosen', ...x, 'x8', 'ys', 'yz', 'ys', 'yz'], {}],
  ] as const)('%s is what it computes, to one step', async (op, inputs, attributes) => {
    const graph: Graph = {
      nodes: [node('QuantizeLinear', ['x', 'xs', 'xz'], ['x8']), own(op, inputs, attributes), node('DequantizeLinear', ['q', 'ys', 'yz'], ['y'])],
      tensors,
      inputs: [['x', [1, 2, 4, 5]]],
    };
    const values = Array.from({ length: 40 }, (_, i) => Math.sin(i * 1.7) * 2);
    const [wanted] = [...(await runOnnx(await onnxFile(graph), [{ shape: [1, 2, 4, 5], data: Float32Array.from(values) }])).values()];
    const map = await mapOf(graph);
    expect(map.layers.some(({ foreign }) => foreign)).toBe(false);
    const made = await run(map, [1, 2, 4, 5], values);
    const off = made.map((value, i) => Math.abs(value - wanted!.data[i]!));
    expect(made.length).toBe(wanted!.data.length);
    expect(Math.max(...off)).toBeLessThan(0.031);
    // Halves may be rounded the other way.
    expect(off.filter((one) => one > 1e-4).length).toBeLessThanOrEqual(made.length / 10);
  });

  it('QGemm is a product of what its codes stand for, with a bias of its scale', async () => {
    const graph: Graph = {
      nodes: [node('QuantizeLinear', ['x', 'xs', 'xz'], ['x8']), own('QGemm', [...x, 'k', 'ks', 'kz', 'b']), node('Identity', ['q'], ['y'])],
      tensors,
      inputs: [['x', [2, 5]]],
    };
    const values = Array.from({ length: 10 }, (_, i) => Math.cos(i));
    const [wanted] = [...(await runOnnx(await onnxFile(graph), [{ shape: [2, 5], data: Float32Array.from(values) }])).values()];
    const made = await run(await mapOf(graph), [2, 5], values);
    expect(Math.max(...made.map((value, i) => Math.abs(value - wanted!.data[i]!)))).toBeLessThan(1e-4);
  });

  it('with a setting that is not known they are kept as they came', async () => {
    const graph: Graph = { nodes: [own('Gelu', ['x'], { other: intAttribute(1) }), node('Neg', ['q'], ['y'])], inputs: X };
    expect((await mapOf(graph)).layers.map(({ op }) => op)).toEqual(['com.microsoft::Gelu', 'Neg']);
    const gelu: Graph = { nodes: [own('Gelu', ['x']), node('Neg', ['q'], ['y'])], inputs: X };
    expect((await mapOf(gelu)).layers.map(({ op }) => op)).toEqual(['Gelu', 'Neg']);
  });
});

describe('recurrent nodes', () => {
  const [steps, batch, inputs, hidden] = [4, 2, 3, 2];
  const wave = (name: string, shape: readonly number[], speed: number) =>
    float32Tensor(
      name,
      shape,
      Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i * speed)),
      ORIGIN,
    );
  const text = (value: string): OnnxAttribute => ({ type: 'string', value });

  it.each((['LSTM', 'GRU', 'RNN'] as const).flatMap((op) => ['forward', 'reverse', 'bidirectional'].map((direction) => [op, direction] as const)))(
    '%s, %s, takes its steps as ONNX Runtime does',
    async (op, direction) => {
      const gates = { LSTM: 4, GRU: 3, RNN: 1 }[op] * hidden;
      const count = direction === 'bidirectional' ? 2 : 1;
      const tensors = [
        wave('w', [count, gates, inputs], 1.3),
        wave('r', [count, gates, hidden], 0.7),
        wave('b', [count, 2 * gates], 0.9),
        wave('h', [count, batch, hidden], 2.1),
      ];
      const attributes = { hidden_size: intAttribute(hidden), direction: text(direction), ...(op === 'GRU' ? { linear_before_reset: intAttribute(1) } : {}) };
      const graph: Graph = {
        nodes: [
          node(op, ['x', 'w', 'r', 'b', '', 'h'], ['all', 'last'], attributes),
          node('Flatten', ['all'], ['a'], { axis: intAttribute(0) }),
          node('Flatten', ['last'], ['l'], { axis: intAttribute(0) }),
          node('Concat', ['a', 'l'], ['y'], { axis: intAttribute(1) }),
        ],
        tensors,
        inputs: [['x', [steps, batch, inputs]]],
      };
      const values = Float32Array.from({ length: steps * batch * inputs }, (_, i) => Math.cos(i));
      const [wanted] = [...(await runOnnx(await onnxFile(graph), [{ shape: [steps, batch, inputs], data: values }])).values()];
      const map = await mapOf(graph);
      expect(map.layers.some(({ foreign }) => foreign)).toBe(false);
      const made = await run(map, [steps, batch, inputs], [...values]);
      expect(made.length).toBe(wanted!.data.length);
      expect(Math.max(...made.map((value, i) => Math.abs(value - wanted!.data[i]!)))).toBeLessThan(1e-5);
    },
  );

  const floats = (...values: number[]): OnnxAttribute => ({ type: 'floats', value: values });
  it.each([
    ['GRU', 'a product before the reset', {}, {}],
    ['GRU', 'sequences that end early', { linear_before_reset: intAttribute(1) }, { lengths: [2, 4] }],
    ['LSTM', 'sequences that end early', { direction: text('reverse') }, { lengths: [4, 1] }],
    ['RNN', 'sequences that end early', {}, { lengths: [3, 2] }],
    ['LSTM', 'peepholes', { direction: text('bidirectional') }, { peepholes: true }],
    ['LSTM', 'a clip', { clip: { type: 'float', value: 0.2 } }, {}],
    ['LSTM', 'a forget gate that is the input gate turned round', { input_forget: intAttribute(1) }, {}],
    [
      'LSTM',
      'activations of its own',
      { activations: { type: 'strings', value: ['HardSigmoid', 'LeakyRelu', 'Softsign'] }, activation_alpha: floats(0.3, 0.1) },
      {},
    ],
    ['GRU', 'activations of its own', { activations: { type: 'strings', value: ['Sigmoid', 'Relu'] } }, {}],
  ] as const)('%s with %s is what ONNX Runtime makes of it', async (op, _, settings: Readonly<Record<string, OnnxAttribute>>, more) => {
    const gates = { LSTM: 4, GRU: 3, RNN: 1 }[op] * hidden;
    const count = settings.direction?.value === 'bidirectional' ? 2 : 1;
    const { lengths, peepholes } = more as { lengths?: readonly number[]; peepholes?: boolean };
    const tensors = [
      wave('w', [count, gates, inputs], 1.3),
      wave('r', [count, gates, hidden], 0.7),
      wave('b', [count, 2 * gates], 0.9),
      ...(lengths ? [numbersTensor('s', 'int32', [batch], lengths, ORIGIN)] : []),
      ...(peepholes ? [wave('p', [count, 3 * hidden], 1.9)] : []),
    ];
    const given = ['x', 'w', 'r', 'b', lengths ? 's' : '', '', '', peepholes ? 'p' : ''].slice(0, peepholes ? 8 : lengths ? 5 : 4);
    const graph: Graph = {
      nodes: [
        node(op, given, ['all', 'last'], { hidden_size: intAttribute(hidden), ...settings }),
        node('Flatten', ['all'], ['a'], { axis: intAttribute(0) }),
        node('Flatten', ['last'], ['l'], { axis: intAttribute(0) }),
        node('Concat', ['a', 'l'], ['y'], { axis: intAttribute(1) }),
      ],
      tensors,
      inputs: [['x', [steps, batch, inputs]]],
    };
    const values = Float32Array.from({ length: steps * batch * inputs }, (_, i) => Math.cos(i));
    const [wanted] = [...(await runOnnx(await onnxFile(graph), [{ shape: [steps, batch, inputs], data: values }])).values()];
    const map = await mapOf(graph);
    expect(map.layers.some(({ foreign }) => foreign)).toBe(false);
    const made = await run(map, [steps, batch, inputs], [...values]);
    expect(Math.max(...made.map((value, i) => Math.abs(value - wanted!.data[i]!)))).toBeLessThan(1e-5);
  });

  it('batches first are the same sequences, turned', async () => {
    const tensors = [wave('w', [1, 3 * hidden, inputs], 1.3), wave('r', [1, 3 * hidden, hidden], 0.7)];
    const net = (layout: number) => ({
      nodes: [
        ...(layout ? [] : [node('Transpose', ['x'], ['t'], { perm: intsAttribute([1, 0, 2]) })]),
        node('GRU', [layout ? 'x' : 't', 'w', 'r'], [layout ? 'y' : 'all'], { hidden_size: intAttribute(hidden), layout: intAttribute(layout) }),
        ...(layout ? [] : [node('Transpose', ['all'], ['y'], { perm: intsAttribute([2, 0, 1, 3]) })]),
      ],
      tensors,
      inputs: [['x', [batch, steps, inputs]]] as const,
    });
    const values = Array.from({ length: steps * batch * inputs }, (_, i) => Math.cos(i));
    const [one, other] = await Promise.all([1, 0].map(async (layout) => run(await mapOf(net(layout)), [batch, steps, inputs], values)));
    expect(one).toEqual(other);
    expect(one).toHaveLength(batch * steps * hidden);
  });

  it('one over a free number of steps is kept as it came', async () => {
    const tensors = [wave('w', [1, hidden, inputs], 1), wave('r', [1, hidden, hidden], 1)];
    const map = await mapOf({
      nodes: [node('RNN', ['x', 'w', 'r'], ['y'], { hidden_size: intAttribute(hidden) })],
      tensors,
      inputs: [['x', ['T', 1, inputs]]],
    });
    expect(map.layers.map(({ op }) => op)).toContain('ai.onnx::RNN');
  });
});

it('ports beyond all measure are refused, and so is an operator of as many outputs', async () => {
  const names = Array.from({ length: 10_001 }, (_, i) => `y${i}`);
  const ports = await read({ nodes: [node('Relu', ['x'], ['y'])], inputs: X, outputs: new Array(10_001).fill('y') });
  await expect(ports.map()).rejects.toMatchObject({ kind: 'unsafe', message: expect.stringContaining('10001 outputs') });
  const split = await read({ nodes: [node('Split', ['x'], names)], inputs: X, outputs: ['y0'] });
  await expect(split.map()).rejects.toMatchObject({ kind: 'unsafe', message: expect.stringContaining('10001 outputs') });
});

it('a sparse tensor that would fill the memory when it is written out is refused', async () => {
  const values = new MessageBuilder().int(1, 1).int(2, 1).string(8, 'w').bytes(9, new Uint8Array(4));
  const graph = new MessageBuilder().message(15, new MessageBuilder().message(1, values).int(3, 40_000).int(3, 40_000));
  const model = joined(new MessageBuilder().int(1, 8).message(7, graph).message(8, new MessageBuilder().int(2, 17)));
  await expect(openModel(memoryFileSet({ 'x.onnx': model }, 'x.onnx'))).rejects.toMatchObject({ kind: 'unsafe', message: expect.stringContaining('"w"') });
});

it('interruptions are let in between the nodes of a graph', async () => {
  const nodes = Array.from({ length: 8000 }, (_, i) => node('Relu', [i === 0 ? 'x' : `r${i - 1}`], [`r${i}`]));
  const model = await read({ nodes, inputs: X, outputs: ['r7999'] });
  let turns = 0;
  const timer = setInterval(() => turns++, 1);
  await model.map();
  clearInterval(timer);
  expect(turns).toBeGreaterThan(0);
});
