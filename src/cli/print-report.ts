/** A verification report as text. */
import type { Report } from '../verify/report.js';
import { colour, formatCount, formatNumber, formatTime, safeText, table } from './print.js';

/** Prints what was compared with what, each output's distance, and the verdict with its reason. */
export function printReport(say: (text: string) => void, report: Report): void {
  const { witness, engines, inputs, tolerance } = report;
  say(
    `verify   ${safeText(engines.expected)} -> ${safeText(engines.actual)}   ${inputs.samples} inputs${inputs.seed === null ? '' : `, seed ${inputs.seed}`}   ${formatTime(report.elapsedMs)}`,
  );
  say(`witness  ${safeText(witness.detail)}`);
  if (report.outputs.length > 0) {
    say('');
    const right = (title: string) => ({ title, align: 'right' as const });
    const rows = report.outputs.map((output) => [
      output.name,
      formatCount(output.compared),
      formatNumber(output.maxAbsolute),
      formatNumber(output.maxRelative),
      formatNumber(output.relativeToScale),
      output.cosine === null ? '' : output.cosine.toFixed(6),
      output.top1 ? `${output.top1.same} of ${output.top1.of}` : '',
    ]);
    say(table([{ title: 'output' }, right('compared'), right('max abs'), right('max rel'), right('of scale'), right('cosine'), right('top-1')], rows));
  }
  say('');
  if (report.weights) {
    const { compared, equal, mismatches } = report.weights;
    say(`weights  ${equal} of ${compared} tensors equal`);
    for (const mismatch of mismatches) say(`         ${safeText(mismatch.message)}`);
  }
  for (const note of report.notes) say(`${colour.dim('note')}     ${safeText(note)}`);
  if (report.firstDifference) say(`first difference: ${safeText(describeDifference(report.firstDifference))}`);
  const bound = `|difference| <= ${formatNumber(tolerance.atol)} + ${formatNumber(tolerance.rtol)} x max|expected|`;
  if (report.verdict === 'match') say(`${colour.green('match')}: every value within ${bound} (${safeText(tolerance.why)})`);
  else if (report.verdict === 'nothing-compared') say(`${colour.red('nothing compared')}: no value of any output could be compared`);
  else {
    say(`${colour.red('mismatch')}: not every value within ${bound} (${safeText(tolerance.why)})`);
    if (tolerance.smallestPassing !== null) say(`         the smallest rtol that would have passed is ${formatNumber(tolerance.smallestPassing)}`);
  }
}

function describeDifference(difference: NonNullable<Report['firstDifference']>): string {
  return difference.message;
}
