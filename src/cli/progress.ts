/** Progress on stderr for anything that takes over a second: a line that moves in a terminal, and a line now and then elsewhere. */
import type { Ora } from 'ora';
import type { Watching } from '../node/watching.js';
import { formatBytes, type Voice } from './print.js';

const DELAY_MS = 700;
const INTERVAL_MS = 100;
/** A log wants to know that something goes on, and no more. */
const LOG_INTERVAL_MS = 10_000;

export interface Progress {
  /** Bytes of a phase done so far. */
  bytes(phase: string, done: number, total: number): void;
  /** Any other count: images, layers. */
  step(phase: string, done: number, total: number): void;
  /** Takes the line away until it moves again, for something to be said in its place. */
  clear(): void;
  /** Takes the line away. */
  stop(): void;
}

/** The line as the library tells of its work. */
export function watching(progress: Progress): Watching {
  return {
    onProgress({ phase, done, total, unit }) {
      if (unit === 'bytes') progress.bytes(phase, done, total);
      else progress.step(phase, done, total);
    },
  };
}

/** The spinner is loaded only once something has taken long enough to need it. */
export function startProgress(voice: Voice): Progress {
  const moves = process.stderr.isTTY === true;
  const startedAt = performance.now();
  let spinner: Ora | null = null;
  let loading = false;
  let stopped = false;
  let lastAt = process.stderr.isTTY ? 0 : startedAt;
  let text = '';
  const update = (next: string) => {
    const now = performance.now();
    if (voice.quiet || stopped || now - startedAt < DELAY_MS || now - lastAt < (moves ? INTERVAL_MS : LOG_INTERVAL_MS)) return;
    lastAt = now;
    text = next;
    if (!moves) {
      voice.tell(text);
    } else if (spinner) {
      spinner.text = text;
      spinner.render();
    } else if (!loading) {
      loading = true;
      void import('ora').then(({ default: ora }) => {
        if (!stopped) spinner = ora({ text, stream: process.stderr, discardStdin: false }).start();
      });
    }
  };
  return {
    bytes: (phase, done, total) => update(`${phase}  ${formatBytes(done)} of ${formatBytes(total)}  ${percent(done, total)}`),
    step: (phase, done, total) => update(`${phase}  ${done} of ${total}`),
    clear() {
      spinner?.clear();
    },
    stop() {
      stopped = true;
      spinner?.stop();
    },
  };
}

function percent(done: number, total: number): string {
  return total === 0 ? '' : `${Math.floor((100 * done) / total)} %`;
}
