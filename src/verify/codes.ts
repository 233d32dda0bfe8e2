/**
 * Whether a file that computes in 8 bits computes what it says. A value that lies between two codes goes to either in right runtimes, and all that is
 * worked out of it differs from there on; so each code is compared given the codes before it: our evaluator goes through the net with the codes that
 * the file's runtime shows, and at each place works out what should be there.
 */
import { isModelError, ModelError } from '../errors.js';
import type { Layer, LayerMap } from '../model/layer-map.js';
import type { Value } from '../model/ops/array.js';
import type { NdArray } from './engine.js';
import { selectEngine } from './engines/index.js';
import { writtenNames } from './layer-source.js';
import type { VerifyOptions } from './options.js';
import { compareOutputs } from './outputs.js';
import { type Arithmetic, runLayers } from './reference/session.js';
import type { NarrowingReport } from './report.js';
import type { RunSample } from './samples.js';
import { adaptPorts } from './side.js';
import type { Subject } from './subject.js';
import { tableTolerance, withRoundedPorts } from './tolerance.js';

/** Part of a step by which float32 may miss a tie: what it loses on 255 steps is a thousandth. */
const TIE = 0.01;

export function hasCodes({ layers }: LayerMap): boolean {
  return layers.some(isCoding);
}

const isCoding = ({ op }: Layer) => op === 'QuantizeLinear';

/** What came of codes that were compared. */
export interface CodeTally {
  codes: number;
  /** One apart, where the value lies between two. */
  ties: number;
  problem: string | null;
}

/**
 * @param widened the map with the file's own weights
 * @returns null, and a note, where the runtime does not show codes or our evaluator lacks an operator
 */
export async function checkCodes(
  subject: Subject,
  widened: LayerMap,
  samples: readonly Pick<RunSample, 'feeds'>[],
  options: VerifyOptions,
  notes: string[],
): Promise<{ readonly report: NarrowingReport; readonly problem: string | null } | null> {
  const { target, written, layoutOf } = subject;
  const coding = widened.layers.filter(isCoding);
  const shown = coding.flatMap((layer) => written?.valueOf(layer) ?? []);
  const tally: CodeTally = { codes: 0, ties: 0, problem: null };
  try {
    const { engine } = await selectEngine(target.format, options);
    const session = await engine.open({ ...target, layers: shown });
    try {
      const { feed, show, outputOf } = adaptPorts(session, widened, layoutOf, { names: written?.ports });
      const names = writtenNames(widened, written!.valueOf, session, outputOf);
      const missing = coding.find((layer) => !names.has(layer));
      if (missing) throw new ModelError('engine', `${engine.name} does not show its codes`, { layer: missing.name });
      const comparison = compareOutputs(widened, withRoundedPorts(tableTolerance('reference', engine.name), widened.outputs));
      for (const [i, { feeds }] of samples.entries()) {
        const results = await session.run(feed(feeds), [...coding.map((layer) => names.get(layer)!), ...session.outputs.map(({ name }) => name)]);
        const given = new Map(coding.map((layer) => [layer, results.get(names.get(layer)!)!]));
        comparison.add(await runLayers(widened, feeds, () => {}, following(given, tally)), show(results));
        options.onProgress?.('comparing codes', i + 1, samples.length);
      }
      const { outputs, tolerance, problem } = comparison.report();
      const ties = tally.ties === 0 ? 'all the same' : `all the same but for ${tally.ties} between two codes`;
      const expected = `the file's own weights and steps, run by our float64 evaluator from the codes that ${engine.name} shows: ${tally.codes} codes, ${ties}`;
      const passed = tally.problem === null && outputs.every((output) => output.passed);
      return { report: { expected, tolerance, outputs, passed }, problem: tally.problem ?? problem };
    } finally {
      await session.close();
    }
  } catch (error) {
    if (!isModelError(error)) throw error;
    notes.push(`that the file computes what its codes say was not checked: ${error.message}`);
    return null;
  }
}

/** Works out each code from those before it, compares it, and goes on with the one that is given. */
function following(given: ReadonlyMap<Layer, NdArray>, tally: CodeTally): Arithmetic {
  let read: readonly (Value | undefined)[] = [];
  return {
    read(layer, inputs) {
      if (isCoding(layer)) read = inputs;
      return inputs;
    },
    made(layer, value) {
      const codes = layer && given.get(layer);
      if (!codes) return value;
      compareCodes(layer.name, read, value, codes, tally);
      return { shape: value.shape, data: Float64Array.from(codes.data as ArrayLike<number>), ...(value.dtype ? { dtype: value.dtype } : {}) };
    },
  };
}

export function compareCodes(layer: string, [x, scale]: readonly (Value | undefined)[], expected: Value, found: NdArray, tally: CodeTally): void {
  if (found.data.length !== expected.data.length) {
    tally.problem ??= `layer "${layer}" gives ${found.data.length} codes, expected ${expected.data.length}`;
    return;
  }
  tally.codes += found.data.length;
  for (let i = 0; i < found.data.length; i++) {
    const [wanted, code] = [expected.data[i]!, Number(found.data[i])];
    if (wanted === code) continue;
    const steps = x!.data[i]! / scale!.data[0]!;
    if (Math.abs(wanted - code) === 1 && Math.abs(steps - Math.floor(steps) - 0.5) < TIE) tally.ties++;
    else
      tally.problem ??= `layer "${layer}" gives the code ${code} at element ${i}, and ${wanted} is expected: the value is ${steps.toPrecision(6)} steps from zero`;
  }
}
