/** ONNX Runtime, native: the runtime that consumes what is written, and the fastest on a CPU. */
import type { Engine } from '../engine.js';
import { installLine } from './install.js';
import { ortEngine } from './ort.js';
import { loadOrtNode } from './ort-node.js';

export const ortCpu: Engine = ortEngine({
  name: 'ort-cpu',
  device: 'cpu',
  install: installLine(),
  load: loadOrtNode,
  describe: async ({ env }) => ({ available: true, detail: `onnxruntime-node ${env.versions?.node ?? env.versions?.common ?? ''}, CPU` }),
  // A verification runs a few inputs. Packing all weights for many costs VGG16 half a second of processor time and 127 MB; threads that wait for
  // the next operator by spinning, as they do to start on it sooner, a fifth of the time of each run.
  options: { executionProviders: ['cpu'], extra: { session: { disable_prepacking: '1', intra_op: { allow_spinning: '0' } } } },
  readsPaths: true,
});
