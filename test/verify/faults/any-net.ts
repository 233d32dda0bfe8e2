/** Faults that fit a net, whatever it is: what converters do wrong to each kind of layer, in one layer of the written ONNX file. */
import { onnx as schema } from 'onnx-proto';
import type { Layer, LayerMap } from '../../../src/model/layer-map.js';
import { inferMap } from '../../../src/model/ops/index.js';
import { roundToHalf } from '../../../src/verify/half.js';
import { aroundNet } from './around-net.js';
import {
  all,
  attribute,
  change,
  changeBytes,
  changeOp,
  constant,
  doubleNode,
  type Edit,
  integers,
  nodeOf,
  type OnnxNode,
  rearrange,
  skipNode,
  stealWeight,
} from './onnx-edit.js';

export interface AnyFault {
  readonly kind: string;
  readonly layer: string;
  readonly edit: Edit;
  /** Kinds of causes by which it may rightly be called. */
  readonly causes: readonly string[];
}

type Rule = (layer: Layer, map: LayerMap) => Iterable<Omit<AnyFault, 'layer'>>;

const sizes = (layer: Layer, role = 'kernel') => layer.weights[role]?.shape ?? [];

/** A node's attribute as a word. */
function word(node: string, name: string, value: string): Edit {
  return (graph) => {
    const owner = nodeOf(graph, node);
    owner.attribute = owner.attribute!.filter((each) => each.name !== name);
    owner.attribute.push(schema.AttributeProto.create({ name, type: schema.AttributeProto.AttributeType.STRING, s: new TextEncoder().encode(value) }));
  };
}

/** The same for a number or numbers, whether or not the node says any. */
function setting(node: string, name: string, value: number | number[], isFloat = false): Edit {
  return (graph) => {
    const owner = nodeOf(graph, node);
    if (!owner.attribute!.some((each) => each.name === name)) {
      const { INT, INTS, FLOAT } = schema.AttributeProto.AttributeType;
      owner.attribute!.push(schema.AttributeProto.create({ name, type: Array.isArray(value) ? INTS : isFloat ? FLOAT : INT }));
    }
    attribute(node, name, value)(graph);
  };
}

const exchangeInputs =
  (node: string, a: number, b: number): Edit =>
  (graph) => {
    const { input } = nodeOf(graph, node);
    [input![a], input![b]] = [input![b]!, input![a]!];
  };

/** One of a node's inputs is another value. */
function rewired(node: string, at: number, to: (owner: OnnxNode) => string): Edit {
  return (graph) => {
    const owner = nodeOf(graph, node);
    owner.input![at] = to(owner);
  };
}

/** Another operator, with attributes of its own; further inputs are constants. */
function becomes(node: string, op: string, floats: Readonly<Record<string, number>> = {}, constants: readonly number[] = []): Edit {
  return (graph) => {
    changeOp(node, op)(graph);
    const owner = nodeOf(graph, node);
    owner.input = [owner.input![0]!, ...constants.map((value, i) => constant(graph, `${node}.fault.${i}`, [value]))];
    for (const [name, value] of Object.entries(floats)) setting(node, name, value, true)(graph);
  };
}

