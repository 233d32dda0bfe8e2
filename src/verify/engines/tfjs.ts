/**
 * TensorFlow.js in all its builds: the consumer of what is written for it, and a witness for Keras models, as an implementation of
 * Keras that shares no code with our readers. Each engine of its own file says which backend computes.
 */
import { closingOnError } from '../../bytes/closing.js';
import { isModelError, ModelError } from '../../errors.js';
import { type Availability, type Engine, type EngineModel, missingPackage, type Session } from '../engine.js';
import { fromCompanion, requireScripts } from './companion.js';
import { type EndNames, endNamesOf, SKIPPING, skips, toTfjsConfig } from './tfjs-config.js';
import { type TopologyNode, tfjsFiles } from './tfjs-files.js';
import { readOriginal } from './tfjs-original.js';
import { type ConverterApi, type Core, type GraphModel, graphSession, type LayersApi, type LayersModel, layersSession } from './tfjs-sessions.js';
import { keepLargeMatrices } from './tfjs-wasm-products.js';

export interface Tfjs {
  readonly core: Core;
  readonly layers: LayersApi;
  readonly converter: ConverterApi;
}

/** What distinguishes one backend of TensorFlow.js from another. */
export interface TfjsBuild {
  readonly name: string;
  readonly device: Engine['device'];
  /** Its name within TensorFlow.js. */
  readonly backend: string;
  /** The line that installs it. */
  readonly install: string;
  /** Imports the packages and makes the backend known; it need not be the current one afterwards. */
  load(): Promise<Tfjs>;
  /** Version and device, once the backend is the current one. */
  describe(tfjs: Tfjs): Promise<Availability>;
  /** Waits until the device has had time to report what went wrong. */
  settled?(): Promise<void>;
  /** What went wrong on the device without an exception, since it was last asked. */
  silentFailure?(): string | undefined;
}

export function tfjsEngine(build: TfjsBuild): Engine {
  return {
    name: build.name,
    formats: ['keras-h5', 'keras-v3', 'tfjs', 'tfjs-graph'],
    device: build.device,
    async availability() {
      try {
        return await build.describe(await ready(build));
      } catch (error) {
        return { available: false, detail: isModelError(error) ? error.problem : missingPackage(error, build.install) };
      }
    },
    async open(model) {
      const open = async (): Promise<Session> => {
        const tfjs = await ready(build);
        const { available, detail } = await build.describe(tfjs);
        if (!available) throw new ModelError('engine', detail, { file: model.files.label });
        const session = await openModel(tfjs, model);
        return {
          ...session,
          run: (feeds, wanted) =>
            guarded(build, 'fails to run it', model.files.label, async () => {
              // Another engine may have made its backend the current one since.
              await useBackend(tfjs.core, build);
              return session.run(feeds, wanted);
            }),
        };
      };
      return guarded(build, 'does not load it', model.files.label, open, (session) => session.close());
    },
  };
}

/** The packages that all backends share. */
export async function importTfjs(): Promise<Tfjs> {
  const tfjs = await importPackages();
  // Its advice to use a faster backend is no news to a user of this tool.
  tfjs.core.env().set('PROD', true);
  return tfjs;
}

/** All from one place: they share the first, and would not know each other's. */
async function importPackages(): Promise<Tfjs> {
  const scripts = await requireScripts<[Core, LayersApi, ConverterApi]>(['@tensorflow/tfjs-core', '@tensorflow/tfjs-layers', '@tensorflow/tfjs-converter']);
  if (scripts) return { core: scripts[0], layers: scripts[1], converter: scripts[2] };
  try {
    const core = await import('@tensorflow/tfjs-core');
    return { core, layers: await import('@tensorflow/tfjs-layers'), converter: await import('@tensorflow/tfjs-converter') };
  } catch (error) {
    return {
      core: await fromCompanion(error, '@tensorflow/tfjs-core'),
      layers: await fromCompanion(error, '@tensorflow/tfjs-layers'),
      converter: await fromCompanion(error, '@tensorflow/tfjs-converter'),
    };
  }
}

/** The backend in plain JavaScript, which the others use too. */
export async function importTfjsCpu(): Promise<unknown> {
  const scripts = await requireScripts(['@tensorflow/tfjs-backend-cpu']);
  if (scripts) return scripts[0];
  try {
    return await import('@tensorflow/tfjs-backend-cpu');
  } catch (error) {
    return fromCompanion(error, '@tensorflow/tfjs-backend-cpu');
  }
}

export function describeTfjs({ core }: Tfjs): Availability {
  return { available: true, detail: `TensorFlow.js ${core.version_core} (${core.getBackend()})` };
}

async function ready(build: TfjsBuild): Promise<Tfjs> {
  const tfjs = await build.load();
  await useBackend(tfjs.core, build);
  return tfjs;
}

async function useBackend(core: Core, { backend }: TfjsBuild): Promise<void> {
  if (core.getBackend() === backend) return;
  if (!(await core.setBackend(backend))) throw new ModelError('engine', `TensorFlow.js cannot start its backend "${backend}" here`);
  await core.ready();
}

