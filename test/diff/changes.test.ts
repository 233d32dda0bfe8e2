/** Each named change is planted in a weight, and found. */
import { describe, expect, it } from 'vitest';
import { castTensor } from '../../src/model/cast.js';
import { flip, permute, reshape, sliceAxis, type Tensor } from '../../src/model/tensor.js';
import { branchedNet } from '../verify/faults/nets.js';
import { changed, diffOf, floats, onnx, random, safetensors, tensorOf, texts, valuesOf, withWeight } from './files.js';

/** The only tensor of two files of weights. */
async function one(a: Tensor, b: Tensor) {
  const document = await diffOf(await safetensors(a), await safetensors({ ...b, name: a.name }));
  expect(document.tensors).toHaveLength(1);
  return { tensor: document.tensors[0]!, verdict: document.verdict };
}

describe('of bare weights, whose layout nothing says', () => {
  const kernel = random('conv.weight', [8, 3, 5, 4]);
  const matrix = random('fc.weight', [6, 20]);

  it('nothing', async () => {
    const { tensor, verdict } = await one(kernel, kernel);
    expect(tensor).toMatchObject({ status: 'equal', changes: [], statistics: null, histograms: null });
    expect(verdict).toMatchObject({ kind: 'identical', equal: true });
  });

  it.each<[string, Tensor, Tensor, string[]]>([
    ['transposed', matrix, permute(matrix, [1, 0]), ['transposed']],
    ['a square one transposed', random('w', [9, 9]), permute(random('w', [9, 9]), [1, 0]), ['transposed']],
    ['kernel of TensorFlow', kernel, permute(kernel, [2, 3, 1, 0]), ['axes permuted (2, 3, 1, 0)']],
    ['read in another shape', kernel, reshape(kernel, [8, 60]), ['[8, 60] for [8, 3, 5, 4]']],
    ['turned and read in another shape', kernel, reshape(permute(kernel, [0, 2, 3, 1]), [8, 60]), ['axes permuted (0, 2, 3, 1)', '[8, 60] for [8, 3, 5, 4]']],
    ['flattened channels last', matrix, reshape(permute(reshape(matrix, [6, 5, 4]), [0, 2, 1]), [6, 20]), ['flattened as 4 x 5 for 5 x 4']],
    [
      'flattened channels last and transposed',
      matrix,
      permute(reshape(permute(reshape(matrix, [6, 5, 4]), [0, 2, 1]), [6, 20]), [1, 0]),
      ['transposed', 'flattened as 4 x 5 for 5 x 4'],
    ],
  ])('%s', async (_what, a, b, expected) => {
    const { tensor, verdict } = await one(a, b);
    expect(texts(tensor)).toEqual(expected);
    expect(tensor.status).toBe('changed');
    expect(verdict).toMatchObject({ kind: 'same-weights', equal: true });
    expect(verdict.sentence).toMatch(/^same weights in another layout/);
  });

  it.each<[string, Tensor | Promise<Tensor>, Tensor | Promise<Tensor>, string[]]>([
    ['turned by 180 degrees', kernel, flip(kernel, [2, 3]), ['turned by 180 degrees']],
    ['mirrored', kernel, flip(kernel, [3]), ['flipped along axis 3']],
    ['BGR', random('c', [8, 3, 5, 5]), flip(random('c', [8, 3, 5, 5]), [1]), ['channels reversed (RGB and BGR)']],
    ['BGR, channels last', random('c', [5, 5, 3, 8]), flip(random('c', [5, 5, 3, 8]), [2]), ['channels reversed (RGB and BGR)']],
    ['scaled', kernel, changed(kernel, (value) => value / 255), ['scaled by 1/255']],
    ['scaled by an odd number', kernel, changed(kernel, (value) => value * 0.7311), ['scaled by 0.7311']],
    ['negated', kernel, changed(kernel, (value) => -value), ['negated']],
    ['scaled and BGR', kernel, changed(flip(kernel, [1]), (value) => value * 4), ['flipped along axis 1', 'scaled by 4']],
    ['rounded to float16', kernel, rounded(kernel, 'float16'), ['rounded to float16']],
    ['stored as float16', kernel, castTensor(kernel, 'float16'), ['rounded to float16']],
    ['rounded to bfloat16', kernel, rounded(kernel, 'bfloat16'), ['rounded to bfloat16']],
    ['rounded and turned', kernel, permute(castTensor(kernel, 'float16'), [2, 3, 1, 0]), ['axes permuted (2, 3, 1, 0)', 'rounded to float16']],
    ['rounded before', rounded(kernel, 'float16'), kernel, ['a is b rounded to float16']],
    ['rounded to int8', kernel, quantised(kernel, 60), ['rounded to int8 (per channel)']],
    ['rounded to uint8', kernel, inSteps(kernel, 255), ['rounded to uint8 (per tensor)']],
    ['rounded to uint16', kernel, inSteps(kernel, 65_535), ['rounded to uint16 (per tensor)']],
    ['rows in another order', matrix, rowsInOrder(matrix, [3, 1, 5, 0, 2, 4]), ['rows in another order']],
    ['columns in another order', permute(matrix, [1, 0]), permute(rowsInOrder(matrix, [3, 1, 5, 0, 2, 4]), [1, 0]), ['columns in another order']],
    ['rows in another order and transposed', matrix, permute(rowsInOrder(matrix, [3, 1, 5, 0, 2, 4]), [1, 0]), ['transposed', 'columns in another order']],
    ['values in another order', random('b', [7]), rowsInOrder(random('b', [7]), [2, 6, 0, 1, 5, 3, 4]), ['values in another order']],
  ])('%s, which is no longer equal', async (_what, a, b, expected) => {
    const { tensor, verdict } = await one(await a, await b);
    expect(texts(tensor)).toEqual(expected);
    expect(tensor.status).toBe('changed');
    expect(verdict).toMatchObject({ kind: 'same-weights', equal: false });
    expect(verdict.sentence).toContain('same weights');
  });

  it('a dtype that holds more is no change of values', async () => {
    const half = castTensor(kernel, 'float16');
    const { tensor, verdict } = await one(half, await rounded(kernel, 'float16'));
    expect(texts(tensor)).toEqual(['stored as float32 for float16']);
    expect(verdict.equal).toBe(true);
  });

  it('NaN are equal to themselves bit by bit, and to other NaN', async () => {
    const odd = floats('w', [2, 3], [Number.NaN, 1, Number.POSITIVE_INFINITY, -0, 2, Number.NEGATIVE_INFINITY]);
    expect((await one(odd, odd)).tensor.status).toBe('equal');
    const other = await changed(odd, (value, i) => (i === 3 ? 0 : value));
    const { tensor, verdict } = await one(odd, other);
    expect(tensor).toMatchObject({ status: 'changed', statistics: { nonFinite: { a: 3, b: 3 } } });
    expect(texts(tensor)).toEqual(['other bits of zeros or NaN']);
    expect(verdict.equal).toBe(true);
    const finite = await one(odd, await changed(odd, (value) => (Number.isNaN(value) ? 0 : value)));
    expect(finite.tensor).toMatchObject({ status: 'different', statistics: { maxAbsolute: null, differing: 1 } });
    expect(finite.verdict.equal).toBe(false);
  });

  it('no value at all', async () => {
    expect((await one(floats('w', [0, 3], []), floats('w', [0, 3], []))).tensor.status).toBe('equal');
    expect(
      (
        await one(
          floats('w', [0, 3], []),
          floats(
            'w',
            [3, 3],
            Array.from({ length: 9 }, (_, i) => i),
          ),
        )
      ).tensor.status,
    ).toBe('different');
  });

  it('a little noise is close, and told in numbers', async () => {
    const { tensor, verdict } = await one(kernel, await changed(kernel, (value, i) => value + (i % 2 === 0 ? 0.01 : -0.01)));
    const { maxAbsolute, relativeL2, cosine, differing } = tensor.statistics!;
    expect(tensor.status).toBe('close');
    expect(maxAbsolute).toBeCloseTo(0.01, 6);
    const rms = Math.sqrt([...(await valuesOf(kernel))].reduce((sum, value) => sum + value * value, 0) / 480);
    expect(relativeL2).toBeCloseTo(0.01 / rms, 5);
    expect(cosine).toBeGreaterThan(0.999);
    expect(differing).toBe(480);
    expect(tensor.histograms!.a.counts.reduce((a, b) => a + b)).toBe(480);
    expect(tensor.histograms!.b.counts.reduce((a, b) => a + b)).toBe(480);
    expect(verdict.equal).toBe(false);
  });

  it('other values are different, in whatever order', async () => {
    const { tensor } = await one(kernel, { ...random('something else', [8, 3, 5, 4]) });
    expect(tensor).toMatchObject({ status: 'different', changes: [] });
    expect(Math.abs(tensor.statistics!.cosine!)).toBeLessThan(0.3);
  });

  it('integers beyond what numbers hold are told apart', async () => {
    const int64 = (...values: bigint[]): Tensor => ({ ...floats('n', [2], [0, 0]), ...bigint(values) });
    expect((await one(int64(2n ** 60n, 1n), int64(2n ** 60n, 1n))).tensor.status).toBe('equal');
    const { tensor, verdict } = await one(int64(2n ** 60n, 1n), int64(2n ** 60n + 1n, 1n));
    expect(tensor.status).not.toBe('equal');
    expect(verdict.equal).toBe(false);
  });
});

