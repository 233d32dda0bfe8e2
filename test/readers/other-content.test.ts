/** What is no model is called by its name: failed downloads, formats of other tools, archives, pictures. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync, zipSync } from 'fflate';
import { describe, expect, it } from 'vitest';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { openModel } from '../../src/readers/open.js';
import { DIGITS } from '../cli/run-cli.js';
import { TensorKeeper, tinyVgg } from '../pickles.js';

const text = (characters: string) => new TextEncoder().encode(characters);
const bytes = (...parts: readonly (string | number)[]) =>
  Uint8Array.from(parts.flatMap((part) => (typeof part === 'string' ? [...part].map((character) => character.charCodeAt(0)) : [part])));
const LFS = text('version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n');
const i32 = (...values: number[]) => new Uint8Array(Int32Array.from(values).buffer);

/** File name, content, and what must be said. */
const CASES: readonly (readonly [name: string, content: Uint8Array, says: RegExp])[] = [
  // What a download left.
  ['x.pth', new Uint8Array(), /empty/],
  ['x.pth', LFS, /git lfs pull/],
  ['x.h5', text('\ufeff<!DOCTYPE html><html><head>'), /web page/],
  ['x.onnx', text('<!-- saved -- -->\n<!-- by -->\n <HTML lang="en">'), /web page/],
  ['x.pth', text('<?xml version="1.0"?><Error><Code>NoSuchKey</Code><Message>The key does not exist.</Message></Error>'), /server.*NoSuchKey/],
  ['x.pth', text('<Error><Code>AccessDenied</Code></Error>'), /server.*AccessDenied/],
  ['x.bin', text('Entry not found'), /server.*Entry not found/],
  ['x.bin', text('Repository not found'), /server/],
  ['x.bin', text('404: Not Found'), /server.*404/],
  ['x.bin', text('403 Forbidden\n'), /server/],
  ['x.bin', text('Invalid username or password.'), /server/],
  ['x.bin', text('Internal Server Error'), /server/],
  ['x.bin', text('upstream connect error'), /no format known/],
  ['x.pt', text('{"message":"Not Found","documentation_url":"https://docs"}'), /server.*Not Found/],
  ['x.pt', text('{"error": "Sorry, you can\'t view or download this file at this time."}'), /server/],
  ['x.pt', new Uint8Array(20_000), /zeros/],
  ['x.pth.part', bytes('nothing that is known'), /ends in \.part: the download/],
  ['Unconfirmed 1234.crdownload', bytes('nothing that is known'), /\.crdownload: the download/],
  // Other tools.
  ['x.ort', bytes(0x28, 0, 0, 0, 'ORTM', 0), /ONNX Runtime/],
  ['x.pte', bytes(0x28, 0, 0, 0, 'ET12', 0), /ExecuTorch/],
  ['x.gguf', bytes('GGUF', 3, 0, 0, 0), /GGUF/],
  ['x.bin', bytes('tjgg', 3, 0, 0, 0), /GGML/],
  ['x-0000.params', bytes(0x12, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), /MXNet/],
  ['yolov3.weights', Uint8Array.from([...i32(0, 2, 0, 32013312, 0), 1, 2, 3]), /Darknet/],
  ['yolov3.cfg', text('[net]\nbatch=64\n'), /Darknet/],
  ['x.engine', bytes('ftrt', 0, 0, 0, 0), /TensorRT/],
  ['x.plan', bytes(1, 2, 3, 4), /TensorRT/],
  ['x.param', text('7767517\n75 83\nInput data 0 1 data\n'), /ncnn/],
  ['x.xml', text('<?xml version="1.0"?>\n<net name="x" version="11">'), /OpenVINO/],
  ['graph.nnef', text('version 1.0;\n\ngraph net( input ) -> ( output )\n{'), /NNEF/],
  ['x.dat', bytes('N', 0xef, 1, 0, 0, 0), /NNEF/],
  ['checkpoint', text('model_checkpoint_path: "model.ckpt-100"\n'), /TensorFlow checkpoint/],
  ['model.ckpt-100.index', bytes(0, 0, 1, 2), /TensorFlow checkpoint/],
  ['model.ckpt-100.data-00000-of-00001', bytes(1, 2, 3, 4), /TensorFlow checkpoint/],
  ['frozen.pb', bytes(0x0a, 0x2a, 0x0a, 5, 'input', 0x12, 11, 'Placeholder', '*'), /TensorFlow graph/],
  ['x.mlmodel', bytes(8, 4, 0x12, 0x2c, 0x0a, 0x10, 0x0a, 5, 'image'), /Core ML/],
  ['unnamed', bytes(8, 4, 0x12, 0x2c, 0x0a, 0x10, 0x0a, 5, 'image'), /Core ML/],
  ['x.pdiparams', bytes(0, 0, 0, 0, 1, 2), /Paddle/],
  ['x.msgpack', bytes(0x81, 0xa6, 'params', 0x82), /msgpack.*Flax/],
  ['__0_0.distcp', bytes(1, 2, 3, 4), /distributed checkpoint.*dcp_to_torch_save/],
  ['x.joblib', bytes(0x78, 0x9c, 1, 2), /joblib/],
  ['x.rds', bytes('X\n', 0, 0, 0, 3), /data file of R/],
  ['x.mat', bytes('MATLAB 5.0 MAT-file, Platform'), /MATLAB/],
  ['x.t7', i32(4, 1, 3), /Torch7/],
  ['x.mnn', bytes(0x30, 0, 0, 0), /MNN/],
  ['x.rknn', bytes('RKNN', 0, 0, 0, 0), /compiled/],
  // Archives, pictures and the like.
  ['x.zip', zipSync({ 'a.txt': text('hello') }), /zip archive that holds no model/],
  ['x.gz', gzipSync(text('hello')), /gzip/],
  ['x.7z', bytes('7z', 0xbc, 0xaf, 0x27), /7-Zip/],
  ['x.rar', bytes('Rar!', 0x1a, 7, 0), /RAR/],
  ['x.xz', bytes(0xfd, '7zXZ', 0), /xz/],
  ['x.bz2', bytes('BZh91AY'), /bzip2/],
  ['x.zst', bytes(0x28, 0xb5, 0x2f, 0xfd, 4), /Zstandard/],
  ['x.pth', bytes(0x89, 'PNG\r\n', 0x1a, '\n'), /picture/],
  ['x.pth', bytes(0xff, 0xd8, 0xff, 0xe0, 0, 0x10, 'JFIF'), /picture/],
  ['x.pth', bytes('RIFF', 1, 2, 3, 0, 'WEBPVP8 '), /picture/],
  ['x.pth', bytes('%PDF-1.7\n'), /PDF/],
  ['x.pth', bytes(0x7f, 'ELF', 2, 1), /program/],
];

