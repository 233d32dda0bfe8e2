/** Nets that end before what cannot be translated. */
import { expect, it } from 'vitest';
import type { ConvertOptions } from '../../src/convert.js';
import { convertInMemory, runOnnx } from '../run-onnx.js';
import { type Blobs, blob, caffemodel, difference, filesOf, made, net, size } from './caffe-files.js';

/** A detector of one picture: its boxes are made and chosen by layers of their own. */
const HEAD = ['conv', 'loc', 'mbox_loc', 'conf', 'mbox_conf'];
const LINES = [
  'Convolution data -> conv | convolution_param { num_output: 4 kernel_size: 3 pad: 1 }',
  'layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }',
  'Convolution conv -> loc | convolution_param { num_output: 8 kernel_size: 3 pad: 1 }',
  'Permute loc -> loc_perm | permute_param { order: 0 order: 2 order: 3 order: 1 }',
  'Flatten loc_perm -> mbox_loc',
  'Convolution conv -> conf | convolution_param { num_output: 2 kernel_size: 1 }',
  'Flatten conf -> mbox_conf',
];
const BOXES = [
  'PriorBox conv data -> priors | prior_box_param { min_size: 3 }',
  'Normalize priors -> scaled',
  'DetectionOutput mbox_loc mbox_conf scaled -> found | detection_output_param { num_classes: 2 }',
];
const WEIGHTS: Blobs = { conv: [blob(4, 3, 3, 3), blob(4)], loc: [blob(8, 4, 3, 3), blob(8)], conf: [blob(2, 4, 1, 1), blob(2)] };
const INPUT = ['data 1 3 6 6'];

async function results(lines: readonly string[], blobs: Blobs, options: ConvertOptions) {
  const { bytes, result } = await convertInMemory(filesOf(net(INPUT, ...lines), caffemodel(blobs)), options);
  const outputs = await runOnnx(bytes, [{ shape: [1, 3, 6, 6], data: Float32Array.from(made(size([1, 3, 6, 6]), 5)) }]);
  return { outputs, warnings: result.warnings };
}

it.each(['net: "train.prototxt"\nbase_lr: 0.01\n', 'net_param {\n  layer { name: "data" type: "Input" top: "data" }\n}\nmax_iter: 10\n'])(
  'a solver is no net: %j',
  async (solver) => {
    const files = filesOf(solver, caffemodel({ conv: [blob(4, 3, 3, 3), blob(4)] }));
    await expect(convertInMemory(files, {})).rejects.toMatchObject({ message: expect.stringContaining('this is a Caffe solver') });
  },
);

it('--outputs gives what leads there, although layers behind have no translation', async () => {
  const plain = await results(LINES, WEIGHTS, {});
  const { outputs, warnings } = await results([...LINES, ...BOXES], { ...WEIGHTS, scaled: [blob(1)] }, { outputs: ['mbox_conf', 'mbox_loc'] });
  expect([...outputs.keys()]).toEqual(['mbox_conf', 'mbox_loc']);
  for (const [name, { shape, data }] of outputs) {
    expect(shape).toEqual(plain.outputs.get(name)!.shape);
    expect(difference(data, [...plain.outputs.get(name)!.data])).toBe(0);
  }
  const told = warnings.find(({ code }) => code === 'left-out')!.message;
  for (const name of ['priors', 'scaled', 'found']) expect(told).toContain(`"${name}"`);
  for (const name of HEAD) expect(told).not.toContain(`"${name}"`);
  expect(warnings.map(({ code }) => code)).not.toContain('unused-weights');
});

it('--until a layer that is followed in place ends where the layer does', async () => {
  for (const lines of [LINES, [...LINES, ...BOXES]]) {
    const before = await results(lines, WEIGHTS, { until: 'conv' });
    expect(Math.min(...before.outputs.get('conv')!.data)).toBeLessThan(0);
    const behind = await results(lines, WEIGHTS, { until: 'relu' });
    expect(Math.min(...behind.outputs.get('relu')!.data)).toBe(0);
  }
});

it.each([
  ['an end behind what has no translation', { until: 'found' }, /PriorBox.*DetectionOutput/s],
  ['no end at all', {}, /--outputs with the layers before/],
  ['an end that the net has not', { until: 'elsewhere' }, /PriorBox/],
  ['faults on the way', { outputs: ['broken'] }, /Nonsense/],
] as [string, ConvertOptions, RegExp][])('%s is refused', async (_, options, words) => {
  const lines = [...LINES, ...BOXES, 'Nonsense loc -> broken'];
  await expect(results(lines, WEIGHTS, options)).rejects.toThrow(words);
  if (options.outputs) await expect(results(lines, WEIGHTS, options)).rejects.not.toThrow(/PriorBox/);
});

it('a net that can be translated is read whole, and cut as any other', async () => {
  const { warnings } = await results(LINES, WEIGHTS, { outputs: ['mbox_loc'] });
  expect(warnings.map(({ code }) => code)).not.toContain('left-out');
});
