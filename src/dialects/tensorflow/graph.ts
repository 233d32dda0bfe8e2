/**
 * Translates a TensorFlow graph into a layer map, exactly as it is: channels-last operators stand between Transposes, which a transform
 * sinks afterwards. Only what its outputs need is looked at.
 *
 * @see https://www.tensorflow.org/api_docs/python/tf/raw_ops for what each node means
 */
import type { TfGraph, TfInput, TfNode, TfShape } from '../../containers/tf-graph.js';
import { isModelError, ModelError, throwAll } from '../../errors.js';
import { GraphBuilder, type Value } from '../../model/builder.js';
import type { Dim, LayerMap, Notice, Port } from '../../model/layer-map.js';
import { withKnown } from '../../model/numbers.js';
import type { Tensor } from '../../model/tensor.js';
import { mergeBias } from '../../transforms/merge-bias.js';
import { sinkTransposes } from '../../transforms/sink-transposes.js';
import { arrangement } from './arrangement.js';
import { elements } from './elements.js';
import { indexing } from './indexing.js';
import { liteRules } from './lite-rules.js';
import { isDType, TfOperation } from './node.js';
import { pictures } from './pictures.js';
import { quantised } from './quantised.js';
import type { TfRule } from './rule.js';
import { windows } from './windows.js';

export interface TfPort {
  /** As the signature calls it. */
  readonly name: string;
  /** 'node' or 'node:1'. */
  readonly from: TfInput;
}

export interface TfModel {
  readonly graph: TfGraph;
  /** Null where there is no signature: placeholders are the inputs, and what nothing reads the outputs. */
  readonly inputs: readonly TfPort[] | null;
  readonly outputs: readonly TfPort[] | null;
  /** The value of a constant or a variable that is stored beside the graph; by the node's name, or a variable's shared one. */
  weight(name: string): Tensor | undefined;
  readonly file: string;
  readonly format: string;
  readonly producer: string | null;
  /** Sizes of the first input, where the file does not say. */
  readonly inputShape?: readonly Dim[];
  /** What reading the file had to assume. */
  readonly warnings?: readonly Notice[];
}

export const TENSORFLOW_RULES: Readonly<Record<string, TfRule>> = {
  ...windows,
  ...elements,
  ...arrangement,
  ...indexing,
  ...pictures,
  ...quantised,
  ...liteRules,
};

/** Functions within functions; each call is put in its place, so that a small file could ask for much. */
const MAX_CALLS = 10_000;
const MAX_NODES = 200_000;
const MAX_DEPTH = 64;

const CALLS: ReadonlySet<string> = new Set(['PartitionedCall', 'StatefulPartitionedCall']);
const CONDITIONS: ReadonlySet<string> = new Set(['If', 'StatelessIf']);
const VARIABLES: ReadonlySet<string> = new Set(['VarHandleOp', 'VariableV2', 'Variable']);
/** Nodes that check or count and make nothing. */
const SILENT: ReadonlySet<string> = new Set(['NoOp', 'Assert', 'Print', 'PrintV2']);

/** What a Switch gives on the side that is not taken. */
const DEAD = Symbol('not taken');
type Made = Value | typeof DEAD;

/** @throws ModelError 'unsupported' listing every node that cannot be said, 'malformed' where the graph contradicts itself */
export async function buildTensorflowMap(model: TfModel): Promise<LayerMap> {
  const translation = new Translation(model);
  const { inputs, outputs, layers } = await translation.run();
  const map: LayerMap = {
    name: '',
    format: model.format,
    producer: model.producer,
    architecture: null,
    inputs,
    outputs,
    layers,
    warnings: model.warnings ?? [],
  };
  return mergeBias(sinkTransposes(map)).map;
}

/** A graph or the body of a function, with what its nodes made so far. */
interface Scope {
  readonly nodes: ReadonlyMap<string, TfNode>;
  readonly made: Map<string, readonly Made[]>;
  /** Arguments of a function, by name. */
  readonly given: ReadonlyMap<string, Made>;
  readonly prefix: string;
  readonly depth: number;
}

