/** Verification: the written file, read back by its consumer's own runtime, against the best witness there is. */
import { ModelError } from '../errors.js';
import type { LayerMap, ModelFile } from '../model/layer-map.js';
import type { Tensor } from '../model/tensor.js';
import type { Tolerance } from './compare.js';
import { defaultSamples } from './effort.js';
import type { EngineChoice, EngineModel } from './engine.js';
import { selectEngine } from './engines/index.js';
import { givenInputs, recordedInputs } from './feeds.js';
import { generateSample } from './inputs.js';
import { compareOutputs } from './outputs.js';
import type { FirstDifference, OutputReport, Report, Verdict, WeightsReport } from './report.js';
import { type Arrays, portRunner, type Side } from './side.js';
import { lossTolerance, narrowestOf, runtimeTolerance } from './tolerance.js';
import { compareStored, compareWeights } from './weights.js';
import { chooseWitness, type Expected } from './witness.js';
import { findWrittenFormat, writtenFormats } from './written/index.js';
import type { WrittenModel } from './written/written.js';

export interface VerifyOptions extends EngineChoice {
  /** Recorded arrays by name: input or input:<name>, output or output:<name>, in the source's layout. */
  readonly golden?: ReadonlyMap<string, Tensor>;
  /** Inputs to use instead of generated ones, by port name. */
  readonly inputs?: ReadonlyMap<string, Tensor>;
  readonly samples?: number;
  readonly seed?: number;
  readonly atol?: number;
  readonly rtol?: number;
  readonly onProgress?: (phase: string, done: number, total: number) => void;
  /** Sees every sample as it was compared, by port name and in the source's layouts: for pictures and top-5 lists in reports. */
  readonly onSample?: (feeds: Arrays, expected: Arrays, actual: Arrays, sample: number) => void;
}

export interface WrittenTarget extends EngineModel {
  /** Name of the writer or reader whose format it is. */
  readonly format: string;
}

export interface ConversionToVerify {
  readonly source: EngineModel;
  readonly model: ModelFile;
  /** Null where weights were moved without looking at their wiring. */
  readonly map: LayerMap | null;
  readonly target: WrittenTarget;
}

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
  const { map, target } = conversion;
  const notes: string[] = [];
  const seed = options.golden || options.inputs ? null : (options.seed ?? DEFAULT_SEED);
  const actual = await openActual(target, map, written, options, notes);
  try {
    const expected = await chooseWitness(conversion, { ...options, seed }, notes);
    try {
      const inputs = options.golden ? await recordedInputs(options.golden, map) : options.inputs ? await givenInputs(options.inputs, map) : null;
      const samples = inputs ? inputs.count : Math.min(options.samples ?? defaultSamples(map), expected.maxSamples);
      const comparison = compareOutputs(map, chooseTolerance(expected, actual, map, written, options));
      for (let sample = 0; sample < samples; sample++) {
        options.onProgress?.('running', sample, samples);
        const feeds = inputs ? inputs.sample(sample) : generateSample(map.inputs, sample, seed!, map.layers);
        const wanted = await expected.run(feeds, sample);
        const found = await actual.run(feeds);
        comparison.add(wanted, found);
        options.onSample?.(feeds, wanted, found, sample);
      }
      const weights = await compareWeights(map, written, (done, total) => options.onProgress?.('comparing weights', done, total));
      if (!weights) notes.push('the weights of the file could not be lined up with layers by name, so its predictions alone were compared');
      for (const name of comparison.constantOutputs()) {
        notes.push(`output "${name}" is the same for all ${samples} inputs, so comparing it proves little`);
      }
      const { outputs, tolerance, problem } = comparison.report();
      return {
        schema: 'weighbridge/report@1',
        verdict: verdictOf(outputs, weights),
        witness: expected.witness,
        engines: { expected: expected.engine, actual: actual.engine },
        device: actual.device,
        tolerance,
        inputs: { samples, seed, kind: inputs ? 'recorded' : 'generated' },
        outputs,
        layers: null,
        weights,
        quantisation: null,
        firstDifference: firstDifference(weights, problem),
        notes,
        elapsedMs: performance.now() - startedAt,
      };
    } finally {
      await expected.close();
    }
  } finally {
    await actual.close();
  }
}

