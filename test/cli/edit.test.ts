/** What `convert` changes on the way: each option through the built command, as users give it. */
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import { concatBytes } from '../../src/bytes/byte-sink.js';
import { MessageBuilder } from '../../src/containers/protobuf-writer.js';
import { float32Tensor } from '../../src/model/tensor.js';
import type { ConvertDocument } from '../../src/node/convert-file.js';
import { node, ORIGIN, onnxFile } from '../onnx-graphs.js';
import { DIGITS, ROOT, temporaryFolder, weighbridge } from './run-cli.js';

const schema = (name: string) => JSON.parse(readFileSync(join(ROOT, `schemas/${name}.schema.json`), 'utf8'));
const ajv = new Ajv2020({ strict: false, allErrors: true }).addSchema([schema('report'), schema('convert')]);
const validate = ajv.getSchema(schema('convert').$id)!;
const validateShrink = ajv.compile(schema('shrink'));

function convert(source: string, target: string, ...options: readonly string[]): { document: ConvertDocument; output: string } {
  const output = join(temporaryFolder(), target);
  const { status, stdout, stderr } = weighbridge(['convert', source, '-o', output, '--json', ...options]);
  expect(status, stderr).toBe(0);
  const document = JSON.parse(stdout) as ConvertDocument;
  expect(validate(document), JSON.stringify(validate.errors)).toBe(true);
  return { document, output };
}

function refused(...args: readonly string[]): string {
  const { status, stderr } = weighbridge(['convert', ...args.slice(0, 1), '-o', join(temporaryFolder(), args[1]!), ...args.slice(2)]);
  expect(status).toBe(2);
  return stderr;
}

const digits = (name: string) => join(DIGITS, name);

describe('--until and --outputs', () => {
  it.each([
    ['digits.h5', 'a.onnx', 'tfjs-wasm', ['--until', 'flatten']],
    ['digits.caffemodel', 'a.onnx', 'opencv', ['--outputs', 'conv2_1,fc6']],
    ['digits.pth', 'web', 'reference', ['--to', 'tfjs', '--until', 'conv2_1']],
  ])('%s to %s is compared with %s where it ends now', (source, target, witness, options) => {
    const { document } = convert(digits(source), target, ...options);
    const names = options.at(-1)!.split(',');
    expect(document.report).toMatchObject({ verdict: 'match', engines: { expected: witness } });
    expect(document.report!.outputs.map(({ name }) => name)).toEqual(names);
    expect(document.changes.map(({ transform }) => transform).slice(0, 2)).toEqual(['cut', 'dead-ends']);
    expect(document.report!.changes).toEqual(document.changes);
  });

  it('an ONNX file is cut, and its own runtime is asked what is there in the original, layer by layer too', () => {
    const whole = join(temporaryFolder(), 'whole.onnx');
    expect(weighbridge(['convert', digits('digits.h5'), '-o', whole, '--no-verify']).status).toBe(0);
    const { document } = convert(whole, 'cut.onnx', '--until', 'block1_pool', '--layers');
    expect(document.report).toMatchObject({ verdict: 'match', engines: { expected: 'ort-cpu' } });
    expect(document.report!.layers!.map(({ witness }) => witness)).toContain('ort-cpu');
  });

  it('a layer that there is not is refused with one that is meant, and nothing is written', () => {
    expect(refused(digits('digits.h5'), 'a.onnx', '--until', 'blok2_conv1')).toContain('Did you mean "block2_conv1"');
  });

  it('a target without wiring has no end, and says so', () => {
    expect(refused(digits('digits.h5'), 'a.safetensors', '--until', 'flatten')).toContain('--until changes the net');
  });

  it('a recording without the new output is none', () => {
    expect(refused(digits('digits.h5'), 'a.onnx', '--until', 'fc1', '--golden', digits('keras.npz'))).toContain('layer:fc1');
  });
});

const VGG_BN = join(ROOT, 'test/fixtures/keras-h5/vgg-bn/model.h5');

