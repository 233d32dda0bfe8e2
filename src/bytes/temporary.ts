/** Folders that go away with the process; what one leaves that was killed goes with the next that makes such a folder. */
import { ModelError } from '../errors.js';
import { crc32 } from './crc32.js';

export interface TemporaryFolder {
  readonly path: string;
  remove(): void;
}

/** `weighbridge-<what for>-<where>-<process>-<random>`. */
const NAME = /^weighbridge-[a-z]+-([0-9a-z]+)-(\d+)-\w+$/;

const folders = new Set<TemporaryFolder>();
let isWatching = false;

/**
 * @param what it is for, a part of its name
 * @returns null in a page
 * @throws ModelError 'usage' where none can be made
 */
export function temporaryFolder(what: string): TemporaryFolder | null {
  // No import: bundlers for a page would look for the modules.
  const modules = typeof process === 'undefined' ? undefined : process.getBuiltinModule;
  if (!modules) return null;
  const { mkdtempSync, readdirSync, readlinkSync, rmSync } = modules('node:fs');
  const { hostname, tmpdir } = modules('node:os');
  const { join } = modules('node:path');
  // A machine, or a container on it: those that share a folder do not see each other's processes, whose numbers say nothing elsewhere.
  const where = crc32(new TextEncoder().encode(hostname() + (tried(() => readlinkSync('/proc/self/ns/pid')) ?? ''))).toString(36);
  const removeFolder = (path: string) => rmSync(path, { recursive: true, force: true });

  for (const name of tried(() => readdirSync(tmpdir())) ?? []) {
    const [, place, id] = NAME.exec(name) ?? [];
    if (place === where && !isRunning(Number(id))) tried(() => removeFolder(join(tmpdir(), name)));
  }
  if (!isWatching) {
    process.on('exit', () => {
      for (const folder of folders) folder.remove();
    });
    isWatching = true;
  }
  try {
    const path = mkdtempSync(join(tmpdir(), `weighbridge-${what}-${where}-${process.pid}-`));
    const folder: TemporaryFolder = {
      path,
      remove() {
        folders.delete(folder);
        // Windows keeps what is still mapped into memory; the next process that makes such a folder removes it.
        tried(() => removeFolder(path));
      },
    };
    folders.add(folder);
    return folder;
  } catch (error) {
    const problem = (error as Error).message.split(',')[0];
    throw new ModelError('usage', `no temporary folder can be made: ${problem}. TMPDIR names another place for it.`, { file: tmpdir() }, error);
  }
}

function isRunning(id: number): boolean {
  try {
    return process.kill(id, 0);
  } catch (error) {
    return (error as { code?: string }).code !== 'ESRCH';
  }
}

function tried<T>(act: () => T): T | null {
  try {
    return act();
  } catch {
    return null;
  }
}
