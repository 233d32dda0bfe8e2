/** Long work in one thread lets others have their turn: an interruption, a time limit, a progress line. */

const TURN_MS = 40;

/**
 * Asked often, it waits rarely: now and then for as long as everything that waits takes.
 *
 * @returns a promise to wait for, or null while it is not time yet
 */
export function makeBreath(): () => Promise<void> | null {
  let turnEnds = performance.now() + TURN_MS;
  return () => {
    if (performance.now() < turnEnds) return null;
    return new Promise<void>((resolve) => setTimeout(resolve)).then(() => {
      turnEnds = performance.now() + TURN_MS;
    });
  };
}
