/** What `--method best` tries on a whole net: it computes what it did, or comes nearer to it, and says what helped. */
import { describe, expect, it } from 'vitest';
import { toFloat32Array } from '../../src/model/cast.js';
import type { Layer, LayerMap } from '../../src/model/layer-map.js';
import { narrowDType } from '../../src/model/narrow-form.js';
import { makeLayer } from '../../src/model/ops/index.js';
import { float32Tensor, type Tensor, tensorBytes } from '../../src/model/tensor.js';
import { equalised } from '../../src/shrink/equalise.js';
import { shrinkByStep, shrinkToFour } from '../../src/shrink/index.js';
import { distance, outputsOf } from '../../src/shrink/outputs.js';
import { rowsSeen } from '../../src/shrink/patches.js';
import { stepsOfOneLevel } from '../../src/shrink/search.js';
import { codableWeights } from '../../src/shrink/weights.js';
import { type GivenInputs, givenInputs } from '../../src/verify/feeds.js';
import { runLayers } from '../../src/verify/reference/session.js';

const ORIGIN = { file: 'test' };
let state = 3;
const uniform = () => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 2 ** 31 - 1;
};
const tensor = (name: string, shape: readonly number[], value: (i: number) => number = uniform) =>
  float32Tensor(
    name,
    shape,
    Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => value(i)),
    ORIGIN,
  );
const valuesOf = async (given: Tensor) => toFloat32Array(await tensorBytes(given), given.dtype);
const port = (name: string, shape: readonly (number | string)[]) => ({ name, value: name, dtype: 'float32', shape, layout: 'nchw' }) as const;
const CHANNELS = 8;

/** Convolutions whose channels differ by powers of ten, with what may lie between two of them. */
function net(between: readonly Pick<Layer, 'op' | 'attributes' | 'weights'>[], norm = false, out = 6): LayerMap {
  const kernel = tensor('a.kernel', [CHANNELS, 3, 3, 3], (i) => uniform() * 10 ** ((Math.floor(i / 27) % 4) - 2));
  const plain = { attributes: { kernel_shape: [3, 3], strides: [1, 1], pads: [0, 0, 0, 0], dilations: [1, 1], group: 1 } };
  const one = (name: string, base: number) => tensor(name, [CHANNELS], () => base + 0.3 * uniform());
  const chain: (Pick<Layer, 'op' | 'attributes' | 'weights'> & { shape?: number[] })[] = [
    { op: 'Conv', ...plain, weights: { kernel, ...(norm ? {} : { bias: one('a.bias', 0) }) } },
    ...(norm
      ? [
          {
            op: 'BatchNormalization',
            attributes: { epsilon: 1e-3 },
            weights: { scale: one('s', 1), bias: one('b', 0), mean: one('m', 0), variance: one('v', 1) },
          },
        ]
      : []),
    ...between,
    { op: 'Conv', ...plain, weights: { kernel: tensor('b.kernel', [out, CHANNELS, 3, 3]), bias: tensor('b.bias', [out]) } },
  ];
  const layers = chain.map((layer, i) => ({
    ...layer,
    name: `l${i}`,
    inputs: [i === 0 ? 'x' : `v${i - 1}`],
    outputs: [i === chain.length - 1 ? 'y' : `v${i}`],
  }));
  return {
    name: 'net',
    format: 'test',
    producer: null,
    architecture: null,
    inputs: [port('x', ['N', 3, 12, 12])],
    outputs: [port('y', ['N', out, 'H', 'W'])],
    layers: layers.map((layer) => makeLayer(layer)),
    warnings: [],
  };
}

const given = (map: LayerMap, count = 40) => givenInputs(new Map([['x', tensor('x', [count, 3, 12, 12])]]), map);
const run = async (map: LayerMap, inputs: GivenInputs) => Array.from((await runLayers(map, inputs.sample(1), () => {}))[0]!.data, Number);
const relu = { op: 'Relu', attributes: {}, weights: {} } as const;
const slopes = { op: 'PRelu', attributes: {}, weights: { slope: tensor('slope', [CHANNELS, 1, 1]) } } as const;
const pool = {
  op: 'MaxPool',
  attributes: { kernel_shape: [2, 2], strides: [2, 2], pads: [0, 0, 0, 0], dilations: [1, 1], ceil_mode: 0 },
  weights: {},
} as const;

