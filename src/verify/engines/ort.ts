/** ONNX Runtime, native (`ort-cpu`) and as WebAssembly (`ort-wasm`): the runtimes that consume what is written. */
import type { InferenceSession, Tensor as OrtTensor, TypedTensor } from 'onnxruntime-common';
import { ModelError } from '../../errors.js';
import { toFloat32Array } from '../../model/cast.js';
import type { Engine, EngineModel, NdArray, Session, SessionPort } from '../engine.js';

interface Ort {
  readonly InferenceSession: { create(model: string | Uint8Array, options?: InferenceSession.SessionOptions): Promise<InferenceSession> };
  readonly Tensor: new (type: never, data: never, dims: readonly number[]) => OrtTensor;
  readonly env: {
    readonly versions?: { readonly node?: string; readonly web?: string; readonly common?: string };
    readonly wasm?: { numThreads?: number };
    logLevel?: string;
  };
}

/** Errors only: warnings about unused initializers are no news to a user. */
const LOG_SEVERITY = 3;

export const ortCpu: Engine = makeEngine('ort-cpu', 'npm install onnxruntime-node', async () => {
  const ort = (await import('onnxruntime-node')) as unknown as Ort;
  return { ort, detail: `onnxruntime-node ${ort.env.versions?.node ?? ort.env.versions?.common ?? ''}, CPU`, readsPaths: true };
});

export const ortWasm: Engine = makeEngine('ort-wasm', 'npm install onnxruntime-web', async () => {
  const ort = (await import('onnxruntime-web')) as unknown as Ort;
  if (ort.env.wasm) ort.env.wasm.numThreads = 1;
  return { ort, detail: `onnxruntime-web ${ort.env.versions?.web ?? ort.env.versions?.common ?? ''}, WebAssembly`, readsPaths: false };
});

interface Loaded {
  readonly ort: Ort;
  readonly detail: string;
  /** Whether it opens files by path itself, and with them external data and files beyond 2 GiB. */
  readonly readsPaths: boolean;
}

function makeEngine(name: string, install: string, load: () => Promise<Loaded>): Engine {
  return {
    name,
    formats: ['onnx'],
    async availability() {
      try {
        return { available: true, detail: (await load()).detail };
      } catch (error) {
        return { available: false, detail: `not installed (${firstLine(error)}); ${install}` };
      }
    },
    async open(model) {
      const { ort, readsPaths } = await load();
      const options: InferenceSession.SessionOptions = { logSeverityLevel: LOG_SEVERITY, executionProviders: [name === 'ort-wasm' ? 'wasm' : 'cpu'] };
      try {
        const input = readsPaths && model.path !== undefined ? model.path : await readAll(model);
        if (!readsPaths) options.externalData = await externalData(model);
        return makeSession(name, ort, await ort.InferenceSession.create(input, options));
      } catch (error) {
        throw error instanceof ModelError
          ? error
          : new ModelError('engine', `${name} does not load it: ${firstLine(error)}`, { file: model.files.label }, error);
      }
    },
  };
}

function makeSession(name: string, ort: Ort, session: InferenceSession): Session {
  const ports = (metadata: readonly InferenceSession.ValueMetadata[]): SessionPort[] =>
    metadata.map((port) => ({ name: port.name, shape: port.isTensor ? port.shape.map((size) => (typeof size === 'number' && size > 0 ? size : null)) : [] }));
  const types = new Map(session.inputMetadata.map((port) => [port.name, port.isTensor ? port.type : 'float32']));
  return {
    inputs: ports(session.inputMetadata),
    outputs: ports(session.outputMetadata),
    async run(feeds) {
      const inputs: Record<string, OrtTensor> = {};
      for (const [input, array] of feeds) inputs[input] = toOrt(ort, types.get(input) ?? 'float32', array);
      try {
        const results = await session.run(inputs);
        return new Map(session.outputNames.map((output) => [output, fromOrt(results[output]!)]));
      } catch (error) {
        throw new ModelError('engine', `${name} fails to run it: ${firstLine(error)}`, {}, error);
      }
    },
    close: async () => session.release(),
  };
}

function toOrt(ort: Ort, type: string, { data, shape }: NdArray): OrtTensor {
  const values = Array.from(data as ArrayLike<number | bigint>, Number);
  const make = (array: unknown) => new ort.Tensor(type as never, array as never, shape);
  if (type === 'int64') return make(BigInt64Array.from(values, (value) => BigInt(Math.round(value))));
  if (type === 'int32') return make(Int32Array.from(values));
  if (type === 'float64') return make(Float64Array.from(values));
  if (type === 'float32') return make(data instanceof Float32Array ? data : Float32Array.from(values));
  throw new ModelError('engine', `inputs of type ${type} are not fed`);
}

function fromOrt(tensor: OrtTensor): NdArray {
  const { data, type, dims } = tensor as TypedTensor<'float32'>;
  // Node 20 has no Float16Array: half-precision results come as their bits.
  const isHalf = (type as string) === 'float16' && (data as unknown) instanceof Uint16Array;
  const bits = data as unknown as Uint16Array;
  const values = isHalf
    ? toFloat32Array(new Uint8Array(bits.buffer, bits.byteOffset, bits.byteLength), 'float16')
    : Float32Array.from(data as ArrayLike<number>, Number);
  return { shape: dims, data: values };
}

async function readAll({ files }: EngineModel): Promise<Uint8Array> {
  const source = await files.open(files.main!);
  return source.read(0, source.byteLength);
}

/** WebAssembly has no files: the data beside the model is handed over with it. */
async function externalData({ files }: EngineModel): Promise<{ path: string; data: Uint8Array }[]> {
  const name = `${files.main}.data`;
  if (!(await files.has(name))) return [];
  const source = await files.open(name);
  return [{ path: name, data: await source.read(0, source.byteLength) }];
}

function firstLine(error: unknown): string {
  return String(error instanceof Error ? error.message : error).split('\n')[0]!;
}
