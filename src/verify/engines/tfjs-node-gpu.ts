/** TensorFlow's C library with CUDA (`@tensorflow/tfjs-node-gpu`), when the user has installed it and it does find a GPU. */
import type { Engine } from '../engine.js';
import { tfjsNodeEngine } from './tfjs-node.js';

export const tfjsNodeGpu: Engine = tfjsNodeEngine('tfjs-node-gpu', 'gpu', '@tensorflow/tfjs-node-gpu');
