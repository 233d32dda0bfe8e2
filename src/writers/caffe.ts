/**
 * Writes Caffe: the weights as `.caffemodel` and the net as `.prototxt` beside it, in the layers that BVLC's release has.
 *
 * @see https://github.com/BVLC/caffe/blob/master/src/caffe/proto/caffe.proto
 */
import { MessageBuilder, type Piece, writePieces } from '../containers/protobuf-writer.js';
import { isModelError, ModelError } from '../errors.js';
import type { Dim, Layer, LayerMap, Notice, Port } from '../model/layer-map.js';
import { Names } from '../model/names.js';
import { inferMap, padsInNumbers, type ValueType, windowedSize } from '../model/ops/index.js';
import { portValueShape } from '../model/ports.js';
import { elementCount, float32Tensor, reshape, type Tensor, tensorByteLength, tensorChunks } from '../model/tensor.js';
import { wholeResults } from '../model/whole-numbers.js';
import { operatorInWords } from '../words.js';
import { castWeights } from './cast-weights.js';
import { beyondFloat32, countedNotices } from './float32-arithmetic.js';
import { byteProgress } from './progress.js';
import { CAFFE } from './targets.js';
import type { WriteOptions, Writer } from './writer.js';

const NET = { name: 1, layer: 100 } as const;
const LAYER = { name: 1, type: 2, bottom: 3, top: 4, blobs: 7 } as const;
const BLOB = { data: 5, shape: 7, doubleData: 8 } as const;

export const caffe: Writer = {
  carries: 'model',
  ...CAFFE,

  hasOperator: async () => false,

  async check(map, options) {
    const errors = plan(map).obstacles;
    if (options.dtype !== 'source' && !CAFFE.dtypes.includes(options.dtype))
      errors.push(new ModelError('usage', `Caffe files are not written in ${options.dtype}. Possible: ${CAFFE.dtypes.join(', ')}.`));
    return errors;
  },

  async write(map, sink, name, options) {
    const { layers, obstacles, warnings } = plan(map);
    if (obstacles[0]) throw obstacles[0];
    const blobs = layers.flatMap((layer) => layer.blobs);
    const { store, notices } = storage(blobs, options);
    const total = blobs.reduce((sum, blob) => sum + tensorByteLength(store(blob)), 0);
    const model = await sink.create(name);
    const net = new MessageBuilder().string(NET.name, map.name || 'model');
    for (const layer of layers) net.message(NET.layer, layerMessage(layer, store));
    await writePieces(net.pieces, model, byteProgress(total, options));
    await model.close();
    const prototxt = await sink.create(`${name.replace(/\.[^./]+$/, '')}${CAFFE.beside}`);
    await prototxt.write(new TextEncoder().encode(prototxtOf(map, layers, await options.metadata())));
    await prototxt.close();
    return { warnings: [...warnings, ...notices()] };
  },
};

/** A layer of the file. */
interface CaffeLayer {
  readonly name: string;
  readonly type: string;
  readonly bottoms: readonly string[];
  readonly tops: readonly string[];
  /** The block of settings: its name and its fields; a list is a repeated field. */
  readonly settings: Readonly<Record<string, Settings>>;
  readonly blobs: readonly Tensor[];
}

interface Settings {
  readonly [field: string]: Setting | readonly Setting[] | Settings;
}

type Setting = number | boolean | string | { readonly word: string };

function plan(map: LayerMap): { layers: readonly CaffeLayer[]; obstacles: ModelError[]; warnings: readonly Notice[] } {
  const obstacles: ModelError[] = [];
  let types: ReadonlyMap<string, ValueType>;
  try {
    types = inferMap(map);
  } catch (error) {
    if (!isModelError(error)) throw error;
    return { layers: [], obstacles: [error], warnings: [] };
  }
  const whole = wholeResults(map, types);
  const shapes = new Map([...types].flatMap(([name, { shape }]) => (shape ? [[name, shape] as const] : [])));
  const builder = new NetBuilder(shapes);
  for (const port of map.inputs) {
    const problem = builder.addInput(port);
    if (problem !== null) obstacles.push(new ModelError('unsupported', `the input "${port.name}": ${problem}`));
  }
  for (const layer of map.layers) {
    const rule = RULES[layer.op];
    const isKnown = rule && layer.outputs.length === 1;
    const problem = isKnown ? (beyondFloat32(layer, whole) ?? rule(layer, builder)) : `${operatorInWords(layer)} has no translation to Caffe`;
    if (typeof problem === 'string') {
      obstacles.push(new ModelError('unsupported', problem, { layer: layer.name }));
      builder.pretend(layer);
    }
  }
  for (const port of map.outputs) builder.addOutput(port);
  return { layers: builder.layers, obstacles, warnings: countedNotices(map.layers, whole) };
}

