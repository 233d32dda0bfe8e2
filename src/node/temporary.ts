/** Folders that go away with the process, whatever ends it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ModelError } from '../errors.js';
import { errorText } from './file-source.js';

const folders = new Set<string>();
process.on('exit', () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/**
 * @param what it is for, a part of its name
 * @throws ModelError 'usage' where none can be made
 */
export function temporaryFolder(what: string): { readonly path: string; remove(): void } {
  const path = made(join(tmpdir(), `weighbridge-${what}-`));
  folders.add(path);
  return {
    path,
    remove() {
      folders.delete(path);
      rmSync(path, { recursive: true, force: true });
    },
  };
}

function made(prefix: string): string {
  try {
    return mkdtempSync(prefix);
  } catch (error) {
    throw new ModelError('usage', `no temporary folder can be made: ${errorText(error)}. TMPDIR names another place for it.`, { file: tmpdir() }, error);
  }
}
