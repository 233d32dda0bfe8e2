/** Which layers to look at first. */
import type { LayerReport } from '../verify/report.js';

/** The worst layers, those that failed first; layers that are exact are left out. */
export function worstLayers(layers: readonly LayerReport[], count: number): LayerReport[] {
  return layers
    .filter(({ passed, maxAbsolute }) => !passed || maxAbsolute > 0)
    .sort((a, b) => Number(a.passed) - Number(b.passed) || b.relativeToScale - a.relativeToScale)
    .slice(0, count);
}
