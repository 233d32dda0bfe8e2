/** Large matrices of weights on TensorFlow.js's WebAssembly backend: multiplied where they were loaded, and right. */
import { beforeAll, expect, it } from 'vitest';
import { tfjsWasm } from '../../src/verify/engines/tfjs-wasm.js';
import { keepLargeMatrices } from '../../src/verify/engines/tfjs-wasm-products.js';

const core = await import('@tensorflow/tfjs-core');
await import('@tensorflow/tfjs-backend-cpu');

/** Two thousand rows and columns: 16 MiB, the least that stays. */
const SIDE = 2048;
const matrix = Float32Array.from({ length: SIDE * SIDE }, (_, i) => Math.sin(i * 0.61) / 8);
const rows = Float32Array.from({ length: 2 * SIDE }, (_, i) => Math.cos(i * 0.37));

beforeAll(async () => {
  expect((await tfjsWasm.availability()).available).toBe(true);
  keepLargeMatrices(core);
});

async function loaded(values: Float32Array, shape: number[]) {
  await core.setBackend('cpu');
  const made = core.tensor(values, shape);
  await core.setBackend('wasm');
  return made;
}

function isOnCpu({ dataId }: { readonly dataId: object }): boolean {
  return (core.findBackend('cpu') as unknown as { data: { has(id: object): boolean } }).data.has(dataId);
}

/** In float64. */
function product(count: number, valueAt: (row: number, k: number) => number, inner: number, columns: number): number[] {
  return Array.from({ length: count * columns }, (_, i) => {
    let sum = 0;
    for (let k = 0; k < inner; k++) sum += valueAt(Math.floor(i / columns), k) * matrix[k * columns + (i % columns)]!;
    return sum;
  });
}

it.each([
  ['a product', (a: never, b: never) => core.matMul(a, b), 0],
  ['a product with bias and ReLU', (a: never, b: never) => core.fused.matMul({ a, b, bias: core.fill([SIDE], 0.5), activation: 'relu' }), 0.5],
])('%s leaves a matrix where it was loaded', async (_, multiply, bias) => {
  const [a, b] = [core.tensor(rows, [2, SIDE]), await loaded(matrix, [SIDE, SIDE])];
  const made = core.tidy(() => multiply(a as never, b as never));
  const wanted = product(2, (row, k) => rows[row * SIDE + k]!, SIDE, SIDE).map((value) => (bias === 0 ? value : Math.max(0, value + bias)));
  const found = await made.data();
  expect(Math.max(...wanted.map((value, i) => Math.abs(value - found[i]!)))).toBeLessThan(1e-4);
  expect(isOnCpu(b)).toBe(true);
  // What came of it is of the backend that goes on with it.
  expect(isOnCpu(made)).toBe(false);
  const after = core.relu(made);
  expect((await after.data())[0]).toBeCloseTo(Math.max(0, wanted[0]!), 3);
  for (const tensor of [a, b, made, after]) tensor.dispose();
  expect(isOnCpu(b)).toBe(false);
});

it('a small matrix is moved, as ever', async () => {
  const [a, b] = [core.tensor(rows.subarray(0, 8), [2, 4]), await loaded(matrix.subarray(0, 12), [4, 3])];
  const found = await core.matMul(a as never, b as never).data();
  expect(found[5]).toBeCloseTo(product(2, (row, k) => rows[row * 4 + k]!, 4, 3)[5]!, 5);
  expect(isOnCpu(b)).toBe(false);
});

it('every other use of a large tensor still finds its values', async () => {
  const b = await loaded(matrix, [SIDE, SIDE]);
  const [turned, sum] = [core.transpose(core.reshape(b, [SIDE / 2, SIDE * 2])), core.sum(b)];
  expect((await turned.data())[1]).toBe(matrix[SIDE * 2]);
  expect((await sum.data())[0]).toBeCloseTo(
    matrix.reduce((total, value) => total + value, 0),
    1,
  );
});
