/** Compares what a session shows inside a net with the reference evaluator, value by value. */
import { join } from 'node:path';
import { expect } from 'vitest';
import type { LayerMap } from '../../src/model/layer-map.js';
import { openModel } from '../../src/readers/open.js';
import { toLayout } from '../../src/verify/array.js';
import type { EngineModel, NdArray, Session } from '../../src/verify/engine.js';
import { generateSample } from '../../src/verify/inputs.js';
import { runLayers } from '../../src/verify/reference/session.js';
import { DIGITS } from '../cli/run-cli.js';
import { openedFiles } from '../open-files.js';

/** On nets of the demo's size no engine is further from float64 than this part of a value's scale. */
const BOUND = 5e-6;
/** Values asked for at once. */
const PART = 7;

/** A file of the demo as a reader and as an engine see it. */
export async function demoNet(name: string): Promise<{ map: LayerMap; model: EngineModel }> {
  const path = join(DIGITS, name);
  const files = await openedFiles(path);
  const map = await (await openModel(files)).map();
  return { map, model: { files, path, ...(name.endsWith('.caffemodel') ? { prototxt: 'digits.prototxt' } : {}) } };
}

/** max|a - b| / max|b|. */
export function distance(found: NdArray, expected: NdArray): number {
  expect(found.data.length).toBe(expected.data.length);
  let [difference, scale] = [0, 0];
  for (let i = 0; i < expected.data.length; i++) {
    const apart = Math.abs(Number(found.data[i]) - Number(expected.data[i]));
    if (!(apart <= difference)) difference = Number.isNaN(apart) ? Number.POSITIVE_INFINITY : apart;
    scale = Math.max(scale, Math.abs(Number(expected.data[i])));
  }
  return difference / scale;
}

/** Every layer's output by the reference evaluator, channels-first, for two samples in one batch. */
async function referenceValues(map: LayerMap) {
  const [port] = map.inputs;
  const [one, two] = [generateSample(map.inputs, 0, 1), generateSample(map.inputs, 1, 1)].map(([feed]) => feed!);
  const data = new Float32Array([...(one!.data as Float32Array), ...(two!.data as Float32Array)]);
  const feed: NdArray = { shape: [2, ...one!.shape.slice(1)], data };
  const values = new Map<string, NdArray>();
  await runLayers(map, [feed], (layer, value) => void values.set(layer.name, value));
  return { feed, port: port!, values };
}

/**
 * Asks for a few values at a time, as a comparison in bounded memory does it, and closes the session.
 *
 * @param layerOf the layer of the map that makes a value of the session's
 * @returns how many values were compared
 */
export async function compareLayers(session: Session, map: LayerMap, layerOf: (name: string) => string | undefined, channelsLast: boolean): Promise<number> {
  const { feed, port, values } = await referenceValues(map);
  const input = session.inputs[0]!;
  const layout = channelsLast ? 'nhwc' : input.layout === 'nchw' ? 'nchw' : port.layout;
  const feeds = new Map([[input.name, toLayout(feed, port.layout, layout)]]);
  const comparable = session.intermediates!.filter((name) => values.has(layerOf(name) ?? ''));
  for (let start = 0; start < comparable.length; start += PART) {
    const part = comparable.slice(start, start + PART);
    const found = await session.run(feeds, part);
    expect([...found.keys()]).toEqual(part);
    for (const [name, value] of found) {
      const expected = values.get(layerOf(name)!)!;
      expect(distance(channelsLast ? toLayout(value, 'nhwc', 'nchw') : value, expected), name).toBeLessThan(BOUND);
    }
  }
  const outputs = await session.run(feeds);
  expect([...outputs.keys()]).toEqual(session.outputs.map(({ name }) => name));
  await expect(session.run(feeds, ['no such value'])).rejects.toMatchObject({ kind: 'engine', problem: expect.stringContaining('no such value') });
  await session.close();
  return comparable.length;
}

/** A Keras layer's activation is a layer of its own in the map, and the session shows what comes after it. Flattening puts the
 * values in another order where channels are last, so it is left out. */
export function kerasLayerOf(map: LayerMap): (name: string) => string | undefined {
  return (name) => map.layers.findLast(({ name: candidate, op }) => op !== 'Flatten' && (candidate === name || candidate.startsWith(`${name}/`)))?.name;
}
