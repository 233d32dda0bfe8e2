/** Everything that is compared of two models: outputs, interface, layers, weights. */

import { drawingLayers } from '../model/drawing.js';
import { rowsOfSource } from '../model/edited.js';
import type { LayerMap } from '../model/layer-map.js';
import { listed, RUNTIMES_FAULT } from '../words.js';
import { describeBriefly } from './agreement.js';
import { type LayerAlone, tryAlone } from './alone.js';
import { explain } from './causes/explain.js';
import { checkClaimed, claimNote, claimsOf, withClaims } from './claimed.js';
import { checkCodes, hasCodes } from './codes.js';
import { tryInner } from './inner.js';
import { describeFar, judgeLoss, lossOfFloat16 } from './loss.js';
import { checkCorrectness, widenedMap } from './narrowing.js';
import type { VerifyOptions } from './options.js';
import { checkReading } from './reading.js';
import type { FirstDifference, LayerReport, NarrowingReport, OutputReport, Report, Verdict, WeightsReport } from './report.js';
import { type Ran, runBoth } from './run-both.js';
import type { RunSample } from './samples.js';
import { isWitnessAlone } from './second-opinion.js';
import { type StatedOtherwise, tryStated } from './stated.js';
import type { Subject } from './subject.js';
import { compareWeights } from './weights.js';

export async function comparePredictions(opened: Subject, options: VerifyOptions): Promise<Report> {
  const startedAt = performance.now();
  options.onMap?.(opened.map);
  const notes: string[] = [];
  const alone = await runBoth(opened, options, notes);
  try {
    return { ...(await reportOf(opened, alone, options, notes)), elapsedMs: performance.now() - startedAt };
  } finally {
    alone.held?.close();
  }
}

