/**
 * What is done for targets that have one scale for a whole weight, where its output channels differ in range: rounded in the steps of the largest, the
 * smaller ones lose all that they are. Either they are brought to one range, or the layer becomes several, each of some neighbouring channels: which of the
 * two loses less is worked out from the smallest and the largest value of each channel. Both cost a runtime the same, a pass over what the layer makes,
 * unless a normalisation takes the ranges.
 */
import { partName } from '../model/claims.js';
import { isFloatDType } from '../model/dtype.js';
import type { Layer, LayerMap } from '../model/layer-map.js';
import { narrowForm } from '../model/narrow-form.js';
import { readersOf } from '../model/ops/index.js';
import { type ChannelSpreads, channelSpreads } from '../model/quantise.js';
import { elementCount, type Tensor } from '../model/tensor.js';
import { listed } from '../words.js';
import { channelAxis } from '../writers/large-weights.js';
import { evenRanges, factorsOf, type Ranged } from './even.js';
import type { Shrunk } from './shrunk.js';
import { LEAST_COUNT, mostParts, splitLayer, splitsOf, type Weighing } from './split.js';

/** Part of what rounding loses that may be left, where a normalisation takes the ranges and nothing more is computed. */
const FREE_GAIN = 0.5;
/** The same where every run has a pass more over what the layer makes. */
const COSTLY_GAIN = 0.25;
/** A split has to lose so much less than one range: it is layers more to whoever reads the file. */
const SPLIT_GAIN = 0.75;
/** A channel of less than this part of the others' mean energy counts as one of it: what is nearly nothing may lose all. */
const FLOOR = 0.1;

/**
 * @param may which of the two; both where it is left out, for whoever measures what one alone does
 * @returns null where one scale is nearly as good everywhere
 */
export async function forOneScale(map: LayerMap, may: { readonly ranges?: boolean; readonly splits?: boolean } = {}): Promise<Shrunk | null> {
  const readers = readersOf(map.layers);
  const shown = new Set(map.outputs.map(({ value }) => value));
  const names = new Set(map.layers.flatMap(({ name, outputs }) => [name, ...outputs]));
  const uses = new Map<Tensor, number>();
  for (const layer of map.layers) for (const tensor of Object.values(layer.weights)) uses.set(tensor, (uses.get(tensor) ?? 0) + 1);
  const isOwn = (tensor: Tensor | undefined) => tensor === undefined || (isFloatDType(tensor.dtype) && uses.get(tensor) === 1);
  const made = new Map<Layer, readonly Layer[]>();
  const [byNorm, byFactor, bySplit]: string[][] = [[], [], []];
  for (const layer of map.layers) {
    const { kernel, bias } = layer.weights;
    const axis = kernel && isOwn(kernel) && isOwn(bias) && !hasOneScale(kernel) ? axisOf(layer, kernel) : null;
    if (axis === null || (bias && bias.shape.join() !== `${kernel!.shape[axis]}`)) continue;
    const spreads = await channelSpreads(kernel!, axis);
    if (!spreads) continue;
    const weighing = weigh(spreads);
    const whole = lossOf(spreads, weighing);
    const factors = factorsOf(spreads);
    const even = may.ranges === false ? Number.POSITIVE_INFINITY : lossOf(spreads, weighing, factors);
    const parts =
      may.splits !== false && mayBeSplit(layer, kernel!) && !names.has(partName(layer.name, 1)) ? splitsOf(spreads, weighing, mostParts(kernel!)) : [];
    const split = parts.find(({ loss }) => loss < COSTLY_GAIN * whole && loss < SPLIT_GAIN * even);
    if (split) {
      made.set(layer, splitLayer(layer, axis, split.ends));
      bySplit!.push(`"${layer.name}" in ${split.ends.length}`);
      continue;
    }
    const [next, ...others] = readers.get(layer.outputs[0]!) ?? [];
    const isAlone = next !== undefined && others.length === 0 && !shown.has(layer.outputs[0]!);
    const norm = isAlone && layer.op !== 'MatMul' && isPlainNorm(next) && Object.values(next.weights).every(isOwn) ? next : null;
    if (!(even < (norm ? FREE_GAIN : COSTLY_GAIN) * whole)) continue;
    const ranged: Ranged = await evenRanges(layer, axis, factors, norm);
    made.set(layer, ranged.layers);
    if (norm) made.set(norm, [ranged.norm!]);
    (norm ? byNorm : byFactor)!.push(`"${layer.name}"`);
  }
  if (made.size === 0) return null;
  const ranges = byNorm!.length + byFactor!.length;
  const behind = [
    ...(byNorm!.length > 0 ? [`into the batch normalisations behind ${listed(byNorm!)}`] : []),
    ...(byFactor!.length > 0 ? [`into multiplications behind ${listed(byFactor!)}`] : []),
  ];
  const told = [
    ...(ranges > 0 ? [`the ranges of ${ranges} weights' channels went ${behind.join(' and ')}`] : []),
    ...(bySplit!.length > 0
      ? [`${bySplit!.length} ${bySplit!.length === 1 ? 'layer was' : 'layers were'} split by output channels (${listed(bySplit!)})`]
      : []),
  ];
  const layers = map.layers.flatMap((layer) => made.get(layer) ?? [layer]);
  return {
    map: { ...map, layers },
    claims: [...(ranges > 0 ? (['even-channels'] as const) : []), ...(bySplit!.length > 0 ? (['split'] as const) : [])],
    change: {
      transform: ranges > 0 ? 'even-channels' : 'split-channels',
      message: `${told.join(', and ')}, as there is one scale for a whole weight`,
      layers: map.layers.filter((layer) => layer.weights.kernel && made.has(layer)).map(({ name }) => name),
    },
  };
}

