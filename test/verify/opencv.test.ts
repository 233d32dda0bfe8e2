import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { concatBytes } from '../../src/bytes/byte-sink.js';
import { type ByteSource, filledSource } from '../../src/bytes/byte-source.js';
import { type FileSet, memoryFileSet } from '../../src/bytes/file-set.js';
import { MessageBuilder } from '../../src/containers/protobuf-writer.js';
import { ModelError } from '../../src/errors.js';
import type { NdArray, Session } from '../../src/verify/engine.js';
import { opencv } from '../../src/verify/engines/opencv.js';
import { caffeWiring } from '../../src/verify/engines/opencv-prototxt.js';
import { blobOf, caffeNet, numbers } from '../caffe-net.js';
import { CORPUS, corpusCases, corpusTitle, hasCorpus, readNpyFile } from '../corpus.js';
import { openedFiles } from '../open-files.js';

const text = (value: string) => new TextEncoder().encode(value);

/** Largest difference, relative to the largest expected value. */
function difference(found: NdArray, expected: NdArray): number {
  expect(found.shape).toEqual(expected.shape);
  const values = expected.data as Float32Array;
  const scale = values.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
  return values.reduce((max, value, i) => Math.max(max, Math.abs(value - (found.data[i] as number))), 0) / scale;
}

async function openCase(folder: string, model: string, prototxt?: string): Promise<Session> {
  return opencv.open({ files: await openedFiles(join(folder, model)), prototxt });
}

describe('what the prototxt says', () => {
  test('inputs, outputs by blob and by the layer that makes them last', () => {
    const wiring = caffeWiring(
      `name: "n" # a comment with "quotes" and {
       input: "data" input_shape { dim: 1 dim: 3 dim: 8 dim: 8 }
       layer { name: "a" type: "Convolution" bottom: "data" top: "x" convolution_param < num_output: 2 kernel_size: [1, 1] > }
       layer { name: "r" type: "ReLU" bottom: "x" top: "x" }
       layer { name: 'b' type: "Softmax" bottom: "x" top: "y" }
       layer { name: "s" type: "Softmax" bottom: "x" top: "prob" }`,
      'net.prototxt',
    );
    expect(wiring.inputs).toEqual([{ name: 'data', shape: [1, 3, 8, 8] }]);
    expect(wiring.outputs).toEqual([
      { name: 'y', layer: 'b' },
      { name: 'prob', layer: 's' },
    ]);
  });

  test('a local response normalisation whose k OpenCV would take for 1 is declined', () => {
    const net = (k: string) => `input: "x" layer { name: "n" type: "LRN" bottom: "x" top: "y" lrn_param { local_size: 5 ${k} } }`;
    expect(() => caffeWiring(net('k: 2.0'), 'net.prototxt')).toThrow(/k of local response/);
    for (const k of ['', 'k: 1']) expect(caffeWiring(net(k), 'net.prototxt').outputs).toHaveLength(1);
  });

  test('an in-place layer at the end makes the output', () => {
    const wiring = caffeWiring(
      `layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 5 } } }
       layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" }
       layer { name: "r" type: "ReLU" bottom: "ip" top: "ip" }`,
      'net.prototxt',
    );
    expect(wiring.inputs).toEqual([{ name: 'data', shape: [2, 5] }]);
    expect(wiring.outputs).toEqual([{ name: 'ip', layer: 'r' }]);
  });

  test('layers of the TRAIN phase are cut out, those of TEST stay', () => {
    const wiring = caffeWiring(
      `input: "data" input_dim: 1 input_dim: 1 input_dim: 2 input_dim: 2
       layer { name: "a" type: "ReLU" bottom: "data" top: "a" include { phase: TEST } }
       layer { name: "l" type: "EuclideanLoss" bottom: "a" bottom: "t" top: "loss" include: { phase: TRAIN } }
       layer { name: "e" type: "ReLU" bottom: "a" top: "e" exclude { phase: TEST } }`,
      'net.prototxt',
    );
    expect(wiring.text).not.toContain('EuclideanLoss');
    expect(wiring.text).not.toContain('"e"');
    expect(wiring.text).toContain('phase: TEST');
    expect(wiring.outputs).toEqual([{ name: 'a', layer: 'a' }]);
  });

  test.each([
    ['a network that reads a data set', 'layer { name: "d" type: "Data" top: "data" top: "label" }'],
    ['an old one that does', 'layers { name: "d" type: IMAGE_DATA top: "data" top: "label" }'],
    ['a text that ends early', 'input: "data" layer { name: "a"'],
    ['a text that is none', '\u0000\u0001{{{'],
    ['no outputs', 'input: "data"'],
    ['two layers of one name', 'input: "d" layer { name: "a" type: "ReLU" bottom: "d" top: "x" } layer { name: "a" type: "ReLU" bottom: "x" top: "y" }'],
    ['an output that is the second of its layer', 'input: "d" layer { name: "s" type: "Slice" bottom: "d" top: "x" top: "y" }'],
    ['endless nesting', 'a {'.repeat(1e5)],
  ])('%s is declined', (_, prototxt) => {
    expect(() => caffeWiring(prototxt, 'net.prototxt')).toThrowError(expect.objectContaining({ kind: 'engine' }));
  });
});

