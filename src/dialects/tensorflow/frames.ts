/**
 * Loops of TensorFlow 1, which are frames within a graph: values come in by Enter, a Merge takes what came in or what the last step made
 * (NextIteration), LoopCond says whether there is another step, a Switch gives its value to the step or to Exit.
 *
 * @see https://www.tensorflow.org/api_docs/python/tf/raw_ops/Enter
 */
import type { TfNode } from '../../containers/tf-graph.js';
import { ModelError } from '../../errors.js';

export interface LoopVariable {
  readonly merge: TfNode;
  /** What its first value is. */
  readonly enter: string;
  /** The NextIteration that makes the next one. */
  readonly next: TfNode;
}

export interface Loop {
  /** All nodes by which values come in. */
  readonly enters: readonly string[];
  readonly variables: readonly LoopVariable[];
  readonly condition: TfNode;
  /** The variable whose last value an Exit gives, by the Exit's name. */
  readonly exits: ReadonlyMap<string, LoopVariable>;
}

type Nodes = ReadonlyMap<string, TfNode>;

/** The loop that an Exit leaves, with what is needed for it alone. @throws ModelError 'unsupported' where it is wired as no TensorFlow wires it */
export function loopOf(nodes: Nodes, exit: TfNode): Loop {
  const switched = nodeAt(nodes, exit, 0);
  if (switched.op !== 'Switch') throw odd(exit, `it leaves ${switched.op}`);
  const condition = nodeAt(nodes, switched, 1);
  if (condition.op !== 'LoopCond') throw odd(exit, `it depends on ${condition.op}`);
  const frame = frameOf(variableOf(nodes, nodeAt(nodes, switched, 0)).enter, nodes);
  const enters = [...nodes.values()].filter(({ op, name }) => op === 'Enter' && frameOf(name, nodes) === frame).map(({ name }) => name);
  const variables = new Map<string, LoopVariable>();
  const entered = new Set(enters);
  const seen = new Set<string>();
  const open = [switched.name];
  while (open.length > 0) {
    const name = open.pop()!;
    if (seen.has(name) || entered.has(name)) continue;
    seen.add(name);
    const node = nodes.get(name);
    if (!node) continue;
    if (node.op === 'Merge' && node.inputs.some((input) => entered.has(input.node))) {
      const variable = variableOf(nodes, node);
      variables.set(name, variable);
      open.push(variable.next.name);
    } else for (const input of node.inputs) open.push(input.node);
  }
  const exits = new Map<string, LoopVariable>();
  for (const { name, op, inputs } of nodes.values()) {
    const from = op === 'Exit' ? nodes.get(inputs[0]?.node ?? '') : undefined;
    const variable = from?.op === 'Switch' ? variables.get(from.inputs[0]?.node ?? '') : undefined;
    if (variable) exits.set(name, variable);
  }
  return { enters, variables: [...variables.values()], condition, exits };
}

function variableOf(nodes: Nodes, merge: TfNode): LoopVariable {
  const parts = merge.inputs.map(({ node }) => nodes.get(node));
  const enter = parts.find((node) => node?.op === 'Enter');
  const next = parts.find((node) => node?.op === 'NextIteration');
  if (merge.op !== 'Merge' || !enter || !next) throw odd(merge, `it joins ${parts.map((node) => node?.op ?? 'nothing').join(' and ')}`);
  return { merge, enter: enter.name, next };
}

function frameOf(name: string, nodes: Nodes): string {
  const frame = nodes.get(name)?.attributes.get('frame_name');
  return frame?.kind === 'string' ? frame.value : '';
}

function nodeAt(nodes: Nodes, { name, op, inputs }: TfNode, index: number): TfNode {
  const node = nodes.get(inputs[index]?.node ?? '');
  if (!node) throw new ModelError('malformed', `${op} reads no node`, { layer: name });
  return node;
}

function odd({ op }: TfNode, what: string): ModelError {
  return new ModelError('unsupported', `${op}: a loop that is wired otherwise than tf.while_loop wires it: ${what}`);
}
