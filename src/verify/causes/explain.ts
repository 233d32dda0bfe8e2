/**
 * What kind of mistake it is: on the first layer that differs the mistakes that converters make are tried one by one, with what flows into it,
 * and the one is named with which the layer gives what was found.
 */
import { isModelError } from '../../errors.js';
import { drawingLayers } from '../../model/drawing.js';
import type { Layer, LayerMap } from '../../model/layer-map.js';
import { toValue, type Value } from '../../model/ops/array.js';
import { inferMap, makeLayer, makersOf, type ValueType, valuesRead } from '../../model/ops/index.js';
import { elementCount } from '../../model/tensor.js';
import { Allowance, shapesBy, stepsOf } from '../allowance.js';
import { toLayout } from '../array.js';
import { largestFinite } from '../compare.js';
import { multiplications } from '../effort.js';
import type { NdArray } from '../engine.js';
import { exchangedOutputs } from '../exchanged.js';
import type { LayerSource } from '../layer-source.js';
import type { LayerSides } from '../layer-witness.js';
import { compareLayers } from '../layers.js';
import type { PlacedFault } from '../options.js';
import type { CauseReport, WeightsReport } from '../report.js';
import type { RunSample } from '../samples.js';
import type { Feeds } from '../side.js';
import type { Subject } from '../subject.js';
import type { Tolerances } from '../tolerance.js';
import { readStated, STATED_WHOLE, type Stated } from './as-stated.js';
import { errorOf, evaluateSegment, hiddenBehind, type Segment, scaled, scaleOf } from './segment.js';
import { tryStored } from './stored.js';
import { type Findings, type TrialLimits, tryCauses } from './trial.js';

/** Samples on which a layer is looked at: the first that differs, and others that tell causes apart. */
const SAMPLES = 3;
/** Steps that trying may take on one layer: about 2.5 s. */
const STEPS = 2.5e9;
/** That all of it may take, from the search for the layer on: what is not found with them is told as such. */
const MOST_STEPS = 3e10;
/** Multiplications of a net whose layers are looked at in passing, where nobody asked for all of them. */
const IN_PASSING = 2e9;
/** Layers whose values are fetched beside the one that differs, and elements of each. */
const OTHERS = { layers: 12, elements: 2 ** 18 } as const;
/** At least, of a layer's scale: what is this near is the same. */
const LEAST_ALLOWED = 2e-5;

export interface ToExplain {
  /** What differed first. */
  readonly first: { readonly layer?: string } | null;
  readonly weights: WeightsReport | null;
  /** Where the outputs differ, that sample first. */
  readonly samples: readonly RunSample[];
  readonly widened: LayerMap | null;
  readonly tolerances: Tolerances;
  /** What explains it where no layer does. */
  readonly ofRecording?: CauseReport | null;
  /** A layer that is known to be to blame, and where it shows. */
  readonly suspect?: { readonly layer: Layer; readonly sample: RunSample };
  /** Whether layers are compared however long that takes. */
  readonly isAsked: boolean;
  readonly onPlaced?: (fault: PlacedFault) => void;
}

/** Null where nothing differs that a layer could be to blame for; a note says why where one could not be looked at. */
export async function explain(subject: Subject, toExplain: ToExplain, notes: string[]): Promise<CauseReport | null> {
  const { ofRecording } = toExplain;
  if (drawingLayers(subject.training).length > 0) return null;
  if (!ofRecording) return explainLayers(subject, toExplain, notes);
  const ofLayers = await explainLayers(subject, toExplain, []);
  return ofLayers && ofLayers.explainedBy.length > 0 ? ofLayers : ofRecording;
}

async function explainLayers(subject: Subject, toExplain: ToExplain, notes: string[]): Promise<CauseReport | null> {
  const { map, written } = subject;
  const { first, weights } = toExplain;
  const areWeightsRight = weights?.judged !== true || weights.mismatches.length === 0;
  const exchanged = areWeightsRight ? exchangedOutputs(map, toExplain.samples.slice(0, SAMPLES), toExplain.tolerances.outputs) : null;
  if (exchanged) return exchanged;
  if (map.layers.length === 0 || !subject.isRead) {
    notes.push('what kind of mistake it is was not looked for: that takes the layers of the original, of which only outputs are known here');
    return null;
  }
  const allowance = new Allowance(MOST_STEPS);
  try {
    const types = inferMap(map);
    const mismatch = weights?.judged ? weights.mismatches.find(({ layer }) => layer === first?.layer) : undefined;
    const layer = mismatch && map.layers.find(({ name }) => name === mismatch.layer);
    if (layer && written) {
      const found = await tryStored({ map, layer, types, weight: (role) => written.weight(layer, role), ...slackOf(written) }, allowance.part(STEPS));
      // A weight that is wrong is what is to be explained: what the layer makes of it tells less.
      if (found) {
        if (toExplain.onPlaced) await explainValues(subject, toExplain, { types, allowance }, []);
        return reportOf(found, layer.name, { by: 'weights', side: 'file' });
      }
    }
    return await explainValues(subject, toExplain, { types, allowance }, notes);
  } catch (error) {
    if (!isModelError(error)) throw error;
    notes.push(`what kind of mistake it is was not looked for: ${error.message}`);
    return null;
  }
}

