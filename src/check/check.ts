/** Artifacts against a policy: everything is looked at, whatever failed before. */
import { isModelError, ModelError } from '../errors.js';
import { Artifact, type CheckHost } from './artifact.js';
import type { CheckDocument, CheckedArtifact, Outcome } from './document.js';
import { compareWithLock, type Lock, type LockedArtifact, lockArtifact } from './lock.js';
import type { Policy } from './policy.js';

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
  const wanted = [];
  for (const each of policy.artifacts) {
    for (const pattern of each.patterns) {
      const paths = await host.find(pattern);
      if (paths.length === 0) {
        const outcome = { rule: 'found', passed: false, message: 'there is no such file' };
        artifacts.push({ path: pattern, line: each.line, format: null, outcomes: [outcome] });
      }
      wanted.push(...paths.map((path) => ({ ...each, path })));
    }
  }
  for (const [i, { path, line, demands }] of wanted.entries()) {
    onArtifact?.(path, i, wanted.length);
    const files = await host.open(path);
    try {
      const artifact = new Artifact(path, files, host);
      const outcomes: Outcome[] = [];
      let format: string | null = null;
      try {
        format = (await artifact.model()).format;
        outcomes.push({ rule: 'readable', passed: true, message: format });
      } catch (error) {
        if (!isModelError(error)) throw error;
        outcomes.push({ rule: 'readable', passed: false, message: error.message });
      }
      // What is not read at all can still be audited; of the rest there is one reason why not.
      for (const { rule, judge } of format === null ? demands.filter((demand) => AUDITED.has(demand.rule)) : demands)
        outcomes.push(...(await outcomesOf(rule, () => judge(artifact))));
      if (policy.lock !== null && format !== null) {
        if (update) locked[path] = await lockArtifact(artifact);
        else if (lock) outcomes.push(...(await outcomesOf('lock', () => compareWithLock(artifact, lock))));
        else outcomes.push({ rule: 'lock', passed: false, message: `there is no ${policy.lock}; weighbridge check --update writes it` });
      }
      artifacts.push({ path, line, format, outcomes });
    } finally {
      await files.close();
    }
  }
  for (const path of lock && !update ? Object.keys(lock.artifacts) : []) {
    if (wanted.some((each) => each.path === path)) continue;
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

/** A rule that cannot be judged has not passed. */
async function outcomesOf(rule: string, judge: () => Promise<Omit<Outcome, 'rule'> | readonly Omit<Outcome, 'rule'>[]>): Promise<Outcome[]> {
  try {
    return [await judge()].flat().map((outcome) => ({ rule, ...outcome }));
  } catch (error) {
    if (!isModelError(error)) throw error;
    return [{ rule, passed: false, message: error instanceof ModelError ? error.message : String(error) }];
  }
}
