/** Weights do not say whether a softmax stands at the end of a net; a file that they are compared with does. */
import { expect, it } from 'vitest';
import type { LayerMap } from '../../src/model/layer-map.js';
import { makeLayer } from '../../src/model/ops/index.js';
import { float32Tensor } from '../../src/model/tensor.js';
import { endedAs } from '../../src/verify/assumed-end.js';
import { referenceSession } from '../../src/verify/reference/session.js';
import { emptyMap } from '../writers/onnx-cases.js';

const kernel = float32Tensor('k', [3, 2], [1, 2, 3, 4, 5, 6], { file: 'f' });

function net(end: 'Softmax' | null, assumed: readonly string[], classes = 3): LayerMap {
  const layers = [makeLayer({ name: 'fc', op: 'Gemm', inputs: ['x'], outputs: ['y'], weights: { kernel } })];
  if (end) layers.push(makeLayer({ name: 'end', op: end, inputs: ['y'], outputs: ['z'], attributes: { axis: 1 } }));
  return {
    ...emptyMap,
    architecture: { name: 'a net', assumed },
    inputs: [{ name: 'x', value: 'x', dtype: 'float32', shape: ['N', 2], layout: 'other' }],
    outputs: [{ name: 'out', value: end ? 'z' : 'y', dtype: 'float32', shape: ['N', classes], layout: 'other' }],
    layers,
  };
}

it('is taken to be as in the other file, under the name of the output', async () => {
  const ended = endedAs(net(null, ['a ReLU follows']), net('Softmax', []))!;
  const feeds = new Map([['x', { shape: [1, 2], data: Float32Array.of(0.1, 0.2) }]]);
  const of = async (map: LayerMap) => [...(await (await referenceSession(map)).run(feeds)).get('out')!.data];
  expect(await of(ended)).toEqual(await of(net('Softmax', [])));
});

it.each([
  ['the file says itself how it ends', net(null, []), net('Softmax', [])],
  ['the other has none', net(null, ['a ReLU follows']), net(null, [])],
  ['there is one already', net('Softmax', ['a ReLU follows']), net('Softmax', [])],
  ['the classes are others', net(null, ['a ReLU follows']), net('Softmax', [], 4)],
])('is left as it is where %s', (_, own, other) => {
  expect(endedAs(own, other)).toBeNull();
});
