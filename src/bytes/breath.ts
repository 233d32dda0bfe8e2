/** Long work in one thread lets others have their turn: an interruption, a time limit, a progress line. */

/** Long enough that pauses cost nothing, short enough that nobody waits for an answer to Ctrl-C. */
const MAX_BREATHLESS_MS = 25;
let pausedAt = 0;

/**
 * Asked often, it waits rarely, and then for as long as everything that waits takes. All loops have one clock, for work that goes through many of them: each read of
 * a file, each node of a graph.
 */
export async function breathe(): Promise<void> {
  if (performance.now() - pausedAt < MAX_BREATHLESS_MS) return;
  // Where there is only a timer, it takes a millisecond.
  await new Promise<void>((resolve) => (typeof setImmediate === 'function' ? setImmediate(resolve) : setTimeout(resolve)));
  pausedAt = performance.now();
}

/** Work that waits for nothing, and says where it may be interrupted. */
export type Turns<T> = Generator<void, T, void>;

/** Does such work, and lets interruptions in between its turns. */
export async function inTurns<T>(work: Turns<T>): Promise<T> {
  for (;;) {
    const turn = work.next();
    if (turn.done) return turn.value;
    await breathe();
  }
}
