/**
 * VGG nets in caffemodels that carry the order and types of their layers, but none of their settings and no input: converters
 * leave such files, and count on the prototxt beside them. What is missing follows from the family, as for other bare weights.
 */
import { Net } from '../../architectures/net.js';
import { buildNet } from '../../architectures/recognise.js';
import { caffeStore } from '../../architectures/store.js';
import { vgg } from '../../architectures/vgg.js';
import { isPaperVgg } from '../../architectures/vgg-names.js';
import type { LayerMap } from '../../model/layer-map.js';
import type { ReadOptions } from '../reader.js';
import type { Blobs } from './blobs.js';
import type { CaffeLayer, CaffeNet } from './topology.js';

/** What a layer's message may hold, when it holds no setting. */
const WIRING_FIELDS: ReadonlySet<string> = new Set(['name', 'type', 'bottom', 'top', 'phase', 'blobs_lr', 'weight_decay', 'param']);
const WITHOUT_WEIGHTS: ReadonlySet<string> = new Set(['ReLU', 'Pooling', 'Dropout', 'Softmax']);

/** The layer map, or null where the net has settings of its own or is none of the paper's nets. */
export function wireBareVgg(net: CaffeNet, stored: ReadonlyMap<string, Blobs>, file: string, options: ReadOptions): LayerMap | null {
  if (net.inputs.length > 0 || !isBareChain(net.layers)) return null;
  const blobs = new Map([...stored].map(([name, layer]) => [name, [...layer.values()]]));
  const blocks: { name: string }[][] = [[]];
  const dense: [string][] = [];
  for (const { name, type } of net.layers) {
    const kernel = blobs.get(name)?.[0];
    if (type === 'Convolution') {
      const [, , height, width] = kernel?.shape ?? [];
      if (dense.length > 0 || height === undefined || height !== width || (height !== 3 && height !== 1)) return null;
      blocks.at(-1)!.push({ name });
    } else if (type === 'InnerProduct') {
      if (!kernel || blocks.at(-1)!.length > 0) return null;
      dense.push([name]);
    } else if (!WITHOUT_WEIGHTS.has(type) || kernel) return null;
    else if (type === 'Pooling') {
      if (blocks.at(-1)!.length === 0) return null;
      blocks.push([]);
    }
  }
  if (blocks.pop()!.length > 0 || !isPaperVgg(blocks)) return null;
  const store = caffeStore(blobs);
  const features = store.shape(blocks.at(-1)!.at(-1)!.name)![0]!;
  const first = dense[0] && blobs.get(dense[0][0])![0]!.shape.at(-1)!;
  const size = { blocks, dense, side: first === undefined ? null : Math.sqrt(first / features) };
  const last = net.layers.at(-1)!;
  return buildNet(vgg, size, new Net(store), {
    file,
    format: 'caffe',
    producer: 'Caffe',
    inputShape: options.inputShape ?? options.recordedShape,
    inputName: net.layers[0]!.bottoms[0]!,
    outputName: last.tops[0]!,
    softmax: last.type === 'Softmax',
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
