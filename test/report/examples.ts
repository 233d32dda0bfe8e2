/** Reports as verification gives them, made up: a match, a mismatch with layers, a quantised file, a net of many layers. */
import type { ReportDocument } from '../../src/report/format.js';
import { collectSamples } from '../../src/report/samples.js';
import type { LayerReport, OutputReport, Report, WeightReport } from '../../src/verify/report.js';

export const OUTPUT: OutputReport = {
  name: 'prob',
  compared: 4000,
  nonFinite: { expected: 0, actual: 0 },
  maxAbsolute: 4.2e-8,
  maxRelative: 3.1e-6,
  relativeToScale: 1.4e-6,
  ofAllowed: 0.1,
  cosine: 1,
  top1: { same: 4, of: 4 },
  worst: { index: [0, 281], expected: 0.03, actual: 0.03000004 },
  passed: true,
};

export const MATCH: Report = {
  schema: 'weighbridge/report@1',
  verdict: 'match',
  witness: {
    kind: 'recorded',
    independent: true,
    detail: 'outputs that were recorded in the original framework; they share no code with this tool',
    refused: [],
  },
  witnessRequired: false,
  files: null,
  engines: { expected: 'recorded', actual: 'ort-cpu (onnxruntime-node 1.30.0, CPU)' },
  device: 'cpu',
  tolerance: { atol: 1e-6, rtol: 2e-5, why: 'two float32 runtimes, which add in another order', smallestPassing: 1.1e-6, rounding: null },
  inputs: { samples: 4, seed: null, kind: 'recorded', ranges: [] },
  compared: { outputs: 1, of: 1, values: 4000 },
  interface: [],
  trials: [],
  coverage: null,
  outputs: [OUTPUT],
  layers: null,
  weights: { compared: 2, equal: 2, judged: true, unpaired: [], mismatches: [], tensors: [weight('conv1_1', 'kernel', 6912), weight('conv1_1', 'bias', 256)] },
  quantisation: null,
  firstDifference: null,
  cause: null,
  assumed: [],
  training: [],
  changes: [],
  notes: [],
  elapsedMs: 1234.5,
};

/** Error grows with depth, as rounding does; from one layer on it is a fault. */
export function vggLayers(faultAt = Number.POSITIVE_INFINITY): LayerReport[] {
  const names = [2, 2, 3, 3, 3].flatMap((count, block) => [
    ...Array.from({ length: count }, (_, i) => [`conv${block + 1}_${i + 1}`, `relu${block + 1}_${i + 1}`]).flat(),
    `pool${block + 1}`,
  ]);
  return [...names, 'flatten', 'fc6', 'relu6', 'fc7', 'relu7', 'fc8', 'prob'].map((name, i) => {
    const relativeToScale = i >= faultAt ? 0.3 / (1 + (i - faultAt) / 8) : name === 'flatten' ? 0 : 1e-7 * (1 + i / 4);
    const op = name.startsWith('conv') ? 'Conv' : name.startsWith('relu') ? 'Relu' : name.startsWith('pool') ? 'MaxPool' : name === 'prob' ? 'Softmax' : 'Gemm';
    const layer = {
      layer: `net/${name}`,
      canonicalName: name,
      op,
      witness: 'reference',
      shape: [1, 64, 224, 224],
      compared: 3_211_264,
      nonFinite: { expected: 0, actual: 0 },
      maxAbsolute: relativeToScale * 12,
    };
    return { ...layer, relativeToScale, ofAllowed: relativeToScale / 2e-5, allowed: 2e-5, passed: relativeToScale < 2e-5 };
  });
}

export const MISMATCH: Report = {
  ...MATCH,
  verdict: 'mismatch',
  witness: { kind: 'reference', independent: false, detail: 'our own float64 evaluator on the layer map', refused: [] },
  engines: { expected: 'reference', actual: MATCH.engines.actual },
  tolerance: { ...MATCH.tolerance, smallestPassing: 0.31, rounding: null },
  inputs: { samples: 4, seed: 0, kind: 'generated', ranges: ['about -4 to 4'] },
  outputs: [
    {
      ...OUTPUT,
      maxAbsolute: 0.21,
      maxRelative: 1.7,
      relativeToScale: 0.31,
      ofAllowed: 15500,
      cosine: 0.912345,
      top1: { same: 1, of: 4 },
      worst: { index: [2, 7], expected: 0.68, actual: 0.47 },
      passed: false,
    },
  ],
  layers: vggLayers(10),
  firstDifference: { layer: 'net/conv3_1', message: 'layer "net/conv3_1" is 0.12 at [0, 3, 0, 55], expected 0.41' },
  notes: ['output "prob" is the same for all 4 inputs, so comparing it proves little'],
};

