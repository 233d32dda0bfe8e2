/**
 * The objects of TensorFlow 2: what a SavedModel says of the object that was saved (its variables, constants and functions), and what a
 * checkpoint says of whose values it holds. Both are graphs of objects that are reached by the names of attributes, from the first one on.
 *
 * @see https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/protobuf/saved_object_graph.proto, struct.proto and
 *   trackable_object_graph.proto
 */
import { type ByteSource, memorySource } from '../bytes/byte-source.js';
import { type Field, WireReader } from './protobuf.js';
import { readTensorShape, type TfShape, tfDTypeName } from './tf-graph.js';

/** A function as it was traced: its tensors come before what it captured. */
export interface TracedFunction {
  readonly inputs: readonly TensorSpec[];
  /** Objects that it captured, by their numbers. */
  readonly captured: readonly number[];
  /** Names of its results where it gives a dictionary; null elsewhere. */
  readonly outputs: readonly string[] | null;
  /** How many of its arguments are `True`: traces for training have one more. */
  readonly truths: number;
}

export interface TensorSpec {
  /** '' where it has none. */
  readonly name: string;
  readonly dtype: string;
  readonly shape: TfShape;
}

export interface SavedObject {
  /** Numbers of the objects that are its attributes, by their names. */
  readonly children: ReadonlyMap<string, number>;
  /** `traces`: names of functions of the library; `node`: a constant's name in the graph. */
  readonly kind: 'function' | 'variable' | 'constant' | 'other';
  readonly traces: readonly string[];
  readonly node: string;
}

export interface SavedObjects {
  readonly objects: readonly SavedObject[];
  readonly functions: ReadonlyMap<string, TracedFunction>;
}

export interface CheckpointObject {
  readonly children: ReadonlyMap<string, number>;
  /** What it has values of: the full name in the graph, and the key of the bundle. */
  readonly values: readonly { readonly name: string; readonly key: string }[];
}

const OBJECT_GRAPH = { nodes: 1, functions: 2 } as const;
const OBJECT = { children: 1, function: 6, variable: 7, bareFunction: 8, constant: 9 } as const;
const TRACED = { captured: 2, inputs: 3, outputs: 4 } as const;
const VALUE = { bool: 14, spec: 33, boundedSpec: 35, list: 51, tuple: 52, dict: 53, named: 54 } as const;
/** Dictionaries within lists within dictionaries. */
const MAX_DEPTH = 32;

/** A value's key is the attributes that lead to it from the object that was saved, and this. */
export const VALUE_SUFFIX = '/.ATTRIBUTES/VARIABLE_VALUE';

/** The SavedObjectGraph that lies in a field. @throws ModelError 'malformed' */
export async function readSavedObjects(source: ByteSource, { start, end }: Field): Promise<SavedObjects> {
  const wire = new WireReader(source);
  const objects: SavedObject[] = [];
  const functions = new Map<string, TracedFunction>();
  for await (const field of wire.fields(start, end)) {
    if (field.number === OBJECT_GRAPH.nodes) objects.push(await readObject(wire, field));
    else if (field.number === OBJECT_GRAPH.functions) {
      const [name, value] = await readPair(wire, field);
      if (value) functions.set(name, await readTraced(wire, value));
    }
  }
  return { objects, functions };
}

/** The TrackableObjectGraph of a checkpoint. */
export async function parseCheckpointObjects(bytes: Uint8Array, file: string): Promise<readonly CheckpointObject[]> {
  const wire = new WireReader(memorySource(bytes, file));
  const objects: CheckpointObject[] = [];
  for await (const node of wire.fields(0, bytes.byteLength)) {
    if (node.number !== 1) continue;
    const children = new Map<string, number>();
    const values: { name: string; key: string }[] = [];
    for await (const part of wire.fields(node.start, node.end)) {
      if (part.number === 1) children.set(...(await readReference(wire, part)));
      if (part.number !== 2) continue;
      const value = { name: '', key: '' };
      for await (const field of wire.fields(part.start, part.end)) {
        if (field.number === 2) value.name = await wire.text(field);
        else if (field.number === 3) value.key = await wire.text(field);
      }
      values.push(value);
    }
    objects.push({ children, values });
  }
  return objects;
}

