/** What a mismatch advises follows from what was found. */
import { expect, it } from 'vitest';
import { nextStep } from '../../src/report/next-step.js';
import type { Report } from '../../src/verify/report.js';
import { MISMATCH, QUANTISED } from './examples.js';

const [output] = MISMATCH.outputs;
const slight: Report = {
  ...MISMATCH,
  layers: null,
  tolerance: { ...MISMATCH.tolerance, smallestPassing: 4e-5 },
  outputs: [{ ...output!, relativeToScale: 4e-5 }],
};
const { correctness, loss } = QUANTISED.quantisation!;

it.each<[string, Report, RegExp]>([
  [
    'a wrong weight first',
    { ...MISMATCH, weights: { ...MISMATCH.weights!, mismatches: [{ layer: 'fc6', role: 'bias', message: '' }] } },
    /bias of layer "fc6"/,
  ],
  ['the first layer that differs', MISMATCH, /layers before "net\/conv3_1" \(Conv\) agree/],
  ['--layers where they were not compared', { ...MISMATCH, layers: null }, /--layers/],
  ['a tolerance where the difference is of the size of rounding', slight, /--rtol 4\.40e-5/],
  [
    'no tolerance where a quantised file is not what its weights say',
    { ...slight, quantisation: { methods: [], correctness: { ...correctness!, passed: false }, loss } },
    /--layers, which/,
  ],
  [
    'a wider dtype where the conversion is right and the loss too large',
    { ...MISMATCH, quantisation: { methods: [], correctness, loss: { ...loss!, passed: false } } },
    /wider one/,
  ],
  ['names and shapes where nothing was compared', { ...MISMATCH, verdict: 'nothing-compared' }, /weighbridge inspect/],
  ['a recording where every layer agrees and the witness is our own', { ...MISMATCH, layers: [] }, /weighbridge golden/],
])('%s', (_what, report, advice) => {
  expect(nextStep(report)).toMatch(advice);
});
