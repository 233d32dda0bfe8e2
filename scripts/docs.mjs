/** Rewrites the generated blocks of the documentation: the tests that know what they should say write them. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const { status } = spawnSync(
  'npx',
  [
    'vitest',
    'run',
    'test/verify/faults',
    'test/readme.test.ts',
    'test/api.test.ts',
    'test/model/operators-doc.test.ts',
    'test/dialects/tensorflow-doc.test.ts',
    'test/cli/run.test.ts',
  ],
  {
    cwd: root,
    stdio: 'inherit',
    shell: true,
    env: { ...process.env, WEIGHBRIDGE_DOCS: 'write' },
  },
);
process.exitCode = status ?? 1;
