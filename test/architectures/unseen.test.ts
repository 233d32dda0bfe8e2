/** What leaves no trace in weights: that it is told, that the user's word replaces it, and that traces which are there count. */
import { describe, expect, it } from 'vitest';
import { recogniseStateDict } from '../../src/architectures/recognise.js';
import { isModelError } from '../../src/errors.js';
import type { LayerMap } from '../../src/model/layer-map.js';
import { stateOf } from '../../src/writers/pytorch/module.js';
import { atOnce } from './at-once.js';
import { blank, shapesOf } from './blank.js';

type Shapes = Record<string, readonly number[]>;
type Assume = Record<string, string>;

const options = { file: 'model.pth', format: 'pytorch', producer: null };
const conv = (name: string, out: number, channels: number, kernel = 3): Shapes => ({
  [`${name}.weight`]: [out, channels, kernel, kernel],
  [`${name}.bias`]: [out],
});
const dense = (name: string, out: number, features: number): Shapes => ({ [`${name}.weight`]: [out, features], [`${name}.bias`]: [out] });
const scaled = (name: string, channels: number): Shapes => ({ [`${name}.weight`]: [channels], [`${name}.bias`]: [channels] });
const averaged = (name: string, channels: number): Shapes => ({ [`${name}.running_mean`]: [channels], [`${name}.running_var`]: [channels] });
const counted = (name: string): Shapes => ({ [`${name}.num_batches_tracked`]: [] });
const merged = (...list: readonly Shapes[]): Shapes => Object.assign({}, ...list);

function read(shapes: Shapes, assume: Assume = {}): LayerMap {
  const { map, unknown } = atOnce(recogniseStateDict(blank(shapes), { ...options, assume }));
  expect(unknown).toBeUndefined();
  return map!;
}

const refusal = (shapes: Shapes) => atOnce(recogniseStateDict(blank(shapes), options)).unknown;
const ops = (map: LayerMap) => map.layers.map(({ op }) => op);
const told = (map: LayerMap) => map.architecture!.assumed.join('\n');
const isUsage = expect.toSatisfy((error) => isModelError(error, 'usage'));

describe('activations', () => {
  it('are replaced by kind, in nets of any family, and said', () => {
    const shapes = shapesOf('resnet18');
    expect(told(read(shapes))).toContain('there are relu, and --assume relu=...');
    const map = read(shapes, { relu: 'leaky-relu', slope: '0.1' });
    expect(ops(map)).not.toContain('Relu');
    expect(map.layers.find(({ op }) => op === 'LeakyRelu')!.attributes.alpha).toBe(0.1);
    expect(() => read(shapes, { relu: 'swoosh' })).toThrow(isUsage);
    expect(() => read(shapes, { gelu: 'relu' })).toThrow(isUsage);
  });
});

describe('strides of a ResNet', () => {
  it('are those that the user says, of any first convolution and of stages that dilate', () => {
    const shapes = shapesOf('resnet50');
    expect(told(read(shapes))).not.toMatch(/stem_|output_stride/);
    const map = read(shapes, { stem_stride: '1', stem_pooling: 'none', output_stride: '8' });
    expect(ops(map)).not.toContain('MaxPool');
    expect(map.layers[0]!.attributes.strides).toEqual([1, 1]);
    const dilations = ['layer2.0', 'layer3.0', 'layer3.1', 'layer4.0', 'layer4.1'].map((at) => {
      const { strides, dilations } = map.layers.find(({ name }) => name === `${at}.conv2`)!.attributes as Record<string, number[]>;
      return [strides![0], dilations![0]];
    });
    expect(dilations).toEqual([
      [2, 1],
      [1, 1],
      [1, 2],
      [1, 2],
      [1, 4],
    ]);
    expect(() => read(shapes, { output_stride: '12' })).toThrow(isUsage);
  });
});