describe('--fold-batchnorm', () => {
  it('is judged by what the original predicts, layer by layer, and its weights are called folded', () => {
    const { document } = convert(VGG_BN, 'a.onnx', '--fold-batchnorm', '--layers');
    expect(document.report).toMatchObject({ verdict: 'match', engines: { expected: 'tfjs-wasm' }, weights: { judged: true, mismatches: [] } });
    expect(document.report!.layers!.map(({ op }) => op)).not.toContain('BatchNormalization');
    expect(document.report!.weights!.tensors.filter(({ method }) => method === 'folded')).toHaveLength(10);
    expect(document.changes).toMatchObject([{ transform: 'fold-batchnorm' }]);
  });

  it.each([['a.onnx', '--dtype', 'float16'], ['web', '--to', 'tfjs-graph'], ['a.caffemodel'], ['a.pth']])('goes to %s as well', (target, ...options) => {
    expect(convert(VGG_BN, target, '--fold-batchnorm', ...options).document.report!.verdict).toBe('match');
  });

  it('of an ONNX file leaves no normalisation in it', () => {
    const whole = join(temporaryFolder(), 'whole.onnx');
    expect(weighbridge(['convert', VGG_BN, '-o', whole, '--no-verify']).status).toBe(0);
    const { document, output } = convert(whole, 'folded.onnx', '--fold-batchnorm', '--layers');
    expect(document.report).toMatchObject({ verdict: 'match', engines: { expected: 'ort-cpu' } });
    expect(weighbridge(['inspect', output]).stdout).not.toContain('BatchNormalization');
  });

  it('means nothing for a net without', () => {
    expect(refused(digits('digits.h5'), 'a.onnx', '--fold-batchnorm')).toContain('no batch normalisation');
  });
});

/** x · sigmoid(x), a Gelu and a LayerNormalization, as PyTorch exports them, and the bounds of a HardSwish. */
async function exported(): Promise<string> {
  const path = join(temporaryFolder(), 'exported.onnx');
  const numbers = (name: string, values: readonly number[], shape = [values.length]) => float32Tensor(name, shape, values, ORIGIN);
  const one = (name: string, value: number) => numbers(name, [value], []);
  const axes = { axes: { type: 'ints', value: [-1] } } as const;
  const nodes = [
    node('Sigmoid', ['x'], ['s']),
    node('Mul', ['x', 's'], ['silu']),
    node('Div', ['silu', 'root2'], ['d']),
    node('Erf', ['d'], ['e']),
    node('Add', ['e', 'one'], ['a']),
    node('Mul', ['silu', 'a'], ['m']),
    node('Mul', ['m', 'half'], ['gelu']),
    node('Add', ['gelu', 'three'], ['h']),
    node('Clip', ['h', 'zero', 'six'], ['c']),
    node('Mul', ['gelu', 'c'], ['hc']),
    node('Div', ['hc', 'six'], ['hard']),
    node('ReduceMean', ['hard'], ['mean'], axes),
    node('Sub', ['hard', 'mean'], ['far']),
    node('Pow', ['far', 'two'], ['square']),
    node('ReduceMean', ['square'], ['variance'], axes),
    node('Add', ['variance', 'epsilon'], ['sum']),
    node('Sqrt', ['sum'], ['deviation']),
    node('Div', ['far', 'deviation'], ['normal']),
    node('Mul', ['normal', 'scale'], ['scaled']),
    node('Add', ['scaled', 'bias'], ['y']),
  ];
  const tensors = [
    ...[one('root2', Math.SQRT2), one('one', 1), one('half', 0.5), one('three', 3), one('zero', 0), one('six', 6), one('two', 2), one('epsilon', 1e-5)],
    ...[numbers('scale', [1, 0.5, 2, 1.5, 1]), numbers('bias', [0, 0.1, 0.2, 0.3, 0.4])],
  ];
  writeFileSync(path, await onnxFile({ nodes, tensors, inputs: [['x', ['N', 4, 5]]] }));
  return path;
}