export const QUANTISED: Report = {
  ...MATCH,
  layers: vggLayers(),
  weights: {
    compared: 2,
    equal: 2,
    judged: true,
    unpaired: [],
    mismatches: [],
    tensors: [
      { ...weight('conv1_1', 'kernel', 6912), dtype: 'int8', method: 'int8 per channel', byteLengthAfter: 1984, maxAbsolute: 0.0031, relativeError: 0.0062 },
    ],
  },
  quantisation: {
    methods: ['int8 per channel'],
    correctness: { expected: "the file's own weights, widened to float32", tolerance: MATCH.tolerance, outputs: [OUTPUT], passed: true },
    loss: {
      expected: 'the original',
      tolerance: { atol: 1e-6, rtol: 0.05, why: 'int8 weights move outputs by about 2e-2 of their scale', smallestPassing: 0.018, rounding: null },
      outputs: [{ ...OUTPUT, maxAbsolute: 0.012, relativeToScale: 0.018, cosine: 0.99981 }],
      passed: true,
    },
    lossJudgedBy: 'bound',
    agreement: null,
    ofFloat16: 30,
  },
};

/** A target without wiring: nothing was run. */
export const WEIGHTS: Report = {
  ...MATCH,
  witness: { kind: 'weights', independent: false, detail: 'the weights of the source, as our own reader gives them', refused: [] },
  tolerance: { atol: 0, rtol: 0, why: 'tensors are compared bit for bit', smallestPassing: null, rounding: null },
  inputs: { samples: 0, seed: null, kind: 'none', ranges: [] },
  compared: { outputs: 0, of: 0, values: 0 },
  outputs: [],
};

function weight(layer: string, role: string, byteLength: number): WeightReport {
  const stored = { name: `${layer}.${role}`, dtype: 'float32', method: 'as is', byteLengthBefore: byteLength, byteLengthAfter: byteLength };
  return { layer, role, ...stored, count: byteLength / 4, nonFinite: 0, maxAbsolute: 0, relativeError: 0, equal: true };
}

export function documentOf(report: Report, exhibits: ReportDocument['exhibits'] = null): ReportDocument {
  return { report, subject: { expected: 'vgg16.h5', actual: 'vgg16.onnx', architecture: 'VGG-16' }, exhibits };
}

/** Everything that a file can name holds markup, a script, a table's border and a mention. */
export const HOSTILE = '</td><script>alert(1)</script>"\' | `x` @everyone ]]> \u202e\u0007 ![x](http://evil.example/x.png)';

export function hostileDocument(): ReportDocument {
  const port = { name: HOSTILE, value: 'x', dtype: 'float32', shape: ['N', 1, 2, 2], layout: 'nchw' } as const;
  const collector = collectSamples([port], [{ ...port, shape: ['N', 3] }], [HOSTILE, HOSTILE, HOSTILE]);
  const feeds = [{ shape: [1, 1, 2, 2], data: Float32Array.of(0, 1, 2, 3) }];
  const results = [{ shape: [1, 3], data: Float32Array.of(0.2, 0.3, 0.5) }];
  collector.add(feeds, results, results);
  const histogram = { dtype: HOSTILE, counts: [1, 2, 3], outside: 1, nonFinite: 1 };
  const report: Report = {
    ...MISMATCH,
    witness: { ...MISMATCH.witness, detail: HOSTILE },
    engines: { expected: HOSTILE, actual: HOSTILE },
    device: HOSTILE,
    tolerance: { ...MISMATCH.tolerance, why: HOSTILE },
    outputs: MISMATCH.outputs.map((output) => ({ ...output, name: HOSTILE })),
    layers: vggLayers(3).map((layer) => ({ ...layer, layer: HOSTILE, canonicalName: HOSTILE, op: HOSTILE })),
    weights: {
      compared: 1,
      equal: 0,
      judged: true,
      unpaired: [],
      mismatches: [{ layer: HOSTILE, role: HOSTILE, message: HOSTILE }],
      tensors: [{ ...weight(HOSTILE, HOSTILE, 4), name: HOSTILE, dtype: HOSTILE, method: HOSTILE }],
    },
    quantisation: {
      methods: [HOSTILE],
      correctness: { expected: HOSTILE, tolerance: { ...MISMATCH.tolerance, why: HOSTILE }, outputs: [], passed: false },
      loss: null,
      lossJudgedBy: 'bound',
      agreement: null,
      ofFloat16: null,
    },
    firstDifference: { layer: HOSTILE, message: HOSTILE },
    notes: [HOSTILE],
  };
  return {
    report,
    subject: { expected: HOSTILE, actual: HOSTILE, architecture: HOSTILE },
    exhibits: {
      samples: collector.samples,
      histograms: [{ layer: HOSTILE, role: HOSTILE, min: 0, max: 1, source: histogram, written: histogram }],
      histogramsLeftOut: 0,
      filters: null,
    },
  };
}