describe('windows of Swin Transformer v2', () => {
  const coordinates = /relative_(coords_table|position_index)$/;
  const timm = (name: string) =>
    name
      .replace(/^features\.0\.0/, 'patch_embed.proj')
      .replace(/^features\.0\.2/, 'patch_embed.norm')
      .replace(/^features\.(\d+)\.(\d+)\./, (_, s, b) => `layers.${(s - 1) / 2}.blocks.${b}.`)
      .replace(/^features\.(\d+)\./, (_, s) => `layers.${s / 2}.downsample.`)
      .replace('.mlp.0.', '.mlp.fc1.')
      .replace('.mlp.3.', '.mlp.fc2.');
  const untold = Object.fromEntries(
    Object.entries(shapesOf('swin_v2_t')).flatMap(([name, shape]) => (coordinates.test(name) ? [] : [[timm(name), shape] as const])),
  );
  const sides = (map: LayerMap) =>
    map.layers.flatMap(({ weights }) =>
      Object.values(weights)
        .filter(({ name }) => name.endsWith('position_bias'))
        .map(({ shape }) => shape.at(-1)! ** 0.5),
    );

  it('are told where no weight shows them, and are no larger than the picture', () => {
    const map = read(untold);
    expect(told(map)).toContain('windows have sides of 8 places');
    expect(told(map)).toContain('positions were learned in windows of own');
    expect(new Set(sides(map))).toEqual(new Set([8]));
    const wide = read(untold, { window: '16', pretrained_window: '12,12,12,6' });
    expect(sides(wide)).toEqual([...new Array(10).fill(16), 8, 8]);
    expect(() => read(untold, { pretrained_window: 'wide' })).toThrow(isUsage);
  });

  it('are those of each stage where tables show them', () => {
    const shapes = Object.fromEntries(
      Object.entries(shapesOf('swin_v2_t')).map(([name, shape]) => {
        const side = name.startsWith('features.7.') ? 4 : 8;
        if (name.endsWith('relative_coords_table')) return [name, [1, 2 * side - 1, 2 * side - 1, 2]];
        return [name, name.endsWith('relative_position_index') ? [side ** 4] : shape];
      }),
    );
    expect(sides(read(shapes))).toEqual([...new Array(10).fill(8), 4, 4]);
    expect(told(read(shapes))).not.toContain('windows');
  });
});

describe('padding', () => {
  it("follows the file's kernel where the family's keeps the size of a picture, and is said", () => {
    const map = read({ ...shapesOf('resnet18'), 'conv1.weight': [64, 3, 5, 5], 'layer2.0.downsample.0.weight': [128, 64, 3, 3] });
    expect(map.layers.find(({ name }) => name === 'conv1')!.attributes.pads).toEqual([2, 2, 2, 2]);
    expect(map.layers.find(({ name }) => name === 'layer2.0.downsample.0')!.attributes.pads).toEqual([1, 1, 1, 1]);
    expect(told(map)).toContain('"conv1" pads with 2 x 2 zeros');
  });

  it('is not guessed for kernels of even size', () => {
    expect(refusal({ ...shapesOf('resnet18'), 'layer1.0.conv1.weight': [64, 64, 4, 4] })).toContain('a kernel of 4 x 4');
  });
});

describe('a small net of lessons', () => {
  const lenet = (kernel: number, features: number, ...more: readonly Shapes[]) =>
    merged(conv('conv1', 4, 3, kernel), conv('conv2', 6, 4, kernel), ...more, dense('fc1', 20, features), dense('fc2', 10, 20));

  it('names all ways that make its features, and goes another where the user says so', () => {
    const shapes = lenet(3, 6 * 64);
    const map = read(shapes);
    expect(told(map)).toMatch(/way is same, .*same-strided: each convolution pads, each strides by 2, nothing pools/);
    expect(ops(map).filter((op) => op === 'MaxPool').length).toBe(2);
    const strided = read(shapes, { way: 'same-strided' });
    expect(ops(strided)).not.toContain('MaxPool');
    expect(strided.layers[0]!.attributes.strides).toEqual([2, 2]);
    expect(() => read(shapes, { way: 'valid' })).toThrow(isUsage);
  });

  it('of kernels of even size pads by whole numbers', () => {
    for (const assume of [{}, { way: 'same-strided' }] as Assume[]) {
      const pads = read(lenet(4, 6 * 64), assume).layers.flatMap(({ op, attributes }) => (op === 'Conv' ? (attributes.pads as number[]) : []));
      expect(pads.every((pad) => pad === (assume.way ? 1 : 2))).toBe(true);
    }
  });

  it('ends, and normalises, as the user says', () => {
    const shapes = lenet(3, 6 * 36, scaled('bn1', 4), averaged('bn1', 4), scaled('bn2', 6), averaged('bn2', 6));
    expect(ops(read(shapes)).slice(0, 3)).toEqual(['Conv', 'BatchNormalization', 'Relu']);
    const map = read(shapes, { norm: 'behind', end: 'log-softmax' });
    expect(ops(map).slice(0, 3)).toEqual(['Conv', 'Relu', 'BatchNormalization']);
    expect(ops(map).at(-1)).toBe('LogSoftmax');
    expect(() => read(shapes, { end: 'swoosh' })).toThrow(isUsage);
  });
});

describe('a list of convolutions', () => {
  const list = (...places: readonly number[]) => merged(...places.map((place, i) => conv(`model.${place}`, i === places.length - 1 ? 3 : 4, i === 0 ? 3 : 4)));

  it('has activations where its numbers leave a place for them', () => {
    expect(ops(read(list(0, 2, 4, 6)))).toEqual(['Conv', 'Relu', 'Conv', 'Relu', 'Conv', 'Relu', 'Conv', 'Sub']);
    const map = read(list(0, 1, 3, 4), { gives: 'noise' });
    expect(ops(map)).toEqual(['Conv', 'Conv', 'Relu', 'Conv', 'Conv']);
    expect(told(map)).toContain('no place for an activation');
  });

  it('is no DnCNN where several modules without weights stand between', () => {
    expect(refusal(list(0, 3, 6, 8))).toContain('stands behind 2 modules without weights');
  });
});

