/** HDF5 files that are small, and that ask for much: sharing, doubling, circles, long lists, giant counts with nothing behind them. */
import { zlibSync } from 'fflate';
import {
  ascii,
  attribute,
  checked,
  chunked,
  chunkedOld,
  contiguous,
  dataset,
  dataspace,
  FLOAT32,
  filters,
  Hdf5Image,
  hardLink,
  joined,
  type MessageBytes,
  repeated,
  softLink,
  textsAttribute,
  UINT8,
  u8,
  u16,
  u32,
  u64,
  VARIABLE_STRING,
} from '../hdf5-image.js';

type Bytes = Uint8Array;

/** A Keras weights file: layer "d", whose weights are named by an attribute. */
function layerFile(image: Hdf5Image, names: MessageBytes, links: readonly MessageBytes[]): Bytes {
  const layer = image.object([names, ...links]);
  return image.bytes(image.object([textsAttribute('layer_names', ['d']), hardLink('d', layer)]));
}

/** A Keras 3 tree with one variable. */
function treeFile(image: Hdf5Image, variable: number): Bytes {
  const vars = image.object([hardLink('0', variable)]);
  const dense = image.object([hardLink('vars', vars)]);
  const layers = image.object([hardLink('dense', dense)]);
  return image.bytes(image.object([hardLink('layers', layers), hardLink('vars', image.object([]))]));
}

const weights = (...messages: MessageBytes[]): Bytes => {
  const image = new Hdf5Image();
  return treeFile(image, image.object(messages));
};

/** A message of at most 64 KB cannot hold these references; a contiguous dataset of strings would, but nobody reads it. */
const MAX_REFERENCES = 4000;

function sharedString(objects: number, length: number): Bytes {
  const image = new Hdf5Image();
  const heap = image.place(
    ascii('GCOL'),
    u32(1),
    u64(16 + objects * 24 + length + 16),
    ...manyObjects(objects),
    u16(objects + 1, 1, 0, 0),
    u64(length),
    new Uint8Array(length).fill(65),
  );
  const reference = joined(u32(length), u64(heap), u32(objects + 1));
  const names = attribute('weight_names', VARIABLE_STRING, dataspace([MAX_REFERENCES]), repeated(reference, MAX_REFERENCES));
  return layerFile(image, names, []);
}

const manyObjects = (count: number): Bytes[] => Array.from({ length: count }, (_, i) => joined(u16((i % 65_000) + 1, 1, 0, 0), u64(8), new Uint8Array(8)));

/** Groups within groups, each holding the next twice. */
function doubledGroups(link: 'hard' | 'soft', levels: number): Bytes {
  const image = new Hdf5Image();
  let below = image.object([]);
  for (let i = 0; i < levels; i++) below = image.object([hardLink('a', below), link === 'hard' ? hardLink('b', below) : softLink('b', 'a')]);
  return image.bytes(image.object([hardLink('layers', below), hardLink('vars', image.object([]))]));
}

/** A group that holds itself under many names. */
function circle(names: number): Bytes {
  const image = new Hdf5Image();
  const address = image.end;
  image.object([...Array.from({ length: names }, (_, i) => hardLink(`g${i}`, address)), hardLink('vars', address), hardLink('layers', address)]);
  return image.bytes(address);
}

/** Continuations of an object header that overlap, each reading the same empty messages again; a header of version 1, which has no checksums. */
function overlappingContinuations(count: number, units: number): Bytes {
  const image = new Hdf5Image();
  const block = image.place(new Uint8Array(8 * (count + units)));
  const messages = Array.from({ length: count }, (_, i) => joined(u16(0x10, 16), new Uint8Array(4), u64(block + 8 * i, 8 * units)));
  const content = joined(...messages);
  return image.bytes(image.place(u8(1, 0), u16(65_535), u32(1, content.byteLength, 0), content));
}

