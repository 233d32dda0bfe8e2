/** Verification of formats that hold weights and no wiring: there is nothing to run. */
import { ModelError } from '../errors.js';
import type { LayerMap, ModelFile } from '../model/layer-map.js';
import { explainStored } from './causes/explain.js';
import { explainTensor } from './causes/tensors.js';
import type { EngineChoice } from './engine.js';
import type { ConversionToVerify, VerifyOptions } from './options.js';
import type { Report, WeightsReport } from './report.js';
import { compareStored, compareWeights, type NamePairs, type OnProgress, pairByName, withSurplus } from './weights.js';
import type { WrittenModel } from './written/written.js';

/** @returns a report that says that predictions were not compared */
export async function verifyWeights({ model, map, edited, target }: ConversionToVerify, written: WrittenModel, options: VerifyOptions): Promise<Report> {
  const startedAt = performance.now();
  const onProgress = (done: number, total: number) => options.onProgress?.('comparing weights', done, total);
  const names = pairByName(model, written.tensors ?? []);
  const weights = await compareEither(model, map, { written, names }, onProgress);
  const notes = [`${target.format} files hold weights without wiring, so weights were compared and predictions were not`];
  if (edited) notes.push('the net was changed on the way: its weights are compared with what the change makes of the source, and what it predicts is not');
  if (options.inputs) notes.push('nothing of the file is run, so the given inputs were not used');
  if (options.layers) notes.push('nothing of the file is run, so what its layers make was not compared');
  if (!weights) notes.push('no tensor of the file has the name of one of the source');
  const [wrong] = weights?.mismatches ?? [];
  const ofLayer = weights && wrong && map ? await explainStored(map, weights, written.weight) : null;
  const cause = ofLayer ?? (wrong ? await explainTensor(names.pairs, wrong.role) : null);
  const unread = model.warnings.find(({ code }) => code === 'unread-tensor')?.message;
  const rest = unread ? `; of the source ${unread}` : '';
  const why = `tensors are compared bit for bit: with those of the source, or with what rounding to the stored dtype gives${rest}`;
  const report = weightsReport({ formats: [model.format, target.format], weights, notes, why, options, startedAt });
  return { ...report, cause, changes: edited?.changes ?? [] };
}

/**
 * Whoever asks for an engine or a GPU wants a file run; that nothing is must not read like an answer.
 *
 * @param reason why nothing is run
 * @throws ModelError 'usage'
 */
export function refuseRuntime({ engine, device }: EngineChoice, reason: string): void {
  const asked = engine !== undefined ? `the engine "${engine}"` : device === 'gpu' ? 'a GPU' : null;
  if (asked !== null) throw new ModelError('usage', `${asked} was asked for, but nothing would be run, and weights alone be compared: ${reason}`);
}

/** A verification of which weights are all that could be compared. */
export function weightsReport({
  formats: [expected, actual],
  weights,
  notes,
  why,
  options,
  startedAt,
}: {
  /** Of the source and of the file. */
  readonly formats: readonly [string, string];
  /** Null where no two belong together. */
  readonly weights: WeightsReport | null;
  readonly notes: readonly string[];
  /** How tensors are compared. */
  readonly why: string;
  readonly options: VerifyOptions;
  readonly startedAt: number;
}): Report {
  return {
    schema: 'weighbridge/report@1',
    verdict: !weights || weights.compared === 0 ? 'nothing-compared' : weights.mismatches.length > 0 ? 'mismatch' : 'match',
    witness: {
      kind: 'weights',
      independent: false,
      detail: 'the weights of the source, as our own reader gives them; a mistake of that reader would not show',
      refused: [],
    },
    witnessRequired: options.requireWitness === true,
    files: null,
    engines: { expected: `${expected} reader`, actual: `${actual} reader` },
    device: 'cpu',
    tolerance: { atol: 0, rtol: 0, why, rounding: null, smallestPassing: null },
    inputs: { samples: 0, seed: null, kind: 'none', ranges: [] },
    compared: { outputs: 0, of: 0, values: 0 },
    outputs: [],
    interface: [],
    trials: [],
    coverage: null,
    layers: null,
    weights,
    quantisation: null,
    assumed: [],
    training: [],
    firstDifference: weights?.mismatches[0] ? { layer: weights.mismatches[0].layer, message: weights.mismatches[0].message } : null,
    cause: null,
    changes: [],
    notes,
    elapsedMs: performance.now() - startedAt,
  };
}

/**
 * By the layer map, where the file has all of its weights under names that say so; else by the source's own names; else by the map again, where
 * the file's weights are those of a net that is recognised.
 */
async function compareEither(
  model: ModelFile,
  map: LayerMap | null,
  { written, names }: { readonly written: WrittenModel; readonly names: NamePairs },
  onProgress: OnProgress,
): Promise<WeightsReport | null> {
  const stored = written.tensors ?? [];
  const roles = map === null ? [] : map.layers.flatMap((layer) => Object.keys(layer.weights).map((role) => written.weight(layer, role)?.tensor));
  const used = new Set(roles.map((tensor) => tensor?.origin.name));
  const isWritten = roles.length > 0 && stored.filter(({ name }) => used.has(name)).length > 0 && roles.every(Boolean);
  if (map && (isWritten || names.found === 0)) {
    const own = new Set(model.tensors.map(({ tensor }) => tensor.name));
    const more = isWritten ? stored.filter(({ name }) => !used.has(name) && !own.has(name)) : [];
    return withSurplus(await compareWeights(map, written, onProgress), more);
  }
  return withSurplus(await compareStored(names, onProgress), names.more);
}
