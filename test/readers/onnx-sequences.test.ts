/** Lists of values in ONNX graphs: what is taken of them is what ONNX Runtime takes, and no list is left where its parts are known. */
import { describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { openModel } from '../../src/readers/open.js';
import { referenceSession } from '../../src/verify/reference/session.js';
import { intAttribute } from '../../src/writers/onnx/graph.js';
import { onnx } from '../../src/writers/onnx/index.js';
import { type Graph, int64, node, onnxFile } from '../onnx-graphs.js';
import { runOnnx } from '../run-onnx.js';

const SHAPE = [2, 5];
const X = [['x', SHAPE]] as const;
const feed = { shape: SHAPE, data: Float32Array.from({ length: 10 }, (_, i) => i * i - 7) };

async function mapOf(graph: Graph) {
  return (await openModel(memoryFileSet({ 'm.onnx': await onnxFile(graph) }, 'm.onnx'))).map();
}

const values = (made: ReadonlyMap<string, { readonly data: ArrayLike<number | bigint>; readonly shape: readonly number[] }>) =>
  [...made.values()].map(({ shape, data }) => ({ shape: [...shape], data: Array.from(data as ArrayLike<number>, Number) }));

/** The map computes what ONNX Runtime does, from layers that are all understood. */
async function expectUnderstood(graph: Graph): Promise<readonly string[]> {
  const map = await mapOf(graph);
  expect(map.layers.filter(({ foreign }) => foreign)).toEqual([]);
  const made = await (await referenceSession(map)).run(new Map([['x', feed]]));
  expect(values(made)).toEqual(values(await runOnnx(await onnxFile(graph), [feed])));
  return map.layers.map(({ op }) => op);
}

const along = { axis: intAttribute(1) };
const split = node('SplitToSequence', ['x', 'size'], ['list'], along);

describe('a list whose parts are known', () => {
  const places = [int64('first', [0], []), int64('last', [-1], []), int64('size', [2], [])];

  it('of parts of one size, of which one is taken from either end', async () => {
    const nodes = [split, node('SequenceAt', ['list', 'last'], ['a']), node('SequenceAt', ['list', 'first'], ['b']), node('Add', ['b', 'a'], ['y'])];
    expect(await expectUnderstood({ nodes, tensors: places, inputs: X })).toEqual(['Split', 'Add']);
  });

  it('of parts of given sizes, whose order is another one when they are joined', async () => {
    const nodes = [
      node('SplitToSequence', ['x', 'sizes'], ['list'], along),
      node('SequenceAt', ['list', 'first'], ['part']),
      node('SequenceErase', ['list', 'first'], ['rest']),
      node('SequenceInsert', ['rest', 'part'], ['turned']),
      node('ConcatFromSequence', ['turned'], ['y'], along),
    ];
    await expectUnderstood({ nodes, tensors: [...places, int64('sizes', [1, 4])], inputs: X });
  });

  it('of single places, without their axis, which are stacked', async () => {
    const nodes = [
      node('SplitToSequence', ['x'], ['list'], { axis: intAttribute(1), keepdims: intAttribute(0) }),
      node('ConcatFromSequence', ['list'], ['y'], { axis: intAttribute(0), new_axis: intAttribute(1) }),
    ];
    await expectUnderstood({ nodes, inputs: X });
  });

  it('that begins empty and grows', async () => {
    const nodes = [
      node('SequenceEmpty', [], ['none']),
      node('SequenceInsert', ['none', 'x'], ['one']),
      node('Neg', ['x'], ['n']),
      node('SequenceInsert', ['one', 'n', 'first'], ['two']),
      node('ConcatFromSequence', ['two'], ['y'], along),
    ];
    expect(await expectUnderstood({ nodes, tensors: places, inputs: X })).toEqual(['Neg', 'Concat']);
  });

  it('whose length is a number', async () => {
    const nodes = [node('SequenceConstruct', ['x', 'x', 'x'], ['list']), node('SequenceLength', ['list'], ['n']), node('CastLike', ['n', 'x'], ['f'])];
    const map = await mapOf({ nodes: [...nodes, node('Mul', ['x', 'f'], ['y'])], inputs: X });
    expect(map.layers.at(-1)).toMatchObject({ op: 'Mul' });
    const made = await (await referenceSession(map)).run(new Map([['x', feed]]));
    expect(values(made)[0]!.data).toEqual([...feed.data].map((value) => 3 * value));
  });
});

it('a list of which a place is taken that flows is made for the node, which is kept as it came, and runs', async () => {
  const nodes = [
    split,
    node('ReduceMax', ['x'], ['most'], { keepdims: intAttribute(0) }),
    node('Cast', ['most'], ['many'], { to: intAttribute(7) }),
    node('Min', ['many', 'one'], ['place']),
    node('SequenceAt', ['list', 'place'], ['y']),
  ];
  const graph = { nodes, tensors: [int64('one', [1], []), int64('size', [2], [])], inputs: X };
  const map = await mapOf(graph);
  expect(map.layers.map(({ op }) => op)).toEqual(['Split', 'ReduceMax', 'Cast', 'Constant', 'Min', 'ai.onnx::SequenceConstruct', 'ai.onnx::SequenceAt']);
  const options = { dtype: 'source', layout: 'source', metadata: async () => ({}) } as const;
  const sink = memorySink();
  await onnx.write({ ...map, layers: [...map.layers] }, sink, 'm.onnx', options);
  await sink.commit();
  expect(values(await runOnnx(sink.files.get('m.onnx')!, [feed]))).toEqual(values(await runOnnx(await onnxFile(graph), [feed])));
});
