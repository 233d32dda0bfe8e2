/** Graph models with branches, loops and sizes that depend on values, which TensorFlow.js runs by `executeAsync` alone. */
import { expect, it } from 'vitest';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { tfjsCpu } from '../../src/verify/engines/tfjs-cpu.js';
import { tfjsWasm } from '../../src/verify/engines/tfjs-wasm.js';

const T = { type: 'DT_FLOAT' };
const shape = (...sizes: number[]) => ({ shape: { dim: sizes.map((size) => ({ size })) } });

/** A graph of nodes over an input x of three values, and the constants zero and axis. */
function graphModel(nodes: readonly object[], output: string) {
  const topology = {
    node: [
      { name: 'x', op: 'Placeholder', attr: { dtype: T, shape: shape(3) } },
      { name: 'zero', op: 'Const', attr: { dtype: T, value: { tensor: { dtype: 'DT_FLOAT', tensorShape: {} } } } },
      { name: 'axis', op: 'Const', attr: { dtype: { type: 'DT_INT32' }, value: { tensor: { dtype: 'DT_INT32', tensorShape: { dim: [{ size: '1' }] } } } } },
      ...nodes,
    ],
    versions: { producer: 1087 },
  };
  const weights = [
    { name: 'zero', shape: [], dtype: 'float32' },
    { name: 'axis', shape: [1], dtype: 'int32' },
  ];
  const tensor = (name: string) => ({ [name]: { name: `${name}:0`, dtype: 'DT_FLOAT', tensorShape: { dim: [{ size: '3' }] } } });
  const json = {
    format: 'graph-model',
    signature: { inputs: tensor('x'), outputs: tensor(output) },
    modelTopology: topology,
    weightsManifest: [{ paths: ['w.bin'], weights }],
  };
  return memoryFileSet({ 'model.json': new TextEncoder().encode(JSON.stringify(json)), 'w.bin': new Uint8Array(8) }, 'model.json');
}

/** Where the sum is above zero the values themselves, else their negatives. */
const BRANCH = graphModel(
  [
    { name: 'sum', op: 'Sum', input: ['x', 'axis'], attr: { T, keep_dims: { b: false } } },
    { name: 'above', op: 'Greater', input: ['sum', 'zero'], attr: { T } },
    { name: 'switch', op: 'Switch', input: ['x', 'above'], attr: { T } },
    { name: 'negative', op: 'Neg', input: ['switch'], attr: { T } },
    { name: 'same', op: 'Relu', input: ['switch:1'], attr: { T } },
    { name: 'merge', op: 'Merge', input: ['negative', 'same'], attr: { T, N: { i: '2' } } },
  ],
  'merge',
);
/** The places of values above zero: as many as there are. */
const PLACES = graphModel(
  [
    { name: 'above', op: 'Greater', input: ['x', 'zero'], attr: { T } },
    { name: 'places', op: 'Where', input: ['above'], attr: { T: { type: 'DT_BOOL' } } },
  ],
  'places',
);

it.each([tfjsWasm, tfjsCpu])('$name takes the branch that the values ask for', async (engine) => {
  const session = await engine.open({ files: BRANCH });
  try {
    for (const [values, expected] of [
      [
        [1, 2, 3],
        [1, 2, 3],
      ],
      [
        [-1, -2, -3],
        [1, 2, 3],
      ],
    ] as const) {
      const results = await session.run(new Map([['x', { shape: [3], data: Float32Array.from(values) }]]));
      expect([...results.get('merge')!.data]).toEqual(expected);
    }
  } finally {
    await session.close();
  }
});

it.each([tfjsWasm, tfjsCpu])('$name gives a value whose size depends on the input', async (engine) => {
  const session = await engine.open({ files: PLACES });
  try {
    const results = await session.run(new Map([['x', { shape: [3], data: Float32Array.of(1, -1, 1) }]]));
    expect(results.get('places')).toMatchObject({ shape: [2, 1], data: Float32Array.of(0, 2) });
  } finally {
    await session.close();
  }
});