describe('of a net, whose layout is known', () => {
  const net = branchedNet();
  const original = onnx(net);

  it.each<[string, string, (tensor: Tensor) => Tensor, string]>([
    ['a kernel turned', 'conv3b', (tensor) => flip(tensor, [2, 3]), 'turned by 180 degrees'],
    ['height and width exchanged', 'conv1', (tensor) => permute(tensor, [0, 1, 3, 2]), 'axes permuted (0, 1, 3, 2)'],
    ['BGR', 'conv1', (tensor) => flip(tensor, [1]), 'channels reversed (RGB and BGR)'],
    ['filters in another order', 'conv1', (tensor) => rowsInOrder(tensor, [7, 1, 0, 3, 2, 5, 4, 6]), 'rows in another order'],
    ['flatten order', 'fc', (tensor) => reshape(permute(reshape(tensor, [5, 3, 4]), [0, 2, 1]), [5, 12]), 'flattened as 4 x 3 for 3 x 4'],
  ])('%s is another net', async (_what, layer, change, text) => {
    const document = await diffOf(await original, await onnx(withWeight(net, layer, 'kernel', change)));
    const tensor = tensorOf(document, layer, 'kernel');
    expect(texts(tensor)).toEqual([text]);
    expect(tensor.changes[0]!.keepsValues).toBe(false);
    expect(document.verdict).toMatchObject({ kind: 'same-weights', equal: false });
    expect(document.totals).toMatchObject({ changed: 1, different: 0, close: 0 });
  });

  it('batch normalisation folded into the convolutions before it', async () => {
    const conv = net.layers.find(({ name }) => name === 'conv1')!;
    const norm = net.layers.find(({ name }) => name === 'bn1')!;
    const [scale, shift, mean, variance, bias] = await Promise.all(
      [norm.weights.scale!, norm.weights.bias!, norm.weights.mean!, norm.weights.variance!, conv.weights.bias!].map(valuesOf),
    );
    const factor = (c: number) => scale![c]! / Math.sqrt(variance![c]! + (norm.attributes.epsilon as number));
    const kernel = await changed(conv.weights.kernel!, (value, i) => value * factor(Math.floor(i / 27)));
    const folded = await changed(conv.weights.bias!, (_, c) => (bias![c]! - mean![c]!) * factor(c) + shift![c]!);
    // The one behind the concatenation cannot be folded, so a net without it is made of the first layers alone.
    const cut = (layers: typeof net.layers, last: string) => ({
      ...net,
      layers,
      outputs: [{ name: 'out', value: last, dtype: 'float32' as const, shape: ['N', 8, 15, 17], layout: 'nchw' as const }],
    });
    const [first, second] = [net.layers[0]!, net.layers[1]!];
    const a = cut([first, second], 'bn1');
    const b = cut([{ ...first, weights: { kernel, bias: folded } }], 'conv1');
    for (const document of [await diffOf(await onnx(a), await onnx(b)), await diffOf(await onnx(b), await onnx(a))]) {
      expect(document.tensors.map(({ role, status }) => [role, status])).toEqual([
        ['kernel', 'changed'],
        ['bias', 'changed'],
      ]);
      expect(texts(document.tensors[0]!)).toEqual(['batch normalisation folded']);
      expect(document.verdict.equal).toBe(false);
      expect(document.verdict.sentence).toContain('batch normalisation folded');
    }
    const wrong = await changed(kernel, (value, i) => (i === 5 ? value * 1.01 : value));
    const faulty = await diffOf(await onnx(a), await onnx(cut([{ ...first, weights: { kernel: wrong, bias: folded } }], 'conv1')));
    expect(tensorOf(faulty, 'conv1', 'kernel').status).toBe('close');
  });
});

