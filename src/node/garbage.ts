/** What nobody holds any more is given back at once where it is much: V8 sees little of what lies outside of its heap, and lets hundreds of megabytes wait. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Bytes outside of the heap from which on it is looked for. */
const MOST_WAITING = 2 ** 26;

export function collectGarbage(): void {
  if (process.memoryUsage().arrayBuffers < MOST_WAITING) return;
  setFlagsFromString('-expose_gc');
  (runInNewContext('gc') as () => void)();
}
