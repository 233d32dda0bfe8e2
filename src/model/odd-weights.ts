/** Weights that cannot be meant, noticed while a writer streams them: nothing is read for it. */
import { castTensor } from './cast.js';
import type { Layer, LayerMap, Notice } from './layer-map.js';
import { narrowForm } from './narrow-form.js';
import { elementCount, type Tensor, tensorChunks, withStage } from './tensor.js';
import { isWatched, newWeightTally, type WeightTally, watchStage } from './watch.js';

/** Roles that an operator multiplies with or divides by, so that all zeros leave nothing of what flows in, or everything of the epsilon. */
const FACTORS: Readonly<Record<string, string>> = {
  kernel: 'nothing of what flows in is left behind it',
  scale: 'nothing of what flows in is left behind it',
  variance: 'it is divided by, so that the epsilon alone decides',
};

export interface Watched<T> {
  /** The same weights, counted as they are streamed. */
  readonly weights: T;
  /** What was noticed; complete once everything has been streamed. */
  notices(): Notice[];
  /** Looks at what a writer copied with the file around it, and so did not stream. */
  rest(): Promise<void>;
}

/** Layers that share a weight go on sharing it. */
export function watchMap(map: LayerMap): Watched<LayerMap> {
  const seen = new Map<Tensor, { readonly tensor: Tensor; readonly tally: WeightTally }>();
  const uses: { readonly layer: Layer; readonly role: string; readonly source: Tensor }[] = [];
  const watch = (source: Tensor, layer: Layer, role: string): Tensor => {
    uses.push({ layer, role, source });
    const known = seen.get(source) ?? watched(source);
    const { derived } = source;
    // Who streams what it is worked out from does not stream the weight itself.
    const parts = derived ? { derived: { ...derived, from: derived.from.map((part) => watch(part, layer, role)) } } : {};
    const all = { ...known, tensor: seen.has(source) || !derived ? known.tensor : { ...known.tensor, ...parts } };
    seen.set(source, all);
    return all.tensor;
  };
  const layers = map.layers.map((layer) => {
    const weights = Object.entries(layer.weights);
    // What is known of a layer's values is known of this very layer.
    if (weights.length === 0) return layer;
    return { ...layer, weights: Object.fromEntries(weights.map(([role, source]) => [role, watch(source, layer, role)])) };
  });
  return {
    // Watching changes nothing of a map that is as its file has it.
    weights: { ...map, layers, ...(map.source?.layers === map.layers ? { source: { ...map.source, layers } } : {}) },
    notices: () => uses.flatMap(({ layer, role, source }) => noticesOf(source, seen.get(source)!.tally, { name: layer.name, role })),
    rest: async () => {
      if (map.source?.layers !== map.layers) return;
      for (const [source, { tensor, tally }] of seen) if (tally.seen === 0 && tensor !== source) for await (const _ of tensorChunks(tensor));
    },
  };
}

export function watchTensors(tensors: readonly Tensor[]): Watched<readonly Tensor[]> {
  const all = tensors.map(watched);
  return { weights: all.map(({ tensor }) => tensor), notices: () => all.flatMap(({ tally }, i) => noticesOf(tensors[i]!, tally, null)), rest: async () => {} };
}

function watched(source: Tensor) {
  const tally = newWeightTally();
  const watch = (tensor: Tensor) => (isWatched(tensor.dtype) ? withStage(tensor, watchStage(tensor.dtype, tally)) : tensor);
  // Numbers that a description of a net brings along are none of the file's.
  if (source.known && source.origin.file === '') return { tensor: source, tally };
  const form = narrowForm(source);
  // What is widened is looked at before, so that a writer can still store it as it was; integer codes have nothing to look at.
  if (!form) return { tensor: watch(source), tally };
  return { tensor: form.codes ? source : castTensor(watch(form.stored), source.dtype), tally };
}

/** What is odd about a weight, from how many of its values are not finite, whether all are zero, and whether some are below. */
export function oddities(
  name: string,
  { nonFinite, isZero, isNegative }: Pick<WeightTally, 'nonFinite' | 'isZero' | 'isNegative'>,
  role: string | null,
): { code: string; message: string }[] {
  if (nonFinite > 0) return [{ code: 'non-finite', message: `${name} holds ${nonFinite} values that are NaN or infinite` }];
  if (isNegative && role === 'variance') return [{ code: 'negative-variance', message: `${name} (variance) holds values below zero, whose root is no number` }];
  const factor = role !== null && Object.hasOwn(FACTORS, role) ? FACTORS[role] : undefined;
  return isZero && factor ? [{ code: 'all-zero', message: `${name} (${role}) is all zero: ${factor}` }] : [];
}

/** What was streamed twice counts once. */
function noticesOf(
  source: Tensor,
  { nonFinite, isZero, isNegative, seen }: WeightTally,
  use: { readonly name: string; readonly role: string } | null,
): Notice[] {
  const count = elementCount(source.shape);
  if (seen === 0 || count === 0) return [];
  const once = { nonFinite: Math.round((nonFinite * count) / Math.max(seen, count)), isZero, isNegative };
  return oddities(source.name, once, use?.role ?? null).map((odd) => (use ? { ...odd, layer: use.name } : odd));
}
