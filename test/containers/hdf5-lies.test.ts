/** HDF5 files that say what none can: each is one error at the byte where it is said. */
import { expect, it } from 'vitest';
import { memorySource } from '../../src/bytes/byte-source.js';
import { type Hdf5Dataset, openHdf5 } from '../../src/containers/hdf5/index.js';
import { lookup3 } from '../../src/containers/hdf5/lookup3.js';
import { storedTensor, tensorBytes } from '../../src/model/tensor.js';
import {
  ascii,
  attribute,
  checked,
  chunkedOld,
  contiguous,
  dataset,
  dataspace,
  FLOAT32,
  fixedString,
  Hdf5Image,
  hardLink,
  joined,
  type MessageBytes,
  objectHeader,
  repeated,
  textAttribute,
  UINT8,
  u8,
  u16,
  u32,
  u64,
} from '../hdf5-image.js';

/** A file whose root has one link, to what `make` places. */
function fileOf(make: (image: Hdf5Image) => number, root: readonly MessageBytes[] = []): Uint8Array {
  const image = new Hdf5Image();
  return image.bytes(image.object([hardLink('w', make(image)), ...root]));
}

const withData = (image: Hdf5Image, shape: readonly number[], type = FLOAT32, byteLength = 16) =>
  image.object(dataset(shape, type, contiguous(image.place(new Uint8Array(byteLength)), byteLength)));
const withMessages = (...messages: readonly MessageBytes[]) => fileOf((image) => image.object(messages));

/** The superblock with one byte changed, and its checksum right again. */
function superblock(at: number, value: number): Uint8Array {
  const bytes = fileOf((image) => withData(image, [4])).slice();
  bytes[at] = value;
  bytes.set(u32(lookup3(bytes.subarray(0, 44))), 44);
  return bytes;
}

async function readAll(bytes: Uint8Array): Promise<number> {
  const root = await openHdf5(memorySource(bytes, 'x.h5'));
  await root.attributes();
  const found = (await root.get('w')) as Hdf5Dataset;
  if (found.kind !== 'dataset') return 0;
  await found.attributes();
  const { dtype, shape } = found;
  if (!dtype) return 0;
  return (await tensorBytes(storedTensor({ name: 'w', dtype, shape, source: found.source, origin: { file: 'x.h5' } }))).byteLength;
}

const layout = (...body: readonly Uint8Array[]): MessageBytes => ({ type: 8, body: joined(...body) });
const described = (type: Uint8Array, space: Uint8Array, more: MessageBytes): MessageBytes[] => [{ type: 1, body: space }, { type: 3, body: type }, more];
/** Of version 2, with a rank that its sizes do not bear out. */
const rankOf = (rank: number) => joined(u8(2, rank, 0, 1), repeated(u64(1), rank));

it('a file that says what is there is read', async () => {
  expect(await readAll(fileOf((image) => withData(image, [2, 2])))).toBe(16);
});

