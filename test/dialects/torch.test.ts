/** Calls of PyTorch whose arithmetic is not the layer map's own: what they make of values of either sign, by Python's definition. */
import { expect, it } from 'vitest';
import { roundHalfToEven } from '../../src/model/ops/elementwise.js';
import { openModel } from '../../src/readers/open.js';
import { runLayers } from '../../src/verify/reference/session.js';
import { TensorKeeper } from '../pickles.js';
import { netOf } from '../torchscript-files.js';

const VALUES = [-7, -6, -3, -1, 0, 1, 5, 7];
const MEAN = -0.5;

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
  ['integers held to bounds that are none', [...int, 'return torch.clamp(_0, -2.5, 5.5)'], (x) => Math.min(5.5, Math.max(-2.5, x))],
  ['integers times a float without axes', [...int, 'return torch.mul(_0, torch.mean(x))'], (x) => x * MEAN],
  [
    'the sign of another, which is never zero without one',
    ['return torch.copysign(torch.neg(torch.abs(x)), torch.mul(x, 0.))'],
    (x) => (x < 0 ? -1 : 1) * Math.abs(x),
  ],
  ['whether a sign is negative, that of zero too', ['return torch.to(torch.signbit(torch.mul(torch.to(torch.to(x, 4), 6), -0.)), 6)'], (x) => (x < 0 ? 0 : 1)],
  [
    'codes of all values, which halves round to the even one of',
    ['return torch.fake_quantize_per_tensor_affine(x, 2., 1, -2, 3)'],
    (x) => (Math.min(3, Math.max(-2, roundHalfToEven(x / 2) + 1)) - 1) * 2,
  ],
  [
    'codes of each channel',
    ['_0 = torch.mul(torch.arange(1, 9), 0.5)', 'return torch.fake_quantize_per_channel_affine(x, _0, torch.zeros([8], dtype=3), 1, -5, 4)'],
    (x) => {
      const scale = (VALUES.indexOf(x) + 1) / 2;
      return Math.min(4, Math.max(-5, roundHalfToEven(x * (1 / scale)))) * scale;
    },
  ],
  ['integers compared with a float without axes', [...int, 'return torch.to(torch.gt(_0, torch.mean(torch.abs(x))), 6)'], (x) => Number(x > 3.75)],
];

it.each(cases)('%s', async (_, body, truth) => {
  const map = await (await openModel(netOf(body), { inputShape: [1, 8] })).map();
  const [made] = await runLayers(map, [{ shape: [1, 8], data: Float64Array.from(VALUES) }], () => {});
  for (const [i, x] of VALUES.entries()) expect(Number(made!.data[i]), `of ${x}`).toBeCloseTo(truth(x), 6);
});

it.each([
  [3, (x: number) => Math.trunc(x / 2)],
  [4, (x: number) => x / 2],
] as const)('div of integers as version %i of the operators means it', async (version, truth) => {
  const body = [...int, 'return torch.div(_0, torch.tensor(2))'];
  const map = await (await openModel(netOf(body, {}, '', undefined, version), { inputShape: [1, 8] })).map();
  const [made] = await runLayers(map, [{ shape: [1, 8], data: Float64Array.from(VALUES) }], () => {});
  expect(Array.from(made!.data, Number)).toEqual(VALUES.map((x) => expect.closeTo(truth(x), 6)));
});

