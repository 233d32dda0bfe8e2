/**
 * A pickle machine that rebuilds data and nothing else.
 *
 * Python's own unpickler calls whatever a file names. Here a name is only ever a name: the few functions that rebuild tensors and
 * containers are given by the caller, and whatever else a pickle makes or calls becomes an inert record that is told by its name.
 *
 * What a pickle may cost follows from its size: everything that is kept or copied is counted before it is made.
 *
 * @see https://github.com/python/cpython/blob/main/Lib/pickletools.py, which documents every opcode
 */
import { breathe } from '../../bytes/breath.js';
import type { ByteSource } from '../../bytes/byte-source.js';
import { ModelError } from '../../errors.js';
import { isDangerous } from './danger.js';
import { decodeText, latin1Bytes, type TextEncoding } from './text.js';
import { isBuildable, PickleGlobal, PickleObject, PickleSpan } from './values.js';
import { BEYOND, Window } from './window.js';

export interface PickleHooks {
  /**
   * Functions that may be called, by 'module.name'.
   *
   * A ModelError of kind 'unsupported' makes an inert record of the call; any other is the file's error.
   */
  readonly callables: Readonly<Record<string, (args: readonly unknown[]) => unknown>>;
  /** Classes and functions of which inert records are made without a word, by 'module.name'. */
  readonly inert: ReadonlySet<string>;
  /** Told every class and function that the pickle names; where it is there, nothing is refused for its name. */
  readonly onName?: (module: string, name: string) => void;
  /** Resolves a persistent id (a storage). An 'unsupported' ModelError makes an inert record of it. */
  readonly persistentLoad?: (id: unknown) => unknown;
}

export interface Unpickled {
  readonly value: unknown;
  /** Position in the source behind STOP. */
  readonly end: number;
  /** The first inert record of each class or function that the hooks do not know, by its path. */
  readonly opaque: ReadonlyMap<string, PickleObject>;
}

/** Texts and bytes up to this length are kept; longer ones are arrays, logs and the like, and stay where they are. */
const MAX_KEPT = 2 ** 16;
/** Of a class, a function, a number in digits. No program has such names. */
const MAX_NAME = 2 ** 12;
/** Python's own integers have a few bytes; sizes of files and seeds of generators are the largest seen, with 2,500. */
const MAX_INTEGER_BYTES = 2 ** 12;
/** Pickles nest as deep as their modules do. */
const MAX_MARKS = 100_000;
/** Of the largest checkpoints, with some hundred thousand tensors. */
const MAX_OPERATIONS = 40_000_000;
/** Memory that a pickle may take: what small ones need, so much for each of its bytes, and never more than this. */
const FREE_COST = 2 ** 23;
const COST_PER_BYTE = 64;
const MAX_COST = 3 * 2 ** 25;
/** Bytes that V8 takes for what a pickle makes, rounded up. */
const COST = { array: 32, firstItem: 160, item: 12, map: 200, entry: 64, record: 120, text: 40, number: 16, memo: 12, result: 300 } as const;

/** Operations between two looks at the clock. */
const OPERATIONS_AT_A_TIME = 20_000;

/**
 * Runs one pickle from `start` on.
 *
 * @throws ModelError 'unsafe' when it names what runs code, or costs more than its size explains; 'malformed' when it is no pickle
 */
export async function unpickle(source: ByteSource, start: number, hooks: PickleHooks): Promise<Unpickled> {
  const machine = new PickleMachine(new Window(source, start), start, hooks);
  for (;;) {
    const done = machine.run();
    if (done === 'stopped') return { value: machine.value, end: machine.window.position, opaque: machine.opaque };
    if (done === 'beyond') await machine.window.advance();
    await breathe();
  }
}

const NO_ITEMS: readonly unknown[] = [];

