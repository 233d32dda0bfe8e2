/** Compares what each layer makes, and names the first one that is out of tolerance. */
import { isModelError } from '../errors.js';
import type { Layer, LayerMap } from '../model/layer-map.js';
import { makersOf } from '../model/ops/index.js';
import { compareOutput, type OutputComparison, type Tolerance } from './compare.js';
import type { NdArray } from './engine.js';
import { ARRANGING, type LayerSource } from './layer-source.js';
import type { FirstDifference, LayerReport } from './report.js';
import type { Feeds } from './side.js';

export interface LayersToCompare {
  readonly map: LayerMap;
  /** Best first; a layer is compared with the first witness that shows it. */
  readonly expected: readonly LayerSource[];
  readonly actual: LayerSource;
  readonly feeds: readonly Feeds[];
  toleranceFor(witness: string, layer: Layer): Tolerance;
  /** Layers that the file should keep apart and does not. */
  readonly missing: ReadonlySet<Layer>;
  /** Whether the file was made from the source's own net by somebody else, who may keep the same values, in the same order, in another shape. */
  readonly mayReshape?: boolean;
  /** Whether to stop at the first layer that is out of tolerance. */
  readonly first?: boolean;
  /** Asked behind each layer that was compared: whether none should be looked at any more. */
  readonly isEnough?: (layer: Layer) => boolean;
}

export interface ComparedLayers {
  readonly layers: readonly LayerReport[];
  readonly firstDifference: FirstDifference | null;
  readonly notes: readonly string[];
  /** Whether it was enough before all layers were looked at. */
  readonly isCut: boolean;
}

export async function compareLayers({
  map,
  expected,
  actual,
  feeds,
  toleranceFor,
  missing,
  mayReshape = false,
  first = false,
  isEnough,
}: LayersToCompare): Promise<ComparedLayers> {
  const compared = new Map<Layer, { witness: string; comparison: OutputComparison; allowed: number; shape: readonly number[] }>();
  const notes: string[] = [];
  const order = new Map(map.layers.map((layer, place) => [layer, place]));
  /** Layers from here on are not looked at any more. */
  let end = map.layers.length;
  let isCut = false;
  let open = map.layers.filter((layer) => actual.layers.has(layer));
  for (const source of expected) {
    const shown = open.filter((layer) => source.layers.has(layer));
    try {
      for (const [sample, feed] of feeds.entries()) {
        const layers = shown.filter((layer) => order.get(layer)! < end);
        if (layers.length === 0) continue;
        const found = pull(actual, feed, sample, layers);
        try {
          await source.visit(feed, sample, layers, async (layer, wanted) => {
            const tolerance = toleranceFor(source.name, layer);
            const entry = compared.get(layer) ?? {
              witness: source.name,
              comparison: compareOutput(layer.name, tolerance, 'layer'),
              allowed: tolerance.rtol,
              shape: wanted.shape,
            };
            compared.set(layer, entry);
            const value = await found.next(layer);
            const isReshaped = mayReshape && ARRANGING.has(layer.op) && value.data.length === wanted.data.length;
            entry.comparison.add(wanted, isReshaped ? { ...value, shape: wanted.shape } : value);
            isCut ||= isEnough?.(layer) === true;
            if (!isCut && (!first || entry.comparison.problem === null)) return;
            end = order.get(layer)!;
            throw STOPPED;
          });
        } catch (error) {
          if (error !== STOPPED) throw error;
        } finally {
          found.stop();
        }
      }
    } catch (error) {
      if (!isModelError(error)) throw error;
      notes.push(`${source.name} does not show what layers make: ${error.message}`);
      for (const layer of shown) compared.delete(layer);
    }
    open = open.filter((layer) => !compared.has(layer));
  }
  if (isCut) notes.push(`${map.layers.length - end - 1} layers were not looked at, for that takes too much`);
  else if (end < map.layers.length) notes.push(`${map.layers.length - end - 1} layers behind the first that differs were not looked at`);
  const layers = map.layers.flatMap((layer): LayerReport[] => {
    const entry = compared.get(layer);
    if (!entry) return [];
    const { compared: count, nonFinite, maxAbsolute, relativeToScale, ofAllowed, passed } = entry.comparison.report();
    const { name, canonicalName = null, op } = layer;
    return [
      {
        layer: name,
        canonicalName,
        op,
        witness: entry.witness,
        shape: entry.shape,
        compared: count,
        nonFinite,
        maxAbsolute,
        relativeToScale,
        ofAllowed,
        allowed: entry.allowed,
        passed,
      },
    ];
  });
  return { layers, firstDifference: findFirst(map, (layer) => compared.get(layer)?.comparison, missing), notes, isCut };
}

/**
 * The first layer out of tolerance, or the one before it that the file has lost. Layers in between that nobody shows apart
 * (a convolution whose activation is fused into it) may be to blame as well, and the message says so.
 */
function findFirst(map: LayerMap, comparisonOf: (layer: Layer) => OutputComparison | undefined, missing: ReadonlySet<Layer>): FirstDifference | null {
  const makers = makersOf(map.layers);
  for (const layer of map.layers) {
    const comparison = comparisonOf(layer);
    if (comparison?.problem == null) continue;
    const hidden = hiddenBefore(layer, makers, comparisonOf);
    const lost = hidden.find((candidate) => missing.has(candidate));
    if (lost) return { layer: lost.name, message: `layer "${lost.name}" (${lost.op}) is not in the file; ${comparison.problem}` };
    const others = hidden.length > 0 ? ` (or ${hidden.map(({ name }) => `"${name}"`).join(', ')}, which nothing shows apart)` : '';
    return { layer: layer.name, message: `${comparison.problem}${others}` };
  }
  return null;
}

/** Layers between this one and the last ones that were compared. */
function hiddenBefore(layer: Layer, makers: ReadonlyMap<string, Layer>, comparisonOf: (layer: Layer) => OutputComparison | undefined): Layer[] {
  const hidden: Layer[] = [];
  const seen = new Set<Layer>();
  const visit = ({ inputs }: Layer) => {
    for (const value of inputs) {
      const maker = makers.get(value);
      if (!maker || seen.has(maker) || comparisonOf(maker)) continue;
      seen.add(maker);
      visit(maker);
      hidden.push(maker);
    }
  };
  visit(layer);
  return hidden;
}

/** Turns a source that shows values in order into one that is asked for them, one value ahead at most. */
function pull(source: LayerSource, feeds: Feeds, sample: number, layers: readonly Layer[]) {
  const waiting = new Map<Layer, NdArray>();
  let wake = () => {};
  let resume = () => {};
  let failure: unknown;
  let stopped = false;
  let isDone = false;
  const running = source
    .visit(feeds, sample, layers, async (layer, value) => {
      if (stopped) throw STOPPED;
      waiting.set(layer, value);
      wake();
      await new Promise<void>((resolve) => {
        resume = resolve;
      });
      if (stopped) throw STOPPED;
    })
    .catch((error: unknown) => {
      if (error !== STOPPED) failure = error;
    })
    .finally(() => {
      isDone = true;
      wake();
    });
  return {
    /** @param layer the next one in running order, or one further on */
    async next(layer: Layer): Promise<NdArray> {
      for (;;) {
        const value = waiting.get(layer);
        waiting.clear();
        if (value) return value;
        if (failure !== undefined) throw failure;
        if (isDone) throw new Error(`layer ${layer.name} was asked for out of order`);
        await new Promise<void>((resolve) => {
          wake = resolve;
          resume();
        });
      }
    },
    stop() {
      stopped = true;
      resume();
      return running;
    },
  };
}

const STOPPED = Symbol('stopped');