it.each([
  ['frames as complex numbers', 'torch.view_as_real(torch.stft(x, 4, 2, 4, None, False, True, True))', 4, 1, 3],
  ['frames that a narrower window cuts', 'torch.stft(x, 4, 1, 2, torch.mul(torch.ones([2]), 3), False, False, False)', 2, 3, 4],
  ['frames, scaled', 'torch.stft(x, 4, 2, None, None, True, None, False)', 4, 0.5, 3],
] as const)('stft: %s', async (_, call, width, factor, frequencies) => {
  const map = await (await openModel(netOf([`return ${call}`]), { inputShape: [1, 8] })).map();
  const [made] = await runLayers(map, [{ shape: [1, 8], data: Float64Array.from(VALUES) }], () => {});
  const hop = call.includes('4, 1,') ? 1 : 2;
  const truth: number[] = [];
  for (let k = 0; k < frequencies; k++)
    for (let start = 0; start + 4 <= 8; start += hop)
      for (const part of [Math.cos, (angle: number) => -Math.sin(angle)]) {
        const inside = [0, 1, 2, 3].filter((i) => Math.abs(i - 1.5) < width / 2);
        truth.push(inside.reduce((sum, i) => sum + factor * VALUES[start + i]! * part((Math.PI * i * k) / 2), 0));
      }
  expect(made!.shape).toEqual([1, frequencies, (8 - 4) / hop + 1, 2]);
  expect(Array.from(made!.data, Number)).toEqual(truth.map((x) => expect.closeTo(x, 5)));
});

/** As PyTorch 2.13 makes them. */
it.each([
  ['hann_window(4, dtype=6, layout=0, device=torch.device("cpu"), pin_memory=False)', [0, 0.5, 1, 0.5]],
  ['hann_window(4, False)', [0, 0.75, 0.75, 0]],
  ['hann_window(1, False)', [1]],
  ['hamming_window(4)', [0.08, 0.54, 1, 0.54]],
  ['hamming_window(5, False, 0.5, 0.25)', [0.25, 0.5, 0.75, 0.5, 0.25]],
  ['blackman_window(4)', [0, 0.34, 1, 0.34]],
  ['bartlett_window(4)', [0, 0.5, 1, 0.5]],
  ['bartlett_window(5, False)', [0, 0.5, 1, 0.5, 0]],
] as const)('%s', async (call, truth) => {
  const map = await (await openModel(netOf([`return torch.add(torch.${call}, torch.mul(torch.mean(x), 0))`]), { inputShape: [1, 8] })).map();
  const [made] = await runLayers(map, [{ shape: [1, 8], data: Float64Array.from(VALUES) }], () => {});
  expect(Array.from(made!.data, Number)).toEqual(truth.map((x) => expect.closeTo(x, 6)));
});

it.each([
  ['torch.topk(x, 2)', []],
  ['torch.topk(x, 2, 1, True, True)', []],
  ['torch.topk(x, 2, 1, True, False)', [/in no order that is said/]],
] as const)('%s is told where its order is not', async (call, told) => {
  const map = await (await openModel(netOf([`_0, _1 = ${call}`, 'return _0']), { inputShape: [1, 8], assume: { dtype_x: 'float32' } })).map();
  expect(map.warnings.map(({ message }) => message)).toEqual(told.map((words) => expect.stringMatching(words)));
  expect(map.layers.find(({ op }) => op === 'TopK')!.attributes.sorted ?? 1).toBe(1);
});

it.each(['9223372036854775808', '99999999999999999999'])('a whole number of %s is none that PyTorch has', async (number) => {
  const opened = await openModel(netOf([`return torch.add(x, ${number}0)`]), { inputShape: [1, 8] });
  await expect(opened.map()).rejects.toThrow(/64 bits/);
});

it('sizes are divided as sizes, so that shapes are still worked out from them', async () => {
  const body = ['_0 = torch.floor_divide(torch.size(x, 1), 2)', 'return torch.slice(x, 1, 0, _0)'];
  const map = await (await openModel(netOf(body), { inputShape: ['N', 8] })).map();
  expect([map.outputs[0]!.shape, map.layers.map(({ op }) => op)]).toEqual([['N', 4], ['Slice']]);
});

