/**
 * Channels between two layers brought to one importance: what a layer makes of a channel is multiplied with a factor, and the next layer's kernel takes it
 * back. Where what lies between keeps factors (a ReLU, a slope, a pooling, nothing), the net computes what it did. A step that many input channels share
 * then loses less of those through which much flows: least where each factor is the root of what its kernel's values are over what flows there.
 *
 * Factors are powers of two, so that no value changes but by its exponent.
 *
 * @see Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019
 * @see Lin et al., "AWQ: Activation-aware Weight Quantization", MLSys 2024: what flows tells which channels matter
 */
import { castTensor, toFloat32Array } from '../model/cast.js';
import type { Layer, LayerMap } from '../model/layer-map.js';
import { makersOf, valuesRead } from '../model/ops/index.js';
import { scaleChannels } from '../model/scale-channels.js';
import { elementCount, type Path, type Tensor, tensorChunks } from '../model/tensor.js';
import type { SeenRows } from './patches.js';
import { type CodableWeight, codableWeights, withWeights } from './weights.js';

export interface Equalised {
  readonly map: LayerMap;
  /** Layers whose kernels took factors back. */
  readonly layers: readonly string[];
  /** What flows into each of its weights. */
  readonly seen: ReadonlyMap<CodableWeight, SeenRows>;
}

/** What gives a positive factor of each channel on. */
const PASSING: ReadonlySet<string> = new Set([
  'Relu',
  'LeakyRelu',
  'PRelu',
  'Identity',
  'MaxPool',
  'AveragePool',
  'GlobalAveragePool',
  'GlobalMaxPool',
  'Flatten',
]);
/** Exponents of factors, at most. */
const MOST = 6;

interface Pair {
  /** Whose output takes the factors, by the weights that make it. */
  readonly from: readonly Tensor[];
  readonly to: CodableWeight;
  readonly channels: number;
}

/**
 * @param seen what flows into the net's weights
 * @returns null where no two layers can be brought together, or all factors are 1
 */
export async function equalised(map: LayerMap, seen: ReadonlyMap<CodableWeight, SeenRows>): Promise<Equalised | null> {
  const made = new Map<Tensor, Tensor>();
  const factors = new Map<CodableWeight, Float64Array>();
  for (const pair of pairsOf(map, [...seen.keys()])) {
    const found = await factorsOf(pair, seen.get(pair.to)!);
    if (!found) continue;
    factors.set(pair.to, found);
    const scale = (tensor: Tensor, axis: number, own: Float64Array) => {
      const before = made.get(tensor) ?? tensor;
      made.set(tensor, { ...scaleChannels(before, pathAlong(tensor.shape, axis, own.length), own, 'float32'), name: tensor.name });
    };
    const back = found.map((factor) => 1 / factor);
    for (const tensor of pair.from) scale(tensor, 0, found);
    scale(pair.to.tensor, 1, back);
  }
  if (factors.size === 0) return null;
  const equal = withWeights(map, made);
  const [before, after] = [codableWeights(map), codableWeights(equal)];
  const rows = [...seen].map(([weight, own]) => {
    const [now, taken] = [after[before.findIndex(({ tensor }) => tensor === weight.tensor)]!, factors.get(weight)];
    return [now, taken ? scaledRows(own, taken) : own] as const;
  });
  return { map: equal, layers: [...factors.keys()].map(({ layer }) => layer.name), seen: new Map(rows) };
}

