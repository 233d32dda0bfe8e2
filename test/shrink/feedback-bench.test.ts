/** The kernels that feed errors back, against plain arithmetic on numbers, bit for bit. */
import { expect, it } from 'vitest';
import { roundToEven } from '../../src/model/quantise.js';
import { FeedbackBench, type GroupSteps } from '../../src/shrink/feedback-bench.js';
import type { Rows } from '../../src/shrink/patches.js';

const wave = (length: number, seed: number) => Float32Array.from({ length }, (_, i) => Math.sin(i * i * 0.37 + seed) * (1 + (i % 5)));

/** Rows of all groups, among them zeros of both signs and subnormals. */
function rowsOf(count: number, depth: number, seed: number): Rows {
  const data = wave(count * depth, seed).map((value, i) => (i % 11 === 0 ? 0 : i % 13 === 0 ? -0 : i % 17 === 0 ? value * 2 ** -140 : value));
  // A place that nothing reaches.
  data.fill(0, count, 2 * count);
  return { count, depth, data };
}

function plainCode(
  { steps, zeros, perChannel, places, low, high }: GroupSteps,
  channel: number,
  place: number,
  value: number,
): [code: number, step: number, zero: number] {
  const group = channel * perChannel + places[place]!;
  const [step, zero] = [steps[group]!, zeros?.[group] ?? 0];
  return [Math.min(high - zero, Math.max(low - zero, roundToEven(value / step))), step, zero];
}

function plainFeedback(values: Float32Array, channels: number, { count, depth, data }: Rows, energies: Float64Array, told: GroupSteps) {
  const left = Array.from({ length: channels }, () => new Float64Array(count));
  const [codes, lost] = [new Uint8Array(values.length), new Float64Array(values.length)];
  for (let t = 0; t < depth; t++) {
    const row = data.subarray(t * count, (t + 1) * count);
    for (const [c, own] of left.entries()) {
      const sums = [0, 0, 0, 0];
      const whole = count - (count % 4);
      for (let i = 0; i < count; i++) sums[i < whole ? i % 4 : 0]! += row[i]! * own[i]!;
      const weight = values[c * depth + t]!;
      const wanted = energies[t]! > 0 ? weight + (sums[0]! + sums[1]! + sums[2]! + sums[3]!) / energies[t]! : weight;
      const [code, step, zero] = plainCode(told, c, t, wanted);
      codes[c * depth + t] = code + zero;
      lost[c * depth + t] = weight - code * step;
      for (let i = 0; i < count; i++) own[i]! += lost[c * depth + t]! * row[i]!;
    }
  }
  return { codes, left, lost };
}

function plainAlong(lost: Float64Array, channels: number, { count, depth, data }: Rows): Float64Array[] {
  const sums = Array.from({ length: channels }, () => new Float64Array(count));
  for (const [c, own] of sums.entries()) for (let t = 0; t < depth; t++) for (let i = 0; i < count; i++) own[i]! += lost[c * depth + t]! * data[t * count + i]!;
  return sums;
}

/** The part of rows that a group of a convolution sees. */
const part = ({ count, data }: Rows, group: number, depth: number): Rows => ({
  count,
  depth,
  data: data.subarray(group * depth * count, (group + 1) * depth * count),
});

it.each([
  { what: 'a step for each channel', depth: 9, channels: 5, counts: [32, 17], groups: 2, perChannel: 1, low: -127, high: 127, isZeroed: false },
  { what: 'one step for all, with a zero', depth: 8, channels: 16, counts: [6, 5], groups: 1, perChannel: 0, low: 0, high: 255, isZeroed: true },
  { what: 'steps and zeros of blocks', depth: 24, channels: 3, counts: [3, 40], groups: 1, perChannel: 3, low: 0, high: 15, isZeroed: true },
  { what: 'a single place', depth: 1, channels: 1, counts: [4, 1], groups: 3, perChannel: 1, low: -8, high: 7, isZeroed: false },
])('$what: codes, what is left, and what comes of it on other rows', ({ depth, channels, counts, groups, perChannel, low, high, isZeroed }) => {
  const [fit, check] = counts.map((count, i) => rowsOf(count, depth * groups + 1, i)) as [Rows, Rows];
  const parameters = Math.max(1, perChannel * channels);
  const steps = Float32Array.from({ length: parameters }, (_, i) => 0.07 * (1 + (i % 3)));
  const zeros = isZeroed ? Uint8Array.from(steps, (_, i) => (i * 7) % 16) : null;
  const places = Int32Array.from({ length: depth }, (_, t) => (perChannel > 1 ? Math.floor((t * perChannel) / depth) : 0));
  const told = { steps, zeros, perChannel, places, low, high };
  const bench = new FeedbackBench({ fit, check }, depth, channels, parameters);
  for (let group = 0; group < groups; group++) {
    const [own, other] = [part(fit, group, depth), part(check, group, depth)];
    const values = wave(channels * depth, group).map((value) => value * 0.1);
    const energies = Float64Array.from({ length: depth }, (_, t) =>
      own.data.subarray(t * own.count, (t + 1) * own.count).reduce((sum, value) => sum + value ** 2, 0),
    );
    bench.load(values, group);
    bench.round(told);
    const rounded = Float64Array.from(values, (value, at) => {
      const [code, step] = plainCode(told, Math.floor(at / depth), at % depth, value);
      return value - code * step;
    });
    expect(bench.along('check')).toEqual(plainAlong(rounded, channels, other));
    const plain = plainFeedback(values, channels, own, energies, told);
    const { codes, left } = bench.feedback(energies, told);
    expect(codes).toEqual(plain.codes);
    expect(left).toEqual(plain.left);
    expect(bench.along('check')).toEqual(plainAlong(plain.lost, channels, other));
    bench.lose(rounded);
    expect(bench.along('fit')).toEqual(plainAlong(rounded, channels, own));
  }
  bench.close();
});
