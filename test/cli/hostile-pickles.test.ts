/**
 * Small pickles that would cost much: whatever they repeat, share, nest or claim, the command answers with one error, in little time and
 * memory. The files are made here, as large as it takes to show what they would do.
 */
import { rmSync } from 'node:fs';
import { zipSync } from 'fflate';
import { expect, it } from 'vitest';
import { expectCpuSeconds } from '../speed.js';
import { temporaryFolder } from './run-cli.js';
import { type Hostile, MAX_CPU_SECONDS, MAX_MEMORY_MB, MAX_SECONDS, runHostile } from './run-hostile.js';

const folder = temporaryFolder();
const latin1 = (text: string) => Buffer.from(text, 'latin1');
const pkl = (...parts: readonly (string | Uint8Array)[]): Hostile['files'] => ({
  'x.pkl': Buffer.concat([latin1('\x80\x02'), ...parts.map((part) => (typeof part === 'string' ? latin1(part) : part)), latin1('.')]),
});
const u32 = (value: number) => String.fromCharCode(value & 255, (value >> 8) & 255, (value >> 16) & 255, value >>> 24);
const unicode = (text: string) => `X${u32(text.length)}${text}`;
const M = 1_000_000;

const TENSOR = `ctorch._utils\n_rebuild_tensor_v2\n((${unicode('storage')}ctorch\nFloatStorage\n${unicode('0')}${unicode('cpu')}K\x01tQK\x00K\x01\x85K\x01\x85\x89}tR`;
const pth = (pickle: string): Hostile['files'] => ({
  'x.pth': zipSync({ 'a/data.pkl': latin1(`\x80\x02${pickle}.`), 'a/data/0': new Uint8Array(4), 'a/version': latin1('3\n') }, { level: 6 }),
});
/** A dictionary around something, as often as wanted, each entry by a key of its own. */
const entries = (count: number, value: string) => Array.from({ length: count }, (_, i) => `J${u32(i)}${value}`).join('');
const REFUSED =
  /no tensor|more than|more often|more of its|does more|nests|deeper|larger than|longer than|no name|is none|ends in the middle|no counts|is no |overflows|not read|takes .* empty|none of the \d+ families|has \d+ bytes/;

