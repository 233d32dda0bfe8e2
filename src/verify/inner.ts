/**
 * What outputs do not show because a function that saturates makes them: behind a softmax that has one class alone a net may be clipped,
 * or cut, unseen. There the values that the function reads are compared as well.
 */
import { isModelError } from '../errors.js';
import type { Layer, LayerMap } from '../model/layer-map.js';
import { makersOf } from '../model/ops/index.js';
import { multiplications } from './effort.js';
import type { NdArray } from './engine.js';
import { selectEngine } from './engines/index.js';
import { RANGES, type Range } from './inputs.js';
import { type LayerSource, mapShapes, referenceLayers, sessionLayers, writtenNames } from './layer-source.js';
import type { VerifyOptions } from './options.js';
import { compareOutputs } from './outputs.js';
import type { TrialReport } from './report.js';
import { type AllowedFor, isBeyondFloat32, type RunSample, slackFor } from './samples.js';
import { type Arrays, adaptPorts, type Feeds } from './side.js';
import type { Subject } from './subject.js';
import { rtolsByNudging, type Tolerances } from './tolerance.js';
import { isWrittenFrom } from './written/written.js';

const SATURATES: ReadonlySet<string> = new Set(['Softmax', 'Sigmoid', 'HardSigmoid', 'Tanh', 'ArgMax']);
/** What may stand between such a function and the output. */
const PASSES: ReadonlySet<string> = new Set(['Transpose', 'Reshape', 'Flatten', 'Identity', 'Squeeze', 'Unsqueeze', 'Cast', 'Slice']);

/** Multiplications that our evaluator may spend: a second or less. */
const BUDGET = 5e8;
const MOST_SAMPLES = 4;
/** Those first that show a clip, a sign or a byte misread. */
const TELLING: readonly Range[] = [RANGES.pixels, RANGES.centred, RANGES.huge];

/** A layer whose value a saturating function reads to make an output. */
interface Behind {
  readonly layer: Layer;
  readonly end: Layer;
  /** Place of the output. */
  readonly output: number;
}

export interface InnerRun {
  readonly samples: readonly RunSample[];
  /** The map with the weights that the file computes with. */
  readonly map: LayerMap;
  readonly tolerances: Tolerances;
  /** What differs behind an output is put here. */
  readonly shown: RunSample[];
}

/** Null where no output saturates, or nothing shows what is behind it; the latter is told. */
export async function tryInner(
  subject: Subject,
  { samples, map, tolerances, shown }: InnerRun,
  options: VerifyOptions,
  notes: string[],
): Promise<TrialReport | null> {
  const behind = findBehind(map);
  const saturated = samples.filter(({ wanted, found }) => behind.some(({ end, output }) => isSaturated(end, wanted[output] ?? found[output])));
  const affordable = Math.min(MOST_SAMPLES, Math.floor(BUDGET / Math.max(1, multiplications(map))));
  if (saturated.length === 0 || !subject.written) return null;
  const ends = [...new Set(behind.map(({ end }) => `"${end.name}"`))].join(', ');
  const untold = (why: string) => {
    notes.push(`${ends} gives much the same for ${saturated.length} of ${samples.length} inputs, and what it reads was not compared: ${why}`);
    return null;
  };
  if (affordable === 0) return untold('the net is too large for our evaluator to show it in passing; --layers takes the time');
  try {
    return await withInner(subject, map, options, async ({ source }) => {
      const layers = map.layers.filter((layer) => source.layers.has(layer) && behind.some((each) => each.layer === layer));
      if (layers.length === 0) return untold('the file does not keep it apart');
      const telling = saturated.toSorted((a, b) => rank(a.range) - rank(b.range));
      return compareInner(map, source, layers, { samples: telling.slice(0, affordable), tolerances, ends, shown });
    });
  } catch (error) {
    if (!isModelError(error)) throw error;
    return untold(error.message);
  }
}

function rank(range: Range): number {
  const place = TELLING.indexOf(range);
  return place < 0 ? TELLING.length : place;
}

function findBehind({ layers, outputs }: LayerMap): Behind[] {
  const makers = makersOf(layers);
  const through = (value: string): Layer | undefined => {
    let maker = makers.get(value);
    while (maker && PASSES.has(maker.op)) maker = makers.get(maker.inputs[0] ?? '');
    return maker;
  };
  return outputs.flatMap(({ value }, output): Behind[] => {
    const end = through(value);
    const layer = end && SATURATES.has(end.op) ? makers.get(end.inputs[0] ?? '') : undefined;
    return layer ? [{ layer, end: end!, output }] : [];
  });
}

