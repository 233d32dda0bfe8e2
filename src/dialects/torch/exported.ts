/**
 * Makes the layer map of a program of `torch.export`: a graph of operators, each with the values that it reads and makes by name.
 *
 * @see https://github.com/pytorch/pytorch/blob/main/torch/_export/serde/schema.py
 */
import { checkJson, isObject, type JsonObject } from '../../containers/json.js';
import { isModelError, ModelError } from '../../errors.js';
import type { Turns, Value } from '../../model/builder.js';
import type { DType } from '../../model/dtype.js';
import type { Dim, LayerMap } from '../../model/layer-map.js';
import type { Tensor } from '../../model/tensor.js';
import { BEHIND_OBSTACLE, isBehindObstacle, scalarTypeOf, type Workshop } from './call.js';
import { type Item, knownScalar, List, numberOf, Opaque, Real, TensorItem, Tuple, Unknown } from './items.js';
import { callOperator, isObstacle, Obstacles, ruleOf } from './operators.js';
import { failWith, finish, newWorkshop, noticesOf, type Output, type ProgramOptions } from './program.js';
import { EXPORTED_TYPES } from './scalar-types.js';

export interface ExportedProgram {
  /** The JSON that says what the program is. */
  readonly document: JsonObject;
  /** Parameters, buffers and constants by their names. */
  tensor(name: string): Tensor | undefined;
}

/** Functions of Python by the operator that means the same. */
const PYTHON: Readonly<Record<string, string>> = {
  '_operator.add': 'add',
  '_operator.sub': 'sub',
  '_operator.mul': 'mul',
  '_operator.truediv': 'div',
  '_operator.floordiv': 'floordiv',
  '_operator.mod': 'remainder',
  '_operator.pow': 'pow',
  '_operator.neg': 'neg',
  '_operator.pos': 'positive',
  '_operator.and_': '__and__',
  '_operator.or_': '__or__',
  '_operator.eq': 'eq',
  '_operator.ne': 'ne',
  '_operator.lt': 'lt',
  '_operator.le': 'le',
  '_operator.gt': 'gt',
  '_operator.ge': 'ge',
  'math.floor': 'floor',
  'math.ceil': 'ceil',
  'math.trunc': 'trunc',
  'torch.sym_max': 'prim::max',
  'torch.sym_min': 'prim::min',
  'torch.sym_float': 'Float',
  'torch.sym_int': 'Int',
  'torch.sym_not': '__not__',
  'torch.sym_sqrt': 'sqrt',
  'torch.sym_ite': 'where',
};

/** They check what they are given, or tell the compiler about it, and make nothing. */
const CHECKS =
  /^aten::(_assert_async|_assert_scalar|_functional_assert_async|_functional_assert_scalar|_assert_tensor_metadata|_linalg_check_errors|_print|sym_constrain_range|sym_constrain_range_for_size)$/;

/** @throws ModelError 'unsupported' listing every obstacle, 'malformed' where the document contradicts itself */
export function* buildExportedMap(program: ExportedProgram, options: ProgramOptions): Turns<LayerMap> {
  const { file } = options;
  try {
    return yield* new Translation(program, options).run();
  } catch (error) {
    throw isModelError(error) ? error.at({ file }) : error;
  }
}

class Translation {
  readonly #graph: JsonObject;
  readonly #signature: JsonObject;
  #values = new Map<string, Item>();
  readonly #shop: Workshop;
  readonly #obstacles = new Obstacles();
  readonly #inputs: Value[] = [];
  /** Numbers for sizes that are free in the file. */
  readonly #given = new Map<Dim, number>();
  /** What the program keeps from one run to the next, by name. */
  readonly #buffers = new Map<string, { readonly item: TensorItem; readonly value: Value }>();
  #depth = 0;

  constructor(
    readonly program: ExportedProgram,
    readonly options: ProgramOptions,
  ) {
    const module = field(program.document, 'graph_module');
    this.#graph = field(module, 'graph');
    this.#signature = field(module, 'signature');
    this.#shop = newWorkshop(options.file, options.inference, Number.POSITIVE_INFINITY);
  }

