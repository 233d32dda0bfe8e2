/**
 * Operators of ONNX Runtime's own that its quantiser and its optimiser write: as what they compute.
 *
 * @see https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
 */
import type { Attributes, Value } from '../../model/builder.js';
import { operatorOf } from '../../model/ops/index.js';
import { NotUnderstood } from './by-table.js';
import { asItSays, channelsLast } from './channels-last.js';
import type { Node, Rule, Translator } from './translator.js';

type Inputs = readonly (Value | null | undefined)[];

const dequantised = (node: Node, t: Translator, [x, scale, zero]: Inputs, step: string, axis = 1): Value =>
  t.add(node, 'DequantizeLinear', [x!, scale!, ...(zero ? [zero] : [])], { axis }, step);

/** The last layer of a node. */
const quantised = (node: Node, t: Translator, made: Value, [scale, zero]: Inputs): readonly Value[] => [
  t.add(node, 'QuantizeLinear', [made, scale!, ...(zero ? [zero] : [])], { axis: 1 }),
];

/** The rule, for nodes that have no attributes but these, or at these values. */
const withAttributes =
  (known: Readonly<Record<string, readonly unknown[] | null>>, rule: Rule): Rule =>
  (node, t) => {
    for (const [name, value] of node.attributes) {
      const allowed = Object.hasOwn(known, name) ? known[name] : [];
      if (allowed && !allowed.includes(value)) return new NotUnderstood(`its ${name} is ${JSON.stringify(value)}`);
    }
    return rule(node, t);
  };

const number = (node: Node, name: string, usual: number): number => {
  const value = node.attributes.get(name);
  return typeof value === 'number' ? value : usual;
};

const binary = (op: string): Rule =>
  withAttributes({}, (node, t) => {
    const { inputs } = node;
    const made = t.add(node, op, [dequantised(node, t, inputs.slice(0, 3), 'a'), dequantised(node, t, inputs.slice(3, 6), 'b')], {}, op.toLowerCase());
    return quantised(node, t, made, inputs.slice(6));
  });

/** @param attributes those of the operator that is computed, from the node's */
const unary = (op: string, known: Readonly<Record<string, readonly unknown[] | null>>, attributes: (node: Node) => Attributes = () => ({})): Rule =>
  withAttributes(known, (node, t) => {
    const made = t.add(node, op, [dequantised(node, t, node.inputs.slice(0, 3), 'x')], attributes(node), op.toLowerCase());
    return quantised(node, t, made, node.inputs.slice(3));
  });

const concat: Rule = withAttributes({ axis: null }, (node, t) => {
  const [scale, zero, ...rest] = node.inputs;
  const parts = Array.from({ length: rest.length / 3 }, (_, i) => dequantised(node, t, rest.slice(3 * i, 3 * i + 3), `part${i}`));
  return quantised(node, t, t.add(node, 'Concat', parts, { axis: number(node, 'axis', 1) }, 'concat'), [scale, zero]);
});

const WINDOW = ['kernel_shape', 'strides', 'pads', 'auto_pad', 'ceil_mode', 'count_include_pad'] as const;
const windowOf = ({ attributes }: Node): Attributes =>
  Object.fromEntries(WINDOW.flatMap((name) => (attributes.has(name) ? [[name, attributes.get(name) as number]] : [])));
const PLAIN_WINDOW = Object.fromEntries(WINDOW.map((name) => [name, null]));

/** The bias is of the products' scale; without a scale of the result that is float. */
const gemm: Rule = withAttributes({ transA: [0], transB: null, alpha: null }, (node, t) => {
  const { inputs } = node;
  const [x, kernel] = [dequantised(node, t, inputs.slice(0, 3), 'a'), dequantised(node, t, inputs.slice(3, 6), 'b', number(node, 'transB', 0) ? 0 : 1)];
  const turned = number(node, 'transB', 0) ? t.add(node, 'Transpose', [kernel], { perm: [1, 0] }, 'kernel') : kernel;
  const alpha = t.build.numbers('float32', number(node, 'alpha', 1));
  const product = t.add(node, 'Mul', [t.add(node, 'MatMul', [x, turned], {}, 'product'), alpha], {}, 'alpha');
  const bias = inputs[6];
  const scale = () => t.add(node, 'Mul', [t.add(node, 'Mul', [inputs[1]!, inputs[4]!], {}, 'scales'), alpha], {}, 'scale');
  const isFloat = !inputs[7];
  const scaledBias = bias && t.add(node, 'Mul', [t.add(node, 'Cast', [bias], { to: 'float32' }, 'bias'), scale()], {}, 'scaled-bias');
  if (isFloat) return [scaledBias ? t.add(node, 'Add', [product, scaledBias]) : t.add(node, 'Identity', [product])];
  return quantised(node, t, scaledBias ? t.add(node, 'Add', [product, scaledBias], {}, 'sum') : product, inputs.slice(7));
});

/** What is in the standard too, in this opset; so are codes of 16 bits, which the quantiser writes in older files. */
const ofStandard =
  (op: string, opset: number): Rule =>
  (node, t) => {
    const own = { ...node, op, opset, read: { ...node.read, domain: '', op } };
    return t.rules[op]?.(own, t) ?? t.byTable(own, operatorOf(op));
  };

/** Floats in codes that are chosen when it runs, times a matrix of codes. */
const dynamicMatMul: Rule = withAttributes({}, (node, t) => {
  const [x, codes, scale, zero, bias] = node.inputs;
  const name = `${t.scope.prefix}${node.title}/codes`;
  const found = t.build.node('DynamicQuantizeLinear', [x!], {}, { name, outputs: ['x', 'scale', 'zero'].map((one) => t.build.freeValue(`${name}/${one}`)) });
  return productOf(node, t, found, [codes, scale, zero], bias);
});

