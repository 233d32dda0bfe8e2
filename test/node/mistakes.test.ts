/** What people get wrong who are new to it: each is told what is there, and what to do. */
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { memorySource } from '../../src/bytes/byte-source.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { parsePreparation } from '../../src/cli/options.js';
import { readNpz } from '../../src/containers/npy.js';
import { float32Tensor, type Tensor, tensorBytes } from '../../src/model/tensor.js';
import { type ConvertFileOptions, convertFile, inspectFile, verifyFile } from '../../src/node/index.js';
import { openModel } from '../../src/readers/open.js';
import { nextStep } from '../../src/report/next-step.js';
import { DIGITS } from '../cli/run-cli.js';
import { Call, Name, TensorKeeper, type Weights } from '../pickles.js';

let folder: string;
const at = (...names: string[]) => join(folder, ...names);
const KERAS = join(DIGITS, 'digits.h5');

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'weighbridge-mistakes-'));
  for (const name of ['two', 'empty', 'down/one', 'texts']) mkdirSync(at(name), { recursive: true });
  for (const name of ['digits.h5', 'digits.pth', 'digits.caffemodel', 'digits.prototxt']) copyFileSync(join(DIGITS, name), at('two', name));
  copyFileSync(KERAS, at('digits.h5'));
  copyFileSync(KERAS, at('down/one/digits.h5'));
  writeFileSync(at('texts/notes.md'), 'nothing');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const said = (work: Promise<unknown>) => work.then(() => 'nothing', String);

describe('a path', () => {
  it.each([
    ['digit.h5', /no such file or folder\. Did you mean ".*digits\.h5"\?$/],
    ['no/such/digits.h5', /no such file or folder: there is no folder .*no.such$/],
    ['zzzzzzzzzzzz', /no such file or folder$/],
  ])('%s where nothing is, is told with what is near by', async (name, words) => {
    expect(await said(inspectFile(at(name)))).toMatch(words);
  });

  it('of a companion is looked for in the same way', async () => {
    expect(await said(convertFile(KERAS, at('x.onnx'), { golden: join(DIGITS, 'kears.npz') }))).toMatch(/no such file\. Did you mean ".*keras\.npz"\?$/);
    expect(await said(convertFile(KERAS, at('x.onnx'), { inputs: at('zero.png') }))).toMatch(/zero\.png: there is no such file/);
  });
});

it.each([
  ['x.onx', {}, /which format to write\. Did you mean "\.onnx"\? Known/],
  ['x.savetensors', {}, /Did you mean "\.safetensors"\?/],
  ['x', {}, /which format to write\. Known/],
  ['x.onnx', { dtype: 'fp61' }, /not written in "fp61"\. Did you mean "fp16" or .*\? Possible/],
  ['x.onnx', { dtype: 'hlaf' }, /Did you mean "half"\?/],
])('an output %s, %o, that is misspelt is told with what may have been meant', async (name, options, words) => {
  expect(await said(convertFile(KERAS, at(name), options as object))).toMatch(words);
});

