/** Verification of files on disk: two that belong together, one against what was recorded, or what a conversion has just written. */
import { dirname, join } from 'node:path';
import type { FileSet } from '../bytes/file-set.js';
import { stoppable } from '../bytes/stoppable.js';
import type { ConvertResult } from '../convert.js';
import { isModelError } from '../errors.js';
import type { LayerMap, ModelFile } from '../model/layer-map.js';
import { openModel, recognise } from '../readers/open.js';
import { checkOptions, forPrograms, type OptionNames } from '../spelling.js';
import type { EngineHost } from '../verify/engine.js';
import type { EngineName } from '../verify/engines/names.js';
import type { VerifyOptions, WrittenTarget } from '../verify/options.js';
import { mapOrNull, openShapedAs } from '../verify/own-wiring.js';
import type { Report } from '../verify/report.js';
import { engineHost } from './engine-host.js';
import { type NodeFileSet, nodeFileSet } from './file-set.js';
import { asPrepared, type GivenArrays, INPUT_NAMES, type InputOptions, readArrays, readGolden, readInputs } from './given-inputs.js';
import { withHashes } from './hashes.js';
import { type OpenedFiles, openFiles, prototxtOf, SOURCE_NAMES, type SourceFileOptions } from './open-files.js';
import { openPictureFolder } from './picture-folder.js';
import { checkOneOrigin } from './remote/location.js';
import { ofOther, openSource } from './source.js';
import { onSteps, WATCHING_NAMES, type Watching } from './watching.js';

/** How both sides are run and compared. */
export interface VerificationOptions extends InputOptions, Watching {
  /** Seed of the generated inputs. */
  readonly seed?: number;
  /** What runs the written file; else the first of those that can. */
  readonly engine?: EngineName;
  /** What it runs on. `gpu`: the whole net on a GPU, or failure; `auto`: a hardware GPU where there is one. The CPU where left out. */
  readonly device?: 'auto' | 'cpu' | 'gpu';
  /** Also compares what each layer makes. */
  readonly layers?: boolean;
  /** Stops at the first layer that differs; implies `layers`. */
  readonly first?: boolean;
  /** A match on our own word alone is a failure. */
  readonly requireWitness?: boolean;
  readonly atol?: number;
  /** Relative to an output's largest value. */
  readonly rtol?: number;
  /** Puts paths and SHA-256 of all files that were read into the report. */
  readonly hashes?: boolean;
  /** Where engines on a GPU run; a host of its own, which ends with the verification, where left out. */
  readonly host?: EngineHost;
}

export interface VerifyFilesOptions extends SourceFileOptions, VerificationOptions {}

export const VERIFY_NAMES: OptionNames<VerifyFilesOptions> = {
  ...SOURCE_NAMES,
  ...INPUT_NAMES,
  ...WATCHING_NAMES,
  seed: true,
  engine: true,
  device: true,
  layers: true,
  first: true,
  requireWitness: true,
  atol: true,
  rtol: true,
  hashes: true,
  host: true,
};

/** Who listens to a verification, beside its progress. */
export type VerificationHooks = Pick<VerifyOptions, 'onMap' | 'onSample' | 'onPlaced'>;

/**
 * Runs a model and its conversion, or any two files that can be run, and compares what they predict. The options say what the first file
 * may not say about itself.
 *
 * @returns the report that `weighbridge verify --json` prints; its `verdict` says how it went
 * @throws ModelError where the two could not be compared
 */
export async function verifyFiles(expected: string, actual: string, options: VerifyFilesOptions = {}): Promise<Report> {
  return forPrograms(options, async () => {
    checkOptions(options, VERIFY_NAMES, 'verifyFiles');
    return verifyPaths(expected, actual, options);
  });
}

/** The same in the command's words. */
export async function verifyPaths(expected: string, actual: string, options: VerifyFilesOptions): Promise<Report> {
  checkOneOrigin([expected, actual], options.tokenEnv);
  const source = await openFiles(expected, options, options.signal);
  try {
    const target = await openSource(actual, { ...ofOther(options), signal: options.signal });
    try {
      return (await verifyOpened(source, target, { ...options, isAlone: expected === actual })).report;
    } finally {
      await target.close();
    }
  } finally {
    await source.files.close();
  }
}

/**
 * Runs a model on recorded inputs, and compares what it predicts with the recorded outputs.
 *
 * @param golden path of an .npz file, or its arrays
 */
export async function verifyFile(path: string, golden: GivenArrays, options: Omit<VerifyFilesOptions, 'golden'> = {}): Promise<Report> {
  return verifyFiles(path, path, { ...options, golden });
}

export interface Verified {
  readonly report: Report;
  readonly model: ModelFile;
  /** The source's; null where its wiring was not read. */
  readonly map: LayerMap | null;
  readonly written: WrittenTarget;
}

/** @param isAlone whether the two are one file, whose weights are its own */
export async function verifyOpened(
  source: OpenedFiles,
  target: NodeFileSet,
  options: VerifyFilesOptions & { readonly isAlone?: boolean },
  hooks: VerificationHooks & { readonly onRead?: (model: ModelFile) => void } = {},
): Promise<Verified> {
  const { onRead, ...listeners } = hooks;
  const files = stoppable(target, options.signal);
  const model = await openForComparison(source, files);
  onRead?.(model);
  const { name: format } = await recognise(files);
  const { verifyFiles: compare } = await import('../verify/files.js');
  const written: WrittenTarget = { files, path: target.path, format };
  return withHost(options, async (host) => {
    const { report: compared, map } = await compare(
      { source: { files: source.files, path: source.path, ...prototxtOf(model) }, model, target: written },
      (own) => verifyOptionsOf({ ...options, host }, listeners, own),
    );
    const own = options.isAlone ? { ...compared, weights: null } : compared;
    const report = await withHashes(own, { expected: source.files, actual: target }, options.hashes === true);
    return { report, model, map, written };
  });
}