it.each(CASES)('%s: %s', async (name, content, says) => {
  await expect(openModel(memoryFileSet({ [name]: content }, name))).rejects.toMatchObject({ message: expect.stringMatching(says), name: 'ModelError' });
});

describe('beside a model', () => {
  it.each([
    ['a Git LFS pointer', LFS, /git lfs pull/],
    ['a web page', text('<html><body>Sign in</body></html>'), /web page/],
    ['an error of a server', text('<Error><Code>AccessDenied</Code></Error>'), /server/],
  ])('%s in the place of a shard is called what it is', async (_, content, says) => {
    const index = text(JSON.stringify({ weight_map: { a: 'model-1.safetensors' } }));
    const files = { 'model.safetensors.index.json': index, 'model-1.safetensors': content };
    await expect(openModel(memoryFileSet(files, 'model.safetensors.index.json'))).rejects.toMatchObject({
      message: expect.stringMatching(says),
      place: { file: 'model-1.safetensors' },
    });
  });

  it('a prototxt that is a pointer is called what it is', async () => {
    const files = { 'x.prototxt': LFS, 'x.caffemodel': new Uint8Array(readFileSync(join(DIGITS, 'digits.caffemodel'))) };
    await expect(openModel(memoryFileSet(files, 'x.caffemodel'), { prototxt: 'x.prototxt' })).rejects.toMatchObject({
      message: expect.stringMatching(/git lfs pull/),
    });
  });
});

describe('a download that has not come to its end', () => {
  const keeper = new TensorKeeper();
  const whole = keeper.pth(new Map([...tinyVgg()].map(([name, weights]) => [name, keeper.tensor({ ...weights, values: weights.values })])));

  it('says so where the rest is zero', async () => {
    const cut = new Uint8Array(whole.length + 20_000);
    cut.set(whole.subarray(0, whole.length - 500));
    await expect(openModel(memoryFileSet({ 'x.pth': cut }, 'x.pth'))).rejects.toMatchObject({
      message: expect.stringMatching(/zero.*not downloaded to its end/),
    });
  });

  it('says so by its name', async () => {
    await expect(openModel(memoryFileSet({ 'x.pth.crdownload': whole.subarray(0, 3000) }, 'x.pth.crdownload'))).rejects.toMatchObject({
      message: expect.stringMatching(/truncated.*\.crdownload/s),
    });
  });

  it('is no matter where the file is whole', async () => {
    expect((await openModel(memoryFileSet({ 'x.pth.part': whole }, 'x.pth.part'))).tensors.length).toBe(10);
  });
});

it.each([
  [['.metadata', '__0_0.distcp'], /distributed checkpoint/],
  [['Manifest.json'], /Core ML/],
  [['model.ckpt.index', 'model.ckpt.data-00000-of-00001'], /TensorFlow checkpoint/],
  [['mp_rank_00_model_states.pt', 'zero_pp_rank_0_mp_rank_00_optim_states.pt'], /DeepSpeed/],
  [['README.md'], /Name the model file itself/],
])('a folder with %s is called what it is', async (names, says) => {
  const files = Object.fromEntries(names.map((name) => [name, bytes(1, 2, 3)]));
  await expect(openModel(memoryFileSet(files, null))).rejects.toMatchObject({ kind: 'unknown-format', message: expect.stringMatching(says) });
});

it('signs take no long time over what is made to be looked at for ever', async () => {
  const startedAt = performance.now();
  for (const content of [
    '<!-- --><!--'.repeat(400),
    '<?xml >'.repeat(600),
    `{${'"a":'.repeat(1000)}`,
    '-->'.repeat(1000),
    '\n'.repeat(5000),
    '\x12feed'.repeat(500),
    '404 '.repeat(900),
  ]) {
    await openModel(memoryFileSet({ x: bytes(content) }, 'x')).catch(() => {});
  }
  expect(performance.now() - startedAt).toBeLessThan(5000);
});
