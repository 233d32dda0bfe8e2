/** Loops of TensorFlow, in the graph itself (TensorFlow 1) and as functions (TensorFlow 2), with the lists that they fill: against TensorFlow.js. */
import { describe, expect, it } from 'vitest';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { openModel } from '../../src/readers/open.js';
import { tfjsCpu } from '../../src/verify/engines/tfjs-cpu.js';
import { runLayers } from '../../src/verify/reference/session.js';
import { type Attr, float, type GraphNode, graphDef, int32, placeholder, type SmallGraph, tfjsFiles, type Weight } from '../tf-graphs.js';

const whole = (...list: number[]): Weight => ({ dtype: 'int32', shape: [list.length], values: list });
const scalar = (value: number): Weight => ({ dtype: 'int32', shape: [], values: [value] });
const T = { T: float };
const type = (code: number): Attr => ({ type: code });
const RESOURCE = 20;
const kernel: Weight = { dtype: 'float32', shape: [2, 2], values: [0.5, -0.3, 0.2, 0.9] };
const start: Weight = { dtype: 'float32', shape: [1, 2], values: [0.1, -0.1] };
const X = [0.3, -1, 0.7, 0.2, -0.4, 1.1];

/** state = tanh(x[step] + state kernel), once more in the list: three steps over x [3, 1, 2]. */
const step = (x: string, state: string, prefix = ''): GraphNode[] => [
  { name: `${prefix}product`, op: 'MatMul', input: [state, 'kernel'], attr: { ...T, transpose_a: { b: false }, transpose_b: { b: false } } },
  { name: `${prefix}sum`, op: 'AddV2', input: [x, prefix ? `${prefix}product` : 'product:product:0'], attr: T },
  { name: `${prefix}new`, op: 'Tanh', input: [prefix ? `${prefix}sum` : 'sum:z:0'], attr: T },
];

/** As tf.keras's layers come in a SavedModel and through the converter of TensorFlow.js. */
const functions = (steps: number): SmallGraph => ({
  nodes: [
    placeholder('x', [3, 1, 2]),
    { name: 'read', op: 'TensorListFromTensor', input: ['x', 'shape'], attr: { element_dtype: float, shape_type: int32 } },
    { name: 'made', op: 'TensorListReserve', input: ['shape', 'steps'], attr: { element_dtype: float, shape_type: int32 } },
    {
      name: 'rnn/while',
      op: 'StatelessWhile',
      input: ['zero', 'read', 'made', 'start', 'kernel'],
      attr: { cond: { func: 'cond' }, body: { func: 'body' }, parallel_iterations: { i: 32 } },
    },
    { name: 'y', op: 'TensorListStack', input: ['rnn/while:2', 'shape'], attr: { element_dtype: float, num_elements: { i: 3 } } },
    { name: 'last', op: 'Identity', input: ['rnn/while:3'], attr: T },
  ],
  functions: {
    cond: {
      args: ['i', 'read', 'made', 'state', 'kernel'],
      results: { goes_on: 'less:z:0' },
      nodes: [
        { name: 'limit', op: 'Const', attr: { dtype: int32, value: { int: steps } } },
        { name: 'less', op: 'Less', input: ['i', 'limit:output:0'], attr: { T: int32 } },
      ],
    },
    body: {
      args: ['i', 'read', 'made', 'state', 'kernel'],
      results: { i_next: 'next:z:0', read_out: 'read', made_out: 'put:output_handle:0', state_out: 'new:y:0', kernel_out: 'kernel' },
      nodes: [
        { name: 'one', op: 'Const', attr: { dtype: int32, value: { int: 1 } } },
        { name: 'next', op: 'AddV2', input: ['i', 'one:output:0'], attr: { T: int32 } },
        { name: 'none', op: 'Const', attr: { dtype: int32, value: { int: -1 } } },
        { name: 'get', op: 'TensorListGetItem', input: ['read', 'i', 'none:output:0'], attr: { element_dtype: float } },
        ...step('get:item:0', 'state'),
        { name: 'put', op: 'TensorListSetItem', input: ['made', 'i', 'new:y:0'], attr: { element_dtype: float } },
      ],
    },
  },
  weights: { shape: whole(1, 2), steps: scalar(3), zero: scalar(0), start, kernel },
  inputs: ['x'],
  outputs: ['y', 'last'],
});

