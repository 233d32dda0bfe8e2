/**
 * A second opinion where an independent witness contradicts. A runtime that imports another framework's files may have a layer wrong itself;
 * where our evaluator of the source and the written file's own runtime agree with each other, it stands alone, and that is said.
 */
import { isModelError } from '../errors.js';
import { compareOutputs } from './outputs.js';
import type { Ran } from './run-both.js';
import { isBeyondFloat32, slackFor } from './samples.js';
import { IMPORTED } from './side.js';
import type { Subject } from './subject.js';
import { referenceWitness } from './witness.js';

/** Whether the witness of a mismatch is contradicted in turn. What is recorded, or run by the source's own runtime, is never. */
export async function isWitnessAlone({ map, isRead }: Subject, { expected, kept, compared, narrowing, tolerances, ownAllowedFor }: Ran): Promise<boolean> {
  if (!isRead || narrowing || expected.witness.kind !== 'runtime' || !IMPORTED.has(map.format)) return false;
  const samples = compared.length > 0 ? compared : kept.slice(0, 1);
  if (samples.length === 0) return false;
  try {
    const { run, close } = await referenceWitness(map, {});
    try {
      const comparison = compareOutputs(map, tolerances.correctness('reference'));
      for (const { feeds, found, range } of samples) {
        const wanted = await run(feeds);
        if (isBeyondFloat32(range, wanted, found)) continue;
        const slack = await slackFor(map, { allowedFor: ownAllowedFor(map)({ run }), comparison }, { feeds, wanted, found, range });
        if (slack) comparison.add(wanted, found, slack);
      }
      return comparison.report().outputs.every(({ passed, compared: count }) => passed && count > 0);
    } finally {
      await close();
    }
  } catch (error) {
    if (!isModelError(error)) throw error;
    return false;
  }
}
