/**
 * TensorFlow Lite's operators as TensorFlow's nodes: the same arithmetic with kernels laid out otherwise and activations merged in.
 *
 * Nets in integers are read as what they compute: weights as the numbers that their codes stand for, and what flows rounded to the codes
 * that it would have.
 *
 * @see https://www.tensorflow.org/lite/performance/quantization_spec and
 *   https://github.com/tensorflow/tensorflow/tree/master/tensorflow/lite/kernels
 */
import type { TfFunction, TfGraph } from '../../containers/tf-graph.js';
import type { LiteModel, LiteOperator, LiteSubgraph } from '../../containers/tflite.js';
import { isModelError, ModelError, throwAll } from '../../errors.js';
import type { TfPort } from './graph.js';
import { checkCodes } from './lite-codes.js';
import { flag, isQuantised, LiteBuilder, LiteNode, type LiteReading, type LiteShared, type LiteVariable } from './lite-node.js';
import { AT_REST, LITE_RULES } from './lite-operators.js';

export interface LiteGraph {
  readonly graph: TfGraph;
  readonly inputs: readonly TfPort[];
  readonly outputs: readonly TfPort[];
  /** Operators whose kernels are in int8 where floats flow. */
  readonly dynamic: readonly string[];
  /** Those of them that are recurrent. */
  readonly unrounded: readonly string[];
  /** Variables that a call changes for the next one. */
  readonly changed: readonly string[];
}

/**
 * @param main which of the graphs it is
 * @throws ModelError 'unsupported' listing every operator that cannot be said; where there are only such as are not known, they become nodes, which the graph lists
 */
export async function liteToTensorflow(written: LiteModel, reading: LiteReading, main = 0): Promise<LiteGraph> {
  const graphs = written.graphs.map(withoutDensify);
  const model = graphs[main]!;
  const functions = new Map<string, TfFunction>();
  const errors: ModelError[] = [];
  const asked = new Set<number>([main]);
  const open: number[] = [];
  const shared: LiteShared = {
    dynamic: [],
    unrounded: [],
    variables: await firstValues(graphs, model, reading.file),
    changed: new Set(),
    async functionOf(index) {
      if (!graphs[index] || index === main) throw new ModelError('malformed', `names graph ${index} of ${graphs.length}`, { file: reading.file });
      if (!asked.has(index)) open.push(index);
      asked.add(index);
      return `graph ${index}`;
    },
  };
  const builder = new LiteBuilder(model, reading, true);
  await translate(builder, shared, errors);
  for (let index = open.pop(); index !== undefined; index = open.pop()) {
    const graph = graphs[index]!;
    const inner = new LiteBuilder(graph, reading, false);
    await translate(inner, shared, errors);
    functions.set(`graph ${index}`, {
      name: `graph ${index}`,
      arguments: graph.inputs.map((input) => inner.name(input)),
      results: graph.outputs.map((output) => [inner.name(output), inner.port(output)] as const),
      nodes: inner.nodes,
    });
  }
  if (errors.length > 0) {
    const all = [...asked].flatMap((index) => graphs[index]!.operators);
    const unknown = new Set(all.flatMap(({ op }) => (Object.hasOwn(LITE_RULES, op) ? [] : [op])));
    for (const op of unknown) errors.push(new ModelError('unsupported', `the operator ${op} is not translated`, { file: reading.file }));
    throwAll(errors, `${reading.file}: this TensorFlow Lite model cannot be translated:`);
  }
  const signature = written.signatures.find(({ graph }) => graph === main);
  const port = (index: number, node: string, names?: ReadonlyMap<number, string>): TfPort => ({
    name: model.tensors[index]!.name,
    alias: names?.get(index),
    from: { node, output: 0 },
  });
  return {
    graph: { nodes: builder.nodes, functions, producer: 0 },
    inputs: model.inputs.map((index) => port(index, builder.placeholder(index), signature?.inputs)),
    outputs: model.outputs.map((index) => port(index, builder.port(index), signature?.outputs)),
    dynamic: shared.dynamic,
    unrounded: shared.unrounded,
    changed: [...shared.changed],
  };
}

