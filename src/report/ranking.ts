/** Which layers to look at first, and what they are held to. */
import type { LayerReport, Report, ToleranceReport } from '../verify/report.js';

/** The worst layers, those that failed first; layers that are exact are left out. */
export function worstLayers(layers: readonly LayerReport[], count: number): LayerReport[] {
  return layers
    .filter(({ passed, maxAbsolute }) => !passed || maxAbsolute > 0)
    .sort((a, b) => Number(a.passed) - Number(b.passed) || b.relativeToScale - a.relativeToScale)
    .slice(0, count);
}

/** Layers of a narrower file are compared with its own weights, widened, and so more strictly than its outputs with the original's. */
export function layerTolerance({ quantisation, tolerance }: Report): ToleranceReport {
  return quantisation?.correctness?.tolerance ?? tolerance;
}

/** What layers were compared with, in words; several where one does not show them all. */
export function layerWitnesses({ layers, quantisation }: Report): string {
  const known: Readonly<Record<string, string>> = { recorded: 'the recording', reference: 'our float64 evaluator' };
  const names = [...new Set((layers ?? []).map(({ witness }) => (Object.hasOwn(known, witness) ? known[witness]! : witness)))];
  return `${names.join(' and ')}${quantisation?.correctness ? " with the file's own weights" : ''}`;
}
