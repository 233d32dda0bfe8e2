/** Weights that PyTorch keeps apart are put together as it does; what does not fit together stays apart, and nothing is read for it. */
import { describe, expect, it } from 'vitest';
import { foldReparametrised } from '../../src/architectures/reparametrised.js';
import type { ByteSource } from '../../src/bytes/byte-source.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { float32Tensor, sliceAxis, type Tensor, tensorBytes } from '../../src/model/tensor.js';
import { openModel } from '../../src/readers/open.js';
import { TensorKeeper, tinyVgg } from '../pickles.js';

const tensor = (name: string, shape: readonly number[], values: readonly number[]) => float32Tensor(name, shape, values, { file: 'f' });
const dict = (...tensors: Tensor[]) => new Map(tensors.map((one) => [one.name, one]));
const valuesOf = async (one: Tensor) => [...new Float32Array((await tensorBytes(one)).slice().buffer)];

/** The tensor over a source that counts what is read. */
function counted(one: Tensor): { tensor: Tensor; read: () => number } {
  let read = 0;
  const { source } = one.walk;
  const counting: ByteSource = {
    ...source,
    read: (start, end) => {
      read += end - start;
      return source.read(start, end);
    },
    readInto: (start, target) => {
      read += target.byteLength;
      return source.readInto(start, target);
    },
  };
  return { tensor: { ...one, walk: { ...one.walk, source: counting } }, read: () => read };
}

it('what pruning masks is 0', async () => {
  const { tensors } = foldReparametrised(dict(tensor('a.weight_orig', [2, 2], [1, 2, 3, 4]), tensor('a.weight_mask', [2, 2], [1, 0, 0, 1])));
  expect([...tensors.keys()]).toEqual(['a.weight']);
  expect(await valuesOf(tensors.get('a.weight')!)).toEqual([1, 0, 0, 4]);
});

describe('weight_norm', () => {
  const direction = [3, 4, 0, 5];

  it.each([
    ['the first axis', [2, 1], [10, 1], [6, 8, 0, 1]],
    ['the second axis', [1, 2], [3, Math.sqrt(41)], [3, 4, 0, 5]],
    ['none', [], [Math.sqrt(50)], [3, 4, 0, 5]],
  ] as const)('along %s', async (_, shape, lengths, expected) => {
    const { tensors, names } = foldReparametrised(
      dict(tensor('a.weight_g', shape, lengths), tensor('a.weight_v', [2, 2], direction), tensor('a.bias', [2], [0, 1])),
    );
    expect([names, [...tensors.keys()]]).toEqual([['a.weight'], ['a.weight', 'a.bias']]);
    for (const [i, value] of (await valuesOf(tensors.get('a.weight')!)).entries()) expect(value).toBeCloseTo(expected[i]!, 5);
  });

  it('reads nothing until it is asked for, then its direction twice, in pieces', async () => {
    const shape = [64, 5000];
    const v = counted(
      tensor(
        'w.parametrizations.weight.original1',
        shape,
        Array.from({ length: 320000 }, (_, i) => (i % 7) - 3),
      ),
    );
    const g = tensor(
      'w.parametrizations.weight.original0',
      [64, 1],
      Array.from({ length: 64 }, (_, i) => i),
    );
    const folded = foldReparametrised(dict(g, v.tensor)).tensors.get('w.weight')!;
    expect(v.read()).toBe(0);
    const values = await valuesOf(folded);
    expect(v.read()).toBeLessThanOrEqual(2 * 4 * 320000 + 64);
    const row = values.slice(3 * 5000, 4 * 5000);
    expect(Math.sqrt(row.reduce((sum, value) => sum + value * value, 0))).toBeCloseTo(3, 4);
    expect(await valuesOf(sliceAxis(folded, 0, 3, 4))).toEqual(row);
  });

  it.each([
    ['a length of other axes', [tensor('a.weight_g', [3, 1], [1, 1, 1]), tensor('a.weight_v', [2, 2], direction)]],
    ['a length along two axes', [tensor('a.weight_g', [2, 2], [1, 1, 1, 1]), tensor('a.weight_v', [2, 2], direction)]],
    ['a length alone', [tensor('a.weight_g', [2, 1], [1, 1])]],
    ['parts beside the whole', [tensor('a.weight', [2, 2], direction), tensor('a.weight_g', [2, 1], [1, 1]), tensor('a.weight_v', [2, 2], direction)]],
    ['a name that only looks like it', [tensor('embedding_g', [4], [1, 2, 3, 4]), tensor('embedding_u', [4], [1, 2, 3, 4])]],
  ])('is not %s', (_, tensors) => {
    const folded = foldReparametrised(dict(...tensors));
    expect([folded.names, [...folded.tensors.keys()]]).toEqual([[], tensors.map(({ name }) => name)]);
  });
});

