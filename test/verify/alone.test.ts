/** A fault that is smaller than what rounding does to its net. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LayerMap } from '../../src/model/layer-map.js';
import { numbersTensor } from '../../src/model/numbers.js';
import { inferMap, makeLayer } from '../../src/model/ops/index.js';
import { isTied } from '../../src/verify/alone.js';
import { evaluateSegment } from '../../src/verify/causes/segment.js';
import { faultsFor } from './faults/any-net.js';
import { scoreFault, verifyEdited } from './faults/catalogue.js';
import { foreignNets, foreignSubject } from './faults/foreign.js';

/** Fifty narrow layers whose statistics are small: they make 2.8e-5 of a rounding. */
const NET = 'mobilenet_v2, weights of torch';

describe('in a net that makes much of a rounding', () => {
  let subject: Awaited<ReturnType<typeof foreignSubject>>;
  beforeAll(async () => {
    subject = await foreignSubject(foreignNets().find(({ name }) => name === NET)!);
  });
  afterAll(() => subject.close());

  it('every layer is looked at alone, and is right where the file is', async () => {
    const { verdict, trials, tolerance } = await verifyEdited(subject, () => {});
    expect(tolerance.rtol).toBeGreaterThan(1e-4);
    expect(verdict).toBe('match');
    expect(trials.find(({ kind }) => kind === 'alone')).toMatchObject({ passed: true });
  });

  it('another epsilon, which outputs do not show, is seen, placed and named', async () => {
    const fault = faultsFor(subject.map).find(({ kind }) => kind === 'epsilon')!;
    const report = await verifyEdited(subject, fault.edit);
    expect(report.outputs.every(({ passed }) => passed)).toBe(true);
    expect(report.trials.find(({ kind }) => kind === 'alone')!.message).toContain(`layer "${fault.layer}" (BatchNormalization)`);
    expect(await scoreFault(subject, fault)).toMatchObject({ outcome: 'seen', placed: true, named: true });
  });
});

describe('a code that differs by one', () => {
  const ORIGIN = { file: 'made' };
  const constant = (name: string, dtype: 'float32' | 'uint8', shape: readonly number[], value: number) =>
    makeLayer(
      { name, op: 'Constant', inputs: [], outputs: [name], weights: { value: numbersTensor(name, dtype, shape, [value], ORIGIN) }, attributes: {} },
      [],
    );
  // 0.1 * 0.1 / 0.02: what is odd lies between two codes, but for what float32 has of these numbers.
  const constants = [
    ...[constant('xs', 'float32', [], 0.1), constant('ks', 'float32', [], 0.1), constant('ys', 'float32', [], 0.02)],
    ...[constant('zero', 'uint8', [], 0), constant('k', 'uint8', [1, 1, 1, 1], 1)],
  ];
  const inputs = ['x', 'xs', 'zero', 'k', 'ks', 'zero', 'ys', 'zero'];
  const shape = [1, 1, 1, 4];
  const shapes = inputs.map((name) => (name === 'x' ? shape : name === 'k' ? [1, 1, 1, 1] : []));
  const layers = [...constants, makeLayer({ name: 'q', op: 'QLinearConv', inputs, outputs: ['y'], attributes: {} }, shapes)];
  const port = { name: 'x', value: 'x', dtype: 'uint8', valueDType: 'uint8', shape, layout: 'nchw' } as const;
  const map: LayerMap = { name: 'net', format: 'made', producer: null, architecture: null, warnings: [], inputs: [port], outputs: [], layers };
  const values = new Map([['x', { shape, data: Float64Array.of(1, 2, 3, 4), dtype: 'uint8' as const }]]);
  const segment = { map, layers, values, types: inferMap(map), others: new Map() };
  const found = async (codes: readonly number[]) => {
    const base = await evaluateSegment(segment);
    return isTied(segment, base, { ...base, data: Float64Array.from(codes) });
  };

  it('is right where the number lies between the two, but for a rounding of the scales', async () => {
    for (const first of [0, 1]) for (const third of [1, 2]) expect(await found([first, 1, third, 2])).toBe(true);
  });

  it.each([
    ['where it does not', [0, 2, 1, 2]],
    ['where it does not, below', [0, 1, 1, 1]],
    ['where it is further off', [2, 1, 1, 2]],
  ])('is wrong %s', async (_, codes) => {
    expect(await found(codes)).toBe(false);
  });
});
