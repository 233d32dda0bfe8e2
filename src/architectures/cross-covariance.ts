/** What XCiT (El-Nouby et al., "XCiT: Cross-Covariance Image Transformers", 2021) and EdgeNeXt share: channels that ask each other, and places as waves. */
import type { Tensor } from '../model/tensor.js';
import { unitLength } from './attention.js';
import { computed, numbersOf } from './computed.js';
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
  const half = waves / 2;
  const wave = (at: number, size: number, i: number) => {
    const angle = ((at + 1) / (size + 1e-6)) * 2 * Math.PI;
    const slowed = angle / 10_000 ** ((2 * Math.floor(i / 2)) / half);
    return i % 2 === 0 ? Math.sin(slowed) : Math.cos(slowed);
  };
  const shape = [1, channels, height, width];
  return computed(kernel!, `${net.store.sourceName(path)}.places`, shape, async () => {
    const [matrix, shift] = await Promise.all([numbersOf(kernel!), numbersOf(bias)]);
    const rows = Array.from({ length: height }, (_, y) => Array.from({ length: half }, (__, i) => wave(y, height, i)));
    const columns = Array.from({ length: width }, (_, x) => Array.from({ length: half }, (__, i) => wave(x, width, i)));
    const dot = (waved: readonly number[], from: number) => waved.reduce((sum, value, i) => sum + value * matrix[from + i]!, 0);
    const all = new Float64Array(channels * height * width);
    for (let c = 0, at = 0; c < channels; c++) {
      const vertical = rows.map((waved) => dot(waved, c * waves) + shift[c]!);
      const horizontal = columns.map((waved) => dot(waved, c * waves + half));
      for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) all[at++] = vertical[y]! + horizontal[x]!;
    }
    return all;
  });
}
