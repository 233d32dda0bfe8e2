/**
 * Folds batch normalisation into the layer before it: a convolution, a transposed or depthwise one, or a dense layer, whose kernel then
 * has each output channel times scale / sqrt(variance + epsilon), and whose bias has the rest. Worked out in float64 and rounded once;
 * kernels are streamed. Factors and summands for each channel that follow (Caffe's Scale) are taken along.
 *
 * Only where nothing else reads what lies between. The layer keeps its name, and makes the value that the last of the others made.
 */
import { ModelError } from '../errors.js';
import { toFloat64Array } from '../model/cast.js';
import { DTYPE_BYTES, type DType, isFloatDType } from '../model/dtype.js';
import type { Change } from '../model/edited.js';
import type { Layer, LayerMap } from '../model/layer-map.js';
import { numbersTensor } from '../model/numbers.js';
import { makeLayer } from '../model/ops/index.js';
import { scaleChannels } from '../model/scale-channels.js';
import { elementCount, type Path, permute, type Tensor, tensorBytes } from '../model/tensor.js';
import { listed } from '../words.js';
import { wiringOf, withLayers } from './wiring.js';

/** y = x * factor + summand, for each channel. */
interface Affine {
  readonly factors: Float64Array;
  readonly summands: Float64Array;
  /** What it was worked out from. */
  readonly dtypes: readonly DType[];
}

/** @throws ModelError 'usage' where the net has no batch normalisation */
export async function foldBatchNorm(map: LayerMap): Promise<{ readonly map: LayerMap; readonly change: Change }> {
  const norms = map.layers.filter(({ op }) => op === 'BatchNormalization');
  if (norms.length === 0) throw new ModelError('usage', '--fold-batchnorm means nothing for this net: it has no batch normalisation.');
  const wiring = wiringOf(map);
  const follower = (layer: Layer): Layer | null => {
    const next = wiring.follower(layer);
    return next?.inputs[0] === layer.outputs[0] ? next : null;
  };
  const instead = new Map<Layer, Layer | null>();
  const touched: string[] = [];
  for (const layer of map.layers) {
    const channels = outputChannels(layer, wiring.shape(layer.inputs[0])?.length);
    if (channels === null || follower(layer)?.op !== 'BatchNormalization') continue;
    const rank = wiring.shape(layer.outputs[0])?.length ?? 0;
    let made: Layer = layer;
    const taken: Layer[] = [];
    let affine: Affine | null = null;
    for (let next = follower(layer); next; next = follower(next)) {
      const step = await affineOf(next, channels, rank);
      if (!step) break;
      affine = affine ? composed(affine, step) : step;
      taken.push(next);
      made = next;
    }
    if (!affine) continue;
    instead.set(layer, { ...(await withAffine(layer, channels, affine)), outputs: made.outputs });
    for (const one of taken) instead.set(one, null);
    touched.push(layer.name, ...taken.map(({ name }) => name));
  }
  const left = norms.filter((norm) => !instead.has(norm));
  const into = [...instead.values()].filter((layer) => layer !== null).length;
  return {
    map: withLayers(map, instead),
    change: { transform: 'fold-batchnorm', message: messageOf(norms.length - left.length, into, left), layers: touched },
  };
}

function messageOf(count: number, into: number, left: readonly Layer[]): string {
  const done = `${count} batch normalisations were folded into the ${into} layers before them`;
  if (left.length === 0) return done;
  const names = left.map(({ name }) => `"${name}"`);
  return `${done}; ${left.length} stay, with no layer before them that they alone read: ${listed(names)}`;
}

/** How many channels a layer that can take factors makes; null for any other. */
function outputChannels({ op, weights, attributes, inputs }: Layer, rank: number | undefined): number | null {
  const { kernel, bias } = weights;
  if (!kernel || !isFloatDType(kernel.dtype) || inputs.length !== 1 || (bias && !isFloatDType(bias.dtype))) return null;
  if (op === 'Conv' || op === 'Gemm') return kernel.shape[0]!;
  if (op === 'ConvTranspose') return kernel.shape[1]! * (attributes.group as number);
  return op === 'MatMul' && rank === 2 && kernel.shape.length === 2 ? kernel.shape[1]! : null;
}

