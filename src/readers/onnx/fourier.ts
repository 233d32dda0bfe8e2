/**
 * Fourier transforms, as products with matrices of cosines and sines; those of frames that overlap, as convolutions with them.
 *
 * A complex number is two places of the last axis, [real, imaginary].
 *
 * @see https://onnx.ai/onnx/operators/onnx__DFT.html and https://onnx.ai/onnx/operators/onnx__STFT.html
 */

import { DTYPE_BY_CODE } from '../../containers/onnx-tensors.js';
import { halfOf, MOST_TRANSFORMED, mirrored, turns } from '../../dialects/fourier.js';
import type { Value } from '../../model/builder.js';
import { isFloatDType } from '../../model/dtype.js';
import { listedTensor } from '../../model/numbers.js';
import { NotUnderstood } from './by-table.js';
import { type Node, numberOf, type Rule, type Translator } from './translator.js';

/** Which parts flow in, of each place, and come out, of each frequency. */
interface Parts {
  readonly from: number;
  readonly to: number;
  readonly of: number;
  readonly scale: number;
  readonly isInverse: boolean;
  readonly fromComplex: boolean;
  readonly toComplex: boolean;
  readonly weight?: (place: number) => number;
}

/** [place, its parts, frequency, its parts] */
function matrixOf({ from, to, of, scale, isInverse, fromComplex, toComplex, weight }: Parts): Float64Array {
  const [cos, sin] = [Math.cos, Math.sin].map((part) => turns({ from, of, to, scale }, part, weight)) as [Float64Array, Float64Array];
  const sign = isInverse ? 1 : -1;
  const values: number[] = [];
  for (let j = 0; j < from; j++)
    for (const isImaginary of fromComplex ? [false, true] : [false])
      for (let k = 0; k < to; k++) {
        const [c, s] = [cos[j * to + k]!, sign * sin[j * to + k]!];
        values.push(isImaginary ? -s : c);
        if (toComplex) values.push(isImaginary ? c : s);
      }
  return Float64Array.from(values);
}

/** With axis -2 as the last but one, whose places and parts are one axis, times the matrix. */
const dft: Rule = async (node, t) => {
  const [x, given = null, along = null] = node.inputs as [Value, Value | null, Value | null];
  const wrong = wrongOf(node, x, ['axis', 'inverse', 'onesided']);
  if (wrong) return wrong;
  const rank = x.shape!.length;
  const [length, axes] = [given ? await t.known(given) : [], along ? await t.known(along) : []];
  if (!length || !axes) return new NotUnderstood('how many numbers it transforms, or along which axis, is known only when the model runs');
  const asked = node.opset < 20 ? numberOf(node, 'axis', 1) : (axes[0] ?? -2);
  const axis = asked < 0 ? asked + rank : asked;
  const size = x.shape![axis];
  if (axis < 0 || axis > rank - 2) return new NotUnderstood(`its axis is ${asked} of ${rank}`);
  if (typeof size !== 'number') return new NotUnderstood('how many numbers it transforms is known only when the model runs');
  const [isInverse, isHalf, fromComplex] = [numberOf(node, 'inverse', 0) !== 0, numberOf(node, 'onesided', 0) !== 0, x.shape!.at(-1) === 2];
  const toReal = isInverse && isHalf;
  if (isHalf && fromComplex !== isInverse) return new NotUnderstood('half a spectrum is of real numbers alone');
  const of = length[0] ?? (toReal ? 2 * (size - 1) : size);
  if (!(of > 0 && of <= MOST_TRANSFORMED && size <= MOST_TRANSFORMED))
    return new NotUnderstood(`it transforms ${Math.max(of, size)} numbers, and up to ${MOST_TRANSFORMED} become a product`);
  const to = isHalf && !toReal ? halfOf(of) : of;
  const scale = isInverse ? 1 / of : 1;
  const parts = { from: size, to, of, scale, isInverse, fromComplex, toComplex: !toReal, ...(toReal ? { weight: mirrored(of) } : {}) };
  const [rows, columns] = [size * (fromComplex ? 2 : 1), to * (toReal ? 1 : 2)];
  const matrix = stored(node, t, x, [rows, columns], matrixOf(parts));
  const order = Array.from({ length: rank }, (_, i) => i);
  const turned = axis === rank - 2 ? null : order.with(axis, rank - 2).with(rank - 2, axis);
  const last = turned ? t.add(node, 'Transpose', [x], { perm: turned }, 'last') : x;
  const before = new Array<number>(rank - 2).fill(0);
  const flat = t.add(node, 'Reshape', [last], { shape: [...before, rows] }, 'parts');
  const product = t.add(node, 'MatMul', [flat, matrix], {}, 'product');
  const shape = [...before, to, toReal ? 1 : 2];
  if (!turned) return [t.add(node, 'Reshape', [product], { shape })];
  return [t.add(node, 'Transpose', [t.add(node, 'Reshape', [product], { shape }, 'complex')], { perm: turned })];
};

