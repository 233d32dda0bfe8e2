/**
 * Keras, PyTorch and Caffe as targets: what is written has the weights of its source bit for bit, is read back as the same net, and
 * predicts in its own ecosystem's runtime, where JavaScript has one, what was recorded.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { unzipSync } from 'fflate';
import { type Dataset, Group, File as H5File, ready } from 'h5wasm/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { type ConvertOptions, convert } from '../../src/convert.js';
import type { LayerMap } from '../../src/model/layer-map.js';
import { tensorBytes } from '../../src/model/tensor.js';
import { openModel } from '../../src/readers/open.js';
import { toLayout } from '../../src/verify/array.js';
import type { NdArray } from '../../src/verify/engine.js';
import { opencv } from '../../src/verify/engines/opencv.js';
import { tfjsCpu } from '../../src/verify/engines/tfjs-cpu.js';
import { stateOf, withNumbers } from '../../src/writers/pytorch/module.js';
import { readNpyFile } from '../corpus.js';
import { ARCHITECTURE_CASES, DIALECT_CASES, openDialect } from '../dialects.js';
import { convertInMemory, runOnnx } from '../run-onnx.js';

const FIXTURES = fileURLToPath(new URL('../fixtures', import.meta.url));
/** Modules by hash as PyTorch ran them, with the largest error of their predictions. */
const WRITTEN = JSON.parse(readFileSync(join(FIXTURES, 'written/recorded.json'), 'utf8')) as {
  readonly cases: Readonly<Record<string, { readonly module: string; readonly error: number }>>;
};

/** Configurations by hash as Keras loaded them, with its order of their layers and the largest error of its predictions. */
const LOADED = JSON.parse(readFileSync(join(FIXTURES, 'written/recorded-keras.json'), 'utf8')) as {
  readonly cases: Readonly<Record<string, { readonly config: string; readonly layers: string; readonly error: number }>>;
};

/** One of each family. */
const FAMILIES = new Set(
  'alexnet convnext densenet efficientnet googlenet inception_v3 mnasnet mobilenet_v2 mobilenet_v3_large regnet_y resnet-basic resnext shufflenet_v2 squeezenet1_1'.split(
    ' ',
  ),
);

/** Nets of every kind: each dialect's own, and one of each family. */
const CASES = [
  ...DIALECT_CASES.filter(({ format }) => !format.startsWith('keras-')),
  ...ARCHITECTURE_CASES.filter(({ title }) => FAMILIES.has(title.replace('architectures/', ''))),
];

/** What a target declines, by the words that say so; a case that is not here is written. */
const DECLINED: Readonly<Record<string, RegExp>> = {
  'keras-h5': /free|batch|Keras has no such layer|has no translation to Keras|slice|reshape/,
  'keras-v3': /free|batch|Keras has no such layer|has no translation to Keras|slice|reshape/,
  caffe: /no rounding of Caffe|zeros around pictures|both sides|no translation|free size|different shapes|constant|Slice|flow in|over the axes|the batch/,
  // What the OpenCV that ships is known to compute otherwise.
  opencv: /OpenCV is no witness here: .*(local response)/,
  pytorch: /no translation|Resize/,
};

async function write(folder: string, to: string, name: string, more: ConvertOptions = {}) {
  const { files, options } = openDialect(folder);
  const sink = memorySink();
  const result = await convert(files, sink, name, { ...options, to, ...more });
  return { result, sink, files: memoryFileSet(Object.fromEntries(sink.files), name) };
}

