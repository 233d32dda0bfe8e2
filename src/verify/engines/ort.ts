/** ONNX Runtime in all its builds: how a model is loaded, fed, and its values fetched. Each engine of its own file says which build. */
import type { InferenceSession, Tensor as OrtTensor, TypedTensor } from 'onnxruntime-common';
import { concatBytes } from '../../bytes/byte-sink.js';
import type { ByteSource } from '../../bytes/byte-source.js';
import { closingOnError } from '../../bytes/closing.js';
import { readOnnxModel } from '../../containers/onnx.js';
import { isModelError, ModelError } from '../../errors.js';
import { toFloat32Array } from '../../model/cast.js';
import { isDType } from '../../model/dtype.js';
import { typedValues } from '../array.js';
import { type Availability, type Engine, type EngineModel, missingPackage, type NdArray, type Session, type SessionPort } from '../engine.js';
import { furtherOutputs, innerValues } from './onnx-values.js';
import { copyWithWeightsApart, type ModelCopy } from './ort-copy.js';

export interface Ort {
  readonly InferenceSession: { create(model: string | Uint8Array, options?: InferenceSession.SessionOptions): Promise<InferenceSession> };
  readonly Tensor: new (type: never, data: never, dims: readonly number[]) => OrtTensor;
  readonly env: {
    readonly versions?: { readonly node?: string; readonly web?: string; readonly common?: string };
    readonly wasm?: { numThreads?: number };
    logLevel?: string;
  };
}

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

/** Errors only: warnings about unused initializers are no news to a user. */
const LOG_SEVERITY = 3;

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

async function createSession({ options, readsPaths }: OrtBuild, ort: Ort, model: EngineModel, intermediates: readonly string[]) {
  const common: InferenceSession.SessionOptions = {
    logSeverityLevel: LOG_SEVERITY,
    ...options,
    ...(model.asWritten ? { graphOptimizationLevel: 'disabled' as const } : {}),
    extra: { ...options.extra, session: { ...FLOAT32_PRODUCTS, ...(options.extra?.session as object | undefined) } },
  };
  const byPath = readsPaths && model.path !== undefined;
  if (byPath && intermediates.length === 0) return ort.InferenceSession.create(model.path!, common);
  const source = await mainFile(model);
  if (byPath && source.byteLength > LARGE_BYTES && (await readOnnxModel(model.files, model.files.main!)).externalFiles.length === 0) {
    const copy = await copyWithWeightsApart(source, furtherOutputs(intermediates));
    // What it would keep of a run for the next one are 170 MB for VGG16, and here it is run a few times, beside our evaluator.
    if (copy) return closingWith(copy, () => ort.InferenceSession.create(copy.path, { ...common, enableCpuMemArena: false, enableMemPattern: false }));
  }
  const bytes = await source.read(0, source.byteLength);
  const input = intermediates.length === 0 ? bytes : concatBytes([bytes, furtherOutputs(intermediates)]);
  if (byPath) {
    // Bytes have no folder in which their external data could be found, unless they are told one.
    const folder = model.path!.replace(/[^\\/]*$/, '') || '.';
    const session = { ...(common.extra?.session as object | undefined), model_external_initializers_file_folder_path: folder };
    return ort.InferenceSession.create(input, { ...common, extra: { ...common.extra, session } });
  }
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

function failure(build: OrtBuild, what: string, error: unknown, file?: string): ModelError {
  const message = firstLine(error);
  return new ModelError('engine', `${build.name} ${what}: ${build.explain?.(message) ?? message}`, { file }, error);
}

function toOrt(ort: Ort, type: string, array: NdArray): OrtTensor {
  const make = (data: unknown) => new ort.Tensor(type as never, data as never, array.shape);
  if (type === 'float32' && array.data instanceof Float32Array) return make(array.data);
  if (type === 'bool' || !isDType(type)) {
    if (type === 'bool') return make(typedValues(array, 'uint8'));
    throw new ModelError('engine', `inputs of type ${type} are not fed`);
  }
  return make(typedValues(array, type));
}

const WIDE: ReadonlySet<string> = new Set(['float64', 'int64', 'uint64', 'int32', 'uint32']);

function fromOrt(tensor: OrtTensor): NdArray {
  // Asking ONNX Runtime's native build for such a tensor's values aborts the process.
  if (tensor.location?.startsWith('gpu')) throw new ModelError('engine', `an output stayed on the GPU (${tensor.location}) instead of being fetched`);
  const { data, type, dims } = tensor as TypedTensor<'float32'>;
  if (type === 'float32' && data instanceof Float32Array) return { shape: dims, data };
  // Counts and positions may be larger than float32 holds.
  if (WIDE.has(type)) return { shape: dims, data: Float64Array.from(data as ArrayLike<number>, Number) };
  // Node 20 has no Float16Array: half-precision results come as their bits.
  const isHalf = (type as string) === 'float16' && (data as unknown) instanceof Uint16Array;
  const bits = data as unknown as Uint16Array;
  const values = isHalf
    ? toFloat32Array(new Uint8Array(bits.buffer, bits.byteOffset, bits.byteLength), 'float16')
    : Float32Array.from(data as ArrayLike<number>, Number);
  return { shape: dims, data: values };
}

/** What is handed over as bytes the runtime holds twice while it loads; larger files are handed over in two. */
const LARGE_BYTES = 2 ** 26;

function mainFile({ files }: EngineModel): Promise<ByteSource> {
  return files.open(files.main!);
}

/** A session over a copy, which is removed when the session is released: until then the runtime has it mapped. */
async function closingWith(copy: ModelCopy, create: () => Promise<InferenceSession>): Promise<InferenceSession> {
  try {
    const session = await create();
    const release = session.release.bind(session);
    session.release = () => release().finally(() => copy.remove());
    return session;
  } catch (error) {
    await copy.remove();
    throw error;
  }
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
