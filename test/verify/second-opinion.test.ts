/** A witness that differs alone is said to; a match on our own word alone is no match for whoever asks for a witness. */
import { describe, expect, it } from 'vitest';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { checksOf } from '../../src/report/checks.js';
import { nextStep } from '../../src/report/next-step.js';
import { isGood, onWhoseWord, verdictSentence } from '../../src/report/verdict.js';
import { effortFor } from '../../src/verify/effort.js';
import { comparePredictions } from '../../src/verify/predictions.js';
import type { Arrays } from '../../src/verify/side.js';
import type { Subject } from '../../src/verify/subject.js';
import { referenceWitness } from '../../src/verify/witness.js';
import { findWrittenFormat } from '../../src/verify/written/index.js';
import { branchedNet } from './faults/nets.js';
import { type Edit, editOnnx, skipNode } from './faults/onnx-edit.js';
import { verifyWrittenMap, written } from './small-files.js';

interface Asked {
  readonly format?: string;
  readonly kind?: 'runtime' | 'recorded';
  /** What the witness makes of the right answer. */
  readonly witness: (arrays: Arrays) => Arrays;
  readonly edit?: Edit;
}

/** The branched net as a file, with a witness that answers as it is told. */
async function judged({ format = 'keras-h5', kind = 'runtime', witness, edit = () => {} }: Asked) {
  const map = { ...branchedNet(), format };
  const bytes = editOnnx((await written(map))['net.onnx']!, edit);
  const target = { files: memoryFileSet({ 'net.onnx': bytes }, 'net.onnx'), format: 'onnx' };
  const opened = await findWrittenFormat('onnx')!.open(target.files, map.layers);
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
    openExpected: async () => {
      const right = await referenceWitness(map, {});
      const named = { kind, independent: true, detail: 'told what to say', refused: [] } as const;
      return { ...right, name: 'tfjs-wasm', engine: 'tfjs-wasm (told)', witness: named, run: async (feeds) => witness(await right.run(feeds)) };
    },
    compareLayers: async () => null,
  };
  return comparePredictions(subject, {});
}

const asIs = (arrays: Arrays) => arrays;
const otherwise = (arrays: Arrays) =>
  arrays.map((array) => array && { ...array, data: Float64Array.from(array.data as Float64Array, (v, i) => v + 0.01 * (i % 2)) });

describe('a witness that differs', () => {
  it('is disputed where our evaluator and the runtime of the file agree', async () => {
    const report = await judged({ witness: otherwise });
    expect(report).toMatchObject({ verdict: 'disputed', witness: { independent: true }, outputs: [{ passed: false }] });
    expect(isGood(report)).toBe(false);
    expect(verdictSentence(report)).toContain('tfjs-wasm differs');
    expect(nextStep(report)).toContain('--golden');
    expect(checksOf(report).some(({ failure }) => failure !== null)).toBe(true);
  });

  it('is right where it agrees', async () => {
    expect(await judged({ witness: asIs })).toMatchObject({ verdict: 'match' });
  });

  it('is right where the file differs from our evaluator too', async () => {
    expect((await judged({ witness: asIs, edit: skipNode('relu1') })).verdict).toBe('mismatch');
    expect((await judged({ witness: otherwise, edit: skipNode('relu1') })).verdict).toBe('mismatch');
  });

  it('is never disputed where the source was recorded, or run by its own runtime', async () => {
    expect((await judged({ witness: otherwise, kind: 'recorded' })).verdict).toBe('mismatch');
    expect((await judged({ witness: otherwise, format: 'onnx' })).verdict).toBe('mismatch');
  });
});

describe('a witness that is required', () => {
  it('is lacking where our own reading of the source is all there is', async () => {
    const map = branchedNet();
    const files = await written(map);
    const plain = await verifyWrittenMap(map, files);
    expect([plain.verdict, isGood(plain), onWhoseWord(plain)]).toEqual(['match', true, 'own reading of the source']);
    const report = await verifyWrittenMap(map, files, { requireWitness: true });
    expect([report.verdict, report.witnessRequired, isGood(report)]).toEqual(['match', true, false]);
    expect(checksOf(report)[0]).toMatchObject({ group: 'verdict', name: 'independent witness', failure: expect.stringContaining('--golden') });
  });
});
