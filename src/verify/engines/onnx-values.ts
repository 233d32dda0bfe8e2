/**
 * Shows values inside an ONNX model without rewriting it: a second `graph` field with further outputs, after the model's last
 * byte. Protobuf merges the two, so every runtime sees one graph; nothing that is there is parsed or moved.
 *
 * @see https://protobuf.dev/programming-guides/encoding/#last-one-wins
 */
import { concatBytes } from '../../bytes/byte-sink.js';
import type { ByteSource } from '../../bytes/byte-source.js';
import type { FileSet } from '../../bytes/file-set.js';
import { readOnnxModel } from '../../containers/onnx.js';
import { ENTRY, EXTERNAL, GRAPH, MODEL, TENSOR, VALUE_INFO } from '../../containers/onnx-schema.js';
import { type Field, WireReader } from '../../containers/protobuf.js';
import { MessageBuilder } from '../../containers/protobuf-writer.js';

/** Names of the values that depend on an input and are no outputs yet, in running order. Weights behind a Cast are not among them. */
export async function innerValues(files: FileSet): Promise<string[]> {
  const { nodes, inputs, outputs } = await readOnnxModel(files, files.main!);
  const alive = new Set(inputs.map(({ name }) => name));
  const shown = new Set(outputs.map(({ name }) => name));
  const inner: string[] = [];
  for (const node of nodes) {
    if (!node.inputs.some((name) => alive.has(name))) continue;
    for (const name of node.outputs) {
      if (name === '') continue;
      alive.add(name);
      if (!shown.has(name)) inner.push(name);
    }
  }
  return inner;
}

/** The bytes to append to a ModelProto so that the named values become outputs as well. */
export function furtherOutputs(names: readonly string[]): Uint8Array {
  const graph = new MessageBuilder();
  for (const name of names) graph.message(GRAPH.output, new MessageBuilder().string(VALUE_INFO.name, name));
  const model = new MessageBuilder().message(MODEL.graph, graph);
  return concatBytes(model.pieces as Uint8Array[]);
}

/** Smaller ones stay where they are. */
const LEAST_MOVED = 2 ** 16;

/**
 * The model without the bytes of its large weights, which it names in another file instead: a runtime maps that into memory, where it would
 * hold what stands in the model twice while it loads. Nothing else changes.
 *
 * @param move puts bytes [start, end) of the source into that file, and gives their offset there
 * @param location name of that file, beside the model
 */
export async function withWeightsApart(source: ByteSource, location: string, move: (start: number, end: number) => Promise<number>): Promise<Uint8Array> {
  const wire = new WireReader(source);
  const copy = async (to: MessageBuilder, field: Field) => {
    if (field.wireType === 0) to.int(field.number, field.varint);
    else if (field.wireType === 2) to.bytes(field.number, await source.read(field.start, field.end));
    else to.raw(await source.read(field.start - tagLength(field.number), field.end));
  };
  const tensor = async ({ start, end }: Field): Promise<MessageBuilder> => {
    const made = new MessageBuilder();
    for await (const field of wire.fields(start, end)) {
      if (field.number !== TENSOR.rawData || field.end - field.start < LEAST_MOVED) {
        await copy(made, field);
        continue;
      }
      const offset = await move(field.start, field.end);
      for (const [key, value] of Object.entries({ location, offset, length: field.end - field.start })) {
        made.message(TENSOR.externalData, new MessageBuilder().string(ENTRY.key, key).string(ENTRY.value, String(value)));
      }
      made.int(TENSOR.dataLocation, EXTERNAL);
    }
    return made;
  };
  const model = new MessageBuilder();
  for await (const field of wire.fields(0, source.byteLength)) {
    if (field.number !== MODEL.graph) {
      await copy(model, field);
      continue;
    }
    const graph = new MessageBuilder();
    for await (const inner of wire.fields(field.start, field.end)) {
      if (inner.number === GRAPH.initializer && inner.end - inner.start >= LEAST_MOVED) graph.message(GRAPH.initializer, await tensor(inner));
      else await copy(graph, inner);
    }
    model.message(MODEL.graph, graph);
  }
  return concatBytes(model.pieces as Uint8Array[]);
}

/** Bytes of a field's tag. */
function tagLength(number: number): number {
  return Math.ceil(((number << 3) >>> 0).toString(2).length / 7);
}
