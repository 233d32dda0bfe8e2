/** The HTML report: everything in one file, nothing from a model that could act, and a real browser that agrees. */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ReportDocument } from '../../src/report/format.js';
import { html } from '../../src/report/html/index.js';
import type { LayerReport } from '../../src/verify/report.js';
import { CHROMIUM, openPage, type Page } from '../chromium.js';
import { documentOf, HOSTILE, hostileDocument, MATCH, MISMATCH, QUANTISED, vggLayers, WEIGHTS } from './examples.js';

describe('the page as text', () => {
  it('says verdict, witness, engines, device, tolerance and the smallest that passes', async () => {
    const page = await html.render(documentOf(MISMATCH));
    for (const text of [
      'mismatch',
      'reference',
      'not independent of the reader',
      'ort-cpu',
      'on cpu',
      '1.00e-6 + 2.00e-5',
      'the smallest rtol that passes is 0.31',
    ]) {
      expect(page).toContain(text);
    }
  });

  it('names the first difference and what to try next where two models differ, and only there', async () => {
    expect(await html.render(documentOf(MISMATCH))).toMatch(/First difference, in layer <code>net\/conv3_1<\/code>/);
    expect(await html.render(documentOf(MISMATCH))).toContain('Next:');
    expect(await html.render(documentOf(MATCH))).not.toContain('Next:');
  });

  it('says how much of the net the inputs put to use, and lists the rest', async () => {
    const coverage = { reached: 3, of: 5, added: 1, unseen: ['relu1: 2 of 4 units never fired'] };
    const page = await html.render(documentOf({ ...MATCH, coverage }));
    expect(page).toContain('<b>Coverage</b>: the inputs (1 of them found by search) put 60 % of the net to use: 3 of its 5 parts');
    expect(page).toContain('<li>relu1: 2 of 4 units never fired</li>');
  });

  it('names the files of which it speaks, by their hashes, where they are known', async () => {
    const fact = (path: string) => ({ path, byteLength: 1234, sha256: 'ab'.repeat(32) });
    const page = await html.render(documentOf({ ...MATCH, files: { expected: [fact('a.caffemodel'), fact('a.prototxt')], actual: [fact('b.onnx')] } }));
    for (const path of ['a.caffemodel', 'a.prototxt', 'b.onnx']) expect(page).toContain(`<td>${path}</td>`);
    expect(page).toContain(`<td class="n">1,234</td><td><code>${'ab'.repeat(32)}</code></td>`);
    expect(await html.render(documentOf(MATCH))).not.toContain('SHA-256');
  });

  it('plots one stem for each layer, those out of tolerance marked, and the tolerance', async () => {
    const page = await html.render(documentOf(MISMATCH));
    const layers = MISMATCH.layers!;
    expect(page.match(/<g class="stem/g)).toHaveLength(layers.length);
    expect(page.match(/<g class="stem bad"/g)).toHaveLength(layers.filter(({ passed }) => !passed).length);
    expect(page).toContain('tolerance 2.00e-5');
  });

  it('shows correctness and loss of a quantised file apart', async () => {
    const page = await html.render(documentOf(QUANTISED));
    expect(page).toMatch(/Correctness: [\s\S]*widened to float32[\s\S]*Loss: [\s\S]*the original/);
  });

  it('says at a glance what was found, how far below the limit, and on whose word', async () => {
    const header = async (document: ReportDocument) => /<header[\s\S]*?<\/header>/.exec(await html.render(document))![0].replace(/<[^>]*>/g, '');
    expect(await header(documentOf(MATCH))).toMatch(/The two predict the same: largest error \S+, \S+ times below the limit\. (Independent|Own)/);
    expect(await header(documentOf(MISMATCH))).toMatch(/The two do not predict the same: largest error \S+, \S+ times beyond the limit\. (Independent|Own)/);
  });

  it('says once that it rests on a recording, and nothing of classes to which neither side gives anything', async () => {
    const ranked = (...values: readonly number[]) => values.map((value, index) => ({ index, label: null, value }));
    const ranking = { output: 'y', expected: ranked(0.9, 0.0999, 4e-5, 3e-5, 0), actual: ranked(0.9, 0.09, 6e-5, 3e-5, 0), isDistribution: true };
    const sample = { sample: 0, pictures: [], rankings: [ranking, { ...ranking, output: 'logits', isDistribution: false }] };
    const page = await html.render(documentOf(MATCH, { samples: [sample], filters: null, histograms: [], histogramsLeftOut: 0 }));
    const text = page.replace(/<style>[\s\S]*?<\/style>/, '').replace(/<[^>]*>/g, ' ');
    expect(text.match(/record/g)).toHaveLength(3);
    expect(page.match(/title="class 2"/g)).toHaveLength(4);
    expect(page.match(/title="class 3"/g)).toHaveLength(2);
  });

  it('does not speak of predictions where nothing was run', async () => {
    const page = await html.render(documentOf(WEIGHTS));
    expect(page).toContain('The weights are those of the source');
    expect(page).not.toMatch(/predict the same|smallest rtol|no rtol|0 none/);
  });

  it('carries a policy that forbids everything but its own style and pictures', async () => {
    const page = await html.render(documentOf(MATCH));
    const [, style] = /<style>([\s\S]*?)<\/style>/.exec(page)!;
    const hash = createHash('sha256').update(style!).digest('base64');
    expect(page).toContain(`default-src &#39;none&#39;; img-src data:; style-src &#39;sha256-${hash}&#39;`);
  });

  it.each(['match', 'hostile'])('has no script, no inline style, no handler and no address outside itself (%s)', async (which) => {
    const page = await html.render(which === 'match' ? documentOf(MATCH) : hostileDocument());
    expect(page).not.toMatch(/<(script|iframe|object|embed|link|base|form)\b/i);
    const tags = page.match(/<[a-z][^>]*>/gi)!;
    for (const tag of tags) {
      expect(tag).not.toMatch(/\s(on\w+|style|href|action|srcset)=/i);
      const [, source] = /\ssrc="([^"]*)"/.exec(tag) ?? [];
      if (source !== undefined) expect(source).toMatch(/^data:image\/png;base64,[A-Za-z0-9+/=]+$/);
    }
    expect(page).not.toMatch(/url\(|@import/);
  });

  it('escapes every text that comes from a file', async () => {
    const page = await html.render(hostileDocument());
    expect(page).not.toContain('<script>');
    expect(page).not.toContain('</td><script');
    expect(page).not.toContain('\u202e');
    expect(page).not.toContain('\u0007');
  });

  it('closes what it opens', async () => {
    for (const document of [documentOf(MISMATCH), documentOf(QUANTISED), hostileDocument()]) {
      const page = (await html.render(document)).replace(/<style>[\s\S]*<\/style>/, '');
      const open: string[] = [];
      for (const [, end, name, alone] of page.matchAll(/<(\/?)([a-z][a-z0-9]*)[^>]*?(\/?)>/g)) {
        if (['meta', 'img'].includes(name!) || alone === '/') continue;
        if (end === '') open.push(name!);
        else expect(open.pop()).toBe(name);
      }
      expect(open).toEqual([]);
    }
  });
});

describe.skipIf(CHROMIUM === null)('the page in Chromium (skipped where none is installed)', () => {
  const folder = mkdtempSync(join(tmpdir(), 'weighbridge-html-'));
  let page: Page;
  beforeAll(async () => {
    page = await openPage();
  });
  afterAll(async () => {
    await page.close();
    rmSync(folder, { recursive: true });
  });

  async function show(name: string, document: ReportDocument): Promise<void> {
    const path = join(folder, `${name}.html`);
    writeFileSync(path, await html.render(document));
    await page.goto(pathToFileURL(path).href);
  }

  const many = Array.from({ length: 300 }, (_, i): LayerReport => ({ ...vggLayers()[i % 20]!, layer: `block/${i}/${'deep/'.repeat(i % 9)}conv` }));
  const CASES = {
    match: documentOf(MATCH),
    mismatch: documentOf(MISMATCH),
    quantised: documentOf(QUANTISED),
    hostile: hostileDocument(),
    many: documentOf({ ...MATCH, layers: many }),
  };

  it.each(Object.keys(CASES) as (keyof typeof CASES)[])('%s: asks for nothing, complains of nothing, and applies its style', async (name) => {
    await show(name, CASES[name]);
    expect(page.console).toEqual([]);
    expect(page.complaints).toEqual([]);
    expect(page.requests.filter((url) => !url.startsWith('data:') && !url.startsWith(pathToFileURL(folder).href))).toEqual([]);
    expect(await page.evaluate<string>("getComputedStyle(document.querySelector('section')).borderRadius")).toBe('10px');
    expect(await page.evaluate<boolean>('[...document.images].every((image) => image.naturalWidth > 0)')).toBe(true);
  });

  it.each(Object.keys(CASES) as (keyof typeof CASES)[])('%s: fits a telephone without scrolling sideways', async (name) => {
    await page.emulate({ width: 380 });
    await show(name, CASES[name]);
    expect(await page.evaluate<number>('document.documentElement.scrollWidth')).toBeLessThanOrEqual(380);
    await page.emulate({});
  });

  it('fits a sheet of paper, with what is folded away on a screen, and is light there whatever the reader prefers', async () => {
    await page.emulate({ width: 720, colours: 'dark', media: 'print' });
    for (const [name, input] of Object.entries(CASES)) {
      await show(name, input);
      expect(await page.evaluate<number>('document.documentElement.scrollWidth'), name).toBeLessThanOrEqual(720);
    }
    expect(await page.evaluate<string>("getComputedStyle(document.querySelector('header')).backgroundColor")).toBe('rgb(255, 255, 255)');
    await page.emulate({});
  });

  it('shows a hostile name as text', async () => {
    await show('hostile', CASES.hostile);
    const heading = await page.evaluate<string>("document.querySelector('h1').textContent");
    expect(heading).toContain(HOSTILE.slice(0, 30));
    expect(await page.evaluate<number>("document.querySelectorAll('script').length")).toBe(0);
  });

  it('is dark where the reader prefers it', async () => {
    const brightness = async (colours: 'light' | 'dark') => {
      await page.emulate({ colours });
      await show('match', CASES.match);
      const colour = await page.evaluate<string>('getComputedStyle(document.body).backgroundColor');
      return /\d+/.exec(colour)!.map(Number)[0]!;
    };
    expect(await brightness('dark')).toBeLessThan(60);
    expect(await brightness('light')).toBeGreaterThan(200);
  });
});
