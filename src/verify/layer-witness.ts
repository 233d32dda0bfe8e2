/** Chooses who shows what layers make, on both sides, and has them compared. */
import { closingOnError } from '../bytes/closing.js';
import { isModelError } from '../errors.js';
import type { EditedMap } from '../model/edited.js';
import type { LayerMap, ModelFile, Port } from '../model/layer-map.js';
import { isApart, isLarge, mayHold } from './effort.js';
import type { EngineModel } from './engine.js';
import { apart, selectEngine, witnessEngines } from './engines/index.js';
import { type HeldLayers, holdLayers } from './held-layers.js';
import { type LayerSource, mapShapes, recordedLayers, referenceLayers, sessionLayers, writtenNames } from './layer-source.js';
import { type ComparedLayers, compareLayers, type LayersToCompare } from './layers.js';
import type { VerifyOptions, WrittenTarget } from './options.js';
import { originalLayers } from './original.js';
import { adaptPorts, type Feeds, openOrReread } from './side.js';
import type { Tolerances } from './tolerance.js';
import { isWrittenFrom, type WrittenModel } from './written/written.js';

/** Engines whose interface gives one value at a time. */
const RERUNS: ReadonlySet<string> = new Set(['opencv']);

export interface LayersToVerify {
  readonly source: EngineModel;
  readonly model: ModelFile;
  readonly map: LayerMap;
  readonly edited?: EditedMap;
  readonly target: WrittenTarget;
  readonly written: WrittenModel;
  readonly feeds: readonly Feeds[];
  /** The map with the file's own weights, where they are narrower: the original's layers would differ by the loss. */
  readonly widened: LayerMap | null;
  readonly tolerances: Tolerances;
  /** What the witness has shown of them already, when it was asked for outputs. */
  readonly held?: HeldLayers | null;
}

/** @throws ModelError 'engine' when the file's runtime does not show values inside it */
export async function verifyLayers(toVerify: LayersToVerify, options: VerifyOptions): Promise<ComparedLayers> {
  const notes: string[] = [];
  const { map } = toVerify;
  let hidden = 0;
  const { feeds } = toVerify;
  const compare = (sides: LayerSides) => {
    hidden = map.layers.filter((layer) => !sides.actual.layers.has(layer)).length;
    return compareLayers({ ...sides, feeds });
  };
  const compared = await withLayers(toVerify, options, notes, compare, feeds);
  if (compared.layers.length === 0) notes.push('no layer could be compared: the runtime shows none of them by name');
  else if (hidden > 0) notes.push(`${hidden} of ${map.layers.length} layers are not kept apart by the file, and were compared with the next one that is`);
  return { ...compared, notes: [...notes, ...compared.notes] };
}

/** Both sides as they show what their layers make, for as long as `work` takes. */
export type LayerSides = Omit<LayersToCompare, 'feeds'>;

/**
 * @param once what the sides are asked for, each once, where that is known: of a net whose weights take much memory the witness then gives its
 *   values first, and ends before the written file is opened
 * @throws ModelError 'engine' when the file's runtime does not show values inside it
 */
