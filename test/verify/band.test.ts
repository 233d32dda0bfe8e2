/**
 * The tolerance that is measured on each net: right files of many families raise no alarm, in any dtype, and no fault hides in it.
 *
 * The nets are small ones of every family that is recognised, with the weights that their frameworks gave them.
 */
import { describe, expect, it } from 'vitest';
import type { Layer, LayerMap } from '../../src/model/layer-map.js';
import type { makeLayer } from '../../src/model/ops/index.js';
import { float32Tensor, type Tensor } from '../../src/model/tensor.js';
import { openModel } from '../../src/readers/open.js';
import { toArray } from '../../src/verify/array.js';
import { ARCHITECTURE_CASES, openDialect } from '../dialects.js';
import { mapOf, spread, verifyWrittenMap, written } from './small-files.js';

async function mapOfCase(folder: string): Promise<LayerMap> {
  const { files, options } = openDialect(folder);
  const map = await (await openModel(files, options)).map();
  await files.close?.();
  return map;
}

/** The map with one layer of it changed. */
const withLayer = (map: LayerMap, changed: Layer, by: (layer: Layer) => Layer): LayerMap => ({
  ...map,
  layers: map.layers.map((layer) => (layer === changed ? by(layer) : layer)),
});

/** The kernel with the last of its output channels as the first, and so on: every channel on the next one's place. */
async function turned(kernel: Tensor, channels: number): Promise<Tensor> {
  const { data } = await toArray(kernel);
  const values = Array.from(data as ArrayLike<number>, Number);
  const each = values.length / channels;
  return float32Tensor(kernel.name, kernel.shape, [...values.slice(each), ...values.slice(0, each)], kernel.origin);
}

const SAMPLES = { samples: 2 };
/** A third of them, for all take minutes; those that are recognised by themselves, and whose outputs depend on what is in their middle. */
const NETS = ARCHITECTURE_CASES.filter(({ folder }) => !/own-|vgg-weight-norm/.test(folder)).filter((_, i) => i % 3 === 0);
const SOME = NETS.filter((_, i) => i % 4 === 1);

it('is tried on nets of many families', () => {
  expect(NETS.length).toBeGreaterThan(11);
});

describe.each(NETS)('$title', ({ folder }) => {
  it('is a match when it is right, far from the limit, and a mismatch in its outputs when the channels of a kernel in its middle moved on', async () => {
    const map = await mapOfCase(folder);
    const right = await verifyWrittenMap(map, await written(map), SAMPLES);
    expect(right.firstDifference?.message ?? right.verdict).toBe('match');
    // The nearest is a narrow CycleGAN with batch normalisation: 0.69.
    for (const output of right.outputs) expect(output.ofAllowed).toBeLessThan(0.75);
    expect(right.tolerance.rtol).toBeLessThanOrEqual(0.02);
    expect(right.tolerance.rounding).toBeGreaterThan(0);

    const kernels = map.layers.filter(({ op, weights }) => op === 'Conv' && weights.kernel!.shape[0]! > 1);
    const middle = kernels[Math.floor(kernels.length / 2)]!;
    const kernel = await turned(middle.weights.kernel!, middle.weights.kernel!.shape[0]!);
    const wrong = withLayer(map, middle, (layer) => ({ ...layer, weights: { ...layer.weights, kernel } }));
    const { verdict, outputs } = await verifyWrittenMap(map, await written(wrong), SAMPLES);
    expect(verdict).toBe('mismatch');
    expect(Math.max(...outputs.map(({ ofAllowed }) => ofAllowed))).toBeGreaterThan(20);
  }, 60_000);
});

describe.each(SOME)('$title, narrower', ({ folder }) => {
  it.each(['float16', 'bfloat16', 'int8'])(
    'in %s computes what its weights say',
    async (dtype) => {
      const map = await mapOfCase(folder);
      const report = await verifyWrittenMap(map, await written(map, 'onnx', { dtype }), SAMPLES);
      expect(report.quantisation?.correctness?.passed ?? true).toBe(true);
      expect(report.weights?.mismatches).toEqual([]);
      // So few bits ruin some of these small nets, and then that is what is said.
      const isRuined = dtype !== 'float16' && report.outputs.some(({ cosine }) => (cosine ?? 1) < 0.9);
      if (!isRuined) expect(report.firstDifference?.message ?? report.verdict).toBe('match');
    },
    60_000,
  );
});

