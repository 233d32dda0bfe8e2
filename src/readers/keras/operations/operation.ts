/** What an operation is: a function that the model calls, whose arguments say what is computed. */
import type { Build } from '../rule.js';
import type { Arguments } from './arguments.js';

/** Reads the arguments of one call; obstacles go to its configuration's view. */
export type Operation = (args: Arguments) => Build;

/** One part of an index, as Python writes it. */
export type Index =
  | { readonly kind: 'all' | 'new' | 'rest' }
  | { readonly kind: 'one'; readonly at: number }
  | { readonly kind: 'range'; readonly start: number | null; readonly stop: number | null; readonly step: number };
