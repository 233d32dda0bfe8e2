/**
 * Both sides run on the same inputs and compared: outputs, layers, weights. Whether the expected side is the source of a conversion or
 * another file, and who says what its ports and layers are, is in the subject.
 */
import type { LayerMap } from '../model/layer-map.js';
import type { Effort } from './effort.js';
import { givenInputs, recordedInputs } from './feeds.js';
import { generateSample } from './inputs.js';
import type { ComparedLayers } from './layers.js';
import { checkCorrectness, findNarrowing, type Narrowing, widenedMap } from './narrowing.js';
import type { VerifyOptions, WrittenTarget } from './options.js';
import { compareOutputs } from './outputs.js';
import type { FirstDifference, LayerReport, NarrowingReport, OutputReport, Report, Verdict, WeightsReport } from './report.js';
import { type RunSample, runSamples } from './samples.js';
import { type Actual, type Feeds, type LayoutOf, openActual } from './side.js';
import { type Tolerances, tolerances } from './tolerance.js';
import { compareWeights } from './weights.js';
import { type Expected, recordedWitness } from './witness.js';
import type { WrittenModel } from './written/written.js';

export interface Subject {
  /** Ports and layers of the expected side. */
  readonly map: LayerMap;
  readonly target: WrittenTarget;
  /** The target as it is read back; null where files of its format are only run. */
  readonly written: WrittenModel | null;
  readonly layoutOf: LayoutOf;
  /** Whether the map has all weights of the source, so that the file can be compared with its own. */
  readonly isRead: boolean;
  readonly effort: Effort;
  /** Says before anything is run that the ports of the two cannot be the same. */
  checkInputs?(actual: Actual): void;
  /** @param first the first input; its answer is kept where it is needed anyway */
  openExpected(first: Feeds, notes: string[]): Promise<Expected>;
  /** Null, and a note, where the layers of the two cannot be lined up. */
  compareLayers(run: LayersRun, notes: string[]): Promise<ComparedLayers | null>;
}

export interface LayersRun {
  readonly feeds: readonly Feeds[];
  /** The map with the file's own weights, where they are narrower: the original's layers would differ by the loss. */
  readonly widened: LayerMap | null;
  readonly tolerances: Tolerances;
}

const DEFAULT_SEED = 0;

export async function comparePredictions(subject: Subject, options: VerifyOptions): Promise<Report> {
  const startedAt = performance.now();
  const { map, written, isRead } = subject;
  const progress = (phase: string) => (done: number, total: number) => options.onProgress?.(phase, done, total);
  options.onMap?.(map);
  const notes: string[] = [];
  const ran = await runBoth(subject, options, notes);
  const { narrowing, outputs } = ran;
  const kept = ran.kept;
  const mayWiden = isRead && narrowing?.isLinedUp === true;
  const widened = mayWiden && written ? widenedMap(map, written) : null;
  const correctness = widened && (await checkCorrectness(widened, kept, ran.tolerances, notes, progress('reference')));
  if (narrowing && !mayWiden) {
    const why = isRead ? 'they could not be lined up with layers' : 'that takes a source whose wiring is read';
    notes.push(`whether the file computes what its narrower weights say was not checked: ${why}`);
  }
  const feeds = kept.map((sample) => sample.feeds);
  const layers = options.layers ? await subject.compareLayers({ feeds, widened, tolerances: ran.tolerances }, notes) : null;
  notes.push(...(layers?.notes ?? []));
  const weights = written && map.layers.length > 0 ? await compareWeights(map, written, progress('comparing weights')) : null;
  if (!weights) notes.push('weights were not compared one by one: the files do not name them alike');
  const inLayers = layers && (layers.firstDifference ?? behindLayers(map, layers.layers, outputs));
  // In a file that was not written from this map a layer may well make something else under the same name, and weights be folded.
  const isLineage = written?.isOurs === true && weights?.judged !== false;
  const layersPassed = layers?.firstDifference == null || !isLineage;
  const verdict = verdictOf(outputs, weights, correctness?.report.passed ?? true, layersPassed);
  const first = firstDifference(map, weights, inLayers, correctness?.problem ?? ran.problem);
  if (verdict === 'match' && first) notes.push(`${first.message}; the outputs agree, so the two arrange this part in different ways`);
  return reportOn(ran, {
    verdict,
    layers: layers?.layers ?? null,
    weights,
    narrowing,
    correctness: correctness?.report ?? null,
    firstDifference: verdict === 'match' ? null : first,
    notes,
    elapsedMs: performance.now() - startedAt,
  });
}

