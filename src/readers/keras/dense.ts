/** Layers whose weights meet every value: dense, embedding, rescaling. */
import { permute, reshape, type Tensor } from '../../model/tensor.js';
import { activation } from './activation-setting.js';
import { combineTensor, combineWith } from './arithmetic.js';
import { knownSize } from './axes.js';
import { quantisedProduct, quantisedRows } from './quantised.js';
import type { Rule } from './rule.js';

/** Works on the last axis of whatever flows in; on [N, features] that is a Gemm. */
export const dense: Rule = (config) => {
  const units = config.integer(['units', 'output_dim']);
  const bias = config.boolean(['use_bias', 'bias'], true);
  const then = activation(config);
  const how = config.quantised();
  if (how) return ([input], scope) => then(quantisedProduct(input!, knownSize(input!, -1, 'a Dense layer', scope), units, bias, how, scope), scope);
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
  const masked = config.boolean(['mask_zero'], false);
  const how = config.quantised();
  return ([input], scope) => {
    const ids = scope.builder.toKeras(input!);
    const rows = how
      ? quantisedRows(ids, count, width, how, scope)
      : scope.add('Gather', [ids], { weights: { table: scope.weight('embeddings', [count, width]) } });
    // Number 0 fills a sequence up; numbers are whole and not negative.
    return masked ? { ...rows, mask: scope.add('Clip', [ids], { attributes: { min: 0, max: 1 } }) } : rows;
  };
};

/** keras.applications' ConvNeXt: each channel times a weight. */
export const layerScale: Rule = (config) => {
  const size = config.integer(['projection_dim']);
  config.value(['init_values']);
  return ([input], scope) => combineTensor('Mul', input!, scope.weight('gamma', [size]), scope);
};

/** x · scale + offset, each a number or one for each channel. */
export const rescaling: Rule = (config) => {
  const scale = config.constant(['scale']);
  const offset = config.constant(['offset'], 0);
  return ([input], scope) => {
    const scaled = combineWith('Mul', { ...input!, integer: false }, scale, scope);
    return offset.values.every((value) => value === 0) ? scaled : combineWith('Add', scaled, offset, scope);
  };
};
