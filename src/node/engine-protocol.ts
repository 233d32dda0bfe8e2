/**
 * The messages between a program and an engine's process, over Node's channel with structured clones: typed arrays travel as
 * they are. Every request has a number, which its answer repeats.
 */
import type { ErrorPlace, ModelErrorKind } from '../errors.js';
import type { Availability, NdArray, SessionPort, ShelvedArray } from '../verify/engine.js';

export type Request =
  | { readonly what: 'availability'; readonly engine: string }
  | { readonly what: 'open'; readonly engine: string; readonly path: string; readonly prototxt?: string; readonly layers?: boolean | readonly string[] }
  | { readonly what: 'run'; readonly session: number; readonly feeds: ReadonlyMap<string, NdArray>; readonly wanted?: readonly string[] }
  | {
      readonly what: 'run aside';
      readonly session: number;
      readonly feeds: ReadonlyMap<string, NdArray>;
      readonly wanted: readonly string[];
      readonly folder: string;
    }
  | { readonly what: 'close'; readonly session: number };

/** What each request is answered with. */
export interface Answers {
  availability: Availability;
  open: {
    readonly session: number;
    readonly inputs: readonly SessionPort[];
    readonly outputs: readonly SessionPort[];
    readonly intermediates?: readonly string[];
    readonly pieces?: number;
  };
  run: Map<string, NdArray>;
  'run aside': Map<string, ShelvedArray>;
  close: null;
}

export type Answer =
  | { readonly id: number; readonly result: Answers[keyof Answers] }
  | { readonly id: number; readonly error: { readonly kind: ModelErrorKind; readonly problem: string; readonly place: ErrorPlace } }
  /** A mistake of ours, with its stack. */
  | { readonly id: number; readonly bug: string };

export type Numbered = Request & { readonly id: number };
