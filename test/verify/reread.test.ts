/** Weights of files that our reader reads back, of which several layers may stand for one of the map's. */
import { expect, it } from 'vitest';
import { castTensor } from '../../src/model/cast.js';
import { makeLayer } from '../../src/model/ops/index.js';
import { float32Tensor, type Tensor } from '../../src/model/tensor.js';
import { toArray } from '../../src/verify/array.js';
import { roundToHalf } from '../../src/verify/half.js';
import { widenedMap } from '../../src/verify/narrowing.js';
import { rereadModel } from '../../src/verify/written/reread.js';
import { mapOf, tensor, verifyWrittenMap, written } from './small-files.js';

it('of several layers of the file that have a weight of the size, the one with the operator of the map gives it', () => {
  const port = (name: string) => ({ name, value: name, dtype: 'float32', shape: ['N', 2], layout: 'other' }) as const;
  const weights = { scale: tensor('scale', [2], [3, 4]), bias: tensor('bias', [2], [5, 6]) };
  const file = mapOf(
    [
      { name: 'norm/Mul', op: 'Mul', inputs: ['x'], outputs: ['h'], weights: { operand: weights.scale } },
      { name: 'norm/Add', op: 'Add', inputs: ['h'], outputs: ['y'], weights: { operand: weights.bias } },
    ],
    [port('x')],
    [port('y')],
  );
  const source = mapOf([{ name: 'norm', op: 'Add', inputs: ['x'], outputs: ['y'], weights: { operand: weights.bias } }], [port('x')], [port('y')]);
  const [layer] = source.layers;
  expect(rereadModel(file, 'keras-h5', source.layers).weight(layer!, 'operand')?.tensor.name).toBe('bias');
});

it('of several numbers of a function, which no file stores, the one of the value is the one', () => {
  const port = (name: string) => ({ name, value: name, dtype: 'float32', shape: ['N', 2], layout: 'other' }) as const;
  const number = (name: string, value: number) => float32Tensor(name, [1], [value], { file: 'net.h5' });
  const step = (name: string, x: string, y: string, operand: Tensor) => ({ name, op: 'Mul', inputs: [x], outputs: [y], weights: { operand } });
  const file = mapOf(
    [step('act_Mul_2', 'x', 'h', number('act_Mul_2/0.7071067811865476', Math.SQRT1_2)), step('act_Mul_2/Mul_2', 'h', 'y', number('act_Mul_2/0.5', 0.5))],
    [port('x')],
    [port('y')],
  );
  const source = mapOf(
    [step('act', 'x', 'h', number('act/0.7071067811865476', Math.SQRT1_2)), step('act/Mul_2', 'h', 'y', number('act/0.5', 0.5))],
    [port('x')],
    [port('y')],
  );
  const written = rereadModel(file, 'keras-h5', source.layers);
  expect(written.weight(source.layers[1]!, 'operand')?.tensor.name).toBe('act_Mul_2/0.5');
});

it('numbers of a function are not rounded where the weights of a file are', async () => {
  const port = (name: string) => ({ name, value: name, dtype: 'float32', shape: ['N', 2], layout: 'other' }) as const;
  const third = Math.fround(1 / 3);
  const stored = { file: 'net.h5', name: 'stored' };
  const source = mapOf(
    [
      { name: 'a', op: 'Mul', inputs: ['x'], outputs: ['h'], weights: { operand: float32Tensor('a', [2], [third, third], stored) } },
      { name: 'b', op: 'Mul', inputs: ['h'], outputs: ['i'], weights: { operand: float32Tensor('b', [2], [third, third], stored) } },
      { name: 'c', op: 'Mul', inputs: ['i'], outputs: ['y'], weights: { operand: float32Tensor('c/0.33', [1], [third], { file: 'net.h5' }) } },
    ],
    [port('x')],
    [port('y')],
  );
  const half = castTensor(float32Tensor('a', [2], [third, third], stored), 'float16');
  const written = { format: 'keras-h5', isOurs: true, layoutOf: () => 'other' as const, valueOf: () => undefined };
  const { layers } = widenedMap(source, { ...written, weight: ({ name }) => (name === 'a' ? { tensor: half } : undefined) });
  const values = await Promise.all(layers.map(async ({ weights }) => (await toArray(weights.operand!)).data[0]));
  expect(values).toEqual([roundToHalf(third), roundToHalf(third), third]);
});

