/** Nodes that are more than their operator's definition: old spellings, constants, branches, and operators that are several here. */
import { isGraph, isTensor } from '../../containers/onnx.js';
import { DATA_TYPE } from '../../containers/onnx-schema.js';
import { DTYPE_BY_CODE } from '../../containers/onnx-tensors.js';
import { dequantiseBlocks } from '../../model/block-codes.js';
import type { Attributes, Value } from '../../model/builder.js';
import { castTensor, toFloat32Array, toFloat64Array } from '../../model/cast.js';
import { type DType, isFloatDType } from '../../model/dtype.js';
import { spreadPads } from '../../model/ops/arrangement.js';
import { OPS } from '../../model/ops/index.js';
import { elementBits } from '../../model/packing.js';
import { fromPalette, narrowPlaces, widenPlaces } from '../../model/palette.js';
import { dequantiseChannels } from '../../model/quantise.js';
import { elementCount, reshape, type Tensor, tensorBytes } from '../../model/tensor.js';
import { attention, rotaryEmbedding } from './attention.js';
import { NotUnderstood, tableAttributes } from './by-table.js';
import { EARLY } from './early.js';
import { FEW_BITS } from './few-bits.js';
import { FOURIER } from './fourier.js';
import { FUSED } from './fused.js';
import { FUSED_ATTENTION } from './fused-attention.js';
import { LOOPS } from './loops.js';
import { LOSSES } from './losses.js';
import { MICROSOFT } from './microsoft.js';
import { recurrent } from './recurrent.js';
import { cumProd } from './running-product.js';
import { Scope } from './scope.js';
import { SEQUENCES } from './sequences.js';
import type { Node, Rule, Translator } from './translator.js';
import { WITH_STATE } from './with-state.js';

const number = (node: Node, name: string, usual: number): number => {
  const value = node.attributes.get(name);
  return typeof value === 'number' ? value : usual;
};
const numbers = (node: Node, name: string): readonly number[] | undefined => {
  const value = node.attributes.get(name);
  return Array.isArray(value) && value.every((item) => typeof item === 'number') ? value : undefined;
};

const constant: Rule = ({ attributes, outputs }, t) => {
  const { build } = t;
  const value = attributes.get('value');
  const name = outputs[0]!;
  if (isTensor(value)) return [build.constant(t.named(value, name), name)];
  for (const [attribute, dtype] of [
    ['value_float', 'float32'],
    ['value_floats', 'float32'],
    ['value_int', 'int64'],
    ['value_ints', 'int64'],
  ] as const) {
    const found = attributes.get(attribute);
    if (typeof found === 'number' || Array.isArray(found)) return [{ ...build.numbers(dtype, found as number), name }];
  }
  return new NotUnderstood('its value is text or sparse');
};

/** Passes on what comes in; nothing is left of the node. */
const passedOn: Rule = ({ inputs }) => [inputs[0]!];

const dropout: Rule = async (node, t) => {
  const { inputs, opset } = node;
  const flag = inputs[2] ?? null;
  const training = opset >= 12 ? (flag === null ? 0 : (await t.known(flag))?.[0]) : saysTraining(node) ? 1 : 0;
  if (training === undefined) return new NotUnderstood('whether it acts as in training is known only when the model runs');
  // What drops nothing acts as in inference, whatever its mode.
  const ratio = inputs[1] ? (await t.known(inputs[1]))?.[0] : opset < 12 ? number(node, 'ratio', 0.5) : 0.5;
  if (training !== 0 && ratio !== 0) t.training.push(`Dropout "${node.title}" (${opset >= 12 ? 'training_mode = 1' : 'is_test = 0'})`);
  return node.outputs.length > 1 ? [inputs[0]!, ...maskOf(node, t)] : [inputs[0]!];
};

/** Before opset 7 a node said whether it was tested. Not all did, of those that were. */
function saysTraining(node: Node): boolean {
  return node.opset < 7 && number(node, 'is_test', 1) === 0;
}

