/** Combinators of transformers, over tokens [batch, ..., tokens, features]. */
import { reshape, type Tensor } from '../model/tensor.js';
import { type Activation, Departure, type Net, sizeOf, type Value } from './net.js';
import type { Weights } from './store.js';

/**
 * Layer normalisation over one axis, the last where none is named: written out, for runtimes of any age.
 *
 * @param given its scale and shift, where the module does not have both
 */
export function layerNorm(net: Net, x: Value, path: string, epsilon: number, axis = x.shape.length - 1, given?: Weights): Value {
  const size = sizeOf(x, axis);
  const { scale, bias } = given ?? net.weights(path, 'layer-norm', { scale: [size], bias: [size] });
  const name = net.store.sourceName(path);
  if (scale!.shape.length !== 1 || scale!.shape[0] !== size) throw new Departure(name, `is of shape [${scale!.shape}], but ${size} features flow in`);
  const taken = net.setting('layer_norm_epsilon', epsilon, 'layer normalisation adds {} to the variance');
  const along = (tensor: Tensor) => reshape(tensor, [size, ...x.shape.slice(axis + 1).map(() => 1)]);
  const mean = net.op('ReduceMean', [x], { axes: [axis], keepdims: 1 }, { name: `${name}.mean` });
  const centred = net.op('Sub', [x, mean], {}, { name: `${name}.centred` });
  const squares = net.op('Mul', [centred, centred], {}, { name: `${name}.squares` });
  const variance = net.op('ReduceMean', [squares], { axes: [axis], keepdims: 1 }, { name: `${name}.variance` });
  const deviation = net.op('Sqrt', [net.constantOp('Add', variance, taken, `${name}.epsilon`)], {}, { name: `${name}.deviation` });
  const normal = net.op('Div', [centred, deviation], {}, { name: `${name}.normal` });
  const scaled = net.constantOp('Mul', normal, along(scale!), name);
  return bias ? net.constantOp('Add', scaled, along(bias), `${name}.bias`) : scaled;
}

/** Two dense layers with an activation between them. */
export function mlp(net: Net, x: Value, first: string, second: string, width: number, act: Activation = 'gelu'): Value {
  const features = sizeOf(x, x.shape.length - 1);
  return net.dense(net.activation(net.dense(x, first, { out: width }), act), second, { out: features });
}

export interface AttentionOptions {
  readonly heads: number;
  /** Of the dot products; 1/sqrt(features of a head) where left out. */
  readonly scale?: number;
  /** From queries and keys to similarities, where it is not their scaled dot product. */
  readonly similarity?: (q: Value, k: Value) => Value;
  /** What is added to the similarities: [..., heads, tokens, tokens]. */
  readonly biases?: readonly { readonly name: string; readonly tensor: Tensor }[];
}

/** Self-attention from queries, keys and values side by side, [..., tokens, 3 * features], to [..., tokens, features]. */
export function selfAttention(net: Net, qkv: Value, { heads, scale, similarity, biases = [] }: AttentionOptions): Value {
  const last = qkv.shape.length - 1;
  const features = sizeOf(qkv, last) / 3;
  const each = features / heads;
  if (!Number.isInteger(each)) throw new Departure(qkv.name, `${features} features cannot be shared by ${heads} heads`);
  const kept = qkv.shape.slice(0, last).map((size, axis) => (axis === 0 ? 0 : (size as number)));
  // [..., tokens, heads, each] and back: the two axes before the last change places.
  const swap = (rank: number) => [...Array.from({ length: rank - 3 }, (_, axis) => axis), rank - 2, rank - 3, rank - 1];
  const part = (i: number) => {
    const split = net.reshape(net.slice(qkv, last, i * features, (i + 1) * features), [...kept, heads, each]);
    return net.transpose(split, swap(last + 2));
  };
  const [q, k, v] = [part(0), part(1), part(2)];
  const turned = (y: Value) => net.transpose(y, [...y.shape.slice(0, -2).map((_, axis) => axis), y.shape.length - 1, y.shape.length - 2]);
  const dot = (a: Value, b: Value) => net.op('MatMul', [a, turned(b)]);
  let weights = similarity ? similarity(q, turned(k)) : dot(net.constantOp('Mul', q, scale ?? each ** -0.5), k);
  for (const { name, tensor } of biases) weights = net.constantOp('Add', weights, tensor, name);
  const mixed = net.op('MatMul', [net.op('Softmax', [weights], { axis: -1 }), v]);
  return net.reshape(net.transpose(mixed, swap(last + 2)), [...kept, features]);
}

