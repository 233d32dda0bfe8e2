/**
 * Writes an ONNX file that was read from one, and changes only what was asked for.
 *
 * The file is copied field by field, so nodes, names, order, metadata, functions and whatever is not understood stay as they are; but for
 * what the stock runtime is known to compute wrongly, which is written around. A weight that is to be narrower gets another name, and a Cast or DequantizeLinear in front of all nodes gives it under its own.
 */
import type { ByteSource } from '../../bytes/byte-source.js';
import { type ReadModel, type ReadNode, withConstants } from '../../containers/onnx.js';
import { DATA_TYPE, ENTRY, EXTERNAL, GRAPH, MODEL, NODE, TENSOR } from '../../containers/onnx-schema.js';
import { type Field, WireReader } from '../../containers/protobuf.js';
import { MessageBuilder, type Span } from '../../containers/protobuf-writer.js';
import { type CastTally, castTensor, newCastTally } from '../../model/cast.js';
import { DTYPE_BYTES, type DType, isFloatDType } from '../../model/dtype.js';
import type { LayerMap, Notice } from '../../model/layer-map.js';
import { Names } from '../../model/names.js';
import { operatorOf, slotName } from '../../model/ops/index.js';
import { channelScales, quantiseChannels } from '../../model/quantise.js';
import { elementCount, float32Tensor, type Tensor } from '../../model/tensor.js';
import type { WriteOptions } from '../writer.js';
import { type ExternalPlace, encodeEntry, encodeInitializer, encodeNode, encodePort, tensorSpan } from './encode.js';
import { intAttribute, type OnnxNode } from './graph.js';
import { KEPT_APART, madeBy, type NarrowedWeight } from './plan.js';
import { sourceModel } from './source.js';

/** Today's runtimes run nothing older; such files are written anew. */
const OLDEST_OPSET = 7;
/** Per-channel scales and bfloat16 came with it. */
const NARROW_OPSET = 13;
const COPY_BYTES = 2 ** 20;

/** The file that can be copied; null where the map was changed, or what is asked for changes the whole graph. */
export function patchable(map: LayerMap, options: WriteOptions): ReadModel | null {
  const model = sourceModel(map);
  if (!model || map.source?.layers !== map.layers || map.warnings.some(({ code }) => code === 'inference')) return null;
  const opset = model.opsets.get('') ?? model.opsets.get('ai.onnx') ?? 1;
  if (options.float16Compute || options.layout !== 'source' || (options.opset !== undefined && options.opset !== opset)) return null;
  if (opset < OLDEST_OPSET) return null;
  if (opset < NARROW_OPSET && (options.dtype === 'int8' || options.dtype === 'bfloat16')) return null;
  // Bytes beside the file that no initializer of the graph owns would stay behind.
  if (model.externalCount !== model.storedTensors.filter(({ isExternal }) => isExternal).length) return null;
  return model;
}

/** A weight that is stored anew. */
interface Change {
  readonly storedName: string;
  readonly tensor: Tensor;
  /** Scales of int8, stored beside it. */
  readonly scale?: { readonly name: string; readonly tensor: Tensor };
  readonly nodes: readonly OnnxNode[];
}

export interface Patch {
  readonly model: ReadModel;
  readonly changes: ReadonlyMap<string, Change>;
  readonly narrowed: readonly NarrowedWeight[];
  /** Nodes that the runtime would take together wrongly with what makes their first input, and the name that it gets behind a Concat of one. */
  readonly apart: ReadonlyMap<ReadNode, string>;
  /** All tensors of the file by the name they are stored under, with the bytes that they are to have. */
  readonly stored: readonly { readonly name: string; readonly bytes: Span; readonly wasExternal: boolean }[];
}