const convolutions: Rule = function* (layer, map) {
  if (layer.op !== 'Conv') return;
  const { name } = layer;
  const kernel = sizes(layer);
  const [out, inner, ...window] = kernel as [number, number, ...number[]];
  const group = Number(layer.attributes.group);
  const last = window.length - 1;
  const edit = (from: (index: number[], dims: number[]) => number[]) => rearrange(name, 1, from);
  if (window.length === 2 && window[0] === window[1] && window[0]! > 1)
    yield { kind: 'kernel transposed (height and width)', edit: edit(([o, i, h, w]) => [o!, i!, w!, h!]), causes: ['kernel-transposed'] };
  if (window.every((size) => size > 1)) {
    const flip = ([o, i, ...at]: number[], [, , ...dims]: number[]) => [o!, i!, ...at.map((p, axis) => dims[axis]! - 1 - p)];
    yield { kind: 'kernel flipped', edit: edit(flip), causes: ['kernel-flipped'] };
    if (last > 0) yield { kind: 'kernel mirrored', edit: edit((at, dims) => at.with(-1, dims.at(-1)! - 1 - at.at(-1)!)), causes: ['kernel-flipped'] };
  }
  if (out === inner && out > 1 && group === 1)
    yield { kind: 'input and output channels exchanged', edit: edit(([o, i, ...at]) => [i!, o!, ...at]), causes: ['axes-exchanged', 'kernel-transposed'] };
  if (window.length === 2 && (window[0]! > 1 || inner > 1)) {
    // Values that lie as [height, width, in, out], read as [out, in, height, width].
    const [H, W] = window as [number, number];
    yield {
      kind: 'kernel left in the order [height, width, in, out]',
      edit: edit(([o, i, h, w]) => {
        const at = ((o! * inner + i!) * H + h!) * W + w!;
        return [at % out, Math.floor(at / out) % inner, Math.floor(at / (out * inner * W)), Math.floor(at / (out * inner)) % W];
      }),
      causes: ['axes-exchanged'],
    };
  }
  yield {
    kind: 'two output channels swapped',
    edit: edit(([o, ...rest]) => [o === 0 ? 1 : o === 1 ? 0 : o!, ...rest]),
    causes: ['channels-permuted', 'axes-exchanged'],
  };
  yield { kind: 'output channels reversed', edit: edit(([o, ...rest]) => [out - 1 - o!, ...rest]), causes: ['channels-reversed'] };
  if (inner > 1)
    yield {
      kind: 'input channels reversed',
      edit: edit(([o, i, ...at]) => [o!, inner - 1 - i!, ...at]),
      causes: ['channels-reversed', 'input-bgr', 'reads-reversed'],
    };
  if (out % 2 === 0 && out > 4)
    yield {
      kind: 'channels shuffled by groups',
      edit: edit(([o, ...rest]) => [(o! % 2) * (out / 2) + Math.floor(o! / 2), ...rest]),
      causes: ['channels-shuffled'],
    };
  const row = kernel.slice(1).reduce((a, b) => a * b, 1);
  yield { kind: 'channel zeroed', edit: change(name, 1, (value, i) => (i < row ? 0 : value)), causes: ['some-channels'] };
  yield { kind: 'off-by-one span', edit: change(name, 1, (_, i, data) => data[i + 1] ?? 0), causes: ['span'] };
  yield { kind: 'kernel rounded to float16', edit: change(name, 1, roundToHalf), causes: ['narrower'] };
  yield {
    kind: 'kernel cut to bfloat16',
    edit: changeBytes(name, 1, (_, words) => words.set(words.map((bits) => bits & 0xffff0000))),
    causes: ['narrower'],
  };
  yield { kind: 'kernel scaled', edit: change(name, 1, (value) => value * 1.01), causes: ['scaled', 'channel-scale'] };
  if (group > 1 && group < out)
    yield { kind: 'groups exchanged', edit: edit(([o, ...rest]) => [(o! + out / group) % out, ...rest]), causes: ['groups-exchanged', 'shifted'] };
  const twin = map.layers.find((other) => other !== layer && other.op === 'Conv' && `${sizes(other)}` === `${kernel}`);
  if (twin) yield { kind: 'weights of another layer', edit: stealWeight(name, 1, twin.name), causes: ['weights-of-another'] };
  yield* windowFaults(layer, map);
};

/** How many places a value has beside its rows and channels. */
function placesOf(value: string, map: LayerMap): number {
  const sizes = inferMap(map).get(value)?.shape?.slice(2) ?? [];
  return sizes.reduce<number>((count, size) => count * (typeof size === 'number' ? size : 2), 1);
}

