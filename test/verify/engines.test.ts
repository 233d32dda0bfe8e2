/** One suite for all engines that run on the CPU: outputs and inner values of the digits net against the reference evaluator. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { type ConvertOptions, convert } from '../../src/convert.js';
import type { Adapter, Engine, EngineHost, EngineModel } from '../../src/verify/engine.js';
import { engines, placed, selectEngine, witnessEngines } from '../../src/verify/engines/index.js';
import { explainWebgpu } from '../../src/verify/engines/ort-webgpu.js';
import { generateSample } from '../../src/verify/inputs.js';
import { DIGITS, temporaryFolder } from '../cli/run-cli.js';
import { openedFiles } from '../open-files.js';
import { compareLayers, demoNet, distance, kerasLayerOf } from './engine-layers.js';

const folder = temporaryFolder();

function engineNamed(name: string) {
  return engines.find((engine) => engine.name === name)!;
}

/** Converts a file of the demo and puts the result on disk. */
async function written(source: string, name: string, options: ConvertOptions = {}): Promise<EngineModel> {
  const sink = memorySink();
  const files = await openedFiles(join(DIGITS, source));
  await convert(files, sink, name, options);
  await files.close();
  for (const [file, bytes] of sink.files) writeFileSync(join(folder, file), bytes);
  const path = join(folder, name);
  return { files: await openedFiles(path), path };
}

