/**
 * Translates a TensorFlow graph into a layer map, exactly as it is: channels-last operators stand between Transposes, which a transform
 * sinks afterwards. Only what its outputs need is looked at.
 *
 * @see https://www.tensorflow.org/api_docs/python/tf/raw_ops for what each node means
 */
import { parseInput, type TfGraph, type TfInput, type TfNode, type TfShape } from '../../containers/tf-graph.js';
import { isModelError, ModelError, throwAll } from '../../errors.js';
import { GraphBuilder, type Value } from '../../model/builder.js';
import type { Dim, LayerMap, Notice, Port } from '../../model/layer-map.js';
import { withKnown } from '../../model/numbers.js';
import type { Tensor } from '../../model/tensor.js';
import { mergeBias } from '../../transforms/merge-bias.js';
import { sinkTransposes } from '../../transforms/sink-transposes.js';
import { withoutUnread } from '../../transforms/wiring.js';
import { IN_FALLING_ORDER } from '../../words.js';
import { oneTable } from '../one-table.js';
import { arrangement } from './arrangement.js';
import { bins } from './bins.js';
import { colours } from './colours.js';
import { Complex, checkReal, complexOf } from './complex.js';
import { dilatedAt, dilatedNode } from './dilated.js';
import { elements } from './elements.js';
import { type Loop, loopOf } from './frames.js';
import { indexing } from './indexing.js';
import { LIST_RULES, TensorList } from './lists.js';
import { liteRules } from './lite-rules.js';
import { merged } from './merged.js';
import { morphology } from './morphology.js';
import { isDType, TfOperation } from './node.js';
import { pictures } from './pictures.js';
import { quantised } from './quantised.js';
import type { TfRule } from './rule.js';
import { SEGMENTS } from './segments.js';
import { windows } from './windows.js';

export interface TfPort {
  /** As the signature calls it. */
  readonly name: string;
  /** As it is called beside that. */
  readonly alias?: string | undefined;
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
  /** The value of a variable by the name of the node that holds it, where the file says it so. */
  variable?(node: string): Tensor | undefined;
  readonly file: string;
  readonly format: string;
  readonly producer: string | null;
  /** Sizes of the first input, where the file does not say. */
  readonly inputShape?: readonly Dim[];
  /** Sizes of what was recorded for it, for those that the file leaves free. */
  readonly recordedShape?: readonly Dim[];
  /** Nodes in which the caller will end the net, where there is no signature. */
  readonly ends?: readonly string[];
  /** What reading the file had to assume. */
  readonly warnings?: readonly Notice[];
}

export const TENSORFLOW_RULES: Readonly<Record<string, TfRule>> = oneTable(
  windows,
  elements,
  arrangement,
  indexing,
  SEGMENTS,
  pictures,
  colours,
  morphology,
  bins,
  quantised,
  merged,
  liteRules,
);

/** Functions within functions; each call is put in its place, so that a small file could ask for much. */
const MAX_CALLS = 10_000;
/** Reading 60,000 in a row, 2 MB of file, takes more than five seconds and 300 MB. */
const MAX_NODES = 40_000;
const MAX_DEPTH = 64;
/** Each step of a loop becomes the layers of its body. */
const MAX_STEPS = 1024;

const CALLS: ReadonlySet<string> = new Set(['PartitionedCall', 'StatefulPartitionedCall']);
const CONDITIONS: ReadonlySet<string> = new Set(['If', 'StatelessIf']);
const VARIABLES: ReadonlySet<string> = new Set(['VarHandleOp', 'VariableV2', 'Variable']);
/** Nodes that give what they are given, and so a list. */
const PASSING: ReadonlySet<string> = new Set(['Identity', 'StopGradient', 'Snapshot', 'Enter', 'NextIteration']);
/** What is kept for a gradient, which no prediction reads. */
const KEPT: ReadonlySet<string> = new Set(['OptionalFromValue', 'OptionalNone']);
/** Nodes that check or count and make nothing. */
const SILENT: ReadonlySet<string> = new Set(['NoOp', 'Assert', 'Print', 'PrintV2', 'Exit', 'TensorArrayCloseV3']);

/** Nodes that make numbers of pictures in files, records and text. */
const READERS = /^(Decode\w+|ParseExample\w*|ParseSingle\w*|ReadFile|String\w+|Lookup\w+|\w*Regex\w*)$/;