/** For formats that hold weights and no wiring: there is nothing to run. */
async function verifyWeights({ model, map, target }: ConversionToVerify, written: WrittenModel, options: VerifyOptions): Promise<Report> {
  const startedAt = performance.now();
  const onProgress = (done: number, total: number) => options.onProgress?.('comparing weights', done, total);
  const stored = await compareStored(model, written, onProgress);
  const weights = stored ?? (map && (await compareWeights(map, written, onProgress)));
  const notes = [`${target.format} files hold weights without wiring, so weights were compared and predictions were not`];
  if (!weights) notes.push('no tensor of the file has the name of one of the source');
  const why = stored ? 'tensors that were moved are compared bit for bit' : 'weights are compared bit for bit with what rounding to the stored dtype gives';
  return {
    schema: 'weighbridge/report@1',
    verdict: !weights || weights.compared === 0 ? 'nothing-compared' : weights.mismatches.length > 0 ? 'mismatch' : 'match',
    witness: {
      kind: 'weights',
      independent: false,
      detail: 'the weights of the source, as our own reader gives them; a mistake of that reader would not show',
    },
    engines: { expected: `${model.format} reader`, actual: `${target.format} reader` },
    device: 'cpu',
    tolerance: { atol: 0, rtol: 0, why, smallestPassing: null },
    inputs: { samples: 0, seed: null, kind: 'none' },
    outputs: [],
    layers: null,
    weights,
    quantisation: null,
    firstDifference: firstDifference(weights, null),
    notes,
    elapsedMs: performance.now() - startedAt,
  };
}

interface Actual extends Side {
  /** The adapter's name on a GPU, else 'cpu'. */
  readonly device: string;
}

async function openActual(target: WrittenTarget, map: LayerMap, written: WrittenModel, options: VerifyOptions, notes: string[]): Promise<Actual> {
  const { engine, availability, passedOver } = await selectEngine(target.format, options);
  notes.push(...passedOver.map((reason) => `not run with ${reason}`));
  const session = await engine.open(target);
  const run = portRunner(session, map, (port) => written.layoutOf(port));
  const device = availability.adapter?.name ?? engine.device;
  return { name: engine.name, engine: `${engine.name} (${availability.detail})`, device, run, close: () => session.close() };
}

function chooseTolerance(expected: Expected, actual: Side, map: LayerMap, written: WrittenModel, { atol, rtol }: VerifyOptions): Tolerance {
  if (atol !== undefined || rtol !== undefined) return { atol: atol ?? 0, rtol: rtol ?? 0, why: 'as given' };
  const narrowest = narrowestOf(narrowedDTypes(map, written, expected.witness.kind !== 'reference'));
  return narrowest === undefined ? runtimeTolerance(expected.name, actual.name) : lossTolerance(narrowest);
}

/**
 * Stored dtypes of weights that are narrower than in the source.
 *
 * @param mayComputeNarrow whether the witness may have computed in the source's own narrow dtype, as frameworks do
 */
function narrowedDTypes(map: LayerMap, written: WrittenModel, mayComputeNarrow: boolean): Set<string> {
  const dtypes = map.layers.flatMap((layer) =>
    Object.entries(layer.weights).flatMap(([role, source]) => {
      const stored = written.weight(layer, role);
      return stored && (mayComputeNarrow || stored.quantisation || stored.tensor.dtype !== source.dtype) ? [stored.tensor.dtype] : [];
    }),
  );
  return new Set(dtypes);
}

function verdictOf(outputs: readonly OutputReport[], weights: WeightsReport | null): Verdict {
  if ((weights?.mismatches.length ?? 0) > 0 || outputs.some(({ passed }) => !passed)) return 'mismatch';
  return outputs.length === 0 || outputs.some(({ compared }) => compared === 0) ? 'nothing-compared' : 'match';
}

function firstDifference(weights: WeightsReport | null, problem: string | null): FirstDifference | null {
  const [mismatch] = weights?.mismatches ?? [];
  if (mismatch) return { layer: mismatch.layer, message: mismatch.message };
  return problem === null ? null : { message: problem };
}
