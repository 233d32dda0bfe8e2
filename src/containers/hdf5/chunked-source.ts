/** A chunked dataset as row-major bytes: slabs of whole chunks along the first axis, decoded as they are read. */
import { type ByteSource, filledSource, memorySource } from '../../bytes/byte-source.js';
import { inflateExactly } from '../inflate.js';
import type { ChunkTable, StoredChunk } from './chunk-index.js';
import type { Hdf5File } from './cursor.js';
import { FILTER_NAMES, type Filter } from './layout.js';

/** A chunk, and a slab of chunks, is held in memory while its rows are read. */
const MAX_CHUNK_BYTES = 2 ** 28;
const MAX_SLAB_BYTES = 2 ** 30;
/** Weights shrink by a tenth; what is large and many times larger than its file is empty, or meant to fill the memory. */
const LARGE_BYTES = 2 ** 25;
const MAX_LARGE_RATIO = 50;
/** Deflate cannot do better than about 1032 to 1. */
const MAX_DEFLATE_RATIO = 1100;
/** The mask of a chunk to which no filter was applied. */
const ALL_FILTERS = -1;

export interface ChunkedOptions {
  readonly file: Hdf5File;
  readonly name: string;
  readonly shape: readonly number[];
  readonly chunk: readonly number[];
  readonly edgesUnfiltered: boolean;
  /** Bytes per element. */
  readonly unit: number;
  readonly filters: readonly Filter[];
  readonly fill: Uint8Array;
  readonly table: () => Promise<ChunkTable>;
}

/** @throws ModelError 'unsupported' when a filter is not known, 'unsafe' when chunks are too large to hold */
export function chunkedSource(options: ChunkedOptions): ByteSource {
  const { file, name, shape, chunk, unit, filters } = options;
  const unknown = filters.filter(({ id }) => id < 1 || id > 3).map(({ id }) => FILTER_NAMES[id] ?? `number ${id}`);
  if (unknown.length > 0)
    throw file.error(0, `the dataset ${name} is compressed with ${unknown.join(', ')}; gzip (deflate), shuffle and fletcher32 are read`, 'unsupported');
  const chunkBytes = product(chunk) * unit;
  const slabRows = chunk[0] ?? 1;
  const rowBytes = product(shape.slice(1)) * unit;
  const held = Math.max(chunkBytes, slabRows * rowBytes);
  const isHollow = held > LARGE_BYTES && held > MAX_LARGE_RATIO * file.source.byteLength;
  if (chunkBytes > MAX_CHUNK_BYTES || slabRows * rowBytes > MAX_SLAB_BYTES || chunkBytes === 0 || isHollow) {
    throw file.error(
      0,
      `the dataset ${name} has chunks of ${chunkBytes} bytes, in slabs of ${slabRows * rowBytes}; that is more than is held in memory`,
      'unsafe',
    );
  }
  let table: Promise<ChunkTable> | null = null;
  let cached: { slab: number; bytes: Promise<Uint8Array> } | null = null;

  async function decodeSlab(slab: number): Promise<Uint8Array> {
    table ??= options.table();
    const chunks = await table;
    const rows = Math.min(slabRows, shape[0]! - slab * slabRows);
    const bytes = new Uint8Array(rows * rowBytes);
    const grid = shape.map((size, axis) => Math.ceil(size / chunk[axis]!));
    const perSlab = product(grid.slice(1));
    for (let i = 0; i < perSlab; i++) {
      const stored = chunks.get(slab * perSlab + i);
      const decoded = stored ? await decodeChunk(stored, isWhole(slab * perSlab + i, grid)) : filled(options.fill, chunkBytes);
      copyChunk(decoded, bytes, i, rows, grid);
    }
    return bytes;
  }

  /** Copies what of a chunk lies inside the dataset, run by run along the last axis. */
  function copyChunk(decoded: Uint8Array, slab: Uint8Array, chunkNumber: number, rows: number, grid: readonly number[]): void {
    const rank = shape.length;
    const origin = new Array<number>(rank).fill(0);
    let rest = chunkNumber;
    for (let axis = rank - 1; axis > 0; axis--) {
      origin[axis] = (rest % grid[axis]!) * chunk[axis]!;
      rest = Math.floor(rest / grid[axis]!);
    }
    const extent = chunk.map((size, axis) => Math.min(size, (axis === 0 ? rows : shape[axis]!) - origin[axis]!));
    const runBytes = extent[rank - 1]! * unit;
    const runs = product(extent.slice(0, -1));
    const position = new Array<number>(rank).fill(0);
    for (let run = 0; run < runs; run++) {
      let from = 0;
      let to = 0;
      for (let axis = 0; axis < rank; axis++) {
        from = from * chunk[axis]! + position[axis]!;
        to = to * (axis === 0 ? rows : shape[axis]!) + origin[axis]! + position[axis]!;
      }
      slab.set(decoded.subarray(from * unit, from * unit + runBytes), to * unit);
      for (let axis = rank - 2; axis >= 0; axis--) {
        if (++position[axis]! < extent[axis]!) break;
        position[axis] = 0;
      }
    }
  }

  /** Whether a chunk lies inside the dataset as a whole. */
  function isWhole(chunkNumber: number, grid: readonly number[]): boolean {
    let rest = chunkNumber;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      if (((rest % grid[axis]!) + 1) * chunk[axis]! > shape[axis]!) return false;
      rest = Math.floor(rest / grid[axis]!);
    }
    return true;
  }

  async function decodeChunk({ address, byteLength, mask: stated }: StoredChunk, whole: boolean): Promise<Uint8Array> {
    const mask = options.edgesUnfiltered && !whole ? ALL_FILTERS : stated;
    const stored = file.window(address, byteLength);
    if (byteLength > MAX_CHUNK_BYTES) throw file.error(address, `a chunk of ${byteLength} bytes is too large`, 'unsafe');
    let bytes = await stored.read(0, byteLength);
    for (let i = filters.length - 1; i >= 0; i--) {
      if (mask & (1 << i)) continue;
      const { id, values } = filters[i]!;
      if (id === 3) bytes = checkFletcher32(bytes, file, address);
      else if (id === 2) bytes = unshuffle(bytes, values[0] ?? unit);
      else {
        // fletcher32 before deflate adds its four bytes to what is inflated.
        const expected = chunkBytes + 4 * filters.slice(0, i).filter((filter, j) => filter.id === 3 && !(mask & (1 << j))).length;
        if (expected > bytes.byteLength * MAX_DEFLATE_RATIO + 64)
          throw file.error(address, `a chunk claims to inflate from ${bytes.byteLength} to ${expected} bytes`, 'unsafe');
        const inflated = await inflateExactly(memorySource(bytes), 'zlib', expected);
        if (typeof inflated === 'string') throw file.error(address, `a chunk of ${name} ${inflated}`);
        bytes = inflated;
      }
    }
    if (bytes.byteLength !== chunkBytes) throw file.error(address, `a chunk of ${name} has ${bytes.byteLength} bytes, expected ${chunkBytes}`);
    return bytes;
  }

  return filledSource(file.source.name, product(shape) * unit, async (start, target) => {
    const slabBytes = slabRows * rowBytes;
    let done = 0;
    while (done < target.byteLength) {
      const slab = Math.floor((start + done) / slabBytes);
      if (cached?.slab !== slab) cached = { slab, bytes: decodeSlab(slab) };
      const within = start + done - slab * slabBytes;
      const piece = (await cached.bytes).subarray(within, within + target.byteLength - done);
      target.set(piece, done);
      done += piece.byteLength;
    }
  });
}

