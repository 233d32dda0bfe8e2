/** Whose fault a difference is: the file's, or that of what a runtime makes of the graph before it runs it, of the file's or of what was recorded. */
import { isModelError } from '../errors.js';
import type { LayerMap } from '../model/layer-map.js';
import { RUNTIMES_FAULT } from '../words.js';
import { distance } from './causes/recording.js';
import type { EngineModel } from './engine.js';
import { selectEngine } from './engines/index.js';
import type { VerifyOptions, WrittenTarget } from './options.js';
import { compareOutputs, type OutputsComparison } from './outputs.js';
import type { RunSample } from './samples.js';
import { type LayoutOf, portRunner } from './side.js';

/** Sums of float32 in another order. */
const LEAST = 2e-5;

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

/** What is left of a difference that is explained by what the source's runtime does. */
const PART = 0.1;

/**
 * Runs a recorded sample in the source's own runtime, as it is optimised there and as it is written.
 *
 * @returns a sentence where the one gives what was recorded, and the other what the file gives
 */
export async function blameRecording(
  source: EngineModel,
  map: LayerMap,
  { feeds, wanted, found }: Pick<RunSample, 'feeds' | 'wanted' | 'found'>,
  host: VerifyOptions['host'],
): Promise<string | null> {
  const { engine } = await selectEngine('onnx', { host });
  if (!engine.optimises) return null;
  const most = Math.max(LEAST, PART * distance(found, wanted));
  const gives = async (asWritten: boolean, what: RunSample['found']) => {
    const session = await engine.open({ ...source, asWritten });
    try {
      return distance(await portRunner(session, map, (port) => port.layout)(feeds), what) <= most;
    } finally {
      await session.close();
    }
  };
  try {
    if (!(await gives(true, found)) || !(await gives(false, wanted))) return null;
    return `the recording is what ${engine.name} makes of the source with its optimisations, and without them it makes what this file does: the file is not at fault, and a recording without them would match`;
  } catch (error) {
    if (!isModelError(error)) throw error;
    return null;
  }
}
