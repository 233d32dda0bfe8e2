/**
 * VGG nets in caffemodels that carry the order and types of their layers, but none of their settings and no input: converters
 * leave such files, and count on the prototxt beside them. What is missing follows from the family, as for other bare weights.
 */
import type { LayerMap } from '../../model/layer-map.js';
import { reshape, type Tensor } from '../../model/tensor.js';
import { isPaperVgg, type VggLayerWeights, vggFromWeights } from '../../model/vgg.js';
import type { ReadOptions } from '../reader.js';
import type { CaffeLayer, CaffeNet } from './topology.js';

/** What a layer's message may hold, when it holds no setting. */
const WIRING_FIELDS: ReadonlySet<string> = new Set(['name', 'type', 'bottom', 'top', 'phase', 'blobs_lr', 'weight_decay', 'param']);
const WITHOUT_WEIGHTS: ReadonlySet<string> = new Set(['ReLU', 'Pooling', 'Dropout', 'Softmax']);

/** The layer map, or null where the net has settings of its own or is none of the paper's nets. */
export function wireBareVgg(net: CaffeNet, blobs: ReadonlyMap<string, readonly Tensor[]>, file: string, options: ReadOptions): LayerMap | null {
  if (net.inputs.length > 0 || !isBareChain(net.layers)) return null;
  const blocks: VggLayerWeights[][] = [[]];
  const dense: VggLayerWeights[] = [];
  for (const { name, type } of net.layers) {
    const weights = weightsOf(name, blobs.get(name));
    if (type === 'Convolution') {
      const [, , height, width] = weights?.kernel.shape ?? [];
      if (!weights || dense.length > 0 || height !== width || (height !== 3 && height !== 1)) return null;
      blocks.at(-1)!.push(weights);
    } else if (type === 'InnerProduct') {
      if (!weights || blocks.at(-1)!.length > 0) return null;
      dense.push({ ...weights, kernel: reshape(weights.kernel, weights.kernel.shape.slice(-2)) });
    } else if (!WITHOUT_WEIGHTS.has(type) || weights) return null;
    else if (type === 'Pooling') {
      if (blocks.at(-1)!.length === 0) return null;
      blocks.push([]);
    }
  }
  if (blocks.pop()!.length > 0 || !isPaperVgg(blocks)) return null;
  const softmax = net.layers.at(-1)!.type === 'Softmax';
  return vggFromWeights({
    file,
    format: 'caffe',
    producer: 'Caffe',
    blocks,
    dense,
    layout: 'nchw',
    softmax,
    inputName: net.layers[0]!.bottoms[0]!,
    outputName: net.layers.at(-1)!.tops[0]!,
    inputShape: options.inputShape ?? options.recordedShape,
    assumed: [
      'the layers have no settings in the file; those of the VGG family were taken: 3 x 3 and 1 x 1 convolutions keep the size',
      '2 x 2 max pooling of stride 2 ends every block',
      'a ReLU follows every convolution and every fully connected layer but the last',
    ],
  });
}

/** A ReLU after every convolution and every dense layer but the last, one layer after the other, and not one setting. */
function isBareChain(layers: readonly CaffeLayer[]): boolean {
  const weighted = layers.filter(({ type }) => type === 'Convolution' || type === 'InnerProduct').length;
  const activations = layers.filter(({ type }, i) => type === 'ReLU' && ['Convolution', 'InnerProduct'].includes(layers[i - 1]?.type ?? '')).length;
  const lastIsDense = layers.findLast(({ type }) => type === 'Convolution' || type === 'InnerProduct')?.type === 'InnerProduct';
  if (activations !== layers.filter(({ type }) => type === 'ReLU').length || activations !== weighted - (lastIsDense ? 1 : 0)) return false;
  return layers.every(
    ({ bottoms, tops, message }, i) =>
      bottoms.length === 1 &&
      tops.length === 1 &&
      (i === 0 || bottoms[0] === layers[i - 1]!.tops[0]) &&
      message.fields.every(({ name }) => WIRING_FIELDS.has(name)),
  );
}

function weightsOf(name: string, blobs: readonly Tensor[] | undefined): VggLayerWeights | null {
  const [kernel, bias, ...more] = blobs ?? [];
  if (!kernel || more.length > 0) return null;
  return { name, kernel, ...(bias ? { bias: reshape(bias, [bias.shape.at(-1)!]) } : {}) };
}
