/**
 * Shows values inside an ONNX model without rewriting it: a second `graph` field with further outputs, after the model's last
 * byte. Protobuf merges the two, so every runtime sees one graph; nothing that is there is parsed or moved.
 *
 * @see https://protobuf.dev/programming-guides/encoding/#last-one-wins
 */
import { concatBytes } from '../../bytes/byte-sink.js';
import type { FileSet } from '../../bytes/file-set.js';
import { readOnnxModel } from '../../containers/onnx.js';
import { GRAPH, MODEL, VALUE_INFO } from '../../containers/onnx-schema.js';
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