/** In inference nothing is dropped. Before opset 10 the mask was of the input's dtype. */
function maskOf(node: Node, t: Translator): readonly Value[] {
  const x = node.inputs[0]!;
  const dtype = node.opset < 10 ? (x.dtype ?? 'float32') : 'bool';
  const ones = t.build.add('ConstantOfShape', [t.add(node, 'Shape', [x], {}, 'shape')], { value: 1, dtype }, `${node.title}/mask`);
  return [ones];
}

const ifRule: Rule = async (node, t) => {
  const chosen = (await t.known(node.inputs[0]))?.[0];
  const branch = node.attributes.get(chosen ? 'then_branch' : 'else_branch');
  if (chosen === undefined || !isGraph(branch)) return new NotUnderstood('which branch it takes is known only when the model runs');
  const scope = new Scope(t.scope, t.scope.opsets, t.scope.attributes, `${t.scope.prefix}${node.title}/`);
  return t.inside(scope, async () => {
    await t.graph(branch);
    return branch.outputs.map(({ name }) => scope.find(name) ?? null);
  });
};

/** alpha A B + beta C, with each of A and B transposed or not. */
const gemm: Rule = (node, t) => {
  const [a, b, c = null] = node.inputs as [Value, Value, Value | null];
  const [alpha, beta] = [number(node, 'alpha', 1), number(node, 'beta', 1)];
  const [transA, transB] = [number(node, 'transA', 0), number(node, 'transB', 0)];
  const isPlain = alpha === 1 && (beta === 1 || c === null);
  const x = transA ? t.add(node, 'Transpose', [a], { perm: [1, 0] }, 'a') : a;
  const kernel = transB
    ? b
    : b.constant
      ? { ...b, constant: t.turned(b.constant), shape: b.shape!.toReversed() }
      : t.add(node, 'Transpose', [b], { perm: [1, 0] }, 'b');
  if (isPlain) return [t.add(node, 'Gemm', [x, kernel, c])];
  const dtype = a.dtype ?? 'float32';
  const product = t.add(node, 'Gemm', [x, kernel], {}, 'product');
  const scaled = alpha === 1 ? product : t.add(node, 'Mul', [product, t.build.numbers(dtype, alpha)], {}, c ? 'alpha' : undefined);
  if (!c) return [scaled];
  return [t.add(node, 'Add', [scaled, beta === 1 ? c : t.add(node, 'Mul', [c, t.build.numbers(dtype, beta)], {}, 'beta')])];
};

/** Operators in whose second operand the axes that the first has beyond it were said by an attribute, before opset 7. */
const legacyBinary: Rule = async (node, t) => {
  if (node.opset >= 7) return t.byTable(node);
  const [a, b] = node.inputs as [Value, Value];
  const axis = number(node, 'axis', Number.NaN);
  const op = node.op;
  if (!number(node, 'broadcast', 0) || Number.isNaN(axis)) return [t.add(node, op, [a, b])];
  if (!a.shape || !b.shape) return new NotUnderstood('how many axes flow in is not known');
  const behind = a.shape.length - (axis < 0 ? axis + a.shape.length : axis) - b.shape.length;
  return [t.add(node, op, [a, behind > 0 ? spread(node, t, b, behind) : b])];
};

/** With axes of one at the end. */
function spread(node: Node, t: Translator, value: Value, count: number): Value {
  const shape = [...value.shape!, ...new Array<number>(count).fill(1)];
  if (value.constant) return { ...value, constant: reshape(value.constant, shape as number[]), shape };
  return t.add(node, 'Unsqueeze', [value], { axes: Array.from({ length: count }, (_, i) => value.shape!.length + i) }, 'spread');
}

const pRelu: Rule = (node, t) => {
  const [x, slope] = node.inputs as [Value, Value];
  const ofChannels = node.opset < 7 && slope.shape?.length === 1 && slope.shape[0] !== 1;
  if (ofChannels && !x.shape) return new NotUnderstood('how many axes flow in is not known');
  const perChannel = ofChannels && x.shape!.length > 2;
  return [t.add(node, 'PRelu', [x, perChannel ? spread(node, t, slope, x.shape!.length - 2) : slope])];
};

