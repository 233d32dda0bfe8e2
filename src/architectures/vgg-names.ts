/**
 * Canonical names for any layer map that is a VGG net, wherever its wiring came from: those of the authors' release (conv1_1 ... fc8).
 *
 * Simonyan & Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", 2014, table 1.
 */
import type { Architecture, Layer, LayerMap } from '../model/layer-map.js';
import { CAFFE, preparationOf } from './family.js';
import { framingOf } from './framing.js';

/** Convolutions per block of the paper's configurations. */
const DEPTHS: Readonly<Record<string, string>> = { '1,1,2,2,2': 'VGG-11', '2,2,2,2,2': 'VGG-13', '2,2,3,3,3': 'VGG-16', '2,2,4,4,4': 'VGG-19' };
const MIN_BLOCKS = 3;
const MAX_CONVOLUTIONS_PER_BLOCK = 4;

/** Whether blocks have as many convolutions as in one of the paper's nets. */
export function isPaperVgg(blocks: readonly (readonly unknown[])[]): boolean {
  return Object.hasOwn(DEPTHS, blocks.map(({ length }) => length).join(','));
}

/** fc6, fc7, fc8 for three; a net with fewer keeps fc8 for its classifier. */
export function denseNumber(i: number, count: number): number {
  return 8 - count + 1 + i;
}

/**
 * Gives canonical names to the layers of a map that is a VGG net, and names the architecture; any other map comes back as it is.
 */
export function nameVgg(map: LayerMap): LayerMap {
  const names = canonicalNames(map);
  if (!names) return map;
  const layers = map.layers.map((layer) => (names.byLayer.has(layer) ? { ...layer, canonicalName: names.byLayer.get(layer)! } : layer));
  const { assumed = [], labels } = map.architecture ?? {};
  const architecture: Architecture = { name: names.architecture, assumed, ...(labels ? { labels } : {}) };
  const isPaper = Object.values(DEPTHS).some((name) => names.architecture.startsWith(name)) && map.inputs.some(({ shape }) => shape.includes(3));
  return {
    ...map,
    layers,
    architecture,
    ...(isPaper && !map.preparation
      ? { preparation: preparationOf(CAFFE, 'usual for VGG', framingOf(map.format.startsWith('keras') ? 'keras' : 'caffe', 224)) }
      : {}),
  };
}

function canonicalNames(map: LayerMap): { byLayer: Map<Layer, string>; architecture: string } | null {
  if (!isChain(map.layers)) return null;
  const byLayer = new Map<Layer, string>();
  const depths = [0];
  let norm = false;
  let hasSmallKernel = false;
  const dense: Layer[] = [];
  let last = '';
  let padded = 0;
  for (const layer of map.layers) {
    const kernel = layer.weights.kernel;
    const block = depths.length;
    if (layer.op === 'Conv' && kernel?.shape.length === 4 && dense.length === 0 && isBlockConvolution(layer, padded)) {
      padded = 0;
      depths[block - 1]!++;
      hasSmallKernel ||= kernel.shape[2] === 1;
      last = `${block}_${depths[block - 1]}`;
      byLayer.set(layer, `conv${last}`);
    } else if (layer.op === 'Gemm' || (layer.op === 'Conv' && block > MIN_BLOCKS)) {
      dense.push(layer);
    } else if (layer.op === 'MaxPool' && dense.length === 0 && depths.at(-1)! > 0) {
      byLayer.set(layer, `pool${block}`);
      depths.push(0);
    } else if (layer.op === 'BatchNormalization' && dense.length === 0) {
      norm = true;
      byLayer.set(layer, `bn${last}`);
    } else if (layer.op === 'Pad' && padded === 0) {
      // The first ports to Keras pad in layers of their own.
      const pads = layer.attributes.pads as readonly number[];
      padded = pads[2]!;
      if (`${pads}` !== `${[0, 0, padded, padded, 0, 0, padded, padded]}`) return null;
    } else if ((layer.op === 'Mul' || layer.op === 'Add') && dense.length === 0 && norm) {
      // Caffe's Scale: what its BatchNorm leaves out.
    } else if (layer.op === 'Relu') {
      if (dense.length === 0) byLayer.set(layer, `relu${last}`);
    } else if (layer.name.startsWith('avgpool')) {
      // Adaptive pooling, in whatever form it takes.
    } else if (!['Flatten', 'Softmax', 'LRN', 'AveragePool', 'GlobalAveragePool', 'Identity', 'Reshape'].includes(layer.op)) return null;
  }
  if (depths.at(-1) === 0) depths.pop();
  if (depths.length < MIN_BLOCKS || depths.some((depth) => depth > MAX_CONVOLUTIONS_PER_BLOCK) || dense.length > 3) return null;
  dense.forEach((layer, i) => void byLayer.set(layer, `fc${denseNumber(i, dense.length)}`));
  nameDenseActivations(map.layers, dense, byLayer);
  const known = DEPTHS[depths.join(',')];
  const words = [known ?? `VGG-style net of ${depths.reduce((a, b) => a + b, 0) + dense.length} weight layers`];
  if (known === 'VGG-16' && hasSmallKernel) words.push('(configuration C)');
  if (norm) words.push('with batch normalisation');
  if (dense.length === 0) words.push('without top');
  else if (dense[0]!.op === 'Conv') words.push('fully convolutional');
  return { byLayer, architecture: words.join(' ') };
}

function nameDenseActivations(layers: readonly Layer[], dense: readonly Layer[], byLayer: Map<Layer, string>): void {
  let current = '';
  for (const layer of layers) {
    if (dense.includes(layer)) current = byLayer.get(layer)!.slice(2);
    else if (layer.op === 'Relu' && current !== '') byLayer.set(layer, `relu${current}`);
    else if (layer.op === 'Softmax') byLayer.set(layer, 'prob');
  }
}

/** 3x3 or 1x1, stride 1, the size kept, counting the padding by a layer before it. */
function isBlockConvolution({ attributes, weights }: Layer, padded: number): boolean {
  const [, , kernelH, kernelW] = weights.kernel!.shape;
  const pads = attributes.pads as readonly number[];
  const keepsSize = (attributes.auto_pad !== 'NOTSET' && padded === 0) || pads.every((pad) => pad + padded === (kernelH! - 1) / 2);
  const plain = (attributes.strides as readonly number[]).every((stride) => stride === 1) && attributes.group === 1;
  return kernelH === kernelW && (kernelH === 3 || kernelH === 1) && plain && keepsSize;
}

/** Whether every layer reads what the one before it made. */
function isChain(layers: readonly Layer[]): boolean {
  return layers.every((layer, i) => layer.inputs.length === 1 && layer.outputs.length === 1 && (i === 0 || layer.inputs[0] === layers[i - 1]!.outputs[0]));
}
