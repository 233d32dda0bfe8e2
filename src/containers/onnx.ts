/**
 * Reads an ONNX file's graph: nodes, ports, and initializers as lazy tensors. No weight is read.
 *
 * @see https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
 */
import { type ByteSource, memorySource, sliceSource } from '../bytes/byte-source.js';
import type { FileSet } from '../bytes/file-set.js';
import { ModelError } from '../errors.js';
import { DTYPE_BYTES, type DType } from '../model/dtype.js';
import type { Dim } from '../model/layer-map.js';
import { elementCount, storedTensor, type Tensor } from '../model/tensor.js';
import { ATTRIBUTE, DATA_TYPE, DIMENSION, ENTRY, EXTERNAL, GRAPH, MODEL, NODE, OPSET_ID, SHAPE, TENSOR, TENSOR_TYPE, TYPE, VALUE_INFO } from './onnx-schema.js';
import { type Field, WireReader } from './protobuf.js';

export type OnnxValue = number | string | readonly number[] | readonly string[] | Tensor;

export interface ReadNode {
  readonly name: string;
  readonly op: string;
  readonly domain: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: ReadonlyMap<string, OnnxValue>;
}

export interface ReadPort {
  readonly name: string;
  readonly dtype: DType | null;
  /** Null where the file does not say. */
  readonly shape: readonly Dim[] | null;
}

export interface ReadModel {
  readonly irVersion: number;
  readonly producer: string;
  readonly opsets: ReadonlyMap<string, number>;
  readonly metadata: ReadonlyMap<string, string>;
  readonly graphName: string;
  readonly nodes: readonly ReadNode[];
  readonly initializers: ReadonlyMap<string, Tensor>;
  /** Inputs that are no initializers. */
  readonly inputs: readonly ReadPort[];
  readonly outputs: readonly ReadPort[];
  /** Files of external data, relative to the model. */
  readonly externalFiles: readonly string[];
}

const DTYPE_BY_CODE = new Map<number, DType>(Object.entries(DATA_TYPE).map(([dtype, code]) => [code, dtype as DType]));
const MAX_NODES = 1_000_000;
/** Attributes hold shapes and names; a tensor inside one is kept as a span. */
const MAX_ATTRIBUTE_VALUES = 1_000_000;

/** @throws ModelError 'malformed' where the bytes are no ModelProto or contradict themselves */
export async function readOnnxModel(files: FileSet, name: string): Promise<ReadModel> {
  const source = await files.open(name);
  return new OnnxFile(files, new WireReader(source), source).read();
}

class OnnxFile {
  readonly #external = new Map<string, ByteSource>();

  constructor(
    readonly files: FileSet,
    readonly wire: WireReader,
    readonly source: ByteSource,
  ) {}

