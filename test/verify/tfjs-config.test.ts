/** Settings that TensorFlow.js passes over or reads otherwise than Keras are declined, by the layer's name. */
import { describe, expect, test } from 'vitest';
import { toTfjsConfig } from '../../src/verify/engines/tfjs-config.js';

const sequential = (...layers: object[]) => JSON.stringify({ class_name: 'Sequential', config: { name: 's', layers } });
const layer = (class_name: string, config: object = {}) => ({ class_name, config: { name: 'one', ...config } });

describe('declined', () => {
  test.each([
    ['a grouped convolution', layer('Conv2D', { groups: 2 })],
    ['channels first', layer('Conv2D', { data_format: 'channels_first' })],
    ['causal padding', layer('Conv1D', { padding: 'causal' })],
    ['a ReLU with a slope', layer('ReLU', { negative_slope: 0.1 })],
    ['an upsampling that interpolates', layer('UpSampling2D', { interpolation: 'bilinear' })],
    ['a dilated separable convolution', layer('SeparableConv2D', { dilation_rate: [2, 2] })],
    ['whole numbers', layer('Dense', { dtype: 'int8' })],
    ['a pooling that keeps its axes', layer('GlobalAveragePooling2D', { keepdims: true })],
    ['an embedding with a mask', layer('Embedding', { mask_zero: true })],
    ['a transposed convolution with an output padding', layer('Conv2DTranspose', { output_padding: [1, 1] })],
    ['a rescaling of each channel', layer('Rescaling', { scale: [1, 2, 3] })],
    ['a setting that is not known', layer('Dense', { planted: 3 })],
    ['an activation that it lacks', layer('Dense', { activation: 'leaky_relu' })],
    ["an activation of someone else's", layer('Dense', { activation: { class_name: 'function', config: 'relu', registered_name: 'Custom>relu' } })],
    ["a class of someone's own that is not registered", { ...layer('Dense'), module: null, registered_name: 'Dense' }],
    ["a class of someone else's", { ...layer('Dense'), module: 'mine', registered_name: 'Custom>Dense' }],
    ['a configuration of Keras 1', layer('Convolution2D', { nb_filter: 3 })],
    ['a Lambda', layer('Lambda', {})],
    ['a layer that nobody knows', layer('LRN2D', {})],
  ])('%s', (_, entry) => {
    expect(() => toTfjsConfig(sequential(entry))).toThrowError(expect.objectContaining({ kind: 'engine', message: expect.stringContaining('"one"') }));
  });

  test('a model that is neither Sequential nor functional', () => {
    expect(() => toTfjsConfig(JSON.stringify({ class_name: 'Net', config: {} }))).toThrowError(expect.objectContaining({ kind: 'engine' }));
  });
});

test('a hard_sigmoid is declined in a file of Keras 3, which changed its slope', () => {
  const text = sequential(layer('Dense', { units: 2, activation: 'hard_sigmoid' }));
  expect(() => toTfjsConfig(text, '2.13.1')).not.toThrow();
  expect(() => toTfjsConfig(text, '3.0.5')).toThrowError(expect.objectContaining({ kind: 'engine' }));
});

test('what Keras 3 writes becomes the form of Keras 2', () => {
  const text = JSON.stringify({
    class_name: 'Functional',
    config: {
      name: 'f',
      layers: [
        { class_name: 'InputLayer', config: { name: 'x', batch_shape: [null, 4], dtype: 'float32', sparse: false, optional: false } },
        {
          class_name: 'Dense',
          module: 'keras.layers',
          registered_name: null,
          build_config: { input_shape: [null, 4] },
          config: {
            name: 'd',
            units: 2,
            groups: 1,
            dtype: { class_name: 'DTypePolicy', config: { name: 'float32' } },
            quantization_config: null,
            lora_rank: null,
          },
          inbound_nodes: [
            { args: [{ class_name: '__keras_tensor__', config: { shape: [null, 4], keras_history: ['x', 0, 0] } }], kwargs: { training: false } },
          ],
        },
      ],
      input_layers: ['x', 0, 0],
      output_layers: [['d', 0, 0]],
    },
  });
  expect(toTfjsConfig(text)).toEqual({
    class_name: 'Model',
    config: {
      name: 'f',
      layers: [
        { class_name: 'InputLayer', name: 'x', config: { name: 'x', trainable: true, batch_input_shape: [null, 4], dtype: 'float32', sparse: false } },
        {
          class_name: 'Dense',
          name: 'd',
          config: { name: 'd', trainable: true, units: 2, kernel_initializer: { class_name: 'Zeros', config: {} } },
          inbound_nodes: [[['x', 0, 0, {}]]],
        },
      ],
      input_layers: [['x', 0, 0]],
      output_layers: [['d', 0, 0]],
    },
  });
});

test('what a call noted of training acts in tf.keras, and not in Keras 3', () => {
  const tensor = { class_name: '__keras_tensor__', config: { shape: [null, 4], keras_history: ['x', 0, 0] } };
  const layers = [
    { class_name: 'InputLayer', name: 'x', config: { name: 'x', batch_shape: [null, 4] }, inbound_nodes: [] },
    { class_name: 'Dropout', name: 'd', config: { name: 'd', rate: 0.5 }, inbound_nodes: [{ args: [tensor], kwargs: { training: true } }] },
  ];
  const text = JSON.stringify({ class_name: 'Functional', config: { name: 'm', layers, input_layers: [['x', 0, 0]], output_layers: [['d', 0, 0]] } });
  expect(() => toTfjsConfig(text, '3.15.1')).not.toThrow();
  expect(() => toTfjsConfig(text, '2.15.0')).toThrowError(expect.objectContaining({ kind: 'engine', message: expect.stringContaining('training') }));
});
