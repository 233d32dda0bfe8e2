/** What narrower weights cost is read off predictions, with the certainty that so many rows give. */
import { describe, expect, it } from 'vitest';
import { float32Tensor } from '../../src/model/tensor.js';
import { verdictSentence } from '../../src/report/verdict.js';
import { collectAgreement, describeAgreement, labelsOf, share } from '../../src/verify/agreement.js';
import { judgeLoss } from '../../src/verify/loss.js';
import type { OutputReport } from '../../src/verify/report.js';
import { OUTPUT } from '../report/examples.js';
import { mapOf, spread, verifyWrittenMap, written } from './small-files.js';

const PORT = { name: 'x', value: 'x', dtype: 'float32' as const, shape: ['N', 4], layout: 'other' as const };
const map = { outputs: [{ ...PORT, name: 'classes' }] };

/** Rows of four classes with this one first, by a margin. */
const rows = (classes: readonly number[], margin = 0.5) => ({
  shape: [classes.length, 4],
  data: Float32Array.from(classes.flatMap((best) => [0, 1, 2, 3].map((place) => (place === best ? 1 : 1 - margin)))),
});

function agreementOf(expected: readonly number[], actual: readonly number[], labels: readonly number[] | null = null) {
  const collector = collectAgreement(map, expected.length, labels);
  collector.add([rows(expected)], [rows(actual)]);
  return collector.report();
}

const HUNDRED = Array.from({ length: 100 }, (_, i) => i % 4);
/** The first so many rows with another class. */
const moved = (count: number) => HUNDRED.map((best, i) => (i < count ? (best + 1) % 4 : best));

