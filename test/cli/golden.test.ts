/** `weighbridge golden`: the printed scripts are Python, and what they recorded is what `verify --golden` reads. */
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { memorySource } from '../../src/bytes/byte-source.js';
import { readNpz } from '../../src/containers/npy.js';
import { toFloat32Array } from '../../src/model/cast.js';
import { tensorBytes } from '../../src/model/tensor.js';
import { DIGITS, ROOT, temporaryFolder, weighbridge } from './run-cli.js';

const FIXTURES = join(ROOT, 'test/fixtures/golden');
const CASES = [
  { framework: 'torch', model: join(DIGITS, 'digits.pth'), options: ['--input-shape', '1,3,32,32'] },
  { framework: 'keras', model: join(ROOT, 'test/fixtures/keras-h5/vgg-bn/model.h5'), options: [] },
  { framework: 'caffe', model: join(DIGITS, 'digits.caffemodel'), options: [] },
  { framework: 'tensorflow', model: join(FIXTURES, 'tensorflow/net.tflite'), options: [] },
  { framework: 'onnx', model: join(ROOT, 'test/fixtures/onnx-exporters/small/model.onnx'), options: [] },
];
/** What runs these gives no layers. */
const WITHOUT_LAYERS: readonly string[] = ['tensorflow', 'onnx'];
/** Of the recordings; the ONNX net's batch is two, and one sample. */
const SAMPLES: Readonly<Record<string, number>> = { keras: 1, onnx: 1 };

/** A Python in which a program runs, or null. */
function pythonWith(program: string): string | null {
  return ['/usr/bin/python3', 'python3'].find((python) => spawnSync(python, ['-c', program]).status === 0) ?? null;
}

const python = pythonWith('import ast');
const pythonTorch = pythonWith('import torch, numpy');

