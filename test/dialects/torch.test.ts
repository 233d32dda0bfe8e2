/** Calls of PyTorch whose arithmetic is not the layer map's own: what they make of values of either sign, by Python's definition. */
import { expect, it } from 'vitest';
import { openModel } from '../../src/readers/open.js';
import { runLayers } from '../../src/verify/reference/session.js';
import { netOf } from '../torchscript-files.js';

const VALUES = [-7, -6, -3, -1, 0, 1, 5, 7];

const int = ['_0 = torch.to(x, 4)'];
const floorMod = (a: number, b: number) => a - b * Math.floor(a / b);
const cases: readonly (readonly [string, readonly string[], (x: number) => number])[] = [
  ['floor_divide of integers', [...int, 'return torch.floor_divide(_0, 2)'], (x) => Math.floor(x / 2)],
  ['floor_divide by a negative integer', [...int, 'return torch.floor_divide(_0, -2)'], (x) => Math.floor(x / -2)],
  ['floor_divide of floats', ['return torch.floor_divide(x, 2)'], (x) => Math.floor(x / 2)],
  ['div of integers, rounded down', [...int, 'return torch.div(_0, 4, rounding_mode="floor")'], (x) => Math.floor(x / 4)],
  ['div of integers, rounded towards zero', [...int, 'return torch.div(_0, 4, rounding_mode="trunc")'], (x) => Math.trunc(x / 4)],
  ['div of integers', [...int, 'return torch.div(_0, 4)'], (x) => x / 4],
  ['remainder of integers', [...int, 'return torch.remainder(_0, 4)'], (x) => floorMod(x, 4)],
  ['remainder of floats', ['return torch.remainder(x, 2.5)'], (x) => floorMod(x, 2.5)],
  ['fmod of floats', ['return torch.fmod(x, 2.5)'], (x) => x % 2.5],
  ['bitwise_and of integers', [...int, 'return torch.bitwise_and(_0, 6)'], (x) => x & 6],
  ['bitwise_or of integers', [...int, 'return torch.__or__(_0, 2)'], (x) => x | 2],
  ['bitwise_xor of integers', [...int, 'return torch.__xor__(_0, 3)'], (x) => x ^ 3],
  ['bitwise_not of integers', [...int, 'return torch.bitwise_not(_0)'], (x) => ~x],
  ['bitwise_not of booleans', ['return torch.to(torch.bitwise_not(torch.gt(x, 0)), 6)'], (x) => Number(!(x > 0))],
  ['bitwise_and of booleans', ['return torch.to(torch.bitwise_and(torch.gt(x, 0), torch.lt(x, 6)), 6)'], (x) => Number(x > 0 && x < 6)],
  ['softplus with a threshold of its own', ['return torch.softplus(x, 0.5, 1)'], (x) => (x * 0.5 > 1 ? x : Math.log1p(Math.exp(x * 0.5)) / 0.5)],
  ['log_sigmoid far below zero', ['return torch.log_sigmoid(torch.mul(x, 200.))'], (x) => (x < 0 ? x * 200 : -Math.log1p(Math.exp(-200 * x)))],
  ['the exponential of integers', [...int, 'return torch.exp(_0)'], Math.exp],
];

it.each(cases)('%s', async (_, body, truth) => {
  const map = await (await openModel(netOf(body), { inputShape: [1, 8] })).map();
  const [made] = await runLayers(map, [{ shape: [1, 8], data: Float64Array.from(VALUES) }], () => {});
  for (const [i, x] of VALUES.entries()) expect(Number(made!.data[i]), `of ${x}`).toBeCloseTo(truth(x), 6);
});

it('sizes are divided as sizes, so that shapes are still worked out from them', async () => {
  const body = ['_0 = torch.floor_divide(torch.size(x, 1), 2)', 'return torch.slice(x, 1, 0, _0)'];
  const map = await (await openModel(netOf(body), { inputShape: ['N', 8] })).map();
  expect([map.outputs[0]!.shape, map.layers.map(({ op }) => op)]).toEqual([['N', 4], ['Slice']]);
});
