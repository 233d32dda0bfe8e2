/** A net that takes pictures as they are gives what it gave for prepared ones, at its borders too. */
import { expect, it } from 'vitest';
import { preparationOf } from '../../src/architectures/family.js';
import { framingOf } from '../../src/architectures/framing.js';
import { familyNamed } from '../../src/architectures/recognise.js';
import type { LayerMap } from '../../src/model/layer-map.js';
import type { Preparation } from '../../src/model/preparation.js';
import { float32Tensor } from '../../src/model/tensor.js';
import { embedPreprocessing } from '../../src/transforms/embed-preprocessing.js';
import { generateSample, RANGES } from '../../src/verify/inputs.js';
import { planPictures } from '../../src/verify/pictures/prepare.js';
import { runLayers } from '../../src/verify/reference/session.js';
import { Net, opsOf } from './contract.js';

const CAFFE: Preparation = { order: 'BGR', mean: [104, 117, 123.5], scale: [0.5, 0.25, 0.125], from: 'the test' };

/** A convolution that pads with zeros: what stands at a border shows whether the mean was folded into it. */
function padded(layout: 'nchw' | 'nhwc', channels = 3): LayerMap {
  const net = new Net();
  const x = net.input(layout === 'nchw' ? ['N', channels, 5, 4] : ['N', 5, 4, channels], layout);
  return net.map(net.build.add('Conv', [x, net.weight('w', [2, channels, 3, 3])], { pads: [1, 1, 1, 1] }, 'conv'));
}

const made = async (map: LayerMap, feed: { shape: readonly number[]; data: Float32Array }) =>
  Array.from((await runLayers(map, [feed], () => {}))[0]!.data as Float64Array, Number);

it.each(['nchw', 'nhwc'] as const)('%s: each value as it was prepared by hand, exactly', async (layout) => {
  const whole = padded(layout);
  const { map, change } = embedPreprocessing(whole, CAFFE);
  const [picture] = generateSample(whole.inputs, 0, 1, { range: RANGES.pixels });
  const { shape, data } = picture!;
  const isFirst = layout === 'nchw';
  const channelOf = (i: number) => (isFirst ? Math.floor(i / 20) % 3 : i % 3);
  const other = (i: number, c: number) => (isFirst ? i + (2 - 2 * c) * 20 : i + 2 - 2 * c);
  const prepared = Float32Array.from(data as Float32Array, (_, i) => {
    const c = channelOf(i);
    return (Number(data[other(i, c)]) - CAFFE.mean[c]!) * CAFFE.scale[c]!;
  });
  // These means and scales are exact in float32, and so is every product.
  expect(await made(map, { shape, data: data as Float32Array })).toEqual(await made(whole, { shape, data: prepared }));
  expect(opsOf(map)).toEqual(['Conv', 'Add', 'Mul', 'Conv']);
  expect(map.layers.at(-1)).toEqual(whole.layers[0]);
  expect(change!.message).toContain('blue first, less 104, 117, 123.5, times 0.5, 0.25, 0.125 (the test)');
});

it('a mean picture is taken off pixel by pixel, the middle of a larger one', async () => {
  const whole = padded('nchw');
  const values = Array.from({ length: 3 * 8 * 7 }, (_, i) => (i * 37) % 101);
  const { map, change } = embedPreprocessing(
    whole,
    { order: 'BGR', mean: [0], scale: [0.5], from: 'the test' },
    float32Tensor('mean', [3, 8, 7], values, { file: 'mean.binaryproto' }),
  );
  const [picture] = generateSample(whole.inputs, 0, 1, { range: RANGES.pixels });
  const { shape, data } = picture!;
  // 5 x 4 of 8 x 7: one row and one column before it, as whole numbers round.
  const prepared = Float32Array.from(data as Float32Array, (_, i) => {
    const [c, y, x] = [Math.floor(i / 20) % 3, Math.floor(i / 4) % 5, i % 4];
    return (Number(data[i + (2 - 2 * c) * 20]) - values[(c * 8 + y + 1) * 7 + x + 1]!) * 0.5;
  });
  expect(await made(map, { shape, data: data as Float32Array })).toEqual(await made(whole, { shape, data: prepared }));
  expect(opsOf(map)).toEqual(['Conv', 'Sub', 'Mul', 'Conv']);
  expect(change!.message).toContain('blue first, less the mean picture of mean.binaryproto, times 0.5');
});

