/**
 * Operators that ONNX had on trial in its first years, which files of that time hold and ONNX Runtime still runs: as what they compute.
 *
 * @see https://github.com/microsoft/onnxruntime/blob/main/onnxruntime/core/graph/contrib_ops/contrib_defs.cc, where they are defined since
 */
import type { Value } from '../../model/builder.js';
import { NotUnderstood } from './by-table.js';
import { type Node, numberOf, type Rule, type Translator } from './translator.js';

const numbers = ({ attributes }: Node, name: string): readonly number[] => {
  const value = attributes.get(name);
  return Array.isArray(value) ? (value as readonly number[]) : [];
};

/** The rule, for nodes that have no attributes but these. */
const withAttributes =
  (known: readonly string[], rule: Rule): Rule =>
  (node, t) => {
    const unknown = [...node.attributes.keys()].find((name) => !known.includes(name) && name !== 'consumed_inputs');
    return unknown === undefined ? rule(node, t) : new NotUnderstood(`its ${unknown} is not known`);
  };

/** x times a factor; `last` where that is all of the node. */
const scaled = (node: Node, t: Translator, x: Value, factor: number, last = false): Value =>
  t.add(node, 'Mul', [x, t.build.numbers(x.dtype ?? 'float32', factor)], {}, last ? undefined : 'scaled');
const plus = (node: Node, t: Translator, x: Value, values: number | readonly number[], shape?: readonly number[]): Value =>
  t.add(node, 'Add', [x, t.build.numbers(x.dtype ?? 'float32', values, shape)]);

/** scale x + bias, with a bias for each channel. */
const imageScaler: Rule = (node, t) => {
  const [x] = node.inputs as [Value];
  const bias = numbers(node, 'bias');
  const channels = x.shape?.[1];
  if (typeof channels === 'number' && bias.length !== channels) return new NotUnderstood(`it has ${bias.length} biases for ${channels} channels`);
  return [plus(node, t, scaled(node, t, x, numberOf(node, 'scale', 1)), bias, [bias.length, 1, 1])];
};

/** border: what is left out on the left, at the top, on the right, at the bottom; or from the first two on a height and a width. */
const crop: Rule = (node, t) => {
  const [left, top, right, bottom] = numbers(node, 'border');
  const [height, width] = numbers(node, 'scale');
  if (left === undefined || top === undefined || right === undefined || bottom === undefined) return new NotUnderstood('its border has not four sides');
  const all = 2 ** 31 - 1;
  const ends = height !== undefined && width !== undefined ? [top + height, left + width] : [bottom > 0 ? -bottom : all, right > 0 ? -right : all];
  return [t.add(node, 'Slice', node.inputs, { starts: [top, left], ends, axes: [2, 3], steps: [1, 1] })];
};

/** Over each channel of all pictures together, as opset 9 has it, or over everything: so ONNX Runtime (1.30) runs it in files of opset 1. */
const meanVariance: Rule = (node, t) => {
  if (node.opset >= 9) return t.byTable(node);
  if (numberOf(node, 'normalize_variance', 1) === 0) return new NotUnderstood('it leaves the variance as it is');
  const axes = numberOf(node, 'across_channels', 0) === 0 ? [0, 2, 3] : [0, 1, 2, 3];
  return [t.add(node, 'MeanVarianceNormalization', node.inputs, { axes })];
};

export const EARLY: Readonly<Record<string, Rule>> = {
  ImageScaler: withAttributes(['scale', 'bias'], imageScaler),
  Crop: withAttributes(['border', 'scale'], crop),
  MeanVarianceNormalization: meanVariance,
  // alpha x + beta
  Affine: withAttributes(['alpha', 'beta'], (node, t) => [
    plus(node, t, scaled(node, t, node.inputs[0]!, numberOf(node, 'alpha', 1)), numberOf(node, 'beta', 0)),
  ]),
  Scale: withAttributes(['scale'], (node, t) => [scaled(node, t, node.inputs[0]!, numberOf(node, 'scale', 1), true)]),
  // alpha f(beta x)
  ...Object.fromEntries(
    [
      ['ScaledTanh', 'Tanh'],
      ['ParametricSoftplus', 'Softplus'],
    ].map(([op, made]): [string, Rule] => [
      op!,
      withAttributes(['alpha', 'beta'], (node, t) => {
        const [alpha, beta] = [node.attributes.get('alpha'), node.attributes.get('beta')];
        if (typeof alpha !== 'number' || typeof beta !== 'number') return new NotUnderstood('its alpha and beta are not said');
        return [scaled(node, t, t.add(node, made!, [scaled(node, t, node.inputs[0]!, beta)], {}, made!.toLowerCase()), alpha, true)];
      }),
    ]),
  ),
};
