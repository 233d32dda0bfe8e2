/** Loaded TensorFlow.js models as sessions: layers models and graph models, with the values inside them. */
import { ModelError } from '../../errors.js';
import { isDType } from '../../model/dtype.js';
import { uniqueNames } from '../../model/ports.js';
import { typedValues } from '../array.js';
import type { NdArray, Session, SessionPort } from '../engine.js';
import type { EndNames } from './tfjs-config.js';
import type { TopologyNode } from './tfjs-files.js';

export type Core = typeof import('@tensorflow/tfjs-core');
export type LayersApi = typeof import('@tensorflow/tfjs-layers');
export type ConverterApi = typeof import('@tensorflow/tfjs-converter');
export type LayersModel = import('@tensorflow/tfjs-layers').LayersModel;
export type GraphModel = import('@tensorflow/tfjs-converter').GraphModel;
type SymbolicTensor = import('@tensorflow/tfjs-layers').SymbolicTensor;
type Tensor = import('@tensorflow/tfjs-core').Tensor;

/**
 * @param inner whether the outputs of all layers are shown, by the layers' names
 * @param names of the ports, where they are not those of the layers
 */
export function layersSession(core: Core, layers: LayersApi, net: LayersModel, inner: boolean, names?: EndNames): Session {
  const [inputs, outputPorts] = [layersPorts(net.inputs, names?.inputs), layersPorts(net.outputs, names?.outputs)];
  const outputs = new Map(net.outputs.map((tensor, i) => [outputPorts[i]!.name, tensor]));
  const values = new Map(inner ? innerTensors(net).filter(([name]) => !outputs.has(name)) : []);
  return {
    inputs,
    outputs: outputPorts,
    intermediates: inner ? [...values.keys()] : undefined,
    async run(feeds, wanted = [...outputs.keys()]) {
      const symbols = wanted.map((name) => outputs.get(name) ?? values.get(name) ?? noValue(name));
      // A model over the same layers: it shares their weights, so it must not be disposed of.
      const part = layers.model({ inputs: net.inputs, outputs: symbols });
      const fed = net.inputs.map(({ dtype }, i) => toTensor(core, feedFor(feeds, inputs[i]!.name), dtype));
      return fetchAll(wanted, fed, async () => core.tidy(() => part.predict(fed.length === 1 ? fed[0]! : fed) as Tensor | Tensor[]));
    },
    async close() {
      net.dispose();
    },
  };
}