/** Weights of a file that somebody else made may be worked out otherwise: a normalisation that was folded leaves other last bits. */
function slackOf(written: Subject['written']): { readonly slack?: number } {
  return written?.partners ? { slack: WORKED_OUT } : {};
}

const WORKED_OUT = 2 ** -20;

/** The same for a file of weights alone. */
export async function explainStored(
  map: LayerMap,
  weights: WeightsReport,
  weight: (layer: Layer, role: string) => ReturnType<Parameters<typeof tryStored>[0]['weight']>,
): Promise<CauseReport | null> {
  const layer = map.layers.find(({ name }) => name === weights.mismatches[0]?.layer);
  const found = layer && (await tryStored({ map, layer, types: inferMap(map), weight: (role) => weight(layer, role) }, new Allowance(STEPS)));
  return found ? reportOf(found, layer.name, { by: 'weights', side: 'file' }) : null;
}

async function explainValues(
  subject: Subject,
  toExplain: ToExplain,
  { types, allowance }: Pick<Place, 'types' | 'allowance'>,
  notes: string[],
): Promise<CauseReport | null> {
  const { map } = subject;
  const { samples, widened, tolerances, isAsked, onPlaced, suspect } = toExplain;
  if (!subject.withLayers || samples.length === 0) return null;
  if (!isAsked && multiplications(map) > IN_PASSING) {
    notes.push('what kind of mistake it is was not looked for: the net is large; --layers does it');
    return null;
  }
  const seen: string[] = [];
  let isOut = false;
  const report = await subject.withLayers({ widened, tolerances }, seen, async (sides) => {
    const chosen = tellingApart(samples);
    const net = widened ?? map;
    const stated = await readStated(subject.target, net, subject.written?.partners);
    const place: Place = { sides, net, map, types, written: subject.written, stated, allowance, onPlaced };
    if (suspect) {
      const cause = await explainLayer(place, suspect.layer, [suspect.sample.feeds, ...chosen.map(({ feeds }) => feeds)], LEAST_ALLOWED);
      const output = cause ? null : behind(map, sides, suspect.sample);
      return output ? explainOutput(place, output, suspect.sample) : cause;
    }
    for (const [i, sample] of chosen.entries()) {
      const { layers, isCut } = await compareLayers({ ...sides, feeds: [sample.feeds], first: true, isEnough: spending(place) });
      const failed = layers.find(({ passed }) => !passed);
      const layer = failed && map.layers.find(({ name }) => name === failed.layer);
      const others = [sample, ...chosen.filter((_, j) => j !== i)].map(({ feeds }) => feeds);
      if (layer) return explainLayer(place, layer, others, Math.max(LEAST_ALLOWED, failed.allowed));
      if (isCut) {
        isOut = true;
        return null;
      }
      // What narrower weights cost shows in outputs as well, and is nothing that is done to them.
      const output = widened ? null : behind(map, sides, sample);
      if (output) return explainOutput(place, output, sample);
    }
    return null;
  });
  if (isOut) notes.push('which layer differs first was not found with as much work as there is for it: --layers does it all');
  else if (!report) notes.push('what kind of mistake it is could not be told: no layer that both sides show differs on the inputs that were looked at');
  return report;
}

/** The first, and of the others the one with the largest numbers before the rest: it tells a bound from none. */
function tellingApart([first, ...more]: readonly RunSample[]): RunSample[] {
  const sizeOf = ({ feeds }: RunSample) => feeds.reduce((most, { data }) => Math.max(most, largestFinite(data)), 0);
  const sizes = new Map(more.map((sample) => [sample, sizeOf(sample)]));
  const [widest] = more.toSorted((a, b) => sizes.get(b)! - sizes.get(a)!);
  return [...new Set([first!, ...(widest ? [widest] : []), ...more])].slice(0, SAMPLES);
}

