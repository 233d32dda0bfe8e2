/** Small files that appear whole or not at all. */
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { ModelError } from '../errors.js';
import { errorText } from '../node/file-source.js';

/** @throws ModelError 'usage' where it cannot be written */
export function writeText(path: string, content: string | Uint8Array): void {
  const made = `${path}.${process.pid}.part`;
  try {
    writeFileSync(made, content);
    renameSync(made, path);
  } catch (error) {
    rmSync(made, { force: true });
    throw new ModelError('usage', `cannot be written: ${errorText(error)}`, { file: path }, error);
  }
}
