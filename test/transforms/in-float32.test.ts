/** `--dtype float32` of a net that computes in doubles or in half precision: all of it computes in float32. */
import { describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { convert } from '../../src/convert.js';
import type { DType } from '../../src/model/dtype.js';
import { numbersTensor } from '../../src/model/numbers.js';
import { intAttribute } from '../../src/writers/onnx/graph.js';
import { node, ORIGIN, onnxFile } from '../onnx-graphs.js';
import { runOnnx } from '../run-onnx.js';

const CODE = { float64: 11, float16: 10, bfloat16: 16 } as const;
const LOWEST = { float64: -Number.MAX_VALUE, float16: -65504, bfloat16: -(2 ** 127) * 1.9921875 } as const;

/** Convolutions in bfloat16 or float64 no runtime here has. */
const file = (dtype: keyof typeof CODE) => {
  const floats = (name: string, shape: readonly number[], values: readonly number[]) => numbersTensor(name, dtype as DType, shape, values, ORIGIN);
  return onnxFile(
    {
      nodes: [
        node('Conv', ['x', 'kernel'], ['c']),
        node('Greater', ['x', 'zero'], ['isAbove']),
        node('Cast', ['isAbove'], ['share'], { to: intAttribute(CODE[dtype]) }),
        node('Mul', ['c', 'share'], ['m']),
        node('Where', ['isAbove', 'm', 'lowest'], ['masked']),
        node('Softmax', ['masked'], ['y'], { axis: intAttribute(-1) }),
      ],
      tensors: [floats('kernel', [1, 1, 1], [0.5]), floats('zero', [], [0]), floats('lowest', [], [LOWEST[dtype]])],
      inputs: [['x', [1, 1, 4], dtype]],
    },
    { opset: 22 },
  );
};

const values = Float32Array.of(1, -2, 3, -4);

describe('a net that computes in other floats', () => {
  it.each(['float64', 'float16', 'bfloat16'] as const)('computes in float32 where that is asked for: %s', async (dtype) => {
    const sink = memorySink();
    const { edited, map } = await convert(memoryFileSet({ 'm.onnx': await file(dtype) }, 'm.onnx'), sink, 'y.onnx', { dtype: 'float32' });
    expect(map!.inputs[0]!.dtype).toBe('float32');
    expect(edited!.changes.map(({ message }) => message)).toEqual([`what computed in ${dtype} computes in float32`]);
    const [made] = (await runOnnx(sink.files.get('y.onnx')!, [{ shape: [1, 1, 4], data: values }])).values();
    const [a, b] = [Math.exp(0.5), Math.exp(1.5)];
    [a / (a + b), 0, b / (a + b), 0].forEach((one, i) => {
      expect(made!.data[i]).toBeCloseTo(one, 5);
    });
  });

  it('is as it was where it is float32 already', async () => {
    const graph = { nodes: [node('Relu', ['x'], ['y'])], inputs: [['x', [2]]] } as const;
    const { edited } = await convert(memoryFileSet({ 'm.onnx': await onnxFile(graph) }, 'm.onnx'), memorySink(), 'y.onnx', { dtype: 'float32' });
    expect(edited).toBeUndefined();
  });

  it('is refused by name where a node is kept as it came', async () => {
    const graph = { nodes: [node('Bernoulli', ['x'], ['y'])], inputs: [['x', [2], 'float64']] } as const;
    const files = memoryFileSet({ 'm.onnx': await onnxFile(graph) }, 'm.onnx');
    await expect(convert(files, memorySink(), 'y.onnx', { dtype: 'float32' })).rejects.toMatchObject({
      message: expect.stringContaining('Bernoulli is kept as it came'),
    });
  });
});
