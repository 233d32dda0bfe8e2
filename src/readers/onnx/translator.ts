/**
 * Translates ONNX nodes into layers.
 *
 * Most go by their operator's definition. `rules.ts` has those that old opsets spelt differently, or that are several operators here.
 * Functions of the file and branches that a constant chooses become part of the graph. What remains is kept as it came, and says why.
 */
import { isGraph, type OnnxValue, type ReadFunction, type ReadGraph, type ReadModel, type ReadNode, type ReadTensor } from '../../containers/onnx.js';
import { ATTRIBUTE, ATTRIBUTE_TYPE } from '../../containers/onnx-schema.js';
import type { Field } from '../../containers/protobuf.js';
import { MessageBuilder } from '../../containers/protobuf-writer.js';
import { isModelError, ModelError } from '../../errors.js';
import { type Attributes, GraphBuilder, type Inputs, type Value } from '../../model/builder.js';
import { isFloatDType } from '../../model/dtype.js';
import type { Notice } from '../../model/layer-map.js';
import { withKnown } from '../../model/numbers.js';
import { type Operator, operatorOf, slotName } from '../../model/ops/index.js';
import { elementCount, permute, type Tensor } from '../../model/tensor.js';
import { NotUnderstood, tableAttributes } from './by-table.js';
import { freeNames, inRunningOrder, operatorsIn } from './order.js';
import { isOnnxDomain, nodeTitle, Scope } from './scope.js';
import { type Work, workIn, workOf } from './steps.js';

/** Functions in functions, branches in branches. */
const MAX_DEPTH = 64;
/** Nodes after functions were put in their places: each may call others many times. */
const MAX_LAYERS = 1_000_000;
/** Attributes of a node that is kept as it came are held in memory. */
const MAX_FOREIGN_BYTES = 2 ** 26;

const UNREAD = 'text, or is sparse or of a dtype that is not read';

/** A node as rules see it. */
export interface Node {
  readonly read: ReadNode;
  readonly op: string;
  readonly opset: number;
  readonly attributes: ReadonlyMap<string, OnnxValue>;
  readonly inputs: Inputs;
  /** Names of the outputs that something may read. */
  readonly outputs: readonly string[];
  readonly title: string;
}

/** An attribute that is one number; `usual` where the node has none. */
export function numberOf({ attributes }: Node, name: string, usual: number): number {
  const value = attributes.get(name);
  return typeof value === 'number' ? value : usual;
}

/** Operators into which a list may flow whose parts are known; any other node is kept as it came, and the list is made for it. */
const TAKES_LISTS: ReadonlySet<string> = new Set([...['SequenceAt', 'SequenceInsert', 'SequenceErase', 'SequenceLength', 'ConcatFromSequence', 'Identity']]);

/** Gives a value for each output. */
export type Rule = (node: Node, translator: Translator) => Promise<readonly (Value | null)[] | NotUnderstood> | readonly (Value | null)[] | NotUnderstood;

export class Translator {
  readonly build: GraphBuilder;
  readonly warnings: Notice[] = [];
  /** Layers that act as in training. */
  readonly training: string[] = [];
  /** Nodes of steps that were taken one after the other, also such as came to nothing. */
  repeatedNodes = 0;
  #scope: Scope;
  /** What is in lists whose parts are known. */
  readonly #lists = new Map<Value, readonly Value[]>();
  /** Values of text and of other elements that are no numbers here. */
  readonly #unread = new Set<Value>();
  /** Small constants, with their elements. */
  readonly #looked = new Map<Tensor, Promise<Tensor>>();
  readonly #turned = new Map<Tensor, Tensor>();
  readonly #named = new Map<Tensor, Tensor>();
  readonly #functions: ReadonlyMap<string, ReadFunction>;

  constructor(
    readonly model: ReadModel,
    readonly rules: Readonly<Record<string, Rule>>,
    readonly readBytes: (field: Field) => Promise<Uint8Array>,
    readonly inference: boolean,
  ) {
    this.build = new GraphBuilder({ file: model.file.name });
    this.#scope = new Scope(null, model.opsets);
    this.#functions = new Map(model.functions.map((one) => [`${one.domain}::${one.name}`, one]));
    this.build.reserve([...model.initializers.keys(), ...model.nodes.flatMap(({ outputs }) => outputs)].filter((name) => name !== ''));
  }

  get scope(): Scope {
    return this.#scope;
  }

