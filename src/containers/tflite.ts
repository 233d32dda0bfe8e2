/**
 * TensorFlow Lite's model: tensors, operators with their settings, and buffers, which stay where they lie.
 *
 * @see https://github.com/tensorflow/tensorflow/blob/master/tensorflow/lite/schema/schema.fbs
 */
import type { Budget } from '../bytes/budget.js';
import { type ByteSource, sliceSource } from '../bytes/byte-source.js';
import { type ErrorPlace, ModelError } from '../errors.js';
import { DTYPE_BYTES, type DType } from '../model/dtype.js';
import { MAX_OPERANDS, MAX_PORTS } from '../model/net-size.js';
import { unpackedSource, withBits } from '../model/packing.js';
import { elementCount, storedTensor, type Tensor } from '../model/tensor.js';
import { FlatBuffer, type Table } from './flatbuffer.js';
import { denseTensor, sparseBudget } from './tflite-sparse.js';

export interface LiteQuantisation {
  /** One, or one for each place along `axis`. */
  readonly scales: readonly number[];
  readonly zeroPoints: readonly number[];
  readonly axis: number;
}

export interface LiteTensor {
  readonly name: string;
  readonly dtype: DType | 'string' | 'other';
  /** -1 for a size that is free. */
  readonly shape: readonly number[];
  /** Null for what flows. */
  readonly data: Tensor | null;
  readonly quantisation: LiteQuantisation | null;
  /** A state that the runtime keeps from one call to the next, zeros at first. */
  readonly isVariable: boolean;
}

export interface LiteOperator {
  /** 'CONV_2D', or a custom operator's own name behind 'CUSTOM '. */
  readonly op: string;
  /** Indices into the graph's tensors; -1 for one that is left out. */
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
  readonly options: LiteOptions;
}

/** One of a model's graphs; those beside the first are branches, bodies of loops, or what other signatures run. */
export interface LiteSubgraph {
  readonly name: string;
  readonly tensors: readonly LiteTensor[];
  readonly operators: readonly LiteOperator[];
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
}

/** What runs one of the graphs by a name, as a SavedModel's signature does. */
export interface LiteSignature {
  readonly name: string;
  readonly graph: number;
  /** What it calls the graph's inputs and outputs, by the tensor. */
  readonly inputs: ReadonlyMap<number, string>;
  readonly outputs: ReadonlyMap<number, string>;
}

export interface LiteModel extends LiteSubgraph {
  readonly version: number;
  readonly description: string;
  /** All graphs; the first is the model's own. */
  readonly graphs: readonly LiteSubgraph[];
  readonly signatures: readonly LiteSignature[];
}

/** The settings of an operator: a table whose fields are numbered as the schema has them. */
export class LiteOptions {
  readonly #read = new Set<number>();

  /** @param own what a custom operator keeps its settings in */
  constructor(
    readonly buffer: FlatBuffer,
    readonly table: Table | null,
    readonly own: Uint8Array,
  ) {}