test('it says its version', async () => {
  expect(await opencv.availability()).toEqual({ available: true, detail: expect.stringMatching(/^OpenCV 4\.3\.0 /) });
});

test('loading it leaves no hooks on the process and does not replace the console', async () => {
  const { log, warn } = console;
  const hooks = () => ['uncaughtException', 'unhandledRejection'].map((hook) => process.listenerCount(hook));
  const before = hooks();
  await opencv.availability();
  expect(hooks()).toEqual(before);
  expect([console.log, console.warn]).toEqual([log, warn]);
});

describe(`networks with outputs that Caffe users recorded${corpusTitle}`, () => {
  /** Pooling that rounds up (cifar10), V1 layers and files, TRAIN-phase layers (waifu2x), in-place layers, batches other than the prototxt's. */
  const cases = corpusCases((entry) => entry.format === 'caffe' && entry.kind === 'net' && entry.prototxt !== null && !entry.model.endsWith('.h5'));

  test.skipIf(!hasCorpus)('there are five of them', () => {
    const names = ['caffe-cifar10-quick-v1', 'caffe-lenet', 'caffe-lenet-small', 'caffe-ultraface-rfb320', 'caffe-waifu2x-y'];
    expect(cases.map((entry) => entry.case)).toEqual(names);
  });

  test.each(cases)('$case gives what was recorded', async (entry) => {
    const session = await openCase(entry.folder, entry.model, entry.prototxt!);
    const input = await readNpyFile(join(entry.folder, entry.inputs[0]!.file));
    expect(session.inputs.map(({ name, layout }) => ({ name, layout }))).toEqual([{ name: entry.inputs[0]!.name, layout: 'nchw' }]);
    const outputs = await session.run(new Map([[session.inputs[0]!.name, input]]));
    await session.close();
    expect([...outputs.keys()]).toEqual(entry.outputs.map(({ name }) => name));
    for (const { name, file } of entry.outputs) {
      expect(difference(outputs.get(name!)!, await readNpyFile(join(entry.folder, file)))).toBeLessThan(1e-5);
    }
  });

  test.skipIf(!hasCorpus)('weights that do not fit the prototxt are an engine error, and the next network still runs', async () => {
    const folder = join(CORPUS, 'caffe-lenet-mismatch');
    const input = { shape: [1, 1, 28, 28], data: new Float32Array(784).fill(0.5) };
    const run = async () => {
      const session = await openCase(folder, 'lenet_iter_10000.caffemodel', 'lenet.prototxt');
      return session.run(new Map([['data', input]]));
    };
    await expect(run()).rejects.toMatchObject({ kind: 'engine' });
    const session = await openCase(join(CORPUS, 'caffe-lenet'), 'lenet_iter_10000.caffemodel', 'lenet.prototxt');
    expect((await session.run(new Map([['data', input]]))).get('prob')!.shape).toEqual([1, 10]);
  });

  test.skipIf(!hasCorpus)('a truncated caffemodel is an engine error', async () => {
    await expect(openCase(join(CORPUS, 'caffe-truncated'), 'lenet_truncated.caffemodel', 'lenet_ip5.prototxt')).rejects.toMatchObject({ kind: 'engine' });
  });

  test.skipIf(!hasCorpus)('a caffemodel in HDF5, and one without a prototxt, are declined', async () => {
    const hdf5 = openCase(join(CORPUS, 'caffe-cifar10-full-hdf5'), 'cifar10_full_iter_100000.caffemodel.h5', 'cifar10_full.prototxt');
    await expect(hdf5).rejects.toMatchObject({ kind: 'engine', problem: expect.stringContaining('HDF5') });
    const alone = openCase(join(CORPUS, 'caffe-lenet-noproto'), 'lenet_iter_10000.caffemodel');
    await expect(alone).rejects.toMatchObject({ kind: 'engine', problem: expect.stringContaining('prototxt') });
  });
});

test('an unknown layer is an engine error that names its type', async () => {
  const prototxt = 'input: "data" input_dim: 1 input_dim: 1 input_dim: 2 input_dim: 2 layer { name: "w" type: "Warp" bottom: "data" top: "w" }';
  const files = memoryFileSet({ 'a.caffemodel': new Uint8Array(0), 'a.prototxt': text(prototxt) }, 'a.caffemodel');
  const run = async () => {
    const session = await opencv.open({ files, prototxt: 'a.prototxt' });
    return session.run(new Map([['data', { shape: [1, 1, 2, 2], data: new Float32Array(4) }]]));
  };
  await expect(run()).rejects.toMatchObject({ kind: 'engine', problem: expect.stringContaining('Warp') });
});

