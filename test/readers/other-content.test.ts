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
  ['x.h5', text('/annex/objects/SHA256E-s123--abc.h5\n'), /kept elsewhere/],
  ['x.h5', text(`../../blobs/${'0a'.repeat(32)}`), /kept elsewhere.*copy what the link leads to/],
  ['x.h5.dvc', text('outs:\n- md5: abc\n  path: x.h5\n'), /dvc pull/],
  ['x.json', bytes(0xff, 0xfe, ...[...'{"class_name"'].flatMap((letter) => [letter, 0])), /UTF-16.*UTF-8/],
  ['x.pth', bytes(0xfe, 0xff, ...[...'<!DOCTYPE html>'].flatMap((letter) => [0, letter])), /UTF-16/],
  ['x.h5', bytes(0x89, 'HDF\n', 0x1a, '\n', 0, 0), /line ends were changed.*as binary/],
  ['x.pth', bytes('HTTP/1.1 200 OK\r\n\r\nPK', 3, 4, 'archive/data.pkl'), /the first 19 bytes do not belong.*zip archive/],
  ['x.pth', bytes('\r\n', 0x80, 2, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20), /the first 2 bytes do not belong.*PyTorch/],
  ['x.pth', text(`UEsDBAAACAgAAAAAAAA${'A'.repeat(60)}`), /base64/],
  ['x.zip.001', bytes('PK', 7, 8, 1, 2, 3), /ends in \.001.*join it/],
  ['model.bin.part2', bytes(1, 2, 3, 4), /ends in \.part2.*join it/],
  // Other tools.
  ['x.circle', bytes(0x1c, 0, 0, 0, 'CIR0', 0), /Circle/],
  ['x.cfg', text('# a comment\n\n[net]\nbatch=1\n'), /Darknet/],
  ['init_net.pb', bytes('\n', 3, 'net', 0x12, 32, 0x12, 7, 'conv1_w"', 15, 'GivenTensorFill*', 1, 0x0a), /Caffe2.*caffe2\.python\.onnx/],
  ['predict_net.pb', bytes(0x12, 20, '\n', 4, 'data', 0x12, 2, 'c1"', 4, 'Conv*', 1, 0x0a), /Caffe2/],
  ['x.ckpt', bytes('\n', 24, '\n', 12, 'conv1.weight', 0x12, 8, 8, 2), /MindSpore/],
  ['x.solverstate', bytes(8, 100, 0x12, 12, 'x.caffemodel', 0x1a, 4), /Caffe solver state/],
  ['solver.prototxt', text('# how\nnet: "x.prototxt"\nbase_lr: 0.01\n'), /Caffe solver/],
  ['keras_metadata.pb', Uint8Array.of(0x0a, 2, 8, 1), /note beside a SavedModel/],
  ['labels.pbtxt', text('item {\n  id: 1\n}\n'), /class names/],
  ['inference.json', text('{"base_code":{"magic":"pir"},"program":{}}'), /Paddle/],
  ['adapter_config.json', text('{"base_model_name_or_path":"x","peft_type":"LORA"}'), /adapter/],
  ['config.json', text('{"architectures":["ResNetForImageClassification"],"model_type":"resnet"}'), /configuration of Hugging Face/],
  ['x.xml', text('<?xml version="1.0"?>\n<!-- a -->\n<opencv_storage>'), /OpenCV/],
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
  ['vgg_16.ckpt', bytes(0, 0, 0xd2, 7, 0x0a, 0xcf, 7), /checkpoint of the first version.*interrupted/],
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
  ['x.pt2', zipSync({ 'x/data/aotinductor/model/c.wrapper.so': text('ELF'), 'x/archive_format': text('pt2') }, { level: 0 }), /AOTInductor compiled/],
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

describe('a file whose bytes went through a program that took them for text', () => {
  const keeper = new TensorKeeper();
  const layers = [...tinyVgg()].map(([name, weights]) => [name, keeper.tensor({ ...weights, values: weights.values.map((_, i) => Math.sin(i)) })] as const);
  const whole = keeper.pth(new Map(layers));
  const legacy = keeper.legacy(new Map(layers));

  it.each([
    ['what is no UTF-8 became U+FFFD', new TextEncoder().encode(new TextDecoder().decode(whole)), /no UTF-8 became U\+FFFD.*as binary/],
    ['Latin-1 became UTF-8', new TextEncoder().encode(String.fromCharCode(...whole)), /each from 128 on became two/],
    ['line ends became two bytes', Uint8Array.from([...legacy].flatMap((byte) => (byte === 10 ? [13, 10] : [byte]))), /line ends were changed/],
  ])('%s', async (_, content, says) => {
    await expect(openModel(memoryFileSet({ 'x.pth': content }, 'x.pth'))).rejects.toMatchObject({ message: expect.stringMatching(says) });
  });
});

describe('a format that the caller names, where the content', () => {
  const keeper = new TensorKeeper();
  const whole = keeper.pth(new Map([['a.weight', keeper.filled([2], 1)]]));

  it.each(['onnx', 'keras-h5', 'keras-v3', 'caffe', 'tfjs', 'tensorflow', 'tflite', 'npz', 'safetensors'])('is another, is told from it: %s', async (from) => {
    await expect(openModel(memoryFileSet({ 'x.pth': whole }, 'x.pth'), { from })).rejects.toMatchObject({
      kind: 'usage',
      message: expect.stringMatching(/its content is PyTorch, and cannot be read as .*say --from pytorch/),
    });
  });

  it('is none that is read, is called by its name', async () => {
    await expect(openModel(memoryFileSet({ x: bytes('GGUF', 3, 0, 0, 0, 1, 2, 3) }, 'x'), { from: 'safetensors' })).rejects.toMatchObject({
      message: expect.stringMatching(/--from safetensors.*GGUF/),
    });
  });

  it('is that one and damaged, has the error of its reader', async () => {
    await expect(openModel(memoryFileSet({ 'x.pth': whole.subarray(0, 200) }, 'x.pth'), { from: 'pytorch' })).rejects.toMatchObject({ kind: 'malformed' });
  });
});

it.each([
  [['.metadata', '__0_0.distcp'], /distributed checkpoint/],
  [['Manifest.json'], /Core ML/],
  [['model.ckpt.index', 'model.ckpt.data-00000-of-00001'], /TensorFlow checkpoint/],
  [['mp_rank_00_model_states.pt', 'zero_pp_rank_0_mp_rank_00_optim_states.pt'], /DeepSpeed/],
  [['model.mil', 'coremldata.bin'], /Core ML/],
  [['_CHECKPOINT_METADATA', 'manifest.ocdbt'], /Orbax/],
  [['.zgroup'], /Zarr/],
  [['saved_model.pbtxt'], /SavedModel as text/],
  [['variables/variables.index', 'variables/variables.data-00000-of-00001'], /saved_model\.pb.*missing/],
  [['adapter_config.json'], /adapter/],
  [['inference.json', 'inference.pdiparams'], /Paddle/],
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
    '# a\n \n'.repeat(600),
    '\n\n# '.repeat(700),
    '../'.repeat(1200),
  ]) {
    await openModel(memoryFileSet({ x: bytes(content) }, 'x')).catch(() => {});
  }
  expect(performance.now() - startedAt).toBeLessThan(5000);
});
