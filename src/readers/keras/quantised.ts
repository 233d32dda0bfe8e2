/**
 * Layers that Keras 3 has quantised. Their weights are codes of 8 bits, or two of 4 bits in a byte, which a scale divides; those of 4 bits may have a
 * zero and a factor for each block. What flows into a dense layer may become codes too, row by row.
 *
 * @see `_int8_call` and `_int4_call` of keras/src/layers/core/dense.py and embedding.py; keras/src/quantizers/quantizers.py
 */
import { castTensor, toFloat64Array } from '../../model/cast.js';
import { computedTensor, elementCount, permute, reshape, type Tensor, tensorBytes } from '../../model/tensor.js';
import { constantValue } from './arithmetic.js';
import { reduce } from './axes.js';
import type { Coding, Quantisation } from './precision.js';
import type { Scope } from './scope.js';
import type { Value } from './value.js';

type Quantised = Quantisation & { readonly inputs: Coding | null };

/** The product of a value and a kernel [features, units] of codes, and the bias, which archives have behind the codes, and HDF5 before all. */
export function quantisedProduct(input: Value, features: number, units: number, hasBias: boolean, how: Quantised, scope: Scope): Value {
  const takeBias = () => (hasBias ? scope.weight('bias', [units]) : null);
  const first = hasBias && scope.nextShape?.length === 1 ? takeBias() : null;
  const kernel = codesOf('kernel', features, units, how, scope);
  const bias = first ?? takeBias();
  const value = scope.builder.toKeras(input);
  const product =
    how.block === null
      ? scaledProduct(value, kernel, scope.weight('scale of the kernel', [units]), how, scope)
      : scope.add('MatMul', [value], { weights: { kernel: dequantised(kernel, how.block, 0, scope) } });
  return bias ? scope.add('Add', [product], { weights: { operand: bias } }) : product;
}

/** The weights of an EinsumDense in codes, and what they make of rows: numbers along the axes that are summed, which become those of the made ones. */
export interface CodedKernel {
  readonly bias: Tensor | null;
  product(rows: Value): Value;
}

/**
 * @param kernel its shape, and the order that puts the axes that are summed before the made ones
 * @param scales the made axes as the result has them, with the order in which the kernel does
 * @param bias its shape; null where there is none
 */
export function codedKernel(
  kernel: { readonly shape: readonly number[]; readonly order: readonly number[]; readonly summed: number },
  scales: { readonly sizes: readonly number[]; readonly order: readonly number[]; readonly rank: readonly number[] },
  bias: readonly number[] | null,
  how: Quantised,
  scope: Scope,
): CodedKernel {
  const units = elementCount(scales.sizes);
  if (how.bits === 4 && how.block === null) throw scope.unsupported('an EinsumDense in codes of 4 bits that share one scale');
  const stored = how.bits === 8 ? kernel.shape : [kernel.summed, Math.ceil(units / 2)];
  const takeBias = () => (bias ? scope.weight('bias', bias) : null);
  // HDF5 has what was trained before the codes.
  const first = bias && `${scope.nextShape}` !== `${stored}` ? takeBias() : null;
  if (how.bits === 4) {
    const codes = codesOf('kernel', kernel.summed, units, how, scope);
    const own = first ?? takeBias();
    // As rows and columns it was cut up in the order in which it is stored, whichever axes are summed.
    const matrix = reshape(permute(reshape(dequantised(codes, how.block!, 0, scope), kernel.shape), kernel.order), [kernel.summed, units]);
    return { bias: own, product: (rows) => scope.add('MatMul', [rows], { weights: { kernel: matrix } }) };
  }
  const codes = castTensor(scope.codes('kernel', kernel.shape), 'float32');
  const own = first ?? takeBias();
  const matrix = reshape(permute(codes, kernel.order), [kernel.summed, units]);
  const scale = reshape(permute(reshape(scope.weight('scale of the kernel', scales.rank), scales.sizes), scales.order), [units]);
  return { bias: own, product: (rows) => scaledProduct(rows, matrix, scale, how, scope) };
}

