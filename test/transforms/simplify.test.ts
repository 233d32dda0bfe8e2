/** What exporters put into a net is taken out again: the same outputs from fewer layers, and only where they are the same for all values. */
import { describe, expect, it } from 'vitest';
import type { Value } from '../../src/model/builder.js';
import type { LayerMap } from '../../src/model/layer-map.js';
import { simplify } from '../../src/transforms/simplify.js';
import { distance, Net, opsOf } from './contract.js';

const EVERYTHING = async () => true;
const IMAGE = ['N', 4, 6, 6] as const;

type Make = (net: Net, x: Value) => Value;

const number = (net: Net, value: number) => net.numbers(`n${value}`, [], [value]);
const op = (net: Net, name: string, a: Value, b?: Value | number, attributes = {}) =>
  net.build.add(name, b === undefined ? [a] : [a, typeof b === 'number' ? number(net, b) : b], attributes);

function gelu(net: Net, x: Value, inner: Value, order: number): Value {
  if (order === 3) return op(net, 'Mul', x, op(net, 'Add', op(net, 'Mul', op(net, 'Erf', inner), 0.5), 0.5));
  const one = op(net, 'Add', op(net, 'Erf', inner), 1);
  if (order === 0) return op(net, 'Mul', op(net, 'Mul', x, one), 0.5);
  if (order === 1) return op(net, 'Mul', op(net, 'Mul', x, 0.5), one);
  return op(net, 'Mul', op(net, 'Mul', one, 0.5), x);
}

const softened = (net: Net, x: Value) => op(net, 'Mul', op(net, 'Add', x, op(net, 'Mul', op(net, 'Pow', x, 3), 0.044715)), Math.sqrt(2 / Math.PI));

/** The operator, and ways to write it. */
const ACTIVATIONS: readonly (readonly [string, string, Make])[] = [
  ...[0, 1, 2, 3].map((order) => ['Gelu', `by erf, order ${order}`, (net: Net, x: Value) => gelu(net, x, op(net, 'Div', x, Math.SQRT2), order)] as const),
  ['Gelu', 'by erf of a product', (net, x) => gelu(net, x, op(net, 'Mul', x, Math.SQRT1_2), 0)],
  ['Gelu', 'by tanh', (net, x) => op(net, 'Mul', op(net, 'Mul', x, 0.5), op(net, 'Add', op(net, 'Tanh', softened(net, x)), 1))],
  [
    'Gelu',
    'by tanh, of x (1 + 0.044715 x²)',
    (net, x) => {
      const inner = op(net, 'Mul', op(net, 'Mul', x, 0.7978845608), op(net, 'Add', op(net, 'Mul', op(net, 'Mul', x, x), 0.044715), 1));
      return op(net, 'Mul', x, op(net, 'Mul', op(net, 'Add', op(net, 'Tanh', inner), 1), 0.5));
    },
  ],
  ['HardSwish', 'by a bounded sum', (net, x) => op(net, 'Div', op(net, 'Mul', x, op(net, 'Clip', op(net, 'Add', x, 3), undefined, { min: 0, max: 6 })), 6)],
  ['HardSwish', 'divided first', (net, x) => op(net, 'Mul', op(net, 'Div', op(net, 'Clip', op(net, 'Add', x, 3), undefined, { min: 0, max: 6 }), 6), x)],
  ['HardSwish', 'by HardSigmoid', (net, x) => op(net, 'Mul', x, op(net, 'HardSigmoid', x, undefined, { alpha: Math.fround(1 / 6), beta: 0.5 }))],
  ['HardSigmoid', 'by a bounded sum', (net, x) => op(net, 'Div', op(net, 'Clip', op(net, 'Add', x, 3), undefined, { min: 0, max: 6 }), 6)],
  ['Swish', 'by Sigmoid', (net, x) => op(net, 'Mul', op(net, 'Sigmoid', x), x)],
  ['Swish', 'of a factor', (net, x) => op(net, 'Mul', x, op(net, 'Sigmoid', op(net, 'Mul', x, 1.702)))],
  ['Mish', 'by Softplus', (net, x) => op(net, 'Mul', x, op(net, 'Tanh', op(net, 'Softplus', x)))],
  ['Mish', 'by a logarithm', (net, x) => op(net, 'Mul', op(net, 'Tanh', op(net, 'Log', op(net, 'Add', op(net, 'Exp', x), 1))), x)],
];

