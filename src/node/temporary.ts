/** Folders that go away with the process, whatever ends it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const folders = new Set<string>();
process.on('exit', () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** @param what it is for, a part of its name */
export function temporaryFolder(what: string): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), `weighbridge-${what}-`));
  folders.add(path);
  return {
    path,
    remove() {
      folders.delete(path);
      rmSync(path, { recursive: true, force: true });
    },
  };
}