const DEFAULTED = 'PlaceholderWithDefault';
const LOOPS: ReadonlySet<string> = new Set(['While', 'StatelessWhile']);
const CASES: ReadonlySet<string> = new Set(['Case', 'StatelessCase']);

/** Nodes that are followed while a graph is read and leave no layer of their own: calls, branches, loops, lists, variables, checks. */
export const FOLLOWED: ReadonlySet<string> = new Set([
  ...[...CALLS, ...CONDITIONS, ...CASES, ...LOOPS, ...VARIABLES, ...PASSING, ...SILENT, ...KEPT, ...Object.keys(LIST_RULES)],
  ...['Const', 'Placeholder', 'IdentityN', 'Switch', 'Merge', 'LoopCond', 'ReadVariableOp'],
]);

/** Outputs by name, of nodes that have several: what functions call them by. Of all others an output's number is its place. */
const OUTPUTS: Readonly<Record<string, readonly string[]>> = {
  TopK: ['values', 'indices'],
  TopKV2: ['values', 'indices'],
  ListDiff: ['out', 'idx'],
  Unique: ['y', 'idx'],
  UniqueV2: ['y', 'idx'],
  UniqueWithCounts: ['y', 'idx', 'count'],
  UniqueWithCountsV2: ['y', 'idx', 'count'],
  Switch: ['output_false', 'output_true'],
  Merge: ['output', 'value_index'],
  FusedBatchNorm: ['y', 'batch_mean', 'batch_variance', 'reserve_space_1', 'reserve_space_2'],
  FusedBatchNormV2: ['y', 'batch_mean', 'batch_variance', 'reserve_space_1', 'reserve_space_2'],
  FusedBatchNormV3: ['y', 'batch_mean', 'batch_variance', 'reserve_space_1', 'reserve_space_2', 'reserve_space_3'],
  MaxPoolWithArgmax: ['output', 'argmax'],
  NonMaxSuppressionV4: ['selected_indices', 'valid_outputs'],
  NonMaxSuppressionV5: ['selected_indices', 'selected_scores', 'valid_outputs'],
  CombinedNonMaxSuppression: ['nmsed_boxes', 'nmsed_scores', 'nmsed_classes', 'valid_detections'],
  TensorArrayV3: ['handle', 'flow'],
  TensorArrayConcatV3: ['value', 'lengths'],
  TensorListConcat: ['tensor', 'lengths'],
  TensorListConcatV2: ['tensor', 'lengths'],
  TensorListPopBack: ['output_handle', 'tensor'],
  BlockLSTM: ['i', 'cs', 'f', 'o', 'ci', 'co', 'h'],
  BlockLSTMV2: ['i', 'cs', 'f', 'o', 'ci', 'co', 'h'],
  LSTMBlockCell: ['i', 'cs', 'f', 'o', 'ci', 'co', 'h'],
  GRUBlockCell: ['r', 'u', 'c', 'h'],
};

/** What a Switch gives on the side that is not taken. */
const DEAD = Symbol('not taken');
type Made = Value | TensorList | Complex | typeof DEAD;

/**
 * Translates a graph. Where that cannot be and the net is to end earlier, what leads there.
 *
 * @throws ModelError 'unsupported' listing every node that cannot be said, 'malformed' where the graph contradicts itself
 */
export async function buildTensorflowMap(model: TfModel): Promise<LayerMap> {
  try {
    return await translate(model);
  } catch (error) {
    const outputs = model.outputs === null && isModelError(error) && error.kind !== 'unsafe' ? endsOf(model.graph.nodes, model.ends) : null;
    if (!outputs) throw error;
    const map = await translate({ ...model, outputs });
    const message = 'not all of the graph can be translated; what the net is to end in does not depend on the rest: left out';
    return { ...map, warnings: [...map.warnings, { code: 'left-out', message }] };
  }
}

async function translate(model: TfModel): Promise<LayerMap> {
  const translation = new Translation(model);
  const { inputs, outputs, layers } = await translation.run();
  const map: LayerMap = {
    name: '',
    format: model.format,
    producer: model.producer,
    architecture: null,
    inputs,
    outputs,
    // A node may give what nothing reads.
    layers: withoutUnread(layers, { outputs }, () => true),
    warnings: [...(model.warnings ?? []), ...translation.warnings],
  };
  return mergeBias(sinkTransposes(map)).map;
}

