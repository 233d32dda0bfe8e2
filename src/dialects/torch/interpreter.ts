/**
 * Follows a TorchScript program: nothing is run, but what its code would do with tensors becomes layers, and what it does with numbers,
 * lists and shapes that are known is done. Calls of modules and functions are put in their places; branches and loops are followed as far
 * as what decides them is known.
 *
 * @see https://pytorch.org/docs/stable/jit_language_reference.html
 */
import { PickleObject } from '../../containers/pickle/index.js';
import type { ClassCode, CodeFile, Expression, FunctionCode, Statement } from '../../containers/torchscript/syntax.js';
import { ModelError } from '../../errors.js';
import type { Turns } from '../../model/builder.js';
import type { Tensor } from '../../model/tensor.js';
import { isBehindObstacle, type Workshop } from './call.js';
import { Callable, type Item, knownScalar, List, numberOf, ObjectItem, Opaque, Real, TensorItem, Tuple, typeName, Unknown } from './items.js';
import { callOperator, isObstacle, type Obstacles } from './operators.js';
import { keyOf } from './rules/language.js';

/** Where a program is: its code, its constants, and its tensors. */
export interface Program {
  /** Code by its dotted name ('__torch__.torchvision.models.resnet'), and what its file is called; null where there is none. */
  code(module: string): { readonly file: string; readonly code: CodeFile } | null;
  /** Of the operators' meanings. */
  readonly version: number;
  /** What CONSTANTS.c0 and the like are. */
  readonly constants: readonly unknown[];
  /** The tensor that a value of the pickle is; undefined for any other value. */
  tensor(value: unknown): Tensor | undefined;
}

/** Statements and expressions that are followed; the largest scripted nets take some hundred thousand. */
const MAX_STEPS = 2_000_000;
/** Operators on tensors, numbers and lists, loops unrolled; the largest scripted nets come to some ten thousand. */
const MAX_OPERATORS = 50_000;
/** Calls within calls. */
const MAX_CALLS = 100;
/** Calls, blocks and brackets within each other. */
const MAX_DEPTH = 1200;
/** Functions of PyTorch that programs call by the name of their operator. */
const NAMESPACES: Readonly<Record<string, string>> = { 'torch.': '', 'ops.aten.': '', 'ops.prim.': 'prim::' };

/** Where a program stops: what it would do next is known only when it runs. */
class Stopped {
  constructor(readonly error: ModelError) {}
}

interface Frame {
  readonly names: Map<string, Item>;
  readonly file: string;
}

export class Interpreter {
  readonly #tensors = new Map<unknown, TensorItem>();
  readonly #leaves = new Map<PickleObject, boolean>();
  #steps = 0;
  #operators = 0;
  #calls = 0;
  #depth = 0;
  #where = '';

  constructor(
    readonly program: Program,
    readonly shop: Workshop,
    readonly obstacles: Obstacles,
  ) {}

  /**
   * What the program's method gives for its arguments; null where it cannot be followed to its end, which the obstacles tell. A turn is a
   * statement of the method itself: those of what it calls are followed at once, as they are in the middle of its expressions.
   *
   * @throws ModelError 'unsafe' for programs that take more work than any net's
   */
  *run(self: ObjectItem, method: FunctionCode, file: string, args: readonly Item[]): Turns<Item | null> {
    try {
      return yield* this.#followed(method, file, [self, ...args], new Map(), self);
    } catch (error) {
      if (!(error instanceof Stopped)) throw error;
      this.obstacles.add(error.error, this.#where, this.shop.path);
      return null;
    }
  }

  /** The code of an object's class. @throws ModelError 'malformed' */
  classOf({ object }: ObjectItem): { readonly file: string; readonly code: ClassCode } {
    const { module, name, path } = object.type;
    const found = this.program.code(module);
    const code = found?.code.classes.get(name);
    if (!found || !code) throw new ModelError('malformed', `there is no code of the class ${path.slice(0, 200)}`);
    return { file: found.file, code };
  }

  #invoke(code: FunctionCode, file: string, args: readonly Item[], named: ReadonlyMap<string, Item>, self: ObjectItem | null): Item {
    const turns = this.#followed(code, file, args, named, self);
    for (;;) {
      const turn = turns.next();
      if (turn.done) return turn.value;
    }
  }

