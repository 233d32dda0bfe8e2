/** Which parts of a net serve training and measuring only: losses, and what brings labels to them. */
import type { Blobs } from './blobs.js';
import { RULES } from './rules/index.js';
import type { CaffeLayer, CaffeNet } from './topology.js';

/** Losses that tell the activation which turns what they are given into predictions. */
export const LOSS_ACTIVATIONS: Readonly<Record<string, string>> = { SoftmaxWithLoss: 'Softmax', SigmoidCrossEntropyLoss: 'Sigmoid' };

/** Measurements and other ends of a net. */
const MEASURES: ReadonlySet<string> = new Set(['Accuracy', 'DetectionEvaluate', 'HDF5Output', 'Silence']);

/** How many of a loss's first bottoms are predictions; one where left out. */
const PREDICTIONS: Readonly<Record<string, number>> = { ContrastiveLoss: 2, TripletLoss: 3, Silence: 0 };

/** A loss or measurement, BVLC's or not: forks have dozens, and all are called so. */
export function isLoss(layer: CaffeLayer): boolean {
  return layer.type !== 'Silence' && (layer.type.endsWith('Loss') || MEASURES.has(layer.type));
}

/** A layer that reads a data set, or runs code that makes up data: nothing comes in, whatever it is called. */
export function isFeed(layer: CaffeLayer): boolean {
  return layer.bottoms.length === 0 && layer.tops.length > 0 && layer.type !== 'Input' && layer.type !== 'Parameter' && !RULES[layer.type];
}

export interface TrainingParts {
  /** Blobs of data layers that only losses and measurements look at. */
  readonly labels: ReadonlySet<string>;
  /** Layers that prepare such blobs. */
  readonly layers: ReadonlySet<CaffeLayer>;
}

/** Follows every blob that a data layer gives to where it ends. */
export function findTrainingParts({ layers }: CaffeNet, weights: ReadonlyMap<string, Blobs>): TrainingParts {
  const readers = new Map<string, { readonly layer: CaffeLayer; readonly slot: number }[]>();
  for (const layer of layers) {
    for (const [slot, bottom] of layer.bottoms.entries()) readers.set(bottom, [...(readers.get(bottom) ?? []), { layer, slot }]);
  }
  const known = new Map<string, boolean>();
  const servesLosses = (layer: CaffeLayer) =>
    !weights.has(layer.name) && layer.tops.length > 0 && layer.tops.every((top) => !layer.bottoms.includes(top) && endsInLosses(top));
  const endsInLosses = (blob: string): boolean => {
    const answer = known.get(blob);
    if (answer !== undefined) return answer;
    // A ring of names is no label.
    known.set(blob, false);
    const found = readers.get(blob) ?? [];
    const ends =
      found.length > 0 &&
      found.every(({ layer, slot }) => (isLoss(layer) || layer.type === 'Silence' ? slot >= (PREDICTIONS[layer.type] ?? 1) : servesLosses(layer)));
    known.set(blob, ends);
    return ends;
  };
  const fed = layers.filter(isFeed).flatMap(({ tops }) => tops);
  // A label that nobody reads at test time is one still, beside a blob that somebody does.
  const labels = new Set(fed.filter((top) => endsInLosses(top) || (!readers.has(top) && fed.some((other) => readers.has(other)))));
  return {
    labels,
    layers: new Set(
      layers.filter(
        (layer) =>
          !isLoss(layer) && layer.type !== 'Silence' && layer.bottoms.length > 0 && layer.bottoms.some((bottom) => known.get(bottom)) && servesLosses(layer),
      ),
    ),
  };
}
