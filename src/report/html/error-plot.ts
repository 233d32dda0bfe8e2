/** The error of each layer on a logarithmic scale, with the tolerance as a line: an inline SVG. */
import type { LayerReport } from '../../verify/report.js';
import { formatNumber } from '../numbers.js';
import { html, type Markup } from './markup.js';

const MARGIN = { left: 58, right: 16, top: 14 } as const;
const PLOT_HEIGHT = 220;
/** The width that a page has for a plot; more layers than fit make it wider, and it scrolls. */
const FULL_WIDTH = 960;
const MIN_SLOT = 11;
const MAX_SLOT = 64;
/** Layers beyond this number have no room for each one's name. */
const LABELLED = 90;
const LABEL_CHARACTERS = 22;
/** Errors far below float32's resolution (6e-8) are as good as none, and would press all others together. */
const LOWEST_DECADE = -9;

/** @param tolerance relative to a layer's largest value */
export function errorPlot(layers: readonly LayerReport[], tolerance: number): Markup {
  const slot = Math.min(MAX_SLOT, Math.max(MIN_SLOT, (FULL_WIDTH - MARGIN.left - MARGIN.right) / layers.length));
  const width = Math.round(MARGIN.left + slot * layers.length + MARGIN.right);
  const labels = layers.map(({ layer, canonicalName }) => shorten(canonicalName ?? layer));
  const labelled = layers.length <= LABELLED ? 1 : Math.ceil(layers.length / LABELLED);
  const labelHeight = 12 + Math.max(...labels.map(({ length }) => length)) * 5.4;
  const height = Math.round(MARGIN.top + PLOT_HEIGHT + labelHeight);
  const { low, high } = decades([...layers.map(({ relativeToScale }) => relativeToScale), tolerance]);
  const bottom = MARGIN.top + PLOT_HEIGHT;
  // Zero has no logarithm: it lies on the axis.
  const y = (value: number) => round(bottom - (PLOT_HEIGHT * (Math.min(high, Math.max(low, value > 0 ? Math.log10(value) : low)) - low)) / (high - low));
  const x = (i: number) => round(MARGIN.left + slot * (i + 0.5));
  const step = Math.ceil((high - low) / 8);
  const ticks = Array.from({ length: Math.floor((high - low) / step) + 1 }, (_, i) => low + i * step);
  const right = width - MARGIN.right;
  return html`
<figure class="plot"><div class="scroll" tabindex="0"><svg width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="Error of each layer, relative to its largest value, on a logarithmic scale">
  ${ticks.map((tick) => html`<line class="grid" x1="${MARGIN.left}" x2="${right}" y1="${y(10 ** tick)}" y2="${y(10 ** tick)}"/><text class="tick" x="${MARGIN.left - 8}" y="${y(10 ** tick) + 4}">1e${tick}</text>`)}
  ${layers.map((layer, i) => stem(layer, x(i), y(layer.relativeToScale), bottom))}
  ${tolerance > 0 ? html`<line class="tolerance" x1="${MARGIN.left}" x2="${right}" y1="${y(tolerance)}" y2="${y(tolerance)}"/><text class="tolerance" x="${right}" y="${y(tolerance) - 5}">tolerance ${formatNumber(tolerance)}</text>` : null}
  <line class="axis" x1="${MARGIN.left}" x2="${right}" y1="${bottom}" y2="${bottom}"/>
  ${labels.map((label, i) =>
    i % labelled === 0
      ? html`<text class="layer ${layers[i]!.passed ? '' : 'bad'}" transform="translate(${round(x(i) + 4)} ${bottom + 10}) rotate(-55)">${label}</text>`
      : null,
  )}
</svg></div>
<figcaption>max |expected − actual| / max |expected| of each layer, the worst of all inputs. Layers on the axis are exact, or as good as exact.</figcaption></figure>`;
}

function stem({ layer, op, relativeToScale, maxAbsolute, passed }: LayerReport, x: number, y: number, bottom: number): Markup {
  return html`<g class="${passed ? 'stem' : 'stem bad'}"><title>${layer} (${op}): ${formatNumber(relativeToScale)} of scale, max abs ${formatNumber(maxAbsolute)}</title>
    <line x1="${x}" x2="${x}" y1="${bottom}" y2="${y}"/><circle cx="${x}" cy="${y}" r="${passed ? 3.5 : 4.5}"/></g>`;
}

/** Whole decades around all positive, finite values. */
function decades(values: readonly number[]): { low: number; high: number } {
  const logs = values.filter((value) => value > 0 && Number.isFinite(value)).map(Math.log10);
  if (logs.length === 0) return { low: -8, high: 0 };
  const high = Math.ceil(Math.max(...logs) + 0.3);
  return { low: Math.min(high - 1, Math.max(LOWEST_DECADE, Math.floor(Math.min(...logs) - 0.3))), high };
}

function shorten(text: string): string {
  return text.length > LABEL_CHARACTERS ? `…${text.slice(1 - LABEL_CHARACTERS)}` : text;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
