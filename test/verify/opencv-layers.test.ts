/** OpenCV's Caffe importer against our evaluator: each layer with odd settings, and random nets of them; what it has wrong is declined. */
import { describe, expect, it } from 'vitest';
import { openModel } from '../../src/readers/open.js';
import type { NdArray } from '../../src/verify/engine.js';
import { opencv } from '../../src/verify/engines/opencv.js';
import { KINDS } from '../../src/verify/engines/opencv-layers.js';
import { referenceSession } from '../../src/verify/reference/session.js';
import { type Blob, blobOf, type CaffeNetLayer, caffeNet, numbers } from '../caffe-net.js';

/** Of an output's scale. Both sides compute the same weights; OpenCV in float32. */
const ROUNDING = 2e-5;

/** Runs a net on both sides, and gives the largest difference of any output, relative to its scale. */
async function difference(inputs: Readonly<Record<string, readonly number[]>>, layers: readonly CaffeNetLayer[], inner = false): Promise<number> {
  const next = numbers(17);
  const feeds = new Map<string, NdArray>(Object.entries(inputs).map(([name, shape]) => [name, blobOf(next, shape)]));
  const files = caffeNet(inputs, layers);
  const session = await opencv.open({ files, prototxt: 'net.prototxt', layers: inner });
  const map = await (await openModel(files, { prototxt: 'net.prototxt' })).map();
  const reference = await referenceSession(map, { layers: inner });
  const shown = inner ? map.layers.map(({ name }) => name).filter((name) => session.intermediates!.includes(name)) : [];
  const wanted = [...map.outputs.map(({ name }) => name), ...shown];
  const [found, expected] = [await session.run(feeds, wanted), await reference.run(feeds, wanted)];
  await session.close();
  let worst = 0;
  for (const [name, { shape, data }] of expected) {
    expect([name, found.get(name)!.shape]).toEqual([name, shape]);
    const values = [...data].map(Number);
    const scale = Math.max(...values.map(Math.abs)) || 1;
    for (const [i, value] of values.entries()) {
      const apart = Math.abs(value - Number(found.get(name)!.data[i])) / scale;
      if (!(apart <= worst)) worst = apart;
    }
  }
  return worst;
}

const next = numbers(5);
const blob = (...shape: number[]): Blob => blobOf(next, shape);
const positive = (...shape: number[]): Blob => blobOf(next, shape, (value) => Math.abs(value) + 0.3);
const one: Blob = { shape: [1], data: Float32Array.of(1) };
const PICTURE = [2, 4, 6, 7];

/** A net has to have weights to be one; this stands apart from what is tested. */
const WEIGHTS: CaffeNetLayer = {
  name: 'apart',
  type: 'InnerProduct',
  bottoms: ['other'],
  tops: ['apart'],
  params: 'inner_product_param { num_output: 2 }',
  blobs: [blob(2, 3), blob(2)],
};

type Case = readonly [type: string, settings: string, blobs?: readonly Blob[], inputs?: readonly (readonly number[])[], tops?: number];

const block = (type: string, settings: string) => (settings === '' ? '' : `${KINDS[type.toLowerCase()]!.block} { ${settings} }`);

async function layerDifference([type, settings, blobs = [], inputs = [PICTURE], tops = 1]: Case): Promise<number> {
  const names = inputs.map((_, i) => `in${i}`);
  const made = Array.from({ length: tops }, (_, i) => `out${i}`);
  const layer: CaffeNetLayer = { name: tops > 1 ? 'a' : 'out0', type, bottoms: names, tops: made, params: block(type, settings), blobs };
  // Only a layer's first blob can be asked for, so each of several goes through a layer of its own.
  const ends = tops === 1 ? [] : made.map((top): CaffeNetLayer => ({ name: `${top}/end`, type: 'Sigmoid', bottoms: [top], tops: [`${top}/end`] }));
  return difference({ ...Object.fromEntries(names.map((name, i) => [name, inputs[i]!])), other: [inputs[0]![0]!, 3] }, [layer, ...ends, WEIGHTS]);
}

