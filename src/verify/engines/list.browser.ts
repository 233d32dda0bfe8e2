/** The engines of a page: those that need neither Node nor native code. A bundler takes this list instead of `list.ts`. */
import type { Engine } from '../engine.js';
import { evaluator } from './evaluator.js';
import { ortPageWasm, ortPageWebgpu } from './ort-page.js';
import { recorded } from './recorded.js';
import { reference } from './reference.js';
import { tfjsCpu } from './tfjs-cpu.js';
import { tfjsWasm } from './tfjs-wasm.js';
import { tfjsWebgpu } from './tfjs-webgpu.js';

/** In order of preference, as in `list.ts`. */
export const engines: readonly Engine[] = [ortPageWasm, ortPageWebgpu, tfjsWasm, tfjsCpu, tfjsWebgpu, evaluator, reference, recorded];