function pairsOf({ layers, outputs }: LayerMap, weights: readonly CodableWeight[]): Pair[] {
  const readers = new Map<string, number>();
  for (const layer of layers) for (const value of valuesRead(layer)) readers.set(value, (readers.get(value) ?? 0) + 1);
  const shown = new Set(outputs.map(({ value }) => value));
  const uses = new Map<Tensor, number>();
  for (const { weights: own } of layers) for (const tensor of Object.values(own)) uses.set(tensor, (uses.get(tensor) ?? 0) + 1);
  const makers = makersOf(layers);
  const isOwn = (tensor: Tensor | undefined) => tensor === undefined || (tensor.dtype === 'float32' && uses.get(tensor) === 1);
  return weights.flatMap((to) => {
    const { layer, tensor } = to;
    const isPlain = (layer.op === 'Conv' && layer.attributes.group === 1) || (layer.op === 'Gemm' && layer.inputs.length === 1);
    if (!isPlain || !isOwn(tensor)) return [];
    let value = layer.inputs[0]!;
    for (;;) {
      const maker = makers.get(value);
      if (!maker || readers.get(value) !== 1 || shown.has(value)) return [];
      const from = takersOf(maker);
      if (from) return from.every(isOwn) && tensor.shape[1]! % from[0]!.shape[0]! === 0 ? [{ from, to, channels: from[0]!.shape[0]! }] : [];
      if (!PASSING.has(maker.op) || (maker.op === 'PRelu' && !maker.weights.slope) || (maker.op === 'Flatten' && maker.attributes.axis !== 1)) return [];
      value = maker.inputs[0]!;
    }
  });
}

/** The weights that what a layer makes is proportional to, channel by channel along their first axis; null where there are none. */
function takersOf({ op, weights, inputs }: Layer): Tensor[] | null {
  if (inputs.length !== 1) return null;
  const { kernel, scale, bias } = weights;
  if (op === 'BatchNormalization' && scale && bias) return [scale, bias];
  return (op === 'Conv' || op === 'Gemm') && kernel ? [kernel, ...(bias ? [bias] : [])] : null;
}

/** A factor for each channel, or for each run of places of a flattened one. */
function pathAlong(shape: readonly number[], axis: number, channels: number): Path {
  const axes = shape.map((size, i) => {
    if (i !== axis) return [{ size, stride: 0 }];
    return size === channels
      ? [{ size, stride: 1 }]
      : [
          { size: channels, stride: 1 },
          { size: size / channels, stride: 0 },
        ];
  });
  return { offset: 0, axes };
}

/** @returns what the channels are multiplied with; null where that changes nothing */
async function factorsOf({ to, channels }: Pair, { fit: { count, depth, data } }: SeenRows): Promise<Float64Array | null> {
  const [flows, values] = [new Float64Array(channels), await squaresOf(to.tensor, channels)];
  const each = depth / channels;
  for (let t = 0; t < depth; t++) for (let i = 0; i < count; i++) flows[Math.floor(t / each)]! += data[t * count + i]! ** 2;
  // The root of the ratio of two roots.
  const exponents = flows.map((flow, c) => (flow > 0 && values[c]! > 0 ? Math.log2(values[c]! / flow) / 4 : Number.NaN));
  const known = exponents.filter(Number.isFinite);
  const middle = known.reduce((sum, value) => sum + value, 0) / (known.length || 1);
  const factors = exponents.map((exponent) => (Number.isFinite(exponent) ? 2 ** Math.max(-MOST, Math.min(MOST, Math.round(exponent - middle))) : 1));
  return factors.some((factor) => factor !== 1) ? factors : null;
}

/** Sum of squares of a kernel along its second axis. */
async function squaresOf(tensor: Tensor, channels: number): Promise<Float64Array> {
  const sums = new Float64Array(channels);
  const each = elementCount(tensor.shape.slice(1)) / channels;
  let position = 0;
  for await (const chunk of tensorChunks(castTensor(tensor, 'float32'))) {
    for (const value of toFloat32Array(chunk, 'float32')) {
      const channel = Math.floor(position++ / each) % channels;
      sums[channel] = sums[channel]! + value * value;
    }
  }
  return sums;
}

function scaledRows({ fit, check }: SeenRows, factors: Float64Array): SeenRows {
  const scaled = ({ count, depth, data }: SeenRows['fit']) => ({
    count,
    depth,
    data: data.map((value, at) => value * factors[Math.floor(Math.floor(at / count) / (depth / factors.length))]!),
  });
  return { fit: scaled(fit), check: scaled(check) };
}
