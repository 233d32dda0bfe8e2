/**
 * Every form of weights that can be written is loaded by its ecosystem's own runtime, and predicts nearly what the net did: what runs in
 * JavaScript, here; what PyTorch, Keras, safetensors and NumPy loaded (`../fixtures/written/make_narrow.py`), by the bytes that they loaded.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as ort from 'onnxruntime-web';
import { describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { convert } from '../../src/convert.js';
import { planShrink, type ShrinkFileOptions } from '../../src/node/shrink-file.js';
import { openModel } from '../../src/readers/open.js';
import { writers } from '../../src/writers/index.js';
import type { TargetName } from '../../src/writers/writer.js';
import { DIGITS } from '../cli/run-cli.js';
import { convertInMemory, type Run, runOnnx } from '../run-onnx.js';
import { runTfjs } from '../run-tfjs.js';

const source = () => memoryFileSet({ 'digits.h5': new Uint8Array(readFileSync(join(DIGITS, 'digits.h5'))) }, 'digits.h5');
const RECORDED = JSON.parse(readFileSync(new URL('../fixtures/written/recorded-narrow.json', import.meta.url), 'utf8')) as {
  readonly forms: Readonly<Record<string, { readonly name: string; readonly files: Readonly<Record<string, string>>; readonly error: number }>>;
};

/** Noise, of which the net is certain of no class. */
const noise: Run = { shape: [2, 32, 32, 3], data: Float32Array.from({ length: 2 * 32 * 32 * 3 }, (_, i) => 0.4 * Math.sin(i * i * 0.7)) };
const expected = [...(await runOnnx((await convertInMemory(source())).bytes, [noise])).values()][0]!;

async function shrunk(to: TargetName, name: string, options: ShrinkFileOptions): Promise<ReadonlyMap<string, Uint8Array>> {
  const { rewrite, dtype, foldBatchnorm } = await planShrink(name, { ...options, to });
  const sink = memorySink();
  await convert(source(), sink, name, { to, dtype, foldBatchnorm, rewrite: rewrite?.(() => {}) });
  return sink.files;
}

/** The largest difference of a probability. */
function apart({ shape, data }: Run): number {
  expect(shape).toEqual(expected.shape);
  return expected.data.reduce((most, value, i) => Math.max(most, Math.abs(value - data[i]!)), 0);
}

async function inWebAssembly(bytes: Uint8Array): Promise<Run> {
  const session = await ort.InferenceSession.create(bytes, { logSeverityLevel: 3 });
  try {
    const { predictions } = await session.run({ [session.inputNames[0]!]: new ort.Tensor('float32', noise.data, [...noise.shape]) });
    return { shape: predictions!.dims, data: predictions!.data as Float32Array };
  } finally {
    await session.release();
  }
}

type Form = readonly [what: string, options: ShrinkFileOptions, most: number];
const golden = join(DIGITS, 'keras.npz');
const ONNX: readonly Form[] = [
  ['float32', { dtype: 'float32' }, 1e-6],
  ['float16', { dtype: 'float16' }, 0.002],
  ['bfloat16', { dtype: 'bfloat16' }, 0.02],
  ['int8', { dtype: 'int8' }, 0.05],
  ['int4', { dtype: 'int4' }, 0.5],
  ['uint4', { dtype: 'uint4' }, 0.5],
  ['steps', { step: 0.3 }, 0.5],
  ['a palette of 16', { palette: 16 }, 0.5],
  ['a palette of 20', { palette: 20 }, 0.5],
  ['two layers of one', { rank: 32 }, 0.5],
  ['int4, method best', { dtype: 'int4', method: 'best', golden }, 0.5],
  ['what a search takes', { budget: 40_000, golden }, 0.9],
  ['computing in uint8', { activations: 'uint8', golden }, 0.2],
  ['computing in int8', { activations: 'int8', golden }, 0.2],
];
const TFJS: readonly Form[] = [
  ['float32', { dtype: 'float32' }, 1e-5],
  ['float16', { dtype: 'float16' }, 0.002],
  ['uint16', { dtype: 'uint16' }, 0.002],
  ['uint8', { dtype: 'uint8' }, 0.1],
  ['steps', { step: 0.3 }, 0.6],
];

it.each(ONNX)('ONNX Runtime, native and WebAssembly, runs ONNX files of %s', async (_, options, most) => {
  const bytes = (await shrunk('onnx', 'model.onnx', options)).get('model.onnx')!;
  for (const made of [[...(await runOnnx(bytes, [noise])).values()][0]!, await inWebAssembly(bytes)]) {
    expect(apart(made)).toBeLessThan(most);
    if (options.dtype !== 'float32') expect(apart(made)).toBeGreaterThan(0);
  }
});

describe.each(['tfjs', 'tfjs-graph'] as const)('as %s', (to) => {
  it.each(TFJS)('TensorFlow.js runs weights in %s', async (_, options, most) => {
    const [made] = await runTfjs(to, await shrunk(to, 'model.json', options), [noise]);
    expect(apart(made!)).toBeLessThan(most);
    if (options.dtype !== 'float32') expect(apart(made!)).toBeGreaterThan(0);
  });
});

/** What is allowed for the rounding of each dtype. */
const MOST: Readonly<Record<string, number>> = { float16: 0.002, bfloat16: 0.02, float64: 1e-5 };

it.each(Object.keys(RECORDED.forms))('%s is written in the bytes that its own framework loaded and found right', async (form) => {
  const { name, files, error } = RECORDED.forms[form]!;
  const [format, dtype] = form.split(' ') as [string, 'float16'];
  const model = await openModel(source());
  const writer = writers.find((one) => one.name === format)!;
  const sink = memorySink();
  const options = { dtype, layout: 'source', metadata: async () => ({}) } as const;
  if (writer.carries === 'model') await writer.write(await model.map(), sink, name, options);
  else
    await writer.write(
      model.tensors.map(({ tensor }) => tensor),
      sink,
      name,
      options,
    );
  await sink.commit();
  // Where this differs on purpose, test/fixtures/written/make_narrow.py loads the new files and records them.
  expect(Object.fromEntries([...sink.files].map(([file, bytes]) => [file, createHash('sha256').update(bytes).digest('hex')]))).toEqual(files);
  expect(error).toBeLessThan(MOST[dtype]!);
});

/** float32 of these is loaded by `../writers/frameworks.test.ts` and `weights-only.test.ts`; of Caffe's doubles there is no runtime here: OpenCV reads none. */
const ELSEWHERE = ['keras-h5 float32', 'keras-v3 float32', 'pytorch float32', 'caffe float32', 'caffe float64', 'safetensors float32', 'npz float32'];

it('no dtype that a target is written in is left out', () => {
  const written = writers.flatMap(({ name, dtypes, packed = [] }) => [...dtypes, ...packed].map((dtype) => `${name} ${dtype}`));
  const run = [...ONNX.map(([what]) => `onnx ${what}`), ...['tfjs', 'tfjs-graph'].flatMap((to) => TFJS.map(([what]) => `${to} ${what}`))];
  const loaded = new Set([...run, ...Object.keys(RECORDED.forms), ...ELSEWHERE]);
  expect(written.filter((form) => !loaded.has(form))).toEqual([]);
});
