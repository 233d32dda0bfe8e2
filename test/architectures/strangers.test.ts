/** What other people's code makes of a known net: names, heads, and what lies beside it in the file. */
import { describe, expect, it } from 'vitest';
import { recogniseStateDict } from '../../src/architectures/recognise.js';
import type { LayerMap } from '../../src/model/layer-map.js';
import { atOnce } from './at-once.js';
import { blank, shapesOf } from './blank.js';

type Shapes = Record<string, readonly number[]>;
const options = { file: 'model.pth', format: 'pytorch', producer: null };
const without = (shapes: Shapes, beginning: string): Shapes => Object.fromEntries(Object.entries(shapes).filter(([name]) => !name.startsWith(beginning)));
const renamed = (shapes: Shapes, change: (name: string) => string): Shapes =>
  Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [change(name), shape]));
const under = (prefix: string, shapes: Shapes): Shapes => renamed(shapes, (name) => prefix + name);
const linear = (name: string, out: number, features: number): Shapes => ({ [`${name}.weight`]: [out, features], [`${name}.bias`]: [out] });

const net = shapesOf('resnet18');
const body = without(net, 'fc');

function read(shapes: Shapes, assume?: Record<string, string>): LayerMap {
  const { map, unknown } = atOnce(recogniseStateDict(blank(shapes), { ...options, ...(assume ? { assume } : {}) }));
  expect(unknown).toBeUndefined();
  return map!;
}
const refusal = (shapes: Shapes) => atOnce(recogniseStateDict(blank(shapes), options)).unknown;
const outputs = (map: LayerMap) => map.outputs.map(({ name, shape }) => `${name} ${shape[1]}`);
const told = (map: LayerMap) => map.architecture!.assumed.join('\n');

describe('heads of other names', () => {
  it('over the same features are an output each', () => {
    const map = read({ ...under('backbone.', body), ...linear('age_head', 9, 512), ...linear('sex_head', 2, 512) });
    expect(outputs(map)).toEqual(['age_head 9', 'sex_head 2']);
    expect(told(map)).toContain('"age_head", "sex_head", each over the features');
    // In a ModuleList, and in a ModuleDict.
    const vit = without(shapesOf('vit_b_16'), 'heads');
    expect(outputs(read({ ...vit, ...linear('heads.0', 5, 768), ...linear('heads.1', 3, 768) }))).toEqual(['heads.0 5', 'heads.1 3']);
    expect(outputs(read({ ...body, ...linear('heads.age', 5, 512), ...linear('heads.sex', 3, 512) }))).toEqual(['heads.age 5', 'heads.sex 3']);
  });

  it('stand one behind the other where their sizes say so, and as the user says where these say both', () => {
    expect(outputs(read({ ...under('backbone.', body), ...linear('fc1', 64, 512), ...linear('fc2', 7, 64) }))).toEqual(['logits 7']);
    const both = { ...under('backbone.', body), ...linear('fc1', 512, 512), ...linear('fc2', 7, 512) };
    expect(outputs(read(both))).toEqual(['logits 7']);
    expect(told(read(both))).toContain('--assume head_wiring=');
    expect(outputs(read(both, { head_wiring: 'beside' }))).toEqual(['fc1 512', 'fc2 7']);
  });

  it('behind a Sequential in the place of the published one have a ReLU between, which is told', () => {
    const norm = Object.fromEntries(['weight', 'bias', 'running_mean', 'running_var'].map((role) => [`fc.1.${role}`, [64]]));
    const map = read({ ...body, ...linear('fc.0', 64, 512), ...norm, ...linear('classifier', 7, 64) });
    expect(map.layers.slice(-4).map(({ op }) => op)).toEqual(['Gemm', 'BatchNormalization', 'Relu', 'Gemm']);
    expect(told(map)).toContain('--assume between=');
  });

  it('are none where they are of something else, or called like none', () => {
    expect(refusal({ ...under('backbone.', body), ...linear('age_head', 9, 512), ...linear('other_head', 2, 100) })).toContain('--weights-key backbone');
    expect(refusal({ ...under('backbone.', body), ...linear('metric', 9, 512) })).toContain('"metric.weight"');
  });

  it('under a name of their own below another are found beside a prefix', () => {
    expect(outputs(read({ ...under('backbone.', body), ...linear('head.fc', 9, 512) }))).toEqual(['logits 9']);
  });

  it('without a bias may compare directions, which is told', () => {
    expect(told(read({ ...under('backbone.', body), 'head.weight': [9, 512] }))).toContain('--assume head_scores=');
  });

  it('of twice the features take the largest and the mean of each channel, as in fastai', () => {
    const children = (name: string) =>
      name
        .replace(/^conv1/, '0')
        .replace(/^bn1/, '1')
        .replace(/^layer(\d)/, (_, s) => String(Number(s) + 3));
    const norm = (name: string, size: number) =>
      Object.fromEntries(['weight', 'bias', 'running_mean', 'running_var'].map((role) => [`${name}.${role}`, [size]]));
    const learner = { ...under('0.', renamed(body, children)), ...norm('1.2', 1024), '1.4.weight': [64, 1024], ...norm('1.6', 64), '1.8.weight': [7, 64] };
    const map = read(learner);
    expect(map.layers.slice(-9).map(({ op }) => op)).toEqual(
      'Flatten GlobalAveragePool Flatten Concat BatchNormalization Gemm Relu BatchNormalization Gemm'.split(' '),
    );
    expect(told(map)).toContain('--assume head_pooling=');
  });
});