/** What stands in the place of what cannot be said, so that the next obstacles are found too. */
const OBSTACLE: Value = { name: 'obstacle', dtype: null, shape: null };

/** A graph or the body of a function, with what its nodes made so far. */
interface Scope {
  readonly nodes: ReadonlyMap<string, TfNode>;
  readonly made: Map<string, readonly Made[]>;
  /** Arguments of a function, by name. */
  readonly given: ReadonlyMap<string, Made>;
  readonly prefix: string;
  readonly depth: number;
  /** A step of a loop in the graph itself, whose nodes have their own names' weights. */
  readonly isFrame?: boolean;
  /** Loops of the graph by the names of their Exits, and what they left behind. */
  readonly loops: Map<string, Loop>;
  readonly left: Map<Loop, ReadonlyMap<string, Made>>;
}

function newScope(nodes: ReadonlyMap<string, TfNode>, prefix: string, depth: number): Scope {
  return { nodes, made: new Map(), given: new Map(), prefix, depth, loops: new Map(), left: new Map() };
}

class Translation {
  readonly #build: GraphBuilder;
  readonly #inputs = new Map<string, { port: Port; value: Value }>();
  readonly #errors: ModelError[] = [];
  #calls = 0;
  #nodes = 0;
  readonly #constants = new Map<TfNode, Value>();
  readonly #functions = new Map<string, ReadonlyMap<string, TfNode>>();

  readonly warnings: Notice[] = [];

  constructor(readonly model: TfModel) {
    this.#build = new GraphBuilder({ file: model.file });
  }