  *run(): Turns<LayerMap> {
    for (const spec of inputSpecs(this.#signature, this.#graph)) this.#input(spec);
    if (this.#inputs.length === 0) throw new ModelError('unsupported', 'nothing flows into the program');
    for (const [i, node] of list(this.#graph, 'nodes').entries()) {
      yield;
      this.#node(object(node), i);
    }
    // A program that was not taken apart changes its buffers in place.
    for (const [name, { item, value }] of this.#buffers) if (item.unread !== value) this.#changes(`the buffer ${name}`);
    const outputs = this.#outputs();
    failWith(this.#obstacles, this.#shop);
    return { ...finish(this.#shop, this.#inputs, outputs, this.options), warnings: noticesOf(this.#shop) };
  }

  #changes(what: string): void {
    this.#shop.training.push(`${what.slice(0, 200)} changes while the program runs`);
  }

  #input(spec: JsonObject): void {
    const [kind, given] = union(spec);
    const inner = object(given);
    switch (kind) {
      case 'parameter':
      case 'buffer':
      case 'tensor_constant': {
        const name = text(inner, kind === 'parameter' ? 'parameter_name' : kind === 'buffer' ? 'buffer_name' : 'tensor_constant_name');
        const tensor = this.program.tensor(name);
        const value = text(field(inner, 'arg'), 'name');
        // What nothing reads may be missing: counters of batches, mostly.
        const item = tensor ? new TensorItem(this.#shop.build.constant(tensor)) : new Opaque(`a tensor that the file lacks ("${name.slice(0, 200)}")`);
        if (kind === 'buffer' && item instanceof TensorItem) this.#buffers.set(name, { item, value: item.unread });
        this.#values.set(value, item);
        return;
      }
      case 'user_input': {
        const [form, arg] = union(field(inner, 'arg'));
        // What was no tensor when the program was made is part of it.
        if (['as_none', 'as_int', 'as_float', 'as_bool', 'as_string'].includes(form)) return;
        const name = isObject(arg) ? String(arg.name ?? arg.as_name) : '';
        if (form === 'as_tensor') this.#userInput(name);
        else throw new ModelError('unsupported', `its input ${name === '' ? '' : `"${name}" `}is no tensor (${form})`);
        return;
      }
      case 'constant_input': {
        this.#values.set(text(inner, 'name'), this.#item(field(inner, 'value')));
        return;
      }
      case 'token': {
        this.#values.set(text(field(inner, 'arg'), 'name'), new Opaque('a token'));
        return;
      }
      default:
        throw new ModelError('unsupported', `an input of the kind ${kind} is not known`);
    }
  }

  #userInput(name: string): void {
    const meta = object(field(this.#graph, 'tensor_values')[name]);
    const dtype = dtypeOf(meta.dtype);
    const sizes = list(meta, 'sizes').map((size, axis) => sizeOf(object(size), `${name}.${axis}`));
    // What the caller says counts where the file leaves a size free.
    const wanted = this.#inputs.length === 0 ? this.options.inputShape : undefined;
    const differs = wanted && (wanted.length !== sizes.length || wanted.some((size, axis) => typeof sizes[axis] === 'number' && sizes[axis] !== size));
    if (differs) throw new ModelError('usage', `the input "${name}" is of shape [${sizes}] in the file, and [${wanted}] is asked for`);
    sizes.forEach((size, axis) => {
      if (wanted && typeof size === 'string' && typeof wanted[axis] === 'number') this.#give(size, wanted[axis]);
    });
    const value = this.#shop.build.input(
      name,
      dtype,
      sizes.map((size, axis) => this.#given.get(size) ?? wanted?.[axis] ?? size),
    );
    this.#inputs.push(value);
    this.#values.set(name, new TensorItem(value));
  }

  /** A number for a size that is free: the same wherever that size is met, and within the range that the program was made for. */
  #give(symbol: Dim, size: number): void {
    const known = this.#given.get(symbol);
    if (known !== undefined && known !== size)
      throw new ModelError('usage', `the size "${symbol}" is asked to be ${known} and ${size}, and is one in the file`);
    const ranges = this.program.document.range_constraints;
    const range = isObject(ranges) ? ranges[symbol] : undefined;
    const [least, largest] = isObject(range) ? [boundOf(range.min_val, 0), boundOf(range.max_val, Number.POSITIVE_INFINITY)] : [0, Number.POSITIVE_INFINITY];
    if (size < least || size > largest)
      throw new ModelError('usage', `the size "${symbol}" is asked to be ${size}, and the program was made for ${least} to ${largest}`);
    this.#given.set(symbol, size);
  }

  #node(node: JsonObject, index: number): void {
    const target = text(node, 'target');
    this.#enter(node);
    const where = `node ${index + 1}, ${target.slice(0, 120)}`;
    let made: Item;
    try {
      const inputs = list(node, 'inputs').map(object);
      const higher = /^torch\.ops\.higher_order\.(\w+)$/.exec(target)?.[1];
      made = higher === undefined ? this.#made(target, inputs) : this.#higherOrder(higher, inputs);
    } catch (error) {
      if (!isBehindObstacle(error)) {
        if (!isObstacle(error)) throw error;
        this.#obstacles.add(error, where, this.#shop.path);
      }
      made = new Unknown();
    }
    this.#name(list(node, 'outputs').map(object), made);
  }

  /** The module that a node is of, as the exporter noted it: 'key,path,class;key,path,class'. */
  #enter({ metadata }: JsonObject): void {
    const stack = isObject(metadata) && typeof metadata.nn_module_stack === 'string' ? metadata.nn_module_stack : '';
    const [, path = '', type = ''] = (stack.split(';').at(-1) ?? '').split(',');
    this.#shop.path = path.slice(0, 200);
    this.#shop.isLeaf = /^torch\.nn\./.test(type) && !/Sequential|ModuleList|Attention|Transformer/.test(type);
  }

  #made(target: string, inputs: readonly JsonObject[]): Item {
    const [, namespace, operator] = /^torch\.ops\.(\w+)\.(\w+)(?:\.\w+)?$/.exec(target) ?? [];
    if (target === '_operator.getitem') return this.#element(inputs);
    const name = PYTHON[target] ?? (operator === undefined ? target : namespace === 'aten' ? operator : `${namespace}::${operator}`);
    if (CHECKS.test(`aten::${name}`)) return null;
    const parameters = ruleOf(name)?.parameters ?? ruleOf(name.replace(/_$/, ''))?.parameters ?? [];
    const args: Item[] = [];
    const named = new Map<string, Item>();
    for (const [i, input] of inputs.entries()) {
      const item = this.#item(field(input, 'arg'));
      const own = String(input.name);
      // Arguments without a keyword come in order, whatever an overload calls them.
      if (i === args.length && (parameters[i]?.name === own || (input.kind !== 2 && !parameters.some((one) => one.name === own)))) args.push(item);
      else named.set(own, item);
    }
    return callOperator(name, args, named, this.#shop);
  }

  /** Operators that run graphs within the graph: where it is certain which, it is followed in their place. */
  #higherOrder(name: string, inputs: readonly JsonObject[]): Item {
    const args = inputs.map((input) => field(input, 'arg'));
    const plain = (at: number) => knownScalar(this.#item(args[at] ?? {}));
    // Tokens, which come first, tell the order of what acts beyond its results: checks, and what prints.
    if (name === 'with_effects') {
      const target = args[1]?.as_operator;
      if (typeof target !== 'string') throw new ModelError('malformed', 'torch.ops.higher_order.with_effects says no operator');
      const made = this.#made(target, inputs.slice(2));
      return new List([null, ...(made instanceof List ? made.items : [made])]);
    }
    if (name === 'wrap_with_set_grad_enabled') return this.#inner(args[1], args.slice(2));
    if (name === 'wrap_with_autocast') {
      if (plain(2) !== null && numberOf(plain(2)!) !== 0)
        throw new ModelError('unsupported', 'torch.autocast computes in a data type of its own within the program');
      return this.#inner(args[4], args.slice(5));
    }
    if (name !== 'cond') throw new ModelError('unsupported', `torch.ops.higher_order.${name} is not translated`);
    const taken = plain(0);
    const [, operands] = union(args[3] ?? {});
    const given = array(operands).map((one) => (isObject(one) && 'name' in one ? { as_tensor: one } : object(one)));
    if (taken !== null) return this.#inner(args[numberOf(taken) === 0 ? 2 : 1], given);
    return this.#chosen(this.#item(args[0] ?? {}), this.#inner(args[1], given), this.#inner(args[2], given));
  }

  /** Results of both branches, of which the model chooses when it runs: branches change nothing outside, and what was not chosen is not seen. */
  #chosen(condition: Item, taken: List, other: List): Item {
    if (condition instanceof Unknown) throw BEHIND_OBSTACLE;
    const shape = condition instanceof TensorItem ? condition.value.shape : null;
    if (!shape?.every((size) => size === 1)) throw new ModelError('unsupported', 'torch.cond: what it depends on is not one truth');
    const truth = callOperator('reshape', [condition, new List([])], new Map(), this.#shop);
    return new List(taken.items.map((item, i) => callOperator('where', [truth, item, other.items[i] ?? null], new Map(), this.#shop)));
  }

  /** The graph of an argument, with values for what it takes. */
  #inner(argument: JsonObject | undefined, given: readonly JsonObject[]): List {
    if (++this.#depth > MAX_DEPTH) throw new ModelError('unsafe', `graphs within graphs are more than ${MAX_DEPTH} deep`);
    const graph = field(field(argument ?? {}, 'as_graph'), 'graph');
    const items = given.map((one) => this.#item(one));
    const outer = this.#values;
    this.#values = new Map();
    try {
      list(graph, 'inputs').forEach((input, i) => {
        const [, value] = union(object(input));
        if (isObject(value)) this.#values.set(String(value.name ?? value.as_name), items[i] ?? null);
      });
      for (const [i, node] of list(graph, 'nodes').entries()) this.#node(object(node), i);
      return new List(list(graph, 'outputs').map((output) => this.#item(object(output))));
    } finally {
      this.#values = outer;
      this.#depth--;
    }
  }

  #element(inputs: readonly JsonObject[]): Item {
    const [of, index] = inputs.map((input) => this.#item(field(input, 'arg')));
    if (of instanceof Unknown) return of;
    const at = knownScalar(index ?? null);
    if (!(of instanceof List || of instanceof Tuple) || at === null || !(numberOf(at) in of.items))
      throw new ModelError('unsupported', '_operator.getitem of something that is no list');
    return of.items[numberOf(at)]!;
  }

  /** Gives what a node makes the names of its outputs. */
  #name(outputs: readonly JsonObject[], made: Item): void {
    const names = outputs.flatMap((output): (string | null)[] => {
      const [form, value] = union(output);
      if (form === 'as_tensors') return Array.isArray(value) ? value.map((one) => String(object(one).name)) : [];
      return isObject(value) ? [String(value.name ?? value.as_name)] : [null];
    });
    const isMany = outputs.length > 1 || (outputs.length === 1 && union(outputs[0]!)[0] === 'as_tensors');
    if (made instanceof Unknown) {
      for (const name of names) if (name !== null) this.#values.set(name, made);
    } else if (!isMany) {
      // A list is made by an operator whose other results nothing reads.
      const [name] = names;
      if (name !== undefined && name !== null) this.#values.set(name, made instanceof List && made.items.length > 0 ? made.items[0]! : made);
    } else {
      const items = made instanceof List || made instanceof Tuple ? made.items : [made];
      names.forEach((name, i) => {
        if (name !== null) this.#values.set(name, items[i] ?? new Opaque('a result that is not made'));
      });
    }
  }

  /** An argument, which is a union of many forms. */
  #item(argument: JsonObject): Item {
    const [form, value] = union(argument);
    switch (form) {
      case 'as_none':
        return null;
      case 'as_tensor':
        return this.#value(text(object(value), 'name'));
      case 'as_tensors':
        return new List(array(value).map((one) => this.#value(text(object(one), 'name'))));
      case 'as_optional_tensor':
        return this.#item(object(value));
      case 'as_optional_tensors':
      case 'as_sym_ints':
      case 'as_sym_floats':
      case 'as_sym_bools':
        return new List(array(value).map((one) => this.#item(object(one))));
      case 'as_sym_int':
      case 'as_sym_float':
      case 'as_sym_bool':
        return this.#item(object(value));
      case 'as_name':
        return this.#value(String(value));
      case 'as_int':
        return Number(value);
      case 'as_float':
        return new Real(realOf(value));
      case 'as_bool':
        return value === true;
      case 'as_string':
      case 'as_operator':
        return String(value);
      case 'as_ints':
        return new List(array(value).map(Number));
      case 'as_floats':
        return new List(array(value).map((one) => new Real(realOf(one))));
      case 'as_bools':
        return new List(array(value).map((one) => one === true));
      case 'as_strings':
        return new List(array(value).map(String));
      case 'as_scalar_type':
        return scalarTypeOf(dtypeOf(value));
      case 'as_float_lists':
        return new List(array(value).map((one) => new List(array(one).map((number) => new Real(realOf(number))))));
      case 'as_int_lists':
        return new List(array(value).map((one) => new List(array(one).map(Number))));
      case 'as_nested_tensors':
        return new List(array(value).map((list) => new List(array(list).map((one) => this.#value(text(object(one), 'name'))))));
      case 'as_string_to_argument':
        return new Map(Object.entries(object(value)).map(([key, one]) => [key, this.#item(object(one))]));
      case 'as_memory_format':
      case 'as_layout':
      case 'as_device':
        return new Opaque('where a tensor lies');
      default:
        throw new ModelError('unsupported', `an argument of the form ${form} is not followed`);
    }
  }

  #value(name: string): Item {
    const item = this.#values.get(name);
    if (item === undefined) throw new ModelError('malformed', `"${name.slice(0, 200)}" is read, which no earlier node makes`);
    return item;
  }

  #outputs(): readonly Output[] {
    const found: Output[] = [];
    const specs = outputSpecs(this.#signature, this.#graph);
    const names = outputNames(this.program.document, specs.filter((spec) => union(spec)[0] === 'user_output').length, this.options.file);
    let at = 0;
    for (const spec of specs) {
      const [kind, inner] = union(spec);
      if (kind !== 'user_output') {
        if (kind === 'buffer_mutation') this.#changes(`the buffer ${String(object(inner).buffer_name)}`);
        else if (kind === 'parameter_mutation') this.#changes(`the parameter ${String(object(inner).parameter_name)}`);
        // What becomes of the caller's own tensor is no result, and tokens hold nothing.
        else if (kind !== 'user_input_mutation' && kind !== 'token')
          this.#obstacles.add(new ModelError('unsupported', `an output of the kind ${kind} is not known`), 'signature', '');
        continue;
      }
      const name = names[at++]!;
      const item = this.#item(field(object(inner), 'arg'));
      if (item === null || item instanceof Unknown) continue;
      const scalar = knownScalar(item);
      const value =
        item instanceof TensorItem
          ? item.value
          : scalar === null
            ? null
            : this.#shop.build.numbers(scalar instanceof Real ? 'float32' : 'int64', numberOf(scalar));
      if (value) found.push({ name, value });
      else this.#obstacles.add(new ModelError('unsupported', 'it returns something that is no tensor'), 'signature', '');
    }
    failWith(this.#obstacles, this.#shop);
    if (found.length === 0) throw new ModelError('unsupported', 'it returns no tensor');
    return found;
  }
}

/** Graphs of branches and of blocks without gradients lie a few deep. */
const MAX_DEPTH = 64;

/** What each input of the graph is; torch 2.1 had dictionaries of names instead. */
function inputSpecs(signature: JsonObject, graph: JsonObject): readonly JsonObject[] {
  if (!isObject(signature.inputs_to_parameters)) return list(signature, 'input_specs').map(object);
  const names = (kind: string) => (isObject(signature[kind]) ? (signature[kind] as JsonObject) : {});
  return list(graph, 'inputs').map((input) => {
    const arg = object(input);
    const [form, value] = union(arg);
    const name = isObject(value) ? String(value.name ?? value.as_name) : '';
    for (const [kind, field, key] of OLD_INPUTS) {
      const own = names(field)[name];
      if (form === 'as_tensor' && typeof own === 'string') return { [kind]: { arg: { name }, [key]: own } };
    }
    return { user_input: { arg } };
  });
}

const OLD_INPUTS = [
  ['parameter', 'inputs_to_parameters', 'parameter_name'],
  ['buffer', 'inputs_to_buffers', 'buffer_name'],
  ['tensor_constant', 'inputs_to_lifted_tensor_constants', 'tensor_constant_name'],
] as const;

function outputSpecs(signature: JsonObject, graph: JsonObject): readonly JsonObject[] {
  if (!isObject(signature.inputs_to_parameters)) return list(signature, 'output_specs').map(object);
  const changed = isObject(signature.buffers_to_mutate) ? signature.buffers_to_mutate : {};
  return list(graph, 'outputs').map((output) => {
    const arg = object(output);
    const [, value] = union(arg);
    const buffer = isObject(value) ? changed[String(value.name)] : undefined;
    return buffer === undefined ? { user_output: { arg } } : { buffer_mutation: { arg: value, buffer_name: buffer } };
  });
}

/** How what is returned is built of tuples, lists and dictionaries says what its parts are called; keys are names, as in TorchScript. */
function outputNames({ graph_module: module }: JsonObject, count: number, file: string): readonly string[] {
  const names: string[] = [];
  const walk = (given: unknown, name: string, depth: number): void => {
    const { type, context, children_spec: children } = object(given);
    if (depth > MAX_DEPTH) throw new ModelError('unsafe', `what it returns is more than ${MAX_DEPTH} lists in lists`);
    if (type === null) names.push(name);
    else {
      const keys: unknown = typeof context === 'string' && context.startsWith('["') ? parsed(context, file) : null;
      array(children).forEach((child, i) => {
        const key: unknown = Array.isArray(keys) ? keys[i] : undefined;
        walk(child, typeof key === 'string' ? key.slice(0, 200) : `${name}_${i}`, depth + 1);
      });
    }
  };
  const [call] = isObject(module) && Array.isArray(module.module_call_graph) ? module.module_call_graph : [];
  const spec = isObject(call) && isObject(call.signature) ? call.signature.out_spec : undefined;
  if (typeof spec === 'string') {
    walk(array(parsed(spec, file))[1], 'output', 0);
  }
  if (names.length !== count) return Array.from({ length: count }, (_, i) => (count === 1 ? 'output' : `output_${i}`));
  return count === 1 ? [names[0]!.replace(/^output_0$/, 'output')] : names;
}

/** JSON in a text of JSON. */
function parsed(text: string, file: string): unknown {
  checkJson(text, file);
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ModelError('malformed', 'what it returns is described by a text that is no JSON', {}, cause);
  }
}

/** Infinite numbers are words. */
function realOf(value: unknown): number {
  if (typeof value === 'string' && /^[-+]?inf(inity)?$/i.test(value)) return value.startsWith('-') ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  return Number(value);
}

function boundOf(value: unknown, missing: number): number {
  return typeof value === 'number' ? value : missing;
}

/** A size in numbers, or the name of the symbol that it is; one that is worked out from symbols has none of its own. */
function sizeOf(size: JsonObject, own: string): Dim {
  if (typeof size.as_int === 'number') return size.as_int;
  const expression = isObject(size.as_expr) ? String(size.as_expr.expr_str) : '';
  const symbol = /^(?:Symbol\('(\w+)'.*\)|([A-Za-z_]\w*))$/.exec(expression);
  return symbol?.[1] ?? symbol?.[2] ?? `?${own}`;
}

function dtypeOf(code: unknown): DType {
  const dtype = typeof code === 'number' ? EXPORTED_TYPES[code] : undefined;
  if (!dtype) throw new ModelError('unsupported', `a tensor has the data type ${String(code).slice(0, 40)}, which is not known`);
  return dtype;
}

/** The only entry of an object that is one of several forms; the others are absent, or null in files of 2023. */
function union(given: JsonObject): readonly [string, unknown] {
  const entries = Object.entries(given).filter(([, value]) => value !== null && value !== undefined);
  if (entries.length === 0 && 'as_none' in given) return ['as_none', null];
  if (entries.length !== 1)
    throw new ModelError('malformed', `one of several forms was expected, found ${entries.map(([name]) => name).join(', ') || 'none'}`.slice(0, 300));
  return entries[0]!;
}

function object(value: unknown): JsonObject {
  if (isObject(value)) return value;
  throw new ModelError('malformed', 'an object was expected in the program, found something else');
}

function array(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw new ModelError('malformed', 'a list was expected in the program, found something else');
}

function field(of: JsonObject, name: string): JsonObject {
  if (isObject(of[name])) return of[name];
  throw new ModelError('malformed', `the program lacks "${name}"`);
}

function list(of: JsonObject, name: string): readonly unknown[] {
  if (Array.isArray(of[name])) return of[name];
  throw new ModelError('malformed', `the program lacks the list "${name}"`);
}

function text(of: JsonObject, name: string): string {
  if (typeof of[name] === 'string') return of[name];
  throw new ModelError('malformed', `the program lacks the text "${name}"`);
}
