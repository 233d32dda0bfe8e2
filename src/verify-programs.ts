/** Verification as programs call it: what is misspelt is refused, and errors speak of options. See `programs.ts`. */
import { checkOptions, forPrograms, type OptionNames } from './spelling.js';
import type { Report } from './verify/report.js';
import { type RunsToVerify, verifyRuns as verifyTwo } from './verify/runs.js';
import { type ConversionToVerify, type VerifyOptions, verifyConversion as verifyWritten } from './verify/verify.js';

const VERIFY: OptionNames<VerifyOptions> = {
  golden: true,
  inputs: true,
  inputNotes: true,
  requireWitness: true,
  samples: true,
  seed: true,
  layers: true,
  first: true,
  atol: true,
  rtol: true,
  engine: true,
  device: true,
  host: true,
  onProgress: true,
  onMap: true,
  onPlaced: true,
  onSample: true,
};

/**
 * Compares a written file with what it was made from: what it predicts, where it can be run, and each of its weights.
 *
 * @throws ModelError 'engine' when no engine can run the file, 'malformed' when recorded arrays do not fit the model
 */
export async function verifyConversion(conversion: ConversionToVerify, options: VerifyOptions = {}): Promise<Report> {
  return forPrograms({}, async () => {
    checkOptions(options, VERIFY, 'verifyConversion');
    return verifyWritten(conversion, options);
  });
}

/**
 * Runs both files on the same inputs; with recorded outputs, the target alone.
 *
 * @throws ModelError 'engine' when one cannot be run, 'malformed' when their ports do not fit each other
 */
export async function verifyRuns(runs: RunsToVerify, options: VerifyOptions = {}): Promise<Report> {
  return forPrograms({}, async () => {
    checkOptions(options, VERIFY, 'verifyRuns');
    return verifyTwo(runs, options);
  });
}