async function reportOf(opened: Subject, alone: Ran, options: VerifyOptions, notes: string[]): Promise<Omit<Report, 'elapsedMs'>> {
  const { map, isRead, effort } = opened;
  const progress = (phase: string) => (done: number, total: number) => options.onProgress?.(phase, done, total);
  const { subject, narrowing, tolerances } = alone;
  const { written } = subject;
  const { outputs: compared, tolerance, problem } = alone.comparison.report();
  const kept = alone.kept.slice(0, effort.few);
  const ofOwn = (net: LayerMap) => ({ tolerance: tolerances.correctness('reference'), allowedFor: alone.ownAllowedFor(net) });
  const claims = isRead && narrowing ? claimsOf(subject) : [];
  const isClaimed = claims.length > 0;
  if (isClaimed) notes.push(claimNote(claims));
  const mayWiden = isRead && narrowing?.isLinedUp === true && !isClaimed;
  const widened = mayWiden && written ? widenedMap(map, written) : null;
  const isCoded = hasCodes(map);
  const correctness = isClaimed
    ? await checkClaimed(subject, [...kept, ...alone.further], ofOwn, options, notes)
    : widened &&
      (isCoded
        ? await checkCodes(subject, widened, kept, options, notes)
        : await checkCorrectness(widened, [...kept, ...alone.further], ofOwn(widened), notes, progress('reference')));
  if (narrowing && !mayWiden && !isClaimed) {
    const why = isRead ? 'they could not be lined up with layers' : 'that takes a source whose wiring is read';
    notes.push(`whether the file computes what its narrower weights say was not checked: ${why}`);
  }
  const mayRead = isRead && narrowing && alone.expected.witness.independent && !alone.isWhole && drawingLayers(subject.training).length === 0;
  const misread = mayRead ? await checkReading(subject, kept, alone.expected, options) : null;
  const isHalf = written?.computeDType === 'float16';
  const own = narrowing ? widened : map;
  const shownBehind: RunSample[] = [];
  const inner =
    isRead && own && !isCoded && !isHalf
      ? await tryInner(subject, { samples: alone.compared, map: own, tolerances, shown: shownBehind }, options, notes)
      : null;
  const apart = isRead && !narrowing && !isHalf && !ranOut(alone) ? await tryAlone(subject, { samples: alone.compared, tolerances }, options) : null;
  const stated = isRead && !isCoded && !isHalf && !ranOut(alone) ? await tryStated(subject, narrowing !== null) : null;
  const besides = [inner, apart?.trial, stated?.trial].filter((trial) => trial != null);
  const ran = { ...alone, trials: [...alone.trials, ...besides], shown: [...shownBehind, ...alone.shown] };
  if (isClaimed && options.layers) notes.push("layers were not compared: with such weights they are not the source's one by one either");
  const layers =
    options.layers && !isClaimed ? await subject.compareLayers({ feeds: kept.map(({ feeds }) => feeds), widened, tolerances, held: alone.held }, notes) : null;
  notes.push(...(layers?.notes ?? []));
  const stored = written && map.layers.length > 0 ? await compareWeights(map, written, progress('comparing weights')) : null;
  const weights = await withClaims(withFolded(stored, subject), claims, subject);
  if (!weights) notes.push(NOT_ONE_BY_ONE);
  if (written?.partners) notes.push(BY_WIRING);
  const drawing = drawingLayers([...new Set([...subject.training, ...(written?.training ?? [])])]);
  if (drawing.length > 0) notes.push(`${listed(drawing, 3)}: what agrees, agrees by a seed that both runs had`);
  // In a file that was not written from this map a layer may well make something else under the same name, and weights be folded.
  const isLineage = written?.isOurs === true && !written.isOrigin && weights?.judged !== false;
  const told = ran.interface.filter(({ judged }) => !judged);
  notes.push(...told.map(({ message }) => message), ...ran.trials.filter(({ passed }) => passed === null).map(({ message }) => message));
  const loss = narrowing && (await judge(subject, ran, compared, options, { weights, isCorrect: correctness?.report.passed === true }));
  // What was rounded is off wherever it is looked at; whether by too much is what the loss is judged by.
  const outputs =
    loss?.passed && misread === null ? compared.map((output) => ({ ...output, passed: output.nonFinite.actual + output.nonFinite.expected === 0 })) : compared;
  if (loss?.by === 'nothing' && misread === null) notes.push(loss.passed || ran.given ? UNTOLD : FURTHER);
  const passed = {
    loss: loss?.passed ?? true,
    weights: weights?.judged !== true || weights.mismatches.length === 0,
    correctness: correctness?.report.passed ?? true,
    reading: misread === null,
    layers: layers?.firstDifference == null || !isLineage,
  };
  const found = verdictOf(ran, outputs, passed);
  const mayBeWitness = found === 'mismatch' && passed.weights && beyondValues(ran) === null;
  const verdict = mayBeWitness && (await isWitnessAlone(subject, ran)) ? 'disputed' : found;
  const inLayers = (layers && (layers.firstDifference ?? behindLayers(map, layers.layers, outputs))) ?? (stated && firstStated(stated));
  const first = firstDifference(
    map,
    weights,
    inLayers,
    tooCoarse(ran) ?? misread ?? correctness?.problem ?? (loss?.passed ? null : (lossProblem(ran, loss?.by) ?? problem)) ?? beyondValues(ran),
  );
  // Nobody's mistake: a file that is what its source's weights, rounded, come to, of a net that does not bear it.
  const isLoss =
    loss?.passed === false && passed.weights && passed.reading && passed.layers && correctness?.report.passed === true && beyondValues(ran) === null;
  if (isLoss) notes.push(OF_NARROWING);
  // A file that is right as it is written has no mistake that could be looked for.
  const isRuntimes = passed.weights && notes.some((note) => note.endsWith(RUNTIMES_FAULT));
  const isOfPorts = !stated && !apart?.first && isOfInterface(ran, outputs, passed);
  const isToBlame = !isLoss && passed.reading && !isRuntimes && !isOfPorts && (verdict === 'mismatch' || verdict === 'disputed');
  const explainWith = (suspect: LayerAlone['first'] | undefined, told: string[]) =>
    explain(
      subject,
      {
        first,
        weights,
        widened,
        tolerances,
        samples: telling(ran),
        suspect: suspect ?? undefined,
        isAsked: options.layers === true,
        onPlaced: options.onPlaced,
        ofRecording: ran.ofRecording,
      },
      told,
    );
  const untold: string[] = [];
  const explained = isToBlame ? (stated && passed.weights ? stated.cause : await explainWith(apart?.first, untold)) : null;
  // Layers are held to more than an output that is steadier than they are: the one alone shows what they do not one after the other.
  const mayLookAlone = isToBlame && !explained && isRead && !narrowing && !isHalf && ranOut(alone);
  const suspected = mayLookAlone ? await tryAlone(subject, { samples: telling(ran), tolerances, differs: true }, options) : null;
  const cause = suspected?.first ? await explainWith(suspected.first, []) : explained;
  if (!cause) notes.push(...untold);
  if (verdict === 'match' && inLayers) notes.push(`${inLayers.message}; the outputs agree, so the two arrange this part in different ways`);
  return {
    schema: 'weighbridge/report@1',
    verdict,
    witness: ran.expected.witness,
    witnessRequired: options.requireWitness === true,
    files: null,
    engines: { expected: ran.expected.engine, actual: ran.actual.engine },
    device: ran.actual.device,
    tolerance,
    inputs: { samples: ran.samples, seed: ran.seed, kind: ran.given ? 'recorded' : 'generated', ranges: ran.ranges },
    compared: {
      outputs: outputs.filter(({ compared, isEmpty }) => compared > 0 || isEmpty).length,
      of: outputs.length,
      values: outputs.reduce((sum, { compared }) => sum + compared, 0),
    },
    outputs,
    interface: ran.interface,
    trials: ran.trials,
    coverage: ran.coverage,
    layers: layers?.layers ?? null,
    weights,
    quantisation: narrowing && {
      methods: narrowing.methods,
      correctness: correctness?.report ?? null,
      loss: { expected: ran.expected.engine, tolerance, outputs: compared, passed: loss!.passed } satisfies NarrowingReport,
      lossJudgedBy: loss!.by,
      agreement: ran.agreement,
      ofFloat16: loss!.ofFloat16,
    },
    firstDifference: verdict === 'match' ? null : first,
    cause,
    assumed: subject.assumed,
    training: [...new Set([...subject.training, ...(written?.training ?? [])])],
    changes: subject.edited?.changes ?? [],
    notes,
  };
}

