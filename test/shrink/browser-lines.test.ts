/** The lines of docs/shrink.md that load packed models in a page do load them, in the runtimes that they name. */
import '@tensorflow/tfjs-backend-cpu';
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import * as core from '@tensorflow/tfjs-core';
import { loadLayersModel } from '@tensorflow/tfjs-layers';
import * as ort from 'onnxruntime-web';
import { expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { convert } from '../../src/convert.js';
import { serve } from '../web-server.js';

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
