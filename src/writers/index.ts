/** The list of writers. Adding a format is one line here. */
import { caffe } from './caffe.js';
import { kerasH5, kerasV3 } from './keras.js';
import { npz } from './npz.js';
import { onnx } from './onnx/index.js';
import { pytorch } from './pytorch/index.js';
import { safetensors } from './safetensors.js';
import { tfjs, tfjsGraph } from './tfjs/index.js';
import type { WeightsWriter, Writer } from './writer.js';

export type AnyWriter = Writer | WeightsWriter;

export const writers: readonly AnyWriter[] = [onnx, tfjs, tfjsGraph, kerasH5, kerasV3, pytorch, caffe, safetensors, npz];
