import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path/posix';
import { defineConfig } from 'vitest/config';
import { SLOW } from './vitest.config.js';

/** What a test must not import, nor any helper of its, to be quick: processes, browsers, bundlers, runtimes of models, whole verifications. */
const STARTS =
  /^(node:child_process|node:worker_threads|rolldown|vite|onnxruntime-\w+|opencv-wasm|@tensorflow\/.*)$|\/(run-cli|chromium|web-server|engine-host)\.js$|\/verify\/(engines\/.*|verify)\.js$/;
const IMPORT = /^(?:import|export) (?!type )[^;]*?'([^']+)'|\bimport\('([^']+)'\)/gm;
/** The same comment by which vitest itself tags every test of a file. */
const SLOW_FILE = new RegExp(`@module-tag ${SLOW}\\b`);

const known = new Map<string, boolean>();
/** Follows imports among the tests, not into the source: what that loads, it loads when asked to. */
function isQuick(file: string): boolean {
  const before = known.get(file);
  if (before !== undefined) return before;
  known.set(file, true);
  const text = readFileSync(file, 'utf8');
  const imports = [...text.matchAll(IMPORT)].map(([, fixed, onUse]) => (fixed ?? onUse)!);
  const near = imports.filter((name) => /^\..*\.js$/.test(name)).map((name) => join(dirname(file), name).replace(/\.js$/, '.ts'));
  const helpers = near.filter((helper) => helper.startsWith('test/') && existsSync(helper));
  const quick = !SLOW_FILE.test(text) && !imports.some((name) => STARTS.test(name)) && helpers.every(isQuick);
  known.set(file, quick);
  return quick;
}

const files = readdirSync('test', { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.test.ts') && !name.endsWith('.slow.test.ts'))
  .map((name) => `test/${name.replaceAll('\\', '/')}`);

/** For daily work, between two edits: every test file that starts nothing, without files that are tagged as slow; the script leaves out tagged tests. */
export default defineConfig({
  test: {
    setupFiles: ['test/setup.ts'],
    include: files.filter(isQuick),
    tags: [{ name: SLOW, description: 'takes over half a second, and starts nothing' }],
    // Most of the time would be spent importing the same modules for each file.
    isolate: false,
    maxWorkers: 2,
    testTimeout: 60_000,
    reporters: ['default'],
  },
});