function* windowFaults(layer: Layer, map: LayerMap): Iterable<Omit<AnyFault, 'layer'>> {
  const { name } = layer;
  const { pads, strides, dilations, kernel_shape } = layer.attributes as Readonly<Record<string, readonly number[] | undefined>>;
  if (!pads || !strides || !kernel_shape) return;
  const half = pads.length / 2;
  const isPadded = pads.some((pad) => pad > 0);
  if (isPadded) {
    const other = pads.map((pad, i) => (i < half ? pad + pads[i + half]! : 0));
    if (layer.op !== 'AveragePool' && layer.op !== 'MaxPool')
      yield { kind: 'padding on the other side', edit: setting(name, 'pads', other), causes: ['padding'] };
    if (layer.op === 'Conv') yield { kind: 'reflected for zero padding', edit: reflected(name, pads), causes: ['padding-mode'] };
  }
  const isWide = placesOf(layer.outputs[0]!, map) > 1;
  if (layer.op === 'Conv' && isPadded && isWide && dilations?.every((size) => size === 1) && kernel_shape.every((size) => size === 3)) {
    const grown = pads.map((pad) => pad + 1);
    yield {
      kind: 'dilation',
      edit: all(
        setting(
          name,
          'dilations',
          dilations.map(() => 2),
        ),
        setting(name, 'pads', grown),
      ),
      causes: ['dilation'],
    };
  }
  if (strides.every((size) => size === 1) && isWide)
    yield {
      kind: 'stride',
      edit: setting(
        name,
        'strides',
        strides.map(() => 2),
      ),
      causes: ['stride'],
    };
}

function reflected(name: string, pads: readonly number[]): Edit {
  return (graph) => {
    const owner = nodeOf(graph, name);
    const half = pads.length / 2;
    const all = [0, 0, ...pads.slice(0, half), 0, 0, ...pads.slice(half)];
    const padded = `${name}.padded`;
    const node = schema.NodeProto.create({ opType: 'Pad', name: padded, input: [owner.input![0]!, integers(graph, `${name}.pads`, all)], output: [padded] });
    node.attribute.push(
      schema.AttributeProto.create({ name: 'mode', type: schema.AttributeProto.AttributeType.STRING, s: new TextEncoder().encode('reflect') }),
    );
    graph.node!.splice(graph.node!.indexOf(owner), 0, node as never);
    owner.input![0] = padded;
    setting(
      name,
      'pads',
      pads.map(() => 0),
    )(graph);
  };
}

const transposedConvolutions: Rule = function* (layer, map) {
  if (layer.op !== 'ConvTranspose') return;
  const { name } = layer;
  yield { kind: 'kernel flipped', edit: rearrange(name, 1, ([i, o, h, w], [, , H, W]) => [i!, o!, H! - 1 - h!, W! - 1 - w!]), causes: ['kernel-flipped'] };
  yield { kind: 'kernel transposed (height and width)', edit: rearrange(name, 1, ([i, o, h, w]) => [i!, o!, w!, h!]), causes: ['kernel-transposed'] };
  yield* windowFaults(layer, map);
};

const biases: Rule = function* (layer) {
  const at = 2;
  if (!layer.weights.bias || layer.op === 'BatchNormalization') return;
  const { name } = layer;
  const vary = (kind: string, causes: readonly string[], of: (value: number, i: number, data: Float32Array) => number) => ({
    kind,
    causes,
    edit: change(name, at, of),
  });
  yield vary('bias dropped', ['bias-missing', 'channel-bias'], () => 0);
  yield vary('bias doubled', ['bias-doubled', 'channel-bias'], (value) => 2 * value);
  yield vary('bias with the other sign', ['bias-negated', 'channel-bias'], (value) => -value);
  // One value alone has no neighbour.
  if (sizes(layer, 'bias')[0] !== 1) yield vary('bias shifted by one channel', ['shifted'], (_, i, data) => data[(i + 1) % data.length]!);
  yield vary('bias of one channel dropped', ['some-channels', 'channel-bias', 'some-values'], (value, i) => (i === 1 ? 0 : value));
  yield {
    kind: 'byte order',
    causes: ['byte-order'],
    edit: changeBytes(name, at, (bytes) => {
      for (let i = 0; i < bytes.length; i += 4) bytes.subarray(i, i + 4).reverse();
    }),
  };
};

