/** TensorFlow's own files: frozen graphs, SavedModels and TensorFlow Lite, as they are recorded in the corpus and as they are made here. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { MessageBuilder } from '../../src/containers/protobuf-writer.js';
import { tensorBytes } from '../../src/model/tensor.js';
import { nodeFileSet } from '../../src/node/index.js';
import { openModel } from '../../src/readers/open.js';
import { corpusCases, corpusTitle, hasCorpus, readNpyFile } from '../corpus.js';
import { byte, int, liteModel, table } from '../lite-models.js';
import { convertInMemory, corpusExcess, runOnnx } from '../run-onnx.js';
import { blockEnd, bundleIndex, bundleOf } from '../tf-bundles.js';
import { type GraphNode, graphDef, joined, placeholder, type SmallGraph } from '../tf-graphs.js';

const FORMATS = ['tfjs-graph', 'tf-frozen', 'tflite'];

describe.skipIf(!hasCorpus)(`TensorFlow graphs of the corpus${corpusTitle}`, () => {
  it.each(corpusCases(({ kind, format }) => kind === 'net' && FORMATS.includes(format)))('$case predicts what was recorded', async (entry) => {
    const files = await nodeFileSet(join(entry.folder, entry.model));
    try {
      const recordedShape = (await readNpyFile(join(entry.folder, entry.inputs[0]!.file))).shape;
      const { bytes } = await convertInMemory(files, { recordedShape });
      const { excess, shapes } = await corpusExcess(entry, bytes);
      expect(excess, shapes).toBeLessThanOrEqual(0);
    } finally {
      await files.close();
    }
  });
});

describe('frozen graphs', () => {
  it('that are told from outside whether they are trained are read as they infer, which is told', async () => {
    const type = { T: { type: 1 } };
    const graph: SmallGraph = {
      nodes: [
        placeholder('x', [1, 2]),
        { name: 'phase_train', op: 'Placeholder', attr: { dtype: { type: 10 } } },
        { name: 'sides', op: 'Switch', input: ['x', 'phase_train'], attr: type },
        { name: 'infer', op: 'Neg', input: ['sides'], attr: type },
        { name: 'train', op: 'RandomUniformLike', input: ['sides:1'], attr: type },
        { name: 'y', op: 'Merge', input: ['infer', 'train'], attr: { ...type, N: { i: 2 } } },
      ],
      weights: {},
      inputs: ['x'],
      outputs: ['y'],
    };
    const { bytes, result } = await convertInMemory(memoryFileSet({ 'model.pb': graphDef(graph) }, 'model.pb'));
    expect(result.map!.inputs.map(({ name }) => name)).toEqual(['x']);
    expect(result.map!.warnings).toMatchObject([{ code: 'assumed', message: expect.stringContaining('"phase_train"') }]);
    const [output] = (await runOnnx(bytes, [{ shape: [1, 2], data: Float32Array.of(1, -2) }])).values();
    expect([...output!.data]).toEqual([-1, 2]);
  });
});

describe('branches of TensorFlow 1', () => {
  it('hold constants that wait for the condition, of which those of the other branch are not taken', async () => {
    const bool = { T: { type: 10 } };
    const type = { T: { type: 1 } };
    const constant = (name: string, value: number) => {
      const tensor = new MessageBuilder()
        .int(1, 1)
        .message(2, new MessageBuilder())
        .bytes(4, new Uint8Array(Float32Array.of(value).buffer));
      const node = new MessageBuilder()
        .string(1, name)
        .string(2, 'Const')
        .string(3, `^${name === 'dropped' ? 'switch_t' : 'switch_f'}`);
      return node.message(5, new MessageBuilder().string(1, 'value').message(2, new MessageBuilder().message(8, tensor)));
    };
    const rest = graphDef({
      nodes: [
        placeholder('x', [1, 2]),
        { name: 'is_training', op: 'Placeholder', attr: { dtype: { type: 10 } } },
        { name: 'Switch', op: 'Switch', input: ['is_training', 'is_training'], attr: bool },
        { name: 'switch_t', op: 'Identity', input: ['Switch:1'], attr: bool },
        { name: 'switch_f', op: 'Identity', input: ['Switch'], attr: bool },
        { name: 'keep', op: 'Merge', input: ['kept', 'dropped'], attr: { ...type, N: { i: 2 } } },
        { name: 'y', op: 'Mul', input: ['x', 'keep'], attr: type },
      ],
      weights: {},
      inputs: ['x'],
      outputs: ['y'],
    });
    const constants = joined(new MessageBuilder().message(1, constant('kept', 3)).message(1, constant('dropped', 0.5)));
    const { bytes } = await convertInMemory(memoryFileSet({ 'm.pb': Uint8Array.from([...constants, ...rest]) }, 'm.pb'));
    const [output] = (await runOnnx(bytes, [{ shape: [1, 2], data: Float32Array.of(1, -2) }])).values();
    expect([...output!.data]).toEqual([3, -6]);
  });
});

describe('what graphs leave open', () => {
  const type = { T: { type: 1 } };
  const small = (nodes: readonly GraphNode[]): SmallGraph => ({
    nodes,
    weights: { zeros: { dtype: 'float32', shape: [1, 2], values: [3, 4] } },
    inputs: ['x'],
    outputs: ['y'],
  });
  const defaulted: GraphNode = { name: 'x', op: 'PlaceholderWithDefault', input: ['zeros'], attr: { dtype: { type: 1 }, shape: { shape: [-1, 2] } } };
  const read = async (nodes: readonly GraphNode[]) => (await openModel(memoryFileSet({ 'm.pb': graphDef(small(nodes)) }, 'm.pb'))).map();

  it('is fed where it has a value of its own and nothing else is fed, and is told where it is not fed', async () => {
    const alone = await read([defaulted, { name: 'y', op: 'Neg', input: ['x'], attr: type }]);
    expect(alone.inputs.map(({ name, shape }) => [name, shape[1]])).toEqual([['x', 2]]);
    const beside = await read([placeholder('picture', [1, 2]), defaulted, { name: 'y', op: 'AddV2', input: ['picture', 'x'], attr: type }]);
    expect(beside.inputs.map(({ name }) => name)).toEqual(['picture']);
    expect(beside.warnings).toMatchObject([{ code: 'assumed', layer: 'x' }]);
  });

  it('is as large as was recorded, where the graph does not say', async () => {
    const files = () => memoryFileSet({ 'm.pb': graphDef(small([placeholder('x', [3, -1]), { name: 'y', op: 'Neg', input: ['x'], attr: type }])) }, 'm.pb');
    const map = await (await openModel(files(), { recordedShape: ['N', 5] })).map();
    expect(map.inputs[0]!.shape).toEqual([3, 5]);
  });

  it('is what a net computes, and not what it keeps for a gradient', async () => {
    const batch = { name: 'kept', op: 'OptionalFromValue', input: ['x'], attr: {} };
    const taken = {
      args: ['v'],
      results: { y: 'negative:y:0', kept: 'kept:optional:0' },
      nodes: [
        { name: 'negative', op: 'Neg', input: ['v'], attr: type },
        { ...batch, input: ['v'] },
      ],
    };
    const graph: SmallGraph = {
      ...small([
        placeholder('x', [1, 2]),
        { name: 'call', op: 'PartitionedCall', input: ['x'], attr: { f: { func: 'taken' } } },
        { name: 'y', op: 'Identity', input: ['call'], attr: type },
      ]),
      functions: { taken },
    };
    const { bytes } = await convertInMemory(memoryFileSet({ 'm.pb': graphDef(graph) }, 'm.pb'));
    const [output] = (await runOnnx(bytes, [{ shape: [1, 2], data: Float32Array.of(1, -2) }])).values();
    expect([...output!.data]).toEqual([-1, 2]);
  });

  it('is refused where a variable is read after it was changed', async () => {
    const nodes: readonly GraphNode[] = [
      placeholder('x', [1, 2]),
      { name: 'v', op: 'VarHandleOp', attr: { dtype: { type: 1 }, shape: { shape: [2] }, shared_name: { s: 'v' } } },
      { name: 'count', op: 'AssignAddVariableOp', input: ['v', 'x'], attr: { dtype: { type: 1 } } },
      { name: 'read', op: 'ReadVariableOp', input: ['v', '^count'], attr: { dtype: { type: 1 } } },
      { name: 'y', op: 'AddV2', input: ['x', 'read'], attr: type },
    ];
    const bundle = { 'variables/variables.index': bundleIndex('v', [2], 8), 'variables/variables.data-00000-of-00001': new Uint8Array(8) };
    const model = await openModel(memoryFileSet({ 'saved_model.pb': savedModel(graphDef(small(nodes))), ...bundle }, null));
    await expect(model.map()).rejects.toThrow(/"read": ReadVariableOp: it reads a variable after/);
  });
});

describe('TensorFlow.js models of 2018', () => {
  const hollow: SmallGraph = {
    nodes: [
      placeholder('x', [1, 2]),
      { name: 'scaled', op: 'Mul', input: ['x', 'a'], attr: { T: { type: 1 } } },
      { name: 'y', op: 'AddV2', input: ['scaled', 'b'], attr: { T: { type: 1 } } },
    ],
    weights: { a: { dtype: 'float32', shape: [2], values: [] }, b: { dtype: 'float32', shape: [2], values: [] } },
    inputs: ['x'],
    outputs: ['y'],
  };
  const group = (name: string, paths: readonly string[]) => ({ paths, weights: [{ name, shape: [2], dtype: 'float32' }] });
  const floats = (...values: number[]) => new Uint8Array(Float32Array.from(values).buffer);
  const folder = {
    'tensorflowjs_model.pb': graphDef(hollow),
    // The second weight lies in two shards.
    'weights_manifest.json': new TextEncoder().encode(JSON.stringify([group('a', ['group1-shard1of1']), group('b', ['group2-shard1of2', 'group2-shard2of2'])])),
    'group1-shard1of1': floats(2, 3),
    'group2-shard1of2': floats(0.5, -1).subarray(0, 5),
    'group2-shard2of2': floats(0.5, -1).subarray(5),
  };

  it.each([null, 'tensorflowjs_model.pb'])('have their weights beside the graph (%s)', async (main) => {
    const { bytes } = await convertInMemory(memoryFileSet(folder, main));
    const [output] = (await runOnnx(bytes, [{ shape: [1, 2], data: Float32Array.of(1, 10) }])).values();
    expect([...output!.data]).toEqual([2.5, 29]);
    expect((await openModel(memoryFileSet(folder, main))).files).toContain('group2-shard2of2');
  });

  it('are refused without them', async () => {
    const alone = memoryFileSet({ 'tensorflowjs_model.pb': graphDef(hollow) }, 'tensorflowjs_model.pb');
    await expect(openModel(alone)).rejects.toThrow(/weights_manifest\.json is missing/);
  });
});

describe('SavedModels', () => {
  const graph: SmallGraph = {
    nodes: [
      placeholder('x', [-1, 3]),
      { name: 'v', op: 'VarHandleOp', attr: { dtype: { type: 1 }, shape: { shape: [3, 2] }, shared_name: { s: 'dense/kernel' } } },
      { name: 'read', op: 'ReadVariableOp', input: ['v'], attr: { dtype: { type: 1 } } },
      { name: 'y', op: 'MatMul', input: ['x', 'read'], attr: { T: { type: 1 }, transpose_a: { b: false }, transpose_b: { b: false } } },
    ],
    weights: {},
    inputs: ['x'],
    outputs: ['y'],
  };
  const kernel = Float32Array.of(1, 2, 3, 4, 5, 6);

  function files(change: (index: Uint8Array) => Uint8Array = (index) => index) {
    return memoryFileSet(
      {
        'saved_model.pb': savedModel(graphDef(graph)),
        'variables/variables.index': change(bundleIndex('dense/kernel', [3, 2], kernel.byteLength, new Uint8Array(kernel.buffer))),
        'variables/variables.data-00000-of-00001': new Uint8Array(kernel.buffer),
      },
      null,
    );
  }

  it('take their variables from the bundle, and their ports from the signature', async () => {
    const model = await openModel(files());
    expect(model.format).toBe('tensorflow');
    expect(await tensorBytes(model.tensors[0]!.tensor)).toEqual(new Uint8Array(kernel.buffer));
    const { bytes, result } = await convertInMemory(files());
    expect(result.map!.inputs.map(({ name }) => name)).toEqual(['pixels']);
    expect(result.map!.outputs.map(({ name }) => name)).toEqual(['scores']);
    const [output] = (await runOnnx(bytes, [{ shape: [1, 3], data: Float32Array.of(1, 10, 100) }])).values();
    expect([...output!.data]).toEqual([531, 642]);
  });

  it('of Keras 3 give each variable the values that the graph would restore it with, whatever its name', async () => {
    const handle = (name: string): GraphNode => ({ name, op: 'VarHandleOp', attr: { dtype: { type: 1 }, shape: { shape: [2] }, shared_name: { s: name } } });
    const keys = ['_operations/1/_kernel/.ATTRIBUTES/VARIABLE_VALUE', '_operations/2/_kernel/.ATTRIBUTES/VARIABLE_VALUE'];
    const restoring: SmallGraph = {
      nodes: [
        placeholder('x', [-1, 2]),
        ...['kernel', 'kernel_1'].map(handle),
        { name: 'prefix', op: 'Placeholder', attr: { dtype: { type: 7 } } },
        { name: 'restore', op: 'StatefulPartitionedCall', input: ['prefix', 'kernel', 'kernel_1'], attr: { f: { func: 'traced_restore' } } },
        { name: 'scaled', op: 'Mul', input: ['x', 'read'], attr: { T: { type: 1 } } },
        { name: 'read', op: 'ReadVariableOp', input: ['kernel'], attr: { dtype: { type: 1 } } },
        { name: 'read_1', op: 'ReadVariableOp', input: ['kernel_1'], attr: { dtype: { type: 1 } } },
        { name: 'y', op: 'AddV2', input: ['scaled', 'read_1'], attr: { T: { type: 1 } } },
      ],
      functions: {
        traced_restore: {
          args: ['file', 'first', 'second'],
          results: { done: 'file' },
          nodes: [
            { name: 'names', op: 'Const', attr: { dtype: { type: 7 }, value: { names: keys.toReversed() } } },
            { name: 'wholes', op: 'Const', attr: { dtype: { type: 7 }, value: { names: ['', ''] } } },
            { name: 'RestoreV2', op: 'RestoreV2', input: ['file', 'names:output:0', 'wholes:output:0'] },
            { name: 'Identity', op: 'Identity', input: ['RestoreV2:tensors:0'] },
            { name: 'Identity_1', op: 'Identity', input: ['RestoreV2:tensors:1'] },
            { name: 'assign', op: 'AssignVariableOp', input: ['first', 'Identity:output:0'] },
            { name: 'assign_1', op: 'AssignVariableOp', input: ['second', 'Identity_1:output:0'] },
          ],
        },
      },
      weights: {},
      inputs: ['x'],
      outputs: ['y'],
    };
    const values = [Float32Array.of(1, 2), Float32Array.of(30, 40)];
    const data = Uint8Array.from(values.flatMap((value) => [...new Uint8Array(value.buffer)]));
    const set = memoryFileSet(
      {
        'saved_model.pb': savedModel(graphDef(restoring)),
        'variables/variables.index': bundleOf(keys.map((name, i) => ({ name, shape: [2], offset: 8 * i, byteLength: 8 }))),
        'variables/variables.data-00000-of-00001': data,
      },
      null,
    );
    const { bytes } = await convertInMemory(set);
    const [output] = (await runOnnx(bytes, [{ shape: [1, 2], data: Float32Array.of(1, 10) }])).values();
    expect([...output!.data]).toEqual([31, 402]);
    await expect(openModel(set, { assume: { signature: 'train' } })).rejects.toThrow(/no signature "train"; the file has serving_default/);
  });

  it('are refused by name where the bundle is cut or lies about sizes', async () => {
    await expect(openModel(files((index) => index.subarray(0, -1)))).rejects.toThrow(/signature|truncated/);
    await expect(openModel(files(() => bundleIndex('dense/kernel', [3, 3], kernel.byteLength)))).rejects.toThrow(/shape \[3,3\]/);
    await expect(openModel(files(() => bundleIndex('dense/kernel', [3, 2], kernel.byteLength + 4)))).rejects.toThrow();
    await expect(openModel(files((index) => index.map((value, i) => (i === blockEnd(index) ? 1 : value))))).rejects.toThrow(/checksum/);
  });

  it('are refused where a byte of the table or of a variable is not what its checksum says', async () => {
    const damaged = (name: string, bytes: Uint8Array, at: number) =>
      openModel(files()).then(async () => {
        const all: Record<string, Uint8Array> = {
          'saved_model.pb': savedModel(graphDef(graph)),
          'variables/variables.index': bundleIndex('dense/kernel', [3, 2], kernel.byteLength, new Uint8Array(kernel.buffer)),
          'variables/variables.data-00000-of-00001': new Uint8Array(kernel.buffer),
        };
        all[name] = bytes.map((value, i) => (i === at ? value ^ 1 : value));
        return tensorBytes((await openModel(memoryFileSet(all, null))).tensors[0]!.tensor);
      });
    const index = bundleIndex('dense/kernel', [3, 2], kernel.byteLength, new Uint8Array(kernel.buffer));
    for (const at of [5, 12, 30]) await expect(damaged('variables/variables.index', index, at)).rejects.toThrow(/fails its checksum/);
    const values = new Uint8Array(kernel.buffer);
    for (let at = 0; at < values.length; at++) {
      await expect(damaged('variables/variables.data-00000-of-00001', values, at)).rejects.toThrow(/dense\/kernel.*checksum/);
    }
  });

  const PARTS = ['embedding/part_0', 'embedding/part_1'];
  /** Two rows and three of an embedding, put together by the graph, as a partitioned variable of TensorFlow 1 is. */
  const partitioned: SmallGraph = {
    nodes: [
      placeholder('x', [-1, 5]),
      ...PARTS.map((name, i): GraphNode => ({ name, op: 'VariableV2', attr: { dtype: { type: 1 }, shape: { shape: [2 + i, 2] } } })),
      { name: 'names', op: 'Const', attr: { dtype: { type: 7 }, value: { names: ['embedding', 'embedding'] } } },
      { name: 'slices', op: 'Const', attr: { dtype: { type: 7 }, value: { names: ['5 2 0,2:0,2', '5 2 2,3:-'] } } },
      { name: 'prefix', op: 'Placeholder', attr: { dtype: { type: 7 } } },
      { name: 'restore', op: 'RestoreV2', input: ['prefix', 'names', 'slices'] },
      ...PARTS.map((name, i): GraphNode => ({ name: `assign_${i}`, op: 'Assign', input: [name, `restore:${i}`] })),
      ...PARTS.map((name): GraphNode => ({ name: `${name}/read`, op: 'Identity', input: [name], attr: { T: { type: 1 } } })),
      { name: 'whole', op: 'ConcatV2', input: [...PARTS.map((name) => `${name}/read`), 'axis'], attr: { T: { type: 1 }, N: { i: 2 } } },
      { name: 'y', op: 'MatMul', input: ['x', 'whole'], attr: { T: { type: 1 }, transpose_a: { b: false }, transpose_b: { b: false } } },
    ],
    weights: { axis: { dtype: 'int32', shape: [], values: [0] } },
    inputs: ['x'],
    outputs: ['y'],
  };

  it('put partitioned variables together from the slices that the graph restores', async () => {
    const rows = Float32Array.from({ length: 10 }, (_, i) => i + 1);
    const bytes = new Uint8Array(rows.buffer);
    const slices = [
      [
        { start: 0, length: 2 },
        { start: 0, length: 2 },
      ],
      [
        { start: 2, length: 3 },
        { start: 0, length: 2 },
      ],
    ].map((slice, i) => ({
      slice,
      shape: [2 + i, 2],
      offset: 16 * i,
      byteLength: 16 + 8 * i,
    }));
    const variables = { whole: { name: 'embedding', shape: [5, 2], byteLength: 40 }, sliced: { name: 'embedding', shape: [5, 2], byteLength: 0, slices } };
    for (const variable of Object.values(variables)) {
      const set = memoryFileSet(
        {
          'saved_model.pb': savedModel(graphDef(partitioned)),
          'variables/variables.index': bundleOf([variable]),
          'variables/variables.data-00000-of-00001': bytes,
        },
        null,
      );
      const { bytes: onnx } = await convertInMemory(set);
      const [output] = (await runOnnx(onnx, [{ shape: [1, 5], data: Float32Array.of(1, 10, 100, 1000, 10_000) }])).values();
      expect([...output!.data]).toEqual([97_531, 108_642]);
    }
  });

  it('of which only the checkpoint is left are values by name, and a net where the graph lies beside them', async () => {
    const labels: GraphNode = { name: 'labels', op: 'Placeholder', attr: { dtype: { type: 9 } } };
    const loss: GraphNode = { name: 'loss', op: 'SparseSoftmaxCrossEntropyWithLogits', input: ['y', 'labels'], attr: { T: { type: 1 } } };
    const trained = joined(new MessageBuilder().bytes(2, graphDef({ ...graph, nodes: [...graph.nodes, labels, loss] })));
    const entry = { name: 'dense/kernel', shape: [3, 2], byteLength: 24 };
    const parts = {
      'model.ckpt-7.index': bundleOf([entry, { ...entry, name: 'dense/kernel/Adam' }]),
      'model.ckpt-7.data-00000-of-00001': new Uint8Array(kernel.buffer),
      checkpoint: new TextEncoder().encode('model_checkpoint_path: "/somewhere/model.ckpt-7"\n'),
    };
    for (const main of ['model.ckpt-7.index', 'model.ckpt-7.data-00000-of-00001', null]) {
      const values = await openModel(memoryFileSet(parts, main));
      expect(values.tensors.map(({ tensor, beside }) => [tensor.name, beside ?? false])).toEqual([
        ['dense/kernel', false],
        ['dense/kernel/Adam', true],
      ]);
      await expect(values.map()).rejects.toMatchObject({ kind: 'unsupported' });
      const files = memoryFileSet({ ...parts, 'model.ckpt-7.meta': trained }, main);
      await expect(convertInMemory(files)).rejects.toThrow(/SparseSoftmaxCrossEntropyWithLogits|"labels"/);
      const { bytes, result } = await convertInMemory(files, { outputs: ['y'] });
      expect(result.map!.inputs.map(({ name }) => name)).toEqual(['x']);
      expect(result.map!.warnings).toMatchObject([{ code: 'left-out' }]);
      const [output] = (await runOnnx(bytes, [{ shape: [1, 3], data: Float32Array.of(1, 10, 100) }])).values();
      expect([...output!.data]).toEqual([531, 642]);
    }
  });

  it('of several graphs take the one for a CPU that is not for training', async () => {
    const other: SmallGraph = { ...graph, nodes: [placeholder('x', [-1, 3]), { name: 'y', op: 'Neg', input: ['x'], attr: { T: { type: 1 } } }] };
    const hub = savedModel(graphDef(other), [['train'], graphDef(graph)], [[], graphDef(other)]);
    const served = savedModel(graphDef(graph), [['serve', 'tpu'], graphDef(graph)], [['serve'], graphDef(other)]);
    for (const bytes of [hub, served]) {
      const map = await (await openModel(memoryFileSet({ 'saved_model.pb': bytes }, null))).map();
      expect(map.layers.map(({ op }) => op)).toEqual(['Neg']);
    }
  });

  it('whose variables are not there say which', async () => {
    const model = await openModel(memoryFileSet({ 'saved_model.pb': savedModel(graphDef(graph)) }, null));
    await expect(model.map()).rejects.toThrow(/dense\/kernel/);
  });

  it('and frozen graphs are read or refused at every length', async () => {
    const whole = graphDef({ ...graph, nodes: [placeholder('x', [2, 3]), { name: 'y', op: 'Relu', input: ['x'], attr: { T: { type: 1 } } }] });
    for (let length = 0; length < whole.length; length++) {
      const error = await openModel(memoryFileSet({ 'model.pb': whole.subarray(0, length) }, 'model.pb'), { from: 'tensorflow' })
        .then((model) => model.map())
        .then(
          () => null,
          (failure) => failure,
        );
      if (error !== null) expect(error.name, `at ${length}`).toBe('ModelError');
    }
  });
});

