/** Writes the seeded VGG16 as torchvision's state dict in PyTorch's zip container, or any other state dict: stored members, data aligned to 64 bytes. */
import type { FileSink } from '../../bytes/byte-sink.js';
import { crc32 } from '../../bytes/crc32.js';
import type { SeededLayer, SeededTensor } from './vgg16.js';
import { writeValues } from './write-values.js';

const FOLDER = 'vgg16';
const ALIGNMENT = 64;

interface Member {
  readonly name: string;
  readonly byteLength: number;
  readonly crc: number;
  readonly offset: number;
}

export async function writePth(layers: readonly SeededLayer[], file: FileSink): Promise<void> {
  await writeStateDict(stateDict(layers), file);
}

/** A tensor under its name in a state dict. */
export interface StateEntry {
  readonly key: string;
  readonly tensor: SeededTensor;
}

/** Any state dict of float32 tensors. */
export async function writeStateDict(entries: readonly StateEntry[], file: FileSink): Promise<void> {
  const members: Member[] = [];
  const bytesMember = async (name: string, bytes: Uint8Array) => {
    const crc = crc32(bytes, 0);
    members.push({ name, byteLength: bytes.byteLength, crc, offset: await writeLocalHeader(file, name, bytes.byteLength, crc) });
    await file.write(bytes);
  };
  await bytesMember(`${FOLDER}/data.pkl`, pickle(entries, false));
  await bytesMember(`${FOLDER}/byteorder`, Buffer.from('little'));
  for (const [i, { tensor }] of entries.entries()) {
    const name = `${FOLDER}/data/${i}`;
    const byteLength = 4 * count(tensor);
    // The checksum stands before the data, so the values are made twice; they cost less than a second pass over the file.
    let crc = 0;
    await writeValues({ write: async () => {} } as unknown as FileSink, tensor, undefined, (piece) => {
      crc = crc32(piece, crc);
    });
    members.push({ name, byteLength, crc, offset: await writeLocalHeader(file, name, byteLength, crc) });
    await writeValues(file, tensor);
  }
  await bytesMember(`${FOLDER}/version`, Buffer.from('3\n'));
  await writeDirectory(file, members);
}

/** The same in the container that PyTorch wrote until 1.5: pickles one after another, then the storages. */
export async function writeLegacyPth(layers: readonly SeededLayer[], file: FileSink): Promise<void> {
  const entries = stateDict(layers);
  const keys = entries.map((_, i) => String(i));
  await file.write(MAGIC_NUMBER);
  await file.write(PROTOCOL_1001);
  await file.write(SYSTEM_INFO);
  await file.write(pickle(entries, true));
  await file.write(Buffer.concat([Buffer.from([0x80, 2, 0x5d, 0x28]), ...keys.map(pickledText), Buffer.from([0x65, 0x2e])])); // a list of strings
  for (const { tensor } of entries) {
    const head = Buffer.alloc(8);
    head.writeBigInt64LE(BigInt(count(tensor)));
    await file.write(head);
    await writeValues(file, tensor);
  }
}

/** torch.serialization.MAGIC_NUMBER as LONG1. */
const MAGIC_NUMBER = Buffer.from([0x80, 2, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e]);
const PROTOCOL_1001 = Buffer.from([0x80, 2, 0x4d, 0xe9, 0x03, 0x2e]);
/** {'little_endian': True} */
const SYSTEM_INFO = Buffer.concat([Buffer.from([0x80, 2, 0x7d]), pickledText('little_endian'), Buffer.from([0x88, 0x73, 0x2e])]);

function stateDict(layers: readonly SeededLayer[]): StateEntry[] {
  return layers.flatMap(({ name, weight, bias }) => {
    const prefix = torchvisionName(name, layers);
    return [
      { key: `${prefix}.weight`, tensor: weight },
      { key: `${prefix}.bias`, tensor: bias },
    ];
  });
}

/** 'conv1_1' to 'features.0', 'fc6' to 'classifier.0': indices count ReLU and pooling modules too. */
function torchvisionName(name: string, layers: readonly SeededLayer[]): string {
  let index = 0;
  for (const [i, layer] of layers.entries()) {
    if (layer.block === null) return `classifier.${{ fc6: 0, fc7: 3, fc8: 6 }[name]}`;
    if (layer.name === name) return `features.${index}`;
    index += layers[i + 1]!.block === layer.block ? 2 : 3;
  }
  throw new Error(`no layer ${name}`);
}

