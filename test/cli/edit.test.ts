/** What `convert` changes on the way: each option through the built command, as users give it. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import type { ConvertDocument } from '../../src/cli/commands/convert.js';
import { DIGITS, ROOT, temporaryFolder, weighbridge } from './run-cli.js';

const validate = new Ajv2020({ strict: false, allErrors: true }).compile(JSON.parse(readFileSync(join(ROOT, 'schemas/report.schema.json'), 'utf8')));

function convert(source: string, target: string, ...options: readonly string[]): { document: ConvertDocument; output: string } {
  const output = join(temporaryFolder(), target);
  const { status, stdout, stderr } = weighbridge(['convert', source, '-o', output, '--json', ...options]);
  expect(status, stderr).toBe(0);
  const document = JSON.parse(stdout) as ConvertDocument;
  expect(validate(document.report), JSON.stringify(validate.errors)).toBe(true);
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
    expect(document.changes.map(({ transform }) => transform)).toEqual(['cut', 'dead-ends']);
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
