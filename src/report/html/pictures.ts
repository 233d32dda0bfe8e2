/** The weights as pictures: how they are distributed, and what the first filters look like. */
import type { Report } from '../../verify/report.js';
import type { Exhibits, FilterExhibit, HistogramPair, Picture } from '../exhibits.js';
import { formatCount, formatNumber } from '../numbers.js';
import { pngDataUri } from '../png.js';
import { html, type Markup } from './markup.js';

const WIDTH = 192;
const HEIGHT = 56;
const HEADROOM = 6;
/** Width that two mosaics share on a wide page. */
const MOSAIC_WIDTH = 460;
const MAX_PIXEL = 12;

export function filters({ layer, count, shown, channels, source, written }: FilterExhibit): Markup {
  return html`
<section>
  <h2>First filters</h2>
  <p>${shown === count ? `The ${count} filters` : `${shown} of ${count} filters`} of <code>${layer}</code>; grey is zero, and each filter's largest weight, on either side of zero, reaches black or white${channels === 3 ? '. Its three input channels are shown as red, green and blue' : ''}.</p>
  <div class="mosaics">
    ${mosaic(source, 'source')}
    ${written ? mosaic(written, 'as written') : html`<p class="note">No kernel of the written file could be lined up with it.</p>`}
  </div>
</section>`;
}

export function mosaic(picture: Picture, title: string): Markup {
  const pixel = Math.max(1, Math.min(MAX_PIXEL, Math.floor(MOSAIC_WIDTH / picture.width)));
  return html`<figure><figcaption>${title}</figcaption><img class="pixels" src="${pngDataUri(picture.png)}" width="${picture.width * pixel}" height="${picture.height * pixel}" alt="filters, ${title}"></figure>`;
}

export function histograms({ histograms: pairs, histogramsLeftOut }: Exhibits, { weights }: Report): Markup | null {
  if (pairs.length === 0) return null;
  const errors = new Map((weights?.tensors ?? []).map(({ layer, role, maxAbsolute }) => [`${layer}\n${role}`, maxAbsolute]));
  return html`
<section>
  <h2>Distribution of weights</h2>
  <p><span class="key source"></span> source, <span class="key written"></span> as written, over the source's range; counts on a logarithmic scale.${histogramsLeftOut > 0 ? ` ${histogramsLeftOut} more weights are not shown.` : ''}</p>
  <div class="histograms">${pairs.map((pair) => histogram(pair, errors.get(`${pair.layer}\n${pair.role}`) ?? null))}</div>
</section>`;
}

/** @param isAlone whether there is no written file that the weight could be in */
export function histogram({ layer, role, min, max, source, written }: HistogramPair, maxAbsolute: number | null, isAlone = false): Markup {
  const largest = Math.log1p(Math.max(1, ...source.counts, ...(written?.counts ?? [])));
  const heights = (counts: readonly number[]) => counts.map((count) => Math.round((10 * (HEIGHT - HEADROOM) * Math.log1p(count)) / largest) / 10);
  const bin = WIDTH / source.counts.length;
  const outline = (counts: readonly number[]) =>
    heights(counts)
      .map((height, i) => `${i === 0 ? 'M' : 'L'}${bin * i} ${HEIGHT - height}H${bin * (i + 1)}`)
      .join('');
  const dtypes =
    written === null
      ? `${source.dtype}${isAlone ? '' : ', not in the written file'}`
      : written.dtype === source.dtype
        ? source.dtype
        : `${source.dtype} → ${written.dtype}`;
  const strays = [
    written && written.outside > 0 ? `${formatCount(written.outside)} outside` : '',
    (written ?? source).nonFinite > 0 ? `${formatCount((written ?? source).nonFinite)} not finite` : '',
    maxAbsolute !== null && maxAbsolute > 0 ? `moved by up to ${formatNumber(maxAbsolute)}` : '',
  ].filter((text) => text !== '');
  return html`<figure><figcaption><b>${layer}</b> ${role}<small>${dtypes}</small></figcaption>
    <svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="distribution of ${layer} ${role}" preserveAspectRatio="none"><path class="source" d="M0 ${HEIGHT}${outline(source.counts).replace('M', 'L')}V${HEIGHT}Z"/>${
      written ? html`<path class="written" d="${outline(written.counts)}"/>` : null
    }</svg>
    <div class="range"><span>${formatNumber(min)}</span><span>${formatNumber(max)}</span></div>${strays.length > 0 ? html`<small>${strays.join(', ')}</small>` : null}</figure>`;
}
