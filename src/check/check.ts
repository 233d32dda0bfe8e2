/** Artifacts against a policy: everything is looked at, whatever failed before. */
import { isModelError, ModelError } from '../errors.js';
import { Artifact, type CheckHost } from './artifact.js';
import type { CheckDocument, CheckedArtifact, Outcome } from './document.js';
import { compareWithLock, type Lock, type LockedArtifact, lockArtifact } from './lock.js';
import type { Policy, Wanted } from './policy.js';

export interface CheckOptions {
  /** The policy's path, for messages. */
  readonly policyPath: string;
  /** What the lock file says; null where there is none yet. */
  readonly lock: Lock | null;
  /** Locks what is there, instead of comparing with what was locked. */
  readonly update: boolean;
  readonly onArtifact?: (path: string, done: number, total: number) => void;
}

export interface Checked {
  readonly document: CheckDocument;
  /** What the lock file is to hold; null where it stays as it is. */
  readonly lock: Lock | null;
}

export async function check(policy: Policy, host: CheckHost, { policyPath, lock, update, onArtifact }: CheckOptions): Promise<Checked> {
  const artifacts: CheckedArtifact[] = [];
  const locked: Record<string, LockedArtifact> = {};
  const found = new Map<string, readonly string[]>();
  /** What is wanted of each path, which several patterns may match: it is opened once, and each thing about it found out once. */
  const wanted = new Map<string, Wanted[]>();
  for (const each of policy.artifacts) {
    for (const pattern of new Set(each.patterns)) {
      const paths = found.get(pattern) ?? (await host.find(pattern));
      found.set(pattern, paths);
      if (paths.length === 0) {
        const outcome = { rule: 'found', passed: false, message: 'there is no such file' };
        artifacts.push({ path: pattern, line: each.line, format: null, outcomes: [outcome] });
      }
      for (const path of paths) {
        const already = wanted.get(path) ?? [];
        wanted.set(path, already);
        if (!already.includes(each)) already.push(each);
      }
    }
  }
  let done = 0;
  for (const [path, all] of wanted) {
    onArtifact?.(path, done++, wanted.size);
    const files = await host.open(path);
    try {
      const artifact = new Artifact(path, files, host);
      const { format, readable } = await openOutcome(artifact);
      if (policy.lock !== null && format !== null && update) locked[path] = await lockArtifact(artifact);
      const asLocked = policy.lock !== null && format !== null && !update ? await lockOutcomes(artifact, policy.lock, lock) : [];
      for (const { line, demands } of all) {
        const outcomes: Outcome[] = [readable];
        // What is not read at all can still be audited; of the rest there is one reason why not.
        for (const { rule, judge } of format === null ? demands.filter((demand) => AUDITED.has(demand.rule)) : demands)
          outcomes.push(...(await outcomesOf(rule, () => judge(artifact))));
        artifacts.push({ path, line, format, outcomes: [...outcomes, ...asLocked] });
      }
    } finally {
      await files.close();
    }
  }
  for (const path of lock && !update ? Object.keys(lock.artifacts) : []) {
    if (wanted.has(path)) continue;
    const message = `it is in ${policy.lock}, and no artifact of the policy is it any more; weighbridge check --update takes it out`;
    artifacts.push({ path, line: policy.lockLine, format: null, outcomes: [{ rule: 'lock', passed: false, message }] });
  }
  // As the policy has them.
  artifacts.sort((a, b) => a.line - b.line);
  const passed = artifacts.length > 0 && artifacts.every(({ outcomes }) => outcomes.every((outcome) => outcome.passed));
  const isUpdated = update && policy.lock !== null;
  return {
    document: {
      schema: 'weighbridge/check@1',
      policy: policyPath,
      artifacts,
      lock: policy.lock === null ? null : { path: policy.lock, updated: isUpdated },
      passed,
    },
    lock: isUpdated ? { schema: 'weighbridge/lock@1', artifacts: locked } : null,
  };
}

const AUDITED = new Set(['audit', 'code', 'pickles', 'sha256']);

async function openOutcome(artifact: Artifact): Promise<{ readonly format: string | null; readonly readable: Outcome }> {
  try {
    const { format } = await artifact.model();
    return { format, readable: { rule: 'readable', passed: true, message: format } };
  } catch (error) {
    if (!isModelError(error)) throw error;
    return { format: null, readable: { rule: 'readable', passed: false, message: error.message } };
  }
}

async function lockOutcomes(artifact: Artifact, name: string, lock: Lock | null): Promise<Outcome[]> {
  if (lock) return outcomesOf('lock', () => compareWithLock(artifact, lock));
  return [{ rule: 'lock', passed: false, message: `there is no ${name}; weighbridge check --update writes it` }];
}

/** A rule that cannot be judged has not passed. */
async function outcomesOf(rule: string, judge: () => Promise<Omit<Outcome, 'rule'> | readonly Omit<Outcome, 'rule'>[]>): Promise<Outcome[]> {
  try {
    return [await judge()].flat().map((outcome) => ({ rule, ...outcome }));
  } catch (error) {
    if (!isModelError(error)) throw error;
    return [{ rule, passed: false, message: error instanceof ModelError ? error.message : String(error) }];
  }
}
