/** Writes the seeded VGG16 as a Keras 2 full model in HDF5. */
import type { FileSink } from '../../bytes/byte-sink.js';
import { encodeHdf5, type Hdf5Group } from '../../containers/hdf5/write.js';
import { writePieces } from '../../containers/protobuf-writer.js';
import type { Tensor } from '../../model/tensor.js';
import { lazyTensor } from './seeded-source.js';
import { INPUT_SIDE, type SeededLayer } from './vgg16.js';

export async function writeH5(layers: readonly SeededLayer[], file: FileSink): Promise<void> {
  await writePieces(encodeHdf5(kerasFile(layers)), file);
}

function kerasFile(layers: readonly SeededLayer[]): Hdf5Group {
  const rows = kerasLayers(layers);
  const config = rows.map(({ name, className, config: own }, i) => ({
    class_name: className,
    name,
    config: { name, trainable: true, ...own },
    inbound_nodes: i === 0 ? [] : [[[rows[i - 1]!.name, 0, 0, {}]]],
  }));
  const model = { class_name: 'Model', config: { name: 'vgg16', layers: config, input_layers: [['input_1', 0, 0]], output_layers: [['predictions', 0, 0]] } };
  const version = { keras_version: '2.2.4-tf', backend: 'tensorflow' };
  const groups = rows.map(({ name, datasets }): [string, Hdf5Group] => {
    const inner: Hdf5Group = { attributes: {}, children: new Map(datasets.map((tensor) => [tensor.name, tensor])) };
    const children = new Map(datasets.length > 0 ? [[name, inner]] : []);
    return [name, { attributes: { weight_names: datasets.map((tensor) => `${name}/${tensor.name}`) }, children }];
  });
  const weights: Hdf5Group = { attributes: { ...version, layer_names: rows.map(({ name }) => name) }, children: new Map(groups) };
  return { attributes: { ...version, model_config: JSON.stringify(model) }, children: new Map([['model_weights', weights]]) };
}

function kerasLayers(layers: readonly SeededLayer[]) {
  const input = { batch_input_shape: [null, INPUT_SIDE, INPUT_SIDE, 3], dtype: 'float32', sparse: false };
  const rows: { name: string; className: string; config: object; datasets: readonly Tensor[] }[] = [
    { name: 'input_1', className: 'InputLayer', config: input, datasets: [] },
  ];
  layers.forEach((layer, i) => {
    const datasets = [kerasKernel(layer), lazyTensor('bias:0', layer.bias)];
    const [units] = layer.weight.shape;
    if (layer.block === null) {
      const name = { fc6: 'fc1', fc7: 'fc2', fc8: 'predictions' }[layer.name]!;
      rows.push({ name, className: 'Dense', config: { units, activation: name === 'predictions' ? 'softmax' : 'relu', use_bias: true }, datasets });
      return;
    }
    const conv = {
      filters: units,
      kernel_size: [3, 3],
      strides: [1, 1],
      padding: 'same',
      data_format: 'channels_last',
      dilation_rate: [1, 1],
      activation: 'relu',
      use_bias: true,
    };
    rows.push({ name: layer.name.replace('conv', 'block').replace('_', '_conv'), className: 'Conv2D', config: conv, datasets });
    const next = layers[i + 1]!;
    if (next.block === layer.block) return;
    const pool = { pool_size: [2, 2], strides: [2, 2], padding: 'valid', data_format: 'channels_last' };
    rows.push({ name: `block${layer.block}_pool`, className: 'MaxPooling2D', config: pool, datasets: [] });
    if (next.block === null) rows.push({ name: 'flatten', className: 'Flatten', config: { data_format: 'channels_last' }, datasets: [] });
  });
  return rows;
}

/** Conv [out, in, kH, kW] as [kH, kW, in, out]; dense [out, CHW] as [HWC, out]. */
function kerasKernel({ block, side, weight }: SeededLayer): Tensor {
  const [out, ...rest] = weight.shape as [number, ...number[]];
  const fanIn = rest.reduce((a, b) => a * b, 1);
  if (block !== null) {
    const [channels, kernelH, kernelW] = rest as [number, number, number];
    return lazyTensor('kernel:0', weight, [kernelH, kernelW, channels, out], indexer(out, fanIn, channels, kernelH * kernelW));
  }
  const channels = fanIn / side ** 2;
  return lazyTensor('kernel:0', weight, [fanIn, out], indexer(out, fanIn, channels, side ** 2));
}

/** Position in [spatial, channel, out] order to index in [out, channel, spatial] order. */
function indexer(out: number, fanIn: number, channels: number, spatial: number): (position: number) => number {
  return (position) => {
    const o = position % out;
    const row = (position - o) / out;
    const c = row % channels;
    return o * fanIn + c * spatial + (row - c) / channels;
  };
}
