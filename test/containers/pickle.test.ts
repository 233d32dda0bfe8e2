/** Pickles that are none: each is one error that says where, and nothing that they name is run. */
import { describe, expect, it } from 'vitest';
import { memorySource } from '../../src/bytes/byte-source.js';
import { type PickleHooks, unpickle } from '../../src/containers/pickle/index.js';

const HOOKS: PickleHooks = { callables: {}, inert: new Set(['m.C']) };
const latin1 = (text: string) => Uint8Array.from(text, (character) => character.charCodeAt(0));
const run = (text: string, hooks = HOOKS) => unpickle(memorySource(latin1(text), 'x.pkl'), 0, hooks);

/** So many keys, each with nothing. */
const keys = (count: number) => Array.from({ length: count }, (_, i) => `M${String.fromCharCode(i & 255, i >> 8)}N`).join('');
/** What copies a dictionary. */
const COPYING: PickleHooks = { ...HOOKS, callables: { 'collections.OrderedDict': ([map]) => new Map(map as Map<unknown, unknown>) } };

it('a small one is read to its end, and no further', async () => {
  expect(await run('\x80\x02}q\x00X\x01\x00\x00\x00aK\x01s.behind')).toEqual({ value: new Map([['a', 1]]), end: 15, opaque: new Map() });
});

describe('what is no pickle', () => {
  it.each<[what: string, text: string, kind: string, offset: number | undefined, says: RegExp]>([
    ['of a protocol that there is not', '\x80\x06.', 'unsupported', 0, /newer than 5/],
    ['an operation that there is not', 'N\xff.', 'malformed', 1, /0xff/],
    ['ends before it stops', 'N', 'malformed', undefined, /ends in the middle/],
    ['a text longer than the file', 'X\xff\x00\x00\x00a.', 'malformed', undefined, /ends in the middle/],
    ['a long text beyond the end of the file', 'X\x00\x00\x02\x00a.', 'malformed', undefined, /ends in the middle/],
    ['a length beyond any file', '\x8d\xff\xff\xff\xff\xff\xff\xff\xffa.', 'malformed', 0, /beyond any file/],
    ['stops with nothing', '.', 'malformed', 0, /empty stack/],
    ['keeps nothing', 'q\x00.', 'malformed', 0, /empty stack/],
    ['more than is there', 'N\x87.', 'malformed', 1, /empty stack/],
    ['goes back to no mark', 'Nt.', 'malformed', 1, /a mark that it never set/],
    ['recalls what it never kept', 'Nh\x05.', 'malformed', 1, /recalls value 5/],
    ['appends to a number', 'K\x01K\x02a.', 'malformed', 4, /no list/],
    ['appends to the empty tuple', ')K\x02a.', 'malformed', 3, /no list/],
    ['sets an item of a list', ']K\x01K\x02s.', 'malformed', 5, /no dictionary/],
    ['a key without a value', '}(K\x01u.', 'malformed', 4, /key without a value/],
    ['calls a number', 'K\x01)R.', 'malformed', 3, /neither a function nor a class/],
    ['calls without a tuple', 'cm\nC\nNR.', 'malformed', 6, /without a tuple/],
    ['makes an instance of a number', 'K\x01)\x81.', 'malformed', 3, /no class/],
    ['makes an instance without a tuple', 'cm\nC\nN\x81.', 'malformed', 6, /without a tuple/],
    ['a persistent id', 'Pa\n.', 'malformed', 0, /persistent id/],
    ['an integer that is none', 'I1x\n.', 'malformed', 0, /no integer/],
    ['an integer as wide as a book', '\x8b\x01\x10\x00\x00'.concat('1'.repeat(4097), '.'), 'unsafe', 0, /4097 bytes/],
    ['an index that is none', 'Ng-1\n.', 'malformed', 1, /memo index/],
    ['a string without quotes', 'Sabc\n.', 'malformed', 0, /quoted string/],
    ['a string of other quotes', 'S\'abc"\n.', 'malformed', 0, /quoted string/],
    ['a name of a thousand letters and more', `c${'m'.repeat(5000)}\nC\n.`, 'malformed', 0, /5000 characters/],
    ['a name that is no text', 'K\x01K\x02\x93.', 'malformed', 4, /a name was expected/],
    ['marks without end', '('.repeat(100_001), 'unsafe', 100_000, /nests too deeply/],
    ['encodes a number', 'c_codecs\nencode\nK\x01\x85R.', 'malformed', 19, /no text/],
    [
      'a dictionary that is copied again and again',
      `}(${keys(3000)}uq\x00${'ccollections\nOrderedDict\nh\x00\x85R0'.repeat(6000)}.`,
      'unsafe',
      undefined,
      /makes more of its first/,
    ],
  ])('%s', async (_, text, kind, offset, says) => {
    const error = await run(text, COPYING).catch((reason: unknown) => reason);
    expect(error).toMatchObject({
      name: 'ModelError',
      kind,
      message: expect.stringMatching(says),
      ...(offset === undefined ? {} : { place: { file: 'x.pkl', offset } }),
    });
  });
});