/** A symbol table whose tree names one leaf again and again. */
function repeatedLeaf(children: number, entries: number): Bytes {
  const image = new Hdf5Image();
  const heap = image.place(ascii('HEAP'), u32(0), u64(64, 1, image.end + 32), ascii('\0'.repeat(8)), ascii('name\0\0\0\0'), new Uint8Array(48));
  const empty = image.object([]);
  const leaf = image.place(ascii('SNOD'), u8(1, 0), u16(entries), repeated(joined(u64(8, empty), new Uint8Array(24)), entries));
  const tree = image.place(ascii('TREE'), u8(0, 0), u16(children), u64(null, null), repeated(u64(0, leaf), children), u64(0));
  return image.bytes(image.object([textsAttribute('layer_names', ['d']), { type: 0x11, body: u64(tree, heap) }]));
}

/** A version 1 tree of many levels that leads through the same nodes along many paths. */
function braidedTree(levels: number): Bytes {
  const image = new Hdf5Image();
  const heap = image.place(ascii('HEAP'), u32(0), u64(64, 1, image.end + 32), new Uint8Array(64));
  const leaf = image.place(ascii('SNOD'), u8(1, 0), u16(0));
  let below = image.place(ascii('TREE'), u8(0, 0), u16(1), u64(null, null), u64(0, leaf, 0));
  for (let level = 1; level <= levels; level++) below = image.place(ascii('TREE'), u8(0, level), u16(2), u64(null, null), u64(0, below, 0, below, 0));
  return image.bytes(image.object([textsAttribute('layer_names', ['d']), { type: 0x11, body: u64(below, heap) }]));
}

/** Dense links whose tree says that a leaf has more records than the file has bytes. */
function giantTree(records: number): Bytes {
  const image = new Hdf5Image();
  const leaf = image.place(ascii('BTLF'), u8(0, 5), new Uint8Array(4096));
  const tree = image.place(checked(ascii('BTHD'), u8(0, 5), u32(2 ** 31), u16(11, 0), u8(100, 40), u64(leaf), u16(records), u64(records)));
  const heap = image.place(
    checked(
      ascii('FRHP'),
      u8(0),
      u16(7, 0),
      u8(0),
      u32(4096),
      u64(0, null, 0, null, 0, 0, 0, 0, 0, 0, 0, 0),
      u16(4),
      u64(512, 65_536),
      u16(32, 1),
      u64(null),
      u16(0),
    ),
  );
  return image.bytes(image.object([textsAttribute('layer_names', ['d']), { type: 2, body: joined(u8(0, 0), u64(heap, tree)) }]));
}

/** An enum over an enum over an enum ... */
function nestedEnums(depth: number): Bytes {
  const type = joined(repeated(joined(u8(0x38, 0, 0, 0), u32(1)), depth), UINT8);
  const image = new Hdf5Image();
  return image.bytes(image.object([attribute('layer_names', type, dataspace([]), u8(0))]));
}

/** A layer named again and again, each time with all of its weights. */
function repeatedLayer(times: number, names: number): Bytes {
  const image = new Hdf5Image();
  const weight = image.object(dataset([1], FLOAT32, contiguous(0, 4)));
  const layer = image.object([textsAttribute('weight_names', new Array<string>(names).fill('w')), hardLink('w', weight)]);
  return image.bytes(image.object([textsAttribute('layer_names', new Array<string>(times).fill('d')), hardLink('d', layer)]));
}

/** Datasets that all lie in the same bytes. */
function sharedData(count: number, floats: number): Bytes {
  const image = new Hdf5Image();
  const data = image.place(new Uint8Array(4 * floats));
  const links = Array.from({ length: count }, (_, i) => hardLink(`${i}`, image.object(dataset([floats], FLOAT32, contiguous(data, 4 * floats)))));
  const dense = image.object([hardLink('vars', image.object(links))]);
  const layers = image.object([hardLink('dense', dense)]);
  return image.bytes(image.object([hardLink('layers', layers), hardLink('vars', image.object([]))]));
}

/** Chunks that inflate to zeros; all of them the same stored bytes. */
function inflatingChunks(chunks: number, chunkBytes: number): Bytes {
  const image = new Hdf5Image();
  const stored = zlibSync(new Uint8Array(chunkBytes), { level: 9 });
  const at = image.place(stored);
  const entries = repeated(joined(u64(at, stored.byteLength), u32(0)), chunks);
  const block = image.place(checked(ascii('FADB'), u8(0, 1), u64(0), entries));
  const head = image.place(checked(ascii('FAHD'), u8(0, 1, 20, 20), u64(chunks, block)));
  return treeFile(
    image,
    image.object(dataset([chunks * chunkBytes], UINT8, chunked({ chunk: [chunkBytes], size: 1, index: u8(3, 20), address: head }), filters([1, 9]))),
  );
}

