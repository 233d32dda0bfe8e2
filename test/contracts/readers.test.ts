// @module-tag slow
/** What holds for every reader: it knows its own files and no others, and whatever stands in a file, it reads them or says why not. */
import { beforeAll, describe, expect, it } from 'vitest';
import type { FileSet } from '../../src/bytes/file-set.js';
import { isModelError } from '../../src/errors.js';
import { tensorBytes } from '../../src/model/tensor.js';
import { readers } from '../../src/readers/index.js';
import { openModel } from '../../src/readers/open.js';
import { PROBE_BYTES, type Probe } from '../../src/readers/reader.js';
import { filesOf, type Sample, samples } from './samples.js';

const FORMATS = readers.map(({ name }) => name);
let all: ReadonlyMap<string, Sample>;
beforeAll(async () => {
  all = new Map((await samples()).map((sample) => [sample.format, sample]));
});

async function probeOf(files: FileSet): Promise<Probe> {
  const source = files.main === null ? null : await files.open(files.main);
  const edge = Math.min(PROBE_BYTES, source?.byteLength ?? 0);
  return {
    files,
    name: files.main,
    source,
    head: source ? await source.read(0, edge) : new Uint8Array(),
    tail: source ? await source.read(source.byteLength - edge, source.byteLength) : new Uint8Array(),
  };
}

async function matching(files: FileSet): Promise<string[]> {
  const probe = await probeOf(files);
  const found: string[] = [];
  for (const reader of readers) if (await reader.match(probe)) found.push(reader.name);
  return found;
}

/** Everything that a file holds: wiring and weights. */
async function readAll(files: FileSet): Promise<{ layers: number | null; tensors: string[] }> {
  const model = await openModel(files);
  for (const { tensor } of model.tensors) await tensorBytes(tensor);
  const tensors = model.tensors.map(({ tensor: { name, dtype, shape } }) => `${name} ${dtype} [${shape}]`);
  try {
    return { layers: (await model.map()).layers.length, tensors };
  } catch (error) {
    // Weights without a wiring of their own are read as weights.
    if (isModelError(error, 'unsupported')) return { layers: null, tensors };
    throw error;
  }
}

const attempt = (files: FileSet) => readAll(files).catch((error: unknown) => error);

function expectModelError(outcome: unknown, what: string): void {
  expect(isModelError(outcome), `${what}: ${outcome instanceof Error ? outcome.stack : JSON.stringify(outcome)}`).toBe(true);
}

describe.each(FORMATS)('%s', (format) => {
  it('is recognised by its own reader and by no other', async () => {
    const sample = all.get(format)!;
    expect(await matching(filesOf(sample))).toEqual([format]);
    expect((await openModel(filesOf(sample))).format).toBe(format);
  });

  it('is recognised by content: under no name or another it is the same', async () => {
    const { files, main } = all.get(format)!;
    const { [main!]: bytes, ...companions } = files;
    // A name is a hint where nothing else is; no format is taken for another because of it.
    for (const name of ['model', 'model.bin', 'model.h5', 'model.onnx']) {
      const found = await matching(filesOf({ format, files: { ...companions, [name]: bytes! }, main: name }));
      expect([[format], []]).toContainEqual(found);
    }
  });

  it('is read whole, the same each time', async () => {
    const sample = all.get(format)!;
    const read = await readAll(filesOf(sample));
    expect(read.tensors.length).toBeGreaterThan(0);
    expect(await readAll(filesOf(sample))).toEqual(read);
  });

  it('cut anywhere, in any of its files, is refused with a clear error', async () => {
    const sample = all.get(format)!;
    const whole = await readAll(filesOf(sample));
    const accepted: string[] = [];
    for (const [name, bytes] of Object.entries(sample.files)) {
      // Ends and starts densely, the middle at every so many bytes.
      const step = Math.max(1, Math.floor(bytes.length / 150));
      for (let cut = 0; cut < bytes.length; cut += cut < 40 || cut > bytes.length - 40 ? 1 : step) {
        const outcome = await attempt(filesOf(sample, { [name]: bytes.slice(0, cut) }));
        // That there is no wiring any more is told when it is asked for.
        if (isModelError(outcome) || (whole.layers !== null && (outcome as typeof whole).layers === null)) continue;
        if (outcome instanceof Error) expectModelError(outcome, `${name} cut at ${cut}`);
        // Python beside weights is not read; what is accepted is as much as before, or less of a run of records.
        if (!name.endsWith('.py') && JSON.stringify(outcome) !== JSON.stringify(whole)) accepted.push(`${name} at ${cut}`);
      }
    }
    // A protobuf message or a text of layers, cut between two of them, is a shorter one.
    expect(accepted.length, accepted.join(', ')).toBeLessThanOrEqual(['caffe', 'tensorflow', 'onnx'].includes(format) ? 12 : 0);
  });

  it('with a changed byte is read or refused, never a bug', async () => {
    const sample = all.get(format)!;
    for (const [name, bytes] of Object.entries(sample.files)) {
      const step = Math.max(1, Math.floor(bytes.length / 120));
      for (let at = 0, i = 0; at < bytes.length; at += step, i++) {
        const changed = bytes.slice();
        changed[at]! ^= [1, 0x80, 0xff, 0x20][i % 4]!;
        const outcome = await attempt(filesOf(sample, { [name]: changed }));
        if (outcome instanceof Error) expectModelError(outcome, `${name}, byte ${at}`);
      }
    }
  });

  it('without a companion names it', async () => {
    const { files, main } = all.get(format)!;
    for (const missing of Object.keys(files).filter((name) => name !== main && !name.endsWith('.py'))) {
      const { [missing]: _, ...left } = files;
      const outcome = await attempt(filesOf({ format, files: left, main }));
      if (!(outcome instanceof Error)) continue;
      expectModelError(outcome, missing);
    }
  });
});

it('what is no model is recognised by no reader', async () => {
  const texts = ['', '{}', '[1, 2]', '<!DOCTYPE html>', 'version https://git-lfs.github.com/spec/v1\n', '\0'.repeat(600), 'PK', '\x89PNG\r\n\x1a\n', 'hello'];
  for (const text of texts) {
    const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
    expect([text.slice(0, 20), await matching(filesOf({ format: '', files: { model: bytes }, main: 'model' }))]).toEqual([text.slice(0, 20), []]);
  }
});