/** The source; where it does not say the shape of what flows in, that of the file that it is compared with stands for it. */
async function openForComparison({ files, options }: OpenedFiles, target: FileSet): Promise<ModelFile> {
  const model = await openModel(files, options);
  const map = await mapOrNull(model);
  // Made once, whoever asks for it.
  if (map) return { ...model, map: async () => map };
  if ((options.inputShape ?? options.recordedShape) !== undefined) return model;
  const other = await openModel(target)
    .then(mapOrNull)
    .catch(() => null);
  return (other && (await openShapedAs(files, options, other))?.model) ?? model;
}

/**
 * What is asked for to run a written file with is tried before anything is written.
 *
 * @param format a writer's name
 * @throws ModelError where the engine, or one on the device, cannot run files of the format here
 */
export async function checkEngine(format: string, options: VerificationOptions): Promise<void> {
  if (options.engine === undefined && options.device === undefined) return;
  const { findWrittenFormat } = await import('../verify/written/index.js');
  if (!findWrittenFormat(format)?.runs) {
    // What was recorded is run through the net that the weights are of.
    if (options.golden !== undefined) return;
    const { refuseRuntime } = await import('../verify/weights-alone.js');
    return refuseRuntime(options, `${format} files hold weights without wiring`);
  }
  const { selectEngine } = await import('../verify/engines/index.js');
  await withHost(options, (host) => selectEngine(format, { ...options, host }));
}

/** @throws ModelError where names or shapes of recorded or given arrays do not fit the net, or nobody says how pictures are prepared for it */
export async function checkGiven(options: VerificationOptions, map: LayerMap, edited?: ConvertResult['edited']): Promise<void> {
  const { golden, inputs } = options;
  if (golden === undefined) return inputs === undefined ? undefined : checkInputs(inputs, asPrepared(options, edited), map);
  const [{ checkRecordedShapes, recordedOutputs }, { recordedInputs }] = await Promise.all([import('../verify/witness.js'), import('../verify/feeds.js')]);
  const arrays = await readGolden(golden);
  try {
    const outputs = await recordedOutputs(arrays, map, edited);
    const { rows } = await recordedInputs(arrays, map, edited);
    checkRecordedShapes(outputs, map, rows);
  } catch (error) {
    throw isModelError(error) && typeof golden === 'string' ? error.at({ file: golden }) : error;
  }
}

async function checkInputs(inputs: GivenArrays, { preprocess }: VerificationOptions, map: LayerMap): Promise<void> {
  const isFolder = typeof inputs === 'string' && (await openPictureFolder(inputs)) !== null;
  if (isFolder) return void (await import('../verify/pictures/prepare.js')).planPictures(map, preprocess);
  const [{ givenInputs }, arrays] = await Promise.all([import('../verify/feeds.js'), readArrays(inputs)]);
  await givenInputs(arrays, map);
}

/** Verifies what a conversion has just written to `output`, against the files that it was made of. */
export async function verifyWritten(
  source: OpenedFiles,
  output: string,
  result: ConvertResult,
  options: VerificationOptions,
  hooks: VerificationHooks = {},
): Promise<Report> {
  // What was created first is the main file: it has another name than the output where that is a folder, or was cut into shards.
  const main = join(dirname(output), result.files[0]!.name);
  const target = await nodeFileSet(main);
  try {
    const { model, map, edited, writer } = result;
    const prototxt = result.files.find(({ name }) => name.endsWith('.prototxt'))?.name;
    const { verifyConversion } = await import('../verify/verify.js');
    const expected = { files: source.files, path: source.path, ...prototxtOf(model) };
    const written: WrittenTarget = { files: stoppable(target, options.signal), path: main, format: writer.name, ...(prototxt ? { prototxt } : {}) };
    return await withHost(options, async (host) => {
      const report = await verifyConversion(
        { source: expected, model, map, edited, target: written },
        await verifyOptionsOf({ ...asPrepared(options, edited), host }, hooks, map),
      );
      return withHashes(report, { expected: source.files, actual: target }, options.hashes === true);
    });
  } finally {
    await target.close();
  }
}

async function withHost<Result>({ host: given }: VerificationOptions, work: (host: EngineHost) => Promise<Result>): Promise<Result> {
  const host = given ?? engineHost();
  try {
    return await work(host);
  } finally {
    if (!given) await host.close();
  }
}

async function verifyOptionsOf(options: VerificationOptions, hooks: VerificationHooks, map: LayerMap | null): Promise<VerifyOptions> {
  const onProgress = onSteps(options);
  const inputs = await readInputs(options, onProgress, map);
  const { golden, samples, seed, engine, device, host, layers, first, requireWitness, atol, rtol } = options;
  return {
    golden: golden === undefined ? undefined : await readGolden(golden),
    inputs: inputs?.arrays,
    inputNotes: inputs?.notes,
    samples,
    seed,
    engine,
    device,
    host,
    layers: layers === true || first === true,
    first,
    requireWitness,
    atol,
    rtol,
    ...hooks,
    onProgress,
  };
}
