/**
 * Losses, which a net that was exported for training ends in: as the steps of their definitions.
 *
 * @see https://onnx.ai/onnx/operators/onnx__NegativeLogLikelihoodLoss.html and https://onnx.ai/onnx/operators/onnx__SoftmaxCrossEntropyLoss.html
 */
import type { Value } from '../../model/builder.js';
import { NotUnderstood } from './by-table.js';
import { type Node, numberOf, type Rule, type Translator } from './translator.js';

const REDUCTIONS: Readonly<Record<string, string>> = { mean: 'ReduceMean', sum: 'ReduceSum', none: 'Identity' };

/** Less the log probability of each target's class, times its weight; 'mean' is over the weights, and what is to be ignored weighs nothing. */
function likelihood(node: Node, t: Translator, logs: Value): Value | NotUnderstood {
  const [, target, weight = null] = node.inputs as [Value, Value, Value | null];
  const reduction = REDUCTIONS[String(node.attributes.get('reduction') ?? 'mean')];
  const dtype = logs.dtype;
  if (!reduction) return new NotUnderstood(`its reduction is ${node.attributes.get('reduction')}`);
  if (!dtype || !target.dtype) return new NotUnderstood('what flows in is not known');
  const ignored = node.attributes.has('ignore_index') ? t.build.numbers(target.dtype, numberOf(node, 'ignore_index', 0)) : null;
  const isIgnored = ignored && t.add(node, 'Equal', [target, ignored], {}, 'ignored');
  // A target that is ignored may be no class at all: it stands for the first one meanwhile.
  const classes = isIgnored ? t.add(node, 'Where', [isIgnored, t.build.numbers(target.dtype, 0), target], {}, 'classes') : target;
  const places = t.add(node, 'Unsqueeze', [classes], { axes: [1] }, 'places');
  const chosen = t.add(node, 'Squeeze', [t.add(node, 'GatherElements', [logs, places], { axis: 1 }, 'chosen')], { axes: [1] }, 'logs');
  const losses = t.add(node, 'Neg', [chosen], {}, 'losses');
  const [zero, one] = [t.build.numbers(dtype, 0), t.build.numbers(dtype, 1)];
  const given = weight && t.add(node, 'Gather', [weight, classes], { axis: 0 }, 'weights');
  const weights = isIgnored ? t.add(node, 'Where', [isIgnored, zero, given ?? one], {}, 'counted') : given;
  if (!weights) return reduction === 'Identity' ? losses : t.add(node, reduction, [losses], { keepdims: 0 }, 'loss');
  const weighted = t.add(node, 'Mul', [losses, weights], {}, 'weighted');
  if (reduction === 'Identity') return weighted;
  const total = t.add(node, 'ReduceSum', [weighted], { keepdims: 0 }, 'sum');
  if (reduction === 'ReduceSum') return total;
  return t.add(node, 'Div', [total, t.add(node, 'ReduceSum', [weights], { keepdims: 0 }, 'total')], {}, 'loss');
}

const loss =
  (logsOf: (node: Node, t: Translator) => Value): Rule =>
  (node, t) => {
    const logs = logsOf(node, t);
    const made = likelihood(node, t, logs);
    if (made instanceof NotUnderstood) return made;
    const [named, second] = node.outputs;
    const first = named ? t.add(node, 'Identity', [made]) : null;
    return second
      ? [first, t.build.node('Identity', [logs], {}, { name: `${t.scope.prefix}${node.title}/log-probability`, outputs: [t.outputName(second)] })[0]!]
      : [first];
  };

export const LOSSES: Readonly<Record<string, Rule>> = {
  NegativeLogLikelihoodLoss: loss(({ inputs }) => inputs[0]!),
  SoftmaxCrossEntropyLoss: loss((node, t) => t.add(node, 'LogSoftmax', [node.inputs[0]!], { axis: 1 }, 'logs')),
};
