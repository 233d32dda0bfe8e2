/** `convert` from disk to disk, and the proof that the result predicts the same. */
import { statSync } from 'node:fs';
import { rm, rmdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { WrittenFile } from '../bytes/byte-sink.js';
import { memorySource } from '../bytes/byte-source.js';
import { type ConvertOptions, type ConvertResult, chooseWriter, convert } from '../convert.js';
import { ModelError } from '../errors.js';
import type { DTypeName } from '../model/dtype.js';
import type { Change } from '../model/edited.js';
import type { LayerMap, ModelFile } from '../model/layer-map.js';
import { narrowDType } from '../model/narrow-form.js';
import { elementCount, type Tensor } from '../model/tensor.js';
import { checkOptions, EDIT_NAMES, forPrograms, type OptionNames, TARGET_NAMES } from '../spelling.js';
import type { Edits } from '../transforms/index.js';
import type { Report } from '../verify/report.js';
import type { TargetName } from '../writers/writer.js';
import { type Compression, compressWritten, SUFFIX } from './compress.js';
import { fileSink } from './file-sink.js';
import { fileSource } from './file-source.js';
import { companionsOf, type OpenedFiles, openFiles, type SourceFileOptions } from './open-files.js';
import { namesPictures } from './picture-folder.js';
import { sha256File } from './sha256.js';
import { checkEngine, checkGiven, VERIFY_NAMES, type VerificationHooks, type VerificationOptions, verifyWritten } from './verify-files.js';
import { onBytes } from './watching.js';

/** What is written, and how. */
export interface TargetFileOptions extends Pick<ConvertOptions, 'layout' | 'opset' | 'externalData' | 'float16Compute' | 'names' | 'shardBytes'> {
  /** Format; else the extension of the output decides. */
  readonly to?: TargetName;
  /** Of the stored weights; each keeps its own where left out. */
  readonly dtype?: DTypeName;
  /** Replaces files that are there already; never those that are read. */
  readonly force?: boolean;
  /** Also writes the files as they go over the wire, beside them: .gz or .br. */
  readonly compress?: Compression;
}

export interface ConvertFileOptions extends SourceFileOptions, TargetFileOptions, Omit<Edits, 'preprocess' | 'mean'>, VerificationOptions {
  /** Path of a mean picture that the net comes to take off (.binaryproto or .npy), as Caffe's data layers do. */
  readonly mean?: string;
  /** False: neither runs both sides afterwards nor records a hash of the source. */
  readonly verify?: boolean;
}

export const CONVERT_NAMES: OptionNames<ConvertFileOptions> = {
  ...VERIFY_NAMES,
  ...TARGET_NAMES,
  ...EDIT_NAMES,
  force: true,
  compress: true,
  verify: true,
};

/** Who looks on, and what `shrink` puts in place of the net's weights. */
export interface ConversionHooks extends VerificationHooks {
  readonly rewrite?: ConvertOptions['rewrite'];
  readonly onRead?: (model: ModelFile) => void;
  /** The files are written, and not verified yet. */
  readonly onWritten?: (result: ConvertResult, elapsedMs: number) => void;
  /** They were removed again, for they could not be verified; what they took the place of is back. */
  readonly onRemoved?: (isBack: boolean) => void;
}

export interface Conversion {
  readonly result: ConvertResult;
  /** Null where it was not asked for, or written files of the format cannot be verified. */
  readonly report: Report | null;
  /** Of the conversion, without verification. */
  readonly elapsedMs: number;
}

/** What `convert --json` prints; `schemas/convert.schema.json` describes it. */
export interface ConvertDocument {
  readonly schema: 'weighbridge/convert@1';
  readonly source: {
    readonly path: string;
    readonly format: string;
    readonly producer: string | null;
    readonly architecture: string | null;
    readonly parameterCount: number;
    /** Of all its files. */
    readonly byteLength: number;
  };
  readonly target: {
    readonly format: string;
    readonly dtype: string;
    readonly byteLength: number;
    /** Of the compressed files; null where none were written. */
    readonly wireByteLength: number | null;
  };
  readonly files: readonly { readonly path: string; readonly byteLength: number; readonly sha256: string }[];
  /** What was done to the net between reading and writing it, in this order. */
  readonly changes: readonly Change[];
  /** What the source does not say and was filled in; `assume` and `arch` say otherwise. */
  readonly assumed: readonly string[];
  readonly warnings: ConvertResult['warnings'];
  /** Of the conversion, without verification. */
  readonly elapsedMs: number;
  readonly report: Report | null;
}

/**
 * Converts a model file, then proves that the result predicts the same, unless `verify` is false. `to` is a file, whose extension says the
 * format where the option `to` does not, or a folder for a format that is one; nothing appears there unless everything was written and could be verified.
 * That it was verified and does not match is no error: the report's `verdict` says so.
 *
 * @returns the document that `weighbridge convert --json` prints
 * @throws ModelError where it could not be done; several obstacles are listed in one error
 */
export async function convertFile(from: string, to: string, options: ConvertFileOptions = {}): Promise<ConvertDocument> {
  return forPrograms(options, async () => {
    checkOptions(options, CONVERT_NAMES, 'convertFile');
    chooseWriter(to === '-' ? 'model' : basename(to), options.to);
    const source = await openFiles(from, options, options.signal);
    try {
      return await convertWhole(source, to, options);
    } finally {
      await source.files.close();
    }
  });
}

/** Converts, verifies, compresses, and says what was done. */
export async function convertWhole(source: OpenedFiles, to: string, options: ConvertFileOptions, hooks: ConversionHooks = {}): Promise<ConvertDocument> {
  const conversion = await convertOpened(source, to, options, hooks);
  const { files } = conversion.result;
  let wire: readonly WrittenFile[] = [];
  try {
    if (options.compress) wire = await compressWritten(to, files, options.compress, options.force === true, onBytes(options, 'compressing'));
    return await describeConversion(source, to, conversion, wire, to !== '-');
  } catch (error) {
    if (options.signal?.aborted && to !== '-') await removeWritten(to, [...files, ...wire]);
    throw error;
  }
}

/**
 * Converts and verifies, with the source left open for who reads more of it. What could not be verified, or was stopped, is removed, and what was
 * there before is there again.
 *
 * @param to '-' is stdout, which is not read back
 */
export async function convertOpened(source: OpenedFiles, to: string, options: ConvertFileOptions, hooks: ConversionHooks = {}): Promise<Conversion> {
  const toStdout = to === '-';
  const isVerified = options.verify !== false && !toStdout;
  const { files, pathOf } = source;
  const { rewrite, onRead, onWritten, onRemoved, ...listeners } = hooks;
  const name = toStdout ? 'model' : basename(to);
  const keep = () => [source.label, ...companionsOf(options), ...(options.mean === undefined ? [] : [options.mean]), ...(files.openedPaths?.() ?? [])];
  const edits = await editsOf(options);
  if (isVerified) await checkEngine(chooseWriter(name, options.to).name, options);
  const beside = options.compress && !toStdout ? SUFFIX[options.compress] : undefined;
  const sink = await fileSink(to, { force: options.force, keep, beside, provisional: isVerified });
  const hashing = new AbortController();
  let hashes: Promise<Record<string, string>> = Promise.resolve({});
  const startedAt = performance.now();
  let result: ConvertResult;
  try {
    result = await convert(files, sink, name, {
      ...source.options,
      to: options.to,
      dtype: options.dtype,
      layout: options.layout,
      opset: options.opset,
      externalData: options.externalData,
      float16Compute: options.float16Compute,
      names: options.names,
      shardBytes: options.shardBytes,
      ...edits,
      rewrite,
      sourceHashes: () => hashes,
      onRead: async (model, map, edited) => {
        onRead?.(model);
        if (isVerified && map) await checkGiven(options, map, edited);
        // Hashing costs more than converting; whoever wants speed alone goes without.
        if (options.verify === false) return;
        hashes = hashFiles(model.files, pathOf, hashing.signal);
        hashes.catch(() => {}); // Awaited when the last weight is written; until then a failure is not unhandled.
      },
      onProgress: onBytes(options, 'writing'),
    });
  } catch (error) {
    hashing.abort();
    await sink.abort();
    throw error;
  }
  try {
    const elapsedMs = performance.now() - startedAt;
    options.signal?.throwIfAborted();
    onWritten?.(result, elapsedMs);
    const report = isVerified && (await isVerifiable(result)) ? await verifyWritten(source, to, result, options, listeners) : null;
    options.signal?.throwIfAborted();
    sink.settle();
    return { result, report, elapsedMs };
  } catch (error) {
    const { replaces } = sink;
    if (isVerified) await sink.abort();
    else if (!toStdout) await removeWritten(to, result.files);
    onRemoved?.(replaces);
    throw error;
  }
}

async function isVerifiable({ writer }: ConvertResult): Promise<boolean> {
  const { findWrittenFormat } = await import('../verify/written/index.js');
  return findWrittenFormat(writer.name) !== undefined;
}

/** @param isHashed whether the files are read once more for their SHA-256; they are left out where not */
export async function describeConversion(
  source: OpenedFiles,
  to: string,
  { result, report, elapsedMs }: Conversion,
  wire: readonly WrittenFile[],
  isHashed: boolean,
): Promise<ConvertDocument> {
  const { model, map, edited, writer, files, warnings } = result;
  return {
    schema: 'weighbridge/convert@1',
    source: {
      path: source.label,
      format: model.format,
      producer: model.producer,
      architecture: map?.architecture?.name ?? null,
      parameterCount: parameterCountOf(model),
      byteLength: model.files.reduce((sum, file) => sum + statSync(source.pathOf(file)).size, 0),
    },
    target: {
      format: writer.name,
      dtype: storedDTypeOf(result),
      byteLength: totalBytes(files),
      wireByteLength: wire.length > 0 ? totalBytes(wire) : null,
    },
    files: isHashed ? await describeFiles(to, [...files, ...wire]) : [],
    changes: edited?.changes ?? [],
    assumed: map?.architecture?.assumed ?? [],
    warnings,
    elapsedMs,
    report,
  };
}

export function parameterCountOf({ tensors }: ModelFile): number {
  return tensors.filter(({ beside }) => !beside).reduce((sum, { tensor }) => sum + elementCount(tensor.shape), 0);
}

/** The dtypes of the source's weights, with spaces between them. */
export function sourceDTypesOf({ tensors }: ModelFile): string {
  return [...new Set(tensors.filter(({ beside }) => !beside).map(({ tensor }) => tensor.dtype))].join(' ');
}

/** What the weights were stored in, with spaces between several. */
export function storedDTypeOf({ model, map, edited, dtype }: ConvertResult): string {
  if (dtype !== 'source') return dtype;
  const isRewritten = edited?.changes.some(({ transform }) => transform === 'shrink') === true;
  return isRewritten ? chosenDTypes(map!) : sourceDTypesOf(model);
}

/** What a net is stored in whose weights were chosen one by one. */
function chosenDTypes({ layers }: LayerMap): string {
  return [...new Set(layers.flatMap(({ weights }) => Object.values(weights)).map(narrowDType))].join(' ');
}

export function totalBytes(files: readonly WrittenFile[]): number {
  return files.reduce((sum, { byteLength }) => sum + byteLength, 0);
}

async function editsOf(options: ConvertFileOptions): Promise<Edits> {
  const { until, outputs, batch, foldBatchnorm, simplify, embedPreprocessing, preprocess } = options;
  const mean = options.mean === undefined ? undefined : await readMean(options.mean);
  const given = isEmbedded(options) ? (preprocess?.values ?? undefined) : undefined;
  return { until, outputs, batch, foldBatchnorm, simplify, embedPreprocessing, preprocess: given, ...(mean ? { mean } : {}) };
}

/** More than any picture that a net takes. */
const MAX_MEAN_BYTES = 2 ** 26;

async function readMean(path: string): Promise<Tensor> {
  const { readMeanPicture } = await import('../readers/caffe/mean.js');
  const source = await fileSource(path);
  try {
    if (source.byteLength > MAX_MEAN_BYTES) throw new ModelError('malformed', `${source.byteLength} bytes are no mean picture`, { file: path });
    return await readMeanPicture(memorySource(await source.read(0, source.byteLength), basename(path)));
  } finally {
    await source.close();
  }
}

/** Whether the net comes to prepare pictures itself, so that those which are given go in as they are. */
function isEmbedded({ embedPreprocessing, preprocess, mean, inputs }: ConvertFileOptions): boolean {
  const hasPictures = typeof inputs === 'string' && namesPictures(inputs);
  return embedPreprocessing === true || mean !== undefined || (preprocess?.values != null && !hasPictures);
}

/** What could not be done leaves nothing behind. */
async function removeWritten(output: string, files: readonly WrittenFile[]): Promise<void> {
  for (const { name } of files) await rm(join(dirname(output), name), { force: true });
  // The folder, where the format is one; it stays where there is something else in it.
  await rmdir(output).catch(() => {});
}

/** One after the other, each in a thread of its own: nets lie in hundreds of shards. */
async function hashFiles(names: readonly string[], pathOf: (name: string) => string, signal: AbortSignal): Promise<Record<string, string>> {
  const hashes: Record<string, string> = {};
  for (const name of names) hashes[name] = await sha256File(pathOf(name), signal);
  return hashes;
}

async function describeFiles(output: string, files: readonly WrittenFile[]): Promise<ConvertDocument['files']> {
  const described: ConvertDocument['files'][number][] = [];
  for (const { name, byteLength } of files) {
    const path = join(dirname(output), name);
    described.push({ path, byteLength, sha256: await sha256File(path) });
  }
  return described;
}
