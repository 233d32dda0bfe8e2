/** Pictures come to a net as PIL and torchvision bring them, or as is said; what is not known is asked for. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { preparationOf, TORCHVISION } from '../../../src/architectures/family.js';
import { framingOf } from '../../../src/architectures/framing.js';
import { memorySource } from '../../../src/bytes/byte-source.js';
import { parsePreparation } from '../../../src/cli/options.js';
import { readNpz } from '../../../src/containers/npy.js';
import { decodePicture, type Picture } from '../../../src/containers/pictures.js';
import { toFloat32Array } from '../../../src/model/cast.js';
import type { LayerMap } from '../../../src/model/layer-map.js';
import type { Framing, Preparation } from '../../../src/model/preparation.js';
import { tensorBytes } from '../../../src/model/tensor.js';
import { LABELS } from '../../../src/verify/feeds.js';
import { pictureInputs } from '../../../src/verify/pictures/index.js';
import { labelsFor } from '../../../src/verify/pictures/labels.js';
import { planPictures, preparePicture } from '../../../src/verify/pictures/prepare.js';

const FOLDER = fileURLToPath(new URL('../../fixtures/pictures/', import.meta.url));
const file = (name: string) => new Uint8Array(readFileSync(FOLDER + name));
const arrays = await readNpz(memorySource(file('expected.npz'), 'expected.npz'));
const rgb = await decodePicture(file('rgb.png'), 'rgb.png');

function net(shape: readonly (number | string)[], preparation?: Preparation, layout: 'nchw' | 'nhwc' | 'other' = 'nchw', classes = 10): LayerMap {
  const inputs = [{ name: 'x', value: 'x', dtype: 'float32', shape, layout } as const];
  const outputs = [{ name: 'y', value: 'y', dtype: 'float32', shape: ['N', classes], layout: 'other' } as const];
  return {
    name: 'net',
    format: 'onnx',
    producer: null,
    architecture: null,
    inputs,
    outputs,
    layers: [],
    warnings: [],
    ...(preparation ? { preparation } : {}),
  };
}

async function pictureOf(name: string): Promise<Picture> {
  const tensor = arrays.get(name)!;
  return { height: tensor.shape[0]!, width: tensor.shape[1]!, channels: 3, data: await tensorBytes(tensor) };
}

/** The picture as bytes, row by row, brought to a size. */
function framed(picture: Picture, width: number, height: number, framing: Framing): Float32Array {
  const plan = planPictures(net(['N', height, width, 3], { order: 'RGB', mean: [0], scale: [1], from: 'test', framing }, 'nhwc'));
  const values = new Float32Array(width * height * 3);
  preparePicture(picture, plan, 'picture', values);
  return values;
}

const recorded = [...arrays.keys()];

describe('resizing', () => {
  const shorter = recorded.filter((name) => /^(shorter|turned):/.test(name));
  it.each(shorter)("%s, the middle cut out, is torchvision's, byte for byte", async (name) => {
    const [from, filter, side, cut] = name.split(':') as [string, 'bilinear', string, string];
    const picture = from === 'turned' ? await pictureOf('turned') : rgb;
    const found = framed(picture, Number(cut), Number(cut), { resize: Number(side), filter, antialias: true });
    expect([...found]).toEqual([...(await tensorBytes(arrays.get(name)!))]);
  });
  const stretched = recorded.filter((name) => name.startsWith('stretch:'));
  it.each(stretched)("%s is PIL's, byte for byte", async (name) => {
    const [, filter, wide, high] = name.split(':') as [string, 'nearest', string, string];
    const found = framed(rgb, Number(wide), Number(high), { resize: 'stretch', filter, antialias: true });
    expect([...found]).toEqual([...(await tensorBytes(arrays.get(name)!))]);
  });
  it('without antialiasing is what PyTorch interpolates', async () => {
    const wanted = toFloat32Array(await tensorBytes(arrays.get('plain:bilinear:64:13')!), 'float32');
    const found = framed(rgb, 64, 13, { resize: 'stretch', filter: 'bilinear', antialias: false });
    for (const [i, value] of found.entries()) expect(Math.abs(value - wanted[i]!)).toBeLessThan(1e-3);
  });
  it('finds all that was recorded', () => expect([shorter.length, stretched.length]).toEqual([12, 12]));
});

