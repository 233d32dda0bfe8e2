/**
 * Whether a file that computes in float16 does what it should where float16 is really computed in. ONNX Runtime's CPU kernels compute such a
 * file in float32, so that what they predict proves nothing of it.
 */
import { isModelError } from '../errors.js';
import type { LayerMap } from '../model/layer-map.js';
import { type HalfRun, LARGEST_HALF, runHalf } from './half.js';
import { RANGES, type Range } from './inputs.js';
import type { TrialReport } from './report.js';
import type { RunSample } from './samples.js';

/** Numbers that nets of every preprocessing take; what overflows on others alone is told, and not judged. */
const TAKEN: ReadonlySet<Range> = new Set<Range>([RANGES.plain, RANGES.unit, RANGES.small]);

/**
 * Runs the net in our evaluator, every value rounded to float16 as soon as it is made.
 *
 * @param samples given inputs, or generated ones with their ranges
 * @returns null, and a note, where our evaluator lacks an operator
 */
export async function tryHalf(map: LayerMap, samples: readonly RunSample[], notes: string[]): Promise<TrialReport | null> {
  const trial = (passed: boolean, message: string): TrialReport => ({ kind: 'float16', what: 'true float16', passed, message });
  let told: string | null = null;
  try {
    for (const { feeds, range } of samples) {
      const { overflow } = await runHalf(map, feeds);
      if (overflow === null) continue;
      if (TAKEN.has(range)) return trial(false, describeOverflow(overflow));
      told ??= `on inputs of ${range.name}, ${describeOverflow(overflow)}`;
    }
  } catch (error) {
    if (!isModelError(error)) throw error;
    notes.push(`whether all values fit float16 was not looked at: ${error.message}`);
    return null;
  }
  if (told !== null) notes.push(told);
  return trial(true, `every value fits float16${told === null ? '' : ' on plain inputs'}, computed in float16 by our evaluator`);
}

function describeOverflow({ layer, largest }: NonNullable<HalfRun['overflow']>): string {
  const times = Number((largest / LARGEST_HALF).toPrecision(2));
  return `activations reach ${times} times 65504, the largest float16, in layer "${layer.name}" (${layer.op}): what computes in float16 gives infinity there, though a runtime that computes it in float32 does not show it`;
}
