/** Layers that only rearrange: Flatten, Reshape, Permute. */
import type { Dim } from '../../model/layer-map.js';
import { reshapeTo } from './axes.js';
import { brief } from './config-view.js';
import type { Rule } from './rule.js';
import type { Scope } from './scope.js';

/**
 * Counts elements channels-last, also where the data format says that channels are first. The map keeps its channels first
 * and remembers the difference, which a following Dense layer takes into its kernel at no cost.
 */
export const flatten: Rule = (config) => {
  const format = config.has('data_format') ? config.dataFormat() : 'channels_last';
  return ([input], scope) => {
    const value = format === 'channels_first' ? scope.builder.toKeras(input!) : input!;
    const channelsFirst = value.order === 'moved' || (format === 'channels_first' && value.shape.length > 2);
    const sizes = value.shape.slice(1);
    if (!channelsFirst) return scope.add('Flatten', [value]);
    if (sizes.every((size) => typeof size === 'number')) {
      const [channels, ...spatial] = sizes as [number, ...number[]];
      const same = channels === 1 || spatial.every((size) => size === 1);
      return scope.add('Flatten', [value], same ? { order: 'keras' } : { order: 'flattened', unflattened: sizes as number[] });
    }
    const plain = value.order === 'moved' ? value : { ...value, order: 'moved' as const };
    return scope.add('Flatten', [scope.builder.toKeras(plain)]);
  };
};

export const reshapeLayer: Rule = (config) => {
  const given = config.value(['target_shape', 'dims']);
  const target = isShape(given) ? given : [];
  if (target !== given) config.decline(`"target_shape" is ${brief(given)}, expected sizes, at most one of them -1`);
  return ([input], scope) => {
    const value = scope.builder.toKeras(input!);
    return scope.add('Reshape', [value], { attributes: { shape: [0, ...resolveHole(target, value.shape.slice(1), scope)] } });
  };
};

function isShape(value: unknown): value is readonly number[] {
  const sizes = Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && (size > 0 || size === -1));
  return sizes && value.filter((size) => size === -1).length <= 1;
}

/** The target with its -1 worked out where all sizes are known, and checked. */
function resolveHole(target: readonly number[], given: readonly Dim[], scope: Scope): readonly number[] {
  if (!given.every((size) => typeof size === 'number')) return target;
  const count = (given as readonly number[]).reduce((a, b) => a * b, 1);
  const known = target.filter((size) => size !== -1).reduce((a, b) => a * b, 1);
  const resolved = target.map((size) => (size === -1 ? count / known : size));
  if (resolved.reduce((a, b) => a * b, 1) !== count || !resolved.every(Number.isInteger)) {
    throw scope.malformed(`values of shape [${given}] cannot be reshaped to [${target}]`);
  }
  return resolved;
}

/** `dims` counts from 1, without the batch. */
export const permuteLayer: Rule = (config) => {
  const given = config.value(['dims']);
  const dims = Array.isArray(given) ? (given as number[]) : [];
  if (dims.length === 0 || dims.some((_, i) => !dims.includes(i + 1))) config.decline(`"dims" is ${brief(given)}, expected an order of the axes from 1`);
  return ([input], scope) => {
    const value = scope.builder.toKeras(input!);
    if (value.shape.length !== dims.length + 1) throw scope.malformed(`${dims.length} axes are permuted, but ${value.shape.length - 1} flow in`);
    return scope.add('Transpose', [value], { attributes: { perm: [0, ...dims] } });
  };
};

/** [N, features] to [N, n, features], each row the same: a picture of one place, enlarged. */
export const repeatVector: Rule = (config) => {
  const count = config.integer(['n']);
  return ([input], scope) => {
    const value = scope.builder.unflattened(input!);
    if (value.shape.length !== 2) throw scope.malformed(`a value of ${value.shape.length} axes flows in, expected [batch, features]`);
    const place = reshapeTo(value, [...value.shape, 1], 'moved', scope);
    return count === 1 ? place : scope.add('Resize', [place], { attributes: { scales: [1, 1, count] } });
  };
};
