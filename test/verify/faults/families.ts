/** Small nets of families that are unlike each other, made here: what is found in one net may hide in another. */
import type { Layer, LayerMap, Port } from '../../../src/model/layer-map.js';
import { inferShapes, type LayerDraft, makeLayer } from '../../../src/model/ops/index.js';
import { branchedNet, spread, values } from './nets.js';

type Attributes = LayerDraft['attributes'];

/** Adds layers one by one; each is named after what it makes, and knows its shapes. */
function net(name: string, inputs: readonly Port[], build: (add: Adder) => readonly string[]): LayerMap {
  const layers: Layer[] = [];
  const shapes = new Map(inputs.map((port) => [port.value, port.shape]));
  const shapeOf = (value: string) => inferShapes(layers, shapes).get(value)!;
  const layer = (op: string, own: string, from: readonly string[], attributes: Attributes = {}, weights: LayerDraft['weights'] = {}) => {
    layers.push(makeLayer({ name: own, op, inputs: from, outputs: [own], attributes, weights }, from.map(shapeOf)));
    return own;
  };
  const channels = (value: string) => Number(shapeOf(value)[1]);
  const add: Adder = {
    layer,
    shapeOf,
    conv(own, from, out, size, attributes = {}, hasBias = true) {
      const window = Array.isArray(size) ? (size as number[]) : [size as number, size as number];
      const shape = [out, channels(from) / Number(attributes.group ?? 1), ...window];
      const weights = {
        kernel: values(`${name}.${own}.kernel`, shape, ...spread(shape)),
        ...(hasBias ? { bias: values(`${name}.${own}.bias`, [out], -0.3, 0.4) } : {}),
      };
      return layer('Conv', own, [from], attributes, weights);
    },
    norm(own, from, epsilon = 1e-3) {
      const count = channels(from);
      const vector = (role: string, low: number, high: number) => values(`${name}.${own}.${role}`, [count], low, high);
      const weights = {
        scale: vector('scale', 0.5, 1.5),
        bias: vector('bias', -0.5, 0.5),
        mean: vector('mean', -0.3, 0.3),
        variance: vector('variance', 0.05, 0.8),
      };
      return layer('BatchNormalization', own, [from], { epsilon }, weights);
    },
    dense(own, from, out) {
      const shape = [out, channels(from)];
      return layer(
        'Gemm',
        own,
        [from],
        {},
        { kernel: values(`${name}.${own}.kernel`, shape, ...spread(shape)), bias: values(`${name}.${own}.bias`, [out], -0.4, 0.5) },
      );
    },
    matrix(own, from, out) {
      const shape = [Number(shapeOf(from).at(-1)), out];
      return layer('MatMul', own, [from], {}, { kernel: values(`${name}.${own}.kernel`, shape, ...spread([out, shape[0]!])) });
    },
    constant(op, own, from, shape, low, high) {
      return layer(op, own, [from], {}, { operand: values(`${name}.${own}.operand`, shape, low, high) });
    },
  };
  const made = build(add);
  const outputs = made.map((value): Port => ({ name: value, value, dtype: 'float32', shape: shapeOf(value), layout: 'other' }));
  return { name, format: 'layer map', producer: null, architecture: null, inputs, outputs, layers, warnings: [] };
}

interface Adder {
  layer(op: string, own: string, from: readonly string[], attributes?: Attributes, weights?: LayerDraft['weights']): string;
  shapeOf(value: string): readonly (number | string)[];
  conv(own: string, from: string, out: number, size: number | readonly number[], attributes?: NonNullable<Attributes>, hasBias?: boolean): string;
  norm(own: string, from: string, epsilon?: number): string;
  dense(own: string, from: string, out: number): string;
  matrix(own: string, from: string, out: number): string;
  constant(op: string, own: string, from: string, shape: readonly number[], low: number, high: number): string;
}

const picture = (channels: number, height: number, width: number): Port[] => [
  { name: 'input', value: 'input', dtype: 'float32', shape: ['N', channels, height, width], layout: 'nchw' },
];
const SAME = { pads: [1, 1, 1, 1] };

