/** ONNX files of other people: every initializer with its content, and refusals. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { onnx as schema } from 'onnx-proto';
import { describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { type ConvertOptions, convert } from '../../src/convert.js';
import { isModelError } from '../../src/errors.js';
import { nodeFileSet } from '../../src/node/index.js';
import { type OpenOptions, openModel } from '../../src/readers/open.js';
import { DIGITS } from '../cli/run-cli.js';
import { CORPUS, corpusCases, corpusTitle, describe as describeTensor, hasCorpus, listedTensors, recordedTensors } from '../corpus.js';
import { convertInMemory } from '../run-onnx.js';

const cases = corpusCases(({ format }) => format === 'onnx');

describe.skipIf(!hasCorpus)(`real ONNX files${corpusTitle}`, () => {
  it('are all there', () => {
    expect(cases.length).toBe(49);
  });

  it.each(cases.filter(({ kind }) => kind !== 'refuse'))(
    '$case: every initializer is listed with its content, and what Constant nodes hold may be',
    async ({ folder, model }) => {
      const files = await nodeFileSet(join(folder, model));
      const listed = await listedTensors(await openModel(files));
      await files.close();
      const recorded = recordedTensors(folder).map((tensor) => [tensor.name, describeTensor(tensor)] as const);
      expect(Object.fromEntries(listed)).toMatchObject(Object.fromEntries(recorded));
    },
  );

  it.each(cases.filter(({ expect: answer }) => answer === 'refuse'))('$case is refused', async ({ folder, model }) => {
    const files = await nodeFileSet(join(folder, model));
    const outcome = await openModel(files).catch((error: unknown) => error);
    await files.close();
    expect(isModelError(outcome)).toBe(true);
  });
});

it('a file that was cut anywhere is refused', async () => {
  const files = await nodeFileSet(join(DIGITS, 'digits.pth'));
  const { bytes } = await convertInMemory(files);
  await files.close();
  for (let cut = 0; cut < bytes.length - 700; cut += cut < 2000 ? 1 : 499) {
    const outcome = await openModel(memoryFileSet({ 'x.onnx': bytes.subarray(0, cut) }, 'x.onnx')).catch((error: unknown) => error);
    expect(isModelError(outcome), `cut at ${cut}`).toBe(true);
  }
});

const REPORTED = join(CORPUS, '../cases');

it.skipIf(!existsSync(join(REPORTED, 'onnx-constants-as-weights')))('weights in Constant nodes are listed and counted', async () => {
  const files = await nodeFileSet(join(REPORTED, 'onnx-constants-as-weights/model.onnx'));
  const { tensors } = await openModel(files);
  await files.close();
  expect(tensors.map(({ tensor }) => tensor.shape.join()).sort()).toEqual(['5', '5,8', '8', '8,3,3,3']);
});

it('external data that a download left as a Git LFS pointer is named as that', async () => {
  const source = await nodeFileSet(join(DIGITS, 'digits.pth'));
  const sink = memorySink();
  await convert(source, sink, 'x.onnx', { to: 'onnx', externalData: true });
  await source.close();
  const pointer = new TextEncoder().encode('version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 123456\n');
  const files = memoryFileSet({ 'x.onnx': sink.files.get('x.onnx')!, 'x.onnx.data': pointer }, 'x.onnx');
  await expect(openModel(files)).rejects.toMatchObject({ kind: 'malformed', place: { file: 'x.onnx.data' }, problem: expect.stringContaining('git lfs pull') });
});

describe('external data whose SHA-1 the file says', () => {
  const values = Uint8Array.from(new Uint8Array(Float32Array.of(1, -2).buffer));
  const sha1 = createHash('sha1').update(values).digest('hex');
  const convertWith = async (checksum: string, options: ConvertOptions = {}) => {
    const entries = { location: 'w.bin', offset: '0', length: '8', checksum };
    const graph = schema.GraphProto.create({
      name: 'net',
      node: [{ opType: 'Add', input: ['x', 'w'], output: ['y'] }],
      initializer: [{ name: 'w', dims: [2], dataType: 1, dataLocation: 1, externalData: Object.entries(entries).map(([key, value]) => ({ key, value })) }],
      input: [{ name: 'x', type: { tensorType: { elemType: 1, shape: { dim: [{ dimValue: 2 }] } } } }],
      output: [{ name: 'y', type: { tensorType: { elemType: 1, shape: { dim: [{ dimValue: 2 }] } } } }],
    });
    const bytes = schema.ModelProto.encode({ irVersion: 8, opsetImport: [{ domain: '', version: 17 }], graph }).finish();
    const sink = memorySink();
    await convert(memoryFileSet({ 'net.onnx': bytes, 'w.bin': values }, 'net.onnx'), sink, 'out.onnx', { to: 'onnx', ...options });
    return sink.files;
  };

  it.each([{}, { opset: 21 }, { externalData: true }])('is held to it, and what is written of it says no more: %j', async (options) => {
    for (const checksum of [sha1, sha1.toUpperCase()]) {
      const written = schema.ModelProto.decode((await convertWith(checksum, options)).get('out.onnx')!);
      expect(written.graph!.initializer!.flatMap(({ externalData }) => externalData!.map(({ key }) => key))).not.toContain('checksum');
    }
    for (const checksum of [createHash('sha1').update('another').digest('hex'), 'none'])
      await expect(convertWith(checksum, options)).rejects.toMatchObject({
        kind: 'malformed',
        place: { file: 'w.bin' },
        problem: expect.stringContaining(sha1),
      });
  });
});

describe('another input shape than the file says', () => {
  const written = async () => {
    const files = await nodeFileSet(join(DIGITS, 'digits.pth'));
    const { bytes } = await convertInMemory(files);
    await files.close();
    return memoryFileSet({ 'digits.onnx': bytes }, 'digits.onnx');
  };
  const portsOf = async (options: OpenOptions) => {
    const map = await (await openModel(await written(), options)).map();
    return [...map.inputs, ...map.outputs].map(({ shape }) => shape);
  };

  it('is worked out to the end', async () => {
    expect(await portsOf({})).toEqual([
      ['N', 3, 32, 32],
      ['N', 10],
    ]);
    expect(await portsOf({ inputShape: [2, 3, 32, 32] })).toEqual([
      [2, 3, 32, 32],
      [2, 10],
    ]);
  });

  it('is written, although a file of which nothing is asked is copied', async () => {
    const sink = memorySink();
    await convert(await written(), sink, 'two.onnx', { inputShape: [2, 3, 32, 32] });
    const map = await (await openModel(memoryFileSet({ 'two.onnx': sink.files.get('two.onnx')! }, 'two.onnx'))).map();
    expect(map.outputs[0]!.shape).toEqual([2, 10]);
  });

  it.each([
    ['does not fit the weights', [1, 3, 64, 64], /takes 512 features/],
    ['has another number of axes', [3, 32, 32], /4 axes/],
  ])('is refused where it %s', async (_, inputShape, says) => {
    await expect(portsOf({ inputShape })).rejects.toThrow(says);
  });
});
