/** `inspect`: a model as a document. */
import type { FileSet } from './bytes/file-set.js';
import { isModelError } from './errors.js';
import { LABELS_KEY, type Labels } from './model/labels.js';
import type { Dim, Foreign, Layer, LayerMap, ModelFile, Notice, Port } from './model/layer-map.js';
import { oddities } from './model/odd-weights.js';
import { packedByteLength, storedDType } from './model/packing.js';
import { portValueShape } from './model/ports.js';
import { floatStatistics, type Hasher, type TensorStatistics } from './model/statistics.js';
import { elementCount, type Tensor, tensorByteLength } from './model/tensor.js';
import { describeWeight, type WeightDocument } from './model/weight-document.js';
import { type OpenOptions, openModel } from './readers/open.js';

export interface TensorDocument extends Partial<TensorStatistics> {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly byteLength: number;
  readonly layer: string | null;
  /** Kept beside the model in a checkpoint (optimiser state); not counted as a parameter. */
  readonly beside?: true;
  /** Of the little-endian row-major bytes, hexadecimal. */
  readonly sha256?: string;
}

export interface LayerDocument extends Omit<Layer, 'weights' | 'foreign'> {
  /** Channels-first, as the layer map has it, null for an output that nothing reads; absent where sizes are not known. */
  readonly outputShapes?: readonly (readonly Dim[] | null)[];
  /** Where the operator is outside of the vocabulary. */
  readonly foreign?: Pick<Foreign, 'format' | 'domain' | 'op' | 'reason'>;
  readonly weights: Readonly<Record<string, WeightDocument & { readonly dtype: string }>>;
  readonly parameterCount: number;
  readonly byteLength: number;
}

/** What `inspect --json` prints; `schemas/layer-map.schema.json` describes it. */
export interface ModelDocument {
  readonly schema: 'weighbridge/layer-map@1';
  readonly format: string;
  readonly producer: string | null;
  readonly details: Readonly<Record<string, string>>;
  /** Names of the classes, and who says so. */
  readonly labels?: Labels;
  readonly architecture: LayerMap['architecture'];
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  readonly layers: readonly LayerDocument[];
  /** Names of tensors that the net does not use and its own class has. */
  readonly beside?: readonly string[];
  readonly tensors: readonly TensorDocument[];
  readonly parameterCount: number;
  readonly byteLength: number;
  readonly warnings: readonly Notice[];
}

export interface InspectOptions extends OpenOptions {
  /** Read every weight: statistics and sha256. */
  readonly weights?: boolean;
  /** Makes an incremental SHA-256; without it no hashes are given. */
  readonly createHasher?: () => Hasher;
  readonly onProgress?: (bytesDone: number, bytesTotal: number) => void;
}

/**
 * Describes a model: format, producer, architecture, layers, tensors, and what is odd about the file.
 *
 * Where the wiring is not in the file, or has layers without a translation, `layers` is empty and a warning says why.
 *
 * @throws ModelError for a file that cannot be read, or whose wiring and weights disagree
 */
export async function inspect(files: FileSet, options: InspectOptions = {}): Promise<ModelDocument> {
  const { inputShape, ...rest } = options;
  try {
    return await describeModel(await openModel(files, options), rest);
  } catch (error) {
    // A shape that does not fit is no reason to show nothing; what is wrong without it, too, is thrown.
    if (!inputShape || !isModelError(error)) throw error;
    const document = await describeModel(await openModel(files, rest), rest);
    const message = `with the input shape [${inputShape}] the model cannot be read, and it is shown without: ${error.message}`;
    return { ...document, warnings: [...document.warnings, { code: 'input-shape', message }] };
  }
}

