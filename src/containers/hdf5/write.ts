/**
 * Writes HDF5 as its oldest readers know it: superblock 0, symbol-table groups, contiguous datasets, version 1 object headers.
 *
 * Metadata is laid out in memory; the datasets follow it and are streamed, in the order in which they stand in the groups.
 *
 * @see https://docs.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html
 */

import { concatBytes } from '../../bytes/byte-sink.js';
import { u16, u32, u64 } from '../../bytes/little-endian.js';
import { ModelError } from '../../errors.js';
import { DTYPE_BYTES, type DType } from '../../model/dtype.js';
import { type Tensor, tensorByteLength, tensorChunks } from '../../model/tensor.js';
import type { Piece } from '../protobuf-writer.js';

/** A text is written with variable length, so that it may be long; a list of texts with the length of the longest. */
export type Hdf5Attribute = string | readonly string[];

export interface Hdf5Group {
  readonly attributes: Readonly<Record<string, Hdf5Attribute>>;
  readonly children: ReadonlyMap<string, Hdf5Group | Tensor>;
}

/** A message of an object header says its size in 16 bits; some of them are the attribute's name, type and shape. */
export const MAX_ATTRIBUTE_BYTES = 64_000;

const UNDEFINED = 0xffffffffffffffffn;
/** What the HDF5 library writes in a local heap without free blocks (the specification says UNDEFINED). */
const NO_FREE_SPACE = 1;
const SUPERBLOCK_BYTES = 96;
const INTERNAL_K = 16;
/** What the HDF5 library states where nothing is asked for; a group with more children needs a larger one, which the superblock says. */
const LEAF_K = 4;

/**
 * The file as pieces that follow each other; those of the datasets are streamed. A tensor in several places is one dataset with as many links.
 *
 * @throws ModelError 'unsupported' naming a tensor of a dtype that HDF5 has no standard type for, or a list of texts that is too long
 */
export function encodeHdf5(root: Hdf5Group): Piece[] {
  const image = new Image(Math.max(LEAF_K, Math.ceil(mostChildren(root) / 2)));
  const placed = image.group(root);
  const metadata = image.metadata();
  const data = image.datasets.flatMap((tensor): Piece[] => {
    const byteLength = tensorByteLength(tensor);
    return [{ byteLength, chunks: () => tensorChunks(tensor) }, new Uint8Array(padding(byteLength))];
  });
  return [image.superblock(placed), metadata, ...data];
}

function mostChildren({ children }: Hdf5Group): number {
  return Math.max(children.size, ...[...children.values()].map((child) => (isTensor(child) ? 0 : mostChildren(child))));
}

function isTensor(child: Hdf5Group | Tensor): child is Tensor {
  return 'dtype' in child;
}

interface PlacedGroup {
  readonly header: number;
  readonly btree: number;
  readonly heap: number;
}

/** The metadata behind the superblock; addresses of datasets are filled in once its size is known. */
class Image {
  readonly datasets: Tensor[] = [];
  readonly #placed = new Map<Tensor, { readonly header: Uint8Array; readonly address: number }>();
  readonly #pieces: Uint8Array[] = [];
  readonly #dataAddresses: { header: Uint8Array; at: number; offset: number }[] = [];
  #position = SUPERBLOCK_BYTES;
  #dataBytes = 0;

  constructor(readonly leafK: number) {}

