/** A layer of Keras shows what its activation makes: the layers of a file that another program wrote are compared so. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { convert } from '../../src/convert.js';
import { openModel } from '../../src/readers/open.js';
import { verifyFiles } from '../../src/verify/files.js';
import { DIGITS, ROOT } from '../cli/run-cli.js';

const kerasFiles = (bytes: Uint8Array) => memoryFileSet({ 'digits.h5': bytes }, 'digits.h5');
const right = new Uint8Array(readFileSync(join(DIGITS, 'digits.h5')));
/** The layers of what was converted from one file, beside those of another. */
const layersOf = async (keras: Uint8Array, from = right) => {
  const sink = memorySink();
  await convert(kerasFiles(from), sink, 'digits.onnx', { to: 'onnx' });
  const files = memoryFileSet(Object.fromEntries(sink.files), 'digits.onnx');
  const source = { source: { files }, model: await openModel(files), target: { files: kerasFiles(keras), format: 'keras-h5' } };
  return (await verifyFiles(source, () => ({ samples: 1, layers: true }))).report;
};

it('all of a right file agree', async () => {
  const { verdict, layers } = await layersOf(right);
  expect(verdict).toBe('match');
  expect(layers!.length).toBeGreaterThan(8);
  expect(layers!.filter(({ passed }) => !passed)).toEqual([]);
});

it('the first that differs is the activation behind the wrong weight', async () => {
  const { tensor } = (await openModel(kerasFiles(right))).tensors.find(({ tensor: { shape } }) => shape.join() === '3,3,12,24')!;
  const wrong = right.slice();
  new DataView(wrong.buffer).setFloat32(tensor.origin.offset! + 4 * 1000, 4, true);
  const { verdict, layers } = await layersOf(wrong);
  expect(verdict).toBe('mismatch');
  expect(layers!.find(({ passed }) => !passed)!.layer).toMatch(/^block2_conv1/);
});

// Parts of a layer are layers of the map there, and arranged as ONNX wants them: what is told is no mismatch where the outputs agree.
it.each(['layers-1d', 'layers-2d', 'layers-3d', 'elementwise'])('a file is a match with what was converted from it, layer by layer: %s', async (name) => {
  const keras = new Uint8Array(readFileSync(join(ROOT, 'test/fixtures/keras-h5', name, 'model.h5')));
  const { verdict, firstDifference } = await layersOf(keras, keras);
  expect({ verdict, firstDifference }).toMatchObject({ verdict: 'match' });
});
