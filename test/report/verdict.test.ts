/** The line of the verdict says what failed, on which evidence, and never that a wider tolerance would do. */
import { expect, it } from 'vitest';
import { nextStep } from '../../src/report/next-step.js';
import { verdictGlance, verdictSentence } from '../../src/report/verdict.js';
import type { Report } from '../../src/verify/report.js';
import { MATCH, MISMATCH, QUANTISED } from './examples.js';

const [output] = MISMATCH.outputs;
const passing: Report = { ...MISMATCH, outputs: MATCH.outputs, layers: null, firstDifference: null, cause: null };
const trial = (kind: 'batch' | 'float16', passed: boolean, message: string) => ({ kind, what: kind, passed, message }) as const;
const half = 'computed in float16, output "probs" is off by 0.5 of its scale';
const weight = 'layer "fc6", bias: differs from the source at byte 0 of its float32 values';
const lossy: Report = { ...QUANTISED, verdict: 'mismatch', layers: null };

it.each<[string, Report, RegExp]>([
  [
    'by how much values are beyond the limit',
    { ...MISMATCH, outputs: [{ ...output!, passed: false, ofAllowed: 50 }] },
    /^not every value within .*50 times beyond the limit/,
  ],
  [
    'that values are right and a weight is not',
    { ...passing, firstDifference: { layer: 'fc6', message: weight } },
    /^every value of the outputs is within .*, but layer "fc6", bias: differs/,
  ],
  [
    'that values are right and the interface is not',
    { ...passing, interface: [{ kind: 'rank', port: 'y', message: 'output "y" has 4 axes', judged: true }] },
    /^every value of single inputs is within .*, but output "y" has 4 axes$/,
  ],
  [
    'that single inputs are right and a batch is not',
    { ...passing, trials: [trial('batch', false, 'row 0 of a batch of 3 is not what it is alone')] },
    /^every value of single inputs is within .*, but row 0 of a batch of 3 is not what it is alone$/,
  ],
  [
    'what true float16 does, where the runtime agrees',
    { ...passing, trials: [trial('float16', false, half)] },
    /but computed in float16, output "probs" is off by 0\.5/,
  ],
  [
    'what true float16 does, where outputs differ too',
    { ...MISMATCH, trials: [trial('float16', false, half)] },
    /^not every value.*; computed in float16, output "probs" is off/,
  ],
  [
    'that float16 is enough, in a match',
    { ...MATCH, trials: [trial('float16', true, 'float16 is enough for every value')] },
    /^every value.*; float16 is enough for every value$/,
  ],
  ['that predictions and not values decide', { ...lossy, quantisation: { ...lossy.quantisation!, lossJudgedBy: 'nothing' } }, /^(not )?every value/],
])('says %s', (_, report, words) => {
  expect(verdictSentence(report)).toMatch(words);
  expect(`${verdictSentence(report)} ${nextStep(report)}`).not.toMatch(/would accept|--rtol|of the size of rounding/);
});

it('says of exchanged outputs which has whose values, and to look at their names', () => {
  const what = 'outputs are exchanged: "b" has the values of "a", "a" has the values of "b"';
  const explainedBy = [{ kind: 'outputs-exchanged', what, layer: 'n1', error: 0 }];
  const cause: Report['cause'] = { layer: 'n1', side: 'file', by: 'values', error: null, explainedBy, tried: 1, message: what };
  expect(nextStep({ ...MISMATCH, cause })).toBe(`${what}; so look at the names and the order of the outputs in the file, or have it written anew.`);
});

it.each([
  ['predictions', null, /^the file predicts as the source does, with narrowed weights \(.*\)$/],
  ['nothing', null, /^the file computes what its narrowed weights say \(.*\); these inputs do not tell what that costs in predictions$/],
  ['bound', 1.3, /^the file computes what its narrowed weights say \(.*\), and moves outputs 1\.3 times as far as float16 does$/],
] as const)('of narrowed weights that are judged by %s a match is told at a glance', (lossJudgedBy, ofFloat16, words) => {
  const loss = QUANTISED.quantisation!.loss!;
  const outputs = lossJudgedBy === 'bound' ? loss.outputs.map((one) => ({ ...one, passed: false })) : loss.outputs;
  const report: Report = { ...QUANTISED, quantisation: { ...QUANTISED.quantisation!, lossJudgedBy, ofFloat16, loss: { ...loss, outputs, passed: true } } };
  expect(verdictGlance(report)).toMatch(words);
  expect(verdictGlance(report).length).toBeLessThan(verdictSentence(report).length);
});