/** Modules of one block of a transformer's encoder. */
export interface EncoderNames {
  readonly norm1: string;
  readonly qkv: string;
  readonly proj: string;
  /** Of what attention gives, where the net has it. */
  readonly scale1?: string;
  readonly norm2: string;
  readonly first: string;
  readonly second: string;
  readonly scale2?: string;
}

export interface EncoderOptions extends AttentionOptions {
  readonly epsilon: number;
  /** Between the two dense layers. */
  readonly wide: number;
  readonly act?: Activation;
  /** Queries, keys and values side by side, where they are not one dense layer. */
  readonly queries?: (x: Value) => Value;
  /** Normalises what a branch gives, rather than what it takes. */
  readonly normsBehind?: boolean;
}

/** What timm's blocks call the modules of one. */
export const blockNames = (at: string) => ({
  norm1: `${at}.norm1`,
  qkv: `${at}.attn.qkv`,
  proj: `${at}.attn.proj`,
  norm2: `${at}.norm2`,
  first: `${at}.mlp.fc1`,
  second: `${at}.mlp.fc2`,
});

/** Attention and two dense layers, each behind a layer normalisation (or before it) and with its input added; over [batch, tokens, features]. */
export function encoderBlock(
  net: Net,
  x: Value,
  names: EncoderNames,
  { epsilon, wide, act, queries, normsBehind = false, ...attention }: EncoderOptions,
): Value {
  const features = sizeOf(x, x.shape.length - 1);
  const qkv = queries ?? ((y: Value) => net.dense(y, names.qkv, { out: 3 * features }));
  const normed = (y: Value, path: string, branch: (y: Value) => Value) =>
    normsBehind ? layerNorm(net, branch(y), path, epsilon) : branch(layerNorm(net, y, path, epsilon));
  const attend = (y: Value) => normed(y, names.norm1, (z) => net.dense(selfAttention(net, qkv(z), attention), names.proj, { out: features }));
  const blend = (y: Value) => normed(y, names.norm2, (z) => mlp(net, z, names.first, names.second, wide, act));
  const attended = net.add(layerScale(net, attend(x), names.scale1), x);
  return net.add(layerScale(net, blend(attended), names.scale2), attended);
}

/** A learned factor for each feature; nothing where the net has none. */
export function layerScale(net: Net, x: Value, path: string | undefined): Value {
  if (path === undefined || !net.has(path, false)) return x;
  const features = sizeOf(x, x.shape.length - 1);
  const scale = net.store.takeParameter(path, [features]);
  const name = net.store.sourceName(path);
  if (scale?.shape.join() !== String(features)) throw new Departure(name, scale ? `is no scale of ${features} features` : 'is missing');
  return net.constantOp('Mul', x, scale, name);
}

/** Of length 1 along an axis, counted from the end; PyTorch's normalize divides by 1e-12 at least. */
export function unitLength(net: Net, x: Value, axis: number): Value {
  const squares = net.op('ReduceSum', [net.op('Mul', [x, x])], { axes: [x.shape.length + axis], keepdims: 1 });
  return net.op('Div', [x, net.op('Clip', [net.op('Sqrt', [squares])], { min: 1e-12 })]);
}
