/** What programs call says what they misspelt, and speaks of options; a page gives files and gets files. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { encodeSafetensorsHeader } from '../src/containers/safetensors.js';
import { convert, convertBlob, describeModel, diff, diffModels, inspect, inspectBlob, memoryFileSet, memorySink, openModel } from '../src/index.js';
import { convertFile, diffFiles, fileSink, inspectFile, shrinkFile, verifyFile } from '../src/node/index.js';
import { verifyConversion } from '../src/verification.js';

const DIGITS = fileURLToPath(new URL('../demo/digits/', import.meta.url));
const bytesOf = (name: string) => new Uint8Array(readFileSync(join(DIGITS, name)));
const files = () => memoryFileSet({ 'digits.h5': bytesOf('digits.h5') }, 'digits.h5');
const KERAS = join(DIGITS, 'digits.h5');
const misspelt = (options: object) => options as never;
const compared = async (options: object) => {
  const named = { path: 'digits.h5', model: await openModel(files()) };
  return diffModels(named, named, misspelt(options));
};

describe('an option that there is not is refused by name, with the one that was meant', () => {
  it.each([
    ['convert', () => convert(files(), memorySink(), 'x.onnx', misspelt({ dytpe: 'float16' })), /convert has no option "dytpe"\. Did you mean "dtype"/],
    ['inspect', () => inspect(files(), misspelt({ weight: true })), /Did you mean "weights"/],
    ['openModel', () => openModel(files(), misspelt({ achr: 'vgg16' })), /Did you mean "arch"/],
    [
      'describeModel',
      async () => describeModel(await openModel(files()), misspelt({ weight: true })),
      /describeModel has no option "weight"\. Did you mean "weights"/,
    ],
    ['diffModels', () => compared({ histogram: true }), /diffModels has no option "histogram"\. Did you mean "histograms"/],
    ['diffModels, what is said when a file is opened', () => compared({ a: { arch: 'vgg16' } }), /diffModels has no option "a"/],
    ['diff', () => diff(files(), files(), misspelt({ histogram: true })), /Did you mean "histograms"/],
    ['verifyConversion', () => verifyConversion({} as never, misspelt({ sample: 3 })), /Did you mean "samples"/],
    ['convertFile', () => convertFile(KERAS, 'x.onnx', misspelt({ overwrite: true })), /convertFile has no option "overwrite"\. Known: .*force/],
    ['convertFile, twice', () => convertFile(KERAS, 'x.onnx', misspelt({ dtypes: 'half', Force: true })), /"dtypes".*"dtype"[\s\S]*"Force".*"force"/],
    ['shrinkFile', () => shrinkFile(KERAS, 'x.onnx', misspelt({ verify: false })), /has no option "verify"/],
    ['verifyFile', () => verifyFile(KERAS, 'x.npz', misspelt({ layer: true })), /Did you mean "layers"/],
    ['inspectFile', () => inspectFile(KERAS, misspelt({ weight: true })), /Did you mean "weights"/],
    ['diffFiles', () => diffFiles(KERAS, KERAS, misspelt({ a: { architecture: 'vgg16' } })), /has no option "architecture"/],
  ])('%s', async (_, work, words) => {
    await expect(work()).rejects.toMatchObject({ name: 'ModelError', kind: 'usage', message: expect.stringMatching(words) });
  });

  it('and one that is undefined is none', async () => {
    expect((await inspect(files(), misspelt({ nothing: undefined }))).format).toBe('keras-h5');
  });
});

describe('an error of the core', () => {
  it('speaks of options, also where the wiring is asked for later', async () => {
    await expect(convert(files(), memorySink(), 'x.unknown')).rejects.toThrow('name one with `to`');
    await expect(convert(files(), memorySink(), 'x.onnx', { until: 'a', outputs: ['b'] })).rejects.toThrow('`until` and `outputs` both say');
    const header = encodeSafetensorsHeader([{ name: 'strange.weight', dtype: 'float32', shape: [1], byteLength: 4 }], {});
    const strange = memoryFileSet({ 'x.safetensors': Buffer.concat([header, new Uint8Array(4)]) }, 'x.safetensors');
    await expect(openModel(strange).then((model) => model.map())).rejects.toThrow('`arch` takes a description');
  });
});

it('models that are open are described and compared', async () => {
  const model = await openModel(files());
  const document = await describeModel(model);
  expect(document).toEqual(await inspect(files()));
  expect((await diffModels({ path: 'a', model }, { path: 'b', model })).verdict.equal).toBe(true);
});

it('what cannot be written where it should is told with the option', async () => {
  const taken = fileURLToPath(import.meta.url);
  await expect(fileSink(taken)).rejects.toThrow('overwrite it with `force`');
});

describe('files of a page', () => {
  const file = (name: string) => new File([bytesOf(name)], name);

  it('are described and converted, companions with them', { tags: 'slow' }, async () => {
    expect((await inspectBlob(file('digits.h5'))).format).toBe('keras-h5');
    const given = [file('digits.caffemodel'), file('digits.prototxt')];
    expect((await inspectBlob(given)).layers.length).toBeGreaterThan(10);
    const { files: written, result } = await convertBlob(given, 'digits.onnx');
    expect(result.model.format).toBe('caffe');
    const sink = memorySink();
    await convert(
      memoryFileSet({ 'digits.caffemodel': bytesOf('digits.caffemodel'), 'digits.prototxt': bytesOf('digits.prototxt') }, 'digits.caffemodel'),
      sink,
      'digits.onnx',
    );
    expect(new Uint8Array(await written.get('digits.onnx')!.arrayBuffer())).toEqual(sink.files.get('digits.onnx'));
  });

  it('of which there are none are told', async () => {
    await expect(inspectBlob([])).rejects.toMatchObject({ kind: 'usage' });
  });
});