/** A fixed array that counts millions of chunks, on pages that were never written. */
function emptyPages(chunks: number): Bytes {
  const image = new Hdf5Image();
  const block = image.place(checked(ascii('FADB'), u8(0, 0), u64(0), new Uint8Array(Math.ceil(chunks / 1024 / 8))));
  const head = image.place(checked(ascii('FAHD'), u8(0, 0, 8, 10), u64(chunks, block)));
  return treeFile(image, image.object(dataset([chunks], FLOAT32, chunked({ chunk: [1], size: 4, index: u8(3, 10), address: head }))));
}

export interface CostlyFile {
  readonly name: string;
  bytes(): Bytes;
  /** What the error says; the file may be read where it is left out. */
  readonly says?: RegExp;
  /** Reads the weights too. */
  readonly flags?: readonly string[];
  /** What lies beside it, by path. */
  readonly beside?: Readonly<Record<string, () => Bytes>>;
}

const READ = ['--weights'];

/** By what they do. */
export const HDF5_FILES: Readonly<Record<string, CostlyFile>> = {
  'one long string, named by thousands of references': { name: 'x.h5', bytes: () => sharedString(0, 1_000_000), says: /more work/ },
  'a heap of thousands of objects, walked for each reference': { name: 'x.h5', bytes: () => sharedString(40_000, 8), says: /there is no such dataset/ },
  'groups that double by hard links': { name: 'x.h5', bytes: () => doubledGroups('hard', 60), says: /more work/ },
  'groups that double by soft links': { name: 'x.h5', bytes: () => doubledGroups('soft', 60), says: /more work/ },
  'a group that holds itself': { name: 'x.h5', bytes: () => circle(20), says: /more work|nested/ },
  'continuations that overlap': { name: 'x.h5', bytes: () => overlappingContinuations(6000, 4000), says: /more work|messages/ },
  'a leaf that is named again and again': { name: 'x.h5', bytes: () => repeatedLeaf(20_000, 20_000), says: /more work/ },
  'a tree whose branches meet again': { name: 'x.h5', bytes: () => braidedTree(39), says: /circle/ },
  'a tree of more records than the file has bytes': { name: 'x.h5', bytes: () => giantTree(65_535), says: /ends at byte/ },
  'enums of enums': { name: 'x.h5', bytes: () => nestedEnums(7000), says: /enum/ },
  'a layer that is listed again and again': { name: 'x.h5', bytes: () => repeatedLayer(60_000, 60_000), says: /more work/ },
  'a dataset of 10^12 values that were never written': {
    name: 'x.weights.h5',
    bytes: () => weights(...dataset([1e12], FLOAT32, contiguous(null, 0))),
    says: /claim/,
  },
  'chunks of 10^12 values that were never written': {
    name: 'x.weights.h5',
    bytes: () => weights(...dataset([1e12], FLOAT32, chunkedOld([1e6], 4, null))),
    says: /claim|chunks/,
  },
  'millions of chunks that were never written': { name: 'x.weights.h5', bytes: () => emptyPages(4_000_000), says: /chunks/, flags: READ },
  'a chunk as large as the memory': {
    name: 'x.weights.h5',
    bytes: () => weights(...dataset([6e7], FLOAT32, chunkedOld([6e7], 4, null))),
    says: /held in memory/,
    flags: READ,
  },
  'the same bytes as a thousand datasets': { name: 'x.weights.h5', bytes: () => sharedData(1000, 250_000), says: /claim/, flags: READ },
  'the same deflated zeros as a thousand chunks': { name: 'x.weights.h5', bytes: () => inflatingChunks(1000, 2 ** 20), says: /claim/, flags: READ },
  'deflated zeros, below what is refused': { name: 'x.weights.h5', bytes: () => inflatingChunks(60, 2 ** 20), flags: READ },
};
