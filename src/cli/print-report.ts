/** A verification report as text. */
import { coverageSentence, coverageShare } from '../report/coverage.js';
import { nextStep } from '../report/next-step.js';
import { describeUnjudged, layersAllowed, layerWitnesses, worstLayers } from '../report/ranking.js';
import {
  isExcusedByFloat16,
  isGood,
  isJudgedByLoss,
  lacksWitness,
  limitSentence,
  NO_WITNESS,
  onWhoseWord,
  verdictGlance,
  verdictWord,
} from '../report/verdict.js';
import { describeAgreement } from '../verify/agreement.js';
import type { CoverageReport, LayerReport, NarrowingReport, OutputReport, QuantisationReport, Report, WeightsReport } from '../verify/report.js';
import { counted } from '../words.js';
import {
  type Column,
  colour,
  formatBytes,
  formatCount,
  formatDistance,
  formatNonFinite,
  formatNumber,
  formatTime,
  formatTimes,
  safeText,
  table,
} from './print.js';

const LAYERS_SHOWN = 6;
const MISMATCHES_SHOWN = 8;

/**
 * Prints what was compared with what, each output's distance, layers and weights where they were compared, and the verdict.
 *
 * @param verbose with what was tried besides, what no input reached, and where the limit comes from
 * @param isBisected whether `--bisect` was given, and is not to be advised
 */
export function printReport(say: (text: string) => void, report: Report, verbose = false, isBisected = false): void {
  const { witness, engines, inputs, tolerance, verdict, firstDifference } = report;
  const facts = [
    `${engines.expected} -> ${engines.actual}${report.device === 'cpu' || engines.actual.includes(report.device) ? '' : ` on ${report.device}`}`,
    inputs.kind === 'none'
      ? ''
      : `${counted(inputs.samples, 'input')}${inputs.seed === null ? '' : `, seed ${inputs.seed}`}${inputs.ranges.length > 1 ? `, ${inputs.ranges.length} ranges` : ''}`,
    formatTime(report.elapsedMs),
  ];
  say(`verify   ${safeText(facts.filter((fact) => fact !== '').join('   '))}`);
  say(`witness  ${safeText(witness.detail)}`);
  if (report.outputs.length > 0) say(`\n${outputTable(report.outputs)}`);
  if (report.layers) printLayers(say, report, report.layers);
  say('');
  if (report.quantisation) {
    say(`stored   ${safeText(report.quantisation.methods.join(', '))}`);
    printNarrowing(say, 'correct', report.quantisation.correctness);
    printLoss(say, report.quantisation);
  }
  if (report.weights) printWeights(say, report.weights);
  printBeyondValues(say, report, verbose);
  for (const note of report.notes) say(`${colour.dim('note')}     ${safeText(note)}`);
  // The verdict says the same where narrower weights cost too much, and nothing else is wrong.
  const isSaid = firstDifference?.layer === undefined && isJudgedByLoss(report) && report.quantisation?.correctness?.passed !== false;
  if (firstDifference && !isSaid) say(`first difference: ${safeText(firstDifference.message)}`);
  if (report.cause) say(`cause    ${safeText(report.cause.message)}`);
  if (verbose && inputs.kind !== 'none') say(`limit    ${safeText(limitSentence(report))}`);
  const paint = isGood(report) ? colour.green : colour.red;
  say(`${paint(verdictWord(report))} (${safeText(onWhoseWord(report))}): ${safeText(verdictGlance(report))}`);
  if (verdict === 'mismatch' && tolerance.smallestPassing !== null && !isJudgedByLoss(report) && report.outputs.some(({ passed }) => !passed)) {
    say(`         the smallest rtol that would have passed is ${formatNumber(tolerance.smallestPassing)}`);
  }
  if (lacksWitness(report)) say(`failed   ${NO_WITNESS}`);
  if (verdict !== 'match') say(`next     ${safeText(nextStep(report, isBisected))}`);
}

function outputTable(outputs: readonly OutputReport[]): string {
  const rows = outputs.map((output) => [
    output.name,
    formatCount(output.compared),
    formatNonFinite(output.nonFinite),
    formatDistance(output, output.maxAbsolute),
    formatDistance(output, output.maxRelative),
    formatDistance(output, output.relativeToScale),
    output.cosine === null ? '' : output.cosine.toFixed(6),
    output.top1 ? `${output.top1.same} of ${output.top1.of}` : '',
  ]);
  const columns = [
    { title: 'output' },
    right('compared', true),
    right('not finite'),
    right('max abs'),
    right('max rel', true),
    right('of scale'),
    right('cosine', true),
    right('top-1'),
  ];
  return table(columns, rows);
}

/** What was compared beside the values of single inputs. */
function printBeyondValues(say: (text: string) => void, report: Report, verbose: boolean): void {
  for (const { passed, what, message } of report.trials) {
    if (passed === null || (passed && !verbose)) continue;
    say(passed ? `tried    ${safeText(message)}` : `tried    ${safeText(what)}: ${colour.red('failed')}: ${safeText(message)}`);
  }
  if (report.coverage) say(`coverage ${safeText(describeCoverage(report.coverage, verbose))}`);
  for (const { judged, message } of report.interface) if (judged) say(`ports    ${colour.red('differ')}: ${safeText(message)}`);
}