const PORT = { name: 'x', value: 'x', dtype: 'float32' as const, shape: [1, 6], layout: 'other' as const };
const dense = (values: readonly number[]) => float32Tensor('kernel', [values.length / 6, 6], values, { file: 'net.h5', name: 'kernel' });
const net = (layers: readonly Parameters<typeof makeLayer>[0][], size: number) =>
  mapOf(layers, [PORT], [{ ...PORT, name: 'y', value: layers.at(-1)!.outputs[0]!, shape: [1, size] }]);
const gemm = (values: readonly number[]) => ({ name: 'y', op: 'Gemm', inputs: ['x'], outputs: ['y'], weights: { kernel: dense(values) } });

describe('outputs', () => {
  it('of a tiny scale are held to that scale', async () => {
    const right = net([gemm(spread(24).map((value) => value * 1e-8))], 4);
    const wrong = net([gemm(spread(24).map((value, i) => value * (i === 7 ? 1.01e-8 : 1e-8)))], 4);
    expect((await verifyWrittenMap(right, await written(right))).verdict).toBe('match');
    expect((await verifyWrittenMap(right, await written(wrong))).outputs[0]!.passed).toBe(false);
  });

  it('of channels that differ in size are each held to their own', async () => {
    const shape = [1, 40, 6];
    const port = { ...PORT, shape };
    const boxes = (sizes: readonly number[]) =>
      mapOf(
        [{ name: 'y', op: 'Mul', inputs: ['x'], outputs: ['y'], weights: { operand: float32Tensor('sizes', [6], sizes, { file: 'net.h5', name: 'sizes' }) } }],
        [port],
        [{ ...port, name: 'y', value: 'y' }],
      );
    const right = boxes([3e5, 2e5, 3e5, 2.5e5, 1, 0.8]);
    expect((await verifyWrittenMap(right, await written(right))).verdict).toBe('match');
    const wrong = await verifyWrittenMap(right, await written(boxes([3e5, 2e5, 3e5, 2.5e5, 1.01, 0.8])));
    expect(wrong.outputs[0]).toMatchObject({ passed: false });
    expect(wrong.outputs[0]!.relativeToScale).toBeLessThan(1e-6);
  });

  it('in which rounding decides prove nothing, and that is said', async () => {
    // A large number added and taken away again: nothing is left of the digits of what was small.
    const constant = float32Tensor('c', [], [3e12], { file: 'net.h5', name: 'c' });
    const cancel = net(
      [
        { name: 'more', op: 'Add', inputs: ['x'], outputs: ['more'], weights: { operand: constant } },
        { name: 'y', op: 'Sub', inputs: ['more'], outputs: ['y'], weights: { operand: constant } },
      ],
      6,
    );
    const report = await verifyWrittenMap(cancel, await written(cancel), { samples: 1 });
    expect(report.verdict).toBe('nothing-compared');
    expect(report.notes.join()).toMatch(/so sensitive there that rounding decides/);
  });

  it('in which rounding decides on plain numbers alone are compared on calmer ones, where a fault shows', async () => {
    const number = (name: string, value: number) => float32Tensor(name, [], [value], { file: 'net.h5', name });
    const cancel = (factor: number) =>
      net(
        [
          { name: 'above', op: 'Sub', inputs: ['x'], outputs: ['above'], weights: { operand: number('bound', 1.5) } },
          { name: 'over', op: 'Relu', inputs: ['above'], outputs: ['over'] },
          { name: 'much', op: 'Mul', inputs: ['over'], outputs: ['much'], weights: { operand: number('much', 3e12) } },
          { name: 'scaled', op: 'Mul', inputs: ['x'], outputs: ['scaled'], weights: { operand: number('scale', factor) } },
          { name: 'more', op: 'Add', inputs: ['scaled', 'much'], outputs: ['more'] },
          { name: 'y', op: 'Sub', inputs: ['more', 'much'], outputs: ['y'] },
        ],
        6,
      );
    const right = await verifyWrittenMap(cancel(2), await written(cancel(2)));
    expect(right.verdict).toBe('match');
    expect(right.notes.join()).toMatch(/on plain numbers rounding decides .* calmer inputs were taken/);
    expect(right.outputs[0]!.compared).toBeGreaterThan(20);
    expect((await verifyWrittenMap(cancel(2), await written(cancel(2.001)))).outputs[0]).toMatchObject({ passed: false });
  });
});
