/** The blobs of a caffemodel as lazy tensors: the file is scanned for where they lie, and not one value is read. */
import { sliceSource } from '../../bytes/byte-source.js';
import type { Field, WireReader } from '../../containers/protobuf.js';
import { DTYPE_BYTES, type DType } from '../../model/dtype.js';
import { computedTensor, storedTensor, type Tensor } from '../../model/tensor.js';
import { ENUMS } from './enums.js';
import { decodeMessage, descriptionBudget, type Message, type MessageField, messagesOf, textsOf } from './message.js';
import { MAX_AXES, SCHEMA } from './schema.js';

/** A layer's blobs by their numbers. Snapshots of HDF5 leave out those that another layer has, too. */
export type Blobs = ReadonlyMap<number, Tensor>;

export interface Caffemodel {
  /** The net as the binary describes it, without blobs. */
  readonly net: Message;
  /** Blobs by layer name, in the order of the file. */
  readonly blobs: ReadonlyMap<string, Blobs>;
}

/** NetParameter's fields that hold layers. */
const LAYER_FIELDS: Readonly<Record<number, 'Layer' | 'V1Layer'>> = { 100: 'Layer', 2: 'V1Layer' };
const MAX_LAYERS = 100_000;
/** A layer has a handful; recurrent ones a dozen. */
const MAX_BLOBS = 200_000;
/** Values without a packed field come with a tag each; nothing large was ever written so, and each takes memory. */
const MAX_UNPACKED_VALUES = 1_000_000;
/** BlobProto; the last four are NVIDIA's, and OpenCV's for halved weights. */
const BLOB = { num: 1, width: 4, data: 5, diff: 6, shape: 7, doubleData: 8, doubleDiff: 9, rawType: 10, rawDiffType: 11, raw: 12, rawDiff: 13 } as const;
/** Gradients of the last step of training. */
const AT_REST: ReadonlySet<number> = new Set([BLOB.diff, BLOB.doubleDiff, BLOB.rawDiffType, BLOB.rawDiff]);
const RAW_DTYPES: Readonly<Record<string, DType>> = { DOUBLE: 'float64', FLOAT: 'float32', FLOAT16: 'float16' };

/** @throws ModelError 'malformed' where the bytes are no NetParameter, 'unsupported' where a blob has values of another kind */
export async function readCaffemodel(wire: WireReader): Promise<Caffemodel> {
  const fields: MessageField[] = [];
  const blobs = new Map<string, Blobs>();
  const budget = descriptionBudget();
  let layers = 0;
  let blobCount = 0;
  for await (const field of wire.fields(0, wire.source.byteLength)) {
    const layerType = LAYER_FIELDS[field.number];
    if (!layerType) {
      if (!SCHEMA.get('Net')!.byNumber.has(field.number)) throw wire.error(field.start, `a NetParameter has no field ${field.number}: is this a Caffe model?`);
      for (const part of (await decodeMessage(wire, tagStart(field, wire), field.end, 'Net', budget)).fields) fields.push(part);
      continue;
    }
    if (field.wireType !== 2) throw wire.error(field.start, 'a layer is no message');
    if (++layers > MAX_LAYERS) throw wire.error(field.start, `more than ${MAX_LAYERS} layers`);
    const spans: Field[] = [];
    const message = await decodeMessage(wire, field.start, field.end, layerType, budget, (span) => {
      if (++blobCount > MAX_BLOBS) throw wire.error(span.start, `more than ${MAX_BLOBS} blobs`);
      spans.push(span);
    });
    const name = layerType === 'Layer' ? 'layer' : 'layers';
    fields.push({ name, spec: SCHEMA.get('Net')!.byName.get(name)!, value: message, line: 0 });
    const layer = nameOf(message);
    const tensors = new Map<number, Tensor>();
    for (const [i, span] of spans.entries()) tensors.set(i, await readBlob(wire, span, `${layer}/${i}`));
    if (tensors.size > 0) {
      if (blobs.has(layer)) throw wire.error(field.start, `two layers named "${layer}" have weights`);
      blobs.set(layer, tensors);
    }
  }
  return { net: { kind: 'message', type: 'Net', fields }, blobs };
}

/** In the syntax of 2013 the name stands in the layer within the layer. */
function nameOf(message: Message): string {
  return [message, ...messagesOf(message, 'layer')].flatMap((part) => textsOf(part, 'name'))[0] ?? '';
}

