/** The report in the terminal: what a reader needs, in the width there is. */
import { describe, expect, it } from 'vitest';
import { table } from '../../src/cli/print.js';
import { printReport } from '../../src/cli/print-report.js';
import type { Report } from '../../src/verify/report.js';
import { HOSTILE, hostileDocument, MATCH, MISMATCH, QUANTISED, WEIGHTS } from '../report/examples.js';

function print(report: Report, verbose = false): string {
  const lines: string[] = [];
  printReport((line) => void lines.push(line), report, verbose);
  return lines.join('\n');
}

describe('printReport', () => {
  it('ends a match with a verdict that reads at a glance', () => {
    expect(print(MATCH).split('\n').at(-1)).toMatch(/^match \(independent: recorded outputs\): largest error \S+, [\d,]+ times below the limit$/);
    expect(print(MISMATCH)).toMatch(/^mismatch \([^)]*\): largest error \S+, [\d,.]+ times beyond the limit$/m);
  });

  it('gives the reasons, what was tried and what was not seen where they are asked for', () => {
    const coverage = { reached: 3, of: 5, added: 1, unseen: ['relu1: 2 of 4 units never fired'] };
    const trials = [{ kind: 'batch', passed: true, what: 'a batch', message: 'the rows of a batch of 3 are what they are alone' } as const];
    const report = { ...MATCH, coverage, trials };
    expect(print(report)).toContain('coverage 60 % of the net, 3 of its 5 parts (--verbose lists the rest)');
    expect(print(report)).not.toMatch(/tried|limit {4}/);
    const told = print(report, true);
    expect(told).toContain('tried    the rows of a batch of 3 are what they are alone');
    expect(told).toContain('the inputs (1 of them found by search) put 60 % of the net to use: 3 of its 5 parts (');
    expect(told).toMatch(/^coverage .*: relu1: 2 of 4 units never fired$/m);
    expect(told).toMatch(/^limit {4}\|difference\| <= .*: /m);
    // What failed is said in any case.
    expect(print({ ...report, trials: [{ ...trials[0]!, passed: false, message: 'the rows of a batch are mixed' }] })).toContain(
      'the rows of a batch are mixed',
    );
  });

  it('names the first layer that differs, lists the worst, and says what to try next', () => {
    const text = print(MISMATCH);
    expect(text).toContain('layers   38 compared with our float64 evaluator: 28 further than 2.00e-5 of scale, the first is "net/conv3_1"');
    expect(text).toMatch(/^net\/conv3_1 .* 0\.3 +out$/m);
    expect(text).toContain('the smallest rtol that would have passed is 0.31');
    expect(text.split('\n').at(-1)).toMatch(/^next {5}/);
  });

  it('tells correctness from loss, and what was stored how', () => {
    const text = print(QUANTISED);
    expect(text).toContain("correct  against the file's own weights, widened to float32: 1.40e-6 of scale, top-1 4 of 4, allowed 2.00e-5: passed");
    expect(text).toContain('loss     against the original: 0.018 of scale, 30 times what float16 costs, top-1 4 of 4, allowed 0.05: passed');
    expect(text).toContain('2 of 2 tensors as they should be: 1 int8 per channel; 6.8 KiB -> 1.9 KiB');
  });

  it('does not speak of a tolerance where nothing was run', () => {
    expect(print(WEIGHTS)).toContain('match (own reading of the source, weights alone): every value as in the source (');
  });

  it('says what it ran on where that is no CPU', () => {
    expect(print({ ...MATCH, device: 'llvmpipe (LLVM 15)' })).toContain(' on llvmpipe (LLVM 15)');
    expect(print(MATCH)).not.toContain(' on cpu');
  });

  it('has no colour outside a terminal, and no control character of a file', () => {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the ones that terminals obey
    expect(print(hostileDocument().report)).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u202e]/);
    expect(HOSTILE).toMatch(/\u202e/);
  });
});

describe('table', () => {
  const columns = [{ title: 'layer' }, { title: 'shape', optional: true }, { title: 'error', align: 'right' as const }];
  const rows = [['features/block_7/expand/convolution', '1 x 64 x 224 x 224', '1.25e-6']];
  const widest = (text: string) => Math.max(...text.split('\n').map(({ length }) => length));

  it('cuts nothing where there is room', () => {
    expect(table(columns, rows, 200)).toContain('features/block_7/expand/convolution  1 x 64 x 224 x 224  1.25e-6');
  });

  it('leaves optional columns out first, then the middle of long names, never a number', () => {
    const middling = table(columns, rows, 50);
    expect(middling).not.toContain('shape');
    expect(middling).toContain('features/block_7/expand/convolution  1.25e-6');
    const narrow = table(columns, rows, 30);
    expect(widest(narrow)).toBeLessThanOrEqual(30);
    expect(narrow).toMatch(/^feat.*….*tion {2}1\.25e-6$/m);
  });

  it('keeps what tells rows apart in the narrowest terminal', () => {
    expect(table(columns, rows, 1)).toContain('1.25e-6');
  });
});
