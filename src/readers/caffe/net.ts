/** From a Caffe net and its blobs to the layer map: training parts removed, blobs' names followed through in-place layers. */

import { nameVgg } from '../../architectures/vgg-names.js';
import { ModelError, throwAll } from '../../errors.js';
import type { Dim, LayerMap, Port } from '../../model/layer-map.js';
import type { Tensor } from '../../model/tensor.js';
import type { ReadOptions } from '../reader.js';
import { CaffeBuilder } from './builder.js';
import { messagesOf, textsOf } from './message.js';
import { Params } from './params.js';
import { DATA_TYPES, LOSS_TYPES, RULES } from './rules.js';
import type { CaffeLayer, CaffeNet } from './topology.js';

/**
 * Translates a net.
 *
 * @throws ModelError 'unsupported' listing every layer and field without a translation; 'malformed' where net and weights disagree
 */
export function buildCaffeMap(net: CaffeNet, blobs: ReadonlyMap<string, readonly Tensor[]>, file: string, options: ReadOptions): LayerMap {
  const builder = new CaffeBuilder(file, blobs);
  const inputs = makeInputs(net, builder, options);
  let label = false;
  for (const layer of net.layers) {
    if (DATA_TYPES.has(layer.type) || layer.type === 'Input') continue;
    if (layer.type === 'SoftmaxWithLoss') {
      finishInSoftmax(layer, builder);
      label = true;
      continue;
    }
    if (LOSS_TYPES.has(layer.type)) {
      builder.warnings.push({ code: 'training-layer-removed', message: `${layer.type} acts in training only and was removed`, layer: layer.name });
      continue;
    }
    translate(layer, builder);
  }
  for (const layer of net.trainOnly) {
    builder.warnings.push({ code: 'training-layer-removed', message: `${layer.type} is of the TRAIN phase and was removed`, layer: layer.name });
  }
  if (builder.obstacles.length > 0) throwAll(builder.obstacles, `${file}: this Caffe net cannot be translated faithfully:`);
  const unused = builder.unusedBlobs();
  if (unused.length > 0)
    builder.warnings.push({ code: 'unused-weights', message: `the weights of ${unused.join(', ')} belong to no layer of the net and were left out` });
  if (label) builder.warnings.push({ code: 'training-net', message: 'this is a training net: its loss became a Softmax that gives the predictions' });
  return nameVgg({
    name: net.name,
    format: 'caffe',
    producer: 'Caffe',
    architecture: null,
    inputs,
    outputs: makeOutputs(net, builder, inputs),
    layers: builder.layers,
    warnings: builder.warnings,
  });
}

function translate(layer: CaffeLayer, builder: CaffeBuilder): void {
  const rule = RULES[layer.type];
  if (!rule) {
    builder.obstacles.push(builder.unsupported(layer, `layers of type ${layer.type} have no translation. Known: ${Object.keys(RULES).join(', ')}.`));
    giveUp(layer, builder);
    return;
  }
  const params = new Params(layer.message, rule.block);
  try {
    rule.build(builder, layer, params);
    const unread = params.unread();
    if (unread.length > 0) builder.obstacles.push(builder.unsupported(layer, `${layer.type} has settings that are not known: ${unread.join(', ')}`));
  } catch (error) {
    if (!(error instanceof ModelError)) throw error;
    builder.obstacles.push(error);
    giveUp(layer, builder);
  }
}

/** What follows a layer without translation is not looked at through it: its tops stand for its bottom, so that more obstacles are found. */
function giveUp(layer: CaffeLayer, builder: CaffeBuilder): void {
  const value = layer.bottoms.map((bottom) => builder.values.get(bottom)).find((found) => found !== undefined);
  if (value !== undefined) for (const top of layer.tops) if (!builder.values.has(top)) builder.values.set(top, value);
}

function finishInSoftmax(layer: CaffeLayer, builder: CaffeBuilder): void {
  const value = builder.input(layer);
  const axis = new Params(layer.message, 'softmax_param').number('axis', 1);
  const top = layer.tops[0] ?? 'prob';
  builder.warnings.push({ code: 'training-layer-removed', message: 'SoftmaxWithLoss became Softmax', layer: layer.name });
  builder.values.set(top, builder.add(layer, layer.name, 'Softmax', [value], { attributes: { axis } }));
}

