/** What continuous integration is given: the action and the template say what the command takes, and docs/check.md shows a policy that is one. */
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { parse } from 'yaml';
import { parsePolicy } from '../../src/check/policy.js';
import { rules } from '../../src/check/rules.js';
import { VERSION } from '../../src/version.js';
import { DIGITS, ROOT, temporaryFolder, weighbridge } from '../cli/run-cli.js';

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

it.skipIf(process.platform === 'win32').each([
  ['as it should be', '60MB', 0, []],
  ['too large', '1KB', 1, ['::error file=my policy.yml,line=2,title=digits.h5']],
])('the script of the action, run as a runner does, on an artifact that is %s', (_, most, expected, said) => {
  const folder = temporaryFolder();
  copyFileSync(join(DIGITS, 'digits.h5'), join(folder, 'digits.h5'));
  writeFileSync(join(folder, 'my policy.yml'), `artifacts:\n  - { path: digits.h5, max-size: ${most} }\n`);
  // In the place of the registry: the command that was built.
  mkdirSync(join(folder, 'bin'));
  writeFileSync(
    join(folder, 'bin/npx'),
    `#!/bin/sh\n[ "$1 $2" = "--yes weighbridge@${VERSION}" ] || exit 9\nshift 2\nexec "${process.execPath}" "${join(ROOT, 'dist/cli/main.cjs')}" "$@"\n`,
  );
  chmodSync(join(folder, 'bin/npx'), 0o755);
  const script = parse(read('action.yml')).runs.steps.at(-1).run as string;
  const env = {
    ...process.env,
    PATH: `${join(folder, 'bin')}:${process.env.PATH}`,
    POLICY: 'my policy.yml',
    VERSION,
    SARIF: 'found.sarif',
    JUNIT: '',
    RUNNER_TEMP: folder,
    GITHUB_STEP_SUMMARY: join(folder, 'summary.md'),
  };
  const { status, stdout, stderr } = spawnSync('bash', ['--noprofile', '--norc', '-eo', 'pipefail', '-c', script], { cwd: folder, env, encoding: 'utf8' });
  expect(status, stderr).toBe(expected);
  for (const line of said) expect(stdout + stderr).toContain(line);
  expect(readFileSync(env.GITHUB_STEP_SUMMARY, 'utf8')).toContain('digits.h5');
  expect(JSON.parse(readFileSync(join(folder, 'found.sarif'), 'utf8')).runs[0].results).toHaveLength(expected);
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

it('the manifests of docs/scale.md are YAML that runs the commands there are', () => {
  const manifests = [...read('docs/scale.md').matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text]) => parse(text!));
  const [job, matrix] = manifests;
  expect(job).toMatchObject({ kind: 'Job', spec: { completionMode: 'Indexed' } });
  expect(job.spec.completions).toBe(16);
  const commands = [job.spec.template.spec.containers[0].args[0], ...matrix.jobs.part.steps, ...matrix.jobs.all.steps].flatMap((step) =>
    typeof step === 'string' ? [step] : typeof step.run === 'string' ? [step.run] : [],
  );
  for (const command of commands as string[]) {
    const [, version, name] = /weighbridge@(\S+) (evaluate|report merge)/.exec(command)!;
    expect(version).toBe(VERSION);
    const options = weighbridge([...name!.split(' '), '--help']).stdout;
    for (const [flag] of command.matchAll(/--(?!yes)[a-z-]+/g)) expect(options).toContain(flag);
  }
});
