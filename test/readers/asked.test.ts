/** What a caller says of a file, on a file of every format: it changes what is read, or is refused. It is never passed over. */
import { beforeAll, describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { type ConvertOptions, convert } from '../../src/convert.js';
import { isModelError, type ModelError } from '../../src/errors.js';
import { readers } from '../../src/readers/index.js';
import type { SourceOption } from '../../src/readers/reader.js';
import { writers } from '../../src/writers/index.js';
import type { TargetOption } from '../../src/writers/writer.js';
import { outputName, type Sample, samples } from '../contracts/samples.js';

const TEXT = new TextEncoder();
const COMPANIONS = {
  'other.prototxt': TEXT.encode('input: "x" input_dim: 1 input_dim: 1 input_dim: 6 input_dim: 6 layer { name: "r" type: "ReLU" bottom: "x" top: "r" }'),
  'other.json': TEXT.encode('{"class_name": "Sequential", "config": {"name": "s", "layers": []}}'),
};
const SAID: Readonly<Record<SourceOption, ConvertOptions>> = {
  prototxt: { prototxt: 'other.prototxt' },
  config: { config: 'other.json' },
  arch: { arch: 'vgg16' },
  assume: { assume: { zzz: '1' } },
  inference: { inference: true },
  inputShape: { inputShape: [1, 5, 7, 9] },
  weightsKey: { weightsKey: 'a.b' },
};
/** Said beside weights without a net, these do not come to bear: that there is no net is the obstacle. */
const LATER: ReadonlySet<SourceOption> = new Set(['assume', 'inputShape', 'inference']);

let all: readonly Sample[] = [];
beforeAll(async () => {
  all = await samples();
});

async function converted(format: string, to: string, options: ConvertOptions): Promise<string | ModelError> {
  const { files, main } = all.find((sample) => sample.format === format)!;
  const writer = writers.find(({ name }) => name === to)!;
  const sink = memorySink();
  try {
    await convert(memoryFileSet({ ...files, ...COMPANIONS }, main), sink, outputName(writer), {
      to,
      prototxt: format === 'caffe' ? 'net.prototxt' : undefined,
      ...options,
    });
  } catch (error) {
    if (!isModelError(error)) throw error;
    expect([...sink.files.keys()]).toEqual([]);
    return error;
  }
  return JSON.stringify([...sink.files].map(([name, bytes]) => [name, Buffer.from(bytes).toString('base64')]));
}

describe('what a file may leave open', () => {
  it.each(readers.flatMap(({ name, options }) => (Object.keys(SAID) as SourceOption[]).map((option) => ({ name, option, has: options.includes(option) }))))(
    '$name: $option is used or refused',
    async ({ name, option, has }) => {
      const plain = await converted(name, 'onnx', {});
      const outcome = await converted(name, 'onnx', SAID[option]);
      if (!has) {
        expect((outcome as ModelError).kind).toBe('usage');
        expect((outcome as ModelError).message).toMatch(/ (means nothing for|files have not)/);
        for (const { title } of readers.filter(({ options }) => options.includes(option))) expect((outcome as ModelError).message).toContain(title);
      } else if (isModelError(plain) && LATER.has(option)) expect((outcome as ModelError).message).toBe(plain.message);
      // What acts as in training can be none of a net.
      else if (option !== 'inference') expect(outcome).not.toEqual(plain);
    },
  );

  it('several of them are refused at once', async () => {
    const error = (await converted('onnx', 'onnx', { ...SAID.prototxt, ...SAID.arch, ...SAID.weightsKey })) as ModelError;
    for (const word of ['--prototxt', '--arch', 'a weights key']) expect(error.message).toContain(word);
  });

  it('is refused of a file that does not leave it open', async () => {
    for (const [options, words] of [
      [SAID.arch, /--arch .*it says itself how its net is wired/],
      [{ described: { name: 'own.net', text: 'input 1 6 6\n' } }, /--arch .*it says itself/],
      [SAID.assume, /--assume zzz=\.\.\. says nothing about this net/],
    ] as [ConvertOptions, RegExp][]) {
      expect(((await converted('keras-h5', 'onnx', options)) as ModelError).message).toMatch(words);
    }
    expect(((await converted('keras-v3', 'onnx', SAID.config)) as ModelError).message).toMatch(/--config .*it says itself/);
  });
});

describe('what a target may be', () => {
  const WANTED: Readonly<Record<TargetOption, ConvertOptions>> = {
    layout: { layout: 'nchw' },
    opset: { opset: 14 },
    externalData: { externalData: true },
    float16Compute: { float16Compute: true, dtype: 'float16' },
    names: { names: 'canonical' },
    shardBytes: { shardBytes: 32 },
  };
  it.each(writers.flatMap(({ name, options }) => (Object.keys(WANTED) as TargetOption[]).map((option) => ({ name, option, has: options.includes(option) }))))(
    '$name: $option is used or refused',
    async ({ name, option, has }) => {
      // Of channels last, so that another order of axes is one.
      const source = 'keras-v3';
      const { dtype } = WANTED[option];
      const canBe = dtype === undefined || writers.find((writer) => writer.name === name)!.dtypes.includes(dtype as 'float16');
      const plain = await converted(source, name, canBe ? { dtype } : {});
      const outcome = await converted(source, name, canBe ? WANTED[option] : { ...WANTED[option], dtype: undefined });
      // No weight of so small a net lies beside it.
      if (has && option === 'externalData') expect(outcome).toEqual(plain);
      else if (has) expect(outcome).not.toEqual(plain);
      else {
        expect((outcome as ModelError).kind).toBe('usage');
        expect((outcome as ModelError).message).toMatch(/means nothing for/);
      }
    },
  );

  it.each(writers.filter(({ carries }) => carries === 'weights').map(({ name }) => name))('%s has no net to change', async (name) => {
    const changes: ConvertOptions[] = [
      { until: 'conv' },
      { outputs: ['conv'] },
      { batch: 2 },
      { foldBatchnorm: true },
      { embedPreprocessing: true },
      { preprocess: { mean: [1], from: 'as said' } as never },
      { simplify: true },
      { inputShape: [1, 1, 6, 6] },
    ];
    for (const options of changes) expect(((await converted('caffe', name, options)) as ModelError).kind, Object.keys(options)[0]).toBe('usage');
    expect(((await converted('onnx', name, { inference: true })) as ModelError).kind).toBe('usage');
  });
});
