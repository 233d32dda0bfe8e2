/** Channels of one range: the net computes what it did, and a weight with one scale loses less. */
import { expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { toFloat32Array } from '../../src/model/cast.js';
import type { LayerMap } from '../../src/model/layer-map.js';
import { dequantiseAffine, quantiseAffine } from '../../src/model/quantise.js';
import { float32Tensor, permute, tensorBytes } from '../../src/model/tensor.js';
import { forOneScale } from '../../src/shrink/one-scale.js';
import { writers } from '../../src/writers/index.js';
import { runTfjs, type TfjsForm } from '../run-tfjs.js';
import { distance, Net, noise, opsOf } from '../transforms/contract.js';

const ORIGIN = { file: 'test' };
/** A kernel whose channels differ in range by factors of 4. */
const uneven = (shape: readonly number[]) => {
  const each = shape.reduce((a, b) => a * b, 1) / shape[0]!;
  const values = Array.from({ length: each * shape[0]! }, (_, i) => Math.sin(i * i * 0.7 + 1) * 4 ** -Math.floor(i / each));
  return float32Tensor('k', shape, values, ORIGIN);
};

/** A net of one layer whose first outputs are all positive, and the others negative and a hundredth of those. */
function oneSided(op: 'Gemm' | 'MatMul' | 'Conv'): LayerMap {
  const net = new Net();
  const [outputs, each] = [24, 48];
  const values = Float32Array.from({ length: outputs * each }, (_, i) => (i < 14 * each ? 1 : -0.01) * (0.5 + Math.abs(Math.sin(i * i))));
  const shape = op === 'Conv' ? [outputs, 12, 2, 2] : [outputs, each];
  const kernel = float32Tensor('k', shape, values, ORIGIN);
  const x = net.input(op === 'Conv' ? ['N', 12, 5, 4] : op === 'Gemm' ? ['N', each] : ['N', 3, each]);
  const own = net.build.constant(op === 'MatMul' ? { ...permute(kernel, [1, 0]), name: 'k' } : kernel, 'k');
  return net.map(net.build.add('Relu', [net.build.add(op, op === 'MatMul' ? [x, own] : [x, own, net.weight('b', [outputs])], {}, 'layer')], {}, 'relu'));
}

function netOf(behind: 'norm' | 'activation', isDense = false): LayerMap {
  const net = new Net();
  const x = net.input(isDense ? ['N', 9] : ['N', 3, 6, 5]);
  const kernel = net.build.constant(uneven(isDense ? [5, 9] : [4, 3, 3, 3]), 'k');
  const bias = net.weight('b', [isDense ? 5 : 4]);
  const y = isDense ? net.build.add('Gemm', [x, kernel, bias], {}, 'layer') : net.build.add('Conv', [x, kernel, bias], { pads: [1, 1, 1, 1] }, 'layer');
  return net.map(net.build.add('Relu', [behind === 'norm' ? net.norm(y, 'bn', isDense ? 5 : 4) : y], {}, 'relu'));
}

async function written(form: TfjsForm, map: LayerMap, dtype: 'uint8' | 'float32'): Promise<ReadonlyMap<string, Uint8Array>> {
  const writer = writers.find(({ name }) => name === form)!;
  if (writer.carries !== 'model') throw new Error(form);
  const sink = memorySink();
  await writer.write(map, sink, 'model.json', { dtype, layout: 'nhwc', metadata: async () => ({}) });
  await sink.commit();
  return sink.files;
}

/** What each channel takes of the whole range, on that side of zero where it takes more. */
const sharesOf = async (map: LayerMap) => {
  const { kernel } = map.layers[0]!.weights;
  const values = toFloat32Array(await tensorBytes(kernel!), 'float32');
  const each = values.length / kernel!.shape[0]!;
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return Array.from({ length: kernel!.shape[0]! }, (_, c) =>
    Math.max(...values.subarray(c * each, (c + 1) * each).map((value) => value / (value < 0 ? least : most))),
  );
};

it.each([
  ['a normalisation takes the ranges', 'norm', false, ['Conv', 'BatchNormalization', 'Relu']],
  ['a multiplication does where there is none', 'activation', false, ['Conv', 'Mul', 'Relu']],
  ['behind a dense layer too', 'activation', true, ['Gemm', 'Mul', 'Relu']],
] as const)('%s, and the net computes what it did', async (_, behind, isDense, ops) => {
  const whole = netOf(behind, isDense);
  const made = (await forOneScale(whole))!;
  expect(opsOf(made.map)).toEqual(ops);
  expect(await distance(made.map, whole)).toBeLessThan(2e-6);
  for (const share of await sharesOf(made.map)) expect(share).toBeCloseTo(1, 5);
  expect(made.change).toMatchObject({ transform: 'even-channels', layers: ['layer'] });
});

it('no channel is rounded in larger steps than it was, though some are on one side of zero', async () => {
  const net = new Net();
  const sizes = [1, 0.1, -0.02, -0.01];
  // Of the first, every second is on the other side of zero too.
  const values = Float32Array.from({ length: 4 * 50 }, (_, i) => (i < 50 && i % 2 ? -0.5 : sizes[Math.floor(i / 50)]!) * (0.1 + Math.abs(Math.sin(i * i))));
  const x = net.input(['N', 50]);
  const whole = net.map(
    net.build.add('Relu', [net.build.add('Gemm', [x, net.build.constant(float32Tensor('k', [4, 50], values, ORIGIN), 'k')], {}, 'layer')], {}, 'relu'),
  );
  const made = (await forOneScale(whole, { splits: false }))!;
  const range = async (map: LayerMap) => {
    const all = toFloat32Array(await tensorBytes(map.layers[0]!.weights.kernel!), 'float32');
    return Math.max(...all) - Math.min(...all);
  };
  expect(await range(made.map)).toBeLessThan(1.00001 * (await range(whole)));
  expect(await distance(made.map, whole)).toBeLessThan(2e-6);
});

it('nothing is done where the ranges are alike, or codes with one scale go over as they are', async () => {
  const even = (await forOneScale(netOf('norm')))!;
  expect(await forOneScale(even.map)).toBeNull();
  const whole = netOf('norm');
  const [conv, ...others] = whole.layers;
  const { kernel } = conv!.weights;
  const codes = quantiseAffine(kernel!, { dtype: 'uint8', scale: 2 / 255, min: -1 });
  const kept = { ...conv!, weights: { ...conv!.weights, kernel: dequantiseAffine(codes, { dtype: 'uint8', scale: 2 / 255, min: -1 }) } };
  expect(await forOneScale({ ...whole, layers: [kept, ...others] })).toBeNull();
});

it.each(['tfjs', 'tfjs-graph'] as const)('in %s a net in uint8 loses less', async (form: TfjsForm) => {
  // Without the activation, which would hide what most channels are.
  const { layers, outputs, ...net } = netOf('norm');
  const whole = { ...net, layers: layers.slice(0, 2), outputs: [{ ...outputs[0]!, value: layers[1]!.outputs[0]! }] };
  const input = { shape: [1, 6, 5, 3], data: Float32Array.from({ length: 90 }, (_, i) => Math.cos(i * 1.3)) };
  const run = async (map: LayerMap, dtype: 'uint8' | 'float32') => (await runTfjs(form, await written(form, map, dtype), [input]))[0]!.data;
  const exact = await run(whole, 'float32');
  const lossOf = (found: Float32Array) => found.reduce((sum, value, i) => sum + (value - exact[i]!) ** 2, 0);
  const [plain, even] = [lossOf(await run(whole, 'uint8')), lossOf(await run((await forOneScale(whole))!.map, 'uint8'))];
  // The channel that has the whole range loses what it did.
  expect(even).toBeLessThan(plain / 2.5);
});

it.each(['Gemm', 'MatMul', 'Conv'] as const)('a %s whose outputs lie on two sides of zero is split by them, as that loses less than one range', async (op) => {
  const whole = oneSided(op);
  const made = (await forOneScale(whole))!;
  expect(opsOf(made.map)).toEqual([op, op, 'Concat', 'Relu']);
  expect(made.map.layers[0]!.weights.kernel!.shape[op === 'MatMul' ? 1 : 0]).toBe(14);
  expect(await distance(made.map, whole)).toBeLessThan(1e-15);
  expect([made.claims, made.change.message]).toEqual([
    ['split'],
    '1 layer was split by output channels ("layer" in 2), as there is one scale for a whole weight',
  ]);
  const input =
    op === 'Conv' ? { shape: [1, 5, 4, 12], data: noise(240) } : { shape: op === 'Gemm' ? [1, 48] : [1, 3, 48], data: noise(op === 'Gemm' ? 48 : 144) };
  for (const form of ['tfjs', 'tfjs-graph'] as const) {
    const run = async (map: LayerMap, dtype: 'uint8' | 'float32') =>
      (await runTfjs(form, await written(form, map, dtype), [{ ...input, data: Float32Array.from(input.data) }]))[0]!;
    const [exact, plain, split] = [await run(whole, 'float32'), await run(whole, 'uint8'), await run(made.map, 'uint8')];
    const lossOf = ({ data }: typeof exact) => data.reduce((sum, value, i) => sum + (i % 24 < 14 ? 0 : (value - exact.data[i]!) ** 2), 0);
    expect([exact.shape, split.shape]).toEqual([plain.shape, plain.shape]);
    expect(lossOf(split)).toBeLessThan(lossOf(plain) / 10);
  }
});
