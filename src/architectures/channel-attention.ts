/** Combinators that weigh channels by what all of them say about the whole picture: squeeze and excitation, and what came after it. */
import { reshape } from '../model/tensor.js';
import { squeezeExcite } from './blocks.js';
import { Departure, type Net, sizeOf, type Value } from './net.js';

/** Squeeze and excitation (Hu et al., 2017), or a convolution along the channels (ECA: Wang et al., 2019). */
export type ChannelAttention = 'se' | 'eca';

/** timm's modules: `<path>.fc1` and `<path>.fc2`, or `<path>.conv`. */
export function channelAttention(net: Net, x: Value, path: string, kind: ChannelAttention): Value {
  const channels = sizeOf(x, 1);
  if (kind === 'se') return squeezeExcite(net, x, { reduce: `${path}.fc1`, expand: `${path}.fc2`, width: channels / 16, act: 'relu', gate: 'sigmoid' });
  const { kernel, bias } = net.weights(`${path}.conv`, 'conv', { kernel: [1, 1, ECA_KERNEL] });
  const [out, each, length = 0] = kernel!.shape;
  if (kernel!.shape.length !== 3 || out !== 1 || each !== 1 || length % 2 === 0 || bias) {
    throw new Departure(net.store.sourceName(`${path}.conv`), `is no convolution along channels: its kernel is of shape [${kernel!.shape}]`);
  }
  // Channels as the rows of a picture of one channel.
  const squeezed = net.reshape(net.op('GlobalAveragePool', [x]), [0, 1, channels, 1]);
  const along = { strides: [1, 1], dilations: [1, 1], group: 1, pads: [(length - 1) / 2, 0, (length - 1) / 2, 0] };
  const scores = net.module(`${path}.conv`, 'Conv', squeezed, { kernel: reshape(kernel!, [1, 1, length, 1]) }, along);
  return net.multiply(x, net.reshape(net.activation(scores, 'sigmoid'), [0, channels, 1, 1]));
}

const ECA_KERNEL = 5;
/** Of ResNeSt's published nets. */
const RADIX = 2;

/**
 * The 3 x 3 convolution of ResNeSt (Zhang et al., 2020, figure 2): several of them side by side, and of each channel their mean as a softmax
 * over them weighs it.
 */
export function splitAttention(net: Net, x: Value, path: string, { width, groups }: { readonly width: number; readonly groups: number }): Value {
  const usual = { out: width * RADIX, kernel: 3, groups: groups * RADIX };
  const all = net.activation(net.norm(net.conv(x, `${path}.conv`, usual), `${path}.bn0`), 'relu');
  const radix = sizeOf(all, 1) / width;
  const parts = Array.from({ length: radix }, (_, r) => net.slice(all, 1, r * width, (r + 1) * width));
  const sum = (values: readonly Value[]) => values.reduce((a, b) => net.add(a, b));
  const squeezed = net.conv(net.op('GlobalAveragePool', [sum(parts)]), `${path}.fc1`, { out: Math.max(32, (width * radix) / 4), groups, bias: true });
  const scores = net.conv(net.activation(net.norm(squeezed, `${path}.bn1`), 'relu'), `${path}.fc2`, { out: width * radix, groups, bias: true });
  if (radix === 1) return net.multiply(all, net.activation(scores, 'sigmoid'));
  const apart = net.transpose(net.reshape(scores, [0, groups, radix, width / groups]), [0, 2, 1, 3]);
  const weights = net.reshape(net.op('Softmax', [apart], { axis: 1 }), [0, radix * width, 1, 1]);
  return sum(parts.map((part, r) => net.multiply(part, net.slice(weights, 1, r * width, (r + 1) * width))));
}
