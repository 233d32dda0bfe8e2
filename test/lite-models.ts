/** Small TensorFlow Lite models for tests: a FlatBuffer written back to front, as FlatBuffers are. */

type Field = { readonly width: 1 | 4 | 8; readonly value: number } | { readonly child: Part } | undefined;
type Part =
  | { readonly kind: 'table'; readonly fields: readonly Field[] }
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array; readonly unit: number }
  | { readonly kind: 'tables'; readonly tables: readonly Part[] };

export const byte = (value: number): Field => ({ width: 1, value });
export const int = (value: number): Field => ({ width: 4, value });
export const long = (value: number): Field => ({ width: 8, value });
export const float = (value: number): Field => ({ width: 4, value: new DataView(Float32Array.of(value).buffer).getUint32(0, true) });
export const child = (part: Part): Field => ({ child: part });
export const table = (...fields: readonly Field[]): Part => ({ kind: 'table', fields });
export const tables = (...list: readonly Part[]): Part => ({ kind: 'tables', tables: list });
export const text = (value: string): Part => ({ kind: 'bytes', bytes: new TextEncoder().encode(value), unit: 1 });
export const ints = (values: readonly number[]): Part => ({ kind: 'bytes', bytes: new Uint8Array(Int32Array.from(values).buffer), unit: 4 });
export const floats = (values: readonly number[]): Part => ({ kind: 'bytes', bytes: new Uint8Array(Float32Array.from(values).buffer), unit: 4 });
export const longs = (values: readonly number[]): Part => ({ kind: 'bytes', bytes: new Uint8Array(BigInt64Array.from(values.map(BigInt)).buffer), unit: 8 });

/** Parts are placed behind what points to them, which is all that FlatBuffers ask. */
export function flatBuffer(root: Part, identifier: string): Uint8Array {
  const pieces: Uint8Array[] = [Uint8Array.from([0, 0, 0, 0, ...new TextEncoder().encode(identifier)])];
  let end = 8;
  const place = (bytes: Uint8Array, alignment: number): number => {
    const gap = (alignment - (end % alignment)) % alignment;
    pieces.push(new Uint8Array(gap), bytes);
    const at = end + gap;
    end = at + bytes.byteLength;
    return at;
  };
  const point = (bytes: Uint8Array, at: number, offset: number, target: number) => new DataView(bytes.buffer).setUint32(offset, target - at - offset, true);
  const write = (part: Part): number => {
    if (part.kind === 'bytes') {
      const whole = new Uint8Array(4 + part.bytes.byteLength + 1);
      new DataView(whole.buffer).setUint32(0, part.bytes.byteLength / part.unit, true);
      whole.set(part.bytes, 4);
      return place(whole, part.unit === 8 ? 8 : 4);
    }
    if (part.kind === 'tables') {
      const whole = new Uint8Array(4 + 4 * part.tables.length);
      new DataView(whole.buffer).setUint32(0, part.tables.length, true);
      const at = place(whole, 4);
      for (const [i, one] of part.tables.entries()) point(whole, at, 4 + 4 * i, write(one));
      return at;
    }
    const layout = new Uint8Array(4 + 2 * part.fields.length);
    const unit = part.fields.some((field) => field && 'width' in field && field.width === 8) ? 8 : 4;
    const body = new Uint8Array(unit + unit * part.fields.length);
    const view = new DataView(layout.buffer);
    view.setUint16(0, layout.byteLength, true);
    view.setUint16(2, body.byteLength, true);
    const placeOf = (field: number) => unit + unit * field;
    for (const [i, field] of part.fields.entries()) if (field) view.setUint16(4 + 2 * i, placeOf(i), true);
    const layoutAt = place(layout, 2);
    const at = place(body, unit);
    new DataView(body.buffer).setInt32(0, at - layoutAt, true);
    part.fields.forEach((field, i) => {
      if (!field) return;
      if ('child' in field) point(body, at, placeOf(i), write(field.child));
      else if (field.width === 1) body[placeOf(i)] = field.value & 255;
      else if (field.width === 8) new DataView(body.buffer).setBigUint64(placeOf(i), BigInt(field.value), true);
      else new DataView(body.buffer).setUint32(placeOf(i), field.value >>> 0, true);
    });
    return at;
  };
  const at = write(root);
  new DataView(pieces[0]!.buffer).setUint32(0, at, true);
  return Uint8Array.from(pieces.flatMap((piece) => [...piece]));
}

export interface LiteTensor {
  readonly name: string;
  readonly shape: readonly number[];
  /** TensorType's number: 0 float32, 2 int32, 9 int8. */
  readonly type: number;
  readonly data?: Uint8Array;
  readonly scales?: readonly number[];
  readonly zeroPoints?: readonly number[];
  readonly axis?: number;
  readonly isVariable?: boolean;
  /** What `data` has of the tensor; a level of which all places are stored is its size. */
  readonly sparsity?: LiteSparsity;
  /** Where the file has its data, behind the FlatBuffer. */
  readonly outside?: { readonly offset: number; readonly size: number };
  /** The shape with free sizes as -1. */
  readonly signature?: readonly number[];
}

