/** What every comparison of predictions has in common: both sides run on the same inputs, one sample after the other. */
import type { VerifyOptions } from './options.js';
import type { OutputsComparison } from './outputs.js';
import type { Arrays, Feeds, Side } from './side.js';

export interface RunSample {
  readonly feeds: Feeds;
  /** What the witness gave, and what the written file's runtime did. */
  readonly wanted: Arrays;
  readonly found: Arrays;
}

export interface SamplesToRun {
  readonly expected: Pick<Side, 'run'>;
  readonly actual: Pick<Side, 'run'>;
  readonly samples: number;
  sampleOf(sample: number): Feeds;
  readonly comparison: OutputsComparison;
}

/**
 * Runs both sides on each sample in turn, and compares.
 *
 * @param onRun sees each sample after it was compared
 */
export async function runSamples(
  { expected, actual, samples, sampleOf, comparison }: SamplesToRun,
  options: VerifyOptions,
  onRun: (run: RunSample, sample: number) => void,
): Promise<void> {
  for (let sample = 0; sample < samples; sample++) {
    options.onProgress?.('running', sample, samples);
    const feeds = sampleOf(sample);
    const wanted = await expected.run(feeds, sample);
    const found = await actual.run(feeds);
    comparison.add(wanted, found);
    onRun({ feeds, wanted, found }, sample);
    options.onSample?.(feeds, wanted, found, sample);
  }
}
