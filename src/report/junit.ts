/**
 * JUnit XML, as continuous integration servers read it: a suite for outputs, layers and weights each, a test case for each of them.
 *
 * @see https://github.com/testmoapp/junitxml
 */
import type { Report } from '../verify/report.js';
import { VERSION } from '../version.js';
import { type Check, checksOf } from './checks.js';
import { coverageShare } from './coverage.js';
import type { ReportDocument, ReportFormat } from './format.js';
import { formatBound, formatNumber } from './numbers.js';
import { escapeMarkup } from './text.js';
import { onWhoseWord } from './verdict.js';

const SUITES: readonly { readonly group: Check['group']; readonly title: string }[] = [
  { group: 'verdict', title: 'verdict' },
  { group: 'output', title: 'outputs' },
  { group: 'quantisation', title: 'quantisation' },
  { group: 'layer', title: 'layers' },
  { group: 'interface', title: 'interface' },
  { group: 'trial', title: 'batches and sizes' },
  { group: 'weight', title: 'weights' },
];

export const junit: ReportFormat = {
  extension: '.xml',
  title: 'JUnit XML for continuous integration',
  exhibits: false,
  render: async (document) => renderJunit(document),
};

function renderJunit({ report, subject }: ReportDocument): string {
  const checks = checksOf(report);
  const suites = SUITES.map(({ group, title }) => ({ title, checks: checks.filter((check) => check.group === group) })).filter(
    (suite) => suite.checks.length > 0,
  );
  const seconds = (report.elapsedMs / 1000).toFixed(3);
  const lines = [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites ${attributes({ name: `weighbridge: ${subject.expected} -> ${subject.actual}`, ...counts(checks), time: seconds })}>`,
    // The whole time stands at the first suite: outputs, layers and weights are not timed apart.
    ...suites.flatMap((suite, i) => renderSuite(suite.title, suite.checks, i === 0 ? seconds : '0.000', i === 0 ? properties(report) : [])),
    '</testsuites>',
  ];
  return `${lines.join('\n')}\n`;
}

function renderSuite(title: string, checks: readonly Check[], seconds: string, facts: readonly (readonly [string, string])[]): string[] {
  return [
    `  <testsuite ${attributes({ name: title, ...counts(checks), time: seconds })}>`,
    ...(facts.length > 0 ? ['    <properties>', ...facts.map(([name, value]) => `      <property ${attributes({ name, value })}/>`), '    </properties>'] : []),
    ...checks.flatMap(renderCase),
    '  </testsuite>',
  ];
}

function renderCase({ group, name, found, failure }: Check): string[] {
  const head = attributes({ classname: `weighbridge.${group}`, name, time: '0.000' });
  if (failure === null) return [`    <testcase ${head}>`, `      <system-out>${escapeMarkup(found)}</system-out>`, '    </testcase>'];
  return [
    `    <testcase ${head}>`,
    `      <failure ${attributes({ message: failure, type: group === 'weight' ? 'weight' : 'tolerance' })}>${escapeMarkup(`${found}\n${failure}`)}</failure>`,
    '    </testcase>',
  ];
}

function properties(report: Report): [string, string][] {
  const { tolerance, inputs } = report;
  return [
    ['verdict', report.verdict],
    ['witness', `${report.witness.kind}: ${report.witness.detail}`],
    ['word', onWhoseWord(report)],
    ['engine.expected', report.engines.expected],
    ['engine.actual', report.engines.actual],
    ['device', report.device],
    ['tolerance', inputs.kind === 'none' ? `none (${tolerance.why})` : `${formatBound(tolerance)} (${tolerance.why})`],
    ['tolerance.smallestPassing', tolerance.smallestPassing === null ? 'none' : formatNumber(tolerance.smallestPassing)],
    ['inputs', inputs.kind === 'none' ? 'none' : `${inputs.samples} ${inputs.kind}${inputs.seed === null ? '' : `, seed ${inputs.seed}`}`],
    ['coverage', report.coverage ? coverageShare(report.coverage) : 'not measured'],
    ['weighbridge', VERSION],
  ];
}

function counts(checks: readonly Check[]): Record<string, string> {
  const failures = checks.filter(({ failure }) => failure !== null).length;
  return { tests: String(checks.length), failures: String(failures), errors: '0', skipped: '0' };
}

function attributes(values: Readonly<Record<string, string>>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name}="${escapeMarkup(value)}"`)
    .join(' ');
}
