import { defineConfig } from 'vitest/config';

/** The tag of tests that `npm run test:quick` leaves out although they start nothing. */
export const SLOW = 'slow';

export default defineConfig({
  test: {
    setupFiles: ['test/setup.ts'],
    include: ['test/**/*.test.ts'],
    exclude: ['test/**/*.slow.test.ts'],
    // Most of the time is spent in processes and runtimes; one worker leaves a core of two idle.
    maxWorkers: 2,
    tags: [{ name: SLOW, description: 'takes over half a second: not in the quick tier' }],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    reporters: ['default'],
  },
});