  /** Adds what a graph holds, and translates its nodes. */
  async graph({ nodes, initializers }: Pick<ReadGraph, 'nodes' | 'initializers'>): Promise<void> {
    for (const [name, tensor] of initializers) this.#scope.set(name, this.build.constant(tensor, this.#scope.outer ? `${this.#scope.prefix}${name}` : name));
    const { scope } = this;
    for (const node of inRunningOrder(nodes, (name) => scope.find(name) !== undefined)) {
      await this.build.breathe();
      await this.#node(node);
    }
  }

  /** Translates in a scope inside of this one. */
  async inside<T>(scope: Scope, work: () => Promise<T>): Promise<T> {
    if (scope.depth > MAX_DEPTH) throw new ModelError('unsafe', `functions or branches are nested deeper than ${MAX_DEPTH}`);
    const outer = this.#scope;
    this.#scope = scope;
    try {
      return await work();
    } finally {
      this.#scope = outer;
    }
  }

  /** Adds a layer that is one of several that a node becomes, or all of it where `name` is left out. */
  add(node: Node, op: string, inputs: Inputs, attributes: Attributes = {}, step?: string): Value {
    if (step !== undefined) return this.build.add(op, inputs, attributes, `${this.#scope.prefix}${node.title}/${step}`);
    return this.build.node(op, inputs, attributes, { name: `${this.#scope.prefix}${node.title}`, outputs: [this.outputName(node.outputs[0]!)] })[0]!;
  }

  /** Adds the layer that a node is. */
  layer(node: Node, op: string, inputs: Inputs, attributes: Attributes = {}): readonly Value[] {
    return this.build.node(op, inputs, attributes, { name: `${this.#scope.prefix}${node.title}`, outputs: node.outputs.map((name) => this.outputName(name)) });
  }

  /** Values inside of functions and branches get names of their own. */
  outputName(name: string): string {
    if (name === '') return '';
    return this.#scope.outer ? this.build.freeValue(`${this.#scope.prefix}${name}`) : name;
  }

  /** A matrix with its axes exchanged: the same tensor each time, so that layers that share a weight go on sharing it. */
  turned(matrix: Tensor): Tensor {
    const turned = this.#turned.get(matrix) ?? permute(matrix, [1, 0]);
    this.#turned.set(matrix, turned);
    return turned;
  }

  /** A constant under the name of what it makes: the same tensor in each step of a loop. */
  named(tensor: Tensor, name: string): Tensor {
    const named = this.#named.get(tensor) ?? { ...tensor, name };
    this.#named.set(tensor, named);
    return named;
  }

  /** A list of values, which no layer makes. */
  listOf(parts: readonly Value[], output: string): Value {
    const list: Value = { name: output, dtype: null, shape: null };
    this.#lists.set(list, parts);
    return list;
  }

  partsOf(value: Value | null | undefined): readonly Value[] | undefined {
    return value ? this.#lists.get(value) : undefined;
  }

  /** The elements of a small constant; undefined for what is none. */
  async known(value: Value | null | undefined): Promise<readonly number[] | undefined> {
    if (!value) return undefined;
    const { elements } = value.constant ? { elements: (await withKnown(value.constant)).known } : value;
    return elements?.every((element) => typeof element === 'number') ? (elements as readonly number[]) : undefined;
  }

  /**
   * A tensor of text, or of a dtype that is none of ours: a Constant that is kept as it came, and so is what reads it.
   *
   * @throws ModelError 'unsupported' where it lies beside the file, and cannot be taken along
   */
  async unread({ name, span, isExternal, isSparse }: ReadTensor): Promise<void> {
    const place = { file: this.model.file.name, tensor: name };
    if (isExternal || span.end - span.start > MAX_FOREIGN_BYTES) throw new ModelError('unsupported', `the tensor holds ${UNREAD}`, place);
    const [field, type] = isSparse ? [ATTRIBUTE.sparse, ATTRIBUTE_TYPE.sparse] : [ATTRIBUTE.tensor, ATTRIBUTE_TYPE.tensor];
    const message = new MessageBuilder()
      .string(ATTRIBUTE.name, isSparse ? 'sparse_value' : 'value')
      .bytes(field, await this.readBytes(span))
      .int(ATTRIBUTE.type, type);
    const types = [{ dtype: null, shape: null }];
    const foreign = { format: 'onnx', domain: 'ai.onnx', op: 'Constant', reason: `it holds ${UNREAD}`, attributes: [message.toBytes()], captures: [], types };
    const [value] = this.build.foreign(foreign, [], { name: this.build.freeValue(`${name}/constant`), outputs: [name] });
    this.#unread.add(value!);
    this.#scope.set(name, value!);
  }

