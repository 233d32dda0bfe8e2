import { readFileSync } from 'node:fs';
import { defineConfig } from 'vitest/config';
import { CALM, SLOW, TAGS } from './vitest.config.js';

/** The same comment by which vitest itself tags every test of a file. */
const SLOW_FILE = new RegExp(`@module-tag ${SLOW}\\b`);

/** For daily work, between two edits: every test file that starts nothing, without files that are tagged as slow; the script leaves out tagged tests. */
export default defineConfig({
  test: {
    setupFiles: ['test/setup.ts'],
    include: CALM.filter((file) => !SLOW_FILE.test(readFileSync(file, 'utf8'))),
    tags: TAGS,
    // Most of the time would be spent importing the same modules for each file.
    isolate: false,
    maxWorkers: 2,
    testTimeout: 60_000,
    reporters: ['default'],
  },
});
