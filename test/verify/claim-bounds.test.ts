/** What a file says of its weights excuses what it says, and nothing else. */
import { describe, expect, it } from 'vitest';
import type { Claim } from '../../src/model/claims.js';
import { makeLayer } from '../../src/model/ops/index.js';
import { beyondClaims } from '../../src/verify/claim-bounds.js';
import { compareWeight } from '../../src/verify/weight-pair.js';
import { tensor } from './small-files.js';

const [OUT, IN, K] = [8, 12, 9];
/** Bell-shaped, the same every time. */
const values = (count: number, seed = 1) => {
  let state = seed;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32 - 0.5;
  };
  return Array.from({ length: count }, () => uniform() + uniform() + uniform() + uniform());
};
const own = { kernel: values(OUT * IN * K), bias: values(OUT, 2) };
const norm = { scale: values(OUT, 3), bias: values(OUT, 4), mean: values(OUT, 5), variance: values(OUT, 6).map(Math.abs) };
const tensors = (weights: Readonly<Record<string, readonly number[]>>) =>
  Object.fromEntries(Object.entries(weights).map(([role, given]) => [role, tensor(role, role === 'kernel' ? [OUT, IN, 3, 3] : [given.length], given)]));
const layers = [
  makeLayer({ name: 'conv', op: 'Conv', inputs: ['x'], outputs: ['h'], weights: tensors(own) }),
  makeLayer({ name: 'dense', op: 'Gemm', inputs: ['y'], outputs: ['z'], weights: { kernel: tensor('dense', [10, 20], values(200, 7)) } }),
  makeLayer({ name: 'norm', op: 'BatchNormalization', inputs: ['h'], outputs: ['y'], weights: tensors(norm) }),
];

const outOf = (i: number) => Math.floor(i / (IN * K));
const inOf = (i: number) => Math.floor(i / K) % IN;
/** Codes so many of its own channel's deviations wide. */
const coded = (given: readonly number[], width: number) =>
  given.map((value, i) => {
    const channel = given.filter((_, j) => outOf(j) === outOf(i));
    const step = width * Math.sqrt(channel.reduce((sum, each) => sum + each * each, 0) / channel.length);
    return Math.round(value / step) * step;
  });

/** Of other lengths a dense kernel has other inputs, or else other outputs. */
const shapeFor = (shape: readonly number[], count: number) =>
  shape.reduce((a, b) => a * b, 1) === count ? shape : count % 10 === 0 && count < 100 ? [10, count / 10] : [count / 20, 20];

/** What stays of mismatches where the file has these weights, or lacks some. */
async function left(claims: readonly Claim[], changed: Readonly<Record<string, readonly number[] | null>>): Promise<string[]> {
  const stored = new Map(
    layers.flatMap(({ name, weights }) =>
      Object.entries(weights).map(([role, source]) => {
        const given = changed[`${name} ${role}`];
        return [`${name} ${role}`, given === null ? undefined : given ? tensor(role, shapeFor(source.shape, given.length), given) : source] as const;
      }),
    ),
  );
  const mismatches = Object.keys(changed).map((key) => {
    const [layer, role] = key.split(' ') as [string, string];
    return { layer, role, message: key };
  });
  const facts = await Promise.all(
    mismatches.flatMap(({ layer, role }) => {
      const found = stored.get(`${layer} ${role}`);
      const source = layers.find(({ name }) => name === layer)!.weights[role]!;
      return found ? [compareWeight(source, { tensor: found }).then((compared) => ({ layer, role, ...compared.facts }))] : [];
    }),
  );
  const written = {
    weight: ({ name }: { name: string }, role: string) => (stored.get(`${name} ${role}`) ? { tensor: stored.get(`${name} ${role}`)! } : undefined),
  };
  const found = await beyondClaims({ mismatches, tensors: facts }, claims, { map: { layers }, written });
  return found.map(({ layer, role }) => `${layer} ${role}`);
}

