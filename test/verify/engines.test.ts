/** One suite for all engines that run on the CPU: outputs and inner values of the digits net against the reference evaluator. */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { type ConvertOptions, convert } from '../../src/convert.js';
import type { LayerMap } from '../../src/model/layer-map.js';
import { nodeFileSet } from '../../src/node/index.js';
import { openModel } from '../../src/readers/open.js';
import { toLayout } from '../../src/verify/array.js';
import type { EngineModel, NdArray, Session } from '../../src/verify/engine.js';
import { engines, selectEngine } from '../../src/verify/engines/index.js';
import { generateSample } from '../../src/verify/inputs.js';
import { runLayers } from '../../src/verify/reference/session.js';
import { DIGITS } from '../cli/run-cli.js';

const folder = mkdtempSync(join(tmpdir(), 'weighbridge-engines-'));

function engineNamed(name: string) {
  return engines.find((engine) => engine.name === name)!;
}

/** Converts a file of the demo and puts the result on disk. */
async function written(source: string, name: string, options: ConvertOptions = {}): Promise<EngineModel> {
  const sink = memorySink();
  const files = await nodeFileSet(join(DIGITS, source));
  await convert(files, sink, name, options);
  await files.close();
  for (const [file, bytes] of sink.files) writeFileSync(join(folder, file), bytes);
  const path = join(folder, name);
  return { files: await nodeFileSet(path), path };
}

async function original(source: string): Promise<{ map: LayerMap; model: EngineModel }> {
  const path = join(DIGITS, source);
  const files = await nodeFileSet(path);
  const map = await (await openModel(files)).map();
  return { map, model: { files, path, ...(source.endsWith('.caffemodel') ? { prototxt: 'digits.prototxt' } : {}) } };
}

/** max|a - b| / max|b|. */
function distance(found: NdArray, expected: NdArray): number {
  expect(found.data.length).toBe(expected.data.length);
  let [difference, scale] = [0, 0];
  for (let i = 0; i < expected.data.length; i++) {
    difference = Math.max(difference, Math.abs(Number(found.data[i]) - Number(expected.data[i])));
    scale = Math.max(scale, Math.abs(Number(expected.data[i])));
  }
  return difference / scale;
}

/** Every layer's output by the reference evaluator, channels-first, for two samples of one batch. */
async function referenceValues(map: LayerMap) {
  const [port] = map.inputs;
  const [one, two] = [generateSample(map.inputs, 0, 1), generateSample(map.inputs, 1, 1)].map((feeds) => feeds.get(port!.name)!);
  const data = new Float32Array([...(one!.data as Float32Array), ...(two!.data as Float32Array)]);
  const feed: NdArray = { shape: [2, ...one!.shape.slice(1)], data };
  const values = new Map<string, NdArray>();
  await runLayers(map, new Map([[port!.name, feed]]), (layer, value) => void values.set(layer.name, value));
  return { feed, port: port!, values };
}

/** @param layerOf the layer of the map that makes a value of the session's */
async function compareLayers(session: Session, map: LayerMap, layerOf: (name: string) => string | undefined, channelsLast: boolean): Promise<number> {
  const { feed, port, values } = await referenceValues(map);
  const input = session.inputs[0]!;
  const feeds = new Map([[input.name, toLayout(feed, port.layout, channelsLast ? 'nhwc' : input.layout === 'nchw' ? 'nchw' : port.layout)]]);
  let compared = 0;
  for (const name of session.intermediates!) {
    const expected = values.get(layerOf(name) ?? '');
    if (!expected) continue;
    // One at a time, as a comparison in bounded memory does it.
    const found = (await session.run(feeds, [name])).get(name)!;
    expect(distance(channelsLast ? toLayout(found, 'nhwc', 'nchw') : found, expected), name).toBeLessThan(5e-6);
    compared++;
  }
  const outputs = await session.run(feeds);
  expect([...outputs.keys()]).toEqual(session.outputs.map(({ name }) => name));
  await expect(session.run(feeds, ['no such value'])).rejects.toMatchObject({ kind: 'engine', problem: expect.stringContaining('no such value') });
  await session.close();
  return compared;
}

describe.each(['ort-cpu', 'ort-wasm'])('%s', (name) => {
  test.each([
    ['one file', {}],
    ['external data', { externalData: true }],
    ['float16 weights behind a Cast', { dtype: 'float16' }],
  ] as const)('shows the values inside the net: %s', async (title, options) => {
    const model = await written('digits.pth', `${name}-${title.split(' ')[0]}.onnx`, options);
    const { map } = await original('digits.pth');
    const session = await engineNamed(name).open({ ...model, layers: true });
    // Weights behind a Cast are values too, but not of the net.
    expect(session.intermediates).toHaveLength(map.layers.length - 1);
    const layers = new Map(map.layers.map((layer) => [layer.outputs[0]!, layer.name]));
    // Rounded weights make other values; only that they are all there is seen then.
    if ('dtype' in options) await session.close();
    else expect(await compareLayers(session, map, (value) => layers.get(value), false)).toBe(map.layers.length - 1);
    await model.files.close();
  });

  test('keeps to the outputs of the file where nobody asks for more', async () => {
    const session = await engineNamed(name).open(await written('digits.pth', `${name}-plain.onnx`));
    expect(session.intermediates).toBeUndefined();
    expect(session.outputs).toHaveLength(1);
    await session.close();
  });
});

test.each(['tfjs-wasm', 'tfjs-cpu'])('%s shows the values inside the original Keras net', async (name) => {
  const { map, model } = await original('digits.h5');
  const session = await engineNamed(name).open({ ...model, layers: true });
  // A layer's activation is a layer of its own in the map; the session shows what comes after it.
  // Flattening puts the values in another order where channels are last.
  const layerOf = (name: string) =>
    map.layers.findLast(({ name: candidate, op }) => op !== 'Flatten' && (candidate === name || candidate.startsWith(`${name}/`)))?.name;
  expect(await compareLayers(session, map, layerOf, true)).toBeGreaterThan(8);
});

test('opencv shows the values inside the original Caffe net', async () => {
  const { map, model } = await original('digits.caffemodel');
  const session = await engineNamed('opencv').open({ ...model, layers: true });
  expect(await compareLayers(session, map, (layer) => layer, false)).toBeGreaterThan(15);
});

describe('choosing an engine', () => {
  test('an engine that does not run the format is a usage error that names those that do', async () => {
    await expect(selectEngine('onnx', { engine: 'opencv' })).rejects.toMatchObject({ kind: 'usage', problem: expect.stringContaining('ort-cpu') });
  });

  test('without a wish it is one on the CPU', async () => {
    expect((await selectEngine('onnx')).engine.device).toBe('cpu');
  });
});
