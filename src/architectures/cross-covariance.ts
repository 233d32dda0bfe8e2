/** What XCiT (El-Nouby et al., "XCiT: Cross-Covariance Image Transformers", 2021) and EdgeNeXt share: channels that ask each other, and places as waves. */
import { derive } from '../model/derivations.js';
import type { Tensor } from '../model/tensor.js';
import { unitLength } from './attention.js';
import { Departure, type Net, sizeOf, type Value } from './net.js';

/** Attention whose tokens are channels: how alike they are over all places. */
export function crossCovariance(net: Net, x: Value, path: string, heads: number): Value {
  const [tokens, features] = [sizeOf(x, 1), sizeOf(x, 2)];
  const temperature = net.store.takeParameter(`${path}.temperature`, [heads, 1, 1]);
  if (temperature?.shape.join() !== `${heads},1,1`) throw new Departure(net.store.sourceName(`${path}.temperature`), `is no number for each of ${heads} heads`);
  const qkv = net.transpose(net.dense(x, `${path}.qkv`, { out: 3 * features }), [0, 2, 1]);
  const part = (i: number) => net.reshape(net.slice(qkv, 1, i * features, (i + 1) * features), [0, heads, features / heads, tokens]);
  const alike = net.op('MatMul', [unitLength(net, part(0), -1), net.transpose(unitLength(net, part(1), -1), [0, 1, 3, 2])]);
  const scaled = net.constantOp('Mul', alike, temperature, `${net.store.sourceName(path)}.temperature`);
  const mixed = net.op('MatMul', [net.op('Softmax', [scaled], { axis: -1 }), part(2)]);
  return net.dense(net.transpose(net.reshape(mixed, [0, features, tokens]), [0, 2, 1]), `${path}.proj`, { out: features });
}

/** Where each place is, as sines and cosines of its height and width, and a dense layer over them: [1, channels, height, width]. */
export function placesOf(net: Net, path: string, channels: number, height: number, width: number): Tensor {
  const { kernel, bias } = net.weights(path, 'conv', { kernel: [channels, 64, 1, 1], bias: [channels] });
  const [out, waves = 0] = kernel!.shape;
  if (out !== channels || !bias || waves % 4 !== 0) throw new Departure(net.store.sourceName(path), `is no dense layer from waves to ${channels} channels`);
  return derive(`${net.store.sourceName(path)}.places`, 'places', [kernel!, bias], { height, width });
}
