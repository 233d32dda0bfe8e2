/** Verification: the written file, read back by its consumer's own runtime, against the best witness there is. */
import { ModelError } from '../errors.js';
import type { LayerMap } from '../model/layer-map.js';
import { defaultSamples, isLarge } from './effort.js';
import { givenInputs, recordedInputs } from './feeds.js';
import { generateSample } from './inputs.js';
import { verifyLayers } from './layer-witness.js';
import { checkCorrectness, findNarrowing, type RunSample, widenedMap } from './narrowing.js';
import type { ConversionToVerify, VerifyOptions } from './options.js';
import { compareOutputs } from './outputs.js';
import type { FirstDifference, LayerReport, OutputReport, Report, Verdict, WeightsReport } from './report.js';
import { predictionReport, runSamples } from './samples.js';
import { openActual } from './side.js';
import { tolerances } from './tolerance.js';
import { compareWeights } from './weights.js';
import { verifyWeights } from './weights-alone.js';
import { chooseWitness } from './witness.js';
import { findWrittenFormat, writtenFormats } from './written/index.js';
import type { WrittenModel } from './written/written.js';

export type { ConversionToVerify, VerifyOptions, WrittenTarget } from './options.js';

const DEFAULT_SEED = 0;

/**
 * Compares a written file with what it was made from: what it predicts, where it can be run, and each of its weights.
 *
 * @throws ModelError 'engine' when no engine can run the file, 'malformed' when recorded arrays do not fit the model
 */
export async function verifyConversion(conversion: ConversionToVerify, options: VerifyOptions = {}): Promise<Report> {
  const { map, target } = conversion;
  const format = findWrittenFormat(target.format);
  if (!format) {
    const known = writtenFormats.map((candidate) => candidate.format).join(', ');
    throw new ModelError('unsupported', `written ${target.format} files cannot be verified. Possible: ${known}.`, { file: target.files.label });
  }
  const written = await format.open(target.files);
  if (!format.runs) return verifyWeights(conversion, written, options);
  if (!map) throw new ModelError('unsupported', 'there is no layer map to compare the file with', { file: target.files.label });
  return verifyPredictions({ ...conversion, map }, written, options);
}

async function verifyPredictions(conversion: ConversionToVerify & { map: LayerMap }, written: WrittenModel, options: VerifyOptions): Promise<Report> {
  const startedAt = performance.now();
  const { map } = conversion;
  const progress = (phase: string) => (done: number, total: number) => options.onProgress?.(phase, done, total);
  options.onMap?.(map);
  const ran = await runBoth(conversion, written, options);
  const { narrowing, notes, outputs, kept } = ran;
  const widened = narrowing && widenedMap(map, written);
  const correctness = widened && (await checkCorrectness(widened, kept.slice(0, fewSamples(map)), ran.tolerances, notes, progress('reference')));
  const feeds = kept.slice(0, fewSamples(map)).map((sample) => sample.feeds);
  const layers = options.layers ? await verifyLayers({ ...conversion, written, feeds, widened, tolerances: ran.tolerances }, options) : null;
  notes.push(...(layers?.notes ?? []));
  const weights = await compareWeights(map, written, progress('comparing weights'));
  if (!weights) notes.push('the weights of the file could not be lined up with layers by name, so its predictions alone were compared');
  const verdict = verdictOf(outputs, weights, correctness?.report.passed ?? true, layers?.firstDifference == null);
  return predictionReport(ran, {
    verdict,
    layers: layers?.layers ?? null,
    weights,
    narrowing,
    correctness: correctness?.report ?? null,
    firstDifference: firstDifference(
      map,
      weights,
      layers && (layers.firstDifference ?? behindLayers(map, layers.layers, outputs)),
      correctness?.problem ?? ran.problem,
    ),
    notes,
    startedAt,
  });
}

