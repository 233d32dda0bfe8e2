/**
 * What a check found, for continuous integration: SARIF for code scanning, JUnit for test results, Markdown for a pull request, and lines that
 * GitHub turns into annotations.
 *
 * @see https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html, https://github.com/testmoapp/junitxml and
 *   https://docs.github.com/actions/reference/workflow-commands-for-github-actions
 */
import { codeCell, escapeMarkdown, escapeMarkup, safeText } from '../report/text.js';
import { VERSION } from '../version.js';
import type { CheckDocument, CheckedArtifact, Outcome } from './document.js';

export interface CheckReport {
  readonly extension: string;
  readonly title: string;
  render(document: CheckDocument): string;
}

export const checkReports: readonly CheckReport[] = [
  { extension: '.sarif', title: 'SARIF for code scanning', render: renderSarif },
  { extension: '.xml', title: 'JUnit XML for continuous integration', render: renderJunit },
  { extension: '.md', title: 'Markdown summary for a pull request', render: renderMarkdown },
  { extension: '.json', title: 'the document of --json', render: (document) => `${JSON.stringify(document, null, 2)}\n` },
];

interface Failure extends Outcome {
  readonly artifact: CheckedArtifact;
}

function failuresOf({ artifacts }: CheckDocument): Failure[] {
  return artifacts.flatMap((artifact) => artifact.outcomes.filter(({ passed }) => !passed).map((outcome) => ({ ...outcome, artifact })));
}

function renderSarif(document: CheckDocument): string {
  const failures = failuresOf(document);
  const rules = [...new Set(document.artifacts.flatMap(({ outcomes }) => outcomes.map(({ rule }) => rule)))].sort();
  const sarif = {
    $schema: 'https://json.schemastore.org/sarif-2.1.0.json',
    version: '2.1.0',
    runs: [
      {
        tool: {
          driver: { name: 'weighbridge', version: VERSION, rules: rules.map((id) => ({ id, shortDescription: { text: `the rule "${id}" of the policy` } })) },
        },
        results: failures.map(({ rule, message, artifact }) => ({
          ruleId: rule,
          ruleIndex: rules.indexOf(rule),
          level: 'error',
          message: { text: `${artifact.path}: ${safeText(message)}` },
          locations: [
            { physicalLocation: { artifactLocation: { uri: encodeURI(document.policy.replaceAll('\\', '/')) }, region: { startLine: artifact.line } } },
          ],
          partialFingerprints: { artifact: `${artifact.path}/${rule}` },
        })),
      },
    ],
  };
  return `${JSON.stringify(sarif, null, 2)}\n`;
}

function renderJunit({ policy, artifacts }: CheckDocument): string {
  const count = (outcomes: readonly Outcome[]) =>
    `tests="${outcomes.length}" failures="${outcomes.filter(({ passed }) => !passed).length}" errors="0" skipped="0" time="0.000"`;
  const lines = [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites name="${escapeMarkup(`weighbridge: ${policy}`)}" ${count(artifacts.flatMap(({ outcomes }) => outcomes))}>`,
  ];
  for (const { path, outcomes } of artifacts) {
    lines.push(`  <testsuite name="${escapeMarkup(path)}" ${count(outcomes)}>`);
    for (const { rule, passed, message } of outcomes) {
      lines.push(`    <testcase classname="${escapeMarkup(path)}" name="${escapeMarkup(rule)}" time="0.000">`);
      lines.push(
        passed ? `      <system-out>${escapeMarkup(message)}</system-out>` : `      <failure message="${escapeMarkup(message)}" type="${escapeMarkup(rule)}"/>`,
      );
      lines.push('    </testcase>');
    }
    lines.push('  </testsuite>');
  }
  return `${[...lines, '</testsuites>'].join('\n')}\n`;
}

function renderMarkdown(document: CheckDocument): string {
  const { artifacts, passed, policy } = document;
  const failures = failuresOf(document);
  const lines = [
    `### ${passed ? '✅' : '❌'} ${artifacts.length} ${artifacts.length === 1 ? 'artifact' : 'artifacts'}, ${failures.length === 0 ? 'all as the policy wants' : `${failures.length} ${failures.length === 1 ? 'thing' : 'things'} not as the policy wants`}`,
    '',
    '| artifact | rule | found |',
    '|---|---|---|',
    ...(passed ? artifacts.map(({ path, outcomes }) => `| ${codeCell(path)} | ${outcomes.length} rules | ✅ |`) : []),
    ...failures.map(({ artifact, rule, message }) => `| ${codeCell(artifact.path)} | ${codeCell(rule)} | ❌ ${escapeMarkdown(message)} |`),
    '',
    `<sub>${escapeMarkdown(policy)}, weighbridge ${VERSION}</sub>`,
  ];
  return `${lines.join('\n')}\n`;
}

/** A line for each failure, as GitHub's runners read it from a job's output. */
export function annotations(document: CheckDocument): string[] {
  const data = (text: string) => safeText(text).replaceAll('%', '%25').replaceAll('\n', '%0A');
  const property = (text: string) => data(text).replaceAll(':', '%3A').replaceAll(',', '%2C');
  return failuresOf(document).map(
    ({ artifact, rule, message }) =>
      `::error file=${property(document.policy)},line=${artifact.line},title=${property(`${artifact.path}: ${rule}`)}::${data(message)}`,
  );
}