/** Stored in float32, with the values that a narrower dtype has. */
function rounded(tensor: Tensor, dtype: 'float16' | 'bfloat16'): Promise<Tensor> {
  return changed(castTensor(castTensor(tensor, dtype), 'float32'), (value) => value);
}

function rowsInOrder(tensor: Tensor, order: readonly number[]): Tensor {
  const inner = tensor.shape.slice(1).reduce((a, b) => a * b, 1);
  const rows = order.map((row) => sliceAxis(tensor, 0, row, row + 1));
  return joined(tensor, rows, inner);
}

/** Rows one after the other; read when they are. */
function joined(tensor: Tensor, rows: readonly Tensor[], inner: number): Tensor {
  const source = {
    name: 'rows',
    byteLength: 4 * rows.length * inner,
    async read(start: number, end: number) {
      const all = Buffer.concat(await Promise.all(rows.map(async (row) => new Uint8Array((await valuesOf(row)).buffer))));
      return new Uint8Array(all).subarray(start, end);
    },
    async readInto(start: number, target: Uint8Array) {
      target.set(await this.read(start, start + target.byteLength));
    },
    async close() {},
  };
  const base = floats(tensor.name, tensor.shape, new Array(rows.length * inner).fill(0));
  return { ...base, walk: { ...base.walk, source } };
}