  async #node(read: ReadNode): Promise<void> {
    if (this.build.layers.length > MAX_LAYERS)
      throw new ModelError('unsafe', `the graph has more than ${MAX_LAYERS} nodes once its functions are put in their places`);
    const attributes = this.#scope.attributesOf(read);
    const title = nodeTitle(read);
    const operator = isOnnxDomain(read.domain) ? operatorOf(read.op) : undefined;
    const given = read.inputs.map((name) => (name === '' ? null : this.#scope.get(name, read)));
    const isLooked = given.some((value, i) => value && this.#mayTell(value, operator, i));
    const inputs = isLooked ? await Promise.all(given.map((value, i) => value && this.#input(value, operator, i))) : given;
    const outputs = [...read.outputs];
    while (outputs.at(-1) === '') outputs.pop();
    const node: Node = { read, op: read.op, opset: this.#scope.opsetOf(read.domain), attributes, inputs, outputs, title };
    const before = this.build.layers.length;
    try {
      const made = await this.#translate(node, operator);
      if (made instanceof NotUnderstood) this.build.discard(before);
      const values = made instanceof NotUnderstood ? await this.#foreign(node, made.reason) : made;
      for (const [i, name] of read.outputs.entries()) {
        if (this.#scope.holds(name)) throw new ModelError('malformed', `makes "${name}", which an earlier node or an initializer is`);
        if (values[i]) this.#scope.set(name, values[i]);
      }
      if (made instanceof NotUnderstood && read.op === 'Constant') this.#unread.add(values[0]!);
    } catch (error) {
      throw isModelError(error) ? error.at({ layer: `${this.#scope.prefix}${title}`, file: this.model.file.name }) : error;
    }
  }

  async #translate(node: Node, operator: Operator | undefined): Promise<readonly (Value | null)[] | NotUnderstood> {
    const { read } = node;
    const local = this.#functions.size > 0 && this.#functions.get(`${read.domain}::${read.op}`);
    if (local && isOnnxDomain(read.domain) && operatorOf(read.op))
      return new NotUnderstood('the file has a function of this name as well, and runtimes differ in which they run');
    if (local) return this.#call(node, local);
    if (read.attributes.size < read.attributeSpans.length) return new NotUnderstood('an attribute of it is given twice, or holds what is not read');
    const rule = Object.hasOwn(this.rules, ruleName(read)) ? this.rules[ruleName(read)] : undefined;
    if (node.inputs.some((input) => input && this.#unread.has(input))) return new NotUnderstood(`what flows in holds ${UNREAD}`);
    if (!TAKES_LISTS.has(read.op) && node.inputs.some((input) => this.partsOf(input))) return new NotUnderstood('a sequence flows in');
    try {
      return rule ? await rule(node, this) : await this.byTable(node, operator);
    } catch (error) {
      // What is only known when the model runs can be said by no layer, but by the node itself.
      if (isModelError(error, 'unsupported')) return new NotUnderstood(error.problem);
      throw error;
    }
  }

  /** @param more attributes that are known better than the node says */
  async byTable(node: Node, operator = operatorOf(node.op), more: Attributes = {}): Promise<readonly Value[] | NotUnderstood> {
    if (node.read.domain === 'com.microsoft.nchwc')
      return new NotUnderstood('ONNX Runtime optimised the file for one kind of processor; saved at its level EXTENDED it is read');
    if (!operator?.onnx || !isOnnxDomain(node.read.domain)) return new NotUnderstood('the operator is not in the vocabulary');
    const { since = 1 } = operator.onnx;
    if (node.opset < since) return new NotUnderstood(`in opset ${node.opset} it means something else than from opset ${since} on`);
    const attributes = await tableAttributes(operator, node.attributes, node.opset);
    if (attributes instanceof NotUnderstood) return attributes;
    if (node.outputs.length > (operator.outputs ?? 1)) return new NotUnderstood(`it has ${node.outputs.length} outputs`);
    return this.layer(node, operator.op, node.inputs, { ...attributes, ...more });
  }

  /** Small integers, and what may be an attribute, are looked at; other weights are not read. */
  #mayTell({ constant, elements }: Value, operator: Operator | undefined, place: number): boolean {
    if (!constant || elements) return false;
    const slot = operator && slotName(operator.slots[place] ?? '');
    const mayBeAttribute = slot !== undefined && operator?.attributes[slot] !== undefined;
    return !isFloatDType(constant.dtype) || (mayBeAttribute && elementCount(constant.shape) <= 64);
  }

  async #input(value: Value, operator: Operator | undefined, place: number): Promise<Value> {
    if (!value.constant || !this.#mayTell(value, operator, place)) return value;
    // Read once: a constant that several nodes read is one tensor, and becomes one layer.
    const looked = this.#looked.get(value.constant) ?? withKnown(value.constant);
    this.#looked.set(value.constant, looked);
    const constant = await looked;
    return constant.known ? { ...value, constant, elements: constant.known } : value;
  }

  /** Puts a function's nodes in the place of the call. */
  async #call(node: Node, called: ReadFunction): Promise<readonly (Value | null)[]> {
    const attributes = new Map([...called.attributes, ...node.attributes]);
    const scope = new Scope(this.#scope, new Map([...this.model.opsets, ...called.opsets]), attributes, `${this.#scope.prefix}${node.title}/`);
    called.inputs.forEach((name, i) => {
      if (node.inputs[i]) scope.set(name, node.inputs[i]);
    });
    return this.inside(scope, async () => {
      await this.graph({ nodes: called.nodes, initializers: new Map() });
      return called.outputs.map((name) => scope.find(name) ?? null);
    });
  }

  readonly #stored = async (name: string): Promise<number | undefined> => (await this.known(this.#scope.find(name)))?.[0];

  /** What a graph inside of a node comes to, in this scope. */
  workOf(graph: ReadGraph): Promise<Work> {
    return workIn(graph, this.#stored);
  }

  async #foreign(node: Node, reason: string): Promise<readonly Value[]> {
    const { read } = node;
    if ([...read.attributes.values()].some((value) => typeof value === 'object' && 'reference' in value)) {
      throw new ModelError('unsupported', `${read.op}: ${reason}; and its attributes are those of the function that it stands in`);
    }
    const bytes = read.attributeSpans.reduce((sum, { start, end }) => sum + end - start, 0);
    if (bytes > MAX_FOREIGN_BYTES) throw new ModelError('unsupported', `${read.op}: ${reason}; and its attributes take ${bytes} bytes`);
    const attributes = await Promise.all(read.attributeSpans.map(this.readBytes));
    const captures = [...new Set([...read.attributes.values()].flatMap((value) => (isGraph(value) ? [...freeNames(value)] : [])))];
    for (const name of captures) this.#keepName(name, node);
    const outputs = read.outputs.map((name) => this.outputName(name));
    const types = read.outputs.map((name) => {
      const info = this.#scope.outer ? undefined : (this.model.valueInfo.get(name) ?? this.model.outputs.find((port) => port.name === name));
      return { dtype: info?.dtype ?? null, shape: info?.shape?.map((size, axis) => (size === '?' ? `?${name}.${axis}` : size)) ?? null };
    });
    const domain = isOnnxDomain(read.domain) ? 'ai.onnx' : read.domain;
    const spoken = { version: this.#scope.opsetOf(''), operators: [...operatorsIn(read)] };
    const { steps } = await workOf(
      read,
      this.#stored,
      node.inputs.map((input) => input?.shape),
    );
    const foreign = { format: 'onnx', domain, op: read.op, reason, attributes, captures, types, spoken, ...(steps > 0 ? { steps } : {}) };
    const inputs = node.inputs.map((input) => (this.partsOf(input) ? this.#madeList(input!, this.build.freeValue(`${node.title}/list`)) : input));
    return this.build.foreign(foreign, inputs, { name: `${this.#scope.prefix}${node.title}`, outputs });
  }

  /** A list as the node that makes one, for nodes that are kept as they came. */
  #madeList(list: Value, name: string): Value {
    const parts = this.partsOf(list)!;
    const op = parts.length === 0 ? 'SequenceEmpty' : 'SequenceConstruct';
    const foreign = { format: 'onnx', domain: 'ai.onnx', op, reason: 'a sequence', attributes: [], captures: [], types: [{ dtype: null, shape: null }] };
    return this.build.foreign(foreign, parts, { name, outputs: [name] })[0]!;
  }

  /** What a graph inside of a node reads keeps the name by which it is read there. */
  #keepName(name: string, node: Node): void {
    const value = this.#scope.get(name, node.read);
    if (this.partsOf(value)) {
      if (this.#scope.outer) throw new ModelError('unsupported', `${node.op} holds a graph that reads the sequence "${name}" of the function around it`);
      this.#scope.set(name, this.#madeList(value, name));
      return;
    }
    const flowing = this.build.flowing(value);
    if (flowing === name) return;
    if (this.#scope.outer) throw new ModelError('unsupported', `${node.op} holds a graph that reads "${name}" of the function or branch around it`);
    this.#scope.set(name, this.build.node('Identity', [value], {}, { name: `${name}/kept`, outputs: [name] })[0]!);
  }
}

function ruleName({ domain, op }: ReadNode): string {
  return isOnnxDomain(domain) ? op : `${domain}::${op}`;
}
