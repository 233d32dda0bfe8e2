/** The report as a list of single checks that passed or failed, for formats that are made of such. */
import { describeAgreement } from '../verify/agreement.js';
import { describeNonFinite } from '../verify/compare.js';
import type { OutputReport, Report } from '../verify/report.js';
import { formatBound, formatCount, formatNumber } from './numbers.js';
import { lacksWitness, NO_WITNESS } from './verdict.js';

export interface Check {
  readonly group: 'output' | 'interface' | 'trial' | 'layer' | 'weight' | 'quantisation' | 'verdict';
  readonly name: string;
  /** What was found, in a line. */
  readonly found: string;
  /** Null where it passed. */
  readonly failure: string | null;
}

/** One check for each output, layer and weight. At least one has failed exactly where the verdict is not `match`, or lacks the witness that it asks for. */
export function checksOf(report: Report): Check[] {
  const witnessed = lacksWitness(report) ? [{ group: 'verdict' as const, name: 'independent witness', found: 'none', failure: NO_WITNESS }] : [];
  const checks = [
    ...witnessed,
    ...outputChecks(report),
    ...beyondValues(report),
    ...quantisationChecks(report),
    ...layerChecks(report),
    ...weightChecks(report),
  ];
  const failed = checks.some(({ failure }) => failure !== null);
  // A verdict may rest on more than the single checks show; a reader that only counts failures must still be told.
  if (report.verdict !== 'match' && !failed) {
    const why = report.firstDifference?.message ?? (report.verdict === 'mismatch' ? 'the two differ' : 'no value of any output could be compared');
    return [{ group: 'verdict', name: 'verdict', found: report.verdict, failure: why }, ...checks];
  }
  return checks;
}

/** The worst value and its place. */
export function describeWorst({ worst, relativeToScale, nonFinite, passed }: OutputReport): string {
  if (!passed && nonFinite.expected + nonFinite.actual > 0) return describeNonFinite(nonFinite);
  if (!worst) return 'not every value is within the tolerance';
  const place = `worst at [${worst.index.join(', ')}]: ${formatNumber(worst.actual)}, expected ${formatNumber(worst.expected)}`;
  return `${place}; ${formatNumber(relativeToScale)} of the output's scale`;
}

function outputChecks(report: Report): Check[] {
  return report.outputs.map((output) => {
    const found = `${formatCount(output.compared)} values, max abs ${formatNumber(output.maxAbsolute)}, ${formatNumber(output.relativeToScale)} of scale`;
    const failure = !output.passed
      ? `${describeWorst(output)}, allowed: ${formatBound(report.tolerance)}`
      : output.compared === 0
        ? 'no value could be compared'
        : null;
    return { group: 'output', name: output.name, found, failure };
  });
}

/** The interface, and what was tried beside single inputs; what the expected side does not do either is no check. */
function beyondValues({ interface: differences, trials }: Report): Check[] {
  const promises = differences.map(
    ({ kind, port, message, judged }): Check => ({ group: 'interface', name: `${port}, ${kind}`, found: message, failure: judged ? message : null }),
  );
  const tried = trials.flatMap(({ what, passed, message }): Check[] =>
    passed === null ? [] : [{ group: 'trial', name: what, found: message, failure: passed ? null : message }],
  );
  return [...promises, ...tried];
}

function quantisationChecks(report: Report): Check[] {
  return [...correctnessChecks(report), ...lossChecks(report)];
}

/** Where the loss is judged by predictions; where it is by a bound, the outputs' checks say so. */
function lossChecks({ quantisation }: Report): Check[] {
  if (!quantisation?.agreement || !quantisation.loss || quantisation.lossJudgedBy !== 'predictions') return [];
  const found = describeAgreement(quantisation.agreement);
  return [{ group: 'quantisation', name: 'loss', found, failure: quantisation.loss.passed ? null : found }];
}

function correctnessChecks({ quantisation }: Report): Check[] {
  if (!quantisation?.correctness) return [];
  const { passed, expected, outputs, tolerance } = quantisation.correctness;
  const worst = Math.max(0, ...outputs.map(({ relativeToScale }) => relativeToScale));
  const found = `against ${expected}: ${formatNumber(worst)} of scale`;
  return [{ group: 'quantisation', name: 'correctness', found, failure: passed ? null : `${found}, allowed: ${formatBound(tolerance)}` }];
}

function layerChecks(report: Report): Check[] {
  const { layers, verdict } = report;
  return (layers ?? []).map(({ layer, op, compared, maxAbsolute, relativeToScale, allowed, passed }) => {
    const found = `${op}, ${formatCount(compared)} values, max abs ${formatNumber(maxAbsolute)}, ${formatNumber(relativeToScale)} of scale`;
    // Where the outputs are right, the verdict is that they match, whatever a layer inside does.
    return { group: 'layer', name: layer, found, failure: passed || verdict === 'match' ? null : `${found}, allowed: ${formatNumber(allowed)}` };
  });
}

function weightChecks({ weights }: Report): Check[] {
  if (!weights) return [];
  const name = (layer: string, role: string) => `${layer}, ${role}`;
  const wrong = new Map((weights.judged ? weights.mismatches : []).map(({ layer, role, message }) => [name(layer, role), message]));
  const listed = weights.tensors.map(({ layer, role, dtype, method }): Check => {
    const failure = wrong.get(name(layer, role)) ?? null;
    return { group: 'weight', name: name(layer, role), found: `${dtype}, ${method}`, failure };
  });
  const known = new Set(listed.map((check) => check.name));
  const missing = [...wrong].filter(([key]) => !known.has(key));
  return [...listed, ...missing.map(([key, failure]): Check => ({ group: 'weight', name: key, found: 'not found', failure }))];
}