/** Runs witness and written file on the same inputs, and compares outputs. */
async function runBoth({ map, target, written, layoutOf, isRead, effort, checkInputs, openExpected }: Subject, options: VerifyOptions, notes: string[]) {
  const { golden } = options;
  const given = golden ? await recordedInputs(golden, map) : options.inputs ? await givenInputs(options.inputs, map) : null;
  const seed = given ? null : (options.seed ?? DEFAULT_SEED);
  const first = given ? given.sample(0) : generateSample(map.inputs, 0, seed!, map.layers);
  const actual = await openActual(target, map, layoutOf, options, notes);
  try {
    checkInputs?.(actual);
    const expected = golden ? await recordedWitness(golden, map, given!) : await openExpected(first, notes);
    try {
      const samples = given ? given.runs : Math.min(options.samples ?? effort.samples, expected.maxSamples);
      const narrowing = written && findNarrowing(map, written, isRead && expected.witness.kind !== 'reference');
      const allowed = tolerances({
        ...options,
        expected: expected.name,
        actual: actual.name,
        narrowest: narrowing?.narrowest,
        computeDType: written?.computeDType,
      });
      const comparison = compareOutputs(map, allowed.outputs);
      const kept: RunSample[] = [];
      const sampleOf = (sample: number) => (sample === 0 ? first : (given?.sample(sample) ?? generateSample(map.inputs, sample, seed!, map.layers)));
      await runSamples({ expected, actual, samples, sampleOf, comparison }, options, (run) => {
        if (kept.length < effort.few) kept.push(run);
      });
      for (const name of comparison.constantOutputs()) {
        notes.push(`output "${name}" is the same for all ${samples} inputs, so comparing it proves little`);
      }
      return {
        ...comparison.report(),
        witness: expected.witness,
        engines: { expected: expected.engine, actual: actual.engine },
        device: actual.device,
        inputs: { samples, seed, kind: given ? ('recorded' as const) : ('generated' as const) },
        narrowing,
        tolerances: allowed,
        kept,
      };
    } finally {
      await expected.close();
    }
  } finally {
    await actual.close();
  }
}

/** What both sides' run says by itself. */
type Ran = Pick<Report, 'witness' | 'engines' | 'device' | 'tolerance' | 'inputs' | 'outputs'>;

interface Findings extends Pick<Report, 'verdict' | 'layers' | 'weights' | 'firstDifference' | 'notes' | 'elapsedMs'> {
  readonly narrowing: Narrowing | null;
  readonly correctness: NarrowingReport | null;
}

function reportOn({ witness, engines, device, tolerance, inputs, outputs }: Ran, { narrowing, correctness, ...findings }: Findings): Report {
  return {
    schema: 'weighbridge/report@1',
    verdict: findings.verdict,
    witness,
    engines,
    device,
    tolerance,
    inputs,
    outputs,
    layers: findings.layers,
    weights: findings.weights,
    quantisation: narrowing && {
      methods: narrowing.methods,
      correctness,
      loss: { expected: engines.expected, tolerance, outputs, passed: outputs.every(({ passed }) => passed) },
    },
    firstDifference: findings.firstDifference,
    notes: findings.notes,
    elapsedMs: findings.elapsedMs,
  };
}

function verdictOf(outputs: readonly OutputReport[], weights: WeightsReport | null, isCorrect: boolean, layersPassed: boolean): Verdict {
  const differs = outputs.some(({ passed, compared, nonFinite }) => !passed && (compared > 0 || nonFinite.expected === 0));
  if ((weights?.judged && weights.mismatches.length > 0) || !isCorrect || !layersPassed || differs) return 'mismatch';
  return outputs.length === 0 || outputs.some(({ compared }) => compared === 0) ? 'nothing-compared' : 'match';
}

/** An output that differs though the layer that makes it agrees: something stands between the two in the file. */
function behindLayers(map: LayerMap, layers: readonly LayerReport[], outputs: readonly OutputReport[]): FirstDifference | null {
  for (const [place, { name, passed }] of outputs.entries()) {
    if (passed) continue;
    const maker = map.layers.find((layer) => layer.outputs.includes(map.outputs[place]!.value));
    if (!layers.some((layer) => layer.layer === maker?.name && layer.passed)) continue;
    return {
      layer: maker!.name,
      message: `output "${name}" differs although layer "${maker!.name}", which makes it, agrees: the file does something more to it`,
    };
  }
  return null;
}

/** The earliest in running order of what layers and weights show; of two for one layer the weight, which is the cause. */
function firstDifference(map: LayerMap, weights: WeightsReport | null, layer: FirstDifference | null, problem: string | null): FirstDifference | null {
  const [mismatch] = weights?.judged ? weights.mismatches : [];
  const weight = mismatch ? { layer: mismatch.layer, message: mismatch.message } : null;
  const place = (difference: FirstDifference) => map.layers.findIndex(({ name }) => name === difference.layer);
  if (weight && layer) return place(layer) < place(weight) ? layer : weight;
  return weight ?? layer ?? (problem === null ? null : { message: problem });
}
