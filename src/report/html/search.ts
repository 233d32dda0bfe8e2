/** What a search for narrower weights looked at: the curve of bytes against error as an inline SVG, and the same as a table. */
import type { SearchedWay, SearchRecord } from '../../model/edited.js';
import { formatBytes, formatNumber } from '../numbers.js';
import { COUNTED_WORDS, errorWords } from '../searched.js';
import { html, type Markup } from './markup.js';

const [WIDTH, HEIGHT] = [640, 280];
const BOX = { left: 70, right: 20, top: 16, bottom: 44 } as const;

export function searched(record: SearchRecord | undefined): Markup | null {
  if (!record || record.ways.length === 0) return null;
  const { count, ways } = record;
  const hasAgreement = ways.some(({ agreement }) => agreement !== null);
  return html`
<section>
  <h2>Search</h2>
  ${curve(record)}
  <div class="scroll" tabindex="0"><table>
    <tr><th>${COUNTED_WORDS[count]}</th><th>error of the output</th>${hasAgreement ? html`<th>same class first</th>` : null}<th>weights</th></tr>
    ${ways.map(
      (way) =>
        html`<tr><td class="number">${formatBytes(way.bytes)}</td><td class="number">${errorWords(way)}</td>${hasAgreement ? html`<td class="number">${shareOf(way)}</td>` : null}<td>${way.isChosen ? html`<b>chosen</b>: ` : null}${way.levels}</td></tr>`,
    )}
  </table></div>
  <p class="note">Bytes and errors are estimated: what each weight alone does to the output is measured, and taken to add up. What was written is measured above.</p>
</section>`;
}

function shareOf({ agreement }: SearchedWay): string {
  return agreement === null ? '' : `${(100 * agreement).toFixed(1)} %`;
}

function curve({ count, ways }: SearchRecord): Markup {
  const x = scale(
    ways.map(({ bytes }) => bytes),
    BOX.left,
    WIDTH - BOX.right,
  );
  const y = scale(
    ways.map(({ error }) => error),
    HEIGHT - BOX.bottom,
    BOX.top,
  );
  const at = ({ bytes, error }: SearchedWay) => ({ x: x(bytes), y: y(error) });
  const [last, first] = [ways[0]!, ways.at(-1)!];
  const errors = ways.map(({ error }) => error).filter((error) => error > 0);
  const ends = errors.length === 0 ? [] : [Math.min(...errors), Math.max(...errors)];
  return html`
<figure class="plot"><div class="scroll" tabindex="0"><svg width="${WIDTH}" height="${HEIGHT}" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="Bytes ${COUNTED_WORDS[count]} against the error of the output, both on logarithmic scales">
  <line class="axis" x1="${BOX.left}" x2="${BOX.left}" y1="${BOX.top}" y2="${HEIGHT - BOX.bottom}"/><line class="axis" x1="${BOX.left}" x2="${WIDTH - BOX.right}" y1="${HEIGHT - BOX.bottom}" y2="${HEIGHT - BOX.bottom}"/>
  ${ends.map((error) => html`<line class="grid" x1="${BOX.left}" x2="${WIDTH - BOX.right}" y1="${y(error)}" y2="${y(error)}"/><text class="tick" x="${BOX.left - 8}" y="${y(error) + 4}">${formatNumber(error)}</text>`)}
  ${[first, last].map((way) => html`<text x="${at(way).x}" y="${HEIGHT - BOX.bottom + 16}" text-anchor="middle">${formatBytes(way.bytes)}</text>`)}
  <polyline class="pareto" points="${ways.map((way) => `${at(way).x},${at(way).y}`).join(' ')}"/>
  ${ways.map((way) => html`<g class="${way.isChosen ? 'stem bad' : 'stem'}"><title>${formatBytes(way.bytes)}: error ${errorWords(way)}${way.agreement === null ? '' : `, same class first ${shareOf(way)}`}; ${way.levels}</title><circle cx="${at(way).x}" cy="${at(way).y}" r="${way.isChosen ? 6 : 4}"/></g>`)}
  <text x="${(WIDTH + BOX.left) / 2}" y="${HEIGHT - 6}" text-anchor="middle">bytes ${COUNTED_WORDS[count]}, against the error of the output</text>
</svg></div>
<figcaption>Each point is the least error for its bytes; the large one was chosen. Points at the bottom lose nothing.</figcaption></figure>`;
}

/** By orders of magnitude, with some room; what is not positive lies on the edge. */
function scale(values: readonly number[], from: number, to: number): (value: number) => number {
  const logs = values.filter((value) => value > 0 && Number.isFinite(value)).map(Math.log10);
  const [low, high] = logs.length === 0 ? [0, 1] : [Math.min(...logs), Math.max(...logs)];
  const room = 0.06 * (high - low || 1);
  return (value) => {
    const part = value > 0 ? (Math.min(high, Math.log10(value)) - low + room) / (high - low + 2 * room) : 0;
    return Math.round(from + part * (to - from));
  };
}