test('a blob of any rank and channel count arrives in order', async () => {
  const prototxt =
    'input: "data" input_shape { dim: 1 dim: 5 dim: 2 dim: 3 } layer { name: "p" type: "Power" bottom: "data" top: "p" power_param { scale: 2 } }';
  const files = memoryFileSet({ 'a.caffemodel': new Uint8Array(0), 'a.prototxt': text(prototxt) }, 'a.caffemodel');
  const session = await opencv.open({ files, prototxt: 'a.prototxt' });
  const data = Float32Array.from({ length: 60 }, (_, i) => i);
  const { shape, data: doubled } = (await session.run(new Map([['data', { shape: [2, 5, 2, 3], data }]]))).get('p')!;
  await session.close();
  expect(shape).toEqual([2, 5, 2, 3]);
  expect([...(doubled as Float32Array)]).toEqual([...data].map((value) => 2 * value));
});

test('a batch of another size than the first, behind a Slice, has all of its rows', async () => {
  const prototxt = `layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 4 dim: 2 dim: 2 } } }
    layer { name: "s" type: "Slice" bottom: "data" top: "a" top: "b" slice_param { axis: 1 slice_point: 3 } }
    layer { name: "c" type: "Concat" bottom: "b" bottom: "a" top: "c" concat_param { axis: 1 } }`;
  // A net that has a name and no weights.
  const files = memoryFileSet({ 'net.prototxt': text(prototxt), 'net.caffemodel': Uint8Array.of(10, 1, 110) }, 'net.caffemodel');
  const session = await opencv.open({ files, prototxt: 'net.prototxt' });
  try {
    for (const rows of [1, 3, 2]) {
      const data = Float32Array.from({ length: 16 * rows }, (_, i) => i);
      const made = (await session.run(new Map([['data', { shape: [rows, 4, 2, 2], data }]]))).get('c')!;
      expect(made.shape).toEqual([rows, 4, 2, 2]);
      expect(Array.from(made.data as Float32Array)).toEqual(Array.from(data, (_, i) => i + (i % 16 < 4 ? 12 : -4)));
    }
  } finally {
    await session.close();
  }
});

describe('a file that is read as OpenCV comes to it', () => {
  const SIDE = 600;
  const net = caffeNet({ data: [1, SIDE] }, [
    {
      name: 'fc',
      type: 'InnerProduct',
      bottoms: ['data'],
      tops: ['fc'],
      params: `inner_product_param { num_output: ${SIDE} }`,
      blobs: [blobOf(numbers(3), [SIDE, SIDE]), blobOf(numbers(4), [SIDE])],
    },
  ]);
  const feeds = new Map([['data', { shape: [1, SIDE], data: blobOf(numbers(5), [SIDE]).data }]]);

  async function bytesOf(name: string): Promise<Uint8Array> {
    const source = await net.open(name);
    return source.read(0, source.byteLength);
  }

  /** The net with another source for its weights. */
  const withWeights = (source: ByteSource): FileSet => ({ ...net, open: async (name) => (name === 'net.caffemodel' ? source : net.open(name)) });

  async function outputOf(files: FileSet): Promise<Float32Array> {
    const session = await opencv.open({ files, prototxt: 'net.prototxt' });
    try {
      return (await session.run(feeds)).get('fc')!.data as Float32Array;
    } finally {
      await session.close();
    }
  }

  // What is left of up to eight bytes Emscripten asks for one by one.
  test('gives, whatever is left of its last piece, what a file gives that is read whole', async () => {
    const weights = await bytesOf('net.caffemodel');
    expect(weights.byteLength).toBeGreaterThan(2 ** 20);
    const read = (start: number, target: Uint8Array) => target.set(weights.subarray(start, start + target.byteLength));
    const expected = await outputOf(withWeights(filledSource('net.caffemodel', weights.byteLength, read)));
    for (const rest of [0, 1, 8, 9, 4095]) {
      // A field that no reader knows, of four bytes and what it holds.
      const unknown = new MessageBuilder().bytes(1999, new Uint8Array(2 * 4096 - ((weights.byteLength + 4 - rest) % 4096)));
      const padded = concatBytes([...(unknown.pieces as Uint8Array[]), weights]);
      const model = memoryFileSet({ 'net.caffemodel': padded, 'net.prototxt': await bytesOf('net.prototxt') }, 'net.caffemodel');
      expect(padded.byteLength % 4096).toBe(rest);
      expect(await outputOf(model)).toEqual(expected);
    }
  });

  test('that cannot be read to its end is told by what kept it, and the next net still runs', async () => {
    const weights = await bytesOf('net.caffemodel');
    const source = filledSource('net.caffemodel', weights.byteLength, (start, target) => target.set(weights.subarray(start, start + target.byteLength)));
    const readIntoNow = (start: number, target: Uint8Array) => {
      if (start > 0) throw new ModelError('malformed', 'the file ends here', { file: 'net.caffemodel', offset: start });
      target.set(weights.subarray(start, start + target.byteLength));
    };
    await expect(outputOf(withWeights({ ...source, readIntoNow }))).rejects.toMatchObject({ kind: 'malformed', problem: 'the file ends here' });
    expect((await outputOf(net)).length).toBe(SIDE);
  });
});
