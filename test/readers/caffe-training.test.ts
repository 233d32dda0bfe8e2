/** Nets as they are trained: what feeds them, what pictures go through, what losses tell. */
import { describe, expect, it } from 'vitest';
import { MessageBuilder } from '../../src/containers/protobuf-writer.js';
import { openModel } from '../../src/readers/open.js';
import { type Blobs, blob, caffemodel, filesOf, mapOf, refusal, values } from './caffe-files.js';
import { predict } from './caffe-predict.js';

const CONV = 'layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 2 kernel_size: 1 } }';
const LOSS = 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "conv" bottom: "label" top: "loss" }';
const BLOBS: Blobs = { conv: [blob(2, 3, 1, 1), blob(2)] };
const feed = (type: string, settings: string, tops = 'top: "data" top: "label"') => `layer { name: "feed" type: "${type}" ${tops} ${settings} }`;
const codes = (map: { readonly warnings: readonly { readonly code: string }[] }, code: string) => map.warnings.filter((notice) => notice.code === code);

describe('layers that feed a net', () => {
  it.each([
    ['Data', 'transform_param { crop_size: 5 }', ['N', 3, 5, 5]],
    ['Data', 'transform_param { crop_h: 4 crop_w: 5 }', ['N', 3, 4, 5]],
    ['Data', 'data_param { crop_size: 5 }', ['N', 3, 5, 5]],
    ['ImageData', 'image_data_param { new_height: 4 new_width: 5 }', ['N', 3, 4, 5]],
    ['ImageData', 'transform_param { crop_size: 3 } image_data_param { new_height: 4 new_width: 5 }', ['N', 3, 3, 3]],
    ['WindowData', 'window_data_param { crop_size: 5 }', ['N', 3, 5, 5]],
    [
      'AnnotatedData',
      'transform_param { resize_param { prob: 1 resize_mode: WARP height: 4 width: 5 interp_mode: LINEAR } } annotated_data_param { batch_sampler { zzz: 1 } }',
      ['N', 3, 4, 5],
    ],
    ['MemoryData', 'memory_data_param { batch_size: 1 channels: 3 height: 4 width: 5 }', ['N', 3, 4, 5]],
    ['MemoryData', 'memory_data_param { dim: 1 dim: 3 dim: 4 dim: 5 }', ['N', 3, 4, 5]],
    ['DummyData', 'dummy_data_param { shape { dim: 2 dim: 3 dim: 4 dim: 5 } shape { dim: 2 } }', ['N', 3, 4, 5]],
    ['DummyData', 'dummy_data_param { num: 2 channels: 3 height: 4 width: 5 }', ['N', 3, 4, 5]],
  ])('%s with %s is an input of its size', async (type, settings, shape) => {
    const map = await mapOf(`${feed(type, settings)} ${CONV} ${LOSS}`, BLOBS);
    expect(map.inputs.map((port) => [port.name, port.shape])).toEqual([['data', shape]]);
    expect(map.warnings).toContainEqual({
      code: 'training-layer-removed',
      message: expect.stringMatching(`${type} feeds a training net; it became the input "data"`),
      layer: 'feed',
    });
  });

  it('take the channels that the first kernel has, and say so', async () => {
    const map = await mapOf(`${feed('Data', 'transform_param { crop_size: 4 }')} ${CONV.replace('kernel_size: 1', 'kernel_size: 1 group: 2')} ${LOSS}`, {
      conv: [blob(2, 3, 1, 1), blob(2)],
    });
    expect(map.inputs[0]!.shape).toEqual(['N', 6, 4, 4]);
    expect(codes(map, 'assumed')).toEqual([
      { code: 'assumed', message: 'Data does not say how many channels "data" has; it was given the 6 that the kernel of "conv" has', layer: 'feed' },
    ]);
  });

  it('through layers that leave channels as they are', async () => {
    const between = ['Power', 'Pooling', 'LRN'].map(
      (type, i) =>
        `layer { name: "l${i}" type: "${type}" bottom: "${i === 0 ? 'data' : `l${i - 1}`}" top: "l${i}" ${type === 'Pooling' ? 'pooling_param { kernel_size: 1 }' : ''} }`,
    );
    const map = await mapOf(
      `${feed('Data', 'transform_param { crop_size: 4 }')} ${between.join(' ')} ${CONV.replace('bottom: "data"', 'bottom: "l2"')} ${LOSS}`,
      BLOBS,
    );
    expect(map.inputs[0]!.shape).toEqual(['N', 3, 4, 4]);
  });

  it('through a dense layer over pictures of a known size', async () => {
    const fc = 'layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 3 } }';
    expect((await mapOf(`${feed('Data', 'transform_param { crop_size: 4 }')} ${fc}`, { fc: [blob(3, 48), blob(3)] })).inputs[0]!.shape).toEqual(['N', 3, 4, 4]);
    expect((await refusal(`${feed('Data', 'transform_param { crop_size: 4 }')} ${fc}`, { fc: [blob(3, 50), blob(3)] })).message).toMatch(
      /does not say of what shape/,
    );
  });

  it('without any size: pictures of any size, where no layer needs to know it', async () => {
    const { map, outputs } = await predict(`${feed('Data', 'data_param { source: "x" }')} ${CONV} ${LOSS}`, caffemodel(BLOBS));
    expect(map.inputs[0]!.shape).toEqual(['N', 3, 'height', 'width']);
    expect(codes(map, 'assumed').length).toBe(1);
    expect(outputs.get('loss')!.shape).toEqual([2, 2, 6, 6]);
  });

  it('without any size, and a layer that needs it: asked for once, with what is known', async () => {
    const rest =
      'layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { kernel_size: 2 stride: 2 } } layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc" inner_product_param { num_output: 3 } }';
    const error = await refusal(`${feed('Data', 'data_param { source: "x" }')} ${CONV} ${rest}`, { ...BLOBS, fc: [blob(3, 8), blob(3)] });
    expect(error.message).toMatch(
      /^x.prototxt, layer "feed": the layer "feed", Data, feeds the net with "data", and does not say of what shape it is. Its channels are 3/,
    );
    expect(error.message).toMatch(/--input-shape.*such as N,3,224,224.*--prototxt/);
    const given = await mapOf(
      `${feed('Data', 'data_param { source: "x" }')} ${CONV} ${rest}`,
      { ...BLOBS, fc: [blob(3, 8), blob(3)] },
      { inputShape: ['N', 3, 4, 4] },
    );
    expect(given.outputs.map(({ name }) => name)).toEqual(['fc']);
  });

  it('vectors, where the first layer takes any', async () => {
    const map = await mapOf(
      `${feed('HDF5Data', 'hdf5_data_param { source: "x" batch_size: 3 }')} layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 3 } }`,
      { fc: [blob(3, 7), blob(3)] },
    );
    expect(map.inputs[0]!.shape).toEqual(['N', 7]);
  });

  it.each(['Python', 'MyVideoData'])('of code that nobody has here (%s): the shape is asked for, even where values were recorded', async (type) => {
    const settings = type === 'Python' ? 'python_param { module: "mine" layer: "Pairs" param_str: "{}" }' : 'my_param { anything: 1 }';
    const text = `${feed(type, settings)} ${CONV} ${LOSS}`;
    expect((await refusal(text, BLOBS, { recordedShape: [1, 3, 4, 4] })).message).toMatch(new RegExp(`"feed", ${type}.*--input-shape.*deploy prototxt`));
    const map = await mapOf(text, BLOBS, { inputShape: ['N', 3, 4, 5] });
    expect(map.inputs.map(({ name, shape }) => [name, shape])).toEqual([['data', ['N', 3, 4, 5]]]);
  });

  it('without a known shape do not hide layers without a translation', async () => {
    const { message } = await refusal(
      `${feed('Python', 'python_param { module: "m" layer: "L" }')} ${CONV} layer { name: "nms" type: "Odd" bottom: "conv" top: "nms" }`,
      BLOBS,
    );
    expect(message).toMatch(/"feed", Python \(m\.L\), feeds the net/);
    expect(message).toMatch(/"nms": layers of type Odd have no translation/);
  });

  it('give labels, which are no inputs, whatever they go through', async () => {
    const text = `${feed('Data', 'transform_param { crop_size: 4 }', 'top: "data" top: "label"')} ${CONV}
      layer { name: "split" type: "Split" bottom: "label" top: "label_0" top: "label_1" }
      layer { name: "flat" type: "Flatten" bottom: "label_0" top: "flat" }
      layer { name: "accuracy" type: "Accuracy" bottom: "conv" bottom: "flat" top: "accuracy" include { phase: TEST } }
      layer { name: "loss" type: "SoftmaxWithLoss" bottom: "conv" bottom: "label_1" top: "loss" }`;
    const map = await mapOf(text, BLOBS);
    expect(map.inputs.map(({ name }) => name)).toEqual(['data']);
    expect(map.layers.map(({ op }) => op)).toEqual(['Conv', 'Softmax']);
    expect(map.outputs.map(({ name }) => name)).toEqual(['loss']);
  });

  it('give two inputs, where both are used', async () => {
    const text = `${feed('DummyData', 'dummy_data_param { shape { dim: 2 dim: 3 dim: 4 dim: 4 } }', 'top: "data" top: "more"')} ${CONV} layer { name: "relu" type: "ReLU" bottom: "more" top: "relu" }`;
    expect((await mapOf(text, BLOBS)).inputs.map(({ name, shape }) => [name, shape])).toEqual([
      ['data', ['N', 3, 4, 4]],
      ['more', ['N', 3, 4, 4]],
    ]);
  });

  it('of the TRAIN phase say what a snapshot of the training net is given', async () => {
    const text = `${feed('Data', 'include { phase: TRAIN } transform_param { crop_size: 4 mean_value: 104 }')} ${CONV} ${LOSS}`;
    const map = await mapOf(text, BLOBS);
    expect(map.inputs.map(({ name, shape }) => [name, shape])).toEqual([['data', ['N', 3, 4, 4]]]);
    expect(codes(map, 'preprocessing').length).toBe(1);
  });
});