function unshuffle(bytes: Uint8Array, unit: number): Uint8Array {
  if (unit <= 1) return bytes;
  const count = Math.floor(bytes.byteLength / unit);
  const joined = bytes.slice();
  for (let b = 0; b < unit; b++) for (let i = 0; i < count; i++) joined[i * unit + b] = bytes[b * count + i]!;
  return joined;
}

/** Fletcher's checksum over 16-bit words, big-endian within the word, as HDF5 computes it. */
function checkFletcher32(bytes: Uint8Array, file: Hdf5File, address: number): Uint8Array {
  if (bytes.byteLength < 4) throw file.error(address, 'a chunk is shorter than its checksum');
  const data = bytes.subarray(0, bytes.byteLength - 4);
  const words = Math.floor(data.byteLength / 2);
  let [low, high] = [0, 0];
  for (let i = 0; i < words; i++) {
    low = (low + ((data[2 * i]! << 8) | data[2 * i + 1]!)) % 65535;
    high = (high + low) % 65535;
  }
  if (data.byteLength % 2 === 1) {
    low = (low + (data.at(-1)! << 8)) % 65535;
    high = (high + low) % 65535;
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset + data.byteLength, 4);
  const stored = view.getUint32(0, true);
  // 0 and 65535 are the same residue; HDF5 folds instead of dividing.
  const same = (a: number, b: number) => a % 65535 === b % 65535;
  if (!same(stored & 0xffff, low) || !same(stored >>> 16, high)) throw file.error(address, 'a chunk fails its checksum');
  return data;
}

function filled(fill: Uint8Array, byteLength: number): Uint8Array {
  const bytes = new Uint8Array(byteLength);
  repeatInto(bytes, fill);
  return bytes;
}

/** Fills with copies of a pattern. */
function repeatInto(target: Uint8Array, pattern: Uint8Array): void {
  if (pattern.every((byte) => byte === 0)) {
    target.fill(0);
    return;
  }
  target.set(pattern.subarray(0, target.byteLength));
  for (let done = pattern.byteLength; done < target.byteLength; done *= 2) target.copyWithin(done, 0, done);
}

/** A dataset whose storage was never allocated: one fill value after another. */
export function unwrittenSource(name: string, fill: Uint8Array, byteLength: number): ByteSource {
  return filledSource(name, byteLength, (start, target) => {
    const turned = start % fill.byteLength;
    repeatInto(target, turned === 0 ? fill : Uint8Array.from([...fill.subarray(turned), ...fill.subarray(0, turned)]));
  });
}

function product(sizes: readonly number[]): number {
  return sizes.reduce((total, size) => total * size, 1);
}