describe('--simplify', () => {
  const recognised = ({ changes }: ConvertDocument) => changes.filter(({ transform }) => transform === 'recognise').map(({ message }) => message.split(' ')[1]);

  it.each([
    ['a.onnx', ['--simplify'], ['HardSwish', 'LayerNormalization']],
    ['a.onnx', ['--simplify', '--opset', '20'], ['Gelu', 'HardSwish', 'LayerNormalization']],
    ['a.onnx', [], []],
    ['a.pth', [], ['Swish', 'Gelu', 'HardSwish', 'LayerNormalization']],
    ['a.pth', ['--no-simplify'], []],
    ['web', ['--to', 'tfjs-graph'], []],
  ] as const)('%s %o: %o, as far as the target has them', async (target, options, operators) => {
    const { document } = convert(await exported(), target, ...options);
    expect(document.report!.verdict).toBe('match');
    expect(recognised(document)).toEqual(operators);
  });

  it('layers that are left are compared with those of the source', async () => {
    const { document } = convert(await exported(), 'a.onnx', '--simplify', '--opset', '20', '--layers');
    expect(document.report).toMatchObject({ verdict: 'match', engines: { expected: 'ort-cpu' } });
    expect(document.report!.layers!.map(({ op }) => op)).toEqual(expect.arrayContaining(['Gelu', 'HardSwish', 'LayerNormalization']));
  });

  it('means nothing for weights alone', async () => {
    expect(refused(await exported(), 'a.safetensors', '--simplify')).toContain('--simplify changes the net');
  });
});

describe('--embed-preprocessing and --preprocess', () => {
  it.each([
    ['digits.h5', 'a.onnx', 'keras.npz', '--preprocess', 'mean=103.939,116.779,123.68,order=bgr'],
    ['digits.pth', 'web', 'torch.npz', '--embed-preprocessing', '--to', 'tfjs'],
    ['digits.caffemodel', 'graph', 'caffe.npz', '--to', 'tfjs-graph', '--preprocess', 'mean=0.485,0.456,0.406,std=0.229,0.224,0.225,range=1'],
  ])('%s to %s predicts for pictures what was recorded for prepared ones', (source, target, golden, ...options) => {
    const { document } = convert(digits(source), target, '--golden', digits(golden), ...options);
    expect(document.report).toMatchObject({ verdict: 'match', witness: { kind: 'recorded' } });
    expect(document.report!.notes.join()).toContain('turned back into pictures');
  });

  it('without a recording the original is fed what the file prepares', () => {
    const { document } = convert(digits('digits.caffemodel'), 'a.onnx', '--preprocess', 'mean=100,110,120,scale=0.017,order=bgr', '--layers');
    expect(document.report).toMatchObject({ verdict: 'match', engines: { expected: 'opencv' } });
  });

  it("what a Caffe net's data layer does is known", () => {
    const folder = temporaryFolder();
    const prototxt = readFileSync(digits('digits.prototxt'), 'utf8');
    const told = 'transform_param { mean_value: 104 mean_value: 117 mean_value: 123 scale: 0.0078125 }';
    const changed = prototxt.replace(/(type: *"Input")/, `$1 ${told}`);
    expect(changed).not.toBe(prototxt);
    writeFileSync(join(folder, 'net.prototxt'), changed);
    const { document } = convert(digits('digits.caffemodel'), 'a.onnx', '--prototxt', join(folder, 'net.prototxt'), '--embed-preprocessing');
    expect(document.changes[0]!.message).toMatch(/blue first, less 104, 117, 123, times 0.0078125/);
    expect(document.report!.verdict).toBe('match');
  });

  it('a mean picture that a Caffe net names is asked for, and taken off with its scale', () => {
    const folder = temporaryFolder();
    const told = 'transform_param { mean_file: "train_mean.binaryproto" scale: 0.0078125 }';
    writeFileSync(join(folder, 'net.prototxt'), readFileSync(digits('digits.prototxt'), 'utf8').replace(/(type: *"Input")/, `$1 ${told}`));
    const side = 40;
    const picture = new MessageBuilder();
    for (const [field, size] of [1, 3, side, side].entries()) picture.int(field + 1, size);
    const values = Float32Array.from({ length: 3 * side * side }, (_, i) => 90 + ((i * 7) % 50));
    picture.bytes(5, new Uint8Array(values.buffer));
    writeFileSync(join(folder, 'train_mean.binaryproto'), concatBytes(picture.pieces as Uint8Array[]));
    const named = ['--prototxt', join(folder, 'net.prototxt')];
    expect(refused(digits('digits.caffemodel'), 'a.onnx', ...named, '--embed-preprocessing')).toContain('Give that file with --mean');
    const { document } = convert(digits('digits.caffemodel'), 'a.onnx', ...named, '--mean', join(folder, 'train_mean.binaryproto'));
    expect(document.changes[0]!.message).toMatch(/blue first, less the mean picture of train_mean.binaryproto, times 0.0078125/);
    expect(document.report!.verdict).toBe('match');
    writeFileSync(join(folder, 'short.binaryproto'), concatBytes(picture.pieces as Uint8Array[]).subarray(0, 99));
    expect(refused(digits('digits.caffemodel'), 'b.onnx', '--mean', join(folder, 'short.binaryproto'))).toContain('short.binaryproto');
  });

  it.each([
    ['nothing is known', ['--embed-preprocessing'], 'not known'],
    ['a setting is none', ['--preprocess', 'means=1'], 'means=1'],
    ['it is both', ['--preprocess', 'scale=1,std=1'], 'one of them'],
    ['it is divided by zero', ['--preprocess', 'std=0'], 'std'],
    ['an order is none', ['--preprocess', 'order=gbr'], 'rgb or bgr'],
  ])('is refused where %s', (_, options, words) => {
    expect(refused(digits('digits.caffemodel'), 'a.onnx', ...options)).toContain(words);
  });
});

