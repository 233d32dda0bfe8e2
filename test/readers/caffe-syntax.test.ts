/** Caffe's syntaxes of all years mean the same net; rules say which layers are in it. */
import { describe, expect, it } from 'vitest';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { MessageBuilder } from '../../src/containers/protobuf-writer.js';
import { openModel } from '../../src/readers/open.js';
import { expectCpuSeconds } from '../speed.js';
import { type Blobs, blob, bytesOf, caffemodel, filesOf, floats, mapOf, net, refusal, v1Caffemodel, valuesOf } from './caffe-files.js';

const INPUT = 'name: "made" input: "data" input_dim: 2 input_dim: 3 input_dim: 8 input_dim: 8';
const BLOBS: Blobs = { conv: [blob(4, 3, 3, 3), blob(4)], fc: [blob(5, 36), blob(5)] };

/** The layers of a map, without how they are stored. */
const layersOf = async (text: string, blobs: Blobs = BLOBS) =>
  (await mapOf(text, blobs)).layers.map(({ weights, ...layer }) => ({
    ...layer,
    weights: Object.fromEntries(Object.entries(weights).map(([role, { shape }]) => [role, shape])),
  }));

const MODERN = `${INPUT}
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 4 kernel_size: 3 pad: 1 stride: 2 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "norm" type: "LRN" bottom: "conv" top: "norm" lrn_param { local_size: 3 alpha: 0.5 beta: 0.7 } }
layer { name: "pool" type: "Pooling" bottom: "norm" top: "pool" pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 } }
layer { name: "drop" type: "Dropout" bottom: "pool" top: "pool" dropout_param { dropout_ratio: 0.3 } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc" inner_product_param { num_output: 5 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }`;

const V1 = `${INPUT}
layers { name: "conv" type: CONVOLUTION bottom: "data" top: "conv" convolution_param { num_output: 4 kernel_size: 3 pad: 1 stride: 2 } blobs_lr: 1 blobs_lr: 2 weight_decay: 1 weight_decay: 0 }
layers { name: "relu" type: 18 bottom: "conv" top: "conv" }
layers { name: "norm" type: LRN bottom: "conv" top: "norm" lrn_param { local_size: 3 alpha: 0.5 beta: 0.7 } }
layers { name: "pool" type: POOLING bottom: "norm" top: "pool" pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 } }
layers { name: "drop" type: DROPOUT bottom: "pool" top: "pool" dropout_param { dropout_ratio: 0.3 } }
layers { name: "fc" type: INNER_PRODUCT bottom: "pool" top: "fc" inner_product_param { num_output: 5 } }
layers { name: "prob" type: SOFTMAX bottom: "fc" top: "prob" }`;

const V0 = `${INPUT}
layers { layer { name: "pad1" type: "padding" pad: 1 } bottom: "data" top: "pad1" }
layers { layer { name: "conv" type: "conv" num_output: 4 kernelsize: 3 stride: 2 biasterm: true blobs_lr: 1. blobs_lr: 2. weight_decay: 1. weight_decay: 0.
  weight_filler { type: "gaussian" std: 0.01 } bias_filler { type: "constant" value: 0. } } bottom: "pad1" top: "conv" }
layers { layer { name: "relu" type: "relu" } bottom: "conv" top: "conv" }
layers { layer { name: "norm" type: "lrn" local_size: 3 alpha: 0.5 beta: 0.7 } bottom: "conv" top: "norm" }
layers { layer { name: "pool" type: "pool" pool: AVE kernelsize: 3 stride: 2 pad: 1 } bottom: "norm" top: "pool" }
layers { layer { name: "drop" type: "dropout" dropout_ratio: 0.3 } bottom: "pool" top: "pool" }
layers { layer { name: "fc" type: "innerproduct" num_output: 5 } bottom: "pool" top: "fc" }
layers { layer { name: "prob" type: "softmax" } bottom: "fc" top: "prob" }`;

