/** Files of exporters' formats that ask for much. */
import { LITE_FILES } from './cost-lite.js';
import { BUNDLE_FILES, GRAPH_FILES } from './cost-tensorflow.js';
import { EXPORTED_FILES, TORCHSCRIPT_FILES } from './cost-torch.js';
import type { Costly } from './costly.js';

export const GRAPHS: Costly = {
  TorchScript: TORCHSCRIPT_FILES,
  'torch.export': EXPORTED_FILES,
  TensorFlow: GRAPH_FILES,
  'a tensor bundle': BUNDLE_FILES,
  'TensorFlow Lite': LITE_FILES,
};
