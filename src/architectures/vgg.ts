/**
 * VGG: blocks of 3x3 (in configuration C also 1x1) convolutions with ReLU, 2x2 max pooling after each block, then dense layers.
 *
 * Simonyan & Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", 2014, table 1. Any width, class count and
 * input size; batch normalisation as in torchvision; fully convolutional, or without its dense layers.
 */
import { ModelError } from '../errors.js';
import { adapted } from './adaptive.js';
import { CAFFE, FEATURES_ALONE, family, type Names, TORCHVISION } from './family.js';
import { besideWidth, CLASSES, head, pooledHead } from './head.js';
import { type Net, sizeOf, type Value } from './net.js';

import { denseNumber, nameVgg } from './vgg-names.js';

interface Convolution {
  readonly name: string;
  readonly norm?: string;
  readonly out?: number;
}

export interface VggSize {
  /** Convolutions, block by block. */
  readonly blocks: readonly (readonly Convolution[])[];
  readonly dense: readonly (readonly [name: string, out?: number])[];
  /** Side of the square picture that the first dense layer takes; null where it takes any. */
  readonly side: number | null;
  /** What was guessed on the way. */
  readonly guessed?: string;
  /** The module that holds the dense layers, where they are not the paper's but somebody's own. */
  readonly ownHead?: string;
}

const PAPER_SIDE = 224;
/** The paper's dense layers, as torchvision numbers them. */
const LAYERS = [['0', 4096] as const, ['3', 4096] as const, ['6', CLASSES] as const];
const WIDTHS = [64, 128, 256, 512, 512];
/** Convolutions per block by their number in all: the paper's configurations A, B, C and D, E. */
const DEPTHS: Readonly<Record<number, readonly number[]>> = { 8: [1, 1, 2, 2, 2], 10: [2, 2, 2, 2, 2], 13: [2, 2, 3, 3, 3], 16: [2, 2, 4, 4, 4] };

/** As torchvision numbers them: ReLU and pooling count as modules. */
function published(depths: readonly number[], withNorm: boolean): VggSize {
  let i = 0;
  const blocks = depths.map((depth, b) => {
    const block = Array.from({ length: depth }, (): Convolution => {
      const conv = { name: `features.${i}`, out: WIDTHS[b]!, ...(withNorm ? { norm: `features.${i + 1}` } : {}) };
      i += withNorm ? 3 : 2;
      return conv;
    });
    i++;
    return block;
  });
  const dense = LAYERS.map(([place, out]) => [`classifier.${place}`, out] as const);
  return { blocks, dense, side: 7 };
}

export const vgg = family<VggSize>({
  name: 'vgg',
  title: 'VGG',
  source: 'Simonyan & Zisserman, 2014, https://arxiv.org/abs/1409.1556, table 1',
  sizes: Object.fromEntries(
    Object.values(DEPTHS).flatMap((depths) => {
      const name = `vgg${depths.reduce((a, b) => a + b, 0) + 3}`;
      return [false, true].map((withNorm) => [`${name}${withNorm ? '_bn' : ''}`, published(depths, withNorm)] as const);
    }),
  ),
  otherNames: /^vgg(11)?-lrn(_bn)?$|^vgg16-c(_bn)?$/i,
  stem: 'features.0',
  side: ({ side, blocks }) => (side === null ? PAPER_SIDE : side << blocks.length),
  preprocessing: (ecosystem) => (ecosystem === 'torchvision' ? TORCHVISION : CAFFE),
  spellings: [
    { ecosystem: 'torchvision', spell: (path) => path },
    FEATURES_ALONE,
    { ecosystem: 'torchvision', spell: (path) => (path === 'features.0' ? 'conv1_1|conv_1_1' : path) },
    { ecosystem: 'keras', spell: (path) => path },
  ],
  finish: nameVgg,
  renamed: ({ blocks, dense, side }) => ({
    ...published(
      blocks.map(({ length }) => length),
      blocks[0]![0]!.norm !== undefined,
    ),
    dense: dense.map((_, i) => [`classifier.${LAYERS[i]![0]}`] as const),
    side,
  }),

  measure(names) {
    const found = names.ecosystem === 'keras' ? fromKeras(names) : (named(names) ?? numbered(names));
    const first = found?.dense[0]?.[0];
    if (!found || first === undefined) return found && { ...found, side: null };
    const features = names.shape(found.blocks.at(-1)!.at(-1)!.name)[0]!;
    const [, fanIn = 0, ...window] = names.shape(first);
    const side = Math.sqrt(fanIn / features);
    return { ...found, side: window.length > 0 ? null : side };
  },

  build(net, input, size) {
    let x = input;
    const { blocks, dense, side, guessed, ownHead } = size;
    net.assume('wiring', 'a ReLU follows every convolution and every dense layer but the last; 2 x 2 max pooling ends every block');
    if (guessed !== undefined) net.assume('guessed', guessed);
    const localResponse = /-lrn/i.test(net.options.arch ?? '');
    blocks.forEach((block, b) => {
      block.forEach(({ name, norm, out }, c) => {
        const kernel = net.store.shape(name)?.[2] ?? 3;
        x = net.conv(x, name, { out, kernel, pad: (kernel - 1) / 2, bias: true });
        if (norm !== undefined) x = net.norm(x, norm);
        x = net.activation(x, 'relu', `relu${b + 1}_${c + 1}`);
        // Configuration A-LRN: weights cannot show it.
        if (localResponse && b === 0 && c === 0) x = net.op('LRN', [x], { size: 5, alpha: 5e-4, beta: 0.75, bias: 2 }, { name: 'norm1' });
      });
      x = net.maxPool(x, { kernel: 2, name: `pool${b + 1}` });
    });
    if (net.has('pre_logits.fc1', false)) return timmHead(net, x);
    if (ownHead !== undefined) return head(net, flattened(net, x, size), ownHead, { layers: LAYERS });
    const beside = dense.length === 0 ? besideWidth(net, 'classifier') : null;
    if (beside !== null) return head(net, beside === sizeOf(x, 1) ? net.globalPool(x) : flattened(net, x, { ...size, side: 7 }), 'classifier');
    if (dense.length === 0) return x;
    net.endsInClasses = true;
    return side === null ? windows(net, x, size) : matrices(net, x, size);
  },
});