it("prepares a picture as torchvision's transforms do, in either layout and order", async () => {
  const wanted = toFloat32Array(await tensorBytes(arrays.get('prepared')!), 'float32');
  const usual = preparationOf(TORCHVISION, 'usual', { resize: 20, filter: 'bilinear', antialias: true });
  const run = (preparation: Preparation, layout: 'nchw' | 'nhwc') => {
    const values = new Float32Array(16 * 16 * 3);
    preparePicture(rgb, planPictures(net(layout === 'nchw' ? [1, 3, 16, 16] : [1, 16, 16, 3], preparation, layout)), 'rgb.png', values);
    return values;
  };
  const found = run(usual, 'nchw');
  for (const [i, value] of found.entries()) expect(Math.abs(value - wanted[i]!)).toBeLessThan(1e-6);
  const last = run(usual, 'nhwc');
  const blueFirst = run({ ...usual, order: 'BGR', mean: usual.mean.toReversed(), scale: usual.scale.toReversed() }, 'nchw');
  for (let i = 0; i < 256; i++) {
    expect([last[3 * i], last[3 * i + 2]]).toEqual([found[i], found[512 + i]]);
    expect([blueFirst[i], blueFirst[512 + i]]).toEqual([found[512 + i], found[i]]);
  }
});

it('a graph that does not name its axes takes pictures as its sizes show', () => {
  const raw = parsePreparation('mean=0,resize=stretch');
  const run = (shape: readonly (number | string)[], layout: 'nchw' | 'nhwc' | 'other') => {
    const values = new Float32Array(3 * 8 * 6);
    preparePicture(rgb, planPictures(net(shape, undefined, layout), raw), 'rgb.png', values);
    return [...values];
  };
  expect(run(['N', 8, 6, 3], 'other')).toEqual(run(['N', 8, 6, 3], 'nhwc'));
  expect(run(['N', 3, 8, 6], 'other')).toEqual(run(['N', 3, 8, 6], 'nchw'));
  expect(() => run(['N', 8, 6, 4], 'other')).toThrow(/no input takes pictures/);
});

it('is grey as PIL is, for a net of one channel', async () => {
  const values = new Float32Array(41 * 30);
  const plan = planPictures(net(['N', 30, 41, 1], undefined, 'nhwc'), { values: { order: 'RGB', mean: [0], scale: [1], from: 'test' }, framing: {} });
  preparePicture(rgb, plan, 'rgb.png', values);
  expect([...values]).toEqual([...(await tensorBytes(arrays.get('grey:rgb.png')!))]);
});

describe('what is not known is asked for', () => {
  const usual = preparationOf(TORCHVISION, 'usual', framingOf('torchvision', 224, 'resnet50'));
  const plan = (map: LayerMap, settings?: string) => () => planPictures(map, settings === undefined ? undefined : parsePreparation(settings));
  it.each([
    ['mean and scale', plan(net([1, 3, 8, 8])), /--preprocess/],
    ['the size of a net that takes any', plan(net([1, 3, 'H', 'W']), 'mean=0'), /any size.*crop=224/],
    ['pictures for a table', plan(net([1, 3])), /no input takes pictures/],
    ['a mean for each channel', plan(net([1, 1, 8, 8]), 'mean=1,2,3'), /mean has 3 values/],
    ['a cut beyond the picture', plan(net([1, 3, 224, 224], usual), 'resize=200'), /cannot be cut/],
    ["a cut that is not the net's", plan(net([1, 3, 224, 224], usual), 'crop=200'), /crop/],
  ])('%s', (_, run, message) => expect(run).toThrow(message));
  it('how a picture of another size is brought to it', () => {
    const raw = planPictures(net([1, 3, 8, 8]), parsePreparation('mean=0'));
    expect(() => preparePicture(rgb, raw, 'rgb.png', new Float32Array(192))).toThrow(/rgb\.png.*41 x 30.*--preprocess/s);
  });
  it('and what is said comes before what is usual', () => {
    const { values, framing } = planPictures(net([1, 3, 224, 224], usual), parsePreparation('resize=232,filter=bicubic,antialias=no'));
    expect([values, framing]).toEqual([usual, { resize: 232, filter: 'bicubic', antialias: false, crop: 224 }]);
  });
});