it.each<[what: string, bytes: Uint8Array, kind: string, says: RegExp]>([
  ['a superblock of a version to come', superblock(8, 4), 'unsupported', /superblock version 4/],
  ['addresses of three bytes', superblock(9, 3), 'malformed', /addresses of 3/],
  ['lengths of no bytes', superblock(10, 0), 'malformed', /lengths of 0/],
  ['a root of another version', fileOf((image) => image.place(checked(ascii('OHDR'), u8(3, 2), u32(0)))), 'malformed', /object header of version 3/],
  ['an old object header of another version', fileOf((image) => image.place(u8(7), new Uint8Array(32))), 'malformed', /object header of version 7/],
  [
    'a link of another version',
    fileOf((image) => withData(image, [4]), [{ type: 6, body: joined(u8(2, 0, 1), ascii('v'), u64(48)) }]),
    'malformed',
    /link of version 2/,
  ],
  ['a dataset without a type', withMessages({ type: 1, body: dataspace([4]) }, contiguous(48, 16)), 'malformed', /no type or no shape/],
  ['a dataset without a shape', withMessages({ type: 3, body: FLOAT32 }, contiguous(48, 16)), 'malformed', /no type or no shape/],
  ['a shape that overflows', fileOf((image) => withData(image, [2 ** 40, 2 ** 40])), 'malformed', /overflows/],
  ['a shape of 40 axes', withMessages(...described(FLOAT32, rankOf(40), contiguous(48, 16))), 'malformed', /40 dimensions/],
  ['a shape of another version', withMessages(...described(FLOAT32, u8(3, 0, 0, 0), contiguous(48, 16))), 'malformed', /dataspace of version 3/],
  [
    'values of no bytes',
    withMessages(...described(joined(u8(0x10, 0, 0, 0), u32(0), u16(0, 8)), dataspace([4]), contiguous(48, 4))),
    'malformed',
    /zero bytes/,
  ],
  [
    'an enum of enums',
    withMessages(...described(joined(u8(0x38, 1, 0, 0), u32(1), u8(0x38, 1, 0, 0), u32(1), UINT8), dataspace([4]), contiguous(48, 4))),
    'malformed',
    /enum of enums/,
  ],
  [
    'a layout of another version',
    withMessages(...described(FLOAT32, dataspace([4]), layout(u8(5, 1), u64(48, 16)))),
    'unsupported',
    /data layout of version 5/,
  ],
  ['a virtual dataset', withMessages(...described(FLOAT32, dataspace([4]), layout(u8(4, 3), u64(48, 0)))), 'unsupported', /in other files/],
  [
    'fewer values in the header than it says',
    withMessages(...described(FLOAT32, dataspace([4]), layout(u8(3, 0), u16(8), new Uint8Array(8)))),
    'malformed',
    /needs 16 bytes, 8/,
  ],
  ['chunks of another rank', withMessages(...described(FLOAT32, dataspace([4]), chunkedOld([2, 2], 4, 48))), 'malformed', /do not fit the shape/],
  ['chunks of nothing', withMessages(...described(FLOAT32, dataspace([4]), chunkedOld([0], 4, 48))), 'malformed', /do not fit the shape/],
  [
    'forty filters',
    withMessages(...described(FLOAT32, dataspace([4]), chunkedOld([2], 4, 48)), { type: 11, body: joined(u8(2, 40), new Uint8Array(400)) }),
    'malformed',
    /40 filters/,
  ],
  [
    'values in other files',
    withMessages(...described(FLOAT32, dataspace([4]), contiguous(null, 16)), { type: 7, body: new Uint8Array(16) }),
    'unsafe',
    /lie in other files/,
  ],
  [
    'a tree that is none of chunks',
    fileOf((image) =>
      image.object(described(FLOAT32, dataspace([4]), chunkedOld([2], 4, image.place(ascii('TREE'), u8(0, 0), u16(0), u64(null, null), new Uint8Array(64))))),
    ),
    'malformed',
    /B-tree of type 1 was expected, 0 found/,
  ],
  [
    'a shared type that is not there',
    withMessages({ type: 1, body: dataspace([4]) }, { type: 3, flags: 2, body: joined(u8(2, 0), u64(48)) }, contiguous(48, 16)),
    'malformed',
    /shared message is not where/,
  ],
  [
    'an attribute of more values than any',
    fileOf((image) => withData(image, [4]), [attribute('a', fixedString(1), dataspace([1_000_001]), new Uint8Array(60_000))]),
    'malformed',
    /1000001 elements of 1 bytes does not fit/,
  ],
])('%s is refused', async (_, bytes, kind, says) => {
  const error = await readAll(bytes).catch((reason: unknown) => reason);
  expect(error).toMatchObject({ name: 'ModelError', kind, message: expect.stringMatching(says), place: { file: 'x.h5' } });
});

it('an object header whose bytes are not those of its checksum is damaged', async () => {
  const bytes = fileOf((image) => image.place(objectHeader([textAttribute('a', 'b')]).map((byte, i) => (i === 14 ? byte ^ 1 : byte))));
  await expect(readAll(bytes)).rejects.toMatchObject({ kind: 'malformed' });
});
