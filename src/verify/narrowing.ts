/**
 * Files whose weights are narrower than their source's: what was done to them, and whether the file is what it says.
 *
 * Quantisation moves outputs as much as a real fault does, so a comparison with the original proves little. Such a file is
 * therefore also compared with its own weights, widened to float32 and run by our float64 evaluator: there the tight tolerance holds.
 */
import { isModelError } from '../errors.js';
import { castTensor } from '../model/cast.js';
import { DTYPE_BYTES, isFloatDType } from '../model/dtype.js';
import type { LayerMap } from '../model/layer-map.js';
import { storedDType } from '../model/packing.js';
import { isNumber, type Tensor } from '../model/tensor.js';
import type { Tolerance } from './compare.js';
import { compareOutputs } from './outputs.js';
import { referenceSession } from './reference/session.js';
import type { NarrowingReport } from './report.js';
import { type AllowedFor, type RunSample, slackFor } from './samples.js';
import { portRunner, type Side } from './side.js';
import { narrowestOf } from './tolerance.js';
import { PER } from './weight-pair.js';
import { isAsItWas } from './written/as-it-was.js';
import { widenWeight } from './written/widen.js';
import type { WrittenModel, WrittenWeight } from './written/written.js';

export interface Narrowing {
  /** 'int8 per channel', 'float16', ... */
  readonly methods: readonly string[];
  /** The stored dtype that loses most. */
  readonly narrowest: string;
  /** Whether the narrower weights were found where layers use them, so that the file can be compared with them. */
  readonly isLinedUp: boolean;
}

/** Part of all weights that must be of a dtype, in a file whose weights are not lined up, before the file is excused by it. */
const LEAST_SHARE = 0.1;

/**
 * Null where no weight lost anything.
 *
 * @param mayComputeNarrow whether the witness may have computed in the source's own narrow dtype, as frameworks do
 */
export function findNarrowing(map: LayerMap, written: WrittenModel, mayComputeNarrow: boolean): Narrowing | null {
  const dtypes = new Set<string>();
  const methods = new Set<string>();
  let isLinedUp = false;
  for (const layer of map.layers) {
    for (const [role, source] of Object.entries(layer.weights)) {
      const stored = written.weight(layer, role);
      isLinedUp ||= stored !== undefined;
      if (!stored || !isFloatDType(source.dtype) || isAsItWas(source.replaces?.tensor ?? source, stored)) continue;
      if (!(mayComputeNarrow || stored.quantisation || stored.tensor.dtype !== source.dtype)) continue;
      const dtype = storedDType(stored.tensor);
      if (narrowestOf([dtype]) === undefined) continue;
      dtypes.add(dtype);
      methods.add(source.replaces?.method ?? methodName(stored));
    }
  }
  const stored = isLinedUp ? [] : [...(written.storedDTypes ?? [])];
  const total = stored.reduce((sum, [, count]) => sum + count, 0);
  for (const [dtype, count] of stored) {
    if (narrowestOf([dtype]) === undefined || count < LEAST_SHARE * total) continue;
    dtypes.add(dtype);
    methods.add(dtype);
  }
  const narrowest = narrowestOf(dtypes);
  return narrowest === undefined ? null : { methods: [...methods], narrowest, isLinedUp };
}

function methodName({ tensor, quantisation }: WrittenWeight): string {
  if (!quantisation) return storedDType(tensor);
  return `${storedDType(tensor)} per ${PER[quantisation.kind]}`;
}

/**
 * The map with the weights of the written file, widened to float32. A weight that is not found in the file, or there in another shape, stays the source's, in
 * the precision that all others have; as it is where the file keeps it so by its name, as those of a recurrent node that was left alone, and where it is a
 * number of a function, such as those of a GELU, which no file stores.
 */
export function widenedMap(map: LayerMap, written: WrittenModel): LayerMap {
  const paired = map.layers.map((layer) =>
    Object.entries(layer.weights).map(([role, source]) => {
      const stored = written.weight(layer, role);
      return { role, source, stored: stored && stored.tensor.shape.join() === source.shape.join() ? stored : null };
    }),
  );
  const dtypes = new Set(paired.flat().flatMap(({ source, stored }) => (stored && isFloatDType(source.dtype) ? [stored.tensor.dtype] : [])));
  const [only] = dtypes.size === 1 ? dtypes : [];
  const rounded = (source: Tensor) =>
    only &&
    isFloatDType(only) &&
    isFloatDType(source.dtype) &&
    !isNumber(source) &&
    DTYPE_BYTES[only] < DTYPE_BYTES[source.dtype] &&
    written.storedAs?.(source.name) !== source.dtype
      ? castTensor(castTensor(source, only), 'float32')
      : source;
  const layers = map.layers.map((layer, i) => {
    const weights = paired[i]!.map(({ role, source, stored }) => [role, stored ? widenWeight(stored) : rounded(source)] as const);
    return { ...layer, weights: Object.fromEntries(weights) };
  });
  return { ...map, layers };
}

/** @returns null, and a note, where our evaluator lacks an operator */
export async function checkCorrectness(
  widened: LayerMap,
  samples: readonly Pick<RunSample, 'feeds' | 'found' | 'range'>[],
  { tolerance, allowedFor }: { readonly tolerance: Tolerance; readonly allowedFor: (side: Pick<Side, 'run'>) => AllowedFor },
  notes: string[],
  onProgress?: (done: number, total: number) => void,
): Promise<{ readonly report: NarrowingReport; readonly problem: string | null } | null> {
  try {
    const session = await referenceSession(widened, { onProgress });
    const run = portRunner(session, widened, (port) => port.layout);
    const comparison = compareOutputs(widened, tolerance);
    for (const { feeds, found, range } of samples) {
      const wanted = await run(feeds);
      const slack = await slackFor(widened, { allowedFor: allowedFor({ run }), comparison }, { feeds, wanted, found, range });
      if (slack) comparison.add(wanted, found, slack);
    }
    const { outputs, tolerance: reported, problem } = comparison.report();
    const expected = "the file's own weights, widened to float32 and run by our float64 evaluator";
    return { report: { expected, tolerance: reported, outputs, passed: outputs.every(({ passed }) => passed) }, problem };
  } catch (error) {
    if (!isModelError(error)) throw error;
    notes.push(`that the file computes what its narrower weights say was not checked: ${error.message}`);
    return null;
  }
}
