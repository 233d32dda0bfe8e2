/** What an evaluation counts, and that parts add up to the whole exactly. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isModelError } from '../src/errors.js';
import { type EvaluationDocument, mergeEvaluations, missingShards, parseEvaluation, type Row, tally } from '../src/evaluate/document.js';
import { alignClasses } from '../src/evaluate/evaluate.js';

const row = (label: number | null, top: readonly number[], other?: readonly number[]): Row => ({
  name: 'x',
  label,
  top,
  value: 1,
  ...(other ? { other } : {}),
});

function documentOf(rows: readonly Row[], index: number, of: number, change: Partial<EvaluationDocument> = {}): EvaluationDocument {
  const model = { path: 'm', format: 'onnx', engine: 'e', sha256: { m: 'a' } };
  const data = { path: 'd', pictures: 10, sha256: 'b', prepared: 'p' };
  return {
    schema: 'weighbridge/evaluation@1',
    model,
    against: model,
    data,
    shards: [{ index, of }],
    ...tally(rows, true),
    failed: [],
    notes: [],
    elapsedMs: 1,
    ...change,
  };
}

it('counts what is first, what is among five, and what is taken for what', () => {
  const rows = [
    row(1, [1, 2, 3, 4, 5], [1, 3, 2, 4, 5]),
    row(2, [1, 2, 3, 4, 5], [2, 1, 3, 4, 9]),
    row(7, [1, 2, 3, 4, 5], [2, 1, 3, 4, 5]),
    row(null, [3], [3]),
    { ...row(1, [], [1]), turned: true as const },
  ];
  expect(tally(rows, true)).toEqual({
    counts: { pictures: 5, labelled: 4, top1: 1, top5: 2, turned: 1 },
    other: { top1: 3, top5: 3, agree: 2, agreeTop5: 3 },
    confusion: [{ wanted: 2, found: 1, count: 2 }],
  });
  expect(tally(rows, false)).toMatchObject({
    other: null,
    confusion: [
      { wanted: 2, found: 1, count: 1 },
      { wanted: 7, found: 1, count: 1 },
    ],
  });
});

it('parts in any order add up to the whole, bit for bit', () => {
  const classes = fc.uniqueArray(fc.integer({ min: 0, max: 6 }), { minLength: 5, maxLength: 5 });
  const rows = fc.array(
    fc
      .tuple(fc.option(fc.integer({ min: 0, max: 6 })), classes, classes, fc.boolean())
      .map(([label, top, other, isTurned]): Row => ({ ...row(label, top, other), ...(isTurned ? { turned: true } : {}) })),
    { maxLength: 60 },
  );
  fc.assert(
    fc.property(rows, fc.integer({ min: 1, max: 5 }), fc.boolean(), (all, of, reversed) => {
      const parts = Array.from({ length: of }, (_, part) =>
        documentOf(
          all.filter((_row, i) => i % of === part),
          part + 1,
          of,
        ),
      );
      const merged = mergeEvaluations(reversed ? parts.toReversed() : parts);
      expect({ counts: merged.counts, other: merged.other, confusion: merged.confusion }).toEqual(tally(all, true));
      expect(missingShards(merged)).toEqual([]);
    }),
  );
});

it('what does not belong together is refused, and a part that is not there is told', () => {
  const [first, second] = [documentOf([], 1, 3), documentOf([], 2, 3)];
  expect(missingShards(mergeEvaluations([second, first]))).toEqual([3]);
  const refused = (a: EvaluationDocument, b: EvaluationDocument) => {
    try {
      mergeEvaluations([a, b]);
    } catch (error) {
      return isModelError(error, 'usage') ? error.message : error;
    }
    return 'merged';
  };
  expect(refused(first, first)).toContain('part 1 of 3 is there twice');
  expect(refused(first, { ...second, model: { ...second.model, sha256: { m: 'c' } } })).toContain('different models');
  expect(refused(first, { ...second, data: { ...second.data, sha256: 'c' } })).toContain('different data');
  expect(refused(first, { ...second, data: { ...second.data, prepared: 'c' } })).toContain('different preparations');
  expect(refused(first, documentOf([], 2, 4))).toContain('different numbers of parts');
});

const GOOD = documentOf([row(1, [1, 2], [1, 2]), row(2, [1, 2], [2, 1]), row(null, [3], [1])], 2, 3, { failed: [{ name: 'x', problem: 'y' }], notes: ['n'] });

it('an evaluation is read as it was written', () => {
  expect(parseEvaluation(JSON.stringify(GOOD), 'e.json')).toEqual(GOOD);
  const alone = { ...GOOD, against: null, other: null };
  expect(parseEvaluation(JSON.stringify(alone), 'e.json')).toEqual(alone);
});

it.each<[field: string, values: readonly unknown[]]>([
  ['model', [null, {}, { ...GOOD.model, engine: 5 }, { ...GOOD.model, sha256: { m: {} } }, { ...GOOD.model, sha256: undefined }]],
  ['against', [5, {}]],
  ['data', [{}, { ...GOOD.data, pictures: '4' }, { ...GOOD.data, pictures: -1 }]],
  [
    'shards',
    [
      [],
      [null],
      {},
      [{ index: 1, of: 4e9 }],
      [{ index: 4, of: 3 }],
      [{ index: 0, of: 1 }],
      [{ index: 0.5, of: 1.5 }],
      [
        { index: 1, of: 2 },
        { index: 2, of: 3 },
      ],
    ],
  ],
  [
    'counts',
    [
      {},
      { ...GOOD.counts, pictures: 1 },
      { ...GOOD.counts, top1: 3 },
      { ...GOOD.counts, top5: 9 },
      { ...GOOD.counts, labelled: '2' },
      { ...GOOD.counts, turned: 4 },
      { ...GOOD.counts, turned: undefined },
    ],
  ],
  ['other', [null, 5, { ...GOOD.other, agree: 4 }, { ...GOOD.other, agreeTop5: 'x' }, { ...GOOD.other, top1: 9 }]],
  ['confusion', [{}, [null], [{ wanted: 'a', found: 1, count: 1 }], [{ wanted: 1, found: 2, count: 4 }], [{ wanted: 1, found: 2, count: -1 }]]],
  ['failed', [[null], [{ name: {}, problem: 'x' }], 'x']],
  ['notes', [[null], [{}], 5]],
  ['elapsedMs', ['5', -1, null]],
])('an evaluation whose %s is something else is none', (field, values) => {
  for (const value of values) {
    const text = JSON.stringify({ ...GOOD, [field]: value });
    expect(() => parseEvaluation(text, 'e.json'), text).toThrow(expect.objectContaining({ kind: 'usage', message: expect.stringContaining(`"${field}"`) }));
  }
});

it.each(['[', `{"schema":"weighbridge/evaluation@1","model":${'['.repeat(100_000)}`, 'PAR1', 'null', '{}'])('%.20s is no evaluation', (text) => {
  expect(() => parseEvaluation(text, 'e.json')).toThrow(expect.objectContaining({ name: 'ModelError' }));
});

it('parts that different engines ran are added up, and that is told', () => {
  const [first, second] = [documentOf([], 1, 2), documentOf([], 2, 2)];
  expect(mergeEvaluations([first, second]).notes).toEqual([]);
  const merged = mergeEvaluations([first, { ...second, model: { ...second.model, engine: 'another' } }]);
  expect(merged.notes).toEqual(['parts were run by different engines: e, another']);
});

describe('the classes of another net', () => {
  const net = (names: readonly string[] | null, classes = names?.length ?? 3) => ({ names, classes });
  it.each([
    ['by number, where nothing names them', net(null), net(['a', 'b', 'c']), null, null],
    ['by number, in one order', net(['a', 'b', 'c']), net(['A', 'b', 'c']), null, null],
    ['by name, in another order', net(['a', 'b', 'c']), net(['c', 'a', 'b']), [2, 0, 1], /by name/],
    ['by name, where one has a class more', net(['a', 'b']), net(['background', 'a', 'b']), [2, 0, 1], /by name/],
    ['by number, where they have other names', net(['a', 'b']), net(['x', 'y']), null, /other names/],
  ])('are counted %s', (_, own, other, numbers, note) => {
    const found = alignClasses(own, other, 'other.onnx');
    expect(found.numbers).toEqual(numbers);
    expect(found.note ?? '').toMatch(note ?? /^$/);
  });
  it('are not compared where there are more or fewer, and no names', () => {
    expect(() => alignClasses(net(null, 1000), net(null, 1001), 'other.onnx')).toThrow(/1001 classes apart, and the other net 1000/);
  });
});
