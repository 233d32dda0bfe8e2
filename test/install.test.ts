/** Installing runs no code of a dependency's and asks nobody but the registry. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import packageJson from '../package.json' with { type: 'json' };
import lockfile from '../package-lock.json' with { type: 'json' };

type Locked = { readonly resolved?: string; readonly hasInstallScript?: boolean; readonly optional?: boolean };
const locked = Object.entries(lockfile.packages as Record<string, Locked>);

test('no install script runs: that of onnxruntime-node would download CUDA libraries, and hang where it cannot', () => {
  expect(readFileSync(new URL('../.npmrc', import.meta.url), 'utf8')).toMatch(/^ignore-scripts=true$/m);
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