export interface LiteSparsity {
  readonly order: readonly number[];
  readonly blocks?: readonly number[];
  readonly levels: readonly (number | { readonly segments: readonly number[]; readonly indices: readonly number[] })[];
}

/** The second list as bytes, as converters write lists of small numbers. */
function sparsityTable({ order, blocks, levels }: LiteSparsity): Part {
  const level = (one: LiteSparsity['levels'][number]): Part => {
    if (typeof one === 'number') return table(byte(0), int(one));
    const bytes: Part = { kind: 'bytes', bytes: Uint8Array.from(one.indices), unit: 1 };
    return table(byte(1), undefined, byte(1), child(table(child(ints(one.segments)))), byte(3), child(table(child(bytes))));
  };
  return table(child(ints(order)), blocks && child(ints(blocks)), child(tables(...levels.map(level))));
}

export interface LiteOperator {
  readonly code: number;
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
  readonly options?: Part;
  /** Of operators whose settings stand in the second union. */
  readonly moreOptions?: Part;
  /** A custom operator's name, for the code of CUSTOM, and its own settings. */
  readonly custom?: string;
  readonly own?: Uint8Array;
}

export interface LiteGraph {
  readonly tensors: readonly LiteTensor[];
  readonly operators: readonly LiteOperator[];
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
}

/** What a signature calls tensors of its graph. */
export interface LiteSignature {
  readonly graph: number;
  readonly inputs: Readonly<Record<string, number>>;
  readonly outputs: Readonly<Record<string, number>>;
}

const namesTable = (names: Readonly<Record<string, number>> | undefined): Field =>
  names && child(tables(...Object.entries(names).map(([name, tensor]) => table(child(text(name)), int(tensor)))));

function signatureTable(name: string, signature: LiteSignature | number): Part {
  const [graph, { inputs, outputs }] = typeof signature === 'number' ? [signature, {} as Partial<LiteSignature>] : [signature.graph, signature];
  return table(namesTable(inputs), namesTable(outputs), child(text(name)), undefined, int(graph));
}

/**
 * @param others graphs beside the first, which its branches and loops call by their number
 * @param signatures names of what runs graphs, and which
 */
export function liteModel(
  tensors: readonly LiteTensor[],
  operators: readonly LiteOperator[],
  inputs: readonly number[],
  outputs: readonly number[],
  others: readonly LiteGraph[] = [],
  signatures: Readonly<Record<string, LiteSignature | number>> = {},
): Uint8Array {
  const graphs: readonly LiteGraph[] = [{ tensors, operators, inputs, outputs }, ...others];
  const keyOf = ({ code, custom }: LiteOperator) => `${code} ${custom ?? ''}`;
  const codes = [...new Map(graphs.flatMap((graph) => graph.operators.map((operator) => [keyOf(operator), operator] as const))).values()];
  const places = codes.map(keyOf);
  const all = graphs.flatMap((graph) => graph.tensors);
  const bufferTable = ({ data, outside }: LiteTensor): Part => {
    if (outside) return table(undefined, long(outside.offset), long(outside.size));
    return data ? table(child({ kind: 'bytes', bytes: data, unit: 1 })) : table();
  };
  const buffers = [table(), ...all.map(bufferTable)];
  const quantisation = ({ scales, zeroPoints, axis = 0 }: LiteTensor): Field =>
    scales && child(table(undefined, undefined, child(floats(scales)), child(longs(zeroPoints ?? scales.map(() => 0))), undefined, undefined, int(axis)));
  const tensorTable = (tensor: LiteTensor): Part => {
    const free = tensor.signature && child(ints(tensor.signature));
    const state = tensor.isVariable ? byte(1) : undefined;
    return table(
      child(ints(tensor.shape)),
      byte(tensor.type),
      int(all.indexOf(tensor) + 1),
      child(text(tensor.name)),
      quantisation(tensor),
      state,
      tensor.sparsity && child(sparsityTable(tensor.sparsity)),
      free,
    );
  };
  const operatorTable = (operator: LiteOperator): Part => {
    const { inputs: read, outputs: made, options, moreOptions, own } = operator;
    const more = moreOptions ? [...new Array<undefined>(6).fill(undefined), child(moreOptions)] : [];
    const settings = own && child({ kind: 'bytes', bytes: own, unit: 1 });
    return table(int(places.indexOf(keyOf(operator))), child(ints(read)), child(ints(made)), undefined, options && child(options), settings, ...more);
  };
  const graphTable = (graph: LiteGraph): Part =>
    table(
      child(tables(...graph.tensors.map(tensorTable))),
      child(ints(graph.inputs)),
      child(ints(graph.outputs)),
      child(tables(...graph.operators.map(operatorTable))),
    );
  return flatBuffer(
    table(
      int(3),
      child(
        tables(...codes.map(({ code, custom }) => table(byte(Math.min(code, 127)), custom === undefined ? undefined : child(text(custom)), int(1), int(code)))),
      ),
      child(tables(...graphs.map(graphTable))),
      child(text('made for a test')),
      child(tables(...buffers)),
      ...[undefined, undefined],
      child(tables(...Object.entries(signatures).map(([name, signature]) => signatureTable(name, signature)))),
    ),
    'TFL3',
  );
}
