/** How weights are stored in the files of a TensorFlow.js model, and what its manifest says of each. */
import { isModelError, ModelError } from '../../errors.js';
import { type CastTally, castTensor, newCastTally } from '../../model/cast.js';
import { DTYPE_BYTES, type DType } from '../../model/dtype.js';
import type { Layer, LayerMap, Notice } from '../../model/layer-map.js';
import { narrowForm, unwidened } from '../../model/narrow-form.js';
import { type AffineQuantisation, affineFor, quantiseAffine, tensorRange } from '../../model/quantise.js';
import { type Tensor, withStage } from '../../model/tensor.js';
import { castNotices, keptCodesNotice, widenedNotice } from '../cast-weights.js';
import type { WriteOptions } from '../writer.js';
import type { NamedWeight } from './layers-target.js';
import { type LossTally, measuringLoss, newLossTally } from './loss.js';
import type { FileWeight } from './target.js';

const SOURCE_DTYPES: ReadonlySet<DType> = new Set(['float32', 'float16', 'bfloat16', 'float64']);

/** From this loss on (root mean square, relative to the weight's own) the finer form is recommended. */
const COARSE = 0.02;

/** An entry of `weights` in the manifest. */
export interface ManifestEntry {
  readonly name: string;
  readonly shape: readonly number[];
  /** As TensorFlow.js computes with it. */
  readonly dtype: 'float32' | 'int32';
  /** How it is stored, where that is another dtype. */
  readonly quantization?: { readonly dtype: string; readonly min?: number; readonly scale?: number; readonly original_dtype: 'float32' };
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
    Object.entries(layer.weights).flatMap(([role, tensor]) => {
      const isNumber = layer.op === 'Constant' && /^u?int|^bool$/.test(tensor.dtype);
      return isNumber || SOURCE_DTYPES.has(tensor.dtype) ? [] : [dtypeObstacle(layer, role, tensor)];
    }),
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
function storageDType({ source, kind }: FileWeight, tensor: Tensor, wanted: WriteOptions['dtype']): DType {
  // Axes and sizes of the file's own; whole numbers of the map are computed with in float32.
  if (tensor.dtype === 'int32' && source === null) return 'int32';
  if (wanted === 'uint8' || wanted === 'uint16') return kind === 'kernel' ? wanted : 'float32';
  if (wanted === 'float16') return kind === 'other' ? 'float32' : 'float16';
  return wanted === 'source' && tensor.dtype === 'float16' ? 'float16' : 'float32';
}

/**
 * Puts the weights into the dtypes that are stored. Nothing is read yet but the ranges of those that become whole numbers.
 *
 * @throws ModelError 'unsupported' naming every weight with values that whole numbers cannot hold
 */
export async function storeWeights(named: readonly NamedWeight[], { dtype: wanted }: Pick<WriteOptions, 'dtype'>): Promise<StoredWeights> {
  const casts: { weight: FileWeight; dtype: DType; tally: CastTally }[] = [];
  const losses: { weight: FileWeight; tally: LossTally }[] = [];
  const ranges = new Map<Tensor, AffineQuantisation>();
  const weights: StoredWeight[] = [];
  const kept: Tensor[] = [];
  const plain: { source: Tensor; stored: DType }[] = [];
  for (const { name, weight } of named) {
    const own = unwidened(weight.tensor);
    const dtype = storageDType(weight, own, wanted);
    const coded = ownCodes(weight.tensor);
    if (coded && (wanted === 'source' || (wanted === coded.quantisation.dtype && weight.kind === 'kernel'))) {
      const { dtype: stored, min, scale } = coded.quantisation;
      kept.push(coded.tensor);
      const quantization = { dtype: stored, min, scale, original_dtype: 'float32' as const };
      weights.push({ tensor: coded.tensor, entry: { name, shape: weight.tensor.shape, dtype: 'float32', quantization } });
      continue;
    }
    const entry = { name, shape: weight.tensor.shape, dtype: dtype === 'int32' ? ('int32' as const) : ('float32' as const) };
    if (dtype === 'uint8' || dtype === 'uint16') {
      // Parts of one weight share its range, so that it can be put together again.
      const whole = weight.source ?? weight.tensor;
      const quantisation = ranges.get(whole) ?? (await affineOf(whole, dtype, weight.layer));
      ranges.set(whole, quantisation);
      const tally = newLossTally();
      losses.push({ weight, tally });
      const { min, scale } = quantisation;
      weights.push({
        tensor: measuringLoss(quantiseAffine(weight.tensor, quantisation), quantisation, tally),
        entry: { ...entry, quantization: { dtype, min, scale, original_dtype: 'float32' } },
      });
      continue;
    }
    const tally = newCastTally();
    plain.push({ source: weight.tensor, stored: dtype });
    if (dtype !== own.dtype) casts.push({ weight, dtype, tally });
    const tensor = castTensor(own, dtype, tally);
    weights.push({ tensor, entry: dtype === 'float16' ? { ...entry, quantization: { dtype: 'float16', original_dtype: 'float32' } } : entry });
  }
  return {
    weights,
    notices: () => [
      ...keptCodesNotice(kept),
      ...(wanted === 'source' ? widenedNotice(plain) : []),
      ...narrowedNotice(casts, wanted),
      ...casts.flatMap(({ weight, dtype, tally }) => castNotices(weight.tensor.name, tally, dtype).map((notice) => ({ ...notice, layer: weight.layer }))),
      ...(wanted === 'uint8' ? coarseNotice(losses) : []),
    ],
  };
}

/**
 * The codes of a weight that its source has in integers with one scale for all, in the integers that TensorFlow.js has: signed ones are
 * counted from their smallest.
 */
function ownCodes(tensor: Tensor): { readonly tensor: Tensor; readonly quantisation: AffineQuantisation } | null {
  const form = narrowForm(tensor);
  if (!form?.codes) return null;
  const { stored, codes } = form;
  if (codes.kind === 'blocks' || codes.kind === 'palette' || (codes.kind === 'channels' && codes.axis !== null)) return null;
  const dtype = UNSIGNED[stored.dtype];
  if (!dtype) return null;
  const shift = stored.dtype === dtype ? 0 : 2 ** (8 * DTYPE_BYTES[dtype] - 1);
  const scale = codes.kind === 'affine' ? codes.scale : codes.scales[0]!;
  const min = codes.kind === 'affine' ? codes.min : 0 - ((codes.zeroPoints?.[0] ?? 0) + shift) * scale;
  return { tensor: shift === 0 ? stored : fromSigned(stored, dtype), quantisation: { dtype, scale, min } };
}

const UNSIGNED: Readonly<Partial<Record<DType, AffineQuantisation['dtype']>>> = { uint8: 'uint8', int8: 'uint8', uint16: 'uint16', int16: 'uint16' };

/** Counts from the smallest signed integer: the highest bit changes. */
function fromSigned(tensor: Tensor, dtype: AffineQuantisation['dtype']): Tensor {
  const unit = DTYPE_BYTES[dtype];
  return withStage(tensor, {
    dtype,
    apply(input) {
      const codes = input.slice();
      for (let i = unit - 1; i < codes.length; i += unit) codes[i]! ^= 0x80;
      return codes;
    },
  });
}

async function affineOf(tensor: Tensor, dtype: AffineQuantisation['dtype'], layer: string): Promise<AffineQuantisation> {
  try {
    return affineFor(await tensorRange(tensor), dtype);
  } catch (error) {
    throw isModelError(error) ? error.at({ layer }) : error;
  }
}

function narrowedNotice(casts: readonly { weight: FileWeight; dtype: DType }[], wanted: WriteOptions['dtype']): Notice[] {
  const wide = casts.filter(({ weight, dtype }) => weight.tensor.dtype === 'float64' && dtype === 'float32');
  if (wanted !== 'source' || wide.length === 0) return [];
  return [{ code: 'narrowed', message: `${wide.length} weights are float64 and were stored as float32, in which TensorFlow.js computes` }];
}

function coarseNotice(losses: readonly { weight: FileWeight; tally: LossTally }[]): Notice[] {
  const relative = ({ tally }: { tally: LossTally }) => (tally.energy > 0 ? Math.sqrt(tally.loss / tally.energy) : 0);
  const coarse = losses.filter((loss) => relative(loss) > COARSE);
  if (coarse.length === 0) return [];
  const worst = coarse.reduce((a, b) => (relative(b) > relative(a) ? b : a));
  const percent = (value: number) => `${(100 * value).toPrecision(2)} %`;
  const message =
    `${coarse.length} of ${losses.length} weights lose more than ${percent(COARSE)} of their size in uint8, which has one scale for a whole weight here ` +
    `(the most: ${worst.weight.tensor.name}, ${percent(relative(worst))}); --dtype uint16 loses a 257th of that`;
  return [{ code: 'coarse-quantisation', message, layer: worst.weight.layer }];
}
