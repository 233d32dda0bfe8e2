/**
 * Hostile and broken files, given to the command as a user would: one clear error, exit code 2, within seconds and in little memory,
 * nothing executed and nothing left behind.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { zipSync } from 'fflate';
import { expect, it } from 'vitest';
import { DIGITS, ROOT, temporaryFolder } from './run-cli.js';
import { type Hostile, MAX_MEMORY_MB, MAX_SECONDS, runHostile } from './run-hostile.js';

const folder = temporaryFolder();
const run = (name: string, hostile: Hostile) => runHostile(folder, name, hostile);

const text = (characters: string) => new TextEncoder().encode(characters);
const latin1 = (characters: string) => Uint8Array.from(characters, (character) => character.charCodeAt(0));
const digits = (name: string) => new Uint8Array(readFileSync(join(DIGITS, name)));
const half = (name: string) => digits(name).subarray(0, Math.floor(digits(name).byteLength / 2));

/** A PyTorch zip around a pickle. */
function pth(pickle: string, members: Record<string, Uint8Array> = {}, level: 0 | 9 = 0): Uint8Array {
  return zipSync({ 'archive/data.pkl': latin1(pickle), 'archive/version': text('3\n'), ...members }, { level });
}

const unicode = (word: string) => `X${String.fromCharCode(word.length, 0, 0, 0)}${word}`;
/** torch._utils._rebuild_tensor_v2(storage of one float, offset 0, shape, strides, ...). */
const tensor = (shape = 'K\x01\x85', strides = 'K\x01\x85') =>
  `ctorch._utils\n_rebuild_tensor_v2\n((${unicode('storage')}ctorch\nFloatStorage\n${unicode('0')}${unicode('cpu')}K\x01tQK\x00${shape}${strides}\x89ccollections\nOrderedDict\n)RtR`;
const ONE_FLOAT = { 'archive/data/0': new Uint8Array(4) };
/** `levels` containers, each holding the one before it twice: 2^levels paths in a few hundred bytes. */
const doubled = (first: string, levels: number, twice: (level: number) => string) =>
  `\x80\x02${first}q\x00${Array.from({ length: levels }, (_, level) => `${twice(level)}q${String.fromCharCode(level + 1)}`).join('')}.`;
const doubledTuples = (level: number) => `h${String.fromCharCode(level)}h${String.fromCharCode(level)}\x86`;
const doubledDictionaries = (level: number) => `}(${unicode('a')}h${String.fromCharCode(level)}${unicode('b')}h${String.fromCharCode(level)}u`;

const varint = (value: bigint): number[] => (value < 128n ? [Number(value)] : [Number(value & 127n) | 128, ...varint(value >> 7n)]);
const field = (number: number, bytes: Iterable<number>): number[] => {
  const content = [...bytes];
  return [...varint(BigInt((number << 3) | 2)), ...varint(BigInt(content.length)), ...content];
};
const caffemodel = (dims: readonly bigint[], values: number) =>
  Uint8Array.from([
    ...field(1, text('x')),
    ...field(100, [
      ...field(1, text('c')),
      ...field(2, text('Convolution')),
      ...field(3, text('data')),
      ...field(4, text('c')),
      ...field(7, [...field(7, field(1, dims.flatMap(varint))), ...field(5, new Uint8Array(4 * values))]),
    ]),
  ]);
const prototxt = (settings: string) =>
  text(
    `input: "data" input_shape { dim: 1 dim: 3 dim: 8 dim: 8 }\nlayer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param { bias_term: false ${settings} } }\n`,
  );
const safetensors = (header: string) => Uint8Array.from([...new Uint8Array(BigUint64Array.of(BigInt(header.length)).buffer), ...text(header), 0, 0, 0, 0]);

const marker = join(folder, 'EXECUTED');
const command = `touch ${marker}`;
const shell = `cposix\nsystem\n${unicode(command)}\x85R.`;

