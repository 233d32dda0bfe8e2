/** Whose fault a difference is: the file's, or that of what its runtime makes of the graph before it runs it. */
import { isModelError } from '../errors.js';
import type { LayerMap } from '../model/layer-map.js';
import { RUNTIMES_FAULT } from '../words.js';
import { selectEngine } from './engines/index.js';
import type { VerifyOptions, WrittenTarget } from './options.js';
import { compareOutputs, type OutputsComparison } from './outputs.js';
import type { RunSample } from './samples.js';
import { type LayoutOf, portRunner } from './side.js';

/**
 * Runs a sample that differs once more, without the runtime's optimisations.
 *
 * @returns whether those are at fault, and a sentence on it; null where the runtime has none, or cannot do without them
 */
export async function blame(
  target: WrittenTarget,
  map: LayerMap,
  layoutOf: LayoutOf,
  { feeds, wanted }: Pick<RunSample, 'feeds' | 'wanted'>,
  { tolerance }: Pick<OutputsComparison, 'tolerance'>,
  options: VerifyOptions,
): Promise<{ readonly isRuntimes: boolean; readonly sentence: string } | null> {
  const { engine } = await selectEngine(target.format, options);
  if (!engine.optimises) return null;
  try {
    const session = await engine.open({ ...target, asWritten: true });
    const comparison = compareOutputs(map, tolerance);
    try {
      comparison.add(wanted, await portRunner(session, map, layoutOf)(feeds));
    } finally {
      await session.close();
    }
    const isRuntimes = comparison.report().outputs.every(({ passed }) => passed);
    const sentence = isRuntimes
      ? `run as it is written, without the optimisations of ${engine.name}, the file gives what is expected: ${RUNTIMES_FAULT}`
      : `without the optimisations of ${engine.name} it differs as well, so they are not at fault`;
    return { isRuntimes, sentence };
  } catch (error) {
    if (!isModelError(error)) throw error;
    return null;
  }
}