/** Where a top-level field begins, tag included, so that it can be decoded as a message of one field. */
function tagStart(field: Field, wire: WireReader): number {
  const tagLength = field.number < 16 ? 1 : 2;
  if (field.wireType !== 2) return field.start - tagLength;
  let lengthBytes = 1;
  for (let length = field.end - field.start; length > 127; length = Math.floor(length / 128)) lengthBytes++;
  const start = field.start - lengthBytes - tagLength;
  if (start < 0) throw wire.error(field.start, 'a length is written in more bytes than it needs');
  return start;
}

/** @param span where the message of the blob lies */
export async function readBlob(wire: WireReader, span: Pick<Field, 'start' | 'end'>, name: string): Promise<Tensor> {
  const legacy = [0, 0, 0, 0];
  let isLegacy = false;
  let shape: number[] | null = null;
  let rawType: string | null = null;
  /** Spans of values by the field that holds them. */
  const values = new Map<number, Field[]>();
  let count = 0;
  for await (const field of wire.fields(span.start, span.end)) {
    if (field.number >= BLOB.num && field.number <= BLOB.width && field.wireType === 0) {
      legacy[field.number - 1] = Number(BigInt.asIntN(64, field.varint));
      isLegacy = true;
    } else if (field.number === BLOB.shape) {
      shape = [];
      if (field.end - field.start > 10 * MAX_AXES) throw wire.error(field.start, `the blob ${name} has more axes than the ${MAX_AXES} that Caffe allows`);
      for await (const dim of wire.fields(field.start, field.end)) {
        const sizes = dim.wireType === 0 ? [dim.varint] : await wire.varints(dim);
        for (const size of sizes) shape.push(Number(BigInt.asIntN(64, size)));
      }
    } else if (field.number === BLOB.rawType && field.wireType === 0) rawType = ENUMS.Type![Number(field.varint)] ?? String(field.varint);
    else if (field.number === BLOB.data || field.number === BLOB.doubleData || (field.number === BLOB.raw && field.wireType === 2)) {
      if (field.end === field.start) continue;
      if (++count > MAX_UNPACKED_VALUES) throw wire.error(field.start, `${name} has more single values than are read`);
      const spans = values.get(field.number) ?? [];
      spans.push(field);
      values.set(field.number, spans);
    } else if (!AT_REST.has(field.number)) {
      throw wire.error(field.start, `the blob ${name} has a field ${field.number}, which is not known. How its values are to be read cannot be told.`);
    }
  }
  if (values.size > 1) throw wire.error(span.start, `the blob ${name} has its values twice, as fields ${[...values.keys()].join(' and ')}`);
  const [[number, spans] = [BLOB.data, []]] = values;
  const dtype = number === BLOB.raw ? RAW_DTYPES[rawType ?? ''] : number === BLOB.doubleData ? 'float64' : 'float32';
  if (!dtype)
    throw wire.error(
      span.start,
      `the blob ${name} has raw values of ${rawType === null ? 'no stated type' : `the type ${rawType}`}; known: ${Object.keys(RAW_DTYPES).join(', ')}`,
    );
  const sizes = shape ?? (isLegacy ? legacy : []);
  const [first] = spans;
  const origin = { file: wire.source.name, name, ...(first ? { offset: first.start } : {}) };
  const unit = DTYPE_BYTES[dtype];
  const stored = spans.reduce((sum, field) => sum + (field.end - field.start) / unit, 0);
  if (sizes.some((size) => size < 0)) throw wire.error(span.start, `the blob ${name} has the shape [${sizes}] with a size that is no count`);
  if (sizes.reduce((product, size) => product * size, 1) !== stored) {
    throw wire.error(span.start, `the blob ${name} has the shape [${sizes}], but ${stored} values`);
  }
  if (first && spans.length === 1 && first.wireType === 2) {
    return storedTensor({ name, dtype, shape: sizes, source: sliceSource(wire.source, first.start, first.end), origin });
  }
  return computedTensor(name, dtype, sizes, origin, async () => {
    const bytes = new Uint8Array(stored * unit);
    let at = 0;
    for (const field of spans) {
      bytes.set(await wire.source.read(field.start, field.end), at);
      at += field.end - field.start;
    }
    return bytes;
  });
}
