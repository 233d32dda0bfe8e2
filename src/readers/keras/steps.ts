/** A layer that works on each step of a sequence by itself: the steps become samples of one batch, and are put back behind it. */

import type { Turns } from '../../bytes/breath.js';
import { knownSize } from './axes.js';
import type { Scope } from './scope.js';
import { kerasShape, type Value } from './value.js';

export function* eachStep(input: Value, scope: Scope, build: (step: Value) => Turns<readonly Value[]>): Turns<Value> {
  const value = scope.builder.toKeras(input);
  const steps = knownSize(value, 1, 'a TimeDistributed layer', scope);
  const rest = value.shape.slice(2).map((_, axis) => knownSize(value, axis + 2, 'a TimeDistributed layer', scope));
  const merged = scope.add('Reshape', [value], { attributes: { shape: [-1, ...rest] } });
  const made = scope.builder.toKeras((yield* build(merged))[0]!);
  const sizes = kerasShape(made)
    .slice(1)
    .map((_, axis) => knownSize(made, axis + 1, 'a TimeDistributed layer', scope));
  return { ...scope.add('Reshape', [made], { attributes: { shape: [-1, steps, ...sizes] } }), mask: input.mask };
}
