/** What nets that tell classes apart are judged by: what the softmax reads, which its saturation hides. */
import { expect, it } from 'vitest';
import type { LayerMap } from '../../src/model/layer-map.js';
import { makeLayer } from '../../src/model/ops/index.js';
import { float32Tensor } from '../../src/model/tensor.js';
import { beforeSoftmax } from '../../src/shrink/before-softmax.js';
import { distance, outputsOf } from '../../src/shrink/outputs.js';
import { givenInputs } from '../../src/verify/feeds.js';

const ORIGIN = { file: 'test' };

/** A dense layer and what ends it, whose outputs are so far apart that a softmax is 0 and 1. */
function net(op: string, shift = 0, shape: readonly (number | string)[] = ['N', 3]): LayerMap {
  const kernel = float32Tensor('k', [3, 2], [40, 0, 0, 40, -40 + shift, -40], ORIGIN);
  const layers = [
    makeLayer({ name: 'dense', op: 'Gemm', inputs: ['x'], outputs: ['dense'], weights: { kernel }, attributes: {} }, [['N', 2]]),
    makeLayer({ name: 'end', op, inputs: ['dense'], outputs: ['end'], weights: {}, attributes: op === 'Softmax' ? { axis: -1 } : {} }, [['N', 3]]),
  ];
  const port = { dtype: 'float32', layout: 'other' } as const;
  return {
    name: 'net',
    format: 'test',
    producer: null,
    architecture: null,
    inputs: [{ name: 'x', value: 'x', shape: ['N', 2], ...port }],
    outputs: [{ name: 'end', value: 'end', shape, ...port }],
    layers,
    warnings: [],
  };
}

it('a weight that is off is seen though the softmax gives 0 and 1 all the same', async () => {
  const [map, off] = [net('Softmax'), net('Softmax', 8)];
  const inputs = await givenInputs(new Map([['x', float32Tensor('x', [2, 2], [1, 0.1, 0.1, 1], ORIGIN)]]), map);
  expect(distance(await outputsOf(map, inputs, 2), await outputsOf(off, inputs, 2))).toBeLessThan(1e-12);
  const [expected, found] = [await outputsOf(beforeSoftmax(map), inputs, 2), await outputsOf(beforeSoftmax(off), inputs, 2)];
  expect(distance(expected, found)).toBeGreaterThan(1e-3);
  // 40, 4 and -44, whose mean is taken off.
  expect([...(expected[0]![0]!.data as Float32Array)].map(Math.round)).toEqual([40, 4, -44]);
});

it.each([
  ['gives no classes', net('Relu')],
  ['has a softmax for each place', net('Softmax', 0, ['N', 3, 7])],
])('a net that %s is judged by what it gives', (_, map) => expect(beforeSoftmax(map)).toBe(map));