/** Before opset 13 the axis and all behind it were taken together. */
const legacySoftmax: Rule = (node, t) => {
  if (node.opset >= 13) return t.byTable(node);
  const [x] = node.inputs as [Value];
  const given = number(node, 'axis', 1);
  if (!x.shape) return new NotUnderstood('how many axes flow in is not known');
  const axis = given < 0 ? given + x.shape.length : given;
  if (axis === x.shape.length - 1 || x.shape.slice(axis + 1).every((size) => size === 1)) return [t.add(node, node.op, [x], { axis })];
  const flat = t.add(node, 'Flatten', [x], { axis }, 'flat');
  const soft = t.add(node, node.op, [flat], { axis: 1 }, 'rows');
  return [t.add(node, 'Reshape', [soft, t.add(node, 'Shape', [x], {}, 'shape')])];
};

const batchNormalization: Rule = (node, t) => {
  const { opset, inputs, outputs } = node;
  const training = opset >= 14 ? number(node, 'training_mode', 0) !== 0 : opset < 7 ? saysTraining(node) : outputs.length > 1;
  const [x, scale, bias] = inputs;
  // A weight that is standardised, as in BiT: nothing is trained, and the statistics are its own. Those that the node gives out too nothing reads.
  if (training && x?.constant && x.shape?.[0] === 1 && scale && bias)
    return [t.add(node, 'InstanceNormalization', [x, scale, bias], { epsilon: number(node, 'epsilon', 1e-5) })];
  if (training) t.training.push(`BatchNormalization "${node.title}"${opset >= 14 ? ' (training_mode = 1)' : opset < 7 ? ' (is_test = 0)' : ''}`);
  // Statistics of each place rather than of each channel.
  if (opset < 9 && number(node, 'spatial', 1) === 0) return placeNormalization(node, t);
  return [t.add(node, 'BatchNormalization', inputs, { epsilon: number(node, 'epsilon', 1e-5) })];
};

function placeNormalization(node: Node, t: Translator): readonly Value[] {
  const [x, scale, bias, mean, variance] = node.inputs as [Value, Value, Value, Value, Value];
  const epsilon = t.build.numbers(x.dtype ?? 'float32', number(node, 'epsilon', 1e-5));
  const deviation = t.add(node, 'Sqrt', [t.add(node, 'Add', [variance, epsilon], {}, 'variance')], {}, 'deviation');
  const centred = t.add(node, 'Sub', [x, mean], {}, 'centred');
  const scaled = t.add(node, 'Mul', [t.add(node, 'Div', [centred, deviation], {}, 'normal'), scale], {}, 'scaled');
  return [t.add(node, 'Add', [scaled, bias])];
}

const castLike: Rule = (node, t) => {
  const [x, like] = node.inputs as [Value, Value];
  return like.dtype === null ? new NotUnderstood('which dtype it casts to is not known') : [t.add(node, 'Cast', [x], { to: like.dtype, ...saturation(node) })];
};

/** Of Casts to 8-bit floats: they saturate unless they say that they do not. */
const saturation = (node: Node): Attributes => (number(node, 'saturate', 1) === 0 ? { saturate: 0 } : {});

const legacyCast: Rule = (node, t) => {
  const to = node.attributes.get('to');
  const dtype = typeof to === 'string' ? LEGACY_TYPES[to] : DTYPE_BY_CODE.get(Number(to));
  if (!dtype) return new NotUnderstood(`its data type is ${JSON.stringify(to)}`);
  const [x] = node.inputs as [Value];
  // A float constant stays a weight: what is narrower or wider is so where it is used.
  if (x.constant && !x.elements && isFloatDType(dtype) && isFloatDType(x.constant.dtype)) {
    return [t.build.constant({ ...castTensor(x.constant, dtype), name: x.constant.name }, node.outputs[0])];
  }
  // So do places in a table of weights.
  if (x.constant?.dtype === 'uint8' && x.constant.shape.length > 1 && (dtype === 'int32' || dtype === 'int64'))
    return [t.build.constant({ ...widenPlaces(x.constant, dtype), name: x.constant.name }, node.outputs[0])];
  return [t.add(node, 'Cast', [x], { to: dtype, ...saturation(node) })];
};