class NetBuilder {
  readonly layers: CaffeLayer[] = [];
  readonly #blobNames = new Map<string, string>();
  readonly #names = new Names();
  readonly #tops = new Names();

  constructor(readonly shapes: ReadonlyMap<string, readonly Dim[]>) {}

  addInput(port: Port): string | null {
    const shape = portValueShape(port);
    // Caffe's nets have a batch of a given size, which a caller may change.
    const sizes = shape.map((size, axis) => (typeof size === 'string' ? (axis === 0 ? 1 : null) : size));
    if (sizes.includes(null)) return `its shape is [${shape}], and a Caffe net has sizes; --input-shape gives them`;
    const top = this.#top(port.value, port.name);
    this.layers.push({
      name: this.#names.take(port.name),
      type: 'Input',
      bottoms: [],
      tops: [top],
      settings: { input_param: { shape: { dim: sizes as number[] } } },
      blobs: [],
    });
    return null;
  }

  /** The last layer of a map's layer; gives its top the value's name. */
  add(
    layer: Layer,
    type: string,
    settings: CaffeLayer['settings'],
    blobs: readonly Tensor[] = [],
    bottoms = layer.inputs.map((value) => this.blob(value)),
  ): null {
    this.#push(layer.name, type, bottoms, this.#top(layer.outputs[0]!, layer.name), settings, blobs);
    return null;
  }

  /** A layer before the last one of a map's layer; gives the name of its top. */
  before(layer: Layer, suffix: string, type: string, settings: CaffeLayer['settings'], blobs: readonly Tensor[], bottoms: readonly string[]): string {
    const top = this.#tops.take(`${layer.name}/${suffix}`);
    this.#push(`${layer.name}/${suffix}`, type, bottoms, top, settings, blobs);
    return top;
  }

