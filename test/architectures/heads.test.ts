/** Heads that people put on published nets, and files of several nets: by names and shapes, and what is said of them. */
import { describe, expect, it } from 'vitest';
import { recogniseStateDict } from '../../src/architectures/recognise.js';
import { isModelError } from '../../src/errors.js';
import type { LayerMap } from '../../src/model/layer-map.js';
import { atOnce } from './at-once.js';
import { blank, shapesOf } from './blank.js';

type Shapes = Record<string, readonly number[]>;
const options = { file: 'model.pth', format: 'pytorch', producer: null };
const without = (shapes: Shapes, beginning: string): Shapes => Object.fromEntries(Object.entries(shapes).filter(([name]) => !name.startsWith(beginning)));
const under = (prefix: string, shapes: Shapes): Shapes => Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [prefix + name, shape]));
const linear = (name: string, out: number, features: number): Shapes => ({ [`${name}.weight`]: [out, features], [`${name}.bias`]: [out] });

function read(shapes: Shapes, assume?: Record<string, string>): LayerMap {
  const { map, unknown } = atOnce(recogniseStateDict(blank(shapes), { ...options, ...(assume ? { assume } : {}) }));
  expect(unknown).toBeUndefined();
  return map!;
}

const refusal = (shapes: Shapes) => atOnce(recogniseStateDict(blank(shapes), options)).unknown;
const lastOps = (map: LayerMap, count: number) => map.layers.slice(-count).map(({ op }) => op);

/** The children of torchvision's nets, up to the last that has weights and is no head. */
const CHILDREN = {
  alexnet: 'features',
  vgg11_bn: 'features',
  squeezenet1_1: 'features',
  densenet121: 'features',
  mobilenet_v2: 'features',
  mobilenet_v3_small: 'features',
  mnasnet1_0: 'layers',
  efficientnet_b0: 'features',
  convnext_tiny: 'features',
  swin_t: 'features norm',
  regnet_x_8gf: 'stem trunk_output',
  shufflenet_v2_x1_0: 'conv1 maxpool stage2 stage3 stage4 conv5',
  resnet18: 'conv1 bn1 relu maxpool layer1 layer2 layer3 layer4',
} as const;

describe('nets in a Sequential of their children', () => {
  it.each(Object.entries(CHILDREN))('%s are known, alone and with a head beside them', (name, list) => {
    const children: readonly string[] = list.split(' ');
    const top = (path: string) => path.slice(0, path.indexOf('.'));
    const shapes = shapesOf(name);
    const body = Object.fromEntries(Object.entries(shapes).filter(([path]) => children.includes(top(path))));
    const numbered = Object.fromEntries(Object.entries(body).map(([path, shape]) => [path.replace(top(path), String(children.indexOf(top(path)))), shape]));
    const said = (map: LayerMap) => map.layers.map(({ op, attributes }) => `${op} ${JSON.stringify(attributes)}`);
    const relu = name === 'densenet121' ? { features_end: 'relu' } : undefined;
    const map = read(under('model.', numbered), relu);
    expect(said(map)).toEqual(said(read(body)));
    const { shape } = map.outputs[0]!;
    const features = name === 'alexnet' ? 9216 : name === 'vgg11_bn' ? 25088 : Number(shape[1]);
    for (const prefix of ['', 'model.']) {
      const tuned = read({ ...under(`${prefix}backbone.`, numbered), ...linear(`${prefix}classifier`, 7, features) }, relu);
      expect(tuned.outputs[0]!.shape).toEqual(['N', 7]);
      expect(tuned.architecture!.name).toBe(map.architecture!.name.replace(' without top', ''));
    }
  });

  it('of which a DenseNet has no activation at its end, which is told', () => {
    const features = Object.entries(shapesOf('densenet121')).filter(([name]) => name.startsWith('features.'));
    const bare = Object.fromEntries(features.map(([name, shape]) => [name.replace('features', '0'), shape]));
    const map = read({ ...bare, ...linear('1', 7, 1024) });
    expect(lastOps(map, 4)).toEqual(['BatchNormalization', 'GlobalAveragePool', 'Flatten', 'Gemm']);
    expect(map.architecture!.assumed.join()).toContain('--assume features_end=');
  });

  it('are no nets of their own within a net that is there twice', () => {
    const net = shapesOf('mobilenet_v3_small');
    expect(read({ ...under('model.', net), ...under('ema_model.module.', net) }).architecture!.name).toContain('mobilenet_v3_small');
  });

  it('are not a few convolutions in a list', () => {
    const norm = Object.fromEntries(['weight', 'bias', 'running_mean', 'running_var'].map((role) => [`stem.1.${role}`, [16]]));
    const few = blank({ 'stem.0.weight': [16, 3, 3, 3], 'stem.0.bias': [16], ...norm });
    expect(() => atOnce(recogniseStateDict(few, { ...options, arch: 'vgg' }))).toThrow('nothing of it is there');
  });
});

