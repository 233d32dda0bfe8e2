/** Batch normalisation in the weights before it: the same outputs, and weights that are right to the last bit. */
import { expect, it } from 'vitest';
import type { Value } from '../../src/model/builder.js';
import { castTensor } from '../../src/model/cast.js';
import { foldBatchNorm } from '../../src/transforms/fold-batchnorm.js';
import { distance, Net, opsOf, valuesOf } from './contract.js';

/** A layer before the normalisation, how many channels it makes, and what flows in. */
const BEFORE: Readonly<Record<string, { shape: readonly (number | string)[]; channels: number; make: (net: Net, x: Value) => Value }>> = {
  convolution: {
    shape: ['N', 3, 6, 5],
    channels: 4,
    make: (net, x) => net.build.add('Conv', [x, net.weight('w', [4, 3, 3, 3]), net.weight('b', [4])], { pads: [1, 1, 1, 1] }, 'layer'),
  },
  'without bias': { shape: ['N', 3, 6, 5], channels: 4, make: (net, x) => net.build.add('Conv', [x, net.weight('w', [4, 3, 3, 3])], {}, 'layer') },
  depthwise: { shape: ['N', 6, 6, 5], channels: 6, make: (net, x) => net.build.add('Conv', [x, net.weight('w', [6, 1, 3, 3])], { group: 6 }, 'layer') },
  'of one axis': { shape: ['N', 3, 9], channels: 4, make: (net, x) => net.build.add('Conv', [x, net.weight('w', [4, 3, 3])], {}, 'layer') },
  transposed: {
    shape: ['N', 6, 4, 5],
    channels: 4,
    make: (net, x) => net.build.add('ConvTranspose', [x, net.weight('w', [6, 2, 3, 3]), net.weight('b', [4])], { group: 2, strides: [2, 2] }, 'layer'),
  },
  dense: { shape: ['N', 7], channels: 5, make: (net, x) => net.build.add('Gemm', [x, net.weight('w', [5, 7]), net.weight('b', [5])], {}, 'layer') },
  product: { shape: ['N', 7], channels: 5, make: (net, x) => net.build.add('MatMul', [x, net.weight('w', [7, 5])], {}, 'layer') },
};

it.each(Object.keys(BEFORE))('is folded into a layer: %s', async (name) => {
  const { shape, channels, make } = BEFORE[name]!;
  const net = new Net();
  const y = net.norm(make(net, net.input(shape)), 'bn', channels);
  const whole = net.map(net.build.add('Relu', [y], {}, 'relu'));
  const { map, change } = await foldBatchNorm(whole);
  expect(opsOf(map)).toEqual([name === 'product' ? 'Gemm' : opsOf(whole)[0], 'Relu']);
  expect(map.layers[0]).toMatchObject({ name: 'layer', outputs: ['bn'] });
  expect(change.layers).toEqual(['layer', 'bn']);
  expect(await distance(map, whole)).toBeLessThan(2e-7);
});

it('every weight is the float64 product, rounded once', async () => {
  const { shape, channels, make } = BEFORE.transposed!;
  const net = new Net();
  const whole = net.map(net.norm(make(net, net.input(shape)), 'bn', channels, 1e-3));
  const { scale, bias: beta, mean, variance } = whole.layers[1]!.weights;
  const [g, b, m, v] = (await Promise.all([scale, beta, mean, variance].map((tensor) => valuesOf(tensor!)))) as [number[], number[], number[], number[]];
  const factor = g.map((value, c) => value / Math.sqrt(v[c]! + 1e-3));
  const [kernel, bias] = await Promise.all([valuesOf(whole.layers[0]!.weights.kernel!), valuesOf(whole.layers[0]!.weights.bias!)]);
  const { map } = await foldBatchNorm(whole);
  const made = map.layers[0]!.weights;
  // [in 6, out 2 of each of 2 groups, 3, 3]
  const channelOf = (i: number) => Math.floor(i / 18 / 3) * 2 + (Math.floor(i / 9) % 2);
  expect(await valuesOf(made.kernel!)).toEqual(kernel.map((value, i) => Math.fround(value * factor[channelOf(i)]!)));
  expect(await valuesOf(made.bias!)).toEqual(bias.map((value, c) => Math.fround(value * factor[c]! + (b[c]! - m[c]! * factor[c]!))));
});

it('a kernel of float16 beside statistics of float32 becomes float32, so that nothing is lost', async () => {
  const net = new Net();
  const whole = net.map(net.norm(BEFORE.convolution!.make(net, net.input(['N', 3, 6, 5])), 'bn', 4));
  const narrow = (layer: (typeof whole.layers)[number]) => ({ ...layer, weights: { ...layer.weights, kernel: castTensor(layer.weights.kernel!, 'float16') } });
  const half = { ...whole, layers: whole.layers.map((layer, i) => (i === 0 ? narrow(layer) : layer)) };
  const { map } = await foldBatchNorm(half);
  expect(map.layers[0]!.weights.kernel!.dtype).toBe('float32');
  expect(await distance(map, half)).toBeLessThan(2e-7);
});

it("Caffe's factors and summands behind it are taken along", async () => {
  const net = new Net();
  const { build } = net;
  const y = net.norm(BEFORE.convolution!.make(net, net.input(['N', 3, 6, 5])), 'bn', 4);
  const scaled = build.add('Mul', [y, net.weight('scale', [4, 1, 1])], {}, 'scale');
  const whole = net.map(build.add('Add', [scaled, net.weight('shift', [1, 4, 1, 1])], {}, 'shift'));
  const { map, change } = await foldBatchNorm(whole);
  expect(opsOf(map)).toEqual(['Conv']);
  expect(change.layers).toEqual(['layer', 'bn', 'scale', 'shift']);
  expect(await distance(map, whole)).toBeLessThan(2e-7);
});

it('what something else reads, or is shown, stays, and that is told', async () => {
  const net = new Net();
  const { build } = net;
  const conv = BEFORE.convolution!.make(net, net.input(['N', 3, 6, 5]));
  const first = net.norm(conv, 'first', 4);
  const sum = build.add('Add', [first, conv], {}, 'sum');
  const second = net.norm(sum, 'second', 4);
  const whole = net.map(second);
  const { map, change } = await foldBatchNorm(whole);
  expect(map.layers).toEqual(whole.layers);
  expect(change).toMatchObject({ layers: [], message: expect.stringContaining('2 stay') });
});

it('a net without any is a mistake of the user', async () => {
  const net = new Net();
  const whole = net.map(net.build.add('Relu', [net.input(['N', 3])], {}, 'relu'));
  await expect(foldBatchNorm(whole)).rejects.toThrow(expect.objectContaining({ kind: 'usage' }));
});
