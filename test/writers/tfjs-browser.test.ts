/** Written TensorFlow.js models in a browser: its own loader fetches them from a web server, and they predict what was recorded. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { convert } from '../../src/convert.js';
import { nodeFileSet } from '../../src/node/index.js';
import { openModel } from '../../src/readers/open.js';
import type { NdArray } from '../../src/verify/engine.js';
import { generateSample } from '../../src/verify/inputs.js';
import { referenceSession } from '../../src/verify/reference/session.js';
import { CHROMIUM, NO_CHROMIUM, openPage, type Page } from '../chromium.js';
import { DIGITS } from '../cli/run-cli.js';
import { readGolden } from '../golden.js';
import { VGG_NETS, type VggNet, vggFiles, vggInputShape } from '../vgg-nets.js';
import { serve, type WebServer } from '../web-server.js';

const FORMS = ['tfjs', 'tfjs-graph'] as const;
const DTYPES = ['float32', 'float16', 'uint16', 'uint8'] as const;
const SOURCES = { 'digits.h5': 'keras.npz', 'digits.pth': 'torch.npz', 'digits.caffemodel': 'caffe.npz' } as const;

/** How far rounded weights may move a probability; the digits nets' logits move a little further. */
const BOUNDS = { float32: 1e-4, float16: 0.05, uint16: 0.05, uint8: 1 } as const;

const SCRIPTS = ['tfjs-core/dist/tf-core', 'tfjs-backend-cpu/dist/tf-backend-cpu', 'tfjs-layers/dist/tf-layers', 'tfjs-converter/dist/tf-converter'];

const PAGE = `<!doctype html>
<title>TensorFlow.js</title>
<link rel="icon" href="data:,">
<script type="importmap">{"imports": {"fflate": "/node_modules/fflate/esm/browser.js"}}</script>
${SCRIPTS.map((path) => `<script src="/node_modules/@tensorflow/${path}.min.js"></script>`).join('\n')}
<script>
  async function predict(form, url, shape, values) {
    const model = await (form === 'tfjs' ? tf.loadLayersModel(url) : tf.loadGraphModel(url));
    const [input] = model.inputs;
    const sizes = [shape[0], ...input.shape.slice(1)];
    const nhwc = tf.tensor(values, shape);
    const fed = sizes.join() === shape.join() ? nhwc : tf.transpose(nhwc, [0, 2, 3, 1]);
    const predicted = model.predict(fed);
    const output = predicted.rank === 4 ? tf.transpose(predicted, [0, 3, 1, 2]) : predicted;
    const result = { shape: output.shape, values: [...await output.data()], backend: tf.getBackend() };
    model.dispose();
    return result;
  }
  /** Converts in the page, with the library itself, and predicts with what came out. */
  async function convertAndPredict(form, source, shape, values) {
    const { convert, memoryFileSet, memorySink } = await import('/dist/index.js');
    const bytes = new Uint8Array(await (await fetch('/demo/digits/' + source)).arrayBuffer());
    const sink = memorySink();
    await convert(memoryFileSet({ [source]: bytes }, source), sink, 'model.json', { to: form });
    const fetchFunc = async (url) => new Response(sink.files.get(new URL(url, location).pathname.split('/').at(-1)), {
      headers: { 'content-type': url.endsWith('.json') ? 'application/json' : 'application/octet-stream' },
    });
    return predict(form, tf.io.http('/made/model.json', { fetchFunc }), shape, values);
  }
</script>`;

interface Prediction {
  readonly shape: number[];
  readonly values: number[];
  readonly backend: string;
}