const convolutions: Case[] = [
  ['num_output: 6 kernel_size: 3', blob(6, 4, 3, 3)],
  ['num_output: 6 kernel_size: 3 pad: 1 stride: 2', blob(6, 4, 3, 3)],
  ['num_output: 6 kernel_size: 3 group: 2', blob(6, 2, 3, 3)],
  ['num_output: 8 kernel_size: 3 pad: 1 group: 4', blob(8, 1, 3, 3)],
  ['num_output: 6 kernel_h: 3 kernel_w: 2 pad_h: 1 pad_w: 0 stride_h: 1 stride_w: 2', blob(6, 4, 3, 2)],
  ['num_output: 6 kernel_size: 3 kernel_size: 2 pad: 1 pad: 0 stride: 2 stride: 1', blob(6, 4, 3, 2)],
  ['num_output: 6 kernel_size: 2 dilation: 2 dilation: 1', blob(6, 4, 2, 2)],
  ['num_output: 4 kernel_size: 3 dilation: 2 pad: 2 group: 4', blob(4, 1, 3, 3)],
  ['num_output: 6 kernel_size: 1 stride: 2', blob(6, 4, 1, 1)],
  ['num_output: 6 kernel_size: 1 pad: 1', blob(6, 4, 1, 1)],
].map(([settings, kernel]) => ['Convolution', settings as string, [kernel as Blob, blob((kernel as Blob).shape[0]!)]]);

const deconvolutions: Case[] = [
  ['num_output: 6 kernel_size: 3 stride: 2', blob(4, 6, 3, 3)],
  ['num_output: 6 kernel_size: 3 pad: 1 stride: 2', blob(4, 6, 3, 3)],
  ['num_output: 6 kernel_size: 4 pad: 1 stride: 2 group: 2', blob(4, 3, 4, 4)],
  ['num_output: 6 kernel_h: 3 kernel_w: 2 pad_h: 1 pad_w: 0 stride_h: 1 stride_w: 2', blob(4, 6, 3, 2)],
  ['num_output: 6 kernel_size: 2 stride: 3', blob(4, 6, 2, 2)],
].map(([settings, kernel]) => ['Deconvolution', settings as string, [kernel as Blob, blob(6)]]);

const windows = [
  'kernel_size: 2',
  'kernel_size: 2 stride: 2',
  'kernel_size: 3 stride: 2',
  'kernel_size: 3 stride: 2 pad: 1',
  'kernel_size: 2 stride: 2 pad: 1',
  'kernel_size: 3 stride: 1 pad: 2',
  'kernel_size: 5 stride: 4 pad: 2',
  'kernel_h: 3 kernel_w: 2 stride_h: 2 stride_w: 1 pad_h: 1 pad_w: 0',
  'kernel_size: 3 stride: 2 round_mode: FLOOR',
  'kernel_size: 3 stride: 2 round_mode: CEIL',
  'global_pooling: true',
];
const poolings: Case[] = windows.flatMap((settings) =>
  ['MAX', 'AVE'].flatMap((pool) => [PICTURE, [1, 3, 8, 9]].map((shape): Case => ['Pooling', `pool: ${pool} ${settings}`, [], [shape]])),
);

