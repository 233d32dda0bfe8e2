/** Quantised operators of graph models, in float32, which holds their codes and the sums of their products up to 2^24. */

import { type DType, NARROW_RANGES } from '../../model/dtype.js';
import type { Layer } from '../../model/layer-map.js';
import { Formula, type GraphRule, slotValue } from './formula.js';
import { flowingInto } from './graph-flowing.js';
import type { GraphTarget } from './graph-target.js';
import { convolved } from './graph-windows.js';
import type { Lowering } from './lowering.js';
import { axesPlace, front } from './rules.js';
import { type FileValue, knownSize } from './target.js';
import { placedLast } from './windows.js';

/** A scale or zero point as it broadcasts to a value in plain order: one for all, one for each along an axis, or one for each block of it. */
function parameter(value: FileValue, x: FileValue, axis: number, block: number, lowering: Lowering, graph: GraphTarget): FileValue {
  const count = value.shape.every((size) => typeof size === 'number') ? (value.shape as number[]).reduce((a, b) => a * b, 1) : null;
  if (count === null) return lowering.decline('scales of which there is a free number');
  if (count === 1) return graph.reshape(value, []);
  const at = front(axis, x.shape.length);
  if (value.shape.length === 1) return graph.reshape(value, [count, ...new Array<number>(x.shape.length - at - 1).fill(1)]);
  const [size, blocks] = [knownSize(x.shape[at]), value.shape[at] as number];
  if (!block || size === null) return lowering.decline('scales for each element');
  const wide = graph.reshape(value, value.shape.toSpliced(at + 1, 0, 1));
  const repeats = wide.shape.map((_, i) => (i === at + 1 ? block : 1));
  const tiled = graph.node(
    'Tile',
    [wide, graph.ints('repeats', repeats)],
    { T: { type: 'DT_FLOAT' }, Tmultiples: { type: 'DT_INT32' } },
    wide.shape.with(at + 1, block),
  );
  const all = graph.reshape(tiled, value.shape.with(at, blocks * block));
  return blocks * block === size ? all : graph.slice(all, at, 0, size);
}

function rounded(x: FileValue, scale: FileValue, zero: FileValue | null, dtype: DType | null, lowering: Lowering, f: Formula): FileValue {
  const range = dtype && NARROW_RANGES[dtype];
  if (!range) return lowering.decline(`codes of ${dtype ?? 'a dtype that is not known'}`);
  const codes = f.one('Round', f.div(x, scale));
  return f.two('Minimum', f.two('Maximum', zero ? f.add(codes, zero) : codes, range[0]), range[1]);
}

const dtypeOf = (layer: Layer, slot: string, lowering: Lowering): DType | null => {
  const name = flowingInto(layer, slot);
  return (name === undefined ? null : lowering.types.get(name)?.dtype) ?? null;
};

/** A quantised slot less its zero point, for each of its `axis` where there is one for each. */
function centred(layer: Layer, slot: string, axis: number, lowering: Lowering, graph: GraphTarget): FileValue {
  const x = slotValue(layer, slot, lowering, graph)!;
  const zero = slotValue(layer, `${slot}_zero`, lowering, graph);
  return zero ? new Formula(graph).sub(x, parameter(zero, x, axis, 0, lowering, graph)) : x;
}

const quantizeLinear: GraphRule = (layer, lowering, graph) => {
  const x = lowering.plain(layer.inputs[0]!);
  const { axis, block_size: block, output_dtype: named } = layer.attributes as { axis: number; block_size: number; output_dtype?: DType };
  const own = (slot: string) => {
    const value = slotValue(layer, slot, lowering, graph);
    return value && parameter(value, x, axis, block, lowering, graph);
  };
  const dtype = dtypeOf(layer, 'zero', lowering) ?? named ?? 'uint8';
  return axesPlace(rounded(x, own('scale')!, own('zero'), dtype, lowering, new Formula(graph)));
};

