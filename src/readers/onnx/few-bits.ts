/**
 * Weights of few bits as ONNX Runtime's own operators have them, several codes in a byte and a scale for each block: as the weights that they stand for.
 *
 * @see https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md, MatMulNBits and GatherBlockQuantized
 */
import { dequantiseBlocks } from '../../model/block-codes.js';
import type { Value } from '../../model/builder.js';
import { castTensor, toFloat32Array } from '../../model/cast.js';
import { elementBits, unpackedSource, withBits } from '../../model/packing.js';
import { elementCount, rowMajorStrides, sliceAxis, storedTensor, type Tensor, tensorBytes } from '../../model/tensor.js';
import { NotUnderstood } from './by-table.js';
import { type Node, numberOf, type Rule } from './translator.js';

/** How a runtime may compute, and no part of what is computed. */
const HINTS: readonly string[] = ['accuracy_level'];
const BITS: ReadonlySet<number> = new Set([2, 4, 8]);

const unknown = ({ attributes, inputs }: Node, known: readonly string[]): NotUnderstood | null => {
  if (![0, 1, 2].every((i) => inputs[i])) return new NotUnderstood('it lacks an input');
  const name = [...attributes.keys()].find((one) => !known.includes(one) && !HINTS.includes(one));
  return name === undefined ? null : new NotUnderstood(`its ${name} is not known`);
};

/** Bytes of codes, the first in the lowest bits, as one code to an element; null where they are not bytes as the file has them. */
function unpacked(codes: Tensor, bits: number, shape: readonly number[]): Tensor | null {
  const { walk, dtype } = codes;
  const strides = rowMajorStrides(codes.shape);
  const isPlain = codes.stages.length === 0 && walk.offset === 0 && walk.axes.every((loops, axis) => loops.length === 1 && loops[0]!.stride === strides[axis]);
  if (dtype !== 'uint8' || !isPlain || elementCount(codes.shape) * (8 / bits) !== elementCount(shape)) return null;
  const source = bits === 8 ? walk.source : unpackedSource(walk.source, elementCount(shape), bits, false);
  const tensor = storedTensor({ name: codes.name, dtype, shape, source, origin: { file: codes.origin.file, name: codes.name } });
  return bits === 8 ? tensor : withBits(tensor, bits);
}

/** Codes as the weight that they stand for: one scale for each `size` neighbours along an axis, and one zero where they have them. */
async function weightOf(codes: Tensor, axis: number, size: number, scale: Tensor, zeros: ArrayLike<number> | null): Promise<Tensor | null> {
  const shape = codes.shape.with(axis, (codes.shape[axis] ?? 0) / size);
  if (elementCount(scale.shape) !== elementCount(shape) || (zeros && zeros.length !== elementCount(shape))) return null;
  if (scale.dtype !== 'float32' && scale.dtype !== 'float16') return null;
  const scales = toFloat32Array(await tensorBytes(scale), scale.dtype);
  const made = dequantiseBlocks(codes, { axis, size, shape, scales, ...(zeros ? { zeroPoints: zeros } : {}) });
  return scale.dtype === 'float16' ? castTensor(made, 'float16') : made;
}

