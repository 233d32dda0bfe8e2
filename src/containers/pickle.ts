/**
 * A pickle machine that rebuilds data and nothing else.
 *
 * Python's own unpickler calls whatever a file names. Here a name is only ever a name: the few functions that rebuild tensors
 * and containers are given by the caller, instances of classes become inert records, and a call of anything else is an error.
 *
 * @see https://github.com/python/cpython/blob/main/Lib/pickletools.py, which documents every opcode
 */
import { decodeLatin1 } from '../bytes/latin1.js';
import { ModelError } from '../errors.js';

/** A class or function that the pickle names. */
export class PickleGlobal {
  constructor(
    readonly module: string,
    readonly name: string,
  ) {}

  get path(): string {
    return `${this.module}.${this.name}`;
  }
}

/** An instance of a class, as data: nothing of the class was run. */
export class PickleObject {
  /** What BUILD gave it. */
  state: unknown = null;
  /** What SETITEMS or APPENDS put into it, for subclasses of dict and list. */
  readonly items = new Map<unknown, unknown>();

  constructor(
    readonly type: PickleGlobal,
    readonly args: readonly unknown[],
  ) {}
}

export class PickleTuple extends Array<unknown> {}

export interface PickleHooks {
  /** Functions that may be called, by 'module.name'. */
  readonly callables: Readonly<Record<string, (args: readonly unknown[]) => unknown>>;
  /** Classes and functions that may be called and become inert records, by 'module.name'. */
  readonly inert: ReadonlySet<string>;
  /** Resolves a persistent id (a storage). */
  readonly persistentLoad?: (id: unknown) => unknown;
}

/** Reads ahead in these modules run code as soon as anything is called, so even their names are refused. */
const DANGEROUS_MODULES = new Set(
  'os posix nt subprocess sys builtins __builtin__ importlib runpy code codeop pty shutil socket ctypes marshal types pickle _pickle cPickle dill cloudpickle joblib webbrowser http urllib requests asyncio multiprocessing threading commands popen2 platform pdb bdb timeit cProfile profile trace doctest idlelib pydoc ensurepip pip venv signal gc inspect operator functools itertools tempfile io pathlib.Path glob ssl smtplib ftplib telnetlib imaplib poplib nntplib xmlrpc zipimport pkgutil imp site torch.hub torch.jit torch.package torch.utils.cpp_extension'.split(
    ' ',
  ),
);
/** Names of the builtins that are plain data types. */
const HARMLESS_BUILTINS = new Set([
  'set',
  'frozenset',
  'list',
  'dict',
  'tuple',
  'int',
  'long',
  'float',
  'bool',
  'str',
  'unicode',
  'bytes',
  'bytearray',
  'complex',
  'object',
  'slice',
  'range',
  'xrange',
]);
const HARMLESS = new Set(['operator.attrgetter', 'functools.partial', 'io.BytesIO', 'types.SimpleNamespace']);

/** Deepest stack of marks and values that real files come near is some thousand. */
const MAX_STACK = 4_000_000;
const MAX_MEMO = 10_000_000;

/** Thrown inside when the bytes end before STOP; the caller may come back with more. */
class NeedMoreBytes extends Error {}

export interface Unpickled {
  readonly value: unknown;
  /** Position behind STOP. */
  readonly end: number;
}

/**
 * Runs one pickle from `start` on.
 *
 * @returns the value, or null when the bytes end before the pickle does
 * @throws ModelError 'unsafe' when it asks for a call that is not allowed, 'malformed' when it is no pickle
 */
export function unpickle(bytes: Uint8Array, start: number, hooks: PickleHooks, place: { readonly file: string; readonly offset: number }): Unpickled | null {
  const machine = new PickleMachine(bytes, start, hooks, place);
  try {
    return machine.run();
  } catch (error) {
    if (error instanceof NeedMoreBytes) return null;
    throw error;
  }
}

class PickleMachine {
  #stack: unknown[] = [];
  readonly #marks: unknown[][] = [];
  readonly #memo = new Map<number, unknown>();
  readonly #view: DataView;
  #at: number;
  #opAt: number;
  #depth = 0;

