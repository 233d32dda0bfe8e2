/** A walk over what a pickle was rebuilt into: which containers lead to tensors, and what is in them under which names. */
import { PickleObject } from '../../containers/pickle/index.js';
import { ModelError } from '../../errors.js';
import { NumpyArray } from './numpy.js';
import { otherTensor } from './rebuild.js';
import { StoredView } from './stored-view.js';

export interface NamedView {
  /** Keys and module names joined by dots. */
  readonly name: string;
  readonly view: StoredView;
}

/** A tensor of a kind that is not read. */
export interface UnreadTensor {
  readonly name: string;
  /** 'a sparse tensor'. */
  readonly what: string;
}

export interface Collection {
  readonly views: NamedView[];
  readonly unread: UnreadTensor[];
}

/** Nesting of modules and dictionaries; the deepest seen have some twenty levels. */
const MAX_DEPTH = 100;
/** A pickle that refers to the same dictionary again and again can name more tensors than memory holds. */
const MAX_TENSORS = 200_000;
/** Letters in the names of all tensors. */
const MAX_NAMES_LENGTH = 2 ** 25;
/** Dictionaries, lists and records that a file is made of; modules of the largest nets have a hundred thousand. */
const MAX_CONTAINERS = 500_000;
const MAX_REFERENCES = 2_000_000;
/** Entries looked at while tensors are named, where many names lead through one long list. */
const MAX_STEPS = 20_000_000;
const TOO_MANY_WAYS = 'its lists and dictionaries refer to each other more often than those of any model';

/** A tensor, whether it is read or not. */
export function isTensor(value: unknown): boolean {
  return viewOf(value) !== null || otherTensor(value) !== null;
}

export function viewOf(value: unknown): StoredView | null {
  if (value instanceof StoredView) return value;
  return value instanceof NumpyArray ? value.view : null;
}

/** What a file was rebuilt into, and which of it leads to tensors. */
export class Contents {
  readonly #holding: ReadonlySet<object>;
  #steps = 0;
  #tensors = 0;
  #letters = 0;

  /** @throws ModelError 'unsafe' where it is made of more than any model is */
  constructor(
    readonly root: unknown,
    readonly file: string,
  ) {
    this.#holding = findHolders(root, file);
  }