/** A X + bias, X[k, n] being the code k of row n with the scale of its block. */
const matMulNBits: Rule = async (node, t) => {
  const wrong = unknown(node, ['K', 'N', 'bits', 'block_size']);
  if (wrong) return wrong;
  const [x, { constant: packed }, { constant: scale }, zero = null, order = null, bias = null] = node.inputs as [Value, Value, Value, ...(Value | null)[]];
  const [rows, columns, bits, size] = ['K', 'N', 'bits', 'block_size'].map((name) => numberOf(node, name, name === 'bits' ? 4 : 0)) as [
    number,
    number,
    number,
    number,
  ];
  if (!packed || !scale || (zero && !zero.constant)) return new NotUnderstood('its weights are known only when the model runs');
  if (order) return new NotUnderstood('its rows are in another order');
  if (!BITS.has(bits) || size < 1 || rows < 1) return new NotUnderstood(`its codes have ${bits} bits, in blocks of ${size}`);
  const blocks = Math.ceil(rows / size);
  const codes = unpacked(packed, bits, [columns, blocks * size]);
  if (!codes) return new NotUnderstood('its codes are not as many as it says');
  // Without zeros of their own, the middle of the codes is zero.
  const zeros = zero ? await zerosOf(zero.constant!, bits, columns, blocks) : new Uint8Array(columns * blocks).fill(2 ** (bits - 1));
  const whole = zeros && (await weightOf(codes, 1, size, scale, zeros));
  if (!whole) return new NotUnderstood('its codes, scales and zeros do not fit each other');
  const matrix = t.turned(rows === blocks * size ? whole : sliceAxis(whole, 1, 0, rows));
  const kernel = t.build.constant({ ...matrix, name: packed.name });
  if (!bias) return [t.add(node, 'MatMul', [x, kernel])];
  return [t.add(node, 'Add', [t.add(node, 'MatMul', [x, kernel], {}, 'product'), bias])];
};

/** A zero for each block, packed anew for each row; null for zeros that are no codes. */
async function zerosOf(zero: Tensor, bits: number, rows: number, blocks: number): Promise<Uint8Array | null> {
  const stride = Math.ceil((blocks * bits) / 8);
  if (zero.dtype !== 'uint8' || elementCount(zero.shape) !== rows * stride) return null;
  const bytes = await tensorBytes(zero);
  return Uint8Array.from({ length: rows * blocks }, (_, i) => {
    const at = (i % blocks) * bits;
    return (bytes[Math.floor(i / blocks) * stride + Math.floor(at / 8)]! >> (at % 8)) & (2 ** bits - 1);
  });
}

/** Rows of a table of codes. */
const gatherBlockQuantized: Rule = async (node, t) => {
  const wrong = unknown(node, ['bits', 'block_size', 'gather_axis', 'quantize_axis']);
  if (wrong) return wrong;
  const [{ constant: stored }, indices, { constant: scale }, zero = null] = node.inputs as [Value, Value, Value, Value | null];
  if (!stored || !scale || (zero && !zero.constant)) return new NotUnderstood('its table is known only when the model runs');
  const [rank, bits, size] = [stored.shape.length, numberOf(node, 'bits', 4), numberOf(node, 'block_size', 128)];
  const place = (name: string, usual: number) => (numberOf(node, name, usual) + rank) % rank;
  const [axis, along] = [place('gather_axis', 0), place('quantize_axis', 1)];
  // Those of int4 and uint4 are said by their type; bytes hold several along the last axis, which the blocks have to lie along.
  const isTyped = elementBits(stored) < 8;
  if (!isTyped && (bits !== 8 || stored.dtype !== 'uint8')) return new NotUnderstood(`it has codes of ${bits} bits in ${stored.dtype}`);
  if (size < 1 || stored.shape[along]! % size !== 0) return new NotUnderstood(`its blocks of ${size} do not divide ${stored.shape[along]}`);
  const count = elementCount(stored.shape) / size;
  const zeros = zero ? Array.from(await tensorBytes(zero.constant!), (code) => (stored.dtype === 'int8' ? (code << 24) >> 24 : code)) : null;
  const usual = isTyped ? null : new Uint8Array(count).fill(2 ** (bits - 1));
  const table = await weightOf(stored, along, size, scale, zeros ?? usual);
  if (!table) return new NotUnderstood('its codes, scales and zeros do not fit each other');
  return [t.add(node, 'Gather', [t.build.constant({ ...table, name: stored.name }), indices], { axis })];
};

export const FEW_BITS: Readonly<Record<string, Rule>> = {
  'com.microsoft::MatMulNBits': matMulNBits,
  'com.microsoft::GatherBlockQuantized': gatherBlockQuantized,
};
