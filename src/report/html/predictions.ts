/** What both sides say about single inputs, beside the inputs as pictures. */
import type { Report } from '../../verify/report.js';
import type { RankedClass, Ranking, SampleExhibit } from '../exhibits.js';
import { formatNumber } from '../numbers.js';
import { pngDataUri } from '../png.js';
import { html, type Markup } from './markup.js';

const PICTURE_SIDE = 112;
const BAR_WIDTH = 56;
/** Below this a probability is shown as 0.00 %; the first class is shown however little it has. */
const NOTHING = 5e-5;

export function predictions(samples: readonly SampleExhibit[], { inputs }: Report): Markup | null {
  if (samples.length === 0) return null;
  const some = samples.length < inputs.samples;
  const shown = some ? `${samples.length} of ${inputs.samples} inputs` : samples.length === 1 ? 'The input' : `All ${samples.length} inputs`;
  return html`
<section>
  <h2>Predictions</h2>
  <p>${shown}, stretched from black to white, and the classes that both sides put first${some ? '; inputs on which they disagree come before others' : ''}.</p>
  <div class="samples">${[...samples].sort((a, b) => Number(disagrees(b)) - Number(disagrees(a)) || a.sample - b.sample).map(card)}</div>
</section>`;
}

function card(sample: SampleExhibit): Markup {
  return html`
  <article class="${disagrees(sample) ? 'bad' : ''}">
    <div class="inputs"><h3>input ${sample.sample}</h3>${sample.pictures.map(({ port, picture }) => {
      const scale = PICTURE_SIDE / Math.max(picture.width, picture.height);
      return html`<img class="pixels" src="${pngDataUri(picture.png)}" width="${Math.round(picture.width * scale)}" height="${Math.round(picture.height * scale)}" alt="input ${sample.sample} (${port})">`;
    })}</div>
    <div class="rankings">${sample.rankings.map((ranking) => rankingTable(ranking, sample.rankings.length > 1))}</div>
  </article>`;
}

function rankingTable(ranking: Ranking, named: boolean): Markup {
  const { output, expected, actual, isDistribution } = ranking;
  return html`<table>${named ? html`<caption>${output}</caption>` : null}
      <thead><tr><th colspan="2">expected</th><th colspan="2">actual</th></tr></thead>
      <tbody>${expected.slice(0, placesOf(ranking)).map((entry, place) => html`<tr>${side(entry, isDistribution)}${side(actual[place], isDistribution, entry.index !== actual[place]?.index)}</tr>`)}</tbody></table>`;
}

/** The places down to the last of which a side makes something. */
function placesOf({ expected, actual, isDistribution }: Ranking): number {
  if (!isDistribution) return expected.length;
  const isSome = (entry: RankedClass | undefined) => entry !== undefined && entry.value >= NOTHING;
  const last = expected.findLastIndex((entry, place) => isSome(entry) || isSome(actual[place]));
  return Math.max(1, last + 1);
}

function side(entry: RankedClass | undefined, isDistribution: boolean, differs = false): Markup {
  if (!entry) return html`<td></td><td></td>`;
  const label = entry.label ?? `class ${entry.index}`;
  const value = isDistribution ? `${(100 * entry.value).toFixed(entry.value < 0.9995 && entry.value >= 0.0995 ? 1 : 2)} %` : formatNumber(entry.value);
  const bar = isDistribution
    ? html`<svg class="bar" width="${BAR_WIDTH}" height="4" aria-hidden="true"><rect width="${Math.max(0.5, BAR_WIDTH * Math.min(1, entry.value)).toFixed(1)}" height="4"/></svg>`
    : null;
  return html`<td class="${differs ? 'class bad' : 'class'}" title="class ${entry.index}">${label}</td><td class="n">${value}${bar}</td>`;
}

function disagrees({ rankings }: SampleExhibit): boolean {
  return rankings.some(({ expected, actual }) => expected[0]?.index !== actual[0]?.index);
}
