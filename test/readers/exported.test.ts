/** Programs of torch.export (.pt2). The files are written by the schema: the torch that makes the fixtures cannot export. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { strToU8, zipSync } from 'fflate';
import { describe, expect, it } from 'vitest';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { isModelError, type ModelError } from '../../src/errors.js';
import { openModel } from '../../src/readers/open.js';
import { runLayers } from '../../src/verify/reference/session.js';
import { corpusCases, corpusTitle, describe as describeTensor, hasCorpus, listedTensors, readNpyFile, recordedTensors } from '../corpus.js';
import { type Exported, exportedDocument, exportedFile, ints, LAYOUTS, type Node, tensor } from '../exported-files.js';
import { convertInMemory, runOnnx } from '../run-onnx.js';

it('of ten thousand nodes are followed as short ones are', async () => {
  const nodes = Array.from({ length: 10_000 }, (_, i): Node => {
    const self = tensor(i === 0 ? 'x' : `y${i - 1}`);
    return { target: 'torch.ops.aten.relu.default', inputs: [['self', self]], outputs: [tensor(`y${i}`)] };
  });
  const map = await (await openModel(exportedFile({ parameters: {}, sizes: [1, 3], nodes, output: tensor('y9999') }))).map();
  expect(map.layers).toHaveLength(10_000);
});

const symbol = (name: string) => ({ as_sym_int: { as_name: name } });
const net: Exported = {
  parameters: { 'fc.weight': { shape: [2, 3], values: [1, 2, 3, 4, 5, 6] }, 'fc.bias': { shape: [2], values: [10, -100] } },
  sizes: ['s0', 3],
  nodes: [
    {
      target: 'torch.ops.aten.linear.default',
      inputs: [
        ['input', tensor('x')],
        ['weight', tensor('p_fc_weight')],
        ['bias', tensor('p_fc_bias')],
      ],
      outputs: [tensor('linear')],
      module: 'fc',
    },
    {
      target: 'torch.ops.aten.sym_size.int',
      inputs: [
        ['self', tensor('x')],
        ['dim', { as_int: 0 }],
      ],
      outputs: [symbol('sym_size')],
    },
    {
      target: '_operator.mul',
      inputs: [
        ['', symbol('sym_size')],
        ['', { as_int: 2 }],
      ],
      outputs: [symbol('mul')],
    },
    {
      target: 'torch.ops.aten.view.default',
      inputs: [
        ['self', tensor('linear')],
        ['size', { as_sym_ints: [{ as_name: 'mul' }, { as_int: 1 }] }],
      ],
      outputs: [tensor('view')],
    },
    {
      target: 'torch.ops.aten.clamp.default',
      inputs: [
        ['self', tensor('view')],
        ['min', { as_int: 0 }],
      ],
      outputs: [tensor('clamp')],
    },
    {
      target: 'torch.ops.aten.add.Tensor',
      inputs: [
        ['self', tensor('clamp')],
        ['other', tensor('clamp')],
        ['alpha', { as_int: 3 }, 'keyword'],
      ],
      outputs: [tensor('add')],
    },
    {
      target: 'torch.ops.aten.split.Tensor',
      inputs: [
        ['self', tensor('add')],
        ['split_size', { as_int: 1 }],
        ['dim', { as_int: 1 }],
      ],
      outputs: [{ as_tensors: [{ name: 'part' }] }],
    },
  ],
  output: tensor('part'),
};

const errorOf = async (files: ReturnType<typeof exportedFile>, options = {}) => {
  const error = await openModel(files, options)
    .then((model) => model.map())
    .catch((caught: unknown) => caught);
  expect(isModelError(error)).toBe(true);
  return error as ModelError;
};

describe('a program of torch.export', () => {
  it.each(LAYOUTS)('in the layout of torch %s gives what its numbers give, for any batch', async (layout) => {
    const files = exportedFile(net, layout);
    const model = await openModel(files);
    expect(model.details).toMatchObject({ container: 'torch.export zip', schema: '8.12' });
    expect(model.tensors.map(({ tensor: { name, shape } }) => [name, shape])).toEqual([
      ['fc.weight', [2, 3]],
      ['fc.bias', [2]],
    ]);
    const { inputs, layers } = await model.map();
    expect(inputs.map(({ name, shape }) => [name, shape])).toEqual([['x', ['s0', 3]]]);
    expect(layers[0]).toMatchObject({ name: 'fc', op: 'Gemm' });
    const { bytes } = await convertInMemory(files);
    const [made] = (await runOnnx(bytes, [{ shape: [2, 3], data: Float32Array.of(1, 1, 1, 10, 0, 20) }])).values();
    expect(made).toEqual({ shape: [4, 1], data: Float32Array.of(4 * 16, 0, 4 * 80, 4 * 60) });
  });

  it('takes the size that is asked for where its own is free, and no other', async () => {
    const model = await openModel(exportedFile(net), { inputShape: [7, 3] });
    expect((await model.map()).outputs[0]!.shape).toEqual([14, 1]);
    expect(await errorOf(exportedFile(net), { inputShape: [7, 4] })).toMatchObject({ kind: 'usage' });
  });

  it('names all operators that are not translated, and arguments that are not known', async () => {
    const nodes = [
      { target: 'torch.ops.aten.lgamma.default', inputs: [['self', tensor('x')]], outputs: [tensor('a')] },
      {
        target: 'torch.ops.aten.relu.default',
        inputs: [
          ['self', tensor('x')],
          ['inplace', { as_bool: true }, 'keyword'],
        ],
        outputs: [tensor('b')],
      },
      { target: 'torch.ops.higher_order.cond', inputs: [['', { as_graph: {} }]], outputs: [tensor('c')] },
    ] as const;
    const { message } = await errorOf(exportedFile({ ...net, nodes, output: tensor('a') }));
    expect(message).toMatch(/aten::lgamma[\s\S]*argument inplace[\s\S]*form as_graph/);
  });

  it('that acts as in training is refused, and with --inference put to inference', async () => {
    const dropout = {
      target: 'torch.ops.aten.dropout.default',
      inputs: [
        ['input', tensor('x')],
        ['p', { as_float: 0.5 }],
        ['train', { as_bool: true }],
      ],
      outputs: [tensor('d')],
    } as const;
    const relu = { target: 'torch.ops.aten.relu.default', inputs: [['self', tensor('d')]], outputs: [tensor('r')] } as const;
    const files = exportedFile({ ...net, nodes: [dropout, relu], output: tensor('r') });
    expect((await errorOf(files)).message).toMatch(/act as in training.*--inference/);
    expect((await (await openModel(files, { inference: true })).map()).layers.map(({ op }) => op)).toEqual(['Relu']);
  });

  const valuesOf = async (files: ReturnType<typeof exportedFile>, shape: readonly number[], data: readonly number[], options = {}) => {
    const map = await (await openModel(files, options)).map();
    const [made] = await runLayers(map, [{ shape, data: Float64Array.from(data) }], () => {});
    return { shape: made!.shape, data: [...made!.data].map(Number) };
  };
  const graphOf = (target: string, ...inputs: readonly string[]) => ({
    as_graph: {
      name: 'inner',
      graph: {
        inputs: inputs.map(tensor),
        outputs: [tensor('x')],
        // Its names are its own: "x" of the outer graph is another value.
        nodes: [{ target, inputs: [{ name: 'self', arg: tensor(inputs[0]!), kind: 1 }], outputs: [tensor('x')], metadata: {} }],
        tensor_values: {},
        sym_int_values: {},
        sym_bool_values: {},
      },
    },
  });

  it('may have graphs within its graph: one of two where it is certain which runs, else both', async () => {
    const wrapped: Node = {
      target: 'torch.ops.higher_order.wrap_with_set_grad_enabled',
      inputs: [
        ['', { as_bool: false }],
        ['', graphOf('torch.ops.aten.neg.default', 'y')],
        ['', tensor('x')],
      ],
      outputs: [{ as_tensors: [{ name: 'made' }] }],
    };
    const chosen = (taken: unknown): Node => ({
      target: 'torch.ops.higher_order.cond',
      inputs: [
        ['', taken],
        ['', graphOf('torch.ops.aten.relu.default', 'y')],
        ['', graphOf('torch.ops.aten.neg.default', 'y')],
        ['', { as_tensors: [{ name: 'made' }] }],
      ],
      outputs: [{ as_tensors: [{ name: 'last' }] }],
    });
    const file = (taken: unknown) => exportedFile({ ...net, nodes: [wrapped, chosen(taken)], output: tensor('last') });
    expect((await valuesOf(file({ as_bool: true }), [1, 3], [1, -2, 3])).data).toEqual([0, 2, 0]);
    expect((await valuesOf(file({ as_bool: false }), [1, 3], [1, -2, 3])).data).toEqual([1, -2, 3]);
    expect((await errorOf(file(tensor('x')))).message).toMatch(/torch.cond: what it depends on is not one truth/);
    // Of what flows in: the model chooses between both results.
    const truth: Node = { target: 'torch.ops.aten.any.default', inputs: [['self', tensor('x')]], outputs: [tensor('truth')] };
    const flowing = exportedFile({ ...net, nodes: [wrapped, truth, chosen(tensor('truth'))], output: tensor('last') });
    expect((await valuesOf(flowing, [1, 3], [1, -2, 3])).data).toEqual([0, 2, 0]);
    expect((await valuesOf(flowing, [1, 3], [0, 0, 0])).data.map(Math.abs)).toEqual([0, 0, 0]);
  });

  it('takes sizes within the ranges that it was made for, each the same wherever it is met', async () => {
    const square = { ...net, sizes: ['s0', "Symbol('s1', integer=True, positive=True)", "Symbol('s1', integer=True, positive=True)"] };
    const relu: Node = { target: 'torch.ops.aten.relu.default', inputs: [['self', tensor('x')]], outputs: [tensor('r')] };
    const document = { ...exportedDocument({ ...square, nodes: [relu], output: tensor('r') }), range_constraints: { s0: { min_val: 2, max_val: 8 } } };
    const file = () => exportedFile({ ...square, nodes: [relu], output: tensor('r') }, '2.9', document);
    expect((await (await openModel(file(), { inputShape: [4, 5, 5] })).map()).outputs[0]!.shape).toEqual([4, 5, 5]);
    expect((await errorOf(file(), { inputShape: [9, 5, 5] })).message).toMatch(/"s0" is asked to be 9, and the program was made for 2 to 8/);
    expect((await errorOf(file(), { inputShape: [4, 5, 6] })).message).toMatch(/"s1" is asked to be 5 and 6/);
  });

  it('may standardise its weights by batch normalisation without statistics, which is no training', async () => {
    const none = { as_none: true };
    const standardised = (self: string): Node => ({
      target: 'torch.ops.aten.batch_norm.default',
      inputs: [
        ['input', tensor(self)],
        ...['weight', 'bias', 'running_mean', 'running_var'].map((name) => [name, none] as const),
        ['training', { as_bool: true }],
        ['momentum', { as_float: 0 }],
        ['eps', { as_float: 0 }],
        ['cudnn_enabled', { as_bool: true }],
      ],
      outputs: [tensor('weight')],
    });
    const product: Node = {
      target: 'torch.ops.aten.matmul.default',
      inputs: [
        ['self', tensor('x')],
        ['other', tensor('weight')],
      ],
      outputs: [tensor('made')],
    };
    const parameters = { kernel: { shape: [1, 3, 2], values: [1, 3, 2, 6, -1, 1] } };
    const own = { ...net, parameters, sizes: [1, 2, 3], output: tensor('made') };
    const made = await valuesOf(exportedFile({ ...own, nodes: [standardised('p_kernel'), product] }), [1, 2, 3], [1, 2, 4, 0, 0, 1]);
    expect(made.data).toEqual([-7, 7, -1, 1]);
    const flowing = exportedFile({ ...own, nodes: [standardised('x')], output: tensor('weight') });
    expect((await errorOf(flowing)).message).toMatch(/act as in training/);
  });

  it('that changes a buffer while it runs says so, and with --inference gives what its first run gives', async () => {
    const [name, value] = ['count', { shape: [], values: [2] }];
    const document = JSON.parse(
      JSON.stringify(
        exportedDocument({
          ...net,
          parameters: { [name]: value },
          nodes: [
            {
              target: 'torch.ops.aten.add_.Tensor',
              inputs: [
                ['self', tensor('p_count')],
                ['other', { as_int: 1 }],
              ],
              outputs: [tensor('add_')],
            },
            {
              target: 'torch.ops.aten.mul.Tensor',
              inputs: [
                ['self', tensor('x')],
                ['other', tensor('p_count')],
              ],
              outputs: [tensor('made')],
            },
          ],
          output: tensor('made'),
        }),
      ),
    );
    const { signature } = document.graph_module;
    signature.input_specs[0] = { buffer: { arg: { name: 'p_count' }, buffer_name: name, persistent: true } };
    signature.input_specs.unshift({ token: { arg: { name: 'token' } } });
    // What becomes of the caller's tensor is no result of the net.
    signature.output_specs.unshift({ token: { arg: { name: 'token' } } }, { user_input_mutation: { arg: { name: 'x' }, user_input_name: 'x' } });
    const file = () => exportedFile({ ...net, parameters: { [name]: value } }, '2.9', document);
    expect((await errorOf(file())).message).toMatch(/the buffer count changes while the program runs/);
    expect(await valuesOf(file(), [1, 3], [1, 2, 3], { inference: true })).toEqual({ shape: [1, 3], data: [3, 6, 9] });
  });

  it('calls what it returns by the keys that the exporter noted', async () => {
    const neg: Node = { target: 'torch.ops.aten.neg.default', inputs: [['self', tensor('x')]], outputs: [tensor('n')] };
    const document = JSON.parse(JSON.stringify(exportedDocument({ ...net, parameters: {}, nodes: [neg], output: tensor('n') })));
    const { graph_module: module } = document;
    module.signature.output_specs = ['n', 'x', 'n'].map((name) => ({ user_output: { arg: tensor(name) } }));
    const leaf = { type: null, context: null, children_spec: [] };
    const pair = { type: 'builtins.tuple', context: 'null', children_spec: [leaf, leaf] };
    const spec = { type: 'builtins.dict', context: '["logits", "hidden"]', children_spec: [leaf, pair] };
    const namesOf = async (out_spec: string) => {
      module.module_call_graph = [{ fqn: '', signature: { out_spec } }];
      const { outputs } = await (await openModel(exportedFile({ ...net, parameters: {} }, '2.9', document))).map();
      return outputs.map(({ name }) => name);
    };
    expect(await namesOf(JSON.stringify([1, spec]))).toEqual(['logits', 'hidden_0', 'hidden_1']);
    // One that tells of another number of results tells nothing.
    expect(await namesOf(JSON.stringify([1, pair]))).toEqual(['output_0', 'output_1', 'output_2']);
    await expect(namesOf('[1, {')).rejects.toMatchObject({ kind: 'malformed' });
  });

  it('in a package of several is the one that is named', async () => {
    const relu: Node = { target: 'torch.ops.aten.relu.default', inputs: [['self', tensor('x')]], outputs: [tensor('r')] };
    const json = (target: string) => strToU8(JSON.stringify(exportedDocument({ ...net, parameters: {}, nodes: [{ ...relu, target }], output: tensor('r') })));
    const members = {
      'net/archive_format': strToU8('pt2'),
      'net/models/first.json': json(relu.target),
      'net/models/second.json': json('torch.ops.aten.neg.default'),
    };
    const file = () => memoryFileSet({ 'net.pt2': zipSync(members, { level: 0 }) }, 'net.pt2');
    expect(await errorOf(file())).toMatchObject({ kind: 'usage', message: expect.stringMatching(/first, second.*--weights-key first/) });
    expect((await valuesOf(file(), [1, 3], [1, -2, 3], { weightsKey: 'second' })).data).toEqual([-1, 2, -3]);
  });

  it('of torch 2.1 names its parameters in dictionaries, and its weights a JSON file', async () => {
    const linear = net.nodes[0]!;
    const document = JSON.parse(JSON.stringify(exportedDocument({ ...net, nodes: [linear], output: tensor('linear') })));
    document.schema_version = 1;
    document.graph_module.signature = {
      inputs_to_parameters: { p_fc_weight: 'fc.weight' },
      inputs_to_buffers: { p_fc_bias: 'fc.bias' },
      user_inputs: ['x'],
      user_outputs: ['linear'],
      buffers_to_mutate: {},
    };
    const files = exportedFile(net, '2.1', document);
    expect(await valuesOf(files, [1, 3], [1, 1, 1])).toEqual({ shape: [1, 2], data: [16, -85] });
  });

  it('may be taken apart to the core of ATen', async () => {
    const run = (node: Node, data: readonly number[], sizes: readonly number[]) =>
      valuesOf(exportedFile({ ...net, parameters: {}, sizes, nodes: [node], output: tensor('made') }), sizes, data);
    // Instance normalisation is that of a batch of one, in training.
    const statistics: Node = {
      target: 'torch.ops.aten._native_batch_norm_legit.no_stats',
      inputs: [
        ['input', tensor('x')],
        ['weight', { as_none: true }],
        ['bias', { as_none: true }],
        ['training', { as_bool: true }],
        ['momentum', { as_float: 0.1 }],
        ['eps', { as_float: 0 }],
      ],
      outputs: [tensor('made'), tensor('mean'), tensor('deviation')],
    };
    expect((await run(statistics, [1, 3, 10, 30], [1, 2, 1, 2])).data).toEqual([-1, 1, -1, 1]);
    const attention: Node = {
      target: 'torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default',
      inputs: [
        ['query', tensor('x')],
        ['key', tensor('x')],
        ['value', tensor('x')],
        ['dropout_p', { as_float: 0 }],
        ['is_causal', { as_bool: true }],
        ['scale', { as_float: 0 }, 'keyword'],
      ],
      outputs: [tensor('made'), tensor('logsumexp')],
    };
    expect((await run(attention, [1, 2, 3, 6], [1, 1, 2, 2])).data).toEqual([1, 2, 2, 4]);
    const clamp: Node = {
      target: 'torch.ops.aten.clamp.default',
      inputs: [
        ['self', tensor('x')],
        ['min', { as_float: '-inf' }],
        ['max', { as_float: 1 }],
      ],
      outputs: [tensor('made')],
    };
    expect((await run(clamp, [-1e9, 2], [1, 2])).data).toEqual([-1e9, 1]);
  });

  const broken = (change: (document: { graph_module: { graph: Record<string, unknown>; signature: Record<string, unknown> } }) => void) => {
    const document = JSON.parse(JSON.stringify(exportedDocument(net)));
    change(document);
    return exportedFile(net, '2.9', document);
  };
  it.each([
    ['no graph', broken((document) => Object.assign(document, { graph_module: {} }))],
    ['no nodes', broken(({ graph_module }) => delete graph_module.graph.nodes)],
    ['a value that nothing makes', exportedFile({ ...net, output: tensor('nothing') })],
    [
      'an argument of two forms',
      exportedFile({ ...net, nodes: [{ target: 'torch.ops.aten.relu.default', inputs: [['self', { as_int: 1, as_bool: true }]], outputs: [] }] }),
    ],
    ['an argument of none', exportedFile({ ...net, nodes: [{ target: 'torch.ops.aten.relu.default', inputs: [['self', {}]], outputs: [] }] })],
    ['an input without a type', broken(({ graph_module }) => Object.assign(graph_module.graph, { tensor_values: {} }))],
    ['a list in the place of a program', exportedFile(net, '2.9', [])],
    ['sizes that are no sizes', exportedFile({ ...net, sizes: [-1, 3] })],
    ['an input of another kind', broken(({ graph_module }) => Object.assign(graph_module.signature, { input_specs: [{ token: { arg: {} } }] }))],
    ['weights beyond their bytes', exportedFile({ ...net, parameters: { ...net.parameters, 'fc.bias': { shape: [2_000_000], values: [1] } } })],
    [
      'a view of another size',
      exportedFile({
        ...net,
        nodes: [
          {
            target: 'torch.ops.aten.view.default',
            inputs: [
              ['self', tensor('p_fc_weight')],
              ['size', ints(4, 5)],
            ],
            outputs: [tensor('part')],
          },
        ],
      }),
    ],
  ])('with %s is answered by one clear error', async (_, files) => {
    const { kind, message } = await errorOf(files);
    expect(['malformed', 'unsupported']).toContain(kind);
    expect(message.length).toBeLessThan(600);
  });
});

describe.skipIf(!hasCorpus)(`published programs${corpusTitle}`, () => {
  const cases = corpusCases(({ format, inputs }) => (format === 'torchscript' || format === 'pt2') && inputs.length === 1);

  it('are there', () => {
    expect(cases.length).toBeGreaterThan(2);
  });

  it.each(cases)('$case predicts what was recorded, and lists its weights', async (entry) => {
    const files = memoryFileSet({ [entry.model]: new Uint8Array(readFileSync(join(entry.folder, entry.model))) }, entry.model);
    const [input, expected] = await Promise.all([entry.inputs, entry.outputs].map(([port]) => readNpyFile(join(entry.folder, port!.file))));
    const { bytes, result } = await convertInMemory(files, entry.format === 'pt2' ? {} : { inputShape: input!.shape as number[] });
    // A program that takes one row is run row by row.
    const shape = result.map!.inputs[0]!.shape as readonly number[];
    const size = shape.reduce((a, b) => a * b, 1);
    const made: number[] = [];
    for (let start = 0; start < input!.data.length; start += size) {
      const [row] = (await runOnnx(bytes, [{ shape, data: input!.data.slice(start, start + size) }])).values();
      made.push(...row!.data);
    }
    const { atol, rtol } = entry.tolerance!;
    const scale = expected!.data.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
    expect(made).toHaveLength(expected!.data.length);
    expect(made.reduce((worst, value, i) => Math.max(worst, Math.abs(value - expected!.data[i]!)), 0)).toBeLessThanOrEqual(atol + rtol * scale);
    const listed = [...(await listedTensors(await openModel(files))).values()];
    expect(listed.sort()).toEqual(recordedTensors(entry.folder).map(describeTensor).sort());
  });
});
