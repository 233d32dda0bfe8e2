/** A part of the catalogue of faults; `catalogue.slow.test.ts` has all of it. */
import { describe, expect, it } from 'vitest';
import { scoreNet, subjectOf } from './catalogue.js';
import { FAMILIES } from './families.js';

/** Each so many-th fault that fits. */
const EVERY = { depthwise: 14, transposed: 12, gated: 14 } as const;

describe('a fault that is put into a written file', () => {
  it.each(Object.entries(EVERY))('is seen, placed and named in a net of another family: %s', async (name, every) => {
    const map = FAMILIES.map((make) => make()).find((net) => net.name === name)!;
    const scores = await scoreNet(await subjectOf(map), every);
    const ran = scores.filter(({ outcome }) => outcome !== 'same');
    expect(ran.length).toBeGreaterThan(1);
    const lacking = ran.filter(({ placed, named }) => !(placed && named));
    expect(lacking.map(({ fault, found }) => `${fault.kind} in ${fault.layer}: ${found.said}`)).toEqual([]);
  });
});