class PickleMachine {
  value: unknown = null;
  readonly opaque = new Map<string, PickleObject>();
  #stack: unknown[] = [];
  readonly #marks: unknown[][] = [];
  readonly #memo = new Map<number, unknown>();
  readonly #globals = new Map<string, PickleGlobal>();
  /** Of the stack and those below the marks. */
  #height = 0;
  #highest = 0;
  #operations = 0;
  #cost = 0;
  #opAt: number;

  constructor(
    readonly window: Window,
    readonly start: number,
    readonly hooks: PickleHooks,
  ) {
    this.#opAt = start;
  }

  /** Runs until STOP, until the window has to move, or for a while. An operation reads all of its arguments before it changes anything. */
  run(): 'stopped' | 'beyond' | 'running' {
    const until = this.#operations + OPERATIONS_AT_A_TIME;
    try {
      while (this.#operations < until) {
        this.#opAt = this.window.position;
        const op = this.window.u8();
        if (op === 0x2e) {
          this.value = this.#pop();
          return 'stopped';
        }
        this.#step(op);
        this.#operations++;
      }
    } catch (error) {
      if (error !== BEYOND) throw error;
      this.window.position = this.#opAt;
      return 'beyond';
    }
    if (this.#operations > MAX_OPERATIONS) throw this.#error('unsafe', 'the pickle does more than any model asks for');
    return 'running';
  }

  #step(op: number): void {
    const { window } = this;
    switch (String.fromCharCode(op)) {
      case '\x80': // PROTO
        if (window.u8() > 5) throw this.#error('unsupported', 'the pickle protocol is newer than 5');
        return;
      case '\x95': // FRAME
        window.u64();
        return;
      case '(':
        if (this.#marks.length >= MAX_MARKS) throw this.#error('unsafe', 'the pickle nests too deeply');
        this.#marks.push(this.#stack);
        this.#stack = [];
        return;
      case '0':
        if (this.#stack.length > 0) this.#pop();
        else this.#popMark();
        return;
      case '1':
        this.#popMark();
        return;
      case '2':
        return this.#push(this.#top());
      case 'N':
        return this.#push(null);
      case '\x88':
        return this.#push(true);
      case '\x89':
        return this.#push(false);
      case 'I': {
        const text = this.#line();
        return this.#push(text === '01' ? true : text === '00' ? false : this.#integer(text));
      }
      case 'L':
        return this.#push(this.#integer(this.#line().replace(/L$/, '')));
      case 'J':
        return this.#push(window.i32());
      case 'K':
        return this.#push(window.u8());
      case 'M':
        return this.#push(window.u16());
      case '\x8a':
        return this.#push(this.#long(window.u8()));
      case '\x8b':
        return this.#push(this.#long(window.u32()));
      case 'F':
        return this.#pushCosting(COST.number, Number(this.#line()));
      case 'G':
        return this.#pushCosting(COST.number, window.f64());
      case 'S':
        return this.#push(this.#longLine('quoted'));
      case 'T':
        return this.#push(this.#text(window.u32(), 'latin1'));
      case 'U':
        return this.#push(this.#text(window.u8(), 'latin1'));
      case 'V':
        return this.#push(this.#longLine('escaped'));
      case 'X':
        return this.#push(this.#text(window.u32(), 'utf-8'));
      case '\x8c':
        return this.#push(this.#text(window.u8(), 'utf-8'));
      case '\x8d':
        return this.#push(this.#text(this.#count(), 'utf-8'));
      case 'B':
        return this.#push(this.#bytes(window.u32()));
      case 'C':
        return this.#push(this.#bytes(window.u8()));
      case '\x8e':
      case '\x96':
        return this.#push(this.#bytes(this.#count()));
      case ']':
      case '\x8f':
        return this.#pushCosting(COST.array, []);
      case ')':
        return this.#push(NO_ITEMS);
      case '}':
        return this.#pushCosting(COST.map, new Map());
      case 'l':
      case '\x91':
      case 't': {
        const items = this.#popMark();
        return this.#pushCosting(COST.array + COST.item * items.length, items);
      }
      case '\x85':
      case '\x86':
      case '\x87':
        return this.#pushCosting(COST.array + COST.item * 3, this.#popMany(op - 0x84));
      case 'd': {
        const map = new Map<unknown, unknown>();
        this.#setItems(map, this.#popMark());
        return this.#pushCosting(COST.map, map);
      }
      case 'a':
        return this.#append(this.#popMany(1));
      case 'e':
      case '\x90':
        return this.#append(this.#popMark());
      case 's': {
        const items = this.#popMany(2);
        return this.#setItems(this.#top(), items);
      }
      case 'u': {
        const items = this.#popMark();
        return this.#setItems(this.#top(), items);
      }
      case 'c':
        return this.#push(this.#global(this.#line(), this.#line()));
      case '\x93': {
        const [module, name] = this.#popMany(2);
        return this.#push(this.#global(this.#name(module), this.#name(name)));
      }
      case 'R': {
        const [callee, args] = this.#popMany(2);
        return this.#push(this.#call(callee, args));
      }
      case '\x81': {
        const [type, args] = this.#popMany(2);
        return this.#push(this.#instance(type, args));
      }
      case '\x92': {
        const [type, args] = this.#popMany(3);
        return this.#push(this.#instance(type, args));
      }
      case 'i': {
        const type = this.#global(this.#line(), this.#line());
        return this.#push(this.#instance(type, this.#popMark()));
      }
      case 'o': {
        const [type, ...args] = this.#popMark();
        return this.#push(this.#instance(type, args));
      }
      case 'b':
        return this.#build();
      case 'p':
        return this.#remember(this.#index(this.#line()));
      case 'q':
        return this.#remember(window.u8());
      case 'r':
        return this.#remember(window.u32());
      case '\x94':
        return this.#remember(this.#memo.size);
      case 'g':
        return this.#recall(this.#index(this.#line()));
      case 'h':
        return this.#recall(window.u8());
      case 'j':
        return this.#recall(window.u32());
      case 'P':
        return this.#push(this.#persistent(this.#line()));
      case 'Q':
        return this.#push(this.#persistent(this.#pop()));
      case '\x82':
      case '\x83':
      case '\x84':
        throw this.#error('unsafe', 'the pickle asks for a registered extension. Only tensors and containers are rebuilt; nothing was executed.');
      case '\x97':
      case '\x98':
        throw this.#error('unsupported', 'the pickle keeps its arrays in buffers of their own, which are not in the file');
      default:
        throw this.#error('malformed', `0x${op.toString(16)} is no pickle opcode`);
    }
  }

  #global(module: string, name: string): PickleGlobal {
    const path = `${module}.${name}`;
    const known = this.#globals.get(path);
    if (known) return known;
    this.#spend(COST.record + COST.entry + 2 * path.length);
    const found = new PickleGlobal(module, name);
    this.hooks.onName?.(module, name);
    if (!this.hooks.onName && !this.#isKnown(path) && isDangerous(module, name)) {
      throw this.#error('unsafe', `the pickle asks for ${path}. Only functions that rebuild tensors and containers are allowed; nothing was executed.`);
    }
    this.#globals.set(path, found);
    return found;
  }

  #isKnown(path: string): boolean {
    return Object.hasOwn(this.hooks.callables, path) || this.hooks.inert.has(path);
  }

