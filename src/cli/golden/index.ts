/** The list of frameworks that recordings can be made in. */
import { caffe } from './caffe.js';
import { keras } from './keras.js';
import { onnx } from './onnx.js';
import type { GoldenScript } from './script.js';
import { tensorflow } from './tensorflow.js';
import { torch } from './torch.js';

export const goldenScripts: readonly GoldenScript[] = [keras, torch, caffe, tensorflow, onnx];
