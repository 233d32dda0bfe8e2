/**
 * TensorFlow.js layers as a witness for Keras models: an implementation of Keras that shares no code with our readers.
 *
 * The original file is opened with h5wasm, the HDF Group's own library, so that a mistake of our HDF5 reader shows too.
 */
import { isModelError, ModelError } from '../../errors.js';
import type { Engine, EngineModel, NdArray, Session } from '../engine.js';
import { toTfjsConfig } from './tfjs-config.js';

type Tf = typeof import('@tensorflow/tfjs-core');
type Layers = typeof import('@tensorflow/tfjs-layers');
type LayersModel = import('@tensorflow/tfjs-layers').LayersModel;
type SymbolicTensor = import('@tensorflow/tfjs-layers').SymbolicTensor;

export const tfjsWasm: Engine = makeEngine('tfjs-wasm', async (tf) => {
  const wasm = await import('@tensorflow/tfjs-backend-wasm');
  // Only Node gets here with a path; a browser finds the files beside the page.
  const folder = typeof process === 'undefined' ? null : await wasmFolder();
  if (folder) wasm.setWasmPaths(folder);
  await tf.setBackend('wasm');
});

export const tfjsCpu: Engine = makeEngine('tfjs-cpu', async (tf) => {
  await import('@tensorflow/tfjs-backend-cpu');
  await tf.setBackend('cpu');
});

function makeEngine(name: string, useBackend: (tf: Tf) => Promise<void>): Engine {
  const load = async (): Promise<{ tf: Tf; layers: Layers }> => {
    const tf = await import('@tensorflow/tfjs-core');
    const layers = await import('@tensorflow/tfjs-layers');
    // Its advice to use a faster backend is no news to a user of this tool.
    tf.env().set('IS_TEST', true);
    await useBackend(tf);
    await tf.ready();
    return { tf, layers };
  };
  return {
    name,
    formats: ['keras-h5'],
    device: 'cpu',
    async availability() {
      try {
        const { tf } = await load();
        return { available: true, detail: `TensorFlow.js ${tf.version_core} (${tf.getBackend()})` };
      } catch (error) {
        return {
          available: false,
          detail: `${firstLine(error)}; npm install @tensorflow/tfjs-core @tensorflow/tfjs-layers @tensorflow/tfjs-backend-wasm h5wasm`,
        };
      }
    },
    async open(model) {
      try {
        const { tf, layers } = await load();
        return await openModel(tf, layers, model);
      } catch (error) {
        throw isModelError(error) ? error : new ModelError('engine', `TensorFlow.js does not load it: ${firstLine(error)}`, { file: model.files.label }, error);
      }
    },
  };
}

async function openModel(tf: Tf, layers: Layers, model: EngineModel): Promise<Session> {
  const { config, specs, data } = await readOriginal(model);
  const net = await layers.loadLayersModel({
    load: async () => ({
      modelTopology: { model_config: toTfjsConfig(config), keras_version: '2.2.4', backend: 'tensorflow' } as never,
      weightSpecs: specs,
      weightData: data,
    }),
  });
  return layersSession(tf, layers, net, model.layers === true);
}

/** @param inner whether the outputs of all layers are shown, by the layers' names */
function layersSession(tf: Tf, layers: Layers, net: LayersModel, inner: boolean): Session {
  const port = ({ name, shape }: SymbolicTensor) => ({ name: name.split('/')[0]!, shape });
  const outputs = new Map(net.outputs.map((tensor) => [port(tensor).name, tensor]));
  const values = new Map(inner ? innerTensors(net).filter(([name]) => !outputs.has(name)) : []);
  return {
    inputs: net.inputs.map(port),
    outputs: net.outputs.map(port),
    intermediates: inner ? [...values.keys()] : undefined,
    async run(feeds, wanted = [...outputs.keys()]) {
      const symbols = wanted.map((name) => outputs.get(name) ?? values.get(name) ?? fail(`there is no layer "${name}"`));
      // A model over the same layers: it shares their weights, so it must not be disposed of.
      const part = layers.model({ inputs: net.inputs, outputs: symbols });
      const inputs = net.inputs.map((symbol) => {
        const feed =
          feeds.get(port(symbol).name) ?? (feeds.size === 1 ? [...feeds.values()][0] : undefined) ?? fail(`nothing was fed to "${port(symbol).name}"`);
        return tf.tensor(Float32Array.from(feed.data as Float32Array), feed.shape as number[]);
      });
      const made = part.predict(inputs.length === 1 ? inputs[0]! : inputs);
      const tensors = Array.isArray(made) ? made : [made];
      const results = new Map<string, NdArray>();
      for (const [i, tensor] of tensors.entries()) results.set(wanted[i]!, { shape: tensor.shape, data: Float32Array.from(await tensor.data()) });
      for (const tensor of [...inputs, ...tensors]) tensor.dispose();
      return results;
    },
    async close() {
      net.dispose();
    },
  };
}

