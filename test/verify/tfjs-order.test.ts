/** Layers of TensorFlow.js files whose values have their axes as the map has them, and not their channels last, as in transformers. */
import { expect, it } from 'vitest';
import { editTfjs } from './faults/tfjs-edit.js';
import { mapOf, tensor, verifyWrittenMap, written } from './small-files.js';

const port = (name: string) => ({ name, value: name, dtype: 'float32', shape: ['N', 5, 4], layout: 'other' }) as const;
const product = (name: string, input: string) => ({ name, op: 'MatMul', inputs: [input], outputs: [name], weights: { kernel: tensor(`${name}/k`, [4, 4]) } });
/** A name that the file cannot have, as an exporter of PyTorch gives. */
const SHARES = '/block.0/Softmax';
const net = mapOf(
  [
    product('first', 'x'),
    { name: 'turned', op: 'Transpose', inputs: ['first'], outputs: ['turned'], attributes: { perm: [0, 2, 1] } },
    { name: SHARES, op: 'Softmax', inputs: ['turned'], outputs: [SHARES], attributes: { axis: -1 } },
    { name: 'back', op: 'Transpose', inputs: [SHARES], outputs: ['back'], attributes: { perm: [0, 2, 1] } },
    product('last', 'back'),
    { name: 'end', op: 'Relu', inputs: ['last'], outputs: ['end'] },
  ],
  [port('x')],
  [port('end')],
);

it('are compared one by one in a graph, and the one that is wrong is named', async () => {
  const files = await written(net, 'tfjs-graph');
  const right = await verifyWrittenMap(net, files, { layers: true, samples: 2 }, 'tfjs-graph');
  expect(right.verdict).toBe('match');
  expect(right.layers!.map(({ layer }) => layer)).toEqual(expect.arrayContaining(['first', SHARES, 'last', 'end']));
  const wrong = editTfjs(files, ({ part }) => void Object.assign(part('n/block.0/Softmax'), { op: 'Sigmoid', attr: { T: { type: 'DT_FLOAT' } } }));
  const report = await verifyWrittenMap(net, wrong, {}, 'tfjs-graph');
  expect([report.verdict, report.cause?.message]).toEqual(['mismatch', expect.stringContaining(`layer "${SHARES}": explained by: sigmoid for Softmax`)]);
});

it('a function that is another one where no input reaches is seen under a name that the file cannot have', async () => {
  const gate = (op: string, attributes = {}) =>
    mapOf(
      [
        { name: '/gate', op: 'Sigmoid', inputs: ['x'], outputs: ['g'] },
        { name: '/act', op, inputs: ['g'], outputs: ['end'], attributes },
      ],
      [port('x')],
      [port('end')],
    );
  for (const format of ['tfjs-graph', 'tfjs']) {
    const report = await verifyWrittenMap(gate('Relu'), await written(gate('Clip', { min: 0, max: 6 }), format), {}, format);
    expect([format, report.verdict, report.firstDifference?.layer]).toEqual([format, 'mismatch', '/act']);
  }
});