interface Place {
  readonly sides: LayerSides;
  readonly map: LayerMap;
  /** The map with the weights that the file computes with. */
  readonly net: LayerMap;
  readonly types: ReadonlyMap<string, ValueType>;
  readonly written: Subject['written'];
  readonly stated: Stated | null;
  /** What all of it may cost. */
  readonly allowance: Allowance;
  readonly onPlaced?: (fault: PlacedFault) => void;
}

/** Spends what it takes to get from one compared layer to the next, on one input. */
function spending({ map, types, allowance }: Pick<Place, 'map' | 'types' | 'allowance'>): (layer: Layer) => boolean {
  const shapeOf = shapesBy(types);
  let at = 0;
  return (layer) => {
    const end = map.layers.indexOf(layer, at) + 1;
    for (; at < end; at++) allowance.spend(stepsOf(map.layers[at]!, shapeOf));
    return allowance.isSpent;
  };
}

async function explainLayer(place: Place, layer: Layer, feeds: readonly Feeds[], allowed: number): Promise<CauseReport | null> {
  const { sides, map, net, types, written, stated } = place;
  const seen: { segment: Segment; found: Value; base: Value; wanted: Value | null }[] = [];
  for (const feed of feeds) {
    try {
      const { segment, found } = await segmentOf(place, layer, feed);
      const witness = sides.expected.find((source) => source.name !== 'reference' && source.layers.has(layer));
      const wanted = witness && net === map ? (await valuesOf(witness, feed, [layer])).get(layer) : undefined;
      seen.push({ segment, found, base: await evaluateSegment(segment), wanted: wanted ? typed(wanted, found.dtype) : null });
    } catch (error) {
      // What one side cannot compute says nothing; the first one must be there.
      if (!isModelError(error) || seen.length === 0) throw error;
    }
  }
  const [{ segment, base, found, wanted }] = seen as [(typeof seen)[number]];
  const differs = (value: Value | null) => value !== null && errorOf(base, value, scaleOf(base)) > allowed;
  const side = differs(found) ? 'file' : differs(wanted) ? 'reading' : null;
  if (side === null) return null;
  tell(place, segment, { layer, output: null, wanted: side === 'reading' ? wanted! : base, allowed });
  const targets = seen.flatMap(({ segment: each, found: made, wanted: own }) => {
    const target = side === 'file' ? made : own;
    return target ? [{ segment: each, target }] : [];
  });
  const limits = { allowed, allowance: place.allowance.part(STEPS) };
  const alone = await tryCauses(targets, { ...limits, stated: side === 'file' ? stated : null });
  // What a node that the source has not does to what the layer reads is told by the layers that make that.
  const findings =
    side === 'file' && isUntold(alone) && !alone.isCut
      ? ((await tryBefore(place, layer, feeds, { ...limits, allowance: place.allowance.part(STEPS) })) ?? alone)
      : alone;
  // Weights as they are stored tell more than what a layer makes of them; in a file that was not written from the map they may be others by right.
  for (const { name } of side === 'file' && (findings.isFitted || findings.explained.length === 0) ? segment.layers : []) {
    if (place.allowance.isSpent) break;
    const suspect = map.layers.find((each) => each.name === name)!;
    const weight = (role: string) => written?.weight(suspect, role) ?? stated?.weight(suspect, role);
    const stored = await tryStored({ map, layer: suspect, types, weight, ...slackOf(written) }, place.allowance.part(STEPS));
    if (stored && stored.explained.length > 0) return reportOf(stored, name, { by: 'weights', side });
  }
  return reportOf(findings, layer.name, { by: 'values', side });
}

const isUntold = ({ isFitted, explained }: Findings) => isFitted || explained.length === 0;

/** The same mistakes, made between the layers that the layer reads and itself; null where none of them explains it either. */
async function tryBefore(place: Place, layer: Layer, feeds: readonly Feeds[], limits: TrialLimits): Promise<Findings | null> {
  const { map, net } = place;
  const before = new Set(map.layers.filter(({ outputs }) => outputs.some((value) => layer.inputs.includes(value))));
  if (before.size === 0) return null;
  const suspects = new Set(net.layers.filter((_, i) => before.has(map.layers[i]!)));
  const targets: { segment: Segment; target: Value }[] = [];
  for (const feed of feeds) {
    const { segment, found } = await segmentOf(place, layer, feed, before);
    targets.push({ segment, target: found });
  }
  const findings = await tryCauses(targets, { ...limits, suspects, stated: place.stated });
  if (!isUntold(findings)) return findings;
  // What the file itself says is no fit.
  const explained = findings.explained.filter(({ kind }) => STATED_WHOLE.has(kind));
  return explained.length > 0 ? { ...findings, explained, isFitted: false } : null;
}

