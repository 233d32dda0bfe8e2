/** What every comparison of predictions has in common: both sides run sample by sample, and the report on it. */
import type { Narrowing, RunSample } from './narrowing.js';
import type { VerifyOptions } from './options.js';
import type { OutputsComparison } from './outputs.js';
import type { NarrowingReport, Report } from './report.js';
import type { Arrays, Side } from './side.js';

export interface SamplesToRun {
  readonly expected: Pick<Side, 'run'>;
  readonly actual: Pick<Side, 'run'>;
  readonly samples: number;
  sampleOf(sample: number): Arrays;
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
  onRun: (run: RunSample) => void,
): Promise<void> {
  for (let sample = 0; sample < samples; sample++) {
    options.onProgress?.('running', sample, samples);
    const feeds = sampleOf(sample);
    const wanted = await expected.run(feeds, sample);
    const found = await actual.run(feeds);
    comparison.add(wanted, found);
    onRun({ feeds, found });
    options.onSample?.(feeds, wanted, found, sample);
  }
}

/** What both sides' run says by itself. */
type Ran = Pick<Report, 'witness' | 'engines' | 'device' | 'tolerance' | 'inputs' | 'outputs'>;

interface Findings extends Pick<Report, 'verdict' | 'layers' | 'weights' | 'firstDifference' | 'notes'> {
  readonly narrowing: Narrowing | null;
  readonly correctness: NarrowingReport | null;
  /** As `performance.now()` had it. */
  readonly startedAt: number;
}

/** The report on a run of both sides. */
export function predictionReport({ witness, engines, device, tolerance, inputs, outputs }: Ran, findings: Findings): Report {
  const { verdict, layers, weights, narrowing, correctness, firstDifference, notes, startedAt } = findings;
  return {
    schema: 'weighbridge/report@1',
    verdict,
    witness,
    engines,
    device,
    tolerance,
    inputs,
    outputs,
    layers,
    weights,
    quantisation: narrowing && {
      methods: narrowing.methods,
      correctness,
      loss: { expected: engines.expected, tolerance, outputs, passed: outputs.every(({ passed }) => passed) },
    },
    firstDifference,
    notes,
    elapsedMs: performance.now() - startedAt,
  };
}
