/** The parts of the page that are made of the report alone. */

import { describeAgreement } from '../../verify/agreement.js';
import type { CoverageReport, LayerReport, NarrowingReport, OutputReport, Report } from '../../verify/report.js';
import { describeWorst } from '../checks.js';
import { coverageSentence } from '../coverage.js';
import type { ReportDocument } from '../format.js';
import { nextStep } from '../next-step.js';
import { formatBound, formatBytes, formatCount, formatDistance, formatNonFinite, formatNumber, formatTime } from '../numbers.js';
import { describeUnjudged, layerWitnesses, worstLayers } from '../ranking.js';
import { capitalise, isGood, lacksWitness, NO_WITNESS, onWhoseWord, verdictGlance, verdictWord } from '../verdict.js';
import { errorPlot } from './error-plot.js';
import { margins } from './margins.js';
import { html, type Markup } from './markup.js';

/** What comes before the verdict's own words. */
const SENTENCES = {
  match: 'The two predict the same',
  mismatch: 'The two do not predict the same',
  disputed: 'One witness says that the two do not predict the same, and another that they do',
  'nothing-compared': 'Nothing is proved',
} as const;
const WEIGHTS_ONLY = {
  match: 'The weights are those of the source; there was nothing to run',
  mismatch: 'The weights are not those of the source',
  disputed: SENTENCES.disputed,
  'nothing-compared': SENTENCES['nothing-compared'],
} as const;
const WORST_LAYERS = 8;

/** What is asked first of a net that was made smaller, or of any that tells classes apart. */
function glance({ outputs, weights: found }: Report): string {
  const tops = outputs.flatMap(({ top1 }) => top1 ?? []);
  const before = (found?.tensors ?? []).reduce((sum, { byteLengthBefore }) => sum + byteLengthBefore, 0);
  const after = (found?.tensors ?? []).reduce((sum, { byteLengthAfter }) => sum + byteLengthAfter, 0);
  const classes = tops.length === 1 ? ` The same class comes first for ${tops[0]!.same} of ${tops[0]!.of} inputs.` : '';
  return classes + (before === after ? '' : ` Weights: ${formatBytes(before)} → ${formatBytes(after)}.`);
}

export function head({ report, subject }: ReportDocument): Markup {
  const { witness, engines, device, tolerance, inputs, verdict, firstDifference } = report;
  const ran = inputs.kind !== 'none';
  const isRecorded = witness.kind === 'recorded';
  const smallest =
    tolerance.smallestPassing === null ? 'no rtol would have passed' : `the smallest rtol that passes is ${formatNumber(tolerance.smallestPassing)}`;
  return html`
<header class="${isGood(report) ? 'good' : 'bad'}">
  <p class="verdict">${verdictWord(report)}</p>
  <h1><span class="name">${subject.expected}</span> <span class="arrow">→</span> <span class="name">${subject.actual}</span></h1>
  <p>${ran ? `${SENTENCES[verdict]}: ${verdictGlance(report)}` : WEIGHTS_ONLY[verdict]}. <span class="word">${capitalise(onWhoseWord(report))}.</span>${lacksWitness(report) ? ` ${capitalise(NO_WITNESS)}.` : null}${glance(report)}${subject.architecture === null ? null : html` The net was recognised as ${subject.architecture}.`}</p>
</header>
${
  verdict === 'match'
    ? null
    : html`<section class="trouble">
  ${firstDifference ? html`<p><b>First difference${firstDifference.layer === undefined ? null : html`, in layer <code>${firstDifference.layer}</code>`}:</b> ${firstDifference.message}</p>` : null}
  ${report.cause ? html`<p><b>Cause:</b> ${report.cause.message}</p>` : null}
  <p><b>Next:</b> ${nextStep(report)}</p>
</section>`
}
<section>
  <dl class="facts">
    <div><dt>witness</dt><dd>${isRecorded ? 'a recording' : witness.kind}${witness.independent ? null : ' (not independent of the reader)'}<small>${witness.detail}</small></dd></div>
    ${isRecorded ? null : html`<div><dt>expected by</dt><dd>${engines.expected}</dd></div>`}
    <div><dt>actual by</dt><dd>${engines.actual}<small>on ${device}</small></dd></div>
    ${
      ran
        ? html`<div><dt>inputs</dt><dd>${inputs.samples}${isRecorded ? null : ` ${inputs.kind}`}${inputs.seed === null ? null : `, seed ${inputs.seed}`}<small>in ${formatTime(report.elapsedMs)}</small></dd></div>
    <div class="wide"><dt>tolerance</dt><dd><code>${formatBound(tolerance)}</code><small>${tolerance.why}; ${smallest}</small></dd></div>`
        : html`<div class="wide"><dt>tolerance</dt><dd>none<small>${tolerance.why}</small></dd></div>`
    }
  </dl>
  ${report.changes.map(({ message }) => html`<p class="note"><b>changed on the way</b>: ${message}</p>`)}
  ${report.notes.map((note) => html`<p class="note">${note}</p>`)}
</section>`;
}

