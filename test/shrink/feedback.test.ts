/** Codes that inputs helped to choose are better on other inputs, or are not taken; what flows into a convolution is what its kernel is multiplied with. */
import { describe, expect, it } from 'vitest';
import type { BlockCodes } from '../../src/model/block-form.js';
import { toFloat32Array } from '../../src/model/cast.js';
import type { Layer, LayerMap } from '../../src/model/layer-map.js';
import { narrowForm } from '../../src/model/narrow-form.js';
import { makeLayer } from '../../src/model/ops/index.js';
import { storedDType } from '../../src/model/packing.js';
import { float32Tensor, type Tensor, tensorBytes } from '../../src/model/tensor.js';
import { blockedWeight, planBlocks } from '../../src/shrink/blocks.js';
import { codedWeight, planCodes } from '../../src/shrink/coded.js';
import { withFeedback } from '../../src/shrink/feedback.js';
import { judgeOf } from '../../src/shrink/helps.js';
import { shrinkByStep } from '../../src/shrink/index.js';
import { type Rows, rowsSeen } from '../../src/shrink/patches.js';
import { codableWeights, withWeights } from '../../src/shrink/weights.js';
import { givenInputs } from '../../src/verify/feeds.js';
import { runLayers } from '../../src/verify/reference/session.js';

const ORIGIN = { file: 'test' };
const valuesOf = async (tensor: Tensor) => toFloat32Array(await tensorBytes(tensor), tensor.dtype);

function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
}

/** Rows whose values go together, as those of pictures do. */
function rows(count: number, depth: number, seed: number, causes = 6): Rows {
  const [mix, cause] = [numbers(99), numbers(seed)];
  const weights = Array.from({ length: depth * causes }, mix);
  const data = new Float32Array(depth * count);
  for (let i = 0; i < count; i++) {
    const values = Array.from({ length: causes }, cause);
    for (let t = 0; t < depth; t++) data[t * count + i] = values.reduce((sum, value, k) => sum + value * weights[t * causes + k]!, 0.3) + 0.05 * cause();
  }
  return { count, depth, data };
}

async function errorOn(kernel: Tensor, made: Tensor, { count, depth, data }: Rows): Promise<number> {
  const [before, after] = [await valuesOf(kernel), await valuesOf(made)];
  let sum = 0;
  for (let channel = 0; channel < kernel.shape[0]!; channel++) {
    for (let i = 0; i < count; i++) {
      let left = 0;
      for (let t = 0; t < depth; t++) left += (before[channel * depth + t]! - after[channel * depth + t]!) * data[t * count + i]!;
      sum += left * left;
    }
  }
  return sum;
}

describe('a kernel whose inputs go together', () => {
  const random = numbers(5);
  const kernel = float32Tensor('k', [8, 40], Array.from({ length: 320 }, random), ORIGIN);

  it.each(['channels', 'whole'] as const)('is coded with less error than rounding, on other inputs, in the steps that were asked for (%s)', async (form) => {
    const plan = await planCodes(kernel, 0, form, 0.5);
    const found = (await withFeedback(kernel, plan, { fit: rows(200, 40, 1), check: rows(200, 40, 2) }, false))!;
    expect(found.improved).toBeLessThan(found.rounded * 0.7);
    const measured = await errorOn(kernel, found.kernel, rows(200, 40, 2));
    expect(Math.abs(measured / found.improved - 1)).toBeLessThan(1e-3);
    const { codes, stored } = narrowForm(found.kernel)!;
    expect([codes!.kind, stored.dtype]).toEqual(form === 'channels' ? ['channels', 'int8'] : ['affine', 'uint8']);
    expect(found.kernel.replaces!.tensor).toBe(kernel);
  });

  it('keeps rounding where inputs tell nothing: those to work it out with are others than those to check with', async () => {
    const plan = await planCodes(kernel, 0, 'channels', 0.5);
    const noise = numbers(3);
    const check = { count: 200, depth: 40, data: Float32Array.from({ length: 8000 }, noise) };
    expect(await withFeedback(kernel, plan, { fit: rows(3, 40, 1), check }, false)).toBeNull();
  });

  it('has a bias take up what is left on average', async () => {
    const plan = await planCodes(kernel, 0, 'channels', 1.2);
    const few = (seed: number) => {
      const { count, depth, data } = rows(120, 40, seed, 1);
      return { count, depth, data: data.map((value) => value * 0.05 + 1) };
    };
    const found = (await withFeedback(kernel, plan, { fit: few(1), check: few(2) }, true))!;
    expect(found.improved).toBeLessThan(found.rounded / 2);
    if (found.means) expect(found.means.some((value) => value !== 0)).toBe(true);
  });
});

