/** How weights are stored in the files of a TensorFlow.js model, and what its manifest says of each. */
import { ModelError } from '../../errors.js';
import { type CastTally, castTensor, newCastTally } from '../../model/cast.js';
import type { DType } from '../../model/dtype.js';
import type { Layer, LayerMap, Notice } from '../../model/layer-map.js';
import type { Tensor } from '../../model/tensor.js';
import { castNotices } from '../cast-weights.js';
import type { WriteOptions } from '../writer.js';
import type { NamedWeight } from './layers-target.js';
import type { FileWeight } from './target.js';

export const TFJS_DTYPES: readonly DType[] = ['float32', 'float16'];

const SOURCE_DTYPES: ReadonlySet<DType> = new Set(['float32', 'float16', 'bfloat16', 'float64']);

/** An entry of `weights` in the manifest. */
export interface ManifestEntry {
  readonly name: string;
  readonly shape: readonly number[];
  /** As TensorFlow.js computes with it. */
  readonly dtype: 'float32' | 'int32';
  /** How it is stored, where that is another dtype. */
  readonly quantization?: { readonly dtype: string; readonly min?: number; readonly scale?: number; readonly original_dtype: string };
}

export interface StoredWeight {
  readonly entry: ManifestEntry;
  /** The bytes of the file. */
  readonly tensor: Tensor;
}

export interface StoredWeights {
  readonly weights: readonly StoredWeight[];
  /** What was lost; complete once all weights were streamed. */
  notices(): Notice[];
}

/** Obstacles in the weights themselves. */
export function weightObstacles(map: LayerMap): ModelError[] {
  return map.layers.flatMap((layer) =>
    Object.entries(layer.weights).flatMap(([role, tensor]) => (SOURCE_DTYPES.has(tensor.dtype) ? [] : [dtypeObstacle(layer, role, tensor)])),
  );
}

function dtypeObstacle(layer: Layer, role: string, tensor: Tensor): ModelError {
  return new ModelError('unsupported', `${role} is ${tensor.dtype}; TensorFlow.js files are written from ${[...SOURCE_DTYPES].join(', ')}`, {
    layer: layer.name,
    tensor: tensor.name,
    file: tensor.origin.file,
  });
}

/** The dtype in which a weight is stored. TensorFlow.js computes in float32, so wider floats are narrowed, and it has no bfloat16. */
function storageDType({ tensor, kind }: FileWeight, wanted: WriteOptions['dtype']): DType {
  if (tensor.dtype === 'int32') return 'int32';
  if (wanted === 'float16') return kind === 'other' ? 'float32' : 'float16';
  return wanted === 'source' && tensor.dtype === 'float16' ? 'float16' : 'float32';
}

/** Puts the weights into the dtypes that are stored; nothing is read yet. */
export async function storeWeights(named: readonly NamedWeight[], { dtype: wanted }: Pick<WriteOptions, 'dtype'>): Promise<StoredWeights> {
  const tallies: { weight: FileWeight; dtype: DType; tally: CastTally }[] = [];
  const weights = named.map(({ name, weight }): StoredWeight => {
    const dtype = storageDType(weight, wanted);
    const tally = newCastTally();
    const tensor = castTensor(weight.tensor, dtype, tally);
    if (dtype !== weight.tensor.dtype) tallies.push({ weight, dtype, tally });
    const entry = { name, shape: weight.tensor.shape, dtype: dtype === 'int32' ? ('int32' as const) : ('float32' as const) };
    return { tensor, entry: dtype === 'float16' ? { ...entry, quantization: { dtype: 'float16', original_dtype: 'float32' } } : entry };
  });
  return {
    weights,
    notices: () => [
      ...narrowedNotice(tallies, wanted),
      ...tallies.flatMap(({ weight, dtype, tally }) => castNotices(weight.tensor.name, tally, dtype).map((notice) => ({ ...notice, layer: weight.layer }))),
    ],
  };
}

function narrowedNotice(tallies: readonly { weight: FileWeight; dtype: DType }[], wanted: WriteOptions['dtype']): Notice[] {
  const wide = tallies.filter(({ weight, dtype }) => weight.tensor.dtype === 'float64' && dtype === 'float32');
  if (wanted !== 'source' || wide.length === 0) return [];
  return [{ code: 'narrowed', message: `${wide.length} weights are float64 and were stored as float32, in which TensorFlow.js computes` }];
}