/** By what is wrong; the first file is the model. */
const CASES: Readonly<Record<string, Hostile>> = {
  'an empty file': { files: { 'x.pth': new Uint8Array() }, says: /empty/ },
  'text called HDF5': { files: { 'x.h5': text('hello world\n'.repeat(1000)) }, says: /no format known/ },
  'a web page': { files: { 'x.pth': text('<!doctype html><title>Sign in</title>') }, says: /web page/ },
  'a Git LFS pointer': { files: { 'x.pth': text('version https://git-lfs.github.com/spec/v1\noid sha256:0\n') }, says: /git lfs pull/ },
  'half of a PyTorch file': { files: { 'x.pth': half('digits.pth') }, says: /truncated/ },
  'half of a Keras file': { files: { 'x.h5': half('digits.h5') }, says: /truncated/ },
  'half of a Caffe file': { files: { 'x.caffemodel': half('digits.caffemodel') }, says: /truncated/ },
  'a format name that does not fit': { files: { 'x.pth': digits('digits.h5') }, says: /./, flags: ['--from', 'pytorch'] },
  'a caffemodel without its prototxt': { files: { 'x.caffemodel': digits('digits.caffemodel') }, says: /--prototxt/ },
  'a prototxt of another net': { files: { 'x.caffemodel': digits('digits.caffemodel'), 'x.prototxt': prototxt('num_output: 4 kernel_size: 3') }, says: /"c"/ },
  'an unknown Caffe layer': {
    files: {
      'x.caffemodel': caffemodel([4n, 3n, 3n, 3n], 108),
      'x.prototxt': text('input: "data" input_shape { dim: 1 dim: 3 dim: 8 dim: 8 }\nlayer { name: "odd" type: "Teleport" bottom: "data" top: "odd" }\n'),
    },
    says: /"odd".*Teleport/,
  },
  'an unsafe pickle in a zip': { files: { 'x.pth': pth(`\x80\x02${shell}`) }, says: /posix\.system.*nothing was executed/ },
  'an unsafe pickle, legacy': {
    files: { 'x.pth': latin1(`\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.\x80\x02${shell}`) },
    says: /posix\.system.*nothing was executed/,
  },
  'tuples that double': { files: { 'x.pth': pth(doubled(']', 200, doubledTuples)) }, says: /no tensor/ },
  'dictionaries that double': { files: { 'x.pth': pth(doubled('}', 200, doubledDictionaries)) }, says: /no tensor/ },
  'dictionaries that double around a tensor': {
    files: { 'x.pth': pth(doubled(`}${unicode('a')}${tensor()}s`, 60, doubledDictionaries), ONE_FLOAT) },
    says: /more than \d+ tensors/,
  },
  'dictionaries 20,000 deep': {
    files: { 'x.pth': pth(`\x80\x02${`}${unicode('a')}`.repeat(20_000)}${tensor()}${'s'.repeat(20_000)}.`, ONE_FLOAT) },
    says: /deeper/,
  },
  'tuples 200,000 deep': { files: { 'x.pth': pth(`\x80\x02)${'\x85'.repeat(200_000)}.`) }, says: /no tensor/ },
  'a string that claims two gigabytes': { files: { 'x.pth': pth('\x80\x02X\xff\xff\xff\x7fabc.') }, says: /ends in the middle/ },
  'a tensor whose shape overflows': {
    files: { 'x.pth': pth(`\x80\x02}${unicode('a')}${tensor('(J\xff\xff\xff\x7fJ\xff\xff\xff\x7fJ\xff\xff\xff\x7ft', '(K\x00K\x00K\x00t')}s.`, ONE_FLOAT) },
    says: /overflows/,
  },
  'a view that repeats one value into 256 TiB': {
    files: { 'x.pth': pth(`\x80\x02}${unicode('a')}${tensor('(J\x00\x00\x00\x40J\x00\x00\x01\x00t', '(K\x00K\x00t')}s.`, ONE_FLOAT) },
    says: /stored/,
    flags: ['--to', 'safetensors'],
  },
  'a zip bomb': { files: { 'x.pth': pth(`\x80\x02}${unicode('a')}${tensor()}s.`, { 'archive/data/0': new Uint8Array(2 ** 27) }, 9) }, says: /inflate/ },
  'a prototxt nested 100,000 deep': {
    files: { 'x.caffemodel': caffemodel([4n, 3n, 3n, 3n], 108), 'x.prototxt': text(`name: "x"\nlayer {${' a {'.repeat(100_000)}${'}'.repeat(100_000)}}\n`) },
    says: /deeper/,
  },
  'a prototxt with a string of 3 MB': {
    files: { 'x.caffemodel': caffemodel([4n, 3n, 3n, 3n], 108), 'x.prototxt': text(`layer { name: "${'a'.repeat(3_000_000)}" }`) },
    says: /no type/,
  },
  'a prototxt of 60,000 layers': {
    files: { 'x.caffemodel': caffemodel([4n, 3n, 3n, 3n], 108), 'x.prototxt': text('layer { name: "a" type: "ReLU" bottom: "a" top: "a" }\n'.repeat(60_000)) },
    says: /more than any net/,
  },
  'a convolution with two thousand million outputs': {
    files: { 'x.caffemodel': caffemodel([4n, 3n, 3n, 3n], 108), 'x.prototxt': prototxt('num_output: 2147483647 kernel_size: 3') },
    says: /2147483647/,
  },
  'a convolution padded by two thousand million': {
    files: { 'x.caffemodel': caffemodel([4n, 3n, 3n, 3n], 108), 'x.prototxt': prototxt('num_output: 4 kernel_size: 3 pad: 2000000000') },
    says: /more values than a blob/,
  },
  'a blob whose shape overflows': { files: { 'x.caffemodel': caffemodel([2n ** 40n, 2n ** 40n], 1) }, says: /overflows/ },
  'a blob of negative size': { files: { 'x.caffemodel': caffemodel([2n ** 64n - 1n, 2n ** 64n - 1n], 1) }, says: /no count/ },
  'a safetensors shape that overflows': {
    files: { 'x.safetensors': safetensors(JSON.stringify({ a: { dtype: 'F32', shape: [2 ** 40, 2 ** 40], data_offsets: [0, 4] } })) },
    says: /data_offsets/,
  },
};

