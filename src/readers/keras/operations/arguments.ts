/**
 * The arguments of an operation, by the names of its parameters: given by place or by name in the call, or, in Keras 3, kept in the
 * configuration where they are no tensors. What is not asked for must be nothing.
 */

import type { Dim } from '../../../model/layer-map.js';
import type { Argument } from '../call.js';
import type { LayerCall } from '../config.js';
import { brief, type ConfigView } from '../config-view.js';
import { type Constant, parseConstant, withoutArrays } from '../constant.js';
import type { Scope } from '../scope.js';
import type { Value } from '../value.js';

/** A value of the model, by its place among the call's inputs, or numbers. */
export type Operand = { readonly input: number } | { readonly constant: Constant };

/** How a call names its parameters. */
export interface Signature {
  /** In order, tensors first. */
  readonly names: readonly string[];
  /** Parameters of no consequence: names of nodes, wanted dtypes. */
  readonly idle?: readonly string[];
}

const NOTHING: Operand = { constant: { shape: [], values: [0] } };

export class Arguments {
  readonly #asked = new Set<string>();

  constructor(
    readonly config: ConfigView,
    readonly call: LayerCall,
    readonly signature: Signature,
  ) {}

  decline(problem: string): void {
    this.config.decline(problem);
  }

  has(name: string): boolean {
    const argument = this.#argument(name);
    return argument !== undefined && !('constant' in argument && argument.constant === null);
  }

  /** Whether it is given as nothing at all, which may mean something else than its absence. */
  isNull(name: string): boolean {
    const argument = this.#argument(name);
    return argument !== undefined && 'constant' in argument && argument.constant === null;
  }

  /** A tensor or numbers. */
  operand(name: string): Operand {
    const argument = this.#argument(name);
    if (argument && 'input' in argument) return argument;
    // tf.keras writes calls of layers with a list around a single tensor.
    const [only, ...further] = argument && 'list' in argument ? argument.list : [];
    if (only && 'input' in only && further.length === 0) return only;
    const constant = argument && 'constant' in argument ? parseConstant(argument.constant) : null;
    if (constant) return { constant };
    return this.#refuse(name, 'a value or numbers', NOTHING);
  }

  /** Whole numbers, some of which may be worked out from shapes: known once values flow. */
  sizes(name: string): (inputs: readonly Value[], scope: Scope) => readonly Dim[] {
    const argument = this.#argument(name);
    const operands = argument && 'list' in argument ? argument.list.map((item) => this.#operandOf(name, item)) : [this.operand(name)];
    return (inputs, scope) =>
      operands.flatMap((operand) => {
        const sizes = isConstant(operand) ? operand.constant.values : valueAt(operand, inputs).sizes?.dims;
        if (sizes?.every((size) => typeof size === 'string' || Number.isSafeInteger(size))) return [...sizes];
        throw scope.unsupported(`an argument "${name}" that is not known before the run`);
      });
  }

  /** The same where all of them must be known. */
  knownSizes(name: string): (inputs: readonly Value[], scope: Scope) => readonly number[] {
    const sizes = this.sizes(name);
    return (inputs, scope) =>
      sizes(inputs, scope).map((size) => {
        if (typeof size === 'number') return size;
        throw scope.unsupported(`an argument "${name}" that depends on a free size (${size}); --input-shape gives it; this`);
      });
  }

  /** A list of tensors and numbers. */
  operands(name: string): readonly Operand[] {
    const argument = this.#argument(name);
    if (argument && 'list' in argument) return argument.list.map((item) => this.#operandOf(name, item));
    if (argument && 'input' in argument) return [argument];
    return this.#refuse(name, 'a list of values', []);
  }

  #operandOf(name: string, item: Argument): Operand {
    if ('input' in item) return item;
    const constant = 'constant' in item ? parseConstant(item.constant) : null;
    return constant ? { constant } : this.#refuse(name, 'values and numbers', NOTHING);
  }

  /** Plain JSON, arrays as the lists that they hold; undefined where it is missing or null. */
  json(name: string): unknown {
    const argument = this.#argument(name);
    if (argument === undefined) return undefined;
    if ('constant' in argument) return withoutArrays(argument.constant) ?? undefined;
    return this.#refuse(name, 'known before the run', undefined);
  }

  number(name: string, fallback: number): number {
    const value = this.json(name) ?? fallback;
    const constant = typeof value === 'boolean' ? null : parseConstant(value);
    return constant?.values.length === 1 ? constant.values[0]! : this.#refuse(name, 'a number', fallback);
  }

  integer(name: string, fallback: number): number {
    const value = this.number(name, fallback);
    return Number.isSafeInteger(value) ? value : this.#refuse(name, 'a whole number', fallback);
  }

  /** One or several whole numbers. */
  integers(name: string): readonly number[] | undefined {
    const value = this.json(name);
    if (value === undefined) return undefined;
    const constant = parseConstant(value);
    if (constant && constant.shape.length < 2 && constant.values.every(Number.isSafeInteger)) return constant.values;
    return this.#refuse(name, 'whole numbers', undefined);
  }

  boolean(name: string, fallback: boolean): boolean {
    const value = this.json(name) ?? fallback;
    return typeof value === 'boolean' ? value : this.#refuse(name, 'true or false', fallback);
  }

  /** Ends the reading: what nobody asked for must be nothing. Keras 3 writes every parameter down, those that were left out as null. */
  finish(): void {
    const stored = this.config.layer.config;
    for (const name of [...this.signature.names, ...(this.signature.idle ?? [])])
      if (stored[name] === null || this.signature.idle?.includes(name)) this.config.value([name]);
    const { positional, named } = this.call;
    const given = [...positional.map((_, i) => this.signature.names[i] ?? `argument ${i + 1}`), ...Object.keys(named)];
    for (const name of given) {
      if (this.#asked.has(name) || this.signature.idle?.includes(name)) continue;
      const argument = named[name] ?? positional[this.signature.names.indexOf(name)];
      if (argument && 'constant' in argument && argument.constant === null) continue;
      this.decline(
        `it is called with ${name}=${argument && 'constant' in argument ? brief(argument.constant) : 'a value of the model'}, which is not translated`,
      );
    }
  }

  #argument(name: string): Argument | undefined {
    this.#asked.add(name);
    const place = this.signature.names.indexOf(name);
    const { named, positional } = this.call;
    if (Object.hasOwn(named, name)) return named[name];
    if (place >= 0 && place < positional.length) return positional[place];
    const stored = this.config.value([name]);
    return stored === undefined ? undefined : { constant: stored };
  }

  #refuse<T>(name: string, expected: string, instead: T): T {
    const argument = this.#argument(name);
    const found = argument === undefined ? 'missing' : 'constant' in argument ? brief(argument.constant) : 'a value of the model';
    this.decline(`its argument "${name}" is ${found}, expected ${expected}`);
    return instead;
  }
}

export function isConstant(operand: Operand): operand is { readonly constant: Constant } {
  return 'constant' in operand;
}

/** The value of the model that an operand is. */
export function valueAt(operand: Operand, inputs: readonly Value[]): Value {
  return inputs[(operand as { input: number }).input]!;
}
