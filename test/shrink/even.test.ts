/** Channels of one range: the net computes what it did, and a weight with one scale loses less. */
import { expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { toFloat32Array } from '../../src/model/cast.js';
import type { LayerMap } from '../../src/model/layer-map.js';
import { float32Tensor, tensorBytes } from '../../src/model/tensor.js';
import { evenChannels } from '../../src/shrink/even.js';
import { writers } from '../../src/writers/index.js';
import { runTfjs, type TfjsForm } from '../run-tfjs.js';
import { distance, Net, opsOf } from '../transforms/contract.js';

const ORIGIN = { file: 'test' };
/** A kernel whose channels differ in range by factors of 4. */
const uneven = (shape: readonly number[]) => {
  const each = shape.reduce((a, b) => a * b, 1) / shape[0]!;
  const values = Array.from({ length: each * shape[0]! }, (_, i) => Math.sin(i * i * 0.7 + 1) * 4 ** -Math.floor(i / each));
  return float32Tensor('k', shape, values, ORIGIN);
};

function netOf(behind: 'norm' | 'activation', isDense = false): LayerMap {
  const net = new Net();
  const x = net.input(isDense ? ['N', 9] : ['N', 3, 6, 5]);
  const kernel = net.build.constant(uneven(isDense ? [5, 9] : [4, 3, 3, 3]), 'k');
  const bias = net.weight('b', [isDense ? 5 : 4]);
  const y = isDense ? net.build.add('Gemm', [x, kernel, bias], {}, 'layer') : net.build.add('Conv', [x, kernel, bias], { pads: [1, 1, 1, 1] }, 'layer');
  return net.map(net.build.add('Relu', [behind === 'norm' ? net.norm(y, 'bn', isDense ? 5 : 4) : y], {}, 'relu'));
}

const largestOf = async (map: LayerMap) => {
  const { kernel } = map.layers[0]!.weights;
  const values = toFloat32Array(await tensorBytes(kernel!), 'float32');
  const each = values.length / kernel!.shape[0]!;
  return Array.from({ length: kernel!.shape[0]! }, (_, c) => Math.max(...values.subarray(c * each, (c + 1) * each).map(Math.abs)));
};

it.each([
  ['a normalisation takes the ranges', 'norm', false, ['Conv', 'BatchNormalization', 'Relu']],
  ['a multiplication does where there is none', 'activation', false, ['Conv', 'Mul', 'Relu']],
  ['behind a dense layer too', 'activation', true, ['Gemm', 'Mul', 'Relu']],
] as const)('%s, and the net computes what it did', async (_, behind, isDense, ops) => {
  const whole = netOf(behind, isDense);
  const made = (await evenChannels(whole, true))!;
  expect(opsOf(made.map)).toEqual(ops);
  expect(await distance(made.map, whole)).toBeLessThan(2e-6);
  const [first, ...others] = await largestOf(made.map);
  for (const largest of others) expect(Math.abs(largest / first! - 1)).toBeLessThan(1e-5);
  expect(made.change).toMatchObject({ transform: 'even-channels', layers: ['layer'] });
});

it('nothing is done where the target has no multiplication, the ranges are alike, or something else reads what lies between', async () => {
  expect(await evenChannels(netOf('activation'), false)).toBeNull();
  const even = (await evenChannels(netOf('norm'), false))!;
  expect(await evenChannels(even.map, true)).toBeNull();
});

it.each(['tfjs', 'tfjs-graph'] as const)('in %s a net in uint8 loses less', async (form: TfjsForm) => {
  const whole = netOf('norm');
  const input = { shape: [1, 6, 5, 3], data: Float32Array.from({ length: 90 }, (_, i) => Math.cos(i * 1.3)) };
  const run = async (map: LayerMap, dtype: 'uint8' | 'float32') => {
    const writer = writers.find(({ name }) => name === form)!;
    if (writer.carries !== 'model') throw new Error(form);
    const sink = memorySink();
    await writer.write(map, sink, 'model.json', { dtype, layout: 'nhwc', metadata: async () => ({}) });
    await sink.commit();
    return (await runTfjs(form, sink.files, [input]))[0]!.data;
  };
  const exact = await run(whole, 'float32');
  const lossOf = (found: Float32Array) => found.reduce((sum, value, i) => sum + (value - exact[i]!) ** 2, 0);
  const [plain, even] = [lossOf(await run(whole, 'uint8')), lossOf(await run((await evenChannels(whole, form === 'tfjs-graph'))!.map, 'uint8'))];
  expect(even).toBeLessThan(plain / 1.8);
});
