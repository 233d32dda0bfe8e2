/** What lay under the name of an output is there again where the new one could not be verified, and what is packed is held to the same as what is not. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DIGITS, ROOT, temporaryFolder, weighbridge } from './run-cli.js';

function prepared(): string {
  const folder = temporaryFolder();
  for (const name of ['digits.h5', 'caffe.npz']) copyFileSync(join(DIGITS, name), join(folder, name));
  writeFileSync(join(folder, 'keep.onnx'), 'good');
  mkdirSync(join(folder, 'web'));
  writeFileSync(join(folder, 'web/model.json'), 'good');
  return folder;
}

function contents(folder: string): Record<string, string> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return Object.fromEntries(files.map(({ parentPath, name }) => [join(parentPath, name), readFileSync(join(parentPath, name)).toString('base64')]).sort());
}

describe('what was there before is there still', () => {
  it.each([
    ['an engine that does not run the format', ['-o', 'keep.onnx', '--engine', 'tfjs-webgpu']],
    ['an engine, for a folder', ['-o', 'web', '--to', 'tfjs', '--engine', 'ort-cpu']],
    ['a recording of other shapes', ['-o', 'keep.onnx', '--golden', 'caffe.npz']],
    ['inputs of other shapes', ['-o', 'keep.onnx', '--inputs', 'caffe.npz']],
    ['the same, for a folder', ['-o', 'web', '--to', 'tfjs', '--inputs', 'caffe.npz']],
  ])('%s', (_, words) => {
    const folder = prepared();
    const before = contents(folder);
    const { status, stderr } = weighbridge(['convert', 'digits.h5', ...words, '--force'], folder);
    expect(stderr).toMatch(/^error {2}/m);
    expect(stderr).not.toMatch(/was removed/);
    expect(status).toBe(2);
    expect(contents(folder)).toEqual(before);
  });

  it('takes the place of it where it was verified, and leaves nothing beside it', () => {
    const folder = prepared();
    expect(weighbridge(['convert', 'digits.h5', '-o', 'keep.onnx', '--force', '--samples', '1'], folder).status).toBe(0);
    expect(readFileSync(join(folder, 'keep.onnx')).length).toBeGreaterThan(10_000);
    expect(readdirSync(folder).sort()).toEqual(['caffe.npz', 'digits.h5', 'keep.onnx', 'web']);
  });

  it.skipIf(process.platform === 'win32').each([
    ['keep.onnx', 'SIGINT', 130],
    ['new.onnx', 'SIGTERM', 143],
  ] as const)('%s, where %s ends the verification', async (output, signal, code) => {
    const folder = prepared();
    const before = contents(folder);
    const command = ['convert', 'digits.h5', '-o', output, '--force', '--samples', '100000'];
    const child = spawn(process.execPath, [join(ROOT, 'dist/cli/main.cjs'), ...command], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
    const heard: Buffer[] = [];
    child.stderr.on('data', (chunk: Buffer) => heard.push(chunk));
    child.stdout.on('data', (chunk: Buffer) => {
      if (chunk.includes('wrote')) child.kill(signal);
    });
    expect((await once(child, 'close'))[0]).toBe(code);
    const said = Buffer.concat(heard).toString();
    expect(said).toContain(`${output} was removed, because it was not verified yet`);
    expect(said.includes('what was there before is there again')).toBe(output === 'keep.onnx');
    expect(contents(folder)).toEqual(before);
  });
});

describe('packed files', () => {
  it.each([
    ['a.onnx.gz', ['-o', 'a.onnx', '--no-verify']],
    ['web', ['-o', 'web', '--to', 'tfjs', '--no-verify']],
  ])('that are read are not written over: %s', (source, words) => {
    const folder = prepared();
    const made = weighbridge(['convert', 'digits.h5', ...words, '--compress', 'gzip', '--force'], folder);
    expect(made.status).toBe(0);
    for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
      if (/(a\.onnx|model\.json|\.bin)$/.test(name)) rmSync(join(folder, name));
    }
    const before = contents(folder);
    for (const command of ['convert', 'shrink']) {
      const { status, stderr } = weighbridge([command, source, ...words.filter((word) => word !== '--no-verify'), '--force', '--compress', 'gzip'], folder);
      expect(stderr).toMatch(/^error {2}.*will not be overwritten/m);
      expect(status).toBe(2);
      expect(contents(folder)).toEqual(before);
    }
  });

  it('that are there already are told before anything is written', () => {
    const folder = prepared();
    writeFileSync(join(folder, 'x.onnx.gz'), 'mine');
    const before = contents(folder);
    const { status, stderr } = weighbridge(['convert', 'digits.h5', '-o', 'x.onnx', '--compress', 'gzip'], folder);
    expect(stderr).toMatch(/^error {2}.*x\.onnx\.gz: exists already/m);
    expect(stderr).not.toContain('wrote');
    expect([status, contents(folder)]).toEqual([2, before]);
  });
});
