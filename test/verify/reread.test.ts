/** Weights of files that our reader reads back, of which several layers may stand for one of the map's. */
import { expect, it } from 'vitest';
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
