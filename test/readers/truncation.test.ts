// @module-tag slow
/** A small file of every format, cut at every byte: a clear error each time, never a net that was not there. */
import { beforeAll, describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { type SeededLayer, seededTensor } from '../../src/cli/demo/vgg16.js';
import { writeCaffe } from '../../src/cli/demo/write-caffe.js';
import { writeH5 } from '../../src/cli/demo/write-h5.js';
import { writePth } from '../../src/cli/demo/write-pth.js';
import { convert } from '../../src/convert.js';
import { isModelError } from '../../src/errors.js';
import { tensorBytes } from '../../src/model/tensor.js';
import { openModel } from '../../src/readers/open.js';

/** A net of one convolution and one dense layer, a few hundred bytes of weights. */
const layer = (name: string, block: number | null, shape: number[]): SeededLayer => ({
  name,
  block,
  side: 1,
  weight: seededTensor(shape, 1, shape.length, 1),
  bias: seededTensor([shape[0]!], 2, shape.length, 1),
});
const LAYERS = [layer('conv1_1', 1, [2, 3, 3, 3]), layer('fc8', null, [3, 2])];

interface Small {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly companions: Readonly<Record<string, Uint8Array>>;
}

async function written(write: (sink: ReturnType<typeof memorySink>) => Promise<void>): Promise<ReadonlyMap<string, Uint8Array>> {
  const sink = memorySink();
  await write(sink);
  await sink.commit();
  return sink.files;
}

const smalls: Small[] = [];

beforeAll(async () => {
  const pth = await written(async (sink) => writePth(LAYERS, await sink.create('x.pth')));
  const h5 = await written(async (sink) => writeH5(LAYERS, await sink.create('x.h5')));
  const caffe = await written(async (sink) => writeCaffe(LAYERS, await sink.create('x.caffemodel'), await sink.create('x.prototxt')));
  const prototxt = { 'x.prototxt': caffe.get('x.prototxt')! };
  smalls.push({ name: 'x.pth', bytes: pth.get('x.pth')!, companions: {} });
  smalls.push({ name: 'x.h5', bytes: h5.get('x.h5')!, companions: {} });
  smalls.push({ name: 'x.caffemodel', bytes: caffe.get('x.caffemodel')!, companions: prototxt });
  const source = memoryFileSet({ 'x.pth': pth.get('x.pth')! }, 'x.pth');
  const safetensors = await written(async (sink) => void (await convert(source, sink, 'x.safetensors')));
  smalls.push({ name: 'x.safetensors', bytes: safetensors.get('x.safetensors')!, companions: {} });
  const npz = await written(async (sink) => void (await convert(source, sink, 'x.npz')));
  smalls.push({ name: 'x.npz', bytes: npz.get('x.npz')!, companions: {} });
});

async function readAll(files: ReturnType<typeof memoryFileSet>): Promise<number> {
  const model = await openModel(files);
  for (const { tensor } of model.tensors) await tensorBytes(tensor);
  return model.tensors.length;
}

describe('a small file', () => {
  it.each([0, 1, 2, 3, 4])('number %i is whole, and cut at any byte it is refused', async (i) => {
    const { name, bytes, companions } = smalls[i]!;
    expect(bytes.length).toBeLessThan(40_000);
    expect(await readAll(memoryFileSet({ [name]: bytes, ...companions }, name))).toBe(4);
    const accepted: number[] = [];
    for (let cut = 0; cut < bytes.length; cut++) {
      const outcome = await readAll(memoryFileSet({ [name]: bytes.slice(0, cut), ...companions }, name)).catch((error: unknown) => error);
      if (typeof outcome === 'number') accepted.push(cut);
      else expect(isModelError(outcome), `${name} cut at ${cut}: ${outcome instanceof Error ? outcome.stack : outcome}`).toBe(true);
    }
    // A caffemodel is a run of layers: cut between two of them it is a shorter, whole file, which the prototxt then contradicts.
    if (name !== 'x.caffemodel') expect(accepted).toEqual([]);
    else expect(accepted.length).toBeLessThan(4);
  });
});
