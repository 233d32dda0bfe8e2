/** How a dataset's elements are laid out: layout, filter and fill value messages. */
import type { Cursor, Hdf5File } from './cursor.js';
import { MESSAGE, type Message } from './object-header.js';

export interface Filter {
  readonly id: number;
  readonly values: readonly number[];
}

/** How the chunks of a dataset are found. */
export type ChunkIndex =
  | { readonly kind: 'btree1' }
  | { readonly kind: 'single'; readonly byteLength: number | null; readonly mask: number }
  | { readonly kind: 'implicit' }
  | { readonly kind: 'fixed-array' }
  | { readonly kind: 'extensible-array' }
  | { readonly kind: 'btree2' };

export type Layout =
  | { readonly kind: 'compact'; readonly bytes: Uint8Array }
  | { readonly kind: 'contiguous'; readonly address: number | null }
  | {
      readonly kind: 'chunked';
      readonly address: number | null;
      readonly chunk: readonly number[];
      /** Chunks that reach over the dataset's edge are stored without any filter (`H5Pset_chunk_opts`). */
      readonly edgesUnfiltered: boolean;
      readonly index: ChunkIndex;
    };

export const FILTER_NAMES: Readonly<Record<number, string>> = {
  1: 'deflate',
  2: 'shuffle',
  3: 'fletcher32',
  4: 'szip',
  5: 'nbit',
  6: 'scaleoffset',
  32000: 'lzf',
  32001: 'blosc',
  32015: 'zstd',
};
const MAX_FILTERS = 32;

/** @throws ModelError 'malformed' */
export function parseLayout(file: Hdf5File, body: Cursor): Layout {
  const version = body.u8();
  if (version === 1 || version === 2) return parseOldLayout(body);
  if (version !== 3 && version !== 4) throw body.error(`a data layout of version ${version} is not known`, 'unsupported');
  const kind = body.u8();
  if (kind === 0) return { kind: 'compact', bytes: body.take(body.u16()) };
  if (kind === 1) return { kind: 'contiguous', address: body.offset() };
  if (kind !== 2) throw body.error('virtual datasets, whose elements are in other files, are not read', 'unsupported');
  if (version === 3) {
    const rank = body.u8();
    const address = body.offset();
    const sizes = Array.from({ length: rank }, () => body.u32());
    return { kind: 'chunked', address, chunk: sizes.slice(0, -1), edgesUnfiltered: false, index: { kind: 'btree1' } };
  }
  const flags = body.u8();
  const rank = body.u8();
  const width = body.u8();
  const sizes = Array.from({ length: rank }, () => body.uint(width));
  const index = parseIndex(file, body, flags);
  return { kind: 'chunked', address: body.offset(), chunk: sizes.slice(0, -1), edgesUnfiltered: (flags & 1) !== 0, index };
}

function parseIndex(file: Hdf5File, body: Cursor, flags: number): ChunkIndex {
  const type = body.u8();
  switch (type) {
    case 1:
      return flags & 2 ? { kind: 'single', byteLength: body.uint(file.lengthSize), mask: body.u32() } : { kind: 'single', byteLength: null, mask: 0 };
    case 2:
      return { kind: 'implicit' };
    case 3:
      body.skip(1);
      return { kind: 'fixed-array' };
    case 4:
      body.skip(5);
      return { kind: 'extensible-array' };
    case 5:
      body.skip(6);
      return { kind: 'btree2' };
    default:
      throw body.error(`a chunk index of type ${type} is not known`);
  }
}

function parseOldLayout(body: Cursor): Layout {
  const rank = body.u8();
  const kind = body.u8();
  body.skip(5);
  const address = kind === 0 ? null : body.offset();
  const sizes = Array.from({ length: rank }, () => body.u32());
  if (kind === 0) return { kind: 'compact', bytes: body.take(body.u32()) };
  if (kind === 1) return { kind: 'contiguous', address };
  return { kind: 'chunked', address, chunk: sizes.slice(0, -1), edgesUnfiltered: false, index: { kind: 'btree1' } };
}

export function parseFilters(body: Cursor): Filter[] {
  const version = body.u8();
  const count = body.u8();
  if (count > MAX_FILTERS) throw body.error(`${count} filters`);
  if (version === 1) body.skip(6);
  return Array.from({ length: count }, () => {
    const id = body.u16();
    const nameLength = version === 1 || id >= 256 ? body.u16() : 0;
    const valueCount = body.skip(2).u16();
    body.skip(version === 1 ? Math.ceil(nameLength / 8) * 8 : nameLength);
    const values = Array.from({ length: valueCount }, () => body.u32());
    if (version === 1 && valueCount % 2 === 1) body.skip(4);
    return { id, values };
  });
}

/** The bytes of one element that was never written; zeros where the file does not say. */
export function parseFillValue(messages: readonly Message[], size: number): Uint8Array {
  const message = messages.find(({ type }) => type === MESSAGE.fillValue);
  const old = messages.find(({ type }) => type === MESSAGE.oldFillValue);
  let value: Uint8Array | null = null;
  if (message && !message.shared) {
    const body = message.body();
    const version = body.u8();
    if (version === 3) value = body.u8() & 0x20 ? body.take(body.u32()) : null;
    else {
      const defined = body.skip(2).u8();
      value = (version === 1 || defined) && body.left >= 4 ? body.take(body.u32()) : null;
    }
  } else if (old) {
    const body = old.body();
    value = body.take(body.u32());
  }
  return value && value.byteLength === size ? value : new Uint8Array(size);
}
