/**
 * The VGG family: wiring for bare weights, and canonical names for any net that is one.
 *
 * Simonyan & Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", 2014, table 1: blocks of 3x3
 * (in C also 1x1) convolutions with ReLU, 2x2 max pooling after each block, then fully connected layers. Names (conv1_1 ...
 * fc8) are those of the authors' release. Any width, class count and input size; batch normalisation as in torchvision.
 */
import { ModelError } from '../errors.js';
import type { Architecture, Dim, Layer, LayerMap, Notice, Port } from './layer-map.js';
import { makeLayer } from './ops/index.js';
import { toChannelsFirst } from './ports.js';
import { permute, reshape, type Tensor } from './tensor.js';

export interface NormWeights {
  readonly name: string;
  readonly scale: Tensor;
  readonly bias: Tensor;
  readonly mean: Tensor;
  readonly variance: Tensor;
}

export interface VggLayerWeights {
  /** The source's name of the layer. */
  readonly name: string;
  /** Convolution [out, in, kH, kW]; dense [out, in], inputs in the order of the source's layout (CHW, or HWC for 'nhwc'). */
  readonly kernel: Tensor;
  readonly bias?: Tensor;
  readonly norm?: NormWeights;
}

export interface VggWeights {
  readonly file: string;
  readonly format: string;
  readonly producer: string | null;
  /** Convolutions, block by block. */
  readonly blocks: readonly (readonly VggLayerWeights[])[];
  /** Fully connected layers; none for a headless net. A rank-4 kernel makes the net fully convolutional. */
  readonly dense: readonly VggLayerWeights[];
  readonly layout: 'nchw' | 'nhwc';
  /** Whether the source's convention ends the net in a softmax (Keras) or in logits (torchvision). */
  readonly softmax: boolean;
  readonly inputName: string;
  readonly outputName: string;
  /** Local response normalisation after conv1_1: configuration A-LRN, which weights cannot show. */
  readonly localResponse?: boolean;
  /** In the source's layout, from the caller. */
  readonly inputShape?: readonly Dim[];
  /** torchvision averages the features down to what fc6 takes. */
  readonly adaptivePool?: boolean;
  readonly assumed?: readonly string[];
  readonly warnings?: readonly Notice[];
}

/** Convolutions per block of the paper's configurations. */
const DEPTHS: Readonly<Record<string, string>> = { '1,1,2,2,2': 'VGG-11', '2,2,2,2,2': 'VGG-13', '2,2,3,3,3': 'VGG-16', '2,2,4,4,4': 'VGG-19' };
const PAPER_SIDE = 224;
const MIN_BLOCKS = 3;
const MAX_CONVOLUTIONS_PER_BLOCK = 4;

/** Whether blocks have as many convolutions as in one of the paper's nets. */
export function isPaperVgg(blocks: readonly (readonly unknown[])[]): boolean {
  return Object.hasOwn(DEPTHS, blocks.map(({ length }) => length).join(','));
}

/**
 * Builds the layer map of a VGG net from its weights.
 *
 * @throws ModelError 'malformed' when the weights do not fit each other, 'unsupported' when the input size asks for an adaptive
 *   pooling that is no plain average pooling
 */
export function vggFromWeights(weights: VggWeights): LayerMap {
  const { blocks, dense, layout, file } = weights;
  const channels = blocks[0]![0]!.kernel.shape[1]!;
  const features = blocks.at(-1)!.at(-1)!.kernel.shape[0]!;
  const fullyConvolutional = dense[0]?.kernel.shape.length === 4;
  const side = dense.length === 0 || fullyConvolutional ? null : sideOf(dense[0]!, features, file);
  const [height, width] = inputSize(weights, side ?? PAPER_SIDE >> blocks.length);
  const layers: Layer[] = [];
  let value = weights.inputName;
  const add = (name: string, op: string, extra: Partial<Parameters<typeof makeLayer>[0]> = {}) => {
    layers.push(makeLayer({ name, op, inputs: [value], outputs: [name], ...extra }));
    value = name;
  };
  const addWeighted = (layer: VggLayerWeights, op: string, kernel: Tensor, attributes = {}) => {
    add(layer.name, op, { weights: { kernel, ...(layer.bias ? { bias: layer.bias } : {}) }, attributes });
    if (!layer.norm) return;
    const { name, scale, bias, mean, variance } = layer.norm;
    add(name, 'BatchNormalization', { weights: { scale, bias, mean, variance } });
  };
  blocks.forEach((block, b) => {
    block.forEach((layer, c) => {
      const pad = (layer.kernel.shape[2]! - 1) / 2;
      addWeighted(layer, 'Conv', layer.kernel, { pads: [pad, pad, pad, pad] });
      add(`relu${b + 1}_${c + 1}`, 'Relu');
      if (weights.localResponse && b === 0 && c === 0) add('norm1', 'LRN', { attributes: { size: 5, alpha: 5e-4, beta: 0.75, bias: 2 } });
    });
    add(`pool${b + 1}`, 'MaxPool', { attributes: { kernel_shape: [2, 2], strides: [2, 2] } });
  });
  const assumed = [...(weights.assumed ?? [])];
  if (side !== null) {
    const pooled = [height >> blocks.length, width >> blocks.length] as const;
    if (pooled[0] !== side || pooled[1] !== side) addAdaptivePool(weights, pooled, side, add);
    add('flatten', 'Flatten');
  }
  dense.forEach((layer, i) => {
    if (fullyConvolutional) addWeighted(layer, 'Conv', asConvolution(layer.kernel));
    else addWeighted(layer, 'Gemm', i === 0 && layout === 'nhwc' ? channelsFirstColumns(layer.kernel, features, side!) : layer.kernel);
    if (i < dense.length - 1) add(`relu${denseNumber(i, dense.length)}`, 'Relu');
  });
  if (weights.softmax && dense.length > 0) add('prob', 'Softmax', { attributes: { axis: fullyConvolutional ? 1 : -1 } });
  const free: Dim = weights.inputShape?.[0] ?? 'N';
  const inputShape = layout === 'nhwc' ? [free, height, width, channels] : [free, channels, height, width];
  const input: Port = { name: weights.inputName, value: weights.inputName, dtype: 'float32', shape: inputShape, layout };
  const spatial = dense.length === 0 || fullyConvolutional;
  const output: Port = {
    name: weights.outputName,
    value,
    dtype: 'float32',
    shape: outputShape(weights, [height, width], features, free),
    layout: spatial ? layout : 'other',
  };
  const map = nameVgg({
    name: 'vgg',
    format: weights.format,
    producer: weights.producer,
    architecture: null,
    inputs: [input],
    outputs: [output],
    layers,
    warnings: weights.warnings ?? [],
  });
  const name = `${map.architecture?.name ?? 'VGG-style net'}${weights.localResponse ? ' with local response normalisation' : ''}`;
  assumed.push(`the input is ${inputShape.slice(1).join(' x ')}; --input-shape says otherwise`);
  return { ...map, architecture: { name, assumed } };
}

