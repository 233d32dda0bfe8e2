/** Nets of Keras and Caffe that torchvision has too are written under its class's names; others keep theirs, and say what tells them apart. */
import { describe, expect, it } from 'vitest';
import { describeArchitecture } from '../../src/architectures/index.js';
import { recogniseKeras } from '../../src/architectures/recognise.js';
import { withTorchNames } from '../../src/architectures/torch-names.js';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { convert } from '../../src/convert.js';
import type { LayerMap } from '../../src/model/layer-map.js';
import { openModel } from '../../src/readers/open.js';
import { DIALECT_CASES, openDialect } from '../dialects.js';
import { atOnce } from './at-once.js';
import { storedLayers } from './keras-stored.js';

const keras = (name: string): LayerMap => atOnce(recogniseKeras(storedLayers(name), false, { file: 'model.h5', format: 'keras-h5', producer: null })).map!;

/** Names of weights by their shapes, as torchvision's own class has them. */
function published(name: string): Record<string, string> {
  const weights = describeArchitecture(name).layers.flatMap((layer) => Object.values(layer.weights ?? {}) as { name: string; shape: readonly number[] }[]);
  return Object.fromEntries(weights.map((weight) => [weight.name, weight.shape.join()]));
}

const weightsOf = ({ layers }: LayerMap) =>
  Object.fromEntries(layers.flatMap(({ weights }) => Object.values(weights).map(({ name, shape }) => [name, shape.join()])));

describe('a net of keras.applications', () => {
  it.each(['densenet121', 'densenet169', 'densenet201'])('%s has every weight of torchvision’s class, and no other', (name) => {
    const found = withTorchNames(keras(name))!;
    expect(weightsOf(found.map)).toEqual(published(name));
    expect(found.notices.map(({ code }) => code)).toEqual(['class-names']);
  });

  it.each([
    ['resnet50', /bias/],
    ['mobilenet_v2', /TensorFlow's padding/],
    ['inception_v3', /AveragePool/],
    ['efficientnet_b0', /TensorFlow's padding/],
  ])('%s is no net of torchvision, and keeps its names', (name, why) => {
    const map = keras(name);
    const found = withTorchNames(map)!;
    expect(found.map).toBe(map);
    expect(found.notices).toEqual([{ code: 'other-class', message: expect.stringMatching(why) }]);
  });
});

describe('a written state dict', () => {
  const numbers = (title: string) => DIALECT_CASES.find((one) => one.title === title)!.folder;

  it.each([
    ['caffe/vgg11', 'vgg11'],
    ['caffe/vgg19', 'vgg19'],
    ['keras-dialects/weights-a', 'vgg11'],
  ])('of %s has the names of torchvision’s %s', async (title, name) => {
    const { files, options } = openDialect(numbers(title));
    const sink = memorySink();
    const { warnings } = await convert(files, sink, 'model.pth', { ...options, to: 'pytorch' });
    const { tensors } = await openModel(memoryFileSet(Object.fromEntries(sink.files), 'model.pth'), { from: 'pytorch' });
    expect(tensors.map(({ tensor }) => tensor.name).sort()).toEqual(Object.keys(published(name)).sort());
    expect(warnings.map(({ code }) => code)).toContain('class-names');
  });
});
