/** Quantised integers: QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear, and the operators that compute with integers. */
import { ModelError } from '../../errors.js';
import { type DType, NARROW_RANGES } from '../dtype.js';
import type { Value } from './array.js';
import { conv } from './convolution.js';
import { multiply } from './dense.js';
import { roundHalfToEven } from './elementwise.js';
import { ownMultiplier } from './multiplier.js';
import { readOperand } from './operands.js';
import { dtypeName, int, ints, type Operator, operator, optional } from './operator.js';
import { roundTo } from './rounding.js';
import { broadcastDims, checkedAxis } from './rules.js';
import { completeWindow, WINDOW, windowedShape } from './window.js';

const RANGES: typeof NARROW_RANGES = { ...NARROW_RANGES, int32: [-(2 ** 31), 2 ** 31 - 1] };

/** For each element of x the place of its parameter: one for all, one along an axis, or one for each block of an axis. */
function parameterPlaces(x: Value, parameter: Value, axis: number, block: number): (i: number) => number {
  if (parameter.data.length === 1) return () => 0;
  const at = checkedAxis(axis, x.shape.length);
  const inner = x.shape.slice(at + 1).reduce((a, b) => a * b, 1);
  const size = x.shape[at]!;
  if (!block) return (i) => Math.floor(i / inner) % size;
  const blocks = parameter.shape[at]!;
  return (i) => (Math.floor(i / (inner * size)) * blocks + Math.floor((Math.floor(i / inner) % size) / block)) * inner + (i % inner);
}

function quantise(x: Value, scale: Value, zero: Value | undefined, dtype: DType, axis: number, block: number, saturate = true): Value {
  const range = RANGES[dtype];
  if (dtype.startsWith('float8')) {
    // Its zero point is zero.
    const place = parameterPlaces(x, scale, axis, block);
    const shares = x.data.map((element, i) => Math.fround(element / scale.data[place(i)]!));
    return { shape: x.shape, data: roundTo(shares, dtype, saturate), dtype };
  }
  if (!range) throw new ModelError('engine', `the reference evaluator does not quantise to ${dtype}`);
  const place = parameterPlaces(x, scale, axis, block);
  const [low, high] = range;
  const data = new Float64Array(x.data.length);
  for (let i = 0; i < data.length; i++) {
    const at = place(i);
    const value = roundHalfToEven(Math.fround(x.data[i]! / scale.data[at]!)) + (zero?.data[at] ?? 0);
    data[i] = Math.min(high, Math.max(low, value));
  }
  return { shape: x.shape, data, dtype };
}

export const quantizeLinear = operator({
  op: 'QuantizeLinear',
  slots: ['x', 'scale', 'zero?'],
  attributes: { axis: int(1), block_size: int(0), output_dtype: optional(dtypeName()), saturate: int(1), precision: optional(dtypeName()) },
  shape: ({ x }) => [x.shape],
  dtype: ({ zero }, { output_dtype }) => [zero ? zero.dtype : ((output_dtype as DType | undefined) ?? 'uint8')],
  onnx: { since: 10, newer: { axis: 13, block_size: 21, output_dtype: 21, saturate: 19, precision: 23 } },
  compute: ({ x, scale, zero }, { axis, block_size, output_dtype, saturate }) => [
    quantise(x, scale, zero, zero?.dtype ?? (output_dtype as DType) ?? 'uint8', axis, block_size, saturate !== 0),
  ],
});

export const dequantizeLinear = operator({
  op: 'DequantizeLinear',
  slots: ['x', 'scale', 'zero?'],
  attributes: { axis: int(1), block_size: int(0), output_dtype: optional(dtypeName()) },
  shape: ({ x }) => [x.shape],
  dtype: ({ scale }, { output_dtype }) => [(output_dtype as DType | undefined) ?? scale.dtype],
  onnx: { since: 10, newer: { axis: 13, block_size: 21, output_dtype: 23 } },
  compute({ x, scale, zero }, { axis, block_size }) {
    const place = parameterPlaces(x, scale, axis, block_size);
    const data = new Float64Array(x.data.length);
    for (let i = 0; i < data.length; i++) {
      const at = place(i);
      data[i] = (x.data[i]! - (zero?.data[at] ?? 0)) * scale.data[at]!;
    }
    return [{ shape: x.shape, data }];
  },
});

export const dynamicQuantizeLinear = operator({
  op: 'DynamicQuantizeLinear',
  slots: ['x'],
  attributes: {},
  outputs: 3,
  shape: ({ x }) => [x.shape, [], []],
  dtype: () => ['uint8', 'float32', 'uint8'],
  onnx: { since: 11, outputs: 3 },
  compute({ x }) {
    const [low, high] = x.data.reduce(([a, b], element) => [Math.min(a!, element), Math.max(b!, element)], [0, 0]) as [number, number];
    const step = Math.fround((high - low) / 255);
    const zero = step === 0 ? 0 : Math.max(0, Math.min(255, roundHalfToEven(-low / step)));
    const [scale, offset]: Value[] = [
      { shape: [], data: Float64Array.of(step) },
      { shape: [], data: Float64Array.of(zero), dtype: 'uint8' },
    ];
    return [quantise(x, scale!, offset, 'uint8', 0, 0), scale!, offset!];
  },
});