/** In whole steps around zero, each row with its own. */
async function quantised(tensor: Tensor, inner: number): Promise<Tensor> {
  const values = await valuesOf(tensor);
  const largest = (row: number) => Math.max(...values.subarray(row * inner, (row + 1) * inner).map(Math.abs));
  return changed(tensor, (value, i) => {
    const step = Math.fround(largest(Math.floor(i / inner)) / 127);
    return Math.round(value / step) * step;
  });
}

async function inSteps(tensor: Tensor, steps: number): Promise<Tensor> {
  const values = await valuesOf(tensor);
  const [min, max] = [Math.min(...values), Math.max(...values)];
  const step = (max - min) / steps;
  return changed(tensor, (value) => min + Math.round((value - min) / step) * step);
}

function bigint(values: readonly bigint[]): Pick<Tensor, 'dtype' | 'walk'> {
  const bytes = new Uint8Array(BigInt64Array.from(values).buffer);
  const base = floats('n', [2], [0, 0]);
  const source = {
    ...base.walk.source,
    byteLength: 16,
    read: async (start: number, end: number) => bytes.subarray(start, end),
    readInto: async (start: number, target: Uint8Array) => target.set(bytes.subarray(start, start + target.byteLength)),
  };
  return { dtype: 'int64', walk: { ...base.walk, dtype: 'int64', source } };
}
