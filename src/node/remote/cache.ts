/** Where downloads lie: a folder for each folder of a server, so that the files of a model lie beside each other as they do there. */
import { createHash } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { ModelError } from '../../errors.js';
import { errorText } from '../file-source.js';
import { userCache } from '../user-cache.js';

/** `WEIGHBRIDGE_CACHE`, else where the system keeps what can be fetched again. */
export function cacheFolder(env: NodeJS.ProcessEnv = process.env, platform = process.platform): string {
  return env.WEIGHBRIDGE_CACHE || userCache('weighbridge', env, platform);
}

/** The folder for what lies in a folder of a server. @throws ModelError 'usage' where it cannot be made */
export function folderFor(base: URL): string {
  const folder = join(cacheFolder(), createHash('sha256').update(base.href).digest('hex').slice(0, 24));
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new ModelError('usage', `downloads cannot be kept there: ${errorText(error)}. WEIGHBRIDGE_CACHE names another folder.`, { file: folder }, error);
  }
  return folder;
}

/** Marks a download as this process's own. @returns what ends that, or null where another process that runs has it */
export function claim(path: string): (() => void) | null {
  const lock = `${path}.lock`;
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      const file = openSync(lock, 'wx');
      writeSync(file, String(process.pid));
      closeSync(file);
      return () => rmSync(lock, { force: true });
    } catch {
      if (isHeld(lock)) return null;
      rmSync(lock, { force: true });
    }
  }
  return null;
}

function isHeld(lock: string): boolean {
  try {
    const pid = Number(readFileSync(lock, 'utf8'));
    if (!Number.isInteger(pid) || pid <= 0 || pid === process.pid) return pid === process.pid;
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** What was used in the last hour may be read right now. */
const IN_USE_MS = 3_600_000;
/** Downloads, what is known of each, and parts of those that were cut off. */
const BESIDE = /\.(lock|weighbridge\.json)$/;

export interface CachedFile {
  readonly path: string;
  readonly byteLength: number;
  /** When it was last fetched, or found to be the server's still. */
  readonly usedAt: number;
}

/** All downloads that are kept, those that were used last at the end. */
export function cachedFiles(folder = cacheFolder()): readonly CachedFile[] {
  if (!existsSync(folder)) return [];
  const found = readdirSync(folder, { recursive: true, encoding: 'utf8' }).flatMap((name) => {
    const path = join(folder, name);
    const stats = BESIDE.test(name) ? undefined : statSync(path, { throwIfNoEntry: false });
    return stats?.isFile() ? [{ path, byteLength: stats.size, usedAt: stats.mtimeMs }] : [];
  });
  return found.sort((a, b) => a.usedAt - b.usedAt);
}

/** `WEIGHBRIDGE_CACHE_LIMIT` in bytes; null where it is not set. @throws ModelError 'usage' where it is no size */
export function cacheLimit(env: NodeJS.ProcessEnv = process.env): number | null {
  const said = env.WEIGHBRIDGE_CACHE_LIMIT;
  if (said === undefined || said === '') return null;
  const [, number, unit = ''] = /^\s*(\d+(?:\.\d+)?)\s*(|KB|MB|GB|TB)\s*$/i.exec(said) ?? [];
  if (number === undefined) throw new ModelError('usage', `WEIGHBRIDGE_CACHE_LIMIT is ${JSON.stringify(said)}, and a size such as 20GB is expected.`);
  return Number(number) * 1000 ** ['', 'KB', 'MB', 'GB', 'TB'].indexOf(unit.toUpperCase());
}

/**
 * Removes the downloads that were not used for longest, until the rest is within the limit. What was used in the last hour, or another process
 * fetches, stays, whatever the limit.
 *
 * @returns the paths that are gone
 */
export function trimCache(limit: number, folder = cacheFolder(), now = Date.now()): readonly string[] {
  const files = cachedFiles(folder);
  let total = files.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const gone: string[] = [];
  for (const { path, byteLength, usedAt } of files) {
    if (total <= limit) break;
    if (now - usedAt < IN_USE_MS || isHeld(`${path.replace(/\.part$/, '')}.lock`)) continue;
    rmSync(path, { force: true });
    rmSync(`${path}.weighbridge.json`, { force: true });
    total -= byteLength;
    gone.push(path);
  }
  return gone;
}