/** Whether an output is out of tolerance already. */
function ranOut({ comparison }: Ran): boolean {
  return comparison.report().outputs.some(({ passed }) => !passed);
}

/** Samples that show a difference first, then what else is at hand. */
function telling({ differing, shown, kept, further, compared }: Ran): RunSample[] {
  return [...new Set([...(differing ? [differing] : []), ...shown, ...kept, ...further, ...compared])];
}

export const NOT_ONE_BY_ONE = 'weights were not compared one by one: the files do not name them alike';

const BY_WIRING = 'the two files name their layers otherwise, so that layers and weights were paired by where they stand in the net';

const OF_NARROWING =
  "what differs is what narrower weights cost this net: the file computes what they say, and they are the source's, rounded. A wider dtype, or weights kept wide in some layers, costs less";

const UNTOLD =
  'generated inputs do not tell what narrower weights cost in predictions, and neither do a few real ones: --inputs or --golden with real ones tell, and with an array "labels" also how many are right';

const FURTHER =
  'these inputs were generated, and mean nothing; nets that are good on real ones do not move so far on such, and what real ones (--inputs, --golden) say is what is judged where they are given';

/** Whether the loss is too much; measured beside float16's where that is asked for or may decide. */
async function judge(
  { map, edited, isRead, effort }: Subject,
  { narrowing, agreement, given, kept }: Ran,
  outputs: readonly OutputReport[],
  options: VerifyOptions,
  { weights, isCorrect }: { readonly weights: WeightsReport | null; readonly isCorrect: boolean },
) {
  const isRounded = weights?.judged === true && weights.mismatches.length === 0;
  const found = !isCorrect ? null : isRounded ? 'rounded' : weights?.judged !== true && weights?.claims !== undefined ? 'claimed' : null;
  const matters = given !== null || outputs.some(({ passed }) => !passed);
  const { narrowest } = narrowing!;
  const ofFloat16 =
    isRead && matters && effort.few > 1 && narrowest !== 'float16' && kept.length > 0
      ? await lossOfFloat16(asItWas(map, edited), kept.slice(0, effort.few))
      : null;
  const isBounded = options.atol !== undefined || options.rtol !== undefined;
  return { ...judgeLoss({ outputs, narrowest, agreement, ofFloat16, isBounded, isGiven: given !== null, weights: found }), ofFloat16 };
}

