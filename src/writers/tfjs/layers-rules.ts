/** Rules of layers models beside those that every target follows: operators that Keras has a layer for, or that layers make up. */
import { identity } from '../../model/axis-order.js';
import { isFloatDType } from '../../model/dtype.js';
import type { Dim, Layer } from '../../model/layer-map.js';
import { beyondPlain } from '../../model/ops/index.js';
import { elementCount, reshape } from '../../model/tensor.js';
import type { LayersTarget } from './layers-target.js';
import { plainRule, type RuleFinder } from './lower.js';
import type { Lowering, Made } from './lowering.js';
import type { Placement } from './placement.js';
import { axesPlace, front, inPlace, RULES, withAxes } from './rules.js';
import { type FileValue, knownSize } from './target.js';
import { placedLast } from './windows.js';

type LayersRule = (layer: Layer, lowering: Lowering, target: LayersTarget) => Made;

const layerNormalization: LayersRule = (layer, lowering, target) => {
  const [input] = layer.inputs;
  const rank = lowering.shape(input!).length;
  const at = front(layer.attributes.axis as number, rank);
  const { order: own } = withAxes(input!, lowering);
  // The weights have the last axes as the map has them.
  const order = own.slice(at).every((axis, i) => axis === at + i) ? own : identity(rank);
  const x = lowering.inOrder(input!, order);
  const sizes = x.shape.slice(at).map(knownSize);
  const weight = (role: string) => {
    const { shape } = layer.weights[role]!;
    if (sizes.includes(null) || elementCount(shape) !== elementCount(sizes as number[]))
      return lowering.decline(`a ${role} of the shape [${shape}] for elements of the shape [${x.shape.slice(at)}]`);
    return lowering.weight(layer, role, 'other', `rows [${sizes}]`, (tensor) => reshape(tensor, sizes as number[]));
  };
  const weights = { scale: weight('scale'), bias: layer.weights.bias ? weight('bias') : null };
  return { kind: 'axes', value: target.layerNormalise(x, weights, layer.attributes.epsilon as number), order };
};

/** @param groups of how many channels each has its own mean; null where each channel has */
function inGroups(layer: Layer, lowering: Lowering, target: LayersTarget, groups: number | null): Placement {
  const x = lowering.last(layer.inputs[0]!);
  const channels = knownSize(x.shape.at(-1)) ?? lowering.decline('groups of a free number of channels');
  const weight = (role: string) => lowering.weight(layer, role, 'other', 'plain');
  return placedLast(target.groupNormalise(x, groups ?? channels, { scale: weight('scale'), bias: weight('bias') }, layer.attributes.epsilon as number));
}

/** A rule of elements, whatever their order. */
function elementwise(make: (x: FileValue, target: LayersTarget, layer: Layer) => FileValue): LayersRule {
  return (layer, lowering, target) => {
    const place = lowering.place(layer.inputs[0]!);
    return inPlace(place, make(place.value, target, layer));
  };
}

const swish = (x: FileValue, target: LayersTarget, alpha: number): FileValue =>
  target.binary('Mul', x, target.unary(alpha === 1 ? x : target.rescale(x, alpha, 0), 'Sigmoid', {}), x.shape);

/** Other sizes for the same elements. */
const resized: LayersRule = (layer, lowering, target) => axesPlace(target.reshape(lowering.plain(layer.inputs[0]!), lowering.shape(layer.outputs[0]!)));

const split: LayersRule = (layer, lowering, target) => {
  if (layer.inputs.length > 1) return lowering.decline('parts whose sizes another layer makes');
  const { value, order } = withAxes(layer.inputs[0]!, lowering);
  const axis = front(layer.attributes.axis as number, order.length);
  const sizes = (layer.attributes.split as readonly Dim[] | undefined) ?? layer.outputs.map((output) => output !== '' && lowering.shape(output)[axis]!);
  let start = 0;
  return layer.outputs.map((output, i): Placement | null => {
    const size = sizes[i];
    if (typeof size !== 'number') return lowering.decline('parts of an axis of free size');
    start += size;
    return output === '' ? null : { kind: 'axes', value: target.slice(value, order.indexOf(axis), start - size, start), order };
  });
};

const OWN: Readonly<Record<string, LayersRule>> = {
  LayerNormalization: layerNormalization,
  InstanceNormalization: (layer, lowering, target) => inGroups(layer, lowering, target, null),
  GroupNormalization: (layer, lowering, target) => inGroups(layer, lowering, target, layer.attributes.num_groups as number),
  Gelu: elementwise((x, target, { attributes }) => target.gelu(x, attributes.approximate === 'tanh')),
  HardSwish: elementwise((x, target) => target.binary('Mul', x, target.unary(x, 'HardSigmoid', { alpha: 1 / 6, beta: 0.5 }), x.shape)),
  Swish: elementwise((x, target, { attributes }) => swish(x, target, attributes.alpha as number)),
  Mish: elementwise((x, target) => target.unary(x, 'Mish', {})),
  Squeeze: resized,
  Unsqueeze: resized,
};

/** Layers compute in float32, where quotients and roots of whole numbers are no whole numbers. */
const OF_FLOATS: ReadonlySet<string> = new Set(['Div', 'Pow']);

function ofFloats(layer: Layer): ReturnType<RuleFinder> {
  const rule = plainRule(layer);
  if (typeof rule === 'string') return rule;
  return (own, lowering) => {
    const { dtype } = lowering.types.get(own.inputs[0]!)!;
    return dtype !== null && isFloatDType(dtype) ? rule(own, lowering) : lowering.decline(`${own.op} of whole numbers`);
  };
}

/** All operators that layers models have words for; a target may lack the layer. */
export const LAYERS_WORDS: ReadonlySet<string> = new Set([...Object.keys(RULES), ...Object.keys(OWN), 'Split']);

/** Operators of layers that stand for several simpler ones. */
export const LAYERS_OPS: ReadonlySet<string> = new Set(['ChannelShuffle', 'LayerNormalization', 'Gelu']);

export function layersRule(target: LayersTarget): RuleFinder {
  return (layer) => {
    if (layer.op === 'Split') return (own, lowering) => split(own, lowering, target);
    const rule = Object.hasOwn(OWN, layer.op) ? OWN[layer.op]! : undefined;
    if (!rule) return OF_FLOATS.has(layer.op) ? ofFloats(layer) : plainRule(layer);
    const beyond = beyondPlain(layer);
    return beyond ? `${layer.op} ${beyond}, which has` : (own, lowering) => rule(own, lowering, target);
  };
}
