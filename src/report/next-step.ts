/** What to try next where two models do not match: a sentence that follows from what was found. */
import type { Report } from '../verify/report.js';
import { formatNumber } from './numbers.js';

/** Differences below this part of an output's scale come from rounding; the smallest real fault measured on VGG16 was ten times this. */
const ROUNDING = 5e-3;

/** @returns a sentence without colour or markup; the command line and every report show it */
export function nextStep(report: Report): string {
  const { weights, layers, outputs, tolerance, firstDifference, quantisation, witness } = report;
  if (report.verdict === 'nothing-compared') {
    return 'no output of one side could be paired with one of the other: compare the names and shapes that `weighbridge inspect` shows for both files.';
  }
  if (weights?.judged && weights.mismatches.length > 0) {
    const [first] = weights.mismatches;
    return `look at ${first!.role} of layer "${first!.layer}" first: its stored values are not the source's, so every output behind it is off. Convert again, and see whether the file was changed since.`;
  }
  if (quantisation?.correctness?.passed && quantisation.loss && !quantisation.loss.passed) {
    return 'the file computes what its narrowed weights say, so the conversion is right and the loss is the price of the dtype: a wider one (float16, uint16) loses less.';
  }
  const failed = layers?.find(({ passed }) => !passed);
  if (failed) {
    return `the layers before "${firstDifference?.layer ?? failed.layer}" (${failed.op}) agree, so look at its padding, stride, axis order and attributes in both files.`;
  }
  const isIncorrect = quantisation?.correctness?.passed === false;
  const worst = Math.max(0, ...outputs.map(({ relativeToScale }) => relativeToScale));
  if (tolerance.smallestPassing !== null && worst < ROUNDING && !isIncorrect) {
    return `the difference is of the size of rounding; --rtol ${formatNumber(tolerance.smallestPassing * 1.1)} would accept it. If the dtype does not explain it, --layers shows where it grows.`;
  }
  if (layers === null) return 'run it again with --layers, which names the first layer that differs.';
  if (!witness.independent)
    return 'record inputs and outputs in the source framework (weighbridge golden) and compare with --golden: a mistake of the reader shows only so.';
  return 'every layer compared agrees, so look at what follows the last of them, and at how the outputs are paired.';
}