/**
 * The layer and what stands before it that the file does not show apart, with what flows into them.
 *
 * @param before layers that are taken for such although the file shows them
 */
async function segmentOf(
  { sides, map, net, types, stated }: Place,
  layer: Layer,
  feeds: Feeds,
  before: ReadonlySet<Layer> = new Set(),
): Promise<{ segment: Segment; found: Value }> {
  // A source shows what a layer makes first.
  const isShown = (maker: Layer, value: string) => sides.actual.layers.has(maker) && maker.outputs[0] === value && !before.has(maker);
  const { hidden, shown } = hiddenBehind(makersOf(map.layers), layer, isShown);
  // What flows into the layers anyway, behind one that is not shown, is no other's.
  const read = new Set(stated?.readBy(layer).map(({ name }) => name));
  const near = othersFor(map, layer, types);
  const beside = [...near, ...map.layers.filter((other) => read.has(other.name) && !near.includes(other))].filter(
    (other) => sides.actual.layers.has(other) && !shown.has(other),
  );
  const fetched = await valuesOf(
    sides.actual,
    feeds,
    map.layers.filter((each) => each === layer || shown.has(each) || beside.includes(each)),
  );
  const values = new Map<string, Value>(map.inputs.map((port, i) => [port.value, inMap(feeds[i]!, port)]));
  for (const each of shown) values.set(each.outputs[0]!, typed(fetched.get(each)!, types.get(each.outputs[0]!)?.dtype ?? undefined));
  const others = new Map(beside.flatMap((other) => (fetched.has(other) ? [[other, typed(fetched.get(other)!, 'float32')] as const] : [])));
  const layers = net.layers.filter((_, i) => hidden.has(map.layers[i]!));
  return { segment: { map: net, layers, values, types, others }, found: typed(fetched.get(layer)!, types.get(layer.outputs[0]!)?.dtype ?? undefined) };
}

/** Tells where the fault begins, for whoever cuts the files there. */
function tell(
  { map, written, onPlaced }: Place,
  { layers, values }: Segment,
  { layer, output, wanted, allowed }: { readonly layer: Layer; readonly output: number | null; readonly wanted: Value; readonly allowed: number },
): void {
  const makers = new Map(map.layers.map((each) => [each.outputs[0]!, each] as const));
  // Files are cut as our reader reads them.
  const nameOf = (value: string) => (makers.has(value) ? (written?.ownValueOf ?? written?.valueOf)?.(makers.get(value)!) : undefined);
  const read = new Set(layers.flatMap(valuesRead));
  onPlaced?.({
    inputs: [...values].filter(([value]) => read.has(value)).map(([value, array]) => ({ value, written: nameOf(value), array })),
    fed: map.inputs.map(({ value }) => ({ value, written: undefined, array: values.get(value)! })),
    output: { value: layer.outputs[0]!, written: nameOf(layer.outputs[0]!), place: output },
    readers: map.layers.flatMap((reader) => {
      const at = reader.inputs.indexOf(layer.outputs[0]!);
      return at < 0 ? [] : [{ written: nameOf(reader.outputs[0]!), at }];
    }),
    wanted,
    allowed,
  });
}

/** Layers near by whose values have the shape of one that the layer reads. */
function othersFor({ layers }: LayerMap, layer: Layer, types: ReadonlyMap<string, ValueType>): Layer[] {
  const shapes = new Set(layer.inputs.map((value) => `${types.get(value)?.shape ?? ''}`));
  const at = layers.indexOf(layer);
  const behind = layersBehind(layers, layer);
  const distance = (other: Layer) => Math.abs(layers.indexOf(other) - at);
  return layers
    .filter((other) => {
      const shape = types.get(other.outputs[0]!)?.shape;
      const count = elementCount((shape ?? []).map((size) => (typeof size === 'number' ? size : 1)));
      return !behind.has(other) && shape && count <= OTHERS.elements && shapes.has(`${shape}`) && !layer.inputs.includes(other.outputs[0]!);
    })
    .sort((a, b) => distance(a) - distance(b))
    .slice(0, OTHERS.layers);
}

