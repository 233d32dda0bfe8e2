// @module-tag slow
/** Inputs that `shrink` works codes and ranges out on are those that the changed net takes, and numbers. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { float32Tensor } from '../../src/model/tensor.js';
import { shrinkFile } from '../../src/node/index.js';
import { temporaryFolder } from './temporary-folder.js';

const DIGITS = fileURLToPath(new URL('../../demo/digits', import.meta.url));
const H5 = join(DIGITS, 'digits.h5');
const SIZE = 32 * 32 * 3;
/** Pictures of 0 to 255 become 0 to 1. */
const UNIT = { order: 'RGB', mean: [0], scale: [1 / 255], from: '--preprocess' } as const;

describe.each([
  ['recorded, which are prepared', { golden: join(DIGITS, 'keras.npz') }],
  ['pictures', { inputs: join(DIGITS, 'images') }],
])('inputs that are %s', (_, given) => {
  it.each([{ activations: 'uint8' }, { method: 'best' }] as const)('are turned into what a net takes that prepares pictures itself: %o', async (how) => {
    const preprocess = { values: UNIT, framing: {} };
    const document = await shrinkFile(H5, join(temporaryFolder(), 'a.onnx'), { ...how, ...given, embedPreprocessing: true, preprocess });
    expect([document.agreement!.share, document.report!.verdict]).toEqual([1, 'match']);
    if ('method' in how) expect(document.changes.at(-1)!.message).toMatch(/feedback: [\d.]+ % before, [\d.]+ % with it/);
  });
});

describe.each([Number.NaN, Number.POSITIVE_INFINITY])('an input with %d', (value) => {
  it.each([{ activations: 'uint8' }, { method: 'best' }, { budget: 60_000 }] as const)('is refused, naming it and the row: %o', async (how) => {
    const values = new Float32Array(24 * SIZE).fill(0.5);
    // Among the rows that are kept back to choose by.
    values[23 * SIZE + 100] = value;
    const inputs = new Map([['input', float32Tensor('input', [24, 32, 32, 3], values, { file: 'test' })]]);
    const path = join(temporaryFolder(), 'a.onnx');
    await expect(shrinkFile(H5, path, { ...how, inputs })).rejects.toThrow(/the input for "\w+" holds (NaN|Infinity) in row 23/);
    expect(existsSync(path)).toBe(false);
  });
});