/** MobileNet v2: depthwise convolutions between narrow ones, ReLU6, a residual. */
const depthwise = () =>
  net('depthwise', picture(3, 16, 18), (add) => {
    const relu6 = (own: string, from: string) => add.layer('Clip', own, [from], { min: 0, max: 6 });
    let x = relu6('relu1', add.norm('bn1', add.conv('conv1', 'input', 8, 3, { ...SAME, strides: [2, 2] }, false)));
    const start = x;
    x = relu6('relu2', add.norm('bn2', add.conv('expand', x, 16, 1, {}, false)));
    x = relu6('relu3', add.norm('bn3', add.conv('depthwise', x, 16, 3, { ...SAME, group: 16 }, false)));
    x = add.norm('bn4', add.conv('project', x, 8, 1, {}, false));
    x = add.layer('Add', 'residual', [start, x]);
    x = add.layer('GlobalAveragePool', 'gap', [x]);
    return [add.layer('Softmax', 'prob', [add.dense('fc', add.layer('Flatten', 'flatten', [x]), 6)], { axis: -1 })];
  });

/** ResNet: a strided stem, a padded pooling, two branches that are added. */
const residual = () =>
  net('residual', picture(3, 19, 21), (add) => {
    let x = add.layer('Relu', 'relu1', [add.norm('bn1', add.conv('conv1', 'input', 8, 5, { pads: [2, 2, 2, 2], strides: [2, 2] }, false), 1e-5)]);
    x = add.layer('MaxPool', 'pool1', [x], { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] });
    const right = add.norm(
      'bn3',
      add.conv('conv3', add.layer('Relu', 'relu2', [add.norm('bn2', add.conv('conv2', x, 8, 3, SAME, false), 1e-5)]), 8, 3, SAME, false),
      1e-5,
    );
    const sum = add.layer('Relu', 'relu3', [add.layer('Add', 'add1', [right, x])]);
    const next = add.norm('bn4', add.conv('conv4', sum, 12, 3, { ...SAME, strides: [2, 2] }, false), 1e-5);
    const short = add.norm('bn5', add.conv('shortcut', sum, 12, 1, { strides: [2, 2] }, false), 1e-5);
    x = add.layer('Relu', 'relu4', [add.layer('Add', 'add2', [next, short])]);
    return [add.dense('fc', add.layer('Flatten', 'flatten', [add.layer('GlobalAveragePool', 'gap', [x])]), 7)];
  });

/** A U-Net: down, up again by transposed convolutions, what was on the way joined in. */
const transposed = () =>
  net('transposed', picture(3, 16, 16), (add) => {
    const up = (own: string, from: string, out: number, size: number, attributes: NonNullable<Attributes>) => {
      const shape = [Number(add.shapeOf(from)[1]), out, size, size];
      return add.layer('ConvTranspose', own, [from], attributes, {
        kernel: values(`transposed.${own}.kernel`, shape, ...spread([out, shape[0]!, size, size])),
        bias: values(`transposed.${own}.bias`, [out], -0.3, 0.4),
      });
    };
    const a = add.layer('LeakyRelu', 'leaky1', [add.conv('down1', 'input', 6, 3, SAME)], { alpha: 0.2 });
    const b = add.layer('LeakyRelu', 'leaky2', [add.conv('down2', a, 8, 3, { ...SAME, strides: [2, 2] })], { alpha: 0.2 });
    const c = add.layer(
      'InstanceNormalization',
      'instance',
      [b],
      { epsilon: 1e-5 },
      {
        scale: values('transposed.instance.scale', [8], 0.5, 1.5),
        bias: values('transposed.instance.bias', [8], -0.5, 0.5),
      },
    );
    const d = add.layer('Relu', 'relu1', [up('up1', c, 6, 4, { strides: [2, 2], pads: [1, 1, 1, 1] })]);
    const e = add.layer('Concat', 'skip', [d, a], { axis: 1 });
    const f = add.conv('merge', e, 4, 3, { ...SAME, dilations: [1, 1] });
    return [add.layer('Sigmoid', 'mask', [f])];
  });