describe('what pictures go through before a net sees them', () => {
  const told = async (settings: string, type = 'Data') =>
    codes(await mapOf(`${feed(type, settings)} ${CONV} ${LOSS}`, BLOBS, { inputShape: ['N', 3, 4, 4] }), 'preprocessing');
  it.each([
    [
      'Data',
      'transform_param { scale: 0.00390625 mean_value: 104 crop_size: 12 mirror: true }',
      'cuts 12 x 12 out of it, mirrors some at random, subtracts 104 from every channel, multiplies by 0.00390625',
    ],
    ['Data', 'transform_param { mean_value: 104 mean_value: 117 mean_value: 123.5 }', 'subtracts 104, 117, 123.5 from the channels'],
    ['Data', 'transform_param { mean_file: "a/mean.binaryproto" }', 'subtracts the mean picture of "a/mean.binaryproto"'],
    [
      'Data',
      'data_param { scale: 0.5 mean_file: "m" mirror: true crop_size: 3 }',
      'cuts 3 x 3 out of it, mirrors some at random, subtracts the mean picture of "m", multiplies by 0.5',
    ],
    ['ImageData', 'transform_param { force_gray: true } image_data_param { new_height: 8 new_width: 9 }', 'makes it grey, resizes it to 8 x 9'],
    [
      'AnnotatedData',
      'transform_param { resize_param { height: 4 width: 5 } distort_param { } expand_param { prob: 0.5 } }',
      'resizes it to 4 x 5 (WARP), changes it at random (distort_param), changes it at random (expand_param)',
    ],
    [
      'WindowData',
      'window_data_param { crop_size: 4 context_pad: 16 crop_mode: "square" }',
      'adds 16 pixels of context, cuts windows out as "square", cuts 4 x 4 out of it',
    ],
  ])('%s with %s is told', async (type, settings, steps) => {
    expect(await told(settings, type)).toEqual([
      {
        code: 'preprocessing',
        message: `the layer "feed" prepares each picture before the net sees it: it ${steps}. This is no part of the net, so whoever feeds the result must do it`,
        layer: 'feed',
      },
    ]);
  });

  it.each(['data_param { source: "x" batch_size: 3 backend: LMDB }', 'transform_param { scale: 1 mirror: false crop_size: 0 }'])(
    '%s is nothing to tell',
    async (settings) => {
      expect(await told(settings)).toEqual([]);
    },
  );

  it('is told where an Input layer keeps it, although Caffe does nothing with it there', async () => {
    const input = 'layer { name: "feed" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 4 dim: 4 } } transform_param { scale: 0.5 } }';
    expect(codes(await mapOf(`${input} ${CONV}`, BLOBS), 'preprocessing')).toEqual([
      { code: 'preprocessing', layer: 'feed', message: expect.stringMatching(/multiplies by 0.5/) },
    ]);
  });

  it('is told of the net in the caffemodel, where a prototxt without it stands beside', async () => {
    const transform = new MessageBuilder().float(1, 0.017).float(5, 104).float(5, 117).float(5, 123);
    const data = new MessageBuilder().string(1, 'train').string(2, 'Data').string(4, 'data').message(8, new MessageBuilder().int(1, 0)).message(100, transform);
    const model = caffemodel(BLOBS, (net) => void net.message(100, data));
    const text = `input: "data" input_shape { dim: 1 dim: 3 dim: 4 dim: 4 } ${CONV}`;
    const map = await (await openModel(filesOf(text, model), {})).map();
    expect(codes(map, 'preprocessing')).toEqual([
      {
        code: 'preprocessing',
        layer: 'train',
        message: expect.stringMatching(
          /^the net that x.caffemodel was trained in prepares .* subtracts 104, 117, 123 from the channels, multiplies by 0.017\./,
        ),
      },
    ]);
  });
});