describe.each(['ort-cpu', 'ort-wasm'])('%s', (name) => {
  test.each([
    ['one file', {}],
    ['external data', { externalData: true }],
    ['float16 weights behind a Cast', { dtype: 'float16' }],
  ] as const)('shows the values inside the net: %s', async (title, options) => {
    const model = await written('digits.pth', `${name}-${title.split(' ')[0]}.onnx`, options);
    const { map } = await demoNet('digits.pth');
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

test('int8 weights are multiplied in float32 by every build: none rounds the other operand as well', async () => {
  const model = await written('digits.h5', 'int8.onnx', { dtype: 'int8' });
  const { map } = await demoNet('digits.h5');
  const [feed] = generateSample(map.inputs, 0, 0);
  const [native, wasm] = await Promise.all(
    ['ort-cpu', 'ort-wasm'].map(async (name) => {
      const session = await engineNamed(name).open(model);
      const [found] = (await session.run(new Map([[session.inputs[0]!.name, feed!]]))).values();
      await session.close();
      return found!;
    }),
  );
  expect(distance(native!, wasm!)).toBeLessThan(2e-6);
});

test.each(['tfjs-wasm', 'tfjs-cpu'])('%s shows the values inside the original Keras net', async (name) => {
  const { map, model } = await demoNet('digits.h5');
  const session = await engineNamed(name).open({ ...model, layers: true });
  expect(await compareLayers(session, map, kerasLayerOf(map), true)).toBeGreaterThan(8);
});

test('opencv shows the values inside the original Caffe net', async () => {
  const { map, model } = await demoNet('digits.caffemodel');
  const session = await engineNamed('opencv').open({ ...model, layers: true });
  expect(await compareLayers(session, map, (layer) => layer, false)).toBeGreaterThan(15);
});

test('opencv finds the weights of a net that is named by its prototxt', async () => {
  const files = await openedFiles(join(DIGITS, 'digits.prototxt'));
  const session = await engineNamed('opencv').open({ files, prototxt: 'digits.prototxt' });
  expect(session.outputs.map(({ name }) => name)).toEqual(['prob']);
  await session.close();
  await files.close();
});

test('what ONNX Runtime cannot do on a GPU is said with the way on', () => {
  const seen =
    "Non-zero status code returned while running BatchNormalization node. Name:'bn1_token_6' Status Message: absl::container_internal::raw_hash_map<>::at";
  expect(explainWebgpu(seen)).toMatch(/float16 on a GPU. --fold-batchnorm takes it/);
  expect(explainWebgpu("running Conv node. Name:'c' Status Message: raw_hash_map<>::at")).toBeUndefined();
});

describe('choosing an engine', () => {
  /** A host on a machine with the given adapter; the engines themselves are not touched. */
  function hostWith(adapter: Adapter | null): EngineHost & { readonly asked: string[] } {
    const asked: string[] = [];
    return {
      asked,
      async availability(engine: Engine) {
        asked.push(engine.name);
        return adapter ? { available: true, detail: `on ${adapter.name}`, adapter } : { available: false, detail: 'no adapter' };
      },
      open: async () => Promise.reject(new Error('nothing is opened here')),
      end: () => {},
      close: async () => {},
    };
  }
  const hardware: Adapter = { name: 'nvidia lovelace', software: false };
  const software: Adapter = { name: 'llvmpipe (software, no GPU)', software: true };

  test('an engine that does not run the format is a usage error that names those that do', async () => {
    await expect(selectEngine('onnx', { engine: 'opencv' })).rejects.toMatchObject({ kind: 'usage', problem: expect.stringContaining('ort-cpu') });
  });

  test('without a wish it is one on the CPU, and no GPU is looked for', async () => {
    const host = hostWith(hardware);
    expect((await selectEngine('onnx', { host })).engine.device).toBe('cpu');
    expect(host.asked).toEqual([]);
  });

  test.each([
    ['onnx', 'gpu', hardware, 'ort-webgpu'],
    ['onnx', 'gpu', software, 'ort-webgpu'],
    ['tfjs', 'gpu', hardware, 'tfjs-webgpu'],
    ['tfjs-graph', 'gpu', software, 'tfjs-webgpu'],
    ['onnx', 'auto', hardware, 'ort-webgpu'],
    ['onnx', 'auto', software, 'ort-cpu'],
    ['onnx', 'auto', null, 'ort-cpu'],
    ['onnx', 'cpu', hardware, 'ort-cpu'],
  ] as const)('%s with --device %s and %o is run by %4$s', async (format, device, adapter, name) => {
    const { engine, availability } = await selectEngine(format, { device, host: hostWith(adapter) });
    expect(engine.name).toBe(name);
    expect(availability.adapter).toEqual(engine.device === 'gpu' ? adapter : undefined);
  });

  test('--device gpu without an adapter is an error that says for each engine why, never the CPU', async () => {
    const error = selectEngine('onnx', { device: 'gpu', host: hostWith(null) });
    await expect(error).rejects.toMatchObject({ kind: 'engine', problem: expect.stringMatching(/on a GPU\. ort-webgpu, ort-cuda: no adapter\./) });
  });

  test('an engine on the CPU that is named with --device gpu is a usage error, and the other way round', async () => {
    await expect(selectEngine('onnx', { engine: 'ort-cpu', device: 'gpu', host: hostWith(hardware) })).rejects.toMatchObject({ kind: 'usage' });
    await expect(selectEngine('onnx', { engine: 'ort-webgpu', device: 'cpu', host: hostWith(hardware) })).rejects.toMatchObject({ kind: 'usage' });
    expect((await selectEngine('onnx', { engine: 'ort-webgpu', device: 'auto', host: hostWith(software) })).engine.name).toBe('ort-webgpu');
  });

  test('without a host no GPU engine is used, for its crash would take the program along', async () => {
    const found = await placed(engineNamed('ort-webgpu'), undefined).availability();
    expect(found).toMatchObject({ available: false, detail: expect.stringContaining('engineHost') });
    await expect(selectEngine('onnx', { device: 'gpu' })).rejects.toMatchObject({ kind: 'engine' });
  });

  test('what was passed over is told with its reason', async () => {
    const { passedOver } = await selectEngine('onnx', { device: 'auto', host: hostWith(null) });
    expect(passedOver).toEqual(['ort-webgpu, ort-cuda: no adapter']);
  });

  test('a witness is on the CPU and of another origin than our readers', () => {
    const names = ['keras-h5', 'caffe', 'pytorch', 'tfjs', 'tfjs-graph'].map((format) => witnessEngines(format).map(({ name }) => name));
    expect(names).toEqual([['tfjs-wasm', 'tfjs-cpu'], ['opencv'], [], ['tfjs-wasm', 'tfjs-cpu'], ['tfjs-wasm', 'tfjs-cpu']]);
  });
});
