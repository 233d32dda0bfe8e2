/** The lock file: hashes of every file and every tensor, so that a change is told, and by the tensors that it is in. */
import { checkJson, isObject } from '../containers/json.js';
import { ModelError } from '../errors.js';
import { listed } from '../words.js';
import type { Artifact } from './artifact.js';
import { type Found, found } from './rule.js';

export interface LockedArtifact {
  readonly files: Readonly<Record<string, { readonly byteLength: number; readonly sha256: string }>>;
  readonly tensors: Readonly<Record<string, { readonly dtype: string; readonly shape: readonly number[]; readonly sha256: string }>>;
}

export interface Lock {
  readonly schema: 'weighbridge/lock@1';
  readonly artifacts: Readonly<Record<string, LockedArtifact>>;
}

export const MAX_LOCK_BYTES = 2 ** 28;

/** @throws ModelError 'malformed' */
export function parseLock(text: string, file: string): Lock {
  checkJson(text, file);
  let lock: unknown;
  try {
    lock = JSON.parse(text);
  } catch (error) {
    throw new ModelError('malformed', `the lock file is no JSON: ${(error as Error).message}. weighbridge check --update writes it anew.`, { file }, error);
  }
  const isWhole =
    isObject(lock) &&
    lock.schema === 'weighbridge/lock@1' &&
    isObject(lock.artifacts) &&
    Object.values(lock.artifacts).every(
      (each) => isObject(each) && [each.files, each.tensors].every((named) => isObject(named) && Object.values(named).every(isObject)),
    );
  if (!isWhole)
    throw new ModelError('malformed', 'this is no lock file of weighbridge/lock@1. Name another, which weighbridge check --update writes.', { file });
  return lock as unknown as Lock;
}

export async function lockArtifact(artifact: Artifact): Promise<LockedArtifact> {
  const files: Record<string, { byteLength: number; sha256: string }> = {};
  for (const [name, byteLength] of await artifact.sizes()) files[name] = { byteLength, sha256: await artifact.sha256(name) };
  const tensors: Record<string, { dtype: string; shape: readonly number[]; sha256: string }> = {};
  for (const { name, dtype, shape, sha256 } of (await artifact.weights()).tensors) tensors[name] = { dtype, shape, sha256: sha256! };
  return { files, tensors };
}

/** Whether an artifact is what it was when it was locked. Tensors are read only where a file differs. */
export async function compareWithLock(artifact: Artifact, lock: Lock): Promise<Found> {
  const locked = Object.hasOwn(lock.artifacts, artifact.path) ? lock.artifacts[artifact.path] : undefined;
  if (!locked) return found(false, 'it is not in the lock file; weighbridge check --update adds it');
  const sizes = await artifact.sizes();
  const changed: string[] = [];
  for (const [name, byteLength] of sizes) {
    const before = Object.hasOwn(locked.files, name) ? locked.files[name] : undefined;
    if (!before || before.byteLength !== byteLength || before.sha256 !== (await artifact.sha256(name))) changed.push(name);
  }
  const gone = Object.keys(locked.files).filter((name) => !sizes.has(name));
  if (changed.length === 0 && gone.length === 0) return found(true, `as locked, ${sizes.size} ${sizes.size === 1 ? 'file' : 'files'}`);
  const now = (await lockArtifact(artifact)).tensors;
  const names = new Set([...Object.keys(now), ...Object.keys(locked.tensors)]);
  // The same bytes are other numbers as another dtype.
  const said = ({ dtype, shape, sha256 }: Partial<LockedArtifact['tensors'][string]> = {}) => JSON.stringify([dtype, shape, sha256]);
  const other = [...names].filter((name) => said(now[name]) !== said(locked.tensors[name]));
  const which =
    other.length === 0
      ? `no tensor differs, only what is around them (${listed([...changed, ...gone])})`
      : `${other.length} of ${names.size} tensors differ: ${listed(other)}`;
  return found(false, `not as locked: ${which}`);
}
