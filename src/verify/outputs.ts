/** Compares the outputs of a model over all samples. */
import type { LayerMap } from '../model/layer-map.js';
import { compareOutput, type Tolerance } from './compare.js';
import type { NdArray } from './engine.js';
import type { OutputReport, ToleranceReport } from './report.js';
import type { Arrays } from './side.js';

export interface OutputsComparison {
  add(expected: Arrays, actual: Arrays): void;
  report(): { readonly outputs: readonly OutputReport[]; readonly tolerance: ToleranceReport; readonly problem: string | null };
  /** Outputs that were the same for all inputs, so that comparing them proves little. */
  constantOutputs(): readonly string[];
}

export function compareOutputs(map: LayerMap, tolerance: Tolerance): OutputsComparison {
  const comparisons = map.outputs.map((port) => ({ port, comparison: compareOutput(port.name, tolerance) }));
  const spread = new Map<string, { first: NdArray | null; varies: boolean }>(map.outputs.map(({ name }) => [name, { first: null, varies: false }]));
  let samples = 0;
  return {
    add(expected, actual) {
      samples++;
      for (const { port, comparison } of comparisons) {
        const [a, b] = [expected.get(port.name), actual.get(port.name)];
        if (!a || !b) continue;
        comparison.add(a, b);
        noteSpread(spread.get(port.name)!, a);
      }
    },
    report() {
      const smallest = Math.max(0, ...comparisons.map(({ comparison }) => comparison.smallestRtol()));
      return {
        outputs: comparisons.map(({ comparison }) => comparison.report()),
        tolerance: { ...tolerance, smallestPassing: Number.isFinite(smallest) ? smallest : null },
        problem: comparisons.map(({ comparison }) => comparison.problem).find((problem) => problem !== null) ?? null,
      };
    },
    constantOutputs: () => (samples < 2 ? [] : [...spread].filter(([, { varies, first }]) => first && !varies).map(([name]) => name)),
  };
}

function noteSpread(spread: { first: NdArray | null; varies: boolean }, array: NdArray): void {
  const { first } = spread;
  if (first) spread.varies ||= first.data.some((value, i) => value !== array.data[i]);
  else spread.first = array;
}
