/** Written TensorFlow.js graph models: weights are the constants that the nodes of a layer read. */
import type { FileSet } from '../../bytes/file-set.js';
import type { TfNode } from '../../containers/tf-graph.js';
import { ModelError } from '../../errors.js';
import type { Layer } from '../../model/layer-map.js';
import { namesRead, readGraph } from '../../readers/tfjs/model.js';
import { isObject, type ModelJson, readModelJson } from '../../readers/tfjs/model-json.js';
import { readManifest } from '../../readers/tfjs/weights.js';
import { readNotes } from './tfjs-notes.js';
import { type FoundWeight, notedModel } from './tfjs-orient.js';
import type { WrittenModel } from './written.js';

/** Which input of which operator holds a role's weight. */
const PLACES: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  kernel: { Conv2D: 1, Conv3D: 1, DepthwiseConv2dNative: 1, Conv2DBackpropInput: 1, ReverseV2: 0, MatMul: 1, BatchMatMulV2: 1 },
  bias: { BiasAdd: 1, FusedBatchNormV3: 2, AddV2: 1 },
  scale: { FusedBatchNormV3: 1, Mul: 1 },
  mean: { FusedBatchNormV3: 3 },
  variance: { FusedBatchNormV3: 4 },
  table: { GatherV2: 0 },
  slope: { Prelu: 1, Mul: 1 },
  operand: { AddV2: 1, Sub: 1, Mul: 1, RealDiv: 1, Pow: 1 },
};

export async function openWrittenTfjsGraph(files: FileSet, layers: readonly Layer[]): Promise<WrittenModel> {
  const json = await readModelJson(files);
  if (json.kind !== 'graph') throw new ModelError('malformed', 'is no TensorFlow.js graph model', { file: json.file });
  const { weights } = await readManifest(files, json);
  const notes = readNotes(json);
  const { nodes } = readGraph(json);
  const constants = new Map(weights.map((weight) => [weight.stored.name, weight]));
  const owners = notes.owners(layers);
  const used = reachable(nodes, outputsOf(json));
  const find = (layer: Layer, role: string): FoundWeight[] => {
    const { node } = notes.layer(layer.name);
    const places = PLACES[role] ?? {};
    // A constant whose elements became settings of what reads it is there all the same.
    const own = role === 'value' ? constants.get(node) : undefined;
    if (own) return [{ weight: own, depthwise: false }];
    return nodes.flatMap((candidate): FoundWeight[] => {
      const place = Object.hasOwn(places, candidate.op) ? places[candidate.op]! : null;
      if (place === null || !belongs(candidate, [node, layer.name], owners) || !used.has(candidate.name)) return [];
      const weight = constants.get(candidate.inputs[place]?.node ?? '');
      return weight ? [{ weight, depthwise: candidate.op === 'DepthwiseConv2dNative' }] : [];
    });
  };
  return notedModel('tfjs-graph', notes, find);
}

/** Nodes that the signature shows; undefined where there is no signature. */
function outputsOf({ top }: ModelJson): string[] | undefined {
  const outputs = isObject(top.signature) ? top.signature.outputs : undefined;
  if (!isObject(outputs)) return undefined;
  return Object.values(outputs).flatMap((port) => (isObject(port) && typeof port.name === 'string' ? [port.name.replace(/:\d+$/, '')] : []));
}

/** Names of the nodes that an output depends on; what nothing reads may hold anything. */
function reachable(nodes: readonly TfNode[], outputs?: readonly string[]): ReadonlySet<string> {
  const byName = new Map(nodes.map((node) => [node.name, node]));
  const read = new Set(nodes.flatMap(namesRead));
  const used = new Set<string>();
  const open = [...(outputs ?? nodes.map(({ name }) => name).filter((name) => !read.has(name)))];
  while (open.length > 0) {
    const name = open.pop()!;
    if (used.has(name)) continue;
    used.add(name);
    const node = byName.get(name);
    if (node) for (const read of namesRead(node)) open.push(read);
  }
  return used;
}

/**
 * What a layer needs besides its last node is named after it and its operator: 'conv/Conv2D', 'conv/Conv2D_1'. A step of several may have such
 * a name too ('gelu/Mul_2'), and is a layer of its own. Where the layer's own name is taken by such a part of another ('gru/MatMul' of 'gru'), its
 * last node has another name, and the rest is named after the layer all the same.
 */
function belongs({ name, op }: TfNode, [node, layer]: readonly [node: string, layer: string], owners: ReadonlySet<string>): boolean {
  if (name === node) return true;
  const owner = [node, ...(owners.has(layer) ? [] : [layer])].find((each) => name.startsWith(`${each}/`));
  if (owner === undefined || owners.has(name)) return false;
  const suffix = name.slice(owner.length + 1);
  return suffix === op || (suffix.startsWith(`${op}_`) && /^\d+$/.test(suffix.slice(op.length + 1)));
}