describe('nets that make pictures', () => {
  it('give channels rather than pixels, and pad nothing, where the user says so', () => {
    const shapes = merged(conv('conv1', 4, 3), conv('conv2', 4, 4), conv('conv3', 12, 4));
    expect(ops(read(shapes)).at(-1)).toBe('DepthToSpace');
    expect(told(read(shapes))).toContain('2 times larger');
    const map = read(shapes, { gives: 'channels', padding: 'valid' });
    expect(map.outputs[0]!.shape).toEqual(['N', 12, 58, 58]);
  });

  it('judge pictures of the size that makes one number of them, without a sigmoid where the user says so', () => {
    const kernel = (place: number, out: number, channels: number): Shapes => ({ [`main.${place}.weight`]: [out, channels, 4, 4] });
    const norm = (place: number, channels: number) => merged(scaled(`main.${place}`, channels), averaged(`main.${place}`, channels));
    const shapes = merged(kernel(0, 4, 3), kernel(2, 8, 4), norm(3, 8), kernel(5, 16, 8), norm(6, 16), kernel(8, 1, 16));
    const map = read(shapes, { sigmoid: 'none' });
    expect(map.inputs[0]!.shape).toEqual(['N', 3, 32, 32]);
    expect(map.outputs[0]!.shape).toEqual(['N', 1, 1, 1]);
    expect(ops(map).at(-1)).toBe('Conv');
  });

  /** @param norm what the file has of a normalisation */
  const cyclegan = (norm: (name: string, channels: number) => Shapes) => {
    const at = (place: number, out: number, channels: number, kernel: number, norms = true) =>
      merged(conv(`model.${place}`, out, channels, kernel), norms ? norm(`model.${place + 1}`, out) : {});
    const up = (place: number, channels: number, out: number) =>
      merged({ [`model.${place}.weight`]: [channels, out, 3, 3], [`model.${place}.bias`]: [out] }, norm(`model.${place + 1}`, out));
    const block = merged(...[1, 5].map((place) => merged(conv(`model.10.conv_block.${place}`, 8, 8), norm(`model.10.conv_block.${place + 1}`, 8))));
    return merged(at(1, 2, 3, 7), at(4, 4, 2, 3), at(7, 8, 4, 3), block, up(11, 8, 4), up(14, 4, 2), at(18, 3, 2, 7, false));
  };

  it('normalise by statistics that count batches, or have a scale; others are those of PyTorch 0.3', () => {
    const norms = (map: LayerMap) => [...new Set(ops(map).filter((op) => op.endsWith('Normalization')))];
    const tracked = (name: string, channels: number) => merged(averaged(name, channels), counted(name));
    expect(norms(read(cyclegan(() => ({}))))).toEqual(['InstanceNormalization']);
    expect(norms(read(cyclegan(tracked)))).toEqual(['BatchNormalization']);
    expect(norms(read(cyclegan((name, channels) => merged(scaled(name, channels), averaged(name, channels)))))).toEqual(['BatchNormalization']);
    const old = read(cyclegan(averaged));
    expect(norms(old)).toEqual(['InstanceNormalization']);
    expect(told(old)).toContain('--assume statistics=');
    expect(norms(read(cyclegan(averaged), { statistics: 'used' }))).toEqual(['BatchNormalization']);
  });

  it('that no PyTorch module is written of have names in a state dict all the same', () => {
    const { layers } = read(cyclegan(() => ({})));
    expect(stateOf(layers).map(({ name }) => name)).toContain('model.1.weight');
  });

  it('of grey, or of four channels, are made larger as those of three', () => {
    const rrdb = (first: number, last: number) =>
      merged(
        conv('conv_first', 4, first),
        ...[1, 2, 3].flatMap((k) => [1, 2, 3, 4, 5].map((j) => conv(`body.0.rdb${k}.conv${j}`, j < 5 ? 3 : 4, 4 + (j - 1) * 3))),
        ...['conv_body', 'conv_up1', 'conv_up2', 'conv_hr'].map((name) => conv(name, 4, 4)),
        conv('conv_last', last, 4),
      );
    for (const [first, last, channels, larger] of [
      [1, 1, 1, 4],
      [4, 1, 1, 2],
      [4, 4, 4, 4],
      [12, 3, 3, 2],
    ] as const) {
      const map = read(rrdb(first, last));
      expect([map.inputs[0]!.shape, map.outputs[0]!.shape]).toEqual([
        ['N', channels, 64, 64],
        ['N', last, 64 * larger, 64 * larger],
      ]);
    }
  });
});