export async function describeModel(model: ModelFile, options: InspectOptions = {}): Promise<ModelDocument> {
  const warnings = [...model.warnings];
  const map = await tryMap(model, warnings);
  const own = model.tensors.filter(({ beside }) => !beside);
  const byteLength = own.reduce((sum, { tensor }) => sum + packedByteLength(tensor), 0);
  const roles = new Map((map?.layers ?? []).flatMap(({ weights }) => Object.entries(weights).map(([role, { name }]) => [name, role] as const)));
  const tensors: TensorDocument[] = [];
  let bytesDone = 0;
  for (const { tensor, layer, beside } of model.tensors) {
    const document = {
      name: tensor.name,
      dtype: storedDType(tensor),
      shape: tensor.shape,
      byteLength: packedByteLength(tensor),
      layer,
      ...(beside ? { beside } : {}),
    };
    if (!options.weights) {
      tensors.push(document);
      continue;
    }
    const hasher = options.createHasher?.();
    const statistics = await floatStatistics(tensor, hasher);
    tensors.push({ ...document, ...statistics, ...(hasher ? { sha256: hasher.digest() } : {}) });
    const isZero = statistics.zeros > 0 && statistics.zeros === elementCount(tensor.shape);
    const isNegative = statistics.min !== null && statistics.min < 0;
    const odd = oddities(tensor.name, { nonFinite: statistics.nonFinite, isZero, isNegative }, roles.get(tensor.name) ?? null);
    warnings.push(...odd.map((notice) => ({ ...notice, layer: layer ?? undefined })));
    bytesDone += document.byteLength;
    options.onProgress?.(bytesDone, byteLength);
  }
  return {
    schema: 'weighbridge/layer-map@1',
    format: model.format,
    producer: model.producer,
    details: Object.fromEntries(Object.entries(model.details).filter(([key]) => key !== LABELS_KEY)),
    ...(model.labels ? { labels: model.labels } : {}),
    architecture: map?.architecture ?? null,
    inputs: map?.inputs ?? [],
    outputs: map?.outputs ?? [],
    layers: map ? await describeLayers(map) : [],
    ...(map?.beside ? { beside: map.beside.map(({ name }) => name) } : {}),
    tensors,
    parameterCount: own.reduce((sum, { tensor }) => sum + elementCount(tensor.shape), 0),
    byteLength,
    warnings,
  };
}

/** Its attributes are bytes that only its own format's writer knows. */
function describeForeign({ format, domain, op, reason }: Foreign): LayerDocument['foreign'] {
  return { format, domain, op, reason };
}

async function tryMap(model: ModelFile, warnings: Notice[]): Promise<LayerMap | null> {
  try {
    const map = await model.map();
    warnings.push(...map.warnings);
    return map;
  } catch (error) {
    if (!isModelError(error, 'unsupported')) throw error;
    warnings.push({ code: 'no-layer-map', message: error.message });
    return null;
  }
}

async function describeLayers(map: LayerMap): Promise<LayerDocument[]> {
  const { inferShapes } = await import('./model/ops/index.js');
  const shapes = inferShapes(map.layers, new Map(map.inputs.map((port) => [port.value, portValueShape(port)])));
  return map.layers.map(({ weights, foreign, ...layer }) => ({
    ...layer,
    outputShapes: layer.outputs.map((value) => (value === '' ? null : shapes.get(value)!)),
    ...(foreign ? { foreign: describeForeign(foreign) } : {}),
    weights: Object.fromEntries(Object.entries(weights).map(([role, tensor]) => [role, documentOf(tensor)])),
    parameterCount: sumWeights(weights, (tensor) => elementCount(tensor.shape)),
    byteLength: sumWeights(weights, tensorByteLength),
  }));
}

/** Numbers that stand in a file have their name there. */
function documentOf(tensor: Tensor): LayerDocument['weights'][string] {
  const { values, ...described } = describeWeight(tensor);
  return { ...described, ...(values && tensor.origin.name === undefined ? { values } : {}), dtype: tensor.dtype };
}

function sumWeights(weights: Layer['weights'], measure: (tensor: Tensor) => number): number {
  return Object.values(weights).reduce((sum, tensor) => sum + measure(tensor), 0);
}