/** A quantised value less its zero point, for each element along an axis where there is one for each. */
function centred(x: Value, zero: Value | undefined, axis: number): Value {
  if (!zero) return x;
  const place = parameterPlaces(x, zero, axis, 0);
  return { shape: x.shape, data: x.data.map((element, i) => element - zero.data[place(i)]!) };
}

export const matMulInteger = operator({
  op: 'MatMulInteger',
  slots: ['x', 'kernel', 'x_zero?', 'kernel_zero?'],
  attributes: {},
  shape: ({ x, kernel }) => [productShape(x.shape, kernel.shape)],
  dtype: () => ['int32'],
  onnx: { since: 10 },
  compute: ({ x, kernel, x_zero, kernel_zero }) => [multiply(centred(x, x_zero, -2), centred(kernel, kernel_zero, -1))],
});

const productShape: (a: Shape, b: Shape) => Shape = (a, b) => [...broadcastDims([a.slice(0, -2), b.slice(0, -2)]), a.at(-2)!, b.at(-1)!];
type Shape = Parameters<typeof broadcastDims>[0][number];

export const qLinearMatMul = operator({
  op: 'QLinearMatMul',
  slots: ['x', 'x_scale', 'x_zero', 'kernel', 'kernel_scale', 'kernel_zero', 'y_scale', 'y_zero'],
  attributes: {},
  shape: ({ x, kernel }) => [productShape(x.shape, kernel.shape)],
  dtype: ({ y_zero }) => [y_zero.dtype],
  onnx: { since: 10 },
  compute(slots) {
    const made = multiply(centred(slots.x, slots.x_zero, -2), centred(slots.kernel, slots.kernel_zero, -1));
    const place = parameterPlaces(made, slots.kernel_scale, -1, 0);
    const real = { shape: made.shape, data: made.data.map((element, i) => element * slots.x_scale.data[0]! * slots.kernel_scale.data[place(i)]!) };
    return [quantise(real, slots.y_scale, slots.y_zero, slots.y_zero.dtype ?? 'uint8', -1, 0)];
  },
});

const convolved = { ...WINDOW, dilations: ints(), group: int(1) };
/** Whole numbers stay whole: their sums are exact in float64, whatever else is computed in. */
const integerConv = (x: Value, kernel: Value, attributes: unknown): Promise<readonly Value[]> =>
  conv.run!({ x, kernel } as never, attributes as never, { multiplier: ownMultiplier });

export const convInteger: Operator = operator({
  op: 'ConvInteger',
  slots: ['x', 'kernel', 'x_zero?', 'kernel_zero?'],
  attributes: convolved,
  complete: completeWindow,
  shape: ({ x, kernel }, attributes) => [windowedShape(x.shape, kernel.shape[0]!, attributes)],
  dtype: () => ['int32'],
  onnx: { since: 10 },
  async run({ x, kernel, x_zero, kernel_zero }, attributes) {
    const [input, weights, inputZero, weightZero] = await Promise.all([
      readOperand(x),
      readOperand(kernel),
      x_zero && readOperand(x_zero),
      kernel_zero && readOperand(kernel_zero),
    ]);
    return integerConv(centred(input, inputZero, 0), centred(weights, weightZero, 0), attributes);
  },
});

export const qLinearConv: Operator = operator({
  op: 'QLinearConv',
  slots: ['x', 'x_scale', 'x_zero', 'kernel', 'kernel_scale', 'kernel_zero', 'y_scale', 'y_zero', 'bias?'],
  attributes: convolved,
  complete: ({ kernel }, given) => completeWindow({ ...(kernel ? { kernel } : {}) }, given),
  shape: ({ x, kernel }, attributes) => [windowedShape(x.shape, kernel.shape[0]!, attributes)],
  dtype: ({ y_zero }) => [y_zero.dtype],
  onnx: { since: 10 },
  async run(slots, attributes) {
    const read = Object.fromEntries(
      await Promise.all(Object.entries(slots).map(async ([name, operand]) => [name, operand && (await readOperand(operand))])),
    ) as Record<string, Value>;
    const [made] = await integerConv(centred(read.x!, read.x_zero, 0), centred(read.kernel!, read.kernel_zero, 0), attributes);
    const inner = made!.shape.slice(2).reduce((a, b) => a * b, 1);
    const channels = made!.shape[1]!;
    const place = parameterPlaces(made!, read.kernel_scale!, 1, 0);
    const data = made!.data.map(
      (element, i) => (element + (read.bias?.data[Math.floor(i / inner) % channels] ?? 0)) * read.x_scale!.data[0]! * read.kernel_scale!.data[place(i)]!,
    );
    return [quantise({ shape: made!.shape, data }, read.y_scale!, read.y_zero, read.y_zero!.dtype ?? 'uint8', 1, 0)];
  },
});