async function affineOf({ op, weights, attributes, inputs }: Layer, channels: number, rank: number): Promise<Affine | null> {
  if (inputs.length !== 1) return null;
  if (op === 'BatchNormalization') {
    const { scale, bias, mean, variance } = weights;
    if (!scale || !bias || !mean || !variance) return null;
    const [gamma, beta, mu, sigma] = (await Promise.all([scale, bias, mean, variance].map(values))) as [Float64Array, Float64Array, Float64Array, Float64Array];
    if ([gamma, beta, mu, sigma].some(({ length }) => length !== channels)) return null;
    const factors = gamma.map((g, c) => g / Math.sqrt(sigma[c]! + (attributes.epsilon as number)));
    return { factors, summands: beta.map((b, c) => b - mu[c]! * factors[c]!), dtypes: [scale, bias, mean, variance].map(({ dtype }) => dtype) };
  }
  const { operand } = weights;
  if (!operand || !['Mul', 'Add', 'Sub'].includes(op) || !isFloatDType(operand.dtype) || !isPerChannel(operand, channels, rank)) return null;
  const given = await values(operand);
  const each = Float64Array.from({ length: channels }, (_, c) => given[given.length === 1 ? 0 : c]!);
  const isFactor = op === 'Mul';
  const summands = isFactor ? new Float64Array(channels) : op === 'Sub' ? each.map((value) => -value) : each;
  return { factors: isFactor ? each : new Float64Array(channels).fill(1), summands, dtypes: [operand.dtype] };
}

/** One number, or one for each channel of [N, C, ...spatial]. */
function isPerChannel({ shape }: Tensor, channels: number, rank: number): boolean {
  if (shape.length > rank) return false;
  if (elementCount(shape) === 1) return true;
  return shape.every((size, i) => size === (i + rank - shape.length === 1 ? channels : 1)) && elementCount(shape) === channels;
}

function composed(first: Affine, second: Affine): Affine {
  return {
    factors: first.factors.map((factor, c) => factor * second.factors[c]!),
    summands: first.summands.map((summand, c) => summand * second.factors[c]! + second.summands[c]!),
    dtypes: [...first.dtypes, ...second.dtypes],
  };
}

async function withAffine(layer: Layer, channels: number, { factors, summands, dtypes }: Affine): Promise<Layer> {
  const { kernel, bias } = layer.weights as { kernel: Tensor; bias?: Tensor };
  const dtype = widest([kernel.dtype, ...(bias ? [bias.dtype] : []), ...dtypes]);
  const before = bias && (await values(bias));
  const shifted = summands.map((summand, c) => (before ? before[c]! * factors[c]! : 0) + summand);
  const scaled = scaleChannels(kernel, factorPath(layer, kernel.shape), factors, dtype);
  const { known: _, ...row } = numbersTensor(bias?.name ?? `${kernel.name}.bias`, dtype, [channels], [...shifted], kernel.origin);
  if (layer.op !== 'MatMul') return { ...layer, weights: { kernel: scaled, bias: row } };
  return makeLayer({ ...layer, op: 'Gemm', attributes: {}, weights: { kernel: permute(scaled, [1, 0]), bias: row } });
}

/** Which factor each element of a kernel gets: that of the output channel which it helps to make. */
function factorPath({ op, attributes }: Layer, shape: readonly number[]): Path {
  const axes = shape.map((size) => [{ size, stride: 0 }]);
  if (op === 'ConvTranspose') {
    // [in, out/group, ...]: input channels belong to groups, one after the other.
    const group = attributes.group as number;
    axes[0] = [
      { size: group, stride: shape[1]! },
      { size: shape[0]! / group, stride: 0 },
    ];
  }
  const axis = op === 'ConvTranspose' || op === 'MatMul' ? 1 : 0;
  axes[axis] = [{ size: shape[axis]!, stride: 1 }];
  return { offset: 0, axes };
}

/** What holds all of them: two halves that differ need a float32. */
function widest(dtypes: readonly DType[]): DType {
  const bytes = Math.max(...dtypes.map((dtype) => DTYPE_BYTES[dtype]));
  const largest = new Set(dtypes.filter((dtype) => DTYPE_BYTES[dtype] === bytes));
  return largest.size === 1 ? dtypes.find((dtype) => DTYPE_BYTES[dtype] === bytes)! : 'float32';
}

async function values(tensor: Tensor): Promise<Float64Array> {
  return toFloat64Array(await tensorBytes(tensor), tensor.dtype);
}