function describeCoverage(coverage: CoverageReport, verbose: boolean): string {
  const { unseen } = coverage;
  if (!verbose) return `${coverageShare(coverage)}${unseen.length === 0 ? '' : ' (--verbose lists the rest)'}`;
  return `${coverageSentence(coverage)}${unseen.length === 0 ? '' : `: ${unseen.join('; ')}`}`;
}

/** The worst ones, those that failed first; where each one is exact, a line says so. */
function printLayers(say: (text: string) => void, report: Report, layers: readonly LayerReport[]): void {
  if (layers.length === 0) return say('\nlayers   none could be lined up: the two files show none of them under names by which they are known');
  const failed = layers.filter(({ passed }) => !passed);
  const allowed = layersAllowed(layers);
  const where = failed[0] ? `${failed.length} further than ${allowed} of scale, the first is "${failed[0].layer}"` : `all within ${allowed} of scale`;
  say(`\nlayers   ${layers.length} compared with ${safeText(layerWitnesses(report))}: ${safeText(where)}`);
  const rows = worstLayers(layers, LAYERS_SHOWN).map(({ layer, canonicalName, op, shape, maxAbsolute, relativeToScale, passed }) => [
    layer,
    canonicalName === layer ? '' : (canonicalName ?? ''),
    op,
    shape.join(' x '),
    formatNumber(maxAbsolute),
    formatNumber(relativeToScale),
    passed ? '' : 'out',
  ]);
  if (rows.length === 0) return;
  const columns: Column[] = [
    { title: 'worst layers' },
    { title: 'canonical', optional: true },
    { title: 'operator', optional: true },
    { title: 'shape', optional: true },
  ];
  say(`\n${table([...columns, right('max abs'), right('of scale'), { title: '' }], rows)}`);
}

function printNarrowing(say: (text: string) => void, name: string, found: NarrowingReport | null): void {
  if (!found) return;
  const worst = Math.max(0, ...found.outputs.map(({ relativeToScale }) => relativeToScale));
  const top1 = found.outputs.find((output) => output.top1)?.top1;
  const agreement = top1 ? `, top-1 ${top1.same} of ${top1.of}` : '';
  const verdict = found.passed ? colour.green('passed') : colour.red('failed');
  say(
    `${name.padEnd(9)}against ${safeText(found.expected)}: ${formatNumber(worst)} of scale${agreement}, allowed ${formatNumber(found.tolerance.rtol)}: ${verdict}`,
  );
}

/** What the loss is, by what it was judged, and what it does to predictions. */
function printLoss(say: (text: string) => void, quantisation: QuantisationReport): void {
  const { loss, lossJudgedBy, agreement, ofFloat16 } = quantisation;
  if (!loss) return;
  const worst = Math.max(0, ...loss.outputs.map(({ relativeToScale }) => relativeToScale));
  const top1 = loss.outputs.find((output) => output.top1)?.top1;
  const facts = [
    `${formatNumber(worst)} of scale`,
    ofFloat16 === null ? '' : `${formatTimes(ofFloat16)} times what float16 costs`,
    top1 ? `top-1 ${top1.same} of ${top1.of}` : '',
    lossJudgedBy === 'bound' && !isExcusedByFloat16(quantisation) ? `allowed ${formatNumber(loss.tolerance.rtol)}` : '',
  ];
  const verdict = lossJudgedBy === 'nothing' && loss.passed ? 'told, not judged' : loss.passed ? colour.green('passed') : colour.red('failed');
  say(`loss     against ${safeText(loss.expected)}: ${facts.filter((fact) => fact !== '').join(', ')}: ${verdict}`);
  if (agreement) say(`predicts ${safeText(describeAgreement(agreement))}: ${agreement.passed ? colour.green('passed') : colour.red('failed')}`);
}

function printWeights(say: (text: string) => void, weights: WeightsReport): void {
  const { compared, equal, mismatches, tensors } = weights;
  const methods = new Map<string, number>();
  for (const { method, dtype } of tensors) {
    // Where the file says how its weights were made, steps are wide on purpose.
    const told = weights.claims ? method.replace(/, steps of up to .*$/, '') : method;
    const form = told === 'rounded' ? `rounded to ${dtype}` : told;
    methods.set(form, (methods.get(form) ?? 0) + 1);
  }
  const isPlain = [...methods.keys()].every((method) => method === 'as is');
  const [before, after] = [total(tensors.map((tensor) => tensor.byteLengthBefore)), total(tensors.map((tensor) => tensor.byteLengthAfter))];
  const list = [...methods].map(([method, count]) => `${count} ${method}`).join(', ');
  const how = isPlain ? ' equal' : ` as they should be: ${list}; ${formatBytes(before)} -> ${formatBytes(after)}`;
  say(`weights  ${equal} of ${compared} tensors${safeText(how)}`);
  for (const mismatch of mismatches.slice(0, MISMATCHES_SHOWN)) say(`         ${safeText(mismatch.message)}`);
  if (mismatches.length > MISMATCHES_SHOWN) say(`         and ${mismatches.length - MISMATCHES_SHOWN} more`);
  const untold = describeUnjudged(weights);
  if (untold !== null) say(`         ${safeText(untold)}`);
}

function right(title: string, optional = false): Column {
  return { title, align: 'right', optional };
}

function total(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}
