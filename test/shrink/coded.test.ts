/** Weights of few levels: steps as asked for, no value cut off, written as codes bit for bit, and small over the wire. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { toFloat32Array } from '../../src/model/cast.js';
import { narrowForm } from '../../src/model/narrow-form.js';
import { float32Tensor, type Tensor, tensorBytes } from '../../src/model/tensor.js';
import { openModel } from '../../src/readers/open.js';
import { codedWeight, spreadOf, stepsFor } from '../../src/shrink/coded.js';
import { shrinkByStep } from '../../src/shrink/index.js';
import { writers } from '../../src/writers/index.js';

const ORIGIN = { file: 'test' };
const valuesOf = async (tensor: Tensor) => toFloat32Array(await tensorBytes(tensor), tensor.dtype);
const anyValues = fc.array(
  fc.double({ min: -50, max: 50, noNaN: true }).map((value) => (Math.abs(value) < 1e-30 ? 0 : value)),
  { minLength: 1, maxLength: 60 },
);

it.each(['channels', 'whole'] as const)('every value is within half a step of its code, whatever the step (%s)', async (form) => {
  await fc.assert(
    fc.asyncProperty(anyValues, fc.constantFrom('full' as const, 0.05, 0.7, 3), async (list, level) => {
      const tensor = float32Tensor('w', [list.length, 1], list, ORIGIN);
      const spread = await spreadOf(tensor, 1, form);
      const [step] = stepsFor(spread, form, level) as unknown as [number];
      const [before, after] = [await valuesOf(tensor), await valuesOf(await codedWeight(tensor, 1, form, level))];
      for (const [i, value] of before.entries()) expect(Math.abs(value - after[i]!)).toBeLessThanOrEqual(step * 0.501 + 1e-6 * Math.abs(value));
      if (typeof level === 'number') expect(step).toBeGreaterThanOrEqual(Math.fround(level * spread.deviation[0]!) * 0.999999);
    }),
    { numRuns: 60 },
  );
});

it('a wider step has fewer levels', async () => {
  const values = Array.from({ length: 4000 }, (_, i) => Math.sin(i * 12.9898) * 3 + Math.cos(i * 0.37));
  const levels = async (level: number | 'full') => {
    const coded = await codedWeight(float32Tensor('w', [4, 1000], values, ORIGIN), 0, 'channels', level);
    return new Set(await tensorBytes(narrowForm(coded)!.stored)).size;
  };
  expect([await levels('full'), await levels(0.5), await levels(1)].map((count, i) => count > [100, 6, 3][i]! && count < [256, 12, 7][i]!)).toEqual([
    true,
    true,
    true,
  ]);
});

it('NaN is refused', async () => {
  await expect(codedWeight(float32Tensor('w', [2], [1, Number.NaN], ORIGIN), 0, 'channels', 0.7)).rejects.toMatchObject({ kind: 'unsupported' });
});

describe('written', () => {
  const kernel = float32Tensor(
    'k',
    [8, 4, 3, 3],
    Array.from({ length: 288 }, (_, i) => Math.sin(i * i)),
    ORIGIN,
  );
  const depthwise = float32Tensor(
    'd',
    [8, 1, 3, 3],
    Array.from({ length: 72 }, (_, i) => Math.cos(i * i)),
    ORIGIN,
  );
  const port = (name: string, channels: number) => ({ name, value: name, dtype: 'float32', shape: [1, channels, 6, 6], layout: 'nchw' }) as const;
  const conv = (name: string, from: string, weight: Tensor, group: number) =>
    ({
      name,
      op: 'Conv',
      inputs: [from],
      outputs: [name],
      weights: { kernel: weight },
      attributes: { kernel_shape: [3, 3], strides: [1, 1], dilations: [1, 1], pads: [1, 1, 1, 1], group, auto_pad: 'NOTSET' },
    }) as const;
  const map = {
    name: 'net',
    format: 'test',
    producer: null,
    architecture: null,
    inputs: [port('x', 4)],
    outputs: [port('b', 8)],
    layers: [conv('a', 'x', kernel, 1), conv('b', 'a', depthwise, 8)],
    warnings: [],
  };
  it.each(['onnx', 'tfjs-graph'])('to %s the codes are those that were made, and depthwise kernels have all levels', { tags: 'slow' }, async (name) => {
    const writer = writers.find((candidate) => candidate.name === name)!;
    const form = name === 'onnx' ? 'channels' : 'whole';
    const shrunk = await shrinkByStep(map, form, 0.8);
    expect(shrunk.map.layers.map(({ weights }) => weights.kernel!.replaces!.method)).toEqual([
      `${form === 'channels' ? 'int8' : 'uint8'} in steps of 0.8 deviations`,
      `${form === 'channels' ? 'int8' : 'uint8'} in all levels`,
    ]);
    const sink = memorySink();
    if (writer.carries !== 'model') throw new Error(name);
    await writer.write(shrunk.map, sink, 'm.onnx', { dtype: 'source', layout: 'source', metadata: async () => ({}) });
    await sink.commit();
    const files = Object.fromEntries(sink.files);
    const main = Object.keys(files).find((file) => /onnx$|json$/.test(file))!;
    const prefix = main.includes('/') ? main.slice(0, main.lastIndexOf('/') + 1) : '';
    const inFolder = Object.fromEntries(Object.entries(files).map(([file, bytes]) => [file.slice(prefix.length), bytes]));
    const back = await (await openModel(memoryFileSet(inFolder, main.slice(prefix.length)))).map();
    const found = back.layers.filter(({ op }) => op === 'Conv').map(({ weights }) => weights.kernel!);
    for (const [i, tensor] of found.entries()) {
      const wanted = await valuesOf(shrunk.map.layers[i]!.weights.kernel!);
      const values = await valuesOf(tensor);
      expect(values.every((value, at) => Math.abs(value - wanted[at]!) <= 1e-6 * Math.abs(wanted[at]!))).toBe(true);
    }
    expect(found).toHaveLength(2);
  });
});
