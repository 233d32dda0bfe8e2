/**
 * What ONNX Runtime's optimiser takes together and a file holds that it saved: as what was there before.
 *
 * @see https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
 */
import type { Attributes, Value } from '../../model/builder.js';
import { OPS } from '../../model/ops/index.js';
import { NotUnderstood, tableAttributes } from './by-table.js';
import { channelsLast } from './channels-last.js';
import { type Node, numberOf, type Rule, type Translator } from './translator.js';

const unknown = ({ attributes }: Node, known: readonly string[]): NotUnderstood | null => {
  const name = [...attributes.keys()].find((one) => !known.includes(one));
  return name === undefined ? null : new NotUnderstood(`its ${name} is not known`);
};

/** Which settings an activation has, in the order of `activation_params`. */
const ACTIVATIONS: Readonly<Record<string, readonly string[]>> = {
  Relu: [],
  Tanh: [],
  Sigmoid: [],
  LeakyRelu: ['alpha'],
  HardSigmoid: ['alpha', 'beta'],
  Clip: ['min', 'max'],
};

/** The activation as the last layer of a node; null where it has none. */
function activationOf({ attributes }: Node, setting: (name: string, i: number) => unknown): { op: string; own: Attributes } | NotUnderstood | null {
  const op = attributes.get('activation') ?? '';
  if (op === '') return null;
  if (typeof op !== 'string' || !Object.hasOwn(ACTIVATIONS, op)) return new NotUnderstood(`its activation is ${JSON.stringify(op)}`);
  const own = ACTIVATIONS[op]!.map((name, i) => [name, setting(name, i)] as const);
  if (own.some(([, value]) => value !== undefined && typeof value !== 'number')) return new NotUnderstood(`the settings of its ${op} are no numbers`);
  return { op, own: Object.fromEntries(own.filter(([, value]) => value !== undefined)) as Attributes };
}

/** A convolution, to which a value may be added, and an activation. */
const conv: Rule = async (node, t) => {
  const params = node.attributes.get('activation_params');
  const activation = activationOf(node, (_, i) => (Array.isArray(params) ? params[i] : undefined));
  if (activation instanceof NotUnderstood) return activation;
  const given = new Map([...node.attributes].filter(([name]) => !name.startsWith('activation')));
  const attributes = await tableAttributes(OPS.Conv!, given, 11);
  if (attributes instanceof NotUnderstood) return attributes;
  const [x, kernel, bias = null, other = null] = node.inputs;
  const inputs = [x!, kernel!, bias];
  if (!other && !activation) return [t.add(node, 'Conv', inputs, attributes)];
  const made = t.add(node, 'Conv', inputs, attributes, 'conv');
  if (!other) return [t.add(node, activation!.op, [made], activation!.own)];
  if (!activation) return [t.add(node, 'Add', [made, other])];
  return [t.add(node, activation.op, [t.add(node, 'Add', [made, other], {}, 'sum')], activation.own)];
};

const gemm: Rule = async (node, t) => {
  const wrong = unknown(node, ['alpha', 'beta', 'transA', 'transB', 'activation', 'activation_alpha', 'activation_beta', 'activation_gamma']);
  if (wrong) return wrong;
  const activation = activationOf(node, (name) => node.attributes.get(`activation_${name}`));
  if (activation instanceof NotUnderstood) return activation;
  if (!activation) return t.rules.Gemm!(node, t);
  const title = `${node.title}/gemm`;
  const made = await t.rules.Gemm!({ ...node, title, outputs: [t.build.freeValue(title)] }, t);
  return made instanceof NotUnderstood ? made : [t.add(node, activation.op, [made[0]!], activation.own)];
};

/** alpha A B, with the last two axes of each exchanged or not. Of batches the first axis is put before the last one, ahead of that. */
const matMul: Rule = (node, t) => {
  const wrong = unknown(node, ['alpha', 'transA', 'transB', 'transBatchA', 'transBatchB']);
  if (wrong) return wrong;
  const [a, b] = node.inputs as [Value, Value];
  const turned = (value: Value, name: string): Value | null => {
    const [isTurned, isOfBatches] = [numberOf(node, `trans${name}`, 0) !== 0, numberOf(node, `transBatch${name}`, 0) !== 0];
    if (!isTurned && !isOfBatches) return value;
    const rank = value.shape?.length;
    if (rank === undefined) return null;
    if (rank < 2) return value;
    const axes = Array.from({ length: rank }, (_, i) => i);
    const rows = isOfBatches ? [...axes.slice(1, -1), 0, rank - 1] : axes;
    const perm = isTurned ? [...rows.slice(0, -2), rows.at(-1)!, rows.at(-2)!] : rows;
    return t.add(node, 'Transpose', [value], { perm }, name.toLowerCase());
  };
  const [left, right] = [turned(a, 'A'), turned(b, 'B')];
  if (!left || !right) return new NotUnderstood('how many axes flow in is not known');
  const alpha = numberOf(node, 'alpha', 1);
  if (alpha === 1) return [t.add(node, 'MatMul', [left, right])];
  return [t.add(node, 'Mul', [t.add(node, 'MatMul', [left, right], {}, 'product'), t.build.numbers(a.dtype ?? 'float32', alpha)])];
};

