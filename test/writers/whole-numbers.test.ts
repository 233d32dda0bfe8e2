/** Integers that wrap around, and floats that are narrowed, in targets that have float32 alone: as the source has them, told, or refused by name. */
import { describe, expect, test } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import type { DType } from '../../src/model/dtype.js';
import type { LayerMap, Port } from '../../src/model/layer-map.js';
import { numbersTensor } from '../../src/model/numbers.js';
import { inferMap, makeLayer } from '../../src/model/ops/index.js';
import { roundTo } from '../../src/model/ops/rounding.js';
import { referenceSession } from '../../src/verify/reference/session.js';
import { caffe } from '../../src/writers/caffe/index.js';
import { kerasH5, kerasV3 } from '../../src/writers/keras.js';
import { pytorch } from '../../src/writers/pytorch/index.js';
import { tfjs, tfjsGraph } from '../../src/writers/tfjs/index.js';
import { runTfjs } from '../run-tfjs.js';
import { emptyMap, type OpCase } from './onnx-cases.js';

const OPTIONS = { dtype: 'source', layout: 'source', metadata: async () => ({}) } as const;

interface Net {
  readonly dtype: DType;
  readonly values: readonly (readonly number[])[];
  readonly attributes?: OpCase['attributes'];
  /** A constant that is its last operand. */
  readonly constant?: readonly number[];
}

const ORIGIN = { file: 'test' };
const shapeOf = ({ length }: readonly number[]) => [1, length];

function netOf(op: string, { dtype, values, attributes = {}, constant }: Net): LayerMap {
  const inputs = values.map((own, i): Port => ({ name: `x${i}`, value: `x${i}`, dtype, valueDType: dtype, shape: shapeOf(own), layout: 'other' }));
  const made = constant && numbersTensor('constant', dtype, shapeOf(constant), constant, ORIGIN);
  const layers = [
    ...(made ? [makeLayer({ name: 'number', op: 'Constant', inputs: [], outputs: ['c'], weights: { value: made } })] : []),
    makeLayer({ name: 'one', op, inputs: [...inputs.map(({ value }) => value), ...(made ? ['c'] : [])], outputs: ['y'], attributes }),
  ];
  const { shape } = inferMap({ inputs, layers }).get('y')!;
  return { ...emptyMap, inputs, outputs: [{ name: 'y', value: 'y', dtype, valueDType: dtype, shape: shape!, layout: 'other' }], layers };
}

const feedsOf = ({ values }: Net) => values.map((own) => ({ shape: shapeOf(own), data: Float32Array.from(own) }));

async function graphAndReference(map: LayerMap, inputs: readonly { shape: readonly number[]; data: Float32Array }[]) {
  const sink = memorySink();
  const { warnings } = await tfjsGraph.write(map, sink, 'model.json', OPTIONS);
  await sink.commit();
  const session = await referenceSession(map);
  const [expected] = [...(await session.run(new Map(inputs.map((input, i) => [map.inputs[i]!.name, input]))))].map(([, array]) =>
    Array.from(array.data, Number),
  );
  const [made] = await runTfjs('tfjs-graph', sink.files, inputs);
  return { made: [...made!.data], expected, warnings };
}

