/** Faults that fit a net, as a change of its layer map: whatever format it is written in then has them, in layers that keep their names. */
import type { AttributeValue, Layer, LayerMap } from '../../../src/model/layer-map.js';
import { inferMap, makeLayer } from '../../../src/model/ops/index.js';
import { computedTensor, type Tensor, tensorBytes } from '../../../src/model/tensor.js';
import { roundToHalf } from '../../../src/verify/half.js';

export interface MapFault {
  readonly kind: string;
  readonly layer: string;
  /** Kinds of causes by which it may rightly be called. */
  readonly causes: readonly string[];
  readonly change: (map: LayerMap) => LayerMap;
}

type Rule = (layer: Layer, map: LayerMap) => Iterable<Omit<MapFault, 'layer'>>;

/** A weight with other values. */
function valued(tensor: Tensor, of: (data: Float32Array) => Float32Array): Tensor {
  return computedTensor(tensor.name, tensor.dtype, tensor.shape, tensor.origin, async () => {
    const bytes = Uint8Array.from(await tensorBytes(tensor));
    return new Uint8Array(of(new Float32Array(bytes.buffer)).buffer);
  });
}

function replaced(name: string, make: (layer: Layer, map: LayerMap) => Layer): MapFault['change'] {
  return (map) => ({ ...map, layers: map.layers.map((layer) => (layer.name === name ? make(layer, map) : layer)) });
}

const weight = (name: string, role: string, of: (data: Float32Array) => Float32Array) =>
  replaced(name, (layer) => ({ ...layer, weights: { ...layer.weights, [role]: valued(layer.weights[role]!, of) } }));

const values = (name: string, role: string, of: (value: number, i: number, data: Float32Array) => number) =>
  weight(name, role, (data) => Float32Array.from(data, (value, i) => of(value, i, data)));

/** The value at an index becomes the one at another. */
function rearranged({ name, weights }: Layer, role: string, from: (index: number[], dims: readonly number[]) => number[]): MapFault['change'] {
  const dims = weights[role]!.shape;
  return values(name, role, (_, i, data) => data[from(indexOf(i, dims), dims).reduce((at, place, axis) => at * dims[axis]! + place, 0)]!);
}

function indexOf(position: number, dims: readonly number[]): number[] {
  const index: number[] = [];
  let rest = position;
  for (const size of dims.toReversed()) {
    index.unshift(rest % size);
    rest = Math.floor(rest / size);
  }
  return index;
}

const setting = (name: string, key: string, value: AttributeValue) =>
  replaced(name, (layer) => ({ ...layer, attributes: { ...layer.attributes, [key]: value } }));

const becomes = (name: string, op: string, attributes: Record<string, AttributeValue> = {}) =>
  replaced(name, ({ inputs, outputs }) => makeLayer({ name, op, inputs: inputs.slice(0, 1), outputs, attributes }));

const exchanged = (name: string, a: string, b: string) =>
  replaced(name, (layer) => ({ ...layer, weights: { ...layer.weights, [a]: layer.weights[b]!, [b]: layer.weights[a]! } }));

/** What read the layer reads what it read. */
function skipped(name: string): MapFault['change'] {
  return (map) => {
    const { inputs, outputs } = map.layers.find((layer) => layer.name === name)!;
    const moved = (value: string) => (value === outputs[0] ? inputs[0]! : value);
    return {
      ...map,
      layers: map.layers.filter((layer) => layer.name !== name).map((layer) => ({ ...layer, inputs: layer.inputs.map(moved) })),
      outputs: map.outputs.map((port) => ({ ...port, value: moved(port.value) })),
    };
  };
}

/** A copy: of one weight that two layers share, a writer may make one layer. */
const stolen = (name: string, role: string, from: string) =>
  replaced(name, (layer, map) => {
    const other = map.layers.find((each) => each.name === from)!.weights[role]!;
    return { ...layer, weights: { ...layer.weights, [role]: valued({ ...other, name: layer.weights[role]!.name }, (data) => data) } };
  });

