/** The lines of docs/shrink.md that load packed models in a page do load them, in the runtimes that they name. */
import '@tensorflow/tfjs-backend-cpu';
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import * as core from '@tensorflow/tfjs-core';
import { loadLayersModel } from '@tensorflow/tfjs-layers';
import * as ort from 'onnxruntime-web';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { convert } from '../../src/convert.js';
import { CHROMIUM, NO_CHROMIUM, openPage, type Page } from '../chromium.js';
import { serve, type WebServer } from '../web-server.js';

const page = readFileSync(new URL('../../docs/shrink.md', import.meta.url), 'utf8');
const blocks = [...page.matchAll(/```js\n([\s\S]*?)```/g)].map(([, code]) => code!);
const digits = new Uint8Array(readFileSync(new URL('../../demo/digits/digits.h5', import.meta.url)));

/** The demo's net in a format, packed, as a server has it; only the packed files are there. */
async function packed(to: string, name: string): Promise<Map<string, Uint8Array>> {
  const sink = memorySink();
  await convert(memoryFileSet({ 'digits.h5': digits }, 'digits.h5'), sink, name, { to });
  return new Map(
    [...sink.files].map(([file, bytes]) => [`models/${file.startsWith('web') ? file : to === 'tfjs' ? `web/${file}` : file}.gz`, gzipSync(bytes)]),
  );
}

/** Runs a block as a page of that server would, and gives what it named. */
async function run(code: string, origin: string, result: string, names: Readonly<Record<string, unknown>>): Promise<unknown> {
  const own = (url: string, init?: RequestInit) => fetch(new URL(url, `${origin}/`), init);
  const AsyncFunction = (async () => {}).constructor as new (...args: string[]) => (...values: unknown[]) => Promise<unknown>;
  const all = { ...names, fetch: own };
  return new AsyncFunction(...Object.keys(all), `${code}; return ${result};`)(...Object.values(all));
}

it('there are two of them', () => expect(blocks).toHaveLength(2));

it('ONNX Runtime Web takes the model', async () => {
  const server = await serve(await packed('onnx', 'model.onnx'));
  try {
    const session = (await run(blocks[0]!, server.origin, 'session', { ort })) as ort.InferenceSession;
    expect(session.outputNames).toEqual(['predictions']);
  } finally {
    await server.close();
  }
});

it('TensorFlow.js takes the model and the weights that it names', async () => {
  const server = await serve(await packed('tfjs', 'web'));
  try {
    await core.setBackend('cpu');
    const model = (await run(blocks[1]!, server.origin, 'model', { tf: { io: core.io, loadLayersModel } })) as Awaited<ReturnType<typeof loadLayersModel>>;
    expect(model.countParams()).toBe(53_126);
    model.dispose();
  } finally {
    await server.close();
  }
});

/** The runtimes as a page has them: scripts, from whoever serves it. */
const SCRIPTS = [
  'onnxruntime-web/dist/ort.min.js',
  '@tensorflow/tfjs-core/dist/tf-core.min.js',
  '@tensorflow/tfjs-layers/dist/tf-layers.min.js',
  '@tensorflow/tfjs-backend-cpu/dist/tf-backend-cpu.min.js',
];

describe.skipIf(CHROMIUM === null && !NO_CHROMIUM.isRequired)(`in a browser${NO_CHROMIUM.why}`, () => {
  let server: WebServer;
  let page: Page;
  beforeAll(async () => {
    const html = SCRIPTS.map((path) => `<script src="/node_modules/${path}"></script>`).join('\n');
    server = await serve(
      new Map<string, Uint8Array | string>([['index.html', html], ...(await packed('onnx', 'model.onnx')), ...(await packed('tfjs', 'web'))]),
    );
    page = await openPage();
    await page.goto(`${server.origin}/`);
  });
  afterAll(async () => {
    await page?.close();
    await server?.close();
  });
  const inPage = (code: string, result: string) => page.evaluate<unknown>(`(async () => { ${code}; return ${result}; })()`);

  it('ONNX Runtime Web inflates the model and runs it', async () => {
    const run = `(await session.run({ [session.inputNames[0]]: new ort.Tensor('float32', new Float32Array(32 * 32 * 3), [1, 32, 32, 3]) })).predictions.data`;
    const sum = await inPage(blocks[0]!, `[...${run}].reduce((a, b) => a + b, 0)`);
    expect(Math.abs((sum as number) - 1)).toBeLessThan(1e-5);
  });

  it('TensorFlow.js inflates the model and its weights, and runs it', async () => {
    const sum = await inPage(
      `await tf.setBackend('cpu'); ${blocks[1]!}`,
      '[...(await model.predict(tf.zeros([1, 32, 32, 3])).data())].reduce((a, b) => a + b, 0)',
    );
    expect(Math.abs((sum as number) - 1)).toBeLessThan(1e-5);
    expect(page.requests.filter((url) => url.includes('/models/')).every((url) => url.endsWith('.gz'))).toBe(true);
  });
});