const CASES: Readonly<Record<string, Hostile['files']>> = {
  'empty dictionaries': pkl('](', '}'.repeat(8 * M), 'e'),
  'empty lists': pkl('](', ']'.repeat(20 * M), 'e'),
  'empty lists that stay on the stack': pkl(']'.repeat(20 * M)),
  'nothing, very often': pkl('](', 'N'.repeat(30 * M), 'e'),
  'nothing, thrown away each time': pkl('N0'.repeat(21 * M), 'N'),
  'copies of the top of the stack': pkl('N', '2'.repeat(30 * M)),
  marks: pkl('('.repeat(5 * M)),
  'stacks under marks': pkl('(', `${'N'.repeat(1000)}(`.repeat(40_000)),
  'tuples in tuples': pkl(')', '\x85'.repeat(10 * M)),
  'lists in lists': pkl(']'.repeat(3 * M), 'a'.repeat(3 * M - 1)),
  'dictionaries in dictionaries': pkl(`}${unicode('a')}`.repeat(300_000), 'N', 's'.repeat(300_000)),
  'everything remembered': pkl('N', Array.from({ length: M }, (_, i) => `r${u32(i * 7)}`).join('')),
  'places of the memo that are far away': pkl('N', Array.from({ length: M / 4 }, (_, i) => `r${u32(0xffffffff - i * 16001)}`).join('')),
  'numbers of many digits': pkl(`\x8b${u32(32 * M)}`, new Uint8Array(32 * M).fill(1)),
  'many numbers of many digits': pkl('](', `\x8b${u32(4000)}${'\x01'.repeat(4000)}`.repeat(3000), 'e'),
  'a decimal number of many digits': pkl(`L${'9'.repeat(8 * M)}L\n`),
  texts: pkl('](', unicode('a'.repeat(60_000)).repeat(2000), 'e'),
  'one text of 100 MB': pkl(unicode('a'.repeat(100 * M))),
  'a line without an end': pkl('V', 'a'.repeat(100 * M)),
  'names of functions': pkl('](', Array.from({ length: M / 2 }, (_, i) => `ca${i}\nb\n`).join(''), 'e'),
  'records of unknown classes': pkl('](', 'ca\nb\nq\x00', 'h\x00)R'.repeat(2 * M), 'e'),
  'copies of a long list': pkl('](', 'N'.repeat(M), 'eq\x00c__builtin__\nlist\nq\x01', 'h\x01h\x00\x85R'.repeat(100_000)),
  'dictionaries made of a long list': pkl('](', 'N'.repeat(M), 'eq\x00ccollections\nOrderedDict\nq\x01', 'h\x01h\x00\x85R'.repeat(100_000)),
  'objects that share a long state': pth(`}(${entries(50_000, 'N')}uq\x00](${`ca\nb\n)\x81h\x00b`.repeat(60_000)}e`),
  'objects that share long arguments': pth(`](${'N'.repeat(M)}tq\x00](${`ca\nb\nh\x00R`.repeat(60_000)}e`),
  'objects that share a long state with a tensor': pth(`}(${entries(50_000, 'N')}${unicode('t')}${TENSOR}uq\x00](${`ca\nb\n)\x81h\x00b`.repeat(20_000)}e`),
  'a wide list with one tensor, shared': pth(`](${TENSOR}${'N'.repeat(M)}eq\x00}(${entries(20_000, 'h\x00')}u`),
  'lists that double': pth(
    `](${TENSOR}eq\x00${Array.from({ length: 40 }, (_, i) => `](h${String.fromCharCode(i)}h${String.fromCharCode(i)}eq${String.fromCharCode(i + 1)}`).join('')}`,
  ),
  'long names that double': pth(
    `}${unicode('a'.repeat(60_000))}${TENSOR}sq\x00${Array.from({ length: 16 }, (_, i) => `}(${unicode('b'.repeat(60_000))}h${String.fromCharCode(i)}${unicode('c')}h${String.fromCharCode(i)}uq${String.fromCharCode(i + 1)}`).join('')}`,
  ),
  'a list that holds itself': pth(`]q\x00(h\x00${TENSOR}h\x00e`.repeat(1)),
  'tensors, one storage': pth(`](${TENSOR}q\x00${'h\x00'.repeat(3 * M)}e`),
  'shapes of many sizes': pkl(`](${'K\x01'.repeat(100_000)}tq\x00](`, `ctorch._utils\n_rebuild_tensor_v2\n(NK\x00h\x00h\x00\x89}tR`.repeat(10_000), 'e'),
  'arrays of giant shapes': pkl(
    'cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR(K\x01(J\xff\xff\xff\x7fJ\xff\xff\xff\x7ftcnumpy\ndtype\n(U\x02f4K\x00K\x01tR(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x04abcdtb',
  ),
  'PyTorch files inside': pkl('](ctorch.storage\n_load_from_bytes\nq\x00', `h\x00${unicode('')}\x85R`.repeat(500_000), 'e'),
  'a class called with itself': pkl('ca\nb\nq\x00)R', 'q\x01)Rq\x01'.repeat(2 * M)),
};

it.each(Object.entries(CASES))('%s', (name, files) => {
  const { status, stderr, left, seconds, cpuSeconds, memoryMB } = runHostile(folder, name, { files, says: REFUSED });
  rmSync(folder, { recursive: true, force: true });
  expect(stderr).toMatch(/^error {2}/m);
  expect(stderr).toMatch(REFUSED);
  expect(stderr).not.toMatch(/^\s+at /m);
  expect(stderr.length).toBeLessThan(12_000);
  expect({ status, left }).toEqual({ status: 2, left: [] });
  expect(memoryMB, 'MB').toBeLessThan(MAX_MEMORY_MB);
  expectCpuSeconds(cpuSeconds, MAX_CPU_SECONDS);
  expect(seconds).toBeLessThan(MAX_SECONDS);
});