const kernels: Rule = function* (layer, map) {
  if ((layer.op !== 'Conv' && layer.op !== 'ConvTranspose') || layer.weights.kernel?.dtype !== 'float32') return;
  const { name } = layer;
  const [out, inner, ...window] = layer.weights.kernel.shape as [number, number, ...number[]];
  const is = (kind: string, causes: readonly string[], change: MapFault['change']) => ({ kind, causes, change });
  const moved = (from: (index: number[], dims: readonly number[]) => number[]) => rearranged(layer, 'kernel', from);
  if (window.length === 2 && window[0] === window[1] && window[0]! > 1)
    yield is(
      'kernel transposed (height and width)',
      ['kernel-transposed'],
      moved(([o, i, h, w]) => [o!, i!, w!, h!]),
    );
  if (window.every((size) => size > 1))
    yield is(
      'kernel flipped',
      ['kernel-flipped'],
      moved(([o, i, ...at], [, , ...dims]) => [o!, i!, ...at.map((p, axis) => dims[axis]! - 1 - p)]),
    );
  if (out === inner && out > 1)
    yield is(
      'input and output channels exchanged',
      ['axes-exchanged', 'kernel-transposed'],
      moved(([o, i, ...at]) => [i!, o!, ...at]),
    );
  if (out > 1)
    yield is(
      'two output channels swapped',
      ['channels-permuted', 'axes-exchanged', 'channels-reversed'],
      moved(([o, ...rest]) => [o === 0 ? 1 : o === 1 ? 0 : o!, ...rest]),
    );
  if (inner > 1)
    yield is(
      'input channels reversed',
      ['channels-reversed', 'input-bgr', 'reads-reversed'],
      moved(([o, i, ...at]) => [o!, inner - 1 - i!, ...at]),
    );
  const row = layer.weights.kernel.shape.slice(1).reduce((a, b) => a * b, 1);
  yield is(
    'channel zeroed',
    ['some-channels'],
    values(name, 'kernel', (value, i) => (i < row ? 0 : value)),
  );
  yield is(
    'off-by-one span',
    ['span'],
    values(name, 'kernel', (_, i, data) => data[i + 1] ?? 0),
  );
  yield is('kernel rounded to float16', ['narrower'], values(name, 'kernel', roundToHalf));
  yield is(
    'kernel cut to bfloat16',
    ['narrower'],
    weight(name, 'kernel', (data) => new Float32Array(new Uint32Array(data.buffer).map((bits) => bits & 0xffff0000).buffer)),
  );
  yield is(
    'kernel scaled',
    ['scaled', 'channel-scale'],
    values(name, 'kernel', (value) => value * 1.01),
  );
  const twin = map.layers.find((other) => other !== layer && other.op === layer.op && `${other.weights.kernel?.shape}` === `${layer.weights.kernel!.shape}`);
  if (twin) yield is('weights of another layer', ['weights-of-another'], stolen(name, 'kernel', twin.name));
};

const windows: Rule = function* (layer, map) {
  const { name, op, attributes } = layer;
  const { pads, dilations, kernel_shape } = attributes as Readonly<Record<string, readonly number[] | undefined>>;
  if (op === 'MaxPool') yield { kind: 'average for max pooling', causes: ['pooling'], change: pooled(name, 'AveragePool') };
  if (op === 'AveragePool') yield { kind: 'max for average pooling', causes: ['pooling'], change: pooled(name, 'MaxPool') };
  if (op === 'AveragePool' && pads?.some((pad) => pad > 0))
    yield {
      kind: 'padding counted by average pooling',
      causes: ['count-include-pad'],
      change: setting(name, 'count_include_pad', 1 - Number(attributes.count_include_pad)),
    };
  if (op !== 'Conv' || !pads?.some((pad) => pad > 0)) return;
  const half = pads.length / 2;
  yield {
    kind: 'padding on the other side',
    causes: ['padding'],
    change: setting(
      name,
      'pads',
      pads.map((pad, i) => (i < half ? pad + pads[i + half]! : 0)),
    ),
  };
  const isWide = (inferMap(map).get(layer.outputs[0]!)?.shape?.slice(2) ?? []).some((size) => size !== 1);
  if (isWide && dilations?.every((size) => size === 1) && kernel_shape?.every((size) => size === 3))
    yield {
      kind: 'dilation',
      causes: ['dilation'],
      change: replaced(name, (own) => ({
        ...own,
        attributes: { ...own.attributes, dilations: dilations.map(() => 2), pads: pads.map((pad) => pad + 1) },
      })),
    };
};

