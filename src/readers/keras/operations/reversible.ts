/** ReversibleEmbedding: rows of a table, or, in reverse, the products with all rows. */
import { permute } from '../../../model/tensor.js';
import { valueAt } from './arguments.js';
import type { Operation } from './operation.js';

/** @see https://github.com/keras-team/keras/blob/master/keras/src/layers/core/reversible_embedding.py */
export const reversibleEmbedding: Operation = (args) => {
  const [count, width] = [args.integer('input_dim', 1), args.integer('output_dim', 1)];
  const tied = args.boolean('tie_weights', true);
  const masked = args.boolean('mask_zero', false);
  const reverse = args.boolean('reverse', false);
  const cap = args.has('logit_soft_cap') ? args.number('logit_soft_cap', 0) : null;
  const dtype = args.json('reverse_dtype') ?? 'float32';
  if (typeof dtype !== 'string' || !/^b?float(16|32|64)$/.test(dtype)) args.decline(`its products are made in ${JSON.stringify(dtype)}`);
  const x = args.operand('inputs');
  return (inputs, scope) => {
    const table = scope.weight('embeddings', [count, width]);
    const kernel = tied ? permute(table, [1, 0]) : scope.weight('reverse embeddings', [width, count]);
    const value = scope.builder.toKeras(valueAt(x, inputs));
    if (!reverse) {
      const rows = scope.add('Gather', [value], { weights: { table } });
      return masked ? { ...rows, mask: scope.add('Clip', [value], { attributes: { min: 0, max: 1 } }) } : rows;
    }
    const logits = scope.add('MatMul', [value], { weights: { kernel } });
    return cap === null ? logits : scope.withScalar('Mul', scope.add('Tanh', [scope.withScalar('Mul', logits, 1 / cap)]), cap);
  };
};
