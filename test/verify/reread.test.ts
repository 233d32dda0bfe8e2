/** Weights of files that our reader reads back, of which several layers may stand for one of the map's. */
import { expect, it } from 'vitest';
import { castTensor } from '../../src/model/cast.js';
import { float32Tensor, type Tensor } from '../../src/model/tensor.js';
import { toArray } from '../../src/verify/array.js';
import { roundToHalf } from '../../src/verify/half.js';
import { widenedMap } from '../../src/verify/narrowing.js';
import { rereadModel } from '../../src/verify/written/reread.js';
import { mapOf, tensor } from './small-files.js';

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