/** A weight may be places in a table of few values: see `palette.ts`. */
const gather: Rule = async (node, t) => {
  const [{ constant: table }, { constant: places }] = node.inputs as [Value, Value];
  const codes = places && narrowPlaces(places);
  if (!codes || table?.dtype !== 'float32' || table.shape.length !== 1 || table.shape[0]! > 256 || number(node, 'axis', 0) > 0) return t.byTable(node);
  return [t.build.constant({ ...fromPalette(codes, toFloat32Array(await tensorBytes(table), 'float32')), name: codes.name }, node.outputs[0])];
};

const LEGACY_TYPES: Readonly<Record<string, DType>> = {
  ...Object.fromEntries(Object.keys(DATA_TYPE).map((dtype) => [dtype.toUpperCase(), dtype as DType])),
  FLOAT: 'float32',
  DOUBLE: 'float64',
};

const transpose: Rule = (node, t) => {
  const [x] = node.inputs as [Value];
  const perm = numbers(node, 'perm') ?? x.shape?.map((_, axis) => x.shape!.length - 1 - axis);
  return perm ? [t.add(node, 'Transpose', [x], { perm })] : new NotUnderstood('how many axes flow in is not known');
};

/** PyTorch's exporter says of every Reshape that a zero is one: it says nothing where no size is zero, and other targets and older opsets have no word for it. */
const reshapeRule: Rule = (node, t) => {
  const sizes = node.inputs[1]?.elements;
  const hasNoZero = sizes?.every((size) => size !== null && size !== 0) ?? false;
  return t.byTable(node, undefined, hasNoZero && node.attributes.has('allowzero') ? { allowzero: 0 } : {});
};

/** How many equal parts there are is as many as flow out: older opsets have no other word for it. */
const split: Rule = (node, t) => {
  const [x] = node.inputs as [Value];
  const [count, size] = [number(node, 'num_outputs', 0), x.shape?.at(number(node, 'axis', 0))];
  const isSaid = count > 0 && count === node.outputs.length && typeof size === 'number' && size % count === 0;
  return t.byTable(isSaid ? { ...node, attributes: new Map([...node.attributes].filter(([name]) => name !== 'num_outputs')) } : node);
};

