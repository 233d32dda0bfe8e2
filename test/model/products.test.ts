/** The kernels for products of large layers, against loops that follow the definition and nothing else. */
import { describe, expect, it } from 'vitest';
import type { AttributeValue } from '../../src/model/layer-map.js';
import type { Value } from '../../src/model/ops/array.js';
import { evaluateLayer } from '../../src/model/ops/evaluate.js';
import { makeLayer } from '../../src/model/ops/index.js';
import { localMultiplier, type Multiplier } from '../../src/model/ops/multiplier.js';
import type { Precision } from '../../src/model/ops/product-task.js';
import { innerProduct } from '../../src/model/ops/products.js';
import { float32Tensor } from '../../src/model/tensor.js';
import { threadedMultiplier } from '../../src/verify/reference/threads.js';

/** A sum is off by at most this part of the sum of its products' magnitudes: what `Precision` says of float32, and float64's own. */
const BOUND: Readonly<Record<Precision, number>> = { float64: 1e-13, float32: 66 * 2 ** -24 };

/** Numbers that are the same every time. */
function numbers(seed: number): (least: number, most: number) => number {
  let state = Math.imul(seed + 1, 0x9e3779b1) | 1;
  return (least, most) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return least + ((state >>> 0) / 2 ** 32) * (most - least);
  };
}

type Draw = ReturnType<typeof numbers>;
const whole = (draw: Draw, least: number, most: number) => Math.floor(draw(least, most + 1));
const one = <T>(draw: Draw, items: readonly T[]): T => items[whole(draw, 0, items.length - 1)]!;

function values(draw: Draw, shape: readonly number[]): Value {
  const data = new Float64Array(shape.reduce((a, b) => a * b, 1));
  for (let i = 0; i < data.length; i++) data[i] = draw(-1, 1);
  return { shape, data };
}

interface Sum {
  readonly sum: number;
  /** Of the magnitudes of what is added up. */
  readonly magnitude: number;
}

function close(found: Value, wanted: (place: number) => Sum, precision: Precision): void {
  for (const [i, value] of found.data.entries()) {
    const { sum, magnitude } = wanted(i);
    if (Number.isFinite(sum)) {
      if (!(Math.abs(value - sum) <= BOUND[precision] * magnitude))
        expect.fail(`element ${i} is ${value}, expected ${sum} within ${BOUND[precision] * magnitude}`);
    } else expect(value, `element ${i}`).toBe(sum);
  }
}

interface Conv {
  readonly x: Value;
  readonly kernel: Value;
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly pads: readonly number[];
  readonly group: number;
}

/** One output of a convolution over any number of axes, as ONNX defines it; padding is zeros that are multiplied too. */
function convolved({ x, kernel, strides, dilations, pads, group }: Conv, shape: readonly number[], place: number): Sum {
  const index = shape.map((_, axis) => Math.floor(place / shape.slice(axis + 1).reduce((a, b) => a * b, 1)) % shape[axis]!);
  const [n, out, ...at] = index as [number, number, ...number[]];
  const [outChannels, groupIn, ...window] = kernel.shape as [number, number, ...number[]];
  const first = Math.floor(out / (outChannels / group)) * groupIn;
  const taps = window.reduce((a, b) => a * b, 1);
  let [sum, magnitude] = [0, 0];
  for (let c = 0; c < groupIn; c++) {
    for (let tap = 0; tap < taps; tap++) {
      let from = n * x.shape[1]! + first + c;
      let isInside = true;
      for (const [axis, size] of window.entries()) {
        const step = Math.floor(tap / window.slice(axis + 1).reduce((a, b) => a * b, 1)) % size;
        const position = at[axis]! * strides[axis]! + step * dilations[axis]! - pads[axis]!;
        isInside &&= position >= 0 && position < x.shape[axis + 2]!;
        from = from * x.shape[axis + 2]! + position;
      }
      const product = kernel.data[(out * groupIn + c) * taps + tap]! * (isInside ? x.data[from]! : 0);
      sum += product;
      magnitude += Math.abs(product);
    }
  }
  return { sum, magnitude };
}

