/**
 * Any two files that can be read. What their formats and contents allow decides how: runtimes on both, our evaluator where none takes a file,
 * tensors alone where one is no net that can be run.
 */
import { hasBatchNormalisation } from '../diff/fold.js';
import { isModelError } from '../errors.js';
import type { EditedMap } from '../model/edited.js';
import type { LayerMap, ModelFile } from '../model/layer-map.js';
import { openModel } from '../readers/open.js';
import { endedAs, mayBeEnded } from './assumed-end.js';
import type { EngineModel } from './engine.js';
import { witnessEngines } from './engines/index.js';
import { foldedAs } from './folded-as.js';
import type { VerifyOptions, WrittenTarget } from './options.js';
import { mapOrNull, ownWiring } from './own-wiring.js';
import type { Report } from './report.js';
import { verifyRuns } from './runs.js';
import { verifyTensors } from './tensors-alone.js';
import { verifyConversion } from './verify.js';
import { findWrittenFormat } from './written/index.js';

export interface FilesToVerify {
  readonly source: EngineModel;
  readonly model: ModelFile;
  readonly target: WrittenTarget;
}

export interface VerifiedFiles {
  readonly report: Report;
  /** The source's; null where its wiring was not read. */
  readonly map: LayerMap | null;
}

/**
 * @param optionsFor the options, once it is known what the source is
 * @throws ModelError where neither can be run, nor any tensor be compared
 */
export async function verifyFiles(
  { source, model, target: given }: FilesToVerify,
  optionsFor: (map: LayerMap | null) => VerifyOptions | Promise<VerifyOptions>,
): Promise<VerifiedFiles> {
  const target = await withPrototxt(given);
  const { map: own, reason } = await mapOf(model);
  const ended = own && (await endedAsTarget(own, target));
  const map = ended ?? own;
  const { report } = await verifyAs({ source, model, target }, map, reason, optionsFor);
  if (!ended) return { report, map };
  const note = `the weights of ${source.files.label} do not say whether a softmax stands at the end: one is taken to, as in ${target.files.label}`;
  return { report: { ...report, notes: [note, ...report.notes] }, map };
}

/** With the end that the other file has, where only weights are known; null where there is nothing to assume. */
async function endedAsTarget(map: LayerMap, target: WrittenTarget): Promise<LayerMap | null> {
  const other = mayBeEnded(map) ? await netOf(target) : null;
  return other && endedAs(map, other);
}

/** With its normalisations folded, where the other file has them so. */
async function foldedAsTarget(map: LayerMap, target: WrittenTarget): Promise<EditedMap | null> {
  const other = await netOf(target);
  return other && foldedAs(map, other);
}

/** Null where it is not read. */
async function netOf({ files, prototxt }: WrittenTarget): Promise<LayerMap | null> {
  return openModel(files, prototxt ? { prototxt } : {}).then(mapOrNull, () => null);
}

/** @param reason why the source has no map */
async function verifyAs(
  { source, model, target }: FilesToVerify,
  map: LayerMap | null,
  reason: Error | undefined,
  optionsFor: (map: LayerMap | null) => VerifyOptions | Promise<VerifyOptions>,
): Promise<VerifiedFiles> {
  const format = findWrittenFormat(target.format);
  const options = await optionsFor(map);
  const isRun = map !== null || options.golden !== undefined || witnessEngines(model.format).length > 0;
  const alone = async (why: string) => {
    const other = await openModel(target.files, target.prototxt ? { prototxt: target.prototxt } : {});
    return { report: await verifyTensors(named(source, model), named(target, other), why, options), map };
  };
  if (!isRun && format?.runs !== false) return alone(reason!.message);
  if (format && (map || !format.runs)) {
    // A program of PyTorch says what it computes, as its state dict does not.
    const wired = target.format === 'pytorch' && map && !options.golden ? await ownWiring(target.files, map) : null;
    if (wired) return { report: await verifyConversion({ source, model, map, target: { ...target, wired } }, options), map };
    const folded = map && format.runs && hasBatchNormalisation(map) ? await foldedAsTarget(map, target) : null;
    const report = await verifyConversion({ source, model, map: folded?.map ?? map, ...(folded ? { edited: folded } : {}), target }, options);
    if (format.runs || options.golden || report.verdict === 'match' || model.tensors.length === 0) return { report, map };
    // Tensors of the same names may lie in other layouts, and the same tensors under other names.
    const other = await alone(`${target.format} files hold weights without wiring`);
    return mismatchesOf(other.report) < mismatchesOf(report) ? other : { report, map };
  }
  try {
    return { report: await verifyRuns({ expected: { ...source, format: model.format }, target }, options), map };
  } catch (error) {
    // What no engine runs, not even our own, may still hold tensors of the same names and sizes.
    if (!isModelError(error) || error.kind !== 'unsupported' || options.golden) throw error;
    return alone(error.message);
  }
}

function mismatchesOf({ weights }: Report): number {
  return weights?.mismatches.length ?? Number.POSITIVE_INFINITY;
}

/** Runtimes that read Caffe nets themselves are told which prototxt goes with the weights. */
async function withPrototxt(target: WrittenTarget): Promise<WrittenTarget> {
  if (target.format !== 'caffe' || target.prototxt) return target;
  const { wiring } = (await openModel(target.files)).details;
  return wiring?.endsWith('.prototxt') ? { ...target, prototxt: wiring } : target;
}

function named({ path, files }: EngineModel, model: ModelFile) {
  return { path: path ?? files.label, model };
}

/** Null where the wiring is not read, which need not matter: a runtime of the format's own may stand in for it. */
async function mapOf(model: ModelFile): Promise<{ readonly map: LayerMap | null; readonly reason?: Error }> {
  try {
    return { map: await model.map() };
  } catch (error) {
    if (isModelError(error) && error.kind === 'unsupported') return { map: null, reason: error };
    throw error;
  }
}
