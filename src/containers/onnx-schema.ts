/**
 * Field numbers and codes of ONNX's protobuf messages, as far as the reader and the writer use them.
 *
 * @see https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
 */

export const MODEL = {
  irVersion: 1,
  producerName: 2,
  producerVersion: 3,
  domain: 4,
  modelVersion: 5,
  graph: 7,
  opsetImport: 8,
  metadata: 14,
  functions: 25,
} as const;

export const OPSET_ID = { domain: 1, version: 2 } as const;

/** StringStringEntryProto. */
export const ENTRY = { key: 1, value: 2 } as const;

export const GRAPH = { node: 1, name: 2, initializer: 5, input: 11, output: 12, valueInfo: 13, sparseInitializer: 15 } as const;

/** SparseTensorProto. */
export const SPARSE = { values: 1, dims: 3 } as const;

/** FunctionProto. */
export const FUNCTION = { name: 1, input: 4, output: 5, node: 7, opsetImport: 9, domain: 10, attributeProto: 11 } as const;

export const NODE = { input: 1, output: 2, name: 3, opType: 4, attribute: 5, domain: 7 } as const;

export const ATTRIBUTE = {
  name: 1,
  float: 2,
  int: 3,
  string: 4,
  tensor: 5,
  graph: 6,
  floats: 7,
  ints: 8,
  strings: 9,
  type: 20,
  reference: 21,
  sparse: 22,
} as const;

/** AttributeProto.AttributeType. */
export const ATTRIBUTE_TYPE = { float: 1, int: 2, string: 3, tensor: 4, graph: 5, floats: 6, ints: 7, strings: 8, sparse: 11 } as const;

export const TENSOR = {
  dims: 1,
  dataType: 2,
  segment: 3,
  floatData: 4,
  int32Data: 5,
  stringData: 6,
  int64Data: 7,
  name: 8,
  rawData: 9,
  doubleData: 10,
  uint64Data: 11,
  externalData: 13,
  dataLocation: 14,
} as const;

/** TensorProto.DataLocation.EXTERNAL. */
export const EXTERNAL = 1;

export const VALUE_INFO = { name: 1, type: 2 } as const;
export const TYPE = { tensorType: 1 } as const;
/** What a TypeProto says that is no dense tensor, in words. */
export const OTHER_TYPES: ReadonlyMap<number, string> = new Map([
  [4, 'a sequence'],
  [5, 'a map'],
  [7, 'opaque'],
  [8, 'a sparse tensor'],
  [9, 'an optional value'],
]);
export const TENSOR_TYPE = { elemType: 1, shape: 2 } as const;
export const SHAPE = { dim: 1 } as const;
export const DIMENSION = { value: 1, param: 2 } as const;

/** TensorProto.DataType of strings. */
export const TEXT = 8;

/** TensorProto.DataType, by the names that NumPy and ml_dtypes give the types. */
export const DATA_TYPE = {
  float32: 1,
  uint8: 2,
  int8: 3,
  uint16: 4,
  int16: 5,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  float64: 11,
  uint32: 12,
  uint64: 13,
  complex64: 14,
  complex128: 15,
  bfloat16: 16,
  float8_e4m3fn: 17,
  float8_e5m2: 19,
} as const;

/** Integers of which several share a byte: they are read as the next wider type. */
export const PACKED_TYPE: ReadonlyMap<number, { readonly name: string; readonly bits: number; readonly dtype: 'int8' | 'uint8' }> = new Map([
  [21, { name: 'uint4', bits: 4, dtype: 'uint8' }],
  [22, { name: 'int4', bits: 4, dtype: 'int8' }],
  [25, { name: 'uint2', bits: 2, dtype: 'uint8' }],
  [26, { name: 'int2', bits: 2, dtype: 'int8' }],
]);