/** Side of the square picture that fc6 takes. */
function sideOf({ name, kernel }: VggLayerWeights, features: number, file: string): number {
  const side = Math.sqrt(kernel.shape[1]! / features);
  if (!Number.isInteger(side) || side < 1) {
    throw new ModelError('malformed', `takes ${kernel.shape[1]} features, which is no square picture of the ${features} channels before it`, {
      file,
      layer: name,
      tensor: kernel.name,
    });
  }
  return side;
}

function inputSize({ inputShape, layout, blocks, file }: VggWeights, side: number): readonly [number, number] {
  if (!inputShape) return [side << blocks.length, side << blocks.length];
  const shape = layout === 'nhwc' ? toChannelsFirst(inputShape.length).map((axis) => inputShape[axis]!) : inputShape;
  const [, channels, height, width] = shape;
  const expected = blocks[0]![0]!.kernel.shape[1];
  if (inputShape.length !== 4 || channels !== expected || typeof height !== 'number' || typeof width !== 'number') {
    throw new ModelError('usage', `the input shape [${inputShape}] does not fit: four sizes in ${layout} order with ${expected} channels are expected`, {
      file,
    });
  }
  return [height, width];
}

/** torchvision's AdaptiveAvgPool2d; a plain average pooling where the sizes divide, the only case that ONNX can state exactly. */
function addAdaptivePool(
  { adaptivePool, file }: VggWeights,
  [height, width]: readonly [number, number],
  side: number,
  add: (name: string, op: string, extra: object) => void,
): void {
  if (!adaptivePool || height % side !== 0 || width % side !== 0) {
    throw new ModelError(
      'unsupported',
      `an input of this size gives ${height} x ${width} features, but fc6 takes ${side} x ${side}. Choose --input-shape so that they agree${adaptivePool ? ', or are a multiple' : ''}.`,
      { file },
    );
  }
  const window = [height / side, width / side];
  add('avgpool', 'AveragePool', { attributes: { kernel_shape: window, strides: window } });
}

/** Reorders dense columns that count a picture in [height, width, channel] order to [channel, height, width]. */
function channelsFirstColumns(kernel: Tensor, channels: number, side: number): Tensor {
  const [out, fanIn] = kernel.shape as [number, number];
  return reshape(permute(reshape(kernel, [out, side, side, channels]), [0, 3, 1, 2]), [out, fanIn]);
}

function asConvolution(kernel: Tensor): Tensor {
  return kernel.shape.length === 4 ? kernel : reshape(kernel, [...kernel.shape, 1, 1]);
}

function outputShape({ dense, layout, blocks }: VggWeights, [height, width]: readonly [number, number], features: number, free: Dim): Dim[] {
  const last = dense.at(-1)?.kernel.shape[0] ?? features;
  if (dense.length > 0 && dense[0]!.kernel.shape.length === 2) return [free, last];
  const window = dense[0] ? dense[0].kernel.shape[2]! - 1 : 0;
  const sizes = [(height >> blocks.length) - window, (width >> blocks.length) - window];
  return layout === 'nhwc' ? [free, ...sizes, last] : [free, last, ...sizes];
}

/** fc6, fc7, fc8 for three; a net with fewer keeps fc8 for its classifier. */
function denseNumber(i: number, count: number): number {
  return 8 - count + 1 + i;
}

/**
 * Gives canonical names to the layers of a map that is a VGG net, and names the architecture; any other map comes back as it is.
 */
export function nameVgg(map: LayerMap): LayerMap {
  const names = canonicalNames(map);
  if (!names) return map;
  const layers = map.layers.map((layer) => (names.byLayer.has(layer) ? { ...layer, canonicalName: names.byLayer.get(layer)! } : layer));
  return { ...map, layers, architecture: { name: names.architecture, assumed: map.architecture?.assumed ?? [] } satisfies Architecture };
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
