/**
 * The weights that a manifest describes: groups of files, in which the weights lie one behind the other in the manifest's order.
 *
 * @see https://github.com/tensorflow/tfjs/blob/master/tfjs-core/src/io/io_utils.ts, decodeWeights
 */

import { type ByteSource, sliceSource } from '../../bytes/byte-source.js';
import type { FileSet } from '../../bytes/file-set.js';
import { joinFiles } from '../../bytes/joined-source.js';
import { ModelError } from '../../errors.js';
import { DTYPE_BYTES, type DType } from '../../model/dtype.js';
import type { Notice } from '../../model/layer-map.js';
import { type AffineQuantisation, dequantiseAffine } from '../../model/quantise.js';
import { elementCount, storedTensor, type Tensor, withStage } from '../../model/tensor.js';
import { isObject, type Json, type ModelJson } from './model-json.js';

export interface ManifestWeight {
  /** As the file has it: its codes, where it is quantised. */
  readonly stored: Tensor;
  /** Null where the values are stored as they are; a half-precision weight is. */
  readonly quantisation: AffineQuantisation | null;
  /** The values that TensorFlow.js loads. */
  readonly tensor: Tensor;
}

export interface ManifestWeights {
  readonly weights: readonly ManifestWeight[];
  /** Names of the shards, each once. */
  readonly files: readonly string[];
  readonly warnings: readonly Notice[];
}

/** Manifest dtypes, and the bytes of an element. */
const DTYPES: Readonly<Record<string, DType>> = { float32: 'float32', int32: 'int32', bool: 'bool', complex64: 'complex64' };
const CODES = ['uint8', 'uint16', 'float16'] as const;
type Code = (typeof CODES)[number];
/** What the manifest may say of a weight, and of how it is stored; `group` sets apart what belongs to an optimiser. */
const SETTINGS: ReadonlySet<string> = new Set(['name', 'shape', 'dtype', 'group', 'quantization']);
const STORED_SETTINGS: ReadonlySet<string> = new Set(['dtype', 'scale', 'min', 'original_dtype']);
/** A string tensor's elements have their length before them. */
const STRING_LENGTH_BYTES = 4;
/** Strings are found by walking over them; the vocabularies that graphs carry have some ten thousand. */
const MAX_STRINGS = 2 ** 20;
/** Far more axes than TensorFlow.js computes with. */
const MAX_RANK = 32;

/**
 * Reads the manifest against the sizes of its files; no weight.
 *
 * @throws ModelError 'malformed' where it contradicts itself or its files, 'unsupported' for dtypes that TensorFlow.js does not have
 */
export async function readManifest(files: FileSet, { file, manifest }: ModelJson): Promise<ManifestWeights> {
  const weights: ManifestWeight[] = [];
  const names = new Set<string>();
  const shards = new Set<string>();
  const warnings: Notice[] = [];
  let ofOptimizer = 0;
  for (const [i, group] of manifest.entries()) {
    const { paths, weights: entries } = isObject(group) ? group : ({} as Json);
    if (!Array.isArray(paths) || !paths.every((path) => typeof path === 'string') || !Array.isArray(entries))
      throw new ModelError('malformed', `group ${i} of the weightsManifest has no lists of paths and weights`, { file });
    for (const path of paths) {
      if (shards.has(path)) throw new ModelError('malformed', `the file ${JSON.stringify(path)} stands in the weightsManifest twice`, { file });
      shards.add(path);
    }
    const source = await joinFiles(files, paths, paths.length === 1 ? paths[0]! : `${paths[0] ?? file} and ${paths.length - 1} more`);
    let at = 0;
    for (const entry of entries) {
      const spec = parseEntry(entry, i, file);
      if (names.has(spec.name)) throw new ModelError('malformed', 'stands in the weightsManifest twice', { file, tensor: spec.name });
      names.add(spec.name);
      const byteLength = spec.dtype === 'string' ? await stringBytes(source, at, spec, file) : byteLengthOf(spec, file);
      if (byteLength > source.byteLength - at) {
        const shape = `shape [${spec.shape}] of ${spec.code ?? spec.dtype} takes ${byteLength} bytes`;
        const problem = `${shape} from byte ${at} on, but the files of group ${i} (${summary(paths)}) end at byte ${source.byteLength}. Is one cut short?`;
        throw new ModelError('malformed', problem, { file, tensor: spec.name });
      }
      if (spec.dtype === 'string') warnings.push({ code: 'not-listed', message: `${spec.name} holds strings, which are no weights, and is not listed` });
      else if (spec.isOptimizers) ofOptimizer++;
      else weights.push(openWeight(spec, spec.dtype, sliceSource(source, at, at + byteLength), { file: placeName(paths, file), offset: at }));
      at += byteLength;
    }
    if (at !== source.byteLength) {
      const problem = `the files of group ${i} (${summary(paths)}) hold ${source.byteLength} bytes, but its weights take ${at}. Do they belong together?`;
      throw new ModelError('malformed', problem, { file });
    }
  }
  if (ofOptimizer > 0)
    warnings.push({ code: 'checkpoint-part-ignored', message: `${ofOptimizer} weights are the optimizer's, for training alone, and were left out` });
  return { weights, files: [...shards], warnings };
}

interface WeightSpec {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: DType | 'string';
  /** What is stored instead. */
  readonly code: Code | null;
  readonly scale: number;
  readonly min: number;
  /** Whether it is there to go on training with. */
  readonly isOptimizers: boolean;
}

