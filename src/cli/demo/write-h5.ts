/**
 * Writes the seeded VGG16 as a Keras 2 full model in HDF5: superblock 0, symbol-table groups, contiguous datasets.
 *
 * @see https://docs.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html
 */
import type { FileSink } from '../../bytes/byte-sink.js';
import { INPUT_SIDE, type SeededLayer, type SeededTensor } from './vgg16.js';
import { writeValues } from './write-values.js';

/** Entries per symbol-table node; the superblock states it, so that each group needs one node only. */
const LEAF_K = 32;
const UNDEFINED = 0xffffffffffffffffn;
/** What the HDF5 library writes in a local heap without free blocks (the specification says UNDEFINED). */
const NO_FREE_SPACE = 1;

interface Dataset {
  readonly shape: readonly number[];
  readonly tensor: SeededTensor;
  readonly indexOf?: (position: number) => number;
}

interface Group {
  readonly attributes: Readonly<Record<string, string | readonly string[]>>;
  readonly children: Readonly<Record<string, Group | Dataset>>;
}

export async function writeH5(layers: readonly SeededLayer[], file: FileSink): Promise<void> {
  const image = new Image();
  const root = image.group(kerasFile(layers));
  await file.write(image.superblock(root));
  await file.write(image.metadata());
  for (const { tensor, indexOf } of image.datasets) await writeValues(file, tensor, indexOf);
}

/** Metadata is laid out in memory behind the superblock; the datasets follow it in the order in which they were placed. */
class Image {
  readonly datasets: Dataset[] = [];
  readonly #pieces: Buffer[] = [];
  readonly #dataAddresses: { buffer: Buffer; at: number; offset: number }[] = [];
  #position = 96;
  #dataBytes = 0;

  /** @returns address of the group's object header */
  group({ attributes, children }: Group): { header: number; btree: number; heap: number } {
    const names = Object.keys(children).sort();
    const headers = names.map((name) => {
      const child = children[name]!;
      return 'tensor' in child ? this.#dataset(child) : this.group(child).header;
    });
    const heapData = Buffer.concat([Buffer.alloc(8), ...names.map((name) => padded(Buffer.from(`${name}\0`)))]);
    const offsets: number[] = [];
    let offset = 8;
    for (const name of names) {
      offsets.push(offset);
      offset += padded(Buffer.from(`${name}\0`)).length;
    }
    const heap = this.#place(Buffer.concat([Buffer.from('HEAP\0\0\0\0'), u64(heapData.length), u64(NO_FREE_SPACE), u64(this.#position + 32), heapData]));
    const entries = names.map((_, i) => Buffer.concat([u64(offsets[i]!), u64(headers[i]!), Buffer.alloc(24)]));
    const node = this.#place(Buffer.concat([Buffer.from('SNOD\x01\0'), u16(names.length), ...entries, Buffer.alloc(40 * (2 * LEAF_K - names.length))]));
    const children8 = Buffer.concat([u64(0), u64(node), u64(offsets.at(-1) ?? 0), Buffer.alloc(16 * 31)]);
    const btree = this.#place(Buffer.concat([Buffer.from('TREE\0\0'), u16(Math.min(1, names.length)), u64(UNDEFINED), u64(UNDEFINED), children8]));
    const messages = [message(0x11, Buffer.concat([u64(btree), u64(heap)])), ...Object.entries(attributes).map(([name, value]) => attribute(name, value))];
    return { header: this.#place(objectHeader(messages)), btree, heap };
  }

  #dataset(dataset: Dataset): number {
    const byteLength = 4 * dataset.shape.reduce((a, b) => a * b, 1);
    const layout = Buffer.concat([Buffer.from([3, 1]), u64(0), u64(byteLength)]);
    const messages = [message(1, dataspace(dataset.shape)), message(3, FLOAT32), message(5, Buffer.from([2, 1, 0, 0])), message(8, layout)];
    const header = objectHeader(messages);
    // The address of the data is known once all metadata is placed.
    this.#dataAddresses.push({ buffer: header, at: header.lastIndexOf(layout) + 2, offset: this.#dataBytes });
    this.datasets.push(dataset);
    this.#dataBytes += byteLength;
    return this.#place(header);
  }