/** What the graph that the first call runs (CALL_ONCE) puts into variables. */
async function firstValues(graphs: readonly LiteSubgraph[], { operators }: LiteSubgraph, file: string): Promise<Map<string, LiteVariable>> {
  const values = new Map<string, LiteVariable>();
  for (const { op, options } of operators) {
    if (op !== 'CALL_ONCE') continue;
    const number = await options.int(0);
    const graph = graphs[number];
    if (!graph) throw new ModelError('malformed', `CALL_ONCE names graph ${number} of ${graphs.length}`, { file });
    const handles = new Map<number, string>();
    for (const inner of graph.operators) {
      if (inner.op === 'VAR_HANDLE') handles.set(inner.outputs[0]!, await inner.options.text(1));
      const [handle, tensor] = inner.inputs;
      const name = inner.op === 'ASSIGN_VARIABLE' ? handles.get(handle!) : undefined;
      if (name !== undefined && tensor !== undefined) values.set(name, { graph, tensor });
    }
  }
  return values;
}

/** Constants that are stored sparsely are whole where they are read: what would spread them out makes nothing of its own. */
function withoutDensify(graph: LiteSubgraph): LiteSubgraph {
  const spread = new Map<number, number>();
  for (const { op, inputs, outputs } of graph.operators) {
    const [from, to] = [inputs[0] ?? -1, outputs[0] ?? -1];
    if (op === 'DENSIFY' && to >= 0 && graph.tensors[from]?.data) spread.set(to, from);
  }
  if (spread.size === 0) return graph;
  const tensors = graph.tensors.map((tensor, i) => (spread.has(i) ? { ...graph.tensors[spread.get(i)!]!, name: tensor.name } : tensor));
  return { ...graph, tensors, operators: graph.operators.filter(({ op, outputs }) => op !== 'DENSIFY' || !spread.has(outputs[0]!)) };
}

async function translate(builder: LiteBuilder, shared: LiteShared, errors: ModelError[]): Promise<void> {
  for (const operator of builder.model.operators) {
    try {
      await addOperator(builder, shared, operator);
    } catch (error) {
      if (!isModelError(error) || error.kind !== 'unsupported') throw error;
      errors.push(error.at({ file: builder.file }));
    }
  }
}

/** The nodes of one operator, and behind each of its results the rounding to the codes in which it would be. */
async function addOperator(builder: LiteBuilder, shared: LiteShared, operator: LiteOperator): Promise<void> {
  const { op, outputs } = operator;
  if (op === 'ASSIGN_VARIABLE') {
    const name = builder.handles.get(operator.inputs[0]!);
    if (name === undefined) throw new ModelError('unsupported', 'ASSIGN_VARIABLE: its variable comes from outside the graph', { file: builder.file });
    shared.changed.add(name);
  }
  if (outputs.length === 0) return;
  if (outputs.some((output) => output < 0)) throw new ModelError('malformed', `${op} makes no tensor`, { file: builder.file });
  const tensors = outputs.map((output) => builder.model.tensors[output]!);
  const results = outputs.map((output, i) => (isQuantised(tensors[i]!) ? builder.free(`${builder.name(output)}/numbers`) : builder.name(output)));
  const rule = Object.hasOwn(LITE_RULES, op) ? LITE_RULES[op] : undefined;
  if (rule) {
    const node = new LiteNode(builder, operator, results, shared);
    checkCodes(node);
    await rule(node);
    node.checkRead();
    const rest = AT_REST[op] ?? [];
    const unread = (await operator.options.unread()).filter((field) => !rest.includes(field));
    if (unread.length > 0)
      throw new ModelError('unsupported', `${op} has settings that are not known: ${unread.map((field) => `field ${field}`).join(', ')}`, {
        file: builder.file,
        layer: results[0]!,
      });
  } else {
    const inputs = operator.inputs.filter((index) => index >= 0).map((index) => builder.input(index));
    const node = builder.node(op, results[0]!, inputs);
    for (const [i, name] of results.entries())
      if (i > 0) builder.nodes.push({ name, op: 'Identity', inputs: [{ node, output: i }], control: [], attributes: new Map() });
  }
  for (const [i, tensor] of tensors.entries()) {
    if (!isQuantised(tensor)) continue;
    // Means of a window are rounded as integers are divided, away from zero.
    const settings = { ...builder.rounding(tensor), away: flag(op === 'AVERAGE_POOL_2D') };
    const name = builder.name(outputs[i]!);
    builder.node('RoundToCodes', name, [results[i]!], settings);
    // What leaves the net is in codes; what reads it in the net reads numbers.
    if (builder.isOwn && builder.model.outputs.includes(outputs[i]!)) builder.node('RoundToCodesAsCodes', builder.port(outputs[i]!), [results[i]!], settings);
  }
}
