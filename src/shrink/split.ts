/**
 * A layer as several, each of some neighbouring output channels and with a scale of its own, put together again behind them. The net computes what it did.
 */
import { partName } from '../model/claims.js';
import type { Layer } from '../model/layer-map.js';
import { makeLayer } from '../model/ops/index.js';
import type { ChannelSpreads } from '../model/quantise.js';
import { sliceAxis, type Tensor } from '../model/tensor.js';

/** What rounding in a step of 1 costs each channel, beside what the channel is. */
export type Weighing = Float64Array;

/** Smaller kernels are not worth another layer. */
export const LEAST_COUNT = 2 ** 10;
const MOST_PARTS = 4;
/** Pairs of channels are gone through. */
const MOST_CHANNELS = 8192;

export interface Split {
  /** Where each part ends, of the output channels. */
  readonly ends: readonly number[];
  /** What scales for the parts lose. */
  readonly loss: number;
}

/** Into how many parts a layer may go at most. */
export function mostParts({ shape }: Tensor): number {
  return Math.min(MOST_PARTS, ...shape.slice(0, 2));
}

/** For each number of parts from two on those that lose least. */
export function splitsOf({ low, high }: ChannelSpreads, weighing: Weighing, most: number): Split[] {
  const count = low.length;
  if (count > MOST_CHANNELS) return [];
  const sums = new Float64Array(count + 1);
  for (let c = 0; c < count; c++) sums[c + 1] = sums[c]! + weighing[c]!;
  // Of the channels up to an end, in so many parts: the least loss, and where the last part starts.
  const losses = Array.from({ length: most + 1 }, () => new Float64Array(count + 1).fill(Number.POSITIVE_INFINITY));
  const starts = Array.from({ length: most + 1 }, () => new Int32Array(count + 1));
  losses[0]![0] = 0;
  for (let end = 1; end <= count; end++) {
    let [least, largest] = [0, 0];
    for (let start = end - 1; start >= 0; start--) {
      least = Math.min(least, low[start]!);
      largest = Math.max(largest, high[start]!);
      const own = (largest - least) ** 2 * (sums[end]! - sums[start]!);
      for (let parts = 1; parts <= most; parts++) {
        const loss = losses[parts - 1]![start]! + own;
        if (loss >= losses[parts]![end]!) continue;
        losses[parts]![end] = loss;
        starts[parts]![end] = start;
      }
    }
  }
  return Array.from({ length: Math.max(0, most - 1) }, (_, i) => {
    const ends: number[] = [];
    for (let [parts, end] = [i + 2, count]; parts > 0; parts--) {
      ends.unshift(end);
      end = starts[parts]![end]!;
    }
    return { ends, loss: losses[i + 2]![count]! };
  });
}

/** @param axis of the kernel's output channels */
export function splitLayer(layer: Layer, axis: number, ends: readonly number[]): Layer[] {
  const { kernel, bias } = layer.weights;
  const [value] = layer.outputs as [string];
  const parts = ends.map((end, i): Layer => {
    const start = ends[i - 1] ?? 0;
    const name = partName(layer.name, i);
    const own = (tensor: Tensor, along: number) => ({ ...sliceAxis(tensor, along, start, end), name: partName(tensor.name, i) });
    return { ...layer, name, outputs: [`${value}/part${i + 1}`], weights: { kernel: own(kernel!, axis), ...(bias ? { bias: own(bias, 0) } : {}) } };
  });
  const along = layer.op === 'MatMul' ? -1 : 1;
  const whole = makeLayer({
    name: `${layer.name}/parts`,
    op: 'Concat',
    inputs: parts.flatMap(({ outputs }) => outputs),
    outputs: [value],
    attributes: { axis: along },
    weights: {},
  });
  return [...parts, whole];
}
