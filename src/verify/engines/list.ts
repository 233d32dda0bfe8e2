/** The list of engines; adding one is one line here. In a page that is bundled, `list.browser.ts` takes its place (`browser` in package.json). */
import type { Engine } from '../engine.js';
import { evaluator } from './evaluator.js';
import { opencv } from './opencv.js';
import { ortCpu } from './ort-cpu.js';
import { ortCuda } from './ort-cuda.js';
import { ortWasm } from './ort-wasm.js';
import { ortWebgpu } from './ort-webgpu.js';
import { recorded } from './recorded.js';
import { reference } from './reference.js';
import { tfjsCpu } from './tfjs-cpu.js';
import { tfjsNode } from './tfjs-node.js';
import { tfjsNodeGpu } from './tfjs-node-gpu.js';
import { tfjsWasm } from './tfjs-wasm.js';
import { tfjsWebgpu } from './tfjs-webgpu.js';

/** In order of preference: the first that runs a format, on the device that is meant, and is available is taken. */
export const engines: readonly Engine[] = [
  ortCpu,
  ortWasm,
  ortWebgpu,
  ortCuda,
  tfjsWasm,
  tfjsCpu,
  tfjsWebgpu,
  tfjsNode,
  tfjsNodeGpu,
  opencv,
  evaluator,
  reference,
  recorded,
];
