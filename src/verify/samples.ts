/** What every comparison of predictions has in common: both sides run on the same inputs, one sample after the other. */
import { isModelError } from '../errors.js';
import type { LayerMap } from '../model/layer-map.js';
import { TOO_SENSITIVE_THERE } from '../words.js';
import { TOO_SENSITIVE } from './band.js';
import { PLAIN, type Range } from './inputs.js';
import type { VerifyOptions } from './options.js';
import { compareOutputs, type OutputsComparison } from './outputs.js';
import type { Arrays, Feeds, Side } from './side.js';

export interface RunSample {
  readonly feeds: Feeds;
  /** What the witness gave, and what the written file's runtime did. */
  readonly wanted: Arrays;
  readonly found: Arrays;
  readonly range: Range;
}

export interface SamplesToRun {
  readonly map: Pick<LayerMap, 'inputs' | 'outputs'>;
  readonly expected: Pick<Side, 'run'>;
  readonly actual: Pick<Side, 'run'>;
  readonly samples: number;
  sampleOf(sample: number): { readonly feeds: Feeds; readonly range: Range };
  readonly comparison: OutputsComparison;
  /** What the tolerance was measured on, where that is among the samples. */
  readonly measuredOn?: Feeds;
  readonly allowedFor: AllowedFor;
  /** The largest part of an output's scale that what is allowed for a sample may be; `TOO_SENSITIVE` where left out. */
  readonly most?: number;
  /** Whether the expected side computes in float64, and so overflows where no runtime can follow. */
  readonly isWide: boolean;
}

/** Ranges of inputs that say nothing of the file, and why. */
export interface LeftOut {
  readonly range: Range;
  readonly why: string;
  /** Whether it is rounding that decides there. */
  readonly isSensitive?: true;
}

/**
 * Runs both sides on each sample in turn, and compares. A sample out of the ordinary that the expected side itself cannot compute, or where
 * it is so sensitive that rounding decides, is left out.
 *
 * @param onRun sees each sample after it was compared
 */
export async function runSamples(
  { map, expected, actual, samples, sampleOf, comparison, measuredOn, allowedFor, most, isWide }: SamplesToRun,
  options: VerifyOptions,
  onRun: (run: RunSample) => void,
): Promise<LeftOut[]> {
  const leftOut: LeftOut[] = [];
  for (let sample = 0; sample < samples; sample++) {
    options.onProgress?.('running', sample, samples);
    const { feeds, range } = sampleOf(sample);
    const wanted = await expectedOf(expected, feeds, sample, range);
    if (typeof wanted === 'string') {
      leftOut.push({ range, why: wanted });
      continue;
    }
    const found = await actual.run(feeds);
    if (isWide && isBeyondFloat32(range, wanted, found)) {
      leftOut.push({ range, why: 'the file overflows there, as float32 may: the expected side computes in float64' });
      continue;
    }
    const slack = await slackFor(map, { allowedFor, comparison, most }, { feeds, wanted, found, range });
    if (slack === null) {
      leftOut.push({ range, why: TOO_SENSITIVE_THERE, isSensitive: true });
      continue;
    }
    comparison.add(wanted, found, slack, feeds === measuredOn);
    onRun({ feeds, wanted, found, range });
    options.onSample?.(feeds, wanted, found, sample);
  }
  return leftOut;
}

/** Whether a side leaves float32 on numbers so large that it may. */
export function isBeyondFloat32(range: Range, wanted: Arrays, found: Arrays): boolean {
  return range.isLarge === true && !(holds(wanted) && holds(found));
}

/** Whether all values are such as float32 holds. */
function holds(arrays: Arrays): boolean {
  return arrays.every((array) => !array?.data.some((value) => !(Math.abs(Number(value)) <= LARGEST_FLOAT32)));
}

const LARGEST_FLOAT32 = 3.4028234663852886e38;

/** What the expected side makes of a sample; why it makes nothing of use, where the sample's numbers are out of the ordinary. */
async function expectedOf(expected: Pick<Side, 'run'>, feeds: Feeds, sample: number, range: Range): Promise<Arrays | string> {
  if (range === PLAIN) return expected.run(feeds, sample);
  try {
    const wanted = await expected.run(feeds, sample);
    return holds(wanted) ? wanted : 'the expected side overflows there';
  } catch (error) {
    if (!isModelError(error)) throw error;
    return `the expected side does not compute them: ${error.message}`;
  }
}

/** Times the tolerance: what numbers out of the ordinary are there to show, a clip or an overflow, is a hundred times more. */
const LEAST_SLACK = 10;

/** rtol of each output for one input, by what rounding does there, however much that is; null where that is not known. */
export type AllowedFor = (feeds: Feeds) => Promise<readonly number[] | null>;

/**
 * How much more than the tolerance a sample may differ, for each output, where it does: nets are more sensitive on one input than on
 * another. Only asked where it matters.
 *
 * @returns null where rounding alone explains it, and would explain so much that nothing is proved
 */
export async function slackFor(
  map: Pick<LayerMap, 'inputs' | 'outputs'>,
  { allowedFor, comparison, most: given }: Pick<SamplesToRun, 'allowedFor' | 'comparison' | 'most'>,
  { feeds, wanted, found, range }: Pick<RunSample, 'feeds' | 'wanted' | 'found' | 'range'>,
): Promise<readonly number[] | null> {
  const trial = compareOutputs(map, comparison.tolerance);
  trial.add(wanted, found);
  const { outputs } = trial.report();
  if (outputs.every(({ passed }) => passed) || outputs.some(({ nonFinite }) => nonFinite.actual > 0)) return [];
  const most = Math.max(given ?? TOO_SENSITIVE, comparison.tolerance.rtol);
  const least = range === PLAIN ? 0 : Math.min(LEAST_SLACK * comparison.tolerance.rtol, most);
  const allowed = await allowedFor(feeds);
  const slack = outputs.map((_, i) => Math.max(least, allowed?.[i] ?? 0));
  const isExplained = outputs.every(({ relativeToScale }, i) => relativeToScale <= slack[i]!);
  // A recording in codes is the only one of its kind, and there a difference is judged by itself.
  const proves = given === undefined ? slack.every((rtol) => rtol <= most) : outputs.every(({ relativeToScale }) => relativeToScale <= most);
  return isExplained && !proves ? null : slack.map((rtol) => Math.min(rtol, most));
}