describe('activations', () => {
  it.each(ACTIVATIONS)('%s %s', async (name, _, make) => {
    const net = new Net();
    const before = net.build.add('Relu', [net.input(IMAGE)]);
    const scaled = net.build.add('MatMul', [before, net.weight('turn', [6, 6])]);
    const whole = net.map(make(net, op(net, 'Tanh', scaled)));
    const { map, changes } = await simplify(whole, EVERYTHING);
    expect(opsOf(map)).toEqual(['Relu', 'MatMul', 'Tanh', name]);
    expect(map.layers.at(-1)!.outputs).toEqual(whole.layers.at(-1)!.outputs);
    expect(changes).toEqual([
      { transform: 'recognise', message: `1 ${name} recognised from ${whole.layers.length - 3} layers`, layers: [whole.layers.at(-1)!.name] },
    ]);
    expect(await distance(map, whole)).toBeLessThan(1e-6);
  });

  const unlike: Readonly<Record<string, Make>> = {
    'another constant': (net, x) => gelu(net, x, op(net, 'Div', x, 1.41423), 0),
    'of another value': (net, x) => gelu(net, x, op(net, 'Div', op(net, 'Relu', x), Math.SQRT2), 0),
    'a part that something else reads': (net, x) => {
      const gate = op(net, 'Sigmoid', x);
      return op(net, 'Add', op(net, 'Mul', x, gate), gate);
    },
    'another bound': (net, x) => op(net, 'Div', op(net, 'Mul', x, op(net, 'Clip', op(net, 'Add', x, 3), undefined, { min: 0, max: 5 })), 6),
  };
  it.each(Object.keys(unlike))('%s is no pattern', async (name) => {
    const net = new Net();
    const whole = net.map(unlike[name]!(net, net.input(IMAGE)));
    expect((await simplify(whole, EVERYTHING)).map.layers).toEqual(whole.layers);
  });

  it('what the net shows inside of a pattern stays', async () => {
    const net = new Net();
    const x = net.input(IMAGE);
    const gate = op(net, 'Sigmoid', x);
    const whole = net.map(op(net, 'Mul', x, gate), gate);
    expect((await simplify(whole, EVERYTHING)).map.layers).toEqual(whole.layers);
  });

  it('what the target does not have stays', async () => {
    const net = new Net();
    const x = net.input(IMAGE);
    const whole = net.map(op(net, 'Mul', x, op(net, 'Sigmoid', x)));
    const { map, changes } = await simplify(whole, async ({ op: name }) => name !== 'Swish');
    expect([map, changes]).toEqual([whole, []]);
  });
});

const mean = (net: Net, x: Value, axes: readonly number[]) => net.build.add('ReduceMean', [x], { axes, keepdims: 1 });

function layerNorm(net: Net, x: Value, axes: readonly number[], form: 'pytorch' | 'tensorflow', affine = true): Value {
  const sizes = axes.map((axis) => x.shape!.at(axis) as number);
  const [scale, bias] = [net.weight('ln.weight', sizes, 1), net.weight('ln.bias', sizes)];
  const center = mean(net, x, axes);
  const far = op(net, 'Sub', x, center);
  const root = op(net, 'Sqrt', op(net, 'Add', mean(net, op(net, 'Pow', far, 2), axes), 1e-3));
  if (form === 'tensorflow') {
    const factor = op(net, 'Mul', op(net, 'Reciprocal', root), scale);
    return op(net, 'Add', op(net, 'Mul', x, factor), net.build.add('Sub', [bias, op(net, 'Mul', center, factor)]));
  }
  const made = op(net, 'Div', far, root);
  return affine ? op(net, 'Add', op(net, 'Mul', made, scale), bias) : made;
}

