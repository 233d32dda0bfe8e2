/** Reads ONNX's TensorProto: raw bytes, typed fields, packed small integers, or a span of a file beside the model. */
import { type ByteSource, memorySource, sliceSource } from '../bytes/byte-source.js';
import type { FileSet } from '../bytes/file-set.js';
import { decodeLatin1 } from '../bytes/latin1.js';
import { ModelError } from '../errors.js';
import { DTYPE_BYTES, type DType } from '../model/dtype.js';
import { unpackedSource, withBits } from '../model/packing.js';
import { elementCount, storedTensor, type Tensor } from '../model/tensor.js';
import { DATA_TYPE, ENTRY, EXTERNAL, PACKED_TYPE, TENSOR } from './onnx-schema.js';
import type { Field, WireReader } from './protobuf.js';

export const DTYPE_BY_CODE: ReadonlyMap<number, DType> = new Map(Object.entries(DATA_TYPE).map(([dtype, code]) => [code, dtype as DType]));
const MAX_NUMBERS = 100_000_000;

/** A TensorProto: what it says of itself, and its elements as a tensor where this tool has their dtype. */
export interface ReadTensor {
  readonly name: string;
  readonly shape: readonly number[];
  /** TensorProto.DataType. */
  readonly code: number;
  /** Null for text and other elements that are no numbers here. */
  readonly tensor: Tensor | null;
  /** Its bytes as they are stored. */
  readonly bytes: ByteSource;
  /** The message in the file. */
  readonly span: Field;
  readonly isExternal: boolean;
  /** A SparseTensorProto. */
  readonly isSparse?: true;
}

export class TensorReader {
  readonly external = new Map<string, ByteSource>();
  /** What the model says of the SHA-1 of these files, of each once where all its tensors say the same. */
  readonly checksums: { readonly file: string; readonly checksum: string }[] = [];
  /** Tensors whose bytes lie beside the file. */
  externalCount = 0;

  constructor(
    readonly files: FileSet,
    readonly wire: WireReader,
    readonly source: ByteSource,
  ) {}

  /** @throws ModelError 'malformed' where shape and bytes disagree */
  async read(span: Field): Promise<ReadTensor> {
    const fields = await this.collect(span);
    const name = await this.textOf(fields, TENSOR.name);
    const shape = await this.integers(fields.get(TENSOR.dims) ?? []);
    const code = Number(fields.get(TENSOR.dataType)?.[0]?.varint ?? 0n);
    const place = { file: this.source.name, offset: span.start, tensor: name };
    if (fields.has(TENSOR.segment)) throw new ModelError('unsupported', 'tensors in segments are not read', place);
    const isExternal = Number(fields.get(TENSOR.dataLocation)?.[0]?.varint ?? 0n) === EXTERNAL;
    if (isExternal) this.externalCount++;
    const packed = PACKED_TYPE.get(code);
    const dtype = packed?.dtype ?? DTYPE_BY_CODE.get(code);
    if (!dtype) return { name, shape, code, tensor: null, bytes: memorySource(new Uint8Array(), this.source.name), span, isExternal };
    const expected = packed ? Math.ceil((elementCount(shape) * packed.bits) / 8) : elementCount(shape) * DTYPE_BYTES[dtype];
    const { source, file, offset } = await this.#bytes(fields, isExternal, packed ? null : dtype, expected, place);
    if (source.byteLength !== expected) {
      throw new ModelError('malformed', `shape [${shape}] of ${packed?.name ?? dtype} takes ${expected} bytes, but ${source.byteLength} are stored`, place);
    }
    const origin = { file, name, ...(offset === undefined || packed ? {} : { offset }) };
    const tensor = packed
      ? withBits(storedTensor({ name, dtype, shape, source: unpackedSource(source, elementCount(shape), packed.bits, dtype === 'int8'), origin }), packed.bits)
      : storedTensor({ name, dtype, shape, source, origin });
    return { name, shape, code, tensor, bytes: source, span, isExternal };
  }

