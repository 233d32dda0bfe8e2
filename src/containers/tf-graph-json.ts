/**
 * The GraphDef that a TensorFlow.js graph model keeps as JSON: protobuf's JSON form, in which bytes are base64 and 64-bit numbers may
 * be text. Weights are not in it: a Const without a value takes the one of its name from the manifest.
 *
 * @see https://protobuf.dev/programming-guides/json/ and tfjs-converter's src/data/compiled_api.ts
 */

import { memorySource } from '../bytes/byte-source.js';
import { ModelError } from '../errors.js';
import { type Origin, storedTensor, type Tensor } from '../model/tensor.js';
import { isObject, type JsonObject as Json } from './json.js';
import {
  dtypeOfJson,
  filledTensor,
  isNumberDType,
  splitInputs,
  type TfAttribute,
  type TfFunction,
  type TfGraph,
  type TfNode,
  type TfShape,
} from './tf-graph.js';

const MAX_NODES = 1_000_000;
const MAX_DEPTH = 8;

/**
 * @param topology the `modelTopology` of a graph model
 * @throws ModelError 'malformed' where it is no GraphDef
 */
export function parseGraphJson(topology: Json, file: string): TfGraph {
  const library = isObject(topology.library) ? topology.library : {};
  const functions = list(library.function).map((entry) => parseFunction(entry, file));
  const versions = isObject(topology.versions) ? topology.versions : {};
  return {
    nodes: parseNodes(topology.node, file),
    functions: new Map(functions.map((one) => [one.name, one])),
    producer: Number(versions.producer ?? 0),
  };
}

function parseNodes(nodes: unknown, file: string): TfNode[] {
  const entries = list(nodes);
  if (entries.length > MAX_NODES) throw new ModelError('unsafe', `more than ${MAX_NODES} nodes`, { file });
  return entries.map((entry, i): TfNode => {
    const { name, op, input = [], attr = {} } = isObject(entry) ? entry : ({} as Json);
    if (typeof name !== 'string' || typeof op !== 'string' || !Array.isArray(input) || !isObject(attr))
      throw new ModelError('malformed', `node ${i} of the topology has no name and operator`, { file });
    const attributes = new Map<string, TfAttribute>();
    for (const [key, value] of Object.entries(attr)) {
      const parsed = parseAttribute(value, { file, name: `${name}/${key}` }, 0);
      if (parsed) attributes.set(key, parsed);
    }
    return { name, op, ...splitInputs(input.map(String)), attributes };
  });
}

function parseFunction(entry: unknown, file: string): TfFunction {
  const { signature, nodeDef, ret } = isObject(entry) ? entry : ({} as Json);
  const { name, inputArg, outputArg } = isObject(signature) ? signature : ({} as Json);
  if (typeof name !== 'string') throw new ModelError('malformed', 'a function of the library has no name', { file });
  const names = (args: unknown) => list(args).map((arg) => String(isObject(arg) ? arg.name : ''));
  const results = isObject(ret) ? ret : {};
  return {
    name,
    arguments: names(inputArg),
    results: names(outputArg).map((output) => [output, String(results[output] ?? '')] as const),
    nodes: parseNodes(nodeDef, file),
  };
}

function parseAttribute(value: unknown, place: { file: string; name: string }, depth: number): TfAttribute | null {
  if (!isObject(value)) return null;
  if (depth > MAX_DEPTH) throw new ModelError('malformed', `attributes are nested more than ${MAX_DEPTH} deep`, { file: place.file });
  if ('s' in value) return { kind: 'string', value: decodeText(value.s) };
  if ('i' in value) return { kind: 'int', value: Number(value.i) };
  if ('f' in value) return { kind: 'float', value: Number(value.f) };
  if ('b' in value) return { kind: 'bool', value: value.b === true };
  if ('type' in value) return { kind: 'type', value: dtypeOfJson(value.type) };
  if ('shape' in value) return { kind: 'shape', value: parseShape(value.shape) };
  if ('tensor' in value) return { kind: 'tensor', value: parseTensor(value.tensor, place) };
  if ('func' in value) return { kind: 'function', value: { name: String(isObject(value.func) ? value.func.name : '') } };
  if (!('list' in value)) return null;
  const items = isObject(value.list) ? value.list : {};
  const parsed = Object.entries(items).flatMap(([key, entries]) => list(entries).map((entry) => parseAttribute({ [key]: entry }, place, depth + 1)));
  return { kind: 'list', value: parsed.filter((item) => item !== null) };
}

function parseShape(value: unknown): TfShape {
  const { dim, unknownRank } = isObject(value) ? value : ({} as Json);
  if (unknownRank === true) return null;
  return list(dim).map((entry) => Number(isObject(entry) ? (entry.size ?? 0) : 0));
}

/** TensorProto's fields of values, by their names in JSON. */
const VALUE_FIELDS = ['floatVal', 'doubleVal', 'intVal', 'int64Val', 'boolVal', 'halfVal', 'uint32Val', 'uint64Val'] as const;

function parseTensor(value: unknown, { file, name }: { file: string; name: string }): Tensor | null {
  const proto = isObject(value) ? value : {};
  const dtype = dtypeOfJson(proto.dtype);
  if (!isNumberDType(dtype)) return null;
  const shape = parseShape(proto.tensorShape);
  const place = { file, tensor: name };
  if (!shape?.every((size) => Number.isSafeInteger(size) && size >= 0)) throw new ModelError('malformed', `a constant of shape [${shape ?? '?'}]`, place);
  const origin: Origin = { file, name };
  if (typeof proto.tensorContent === 'string' && proto.tensorContent !== '') {
    return storedTensor({ name, dtype, shape, source: memorySource(decodeBase64(proto.tensorContent), file), origin });
  }
  if (dtype.startsWith('complex')) throw new ModelError('unsupported', 'complex numbers that are written out in JSON are not read', place);
  const values = VALUE_FIELDS.flatMap((field) => list(proto[field])).map((item) =>
    dtype.endsWith('64') && !dtype.startsWith('f') ? BigInt(item as string) : Number(item),
  );
  return filledTensor({ name, dtype, shape, values, origin });
}

/** Words are base64 of UTF-8; old converters left lists of character codes. */
function decodeText(value: unknown): string {
  if (Array.isArray(value)) return String.fromCharCode(...value.map(Number).slice(0, 10_000));
  return new TextDecoder().decode(decodeBase64(String(value)));
}

function decodeBase64(text: string): Uint8Array {
  try {
    return Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (character) => character.charCodeAt(0));
  } catch (error) {
    throw new ModelError('malformed', `${JSON.stringify(text.slice(0, 40))} in an attribute is no base64`, {}, error);
  }
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
