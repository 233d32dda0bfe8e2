/**
 * The safetensors container: an 8-byte length, a JSON header of that length, then the tensors' bytes without gaps.
 *
 * @see https://github.com/huggingface/safetensors#format
 */
import type { ByteSource } from '../bytes/byte-source.js';
import { isModelError, ModelError } from '../errors.js';
import { DTYPE_BYTES, type DType } from '../model/dtype.js';
import { checkJson, namesGiven } from './json.js';

/** The reference implementation's own limit. */
const MAX_HEADER_BYTES = 100_000_000;
const PREFIX_BYTES = 8;
/** The largest models have some ten thousand tensors in all of their files together. */
const MAX_TENSORS = 65_536;
/** Trainers note some dozens of settings, and datasets some hundred words. */
const MAX_NOTES = 10_000;

export const SAFETENSORS_DTYPES: Readonly<Record<string, DType>> = {
  F64: 'float64',
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
  F8_E4M3: 'float8_e4m3fn',
  F8_E5M2: 'float8_e5m2',
  I64: 'int64',
  I32: 'int32',
  I16: 'int16',
  I8: 'int8',
  U64: 'uint64',
  U32: 'uint32',
  U16: 'uint16',
  U8: 'uint8',
  BOOL: 'bool',
  C64: 'complex64',
};

export interface SafetensorsEntry {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Absolute byte range in the file. */
  readonly start: number;
  readonly end: number;
}

export interface SafetensorsHeader {
  readonly entries: readonly SafetensorsEntry[];
  readonly metadata: Readonly<Record<string, string>>;
}