describe('normalisations', () => {
  it.each([
    ['pytorch', [-1], true],
    ['pytorch', [-2, -1], true],
    ['pytorch', [2], false],
    ['tensorflow', [-1], true],
  ] as const)('LayerNormalization as %s writes it, over %s', async (form, axes, affine) => {
    const net = new Net();
    const x = op(net, 'Add', net.input(['N', 5, 7], 'other'), net.weight('place', [5, 7]));
    const whole = net.map(op(net, 'Relu', layerNorm(net, x, axes, form, affine)));
    const { map } = await simplify(whole, EVERYTHING);
    expect(opsOf(map)).toEqual(['Add', 'LayerNormalization', 'Relu']);
    expect(map.layers[1]!.attributes).toEqual({ axis: -axes.length, epsilon: expect.closeTo(1e-3, 9) });
    expect(await distance(map, whole)).toBeLessThan(1e-6);
  });

  it('RMSNormalization', async () => {
    const net = new Net();
    const x = net.input(['N', 5, 7], 'other');
    const root = op(net, 'Sqrt', op(net, 'Add', mean(net, op(net, 'Mul', x, x), [-1]), 1e-3));
    const whole = net.map(op(net, 'Mul', op(net, 'Mul', x, op(net, 'Reciprocal', root)), net.weight('scale', [7], 1)));
    const { map } = await simplify(whole, EVERYTHING);
    expect(opsOf(map)).toEqual(['RMSNormalization']);
    expect(await distance(map, whole)).toBeLessThan(1e-6);
  });

  it.each([
    ['over the channels', [1]],
    ['over an axis in between', [2]],
  ] as const)('%s is none', async (_, axes) => {
    const net = new Net();
    const x = net.input(IMAGE);
    const center = mean(net, x, axes);
    const far = op(net, 'Sub', x, center);
    const whole = net.map(op(net, 'Div', far, op(net, 'Sqrt', op(net, 'Add', mean(net, op(net, 'Pow', far, 2), axes), 1e-3))));
    expect((await simplify(whole, EVERYTHING)).map.layers).toEqual(whole.layers);
  });

  it('what is centred over other axes than it is spread over is only divided by its root mean square', async () => {
    const net = new Net();
    const x = net.input(['N', 5, 7], 'other');
    const far = op(net, 'Sub', x, mean(net, x, [-1]));
    const whole = net.map(op(net, 'Div', far, op(net, 'Sqrt', op(net, 'Add', mean(net, op(net, 'Pow', far, 2), [1, 2]), 1e-3))));
    const { map } = await simplify(whole, EVERYTHING);
    expect(opsOf(map)).toEqual(['ReduceMean', 'Sub', 'RMSNormalization']);
    expect(await distance(map, whole)).toBeLessThan(1e-6);
  });

  it.each([true, false])('GroupNormalization, with factors: %s', async (affine) => {
    const net = new Net();
    const x = net.input(IMAGE);
    const [ones, zeros] = [net.numbers('ones', [2], [1, 1]), net.numbers('zeros', [2], [0, 0])];
    const parts = net.build.add('Reshape', [x], { shape: [0, 2, -1] });
    const standard = net.build.add('Reshape', [net.build.add('InstanceNormalization', [parts, ones, zeros])], { shape: [0, 4, 6, 6] });
    const whole = net.map(affine ? op(net, 'Add', op(net, 'Mul', standard, net.weight('scale', [4, 1, 1])), net.weight('bias', [4, 1, 1])) : standard);
    const { map } = await simplify(whole, EVERYTHING);
    expect(opsOf(map)).toEqual(['GroupNormalization']);
    expect(await distance(map, whole)).toBeLessThan(1e-6);
  });

  it('an InstanceNormalization with factors of its own stays', async () => {
    const net = new Net();
    const parts = net.build.add('Reshape', [net.input(IMAGE)], { shape: [0, 2, -1] });
    const own = net.build.add('InstanceNormalization', [parts, net.weight('scale', [2]), net.weight('bias', [2])]);
    const whole = net.map(net.build.add('Reshape', [own], { shape: [0, 4, 6, 6] }));
    expect((await simplify(whole, EVERYTHING)).map.layers).toEqual(whole.layers);
  });
});

