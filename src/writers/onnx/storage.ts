/**
 * Which dtype each weight is stored in, and which one the graph computes in.
 *
 * ONNX operators want all their operands of one dtype. So the graph computes in float32, whatever the weights are stored in, and
 * narrower weights pass a `Cast` (which runtimes fold when they load the file); `float16Compute` makes the whole graph float16, but for the
 * statistics of normalisations.
 *
 * What `--dtype float16` and `bfloat16` narrow are the kernels and biases of convolutions and dense layers and the tables of embeddings, where the bytes are.
 * Normalisation statistics, slopes and constant operands stay float32: they are small, and a variance easily leaves float16's range.
 * `--dtype int8` takes the kernels and tables alone; each output channel has a scale, and a `DequantizeLinear` stands behind it.
 * Where no dtype is asked for, weights that the source has in a narrower one, integer codes included, stay in it.
 */
import { ModelError } from '../../errors.js';
import type { DType } from '../../model/dtype.js';
import type { Layer } from '../../model/layer-map.js';
import { type NarrowForm, narrowForm, unwidened } from '../../model/narrow-form.js';
import { elementBits } from '../../model/packing.js';
import type { Tensor } from '../../model/tensor.js';
import { channelAxis, isLargeLayer } from '../large-weights.js';
import { ONNX } from '../targets.js';
import type { WriteOptions } from '../writer.js';

const SOURCE_DTYPES: ReadonlySet<DType> = new Set(['float32', 'float16', 'bfloat16', 'float64']);

export function computeDType(options: WriteOptions): DType {
  return options.float16Compute ? 'float16' : 'float32';
}

/**
 * dtype of a weight in the file; float64 is stored as float32 where nothing computes in it.
 *
 * @param computed what the layer computes in
 */
export function storageDType(layer: Layer, role: string, options: WriteOptions, computed: DType = 'float32'): DType {
  if (options.float16Compute) return computed;
  const own = unwidened(layer.weights[role]!).dtype;
  if (options.dtype === 'source') return own === 'float64' ? computed : own;
  if (options.dtype === 'int8') return channelAxis(layer, role) === null ? computed : 'int8';
  return isLargeLayer(layer) ? options.dtype : computed;
}

/** The opset from which BatchNormalization takes its mean and variance in another dtype than what flows through. */
const APART_SINCE = 14;
const STATISTICS: ReadonlySet<string> = new Set(['mean', 'variance']);

/**
 * What a weight is computed with, where the layer computes in the given dtype: variances of pixels are beyond float16, those of small
 * features below it, and ONNX lets statistics stay as they are.
 */
export function weightDType(layer: Layer, role: string, computed: DType, opset: number): DType {
  return layer.op === 'BatchNormalization' && STATISTICS.has(role) && computed === 'float16' && opset >= APART_SINCE ? 'float32' : computed;
}

/** From this opset on DequantizeLinear takes 16-bit codes. */
export const WIDE_CODES_SINCE = 21;
const WIDE_CODES: ReadonlySet<DType> = new Set(['int16', 'uint16']);

/** Codes with their scale; `codes` of the form are never null. */
export type Coded = NarrowForm & { readonly codes: NonNullable<NarrowForm['codes']> };

/** The integers that a weight is in its source, where the file is to have them; null where it is stored otherwise. */
export function keptCodes(weight: Tensor, options: WriteOptions, opset: number): Coded | null {
  if (options.dtype !== 'source' || options.float16Compute) return null;
  const form = narrowForm(weight);
  if (!form?.codes) return null;
  // Without the operator one scale for all can be said in arithmetic, one for each channel not as shortly.
  const isTold =
    form.codes.kind === 'affine' ||
    form.codes.kind === 'palette' ||
    (hasDequantize(form.stored.dtype, opset) && (form.codes.kind === 'channels' || opset >= BLOCKS_SINCE));
  return isTold ? { ...form, codes: form.codes } : null;
}

/** From this opset on DequantizeLinear has blocks, and codes of 4 bits. */
export const BLOCKS_SINCE = 21;

/** Whether a weight's codes go two to a byte, or have a scale for each block. */
export function wantsBlocks(weight: Tensor): boolean {
  const form = narrowForm(weight);
  return form?.codes?.kind === 'blocks' || ((form?.codes?.kind === 'channels' || form?.codes?.kind === 'palette') && elementBits(form.stored) === 4);
}

export function hasDequantize(dtype: DType, opset: number): boolean {
  return opset >= WIDE_CODES_SINCE || !WIDE_CODES.has(dtype);
}

/** Why a weight cannot be stored, or null. */
export function storageObstacle(layer: Layer, role: string, tensor: Tensor): ModelError | null {
  if (layer.op === 'Constant' ? !tensor.dtype.startsWith('complex') : SOURCE_DTYPES.has(tensor.dtype)) return null;
  return new ModelError('unsupported', `${role} is ${tensor.dtype}; ONNX files are written from ${[...SOURCE_DTYPES].join(', ')}`, {
    layer: layer.name,
    tensor: tensor.name,
    file: tensor.origin.file,
  });
}

/** What is wrong with the options, or null. */
export function optionsObstacle(options: WriteOptions): ModelError | null {
  if (options.dtype !== 'source' && !ONNX.dtypes.includes(options.dtype)) {
    return new ModelError('usage', `ONNX files are not written in ${options.dtype}. Possible: ${ONNX.dtypes.join(', ')}.`);
  }
  if (options.float16Compute && options.dtype !== 'source' && options.dtype !== 'float16') {
    return new ModelError('usage', `a model that computes in float16 is stored in float16, not ${options.dtype}`);
  }
  return null;
}