  group({ attributes, children }: Hdf5Group): PlacedGroup {
    // Symbol tables are sorted by the bytes of the names.
    const encoded = [...children].map(([name, child]) => ({ bytes: text(`${name}\0`), child })).sort((a, b) => compareBytes(a.bytes, b.bytes));
    const headers = encoded.map(({ child }) => (isTensor(child) ? this.#dataset(child) : this.group(child).header));
    const offsets: number[] = [];
    let heapBytes = 8;
    for (const { bytes } of encoded) {
      offsets.push(heapBytes);
      heapBytes += bytes.byteLength + padding(bytes.byteLength);
    }
    const heapData = concatBytes([new Uint8Array(8), ...encoded.map(({ bytes }) => padded(bytes))]);
    const heap = this.#place(concatBytes([text('HEAP\0\0\0\0'), u64(heapData.byteLength), u64(NO_FREE_SPACE), u64(this.#position + 32), heapData]));
    const entries = encoded.map((_, i) => concatBytes([u64(offsets[i]!), u64(headers[i]!), new Uint8Array(24)]));
    const unused = new Uint8Array(40 * (2 * this.leafK - entries.length));
    const node = this.#place(concatBytes([text('SNOD\x01\0'), u16(entries.length), ...entries, unused]));
    const keys = concatBytes([u64(0), u64(node), u64(offsets.at(-1) ?? 0), new Uint8Array(16 * (2 * INTERNAL_K - 1))]);
    const btree = this.#place(concatBytes([text('TREE\0\0'), u16(Math.min(1, entries.length)), u64(UNDEFINED), u64(UNDEFINED), keys]));
    const messages = [message(0x11, concatBytes([u64(btree), u64(heap)])), ...Object.entries(attributes).map(([name, value]) => this.#attribute(name, value))];
    return { header: this.#place(objectHeader(messages)), btree, heap };
  }

  #dataset(tensor: Tensor): number {
    const known = this.#placed.get(tensor);
    if (known) {
      const view = new DataView(known.header.buffer, known.header.byteOffset);
      view.setUint32(LINKS_AT, view.getUint32(LINKS_AT, true) + 1, true);
      return known.address;
    }
    const byteLength = tensorByteLength(tensor);
    // Contiguous data at an address that follows; an empty dataset has none.
    const layout = concatBytes([Uint8Array.of(3, 1), u64(byteLength === 0 ? UNDEFINED : 0), u64(byteLength)]);
    const before = [message(1, dataspace(tensor.shape)), message(3, datatype(tensor)), message(5, Uint8Array.of(2, 1, 0, 0))];
    const header = objectHeader([...before, message(8, layout)]);
    const at = header.byteLength - padded(layout).byteLength + 2;
    if (byteLength > 0) this.#dataAddresses.push({ header, at, offset: this.#dataBytes });
    this.datasets.push(tensor);
    this.#dataBytes += byteLength + padding(byteLength);
    const address = this.#place(header);
    this.#placed.set(tensor, { header, address });
    return address;
  }

  #attribute(name: string, value: Hdf5Attribute): Uint8Array {
    if (typeof value === 'string') return attribute(name, VARIABLE_TEXT, SCALAR, this.#heapReference(text(value)));
    const texts = value.map(text);
    const size = Math.max(1, ...texts.map(({ byteLength }) => byteLength));
    if (size * texts.length > MAX_ATTRIBUTE_BYTES)
      throw new ModelError('unsupported', `the list "${name}" takes ${size * texts.length} bytes, and an HDF5 attribute holds 64 KB`);
    // A null-padded string of a fixed size.
    const type = concatBytes([Uint8Array.of(0x13, 1, 0, 0), u32(size)]);
    return attribute(name, type, dataspace([texts.length]), concatBytes(texts.map((one) => concatBytes([one, new Uint8Array(size - one.byteLength)]))));
  }

  /** Puts a text into a global heap collection of its own; gives its length, the collection and its number in there. */
  #heapReference(bytes: Uint8Array): Uint8Array {
    const object = concatBytes([u16(1), u16(1), u32(0), u64(bytes.byteLength), padded(bytes)]);
    // A collection has at least 4096 bytes; object 0 is the space that is left, its own head included.
    const size = Math.max(4096, 16 + object.byteLength + 16);
    const free = size - 16 - object.byteLength;
    const collection = concatBytes([text('GCOL\x01\0\0\0'), u64(size), object, u16(0), u16(0), u32(0), u64(free), new Uint8Array(free - 16)]);
    return concatBytes([u32(bytes.byteLength), u64(this.#place(collection)), u32(1)]);
  }

  #place(bytes: Uint8Array): number {
    const address = this.#position;
    this.#pieces.push(padded(bytes));
    this.#position += bytes.byteLength + padding(bytes.byteLength);
    return address;
  }

  metadata(): Uint8Array {
    const all = concatBytes(this.#pieces);
    const view = new DataView(all.buffer, all.byteOffset);
    let at = 0;
    const starts = new Map<Uint8Array, number>();
    for (const piece of this.#pieces) {
      starts.set(piece, at);
      at += piece.byteLength;
    }
    for (const { header, at: inHeader, offset } of this.#dataAddresses)
      view.setBigUint64(starts.get(header)! + inHeader, BigInt(this.#position + offset), true);
    return all;
  }

  superblock({ header, btree, heap }: PlacedGroup): Uint8Array {
    const versions = Uint8Array.of(0, 0, 0, 0, 0, 8, 8, 0);
    const rootEntry = concatBytes([u64(0), u64(header), u32(1), u32(0), u64(btree), u64(heap)]);
    const addresses = [u64(0), u64(UNDEFINED), u64(this.#position + this.#dataBytes), u64(UNDEFINED)];
    const signature = Uint8Array.of(0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a);
    return concatBytes([signature, versions, u16(this.leafK), u16(INTERNAL_K), u32(0), ...addresses, rootEntry]);
  }
}

/** Where an object header counts the links to its object. */
const LINKS_AT = 4;

/** Object header version 1: one link, the messages in one block. */
function objectHeader(messages: readonly Uint8Array[]): Uint8Array {
  const body = concatBytes(messages);
  return concatBytes([Uint8Array.of(1, 0), u16(messages.length), u32(1), u32(body.byteLength), new Uint8Array(4), body]);
}

function message(type: number, data: Uint8Array): Uint8Array {
  const body = padded(data);
  return concatBytes([u16(type), u16(body.byteLength), new Uint8Array(4), body]);
}

/** Attribute message version 1, whose parts are padded one by one. */
function attribute(name: string, type: Uint8Array, space: Uint8Array, data: Uint8Array): Uint8Array {
  const label = text(`${name}\0`);
  const head = concatBytes([Uint8Array.of(1, 0), u16(label.byteLength), u16(type.byteLength), u16(space.byteLength)]);
  return message(0xc, concatBytes([head, padded(label), padded(type), padded(space), data]));
}

/** Simple dataspace version 1 without maximum sizes. */
function dataspace(shape: readonly number[]): Uint8Array {
  return concatBytes([Uint8Array.of(1, shape.length, 0, 0, 0, 0, 0, 0), ...shape.map((size) => u64(size))]);
}

const SCALAR = dataspace([]);

/** Class 9, a text in UTF-8 whose elements are unsigned bytes; 4 bytes of length and 12 of reference. */
const VARIABLE_TEXT = concatBytes([Uint8Array.of(0x19, 0x01, 0x01, 0), u32(16), Uint8Array.of(0x10, 0, 0, 0), u32(1), u16(0), u16(8)]);

/** [sign position, exponent position and bits, mantissa bits, bias] of the IEEE types. */
const FLOATS: Readonly<Partial<Record<DType, readonly [number, number, number, number, number]>>> = {
  float16: [15, 10, 5, 10, 15],
  float32: [31, 23, 8, 23, 127],
  float64: [63, 52, 11, 52, 1023],
};

function datatype({ name, dtype, origin }: Tensor): Uint8Array {
  const byteLength = DTYPE_BYTES[dtype];
  const float = FLOATS[dtype];
  if (float) {
    const [sign, exponentAt, exponentBits, mantissaBits, bias] = float;
    const head = concatBytes([Uint8Array.of(0x11, 0x20, sign, 0), u32(byteLength), u16(0), u16(8 * byteLength)]);
    return concatBytes([head, Uint8Array.of(exponentAt, exponentBits, 0, mantissaBits), u32(bias)]);
  }
  if (!/^u?int(8|16|32|64)$/.test(dtype)) {
    throw new ModelError('unsupported', `HDF5 files are not written with tensors of ${dtype}`, { file: origin.file, tensor: name });
  }
  return concatBytes([Uint8Array.of(0x10, dtype.startsWith('u') ? 0 : 0x08, 0, 0), u32(byteLength), u16(0), u16(8 * byteLength)]);
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < Math.min(a.byteLength, b.byteLength); i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return a.byteLength - b.byteLength;
}

function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

function padding(byteLength: number): number {
  return (8 - (byteLength % 8)) % 8;
}

function padded(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength % 8 === 0 ? bytes : concatBytes([bytes, new Uint8Array(padding(bytes.byteLength))]);
}
