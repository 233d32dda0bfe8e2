/** Models that Keras 3.15 itself saved: what the converted file computes is what Keras computed. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { memorySource } from '../../src/bytes/byte-source.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { readNpy } from '../../src/containers/npy.js';
import { openZip } from '../../src/containers/zip.js';
import { toFloat64Array } from '../../src/model/cast.js';
import { tensorBytes } from '../../src/model/tensor.js';
import { convertInMemory, type Run, runOnnx } from '../run-onnx.js';

const ARCHIVE = fileURLToPath(new URL('../fixtures/keras-real/nets.zip', import.meta.url));
const archive = await openZip(memorySource(new Uint8Array(readFileSync(ARCHIVE)), 'nets.zip'));
const models = archive.entries.map(({ name }) => name).filter((name) => name.includes('/model.'));

async function array(name: string): Promise<Run> {
  const tensor = await readNpy(await archive.get(name)!.source(), name);
  return { shape: tensor.shape, data: Float32Array.from(toFloat64Array(await tensorBytes(tensor), tensor.dtype)) };
}

function arrays(folder: string, kind: 'input' | 'output'): Promise<Run[]> {
  const count = archive.entries.filter(({ name }) => name.startsWith(`${folder}/${kind}-`)).length;
  return Promise.all(Array.from({ length: count }, (_, i) => array(`${folder}/${kind}-${i}.npy`)));
}

async function fileOf(path: string) {
  const source = await archive.get(path)!.source();
  const name = path.slice(path.indexOf('/') + 1);
  return memoryFileSet({ [name]: await source.read(0, source.byteLength) }, name);
}

/** What is wrong with results, by the place of the output. */
function differences(actual: readonly Run[], expected: readonly Run[]): Record<number, string> {
  const found: Record<number, string> = {};
  for (const [i, { shape, data }] of expected.entries()) {
    const made = actual[i];
    const scale = data.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
    if (`${made?.shape}` !== `${shape}`) found[i] = `[${made?.shape}], expected [${shape}]`;
    else if (data.some((value, j) => !(Math.abs(value - made!.data[j]!) <= 1e-5 * scale))) found[i] = `${made!.data.slice(0, 8)}, expected ${data.slice(0, 8)}`;
  }
  return found;
}

describe('Models that Keras saved', () => {
  it('are sixty-six files', () => {
    expect(models.length).toBe(66);
  });

  it.each(models)('%s predicts what Keras predicted', async (path) => {
    const folder = path.slice(0, path.indexOf('/'));
    const { bytes, result } = await convertInMemory(await fileOf(path));
    const results = await runOnnx(bytes, await arrays(folder, 'input'));
    const expected = await arrays(folder, 'output');
    expect(result.map!.outputs.length).toBe(expected.length);
    expect(
      differences(
        result.map!.outputs.map(({ name }) => results.get(name)!),
        expected,
      ),
    ).toEqual({});
  });
});
