/** Damage that leaves a file readable is found by the checksums that its format has, when the damaged bytes are read. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync, unzipSync, zipSync, zlibSync } from 'fflate';
import { describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memorySource } from '../../src/bytes/byte-source.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { inflateExactly } from '../../src/containers/inflate.js';
import { openZip } from '../../src/containers/zip.js';
import { convert } from '../../src/convert.js';
import { inspect } from '../../src/inspect.js';
import { DIGITS } from '../cli/run-cli.js';
import { TensorKeeper, tinyVgg } from '../pickles.js';

const pth = () => {
  const keeper = new TensorKeeper();
  return keeper.pth(new Map([...tinyVgg()].map(([name, weights]) => [name, keeper.tensor(weights)])));
};
async function made(name: string): Promise<Uint8Array> {
  const sink = memorySink();
  await convert(memoryFileSet({ 'digits.h5': new Uint8Array(readFileSync(join(DIGITS, 'digits.h5'))) }, 'digits.h5'), sink, name);
  return sink.files.get(name)!;
}

/** The bytes with one bit of a value turned, which must stand in the file as it is. */
function damaged(bytes: Uint8Array, value: Uint8Array): Uint8Array {
  const at = Buffer.from(bytes).indexOf(value);
  expect(at).toBeGreaterThan(0);
  const copy = bytes.slice();
  copy[at + 2]! ^= 0x10;
  return copy;
}

const float32 = (values: readonly number[]) => new Uint8Array(Float32Array.from(values).buffer);
const firstValues = float32(tinyVgg().get('features.3.weight')!.values.slice(0, 8));

describe('a flipped bit in the weights', () => {
  it.each(['onnx', 'safetensors', 'npz'])('of a PyTorch file is found on the way to %s', async (to) => {
    const sink = memorySink();
    const files = memoryFileSet({ 'x.pth': damaged(pth(), firstValues) }, 'x.pth');
    await expect(convert(files, sink, `y.${to}`)).rejects.toMatchObject({ kind: 'malformed', message: expect.stringMatching(/data\/2.*CRC-32.*damaged/) });
    expect([...sink.files]).toEqual([]);
  });

  it('of a PyTorch file is no matter to who reads no weights, and found by who reads them all', async () => {
    const files = () => memoryFileSet({ 'x.pth': damaged(pth(), firstValues) }, 'x.pth');
    expect((await inspect(files())).tensors.length).toBe(10);
    await expect(inspect(files(), { weights: true })).rejects.toMatchObject({ message: expect.stringMatching(/CRC-32/) });
  });

  it('is not looked for where the writer worked out no checksums', async () => {
    const bytes = damaged(pth(), firstValues);
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    for (let at = 0; at + 4 < bytes.length; at++) {
      if (view.getUint32(at, true) === 0x02014b50) view.setUint32(at + 16, 0, true);
    }
    const { files } = await convert(memoryFileSet({ 'x.pth': bytes }, 'x.pth'), memorySink(), 'y.safetensors');
    expect(files.length).toBe(1);
  });

  it.each([
    ['x.npz', 'y.safetensors'],
    ['x.keras', 'y.onnx'],
  ])('of %s is found on the way to %s', async (name, to) => {
    const bytes = await made(name);
    const [, array] = Object.entries(unzipSync(await made('x.npz'))).find(([member]) => /bias/.test(member))!;
    const values = array.subarray(array.length - 16);
    await convert(memoryFileSet({ [name]: bytes }, name), memorySink(), to);
    const broken = convert(memoryFileSet({ [name]: damaged(bytes, values) }, name), memorySink(), to);
    await expect(broken).rejects.toMatchObject({ kind: 'malformed', message: expect.stringMatching(/CRC-32.*damaged/) });
  });
});

it('a deflated member is checked as it is inflated', async () => {
  const bytes = zipSync({ a: float32([1, 2, 3]) }, { level: 9 });
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const directory = bytes.length - 22 - 47;
  view.setUint32(directory + 16, 12345, true);
  const zip = await openZip(memorySource(bytes));
  await expect(zip.entries[0]!.source()).rejects.toMatchObject({ message: expect.stringMatching(/CRC-32/) });
});

it.each([
  ['zlib', zlibSync, 4],
  ['gzip', gzipSync, 8],
] as const)('the checksum behind a %s stream is looked at', async (format, pack, length) => {
  const values = float32(Array.from({ length: 4000 }, (_, i) => Math.sin(i)));
  const packed = pack(values, { level: 6 });
  expect(await inflateExactly(memorySource(packed), format, values.length)).toEqual(values);
  packed[packed.length - length]! ^= 1;
  expect(await inflateExactly(memorySource(packed), format, values.length)).toMatch(/checksum/);
});
