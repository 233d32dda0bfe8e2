/** Which weights a narrower file is taken to compute with. */
import { expect, it } from 'vitest';
import { castTensor, toFloat32Array } from '../../src/model/cast.js';
import { float32Tensor, tensorBytes } from '../../src/model/tensor.js';
import { widenedMap } from '../../src/verify/narrowing.js';
import type { WrittenModel } from '../../src/verify/written/written.js';
import { Net } from '../transforms/contract.js';

it('rounds a weight that is not found in the file as the others are, where all are of one dtype', async () => {
  const net = new Net();
  const x = net.input(['N', 3]);
  const map = net.map(net.build.add('Gemm', [x, net.weight('kernel', [2, 3]), net.weight('bias', [2])], {}, 'layer'));
  const { kernel, bias } = map.layers[0]!.weights;
  const written = (dtype: 'float16' | 'float32') =>
    ({ weight: (_, role) => (role === 'kernel' ? { tensor: castTensor(kernel!, dtype) } : undefined) }) as Pick<WrittenModel, 'weight'> as WrittenModel;
  const biasOf = async (dtype: 'float16' | 'float32') => {
    const { bias: found } = widenedMap(map, written(dtype)).layers[0]!.weights;
    return [...toFloat32Array(await tensorBytes(found!), found!.dtype as 'float32')];
  };
  const exact = [...toFloat32Array(await tensorBytes(bias!), 'float32')];
  const half = [...toFloat32Array(await tensorBytes(castTensor(float32Tensor('b', [2], exact, { file: 'test' }), 'float16')), 'float16')];
  expect(half).not.toEqual(exact);
  expect(await biasOf('float16')).toEqual(half);
  expect(await biasOf('float32')).toEqual(exact);
});

it('leaves what is not found as it is where the file keeps it so by its name', async () => {
  const net = new Net();
  const x = net.input(['N', 3]);
  const map = net.map(net.build.add('Gemm', [x, net.weight('kernel', [2, 3]), net.weight('bias', [2])], {}, 'layer'));
  const { kernel, bias } = map.layers[0]!.weights;
  const written = {
    weight: (_, role) => (role === 'kernel' ? { tensor: castTensor(kernel!, 'float16') } : undefined),
    storedAs: (name) => (name === bias!.name ? 'float32' : undefined),
  } as Pick<WrittenModel, 'weight' | 'storedAs'> as WrittenModel;
  expect(widenedMap(map, written).layers[0]!.weights.bias).toBe(bias);
});
