/** Weights that are narrow in their source stay as they are there, or it is told that they do not: never larger, never rounded twice. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { readOnnxModel } from '../../src/containers/onnx.js';
import { type ConvertOptions, convert } from '../../src/convert.js';
import { castTensor } from '../../src/model/cast.js';
import { narrowForm } from '../../src/model/narrow-form.js';
import { dequantiseAffine, dequantiseChannels } from '../../src/model/quantise.js';
import { constantTensor, permute, type Tensor, tensorBytes } from '../../src/model/tensor.js';
import { type NodeFileSet, nodeFileSet } from '../../src/node/index.js';
import { openModel } from '../../src/readers/open.js';
import { verifyConversion } from '../../src/verify/verify.js';
import { temporaryFolder } from '../cli/run-cli.js';
import { TensorKeeper, tinyVgg } from '../pickles.js';

type Files = Readonly<Record<string, Uint8Array>>;

function pth(): Files {
  const keeper = new TensorKeeper();
  return { 'x.pth': keeper.pth(new Map([...tinyVgg()].map(([name, tensor]) => [name, keeper.tensor(tensor)]))) };
}

/** What a target's main file is called. */
const MAIN: Readonly<Record<string, string>> = {
  onnx: 'y.onnx',
  tfjs: 'model.json',
  'tfjs-graph': 'model.json',
  'keras-h5': 'y.h5',
  'keras-v3': 'y.keras',
  pytorch: 'y.pth',
  safetensors: 'y.safetensors',
  npz: 'y.npz',
  caffe: 'y.caffemodel',
};

function mainOf(files: Files): string {
  return Object.keys(files).find((name) => Object.values(MAIN).includes(name)) ?? Object.keys(files)[0]!;
}

async function converted(files: Files, to: string, options: ConvertOptions = {}): Promise<{ files: Files; codes: string[] }> {
  const sink = memorySink();
  const { warnings } = await convert(memoryFileSet(files, mainOf(files)), sink, MAIN[to]!, { ...options, to });
  return { files: Object.fromEntries(sink.files), codes: warnings.map(({ code }) => code) };
}

const folder = temporaryFolder();
let folders = 0;

/** Runtimes map what they run, so it lies on disk. */
async function laid(files: Files): Promise<{ files: NodeFileSet; path: string }> {
  const root = join(folder, String(folders++));
  mkdirSync(root);
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(root, name), bytes);
  const path = join(root, mainOf(files));
  return { files: await nodeFileSet(path), path };
}

async function verified(source: Files, target: Files, format: string) {
  const [from, to] = [await laid(source), await laid(target)];
  try {
    const model = await openModel(from.files);
    const map = await model.map();
    return await verifyConversion({ source: from, model, map, target: { ...to, format } });
  } finally {
    await Promise.all([from.files.close(), to.files.close()]);
  }
}

/** A source by what it is and the dtype it is in. */
const SOURCES = [
  ['tfjs', 'uint8'],
  ['tfjs-graph', 'uint8'],
  ['tfjs', 'uint16'],
  ['tfjs', 'float16'],
  ['onnx', 'float16'],
  ['onnx', 'bfloat16'],
  ['pytorch', 'float16'],
  ['pytorch', 'bfloat16'],
  ['safetensors', 'float16'],
  ['safetensors', 'bfloat16'],
  ['npz', 'float16'],
  ['keras-h5', 'float16'],
  ['keras-v3', 'float16'],
] as const;

/** What each target has a form for; it stays so there, and is widened and told elsewhere. */
const FORMS: Readonly<Record<string, readonly string[]>> = {
  onnx: ['uint8', 'uint16', 'float16', 'bfloat16'],
  tfjs: ['uint8', 'uint16', 'float16'],
  'tfjs-graph': ['uint8', 'uint16', 'float16'],
  'keras-h5': ['float16'],
  'keras-v3': ['float16'],
  pytorch: ['float16', 'bfloat16'],
  safetensors: ['float16', 'bfloat16'],
  npz: ['float16'],
  caffe: [],
};

