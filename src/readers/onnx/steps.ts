/** How many steps loops take that are kept as they came, as far as the file says it: a few hundred bytes may say a loop of a million steps within another. */
import { isGraph, isTensor, type ReadGraph, type ReadNode } from '../../containers/onnx.js';
import type { Dim } from '../../model/layer-map.js';
import { withKnown } from '../../model/numbers.js';
import type { Tensor } from '../../model/tensor.js';
import { isOnnxDomain } from './scope.js';

/** The number that a name stands for; undefined where it is worked out. */
export type NumberOf = (name: string) => Promise<number | undefined>;

export interface Work {
  /** Of its loops, those of loops within them for each of their own; 0 where nothing is repeated. */
  readonly steps: number;
  /** What it comes to, step by step. */
  readonly nodes: number;
}

/** Exporters of PyTorch's `while` give the largest int64 for a limit: the condition alone ends such a loop. */
const NO_LIMIT = 2 ** 62;

/**
 * @param stored gives what is known of a value in the graph that the node stands in
 * @param shapes of what the node reads
 */
export function workOf(read: ReadNode, stored: NumberOf, shapes: readonly (readonly Dim[] | null | undefined)[]): Promise<Work> {
  return workWithin(read, stored, scannedBy(read, shapes));
}

/** The steps of a Scan, where the sequence that it goes through is of a known length. */
function scannedBy({ op, attributes }: ReadNode, shapes: readonly (readonly Dim[] | null | undefined)[]): number | undefined {
  if (op !== 'Scan') return undefined;
  const [count, axes] = [attributes.get('num_scan_inputs'), attributes.get('scan_input_axes')];
  const size = shapes[shapes.length - Number(count ?? 0)]?.at(Array.isArray(axes) ? Number(axes[0] ?? 0) : 0);
  return typeof size === 'number' ? size : undefined;
}

async function workWithin({ op, domain, inputs, attributes }: ReadNode, stored: NumberOf, scanned?: number): Promise<Work> {
  const inside: Work[] = [];
  for (const value of attributes.values()) if (isGraph(value)) inside.push(await workIn(value, stored));
  // One branch of several is taken.
  const [steps, nodes] = [Math.max(0, ...inside.map((work) => work.steps)), Math.max(0, ...inside.map((work) => work.nodes))];
  if (!isOnnxDomain(domain) || (op !== 'Loop' && op !== 'Scan')) return { steps, nodes: 1 + nodes };
  // A limit that is left out is none.
  const limit = op === 'Scan' ? scanned : inputs[0] ? await stored(inputs[0]) : NO_LIMIT;
  const body = attributes.get('body');
  const isOpen = limit === undefined || (limit >= NO_LIMIT && !(isGraph(body) && (await keepsOn(body))));
  const own = isOpen ? 1 : Math.max(0, limit);
  return { steps: own * Math.max(1, steps), nodes: 1 + own * nodes };
}

/** Whether nothing in a loop's body ends it: the condition is handed on as it came, or is always true. */
async function keepsOn({ nodes, initializers, inputs, outputs }: ReadGraph): Promise<boolean> {
  const makers = new Map(nodes.map((node) => [node.outputs[0], node]));
  let name = outputs[0]?.name ?? '';
  // A name that is handed on in a circle is made by as many nodes as there are at most.
  for (let passed = 0; passed <= nodes.length; passed++) {
    if (name === inputs[1]?.name) return true;
    const maker = makers.get(name);
    const value = initializers.get(name) ?? maker?.attributes.get('value');
    if (value && typeof value === 'object' && 'dtype' in value && isTensor(value)) return (await withKnown(value)).known?.[0] === 1;
    if (maker?.op !== 'Identity') return false;
    name = maker.inputs[0] ?? '';
  }
  return false;
}

/** Of a graph in a node, run once. */
export async function workIn({ nodes, initializers }: ReadGraph, outer: NumberOf): Promise<Work> {
  const constants = new Map<string, Tensor>(initializers);
  const made = new Set<string>();
  for (const { op, outputs, attributes } of nodes) {
    const value = attributes.get('value');
    if (op === 'Constant' && isTensor(value)) constants.set(outputs[0] ?? '', value);
    else for (const name of outputs) made.add(name);
  }
  const stored: NumberOf = async (name) => {
    const constant = constants.get(name);
    if (constant) return (await withKnown(constant)).known?.[0];
    return made.has(name) ? undefined : outer(name);
  };
  let work: Work = { steps: 0, nodes: 0 };
  for (const node of nodes) {
    const each = await workWithin(node, stored);
    work = { steps: work.steps + each.steps, nodes: work.nodes + each.nodes };
  }
  return work;
}