const others: Case[] = [
  ['InnerProduct', 'num_output: 5', [blob(5, 168), blob(5)]],
  ['InnerProduct', 'num_output: 5 bias_term: false transpose: false', [blob(1, 1, 5, 168)]],
  ['LRN', ''],
  ['LRN', 'local_size: 7 beta: 0.5 alpha: 3 k: 1'],
  ['LRN', 'local_size: 3 norm_region: WITHIN_CHANNEL alpha: 2'],
  ['BatchNorm', '', [blob(4), positive(4), one]],
  ['BatchNorm', 'eps: 0.1 use_global_stats: true', [blob(4), positive(4), { ...one, data: Float32Array.of(2.5) }], [[3, 4]]],
  ['BatchNorm', '', [blob(4), positive(4), { ...one, data: Float32Array.of(0) }]],
  ['BatchNorm', '', [blob(4), positive(4), one], [[2, 4, 5]]],
  ['BatchNorm', '', [blob(4), positive(4), one], [[2, 4, 1, 1]]],
  ['Scale', '', [blob(4)]],
  ['Scale', 'axis: 1 bias_term: true', [blob(4), blob(4)], [[3, 4]]],
  ['Bias', '', [blob(4)]],
  ['Eltwise', 'operation: PROD', [], [PICTURE, PICTURE, PICTURE]],
  ['Eltwise', 'operation: MAX', [], [PICTURE, PICTURE, PICTURE]],
  ['Eltwise', 'coeff: 1 coeff: -2 coeff: 0.25', [], [PICTURE, PICTURE, PICTURE]],
  ['Power', 'power: 2 scale: 3 shift: 1'],
  ['Power', 'power: 0 shift: 2'],
  ['Power', 'power: -1 shift: 3'],
  ['Concat', '', [], [PICTURE, [2, 3, 6, 7]]],
  ['Concat', 'axis: -1', [], [PICTURE, PICTURE]],
  ['Concat', 'concat_dim: 2', [], [PICTURE, [2, 4, 3, 7]]],
  ['Slice', 'axis: 2 slice_point: 1 slice_point: 4', [], [PICTURE], 3],
  ['Slice', 'slice_dim: 1', [], [PICTURE], 2],
  ['Flatten', ''],
  ['Reshape', 'shape { dim: 0 dim: 2 dim: 2 dim: -1 }'],
  ['Reshape', 'shape { dim: 0 dim: 0 dim: -1 dim: 1 }'],
  ['Softmax', ''],
  ['Softmax', 'axis: 2'],
  ['Softmax', 'axis: -1', [], [[2, 5]]],
  ['ReLU', ''],
  ['ReLU', 'negative_slope: -0.3'],
  ['PReLU', '', [blob(4)]],
  ['PReLU', 'channel_shared: true', [blob(1)]],
  ['PReLU', '', [blob(4)], [[3, 4]]],
  ['ELU', ''],
  ['ELU', 'alpha: 1'],
  ['Sigmoid', ''],
  ['TanH', ''],
  ['AbsVal', ''],
  ['BNLL', ''],
  ['Dropout', 'dropout_ratio: 0.4 scale_train: true'],
  ['Split', '', [], [PICTURE], 2],
  ['Permute', 'order: 0 order: 3 order: 1 order: 2'],
  ['InnerProduct', 'num_output: 5 axis: -1', [blob(5, 7), blob(5)]],
  ['Scale', 'axis: 2 num_axes: 2', [blob(6, 7)]],
  ['Scale', 'axis: 1 num_axes: -1 bias_term: true', [blob(4, 6, 7), blob(4, 6, 7)]],
  ['Scale', 'axis: 0', [], [PICTURE, [2, 4]]],
  ['Flatten', 'axis: 1 end_axis: -2'],
  ['Reshape', 'shape { dim: 3 dim: 2 } axis: 2 num_axes: 1'],
  ['Pooling', 'kernel_size: 3 stride: 2 ceil_mode: false'],
  ['Pooling', 'pool: AVE kernel_size: 3 stride: 2 pad: 1 ceil_mode: true'],
  ['ConvolutionDepthwise', 'num_output: 4 kernel_size: 3 pad: 1 stride: 2', [blob(4, 1, 3, 3), blob(4)]],
  ['DepthwiseConvolution', 'num_output: 8 kernel_size: 3 pad: 1 group: 4', [blob(8, 1, 3, 3), blob(8)]],
  ['Crop', 'axis: 2 offset: 1 offset: 2', [], [PICTURE, [2, 4, 3, 3]]],
  ['Crop', '', [], [PICTURE, [2, 4, 3, 3]]],
  ['Interp', 'height: 9 width: 4'],
  ['Interp', 'zoom_factor: 2'],
  ['MVN', ''],
  ['MVN', 'across_channels: true normalize_variance: false'],
  ['Normalize', 'across_spatial: false channel_shared: false', [blob(4)]],
  ['Normalize', 'eps: 0.1', [blob(1)]],
  ['ReLU6', ''],
  ['Clip', 'min: 0.1 max: 0.3'],
  ['Clip', 'min: 0 max: 1'],
  ['ShuffleChannel', 'group: 2'],
  ['Swish', ''],
];

const title = ([type, settings, , inputs = [PICTURE]]: Case) => `${type} { ${settings} } of ${inputs.map((shape) => `[${shape}]`).join(' and ')}`;