  *#followed(code: FunctionCode, file: string, args: readonly Item[], named: ReadonlyMap<string, Item>, self: ObjectItem | null): Turns<Item> {
    if (++this.#calls > MAX_CALLS) throw new ModelError('unsafe', `${file}: its functions call each other more than ${MAX_CALLS} deep`);
    const { shop } = this;
    const [path, isLeaf, where] = [shop.path, shop.isLeaf, this.#where];
    if (self) {
      shop.path = self.path;
      shop.isLeaf = this.#isLeaf(self.object);
    }
    const frame: Frame = { names: new Map(), file };
    if (args.length > code.parameters.length) throw this.#stop(`${code.name} takes ${code.parameters.length} arguments, ${args.length} are given`, 'malformed');
    for (const [i, { name, usual }] of code.parameters.entries()) {
      const given = i < args.length ? args[i] : named.get(name);
      if (given !== undefined) frame.names.set(name, given);
      else if (usual) frame.names.set(name, this.#eval(usual, frame));
      else throw this.#stop(`${code.name} lacks its argument ${name}`, 'malformed');
    }
    const returned = yield* this.#block(code.body, frame);
    shop.path = path;
    shop.isLeaf = isLeaf;
    this.#where = where;
    this.#calls--;
    return returned ? returned.value : null;
  }

  /** Whether a module has no others inside: its layers then bear its name. */
  #isLeaf(object: PickleObject): boolean {
    let leaf = this.#leaves.get(object);
    if (leaf === undefined) {
      const state = object.state instanceof Map ? [...object.state.values()] : [];
      leaf = !state.some((value) => value instanceof PickleObject && value.type.module.startsWith('__torch__'));
      this.#leaves.set(object, leaf);
    }
    return leaf;
  }

  #stop(problem: string, kind: ModelError['kind'] = 'unsupported'): Stopped {
    return new Stopped(new ModelError(kind, problem));
  }

  #step(): void {
    if (++this.#steps > MAX_STEPS) throw new ModelError('unsafe', `the program does more than ${MAX_STEPS} steps, which no net needs (${this.#where})`);
  }

  /** What a block returns; null where it ends without. */
  *#block(statements: readonly Statement[], frame: Frame): Turns<{ readonly value: Item } | null> {
    if (++this.#depth > MAX_DEPTH) throw new ModelError('unsafe', `the program is nested deeper than ${MAX_DEPTH} (${this.#where})`);
    for (const statement of statements) {
      yield;
      this.#step();
      this.#where = `${frame.file}, line ${statement.line}`;
      const returned = yield* this.#statement(statement, frame);
      if (returned) {
        this.#depth--;
        return returned;
      }
    }
    this.#depth--;
    return null;
  }

  *#statement(statement: Statement, frame: Frame): Turns<{ readonly value: Item } | null> {
    switch (statement.kind) {
      case 'assign':
        this.#assign(statement.targets, statement.unpacks, this.#eval(statement.value, frame), frame);
        return null;
      case 'expression':
        this.#eval(statement.value, frame);
        return null;
      case 'if':
        return yield* this.#block(this.#condition(statement.condition, frame) ? statement.then : statement.otherwise, frame);
      case 'for':
        return yield* this.#for(statement, frame);
      case 'while':
        while (this.#condition(statement.condition, frame)) {
          this.#step();
          const returned = yield* this.#block(statement.body, frame);
          if (returned) return returned;
        }
        return null;
      case 'return':
        return { value: statement.value ? this.#eval(statement.value, frame) : null };
      default:
        return null;
    }
  }

