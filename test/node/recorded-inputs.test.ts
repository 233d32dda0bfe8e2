/** What a recording says of inputs is handed to readers of files that do not say it. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { float32Tensor } from '../../src/model/tensor.js';
import { openFiles } from '../../src/node/open-files.js';

const H5 = join(fileURLToPath(new URL('../../demo/digits', import.meta.url)), 'digits.h5');

async function recordedIn(shapes: Record<string, readonly number[]>) {
  const golden = new Map(
    Object.entries(shapes).map(([name, shape]) => [name, float32Tensor(name, shape, new Float32Array(shape.reduce((a, b) => a * b)), { file: 'test' })]),
  );
  const { files, options } = await openFiles(H5, { golden });
  await files.close();
  return { recordedShape: options.recordedShape, recorded: options.recordedInputs!.map(({ name, shape }) => [name, shape]) };
}

it('takes inputs of a recording by name', async () => {
  expect((await recordedIn({ 'input:b': [1, 2], 'input:a': [3], 'output:x': [1] })).recorded).toEqual([
    ['b', [1, 2]],
    ['a', [3]],
  ]);
});

it('takes inputs of a recording by position, in the order of their numbers', async () => {
  const shapes = { ...Object.fromEntries([10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0].map((i) => [`input_${i}`, [i + 1]])), output_0: [1] };
  const { recorded, recordedShape } = await recordedIn(shapes);
  expect(recorded).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11].map((size) => [null, [size]]));
  expect(recordedShape).toBeUndefined();
});

it('leaves the batch of an only input free', async () => {
  expect(await recordedIn({ input: [4, 8], output: [4, 2] })).toEqual({ recordedShape: ['N', 8], recorded: [[null, [4, 8]]] });
});
