/** Models of Keras 3 with every layer option that is translated: predictions through the converted file equal Keras's own. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { memorySource } from '../../src/bytes/byte-source.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { readNpy } from '../../src/containers/npy.js';
import { openZip } from '../../src/containers/zip.js';
import { toFloat64Array } from '../../src/model/cast.js';
import { tensorBytes } from '../../src/model/tensor.js';
import { convertInMemory, type Run, runOnnx } from '../run-onnx.js';

const FIXTURES = fileURLToPath(new URL('../fixtures/keras-h5', import.meta.url));
const models = readdirSync(FIXTURES, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .flatMap(({ name }) => readdirSync(join(FIXTURES, name)).map((file) => ({ folder: join(FIXTURES, name), title: `${name}/${file}`, file })))
  .filter(({ file }) => /\.(h5|keras)$/.test(file));

function folderFiles(folder: string, main: string) {
  const files = readdirSync(folder).map((name) => [name, new Uint8Array(readFileSync(join(folder, name)))] as const);
  return memoryFileSet(Object.fromEntries(files), main);
}

/** Arrays of recorded.npz by name. */
async function recordedArrays(folder: string): Promise<Map<string, Run>> {
  const archive = await openZip(memorySource(new Uint8Array(readFileSync(join(folder, 'recorded.npz'))), 'recorded.npz'));
  const arrays = new Map<string, Run>();
  for (const entry of archive.entries) {
    const tensor = await readNpy(await entry.source(), entry.name);
    arrays.set(entry.name.replace('.npy', ''), { shape: tensor.shape, data: Float32Array.from(toFloat64Array(await tensorBytes(tensor), tensor.dtype)) });
  }
  return arrays;
}

describe('Keras fixtures', () => {
  it('are nine files', () => {
    expect(models.length).toBe(9);
  });

  it.each(models)('$title predicts what Keras predicted', async ({ folder, file }) => {
    const { bytes, result } = await convertInMemory(folderFiles(folder, file));
    const recorded = await recordedArrays(folder);
    const inputs = result.map!.inputs.map((_, i) => recorded.get(`input-${i}`)!);
    const results = await runOnnx(bytes, inputs);
    const names = result.map!.outputs.map(({ name }) => name);
    expect(names.map((_, i) => `output-${i}`).sort()).toEqual([...recorded.keys()].filter((name) => name.startsWith('output')).sort());
    const differences: Record<string, number | string> = {};
    for (const [i, name] of names.entries()) {
      const expected = recorded.get(`output-${i}`)!;
      const actual = results.get(name)!;
      const worst = expected.data.reduce((max, value, j) => Math.max(max, Math.abs(value - actual.data[j]!)), 0);
      if (`${expected.shape}` !== `${actual.shape}`) differences[name] = `[${actual.shape}], expected [${expected.shape}]`;
      else if (!(worst < 2e-6)) differences[name] = worst;
    }
    expect(differences).toEqual({});
  });
});
