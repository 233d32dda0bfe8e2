/** A net with another batch makes of each row what the net made of it alone; where that cannot be shown, nothing is made. */
import { describe, expect, it } from 'vitest';
import type { Dim, LayerMap } from '../../src/model/layer-map.js';
import type { NdArray } from '../../src/model/nd-array.js';
import { editMap } from '../../src/transforms/index.js';
import { joinRows } from '../../src/verify/feeds.js';
import { generateSample } from '../../src/verify/inputs.js';
import { runLayers } from '../../src/verify/reference/session.js';
import { Net } from './contract.js';

type Make = (net: Net, batch: Dim) => LayerMap;

/** As exporters write a net that they trace with so many pictures. */
const NETS: Readonly<Record<string, Make>> = {
  'a classifier whose Reshape holds the batch': (net, batch) => {
    const { build } = net;
    const conv = build.add('Conv', [net.input([batch, 3, 6, 6]), net.weight('w', [4, 3, 3, 3]), net.weight('b', [4])], {}, 'conv');
    const pooled = build.add('MaxPool', [build.add('Relu', [conv], {}, 'relu')], { kernel_shape: [2, 2], strides: [2, 2] }, 'pool');
    const flat = build.add('Reshape', [pooled], { shape: [batch as number, 16] }, 'flat');
    return net.map(build.add('Softmax', [build.add('Gemm', [flat, net.weight('d', [5, 16])], {}, 'fc')], { axis: -1 }, 'prob'));
  },
  'attention over tokens, whose rows are merged with heads': (net, batch) => {
    const { build } = net;
    const rows = batch as number;
    const x = net.input([batch, 4, 6], 'other');
    const q = build.add('MatMul', [x, net.weight('q', [6, 6])], {}, 'q');
    const heads = build.add('Transpose', [build.add('Reshape', [q], { shape: [rows, 4, 2, 3] }, 'split')], { perm: [0, 2, 1, 3] }, 'turn');
    const merged = build.add('Reshape', [heads], { shape: [rows * 2, 4, 3] }, 'merge');
    const scores = build.add('MatMul', [merged, build.add('Transpose', [merged], { perm: [0, 2, 1] }, 'back')], {}, 'scores');
    const mixed = build.add('MatMul', [build.add('Softmax', [scores], { axis: 2 }, 'soft'), merged], {}, 'mixed');
    const apart = build.add('Transpose', [build.add('Reshape', [mixed], { shape: [rows, 2, 4, 3] }, 'apart')], { perm: [0, 2, 1, 3] }, 'turned');
    const joined = build.add('Reshape', [apart], { shape: [rows, -1, 6] }, 'join');
    return net.map(build.add('ReduceMean', [build.add('Add', [joined, x], {}, 'sum')], { axes: [1], keepdims: 0 }, 'mean'));
  },
  'rows that are second, as recurrent and attention layers of PyTorch have them': (net, batch) => {
    const { build } = net;
    const rows = batch as number;
    const x = build.add('Transpose', [net.input([batch, 5, 4], 'other')], { perm: [1, 0, 2] }, 'second');
    const flat = build.add('Reshape', [x], { shape: [5, rows * 2, 2] }, 'heads');
    const sum = build.add('ReduceSum', [flat], { axes: [0], keepdims: 0 }, 'sum');
    return net.map(build.add('Reshape', [sum], { shape: [rows, 4] }, 'out'));
  },
  'sizes that an upsampling was given': (net, batch) => {
    const { build } = net;
    const x = net.input([batch, 2, 3, 4]);
    const large = build.add('Resize', [x], { sizes: [batch as number, 2, 6, 8], mode: 'linear', coordinate_transformation_mode: 'pytorch_half_pixel' }, 'up');
    return net.map(build.add('Concat', [large, build.add('Relu', [large], {}, 'relu')], { axis: 1 }, 'both'));
  },
  'a token for each row, and a table of embeddings': (net, batch) => {
    const { build } = net;
    const x = net.input([batch, 3, 4], 'other');
    const token = build.add('Relu', [net.weight('token', [1, 1, 4])], {}, 'token');
    const parts = typeof batch === 'number' && batch > 1 ? [x] : [token, x];
    const all = build.add('Concat', parts, { axis: 1 }, 'all');
    return net.map(build.add('Squeeze', [build.add('Slice', [all], { starts: [0], ends: [1], axes: [1] }, 'first')], { axes: [1] }, 'out'));
  },
};

