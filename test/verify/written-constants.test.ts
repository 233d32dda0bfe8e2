/** A constant of each channel, wherever a format keeps it: in Keras in a normalisation that does nothing else. */
import { expect, it } from 'vitest';
import type { LayerMap } from '../../src/model/layer-map.js';
import { mapOf, spread, tensor, verifyWrittenMap, weightsOfWritten, written } from './small-files.js';

/** Dense layers whose products are not theirs alone, as in a recurrent layer's gates, and a picture scaled by channel. */
function net(op: string, rank: 2 | 4, values: readonly number[]): LayerMap {
  const layout = rank === 4 ? 'nchw' : 'other';
  const [input, output] =
    rank === 4
      ? [
          ['N', 3, 4, 4],
          ['N', 5, 4, 4],
        ]
      : [
          ['N', 3],
          ['N', 5],
        ];
  const kernel = rank === 4 ? tensor('k', [5, 3, 1, 1], spread(15)) : tensor('k', [3, 5], spread(15));
  return mapOf(
    [
      { name: 'product', op: rank === 4 ? 'Conv' : 'MatMul', inputs: ['x'], outputs: ['h'], weights: { kernel } },
      { name: 'bent', op: 'Tanh', inputs: ['h'], outputs: ['t'] },
      { name: 'constant', op, inputs: ['t'], outputs: ['y'], weights: { operand: tensor('o', rank === 4 ? [5, 1, 1] : [5], values) } },
    ],
    [{ name: 'x', value: 'x', dtype: 'float32', shape: input!, layout }],
    [{ name: 'y', value: 'y', dtype: 'float32', shape: output!, layout }],
  );
}

const VALUES = [0.3, -1.7, 2.1, 0.75, 3.3];
const FORMATS = ['onnx', 'tfjs', 'tfjs-graph', 'keras-v3', 'keras-h5'];

it.each(FORMATS)('is found in %s files, and another one is seen', async (format) => {
  let count = 0;
  for (const op of ['Add', 'Mul', 'Sub', 'Div']) {
    for (const [rank, dtype] of [
      [2, 'source'],
      [4, 'float16'],
    ] as const) {
      const map = net(op, rank, VALUES);
      const files = await written(map, format, { dtype }).catch(() => null);
      if (!files) continue;
      count++;
      const [right, wrong] = [await weightsOfWritten(map, files, format), await weightsOfWritten(net(op, rank, VALUES.toReversed()), files, format)];
      expect([op, rank, right]).toMatchObject([op, rank, { judged: true, compared: 2, unpaired: [], mismatches: [] }]);
      expect([op, rank, wrong?.judged, wrong?.mismatches.map(({ layer }) => layer)]).toEqual([op, rank, true, ['constant']]);
      // What weights say is what the verdict says, which is seen once.
      if (count > 1) continue;
      expect((await verifyWrittenMap(map, files, { samples: 1 }, format)).verdict).toBe('match');
      expect((await verifyWrittenMap(net(op, rank, VALUES.toReversed()), files, { samples: 1 }, format)).verdict).toBe('mismatch');
    }
  }
  expect(count).toBeGreaterThan(3);
});

it('weights of a layer that is several in a Keras file are found as often as somebody asks', async () => {
  const port = (name: string) => ({ name, value: name, dtype: 'float32', shape: ['N', 6, 5], layout: 'other' }) as const;
  const weights = { scale: tensor('s', [5], VALUES), bias: tensor('b', [5], VALUES.toReversed()) };
  const attributes = { axis: -1, epsilon: 1e-5 };
  const map = mapOf([{ name: 'ln', op: 'LayerNormalization', inputs: ['x'], outputs: ['y'], weights, attributes }], [port('x')], [port('y')]);
  for (const format of ['keras-v3', 'keras-h5']) {
    const report = await verifyWrittenMap(map, await written(map, format, {}), { samples: 1 }, format);
    expect([format, report.weights]).toMatchObject([format, { compared: 2, equal: 2, judged: true, unpaired: [] }]);
  }
});

it('a layer whose name is that of a part of another is found in a TensorFlow.js graph', async () => {
  const step = (name: string, input: string, output: string) => ({
    name,
    op: 'MatMul',
    inputs: [input],
    outputs: [output],
    weights: { kernel: tensor(`${name}.kernel`, [8, 8], spread(64)) },
  });
  const port = (name: string) => ({ name, value: name, dtype: 'float32', shape: ['N', 6, 8], layout: 'other' }) as const;
  const map = mapOf(
    [step('gru', 'x', 'h'), { name: 'bent', op: 'Tanh', inputs: ['h'], outputs: ['t'] }, step('gru/MatMul', 't', 'y')],
    [port('x')],
    [port('y')],
  );
  for (const dtype of ['source', 'float16', 'uint8']) {
    const report = await verifyWrittenMap(map, await written(map, 'tfjs-graph', { dtype }), { samples: 2 }, 'tfjs-graph');
    expect([dtype, report.verdict, report.weights]).toMatchObject([dtype, 'match', { compared: 2, judged: true, unpaired: [] }]);
  }
});

it("an operand of a batch of its own, turned with what it is added to, is the source's", async () => {
  const map = mapOf(
    [
      { name: 'conv', op: 'Conv', inputs: ['x'], outputs: ['conv'], weights: { kernel: tensor('kernel', [3, 3, 1]) } },
      { name: 'y', op: 'Add', inputs: ['conv'], outputs: ['y'], weights: { operand: tensor('operand', [2, 3, 4]) } },
    ],
    [{ name: 'x', value: 'x', dtype: 'float32', shape: [2, 3, 4], layout: 'ncw' }],
    [{ name: 'y', value: 'y', dtype: 'float32', shape: [2, 3, 4], layout: 'ncw' }],
  );
  const report = await verifyWrittenMap(map, await written(map, 'tfjs-graph'), {}, 'tfjs-graph');
  expect(report.verdict).toBe('match');
  expect(report.weights!.tensors.every(({ equal }) => equal)).toBe(true);
});