it.each(Object.entries(CASES))('%s is refused', (name, hostile) => {
  const { status, stderr, left, seconds, memoryMB } = run(name, hostile);
  expect(stderr).toMatch(/^error {2}/m);
  expect(stderr).toMatch(hostile.says);
  expect(stderr).not.toMatch(/^\s+at /m);
  expect(stderr.length).toBeLessThan(12_000);
  expect({ status, left, executed: existsSync(marker) }).toEqual({ status: 2, left: [], executed: false });
  expect(seconds).toBeLessThan(MAX_SECONDS);
  expect(memoryMB).toBeGreaterThan(10);
  expect(memoryMB).toBeLessThan(MAX_MEMORY_MB);
});

it('recorded outputs of another net leave no file behind', () => {
  const files = { 'x.pth': digits('digits.pth') };
  const { status, stderr, left } = run('another golden', { files, says: /./, flags: ['--golden', join(DIGITS, 'keras.npz')] });
  expect({ status, left }).toEqual({ status: 2, left: [] });
  expect(stderr).toMatch(/keras\.npz.*\[20,16,16,1\]|shape/s);
});

it('an output that cannot be written is named, and the folder stays as it was', () => {
  const { status, stderr } = spawnSync(
    process.execPath,
    [join(ROOT, 'dist/cli/main.cjs'), 'convert', join(DIGITS, 'digits.pth'), '-o', join(folder, 'no-such-folder/x.onnx')],
    {
      encoding: 'utf8',
    },
  );
  expect(status).toBe(2);
  expect(stderr).toContain(basename(dirname(join(folder, 'no-such-folder/x.onnx'))));
});
