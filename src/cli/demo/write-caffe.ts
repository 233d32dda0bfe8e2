/** Writes the seeded VGG16 as Caffe: deploy prototxt and caffemodel (protobuf, see caffe.proto). */
import type { FileSink } from '../../bytes/byte-sink.js';
import { INPUT_SIDE, type SeededLayer, type SeededTensor } from './vgg16.js';
import { writeValues } from './write-values.js';

export async function writeCaffe(layers: readonly SeededLayer[], model: FileSink, prototxt: FileSink): Promise<void> {
  const text = [
    'name: "VGG_ILSVRC_16_layers"',
    `layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: ${INPUT_SIDE} dim: ${INPUT_SIDE} } } }`,
  ];
  await model.write(field(1, ascii('VGG_ILSVRC_16_layers')));
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
    await writeLayer(model, layer, type, bottom);
    bottom = name;
    if (!dense && layers[i + 1]!.block !== block) {
      text.push(`layer { name: "pool${block}" type: "Pooling" bottom: "${name}" top: "pool${block}" pooling_param { pool: MAX kernel_size: 2 stride: 2 } }`);
      bottom = `pool${block}`;
    }
  }
  text.push(`layer { name: "prob" type: "Softmax" bottom: "${bottom}" top: "prob" }`);
  await prototxt.write(ascii(`${text.join('\n')}\n`));
}

/** LayerParameter: name 1, type 2, bottom 3, top 4, blobs 7, as field 100 of the net; its length is known before its blobs. */
async function writeLayer(model: FileSink, { name, weight, bias }: SeededLayer, type: string, bottom: string): Promise<void> {
  const head = join([field(1, ascii(name)), field(2, ascii(type)), field(3, ascii(bottom)), field(4, ascii(name))]);
  const blobs = [weight, bias].map((tensor) => ({ tensor, head: blobHead(tensor) }));
  const byteLength = blobs.reduce((sum, blob) => sum + blob.head.byteLength + 4 * count(blob.tensor), head.byteLength);
  await model.write(join([tag(100), varint(byteLength), head]));
  for (const blob of blobs) {
    await model.write(blob.head);
    await writeValues(model, blob.tensor);
  }
}

/** BlobProto up to its packed values: shape 7 { dim 1 packed }, data 5. */
function blobHead(tensor: SeededTensor): Uint8Array {
  const shape = field(7, field(1, join(tensor.shape.map(varint))));
  const data = join([tag(5), varint(4 * count(tensor))]);
  return join([tag(7), varint(shape.byteLength + data.byteLength + 4 * count(tensor)), shape, data]);
}

function count(tensor: SeededTensor): number {
  return tensor.shape.reduce((a, b) => a * b, 1);
}

function tag(number: number): Uint8Array {
  return varint((number << 3) | 2);
}

function field(number: number, payload: Uint8Array): Uint8Array {
  return join([tag(number), varint(payload.byteLength), payload]);
}

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 127) {
    bytes.push((rest % 128) | 128);
    rest = Math.floor(rest / 128);
  }
  return Uint8Array.from([...bytes, rest]);
}

function ascii(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function join(pieces: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(pieces);
}
