/** A Caffe message with named fields, whether it came from text or from binary. */
import type { Field, WireReader } from '../../containers/protobuf.js';
import type { TextField, TextMessage, TextValue } from '../../containers/prototext.js';
import { ENUMS, SCHEMA } from './schema.js';

/** Decodes a small binary message into the form that prototxt gives; `skip` keeps out what is not description (blobs). */
export async function decodeMessage(
  wire: WireReader,
  start: number,
  end: number,
  type: string,
  skip: (field: Field) => boolean = () => false,
): Promise<TextMessage> {
  const fields: TextField[] = [];
  const specs = SCHEMA[type];
  if (!specs) return { kind: 'message', fields };
  for await (const field of wire.fields(start, end)) {
    if (skip(field)) continue;
    const spec = specs.get(field.number);
    const name = spec?.name ?? `field ${field.number}`;
    for (const value of await decodeField(wire, field, spec?.type ?? 'Any')) fields.push({ name, value, line: 0 });
  }
  return { kind: 'message', fields };
}

async function decodeField(wire: WireReader, field: Field, type: string): Promise<TextValue[]> {
  const word = (text: string): TextValue => ({ kind: 'word', text });
  if (type === 's') return [{ kind: 'string', text: await wire.text(field) }];
  if (type === 'f') {
    const bytes = await wire.bytes(field);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return Array.from({ length: Math.floor(bytes.byteLength / 4) }, (_, i) => word(String(view.getFloat32(4 * i, true))));
  }
  if (type === 'Any') return [{ kind: 'message', fields: [] }];
  if (type !== 'int' && !ENUMS[type]) return [await decodeMessage(wire, field.start, field.end, type)];
  const numbers = field.wireType === 0 ? [field.varint] : await wire.varints(field);
  return numbers.map((value) => word(ENUMS[type]?.[Number(value)] ?? String(BigInt.asIntN(64, value))));
}

/** Messages of a field. */
export function messagesOf(message: TextMessage, name: string): TextMessage[] {
  return message.fields.flatMap((field) => (field.name === name && field.value.kind === 'message' ? [field.value] : []));
}

/** Texts of a scalar field, in order. */
export function textsOf(message: TextMessage, name: string): string[] {
  return message.fields.flatMap((field) => (field.name === name && field.value.kind !== 'message' ? [field.value.text] : []));
}