describe('heads', () => {
  it('may be a Sequential inside of the published one', () => {
    const shapes = { ...without(shapesOf('efficientnet_b0'), 'classifier'), ...linear('classifier.1.0', 32, 1280), ...linear('classifier.1.3', 7, 32) };
    const map = read(shapes);
    expect(map.outputs[0]!.shape).toEqual(['N', 7]);
    expect(lastOps(map, 4)).toEqual(['Flatten', 'Gemm', 'Relu', 'Gemm']);
    expect(map.architecture!.assumed.join()).toContain('head_activation');
    expect(lastOps(read(shapes, { head_activation: 'tanh' }), 2)).toEqual(['Tanh', 'Gemm']);
  });

  it('may end in a softmax or another activation, which is told of those that somebody else made', () => {
    const shapes = { ...without(shapesOf('resnet18'), 'fc'), ...linear('fc.fc1', 32, 512), ...linear('fc.fc2', 7, 32) };
    const map = read(shapes);
    expect(lastOps(map, 1)).toEqual(['Gemm']);
    expect(map.architecture!.assumed.join()).toContain('behind the last layer stands none');
    expect(lastOps(read(shapes, { end: 'log-softmax' }), 2)).toEqual(['Gemm', 'LogSoftmax']);
    const own = shapesOf('resnet18');
    expect(read(own).architecture!.assumed.join()).not.toContain('behind the last layer');
    expect(lastOps(read(own, { end: 'softmax' }), 2)).toEqual(['Gemm', 'Softmax']);
  });

  it('have their activation before or behind a normalisation, as the gaps in their numbers say', () => {
    const norm = (name: string) => Object.fromEntries(['weight', 'bias', 'running_mean', 'running_var'].map((role) => [`${name}.${role}`, [32]]));
    const body = without(shapesOf('resnet18'), 'fc');
    const behind = { ...body, ...linear('fc.0', 32, 512), ...norm('fc.1'), ...linear('fc.4', 7, 32) };
    const before = { ...body, ...linear('fc.0', 32, 512), ...norm('fc.2'), ...linear('fc.4', 7, 32) };
    expect(lastOps(read(behind), 4)).toEqual(['Gemm', 'BatchNormalization', 'Relu', 'Gemm']);
    expect(lastOps(read(before), 4)).toEqual(['Gemm', 'Relu', 'BatchNormalization', 'Gemm']);
  });

  it('in which Sequentials lie have an activation behind each, as no number tells that there is none', () => {
    const norm = (name: string, size: number) =>
      Object.fromEntries(['weight', 'bias', 'running_mean', 'running_var'].map((role) => [`${name}.${role}`, [size]]));
    const body = without(shapesOf('resnet18'), 'fc');
    const shapes = { ...body, ...linear('fc.0.0', 32, 512), ...norm('fc.0.1', 32), ...linear('fc.1.0', 16, 32), ...linear('fc.2', 7, 16) };
    const map = read(shapes);
    expect(lastOps(map, 6)).toEqual(['Gemm', 'BatchNormalization', 'Relu', 'Gemm', 'Relu', 'Gemm']);
    expect(map.architecture!.assumed.join()).toContain('head_activation');
  });

  it('may stand behind the net in a Sequential, with modules between that have no weights', () => {
    const net = under('0.', shapesOf('resnet18'));
    expect(lastOps(read({ ...net, ...linear('1', 7, 1000) }), 2)).toEqual(['Gemm', 'Gemm']);
    const apart = { ...net, ...linear('2', 32, 1000), ...linear('4', 7, 32) };
    expect(lastOps(read(apart), 5)).toEqual(['Gemm', 'Relu', 'Gemm', 'Relu', 'Gemm']);
    expect(lastOps(read(apart, { between: 'none' }), 4)).toEqual(['Gemm', 'Gemm', 'Relu', 'Gemm']);
  });

  it('of a ConvNeXt may go on behind its normalisation', () => {
    const body = without(shapesOf('convnext_tiny'), 'classifier.2');
    const map = read({ ...body, ...linear('classifier.2', 64, 768), ...linear('classifier.5', 4, 64) }, { head_activation: 'tanh' });
    expect(lastOps(map, 3)).toEqual(['Gemm', 'Tanh', 'Gemm']);
    expect(map.outputs[0]!.shape).toEqual(['N', 4]);
  });

  it('that lost their last layer end in the activation before it, and say so', () => {
    for (const [name, cut, last, act] of [
      ['alexnet', 'classifier.6', 4096, 'Relu'],
      ['vgg11', 'classifier.6', 4096, 'Relu'],
      ['mobilenet_v3_large', 'classifier.3', 1280, 'Mul'],
      ['maxvit_t', 'classifier.5', 512, 'Tanh'],
    ] as const) {
      const shapes = without(shapesOf(name), cut);
      const map = read(shapes);
      expect([name, map.outputs[0]!.shape, map.outputs[0]!.name, map.layers.at(-1)!.op]).toEqual([name, ['N', last], 'features', act]);
      expect(map.architecture!.assumed.join()).toContain('head_end');
      expect(read(shapes, { head_end: 'none' }).layers.at(-1)!.op).toBe('Gemm');
    }
  });

  it('may lie beside a net behind a prefix, whose own is there, cut or gone', () => {
    for (const [name, own, width] of [
      ['alexnet', 'classifier.6', 4096],
      ['vgg11', 'classifier', 25088],
      ['vgg11', 'classifier', 512],
      ['convnext_tiny', 'classifier', 768],
      ['resnet18', 'nothing', 1000],
    ] as const) {
      const map = read({ ...under('backbone.', without(shapesOf(name), own)), ...linear('head.0', 16, width), ...linear('head.2', 5, 16) });
      expect([name, map.outputs[0]!.shape]).toEqual([name, ['N', 5]]);
    }
  });

  it('take no activation that nobody knows', () => {
    const shapes = { ...without(shapesOf('resnet18'), 'fc'), ...linear('fc.0', 32, 512), ...linear('fc.3', 7, 32) };
    expect(() => atOnce(recogniseStateDict(blank(shapes), { ...options, assume: { head_activation: 'swoosh' } }))).toThrow(
      expect.toSatisfy((error) => isModelError(error, 'usage')),
    );
  });
});

describe('files of several nets', () => {
  const net = shapesOf('squeezenet1_1');

  it('are the net that has no prefix, where the others are copies of it', () => {
    const map = read({ ...net, ...under('ema.module.', net) });
    expect(map.warnings.map(({ message }) => message).join()).toContain('--weights-key ema.module');
    expect(map.architecture!.name).toContain('squeezenet1_1');
  });

  it('are refused where none is the main one, and each is named', () => {
    const said = refusal({ ...under('student.', net), ...under('teacher.', net) });
    expect(said).toContain('"student"');
    expect(said).toContain('"teacher"');
    expect(said).toContain('--weights-key student');
  });

  it('say which part of a larger net is known', () => {
    const body = without(shapesOf('resnet50'), 'fc');
    const said = refusal({
      ...under('backbone.body.', body),
      'backbone.fpn.inner_blocks.0.weight': [256, 256, 1, 1],
      'rpn.head.conv.weight': [256, 256, 3, 3],
    });
    expect(said).toContain('a ResNet under "backbone.body"');
    expect(said).toContain('backbone.fpn.inner_blocks.0.weight');
    expect(said).toContain('--weights-key backbone.body');
  });
});
