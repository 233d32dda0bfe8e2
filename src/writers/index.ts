/** The list of writers, each loaded when something is written with it. Adding a format is its entry in `targets.ts` and one line here. */
import { CAFFE, KERAS_H5, KERAS_V3, NPZ, ONNX, PYTORCH, SAFETENSORS, TFJS, TFJS_GRAPH } from './targets.js';
import type { Target, WeightsWriter, Writer } from './writer.js';

export type AnyWriter = Writer | WeightsWriter;

export const writers: readonly AnyWriter[] = [
  modelWriter(ONNX, async () => (await import('./onnx/index.js')).onnx),
  modelWriter(TFJS, async () => (await import('./tfjs/index.js')).tfjs),
  modelWriter(TFJS_GRAPH, async () => (await import('./tfjs/index.js')).tfjsGraph),
  modelWriter(KERAS_H5, async () => (await import('./keras.js')).kerasH5),
  modelWriter(KERAS_V3, async () => (await import('./keras.js')).kerasV3),
  modelWriter(
    PYTORCH,
    async () => (await import('./pytorch/index.js')).pytorch,
    weightsWriter(PYTORCH, async () => (await import('./pytorch/index.js')).pytorchWeights),
  ),
  modelWriter(CAFFE, async () => (await import('./caffe/index.js')).caffe),
  weightsWriter(SAFETENSORS, async () => (await import('./safetensors.js')).safetensors),
  weightsWriter(NPZ, async () => (await import('./npz.js')).npz),
];

function modelWriter(target: Target, load: () => Promise<Writer>, weightsOnly?: WeightsWriter): Writer {
  return {
    ...target,
    carries: 'model',
    ...(weightsOnly ? { weightsOnly } : {}),
    hasOperator: async (layer, map, options) => (await load()).hasOperator(layer, map, options),
    check: async (map, options) => (await load()).check(map, options),
    write: async (map, sink, name, options) => (await load()).write(map, sink, name, options),
  };
}

function weightsWriter(target: Target, load: () => Promise<WeightsWriter>): WeightsWriter {
  return {
    ...target,
    carries: 'weights',
    check: async (weights, options) => (await load()).check(weights, options),
    write: async (weights, sink, name, options) => (await load()).write(weights, sink, name, options),
  };
}
