/** Which files are meant: paths as they are, patterns as what they match. The shell of Windows leaves patterns to the program. */
import { existsSync } from 'node:fs';
import { resolve, sep } from 'node:path';
import { ModelError } from '../../errors.js';
import { isRemote } from '../../node/index.js';

const PATTERN = /[*?[\]{}]/;

/** Whether a path stands for what it matches: one that is there is meant as it is, whatever signs it has. */
export function isPattern(path: string): boolean {
  return PATTERN.test(path) && !isRemote(path) && !existsSync(path);
}

/**
 * Every name once, in the order that they were named; those of a pattern by name. Two names of one file (links) are two.
 *
 * @param folder what relative paths are relative to
 * @throws ModelError 'usage' where a pattern matches nothing
 */
export async function expandPaths(paths: readonly string[], folder = '.'): Promise<readonly string[]> {
  const found: string[] = [];
  for (const path of paths) found.push(...(isPattern(path) ? await matches(path, folder) : [path]));
  const seen = new Set<string>();
  return found.filter((path) => {
    const identity = isRemote(path) ? path : resolve(folder, path);
    if (seen.has(identity)) return false;
    seen.add(identity);
    return true;
  });
}

async function matches(pattern: string, folder: string): Promise<readonly string[]> {
  const { glob } = await import('tinyglobby');
  const names = await glob(sep === '\\' ? pattern.replaceAll('\\', '/') : pattern, { cwd: folder, onlyFiles: true, expandDirectories: false, dot: false });
  if (names.length === 0) throw new ModelError('usage', 'no file matches this pattern', { file: pattern });
  return names.sort();
}