  constructor(
    readonly bytes: Uint8Array,
    readonly start: number,
    readonly hooks: PickleHooks,
    readonly place: { readonly file: string; readonly offset: number },
  ) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#at = start;
    this.#opAt = start;
  }

  run(): Unpickled {
    for (;;) {
      this.#opAt = this.#at;
      const op = this.#u8();
      if (op === 0x2e) return { value: this.#pop(), end: this.#at };
      this.#step(op);
      if (this.#stack.length > MAX_STACK || this.#memo.size > MAX_MEMO) throw this.#error('unsafe', 'the pickle builds more values than any model has');
    }
  }

  #step(op: number): void {
    switch (String.fromCharCode(op)) {
      case '\x80': // PROTO
        if (this.#u8() > 5) throw this.#error('unsupported', 'the pickle protocol is newer than 5');
        return;
      case '\x95': // FRAME
        this.#take(8);
        return;
      case '(':
        this.#marks.push(this.#stack);
        this.#stack = [];
        if (++this.#depth > 100_000) throw this.#error('unsafe', 'the pickle nests too deeply');
        return;
      case '0':
        if (this.#stack.length > 0) this.#stack.pop();
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
        return this.#push(this.#view.getInt32(this.#take(4), true));
      case 'K':
        return this.#push(this.#u8());
      case 'M':
        return this.#push(this.#view.getUint16(this.#take(2), true));
      case '\x8a':
        return this.#push(this.#long(this.#u8()));
      case '\x8b':
        return this.#push(this.#long(this.#u32()));
      case 'F':
        return this.#push(Number(this.#line()));
      case 'G':
        return this.#push(this.#view.getFloat64(this.#take(8)));
      case 'S':
        return this.#push(unquote(this.#line()) ?? this.#fail('a quoted string was expected'));
      case 'T':
        return this.#push(this.#text(this.#u32(), 'latin1'));
      case 'U':
        return this.#push(this.#text(this.#u8(), 'latin1'));
      case 'V':
        return this.#push(this.#line().replace(/\\u([0-9a-f]{4})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))));
      case 'X':
        return this.#push(this.#text(this.#u32(), 'utf-8'));
      case '\x8c':
        return this.#push(this.#text(this.#u8(), 'utf-8'));
      case '\x8d':
        return this.#push(this.#text(this.#u64(), 'utf-8'));
      case 'B':
        return this.#push(this.#slice(this.#u32()));
      case 'C':
        return this.#push(this.#slice(this.#u8()));
      case '\x8e':
      case '\x96':
        return this.#push(this.#slice(this.#u64()));
      case ']':
      case '\x8f':
        return this.#push([]);
      case ')':
        return this.#push(new PickleTuple());
      case '}':
        return this.#push(new Map());
      case 'l':
      case '\x91':
        return this.#push(this.#popMark());
      case 't':
        return this.#push(tuple(this.#popMark()));
      case '\x85':
      case '\x86':
      case '\x87':
        return this.#push(tuple(this.#popMany(op - 0x84)));
      case 'd': {
        const map = new Map<unknown, unknown>();
        this.#setItems(map, this.#popMark());
        return this.#push(map);
      }
      case 'a':
        return this.#append(this.#popMany(1));
      case 'e':
      case '\x90':
        return this.#append(this.#popMark());
      case 's':
        return this.#setItems(this.#peekBelow(2), this.#popMany(2));
      case 'u':
        return this.#setItemsBelowMark();
      case 'c':
        return this.#push(this.#global(this.#line(), this.#line()));
      case '\x93': {
        const [module, name] = this.#popMany(2);
        return this.#push(this.#global(this.#string(module), this.#string(name)));
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
        return this.#push(this.#instance(type, tuple(this.#popMark())));
      }
      case 'o': {
        const [type, ...args] = this.#popMark();
        return this.#push(this.#instance(type, tuple(args)));
      }
      case 'b':
        return this.#build();
      case 'p':
        return this.#remember(this.#index(this.#line()));
      case 'q':
        return this.#remember(this.#u8());
      case 'r':
        return this.#remember(this.#u32());
      case '\x94':
        return this.#remember(this.#memo.size);
      case 'g':
        return this.#recall(this.#index(this.#line()));
      case 'h':
        return this.#recall(this.#u8());
      case 'j':
        return this.#recall(this.#u32());
      case 'P':
        return this.#push(this.#persistent(this.#line()));
      case 'Q':
        return this.#push(this.#persistent(this.#pop()));
      case '\x82':
      case '\x83':
      case '\x84':
        throw this.#error('unsafe', 'the pickle asks for a registered extension. Only tensors and containers are rebuilt; nothing was executed.');
      default:
        throw this.#error('malformed', `0x${op.toString(16)} is no pickle opcode`);
    }
  }

  #global(module: string, name: string): PickleGlobal {
    const found = new PickleGlobal(module, name);
    const isBuiltin = module === 'builtins' || module === '__builtin__';
    const known = this.hooks.callables[found.path] !== undefined || this.hooks.inert.has(found.path) || HARMLESS.has(found.path);
    if (known || (isBuiltin && HARMLESS_BUILTINS.has(name))) return found;
    const parts = module.split('.');
    const dangerous = parts.some((_, i) => DANGEROUS_MODULES.has(parts.slice(0, i + 1).join('.'))) || name.includes('.');
    if (dangerous) throw this.#refuse(found);
    return found;
  }

  #call(callee: unknown, args: unknown): unknown {
    if (!(callee instanceof PickleGlobal)) throw this.#error('unsafe', 'the pickle calls something that is no function by name. Nothing was executed.');
    if (!Array.isArray(args)) throw this.#error('malformed', `${callee.path} is called without a tuple of arguments`);
    const callable = Object.hasOwn(this.hooks.callables, callee.path) ? this.hooks.callables[callee.path] : undefined;
    if (callable) {
      try {
        return callable(args);
      } catch (error) {
        throw error instanceof ModelError ? error.at({ file: this.place.file, offset: this.place.offset + this.#opAt }) : error;
      }
    }
    if (callee.module === 'copy_reg' || callee.module === 'copyreg') {
      if (callee.name === '_reconstructor' && args[0] instanceof PickleGlobal) return new PickleObject(args[0], []);
      if (callee.name.startsWith('__newobj') && args[0] instanceof PickleGlobal) return new PickleObject(args[0], args.slice(1));
    }
    const isBuiltin = callee.module === 'builtins' || callee.module === '__builtin__';
    if (isBuiltin && HARMLESS_BUILTINS.has(callee.name)) return this.#builtin(callee, args);
    if (callee.path === '_codecs.encode' && typeof args[0] === 'string') return Uint8Array.from(args[0], (c) => c.charCodeAt(0) & 255);
    if (this.hooks.inert.has(callee.path)) return new PickleObject(callee, args);
    throw this.#refuse(callee);
  }

  #builtin(callee: PickleGlobal, args: readonly unknown[]): unknown {
    if (args.length === 0 && callee.name.endsWith('dict')) return new Map();
    if (args.length === 0) return [];
    return Array.isArray(args[0]) ? [...args[0]] : new PickleObject(callee, args);
  }

  /** A class is being instantiated: an inert record stands for the instance. */
  #instance(type: unknown, args: unknown): unknown {
    if (!(type instanceof PickleGlobal)) throw this.#error('malformed', 'the pickle instantiates something that is no class');
    if (!Array.isArray(args)) throw this.#error('malformed', `${type.path} is instantiated without a tuple of arguments`);
    const callable = Object.hasOwn(this.hooks.callables, type.path) ? this.hooks.callables[type.path] : undefined;
    return callable ? callable(args) : new PickleObject(type, args);
  }

  #build(): void {
    const state = this.#pop();
    const target = this.#top();
    // An OrderedDict's own attributes (PyTorch's _metadata) say nothing about its contents.
    if (target instanceof PickleObject) target.state = state;
  }

  #append(values: readonly unknown[]): void {
    const target = this.#top();
    if (target instanceof PickleObject) for (const value of values) target.items.set(target.items.size, value);
    else if (Array.isArray(target)) for (const value of values) target.push(value);
    else throw this.#error('malformed', 'the pickle appends to something that is no list');
  }

  #setItemsBelowMark(): void {
    const items = this.#popMark();
    this.#setItems(this.#top(), items);
  }

  #setItems(target: unknown, items: readonly unknown[]): void {
    const map = target instanceof PickleObject ? target.items : target;
    if (!(map instanceof Map)) throw this.#error('malformed', 'the pickle sets items of something that is no dictionary');
    if (items.length % 2 !== 0) throw this.#error('malformed', 'a dictionary in the pickle has a key without a value');
    for (let i = 0; i < items.length; i += 2) map.set(items[i], items[i + 1]);
  }

  #persistent(id: unknown): unknown {
    if (!this.hooks.persistentLoad) throw this.#error('malformed', 'the pickle has a persistent id where none belongs');
    try {
      return this.hooks.persistentLoad(id);
    } catch (error) {
      throw error instanceof ModelError ? error.at({ file: this.place.file, offset: this.place.offset + this.#opAt }) : error;
    }
  }

  #remember(index: number): void {
    this.#memo.set(index, this.#top());
  }

  #recall(index: number): void {
    if (!this.#memo.has(index)) throw this.#error('malformed', `the pickle recalls value ${index}, which it never kept`);
    this.#push(this.#memo.get(index));
  }

  #push(value: unknown): void {
    this.#stack.push(value);
  }

  #pop(): unknown {
    if (this.#stack.length === 0) throw this.#error('malformed', 'the pickle takes a value from an empty stack');
    return this.#stack.pop();
  }

  #top(): unknown {
    if (this.#stack.length === 0) throw this.#error('malformed', 'the pickle looks at an empty stack');
    return this.#stack.at(-1);
  }

  #peekBelow(count: number): unknown {
    if (this.#stack.length <= count) throw this.#error('malformed', 'the pickle looks below its stack');
    return this.#stack[this.#stack.length - 1 - count];
  }

  #popMany(count: number): unknown[] {
    if (this.#stack.length < count) throw this.#error('malformed', 'the pickle takes values from an empty stack');
    return this.#stack.splice(this.#stack.length - count);
  }

  #popMark(): unknown[] {
    const items = this.#stack;
    const below = this.#marks.pop();
    if (!below) throw this.#error('malformed', 'the pickle goes back to a mark that it never set');
    this.#depth--;
    this.#stack = below;
    return items;
  }

  #take(count: number): number {
    const at = this.#at;
    if (count > this.bytes.byteLength - at) throw new NeedMoreBytes();
    this.#at += count;
    return at;
  }

  #u8(): number {
    return this.bytes[this.#take(1)]!;
  }

  #u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  #u64(): number {
    const value = this.#view.getBigUint64(this.#take(8), true);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw this.#error('malformed', `a length of ${value} is beyond any file`);
    return Number(value);
  }

  #slice(count: number): Uint8Array {
    const at = this.#take(count);
    return this.bytes.subarray(at, at + count);
  }

  #text(count: number, encoding: 'latin1' | 'utf-8'): string {
    const bytes = this.#slice(count);
    return encoding === 'latin1' ? decodeLatin1(bytes) : new TextDecoder().decode(bytes);
  }

  #line(): string {
    const end = this.bytes.indexOf(0x0a, this.#at);
    if (end < 0) throw new NeedMoreBytes();
    const text = new TextDecoder().decode(this.bytes.subarray(this.#at, end));
    this.#at = end + 1;
    return text.endsWith('\r') ? text.slice(0, -1) : text;
  }

  /** A little-endian two's-complement integer of `count` bytes. */
  #long(count: number): number | bigint {
    let value = 0n;
    const bytes = this.#slice(count);
    for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]!);
    if (bytes.length > 0 && bytes.at(-1)! & 0x80) value -= 1n << BigInt(8 * bytes.length);
    return narrow(value);
  }

  #integer(text: string): number | bigint {
    if (!/^\s*[+-]?\d{1,400}\s*$/.test(text)) throw this.#error('malformed', `${JSON.stringify(text.slice(0, 40))} is no integer`);
    return narrow(BigInt(text.trim()));
  }

  #index(text: string): number {
    const value = Number(text);
    if (!Number.isInteger(value) || value < 0) throw this.#error('malformed', `${JSON.stringify(text.slice(0, 40))} is no memo index`);
    return value;
  }

  #string(value: unknown): string {
    return typeof value === 'string' ? value : this.#fail('a name was expected');
  }

  #refuse(found: PickleGlobal): ModelError {
    return this.#error('unsafe', `the pickle asks for ${found.path}. Only functions that rebuild tensors and containers are allowed; nothing was executed.`);
  }

  #fail(problem: string): never {
    throw this.#error('malformed', problem);
  }

  #error(kind: 'malformed' | 'unsafe' | 'unsupported', problem: string): ModelError {
    return new ModelError(kind, problem, { file: this.place.file, offset: this.place.offset + this.#opAt });
  }
}

function tuple(items: readonly unknown[]): PickleTuple {
  const made = new PickleTuple();
  for (const item of items) made.push(item);
  return made;
}

function narrow(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

function unquote(text: string): string | null {
  const match = /^(['"])(.*)\1$/s.exec(text);
  return match ? match[2]!.replace(/\\x([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))).replace(/\\(['"\\])/g, '$1') : null;
}
