/**
 * Whether a file that computes in float16 does what it should where float16 is really computed in. ONNX Runtime's CPU kernels compute such a
 * file in float32, so that what they predict proves nothing of it.
 */
import { isModelError } from '../errors.js';
import type { Layer, LayerMap } from '../model/layer-map.js';
import { LARGEST_HALF, runHalf } from './half.js';
import { withInner } from './inner.js';
import { RANGES, type Range } from './inputs.js';
import type { VerifyOptions } from './options.js';
import type { TrialReport } from './report.js';
import type { RunSample } from './samples.js';
import type { Feeds } from './side.js';
import type { Subject } from './subject.js';

/** Numbers that nets of every preprocessing take; what overflows on others alone is told, and not judged. */
const TAKEN: ReadonlySet<Range> = new Set<Range>([RANGES.plain, RANGES.unit, RANGES.small]);

/** Operators that make what is infinite on purpose: masks. */
const MAKES_INFINITY: ReadonlySet<string> = new Set(['Where', 'ConstantOfShape', 'Constant']);

/** The first layer, in running order, whose values do not fit; null where all do. */
type FindOverflow = (feeds: Feeds) => Promise<string | null>;

type Sample = Pick<RunSample, 'feeds' | 'range'>;

/**
 * Runs the net in our evaluator, every value rounded to float16 as soon as it is made.
 *
 * @param samples given inputs, or generated ones with their ranges
 * @returns null, and a note, where our evaluator lacks an operator
 */
export async function tryHalf(map: LayerMap, samples: readonly Sample[], notes: string[]): Promise<TrialReport | null> {
  return told(notes, () =>
    judged(samples, notes, 'computed in float16 by our evaluator', async (feeds) => {
      const { overflow } = await runHalf(map, feeds);
      if (overflow === null) return null;
      return overflowsIn(overflow.layer, `activations reach ${Number((overflow.largest / LARGEST_HALF).toPrecision(2))} times 65504, the largest float16,`);
    }),
  );
}

/**
 * The same for a net that our evaluator would take minutes for: the file's own runtime shows what its layers make, a few at a time, and what
 * does not fit has become infinite on its way into a value of float16.
 *
 * @returns null, and a note, where the runtime does not show it
 */
export async function tryHalfInside(
  subject: Pick<Subject, 'target' | 'written' | 'layoutOf'>,
  map: LayerMap,
  samples: readonly Sample[],
  options: VerifyOptions,
  notes: string[],
): Promise<TrialReport | null> {
  return told(notes, () =>
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

async function told(notes: string[], look: () => Promise<TrialReport>): Promise<TrialReport | null> {
  try {
    return await look();
  } catch (error) {
    if (!isModelError(error)) throw error;
    notes.push(`whether all values fit float16 was not looked at: ${error.message}`);
    return null;
  }
}

async function judged(samples: readonly Sample[], notes: string[], how: string, find: FindOverflow): Promise<TrialReport> {
  const trial = (passed: boolean, message: string): TrialReport => ({ kind: 'float16', what: 'true float16', passed, message });
  let other: string | null = null;
  for (const { feeds, range } of samples) {
    const overflow = await find(feeds);
    if (overflow === null) continue;
    if (TAKEN.has(range)) return trial(false, overflow);
    other ??= `on inputs of ${range.name}, ${overflow}`;
  }
  if (other !== null) notes.push(other);
  return trial(true, `every value fits float16${other === null ? '' : ' on plain inputs'}, ${how}`);
}

function overflowsIn({ name, op }: Layer, what: string): string {
  return `${what} in layer "${name}" (${op}): what computes in float16 gives infinity there, though a runtime that computes it in float32 does not show it`;
}