export async function withLayers<T>(
  toVerify: Omit<LayersToVerify, 'feeds'>,
  options: VerifyOptions,
  notes: string[],
  work: (sides: LayerSides) => Promise<T>,
  once: readonly Feeds[] | null = null,
): Promise<T> {
  const { map, target, written, widened, tolerances } = toVerify;
  const { engine, availability } = await selectEngine(target.format, options);
  const isHeld = once !== null && mayHold(map, once.length);
  const early = isHeld && !widened ? (asHeld(toVerify.held, once) ?? (await openRuntime(toVerify, options, notes, once))) : null;
  // Who runs the file is told where its outputs are compared.
  const { session, used } = await openOrReread(engine, availability, { ...target, layers: true }, options, []);
  try {
    const { feed, outputOf } = adaptPorts(session, map, written.layoutOf, { keepsOrder: isWrittenFrom(map, written), names: written.ports });
    const shapes = mapShapes(map);
    // What a file of Keras has lost at its end, or another tool's has as one node of several, shows nowhere else. Our evaluator has outputs in the port's layout.
    const keepsAll = written.keepsEveryLayer && written.isOurs;
    const standsFor = ({ shape, layout }: Port) => !keepsAll && (shape.length < 3 || (!used.isOwn && (layout !== 'other' || !written.channelsLast)));
    const names = writtenNames(map, (used.isOwn && written.ownValueOf) || written.valueOf, session, outputOf, standsFor);
    // Our evaluator shows what flows in the map that the file is read to, whose layers have the names of the file's.
    const channelsLast = used.isOwn ? false : (written.channelsLast ?? false);
    const { orderOf } = used.isOwn ? {} : written;
    const actual = sessionLayers({ name: used.name, shapes, session, feed: async (fed) => feed(fed), names, channelsLast, orderOf });
    const reference = referenceOf(map, widened, options);
    const witness = widened || isHeld ? early : await openRuntime(toVerify, options, notes);
    try {
      const recorded = options.golden && !widened ? recordedLayers(map, options.golden, toVerify.edited?.original) : null;
      const expected = [recorded, witness?.source, reference].filter((source) => source != null);
      const missing = new Set(written.keepsEveryLayer ? map.layers.filter((layer) => written.valueOf(layer) === undefined) : []);
      return await work({
        map,
        expected,
        actual,
        toleranceFor: (name, layer) => tolerances.layer(name, layer),
        missing,
        mayReshape: written.partners !== undefined,
        first: options.first,
      });
    } finally {
      await witness?.close();
    }
  } finally {
    await session.close();
  }
}

/** Our evaluator; with the file's own weights its layers stand in for those of the map. */
function referenceOf(map: LayerMap, widened: LayerMap | null, { onProgress }: VerifyOptions): LayerSource {
  const source = referenceLayers(widened ?? map, (done, total) => onProgress?.('reference', done, total));
  if (!widened) return source;
  const own = new Map(map.layers.map((layer, i) => [widened.layers[i]!, layer]));
  const wide = new Map(map.layers.map((layer, i) => [layer, widened.layers[i]!]));
  return {
    name: source.name,
    layers: new Set(map.layers),
    visit: (feeds, sample, layers, see) =>
      source.visit(
        feeds,
        sample,
        layers.map((layer) => wide.get(layer)!),
        (layer, value) => see(own.get(layer)!, value),
      ),
  };
}

/** What was shown before, where it is of these inputs. */
function asHeld(held: HeldLayers | null | undefined, feeds: readonly Feeds[]): RuntimeLayers | null {
  const isOfThese = held?.feeds.length === feeds.length && held.feeds.every((each, i) => each === feeds[i]);
  return held && isOfThese ? closedLater(held) : null;
}

function closedLater({ source, close }: HeldLayers): RuntimeLayers {
  return { source, close: async () => close() };
}

interface RuntimeLayers {
  readonly source: LayerSource;
  close(): Promise<void>;
}

/**
 * Another runtime on the original file; null where there is none or it cannot show layers.
 *
 * @param held what it is asked for at once, so that it is at rest afterwards
 */
async function openRuntime(
  { source, model, map, edited }: Omit<LayersToVerify, 'feeds'>,
  { host: given, onProgress }: VerifyOptions,
  notes: string[],
  held: readonly Feeds[] | null = null,
): Promise<RuntimeLayers | null> {
  const host = source.path !== undefined && isApart(map) ? given : undefined;
  for (const candidate of witnessEngines(model.format)) {
    const engine = host ? apart(candidate, host) : candidate;
    if (!(await engine.availability()).available) continue;
    if (RERUNS.has(engine.name) && isLarge(map)) {
      notes.push(`${engine.name} runs the net anew for each layer, which takes minutes on a net of this size; our evaluator shows its layers instead`);
      continue;
    }
    try {
      const session = await engine.open({ ...source, layers: true });
      return await closingOnError(session, async () => {
        const shown = originalLayers(engine.name, session, map, edited);
        if (!held) return { source: shown, close: () => session.close() };
        onProgress?.(`layers of ${engine.name}`, 0, 1);
        const values = await holdLayers(shown, held);
        await session.close();
        return closedLater(values);
      });
    } catch (error) {
      if (!isModelError(error)) throw error;
      notes.push(`${engine.name} cannot show the layers of the original: ${error.message}`);
    }
  }
  return null;
}
