/**
 * Whether a file that computes in float16 does what it should where float16 is really computed in. ONNX Runtime's CPU kernels compute such a
 * file in float32, so that what they predict proves nothing of it.
 */
import { isModelError } from '../errors.js';
import { LARGEST_HALF } from '../model/half-range.js';
import type { Layer, LayerMap } from '../model/layer-map.js';
import type { Tolerance } from './compare.js';
import { type HalfRun, runHalf, SMALLEST_NORMAL } from './half.js';
import { withInner } from './inner.js';
import { RANGES, type Range } from './inputs.js';
import type { VerifyOptions } from './options.js';
import { compareOutputs } from './outputs.js';
import type { TrialReport } from './report.js';
import { HALF_UNIT, measureRounding } from './rounding.js';
import type { RunSample } from './samples.js';
import type { Feeds } from './side.js';
import type { Subject } from './subject.js';
import { lossAllowed } from './tolerance.js';

/** Numbers that nets of every preprocessing take; what overflows on others alone is told, and not judged. */
const TAKEN: ReadonlySet<Range> = new Set<Range>([RANGES.plain, RANGES.unit, RANGES.small]);

/** Operators that make what is infinite on purpose: masks. */
const MAKES_INFINITY: ReadonlySet<string> = new Set(['Where', 'ConstantOfShape', 'Constant']);

/** What float16 does not do for an input, in words; null where it does. */
type FindFault = (feeds: Feeds) => Promise<string | null>;

const TRUE_HALF = { kind: 'float16', what: 'true float16' } as const;

type Sample = Pick<RunSample, 'feeds' | 'range'>;

/**
 * Runs the net in our evaluator, every value rounded to float16 as soon as it is made: what does not fit becomes infinite, what is small beside
 * what it is added to is lost, and so is what is smaller than float16 has numbers for.
 *
 * @param samples given inputs, or generated ones with their ranges
 * @param tolerance what outputs may be off by; what roundings to float16 do to this net may be more
 * @returns a trial without an answer where our evaluator lacks an operator
 */
export async function tryHalf(map: LayerMap, samples: readonly Sample[], tolerance: Tolerance, notes: string[]): Promise<TrialReport> {
  return told(() =>
    judged(samples, notes, 'computed in float16 by our evaluator', async (feeds) => {
      const run = await runHalf(map, feeds, tolerance.rtol);
      if (run.overflow !== null) {
        const { layer, largest } = run.overflow;
        if (largest <= LARGEST_HALF) return `computed in float16, ${dividesIn(layer, largest)}`;
        return overflowsIn(layer, `activations reach ${Number((largest / LARGEST_HALF).toPrecision(2))} times 65504, the largest float16,`);
      }
      const off = await outputOff(map, feeds, run, tolerance);
      return off && `computed in float16, ${off}${run.lost === null ? '' : `: ${lossIn(run.lost)}`}. A runtime that computes it in float32 does not show it`;
    }),
  );
}

/** An output that is further off than what roundings explain; null where none is. */
async function outputOff(map: LayerMap, feeds: Feeds, { exact, outputs }: HalfRun, { atol, rtol, why }: Tolerance): Promise<string | null> {
  const compared = (slack?: readonly number[]) => {
    const comparison = compareOutputs(map, { atol, rtol, why });
    comparison.add(exact, outputs, slack);
    return comparison.report().outputs.find(({ passed }) => !passed) ?? null;
  };
  if (compared() === null) return null;
  const { outputs: moved } = await measureRounding(map, feeds, { size: HALF_UNIT.float16 });
  const off = compared(moved.map(({ ofScale }) => lossAllowed(ofScale[0]!)));
  return off && `output "${off.name}" is off by ${Number(off.relativeToScale.toPrecision(2))} of its scale`;
}

/** Nothing is too large there, so that something before it has become nothing. */
function dividesIn({ name, op }: Layer, largest: number): string {
  return `layer "${name}" (${op}) gives NaN or infinity, although its values are ${largest.toExponential(1)} at most: it reads what float16 rounds to zero`;
}

function lossIn({ layer: { name, op }, largest, ofScale }: NonNullable<HalfRun['lost']>): string {
  const where = `it begins in layer "${name}" (${op}), `;
  if (largest >= SMALLEST_NORMAL)
    return `${where}whose values float16 moves by ${Number(ofScale.toPrecision(2))} of their scale, as sums do that lose what is small beside the rest`;
  return `${where}whose values are at most ${largest.toExponential(1)}: below ${SMALLEST_NORMAL.toExponential(1)} float16 keeps ever fewer bits, and below 3e-8 none`;
}

/**
 * The same for a net that our evaluator would take minutes for: the file's own runtime shows what its layers make, a few at a time, and what
 * does not fit has become infinite on its way into a value of float16.
 *
 * @returns a trial without an answer where the runtime does not show it
 */
export async function tryHalfInside(
  subject: Pick<Subject, 'target' | 'written' | 'layoutOf'>,
  map: LayerMap,
  samples: readonly Sample[],
  options: VerifyOptions,
  notes: string[],
): Promise<TrialReport> {
  return told(() =>
    withInner(subject, map, options, ({ source }) => {
      const layers = map.layers.filter((layer) => source.layers.has(layer));
      return judged(samples, notes, `as ${source.name} shows ${layers.length} of ${map.layers.length} layers`, async (feeds) => {
        let found: Layer | null = null;
        await source.visit(feeds, 0, layers, async (layer, { data }) => {
          if (found === null && !MAKES_INFINITY.has(layer.op) && !(data as Float32Array).every(Number.isFinite)) found = layer;
        });
        return found && overflowsIn(found, 'activations pass 65504, the largest float16,');
      });
    }),
  );
}

async function told(look: () => Promise<TrialReport>): Promise<TrialReport> {
  try {
    return await look();
  } catch (error) {
    if (!isModelError(error)) throw error;
    return { ...TRUE_HALF, passed: null, message: `whether float16 is enough for every value was not looked at: ${error.message}` };
  }
}

async function judged(samples: readonly Sample[], notes: string[], how: string, find: FindFault): Promise<TrialReport> {
  const trial = (passed: boolean, message: string): TrialReport => ({ ...TRUE_HALF, passed, message });
  let other: string | null = null;
  for (const { feeds, range } of samples) {
    const overflow = await find(feeds);
    if (overflow === null) continue;
    if (TAKEN.has(range)) return trial(false, overflow);
    other ??= `on inputs of ${range.name}, ${overflow}`;
  }
  if (other !== null) notes.push(other);
  return trial(true, `float16 is enough for every value${other === null ? '' : ' on plain inputs'}, ${how}`);
}

function overflowsIn({ name, op }: Layer, what: string): string {
  return `${what} in layer "${name}" (${op}): what computes in float16 gives infinity there, though a runtime that computes it in float32 does not show it`;
}
