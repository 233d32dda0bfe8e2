/** `weighbridge engines`: what can run here, and the line that installs the rest; and verification without the native runtime. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, test } from 'vitest';
import type { EnginesDocument } from '../../src/cli/commands/engines.js';
import { engines } from '../../src/verify/engines/index.js';
import { lineFor } from '../../src/verify/engines/install.js';
import { DIGITS, ROOT, type Run, temporaryFolder, weighbridge } from './run-cli.js';

const validate = new Ajv2020().compile(JSON.parse(readFileSync(join(ROOT, 'schemas/engines.schema.json'), 'utf8')));
const HOOK = fileURLToPath(new URL('without-packages.mjs', import.meta.url));

const INSTALL = 'npm install --ignore-scripts weighbridge-engines';

/** Runs the command as if packages were not installed. */
function without(packages: readonly string[], args: readonly string[]): Run {
  return weighbridge(args, undefined, { NODE_OPTIONS: `--import ${HOOK}`, WEIGHBRIDGE_TEST_WITHOUT: ['weighbridge-engines', ...packages].join() });
}

function listed(run: Run): Map<string, EnginesDocument['engines'][number]> {
  expect(run.status, run.stderr).toBe(0);
  const document = JSON.parse(run.stdout) as EnginesDocument;
  expect(validate(document), JSON.stringify(validate.errors)).toBe(true);
  return new Map(document.engines.map((engine) => [engine.name, engine]));
}

test('the document fits its schema and lists every engine once, in order of preference', () => {
  const found = listed(weighbridge(['engines', '--json']));
  expect([...found.keys()]).toEqual(engines.map(({ name }) => name));
  expect(found.size).toBe(13);
  for (const name of ['ort-cpu', 'ort-wasm', 'tfjs-wasm', 'tfjs-cpu', 'opencv', 'evaluator', 'reference', 'recorded'])
    expect(found.get(name)!.available, name).toBe(true);
  for (const { available, detail, device, adapter } of found.values()) {
    expect(detail).not.toBe('');
    expect(adapter !== null).toBe(available && device === 'gpu');
  }
});

test('the table says for each engine what it is, or what is missing', () => {
  const { stdout, status } = weighbridge(['engines']);
  expect(status).toBe(0);
  for (const { name } of engines) expect(stdout).toMatch(new RegExp(`^${name} +(cpu|gpu) +(yes|no) `, 'm'));
  expect(stdout).toMatch(/ort-cpu +cpu +yes +onnx +onnxruntime-node \d+\.\d+\.\d+, CPU/);
});

describe('as if packages were not installed', () => {
  test('each engine names the line that installs it', () => {
    const packages = ['onnxruntime-node', 'webgpu', 'onnxruntime-web', '@tensorflow/tfjs-backend-wasm', 'opencv-wasm', '@tensorflow/tfjs-node'];
    const found = listed(without(packages, ['engines', '--json']));
    for (const name of ['ort-cpu', 'ort-webgpu', 'ort-wasm', 'tfjs-wasm', 'tfjs-webgpu', 'opencv'])
      expect(found.get(name), name).toMatchObject({ available: false, detail: `not installed; ${INSTALL}` });
    expect(found.get('tfjs-node')).toMatchObject({ available: false, detail: 'not installed; npm install @tensorflow/tfjs-node' });
    expect(found.get('reference')).toMatchObject({ available: true });
  });

  test('without the package webgpu no adapter could be named, so ONNX Runtime on WebGPU is not used', () => {
    const found = listed(without(['webgpu'], ['engines', '--json']));
    expect(found.get('ort-webgpu')).toMatchObject({
      available: false,
      detail: expect.stringMatching(/could not be named.*npm install --ignore-scripts weighbridge-engines/),
    });
  });

  test('without onnxruntime-node a conversion is verified by ort-wasm, and a line tells how to add it', () => {
    const out = join(temporaryFolder(), 'digits.onnx');
    const run = without(['onnxruntime-node'], ['convert', join(DIGITS, 'digits.h5'), '-o', out]);
    expect(run.status, run.stderr).toBe(0);
    expect(run.stdout).toMatch(/-> ort-wasm/);
    expect(run.stdout).toMatch(/^match[ :(]/m);
    expect(run.stdout).toContain(`not run with ort-cpu: not installed; ${INSTALL}`);
  });

  test('without any runtime for ONNX our own evaluator runs the file, on whose word is said, and what installs a runtime is told', () => {
    const out = join(temporaryFolder(), 'digits.onnx');
    const run = without(['onnxruntime-node', 'onnxruntime-web'], ['convert', join(DIGITS, 'digits.h5'), '-o', out]);
    expect(run.status, run.stderr).toBe(0);
    expect(run.stdout).toMatch(/-> evaluator/);
    expect(run.stdout).toMatch(/^match \(independent: tfjs-wasm on the original; own reading of the file\)/m);
    expect(run.stdout).toContain(`not run with ort-cpu, ort-wasm: not installed; ${INSTALL}`);
  });

  test('without any runtime at all both files are read by us, and a witness that is required is missed', () => {
    const out = join(temporaryFolder(), 'digits.onnx');
    const packages = ['onnxruntime-node', 'onnxruntime-web', '@tensorflow/tfjs-core', '@tensorflow/tfjs-node'];
    const run = without(packages, ['convert', join(DIGITS, 'digits.h5'), '-o', out, '--require-witness']);
    expect(run.stdout).toMatch(/^match \(own reading of both files; not tfjs-wasm/m);
    expect(run.stdout).toContain(`not available as an independent witness: tfjs-wasm, tfjs-cpu: not installed; ${INSTALL}`);
    expect(run.status).toBe(1);
  });
});

test('an engine or a device that is none is a usage error', () => {
  const verify = ['verify', join(DIGITS, 'digits.h5'), join(DIGITS, 'digits.h5')];
  expect(weighbridge([...verify, '--device', 'tpu']).status).toBe(2);
  expect(weighbridge(['engines', '--json'], undefined, { WEIGHBRIDGE_ENGINE_TIMEOUT: 'soon' })).toMatchObject({ status: 2 });
});

test.each([
  ['a clone', 'file:///home/me/weighbridge/dist/verify/engines/install.js', [], 'npm install PACKAGE'],
  ['a project', 'file:///home/me/app/node_modules/weighbridge/dist/x.js', ['file:///home/me/app/'], 'npm install PACKAGE'],
  ['everybody', 'file:///usr/local/lib/node_modules/weighbridge/dist/x.js', [], 'npm install -g PACKAGE'],
  ['everybody, on Windows', 'file:///C:/Users/me/AppData/Roaming/npm/node_modules/weighbridge/dist/x.js', [], 'npm install -g PACKAGE'],
  [
    'one command',
    'file:///home/me/.npm/_npx/0a1b/node_modules/weighbridge/dist/x.js',
    ['file:///home/me/.npm/_npx/0a1b/'],
    'npx -y -p weighbridge -p PACKAGE weighbridge ...',
  ],
  ['a project of pnpm', 'file:///app/node_modules/.pnpm/weighbridge@1/node_modules/weighbridge/dist/x.js', ['file:///app/'], 'pnpm add PACKAGE'],
])('the line installs where the command looks, when that is installed for %s', (_, url, projects, line) => {
  expect(lineFor(url, 'PACKAGE', (folder) => projects.includes(folder))).toBe(line);
});
