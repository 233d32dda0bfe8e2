/** A terminal of 80 columns: words stay whole, and what a program would copy stays as it is. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { table } from '../../src/cli/print.js';
import { wrapTold, wrapWords } from '../../src/cli/wrap.js';

describe('wrapTold', () => {
  it('goes on beside the label', () => {
    const text = 'witness  TensorFlow.js 4.22.0 (wasm), on the original file; it shares no code with our reader';
    expect(wrapTold(text, 60)).toBe('witness  TensorFlow.js 4.22.0 (wasm), on the original file;\n         it shares no code with our reader');
    expect(wrapTold(text, 200)).toBe(text);
    expect(wrapTold('predicts the same class first for 297 of 300 inputs', 40)).toBe('predicts the same class first for 297 of\n         300 inputs');
    expect(wrapTold('on the wire    264.7 KiB -> 60.8 KiB as it is; --compress gzip writes what is sent', 80)).toMatch(/ is\n {9}sent$/);
  });

  it('breaks verdicts, and takes colours for no room', () => {
    const text = '\u001b[32mmatch\u001b[39m (independent: recorded outputs): largest error 1.19e-7, 84 times below the limit';
    const [first, second] = wrapTold(text, 61).split('\n');
    expect(first).toBe('\u001b[32mmatch\u001b[39m (independent: recorded outputs): largest error 1.19e-7,');
    expect(second).toBe('         84 times below the limit');
  });

  it('leaves tables, programs and long names as they are', () => {
    for (const text of [`import numpy as np; ${'x = 1; '.repeat(20)}`, `block1_conv1/Relu ${'3 '.repeat(60)}`, `{"a": ${'1, '.repeat(60)}`])
      expect(wrapTold(text, 60)).toBe(text);
    expect(wrapTold(`wrote    ${'x'.repeat(90)}`, 60)).toBe(`wrote    ${'x'.repeat(90)}`);
  });
});

it('wrapWords keeps every word, in lines that fit', () => {
  fc.assert(
    fc.property(fc.array(fc.stringMatching(/^[a-z]{1,12}$/), { minLength: 1, maxLength: 40 }), fc.integer({ min: 24, max: 80 }), (words, width) => {
      const lines = wrapWords(words.join(' '), width, 9);
      expect(lines.join(' ').split(/ +/).filter(Boolean)).toEqual(words);
      for (const line of lines) expect(line.length).toBeLessThanOrEqual(width);
    }),
  );
});

it('narration is words in every line', () => {
  const text = 'Dropout acts in training only and was left out (dropout1, dropout2)';
  expect(wrapTold(text, 60)).toBe(text);
  expect(wrapTold(text, 60, true)).toBe('Dropout acts in training only and was left out (dropout1,\ndropout2)');
  // What stands behind a dash, and below a longer label, goes on there.
  expect(wrapTold('  - layer "a": Softmax needs opset 13', 30, true)).toBe('  - layer "a": Softmax needs\n    opset 13');
  expect(wrapTold(`${' '.repeat(15)}where it is each file`, 30)).toBe(`${' '.repeat(15)}where it is\n${' '.repeat(15)}each file`);
});

it('a table leaves columns out before it breaks: some at once, some only where cutting names was not enough', () => {
  const number = { align: 'right' } as const;
  const columns = [
    { title: 'layer' },
    { title: 'sha256', optional: true },
    { title: 'parameters', ...number },
    { title: 'bytes', ...number, optional: 'last' },
  ] as const;
  const titles = (width: number) => {
    const lines = table(columns, [['a/long/name/of/a/layer', 'd86d99093f1c', '25,088', '96.0 KiB']], width).split('\n');
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(width);
    return { titles: lines[0]!.split(/ +/), name: lines[1]!.split(' ')[0] };
  };
  const name = 'a/long/name/of/a/layer';
  expect(titles(60)).toEqual({ titles: ['layer', 'sha256', 'parameters', 'bytes'], name });
  expect(titles(50)).toEqual({ titles: ['layer', 'parameters', 'bytes'], name });
  expect(titles(40)).toEqual({ titles: ['layer', 'parameters', 'bytes'], name: 'a/long/na…/a/layer' });
  expect(titles(28).titles).toEqual(['layer', 'parameters']);
});

it('a table wraps the columns that may, before it cuts', () => {
  const columns = [{ title: 'engine' }, { title: 'what', wraps: true }];
  const lines = table(
    columns,
    [
      ['ort-cpu', 'not installed: npm install weighbridge-engines brings it'],
      ['tfjs', 'here'],
    ],
    40,
  ).split('\n');
  expect(lines.every(({ length }) => length <= 40)).toBe(true);
  expect(lines.join('')).not.toContain('…');
  expect(lines).toHaveLength(4);
  expect(lines[3]).toBe('tfjs     here');
});

it('a word that is longer than its column goes on below, whole', () => {
  const columns = [{ title: 'format' }, { title: 'extensions', wraps: true }];
  const lines = table(columns, [['tfjs', 'model.json weights_manifest.json .safetensors.index.json']], 24).split('\n');
  expect(lines.every(({ length }) => length <= 24)).toBe(true);
  expect(lines.join('')).not.toContain('…');
  expect(lines.slice(1).map((line) => line.slice(8))).toEqual(['model.json', 'weights_manifest', '.json', '.safetensors', '.index.json']);
});
