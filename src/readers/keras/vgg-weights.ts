/** VGG nets saved as bare weights by keras.applications and its many descendants: block1_conv1 ... fc1, fc2, predictions. */
import { ModelError } from '../../errors.js';
import type { LayerMap } from '../../model/layer-map.js';
import { flip, permute, type Tensor } from '../../model/tensor.js';
import { type VggLayerWeights, vggFromWeights } from '../../model/vgg.js';
import type { ReadOptions } from '../reader.js';
import type { Dialect } from './config-view.js';
import type { LayerWeights } from './weights.js';

export interface VggContext {
  readonly file: string;
  readonly producer: string;
  readonly dialect: Dialect;
  readonly options: ReadOptions;
}

/**
 * The layer map of a weights-only file of the VGG family.
 *
 * @throws ModelError 'unsupported' when the names are of no such net: the wiring is not in the file
 */
export function wireVggWeights(saved: readonly LayerWeights[], { file, producer, dialect, options }: VggContext): LayerMap {
  const blocks: VggLayerWeights[][] = [];
  const dense: VggLayerWeights[] = [];
  const weighted = saved.filter(({ tensors }) => tensors.length > 0);
  const orders = new Set<'hwio' | 'oihw'>();
  for (const { layer, tensors } of weighted) {
    const [kernel, bias] = tensors;
    const match = /^block(\d+)_conv(\d+)$/.exec(layer);
    if (tensors.length > 2 || !kernel || (bias && bias.shape.length !== 1)) throw notRecognised(weighted, file);
    if (match && kernel.shape.length === 4) {
      const [block, place] = [Number(match[1]), Number(match[2])];
      if (block === blocks.length + 1 && place === 1) blocks.push([]);
      if (block !== blocks.length || place !== blocks.at(-1)!.length + 1) throw notRecognised(weighted, file);
      const order = kernelOrder(kernel);
      orders.add(order);
      blocks.at(-1)!.push({ name: layer, kernel: toOihw(kernel, order, dialect.theano), bias });
    } else if (/^(fc\d?|predictions|dense_\d+)$/.test(layer) && kernel.shape.length === 2) {
      dense.push({ name: layer, kernel: permute(kernel, [1, 0]), bias });
    } else throw notRecognised(weighted, file);
  }
  if (blocks.length < 3 || orders.size !== 1) throw notRecognised(weighted, file);
  const layout = orders.has('hwio') ? 'nhwc' : 'nchw';
  return vggFromWeights({
    file,
    format: 'keras-h5',
    producer,
    blocks,
    dense,
    layout,
    softmax: true,
    inputName: 'input_1',
    outputName: dense.length > 0 ? 'predictions' : 'features',
    inputShape: options.inputShape,
    assumed: [
      'the wiring is that of keras.applications: ReLU after every layer but the last, 2 x 2 max pooling after every block',
      ...(dense.length > 0 ? ['the last layer ends in a softmax'] : []),
    ],
    warnings: dialect.theano ? [{ code: 'theano-kernels', message: 'saved under the Theano backend, so the kernels are rotated by 180 degrees' }] : [],
  });
}

/** Channels-first files of Keras 1 keep [out, in, height, width]. */
function kernelOrder({ shape }: Tensor): 'hwio' | 'oihw' {
  const [a, b, c, d] = shape as [number, number, number, number];
  return a === b && a <= 3 && !(c === d && c <= 3) ? 'hwio' : c === d && c <= 3 && !(a === b && a <= 3) ? 'oihw' : 'hwio';
}

function toOihw(kernel: Tensor, order: 'hwio' | 'oihw', theano: boolean): Tensor {
  const ordered = order === 'hwio' ? permute(kernel, [3, 2, 0, 1]) : kernel;
  return theano ? flip(ordered, [2, 3]) : ordered;
}

function notRecognised(saved: readonly LayerWeights[], file: string): ModelError {
  const names = saved.map(({ layer }) => layer);
  const shown = names.length > 8 ? `${names.slice(0, 6).join(', ')}, ... ${names.at(-1)}` : names.join(', ');
  return new ModelError(
    'unsupported',
    `this file holds weights without a configuration, and its layers (${shown}) are of no family that is recognised (VGG: block1_conv1, ..., fc1, predictions). ` +
      'Give the configuration (the JSON of model.to_json()) with --config, or put it beside the file under the same name with .json.',
    { file },
  );
}
