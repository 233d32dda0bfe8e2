/** The inputs of a net: those that it declares, and what takes the place of the layers that fed it in training and testing. */
import { ModelError } from '../../errors.js';
import type { Dim, Port } from '../../model/layer-map.js';
import { elementCount } from '../../model/tensor.js';
import type { ReadOptions } from '../reader.js';
import type { Blobs } from './blobs.js';
import type { CaffeBuilder } from './builder.js';
import { Feed, type FeedSize, preparationNotices } from './feeds.js';
import { messagesOf, numbersOf } from './message.js';
import { notKnown, Params } from './params.js';
import { MAX_AXES } from './schema.js';
import type { CaffeLayer, CaffeNet } from './topology.js';
import { isFeed, isLoss, type TrainingParts } from './training.js';

/** Caffe's own data layers, and SSD's; of any other, nobody knows what its code does. */
const DATA_TYPES: ReadonlySet<string> = new Set(['Data', 'ImageData', 'HDF5Data', 'MemoryData', 'WindowData', 'DummyData', 'AnnotatedData']);

/** Recurrent nets that are written out step by step have some hundreds. */
const MAX_INPUTS = 2000;

interface Input {
  readonly name: string;
  /** As declared, batch first; null where nothing is. */
  readonly shape: readonly number[] | null;
  /** The layer that stood there. */
  readonly layer?: CaffeLayer;
  /** Where nothing is declared: what follows from the weights. */
  readonly guess?: readonly Dim[];
}

export interface Inputs {
  readonly ports: readonly Port[];
  /** Where the size of pictures was left open: what to say if a layer cannot do without. */
  readonly open: ModelError | null;
}

/** @throws ModelError 'unsupported' where a size is asked for, 'malformed' where there is no input, or one of no sizes */
export function makeInputs(net: CaffeNet, builder: CaffeBuilder, training: TrainingParts, options: ReadOptions): Inputs {
  const found: Input[] = [...net.inputs, ...net.layers.flatMap((layer) => layerInputs(layer, net, builder, training))];
  if (found.length === 0) found.push(...impliedInputs(net, builder));
  if (found.length === 0) throw new ModelError('malformed', 'the net has no input', { file: builder.file });
  checkCount(found, builder);
  const names = found.map(({ name }) => name);
  const twice = found.find(({ name }, i) => names.indexOf(name) < i);
  if (twice) throw new ModelError('malformed', `two inputs are named "${twice.name}"`, { file: builder.file });
  const fixed = fixesBatch(net);
  let open: ModelError | null = null;
  const ports = found.map(({ name, shape, layer, guess }, i): Port => {
    const declared = shape?.map((size, axis): Dim => (axis === 0 && !fixed ? 'N' : size));
    const given = i === 0 ? options.inputShape : undefined;
    // What somebody's own code gives is not known, recorded values or not: the user has to know the shape.
    const isOwnCode = layer && !DATA_TYPES.has(layer.type);
    const recorded = i === 0 ? options.recordedShape : undefined;
    const sizes = given ?? declared ?? (isOwnCode ? undefined : (recorded ?? guess));
    if (!sizes) throw asksForShape(builder, name, layer, guess ?? null);
    if (sizes === guess) open = asksForShape(builder, name, layer, guess);
    if (sizes.length > MAX_AXES)
      throw new ModelError('malformed', `the input "${name}" has ${sizes.length} axes; Caffe allows ${MAX_AXES}`, { file: builder.file });
    if (sizes.length === 0 || sizes.some((size) => typeof size === 'number' && (!Number.isSafeInteger(size) || size < 1)))
      throw new ModelError('malformed', `the input "${name}" has the shape [${sizes}]`, { file: builder.file });
    builder.addInput(name, sizes);
    return { name, value: name, dtype: 'float32', shape: sizes, layout: sizes.length === 4 ? 'nchw' : 'other' };
  });
  return { ports, open };
}

function checkCount({ length }: readonly unknown[], { file }: CaffeBuilder): void {
  if (length > MAX_INPUTS) throw new ModelError('unsafe', `the net has ${length} inputs, more than any net has`, { file });
}

function asksForShape({ file }: CaffeBuilder, name: string, layer: CaffeLayer | undefined, guess: readonly Dim[] | null): ModelError {
  const [, channels] = guess ?? [];
  const who = layer
    ? `the layer "${layer.name}", ${new Feed(layer).kind()}, feeds the net with "${name}", and does not say of what shape it is`
    : `the net does not say what shape its input "${name}" has`;
  const known = typeof channels === 'number' && guess!.length === 4 ? ` Its channels are ${channels}, as the weights have them.` : '';
  const example = `N,${typeof channels === 'number' ? channels : 3},224,224`;
  const problem = `${who}.${known} Give it with --input-shape, batch first, such as ${example}, or give the net's deploy prototxt with --prototxt.`;
  return new ModelError('unsupported', problem, { file, ...(layer ? { layer: layer.name } : {}) });
}

/** What a layer without bottoms stands for. */
function layerInputs(layer: CaffeLayer, net: CaffeNet, builder: CaffeBuilder, training: TrainingParts): Input[] {
  if (layer.type === 'Input') {
    const feed = new Feed(layer);
    const shapes = feed.inputShapes();
    refuseUnknown(builder, layer, feed.unaccounted());
    // Caffe does nothing with it here, but whoever wrote it down means it.
    builder.warnings.push(...preparationNotices([layer], `the layer "${layer.name}"`));
    return layer.tops.map((name, i) => ({ name, shape: shapes[i] ?? shapes[0] ?? null }));
  }
  if (!isFeed(layer)) return [];
  if (DATA_TYPES.has(layer.type) || layer.type === 'Python') refuseUnknown(builder, layer, new Feed(layer).unaccounted());
  return feedInputs(layer, net, builder, training.labels);
}