/** A small net for pictures, with one of its layers otherwise. */
function pictureNet(pads: readonly number[]) {
  const layer = (name: string, op: string, input: string, more: object = {}) => ({ name, op, inputs: [input], outputs: [name], ...more });
  const conv = (name: string, input: string, channels: readonly [number, number], border: readonly number[]) =>
    layer(name, 'Conv', input, {
      attributes: { pads: border },
      weights: { kernel: tensor(`${name}/kernel`, [...channels, 3, 3]), bias: tensor(`${name}/bias`, [channels[0]]) },
    });
  return mapOf(
    [
      conv('conv1', 'x', [4, 3], [1, 1, 1, 1]),
      layer('relu1', 'Relu', 'conv1'),
      conv('conv2', 'relu1', [5, 4], pads),
      layer('relu2', 'Relu', 'conv2'),
      layer('flat', 'Flatten', 'relu2', { attributes: { axis: 1 } }),
      layer('flat/Relu', 'Relu', 'flat'),
      layer('dense', 'Gemm', 'flat/Relu', { weights: { kernel: tensor('dense/kernel', [2, 180]) } }),
    ],
    [{ name: 'x', value: 'x', dtype: 'float32', shape: ['N', 3, 6, 6], layout: 'nchw' }],
    [{ name: 'dense', value: 'dense', dtype: 'float32', shape: ['N', 2], layout: 'other' }],
  );
}

it.each(['keras-h5', 'keras-v3', 'caffe'])('layers of a %s file are compared one by one, and the one that is wrong is named', async (to) => {
  const net = pictureNet([1, 1, 1, 1]);
  const options = { samples: 2, layers: true };
  const right = await verifyWrittenMap(net, await written(net, to), options, to);
  expect(right.verdict).toBe('match');
  // What is flattened lies in another order where channels are last.
  const flattened = to === 'caffe' ? ['flat', 'flat/Relu'] : [];
  expect(right.layers!.map(({ layer }) => layer)).toEqual(['conv1', 'relu1', 'conv2', 'relu2', ...flattened, 'dense']);
  const wrong = await verifyWrittenMap(net, await written(pictureNet([2, 1, 0, 1]), to), options, to);
  expect([wrong.verdict, wrong.firstDifference?.layer]).toEqual(['mismatch', 'conv2']);
  expect(wrong.cause?.message).toMatch(to === 'caffe' ? /"conv2": explained by: Conv \("p/ : /"conv2": explained by: pads \[2,1,0,1\] for \[1,1,1,1\]/);
});

it('an activation that a Keras file has lost at its end is missing', async () => {
  const net = (isWhole: boolean) => {
    const map = pictureNet([1, 1, 1, 1]);
    const end = makeLayer({ name: 'end', op: 'Sigmoid', inputs: ['dense'], outputs: ['end'] });
    return isWhole ? { ...map, layers: [...map.layers, end], outputs: [{ ...map.outputs[0]!, value: 'end' }] } : map;
  };
  const report = await verifyWrittenMap(net(true), await written(net(false), 'keras-v3'), {}, 'keras-v3');
  expect([report.verdict, report.cause?.message]).toEqual(['mismatch', expect.stringContaining('layer "end": explained by: Sigmoid missing')]);
});

it('of layers that a file has under one name the last is shown, where nothing else reads the others', () => {
  const port = (name: string, shape: readonly (number | string)[]) => ({ name, value: name, dtype: 'float32', shape, layout: 'other' }) as const;
  const step = (name: string, x: string) => ({ name, op: 'Relu', inputs: [x], outputs: [name] });
  const ports = [[port('x', ['N', 2])], [port('end', ['N', 2])]] as const;
  const source = mapOf([step('a', 'x'), step('a/b', 'a'), step('end', 'a/b')], ...ports);
  const shown = (layers: readonly ReturnType<typeof step>[]) => {
    const model = rereadModel(mapOf(layers, ...ports), 'keras-v3', source.layers);
    return source.layers.map((layer) => [model.valueOf(layer), model.ownValueOf!(layer)]);
  };
  expect(shown([step('a_pad', 'x'), step('a', 'a_pad'), step('a_b', 'a'), step('a_b/Flatten', 'a_b'), step('end', 'a_b/Flatten')])).toEqual([
    ['a', 'a'],
    ['a_b', 'a_b/Flatten'],
    ['end', 'end'],
  ]);
  expect(shown([step('a', 'x'), step('a/c', 'a'), step('a_b', 'a'), step('end', 'a_b')]).slice(0, 2)).toEqual([
    [undefined, undefined],
    ['a_b', 'a_b'],
  ]);
});
