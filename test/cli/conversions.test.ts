/** Where what a model becomes is to lie, and what is said where that is left open. */
import { expect, it } from 'vitest';
import { outputOf, planConversions } from '../../src/cli/many/conversions.js';
import { chooseWriter } from '../../src/convert.js';

it('a folder without a format is told as that, with the file that may be meant', async () => {
  expect(() => outputOf('nets/a.h5', { output: 'out/' })).toThrow(/^out\/ is a folder: .*--to onnx.*-o out.a\.onnx/);
  expect(outputOf('nets/a.h5', { output: 'out/', to: 'onnx' })).toMatch(/^out.a\.onnx$/);
  await expect(planConversions('convert', ['a.h5', 'b.h5'], { output: 'one.onnx' }, [])).rejects.toThrow('several models become files of one format');
});

it('a format that is read alone is told as that', () => {
  expect(() => chooseWriter('net.tflite', undefined)).toThrow('TensorFlow Lite files are read, and not written.');
  expect(() => chooseWriter('net', 'tflite')).toThrow('TensorFlow Lite files are read, and not written. Known: onnx');
  expect(() => chooseWriter('net.onx', undefined)).toThrow('Did you mean ".onnx"?');
});
