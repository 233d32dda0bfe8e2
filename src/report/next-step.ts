/**
 * What to try next where two models do not match: a sentence that follows from what was found, that is from which check failed, where the
 * difference begins, and what was assumed. Never from the size of a difference alone: an epsilon that is off looks like rounding.
 */

import { drawingLayers } from '../model/drawing.js';
import type { InterfaceDifference, LayerReport, Report, TrialReport, WeightsReport } from '../verify/report.js';
import { listed, plural, RUNTIMES_FAULT, TOO_SENSITIVE_THERE } from '../words.js';
import { formatCount } from './numbers.js';
import { capitalise } from './verdict.js';

/**
 * @param isBisected whether the smallest files that show the fault are written as well
 * @returns a sentence without colour or markup; the command line and every report show it
 */
export function nextStep(report: Report, isBisected = false): string {
  return (
    nothingCompared(report) ??
    disputed(report) ??
    training(report) ??
    runtimesFault(report) ??
    notFinite(report) ??
    wrongWeight(report) ??
    explained(report, isBisected) ??
    lossOfDType(report) ??
    wrongRecording(report) ??
    wrongInterface(report) ??
    wrongTrial(report) ??
    wrongLayer(report) ??
    assumed(report) ??
    notYetLooked(report)
  );
}

function nothingCompared({ verdict, outputs, compared, witness, notes }: Report): string | null {
  if (verdict !== 'nothing-compared') return null;
  if (outputs.some(({ nonFinite }) => nonFinite.actual > 0)) {
    return 'every value is NaN or infinite on both sides, so the source itself computes none: look at its weights (`weighbridge inspect --weights`), and at the inputs.';
  }
  const missing = outputs.filter((output) => output.compared === 0 && !output.isEmpty).map(({ name }) => `"${name}"`);
  if (compared.values > 0) {
    const where = witness.kind === 'recorded' ? 'the recording has no array for' : 'one side does not give';
    return `${where} ${missing.join(', ')}: every output must be compared before two nets are said to be the same.`;
  }
  if (notes.some((note) => note.includes(TOO_SENSITIVE_THERE))) {
    return 'rounding decides what the net makes of every input that was given (an angle near half a turn, a number near a step): give others with --inputs or --golden, or end the net before that layer with --until.';
  }
  return 'no output of one side could be paired with one of the other: compare the names and shapes that `weighbridge inspect` shows for both files.';
}

function disputed({ verdict, engines, layers }: Report): string | null {
  if (verdict !== 'disputed') return null;
  const where = layers === null ? ' --layers names the first layer that it computes otherwise.' : '';
  return `either ${engines.expected.split(' (')[0]} computes a layer otherwise than the source's framework, or our reader takes a setting of the source for another. Outputs recorded in the framework decide: weighbridge golden, then --golden.${where}`;
}

function training({ training: layers }: Report): string | null {
  if (layers.length === 0) return null;
  const drawing = drawingLayers(layers);
  if (drawing.length > 0)
    return `${listed(drawing, 3)}, so what the net gives is another at each run, and two nets cannot be compared: have the noise be an input of the model, or export it without.`;
  return `${listed(layers, 3)} act as in training, so what they give depends on chance or on the rest of the batch: export the model in inference mode (PyTorch: after model.eval()).`;
}

function runtimesFault({ notes, engines, weights }: Report): string | null {
  if (!notes.some((note) => note.endsWith(RUNTIMES_FAULT)) || (weights?.judged && weights.mismatches.length > 0)) return null;
  const [name] = engines.actual.split(' (');
  return `the file is right, and ${name} is not with its optimisations on: whoever runs it there turns them off (ONNX Runtime: graph_optimization_level), or takes another runtime.`;
}

function notFinite(report: Report): string | null {
  const { outputs, layers, weights, quantisation } = report;
  const [first] = outputs.filter(({ nonFinite }) => nonFinite.expected + nonFinite.actual > 0);
  if (!first) return null;
  const begins = layers?.find(({ nonFinite }) => nonFinite.actual > 0);
  const where = begins
    ? ` They begin in layer "${begins.layer}" (${begins.op})${begins.nonFinite.expected > 0 ? ', in the source as well' : ''}.`
    : ' --layers shows where they begin.';
  const bad = weights?.tensors.find(({ nonFinite }) => nonFinite > 0);
  if (first.nonFinite.expected > 0) {
    const cause = bad
      ? `${bad.role} of layer "${bad.layer}" holds ${bad.nonFinite} such values`
      : 'its weights, or the inputs, are the first to look at (`weighbridge inspect --weights`)';
    return `the source itself gives NaN or infinities, so no file made of it can be right: ${cause}.${where}`;
  }
  if (bad) return overflowAdvice(bad.layer, bad.role, bad.nonFinite, bad.dtype);
  const half = quantisation?.methods.some((method) => method.startsWith('float16'));
  if (half) return `values overflow float16 on the way, which ends at 65504: store with bfloat16, or compute in float32 (without --float16-compute).${where}`;
  return `the file gives NaN or infinities where the source does not.${where}`;
}

