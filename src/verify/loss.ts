/**
 * Whether narrower weights cost too much. Whether the file is right is another question, and answered before: its weights are the source's,
 * rounded, and it computes what they say. What rounding costs is seen in predictions, on inputs that mean something.
 */
import { isModelError } from '../errors.js';
import { castTensor } from '../model/cast.js';
import { isFloatDType } from '../model/dtype.js';
import type { LayerMap } from '../model/layer-map.js';
import type { Tensor } from '../model/tensor.js';
import { describeSame, share } from './agreement.js';
import { compareOutputs } from './outputs.js';
import { referenceSession } from './reference/session.js';
import type { AgreementReport, OutputReport, QuantisationReport } from './report.js';
import type { RunSample } from './samples.js';
import { type Arrays, portRunner } from './side.js';

export interface LossToJudge {
  readonly outputs: readonly OutputReport[];
  readonly narrowest: string;
  readonly agreement: AgreementReport | null;
  readonly ofFloat16: number | null;
  /** Whether a user bounds the loss. */
  readonly isBounded: boolean;
  readonly isGiven: boolean;
  /** What the file's weights were found to be: its source's, rounded; what it says itself was made of those; or neither. It computes what they say. */
  readonly weights: 'rounded' | 'claimed' | null;
}

/** How many times float16's loss a dtype's is let be: its step beside that of float16, and three times that. */
const STEPS: Readonly<Record<string, number>> = { float16: 3, uint16: 3, bfloat16: 24, int8: 300, uint8: 600, int4: 4800, uint4: 4800 };
/** What points elsewhere may be another net, and no rounding of this one. */
const LEAST_COSINE = 0.9;
/** What a share of few inputs may be, as far as so few tell. */
const LEAST_FEW_AGREEMENT = 0.8;

/**
 * What is no longer the same net, whatever the inputs mean: of eight trained nets in up to a dozen narrower forms each, all that labelled pictures let pass were at a cosine
 * of 0.45 and more on generated inputs, and of those below 0.4 pictures let none pass.
 */
const RUINED = { cosine: 0.4, agreement: 0.3 } as const;

/**
 * Inputs that mean nothing do not tell what rounding costs: many nets give something else on them as soon as they are rounded, and bear it well on what they are
 * for. So what is known to be the source's weights, rounded, is not judged on them, unless nothing is left of the net. Where the file alone says what was made of them, its outputs have to
 * be those of the same net.
 */
export function judgeLoss(loss: LossToJudge): { readonly by: QuantisationReport['lossJudgedBy']; readonly passed: boolean } {
  const { outputs, agreement, isBounded, isGiven, weights, ofFloat16, narrowest } = loss;
  const isRight = weights !== null;
  const isWhole = outputs.every(({ nonFinite }) => nonFinite.expected + nonFinite.actual === 0);
  const isWithin = outputs.every(({ passed }) => passed);
  const isProportionate = isRight && ofFloat16 !== null && ofFloat16 <= (STEPS[narrowest] ?? 0);
  if (isBounded) return { by: 'bound', passed: isWithin };
  if (isWhole && agreement) {
    const others = outputs.filter(({ top1 }) => top1 === null).every(({ passed }) => passed);
    return { by: 'predictions', passed: agreement.passed && (others || isProportionate) };
  }
  const isClasses = outputs.every(({ top1 }) => top1 !== null);
  if (isWhole && isRight && (!isGiven || isClasses)) {
    const isLike = weights === 'claimed' ? isSameNet : isGiven ? mayAgree : (output: OutputReport) => !isRuined(output);
    return { by: 'nothing', passed: outputs.every(isLike) };
  }
  return { by: 'bound', passed: isWithin || (isWhole && isProportionate) };
}

function isRuined({ cosine, top1 }: OutputReport): boolean {
  return top1 !== null && (cosine ?? 1) < RUINED.cosine && share(top1.same, top1.of).high < RUINED.agreement;
}

/** Whether an output points where its source's does, and puts the same classes first as far as so many inputs tell. */
export function isSameNet(output: OutputReport): boolean {
  return (output.cosine ?? 1) >= LEAST_COSINE && mayAgree(output);
}

/** How far the output that is furthest is: 'cosine 0.412, the same class first for 0 of 10 inputs (...)'. */
export function describeFar(outputs: readonly OutputReport[]): string {
  const [furthest] = [...outputs].sort((a, b) => Number(isSameNet(a)) - Number(isSameNet(b)) || (a.cosine ?? 1) - (b.cosine ?? 1));
  const { cosine = null, top1 = null } = furthest ?? {};
  return [...(cosine === null ? [] : [`cosine ${cosine.toFixed(3)}`]), ...(top1 ? [describeSame(share(top1.same, top1.of))] : [])].join(', ');
}

function mayAgree({ top1 }: OutputReport): boolean {
  return top1 === null || share(top1.same, top1.of).high >= LEAST_FEW_AGREEMENT;
}

/**
 * How many times as far the file is from its source as float16 weights would be, on the same inputs: a net that is sensitive is so to both.
 *
 * @returns null where our evaluator lacks an operator, or float16 costs nothing
 */
export async function lossOfFloat16(map: LayerMap, samples: readonly RunSample[]): Promise<number | null> {
  const half = (tensor: Tensor) => (isFloatDType(tensor.dtype) ? castTensor(castTensor(tensor, 'float16'), 'float32') : tensor);
  const layers = map.layers.map((layer) => ({
    ...layer,
    weights: Object.fromEntries(Object.entries(layer.weights).map(([role, tensor]) => [role, half(tensor)])),
  }));
  const runOf = async (net: LayerMap) => portRunner(await referenceSession(net), net, (port) => port.layout);
  try {
    const [exact, narrow] = [await runOf(map), await runOf({ ...map, layers })];
    let [ofFile, ofHalf] = [0, 0];
    for (const { feeds, wanted, found } of samples) {
      ofFile = Math.max(ofFile, apart(map, wanted, found));
      ofHalf = Math.max(ofHalf, apart(map, await exact(feeds), await narrow(feeds)));
    }
    return ofHalf > 0 && Number.isFinite(ofHalf) ? ofFile / ofHalf : null;
  } catch (error) {
    if (!isModelError(error)) throw error;
    return null;
  }
}

/** The largest difference of one sample's outputs, of an output's scale. */
function apart(map: LayerMap, expected: Arrays, actual: Arrays): number {
  const comparison = compareOutputs(map, { atol: 0, rtol: 0, why: '' });
  comparison.add(expected, actual);
  return Math.max(...comparison.report().outputs.map(({ relativeToScale }) => relativeToScale));
}