async function run(map: LayerMap, feeds: readonly NdArray[]): Promise<NdArray> {
  return (await runLayers(map, feeds, () => {}))[0]!;
}

describe.each(Object.entries(NETS))('%s', (_, make) => {
  it.each([1, 2])('of a batch of %i becomes free, or another number', async (own) => {
    const source = make(new Net(), own);
    const samples = [0, 1, 2, 3].map((i) => generateSample(source.inputs, i, 7));
    const alone = await Promise.all(samples.map((feeds) => run(source, feeds)));
    for (const batch of ['dynamic', 4 * own] as const) {
      const { map, changes } = await editMap(source, { batch });
      expect(map.inputs[0]!.shape[0]).toBe(batch === 'dynamic' ? 'N' : batch);
      expect(map.outputs[0]!.shape[0]).toBe(batch === 'dynamic' ? 'N' : batch);
      expect(changes).toMatchObject([{ transform: 'batch' }]);
      const made = await run(
        map,
        source.inputs.map((_, port) => joinRows(samples.map((feeds) => feeds[port]!))),
      );
      const expected = joinRows(alone);
      expect(made.shape).toEqual(expected.shape);
      const worst = Math.max(...Array.from(expected.data as ArrayLike<number>, (value, i) => Math.abs(value - Number(made.data[i]))));
      expect(worst).toBeLessThan(1e-12);
    }
  });
});

it('a free batch is fixed, and a batch that is asked for already changes nothing', async () => {
  const free = (await editMap(NETS['a classifier whose Reshape holds the batch']!(new Net(), 1), { batch: 'dynamic' })).map;
  const { map } = await editMap(free, { batch: 3 });
  expect([map.inputs[0]!.shape, map.outputs[0]!.shape]).toEqual([
    [3, 3, 6, 6],
    [3, 5],
  ]);
  expect((await editMap(map, { batch: 3 })).map).toBe(map);
  expect((await editMap(free, { batch: 'dynamic' })).map).toBe(free);
});

describe('what mixes rows, or has something of its own for each, is named', () => {
  const refused = async (make: (net: Net) => LayerMap) => {
    const error = await editMap(make(new Net()), { batch: 'dynamic' }).catch((caught) => caught);
    expect(error).toMatchObject({ kind: 'unsupported' });
    return error.message as string;
  };

  it('a mean over the batch, and what follows is not told as well', async () => {
    const message = await refused((net) => {
      const x = net.build.add('ReduceMean', [net.input([2, 3])], { axes: [0], keepdims: 1 }, 'mean');
      return net.map(net.build.add('Softmax', [x], { axis: 0 }, 'soft'));
    });
    expect(message).toContain('layer "mean": ReduceMean mixes the rows');
    expect(message).not.toContain('soft');
  });

  it.each([
    ['Softmax', (net: Net) => net.build.add('Softmax', [net.input([2, 3])], { axis: 0 }, 'it')],
    ['a constant for each row', (net: Net) => net.build.add('Add', [net.input([2, 3]), net.weight('w', [2, 3])], {}, 'it')],
    ['two inputs side by side along the batch', (net: Net) => net.build.add('Concat', [net.input([2, 3]), net.input([2, 3], 'other', 'y')], { axis: 0 }, 'it')],
    [
      'a product of rows with rows',
      (net: Net) => {
        const x = net.input([2, 3]);
        return net.build.add('MatMul', [x, net.build.add('Transpose', [x], { perm: [1, 0] }, 't')], {}, 'it');
      },
    ],
    ['a shape that takes rows apart', (net: Net) => net.build.add('Reshape', [net.input([2, 3])], { shape: [3, 2] }, 'it')],
    ['rows that are picked', (net: Net) => net.build.add('Slice', [net.input([2, 3])], { starts: [0], ends: [1], axes: [0] }, 'it')],
    ['an operator that is not known to', (net: Net) => net.build.add('CumSum', [net.input([2, 3])], { axis: 0 }, 'it')],
  ])('%s', async (_, make) => {
    expect(await refused((net) => net.map(make(net)))).toContain('layer "it"');
  });
});