describe('is explained', () => {
  const factors = [1, -2, 0.5, 3, -0.1, 1, 1, 7];
  it.each<readonly [string, readonly Claim[], Parameters<typeof left>[1]]>([
    ['a kernel in wide steps', ['worked-out'], { 'conv kernel': coded(own.kernel, 1.2), 'conv bias': values(OUT, 9), 'norm mean': values(OUT, 8) }],
    ['a normalisation in a kernel', ['folded'], { 'conv kernel': own.kernel.map((value, i) => value * factors[outOf(i)]!), 'conv bias': values(OUT, 9) }],
    [
      'a kernel that computes in codes',
      ['in-codes'],
      {
        'conv kernel': coded(
          own.kernel.map((value, i) => value * factors[outOf(i)]!),
          0.1,
        ),
      },
    ],
    [
      'channels of one importance',
      ['even-channels', 'worked-out'],
      {
        'conv kernel': coded(
          own.kernel.map((value, i) => value * 2 ** (inOf(i) % 3)),
          0.7,
        ),
        'norm scale': norm.scale.map((value) => value * 4),
      },
    ],
    ['a layer that became two', ['low-rank'], { 'dense kernel': values(10 * 3) }],
  ])('%s', async (_, claims, changed) => {
    expect(await left(claims, changed)).toEqual([]);
  });
});

describe('is not explained', () => {
  const reversed = own.kernel.map((_, i) => own.kernel[(OUT - 1 - outOf(i)) * IN * K + (i % (IN * K))]!);
  const turned = own.kernel.map((_, i) => own.kernel[i - (i % K) + (K - 1 - (i % K))]!);
  const lost = own.kernel.map((value, i) => (outOf(i) === 3 ? 0 : value));
  const swapped = own.kernel.map((value, i) => (outOf(i) < 2 ? own.kernel[(1 - outOf(i)) * IN * K + (i % (IN * K))]! : value));
  const all: readonly Claim[] = ['folded', 'even-channels', 'worked-out', 'in-codes'];
  it.each<readonly [string, readonly Claim[], string, readonly number[] | null]>([
    ['output channels reversed', all, 'conv kernel', reversed],
    ['a kernel turned', all, 'conv kernel', turned],
    ['a kernel of another layer', all, 'conv kernel', values(OUT * IN * K, 77)],
    ['two channels exchanged', all, 'conv kernel', swapped],
    ['a channel lost', all, 'conv kernel', lost],
    ['a kernel twice as large', ['worked-out'], 'conv kernel', own.kernel.map((value) => 2 * value)],
    ['a kernel that is not there', all, 'conv kernel', null],
    ['a dense layer of other outputs, where it became two', ['low-rank'], 'dense kernel', values(9 * 20)],
    ['any kernel, where another layer became two', ['low-rank'], 'conv kernel', coded(own.kernel, 0.5)],
    ['a variance', ['folded', 'worked-out', 'in-codes'], 'norm variance', norm.variance.map((value) => value + 1)],
  ])('%s', async (_, claims, weight, given) => {
    expect(await left(claims, { [weight]: given })).toEqual([weight]);
  });
});

describe('a layer that was split by output channels', () => {
  const whole = values(200, 7);
  const left = async (claims: readonly Claim[], parts: Readonly<Record<string, readonly number[]>>) => {
    const weight = ({ name }: { name: string }) => (parts[name] ? { tensor: tensor(name, [parts[name].length / 20, 20], parts[name]) } : undefined);
    const found = await beyondClaims({ mismatches: [{ layer: 'dense', role: 'kernel', message: '' }], tensors: [] }, claims, {
      map: { layers },
      written: { weight },
    });
    return found.map(({ message }) => message);
  };
  const parts = { dense: whole.slice(0, 120), 'dense/part2': whole.slice(120, 160), 'dense/part3': whole.slice(160) };

  it('has its parts one behind the other', async () => {
    expect(await left(['split'], parts)).toEqual([]);
    expect(await left(['split', 'worked-out'], { ...parts, 'dense/part2': parts['dense/part2'].map((value) => Math.round(value * 4) / 4) })).toEqual([]);
  });

  it.each<readonly [string, readonly Claim[], Readonly<Record<string, readonly number[]>>, RegExp]>([
    ['a part is not there', ['split'], { dense: parts.dense, 'dense/part2': parts['dense/part2'] }, /outputs from 8 on are in no part/],
    [
      'two are exchanged',
      ['split'],
      { ...parts, 'dense/part2': parts['dense/part3'], 'dense/part3': parts['dense/part2'] },
      /"dense\/part2" differs from the source/,
    ],
    ['two are exchanged that were worked out', ['split', 'worked-out'], { ...parts, 'dense/part2': parts['dense/part3'] }, /"dense\/part2" has other signs/],
    ['there is more than the layer had', ['split'], { ...parts, 'dense/part3': whole.slice(120) }, /"dense\/part3" has the shape \[4,20\]/],
    ['nothing says that it was', [], parts, /has the shape|^$/],
  ])('is a mismatch where %s', async (_, claims, given, message) => {
    expect(await left(claims, given)).toEqual([expect.stringMatching(message)]);
  });
});