  /** Fields that are there, are not zero, and that nobody asked for. */
  async unread(): Promise<readonly number[]> {
    const { table } = this;
    if (!table) return [];
    const left = table.fields.flatMap((at, field) => (at === 0 || this.#read.has(field) ? [] : [field]));
    const isSet = await Promise.all(left.map((field) => this.buffer.isSet(table, field)));
    return left.filter((_, i) => isSet[i]);
  }

  async byte(field: number, missing = 0): Promise<number> {
    this.#read.add(field);
    return this.table?.fields[field] ? this.buffer.byte(this.table, field) : missing;
  }

  async int(field: number, missing = 0): Promise<number> {
    this.#read.add(field);
    return this.table ? this.buffer.int32(this.table, field, missing) : missing;
  }

  async float(field: number, missing = 0): Promise<number> {
    this.#read.add(field);
    return this.table ? this.buffer.float32(this.table, field, missing) : missing;
  }

  async text(field: number): Promise<string> {
    this.#read.add(field);
    return this.table ? this.buffer.text(this.table, field) : '';
  }

  async ints(field: number): Promise<readonly number[]> {
    this.#read.add(field);
    return this.table ? this.buffer.int32s(this.table, field) : [];
  }

  async floats(field: number): Promise<readonly number[]> {
    this.#read.add(field);
    return this.table ? this.buffer.float32s(this.table, field) : [];
  }
}

const MODEL = { version: 0, operatorCodes: 1, subgraphs: 2, description: 3, buffers: 4, signatures: 7 } as const;
const SIGNATURE = { inputs: 0, outputs: 1, name: 2, graph: 4 } as const;
const NAMED = { name: 0, tensor: 1 } as const;
const GRAPH = { tensors: 0, inputs: 1, outputs: 2, operators: 3, name: 4 } as const;
const TENSOR = { shape: 0, type: 1, buffer: 2, name: 3, quantisation: 4, variable: 5, sparsity: 6, signature: 7 } as const;
const QUANTISATION = { scale: 2, zeroPoint: 3, detailsType: 4, dimension: 6 } as const;
const BUFFER = { data: 0, offset: 1, size: 2 } as const;
const CODE = { deprecated: 0, custom: 1, builtin: 3 } as const;
const OPERATOR = { code: 0, inputs: 1, outputs: 2, options: 4, own: 5, moreOptions: 12 } as const;
/** Branches and loops of a net are few. */
const MAX_GRAPHS = 1000;
/** More than any of its operators takes. */
const MAX_AXES = 32;
/** Settings of custom operators are a few numbers. */
const MAX_OWN_BYTES = 65_536;

const DTYPES: readonly (DType | 'string' | 'other')[] = [
  ...(['float32', 'float16', 'int32', 'uint8', 'int64', 'string', 'bool', 'int16', 'complex64', 'int8', 'float64', 'complex128', 'uint64'] as const),
  ...(['other', 'other', 'uint32', 'uint16', 'int8', 'bfloat16', 'int8', 'uint8'] as const),
];
/** Bits of an element, of the dtypes that have several in a byte. */
const BITS: Readonly<Record<number, number>> = { 17: 4, 19: 2, 20: 4 };

/** BuiltinOperator, by number. */
export const LITE_OPERATORS: readonly string[] = (
  'ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE EMBEDDING_LOOKUP FLOOR FULLY_CONNECTED HASHTABLE_LOOKUP ' +
  'L2_NORMALIZATION L2_POOL_2D LOCAL_RESPONSE_NORMALIZATION LOGISTIC LSH_PROJECTION LSTM MAX_POOL_2D MUL RELU RELU_N1_TO_1 RELU6 RESHAPE RESIZE_BILINEAR RNN ' +
  'SOFTMAX SPACE_TO_DEPTH SVDF TANH CONCAT_EMBEDDINGS SKIP_GRAM CALL CUSTOM EMBEDDING_LOOKUP_SPARSE PAD UNIDIRECTIONAL_SEQUENCE_RNN GATHER ' +
  'BATCH_TO_SPACE_ND SPACE_TO_BATCH_ND TRANSPOSE MEAN SUB DIV SQUEEZE UNIDIRECTIONAL_SEQUENCE_LSTM STRIDED_SLICE BIDIRECTIONAL_SEQUENCE_RNN EXP TOPK_V2 ' +
  'SPLIT LOG_SOFTMAX DELEGATE BIDIRECTIONAL_SEQUENCE_LSTM CAST PRELU MAXIMUM ARG_MAX MINIMUM LESS NEG PADV2 GREATER GREATER_EQUAL LESS_EQUAL SELECT SLICE ' +
  'SIN TRANSPOSE_CONV SPARSE_TO_DENSE TILE EXPAND_DIMS EQUAL NOT_EQUAL LOG SUM SQRT RSQRT SHAPE POW ARG_MIN FAKE_QUANT REDUCE_PROD REDUCE_MAX PACK ' +
  'LOGICAL_OR ONE_HOT LOGICAL_AND LOGICAL_NOT UNPACK REDUCE_MIN FLOOR_DIV REDUCE_ANY SQUARE ZEROS_LIKE FILL FLOOR_MOD RANGE RESIZE_NEAREST_NEIGHBOR ' +
  'LEAKY_RELU SQUARED_DIFFERENCE MIRROR_PAD ABS SPLIT_V UNIQUE CEIL REVERSE_V2 ADD_N GATHER_ND COS WHERE RANK ELU REVERSE_SEQUENCE MATRIX_DIAG QUANTIZE ' +
  'MATRIX_SET_DIAG ROUND HARD_SWISH IF WHILE NON_MAX_SUPPRESSION_V4 NON_MAX_SUPPRESSION_V5 SCATTER_ND SELECT_V2 DENSIFY SEGMENT_SUM BATCH_MATMUL ' +
  'PLACEHOLDER_FOR_GREATER_OP_CODES CUMSUM CALL_ONCE BROADCAST_TO RFFT2D CONV_3D IMAG REAL COMPLEX_ABS HASHTABLE HASHTABLE_FIND HASHTABLE_IMPORT ' +
  'HASHTABLE_SIZE REDUCE_ALL CONV_3D_TRANSPOSE VAR_HANDLE READ_VARIABLE ASSIGN_VARIABLE BROADCAST_ARGS RANDOM_STANDARD_NORMAL BUCKETIZE RANDOM_UNIFORM ' +
  'MULTINOMIAL GELU DYNAMIC_UPDATE_SLICE RELU_0_TO_1 UNSORTED_SEGMENT_PROD UNSORTED_SEGMENT_MAX UNSORTED_SEGMENT_SUM ATAN2 UNSORTED_SEGMENT_MIN SIGN BITCAST ' +
  'BITWISE_XOR RIGHT_SHIFT STABLEHLO_LOGISTIC STABLEHLO_ADD STABLEHLO_DIVIDE STABLEHLO_MULTIPLY STABLEHLO_MAXIMUM STABLEHLO_RESHAPE STABLEHLO_CLAMP ' +
  'STABLEHLO_CONCATENATE STABLEHLO_BROADCAST_IN_DIM STABLEHLO_CONVOLUTION STABLEHLO_SLICE STABLEHLO_CUSTOM_CALL STABLEHLO_REDUCE STABLEHLO_ABS ' +
  'STABLEHLO_AND STABLEHLO_COSINE STABLEHLO_EXPONENTIAL STABLEHLO_FLOOR STABLEHLO_LOG STABLEHLO_MINIMUM STABLEHLO_NEGATE STABLEHLO_OR STABLEHLO_POWER ' +
  'STABLEHLO_REMAINDER STABLEHLO_RSQRT STABLEHLO_SELECT STABLEHLO_SUBTRACT STABLEHLO_TANH STABLEHLO_SCATTER STABLEHLO_COMPARE STABLEHLO_CONVERT ' +
  'STABLEHLO_DYNAMIC_SLICE STABLEHLO_DYNAMIC_UPDATE_SLICE STABLEHLO_PAD STABLEHLO_IOTA STABLEHLO_DOT_GENERAL STABLEHLO_REDUCE_WINDOW STABLEHLO_SORT ' +
  'STABLEHLO_WHILE STABLEHLO_GATHER STABLEHLO_TRANSPOSE DILATE STABLEHLO_RNG_BIT_GENERATOR REDUCE_WINDOW STABLEHLO_COMPOSITE ' +
  'STABLEHLO_SHIFT_LEFT STABLEHLO_CBRT STABLEHLO_CASE'
).split(' ');
const CUSTOM = LITE_OPERATORS.indexOf('CUSTOM');

/** @throws ModelError 'malformed' where the bytes are no such model or contradict themselves */
export async function readLiteModel(source: ByteSource): Promise<LiteModel> {
  const buffer = new FlatBuffer(source);
  const root = await buffer.root();
  const buffers = await buffer.tables(root, MODEL.buffers);
  const codes: string[] = [];
  for (const table of await buffer.tables(root, MODEL.operatorCodes)) codes.push(await readCode(buffer, table));
  const graphs: LiteSubgraph[] = [];
  const sparse = sparseBudget(buffer);
  for (const table of await buffer.tables(root, MODEL.subgraphs)) {
    if (graphs.length >= MAX_GRAPHS) throw new ModelError('unsafe', `more than ${MAX_GRAPHS} graphs`, { file: source.name });
    graphs.push(await readSubgraph(buffer, table, buffers, codes, sparse));
  }
  const signatures: LiteSignature[] = [];
  for (const table of await buffer.tables(root, MODEL.signatures)) {
    const named = async (field: number) => {
      const entries = await buffer.tables(table, field);
      return new Map(await Promise.all(entries.map(async (entry) => [await buffer.int32(entry, NAMED.tensor), await buffer.text(entry, NAMED.name)] as const)));
    };
    const signature = {
      name: await buffer.text(table, SIGNATURE.name),
      graph: await buffer.int32(table, SIGNATURE.graph),
      inputs: await named(SIGNATURE.inputs),
      outputs: await named(SIGNATURE.outputs),
    };
    if (!graphs[signature.graph])
      throw new ModelError('malformed', `the signature "${signature.name}" runs graph ${signature.graph} of ${graphs.length}`, { file: source.name });
    signatures.push(signature);
  }
  const [graph] = graphs;
  if (!graph) throw new ModelError('malformed', 'the model has no graph. Is the file truncated?', { file: source.name });
  return { ...graph, version: await buffer.int32(root, MODEL.version), description: await buffer.text(root, MODEL.description), graphs, signatures };
}

async function readSubgraph(buffer: FlatBuffer, graph: Table, buffers: readonly Table[], codes: readonly string[], sparse: Budget): Promise<LiteSubgraph> {
  const { source } = buffer;
  const tensors: LiteTensor[] = [];
  for (const table of await buffer.tables(graph, GRAPH.tensors)) tensors.push(await readTensor(buffer, table, buffers, sparse, tensors.length));
  const operators: LiteOperator[] = [];
  let operands = 0;
  for (const table of await buffer.tables(graph, GRAPH.operators)) {
    const code = await buffer.int32(table, OPERATOR.code);
    const op = codes[code];
    if (op === undefined) throw new ModelError('malformed', `operator ${operators.length} has the code ${code} of ${codes.length}`, { file: source.name });
    const [inputs, outputs] = [await buffer.int32s(table, OPERATOR.inputs), await buffer.int32s(table, OPERATOR.outputs)];
    const wrong = [...inputs, ...outputs].find((index) => index < -1 || index >= tensors.length);
    if (wrong !== undefined)
      throw new ModelError('malformed', `operator ${operators.length} (${op}) names tensor ${wrong} of ${tensors.length}`, { file: source.name });
    operands += inputs.length + outputs.length;
    if (operands > MAX_OPERANDS)
      throw new ModelError('unsafe', `its operators have more than ${MAX_OPERANDS} inputs and outputs, which no model has`, { file: source.name });
    operators.push({ op, inputs, outputs, options: await readOptions(buffer, table) });
  }
  const ports = async (field: number) => {
    const indices = await buffer.int32s(graph, field);
    if (indices.length > MAX_PORTS)
      throw new ModelError('unsafe', `a graph has ${indices.length} inputs or outputs, more than any model has`, { file: source.name });
    const wrong = indices.find((index) => index < 0 || index >= tensors.length);
    if (wrong !== undefined) throw new ModelError('malformed', `a port is tensor ${wrong} of ${tensors.length}`, { file: source.name });
    return indices;
  };
  return { name: await buffer.text(graph, GRAPH.name), tensors, operators, inputs: await ports(GRAPH.inputs), outputs: await ports(GRAPH.outputs) };
}

async function readOptions(buffer: FlatBuffer, table: Table): Promise<LiteOptions> {
  const span = await buffer.vector(table, OPERATOR.own, 1);
  const own = span.count > 0 && span.count <= MAX_OWN_BYTES ? await buffer.bytes(span) : new Uint8Array();
  return new LiteOptions(buffer, (await buffer.child(table, OPERATOR.options)) ?? (await buffer.child(table, OPERATOR.moreOptions)), own);
}

async function readCode(buffer: FlatBuffer, table: Table): Promise<string> {
  // The old field has a byte only; codes beyond it stand in the new one.
  const code = Math.max(await buffer.byte(table, CODE.deprecated), await buffer.int32(table, CODE.builtin));
  if (code === CUSTOM) return `CUSTOM ${await buffer.text(table, CODE.custom)}`;
  return LITE_OPERATORS[code] ?? `operator ${code}`;
}

async function readTensor(buffer: FlatBuffer, table: Table, buffers: readonly Table[], sparse: Budget, index: number): Promise<LiteTensor> {
  const { source } = buffer;
  const name = (await buffer.text(table, TENSOR.name)) || `tensor ${index}`;
  const place = { file: source.name, tensor: name };
  const type = await buffer.byte(table, TENSOR.type);
  const dtype = DTYPES[type] ?? 'other';
  const bits = BITS[type];
  const shape = await buffer.int32s(table, TENSOR.shape);
  if (shape.length > MAX_AXES) throw new ModelError('malformed', `a tensor of ${shape.length} axes; at most ${MAX_AXES} are read`, place);
  const signature = await buffer.int32s(table, TENSOR.signature);
  const held = await buffer.int32(table, TENSOR.buffer);
  const data = buffers[held];
  if (!data) throw new ModelError('malformed', `its values are in buffer ${held} of ${buffers.length}`, place);
  const span = await buffer.vector(data, BUFFER.data, 1);
  const outside = await buffer.uint64(data, BUFFER.size);
  const start = outside > 1 ? await buffer.uint64(data, BUFFER.offset) : span.start;
  const byteLength = outside > 1 ? outside : span.count;
  const isConstant = byteLength > 0;
  const sparsity = isConstant ? await buffer.child(table, TENSOR.sparsity) : null;
  if (sparsity && bits) throw new ModelError('unsupported', `it is stored sparsely in ${bits} bits an element, which is not read`, place);
  const isNumeric = dtype !== 'string' && dtype !== 'other';
  const bytes = sliceSource(source, start, start + byteLength);
  const values = bits ? unpackedSource(bytes, elementCount(shape), bits, dtype === 'int8') : bytes;
  if (isConstant && bits && byteLength !== Math.ceil((elementCount(shape) * bits) / 8))
    throw new ModelError('malformed', `shape [${shape}] of ${bits} bits an element does not take ${byteLength} bytes`, place);
  const listed = sparsity && isNumeric ? [Math.floor(byteLength / DTYPE_BYTES[dtype])] : shape;
  const whole =
    isConstant && isNumeric ? storedTensor({ name, dtype, shape: listed, source: values, origin: { file: source.name, offset: start, name } }) : null;
  const dense = whole && sparsity ? await denseTensor(buffer, sparsity, whole, shape, sparse, place) : whole;
  const stored = dense && bits ? withBits(dense, bits) : dense;
  return {
    name,
    dtype,
    shape: !isConstant && signature.length === shape.length ? signature : shape,
    data: stored,
    quantisation: await readQuantisation(buffer, table, place),
    isVariable: (await buffer.byte(table, TENSOR.variable)) !== 0,
  };
}

async function readQuantisation(buffer: FlatBuffer, tensor: Table, place: ErrorPlace): Promise<LiteQuantisation | null> {
  const table = await buffer.child(tensor, TENSOR.quantisation);
  if (!table) return null;
  if ((await buffer.byte(table, QUANTISATION.detailsType)) !== 0)
    throw new ModelError('unsupported', 'it is quantised by a scheme of its own (custom or by blocks), which is not read', place);
  const scales = await buffer.float32s(table, QUANTISATION.scale);
  if (scales.length === 0) return null;
  const zeroPoints = await buffer.int64s(table, QUANTISATION.zeroPoint);
  // The runtime refuses such files; zeros say nothing however many there are.
  if (zeroPoints.length !== scales.length && zeroPoints.some((point) => point !== 0))
    throw new ModelError('malformed', `it has ${scales.length} scales and ${zeroPoints.length} zero points`, place);
  return { scales, zeroPoints: scales.map((_, i) => zeroPoints[i] ?? 0), axis: await buffer.int32(table, QUANTISATION.dimension) };
}
