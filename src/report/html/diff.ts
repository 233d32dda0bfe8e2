/** What two models have in common and what not, as a page. */
import type { DiffDocument, DiffSide, StructureDiff, TensorDiff } from '../../diff/document.js';
import { describeShapes, noteOf, STATUS_WORDS } from '../diff-words.js';
import { formatCount, formatNumber, formatTime } from '../numbers.js';
import { html, type Markup } from './markup.js';
import { pageOf } from './page.js';
import { histogram } from './pictures.js';

/** More would make a page that nobody reads. */
const MAX_HISTOGRAMS = 200;

export async function renderDiff(document: DiffDocument): Promise<string> {
  const { verdict, a, b } = document;
  return pageOf(`${verdict.sentence}: ${a.path}, ${b.path}`, diffMain(document));
}

/** What the page shows, for a page that has a head and a style of its own. */
export function diffMain(document: DiffDocument): Markup {
  const { verdict, a, b, tensors, structure } = document;
  return html`
<header class="${verdict.equal ? 'good' : 'bad'}">
  <p class="verdict">${verdict.equal ? 'equal' : 'differs'}</p>
  <h1>${verdict.sentence}</h1>
  <p><span class="name">${a.path}</span> <span class="arrow">and</span> <span class="name">${b.path}</span></p>
</header>
${facts(document)}
${tensorSection(tensors)}
${structure ? structureSection(structure) : null}
${histogramSection(tensors)}`;
}

function facts({ a, b, totals, layers, notes, elapsedMs }: DiffDocument): Markup {
  const counts = Object.entries(totals).filter(([, count]) => count > 0);
  const side = (name: string, { path, format, producer, architecture, tensors, parameterCount, withoutMap }: DiffSide) => html`
    <div><dt>${name}</dt><dd>${path}<small>${format}${producer === null ? null : `, ${producer}`}${architecture === null ? null : `; ${architecture}`}; ${formatCount(tensors)} tensors, ${formatCount(parameterCount)} parameters</small>${withoutMap === null ? null : html`<small>without wiring: ${withoutMap}</small>`}</dd></div>`;
  return html`
<section>
  <dl class="facts">${side('a', a)}${side('b', b)}
    <div><dt>tensors</dt><dd>${counts.map(([status, count], i) => `${i > 0 ? ', ' : ''}${formatCount(count)} ${STATUS_WORDS[status as TensorDiff['status']]}`)}<small>in ${formatTime(elapsedMs)}</small></dd></div>
    <div><dt>layers with weights</dt><dd>${layers.compared}, of which ${layers.differing.length} differ</dd></div>
  </dl>
  ${notes.map((note) => html`<p class="note">${note}</p>`)}
</section>`;
}

function tensorSection(tensors: readonly TensorDiff[]): Markup {
  const rows = tensors.filter(({ status }) => status !== 'equal');
  const equal = tensors.filter(({ status }) => status === 'equal');
  return html`
<section>
  <h2>Tensors</h2>
  ${rows.length === 0 ? html`<p>All ${equal.length} are equal, bit for bit.</p>` : tensorTable(rows)}
  ${rows.length > 0 && equal.length > 0 ? html`<details><summary>${equal.length} more are equal</summary>${tensorTable(equal)}</details>` : null}
</section>`;
}

function tensorTable(rows: readonly TensorDiff[]): Markup {
  const number = (value: number | null | undefined) => (value === null || value === undefined ? '' : formatNumber(value));
  // On a phone columns without a number would push what was found out of sight.
  const isMeasured = rows.some(({ statistics }) => statistics);
  const measured = ({ statistics }: TensorDiff) =>
    html`<td class="n">${number(statistics?.maxAbsolute)}</td><td class="n">${number(statistics?.relativeL2)}</td><td class="n">${statistics?.cosine == null ? '' : statistics.cosine.toFixed(4)}</td>`;
  return html`<div class="scroll" tabindex="0"><table>
    <thead><tr><th>layer</th><th>role</th><th>shape</th>${isMeasured ? html`<th class="n">max abs</th><th class="n">rel L2</th><th class="n">cosine</th>` : null}<th>found</th><th>how</th></tr></thead>
    <tbody>${rows.map(
      (tensor) => html`
      <tr><td>${tensor.layer}</td><td>${tensor.role}</td><td class="shape">${describeShapes(tensor)}</td>${isMeasured ? measured(tensor) : null}<td>${statusBadge(tensor)}</td><td>${noteOf(tensor)}</td></tr>`,
    )}</tbody></table></div>`;
}

function statusBadge({ status, changes }: TensorDiff): Markup {
  const isGood = status === 'equal' || (status === 'changed' && changes.every(({ keepsValues }) => keepsValues));
  return html`<span class="badge ${isGood ? 'good' : 'bad'}">${STATUS_WORDS[status]}</span>`;
}

function structureSection({ aligned, onlyInA, onlyInB, changed, ports, judged }: StructureDiff): Markup {
  const list = (title: string, rows: readonly { readonly name: string; readonly op: string }[]) =>
    rows.length === 0 ? null : html`<h3>${title}</h3><p>${rows.map(({ name, op }, i) => html`${i > 0 ? ', ' : ''}<code>${name}</code> (${op})`)}</p>`;
  return html`
<section>
  <h2>Layers</h2>
  <p>${aligned} were lined up. Which layer reads which was not compared.${judged ? '' : ' Layers that only one file has do not count between formats, which spell one net with other layers.'}</p>
  ${
    changed.length === 0
      ? null
      : html`<h3>computed otherwise</h3><div class="scroll" tabindex="0"><table>
    <thead><tr><th>layer</th><th>operator</th><th>in a and b</th></tr></thead>
    <tbody>${changed.map(({ a, what }) => html`<tr><td>${a.name}</td><td>${a.op}</td><td>${what.join('; ')}</td></tr>`)}</tbody></table></div>`
  }
  ${list('only in a', onlyInA)}
  ${list('only in b', onlyInB)}
  ${ports.map((port) => html`<p class="note">${port}</p>`)}
</section>`;
}

function histogramSection(tensors: readonly TensorDiff[]): Markup | null {
  const pairs = tensors.filter(({ histograms, count }) => histograms !== null && count > 1);
  if (pairs.length === 0) return null;
  const left = pairs.length - MAX_HISTOGRAMS;
  return html`
<section>
  <h2>Distribution of weights</h2>
  <p><span class="key source"></span> a, <span class="key written"></span> b; counts on a logarithmic scale.${left > 0 ? ` ${left} more tensors are not shown.` : ''}</p>
  <div class="histograms">${pairs.slice(0, MAX_HISTOGRAMS).map(({ layer, role, a, b, histograms, statistics }) => {
    const { min, max } = histograms!;
    const source = { dtype: a!.dtype, ...histograms!.a };
    const written = { dtype: b!.dtype, ...histograms!.b };
    return histogram({ layer, role, min, max, source, written }, statistics?.maxAbsolute ?? null);
  })}</div>
</section>`;
}