export function outputs(report: Report): Markup | null {
  if (report.outputs.length === 0) return null;
  const failed = report.outputs.filter(({ passed }) => !passed);
  return html`
<section>
  <h2>Outputs</h2>
  ${outputTable(report.outputs)}
  ${failed.map((output) => html`<p class="note bad"><b>${output.name}</b>: ${describeWorst(output)}</p>`)}
  ${report.interface.map(({ message, judged }) => html`<p class="${judged ? 'note bad' : 'note'}">${message}</p>`)}
  ${report.trials.map(({ message, passed }) => html`<p class="${passed === false ? 'note bad' : 'note'}">${message}</p>`)}
  ${report.coverage ? coverage(report.coverage) : null}
</section>`;
}

function coverage(found: CoverageReport): Markup {
  return html`<p class="note"><b>Coverage</b>: ${coverageSentence(found)}.</p>
  ${
    found.unseen.length > 0
      ? html`<details><summary>What was not put to use</summary><ul>${found.unseen.map((what) => html`<li>${what}</li>`)}</ul></details>`
      : null
  }`;
}

function outputTable(rows: readonly OutputReport[]): Markup {
  const isMarred = rows.some(({ nonFinite }) => nonFinite.expected + nonFinite.actual > 0);
  return html`<div class="scroll" tabindex="0"><table>
    <thead><tr><th>output</th><th class="n">compared</th>${isMarred ? html`<th class="n">not finite</th>` : null}<th class="n">max abs</th><th class="n">max rel</th><th class="n">of scale</th><th class="n">cosine</th><th class="n">top-1</th><th>verdict</th></tr></thead>
    <tbody>${rows.map(
      ({ name, compared, nonFinite, maxAbsolute, maxRelative, relativeToScale, cosine, top1, passed }) => html`
      <tr><td>${name}</td><td class="n">${formatCount(compared)}</td>${isMarred ? html`<td class="n">${formatNonFinite(nonFinite)}</td>` : null}
      <td class="n">${formatDistance({ compared }, maxAbsolute)}</td><td class="n">${formatDistance({ compared }, maxRelative)}</td>
      <td class="n">${formatDistance({ compared }, relativeToScale)}</td><td class="n">${cosine === null ? '' : cosine.toFixed(6)}</td><td class="n">${top1 ? `${top1.same} of ${top1.of}` : ''}</td>
      <td>${badge(passed && compared > 0)}</td></tr>`,
    )}</tbody></table></div>`;
}

export function quantisation({ quantisation: found }: Report): Markup | null {
  if (!found) return null;
  const part = (title: string, narrowing: NarrowingReport | null) =>
    narrowing &&
    html`
  <h3>${title} ${badge(narrowing.passed)}</h3>
  <p>Against ${narrowing.expected}; allowed: <code>${formatBound(narrowing.tolerance)}</code> (${narrowing.tolerance.why}).</p>
  ${outputTable(narrowing.outputs)}`;
  return html`
<section>
  <h2>Narrower weights: ${found.methods.join(', ')}</h2>
  ${part('Correctness: does the file compute what its own weights say?', found.correctness)}
  ${part('Loss: what did the narrower weights cost?', found.loss)}
  ${found.agreement ? html`<p class="${found.agreement.passed ? 'note' : 'note bad'}">Predictions: ${describeAgreement(found.agreement)}.</p>${margins(found.agreement)}` : null}
</section>`;
}