/** The net before it computed in codes, whose own roundings would hide what float16 does. */
function asItWas(map: LayerMap, edited: Subject['edited']): LayerMap {
  return edited && hasCodes(map) && edited.prelude === null && rowsOfSource(edited.comparable, map) === null ? edited.comparable : map;
}

function lossProblem({ agreement, comparison }: Ran, by: string | undefined): string | null {
  if (by === 'nothing') return `the outputs point elsewhere than the source's: ${describeFar(comparison.report().outputs)}`;
  return by === 'predictions' && agreement ? `predictions are not the source's: ${describeBriefly(agreement)}` : null;
}

/** Weights that were folded are held to what folding makes of them, and called so; whether that is right is for the outputs to say. */
function withFolded(report: WeightsReport | null, { edited }: Subject): WeightsReport | null {
  const folded = new Set(edited?.changes.filter(({ transform }) => transform === 'fold-batchnorm').flatMap(({ layers }) => layers));
  if (!report || folded.size === 0) return report;
  const called = (method: string) => (method === 'as is' ? 'folded' : `folded, ${method}`);
  return { ...report, tensors: report.tensors.map((tensor) => (folded.has(tensor.layer) ? { ...tensor, method: called(tensor.method) } : tensor)) };
}

/** Which parts of the file passed beside its outputs. */
interface Passed {
  readonly loss: boolean;
  readonly weights: boolean;
  readonly correctness: boolean;
  /** Whether the source's own weights give what an independent witness says. */
  readonly reading: boolean;
  readonly layers: boolean;
}

/** A match says that everything was compared that there is: a model of which an output was not is none, whatever the others do. */
function verdictOf({ interface: differences, trials }: Ran, outputs: readonly OutputReport[], passed: Passed): Verdict {
  const differs = outputs.some((output) => !output.passed && (output.compared > 0 || output.nonFinite.expected === 0));
  const promises = differences.some(({ judged }) => judged) || trials.some((trial) => trial.passed === false);
  if (differs || promises || !passed.loss || !passed.weights || !passed.correctness || !passed.reading || !passed.layers) return 'mismatch';
  return outputs.every(({ compared }) => compared === 0) || outputs.some(({ compared, isEmpty }) => compared === 0 && !isEmpty) ? 'nothing-compared' : 'match';
}

/** What is wrong where every value of single inputs is right. */
function beyondValues({ interface: differences, trials }: Ran): string | null {
  return differences.find(({ judged }) => judged)?.message ?? trials.find(({ passed }) => passed === false)?.message ?? null;
}

/** Whether only the interface differs: values that agree have no mistake that could be looked for. */
function isOfInterface({ interface: differences, differing, shown }: Ran, outputs: readonly OutputReport[], passed: Passed): boolean {
  const areEqual = differing === null && shown.length === 0 && outputs.every((output) => output.passed) && Object.values(passed).every(Boolean);
  return areEqual && differences.some(({ judged }) => judged);
}

/** Where float16, in which the file computes, does not do: that names the layer, which an output that has become NaN does not. */
function tooCoarse({ trials }: Ran): string | null {
  return trials.find(({ kind, passed }) => kind === 'float16' && passed === false)?.message ?? null;
}

function firstStated({ layer, trial }: StatedOtherwise): FirstDifference {
  return { layer: layer.name, message: trial.message };
}

/** An output that differs though the layer that makes it agrees: something stands between the two in the file. */
function behindLayers(map: LayerMap, layers: readonly LayerReport[], outputs: readonly OutputReport[]): FirstDifference | null {
  for (const [place, { name, passed }] of outputs.entries()) {
    if (passed) continue;
    const maker = map.layers.find((layer) => layer.outputs.includes(map.outputs[place]!.value));
    if (!layers.some((layer) => layer.layer === maker?.name && layer.passed)) continue;
    return {
      layer: maker!.name,
      message: `output "${name}" differs although layer "${maker!.name}", which makes it, agrees: the file does something more to it, or what was expected is of something else`,
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
