/** A fault that is smaller than what rounding does to its net. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { faultsFor } from './faults/any-net.js';
import { scoreFault, verifyEdited } from './faults/catalogue.js';
import { foreignNets, foreignSubject } from './faults/foreign.js';

/** Fifty narrow layers whose statistics are small: they make 2.8e-5 of a rounding. */
const NET = 'mobilenet_v2, weights of torch';

describe('in a net that makes much of a rounding', () => {
  let subject: Awaited<ReturnType<typeof foreignSubject>>;
  beforeAll(async () => {
    subject = await foreignSubject(foreignNets().find(({ name }) => name === NET)!);
  });
  afterAll(() => subject.close());

  it('every layer is looked at alone, and is right where the file is', async () => {
    const { verdict, trials, tolerance } = await verifyEdited(subject, () => {});
    expect(tolerance.rtol).toBeGreaterThan(1e-4);
    expect(verdict).toBe('match');
    expect(trials.find(({ kind }) => kind === 'alone')).toMatchObject({ passed: true });
  });

  it('another epsilon, which outputs do not show, is seen, placed and named', async () => {
    const fault = faultsFor(subject.map).find(({ kind }) => kind === 'epsilon')!;
    const report = await verifyEdited(subject, fault.edit);
    expect(report.outputs.every(({ passed }) => passed)).toBe(true);
    expect(report.trials.find(({ kind }) => kind === 'alone')!.message).toContain(`layer "${fault.layer}" (BatchNormalization)`);
    expect(await scoreFault(subject, fault)).toMatchObject({ verdict: 'mismatch', placed: true, named: true });
  });
});