function pooled(name: string, op: string): MapFault['change'] {
  return replaced(name, ({ inputs, outputs, attributes: { kernel_shape, strides, pads, ceil_mode } }) =>
    makeLayer({
      name,
      op,
      inputs,
      outputs: outputs.slice(0, 1),
      attributes: { kernel_shape: kernel_shape!, strides: strides!, pads: pads!, ceil_mode: ceil_mode! },
    }),
  );
}

const biases: Rule = function* ({ name, op, weights }) {
  if (weights.bias?.dtype !== 'float32' || op === 'BatchNormalization') return;
  const vary = (kind: string, causes: readonly string[], of: (value: number, i: number, data: Float32Array) => number) => ({
    kind,
    causes,
    change: values(name, 'bias', of),
  });
  yield vary('bias dropped', ['bias-missing', 'channel-bias'], () => 0);
  yield vary('bias doubled', ['bias-doubled', 'channel-bias'], (value) => 2 * value);
  if (weights.bias.shape[0] !== 1) yield vary('bias shifted by one channel', ['shifted'], (_, i, data) => data[(i + 1) % data.length]!);
  yield vary('bias of one channel dropped', ['some-channels', 'channel-bias', 'some-values'], (value, i) => (i === 1 ? 0 : value));
  yield {
    kind: 'byte order',
    causes: ['byte-order'],
    change: weight(name, 'bias', (data) => {
      const bytes = new Uint8Array(data.buffer);
      for (let i = 0; i < bytes.length; i += 4) bytes.subarray(i, i + 4).reverse();
      return data;
    }),
  };
};

const normalisations: Rule = function* ({ name, op, attributes, weights }) {
  const epsilon = Number(attributes.epsilon ?? 0);
  if (epsilon > 0) yield { kind: 'epsilon', causes: ['epsilon'], change: setting(name, 'epsilon', epsilon > 1e-4 ? 1e-5 : 1e-3) };
  if (weights.scale && weights.bias) yield { kind: 'scale and bias exchanged', causes: ['weights-exchanged'], change: exchanged(name, 'scale', 'bias') };
  if (op !== 'BatchNormalization') return;
  yield { kind: 'bias of a normalisation dropped', causes: ['bias-missing', 'channel-bias'], change: values(name, 'bias', () => 0) };
  yield { kind: 'standard deviation for variance', causes: ['variance-as-deviation'], change: values(name, 'variance', Math.sqrt) };
  yield {
    kind: 'inverse of the deviation for variance',
    causes: ['variance-inverse'],
    change: values(name, 'variance', (value) => 1 / Math.sqrt(value + epsilon)),
  };
  yield { kind: 'mean dropped', causes: ['mean-missing', 'channel-bias'], change: values(name, 'mean', () => 0) };
};

