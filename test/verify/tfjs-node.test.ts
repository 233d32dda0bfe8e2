/**
 * The adapter for `@tensorflow/tfjs-node`, which is not among the dependencies, on a stand-in of the same interface: TensorFlow.js's
 * CPU backend under the name of TensorFlow's. Where the real package is installed, `tfjs-node-real.test.ts` runs it.
 */
import { join } from 'node:path';
import util from 'node:util';
import { afterEach, expect, test, vi } from 'vitest';
import type { Engine, NdArray } from '../../src/verify/engine.js';
import { engines } from '../../src/verify/engines/index.js';
import { tfjsCpu } from '../../src/verify/engines/tfjs-cpu.js';
import { readGolden } from '../golden.js';
import { openedFiles } from '../open-files.js';

const DIGITS = join(import.meta.dirname, '../../demo/digits');
const engine = (name: string): Engine => engines.find((candidate) => candidate.name === name)!;
const legacy = util as { isNullOrUndefined?: (value: unknown) => boolean };

/** How the package looked at the world when it was imported. */
let seen: { oneDnn: string | undefined; isNullOrUndefined: boolean } | undefined;

async function standIn(name: string, isUsingGpuDevice: boolean): Promise<void> {
  const core = await import('@tensorflow/tfjs-core');
  const layers = await import('@tensorflow/tfjs-layers');
  const converter = await import('@tensorflow/tfjs-converter');
  const { MathBackendCPU } = await import('@tensorflow/tfjs-backend-cpu');
  if (core.findBackendFactory('tensorflow')) core.removeBackend('tensorflow');
  core.registerBackend('tensorflow', () => Object.assign(new MathBackendCPU(), { isUsingGpuDevice }));
  if (core.getKernelsForBackend('tensorflow').length === 0) core.copyRegisteredKernels('cpu', 'tensorflow');
  vi.doMock(name, () => {
    seen = { oneDnn: process.env.TF_ENABLE_ONEDNN_OPTS, isNullOrUndefined: legacy.isNullOrUndefined?.(null) === true };
    return { default: { ...core, ...layers, ...converter, version: { 'tfjs-node': '4.22.0' } } };
  });
}

afterEach(() => {
  vi.doUnmock('@tensorflow/tfjs-node');
  vi.doUnmock('@tensorflow/tfjs-node-gpu');
});

/** Predictions of the digits net for the pictures of the demo. */
async function predictions(on: Engine): Promise<NdArray> {
  const { input } = await readGolden(join(DIGITS, 'keras.npz'));
  const session = await on.open({ files: await openedFiles(join(DIGITS, 'digits.h5')), path: join(DIGITS, 'digits.h5') });
  const results = await session.run(new Map([[session.inputs[0]!.name, input]]));
  await session.close();
  return [...results.values()][0]!;
}

async function largestError(on: Engine): Promise<number> {
  const { output } = await readGolden(join(DIGITS, 'keras.npz'));
  const found = await predictions(on);
  return Math.max(...Array.from(output.data, (value, i) => Math.abs(value - Number(found.data[i]))));
}

test('the adapter runs the net on the backend of that name, with the settings made before the import', async () => {
  const { isNullOrUndefined } = legacy;
  delete legacy.isNullOrUndefined;
  try {
    await standIn('@tensorflow/tfjs-node', false);
    expect(await engine('tfjs-node').availability()).toEqual({ available: true, detail: '@tensorflow/tfjs-node 4.22.0, CPU' });
    expect(seen).toEqual({ oneDnn: '0', isNullOrUndefined: true });
    expect(await largestError(engine('tfjs-node'))).toBeLessThan(1e-6);
    const { getBackend } = await import('@tensorflow/tfjs-core');
    expect(getBackend()).toBe('tensorflow');
  } finally {
    if (isNullOrUndefined) legacy.isNullOrUndefined = isNullOrUndefined;
  }
});

test('the GPU engine is there only when the library says that it computes on one', async () => {
  await standIn('@tensorflow/tfjs-node-gpu', false);
  expect(await engine('tfjs-node-gpu').availability()).toMatchObject({ available: false, detail: expect.stringContaining('finds no GPU') });
  await expect(predictions(engine('tfjs-node-gpu'))).rejects.toMatchObject({ kind: 'engine' });
  await standIn('@tensorflow/tfjs-node-gpu', true);
  await tfjsCpu.availability();
  expect(await engine('tfjs-node-gpu').availability()).toMatchObject({ available: true, adapter: { software: false } });
});
