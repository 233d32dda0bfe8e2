/** What another program's hold on a file keeps from being done for a moment. */

/** Of Windows, where a virus scanner or an indexer opens what was just written: nothing takes its name, or its place, until it is let go. */
const HELD: ReadonlySet<string | undefined> = new Set(['EBUSY', 'EPERM', 'EACCES']);
/** Pauses in milliseconds between tries: a second and a half together. */
const PAUSES_MS = [10, 20, 40, 80, 150, 250, 400, 550];

/** @throws what the last try threw; on other systems the first, since there it means what it says */
export function steadily<Result>(work: () => Result, platform: NodeJS.Platform = process.platform): Result {
  for (const pause of platform === 'win32' ? PAUSES_MS : []) {
    try {
      return work();
    } catch (error) {
      if (!HELD.has((error as NodeJS.ErrnoException).code)) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pause);
    }
  }
  return work();
}
