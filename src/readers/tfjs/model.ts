/** Reads TensorFlow.js models: what they are made of, their tensors, and a layers model's wiring. */
import type { FileSet } from '../../bytes/file-set.js';
import { parseInput, type TfGraph, type TfNode } from '../../containers/tf-graph.js';
import { parseGraphJson } from '../../containers/tf-graph-json.js';
import { buildTensorflowMap, type TfPort } from '../../dialects/tensorflow/graph.js';
import { ModelError } from '../../errors.js';
import type { ModelFile, StoredWeight } from '../../model/layer-map.js';
import type { ReadOptions } from '../reader.js';
import { buildLayersMap } from './layers.js';
import { isObject, type Json, type ModelJson, readModelJson } from './model-json.js';
import { type ManifestWeights, readManifest } from './weights.js';

export async function readTfjs(files: FileSet, options: ReadOptions): Promise<ModelFile> {
  const json = await readModelJson(files);
  if (json.kind === 'graph') throw wrongForm(json, 'graph', 'tfjs-graph');
  const manifest = await readManifest(files, json);
  const producer = producerOf(json);
  const tensors = manifest.weights.map(({ tensor }) => ({ tensor, layer: layerOf(tensor.name) }));
  return {
    ...describe('tfjs', json, manifest, tensors),
    map: async () => {
      if (json.topology)
        return buildLayersMap(
          json.topology,
          tensors.map(({ tensor }) => tensor),
          { file: json.file, producer, options },
        );
      throw new ModelError(
        'unsupported',
        'this is a manifest of weights without a topology, so there is no net to build. The weights can be inspected and moved.',
        {
          file: json.file,
        },
      );
    },
  };
}

export async function readTfjsGraph(files: FileSet, options: ReadOptions): Promise<ModelFile> {
  const json = await readModelJson(files);
  if (json.kind !== 'graph') throw wrongForm(json, json.kind === 'layers' ? 'layers' : 'weights', 'tfjs');
  const manifest = await readManifest(files, json);
  const graph = readGraph(json);
  const { nodes } = graph;
  const consumers = new Map(nodes.flatMap((node) => namesRead(node).map((input) => [input, node.name] as const)));
  const file = describe(
    'tfjs-graph',
    json,
    manifest,
    manifest.weights.map(({ tensor }) => ({ tensor, layer: consumers.get(tensor.name) ?? null })),
  );
  const { inputs, outputs } = signaturePorts(json);
  const weights = new Map(manifest.weights.map(({ tensor }) => [tensor.name, tensor]));
  return {
    ...file,
    details: { ...file.details, nodes: String(nodes.length), operators: operatorCounts(nodes), inputs, outputs },
    map: async () =>
      buildTensorflowMap({
        graph,
        ...signatureOf(json),
        weight: (name) => weights.get(name),
        file: json.file,
        format: 'tfjs-graph',
        producer: producerOf(json),
        inputShape: options.inputShape,
        recordedShape: options.recordedShape,
      }),
  };
}

/** Ports by the order of the signature; null for a side that it does not name. */
function signatureOf(json: ModelJson): { inputs: readonly TfPort[] | null; outputs: readonly TfPort[] | null } {
  const signature = statedSignature(json);
  const ports = (value: unknown): TfPort[] | null => {
    const entries = Object.entries(isObject(value) ? value : {});
    if (entries.length === 0) return null;
    return entries.map(([name, port]) => ({ name, from: parseInput(String((isObject(port) && port.name) || name)) }));
  };
  return { inputs: ports(signature.inputs), outputs: ports(signature.outputs) };
}

/** The graph of a graph model. @throws ModelError 'malformed' where it is none, or a node reads what is not there */
export function readGraph({ topology, file }: ModelJson): TfGraph {
  const graph = parseGraphJson(topology!, file);
  const names = new Set(graph.nodes.map(({ name }) => name));
  for (const node of graph.nodes) {
    const missing = namesRead(node).find((input) => !names.has(input));
    if (missing !== undefined) throw new ModelError('malformed', `reads "${missing}", but there is no such node`, { file, layer: node.name });
  }
  return graph;
}

/** The nodes whose values a node reads, and those that it waits for. */
export function namesRead({ inputs, control }: TfNode): readonly string[] {
  return [...inputs.map(({ node }) => node), ...control];
}

function describe(format: string, json: ModelJson, manifest: ManifestWeights, tensors: readonly StoredWeight[]): Omit<ModelFile, 'map'> {
  const { file, top, kind } = json;
  const text = (key: string, label: string) => (typeof top[key] === 'string' ? { [label]: top[key] as string } : {});
  const quantised = new Set(manifest.weights.flatMap(({ stored }) => (stored.dtype === 'float32' || stored.dtype === 'int32' ? [] : [stored.dtype])));
  const metadata = isObject(top.userDefinedMetadata) ? top.userDefinedMetadata : {};
  return {
    format,
    producer: producerOf(json),
    tensors,
    details: {
      content: kind === 'weights' ? 'weights only' : `${kind} model`,
      ...text('convertedBy', 'converted by'),
      shards: String(manifest.files.length),
      ...(quantised.size > 0 ? { stored: [...quantised].join(', ') } : {}),
      ...Object.fromEntries(Object.entries(metadata).filter((entry): entry is [string, string] => typeof entry[1] === 'string')),
    },
    warnings: manifest.warnings,
    files: [file, ...manifest.files],
  };
}

function producerOf({ top, topology }: ModelJson): string | null {
  const version = topology?.keras_version;
  return typeof top.generatedBy === 'string' ? top.generatedBy : typeof version === 'string' ? `keras ${version}` : null;
}

/** 'conv1/kernel' belongs to the layer 'conv1'. */
function layerOf(name: string): string | null {
  return name.includes('/') ? name.slice(0, name.lastIndexOf('/')) : null;
}

/** Converters of 2020 wrote it into the user's metadata, which TensorFlow.js looks at first. */
function statedSignature({ top }: ModelJson): Json {
  const metadata = isObject(top.userDefinedMetadata) ? top.userDefinedMetadata : {};
  return [metadata.signature, top.signature].find(isObject) ?? {};
}

function signaturePorts(json: ModelJson): { inputs: string; outputs: string } {
  const signature = statedSignature(json);
  const ports = (value: unknown) =>
    Object.entries(isObject(value) ? value : {})
      .map(([name, port]) => `${name} [${sizesOf(port)}]`)
      .join(', ');
  return { inputs: ports(signature.inputs), outputs: ports(signature.outputs) };
}

function sizesOf(port: unknown): string {
  const shape = isObject(port) && isObject(port.tensorShape) ? port.tensorShape : {};
  const sizes = Array.isArray(shape.dim) ? shape.dim : [];
  return sizes.map((dim) => (isObject(dim) && dim.size !== '-1' ? String(dim.size) : '?')).join(',');
}

function operatorCounts(nodes: readonly TfNode[]): string {
  const counts = new Map<string, number>();
  for (const { op } of nodes) if (op !== 'Const') counts.set(op, (counts.get(op) ?? 0) + 1);
  return [...counts].map(([op, count]) => (count === 1 ? op : `${op} (${count})`)).join(', ');
}

function wrongForm({ file }: ModelJson, found: string, reader: string): ModelError {
  return new ModelError('malformed', `is a TensorFlow.js ${found === 'weights' ? 'manifest of weights' : `${found} model`}; read it as ${reader}`, { file });
}
