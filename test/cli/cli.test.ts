/** The built command: exit codes, JSON against the schemas, nothing left behind after a failure. */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import type { ModelDocument } from '../../src/inspect.js';
import { DIGITS, ROOT, temporaryFolder, weighbridge } from './run-cli.js';

const ajv = new Ajv2020({ strict: false, allErrors: true });
const validateMap = ajv.compile(JSON.parse(readFileSync(join(ROOT, 'schemas/layer-map.schema.json'), 'utf8')));
const validateReport = ajv.compile(JSON.parse(readFileSync(join(ROOT, 'schemas/report.schema.json'), 'utf8')));

const DIALECTS = [
  { model: 'digits.h5', golden: 'keras.npz', format: 'keras-h5' },
  { model: 'digits.pth', golden: 'torch.npz', format: 'pytorch' },
  { model: 'digits.caffemodel', golden: 'caffe.npz', format: 'caffe' },
];

describe.each(DIALECTS)('$model', ({ model, golden, format }) => {
  const path = join(DIGITS, model);

  it('is inspected as a document that fits the schema, with canonical names', () => {
    const { status, stdout } = weighbridge(['inspect', path, '--weights', '--json']);
    expect(status).toBe(0);
    const document = JSON.parse(stdout);
    expect(validateMap(document), JSON.stringify(validateMap.errors)).toBe(true);
    expect(document.format).toBe(format);
    expect(document.parameterCount).toBe(53_126);
    const canonical = document.layers.map((layer: { canonicalName?: string }) => layer.canonicalName).filter(Boolean);
    expect(canonical).toEqual(expect.arrayContaining(['conv1_1', 'conv3_2', 'fc6', 'fc8']));
    expect(document.tensors[0].sha256).toMatch(/^[0-9a-f]{64}$/);
  });

  it.each(['float32', 'float16'])('becomes %s ONNX that gives the recorded predictions', (dtype) => {
    const output = join(temporaryFolder(), 'digits.onnx');
    const { status, stdout } = weighbridge(['convert', path, '-o', output, '--dtype', dtype, '--golden', join(DIGITS, golden), '--json']);
    expect(status).toBe(0);
    const document = JSON.parse(stdout);
    expect(validateReport(document.report), JSON.stringify(validateReport.errors)).toBe(true);
    expect(document.report.verdict).toBe('match');
    expect(document.report.witness.kind).toBe('recorded');
    expect(document.files).toHaveLength(1);
    expect(document.files[0].sha256).toBe(createHash('sha256').update(readFileSync(output)).digest('hex'));
  });

  it('is verified by default, and names its witness', () => {
    const output = join(temporaryFolder(), 'digits.onnx');
    const { status, stdout } = weighbridge(['convert', path, '-o', output]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^match \(independent: |^match \(own reading/m);
    expect(stdout).toMatch(/^witness /m);
  });

  it('gives the same bytes twice, also through stdout', () => {
    const folder = temporaryFolder();
    weighbridge(['convert', path, '-o', join(folder, 'a.onnx'), '--no-verify']);
    const { status, bytes } = weighbridge(['convert', path, '-o', '-', '--to', 'onnx', '--no-verify']);
    expect(status).toBe(0);
    expect(bytes.equals(readFileSync(join(folder, 'a.onnx')))).toBe(true);
  });

  it('cut short, is refused with exit code 2 and leaves nothing behind', () => {
    const folder = temporaryFolder();
    const cut = join(folder, model);
    const whole = readFileSync(path);
    writeFileSync(cut, whole.subarray(0, whole.length - 1000));
    if (model.endsWith('.caffemodel')) copyFileSync(join(DIGITS, 'digits.prototxt'), join(folder, 'digits.prototxt'));
    const before = readdirSync(folder);
    const { status, stdout, stderr } = weighbridge(['convert', cut, '-o', join(folder, 'out.onnx')]);
    expect(status).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/^error {2}/);
    expect(stderr).not.toMatch(/\n\s+at /);
    expect(readdirSync(folder)).toEqual(before);
  });
});

describe('convert', () => {
  it('does not overwrite without --force', () => {
    const output = join(temporaryFolder(), 'x.onnx');
    writeFileSync(output, 'precious');
    const source = join(DIGITS, 'digits.h5');
    const refused = weighbridge(['convert', source, '-o', output, '--no-verify']);
    expect(refused.status).toBe(2);
    expect(refused.stderr).toContain('--force');
    expect(readFileSync(output, 'utf8')).toBe('precious');
    expect(weighbridge(['convert', source, '-o', output, '--no-verify', '--force']).status).toBe(0);
    expect(readFileSync(output).length).toBeGreaterThan(200_000);
  });

  it('takes a description and weights, in either order, for the one net that they are', () => {
    const folder = temporaryFolder();
    copyFileSync(join(DIGITS, 'digits.caffemodel'), join(folder, 'iter_1000.caffemodel'));
    copyFileSync(join(DIGITS, 'digits.prototxt'), join(folder, 'deploy.prototxt'));
    const both = [join(folder, 'deploy.prototxt'), join(folder, 'iter_1000.caffemodel')];
    const { status, stdout } = weighbridge(['convert', ...both, '-o', join(folder, 'a.onnx'), '--no-verify', '--json']);
    expect(status).toBe(0);
    expect(validateMap(JSON.parse(weighbridge(['inspect', ...both.toReversed(), '--json']).stdout))).toBe(true);
    expect((JSON.parse(stdout) as { files: unknown[] }).files).toHaveLength(1);
    const alone = weighbridge(['verify', ...both]);
    expect(alone.status).toBe(2);
    expect(alone.stderr).toContain('--golden');
  });

  it('says which extensions it knows', () => {
    const { status, stderr } = weighbridge(['convert', join(DIGITS, 'digits.h5'), '-o', join(temporaryFolder(), 'x.xyz')]);
    expect(status).toBe(2);
    expect(stderr).toContain('.onnx');
  });

  it.each(['digits.h5', 'digits.pth', 'digits.caffemodel'])('%s is inspected although the given input shape does not fit', (name) => {
    const { status, stdout } = weighbridge(['inspect', join(DIGITS, name), '--input-shape', '1,2,3', '--json']);
    const document = JSON.parse(stdout) as ModelDocument;
    expect(status).toBe(0);
    expect(document.layers.length).toBeGreaterThan(5);
    expect(document.warnings.filter(({ code }) => code === 'input-shape')).toHaveLength(1);
  });

  it('answers a missing file, an unknown flag and an unknown command with exit code 2', () => {
    for (const args of [['inspect', 'no-such-file.h5'], ['inspect', '--frobnicate'], ['frobnicate']]) {
      const { status, stderr } = weighbridge(args);
      expect(status).toBe(2);
      expect(stderr).toMatch(/^error/);
    }
  });

  it('prints an error as JSON where JSON is asked for', () => {
    const { status, stdout } = weighbridge(['inspect', 'no-such-file.h5', '--json']);
    expect(status).toBe(2);
    expect(JSON.parse(stdout).error.message).toContain('no-such-file.h5');
  });
});

describe('verify', () => {
  const folder = temporaryFolder();
  const output = join(folder, 'digits.onnx');
  weighbridge(['convert', join(DIGITS, 'digits.h5'), '-o', output, '--no-verify']);

  it('finds a file equal to its source', () => {
    const { status, stdout } = weighbridge(['verify', join(DIGITS, 'digits.h5'), output, '--json']);
    expect(status).toBe(0);
    const report = JSON.parse(stdout);
    expect(report.verdict).toBe('match');
    const hash = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex');
    const files = [
      [report.files.expected, join(DIGITS, 'digits.h5')],
      [report.files.actual, output],
    ];
    for (const [listed, path] of files) expect(listed).toEqual([{ path, byteLength: statSync(path).size, sha256: hash(path) }]);
  });

  it('exits with 1 where an independent witness is required and there is none', () => {
    const weights = join(folder, 'digits.safetensors');
    weighbridge(['convert', join(DIGITS, 'digits.h5'), '-o', weights, '--no-verify']);
    expect(weighbridge(['verify', join(DIGITS, 'digits.h5'), weights]).status).toBe(0);
    const { status, stdout } = weighbridge(['verify', join(DIGITS, 'digits.h5'), weights, '--require-witness']);
    expect(status).toBe(1);
    expect(stdout).toContain('no independent witness');
    expect(weighbridge(['verify', join(DIGITS, 'digits.h5'), output, '--require-witness']).status).toBe(0);
    expect(weighbridge(['convert', join(DIGITS, 'digits.h5'), '-o', join(folder, 'x.onnx'), '--no-verify', '--require-witness']).status).toBe(2);
  });

  it('exits with 1 when one weight is off', () => {
    const bytes = readFileSync(output);
    // A value inside the first convolution's kernel: any finite nonzero float in the last third of the file is a weight.
    const at = Math.floor(bytes.length / 2 / 4) * 4;
    bytes.writeFloatLE(bytes.readFloatLE(at) + 1, at);
    const broken = join(folder, 'broken.onnx');
    writeFileSync(broken, bytes);
    const { status, stdout } = weighbridge(['verify', join(DIGITS, 'digits.h5'), broken, '--json']);
    expect(status).toBe(1);
    expect(JSON.parse(stdout).verdict).toBe('mismatch');
  });
});

it('formats lists every reader and writer', () => {
  const { status, stdout } = weighbridge(['formats', '--json']);
  expect(status).toBe(0);
  const names = JSON.parse(stdout).formats.map((format: { name: string }) => format.name);
  expect(names).toEqual(expect.arrayContaining(['keras-h5', 'pytorch', 'caffe', 'onnx']));
});

describe('conveniences', () => {
  it('verifies one file against recorded outputs alone, and says what is missing without them', () => {
    const output = join(temporaryFolder(), 'digits.onnx');
    weighbridge(['convert', join(DIGITS, 'digits.h5'), '-o', output, '--no-verify']);
    const { status, stdout } = weighbridge(['verify', output, '--golden', join(DIGITS, 'keras.npz'), '--json']);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ verdict: 'match', witness: { kind: 'recorded' }, weights: null });
    const torch = weighbridge(['verify', output, '--golden', join(DIGITS, 'torch.npz')]);
    expect(torch.status).not.toBe(0);
    const alone = weighbridge(['verify', output]);
    expect(alone.status).toBe(2);
    expect(alone.stderr).toContain('--golden');
  });

  it.each([
    ['fp16', 'float16'],
    ['half', 'float16'],
    ['FP32', 'float32'],
    ['bf16', 'bfloat16'],
    ['q8', 'int8'],
  ])('takes %s for %s', (alias, dtype) => {
    const output = join(temporaryFolder(), 'digits.onnx');
    const { status, stdout } = weighbridge(['convert', join(DIGITS, 'digits.h5'), '-o', output, '--dtype', alias, '--no-verify', '--json']);
    expect(status).toBe(0);
    expect(JSON.parse(stdout).target.dtype).toBe(dtype);
  });

  it.each([
    [['--to', 'onx'], '"onnx"'],
    [['--dtype', 'flaot16'], '"float16"'],
    [['--from', 'pytorh'], '"pytorch"'],
    [['--engine', 'ort-wams'], '"ort-wasm"'],
  ])('has a guess what %s was to mean', (options, meant) => {
    const { status, stderr } = weighbridge(['convert', join(DIGITS, 'digits.h5'), '-o', join(temporaryFolder(), 'digits.onnx'), ...options]);
    expect(status).toBe(2);
    expect(stderr).toContain(`Did you mean ${meant}`);
  });

  it
    .skipIf(!existsSync('/dev/full'))
    .each([`inspect ${join(DIGITS, 'digits.h5')} --json`, 'formats', `convert ${join(DIGITS, 'digits.h5')} -o - --to safetensors`])(
    'says once that stdout is full, and that is exit code 2: %s',
    (line) => {
      const { status, stderr } = spawnSync('/bin/sh', ['-c', `"$0" "$1" ${line} --quiet >/dev/full`, process.execPath, join(ROOT, 'dist/cli/main.cjs')]);
      expect([status, stderr.toString()]).toEqual([2, expect.stringMatching(/^error {2}stdout: could not be written: ENOSPC[^\n]*\n$/)]);
    },
  );

  it.each([
    ['differences', ['diff', join(DIGITS, 'digits.h5'), join(DIGITS, 'keras.npz')], 1],
    ['none', ['diff', join(DIGITS, 'digits.h5'), join(DIGITS, 'digits.h5')], 0],
  ] as const)('tells by its exit code of %s where nobody reads what it says any more', async (_, args, status) => {
    const child = spawn(process.execPath, [join(ROOT, 'dist/cli/main.cjs'), ...args], { stdio: ['ignore', 'pipe', 'ignore'] });
    child.stdout.destroy();
    expect(await new Promise((resolve) => child.once('exit', resolve))).toBe(status);
  });

  it('tells by its exit code alone where stderr is full', () => {
    if (!existsSync('/dev/full')) return;
    const line = ['-c', '"$0" "$1" inspect none.h5 2>/dev/full', process.execPath, join(ROOT, 'dist/cli/main.cjs')];
    expect(spawnSync('/bin/sh', line).status).toBe(2);
  });

  it.each([
    ['--engine', 'nonsense'],
    ['--engine', 'ort-cpu'],
    ['--device', 'gpu'],
  ])('is asked for a run by %s %s where weights alone would be compared, and says so before it writes', (...asked) => {
    const output = join(temporaryFolder(), 'a.npz');
    const refused = { status: 2, stderr: expect.stringContaining('nothing would be run') };
    expect(weighbridge(['convert', join(DIGITS, 'digits.h5'), '-o', output, ...asked])).toMatchObject(refused);
    expect(existsSync(output)).toBe(false);
    weighbridge(['convert', join(DIGITS, 'digits.h5'), '-o', output, '--no-verify']);
    expect(weighbridge(['verify', join(DIGITS, 'digits.h5'), output, ...asked])).toMatchObject(refused);
  });

  it('colours what goes into a pipe where FORCE_COLOR asks for it, and nothing where NO_COLOR does', () => {
    const formats = (env: Record<string, string>) => weighbridge(['formats'], undefined, { NO_COLOR: '', ...env }).stdout;
    expect(formats({})).not.toContain('\u001b[');
    expect(formats({ FORCE_COLOR: '1' })).toContain('\u001b[');
    expect(formats({ FORCE_COLOR: '0' })).not.toContain('\u001b[');
    expect(formats({ FORCE_COLOR: '1', NO_COLOR: '1' })).not.toContain('\u001b[');
  });
});