function isPlainNorm({ op, inputs, weights }: Layer): boolean {
  return op === 'BatchNormalization' && inputs.length === 1 && ['scale', 'bias', 'mean', 'variance'].every((role) => weights[role]);
}

/** Codes that their source has with one scale go over as they are. */
function hasOneScale(kernel: Tensor): boolean {
  const codes = narrowForm(kernel)?.codes;
  return codes?.kind === 'affine' || (codes?.kind === 'channels' && codes.axis === null);
}

/** Along which a factor for each place may follow; null where none may. */
function axisOf(layer: Layer, kernel: Tensor): number | null {
  if (layer.foreign) return null;
  const isTransposed = layer.op === 'ConvTranspose' && layer.attributes.group === 1;
  const isMatrix = layer.op === 'MatMul' && kernel.shape.length === 2 && layer.inputs.length === 1;
  return layer.op === 'Conv' || layer.op === 'Gemm' || isTransposed || isMatrix ? channelAxis(layer, 'kernel') : null;
}

function mayBeSplit({ op, attributes }: Layer, { shape }: Tensor): boolean {
  return (op === 'Gemm' || op === 'MatMul' || (op === 'Conv' && attributes.group === 1)) && elementCount(shape) >= LEAST_COUNT;
}

function weigh({ energy }: ChannelSpreads): Weighing {
  const mean = energy.reduce((sum, each) => sum + each, 0) / energy.length;
  return energy.map((each) => (mean > 0 ? 1 / (each + FLOOR * mean) : 0));
}

/** What one scale loses. @param factors by which channels were divided, within the same range: each loses as much less */
function lossOf({ low, high }: ChannelSpreads, weighing: Weighing, factors?: Float64Array): number {
  const range = high.reduce((a, b) => Math.max(a, b), 0) - low.reduce((a, b) => Math.min(a, b), 0);
  return range * range * weighing.reduce((sum, each, c) => sum + each * (factors?.[c] ?? 1) ** 2, 0);
}
