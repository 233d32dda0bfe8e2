/** What nobody holds any more is given back at once where it is much: V8 sees little of what lies outside of its heap, and lets hundreds of megabytes wait. */

/** Bytes outside of the heap from which on it is looked for. */
const MOST_WAITING = 2 ** 24;

/** Nothing in a page. */
export function collectGarbage(): void {
  const modules = typeof process === 'undefined' ? undefined : process.getBuiltinModule;
  if (!modules || process.memoryUsage().arrayBuffers < MOST_WAITING) return;
  modules('node:v8').setFlagsFromString('--expose-gc');
  (modules('node:vm').runInNewContext('gc') as () => void)();
}