describe('spectral_norm', () => {
  it.each([
    ['weight_orig', 'weight_u', 'weight_v'],
    ['parametrizations.weight.original', 'parametrizations.weight.0._u', 'parametrizations.weight.0._v'],
  ])('divides by u · Wv: %s', async (weight, u, v) => {
    const parts = dict(tensor(`a.${weight}`, [2, 3], [1, 2, 3, 4, 5, 6]), tensor(`a.${u}`, [2], [1, 2]), tensor(`a.${v}`, [3], [1, 0, -1]));
    // Wv = [-2, -2], u · Wv = -6
    const values = await valuesOf(foldReparametrised(parts).tensors.get('a.weight')!);
    for (const [i, value] of values.entries()) expect(value).toBeCloseTo((i + 1) / -6, 6);
  });

  it('has the rows of a transposed convolution along its second axis', async () => {
    const parts = dict(tensor('a.weight_orig', [3, 2], [1, 4, 2, 5, 3, 6]), tensor('a.weight_u', [2], [1, 2]), tensor('a.weight_v', [3], [1, 0, -1]));
    expect((await valuesOf(foldReparametrised(parts).tensors.get('a.weight')!))[0]).toBeCloseTo(-1 / 6, 6);
  });

  const kernel = [3, 1, -2, 5, 0, 4, 7, -1, 2, -6, 1, 8, -3, 2, 9, -4, 5, 0];
  const rowsOf = (axis: number) => [0, 1, 2].map((row) => kernel.filter((_, i) => (axis === 0 ? Math.floor(i / 6) : Math.floor(i / 2) % 3) === row));
  const parts = (u: readonly number[], v: readonly number[]) =>
    dict(tensor('a.weight_orig', [3, 3, 2], kernel), tensor('a.weight_u', [3], u), tensor('a.weight_v', [6], v));
  it.each([0, 1])('has them along the axis %i of equal ones where u lies along Wv', async (axis) => {
    const v = [0.5, -0.5, 0.1, 0.7, 0, 0.2];
    const product = rowsOf(axis).map((row) => row.reduce((sum, value, i) => sum + value * v[i]!, 0));
    const size = Math.hypot(...product);
    const u = product.map((value) => value / size);
    expect((await valuesOf(foldReparametrised(parts(u, v)).tensors.get('a.weight')!))[0]).toBeCloseTo(3 / size, 5);
  });

  it('says so where nothing tells along which of two equal axes', async () => {
    const whole = foldReparametrised(parts([0.1, 0.6, 0.79], [0.5, -0.5, 0.1, 0.7, 0, 0.2])).tensors.get('a.weight')!;
    await expect(valuesOf(whole)).rejects.toMatchObject({ kind: 'unsupported', place: { tensor: 'a.weight' } });
  });
});

it('is told, with the first name and how many there are', async () => {
  const keeper = new TensorKeeper();
  const apart = [...tinyVgg()].flatMap(([name, { shape, values }]) => {
    if (!name.endsWith('weight')) return [[name, { shape, values }] as const];
    return [
      [`${name}_g`, { shape: shape.map((size, axis) => (axis === 0 ? size : 1)), values: values.slice(0, shape[0]) }] as const,
      [`${name}_v`, { shape, values }] as const,
    ];
  });
  const bytes = keeper.pth(new Map(apart.map(([name, weights]) => [name, keeper.tensor(weights)])));
  const { warnings } = await (await openModel(memoryFileSet({ 'x.pth': bytes }, 'x.pth'))).map();
  expect(warnings.filter(({ code }) => code === 'folded').map(({ message }) => message)).toEqual([
    expect.stringMatching(/^5 weights \("features\.0\.weight", \.\.\.\)/),
  ]);
});
