/** The page: takes what it is given, and shows what it is. */
import 'virtual:report-style.css';
import './style.css';
import { html } from '../../src/report/html/markup.js';
import { VERSION } from '../../src/version.js';
import { Cancelled, Client } from './client.js';
import { diffCommand } from './command-line.js';
import { Conversion } from './conversion.js';
import { byId, download, fill, noTrouble, tell, trouble } from './dom.js';
import { filesOfChooser, filesOfDrop, type GivenFile, sortGiven } from './dropped.js';
import { facts } from './facts.js';
import { Inside } from './inside.js';
import type { GivenModel, Opened } from './jobs.js';

const client = new Client();
let given: GivenModel | null = null;
let conversion: Conversion | null = null;
/** Whether the next model that is given is compared with the one that is open. */
let isComparing = false;
/** Of the model that was opened last: what comes late of another is dropped. */
let turn = 0;

async function take(files: readonly GivenFile[]): Promise<void> {
  noTrouble();
  const { models, pictures, labels } = sortGiven(files);
  const [first, second, ...others] = models;
  if (others.length > 0) {
    const names = models.map(({ label }) => label).join(', ');
    return trouble('Those are too many at once', `${models.length} models were given (${names}). Give one to look at, or two to compare.`);
  }
  if (first && second) return compare(first, second);
  if (first && isComparing && given) return compare(given, first);
  if (first) return open(first);
  if (pictures.size > 0) {
    if (conversion?.isConverted) return conversion.look(pictures, labels);
    return trouble('Those are pictures', 'Open a model and convert it first; then pictures show what both sides say of them.');
  }
  if (files.length > 0)
    trouble(
      'No model is among them',
      `${files.length === 1 ? 'The file' : 'The files'} that you gave cannot be a model: ${files.map(({ path }) => path).join(', ')}`,
    );
}

async function open(model: GivenModel): Promise<void> {
  const own = ++turn;
  isComparing = false;
  tell(`reading ${model.label}…`);
  document.body.classList.add('busy');
  try {
    const opened = await client.open(model);
    if (own !== turn) return;
    given = model;
    show(model, opened);
    tell(`${model.label} is open`);
  } catch (error) {
    if (own !== turn || error instanceof Cancelled) return;
    tell('');
    trouble(`${model.label} cannot be read`, (error as Error).message);
  } finally {
    document.body.classList.remove('busy');
  }
}

function show(model: GivenModel, opened: Opened): void {
  document.body.classList.add('open');
  document.title = `${model.label}: Weighbridge`;
  byId('comparison').hidden = true;
  byId('model').hidden = false;
  byId('model').classList.toggle('wired', opened.document.layers.length > 0);
  fill(byId('facts'), facts(opened, model));
  conversion?.leave();
  conversion = new Conversion(client, model, opened);
  const inside = new Inside(client, opened.document, () => void readWeights());

  async function readWeights(): Promise<void> {
    const own = turn;
    try {
      const document = await client.run('weights', null, (what, done, total) => tell(`${what}: ${Math.round((100 * done) / total)} %`));
      if (own !== turn) return;
      inside.update(document);
      // What is odd is news of the model, and belongs to what was known of it.
      fill(byId('facts'), facts({ ...opened, document }, model));
      tell('every weight was read');
    } catch (error) {
      if (own === turn && !(error instanceof Cancelled)) trouble('The weights could not be read', (error as Error).message);
    }
  }
}

