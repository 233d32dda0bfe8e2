/**
 * Calls of layers, as `inbound_nodes` states them: which tensors flow in, and what else the layer is called with.
 *
 * Keras 1 and 2 and tf.keras list [layer, node, tensor, keyword arguments] for each tensor of the first argument; a tensor among the
 * keyword arguments is such a triple too, and a constant in the first place is named `_CONSTANT_VALUE`. Keras 3 writes `args` and
 * `kwargs` as they were given, with tensors as objects.
 */
import { ModelError } from '../../errors.js';
import { isIndex, isObject, list, object } from './json.js';

/** An output of one call of a layer. */
export interface TensorRef {
  readonly layer: string;
  /** Which call of the layer, from 0. */
  readonly call: number;
  /** Which of the call's outputs. */
  readonly tensor: number;
}

/**
 * An argument: one of the call's inputs, by its place among them; a list that holds inputs; or plain JSON. What a dictionary holds is a list in
 * the order of its keys, which is how Keras numbers them.
 */
export type Argument = { readonly input: number } | { readonly list: readonly Argument[]; readonly keys?: readonly string[] } | { readonly constant: unknown };

export interface CallArguments {
  /** Every tensor among the arguments, in their order. */
  readonly inputs: readonly TensorRef[];
  readonly positional: readonly Argument[];
  readonly named: Readonly<Record<string, Argument>>;
}

export const NO_ARGUMENTS: CallArguments = { inputs: [], positional: [], named: {} };

/** What tf.keras calls a constant in the place of the first tensor. */
const CONSTANT_LAYER = '_CONSTANT_VALUE';

/**
 * Reads one entry of `inbound_nodes`.
 *
 * @param isLayer whether the model has a layer of this name: it tells tensors from lists that look like them
 */
export function parseCall(node: unknown, layer: string, isLayer: (name: string) => boolean, file: string): CallArguments {
  const where = `inbound_nodes of "${layer}"`;
  const inputs: TensorRef[] = [];
  const add = (ref: TensorRef): Argument => ({ input: inputs.push(ref) - 1 });
  if (!Array.isArray(node)) {
    const { args, kwargs, ...others } = object(node, where, file);
    // tf.keras has a model that is called with a dictionary so.
    const keys = Object.keys(others).toSorted();
    const given = Object.entries(others).every(([, one]) => Array.isArray(one) && tensorTriple(one.slice(0, 3), isLayer) !== null);
    if (args === undefined && kwargs === undefined && keys.length > 0 && given) {
      const list = keys.map((key) => add(parseRef(others[key] as unknown[], where, file)));
      return { inputs, positional: [{ list, keys }], named: {} };
    }
    const convert = (value: unknown) => toArgument(value, (one) => tensorOfKeras3(one, where, file), add);
    return { inputs, positional: list(args, where, file).map(convert), named: mapValues(kwargs, convert) };
  }
  // A call with one tensor may lack the outer list.
  const isOne = typeof node[0] === 'string';
  const entries = (isOne ? [node] : node).map((entry) => list(entry, where, file));
  const first = entries.map((parts): Argument => (parts[0] === CONSTANT_LAYER ? { constant: parts[2] } : add(parseRef(parts, where, file))));
  // Each tensor repeats the arguments.
  const kwargs = Object.fromEntries(entries.toReversed().flatMap((parts) => (isObject(parts[3]) ? Object.entries(parts[3]) : [])));
  const convert = (value: unknown) => toArgument(value, (one) => tensorTriple(one, isLayer), add);
  return { inputs, positional: isOne ? first : [{ list: first }], named: mapValues(kwargs, convert) };
}

function mapValues(value: unknown, convert: (one: unknown) => Argument): Record<string, Argument> {
  return Object.fromEntries(Object.entries(isObject(value) ? value : {}).map(([name, one]) => [name, convert(one)]));
}

function toArgument(value: unknown, tensorOf: (one: unknown) => TensorRef | null, add: (ref: TensorRef) => Argument): Argument {
  const ref = tensorOf(value);
  if (ref) return add(ref);
  if (isObject(value) && value.class_name === undefined) {
    const keys = Object.keys(value).toSorted();
    const items = keys.map((key) => toArgument(value[key], tensorOf, add));
    return items.every((item) => 'constant' in item) ? { constant: value } : { list: items, keys };
  }
  if (!Array.isArray(value)) return { constant: value };
  const items = value.map((one) => toArgument(one, tensorOf, add));
  return items.every((item) => 'constant' in item) ? { constant: value } : { list: items };
}

function tensorOfKeras3(value: unknown, where: string, file: string): TensorRef | null {
  if (!isObject(value) || value.class_name !== '__keras_tensor__' || !isObject(value.config)) return null;
  return Array.isArray(value.config.keras_history) ? parseRef(value.config.keras_history, where, file) : null;
}