/** What changes of a file; weights that become int8 are read for it. */
export async function planPatch(model: ReadModel, options: WriteOptions): Promise<Patch> {
  const names = new Names();
  for (const name of [...model.initializers.keys(), ...model.nodes.flatMap(({ outputs }) => outputs), ...model.inputs.map((port) => port.name)])
    names.take(name);
  const changes = new Map<string, Change>();
  const narrowed: NarrowedWeight[] = [];
  if (options.dtype !== 'source') {
    for (const { name, tensor, axis, node } of largeWeights(model, options.dtype)) {
      if (changes.has(name) || tensor.dtype === options.dtype) continue;
      const change = options.dtype === 'int8' ? await quantised(name, tensor, axis!, node, names) : cast(name, tensor, options.dtype, names);
      if (change.tally) narrowed.push({ layer: node.name || (node.outputs[0] ?? ''), tensor, dtype: options.dtype, tally: change.tally });
      changes.set(name, change);
    }
  }
  const kept = model.storedTensors.map(({ name, bytes, isExternal }) => {
    const change = changes.get(name);
    return change
      ? { name: change.storedName, bytes: tensorSpan(change.tensor), wasExternal: isExternal }
      : { name, bytes: sourceSpan(bytes, 0, bytes.byteLength), wasExternal: isExternal };
  });
  return { model, changes, narrowed, apart: keptApart(model, names), stored: kept };
}

function keptApart({ nodes }: ReadModel, names: Names): ReadonlyMap<ReadNode, string> {
  const makers = new Map(nodes.flatMap((node) => node.outputs.map((value) => [value, node] as const)));
  const isWrong = ({ domain, op, inputs }: ReadNode) =>
    (domain === '' || domain === 'ai.onnx') && Object.hasOwn(KEPT_APART, op) && madeBy(inputs[0] ?? '', makers, (maker) => maker.op === KEPT_APART[op]);
  return new Map(nodes.filter(isWrong).map((node) => [node, names.take(`${node.name || node.outputs[0]}/input`)]));
}

/** What is done to a copy that nobody asked for. */
export function apartNotices({ apart }: Patch): Notice[] {
  return [...apart.keys()].map(({ name, op, outputs }) => ({
    code: 'kept-apart',
    message: `a Concat of one value stands between the ${KEPT_APART[op]} and this ${op}, which ONNX Runtime would take together and compute wrongly`,
    layer: name || (outputs[0] ?? ''),
  }));
}

/** Kernels of LSTM, GRU and RNN nodes [directions, gates x hidden, inputs] by their slots, and the axis with a scale for each place: the map has these nodes as layers for each step. */
const RECURRENT_KERNELS: ReadonlyMap<number, number> = new Map([
  [1, 1],
  [2, 1],
]);
const RECURRENT: ReadonlySet<string> = new Set(['LSTM', 'GRU', 'RNN']);

interface LargeWeight {
  readonly name: string;
  readonly tensor: Tensor;
  /** Of the channels, as the file has the axes; null for what has none, such as a bias. */
  readonly axis: number | null;
  readonly node: ReadNode;
}

/** The wider weights that nearly all bytes of a net are in. */
function* largeWeights(model: ReadModel, dtype: DType): Generator<LargeWeight> {
  const constants = withConstants(model).initializers;
  const same = new Map(model.nodes.filter(({ op }) => op === 'Identity').map(({ inputs, outputs }) => [outputs[0]!, inputs[0]!]));
  for (const node of model.nodes) {
    for (const [place, axisOf] of largePlaces(node)) {
      let name = node.inputs[place] ?? '';
      while (same.has(name)) name = same.get(name)!;
      const tensor = constants.get(name);
      if (!tensor || !isFloatDType(tensor.dtype) || DTYPE_BYTES[tensor.dtype] <= DTYPE_BYTES[dtype] || elementCount(tensor.shape) === 0) continue;
      const axis = axisOf(tensor.shape.length);
      if (dtype === 'int8' && axis === null) continue;
      yield { name, tensor, axis, node };
    }
  }
}

/** Which inputs of a node are large weights, and the axis of the channels of each, given its rank. */
function largePlaces(node: ReadNode): (readonly [place: number, axisOf: (rank: number) => number | null])[] {
  if (node.domain !== '' && node.domain !== 'ai.onnx') return [];
  if (RECURRENT.has(node.op)) return [...RECURRENT_KERNELS].map(([place, axis]) => [place, () => axis] as const);
  const operator = operatorOf(node.op);
  const { narrow } = operator ?? {};
  if (!operator || !narrow) return [];
  return operator.slots
    .map(slotName)
    .flatMap((slot, place) => (operator.weights?.includes(slot) ? [[place, (rank: number) => channelAxis(node, narrow[slot], rank)] as const] : []));
}

