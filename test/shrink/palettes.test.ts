/** Palettes: the best that there are, read back as weights, and run by ONNX Runtime as they stand. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { toFloat32Array } from '../../src/model/cast.js';
import { narrowForm } from '../../src/model/narrow-form.js';
import { elementBits } from '../../src/model/packing.js';
import { fromPalette, paletteOf } from '../../src/model/palette.js';
import { constantTensor, float32Tensor, permute, type Tensor, tensorBytes } from '../../src/model/tensor.js';
import { openModel } from '../../src/readers/open.js';
import { palettedWeight } from '../../src/shrink/paletted.js';
import { shrinkToPalettes } from '../../src/shrink/palettes.js';
import { onnx } from '../../src/writers/onnx/index.js';
import { runOnnx } from '../run-onnx.js';

const ORIGIN = { file: 'test' };
const valuesOf = async (tensor: Tensor) => toFloat32Array(await tensorBytes(tensor), tensor.dtype);
const wave = (count: number) => Array.from({ length: count }, (_, i) => Math.sin(i * i * 0.7) * (1 + (i % 7)));
const lossOf = (values: ArrayLike<number>, table: ArrayLike<number>) =>
  Array.from(values).reduce((sum, value) => sum + Math.min(...Array.from(table, (entry) => (value - entry) ** 2)), 0);

/** The least that two or three runs of ascending values can lose, by trying all. */
function leastLoss(values: readonly number[], size: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const within = (run: readonly number[]) => {
    const mean = run.reduce((a, b) => a + b, 0) / run.length;
    return run.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  };
  const best = (from: number, left: number): number => {
    if (left === 1) return within(sorted.slice(from));
    let least = Number.POSITIVE_INFINITY;
    for (let end = from + 1; end <= sorted.length - left + 1; end++) least = Math.min(least, within(sorted.slice(from, end)) + best(end, left - 1));
    return least;
  };
  return best(0, Math.min(size, sorted.length));
}

it('no palette loses less', async () => {
  const anyValues = fc.array(fc.double({ min: -3, max: 3, noNaN: true }).map(Math.fround), { minLength: 3, maxLength: 24 });
  await fc.assert(
    fc.asyncProperty(anyValues, fc.constantFrom(2, 3), async (list, size) => {
      const table = await paletteOf(float32Tensor('w', [list.length], list, ORIGIN), size);
      expect(table.length).toBeLessThanOrEqual(size);
      // Values are told apart by bins of a 16,384th of their range.
      expect(lossOf(list, table)).toBeLessThanOrEqual(leastLoss(list, size) * 1.001 + list.length * (6 / 2 ** 14) ** 2);
    }),
    { numRuns: 60 },
  );
});

it('a weight of few values keeps them, and one value is a palette too', async () => {
  const values = [0.5, -1, 0.5, 0, 0, 2, -1];
  expect(await valuesOf(await palettedWeight(float32Tensor('w', [7], values, ORIGIN), 16))).toEqual(Float32Array.from(values));
  expect(await valuesOf(await palettedWeight(float32Tensor('w', [3], [7, 7, 7], ORIGIN), 4))).toEqual(Float32Array.of(7, 7, 7));
});

it('NaN is refused, and a place that the table has not is named when it is read', async () => {
  await expect(palettedWeight(float32Tensor('w', [2], [1, Number.NaN], ORIGIN), 4)).rejects.toMatchObject({ kind: 'unsupported' });
  const places = constantTensor('w', 'uint8', [2], Uint8Array.of(1, 2), ORIGIN);
  await expect(tensorBytes(fromPalette(places, Float32Array.of(0, 1)))).rejects.toMatchObject({ kind: 'malformed' });
});

const port = (name: string, shape: readonly number[]) => ({ name, value: name, dtype: 'float32', shape, layout: 'other' }) as const;
const dense = (kernel: Tensor) => ({
  name: 'a',
  op: 'Gemm',
  inputs: ['x'],
  outputs: ['a'],
  weights: { kernel },
  attributes: { alpha: 1, beta: 1, transA: 0, transB: 1 },
});
const netOf = (kernel: Tensor) => ({
  name: 'net',
  format: 'test',
  producer: null,
  architecture: null,
  inputs: [port('x', [2, 64])],
  outputs: [{ ...port('y', [2, 24]), value: 'a' }],
  layers: [dense(kernel)],
  warnings: [],
});

it.each([
  { size: 16, opset: undefined, bits: 4 },
  { size: 16, opset: 17, bits: 8 },
  { size: 40, opset: undefined, bits: 8 },
])('$size values in opset $opset take $bits bits each, are read back bit for bit, and run as they stand', async ({ size, opset, bits }) => {
  for (const kernel of [float32Tensor('k', [24, 64], wave(1536), ORIGIN), permute(float32Tensor('k', [64, 24], wave(1536), ORIGIN), [1, 0])]) {
    const shrunk = await shrinkToPalettes(netOf(kernel) as never, size);
    const write = async (net: typeof shrunk.map) => {
      const sink = memorySink();
      await onnx.write(net, sink, 'm.onnx', { dtype: 'source', layout: 'source', opset, metadata: async () => ({}) });
      await sink.commit();
      return sink.files.get('m.onnx')!;
    };
    const bytes = await write(shrunk.map);
    expect(bytes.length).toBeLessThan((1536 * bits) / 8 + 4 * size + 700);
    const made = await valuesOf(shrunk.map.layers[0]!.weights.kernel!);
    const back = await (await openModel(memoryFileSet({ 'm.onnx': bytes }, 'm.onnx'))).map();
    const read = back.layers.find(({ weights }) => weights.kernel)!.weights.kernel!;
    expect(await valuesOf(read)).toEqual(made);
    expect(narrowForm(read)!.codes).toMatchObject({ kind: 'palette' });
    expect(elementBits(narrowForm(read)!.stored)).toBe(bits);
    const wide = await write({ ...shrunk.map, layers: [dense(float32Tensor('k', [24, 64], made, ORIGIN)) as never] });
    const input = { shape: [2, 64], data: Float32Array.from(wave(128)) };
    const [narrow, exact] = [await runOnnx(bytes, [input]), await runOnnx(wide, [input])];
    const [a, b] = [narrow.get('y')!.data, exact.get('y')!.data];
    expect(Math.max(...a.map((value, i) => Math.abs(value - b[i]!)))).toBeLessThan(1e-6 * Math.max(...b.map(Math.abs)));
  }
});

it('depthwise kernels have all codes of 8 bits instead, and that is told', async () => {
  const net = netOf(float32Tensor('k', [24, 64], wave(1536), ORIGIN));
  const depthwise = {
    name: 'd',
    op: 'Conv',
    inputs: ['x'],
    outputs: ['d'],
    weights: { kernel: float32Tensor('dk', [4, 1, 3, 3], wave(36), ORIGIN) },
    attributes: { group: 4 },
  };
  const { map, change } = await shrinkToPalettes({ ...net, layers: [depthwise, ...net.layers] } as never, 16);
  expect(map.layers.map(({ weights }) => narrowForm(weights.kernel!)!.codes!.kind)).toEqual(['channels', 'palette']);
  expect(change.message).toMatch(/^1 weights are places in a palette of up to 16 values each, and 1 \(/);
});
