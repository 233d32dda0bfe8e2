/** Files by what they are on disk, not by what they are called: links, hard links and other spellings of a path lead to the same file. */
import { realpathSync, type Stats, statSync } from 'node:fs';
import { resolve } from 'node:path';

/** The same text for the same file; a path where there is none. */
export function identityOf(path: string): string {
  try {
    const { dev, ino } = statSync(path, { bigint: true });
    // Some file systems of Windows have no numbers for their files.
    return ino === 0n ? realpathSync(path) : `${dev}:${ino}`;
  } catch {
    return resolve(path);
  }
}

/** What is at a path; undefined where nothing is, or nothing can be (a file in the place of a folder, a name that is too long). */
export function statsOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}