  async run(): Promise<Pick<LayerMap, 'inputs' | 'outputs' | 'layers'>> {
    const { graph, file } = this.model;
    const scope = newScope(byName(graph.nodes, file), '', 0);
    const wanted = this.model.outputs ?? unreadNodes(graph.nodes);
    if (wanted.length === 0) throw new ModelError('malformed', 'the graph has no outputs: name the nodes that the net ends in with --outputs', { file });
    if (!this.model.inputs) for (const node of graph.nodes.filter(isPhase)) this.#phase(scope, node);
    const reached = reachedFrom(
      scope.nodes,
      wanted.map(({ from }) => from.node),
    );
    const placeholders = graph.nodes.filter((node) => node.op === 'Placeholder' && !isPhase(node) && reached.has(node.name));
    // What has a value of its own is fed where nothing else is.
    const fed = placeholders.length > 0 ? placeholders : graph.nodes.filter(({ op, name }) => op === DEFAULTED && reached.has(name));
    const inputs: readonly TfPort[] = this.model.inputs ?? fed.map(({ name }) => ({ name, from: { node: name, output: 0 } }));
    this.#build.reserve(graph.nodes.map(({ name }) => name));
    for (const [i, input] of inputs.entries()) this.#input(scope, input, i === 0);
    await this.#need(
      scope,
      wanted.map(({ from }) => from.node),
    );
    if (this.#errors.length > 0) throwAll(this.#errors, `${file}: this TensorFlow graph cannot be translated:`);
    const outputs = wanted.map(({ name, alias, from }) => ({ name, alias, value: this.#value(scope, from) }));
    const list = outputs.find(({ value }) => value instanceof TensorList);
    if (list) throw new ModelError('unsupported', `the output "${list.name}" is a list of values`, { file });
    const dead = outputs.find(({ value }) => value === DEAD);
    if (dead) throw new ModelError('malformed', `the output "${dead.name}" is on a branch that is not taken`, { file });
    for (const { name, value } of outputs) checkReal(name, value, file);
    const values = outputs.map(({ value }) => value as Value);
    const layers = this.#build.finish(values);
    const ports = outputs.map(({ name, alias }, i): Port => {
      const { dtype, shape } = values[i]!;
      const type = { dtype: dtype ?? 'float32', valueDType: dtype ?? 'float32', shape: shape ?? [], layout: 'other' } as const;
      return { name, ...(alias === undefined ? {} : { alias }), value: this.#build.flowing(values[i]!), ...type };
    });
    return { inputs: [...this.#inputs.values()].map(({ port }) => port), outputs: ports, layers };
  }

  /** Whether the net is being trained, which old graphs are told from outside. */
  #phase(scope: Scope, { name }: TfNode): void {
    scope.made.set(name, [this.#build.numbers('bool', 0)]);
    this.warnings.push({ code: 'assumed', message: `"${name}", which tells the graph whether it is being trained, is taken as false`, layer: name });
  }

  #input(scope: Scope, { name, alias, from }: TfPort, isFirst: boolean): void {
    const node = scope.nodes.get(from.node);
    if (!node) throw new ModelError('malformed', `the input "${name}" is said to be "${from.node}", but there is no such node`, { file: this.model.file });
    const dtype = attributeType(node);
    const { inputShape, recordedShape } = isFirst ? this.model : { inputShape: undefined, recordedShape: undefined };
    const shape = inputShape ?? sizesOf(shapeOf(node), name, recordedShape);
    if (!isDType(dtype)) throw this.#noNumbers(name, dtype);
    if (!shape)
      throw new ModelError('unsupported', `the graph does not say the shape of the input "${name}"; give it with --input-shape`, { file: this.model.file });
    const value = this.#build.input(node.name, dtype, shape);
    const type = { dtype, valueDType: dtype, shape: value.shape!, layout: 'other' } as const;
    const port: Port = { name, ...(alias === undefined ? {} : { alias }), value: value.name, ...type };
    this.#inputs.set(node.name, { port, value });
    scope.made.set(node.name, [value]);
  }

  /** An input of text or files, and what of the graph reads such. */
  #noNumbers(name: string, dtype: string): ModelError {
    const { nodes, functions } = this.model.graph;
    const all = [...nodes, ...[...functions.values()].flatMap((one) => one.nodes)];
    const readers = [...new Set(all.map(({ op }) => op).filter((op) => READERS.test(op)))];
    const what = dtype === 'string' ? 'text, or files as they lie on a disk' : dtype;
    const by = readers.length > 0 ? ` (read by ${readers.join(', ')})` : '';
    return new ModelError('unsupported', `the input "${name}" takes ${what}${by}: export the model behind that, with numbers as its input`, {
      file: this.model.file,
    });
  }

  /** Makes all that some nodes need, inputs first; without recursion, for graphs are deep. */
  async #need(scope: Scope, wanted: readonly string[]): Promise<void> {
    const open = [...wanted].reverse();
    const waiting = new Set<string>();
    while (open.length > 0) {
      await this.#build.breathe();
      const name = open.at(-1)!;
      if (scope.made.has(name) || scope.given.has(name)) {
        open.pop();
        continue;
      }
      const node = scope.nodes.get(name);
      if (!node) throw new ModelError('malformed', `"${name}" is read, but there is no such node`, { file: this.model.file });
      const missing = this.#reads(scope, node).filter((input) => !scope.made.has(input) && !scope.given.has(input));
      if (missing.length === 0) {
        open.pop();
        waiting.delete(name);
        scope.made.set(name, await this.#node(scope, node));
        if (++this.#nodes > MAX_NODES)
          throw new ModelError('unsafe', `more than ${MAX_NODES} nodes are in use, those of functions and of each step of a loop counted`, {
            file: this.model.file,
          });
        continue;
      }
      if (waiting.has(name)) {
        throw new ModelError('unsupported', 'it depends on itself, in a loop that is wired otherwise than tf.while_loop wires it', {
          file: this.model.file,
          layer: name,
        });
      }
      waiting.add(name);
      for (const input of missing.toReversed()) open.push(input);
    }
  }

  /** Names of the nodes that have to be made before a node. */
  #reads(scope: Scope, node: TfNode): readonly string[] {
    if (node.op === 'Exit') return this.#loopAt(scope, node).enters;
    if (KEPT.has(node.op)) return [];
    return [...(dilatedAt(scope.nodes, node)?.reads ?? node.inputs).map((input) => input.node), ...branchesAround(scope.nodes, node)];
  }

  /** A convolution with gaps in the place of three nodes; null where they are three after all, which are made then. */
  async #dilated(scope: Scope, node: TfNode): Promise<readonly Made[] | null> {
    const dilated = dilatedAt(scope.nodes, node);
    if (!dilated) return null;
    const [x, ...rest] = dilated.reads.map((input) => this.#value(scope, input));
    const numbers = rest.slice(0, 4).map((made) => elementsOf(made) ?? null);
    const known = numbers.map((list) => (list?.every((element) => typeof element === 'number') ? (list as readonly number[]) : null));
    const whole = dilatedNode(node.name, dilated, known);
    if (whole) return this.#made(scope, whole, [x!, ...rest.slice(4)]);
    await this.#need(scope, [dilated.convolution.name]);
    return null;
  }

  #value(scope: Scope, { node, output, port }: TfInput): Made {
    const given = scope.given.get(node);
    if (given !== undefined) return given;
    const names = port === undefined ? undefined : OUTPUTS[scope.nodes.get(node)?.op ?? ''];
    const at = names ? names.indexOf(port!) : output;
    const made = scope.made.get(node)?.[at];
    if (made === undefined) {
      const which = `${port ?? output} of "${node}" (${scope.nodes.get(node)?.op ?? 'no node'})`;
      throw new ModelError('unsupported', `reads the output ${which}, which is not translated`, { file: this.model.file });
    }
    return made;
  }

  #placed<T>(node: TfNode, run: () => T): T {
    try {
      return run();
    } catch (error) {
      throw isModelError(error) ? error.at({ file: this.model.file, layer: node.name }) : error;
    }
  }

  async #node(scope: Scope, node: TfNode): Promise<readonly Made[]> {
    try {
      return await this.#translated(scope, node);
    } catch (error) {
      if (!isModelError(error) || error.kind === 'unsafe') throw error;
      this.#errors.push(error.at({ file: this.model.file, layer: scope.prefix + node.name }));
      // Goes on as if the node were there, so that the next obstacles are found too.
      return new Array<Made>(16).fill(OBSTACLE);
    }
  }

  async #translated(scope: Scope, node: TfNode): Promise<readonly Made[]> {
    if (node.op === 'Exit') return [await this.#left(scope, node)];
    if (KEPT.has(node.op)) return [DEAD];
    if (branchesAround(scope.nodes, node).some((name) => this.#value(scope, { node: name, output: 0 }) === DEAD)) return new Array<Made>(16).fill(DEAD);
    const dilated = await this.#dilated(scope, node);
    if (dilated) return dilated;
    return this.#made(
      scope,
      node,
      node.inputs.map((input) => this.#value(scope, input)),
    );
  }

  /** What a node makes of its inputs. */
  async #made(scope: Scope, node: TfNode, inputs: readonly Made[]): Promise<readonly Made[]> {
    if (node.op === 'Merge') {
      const alive = inputs.filter((input) => input !== DEAD);
      if (alive.length !== 1) throw new ModelError('unsupported', 'Merge: which branch is taken is known only when the model runs');
      return [alive[0]!, this.#build.numbers('int32', inputs.indexOf(alive[0]!))];
    }
    if (inputs.includes(DEAD)) return new Array<Made>(16).fill(DEAD);
    // Behind an obstacle nothing can be said, and nothing more needs to be.
    if (inputs.some(isObstacle)) return new Array<Made>(Math.max(16, inputs.length)).fill(OBSTACLE);
    const named = scope.prefix === '' ? node : { ...node, name: scope.prefix + node.name };
    if (PASSING.has(node.op) && inputs[0] instanceof TensorList) return [inputs[0]];
    if (node.op === 'IdentityN') return inputs;
    if (node.op === 'Switch') return this.#switch(inputs);
    if (CALLS.has(node.op)) return this.#call(scope, node.name, functionOf(node, 'f'), inputs);
    if (LOOPS.has(node.op)) return this.#while(scope, node, inputs);
    if (CONDITIONS.has(node.op) || CASES.has(node.op)) return this.#call(scope, node.name, branchOf(node, inputs[0]!), inputs.slice(1));
    const isList = inputs.some((input) => input instanceof TensorList);
    if (PASSING.has(node.op) && inputs[0] instanceof Complex) return [inputs[0]];
    const values = inputs.map(
      (input): Value =>
        input instanceof TensorList || input instanceof Complex ? { name: 'several', dtype: null, shape: null } : this.#build.stored(input as Value),
    );
    const operation = new TfOperation(named, values, this.#build, this.model.format === 'tfjs-graph' ? 'tfjs' : 'tensorflow');
    if (Object.hasOwn(LIST_RULES, node.op)) {
      const made = LIST_RULES[node.op]!(operation, inputs as readonly (Value | TensorList)[]);
      operation.checkRead();
      return made;
    }
    if (isList) throw new ModelError('unsupported', `${node.op}: it reads a list of values`);
    if (node.op === 'Const') return [await this.#constant(scope, node)];
    if (VARIABLES.has(node.op)) return [await this.#variable(scope, node)];
    if (node.op === DEFAULTED)
      this.warnings.push({
        code: 'assumed',
        message: `"${named.name}", which may be fed from outside, is taken as the value that the graph gives it`,
        layer: named.name,
      });
    if (/^TopK(V2)?$/.test(node.op) && node.attributes.get('sorted')?.value === false)
      this.warnings.push({ code: 'assumed', message: `"${named.name}": ${IN_FALLING_ORDER}`, layer: named.name });
    if (node.op === 'ReadVariableOp' && node.control.some((name) => /^Assign/.test(scope.nodes.get(name)?.op ?? '')))
      throw new ModelError('unsupported', 'ReadVariableOp: it reads a variable after the graph has changed it');
    if (node.op === 'Placeholder') throw new ModelError('unsupported', 'it is fed from outside, but is no input of the signature');
    const rule = Object.hasOwn(TENSORFLOW_RULES, node.op) ? TENSORFLOW_RULES[node.op] : undefined;
    const parts = complexOf(
      operation,
      inputs.map((input, i) => (input instanceof Complex ? input : values[i]!)),
      rule,
    );
    if (parts) {
      operation.checkRead();
      return [parts];
    }
    if (!rule) {
      const chance = /Random|Multinomial|TruncatedNormal/.test(node.op) ? ': it draws random numbers, as in training; export the net without what does' : '';
      throw new ModelError('unsupported', `the operator ${node.op} is not translated${chance}`);
    }
    const made = rule(operation);
    operation.checkRead();
    return Array.isArray(made) ? (made as readonly Value[]) : [made as Value];
  }

  /** Each is one constant, however often a function is called or a loop takes a step. */
  async #constant(scope: Scope, node: TfNode): Promise<Value> {
    const there = this.#constants.get(node);
    if (there) return there;
    const value = node.attributes.get('value');
    // Converters for TensorFlow.js name the constants of functions after these.
    const isNamed = scope.depth === 0 || scope.isFrame || this.model.format === 'tfjs-graph';
    const stored = (isNamed ? this.model.weight(node.name) : undefined) ?? (value?.kind === 'tensor' ? value.value : undefined);
    if (!stored) throw new ModelError('unsupported', `Const: it holds no numbers${attributeType(node) === 'string' ? ', but text' : ''}`);
    const made = this.#build.constant(await withKnown({ ...stored, name: scope.prefix + node.name }));
    this.#constants.set(node, made);
    return made;
  }

  async #variable(scope: Scope, node: TfNode): Promise<Value> {
    const shared = node.attributes.get('shared_name');
    const name = shared?.kind === 'string' && shared.value !== '' ? shared.value : node.name;
    const stored = this.model.variable?.(node.name) ?? this.model.weight(name) ?? this.model.weight(node.name);
    if (!stored)
      throw new ModelError(
        'unsupported',
        `${node.op}: the variable "${name}" has no value in the file; freeze the graph, or give the folder of its SavedModel`,
      );
    return this.#build.constant(await withKnown({ ...stored, name: scope.prefix + node.name }));
  }

  /** Gives its data on the side that is taken, which must be known. */
  #switch([data, predicate]: readonly Made[]): readonly Made[] {
    const taken = known(predicate!);
    if (taken === null) throw new ModelError('unsupported', 'Switch: which branch is taken is known only when the model runs');
    return taken ? [DEAD, data!] : [data!, DEAD];
  }

  /** The values of a loop after its last step; how many there are has to be known. */
  async #while(scope: Scope, node: TfNode, inputs: readonly Made[]): Promise<readonly Made[]> {
    let state = inputs;
    const errors = this.#errors.length;
    // What cannot be said in one step cannot be said in the next.
    for (let step = 0; this.#errors.length === errors; step++) {
      const [goesOn] = await this.#call(scope, `${node.name}/${step}/cond`, functionOf(node, 'cond'), state);
      if (goesOn !== undefined && isObstacle(goesOn)) break;
      if (!isAnotherStep(goesOn!, step)) return state;
      state = await this.#call(scope, `${node.name}/${step}`, functionOf(node, 'body'), state);
    }
    return inputs.map(() => OBSTACLE);
  }

  #loopAt(scope: Scope, exit: TfNode): Loop {
    const known = scope.loops.get(exit.name);
    if (known) return known;
    const loop = this.#placed(exit, () => loopOf(scope.nodes, exit));
    for (const name of loop.exits.keys()) if (!scope.loops.has(name)) scope.loops.set(name, loop);
    return loop;
  }

  /** The last value of what an Exit gives; those of the loop's other variables are kept for the other Exits. */
  async #left(scope: Scope, exit: TfNode): Promise<Made> {
    const loop = this.#loopAt(scope, exit);
    const known = scope.left.get(loop);
    if (known) return known.get(loop.exits.get(exit.name)!.merge.name)!;
    const frame = exit.name.slice(0, exit.name.lastIndexOf('/') + 1) || `${exit.name}/`;
    let state: ReadonlyMap<string, Made> = new Map(loop.variables.map(({ merge, enter }): [string, Made] => [merge.name, scope.made.get(enter)![0]!]));
    const errors = this.#errors.length;
    for (let step = 0; ; step++) {
      if (this.#errors.length > errors) return OBSTACLE;
      const inner: Scope = { ...newScope(scope.nodes, `${scope.prefix}${frame}${step}/`, scope.depth + 1), isFrame: true };
      if (inner.depth > MAX_DEPTH) throw new ModelError('unsafe', `loops lie more than ${MAX_DEPTH} deep`, { file: this.model.file });
      for (const enter of loop.enters) inner.made.set(enter, scope.made.get(enter)!);
      for (const { merge } of loop.variables) inner.made.set(merge.name, [state.get(merge.name)!, this.#build.numbers('int32', step === 0 ? 0 : 1)]);
      await this.#need(inner, [loop.condition.name]);
      const goesOn = this.#value(inner, { node: loop.condition.name, output: 0 });
      if (isObstacle(goesOn)) return OBSTACLE;
      if (!isAnotherStep(goesOn, step)) break;
      await this.#need(
        inner,
        loop.variables.map(({ next }) => next.name),
      );
      state = new Map(loop.variables.map(({ merge, next }): [string, Made] => [merge.name, this.#value(inner, { node: next.name, output: 0 })]));
    }
    scope.left.set(loop, state);
    return state.get(loop.exits.get(exit.name)!.merge.name)!;
  }

  async #call(scope: Scope, place: string, name: string, values: readonly Made[]): Promise<readonly Made[]> {
    const called = this.model.graph.functions.get(name);
    if (!called) throw new ModelError('malformed', `there is no function "${name}"`);
    if (scope.depth >= MAX_DEPTH || ++this.#calls > MAX_CALLS)
      throw new ModelError('unsafe', `functions call functions more than ${MAX_DEPTH} deep or ${MAX_CALLS} times`, { file: this.model.file });
    const given = new Map<string, Made>(called.arguments.map((argument, i) => [argument, values[i]!]));
    const known = this.#functions.get(name) ?? byName(called.nodes, this.model.file);
    this.#functions.set(name, known);
    const inner: Scope = { ...newScope(known, `${scope.prefix}${place}/`, scope.depth + 1), given };
    const results = called.results.map(([, from]) => parseInput(from));
    await this.#need(
      inner,
      results.map((result) => result.node),
    );
    return results.map((result) => this.#value(inner, result));
  }
}

/** Names of the branches of `tf.cond` in which a node runs that reads nothing of them, as constants do: it waits for their ends of a Switch of the condition. */
function branchesAround(nodes: ReadonlyMap<string, TfNode>, { control }: TfNode): readonly string[] {
  return control.filter((name) => {
    const end = nodes.get(name);
    const fork = end?.op === 'Identity' ? nodes.get(end.inputs[0]?.node ?? '') : undefined;
    return fork?.op === 'Switch' && fork.inputs[0]?.node === fork.inputs[1]?.node;
  });
}

function isObstacle(made: Made): boolean {
  return made !== DEAD && !(made instanceof TensorList) && !(made instanceof Complex) && made.dtype === null && made.shape === null;
}

function isAnotherStep(condition: Made, step: number): boolean {
  const goesOn = known(condition);
  if (goesOn === null)
    throw new ModelError('unsupported', 'how many steps the loop takes is known only when the model runs; give the sizes of the input with --input-shape');
  if (goesOn && step >= MAX_STEPS) throw new ModelError('unsupported', `the loop takes more than ${MAX_STEPS} steps, each of which would become layers`);
  return goesOn;
}

/** The function of the branch that is taken. */
function branchOf(node: TfNode, condition: Made): string {
  const [which] = elementsOf(condition) ?? [];
  if (typeof which !== 'number') throw new ModelError('unsupported', `${node.op}: which branch is taken is known only when the model runs`);
  if (CONDITIONS.has(node.op)) return functionOf(node, which !== 0 ? 'then_branch' : 'else_branch');
  const branches = node.attributes.get('branches');
  const list = branches?.kind === 'list' ? branches.value : [];
  // A number of no branch takes the last one.
  const taken = list[which] ?? list.at(-1);
  if (taken?.kind !== 'function') throw new ModelError('malformed', `${node.op} does not say which functions it calls`);
  return taken.value.name;
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

/** The nodes of those names, as values ('prob:0') are called too; null where one is not of the graph. */
function endsOf(nodes: readonly TfNode[], ends: readonly string[] = []): TfPort[] | null {
  const names = new Set(nodes.map(({ name }) => name));
  const found = ends.map((name): TfPort => ({ name, from: parseInput(name) })).filter(({ from }) => names.has(from.node));
  return found.length === ends.length && found.length > 0 ? found.map(({ from }) => ({ name: from.node, from })) : null;
}

/** Names of the nodes that values flow from to some nodes. */
function reachedFrom(nodes: ReadonlyMap<string, TfNode>, names: readonly string[]): ReadonlySet<string> {
  const reached = new Set(names);
  for (const name of reached) for (const { node } of nodes.get(name)?.inputs ?? []) reached.add(node);
  return reached;
}

/** What sets variables, or keeps them in files and gets them from there: a net's end is something else. */
const KEEPING = /^(Assign\w*|Save\w*|Restore\w*|ShardedFile\w+|MergeV2Checkpoints|VarIsInitializedOp|IsVariableInitialized)$/;

function unreadNodes(nodes: readonly TfNode[]): TfPort[] {
  const read = new Set(nodes.flatMap(({ inputs, control }) => [...inputs.map(({ node }) => node), ...control]));
  const variables = new Set(nodes.filter(({ op }) => VARIABLES.has(op)).map(({ name }) => name));
  const isRead = ({ op, inputs }: TfNode) => /^(Identity|ReadVariableOp)$/.test(op) && variables.has(inputs[0]!.node);
  const isEnd = (node: TfNode) => !SILENT.has(node.op) && !KEEPING.test(node.op) && !isRead(node) && attributeType(node) !== 'string';
  const ends = nodes.filter((node) => !read.has(node.name) && node.op !== 'Const' && node.op !== 'Placeholder' && node.inputs.length > 0 && isEnd(node));
  return ends.map(({ name }) => ({ name, from: { node: name, output: 0 } }));
}

function attributeType({ attributes }: TfNode): string {
  const dtype = attributes.get('dtype') ?? attributes.get('T');
  return dtype?.kind === 'type' ? dtype.value : 'float32';
}

/** A boolean that is fed and is no picture: `keras_learning_phase`, FaceNet's `phase_train`. */
function isPhase(node: TfNode): boolean {
  return node.op === 'Placeholder' && attributeType(node) === 'bool' && (shapeOf(node)?.length ?? 0) === 0;
}

function shapeOf({ attributes }: TfNode): TfShape {
  const shape = attributes.get('shape');
  if (shape?.kind === 'shape' && shape.value) return shape.value;
  const said = attributes.get('_output_shapes');
  const [first] = said?.kind === 'list' ? said.value : [];
  return first?.kind === 'shape' ? first.value : null;
}

/** The first axis is the batch, which inputs have in common. */
function sizesOf(shape: TfShape, name: string, recorded: readonly Dim[] | undefined): readonly Dim[] | null {
  if (!shape) return recorded ?? null;
  const known = recorded?.length === shape.length ? recorded : [];
  return shape.map((size, axis) => (size >= 0 ? size : axis === 0 ? 'batch' : (known[axis] ?? `${name}.${axis}`)));
}

/** What is known of the elements of a value of real numbers. */
function elementsOf(made: Made): Value['elements'] {
  return made === DEAD || made instanceof TensorList || made instanceof Complex ? undefined : made.elements;
}

function known(value: Made): boolean | null {
  const [taken] = elementsOf(value) ?? [];
  return typeof taken === 'number' ? taken !== 0 : null;
}
