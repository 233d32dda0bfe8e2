/** How a program follows what the library does, and stops it. */
import type { OptionNames } from '../spelling.js';

export interface Progress {
  /** What is done: 'writing', 'reading weights', an engine's name. */
  readonly phase: string;
  readonly done: number;
  readonly total: number;
  /** What `done` and `total` count; steps are inputs, layers, pictures. */
  readonly unit: 'bytes' | 'steps';
}

export interface Watching {
  /** Stops the work at the next read or step, and what a server is waited for at once. The promise is rejected with the signal's reason, once everything is closed and what was written is removed. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
}

export const WATCHING_NAMES: OptionNames<Watching> = { signal: true, onProgress: true };

export type OnStep = (phase: string, done: number, total: number) => void;

/** Told of bytes in one phase. A stopped work stops here too, where it computes for long without reading. */
export function onBytes({ signal, onProgress }: Watching, phase: string): (done: number, total: number) => void {
  return (done, total) => {
    signal?.throwIfAborted();
    onProgress?.({ phase, done, total, unit: 'bytes' });
  };
}

/** The same for anything else that is counted. */
export function onSteps({ signal, onProgress }: Watching): OnStep {
  return (phase, done, total) => {
    signal?.throwIfAborted();
    onProgress?.({ phase, done, total, unit: 'steps' });
  };
}