  /** One part of what is cut at the given points; the others are taken in by a layer that gives nothing, so that they are no outputs. */
  addSlice(layer: Layer, axis: number, points: readonly number[], wanted: number): null {
    const tops = Array.from({ length: points.length + 1 }, (_, i) =>
      i === wanted ? this.#top(layer.outputs[0]!, layer.name) : this.#tops.take(`${layer.name}/rest`),
    );
    const settings = { slice_param: { axis, slice_point: points } };
    this.layers.push({ name: this.#names.take(layer.name), type: 'Slice', bottoms: [this.blob(layer.inputs[0]!)], tops, settings, blobs: [] });
    const rest = tops.filter((_, i) => i !== wanted);
    this.layers.push({ name: this.#names.take(`${layer.name}/silence`), type: 'Silence', bottoms: rest, tops: [], settings: {}, blobs: [] });
    return null;
  }

  addOutput(port: Port): void {
    const blob = this.blob(port.value);
    const isRead = this.layers.some(({ bottoms }) => bottoms.includes(blob));
    // A net's outputs are the blobs that no layer reads; one that is read gets a copy.
    if (isRead || this.layers.some(({ type, tops }) => type === 'Input' && tops.includes(blob))) {
      const top = this.#tops.take(port.name);
      this.#push(port.name, 'Split', [blob], top, {}, []);
    }
  }

  blob(value: string): string {
    return this.#blobNames.get(value)!;
  }

  shape(value: string): readonly Dim[] {
    return this.shapes.get(value)!;
  }

  /** Goes on after an obstacle, so that the next ones are found too. */
  pretend(layer: Layer): void {
    for (const output of layer.outputs) if (!this.#blobNames.has(output)) this.#top(output, layer.name);
  }

  #push(name: string, type: string, bottoms: readonly string[], top: string, settings: CaffeLayer['settings'], blobs: readonly Tensor[]): void {
    this.layers.push({ name: this.#names.take(name), type, bottoms, tops: [top], settings, blobs });
  }

  #top(value: string, wanted: string): string {
    const top = this.#tops.take(wanted);
    this.#blobNames.set(value, top);
    return top;
  }
}

/** Adds what the layer is; a text says why it cannot be said. */
type Rule = (layer: Layer, net: NetBuilder) => string | null;

const number = (layer: Layer, name: string) => layer.attributes[name] as number;
const numbers = (layer: Layer, name: string) => layer.attributes[name] as readonly number[];
const word = (text: string): Setting => ({ word: text });

/** Fields of one size for each spatial axis, as Caffe's pairs `kernel_h`, `kernel_w` or its lists. */
function perAxis(name: string, values: readonly number[]): Settings {
  if (values.every((value) => value === values[0])) return { [name]: values[0]! };
  const short = { kernel_size: 'kernel', stride: 'stride', pad: 'pad' }[name];
  return values.length === 2 && short ? { [`${short}_h`]: values[0]!, [`${short}_w`]: values[1]! } : { [name]: values };
}

/** The same padding on both sides of each axis, worked out where auto_pad says SAME; a text where it is not. */
function evenPads(layer: Layer, net: NetBuilder): readonly number[] | string {
  const rank = numbers(layer, 'kernel_shape').length;
  const pads = padsInNumbers(layer, net.shape(layer.inputs[0]!).slice(2));
  if (!pads)
    return `${layer.op} with ${layer.attributes.auto_pad} over a picture of free size, and Caffe wants its padding in numbers; --input-shape gives the size`;
  const before = pads.slice(0, rank);
  return before.every((amount, axis) => amount === pads[axis + rank]) ? before : `${layer.op} pads [${pads}], and Caffe pads both sides alike`;
}

function convolution(type: 'Convolution' | 'Deconvolution'): Rule {
  return (layer, net) => {
    const kernel = layer.weights.kernel!;
    const pads = evenPads(layer, net);
    if (typeof pads === 'string') return pads;
    const group = number(layer, 'group');
    if (type === 'Deconvolution' && numbers(layer, 'output_padding').some((amount) => amount !== 0))
      return 'ConvTranspose with output_padding, which Caffe has not';
    const dilations = numbers(layer, 'dilations');
    const settings: Settings = {
      num_output: type === 'Convolution' ? kernel.shape[0]! : kernel.shape[1]! * group,
      bias_term: layer.weights.bias !== undefined,
      ...perAxis('kernel_size', numbers(layer, 'kernel_shape')),
      ...perAxis('stride', numbers(layer, 'strides')),
      ...(pads.some((pad) => pad !== 0) ? perAxis('pad', pads) : {}),
      ...(dilations.some((dilation) => dilation !== 1) ? { dilation: dilations } : {}),
      ...(group === 1 ? {} : { group }),
    };
    return net.add(layer, type, { convolution_param: settings }, weightsOf(layer, 'kernel', 'bias'));
  };
}

/** Caffe rounds the number of windows up, and leaves out one that would begin in the padding behind. */
function pooling(method: 'MAX' | 'AVE'): Rule {
  return (layer, net) => {
    const pads = evenPads(layer, net);
    if (typeof pads === 'string') return pads;
    const kernel = numbers(layer, 'kernel_shape');
    if (kernel.length !== 2) return `${layer.op} over ${kernel.length} axes; Caffe pools pictures`;
    if (numbers(layer, 'dilations')?.some((dilation) => dilation !== 1)) return `${layer.op} with a dilation, which Caffe has not`;
    const strides = numbers(layer, 'strides');
    const sizes = net.shape(layer.inputs[0]!).slice(2);
    let isFloored = false;
    for (const [axis, size] of sizes.entries()) {
      if (typeof size === 'string') return `${layer.op} of a picture of free size, for which Caffe's rounding may differ; --input-shape gives it`;
      const span = (size + 2 * pads[axis]! - kernel[axis]!) / strides[axis]!;
      const up = Math.ceil(span) + 1;
      const inCaffe = pads[axis]! > 0 && (up - 1) * strides[axis]! >= size + pads[axis]! ? up - 1 : up;
      const wanted = windowedSize(size, axis, layer);
      if (inCaffe === wanted) continue;
      if (Math.floor(span) + 1 !== wanted) return `${layer.op} makes ${wanted} of ${size}, where Caffe would make ${inCaffe}`;
      isFloored = true;
    }
    const floors = (size: Dim, axis: number) =>
      Math.floor(((size as number) + 2 * pads[axis]! - kernel[axis]!) / strides[axis]!) + 1 === windowedSize(size, axis, layer);
    if (isFloored && !sizes.every(floors)) return `${layer.op} rounds down along one axis and up along another`;
    const isExact = pads.every((pad) => pad === 0) && sizes.every((size, axis) => Number.isInteger(((size as number) - kernel[axis]!) / strides[axis]!));
    // The last window is cut off in Caffe, and its mean is over what is left with the padding.
    if (method === 'AVE' && !isExact && !(number(layer, 'count_include_pad') === 1 || pads.every((pad) => pad === 0)))
      return 'AveragePool that leaves padding out; Caffe counts it';
    const settings = {
      pool: word(method),
      ...perAxis('kernel_size', kernel),
      ...perAxis('stride', strides),
      ...(pads.some((pad) => pad !== 0) ? perAxis('pad', pads) : {}),
      // BVLC's own, since 2018; before, Caffe only rounded up.
      ...(isFloored ? { round_mode: word('FLOOR') } : {}),
    };
    return net.add(layer, 'Pooling', { pooling_param: settings });
  };
}

function globalPooling(method: 'MAX' | 'AVE'): Rule {
  return (layer, net) => {
    if (net.shape(layer.inputs[0]!).length !== 4) return `${layer.op} over other axes than those of a picture`;
    return net.add(layer, 'Pooling', { pooling_param: { pool: word(method), global_pooling: true } });
  };
}

const plain =
  (type: string, settings: (layer: Layer) => CaffeLayer['settings'] = () => ({})): Rule =>
  (layer, net) =>
    net.add(layer, type, settings(layer));

const power = (settings: Settings): Rule => plain('Power', () => ({ power_param: settings }));

const eltwise =
  (operation: string, coeff?: readonly number[]): Rule =>
  (layer, net) => {
    const constant = layer.weights.operand;
    if (constant) return withConstant(layer, net, constant);
    const shapes = layer.inputs.map((value) => net.shape(value));
    if (layer.op === 'Mul' && isPerChannel(shapes)) return scaledByChannels(layer, net);
    if (shapes.some((shape) => shape.join() !== shapes[0]!.join()))
      return `${layer.op} of values of different shapes (${shapes.map((shape) => `[${shape}]`).join(', ')})`;
    if (layer.inputs.length === 1) return net.add(layer, 'Split', {});
    return net.add(layer, 'Eltwise', { eltwise_param: { operation: word(operation), ...(coeff ? { coeff } : {}) } });
  };

/** One factor for each channel of each picture, as squeeze-and-excitation has it. */
function isPerChannel([x, factors]: readonly (readonly Dim[])[]): boolean {
  if (!x || !factors || x.join() === factors.join()) return false;
  return factors.length === x.length && factors.every((size, axis) => (axis < 2 ? size === x[axis] : size === 1));
}

/** Scale takes its factors from a second bottom, whose axes are the leading ones. */
function scaledByChannels(layer: Layer, net: NetBuilder): null {
  const [x, factors] = layer.inputs.map((value) => net.blob(value)) as [string, string];
  const rows = net.before(layer, 'factors', 'Flatten', {}, [], [factors]);
  return net.add(layer, 'Scale', { scale_param: { axis: 0 } }, [], [x, rows]);
}

/** A constant for each channel is a Scale or a Bias; a single one is a Power. */
function withConstant(layer: Layer, net: NetBuilder, constant: Tensor): string | null {
  const shape = net.shape(layer.inputs[0]!);
  const channels = shape[1];
  const axis = constant.shape.length - shape.length + 1;
  const isPerChannel = constant.shape.every((size, i) => size === 1 || (i === axis && size === channels)) && constant.shape.length <= shape.length;
  const isSingle = elementCount(constant.shape) === 1;
  if (!isPerChannel && !isSingle) return `${layer.op} with a constant of the shape [${constant.shape}]; Caffe has one for each channel`;
  if (typeof channels !== 'number') return `${layer.op} with a constant over a free number of channels`;
  const row = isSingle ? repeated(constant, channels) : reshape(constant, [channels]);
  if (layer.op === 'Mul') return net.add(layer, 'Scale', { scale_param: { axis: 1 } }, [row]);
  if (layer.op === 'Add') return net.add(layer, 'Bias', { bias_param: { axis: 1 } }, [row]);
  return `${layer.op} with a constant, which Caffe's layers do not have`;
}

function repeated(tensor: Tensor, count: number): Tensor {
  const { walk, ...rest } = reshape(tensor, [1]);
  return { ...rest, shape: [count], walk: { ...walk, axes: [[{ size: count, stride: 0 }]] } };
}

function weightsOf(layer: Layer, ...roles: readonly string[]): Tensor[] {
  return roles.flatMap((role) => layer.weights[role] ?? []);
}

const ORIGIN = { file: 'weighbridge' };

const RULES: Readonly<Record<string, Rule>> = {
  Conv: convolution('Convolution'),
  ConvTranspose: convolution('Deconvolution'),
  Gemm: (layer, net) => {
    const settings = { num_output: layer.weights.kernel!.shape[0]!, bias_term: layer.weights.bias !== undefined };
    return net.add(layer, 'InnerProduct', { inner_product_param: settings }, weightsOf(layer, 'kernel', 'bias'));
  },
  BatchNormalization: (layer, net) => {
    const { scale, bias, mean, variance } = layer.weights as Record<'scale' | 'bias' | 'mean' | 'variance', Tensor>;
    const statistics = [mean, variance, float32Tensor('factor', [1], [1], ORIGIN)];
    const top = net.before(layer, 'statistics', 'BatchNorm', { batch_norm_param: { use_global_stats: true, eps: number(layer, 'epsilon') } }, statistics, [
      net.blob(layer.inputs[0]!),
    ]);
    return net.add(layer, 'Scale', { scale_param: { axis: 1, bias_term: true } }, [scale, bias], [top]);
  },
  Relu: plain('ReLU'),
  LeakyRelu: plain('ReLU', (layer) => ({ relu_param: { negative_slope: number(layer, 'alpha') } })),
  PRelu: (layer, net) => {
    const slope = layer.weights.slope!;
    const channels = net.shape(layer.inputs[0]!)[1];
    const count = elementCount(slope.shape);
    if (count !== 1 && (count !== channels || slope.shape[0] !== channels))
      return `PRelu with a slope of the shape [${slope.shape}]; Caffe has one for each channel`;
    return net.add(layer, 'PReLU', { prelu_param: { channel_shared: count === 1 } }, [reshape(slope, [count])]);
  },
  Elu: plain('ELU', (layer) => ({ elu_param: { alpha: number(layer, 'alpha') } })),
  Sigmoid: plain('Sigmoid'),
  Tanh: plain('TanH'),
  Softplus: plain('BNLL'),
  Exp: plain('Exp'),
  Log: plain('Log'),
  Abs: plain('AbsVal'),
  Neg: power({ scale: -1 }),
  Sqrt: power({ power: 0.5 }),
  Identity: plain('Split'),
  Clip: (layer, net) => {
    const [min, max] = [number(layer, 'min'), number(layer, 'max')];
    if (min === 0 && max === Number.POSITIVE_INFINITY) return net.add(layer, 'ReLU', {});
    if (!Number.isFinite(min) || !Number.isFinite(max)) return `a Clip from ${min} to ${max}; Caffe's has two bounds`;
    return net.add(layer, 'Clip', { clip_param: { min, max } });
  },
  Softmax: (layer, net) => net.add(layer, 'Softmax', { softmax_param: { axis: front(layer, net) } }),
  LogSoftmax: (layer, net) => {
    const bottoms = [net.blob(layer.inputs[0]!)];
    return net.add(layer, 'Log', {}, [], [net.before(layer, 'softmax', 'Softmax', { softmax_param: { axis: front(layer, net) } }, [], bottoms)]);
  },
  LRN: (layer, net) => {
    if (number(layer, 'size') % 2 === 0) return 'LRN of an even size; Caffe takes odd ones';
    return net.add(layer, 'LRN', {
      lrn_param: { local_size: number(layer, 'size'), alpha: number(layer, 'alpha'), beta: number(layer, 'beta'), k: number(layer, 'bias') },
    });
  },
  MaxPool: pooling('MAX'),
  AveragePool: pooling('AVE'),
  GlobalMaxPool: globalPooling('MAX'),
  GlobalAveragePool: globalPooling('AVE'),
  Flatten: (layer, net) => {
    const axis = number(layer, 'axis');
    return axis === 1 ? net.add(layer, 'Flatten', {}) : `Flatten from axis ${axis}, which merges the batch`;
  },
  Reshape: (layer, net) => net.add(layer, 'Reshape', { reshape_param: { shape: { dim: numbers(layer, 'shape') } } }),
  Concat: (layer, net) => net.add(layer, 'Concat', { concat_param: { axis: front(layer, net) } }),
  Add: eltwise('SUM'),
  Sub: (layer, net) => (layer.weights.operand ? 'Sub with a constant, which Caffe has not' : eltwise('SUM', [1, -1])(layer, net)),
  Mul: eltwise('PROD'),
  Max: eltwise('MAX'),
  Sum: eltwise('SUM'),
  Slice: (layer, net) => {
    const [axes, starts, ends] = [numbers(layer, 'axes'), numbers(layer, 'starts'), numbers(layer, 'ends')];
    if (axes.length !== 1) return 'Slice along several axes at once';
    const axis = axes[0]! < 0 ? axes[0]! + net.shape(layer.inputs[0]!).length : axes[0]!;
    const size = net.shape(layer.inputs[0]!)[axis];
    if (typeof size !== 'number') return 'Slice of an axis of free size';
    const at = (value: number) => Math.max(0, Math.min(size, value < 0 ? value + size : value));
    const points = [...new Set([at(starts[0]!), at(ends[0]!)])].filter((point) => point > 0 && point < size);
    if (points.length === 0) return net.add(layer, 'Split', {});
    return net.addSlice(layer, axis, points, at(starts[0]!) === 0 ? 0 : 1);
  },
};

function front(layer: Layer, net: NetBuilder): number {
  const axis = number(layer, 'axis');
  return axis < 0 ? axis + net.shape(layer.inputs[0]!).length : axis;
}

function storage(blobs: readonly Tensor[], { dtype }: WriteOptions) {
  // Caffe knows two floats; what is narrower is widened.
  const { tensors, notices } = castWeights(blobs, dtype, (own) => own === 'float32' || own === 'float64');
  const stored = new Map(blobs.map((blob, i) => [blob, tensors[i]!]));
  return { store: (blob: Tensor) => stored.get(blob)!, notices };
}

/** The weights of a layer under its name; the settings stand in the prototxt. */
function layerMessage({ name, type, bottoms, tops, blobs }: CaffeLayer, store: (blob: Tensor) => Tensor): MessageBuilder {
  const message = new MessageBuilder().string(LAYER.name, name).string(LAYER.type, type);
  for (const bottom of bottoms) message.string(LAYER.bottom, bottom);
  for (const top of tops) message.string(LAYER.top, top);
  for (const blob of blobs) {
    const tensor = store(blob);
    const span: Piece = { byteLength: tensorByteLength(tensor), chunks: () => tensorChunks(tensor) };
    const shape = new MessageBuilder();
    for (const size of tensor.shape) shape.int(1, size);
    message.message(LAYER.blobs, new MessageBuilder().message(BLOB.shape, shape).bytes(tensor.dtype === 'float64' ? BLOB.doubleData : BLOB.data, span));
  }
  return message;
}

function prototxtOf(map: LayerMap, layers: readonly CaffeLayer[], metadata: Readonly<Record<string, string>>): string {
  const facts = Object.entries(metadata).map(([key, value]) => `# ${key}: ${value.replaceAll(/[^\x20-\x7e]/g, '?')}`);
  const blocks = layers.map(({ name, type, bottoms, tops, settings }) => {
    const lines = [
      `name: ${quoted(name)}`,
      `type: ${quoted(type)}`,
      ...bottoms.map((bottom) => `bottom: ${quoted(bottom)}`),
      ...tops.map((top) => `top: ${quoted(top)}`),
    ];
    return ['layer {', ...[...lines, ...settingLines(settings)].map((line) => `  ${line}`), '}'].join('\n');
  });
  return `${[...facts, `name: ${quoted(map.name || 'model')}`, ...blocks].join('\n')}\n`;
}

function settingLines(settings: Settings): string[] {
  return Object.entries(settings).flatMap(([field, value]): string[] => {
    if (Array.isArray(value)) return value.map((item) => `${field}: ${settingText(item)}`);
    if (typeof value !== 'object' || 'word' in value) return [`${field}: ${settingText(value as Setting)}`];
    return [`${field} {`, ...settingLines(value as Settings).map((line) => `  ${line}`), '}'];
  });
}

function settingText(value: Setting): string {
  if (typeof value === 'string') return quoted(value);
  return typeof value === 'object' ? value.word : String(value);
}

/** A string of protobuf's text format: bytes beyond ASCII in octal. */
function quoted(text: string): string {
  const bytes = [...new TextEncoder().encode(text)].map((byte) => {
    const character = String.fromCharCode(byte);
    if (byte < 32 || byte > 126) return `\\${byte.toString(8).padStart(3, '0')}`;
    return character === '"' || character === '\\' ? `\\${character}` : character;
  });
  return `"${bytes.join('')}"`;
}