describe('agreement', () => {
  it('is a share of the rows with an interval that is as wide as so many rows leave it', () => {
    // Wilson's interval for 8 of 10, as published tables have it.
    expect(share(8, 10)).toMatchObject({ share: 0.8, low: expect.closeTo(0.4902, 3), high: expect.closeTo(0.9433, 3) });
    expect(share(800, 1000).high - share(800, 1000).low).toBeLessThan(0.06);
    expect(share(20, 20)).toMatchObject({ high: expect.closeTo(1, 6), low: expect.closeTo(0.8389, 3) });
  });

  it('passes a few rows that moved, and fails many, where nothing says which class is right', () => {
    expect(agreementOf(HUNDRED, moved(3))).toMatchObject({ passed: true, same: { count: 97, of: 100 }, accuracy: null });
    expect(agreementOf(HUNDRED, moved(34))).toMatchObject({ passed: false, same: { count: 66 } });
  });

  it('counts how often the five first classes are the same, in whatever order', () => {
    const collector = collectAgreement(map, 40, null);
    const row = (order: readonly number[]) => Array.from({ length: 7 }, (_, i) => 10 - order.indexOf(i));
    const [as, turned, other] = [row([0, 1, 2, 3, 4, 5, 6]), row([4, 3, 2, 1, 0, 5, 6]), row([0, 1, 2, 3, 5, 4, 6])];
    const array = (values: readonly number[]) => ({ shape: [1, 7], data: Float32Array.from(values) });
    for (let i = 0; i < 40; i++) collector.add([array(as)], [array(i < 10 ? turned : i < 14 ? other : as)]);
    const found = collector.report()!;
    expect(found).toMatchObject({ same: { count: 30 }, five: { count: 36, of: 40, low: share(36, 40).low }, divergence: null });
    expect(describeAgreement(found)).toMatch(/the same five first for 36 \(/);
  });

  it('tells the KL divergence of probabilities, in nats', () => {
    const collector = collectAgreement(map, 20, null);
    const array = (values: readonly number[]) => ({ shape: [1, 2], data: Float64Array.from(values) });
    for (let i = 0; i < 20; i++) collector.add([array([0.75, 0.25])], [array(i === 0 ? [0.5, 0.5] : [0.75, 0.25])]);
    // 0.75 ln(0.75 / 0.5) + 0.25 ln(0.25 / 0.5)
    expect(collector.report()).toMatchObject({ five: null, divergence: { median: 0, largest: expect.closeTo(0.1308, 4) } });
  });

  it('goes by accuracy where there are labels: what moved from wrong to wrong is no loss, and what was lost is', () => {
    const wrong = HUNDRED.map((best, i) => (i < 8 ? (best + 2) % 4 : best));
    expect(agreementOf(HUNDRED, moved(8), wrong)).toMatchObject({
      passed: true,
      accuracy: { expected: { count: 92 }, actual: { count: 92 }, lost: 0, gained: 0 },
    });
    const lost = agreementOf(HUNDRED, moved(12), HUNDRED)!;
    expect(lost).toMatchObject({ passed: false, accuracy: { lost: 12, gained: 0 } });
    expect(describeAgreement(lost)).toMatch(/88 of 100 inputs .*right before 100, now 88 .*12 lost, 0 gained/);
  });

  it('of two thirds is another net, though as many are right as before', () => {
    const labels = HUNDRED.map((best, i) => (i < 17 ? best : i < 34 ? (best + 1) % 4 : best));
    expect(agreementOf(HUNDRED, moved(34), labels)).toMatchObject({ passed: false, accuracy: { lost: 17, gained: 17 } });
  });

  it('says nothing of few rows, of outputs that are no classes, and counts no row twice that filled a batch', () => {
    expect(agreementOf(HUNDRED.slice(0, 19), HUNDRED.slice(0, 19))).toBeNull();
    const collector = collectAgreement(map, 21, null);
    for (let start = 0; start < 24; start += 4) collector.add([rows(HUNDRED.slice(start, start + 4))], [rows(HUNDRED.slice(start, start + 4))]);
    expect(collector.report()!.same.of).toBe(21);
    const picture = { shape: [1, 3, 8, 8], data: new Float32Array(192) };
    const pictures = collectAgreement(map, 30, null);
    for (let i = 0; i < 30; i++) pictures.add([picture], [picture]);
    expect(pictures.report()).toBeNull();
  });

  it('never counts a NaN for a class', () => {
    const collector = collectAgreement(map, 20, null);
    const nothing = { shape: [20, 4], data: new Float32Array(80).fill(Number.NaN) };
    collector.add([nothing], [nothing]);
    expect(collector.report()).toMatchObject({ passed: false, same: { count: 0 } });
  });

  it('knows the margin by which the first class was ahead where it moved, and everywhere', () => {
    const collector = collectAgreement(map, 40, null);
    collector.add([rows(HUNDRED.slice(0, 38))], [rows(HUNDRED.slice(0, 38))]);
    collector.add([rows([0, 1], 0.01)], [rows([1, 2], 0.01)]);
    expect(collector.report()!.margins).toMatchObject({ all: expect.closeTo(0.5, 5), moved: expect.closeTo(0.01, 5) });
    // Tenths of the value of the first class.
    expect(collector.report()!.margins.bands.flatMap(({ all, moved }, i) => (all > 0 ? [[i, all, moved]] : []))).toEqual([
      [0, 2, 2],
      [5, 38, 0],
    ]);
  });

  it.each([
    ['numbers', [3], [2, 0, 1]],
    ['ones among zeros', [3, 3], [0, 0, 1, 1, 0, 0, 0, 1, 0]],
  ])('takes labels that are %s', async (_, shape, values) => {
    const tensor = float32Tensor('labels', shape, values, { file: 'pictures.npz', name: 'labels' });
    expect(await labelsOf(new Map([['labels', tensor]]))).toEqual([2, 0, 1]);
  });
});

describe('the loss of narrower weights', () => {
  const output = (more: Partial<OutputReport> = {}): OutputReport => ({ ...OUTPUT, passed: false, cosine: 0.999, top1: { same: 9, of: 10 }, ...more });
  const loss = { outputs: [output()], narrowest: 'int8', agreement: null, ofFloat16: null, isBounded: false, isGiven: false, weights: 'rounded' as const };
  const agreement = agreementOf(HUNDRED, moved(2));

  it.each([
    ['is told and not judged on generated inputs', {}, { by: 'nothing', passed: true }],
    ['is not judged there however far outputs are', { outputs: [output({ cosine: 0.4, top1: { same: 0, of: 10 } })] }, { by: 'nothing', passed: true }],
    ['fails there where nothing is left of the net', { outputs: [output({ cosine: 0.39, top1: { same: 0, of: 10 } })] }, { by: 'nothing', passed: false }],
    ['is not judged there where a few agree', { outputs: [output({ cosine: 0.39, top1: { same: 1, of: 10 } })] }, { by: 'nothing', passed: true }],
    ['is not judged there by too few inputs', { outputs: [output({ cosine: 0.1, top1: { same: 0, of: 8 } })] }, { by: 'nothing', passed: true }],
    ['fails there by one output of several', { outputs: [output(), output({ cosine: -0.2, top1: { same: 1, of: 40 } })] }, { by: 'nothing', passed: false }],
    ['is not judged there of values', { outputs: [output({ cosine: 0.39, top1: null })] }, { by: 'nothing', passed: true }],
    [
      'fails there where a file has weights of its own and another net answers',
      { weights: 'claimed', outputs: [output({ cosine: 0.4 })] },
      { by: 'nothing', passed: false },
    ],
    [
      'fails there where it has such and the classes are others',
      { weights: 'claimed', outputs: [output({ top1: { same: 3, of: 10 } })] },
      { by: 'nothing', passed: false },
    ],
    [
      'of a few real inputs is not told by values of a softmax',
      { isGiven: true, outputs: [output({ cosine: 0.7, top1: { same: 6, of: 8 } })] },
      { by: 'nothing', passed: true },
    ],
    [
      'of a few real inputs fails where their classes are others',
      { isGiven: true, outputs: [output({ top1: { same: 4, of: 8 } })] },
      { by: 'nothing', passed: false },
    ],
    ['is held to a bound in a file that is not known to be right', { weights: null }, { by: 'bound', passed: false }],
    ['is held to the bound that a user gives', { isBounded: true, agreement }, { by: 'bound', passed: false }],
    ['goes by predictions on given inputs', { isGiven: true, agreement }, { by: 'predictions', passed: true }],
    ['fails where predictions do', { isGiven: true, agreement: agreementOf(HUNDRED, moved(34)) }, { by: 'predictions', passed: false }],
    [
      'of values beside classes goes by what float16 costs',
      { isGiven: true, agreement, outputs: [output(), output({ top1: null })], ofFloat16: 40 },
      { by: 'predictions', passed: true },
    ],
    [
      'of values fails far beyond that',
      { isGiven: true, agreement, outputs: [output(), output({ top1: null })], ofFloat16: 4000 },
      { by: 'predictions', passed: false },
    ],
    [
      'is never let pass where something is not finite',
      { isGiven: true, agreement, outputs: [output({ nonFinite: { expected: 0, actual: 1 } })] },
      { by: 'bound', passed: false },
    ],
  ] as const)('%s', (_, more, judged) => {
    expect(judgeLoss({ ...loss, ...more })).toEqual(judged);
  });
});

/** A dense net whose kernels have one giant value, for an input that is always zero: int8 steps are as large as the others are. */
function spoilt(giant: number) {
  const kernel = spread(6 * 4).map((value, i) => (i % 6 === 5 ? giant : value));
  return mapOf(
    [
      {
        name: 'fc',
        op: 'Gemm',
        inputs: ['x'],
        outputs: ['y'],
        weights: { kernel: float32Tensor('kernel', [4, 6], kernel, { file: 'net.h5', name: 'kernel' }) },
      },
    ],
    [{ ...PORT, shape: ['N', 6] }],
    [{ ...PORT, name: 'y', value: 'y' }],
  );
}

describe('a file in int8', () => {
  const pictures = spread(64 * 6).map((value, i) => (i % 6 === 5 ? 0 : value * ((i * 37) % 11)));
  const inputs = new Map([['x', float32Tensor('x', [64, 6], pictures, { file: 'x.npz', name: 'x' })]]);
  const verify = async (giant: number, options: Parameters<typeof verifyWrittenMap>[2] = { inputs }) => {
    const net = spoilt(giant);
    return verifyWrittenMap(net, await written(net, 'onnx', { dtype: 'int8' }), options);
  };

  it('that predicts as its source does is a match, by its predictions', async () => {
    const { verdict, quantisation } = await verify(1);
    expect(quantisation).toMatchObject({ lossJudgedBy: 'predictions', correctness: { passed: true }, agreement: { passed: true } });
    expect(verdict).toBe('match');
  });

  it('that was ruined is a mismatch, though it computes what its weights say', async () => {
    const { verdict, quantisation, firstDifference } = await verify(3000);
    expect(quantisation).toMatchObject({ lossJudgedBy: 'predictions', correctness: { passed: true }, agreement: { passed: false } });
    expect(firstDifference!.message).toMatch(/^predictions are not the source's/);
    expect(verdict).toBe('mismatch');
  });

  it('that was ruined on a few inputs that were given is a mismatch as well, which says how few', async () => {
    const few = new Map([['x', float32Tensor('x', [8, 6], pictures.slice(0, 48), { file: 'x.npz', name: 'x' })]]);
    const report = await verify(3000, { inputs: few });
    expect(report.quantisation).toMatchObject({ lossJudgedBy: 'nothing', loss: { passed: false } });
    expect(verdictSentence(report)).toMatch(/predict otherwise: .*the same class first for \d of 8 inputs \(with so few: /);
  });
});
