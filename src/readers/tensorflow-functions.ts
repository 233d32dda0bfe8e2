/**
 * Functions of a SavedModel that no signature names: `tf.saved_model.save` keeps each `tf.function` of an object, and makes a signature only
 * where it is asked to, or where there is but one that says what it takes. Each becomes a graph that calls it with what it captured.
 */
import type { TfGraph, TfNode } from '../containers/tf-graph.js';
import { type CheckpointObject, type SavedObjects, type TracedFunction, VALUE_SUFFIX } from '../containers/tf-objects.js';
import type { TfPort } from '../dialects/tensorflow/graph.js';
import { ModelError } from '../errors.js';
import { Names } from '../model/names.js';

export interface CallableFunction {
  /** The attribute of the saved object that it is. */
  readonly name: string;
  /** Of how many traces it is the one for inference. */
  readonly traces: number;
  readonly inputs: readonly TfPort[];
  readonly outputs: readonly TfPort[];
  /** What calls it, to be put behind the graph's own nodes. */
  readonly nodes: readonly TfNode[];
  /** Keys of the bundle, by the nodes that hold the variables. */
  readonly variables: ReadonlyMap<string, string>;
}

/** What calls functions may have so many nodes, all together: of each what it takes and captured. */
const MAX_CALLING = 200_000;
/** How the function is called that most callers mean. */
const CALL = '__call__';

/**
 * The functions of the saved object itself, that which it is called by first.
 *
 * @param checkpoint whose values the bundle holds
 */
export function callableFunctions(saved: SavedObjects, graph: TfGraph, checkpoint: readonly CheckpointObject[], file: string): readonly CallableFunction[] {
  const root = saved.objects[0];
  if (!root) return [];
  const keys = variableKeys(saved, checkpoint);
  const taken = new Set(graph.nodes.map(({ name }) => name));
  let calling = 0;
  const names = [...root.children.keys()].sort((a, b) => Number(b === CALL) - Number(a === CALL) || (a < b ? -1 : 1));
  return names.flatMap((name): CallableFunction[] => {
    const traces = (saved.objects[root.children.get(name)!]?.traces ?? []).filter((trace) => graph.functions.has(trace));
    const traced = traces.map((trace) => [trace, saved.functions.get(trace)] as const).filter((pair): pair is [string, TracedFunction] => !!pair[1]);
    // With `training=True` one argument more is true.
    const [best] = traced.filter(([, { inputs }]) => inputs.length > 0).sort(([, a], [, b]) => a.truths - b.truths);
    if (!best) return [];
    const made = callOf(name, ...best, saved, graph, keys, taken, file);
    calling += made.nodes.length;
    if (calling > MAX_CALLING) throw new ModelError('unsafe', `its functions take and captured more than ${MAX_CALLING} values, which no model does`, { file });
    return [{ name, traces: traced.length, ...made }];
  });
}

/** The node that calls a function, and what it reads. */
function callOf(
  name: string,
  trace: string,
  { inputs, captured, outputs }: TracedFunction,
  { objects }: SavedObjects,
  { functions }: TfGraph,
  keys: ReadonlyMap<number, string>,
  taken: ReadonlySet<string>,
  file: string,
): Pick<CallableFunction, 'inputs' | 'outputs' | 'nodes' | 'variables'> {
  const { arguments: given, results } = functions.get(trace)!;
  if (given.length !== inputs.length + captured.length)
    throw new ModelError('malformed', `the function "${trace}" takes ${given.length} values, but is said to take ${inputs.length + captured.length}`, { file });
  const own = new Names();
  /** Beside the names of the graph's nodes, which are too many to be copied for each function. */
  const free = (wanted: string): string => {
    let found = own.take(wanted);
    while (taken.has(found)) found = own.take(wanted);
    return found;
  };
  const nodes: TfNode[] = [];
  const variables = new Map<string, string>();
  const add = (wanted: string, op: string, attributes: TfNode['attributes'] = new Map(), reads: TfNode['inputs'] = []): string => {
    const made = free(wanted);
    nodes.push({ name: made, op, inputs: reads, control: [], attributes });
    return made;
  };
  const ports = inputs.map((spec, i): TfPort => {
    const port = spec.name || given[i]!;
    const attributes: TfNode['attributes'] = new Map([
      ['dtype', { kind: 'type', value: spec.dtype }],
      ['shape', { kind: 'shape', value: spec.shape }],
    ]);
    return { name: port, from: { node: add(port, 'Placeholder', attributes), output: 0 } };
  });
  const rest = captured.map((number) => {
    const object = objects[number];
    if (object?.kind === 'constant') return object.node;
    const key = keys.get(number);
    if (object?.kind !== 'variable' || key === undefined)
      return add(`${name}/captured ${number}`, 'what a function captured that is no variable and no constant');
    const node = add(key.endsWith(VALUE_SUFFIX) ? key.slice(0, -VALUE_SUFFIX.length) : key, 'VarHandleOp');
    variables.set(node, key);
    return node;
  });
  const reads = [...ports.map(({ from }) => from), ...rest.map((node) => ({ node, output: 0 }))];
  const call = add(name, 'StatefulPartitionedCall', new Map([['f', { kind: 'function', value: { name: trace } }]]), reads);
  const called = outputs?.length === results.length ? outputs : results.map((_, i) => `output_${i}`);
  return { inputs: ports, outputs: called.map((output, i) => ({ name: output, from: { node: call, output: i } })), nodes, variables };
}

/** Keys of variables in the bundle, by the numbers of the objects: both graphs are gone through along the same attributes. */
function variableKeys({ objects }: SavedObjects, checkpoint: readonly CheckpointObject[]): Map<number, string> {
  const keys = new Map<number, string>();
  const seen = new Set<number>([0]);
  const open: [object: number, stored: number][] = checkpoint.length > 0 ? [[0, 0]] : [];
  for (let pair = open.pop(); pair; pair = open.pop()) {
    const [object, stored] = [objects[pair[0]], checkpoint[pair[1]]];
    const [value] = stored?.values ?? [];
    if (object?.kind === 'variable' && value) keys.set(pair[0], value.key);
    for (const [name, child] of object?.children ?? []) {
      const there = stored?.children.get(name);
      if (there === undefined || seen.has(child)) continue;
      seen.add(child);
      open.push([child, there]);
    }
  }
  return keys;
}