it.each([
  ['net.prototxt', undefined, /"net\.prototxt" is what Caffe's layers are written to beside their weights: give the name of those, net\.caffemodel\.$/],
  ['net.py', 'pytorch', /"net\.py" is what PyTorch's layers are written to beside their weights: give the name of those, net\.pth\.$/],
] as const)('%s named for what lies beside it is told so', async (name, to, words) => {
  expect(await said(convertFile(KERAS, at(name), to ? { to } : {}))).toMatch(words);
  expect(existsSync(at(name))).toBe(false);
});

describe('a folder that is no model', () => {
  it.each([
    ['two', /it holds digits\.caffemodel \(.*\), digits\.h5 \(.*Keras.*\), digits\.pth \(.*PyTorch.*\)\. Name one of them\.$/],
    ['down', /in the folders in it there is one\/digits\.h5 \(.*\)\. Name that file\.$/],
    ['empty', /the folder is empty/],
    ['texts', /no model was recognised in this folder\. It holds notes\.md\./],
  ])('%s is told with the models in it', async (name, words) => {
    expect(await said(inspectFile(at(name)))).toMatch(words);
  });
});

describe('a recording', () => {
  const recorded = async () => readNpz(memorySource(readFileSync(join(DIGITS, 'keras.npz')), 'keras.npz'));
  const values = async (tensor: Tensor) => {
    const bytes = await tensorBytes(tensor);
    return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
  };
  const shaped = async (name: 'input' | 'output', shape: readonly number[]) => {
    const data = await values((await recorded()).get(name)!);
    const count = shape.reduce((product, size) => product * size, 1);
    return float32Tensor(name, [...shape], data.slice(0, count), { file: 'golden.npz' });
  };
  const tried = async (input: readonly number[], output: readonly number[]) =>
    said(
      convertFile(KERAS, at('x.onnx'), {
        golden: new Map([
          ['input', await shaped('input', input)],
          ['output', await shaped('output', output)],
        ]),
      }),
    );

  it.each([
    [[2, 3, 32, 32], [2, 10], /takes \[N,32,32,3\].*looks channels-first: np\.transpose\(x, \(0, 2, 3, 1\)\)/],
    [[32, 32, 3], [10], /takes \[N,32,32,3\].*has no batch axis: x\[None\]/],
    [[2, 28, 28, 3], [2, 10], /has the shape \[2,28,28,3\], but the model takes \[N,32,32,3\] \(nhwc\)$/],
    [
      [2, 32, 32, 3],
      [2, 5],
      /recorded output for "predictions" has the shape \[2,5\], but for 2 inputs the net gives \[2,10\]: it was recorded with another net/,
    ],
  ])('of inputs %j and outputs %j is refused before anything is written, in words that say why', async (input, output, words) => {
    const message = await tried(input, output);
    expect(message).toMatch(words);
    expect(message).not.toMatch(/weight "/);
  });

  it('that is one array is told from an .npz', async () => {
    copyFileSync(join(DIGITS, '../../test/fixtures/pytorch/vgg11-zip/input.npy'), at('in.npy'));
    expect(await said(convertFile(KERAS, at('x.onnx'), { golden: at('in.npy') }))).toMatch(/in\.npy: this is one array \(\.npy\).*arrays input and output/);
  });

  it('of outputs in another order is what is to be looked at, not the file', async () => {
    const data = await values((await recorded()).get('output')!);
    const reversed = Array.from({ length: 20 }, (_, row) => [...data.subarray((19 - row) * 10, (20 - row) * 10)]).flat();
    const golden = new Map([
      ['input', (await recorded()).get('input')!],
      ['output', float32Tensor('output', [20, 10], Float32Array.from(reversed), { file: 'golden.npz' })],
    ]);
    await convertFile(KERAS, at('whole.onnx'), { verify: false });
    const report = await verifyFile(at('whole.onnx'), golden);
    expect(report.verdict).toBe('mismatch');
    expect(report.cause).toMatchObject({ side: 'recording', explainedBy: [{ kind: 'recorded-rows' }] });
    const { report: against } = await convertFile(KERAS, at('again.onnx'), { golden, layers: true });
    expect(against).toMatchObject({ verdict: 'mismatch', cause: { side: 'recording', explainedBy: [{ kind: 'recorded-rows' }] } });
    expect(nextStep(against!)).toMatch(/recording/);
  });

  it('given as inputs alone says that its outputs are not compared', async () => {
    const { report } = await convertFile(KERAS, at('inputs.onnx'), { inputs: join(DIGITS, 'keras.npz') });
    expect(report!.notes.join('\n')).toMatch(/recorded outputs too \(output\), which only --golden compares with/);
  });
});

it('pictures, and arrays, that do not fit are refused before anything is written', async () => {
  const tried = async (options: ConvertFileOptions) => {
    const message = await said(convertFile(KERAS, at('early.onnx'), { ...options, onProgress: ({ phase }) => expect(phase).not.toBe('writing') }));
    expect(existsSync(at('early.onnx'))).toBe(false);
    return message;
  };
  expect(await tried({ inputs: join(DIGITS, 'images') })).toMatch(/what is done to pictures before this net is not known/);
  expect(await tried({ inputs: join(DIGITS, 'torch.npz') })).toMatch(/has the shape \[20,3,32,32\].*channels-first/);
});

it('one picture is as good as a folder of them', async () => {
  const { report } = await convertFile(KERAS, at('picture.onnx'), {
    inputs: join(DIGITS, 'images/00.png'),
    preprocess: parsePreparation('mean=0,resize=stretch'),
  });
  expect(report).toMatchObject({ verdict: 'match', inputs: { samples: 1 } });
});

it('data in HDF5 that is no model is told by what it holds', async () => {
  const path = join(DIGITS, '../../test/fixtures/hdf5/chunked.h5');
  expect(await said(inspectFile(path))).toMatch(/holds neither Keras nor Caffe weights: it has btree1, btree1-filters, /);
});

it('a net that TensorFlow.js has as a graph alone is told so', async () => {
  const path = join(DIGITS, '../../test/fixtures/onnx-exporters/attention/model.onnx');
  expect(await said(convertFile(path, at('model.json'), { verify: false }))).toMatch(
    /Gather takes its table from another layer.*\n.*as a TensorFlow\.js graph model it can be written: `to: 'tfjs-graph'`$/,
  );
});

describe('a PyTorch file without wiring', () => {
  const translated = async (make: (save: (weights: Weights) => unknown) => unknown) => {
    const keeper = new TensorKeeper();
    const bytes = keeper.pth(make((weights) => keeper.tensor(weights)));
    return said(openModel(memoryFileSet({ 'x.pth': bytes }, 'x.pth')).then((model) => model.map()));
  };
  const weight = { shape: [2, 2], values: [1, 2, 3, 4] };

  it('that is one tensor is called so', async () => {
    expect(await translated((save) => save(weight))).toMatch(/this is one tensor of shape \[2, 2\], not a model/);
  });

  it('is told the ways by which its wiring comes along', async () => {
    expect(await translated((save) => new Map([['odd.weight', save(weight)]]))).toMatch(
      /none of the \d+ families .*Modules: odd\. .*torch\.jit\.trace\(.*torch\.onnx\.export; or describe the net with --arch/,
    );
  });

  it('that is a whole module is called by its class', async () => {
    const state = (save: (weights: Weights) => unknown) =>
      new Map<string, unknown>([
        ['_parameters', new Map([['weight', save(weight)]])],
        ['_modules', new Map()],
      ]);
    const module = (save: (weights: Weights) => unknown) =>
      new Call(new Name('__main__', 'MyNet'), [], {
        state: new Map([
          ...state(save),
          ['_modules', new Map([['odd', new Call(new Name('torch.nn.modules.linear', 'Linear'), [], { state: state(save), via: '\x81' })]])],
        ]),
        via: '\x81',
      });
    expect(await translated(module)).toMatch(/a whole MyNet of PyTorch, whose wiring is code that is never run/);
  });
});