function wrongWeight({ weights }: Report): string | null {
  const [first] = weights?.judged ? weights.mismatches : [];
  if (!first) return null;
  const stored = storedOf(weights!, first.layer, first.role);
  if (stored && stored.nonFinite > 0) return overflowAdvice(first.layer, first.role, stored.nonFinite, stored.dtype);
  return `look at ${first.role} of layer "${first.layer}" first: its stored values are not the source's, so every output behind it is off. Convert again, and see whether the file was changed since.`;
}

function explained({ cause, trials }: Report, isBisected: boolean): string | null {
  const [first] = cause?.explainedBy ?? [];
  // Where float16 computes too little the file is as it was asked for.
  if (!first || trials.some(({ kind, passed }) => kind === 'float16' && passed === false)) return null;
  if (first.kind === 'outputs-exchanged') return `${first.what}; so look at the names and the order of the outputs in the file, or have it written anew.`;
  if (cause!.side === 'recording') {
    return `the recording was made otherwise (${first.what}): record anew, with the script that \`weighbridge golden\` prints. If it is right as it is, our reader takes a setting of the source for another.`;
  }
  // What no input reaches no input shows.
  if (trials.some(({ kind, passed }) => kind === 'stated' && passed === false))
    return `mend layer "${first.layer}" of the file (${first.what}), or have it written anew.`;
  const files = isBisected ? '' : '`weighbridge verify --bisect <folder>` writes the smallest files that show it';
  return cause!.side === 'reading'
    ? `layer "${first.layer}" is read otherwise than the original computes it (${first.what}): ${files === '' ? 'report it to us' : `${files}, for a report to us`}.`
    : `mend layer "${first.layer}" of the file (${first.what}), or have it written anew${files === '' ? '' : `; ${files}`}.`;
}

function storedOf({ tensors }: WeightsReport, layer: string, role: string) {
  return tensors.find((tensor) => tensor.layer === layer && tensor.role === role);
}

function overflowAdvice(layer: string, role: string, count: number, dtype: string): string {
  const wider = dtype === 'float16' ? 'bfloat16 and float32 hold them' : 'float32 may hold them';
  return `${formatCount(count)} ${plural(count, 'value')} of ${role} of layer "${layer}", too large for ${dtype}, became infinite: ${wider}.`;
}

/** What loses less than a dtype, by what was stored; nothing is told to be wider than itself. */
const GENTLER: readonly (readonly [stored: RegExp, advice: string])[] = [
  [/^uint8/, 'uint16 and float16 lose less, and in ONNX int8 per channel'],
  [/^int(4|8)/, 'float16 loses less'],
  [/^bfloat16/, 'float16 keeps eight times as much of each value where its range is enough; float32 keeps all'],
  [/^(float16|uint16)/, 'float32 keeps all'],
];

function lossOfDType({ quantisation, inputs }: Report): string | null {
  if (!quantisation?.correctness?.passed || quantisation.loss?.passed !== false) return null;
  const advice =
    GENTLER.flatMap(([stored, text]) => (quantisation.methods.some((method) => stored.test(method)) ? [text] : []))[0] ?? 'a wider dtype loses less';
  const real = inputs.kind === 'generated' ? '; and --inputs or --golden with real inputs tell what it costs in predictions' : '';
  return `the file computes what its narrowed weights say, so the conversion is right and the loss is the price of the dtype: ${advice}${real}.`;
}

/** Weights and layers are right, and the recording says otherwise: then it is of other inputs, or of another net. */
function wrongRecording({ witness, outputs, weights, layers, cause, firstDifference, trials }: Report): string | null {
  if (witness.kind !== 'recorded' || outputs.every(({ passed }) => passed) || trials.some(({ passed }) => passed === false)) return null;
  const areLayersRight = layers === null ? firstDifference?.layer === undefined : layers.every(({ passed }) => passed);
  if (cause || !areLayersRight || !weights?.judged || weights.mismatches.length > 0) return null;
  const seen = layers === null ? 'the weights agree' : 'weights and layers agree';
  const otherwise = layers === null ? '--layers names the first layer that differs, if one does' : 'else our reader takes a setting of the source for another';
  return `${seen}, so look at the recording first: are its inputs and outputs in the same order, of this net, and were the inputs prepared alike? ${capitalise(otherwise)}.`;
}

/** That a size is free is told, and never judged. */
type JudgedKind = Exclude<InterfaceDifference['kind'], 'free'>;