  #place(bytes: Buffer): number {
    const address = this.#position;
    this.#pieces.push(bytes);
    this.#position += bytes.length;
    return address;
  }

  metadata(): Uint8Array {
    for (const { buffer, at, offset } of this.#dataAddresses) buffer.writeBigUInt64LE(BigInt(this.#position + offset), at);
    return Buffer.concat(this.#pieces);
  }

  superblock({ header, btree, heap }: { header: number; btree: number; heap: number }): Uint8Array {
    const versions = Buffer.from([0, 0, 0, 0, 0, 8, 8, 0]);
    const rootEntry = Buffer.concat([u64(0), u64(header), u32(1), u32(0), u64(btree), u64(heap)]);
    const addresses = [u64(0), u64(UNDEFINED), u64(this.#position + this.#dataBytes), u64(UNDEFINED)];
    return Buffer.concat([Buffer.from('\x89HDF\r\n\x1a\n', 'latin1'), versions, u16(LEAF_K), u16(16), u32(0), ...addresses, rootEntry]);
  }
}

function kerasFile(layers: readonly SeededLayer[]): Group {
  const rows = kerasLayers(layers);
  const config = rows.map(({ name, className, config: own }, i) => ({
    class_name: className,
    name,
    config: { name, trainable: true, ...own },
    inbound_nodes: i === 0 ? [] : [[[rows[i - 1]!.name, 0, 0, {}]]],
  }));
  const model = { class_name: 'Model', config: { name: 'vgg16', layers: config, input_layers: [['input_1', 0, 0]], output_layers: [['predictions', 0, 0]] } };
  const version = { keras_version: '2.2.4-tf', backend: 'tensorflow' };
  const groups = rows.map(({ name, datasets }): [string, Group] => {
    const keys = Object.keys(datasets);
    const inner: Group = { attributes: {}, children: datasets };
    return [name, { attributes: { weight_names: keys.map((key) => `${name}/${key}`) }, children: keys.length > 0 ? { [name]: inner } : {} }];
  });
  const weights = { attributes: { ...version, layer_names: rows.map(({ name }) => name) }, children: Object.fromEntries(groups) };
  return { attributes: { ...version, model_config: JSON.stringify(model) }, children: { model_weights: weights } };
}

function kerasLayers(layers: readonly SeededLayer[]) {
  const input = { batch_input_shape: [null, INPUT_SIDE, INPUT_SIDE, 3], dtype: 'float32', sparse: false };
  const rows: { name: string; className: string; config: object; datasets: Record<string, Dataset> }[] = [
    { name: 'input_1', className: 'InputLayer', config: input, datasets: {} },
  ];
  layers.forEach((layer, i) => {
    const datasets = { 'kernel:0': kerasKernel(layer), 'bias:0': { shape: layer.bias.shape, tensor: layer.bias } };
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
    rows.push({ name: `block${layer.block}_pool`, className: 'MaxPooling2D', config: pool, datasets: {} });
    if (next.block === null) rows.push({ name: 'flatten', className: 'Flatten', config: { data_format: 'channels_last' }, datasets: {} });
  });
  return rows;
}

/** Conv [out, in, kH, kW] as [kH, kW, in, out]; dense [out, CHW] as [HWC, out]. */
function kerasKernel({ block, side, weight }: SeededLayer): Dataset {
  const [out, ...rest] = weight.shape as [number, ...number[]];
  const fanIn = rest.reduce((a, b) => a * b, 1);
  if (block !== null) {
    const [channels, kernelH, kernelW] = rest as [number, number, number];
    return { shape: [kernelH, kernelW, channels, out], tensor: weight, indexOf: indexer(out, fanIn, channels, kernelH * kernelW) };
  }
  const channels = fanIn / side ** 2;
  return { shape: [fanIn, out], tensor: weight, indexOf: indexer(out, fanIn, channels, side ** 2) };
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

/** Object header version 1: reference count 1, the messages in one block. */
function objectHeader(messages: readonly Buffer[]): Buffer {
  const body = Buffer.concat(messages);
  return Buffer.concat([Buffer.from([1, 0]), u16(messages.length), u32(1), u32(body.length), Buffer.alloc(4), body]);
}

function message(type: number, data: Buffer): Buffer {
  const body = padded(data);
  return Buffer.concat([u16(type), u16(body.length), Buffer.alloc(4), body]);
}

/** Attribute message version 1 holding one or several fixed-length strings. */
function attribute(name: string, value: string | readonly string[]): Buffer {
  const texts = (typeof value === 'string' ? [value] : value).map((text) => Buffer.from(text));
  const size = Math.max(1, ...texts.map((text) => text.length));
  const type = Buffer.concat([Buffer.from([0x13, 1, 0, 0]), u32(size)]); // null-padded ASCII string
  const space = typeof value === 'string' ? Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]) : dataspace([texts.length]);
  const label = Buffer.from(`${name}\0`);
  const data = Buffer.concat(texts.map((text) => Buffer.concat([text, Buffer.alloc(size - text.length)])));
  const head = Buffer.concat([Buffer.from([1, 0]), u16(label.length), u16(type.length), u16(space.length)]);
  return message(0xc, Buffer.concat([head, padded(label), padded(type), padded(space), data]));
}

/** Simple dataspace version 1 without maximum sizes. */
function dataspace(shape: readonly number[]): Buffer {
  return Buffer.concat([Buffer.from([1, shape.length, 0, 0, 0, 0, 0, 0]), ...shape.map((size) => u64(size))]);
}

/** IEEE float32, little-endian. */
const FLOAT32 = Buffer.concat([Buffer.from([0x11, 0x20, 31, 0]), u32(4), u16(0), u16(32), Buffer.from([23, 8, 0, 23]), u32(127)]);

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((8 - (bytes.length % 8)) % 8)]);
}

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function u64(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}
