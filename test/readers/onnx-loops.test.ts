/** Loop and Scan nodes of a known number of steps: their steps compute what ONNX Runtime makes of the nodes. */
import { describe, expect, it } from 'vitest';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { numbersTensor } from '../../src/model/numbers.js';
import { float32Tensor } from '../../src/model/tensor.js';
import { openModel } from '../../src/readers/open.js';
import { checkSteps, isApart } from '../../src/verify/effort.js';
import { referenceSession } from '../../src/verify/reference/session.js';
import { intAttribute, type OnnxAttribute } from '../../src/writers/onnx/graph.js';
import { type Graph, int64, node, ORIGIN, onnxFile, withGraphs } from '../onnx-graphs.js';
import { distance } from '../run-arrays.js';
import { runOnnx } from '../run-onnx.js';

const SHAPE = [5, 2];
const feed = { shape: SHAPE, data: Float32Array.from({ length: 10 }, (_, i) => Math.sin(i * i) + i / 5) };
const half = float32Tensor('half', [], [0.5], ORIGIN);
const table = float32Tensor(
  '',
  SHAPE,
  Array.from({ length: 10 }, (_, i) => i),
  ORIGIN,
);
const ints = (...value: readonly number[]): OnnxAttribute => ({ type: 'ints', value });

const LOOP_PORTS: Graph['inputs'] = [
  ['i', [], 'int64'],
  ['c', [], 'bool'],
  ['v', SHAPE],
];

/** v / 2 + a table + the number of the step, which is given out times x too; on until the step of the limit. */
const BODY: Graph = {
  nodes: [
    node('Constant', [], ['k'], { value: { type: 'tensor', value: table } }),
    node('Cast', ['i'], ['f'], { to: intAttribute(1) }),
    node('Mul', ['v', 'half'], ['v2']),
    node('Sum', ['v2', 'k', 'f'], ['vo']),
    node('Mul', ['vo', 'x'], ['s']),
    node('Less', ['i', 'limit'], ['co']),
  ],
  inputs: LOOP_PORTS,
  outputs: [],
  unshaped: [['co', 'bool'], 'vo', 's'],
};

/** The running sum of the rows, or columns, and its tangent. */
const scanBody = (size: number): Graph => ({
  nodes: [node('Add', ['s', 'part'], ['so']), node('Tanh', ['so'], ['t'])],
  inputs: [
    ['s', [size]],
    ['part', [size]],
  ],
  outputs: [],
  unshaped: ['so', 't'],
});
const zeros = (size: number) => float32Tensor('zeros', [size], new Array<number>(size).fill(0), ORIGIN);

const CASES: Readonly<Record<string, Graph>> = {
  'a Loop of three steps': {
    nodes: [withGraphs(node('Loop', ['three', '', 'x'], ['y', 'z']), { body: BODY })],
    tensors: [half, int64('three', [3], []), int64('limit', [9], [])],
  },
  'a Loop that its own condition ends': {
    nodes: [withGraphs(node('Loop', ['three', '', 'x'], ['y', 'z']), { body: BODY })],
    tensors: [half, int64('three', [30], []), int64('limit', [4], [])],
  },
  'a Scan over rows': {
    nodes: [withGraphs(node('Scan', ['zeros', 'x'], ['y', 'z'], { num_scan_inputs: intAttribute(1) }), { body: scanBody(2) })],
    tensors: [zeros(2)],
  },
  'a Scan over columns, from the last one on': {
    nodes: [
      withGraphs(
        node('Scan', ['zeros', 'x'], ['y', 'z'], {
          num_scan_inputs: intAttribute(1),
          scan_input_axes: ints(1),
          scan_input_directions: ints(1),
          scan_output_axes: ints(-1),
          scan_output_directions: ints(1),
        }),
        { body: scanBody(5) },
      ),
    ],
    tensors: [zeros(5)],
  },
};

const mapOf = async (bytes: Uint8Array) => (await openModel(memoryFileSet({ 'm.onnx': bytes }, 'm.onnx'))).map();

