/** Compares the outputs of a model over all samples. */
import type { LayerMap } from '../model/layer-map.js';
import { uniqueNames } from '../model/ports.js';
import { compareOutput, type Tolerance } from './compare.js';
import type { NdArray } from './engine.js';
import type { OutputReport, ToleranceReport } from './report.js';
import type { Arrays } from './side.js';

export interface OutputsComparison {
  /** @param slack rtol for each output of this sample, where that is more than the tolerance's own */
  add(expected: Arrays, actual: Arrays, slack?: readonly number[], isMeasured?: boolean): void;
  readonly tolerance: Tolerance;
  report(): { readonly outputs: readonly OutputReport[]; readonly tolerance: ToleranceReport; readonly problem: string | null };
  /** Outputs that were the same for all inputs, so that comparing them proves little. */
  constantOutputs(): readonly string[];
}

/** Outputs are known by their places, and told by names that are made unlike each other. */
export function compareOutputs(map: Pick<LayerMap, 'outputs'>, tolerance: Tolerance): OutputsComparison {
  const names = uniqueNames(map.outputs.map(({ name }) => name));
  const outputs = names.map((name, i) => ({
    name,
    comparison: compareOutput(name, tolerance.each?.[i] ?? tolerance),
    spread: { first: null, varies: false } as Spread,
  }));
  let samples = 0;
  return {
    tolerance,
    add(expected, actual, slack, isMeasured) {
      samples++;
      for (const [place, { comparison, spread }] of outputs.entries()) {
        const [a, b] = [expected[place], actual[place]];
        if (!a || !b) continue;
        comparison.add(a, b, slack?.[place], isMeasured);
        noteSpread(spread, a);
      }
    },
    report() {
      const smallest = Math.max(0, ...outputs.map(({ comparison }) => comparison.smallestRtol()));
      return {
        outputs: outputs.map(({ comparison }) => comparison.report()),
        tolerance: { ...reported(tolerance), smallestPassing: Number.isFinite(smallest) ? smallest : null },
        problem: outputs.map(({ comparison }) => comparison.problem).find((problem) => problem !== null) ?? null,
      };
    },
    constantOutputs: () => (samples < 2 ? [] : outputs.filter(({ spread }) => spread.first && !spread.varies).map(({ name }) => name)),
  };
}

function reported({ atol, rtol, why, rounding = null }: Tolerance): Omit<ToleranceReport, 'smallestPassing'> {
  return { atol, rtol, why, rounding };
}

interface Spread {
  first: NdArray | null;
  varies: boolean;
}

function noteSpread(spread: Spread, array: NdArray): void {
  const { first } = spread;
  if (first) spread.varies ||= first.data.some((value, i) => value !== array.data[i]);
  else spread.first = array;
}
