/** What a mismatch advises follows from what was found, and never from how small a difference is. */
import { expect, it } from 'vitest';
import { nextStep } from '../../src/report/next-step.js';
import type { LayerReport, Report, WeightReport } from '../../src/verify/report.js';
import { MATCH, MISMATCH, QUANTISED } from './examples.js';

const [output] = MISMATCH.outputs;
const slight: Report = {
  ...MISMATCH,
  layers: null,
  witness: MATCH.witness,
  tolerance: { ...MISMATCH.tolerance, smallestPassing: 4e-5 },
  outputs: [{ ...output!, relativeToScale: 4e-5 }],
};
const { correctness, loss } = QUANTISED.quantisation!;
const lossy = (...methods: string[]): Report => ({
  ...MISMATCH,
  layers: null,
  quantisation: { ...QUANTISED.quantisation!, methods, loss: { ...loss!, passed: false } },
});
const marred = (expected: number, actual: number): Report => ({ ...slight, outputs: [{ ...output!, passed: false, nonFinite: { expected, actual } }] });
const norm: LayerReport = { ...MISMATCH.layers![0]!, layer: 'bn1', op: 'BatchNormalization', passed: false };
const infinite: WeightReport = { ...MATCH.weights!.tensors[0]!, layer: 'fc', role: 'kernel', dtype: 'float16', method: 'rounded', nonFinite: 3, equal: false };
const causeOf = (side: 'file' | 'reading'): Report['cause'] => ({
  layer: 'conv3_1',
  side,
  by: 'values',
  error: 1,
  explainedBy: [{ kind: 'pads', what: 'pads [0] for [1]', layer: 'conv3_1', error: 1e-7 }],
  tried: 3,
  message: '',
});
const right: Report = { ...slight, outputs: MATCH.outputs };

it.each<[string, Report, RegExp]>([
  [
    'a wrong weight first',
    { ...MISMATCH, weights: { ...MISMATCH.weights!, mismatches: [{ layer: 'fc6', role: 'bias', message: '' }] } },
    /bias of layer "fc6"/,
  ],
  [
    'nothing of weights that are not judged',
    { ...slight, weights: { ...MISMATCH.weights!, judged: false, mismatches: [{ layer: 'fc6', role: 'bias', message: '' }] } },
    /--layers/,
  ],
  ['what explains it', { ...MISMATCH, cause: causeOf('file') }, /mend layer "conv3_1" of the file \(pads \[0\] for \[1\]\)/],
  ['a report where our reading is at fault', { ...MISMATCH, cause: causeOf('reading') }, /layer "conv3_1" is read otherwise.*--bisect/],
  ['the first layer that differs', MISMATCH, /layers before "net\/conv3_1" \(Conv\) agree, so look at its padding/],
  ['--layers where they were not compared', { ...MISMATCH, layers: null }, /--layers/],
  ['no tolerance, however small the difference', slight, /a fault begins at one/],
  [
    '--layers where a quantised file is not what its weights say',
    { ...slight, quantisation: { ...QUANTISED.quantisation!, methods: [], correctness: { ...correctness!, passed: false } } },
    /--layers, which/,
  ],
  ['float16 for int8', lossy('int8 per channel'), /float16 loses less/],
  ['float32 for float16, and never float16 itself', lossy('float16'), /: float32 keeps all/],
  ['float16 or float32 for bfloat16', lossy('bfloat16'), /float16 keeps eight times/],
  ['uint16 for uint8', lossy('uint8 per tensor'), /uint16 and float16/],
  [
    'names and shapes where nothing was compared',
    { ...MISMATCH, verdict: 'nothing-compared', compared: { outputs: 0, of: 1, values: 0 }, outputs: [{ ...output!, compared: 0 }] },
    /weighbridge inspect/,
  ],
  [
    'the outputs that a recording lacks',
    {
      ...MATCH,
      verdict: 'nothing-compared',
      compared: { outputs: 1, of: 2, values: 10 },
      outputs: [output!, { ...output!, name: 'boxes', compared: 0 }],
    },
    /no array for "boxes"/,
  ],
  ['a recording where every layer agrees and the witness is our own', { ...MISMATCH, layers: [] }, /weighbridge golden/],
  ['the source where it gives NaN itself', marred(4, 4), /the source itself gives NaN.*--layers shows where/],
  ['where NaN begin', { ...marred(0, 4), layers: [{ ...norm, passed: true, nonFinite: { expected: 0, actual: 2 } }] }, /begin in layer "bn1"/],
  [
    'bfloat16 for a weight that float16 made infinite',
    { ...marred(0, 4), weights: { ...MATCH.weights!, tensors: [infinite] } },
    /3 values of kernel of layer "fc".*bfloat16/,
  ],
  [
    'the same where nothing is run',
    { ...slight, weights: { ...MATCH.weights!, mismatches: [{ layer: 'fc', role: 'kernel', message: '' }], tensors: [infinite] } },
    /too large for float16.*bfloat16/,
  ],
  [
    'inference mode for layers that act as in training',
    { ...slight, training: ['Dropout "d"', 'BatchNormalization "b"'] },
    /Dropout "d", BatchNormalization "b" act as in training.*eval/,
  ],
  ['what was assumed, where another says otherwise', { ...slight, assumed: ['an epsilon of 1e-5'] }, /first suspect: an epsilon of 1e-5.*--assume/],
  [
    'what was assumed of the layer that differs',
    { ...slight, firstDifference: { layer: 'bn1', message: '' }, layers: [norm], assumed: ['ReLU behind each layer', 'an epsilon of 1e-5'] },
    /"bn1".*it was assumed: an epsilon of 1e-5/,
  ],
  [
    'an axis made free where a file fixes it',
    { ...right, interface: [{ kind: 'fixed', port: 'x', message: 'input "x" has its batch fixed to 1', judged: true }] },
    /the values agree, the interface does not.*free/,
  ],
  [
    'a Reshape where a batch differs',
    { ...right, trials: [{ kind: 'batch', what: 'a batch of 3', passed: false, message: '' }] },
    /batch size that is written into a Reshape/,
  ],
])('%s', (_what, report, advice) => {
  expect(nextStep(report)).toMatch(advice);
});

it('never calls a difference rounding, nor gives a tolerance that would accept it', () => {
  for (const report of [slight, MISMATCH, { ...slight, layers: [] }, lossy('int8 per channel'), marred(0, 1)]) {
    expect(nextStep(report)).not.toMatch(/--rtol|size of rounding/);
  }
});