/** What each layer makes where it is called first, by the layer's name. */
function innerTensors(net: LayersModel): [string, SymbolicTensor][] {
  return net.layers
    .filter((layer) => layer.getClassName() !== 'InputLayer' && layer.inboundNodes.length > 0)
    .flatMap((layer) => {
      const made = layer.inboundNodes[0]!.outputTensors;
      return made.length === 1 ? [[layer.name, made[0]!] as [string, SymbolicTensor]] : [];
    });
}

function fail(message: string): never {
  throw new ModelError('engine', `TensorFlow.js: ${message}`);
}

interface WeightSpec {
  readonly name: string;
  readonly shape: number[];
  readonly dtype: 'float32';
}

/** Configuration and weights of the original file, through h5wasm. */
async function readOriginal({ files, path }: EngineModel): Promise<{ config: string; specs: WeightSpec[]; data: ArrayBuffer }> {
  const h5wasm = typeof process !== 'undefined' && path !== undefined ? await import('h5wasm/node') : await import('h5wasm');
  const { FS } = await h5wasm.ready;
  let name = path;
  if (name === undefined) {
    const source = await files.open(files.main!);
    name = 'model.h5';
    FS.writeFile(name, await source.read(0, source.byteLength));
  }
  const file = new h5wasm.File(name, 'r');
  try {
    const config = file.attrs.model_config?.value;
    if (typeof config !== 'string') throw new ModelError('engine', 'the file holds weights without a configuration');
    if (file.attrs.backend?.value === 'theano')
      throw new ModelError('engine', 'the file was saved under Theano, whose convolutions TensorFlow.js does not compute');
    const holder = file.get('model_weights') as InstanceType<typeof h5wasm.Group>;
    const weights: { spec: WeightSpec; values: Float32Array }[] = [];
    for (const layer of namesOf(holder, 'layer_names')) {
      const group = holder.get(layer) as InstanceType<typeof h5wasm.Group>;
      for (const weight of namesOf(group, 'weight_names')) {
        const dataset = group.get(weight) as InstanceType<typeof h5wasm.Dataset>;
        const last = weight.replace(/:\d+$/, '').split('/').at(-1);
        weights.push({
          spec: { name: `${layer}/${last}`, shape: dataset.shape as number[], dtype: 'float32' },
          values: Float32Array.from(dataset.value as Float32Array),
        });
      }
    }
    const data = new Float32Array(weights.reduce((sum, { values }) => sum + values.length, 0));
    let at = 0;
    for (const { values } of weights) {
      data.set(values, at);
      at += values.length;
    }
    return { config, specs: weights.map(({ spec }) => spec), data: data.buffer };
  } finally {
    file.close();
  }
}

function namesOf(group: { attrs: Record<string, { value: unknown }> }, attribute: string): string[] {
  const value = group.attrs[attribute]?.value;
  if (Array.isArray(value)) return value.map(String);
  if (value !== undefined && value !== null && !(ArrayBuffer.isView(value) && value.byteLength === 0)) return [String(value)];
  const pieces: string[] = [];
  for (let i = 0; group.attrs[`${attribute}${i}`]; i++) pieces.push(...(group.attrs[`${attribute}${i}`]!.value as unknown[]).map(String));
  return pieces;
}

async function wasmFolder(): Promise<string> {
  const url = import.meta.resolve('@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm.wasm');
  return decodeURIComponent(new URL('.', url).pathname).replace(/^\/([A-Za-z]:)/, '$1');
}

function firstLine(error: unknown): string {
  return String(error instanceof Error ? error.message : error).split('\n')[0]!;
}
