/**
 * Slips that a test must see: `npm run mutants [-- words]` makes each slip of scripts/mutants.json in a copy of the project and runs the
 * tests that are named for it. Fails where a slip is not seen, where its text is no longer in the file, or where the tests fail without it.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const COPIED = ['src', 'test', 'scripts', 'schemas', 'docs', 'demo', 'package.json', 'tsconfig.json', 'vitest.config.ts'];

/** @type {{ slip: string, file: string, search: string, replace: string, tests: string[] }[]} */
const slips = JSON.parse(readFileSync(join(ROOT, 'scripts', 'mutants.json'), 'utf8'));
const words = process.argv.slice(2);
const chosen = slips.filter(({ slip, file }) => words.every((word) => `${slip} ${file}`.includes(word)));
if (chosen.length === 0) {
  console.error(`no slip is named ${words.join(' ')}`);
  process.exit(2);
}

const copy = mkdtempSync(join(tmpdir(), 'weighbridge-mutants-'));
process.on('exit', () => rmSync(copy, { recursive: true, force: true }));
for (const name of COPIED) cpSync(join(ROOT, name), join(copy, name), { recursive: true });
symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'), 'junction');

/** @returns tests that failed, and how many ran */
function run(tests) {
  const report = join(copy, 'report.json');
  rmSync(report, { force: true });
  const vitest = join(ROOT, 'node_modules', 'vitest', 'vitest.mjs');
  const args = [vitest, 'run', '--reporter=json', `--outputFile=${report}`, ...tests];
  const { stderr } = spawnSync(process.execPath, args, { cwd: copy, encoding: 'utf8' });
  try {
    const { numFailedTests, numFailedTestSuites, numPassedTests } = JSON.parse(readFileSync(report, 'utf8'));
    return { failed: numFailedTests + (numFailedTests === 0 ? numFailedTestSuites : 0), ran: numPassedTests + numFailedTests };
  } catch {
    return { failed: 0, ran: 0, words: stderr.trim().split('\n').at(-1) };
  }
}

const all = [...new Set(chosen.flatMap(({ tests }) => tests))].sort();
const whole = run(all);
if (whole.failed > 0 || whole.ran === 0) {
  console.error(`${all.join(' ')}: ${whole.failed} fail and ${whole.ran} run without any slip ${whole.words ?? ''}`);
  process.exit(2);
}
console.log(`${all.length} test files pass as they are: ${whole.ran} tests`);

let unseen = 0;
for (const { slip, file, search, replace, tests } of chosen) {
  const path = join(copy, file);
  const text = readFileSync(path, 'utf8');
  const found = text.split(search).length - 1;
  let outcome = `its text is in ${file} ${found} times`;
  if (found === 1) {
    writeFileSync(
      path,
      text.replace(search, () => replace),
    );
    const { failed, ran } = run(tests);
    writeFileSync(path, text);
    if (failed > 0) outcome = null;
    else outcome = ran === 0 ? `${tests.join(' ')} ran no test` : `${ran} tests pass with it`;
  }
  if (outcome !== null) unseen++;
  console.log(`${outcome === null ? 'seen    ' : 'NOT SEEN'}  ${slip}${outcome === null ? '' : `: ${outcome}`}`);
}
console.log(`${chosen.length - unseen} of ${chosen.length} slips are seen`);
process.exitCode = unseen > 0 ? 1 : 0;