/** Runs witness and written file on the same inputs, and compares outputs. */
async function runBoth(conversion: ConversionToVerify & { map: LayerMap }, written: WrittenModel, options: VerifyOptions) {
  const { map, target } = conversion;
  const notes: string[] = [];
  const seed = options.golden || options.inputs ? null : (options.seed ?? DEFAULT_SEED);
  const actual = await openActual(target, map, (port) => written.layoutOf(port), options, notes);
  try {
    const expected = await chooseWitness(conversion, { ...options, seed }, notes);
    try {
      const inputs = options.golden ? await recordedInputs(options.golden, map) : options.inputs ? await givenInputs(options.inputs, map) : null;
      const samples = inputs ? inputs.count : Math.min(options.samples ?? defaultSamples(map), expected.maxSamples);
      const narrowing = findNarrowing(map, written, expected.witness.kind !== 'reference');
      const allowed = tolerances({
        ...options,
        expected: expected.name,
        actual: actual.name,
        narrowest: narrowing?.narrowest,
        computeDType: written.computeDType,
      });
      const comparison = compareOutputs(map, allowed.outputs);
      const kept: RunSample[] = [];
      const sampleOf = (sample: number) => inputs?.sample(sample) ?? generateSample(map.inputs, sample, seed!, map.layers);
      await runSamples({ expected, actual, samples, sampleOf, comparison }, options, (run) => {
        if (kept.length < fewSamples(map)) kept.push(run);
      });
      for (const name of comparison.constantOutputs()) {
        notes.push(`output "${name}" is the same for all ${samples} inputs, so comparing it proves little`);
      }
      return {
        ...comparison.report(),
        witness: expected.witness,
        engines: { expected: expected.engine, actual: actual.engine },
        device: actual.device,
        inputs: { samples, seed, kind: inputs ? ('recorded' as const) : ('generated' as const) },
        narrowing,
        tolerances: allowed,
        kept,
        notes,
      };
    } finally {
      await expected.close();
    }
  } finally {
    await actual.close();
  }
}

/** How many samples are looked at layer by layer, or run by our evaluator beside another witness. */
function fewSamples(map: LayerMap): number {
  return isLarge(map) ? 1 : 2;
}

export function verdictOf(outputs: readonly OutputReport[], weights: WeightsReport | null, isCorrect: boolean, layersPassed: boolean): Verdict {
  const differs = outputs.some(({ passed, compared, nonFinite }) => !passed && (compared > 0 || nonFinite.expected === 0));
  if ((weights?.mismatches.length ?? 0) > 0 || !isCorrect || !layersPassed || differs) return 'mismatch';
  return outputs.length === 0 || outputs.some(({ compared }) => compared === 0) ? 'nothing-compared' : 'match';
}

/** An output that differs though the layer that makes it agrees: something stands between the two in the file. */
function behindLayers(map: LayerMap, layers: readonly LayerReport[], outputs: readonly OutputReport[]): FirstDifference | null {
  for (const { name } of outputs.filter(({ passed }) => !passed)) {
    const port = map.outputs.find((candidate) => candidate.name === name);
    const maker = map.layers.find((layer) => layer.outputs.includes(port!.value));
    if (!layers.some(({ layer, passed }) => layer === maker?.name && passed)) continue;
    return {
      layer: maker!.name,
      message: `output "${name}" differs although layer "${maker!.name}", which makes it, agrees: the file does something more to it`,
    };
  }
  return null;
}

/** The earliest in running order of what layers and weights show; of two for one layer the weight, which is the cause. */
export function firstDifference(map: LayerMap, weights: WeightsReport | null, layer: FirstDifference | null, problem: string | null): FirstDifference | null {
  const [mismatch] = weights?.mismatches ?? [];
  const weight = mismatch ? { layer: mismatch.layer, message: mismatch.message } : null;
  const place = (difference: FirstDifference) => map.layers.findIndex(({ name }) => name === difference.layer);
  if (weight && layer) return place(layer) < place(weight) ? layer : weight;
  return weight ?? layer ?? (problem === null ? null : { message: problem });
}
