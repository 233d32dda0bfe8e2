/** What files may do with their ports: names that hardly differ, inputs of several dtypes, outputs that are inputs or constants; right files and wrong ones. */
import { describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { convert } from '../../src/convert.js';
import { openModel } from '../../src/readers/open.js';
import { nextStep } from '../../src/report/next-step.js';
import { verifyConversion } from '../../src/verify/verify.js';
import { beforeOutput, type Edit, editOnnx, integers } from './faults/onnx-edit.js';
import { attributes, type Graph, int64s, node, onnxBytes, port, spread, tensor } from './small-files.js';

type Form = 'onnx' | 'tfjs' | 'tfjs-graph';

/** An ONNX net converted, and perhaps changed afterwards. */
async function verified(graph: Graph, to: Form, edit?: Edit) {
  const files = memoryFileSet({ 'net.onnx': await onnxBytes(graph) }, 'net.onnx');
  const sink = memorySink();
  const file = to === 'onnx' ? 'out.onnx' : 'model.json';
  const { model, map } = await convert(files, sink, file, { to });
  const written = Object.fromEntries(sink.files);
  if (edit) written[file] = editOnnx(written[file]!, edit);
  return verifyConversion({ source: { files }, model, map, target: { files: memoryFileSet(written, file), format: to } }, {});
}

const turned = { transB: attributes.int(1) };
/** Two heads of one shape. */
const heads = (a: string, b: string): Graph => ({
  nodes: [node('Gemm', ['x', 'k'], [a], turned, 'n1'), node('Gemm', ['x', 'k2'], [b], turned, 'n2')],
  inputs: [port('x', ['N', 4])],
  outputs: [port(a, ['N', 3]), port(b, ['N', 3])],
  weights: [tensor('k', [3, 4]), tensor('k2', [3, 4], spread(12, -2, 1))],
});
/** One of two inputs has no batch. */
const masked: Graph = {
  nodes: [node('Mul', ['x', 'mask'], ['h']), node('Gemm', ['h', 'k'], ['y'], turned)],
  inputs: [port('x', ['N', 4]), port('mask', [4])],
  outputs: [port('y', ['N', 3])],
  weights: [tensor('k', [3, 4])],
};
const whole: Graph = {
  nodes: [
    node('Gather', ['table', 'ids'], ['e'], { axis: attributes.int(0) }),
    node('Cast', ['mask'], ['m'], { to: attributes.int(1) }),
    node('Cast', ['kind'], ['f'], { to: attributes.int(1) }),
    node('Add', ['m', 'f'], ['mf']),
    node('Unsqueeze', ['mf', 'axis'], ['mu']),
    node('Mul', ['e', 'mu'], ['y']),
  ],
  inputs: [port('ids', ['N', 5], 'int64'), port('mask', ['N', 5], 'bool'), port('kind', ['N', 5], 'int32')],
  outputs: [port('y', ['N', 5, 4])],
  weights: [tensor('table', [10, 4]), int64s('axis', [2])],
};
const passing: Graph = {
  nodes: [node('Identity', ['x'], ['same']), node('Relu', ['x'], ['y'])],
  inputs: [port('x', ['N', 4])],
  outputs: [port('same', ['N', 4]), port('y', ['N', 4])],
};
const constant: Graph = {
  nodes: [node('Relu', ['x'], ['y']), node('Identity', ['c'], ['anchors'])],
  inputs: [port('x', ['N', 4])],
  outputs: [port('y', ['N', 4]), port('anchors', [2, 3])],
  weights: [tensor('c', [2, 3])],
};

describe.each<readonly [string, Graph, readonly Form[]]>([
  ['names that differ by their case', heads('y', 'Y'), ['onnx', 'tfjs-graph', 'tfjs']],
  ['names that differ by :0', heads('y', 'y:0'), ['onnx', 'tfjs-graph', 'tfjs']],
  ["TensorFlow's names in another order", heads('Identity_1:0', 'Identity:0'), ['onnx', 'tfjs-graph', 'tfjs']],
  ['whole numbers and booleans', whole, ['onnx', 'tfjs-graph']],
  ['an output that is an input', passing, ['onnx', 'tfjs-graph', 'tfjs']],
  ['an output that is a constant', constant, ['onnx', 'tfjs-graph']],
  ['an input that has no batch', masked, ['onnx', 'tfjs-graph']],
])('%s', (_, graph, forms) => {
  it.each(forms)('is a match as %s, of every output', async (form) => {
    const report = await verified(graph, form);
    expect([report.verdict, report.compared.outputs, report.interface]).toEqual(['match', graph.outputs.length, []]);
    expect(report.trials[0]).toMatchObject({ kind: 'batch', passed: true });
  });
});

describe('beside an input that has no batch', () => {
  it('rows in another order are seen', async () => {
    const report = await verified(masked, 'onnx', (graph) =>
      beforeOutput(graph, (input, output) => {
        const slice = [integers(graph, 's', [-1]), integers(graph, 'e', [-(2 ** 31)]), integers(graph, 'a', [0]), integers(graph, 't', [-1])];
        return [{ opType: 'Slice', name: 'turn', input: [input, ...slice], output: [output], attribute: [] }];
      }),
    );
    expect(report).toMatchObject({ verdict: 'mismatch', outputs: [{ passed: true }], trials: [{ kind: 'batch', passed: false }] });
  });

  it('a batch that is written into a Reshape is seen', async () => {
    const report = await verified(masked, 'onnx', (graph) => {
      beforeOutput(graph, (input, output) => [
        { opType: 'Reshape', name: 'r', input: [input, integers(graph, 'shape', [1, 3])], output: [output], attribute: [] },
      ]);
      // The file does not say so.
      graph.output![0]!.type!.tensorType!.shape!.dim![0] = { dimParam: 'N' } as never;
    });
    expect(report).toMatchObject({ verdict: 'mismatch', trials: [{ kind: 'batch', passed: false }] });
  });
});

describe('six heads under other names in another order', () => {
  const kernels = Array.from({ length: 6 }, (_, i) => spread(12, i - 3, 1 + i / 2));
  const six = (order: readonly number[], nameOf: (head: number) => string): Graph => ({
    nodes: order.map((head) => node('Gemm', ['x', `${nameOf(head)}k`], [nameOf(head)], turned, `${nameOf(head)}n`)),
    inputs: [port('x', ['N', 4])],
    outputs: order.map((head) => port(nameOf(head), ['N', 3])),
    weights: order.map((head) => tensor(`${nameOf(head)}k`, [3, 4], kernels[head]!)),
  });
  const verifiedWith = async (edit: Edit) => {
    const files = memoryFileSet({ 'net.onnx': await onnxBytes(six([0, 1, 2, 3, 4, 5], (head) => `head${head}`)) }, 'net.onnx');
    const other = editOnnx(await onnxBytes(six([3, 5, 1, 0, 4, 2], (head) => `${900 - head}`)), edit);
    const model = await openModel(files);
    return verifyConversion(
      { source: { files }, model, map: await model.map(), target: { files: memoryFileSet({ 'b.onnx': other }, 'b.onnx'), format: 'onnx' } },
      {},
    );
  };

  it('are a match, with their weights compared each with its own', async () => {
    const report = await verifiedWith(() => {});
    expect(report).toMatchObject({ verdict: 'match', compared: { outputs: 6 }, weights: { mismatches: [], unpaired: [] } });
    expect(report.notes.join()).toContain('"head0" is "900", "head1" is "899"');
    expect(report.notes.join()).toContain('the file calls output "head0" "900"');
  });

  it('are a mismatch where one of them is wrong, and that one is named', async () => {
    const report = await verifiedWith((graph) => {
      const wrong = graph.initializer!.find(({ name }) => name === '896k')!;
      wrong.rawData = new Uint8Array(Float32Array.from(kernels[4]!, (value, i) => (i === 0 ? value + 1 : value)).buffer);
      wrong.floatData = [];
    });
    expect(report.verdict).toBe('mismatch');
    expect(report.outputs.filter(({ passed }) => !passed).map(({ name }) => name)).toEqual(['head4']);
    expect(report.weights!.mismatches.map(({ layer }) => layer)).toEqual(['head4n']);
    expect(report.cause?.layer).toBe('head4n');
  });
});

it.each([
  ['a', 'b'],
  ['y', 'Y'],
  ['y', 'y:0'],
])('outputs "%s" and "%s" that are exchanged are called so', async (a, b) => {
  const report = await verified(heads(a, b), 'onnx', (graph) => {
    const [first, second] = graph.node!;
    [first!.output![0], second!.output![0]] = [b, a];
  });
  expect([report.verdict, report.cause?.explainedBy[0]?.kind]).toEqual(['mismatch', 'outputs-exchanged']);
  expect(nextStep(report)).toContain(`outputs are exchanged: "${b}" has the values of "${a}", "${a}" has the values of "${b}"`);
});

it('a head that is the other one is not called exchanged', async () => {
  const report = await verified(heads('a', 'b'), 'onnx', (graph) => {
    graph.node![1]!.input![1] = graph.node![0]!.input![1]!;
  });
  expect([report.verdict, report.firstDifference?.layer]).toEqual(['mismatch', 'n2']);
});

it('an input more, which nobody can feed, is named', async () => {
  const more: Edit = (graph) => void graph.input!.push({ ...graph.input![0]!, name: 'more' } as never);
  await expect(verified(heads('a', 'b'), 'onnx', more)).rejects.toThrow('the file has an input more than the source, "more"');
});

it('a weight that is an input in the source too may be narrowed', async () => {
  const graph = { ...masked, inputs: [...masked.inputs, port('k', [3, 4])] };
  const files = memoryFileSet({ 'net.onnx': await onnxBytes(graph) }, 'net.onnx');
  const sink = memorySink();
  const { model, map } = await convert(files, sink, 'out.onnx', { to: 'onnx', dtype: 'float16' });
  const target = { files: memoryFileSet(Object.fromEntries(sink.files), 'out.onnx'), format: 'onnx' };
  const report = await verifyConversion({ source: { files }, model, map, target }, {});
  expect([report.verdict, report.interface]).toEqual(['match', []]);
});

it('maxima of volumes are looked for by TensorFlow.js in JavaScript, since its WebAssembly kernel has them wrong', async () => {
  const pooled: Graph = {
    nodes: [node('MaxPool', ['x'], ['y'], { kernel_shape: attributes.ints([2, 2, 2]), strides: attributes.ints([2, 2, 2]) })],
    inputs: [port('x', ['N', 2, 4, 4, 4])],
    outputs: [port('y', ['N', 2, 2, 2, 2])],
  };
  const report = await verified(pooled, 'tfjs');
  expect([report.verdict, report.engines.actual]).toEqual(['match', expect.stringContaining('tfjs-cpu')]);
  expect(report.notes.join()).toContain('because tfjs-wasm cannot run it');
});

it('one number for all channels is found where Keras has one for each, in float16', async () => {
  const scaled: Graph = {
    nodes: [node('Gemm', ['x', 'k'], ['h'], turned), node('Mul', ['h', 'by'], ['m']), node('Add', ['m', 'plus'], ['y'])],
    inputs: [port('x', ['N', 4])],
    outputs: [port('y', ['N', 3])],
    weights: [tensor('k', [3, 4]), tensor('by', [], [0.3]), tensor('plus', [], [-0.7])],
  };
  const files = memoryFileSet({ 'net.onnx': await onnxBytes(scaled) }, 'net.onnx');
  const sink = memorySink();
  const { model, map } = await convert(files, sink, 'out.h5', { to: 'keras-h5', dtype: 'float16' });
  const target = { files: memoryFileSet(Object.fromEntries(sink.files), 'out.h5'), format: 'keras-h5' };
  const report = await verifyConversion({ source: { files }, model, map, target }, {});
  expect([report.verdict, report.quantisation?.correctness?.passed]).toEqual(['match', true]);
});