describe('one net in three syntaxes', () => {
  it('of 2014 and of today are the same', async () => {
    expect(await layersOf(V1)).toEqual(await layersOf(MODERN));
  });

  it('of 2013 is the same, its padding layer in the layer behind it', async () => {
    expect(await layersOf(V0)).toEqual(await layersOf(MODERN));
  });

  it('is called by its name', async () => {
    for (const [text, name] of [
      [MODERN, 'layer'],
      [V1, 'V1 (layers)'],
      [V0, 'V0 (layers { layer })'],
    ] as const) {
      expect((await openModel(filesOf(text, caffemodel(BLOBS)), {})).details.syntax).toBe(name);
    }
  });

  it('may have weights of the other year', async () => {
    const map = await (await openModel(filesOf(MODERN, v1Caffemodel(BLOBS)), {})).map();
    expect(map.layers.find(({ name }) => name === 'fc')!.weights.kernel!.shape).toEqual([5, 36]);
  });

  it('of 2013 may stand in the caffemodel itself, weights and all', async () => {
    const kernel = new MessageBuilder()
      .int(1, 2)
      .int(2, 3)
      .int(3, 1)
      .int(4, 1)
      .bytes(5, floats(valuesOf(blob(6), 1)));
    const conv = new MessageBuilder().string(1, 'conv').string(2, 'conv').int(3, 2).int(4, 0).int(8, 1).message(50, kernel).float(51, 1);
    const relu = new MessageBuilder().string(1, 'relu').string(2, 'relu');
    const layers = [
      new MessageBuilder().message(1, conv).string(2, 'data').string(3, 'conv'),
      new MessageBuilder().message(1, relu).string(2, 'conv').string(3, 'out'),
    ];
    const model = new MessageBuilder().string(1, 'made').message(2, layers[0]!).message(2, layers[1]!).string(3, 'data');
    for (const size of [2, 3, 4, 4]) model.int(4, size);
    const opened = await openModel(memoryFileSet({ 'x.caffemodel': bytesOf(model) }, 'x.caffemodel'), {});
    expect(opened.tensors.map(({ tensor }) => `${tensor.name} [${tensor.shape}]`)).toEqual(['conv/0 [2,3,1,1]']);
    expect((await opened.map()).layers.map(({ op }) => op)).toEqual(['Conv', 'Relu']);
  });

  it.each([
    ['layers { layer { name: "x" type: "conv" num_output: 4 kernelsize: 3 dropout_ratio: 0.5 } bottom: "data" top: "x" }', /"x".*dropout_ratio 0.5/],
    ['layers { layer { name: "x" type: "conv" zzz: 1 } bottom: "data" top: "x" }', /"x".* zzz 1/],
    ['layers { layer { name: "x" type: "relu" } bottom: "data" top: "x" zzz: 1 }', /"x".* zzz 1/],
    ['layers { layer { name: "x" type: "reshape" new_num: 1 } bottom: "data" top: "x" }', /type "reshape" were none of Caffe's in 2013/],
    [
      'layers { layer { name: "p" type: "padding" pad: 1 } bottom: "data" top: "p" } layers { layer { name: "x" type: "relu" } bottom: "p" top: "x" }',
      /a padding layer before a layer of type "relu"/,
    ],
    ['layers { layer { name: "p" type: "padding" pad: 1 } bottom: "data" bottom: "data" top: "p" }', /padding layer from 2 blobs/],
    ['layers { name: "x" type: RELU bottom: "data" top: "x" } layers { layer { name: "y" type: "relu" } bottom: "x" top: "y" }', /type ""/],
    ['layers { name: "x" type: RELU bottom: "data" top: "x" } layer { name: "y" type: "ReLU" bottom: "x" top: "y" }', /side by side/],
    ['layers { name: "x" type: CUSTOM bottom: "data" top: "x" }', /layers of type CUSTOM have no translation/],
    ['layers { name: "x" bottom: "data" top: "x" }', /no type/],
  ])('%s is refused', async (text, words) => {
    expect((await refusal(`${INPUT} ${text}`)).message).toMatch(words);
  });
});

describe('a description in binary', () => {
  it('may stand beside the weights, as a prototxt', async () => {
    const relu = new MessageBuilder().string(1, 'relu').string(2, 'ReLU').string(3, 'data').string(4, 'out');
    const shape = new MessageBuilder();
    for (const size of [2, 4]) shape.int(1, size);
    const description = bytesOf(new MessageBuilder().string(1, 'made').string(3, 'data').message(8, shape).message(100, relu));
    expect((await mapOf(description)).layers.map(({ op }) => op)).toEqual(['Relu']);
  });
});

describe('rules', () => {
  const text = (rules: string, state = '') =>
    `input: "data" input_shape { dim: 2 dim: 4 } ${state} layer { name: "x" type: "TanH" bottom: "data" top: "x" ${rules} } layer { name: "y" type: "ReLU" bottom: "data" top: "y" }`;
  const isIn = async (rules: string, state?: string) => (await mapOf(text(rules, state))).layers.some(({ name }) => name === 'x');

  it.each([
    ['', '', true],
    ['include { phase: TEST }', '', true],
    ['include { phase: 1 }', '', true],
    ['include { phase: TRAIN }', '', false],
    ['include { phase: TRAIN } include { phase: TEST }', '', true],
    ['exclude { phase: TEST }', '', false],
    ['exclude { phase: TRAIN }', '', true],
    ['phase: TRAIN', '', true],
    ['include { min_level: 1 }', '', false],
    ['include { min_level: 1 }', 'state { level: 1 }', true],
    ['include { max_level: 0 }', 'state { level: 1 }', false],
    ['include { max_level: 1 min_level: -1 }', '', true],
    ['exclude { min_level: 0 max_level: 0 }', '', false],
    ['include { stage: "a" }', '', false],
    ['include { stage: "a" }', 'state { stage: "a" }', true],
    ['include { stage: "a" stage: "b" }', 'state { stage: "a" }', false],
    ['include { not_stage: "a" }', 'state { stage: "a" }', false],
    ['include { not_stage: "a" }', '', true],
    ['exclude { stage: "a" }', 'state { stage: ["b", "a"] }', false],
    ['include { phase: TEST stage: "a" }', 'state { phase: TRAIN stage: "a" }', true],
  ])('%s with %s: %s', async (rules, state, expected) => {
    expect(await isIn(rules, state)).toBe(expected);
  });

  it('to include and to exclude are a contradiction', async () => {
    expect((await refusal(text('include { phase: TEST } exclude { phase: TRAIN }'))).message).toMatch(/one or the other/);
  });

  it('of a net for all stages: that for deployment is taken, and told', async () => {
    const all = `
      layer { name: "train-data" type: "Data" top: "data" top: "label" include { stage: "train" } data_param { source: "x" } }
      layer { name: "data" type: "Input" top: "data" include { stage: "deploy" } input_param { shape { dim: 1 dim: 4 } } }
      layer { name: "fc" type: "TanH" bottom: "data" top: "fc" }
      layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" exclude { stage: "deploy" } }
      layer { name: "softmax" type: "Softmax" bottom: "fc" top: "softmax" include { stage: "deploy" } }`;
    const map = await mapOf(all);
    expect(map.outputs.map(({ name }) => name)).toEqual(['softmax']);
    expect(map.warnings).toContainEqual({ code: 'assumed', message: expect.stringMatching(/several stages; those of "deploy"/) });
  });
});

describe('layers without a name', () => {
  it('are called by what they make', async () => {
    const map = await mapOf(
      'input: "data" input_shape { dim: 2 dim: 4 } layer { type: "ReLU" bottom: "data" top: "x" } layer { type: "TanH" bottom: "x" top: "y" }',
    );
    expect(map.layers.map(({ name }) => name)).toEqual(['x', 'y']);
  });
});

describe('blobs that change in place', () => {
  it('are what the last layer before made of them', async () => {
    const map = await mapOf(net(['data 2 4'], 'ReLU data -> x', 'TanH x -> y', 'Sigmoid x -> x', 'AbsVal x -> z'));
    expect(map.layers.map(({ op, inputs }) => [op, ...inputs])).toEqual([
      ['Relu', 'data'],
      ['Tanh', 'x'],
      ['Sigmoid', 'x'],
      ['Abs', 'x_2'],
    ]);
    expect(map.outputs.map(({ name }) => name)).toEqual(['y', 'z']);
  });

  it('are outputs where nobody reads what was made last', async () => {
    const map = await mapOf(net(['data 2 4'], 'ReLU data -> x', 'TanH x -> y', 'Sigmoid x -> x'));
    expect(map.outputs.map(({ name, value }) => [name, map.layers.find(({ outputs }) => outputs[0] === value)!.op])).toEqual([
      ['x', 'Sigmoid'],
      ['y', 'Tanh'],
    ]);
  });

  it('are no outputs where a Silence takes them', async () => {
    const map = await mapOf(net(['data 2 4'], 'ReLU data -> x', 'TanH data -> y', 'layer { name: "s" type: "Silence" bottom: "x" }'));
    expect(map.outputs.map(({ name }) => name)).toEqual(['y']);
  });
});

describe('nets that contradict themselves', () => {
  it.each([
    ['input: "data" input_dim: 2 input_dim: 4', /input_dim stands 2 times for 1 inputs/],
    ['input: "data" input_dim: 2 input_dim: 4 input_dim: 1 input_dim: 1 input_shape { dim: 2 dim: 4 }', /one or the other/],
    ['input: "data" input_shape { dim: 2 dim: 4 } input_shape { dim: 2 }', /input_shape stands 2 times for 1 inputs/],
    ['input: "data" input: "data" input_shape { dim: 2 dim: 4 } input_shape { dim: 2 dim: 4 }', /two inputs are named "data"/],
    ['input: "data" input_shape { dim: 2 dim: 0 }', /the shape \[N,0\]/],
    ['input: "data" input_shape { dim: 2 dim: -4 }', /the shape \[N,-4\]/],
  ])('%s', async (inputs, words) => {
    expect((await refusal(`${inputs} layer { name: "x" type: "ReLU" bottom: "data" top: "x" }`)).message).toMatch(words);
  });

  it('by making a blob twice', async () => {
    expect((await refusal(net(['data 2 4'], 'ReLU data -> x', 'TanH data -> x'))).message).toMatch(/makes "x", which is made already/);
    expect((await refusal(net(['data 2 4'], 'ReLU data -> data2', 'TanH data2 -> data'))).message).toMatch(/makes "data"/);
  });

  it('by reading what nobody makes', async () => {
    expect((await refusal(net(['data 2 4'], 'Eltwise data nothing -> x'))).message).toMatch(/reads "nothing", which no earlier layer makes/);
  });

  it('by a blob of more values than Caffe counts', async () => {
    expect((await refusal(net(['data 2 4 100 100'], 'Upsample data -> x | upsample_param { scale: 1000 }'))).message).toMatch(
      /more values than a blob of Caffe's/,
    );
  });
});

describe('hostile nets', () => {
  const many = (count: number, line: (i: number) => string) => Array.from({ length: count }, (_, i) => line(i)).join('');
  const head = 'input: "data" input_shape { dim: 2 dim: 4 } ';
  it.each([
    [
      'labels through layers without end',
      `layer{name:"d"type:"Data"top:"data"top:"l0"}${many(19_000, (i) => `layer{name:"s${i}"type:"Flatten"bottom:"l${i}"top:"l${i + 1}"}`)}layer{name:"r"type:"ReLU"bottom:"data"top:"r"}layer{name:"x"type:"HingeLoss"bottom:"r"bottom:"l19000"}`,
    ],
    ['layers of types that nobody knows', head + many(19_000, (i) => `layer{name:"l${i}"type:"Odd"bottom:"data"top:"t${i}"}`)],
    ['losses', head + many(19_000, (i) => `layer{name:"l${i}"type:"SoftmaxWithLoss"bottom:"data"top:"t${i}"}`)],
    ['layers of one name', head + many(19_000, (i) => `layer{name:"l"type:"ReLU"bottom:"data"top:"t${i}"}`)],
    ['layers in a row', head + many(19_000, (i) => `layer{name:"l${i}"type:"ReLU"bottom:"${i ? `t${i - 1}` : 'data'}"top:"t${i}"}`)],
    ['fields that nobody knows', `${head}${'zzz: 1 '.repeat(240_000)}`],
    ['fields in a layer that nobody knows', `${head}layer{name:"a"type:"ReLU"bottom:"data"top:"a" relu_param{${'zzz:1 '.repeat(240_000)}}}`],
    ['values of another type', `${head}layer{name:"a"type:"Pooling"bottom:"data"top:"a" pooling_param{${'kernel_size:x '.repeat(240_000)}}}`],
    ['bottoms', `${head}layer{name:"a"type:"Concat"${'bottom:"data"'.repeat(200_000)}top:"a"}`],
    [
      'weights that are not stored',
      `input: "data" input_shape { dim: 2 dim: 3 dim: 4 dim: 4 } ${many(2000, (i) => `layer{name:"l${i}"type:"Convolution"bottom:"data"top:"t${i}"convolution_param{num_output:1000000 kernel_size:1 weight_filler{value:1}}}`)}`,
    ],
  ])('of %s end soon, in few words', { tags: 'slow' }, async (_, text) => {
    const start = process.cpuUsage();
    const outcome: unknown = await mapOf(text, {}).catch((error: unknown) => error);
    const { user, system } = process.cpuUsage(start);
    expectCpuSeconds((user + system) / 1e6, 8);
    if (outcome instanceof Error) {
      expect(outcome.name, outcome.stack).toBe('ModelError');
      expect(outcome.message.length).toBeLessThan(100_000);
    }
  });
});