/** timm has the dense layers as convolutions, over pictures of at least their window, and the mean of what they give. */
function timmHead(net: Net, features: Value): Value {
  const [, , window = 7] = net.store.shape('pre_logits.fc1') ?? [];
  const [height, width] = [sizeOf(features, 2), sizeOf(features, 3)];
  let x = height < window || width < window ? adapted(net, features, Math.max(window, height), Math.max(window, width)) : features;
  x = net.activation(net.conv(x, 'pre_logits.fc1', { kernel: window, pad: 0, bias: true }), 'relu');
  x = net.activation(net.conv(x, 'pre_logits.fc2', { bias: true }), 'relu');
  return pooledHead(net, x, 'head.fc');
}

/** Dense layers over the flattened picture. */
function matrices(net: Net, features: Value, size: VggSize): Value {
  const { dense } = size;
  let x = flattened(net, features, size);
  dense.forEach(([name, out], i) => {
    x = net.dense(x, name, { out });
    if (i < dense.length - 1) x = net.activation(x, 'relu', `relu${denseNumber(i, dense.length)}`);
  });
  return x;
}

/** The picture of features as the first dense layer takes it, which fixes its size. */
function flattened(net: Net, features: Value, { dense, side }: VggSize): Value {
  const channels = sizeOf(features, 1);
  if (!Number.isInteger(side) || side! < 1) {
    const name = dense[0]?.[0];
    const problem = `takes ${name === undefined ? 0 : net.store.shape(name)?.[1]} features, which is no square picture of the ${channels} channels before it`;
    throw new ModelError('malformed', problem, { ...(name === undefined ? {} : { layer: name }) });
  }
  let x = features;
  const sizes = [sizeOf(x, 2), sizeOf(x, 3)];
  if (sizes.some((size) => size !== side)) {
    if (net.ecosystem !== 'torchvision') {
      const problem = `an input of this size gives ${sizes.join(' x ')} features, but the first dense layer takes ${side} x ${side}`;
      throw new ModelError('unsupported', `${problem}. Choose --input-shape so that they agree.`);
    }
    // torchvision averages the features down, or repeats them, to what the first dense layer takes.
    x = adapted(net, x, side!, side!);
  }
  return net.flatten(x, 'flatten');
}

/** Dense layers as convolutions: the net takes pictures of any size. */
function windows(net: Net, features: Value, { dense }: VggSize): Value {
  return dense.reduce((x, [name], i) => {
    // A dense layer over a map of any size is as wide as its window; nothing is put around.
    const y = net.conv(x, name, { kernel: net.store.shape(name)?.slice(2) as [number, number] | undefined, pad: 0 });
    return i < dense.length - 1 ? net.activation(y, 'relu', `relu${denseNumber(i, dense.length)}`) : y;
  }, features);
}

/** Convolutions of a list that is called nothing; VGG-11 has 8. */
const LEAST_BARE = 5;
/** Of one list; VGG-19 with normalisations has 53. */
const MOST_MODULES = 100;

type Found = Pick<VggSize, 'blocks' | 'dense' | 'guessed' | 'ownHead'>;

/** features.0, features.2, ... and classifier.0, .3, .6: ReLU, pooling and dropout modules leave gaps in the numbers. */
function numbered(names: Names): Found | null {
  const children = (parent: string) => Array.from({ length: MOST_MODULES }, (_, i) => i).filter((i) => names.shape(`${parent}.${i}`).length > 0);
  const blocks = readBlocks(names, children('features'));
  // A few convolutions in a list of their own are in many nets.
  if (!blocks || (names.modules.includes('0') && blocks.flat().length < LEAST_BARE)) return null;
  const layers = children('classifier');
  // 2: Linear, ReLU; 3: and Dropout. Neighbours would have no activation between them.
  const isPlain = layers.every((index, i) => names.shape(`classifier.${index}`).length !== 1 && (i === 0 || [2, 3].includes(index - layers[i - 1]!)));
  const within = names.modules.filter((name) => name.startsWith('classifier.'));
  const isCut = layers.length === 2 && names.shape(`classifier.${layers[1]}`)[0] === LAYERS[1]![1];
  if (within.length > layers.length || !isPlain || isCut) {
    const first = within.find((name) => names.shape(name).length === 2);
    return first === undefined ? null : { blocks, dense: [[first]], ownHead: 'classifier' };
  }
  const single = ['classifier', 'fc'].filter((name) => names.shape(name).length > 0);
  const dense = layers.length > 0 ? layers.map((index) => `classifier.${index}`) : single;
  return dense.length <= 3 ? { blocks, dense: dense.map((name) => [name]) } : null;
}

