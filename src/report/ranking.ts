/** Which layers to look at first, and what they are held to. */
import { describeClaims } from '../model/claims.js';
import type { LayerReport, Report, WeightsReport } from '../verify/report.js';
import { listed } from '../words.js';
import { formatNumber } from './numbers.js';

const NAMES_SHOWN = 3;

/** The worst layers, those that failed first; layers that are exact are left out. */
export function worstLayers(layers: readonly LayerReport[], count: number): LayerReport[] {
  return layers
    .filter(({ passed, maxAbsolute }) => !passed || maxAbsolute > 0)
    .sort((a, b) => Number(a.passed) - Number(b.passed) || b.ofAllowed - a.ofAllowed)
    .slice(0, count);
}

/** What layers are held to, of their scale: '2.00e-5', or from the strictest to the most sensitive. */
export function layersAllowed(layers: readonly LayerReport[]): string {
  const allowed = layers.map((layer) => layer.allowed);
  const [least, most] = [Math.min(...allowed), Math.max(...allowed)];
  return least === most ? formatNumber(most) : `${formatNumber(least)} to ${formatNumber(most)}, each by what rounding does to it,`;
}

/** Why weights that differ do not decide the verdict, and which layers the file has no weights of; null where there is nothing to say. */
export function describeUnjudged({ judged, mismatches, unpaired, claims }: WeightsReport): string | null {
  if (judged || (mismatches.length === 0 && unpaired.length === 0)) return null;
  const layers = new Set(mismatches.map(({ layer }) => layer)).size;
  const differ = layers > 0 ? `weights of ${layers} ${layers === 1 ? 'layer' : 'layers'} differ` : '';
  const lacking =
    unpaired.length > 0
      ? `${unpaired.length} ${unpaired.length === 1 ? 'layer has' : 'layers have'} none in the other file (${listed(unpaired, NAMES_SHOWN)})`
      : '';
  const what = [differ, lacking].filter((part) => part !== '').join(', and ');
  if (claims) return `${what}: told, not judged, for the file says that ${describeClaims(claims)}; what the nets predict decides`;
  return `${what}: told, not judged, for a normalisation may be folded into the weights before it; what the nets predict decides`;
}

/** What layers were compared with, in words; several where one does not show them all. */
export function layerWitnesses({ layers, quantisation }: Report): string {
  const known: Readonly<Record<string, string>> = { recorded: 'the recording', reference: 'our float64 evaluator' };
  const names = [...new Set((layers ?? []).map(({ witness }) => (Object.hasOwn(known, witness) ? known[witness]! : witness)))];
  return `${names.join(' and ')}${quantisation?.correctness ? " with the file's own weights" : ''}`;
}