/** A convolution whose kernels are the frequencies, each cut out by the window. */
const stft: Rule = async (node, t) => {
  const [x, step, window = null, given = null] = node.inputs as [Value, Value, Value | null, Value | null];
  const wrong = wrongOf(node, x, ['onesided']);
  if (wrong) return wrong;
  const [stride, lengths] = [await t.known(step), given ? await t.known(given) : []];
  const size = lengths?.[0] ?? window?.shape?.[0] ?? x.shape![1];
  if (stride?.[0] === undefined || !lengths || typeof size !== 'number') return new NotUnderstood('its frames are known only when the model runs');
  if (window && window.shape?.join() !== `${size}`) return new NotUnderstood(`its window is [${window.shape}], of frames of ${size}`);
  if (x.shape!.length !== 3 || !(stride[0] > 0)) return new NotUnderstood(`it takes steps of ${stride[0]} in [${x.shape}]`);
  if (!(size > 0 && size <= MOST_TRANSFORMED)) return new NotUnderstood(`it transforms ${size} numbers, and up to ${MOST_TRANSFORMED} become a product`);
  const [isHalf, fromComplex] = [numberOf(node, 'onesided', 1) !== 0, x.shape![2] === 2];
  if (isHalf && fromComplex) return new NotUnderstood('half a spectrum is of real numbers alone');
  const [to, parts] = [isHalf ? halfOf(size) : size, fromComplex ? 2 : 1];
  const values = matrixOf({ from: size, to, of: size, scale: 1, isInverse: false, fromComplex, toComplex: true });
  // [place, part, frequency and part] as [frequency and part, part, place].
  const kernels = values.map((_, i) => values[((i % size) * parts + (Math.floor(i / size) % parts)) * 2 * to + Math.floor(i / (size * parts))]!);
  const plain = stored(node, t, x, [2 * to, parts, size], kernels);
  const kernel = window ? t.add(node, 'Mul', [plain, window], {}, 'windowed') : plain;
  const channels = t.add(node, 'Transpose', [x], { perm: [0, 2, 1] }, 'channels');
  const made = t.add(node, 'Conv', [channels, kernel], { strides: [stride[0]], kernel_shape: [size] }, 'frames');
  return [t.add(node, 'Reshape', [t.add(node, 'Transpose', [made], { perm: [0, 2, 1] }, 'rows')], { shape: [0, 0, to, 2] })];
};

function wrongOf(node: Node, x: Value, known: readonly string[]): NotUnderstood | null {
  const unknown = [...node.attributes.keys()].find((name) => !known.includes(name));
  if (unknown !== undefined) return new NotUnderstood(`its ${unknown} is not known`);
  if (!x.shape || !x.dtype || !isFloatDType(x.dtype)) return new NotUnderstood('what flows in is not known');
  return x.shape.at(-1) === 1 || x.shape.at(-1) === 2 ? null : new NotUnderstood(`its last axis has ${x.shape.at(-1)} numbers, expected 1 or 2`);
}

const stored = (node: Node, t: Translator, x: Value, shape: readonly number[], values: Float64Array): Value =>
  t.build.constant(listedTensor(`${t.scope.prefix}${node.title}.turns`, x.dtype!, shape, values, t.build.origin));

/** Cosines of the place's share of a turn, by which each is multiplied: a window without its last place where it is periodic. */
const windowOf =
  (...factors: readonly number[]): Rule =>
  async (node, t) => {
    const [count] = (await t.known(node.inputs[0])) ?? [];
    const dtype = DTYPE_BY_CODE.get(numberOf(node, 'output_datatype', 1));
    const unknown = [...node.attributes.keys()].find((name) => name !== 'output_datatype' && name !== 'periodic');
    if (unknown !== undefined) return new NotUnderstood(`its ${unknown} is not known`);
    if (count === undefined || !(count >= 1 && count <= MOST_TRANSFORMED))
      return new NotUnderstood(`its length is ${count ?? 'known only when the model runs'}`);
    if (!dtype || !isFloatDType(dtype)) return new NotUnderstood(`its data type is ${numberOf(node, 'output_datatype', 1)}`);
    const turn = numberOf(node, 'periodic', 1) === 0 ? count - 1 : count;
    const values = Float64Array.from({ length: count }, (_, i) => factors.reduce((sum, factor, k) => sum + factor * Math.cos((2 * Math.PI * k * i) / turn), 0));
    const name = `${t.scope.prefix}${node.title}`;
    return [t.build.constant(listedTensor(name, dtype, [count], values, t.build.origin), t.outputName(node.outputs[0]!))];
  };

export const FOURIER: Readonly<Record<string, Rule>> = {
  DFT: dft,
  STFT: stft,
  HannWindow: windowOf(0.5, -0.5),
  HammingWindow: windowOf(25 / 46, -21 / 46),
  BlackmanWindow: windowOf(0.42, -0.5, 0.08),
};