describe('classes', () => {
  it.each([
    ['no folders', ['a.png', 'b.png'], null, null],
    ['folders with numbers', ['7/a.png', '0/b.png'], null, [7, 0]],
    ['as many names as classes', ['cat/a.png', 'ape/a.png', 'dog/a.png'], null, [1, 0, 2]],
    ['a table', ['b.png', 'a.png'], 'file,label\na.png,3\n"b.png" , 4\r\n\n', [4, 3]],
    ['a table by path', ['x/b.png'], 'x/b.png;2', [2]],
  ])('%s', (title, names, table, labels) => {
    const isCounted = title.startsWith('as many');
    const note = isCounted ? expect.stringMatching(/order of their names \(0 ape, 1 cat, 2 dog\)/) : null;
    expect(labelsFor(names, table, { classes: isCounted ? 3 : 10, own: null })).toEqual({ labels, note });
  });
  it.each([
    ['in their own order', ['cat', 'dog', 'ape'], [0, 2, 1]],
    ['however they are spelt, and where there are more', ['Cat ', 'great ape', 'Ape', 'dog'], [0, 2, 3]],
    ['not where two have one name', ['cat', 'ape', 'ape', 'dog'], null],
  ])("names that are the net's are its classes, %s", (_, own, labels) => {
    expect(labelsFor(['cat/a.png', 'ape/a.png', 'dog/a.png'], null, { classes: own.length, own }).labels).toEqual(labels);
  });
  it('names that are fewer than classes tell nothing, and that is said', () => {
    expect(labelsFor(['cat/a.png', 'ape/a.png'], null, { classes: 10, own: null })).toEqual({ labels: null, note: expect.stringMatching(/2 names.*10 apart/) });
  });
  it.each([
    ['a class beyond the last', ['10/a.png'], null],
    ['a table without the picture', ['a.png'], 'b.png,1'],
    ['a line that is none', ['a.png'], 'a.png'],
    ['a picture that has two classes', ['a.png'], 'a.png,1\na.png,2'],
    ['a name that two pictures have', ['x/a.png', 'y/a.png'], 'a.png,1'],
    ['a line without a class', ['a.png', 'b.png'], 'a.png,1\nb.png,'],
  ])('%s is an error', (_, names, table) => expect(() => labelsFor(names, table, { classes: 10, own: null })).toThrow());
});

it('reads a folder: rows in order, evenly chosen where there are too many, with their classes', async () => {
  const names = ['3/a.png', '4/b.png', '5/c.png', '6/d.png'];
  const folder = { label: 'pictures', names, leftOut: ['left out, as they are: 3/z.webp'], labels: null, bytes: async () => file('rgb.png') };
  const { arrays: found, notes } = await pictureInputs(folder, net(['N', 3, 30, 41], undefined), parsePreparation('mean=0'), 2);
  expect(found.get('x')!.shape).toEqual([2, 3, 30, 41]);
  expect([...toFloat32Array(await tensorBytes(found.get(LABELS)!), 'float32')]).toEqual([3, 5]);
  expect(notes[0]).toMatch(/2 of 4 pictures, spread evenly; of 41 x 30 pixels; red first/);
  expect(notes[1]).toMatch(/left out.*: 3\/z\.webp$/);
});
