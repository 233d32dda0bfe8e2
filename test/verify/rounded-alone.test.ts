/** Weights that were rounded in a file that does not say what it was made from. */
import { beforeAll, describe, expect, it } from 'vitest';
import { roundToHalf } from '../../src/verify/half.js';
import { faultsFor } from './faults/any-net.js';
import { type Subject, scoreFault, subjectOf, verifyEdited } from './faults/catalogue.js';
import { FAMILIES } from './faults/families.js';
import { change, type Edit } from './faults/onnx-edit.js';

describe('a weight that was rounded to a narrower dtype and widened again', () => {
  let subject: Subject;
  beforeAll(async () => {
    subject = await subjectOf(FAMILIES.map((make) => make()).find(({ name }) => name === 'flattened')!);
  });

  it('is seen among others that are what they were, though outputs agree', async () => {
    const fault = faultsFor(subject.map).find(({ kind }) => kind === 'kernel rounded to float16')!;
    const report = await verifyEdited(subject, fault.edit);
    expect(report.outputs.every(({ passed }) => passed)).toBe(true);
    expect(report.weights).toMatchObject({ judged: true, mismatches: [{ layer: fault.layer, role: 'kernel' }] });
    expect(await scoreFault(subject, fault)).toMatchObject({ outcome: 'seen', placed: true, named: true });
  });

  it('is told and not judged where all weights are, as they are after training in halves', async () => {
    const { layers } = subject.map;
    const all: Edit = (graph) => {
      for (const { name, weights } of layers) for (const at of Object.keys(weights).keys()) change(name, at + 1, roundToHalf)(graph);
    };
    const { weights } = await verifyEdited(subject, all);
    expect(weights).toMatchObject({ judged: false });
    expect(weights!.mismatches.length).toBeGreaterThan(2);
  });

  it('is none where a weight is another, and not what rounding makes of it', async () => {
    const { name } = layers(subject).find(({ op }) => op === 'Conv')!;
    const { weights } = await verifyEdited(
      subject,
      change(name, 1, (value) => value * (1 + 1e-6)),
    );
    expect(weights).toMatchObject({ judged: false });
  });
});

const layers = ({ map }: Subject) => map.layers;