describe('nets in which no family can be measured', () => {
  const convs = (...names: readonly string[]): Shapes => Object.fromEntries(names.map((name) => [`${name}.weight`, [64, 64, 3, 3]]));

  it('are said to be most like one, and where they first depart', () => {
    // A ResNet whose second convolution is something else.
    const changed = { ...without(body, 'layer'), ...convs('layer1.0.conv1', 'layer1.0.mixer.0', 'layer1.0.mixer.1', 'layer1.0.conv3', 'layer2.0.conv1') };
    expect(refusal(changed)).toContain('most like those of a ResNet (resnet), but "layer1.0.mixer.0" [64,64,3,3] is none of its own');
    const vit = renamed(without(shapesOf('vit_b_16'), 'heads'), (name) => name.replace('mlp.0', 'feed_forward.0').replace('class_token', 'cls'));
    expect(refusal(vit)).toContain('most like those of a Vision Transformer (vit), but "cls" [1,1,768]');
  });

  it('are like none where nothing is', () => {
    expect(refusal(convs('alpha.beta', 'gamma'))).not.toContain('most like');
  });
});

describe('files of other houses', () => {
  it('of detectron2 and of OpenMMLab are known', () => {
    const detectron = (name: string) =>
      `backbone.bottom_up.${name}`
        .replace(/\.(conv1|bn1)\.(?=\w+$)/, (_, module) => (module === 'conv1' ? '.stem.conv1.' : '.stem.conv1.norm.'))
        .replace(/layer(\d)/, (_, s) => `res${Number(s) + 1}`)
        .replace(/res(.*)\.bn(\d)/, 'res$1.conv$2.norm');
    const names = renamed(without(shapesOf('resnet50'), 'fc'), (name) =>
      (name.startsWith('layer') ? detectron(name).replace('.stem.conv1.norm', '.conv1.norm').replace('.stem.conv1', '.conv1') : detectron(name))
        .replace('downsample.0', 'shortcut')
        .replace('downsample.1', 'shortcut.norm'),
    );
    const map = read(names);
    expect(map.architecture!.name).toContain('resnet50');
    expect(told(map)).toContain('bottlenecks stride in convolution 1');
    expect(map.preparation!.order).toBe('BGR');
    const stem: Shapes = { 'stem.0.weight': [32, 3, 3, 3], 'stem.3.weight': [32, 32, 3, 3], 'stem.6.weight': [64, 32, 3, 3] };
    for (const [place, size] of [
      [1, 32],
      [4, 32],
      [7, 64],
    ])
      for (const role of ['weight', 'bias', 'running_mean', 'running_var']) stem[`stem.${place}.${role}`] = [size!];
    const v1c = { ...stem, ...without(without(body, 'conv1'), 'bn1') };
    expect(read(v1c).layers.filter(({ op }) => op === 'Conv').length).toBe(20 - 1 + 3);
  });

  it('keep weights of a loss, and counts of averages, beside a net', () => {
    for (const more of [{ 'criterion.weight': [1000] }, { 'loss_fn.pos_weight': [1000] }, { n_averaged: [] }] as Shapes[]) {
      const map = read({ ...under('model.', net), ...more });
      expect(map.warnings.map(({ message }) => message).join()).toContain(Object.keys(more)[0]);
    }
    // A matrix of that name is a classifier's.
    expect(refusal({ ...under('model.', net), 'criterion.weight': [1000, 512] })).toContain('criterion.weight');
  });

  it('keep beside a net how pictures are prepared, which is told', () => {
    const names = ['data_preprocessor.mean', 'data_preprocessor.std'];
    const shapes = { ...under('backbone.', body), ...linear('head.fc', 9, 512), [names[0]!]: [3, 1, 1], [names[1]!]: [3, 1, 1] };
    const { warnings } = read(shapes);
    expect(warnings.map(({ message }) => message).join()).toMatch(/"data_preprocessor.mean" and "data_preprocessor.std": how pictures are prepared/);
    expect(outputs(read({ ...under('model.', net), 'normalize.mean': [1, 3, 1, 1], 'normalize.std': [1, 3, 1, 1] }))).toEqual(['logits 1000']);
    // Of more than channels a mean is something else's.
    expect(refusal({ ...under('model.', net), 'prior.mean': [512] })).toContain('prior.mean');
  });

  it('keep what measured the training beside a net, unless it has weights', () => {
    const counts: Shapes = { 'val_acc.correct': [], 'val_acc.total': [], 'train_metrics.confmat': [10, 10], 'metrics.f1.tp': [10] };
    expect(
      read({ ...under('model.', net), ...counts })
        .warnings.map(({ message }) => message)
        .join(),
    ).toContain('4 tensors');
    expect(refusal({ ...under('model.', net), ...linear('iou_metric', 4, 512) })).toContain('iou_metric');
  });

  it('normalise by groups, or each channel by itself, where the file has no statistics, and say so', () => {
    const shapes = Object.fromEntries(Object.entries(net).filter(([name]) => !/running_|num_batches/.test(name)));
    const map = read(shapes);
    expect(map.layers.find(({ op }) => op === 'GroupNormalization')).toMatchObject({ name: 'bn1', attributes: { num_groups: 32 } });
    expect(told(map)).toContain('no statistics beside the normalisations');
    expect(read(shapes, { groups: '16' }).layers.find(({ name }) => name === 'bn1')!.attributes.num_groups).toBe(16);
    expect(read(shapes, { norm: 'instance' }).layers.find(({ name }) => name === 'bn1')!.op).toBe('InstanceNormalization');
  });

  it('of two nets name both, however many convolutions of their blocks are called like their first', () => {
    const said = refusal({ ...under('module.encoder_q.', net), ...under('module.encoder_k.', net), 'module.queue': [128, 64] });
    expect(said).toContain('"module.encoder_q"');
    expect(said).toContain('"module.encoder_k"');
  });

  it('whose wiring is in no weight say what they are', () => {
    expect(refusal({ 'model.0.conv.weight': [16, 3, 3, 3], 'model.2.cv1.conv.weight': [32, 32, 1, 1] })).toContain('YOLO');
    expect(refusal({ 'lin0.model.1.weight': [1, 64, 1, 1], 'lin4.model.1.weight': [1, 512, 1, 1] })).toContain('LPIPS');
  });
});

describe('what leaves no trace and is published both ways', () => {
  it('is told: what makes pictures smaller in a ResNet, which timm has smoothed', () => {
    expect(told(read(net))).toContain('--assume antialias=');
    expect(told(read(shapesOf('deeplabv3_resnet50')))).not.toContain('antialias');
  });
});
