/** Markdown for a pull request or a job's summary: the verdict first, then short tables. */
import { describeAgreement } from '../verify/agreement.js';
import type { LayerReport, NarrowingReport, OutputReport, Report, WeightsReport } from '../verify/report.js';
import { counted } from '../words.js';
import { describeWorst } from './checks.js';
import { coverageSentence } from './coverage.js';
import type { ReportDocument, ReportFormat } from './format.js';
import { nextStep } from './next-step.js';
import { formatBound, formatBytes, formatCount, formatDistance, formatNonFinite, formatNumber, formatTime } from './numbers.js';
import { describeUnjudged, layersAllowed, layerWitnesses, worstLayers } from './ranking.js';
import { codeCell, codeSpan, escapeMarkdown } from './text.js';
import { lacksWitness, NO_WITNESS, onWhoseWord, verdictWord } from './verdict.js';

const MARKS = { match: '✅', mismatch: '❌', disputed: '❌', 'nothing-compared': '❌' } as const;
const LAYERS_SHOWN = 5;
const MISMATCHES_SHOWN = 5;
const OUTPUTS_SHOWN = 20;

export const markdown: ReportFormat = {
  extension: '.md',
  title: 'Markdown summary for a pull request',
  exhibits: false,
  render: async (document) => renderMarkdown(document),
};

function renderMarkdown({ report, subject }: ReportDocument): string {
  const parts = [
    `### ${lacksWitness(report) ? '❌' : MARKS[report.verdict]} ${verdictWord(report)} (${escapeMarkdown(onWhoseWord(report))}): ${codeSpan(subject.expected)} → ${codeSpan(subject.actual)}`,
    lacksWitness(report) ? `**Failed:** ${NO_WITNESS}` : '',
    report.firstDifference ? `**First difference:** ${escapeMarkdown(report.firstDifference.message)}` : '',
    report.cause ? `**Cause:** ${escapeMarkdown(report.cause.message)}` : '',
    report.outputs.length > 0 ? outputTable(report.outputs.slice(0, OUTPUTS_SHOWN)) : '',
    report.outputs.length > OUTPUTS_SHOWN ? `${report.outputs.length - OUTPUTS_SHOWN} more outputs are in the full report.` : '',
    ...report.outputs
      .filter(({ passed }) => !passed)
      .slice(0, 3)
      .map((output) => `${codeSpan(output.name)}: ${escapeMarkdown(describeWorst(output))}`),
    toleranceLine(report),
    ...report.interface.filter(({ judged }) => judged).map(({ message }) => `Ports differ: ${escapeMarkdown(message)}`),
    ...report.trials
      .filter(({ passed }) => passed !== null)
      .map(({ message, passed }) => `${passed ? 'Tried' : '**Tried and failed**'}: ${escapeMarkdown(message)}`),
    report.coverage ? `Coverage: ${escapeMarkdown(coverageSentence(report.coverage))}.` : '',
    report.quantisation ? quantisationTable(report.quantisation) : '',
    report.layers ? layerPart(report, report.layers) : '',
    report.weights ? weightPart(report.weights) : '',
    ...report.changes.map(({ message }) => `Changed on the way: ${escapeMarkdown(message)}`),
    ...report.notes.map((note) => `Note: ${escapeMarkdown(note)}`),
    report.verdict === 'match' ? '' : `**Next:** ${escapeMarkdown(nextStep(report))}`,
    `<sub>${escapeMarkdown(footer(report))}</sub>`,
  ];
  return `${parts.filter((part) => part !== '').join('\n\n')}\n`;
}

function outputTable(outputs: readonly OutputReport[]): string {
  return table(
    ['output', 'compared', 'not finite', 'max abs', 'of scale', 'cosine', 'top-1', ''],
    '-rrrrrr-',
    outputs.map(({ name, compared, nonFinite, maxAbsolute, relativeToScale, cosine, top1, passed }) => [
      codeCell(name),
      formatCount(compared),
      formatNonFinite(nonFinite),
      formatDistance({ compared }, maxAbsolute),
      formatDistance({ compared }, relativeToScale),
      cosine === null ? '' : cosine.toFixed(6),
      top1 ? `${top1.same} of ${top1.of}` : '',
      passed && compared > 0 ? 'passed' : '**failed**',
    ]),
  );
}

function toleranceLine({ outputs, tolerance, verdict }: Report): string {
  if (outputs.length === 0) return '';
  const smallest =
    tolerance.smallestPassing === null ? 'none would have passed' : `the smallest rtol that passes is ${formatNumber(tolerance.smallestPassing)}`;
  const why = verdict === 'match' ? '' : ` (${escapeMarkdown(tolerance.why)})`;
  return `Allowed: ${codeSpan(formatBound(tolerance))}${why}; ${smallest}.`;
}