/** x holds 0 to 11, as [1, 3, 4]. */
const moved: readonly (readonly [string, readonly string[], readonly number[]])[] = [
  ['tile, whose axes in front stay', ['return torch.slice(torch.tile(x, [2]), 1, 0, 1)'], [0, 1, 2, 3, 0, 1, 2, 3]],
  ['repeat_interleave of all elements', ['return torch.slice(torch.repeat_interleave(x, 2), 0, 0, 5)'], [0, 0, 1, 1, 2]],
  ['roll of all elements as one row', ['return torch.roll(x, [1], [])'], [11, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]],
  ['rot90', ['return torch.rot90(torch.select(x, 0, 0), 1, [0, 1])'], [3, 7, 11, 2, 6, 10, 1, 5, 9, 0, 4, 8]],
  ['a sum along an axis of truths', ['return torch.cumsum(torch.gt(torch.select(torch.select(x, 0, 0), 0, 0), 0), 0)'], [0, 1, 2, 3]],
  ['sort, descending', ['_0, _1 = torch.sort(torch.select(x, 0, 0), 1, True)', 'return _0'], [3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8]],
  ['argsort', ['return torch.argsort(torch.neg(torch.select(torch.select(x, 0, 0), 0, 1)))'], [3, 2, 1, 0]],
  ['median, the lower of two', ['_0, _1 = torch.median(torch.select(x, 0, 0), 1)', 'return _0'], [1, 5, 9]],
  ['kthvalue, kept', ['_0, _1 = torch.kthvalue(x, 2, -1, True)', 'return _0'], [1, 5, 9]],
  ['windows of adaptive_max_pool2d that differ', ['_0, _1 = torch.adaptive_max_pool2d(x, [2, 3])', 'return _0'], [5, 6, 7, 9, 10, 11]],
  ['what a mask over all axes chooses', ['_1: List[Optional[Tensor]] = [torch.gt(x, 8)]', 'return torch.index(x, _1)'], [9, 10, 11]],
  [
    'what a mask over the first axes chooses',
    ['_1: List[Optional[Tensor]] = [torch.gt(torch.select(x, 2, 0), 3)]', 'return torch.index(x, _1)'],
    [4, 5, 6, 7, 8, 9, 10, 11],
  ],
  [
    'what a mask over the last axis chooses',
    ['_0 = torch.gt(torch.select(torch.select(x, 0, 0), 0, 0), 1)', '_1: List[Optional[Tensor]] = [None, None, _0]', 'return torch.index(x, _1)'],
    [2, 3, 6, 7, 10, 11],
  ],
  ['masked_select', ['return torch.masked_select(x, torch.lt(x, 3))'], [0, 1, 2]],
  ['masked_select by a mask of one row', ['return torch.masked_select(x, torch.gt(torch.select(x, 1, 0), 2))'], [3, 7, 11]],
  ['a list that is repeated', ['_0 = torch.mul([1], 2)', 'return torch.reshape(x, torch.add(_0, [3, 4]))'], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]],
  [
    'the mean of each bag of rows',
    [
      '_0 = torch.reshape(x, [3, 4])',
      '_1 = torch.tensor([2, 0, 1, 1])',
      '_2 = torch.arange(0, 4, 2, dtype=4)',
      '_3, _4, _5, _6 = torch.embedding_bag(_0, _1, _2, False, 1, False, None, False, None)',
      'return _3',
    ],
    [4, 5, 6, 7, 4, 5, 6, 7],
  ],
  [
    'differences of what has something around it',
    ['_0 = torch.slice(x, 2, 0, 1)', 'return torch.diff(x, 1, -1, torch.mul(_0, 3), torch.sub(_0, 2))'],
    [0, 1, 1, 1, -5, -8, 1, 1, 1, -5, -16, 1, 1, 1, -5],
  ],
  ['differences of differences', ['return torch.diff(torch.mul(x, x), 2, 1)'], [32, 32, 32, 32]],
  ['differences of truths', ['return torch.to(torch.diff(torch.gt(torch.select(x, 1, 1), 5)), 6)'], [0, 1, 0]],
  [
    'index_put by a mask',
    ['_0 = torch.clone(x)', '_1: List[Optional[Tensor]] = [torch.gt(_0, 8)]', '_2 = torch.index_put_(_0, _1, torch.tensor(-1.))', 'return _0'],
    [0, 1, 2, 3, 4, 5, 6, 7, 8, -1, -1, -1],
  ],
  [
    'every second element, written in place',
    ['_0 = torch.clone(x)', '_1 = torch.fill_(torch.slice(_0, 2, 0, 4, 2), 9)', 'return _0'],
    [9, 1, 9, 3, 9, 5, 9, 7, 9, 9, 9, 11],
  ],
  [
    'a part of a part, written in place by steps',
    ['_0 = torch.clone(x)', '_1 = torch.fill_(torch.slice(torch.select(_0, 1, 1), 1, 1, 4, 2), 9)', 'return _0'],
    [0, 1, 2, 3, 4, 9, 6, 9, 8, 9, 10, 11],
  ],
  [
    'a part of no elements, in which what is written changes nothing',
    [
      '_0 = torch.clone(x)',
      '_1 = torch.fill_(torch.slice(torch.slice(_0, 2, -2, 0), 1, 0, 2), 9)',
      '_2 = torch.copy_(torch.slice(_0, 2, 3, 1), torch.slice(x, 2, 0, 0))',
      '_3 = torch.add_(torch.slice(_0, 2, 4, 9), 1)',
      'return _0',
    ],
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
  ],
  ['a part of no elements beside others', ['return torch.cat([torch.slice(x, 2, 0, 0), torch.slice(x, 2, 0, 1)], 2)'], [0, 4, 8]],
  ['trunc', ['return torch.trunc(torch.sub(torch.mul(x, 0.6), 2))'], [-2, -1, -0, -0, 0, 1, 1, 2, 2, 3, 4, 4]],
  ['round to decimals', ['return torch.mul(torch.round(torch.mul(x, 0.26), decimals=1), 10)'], [0, 3, 5, 8, 10, 13, 16, 18, 21, 23, 26, 29]],
  ['nan_to_num', ['return torch.clamp(torch.nan_to_num(torch.div(torch.slice(x, 1, 0, 1), 0), 7), max=9)'], [7, 9, 9, 9]],
  ['windows that come last', ['return torch.unfold(torch.slice(x, 1, 0, 1), 2, 2, 2)'], [0, 1, 2, 3]],
  ['windows of an axis before the last', ['return torch.unfold(x, 1, 2, 1)'], [0, 4, 1, 5, 2, 6, 3, 7, 4, 8, 5, 9, 6, 10, 7, 11]],
  ['a diagonal beside the main one', ['return torch.diagonal(x, 1, 1, 2)'], [1, 6, 11]],
  ['a vector on a diagonal', ['return torch.diag(torch.slice(torch.select(torch.select(x, 0, 0), 0, 0), 0, 1, 3))'], [1, 0, 0, 2]],
  ['differences', ['return torch.diff(torch.mul(x, x), 1, 1)'], [16, 24, 32, 40, 48, 56, 64, 72]],
  ['cdist', ['return torch.mul(torch.cdist(x, x), 2)'], [0, 16, 32, 16, 0, 16, 32, 16, 0]],
  ['an extent', ['_0, _1 = torch.aminmax(x, dim=1)', 'return torch.sub(_1, _0)'], [8, 8, 8, 8]],
  ['atan2 in each quarter', ['return torch.round(torch.mul(torch.atan2(torch.sub(x, 5), torch.sub(5, x)), 4))'], [-3, -3, -3, -3, -3, 0, 9, 9, 9, 9, 9, 9]],
  [
    'what is stacked behind',
    ['return torch.dstack([torch.slice(torch.select(x, 0, 0), 0, 0, 1), torch.slice(torch.select(x, 0, 0), 0, 1, 2)])'],
    [0, 4, 1, 5, 2, 6, 3, 7],
  ],
  ['weight_norm of a whole', ['return torch.slice(torch._weight_norm(x, torch.tensor(2.), -1), 1, 2)'], [8, 9, 10, 11].map((v) => (2 * v) / Math.sqrt(506))],
  ['a norm of order 0', ['return torch.norm(x, 0, [2])'], [3, 4, 4]],
  ['a norm of order -inf', ['return torch.norm(torch.neg(x), float("-inf"), [2])'], [0, 4, 8]],
  ['a sum of bytes', ['return torch.sum(torch.to(torch.mul(x, 20), 0))'], [1320]],
  ['a running product', ['return torch.cumprod(torch.slice(x, 2, 1), 2)'], [1, 2, 6, 5, 30, 210, 9, 90, 990]],
  ['a running maximum', ['_0, _1 = torch.cummax(torch.remainder(x, 5), 2)', 'return _0'], [0, 1, 2, 3, 4, 4, 4, 4, 3, 4, 4, 4]],
  ['the places of a running maximum', ['_0, _1 = torch.cummax(torch.remainder(torch.mul(x, x), 4), 2)', 'return _1'], [0, 1, 1, 3, 0, 1, 1, 3, 0, 1, 1, 3]],
  ['a running minimum', ['_0, _1 = torch.cummin(torch.remainder(x, 5), 1)', 'return _0'], [0, 1, 2, 3, 0, 0, 1, 2, 0, 0, 0, 1]],
  ['a running sum of exponentials', ['return torch.exp(torch.logcumsumexp(torch.log(torch.select(x, 1, 1)), 1))'], [4, 9, 15, 22]],
  ['logaddexp of infinities', ['_0 = torch.full_like(torch.slice(torch.slice(x, 1, 0, 1), 2, 0, 1), -inf)', 'return torch.exp(torch.logaddexp(_0, _0))'], [0]],
  ['bounds below values', ['return torch.bucketize(torch.select(x, 1, 1), torch.tensor([4, 6.]))'], [0, 1, 1, 2]],
  ['bounds up to values', ['return torch.searchsorted(torch.tensor([4, 6.]), torch.select(x, 1, 1), right=True)'], [1, 1, 2, 2]],
  ['a product of vectors', ['return torch.cross(torch.slice(x, 2, 0, 1), torch.slice(x, 2, 1, 2), 1)'], [-4, 8, -4]],
  ['kron', ['return torch.kron(torch.slice(torch.select(x, 0, 0), 0, 0, 1), torch.tensor([[1.], [2.]]))'], [0, 1, 2, 3, 0, 2, 4, 6]],
  ['block_diag', ['return torch.block_diag([torch.tensor([[1., 2.]]), torch.tensor([[3.]])])'], [1, 2, 0, 0, 0, 3]],
  ['elements by their places in memory', ['return torch.as_strided(x, [2, 3], [4, 2], 1)'], [1, 3, 5, 5, 7, 9]],
  ['a distance of order 3', ['return torch.pairwise_distance(torch.select(x, 1, 0), torch.select(x, 1, 1), 3, 0.)'], [256 ** (1 / 3)]],
  ['dist', ['return torch.dist(torch.select(x, 1, 0), torch.select(x, 1, 1), 1)'], [16]],
  ['xlogy of 0', ['return torch.xlogy(torch.slice(torch.select(x, 1, 0), 1, 0, 2), 0.5)'], [0, Math.log(0.5)]],
  ['sinc', ['return torch.sinc(torch.mul(torch.slice(torch.select(x, 1, 0), 1, 0, 2), 0.5))'], [1, 2 / Math.PI]],
  ['the median of all', ['return torch.median(x)'], [5]],
  ['parts that do not come out even', ['return torch.tensor_split(x, 3, 2)[0]'], [0, 1, 4, 5, 8, 9]],
  ['parts between places', ['return torch.tensor_split(x, [1, 3], 2)[2]'], [3, 7, 11]],
  [
    'what a pooling found, put back',
    ['_0, _1 = torch.max_pool2d_with_indices(torch.unsqueeze(x, 0), [2, 2], [1, 2])', 'return torch.max_unpool2d(_0, _1, [3, 4])'],
    [0, 0, 0, 0, 0, 5, 0, 7, 0, 9, 0, 11],
  ],
  [
    'lists cut backwards and put into order',
    ['_0 = torch.slice([4, 1, 3, 2], None, None, -2)', 'return torch.tensor(torch.add(_0, torch.sorted([4, 1, 3])))'],
    [2, 1, 1, 3, 4],
  ],
  ['tensordot', ['return torch.tensordot(x, torch.slice(x, 1, 0, 1), [2, 0], [2, 0])'], [14, 38, 62]],
];

