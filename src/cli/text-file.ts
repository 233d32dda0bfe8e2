/** Small files that appear whole or not at all. */
import { basename } from 'node:path';
import { fileSink } from '../node/file-sink.js';

/**
 * @param keep files that were read, which may not be replaced
 * @throws ModelError 'usage' where it cannot be written
 */
export async function writeText(path: string, content: string | Uint8Array, keep: readonly string[] = []): Promise<void> {
  const sink = await fileSink(path, { force: true, keep: () => keep });
  try {
    const file = await sink.create(basename(path));
    await file.write(typeof content === 'string' ? new TextEncoder().encode(content) : content);
    await file.close();
    await sink.commit();
  } catch (error) {
    await sink.abort();
    throw error;
  }
}
