/** Files of a model on disk, closed after the file's tests: for tests that hand them to engines and need them until a session is closed. */
import { afterAll } from 'vitest';
import { type NodeFileSet, nodeFileSet } from '../src/node/index.js';

const opened: NodeFileSet[] = [];

export async function openedFiles(path: string): Promise<NodeFileSet> {
  const files = await nodeFileSet(path);
  opened.push(files);
  return files;
}

afterAll(async () => {
  for (const files of opened.splice(0)) await files.close();
});
