/** Dense layers of low rank: the best that a rank can do, found again whatever is streamed how, and nets that compute nearly what they did. */
import { expect, it } from 'vitest';
import { toFloat32Array } from '../../src/model/cast.js';
import { float32Tensor, permute, type Tensor, tensorBytes } from '../../src/model/tensor.js';
import { shrinkRanks } from '../../src/shrink/low-rank.js';
import { eigen, lowRank } from '../../src/shrink/svd.js';
import { distance, Net, opsOf } from '../transforms/contract.js';

const ORIGIN = { file: 'test' };

/** A matrix of the given singular values, between columns of cosines that are at right angles. */
function matrixOf(rows: number, columns: number, values: readonly number[]): Tensor {
  const basis = (n: number, k: number) => Array.from({ length: n }, (_, i) => Math.sqrt(2 / n) * Math.cos((Math.PI * (i + 0.5) * (k + 1)) / n));
  const made = new Float64Array(rows * columns);
  for (const [k, value] of values.entries()) {
    const [u, v] = [basis(rows, k), basis(columns, k)];
    for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) made[i * columns + j]! += value * u[i]! * v[j]!;
  }
  return float32Tensor('w', [rows, columns], made, ORIGIN);
}

/** Sum of squares of what is left, of that of the matrix. */
async function lostBy(matrix: Tensor, { left, right, rank }: { left: Float32Array; right: Float32Array; rank: number }): Promise<number> {
  const values = toFloat32Array(await tensorBytes(matrix), 'float32');
  const columns = matrix.shape[1]!;
  let [lost, all] = [0, 0];
  for (const [at, value] of values.entries()) {
    const [i, j] = [Math.floor(at / columns), at % columns];
    let sum = 0;
    for (let k = 0; k < rank; k++) sum += left[i * rank + k]! * right[k * columns + j]!;
    lost += (value - sum) ** 2;
    all += value * value;
  }
  return lost / all;
}

it('eigenvalues and vectors of a symmetric matrix', () => {
  const rows = [
    [4, 1, 0],
    [1, 3, 1],
    [0, 1, 2],
  ];
  const { values, vectors } = eigen(rows.map((row) => Float64Array.from(row)));
  expect(values.reduce((a, b) => a + b)).toBeCloseTo(9, 12);
  for (const [k, value] of values.entries()) {
    const vector = vectors[k]!;
    for (const [i, row] of rows.entries()) expect(row.reduce((sum, one, j) => sum + one * vector[j]!, 0)).toBeCloseTo(value * vector[i]!, 10);
  }
});

it.each([
  ['by energy', { energy: 0.95, rank: null }, 3],
  ['by rank', { energy: null, rank: 5 }, 5],
  ['of all that there is', { energy: 0.9999999, rank: null }, 12],
])('the best approximation of a matrix, %s', async (_, wanted, rank) => {
  const values = [16, 8, 4, 2, 1, 0.5, 0.25, 0.125, 0.1, 0.08, 0.05, 0.02];
  const total = values.reduce((sum, value) => sum + value * value, 0);
  for (const matrix of [matrixOf(90, 150, values), permute(matrixOf(150, 90, values), [1, 0])]) {
    const found = (await lowRank(matrix, { ...wanted, most: 60 }))!;
    expect(found.rank).toBe(rank);
    const best = values.slice(rank).reduce((sum, value) => sum + value * value, 0) / total;
    expect(await lostBy(matrix, found)).toBeLessThan(best * 1.02 + 1e-9);
    expect(found.energy).toBeCloseTo(1 - best, 5);
  }
});

it('a matrix of noise is not worth two, and one of zeros is none', async () => {
  const noisy = float32Tensor(
    'w',
    [160, 200],
    Array.from({ length: 32_000 }, (_, i) => Math.sin(i * i * 0.7)),
    ORIGIN,
  );
  expect(await lowRank(noisy, { energy: 0.95, rank: null, most: 71 })).toBeNull();
  expect(await lowRank(float32Tensor('w', [20, 30], new Float32Array(600), ORIGIN), { energy: 0.95, rank: null, most: 10 })).toBeNull();
});

it.each(['Gemm', 'MatMul'] as const)('a net computes nearly what it did with a %s as two', async (op) => {
  const net = new Net();
  const x = net.input(['N', 160]);
  const kernel = matrixOf(128, 160, [9, 7, 5, 0.001]);
  const weight = net.build.constant(op === 'Gemm' ? kernel : permute(kernel, [1, 0]), 'k');
  const y = net.build.add(op, op === 'Gemm' ? [x, weight, net.weight('b', [128])] : [x, weight], {}, 'fc');
  const whole = net.map(net.build.add('Tanh', [y], {}, 'tanh'));
  const { map, change, claims } = await shrinkRanks(whole, { energy: 0.999, rank: null });
  expect(claims).toEqual(['low-rank']);
  expect(opsOf(map)).toEqual([op, op, 'Tanh']);
  expect(map.layers[1]).toMatchObject({ name: 'fc', inputs: ['fc/rank'] });
  expect(change.message).toMatch(/^1 of 1 large dense layers became two each: "fc" \(128 x 160\) to rank 3, 100\.0 % of its energy$/);
  expect(await distance(map, whole)).toBeLessThan(1e-3);
  const none = await shrinkRanks(whole, { energy: null, rank: 100 });
  expect(none.claims).toEqual([]);
  expect([none.map, none.change.message]).toEqual([whole, 'of 1 large dense layers none is smaller as two with rank 100']);
});

it('the new layer takes no name that another has', async () => {
  const net = new Net();
  const hidden = net.build.add('MatMul', [net.input(['N', 160]), net.build.constant(permute(matrixOf(128, 160, [9, 7, 5]), [1, 0]), 'k')], {}, 'fc');
  const { map } = await shrinkRanks(net.map(net.build.add('Tanh', [hidden], {}, 'fc/rank')), { energy: 0.99, rank: null });
  expect(map.layers.map(({ name }) => name)).toEqual(["fc/rank'", 'fc', 'fc/rank']);
});