function tensorTriple(value: unknown, isLayer: (name: string) => boolean): TensorRef | null {
  if (!Array.isArray(value) || value.length !== 3) return null;
  const [layer, call, tensor] = value as unknown[];
  return typeof layer === 'string' && isLayer(layer) && isIndex(call) && isIndex(tensor) ? { layer, call, tensor } : null;
}

export function parseRef([layer, call, tensor]: readonly unknown[], what: string, file: string): TensorRef {
  if (typeof layer !== 'string' || !isIndex(call) || !isIndex(tensor)) {
    throw new ModelError('malformed', `${what} holds ${JSON.stringify([layer, call, tensor])?.slice(0, 80)}, expected [layer name, node, tensor]`, { file });
  }
  return { layer, call, tensor };
}

/** The call without one of its named arguments, and without the inputs that it held. */
export function withoutArgument<T extends CallArguments>(call: T, name: string): T {
  if (!Object.hasOwn(call.named, name)) return call;
  const { [name]: _, ...named } = call.named;
  const used = [...call.positional, ...Object.values(named)].flatMap(inputsIn);
  const renumbered = (argument: Argument): Argument => {
    if ('input' in argument) return { input: used.indexOf(argument.input) };
    return 'list' in argument ? { ...argument, list: argument.list.map(renumbered) } : argument;
  };
  return {
    ...call,
    inputs: used.map((input) => call.inputs[input]!),
    positional: call.positional.map(renumbered),
    named: Object.fromEntries(Object.entries(named).map(([key, argument]) => [key, renumbered(argument)])),
  };
}

/**
 * A model's call with its inputs in the model's order, where a dictionary holds them.
 *
 * @param ends the model's inputs: by keys of their own, or by the names of their layers
 * @throws ModelError 'malformed' where the dictionary has other keys
 */
export function inputsInOrder<T extends CallArguments>(
  call: T,
  ends: readonly { readonly layer: string; readonly key?: string }[],
  where: string,
  file: string,
): T {
  const [first, ...others] = call.positional;
  if (!first || !('list' in first) || !first.keys) return call;
  const { list, keys } = first;
  const wanted = ends.map(({ layer, key }) => key ?? layer);
  const places = wanted.map((name) => keys.indexOf(name));
  const isWhole = ends.every(({ key }) => key === undefined) || keys.length === wanted.length;
  if (places.includes(-1) || !isWhole)
    throw new ModelError('malformed', `the model is called with "${keys.join('", "')}", but takes "${wanted.join('", "')}"`, { file, layer: where });
  return { ...call, positional: [{ list: places.map((place) => list[place]!) }, ...others] };
}

/** Arguments that are a layer's inputs, whatever the layer. */
const INPUTS = 'inputs';

/** The places of a call's inputs that are what the layer works on: all that are given by place, as `inputs`, or under further names. */
export function plainInputs({ positional, named }: CallArguments, also: readonly string[] = []): readonly number[] {
  return [...positional, ...[INPUTS, ...also].flatMap((name) => (named[name] ? [named[name]] : []))].flatMap(inputsIn);
}

/**
 * What a layer is called with besides its inputs that may change what it computes: neither nothing, nor `training: false`, nor a
 * mask of nothing.
 *
 * @param also names of arguments that are further inputs
 * @param overruled names of arguments that a prediction gives itself, whatever they are here
 */
export function extraArguments({ positional, named }: CallArguments, also: readonly string[] = [], overruled: readonly string[] = []): string[] {
  const changes = (value: unknown) => !isNothing(value);
  const extras = positional
    .flatMap(constantsIn)
    .filter(changes)
    .map((value) => JSON.stringify(value));
  for (const [name, argument] of Object.entries(named)) {
    if (name === INPUTS || overruled.includes(name)) continue;
    const constants = constantsIn(argument).filter((value) => changes(value) && !(name === 'training' && (value === false || value === 0)));
    if (inputsIn(argument).length > 0 && !also.includes(name)) extras.push(`${name}=a value of the model`);
    else if (constants.length > 0) extras.push(`${name}=${JSON.stringify(constants.length === 1 ? constants[0] : constants)}`);
  }
  return extras;
}

function constantsIn(argument: Argument): unknown[] {
  if ('constant' in argument) return [argument.constant];
  return 'list' in argument ? argument.list.flatMap(constantsIn) : [];
}

function inputsIn(argument: Argument): number[] {
  if ('input' in argument) return [argument.input];
  return 'list' in argument ? argument.list.flatMap(inputsIn) : [];
}

/** null, or lists of nothing but null: a mask for each of several inputs. */
function isNothing(value: unknown): boolean {
  return value === null || value === undefined || (Array.isArray(value) && value.every(isNothing));
}