const dequantizeLinear: GraphRule = (layer, lowering, graph) => {
  const f = new Formula(graph);
  const x = lowering.plain(layer.inputs[0]!);
  const { axis, block_size: block } = layer.attributes as { axis: number; block_size: number };
  const own = (slot: string) => {
    const value = slotValue(layer, slot, lowering, graph);
    return value && parameter(value, x, axis, block, lowering, graph);
  };
  const zero = own('zero');
  return axesPlace(f.mul(zero ? f.sub(x, zero) : x, own('scale')!));
};

const dynamicQuantizeLinear: GraphRule = (layer, lowering, graph) => {
  const f = new Formula(graph);
  const x = lowering.plain(layer.inputs[0]!);
  const all = x.shape.map((_, axis) => axis);
  const [low, high] = [f.two('Minimum', f.reduce('Min', x, all, false), 0), f.two('Maximum', f.reduce('Max', x, all, false), 0)];
  const scale = f.div(f.sub(high, low), 255);
  // A picture of zeros has a scale of zero, by which nothing is divided.
  const step = f.choose(f.compare('Equal', scale, 0), 1, scale);
  const zero = f.two('Minimum', f.two('Maximum', f.one('Round', f.div(f.one('Neg', low), step)), 0), 255);
  const codes = rounded(x, step, zero, 'uint8', lowering, f);
  return [axesPlace(codes), axesPlace(scale), axesPlace(zero)].slice(0, layer.outputs.length);
};

const matMulInteger: GraphRule = (layer, lowering, graph) => {
  const [x, kernel] = [centred(layer, 'x', -2, lowering, graph), centred(layer, 'kernel', -1, lowering, graph)];
  return axesPlace(graph.matMul(x, kernel));
};

const qLinearMatMul: GraphRule = (layer, lowering, graph) => {
  const f = new Formula(graph);
  const made = graph.matMul(centred(layer, 'x', -2, lowering, graph), centred(layer, 'kernel', -1, lowering, graph));
  const scale = (slot: string, axis: number) => parameter(slotValue(layer, slot, lowering, graph)!, made, axis, 0, lowering, graph);
  const real = f.mul(made, f.mul(scale('kernel_scale', -1), scale('x_scale', -2)));
  const dtype = dtypeOf(layer, 'y_zero', lowering);
  return axesPlace(rounded(real, scale('y_scale', -1), scale('y_zero', -1), dtype, lowering, f));
};

function integerConvolution(layer: Layer, lowering: Lowering, graph: GraphTarget): FileValue {
  const zero = slotValue(layer, 'x_zero', lowering, graph);
  const x = lowering.last(layer.inputs[0]!);
  const own = zero ? new Formula(graph).sub(x, graph.reshape(zero, [])) : x;
  return convolved(own, centred(layer, 'kernel', 0, lowering, graph), layer, lowering, graph);
}

const convInteger: GraphRule = (layer, lowering, graph) => placedLast(integerConvolution(layer, lowering, graph));

const qLinearConv: GraphRule = (layer, lowering, graph) => {
  const f = new Formula(graph);
  const made = integerConvolution(layer, lowering, graph);
  const bias = slotValue(layer, 'bias', lowering, graph);
  const scale = (slot: string) => parameter(slotValue(layer, slot, lowering, graph)!, made, -1, 0, lowering, graph);
  const real = f.mul(bias ? f.add(made, bias) : made, f.mul(scale('kernel_scale'), scale('x_scale')));
  return placedLast(rounded(real, scale('y_scale'), scale('y_zero'), dtypeOf(layer, 'y_zero', lowering), lowering, f));
};

export const QUANTISED_RULES: Readonly<Record<string, GraphRule>> = {
  QuantizeLinear: quantizeLinear,
  DequantizeLinear: dequantizeLinear,
  DynamicQuantizeLinear: dynamicQuantizeLinear,
  MatMulInteger: matMulInteger,
  QLinearMatMul: qLinearMatMul,
  ConvInteger: convInteger,
  QLinearConv: qLinearConv,
};
