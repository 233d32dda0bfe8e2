/** What a mismatch advises follows from what was found, and never from how small a difference is. */
import { readFileSync } from 'node:fs';
import ts from 'typescript';
import { expect, it } from 'vitest';
import { DRAWS } from '../../src/model/drawing.js';
import { nextStep } from '../../src/report/next-step.js';
import type { LayerReport, Report, WeightReport } from '../../src/verify/report.js';
import { RUNTIMES_FAULT } from '../../src/words.js';
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
const trial = (kind: Report['trials'][number]['kind']): Report => ({ ...right, trials: [{ kind, what: '', passed: false, message: '' }] });
const promise = (kind: Report['interface'][number]['kind']): Report => ({
  ...right,
  interface: [{ kind, port: 'x', message: `input "x" has another ${kind}`, judged: true }],
});
const differing = (op: string, layer = 'odd', assumed: readonly string[] = []): Report => ({
  ...slight,
  assumed,
  firstDifference: { layer, message: '' },
  layers: [{ ...norm, layer, op }],
});
const called = (kind: string, more: Partial<NonNullable<Report['cause']>> = {}): Report => {
  const cause = causeOf('file')!;
  return { ...MISMATCH, cause: { ...cause, explainedBy: [{ ...cause.explainedBy[0]!, kind, what: 'outputs "a" and "b" are exchanged' }], ...more } };
};
const nothing: Report = { ...MISMATCH, verdict: 'nothing-compared' };
const wide: WeightReport = { ...infinite, dtype: 'bfloat16' };

const SITUATIONS: readonly [what: string, report: Report, advice: RegExp][] = [
  [
    "a runtime's optimisations, before any cause that was called",
    { ...called('pads'), weights: MATCH.weights, notes: [`run as it is written: ${RUNTIMES_FAULT}`] },
    /turns them off/,
  ],
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
    'other inputs where rounding decides on all that there were',
    {
      ...MISMATCH,
      verdict: 'nothing-compared',
      compared: { outputs: 0, of: 1, values: 0 },
      outputs: [{ ...output!, compared: 0 }],
      notes: ['inputs of about -4 to 4 were left out: the net is so sensitive there that rounding decides'],
    },
    /rounding decides.*--inputs/,
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
  [
    'its weights where both sides give no number',
    { ...nothing, outputs: [{ ...output!, compared: 0, nonFinite: { expected: 9, actual: 9 } }] },
    /every value is NaN or infinite on both sides.*--weights/,
  ],
  [
    'an output that one side lacks',
    { ...nothing, witness: { ...MATCH.witness, kind: 'runtime' }, compared: { outputs: 1, of: 2, values: 10 }, outputs: [{ ...output!, compared: 0 }] },
    /one side does not give "prob"/,
  ],
  ['a recording where two runtimes disagree', { ...slight, verdict: 'disputed' }, /reference computes a layer otherwise.*weighbridge golden.*--layers names/],
  ['no --layers where they were compared', { ...slight, verdict: 'disputed', layers: [] }, /weighbridge golden, then --golden\.$/],
  ['noise as an input of what draws lots', { ...slight, training: [`RandomNormal "z" ${DRAWS}`] }, /RandomNormal "z".*have the noise be an input/],
  ['the weight that holds NaN in the source', { ...marred(4, 4), weights: { ...MATCH.weights!, tensors: [infinite] } }, /kernel of layer "fc" holds 3 such/],
  [
    'where NaN begin in the source as well',
    { ...marred(4, 4), layers: [{ ...norm, nonFinite: { expected: 2, actual: 2 } }] },
    /begin in layer "bn1" \(BatchNormalization\), in the source as well/,
  ],
  ['float32 for a weight that bfloat16 made infinite', { ...marred(0, 4), weights: { ...MATCH.weights!, tensors: [wide] } }, /bfloat16.*float32 may hold them/],
  [
    'bfloat16 for values that overflow float16',
    { ...marred(0, 4), quantisation: { ...QUANTISED.quantisation!, methods: ['float16'] } },
    /overflow float16 on the way.*without --float16-compute/,
  ],
  ['that the file alone gives NaN', marred(0, 4), /the file gives NaN or infinities where the source does not/],
  ['names of outputs that are exchanged', called('outputs-exchanged'), /"a" and "b" are exchanged; so look at the names and the order/],
  ['another recording', called('input-scale', { side: 'recording' }), /recording was made otherwise.*weighbridge golden/],
  [
    'the layer, and no inputs, where none shows it',
    { ...called('clip'), trials: trial('stated').trials },
    /mend layer "conv3_1" of the file [^-]*written anew\.$/,
  ],
  ['a wider dtype for another', lossy('palette'), /the price of the dtype: a wider dtype loses less/],
  [
    'real inputs for generated ones',
    { ...lossy('int8 per channel'), inputs: { ...MATCH.inputs, kind: 'generated' } },
    /--inputs or --golden with real inputs tell what it costs/,
  ],
  [
    'a recording where the weights agree',
    { ...MISMATCH, witness: MATCH.witness, layers: null, firstDifference: null },
    /the weights agree, so look at the recording/,
  ],
  ['a recording where layers agree too', { ...MISMATCH, witness: MATCH.witness, layers: [] }, /weights and layers agree.*Else our reader/],
  ['what a count does', promise('count'), /by their order gets others/],
  ['what an order does', promise('order'), /by their order gets others/],
  ['what a dtype does', promise('dtype'), /whoever reads it must know/],
  ['what a rank does', promise('rank'), /take the extra axes away/],
  ['what a size does', promise('size'), /feeds or reads it must know/],
  ['what a name does', promise('name'), /must ask for another/],
  ['what an initialiser does', promise('initialiser'), /keep_initializers_as_inputs/],
  ['sizes that are written into the file', trial('sizes'), /a Reshape, a Resize, a Slice or a pooling/],
  ['--layers behind a saturated output', trial('inner'), /because they are saturated/],
  ['--layers in a net that makes much of a rounding', trial('alone'), /within what rounding does to this net/],
  ['a file written anew for a function that no input reaches', trial('stated'), /other inputs will not/],
  ['float32 arithmetic where float16 does not do', trial('float16'), /without --float16-compute the weights are stored/],
  ['the epsilon of a normalisation', differing('LayerNormalization'), /look at its epsilon/],
  ['the window of a pooling', differing('MaxPool'), /its window, stride, rounding/],
  ['the features of a matrix', differing('Gemm'), /order of the features that flow in/],
  ['the axis of a softmax', differing('Softmax'), /look at its axis/],
  ['the mode of a resize', differing('Resize'), /its mode, rounding and alignment/],
  ['the gates of a recurrent layer', differing('LSTM'), /order of its gates/],
  ['attributes of anything else', differing('Einsum'), /its attributes and the order of its inputs/],
  ['an activation that was assumed', differing('Relu', 'r', ['ReLU behind each layer']), /it was assumed: ReLU behind each layer/],
  ['a pooling that was assumed', differing('AveragePool', 'p', ['pooling of 3']), /it was assumed: pooling of 3/],
  ['the same of a maximum', differing('MaxPool', 'p', ['pooling of 3']), /it was assumed: pooling of 3/],
  ['a softmax that was assumed', differing('Softmax', 's', ['a softmax at the end']), /it was assumed: a softmax/],
  ['how much more was assumed', { ...slight, assumed: ['a', 'b', 'c', 'd', 'e', 'f'] }, /a; b; c; d; and 2 more/],
  [
    'what follows the last layer, where the file is not what its weights say',
    { ...slight, layers: [], weights: null, quantisation: { ...QUANTISED.quantisation!, correctness: { ...correctness!, passed: false } } },
    /does not compute what its own weights say, though every layer/,
  ],
  [
    'what follows the last layer, where an independent witness says otherwise',
    { ...slight, layers: [], weights: null, witness: { ...MATCH.witness, kind: 'runtime' } },
    /every layer compared agrees, so look at what follows the last/,
  ],
];

