/** Caffe's messages with typed values, whether they came from text or from binary; what is not known stays in, to be named. */
import type { Field as WireField, WireReader } from '../../containers/protobuf.js';
import type { TextMessage, TextScalar } from '../../containers/prototext.js';
import { ModelError, throwAll } from '../../errors.js';
import { ENUMS, V1_TYPE_NUMBERS } from './enums.js';
import { BLOBS_FIELD, type Contest, type FieldSpec, isMessage, SCHEMA } from './schema.js';

export type Scalar = number | string | boolean;

export interface MessageField {
  readonly name: string;
  /** Null for a field that the message is not known to have. */
  readonly spec: FieldSpec | null;
  readonly value: Scalar | Message;
  /** Of the text, from 1; 0 where there is none. */
  readonly line: number;
}

export interface Message {
  readonly kind: 'message';
  /** A name of `SCHEMA`, or 'Opaque'. */
  readonly type: string;
  readonly fields: readonly MessageField[];
}

/**
 * Gives a parsed text the types of Caffe's messages.
 *
 * @throws ModelError 'malformed' with every value that is none of its field's type, and every field that is given twice and may not be
 */
export function typedMessage(text: TextMessage, type: string, file: string): Message {
  const errors: ModelError[] = [];
  const message = fromText(text, type, file, errors);
  if (errors.length > 0) throwAll(errors, `${file}: this text is no Caffe net:`);
  return message;
}

/** Nobody reads more. */
const MAX_TOLD = 50;

function fromText(text: TextMessage, type: string, file: string, errors: ModelError[]): Message {
  const specs = SCHEMA.get(type);
  if (!specs) return { kind: 'message', type: 'Opaque', fields: [] };
  const seen = new Set<string>();
  const fields = text.fields.map(({ name, value, line }): MessageField => {
    const spec = specs.byName.get(name) ?? null;
    if (!spec) return { name, spec, line, value: value.kind === 'message' ? { kind: 'message', type: 'Opaque', fields: [] } : value.text };
    const wrong = (problem: string) => {
      if (errors.length < MAX_TOLD) errors.push(new ModelError('malformed', `line ${line}: ${problem}`, { file }));
    };
    if (!spec.repeated && seen.has(name)) wrong(`${name} is given a second time, and may stand once`);
    seen.add(name);
    if (value.kind === 'message') {
      if (isMessage(spec)) return { name, spec, line, value: fromText(value, spec.type, file, errors) };
      wrong(`${name} holds fields, where ${describeType(spec.type)} was expected`);
    } else if (isMessage(spec)) wrong(`${name} is ${JSON.stringify(value.text.slice(0, 40))}, where fields in braces were expected`);
    else {
      const scalar = scalarOf(value, spec.type);
      if (scalar !== null) return { name, spec, line, value: scalar };
      wrong(`${name} is ${JSON.stringify(value.text.slice(0, 40))}, where ${describeType(spec.type)} was expected`);
    }
    return { name, spec: null, line, value: '' };
  });
  return { kind: 'message', type, fields };
}

/** The value of a scalar as protobuf's text format has it; null where it is none of that type. */
function scalarOf({ kind, text }: TextScalar, type: string): Scalar | null {
  if (type === 'string') return kind === 'string' ? text : null;
  if (kind === 'string') return null;
  switch (type) {
    case 'bool':
      if (text === 'true' || text === 'True' || text === 't') return true;
      if (text === 'false' || text === 'False' || text === 'f') return false;
      return { 0: false, 1: true }[integerOf(text) ?? -1] ?? null;
    case 'int':
      return integerOf(text);
    case 'uint':
      return text.startsWith('-') ? null : integerOf(text);
    case 'float':
      return floatOf(text);
    case 'word':
      return text;
    case 'V1Type':
      return V1_TYPE_NUMBERS[integerOf(text) ?? -1] ?? text;
    default: {
      const names = ENUMS[type]!;
      const number = integerOf(text);
      if (number !== null) return names[number] ?? null;
      return Object.values(names).includes(text) ? text : null;
    }
  }
}

/** Decimal, octal behind a 0, hexadecimal behind 0x. */
function integerOf(text: string): number | null {
  const [, minus, digits] = /^(-?)(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9]\d*)$/.exec(text) ?? [];
  if (digits === undefined) return null;
  const size = /^0[0-7]/.test(digits) ? Number.parseInt(digits, 8) : Number(digits);
  if (!Number.isSafeInteger(size)) return null;
  return minus ? 0 - size : size;
}

/** With or without an f; infinities and NaN by name, in any case of letters. No octal or hexadecimal. */
function floatOf(text: string): number | null {
  const [, minus, name] = /^(-?)(inf|infinity|nan)f?$/i.exec(text) ?? [];
  if (name !== undefined) return name.toLowerCase() === 'nan' ? Number.NaN : minus ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  if (!/^-?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?f?$/i.test(text) || /^-?0\d/.test(text)) return null;
  return Number(text.replace(/f$/i, ''));
}

