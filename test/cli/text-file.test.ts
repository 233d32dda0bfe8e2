/** Policies, evaluations and lists of jobs: small files that somebody names. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { readText } from '../../src/cli/text-file.js';
import { temporaryFolder } from '../node/temporary-folder.js';

it('what is no such file is told with what may be meant, and not in the words of the system', async () => {
  const folder = temporaryFolder();
  mkdirSync(join(folder, 'models'));
  writeFileSync(join(folder, 'policy.yml'), '\ufeffartifacts: []');
  const read = (name: string, limit = 100) => readText(join(folder, name), limit, 'policy');
  expect(await read('policy.yml')).toBe('artifacts: []');
  await expect(read('polcy.yml')).rejects.toMatchObject({ kind: 'usage', message: expect.stringContaining(`Did you mean "${join(folder, 'policy.yml')}`) });
  await expect(read('models')).rejects.toMatchObject({ kind: 'usage', message: expect.stringContaining('is a folder, and no policy') });
  await expect(read('policy.yml', 5)).rejects.toMatchObject({ kind: 'unsafe' });
});
