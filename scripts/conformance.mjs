/** Runs the operator tests of ONNX and writes what they show to docs/conformance.md. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const { status } = spawnSync('npx', ['vitest', 'run', 'test/conformance'], {
  cwd: fileURLToPath(new URL('..', import.meta.url)),
  stdio: 'inherit',
  shell: true,
  env: { ...process.env, WEIGHBRIDGE_DOCS: 'write' },
});
process.exitCode = status ?? 1;
