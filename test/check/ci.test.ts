/** What continuous integration is given: the action and the template say what the command takes, and docs/check.md shows a policy that is one. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { parse } from 'yaml';
import { parsePolicy } from '../../src/check/policy.js';
import { rules } from '../../src/check/rules.js';
import { VERSION } from '../../src/version.js';
import { weighbridge } from '../cli/run-cli.js';

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
const help = weighbridge(['check', '--help']).stdout;
const flagsOf = (text: string) => [...new Set([...text.matchAll(/ (--(?:annotations|report|update|json)[a-z-]*)/g)].map(([, flag]) => flag!))];

it('the action runs the command with flags that it has, in the version that this is', () => {
  const action = parse(read('action.yml'));
  expect(action.inputs.version.default).toBe(VERSION);
  const run = action.runs.steps.at(-1).run as string;
  expect(run).toContain('check "$POLICY"');
  expect(flagsOf(run)).toEqual(['--annotations', '--report']);
  for (const flag of flagsOf(run)) expect(help).toContain(flag);
  // What a user of the action writes never stands in the script itself.
  expect(run).not.toContain('${{');
});

it("the template for GitLab runs the same, and keeps what JUnit's report says", () => {
  const template = parse(read('ci/weighbridge.gitlab-ci.yml'));
  expect(template.variables.WEIGHBRIDGE_VERSION).toBe(VERSION);
  const [script] = template.weighbridge.script as string[];
  for (const flag of flagsOf(script!)) expect(help).toContain(flag);
  expect(script).toContain(template.weighbridge.artifacts.reports.junit);
});

it('docs/check.md shows a policy that is one, and every rule', async () => {
  const text = read('docs/check.md');
  const [, shown] = /```yaml\n([\s\S]*?)```/.exec(text)!;
  expect((await parsePolicy(shown!, 'shown')).artifacts).toHaveLength(2);
  for (const { name } of rules) expect(text).toContain(`\`${name}`);
});