describe('losses', () => {
  const text = (loss: string, more = '') => `input: "data" input_shape { dim: 2 dim: 3 dim: 4 dim: 4 } ${CONV} ${more} layer { name: "loss" ${loss} }`;
  it.each([
    ['type: "SoftmaxWithLoss" bottom: "conv" bottom: "label" top: "loss"', ['Conv', 'Softmax'], ['loss'], /SoftmaxWithLoss became Softmax/],
    ['type: "SoftmaxWithLoss" bottom: "conv" bottom: "label" top: "loss" top: "prob"', ['Conv', 'Softmax'], ['prob'], /became Softmax/],
    ['type: "SoftmaxWithLoss" bottom: "conv" bottom: "label"', ['Conv', 'Softmax'], ['prob'], /became Softmax/],
    ['type: "SigmoidCrossEntropyLoss" bottom: "conv" bottom: "label" top: "loss"', ['Conv', 'Sigmoid'], ['loss'], /SigmoidCrossEntropyLoss became Sigmoid/],
    [
      'type: "EuclideanLoss" bottom: "conv" bottom: "label" top: "loss"',
      ['Conv'],
      ['conv'],
      /EuclideanLoss acts in training only and was removed; what it is given \("conv"\) is shown as it is/,
    ],
    ['type: "HingeLoss" bottom: "conv" bottom: "label" top: "loss" hinge_loss_param { norm: L2 }', ['Conv'], ['conv'], /HingeLoss acts in training only/],
    [
      'type: "SmoothL1Loss" bottom: "conv" bottom: "label" bottom: "in" bottom: "out" top: "loss" smooth_l1_loss_param { sigma: 3 }',
      ['Conv'],
      ['conv'],
      /SmoothL1Loss acts in training only/,
    ],
    [
      'type: "Accuracy" bottom: "conv" bottom: "label" top: "accuracy" accuracy_param { top_k: 5 }',
      ['Conv'],
      ['conv'],
      /Accuracy acts in training only and was removed$/,
    ],
  ])('%s', async (loss, ops, outputs, words) => {
    const map = await mapOf(text(loss), BLOBS);
    expect(map.layers.map(({ op }) => op)).toEqual(ops);
    expect(map.outputs.map(({ name }) => name)).toEqual(outputs);
    expect(map.warnings).toContainEqual({ code: 'training-layer-removed', message: expect.stringMatching(words), layer: 'loss' });
    expect(codes(map, 'training-net').length).toBe(ops.length - 1);
  });

  it('along another axis become an activation along it', async () => {
    const map = await mapOf(text('type: "SoftmaxWithLoss" bottom: "conv" bottom: "label" top: "loss" softmax_param { axis: -1 }'), BLOBS);
    expect(map.layers.at(-1)!.attributes.axis).toBe(3);
  });

  it('beside an activation of the same blob add none', async () => {
    const map = await mapOf(
      text('type: "SoftmaxWithLoss" bottom: "conv" bottom: "label" top: "loss"', 'layer { name: "prob" type: "Softmax" bottom: "conv" top: "prob" }'),
      BLOBS,
    );
    expect(map.outputs.map(({ name }) => name)).toEqual(['prob']);
  });

  it('beside an activation that the net goes on with, or along another axis, add their own', async () => {
    const gate = `layer { name: "gate" type: "Sigmoid" bottom: "conv" top: "gate" } layer { name: "twice" type: "Power" bottom: "gate" top: "twice" power_param { scale: 2 } }`;
    const gated = await mapOf(text('type: "SigmoidCrossEntropyLoss" bottom: "conv" bottom: "label" top: "loss"', gate), BLOBS);
    expect(gated.outputs.map(({ name }) => name)).toEqual(['twice', 'loss']);
    const rows = 'layer { name: "rows" type: "Softmax" bottom: "conv" top: "rows" softmax_param { axis: 2 } }';
    const other = await mapOf(text('type: "SoftmaxWithLoss" bottom: "conv" bottom: "label" top: "loss"', rows), BLOBS);
    expect(other.outputs.map(({ name }) => name)).toEqual(['rows', 'loss']);
  });

  it('in place of what is compared leave the net as it is: the second of two branches is what its last layer makes of it', async () => {
    const branch = `layer { name: "twin" type: "Power" bottom: "data" top: "twin" power_param { shift: -0.5 } } layer { name: "relu" type: "ReLU" bottom: "twin" top: "twin" }`;
    const { outputs, inputs } = await predict(text('type: "EuclideanLoss" bottom: "conv" bottom: "twin" top: "loss"', branch), caffemodel(BLOBS));
    expect([...outputs.keys()]).toEqual(['conv', 'twin']);
    const expected = Array.from(inputs[0]!.data as Float32Array, (value) => Math.max(0, Math.fround(value - 0.5)));
    expect(Array.from(outputs.get('twin')!.data as Float32Array)).toEqual(expected);
  });

  it.each([
    ['Eltwise', 'bottom: "a" bottom: "a" top: "b"', 'b'],
    ['ReLU', 'bottom: "a" top: "a"', 'a'],
  ])('are not what makes a %s a training layer that Silence is behind: what is silenced is no output', async (type, wires, silenced) => {
    const more = `layer { name: "a" type: "Power" bottom: "data" top: "a" } layer { name: "last" type: "${type}" ${wires} } layer { name: "hush" type: "Silence" bottom: "${silenced}" }`;
    const map = await mapOf(`input: "data" input_shape { dim: 2 dim: 3 dim: 4 dim: 4 } ${CONV} ${more}`, BLOBS);
    expect(map.outputs.map(({ name }) => name)).toEqual(['conv']);
    expect(map.warnings).toEqual([]);
  });

  it('of two branches show both: twins keep their outputs', async () => {
    const twin = 'layer { name: "twin" type: "ReLU" bottom: "data" top: "twin" }';
    const map = await mapOf(
      text('type: "ContrastiveLoss" bottom: "conv" bottom: "twin" bottom: "label" top: "loss" contrastive_loss_param { margin: 1 }', twin),
      BLOBS,
    );
    expect(map.outputs.map(({ name }) => name)).toEqual(['conv', 'twin']);
  });

  it('whose value the net goes on with are an obstacle', async () => {
    const message = (
      await refusal(
        `${text('type: "SoftmaxWithLoss" bottom: "conv" bottom: "label" top: "loss"')} layer { name: "double" type: "Power" bottom: "loss" top: "double" power_param { scale: 2 } }`,
        BLOBS,
      )
    ).message;
    expect(message).toMatch(/"loss": the net goes on with the value of this loss \(layer "double"\)/);
  });
});