describe('--batch', () => {
  const fixed = (...options: readonly string[]) => convert(digits('digits.pth'), 'fixed.onnx', '--batch', '1', ...options);

  it.each([
    ['digits.h5', 'a.onnx', '3', []],
    ['digits.pth', 'web', '4', ['--to', 'tfjs-graph']],
    ['digits.pth', 'a.pth', '2', []],
  ])('%s to %s takes %s pictures at a time, and predicts for each what the original does', (source, target, batch, options) => {
    const { document } = convert(digits(source), target, '--batch', batch, ...options);
    expect(document.report).toMatchObject({ verdict: 'match' });
    expect(document.changes).toMatchObject([{ transform: 'batch', message: expect.stringContaining(`a batch of ${batch}`) }]);
  });

  it('a net of one picture at a time takes any number, held to its own runtime, which is fed one by one', () => {
    const { document } = convert(fixed().output, 'free.onnx', '--batch', 'dynamic');
    expect(document.report).toMatchObject({ verdict: 'match', engines: { expected: 'ort-cpu' } });
    expect(document.report!.trials.map(({ kind, passed }) => [kind, passed])).toContainEqual(['batch', true]);
  });

  it('of three at a time becomes five', () => {
    const three = convert(digits('digits.pth'), 'three.onnx', '--batch', '3');
    expect(convert(three.output, 'five.onnx', '--batch', '5').document.report).toMatchObject({ verdict: 'match', engines: { expected: 'ort-cpu' } });
  });

  it('is compared with a recording, cut into as many rows', () => {
    const { document } = convert(digits('digits.h5'), 'a.onnx', '--batch', '3', '--golden', digits('keras.npz'));
    expect(document.report).toMatchObject({ verdict: 'match', witness: { kind: 'recorded' } });
    const { output } = fixed();
    expect(convert(output, 'free.onnx', '--batch', 'dynamic', '--golden', digits('torch.npz')).document.report).toMatchObject({ verdict: 'match' });
  });

  it('of no number is refused', () => {
    expect(refused(digits('digits.h5'), 'a.onnx', '--batch', 'many')).toContain('dynamic');
    expect(refused(digits('digits.h5'), 'a.safetensors', '--batch', '2')).toContain('--batch changes the net');
  });
});

