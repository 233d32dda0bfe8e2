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

/** An archive of nets, each a folder with the model's files, what was fed and what came out. */
async function netsOf(name: string) {
  const path = fileURLToPath(new URL(`../fixtures/${name}/nets.zip`, import.meta.url));
  const archive = await openZip(memorySource(new Uint8Array(readFileSync(path)), 'nets.zip'));
  const names = archive.entries.map((entry) => entry.name);
  const bytes = async (member: string) => {
    const source = await archive.get(member)!.source();
    return source.read(0, source.byteLength);
  };
  const array = async (member: string): Promise<Run> => {
    const tensor = await readNpy(await archive.get(member)!.source(), member);
    return { shape: tensor.shape, data: Float32Array.from(toFloat64Array(await tensorBytes(tensor), tensor.dtype)) };
  };
  return {
    models: names.filter((member) => member.includes('/model.')),
    /** @returns the file, what was fed and what came out, and the keys of dictionaries, in which both stand in order */
    read: async (model: string) => {
      const [folder, file] = model.split('/') as [string, string];
      const arrays = (kind: 'input' | 'output') =>
        Promise.all(
          Array.from({ length: names.filter((member) => member.startsWith(`${folder}/${kind}-`)).length }, (_, i) => array(`${folder}/${kind}-${i}.npy`)),
        );
      const keys: { inputs?: string[]; outputs?: string[] } = names.includes(`${folder}/names.json`)
        ? JSON.parse(new TextDecoder().decode(await bytes(`${folder}/names.json`)))
        : {};
      return { files: memoryFileSet({ [file]: await bytes(model) }, file), inputs: await arrays('input'), outputs: await arrays('output'), keys };
    },
  };
}

const real = await netsOf('keras-real');
const operations = await netsOf('keras-operations');

/** What is wrong with results, by the place of the output. */
function differences(actual: readonly Run[], expected: readonly Run[]): Record<number, string> {
  const found: Record<number, string> = {};
  for (const [i, { shape, data }] of expected.entries()) {
    const made = actual[i];
    const scale = data.reduce((most, value) => (Number.isFinite(value) ? Math.max(most, Math.abs(value)) : most), 1);
    if (`${made?.shape}` !== `${shape}`) found[i] = `[${made?.shape}], expected [${shape}]`;
    else if (data.some((value, j) => !(Object.is(value, made!.data[j]!) || Math.abs(value - made!.data[j]!) <= 1e-5 * scale)))
      found[i] = `${made!.data.slice(0, 8)}, expected ${data.slice(0, 8)}`;
  }
  return found;
}

describe('Models that Keras saved', () => {
  it('are sixty-six files, and eighteen of operations, dictionaries and codes', () => {
    expect([real.models.length, operations.models.length]).toEqual([66, 18]);
  });

  it.each([...real.models.map((model) => [model, real] as const), ...operations.models.map((model) => [model, operations] as const)])(
    '%s predicts what Keras predicted',
    async (model, { read }) => {
      const { files, inputs, outputs, keys } = await read(model);
      const { bytes, result } = await convertInMemory(files);
      const results = await runOnnx(bytes, inputs);
      const ports = { inputs: result.map!.inputs.map(({ name }) => name), outputs: result.map!.outputs.map(({ name }) => name) };
      expect(ports).toMatchObject(keys);
      expect(ports.outputs.length).toBe(outputs.length);
      // In the order of the ports, which need not bear their names in the file: an input may have the key of an output.
      expect(differences([...results.values()], outputs)).toEqual({});
    },
  );
});
