/** Tables of TensorFlow's variables that say what cannot be: each is one error, which names the variable. */
import { describe, expect, it } from 'vitest';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { readTensorBundle } from '../../src/containers/tf-bundle.js';
import { readSavedSlices } from '../../src/containers/tf-saved-slices.js';
import { sliceKey } from '../../src/containers/tf-slices.js';
import { message, number, text } from '../cli/cost-protobuf.js';
import { joined } from '../hdf5-image.js';
import { rawTable } from '../tf-bundles.js';

type Bytes = Uint8Array;
const shape = (...sizes: readonly number[]): Bytes => message(2, ...sizes.map((size) => message(2, number(1, size))));
const extents = (field: number, ...list: readonly (readonly [start: number, length: number])[]): Bytes =>
  message(field, ...list.map(([start, length]) => message(1, number(1, start), number(2, length))));
const SLICE = [{ start: 0, length: 2 }];
const malformed = (says: RegExp) => expect.objectContaining({ name: 'ModelError', message: expect.stringMatching(says) });

describe('a bundle', () => {
  const HEAD = joined(number(1, 1), number(2, 0));
  const bundle = (...entries: readonly (readonly [string, Bytes])[]) =>
    readTensorBundle(memoryFileSet({ 'v.index': rawTable([['', HEAD], ...entries], {}), 'v.data-00000-of-00001': new Uint8Array(8) }, null), 'v');
  const half = joined(number(1, 1), shape(2), number(5, 8));
  const whole = joined(number(1, 1), shape(2), number(5, 8), extents(7, [0, 2]));

  it('of one variable, and of one in a slice, is read', async () => {
    expect([...(await bundle(['v', half])).tensors.keys()]).toEqual(['v']);
    expect([...(await bundle([sliceKey('v', SLICE), half], ['v', whole])).tensors.keys()]).toEqual(['v']);
  });

  it.each<[what: string, entries: readonly (readonly [string, Bytes])[], says: RegExp]>([
    ['a checksum that is a number', [['v', joined(half, number(6, 1))]], /its checksum is none/],
    ['as many axes as nobody knows', [['v', joined(number(1, 1), message(2, number(3, 1)), number(5, 8))]], /how many axes/],
    ['a place beyond any file', [['v', joined(half, number(4, 2 ** 60))]], /says shape \[2\], 8 bytes at/],
    ['a shape of 65 axes', [['v', joined(number(1, 1), shape(...new Array<number>(65).fill(1)), number(5, 4))]], /more than 64 axes/],
    ['a slice that is not there', [['v', whole]], /its slice at \[0\] is not in the table/],
    ['more slices than there are entries', [[sliceKey('v', SLICE), half], ['v', joined(whole, extents(7, [0, 2]), extents(7, [0, 2]), extents(7, [0, 2]))]], /more slices than/], // biome-ignore format: one case, one line
    [
      'a slice of another dtype',
      [
        [sliceKey('v', SLICE), joined(number(1, 3), shape(2), number(5, 8))],
        ['v', whole],
      ],
      /is of another dtype/,
    ],
    ['a slice of other axes', [[sliceKey('v', [...SLICE, ...SLICE]), half], ['v', joined(number(1, 1), shape(2), number(5, 8), extents(7, [0, 2], [0, 2]))]], /one of 2 axes is none of/], // biome-ignore format: one case, one line
  ])('with %s is refused', async (_, entries, says) => {
    await expect(bundle(...entries)).rejects.toEqual(malformed(says));
  });

  it('of more entries than any model has is refused', async () => {
    const names = Array.from({ length: 65_537 }, (_, i) => [`v${String(i).padStart(6, '0')}`, number(1, 1)] as const);
    await expect(bundle(...names)).rejects.toEqual(malformed(/more than 65536 entries/));
  });
});

describe('a checkpoint of the first version', () => {
  const meta = (...parts: readonly Bytes[]): Bytes => message(1, message(1, ...parts));
  const variable = meta(text(1, 'v'), shape(2), number(3, 1), extents(4, [0, 2]));
  const values = message(2, text(1, 'v'), message(3, number(1, 1), message(4, new Uint8Array(8))));
  const saved = (head: Bytes | null, entries: readonly (readonly [string, Bytes])[] = []) =>
    readSavedSlices(memoryFileSet({ 'a.ckpt': rawTable([...(head ? [['', head] as const] : []), ...entries], {}) }, null), ['a.ckpt']);

  it('of one variable is read', async () => {
    const { tensors } = await saved(variable, [[sliceKey('v', SLICE), message(2, text(1, 'v'), message(3, message(5, new Uint8Array(8))))]]);
    expect([...tensors.keys()]).toEqual(['v']);
  });

  it.each<[what: string, head: Bytes | null, entries: readonly (readonly [string, Bytes])[], says: RegExp]>([
    ['that says of no variable', null, [['v', values]], /nothing in it says which variables/],
    ['that is the index of a bundle', number(1, 1), [], /a checkpoint's index under another name/],
    ['of which a variable has no shape', meta(text(1, 'v'), number(3, 1), extents(4, [0, 2])), [], /a variable of shape \[\?\]/],
    ['that says two things of one', joined(variable, meta(text(1, 'v'), shape(3), number(3, 1))), [[sliceKey('v', SLICE), values]], /different things/],
    ['whose slice is not there', variable, [], /its slice at \[0\] is not in the table/],
    [
      'whose slice has other axes',
      meta(text(1, 'v'), shape(2, 1), number(3, 1), extents(4, [0, 2])),
      [[sliceKey('v', SLICE), values]],
      /one of 1 axes is none of/,
    ],
    ['that stores nothing of a variable', meta(text(1, 'v'), shape(2), number(3, 1)), [], /nothing is stored of it/],
    ['whose entry has no values', variable, [[sliceKey('v', SLICE), message(2, text(1, 'v'))]], /its entry has no values/],
  ])('%s is refused', async (_, head, entries, says) => {
    await expect(saved(head, entries)).rejects.toEqual(malformed(says));
  });
});
