/** What a page reads of the files that it was given: each read is a message to another process. */
import { expect, it } from 'vitest';
import { blobSource } from '../../src/bytes/blob-file-set.js';

/** A blob that counts what is read of it. */
class Counted extends Blob {
  reads = 0;
  asked = 0;
  override slice(start: number, end: number): Blob {
    this.reads++;
    this.asked += end - start;
    return super.slice(start, end);
  }
}

const content = (length: number) => new Uint8Array(length).map((_, i) => (i * 7 + (i >> 8)) % 251);

it('columns of a matrix are read in few messages, and are what they are one by one', async () => {
  const [rows, width, run] = [400, 16_384, 1336];
  const all = content(rows * width);
  const blob = new Counted([all]);
  const columns = new Uint8Array((rows - 1) * run);
  await blobSource(blob, 'a').readRuns!(100, width, run, columns);
  for (const row of [0, 1, 255, 256, 398])
    expect(Buffer.compare(columns.subarray(row * run, (row + 1) * run), all.subarray(row * width + 100, row * width + 100 + run))).toBe(0);
  expect(blob.reads).toBe(2);
  expect(blob.asked).toBeLessThanOrEqual(all.byteLength);
});

it('what lies far apart is read without what lies between', async () => {
  const all = content(1_000_000);
  const blob = new Counted([all]);
  const runs = new Uint8Array(3 * 20_000);
  await blobSource(blob, 'a').readRuns!(5, 300_000, 20_000, runs);
  expect(Buffer.compare(runs.subarray(40_000), all.subarray(600_005, 620_005))).toBe(0);
  expect(blob.asked).toBe(60_000);
});

it('runs beyond the end are an error that names the file', async () => {
  await expect(blobSource(new Blob([content(100)]), 'a').readRuns!(10, 30, 20, new Uint8Array(80))).rejects.toMatchObject({
    kind: 'malformed',
    place: { file: 'a' },
  });
});
