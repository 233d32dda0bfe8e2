import type { Turns } from '../../src/bytes/breath.js';

/** What work comes to that is done without a pause. */
export function atOnce<T>(work: Turns<T>): T {
  for (;;) {
    const turn = work.next();
    if (turn.done) return turn.value;
  }
}