describe.each(SOURCES)('%s in %s', async (format, dtype) => {
  const source = (await converted(pth(), format, { dtype })).files;
  const weights = [...tinyVgg().values()].reduce((sum, { values }) => sum + values.length, 0);

  it.each(Object.keys(FORMS).filter((to) => to !== 'npz' || dtype !== 'bfloat16'))('to %s: as it was, or told', async (to) => {
    if (to === 'pytorch' && format === 'tfjs-graph') return; // its padding is said in words, which modules do not have
    const { files, codes } = await converted(source, to);
    const keeps = FORMS[to]!.includes(dtype);
    expect(codes.includes('widened')).toBe(!keeps);
    expect(codes.includes('codes-kept')).toBe(keeps && dtype.startsWith('uint'));
    const model = await openModel(memoryFileSet(files, mainOf(files)));
    const narrow = model.tensors.filter(({ tensor }) => /float16|uint/.test(tensor.dtype) || narrowForm(tensor));
    // Kernels, at least: narrow dtypes leave biases and statistics alone in some formats.
    const narrowed = narrow.reduce((sum, { tensor }) => sum + tensor.shape.reduce((a, b) => a * b, 1), 0);
    if (keeps) expect(narrowed).toBeGreaterThan(0.8 * weights);
    else expect(narrowed).toBe(0);
  });

  it.each(['onnx', 'tfjs'])('to %s is a match, bit for bit in its weights', async (to) => {
    const report = await verified(source, (await converted(source, to)).files, to);
    expect([report.verdict, report.weights?.equal]).toEqual(['match', report.weights?.compared]);
    expect(report.weights!.compared).toBeGreaterThan(0);
    if (FORMS[to]!.includes(dtype)) expect(new Set(report.weights!.tensors.map(({ method }) => method))).toEqual(new Set(['as is']));
  });
});

it('asked for the dtype that it has, a TensorFlow.js model keeps its codes, and another one is rounded once from what they stand for', async () => {
  const source = (await converted(pth(), 'tfjs', { dtype: 'uint8' })).files;
  const shard = (files: Files) => Buffer.from(Object.entries(files).find(([name]) => name.endsWith('.bin'))![1]);
  expect(shard((await converted(source, 'tfjs', { dtype: 'uint8' })).files).equals(shard(source))).toBe(true);
  const report = await verified(source, (await converted(source, 'onnx', { dtype: 'float16' })).files, 'onnx');
  expect([report.verdict, report.weights?.equal]).toEqual(['match', report.weights?.compared]);
});

describe('codes with a minimum that is no whole number of steps', () => {
  /** One dense layer whose kernel lies between 3.1 and 5.3. */
  function model(dtype: 'uint8' | 'uint16'): Files {
    const codes = dtype === 'uint8' ? Uint8Array.of(0, 17, 255, 3, 128, 64) : Uint16Array.of(0, 1700, 65535, 3, 12800, 6400);
    const kernel = {
      name: 'd/kernel',
      shape: [3, 2],
      dtype: 'float32',
      quantization: { dtype, min: 3.1, scale: 2.2 / (dtype === 'uint8' ? 255 : 65535), original_dtype: 'float32' },
    };
    const dense = { class_name: 'Dense', config: { name: 'd', units: 2, use_bias: false, activation: 'linear', batch_input_shape: [null, 3] } };
    const json = {
      format: 'layers-model',
      modelTopology: { keras_version: '2.15.0', backend: 'tensorflow', model_config: { class_name: 'Sequential', config: { name: 's', layers: [dense] } } },
      weightsManifest: [{ paths: ['w.bin'], weights: [kernel] }],
    };
    return { 'model.json': new TextEncoder().encode(JSON.stringify(json)), 'w.bin': new Uint8Array(codes.buffer) };
  }

  it.each([
    ['uint8', 17, ['DequantizeLinear', 'Add']],
    ['uint16', 17, ['Cast', 'Mul', 'Add']],
    ['uint16', 21, ['DequantizeLinear', 'Add']],
  ] as const)('%s at opset %i: %j', async (dtype, opset, ops) => {
    const { files } = await converted(model(dtype), 'onnx', { opset });
    const { nodes, initializers } = await readOnnxModel(memoryFileSet(files, 'y.onnx'), 'y.onnx');
    expect(nodes.map(({ op }) => op).filter((op) => (ops as readonly string[]).includes(op))).toEqual(ops);
    expect([...initializers.values()].find((tensor) => tensor.shape.length === 2)?.dtype).toBe(dtype);
    const report = await verified(model(dtype), files, 'onnx');
    expect([report.verdict, report.weights?.equal]).toEqual(['match', 1]);
  });

  it('uint16 with a whole number of steps, where DequantizeLinear does not take it: as arithmetic', async () => {
    const source = (await converted(pth(), 'tfjs', { dtype: 'uint16' })).files;
    const { files } = await converted(source, 'onnx');
    const { nodes } = await readOnnxModel(memoryFileSet(files, 'y.onnx'), 'y.onnx');
    expect(nodes.map(({ op }) => op)).toEqual(expect.arrayContaining(['Cast', 'Sub', 'Mul']));
    expect(nodes.map(({ op }) => op)).not.toContain('DequantizeLinear');
  });
});