/** Reads the model again with what the user says of it. */
function say(form: HTMLFormElement): void {
  const data = new FormData(form);
  const text = (name: string) => String(data.get(name)).trim();
  const inputShape = text('inputShape')
    .split(/[,x×\s]+/)
    .filter((size) => size !== '')
    .map((size) => (/^\d+$/.test(size) ? Number(size) : size));
  const assumptions = text('assume').split(/\s+/).filter(Boolean);
  const unclear = assumptions.find((word) => !/^[^=]+=./.test(word));
  if (unclear !== undefined)
    return trouble('What is to be assumed?', `"${unclear}" is no assumption: they are written as NAME=VALUE, with spaces between several`);
  const assume = Object.fromEntries(assumptions.map((word) => [word.slice(0, word.indexOf('=')), word.slice(word.indexOf('=') + 1)]));
  const { arch: _, assume: __, inputShape: ___, weightsKey: ____, ...options } = given!.options;
  const said = {
    ...(text('arch') ? { arch: text('arch') } : {}),
    ...(assumptions.length > 0 ? { assume } : {}),
    ...(inputShape.length > 0 ? { inputShape } : {}),
    ...(text('weightsKey') ? { weightsKey: text('weightsKey') } : {}),
  };
  void open({ ...given!, options: { ...options, ...said } });
}

async function compare(a: GivenModel, b: GivenModel): Promise<void> {
  const own = ++turn;
  isComparing = false;
  document.body.classList.add('busy');
  try {
    const { shown, page } = await client.run('diff', { a, b }, (what, done, total) => tell(`${what}: ${total > 0 ? Math.round((100 * done) / total) : 0} %`));
    if (own !== turn) return;
    document.body.classList.add('open');
    byId('model').hidden = true;
    const place = byId('comparison');
    place.hidden = false;
    place.innerHTML = shown;
    const bar = document.createElement('section');
    fill(
      bar,
      html`<div class="command"><code>${diffCommand(a, b)}</code></div><p class="buttons"><button type="button" id="save-diff">Save the page</button>${given ? html` <button type="button" class="quiet" id="back">Back to ${given.label}</button>` : null}</p>`,
    );
    place.append(bar);
    byId('save-diff').addEventListener('click', () => download(new Blob([page], { type: 'text/html' }), 'diff.html'));
    document.getElementById('back')?.addEventListener('click', () => {
      place.hidden = true;
      byId('model').hidden = false;
    });
    tell('compared');
  } catch (error) {
    if (own === turn && !(error instanceof Cancelled)) trouble('They could not be compared', (error as Error).message);
  } finally {
    document.body.classList.remove('busy');
  }
}

async function example(): Promise<void> {
  const { default: url } = await import('../../demo/digits/digits.h5?url');
  await take([{ path: 'digits.h5', file: await (await fetch(url)).blob() }]);
}

function listen(): void {
  for (const id of ['files', 'folder']) {
    const input = byId<HTMLInputElement>(id);
    input.addEventListener('change', () => {
      const files = filesOfChooser(input.files!);
      // So that the same file can be chosen again.
      input.value = '';
      void take(files);
    });
  }
  byId('choose').addEventListener('click', () => byId('files').click());
  byId('choose-folder').addEventListener('click', () => byId('folder').click());
  byId('example').addEventListener('click', () => void example());
  byId('facts').addEventListener('submit', (event) => {
    event.preventDefault();
    say(event.target as HTMLFormElement);
  });
  byId('facts').addEventListener('click', ({ target }) => {
    const { id } = target as Element;
    if (id !== 'compare' && id !== 'another') return;
    isComparing = id === 'compare';
    byId('files').click();
  });
  let depth = 0;
  const over = (change: number) => {
    depth = Math.max(0, depth + change);
    document.body.classList.toggle('dropping', depth > 0);
  };
  addEventListener('dragenter', () => over(1));
  addEventListener('dragleave', () => over(-1));
  addEventListener('dragover', (event) => event.preventDefault());
  addEventListener('drop', (event) => {
    event.preventDefault();
    over(-depth);
    if (event.dataTransfer) void filesOfDrop(event.dataTransfer).then(take);
  });
}

async function keepForOffline(): Promise<void> {
  if (!('serviceWorker' in navigator)) return;
  try {
    await navigator.serviceWorker.register('./service-worker.js');
    await navigator.serviceWorker.ready;
    byId('offline').textContent = 'Ready for work offline.';
  } catch {
    // A page that is opened from a disk, or in a private window, works all the same.
  }
}

byId('version').textContent = VERSION;
listen();
void keepForOffline();