/** A port is named after the layer that makes it; a layer that is called several times makes several. */
function layersPorts(tensors: readonly SymbolicTensor[], given: readonly string[] = []): SessionPort[] {
  const names = uniqueNames(given.length === tensors.length ? given : tensors.map(({ name }) => name.split('/')[0]!));
  return tensors.map(({ shape, dtype }, i) => ({ name: names[i]!, dtype: isDType(dtype) ? dtype : undefined, shape }));
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

/** @param inner whether every node's output that depends on an input is shown, by the nodes' names */
export function graphSession(core: Core, net: GraphModel, nodes: readonly TopologyNode[], inner: boolean): Session {
  const signature = net.modelSignature as { inputs?: Signature; outputs?: Signature } | undefined;
  const inputs = ports(net.inputs, signature?.inputs);
  const outputs = ports(net.outputs, signature?.outputs);
  const byName = new Map(outputs.map(({ name, node }) => [name, node]));
  const taken = new Set([...byName.keys(), ...byName.values()]);
  const values = inner ? innerNodes(nodes).filter((name) => !taken.has(name)) : [];
  for (const name of values) byName.set(name, name);
  /** An output that is a weight is the model's own tensor. */
  const stored = new Set(Object.values(net.weights).flat());
  let branches = false;
  /** A graph with branches, loops or sizes that depend on values can only be waited for; one without is better not. */
  const execute = async (fed: Record<string, Tensor>, asked: string[]): Promise<Tensor | Tensor[]> => {
    if (branches) return net.executeAsync(fed, asked);
    try {
      return core.tidy(() => net.execute(fed, asked));
    } catch (error) {
      if (!WANTS_ASYNC.test(String(error))) throw error;
      branches = true;
      return net.executeAsync(fed, asked);
    }
  };
  return {
    inputs: inputs.map(sessionPort),
    outputs: outputs.map(sessionPort),
    intermediates: inner ? values : undefined,
    async run(feeds, wanted = outputs.map(({ name }) => name)) {
      const asked = wanted.map((name) => byName.get(name) ?? noValue(name));
      const fed = Object.fromEntries(inputs.map(({ name, node, dtype }) => [node, toTensor(core, feedFor(feeds, name), dtype)]));
      return fetchAll(wanted, Object.values(fed), () => execute(fed, asked), stored);
    },
    async close() {
      net.dispose();
    },
  };
}

/** What TensorFlow.js answers where `execute` will not do. */
const WANTS_ASYNC = /executeAsync/;

function sessionPort({ name, dtype, shape }: GraphPort): SessionPort {
  return { name, dtype: isDType(dtype) ? dtype : undefined, shape };
}

type Signature = Readonly<Record<string, { readonly name?: string }>>;

interface GraphPort extends Omit<SessionPort, 'dtype'> {
  /** The tensor's name in the graph. */
  readonly node: string;
  readonly dtype: string;
}

/** A port's name is its key in the signature, where there is one; older converters wrote keys with an output index. */
function ports(tensors: readonly { name: string; shape?: number[]; dtype: string }[], signature: Signature = {}): GraphPort[] {
  const bare = (name: string) => name.replace(/:0$/, '');
  const keys = new Map(Object.entries(signature).map(([key, tensor]) => [bare(tensor.name ?? key), bare(key)]));
  const names = uniqueNames(tensors.map(({ name }) => keys.get(bare(name)) ?? bare(name)));
  return tensors.map(({ name, shape, dtype }, i) => ({
    name: names[i]!,
    node: name,
    dtype,
    shape: (shape ?? []).map((size) => (size > 0 ? size : null)),
  }));
}

/** Nodes that depend on a placeholder, in the order of the file; weights and what is made of weights alone are none. */
function innerNodes(nodes: readonly TopologyNode[]): string[] {
  const alive = new Set(nodes.filter(({ op }) => op === 'Placeholder').map(({ name }) => name));
  const inner = new Set<string>();
  // The file need not be in running order.
  for (let before = -1; before !== inner.size; ) {
    before = inner.size;
    for (const { name, input } of nodes) {
      if (inner.has(name) || !input?.some((from) => alive.has(from.replace(/:\d+$/, '')))) continue;
      alive.add(name);
      inner.add(name);
    }
  }
  return nodes.map(({ name }) => name).filter((name) => inner.has(name));
}

function feedFor(feeds: ReadonlyMap<string, NdArray>, name: string): NdArray {
  const feed = feeds.get(name) ?? (feeds.size === 1 ? [...feeds.values()][0] : undefined);
  if (!feed) throw new ModelError('engine', `TensorFlow.js: nothing was fed to "${name}"`);
  return feed;
}

function toTensor(core: Core, array: NdArray, dtype: string | undefined): Tensor {
  const shape = [...array.shape];
  if (dtype === 'bool') return core.tensor(typedValues(array, 'uint8') as Uint8Array, shape, dtype);
  if (dtype === 'int32') return core.tensor(typedValues(array, 'int32') as Int32Array, shape, dtype);
  return core.tensor(typedValues(array, 'float32') as Float32Array, shape);
}

/** @param kept tensors that are not given back */
async function fetchAll(
  names: readonly string[],
  inputs: readonly Tensor[],
  work: () => Promise<Tensor | Tensor[]>,
  kept: ReadonlySet<Tensor> = new Set(),
): Promise<Map<string, NdArray>> {
  const held = new Set(inputs);
  try {
    const made = await work();
    const tensors = Array.isArray(made) ? made : [made];
    for (const tensor of tensors) held.add(tensor);
    const results = new Map<string, NdArray>();
    for (const [i, tensor] of tensors.entries()) {
      const data = await tensor.data();
      // What it gives is a copy, or its own array, to which it does nothing any more.
      results.set(names[i]!, { shape: tensor.shape, data: data instanceof Float32Array ? data : Float32Array.from(data) });
    }
    return results;
  } finally {
    for (const tensor of held) if (!kept.has(tensor)) tensor.dispose();
  }
}

function noValue(name: string): never {
  throw new ModelError('engine', `TensorFlow.js has no output and no value named "${name}" in this model`);
}