describe('int8 in ONNX', async () => {
  const source = (await converted(pth(), 'onnx', { dtype: 'int8' })).files;

  it('stays so where the file is written anew', async () => {
    const { files, codes } = await converted(source, 'onnx', { opset: 20 });
    const { initializers } = await readOnnxModel(memoryFileSet(files, 'y.onnx'), 'y.onnx');
    expect([...initializers.values()].filter(({ dtype }) => dtype === 'int8')).toHaveLength(5);
    expect(codes).toContain('codes-kept');
    const report = await verified(source, files, 'onnx');
    expect([report.verdict, report.weights?.equal]).toEqual(['match', report.weights?.compared]);
  });

  it.each(['tfjs', 'tfjs-graph', 'keras-h5', 'pytorch', 'caffe'])('is what it stands for in %s, which has no scale for each channel', async (to) => {
    const { files, codes } = await converted(source, to);
    expect(codes).toContain('widened');
    const report = await verified(source, files, to);
    expect(report.verdict).toBe('match');
  });
});

describe('the narrow form of a tensor', () => {
  const codes = (dtype: 'int8' | 'uint8' | 'float16', shape: readonly number[]): Tensor => {
    const bytes = Uint8Array.from({ length: shape.reduce((a, b) => a * b, dtype === 'float16' ? 2 : 1) }, (_, i) => (i * 37) % 100);
    return constantTensor('w', dtype, shape, bytes, { file: 'f' });
  };

  it('goes along with its layout', async () => {
    const turned = permute(dequantiseAffine(codes('uint8', [2, 3]), { dtype: 'uint8', scale: 0.5, min: -3 }), [1, 0]);
    const form = narrowForm(turned)!;
    expect([form.stored.dtype, form.stored.shape, form.codes]).toEqual(['uint8', [3, 2], { kind: 'affine', scale: 0.5, min: -3 }]);
    expect([...(await tensorBytes(form.stored))]).toEqual([0, 11, 37, 48, 74, 85]);
  });

  it('knows along which axis its channels lie, or that they lie along none any more', () => {
    const channels = dequantiseChannels(codes('int8', [2, 3, 4]), 1, Float32Array.of(1, 2, 3));
    expect(narrowForm(channels)?.codes).toMatchObject({ kind: 'channels', axis: 1 });
    expect(narrowForm(permute(channels, [1, 2, 0]))?.codes).toMatchObject({ axis: 0 });
    expect(narrowForm(dequantiseChannels(codes('int8', [2, 3]), 0, Float32Array.of(2)))?.codes).toMatchObject({ axis: null });
  });

  it('is that of the first widening, and of nothing that was narrowed', () => {
    expect(narrowForm(castTensor(castTensor(codes('float16', [4]), 'float32'), 'float64'))?.stored.dtype).toBe('float16');
    expect(narrowForm(castTensor(codes('float16', [4]), 'bfloat16'))).toBeNull();
    expect(narrowForm(codes('uint8', [4]))).toBeNull();
  });
});