class Translation {
  readonly #build: GraphBuilder;
  readonly #inputs = new Map<string, { port: Port; value: Value }>();
  readonly #errors: ModelError[] = [];
  #calls = 0;
  #nodes = 0;

  constructor(readonly model: TfModel) {
    this.#build = new GraphBuilder({ file: model.file });
  }

  async run(): Promise<Pick<LayerMap, 'inputs' | 'outputs' | 'layers'>> {
    const { graph, file } = this.model;
    const scope: Scope = { nodes: byName(graph.nodes, file), made: new Map(), given: new Map(), prefix: '', depth: 0 };
    const wanted = this.model.outputs ?? unreadNodes(graph.nodes);
    if (wanted.length === 0) throw new ModelError('malformed', 'the graph has no outputs', { file });
    const inputs = this.model.inputs ?? graph.nodes.filter(({ op }) => op === 'Placeholder').map(({ name }) => ({ name, from: { node: name, output: 0 } }));
    this.#build.reserve(graph.nodes.map(({ name }) => name));
    for (const [i, { name, from }] of inputs.entries()) this.#input(scope, name, from, i === 0 ? this.model.inputShape : undefined);
    await this.#need(
      scope,
      wanted.map(({ from }) => from.node),
    );
    if (this.#errors.length > 0) throwAll(this.#errors, `${file}: this TensorFlow graph cannot be translated:`);
    const outputs = wanted.map(({ name, from }) => ({ name, value: this.#value(scope, from) }));
    const dead = outputs.find(({ value }) => value === DEAD);
    if (dead) throw new ModelError('malformed', `the output "${dead.name}" is on a branch that is not taken`, { file });
    const values = outputs.map(({ value }) => value as Value);
    const layers = this.#build.finish(values);
    const ports = outputs.map(({ name }, i): Port => {
      const { dtype, shape } = values[i]!;
      return { name, value: this.#build.flowing(values[i]!), dtype: dtype ?? 'float32', valueDType: dtype ?? 'float32', shape: shape ?? [], layout: 'other' };
    });
    return { inputs: [...this.#inputs.values()].map(({ port }) => port), outputs: ports, layers };
  }

  #input(scope: Scope, name: string, from: TfInput, wanted: readonly Dim[] | undefined): void {
    const node = scope.nodes.get(from.node);
    if (!node) throw new ModelError('malformed', `the input "${name}" is said to be "${from.node}", but there is no such node`, { file: this.model.file });
    const dtype = attributeType(node);
    const shape = wanted ?? sizesOf(shapeOf(node), name);
    if (!isDType(dtype)) throw new ModelError('unsupported', `the input "${name}" takes ${dtype}`, { file: this.model.file });
    if (!shape)
      throw new ModelError('unsupported', `the graph does not say the shape of the input "${name}"; give it with --input-shape`, { file: this.model.file });
    const value = this.#build.input(node.name, dtype, shape);
    const port: Port = { name, value: value.name, dtype, valueDType: dtype, shape: value.shape!, layout: 'other' };
    this.#inputs.set(node.name, { port, value });
    scope.made.set(node.name, [value]);
  }

  /** Makes all that some nodes need, inputs first; without recursion, for graphs are deep. */
  async #need(scope: Scope, wanted: readonly string[]): Promise<void> {
    const open = [...wanted].reverse();
    const waiting = new Set<string>();
    while (open.length > 0) {
      const name = open.at(-1)!;
      if (scope.made.has(name) || scope.given.has(name)) {
        open.pop();
        continue;
      }
      const node = scope.nodes.get(name);
      if (!node) throw new ModelError('malformed', `"${name}" is read, but there is no such node`, { file: this.model.file });
      const missing = node.inputs.filter((input) => !scope.made.has(input.node) && !scope.given.has(input.node));
      if (missing.length === 0) {
        open.pop();
        waiting.delete(name);
        scope.made.set(name, await this.#node(scope, node));
        if (++this.#nodes > MAX_NODES) throw new ModelError('unsafe', `more than ${MAX_NODES} nodes`, { file: this.model.file });
        continue;
      }
      if (waiting.has(name)) {
        throw new ModelError('unsupported', 'the graph has a loop (tf.while_loop), which is not translated', { file: this.model.file, layer: name });
      }
      waiting.add(name);
      for (const input of missing.toReversed()) open.push(input.node);
    }
  }

  #value(scope: Scope, { node, output }: TfInput): Made {
    const given = scope.given.get(node);
    if (given !== undefined) return given;
    const made = scope.made.get(node)?.[output];
    if (made === undefined) throw new ModelError('malformed', `reads output ${output} of "${node}", which it has not`, { file: this.model.file });
    return made;
  }

  async #node(scope: Scope, node: TfNode): Promise<readonly Made[]> {
    try {
      return await this.#translated(scope, node);
    } catch (error) {
      if (!isModelError(error) || error.kind === 'unsafe') throw error;
      this.#errors.push(error.at({ file: this.model.file, layer: scope.prefix + node.name }));
      // Goes on as if the node were there, so that the next obstacles are found too.
      return Array.from({ length: 16 }, (): Value => ({ name: node.name, dtype: null, shape: null }));
    }
  }

  async #translated(scope: Scope, node: TfNode): Promise<readonly Made[]> {
    const inputs = node.inputs.map((input) => this.#value(scope, input));
    if (node.op === 'Merge') {
      const alive = inputs.filter((input) => input !== DEAD);
      if (alive.length !== 1) throw new ModelError('unsupported', 'Merge: which branch is taken is known only when the model runs');
      return [alive[0]!, this.#build.numbers('int32', inputs.indexOf(alive[0]!))];
    }
    if (inputs.includes(DEAD)) return new Array<Made>(16).fill(DEAD);
    const values = inputs as readonly Value[];
    // Behind an obstacle nothing can be said, and nothing more needs to be.
    if (values.some(({ dtype, shape }) => dtype === null && shape === null))
      return Array.from({ length: 16 }, () => values.find(({ dtype }) => dtype === null)!);
    if (node.op === 'Const') return [await this.#constant(scope, node)];
    if (VARIABLES.has(node.op)) return [await this.#variable(scope, node)];
    if (node.op === 'Switch') return this.#switch(values);
    if (CALLS.has(node.op)) return this.#call(scope, node, functionOf(node, 'f'), values);
    if (CONDITIONS.has(node.op)) {
      const taken = known(values[0]!);
      if (taken === null) throw new ModelError('unsupported', `${node.op}: which branch is taken is known only when the model runs`);
      return this.#call(scope, node, functionOf(node, taken ? 'then_branch' : 'else_branch'), values.slice(1));
    }
    if (node.op === 'IdentityN') return values;
    if (node.op === 'Placeholder') throw new ModelError('unsupported', 'it is fed from outside, but is no input of the signature');
    const rule = Object.hasOwn(TENSORFLOW_RULES, node.op) ? TENSORFLOW_RULES[node.op] : undefined;
    if (!rule) throw new ModelError('unsupported', `the operator ${node.op} is not translated`);
    const named = scope.prefix === '' ? node : { ...node, name: scope.prefix + node.name };
    const operation = new TfOperation(named, values, this.#build, this.model.format === 'tfjs-graph' ? 'tfjs' : 'tensorflow');
    const made = rule(operation);
    const unread = operation.unread();
    if (unread.length > 0) throw operation.decline(`it has settings that are not known: ${unread.join(', ')}`);
    return Array.isArray(made) ? (made as readonly Value[]) : [made as Value];
  }

  async #constant(scope: Scope, node: TfNode): Promise<Value> {
    const value = node.attributes.get('value');
    const stored = (scope.depth === 0 ? this.model.weight(node.name) : undefined) ?? (value?.kind === 'tensor' ? value.value : undefined);
    if (!stored) throw new ModelError('unsupported', `Const: it holds no numbers${attributeType(node) === 'string' ? ', but text' : ''}`);
    return this.#build.constant(await withKnown({ ...stored, name: scope.prefix + node.name }));
  }

  async #variable(scope: Scope, node: TfNode): Promise<Value> {
    const shared = node.attributes.get('shared_name');
    const name = shared?.kind === 'string' && shared.value !== '' ? shared.value : node.name;
    const stored = this.model.weight(name) ?? this.model.weight(node.name);
    if (!stored)
      throw new ModelError(
        'unsupported',
        `${node.op}: the variable "${name}" has no value in the file; freeze the graph, or give the folder of its SavedModel`,
      );
    return this.#build.constant(await withKnown({ ...stored, name: scope.prefix + node.name }));
  }

  /** Gives its data on the side that is taken, which must be known. */
  #switch([data, predicate]: readonly Value[]): readonly Made[] {
    const taken = known(predicate!);
    if (taken === null) throw new ModelError('unsupported', 'Switch: which branch is taken is known only when the model runs');
    return taken ? [DEAD, data!] : [data!, DEAD];
  }

  async #call(scope: Scope, node: TfNode, name: string, values: readonly Value[]): Promise<readonly Made[]> {
    const called = this.model.graph.functions.get(name);
    if (!called) throw new ModelError('malformed', `${node.op}: there is no function "${name}"`);
    if (scope.depth >= MAX_DEPTH || ++this.#calls > MAX_CALLS)
      throw new ModelError('unsafe', `functions call functions more than ${MAX_DEPTH} deep or ${MAX_CALLS} times`, { file: this.model.file });
    const given = new Map<string, Made>(called.arguments.map((argument, i) => [argument, values[i]!]));
    const inner: Scope = {
      nodes: byName(called.nodes, this.model.file),
      made: new Map(),
      given,
      prefix: `${scope.prefix}${node.name}/`,
      depth: scope.depth + 1,
    };
    const results = called.results.map(([, from]) => resultInput(from));
    await this.#need(
      inner,
      results.map((result) => result.node),
    );
    return results.map((result) => this.#value(inner, result));
  }
}

/** 'node:output_name:0', 'node:0' or an argument's name. Nodes whose first output is another than the named one are few, and have one. */
function resultInput(from: string): TfInput {
  const parts = from.split(':');
  return { node: parts[0]!, output: parts.length > 1 ? Number(parts.at(-1)) || 0 : 0 };
}

function functionOf(node: TfNode, attribute: string): string {
  const called = node.attributes.get(attribute);
  if (called?.kind !== 'function') throw new ModelError('malformed', `${node.op} does not say which function it calls (${attribute})`);
  return called.value.name;
}

function byName(nodes: readonly TfNode[], file: string): Map<string, TfNode> {
  const map = new Map(nodes.map((node) => [node.name, node]));
  if (map.size !== nodes.length) {
    const twice = nodes.find((node) => map.get(node.name) !== node)!;
    throw new ModelError('malformed', `two nodes are named "${twice.name}"`, { file, layer: twice.name });
  }
  return map;
}

function unreadNodes(nodes: readonly TfNode[]): TfPort[] {
  const read = new Set(nodes.flatMap(({ inputs, control }) => [...inputs.map(({ node }) => node), ...control]));
  const ends = nodes.filter(({ name, op, inputs }) => !read.has(name) && !SILENT.has(op) && op !== 'Const' && op !== 'Placeholder' && inputs.length > 0);
  return ends.map(({ name }) => ({ name, from: { node: name, output: 0 } }));
}

function attributeType({ attributes }: TfNode): string {
  const dtype = attributes.get('dtype') ?? attributes.get('T');
  return dtype?.kind === 'type' ? dtype.value : 'float32';
}

function shapeOf({ attributes }: TfNode): TfShape {
  const shape = attributes.get('shape');
  if (shape?.kind === 'shape' && shape.value) return shape.value;
  const said = attributes.get('_output_shapes');
  const [first] = said?.kind === 'list' ? said.value : [];
  return first?.kind === 'shape' ? first.value : null;
}

/** The first axis is the batch, which inputs have in common. */
function sizesOf(shape: TfShape, name: string): readonly Dim[] | null {
  return shape?.map((size, axis) => (size >= 0 ? size : axis === 0 ? 'batch' : `${name}.${axis}`)) ?? null;
}

function known({ elements }: Value): boolean | null {
  const [taken] = elements ?? [];
  return typeof taken === 'number' ? taken !== 0 : null;
}
