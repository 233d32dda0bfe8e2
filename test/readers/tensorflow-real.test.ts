/** Files that TensorFlow itself wrote (test/fixtures/tensorflow-real/make.py) predict, once converted, what it recorded. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { memorySource } from '../../src/bytes/byte-source.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { readNpz } from '../../src/containers/npy.js';
import { toFloat64Array } from '../../src/model/cast.js';
import { tensorBytes } from '../../src/model/tensor.js';
import { openModel } from '../../src/readers/open.js';
import { distance, runOnnxArrays, type TypedArray } from '../run-arrays.js';
import { convertInMemory } from '../run-onnx.js';
import { bundleOf } from '../tf-bundles.js';

const FOLDER = new URL('../fixtures/tensorflow-real/', import.meta.url);

interface Recorded {
  readonly name: string;
  readonly model: Uint8Array;
  /** By the names of placeholders. */
  readonly inputs: ReadonlyMap<string, TypedArray>;
  readonly outputs: readonly TypedArray[];
}

/** All cases of a file, whose arrays are called 'case/model', 'case/x0', 'case/y0'. */
async function recorded(file: string): Promise<readonly Recorded[]> {
  const path = fileURLToPath(new URL(file, FOLDER));
  const cases = new Map<string, { model: Uint8Array; inputs: Map<string, TypedArray>; outputs: TypedArray[] }>();
  for (const [key, tensor] of await readNpz(memorySource(new Uint8Array(readFileSync(path)), path))) {
    const [name, part] = key.split('/') as [string, string];
    const found = cases.get(name) ?? { model: new Uint8Array(), inputs: new Map(), outputs: [] };
    cases.set(name, found);
    const bytes = await tensorBytes(tensor);
    const array = { dtype: tensor.dtype, shape: tensor.shape, data: toFloat64Array(bytes, tensor.dtype) };
    if (part === 'model') found.model = bytes;
    else if (part.startsWith('x')) found.inputs.set(part, array);
    else found.outputs[Number(part.slice(1))] = array;
  }
  return [...cases].map(([name, found]) => ({ name, ...found }));
}

describe('frozen graphs of TensorFlow 2.21', async () => {
  const cases = await recorded('graphs.npz');

  it('are all there', () => expect(cases).toHaveLength(45));

  it.each(cases)('$name', async ({ model, inputs, outputs }) => {
    const { bytes, result } = await convertInMemory(memoryFileSet({ 'model.pb': model }, 'model.pb'));
    const feeds = result.map!.inputs.map(({ name }) => inputs.get(name)!);
    const made = [...(await runOnnxArrays(bytes, feeds)).values()];
    expect(made.map(({ dtype }) => dtype)).toEqual(outputs.map(({ dtype }) => dtype));
    for (const [i, output] of outputs.entries()) expect(distance(made[i]!, output)).toBeLessThan(1e-5);
  });
});

/** Nets of several files, and arrays, by 'case/file name' and 'case/what it is'. */
async function folders(file: string) {
  const path = fileURLToPath(new URL(file, FOLDER));
  const arrays = await readNpz(memorySource(new Uint8Array(readFileSync(path)), path));
  const array = async (key: string) => {
    const { dtype, shape } = arrays.get(key)!;
    return { dtype, shape, data: toFloat64Array(await tensorBytes(arrays.get(key)!), dtype) };
  };
  const bytesOf = async (name: string) => {
    const files: Record<string, Uint8Array> = {};
    for (const [key, tensor] of arrays) if (key.startsWith(`${name}/file `)) files[key.slice(name.length + 6)] = await tensorBytes(tensor);
    return files;
  };
  return { arrays, array, bytesOf };
}

describe('checkpoints of the first version', async () => {
  const { arrays, array, bytesOf } = await folders('checkpoints.npz');

  it.each([
    ['one', 'model.ckpt'],
    ['one', 'model.ckpt.meta'],
    ['sharded', 'model.ckpt-00000-of-00001'],
    ['sharded', null],
    ['parts', 'model.ckpt'],
    ['parts', null],
  ])('%s, called %s, are the net of the graph beside them', async (name, main) => {
    const { bytes, result } = await convertInMemory(memoryFileSet(await bytesOf(name), main));
    expect(result.map!.outputs.map((port) => port.name)).toEqual(['n/y']);
    const made = await runOnnxArrays(bytes, [await array(`${name}/x`)]);
    expect(distance([...made.values()][0]!, await array(`${name}/y`))).toBeLessThan(1e-5);
  });

  it('are values by name without one, bit for bit', async () => {
    const files = await bytesOf('one');
    const { tensors } = await openModel(memoryFileSet({ 'vgg_16.ckpt': files['model.ckpt']! }, 'vgg_16.ckpt'));
    const values = [...arrays].filter(([key]) => key.startsWith('one/value '));
    expect(tensors).toHaveLength(values.length);
    for (const [key, value] of values) {
      const read = tensors.find(({ tensor }) => key === `one/value ${tensor.name}`)!.tensor;
      expect([read.dtype, read.shape, await tensorBytes(read)], key).toEqual([value.dtype, value.shape, await tensorBytes(value)]);
    }
  });

  it('are refused where a value was damaged, and at every length', async () => {
    const whole = (await bytesOf('one'))['model.ckpt']!;
    const read = async (bytes: Uint8Array) => {
      const { tensors } = await openModel(memoryFileSet({ 'model.ckpt': bytes }, 'model.ckpt'));
      for (const { tensor } of tensors) await tensorBytes(tensor);
    };
    for (let length = 0; length < whole.length; length += 31)
      await expect(read(whole.subarray(0, length)), `${length}`).rejects.toMatchObject({ name: 'ModelError' });
    const first = Buffer.from(whole).indexOf(Buffer.from(await tensorBytes(arrays.get('one/value n/conv/weights')!)));
    await expect(read(whole.with(first, whole[first]! ^ 1))).rejects.toMatchObject({ kind: 'malformed', message: expect.stringContaining('checksum') });
  });

  it('are told from an index under another name', async () => {
    const index = bundleOf([{ name: 'w', shape: [2], byteLength: 8 }]);
    await expect(openModel(memoryFileSet({ 'model.ckpt': index }, 'model.ckpt'))).rejects.toThrow(/index under another name/);
  });
});

describe('SavedModels without signatures', async () => {
  const { array, bytesOf } = await folders('saved.npz');
  const filesOf = async (name: string) => memoryFileSet(await bytesOf(name), 'saved_model.pb');

  it.each([
    ['are called as the object itself is, without training', undefined, ['output_0'], '__call__'],
    ['are called by the function that is asked for, which names what it gives', 'features', ['norm', 'pooled'], 'features'],
  ])('%s', async (_, signature, outputs, called) => {
    const assume = signature === undefined ? {} : { assume: { signature } };
    const { bytes, result } = await convertInMemory(await filesOf('functions'), assume);
    expect(result.map!.inputs.map(({ name, shape }) => [name, shape])).toEqual([['x', ['batch', 4]]]);
    const made = await runOnnxArrays(bytes, [await array('functions/x')]);
    expect([...made.keys()]).toEqual(outputs);
    for (const [name, value] of made) expect(distance(value, await array(`functions/${called} ${name}`))).toBeLessThan(1e-5);
    expect(result.warnings.map(({ message }) => message).join()).toContain(`"${called}"`);
  });

  it('are refused where nothing can be called, with what can be done instead', async () => {
    await expect(convertInMemory(await filesOf('weights'))).rejects.toMatchObject({ kind: 'unsupported', message: expect.stringContaining('signatures=') });
  });
});