describe('layers of the TRAIN phase with weights', () => {
  const lines = (rule: string, top: string, more = '') => `input: "data" input_shape { dim: 2 dim: 4 dim: 5 dim: 6 }
    layer { name: "relu" type: "ReLU" bottom: "data" top: "a" }
    layer { name: "bn" type: "BatchNorm" bottom: "a" top: "${top}" ${rule} batch_norm_param { use_global_stats: false } } ${more}
    layer { name: "out" type: "TanH" bottom: "a" top: "out" }`;
  const statistics = { bn: [values(1, 2, 3, 4), values(1, 2, 3, 4), values(1)] };
  const TRAIN = 'include { phase: TRAIN }';
  const TEST = 'layer { name: "bn" type: "BatchNorm" bottom: "a" top: "a" include { phase: TEST } }';

  it.each([
    [TRAIN, /BatchNorm is of the TRAIN phase, has weights, and writes over "a".*--prototxt/],
    ['exclude { phase: TEST }', /BatchNorm is of the TRAIN phase/],
    ['include { stage: "s" }', /BatchNorm is of another stage or level, has weights/],
  ])('are no part that a net can lose: %s in place', async (rule, words) => {
    expect((await refusal(lines(rule, 'a'), statistics)).message).toMatch(words);
  });

  it('are left out where the TEST phase has its own, where they have none, and where a branch is theirs', async () => {
    expect((await mapOf(lines(TRAIN, 'a', TEST), statistics)).layers.map(({ op }) => op)).toEqual(['Relu', 'BatchNormalization', 'Tanh']);
    expect((await mapOf(lines(TRAIN, 'a').replace('"BatchNorm"', '"Dropout"'), {})).layers.map(({ op }) => op)).toEqual(['Relu', 'Tanh']);
    expect((await mapOf(lines(TRAIN, 'auxiliary'), statistics)).layers.map(({ op }) => op)).toEqual(['Relu', 'Tanh']);
  });
});
