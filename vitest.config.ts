import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path/posix';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

// For tests that load ONNX Runtime themselves; our engines see to it (`src/verify/engines/ort-node.ts`). In a thread it would come too late.
process.env.ORT_DISABLE_TELEMETRY = '1';

/** The tag of tests that `npm run test:quick` leaves out although they start nothing. */
export const SLOW = 'slow';
export const TAGS = [{ name: SLOW, description: 'takes over half a second: not in the quick tier' }];

/** What a test must not import, nor any helper of its, to start nothing: processes, browsers, bundlers, runtimes of models, whole verifications. */
const STARTS =
  /^(node:child_process|node:worker_threads|rolldown|vite|onnxruntime-\w+|opencv-wasm|@tensorflow\/.*)$|\/(run-cli|chromium|web-server|engine-host)\.js$|\/scripts\/cases\.mjs$|\/verify\/(engines\/.*|verify)\.js$/;
const IMPORT = /^(?:import|export) (?!type )[^;]*?'([^']+)'|\bimport\('([^']+)'\)/gm;

const known = new Map<string, boolean>();
/** Follows imports among the tests, not into the source: what that loads, it loads when asked to. */
function startsNothing(file: string): boolean {
  const before = known.get(file);
  if (before !== undefined) return before;
  known.set(file, true);
  const imports = [...readFileSync(file, 'utf8').matchAll(IMPORT)].map(([, fixed, onUse]) => (fixed ?? onUse)!);
  const near = imports.filter((name) => /^\..*\.js$/.test(name)).map((name) => join(dirname(file), name).replace(/\.js$/, '.ts'));
  const helpers = near.filter((helper) => helper.startsWith('test/') && existsSync(helper));
  const calm = !imports.some((name) => STARTS.test(name)) && helpers.every(startsNothing);
  known.set(file, calm);
  return calm;
}

/** The test files that start nothing. */
export const CALM = readdirSync('test', { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.test.ts') && !name.endsWith('.slow.test.ts'))
  .map((name) => `test/${name.replaceAll('\\', '/')}`)
  .filter(startsNothing);

/** Files that take long by themselves first, so that none of them is alone at the end. */
class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    return [true, false].flatMap((isolated) => sorted.filter(({ project }) => project.config.isolate === isolated));
  }
}

export default defineConfig({
  test: {
    setupFiles: ['test/setup.ts'],
    // Most of the time is spent in processes and runtimes; one worker leaves a core of two idle.
    maxWorkers: 2,
    tags: TAGS,
    testTimeout: 60_000,
    hookTimeout: 120_000,
    reporters: ['default'],
    sequence: { sequencer: LongFirst },
    projects: [
      { extends: true, test: { name: 'alone', include: ['test/**/*.test.ts'], exclude: ['test/**/*.slow.test.ts', ...CALM] } },
      // In the same processes one after the other: most of their time would be spent importing the same modules for each file.
      { extends: true, test: { name: 'together', include: CALM, isolate: false } },
    ],
  },
});