it.each(SITUATIONS)('%s', (_what, report, advice) => {
  expect(nextStep(report)).toMatch(advice);
});

it('does not advise --bisect where it was given', () => {
  for (const [, report] of SITUATIONS) expect(nextStep(report, true)).not.toContain('--bisect');
});

it('every sentence is given by one of these', () => {
  const path = new URL('../../src/report/next-step.ts', import.meta.url);
  const source = ts.createSourceFile('next-step.ts', readFileSync(path, 'utf8'), ts.ScriptTarget.Latest);
  const pieces: string[] = [];
  const visit = (node: ts.Node) => {
    if (ts.isStringLiteralLike(node) || ts.isTemplateHead(node) || ts.isTemplateMiddleOrTemplateTail(node)) pieces.push(node.text);
    if (!ts.isImportDeclaration(node)) ts.forEachChild(node, visit);
  };
  visit(source);
  const sentences = pieces.filter((piece) => piece.trim().split(' ').length > 2);
  expect(sentences.length).toBeGreaterThan(80);
  const given = SITUATIONS.flatMap(([, report]) => [nextStep(report), nextStep(report, true)])
    .join('\n')
    .toLowerCase();
  expect(sentences.filter((sentence) => !given.includes(sentence.toLowerCase()))).toEqual([]);
});

it('never calls a difference rounding, nor gives a tolerance that would accept it', () => {
  for (const report of [slight, MISMATCH, { ...slight, layers: [] }, lossy('int8 per channel'), marred(0, 1)]) {
    expect(nextStep(report)).not.toMatch(/--rtol|size of rounding/);
  }
});