export function layers(report: Report): Markup | null {
  const { layers: found, firstDifference, outputs: compared } = report;
  if (compared.length === 0) return null;
  if (found === null) {
    return html`<section><h2>Layers</h2><p class="note">Layers were not compared one by one; <code>--layers</code> does so, and shows where differences grow.</p></section>`;
  }
  if (found.length === 0) {
    return html`<section><h2>Layers</h2><p class="note">None could be lined up: the two files show none of them under names by which they are known.</p></section>`;
  }
  const failed = found.filter(({ passed }) => !passed).length;
  const sentence =
    failed === 0
      ? `All ${found.length} that could be lined up are within tolerance.`
      : `${failed} of ${found.length} that could be lined up are out of tolerance.`;
  const worst = worstLayers(found, WORST_LAYERS);
  return html`
<section>
  <h2>Layers</h2>
  <p>Compared with ${layerWitnesses(report)}. ${sentence} ${firstDifference?.layer !== undefined && failed > 0 ? html`The first, in running order: <code>${firstDifference.layer}</code>.` : null}</p>
  ${errorPlot(found, Math.max(...found.map(({ allowed }) => allowed)))}
  ${worst.length > 0 ? html`<h3>Worst</h3>${layerTable(worst)}` : null}
  ${found.length > worst.length ? html`<details><summary>all layers in running order</summary>${layerTable(found)}</details>` : null}
</section>`;
}

function layerTable(rows: readonly LayerReport[]): Markup {
  return html`<div class="scroll" tabindex="0"><table>
    <thead><tr><th>layer</th><th>canonical</th><th>operator</th><th>shape</th><th class="n">max abs</th><th class="n">of scale</th><th>verdict</th></tr></thead>
    <tbody>${rows.map(
      ({ layer, canonicalName, op, shape, maxAbsolute, relativeToScale, passed }) => html`
      <tr><td>${layer}</td><td>${canonicalName ?? ''}</td><td>${op}</td><td class="shape">${shape.join(' × ')}</td><td class="n">${formatNumber(maxAbsolute)}</td>
      <td class="n">${formatNumber(relativeToScale)}</td><td>${badge(passed)}</td></tr>`,
    )}</tbody></table></div>`;
}

export function weights({ weights: found }: Report): Markup | null {
  if (!found) return null;
  const unjudged = describeUnjudged(found);
  const before = found.tensors.reduce((sum, { byteLengthBefore }) => sum + byteLengthBefore, 0);
  const after = found.tensors.reduce((sum, { byteLengthAfter }) => sum + byteLengthAfter, 0);
  const size = before === 0 ? null : html` ${formatBytes(before)} in the source, ${formatBytes(after)} as written.`;
  const number = (value: number | null) => (value === null ? '' : formatNumber(value));
  return html`
<section>
  <h2>Weights</h2>
  <p>${found.equal} of ${found.compared} tensors hold what the source's values come to in the stored dtype.${size}</p>
  ${found.mismatches.map(({ message }) => html`<p class="${found.judged ? 'note bad' : 'note'}">${message}</p>`)}
  ${unjudged === null ? null : html`<p class="note">${unjudged}.</p>`}
  ${
    found.tensors.length === 0
      ? null
      : html`<details><summary>tensor by tensor</summary><div class="scroll" tabindex="0"><table>
    <thead><tr><th>layer</th><th>role</th><th>tensor</th><th>stored</th><th class="n">before</th><th class="n">after</th><th class="n">max abs</th><th class="n">error</th><th>verdict</th></tr></thead>
    <tbody>${found.tensors.map(
      ({ layer, role, name, method, dtype, byteLengthBefore, byteLengthAfter, maxAbsolute, relativeError, equal }) => html`
      <tr><td>${layer}</td><td>${role}</td><td>${name}</td><td>${dtype}${method === 'as is' ? '' : `, ${method}`}</td><td class="n">${formatBytes(byteLengthBefore)}</td><td class="n">${formatBytes(byteLengthAfter)}</td>
      <td class="n">${number(maxAbsolute)}</td><td class="n">${number(relativeError)}</td><td>${equal || found.judged ? badge(equal) : 'differs'}</td></tr>`,
    )}</tbody></table></div></details>`
  }
</section>`;
}

export function badge(passed: boolean): Markup {
  return passed ? html`<span class="badge good">passed</span>` : html`<span class="badge bad">failed</span>`;
}

/** Of which bytes the report speaks. */
export function files({ files: found }: Report): Markup | null {
  if (!found) return null;
  const rows = (
    [
      ['expected', found.expected],
      ['actual', found.actual],
    ] as const
  ).flatMap(([side, facts]) => facts.map((fact) => ({ side, ...fact })));
  return html`
<section>
  <h2>Files</h2>
  <div class="scroll" tabindex="0"><table>
    <thead><tr><th>file</th><th>side</th><th class="n">bytes</th><th>SHA-256</th></tr></thead>
    <tbody>${rows.map(
      ({ path, side, byteLength, sha256 }) => html`
      <tr><td>${path}</td><td>${side}</td><td class="n">${formatCount(byteLength)}</td><td><code>${sha256}</code></td></tr>`,
    )}</tbody></table></div>
</section>`;
}
