/** The order in which nodes run: what a node reads, the graphs inside of it included, is made before it. */
import { isGraph, type ReadGraph, type ReadNode } from '../../containers/onnx.js';
import { isOnnxDomain } from './scope.js';

/**
 * The nodes as they stand where each reads only what is there, else moved back behind what they read, as ONNX Runtime does.
 * What nothing makes is left to whoever reads it; nodes that read each other in a circle stand last, as they came.
 */
export function inRunningOrder(nodes: readonly ReadNode[], isThere: (name: string) => boolean): readonly ReadNode[] {
  const makers = new Map(nodes.flatMap((node) => node.outputs.map((name) => [name, node] as const)));
  const made = new Set<string>();
  const missing = (node: ReadNode) => [...namesRead(node)].filter((name) => makers.has(name) && !made.has(name) && !isThere(name));
  const ordered: ReadNode[] = [];
  const waiting = new Map<string, ReadNode[]>();
  const left = new Map<ReadNode, number>();
  const run = (first: ReadNode) => {
    const ready = [first];
    for (let node = ready.pop(); node; node = ready.pop()) {
      ordered.push(node);
      for (const name of node.outputs) {
        made.add(name);
        for (const reader of waiting.get(name) ?? []) {
          left.set(reader, left.get(reader)! - 1);
          if (left.get(reader) === 0) ready.push(reader);
        }
        waiting.delete(name);
      }
    }
  };
  for (const node of nodes) {
    const names = missing(node);
    left.set(node, names.length);
    for (const name of names) {
      const others = waiting.get(name);
      if (others) others.push(node);
      else waiting.set(name, [node]);
    }
    if (names.length === 0) run(node);
  }
  return [...ordered, ...nodes.filter((node) => left.get(node)! > 0)];
}

function namesRead({ inputs, attributes }: ReadNode): Set<string> {
  return new Set([...inputs.filter((name) => name !== ''), ...[...attributes.values()].flatMap((value) => (isGraph(value) ? [...freeNames(value)] : []))]);
}

/** The names that a graph reads and does not make. */
export function freeNames({ nodes, initializers, inputs, outputs }: ReadGraph): Set<string> {
  const made = new Set([...initializers.keys(), ...inputs.map(({ name }) => name), ...nodes.flatMap((node) => node.outputs)]);
  const read = [...nodes.flatMap((node) => [...namesRead(node)]), ...outputs.map(({ name }) => name)];
  return new Set(read.filter((name) => name !== '' && !made.has(name)));
}

/** Names of ONNX's operators that a node is and its graphs hold. */
export function operatorsIn({ domain, op, attributes }: ReadNode): Set<string> {
  const inside = [...attributes.values()].flatMap((value) => (isGraph(value) ? value.nodes.flatMap((node) => [...operatorsIn(node)]) : []));
  return new Set([...(isOnnxDomain(domain) ? [op] : []), ...inside]);
}