  async read(): Promise<ReadModel> {
    let irVersion = 0;
    const producer: string[] = [];
    const opsets = new Map<string, number>();
    const metadata = new Map<string, string>();
    let graph: Awaited<ReturnType<OnnxFile['readGraph']>> | null = null;
    for await (const field of this.wire.fields(0, this.source.byteLength)) {
      if (field.number === MODEL.irVersion) irVersion = Number(field.varint);
      else if (field.number === MODEL.producerName || field.number === MODEL.producerVersion) producer.push(await this.wire.text(field));
      else if (field.number === MODEL.graph) graph = await this.readGraph(field);
      else if (field.number === MODEL.opsetImport) {
        const entry = await this.collect(field);
        opsets.set(await this.textOf(entry, OPSET_ID.domain), Number(entry.get(OPSET_ID.version)?.[0]?.varint ?? 0n));
      } else if (field.number === MODEL.metadata) {
        const entry = await this.collect(field);
        metadata.set(await this.textOf(entry, ENTRY.key), await this.textOf(entry, ENTRY.value));
      }
    }
    if (!graph) throw new ModelError('malformed', 'the file has no graph. Is it truncated?', { file: this.source.name });
    return { irVersion, producer: producer.join(' '), opsets, metadata, ...graph, externalFiles: [...this.#external.keys()] };
  }

  async readGraph(graph: Field) {
    let graphName = '';
    const nodes: ReadNode[] = [];
    const initializers = new Map<string, Tensor>();
    const inputs: ReadPort[] = [];
    const outputs: ReadPort[] = [];
    for await (const field of this.wire.fields(graph.start, graph.end)) {
      if (field.number === GRAPH.name) graphName = await this.wire.text(field);
      else if (field.number === GRAPH.node) nodes.push(await this.readNode(field));
      else if (field.number === GRAPH.initializer) {
        const tensor = await this.readTensor(field);
        if (initializers.has(tensor.name)) throw this.wire.error(field.start, `two initializers are named "${tensor.name}"`);
        initializers.set(tensor.name, tensor);
      } else if (field.number === GRAPH.input) inputs.push(await this.readPort(field));
      else if (field.number === GRAPH.output) outputs.push(await this.readPort(field));
      if (nodes.length > MAX_NODES) throw this.wire.error(field.start, `more than ${MAX_NODES} nodes`);
    }
    return { graphName, nodes, initializers, inputs: inputs.filter(({ name }) => !initializers.has(name)), outputs };
  }

  async readNode(node: Field): Promise<ReadNode> {
    const inputs: string[] = [];
    const outputs: string[] = [];
    const attributes = new Map<string, OnnxValue>();
    const texts = { name: '', op: '', domain: '' };
    for await (const field of this.wire.fields(node.start, node.end)) {
      if (field.number === NODE.input) inputs.push(await this.wire.text(field));
      else if (field.number === NODE.output) outputs.push(await this.wire.text(field));
      else if (field.number === NODE.name) texts.name = await this.wire.text(field);
      else if (field.number === NODE.opType) texts.op = await this.wire.text(field);
      else if (field.number === NODE.domain) texts.domain = await this.wire.text(field);
      else if (field.number === NODE.attribute) {
        const [name, value] = await this.readAttribute(field);
        if (value !== null) attributes.set(name, value);
      }
    }
    return { ...texts, inputs, outputs, attributes };
  }

  async readAttribute(attribute: Field): Promise<[string, OnnxValue | null]> {
    const fields = await this.collect(attribute);
    const name = await this.textOf(fields, ATTRIBUTE.name);
    const [float] = fields.get(ATTRIBUTE.float) ?? [];
    const [int] = fields.get(ATTRIBUTE.int) ?? [];
    const [text] = fields.get(ATTRIBUTE.string) ?? [];
    const [tensor] = fields.get(ATTRIBUTE.tensor) ?? [];
    const ints = fields.get(ATTRIBUTE.ints);
    const floats = fields.get(ATTRIBUTE.floats);
    if (ints) return [name, await this.integers(ints)];
    if (floats) return [name, await this.floats(floats)];
    if (text) return [name, await this.wire.text(text)];
    if (tensor) return [name, await this.readTensor(tensor)];
    if (int) return [name, Number(BigInt.asIntN(64, int.varint))];
    if (float) return [name, (await this.floats([float]))[0]!];
    return [name, null];
  }

  async readPort(port: Field): Promise<ReadPort> {
    const fields = await this.collect(port);
    const name = await this.textOf(fields, VALUE_INFO.name);
    const [type] = fields.get(VALUE_INFO.type) ?? [];
    const [tensorType] = type ? ((await this.collect(type)).get(TYPE.tensorType) ?? []) : [];
    if (!tensorType) return { name, dtype: null, shape: null };
    const parts = await this.collect(tensorType);
    const dtype = DTYPE_BY_CODE.get(Number(parts.get(TENSOR_TYPE.elemType)?.[0]?.varint ?? 0n)) ?? null;
    const [shape] = parts.get(TENSOR_TYPE.shape) ?? [];
    if (!shape) return { name, dtype, shape: null };
    const sizes: Dim[] = [];
    for (const dim of (await this.collect(shape)).get(SHAPE.dim) ?? []) {
      const size = await this.collect(dim);
      const [value] = size.get(DIMENSION.value) ?? [];
      sizes.push(value ? Number(BigInt.asIntN(64, value.varint)) : (await this.textOf(size, DIMENSION.param)) || '?');
    }
    return { name, dtype, shape: sizes };
  }

  /** TensorProto: raw bytes, typed fields, or a span of a file beside the model. */
  async readTensor(tensor: Field): Promise<Tensor> {
    const fields = await this.collect(tensor);
    const name = await this.textOf(fields, TENSOR.name);
    const shape = await this.integers(fields.get(TENSOR.dims) ?? []);
    const code = Number(fields.get(TENSOR.dataType)?.[0]?.varint ?? 0n);
    const dtype = DTYPE_BY_CODE.get(code);
    const place = { file: this.source.name, offset: tensor.start, tensor: name };
    if (!dtype) throw new ModelError('unsupported', `its data type (number ${code}) is not read`, place);
    if (fields.has(TENSOR.segment)) throw new ModelError('unsupported', 'tensors in segments are not read', place);
    const [raw] = fields.get(TENSOR.rawData) ?? [];
    const make = (source: ByteSource, file: string, offset?: number) => {
      const expected = elementCount(shape) * DTYPE_BYTES[dtype];
      if (source.byteLength !== expected)
        throw new ModelError('malformed', `shape [${shape}] of ${dtype} takes ${expected} bytes, but ${source.byteLength} are stored`, place);
      return storedTensor({ name, dtype, shape, source, origin: { file, name, ...(offset === undefined ? {} : { offset }) } });
    };
    if (Number(fields.get(TENSOR.dataLocation)?.[0]?.varint ?? 0n) === EXTERNAL) {
      const { source, file, offset } = await this.openExternal(fields.get(TENSOR.externalData) ?? [], elementCount(shape) * DTYPE_BYTES[dtype], place);
      return make(source, file, offset);
    }
    if (raw) return make(sliceSource(this.source, raw.start, raw.end), this.source.name, raw.start);
    return make(memorySource(await this.typedValues(fields, dtype), this.source.name), this.source.name);
  }

  async openExternal(
    entries: readonly Field[],
    expected: number,
    place: { file: string; tensor: string },
  ): Promise<{ source: ByteSource; file: string; offset: number }> {
    const facts = new Map<string, string>();
    for (const entry of entries) {
      const fields = await this.collect(entry);
      facts.set(await this.textOf(fields, ENTRY.key), await this.textOf(fields, ENTRY.value));
    }
    const file = facts.get('location');
    const offset = Number(facts.get('offset') ?? 0);
    const length = Number(facts.get('length') ?? expected);
    if (file === undefined || !Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset < 0 || length < 0) {
      throw new ModelError('malformed', 'its external data has no valid location, offset and length', place);
    }
    const source = this.#external.get(file) ?? (await this.files.open(file));
    this.#external.set(file, source);
    return { source: sliceSource(source, offset, offset + length), file, offset };
  }

  /** Values in typed fields; 16-bit floats are kept as integers. */
  async typedValues(fields: ReadonlyMap<number, readonly Field[]>, dtype: DType): Promise<Uint8Array> {
    if (fields.has(TENSOR.floatData)) return this.joined(fields.get(TENSOR.floatData)!);
    if (fields.has(TENSOR.doubleData)) return this.joined(fields.get(TENSOR.doubleData)!);
    const wide = fields.get(TENSOR.int64Data) ?? fields.get(TENSOR.uint64Data);
    const values = await this.bigints(wide ?? fields.get(TENSOR.int32Data) ?? []);
    const unit = DTYPE_BYTES[dtype];
    const bytes = new Uint8Array(values.length * unit);
    values.forEach((value, i) => {
      for (let b = 0; b < unit; b++) bytes[i * unit + b] = Number((value >> BigInt(8 * b)) & 255n);
    });
    return bytes;
  }

  async joined(fields: readonly Field[]): Promise<Uint8Array> {
    const total = fields.reduce((sum, { start, end }) => sum + end - start, 0);
    const bytes = new Uint8Array(total);
    let at = 0;
    for (const field of fields) {
      bytes.set(await this.wire.bytes(field), at);
      at += field.end - field.start;
    }
    return bytes;
  }

  async floats(fields: readonly Field[]): Promise<number[]> {
    const bytes = await this.joined(fields);
    const view = new DataView(bytes.buffer);
    return Array.from({ length: Math.floor(bytes.byteLength / 4) }, (_, i) => view.getFloat32(4 * i, true));
  }

  async integers(fields: readonly Field[]): Promise<number[]> {
    return (await this.bigints(fields)).map((value) => Number(BigInt.asIntN(64, value)));
  }

  /** Repeated integers, packed or not. */
  async bigints(fields: readonly Field[]): Promise<bigint[]> {
    const values: bigint[] = [];
    for (const field of fields) {
      if (field.wireType === 0) values.push(field.varint);
      else values.push(...(await this.wire.varints(field)));
      if (values.length > MAX_ATTRIBUTE_VALUES * 100) throw this.wire.error(field.start, 'more numbers than any attribute has');
    }
    return values;
  }

  /** The fields of a small message by number. */
  async collect(message: Field): Promise<Map<number, Field[]>> {
    const fields = new Map<number, Field[]>();
    if (message.wireType !== 2) throw this.wire.error(message.start, `field ${message.number} is no message`);
    for await (const field of this.wire.fields(message.start, message.end)) {
      const list = fields.get(field.number);
      if (list) list.push(field);
      else fields.set(field.number, [field]);
    }
    return fields;
  }

  async textOf(fields: ReadonlyMap<number, readonly Field[]>, number: number): Promise<string> {
    const field = fields.get(number)?.at(-1);
    return field ? this.wire.text(field) : '';
  }
}
