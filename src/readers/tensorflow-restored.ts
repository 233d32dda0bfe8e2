/**
 * Which entry of its bundle each variable of a SavedModel is: what the graph itself would do to restore them. Names do not tell, where Keras 3
 * calls the variables of all layers `kernel` and the graph counts them.
 */
import type { TfGraph, TfNode } from '../containers/tf-graph.js';

/** An entry of the bundle, or the slice of it that a part of a partitioned variable is. */
export interface Restored {
  readonly key: string;
  /** As RestoreV2 is told it; '' for the whole. */
  readonly slice: string;
}

/** What reads an entry of a checkpoint: in the first version one, in the second a list of them. */
const RESTORES: ReadonlySet<string> = new Set(['RestoreV2', 'RestoreSlice', 'Restore']);

/** @returns entries of the bundle by the names of the nodes that hold the variables; none where the graph restores nothing */
export function restoredKeys({ nodes, functions }: TfGraph): Map<string, Restored> {
  const keys = new Map<string, Restored>();
  // TensorFlow 1 restores in the graph, TensorFlow 2 in a function that the graph calls with the variables.
  for (const [variable, key] of assignedKeys(nodes)) keys.set(variable, key);
  for (const call of nodes) {
    const called = call.attributes.get('f');
    const body = called?.kind === 'function' ? functions.get(called.value.name) : undefined;
    if (!body?.nodes.some(({ op }) => RESTORES.has(op))) continue;
    const assigned = assignedKeys(body.nodes);
    for (const [i, argument] of body.arguments.entries()) {
      const [key, variable] = [assigned.get(argument), call.inputs[i]?.node];
      if (key !== undefined && variable !== undefined) keys.set(variable, key);
    }
  }
  return keys;
}

/** What is read from the bundle and assigned: its key, by the name of the node or argument that it goes to. */
function assignedKeys(nodes: readonly TfNode[]): Map<string, Restored> {
  const byName = new Map(nodes.map((node) => [node.name, node]));
  const keys = new Map<string, Restored>();
  const texts = (name: string | undefined) => {
    const value = byName.get(name ?? '')?.attributes.get('value');
    return value?.kind === 'tensor' ? value.texts : undefined;
  };
  for (const { op, inputs } of nodes) {
    if (op !== 'AssignVariableOp' && op !== 'Assign') continue;
    let from = inputs[1];
    for (let i = 0; i < 4 && from && ['Identity', 'Cast'].includes(byName.get(from.node)?.op ?? ''); i++) from = byName.get(from.node)!.inputs[0];
    const restore = from && byName.get(from.node);
    if (!restore || !RESTORES.has(restore.op)) continue;
    const key = texts(restore.inputs[1]?.node)?.[from!.output];
    const slice = texts(restore.inputs[2]?.node)?.[from!.output] ?? '';
    if (key !== undefined && inputs[0]) keys.set(inputs[0].node, { key, slice });
  }
  return keys;
}
