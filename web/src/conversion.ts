/** From a model to another format: the form, the work in the worker, the proof, and what can be done with the result. */
import type { ConvertOptions } from '../../src/convert.js';
import type { ModelDocument } from '../../src/inspect.js';
import type { GivenPreparation } from '../../src/model/preparation.js';
import { html, type Markup } from '../../src/report/html/markup.js';
import { formatBytes, formatTime } from '../../src/report/numbers.js';
import { Cancelled, type Client } from './client.js';
import { convertCommand } from './command-line.js';
import { byId, download, fill, noTrouble, tell, trouble } from './dom.js';
import { notices } from './facts.js';
import { FIELDS } from './fields.js';
import type { Converted, Device, GivenModel, Opened, Target, Verified } from './jobs.js';
import { save } from './save.js';

/** Beyond this, running both sides takes more memory than many a tab has: it is done when it is asked for. */
const VERIFY_BYTES = 200e6;

/** How pictures come to be what a net takes, where nothing is known of it. */
const PREPARATIONS: Readonly<Record<string, { readonly title: string; readonly given?: GivenPreparation }>> = {
  known: { title: 'as is known of the net' },
  unit: { title: '0 to 1', given: plain(1 / 255, 0) },
  signed: { title: '−1 to 1', given: plain(1 / 127.5, 127.5) },
  bytes: { title: '0 to 255', given: plain(1, 0) },
};

/** Codes so many standard deviations apart: few of them occur, so that they take little once they are packed, which web servers do by themselves. */
const STEPS: Readonly<Record<string, { readonly title: string; readonly step: number }>> = {
  'step-0.3': { title: 'few codes of 8 bits', step: 0.3 },
  'step-0.7': { title: 'fewer codes of 8 bits', step: 0.7 },
};

function plain(scale: number, mean: number): GivenPreparation {
  return { values: { order: 'RGB', mean: [mean], scale: [scale], from: 'as was chosen on the page' }, framing: { resize: 'stretch' } };
}

export class Conversion {
  #converted: Converted | null = null;
  #verified: Verified | null = null;
  #isBusy = false;
  #onGpu: Device = 'auto';
  /** Another model is shown by now. */
  #isLeft = false;