const normalisations: Rule = function* (layer) {
  const { name, op } = layer;
  const epsilon = Number(layer.attributes.epsilon ?? 0);
  if (epsilon > 0) yield { kind: 'epsilon', edit: setting(name, 'epsilon', epsilon > 1e-4 ? 1e-5 : 1e-3, true), causes: ['epsilon'] };
  if (layer.weights.scale && layer.weights.bias) yield { kind: 'scale and bias exchanged', edit: exchangeInputs(name, 1, 2), causes: ['weights-exchanged'] };
  if (layer.weights.bias) yield { kind: 'bias of a normalisation dropped', edit: change(name, 2, () => 0), causes: ['bias-missing', 'channel-bias'] };
  if (op !== 'BatchNormalization') return;
  yield { kind: 'standard deviation for variance', edit: change(name, 4, Math.sqrt), causes: ['variance-as-deviation'] };
  yield { kind: 'inverse of the deviation for variance', edit: change(name, 4, (value) => 1 / Math.sqrt(value + epsilon)), causes: ['variance-inverse'] };
  yield { kind: 'mean dropped', edit: change(name, 3, () => 0), causes: ['mean-missing', 'channel-bias'] };
  yield { kind: 'mean and variance exchanged', edit: exchangeInputs(name, 2, 3), causes: ['weights-exchanged'] };
};

/** Operators that may stand in the place of an activation, and by which causes they are known. */
const activations: Rule = function* (layer) {
  const { name, op } = layer;
  const ours = [
    'Relu',
    'Clip',
    'LeakyRelu',
    'PRelu',
    'Elu',
    'Selu',
    'Sigmoid',
    'Tanh',
    'HardSigmoid',
    'HardSwish',
    'Gelu',
    'Softplus',
    'Softmax',
    'LogSoftmax',
  ];
  if (!ours.includes(op)) return;
  yield { kind: `${op} missing`, edit: becomes(name, 'Identity'), causes: ['activation-missing', 'layer-missing'] };
  if (op === 'Relu') {
    yield { kind: 'ReLU6 for ReLU', edit: becomes(name, 'Clip', {}, [0, 6]), causes: ['activation', 'clip'] };
    yield { kind: 'ReLU clipped at 20', edit: becomes(name, 'Clip', {}, [0, 20]), causes: ['clip'] };
    yield { kind: 'LeakyReLU for ReLU', edit: becomes(name, 'LeakyRelu', { alpha: 0.1 }), causes: ['slope'] };
  }
  if (op === 'Clip') yield { kind: 'ReLU for ReLU6', edit: becomes(name, 'Relu'), causes: ['activation', 'max', 'clip'] };
  if (op === 'LeakyRelu') yield { kind: 'slope of a LeakyReLU', edit: setting(name, 'alpha', 0.3, true), causes: ['alpha', 'slope'] };
  if (op === 'PRelu') yield { kind: 'slopes shifted by one channel', edit: change(name, 1, (_, i, data) => data[(i + 1) % data.length]!), causes: ['shifted'] };
  if (op === 'Elu') yield { kind: 'slope of an ELU', edit: setting(name, 'alpha', 0.5, true), causes: ['alpha'] };
  if (op === 'HardSigmoid') yield { kind: 'form of a hard sigmoid', edit: setting(name, 'alpha', 0.2, true), causes: ['alpha', 'hard-sigmoid-form'] };
  if (op === 'Sigmoid') yield { kind: 'tanh for sigmoid', edit: becomes(name, 'Tanh'), causes: ['activation'] };
  if (op === 'Sigmoid')
    yield { kind: 'hard sigmoid for sigmoid', edit: becomes(name, 'HardSigmoid', { alpha: 0.2, beta: 0.5 }), causes: ['hard-sigmoid-form'] };
  if (op === 'Gelu') yield { kind: 'form of a GELU', edit: word(name, 'approximate', 'tanh'), causes: ['approximate', 'gelu-form'] };
  if (op === 'Tanh') yield { kind: 'softsign for tanh', edit: becomes(name, 'Softsign'), causes: ['activation'] };
  if (op === 'Softmax') {
    yield { kind: 'softmax doubled', edit: doubleNode(name), causes: ['activation-doubled', 'activation-more'] };
    yield { kind: 'sigmoid for softmax', edit: becomes(name, 'Sigmoid'), causes: ['activation'] };
    yield { kind: 'softmax along another axis', edit: setting(name, 'axis', Number(layer.attributes.axis) === 2 ? 1 : 0), causes: ['axis'] };
  }
};