describe('of codes of 4 bits', () => {
  const random = numbers(17);
  const kernel = float32Tensor('k', [8, 64], Array.from({ length: 512 }, random), ORIGIN);
  const seen = { fit: rows(200, 64, 1), check: rows(200, 64, 2) };

  it.each(['int4', 'uint4'] as const)('%s has less error than rounding, on other inputs, two codes to a byte', async (range) => {
    const plan = await planBlocks(kernel, range, 16);
    const found = (await withFeedback(kernel, plan, seen, false))!;
    const [plain, made] = [await errorOn(kernel, await blockedWeight(kernel, 0, range, 16), seen.check), await errorOn(kernel, found.kernel, seen.check)];
    expect(made).toBeLessThan(0.7 * plain);
    expect(Math.abs(plain / found.rounded - 1)).toBeLessThan(1e-3);
    expect(Math.abs(made / found.improved - 1)).toBeLessThan(1e-3);
    const { codes, stored } = narrowForm(found.kernel)!;
    expect([codes!.kind, storedDType(stored)]).toEqual(['blocks', range]);
  });

  it('the largest value is held at the last code where little flows to it', async () => {
    const values = Array.from({ length: 32 }, (_, i) => (i === 7 ? 2 : Math.sin(i)));
    const lone = float32Tensor('k', [1, 32], values, ORIGIN);
    const flow = (seed: number): Rows => {
      const { count, depth, data } = rows(200, 32, seed);
      return { count, depth, data: data.map((value, at) => (Math.floor(at / count) === 7 ? value * 1e-3 : value)) };
    };
    const plan = await planBlocks(lone, 'int4', 32);
    const found = (await withFeedback(lone, plan, { fit: flow(1), check: flow(2) }, false))!;
    const { scales } = narrowForm(found.kernel)!.codes as BlockCodes;
    expect(scales[0]! / plan.steps[0]!).toBeLessThan(0.9);
    expect((await valuesOf(found.kernel))[7]!).toBeLessThan(1.8);
  });
});

it('kernels of a convolution in groups see the rows of their own group', async () => {
  const random = numbers(23);
  const kernel = float32Tensor('k', [4, 1, 1, 10], Array.from({ length: 40 }, random), ORIGIN);
  const [fit, check] = [rows(100, 40, 1), rows(100, 40, 2)];
  const found = (await withFeedback(kernel, await planCodes(kernel, 0, 'channels', 1), { fit, check }, false))!;
  let [sum, values, made] = [0, await valuesOf(kernel), await valuesOf(found.kernel)];
  for (let i = 0; i < 100; i++) {
    for (let channel = 0; channel < 4; channel++) {
      let left = 0;
      for (let t = channel * 10; t < channel * 10 + 10; t++) left += (values[t]! - made[t]!) * check.data[t * 100 + i]!;
      sum += left * left;
    }
  }
  expect(Math.abs(sum / found.improved - 1)).toBeLessThan(1e-3);
});