  async #bytes(
    fields: ReadonlyMap<number, readonly Field[]>,
    isExternal: boolean,
    dtype: DType | null,
    expected: number,
    place: { file: string; tensor: string },
  ): Promise<{ source: ByteSource; file: string; offset?: number }> {
    if (isExternal) return this.#openExternal(fields.get(TENSOR.externalData) ?? [], expected, place);
    const [raw] = fields.get(TENSOR.rawData) ?? [];
    const file = this.source.name;
    if (raw) return { source: sliceSource(this.source, raw.start, raw.end), file, offset: raw.start };
    return { source: memorySource(await this.#typedValues(fields, dtype), file), file };
  }

  async #openExternal(
    entries: readonly Field[],
    expected: number,
    place: { file: string; tensor: string },
  ): Promise<{ source: ByteSource; file: string; offset: number }> {
    const facts = new Map<string, string>();
    for (const entry of entries) {
      const fields = await this.collect(entry);
      facts.set(await this.textOf(fields, ENTRY.key), await this.textOf(fields, ENTRY.value));
    }
    const file = facts.get('location');
    const offset = Number(facts.get('offset') ?? 0);
    const length = Number(facts.get('length') ?? expected);
    if (file === undefined || !Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset < 0 || length < 0) {
      throw new ModelError('malformed', 'its external data has no valid location, offset and length', place);
    }
    const source = this.external.get(file) ?? (await this.#openCompanion(file));
    this.external.set(file, source);
    const checksum = facts.get('checksum');
    if (checksum && !this.checksums.some((known) => known.file === file && known.checksum === checksum)) this.checksums.push({ file, checksum });
    if (offset + length > source.byteLength) {
      const end = `but the file ends at byte ${source.byteLength}. Is it truncated?`;
      throw new ModelError('malformed', `its external data lies in bytes ${offset} to ${offset + length} of ${file}, ${end}`, place);
    }
    return { source: sliceSource(source, offset, offset + length), file, offset };
  }

  /** What a download left in the place of large files is named as what it is. */
  async #openCompanion(file: string): Promise<ByteSource> {
    const source = await this.files.open(file);
    const head = decodeLatin1(await source.read(0, Math.min(64, source.byteLength)));
    if (!head.startsWith('version https://git-lfs')) return source;
    throw new ModelError('malformed', 'this is a Git LFS pointer, not the file itself: run "git lfs pull"', { file: source.name });
  }

  /** Values in typed fields; 16-bit floats are kept as integers. @param dtype null for packed integers, of which each number is a byte */
  async #typedValues(fields: ReadonlyMap<number, readonly Field[]>, dtype: DType | null): Promise<Uint8Array> {
    if (fields.has(TENSOR.floatData)) return this.joined(fields.get(TENSOR.floatData)!);
    if (fields.has(TENSOR.doubleData)) return this.joined(fields.get(TENSOR.doubleData)!);
    const wide = fields.get(TENSOR.int64Data) ?? fields.get(TENSOR.uint64Data);
    const values = await this.#bigints(wide ?? fields.get(TENSOR.int32Data) ?? []);
    const unit = dtype ? DTYPE_BYTES[dtype] : 1;
    const bytes = new Uint8Array(values.length * unit);
    values.forEach((value, i) => {
      for (let b = 0; b < unit; b++) bytes[i * unit + b] = Number((value >> BigInt(8 * b)) & 255n);
    });
    return bytes;
  }

  async joined(fields: readonly Field[]): Promise<Uint8Array> {
    const total = fields.reduce((sum, { start, end }) => sum + end - start, 0);
    const bytes = new Uint8Array(total);
    let at = 0;
    for (const field of fields) {
      bytes.set(await this.wire.bytes(field), at);
      at += field.end - field.start;
    }
    return bytes;
  }

  async integers(fields: readonly Field[]): Promise<number[]> {
    return (await this.#bigints(fields)).map((value) => Number(BigInt.asIntN(64, value)));
  }

  async floats(fields: readonly Field[]): Promise<number[]> {
    const bytes = await this.joined(fields);
    const view = new DataView(bytes.buffer);
    return Array.from({ length: Math.floor(bytes.byteLength / 4) }, (_, i) => view.getFloat32(4 * i, true));
  }

  /** Repeated integers, packed or not. */
  async #bigints(fields: readonly Field[]): Promise<bigint[]> {
    const values: bigint[] = [];
    for (const field of fields) {
      if (field.wireType === 0) values.push(field.varint);
      else for (const value of await this.wire.varints(field)) values.push(value);
      if (values.length > MAX_NUMBERS) throw this.wire.error(field.start, 'more numbers than any attribute has');
    }
    return values;
  }

  /** The fields of a small message by number. */
  async collect(message: Field): Promise<Map<number, Field[]>> {
    const fields = new Map<number, Field[]>();
    if (message.wireType !== 2) throw this.wire.error(message.start, `field ${message.number} is no message`);
    await this.wire.eachBatch(message, (batch) => {
      for (const field of batch) {
        const list = fields.get(field.number);
        if (list) list.push(field);
        else fields.set(field.number, [field]);
      }
    });
    return fields;
  }

  async textOf(fields: ReadonlyMap<number, readonly Field[]>, number: number): Promise<string> {
    const field = fields.get(number)?.at(-1);
    return field ? this.wire.text(field) : '';
  }
}
