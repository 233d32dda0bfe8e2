/** ONNX Runtime in all its builds: how a model is loaded, fed, and its values fetched. Each engine of its own file says which build. */
import type { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-common';
import { concatBytes } from '../../bytes/byte-sink.js';
import type { ByteSource } from '../../bytes/byte-source.js';
import { closingOnError } from '../../bytes/closing.js';
import { type ReadModel, readOnnxModel } from '../../containers/onnx.js';
import { isModelError, ModelError } from '../../errors.js';
import { isDType } from '../../model/dtype.js';
import { type Availability, type Engine, type EngineModel, missingPackage, type Session, type SessionPort } from '../engine.js';
import { cutIntoPieces, readEncoded } from './onnx-pieces.js';
import { furtherOutputs, innerValues } from './onnx-values.js';
import { copyWithWeightsApart } from './ort-copy.js';
import { sessionInPieces } from './ort-pieces.js';
import { fromOrt, type Ort, toOrt } from './ort-tensors.js';

export type { Ort } from './ort-tensors.js';

/** What distinguishes one build of ONNX Runtime from another. */
export interface OrtBuild {
  readonly name: string;
  readonly device: Engine['device'];
  /** The line that installs it. */
  readonly install: string;
  /** Imports the package. */
  load(): Promise<Ort>;
  /** Version and device, once it is loaded. */
  describe(ort: Ort): Promise<Availability>;
  /** Options on top of the common ones. */
  readonly options: InferenceSession.SessionOptions;
  /** Whether it opens files by path itself, and with them external data and files beyond 2 GiB. */
  readonly readsPaths: boolean;
  /** A better sentence for a message of the runtime's; undefined where there is none. */
  explain?(message: string): string | undefined;
}

/** Nothing: errors are thrown, and told in our words; warnings about unused initializers are no news to a user. */
const LOG_SEVERITY = 4;

export function ortEngine(build: OrtBuild): Engine {
  const { name, device, install } = build;
  return {
    name,
    formats: ['onnx'],
    device,
    optimises: true,
    async availability() {
      let ort: Ort;
      try {
        ort = await build.load();
      } catch (error) {
        return { available: false, detail: missingPackage(error, install) };
      }
      return build.describe(ort);
    },
    async open(model) {
      try {
        const ort = await build.load();
        const { available, detail } = await build.describe(ort);
        if (!available) throw new ModelError('engine', detail, { file: model.files.label });
        const { layers = false } = model;
        const intermediates = layers ? (await innerValues(model.files)).filter((name) => layers === true || layers.includes(name)) : undefined;
        const inPieces = await openInPieces(build, ort, model, intermediates);
        if (inPieces) return inPieces;
        const session = await createSession(build, ort, model, intermediates ?? []);
        return await closingOnError({ close: () => session.release() }, () => makeSession(build, ort, session, intermediates));
      } catch (error) {
        throw isModelError(error) ? error : failure(build, 'does not load it', error, model.files.label);
      }
    },
  };
}

/**
 * A matrix stored as int8 behind a DequantizeLinear is multiplied in float32. By default (level 4) ONNX Runtime rounds the other
 * operand to int8 too, which moved the demo's predictions by 1.4e-2 of their scale: no error of the file.
 */
const FLOAT32_PRODUCTS = { qdq_matmulnbits_accuracy_level: '1' };

/**
 * Processors of x64 without VNNI add two products of unsigned codes with signed ones in 16 bits, where more than 32,767 is cut off: that moved 8-bit nets of its
 * own quantiser by up to 0.13 of their scale beside every other processor, and beside the file as it is written.
 */
const WHOLE_PRODUCTS = { x64quantprecision: '1' };

/** Where nothing that flows becomes codes, none are multiplied. */
const MAKES_CODES = /QuantizeLinear$|^QLinear|Integer|^QGemm$|^DynamicQuantize|^QAttention$/;

/**
 * Whether it can be asked to: it makes unsigned codes of all signed ones then, and where a DequantizeLinear has scales along an axis and no zeros, it (1.30) makes
 * one zero for all of them and does not run the file.
 */
function wholeProducts(read: ReadModel | null): object {
  const hasProducts = read?.nodes.some(({ op }) => MAKES_CODES.test(op));
  return hasProducts && read?.nodes.every(({ op, inputs }) => op !== 'DequantizeLinear' || (inputs[2] ?? '') !== '') ? WHOLE_PRODUCTS : {};
}

/** What our reader cannot read a runtime may, or says why not in its own words. */
async function readIfCan({ files }: EngineModel): Promise<ReadModel | null> {
  return readOnnxModel(files, files.main!).catch((error) => (isModelError(error) ? null : Promise.reject(error)));
}

/**
 * It puts float16 weights as float32 into the nodes that it computes in float32, and ends the process (1.30) at a matrix product that it has taken together
 * with a Transpose of more than two axes, or where a Cast has another name than its value. Without it, the weights are widened in each run.
 */
const WITHOUT = { disable_specified_optimizers: 'FuseFp16InitializerToFp32NodeTransformer' };

function optionsFor({ options }: OrtBuild, model: EngineModel): InferenceSession.SessionOptions {
  return {
    logSeverityLevel: LOG_SEVERITY,
    ...options,
    ...(model.asWritten ? { graphOptimizationLevel: 'disabled' as const } : {}),
    extra: { optimization: WITHOUT, ...options.extra, session: { ...FLOAT32_PRODUCTS, ...(options.extra?.session as object | undefined) } },
  };
}

function withSession(options: InferenceSession.SessionOptions, more: object): InferenceSession.SessionOptions {
  return { ...options, extra: { ...options.extra, session: { ...(options.extra?.session as object | undefined), ...more } } };
}

/** What is given as bytes has no folder to find its weights in, unless it is told one. */
function besideFiles(options: InferenceSession.SessionOptions, folder: string, more: object = {}): InferenceSession.SessionOptions {
  return withSession(options, { ...more, model_external_initializers_file_folder_path: folder });
}

function folderOf(path: string): string {
  return path.replace(/[^\\/]*$/, '') || '.';
}

/** Bytes of weights beyond which what is inside of a model is shown piece by piece; */
const LARGE_BYTES = 2 ** 26;
/** and beyond which one whose weights lie beside it is run so where nothing inside is asked for. */
const HUGE_BYTES = 2 ** 30;
/** What a protobuf parser takes: a model that is longer is none that a runtime loads. */
const PARSED_BYTES = 2 ** 31 - 1;
/** What is run a few times alone: what the runtime would lay out otherwise for further runs costs more than it saves. */
const ONCE = { disable_prepacking: '1' };
/** A file from which on that is so: of VGG16 it is a second of processors and 140 MB, and a run takes as long. */
const DEAR_BYTES = 2 ** 28;

/** A large model on disk in pieces, of which one is in memory at a time; null where it is small, or cannot be run so. */
async function openInPieces(build: OrtBuild, ort: Ort, model: EngineModel, intermediates: readonly string[] | undefined): Promise<Session | null> {
  if (!build.readsPaths || model.path === undefined || model.asWritten) return null;
  const read = await readIfCan(model);
  if (!read) return null;
  const bytes = read.storedTensors.reduce((sum, tensor) => sum + tensor.bytes.byteLength, 0);
  const isApart = read.externalFiles.length > 0;
  if (bytes <= (intermediates ? LARGE_BYTES : HUGE_BYTES) || read.file.byteLength > PARSED_BYTES || (!intermediates && !isApart)) return null;
  const isTold = [...read.inputs, ...read.outputs].every(({ dtype, shape }) => dtype !== null && shape !== null);
  const pieces = isTold ? cutIntoPieces(read) : null;
  if (!pieces) return null;
  if (!intermediates) await loadWhole(build, ort, model);
  const copy = isApart ? null : await copyWithWeightsApart(read.file);
  if (!isApart && !copy) return null;
  const remove = async () => copy?.remove();
  try {
    const encoded = await readEncoded(copy?.model ?? (await read.file.read(0, read.file.byteLength)));
    const once = { ...withSession(optionsFor(build, model), wholeProducts(read)), enableCpuMemArena: false, enableMemPattern: false };
    const options = besideFiles(once, copy?.folder ?? folderOf(model.path), ONCE);
    const create = (piece: Uint8Array) => ort.InferenceSession.create(piece, options);
    return sessionInPieces({ ort, model: read, pieces, encoded, intermediates, create, failure: (what, error) => failure(build, what, error), close: remove });
  } catch (error) {
    await remove();
    throw error;
  }
}

/** Has the runtime load the file as it is, which maps weights beside it without reading them: that it takes the file is seen so, too. */
async function loadWhole(build: OrtBuild, ort: Ort, model: EngineModel): Promise<void> {
  const asItIs = besideFiles({ ...optionsFor(build, model), graphOptimizationLevel: 'disabled' }, folderOf(model.path!), ONCE);
  await (await ort.InferenceSession.create(model.path!, asItIs)).release();
}

async function createSession(build: OrtBuild, ort: Ort, model: EngineModel, intermediates: readonly string[]): Promise<InferenceSession> {
  const whole = wholeProducts(await readIfCan(model));
  const plain = optionsFor(build, model);
  try {
    return await sessionWith(withSession(plain, whole), build, ort, model, intermediates);
  } catch (error) {
    if (Object.keys(whole).length === 0) throw error;
    // Of some operators on signed codes it (1.30) has none on the unsigned ones that it makes then. Who asks for nothing has to be able to load the file,
    // else it is the file's fault; as it is written, it loses nothing in its sums either.
    await (await sessionWith(plain, build, ort, model, intermediates)).release();
    return sessionWith({ ...plain, graphOptimizationLevel: 'disabled' }, build, ort, model, intermediates);
  }
}

async function sessionWith(usual: InferenceSession.SessionOptions, { readsPaths }: OrtBuild, ort: Ort, model: EngineModel, intermediates: readonly string[]) {
  const byPath = readsPaths && model.path !== undefined;
  const source = await mainFile(model);
  const common = source.byteLength < DEAR_BYTES ? usual : withSession(usual, ONCE);
  if (byPath && intermediates.length === 0) return ort.InferenceSession.create(model.path!, common);
  const bytes = await source.read(0, source.byteLength);
  const input = intermediates.length === 0 ? bytes : concatBytes([bytes, furtherOutputs(intermediates)]);
  if (byPath) return ort.InferenceSession.create(input, besideFiles(common, folderOf(model.path!)));
  return ort.InferenceSession.create(input, readsPaths ? common : { ...common, externalData: await externalData(model) });
}

function makeSession(build: OrtBuild, ort: Ort, session: InferenceSession, intermediates?: readonly string[]): Session {
  const inner = new Set(intermediates);
  const port = (metadata: InferenceSession.ValueMetadata): SessionPort => ({
    name: metadata.name,
    dtype: metadata.isTensor && isDType(metadata.type) ? metadata.type : undefined,
    shape: metadata.isTensor ? metadata.shape.map((size) => (typeof size === 'number' && size > 0 ? size : null)) : [],
  });
  const types = new Map(session.inputMetadata.map((metadata) => [metadata.name, metadata.isTensor ? metadata.type : 'float32']));
  const outputs = session.outputMetadata.filter(({ name }) => !inner.has(name)).map(port);
  const known = new Set(session.outputNames);
  return {
    inputs: session.inputMetadata.map(port),
    outputs,
    intermediates,
    async run(feeds, wanted = outputs.map(({ name }) => name)) {
      const inputs: Record<string, OrtTensor> = {};
      for (const [input, array] of feeds) inputs[input] = toOrt(ort, types.get(input) ?? 'float32', array);
      const missing = wanted.find((name) => !known.has(name));
      if (missing !== undefined) throw new ModelError('engine', `${build.name} has no value named "${missing}"`);
      try {
        const results = await session.run(inputs, wanted);
        return new Map(wanted.map((name) => [name, fromOrt(results[name]!)]));
      } catch (error) {
        throw failure(build, 'fails to run it', error);
      }
    },
    close: async () => session.release(),
  };
}

/** Where in the runtime's own code an error arose: file, line and signature. */
const IN_ITS_CODE = /\/\S+\.cc:\d+ [\w:~]+\(.*?\) (?=\S)/;

function failure(build: OrtBuild, what: string, error: unknown, file?: string): ModelError {
  const message = firstLine(error).replace(IN_ITS_CODE, ' ');
  return new ModelError('engine', `${build.name} ${what}: ${build.explain?.(message) ?? lacking(message) ?? message}`, { file }, error);
}

/** It names the kernel that it looked for, and not that dtypes are what it lacks: a net of float64 has hardly any. */
function lacking(message: string): string | undefined {
  const [, type, by, at] = /Type 'tensor\((\w+)\)' of input parameter .* of operator \((\w+)\) in node \((.*?)\) is invalid/.exec(message) ?? [];
  if (type?.includes('float')) return `its ${by} takes no ${type} (node "${at}"). ${IN_FLOAT32}`;
  const [, op, opset, node] = /Could not find an implementation for (\w+)\((\d+)\) node with name '(.*?)'/.exec(message) ?? [];
  if (op === undefined) return undefined;
  return `it has no ${op} (opset ${opset}) for the dtypes that node "${node}" has. Most of its operators take float32 and not float64. ${IN_FLOAT32}`;
}

const IN_FLOAT32 = 'A net of other floats runs once it computes in float32, as --dtype float32 has it; --to tfjs-graph has float32 alone';

function mainFile({ files }: EngineModel): Promise<ByteSource> {
  return files.open(files.main!);
}

/** WebAssembly has no files: the data beside the model is handed over with it. */
async function externalData({ files }: EngineModel): Promise<{ path: string; data: Uint8Array }[]> {
  const { externalFiles } = await readOnnxModel(files, files.main!);
  const read = async (path: string) => {
    const source = await files.open(path);
    return { path, data: await source.read(0, source.byteLength) };
  };
  return Promise.all(externalFiles.map(read));
}

export function firstLine(error: unknown): string {
  return String(error instanceof Error ? error.message : error).split('\n')[0]!;
}
