/** What a witness left in a folder goes with the comparison, whatever comes of it. Every net is taken for a heavy one here. */
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { expect, it, vi } from 'vitest';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { effortFor } from '../../src/verify/effort.js';
import { holdLayers } from '../../src/verify/held-layers.js';
import type { LayerSource } from '../../src/verify/layer-source.js';
import { comparePredictions } from '../../src/verify/predictions.js';
import type { Subject } from '../../src/verify/subject.js';
import { type Expected, referenceWitness } from '../../src/verify/witness.js';
import { findWrittenFormat } from '../../src/verify/written/index.js';
import { branchedNet } from './faults/nets.js';
import { written } from './small-files.js';

vi.mock('../../src/verify/effort.js', async (original) => ({ ...(await original<object>()), isHeavy: () => true }));

const folders = () => readdirSync(tmpdir()).filter((name) => name.startsWith('weighbridge-layers-') && name.includes(`-${process.pid}-`));
const aside: LayerSource = { name: 'aside', layers: new Set(), visit: async () => {}, visitAside: async () => new Map() };

async function subjectWith(more: Partial<Subject>, witness: Partial<Expected> = {}): Promise<{ subject: Subject; seen: number[] }> {
  const map = branchedNet();
  const target = { files: memoryFileSet({ 'net.onnx': (await written(map))['net.onnx']! }, 'net.onnx'), format: 'onnx' };
  const opened = await findWrittenFormat('onnx')!.open(target.files, map.layers);
  const seen: number[] = [];
  const subject: Subject = {
    map,
    target,
    written: opened,
    layoutOf: opened.layoutOf,
    isRead: true,
    effort: effortFor(false),
    assumed: [],
    training: [],
    overridable: [],
    openExpected: async () => ({
      ...(await referenceWitness(map, {})),
      hold: async (feeds) => {
        const held = await holdLayers(aside, feeds);
        seen.push(folders().length);
        return held;
      },
      ...witness,
    }),
    compareLayers: async () => null,
    ...more,
  };
  return { subject, seen };
}

const failing = () => Promise.reject(new Error('as told'));

it.each<[string, Partial<Subject>, Partial<Expected>]>([
  [
    'while both sides run',
    {
      checkInputs: () => {
        throw new Error('as told');
      },
    },
    {},
  ],
  ['while layers are compared', { compareLayers: failing }, {}],
  ['as the witness is put to rest', {}, { rest: failing }],
])('an error %s leaves no folder', async (_, more, witness) => {
  const { subject, seen } = await subjectWith(more, witness);
  await expect(comparePredictions(subject, { layers: true })).rejects.toThrow('as told');
  expect({ seen, left: folders() }).toEqual({ seen: [1], left: [] });
});

it('nor does a comparison that comes to its end', async () => {
  const { subject, seen } = await subjectWith({});
  expect(await comparePredictions(subject, { layers: true })).toMatchObject({ verdict: 'match' });
  expect({ seen, left: folders() }).toEqual({ seen: [1], left: [] });
});
