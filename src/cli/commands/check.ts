/** `weighbridge check`: a set of artifacts against a policy. */
import { stat } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import { type Command, Option } from 'commander';
import type { CheckHost } from '../../check/artifact.js';
import { check } from '../../check/check.js';
import type { CheckDocument } from '../../check/document.js';
import { type Lock, MAX_LOCK_BYTES, parseLock } from '../../check/lock.js';
import { MAX_POLICY_BYTES, parsePolicy } from '../../check/policy.js';
import { annotations, checkReports } from '../../check/reports.js';
import { ModelError } from '../../errors.js';
import { nodeFileSet, sha256File } from '../../node/index.js';
import { sha256Hasher } from '../../node/sha256-hasher.js';
import { verifyPaths } from '../../node/verify-files.js';
import type { EngineName } from '../../verify/engines/names.js';
import { commandHost } from '../engine-host.js';
import type { CommonFlags } from '../options.js';
import { colour, makeVoice, safeText, type Voice } from '../print.js';
import { startProgress } from '../progress.js';
import { checkText, checkTwice, documentOf, type Replacing, readText, writeText } from '../text-file.js';

interface CheckFlags extends CommonFlags {
  readonly update?: boolean;
  readonly report?: readonly string[];
  readonly annotations?: boolean;
}

export function registerCheck(program: Command): Command {
  return program
    .command('check <policy>')
    .description('check artifacts against a policy (YAML): sizes, dtypes, operators, no code, hashes, provenance, and what they predict')
    .addOption(new Option('--update', 'write the lock file anew from what is there'))
    .addOption(
      new Option(
        '--report <file>',
        `also write a report: ${checkReports.map(({ extension, title }) => `${extension} (${title})`).join(', ')}; may be given several times`,
      ).argParser((path: string, earlier: readonly string[] = []) => [...earlier, path]),
    )
    .addOption(new Option('--annotations', 'print failures as annotations of GitHub; on in its actions'))
    .action(async (path: string, flags: CheckFlags) => {
      const voice = makeVoice(flags);
      const policy = await parsePolicy(await readText(path, MAX_POLICY_BYTES, 'policy'), path);
      const folder = dirname(path);
      if (flags.update && policy.lock === null)
        throw new ModelError('usage', 'it names no lock file (lock: weighbridge.lock.json) that could be updated', { file: path });
      const reports = (flags.report ?? []).map((file) => ({ file, format: reportFormat(file) }));
      const lockPath = policy.lock === null ? null : join(folder, policy.lock);
      checkTwice([path, ...(lockPath === null ? [] : [lockPath]), ...reports.map(({ file }) => file)]);
      for (const { file } of reports) await checkText(file, earlierReport(file, path));
      if (flags.update && lockPath !== null) await checkText(lockPath, EARLIER_LOCK);
      const progress = startProgress(voice);
      try {
        const { document, lock } = await check(policy, hostIn(folder, await sha256Hasher()), {
          policyPath: path,
          lock: lockPath === null || flags.update ? null : await readLock(lockPath),
          update: flags.update === true,
          onArtifact: (artifact, done, total) => progress.step(artifact, done, total),
        });
        progress.stop();
        const keep = [path, ...document.artifacts.map((artifact) => join(folder, artifact.path))];
        if (lock && lockPath !== null) await writeText(lockPath, `${JSON.stringify(lock, null, 2)}\n`, { ...EARLIER_LOCK, keep });
        for (const { file, format } of reports) await writeText(file, format.render(document), earlierReport(file, path));
        if (voice.asJson) voice.json(document);
        else printCheck(voice, document);
        if (flags.annotations ?? process.env.GITHUB_ACTIONS === 'true')
          for (const line of annotations(document)) voice.asJson ? voice.tell(line) : voice.say(line);
        if (!document.passed) process.exitCode = 1;
        else if (reports.length === 0) voice.next(['check', path, '--report', 'check.sarif'], 'tells code scanning in CI');
      } finally {
        progress.stop();
      }
    });
}

const EARLIER_LOCK: Replacing = { earlier: documentOf('lock', 'lock file') };

/** Models and what belongs to them are JSON files too; the other kinds of reports have extensions that no model has. */
function earlierReport(file: string, policy: string): Replacing {
  return { keep: [policy], ...(extname(file).toLowerCase() === '.json' ? { earlier: documentOf('check', 'report of a check') } : {}) };
}

/** Without one of these a pattern is the name of a file. */
const SIGNS = /[*?[\]{}()\\]/;

/** Artifacts lie in the policy's folder or below it. */
function hostIn(folder: string, createHasher: CheckHost['createHasher']): CheckHost {
  return {
    async find(pattern) {
      const { glob } = await import('tinyglobby');
      const exact = await stat(join(folder, pattern)).catch(() => null);
      // A model may be a folder; what a name has of a pattern's signs is its own.
      if (exact) return [pattern];
      if (!SIGNS.test(pattern)) return [];
      return (await glob(pattern, { cwd: folder, onlyFiles: true, expandDirectories: false, dot: false })).sort();
    },
    open: (path) => nodeFileSet(join(folder, path)),
    sha256: (path, name) => sha256File(name === '' || name === basename(path) ? join(folder, path) : join(folder, dirname(path), name)),
    createHasher,
    async verify(path, { against, golden, inputs, engine, ...how }) {
      const beside = (name: string | undefined) => (name === undefined ? undefined : join(folder, name));
      const target = join(folder, path);
      return verifyPaths(beside(against) ?? target, target, {
        ...how,
        engine: engine as EngineName,
        golden: beside(golden),
        inputs: beside(inputs),
        host: commandHost(),
      });
    },
  };
}

function reportFormat(path: string) {
  const format = checkReports.find(({ extension }) => extension === extname(path).toLowerCase());
  if (format) return format;
  const known = checkReports.map(({ extension, title }) => `${extension} (${title})`).join(', ');
  throw new ModelError('usage', `the extension does not say which kind of report to write. Known: ${known}.`, { file: path });
}

async function readLock(path: string): Promise<Lock | null> {
  if (!(await stat(path).catch(() => null))) return null;
  return parseLock(await readText(path, MAX_LOCK_BYTES, 'lock file'), path);
}

function printCheck(voice: Voice, { artifacts, lock, passed }: CheckDocument): void {
  for (const { path, format, outcomes } of artifacts) {
    const good = outcomes.every((outcome) => outcome.passed);
    voice.say(`${good ? colour.green('passed') : colour.red('failed')}  ${safeText(path)}${format ? colour.dim(`  ${format}`) : ''}`);
    for (const { rule, passed: isPassed, message } of outcomes) {
      if (isPassed && !voice.verbose) continue;
      voice.say(`        ${isPassed ? colour.dim(rule) : colour.red(rule)}: ${safeText(message)}`);
    }
  }
  if (lock?.updated) voice.tell(`lock     ${lock.path}`);
  const bad = artifacts.flatMap(({ outcomes }) => outcomes.filter((outcome) => !outcome.passed)).length;
  voice.say('');
  voice.say(
    passed
      ? colour.green(`${artifacts.length} of ${artifacts.length} artifacts are as the policy wants`)
      : colour.red(
          `${bad} ${bad === 1 ? 'thing is' : 'things are'} not as the policy wants, in ${artifacts.filter(({ outcomes }) => outcomes.some((outcome) => !outcome.passed)).length} of ${artifacts.length} artifacts`,
        ),
  );
}