function describeType(type: string): string {
  const names = ENUMS[type];
  if (names)
    return Object.values(names)
      .join(', ')
      .replace(/, ([^,]*)$/, ' or $1');
  const words: Readonly<Record<string, string>> = {
    bool: 'true or false',
    int: 'a whole number',
    uint: 'a whole number of at least 0',
    float: 'a number',
    string: 'a string in quotes',
    word: 'a name',
  };
  return words[type] ?? 'another value';
}

/** How many fields descriptions may have yet, all messages of a file together. */
export interface Budget {
  fields: number;
}

/** Each field takes memory; the largest nets have some twenty thousand. */
export function descriptionBudget(): Budget {
  return { fields: 250_000 };
}

/** Fields of descriptions are short; the longest are Python layers' parameters. */
const MAX_FIELD_BYTES = 1_000_000;

/** Decodes a small binary message; blobs, whichever layer they belong to, go to `onBlob` and are left out. */
export async function decodeMessage(
  wire: WireReader,
  start: number,
  end: number,
  type: string,
  budget: Budget,
  onBlob: (field: WireField) => void = () => {},
): Promise<Message> {
  const specs = SCHEMA.get(type);
  const fields: MessageField[] = [];
  if (!specs) return { kind: 'message', type: 'Opaque', fields };
  for await (const field of wire.fields(start, end)) {
    if (field.wireType === 2 && field.number === BLOBS_FIELD[type]) onBlob(field);
    else {
      const contest = specs.contested.get(field.number);
      if (contest && field.wireType === 0 && contest.agreed.includes(Number(field.varint))) continue;
      for (const made of await decodeField(wire, field, specs.byNumber.get(field.number) ?? [], budget, onBlob, contest)) {
        if (--budget.fields < 0) throw wire.error(field.start, 'the net is described by more fields than any net has');
        fields.push(made);
      }
    }
  }
  return { kind: 'message', type, fields };
}

async function decodeField(
  wire: WireReader,
  field: WireField,
  specs: readonly FieldSpec[],
  budget: Budget,
  onBlob: (field: WireField) => void,
  contest: Contest | undefined,
): Promise<MessageField[]> {
  const spec = specs.find((candidate) => wireTypesOf(candidate).includes(field.wireType));
  const made = (value: Scalar | Message, known: FieldSpec | null = spec ?? null): MessageField => ({
    name: spec?.name ?? `field ${field.number}${contest ? ` (${contest.meanings})` : ''}`,
    spec: known,
    value,
    line: 0,
  });
  if (!spec) return [made(field.wireType === 0 ? Number(BigInt.asIntN(64, field.varint)) : `(${field.end - field.start} bytes)`)];
  if (isMessage(spec)) return [made(await decodeMessage(wire, field.start, field.end, spec.type, budget, onBlob))];
  if (field.end - field.start > MAX_FIELD_BYTES) throw wire.error(field.start, `${spec.name} has ${field.end - field.start} bytes, which describe no net`);
  if (spec.type === 'string') return [made(await wire.text(field))];
  if (spec.type === 'float') {
    const bytes = await wire.bytes(field);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return Array.from({ length: Math.floor(bytes.byteLength / 4) }, (_, i) => made(view.getFloat32(4 * i, true)));
  }
  const numbers = field.wireType === 0 ? [field.varint] : await wire.varints(field);
  return Array.from(numbers, (varint) => {
    const number = Number(BigInt.asIntN(64, varint));
    // Caffe writes no other; a larger one is a number of a fork whose field this is.
    if (spec.type === 'bool') return number === 0 || number === 1 ? made(number === 1) : made(number, null);
    if (spec.type === 'word') return made(String(number));
    if (spec.type === 'V1Type') return made(V1_TYPE_NUMBERS[number] ?? String(number));
    const names = ENUMS[spec.type];
    if (names) return names[number] === undefined ? made(number, null) : made(names[number]);
    if (!Number.isSafeInteger(number) || (spec.type === 'uint' && number < 0)) throw wire.error(field.start, `${spec.name} is ${varint}, which is no size`);
    return made(number);
  });
}

/** Repeated numbers come one by one, or packed. */
function wireTypesOf(spec: FieldSpec): readonly number[] {
  if (isMessage(spec) || spec.type === 'string') return [2];
  const single = spec.type === 'float' ? 5 : 0;
  return spec.repeated ? [single, 2] : [single];
}

/** Messages of a field. */
export function messagesOf(message: Message, name: string): Message[] {
  return message.fields.flatMap(({ name: found, value }) => (found === name && typeof value === 'object' ? [value] : []));
}

/** Strings, names of enumerations and the like, in order. */
export function textsOf(message: Message, name: string): string[] {
  return message.fields.flatMap(({ name: found, value }) => (found === name && typeof value === 'string' ? [value] : []));
}

export function numbersOf(message: Message, name: string): number[] {
  return message.fields.flatMap(({ name: found, value }) => (found === name && typeof value === 'number' ? [value] : []));
}
