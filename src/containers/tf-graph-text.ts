/**
 * GraphDef in protobuf's text form (`graph.pbtxt`, `tf.io.write_graph(..., as_text=True)`), made into its binary one, so that both are read by one reader.
 *
 * @see https://github.com/tensorflow/tensorflow/tree/master/tensorflow/core/framework, graph.proto, node_def.proto, attr_value.proto,
 *   tensor.proto, function.proto, op_def.proto, types.proto
 */
import { ModelError } from '../errors.js';
import { encodeVarint, MessageBuilder } from './protobuf-writer.js';
import { parsePrototext, type TextField, type TextMessage } from './prototext.js';
import { DTYPE_NAMES } from './tf-graph.js';

/** What a field holds; null for what no net depends on, which is left out. */
type Kind = 'int' | 'bool' | 'float' | 'double' | 'bytes' | 'dtype' | Message | null;
type Message = () => Readonly<Record<string, readonly [number: number, Kind]>>;

const entry =
  (value: Kind): Message =>
  () => ({ key: [1, 'bytes'], value: [2, value] });

const dim: Message = () => ({ size: [1, 'int'], name: [2, null] });
const shape: Message = () => ({ dim: [2, dim], unknown_rank: [3, 'bool'] });
const tensor: Message = () => ({
  ...{ dtype: [1, 'dtype'], tensor_shape: [2, shape], version_number: [3, null], tensor_content: [4, 'bytes'], float_val: [5, 'float'] },
  ...{ double_val: [6, 'double'], int_val: [7, 'int'], string_val: [8, 'bytes'], scomplex_val: [9, 'float'], int64_val: [10, 'int'], bool_val: [11, 'bool'] },
  ...{
    dcomplex_val: [12, 'double'],
    half_val: [13, 'int'],
    resource_handle_val: [14, null],
    variant_val: [15, null],
    uint32_val: [16, 'int'],
    uint64_val: [17, 'int'],
  },
});
const call: Message = () => ({ name: [1, 'bytes'], attr: [2, entry(attribute)] });
/** AttrValue; a list numbers its fields in the same way, but for functions. */
const single = { s: [2, 'bytes'], i: [3, 'int'], f: [4, 'float'], b: [5, 'bool'], type: [6, 'dtype'], shape: [7, shape], tensor: [8, tensor] } as const;
const list: Message = () => ({ ...single, func: [9, call] });
const attribute: Message = () => ({ ...single, list: [1, list], placeholder: [9, 'bytes'], func: [10, call] });
const node: Message = () => ({
  ...{ name: [1, 'bytes'], op: [2, 'bytes'], input: [3, 'bytes'], device: [4, null], attr: [5, entry(attribute)] },
  ...{ experimental_debug_info: [6, null], experimental_type: [7, null] },
});
const argument: Message = () => ({
  ...{ name: [1, 'bytes'], description: [2, null], type: [3, 'dtype'], type_attr: [4, null], number_attr: [5, null], type_list_attr: [6, null] },
  ...{ handle_data: [7, null], is_ref: [16, null], experimental_full_type: [17, null] },
});
const signature: Message = () => ({
  ...{ name: [1, 'bytes'], input_arg: [2, argument], output_arg: [3, argument], attr: [4, null], summary: [5, null], description: [6, null] },
  ...{ deprecation: [8, null], is_aggregate: [16, null], is_stateful: [17, null], is_commutative: [18, null], allows_uninitialized_input: [19, null] },
  ...{ control_output: [20, null], is_distributed_communication: [21, null] },
});
const definition: Message = () => ({
  ...{ signature: [1, signature], node_def: [3, node], ret: [4, entry('bytes')], attr: [5, null], control_ret: [6, null], arg_attr: [7, null] },
  ...{ resource_arg_unique_id: [8, null] },
});
const library: Message = () => ({ function: [1, definition], gradient: [2, null], registered_gradients: [3, null] });
const versions: Message = () => ({ producer: [1, 'int'], min_consumer: [2, null], bad_consumers: [3, null] });
const graph: Message = () => ({ node: [1, node], library: [2, library], version: [3, null], versions: [4, versions], debug_info: [5, null] });

/** Fixed 64-bit numbers. */
const FIXED64 = 1;

/** @throws ModelError 'malformed' with the line of what is no field of a graph, or no value of its field */
export function encodeGraphText(text: string, file: string): Uint8Array {
  return encode(parsePrototext(text, file, 'bytes'), graph, file).toBytes();
}

function encode({ fields }: TextMessage, message: Message, file: string): MessageBuilder {
  const builder = new MessageBuilder();
  const known = message();
  for (const field of fields) {
    if (!Object.hasOwn(known, field.name)) throw malformed(field, 'is no field of a TensorFlow graph there', file);
    const [number, kind] = known[field.name]!;
    if (kind !== null) add(builder, number, kind, field, file);
  }
  return builder;
}

function add(builder: MessageBuilder, number: number, kind: Exclude<Kind, null>, field: TextField, file: string): void {
  const { value } = field;
  if (typeof kind === 'function') {
    if (value.kind !== 'message') throw malformed(field, 'is a message', file);
    builder.message(number, encode(value, kind, file));
    return;
  }
  if (value.kind === 'message' || (value.kind === 'string') !== (kind === 'bytes'))
    throw malformed(field, kind === 'bytes' ? 'is a string' : 'is a single value', file);
  const { text } = value;
  if (kind === 'bytes')
    builder.bytes(
      number,
      Uint8Array.from(text, (character) => character.charCodeAt(0)),
    );
  else if (kind === 'float') builder.float(number, numberOf(field, text, file));
  else if (kind === 'double') {
    const bytes = new Uint8Array(new Float64Array([numberOf(field, text, file)]).buffer);
    builder.raw(encodeVarint(number * 8 + FIXED64)).raw(bytes);
  } else if (kind === 'bool') builder.int(number, /^(true|True|t|1)$/.test(text) ? 1 : 0);
  else builder.int(number, kind === 'dtype' ? codeOf(field, text, file) : integerOf(field, text, file));
}

/** References (`DT_FLOAT_REF`) have codes of a hundred more. */
function codeOf(field: TextField, text: string, file: string): number | bigint {
  const code = DTYPE_NAMES[text.replace(/_REF$/, '')];
  if (code !== undefined) return text.endsWith('_REF') ? code + 100 : code;
  // Newer dtypes hold no weights of ours; the code 0 is none.
  return text.startsWith('DT_') ? 0 : integerOf(field, text, file);
}

function integerOf(field: TextField, text: string, file: string): bigint {
  const [, minus, digits] = /^(-?)(\d+|0[xX][0-9a-fA-F]+)$/.exec(text) ?? [];
  if (digits === undefined) throw malformed(field, `is an integer, and no ${JSON.stringify(text)}`, file);
  const value = BigInt(/^0[0-7]+$/.test(digits) ? `0o${digits}` : digits);
  return minus ? -value : value;
}

function numberOf(field: TextField, text: string, file: string): number {
  const word = /^(-?)(inf|infinity|nan)$/i.exec(text);
  if (word) return word[2]!.toLowerCase() === 'nan' ? Number.NaN : word[1] ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  const value = Number(/[.eE]/.test(text) || !/^-?0[xX]/.test(text) ? text.replace(/[fF]$/, '') : text);
  if (Number.isNaN(value)) throw malformed(field, `is a number, and no ${JSON.stringify(text)}`, file);
  return value;
}

function malformed({ name, line }: TextField, problem: string, file: string): ModelError {
  return new ModelError('malformed', `line ${line}: ${JSON.stringify(name)} ${problem}`, { file });
}
