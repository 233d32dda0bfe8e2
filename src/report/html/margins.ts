/** How far a net's first class was ahead of its second: of all rows, and of those where another one is first now. A net that moves near ties alone lost little. */
import type { AgreementReport } from '../../verify/report.js';
import { html, type Markup } from './markup.js';

const [WIDTH, HEIGHT] = [200, 56];

export function margins({ margins: { bands } }: AgreementReport): Markup {
  const most = Math.max(1, ...bands.map(({ all }) => all));
  const wide = WIDTH / bands.length;
  const outline = (count: (band: (typeof bands)[number]) => number) =>
    bands.map((band, i) => `L${wide * i} ${(HEIGHT * (1 - count(band) / most)).toFixed(1)}H${wide * (i + 1)}`).join('');
  const closed = (path: string) => `M0 ${HEIGHT}${path}V${HEIGHT}Z`;
  return html`
  <div class="histograms"><figure><figcaption><b>first class ahead by</b><small>of its own value; the line: where another is first now</small></figcaption>
    <svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="rows by how far the first class was ahead of the second" preserveAspectRatio="none"><title>${bands.map(({ all, moved }, i) => `${10 * i} to ${10 * (i + 1)} %: ${all}, ${moved} moved`).join('\n')}</title><path class="source" d="${closed(outline(({ all }) => all))}"/><path class="written" d="${closed(outline(({ moved }) => moved))}"/></svg>
    <div class="range"><span>0 %</span><span>100 %</span></div></figure></div>`;
}