  /** Whether it is a tensor, or leads to one. */
  holds(value: unknown): boolean {
    return typeof value === 'object' && value !== null && (this.#holding.has(value) || isTensor(value));
  }

  /** Entries of a container that hold tensors. */
  entries(value: unknown): [string, unknown][] {
    const found: [string, unknown][] = [];
    if (typeof value !== 'object' || value === null || isTensor(value)) return found;
    for (const [key, child] of children(value)) {
      this.#step();
      if (!this.holds(child)) continue;
      if (found.length >= MAX_TENSORS) throw this.#tooMany();
      found.push([keyName(key), child]);
    }
    return found;
  }

  /**
   * Adds all tensors below a value to a collection, with names that begin with `prefix`.
   *
   * @throws ModelError 'unsafe'
   */
  collect(value: unknown, prefix: string, collection: Collection, above = new Set<object>()): void {
    const view = viewOf(value);
    const what = view ? null : otherTensor(value);
    if (view || what !== null) {
      this.#tensors++;
      this.#letters += prefix.length;
      if (this.#tensors > MAX_TENSORS) throw this.#tooMany();
      if (this.#letters > MAX_NAMES_LENGTH) throw this.#unsafe('the names of its tensors are longer than those of any model');
      if (view) collection.views.push({ name: prefix, view });
      else collection.unread.push({ name: prefix, what: what! });
      return;
    }
    if (typeof value !== 'object' || value === null || !this.#holding.has(value) || above.has(value)) return;
    if (above.size > MAX_DEPTH) throw this.#unsafe(`dictionaries nest deeper than ${MAX_DEPTH} levels`);
    above.add(value);
    for (const [key, child] of this.entries(value)) this.collect(child, joined(prefix, key), collection, above);
    above.delete(value);
  }

  #step(): void {
    if (++this.#steps > MAX_STEPS) throw this.#unsafe(TOO_MANY_WAYS);
  }

  #tooMany(): ModelError {
    return this.#unsafe(`the file names more than ${MAX_TENSORS} tensors, which no model has`);
  }

  #unsafe(problem: string): ModelError {
    return new ModelError('unsafe', problem, { file: this.file });
  }
}

/** Whether it is an instance of torch.nn.Module or of a class of TorchScript: its parameters, buffers and submodules stand for it. */
export function isModule(value: unknown): value is PickleObject {
  if (!(value instanceof PickleObject) || !(value.state instanceof Map)) return false;
  const { state, type } = value;
  return state.get('_modules') instanceof Map || state.get('_parameters') instanceof Map || type.module.startsWith('__torch__');
}

export function joined(prefix: string, key: string): string {
  if (prefix === '') return key;
  return key === '' ? prefix : `${prefix}.${key}`;
}

/** Dictionaries have keys of any kind; what is neither text nor number has no name of its own, and may be as large as the file. */
export function keyName(key: unknown): string {
  if (typeof key === 'string') return key;
  return typeof key === 'number' || typeof key === 'bigint' || typeof key === 'boolean' ? String(key) : '?';
}

/** Paths of what a pickle makes that is neither a tensor nor a part of models. */
export function strangeNames(opaque: ReadonlyMap<string, PickleObject>): string[] {
  return [...opaque].filter(([path, record]) => !isPartOfModels(path, record)).map(([path]) => path);
}

/** Classes of a pickled module are what it is made of; what PyTorch keeps beside tensors is no news. */
function isPartOfModels(path: string, record: PickleObject): boolean {
  return isModule(record) || /^torch\.(nn|optim|utils\.hooks|jit|fx|autograd|serialization)\./.test(path);
}

/** Keys and values inside a container, one after another. */
function* children(value: object): Generator<readonly [unknown, unknown]> {
  if (value instanceof Map) yield* value;
  else if (Array.isArray(value)) yield* value.entries();
  else if (value instanceof PickleObject) yield* recordChildren(value);
  else if (value instanceof NumpyArray && value.items) yield* value.isOne ? [['', value.items[0]] as const] : value.items.entries();
}

function* recordChildren(record: PickleObject): Generator<readonly [unknown, unknown]> {
  const { type, args, items, state } = record;
  // PyTorch 0.1 kept a Parameter as an object around its tensor.
  if (type.name === 'Parameter' || type.name === 'Variable') {
    const inside = [...args.slice(0, 8), ...(Array.isArray(state) ? state.slice(0, 8) : [])].find(isTensor);
    if (inside) yield ['', inside];
    return;
  }
  const attributes = state instanceof Map ? state : null;
  if (isModule(record) && attributes?.has('_modules')) {
    for (const part of ['_parameters', '_buffers', '_modules']) {
      const members = attributes.get(part);
      if (members instanceof Map) yield* members;
    }
    return;
  }
  // What a class was made of, such as the dictionary that one of a class of its own was made from.
  for (const arg of args.slice(0, 8)) if (arg instanceof Map || arg instanceof PickleObject) yield ['', arg];
  if (items) yield* items;
  if (attributes) yield* attributes;
  else if (Array.isArray(state)) for (const part of state.slice(0, 8)) if (part instanceof Map) yield ['', part];
}

/** Every container that leads to a tensor. Each is looked at once, however often and deep it is referred to. */
function findHolders(root: unknown, file: string): ReadonlySet<object> {
  const nodes: object[] = [];
  const places = new Map<object, number>();
  /** For each node its last incoming reference; for each reference where it comes from, and the one before it to the same node. */
  const last: number[] = [];
  const from: number[] = [];
  const before: number[] = [];
  const found: number[] = [];
  let steps = 0;
  const visit = (value: unknown, parent: number) => {
    if (++steps > MAX_STEPS) throw new ModelError('unsafe', TOO_MANY_WAYS, { file });
    if (
      typeof value !== 'object' ||
      value === null ||
      !(value instanceof Map || Array.isArray(value) || value instanceof PickleObject || value instanceof NumpyArray || isTensor(value))
    )
      return;
    const tensor = isTensor(value);
    let place = places.get(value);
    if (place === undefined) {
      place = nodes.length;
      if (place >= MAX_CONTAINERS) throw new ModelError('unsafe', `the file is made of more than ${MAX_CONTAINERS} lists and dictionaries`, { file });
      places.set(value, place);
      nodes.push(value);
      last.push(-1);
      if (tensor) found.push(place);
    }
    if (parent < 0 || from[last[place]!] === parent) return;
    if (from.length >= MAX_REFERENCES) throw new ModelError('unsafe', `the file is made of more than ${MAX_REFERENCES} references`, { file });
    before.push(last[place]!);
    last[place] = from.push(parent) - 1;
  };
  visit(root, -1);
  for (let place = 0; place < nodes.length; place++) {
    const node = nodes[place]!;
    if (!isTensor(node)) for (const [, child] of children(node)) visit(child, place);
  }
  const holding = new Set<object>();
  for (let place = found.pop(); place !== undefined; place = found.pop()) {
    for (let reference = last[place]!; reference >= 0; reference = before[reference]!) {
      const parent = nodes[from[reference]!]!;
      if (holding.has(parent)) continue;
      holding.add(parent);
      found.push(from[reference]!);
    }
  }
  return holding;
}
