/** What is known of an operation: what it does, and the names of its parameters in order. */
import type { Signature } from './arguments.js';
import type { Operation } from './operation.js';

export interface Known extends Signature {
  readonly operation: Operation;
}

export const known = (names: readonly string[], operation: Operation, ...idle: readonly string[]): Known => ({ names, operation, idle: ['name', ...idle] });
