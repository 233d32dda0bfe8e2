/** Which parts of a net serve training and measuring only: losses, and what brings labels to them. */
import type { Blobs } from './blobs.js';
import { RULES } from './rules/index.js';
import type { CaffeLayer, CaffeNet } from './topology.js';

/** Losses that tell the activation which turns what they are given into predictions. */
export const LOSS_ACTIVATIONS: Readonly<Record<string, string>> = { SoftmaxWithLoss: 'Softmax', SigmoidCrossEntropyLoss: 'Sigmoid' };

/** Measurements and other ends of a net. */
const MEASURES: ReadonlySet<string> = new Set(['Accuracy', 'DetectionEvaluate', 'HDF5Output']);

/** How many of a loss's first bottoms are predictions; one where left out. */
const PREDICTIONS: Readonly<Record<string, number>> = { ContrastiveLoss: 2, TripletLoss: 3, Silence: 0 };

/** A loss or measurement, BVLC's or not: forks have dozens, and all are called so. */
export function isLoss({ type }: CaffeLayer): boolean {
  return type.endsWith('Loss') || MEASURES.has(type);
}

/** A layer that reads a data set, or runs code that makes up data: nothing comes in, whatever it is called. */
export function isFeed({ type, bottoms, tops }: CaffeLayer): boolean {
  return bottoms.length === 0 && tops.length > 0 && type !== 'Input' && type !== 'Parameter' && !RULES[type];
}

export interface TrainingParts {
  /** Blobs of data layers that only losses and measurements look at. */
  readonly labels: ReadonlySet<string>;
  /** Layers that prepare such blobs. */
  readonly layers: ReadonlySet<CaffeLayer>;
}

/** Follows every blob from where it is read back to where it is made: does all of it end beside the predictions of a loss? */
export function findTrainingParts({ layers }: CaffeNet, weights: ReadonlyMap<string, Blobs>): TrainingParts {
  /** Of blobs that are read behind the layer that is looked at. */
  const endsInLosses = new Map<string, boolean>();
  const serving = new Set<CaffeLayer>();
  const labels = new Set<string>();
  /** Blobs that come from outside for losses only, whatever declares them. */
  const brought = new Set<string>();
  for (const layer of layers.toReversed()) {
    const { type, name, bottoms, tops } = layer;
    const isEnd = isLoss(layer) || type === 'Silence';
    const serves = !isEnd && bottoms.length > 0 && tops.length > 0 && !weights.has(name) && tops.every((top) => endsInLosses.get(top) === true);
    if (serves) serving.add(layer);
    // A label that nobody reads at test time is one still, beside a blob that somebody does.
    if (isFeed(layer)) {
      const isRead = tops.some((top) => endsInLosses.has(top));
      for (const top of tops) if (endsInLosses.get(top) ?? isRead) labels.add(top);
    }
    if (bottoms.length === 0) for (const top of tops) if (endsInLosses.get(top)) brought.add(top);
    // Before this layer a blob of the same name is another one.
    const inPlace = new Set(bottoms);
    for (const top of tops) if (!inPlace.has(top)) endsInLosses.delete(top);
    for (const [slot, bottom] of bottoms.entries()) {
      const ends = isEnd ? slot >= (PREDICTIONS[type] ?? 1) : serves;
      endsInLosses.set(bottom, ends && (endsInLosses.get(bottom) ?? true));
    }
  }
  for (const [name, ends] of endsInLosses) if (ends) brought.add(name);
  return { labels, layers: preparing(layers, serving, new Set([...labels, ...brought])) };
}

/**
 * Of the layers that only losses are behind, those that prepare what is brought for them. What the net itself makes is a result, though a loss or nobody
 * looks at it; where it has no translation it can do without.
 *
 * @param brought blobs that come from outside for losses only; becomes what is prepared, too
 */
function preparing(layers: readonly CaffeLayer[], serving: ReadonlySet<CaffeLayer>, brought: Set<string>): ReadonlySet<CaffeLayer> {
  const found = new Set<CaffeLayer>();
  for (const layer of layers) {
    const prepares = serving.has(layer) && (!RULES[layer.type] || layer.bottoms.some((bottom) => brought.has(bottom)));
    if (prepares) found.add(layer);
    for (const top of layer.tops) {
      if (prepares) brought.add(top);
      else if (layer.bottoms.length > 0) brought.delete(top);
    }
  }
  return found;
}
