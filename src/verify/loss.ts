/**
 * Whether narrower weights cost too much. Whether the file is right is another question, and answered before: its weights are the source's,
 * rounded, and it computes what they say. What rounding costs is seen in predictions, on inputs that mean something.
 */
import { isModelError } from '../errors.js';
import { castTensor } from '../model/cast.js';
import { isFloatDType } from '../model/dtype.js';
import type { LayerMap } from '../model/layer-map.js';
import type { Tensor } from '../model/tensor.js';
import { share } from './agreement.js';
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
  /** Whether the file was found to be what its source's weights, rounded, come to. */
  readonly isRight: boolean;
}

/** How many times float16's loss a dtype's is let be: its step beside that of float16, and three times that. */
const STEPS: Readonly<Record<string, number>> = { float16: 3, uint16: 3, bfloat16: 24, int8: 300, uint8: 600, int4: 4800, uint4: 4800 };
/** On inputs that mean nothing: what points elsewhere is another net, and no rounding of this one. */
const LEAST_COSINE = 0.9;
const LEAST_GENERATED_AGREEMENT = 0.8;

export function judgeLoss(loss: LossToJudge): { readonly by: QuantisationReport['lossJudgedBy']; readonly passed: boolean } {
  const { outputs, agreement, isBounded, isGiven, isRight, ofFloat16, narrowest } = loss;
  const isWhole = outputs.every(({ nonFinite }) => nonFinite.expected + nonFinite.actual === 0);
  const isWithin = outputs.every(({ passed }) => passed);
  const isProportionate = isRight && ofFloat16 !== null && ofFloat16 <= (STEPS[narrowest] ?? 0);
  if (isBounded) return { by: 'bound', passed: isWithin };
  if (isWhole && agreement) {
    const others = outputs.filter(({ top1 }) => top1 === null).every(({ passed }) => passed);
    return { by: 'predictions', passed: agreement.passed && (others || isProportionate) };
  }
  const isClasses = outputs.every(({ top1 }) => top1 !== null);
  if (isWhole && isRight && (!isGiven || isClasses)) return { by: 'nothing', passed: outputs.every(isSameNet) };
  return { by: 'bound', passed: isWithin || (isWhole && isProportionate) };
}

function isSameNet({ cosine, top1 }: OutputReport): boolean {
  return (cosine ?? 1) >= LEAST_COSINE && (top1 === null || share(top1.same, top1.of).high >= LEAST_GENERATED_AGREEMENT);
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
