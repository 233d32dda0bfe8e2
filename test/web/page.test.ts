/** The page, clicked through in a browser: every kind of source, to other formats, proven, compared, cancelled, and what is no model. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { unzipSync } from 'fflate';
import { build } from 'vite';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { type ConvertOptions, convert } from '../../src/convert.js';
import { nodeFileSet } from '../../src/node/index.js';
import { CHROMIUM, NO_CHROMIUM, openPage, type Page } from '../chromium.js';
import { DIGITS } from '../cli/run-cli.js';
import { byte, int, liteModel, table } from '../lite-models.js';
import { writeSavedModel } from '../saved-model.js';
import { graphDef, placeholder } from '../tf-graphs.js';
import { serve, type WebServer } from '../web-server.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const AXE = readFileSync(join(ROOT, 'node_modules/axe-core/axe.min.js'), 'utf8');
const hash = async (bytes: Uint8Array) => Buffer.from(await crypto.subtle.digest('SHA-256', Uint8Array.from(bytes))).toString('hex');
const fixture = (path: string) => join(ROOT, 'test/fixtures', path);

/** Two filters of 2 x 2 over one channel, and a bias. */
const CONVOLUTION = liteModel(
  [
    { name: 'x', shape: [1, 3, 3, 1], type: 0 },
    { name: 'kernel', shape: [2, 2, 2, 1], type: 0, data: new Uint8Array(Float32Array.of(1, -2, 3, 0.5, 2, -1, 0.25, 4).buffer) },
    { name: 'bias', shape: [2], type: 0, data: new Uint8Array(Float32Array.of(0.5, -1).buffer) },
    { name: 'y', shape: [1, 2, 2, 2], type: 0 },
  ],
  [{ code: 3, inputs: [0, 1, 2], outputs: [3], options: table(byte(1), int(1), int(1), byte(3)) }],
  [0],
  [3],
);

const RELU = { name: 'y', op: 'Relu', input: ['x'], attr: { T: { type: 1 } } };