/** Whether windows leave something over at an end, so that it matters how their number is rounded. */
function hasRest(layer: Layer, map: LayerMap): boolean {
  const { kernel_shape: kernel, strides, pads } = layer.attributes as Readonly<Record<string, readonly number[]>>;
  const sizes = inferMap(map).get(layer.inputs[0]!)!.shape!.slice(2) as number[];
  return sizes.some((size, i) => (size + pads![i]! + pads![i + sizes.length]! - kernel![i]!) % strides![i]! !== 0);
}

const poolings: Rule = function* (layer, map) {
  const { name, op, attributes } = layer;
  const keep = ['kernel_shape', 'strides', 'pads', 'auto_pad', 'ceil_mode'];
  if (op === 'MaxPool') yield { kind: 'average for max pooling', edit: changeOp(name, 'AveragePool', keep), causes: ['pooling'] };
  if (op === 'AveragePool') {
    yield { kind: 'max for average pooling', edit: changeOp(name, 'MaxPool', keep), causes: ['pooling'] };
    if ((attributes.pads as readonly number[]).some((pad) => pad > 0))
      yield { kind: 'padding counted by average pooling', edit: setting(name, 'count_include_pad', 1), causes: ['count-include-pad'] };
  }
  if ((op === 'MaxPool' || op === 'AveragePool') && hasRest(layer, map))
    yield { kind: 'ceil and floor of a pooling', edit: setting(name, 'ceil_mode', 1 - Number(attributes.ceil_mode)), causes: ['ceil-mode'] };
  if (op === 'GlobalAveragePool' && placesOf(layer.inputs[0]!, map) > 1)
    yield { kind: 'max for average over all', edit: changeOp(name, 'GlobalMaxPool'), causes: ['pooling'] };
};

const products: Rule = function* (layer, map) {
  const { name, op, weights } = layer;
  if ((op !== 'Gemm' && op !== 'MatMul') || !weights.kernel) return;
  const [rows, columns] = sizes(layer) as [number, number];
  if (rows === columns) yield { kind: 'dense matrix transposed', edit: rearrange(name, 1, ([o, i]) => [i!, o!]), causes: ['matrix-transposed'] };
  else if (rows > 1 && columns > 1)
    yield {
      kind: 'dense matrix laid out the other way',
      edit: rearrange(name, 1, ([o, i]) => {
        const at = o! * columns + i!;
        return [at % rows, Math.floor(at / rows)];
      }),
      causes: ['matrix-transposed', 'flatten-order', 'channels-shuffled'],
    };
  const flatten = map.layers.find((other) => other.op === 'Flatten' && other.outputs[0] === layer.inputs[0]);
  if (flatten && op === 'Gemm') {
    const source = map.layers.find((other) => other.outputs[0] === flatten.inputs[0]);
    const channels = source && source.op !== 'GlobalAveragePool' ? channelsOf(map, source.outputs[0]!) : 0;
    const places = columns / channels;
    if (channels > 1 && places > 1)
      yield {
        kind: 'flatten order',
        edit: rearrange(name, 1, ([o, i]) => [o!, (i! % channels) * places + Math.floor(i! / channels)]),
        causes: ['flatten-order', 'channels-shuffled'],
      };
  }
  const twin = map.layers.find((other) => other !== layer && other.op === op && `${sizes(other)}` === `${sizes(layer)}`);
  if (twin) yield { kind: 'weights of another layer', edit: stealWeight(name, 1, twin.name), causes: ['weights-of-another'] };
};

/** Channels of a value, as the last layer with weights before it has them. */
function channelsOf(map: LayerMap, value: string): number {
  for (let at = value; ; ) {
    const maker = map.layers.find((layer) => layer.outputs[0] === at);
    if (!maker) return 0;
    if (maker.weights.kernel) return maker.weights.kernel.shape[0]!;
    at = maker.inputs[0]!;
  }
}

