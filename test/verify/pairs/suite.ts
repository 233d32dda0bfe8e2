/** Any two files, of whatever formats: the same net in each, against each, and against each with one weight that is wrong. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { memorySink } from '../../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../../src/bytes/file-set.js';
import { convert } from '../../../src/convert.js';
import { nodeFileSet } from '../../../src/node/index.js';
import { readers } from '../../../src/readers/index.js';
import { openModel, recognise } from '../../../src/readers/open.js';
import { onWhoseWord } from '../../../src/report/verdict.js';
import { verifyFiles } from '../../../src/verify/files.js';
import { writers } from '../../../src/writers/index.js';
import { outputName } from '../../contracts/samples.js';
import { digitsGraph, digitsLite } from './digits-graphs.js';

const DIGITS = fileURLToPath(new URL('../../../demo/digits/digits.h5', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'weighbridge-pairs-'));
/** Paths by format. */
const right = new Map<string, string>();
const wrong = new Map<string, string>();

/** Which engine runs the original, where it is not our own reading of it. */
const INDEPENDENT: Readonly<Record<string, string>> = {
  'keras-h5': 'tfjs-wasm',
  'keras-v3': 'tfjs-wasm',
  caffe: 'opencv',
  onnx: 'ort-cpu',
  tfjs: 'tfjs-wasm',
  'tfjs-graph': 'tfjs-wasm',
};
/** Formats that keep weights and no wiring: whatever they are compared with, nothing is run. */
const WEIGHTS_ALONE: ReadonlySet<string> = new Set(['pytorch', 'safetensors', 'npz']);
/** Of these the one in which the weights have names by which the net is known. */
const KNOWN = 'pytorch';

/** Formats that no runtime here runs. */
const RUN_BY_US: ReadonlySet<string> = new Set(['tensorflow', 'tflite']);

const FORMATS = readers.map(({ name }) => name);

/** The file with one of its 2,616 weights of the third convolution replaced. */
async function withWrongWeight(bytes: Uint8Array): Promise<Uint8Array> {
  const model = await openModel(memoryFileSet({ 'digits.h5': bytes }, 'digits.h5'));
  const { tensor } = model.tensors.find(({ tensor: { shape } }) => shape.join() === '3,3,12,24')!;
  const changed = bytes.slice();
  new DataView(changed.buffer).setFloat32(tensor.origin.offset! + 4 * 1000, 4, true);
  return changed;
}

/** @returns the path of the main file, or of the folder */
async function put(to: string, format: string, files: ReturnType<typeof memoryFileSet>): Promise<string> {
  const keep = (entries: Iterable<readonly [string, Uint8Array]>, main: string) => {
    for (const [name, content] of entries) {
      mkdirSync(dirname(join(to, name)), { recursive: true });
      writeFileSync(join(to, name), content);
    }
    return join(to, main);
  };
  const map = await (await openModel(files)).map();
  if (format === 'tensorflow') return keep([['net.pb', await digitsGraph(map)]], 'net.pb');
  if (format === 'tflite') return keep([['net.tflite', await digitsLite(map)]], 'net.tflite');
  const name = outputName(writers.find((writer) => writer.name === format)!);
  const sink = memorySink();
  // What an ONNX file with its channels last means by its axes only its metadata would say.
  await convert(files, sink, name, format === 'onnx' ? { to: format, layout: 'nchw' } : { to: format });
  return keep(sink.files, name);
}

async function verify(from: string, to: string) {
  const [files, targetFiles] = [await nodeFileSet(from), await nodeFileSet(to)];
  try {
    const model = await openModel(files);
    const prototxt = model.details.wiring?.endsWith('.prototxt') ? { prototxt: model.details.wiring } : {};
    const { name: format } = await recognise(targetFiles);
    const { report } = await verifyFiles({ source: { files, path: from, ...prototxt }, model, target: { files: targetFiles, path: to, format } }, () => ({
      samples: 1,
    }));
    return report;
  } finally {
    await files.close();
    await targetFiles.close();
  }
}

/** @param isTried whether two formats, by their places in the list of readers, are tried against each other */
export function pairsOfFormats(isTried: (from: number, to: number) => boolean): void {
  beforeAll(async () => {
    const bytes = new Uint8Array(readFileSync(DIGITS));
    for (const [name, made, files] of [
      ['right', right, memoryFileSet({ 'digits.h5': bytes }, 'digits.h5')],
      ['wrong', wrong, memoryFileSet({ 'digits.h5': await withWrongWeight(bytes) }, 'digits.h5')],
    ] as const) {
      for (const format of FORMATS) made.set(format, await put(join(folder, name, format), format, files));
    }
  }, 60_000);
  afterAll(() => rmSync(folder, { recursive: true }));

  describe.each(FORMATS)('%s', (from) => {
    const others = FORMATS.filter((_, place) => isTried(FORMATS.indexOf(from), place));
    it.each(others)('against %s: a match, on whose word is said, and a mismatch where one weight is wrong', async (to) => {
      const good = await verify(right.get(from)!, right.get(to)!);
      const engine = INDEPENDENT[from];
      const isOurs = RUN_BY_US.has(to);
      const word =
        (WEIGHTS_ALONE.has(from) && from !== KNOWN) || WEIGHTS_ALONE.has(to)
          ? 'own reading of the source, weights alone'
          : engine
            ? `independent: ${engine} on the original${isOurs ? '; own reading of the file' : ''}`
            : `own reading of ${isOurs ? 'both files' : 'the source'}`;
      expect({ verdict: good.verdict, word: onWhoseWord(good), why: good.firstDifference?.message ?? '' }).toEqual({ verdict: 'match', word, why: '' });
      const bad = await verify(right.get(from)!, wrong.get(to)!);
      expect(bad.verdict).toBe('mismatch');
    });
  });
}