  #call(callee: unknown, args: unknown): unknown {
    if (!Array.isArray(args)) throw this.#error('malformed', 'something is called without a tuple of arguments');
    // What a call gave may be called too, as a bound method is. No call was made, so that is one more record.
    if (callee instanceof PickleObject) return this.#record(callee.type, args);
    if (!(callee instanceof PickleGlobal)) throw this.#error('malformed', 'the pickle calls something that is neither a function nor a class');
    const { module, name, path } = callee;
    if (module === 'copy_reg' || module === 'copyreg') {
      if (name === '_reconstructor' && args[0] instanceof PickleGlobal) return this.#rebuilt(args[0], args[2]);
      if (name.startsWith('__newobj') && args[0] instanceof PickleGlobal) {
        this.#spend(COST.item * args.length);
        return this.#instance(args[0], args.slice(1));
      }
    }
    if (path === '_codecs.encode') return this.#encode(args);
    return this.#made(callee, args);
  }

  /** `copyreg._reconstructor(class, base, state)`: an instance of a subclass of dict or list may bring its items along. */
  #rebuilt(type: PickleGlobal, state: unknown): PickleObject {
    const record = this.#record(type, NO_ITEMS);
    if (Array.isArray(state)) this.#putInto(record, state);
    else if (state instanceof Map) record.items = this.#copied(state);
    return record;
  }

  /** A class is being instantiated. */
  #instance(type: unknown, args: unknown): unknown {
    if (!Array.isArray(args)) throw this.#error('malformed', 'a class is instantiated without a tuple of arguments');
    if (type instanceof PickleObject) return this.#record(type.type, args);
    if (!(type instanceof PickleGlobal)) throw this.#error('malformed', 'the pickle instantiates something that is no class');
    return this.#made(type, args);
  }

  /** What a known function gives; plain containers; an inert record of anything else. */
  #made(callee: PickleGlobal, args: readonly unknown[]): unknown {
    const { module, name, path } = callee;
    const callable = Object.hasOwn(this.hooks.callables, path) ? this.hooks.callables[path] : undefined;
    if (callable) {
      this.#spend(COST.result + sizeOf(args[0]) * COST.entry);
      try {
        return callable(args);
      } catch (error) {
        return this.#recordUnlessWrong(callee, args, error);
      }
    }
    if (module === 'builtins' || module === '__builtin__') {
      if (args.length === 0 && name === 'dict') return this.#costing(COST.map, new Map());
      if (args.length === 0 && /^(list|set|frozenset|tuple)$/.test(name)) return this.#costing(COST.array, []);
      if (/^(list|set|frozenset|tuple)$/.test(name) && Array.isArray(args[0])) {
        this.#spend(COST.array + COST.item * args[0].length);
        return [...args[0]];
      }
      if (name === 'bytearray' && (args[0] instanceof Uint8Array || args[0] instanceof PickleSpan)) return args[0];
    }
    return this.#record(callee, args);
  }

  #recordUnlessWrong(callee: PickleGlobal, args: readonly unknown[], error: unknown): PickleObject {
    if (error instanceof ModelError && error.kind === 'unsupported') return this.#record(callee, args);
    throw error instanceof ModelError ? error.at({ file: this.window.source.name, offset: this.#opAt }) : error;
  }

  #record(type: PickleGlobal, args: readonly unknown[]): PickleObject {
    const record = this.#costing(COST.record, new PickleObject(type, args));
    const { path } = type;
    if (!this.hooks.inert.has(path) && !this.opaque.has(path)) {
      this.#spend(COST.entry);
      this.opaque.set(path, record);
    }
    return record;
  }

  /** `_codecs.encode(text, 'latin1')` is how protocols below 3 spell bytes. */
  #encode([text]: readonly unknown[]): unknown {
    if (text instanceof PickleSpan) return text;
    if (typeof text !== 'string') throw this.#error('malformed', '_codecs.encode is given something that is no text');
    return this.#costing(COST.text + text.length, latin1Bytes(text));
  }

  #build(): void {
    const state = this.#pop();
    const target = this.#top();
    if (isBuildable(target)) {
      try {
        target.build(state);
      } catch (error) {
        throw error instanceof ModelError ? error.at({ file: this.window.source.name, offset: this.#opAt }) : error;
      }
    }
    // An OrderedDict's own attributes (PyTorch's _metadata) say nothing about its contents.
    else if (target instanceof PickleObject) target.state = state;
  }

  #append(values: readonly unknown[]): void {
    const target = this.#top();
    this.#spend(COST.item * values.length);
    if (target instanceof PickleObject) this.#putInto(target, values);
    else if (Array.isArray(target) && target !== NO_ITEMS) {
      if (target.length === 0) this.#spend(COST.firstItem);
      for (const value of values) target.push(value);
    } else throw this.#error('malformed', 'the pickle appends to something that is no list');
  }

  #putInto(record: PickleObject, values: readonly unknown[]): void {
    this.#spend(COST.map + COST.entry * values.length);
    record.items ??= new Map();
    for (const value of values) record.items.set(record.items.size, value);
  }

  #setItems(target: unknown, items: readonly unknown[]): void {
    if (target instanceof PickleObject && target.items === null) target.items = this.#costing(COST.map, new Map());
    const map = target instanceof PickleObject ? target.items : target;
    if (!(map instanceof Map)) throw this.#error('malformed', 'the pickle sets items of something that is no dictionary');
    if (items.length % 2 !== 0) throw this.#error('malformed', 'a dictionary in the pickle has a key without a value');
    this.#spend((COST.entry * items.length) / 2);
    for (let i = 0; i < items.length; i += 2) map.set(items[i], items[i + 1]);
  }

  #copied(map: ReadonlyMap<unknown, unknown>): Map<unknown, unknown> {
    this.#spend(COST.map + COST.entry * map.size);
    return new Map(map);
  }

  #persistent(id: unknown): unknown {
    if (!this.hooks.persistentLoad) throw this.#error('malformed', 'the pickle has a persistent id where none belongs');
    this.#spend(COST.result);
    try {
      return this.hooks.persistentLoad(id);
    } catch (error) {
      return this.#recordUnlessWrong(PERSISTENT, [id], error);
    }
  }

  #remember(index: number): void {
    this.#spend(COST.memo);
    this.#memo.set(index, this.#top());
  }

  #recall(index: number): void {
    if (!this.#memo.has(index)) throw this.#error('malformed', `the pickle recalls value ${index}, which it never kept`);
    this.#push(this.#memo.get(index));
  }

  #push(value: unknown): void {
    this.#stack.push(value);
    this.#height++;
    // Only what is on the stacks at once costs something, and that is seldom much.
    if (this.#height <= this.#highest) return;
    this.#highest += 1024;
    this.#spend(COST.item * 1024);
  }

  #pushCosting(cost: number, value: unknown): void {
    this.#push(this.#costing(cost, value));
  }

  #costing<Value>(cost: number, value: Value): Value {
    this.#spend(cost);
    return value;
  }

  /** @throws ModelError 'unsafe' when more is made than so many bytes of pickle explain */
  #spend(cost: number): void {
    this.#cost += cost;
    if (this.#cost <= FREE_COST) return;
    const length = this.window.position - this.start;
    if (this.#cost > Math.min(MAX_COST, FREE_COST + COST_PER_BYTE * length)) {
      throw this.#error('unsafe', `the pickle makes more of its first ${length} bytes than any model does`);
    }
  }

  #pop(): unknown {
    if (this.#stack.length === 0) throw this.#error('malformed', 'the pickle takes a value from an empty stack');
    this.#height--;
    return this.#stack.pop();
  }

  #top(): unknown {
    if (this.#stack.length === 0) throw this.#error('malformed', 'the pickle looks at an empty stack');
    return this.#stack.at(-1);
  }

  #popMany(count: number): unknown[] {
    if (this.#stack.length < count) throw this.#error('malformed', 'the pickle takes values from an empty stack');
    this.#height -= count;
    return this.#stack.splice(this.#stack.length - count);
  }

  #popMark(): unknown[] {
    const items = this.#stack;
    const below = this.#marks.pop();
    if (!below) throw this.#error('malformed', 'the pickle goes back to a mark that it never set');
    this.#stack = below;
    this.#height -= items.length;
    return items;
  }

  #count(): number {
    const value = this.window.u64();
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw this.#error('malformed', `a length of ${value} is beyond any file`);
    return Number(value);
  }

  #bytes(count: number): Uint8Array | PickleSpan {
    if (count > MAX_KEPT) return this.#span(count, 'bytes');
    const bytes = this.window.bytes(count);
    return this.#costing(COST.text + count, bytes.slice());
  }

  #text(count: number, encoding: TextEncoding): string | PickleSpan {
    if (count > MAX_KEPT) return this.#span(count, encoding);
    const bytes = this.window.bytes(count);
    return this.#costing(COST.text + 2 * count, decodeText(bytes, encoding));
  }

  #span(count: number, encoding: PickleSpan['encoding']): PickleSpan {
    const { start, end } = this.window.skip(count);
    return this.#costing(COST.record, new PickleSpan(this.window.source, start, end, encoding));
  }

  /** A text that ends with its line. */
  #longLine(encoding: TextEncoding): string | PickleSpan {
    const length = this.window.lineLength();
    if (length > MAX_KEPT) {
      const span = this.#span(length, encoding);
      this.window.skip(1);
      return span;
    }
    const bytes = this.window.bytes(length + 1).subarray(0, length);
    const end = encoding === 'quoted' && bytes.at(-1) === 0x0d ? length - 1 : length;
    if (encoding === 'quoted' && (end < 2 || bytes[0] !== bytes[end - 1] || (bytes[0] !== 0x22 && bytes[0] !== 0x27))) {
      throw this.#error('malformed', 'a quoted string was expected');
    }
    return this.#costing(COST.text + 2 * length, decodeText(bytes.subarray(0, end), encoding));
  }

  /** A line that is a name or a number. */
  #line(): string {
    const length = this.window.lineLength();
    if (length > MAX_NAME) throw this.#error('malformed', `a name or number of ${length} characters is none`);
    const text = decodeText(this.window.bytes(length + 1).subarray(0, length), 'utf-8');
    return text.endsWith('\r') ? text.slice(0, -1) : text;
  }

  /** A little-endian two's-complement integer of `count` bytes. */
  #long(count: number): number | bigint {
    if (count > MAX_INTEGER_BYTES) throw this.#error('unsafe', `an integer of ${count} bytes is larger than any that a model has`);
    const bytes = this.window.bytes(count);
    if (count === 0) return 0;
    const digits = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).reverse();
    const value = BigInt.asIntN(8 * count, BigInt(`0x${digits.join('')}`));
    return this.#costing(COST.number + count, narrow(value));
  }

  #integer(text: string): number | bigint {
    if (!/^\s*[+-]?\d+\s*$/.test(text)) throw this.#error('malformed', `${JSON.stringify(text.slice(0, 40))} is no integer`);
    return this.#costing(COST.number + text.length, narrow(BigInt(text.trim())));
  }

  #index(text: string): number {
    const value = Number(text);
    if (!Number.isInteger(value) || value < 0) throw this.#error('malformed', `${JSON.stringify(text.slice(0, 40))} is no memo index`);
    return value;
  }

  #name(value: unknown): string {
    if (typeof value !== 'string' || value.length > MAX_NAME) throw this.#error('malformed', 'a name was expected');
    return value;
  }

  #error(kind: 'malformed' | 'unsafe' | 'unsupported', problem: string): ModelError {
    return new ModelError(kind, problem, { file: this.window.source.name, offset: this.#opAt });
  }
}

/** Stands for whatever a persistent id leads to. */
const PERSISTENT = new PickleGlobal('pickle', 'persistent_id');

/** How much a function that takes this may have to copy. */
function sizeOf(value: unknown): number {
  return Array.isArray(value) ? value.length : value instanceof Map ? value.size : 0;
}

function narrow(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