async function openModel({ core, layers, converter }: Tfjs, model: EngineModel): Promise<Session> {
  const inner = model.layers === true;
  const backend = core.getBackend();
  const files = await tfjsFiles(model.files);
  if (files.kind === 'graph') {
    if (backend === 'wasm' && files.nodes.some(({ op }) => op === 'MaxPool3D')) throw wrongInWasm(model, IN_A_VOLUME);
    const net = await loadedOnCpu(core, () => converter.loadGraphModel(files.handler(core)));
    return disposingOnError(net, () => {
      if (backend === 'wasm' && files.nodes.some((node) => isSkipping(node, net))) throw wrongInWasm(model, SKIPPING);
      return graphSession(core, net, files.nodes, inner);
    });
  }
  const { net, names } = await loadedOnCpu(core, async () =>
    files.kind === 'layers' ? { net: await layers.loadLayersModel(files.handler(core)), names: undefined } : loadOriginal(core, layers, model, backend),
  );
  return disposingOnError(net, () => {
    if (backend === 'wasm') checkLayers(net, model);
    return layersSession(core, layers, net, inner, names);
  });
}

/** The kernel of WebAssembly for MaxPool3D (4.22) starts from zero. */
const IN_A_VOLUME = 'looks for maxima in a volume, where the WebAssembly kernel finds none below zero';

/** Right files would be called wrong. */
function wrongInWasm({ files }: EngineModel, problem: string): ModelError {
  return new ModelError('engine', `it ${problem}. TensorFlow.js in JavaScript does not: --engine tfjs-cpu.`, { file: files.label });
}

function checkLayers(net: LayersModel, model: EngineModel): void {
  for (const layer of net.layers) {
    if (layer.getClassName() === 'MaxPooling3D') throw wrongInWasm(model, IN_A_VOLUME);
    if (!/^(Depthwise|Separable)?Conv2D$/.test(layer.getClassName())) continue;
    const { padding, kernelSize, strides } = layer.getConfig();
    if (padding === 'same' && skips(kernelSize, strides)) throw wrongInWasm(model, SKIPPING);
  }
}

/** 'SAME' in base64, as JSON has the bytes of a string. */
const SAME = 'U0FNRQ==';

function isSkipping({ op, input, attr }: TopologyNode, { weights }: GraphModel): boolean {
  if (!/^(_?Fused)?(Conv2D|DepthwiseConv2dNative)$/.test(op) || attr?.padding?.s !== SAME) return false;
  const kernel = weights[input?.[1]?.replace(/:0$/, '') ?? '']?.[0];
  return kernel !== undefined && skips(kernel.shape.slice(0, 2), attr.strides?.list?.i?.slice(1, 3).map(Number));
}

function disposingOnError<T>(net: { dispose(): unknown }, make: () => T): Promise<T> {
  return closingOnError({ close: async () => void net.dispose() }, make);
}

async function loadOriginal(core: Core, layers: LayersApi, model: EngineModel, backend: string): Promise<{ net: LayersModel; names: EndNames }> {
  const original = await readOriginal(model);
  try {
    const config = toTfjsConfig(original.config, original.version, backend);
    const names = endNamesOf(original.config);
    const topology = { model_config: config, keras_version: '2.2.4', backend: 'tensorflow' };
    const net = await layers.loadLayersModel({ load: async () => ({ modelTopology: topology as never }) });
    return await disposingOnError(net, () => {
      original.fill(core, net);
      return { net, names };
    });
  } finally {
    original.close();
  }
}

/**
 * A net whose weights lie in the memory of JavaScript, from where each goes to WebAssembly's when it is first used, if at all: that memory
 * never becomes smaller, and would hold what weights are before they are loaded as well. Zeros that nobody touches take no memory here.
 */
async function loadedOnCpu<T>(core: Core, load: () => Promise<T>): Promise<T> {
  const backend = core.getBackend();
  const hasCpu = backend === 'wasm' && (await importTfjsCpu().catch(() => null)) !== null;
  if (!hasCpu) return load();
  keepLargeMatrices(core);
  await core.setBackend('cpu');
  try {
    return await load();
  } finally {
    await core.setBackend(backend);
  }
}

/**
 * Runs TensorFlow.js code: whatever it throws, or the device reports beside it, is an 'engine' error.
 *
 * @param undo gives back what was made where only the device reports that it is none
 */
async function guarded<T>(build: TfjsBuild, what: string, file: string, work: () => Promise<T>, undo?: (result: T) => Promise<void>): Promise<T> {
  const fail = (message: string, cause?: unknown) => new ModelError('engine', `${build.name} ${what}: ${message}`, { file }, cause);
  let result: T;
  try {
    result = await work();
  } catch (error) {
    await build.settled?.();
    const silent = build.silentFailure?.();
    if (silent !== undefined) throw fail(silent, error);
    throw isModelError(error) ? error : fail(firstLine(error), error);
  }
  await build.settled?.();
  const silent = build.silentFailure?.();
  if (silent === undefined) return result;
  await undo?.(result);
  throw fail(silent);
}

function firstLine(error: unknown): string {
  return String(error instanceof Error ? error.message : error).split('\n')[0]!;
}
