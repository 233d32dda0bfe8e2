// @module-tag slow
/** FlatBuffers whose parts are one part that is referred to again and again: nothing is read more often than a file of that size explains. */
import { expect, it } from 'vitest';
import { memorySource } from '../../src/bytes/byte-source.js';
import { FlatBuffer } from '../../src/containers/flatbuffer.js';

/** A root of one field, a vector of so many references, all to one table; that has so many fields, the first a vector of so many bytes. */
function shared(what: { references: number; fields: number; byteLength: number }): FlatBuffer {
  return new FlatBuffer(memorySource(sharedBytes(what), 'x.tflite'));
}

function sharedBytes({ references, fields, byteLength }: { references: number; fields: number; byteLength: number }): Uint8Array {
  const layoutAt = 4;
  const rootAt = layoutAt + 8;
  const listAt = rootAt + 8;
  const layout2At = listAt + 4 + 4 * references;
  const tableAt = layout2At + 4 + 2 * fields + ((2 * fields) % 4);
  const bytesAt = tableAt + 8;
  const view = new DataView(new ArrayBuffer(bytesAt + 4 + byteLength));
  const u32 = (at: number, value: number) => view.setUint32(at, value, true);
  const u16s = (at: number, ...values: number[]) => values.forEach((value, i) => void view.setUint16(at + 2 * i, value, true));
  u32(0, rootAt);
  u16s(layoutAt, 6, 8, 4);
  u32(rootAt, rootAt - layoutAt);
  u32(rootAt + 4, listAt - rootAt - 4);
  u32(listAt, references);
  for (let at = listAt + 4; at < layout2At; at += 4) u32(at, tableAt - at);
  u16s(layout2At, 4 + 2 * fields, 8, 4);
  u32(tableAt, tableAt - layout2At);
  u32(tableAt + 4, 4);
  u32(bytesAt, byteLength);
  return new Uint8Array(view.buffer);
}

it('one table that is referred to twice is read twice', async () => {
  const buffer = shared({ references: 2, fields: 1, byteLength: 8 });
  const tables = await buffer.tables(await buffer.root(), 0);
  expect(tables.map(({ fields }) => fields.length)).toEqual([1, 1]);
  expect(await buffer.text(tables[1]!, 0)).toBe('\0'.repeat(8));
});

it('what lies far apart and is read in turns is fetched once', async () => {
  const bytes = memorySource(sharedBytes({ references: 40_000, fields: 1, byteLength: 8 }), 'x.tflite');
  let fetched = 0;
  const read = (start: number, end: number) => {
    fetched += end - start;
    return bytes.read(start, end);
  };
  const buffer = new FlatBuffer({ ...bytes, read });
  expect(await buffer.tables(await buffer.root(), 0)).toHaveLength(40_000);
  expect(fetched).toBeLessThan(2 * bytes.byteLength);
});

it.each([
  ['a table of more fields than any', { references: 50_000, fields: 30_000, byteLength: 4 }, /layout of 60004 bytes/],
  ['a table that is referred to 400,000 times', { references: 400_000, fields: 1, byteLength: 4 }, /more than 300000 tables/],
  ['fields that are read 300,000 times', { references: 299_999, fields: 250, byteLength: 4 }, /refers to itself so often/],
  ['a name that is read 10,000 times', { references: 10_000, fields: 1, byteLength: 900_000 }, /refers to itself so often/],
])('%s is refused', async (_, what, says) => {
  const buffer = shared(what);
  const read = async () => {
    for (const table of await buffer.tables(await buffer.root(), 0)) await buffer.text(table, 0);
  };
  await expect(read()).rejects.toMatchObject({ name: 'ModelError', message: expect.stringMatching(says) });
});