/** Whether the first bytes look like a safetensors header; `byteLength` is the whole file's. */
export function looksLikeSafetensors(head: Uint8Array, byteLength: number): boolean {
  if (head.byteLength < PREFIX_BYTES + 2) return false;
  const headerBytes = Number(new DataView(head.buffer, head.byteOffset).getBigUint64(0, true));
  const text = new TextDecoder().decode(head.subarray(PREFIX_BYTES, 256));
  return headerBytes >= 2 && headerBytes <= MAX_HEADER_BYTES && /^\{\s*("|\})/.test(text) && (headerBytes <= byteLength || /"(dtype|__metadata__)"/.test(text));
}

/**
 * Reads the header and checks it against the file: every range inside, of the size that dtype and shape say, none
 * overlapping, no byte unaccounted for.
 *
 * @throws ModelError 'malformed' naming tensor and offset, 'unsupported' for a dtype that is not known
 */
export async function readSafetensorsHeader(source: ByteSource): Promise<SafetensorsHeader> {
  const file = source.name;
  const prefix = await source.read(0, PREFIX_BYTES);
  const headerBytes = Number(new DataView(prefix.buffer, prefix.byteOffset).getBigUint64(0, true));
  if (headerBytes > MAX_HEADER_BYTES || PREFIX_BYTES + headerBytes > source.byteLength) {
    throw new ModelError('malformed', `the header claims ${headerBytes} bytes; the file has ${source.byteLength}. Is it truncated?`, { file, offset: 0 });
  }
  const dataStart = PREFIX_BYTES + headerBytes;
  const header = parseHeader(await source.read(PREFIX_BYTES, dataStart), file);
  const metadata = header.__metadata__ ?? {};
  if (!isRecord(metadata) || !Object.values(metadata).every((value) => typeof value === 'string')) {
    throw new ModelError('malformed', '__metadata__ is not a map of texts', { file });
  }
  const notes = Object.keys(metadata).length;
  if (notes > MAX_NOTES) throw new ModelError('unsafe', `__metadata__ has ${notes} texts; at most ${MAX_NOTES} are read`, { file });
  const count = Object.keys(header).length;
  if (count > MAX_TENSORS) throw new ModelError('unsafe', `the header lists ${count} tensors; at most ${MAX_TENSORS} are read`, { file });
  const entries = Object.entries(header)
    .filter(([name]) => name !== '__metadata__')
    .map(([name, entry]) => parseEntry(name, entry, dataStart, file));
  checkCoverage(entries, dataStart, source);
  return { entries, metadata: metadata as Record<string, string> };
}

/** The bytes before the data: prefix and header, padded with spaces so that the data starts at a multiple of 8. */
export function encodeSafetensorsHeader(
  tensors: readonly { readonly name: string; readonly dtype: DType; readonly shape: readonly number[]; readonly byteLength: number }[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  let position = 0;
  // Without a prototype, so that a tensor named __proto__ is a name like any other.
  const header: Record<string, unknown> = Object.assign(Object.create(null), { __metadata__: metadata });
  for (const { name, dtype, shape, byteLength } of tensors) {
    header[name] = { dtype: safetensorsDType(dtype), shape, data_offsets: [position, position + byteLength] };
    position += byteLength;
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const bytes = new Uint8Array(PREFIX_BYTES + Math.ceil(json.byteLength / 8) * 8).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(bytes.byteLength - PREFIX_BYTES), true);
  bytes.set(json, PREFIX_BYTES);
  return bytes;
}

/** The format's word for a dtype, or undefined where it has none. */
export function safetensorsDType(dtype: DType): string | undefined {
  return Object.entries(SAFETENSORS_DTYPES).find(([, known]) => known === dtype)?.[0];
}

function parseHeader(bytes: Uint8Array, file: string): Record<string, unknown> {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    checkJson(text, file);
    const header: unknown = JSON.parse(text);
    if (isRecord(header)) {
      // Which of them is meant, readers of the format do not agree on, and it allows none.
      const twice = namesGiven(text) - Object.keys(header).length;
      if (twice > 0)
        throw new ModelError('malformed', `the header has ${twice} ${twice === 1 ? 'name' : 'names'} more than once`, { file, offset: PREFIX_BYTES });
      return header;
    }
  } catch (error) {
    if (isModelError(error)) throw error;
    throw new ModelError('malformed', `the header is no JSON: ${(error as Error).message}`, { file, offset: PREFIX_BYTES }, error);
  }
  throw new ModelError('malformed', 'the header is not a JSON object', { file, offset: PREFIX_BYTES });
}

function parseEntry(name: string, entry: unknown, dataStart: number, file: string): SafetensorsEntry {
  const place = { file, tensor: name };
  const { dtype: word, shape, data_offsets: offsets } = isRecord(entry) ? entry : {};
  const isCounts = (value: unknown): value is number[] => Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);
  if (typeof word !== 'string' || !isCounts(shape) || !isCounts(offsets) || offsets.length !== 2) {
    throw new ModelError('malformed', 'its header entry needs a dtype, a shape and two data_offsets', place);
  }
  const dtype = Object.hasOwn(SAFETENSORS_DTYPES, word) ? SAFETENSORS_DTYPES[word] : undefined;
  if (!dtype) throw new ModelError('unsupported', `dtype ${JSON.stringify(word)} is not known. Known: ${Object.keys(SAFETENSORS_DTYPES).join(', ')}.`, place);
  const [start, end] = offsets as [number, number];
  const byteLength = shape.reduce((product, size) => product * size, DTYPE_BYTES[dtype] as number);
  if (end - start !== byteLength) {
    throw new ModelError('malformed', `${word} of shape [${shape}] takes ${byteLength} bytes, but data_offsets [${offsets}] span ${end - start}`, place);
  }
  return { name, dtype, shape, start: dataStart + start, end: dataStart + end };
}

function checkCoverage(entries: readonly SafetensorsEntry[], dataStart: number, source: ByteSource): void {
  let position = dataStart;
  for (const { name, start, end } of [...entries].sort((a, b) => a.start - b.start || a.end - b.end)) {
    if (start !== position) {
      throw new ModelError('malformed', `its bytes start at ${start}, expected ${position}: tensors must follow each other without gap or overlap`, {
        file: source.name,
        tensor: name,
      });
    }
    position = end;
  }
  if (position !== source.byteLength) {
    const what = position > source.byteLength ? 'Is it truncated?' : `What lies behind them is no tensor's.`;
    throw new ModelError('malformed', `the tensors end at byte ${position}, the file at ${source.byteLength}. ${what}`, {
      file: source.name,
      offset: Math.min(position, source.byteLength),
    });
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
