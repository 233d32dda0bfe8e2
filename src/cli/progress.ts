/** A progress line on stderr for anything that takes over a second; nothing in a pipe. */
import type { Ora } from 'ora';
import { formatBytes, type Voice } from './print.js';

const DELAY_MS = 700;
const INTERVAL_MS = 100;

export interface Progress {
  /** Bytes of a phase done so far. */
  bytes(phase: string, done: number, total: number): void;
  /** Any other count: images, layers. */
  step(phase: string, done: number, total: number): void;
  /** Takes the line away. */
  stop(): void;
}

/** The spinner is loaded only once something has taken long enough to need it. */
export function startProgress(voice: Voice): Progress {
  const shown = process.stderr.isTTY === true && !voice.quiet;
  const startedAt = performance.now();
  let spinner: Ora | null = null;
  let loading = false;
  let stopped = false;
  let lastAt = 0;
  let text = '';
  const update = (next: string) => {
    const now = performance.now();
    if (!shown || stopped || now - startedAt < DELAY_MS || now - lastAt < INTERVAL_MS) return;
    lastAt = now;
    text = next;
    if (spinner) {
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
    stop() {
      stopped = true;
      spinner?.stop();
    },
  };
}

function percent(done: number, total: number): string {
  return total === 0 ? '' : `${Math.floor((100 * done) / total)} %`;
}
