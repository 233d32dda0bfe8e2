/** TorchScript files: the attributes of a module are typed lists and dictionaries, and tensors may lie in them. */
import { strToU8, zipSync } from 'fflate';
import { describe, expect, it } from 'vitest';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { isModelError, type ModelError } from '../../src/errors.js';
import { tensorBytes } from '../../src/model/tensor.js';
import { openModel } from '../../src/readers/open.js';
import type { ReadOptions } from '../../src/readers/reader.js';
import { TensorKeeper } from '../pickles.js';
import { expectCpuSeconds } from '../speed.js';
import { instance, netOf, scriptFile } from '../torchscript-files.js';

const latin1 = (characters: string) => Uint8Array.from(characters, (character) => character.charCodeAt(0));
const unicode = (word: string) => `X${String.fromCharCode(word.length, 0, 0, 0)}${word}`;
const jit = (name: string, argument: string) => `ctorch.jit._pickle\n${name}\n${argument}\x85R`;
/** torch._utils._rebuild_tensor_v2 over two floats of a storage. */
const tensor = (key: string) =>
  `ctorch._utils\n_rebuild_tensor_v2\n((${unicode('storage')}ctorch\nFloatStorage\n${unicode(key)}${unicode('cpu')}K\x02tQK\x00K\x02\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtR`;

const attributes: Readonly<Record<string, string>> = {
  sizes: jit('build_intlist', '](K\x01K\x02e'),
  scales: jit('build_doublelist', '](G?\xf0\x00\x00\x00\x00\x00\x00e'),
  flags: jit('build_boollist', '](\x88e'),
  anchors: jit('build_tensorlist', `](${tensor('1')}${tensor('2')}e`),
  names: `ctorch.jit._pickle\nrestore_type_tag\n}(${unicode('a')}K\x01u${unicode('Dict[str, int]')}\x86R`,
  weight: tensor('0'),
};

it('lists of numbers and tensors, and typed dictionaries, can be inspected', async () => {
  const state = Object.entries(attributes).map(([name, value]) => unicode(name) + value);
  const pickle = `\x80\x02c__torch__\nNet\n)\x81}(${state.join('')}ub.`;
  const storage = new Uint8Array(Float32Array.of(1, 2).buffer);
  const files = memoryFileSet(
    {
      'net.pt': zipSync(
        {
          'net/data.pkl': latin1(pickle),
          'net/constants.pkl': latin1('\x80\x02).'),
          'net/code/__torch__.py': strToU8(''),
          'net/version': strToU8('3\n'),
          ...Object.fromEntries(['0', '1', '2'].map((key) => [`net/data/${key}`, storage])),
        },
        { level: 0 },
      ),
    },
    'net.pt',
  );
  const { tensors, details } = await openModel(files);
  expect(details.container).toBe('TorchScript zip');
  expect(tensors.map(({ tensor: { name, shape } }) => [name, shape])).toEqual([
    ['anchors.0', [2]],
    ['anchors.1', [2]],
    ['weight', [2]],
  ]);
});

describe('files of torch before 1.3', () => {
  const document = {
    protoVersion: '2',
    mainModule: {
      name: 'Net',
      submodules: [{ name: 'fc', parameters: [{ name: 'weight' }, { name: 'bias', tensorId: '1' }] }],
    },
    tensors: [
      { dims: ['2', '3'], strides: ['3', '1'], dataType: 'FLOAT', data: { key: 'tensors/0' } },
      { dims: ['2'], strides: ['1'], offset: '1', dataType: 'FLOAT', data: { key: 'tensors/1' } },
    ],
  };
  const file = (model: unknown) =>
    memoryFileSet(
      {
        'net.pt': zipSync(
          {
            'net/version': strToU8('1'),
            'net/model.json': strToU8(JSON.stringify(model)),
            'net/code/net.py': strToU8('op_version_set = 0\n'),
            'net/tensors/0': new Uint8Array(Float32Array.of(1, 2, 3, 4, 5, 6).buffer),
            'net/tensors/1': new Uint8Array(Float32Array.of(9, 7, 8).buffer),
          },
          { level: 0 },
        ),
      },
      'net.pt',
    );

  it('are called by their name, and their weights are read', async () => {
    const { details, tensors, warnings } = await openModel(file(document));
    expect(details.container).toMatch(/torch 1\.0 to 1\.2/);
    expect(warnings.map(({ message }) => message)).toEqual([expect.stringMatching(/before 1\.3/)]);
    const values = await Promise.all(tensors.map(async ({ tensor }) => [tensor.name, [...new Float32Array((await tensorBytes(tensor)).slice().buffer)]]));
    expect(values).toEqual([
      ['fc.weight', [1, 2, 3, 4, 5, 6]],
      ['fc.bias', [7, 8]],
    ]);
  });

  it('are refused where they contradict themselves', async () => {
    const broken = [
      { ...document, tensors: [] },
      { ...document, tensors: [{ ...document.tensors[0], dims: ['2', '4'], strides: ['4', '1'] }, document.tensors[1]] },
      { ...document, tensors: [{ ...document.tensors[0], dataType: 'STRING' }, document.tensors[1]] },
      { ...document, tensors: [{ ...document.tensors[0], data: { key: 'tensors/7' } }, document.tensors[1]] },
      'nothing',
    ];
    for (const one of broken) expect(isModelError(await openModel(file(one)).catch((error: unknown) => error))).toBe(true);
  });
});