describe('shuffles', () => {
  const through =
    (split: readonly number[], perm: readonly number[], made: readonly number[]): Make =>
    (net, x) =>
      net.build.add('Reshape', [net.build.add('Transpose', [net.build.add('Reshape', [x], { shape: split })], { perm })], { shape: made });
  it.each([
    ['ChannelShuffle', {}, [0, 2, 4, 4, 4], [0, 2, 1, 3, 4], [0, 8, 4, 4]],
    ['DepthToSpace', { mode: 'CRD' }, [0, 2, 2, 2, 4, 4], [0, 1, 4, 2, 5, 3], [0, 2, 8, 8]],
    ['DepthToSpace', { mode: 'DCR' }, [0, 2, 2, 2, 4, 4], [0, 3, 4, 1, 5, 2], [0, 2, 8, 8]],
    ['SpaceToDepth', { mode: 'CRD' }, [0, 8, 2, 2, 2, 2], [0, 1, 3, 5, 2, 4], [0, 32, 2, 2]],
    ['SpaceToDepth', { mode: 'DCR' }, [0, 8, 2, 2, 2, 2], [0, 3, 5, 1, 2, 4], [0, 32, 2, 2]],
  ] as const)('%s %o', async (name, attributes, split, perm, made) => {
    const net = new Net();
    const whole = net.map(through(split, perm, made)(net, net.input(['N', 8, 4, 4])));
    const { map } = await simplify(whole, EVERYTHING);
    expect(opsOf(map)).toEqual([name]);
    expect(map.layers[0]!.attributes).toMatchObject(attributes);
    expect(await distance(map, whole)).toBe(0);
  });

  it.each([
    ['made of other sizes', [0, 2, 4, 4, 4], [0, 2, 1, 3, 4], [0, 4, 8, 4]],
    ['with blocks that are no squares', [0, 1, 2, 4, 4, 4], [0, 1, 4, 2, 5, 3], [0, 1, 8, 16]],
  ] as const)('%s is none', async (_, split, perm, made) => {
    const net = new Net();
    const whole = net.map(through(split, perm, made)(net, net.input(['N', 8, 4, 4])));
    expect(opsOf((await simplify(whole, EVERYTHING)).map)).toEqual(opsOf(whole));
  });
});

