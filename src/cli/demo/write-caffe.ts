/** Writes the seeded VGG16 as Caffe: deploy prototxt and caffemodel (protobuf, see caffe.proto). */
import { concatBytes, type FileSink } from '../../bytes/byte-sink.js';
import { encodeVarint, MessageBuilder, writePieces } from '../../containers/protobuf-writer.js';
import { tensorByteLength, tensorChunks } from '../../model/tensor.js';
import { lazyTensor } from './seeded-source.js';
import { INPUT_SIDE, type SeededLayer, type SeededTensor } from './vgg16.js';

export async function writeCaffe(layers: readonly SeededLayer[], model: FileSink, prototxt: FileSink): Promise<void> {
  const text = [
    'name: "VGG_ILSVRC_16_layers"',
    `layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: ${INPUT_SIDE} dim: ${INPUT_SIDE} } } }`,
  ];
  const net = new MessageBuilder().string(1, 'VGG_ILSVRC_16_layers');
  let bottom = 'data';
  for (const [i, layer] of layers.entries()) {
    const { name, block, weight } = layer;
    const number = name.replace(/^\D+/, '');
    const dense = block === null;
    const type = dense ? 'InnerProduct' : 'Convolution';
    const params = dense
      ? `inner_product_param { num_output: ${weight.shape[0]} }`
      : `convolution_param { num_output: ${weight.shape[0]} pad: 1 kernel_size: 3 }`;
    text.push(`layer { name: "${name}" type: "${type}" bottom: "${bottom}" top: "${name}" ${params} }`);
    if (i < layers.length - 1) text.push(`layer { name: "relu${number}" type: "ReLU" bottom: "${name}" top: "${name}" }`);
    if (dense && i < layers.length - 1)
      text.push(`layer { name: "drop${number}" type: "Dropout" bottom: "${name}" top: "${name}" dropout_param { dropout_ratio: 0.5 } }`);
    net.message(100, layerMessage(layer, type, bottom));
    bottom = name;
    if (!dense && layers[i + 1]!.block !== block) {
      text.push(`layer { name: "pool${block}" type: "Pooling" bottom: "${name}" top: "pool${block}" pooling_param { pool: MAX kernel_size: 2 stride: 2 } }`);
      bottom = `pool${block}`;
    }
  }
  text.push(`layer { name: "prob" type: "Softmax" bottom: "${bottom}" top: "prob" }`);
  await writePieces(net.pieces, model);
  await prototxt.write(new TextEncoder().encode(`${text.join('\n')}\n`));
}

/** LayerParameter: name 1, type 2, bottom 3, top 4, blobs 7. */
function layerMessage({ name, weight, bias }: SeededLayer, type: string, bottom: string): MessageBuilder {
  const message = new MessageBuilder().string(1, name).string(2, type).string(3, bottom).string(4, name);
  for (const tensor of [weight, bias]) message.message(7, blobMessage(tensor));
  return message;
}

/** BlobProto: shape 7 { dim 1 packed }, data 5. */
function blobMessage(seeded: SeededTensor): MessageBuilder {
  const tensor = lazyTensor('blob', seeded);
  const sizes = concatBytes(seeded.shape.map(encodeVarint));
  return new MessageBuilder()
    .message(7, new MessageBuilder().bytes(1, sizes))
    .bytes(5, { byteLength: tensorByteLength(tensor), chunks: () => tensorChunks(tensor) });
}