const loop = (name: string): { s: string } => ({ s: name });
const enter = (name: string, from: string, constant = false, dtype: Attr = float): GraphNode => ({
  name,
  op: 'Enter',
  input: [from],
  attr: { T: dtype, frame_name: loop('rnn/while/context'), is_constant: { b: constant }, parallel_iterations: { i: 32 } },
});
/** A variable of the loop: its Enter, Merge, Switch, NextIteration and Exit. */
const variable = (name: string, from: string, next: string, dtype: Attr = float): GraphNode[] => [
  enter(`rnn/while/enter_${name}`, from, false, dtype),
  { name: `rnn/while/merge_${name}`, op: 'Merge', input: [`rnn/while/enter_${name}`, `rnn/while/next_${name}`], attr: { T: dtype, N: { i: 2 } } },
  { name: `rnn/while/switch_${name}`, op: 'Switch', input: [`rnn/while/merge_${name}`, 'rnn/while/goes_on'], attr: { T: dtype } },
  { name: `rnn/while/next_${name}`, op: 'NextIteration', input: [next], attr: { T: dtype } },
  { name: `rnn/while/exit_${name}`, op: 'Exit', input: [`rnn/while/switch_${name}`], attr: { T: dtype } },
];
const array = (name: string, size: string): GraphNode => ({
  name,
  op: 'TensorArrayV3',
  input: [size],
  attr: {
    dtype: float,
    element_shape: { shape: [1, 2] },
    dynamic_size: { b: false },
    clear_after_read: { b: true },
    identical_element_shapes: { b: true },
    tensor_array_name: { s: '' },
  },
});

/** As tf.nn.dynamic_rnn leaves it in a frozen graph of TensorFlow 1. */
const frames: SmallGraph = {
  nodes: [
    placeholder('x', [3, 1, 2]),
    array('reads', 'steps'),
    { name: 'scatter', op: 'TensorArrayScatterV3', input: ['reads', 'places', 'x', 'reads:1'], attr: T },
    array('makes', 'steps'),
    ...variable('i', 'zero', 'rnn/while/add', int32),
    ...variable('state', 'start', 'rnn/while/new'),
    ...variable('flow', 'makes:1', 'rnn/while/write'),
    enter('rnn/while/limit', 'steps', true, int32),
    enter('rnn/while/kernel', 'kernel', true),
    enter('rnn/while/reads', 'reads', true, type(RESOURCE)),
    enter('rnn/while/flow', 'scatter', true),
    enter('rnn/while/makes', 'makes', true, type(RESOURCE)),
    { name: 'rnn/while/less', op: 'Less', input: ['rnn/while/merge_i', 'rnn/while/limit'], attr: { T: int32 } },
    { name: 'rnn/while/goes_on', op: 'LoopCond', input: ['rnn/while/less'] },
    { name: 'rnn/while/add', op: 'AddV2', input: ['rnn/while/switch_i:1', 'one'], attr: { T: int32 } },
    { name: 'rnn/while/read', op: 'TensorArrayReadV3', input: ['rnn/while/reads', 'rnn/while/switch_i:1', 'rnn/while/flow'], attr: { dtype: float } },
    ...step('rnn/while/read', 'rnn/while/switch_state:1', 'rnn/while/').map((node) => ({
      ...node,
      input: node.input!.map((input) => (input === 'kernel' ? 'rnn/while/kernel' : input)),
    })),
    {
      name: 'rnn/while/write',
      op: 'TensorArrayWriteV3',
      input: ['rnn/while/makes', 'rnn/while/switch_i:1', 'rnn/while/new', 'rnn/while/switch_flow:1'],
      attr: T,
    },
    { name: 'y', op: 'TensorArrayGatherV3', input: ['makes', 'places', 'rnn/while/exit_flow'], attr: { dtype: float, element_shape: { shape: [1, 2] } } },
    { name: 'last', op: 'Identity', input: ['rnn/while/exit_state'], attr: T },
  ],
  weights: { steps: scalar(3), zero: scalar(0), one: scalar(1), places: whole(0, 1, 2), start, kernel },
  inputs: ['x'],
  outputs: ['y', 'last'],
};

const frozen = (graph: SmallGraph) => memoryFileSet({ 'model.pb': graphDef(graph) }, 'model.pb');