function channelAxis(node: ReadNode, narrow: number | undefined, rank: number): number | null {
  if (narrow === undefined) return null;
  if (node.op === 'Gemm') return node.attributes.get('transB') === 1 ? 0 : 1;
  if (node.op === 'Gather' && (node.attributes.get('axis') ?? 0) !== 0) return null;
  return narrow < 0 ? rank + narrow : narrow;
}

function cast(name: string, tensor: Tensor, dtype: DType, names: Names): Change & { tally: CastTally } {
  const tally = newCastTally();
  const storedName = names.take(`${name}/${dtype}`);
  const node = { name: `${name}/cast`, op: 'Cast', inputs: [storedName], outputs: [name], attributes: { to: intAttribute(DATA_TYPE[tensor.dtype]) } };
  return { storedName, tensor: castTensor(tensor, dtype, tally), nodes: [node], tally };
}

/** As our own files have it: a Flatten keeps a kernel apart from a MatMul, see `plan.ts`. */
async function quantised(name: string, tensor: Tensor, axis: number, node: ReadNode, names: Names): Promise<Change & { tally?: undefined }> {
  const scales = await channelScales(tensor, axis);
  const storedName = names.take(`${name}/int8`);
  const scale = { name: names.take(`${name}/scale`), tensor: float32Tensor('scale', [scales.length], scales, { file: 'weighbridge' }) };
  const isMultiplied = tensor.shape.length === 2 && (node.op === 'MatMul' || (node.op === 'Gemm' && axis === 1));
  const isWide = tensor.dtype === 'float32';
  const made = isMultiplied || !isWide ? names.take(`${name}/float32`) : name;
  const kept = isMultiplied && !isWide ? names.take(`${name}/apart`) : name;
  const nodes: OnnxNode[] = [
    { name: `${name}/dequantize`, op: 'DequantizeLinear', inputs: [storedName, scale.name], outputs: [made], attributes: { axis: intAttribute(axis) } },
  ];
  if (isMultiplied) nodes.push({ name: `${name}/flatten`, op: 'Flatten', inputs: [made], outputs: [kept], attributes: { axis: intAttribute(1) } });
  if (!isWide)
    nodes.push({
      name: `${name}/cast`,
      op: 'Cast',
      inputs: [isMultiplied ? kept : made],
      outputs: [name],
      attributes: { to: intAttribute(DATA_TYPE[tensor.dtype]) },
    });
  return { storedName, tensor: quantiseChannels(tensor, axis, scales), scale, nodes };
}

/** The model, but for our metadata. @param places where tensors lie that are to be beside the file */
export async function encodePatch(patch: Patch, places: ReadonlyMap<string, ExternalPlace>): Promise<MessageBuilder> {
  const { file } = patch.model;
  const wire = new WireReader(file);
  const message = new MessageBuilder();
  const copy = new Copier(file, message);
  let at = 0;
  for await (const field of wire.fields(0, file.byteLength)) {
    if (field.number === MODEL.graph) {
      copy.flush();
      message.message(MODEL.graph, await encodeGraph(patch, field, wire, places));
    } else if (field.number === MODEL.metadata && (await isOurs(wire, field))) copy.flush();
    else copy.add(at, field.end);
    at = field.end;
  }
  copy.flush();
  return message;
}