const OF_ALL = { axes: [1], keepdims: 1 };
const WRAPPING: Readonly<Record<string, readonly [op: string, net: Net, made: readonly number[]]>> = {
  'a sum of uint8': ['Add', { dtype: 'uint8', values: [[200, 255, 3], [100, 1, 4]] }, [44, 0, 7]], // biome-ignore format: one case, one line
  'a sum with a constant': ['Add', { dtype: 'int8', values: [[127, -5]], constant: [1, 2] }, [-128, -3]],
  'a difference of uint16': ['Sub', { dtype: 'uint16', values: [[3, 9], [5, 4]] }, [65534, 5]], // biome-ignore format: one case, one line
  'a product of int8': ['Mul', { dtype: 'int8', values: [[100, -128], [3, -1]] }, [44, -128]], // biome-ignore format: one case, one line
  'the other sign': ['Neg', { dtype: 'int8', values: [[-128, 5]] }, [-128, -5]],
  'no sign': ['Abs', { dtype: 'int16', values: [[-32768, -4]] }, [-32768, 4]],
  'a quotient': ['Div', { dtype: 'int8', values: [[-128, 7], [-1, 2]] }, [-128, 3]], // biome-ignore format: one case, one line
  'a power': ['Pow', { dtype: 'uint8', values: [[20, 3]], constant: [2] }, [144, 9]],
  'the sum of a line': ['ReduceSum', { dtype: 'uint8', values: [[200, 100, 20]], attributes: OF_ALL }, [64]],
  'the squares of a line': ['ReduceSumSquare', { dtype: 'uint8', values: [[16, 3]], attributes: OF_ALL }, [9]],
  'sums so far': ['CumSum', { dtype: 'int16', values: [[32767, 1, 1]], attributes: { axis: 1 } }, [32767, -32768, -32767]],
  'a sum of three': ['Sum', { dtype: 'uint8', values: [[100], [100], [100]] }, [44]],
};

describe('TensorFlow.js graphs wrap whole numbers around as the source does', () => {
  test.each(Object.entries(WRAPPING))('%s', async (_, [op, net, made]) => {
    expect(await graphAndReference(netOf(op, net), feedsOf(net))).toMatchObject({ made, expected: made });
  });
});

test('what cannot leave its range has nothing behind it', async () => {
  const sink = memorySink();
  await tfjsGraph.write(netOf('Div', { dtype: 'uint8', values: [[200], [7]] }), sink, 'model.json', OPTIONS);
  await sink.commit();
  expect(new TextDecoder().decode(sink.files.get('model.json'))).not.toContain('FloorMod');
});

describe('what float32 does not count', () => {
  const problems = async (op: string, net: Net) => (await tfjsGraph.check(netOf(op, net), OPTIONS)).map(({ problem }) => problem);
  test.each<readonly [string, Net]>([
    ['Mul', { dtype: 'uint16', values: [[65535], [65535]] }], // biome-ignore format: one case, one line
    ['Mul', { dtype: 'int32', values: [[1]], constant: [1664525] }],
    ['Add', { dtype: 'int64', values: [[1]], constant: [1013904223] }],
    ['Sub', { dtype: 'uint32', values: [[3], [5]] }], // biome-ignore format: one case, one line
  ])('%s of %o is refused with its name', async (op, net) => {
    expect(await problems(op, net)).toContainEqual(expect.stringMatching(new RegExp(`^${op} of ${net.dtype} values .*float32`)));
  });

  test('of numbers that may be anything, what is assumed is told', async () => {
    const net: Net = { dtype: 'int32', values: [[5], [7]] }; // biome-ignore format: one case, one line
    const { made, warnings } = await graphAndReference(netOf('Add', net), feedsOf(net));
    expect(made).toEqual([12]);
    expect(warnings).toEqual([{ code: 'whole-numbers', message: expect.stringContaining('"one" makes of "x0", "x1" (int32) is exact up to 16777216') }]);
  });

  test('the numbers of rows are as many as there are', async () => {
    const table = numbersTensor('table', 'float32', [4, 1], [1, 2, 3, 4], ORIGIN);
    const layers = [
      makeLayer({ name: 'one', op: 'Constant', inputs: [], outputs: ['c'], weights: { value: numbersTensor('one', 'int32', [1], [1], ORIGIN) } }),
      makeLayer({ name: 'next', op: 'Add', inputs: ['x', 'c'], outputs: ['n'] }),
      makeLayer({ name: 'row', op: 'Gather', inputs: ['n'], outputs: ['y'], weights: { table } }),
      makeLayer({ name: 'own', op: 'Gather', inputs: ['x'], outputs: ['z'], weights: { table } }),
    ];
    const port = { name: 'x', value: 'x', dtype: 'int32', valueDType: 'int32', shape: [1], layout: 'other' } as const;
    const outputs = [{ name: 'y', value: 'y', dtype: 'float32', shape: [1, 1], layout: 'other' }] as const;
    const { warnings } = await tfjsGraph.write({ ...emptyMap, inputs: [port], outputs, layers }, memorySink(), 'model.json', OPTIONS);
    expect(warnings).toEqual([]);
  });
});

