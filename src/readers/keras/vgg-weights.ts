/**
 * VGG nets saved as bare weights: keras.applications (block1_conv1 ... fc1, fc2, predictions), its many descendants, ports that
 * kept the paper's names (conv1_1 ... fc8), and the numbered layers of Keras 0 and Keras 3.
 */
import { ModelError } from '../../errors.js';
import type { LayerMap } from '../../model/layer-map.js';
import { flip, permute, type Tensor } from '../../model/tensor.js';
import { type VggLayerWeights, vggFromWeights } from '../../model/vgg.js';
import type { ReadOptions } from '../reader.js';
import type { Dialect } from './config-view.js';
import type { LayerWeights } from './weights.js';

export interface VggContext {
  readonly file: string;
  readonly format: string;
  readonly producer: string;
  readonly dialect: Dialect;
  readonly options: ReadOptions;
}

/** Convolutions per block by their number in all: the paper's configurations A, B, C and D, E. */
const BLOCKS_BY_COUNT: Readonly<Record<number, readonly number[]>> = {
  8: [1, 1, 2, 2, 2],
  10: [2, 2, 2, 2, 2],
  13: [2, 2, 3, 3, 3],
  16: [2, 2, 4, 4, 4],
};

/** fc6 and what follows as convolutions: windows of 1 do not tell them from those of a block. */
const HEAD_NAMES = /^(fc\d|predictions$)/;

/** A kernel's axes: channels-first files of Keras 0 and 1 keep [out, in, height, width]. */
type KernelOrder = 'hwio' | 'oihw';

/**
 * The layer map of a weights-only file of the VGG family.
 *
 * @throws ModelError 'unsupported' when the names and shapes are of no such net: the wiring is not in the file
 */
export function wireVggWeights(saved: readonly LayerWeights[], { file, format, producer, dialect, options }: VggContext): LayerMap {
  const weighted = saved.filter(({ tensors }) => tensors.length > 0);
  const head = weighted.findIndex(({ layer, tensors }) => tensors[0]!.shape.length !== 4 || HEAD_NAMES.test(layer) || !hasSmallWindow(tensors[0]!));
  const convolutions = weighted.slice(0, head < 0 ? undefined : head);
  const rest = weighted.slice(convolutions.length);
  const order = kernelOrder(convolutions.map(({ tensors }) => tensors[0]!));
  const isPlain = weighted.every(({ tensors: [, bias, ...others] }) => others.length === 0 && (bias === undefined || bias.shape.length === 1));
  const rank = rest[0]?.tensors[0]?.shape.length;
  const isHead = rest.length <= 3 && (rank === undefined || rank === 2 || rank === 4) && rest.every(({ tensors }) => tensors[0]!.shape.length === rank);
  if (order === null || !isPlain || !isHead) throw notRecognised(weighted, file);
  const layers = convolutions.map(
    ({ layer, tensors: [kernel, bias] }): VggLayerWeights => ({ name: layer, kernel: toOihw(kernel!, order, dialect.theano), bias }),
  );
  const byName = blocksByName(layers);
  const blocks = byName ?? blocksByCount(layers);
  if (!blocks || !isChain(layers)) throw notRecognised(weighted, file);
  const dense = rest.map(
    ({ layer, tensors: [kernel, bias] }): VggLayerWeights => ({
      name: layer,
      kernel: rank === 4 ? toOihw(kernel!, order, dialect.theano) : permute(kernel!, [1, 0]),
      bias,
    }),
  );
  return vggFromWeights({
    file,
    format,
    producer,
    blocks,
    dense,
    layout: order === 'hwio' ? 'nhwc' : 'nchw',
    softmax: true,
    inputName: 'input_1',
    outputName: dense.at(-1)?.name ?? 'features',
    inputShape: options.inputShape ?? options.recordedShape,
    assumed: [
      'the wiring is that of keras.applications: ReLU after every layer but the last, 2 x 2 max pooling after every block',
      ...(byName ? [] : [`the names do not say where blocks end; those of the paper's net of ${layers.length} convolutions are taken`]),
      ...(dense.length > 0 ? ['the last layer ends in a softmax'] : []),
    ],
  });
}

/** Blocks where names tell them: block1_conv1, or the paper's own conv1_1. */
function blocksByName(layers: readonly VggLayerWeights[]): VggLayerWeights[][] | null {
  const blocks: VggLayerWeights[][] = [];
  for (const layer of layers) {
    const match = /^(?:block(\d+)_conv|conv(\d+)_)(\d+)$/.exec(layer.name);
    if (!match) return null;
    const block = Number(match[1] ?? match[2]);
    const place = Number(match[3]);
    if (block === blocks.length + 1 && place === 1) blocks.push([]);
    if (block !== blocks.length || place !== blocks.at(-1)!.length + 1) return null;
    blocks.at(-1)!.push(layer);
  }
  return blocks.length >= 3 ? blocks : null;
}

/** Blocks as in the paper, where the number of convolutions is one of its nets and widths double from block to block as they do there. */
function blocksByCount(layers: readonly VggLayerWeights[]): VggLayerWeights[][] | null {
  const depths = BLOCKS_BY_COUNT[layers.length];
  if (!depths) return null;
  let start = 0;
  const blocks = depths.map((depth) => {
    start += depth;
    return layers.slice(start - depth, start);
  });
  const width = layers[0]!.kernel.shape[0]!;
  const widths = [width, 2 * width, 4 * width, 8 * width, 8 * width];
  const grows = blocks.every((block, b) => block.every(({ kernel }) => kernel.shape[0] === widths[b]));
  return grows && layers.every(({ kernel }) => kernel.shape[2] === 3 || kernel.shape[2] === 1) ? blocks : null;
}

/** Whether each convolution takes what the one before it makes. */
function isChain(layers: readonly VggLayerWeights[]): boolean {
  return layers.every(({ kernel }, i) => i === 0 || kernel.shape[1] === layers[i - 1]!.kernel.shape[0]);
}

function hasSmallWindow({ shape }: Tensor): boolean {
  const isWindow = (a: number, b: number) => a === b && (a === 3 || a === 1);
  return isWindow(shape[0]!, shape[1]!) || isWindow(shape[2]!, shape[3]!);
}

/** The order that all kernels share: square windows of 3 or 1 at the front, or at the back. */
function kernelOrder(kernels: readonly Tensor[]): KernelOrder | null {
  const isWindow = (a: number, b: number) => a === b && (a === 3 || a === 1);
  const fits = (order: KernelOrder) => kernels.every(({ shape }) => (order === 'hwio' ? isWindow(shape[0]!, shape[1]!) : isWindow(shape[2]!, shape[3]!)));
  if (kernels.length === 0) return null;
  return fits('hwio') ? 'hwio' : fits('oihw') ? 'oihw' : null;
}

function toOihw(kernel: Tensor, order: KernelOrder, theano: boolean): Tensor {
  const ordered = order === 'hwio' ? permute(kernel, [3, 2, 0, 1]) : kernel;
  return theano ? flip(ordered, [2, 3]) : ordered;
}

function notRecognised(saved: readonly LayerWeights[], file: string): ModelError {
  const names = saved.map(({ layer }) => layer);
  const shown = names.length > 8 ? `${names.slice(0, 6).join(', ')}, ... ${names.at(-1)}` : names.join(', ');
  return new ModelError(
    'unsupported',
    `this file holds weights without a configuration, and its layers (${shown}) are of no family that is recognised (VGG). ` +
      'Give the configuration (the JSON of model.to_json()) with --config, or put it beside the file under the same name with .json.',
    { file },
  );
}