async function encodeGraph(
  { model, changes, apart }: Patch,
  graph: Field,
  wire: WireReader,
  places: ReadonlyMap<string, ExternalPlace>,
): Promise<MessageBuilder> {
  const message = new MessageBuilder();
  const copy = new Copier(model.file, message);
  const stored = new Map(model.storedTensors.map((tensor) => [tensor.span.start, tensor]));
  let isFirstNode = true;
  let nodeIndex = 0;
  let at = graph.start;
  const addStored = (name: string, tensor: Tensor) => message.message(GRAPH.initializer, encodeInitializer({ name, tensor }, places.get(name)));
  for await (const field of wire.fields(graph.start, graph.end)) {
    const begin = at;
    at = field.end;
    if (field.number === GRAPH.node) {
      if (isFirstNode) copy.flush();
      if (isFirstNode) for (const { nodes } of changes.values()) for (const node of nodes) message.message(GRAPH.node, encodeNode(node));
      isFirstNode = false;
      const node = model.nodes[nodeIndex++]!;
      const change = node.op === 'Constant' ? changes.get(node.outputs[0] ?? '') : undefined;
      const behind = apart.get(node);
      if (behind !== undefined) {
        copy.flush();
        const concat = { name: behind, op: 'Concat', inputs: [node.inputs[0]!], outputs: [behind], attributes: { axis: intAttribute(1) } };
        message.message(GRAPH.node, encodeNode(concat)).message(GRAPH.node, await encodeReading(behind, field, wire, model.file));
      } else if (!change) copy.add(begin, field.end);
      else {
        // What the node held is an initializer now.
        copy.flush();
        addStored(change.storedName, change.tensor);
      }
      continue;
    }
    const tensor = stored.get(field.start);
    const change = tensor && changes.get(tensor.name);
    if (change) {
      copy.flush();
      addStored(change.storedName, change.tensor);
    } else if (tensor && (tensor.isExternal || places.has(tensor.name)) && field.number === GRAPH.initializer) {
      copy.flush();
      message.message(GRAPH.initializer, encodeStored(tensor, places.get(tensor.name)));
    } else if (field.number === GRAPH.input && changes.has(await nameOf(wire, field))) {
      // Before IR version 4 initializers are inputs too.
      const { storedName, tensor: renamed } = changes.get(await nameOf(wire, field))!;
      copy.flush();
      message.message(GRAPH.input, encodePort({ name: storedName, dtype: renamed.dtype, shape: renamed.shape }));
    } else copy.add(begin, field.end);
  }
  copy.flush();
  for (const { scale } of changes.values()) {
    if (!scale) continue;
    addStored(scale.name, scale.tensor);
    if (model.irVersion < 4) message.message(GRAPH.input, encodePort({ name: scale.name, dtype: 'float32', shape: scale.tensor.shape }));
  }
  return message;
}

/** A node as it is, but for its first input. */
async function encodeReading(first: string, node: Field, wire: WireReader, file: ByteSource): Promise<MessageBuilder> {
  const message = new MessageBuilder().string(NODE.input, first);
  let isFirst = true;
  let at = node.start;
  for await (const field of wire.fields(node.start, node.end)) {
    if (field.number === NODE.input && isFirst) isFirst = false;
    else message.raw(sourceSpan(file, at, field.end));
    at = field.end;
  }
  return message;
}

/** A tensor as it is stored, in its new place. */
function encodeStored({ name, shape, code, bytes }: ReadModel['storedTensors'][number], place: ExternalPlace | undefined): MessageBuilder {
  const message = new MessageBuilder();
  for (const size of shape) message.int(TENSOR.dims, size);
  message.int(TENSOR.dataType, code).string(TENSOR.name, name);
  if (!place) return message.bytes(TENSOR.rawData, sourceSpan(bytes, 0, bytes.byteLength));
  return message
    .message(TENSOR.externalData, encodeEntry('location', place.file))
    .message(TENSOR.externalData, encodeEntry('offset', String(place.offset)))
    .message(TENSOR.externalData, encodeEntry('length', String(bytes.byteLength)))
    .int(TENSOR.dataLocation, EXTERNAL);
}

async function isOurs(wire: WireReader, entry: Field): Promise<boolean> {
  return (await textOf(wire, entry, ENTRY.key)).startsWith('weighbridge.');
}

/** Of a ValueInfoProto: its first field. */
const nameOf = (wire: WireReader, port: Field) => textOf(wire, port, 1);

async function textOf(wire: WireReader, message: Field, number: number): Promise<string> {
  for await (const field of wire.fields(message.start, message.end)) if (field.number === number) return wire.text(field);
  return '';
}

/** Joins neighbouring fields that stay as they are into one span of the file. */
class Copier {
  #start = 0;
  #end = 0;

  constructor(
    readonly file: ByteSource,
    readonly message: MessageBuilder,
  ) {}

  add(start: number, end: number): void {
    if (start !== this.#end) this.flush();
    if (this.#start === this.#end) this.#start = start;
    this.#end = end;
  }

  flush(): void {
    if (this.#end > this.#start) this.message.raw(sourceSpan(this.file, this.#start, this.#end));
    this.#start = this.#end;
  }
}

/** Bytes of a file, read when they are written. */
function sourceSpan(file: ByteSource, start: number, end: number): Span {
  return {
    byteLength: end - start,
    async *chunks() {
      for (let at = start; at < end; at += COPY_BYTES) yield await file.read(at, Math.min(end, at + COPY_BYTES));
    },
  };
}
