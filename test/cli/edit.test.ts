/** What `convert` changes on the way: each option through the built command, as users give it. */
import { readFileSync } from 'node:fs';
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