describe('OpenCV agrees with our evaluator', () => {
  it.each([...convolutions, ...deconvolutions, ...poolings, ...others].map((entry) => [title(entry), entry] as const))('%s', async (_, entry) => {
    expect(await layerDifference(entry)).toBeLessThan(ROUNDING);
  });

  it('on every kind of layer that it is let compute', () => {
    const tried = new Set([...convolutions, ...deconvolutions, ...poolings, ...others].map(([type]) => type.toLowerCase()));
    expect(Object.keys(KINDS).filter((type) => !tried.has(type))).toEqual(['silence']);
  });

  const layer = (name: string, type: string, bottoms: readonly string[], top: string, settings = '', blobs: readonly Blob[] = []): CaffeNetLayer => ({
    name,
    type,
    bottoms: [...bottoms],
    tops: [top],
    params: block(type, settings),
    blobs: [...blobs],
  });
  const conv = (name: string, bottom: string) => layer(name, 'Convolution', [bottom], name, 'num_output: 4 kernel_size: 3 pad: 1', [blob(4, 4, 3, 3), blob(4)]);
  const relu = (name: string, top: string) => layer(name, 'ReLU', [top], top);
  const norm = (name: string, top: string) => layer(name, 'BatchNorm', [top], top, '', [blob(4), positive(4), one]);

  /** What its importer joins without being told that somebody else reads it. */
  it.each<[string, CaffeNetLayer[]]>([
    ['in-place layers before a Concat', [conv('a', 'data'), relu('ra', 'a'), conv('b', 'data'), relu('rb', 'b'), layer('c', 'Concat', ['a', 'b'], 'c')]],
    ['a Concat of what another layer reads too', [conv('a', 'data'), layer('c', 'Concat', ['a', 'data'], 'c'), layer('s', 'Sigmoid', ['a'], 's')]],
    ['a normalisation behind an in-place PReLU', [conv('a', 'data'), layer('p', 'PReLU', ['a'], 'a', '', [blob(4)]), norm('n', 'a'), relu('r', 'a')]],
    [
      'a normalisation, its scale and a ReLU in place',
      [conv('a', 'data'), norm('n', 'a'), layer('s', 'Scale', ['a'], 'a', 'bias_term: true', [blob(4), blob(4)]), relu('r', 'a')],
    ],
    ['a Power behind a Power', [layer('p', 'Power', ['data'], 'p', 'power: 2 shift: 0.5'), layer('q', 'Power', ['p'], 'q', 'scale: 3 shift: 1')]],
    ['a sum of what a ReLU then changes in place', [conv('a', 'data'), layer('e', 'Eltwise', ['a', 'data'], 'e'), relu('r', 'e'), conv('b', 'e')]],
  ])('on %s, and on each layer within', async (_, layers) => {
    expect(await difference({ data: PICTURE, other: [2, 3] }, [...layers, WEIGHTS])).toBeLessThan(ROUNDING);
    expect(await difference({ data: PICTURE, other: [2, 3] }, [...layers, WEIGHTS], true)).toBeLessThan(ROUNDING);
  });

  it('on random nets with branches, in-place layers and several outputs', async () => {
    for (let seed = 0; seed < 120; seed++) {
      const layers = randomNet(seed);
      const found = await difference({ data: [2, CHANNELS, 5, 6], other: [2, 3] }, [...layers, WEIGHTS], seed % 4 === 0);
      expect(found, layers.map(({ type, bottoms, tops }) => `${type}(${bottoms}) -> ${tops}`).join(', ')).toBeLessThan(ROUNDING);
    }
  }, 60_000);
});

describe('OpenCV is declined, by the layer', () => {
  const declined: readonly Case[] = [
    ['InnerProduct', 'num_output: 5 transpose: true', [blob(168, 5), blob(5)]],
    ['Deconvolution', 'num_output: 6 kernel_size: 3 dilation: 2', [blob(4, 6, 3, 3), blob(6)]],
    ['Pooling', 'kernel_size: 1 stride: 2'],
    ['Pooling', 'pool: STOCHASTIC kernel_size: 2'],
    ['LRN', 'k: 2'],
    ['ELU', 'alpha: 0.5'],
    ['BatchNorm', 'use_global_stats: false', [blob(4), positive(4), one]],
    ['Dropout', 'scale_train: false'],
    ['Scale', 'axis: -3', [blob(4)]],
    ['ReLU', 'slope_of_a_fork: 2'],
    ['Reshape', 'shape { dim: -1 } axis: -2'],
    ['MVN', 'eps: 0.1'],
    ['Swish', 'beta: 2'],
    ['Interp', 'pad_beg: -1 pad_end: -1 height: 9 width: 9'],
  ];
  it.each(declined.map((entry) => [title(entry), entry] as const))('%s', async (_, entry) => {
    await expect(layerDifference(entry)).rejects.toMatchObject({ kind: 'engine', problem: expect.stringMatching(/no witness here.*"out0"/) });
  });

  it('where a layer has the block of another', async () => {
    const layer: CaffeNetLayer = { name: 'r', type: 'ReLU', bottoms: ['data'], tops: ['r'], params: 'elu_param { alpha: 2 }' };
    await expect(difference({ data: PICTURE, other: [2, 3] }, [layer, WEIGHTS])).rejects.toMatchObject({
      kind: 'engine',
      problem: expect.stringContaining('elu_param'),
    });
  });
});

