/** What a model is: facts, what is odd about it, and what the user can say that the file does not. */
import type { Dim, Notice, Port } from '../../src/model/layer-map.js';
import { html, type Markup } from '../../src/report/html/markup.js';
import { noticeLines } from '../../src/report/notices.js';
import { formatBytes, formatCount } from '../../src/report/numbers.js';
import { FIELDS, inPageWords } from './fields.js';
import type { GivenModel, Opened } from './jobs.js';

const NOTICES_SHOWN = 6;
const PORTS: ReadonlySet<string> = new Set(['inputs', 'outputs']);

export function facts({ document, formatTitle, byteLength }: Opened, { label, blobs, options }: GivenModel): Markup {
  const { producer, architecture, inputs, outputs, layers, tensors, parameterCount, details, warnings } = document;
  const dtypes = [...new Set(tensors.filter(({ beside }) => !beside).map(({ dtype }) => dtype))];
  const fact = (name: string, value: Markup | string) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`;
  const ports = (list: readonly Port[]) =>
    html`${list.map((port) => html`<span class="port"><b>${port.name}</b> ${sizes(port.shape)} <small>${port.dtype}${port.layout === 'other' ? '' : `, ${port.layout.toUpperCase()}`}</small></span>`)}`;
  return html`
<p class="verdict">${formatTitle}</p>
<h2 class="name">${architecture?.name ?? label}</h2>
<p class="sub">${architecture ? html`<span class="file">${label}</span>, ` : null}${formatBytes(byteLength)}${producer === null ? null : `, written by ${producer}`}${blobs.size > 1 ? `, ${blobs.size} files given` : null}</p>
<dl class="facts">
  ${fact('parameters', html`${formatCount(parameterCount)}<small>${tensors.length} ${tensors.length === 1 ? 'tensor' : 'tensors'} of ${dtypes.join(', ')}</small>`)}
  ${fact('layers', layers.length > 0 ? html`${layers.length}<small>${commonest(layers.map(({ op }) => op))}</small>` : html`weights only<small>the file does not say how they are wired</small>`)}
  ${inputs.length > 0 ? fact(inputs.length === 1 ? 'input' : 'inputs', ports(inputs)) : null}
  ${outputs.length > 0 ? fact(outputs.length === 1 ? 'output' : 'outputs', ports(outputs)) : null}
  ${Object.entries(details)
    // Ports have been told, with more than their names.
    .filter(([name, value]) => value.length < 200 && !(PORTS.has(name) && inputs.length > 0))
    .map(([name, value]) => fact(name, value))}
</dl>
${notices(warnings)}
${(architecture?.assumed ?? []).map((sentence) => html`<p class="note">assumed: ${inPageWords(sentence)}</p>`)}
<details class="said"${layers.length === 0 || options.arch ? html` open` : null}>
  <summary>Say what the file does not</summary>
  <form id="say" class="fields">
    <label>${FIELDS.arch} <input name="arch" autocomplete="off" spellcheck="false" placeholder="vgg16, resnet50, …" value="${options.arch ?? ''}"></label>
    <label>${FIELDS.assume} <input name="assume" autocomplete="off" spellcheck="false" placeholder="epsilon=1e-3 …" value="${Object.entries(
      options.assume ?? {},
    )
      .map(([name, value]) => `${name}=${value}`)
      .join(' ')}"></label>
    <label>${FIELDS.inputShape} <input name="inputShape" autocomplete="off" spellcheck="false" placeholder="1,3,224,224" value="${options.inputShape?.join(',') ?? ''}"></label>
    <label>${FIELDS.weightsKey} <input name="weightsKey" autocomplete="off" spellcheck="false" placeholder="model.state_dict" value="${options.weightsKey ?? ''}"></label>
    <button type="submit">Read it again</button>
  </form>
</details>
<p class="buttons"><button type="button" id="compare">Compare with another model</button> <button type="button" id="another" class="quiet">Open another</button></p>`;
}

export function notices(warnings: readonly Notice[]): Markup {
  const lines = noticeLines(warnings);
  const rows = (some: typeof lines) => some.map(({ message, isUsual }) => html`<p class="note ${isUsual ? '' : 'bad'}">${inPageWords(message)}</p>`);
  if (lines.length <= NOTICES_SHOWN) return html`${rows(lines)}`;
  return html`${rows(lines.slice(0, NOTICES_SHOWN))}<details><summary>${lines.length - NOTICES_SHOWN} more notices</summary>${rows(lines.slice(NOTICES_SHOWN))}</details>`;
}

export function sizes(shape: readonly Dim[]): string {
  return shape.length === 0 ? 'a number' : shape.join(' × ');
}

/** '13 Conv, 5 MaxPool, 3 Gemm'. */
function commonest(ops: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const op of ops) counts.set(op, (counts.get(op) ?? 0) + 1);
  const [...some] = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 4);
  return some.map(([op, count]) => `${count} ${op}`).join(', ') + (counts.size > some.length ? ', …' : '');
}