it('shrink takes the same changes', () => {
  const output = join(temporaryFolder(), 'a.onnx');
  const { status, stdout, stderr } = weighbridge(['shrink', VGG_BN, '-o', output, '--json', '--fold-batchnorm', '--batch', '2', '--until', 'block1_pool']);
  expect(status, stderr).toBe(0);
  const document = JSON.parse(stdout);
  expect(validateShrink(document), JSON.stringify(validateShrink.errors)).toBe(true);
  expect(validate(document)).toBe(false);
  expect(document.changes.map(({ transform }: { transform: string }) => transform)).toEqual(['cut', 'dead-ends', 'batch', 'fold-batchnorm']);
  expect(document.report.verdict).toBe('match');
});

describe('names of classes', () => {
  const names = ['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine'];
  const inspected = (path: string) => JSON.parse(weighbridge(['inspect', path, '--json']).stdout);

  it.each([
    ['a.onnx', []],
    ['web', ['--to', 'tfjs']],
    ['a.safetensors', []],
  ])('that the user gives are written into %s, and read there', (target, options) => {
    const list = join(temporaryFolder(), 'names.txt');
    writeFileSync(list, names.map((name, i) => `${i} ${name}`).join('\n'));
    const { output } = convert(digits('digits.h5'), target, '--labels', list, ...options);
    expect(inspected(output).labels.names).toEqual(names);
    expect(weighbridge(['inspect', output]).stdout).toMatch(/^classes +10: zero, one, .* \(the metadata of the file/m);
    const again = convert(output, 'again.safetensors');
    expect(inspected(again.output).labels.names).toEqual(names);
  });

  it('that lie beside a model go along and into the pages of reports; where there are too many, none do, and that is told', () => {
    const folder = temporaryFolder();
    const source = join(folder, 'model.h5');
    copyFileSync(digits('digits.h5'), source);
    writeFileSync(join(folder, 'labels.txt'), names.join('\n'));
    const page = join(folder, 'page.html');
    const { output, document } = convert(source, 'a.onnx', '--report', page, '--golden', digits('keras.npz'));
    expect(inspected(output).labels.names).toEqual(names);
    expect(document.warnings.map(({ code }) => code)).not.toContain('labels-unfit');
    expect(readFileSync(page, 'utf8')).toContain('>three<');
    expect(convert(source, 'a.pth').document.warnings.map(({ code }) => code)).toContain('labels-lost');
    writeFileSync(join(folder, 'labels.txt'), [...names, 'ten'].join('\n'));
    expect(convert(source, 'b.onnx').document.warnings.find(({ code }) => code === 'labels-unfit')!.message).toContain('11 classes are named by labels.txt');
    expect(refused(source, 'c.onnx', '--labels', join(folder, 'labels.txt'))).toContain('the net has 10');
  });
});

it('weights that an exporter shares through an Identity are those of the source', async () => {
  const path = join(temporaryFolder(), 'shared.onnx');
  const tensors = [float32Tensor('bias', [2], [0.5, 0.25], ORIGIN), float32Tensor('kernel', [2, 2, 1, 1], [1, 2, 3, 4], ORIGIN)];
  const nodes = [node('Identity', ['bias'], ['same']), node('Conv', ['x', 'kernel', 'bias'], ['a']), node('Conv', ['a', 'kernel', 'same'], ['y'])];
  writeFileSync(path, await onnxFile({ nodes, tensors, inputs: [['x', [1, 2, 3, 3]]] }));
  expect(convert(path, 'copy.onnx').document.report).toMatchObject({ verdict: 'match', weights: { judged: true, mismatches: [] } });
});