  constructor(
    readonly client: Client,
    readonly given: GivenModel,
    readonly opened: Opened,
  ) {
    fill(byId('convert'), form(opened));
    fill(byId('result'), null);
    const element = byId<HTMLFormElement>('convert-form');
    element.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#convert();
    });
    element.addEventListener('change', () => this.#refresh());
    byId('cancel').addEventListener('click', () => this.client.cancel());
    byId('copy').addEventListener('click', () => void this.#copy());
    this.#refresh();
    this.client
      .run('adapter', null)
      .then((adapter) => {
        if (!adapter) return;
        this.#onGpu = adapter.software ? 'gpu' : 'auto';
        byId('device').textContent = adapter.software ? `Through WebGPU, though slower here: ${adapter.name}` : `On the GPU (${adapter.name}) where it can`;
        byId('device-field').hidden = false;
        byId('device-field').querySelector('input')!.checked = !adapter.software;
      })
      .catch(() => {});
  }

  /** The page is another model's from now on: nothing is shown there any more. */
  leave(): void {
    this.#isLeft = true;
  }

  #fields(): {
    target: Target;
    options: ConvertOptions;
    step?: number;
    verify: boolean;
    golden: File | null;
    layers: boolean;
    output: string;
    device: Device;
  } {
    const data = new FormData(byId<HTMLFormElement>('convert-form'));
    const target = this.opened.targets.find(({ name }) => name === data.get('to'))!;
    const chosen = (name: string) => data.get(name) === 'on';
    const dtype = String(data.get('dtype'));
    const step = STEPS[dtype]?.step;
    const golden = data.get('golden');
    const stem = this.given.label
      .replace(/^.*\//, '')
      .replace(/\.(h5|hdf5|keras|pth|pt2?|bin|ckpt|tar|pkl|onnx|caffemodel|prototxt|json|pb|tflite|safetensors|npz|npy)$/i, '');
    return {
      target,
      options: {
        to: target.name,
        ...(dtype === 'source' || step !== undefined ? {} : { dtype }),
        ...(target.options.includes('layout') && data.get('layout') !== 'source' ? { layout: data.get('layout') as 'nchw' } : {}),
        ...(target.options.includes('names') && chosen('names') ? { names: 'canonical' } : {}),
        ...(target.carriesWiring && chosen('fold') ? { foldBatchnorm: true } : {}),
        ...(target.carriesWiring && chosen('embed') ? { embedPreprocessing: true } : {}),
      },
      ...(step === undefined ? {} : { step }),
      verify: chosen('verify'),
      golden: golden instanceof File && golden.size > 0 ? golden : null,
      layers: chosen('layers'),
      device: chosen('gpu') ? this.#onGpu : 'cpu',
      output:
        target.extension === '' ? `${stem}-${target.name}` : `${stem}${stem + target.extension === this.given.label ? '-converted' : ''}${target.extension}`,
    };
  }

  /** Fits the form, and the command, to what was chosen. */
  #refresh(): void {
    const { target } = this.#fields();
    const dtype = byId<HTMLSelectElement>('dtype');
    const before = dtype.value;
    const steps = target.hasCodes && this.opened.document.layers.length > 0 ? Object.entries(STEPS) : [];
    fill(
      dtype,
      html`<option value="source">as in the source</option>${target.dtypes.map((name) => html`<option>${name}</option>`)}${steps.map(([name, { title }]) => html`<option value="${name}">${title}</option>`)}`,
    );
    dtype.value = before;
    if (dtype.value === '') dtype.value = 'source';
    for (const field of byId('convert-form').querySelectorAll<HTMLElement>('[data-for]')) {
      const wanted = field.dataset.for!;
      field.hidden = !(wanted === 'wiring' ? target.carriesWiring && this.opened.document.layers.length > 0 : target.options.includes(wanted));
    }
    const { options, step, output, verify, golden } = this.#fields();
    byId('command').textContent = convertCommand(this.given, output, { ...options, step }, verify, golden?.name ?? null);
  }

  async #copy(): Promise<void> {
    await navigator.clipboard.writeText(byId('command').textContent ?? '').then(
      () => tell('the command was copied'),
      () => tell('the browser does not let the page copy; select the command instead'),
    );
  }

  async #convert(): Promise<void> {
    const { options, step, output, target, verify, golden, layers, device } = this.#fields();
    this.#converted = null;
    this.#verified = null;
    fill(byId('result'), null);
    await this.#working(`Converting to ${target.title}`, async (onProgress) => {
      this.#converted = await this.client.run('convert', { name: output, options, ...(step === undefined ? {} : { step }) }, onProgress);
      this.#show();
      tell(`converted to ${target.title}`);
      if (verify) await this.#verify(device, layers, golden, onProgress);
    });
  }

  async #verify(device: Device, layers: boolean, golden: File | null, onProgress: (what: string, done: number, total: number) => void): Promise<void> {
    byId('progress-title').textContent = 'Verifying: both sides run';
    try {
      this.#verified = await this.client.run('verify', { device, layers, ...(golden ? { golden } : {}) }, onProgress);
    } catch (error) {
      if (error instanceof Cancelled && !this.#isLeft) tell('the verification was cancelled; the converted file is there, but nothing proves it');
      throw error;
    }
    this.#show();
    tell(`verified: ${this.#verified.report.verdict}`);
  }

  /** Runs a job with a bar and a button to cancel it, and says what went wrong. */
  async #working(title: string, work: (onProgress: (what: string, done: number, total: number) => void) => Promise<void>): Promise<void> {
    if (this.#isBusy) return;
    this.#isBusy = true;
    noTrouble();
    const place = byId('working');
    place.hidden = false;
    byId('progress-title').textContent = title;
    const start = byId<HTMLButtonElement>('start');
    start.disabled = true;
    const bar = byId<HTMLProgressElement>('progress');
    bar.removeAttribute('value');
    byId('progress-text').textContent = '';
    try {
      await work((what, done, total) => {
        if (total > 0) bar.value = done / total;
        byId('progress-text').textContent =
          total > 100_000 ? `${what}: ${formatBytes(done)} of ${formatBytes(total)}` : total > 0 ? `${what}: ${done} of ${total}` : what;
      });
    } catch (error) {
      if (this.#isLeft) return;
      if (error instanceof Cancelled) {
        if (!this.#converted) tell('cancelled; nothing was written');
      } else trouble(this.#converted ? 'It was converted, but could not be verified' : 'It could not be converted', (error as Error).message);
    } finally {
      this.#isBusy = false;
      place.hidden = true;
      start.disabled = false;
    }
  }

  #show(): void {
    const converted = this.#converted!;
    // What was told of the source is not told again.
    const told = new Set(this.opened.document.warnings.map(({ message }) => message));
    const news = { ...converted, warnings: converted.warnings.filter(({ message }) => !told.has(message)) };
    fill(byId('result'), result(news, this.#verified, this.opened.document));
    foldReport();
    byId('save').addEventListener('click', () => {
      save(converted.files, () => this.client.run('pack', null)).then(
        (done) => done !== null && tell(done),
        (error: Error) => trouble('It could not be saved', error.message),
      );
    });
    const [main] = converted.files;
    const verified = this.#verified;
    document.getElementById('save-report')?.addEventListener('click', () => {
      download(new Blob([verified!.page], { type: 'text/html' }), `${main!.name.split('/').at(-1)}.report.html`);
    });
    document.getElementById('verify-now')?.addEventListener('click', () => {
      const { device, layers, golden } = this.#fields();
      void this.#working('Verifying: both sides run', (onProgress) => this.#verify(device, layers, golden, onProgress));
    });
    document.getElementById('pictures')?.addEventListener('change', ({ target }) => {
      const files = [...((target as HTMLInputElement).files ?? [])];
      void this.look(new Map(files.map((file) => [file.name, file])), null);
    });
    byId('result').scrollIntoView({ block: 'nearest' });
  }

  get isConverted(): boolean {
    return this.#converted !== null;
  }

  /** What both sides say of pictures. */
  async look(pictures: ReadonlyMap<string, Blob>, labels: Blob | null): Promise<void> {
    const names = labels ? (await labels.text()).trimEnd().split(/\r?\n/) : (this.opened.document.labels?.names ?? []);
    const { given } = PREPARATIONS[byId<HTMLSelectElement>('preparation').value]!;
    await this.#working('Both sides look at the pictures', async (onProgress) => {
      const shown = await this.client.run('pictures', { pictures, labels: names, ...(given ? { preparation: given } : {}) }, onProgress);
      byId('seen').innerHTML = shown;
      byId('seen').scrollIntoView({ block: 'nearest' });
      tell('the predictions of both sides are shown');
    });
  }
}

function form({ document: { format, layers }, targets, byteLength }: Opened): Markup {
  const hasNet = layers.length > 0;
  const possible = targets.filter(({ name, carriesWiring }) => hasNet || !carriesWiring || name === 'pytorch');
  const first = possible.find(({ name }) => name !== format)!;
  const box = (name: string, title: string, wanted: string, hint: string) =>
    html`<label class="check" data-for="${wanted}"><input type="checkbox" name="${name}"> ${title} <small>${hint}</small></label>`;
  return html`
<h2 id="convert-title">Convert</h2>
<form id="convert-form">
  <div class="fields">
    <label>${FIELDS.to} <select name="to">${possible.map(({ name, title, extension }) => html`<option value="${name}"${name === first.name ? html` selected` : null}>${title}${extension === '' ? '' : ` (${extension})`}</option>`)}</select></label>
    <label>${FIELDS.dtype} <select name="dtype" id="dtype"><option value="source">as in the source</option></select></label>
    <label data-for="layout">${FIELDS.layout} <select name="layout"><option value="source">as in the source</option><option value="nchw">channels first</option><option value="nhwc">channels last</option></select></label>
    <button type="submit" class="primary" id="start">Convert</button>
  </div>
  <label class="check"><input type="checkbox" name="verify"${byteLength <= VERIFY_BYTES ? html` checked` : null}> ${FIELDS.noVerify} <small>${byteLength <= VERIFY_BYTES ? 'runs both sides in this tab' : `runs both sides in this tab, which takes several times the ${formatBytes(byteLength)} of this model`}</small></label>
  <details><summary>More</summary>
    ${box('fold', FIELDS.foldBatchnorm, 'wiring', 'into the weights of the layer before it')}
    ${box('embed', FIELDS.embedPreprocessing, 'wiring', 'it then takes values of 0 to 255, red first')}
    ${box('names', FIELDS.names, 'names', 'instead of those of the source')}
    <label class="check"><input type="checkbox" name="layers"> ${FIELDS.layers} <small>and name the first that differs</small></label>
    <label class="check" id="device-field" hidden><input type="checkbox" name="gpu"> <span id="device"></span></label>
    <label class="file">${FIELDS.golden} <small>.npz with arrays input and output, the best witness there is</small><input type="file" name="golden" accept=".npz"></label>
  </details>
  <div class="command"><code id="command"></code><button type="button" class="quiet" id="copy">Copy</button></div>
</form>
<div id="working" hidden>
  <p id="progress-title"></p>
  <progress id="progress" aria-labelledby="progress-title"></progress>
  <div class="row"><span id="progress-text" class="hint"></span><button type="button" id="cancel">Cancel</button></div>
</div>`;
}

function result({ files, warnings, changes, elapsedMs, dtype, onWire }: Converted, verified: Verified | null, { layers, labels }: ModelDocument): Markup {
  const total = files.reduce((sum, { file }) => sum + file.size, 0);
  const main = files[0]!.name;
  const isFolder = main.includes('/');
  return html`
<section aria-label="the converted model">
  <div class="row"><div><p class="verdict">converted</p><h2 class="name">${isFolder ? `${main.split('/')[0]}/` : main}</h2>
  <p class="sub">${formatBytes(total)}${files.length > 1 ? ` in ${files.length} files` : ''}, ${dtype}, in ${formatTime(elapsedMs)}${onWire === null ? null : `; ${formatBytes(onWire)} over the wire, packed by gzip`}</p></div>
  <p class="buttons">${verified ? html`<button type="button" id="save-report" class="quiet">Save the report</button>` : html`<button type="button" id="verify-now">Verify</button>`} <button type="button" class="primary" id="save">Save</button></p></div>
  ${changes.map((change) => html`<p class="note">changed: ${change}</p>`)}
  ${notices(warnings)}
  ${
    layers.length > 0
      ? html`<div class="fields look"><label class="file">See what both sides say of pictures <small>PNG or JPEG; ${labels ? html`classes are named as in ${labels.from}` : html`with a labels.txt dropped beside them, the names of classes`}</small><input type="file" id="pictures" accept="image/png,image/jpeg" multiple></label>
  <label>Values <select id="preparation">${Object.entries(PREPARATIONS).map(([name, { title }]) => html`<option value="${name}">${title}</option>`)}</select></label></div><div id="seen"></div>`
      : null
  }
</section>
${verified ? html`<div class="report" id="report">${raw(verified.shown)}</div>` : null}`;
}

/** How many parts of a report stand open: the verdict, what it rests on, the outputs. */
const OPEN_PARTS = 3;

/** The rest of a report is there when it is asked for. */
function foldReport(): void {
  const rest = [...(document.getElementById('report')?.children ?? [])].slice(OPEN_PARTS);
  if (rest.length === 0) return;
  const details = document.createElement('details');
  const summary = document.createElement('summary');
  summary.textContent = 'The whole report: layers, predictions, filters, weights';
  details.append(summary, ...rest);
  byId('report').append(details);
}

/** Markup that the worker built with the same templates. */
function raw(text: string): Markup {
  return Object.assign(html``, { text }) as Markup;
}
