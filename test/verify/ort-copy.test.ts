/** A model whose weights lie in a file beside it: the same tensors, and the same values inside, as in one piece. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memorySource } from '../../src/bytes/byte-source.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { readOnnxModel } from '../../src/containers/onnx.js';
import { makeLayer } from '../../src/model/ops/index.js';
import { float32Tensor, tensorBytes } from '../../src/model/tensor.js';
import { furtherOutputs, innerValues } from '../../src/verify/engines/onnx-values.js';
import { copyWithWeightsApart } from '../../src/verify/engines/ort-copy.js';
import { onnx } from '../../src/writers/onnx/index.js';
import { PLAIN } from '../contracts/samples.js';
import { emptyMap } from '../writers/onnx-cases.js';

/** One matrix that is moved, a bias that is not. */
async function denseNet(): Promise<Uint8Array> {
  const values = (count: number) => Array.from({ length: count }, (_, i) => Math.sin(i));
  const layers = [
    makeLayer({
      name: 'dense',
      op: 'Gemm',
      inputs: ['x'],
      outputs: ['inside'],
      weights: {
        kernel: float32Tensor('kernel', [160, 128], values(160 * 128), { file: 'test' }),
        bias: float32Tensor('bias', [160], values(160), { file: 'test' }),
      },
    }),
    makeLayer({ name: 'relu', op: 'Relu', inputs: ['inside'], outputs: ['y'] }),
  ];
  const port = (name: string, size: number) => ({ name, value: name, dtype: 'float32', shape: ['N', size], layout: 'other' }) as const;
  const sink = memorySink();
  await onnx.write({ ...emptyMap, inputs: [port('x', 128)], outputs: [port('y', 160)], layers }, sink, 'net.onnx', PLAIN);
  await sink.commit();
  return sink.files.get('net.onnx')!;
}

test('weights apart are the same bytes, at offsets that can be mapped, and a runtime shows the same values', async () => {
  const bytes = await denseNet();
  const files = memoryFileSet({ 'net.onnx': bytes }, 'net.onnx');
  const inner = await innerValues(files);
  const bare = (await copyWithWeightsApart(memorySource(bytes, 'net.onnx'), new Uint8Array()))!;
  const copy = (await copyWithWeightsApart(memorySource(bytes, 'net.onnx'), furtherOutputs(inner)))!;
  try {
    const [model, weights] = [bare.path, join(dirname(bare.path), 'weights.bin')].map((path) => new Uint8Array(readFileSync(path)));
    expect(model!.byteLength).toBeLessThan(8192);
    const [whole, parted] = [
      await readOnnxModel(files, 'net.onnx'),
      await readOnnxModel(memoryFileSet({ 'model.onnx': model!, 'weights.bin': weights! }, 'model.onnx'), 'model.onnx'),
    ];
    expect(parted.externalFiles).toEqual(['weights.bin']);
    expect([...parted.initializers.keys()]).toEqual([...whole.initializers.keys()]);
    for (const [name, tensor] of whole.initializers) expect(await tensorBytes(parted.initializers.get(name)!)).toEqual(await tensorBytes(tensor));
    const ort = await import('onnxruntime-node');
    const x = new ort.Tensor(
      'float32',
      Float32Array.from({ length: 128 }, (_, i) => Math.cos(i)),
      [1, 128],
    );
    const [one, two] = [await ort.InferenceSession.create(bytes), await ort.InferenceSession.create(copy.path)];
    expect((await two.run({ x })).y!.data).toEqual((await one.run({ x })).y!.data);
    expect(two.outputNames).toEqual(['y', ...inner]);
    await one.release();
    await two.release();
  } finally {
    await copy.remove();
    await bare.remove();
  }
  expect([copy, bare].map(({ path }) => existsSync(dirname(path)))).toEqual([false, false]);
});

test('what is no model leaves no folder behind', async () => {
  const broken = (await denseNet()).subarray(0, 3000);
  await expect(copyWithWeightsApart(memorySource(broken, 'net.onnx'), new Uint8Array())).rejects.toMatchObject({ kind: 'malformed' });
});
