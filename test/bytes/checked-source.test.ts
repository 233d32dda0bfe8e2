/** Checksums: as zlib has them, joined from parts, and checked while bytes are read in whatever order. */
import * as zlib from 'node:zlib';
import { expect, it } from 'vitest';
import { memorySource, readRuns } from '../../src/bytes/byte-source.js';
import { checkedSource } from '../../src/bytes/checked-source.js';
import { CRC32, CRC32C, crc32, plainCrc32 } from '../../src/bytes/crc32.js';
import { ModelError } from '../../src/errors.js';

const random = (length: number, seed = 1) => {
  let state = seed;
  return Uint8Array.from({ length }, () => {
    state = (state * 48271) % 2147483647;
    return state & 255;
  });
};

it('the checksum is the one that the standard gives, by any way', () => {
  const check = new TextEncoder().encode('123456789');
  expect([plainCrc32(check), crc32(check), CRC32C.update(check, 0)]).toEqual([0xcbf43926, 0xcbf43926, 0xe3069283]);
  for (const length of [0, 1, 7, 8, 9, 1000]) {
    const bytes = random(length);
    if ('crc32' in zlib) expect(plainCrc32(bytes, 17)).toBe(zlib.crc32(bytes, 17));
    const cut = Math.floor(length / 3);
    expect(plainCrc32(bytes.subarray(cut), plainCrc32(bytes.subarray(0, cut)))).toBe(plainCrc32(bytes));
    for (const { update, join } of [CRC32, CRC32C]) {
      expect(join(update(bytes.subarray(0, cut), 0), update(bytes.subarray(cut), 0), length - cut)).toBe(update(bytes, 0));
    }
  }
});

const LENGTH = 5000;
const whole = random(LENGTH);
const failure = () => new ModelError('malformed', 'damaged');

/** Ranges that cover everything, in some order. */
const ORDERS: Readonly<Record<string, (index: number) => readonly (readonly [number, number])[]>> = {
  'in order': () => Array.from({ length: 50 }, (_, i) => [i * 100, i * 100 + 100] as const),
  backwards: () => Array.from({ length: 50 }, (_, i) => [LENGTH - i * 100 - 100, LENGTH - i * 100] as const),
  'every second first': () => [0, 1].flatMap((odd) => Array.from({ length: 25 }, (_, i) => [(2 * i + odd) * 100, (2 * i + odd) * 100 + 100] as const)),
  'with overlaps': () => [...Array.from({ length: 49 }, (_, i) => [i * 100, i * 100 + 170] as const), [4000, LENGTH] as const, [0, LENGTH] as const],
  'all at once': () => [[0, LENGTH] as const],
  'all at once after a hole': () => [[100, 200] as const, [400, 410] as const, [0, LENGTH] as const],
  randomly: (seed) => {
    const numbers = random(4000, seed + 1);
    const ranges = Array.from({ length: 200 }, (_, i) => {
      const start = ((numbers[2 * i]! << 8) | numbers[2 * i + 1]!) % LENGTH;
      return [start, Math.min(LENGTH, start + numbers[1000 + i]!)] as const;
    });
    return [...ranges, [0, LENGTH] as const];
  },
};

it.each(Object.entries(ORDERS))('is checked when the last byte is read, %s', async (_, order) => {
  for (let index = 0; index < 5; index++) {
    const ranges = order(index);
    const right = checkedSource(memorySource(whole), crc32(whole), failure);
    for (const [start, end] of ranges) expect(Buffer.compare(await right.read(start, end), whole.subarray(start, end))).toBe(0);
    const damaged = whole.slice();
    damaged[(index * 251) % LENGTH]! ^= 1;
    const wrong = checkedSource(memorySource(damaged), crc32(whole), failure);
    let thrown = 0;
    for (const [start, end] of ranges) await wrong.readInto(start, new Uint8Array(end - start)).catch(() => thrown++);
    expect(thrown).toBe(1);
  }
});

it('is checked for runs that are gathered, and for more of them than are kept apart', async () => {
  const bytes = random(200_000);
  const damaged = bytes.slice();
  damaged[123_456]! ^= 4;
  for (const [source, isRight] of [
    [bytes, true],
    [damaged, false],
  ] as const) {
    const checked = checkedSource(memorySource(source), crc32(bytes), failure);
    let thrown = 0;
    for (let column = 0; column < 5; column++) {
      const target = new Uint8Array(40_000);
      await readRuns(checked, column, 5, 1, target).catch(() => thrown++);
    }
    expect(thrown).toBe(isRight ? 0 : 1);
  }
});

it('nothing is said while a byte has not been read', async () => {
  const damaged = whole.slice();
  damaged[0]! ^= 1;
  const checked = checkedSource(memorySource(damaged), crc32(whole), failure);
  await checked.read(0, LENGTH - 1);
  await checked.read(0, LENGTH - 1);
  await expect(checked.read(LENGTH - 1, LENGTH)).rejects.toMatchObject({ kind: 'malformed' });
});
