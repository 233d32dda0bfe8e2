/** Generated inputs: seeded, different in every channel, and fit for what reads them. */
import { expect, test } from 'vitest';
import type { Port } from '../../src/model/layer-map.js';
import { makeLayer } from '../../src/model/ops/index.js';
import { float32Tensor } from '../../src/model/tensor.js';
import { generateSample } from '../../src/verify/inputs.js';

const picture: Port = { name: 'x', value: 'x', dtype: 'float32', shape: ['N', 3, 8, 8], layout: 'nchw' };

test('the same seed and sample give the same values, others give others', () => {
  const values = (sample: number, seed: number) => [...generateSample([picture], sample, seed)[0]!.data];
  expect(values(0, 0)).toEqual(values(0, 0));
  expect(values(1, 0)).not.toEqual(values(0, 0));
  expect(values(0, 1)).not.toEqual(values(0, 0));
});

test('no two channels have the same mean', () => {
  const data = Array.from(generateSample([picture], 0, 0)[0]!.data, Number);
  const means = [0, 1, 2].map((c) => data.slice(c * 64, (c + 1) * 64).reduce((sum, value) => sum + value, 0) / 64);
  expect(Math.min(Math.abs(means[0]! - means[1]!), Math.abs(means[1]! - means[2]!), Math.abs(means[0]! - means[2]!))).toBeGreaterThan(0.05);
});

test('what an embedding reads counts rows of its table, also where the port says float32', () => {
  const words: Port = { name: 'words', value: 'words', dtype: 'float32', shape: ['N', 200], layout: 'other' };
  const table = float32Tensor('table', [5, 2], new Float32Array(10), { file: 'x' });
  const layers = [
    makeLayer({ name: 'turned', op: 'Transpose', inputs: ['words'], outputs: ['turned'], attributes: { perm: [1, 0] } }),
    makeLayer({ name: 'embedding', op: 'Gather', inputs: ['turned'], outputs: ['embedding'], weights: { table } }),
  ];
  expect(new Set(Array.from(generateSample([words], 0, 0, { layers })[0]!.data, Number))).toEqual(new Set([0, 1, 2, 3, 4]));
});
