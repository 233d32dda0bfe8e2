/** What programs call, in their words: options that are misspelt are refused, and errors speak of options where those of the command speak of flags. */
import { blobFileSet } from './bytes/blob-file-set.js';
import { blobSink } from './bytes/blob-sink.js';
import type { ByteSink } from './bytes/byte-sink.js';
import type { FileSet } from './bytes/file-set.js';
import { type ConvertOptions, type ConvertResult, convert as convertFiles } from './convert.js';
import { type DiffOptions, diffFiles, diffModels as diffOpened, type NamedModel } from './diff/diff.js';
import type { DiffDocument } from './diff/document.js';
import { ModelError } from './errors.js';
import { describeModel as describeOpened, type InspectOptions, inspect as inspectFiles, type ModelDocument } from './inspect.js';
import type { ModelFile } from './model/layer-map.js';
import { type OpenOptions, openModel as openFiles } from './readers/open.js';
import { checkOptions, EDIT_NAMES, forPrograms, type OptionNames, TARGET_NAMES } from './spelling.js';

const OPEN: OptionNames<OpenOptions> = {
  from: true,
  labels: true,
  prototxt: true,
  config: true,
  arch: true,
  described: true,
  assume: true,
  weightsKey: true,
  inputShape: true,
  inference: true,
  recordedShape: true,
  recordedInputs: true,
  ends: true,
};

const CONVERT: OptionNames<ConvertOptions> = {
  ...OPEN,
  ...EDIT_NAMES,
  ...TARGET_NAMES,
  sourceHashes: true,
  rewrite: true,
  onProgress: true,
  onRead: true,
};

/** What is said of a model that is open already. */
export type DescribeOptions = Omit<InspectOptions, keyof OpenOptions>;
const DESCRIBE: OptionNames<DescribeOptions> = { weights: true, createHasher: true, onProgress: true };
const INSPECT: OptionNames<InspectOptions> = { ...OPEN, ...DESCRIBE };

const COMPARE: OptionNames<Omit<DiffOptions, 'a' | 'b'>> = { histograms: true, onProgress: true };
const DIFF: OptionNames<DiffOptions> = { a: true, b: true, ...COMPARE };

/**
 * Recognises a model by content and reads its headers and wiring.
 *
 * @throws ModelError 'unknown-format' when no reader says yes, else what the reader throws
 */
export async function openModel(files: FileSet, options: OpenOptions = {}): Promise<ModelFile> {
  return forPrograms({}, async () => {
    checkOptions(options, OPEN, 'openModel');
    const model = await openFiles(files, options);
    return { ...model, map: () => forPrograms({}, () => model.map()) };
  });
}

/**
 * Describes a model: format, producer, architecture, layers, tensors, and what is odd about the file.
 *
 * Where the wiring is not in the file, or has layers without a translation, `layers` is empty and a warning says why.
 *
 * @throws ModelError for a file that cannot be read, or whose wiring and weights disagree
 */
export async function inspect(files: FileSet, options: InspectOptions = {}): Promise<ModelDocument> {
  return forPrograms({}, async () => {
    checkOptions(options, INSPECT, 'inspect');
    return inspectFiles(files, options);
  });
}

/** Describes a model of `openModel`: see `inspect`. */
export async function describeModel(model: ModelFile, options: DescribeOptions = {}): Promise<ModelDocument> {
  return forPrograms({}, async () => {
    checkOptions(options, DESCRIBE, 'describeModel');
    return describeOpened(model, options);
  });
}

/**
 * Converts a model into `sink`, as `name`. Nothing appears under its final name unless everything was written. It is not verified:
 * `verifyConversion` of 'weighbridge/verify' does that.
 *
 * @throws ModelError; several obstacles are listed in one error
 */
export async function convert(files: FileSet, sink: ByteSink, name: string, options: ConvertOptions = {}): Promise<ConvertResult> {
  return forPrograms({}, async () => {
    checkOptions(options, CONVERT, 'convert');
    return convertFiles(files, sink, name, options);
  });
}

/**
 * Compares two models: each tensor with the one that stands in its place, and the layers where both files hold wiring.
 *
 * @throws ModelError for a file that cannot be read, or that holds no weights
 */
export async function diff(a: FileSet, b: FileSet, options: DiffOptions = {}): Promise<DiffDocument> {
  return forPrograms({}, async () => {
    checkOptions(options, DIFF, 'diff');
    return diffFiles(a, b, options);
  });
}

/** Compares two models of `openModel`: see `diff`. */
export async function diffModels(a: NamedModel, b: NamedModel, options: Omit<DiffOptions, 'a' | 'b'> = {}): Promise<DiffDocument> {
  return forPrograms({}, async () => {
    checkOptions(options, COMPARE, 'diffModels');
    return diffOpened(a, b, options);
  });
}

export interface ConvertedBlobs {
  /** The model's files by name, its main file first. */
  readonly files: ReadonlyMap<string, Blob>;
  readonly result: ConvertResult;
}

/**
 * Converts what a page was given, into blobs that it may offer for download.
 *
 * @param given the model's file, or it and the files beside it, the model's own first
 * @param name of the main file that is written; its extension chooses the format where `to` does not
 * @throws ModelError as `convert` does
 */
export async function convertBlob(given: File | readonly File[], name: string, options: ConvertOptions = {}): Promise<ConvertedBlobs> {
  const sink = blobSink();
  const files = filesOf(given);
  try {
    const result = await convert(files, sink, name, options);
    return { files: sink.files, result };
  } finally {
    await files.close();
  }
}

/** Describes what a page was given: see `inspect`. @param given as of `convertBlob` */
export async function inspectBlob(given: File | readonly File[], options: InspectOptions = {}): Promise<ModelDocument> {
  const files = filesOf(given);
  try {
    return await inspect(files, options);
  } finally {
    await files.close();
  }
}

function filesOf(given: File | readonly File[]): FileSet {
  const all = given instanceof Blob ? [given] : given;
  const [main] = all;
  if (!main) throw new ModelError('usage', 'no file was given');
  return blobFileSet(new Map(all.map((file) => [file.name, file])), main.name);
}