const integerMatMul: Rule = withAttributes({}, (node, t) => {
  const [x, codes, scale, otherScale, zero, otherZero, bias] = node.inputs;
  return productOf(node, t, [x, scale, zero], [codes, otherScale, otherZero], bias);
});

/** A product of whole numbers first, as it was before it was taken together: runtimes compute that of what they stand for in other ways. */
function productOf(node: Node, t: Translator, [a, scale, zero]: Inputs, [b, otherScale, otherZero]: Inputs, bias: Value | null | undefined): readonly Value[] {
  const whole = t.add(node, 'MatMulInteger', [a!, b!, zero ?? null, otherZero ?? null], {}, 'integers');
  const factors = [t.add(node, 'Cast', [whole], { to: 'float32' }, 'floats'), t.add(node, 'Mul', [scale!, otherScale!], {}, 'scale')];
  return [bias ? t.add(node, 'Add', [t.add(node, 'Mul', factors, {}, 'product'), bias]) : t.add(node, 'Mul', factors)];
}

/** Before opset 13 the axis and all behind it were taken together. */
const softmax: Rule = withAttributes({ axis: null, opset: null }, async (node, t) => {
  const opset = number(node, 'opset', 13);
  const attributes = new Map([['axis', number(node, 'axis', opset < 13 ? 1 : -1)]]);
  const title = `${node.title}/softmax`;
  const inputs = [dequantised(node, t, node.inputs.slice(0, 3), 'x')];
  const made = await ofStandard('Softmax', opset)({ ...node, attributes, inputs, title, outputs: [t.build.freeValue(title)] }, t);
  return made instanceof NotUnderstood ? made : quantised(node, t, made[0]!, node.inputs.slice(3));
});

const where: Rule = withAttributes({}, (node, t) => {
  const [condition, ...rest] = node.inputs;
  const [x, y] = [dequantised(node, t, rest.slice(0, 3), 'x'), dequantised(node, t, rest.slice(3, 6), 'y')];
  return quantised(node, t, t.add(node, 'Where', [condition!, x, y], {}, 'where'), rest.slice(6));
});

const expandDims: Rule = withAttributes({}, async (node, t) => {
  const [x, given] = node.inputs as [Value, Value];
  const axes = await t.known(given);
  return axes ? [t.add(node, 'Unsqueeze', [x], { axes })] : new NotUnderstood('which axis it makes is known only when the model runs');
});

/** Between each row of the one and each of the other. */
const distances: Rule = withAttributes({ metric: ['euclidean', 'sqeuclidean'] }, (node, t) => {
  const [a, b] = node.inputs as [Value, Value];
  const apart = t.add(node, 'Sub', [t.add(node, 'Unsqueeze', [a], { axes: [1] }, 'rows'), b], {}, 'apart');
  const isSquared = (node.attributes.get('metric') ?? 'sqeuclidean') === 'sqeuclidean';
  const squared = (step?: string) => t.add(node, 'ReduceSumSquare', [apart], { axes: [2], keepdims: 0 }, step);
  return [isSquared ? squared() : t.add(node, 'Sqrt', [squared('squared')])];
});

const gelu = (approximate: 'none' | 'tanh'): Rule =>
  withAttributes({}, (node, t) => {
    const [x, bias] = node.inputs as [Value, Value | null | undefined];
    return [t.add(node, 'Gelu', [bias ? t.add(node, 'Add', [x, bias], {}, 'bias') : x], { approximate })];
  });

const quickGelu: Rule = withAttributes({ alpha: null }, (node, t) => {
  const [x] = node.inputs as [Value];
  const scaled = t.add(node, 'Mul', [x, t.build.numbers(x.dtype ?? 'float32', number(node, 'alpha', 1.702))], {}, 'scaled');
  return [t.add(node, 'Mul', [x, t.add(node, 'Sigmoid', [scaled], {}, 'sigmoid')])];
});

export const MICROSOFT: Readonly<Record<string, Rule>> = Object.fromEntries(
  Object.entries<Rule>({
    QLinearAdd: binary('Add'),
    QLinearMul: binary('Mul'),
    QLinearSigmoid: unary('Sigmoid', {}),
    QLinearLeakyRelu: unary('LeakyRelu', { alpha: null }, (node) => ({ alpha: number(node, 'alpha', 0.01) })),
    QLinearSoftmax: softmax,
    QLinearWhere: where,
    QLinearGlobalAveragePool: asItSays(unary('GlobalAveragePool', {})),
    QLinearAveragePool: asItSays(unary('AveragePool', PLAIN_WINDOW, windowOf)),
    QLinearConv: asItSays(ofStandard('QLinearConv', 10)),
    NhwcMaxPool: channelsLast(ofStandard('MaxPool', 12)),
    QLinearConcat: concat,
    QGemm: gemm,
    QuantizeLinear: withAttributes({ axis: null }, ofStandard('QuantizeLinear', 21)),
    DequantizeLinear: withAttributes({ axis: null }, ofStandard('DequantizeLinear', 21)),
    Pad: ofStandard('Pad', 13),
    Trilu: ofStandard('Trilu', 14),
    GridSample: ofStandard('GridSample', 16),
    GatherND: ofStandard('GatherND', 13),
    Range: ofStandard('Range', 11),
    ExpandDims: expandDims,
    CDist: distances,
    DynamicQuantizeMatMul: dynamicMatMul,
    MatMulIntegerToFloat: integerMatMul,
    Gelu: gelu('none'),
    FastGelu: gelu('tanh'),
    BiasGelu: gelu('none'),
    QuickGelu: quickGelu,
  }).map(([op, rule]) => [`com.microsoft::${op}`, rule]),
);