describe('steps of a known number', () => {
  it.each(Object.entries(CASES))('%s', async (_, graph) => {
    const bytes = await onnxFile({ ...graph, inputs: [['x', SHAPE]], outputs: [], unshaped: ['y', 'z'] });
    const map = await mapOf(bytes);
    expect(map.layers.filter(({ foreign }) => foreign)).toEqual([]);
    const [expected, made] = [await runOnnx(bytes, [feed]), await (await referenceSession(map)).run(new Map([['x', feed]]))];
    for (const name of ['y', 'z'])
      expect(distance(made.get(name)!, { ...expected.get(name)!, dtype: 'float32', data: Float64Array.from(expected.get(name)!.data) })).toBeLessThan(1e-6);
  });

  it('hold a constant of the body once', async () => {
    const graph = CASES['a Loop of three steps']!;
    const map = await mapOf(await onnxFile({ ...graph, inputs: [['x', SHAPE]], outputs: [], unshaped: ['y', 'z'] }));
    const tables = map.layers.flatMap(({ weights }) => Object.values(weights)).filter(({ shape }) => shape.join() === SHAPE.join());
    expect(new Set(tables).size).toBe(1);
  });

  it('are not taken where what flows in says how many there are', async () => {
    const nodes = [
      node('ReduceSum', ['x'], ['sum'], { keepdims: intAttribute(0) }),
      node('Cast', ['sum'], ['count'], { to: intAttribute(7) }),
      withGraphs(node('Loop', ['count', '', 'x'], ['y', 'z']), { body: BODY }),
    ];
    const map = await mapOf(await onnxFile({ nodes, tensors: [half, int64('limit', [9], [])], inputs: [['x', SHAPE]], outputs: [], unshaped: ['y', 'z'] }));
    expect(map.layers.flatMap(({ foreign }) => (foreign ? [foreign.reason] : []))).toEqual(['how many steps it takes is known only when the model runs']);
  });

  it.each([
    [1e9, true],
    [1e5, false],
  ])('that would be %d are kept as one node, which is run apart: %s that they are too many to run', async (steps, isRefused) => {
    const nodes = [withGraphs(node('Loop', ['count', '', 'x'], ['y', 'z']), { body: BODY })];
    const tensors = [half, int64('count', [steps], []), int64('limit', [2e9], [])];
    const map = await mapOf(await onnxFile({ nodes, tensors, inputs: [['x', SHAPE]], outputs: [], unshaped: ['y', 'z'] }));
    expect(map.layers.filter(({ foreign }) => foreign?.op === 'Loop')).toHaveLength(1);
    expect(isApart(map)).toBe(true);
    if (isRefused) expect(() => checkSteps(map)).toThrow(/repeats 1000000000 times/);
    else expect(() => checkSteps(map)).not.toThrow();
  });

  /** A loop of so many steps around what `inside` holds, which goes on as long as its limit lets it. */
  const around = (limit: string, inside: Graph['nodes'], tensors: Graph['tensors'] = [], output = 'y') =>
    withGraphs(node('Loop', [limit, '', 'x'], [output]), {
      body: {
        nodes: [...inside!, node('Identity', ['c'], ['co']), node('Identity', ['v'], ['vo'])],
        tensors,
        inputs: LOOP_PORTS,
        outputs: [],
        unshaped: [['co', 'bool'], 'vo'],
      },
    });
  const inner = (limit: string) => withGraphs(node('Loop', [limit, '', 'v'], ['w']), { body: BODY });

  it.each<[what: string, nodes: Graph['nodes'], tensors: Graph['tensors'], steps: RegExp | null]>([
    [
      'one within another, of stored limits',
      [around('outer', [inner('own')], [int64('own', [50_000], [])])],
      [int64('outer', [2000], [])],
      /repeats 100000000 times/,
    ],
    ['one within another, of one limit', [around('outer', [inner('outer')])], [int64('outer', [5000], [])], /repeats 25000000 times/],
    [
      'one within another, of a limit in a Constant',
      [around('outer', [node('Constant', [], ['k'], { value: { type: 'tensor', value: int64('k', [90_000], []) } }), inner('k')])],
      [int64('outer', [2000], [])],
      /repeats 180000000 times/,
    ],
    ['one within another, few', [around('outer', [inner('own')], [int64('own', [20_000], [])])], [int64('outer', [3], [])], null],
    [
      'one after the other',
      ['a', 'b'].map((name) => around('outer', [inner('own')], [int64('own', [20_000], [])], name)),
      [int64('outer', [3], [])],
      /with the loops before it, it repeats 120000 times/,
    ],
    [
      'one whose limit is worked out within another',
      [
        around('outer', [
          node('ReduceSum', ['x'], ['sum'], { keepdims: intAttribute(0) }),
          node('Cast', ['sum'], ['own'], { to: intAttribute(7) }),
          inner('own'),
        ]),
      ],
      [int64('outer', [3], [])],
      null,
    ],
    [
      'without a limit of their own, as PyTorch exports them: the condition ends them',
      [withGraphs(node('Loop', ['outer', '', 'x'], ['y', 'z']), { body: BODY })],
      [numbersTensor('outer', 'int64', [], [2 ** 63], ORIGIN)],
      null,
    ],
    [
      'without a limit, and with a condition that is handed on as it came',
      [around('outer', [inner('own')], [int64('own', [50_000], [])])],
      [numbersTensor('outer', 'int64', [], [2 ** 63], ORIGIN)],
      /repeats without end/,
    ],
    [
      'whose limit is left out, with a condition that is handed on as it came',
      [around('', [inner('own')], [int64('own', [50_000], [])])],
      [],
      /repeats without end/,
    ],
    ['whose limit is left out: the condition ends them', [withGraphs(node('Loop', ['', '', 'x'], ['y', 'z']), { body: BODY })], [], null],
  ])('are counted together: %s', async (_, nodes, tensors, says) => {
    const outputs = nodes!.length > 1 ? ['a', 'b'] : ['y'];
    const map = await mapOf(
      await onnxFile({ nodes, tensors: [half, int64('limit', [2e9], []), ...tensors!], inputs: [['x', SHAPE]], outputs: [], unshaped: outputs }),
    );
    expect(map.layers.some(({ foreign }) => foreign?.op === 'Loop')).toBe(true);
    if (says) expect(() => checkSteps(map)).toThrow(says);
    else expect(() => checkSteps(map)).not.toThrow();
  });
});
