/** Ports are known by their places: how those of two descriptions of one net find each other. */
import { describe, expect, it } from 'vitest';
import { uniqueNames } from '../../src/model/ports.js';
import { float32Tensor } from '../../src/model/tensor.js';
import { compareOutputs } from '../../src/verify/outputs.js';
import { alignPorts, requirePlaces } from '../../src/verify/ports.js';
import { recordedOutputs } from '../../src/verify/witness.js';

const named = (...names: string[]) => names.map((name) => ({ name, shape: ['N', 4] }));

describe('alignPorts', () => {
  it('goes by names, whatever the order', () => {
    expect(alignPorts(named('a', 'b'), named('b', 'a'))).toMatchObject({ places: [1, 0], by: 'name', candidates: [] });
  });

  it('gives names that repeat the places in order', () => {
    expect(alignPorts(named('encoder', 'encoder', 'encoder'), named('encoder', 'encoder_1', 'encoder_2')).places).toEqual([0, 1, 2]);
    expect(alignPorts(named('encoder', 'encoder'), named('x', 'y')).places).toEqual([0, 1]);
  });

  it.each([
    [['x'], ['serving_default_x:0'], [0]],
    [
      ['Identity', 'Identity_1'],
      ['Identity_1:0', 'Identity:0'],
      [1, 0],
    ],
    [
      ['StatefulPartitionedCall:0', 'StatefulPartitionedCall:1'],
      ['Identity_1', 'Identity'],
      [1, 0],
    ],
    [
      ['boxes', 'scores'],
      ['Identity_1:0', 'Identity:0'],
      [1, 0],
    ],
    [
      ['output_1', 'output_0'],
      ['a', 'b'],
      [1, 0],
    ],
  ])("knows TensorFlow's spellings: %s is %s", (ports, shown, places) => {
    expect(alignPorts(named(...ports), named(...shown)).places).toEqual(places);
  });

  it('gives no two ports one counterpart', () => {
    expect(alignPorts(named('a', 'a:0'), named('a', 'b')).places).toEqual([0, 1]);
  });

  it('goes by shape where order does not fit', () => {
    const [boxes, scores] = [
      { name: 'boxes', shape: ['N', 10, 4] },
      { name: 'scores', shape: ['N', 10, 2] },
    ];
    expect(
      alignPorts(
        [boxes, scores],
        [
          { ...scores, name: 'p' },
          { ...boxes, name: 'q' },
        ],
      ),
    ).toMatchObject({ places: [1, 0], by: 'shape', candidates: [] });
    expect(
      alignPorts(
        [boxes, scores],
        [
          { name: 'q', shape: [null, 4, 10] },
          { name: 'p', shape: [null, 2, 10] },
        ],
      ),
    ).toMatchObject({ places: [0, 1], by: 'order' });
  });

  it('tells the places that are left to each, for values to decide', () => {
    const both = [0, 1];
    expect(alignPorts(named('a', 'b'), named('x', 'y'))).toMatchObject({ places: [0, 1], by: 'order', candidates: [both, both] });
    expect(alignPorts(named('a', 'b'), named('a', 'y'))).toMatchObject({ places: [0, 1], candidates: [] });
  });

  it('gives each of many a place that fits, and sees at once where not all can have one', () => {
    const wide = (count: number, prefix: string) => Array.from({ length: count }, (_, i) => ({ name: `${prefix}${i}`, shape: [null, 4] }));
    const [odd, even] = [
      { name: 'odd', shape: [1, 7] },
      { name: 'even', shape: [1, 4] },
    ];
    // What can be anything comes first, and makes way for what cannot.
    expect(
      alignPorts(
        [{ name: 'free', shape: undefined }, odd, even],
        [
          { ...odd, name: 'p' },
          { ...even, name: 'q' },
          { ...even, name: 'r' },
        ],
      ).places,
    ).toEqual([1, 0, 2]);
    const found = alignPorts([...wide(40, 'a'), odd], [...wide(39, 'b'), even, { ...even, name: 'other' }]);
    expect(found.places).toHaveLength(41);
  });

  it('leaves a port without a counterpart alone, and says which are there', () => {
    const found = alignPorts(named('a', 'b'), named('b'));
    expect(found.places).toEqual([null, 0]);
    expect(requirePlaces(found, named('a', 'b'), named('b'), 'outputs')).toEqual([null, 0]);
    const none = { places: [null, null], by: 'order', candidates: [] } as const;
    expect(() => requirePlaces(none, named('a', 'b'), [], 'outputs')).toThrow(/0 \(\) outputs, the model has 2 \(a, b\)/);
  });
});

it('uniqueNames leaves alone what is unlike the others, also where a made name would be one of them', () => {
  expect(uniqueNames(['a', 'b'])).toEqual(['a', 'b']);
  expect(uniqueNames(['a', 'a', 'a_1', 'a'])).toEqual(['a', 'a_2', 'a_1', 'a_3']);
  expect(uniqueNames(new Array<string>(200_000).fill('a')).at(-1)).toBe('a_199999');
});

describe('outputs of one name', () => {
  const port = { name: 'head', value: 'v', dtype: 'float32', shape: ['N', 2], layout: 'other' } as const;
  const of = (...values: number[]) => ({ shape: [1, 2], data: Float32Array.from(values) });

  it('are compared each by itself', () => {
    const comparison = compareOutputs({ outputs: [port, port] }, { atol: 0, rtol: 1e-6, why: '' });
    comparison.add([of(1, 2), of(3, 4)], [of(1, 2), of(3, 5)]);
    expect(comparison.report().outputs).toMatchObject([
      { name: 'head', compared: 2, passed: true },
      { name: 'head_1', compared: 2, passed: false },
    ]);
  });

  it('are not compared where a side has none, and say so', () => {
    const comparison = compareOutputs({ outputs: [port, port] }, { atol: 0, rtol: 1e-6, why: '' });
    comparison.add([undefined, of(3, 4)], [of(1, 2), of(3, 4)]);
    expect(comparison.report().outputs).toMatchObject([{ compared: 0 }, { compared: 2 }]);
  });
});

it('two ports that show one value are recorded as two arrays, each of which is compared', async () => {
  const port = (name: string) => ({ name, value: 'c', dtype: 'float32' as const, shape: ['N', 1], layout: 'other' as const });
  const array = (name: string, ...values: number[]) => float32Tensor(name, [values.length, 1], values, { file: 'made here' });
  const recorded = async (...names: string[]) => {
    const golden = new Map(names.map((name, i) => [name, array(name, i, -i)]));
    return (await recordedOutputs(golden, { outputs: [port('c'), port('c_1')] })).map((values) => values?.data[0]);
  };
  expect(await recorded('output:0', 'output:1')).toEqual([0, 1]);
  expect(await recorded('output:c_1', 'output:c')).toEqual([1, 0]);
  expect(await recorded('output:c')).toEqual([0, undefined]);
});