/** The weights of a map by their values, for the counts of equal ones. */
async function weightBytes(map: LayerMap): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for (const tensor of new Set(map.layers.flatMap(({ weights }) => Object.values(weights)))) {
    const key = `${tensor.dtype} ${Buffer.from(await tensorBytes(tensor)).toString('base64')}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}

const sha256 = (bytes: Uint8Array | string) => createHash('sha256').update(bytes).digest('hex');

async function declinedOr<T>(to: string, work: () => Promise<T>): Promise<T | null> {
  try {
    return await work();
  } catch (error) {
    expect(String(error)).toMatch(DECLINED[to]!);
    return null;
  }
}

function expectClose(actual: { shape: readonly number[]; data: ArrayLike<number> }, expected: NdArray, limit: number): void {
  expect(actual.shape.reduce((a, b) => a * b, 1)).toBe(expected.data.length);
  const values = expected.data as Float32Array;
  const scale = values.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
  const worst = values.reduce((max, value, i) => Math.max(max, Math.abs(value - Number(actual.data[i]!))), 0);
  expect(worst / scale).toBeLessThan(limit);
}

const TARGETS = [
  ['keras-h5', 'model.h5'],
  ['keras-v3', 'model.keras'],
  ['caffe', 'model.caffemodel'],
] as const;

describe.each(TARGETS)('%s as a target', (to, name) => {
  let written = 0;
  afterAll(() => expect(written).toBeGreaterThan(CASES.length / 3));

  it.each(CASES)('$title comes back as the same net', async ({ folder }) => {
    const made = await declinedOr(to, () => write(folder, to, name));
    if (!made) return;
    written++;
    const back = await openModel(made.files);
    expect(back.format).toBe(to);
    const map = await back.map();
    const before = await weightBytes(made.result.map!);
    const after = await weightBytes(map);
    for (const [key, count] of before) if (key.startsWith('float32')) expect(after.get(key) ?? 0, key.slice(0, 40)).toBeGreaterThanOrEqual(count);
    const again = memorySink();
    const { files, options } = openDialect(folder);
    await convert(files, again, name, { ...options, to });
    for (const [file, bytes] of again.files) expect(Buffer.from(bytes).equals(made.sink.files.get(file)!), file).toBe(true);
    const { bytes } = await convertInMemory(made.files);
    const input = await readNpyFile(join(folder, 'input.npy'));
    const port = map.inputs[0]!;
    const isLast = made.result.map!.inputs[0]!.layout === 'nhwc';
    const fed = isLast && port.layout === 'nchw' ? channelsFirst(input) : !isLast && port.layout === 'nhwc' ? channelsLast(input) : input;
    const inputs = splitBatch(fed, port.shape[0]);
    const expected = await readNpyFile(join(folder, 'output.npy'));
    const outputs: number[] = [];
    for (const one of inputs) outputs.push(...(await runOnnx(bytes, [one])).values().next().value!.data);
    if (map.outputs[0]!.shape.length === 2) expectClose({ shape: [outputs.length], data: outputs }, expected, 5e-5);
  });
});

type Picture = Awaited<ReturnType<typeof readNpyFile>>;

const channelsFirst = (picture: Picture) => toLayout(picture, 'nhwc', 'nchw') as Picture;
const channelsLast = (picture: Picture) => toLayout(picture, 'nchw', 'nhwc') as Picture;

/** Caffe's nets take one picture where the source's batch is free. */
function splitBatch({ shape, data }: Picture, batch: number | string | undefined): Picture[] {
  if (batch !== 1) return [{ shape, data }];
  const size = data.length / shape[0]!;
  return Array.from({ length: shape[0]! }, (_, i) => ({ shape: [1, ...shape.slice(1)], data: data.slice(i * size, (i + 1) * size) }));
}

describe('a Keras 3 archive', () => {
  it.each(Object.keys(LOADED.cases))('%s has the configuration that Keras loaded and found right, its layers in the order of Keras', async (name) => {
    const { config, layers, error } = LOADED.cases[name]!;
    const { sink } = await write(join(FIXTURES, 'architectures', name), 'keras-v3', 'model.keras');
    const written = new TextDecoder().decode(unzipSync(sink.files.get('model.keras')!)['config.json']);
    // Operations are no layers to Keras; they name their modules.
    const { layers: all } = JSON.parse(written).config as { layers: { name: string; module?: string }[] };
    const names = all.filter(({ module }) => module === undefined).map(({ name: own }) => own);
    // Keras gives weights to layers by their order alone.
    expect(sha256(names.join('\n'))).toBe(layers);
    // Where this differs on purpose, test/fixtures/written/make_keras.py loads the new files and records them.
    expect(sha256(written)).toBe(config);
    // Keras adds up in float32, in an order of its own.
    expect(error).toBeLessThan(1e-4);
  });
});

describe('Keras HDF5', () => {
  beforeAll(async () => {
    await ready;
  });

  it.each(CASES.filter(({ format }) => format === 'pytorch'))('$title predicts in TensorFlow.js what was recorded', async ({ folder }) => {
    // The HDF5 library for JavaScript reads no half precision.
    const made = await declinedOr('keras-h5', () => write(folder, 'keras-h5', 'model.h5', { dtype: 'float32' }));
    // Operations of Keras 3 are no layers, of which TensorFlow.js knows.
    if (!made || made.result.warnings.some(({ code }) => code === 'keras-3-only')) return;
    const session = await tfjsCpu.open({ files: made.files });
    try {
      const input = await readNpyFile(join(folder, 'input.npy'));
      const isLast = session.inputs[0]!.shape?.at(-1) === input.shape[1];
      const [output] = (await session.run(new Map([[session.inputs[0]!.name, isLast ? channelsLast(input) : input]]))).values();
      const expected = await readNpyFile(join(folder, 'output.npy'));
      if (expected.shape.length === 2) expectClose({ shape: output!.shape, data: output!.data as Float32Array }, expected, 5e-5);
    } finally {
      await session.close();
    }
  });

  it('named .weights.h5 has each weight a second time, as a link, where Keras 3 looks for weights', async () => {
    const folder = join(FIXTURES, 'architectures/vgg-small-picture');
    const plain = (await write(folder, 'keras-h5', 'model.h5')).sink.files.get('model.h5')!;
    const { sink, files } = await write(folder, 'keras-h5', 'model.weights.h5');
    const both = sink.files.get('model.weights.h5')!;
    expect(both.byteLength / plain.byteLength).toBeLessThan(1.5);
    const back = await openModel(files);
    const before = await openModel(memoryFileSet({ 'model.h5': plain }, 'model.h5'));
    expect(await weightBytes(await back.map())).toEqual(await weightBytes(await before.map()));
    const { FS } = await ready;
    FS.writeFile('/both.weights.h5', both);
    const file = new H5File('/both.weights.h5', 'r');
    try {
      const { config } = JSON.parse(file.attrs.model_config!.value as string);
      const convolutions = config.layers.filter(({ class_name }: { class_name: string }) => class_name === 'Conv2D');
      for (const [i, { name }] of convolutions.entries()) {
        const value = (path: string) => (file.get(path) as Dataset).value;
        expect(value(`layers/conv2d${i === 0 ? '' : `_${i}`}/vars/0`), name).toEqual(value(`model_weights/${name}/${name}/kernel:0`));
      }
      expect(convolutions.length).toBeGreaterThan(3);
    } finally {
      file.close();
    }
  });

  it('is read by the HDF5 library, long configurations and many layers included', async () => {
    const { sink } = await write(ARCHITECTURE_CASES.find(({ title }) => /densenet$/.test(title))!.folder, 'keras-h5', 'model.h5');
    const { FS } = await ready;
    FS.writeFile('/written.h5', sink.files.get('model.h5')!);
    const file = new H5File('/written.h5', 'r');
    try {
      const config = JSON.parse(file.attrs.model_config!.value as string);
      const weights = file.get('model_weights') as Group;
      const names = weights.attrs.layer_names!.value as string[];
      expect(names).toEqual(config.config.layers.map(({ name }: { name: string }) => name));
      expect(weights.keys().sort()).toEqual([...names].sort());
      for (const name of names) expect(weights.get(name)).toBeInstanceOf(Group);
    } finally {
      file.close();
    }
  });
});

describe('Caffe', () => {
  it.each(CASES.filter(({ format }) => format === 'pytorch'))('$title predicts in OpenCV what was recorded', async ({ folder }) => {
    // OpenCV reads no double blobs.
    const made = await declinedOr('caffe', () => write(folder, 'caffe', 'model.caffemodel', { dtype: 'float32' }));
    if (!made) return;
    const session = await declinedOr('opencv', () => opencv.open({ files: made.files, prototxt: 'model.prototxt' }));
    if (!session) return;
    try {
      const expected = await readNpyFile(join(folder, 'output.npy'));
      const outputs: number[] = [];
      for (const one of splitBatch(await readNpyFile(join(folder, 'input.npy')), 1)) {
        const [output] = (await session.run(new Map([[session.inputs[0]!.name, one]]))).values();
        outputs.push(...(output!.data as Float32Array));
      }
      expectClose({ shape: [outputs.length], data: outputs }, expected, 5e-5);
    } finally {
      await session.close();
    }
  });
});

describe('PyTorch', () => {
  it.each(CASES)('$title keeps its weights bit for bit, and names of state dicts', async ({ folder, format }) => {
    const made = await declinedOr('pytorch', () => write(folder, 'pytorch', 'model.pth'));
    if (!made) return;
    const back = await openModel(made.files, { from: 'pytorch' });
    const stored = new Map<string, string>();
    for (const { tensor } of back.tensors) stored.set(tensor.name, Buffer.from(await tensorBytes(tensor)).toString('base64'));
    // A state dict has matrices as nn.Linear has them.
    const { beside = [] } = made.result.map!;
    const source = [...stateOf(await withNumbers(made.result.map!.layers)).map(({ tensor }) => tensor), ...beside];
    const bytes = new Set(await Promise.all(source.map(async (tensor) => Buffer.from(await tensorBytes(tensor)).toString('base64'))));
    expect(new Set(stored.values())).toEqual(bytes);
    if (format === 'architectures') {
      // What the net computes with and the file does not have (an epsilon) has a name of its own.
      const own = new Set(made.result.model.tensors.map(({ tensor }) => tensor.name));
      for (const { name } of source) if (own.has(name)) expect(stored.has(name), name).toBe(true);
    }
    const python = new TextDecoder().decode(made.sink.files.get('model.py')!);
    expect(python).toContain('class Model(nn.Module):');
    // Where the module that has a weight is made, or the weight itself.
    for (const name of stored.keys()) expect(python.includes(`"${name.replace(/\.[^.]+$/, '')}"`) || python.includes(`"${name}"`), name).toBe(true);
  });

  it.each(Object.keys(WRITTEN.cases))('%s writes the module that PyTorch loaded with all of its weights, and found right', async (name) => {
    const { module, error } = WRITTEN.cases[name]!;
    const { sink } = await write(join(FIXTURES, 'architectures', name), 'pytorch', 'model.pth');
    // Where this differs on purpose, test/fixtures/written/make.py loads the new modules and records them.
    expect(sha256(sink.files.get('model.py')!)).toBe(module);
    expect(error).toBeLessThan(1e-5);
  });
});
