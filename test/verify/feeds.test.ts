/** Arrays that a user gives go to the input that they are named for, in whichever spelling. */
import { describe, expect, it } from 'vitest';
import type { LayerMap } from '../../src/model/layer-map.js';
import { constantTensor, float32Tensor } from '../../src/model/tensor.js';
import { givenInputs, recordedInputs } from '../../src/verify/feeds.js';
import { emptyMap } from '../writers/onnx-cases.js';

const netOf = (...names: string[]): LayerMap => ({
  ...emptyMap,
  inputs: names.map((name) => ({ name, value: name, dtype: 'float32', shape: ['N', 1], layout: 'other' })),
});
const arraysOf = (arrays: Readonly<Record<string, number>>) =>
  new Map(Object.entries(arrays).map(([name, value]) => [name, float32Tensor(name, [1, 1], [value], { file: 'f.npz' })]));
const fed = async (map: LayerMap, arrays: Readonly<Record<string, number>>) => (await givenInputs(arraysOf(arrays), map)).sample(0).map(({ data }) => data[0]);
const replayed = async (map: LayerMap, arrays: Readonly<Record<string, number>>) =>
  (await recordedInputs(arraysOf(arrays), map)).sample(0).map(({ data }) => data[0]);

describe('given arrays', () => {
  it("go by the name of TensorFlow's node with or without the number of its output, in any order", async () => {
    expect(await fed(netOf('page:0', 'session:0'), { session: 2, page: 1 })).toEqual([1, 2]);
    expect(await fed(netOf('page', 'session'), { 'session:0': 2, 'page:0': 1 })).toEqual([1, 2]);
    expect(await replayed(netOf('page:0', 'session:0'), { 'input:session': 2, 'input:page': 1 })).toEqual([1, 2]);
  });

  it('of an input that is spelt as the net spells it go before those of another spelling', async () => {
    expect(await fed(netOf('page:0', 'session:0'), { 'page:0': 1, page: 9, session: 9, 'session:0': 2 })).toEqual([1, 2]);
  });

  it('of a single number stay one', async () => {
    const map: LayerMap = { ...emptyMap, inputs: [{ name: 'x', value: 'x', dtype: 'float32', shape: [], layout: 'other' }] };
    const given = await recordedInputs(new Map([['input', float32Tensor('input', [], [3], { file: 'f.npz' })]]), map);
    expect(given.sample(0)).toEqual([{ shape: [], data: new Float32Array([3]) }]);
  });

  it('are not taken for another output of the same node', async () => {
    await expect(fed(netOf('page:1', 'session:0'), { page: 1, session: 2 })).rejects.toMatchObject({
      kind: 'usage',
      message: expect.stringContaining('"page:1"'),
    });
    expect(await fed(netOf('page:1', 'page:0'), { page: 1, 'page:1': 2 })).toEqual([2, 1]);
  });

  it.each([
    ['complex numbers', constantTensor('x', 'complex64', [2, 1], new Uint8Array(16), { file: 'f.npz' }), 'unsupported'],
    ['no rows', float32Tensor('x', [0, 1], [], { file: 'f.npz' }), 'malformed'],
  ])('of %s are refused, as inputs and as a recording', async (_, tensor, kind) => {
    const refused = expect.objectContaining({ kind, place: { file: 'f.npz' } });
    await expect(givenInputs(new Map([['x', tensor]]), netOf('x'))).rejects.toEqual(refused);
    await expect(recordedInputs(new Map([['input', tensor]]), netOf('x'))).rejects.toEqual(refused);
  });
});
