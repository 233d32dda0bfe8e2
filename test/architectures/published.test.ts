// @module-tag slow
/** Every published net of torchvision in its full size: recognised from its names and shapes, and described with the same ones. */
import { describe, expect, it } from 'vitest';
import { describeArchitecture, listArchitectures } from '../../src/architectures/index.js';
import { recogniseStateDict } from '../../src/architectures/recognise.js';
import { atOnce } from './at-once.js';
import { blank, published } from './blank.js';

const options = { file: 'model.pth', format: 'pytorch', producer: null };
/** Sizes in their order, without those of one: the layer map has some weights reshaped. */
const plain = (shape: readonly number[]) => shape.filter((size) => size !== 1).toSorted((a, b) => a - b);

describe('published nets', () => {
  it('are all there', () => {
    expect(Object.keys(published).length).toBe(86);
    const listed = listArchitectures().flatMap(({ nets }) => nets);
    expect(Object.keys(published).filter((name) => !listed.includes(name))).toEqual([]);
  });

  it.each(Object.entries(published))('%s is recognised by its names and shapes', (name, shapes) => {
    const { map, unknown } = atOnce(recogniseStateDict(blank(shapes), options));
    expect(unknown).toBeUndefined();
    const known = listArchitectures().some(({ nets }) => nets.includes(name));
    if (name.startsWith('vgg')) expect(map!.architecture!.name).toContain(`VGG-${name.slice(3, 5)}`);
    else if (known) expect(map!.architecture!.name).toContain(`(${name})`);
    if (known) expect(map!.architecture!.assumed.join()).not.toContain('as well');
    expect(map!.inputs[0]!.shape.length).toBe(4);
  });

  // keras.applications has nets of its own, see keras.test.ts.
  it.each(listArchitectures().flatMap(({ nets }) => nets.filter((net) => Object.hasOwn(published, net))))(
    '%s is described with the names and shapes that it has',
    (name) => {
      const described = new Map(
        describeArchitecture(name).layers.flatMap(({ weights = {} }) => Object.values(weights).map((weight) => [weight.name, weight.shape])),
      );
      // Worked out while converting: index tables, position biases, the row of the class token.
      const computed = /relative_|class_token|logit_scale|cpb_mlp|^aux|AuxLogits/;
      for (const [tensor, shape] of Object.entries(published[name]!)) {
        if (!computed.test(tensor)) expect([tensor, plain(described.get(tensor) ?? [-1])]).toEqual([tensor, plain(shape)]);
      }
    },
  );

  it.each(listArchitectures().flatMap(({ nets }) => nets.filter((net) => Object.hasOwn(published, net))))('%s is read by what is printed of it', (name) => {
    const document = describeArchitecture(name);
    const described = { name: `${name}.json`, text: JSON.stringify(document) };
    const { map, unknown } = atOnce(recogniseStateDict(blank(published[name]!), { ...options, described }));
    expect(unknown).toBeUndefined();
    expect(map!.layers.map(({ op }) => op)).toEqual(document.layers.map(({ op }) => op));
  });

  it('are told from another size of the same family that the caller names', () => {
    const told = (arch: string) => atOnce(recogniseStateDict(blank(published.squeezenet1_1!), { ...options, arch })).map!.warnings;
    expect(told('squeezenet1_1')).toEqual([]);
    expect(told('squeezenet1_0')).toEqual([{ code: 'other-size', message: expect.stringContaining('those of squeezenet1_1, not of squeezenet1_0') }]);
  });

  it('of their own names are of no other size', () => {
    const known = listArchitectures().flatMap(({ nets }) => nets);
    for (const [arch, shapes] of Object.entries(published).filter(([name]) => known.includes(name))) {
      expect([arch, atOnce(recogniseStateDict(blank(shapes), { ...options, arch })).map!.warnings.filter(({ code }) => code === 'other-size')]).toEqual([
        arch,
        [],
      ]);
    }
  });

  it('pool as TensorFlow does where the weights are those that measure FID', () => {
    const fid = Object.entries(published.inception_v3!).filter(([name]) => !name.startsWith('AuxLogits'));
    const shapes = Object.fromEntries(fid.map(([name, shape]) => [name, name.startsWith('fc.') ? [1008, ...shape.slice(1)] : shape]));
    const { map } = atOnce(recogniseStateDict(blank(shapes), options));
    const pools = map!.layers.filter(({ op }) => op === 'AveragePool');
    expect(pools.map(({ attributes }) => attributes.count_include_pad ?? 0)).toEqual(new Array(8).fill(0));
    expect(map!.layers.filter(({ op, attributes }) => op === 'MaxPool' && String(attributes.strides ?? '1,1') === '1,1').length).toBe(1);
    expect(map!.architecture!.assumed.join()).toContain('pools beside the branches are those of fid');
  });

  it('of which one fits by its weights say which channels a picture has', () => {
    expect(() => atOnce(recogniseStateDict(blank(published.resnet18!), { ...options, inputShape: ['N', 1, 32, 32] }))).toThrow(/with 3 channels are expected/);
  });

  it.each([
    ['vgg11', 96, '3 x 3 features of an input of this size are averaged, or repeated, to 7 x 7'],
    ['alexnet', 256, '7 x 7 features of an input of this size are averaged, or repeated, to 6 x 6'],
  ])('tell what %s does to a picture of another size', (name, size, told) => {
    const assumedAt = (side: number) =>
      atOnce(recogniseStateDict(blank(published[name]!), { ...options, inputShape: ['N', 3, side, side] })).map!.architecture!.assumed.join();
    expect(assumedAt(size)).toContain(told);
    expect(assumedAt(224)).not.toContain('averaged, or repeated');
  });

  it('are taken from under "model" where "ema" holds their average, which is told', () => {
    const twice = Object.fromEntries(
      Object.entries(published.resnet18!).flatMap(([name, shape]) => [
        [`model.${name}`, shape],
        [`ema.module.${name}`, shape],
      ]),
    );
    const { map, unknown } = atOnce(recogniseStateDict(blank({ ...twice, 'ema.n_averaged': [] }), options));
    expect(unknown).toBeUndefined();
    expect(map!.layers.flatMap(({ weights }) => Object.values(weights)).every(({ name }) => name.startsWith('model.'))).toBe(true);
    expect(map!.warnings.map(({ message }) => message).join()).toContain('--weights-key ema.module takes that one');
    // Of two nets side by side, none is the usual one.
    const pair = Object.fromEntries(Object.entries(twice).map(([name, shape]) => [name.replace(/^ema\.module/, 'teacher'), shape]));
    expect(atOnce(recogniseStateDict(blank(pair), options)).unknown).toContain('not of one net alone');
  });

  it('say what they expect of a picture, and where their classes come from', () => {
    const nasnet = describeArchitecture('nasnet_large');
    expect(nasnet.preprocessing).toEqual({ order: 'RGB', range: [0, 1], mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] });
    expect(nasnet.inputs[0]!.shape).toEqual(['N', 3, 331, 331]);
    expect(nasnet.labels).toContain('ImageNet');
    expect(describeArchitecture('resnet_rs_50').preprocessing).toMatchObject({ range: [0, 255], mean: [0, 0, 0] });
    expect(describeArchitecture('efficientnet_v2_l').preprocessing.mean).toEqual([0.5, 0.5, 0.5]);
    expect(describeArchitecture('deeplabv3_resnet50').labels).toContain('Pascal VOC');
  });

  it('have the sizes of picture and the epsilon that they were trained with', () => {
    const { inputs, layers } = describeArchitecture('efficientnet_b5');
    expect(inputs[0]!.shape).toEqual(['N', 3, 456, 456]);
    expect(layers.find(({ op }) => op === 'BatchNormalization')!.attributes!.epsilon).toBe(1e-3);
    expect(describeArchitecture('efficientnet_v2_s').inputs[0]!.shape).toEqual(['N', 3, 384, 384]);
    expect(describeArchitecture('efficientnet_b0').layers.find(({ op }) => op === 'BatchNormalization')!.attributes?.epsilon ?? 1e-5).toBe(1e-5);
  });
});