/** A random convolution of one to three axes, large enough for the kernels, with sizes that fit no vector. */
function drawConv(seed: number): Conv {
  const draw = numbers(seed);
  const rank = one(draw, [1, 2, 2, 2, 3]);
  const axes = Array.from({ length: rank }, (_, i) => i);
  const group = one(draw, [1, 1, 2, 3]);
  const [groupIn, groupOut] = [whole(draw, 1, 7), whole(draw, 4, 11)];
  const window = axes.map(() => whole(draw, 1, rank === 3 ? 2 : 4));
  const strides = axes.map(() => whole(draw, 1, 3));
  const dilations = axes.map(() => whole(draw, 1, 2));
  const begin = axes.map(() => whole(draw, 0, 2));
  const end = axes.map(() => whole(draw, 0, 2));
  const least = axes.map((axis) => (window[axis]! - 1) * dilations[axis]! + 1);
  const sizes = axes.map((axis) => least[axis]! + whole(draw, [0, 500, 20, 7][rank]!, [0, 900, 30, 10][rank]!));
  return {
    x: values(draw, [whole(draw, 1, 2), groupIn * group, ...sizes]),
    kernel: values(draw, [groupOut * group, groupIn, ...window]),
    strides,
    dilations,
    pads: [...begin, ...end],
    group,
  };
}

async function runConv(conv: Conv, multiplier: Multiplier): Promise<Value> {
  const { x, kernel, strides, dilations, pads, group } = conv;
  const attributes: Record<string, AttributeValue> = { strides, dilations, pads, group, kernel_shape: kernel.shape.slice(2), auto_pad: 'NOTSET' };
  const layer = makeLayer({ name: 'conv', op: 'Conv', inputs: ['x', 'kernel'], outputs: ['y'], attributes, weights: {} });
  return (await evaluateLayer(layer, [x, kernel], multiplier))[0]!;
}

/** A multiplier that says how much it was given to do. */
function counting(precision: Precision): { readonly multiplier: Multiplier; readonly work: () => number } {
  const own = localMultiplier(precision);
  let work = 0;
  const perform: Multiplier['perform'] = (task, take) => {
    work += task.work;
    return own.perform(task, take);
  };
  return { multiplier: { ...own, perform }, work: () => work };
}

describe.each(['float64', 'float32'] as const)('in %s', (precision) => {
  it('convolutions of random shapes, strides, dilations, paddings and groups are within the bound', { tags: 'slow' }, async () => {
    const { multiplier, work } = counting(precision);
    for (let seed = 0; seed < 14; seed++) {
      const conv = drawConv(seed);
      const y = await runConv(conv, multiplier);
      close(y, (place) => convolved(conv, y.shape, place), precision);
    }
    // Most are large enough not to be left to plain loops.
    expect(work()).toBeGreaterThan(14 * 20_000);
  });

  it('NaN and infinities end where the definition has them', { tags: 'slow' }, async () => {
    for (let seed = 100; seed < 105; seed++) {
      const conv = drawConv(seed);
      const draw = numbers(seed);
      for (const { data } of [conv.x, conv.kernel]) {
        for (let i = 0; i < 3; i++) data[whole(draw, 0, data.length - 1)] = one(draw, [Number.NaN, Infinity, -Infinity]);
      }
      const y = await runConv(conv, localMultiplier(precision));
      close(y, (place) => convolved(conv, y.shape, place), precision);
    }
  });

  it('matrix products of random sizes, with vectors on either side and lists of matrices, are within the bound', async () => {
    const { multiplier, work } = counting(precision);
    for (let seed = 0; seed < 30; seed++) {
      const draw = numbers(seed + 1000);
      const [lead, rows, depth, columns] = [whole(draw, 1, 3), whole(draw, 1, 60), whole(draw, 1, 700), whole(draw, 1, 60)];
      const [a, b] = [values(draw, [lead, rows, depth]), values(draw, seed % 2 === 0 ? [depth, columns] : [lead, depth, columns])];
      const layer = makeLayer({ name: 'product', op: 'MatMul', inputs: ['a', 'b'], outputs: ['y'], attributes: {}, weights: {} });
      const [y] = await evaluateLayer(layer, [a, b], multiplier);
      expect(y!.shape).toEqual([lead, rows, columns]);
      const product = (place: number): Sum => {
        const [i, row, column] = [Math.floor(place / (rows * columns)), Math.floor(place / columns) % rows, place % columns];
        let [sum, magnitude] = [0, 0];
        for (let k = 0; k < depth; k++) {
          const each = a.data[(i * rows + row) * depth + k]! * b.data[((b.shape.length === 3 ? i * depth : 0) + k) * columns + column]!;
          sum += each;
          magnitude += Math.abs(each);
        }
        return { sum, magnitude };
      };
      close(y!, product, precision);
    }
    expect(work()).toBeGreaterThan(30 * 20_000);
  });

  it('dense layers of any batch are within the bound', async () => {
    for (const [batch, depth, out] of [
      [1, 300, 70],
      [3, 999, 41],
      [5, 260, 33],
      [66, 513, 7],
    ] as const) {
      const draw = numbers(batch);
      const [x, kernel, bias] = [values(draw, [batch, depth]), values(draw, [out, depth]), values(draw, [out])];
      const layer = makeLayer({ name: 'dense', op: 'Gemm', inputs: ['x', 'kernel', 'bias'], outputs: ['y'], attributes: {}, weights: {} });
      const [y] = await evaluateLayer(layer, [x, kernel, bias], localMultiplier(precision));
      const sum = (place: number): Sum => {
        const [n, o] = [Math.floor(place / out), place % out];
        let [total, magnitude] = [bias.data[o]!, Math.abs(bias.data[o]!)];
        for (let k = 0; k < depth; k++) {
          total += x.data[n * depth + k]! * kernel.data[o * depth + k]!;
          magnitude += Math.abs(x.data[n * depth + k]! * kernel.data[o * depth + k]!);
        }
        return { sum: total, magnitude };
      };
      close(y!, sum, precision);
    }
  });

  it('has the same bits on one thread and on several', { tags: 'slow' }, async () => {
    const draw = numbers(7);
    const shape = { strides: [1, 1], dilations: [1, 1], pads: [1, 1, 1, 1], group: 1 };
    const conv: Conv = { x: values(draw, [2, 65, 37, 39]), kernel: values(draw, [66, 65, 3, 3]), ...shape };
    const alone = await runConv(conv, localMultiplier(precision));
    for (const threads of [2, 3]) {
      const multiplier = threadedMultiplier(precision, threads);
      try {
        const [first, second] = await Promise.all([runConv(conv, multiplier), runConv(conv, multiplier)]);
        expect(Buffer.compare(Buffer.from(first.data.buffer), Buffer.from(alone.data.buffer))).toBe(0);
        expect(Buffer.compare(Buffer.from(second.data.buffer), Buffer.from(alone.data.buffer))).toBe(0);
      } finally {
        multiplier.close();
      }
    }
  });
});

