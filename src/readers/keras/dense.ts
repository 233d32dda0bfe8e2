/** Layers whose weights meet every value: dense, embedding, normalisation, rescaling. */
import { float32Tensor, permute, reshape, type Tensor } from '../../model/tensor.js';
import { activation } from './activations.js';
import type { Rule } from './rule.js';
import type { Scope } from './scope.js';
import type { Value } from './value.js';

/** Works on the last axis of whatever flows in; on [N, features] that is a Gemm. */
export const dense: Rule = (config) => {
  const units = config.integer(['units', 'output_dim']);
  const bias = config.boolean(['use_bias', 'bias'], true);
  const then = activation(config);
  return ([input], scope) => {
    const matrix = input!.shape.length === 2;
    const value = matrix ? input! : scope.builder.toKeras(input!);
    const features = value.shape.at(-1)!;
    if (typeof features !== 'number') throw scope.unsupported('a Dense layer over an axis whose size is not given');
    const stored = scope.weight('kernel', [features, units]);
    const weights: Readonly<Record<string, Tensor>> = bias ? { bias: scope.weight('bias', [units]) } : {};
    if (matrix) {
      const kernel = value.unflattened ? reorderedRows(stored, value.unflattened) : permute(stored, [1, 0]);
      return then(scope.add('Gemm', [value], { weights: { kernel, ...weights }, order: 'keras' }), scope);
    }
    const product = scope.add('MatMul', [value], { weights: { kernel: stored } });
    return then(weights.bias ? scope.add('Add', [product], { weights: { operand: weights.bias } }) : product, scope);
  };
};

/**
 * The kernel of a dense layer after a Flatten, for features counted channels-first.
 *
 * @param kernel [...spatial · C, out], as Keras stores it
 * @param sizes [C, ...spatial]
 * @returns [out, C · ...spatial]
 */
function reorderedRows(kernel: Tensor, sizes: readonly number[]): Tensor {
  const [channels, ...spatial] = sizes as [number, ...number[]];
  const [features, units] = kernel.shape as [number, number];
  const rank = spatial.length;
  const unfolded = reshape(kernel, [...spatial, channels, units]);
  return reshape(permute(unfolded, [rank + 1, rank, ...spatial.map((_, axis) => axis)]), [units, features]);
}

/** Rows of a table, picked by number. */
export const embedding: Rule = (config) => {
  const count = config.integer(['input_dim']);
  const width = config.integer(['output_dim']);
  config.expect(['mask_zero'], [false, null], 'masks are not followed through the network');
  return ([input], scope) => {
    const ids = scope.builder.toKeras(input!);
    return scope.add('Gather', [ids], { weights: { table: scope.weight('embeddings', [count, width]) } });
  };
};

export const batchNormalization: Rule = (config) => {
  const epsilon = config.number(['epsilon'], 1e-3);
  const given = config.value(['axis']) ?? -1;
  const axis = Array.isArray(given) && given.length === 1 ? given[0] : given;
  if (!Number.isSafeInteger(axis)) config.decline(`"axis" is ${JSON.stringify(given)}: normalisation over one axis is translated`);
  const scaled = config.boolean(['scale'], true);
  const centred = config.boolean(['center'], true);
  // Batch renormalisation counts two statistics more, which only training reads.
  const renorm = config.boolean(['renorm'], false);
  config.expect(['mode'], [0], 'only mode 0 normalises by stored statistics, axis by axis');
  return ([input], scope) => {
    const value = channelsAtOne(input!, axis as number, scope);
    const channels = value.shape[1]!;
    if (typeof channels !== 'number') throw scope.unsupported('normalisation over an axis whose size is not given');
    const constant = (role: string, filling: number) =>
      float32Tensor(`${scope.name}/${role}`, [channels], new Float32Array(channels).fill(filling), { file: scope.builder.file });
    const scale = scaled ? scope.weight('gamma', [channels]) : constant('gamma', 1);
    const bias = centred ? scope.weight('beta', [channels]) : constant('beta', 0);
    // Keras 1 calls the second statistic "running_std", but it is a variance there, too.
    const weights = { scale, bias, mean: scope.weight('moving mean', [channels]), variance: scope.weight('moving variance', [channels]) };
    if (renorm) for (const role of ['renormalised mean', 'renormalised deviation']) scope.weight(role, [channels]);
    return scope.add('BatchNormalization', [value], { attributes: { epsilon }, weights });
  };
};

/** The value with the normalised axis second. */
function channelsAtOne(input: Value, axis: number, scope: Scope): Value {
  const rank = input.shape.length;
  const positive = axis < 0 ? axis + rank : axis;
  if (positive === rank - 1 && rank > 2) return scope.builder.toMoved(input);
  if (positive === 1) return scope.builder.toKeras(input);
  throw scope.unsupported(`normalisation over axis ${axis} of ${rank}`);
}

/** x · scale + offset */
export const rescaling: Rule = (config) => {
  const scale = config.number(['scale']);
  const offset = config.number(['offset'], 0);
  return ([input], scope) => {
    const scaled = scope.withScalar('Mul', input!, scale);
    return offset === 0 ? scaled : scope.withScalar('Add', scaled, offset);
  };
};
