/**
 * Which entry of its bundle each variable of a SavedModel is: what the graph itself would do to restore them. Names do not tell, where Keras 3
 * calls the variables of all layers `kernel` and the graph counts them.
 */
import type { TfGraph, TfNode } from '../containers/tf-graph.js';

/** @returns keys of the bundle by the names of the nodes that hold the variables; none where the graph restores nothing */
export function restoredKeys({ nodes, functions }: TfGraph): Map<string, string> {
  const keys = new Map<string, string>();
  // TensorFlow 1 restores in the graph, TensorFlow 2 in a function that the graph calls with the variables.
  for (const [variable, key] of assignedKeys(nodes)) keys.set(variable, key);
  for (const call of nodes) {
    const called = call.attributes.get('f');
    const body = called?.kind === 'function' ? functions.get(called.value.name) : undefined;
    if (!body?.nodes.some(({ op }) => op === 'RestoreV2')) continue;
    const assigned = assignedKeys(body.nodes);
    for (const [i, argument] of body.arguments.entries()) {
      const [key, variable] = [assigned.get(argument), call.inputs[i]?.node];
      if (key !== undefined && variable !== undefined) keys.set(variable, key);
    }
  }
  return keys;
}

/** What is read from the bundle and assigned: its key, by the name of the node or argument that it goes to. */
function assignedKeys(nodes: readonly TfNode[]): Map<string, string> {
  const byName = new Map(nodes.map((node) => [node.name, node]));
  const keys = new Map<string, string>();
  for (const { op, inputs } of nodes) {
    if (op !== 'AssignVariableOp' && op !== 'Assign') continue;
    let from = inputs[1];
    for (let i = 0; i < 4 && from && ['Identity', 'Cast'].includes(byName.get(from.node)?.op ?? ''); i++) from = byName.get(from.node)!.inputs[0];
    const restore = from && byName.get(from.node);
    if (restore?.op !== 'RestoreV2') continue;
    const names = byName.get(restore.inputs[1]?.node ?? '')?.attributes.get('value');
    const key = names?.kind === 'tensor' ? names.texts?.[from!.output] : undefined;
    if (key !== undefined && inputs[0]) keys.set(inputs[0].node, key);
  }
  return keys;
}