it.each([
  ['it is smaller than the net', [3, 4, 4], undefined, 'at least as many pixels'],
  ['it has other channels', [1, 8, 8], undefined, '1 channels'],
  ['a mean is given as well', [3, 8, 8], CAFFE, 'give one of them'],
] as const)('a mean picture is refused where %s', (_, shape, given, words) => {
  const picture = float32Tensor('mean', shape, new Array(shape[0] * shape[1] * shape[2]).fill(1), { file: 'mean.npy' });
  expect(() => embedPreprocessing(padded('nchw'), given, picture)).toThrow(words);
});

it('a net from which a mean picture is taken off asks for it', () => {
  const net = { ...padded('nchw'), preparation: { order: 'BGR' as const, mean: [0], scale: [1], from: 'the source', meanFile: 'imagenet_mean.binaryproto' } };
  expect(() => embedPreprocessing(net)).toThrow('--mean');
  expect(() => planPictures(net)).toThrow('imagenet_mean.binaryproto');
});

it('what is known of the net is taken; what changes nothing is left out', () => {
  const { map } = embedPreprocessing({ ...padded('nchw'), preparation: { order: 'RGB', mean: [127.5], scale: [1], from: 'the source' } });
  expect(opsOf(map)).toEqual(['Add', 'Conv']);
  const raw = embedPreprocessing({ ...padded('nchw'), preparation: { order: 'RGB', mean: [0], scale: [1], from: 'the source' } });
  expect(raw.prelude).toBeNull();
  expect(raw.change!.message).toContain('as they are');
});

it("torchvision's means for values of 0 to 1 are those for 0 to 255", () => {
  const { family, size } = familyNamed('resnet50')!;
  const { mean, scale } = preparationOf(family.preprocessing('torchvision', size), 'torchvision', framingOf('torchvision', 224));
  for (const x of [0, 17, 255]) {
    expect((x - mean[0]!) * scale[0]!).toBeCloseTo((x / 255 - 0.485) / 0.229, 12);
    expect((x - mean[2]!) * scale[2]!).toBeCloseTo((x / 255 - 0.406) / 0.225, 12);
  }
});

it("a net that rescales its pictures itself, as Keras's Rescaling does, is left alone unless it is told otherwise", () => {
  const net = new Net();
  const x = net.input(['N', 3, 5, 4]);
  const scaled = net.build.add('Mul', [x, net.numbers('scale', [1], [1 / 255])], {}, 'rescaling');
  const whole = net.map(net.build.add('Conv', [scaled, net.weight('w', [2, 3, 3, 3])], {}, 'conv'));
  const { map, change } = embedPreprocessing(whole);
  expect(map).toBe(whole);
  expect(change!.message).toContain('"rescaling"');
  expect(opsOf(embedPreprocessing(whole, CAFFE).map)).toEqual(['Conv', 'Add', 'Mul', 'Mul', 'Conv']);
});

it.each<[string, LayerMap, Preparation | undefined]>([
  ['nothing is known', padded('nchw'), undefined],
  ['the channels are not three', padded('nchw', 1), CAFFE],
  ['there are as many means as no channels', padded('nchw'), { ...CAFFE, mean: [1, 2] }],
  ['there is no picture', { ...padded('nchw'), inputs: [{ name: 'x', value: 'x', dtype: 'float32', shape: ['N', 7], layout: 'other' }] }, CAFFE],
])('it is a mistake of the user where %s', (_, map, given) => {
  expect(() => embedPreprocessing(map, given)).toThrow(expect.objectContaining({ kind: 'usage' }));
});