function quantisationTable({ methods, correctness, loss, agreement }: NonNullable<Report['quantisation']>): string {
  const row = (name: string, part: NarrowingReport | null) => {
    if (!part) return [];
    const worst = Math.max(0, ...part.outputs.map(({ relativeToScale }) => relativeToScale));
    const top1 = part.outputs.find((output) => output.top1)?.top1;
    return [[name, escapeMarkdown(part.expected), formatNumber(worst), top1 ? `${top1.same} of ${top1.of}` : '', part.passed ? 'passed' : '**failed**']];
  };
  const rows = [...row('correctness', correctness), ...row('loss', loss)];
  const predictions = agreement ? `\n\nPredictions: ${escapeMarkdown(describeAgreement(agreement))}.` : '';
  return `Weights: ${escapeMarkdown(methods.join(', '))}\n\n${table(['', 'against', 'of scale', 'top-1', ''], '--rr-', rows)}${predictions}`;
}

function layerPart(report: Report, layers: readonly LayerReport[]): string {
  const allowed = codeSpan(layersAllowed(layers));
  const failed = layers.filter(({ passed }) => !passed).length;
  const found = failed === 0 ? `all are within ${allowed} of their scale` : `${failed} are further than ${allowed} of their scale`;
  const sentence = `${layers.length} layers were compared with ${escapeMarkdown(layerWitnesses(report))}: ${found}.`;
  const rows = worstLayers(layers, LAYERS_SHOWN).map(({ layer, canonicalName, op, maxAbsolute, relativeToScale, passed }) => [
    codeCell(layer),
    canonicalName === null || canonicalName === layer ? '' : codeCell(canonicalName),
    codeCell(op),
    formatNumber(maxAbsolute),
    formatNumber(relativeToScale),
    passed ? 'passed' : '**failed**',
  ]);
  return `${sentence}${rows.length > 0 ? ` The worst:\n\n${table(['layer', 'canonical', 'operator', 'max abs', 'of scale', ''], '---rr-', rows)}` : ''}`;
}

function weightPart(weights: WeightsReport): string {
  const { compared, equal, mismatches, tensors } = weights;
  const unjudged = describeUnjudged(weights);
  const [before, after] = [sum(tensors.map(({ byteLengthBefore }) => byteLengthBefore)), sum(tensors.map(({ byteLengthAfter }) => byteLengthAfter))];
  const size = tensors.length > 0 && before !== after ? `, ${formatBytes(before)} → ${formatBytes(after)}` : '';
  const lines = mismatches.slice(0, MISMATCHES_SHOWN).map(({ message }) => `- ${escapeMarkdown(message)}`);
  const more = mismatches.length > MISMATCHES_SHOWN ? [`- ${mismatches.length - MISMATCHES_SHOWN} more`] : [];
  const why = unjudged === null ? [] : ['', escapeMarkdown(`${unjudged}.`)];
  return [`Weights: ${equal} of ${compared} tensors equal${size}.`, ...why, ...(lines.length > 0 ? ['', ...lines, ...more] : [])].join('\n');
}

function footer({ witness, engines, device, inputs, elapsedMs }: Report): string {
  const independence = witness.independent ? '' : ', not independent of the reader';
  const seed = inputs.seed === null ? '' : `, seed ${inputs.seed}`;
  const [samples, end] = [
    inputs.kind === 'none' ? 'nothing was run' : `${counted(inputs.samples, `${inputs.kind} input`)}${seed}`,
    `${formatTime(elapsedMs)}; Weighbridge`,
  ];
  // Where it was recorded no other word is needed, neither for who says it nor for the inputs.
  if (witness.kind === 'recorded') return `a recording of ${counted(inputs.samples, 'input')} → ${engines.actual} on ${device}${independence}; ${end}`;
  return `${engines.expected} → ${engines.actual} on ${device}; witness: ${witness.kind}${independence}; ${samples}; ${end}`;
}

/** @param align 'r' for a column of numbers */
function table(titles: readonly string[], align: string, rows: readonly (readonly string[])[]): string {
  const used = titles.map((_, i) => i).filter((i) => rows.some((row) => row[i] !== ''));
  const line = (cells: readonly string[]) => `| ${used.map((i) => cells[i]).join(' | ')} |`;
  return [line(titles), `|${used.map((i) => (align[i] === 'r' ? '---:' : '---')).join('|')}|`, ...rows.map(line)].join('\n');
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