/** Part of its range that a function has left when its value says little more of what it reads. */
const FLAT = 0.98;

function isSaturated({ op }: Layer, value: NdArray | undefined): boolean {
  if (!value || op === 'ArgMax') return op === 'ArgMax';
  const values = Array.from(value.data as ArrayLike<number>, Number);
  if (op === 'Softmax') return values.some((x) => x > FLAT);
  const low = op === 'Tanh' ? -FLAT : 1 - FLAT;
  return values.filter((x) => x > FLAT || x < low).length > values.length / 2;
}

/** The written file in its runtime, with the values inside of it. */
export interface InnerSide {
  readonly source: LayerSource;
  /** Its outputs, from the same session. */
  readonly run: (feeds: Feeds) => Promise<Arrays>;
}

/** @throws ModelError 'engine' where the runtime does not show what is inside */
export async function withInner<T>(
  { target, written, layoutOf }: Pick<Subject, 'target' | 'written' | 'layoutOf'>,
  map: LayerMap,
  options: VerifyOptions,
  work: (inner: InnerSide) => Promise<T>,
): Promise<T> {
  const { engine } = await selectEngine(target.format, options);
  const session = await engine.open({ ...target, layers: true });
  try {
    const { feed, show, outputOf } = adaptPorts(session, map, layoutOf, { keepsOrder: isWrittenFrom(map, written!), names: written!.ports });
    const names = writtenNames(map, written!.valueOf, session, outputOf);
    return await work({
      source: sessionLayers({
        name: engine.name,
        shapes: mapShapes(map),
        session,
        feed: async (fed) => feed(fed),
        names,
        channelsLast: written!.channelsLast ?? false,
        orderOf: written!.orderOf,
      }),
      run: async (feeds) => show(await session.run(feed(feeds))),
    });
  } finally {
    await session.close();
  }
}

interface InnerSamples extends Pick<InnerRun, 'shown'> {
  readonly samples: readonly RunSample[];
  readonly tolerances: Tolerances;
  /** The functions that read the values, for messages. */
  readonly ends: string;
}

async function compareInner(
  map: LayerMap,
  actual: LayerSource,
  layers: readonly Layer[],
  { samples, tolerances, ends, shown }: InnerSamples,
): Promise<TrialReport> {
  const outputs = layers.map(({ name, outputs: [value = ''] }) => ({ name, value, dtype: 'float32', shape: [], layout: 'other' }) as const);
  const comparison = compareOutputs({ outputs }, { ...tolerances.correctness('reference'), each: layers.map((layer) => tolerances.layer('reference', layer)) });
  const reference = referenceLayers(map);
  const show = async (source: LayerSource, feeds: Feeds): Promise<Arrays> => {
    const shown = new Map<Layer, NdArray>();
    await source.visit(feeds, 0, layers, async (layer, value) => {
      shown.set(layer, value);
    });
    return layers.map((layer) => shown.get(layer));
  };
  let compared = 0;
  for (const sample of samples) {
    const { feeds, range } = sample;
    const [wanted, found] = [await show(reference, feeds), await show(actual, feeds)];
    if (isBeyondFloat32(range, wanted, found)) continue;
    const allowedFor: AllowedFor = (fed) => rtolsByNudging(map, { run: (nudged) => show(reference, nudged) }, fed);
    const slack = await slackFor({ outputs, inputs: map.inputs }, { allowedFor, comparison }, { feeds, wanted, found, range });
    if (slack === null) continue;
    const before = comparison.report().problem;
    comparison.add(wanted, found, slack);
    if (before === null && comparison.report().problem !== null) shown.push(sample);
    compared++;
  }
  const { problem } = comparison.report();
  const what = `what ${ends} reads`;
  if (problem !== null) return { kind: 'inner', what, passed: false, message: `${what} differs, where what it gives shows little of it: ${problem}` };
  return compared === 0
    ? { kind: 'inner', what, passed: null, message: `${what} could not be compared` }
    : { kind: 'inner', what, passed: true, message: `${what} agrees as well, for ${compared} inputs on which what it gives shows little of it` };
}
