/** TensorFlow.js models on disk run through TensorFlow.js's own loader. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { type ByteSource, filledSource } from '../../src/bytes/byte-source.js';
import { type FileSet, memoryFileSet } from '../../src/bytes/file-set.js';
import { type ConvertOptions, convert } from '../../src/convert.js';
import { ModelError } from '../../src/errors.js';
import type { NdArray } from '../../src/verify/engine.js';
import { engines } from '../../src/verify/engines/index.js';
import { tfjsCpu } from '../../src/verify/engines/tfjs-cpu.js';
import { tfjsWasm } from '../../src/verify/engines/tfjs-wasm.js';
import { DIGITS } from '../cli/run-cli.js';
import { CORPUS, corpusCases, corpusTitle, hasCorpus, readNpyFile } from '../corpus.js';
import { openedFiles } from '../open-files.js';

const folder = mkdtempSync(join(tmpdir(), 'weighbridge-tfjs-'));
afterAll(() => rmSync(folder, { recursive: true }));

function copyOf(name: string): string {
  const copy = join(folder, `${name}-${Math.random().toString(36).slice(2)}`);
  cpSync(join(CORPUS, name), copy, { recursive: true });
  return copy;
}

function excess(found: NdArray, expected: NdArray, { atol, rtol }: { atol: number; rtol: number }): number {
  expect(found.data.length).toBe(expected.data.length);
  const values = [...(expected.data as Float32Array)];
  const scale = Math.max(...values.map(Math.abs));
  return Math.max(...values.map((value, i) => Math.abs(value - Number(found.data[i])))) - (atol + rtol * scale);
}

test('every TensorFlow.js engine takes every kind of file that it can compute', () => {
  const tfjs = engines.filter(({ name }) => name.startsWith('tfjs-'));
  expect(tfjs.map(({ name }) => name)).toEqual(expect.arrayContaining(['tfjs-wasm', 'tfjs-cpu']));
  for (const engine of tfjs) expect(engine.formats).toEqual(['keras-h5', 'keras-v3', 'tfjs', 'tfjs-graph']);
});

describe(`models that others published${corpusTitle}`, () => {
  const cases = corpusCases(({ format, kind }) => format.startsWith('tfjs') && kind === 'net');

  test.skipIf(!hasCorpus)('these are among them', () => {
    expect(cases.map((entry) => entry.case)).toEqual(
      expect.arrayContaining(['tfjs-abalone', 'tfjs-graph-prefetch', 'tfjs-mobilenetv2-uint8', 'tfjs-tinyvgg-ntang', 'tfjs-tinyvgg-poloclub']),
    );
  });

  test.each(cases.flatMap((entry) => [tfjsWasm, tfjsCpu].map((engine) => ({ name: entry.case, engine, entry }))))(
    '$name gives what was recorded, on $engine.name',
    async ({ engine, entry }) => {
      // As a folder and as the file in it.
      const isFolder = engine === tfjsWasm && entry.model === 'model.json';
      const path = isFolder ? entry.folder : join(entry.folder, entry.model);
      const session = await engine.open({ files: await openedFiles(path), path, layers: true });
      const feeds = new Map<string, NdArray>();
      for (const [i, { name, file }] of entry.inputs.entries()) feeds.set(name ?? session.inputs[i]!.name, await readNpyFile(join(entry.folder, file)));
      const results = await session.run(feeds);
      for (const [i, { file }] of entry.outputs.entries()) {
        expect(excess([...results.values()][i]!, await readNpyFile(join(entry.folder, file)), entry.tolerance!)).toBeLessThanOrEqual(0);
      }
      expect(session.intermediates!.length).toBeGreaterThan(0);
      const inner = session.intermediates!.slice(0, 2);
      expect([...(await session.run(feeds, inner)).keys()]).toEqual(inner);
      await session.close();
    },
  );

  test.skipIf(!hasCorpus)('the inputs and the output of a graph model go by their names in the signature', async () => {
    const session = await tfjsCpu.open({ files: await openedFiles(join(CORPUS, 'tfjs-graph-prefetch')), layers: true });
    expect(session.inputs.map(({ name }) => name).sort()).toEqual(['cur_page', 'session_index']);
    expect(session.outputs).toHaveLength(1);
    // Weights are nodes too, but no values of the net.
    const { modelTopology } = JSON.parse(readFileSync(join(CORPUS, 'tfjs-graph-prefetch/model.json'), 'utf8'));
    const constants = modelTopology.node.filter(({ op }: { op: string }) => op === 'Const').map(({ name }: { name: string }) => name);
    expect(session.intermediates!.filter((name) => constants.includes(name))).toEqual([]);
    await session.close();
  });

  test.skipIf(!hasCorpus)('a session stays on its own backend when another engine is used in between', async () => {
    const files = await openedFiles(join(CORPUS, 'tfjs-abalone'));
    const session = await tfjsCpu.open({ files });
    const feeds = new Map([[session.inputs[0]!.name, await readNpyFile(join(CORPUS, 'tfjs-abalone/input.npy'))]]);
    await tfjsWasm.availability();
    const { getBackend } = await import('@tensorflow/tfjs-core');
    expect(getBackend()).toBe('wasm');
    await session.run(feeds);
    expect(getBackend()).toBe('cpu');
    await session.close();
  });

  test.skipIf(!hasCorpus)('a shard that is missing, one that is short, and weights without a topology are engine errors', async () => {
    const missing = copyOf('tfjs-abalone');
    rmSync(join(missing, 'weights.bin'));
    await expect(tfjsCpu.open({ files: await openedFiles(missing) })).rejects.toMatchObject({ message: expect.stringContaining('weights.bin') });
    const short = copyOf('tfjs-abalone');
    writeFileSync(join(short, 'weights.bin'), readFileSync(join(short, 'weights.bin')).subarray(0, 1000));
    await expect(tfjsCpu.open({ files: await openedFiles(short) })).rejects.toMatchObject({ kind: 'engine' });
    const bare = join(CORPUS, 'tfjs-faceapi-tiny-face-detector/tiny_face_detector_model-weights_manifest.json');
    await expect(tfjsCpu.open({ files: await openedFiles(bare) })).rejects.toMatchObject({ kind: 'engine' });
  });
});

test('a manifest cannot reach beyond the folder', async () => {
  const model = {
    modelTopology: { class_name: 'Sequential', config: { name: 's', layers: [] } },
    weightsManifest: [{ paths: ['../../etc/passwd'], weights: [{ name: 'a/kernel', shape: [1], dtype: 'float32' }] }],
  };
  const files = memoryFileSet({ 'model.json': new TextEncoder().encode(JSON.stringify(model)) }, 'model.json');
  await expect(tfjsCpu.open({ files })).rejects.toMatchObject({ kind: 'unsafe' });
});

test('a model.json that is no JSON is an engine error', async () => {
  const files = memoryFileSet({ 'model.json': new TextEncoder().encode('{"modelTopology": ') }, 'model.json');
  await expect(tfjsCpu.open({ files })).rejects.toMatchObject({ kind: 'engine' });
});

describe('weights are read where they are cut out of shards', () => {
  const feeds = new Map([['input', { shape: [1, 32, 32, 3], data: Float32Array.from({ length: 3072 }, (_, i) => (i % 251) / 251) }]]);

  async function written(options: ConvertOptions): Promise<FileSet> {
    const sink = memorySink();
    const source = await openedFiles(join(DIGITS, 'digits.h5'));
    await convert(source, sink, 'net', options);
    const files = Object.fromEntries([...sink.files].map(([name, bytes]) => [name.replace(/^net\//, ''), bytes]));
    return memoryFileSet(files, 'model.json');
  }

  /** The same files, of which each shard is another source. */
  const withShards = (files: FileSet, change: (source: ByteSource) => ByteSource): FileSet => ({
    ...files,
    open: async (name) => (name.endsWith('.json') ? files.open(name) : change(await files.open(name))),
  });
  const waitedFor = (source: ByteSource) => filledSource(source.name, source.byteLength, (start, target) => source.readInto(start, target));

  async function outputOf(files: FileSet): Promise<NdArray> {
    const session = await tfjsCpu.open({ files });
    try {
      const [output] = (await session.run(new Map([[session.inputs[0]!.name, [...feeds.values()][0]!]]))).values();
      return output!;
    } finally {
      await session.close();
    }
  }

  // Shards that end within a weight, and weights that end within a shard.
  test.each<ConvertOptions>([{ to: 'tfjs' }, { to: 'tfjs', shardBytes: 10_007 }, { to: 'tfjs-graph', shardBytes: 4099 }, { to: 'tfjs-graph', dtype: 'uint8' }])(
    '%j: none is read whole, and what they are is the same',
    async (options) => {
      const files = await written(options);
      const read = new Map<string, number>();
      const inPlace = withShards(files, (source) => ({
        ...source,
        read: () => Promise.reject(new Error('read whole')),
        readInto: () => Promise.reject(new Error('read whole')),
        readIntoNow(start, target) {
          read.set(source.name, (read.get(source.name) ?? 0) + target.byteLength);
          source.readIntoNow!(start, target);
        },
      }));
      const output = await outputOf(inPlace);
      expect(output).toEqual(await outputOf(withShards(files, waitedFor)));
      expect(output.data.some((value) => Number(value) > 0.1)).toBe(true);
      for (const [name, count] of read) expect([name, count]).toEqual([name, (await files.open(name)).byteLength]);
    },
  );

  test('one that cannot be read is told by what kept it', async () => {
    const broken = withShards(await written({ to: 'tfjs-graph' }), (source) => ({
      ...source,
      readIntoNow(start) {
        throw new ModelError('malformed', 'the file ends here', { file: source.name, offset: start });
      },
    }));
    await expect(outputOf(broken)).rejects.toMatchObject({ kind: 'malformed', problem: 'the file ends here' });
  });
});