async function readObject(wire: WireReader, { start, end }: Field): Promise<SavedObject> {
  const children = new Map<string, number>();
  const traces: string[] = [];
  let kind: SavedObject['kind'] = 'other';
  let node = '';
  for await (const field of wire.fields(start, end)) {
    if (field.number === OBJECT.children) children.set(...(await readReference(wire, field)));
    else if (field.number === OBJECT.variable) kind = 'variable';
    else if (field.number === OBJECT.constant) {
      kind = 'constant';
      for await (const part of wire.fields(field.start, field.end)) if (part.number === 1) node = await wire.text(part);
    } else if (field.number === OBJECT.function || field.number === OBJECT.bareFunction) {
      kind = 'function';
      for await (const part of wire.fields(field.start, field.end)) if (part.number === 1) traces.push(await wire.text(part));
    }
  }
  return { children, kind, traces, node };
}

async function readTraced(wire: WireReader, { start, end }: Field): Promise<TracedFunction> {
  const captured: number[] = [];
  let inputs: Leaves = { specs: [], truths: 0, keys: null };
  let outputs: Leaves = inputs;
  for await (const field of wire.fields(start, end)) {
    if (field.number === TRACED.captured) for (const node of field.wireType === 2 ? await wire.varints(field) : [field.varint]) captured.push(Number(node));
    else if (field.number === TRACED.inputs) inputs = await readLeaves(wire, field, 0);
    else if (field.number === TRACED.outputs) outputs = await readLeaves(wire, field, 0);
  }
  return { captured, inputs: inputs.specs, truths: inputs.truths, outputs: outputs.keys };
}

/** The tensors of nested lists and dictionaries, in the order in which functions take them. */
interface Leaves {
  readonly specs: readonly TensorSpec[];
  readonly truths: number;
  /** Of a dictionary of tensors: its keys, in the tensors' order. */
  readonly keys: readonly string[] | null;
}

async function readLeaves(wire: WireReader, { start, end }: Field, depth: number): Promise<Leaves> {
  if (depth > MAX_DEPTH) throw wire.error(start, `values are nested more than ${MAX_DEPTH} deep`);
  for await (const field of wire.fields(start, end)) {
    if (field.number === VALUE.bool) return { specs: [], truths: Number(field.varint !== 0n), keys: null };
    if (field.number === VALUE.spec || field.number === VALUE.boundedSpec) return { specs: [await readSpec(wire, field)], truths: 0, keys: null };
    const isPaired = field.number === VALUE.dict || field.number === VALUE.named;
    if (!isPaired && field.number !== VALUE.list && field.number !== VALUE.tuple) continue;
    const items: [key: string, leaves: Leaves][] = [];
    for await (const part of wire.fields(field.start, field.end)) {
      if (!isPaired && part.number === 1) items.push(['', await readLeaves(wire, part, depth + 1)]);
      if (!isPaired || part.number !== (field.number === VALUE.dict ? 1 : 2)) continue;
      const [key, value] = await readPair(wire, part);
      if (value) items.push([key, await readLeaves(wire, value, depth + 1)]);
    }
    // A dictionary is taken by its sorted keys.
    if (field.number === VALUE.dict) items.sort(([a], [b]) => (a < b ? -1 : 1));
    const isFlat = isPaired && items.every(([, { specs, keys }]) => specs.length === 1 && keys === null);
    return {
      specs: items.flatMap(([, { specs }]) => specs),
      truths: items.reduce((sum, [, { truths }]) => sum + truths, 0),
      keys: isFlat ? items.map(([key]) => key) : null,
    };
  }
  return { specs: [], truths: 0, keys: null };
}

async function readSpec(wire: WireReader, { start, end }: Field): Promise<TensorSpec> {
  let name = '';
  let dtype = '';
  let shape: TfShape = [];
  for await (const field of wire.fields(start, end)) {
    if (field.number === 1) name = await wire.text(field);
    else if (field.number === 2) shape = await readTensorShape(wire, field);
    else if (field.number === 3) dtype = tfDTypeName(Number(field.varint));
  }
  return { name, dtype, shape };
}

async function readReference(wire: WireReader, { start, end }: Field): Promise<[name: string, object: number]> {
  let name = '';
  let object = 0;
  for await (const field of wire.fields(start, end)) {
    if (field.number === 1) object = Number(field.varint);
    else if (field.number === 2) name = await wire.text(field);
  }
  return [name, object];
}

/** Key and value of a map's entry. */
async function readPair(wire: WireReader, { start, end }: Field): Promise<[string, Field | null]> {
  let key = '';
  let value: Field | null = null;
  for await (const part of wire.fields(start, end)) {
    if (part.number === 1) key = await wire.text(part);
    else if (part.number === 2) value = part;
  }
  return [key, value];
}
