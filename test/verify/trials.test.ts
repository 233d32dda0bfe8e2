/** Other free sizes than the first: which are tried, and what is judged there. */
import { expect, it } from 'vitest';
import type { LayerMap } from '../../src/model/layer-map.js';
import { evaluateLayer } from '../../src/model/ops/evaluate.js';
import { makeLayer } from '../../src/model/ops/index.js';
import type { NdArray } from '../../src/verify/engine.js';
import { FREE_SIZE, freeSizeFor } from '../../src/verify/inputs.js';
import type { Feeds } from '../../src/verify/side.js';
import { trySizes } from '../../src/verify/trials.js';
import { emptyMap } from '../writers/onnx-cases.js';

const pool = { kernel_shape: [2, 2], strides: [2, 2], pads: [0, 0, 0, 0] };

/** Halves its input so many times by pooling. */
function halving(times: number): LayerMap {
  const names = Array.from({ length: times }, (_, i) => `y${i}`);
  const port = (name: string) => ({ name, value: name, dtype: 'float32' as const, shape: ['N', 3, 'h', 'w'], layout: 'nchw' as const });
  return {
    ...emptyMap,
    inputs: [port('x')],
    outputs: [port(names.at(-1)!)],
    layers: names.map((name, i) => makeLayer({ name, op: 'MaxPool', inputs: [i === 0 ? 'x' : names[i - 1]!], outputs: [name], attributes: pool })),
  };
}

it('a free size is as large as all windows of the net need', () => {
  expect(freeSizeFor(halving(5))).toBe(FREE_SIZE);
  expect(freeSizeFor(halving(6))).toBe(2 * FREE_SIZE);
  // Where none will do, what runs will say so.
  expect(freeSizeFor(halving(12))).toBe(FREE_SIZE);
});

it('a window that does not fit is refused by our evaluator, for runtimes make one place of it, or none', async () => {
  const [layer] = halving(1).layers;
  const row = { shape: [1, 1, 1, 4], data: Float64Array.of(1, 2, 3, 4) };
  await expect(evaluateLayer(layer!, [row])).rejects.toThrow(/window of 2 does not fit into 1/);
});

const sides = (isNarrow: boolean, found: (feeds: Feeds) => NdArray[]) => ({
  map: halving(1),
  expected: { run: async (feeds: Feeds) => [...feeds] },
  actual: { run: async (feeds: Feeds) => found(feeds) },
  tolerance: { atol: 0, rtol: 1e-5, why: '' },
  own: { atol: 0, rtol: 1e-5, why: '' },
  isNarrow,
  shown: [],
});
const doubled = (feeds: Feeds) => feeds.map(({ shape, data }) => ({ shape, data: Float32Array.from(Array.from(data, Number), (value) => 2 * value) }));

it('what values are at another size is judged of weights that are the source’s, and told of narrower ones', async () => {
  expect((await trySizes(sides(false, doubled), 1))?.passed).toBe(false);
  expect(await trySizes(sides(true, doubled), 1)).toMatchObject({ passed: null, message: expect.stringContaining('is not judged') });
});

it('a shape that is another is judged of narrower weights too', async () => {
  const cut = (feeds: Feeds) => feeds.map(({ shape, data }) => ({ shape: [...shape.slice(0, -1), shape.at(-1)! / 2], data: data.slice(0, data.length / 2) }));
  expect((await trySizes(sides(true, cut), 1))?.passed).toBe(false);
});
