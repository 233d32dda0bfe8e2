/** HDF5 files of other people, and our own cut and flipped: right contents or a clear refusal. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { memorySource } from '../../src/bytes/byte-source.js';
import { type Hdf5Dataset, type Hdf5Group, openHdf5 } from '../../src/containers/hdf5/index.js';
import { isModelError } from '../../src/errors.js';
import { storedTensor, tensorBytes } from '../../src/model/tensor.js';
import { DIGITS } from '../cli/run-cli.js';
import { CORPUS, corpusCases, corpusTitle, describe as describeTensor, hasCorpus, type RecordedTensor, recordedTensors } from '../corpus.js';

describe.skipIf(!hasCorpus)(`low-level HDF5 files${corpusTitle}`, () => {
  const folder = join(CORPUS, 'hdf5-lowlevel');
  const index = hasCorpus
    ? (JSON.parse(readFileSync(join(folder, 'index.json'), 'utf8')) as {
        file: string;
        expect: string;
        tensors?: (RecordedTensor & { optional?: boolean })[];
      }[])
    : [];

  it.each(index)('$file', async ({ file, expect: answer, tensors = [] }) => {
    let found: Map<string, string>;
    try {
      found = await listDatasets(new Uint8Array(readFileSync(join(folder, file))));
    } catch (error) {
      if (answer === 'inspect' || !isModelError(error)) throw error;
      return;
    }
    for (const tensor of tensors) {
      if (tensor.optional && !found.has(tensor.name)) continue;
      expect([tensor.name, found.get(tensor.name)]).toEqual([tensor.name, describeTensor(tensor)]);
    }
  });
});

describe.skipIf(!hasCorpus)(`Keras files as plain HDF5${corpusTitle}`, () => {
  const cases = corpusCases(({ format, kind }) => format === 'keras-h5' && kind !== 'refuse');
  it.each(cases)('$case: every recorded tensor is a dataset with that content', async ({ folder, model }) => {
    const found = [...(await listDatasets(new Uint8Array(readFileSync(join(folder, model)))))];
    for (const tensor of recordedTensors(folder)) {
      const same = found.find(([name]) => name === tensor.name || name.endsWith(`/${tensor.name}`));
      expect([tensor.name, same?.[1]]).toEqual([tensor.name, describeTensor(tensor)]);
    }
  });
});

describe('a damaged file', () => {
  const whole = new Uint8Array(readFileSync(join(DIGITS, 'digits.h5')));

  it('cut anywhere gives a ModelError', async () => {
    for (let cut = 0; cut < whole.length; cut += cut < 3000 ? 1 : 1009) {
      const outcome = await listDatasets(whole.subarray(0, cut)).catch((error: unknown) => error);
      expect(isModelError(outcome), `cut at ${cut}: ${outcome}`).toBe(true);
    }
  });

  it('with a flipped byte gives a listing or a ModelError, quickly', async () => {
    for (let i = 0; i < 600; i++) {
      const bytes = whole.slice();
      const at = (i * 41) % 24_000;
      bytes[at] = bytes[at]! ^ (1 << (i % 8));
      const outcome = await listDatasets(bytes).catch((error: unknown) => error);
      expect(outcome instanceof Map || isModelError(outcome), `byte ${at}: ${outcome instanceof Error ? outcome.stack : outcome}`).toBe(true);
    }
  });
});

async function listDatasets(bytes: Uint8Array): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const seen = new Set<string>();
  const walk = async (group: Hdf5Group, depth: number): Promise<void> => {
    await group.attributes();
    for (const key of await group.keys()) {
      const child = await group.get(key);
      if (child?.kind === 'group') {
        if (depth < 20 && !seen.has(child.path)) {
          seen.add(child.path);
          await walk(child, depth + 1);
        }
      } else if (child?.dtype) found.set(child.path.slice(1), await describeDataset(child));
    }
  };
  await walk(await openHdf5(memorySource(bytes, 'x.h5')), 0);
  return found;
}

async function describeDataset({ path, dtype, shape, source, bigEndian }: Hdf5Dataset): Promise<string> {
  const tensor = storedTensor({ name: path, dtype: dtype!, shape, source, bigEndian, origin: { file: 'x.h5' } });
  return describeTensor({
    dtype: dtype!,
    shape,
    sha256: createHash('sha256')
      .update(await tensorBytes(tensor))
      .digest('hex'),
  });
}