describe('what does nothing', () => {
  const cases: readonly (readonly [string, readonly string[], Make])[] = [
    ['an Identity', ['Relu'], (net, x) => op(net, 'Relu', op(net, 'Identity', x))],
    ['two Reshapes', ['Reshape'], (net, x) => net.build.add('Reshape', [net.build.add('Flatten', [x])], { shape: [0, 8, 18] })],
    ['a Reshape and back', ['Relu'], (net, x) => op(net, 'Relu', net.build.add('Reshape', [net.build.add('Flatten', [x])], { shape: [0, 4, 6, 6] }))],
    [
      'two Transposes',
      ['Transpose'],
      (net, x) => op(net, 'Transpose', op(net, 'Transpose', x, undefined, { perm: [0, 2, 3, 1] }), undefined, { perm: [0, 2, 1, 3] }),
    ],
    [
      'a Transpose and back, with another reader between',
      ['Transpose', 'Relu', 'Transpose', 'Add'],
      (net, x) => {
        const turned = op(net, 'Transpose', x, undefined, { perm: [0, 2, 3, 1] });
        const back = op(net, 'Transpose', turned, undefined, { perm: [0, 3, 1, 2] });
        return op(net, 'Add', op(net, 'Transpose', op(net, 'Relu', turned), undefined, { perm: [0, 3, 1, 2] }), back);
      },
    ],
    [
      'a Cast to more and back',
      ['Relu'],
      (net, x) => op(net, 'Relu', op(net, 'Cast', op(net, 'Cast', x, undefined, { to: 'float64' }), undefined, { to: 'float32' })),
    ],
    [
      'padding before a convolution',
      ['Conv'],
      (net, x) => net.build.add('Conv', [net.build.add('Pad', [x], { pads: [0, 0, 1, 0, 0, 0, 2, 1] }), net.weight('w', [3, 4, 2, 2])], { pads: [0, 1, 0, 0] }),
    ],
    [
      'a product and a sum',
      ['Flatten', 'Gemm'],
      (net, x) => op(net, 'Add', op(net, 'MatMul', net.build.add('Flatten', [x]), net.weight('w', [144, 3])), net.weight('b', [3])),
    ],
    ['a convolution and a sum', ['Conv'], (net, x) => op(net, 'Add', net.build.add('Conv', [x, net.weight('w', [3, 4, 2, 2])]), net.weight('b', [3, 1, 1]))],
  ];
  it.each(cases)('%s', async (_, ops, make) => {
    const net = new Net();
    const whole = net.map(make(net, net.input(IMAGE)));
    const { map, changes } = await simplify(whole, EVERYTHING);
    expect(opsOf(map)).toEqual(ops);
    expect(changes).toHaveLength(1);
    expect(map.layers.at(-1)!.outputs).toEqual(whole.layers.at(-1)!.outputs);
    expect(await distance(map, whole)).toBeLessThan(1e-6);
  });

  const needed: readonly (readonly [string, Make])[] = [
    ['a Cast to less and back', (net, x) => op(net, 'Cast', op(net, 'Cast', x, undefined, { to: 'float16' }), undefined, { to: 'float32' })],
    [
      'padding with something else',
      (net, x) => net.build.add('Conv', [net.build.add('Pad', [x], { pads: [0, 0, 1, 1, 0, 0, 1, 1], value: 1 }), net.weight('w', [3, 4, 2, 2])]),
    ],
    ['padding of channels', (net, x) => net.build.add('Conv', [net.build.add('Pad', [x], { pads: [0, 1, 0, 0, 0, 0, 0, 0] }), net.weight('w', [3, 5, 2, 2])])],
    ['a sum that is no bias', (net, x) => op(net, 'Add', net.build.add('Conv', [x, net.weight('w', [3, 4, 2, 2])]), net.weight('b', [3, 5, 5]))],
    ['an Identity that the net shows', (net, x) => op(net, 'Identity', x)],
  ];
  it.each(needed)('%s stays', async (_, make) => {
    const net = new Net();
    const whole = net.map(make(net, net.input(IMAGE)));
    const { map, changes } = await simplify(whole, EVERYTHING);
    expect([map.layers, changes]).toEqual([whole.layers, []]);
  });

  it('what a kept node reads by name keeps its name', async () => {
    const net = new Net();
    const same = op(net, 'Identity', net.input(['N', 3], 'other'));
    const type = { dtype: 'float32', shape: ['N', 3] } as const;
    const foreign = { format: 'onnx', domain: 'ai.onnx', op: 'Loop', reason: '', attributes: [], captures: [same.name], types: [type] };
    const [made] = net.build.foreign(foreign, [same], { name: 'loop', outputs: ['loop'] });
    const whole: LayerMap = net.map(made!);
    expect((await simplify(whole, EVERYTHING)).map.layers).toEqual(whole.layers);
  });
});

it('operators that were worked out while reading are told', async () => {
  const net = new Net();
  const whole = { ...net.map(op(net, 'Relu', net.input(IMAGE))), folded: 7 };
  expect((await simplify(whole, EVERYTHING)).changes).toEqual([
    { transform: 'fold-constants', message: '7 operators that depend on no input were worked out', layers: [] },
  ]);
});
