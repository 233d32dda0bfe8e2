/**
 * The encoder that SegFormer and PVT v2 share: stages of attention in which each place asks squares of places, which a convolution (or a
 * mean) makes into one.
 */
import { adaptivePool } from './adaptive.js';
import { layerNorm } from './attention.js';
import { residual } from './blocks.js';
import { type Net, sizeOf, type Value } from './net.js';

export interface Pyramid {
  readonly depths: readonly number[];
  readonly widths: readonly number[];
  /** How often features are wider inside of a block, by stages. */
  readonly ratios: readonly number[];
  readonly epsilon: number;
  /** Of the normalisations behind convolutions, where it is another. */
  readonly outer?: number;
  /** Squares are means, seven on a side whatever the picture's size (PVT v2's linear nets). */
  readonly linear?: true;
}

/** Of places, whose keys and values are one. */
const REDUCTIONS = [8, 4, 2, 1];
/** Of the means on a side, in linear nets. */
const MEANS = 7;
const HEADS = 'attention has {} heads, by stages';

/**
 * @param input [batch, channels, height, width]
 * @returns a picture of each stage: [batch, width of the stage, height / 4, width / 4], then halved from stage to stage
 */
export function pyramid(net: Net, input: Value, { depths, widths, ratios, epsilon, outer = epsilon, linear }: Pyramid): readonly Value[] {
  const usual = widths.map((width) => Math.max(1, Math.round(width / widths[0]!))).join(',');
  const heads = net.setting<string>('heads', usual, HEADS).split(',').map(Number);
  const pictures: Value[] = [];
  let x = input;
  depths.forEach((depth, s) => {
    const kernel = s === 0 ? 7 : 3;
    const taken = net.conv(x, `patches.${s}.proj`, { out: widths[s], kernel, stride: s === 0 ? 4 : 2, bias: true });
    const size = [sizeOf(taken, 2), sizeOf(taken, 3)] as const;
    const place = { size, heads: heads[s] ?? 1, reduction: REDUCTIONS[s] ?? 1, ratio: ratios[s] ?? 4, outer, linear };
    let y = layerNorm(net, inRows(net, taken), `patches.${s}.layer_norm`, outer);
    for (let b = 0; b < depth; b++) {
      const at = `block.${s}.${b}`;
      y = residual(net, y, (z) => attendReduced(net, layerNorm(net, z, `${at}.norm1`, epsilon), at, place));
      y = residual(net, y, (z) => blend(net, layerNorm(net, z, `${at}.norm2`, epsilon), at, place));
    }
    x = asPicture(net, layerNorm(net, y, `norm.${s}`, epsilon), size);
    pictures.push(x);
  });
  return pictures;
}

/** Places as tokens: [batch, channels, height, width] to [batch, tokens, channels]. */
export function inRows(net: Net, x: Value): Value {
  return net.transpose(net.reshape(x, [0, sizeOf(x, 1), sizeOf(x, 2) * sizeOf(x, 3)]), [0, 2, 1]);
}

/** Tokens as places again. */
export function asPicture(net: Net, x: Value, [height, width]: readonly [number, number]): Value {
  return net.reshape(net.transpose(x, [0, 2, 1]), [0, sizeOf(x, 2), height, width]);
}

interface Asking {
  readonly size: readonly [number, number];
  readonly heads: number;
  readonly reduction: number;
  readonly outer: number;
  readonly linear?: true | undefined;
}

interface Place extends Asking {
  readonly ratio: number;
}

/** Attention of each place to squares of places, over tokens. */
export function attendReduced(net: Net, x: Value, at: string, { size, heads, reduction, outer, linear }: Asking): Value {
  const features = sizeOf(x, 2);
  const each = features / heads;
  const side = net.store.shape(`${at}.reduce`)?.[2] ?? (linear ? 1 : reduction);
  const options = { kernel: side, stride: side, pad: 0, bias: true };
  const reduced = () => {
    const picture = asPicture(net, x, size);
    const taken = net.conv(linear ? adaptivePool(net, picture, MEANS, MEANS) : picture, `${at}.reduce`, options);
    const normal = layerNorm(net, inRows(net, taken), `${at}.reduced`, outer);
    return linear ? net.activation(normal, 'gelu') : normal;
  };
  const asked = net.has(`${at}.reduce`, linear ?? reduction > 1) ? reduced() : x;
  const byHead = (y: Value, perm: readonly number[]) => net.transpose(net.reshape(y, [0, sizeOf(y, 1), heads, each]), perm);
  const toQueries = [0, 2, 1, 3];
  const toKeys = [0, 2, 3, 1];
  const q = net.constantOp('Mul', byHead(net.dense(x, `${at}.query`), toQueries), each ** -0.5);
  const both = net.has(`${at}.kv`, false) ? net.dense(asked, `${at}.kv`, { out: 2 * features }) : null;
  const keys = both ? net.slice(both, 2, 0, features) : net.dense(asked, `${at}.key`);
  const scores = net.op('Softmax', [net.op('MatMul', [q, byHead(keys, toKeys)])], { axis: -1 });
  const values = both ? net.slice(both, 2, features, 2 * features) : net.dense(asked, `${at}.value`);
  const mixed = net.op('MatMul', [scores, byHead(values, toQueries)]);
  return net.dense(net.reshape(net.transpose(mixed, [0, 2, 1, 3]), [0, sizeOf(x, 1), features]), `${at}.proj`);
}

/** Two dense layers, and between them what lies around each place. */
function blend(net: Net, x: Value, at: string, { size, ratio, linear }: Place): Value {
  const features = sizeOf(x, 2);
  const wide = asPicture(net, net.dense(x, `${at}.first`, { out: ratio * features }), size);
  const deep = net.conv(linear ? net.activation(wide, 'relu') : wide, `${at}.deep`, { kernel: 3, depthwise: true, bias: true });
  return net.dense(net.activation(inRows(net, deep), 'gelu'), `${at}.second`, { out: features });
}
