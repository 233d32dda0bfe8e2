/** Where downloads lie: a folder for each folder of a server, so that the files of a model lie beside each other as they do there. */
import { createHash } from 'node:crypto';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { ModelError } from '../../errors.js';
import { errorText } from '../file-source.js';

/** `WEIGHBRIDGE_CACHE`, else where the system keeps what can be fetched again. */
export function cacheFolder(env: NodeJS.ProcessEnv = process.env, platform = process.platform): string {
  if (env.WEIGHBRIDGE_CACHE) return env.WEIGHBRIDGE_CACHE;
  if (platform === 'win32' && env.LOCALAPPDATA) return join(env.LOCALAPPDATA, 'weighbridge', 'Cache');
  if (platform === 'darwin') return join(homedir(), 'Library', 'Caches', 'weighbridge');
  return join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'weighbridge');
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