describe.each(CASES)('$framework', ({ framework, model, options }) => {
  const script = (...more: string[]) => weighbridge(['golden', '--framework', framework, ...options, ...more]).stdout;

  it('prints the same script each time, and the settings that were asked for', () => {
    expect(script('--samples', '3', '--seed', '7')).toMatch(/^SAMPLES = 3\nSEED = 7$/m);
    expect(script()).toBe(script());
    expect(script('--input-shape', 'N,5,6,7')).toContain('SHAPE = (5, 6, 7)');
  });

  it('records layers only where asked, and where something can', () => {
    if (WITHOUT_LAYERS.includes(framework))
      expect(weighbridge(['golden', '--framework', framework, '--layers'])).toMatchObject({ status: 2, stderr: expect.stringContaining('--layers') });
    else expect(script('--layers')).toMatch(/"layer:/);
    expect(script()).not.toMatch(/"layer:/);
  });

  it.skipIf(python === null)('is valid Python (skipped where there is no python3)', () => {
    for (const text of WITHOUT_LAYERS.includes(framework) ? [script()] : [script(), script('--layers')]) {
      const { status, stderr } = spawnSync(python!, ['-c', 'import ast, sys; ast.parse(sys.stdin.read())'], { input: text });
      expect(stderr.toString()).toBe('');
      expect(status).toBe(0);
    }
  });

  it('what it recorded is the witness of a conversion', () => {
    const output = join(temporaryFolder(), 'model.onnx');
    const { status, stdout } = weighbridge(['convert', model, '-o', output, '--golden', join(FIXTURES, framework, 'recorded.npz'), '--json']);
    expect(status).toBe(0);
    const { report } = JSON.parse(stdout);
    expect(report.verdict).toBe('match');
    expect(report.witness.kind).toBe('recorded');
    expect(report.inputs.samples).toBe(SAMPLES[framework] ?? 2);
  });

  it('its inputs differ from channel to channel', async () => {
    const path = join(FIXTURES, framework, 'recorded.npz');
    const input = (await readNpz(memorySource(new Uint8Array(readFileSync(path)), path))).get('input')!;
    const values = toFloat32Array(await tensorBytes(input), input.dtype);
    const isLast = framework === 'keras' || framework === 'tensorflow';
    const [channels, pixels] = isLast ? [input.shape[3]!, input.shape[1]! * input.shape[2]!] : [input.shape[1]!, input.shape[2]! * input.shape[3]!];
    const means = Array.from({ length: channels }, (_, c) => {
      let sum = 0;
      for (let i = 0; i < pixels; i++) sum += values[isLast ? i * channels + c : c * pixels + i]!;
      return sum / pixels;
    });
    const sorted = [...means].sort((a, b) => a - b);
    for (let c = 1; c < channels; c++) expect(sorted[c]! - sorted[c - 1]!).toBeGreaterThan(0.1);
  });
});

it.skipIf(pythonTorch === null)('the PyTorch script runs, on weights with their network and on a whole module (skipped where there is no PyTorch)', () => {
  const folder = temporaryFolder();
  copyFileSync(join(FIXTURES, 'torch/digitsnet.py'), join(folder, 'digitsnet.py'));
  const weights = join(DIGITS, 'digits.pth');
  writeFileSync(join(folder, 'record.py'), weighbridge(['golden', '--framework', 'torch', '--input-shape', '1,3,32,32', '--samples', '2', '--layers']).stdout);
  const run = (...args: string[]) => spawnSync(pythonTorch!, args, { cwd: folder });
  expect(run('record.py', weights, 'a.npz', '--build', 'digitsnet:Digits').stderr.toString()).toBe('');
  run('-c', `import torch, digitsnet; m = digitsnet.Digits(); m.load_state_dict(torch.load(${JSON.stringify(weights)})); torch.save(m, "whole.pt")`);
  expect(run('record.py', 'whole.pt', 'b.npz').stderr.toString()).toBe('');
  expect(readFileSync(join(folder, 'a.npz')).equals(readFileSync(join(folder, 'b.npz')))).toBe(true);
  const { status } = weighbridge(['convert', weights, '-o', join(folder, 'd.onnx'), '--golden', join(folder, 'a.npz')]);
  expect(status).toBe(0);
  expect(run('record.py', weights, 'c.npz').stderr.toString()).toContain('--build');
});

it.each([
  ['an unknown framework', ['--framework', 'mxnet']],
  ['no framework and no model', []],
  ['a model that is not there', ['none.h5']],
  ['files of no framework', [join(DIGITS, 'keras.npz')]],
  ['layers of what gives none', ['--framework', 'tensorflow', '--layers']],
  ['PyTorch without a shape', ['--framework', 'torch']],
  ['a free size behind the batch', ['--framework', 'torch', '--input-shape', '1,N,32,32']],
  ['a batch alone', ['--framework', 'torch', '--input-shape', '1']],
  ['no samples', ['--framework', 'keras', '--samples', '0']],
])('refuses %s', (_what, args) => {
  const { status, stdout, stderr } = weighbridge(['golden', ...args]);
  expect(status).toBe(2);
  expect(stdout).toBe('');
  expect(stderr).toMatch(/^error/);
});

it.each(CASES.filter(({ framework }) => framework !== 'caffe'))(
  'takes the framework ($framework) and what flows in from the model, and says how to run it',
  (given) => {
    const { stdout, stderr } = weighbridge(['golden', given.model, '--samples', '2']);
    expect(stdout).toBe(weighbridge(['golden', '--framework', given.framework, ...given.options, '--samples', '2']).stdout);
    const build = given.framework === 'torch' ? ' --build module:function' : '';
    expect(stderr).toContain(`run      python record.py ${given.model} recorded.npz${build}\n`);
  },
);

it('asks nobody what builds the network of TorchScript, which holds it', () => {
  const model = join(ROOT, 'test/fixtures/torchscript/scripted-control/model.pt');
  expect(weighbridge(['golden', model, '--input-shape', '1,3,8,8']).stderr).toContain(`run      python record.py ${model} recorded.npz\n`);
});

it('is the next step where nobody but our own reader says what a file predicts', () => {
  const model = join(FIXTURES, 'tensorflow/net.tflite');
  const { stderr } = weighbridge(['convert', model, '-o', join(temporaryFolder(), 'a.onnx')]);
  expect(stderr).toContain(`next     weighbridge golden ${model} -o record.py`);
});

it('says that Caffe wants the net beside its weights', () => {
  expect(weighbridge(['golden', join(DIGITS, 'digits.caffemodel')]).stderr).toContain(
    `record.py net.prototxt ${join(DIGITS, 'digits.caffemodel')} recorded.npz`,
  );
});

it('writes a file with -o, and replaces one only with --force', () => {
  const path = join(temporaryFolder(), 'record.py');
  const args = ['golden', '--framework', 'keras', '-o', path];
  expect(weighbridge(args)).toMatchObject({ status: 0, stdout: '' });
  expect(existsSync(path)).toBe(true);
  expect(weighbridge(args).status).toBe(2);
  expect(weighbridge([...args, '--force']).status).toBe(0);
});