describe.skipIf(CHROMIUM === null && !NO_CHROMIUM.isRequired)(`the page${NO_CHROMIUM.why}`, () => {
  let folder: string;
  let server: WebServer;
  let page: Page;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'weighbridge-web-'));
    const site = join(folder, 'site');
    await build({ configFile: join(ROOT, 'web/vite.config.ts'), logLevel: 'error', build: { outDir: site } });
    // Below a path, as many a static host has it.
    const names = readdirSync(site, { recursive: true, encoding: 'utf8' }).filter((name) => /\.\w+$/.test(name));
    const files = new Map(names.map((name) => [`tool/${name.replaceAll('\\', '/')}`, readFileSync(join(site, name))]));
    server = await serve(files);
    const options: Readonly<Record<string, ConvertOptions>> = {
      tfjs: { to: 'tfjs' },
      graph: { to: 'tfjs-graph' },
      'labelled.onnx': { labels: Array.from({ length: 10 }, (_, i) => `numeral ${i}`) },
    };
    for (const to of ['model.onnx', 'labelled.onnx', 'model.safetensors', 'model.npz', 'model.keras', 'tfjs', 'graph']) {
      const sink = memorySink();
      const source = await nodeFileSet(join(DIGITS, 'digits.h5'));
      await convert(source, sink, to, options[to] ?? {});
      await source.close();
      for (const [name, bytes] of sink.files) {
        mkdirSync(join(folder, name, '..'), { recursive: true });
        writeFileSync(join(folder, name), bytes);
      }
    }
    // Shards of tensorflowjs_converter have no extension until its version 1.3.
    const [shard] = readdirSync(own('tfjs')).filter((name) => name.endsWith('.bin'));
    const bare = shard!.replace(/\.bin$/, '');
    mkdirSync(own('tfjs-1.2'));
    writeFileSync(own(`tfjs-1.2/${bare}`), readFileSync(own(`tfjs/${shard}`)));
    writeFileSync(own('tfjs-1.2/model.json'), readFileSync(own('tfjs/model.json'), 'utf8').replaceAll(shard!, bare));
    writeFileSync(own('model.tflite'), CONVOLUTION);
    writeFileSync(own('frozen.pb'), graphDef({ nodes: [placeholder('x', [2, 3]), RELU], weights: {}, inputs: ['x'], outputs: ['y'] }));
    await writeSavedModel(own('saved'));
    // Chromium brings a program that computes as a GPU does.
    page = await openPage(['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader']);
    await page.emulate({});
  });

  afterAll(async () => {
    await page?.close();
    await server?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  beforeEach(async () => {
    await page.goto(`${server.origin}/tool/`);
    await page.waitFor(`document.querySelector('#version').textContent`);
  });

  const own = (name: string) => join(folder, name);
  const text = (selector: string) => page.evaluate<string>(`document.querySelector(${JSON.stringify(selector)})?.innerText ?? ''`);
  const isShown = (selector: string) => `document.querySelector('${selector}') && !document.querySelector('${selector}').hidden`;

  async function give(...paths: string[]): Promise<void> {
    await page.setFiles(statSync(paths[0]!).isDirectory() ? '#folder' : '#files', paths);
    await page.waitFor(`(${isShown('#model')}) || (${isShown('#trouble')}) || (${isShown('#comparison')})`);
  }

  async function choose(name: string, value: string): Promise<void> {
    await page.evaluate(`(() => {
      const field = document.querySelector('#convert-form [name=${name}]');
      if (field.type === 'checkbox') field.checked = ${value === 'on'};
      else field.value = '${value}';
      field.dispatchEvent(new Event('change', { bubbles: true }));
    })()`);
  }

  /** @returns what the page says when it is done */
  async function convertTo(to: string): Promise<string> {
    await choose('to', to);
    await page.click('#start');
    await page.waitFor(`document.querySelector('#working').hidden && (document.querySelector('#result section') || (${isShown('#trouble')}))`, 60_000);
    expect(await text('#trouble')).toBe('');
    return text('#status');
  }

  interface Source {
    readonly title: string;
    readonly files: () => string[];
    readonly says: RegExp;
    /** What a program does not say. */
    readonly inputShape?: string;
    readonly to: string;
    readonly verdict: string;
  }

  const SOURCES: readonly Source[] = [
    { title: 'Keras HDF5', files: () => [join(DIGITS, 'digits.h5')], says: /22/, to: 'onnx', verdict: 'match' },
    { title: 'Keras 3 archive', files: () => [own('model.keras')], says: /predictions/, to: 'tfjs', verdict: 'match' },
    { title: 'PyTorch', files: () => [join(DIGITS, 'digits.pth')], says: /float32/, to: 'onnx', verdict: 'match' },
    {
      title: 'Caffe',
      files: () => [join(DIGITS, 'digits.caffemodel'), join(DIGITS, 'digits.prototxt')],
      says: /digits\.prototxt/,
      to: 'tfjs-graph',
      verdict: 'match',
    },
    { title: 'ONNX', files: () => [own('model.onnx')], says: /predictions/, to: 'keras-h5', verdict: 'match' },
    {
      title: 'TensorFlow.js layers model',
      files: () => readdirSync(own('tfjs')).map((name) => own(`tfjs/${name}`)),
      says: /predictions/,
      to: 'onnx',
      verdict: 'match',
    },
    {
      title: 'TensorFlow.js layers model',
      files: () => readdirSync(own('tfjs-1.2')).map((name) => own(`tfjs-1.2/${name}`)),
      says: /predictions/,
      to: 'keras-v3',
      verdict: 'match',
    },
    {
      title: 'TensorFlow.js graph model',
      files: () => readdirSync(own('graph')).map((name) => own(`graph/${name}`)),
      says: /predictions/,
      to: 'onnx',
      verdict: 'match',
    },
    { title: 'TensorFlow frozen graph or SavedModel', files: () => [own('frozen.pb')], says: /Relu/, to: 'onnx', verdict: 'match' },
    { title: 'TensorFlow frozen graph or SavedModel', files: () => [own('saved')], says: /MatMul/, to: 'tfjs-graph', verdict: 'match' },
    {
      title: 'PyTorch',
      files: () => [fixture('torchscript/frozen-residual/model.pt')],
      says: /TorchScript/,
      inputShape: '1,3,32,32',
      to: 'onnx',
      verdict: 'match',
    },
    { title: 'PyTorch', files: () => [fixture('torch-2/exported-asked/model.pt2')], says: /torch\.export/, to: 'onnx', verdict: 'match' },
    { title: 'TensorFlow Lite', files: () => [own('model.tflite')], says: /Conv/, to: 'onnx', verdict: 'match' },
    { title: 'safetensors', files: () => [own('model.safetensors')], says: /18 tensors/, to: 'npz', verdict: 'match' },
    { title: 'NumPy npz', files: () => [own('model.npz')], says: /18 tensors/, to: 'safetensors', verdict: 'match' },
  ];

  it.each(SOURCES)('$title is shown, converted to $to and proven', async ({ title, files, says, inputShape, to, verdict }) => {
    await give(...files());
    if (inputShape) {
      await page.evaluate(`(() => {
        document.querySelector('#say [name=inputShape]').value = '${inputShape}';
        document.querySelector('#say').requestSubmit();
      })()`);
      await page.waitFor(`!document.querySelector('#facts').innerText.includes('weights only')`);
    }
    expect((await text('#facts .verdict')).toLowerCase()).toBe(title.toLowerCase());
    expect(await text('#facts')).toMatch(says);
    expect(await convertTo(to)).toBe(`verified: ${verdict}`);
    expect((await text('#report header .verdict')).toLowerCase()).toBe(verdict);
    expect(await text('#command')).toContain('npx weighbridge convert');
  });

  it.each(['onnx', 'tfjs-graph'])('a net in %s is run through WebGPU, on what is named', async (to) => {
    // A small one: each of its shaders is made by a program as well.
    await give(own('model.tflite'));
    await page.waitFor(isShown('#device-field'));
    expect(await page.evaluate(`document.querySelector('#device').textContent`)).toMatch(/WebGPU.*google.*software/i);
    expect(await page.evaluate(`document.querySelector('[name=gpu]').checked`)).toBe(false);
    await choose('gpu', 'on');
    expect(await convertTo(to)).toBe('verified: match');
    expect(await text('#report')).toMatch(/webgpu.*WebGPU.*on google/i);
    expect(await text('#report')).not.toContain('computed on the CPU');
  });

  it('the net is drawn; a click on a layer shows its attributes, weights and filters', async () => {
    await give(join(DIGITS, 'digits.h5'));
    expect(await page.evaluate(`document.querySelectorAll('.canvas .box').length`)).toBeGreaterThan(10);
    await page.click('.canvas [data-layer]');
    await page.waitFor(`document.querySelector('#layer .distribution .histograms svg') && document.querySelector('#layer .mosaics img')`);
    expect(await text('#layer')).toMatch(/CONV[\s\S]*block1_conv1[\s\S]*12 × 3 × 3 × 3/i);
    await page.click('#tab-Tensors');
    await page.click('#read-weights');
    await page.waitFor(`document.querySelector('#view th:nth-child(5)')?.textContent === 'min'`);
  });

  it('on a wide window the picture stands beside the facts, and begins in the middle; what is said of a file is in the command', async () => {
    await page.emulate({ width: 1440 });
    await give(fixture('pytorch/vgg11-zip/model.pth'));
    const [facts, canvas, first] = await page.evaluate<{ left: number; right: number; top: number }[]>(
      `['#facts', '.canvas', '.canvas .box'].map((name) => document.querySelector(name).getBoundingClientRect().toJSON())`,
    );
    expect(canvas!.left).toBeGreaterThan(facts!.right);
    expect(canvas!.top).toBeLessThan(400);
    expect(Math.abs(first!.left + first!.right - canvas!.left - canvas!.right)).toBeLessThan(40);
    await page.evaluate(`(() => {
      document.querySelector('#say [name=assume]').value = 'features.0.strides=2';
      document.querySelector('#say').requestSubmit();
    })()`);
    await page.waitFor(`document.querySelector('#command').textContent.endsWith('--assume features.0.strides=2')`);
    await page.emulate({});
  });

  it('one is compared with another: equal, though the formats differ', async () => {
    await give(join(DIGITS, 'digits.h5'), own('model.onnx'));
    expect((await text('#comparison .verdict')).toLowerCase()).toBe('equal');
    expect(await text('#comparison .command')).toContain('npx weighbridge diff');
  });

  it('both sides look at pictures, and say the same, in the words that the model has for its classes', async () => {
    await give(own('labelled.onnx'));
    await choose('verify', 'off');
    await convertTo('tfjs-graph');
    expect(await text('#result')).toContain('classes are named as in');
    await page.evaluate(`document.querySelector('#preparation').value = 'unit'`);
    const images = readdirSync(join(DIGITS, 'images')).slice(0, 2);
    await page.setFiles(
      '#pictures',
      images.map((name) => join(DIGITS, 'images', name)),
    );
    await page.waitFor(`document.querySelectorAll('#seen article').length === 2 || (${isShown('#trouble')})`, 60_000);
    expect(await text('#trouble')).toBe('');
    expect(await page.evaluate(`document.querySelectorAll('#seen article.bad').length`)).toBe(0);
    expect(await text('#seen')).toMatch(/numeral \d/);
  });

  it('what was converted is saved as it was written', async () => {
    await give(join(DIGITS, 'digits.h5'));
    await choose('verify', 'off');
    await convertTo('safetensors');
    const expected = await hash(readFileSync(own('model.safetensors')).subarray(8));
    // What a user would choose in the picker.
    await page.evaluate(
      `window.showSaveFilePicker = async ({ suggestedName }) => (await navigator.storage.getDirectory()).getFileHandle(suggestedName, { create: true })`,
    );
    await page.click('#save');
    await page.waitFor(`document.querySelector('#status').textContent.startsWith('saved')`);
    const saved = await page.evaluate<string>(`(async () => {
      const file = await (await (await navigator.storage.getDirectory()).getFileHandle('digits.safetensors')).getFile();
      const digest = await crypto.subtle.digest('SHA-256', await file.slice(8).arrayBuffer());
      return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
    })()`);
    expect(saved).toBe(expected);
    // Without a picker it is a download.
    const named = await page.evaluate(`new Promise((resolve) => {
      window.showSaveFilePicker = undefined;
      HTMLAnchorElement.prototype.click = function () { resolve(this.download); };
      document.querySelector('#save').click();
    })`);
    expect(named).toBe('digits.safetensors');
  });

  it('several files are one archive where a page cannot write into a folder', async () => {
    await give(join(DIGITS, 'digits.h5'));
    await choose('verify', 'off');
    await convertTo('tfjs');
    const [name, base64] = await page.evaluate<[string, string]>(`new Promise((resolve) => {
      window.showDirectoryPicker = undefined;
      let saved;
      URL.createObjectURL = (blob) => { saved = blob; return '#'; };
      HTMLAnchorElement.prototype.click = async function () {
        const reader = new FileReader();
        reader.onload = () => resolve([this.download, reader.result.split(',')[1]]);
        reader.readAsDataURL(saved);
      };
      document.querySelector('#save').click();
    })`);
    expect(name).toBe('digits-tfjs.zip');
    const members = unzipSync(Buffer.from(base64, 'base64'));
    const weights = Object.keys(members).find((path) => path.endsWith('.bin'))!;
    expect(Object.keys(members)).toContain('digits-tfjs/model.json');
    expect(Buffer.from(members[weights]!)).toEqual(readFileSync(own(weights.replace('digits-tfjs/', 'tfjs/'))));
  });

  it('few codes are shown with what they take over the wire, and are judged', async () => {
    await give(join(DIGITS, 'digits.h5'));
    await choose('to', 'onnx');
    await choose('dtype', 'step-0.7');
    expect(await text('#command')).toMatch(/^npx weighbridge shrink digits\.h5 -o digits\.onnx --step 0\.7 --compress gzip$/);
    expect(await convertTo('onnx')).toBe('verified: match');
    const [, written, packed] = /([\d.]+) KiB.*; ([\d.]+) KiB over the wire/.exec(await text('#result .sub'))!.map(Number);
    expect(packed! * 2).toBeLessThan(written!);
    expect(await text('#result')).toContain('steps of 0.7');
    // A target without codes has no such choice.
    await choose('to', 'keras-h5');
    expect(await page.evaluate(`document.querySelector('#dtype').value`)).toBe('source');
  });

  it('a conversion that is cancelled leaves nothing, and the page goes on', async () => {
    await give(join(DIGITS, 'digits.h5'));
    // Pressed before the worker can answer.
    await page.evaluate(`document.querySelector('#start').click(), document.querySelector('#cancel').click()`);
    await page.waitFor(`document.querySelector('#status').textContent.startsWith('cancelled')`);
    expect(await page.evaluate(`document.querySelector('#result').children.length`)).toBe(0);
    await choose('verify', 'off');
    expect(await convertTo('onnx')).toContain('converted');
  });

  it('what is no model is refused with a reason, and so is half of one', async () => {
    writeFileSync(own('page.h5'), '<!doctype html><title>Sign in</title>');
    await give(own('page.h5'));
    expect(await text('#trouble')).toMatch(/page\.h5[\s\S]*a web page, not a model/);
    expect(await page.evaluate('document.activeElement.id')).toBe('trouble');
    await page.setFiles('#files', [join(DIGITS, 'digits.prototxt')]);
    await page.waitFor(`document.querySelector('#trouble').innerText.includes('digits.prototxt')`);
    await give(fixture('pytorch/vgg11-zip/model.pth'));
    await page.waitFor(isShown('#model'));
    expect(await page.evaluate(isShown('#trouble'))).toBe(false);
  });

  it('a model stays open, and can be converted, where the next file or what is said of it is refused', async () => {
    await give(join(DIGITS, 'digits.h5'));
    writeFileSync(own('other.h5'), 'no model');
    await page.setFiles('#files', [own('other.h5')]);
    await page.waitFor(isShown('#trouble'));
    await choose('verify', 'off');
    expect(await convertTo('safetensors')).toContain('converted');
    await give(join(DIGITS, 'digits.pth'));
    await page.evaluate(`(() => {
      document.querySelector('#say [name=arch]').value = 'vgg17';
      document.querySelector('#say').requestSubmit();
    })()`);
    await page.waitFor(isShown('#trouble'));
    await choose('verify', 'off');
    expect(await convertTo('onnx')).toContain('converted');
  });

  it('a model takes the place of one that is being converted, of which nothing is shown any more', async () => {
    await give(join(DIGITS, 'digits.h5'));
    await page.click('#start');
    await page.setFiles('#files', [own('model.npz')]);
    await page.setFiles('#files', [join(DIGITS, 'digits.pth')]);
    await page.waitFor(`document.querySelector('#facts .verdict')?.innerText.toLowerCase() === 'pytorch'`);
    await choose('verify', 'off');
    expect(await convertTo('safetensors')).toContain('converted');
    expect(await text('#result .name')).toBe('digits.safetensors');
    expect(await text('#facts .verdict')).toMatch(/pytorch/i);
    expect(await page.evaluate(`document.querySelectorAll('#result section').length`)).toBe(1);
  });

  it('files that are dropped are taken as those that are chosen', async () => {
    await page.evaluate(`(async () => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([await (await fetch(document.querySelector('link[rel=icon]').href)).blob()], 'icon.bin'));
      document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: transfer, bubbles: true, cancelable: true }));
    })()`);
    await page.waitFor(isShown('#trouble'));
    expect(await text('#trouble')).toContain('icon.bin cannot be read');
  });

  it('it is worked with the keyboard alone', async () => {
    for (let i = 0; i < 12 && (await page.evaluate<string>('document.activeElement.id')) !== 'example'; i++) await page.press('Tab');
    await page.press('Enter');
    await page.waitFor(isShown('#model'));
    await page.evaluate(`document.querySelector('.canvas').focus()`);
    await page.press('ArrowDown');
    await page.press('ArrowDown');
    expect(await text('#layer h3')).toBe('block1_conv1/Relu');
    await page.evaluate(`document.querySelector('#tab-Graph').focus()`);
    await page.press('ArrowRight');
    expect(await page.evaluate('document.activeElement.id')).toBe('tab-Layers');
    await page.evaluate(`document.querySelector('#start').focus()`);
    await page.press('Enter');
    await page.waitFor(`document.querySelector('#report')`, 60_000);
  });

  async function check(): Promise<void> {
    await page.evaluate(AXE);
    const { violations } = await page.evaluate<{ violations: { id: string; impact: string; nodes: { html: string; failureSummary: string }[] }[] }>(
      `axe.run(document).then(({ violations }) => ({ violations: violations.map(({ id, impact, nodes }) => ({ id, impact, nodes: nodes.slice(0, 2).map(({ html, failureSummary }) => ({ html: html.slice(0, 200), failureSummary })) })) }))`,
    );
    expect(violations).toEqual([]);
  }

  it.each(['light', 'dark'] as const)('a screen reader has what it needs, and colours can be told apart (%s)', async (colours) => {
    await page.emulate({ colours });
    await check();
    await page.click('#example');
    await page.waitFor(isShown('#model'));
    await page.click('.canvas [data-layer]');
    await page.waitFor(`document.querySelector('#layer .histograms')`);
    await page.click('#start');
    await page.waitFor(`document.querySelector('#report')`, 60_000);
    await check();
    await page.click('#tab-Layers');
    await check();
    await page.emulate({});
  });

  it('on a phone nothing has to be scrolled sideways, and what is wider can be reached by keys', async () => {
    await page.emulate({ width: 360, height: 740 });
    const overhang = () => page.evaluate<number>('document.documentElement.scrollWidth - document.documentElement.clientWidth');
    expect(await overhang()).toBe(0);
    await give(join(DIGITS, 'digits.h5'));
    await page.click('#start');
    await page.waitFor(`document.querySelector('#report')`, 60_000);
    for (const tab of ['Layers', 'Tensors', 'Graph']) {
      await page.click(`#tab-${tab}`);
      expect(await overhang(), tab).toBe(0);
    }
    await check();
    await give(join(DIGITS, 'digits.h5'), join(DIGITS, 'digits.pth'));
    await page.waitFor(isShown('#comparison'));
    expect(await overhang()).toBe(0);
    await check();
    await page.emulate({});
  });

  it('without a network it works as with one, once it was there', async () => {
    await page.waitFor(`document.querySelector('#offline').textContent !== ''`);
    await page.offline(true);
    await server.close();
    await page.goto(`${server.origin}/tool/`);
    await give(join(DIGITS, 'digits.h5'));
    expect(await convertTo('onnx')).toBe('verified: match');
    await page.offline(false);
  });

  it('nothing was asked of anyone else, and no policy was broken', () => {
    expect(page.requests.filter((url) => !url.startsWith(server.origin) && !/^(data|blob):/.test(url))).toEqual([]);
    expect(page.complaints.filter((line) => /policy|refused/i.test(line))).toEqual([]);
    expect(page.console.filter((line) => /^exception/.test(line))).toEqual([]);
  });
});
