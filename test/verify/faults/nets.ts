/** The nets into whose written files faults are put. */
import { fileURLToPath } from 'node:url';
import { memorySource } from '../../../src/bytes/byte-source.js';
import type { Layer, LayerMap, ModelFile } from '../../../src/model/layer-map.js';
import { makeLayer } from '../../../src/model/ops/index.js';
import { storedTensor, type Tensor } from '../../../src/model/tensor.js';

/** The digits net as Caffe: convolutions, ReLU, max pooling, dense layers, softmax. */
export const DIGITS_SOURCE = fileURLToPath(new URL('../../../demo/digits/digits.caffemodel', import.meta.url));

/** Batch normalisation, groups, both poolings on odd sizes, a branch, global pooling: what the digits net has not. */
export function branchedNet(): LayerMap {
  const layers: Layer[] = [];
  const add = (name: string, op: string, inputs: readonly string[], extra: Partial<Parameters<typeof makeLayer>[0]> = {}) =>
    layers.push(makeLayer({ name, op, inputs, outputs: [name], ...extra }));
  const norm = (name: string, input: string, channels: number) =>
    add(name, 'BatchNormalization', [input], {
      attributes: { epsilon: 1e-3 },
      weights: {
        scale: values(`${name}.scale`, [channels], 0.5, 1.5),
        bias: values(`${name}.bias`, [channels], -0.5, 0.5),
        mean: values(`${name}.mean`, [channels], -0.3, 0.3),
        variance: values(`${name}.variance`, [channels], 0.05, 0.8),
      },
    });
  const conv = (name: string, input: string, shape: readonly number[], attributes: Record<string, number | readonly number[]>) =>
    add(name, 'Conv', [input], {
      attributes,
      weights: { kernel: values(`${name}.kernel`, shape, ...spread(shape)), bias: values(`${name}.bias`, [shape[0]!], -0.2, 0.2) },
    });
  conv('conv1', 'input', [8, 3, 3, 3], { pads: [1, 1, 1, 1] });
  norm('bn1', 'conv1', 8);
  add('relu1', 'Relu', ['bn1']);
  add('pool1', 'MaxPool', ['relu1'], { attributes: { kernel_shape: [2, 2], strides: [2, 2] } });
  conv('conv2', 'pool1', [8, 4, 3, 3], { pads: [1, 1, 1, 1], group: 2 });
  add('relu2', 'Relu', ['conv2']);
  add('pool2', 'AveragePool', ['relu2'], { attributes: { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] } });
  conv('conv3a', 'pool2', [6, 8, 1, 1], {});
  conv('conv3b', 'pool2', [6, 8, 3, 3], { pads: [1, 1, 1, 1] });
  add('concat', 'Concat', ['conv3a', 'conv3b'], { attributes: { axis: 1 } });
  norm('bn2', 'concat', 12);
  add('relu3', 'Relu', ['bn2']);
  add('gap', 'GlobalAveragePool', ['relu3']);
  add('flatten', 'Flatten', ['gap']);
  add('fc', 'Gemm', ['flatten'], { weights: { kernel: values('fc.kernel', [5, 12], -0.6, 0.7), bias: values('fc.bias', [5], -0.5, 0.5) } });
  add('prob', 'Softmax', ['fc'], { attributes: { axis: -1 } });
  return {
    name: 'branched',
    format: 'layer map',
    producer: null,
    architecture: null,
    inputs: [{ name: 'input', value: 'input', dtype: 'float32', shape: ['N', 3, 15, 17], layout: 'nchw' }],
    outputs: [{ name: 'prob', value: 'prob', dtype: 'float32', shape: ['N', 5], layout: 'other' }],
    layers,
    warnings: [],
  };
}

/** Values grow neither from layer to layer nor so large that the softmax hides what happens. */
export function spread([, ...fanIn]: readonly number[]): [low: number, high: number] {
  const limit = 0.7 * Math.sqrt(3 / fanIn.reduce((a, b) => a * b, 1));
  return [-limit, 1.2 * limit];
}

/** A model that no file was read for; only our evaluator can be its witness, and the faults are in the written file. */
export function modelOf(map: LayerMap): ModelFile {
  return { format: map.format, producer: null, tensors: [], details: {}, warnings: [], files: [], map: async () => map };
}

/** Seeded by its name. */
export function values(name: string, shape: readonly number[], low: number, high: number): Tensor {
  let state = [...name].reduce((hash, char) => Math.imul(hash ^ char.charCodeAt(0), 0x01000193), 0x811c9dc5);
  const count = shape.reduce((a, b) => a * b, 1);
  const data = Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return low + ((state >>> 0) / 2 ** 32) * (high - low);
  });
  return storedTensor({ name, dtype: 'float32', shape, source: memorySource(new Uint8Array(data.buffer), name), origin: { file: 'made here' } });
}
