/** Installing runs no code of a dependency's and asks nobody but the registry. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import packageJson from '../package.json' with { type: 'json' };
import lockfile from '../package-lock.json' with { type: 'json' };

type Locked = { readonly resolved?: string; readonly hasInstallScript?: boolean; readonly optional?: boolean };
const locked = Object.entries(lockfile.packages as Record<string, Locked>);

test('no install script runs: that of onnxruntime-node would download CUDA libraries, and hang where it cannot', () => {
  expect(readFileSync(new URL('../scripts/setup.mjs', import.meta.url), 'utf8')).toMatch(/'ci', '--ignore-scripts'/);
  expect(packageJson.allowScripts).toMatchObject({ 'onnxruntime-node': false, webgpu: false });
});

test('the lockfile names no address, so that every package comes from the registry that npm is set to', () => {
  expect(locked.filter(([, { resolved }]) => resolved !== undefined)).toEqual([]);
});

test('the native runtimes may be missing: they are optional', () => {
  for (const name of ['onnxruntime-node', 'webgpu', '@tensorflow/tfjs-backend-webgpu']) {
    expect(packageJson.optionalDependencies).toHaveProperty([name]);
    expect(locked.find(([path]) => path === `node_modules/${name}`)?.[1].optional, name).toBe(true);
  }
});

test('a package made of a fresh clone is built first, and holds the command once', () => {
  const root = fileURLToPath(new URL('..', import.meta.url));
  const clone = mkdtempSync(join(tmpdir(), 'weighbridge-pack-'));
  try {
    for (const name of [
      'src',
      'scripts',
      'schemas',
      'docs',
      'demo',
      'package.json',
      'tsconfig.json',
      'tsconfig.build.json',
      'README.md',
      'LICENSE',
      'CHANGELOG.md',
    ]) {
      cpSync(join(root, name), join(clone, name), { recursive: true });
    }
    symlinkSync(join(root, 'node_modules'), join(clone, 'node_modules'), 'junction');
    const printed = execFileSync('npm', ['pack', '--json', '--dry-run'], { cwd: clone, encoding: 'utf8', shell: process.platform === 'win32' });
    const [{ files }] = JSON.parse(printed.slice(printed.indexOf('[\n'))) as [{ files: { path: string; mode: number }[] }];
    const paths = files.map(({ path }) => path);
    expect(paths).toEqual(
      expect.arrayContaining(['dist/index.js', 'dist/index.d.ts', 'dist/node/index.js', 'dist/cli/main.js', 'dist/cli/chunks/engine-child.js']),
    );
    expect(paths.filter((path) => /^(src|test|node_modules)\/|^dist\/cli\/(commands|demo|golden)\//.test(path))).toEqual([]);
    expect(files.find(({ path }) => path === 'dist/cli/main.js')!.mode & 0o111).not.toBe(0);
  } finally {
    rmSync(clone, { recursive: true, force: true });
  }
}, 300_000);
