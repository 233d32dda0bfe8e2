/** How ONNX Runtime is loaded, on a stand-in for the package: what it is told, and what is never asked of it. */

import { describe, expect, test, vi } from 'vitest';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { numbersTensor } from '../../src/model/numbers.js';
import { furtherOutputs } from '../../src/verify/engines/onnx-values.js';
import { type Ort, type OrtBuild, ortEngine } from '../../src/verify/engines/ort.js';
import { node, ORIGIN, onnxFile } from '../onnx-graphs.js';

const files = memoryFileSet({ 'a.onnx': new Uint8Array([0x08, 0x07]) }, 'a.onnx');

/** A package whose sessions give what they are told to. */
function standIn(output: object) {
  const create = vi.fn(async (_model: string | Uint8Array, _options: object) => ({
    inputMetadata: [{ name: 'x', isTensor: true, type: 'float32', shape: [1] }],
    outputMetadata: [{ name: 'y', isTensor: true, type: 'float32', shape: [1] }],
    outputNames: ['y'],
    run: async () => ({ y: output }),
    release: async () => {},
  }));
  const ort = { InferenceSession: { create }, Tensor: class {}, env: {} } as unknown as Ort;
  const build: OrtBuild = {
    name: 'ort-test',
    device: 'gpu',
    install: 'npm install it',
    load: async () => ort,
    describe: async () => ({ available: true, detail: 'a stand-in' }),
    options: { executionProviders: ['webgpu'], extra: { session: { disable_cpu_ep_fallback: '1' } } },
    readsPaths: true,
  };
  return { engine: ortEngine(build), create };
}

const feeds = new Map([['x', { shape: [1], data: new Float32Array(1) }]]);

describe('a session', () => {
  test('is made with all options of its build and those of every build, whichever way it is opened', async () => {
    for (const [path, layers] of [
      [undefined, false],
      ['/models/a.onnx', false],
    ] as const) {
      const { engine, create } = standIn({});
      await engine.open({ files, path, layers });
      const [model, options] = create.mock.calls[0]!;
      expect(model).toEqual(path ?? new Uint8Array([0x08, 0x07]));
      expect(options).toMatchObject({
        executionProviders: ['webgpu'],
        extra: { session: { disable_cpu_ep_fallback: '1', qdq_matmulnbits_accuracy_level: '1' } },
      });
    }
  });

  test('that it refuses is told in its words, without where in its code they were said', async () => {
    const { engine, create } = standIn({});
    const signature = '/onnxruntime_src/core/graph/model.cc:202 onnxruntime::Model::Model(onnx::ModelProto&&, const onnxruntime::PathString&)';
    create.mockRejectedValue(new Error(`Load model from a.onnx failed:${signature} Unsupported model IR version: 14, max supported IR version: 13`));
    const said = 'Load model from a.onnx failed: Unsupported model IR version: 14, max supported IR version: 13';
    await expect(engine.open({ files })).rejects.toThrow(`ort-test does not load it: ${said}`);
  });

  test('that cannot be made with unsigned codes for signed ones runs the file as it is written', async () => {
    const { engine, create } = standIn({});
    const made = create.getMockImplementation()!;
    const asksForUnsigned = (options: object) => JSON.stringify(options).includes('x64quantprecision');
    create.mockImplementation(async (model, options) => {
      if (asksForUnsigned(options)) throw new Error('Failed to find kernel for com.microsoft.QLinearConv(1)');
      return made(model, options);
    });
    const code = (name: string, shape: readonly number[]) => numbersTensor(name, 'int8', shape, [0], ORIGIN);
    const file = await onnxFile({
      nodes: [node('QLinearConv', ['x', 's', 'z', 'k', 's', 'z', 's', 'z'], ['y'])],
      tensors: [numbersTensor('s', 'float32', [], [0.5], ORIGIN), code('z', []), code('k', [1, 1, 1, 1])],
      inputs: [['x', [1, 1, 1, 1], 'int8']],
    });
    await engine.open({ files: memoryFileSet({ 'q.onnx': file }, 'q.onnx') });
    expect(create.mock.calls.map(([, options]) => asksForUnsigned(options))).toEqual([true, false, false]);
    expect(create.mock.calls.at(-1)![1]).toMatchObject({ graphOptimizationLevel: 'disabled' });
    // Where it does not load for anybody, that is the file's fault, and is not run around.
    create.mockImplementation(async (_, options) => {
      const isAsWritten = (options as { graphOptimizationLevel?: string }).graphOptimizationLevel === 'disabled';
      throw new Error(isAsWritten ? 'it would have run' : 'Unrecognized attribute: dilations');
    });
    await expect(engine.open({ files: memoryFileSet({ 'q.onnx': file }, 'q.onnx') })).rejects.toThrow(/dilations/);
  });

  test('never reads an output that is still a buffer of the GPU, which would abort the process', async () => {
    const read = vi.fn();
    const { engine } = standIn({
      type: 'float32',
      dims: [1],
      location: 'gpu-buffer',
      get data() {
        return read();
      },
      getData: read,
    });
    const session = await engine.open({ files });
    await expect(session.run(feeds)).rejects.toMatchObject({ kind: 'engine', problem: expect.stringContaining('gpu-buffer') });
    expect(read).not.toHaveBeenCalled();
  });

  test('gives half precision, which Node 20 has as bits, as float32', async () => {
    const { engine } = standIn({ type: 'float16', dims: [3], location: 'cpu', data: new Uint16Array([0x3c00, 0xc000, 0x7c00]) });
    const session = await engine.open({ files });
    expect([...(await session.run(feeds)).get('y')!.data]).toEqual([1, -2, Number.POSITIVE_INFINITY]);
  });

  test('is refused where the device is not there', async () => {
    const { engine } = standIn({});
    const refusing = ortEngine({
      name: 'ort-test',
      device: 'gpu',
      install: '',
      load: async () => ({}) as Ort,
      describe: async () => ({ available: false, detail: 'there is no such GPU' }),
      options: {},
      readsPaths: true,
    });
    await expect(refusing.open({ files })).rejects.toMatchObject({ kind: 'engine', problem: 'there is no such GPU' });
    await expect(engine.open({ files })).resolves.toBeDefined();
  });
});

test('what is appended to a model is a graph of nothing but further outputs', () => {
  // ModelProto.graph (7) { output (12) { name (1): "a" } output { name: "bc" } }
  expect([...furtherOutputs(['a', 'bc'])]).toEqual([0x3a, 11, 0x62, 3, 0x0a, 1, 0x61, 0x62, 4, 0x0a, 2, 0x62, 0x63]);
});