it.each(moved)('%s', async (_, body, expected) => {
  const map = await (await openModel(netOf(body), { inputShape: [1, 3, 4] })).map();
  const [made] = await runLayers(map, [{ shape: [1, 3, 4], data: Float64Array.from(new Array(12).keys()) }], () => {});
  expect(made!.data).toHaveLength(expected.length);
  for (const [i, value] of expected.entries()) expect(Number(made!.data[i])).toBeCloseTo(value, 5);
});

it.each([
  ['a transposed tensor', 'torch.transpose(x, 1, 2)'],
  ['a part', 'torch.contiguous(torch.slice(x, 1, 1, 3))'],
])('places in memory are not known of %s', async (_, what) => {
  await expect(
    openModel(netOf([`return torch.as_strided(${what}, [2, 3], [4, 2], 1)`]), { inputShape: [1, 3, 4] }).then((model) => model.map()),
  ).rejects.toThrow(/memory/);
});

const KEPT = new TensorKeeper();
const keep = { cache: KEPT.tensor({ shape: [1, 3, 4], values: new Array<number>(12).fill(2) }) };

it.each([
  ['counted up', ['_0 = torch.add_(self.cache, 1)', 'return torch.add(x, _0)']],
  ['read and then written', ['_0 = torch.add(x, self.cache)', '_1 = torch.copy_(self.cache, x)', 'return _0']],
  ['written in part', ['_0 = torch.copy_(torch.select(self.cache, 1, 0), torch.select(x, 1, 0))', 'return torch.add(x, self.cache)']],
])('a tensor that the program keeps cannot be %s: the next run would find another one', async (_, body) => {
  await expect(openModel(netOf(body, keep, '', KEPT), { inputShape: [1, 3, 4] }).then((model) => model.map())).rejects.toThrow(/changes its tensor "cache"/);
});