function readBlocks(names: Names, list: readonly number[]): Convolution[][] | null {
  const blocks: Convolution[][] = [[]];
  // The module after the last one that was read.
  let end = 0;
  for (let i = 0; i < list.length; i++) {
    const index = list[i]!;
    const name = `features.${index}`;
    if (!isSmall(names.shape(name))) return null;
    const norm = list[i + 1] === index + 1 && names.shape(`features.${index + 1}`, 'mean').length > 0 ? `features.${index + 1}` : undefined;
    if (i === 0 ? index !== 0 : index - end !== 1 && index - end !== 2) return null;
    if (i > 0 && index - end === 2) blocks.push([]);
    blocks.at(-1)!.push({ name, ...(norm === undefined ? {} : { norm }) });
    end = index + (norm === undefined ? 1 : 2);
    if (norm !== undefined) i++;
  }
  return blocks[0]!.length > 0 ? blocks : null;
}

/** conv1_1 ... fc8, as in ports of the authors' release and in VGGFace. */
function named(names: Names): Found | null {
  const isDense = (name: string) => /^fc_?[678]$/.test(name);
  const blocks = inBlocks(
    names.modules.filter((name) => !isDense(name)),
    /^conv_?(\d+)_(\d+)$/,
  );
  if (!blocks || blocks.flat().some(({ name }) => !isSmall(names.shape(name)))) return null;
  return { blocks, dense: names.modules.filter(isDense).map((name) => [name]), guessed: 'pooling positions were taken from the layer names' };
}

/** fc6 and what follows as convolutions: windows of 1 do not tell them from those of a block. */
const HEAD_NAMES = /^(fc\d|predictions$)/;

/** keras.applications (block1_conv1 ... predictions), its descendants, and numbered layers of Keras 0 and 3, whose order tells. */
function fromKeras(names: Names): Found | null {
  const { modules } = names;
  const head = modules.findIndex((name) => HEAD_NAMES.test(name) || !isSmall(names.shape(name)));
  const convolutions = modules.slice(0, head < 0 ? undefined : head);
  const dense = modules.slice(convolutions.length);
  const shapes = convolutions.map((name) => names.shape(name));
  const ranks = new Set(dense.map((name) => names.shape(name).length));
  const isChain = shapes.every((shape, i) => i === 0 || shape[1] === shapes[i - 1]![0]);
  if (!isChain || dense.length > 3 || ranks.size > 1 || [...ranks].some((rank) => rank !== 2 && rank !== 4)) return null;
  const byName = inBlocks(convolutions, /^(?:block(\d+)_conv|conv(\d+)_)(\d+)$/);
  const blocks = byName ?? byCount(convolutions, shapes);
  const guessed = byName ? undefined : `the names do not say where blocks end; those of the paper's net of ${convolutions.length} convolutions are taken`;
  return blocks && { blocks, dense: dense.map((name) => [name]), ...(guessed === undefined ? {} : { guessed }) };
}

/** Blocks where names tell them: block by block, place by place. */
function inBlocks(list: readonly string[], pattern: RegExp): Convolution[][] | null {
  const blocks: Convolution[][] = [];
  for (const name of list) {
    const [block, place] = (pattern.exec(name)?.slice(1) ?? []).filter((part) => part !== undefined).map(Number);
    if (block === blocks.length + 1 && place === 1) blocks.push([]);
    if (block === undefined || block !== blocks.length || place !== blocks.at(-1)!.length + 1) return null;
    blocks.at(-1)!.push({ name });
  }
  return blocks.length >= 3 ? blocks : null;
}

/** Blocks as in the paper, where the number of convolutions is one of its nets and widths double from block to block as they do there. */
function byCount(list: readonly string[], shapes: readonly (readonly number[])[]): Convolution[][] | null {
  const depths = DEPTHS[list.length];
  if (!depths) return null;
  const [width = 0] = shapes[0]!;
  const widths = depths.flatMap((depth, b) => new Array<number>(depth).fill((width * WIDTHS[b]!) / WIDTHS[0]!));
  if (shapes.some(([out], i) => out !== widths[i])) return null;
  let start = 0;
  return depths.map((depth) => {
    start += depth;
    return list.slice(start - depth, start).map((name) => ({ name }));
  });
}

/** Kernels of the family: square windows of 3 or 1. */
function isSmall([, , height, width]: readonly number[]): boolean {
  return height === width && (height === 3 || height === 1);
}