const activations: Rule = function* ({ name, op, attributes }) {
  const is = (kind: string, causes: readonly string[], change: MapFault['change']) => ({ kind, causes, change });
  if (['Relu', 'Clip', 'LeakyRelu', 'Elu', 'Sigmoid', 'Tanh', 'HardSigmoid', 'HardSwish', 'Gelu', 'Softmax', 'PRelu'].includes(op))
    yield is(`${op} missing`, ['activation-missing', 'layer-missing'], skipped(name));
  if (op === 'Relu') {
    yield is('ReLU6 for ReLU', ['activation', 'clip'], becomes(name, 'Clip', { min: 0, max: 6 }));
    yield is('LeakyReLU for ReLU', ['slope'], becomes(name, 'LeakyRelu', { alpha: 0.1 }));
  }
  if (op === 'Clip') yield is('ReLU for ReLU6', ['activation', 'max', 'clip'], becomes(name, 'Relu'));
  if (op === 'LeakyRelu') yield is('slope of a LeakyReLU', ['alpha', 'slope'], setting(name, 'alpha', Number(attributes.alpha) === 0.3 ? 0.2 : 0.3));
  if (op === 'Elu') yield is('slope of an ELU', ['alpha'], setting(name, 'alpha', 0.5));
  if (op === 'PRelu')
    yield is(
      'slopes shifted by one channel',
      ['shifted'],
      values(name, 'slope', (_, i, data) => data[(i + 1) % data.length]!),
    );
  if (op === 'Sigmoid') yield is('tanh for sigmoid', ['activation'], becomes(name, 'Tanh'));
  if (op === 'Tanh') yield is('softsign for tanh', ['activation'], becomes(name, 'Softsign'));
  if (op === 'Gelu')
    yield is('form of a GELU', ['approximate', 'gelu-form'], setting(name, 'approximate', attributes.approximate === 'tanh' ? 'none' : 'tanh'));
  if (op === 'Softmax') yield is('sigmoid for softmax', ['activation'], becomes(name, 'Sigmoid'));
};

const products: Rule = function* (layer, map) {
  const { name, op, weights } = layer;
  if ((op !== 'Gemm' && op !== 'MatMul') || weights.kernel?.dtype !== 'float32') return;
  const [rows, columns] = weights.kernel.shape as [number, number];
  if (rows === columns) yield { kind: 'dense matrix transposed', causes: ['matrix-transposed'], change: rearranged(layer, 'kernel', ([o, i]) => [i!, o!]) };
  else if (rows > 1 && columns > 1)
    yield {
      kind: 'dense matrix laid out the other way',
      causes: ['matrix-transposed', 'flatten-order', 'channels-shuffled'],
      change: values(name, 'kernel', (_, at, data) => data[(at % rows) * columns + Math.floor(at / rows)]!),
    };
  yield { kind: 'kernel rounded to float16', causes: ['narrower'], change: values(name, 'kernel', roundToHalf) };
  const twin = map.layers.find((other) => other !== layer && other.op === op && `${other.weights.kernel?.shape}` === `${weights.kernel!.shape}`);
  if (twin) yield { kind: 'weights of another layer', causes: ['weights-of-another'], change: stolen(name, 'kernel', twin.name) };
};

const wiring: Rule = function* ({ name, op, inputs }) {
  if (op === 'Concat' && inputs.length > 1)
    yield {
      kind: 'parts joined in the wrong order',
      causes: ['concat-order'],
      change: replaced(name, (layer) => ({ ...layer, inputs: [layer.inputs.at(-1)!, ...layer.inputs.slice(1, -1), layer.inputs[0]!] })),
    };
  if (op === 'Add' && inputs.length === 2)
    yield { kind: 'residual missing', causes: ['layer-missing', 'wiring', 'activation-missing', 'operand-missing'], change: skipped(name) };
};

const RULES: readonly Rule[] = [kernels, windows, biases, normalisations, activations, products, wiring];

/** One of each kind in a net, in the last layer that it fits. */
export function mapFaults(map: LayerMap): MapFault[] {
  const found = new Map<string, MapFault>();
  for (const layer of map.layers) for (const rule of RULES) for (const fault of rule(layer, map)) found.set(fault.kind, { ...fault, layer: layer.name });
  return [...found.values()];
}