function parseEntry(entry: unknown, group: number, file: string): WeightSpec {
  const json = isObject(entry) ? entry : ({} as Json);
  const { name, shape, dtype, group: kind, quantization } = json;
  if (typeof name !== 'string' || name === '') throw new ModelError('malformed', `a weight of group ${group} has no name`, { file });
  const place = { file, tensor: name };
  checkSettings(json, SETTINGS, place);
  if (kind !== undefined && kind !== 'model' && kind !== 'optimizer')
    throw new ModelError('unsupported', `it is of the group ${JSON.stringify(kind).slice(0, 40)}; TensorFlow.js has model and optimizer`, place);
  const isOptimizers = kind === 'optimizer';
  if (!Array.isArray(shape) || shape.length > MAX_RANK || !shape.every((size) => Number.isSafeInteger(size) && size >= 0))
    throw new ModelError('malformed', `its shape is ${JSON.stringify(shape)?.slice(0, 80) ?? 'missing'}, expected a list of sizes`, place);
  const known = dtype === 'string' ? 'string' : typeof dtype === 'string' && Object.hasOwn(DTYPES, dtype) ? DTYPES[dtype]! : null;
  if (known === null)
    throw new ModelError(
      'unsupported',
      `its dtype is ${JSON.stringify(dtype)?.slice(0, 40) ?? 'missing'}; TensorFlow.js has ${Object.keys(DTYPES).join(', ')}`,
      place,
    );
  if (quantization === undefined || quantization === null) return { name, shape, dtype: known, code: null, scale: 1, min: 0, isOptimizers };
  const how = isObject(quantization) ? quantization : ({} as Json);
  checkSettings(how, STORED_SETTINGS, place);
  const { dtype: stored, scale, min } = how;
  const code = CODES.find((candidate) => candidate === stored);
  if (!code)
    throw new ModelError(
      'unsupported',
      `it is quantised as ${JSON.stringify(stored)?.slice(0, 40) ?? 'nothing'}; TensorFlow.js has ${CODES.join(', ')}`,
      place,
    );
  if (code === 'float16') {
    if (known !== 'float32') throw new ModelError('malformed', `a ${known} weight is stored in float16, which only float32 weights are`, place);
    return { name, shape, dtype: known, code, scale: 1, min: 0, isOptimizers };
  }
  if (known !== 'float32' && known !== 'int32') throw new ModelError('malformed', `a ${known} weight is quantised as ${code}`, place);
  if (typeof scale !== 'number' || typeof min !== 'number') throw new ModelError('malformed', `it is quantised as ${code} without scale and min`, place);
  return { name, shape, dtype: known, code, scale, min, isOptimizers };
}

/** What TensorFlow.js would pass over may still have been done to the bytes. */
function checkSettings(json: Json, known: ReadonlySet<string>, place: { file: string; tensor: string }): void {
  const [name, value] = Object.entries(json).find(([key]) => !known.has(key)) ?? [];
  if (name === undefined) return;
  throw new ModelError(
    'unsupported',
    `the weightsManifest says something of it that is not known: ${JSON.stringify(name)} is ${JSON.stringify(value)?.slice(0, 40)}`,
    place,
  );
}

function byteLengthOf({ name, shape, dtype, code }: WeightSpec, file: string): number {
  const byteLength = elementCount(shape) * DTYPE_BYTES[code ?? (dtype as DType)];
  if (Number.isSafeInteger(byteLength)) return byteLength;
  throw new ModelError('malformed', `shape [${shape}] overflows`, { file, tensor: name });
}

/** Bytes of a tensor of strings, each with its length before it. */
async function stringBytes(source: ByteSource, start: number, { name, shape }: WeightSpec, file: string): Promise<number> {
  const count = elementCount(shape);
  if (count > MAX_STRINGS) throw new ModelError('unsafe', `it has ${count} strings; up to ${MAX_STRINGS} are walked over`, { file, tensor: name });
  let at = start;
  for (let i = 0; i < count; i++) {
    if (at + STRING_LENGTH_BYTES > source.byteLength) throw new ModelError('malformed', 'its strings reach beyond the end of the file', { file, tensor: name });
    const head = await source.read(at, at + STRING_LENGTH_BYTES);
    at += STRING_LENGTH_BYTES + new DataView(head.buffer, head.byteOffset).getUint32(0, true);
  }
  return at - start;
}

function openWeight({ name, shape, code, scale, min }: WeightSpec, dtype: DType, source: ByteSource, place: { file: string; offset: number }): ManifestWeight {
  const stored = storedTensor({ name, dtype: code ?? dtype, shape, source, origin: { ...place, name } });
  if (code === null || code === 'float16') return { stored, quantisation: null, tensor: stored };
  const quantisation: AffineQuantisation = { dtype: code, scale, min };
  const tensor = dequantiseAffine(stored, quantisation);
  return { stored, quantisation, tensor: dtype === 'int32' ? rounded(tensor) : tensor };
}

/** Whole numbers are quantised too, in graphs. */
function rounded(tensor: Tensor): Tensor {
  return withStage(tensor, {
    dtype: 'int32',
    apply(input) {
      const values = Int32Array.from(new Float32Array(input.buffer, input.byteOffset, input.byteLength / 4), Math.round);
      return new Uint8Array(values.buffer);
    },
  });
}

function summary(paths: readonly string[]): string {
  return paths.length > 3 ? `${paths[0]} ... ${paths.at(-1)}` : paths.join(', ');
}

function placeName(paths: readonly string[], file: string): string {
  return paths.length === 0 ? file : summary(paths);
}