function makeInputs(net: CaffeNet, builder: CaffeBuilder, options: ReadOptions): Port[] {
  const found: { name: string; shape: readonly number[] | null; layer?: CaffeLayer }[] = [...net.inputs];
  for (const layer of net.layers) {
    if (layer.type === 'Input') {
      const shapes = messagesOf(layer.message, 'input_param').flatMap((input) => messagesOf(input, 'shape'));
      layer.tops.forEach(
        (name, i) => void found.push({ name, shape: (shapes[i] ?? shapes[0]) ? textsOf((shapes[i] ?? shapes[0])!, 'dim').map(Number) : null, layer }),
      );
    } else if (DATA_TYPES.has(layer.type)) {
      const [name, ...labels] = layer.tops;
      if (name !== undefined) found.push({ name, shape: dataShape(layer, net, builder), layer });
      for (const label of labels) builder.trainingBlobs.add(label);
      builder.warnings.push({
        code: 'training-layer-removed',
        message: `${layer.type} feeds a training net; it became the input "${name}"`,
        layer: layer.name,
      });
    }
  }
  const fixed = fixesBatch(net);
  if (found.length === 0) found.push(...impliedInputs(net));
  if (found.length === 0) throw new ModelError('malformed', 'the net has no input', { file: builder.file });
  return found.map(({ name, shape, layer }, i) => {
    const sizes =
      (i === 0 ? options.inputShape : undefined) ??
      shape?.map((size, axis): Dim => (axis === 0 && !fixed ? 'N' : size)) ??
      (i === 0 ? options.recordedShape : undefined);
    if (!sizes)
      throw new ModelError(
        'unsupported',
        `the net does not say what shape its input "${name}" has. Give it with --input-shape, batch first, such as N,3,224,224, or give the net's prototxt with --prototxt.`,
        { file: builder.file, ...(layer ? { layer: layer.name } : {}) },
      );
    if (sizes.some((size) => typeof size === 'number' && (!Number.isSafeInteger(size) || size < 1))) {
      throw new ModelError('malformed', `the input "${name}" has the shape [${sizes}]`, { file: builder.file });
    }
    builder.values.set(name, name);
    builder.shapes.set(name, sizes);
    return { name, value: name, dtype: 'float32', shape: sizes, layout: sizes.length === 4 ? 'nchw' : 'other' };
  });
}

/** What is read and never made: snapshots of nets whose inputs were declared outside any layer have lost the declaration. */
function impliedInputs({ layers }: CaffeNet): { name: string; shape: null }[] {
  const made = new Set(layers.flatMap(({ tops, bottoms }) => tops.filter((top) => !bottoms.includes(top))));
  return [...new Set(layers.flatMap(({ bottoms }) => bottoms))].filter((name) => !made.has(name)).map((name) => ({ name, shape: null }));
}

/** The declared batch is only an example, unless a Reshape writes it down. */
function fixesBatch(net: CaffeNet): boolean {
  const shapes = net.layers.filter(({ type }) => type === 'Reshape').flatMap(({ message }) => new Params(message, 'reshape_param').messages('shape'));
  return shapes.some((shape) => Number(textsOf(shape, 'dim')[0]) > 0);
}

/** What a data layer gives: its own sizes, or its crop, with as many channels as the first convolution takes. */
function dataShape(layer: CaffeLayer, net: CaffeNet, builder: CaffeBuilder): number[] | null {
  const memory = new Params(layer.message, 'memory_data_param');
  const sizes = ['channels', 'height', 'width'].map((name) => memory.number(name, 0));
  if (sizes.every((size) => size > 0)) return [1, ...sizes];
  const crop = Math.max(...['transform_param', 'data_param', 'image_data_param'].map((block) => new Params(layer.message, block).number('crop_size', 0)));
  const first = net.layers.find(({ type, bottoms }) => type === 'Convolution' && bottoms[0] === layer.tops[0]);
  const kernel = first && builder.blobs.get(first.name)?.[0];
  if (crop === 0 || !kernel) return null;
  const group = new Params(first.message, 'convolution_param').number('group', 1);
  return [1, kernel.shape[1]! * group, crop, crop];
}

/** Blobs that no layer reads, in the order in which they are made. */
function makeOutputs(net: CaffeNet, builder: CaffeBuilder, inputs: readonly Port[]): Port[] {
  const kept = net.layers.filter((layer) => (!LOSS_TYPES.has(layer.type) || layer.type === 'SoftmaxWithLoss') && !DATA_TYPES.has(layer.type));
  const read = new Set(kept.flatMap(({ bottoms, tops }) => bottoms.filter((bottom) => !tops.includes(bottom))));
  const made = [...new Set(kept.flatMap(({ tops }) => tops))].filter(
    (top) => !read.has(top) && builder.values.has(top) && !inputs.some(({ name }) => name === top),
  );
  if (made.length === 0) throw new ModelError('malformed', 'the net has no output', { file: builder.file });
  return made.map((name) => {
    const value = builder.values.get(name)!;
    const shape = builder.shapeOf(value);
    return { name, value, dtype: 'float32', shape, layout: shape.length === 4 ? 'nchw' : 'other' };
  });
}