/** A sum of two values, and a bias, that is normalised and may be given out too. Its means and deviations are of training alone. */
const skipNormalization =
  (op: 'LayerNormalization' | 'RMSNormalization'): Rule =>
  (node, t) => {
    const wrong = unknown(node, ['epsilon']);
    if (wrong) return wrong;
    const hasBeta = op === 'LayerNormalization';
    const [x, skip, gamma, ...rest] = node.inputs;
    const [beta, bias] = hasBeta ? rest : [null, ...rest];
    if (!hasBeta && x?.dtype === 'float16') return new NotUnderstood('it computes in float32 what is float16');
    if (node.outputs[1] || node.outputs[2]) return new NotUnderstood('it gives out its means');
    const sum = named(node, t, 'Add', [x!, skip!], 'sum', bias ? undefined : node.outputs[3]);
    const whole = bias ? named(node, t, 'Add', [sum, bias], 'biased', node.outputs[3]) : sum;
    // Its own default is another one than the standard's.
    const epsilon = numberOf(node, 'epsilon', 1e-12);
    if (!hasBeta) return [rootMeanSquare(node, t, whole, gamma!, [-1], epsilon), null, null, whole];
    return [t.add(node, op, [whole, gamma!, ...(beta ? [beta] : [])], { axis: -1, epsilon }), null, null, whole];
  };

function named(node: Node, t: Translator, op: string, inputs: readonly Value[], step: string, output: string | undefined): Value {
  if (!output) return t.add(node, op, inputs, {}, step);
  return t.build.node(op, inputs, {}, { name: `${t.scope.prefix}${node.title}/${step}`, outputs: [t.outputName(output)] })[0]!;
}

/** As its steps, which every opset has. */
function rootMeanSquare(node: Node, t: Translator, x: Value, scale: Value, axes: readonly number[], epsilon: number): Value {
  const mean = t.add(node, 'ReduceMean', [t.add(node, 'Mul', [x, x], {}, 'squares')], { axes, keepdims: 1 }, 'mean');
  const root = t.add(node, 'Sqrt', [t.add(node, 'Add', [mean, t.build.numbers(x.dtype ?? 'float32', epsilon)], {}, 'variance')], {}, 'root');
  return t.add(node, 'Mul', [t.add(node, 'Div', [x, root], {}, 'normal'), scale]);
}

/** What became RMSNormalization; it stands in ONNX's own domain. */
const simplified: Rule = (node, t) => {
  const wrong = unknown(node, ['axis', 'epsilon', 'stash_type']);
  if (wrong) return wrong;
  if (node.outputs.length > 1) return new NotUnderstood(`it has ${node.outputs.length} outputs`);
  const [x, scale] = node.inputs as [Value, Value];
  const [rank, given] = [x.shape?.length, numberOf(node, 'axis', -1)];
  if (rank === undefined) return new NotUnderstood('how many axes flow in is not known');
  if (x.dtype === 'float16') return new NotUnderstood('it computes in float32 what is float16');
  const axes = Array.from({ length: rank }, (_, axis) => axis).slice(given);
  return [rootMeanSquare(node, t, x, scale, axes, numberOf(node, 'epsilon', 1e-5))];
};

export const FUSED: Readonly<Record<string, Rule>> = {
  SimplifiedLayerNormalization: simplified,
  'com.microsoft::FusedConv': conv,
  'com.microsoft::FusedGemm': gemm,
  'com.microsoft::FusedMatMul': matMul,
  'com.microsoft::TransposeMatMul': matMul,
  'com.microsoft::NhwcFusedConv': channelsLast(conv, [0, 3]),
  'com.microsoft::SkipLayerNormalization': skipNormalization('LayerNormalization'),
  'com.microsoft::SkipSimplifiedLayerNormalization': skipNormalization('RMSNormalization'),
};