/** The layer, and all that depend on what it makes. */
function layersBehind(layers: readonly Layer[], layer: Layer): ReadonlySet<Layer> {
  const behind = new Set([layer]);
  const made = new Set(layer.outputs);
  for (const other of layers.slice(layers.indexOf(layer) + 1)) {
    if (!valuesRead(other).some((value) => made.has(value))) continue;
    behind.add(other);
    for (const value of other.outputs) made.add(value);
  }
  return behind;
}

async function valuesOf(source: LayerSource, feeds: Feeds, layers: readonly Layer[]): Promise<Map<Layer, NdArray>> {
  const found = new Map<Layer, NdArray>();
  await source.visit(feeds, 0, layers, async (layer, value) => {
    found.set(layer, value);
  });
  return found;
}

function typed(array: NdArray, dtype: Value['dtype'] | null): Value {
  return { ...toValue(array), ...(dtype ? { dtype } : {}) };
}

function inMap(array: NdArray, port: LayerMap['inputs'][number]): Value {
  return typed(toLayout(array, port.layout, 'nchw'), port.valueDType ?? 'float32');
}

/** An output that differs although the layer that makes it agrees. */
function behind(map: LayerMap, { actual }: LayerSides, { wanted, found }: RunSample): { readonly maker: Layer; readonly place: number } | null {
  for (const [place, port] of map.outputs.entries()) {
    const [a, b] = [wanted[place], found[place]];
    const maker = map.layers.find((layer) => layer.outputs[0] === port.value);
    if (!a || !b || !maker || !actual.layers.has(maker)) continue;
    if (errorOf(toValue(a), toValue(b), scaleOf(toValue(a))) > LEAST_ALLOWED) return { maker, place };
  }
  return null;
}

/** What the file does to an output that its layer makes rightly. */
async function explainOutput(
  around: Place,
  { maker, place }: { readonly maker: Layer; readonly place: number },
  { feeds, found }: RunSample,
): Promise<CauseReport | null> {
  const { sides, map, types } = around;
  const port = map.outputs[place]!;
  const made = (await valuesOf(sides.actual, feeds, [maker])).get(maker);
  if (!made) return null;
  const layer = makeLayer({ name: maker.name, op: 'Identity', inputs: [port.value], outputs: [''] });
  const values = new Map([[port.value, typed(made, types.get(port.value)?.dtype)]]);
  const segment: Segment = { map, layers: [layer], values, types, others: new Map() };
  const target = inMap(found[place]!, port);
  // The file gives what its layer makes, so it is what was expected that is of something else.
  if (errorOf(target, values.get(port.value)!, scaleOf(target)) <= LEAST_ALLOWED) return null;
  const whole = await segmentOf(around, maker, feeds);
  tell(around, whole.segment, { layer: maker, output: place, wanted: whole.found, allowed: LEAST_ALLOWED });
  const findings = await tryCauses([{ segment, target }], { allowed: LEAST_ALLOWED, allowance: around.allowance.part(STEPS) });
  return reportOf(findings, maker.name, { by: 'values', side: 'file', output: port.name });
}

/** What was found of a layer, in words. */
export function reportOf(
  { error, explained, tried, isCut, channels }: Findings,
  layer: string,
  { by, side, output }: Pick<CauseReport, 'by' | 'side'> & { readonly output?: string },
): CauseReport {
  const what = output === undefined ? `layer "${layer}"` : `output "${output}"`;
  const now = scaled(error);
  const looked = channels ? `; ${channels.count} of its ${channels.of} output channels were looked at` : '';
  const cut = isCut ? ', and that took too much before all were' : '';
  const of = by === 'weights' ? "the weights' scale" : 'scale';
  const causes = explained.map((each) => `${each.what}${each.layer === layer || output !== undefined ? '' : ` (in "${each.layer}")`}`);
  const becomes = explained.length > 0 ? scaled(Math.max(...explained.map((each) => each.error))) : '';
  const whose = side === 'reading' ? 'the original computes otherwise than it was read' : '';
  const message =
    explained.length > 0
      ? `${what}${whose ? `: ${whose}` : ''}: explained by: ${causes.join('; or equally by: ')} (error ${now} of ${of} becomes ${becomes}${looked})`
      : `${what}${whose ? `: ${whose}` : ''}: none of ${tried} mistakes that were tried explains it (error ${now} of ${of}${looked}${cut})`;
  return { layer, side, by, error: Number.isFinite(error) ? error : null, explainedBy: explained, tried, message };
}
