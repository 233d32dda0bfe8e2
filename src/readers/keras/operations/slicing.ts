/** Indexing, as Python writes it: `x[:, 2:, ..., ::-1]`. */

import { knownSize, slice, squeeze, unsqueeze } from '../axes.js';
import { brief } from '../config-view.js';
import { isObject } from '../json.js';
import { concat } from '../merge.js';
import type { Scope } from '../scope.js';
import { kerasShape, mapAxis, type Value } from '../value.js';
import { valueAt } from './arguments.js';
import type { Index, Operation } from './operation.js';
import { indexSizes } from './sizes.js';

/** Axes up to this length are reversed by a slice for each of their elements, which every target has: meant for channels. */
const MAX_REVERSED = 64;

export const getItem =
  (x: string, key: string): Operation =>
  (args) => {
    const operand = args.operand(x);
    const given = args.json(key);
    const list = Array.isArray(given) ? (given as unknown[]) : [given];
    const indices = list.map(parseIndex);
    const unknown = indices.indexOf(null);
    if (unknown >= 0) args.decline(`the index ${brief(list[unknown])} is not translated`);
    return (inputs, scope) => index(valueAt(operand, inputs), indices as readonly Index[], scope);
  };

function parseIndex(given: unknown): Index | null {
  if (given === null) return { kind: 'new' };
  if (typeof given === 'number') return Number.isSafeInteger(given) ? { kind: 'one', at: given } : null;
  if (!isObject(given)) return null;
  if (given.class_name === '__ellipsis__') return { kind: 'rest' };
  const { start, stop, step } = isObject(given.config) ? given.config : given;
  const isBound = (bound: unknown) => bound === null || bound === undefined || Number.isSafeInteger(bound);
  if (!('start' in given || given.class_name === '__slice__') || ![start, stop, step].every(isBound)) return null;
  const range = { kind: 'range', start: (start as number | null) ?? null, stop: (stop as number | null) ?? null, step: (step as number | null) ?? 1 } as const;
  return range.start === null && range.stop === null && range.step === 1 ? { kind: 'all' } : range;
}

export function index(input: Value, given: readonly Index[], scope: Scope): Value {
  if (input.sizes) return indexSizes(input.sizes, given, scope);
  let value = scope.builder.unflattened(input);
  const rank = value.shape.length;
  const own = given.filter(({ kind }) => kind !== 'new' && kind !== 'rest').length;
  if (own > rank) throw scope.malformed(`${own} indices for a value of ${rank} axes`);
  const filled = given.flatMap((one) => (one.kind === 'rest' ? new Array<Index>(rank - own).fill({ kind: 'all' }) : [one]));
  const dropped: number[] = [];
  const added: number[] = [];
  let axis = 0;
  for (const one of filled) {
    if (one.kind === 'new') {
      added.push(axis - dropped.length + added.length);
      continue;
    }
    if (one.kind === 'one') {
      value = range(value, axis, one.at, one.at === -1 ? null : one.at + 1, scope);
      dropped.push(axis);
    } else if (one.kind === 'range') value = one.step === 1 ? range(value, axis, one.start, one.stop, scope) : reversed(value, axis, one, scope);
    axis++;
  }
  return added.reduce((made, at) => unsqueeze(made, at, scope), squeeze(value, dropped, scope));
}

/** ONNX takes an end beyond the axis for its end; this one is beyond every axis and fits an int32. */
const TO_THE_END = 2 ** 31 - 1;

function range(value: Value, axis: number, start: number | null, stop: number | null, scope: Scope): Value {
  const size = kerasShape(value)[axis];
  const at = (bound: number) => (typeof size === 'number' ? Math.max(0, Math.min(size, bound < 0 ? bound + size : bound)) : bound);
  if (typeof size === 'number' && at(start ?? 0) === 0 && at(stop ?? size) === size) return value;
  if (axis === 0) throw scope.unsupported('a part of the batch');
  if (typeof size === 'number' && at(start ?? 0) >= at(stop ?? size))
    throw scope.malformed(`the part ${start ?? ''}:${stop ?? ''} of axis ${axis} (${size} long) has no elements`);
  const attributes = { starts: [start ?? 0], ends: [stop ?? TO_THE_END], axes: [mapAxis(value, axis)] };
  return scope.add('Slice', [value], { attributes });
}

function reversed(value: Value, axis: number, { start, stop, step }: Extract<Index, { kind: 'range' }>, scope: Scope): Value {
  const size = kerasShape(value)[axis];
  if (axis === 0) throw scope.unsupported('a part of the batch');
  if (step === -1 && start === null && stop === null) return flip(value, axis, size, scope);
  if (step <= 0) throw scope.unsupported(`a part in steps of ${step}`);
  const attributes = { starts: [start ?? 0], ends: [stop ?? TO_THE_END], axes: [mapAxis(value, axis)], steps: [step] };
  return scope.add('Slice', [value], { attributes });
}

/** The axis from its end to its start. */
export function flip(value: Value, axis: number, size: number | string | undefined, scope: Scope): Value {
  if (axis === 0) throw scope.unsupported('reversing the batch');
  if (size === 1) return value;
  const place = mapAxis(value, axis);
  if (typeof size !== 'number' || size > MAX_REVERSED)
    return scope.add('Slice', [value], { attributes: { starts: [-1], ends: [-TO_THE_END], axes: [place], steps: [-1] } });
  const elements = Array.from({ length: size }, (_, i) =>
    scope.add('Slice', [value], { attributes: { starts: [size - 1 - i], ends: [size - i], axes: [place] } }),
  );
  return scope.add('Concat', elements, { attributes: { axis: place } });
}

/** Margins that mirror the elements at the edge, the outermost included. */
export function mirrored(value: Value, pairs: readonly (readonly number[])[], scope: Scope): Value {
  return pairs.reduce<Value>((made, [before = 0, after = 0], axis) => {
    if (before === 0 && after === 0) return made;
    const size = knownSize(made, axis, 'a mirrored margin', scope);
    if (before > size || after > size) throw scope.malformed(`margins of ${before} and ${after} elements mirror an axis of ${size}`);
    const turned = (start: number, end: number) => flip(slice(made, axis, start, end, scope), axis, end - start, scope);
    return concat(axis, [...(before ? [turned(0, before)] : []), made, ...(after ? [turned(size - after, size)] : [])], scope);
  }, value);
}
