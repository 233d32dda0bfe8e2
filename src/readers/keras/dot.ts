/** Products of two values, sample by sample. */
import type { Dim } from '../../model/layer-map.js';
import { combineValues } from './arithmetic.js';
import { kerasAxes, knownSize, reduce, reshapeTo, unsqueeze } from './axes.js';
import { brief, isKeras3 } from './config-view.js';
import { lastTwoSwapped, unit } from './operations/arrangement.js';
import type { Rule } from './rule.js';
import type { Scope } from './scope.js';
import type { Value } from './value.js';

/** Sums over one axis of each; with `normalize` the values are brought to length one along it first. */
export const dot: Rule = (config) => {
  const given = config.value(['axes']);
  const axes = typeof given === 'number' ? [given, given] : given;
  const isPair = Array.isArray(axes) && axes.length === 2 && axes.every(Number.isSafeInteger);
  if (!isPair) config.decline(`"axes" is ${brief(given)}, expected an axis, or one for each value`);
  const normalize = config.boolean(['normalize'], false);
  // The square of a length is kept from zero.
  // Earlier versions multiplied values of more axes otherwise.
  const isGeneral = isKeras3(config.dialect) || (config.dialect.version?.[1] ?? 0) >= 4;
  const least = isKeras3(config.dialect) ? 1e-24 : 1e-12;
  return (inputs, scope) => {
    if (!isGeneral && inputs.some(({ shape }) => shape.length > 3))
      throw scope.unsupported('a product of values of more than three axes, of a Keras before 2.4,');
    return productOver(inputs, axes as readonly number[], normalize ? least : null, scope);
  };
};

/** Sums over one axis of each. @param least what the square of a length is kept from being below; null where lengths stay */
export function productOver(inputs: readonly Value[], axes: readonly number[], least: number | null, scope: Scope): Value {
  const values = inputs.map((input, i) => {
    const value = scope.builder.toKeras(input);
    if (value.shape.length < 2) throw scope.unsupported('a product of values that are a batch of numbers');
    const [axis] = kerasAxes(value, [axes[i]!], scope) as [number];
    if (axis === 0) throw scope.unsupported('a product over the batch');
    return { value: least === null ? value : unit(value, [axis], least, scope), axis };
  });
  const [a, b] = values as [(typeof values)[0], (typeof values)[0]];
  if (a.value.shape.length === 2 && b.value.shape.length === 2) return reduce('ReduceSum', combineValues('Mul', a.value, b.value, scope), [1], true, scope);
  const [left, right] = [summedLast(a, scope), summedLast(b, scope)];
  const made = scope.add('MatMul', [left.matrix, lastTwoSwapped(right.matrix, scope)]);
  const shape: readonly Dim[] = [a.value.shape[0]!, ...left.rest, ...right.rest];
  return `${made.shape}` === `${shape}` ? made : reshapeTo(made, shape, 'keras', scope);
}

/** [N, rows, summed] of a value, and the sizes that the rows count. */
function summedLast({ value, axis }: { readonly value: Value; readonly axis: number }, scope: Scope): { matrix: Value; rest: readonly Dim[] } {
  const rank = value.shape.length;
  const rest = value.shape.filter((_, at) => at !== 0 && at !== axis);
  if (rank === 2) return { matrix: unsqueeze(value, 1, scope), rest };
  const perm = [...value.shape.map((_, at) => at).filter((at) => at !== axis), axis];
  const turned = axis === rank - 1 ? value : scope.add('Transpose', [value], { attributes: { perm } });
  if (rank === 3) return { matrix: turned, rest };
  const rows = rest.map((_, i) => knownSize(turned, i + 1, 'a Dot layer', scope)).reduce((x, y) => x * y, 1);
  return { matrix: reshapeTo(turned, [value.shape[0]!, rows, value.shape[axis]!], 'keras', scope), rest };
}
