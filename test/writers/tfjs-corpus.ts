/**
 * Real nets of every source become TensorFlow.js models that predict what was recorded, or are declined with reasons. Shared by the quick
 * and the slow test, because the CPU backend takes a minute for the larger ones.
 */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { convert } from '../../src/convert.js';
import { isModelError } from '../../src/errors.js';
import type { LayerMap, Layout } from '../../src/model/layer-map.js';
import { isChannelsLast, toChannelsFirst, toChannelsLast } from '../../src/model/ports.js';
import { nodeFileSet } from '../../src/node/index.js';
import { permuteArray } from '../../src/verify/array.js';
import { corpusCases, corpusTitle, hasCorpus, readNpyFile } from '../corpus.js';
import type { Run } from '../run-onnx.js';
import { runTfjs, type TfjsForm } from '../run-tfjs.js';

const SOURCES: readonly string[] = ['caffe', 'keras-h5', 'keras-v3', 'tfjs-layers'];
const SMALL_BYTES = 64_000;

const cases = corpusCases(({ kind, format, expect: answer }) => kind === 'net' && SOURCES.includes(format) && (answer === 'convert' || answer === 'warn'));

/** Nets with what layers do not have, and the word that the reason must hold. */
const NOT_AS_LAYERS: Readonly<Record<string, RegExp>> = {
  // Normalisation within a channel: powers and quotients.
  'caffe-cifar10-full-hdf5': /Pow[\s\S]*Div/,
};

/** Turns a recorded array into the file's layout, or back. */
function toLayout(array: Run, from: string, to: Layout): Run {
  const rank = array.shape.length;
  if (rank < 3 || from === 'other' || to === 'other' || isChannelsLast(from as Layout) === isChannelsLast(to)) return array;
  return permuteArray(array, isChannelsLast(to) ? toChannelsLast(rank) : toChannelsFirst(rank)) as Run;
}

/** Defines the tests of the small nets, or of the others. */
export function testCorpus(size: 'small' | 'large'): void {
  const own = cases.filter(({ folder, model }) => statSync(join(folder, model)).size < SMALL_BYTES === (size === 'small'));
  describe.skipIf(!hasCorpus)(`real nets, ${size}${corpusTitle}`, () => {
    it('are all there', () => {
      expect([cases.length > 60, own.length > 10]).toEqual([true, true]);
    });

    describe.each(['tfjs', 'tfjs-graph'] as readonly TfjsForm[])('as %s', (form) => {
      it.each(own)('$case', async (entry) => {
        const files = await nodeFileSet(join(entry.folder, entry.model));
        const sink = memorySink();
        const outcome = await convert(files, sink, 'model.json', { to: form, prototxt: entry.prototxt ?? undefined }).catch((error: unknown) => error);
        await files.close();
        if (form === 'tfjs' && NOT_AS_LAYERS[entry.case]) {
          expect(isModelError(outcome, 'unsupported'), String(outcome)).toBe(true);
          expect(String(outcome)).toMatch(NOT_AS_LAYERS[entry.case]!);
          return;
        }
        if (outcome instanceof Error) throw outcome;
        const { userDefinedMetadata: facts } = JSON.parse(new TextDecoder().decode(sink.files.get('model.json'))) as {
          userDefinedMetadata: Record<string, Layout>;
        };
        const { map } = outcome as { map: LayerMap };
        const layout = (name: string) => facts[`weighbridge.layout.${name}`]!;
        const inputs = await Promise.all(
          entry.inputs.map(async ({ file, layout: own }, i) =>
            toLayout(await readNpyFile(join(entry.folder, file)), own === 'other' ? map.inputs[i]!.layout : own, layout(map.inputs[i]!.name)),
          ),
        );
        const made = await runTfjs(form, sink.files, inputs);
        const { atol, rtol } = entry.tolerance!;
        for (const [i, { file, layout: own }] of entry.outputs.entries()) {
          const expected = toLayout(await readNpyFile(join(entry.folder, file)), own === 'other' ? map.outputs[i]!.layout : own, layout(map.outputs[i]!.name));
          expect(made[i]!.data.length).toBe(expected.data.length);
          const scale = expected.data.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
          const worst = expected.data.reduce((max, value, k) => Math.max(max, Math.abs(value - made[i]!.data[k]!)), 0);
          expect(worst).toBeLessThanOrEqual(atol + rtol * scale);
        }
      });
    });
  });
}