function refuseUnknown(builder: CaffeBuilder, layer: CaffeLayer, unknown: readonly string[]): void {
  if (unknown.length > 0) builder.obstacles.push(builder.unsupported(layer, `${layer.type} has ${notKnown(unknown)}`));
}

function feedInputs(layer: CaffeLayer, net: CaffeNet, builder: CaffeBuilder, labels: ReadonlySet<string>): Input[] {
  const feed = new Feed(layer);
  const names = layer.tops.filter((top) => !labels.has(top));
  checkCount(names, builder);
  if (names.length > 0) {
    const message = `${feed.kind()} feeds a training net; it became the input ${names.map((name) => `"${name}"`).join(' and ')}`;
    builder.warnings.push({ code: 'training-layer-removed', message, layer: layer.name });
  }
  builder.warnings.push(...preparationNotices([layer], `the layer "${layer.name}"`));
  return names.map((name): Input => {
    const size = feed.size(layer.tops.indexOf(name));
    if (Array.isArray(size)) return { name, shape: [1, ...size], layer };
    const picture = size as FeedSize | null;
    if (picture && picture.channels !== null) return { name, shape: [1, picture.channels, picture.height, picture.width], layer };
    const first = firstWeights(net, name, builder.weights.stored);
    // A dense layer behind pictures of a known size has as many values for each pixel as there are channels.
    const perPixel = picture && first?.features ? first.features / (picture.height * picture.width) : null;
    const channels = first?.channels ?? (Number.isInteger(perPixel) ? perPixel! : null);
    if (channels === null) return { name, shape: null, layer, ...(!picture && first?.features ? { guess: ['N', first.features] } : {}) };
    const message = `${layer.type} does not say how many channels "${name}" has; it was given the ${channels} that the kernel of "${first!.layer}" has`;
    builder.warnings.push({ code: 'assumed', message, layer: layer.name });
    return picture
      ? { name, shape: [1, channels, picture.height, picture.width], layer }
      : { name, shape: null, layer, guess: ['N', channels, 'height', 'width'] };
  });
}

/** Layers that leave channels as they are. */
const KEEPS_CHANNELS: ReadonlySet<string> = new Set([
  'Split',
  'Dropout',
  'ReLU',
  'Power',
  'Exp',
  'Log',
  'AbsVal',
  'Sigmoid',
  'TanH',
  'Pooling',
  'LRN',
  'MVN',
  'Eltwise',
  'Crop',
]);

/** The first layer behind a blob whose weights tell how many channels, or values, it has. */
function firstWeights(
  net: CaffeNet,
  blob: string,
  stored: ReadonlyMap<string, Blobs>,
): { readonly layer: string; readonly channels?: number; readonly features?: number } | null {
  const same = new Set([blob]);
  for (const layer of net.layers) {
    if (!layer.bottoms.some((bottom) => same.has(bottom)) || isLoss(layer)) continue;
    const shape = stored.get(layer.name)?.get(0)?.shape;
    if (KEEPS_CHANNELS.has(layer.type)) for (const top of layer.tops) same.add(top);
    else if (shape && shape.length >= 3 && (layer.type === 'Convolution' || layer.type === 'DepthwiseConvolution' || layer.type === 'ConvolutionDepthwise')) {
      const group = layer.type === 'Convolution' ? new Params(layer.message).child('convolution_param').number('group', 1) : shape[0]!;
      return { layer: layer.name, channels: shape[1]! * group };
    } else if (shape && shape.length >= 3 && layer.type === 'Deconvolution') return { layer: layer.name, channels: shape[0]! };
    else if (shape && ['BatchNorm', 'Scale', 'Bias', 'PReLU'].includes(layer.type) && elementCount(shape) > 1)
      return { layer: layer.name, channels: elementCount(shape) };
    else if (shape && layer.type === 'InnerProduct') {
      const isTransposed = new Params(layer.message).child('inner_product_param').flag('transpose', false);
      return { layer: layer.name, features: shape.at(isTransposed ? -2 : -1)! };
    } else return null;
  }
  return null;
}

/** What is read and never made: nets whose data layer is of the TRAIN phase, and snapshots that have lost the declaration of their inputs. */
function impliedInputs(net: CaffeNet, builder: CaffeBuilder): Input[] {
  const { layers, leftOut } = net;
  const made = new Set(
    layers.flatMap(({ tops, bottoms }) => {
      const inPlace = new Set(bottoms);
      return tops.filter((top) => !inPlace.has(top));
    }),
  );
  const used = layers.flatMap((layer) => (isLoss(layer) ? layer.bottoms.slice(0, 1) : layer.bottoms));
  const names = [...new Set(used)].filter((name) => !made.has(name));
  checkCount(names, builder);
  return names.flatMap((name): Input[] => {
    const feed = leftOut.find((layer) => isFeed(layer) && layer.tops.includes(name));
    if (!feed) return [{ name, shape: null }];
    return feedInputs({ ...feed, tops: [name] }, net, builder, new Set());
  });
}

/** The declared batch is only an example, unless a Reshape writes it down. */
function fixesBatch(net: CaffeNet): boolean {
  return net.layers.some(({ type, message }) => {
    if (type !== 'Reshape') return false;
    const [params] = messagesOf(message, 'reshape_param');
    const [shape] = params ? messagesOf(params, 'shape') : [];
    return (numbersOf(params ?? message, 'axis').at(-1) ?? 0) === 0 && ((shape ? numbersOf(shape, 'dim') : [])[0] ?? 0) > 0;
  });
}