const CHANNELS = 4;

/** Three to eight layers of CHANNELS channels; later ones read earlier ones, some in place. */
function randomNet(seed: number): CaffeNetLayer[] {
  const random = numbers(seed + 1000);
  const chance = () => (random() + 1) / 2;
  const pick = <T>(list: readonly T[]): T => list[Math.floor(chance() * list.length)]!;
  const weights = (...shape: number[]) => blobOf(random, shape, (value) => value * 0.5);
  const layers: CaffeNetLayer[] = [];
  const blobs = ['data'];
  const inPlace: readonly (readonly [string, string, () => readonly Blob[]])[] = [
    ['ReLU', '', () => []],
    ['ReLU', 'negative_slope: 0.2', () => []],
    ['PReLU', '', () => [weights(CHANNELS)]],
    ['ELU', '', () => []],
    ['Sigmoid', '', () => []],
    ['AbsVal', '', () => []],
    ['Power', 'scale: 0.5 shift: 0.3', () => []],
    ['Power', 'power: 2', () => []],
    ['Dropout', '', () => []],
    ['BatchNorm', '', () => [weights(CHANNELS), blobOf(random, [CHANNELS], (value) => Math.abs(value) + 0.3), one]],
    ['Scale', 'bias_term: true', () => [weights(CHANNELS), weights(CHANNELS)]],
  ];
  const apart: readonly (readonly [string, string, () => readonly Blob[], number?])[] = [
    ['Convolution', `num_output: ${CHANNELS} kernel_size: 3 pad: 1`, () => [weights(CHANNELS, CHANNELS, 3, 3), weights(CHANNELS)]],
    ['Convolution', `num_output: ${CHANNELS} kernel_size: 3 pad: 1 group: ${CHANNELS}`, () => [weights(CHANNELS, 1, 3, 3), weights(CHANNELS)]],
    ['Pooling', 'pool: MAX kernel_size: 3 stride: 1 pad: 1', () => []],
    ['Pooling', 'pool: AVE kernel_size: 3 stride: 1 pad: 1', () => []],
    ['LRN', 'local_size: 3 alpha: 0.5', () => []],
    ['Eltwise', 'coeff: 1 coeff: -0.5', () => [], 2],
    ['Eltwise', 'operation: PROD', () => [], 2],
    ['Concat', '', () => [], 2],
    ['Slice', '', () => []],
  ];
  const count = 3 + Math.floor(chance() * 6);
  for (let i = 0; i < count; i++) {
    const name = `l${i}`;
    const bottom = chance() < 0.75 ? blobs.at(-1)! : pick(blobs);
    const append = (top: string) => {
      if (blobs.includes(top)) blobs.splice(blobs.indexOf(top), 1);
      blobs.push(top);
    };
    if (chance() < 0.5) {
      const [type, settings, made] = pick(inPlace);
      const top = bottom !== 'data' && chance() < 0.6 ? bottom : name;
      layers.push({ name, type, bottoms: [bottom], tops: [top], params: block(type, settings), blobs: made() });
      append(top);
      continue;
    }
    const [type, settings, made, inputs = 1] = pick(apart);
    const bottoms = inputs === 1 ? [bottom] : [bottom, pick(blobs)];
    const tops = type === 'Slice' ? [`${name}a`, `${name}b`] : [type === 'Concat' ? `${name}a` : name];
    layers.push({ name: tops[0] === name ? name : `${name}/1`, type, bottoms, tops, params: block(type, settings), blobs: made() });
    if (type === 'Slice') layers.push({ name, type: 'Concat', bottoms: tops.toReversed(), tops: [name] });
    if (type === 'Concat') {
      const params = `convolution_param { num_output: ${CHANNELS} kernel_size: 1 bias_term: false }`;
      layers.push({ name, type: 'Convolution', bottoms: tops, tops: [name], params, blobs: [weights(CHANNELS, 2 * CHANNELS, 1, 1)] });
    }
    append(name);
  }
  return layers;
}