describe('channels evened between layers', () => {
  const even = async (map: LayerMap) => {
    const inputs = await given(map, 8);
    const seen = await rowsSeen(map, codableWeights(map), inputs, 8);
    return { inputs, seen, found: await equalised(map, seen) };
  };

  it.each([
    ['a ReLU', [relu], false],
    ['slopes and a pooling', [slopes, pool], false],
    ['nothing', [], false],
    ['a normalisation and a ReLU', [relu], true],
  ] as const)('compute to the bit what they did, with %s between', async (_, between, norm) => {
    const map = net(between, norm);
    const { inputs, found } = await even(map);
    expect(found!.layers).toEqual([map.layers.at(-1)!.name]);
    expect(await run(found!.map, inputs)).toEqual(await run(map, inputs));
    expect(await valuesOf(found!.map.layers.at(-1)!.weights.kernel!)).not.toEqual(await valuesOf(map.layers.at(-1)!.weights.kernel!));
  });

  it('what flows is scaled as the net now has it', { tags: 'slow' }, async () => {
    const map = net([relu]);
    const { inputs, found } = await even(map);
    const fresh = await rowsSeen(found!.map, codableWeights(found!.map), inputs, 8);
    const [scaled, seen] = [found!.seen, fresh].map((rows) => [...rows.values()].map(({ fit }) => fit.data));
    expect(scaled).toEqual(seen);
  });

  it.each([
    ['a clip at a fixed end', [{ op: 'Clip', attributes: { min: 0, max: 6 }, weights: {} }]],
    ['a curve', [{ op: 'Sigmoid', attributes: {}, weights: {} }]],
  ] as const)('are left as they are behind %s', async (_, between) => {
    expect((await even(net(between))).found).toBeNull();
  });

  it('are left as they are where something else reads what lies between', async () => {
    const map = net([relu]);
    const { found } = await even({ ...map, outputs: [...map.outputs, port('v1', ['N', CHANNELS, 10, 10])] });
    expect(found).toBeNull();
  });
});

it('steps by what each weight does to the output: finer where few values decide all that follows', { tags: 'slow' }, async () => {
  const map = net([relu], false, 48);
  const levels = await stepsOfOneLevel(map, 'channels', [0.7, 0.7], await given(map));
  expect(Number(levels![0])).toBeLessThan(0.7);
  expect(Number(levels![1])).toBeGreaterThanOrEqual(0.7);
});

describe('the whole of it', () => {
  it.each([
    ['few levels', (map: LayerMap, inputs: GivenInputs | null) => shrinkByStep(map, 'channels', 0.7, { inputs })],
    ['4 bits', (map: LayerMap, inputs: GivenInputs | null) => shrinkToFour(map, 'int4', 32, { inputs })],
  ] as const)('comes nearer than rounding, on inputs that nothing saw (%s)', { tags: 'slow' }, async (_, shrunk) => {
    const map = net([relu], true);
    const [inputs, others] = [await given(map), await given(map)];
    const exact = await outputsOf(map, others, 40);
    const [plain, best] = [await shrunk(map, null), await shrunk(map, inputs)];
    const [before, after] = [distance(exact, await outputsOf(plain.map, others, 40)), distance(exact, await outputsOf(best.map, others, 40))];
    expect(after).toBeLessThan(0.85 * before);
    expect(plain.claims).toEqual([]);
    expect(best.claims).toContain('worked-out');
    expect(best.change.message).toMatch(/the error is fed back in \d.*error of the output on inputs kept back, /);
    const dtypes = best.map.layers.flatMap(({ weights }) => (weights.kernel ? [narrowDType(weights.kernel)] : []));
    expect(dtypes.some((dtype) => dtype === 'int8')).toBe(true);
  });
});