describe('rows', () => {
  const port = (name: string, shape: readonly (number | string)[], layout: 'nchw' | 'other') =>
    ({ name, value: name, dtype: 'float32', shape, layout }) as const;
  const random = numbers(8);
  const kernel = float32Tensor('k', [4, 3, 3, 2], Array.from({ length: 72 }, random), ORIGIN);
  const made = (layer: Partial<Layer>) =>
    makeLayer({ name: 'a', op: 'Conv', inputs: ['x'], outputs: ['a'], weights: { kernel }, attributes: {}, ...layer }, [[1, 3, 7, 6]]);
  const map: LayerMap = {
    name: 'net',
    format: 'test',
    producer: null,
    architecture: null,
    inputs: [port('x', ['N', 3, 7, 6], 'nchw')],
    outputs: [port('a', ['N', 4, 4, 5], 'nchw')],
    layers: [made({ attributes: { kernel_shape: [3, 2], strides: [2, 1], pads: [1, 0, 1, 0], dilations: [1, 1], group: 1 } })],
    warnings: [],
  };

  it('times the kernel are what the convolution gives', async () => {
    const inputs = await givenInputs(new Map([['x', float32Tensor('x', [2, 3, 7, 6], Array.from({ length: 252 }, random), ORIGIN)]]), map);
    const weights = codableWeights(map);
    const { fit } = (await rowsSeen(map, weights, inputs, 2)).get(weights[0]!)!;
    const [output] = await runLayers(map, inputs.sample(0), () => {});
    const weightsValues = await valuesOf(kernel);
    const positions = output!.data.length / 4;
    expect(fit.count).toBe(positions);
    for (let channel = 0; channel < 4; channel++) {
      for (let i = 0; i < positions; i++) {
        let sum = 0;
        for (let t = 0; t < 18; t++) sum += weightsValues[channel * 18 + t]! * fit.data[t * fit.count + i]!;
        expect(Math.abs(sum - Number(output!.data[channel * positions + i]))).toBeLessThan(1e-5);
      }
    }
  });

  it('tell of a whole net, and what they did is said', async () => {
    const inputs = await givenInputs(
      new Map([
        [
          'x',
          float32Tensor(
            'x',
            [12, 3, 7, 6],
            Array.from({ length: 1512 }, (_, i) => Math.sin(i / 9) + 0.2 * random()),
            ORIGIN,
          ),
        ],
      ]),
      map,
    );
    const { map: shrunk, change } = await shrinkByStep(map, 'channels', 0.8, { inputs });
    expect(change.message).toMatch(/the error is fed back in 1, whose layers' errors are \d+ % smaller.*12 inputs are few/);
    expect(shrunk.layers[0]!.weights.kernel!.replaces!.method).toMatch(/error fed back/);
  });
});

it('layers that share a bias have each its own correction, and one bias where there is none', async () => {
  const random = numbers(11);
  const kernel = (name: string) => float32Tensor(name, [6, 12], Array.from({ length: 72 }, random), ORIGIN);
  const bias = float32Tensor('bias', [6], new Float32Array(6), ORIGIN);
  const port = (name: string, shape: readonly (number | string)[]) => ({ name, value: name, dtype: 'float32', shape, layout: 'other' }) as const;
  const dense = (name: string, input: string) =>
    makeLayer({ name, op: 'Gemm', inputs: [input], outputs: [name], weights: { kernel: kernel(`${name}.k`), bias }, attributes: {} }, [['N', 12]]);
  const map: LayerMap = {
    name: 'net',
    format: 'test',
    producer: null,
    architecture: null,
    inputs: [port('x', ['N', 12]), port('y', ['N', 12])],
    outputs: [port('a', ['N', 6]), port('b', ['N', 6])],
    layers: [dense('a', 'x'), dense('b', 'y')],
    warnings: [],
  };
  // What flows is nearly the same in every row, so that most of the error is its mean: of either layer another.
  const rowsOf = (name: string, level: number) => {
    const cause = Array.from({ length: 12 }, () => level * random());
    return [
      name,
      float32Tensor(
        name,
        [40, 12],
        Array.from({ length: 480 }, (_, i) => cause[i % 12]! + 0.01 * random()),
        ORIGIN,
      ),
    ] as const;
  };
  const inputs = await givenInputs(new Map([rowsOf('x', 1), rowsOf('y', 3)]), map);
  const { map: shrunk } = await shrinkByStep(map, 'channels', 1.2, { inputs });
  const run = async (net: LayerMap) => (await runLayers(net, inputs.sample(1), () => {})).map(({ data }) => Array.from(data, Number));
  const [before, after] = [await run(map), await run(shrunk)];
  const [a, b] = shrunk.layers.map(({ weights }) => weights.bias!);
  expect([a!.replaces?.tensor, b!.replaces?.method]).toEqual([bias, 'float32, corrected']);
  expect(await valuesOf(a!)).not.toEqual(await valuesOf(b!));
  for (const [i, wanted] of before.entries()) for (const [k, value] of wanted.entries()) expect(Math.abs(value - after[i]![k]!)).toBeLessThan(0.1);
  const plain = await shrinkByStep(map, 'channels', 1.2);
  expect(plain.map.layers.map(({ weights }) => weights.bias)).toEqual([bias, bias]);
  expect(plain.map.layers[0]!.weights.bias).toBe(plain.map.layers[1]!.weights.bias);
});

describe('what is tried on a net', () => {
  const noise = numbers(21);
  const kernel = float32Tensor('k', [6, 12], Array.from({ length: 72 }, noise), ORIGIN);
  const port = (name: string, shape: readonly (number | string)[]) => ({ name, value: name, dtype: 'float32', shape, layout: 'other' }) as const;
  const dense: LayerMap = {
    name: 'net',
    format: 'test',
    producer: null,
    architecture: null,
    inputs: [port('x', ['N', 12])],
    outputs: [port('a', ['N', 6])],
    layers: [makeLayer({ name: 'a', op: 'Gemm', inputs: ['x'], outputs: ['a'], weights: { kernel }, attributes: {} }, [[1, 12]])],
    warnings: [],
  };

  it('is kept where the output comes nearer to what it was, and left out where not', async () => {
    const inputs = await givenInputs(new Map([['x', float32Tensor('x', [20, 12], Array.from({ length: 240 }, noise), ORIGIN)]]), dense);
    const [coarse, fine] = [await codedWeight(kernel, 0, 'channels', 1), await codedWeight(kernel, 0, 'channels', 'full')];
    const net = (made: Tensor) => withWeights(dense, new Map([[kernel, made]]));
    const judge = await judgeOf(dense, net(coarse), inputs);
    expect([await judge.helps('fine', net(fine)), await judge.helps('coarse', net(coarse))]).toEqual([true, false]);
    expect(judge.told()).toMatch(/fine: [\d.]+ % before, [\d.]+ % with it; coarse: no help, left out$/);
  });
});
