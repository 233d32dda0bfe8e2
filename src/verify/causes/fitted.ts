/**
 * What is worked out from the numbers themselves: which channel became which, by how much, where values are cut off. A fit explains what no
 * mistake of the other families does, and is named only then.
 */
import { mapValue, type Value } from '../../model/ops/array.js';
import { elementCount } from '../../model/tensor.js';
import { listed } from '../../words.js';
import { picked } from './edit.js';
import { NARROWER } from './precision.js';

/** Beside the largest value: what is this near is the same. */
const SAME = 1e-4;
/** Of the same: what right answers are apart in float32. */
const ROUNDING = 1e-6;

export interface Fit {
  readonly kind: string;
  readonly what: string;
  made(value: Value, target: Value): Value | null;
  /** What the numbers say, in words. */
  told?(value: Value, target: Value): string;
}

/** Those that say most first. */
export const fits: readonly Fit[] = [
  {
    kind: 'not-a-number',
    what: 'no number, or an infinite one, where the source has numbers',
    told: (value, target) => `${lost(value, target)} of ${target.data.length} values`,
    made: (value, target) =>
      lost(value, target) > 0 ? { ...value, data: value.data.map((x, i) => (Number.isFinite(target.data[i]) ? x : target.data[i]!)) } : null,
  },
  ...NARROWER.map(
    ([, what, of]): Fit => ({
      kind: 'narrower-value',
      what: `values ${what}`,
      made(value, target) {
        if (!target.data.every((x) => of(x) === x) || value.data.every((x) => of(x) === x)) return null;
        // Between two of them a rounding before decides.
        const least = ROUNDING * scaleOf(value.data);
        return { ...value, data: value.data.map((x, i) => (target.data[i]! >= of(x - least) && target.data[i]! <= of(x + least) ? target.data[i]! : of(x))) };
      },
    }),
  ),
  {
    kind: 'channels-permuted',
    what: 'channels in another order',
    told: (value, target) => describeOrder(matched(value, target) ?? []),
    made(value, target) {
      const order = matched(value, target);
      return order?.some((place, i) => place !== i) ? picked(value, 1, order) : null;
    },
  },
  {
    kind: 'constant',
    what: 'the same number everywhere',
    told: (_, target) => `${target.data[0]}`,
    made: (value, target) => mapValue(value, () => target.data[0]!),
  },
  someChannels(0.25),
  {
    kind: 'scaled',
    what: 'everything times one number, as by a wrong scale',
    told: (value, target) => `times ${slope(value.data, target.data).toPrecision(5)}`,
    made(value, target) {
      const factor = slope(value.data, target.data);
      return mapValue(value, (x) => x * factor);
    },
  },
  {
    kind: 'shifted-value',
    what: 'one number added everywhere, as by a wrong zero point',
    told: (value, target) => `plus ${(mean(target.data) - mean(value.data)).toPrecision(5)}`,
    made(value, target) {
      const offset = mean(target.data) - mean(value.data);
      return mapValue(value, (x) => x + offset);
    },
  },
  {
    kind: 'scaled-and-shifted',
    what: 'everything scaled and shifted',
    made(value, target) {
      const [factor, offset] = line(value.data, target.data);
      return mapValue(value, (x) => factor * x + offset);
    },
  },
  {
    kind: 'clip',
    what: 'values cut off',
    told: (value, target) =>
      bounds(value, target)
        .map(([side, bound]) => `${side} ${bound.toPrecision(4)}`)
        .join(' and '),
    made(value, target) {
      const found = bounds(value, target);
      if (found.length === 0) return null;
      const [low, high] = (['below', 'above'] as const).map((side) => found.find(([which]) => which === side)?.[1]);
      return mapValue(value, (x) => Math.min(high ?? x, Math.max(low ?? x, x)));
    },
  },
  {
    kind: 'channel-bias',
    what: 'a number added to each channel, as by another bias',
    told: (value, target) => channelsTold(value, target),
    made: (value, target) =>
      byChannel(value, target, (a, b) => {
        const offset = mean(b) - mean(a);
        return (x) => x + offset;
      }),
  },
  {
    kind: 'channel-scale',
    what: 'each channel times its own number, as by another scale',
    told: (value, target) => channelsTold(value, target),
    made: (value, target) =>
      byChannel(value, target, (a, b) => {
        const factor = slope(a, b);
        return (x) => x * factor;
      }),
  },
  {
    kind: 'channel-line',
    what: 'each channel scaled and shifted',
    told: (value, target) => channelsTold(value, target),
    made: (value, target) =>
      byChannel(value, target, (a, b) => {
        const [factor, offset] = line(a, b);
        return (x) => factor * x + offset;
      }),
  },
  someChannels(0.5),
];

function lost(value: Value, target: Value): number {
  return target.data.reduce((count, x, i) => count + (Number.isFinite(value.data[i]) && !Number.isFinite(x) ? 1 : 0), 0);
}

function mean(values: Float64Array): number {
  return values.reduce((sum, x) => sum + x, 0) / Math.max(1, values.length);
}

/** The factor that brings one nearest to the other. */
function slope(from: Float64Array, to: Float64Array): number {
  let [dot, square] = [0, 0];
  for (let i = 0; i < from.length; i++) {
    dot += from[i]! * to[i]!;
    square += from[i]! * from[i]!;
  }
  return square === 0 ? 1 : dot / square;
}