it.each([
  ['held to bounds', ['_0 = torch.clamp_(self.cache, 0, 1)', 'return torch.add(x, _0)'], 1],
  ['filled before it is read', ['_0 = torch.fill_(self.cache, 5)', '_1 = torch.add_(self.cache, 1)', 'return torch.add(x, self.cache)'], 6],
] as const)('a tensor that the program keeps may be %s', async (_, body, more) => {
  const map = await (await openModel(netOf(body, keep, '', KEPT), { inputShape: [1, 3, 4] })).map();
  const [made] = await runLayers(map, [{ shape: [1, 3, 4], data: Float64Array.from(new Array(12).keys()) }], () => {});
  expect(Array.from(made!.data, Number)).toEqual(Array.from({ length: 12 }, (_, i) => i + more));
});

it('what is changed through a part that may be a copy cannot be read of the whole any more', async () => {
  const body = ['_0 = torch.clone(x)', '_1 = torch.reshape(torch.select(_0, 1, 0), [4])', '_2 = torch.add_(_1, 1)', 'return _0'];
  await expect(openModel(netOf(body), { inputShape: [1, 3, 4] }).then((model) => model.map())).rejects.toThrow(/may or may not share its memory/);
});

it('det is the determinant of each matrix, and nonzero has a row for each element that is not zero', async () => {
  const run = async (body: readonly string[]) => {
    const map = await (await openModel(netOf(body), { inputShape: [2, 2, 2] })).map();
    return (await runLayers(map, [{ shape: [2, 2, 2], data: Float64Array.of(1, 2, 3, 4, 0, 2, 2, 5) }], () => {}))[0]!;
  };
  const determinants = Array.from((await run(['return torch.det(x)'])).data, Number);
  expect(determinants.map((value) => Number(value.toFixed(9)))).toEqual([-2, -4]);
  const places = await run(['return torch.nonzero(torch.gt(x, 3.5))']);
  expect([places.shape, Array.from(places.data, Number)]).toEqual([
    [2, 3],
    [0, 1, 1, 1, 1, 1],
  ]);
});
