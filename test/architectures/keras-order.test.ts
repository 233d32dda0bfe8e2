// @module-tag slow
/** Nets in files that name no layers, in the order that Keras's summaries print. */
import { expect, it } from 'vitest';
import { inKerasOrder, isUnnamed } from '../../src/architectures/keras-order.js';
import { recogniseUnnamedKeras } from '../../src/architectures/recognise.js';
import type { OrderedLayer } from '../../src/architectures/store.js';
import type { Layer } from '../../src/model/layer-map.js';
import { wireKerasWeights } from '../../src/readers/keras/wire.js';
import { storedLayers } from './keras-stored.js';

const options = { file: 'model.weights.h5', format: 'keras-h5', producer: null };

function classOf({ tensors }: OrderedLayer): string {
  const [first, second] = tensors.map(({ shape }) => shape) as [readonly number[], readonly number[] | undefined];
  if (tensors.length > 2 && first.length === 1) return tensors.at(-1)!.shape.length === 0 ? 'normalization' : 'batch_normalization';
  if (first.length === 2) return 'dense';
  if (second?.length === 4) return 'separable_conv2d';
  return first[3] === 1 && first[2]! > 1 ? 'depthwise_conv2d' : 'conv2d';
}

/** Groups by class, in the given order; tensors bear the names of their layers. */
function unnamed(layers: readonly OrderedLayer[]): OrderedLayer[] {
  const counts = new Map<string, number>();
  return layers.map((layer) => {
    const kind = classOf(layer);
    const count = counts.get(kind) ?? 0;
    counts.set(kind, count + 1);
    return { name: `layers/${kind}${count === 0 ? '' : `_${count}`}`, tensors: layer.tensors.map((tensor) => ({ ...tensor, name: `${layer.name}/vars` })) };
  });
}

/** Moves a layer before another one. */
function before(layers: readonly OrderedLayer[], moved: string, place: string): OrderedLayer[] {
  const one = layers.find(({ name }) => name === moved)!;
  return layers.filter((layer) => layer !== one).flatMap((layer) => (layer.name === place ? [one, layer] : [layer]));
}

/** In a block that changes its size, what goes around stands before the last of its branch. */
function aroundLast(layers: readonly OrderedLayer[]): OrderedLayer[] {
  return layers
    .map(({ name }) => name)
    .filter((name) => /_0_(conv|bn)$/.test(name))
    .reduce((moved, name) => before(moved, name, name.replace('_0_', '_3_')), [...layers]);
}

const CHAINS = ['vgg16', 'mobilenet_v2', 'densenet121', 'efficientnet_b0', 'efficientnet_v2_b0'];

it.each([...CHAINS.map((name) => [name, (layers: readonly OrderedLayer[]) => layers] as const), ['resnet50', aroundLast], ['resnet50v2', aroundLast]] as const)(
  '%s is recognised, each layer with its own weights',
  (name, arranged) => {
    const layers = unnamed(arranged(storedLayers(name)));
    expect(isUnnamed(layers)).toBe(true);
    const { map, unknown } = recogniseUnnamedKeras(layers, options);
    expect(unknown).toBeUndefined();
    expect(map!.architecture!.assumed.join()).toContain('the file names no layers');
    const weighty = map!.layers.filter(({ op, weights }) => /^(Conv|BatchNormalization|Gemm)$/.test(op) && Object.keys(weights).length > 0);
    const sources = weighty.map(({ weights }) => Object.values(weights)[0]!.name.replace(/\/vars.*$/, ''));
    // A net that is a chain has its layers in the order in which they run; others are told by the names that they have here.
    const expected = CHAINS.includes(name) ? storedLayers(name).map((layer) => layer.name) : weighty.map((layer) => layer.name);
    expect(sources).toEqual(expected.filter((layer) => layer !== 'normalization'));
  },
);

it('layers of branches come in the order of their distance from the output, as in the first block of Inception v3', () => {
  // The summary that Keras prints: conv2d_8, 6, 9, 5, 7, 10, 11.
  const layer = (name: string, op: string, ...inputs: string[]): Layer => ({ name, op, inputs, outputs: [name], attributes: {}, weights: {} });
  const unit = (i: number, from: string) => [
    layer(`conv_${i}`, 'Conv', from),
    layer(`bn_${i}`, 'BatchNormalization', `conv_${i}`),
    layer(`act_${i}`, 'Relu', `bn_${i}`),
  ];
  const layers = [
    ...[unit(5, 'x'), unit(6, 'x'), unit(7, 'act_6'), unit(8, 'x'), unit(9, 'act_8'), unit(10, 'act_9')].flat(),
    layer('pool', 'AveragePool', 'x'),
    ...unit(11, 'pool'),
    layer('mixed', 'Concat', 'act_5', 'act_7', 'act_10', 'act_11'),
  ];
  const convolutions = inKerasOrder(layers).filter((name) => name.startsWith('conv'));
  expect(convolutions).toEqual([8, 6, 9, 5, 7, 10, 11].map((i) => `conv_${i}`));
});

it('states of random generators are no layers, and a net of nobody is refused', () => {
  const context = { ...options, options: {} };
  const saved = [
    ...unnamed(storedLayers('vgg16')).map(({ name, tensors }) => ({ layer: name, tensors })),
    { layer: 'layers/dropout/seed_generator', tensors: storedLayers('vgg16')[0]!.tensors.slice(1) },
  ];
  expect(wireKerasWeights(saved, false, context).architecture!.name).toContain('VGG-16');
  expect(() => wireKerasWeights(saved.slice(1), false, context)).toThrow('class and its order alone');
});