function wrongInterface({ interface: differences, outputs }: Report): string | null {
  const [first] = differences.filter(({ judged }) => judged);
  if (!first || outputs.some(({ passed, compared }) => !passed && compared > 0)) return null;
  const what = {
    count: 'whoever asks for outputs by their order gets others',
    order: 'whoever asks for outputs by their order gets others',
    dtype: 'whoever reads it must know',
    rank: 'whoever reads it by its axes reads past it: take the extra axes away, or export it without them',
    size: 'whoever feeds or reads it must know',
    fixed: 'other sizes do not run: export the model with that axis free (PyTorch: dynamic_axes; here: --input-shape with N)',
    name: 'whoever asks for it by its name must ask for another',
    initialiser: 'runtimes cannot fold what may be replaced, and some refuse it: export without keep_initializers_as_inputs',
  }[first.kind as JudgedKind];
  return `the values agree, the interface does not: ${first.message}. So ${what}.`;
}

function wrongTrial({ trials, outputs }: Report): string | null {
  const [first] = trials.filter(({ passed }) => passed === false);
  if (!first || outputs.some(({ passed }) => !passed)) return null;
  return TRIALS[first.kind];
}

const TRIALS: Readonly<Record<TrialReport['kind'], string>> = {
  batch:
    'single inputs agree, several at once do not: look for a batch size that is written into a Reshape or an Expand of the file, and for an operator that works along the batch.',
  sizes: 'the size that was tried first agrees, another does not: look for sizes that are written into a Reshape, a Resize, a Slice or a pooling of the file.',
  inner: 'the outputs agree because they are saturated, and what they are made of does not: --layers names the first layer that differs.',
  alone: 'the outputs agree within what rounding does to this net, which is much, and one layer does not: --layers looks at each.',
  stated: 'what was run agrees, and other inputs will not: have the file written anew, or mend the layer that is named.',
  float16: 'without --float16-compute the weights are stored in float16 all the same, and computed with in float32.',
};

/** What to look at in a layer that is the first to differ, by what it computes. */
const SUSPECTS: readonly (readonly [ops: RegExp, what: string])[] = [
  [
    /^(BatchNormalization|InstanceNormalization|LayerNormalization|GroupNormalization)$/,
    'its epsilon, the order of its statistics, and whether variance or deviation is stored',
  ],
  [/^Conv/, "its padding, stride, dilation, groups and the order of its kernel's axes"],
  [/Pool$/, 'its window, stride, rounding (ceil or floor), padding, and whether padding is counted'],
  [/^(Gemm|MatMul)$/, 'the order of the features that flow in (Flatten of another layout) and whether its matrix is transposed'],
  [/^(Softmax|LogSoftmax|Concat|ArgMax)$/, 'its axis, and the order of what flows in'],
  [/^(Resize|Upsample|GridSample)$/, 'its mode, rounding and alignment of corners'],
  [/^(LSTM|GRU|RNN)$/, 'the order of its gates, its biases and activations'],
];

function wrongLayer(report: Report): string | null {
  const { layers, firstDifference } = report;
  const failed = layers?.find(({ passed }) => !passed);
  if (!failed) return null;
  const suspect = report.assumed.find((sentence) => concerns(sentence, failed));
  const what = SUSPECTS.find(([ops]) => ops.test(failed.op))?.[1] ?? 'its attributes and the order of its inputs in both files';
  const first = suspect ? `it was assumed: ${suspect}. Then look at ${what}` : `look at ${what}`;
  return `the layers before "${firstDifference?.layer ?? failed.layer}" (${failed.op}) agree, so ${first}.`;
}

/** Whether an assumption is about what a layer computes. */
function concerns(sentence: string, { op }: LayerReport): boolean {
  const words: Readonly<Record<string, RegExp>> = {
    BatchNormalization: /epsilon|normalis/i,
    Relu: /relu|activation/i,
    MaxPool: /pool/i,
    AveragePool: /pool/i,
    Softmax: /softmax/i,
  };
  return words[op]?.test(sentence) === true;
}

/** An independent witness says that the net is another one, and the file does not say all of it: what was filled in is the first suspect. */
function assumed({ assumed: sentences, witness, outputs, layers }: Report): string | null {
  if (sentences.length === 0 || !witness.independent || outputs.every(({ passed }) => passed)) return null;
  const more = sentences.length > 4 ? `; and ${sentences.length - 4} more` : '';
  const where = layers === null ? ' --layers names the first layer that differs.' : '';
  return `the file does not say all of its net, and what was assumed is the first suspect: ${sentences.slice(0, 4).join('; ')}${more}. --arch and --assume say otherwise.${where}`;
}

function notYetLooked({ layers, witness, quantisation }: Report): string {
  if (layers === null) {
    return 'run it again with --layers, which names the first layer that differs: a fault begins at one, rounding grows from layer to layer.';
  }
  if (quantisation?.correctness?.passed === false)
    return 'the file does not compute what its own weights say, though every layer compared does: look at what follows the last of them.';
  if (!witness.independent)
    return 'record inputs and outputs in the source framework (weighbridge golden) and compare with --golden: a mistake of the reader shows only so.';
  return 'every layer compared agrees, so look at what follows the last of them, and at how the outputs are paired.';
}