describe('programs', () => {
  const shape = { inputShape: [1, 2, 4, 4] };
  const mapOf = async (files: ReturnType<typeof netOf>, options: ReadOptions = shape) => (await openModel(files, options)).map();
  const errorOf = async (files: ReturnType<typeof netOf>, options: ReadOptions = shape) => {
    const started = process.cpuUsage();
    const error = await mapOf(files, options).catch((caught: unknown) => caught);
    const { user } = process.cpuUsage(started);
    expectCpuSeconds(user / 1e6, 5);
    expect(isModelError(error)).toBe(true);
    return error as ModelError;
  };

  it('ask for the shape of what flows in, which their files do not say', async () => {
    const error = await errorOf(netOf(['return torch.relu(x)']), {});
    expect(error.kind).toBe('unsupported');
    expect(error.message).toMatch(/"x".*--input-shape/);
  });

  it('of several inputs take the shape of each, and of what it holds, as it is told', async () => {
    const code = [
      'class Net(Module):',
      '  def forward(self: __torch__.Net, x: Tensor, places: Tensor) -> Tensor:',
      '    return torch.index_select(x, 1, places)',
      '',
    ].join('\n');
    const files = () => scriptFile({ __torch__: code }, instance('__torch__.Net', {}));
    expect((await errorOf(files())).message).toMatch(/"places".*--assume shape_places=/);
    const { inputs, outputs, warnings } = await mapOf(files(), { ...shape, assume: { shape_places: 'K', dtype_places: 'int64' } });
    expect(inputs.map(({ name, dtype, shape }) => [name, dtype, shape])).toEqual([
      ['x', 'float32', [1, 2, 4, 4]],
      ['places', 'int64', ['K']],
    ]);
    expect(outputs[0]!.shape).toEqual([1, 'K', 4, 4]);
    expect(warnings.map(({ message }) => message)).toEqual([expect.stringMatching(/"x" is taken to be of float32/)]);
    expect(await errorOf(files(), { ...shape, assume: { shape_places: '0,1' } })).toMatchObject({ kind: 'usage' });
    expect(await errorOf(files(), { ...shape, assume: { shape_places: '2', dtype_places: 'complex64' } })).toMatchObject({ kind: 'usage' });
  });

  it('of several inputs take shapes and whole numbers from a recording, by name or else in order', async () => {
    const code = [
      'class Net(Module):',
      '  def forward(self: __torch__.Net, x: Tensor, places: Tensor) -> Tensor:',
      '    return torch.index_select(x, 1, places)',
      '',
    ].join('\n');
    const files = scriptFile({ __torch__: code }, instance('__torch__.Net', {}));
    const recorded = [
      { name: 'places', dtype: 'int32', shape: [3] },
      { name: 'x', dtype: 'float64', shape: [1, 2, 4] },
    ] as const;
    const renamed = [...recorded].reverse().map((one, i) => ({ ...one, name: `input_${i}` }));
    for (const recordedInputs of [recorded, renamed]) {
      const { inputs } = await mapOf(files, { recordedInputs });
      expect(inputs.map(({ name, dtype, shape }) => [name, dtype, shape])).toEqual([
        ['x', 'float32', [1, 2, 4]],
        ['places', 'int32', [3]],
      ]);
    }
    expect((await errorOf(files, { recordedInputs: recorded.slice(0, 1) })).message).toMatch(/shape of what flows in \("x"\)/);
  });

  it('of a sequence that they read step by step have as many steps as are recorded, and of pictures a free batch', async () => {
    const recorded = { recordedShape: ['N', 2], recordedInputs: [{ name: null, dtype: 'float32', shape: [3, 2] }] } as const;
    const steps = ['_0 = torch.select(x, 0, 0)', '_1 = torch.select(x, 0, 2)', 'return torch.add(_0, _1)'];
    const loop = ['y = torch.select(x, 0, 0)', 'for i in range(torch.size(x, 0)):', '  y = torch.add(y, torch.select(x, 0, i))', 'return y'];
    for (const body of [steps, loop]) {
      const { inputs, warnings } = await mapOf(netOf(body), recorded);
      expect(inputs[0]!.shape).toEqual([3, 2]);
      expect(warnings.map(({ message }) => message)).toContainEqual(expect.stringMatching(/first axis apart.*be 3/));
    }
    expect((await mapOf(netOf(['return torch.select(x, 0, 0)']), recorded)).inputs[0]!.shape).toEqual(['N', 2]);
    expect((await errorOf(netOf(['return torch.nothing(x)']), recorded)).message).toMatch(/aten::nothing/);
  });

  it('take what flows in to be of what the weights are all of', async () => {
    const keeper = new TensorKeeper();
    const files = netOf(['return torch.add(x, self.w)'], { w: keeper.tensor({ shape: [4], values: [1, 2] }, 'HalfStorage') }, '', keeper);
    expect((await mapOf(files)).inputs[0]!.dtype).toBe('float16');
  });

  it('may draw random numbers that nothing reads', async () => {
    expect((await mapOf(netOf(['y = torch.rand([2])', 'return torch.relu(x)']))).layers).toHaveLength(1);
    expect((await errorOf(netOf(['y = torch.rand([2])', 'return torch.add(x, y)']))).message).toMatch(/aten::rand: it draws random numbers/);
  });

  it('keep tensors in dictionaries that they make', async () => {
    const body = [
      'out = torch.dict()',
      'torch._set_item(out, "a", torch.relu(x))',
      'more = torch.dict([("b", torch.neg(x))])',
      'torch.update(out, torch.dict(more))',
      'missing = torch.get(out, "c", x)',
      'return torch.add(torch.add(out["a"], out["b"]), missing)',
    ];
    const { layers } = await (await openModel(netOf(body), { inputShape: [1, 2, 4, 4] })).map();
    expect(layers.map(({ op }) => op)).toEqual(['Relu', 'Neg', 'Add', 'Add']);
    expect((await errorOf(netOf(['y = torch.dict([x])', 'return x']))).message).toMatch(/no pairs/);
  });

  it('that were traced with several inputs say so where the batch is free', async () => {
    const body = ['return torch.reshape(x, [2, 4, 8])'];
    const error = await errorOf(netOf(body), { inputShape: ['N', 2, 4, 4] });
    expect([error.kind, error.message]).toEqual(['unsupported', expect.stringMatching(/hold for 2 inputs at a time alone.*--input-shape, 2 first/)]);
    const { outputs } = await (await openModel(netOf(body), { inputShape: [2, 2, 4, 4] })).map();
    expect(outputs[0]!.shape).toEqual([2, 4, 8]);
  });

  it('name everything that is not translated at once, with the line, and each thing once', async () => {
    const body = [
      '_0 = torch.lgamma(x)',
      '_1 = torch.lgamma(torch.relu(x))',
      '_2 = ops.torchvision.nms(_0, _1, 0.5)',
      'return torch.add(_0, torch.relu(_2), alpha=1)',
    ];
    const { message } = await errorOf(netOf(body));
    expect(message).toMatch(/aten::lgamma.*line 5\), and 1 times more/);
    expect(message).toMatch(/torchvision::nms.*line 7/);
    expect(message.split('\n')).toHaveLength(3);
  });

  it.each([
    ['bits of what is no whole number', ['return torch.bitwise_not(x)'], /aten::bitwise_not: it works on bits, and float32 flows in/],
    ['an argument that is not known', ['return torch.relu(x, inplace=True)'], /aten::relu: its argument inplace is not known/],
    ['more arguments than the operator has', ['return torch.relu(x, 1, 2)'], /3 arguments, and 1 are known/],
    ['weights in a form that is not saved', ['return ops.aten.to_mkldnn(x)'], /optimize_for_inference moved the weights/],
    ['a branch that depends on values', ['if torch.gt(torch.max(x), 0):', '  y = x', 'else:', '  y = torch.neg(x)', 'return y'], /which branch is taken/],
    ['a loop that depends on values', ['for i in range(int(torch.max(x))):', '  pass', 'return x'], /how often a loop runs/],
    ['an exception that is raised', ['ops.prim.RaiseException("no such picture")', 'return x'], /raises an exception .*no such picture/],
    ['an attribute that changes', ['self.calls = 1', 'return x'], /changes its attribute calls while it runs/],
    ['an attribute that is not there', ['return self.nothing'], /no attribute nothing/],
    ['a function that is not there', ['return __torch__.other.f(x, )'], /no code of __torch__\.other\.f/],
    ['what is returned', ['return "text"'], /returns str, which is no tensor/],
    ['an element beyond a list', ['y = [x]', 'return y[1]'], /element 1 of 1/],
    ['statistics of the batch', ['return torch.batch_norm(x, None, None, None, None, False, 0.1, 1.0e-05, True)'], /track_running_stats/],
    ['a syntax that is no part of the language', ['return x if x else x'], /line 5: the end of the line was expected/],
    ['a pooling to nothing', ['return torch.adaptive_avg_pool2d(x, [0, 1])'], /makes a size of 0/],
    ['a window over what is no picture', ['return torch.max_pool2d(torch.mean(x), [1, 1])'], /takes 4 axes, and \[\] flows in/],
    ['numbers that need another shape', ['return torch.view(x, [3, 5])'], /\[1,2,4,4\] cannot become \[3,5\]/],
  ])('name %s', async (_, body, expected) => {
    expect((await errorOf(netOf(body))).message).toMatch(expected);
  });

  it('act as in training only in the file: they are refused, and with --inference put to inference', async () => {
    const keeper = new TensorKeeper();
    const statistics = { mean: keeper.filled([2], 0.5), variance: keeper.filled([2], 2) };
    const files = netOf(
      ['y = torch.batch_norm(x, None, None, self.mean, self.variance, True, 0.1, 1.0e-05, True)', 'return torch.dropout(y, 0.5, self.training)'],
      { ...statistics, training: true },
      '',
      keeper,
    );
    const { kind, message } = await errorOf(files);
    expect(kind).toBe('unsupported');
    expect(message).toMatch(/2 calls act as in training: batch_norm.*dropout.*--inference/);
    const { layers, warnings } = await mapOf(files, { ...shape, inference: true });
    expect(layers.map(({ op }) => op)).toEqual(['BatchNormalization']);
    expect(warnings.find(({ code }) => code === 'inference')?.message).toMatch(/as in training in the file/);
    // Nothing is dropped where the share to drop is none.
    expect((await mapOf(netOf(['return torch.relu(torch.dropout(x, 0., True))']))).layers).toHaveLength(1);
  });

  it('keep a batch that is free', async () => {
    const body = ['_0 = torch.size(x, 0)', '_1 = torch.view(x, [_0, 2, torch.mul(torch.size(x, 2), torch.size(x, 3))])', 'return torch.mean(_1, [2], False)'];
    const { outputs, layers } = await mapOf(netOf(body), { inputShape: ['N', 2, 4, 4] });
    expect(outputs[0]!.shape).toEqual(['N', 2]);
    expect(layers.map(({ op }) => op)).toEqual(['Reshape', 'ReduceMean']);
  });

  it('give what they return by its name or place, and nothing for None', async () => {
    const many = await mapOf(netOf(['return (torch.relu(x), [torch.neg(x), None])']));
    expect(many.outputs.map(({ name }) => name)).toEqual(['output_0', 'output_1_0']);
    const named = await mapOf(netOf(['return {"out": torch.relu(x), "aux": torch.neg(x)}']));
    expect(named.outputs.map(({ name }) => name)).toEqual(['out', 'aux']);
  });

  it('may be read of files of 2019, whose code says its version and imports', async () => {
    const code =
      'op_version_set = 1\nimport __torch__.other\nclass Net(Module):\n  __parameters__ = []\n  def forward(self,\n    x: Tensor) -> Tensor:\n    return torch.relu(x)\n';
    const { layers } = await mapOf(scriptFile({ __torch__: code }, instance('__torch__.Net', {})));
    expect(layers.map(({ op }) => op)).toEqual(['Relu']);
  });

  it('are refused where a tensor may or may not have been changed through another one', async () => {
    const body = ['_0 = torch.contiguous(x)', '_1 = torch.relu_(_0)', 'return torch.add(x, _1)'];
    expect((await errorOf(netOf(body))).message).toMatch(/may or may not share its memory/);
    expect((await mapOf(netOf(['_0 = torch.contiguous(x)', '_1 = torch.relu_(_0)', 'return _1']))).layers).toHaveLength(1);
  });

  const functions = (count: number, body: (i: number) => string) =>
    Array.from({ length: count }, (_, i) => `def f${i}(x: Tensor) -> Tensor:\n${body(i)}\n`).join('');
  const nested = (open: string, close: string, count: number) => `${open.repeat(count)}x${close.repeat(count)}`;
  it.each([
    [
      'functions that call each other in a circle',
      netOf(
        ['return __torch__.f0(x, )'],
        {},
        functions(1, () => '  return __torch__.f0(x, )'),
      ),
    ],
    [
      'functions that double their calls sixty times',
      netOf(
        ['return __torch__.f0(x, )'],
        {},
        functions(61, (i) => (i === 60 ? '  return x' : `  y = __torch__.f${i + 1}(x, )\n  return __torch__.f${i + 1}(y, )`)),
      ),
    ],
    ['a loop without end', netOf(['_0 = True', 'while _0:', '  y = x', 'return x'])],
    ['a loop of 2^62 turns', netOf(['for i in range(4611686018427387904):', '  pass', 'return x'])],
    ['a loop of 600,000 layers', netOf(['for i in range(600000):', '  x = torch.relu(x)', 'return x'])],
    ['brackets within brackets', netOf([`return ${nested('(', ')', 50_000)}`])],
    ['calls within calls', netOf([`return ${nested('torch.relu(', ')', 5000)}`])],
    ['a chain of attributes', netOf([`return x${'.y'.repeat(50_000)}`])],
    ['blocks within blocks', netOf([...Array.from({ length: 3000 }, (_, i) => `${' '.repeat(i)}if True:`), `${' '.repeat(3000)}return x`])],
    ['a million statements', netOf([...new Array<string>(1_100_000).fill('x'), 'return x'])],
    ['a text without end', netOf(['return "x'])],
    ['lists that double', netOf(['y = [x]', 'for i in range(64):', '  y = torch.add(y, y)', 'return y[0]'])],
    ['texts that double', netOf(['y = "abc"', 'for i in range(64):', '  y = torch.add(y, y)', 'return torch.len(y)'])],
    ['a tensor of ones that fills the memory', netOf(['_0 = torch.ones([100000, 100000, 100000])', 'return torch.add(x, torch.sum(_0))'])],
    ['a range that fills the memory', netOf(['return torch.add(x, torch.sum(torch.arange(100000000000)))'])],
    ['parts without number', netOf(['_0 = torch.split(torch.expand(x, [1, 2, 4, 4]), 0, 2)', 'return _0[0]'])],
    ['ranges that are counted again and again', netOf(['for i in range(100000):', '  y = torch.arange(1000000)', 'return x'])],
    [
      'parts that are cut again and again',
      netOf(['y = torch.add(torch.zeros([4000, 4]), torch.sum(x))', 'for i in range(100000):', '  z = torch.unbind(y)', 'return x']),
    ],
    ['parts of parts', netOf(['y = x', 'for i in range(3000):', '  y = torch.unsqueeze(torch.squeeze(y, 0), 0)', 'return torch.add_(y, 1)'])],
    ['tables that are worked out again and again', netOf(['for i in range(100000):', '  y = torch.add(torch.ones([1000, 1000]), 1)', 'return x'])],
    ['a module that holds itself', netOf(['_0 = self.inner', 'return (_0).forward(x, )'], { inner: instance('__torch__.Other', {}) })],
  ])('with %s end in one clear error, quickly', { tags: 'slow' }, async (_, files) => {
    const { kind, message } = await errorOf(files);
    expect(['unsafe', 'malformed', 'unsupported']).toContain(kind);
    expect(message.length).toBeLessThan(1000);
  });
});

it('interruptions are let in between the statements of a program', async () => {
  const lines = Array.from({ length: 6000 }, (_, i) => `x${i} = torch.relu(${i === 0 ? 'x' : `x${i - 1}`})`);
  const model = await openModel(netOf([...lines, 'return x5999']), { inputShape: [1, 4] });
  // Modules are loaded with the first.
  await model.map();
  let turns = 0;
  const timer = setInterval(() => turns++, 1);
  await model.map();
  clearInterval(timer);
  expect(turns).toBeGreaterThan(2);
});