/** A detector's heads: boxes and scores of two scales, turned, flattened and joined. */
const detection = () =>
  net('detection', picture(3, 16, 20), (add) => {
    const a = add.layer('Relu', 'relu1', [add.conv('conv1', 'input', 8, 3, { ...SAME, strides: [2, 2] })]);
    const b = add.layer('Relu', 'relu2', [add.conv('conv2', a, 8, 3, { ...SAME, strides: [2, 2] })]);
    const head = (own: string, from: string, out: number, width: number) => {
      const turned = add.layer('Transpose', `${own}.turned`, [add.conv(own, from, out, 3, SAME)], { perm: [0, 2, 3, 1] });
      return add.layer('Reshape', `${own}.flat`, [turned], { shape: [0, -1, width] });
    };
    const boxes = add.layer('Concat', 'boxes', [head('loc1', a, 8, 4), head('loc2', b, 8, 4)], { axis: 1 });
    const scores = add.layer('Concat', 'confidence', [head('conf1', a, 6, 3), head('conf2', b, 6, 3)], { axis: 1 });
    return [boxes, add.layer('Softmax', 'scores', [scores], { axis: 2 })];
  });

/** Super-resolution: PReLU, a sub-pixel shuffle, an enlarged copy of the picture added. */
const enlarging = () =>
  net('super-resolution', picture(3, 10, 12), (add) => {
    const slope = (own: string, from: string) => add.layer('PRelu', own, [from], {}, { slope: values(`super.${own}`, [8, 1, 1], 0.05, 0.4) });
    let x = slope('prelu1', add.conv('conv1', 'input', 8, 5, { pads: [2, 2, 2, 2] }));
    x = slope('prelu2', add.conv('conv2', x, 8, 3, SAME));
    x = add.conv('conv3', x, 12, 3, SAME);
    x = add.layer('DepthToSpace', 'shuffle', [x], { blocksize: 2, mode: 'CRD' });
    const large = add.layer('Resize', 'enlarged', ['input'], { scales: [1, 1, 2, 2], mode: 'linear', coordinate_transformation_mode: 'half_pixel' });
    x = add.layer('Add', 'sum', [x, large]);
    const scaled = add.constant('Mul', 'scaled', x, [1], 0.2, 0.3);
    return [add.constant('Sub', 'centred', scaled, [1, 3, 1, 1], -0.4, 0.5)];
  });

/** A transformer's block over a picture's patches: attention with one head, a wide layer with GELU. */
const transformer = () =>
  net('transformer', picture(3, 12, 12), (add) => {
    const normed = (own: string, from: string) =>
      add.layer(
        'LayerNormalization',
        own,
        [from],
        { axis: -1, epsilon: 1e-5 },
        {
          scale: values(`vit.${own}.scale`, [12], 0.5, 1.5),
          bias: values(`vit.${own}.bias`, [12], -0.5, 0.5),
        },
      );
    const bias = (own: string, from: string, count: number) => add.constant('Add', own, from, [count], -0.3, 0.4);
    const patches = add.conv('patches', 'input', 12, 4, { strides: [4, 4] });
    const tokens = add.layer('Transpose', 'tokens', [add.layer('Reshape', 'flat', [patches], { shape: [0, 12, -1] })], { perm: [0, 2, 1] });
    const x = normed('norm1', add.constant('Add', 'positions', tokens, [1, 9, 12], -0.5, 0.5));
    const [q, k, v] = ['query', 'key', 'value'].map((own) => bias(`${own}.bias`, add.matrix(own, x, 12), 12)) as [string, string, string];
    const scores = add.layer('MatMul', 'scores', [q, add.layer('Transpose', 'turned', [k], { perm: [0, 2, 1] })]);
    const attention = add.layer('Softmax', 'attention', [add.constant('Div', 'scaled', scores, [1], 3, 4)], { axis: -1 });
    const mixed = add.layer('Add', 'residual1', [add.matrix('project', add.layer('MatMul', 'mixed', [attention, v]), 12), x]);
    const wide = add.layer('Gelu', 'gelu', [bias('wide.bias', add.matrix('wide', normed('norm2', mixed), 20), 20)], { approximate: 'none' });
    const y = add.layer('Add', 'residual2', [add.matrix('narrow', wide, 12), mixed]);
    return [add.layer('ReduceMean', 'mean', [y], { axes: [1], keepdims: 0 })];
  });