function line(from: Float64Array, to: Float64Array): [factor: number, offset: number] {
  const [a, b] = [mean(from), mean(to)];
  let [dot, square] = [0, 0];
  for (let i = 0; i < from.length; i++) {
    dot += (from[i]! - a) * (to[i]! - b);
    square += (from[i]! - a) ** 2;
  }
  const factor = square === 0 ? 1 : dot / square;
  return [factor, b - factor * a];
}

/** The values of one channel, of all rows. */
function channelOf({ shape, data }: Value, channel: number): Float64Array {
  const inner = elementCount(shape.slice(2));
  const out = new Float64Array(shape[0]! * inner);
  for (let n = 0; n < shape[0]!; n++) out.set(data.subarray((n * shape[1]! + channel) * inner, (n * shape[1]! + channel + 1) * inner), n * inner);
  return out;
}

/** Fewer values than these in a channel are met by any line. */
const LEAST_VALUES = 4;

function byChannel(value: Value, target: Value, solve: (a: Float64Array, b: Float64Array) => (x: number) => number): Value | null {
  const [rows, channels] = [value.shape[0] ?? 0, value.shape[1] ?? 0];
  const inner = elementCount(value.shape.slice(2));
  if (value.shape.length < 2 || rows * inner < LEAST_VALUES) return null;
  const fits = Array.from({ length: channels }, (_, c) => solve(channelOf(value, c), channelOf(target, c)));
  return { ...value, data: value.data.map((x, i) => fits[Math.floor(i / inner) % channels]!(x)) };
}

function scaleOf(values: Float64Array): number {
  return values.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
}

function differing(value: Value, target: Value): number[] {
  const near = SAME * scaleOf(value.data);
  return Array.from({ length: value.shape[1] ?? 0 }, (_, c) => c).filter((c) => {
    const [a, b] = [channelOf(value, c), channelOf(target, c)];
    return a.some((x, i) => !(Math.abs(x - b[i]!) <= near));
  });
}

function channelsTold(value: Value, target: Value): string {
  const wrong = differing(value, target);
  const isZero = wrong.length > 0 && wrong.every((c) => channelOf(target, c).every((x) => x === 0));
  return `${isZero ? 'all zero: ' : ''}${wrong.length} of ${value.shape[1]} channels differ${wrong.length > 0 ? ` (${listed(wrong.map(String))})` : ''}`;
}

/** For each channel of the target the channel that it was; null where there is not one for each. */
function matched(value: Value, target: Value): number[] | null {
  const channels = value.shape[1] ?? 0;
  if (channels < 2 || channels > 4096 || value.shape.join() !== target.shape.join()) return null;
  const near = SAME * scaleOf(value.data);
  const own = Array.from({ length: channels }, (_, c) => channelOf(value, c));
  const free = new Set(own.keys());
  const order: number[] = [];
  for (let c = 0; c < channels; c++) {
    const wanted = channelOf(target, c);
    const fits = (place: number) => own[place]!.every((x, i) => Math.abs(x - wanted[i]!) <= near);
    const place = free.has(c) && fits(c) ? c : [...free].find(fits);
    if (place === undefined) return null;
    free.delete(place);
    order.push(place);
  }
  return order;
}

function describeOrder(order: readonly number[]): string {
  const moved = order.flatMap((place, i) => (place === i ? [] : [i]));
  if (moved.length === 2) return `channels ${moved[0]} and ${moved[1]} swapped`;
  if (order.every((place, i) => place === order.length - 1 - i)) return 'all in reverse';
  const by = order[0]!;
  if (order.every((place, i) => place === (i + by) % order.length)) return `all moved on by ${order.length - by}`;
  // As of the gates of a recurrent layer.
  const blocks = Array.from({ length: MOST_BLOCKS - 1 }, (_, i) => i + 2).find((count) => blockOrder(order, count));
  if (blocks !== undefined) return `${blocks} blocks of ${order.length / blocks}, in the order ${blockOrder(order, blocks)!.join(', ')}`;
  return `${moved.length} of ${order.length} moved`;
}

const MOST_BLOCKS = 8;

/** The order of so many blocks of channels that lie beside each other in each; null where channels do not move so. */
function blockOrder(order: readonly number[], count: number): number[] | null {
  const size = order.length / count;
  if (!Number.isInteger(size) || size < 2) return null;
  const blocks = Array.from({ length: count }, (_, i) => order[i * size]! / size);
  return order.every((place, i) => place === blocks[Math.floor(i / size)]! * size + (i % size)) ? blocks : null;
}

/** Where the target stops although the values go on, on either side. */
function bounds(value: Value, target: Value): ['below' | 'above', number][] {
  const [low, high] = extent(target.data);
  const [least, most] = extent(value.data);
  return [...(least < low ? [['below', low] as ['below', number]] : []), ...(most > high ? [['above', high] as ['above', number]] : [])];
}

function extent(values: Float64Array): [low: number, high: number] {
  return values.reduce<[number, number]>(([low, high], x) => [Math.min(low, x), Math.max(high, x)], [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]);
}

/** Channels that are off alone, up to a part of all. */
function someChannels(share: number): Fit {
  return {
    kind: 'some-channels',
    what: 'some channels alone',
    told: (value, target) => channelsTold(value, target),
    made(value, target) {
      const wrong = differing(value, target);
      const channels = value.shape[1] ?? 0;
      if (wrong.length === 0 || wrong.length > Math.max(1, channels * share)) return null;
      const [inner, places] = [elementCount(value.shape.slice(2)), new Set(wrong)];
      return { ...value, data: value.data.map((x, i) => (places.has(Math.floor(i / inner) % channels) ? target.data[i]! : x)) };
    },
  };
}
