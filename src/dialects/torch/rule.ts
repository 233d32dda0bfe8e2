/** What a rule is: the parameters of one of PyTorch's operators, and what a call of it becomes. */
import { ModelError } from '../../errors.js';
import type { Value } from '../../model/builder.js';
import { Call, type Workshop } from './call.js';
import { type Item, List, Real, TensorItem } from './items.js';

export interface Rule {
  readonly parameters: readonly Parameter[];
  /** @throws ModelError 'unsupported' for what cannot be said */
  run(call: Call): Item | Value;
}

interface Parameter {
  readonly name: string;
  /** Undefined where it must be given. */
  readonly usual: Item | undefined;
}

export type Rules = Readonly<Record<string, Rule>>;

/** @param signature the operator's parameters as PyTorch declares them: 'self, dim, keepdim=False' */
export function rule(signature: string, run: Rule['run']): Rule {
  return { parameters: signature === '' ? [] : signature.split(', ').map(parameter), run };
}

function parameter(text: string): Parameter {
  const [name, usual] = text.split('=') as [string, string | undefined];
  return { name, usual: usual === undefined ? undefined : usualItem(usual) };
}

function usualItem(text: string): Item {
  if (text === 'None') return null;
  if (text === 'True' || text === 'False') return text === 'True';
  if (text === '[]') return new List([]);
  if (/^-?\d+$/.test(text)) return Number(text);
  return /^-?[\d.]/.test(text) ? new Real(Number(text)) : text;
}

/** Fills the parameters. @throws ModelError 'unsupported' for arguments that the rule does not know */
export function callOf(op: string, { parameters }: Rule, args: readonly Item[], named: ReadonlyMap<string, Item>, shop: Workshop): Call {
  const given = new Map<string, Item>();
  for (const { name, usual } of parameters) if (usual !== undefined) given.set(name, usual);
  if (args.length > parameters.length) throw new ModelError('unsupported', `${op}: it has ${args.length} arguments, and ${parameters.length} are known`);
  args.forEach((arg, i) => {
    given.set(parameters[i]!.name, arg);
  });
  for (const [name, item] of named) {
    const known = parameters.some((one) => one.name === name);
    // Where a tensor lies and how its memory is arranged changes nothing.
    if (!known && item !== null && !WITHOUT_EFFECT.has(name)) throw new ModelError('unsupported', `${op}: its argument ${name} is not known`);
    if (known) given.set(name, item);
  }
  return new Call(op, given, shop);
}

const WITHOUT_EFFECT: ReadonlySet<string> = new Set(['layout', 'device', 'pin_memory', 'memory_format', 'non_blocking']);

/** What a rule made, as an item. */
export function asItem(made: Item | Value): Item {
  return isValue(made) ? new TensorItem(made) : made;
}

export function isValue(made: Item | Value): made is Value {
  return typeof made === 'object' && made !== null && 'dtype' in made && 'shape' in made;
}

export function listOf(values: readonly Value[]): List {
  return new List(values.map((value) => new TensorItem(value)));
}