it('a task that fails on a thread is an error, and the next one is done', async () => {
  const multiplier = threadedMultiplier('float64', 2);
  const task = { byteLength: 128, writes: [], calls: [['no such kernel', 0]] as const, sums: { at: 64, count: 2, stride: 2 }, work: 2 ** 30 };
  await expect(multiplier.perform(task, () => {})).rejects.toMatchObject({ kind: 'engine' });
  const taken: number[] = [];
  await multiplier.perform({ ...task, calls: [['clear', 64, 16]] }, (sums) => taken.push(...sums));
  expect(taken).toEqual([0, 0]);
  multiplier.close();
});

it.each([1, 2, 3])('of few rows a dense layer gives the inner products of plain loops, to the bit (%i)', async (batch) => {
  const draw = numbers(batch);
  for (const depth of [255, 256, 1001]) {
    const [x, weights] = [values(draw, [batch, depth]), Float32Array.from({ length: 5 * depth }, () => draw(-1, 1))];
    const kernel = float32Tensor('k', [5, depth], weights, { file: 'test' });
    const layer = makeLayer({ name: 'y', op: 'Gemm', inputs: ['x'], outputs: ['y'], weights: { kernel } });
    const [{ data }] = (await evaluateLayer(layer, [x])) as [Value];
    const plain = Array.from({ length: batch * 5 }, (_, i) => innerProduct(weights, (i % 5) * depth, x.data, Math.floor(i / 5) * depth, depth));
    expect([...data]).toEqual(plain);
  }
});

it('a ReLU is the larger of each element and zero, NaN and zeros of both signs included', async () => {
  const finite = [1, -1, 0, -0, 5e-324, -5e-324, 2 ** 1022, -Number.MAX_VALUE];
  for (const odd of [[], [Number.NaN], [Number.POSITIVE_INFINITY], [Number.NEGATIVE_INFINITY], [Number.MAX_VALUE]]) {
    const data = Float64Array.from([...finite, ...odd]);
    const layer = makeLayer({ name: 'y', op: 'Relu', inputs: ['x'], outputs: ['y'] });
    const [made] = (await evaluateLayer(layer, [{ shape: [data.length], data }])) as [Value];
    expect([...made.data]).toEqual([...data].map((element) => Math.max(element, 0)));
  }
});