function scaledProduct(value: Value, kernel: Tensor, scale: Tensor, { inputs }: Quantised, scope: Scope): Value {
  if (!inputs) return scope.add('Div', [scope.add('MatMul', [value], { weights: { kernel } })], { weights: { operand: scale } });
  const { least, most, epsilon } = inputs;
  const largest = reduce('ReduceMax', scope.add('Abs', [value]), [value.shape.length - 1], true, scope);
  const own = scope.add('Div', [constantValue({ shape: [], values: [most] }, scope), scope.withScalar('Add', largest, epsilon)]);
  const codes = scope.add('Clip', [scope.add('Round', [scope.add('Mul', [value, own])])], { attributes: { min: least, max: most } });
  const product = scope.add('MatMul', [codes], { weights: { kernel } });
  return scope.add('Div', [product, scope.add('Mul', [own], { weights: { operand: scale } })]);
}

/** Rows of a table [count, width] of codes. */
export function quantisedRows(ids: Value, count: number, width: number, how: Quantised, scope: Scope): Value {
  const codes = codesOf('embeddings', count, width, how, scope);
  if (how.block !== null) return scope.add('Gather', [ids], { weights: { table: dequantised(codes, how.block, 1, scope) } });
  const scale = scope.weight('scale of the embeddings', [count]);
  const rows = scope.add('Gather', [ids], { weights: { table: codes } });
  const scales = scope.add('Gather', [ids], { weights: { table: reshape(scale, [count, 1]) } });
  return scope.add('Div', [rows, scales]);
}

/** Codes as float32; those of 4 bits lie two in a byte along the last axis, the first one in its lower half. */
function codesOf(role: string, rows: number, columns: number, { bits }: Quantisation, scope: Scope): Tensor {
  if (bits === 8) return castTensor(scope.codes(role, [rows, columns]), 'float32');
  const width = Math.ceil(columns / 2);
  const packed = scope.codes(role, [rows, width]);
  if (packed.dtype !== 'int8') throw scope.malformed(`the ${role} of 4 bits are of dtype ${packed.dtype}, expected int8`);
  return computedTensor(packed.name, 'float32', [rows, columns], packed.origin, async () => {
    const bytes = await tensorBytes(packed);
    const codes = Float32Array.from({ length: rows * columns }, (_, i) => {
      const [row, column] = [Math.floor(i / columns), i % columns];
      const byte = bytes[row * width + (column >> 1)]!;
      return (((column & 1 ? byte >> 4 : byte) & 15) ^ 8) - 8;
    });
    return new Uint8Array(codes.buffer);
  });
}

/** (code - zero) · factor, both of the block that the place along the axis is in, which the file says. */
function dequantised(codes: Tensor, block: number, axis: 0 | 1, scope: Scope): Tensor {
  const [rows, columns] = codes.shape as [number, number];
  const length = codes.shape[axis]!;
  const blocks = Math.ceil(length / block);
  const shape = axis === 0 ? [blocks, columns] : [rows, blocks];
  const [factor, zero, index] = [scope.weight('factors', shape), scope.codes('zeros', shape), scope.weight('blocks', [length])];
  return computedTensor(codes.name, 'float32', codes.shape, codes.origin, async () => {
    const read = async (tensor: Tensor) => toFloat64Array(await tensorBytes(tensor), tensor.dtype);
    const [code, by, less, at] = [await read(codes), await read(factor), await read(zero), await read(index)];
    const values = Float32Array.from(code, (value, i) => {
      const [row, column] = [Math.floor(i / columns), i % columns];
      const place = axis === 0 ? at[row]! * columns + column : row * blocks + at[column]!;
      return (value - less[place]!) * by[place]!;
    });
    if (values.some(Number.isNaN)) throw scope.malformed('the blocks of the weights are not among those that have a factor');
    return new Uint8Array(values.buffer);
  });
}
