/** What opsets from 18 on say: the file as it is in ONNX Runtime, the reference evaluator, and the file written from the map alone give the same. */
import { describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { convert } from '../../src/convert.js';
import type { LayerMap } from '../../src/model/layer-map.js';
import { numbersTensor } from '../../src/model/numbers.js';
import { float32Tensor } from '../../src/model/tensor.js';
import { openModel } from '../../src/readers/open.js';
import { referenceSession } from '../../src/verify/reference/session.js';
import type { OnnxAttribute } from '../../src/writers/onnx/graph.js';
import { intAttribute } from '../../src/writers/onnx/graph.js';
import { onnx } from '../../src/writers/onnx/index.js';
import { type Graph, int64, node, ORIGIN, onnxFile } from '../onnx-graphs.js';
import { runOnnx } from '../run-onnx.js';
import { runTfjs } from '../run-tfjs.js';

const text = (value: string): OnnxAttribute => ({ type: 'string', value });
const number = (name: string, value: number) => float32Tensor(name, [], [value], ORIGIN);
const code = (name: string, dtype: 'int8' | 'uint8', values: readonly number[], shape: readonly number[] = []) =>
  numbersTensor(name, dtype, shape, values, ORIGIN);

/** Without its layers as they were read, nothing of the file can be copied. */
async function writtenAnew(map: LayerMap): Promise<Uint8Array> {
  const [anew, options] = [{ ...map, layers: [...map.layers] }, { dtype: 'source', layout: 'source', metadata: async () => ({}) } as const];
  expect(await onnx.check(anew, options)).toEqual([]);
  const sink = memorySink();
  await onnx.write(anew, sink, 'm.onnx', options);
  await sink.commit();
  return sink.files.get('m.onnx')!;
}

interface Case {
  readonly graph: Graph;
  readonly opset: number;
  readonly values: readonly number[];
  /** Where ONNX Runtime does not run it, or not as the specification has it. */
  readonly expected?: readonly number[];
  /** What TensorFlow.js has no form for. */
  readonly declined?: string;
}

const vector = (length: number): Graph['inputs'] => [['x', [length]]];

const CASES: Readonly<Record<string, Case>> = {
  'a Cast to an 8-bit float that does not saturate': {
    graph: {
      nodes: [node('Cast', ['x'], ['h'], { to: intAttribute(17), saturate: intAttribute(0) }), node('Cast', ['h'], ['y'], { to: intAttribute(1) })],
      inputs: vector(8),
    },
    opset: 19,
    values: [0.479, -7.3, 448, 470, -1e9, 0.001, 0.0019, 17],
    expected: [0.46875, -7.5, 448, Number.NaN, Number.NaN, 0.001953125, 0.001953125, 16],
    declined: 'a Cast to float8_e4m3fn',
  },
  'a Cast to an 8-bit float that saturates': {
    graph: { nodes: [node('Cast', ['x'], ['h'], { to: intAttribute(19) }), node('Cast', ['h'], ['y'], { to: intAttribute(1) })], inputs: vector(5) },
    opset: 19,
    values: [0.479, -7.3, 1e9, -1e9, 70],
    declined: 'a Cast to float8_e5m2',
  },
  'codes of 4 bits, which end at 7 and -8': {
    graph: {
      nodes: [node('QuantizeLinear', ['x', 's', 'z'], ['q']), node('DequantizeLinear', ['q', 's', 'z'], ['y'])],
      tensors: [number('s', 2)],
      packed: [code('z', 'int8', [1])],
      inputs: vector(6),
    },
    opset: 21,
    values: [0, 5, 14, 40, -18, -400],
    expected: [0, 4, 12, 12, -18, -18],
  },
  'codes of 4 bits without a sign, which end at 15': {
    graph: {
      nodes: [node('QuantizeLinear', ['x', 's', 'z'], ['q']), node('DequantizeLinear', ['q', 's', 'z'], ['y'])],
      tensors: [number('s', 2)],
      packed: [code('z', 'uint8', [1])],
      inputs: vector(4),
    },
    opset: 21,
    values: [0, 5, 40, -400],
    expected: [0, 4, 28, -2],
  },
  'a Resize by 1.4, which is a little less in float32': {
    graph: {
      nodes: [node('Resize', ['x', '', 'scales'], ['y'], { mode: text('linear') })],
      tensors: [float32Tensor('scales', [3], [1, 1, 1.4], ORIGIN)],
      inputs: [['x', [1, 1, 5]]],
    },
    opset: 19,
    values: [1, -2, 3, 5, 8],
  },
  'padding that goes on at the other end of what is left': {
    graph: { nodes: [node('Pad', ['x', 'pads'], ['y'], { mode: text('wrap') })], tensors: [int64('pads', [-1, 2])], inputs: vector(5) },
    opset: 19,
    values: [1, 2, 3, 4, 5],
    declined: 'padding with mode wrap',
  },
  'the largest of no elements': {
    graph: { nodes: [node('ReduceMax', ['x', 'axes'], ['y'])], tensors: [int64('axes', [1])], inputs: [['x', [2, 0]]] },
    opset: 20,
    values: [],
    declined: 'a maximum of no elements',
  },
};

describe('what newer opsets say', () => {
  it.each(Object.entries(CASES))('%s', async (_, { graph, opset, values, expected, declined }) => {
    const file = await onnxFile(graph, { opset });
    const open = () => memoryFileSet({ 'm.onnx': file }, 'm.onnx');
    const feed = { shape: graph.inputs![0]![1] as readonly number[], data: Float32Array.from(values) };
    const only = (made: ReadonlyMap<string, { readonly data: ArrayLike<number | bigint> }>) => Array.from([...made.values()][0]!.data, Number);
    const wanted = expected ?? only(await runOnnx(file, [feed]));
    const matches = (made: readonly number[]) => {
      expect(made).toHaveLength(wanted.length);
      made.forEach((value, i) => {
        if (Number.isFinite(wanted[i])) expect(value).toBeCloseTo(wanted[i]!, 4);
        else expect(value).toBe(wanted[i]);
      });
    };
    const map = await (await openModel(open())).map();
    expect(map.layers.filter(({ foreign }) => foreign)).toEqual([]);
    const session = await referenceSession(map);
    matches(only(await session.run(new Map([[map.inputs[0]!.name, feed]]))));
    matches(only(await runOnnx(await writtenAnew(map), [feed])));
    const sink = memorySink();
    const converted = convert(open(), sink, 'model.json', { to: 'tfjs-graph' });
    if (declined) await expect(converted).rejects.toMatchObject({ message: expect.stringContaining(declined) });
    else {
      await converted;
      const [made] = await runTfjs('tfjs-graph', sink.files, [feed]);
      matches([...made!.data]);
    }
  });
});
