/** The inside of a model: its picture, its layers, its tensors, and one layer in full. */
import type { LayerDocument, ModelDocument } from '../../src/inspect.js';
import { html, type Markup } from '../../src/report/html/markup.js';
import { formatBytes, formatCount, formatNumber } from '../../src/report/numbers.js';
import type { Client } from './client.js';
import { byId, fill } from './dom.js';
import { sizes } from './facts.js';
import { graphPicture } from './graph/picture.js';

const VIEWS = ['Graph', 'Layers', 'Tensors'] as const;
type View = (typeof VIEWS)[number];

const MIN_SCALE = 0.05;
const MAX_SCALE = 3;
/** Rows beyond these are shown when they are asked for. */
const ROWS_SHOWN = 400;

export class Inside {
  #document: ModelDocument;
  #selected: string | null = null;
  #scale = 1;

  constructor(
    readonly client: Client,
    document: ModelDocument,
    readonly onWeights: () => void,
  ) {
    this.#document = document;
    const hasNet = document.layers.length > 0;
    fill(
      byId('inside'),
      html`
<div class="row"><h2 id="inside-title">Inside</h2>
<div class="tabs" role="tablist" aria-label="what to look at">${VIEWS.map((view) => html`<button type="button" role="tab" id="tab-${view}" aria-controls="view" aria-selected="false" tabindex="-1"${!hasNet && view !== 'Tensors' ? html` disabled` : null}>${view}</button>`)}</div></div>
<div class="inside">
  <div id="view" role="tabpanel" tabindex="-1"></div>
  <aside id="layer" aria-label="the layer that was chosen" aria-live="polite" tabindex="0"></aside>
</div>`,
    );
    const tabs = byId('inside').querySelector('[role=tablist]') as HTMLElement;
    tabs.addEventListener('click', ({ target }) => {
      const tab = (target as Element).closest('[role=tab]');
      if (tab) this.#show(tab.textContent as View);
    });
    tabs.addEventListener('keydown', (event) => this.#turn(event));
    byId('view').addEventListener('click', ({ target }) => this.#click(target as Element));
    this.#show(hasNet ? 'Graph' : 'Tensors');
  }

  /** What was found out about the weights takes the place of what was not known. */
  update(document: ModelDocument): void {
    this.#document = document;
    this.#show('Tensors');
  }

  #turn(event: KeyboardEvent): void {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step === undefined) return;
    const enabled = VIEWS.filter((view) => !byId<HTMLButtonElement>(`tab-${view}`).disabled);
    const at = enabled.findIndex((view) => byId(`tab-${view}`).getAttribute('aria-selected') === 'true');
    const next = enabled[(at + step + enabled.length) % enabled.length]!;
    this.#show(next);
    byId(`tab-${next}`).focus();
    event.preventDefault();
  }

  #show(view: View): void {
    for (const other of VIEWS) {
      byId(`tab-${other}`).setAttribute('aria-selected', String(other === view));
      byId(`tab-${other}`).tabIndex = other === view ? 0 : -1;
    }
    const place = byId('view');
    place.setAttribute('aria-labelledby', `tab-${view}`);
    place.className = view.toLowerCase();
    byId('layer').hidden = view === 'Tensors';
    if (view === 'Graph') this.#showGraph();
    else fill(place, view === 'Layers' ? layerTable(this.#document.layers) : tensorTable(this.#document));
    if (this.#selected !== null) this.#mark();
    else if (view !== 'Tensors') fill(byId('layer'), html`<p class="hint">Choose a layer to see its attributes and weights.</p>`);
  }

  #showGraph(): void {
    const picture = graphPicture(this.#document);
    const place = byId('view');
    if (!picture) {
      fill(place, html`<p class="note">${this.#document.layers.length} layers are too many for a picture; the table has them all.</p>`);
      return;
    }
    fill(
      place,
      html`<div class="zoom"><button type="button" data-zoom="out" aria-label="smaller">−</button><button type="button" data-zoom="in" aria-label="larger">+</button><button type="button" data-zoom="fit">Fit</button></div>
<div class="canvas" tabindex="0" role="group" aria-label="the graph; with arrow down and up from layer to layer, with plus and minus larger and smaller">${picture}</div>`,
    );
    const canvas = place.querySelector<HTMLElement>('.canvas')!;
    canvas.addEventListener('keydown', (event) => this.#key(event));
    canvas.addEventListener(
      'wheel',
      (event) => {
        if (!event.ctrlKey && !event.metaKey) return;
        event.preventDefault();
        this.#zoom(this.#scale * Math.exp(-event.deltaY / 300));
      },
      { passive: false },
    );
    this.#zoom(1);
    // What comes first, which is not in the middle where branches lean to one side.
    const [first, seen] = [canvas.querySelector('.box')!, canvas].map((element) => element.getBoundingClientRect()) as [DOMRect, DOMRect];
    canvas.scrollLeft += first.x + first.width / 2 - seen.x - seen.width / 2;
  }

  #key(event: KeyboardEvent): void {
    const { layers } = this.#document;
    const at = layers.findIndex(({ name }) => name === this.#selected);
    if (event.key === 'ArrowDown') this.select(layers[Math.min(layers.length - 1, at + 1)]!.name);
    else if (event.key === 'ArrowUp') this.select(layers[Math.max(0, at - 1)]!.name);
    else if (event.key === '+' || event.key === '=') this.#zoom(this.#scale * 1.25);
    else if (event.key === '-') this.#zoom(this.#scale / 1.25);
    else return;
    event.preventDefault();
  }

  #zoom(scale: number): void {
    const canvas = byId('view').querySelector<HTMLElement>('.canvas')!;
    const svg = canvas.querySelector('svg')!;
    const [width, height] = svg.dataset.size!.split(' ').map((size) => Number(size) + 8) as [number, number];
    const before = [
      (canvas.scrollLeft + canvas.clientWidth / 2) / canvas.scrollWidth,
      (canvas.scrollTop + canvas.clientHeight / 2) / canvas.scrollHeight,
    ] as const;
    this.#scale = Math.min(MAX_SCALE, Math.max(MIN_SCALE, scale));
    svg.setAttribute('width', String(Math.round(width * this.#scale)));
    svg.setAttribute('height', String(Math.round(height * this.#scale)));
    canvas.scrollLeft = before[0] * canvas.scrollWidth - canvas.clientWidth / 2;
    canvas.scrollTop = before[1] * canvas.scrollHeight - canvas.clientHeight / 2;
  }

  #click(target: Element): void {
    const zoom = target.closest<HTMLElement>('[data-zoom]')?.dataset.zoom;
    if (zoom === 'in') this.#zoom(this.#scale * 1.25);
    if (zoom === 'out') this.#zoom(this.#scale / 1.25);
    if (zoom === 'fit') {
      const canvas = byId('view').querySelector<HTMLElement>('.canvas')!;
      const [width, height] = canvas.querySelector('svg')!.dataset.size!.split(' ').map(Number) as [number, number];
      this.#zoom(Math.min(canvas.clientWidth / (width + 8), canvas.clientHeight / (height + 8)));
    }
    if (target.closest('#read-weights')) this.onWeights();
    const more = target.closest('.more');
    if (more) {
      for (const row of byId('view').querySelectorAll<HTMLElement>('tr[hidden]')) row.hidden = false;
      more.remove();
    }
    const layer = target.closest<HTMLElement>('[data-layer]')?.dataset.layer;
    if (layer !== undefined) this.select(layer);
  }

  select(name: string): void {
    this.#selected = name;
    this.#mark();
    const layer = this.#document.layers.find((candidate) => candidate.name === name)!;
    fill(byId('layer'), layerDetail(layer));
    const place = byId('layer').querySelector<HTMLElement>('.distribution');
    if (place) {
      this.client
        .run('layer', name)
        .then((shown) => {
          // Another may have been chosen since.
          if (this.#selected === name) place.innerHTML = shown;
        })
        .catch(() => {});
    }
  }

  #mark(): void {
    for (const box of byId('view').querySelectorAll('[data-layer]')) {
      const isChosen = (box as HTMLElement).dataset.layer === this.#selected;
      box.classList.toggle('chosen', isChosen);
      if (isChosen && byId('view').className === 'graph') box.scrollIntoView({ block: 'nearest', inline: 'nearest' });
    }
  }
}

function layerTable(layers: readonly LayerDocument[]): Markup {
  return html`<div class="scroll tall" tabindex="0" role="region" aria-label="table of layers"><table>
<thead><tr><th>layer</th><th>operator</th><th>output</th><th>weights</th><th class="n">parameters</th></tr></thead>
<tbody>${layers.map(
    ({ name, canonicalName, op, outputShapes, weights, parameterCount }, i) =>
      html`<tr${i >= ROWS_SHOWN ? html` hidden` : null}><td><button type="button" class="link" data-layer="${name}">${name}</button>${canonicalName === undefined || canonicalName === name ? null : html`<small>${canonicalName}</small>`}</td><td>${op}</td><td class="shape">${(outputShapes ?? []).flatMap((shape) => (shape ? sizes(shape) : [])).join(', ')}</td><td class="shape">${Object.entries(
        weights,
      )
        .map(([role, { shape }]) => `${role} ${sizes(shape)}`)
        .join(', ')}</td><td class="n">${parameterCount === 0 ? '' : formatCount(parameterCount)}</td></tr>`,
  )}</tbody></table>${moreButton(layers.length)}</div>`;
}

function tensorTable({ tensors }: ModelDocument): Markup {
  const isRead = tensors.some(({ min }) => min !== undefined);
  const number = (value: number | null | undefined) => html`<td class="n">${value === null || value === undefined ? '' : formatNumber(value)}</td>`;
  return html`${
    isRead
      ? null
      : html`<p class="buttons"><button type="button" id="read-weights">Read every weight</button> <span class="hint">for minimum, maximum, mean, and what is odd: NaN, infinities, all zeros</span></p>`
  }<div class="scroll tall" tabindex="0" role="region" aria-label="table of tensors"><table>
<thead><tr><th>tensor</th><th>dtype</th><th>shape</th><th class="n">bytes</th>${isRead ? html`<th class="n">min</th><th class="n">max</th><th class="n">mean</th><th class="n">std</th><th class="n">zeros</th><th class="n">not finite</th>` : null}</tr></thead>
<tbody>${tensors.map(
    ({ name, dtype, shape, byteLength, min, max, mean, std, zeros, nonFinite }, i) =>
      html`<tr${i >= ROWS_SHOWN ? html` hidden` : null}><td>${name}</td><td>${dtype}</td><td class="shape">${sizes(shape)}</td><td class="n">${formatBytes(byteLength)}</td>${
        isRead
          ? html`${number(min)}${number(max)}${number(mean)}${number(std)}<td class="n">${zeros === undefined ? '' : formatCount(zeros)}</td><td class="n">${nonFinite ? formatCount(nonFinite) : ''}</td>`
          : null
      }</tr>`,
  )}</tbody></table>${moreButton(tensors.length)}</div>`;
}

function moreButton(count: number): Markup | null {
  return count > ROWS_SHOWN ? html`<button type="button" class="more">Show ${count - ROWS_SHOWN} more</button>` : null;
}

function layerDetail({ name, canonicalName, op, attributes, inputs, outputShapes, weights, parameterCount }: LayerDocument): Markup {
  const value = (given: number | string | readonly (number | string)[]) => (Array.isArray(given) ? given.join(', ') : String(given));
  const rows = Object.entries(attributes);
  return html`
<p class="verdict">${op}</p>
<h3>${name}</h3>
${canonicalName === undefined || canonicalName === name ? null : html`<p class="sub">${canonicalName} in the paper</p>`}
<dl>
  <div><dt>reads</dt><dd>${inputs.filter((input) => input !== '').join(', ') || 'nothing'}</dd></div>
  <div><dt>gives</dt><dd>${(outputShapes ?? []).flatMap((shape) => (shape ? sizes(shape) : [])).join('; ') || 'unknown sizes'}</dd></div>
  ${Object.entries(weights).map(([role, weight]) => html`<div><dt>${role}</dt><dd>${sizes(weight.shape)} <small>${weight.dtype}, ${weight.name}</small></dd></div>`)}
  ${parameterCount > 0 ? html`<div><dt>parameters</dt><dd>${formatCount(parameterCount)}</dd></div>` : null}
</dl>
${parameterCount > 0 ? html`<div class="distribution"><p class="hint">reading weights…</p></div>` : null}
${rows.length > 0 ? html`<h4>Attributes</h4><dl>${rows.map(([key, given]) => html`<div><dt>${key}</dt><dd>${value(given)}</dd></div>`)}</dl>` : null}`;
}