/** MobileNet v3: gates of hard sigmoids, hard swish. */
const gated = () =>
  net('gated', picture(3, 14, 16), (add) => {
    const a = add.layer('HardSwish', 'swish1', [add.norm('bn1', add.conv('conv1', 'input', 8, 3, { ...SAME, strides: [2, 2] }, false))]);
    const b = add.layer('HardSwish', 'swish2', [add.conv('depthwise', a, 8, [5, 3], { pads: [2, 1, 2, 1], group: 8 })]);
    const squeezed = add.layer('Relu', 'relu', [add.conv('squeeze', add.layer('GlobalAveragePool', 'pooled', [b]), 4, 1)]);
    const gate = add.layer('HardSigmoid', 'gate', [add.conv('excite', squeezed, 8, 1)], { alpha: 1 / 6, beta: 0.5 });
    const x = add.layer('Mul', 'gated', [b, gate]);
    const y = add.layer('Elu', 'elu', [add.conv('project', x, 6, 1)], { alpha: 1 });
    return [add.layer('Tanh', 'tanh', [add.layer('ReduceMean', 'mean', [y], { axes: [2, 3], keepdims: 0 })])];
  });

/** GoogLeNet and DenseNet: normalisation across channels, branches, everything joined. */
const inception = () =>
  net('inception', picture(3, 15, 15), (add) => {
    let x = add.layer('Relu', 'relu1', [add.conv('conv1', 'input', 8, 3, SAME)]);
    x = add.layer('LRN', 'lrn', [x], { size: 5, alpha: 1e-2, beta: 0.75, bias: 1 });
    x = add.layer('MaxPool', 'pool1', [x], { kernel_shape: [3, 3], strides: [2, 2], ceil_mode: 1 });
    const a = add.layer('Relu', 'relu.a', [add.conv('branch.a', x, 6, 1)]);
    const b = add.layer('Relu', 'relu.b', [add.conv('branch.b', add.layer('Relu', 'relu.r', [add.conv('reduce', x, 6, 1)]), 6, 3, SAME)]);
    const c = add.conv('branch.c', add.layer('AveragePool', 'pool2', [x], { kernel_shape: [3, 3], strides: [1, 1], pads: [1, 1, 1, 1] }), 6, 1);
    const joined = add.layer('Concat', 'joined', [a, b, c], { axis: 1 });
    const dense = add.layer('Relu', 'relu.d', [add.norm('bn', add.conv('dense', joined, 6, [3, 5], { pads: [1, 2, 1, 2] }, false))]);
    x = add.layer('Concat', 'grown', [joined, dense], { axis: 1 });
    x = add.layer('AveragePool', 'pool3', [x], { kernel_shape: [2, 2], strides: [2, 2] });
    return [add.layer('Softmax', 'prob', [add.dense('fc', add.layer('Flatten', 'flatten', [x]), 5)], { axis: 1 })];
  });

/** One dimension, as for sounds: long kernels, dilation, SELU. */
const sound = () =>
  net('sound', [{ name: 'input', value: 'input', dtype: 'float32', shape: ['N', 2, 48], layout: 'ncw' }], (add) => {
    let x = add.layer('LeakyRelu', 'leaky', [add.norm('bn1', add.conv('conv1', 'input', 8, [7], { pads: [3, 3], strides: [2] }, false))], { alpha: 0.1 });
    x = add.layer('Selu', 'selu', [add.conv('conv2', x, 8, [3], { pads: [2, 2], dilations: [2] })]);
    x = add.layer('MaxPool', 'pool', [x], { kernel_shape: [2], strides: [2] });
    x = add.layer('Softplus', 'softplus', [add.conv('conv3', x, 8, [3], { pads: [1, 1], group: 2 })]);
    return [add.dense('fc', add.layer('Flatten', 'flatten', [x]), 4)];
  });

/** A picture flattened into dense layers. */
const flattened = () =>
  net('flattened', picture(3, 8, 10), (add) => {
    let x = add.layer('Relu', 'relu1', [add.conv('conv1', 'input', 6, 3)]);
    x = add.layer('AveragePool', 'pool', [x], { kernel_shape: [2, 2], strides: [2, 2] });
    x = add.layer('Tanh', 'tanh', [add.dense('fc1', add.layer('Flatten', 'flatten', [x]), 16)]);
    x = add.layer('Sigmoid', 'sigmoid', [add.dense('fc2', x, 16)]);
    return [add.layer('LogSoftmax', 'log', [add.dense('fc3', x, 5)], { axis: -1 })];
  });

export const FAMILIES: readonly (() => LayerMap)[] = [
  branchedNet,
  depthwise,
  residual,
  transposed,
  detection,
  enlarging,
  transformer,
  gated,
  inception,
  sound,
  flattened,
];