describe('TensorFlow Lite', () => {
  const floats = (values: readonly number[]) => new Uint8Array(Float32Array.from(values).buffer);
  const kernel = [1, -2, 3, 0.5, 2, -1, 0.25, 4];
  /** Two filters of 2 x 2 over one channel, a bias, and a Relu6 merged in. */
  const convolution = liteModel(
    [
      { name: 'x', shape: [1, 3, 3, 1], type: 0 },
      { name: 'kernel', shape: [2, 2, 2, 1], type: 0, data: floats(kernel) },
      { name: 'bias', shape: [2], type: 0, data: floats([0.5, -1]) },
      { name: 'y', shape: [1, 2, 2, 2], type: 0 },
    ],
    [{ code: 3, inputs: [0, 1, 2], outputs: [3], options: table(byte(1), int(1), int(1), byte(3)) }],
    [0],
    [3],
  );

  it('computes a convolution with what is merged into it', async () => {
    const { bytes, result } = await convertInMemory(memoryFileSet({ 'm.tflite': convolution }, 'm.tflite'));
    expect(result.map!.inputs[0]!.layout).toBe('nhwc');
    const x = [1, 2, 3, 4, 5, 6, 7, 8, 9];
    const [output] = (await runOnnx(bytes, [{ shape: [1, 3, 3, 1], data: Float32Array.from(x) }])).values();
    const expected: number[] = [];
    for (const row of [0, 1])
      for (const column of [0, 1])
        for (const filter of [0, 1]) {
          const seen = [0, 1, 3, 4].map((offset) => x[row * 3 + column + offset]!);
          const sum = seen.reduce((total, value, i) => total + value * kernel[filter * 4 + i]!, [0.5, -1][filter]!);
          expected.push(Math.min(6, Math.max(0, sum)));
        }
    expect([...output!.data]).toEqual(expected);
  });

  it('reads codes as the numbers that they stand for, each output channel by its own scale', async () => {
    const codes = Int8Array.of(10, -20, 30, 40, -50, 60);
    const model = liteModel(
      [
        { name: 'x', shape: [1, 3], type: 0 },
        { name: 'kernel', shape: [2, 3], type: 9, data: new Uint8Array(codes.buffer), scales: [0.5, 0.25] },
        { name: 'y', shape: [1, 2], type: 0 },
      ],
      [{ code: 100 + 49, inputs: [0, 1], outputs: [2] }],
      [0],
      [2],
    );
    // An operator that is not known is named; the weights are listed all the same.
    const opened = await openModel(memoryFileSet({ 'm.tflite': model }, 'm.tflite'));
    expect(opened.tensors.map(({ tensor }) => [tensor.name, tensor.dtype])).toEqual([['kernel', 'int8']]);
    await expect(opened.map()).rejects.toThrow(/MULTINOMIAL/);
  });

  it('is read or refused at every length, and where positions lie', async () => {
    for (let length = 0; length < convolution.length; length++) await attempt(convolution.subarray(0, length));
    for (let at = 0; at < convolution.length; at++) await attempt(convolution.map((value, i) => (i === at ? value ^ 0xff : value)));
  });

  async function attempt(bytes: Uint8Array): Promise<void> {
    const error = await openModel(memoryFileSet({ 'm.tflite': bytes }, 'm.tflite'), { from: 'tflite' })
      .then((model) => model.map())
      .then(
        () => null,
        (failure) => failure,
      );
    if (error !== null) expect(error.name).toBe('ModelError');
  }
});

/** A SavedModel, served as `pixels` to `scores`: of one graph, or of those that are given with their tags. */
function savedModel(graph: Uint8Array, ...graphs: (readonly [tags: readonly string[], graph: Uint8Array])[]): Uint8Array {
  const port = (name: string, node: string) => new MessageBuilder().string(1, name).message(2, new MessageBuilder().string(1, `${node}:0`).int(2, 1));
  const signature = new MessageBuilder().message(1, port('pixels', 'x')).message(2, port('scores', 'y'));
  const model = new MessageBuilder().int(1, 1);
  for (const [tags, one] of graphs.length > 0 ? graphs : [[['serve'], graph] as const]) {
    const info = new MessageBuilder();
    for (const tag of tags) info.string(4, tag);
    const meta = new MessageBuilder().message(1, info.string(5, '2.15.0')).bytes(2, one);
    model.message(2, meta.message(5, new MessageBuilder().string(1, 'serving_default').message(2, signature)));
  }
  return joined(model);
}
