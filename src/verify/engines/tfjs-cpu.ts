/** TensorFlow.js in plain JavaScript: slow (30 s for an image through VGG16), but it runs wherever JavaScript does. */
import type { Engine } from '../engine.js';
import { installLine } from './install.js';
import { describeTfjs, importTfjs, importTfjsCpu, tfjsEngine } from './tfjs.js';

export const tfjsCpu: Engine = tfjsEngine({
  name: 'tfjs-cpu',
  device: 'cpu',
  backend: 'cpu',
  install: installLine(),
  async load() {
    const tfjs = await importTfjs();
    await importTfjsCpu();
    return tfjs;
  },
  describe: async (tfjs) => describeTfjs(tfjs),
});