const upsample: Rule = async (node, t) => {
  const [x, given = null] = node.inputs as [Value, Value | null];
  const scales = numbers(node, 'scales') ?? (await t.known(given)) ?? legacyScales(node);
  const mode = node.attributes.get('mode') ?? 'nearest';
  const more = { mode: mode === 'nearest' ? 'nearest' : 'linear', coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' };
  if (!['nearest', 'linear', 'bilinear'].includes(String(mode))) return new NotUnderstood(`its mode is ${mode}`);
  if (scales) return [t.add(node, 'Resize', [x], { scales, ...more })];
  return given ? [t.add(node, 'Resize', [x, null, given], more)] : new NotUnderstood('it has no scales');
};

function legacyScales(node: Node): readonly number[] | undefined {
  const [height, width] = [number(node, 'height_scale', Number.NaN), number(node, 'width_scale', Number.NaN)];
  return Number.isNaN(height) || Number.isNaN(width) ? undefined : [1, 1, height, width];
}

/**
 * Opset 10: scales are the second input, coordinates are those of Upsample. Where an axis becomes smaller, the nearest element is the next one, which the
 * specification's example shows and ONNX Runtime does.
 *
 * @see https://github.com/onnx/onnx/blob/rel-1.5.0/docs/Operators.md#Resize, resize_downsample_nearest
 */
const resize: Rule = async (node, t) => {
  if (node.opset !== 10) return t.byTable(node);
  const [x, given = null] = node.inputs as [Value, Value | null];
  if ((node.attributes.get('mode') ?? 'nearest') !== 'nearest') return upsample(node, t);
  const scales = await t.known(given);
  if (!scales) return new NotUnderstood('whether it makes smaller or larger is known only when the model runs');
  if (scales.every((scale) => scale >= 1)) return upsample(node, t);
  const how = { mode: 'nearest', coordinate_transformation_mode: 'asymmetric' };
  const isMixed = scales.some((scale) => scale > 1);
  const larger = isMixed ? t.add(node, 'Resize', [x], { scales: scales.map((scale) => Math.max(scale, 1)), ...how, nearest_mode: 'floor' }, 'larger') : x;
  return [t.add(node, 'Resize', [larger], { scales: scales.map((scale) => Math.min(scale, 1)), ...how, nearest_mode: 'ceil' })];
};

/** Padding that is said by the size of the result, or by words. */
const convTranspose: Rule = async (node, t) => {
  const [x, kernel] = node.inputs as [Value, Value];
  const wanted = numbers(node, 'output_shape');
  const autoPad = node.attributes.get('auto_pad') ?? 'NOTSET';
  if (!wanted && autoPad === 'NOTSET') return t.byTable(node);
  const sizes = x.shape?.slice(2);
  const window = (numbers(node, 'kernel_shape') ?? kernel.shape?.slice(2)) as readonly number[] | undefined;
  if (!sizes?.every((size) => typeof size === 'number') || !window)
    return new NotUnderstood('its padding depends on sizes that are known only when the model runs');
  const filled = (name: string, value: number) => numbers(node, name) ?? window.map(() => value);
  const [strides, dilations, extra] = [filled('strides', 1), filled('dilations', 1), filled('output_padding', 0)];
  const spatial = wanted?.slice(-window.length) ?? sizes.map((size, i) => size * strides[i]!);
  const totals = sizes.map((size, i) =>
    autoPad === 'VALID' && !wanted ? 0 : strides[i]! * (size - 1) + extra[i]! + (window[i]! - 1) * dilations[i]! + 1 - spatial[i]!,
  );
  const less = totals.map((total) => Math.floor(Math.max(total, 0) / 2));
  const rest = totals.map((total, i) => Math.max(total, 0) - less[i]!);
  // Where the result is larger than what the window makes, that is added behind it.
  const output_padding = extra.map((one, i) => one + Math.max(0, -totals[i]!));
  const pads = autoPad === 'SAME_UPPER' ? [...less, ...rest] : [...rest, ...less];
  const attributes = { kernel_shape: window, strides, dilations, output_padding, pads, group: number(node, 'group', 1) };
  return t.layer(node, 'ConvTranspose', node.inputs, attributes);
};

/** From opset 18 on pads may be of some axes only. */
const pad: Rule = async (node, t) => {
  const [x, given = null, value = null, axes = null] = node.inputs as [Value, Value | null, Value | null, Value | null];
  if (node.opset < 2)
    return [
      t.add(node, 'Pad', [x], { pads: numbers(node, 'paddings'), mode: node.attributes.get('mode') as string | undefined, value: number(node, 'value', 0) }),
    ];
  if (axes === null) return t.byTable({ ...node, inputs: node.inputs.slice(0, 3) });
  const [pads, along] = [await t.known(given), await t.known(axes)];
  if (!x.shape) return new NotUnderstood('how many axes flow in is not known');
  if (!pads || !along) return t.byTable(node);
  return t.byTable({ ...node, inputs: [x, null, value] }, undefined, { pads: spreadPads(pads, along, x.shape.length) });
};

/** A quantised constant is what its integers stand for, where one scale is for all of it or for each place along an axis. */
const dequantizeLinear: Rule = async (node, t) => {
  const [{ constant: codes }, { constant: scale }, zero = null] = node.inputs as [Value, Value, Value | null];
  const rank = codes?.shape.length ?? 0;
  const isPlain = node.attributes.get('output_dtype') === undefined;
  if (!codes || scale?.dtype !== 'float32' || (zero && !zero.constant) || rank === 0 || !isPlain || !DEQUANTISED.has(codes.dtype)) return t.byTable(node);
  const given = number(node, 'axis', 1);
  const block = number(node, 'block_size', 0);
  const made = (tensor: Tensor) => [t.build.constant({ ...tensor, name: codes.name }, node.outputs[0])];
  if (block !== 0) {
    const along = given < 0 ? given + rank : given;
    const shape = codes.shape.with(along, (codes.shape[along] ?? 0) / block);
    if (along < 0 || along >= rank || scale.shape.join() !== shape.join() || (zero?.constant && zero.constant.shape.join() !== shape.join()))
      return t.byTable(node);
    const parameters = { axis: along, size: block, shape, scales: toFloat32Array(await tensorBytes(scale), 'float32') };
    const zeroPoints = zero?.constant && toFloat64Array(await tensorBytes(zero.constant), zero.constant.dtype);
    return made(dequantiseBlocks(codes, { ...parameters, ...(zeroPoints ? { zeroPoints } : {}) }));
  }
  const axis = elementCount(scale.shape) === 1 ? 0 : given < 0 ? given + rank : given;
  const counts = [scale, ...(zero?.constant ? [zero.constant] : [])].map(({ shape }) => elementCount(shape));
  if (counts.some((count) => count !== counts[0]) || (counts[0] !== 1 && counts[0] !== codes.shape[axis])) return t.byTable(node);
  const scales = toFloat32Array(await tensorBytes(scale), 'float32');
  const zeros = zero?.constant ? toFloat64Array(await tensorBytes(zero.constant), zero.constant.dtype) : undefined;
  return made(dequantiseChannels(codes, axis, scales, zeros));
};

/** Codes of fewer bits than a byte are kept as bytes, and are bound to their own range. */
const quantizeLinear: Rule = async (node, t) => {
  const zero = node.inputs[2]?.constant;
  const bits = zero ? elementBits(zero) : 8;
  if (!zero || bits >= 8) return t.byTable(node);
  const [low, high] = zero.dtype === 'int8' ? [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] : [0, 2 ** bits - 1];
  const attributes = await tableAttributes(OPS.QuantizeLinear!, node.attributes, node.opset);
  if (attributes instanceof NotUnderstood) return attributes;
  const codes = t.add(node, 'QuantizeLinear', node.inputs, attributes, 'codes');
  return [t.add(node, 'Clip', [codes, t.build.numbers(zero.dtype, low), t.build.numbers(zero.dtype, high)])];
};

const DEQUANTISED: ReadonlySet<string> = new Set(['int8', 'uint8', 'int16', 'uint16', 'int32']);

/** Before opset 21 scale and bias were of each group, not of each channel. */
const groupNormalization: Rule = (node, t) => {
  if (node.opset >= 21) return t.byTable(node);
  const [x, scale, bias] = node.inputs as [Value, Value, Value];
  const [groups, channels] = [number(node, 'num_groups', 0), x.shape?.[1]];
  if (typeof channels !== 'number' || groups < 1 || channels % groups !== 0)
    return new NotUnderstood(`${groups} groups of ${channels ?? 'any number of'} channels`);
  const each = (value: Value, step: string) => {
    const column = t.add(node, 'Reshape', [value], { shape: [groups, 1] }, `${step}-groups`);
    const wide = t.add(node, 'Expand', [column], { shape: [groups, channels / groups] }, `${step}-wide`);
    return t.add(node, 'Reshape', [wide], { shape: [channels] }, `${step}-channels`);
  };
  const attributes = { num_groups: groups, epsilon: number(node, 'epsilon', 1e-5) };
  return [t.add(node, 'GroupNormalization', [x, each(scale, 'scale'), each(bias, 'bias')], attributes)];
};

/** As its steps, which runtimes have in every opset; targets that have the operator take them together again. */
const swish: Rule = (node, t) => {
  const [x] = node.inputs as [Value];
  const alpha = number(node, 'alpha', 1);
  const slope = alpha === 1 ? x : t.add(node, 'Mul', [x, t.build.numbers(x.dtype ?? 'float32', alpha)], {}, 'alpha');
  return [t.add(node, 'Mul', [x, t.add(node, 'Sigmoid', [slope], {}, 'sigmoid')])];
};

/** Gated by its other input, opset 28. */
const swiGlu: Rule = (node, t) => {
  const [gate, x] = node.inputs as [Value, Value];
  const alpha = number(node, 'alpha', 1);
  const slope = alpha === 1 ? gate : t.add(node, 'Mul', [gate, t.build.numbers(gate.dtype ?? 'float32', alpha)], {}, 'alpha');
  const swished = t.add(node, 'Mul', [gate, t.add(node, 'Sigmoid', [slope], {}, 'sigmoid')], {}, 'gate');
  return [t.add(node, 'Mul', [swished, x])];
};

/** A remainder of floats with the sign of the divisor, which ONNX has from opset 28 on and no runtime yet: that with the dividend's sign, set right. */
const mod: Rule = (node, t) => {
  const [x, divisor] = node.inputs as [Value, Value];
  if (number(node, 'fmod', 0) !== 0 || !x.dtype || !isFloatDType(x.dtype)) return t.byTable(node);
  const zero = t.build.numbers(x.dtype, 0);
  const rest = t.add(node, 'Mod', [x, divisor], { fmod: 1 }, 'rest');
  const [isBelow, isDivisorBelow] = [t.add(node, 'Less', [rest, zero], {}, 'below'), t.add(node, 'Less', [divisor, zero], {}, 'divisor-below')];
  const differs = t.add(node, 'Xor', [isBelow, isDivisorBelow], {}, 'signs');
  const isSome = t.add(node, 'Not', [t.add(node, 'Equal', [rest, zero], {}, 'none')], {}, 'some');
  const isWrong = t.add(node, 'And', [differs, isSome], {}, 'wrong');
  return [t.add(node, 'Where', [isWrong, t.add(node, 'Add', [rest, divisor], {}, 'other'), rest])];
};

/** Channels before blocks, which ONNX says from opset 28 on, as the steps that every target has; those that have it say it again. */
const spaceToDepth: Rule = (node, t) => {
  const [x] = node.inputs as [Value];
  const [block, [, channels, height, width] = []] = [number(node, 'blocksize', 0), x.shape ?? []];
  const isKnown = [channels, height, width].every((size) => typeof size === 'number') && block > 0;
  if (node.attributes.get('mode') !== 'CRD' || !isKnown) return t.byTable(node);
  const [depth, rows, columns] = [channels as number, (height as number) / block, (width as number) / block];
  if (!Number.isInteger(rows) || !Number.isInteger(columns)) return t.byTable(node);
  const blocks = t.add(node, 'Reshape', [x], { shape: [0, depth, rows, block, columns, block] }, 'blocks');
  const turned = t.add(node, 'Transpose', [blocks], { perm: [0, 1, 3, 5, 2, 4] }, 'turned');
  return [t.add(node, 'Reshape', [turned], { shape: [0, depth * block * block, rows, columns] })];
};

const scatter: Rule = (node, t) => [t.add(node, 'ScatterElements', node.inputs, { axis: number(node, 'axis', 0) })];

export const RULES: Readonly<Record<string, Rule>> = {
  Constant: constant,
  CumProd: cumProd,
  Identity: passedOn,
  Dropout: dropout,
  If: ifRule,
  Gemm: gemm,
  ...Object.fromEntries(['Add', 'Sub', 'Mul', 'Div', 'Pow', 'And', 'Or', 'Xor', 'Equal', 'Greater', 'Less'].map((op) => [op, legacyBinary])),
  PRelu: pRelu,
  Softmax: legacySoftmax,
  LogSoftmax: legacySoftmax,
  BatchNormalization: batchNormalization,
  Cast: legacyCast,
  CastLike: castLike,
  Gather: gather,
  Transpose: transpose,
  Reshape: reshapeRule,
  Split: split,
  ConvTranspose: convTranspose,
  Pad: pad,
  Scatter: scatter,
  SpaceToDepth: spaceToDepth,
  Mod: mod,
  Swish: swish,
  SwiGLU: swiGlu,
  LSTM: recurrent,
  GRU: recurrent,
  RNN: recurrent,
  QuantizeLinear: quantizeLinear,
  DequantizeLinear: dequantizeLinear,
  Hardmax: legacySoftmax,
  Upsample: upsample,
  Resize: resize,
  GroupNormalization: groupNormalization,
  Attention: (node, t) => attention(node, t),
  RotaryEmbedding: rotaryEmbedding,
  ...EARLY,
  ...FOURIER,
  ...LOOPS,
  ...LOSSES,
  ...SEQUENCES,
  ...FUSED,
  ...MICROSOFT,
  ...FEW_BITS,
  ...FUSED_ATTENTION,
  ...WITH_STATE,
};