/** Protocol 2: an OrderedDict of tensors whose storages are members of the zip, as torch.save writes it. */
function pickle(entries: readonly StateEntry[], legacy: boolean): Uint8Array {
  const pieces: Uint8Array[] = [];
  const put = (...bytes: number[]) => void pieces.push(Uint8Array.from(bytes));
  const global = (module: string, name: string) => void pieces.push(Buffer.from(`c${module}\n${name}\n`));
  const text = (value: string) => void pieces.push(pickledText(value));
  const int = (value: number) => {
    const bytes = Buffer.alloc(5);
    bytes[0] = 0x4a; // BININT
    bytes.writeInt32LE(value, 1);
    pieces.push(bytes);
  };
  const tuple = (values: readonly number[]) => {
    put(0x28);
    values.forEach(int);
    put(0x74);
  };
  put(0x80, 2);
  global('collections', 'OrderedDict');
  put(0x29, 0x52, 0x28); // () REDUCE MARK
  entries.forEach(({ key, tensor }, i) => {
    const strides = tensor.shape.map((_, axis) => tensor.shape.slice(axis + 1).reduce((a, b) => a * b, 1));
    text(key);
    global('torch._utils', '_rebuild_tensor_v2');
    put(0x28, 0x28); // MARK MARK
    text('storage');
    global('torch', 'FloatStorage');
    text(String(i));
    text('cpu');
    int(count(tensor));
    if (legacy) put(0x4e); // NONE: the storage is no view of another
    put(0x74, 0x51); // TUPLE BINPERSID
    int(0);
    tuple(tensor.shape);
    tuple(strides);
    put(0x89); // NEWFALSE: requires_grad
    global('collections', 'OrderedDict');
    put(0x29, 0x52, 0x74, 0x52); // () REDUCE, TUPLE, REDUCE
  });
  put(0x75, 0x2e); // SETITEMS STOP
  return Buffer.concat(pieces);
}

/** BINUNICODE. */
function pickledText(value: string): Uint8Array {
  const bytes = Buffer.from(value);
  const head = Buffer.alloc(5);
  head[0] = 0x58;
  head.writeUInt32LE(bytes.byteLength, 1);
  return Buffer.concat([head, bytes]);
}

/** @returns the header's offset; the data that follows starts at a multiple of 64, as PyTorch's memory mapping wants it */
async function writeLocalHeader(file: FileSink, name: string, byteLength: number, crc: number): Promise<number> {
  const offset = file.position;
  const padding = (ALIGNMENT - ((offset + 30 + name.length + 4) % ALIGNMENT)) % ALIGNMENT;
  const head = Buffer.alloc(30 + name.length + 4 + padding);
  head.writeUInt32LE(0x04034b50, 0);
  writeCommon(head, 4, byteLength, crc, name.length, 4 + padding);
  head.write(name, 30, 'latin1');
  head.write('FB', 30 + name.length, 'latin1'); // PyTorch's padding field
  head.writeUInt16LE(padding, 32 + name.length);
  await file.write(head);
  return offset;
}

/** The fields that local and central headers share, from 'version needed' to the length of the extra field. */
function writeCommon(head: Buffer, at: number, byteLength: number, crc: number, nameLength: number, extraLength: number): void {
  head.writeUInt32LE(crc, at + 10);
  head.writeUInt32LE(byteLength, at + 14);
  head.writeUInt32LE(byteLength, at + 18);
  head.writeUInt16LE(nameLength, at + 22);
  head.writeUInt16LE(extraLength, at + 24);
}

async function writeDirectory(file: FileSink, members: readonly Member[]): Promise<void> {
  const start = file.position;
  for (const { name, byteLength, crc, offset } of members) {
    const entry = Buffer.alloc(46 + name.length);
    entry.writeUInt32LE(0x02014b50, 0);
    writeCommon(entry, 6, byteLength, crc, name.length, 0);
    entry.writeUInt32LE(offset, 42);
    entry.write(name, 46, 'latin1');
    await file.write(entry);
  }
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(members.length, 8);
  end.writeUInt16LE(members.length, 10);
  end.writeUInt32LE(file.position - start, 12);
  end.writeUInt32LE(start, 16);
  await file.write(end);
}

function count(tensor: SeededTensor): number {
  return tensor.shape.reduce((a, b) => a * b, 1);
}