describe('loops of TensorFlow', () => {
  it.each([
    ['functions (TensorFlow 2)', functions(3)],
    ['frames (TensorFlow 1)', frames],
  ] as const)('as %s become the layers of their steps, as TensorFlow.js takes them', async (_, graph) => {
    const files = memoryFileSet(Object.fromEntries(tfjsFiles(graph)), 'model.json');
    const session = await tfjsCpu.open({ files });
    const expected = await session.run(new Map([['x', { shape: [3, 1, 2], data: Float32Array.from(X) }]]));
    await session.close();
    for (const source of [files, frozen(graph)]) {
      const map = await (await openModel(source)).map();
      const made = await runLayers(map, [{ shape: [3, 1, 2], data: Float64Array.from(X) }], () => {});
      const places = source === files ? [0, 1] : map.outputs.map(({ name }) => graph.outputs.indexOf(name));
      for (const [i, { shape, data }] of made.entries()) {
        const wanted = expected.get(graph.outputs[places[i]!]!)!;
        expect(shape).toEqual(wanted.shape);
        for (const [at, value] of [...data].entries()) expect(Number(value)).toBeCloseTo(Number(wanted.data[at]), 5);
      }
      // The kernel is one tensor, whatever the number of steps.
      expect(new Set(map.layers.flatMap(({ weights }) => Object.values(weights).filter(({ shape }) => shape.join() === '2,2'))).size).toBe(1);
    }
  });

  it('of more steps than a net has are refused, and so are those whose number the values say', async () => {
    await expect((await openModel(frozen(functions(1e6)))).map()).rejects.toThrow(/place 3 is none|more than 1024 steps/);
    const counting: SmallGraph = {
      ...functions(3),
      nodes: [
        placeholder('x', [1]),
        { name: 'whole', op: 'Cast', input: ['x'], attr: { SrcT: float, DstT: int32 } },
        { name: 'first', op: 'Squeeze', input: ['whole'], attr: { T: int32 } },
        { name: 'y', op: 'While', input: ['first'], attr: { cond: { func: 'below' }, body: { func: 'count' } } },
      ],
      functions: {
        below: {
          args: ['i'],
          results: { goes_on: 'less:z:0' },
          nodes: [
            { name: 'limit', op: 'Const', attr: { dtype: int32, value: { int: 1000000 } } },
            { name: 'less', op: 'Less', input: ['i', 'limit:output:0'], attr: { T: int32 } },
          ],
        },
        count: {
          args: ['i'],
          results: { next: 'add:z:0' },
          nodes: [
            { name: 'one', op: 'Const', attr: { dtype: int32, value: { int: 1 } } },
            { name: 'add', op: 'AddV2', input: ['i', 'one:output:0'], attr: { T: int32 } },
          ],
        },
      },
      outputs: ['y'],
    };
    await expect((await openModel(frozen(counting))).map()).rejects.toThrow(/how many steps the loop takes is known only when the model runs/);
    const long = { ...counting, nodes: [placeholder('x', [1]), { ...counting.nodes[3]!, input: ['zero'] }], weights: { zero: scalar(0) } };
    await expect((await openModel(frozen(long))).map()).rejects.toThrow(/more than 1024 steps/);
  });

  it('an output of a node in a function is the one that it names', async () => {
    const graph: SmallGraph = {
      nodes: [placeholder('x', [1, 4]), { name: 'y', op: 'PartitionedCall', input: ['x'], attr: { f: { func: 'best' } } }],
      functions: {
        best: {
          args: ['x'],
          results: { places: 'cast:y:0' },
          nodes: [
            { name: 'k', op: 'Const', attr: { dtype: int32, value: { int: 2 } } },
            { name: 'top', op: 'TopKV2', input: ['x', 'k:output:0'], attr: { ...T, sorted: { b: true } } },
            { name: 'cast', op: 'Cast', input: ['top:indices:0'], attr: { SrcT: int32, DstT: float } },
          ],
        },
      },
      weights: {},
      inputs: ['x'],
      outputs: ['y'],
    };
    const map = await (await openModel(frozen(graph))).map();
    const [made] = await runLayers(map, [{ shape: [1, 4], data: Float64Array.of(0.1, 7, 3, 5) }], () => {});
    expect([...made!.data].map(Number)).toEqual([1, 3]);
    const other = { ...graph, functions: { best: { ...graph.functions!.best!, results: { places: 'top:order:0' } } } };
    await expect((await openModel(frozen(other))).map()).rejects.toThrow(/output order of "top"/);
  });
});
