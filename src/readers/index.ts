/** The list of readers. Adding a format is one line here; see CONTRIBUTING.md. */
import { caffe } from './caffe/index.js';
import { kerasArchive, kerasH5 } from './keras/index.js';
import { npz } from './npz.js';
import { onnx } from './onnx/index.js';
import { pytorch } from './pytorch/index.js';
import type { Reader } from './reader.js';
import { safetensors } from './safetensors.js';
import { tensorflow } from './tensorflow.js';
import { tfjs, tfjsGraph } from './tfjs/index.js';
import { tflite } from './tflite.js';

export const readers: readonly Reader[] = [kerasH5, kerasArchive, caffe, onnx, tfjs, tfjsGraph, tensorflow, tflite, pytorch, safetensors, npz];
