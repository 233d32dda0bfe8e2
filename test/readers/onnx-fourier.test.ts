/** Fourier transforms in ONNX files: the layers that they become compute what ONNX Runtime does, and TensorFlow.js too. */
import { describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { convert } from '../../src/convert.js';
import { float32Tensor } from '../../src/model/tensor.js';
import { openModel } from '../../src/readers/open.js';
import { referenceSession } from '../../src/verify/reference/session.js';
import { intAttribute, type OnnxAttribute, type OnnxNode } from '../../src/writers/onnx/graph.js';
import { int64, node, ORIGIN, onnxFile } from '../onnx-graphs.js';
import { distance } from '../run-arrays.js';
import { runOnnx } from '../run-onnx.js';
import { runTfjs } from '../run-tfjs.js';

const said = (values: Readonly<Record<string, number>>): Record<string, OnnxAttribute> =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, intAttribute(value)]));
const dft = (inputs: readonly string[], values: Readonly<Record<string, number>> = {}): readonly OnnxNode[] => [node('DFT', [...inputs], ['y'], said(values))];

/** Scalars of this value, by their name. */
const scalar = (name: string) => int64(name, [Number(name)], []);
const cut = float32Tensor(
  'cut',
  [12],
  Array.from({ length: 12 }, (_, i) => Math.sin((Math.PI * (i + 0.5)) / 12)),
  ORIGIN,
);

const CASES: Readonly<Record<string, { nodes: readonly OnnxNode[]; shape: readonly number[]; opset: number; tensors?: readonly ReturnType<typeof int64>[] }>> =
  {
    'of real numbers along axis 1, as opset 17 has it': { nodes: dft(['x'], { axis: 1 }), shape: [2, 10, 5, 1], opset: 17 },
    'half a spectrum, as opset 17 has it': { nodes: dft(['x'], { axis: 2, onesided: 1 }), shape: [2, 6, 9, 1], opset: 17 },
    'along the last axis but one, as opset 20 has it': { nodes: dft(['x']), shape: [2, 6, 8, 1], opset: 20 },
    'of complex numbers along another axis': { nodes: dft(['x', '', '1']), shape: [2, 7, 8, 2], opset: 20, tensors: [scalar('1')] },
    backwards: { nodes: dft(['x'], { inverse: 1 }), shape: [2, 7, 8, 2], opset: 20 },
    'of numbers that zeros follow': { nodes: dft(['x', '12']), shape: [2, 7, 8, 1], opset: 20, tensors: [scalar('12')] },
    'of some numbers alone': { nodes: dft(['x', '5'], { onesided: 1 }), shape: [2, 7, 8, 1], opset: 20, tensors: [scalar('5')] },
    'of frames cut out by a window': {
      nodes: [node('STFT', ['x', '4', 'cut', '12'], ['y'])],
      shape: [2, 64, 1],
      opset: 17,
      tensors: [scalar('4'), scalar('12'), cut],
    },
    'of frames as they are, whole': {
      nodes: [node('STFT', ['x', '5', '', '12'], ['y'], said({ onesided: 0 }))],
      shape: [2, 50, 1],
      opset: 17,
      tensors: [scalar('5'), scalar('12')],
    },
    'of frames cut out by a window that the file makes': {
      nodes: [node('HannWindow', ['12'], ['w']), node('STFT', ['x', '5', 'w'], ['y'])],
      shape: [2, 50, 1],
      opset: 17,
      tensors: [scalar('5'), scalar('12')],
    },
    ...Object.fromEntries(
      ['HannWindow', 'HammingWindow', 'BlackmanWindow'].map((op) => [
        `${op} that ends as it begins`,
        { nodes: [node(op, ['12'], ['w'], said({ periodic: 0 })), node('Mul', ['x', 'w'], ['y'])], shape: [2, 12], opset: 17, tensors: [scalar('12')] },
      ]),
    ),
  };

describe('a Fourier transform', () => {
  it.each(Object.entries(CASES))('%s', async (_, { nodes, shape, opset, tensors = [] }) => {
    const bytes = await onnxFile({ nodes, tensors, inputs: [['x', shape]], outputs: [], unshaped: ['y'] }, { opset });
    const feed = { shape, data: Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => Math.sin(i * i) + (i % 7) / 7) };
    const [expected] = (await runOnnx(bytes, [feed])).values();
    const truth = { ...expected!, dtype: 'float32' as const, data: Float64Array.from(expected!.data) };
    const files = memoryFileSet({ 'm.onnx': bytes }, 'm.onnx');
    const map = await (await openModel(files)).map();
    expect(map.layers.filter(({ foreign }) => foreign)).toEqual([]);
    const [evaluated] = (await (await referenceSession(map)).run(new Map([['x', feed]]))).values();
    expect(distance(evaluated!, truth)).toBeLessThan(1e-5);
    const sink = memorySink();
    await convert(files, sink, 'm', { to: 'tfjs-graph' });
    const [made] = await runTfjs('tfjs-graph', new Map([...sink.files].map(([name, content]) => [name.replace(/^m\//, ''), content])), [feed]);
    expect(distance(made!, truth)).toBeLessThan(1e-5);
  });
});