  #condition(expression: Expression, frame: Frame): boolean {
    const item = this.#eval(expression, frame);
    const scalar = item instanceof Unknown ? null : knownScalar(item);
    if (scalar === null) throw this.#stop('which branch is taken, or how often, is known only when the model runs');
    return numberOf(scalar) !== 0;
  }

  *#for({ target, over, body }: Extract<Statement, { kind: 'for' }>, frame: Frame): Turns<{ readonly value: Item } | null> {
    const items = this.#iterated(over, frame);
    for (let i = 0; i < items.length; i++) {
      this.#step();
      this.#assign([target], false, items.at(i), frame);
      const returned = yield* this.#block(body, frame);
      if (returned) return returned;
    }
    return null;
  }

  /** A range of numbers, or a list. */
  #iterated(over: Expression, frame: Frame): { readonly length: number; at(index: number): Item } {
    if (over.kind === 'call' && over.callee.kind === 'name' && over.callee.name === 'range') {
      const bounds = over.args.map((arg) => {
        const scalar = knownScalar(this.#eval(arg, frame));
        if (scalar === null) throw this.#stop('how often a loop runs is known only when the model runs');
        return numberOf(scalar);
      });
      const [start, end, step] = bounds.length === 1 ? [0, bounds[0]!, 1] : [bounds[0] ?? 0, bounds[1] ?? 0, bounds[2] ?? 1];
      return { length: step === 0 ? 0 : Math.max(0, Math.ceil((end - start) / step)), at: (index) => start + index * step };
    }
    const item = this.#eval(over, frame);
    if (item instanceof List || item instanceof Tuple) return { length: item.items.length, at: (index) => item.items[index]! };
    throw this.#stop(`a loop over ${typeName(item)} is not followed`);
  }

  #assign(targets: readonly Expression[], unpacks: boolean, value: Item, frame: Frame): void {
    if (!unpacks) return this.#set(targets[0]!, value, frame);
    const items = value instanceof List || value instanceof Tuple ? value.items : null;
    if (value instanceof Unknown) {
      for (const target of targets) this.#set(target, value, frame);
      return;
    }
    if (!items) throw this.#stop(`${typeName(value)} is unpacked, which is not followed`);
    if (items.length !== targets.length) throw this.#stop(`${items.length} values are unpacked into ${targets.length} names`, 'malformed');
    targets.forEach((target, i) => {
      this.#set(target, items[i]!, frame);
    });
  }

  #set(target: Expression, value: Item, frame: Frame): void {
    if (target.kind === 'name') frame.names.set(target.name, value);
    else if (target.kind === 'attribute')
      throw this.#stop(`the program changes its attribute ${target.name} while it runs: what it gives depends on what it was given before`);
    else throw this.#stop('a value is assigned to something that is no name', 'malformed');
  }

  #eval(expression: Expression, frame: Frame): Item {
    this.#step();
    if (++this.#depth > MAX_DEPTH) throw new ModelError('unsafe', `the program is nested deeper than ${MAX_DEPTH} (${this.#where})`);
    const item = this.#evaluated(expression, frame);
    this.#depth--;
    return item;
  }

  #evaluated(expression: Expression, frame: Frame): Item {
    switch (expression.kind) {
      case 'integer':
        return expression.value;
      case 'float':
        return new Real(expression.value);
      case 'text':
      case 'flag':
        return expression.value;
      case 'none':
        return null;
      case 'name':
        return frame.names.get(expression.name) ?? (frame.names.has(expression.name) ? null : new Callable(expression.name));
      case 'attribute':
        return this.#attribute(this.#eval(expression.of, frame), expression.name);
      case 'call':
        return this.#call(expression, frame);
      case 'element':
        return this.#element(this.#eval(expression.of, frame), this.#eval(expression.index, frame));
      case 'list':
        return new List(expression.items.map((item) => this.#eval(item, frame)));
      case 'tuple':
        return new Tuple(expression.items.map((item) => this.#eval(item, frame)));
      case 'dict':
        return new Map(expression.entries.map(([key, value]) => [keyOf(this.#eval(key, frame)), this.#eval(value, frame)]));
      case 'negative': {
        return this.#operator('neg', [this.#eval(expression.of, frame)], new Map());
      }
    }
  }

  #attribute(of: Item, name: string): Item {
    if (of instanceof Callable) return of.path === 'CONSTANTS' ? this.#constant(name) : new Callable(`${of.path}.${name}`);
    if (of instanceof ObjectItem) return this.#objectAttribute(of, name);
    if (of instanceof Tuple && of.fields) {
      const at = of.fields.indexOf(name);
      if (at >= 0) return of.items[at]!;
    }
    if (of instanceof Unknown) return of;
    if (of instanceof TensorItem) return this.#operator(`prim::${name}`, [of], new Map());
    throw this.#stop(`${typeName(of)} has no ${name}`);
  }

  #constant(name: string): Item {
    const index = /^c(\d+)$/.exec(name)?.[1];
    if (index === undefined || !(Number(index) in this.program.constants))
      throw this.#stop(`the program reads the constant ${name}, which the file lacks`, 'malformed');
    return this.#fromPickle(this.program.constants[Number(index)], null, `CONSTANTS.${name}`);
  }

  #objectAttribute(item: ObjectItem, name: string): Item {
    const { object, path } = item;
    const state = object.state instanceof Map ? object.state : new Map<unknown, unknown>();
    if (name === 'training' && this.shop.inference) return false;
    if (state.has(name)) {
      const type = this.classOf(item).code.attributes.get(name) ?? null;
      return this.#fromPickle(state.get(name), type, path === '' ? name : `${path}.${name}`);
    }
    const { file, code } = this.classOf(item);
    const constant = code.constants.get(name);
    if (constant) return this.#eval(constant, { names: new Map(), file });
    throw this.#stop(`${typeName(item)} has no attribute ${name}`, 'malformed');
  }

  /** @param type as the class declares it, for what the pickle does not tell apart */
  #fromPickle(value: unknown, type: Expression | null, path: string): Item {
    this.#step();
    const tensor = this.program.tensor(value);
    if (tensor) {
      let item = this.#tensors.get(value);
      if (!item) {
        item = new TensorItem(this.shop.build.constant(tensor), null, false, path.startsWith('CONSTANTS.') ? null : path);
        this.#tensors.set(value, item);
      }
      return item;
    }
    if (value instanceof PickleObject)
      return value.type.module.startsWith('__torch__') ? new ObjectItem(value, path) : new Opaque(`an object of ${value.type.path}`);
    const inside = innerTypes(type);
    if (Array.isArray(value)) {
      const items = value.map((one, i) => this.#fromPickle(one, inside.of[inside.name === 'Tuple' ? i : 0] ?? null, `${path}.${i}`));
      return inside.name === 'Tuple' ? new Tuple(items) : new List(items);
    }
    if (value instanceof Map)
      return new Map([...value].map(([key, one]) => [this.#fromPickle(key, null, path), this.#fromPickle(one, inside.of[1] ?? null, `${path}.${key}`)]));
    if (typeof value === 'number') return inside.name === 'float' || !Number.isInteger(value) ? new Real(value) : value;
    if (typeof value === 'bigint') return Number(value);
    if (typeof value === 'boolean' || typeof value === 'string') return value;
    return value === null || value === undefined ? null : new Opaque('something of the file that is not known');
  }

  #element(of: Item, index: Item): Item {
    if (of instanceof Unknown || index instanceof Unknown) return new Unknown();
    if (of instanceof Map) {
      const key = keyOf(index);
      if (!of.has(key)) throw this.#stop('a dictionary lacks the key that is looked up');
      return of.get(key)!;
    }
    const scalar = knownScalar(index);
    if (scalar === null) throw this.#stop('which element is taken is known only when the model runs');
    if (of instanceof TensorItem) return this.#operator('select', [of, 0, numberOf(scalar)], new Map());
    if (!(of instanceof List || of instanceof Tuple)) throw this.#stop(`${typeName(of)} has no elements`);
    const at = numberOf(scalar) < 0 ? numberOf(scalar) + of.items.length : numberOf(scalar);
    if (!(at in of.items)) throw this.#stop(`element ${numberOf(scalar)} of ${of.items.length} is read`);
    return of.items[at]!;
  }

  #call({ callee, args, named }: Extract<Expression, { kind: 'call' }>, frame: Frame): Item {
    const evaluated = () => args.map((arg) => this.#eval(arg, frame));
    const keywords = () => new Map(named.map(([name, value]) => [name, this.#eval(value, frame)]));
    if (callee.kind === 'attribute') {
      const of = this.#eval(callee.of, frame);
      if (of instanceof ObjectItem) return this.#method(of, callee.name, evaluated(), keywords());
      if (of instanceof Unknown) return of;
      if (!(of instanceof Callable)) return this.#operator(callee.name, [of, ...evaluated()], keywords());
      return this.#named(`${of.path}.${callee.name}`, args, evaluated, keywords, frame);
    }
    const called = this.#eval(callee, frame);
    if (called instanceof Unknown) return called;
    if (!(called instanceof Callable)) throw this.#stop(`${typeName(called)} is called`);
    return this.#named(called.path, args, evaluated, keywords, frame);
  }

  #method(self: ObjectItem, name: string, args: readonly Item[], named: ReadonlyMap<string, Item>): Item {
    const { file, code } = this.classOf(self);
    const method = code.methods.get(name);
    if (!method) throw this.#stop(`${self.object.type.path.slice(0, 200)} has no method ${name}`, 'malformed');
    return this.#invoke(method, file, [self, ...args], named, self);
  }

  /** A call of something that has a name in the program, in Python, or in PyTorch. */
  #named(path: string, args: readonly Expression[], evaluated: () => Item[], keywords: () => ReadonlyMap<string, Item>, frame: Frame): Item {
    switch (path) {
      case 'annotate':
      case 'unchecked_cast':
        return this.#eval(args[1] ?? { kind: 'none' }, frame);
      case 'uninitialized':
        return new Opaque('nothing yet');
      case 'getattr':
        return this.#getattr(evaluated());
      case 'int':
      case 'float':
      case 'bool':
      case 'str':
        return this.#operator({ int: 'Int', float: 'Float', bool: 'Bool', str: 'str' }[path], evaluated(), new Map());
      case 'ops.prim.RaiseException': {
        const [message] = evaluated();
        throw this.#stop(`the program raises an exception with what flows in: ${JSON.stringify(String(message).slice(0, 200))}`);
      }
      default:
    }
    if (path.startsWith('__torch__.')) return this.#own(path, evaluated(), keywords());
    for (const [prefix, namespace] of Object.entries(NAMESPACES)) {
      const name = path.slice(prefix.length);
      if (path.startsWith(prefix) && !name.includes('.')) return this.#operator(`${namespace}${name}`, evaluated(), keywords());
    }
    const [, namespace, name] = /^ops\.(\w+)\.(\w+)$/.exec(path) ?? [];
    return this.#operator(name === undefined ? path : `${namespace}::${name}`, evaluated(), keywords());
  }

  #getattr([of, name]: readonly Item[]): Item {
    if (typeof name !== 'string') throw this.#stop('an attribute is read whose name is known only when the model runs');
    return this.#attribute(of ?? null, name);
  }

  /** A function of the program, or a class of it that is a named tuple. */
  #own(path: string, args: readonly Item[], named: ReadonlyMap<string, Item>): Item {
    const at = path.lastIndexOf('.');
    const found = this.program.code(path.slice(0, at));
    const name = path.slice(at + 1);
    const code = found?.code.functions.get(name);
    if (found && code) return this.#invoke(code, found.file, args, named, null);
    const type = found?.code.classes.get(name);
    if (!type) throw this.#stop(`there is no code of ${path.slice(0, 200)}`, 'malformed');
    if (type.base !== 'NamedTuple') throw this.#stop(`the program makes an object of ${path.slice(0, 200)}, which is not followed`);
    return new Tuple(args, [...type.attributes.keys()]);
  }

  #operator(name: string, args: readonly Item[], named: ReadonlyMap<string, Item>): Item {
    if (++this.#operators > MAX_OPERATORS)
      throw new ModelError('unsafe', `the program comes to more than ${MAX_OPERATORS} operators, which no net needs (${this.#where})`);
    try {
      return callOperator(name, args, named, this.shop);
    } catch (error) {
      if (isBehindObstacle(error)) return new Unknown();
      if (!isObstacle(error)) throw error;
      this.obstacles.add(error, this.#where, this.shop.path);
      return new Unknown();
    }
  }
}

/** 'List' and [float] of `List[float]`; what may be None is what it may be else. */
function innerTypes(type: Expression | null): { readonly name: string; readonly of: readonly Expression[] } {
  if (type?.kind === 'name') return { name: type.name, of: [] };
  if (type?.kind !== 'element' || type.of.kind !== 'name') return { name: '', of: [] };
  const of = type.index.kind === 'tuple' ? type.index.items : [type.index];
  return type.of.name === 'Optional' || type.of.name === 'Final' ? innerTypes(of[0] ?? null) : { name: type.of.name, of };
}
