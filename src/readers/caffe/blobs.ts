/** The blobs of a caffemodel as lazy tensors: the file is scanned for where they lie, and not one value is read. */
import { sliceSource } from '../../bytes/byte-source.js';
import type { Field, WireReader } from '../../containers/protobuf.js';
import type { TextField, TextMessage } from '../../containers/prototext.js';
import { computedTensor, storedTensor, type Tensor } from '../../model/tensor.js';
import { decodeMessage, textsOf } from './message.js';
import { BLOB, BLOBS_FIELD, SCHEMA } from './schema.js';

export interface Caffemodel {
  /** The net as the binary describes it, without blobs. */
  readonly net: TextMessage;
  /** Blobs by layer name, in order. */
  readonly blobs: ReadonlyMap<string, readonly Tensor[]>;
}

/** NetParameter's fields that hold layers. */
const LAYER_FIELDS: Readonly<Record<number, 'Layer' | 'V1Layer'>> = { 100: 'Layer', 2: 'V1Layer' };
const MAX_LAYERS = 100_000;
/** Values without a packed field come with a tag each; nothing large was ever written so. */
const MAX_UNPACKED_VALUES = 50_000_000;

/** @throws ModelError 'malformed' where the bytes are no NetParameter */
export async function readCaffemodel(wire: WireReader): Promise<Caffemodel> {
  const fields: TextField[] = [];
  const blobs = new Map<string, readonly Tensor[]>();
  for await (const field of wire.fields(0, wire.source.byteLength)) {
    const layerType = LAYER_FIELDS[field.number];
    if (!layerType) {
      const spec = SCHEMA.Net!.get(field.number);
      if (!spec) throw wire.error(field.start, `a NetParameter has no field ${field.number}: is this a Caffe model?`);
      const part = await decodeMessage(wire, tagStart(field, wire), field.end, 'Net');
      fields.push(...part.fields.filter(({ name }) => name === spec.name));
      continue;
    }
    if (field.wireType !== 2) throw wire.error(field.start, 'a layer is no message');
    const spans: Field[] = [];
    const message = await decodeMessage(wire, field.start, field.end, layerType, (inner) => {
      if (inner.number !== BLOBS_FIELD[layerType]) return false;
      spans.push(inner);
      return true;
    });
    fields.push({ name: layerType === 'Layer' ? 'layer' : 'layers', value: message, line: 0 });
    if (fields.length > MAX_LAYERS) throw wire.error(field.start, `more than ${MAX_LAYERS} layers`);
    const name = textsOf(message, 'name')[0] ?? '';
    const tensors: Tensor[] = [];
    for (const [i, span] of spans.entries()) tensors.push(await readBlob(wire, span, `${name}/${i}`));
    if (tensors.length > 0) {
      if (blobs.has(name)) throw wire.error(field.start, `two layers named "${name}" have weights`);
      blobs.set(name, tensors);
    }
  }
  return { net: { kind: 'message', fields }, blobs };
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

async function readBlob(wire: WireReader, span: Field, name: string): Promise<Tensor> {
  const legacy = [0, 0, 0, 0];
  let isLegacy = false;
  let shape: number[] | null = null;
  const values: Field[] = [];
  for await (const field of wire.fields(span.start, span.end)) {
    if (field.number >= BLOB.num && field.number <= BLOB.width && field.wireType === 0) {
      legacy[field.number - 1] = Number(BigInt.asIntN(64, field.varint));
      isLegacy = true;
    } else if (field.number === BLOB.shape) {
      shape = [];
      for await (const dim of wire.fields(field.start, field.end)) {
        const sizes = dim.wireType === 0 ? [dim.varint] : await wire.varints(dim);
        shape.push(...sizes.map((size) => Number(BigInt.asIntN(64, size))));
      }
    } else if (field.number === BLOB.data || field.number === BLOB.doubleData) {
      values.push(field);
      if (values.length > MAX_UNPACKED_VALUES) throw wire.error(field.start, `${name} has more single values than are read`);
    }
  }
  const sizes = shape ?? (isLegacy ? legacy : []);
  const isDouble = values[0]?.number === BLOB.doubleData;
  const dtype = isDouble ? 'float64' : 'float32';
  const origin = { file: wire.source.name, name, ...(values[0] ? { offset: values[0].start } : {}) };
  const [first] = values;
  if (first && values.length === 1 && first.wireType === 2) {
    return storedTensor({ name, dtype, shape: sizes, source: sliceSource(wire.source, first.start, first.end), origin });
  }
  const unit = isDouble ? 8 : 4;
  const count = values.reduce((sum, field) => sum + (field.end - field.start) / unit, 0);
  if (sizes.reduce((product, size) => product * size, 1) !== count || sizes.some((size) => size < 0)) {
    throw wire.error(span.start, `the blob ${name} has the shape [${sizes}], but ${count} values`);
  }
  return computedTensor(name, dtype, sizes, origin, async () => {
    const bytes = new Uint8Array(count * unit);
    let at = 0;
    for (const field of values) {
      bytes.set(await wire.source.read(field.start, field.end), at);
      at += field.end - field.start;
    }
    return bytes;
  });
}
