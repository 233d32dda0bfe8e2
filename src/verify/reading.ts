/**
 * Whether our reading of a source is what the source computes. Narrower weights move outputs as a reader's mistake does, or a wrong guess of what weights
 * leave open, and what they cost is often told and not judged. So the source's own weights are run too, where somebody else says what comes out.
 */
import { isModelError } from '../errors.js';
import { arithmeticOf } from './arithmetic.js';
import { hasCodes } from './codes.js';
import type { VerifyOptions } from './options.js';
import { compareOutputs } from './outputs.js';
import { type RunSample, slackFor } from './samples.js';
import type { Subject } from './subject.js';
import { measuredTolerances, rtolsOf, tolerances } from './tolerance.js';
import { type Expected, referenceWitness } from './witness.js';

/** @returns what is wrong; null where nothing is, or nothing can be told: nets of codes go to either of two, and an operator that we lack was told before */
export async function checkReading(
  { map, edited }: Pick<Subject, 'map' | 'edited'>,
  samples: readonly RunSample[],
  witness: Pick<Expected, 'name'>,
  options: Pick<VerifyOptions, 'onProgress'>,
): Promise<string | null> {
  const source = edited?.comparable ?? map;
  if (hasCodes(source) || samples.length === 0) return null;
  try {
    const reference = await referenceWitness(map, options, [], edited);
    const asked = { expected: witness.name, actual: 'reference', recordedIn: arithmeticOf(source) };
    const net = { map, isRead: true, layers: false, side: reference, isDoubted: true } as const;
    const allowedFor = async (feeds: RunSample['feeds']) => rtolsOf((await measuredTolerances(asked, net, feeds)).outputs, map.outputs.length);
    const comparison = compareOutputs(map, tolerances(asked).outputs);
    for (const sample of samples) {
      const found = await reference.run(sample.feeds);
      const slack = await slackFor(map, { allowedFor, comparison }, { ...sample, found });
      if (slack) comparison.add(sample.wanted, found, slack);
    }
    const far = comparison.report().outputs.find(({ passed, compared }) => !passed && compared > 0);
    if (!far) return null;
    const apart = far.relativeToScale.toPrecision(2);
    return `the net is not read as the source computes it: with the source's own weights output "${far.name}" is ${apart} of its scale from what ${witness.name === 'recorded' ? 'was recorded' : `${witness.name} gives`}, which is not what narrower weights cost`;
  } catch (error) {
    if (!isModelError(error)) throw error;
    return null;
  }
}
