/** TensorFlow.js in plain JavaScript: slow (30 s for an image through VGG16), but it runs wherever JavaScript does. */
import type { Engine } from '../engine.js';
import { describeTfjs, importTfjs, tfjsEngine } from './tfjs.js';

export const tfjsCpu: Engine = tfjsEngine({
  name: 'tfjs-cpu',
  device: 'cpu',
  backend: 'cpu',
  install: 'npm install @tensorflow/tfjs-core @tensorflow/tfjs-layers @tensorflow/tfjs-converter @tensorflow/tfjs-backend-cpu h5wasm',
  async load() {
    const tfjs = await importTfjs();
    await import('@tensorflow/tfjs-backend-cpu');
    return tfjs;
  },
  describe: async (tfjs) => describeTfjs(tfjs),
});