describe.skipIf(CHROMIUM === null && !NO_CHROMIUM.isRequired)(`in a browser${NO_CHROMIUM.why}`, () => {
  let page: Page;
  let server: WebServer;

  beforeAll(async () => {
    const files = new Map<string, Uint8Array | string>([['page.html', PAGE]]);
    for (const source of Object.keys(SOURCES)) {
      for (const form of FORMS) {
        for (const dtype of source === 'digits.h5' ? DTYPES : DTYPES.slice(0, 1)) {
          const original = await nodeFileSet(join(DIGITS, source));
          const sink = memorySink();
          await convert(original, sink, `${source}-${form}-${dtype}`, { to: form, dtype });
          await original.close();
          for (const [name, bytes] of sink.files) files.set(`model/${name}`, bytes);
        }
      }
    }
    for (const [i, net] of VGG_NETS.entries()) {
      for (const form of formsOf(net)) {
        const sink = memorySink();
        await convert(await vggFiles(net), sink, `vgg${i}-${form}`, { to: form, arch: net.arch, inputShape: vggInputShape(net) });
        for (const [name, bytes] of sink.files) files.set(`model/${name}`, bytes);
      }
    }
    server = await serve(files);
    page = await openPage();
    await page.goto(`${server.origin}/page.html`);
  });

  afterAll(async () => {
    await page?.close();
    await server?.close();
  });

  async function difference(call: string, golden: string): Promise<number> {
    const { input, output } = await readGolden(join(DIGITS, golden));
    const { shape, values } = await page.evaluate<Prediction>(`${call.slice(0, -1)}, ${JSON.stringify(input.shape)}, ${JSON.stringify([...input.data])})`);
    expect(shape).toEqual(output.shape);
    return Math.max(...values.map((value, i) => Math.abs(value - output.data[i]!)));
  }

  const CASES = Object.entries(SOURCES).flatMap(([source, golden]) =>
    FORMS.flatMap((form) => (source === 'digits.h5' ? DTYPES : DTYPES.slice(0, 1)).map((dtype) => ({ source, golden, form, dtype }))),
  );

  it.each(CASES)('$source as $form in $dtype predicts what was recorded', async ({ source, golden, form, dtype }) => {
    const found = await difference(`predict('${form}', '/model/${source}-${form}-${dtype}/model.json')`, golden);
    expect(found).toBeLessThan(BOUNDS[dtype]);
    // What is rounded must differ, or the weights were not those of the file.
    if (dtype !== 'float32') expect(found).toBeGreaterThan(0);
  });

  it.each(FORMS)('the library itself runs there: it converts to %s in the page', async (form) => {
    expect(await difference(`convertAndPredict('${form}', 'digits.h5')`, 'keras.npz')).toBeLessThan(1e-4);
  });

  const NETS = VGG_NETS.flatMap((net, i) => formsOf(net).map((form) => ({ title: net.title, form, i, net })));

  it.each(NETS)('VGG configuration $title as $form predicts what the reference evaluator does', async ({ net, form, i }) => {
    const map = await (await openModel(await vggFiles(net), { arch: net.arch, inputShape: vggInputShape(net) })).map();
    const [input] = generateSample(map.inputs, 0, 5);
    const session = await referenceSession(map);
    const [expected] = (await session.run(new Map([[map.inputs[0]!.name, input!]]))).values() as Iterable<NdArray>;
    const found = await page.evaluate<Prediction>(
      `predict('${form}', '/model/vgg${i}-${form}/model.json', ${JSON.stringify(input!.shape)}, ${JSON.stringify([...input!.data].map(Number))})`,
    );
    expect(found.shape).toEqual(expected!.shape);
    const scale = Math.max(...Array.from(expected!.data as Float64Array, Math.abs));
    expect(scale).toBeGreaterThan(0);
    expect(Math.max(...found.values.map((value, at) => Math.abs(value - Number(expected!.data[at])))) / scale).toBeLessThan(2e-5);
  });

  it('nothing in the page fails, and nothing is fetched from elsewhere', () => {
    expect(page.console.filter((line) => /^(error|exception)/.test(line))).toEqual([]);
    expect(page.requests.filter((url) => !url.startsWith(server.origin) && !url.startsWith('data:'))).toEqual([]);
  });
});

/** TensorFlow.js has no layer for local response normalisation. */
function formsOf({ arch }: VggNet): readonly (typeof FORMS)[number][] {
  return arch?.endsWith('-lrn') ? ['tfjs-graph'] : FORMS;
}