describe.each([tfjs, kerasH5, kerasV3, caffe])('$name computes in float32', (writer) => {
  test('and refuses sums that wrap around', async () => {
    const map = netOf('Add', { dtype: 'uint8', values: [[200], [100]] }); // biome-ignore format: one case, one line
    expect((await writer.check(map, OPTIONS)).map(({ problem }) => problem)).toEqual([
      'Add of uint8 values may leave their range and wrap around, which float32 does not',
    ]);
  });

  test('and takes what stays in range', async () => {
    const map = netOf('Max', { dtype: 'uint8', values: [[200, 1], [100, 2]] }); // biome-ignore format: one case, one line
    expect(await writer.check(map, OPTIONS)).toEqual([]);
  });
});

test('a module wraps sums of integers itself, and refuses what PyTorch makes of other dtypes', async () => {
  const refused = async (op: string, net: Net) => (await pytorch.check(netOf(op, net), OPTIONS)).map(({ problem }) => problem);
  expect(await refused('Add', { dtype: 'uint8', values: [[200], [100]] })).toEqual([]); // biome-ignore format: one case, one line
  expect(await refused('ReduceSum', { dtype: 'uint8', values: [[200, 100]], attributes: OF_ALL })).toEqual([expect.stringContaining('wrap around')]);
  expect(await refused('Div', { dtype: 'int32', values: [[7], [2]] })).toEqual([]); // biome-ignore format: one case, one line
  expect(await refused('Mean', { dtype: 'int32', values: [[7], [2]] })).toEqual([expect.stringContaining('cut off to a whole number')]); // biome-ignore format: one case, one line
  expect(await refused('Add', { dtype: 'uint32', values: [[7], [2]] })).toEqual([expect.stringContaining('uint32 values')]); // biome-ignore format: one case, one line
});

describe.each(['float16', 'bfloat16'] as const)('a Cast to %s', (dtype) => {
  const ends = [0, 1, -1, 65504, 65519.996, 65520, -70000, 2 ** -14, 2 ** -24, 2 ** -25, 1.5 * 2 ** -24, 3e38, -3.4e38, Number.POSITIVE_INFINITY, Number.NaN];
  // Every tie of a significand, and what lies beside it.
  const bits = dtype === 'float16' ? 11 : 8;
  const ties = Array.from({ length: 2 ** (bits - 1) }, (_, i) => 2 ** (bits - 1) + i + 0.5).flatMap((tie) => [
    tie,
    -tie * 2 ** -5,
    tie * (1 + 2 ** -20),
    tie * 2 ** -22,
  ]);
  const values = Float32Array.from([...ends, ...ties]);

  test('rounds as it would be rounded there', async () => {
    const layers = [makeLayer({ name: 'narrow', op: 'Cast', inputs: ['x'], outputs: ['h'], attributes: { to: dtype } })];
    const map: LayerMap = {
      ...emptyMap,
      inputs: [{ name: 'x', value: 'x', dtype: 'float32', shape: [values.length], layout: 'other' }],
      outputs: [{ name: 'y', value: 'h', dtype, valueDType: dtype, shape: [values.length], layout: 'other' }],
      layers,
    };
    expect(inferMap(map).get('h')!.dtype).toBe(dtype);
    const { made } = await graphAndReference(map, [{ shape: [values.length], data: values }]);
    const expected = [...roundTo(Float64Array.from(values), dtype)];
    // A zero has no sign in this comparison.
    expect(made.map((value) => value + 0)).toEqual(expected.map((value) => value + 0));
  });
});