const wiring: Rule = function* (layer, map) {
  const { name, op, inputs, weights } = layer;
  if (op === 'Concat') yield { kind: 'parts joined in the wrong order', edit: exchangeInputs(name, 0, inputs.length - 1), causes: ['concat-order'] };
  if (op === 'Add' && inputs.length === 2) yield { kind: 'one branch added twice', edit: rewired(name, 0, (node) => node.input![1]!), causes: ['wiring'] };
  if (op === 'Add' && inputs.length === 2) yield { kind: 'residual missing', edit: skipNode(name), causes: ['layer-missing', 'wiring', 'activation-missing'] };
  if ((op === 'Sub' || op === 'Div') && weights.operand) yield { kind: 'operands exchanged', edit: exchangeInputs(name, 0, 1), causes: ['operand-order'] };
  if ((op === 'Mul' || op === 'Div') && weights.operand)
    yield {
      kind: 'scale missing',
      edit: change(name, 1, () => 1),
      causes: ['scaled', 'operand-missing', 'layer-missing', 'constant', 'some-values', 'channels-permuted', 'shifted-value'],
    };
  if (op === 'MatMul' && inputs.length === 2 && !weights.kernel) {
    const other = map.layers.find(
      (each) =>
        each.op === 'Add' && each.inputs.length === 1 && each.outputs[0] !== inputs[1] && each.outputs[0] !== inputs[0] && /value|key|query/.test(each.name),
    );
    if (other) yield { kind: 'another branch read', edit: rewired(name, 1, () => other.outputs[0]!), causes: ['wiring'] };
  }
};

const arrangements: Rule = function* (layer) {
  const { name, op, attributes } = layer;
  if (op === 'DepthToSpace')
    yield { kind: 'order of a sub-pixel shuffle', edit: word(name, 'mode', attributes.mode === 'CRD' ? 'DCR' : 'CRD'), causes: ['mode'] };
  if (op === 'Resize') {
    if (attributes.mode !== 'nearest') yield { kind: 'resize mode', edit: word(name, 'mode', 'nearest'), causes: ['mode', 'coordinate-transformation-mode'] };
    yield { kind: 'alignment of a resize', edit: word(name, 'coordinate_transformation_mode', 'align_corners'), causes: ['coordinate-transformation-mode'] };
  }
  if (op === 'Transpose')
    yield { kind: 'another order of axes, put back by a reshape', edit: reordered(layer), causes: ['perm', 'reads-transposed', 'output-transposed'] };
  if (op === 'LRN') yield { kind: 'alpha of a normalisation across channels', edit: setting(name, 'alpha', 1e-4, true), causes: ['alpha'] };
};

/** The values in the order of another Transpose, in the shape that what follows expects. */
function reordered(layer: Layer): Edit {
  return (graph) => {
    const perm = layer.attributes.perm as readonly number[];
    const owner = nodeOf(graph, layer.name);
    const output = owner.output![0]!;
    const plain = `${output}.shape`;
    // [.., a, b] for [.., b, a], and the right one's shape.
    const index = graph.node!.indexOf(owner);
    const made = (op: string, input: string[], out: string) => schema.NodeProto.create({ opType: op, name: `${out}.fault`, input, output: [out] }) as never;
    const right = schema.NodeProto.create({
      opType: 'Transpose',
      name: `${output}.right`,
      input: [...owner.input!],
      output: [`${output}.right`],
      attribute: owner.attribute!,
    });
    owner.attribute = [
      schema.AttributeProto.create({ name: 'perm', type: schema.AttributeProto.AttributeType.INTS, ints: [perm[0]!, ...perm.slice(1).toReversed()] }),
    ];
    owner.output![0] = `${output}.other`;
    graph.node!.splice(index, 0, right as never, made('Shape', [`${output}.right`], plain));
    graph.node!.splice(index + 3, 0, made('Reshape', [`${output}.other`, plain], output));
  };
}

const RULES: readonly Rule[] = [convolutions, transposedConvolutions, biases, normalisations, activations, poolings, products, wiring, arrangements];

/** One of each kind in a net: in the first layer that it fits, or the last. */
export function faultsFor(map: LayerMap, which: 'first' | 'last' = 'last'): AnyFault[] {
  const found = new Map<string, AnyFault>();
  for (const layer of which === 'first' ? map.layers.toReversed() : map.layers) {
    for (const rule of RULES) for (const fault of rule(layer, map)) found.set(fault.kind, { ...fault, layer: layer.name });
  }
  return [...found.values(), ...aroundNet(map)];
}
