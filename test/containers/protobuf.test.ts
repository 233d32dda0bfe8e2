/** Protobuf's wire format: fields as numbers and spans. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ByteSource, memorySource } from '../../src/bytes/byte-source.js';
import { type Field, WireReader } from '../../src/containers/protobuf.js';
import { MessageBuilder } from '../../src/containers/protobuf-writer.js';
import { ascii, joined, repeated } from '../hdf5-image.js';

const bytes = (...values: number[]) => Uint8Array.from(values);

function varint(value: bigint): number[] {
  return value < 128n ? [Number(value)] : [Number(value & 127n) | 128, ...varint(value >> 7n)];
}

const reader = (content: Uint8Array) => new WireReader(memorySource(content, 'x.bin'));

async function fieldsOf(content: Uint8Array, wire = reader(content)): Promise<Field[]> {
  const fields: Field[] = [];
  for await (const field of wire.fields(0, content.byteLength)) fields.push(field);
  return fields;
}

const packed = (content: Uint8Array) => ({ number: 1, wireType: 2, varint: 0n, start: 0, end: content.byteLength }) as const;

describe('fields', () => {
  it('come with number, type and the span of what they hold', async () => {
    const content = joined(bytes(0x08, 0x96, 0x01), bytes(0x12, 2), ascii('hi'), bytes(0x1d, 1, 2, 3, 4), bytes(0x21, 1, 2, 3, 4, 5, 6, 7, 8));
    const fields = await fieldsOf(content);
    expect(fields.map(({ number, wireType, varint: value, start, end }) => [number, wireType, value, start, end])).toEqual([
      [1, 0, 150n, 1, 3],
      [2, 2, 0n, 5, 7],
      [3, 5, 0n, 8, 12],
      [4, 1, 0n, 13, 21],
    ]);
    expect(await reader(content).text(fields[1]!)).toBe('hi');
  });

  it.each(['', 'conv1', 'x'.repeat(127), 'x'.repeat(128), 'x'.repeat(20_000), 'é'.repeat(64), `${'x'.repeat(126)}é`, '名'])(
    'of text are read as they were written, inside of messages and behind other fields',
    async (text) => {
      const inner = new MessageBuilder().int(1, 300).string(2, text).float(3, 0.5).string(2, 'end');
      const content = new MessageBuilder().string(17, text).message(4, inner).toBytes();
      const [own, message] = await fieldsOf(content);
      const wire = reader(content);
      expect([own!.number, await wire.text(own!)]).toEqual([17, text]);
      const fields: Field[] = [];
      for await (const field of wire.fields(message!.start, message!.end)) fields.push(field);
      expect([fields[0]!.varint, await wire.text(fields[1]!), await wire.text(fields[3]!)]).toEqual([300n, text, 'end']);
      expect(new DataView(content.buffer).getFloat32(content.byteOffset + fields[2]!.start, true)).toBe(0.5);
    },
  );

  it('are found across the borders of what is read at once', async () => {
    const content = repeated(bytes(0x08, 0x96, 0x01), 5000);
    expect((await fieldsOf(content)).every(({ varint: value }) => value === 150n)).toBe(true);
  });

  it('are read from one end to the other in few reads, and what is long is jumped over', async () => {
    const content = joined(bytes(0x12, ...varint(1_000_000n)), new Uint8Array(1_000_000), bytes(0x08, 1));
    const source = memorySource(content, 'x.bin');
    let read = 0;
    const counting: ByteSource = {
      ...source,
      read(start, end) {
        read += end - start;
        return source.read(start, end);
      },
    };
    expect(await fieldsOf(content, new WireReader(counting))).toHaveLength(2);
    expect(read).toBeLessThan(10_000);
  });

  it.each<[string, Uint8Array, number]>([
    ['the number of a field is 0', bytes(0x00, 1), 0],
    ['a wire type is not known', bytes(0x08, 1, 0x0b), 2],
    ['a length leaves the message', bytes(0x12, 5, 1, 2), 0],
    ['a fixed value leaves the message', bytes(0x1d, 1, 2, 3), 0],
    ['the bytes end in a tag', bytes(0x80), 0],
    ['the bytes end in a value', bytes(0x08, 0x80), 1],
    ['a number has eleven bytes', bytes(0x08, ...new Array<number>(10).fill(0x80), 0), 1],
  ])('are refused where %s, at its byte', async (_, content, offset) => {
    await expect(fieldsOf(content)).rejects.toMatchObject({ kind: 'malformed', place: { offset } });
  });

  it('of more than any net are refused', { tags: 'slow' }, async () => {
    await expect(fieldsOf(repeated(bytes(0x08, 1), 2_000_001))).rejects.toMatchObject({ kind: 'unsafe' });
  });

  it('in great number let others have their turn', { tags: 'slow' }, async () => {
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    await fieldsOf(repeated(bytes(0x08, 1), 1_000_000));
    clearInterval(timer);
    expect(turns).toBeGreaterThan(2);
  });
});

describe('numbers', () => {
  it('of 64 bits are what was written, one by one and packed', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), { maxLength: 50 }), async (values) => {
        const single = Uint8Array.from(values.flatMap((value) => [0x08, ...varint(value)]));
        expect((await fieldsOf(single)).map((field) => field.varint)).toEqual(values);
        const content = Uint8Array.from(values.flatMap(varint));
        expect([...(await reader(content).varints(packed(content)))]).toEqual(values);
      }),
    );
  });

  it.each<[string, Uint8Array]>([
    ['end inside one', bytes(1, 0x80)],
    ['have one of eleven bytes', bytes(...new Array<number>(10).fill(0x80), 0)],
  ])('packed are refused where the bytes %s', async (_, content) => {
    await expect(reader(content).varints(packed(content))).rejects.toMatchObject({ kind: 'malformed' });
  });

  it('beyond 64 bits lose what is too much, as protobuf has it', async () => {
    const content = bytes(...new Array<number>(9).fill(0xff), 0x7f);
    expect([...(await reader(content).varints(packed(content)))]).toEqual([2n ** 64n - 1n]);
    expect((await fieldsOf(joined(bytes(0x08), content)))[0]!.varint).toBe(2n ** 64n - 1n);
  });
});

it('a text of another kind, or longer than texts are, is refused', async () => {
  const content = joined(bytes(0x12, 3), ascii('abc'));
  const [field] = await fieldsOf(content);
  const malformed = expect.objectContaining({ kind: 'malformed' });
  expect(() => reader(content).text(field!, 2)).toThrow(malformed);
  expect(() => reader(content).text({ ...field!, wireType: 0 })).toThrow(malformed);
});
