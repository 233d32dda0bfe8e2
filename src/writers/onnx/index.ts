/** Writes ONNX: one ModelProto, its weights inline or in a file beside it. */

import type { ByteSink } from '../../bytes/byte-sink.js';
import { writePieces } from '../../containers/protobuf-writer.js';
import { ModelError } from '../../errors.js';
import type { LayerMap } from '../../model/layer-map.js';
import { OPS } from '../../model/ops.js';
import { tensorByteLength } from '../../model/tensor.js';
import { castNotices } from '../cast-weights.js';
import type { WriteOptions, Writer } from '../writer.js';
import { type ExternalPlace, encodeMetadata, encodeModel, OPSETS, tensorSpan } from './encode.js';
import type { OnnxGraph } from './graph.js';
import { planGraph, portLayout } from './plan.js';
import { ONNX_DTYPES, optionsObstacle, storageObstacle } from './storage.js';

const DEFAULT_OPSET = 17;
/** protobuf parsers stop at 2 GiB; the graph itself and its names need some room too. */
const MAX_INLINE_BYTES = 2 ** 31 - 2 ** 24;
/** Offsets of external tensors are multiples of a page, so that runtimes can map them. */
const EXTERNAL_ALIGNMENT = 4096;

export const onnx: Writer = {
  carries: 'model',
  name: 'onnx',
  title: 'ONNX',
  extensions: ['.onnx'],
  dtypes: ONNX_DTYPES,

  check(map, options) {
    const opset = options.opset ?? DEFAULT_OPSET;
    const errors: (ModelError | null)[] = [optionsObstacle(options)];
    if (!OPSETS.includes(opset)) errors.push(new ModelError('usage', `ONNX opset ${opset} is not written; ${OPSETS[0]} to ${OPSETS.at(-1)} are.`));
    for (const layer of map.layers) {
      if (!OPS[layer.op]) errors.push(new ModelError('unsupported', `the operator ${layer.op} has no translation`, { layer: layer.name }));
      for (const [role, tensor] of Object.entries(layer.weights)) errors.push(storageObstacle(layer, role, tensor));
    }
    return errors.filter((error) => error !== null);
  },

  async write(map, sink, name, options) {
    const { graph, narrowed } = planGraph(map, options, options.opset ?? DEFAULT_OPSET);
    const total = graph.initializers.reduce((sum, { tensor }) => sum + tensorByteLength(tensor), 0);
    const file = await sink.create(name);
    let done = 0;
    const onBytes = (byteLength: number) => {
      done += byteLength;
      options.onProgress?.(Math.min(done, total), total);
    };
    const inline = options.externalData !== true && total <= MAX_INLINE_BYTES;
    const places = inline ? new Map<string, ExternalPlace>() : await writeExternal(graph, sink, `${name}.data`, onBytes);
    await writePieces(encodeModel(graph, places).pieces, file, inline ? onBytes : undefined);
    const metadata = { ...(await options.metadata()), ...layoutMetadata(map, options) };
    await writePieces(encodeMetadata(metadata).pieces, file);
    await file.close();
    return { warnings: narrowed.flatMap(({ layer, tensor, dtype, tally }) => castNotices(tensor.name, tally, dtype).map((notice) => ({ ...notice, layer }))) };
  },
};

/** Streams every weight into the file beside the model. @returns where each one is */
async function writeExternal(graph: OnnxGraph, sink: ByteSink, name: string, onBytes: (byteLength: number) => void): Promise<Map<string, ExternalPlace>> {
  const file = await sink.create(name);
  const places = new Map<string, ExternalPlace>();
  for (const { name: initializer, tensor } of graph.initializers) {
    await file.write(new Uint8Array((EXTERNAL_ALIGNMENT - (file.position % EXTERNAL_ALIGNMENT)) % EXTERNAL_ALIGNMENT));
    places.set(initializer, { file: name, offset: file.position });
    await writePieces([tensorSpan(tensor)], file, onBytes);
  }
  await file.close();
  return places;
}

/** Shapes alone do not tell NHWC from NCHW, so the file says which each port is. */
function layoutMetadata({ inputs, outputs }: LayerMap, options: WriteOptions): Record<string, string> {
  return Object.fromEntries([...inputs, ...outputs].map((port) => [`weighbridge.layout.${port.name}`, portLayout(port, options)]));
}
