/** What the layers of Keras lack, or name otherwise than TensorFlow.js: seen in the configuration that is written. */
import { unzipSync } from 'fflate';
import { describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { convert } from '../../src/convert.js';
import { node, onnxFile } from '../onnx-graphs.js';

async function layersOf(op: string, alpha: number) {
  const x = ['x', ['N', 3]] as const;
  const file = await onnxFile({ nodes: [node(op, ['x'], ['y'], { alpha: { type: 'float', value: alpha } })], inputs: [x] });
  const sink = memorySink();
  await convert(memoryFileSet({ 'net.onnx': file }, 'net.onnx'), sink, 'net.keras', {});
  const text = new TextDecoder().decode(unzipSync(sink.files.get('net.keras')!)['config.json']);
  return JSON.parse(text).config.layers as { class_name: string; config: Record<string, unknown> }[];
}

describe('Keras as a target', () => {
  it('writes a threshold as that of a ReLU: Keras 3 has no ThresholdedReLU', async () => {
    const [, layer] = await layersOf('ThresholdedRelu', 0.5);
    expect(layer).toMatchObject({ class_name: 'ReLU', config: { max_value: null, negative_slope: 0, threshold: 0.5 } });
  });

  it.each(['ThresholdedRelu', 'LeakyRelu'])('declines a negative number in %s, which Keras 3 refuses to load', async (op) => {
    await expect(layersOf(op, -0.5)).rejects.toThrow(/-0.5; those of Keras/);
  });
});
