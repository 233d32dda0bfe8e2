/** What Caffe nets made in tests predict once they are converted, in ONNX Runtime. */
import type { ConvertOptions } from '../../src/convert.js';
import { convertInMemory, type Run, runOnnx } from '../run-onnx.js';
import { filesOf, made, size } from './caffe-files.js';

/** What the converted net makes of made-up inputs, and these inputs. */
export async function predict(prototxt: string | Uint8Array, model: Uint8Array, options: ConvertOptions = {}) {
  const { bytes, result } = await convertInMemory(filesOf(prototxt, model), options);
  const inputs = result.map!.inputs.map(({ shape }, i): Run => {
    const sizes = shape.map((dim, axis) => (typeof dim === 'number' ? dim : axis === 0 ? 2 : 6));
    return { shape: sizes, data: Float32Array.from(made(size(sizes), i + 3)) };
  });
  return { inputs, outputs: await runOnnx(bytes, inputs), map: result.map!, warnings: result.warnings };
}
