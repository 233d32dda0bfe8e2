/** Which chains of layers are VGG nets: those whose convolutions keep the picture's size, however they pad. */
import { expect, it } from 'vitest';
import { nameVgg } from '../../src/architectures/vgg-names.js';
import type { Layer, LayerMap } from '../../src/model/layer-map.js';
import { makeLayer } from '../../src/model/ops/index.js';
import { float32Tensor } from '../../src/model/tensor.js';
import { emptyMap } from '../writers/onnx-cases.js';

const weight = (shape: number[]) => float32Tensor('w', shape, new Float32Array(shape.reduce((a, b) => a * b, 1)), { file: 'x' });

/** Blocks of one convolution each, padded by layers of their own. */
function chain(pads: readonly number[], blocks = 3): LayerMap {
  const layers: Layer[] = [];
  let value = 'x';
  const add = (op: string, attributes: Parameters<typeof makeLayer>[0]['attributes'] = {}, weights: Layer['weights'] = {}) => {
    const name = `${op}${layers.length}`;
    layers.push(makeLayer({ name, op, inputs: [value], outputs: [name], attributes, weights }));
    value = name;
  };
  for (let block = 0; block < blocks; block++) {
    add('Pad', { pads: [0, 0, pads[0]!, pads[1]!, 0, 0, pads[2]!, pads[3]!] });
    add('Conv', { kernel_shape: [3, 3] }, { kernel: weight([1, 1, 3, 3]) });
    add('Relu');
    add('MaxPool', { kernel_shape: [2, 2], strides: [2, 2] });
  }
  add('Flatten');
  add('Gemm', {}, { kernel: weight([2, 1]) });
  return { ...emptyMap, inputs: [{ name: 'x', value: 'x', dtype: 'float32', shape: ['N', 1, 8, 8], layout: 'nchw' }], layers };
}

const named = (map: LayerMap) => nameVgg(map).layers.flatMap(({ canonicalName = [] }) => canonicalName);

it('a net that is padded alike on all sides has the names of the paper', () => {
  expect(nameVgg(chain([1, 1, 1, 1])).architecture?.name).toMatch(/VGG/);
  expect(named(chain([1, 1, 1, 1]))).toEqual(['conv1_1', 'relu1_1', 'pool1', 'conv2_1', 'relu2_1', 'pool2', 'conv3_1', 'relu3_1', 'pool3', 'fc8']);
});

it.each([
  ['the end', [0, 0, 1, 1]],
  ['the start', [1, 1, 0, 0]],
  ['one axis', [1, 0, 1, 0]],
  ['three sides', [1, 1, 1, 0]],
  ['no side', [0, 0, 0, 0]],
  ['all sides by two', [2, 2, 2, 2]],
])('one that is padded at %s is no VGG net', (_, pads) => {
  expect(nameVgg(chain(pads)).architecture).toBeNull();
});

it('one of two blocks is none', () => {
  expect(nameVgg(chain([1, 1, 1, 1], 2)).architecture).toBeNull();
});
