/** A graph model works out sizes that are free when it runs. */
import { describe, expect, test } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { convert } from '../../src/convert.js';
import { intAttribute, intsAttribute as ints, type OnnxNode } from '../../src/writers/onnx/graph.js';
import { legacyH5, sequential } from '../keras-files.js';
import { arrayOf, at, difference, random } from '../keras-run.js';
import { type Graph, int64, node, onnxFile } from '../onnx-graphs.js';
import { runOnnx } from '../run-onnx.js';
import { runTfjs } from '../run-tfjs.js';

test('a picture of any size is enlarged', async () => {
  const file = await legacyH5(sequential([null, null, null, 3], [['UpSampling2D', { size: [2, 3] }]]));
  const sink = memorySink();
  await convert(memoryFileSet({ 'model.h5': file }, 'model.h5'), sink, 'model.json', { to: 'tfjs-graph' });
  for (const [height, width] of [
    [2, 3],
    [4, 1],
  ] as const) {
    const x = random([2, height, width, 3]);
    const [made] = await runTfjs('tfjs-graph', sink.files, [x]);
    expect(
      difference(
        made!,
        arrayOf([2, 2 * height, 3 * width, 3], (n, h, w, c) => at(x, n, Math.floor(h / 2), Math.floor(w / 3), c)),
      ),
    ).toBe(0);
  }
});

/** PyTorch's exports with free axes, as its exporter says these things. */
describe('an ONNX graph with free sizes', () => {
  const sizeOf = (value: string, axis: string, out: string): readonly OnnxNode[] => [
    node('Shape', [value], [`${out}_shape`]),
    node('Gather', [`${out}_shape`, axis], [out], { axis: intAttribute(0) }),
  ];
  const unsqueezed = (name: string) => node('Unsqueeze', [name, 'zero'], [`${name}_1`]);
  const tensors = [int64('zero', [0]), int64('i0', [0], []), int64('i1', [1], []), int64('i2', [2], []), int64('i3', [3], []), int64('minus', [-1])];
  const inputs: Graph['inputs'] = [
    ['x', ['batch', 4, 'height', 'width']],
    ['small', ['batch', 4, '(floor((height)/2))', '(floor((width)/2))']],
  ];
  const [batch, height, width] = [sizeOf('x', 'i0', 'b'), sizeOf('x', 'i2', 'h'), sizeOf('x', 'i3', 'w')];
  const graphs: Readonly<Record<string, Graph>> = {
    'pixels in a row and back': {
      nodes: [
        ...batch,
        ...height,
        ...width,
        ...['b', 'h', 'w'].map(unsqueezed),
        node('Concat', ['b_1', 'four', 'minus'], ['rows'], { axis: intAttribute(0) }),
        node('Reshape', ['x', 'rows'], ['r']),
        node('Softmax', ['r'], ['s'], { axis: intAttribute(2) }),
        node('Concat', ['b_1', 'four', 'h_1', 'w_1'], ['picture'], { axis: intAttribute(0) }),
        node('Reshape', ['s', 'picture'], ['y']),
      ],
    },
    'a grid of coordinates beside the picture': {
      nodes: [
        ...batch,
        ...height,
        ...width,
        ...['b', 'h', 'w'].map(unsqueezed),
        node('Range', ['i0', 'w', 'i1'], ['range']),
        node('Cast', ['range'], ['line'], { to: intAttribute(1) }),
        node('Concat', ['b_1', 'one', 'h_1', 'w_1'], ['plane'], { axis: intAttribute(0) }),
        node('Expand', ['line', 'plane'], ['grid']),
        node('Concat', ['x', 'grid'], ['y'], { axis: intAttribute(1) }),
      ],
    },
    'enlarged to the size of another one, and joined': {
      nodes: [
        ...height,
        ...width,
        ...sizeOf('small', 'i0', 'b'),
        ...['b', 'h', 'w'].map(unsqueezed),
        node('Concat', ['b_1', 'four', 'h_1', 'w_1'], ['size'], { axis: intAttribute(0) }),
        node('Resize', ['small', '', '', 'size'], ['large'], { mode: { type: 'string', value: 'linear' } }),
        node('Concat', ['x', 'large'], ['y'], { axis: intAttribute(1) }),
      ],
    },
    'padded by what is missing': {
      nodes: [
        ...height,
        ...width,
        ...sizeOf('small', 'i2', 'sh'),
        ...sizeOf('small', 'i3', 'sw'),
        node('Sub', ['h', 'sh'], ['dh']),
        node('Sub', ['w', 'sw'], ['dw']),
        ...['dh', 'dw'].map(unsqueezed),
        node('Concat', ['zero', 'zero', 'zero', 'zero', 'zero', 'zero', 'dh_1', 'dw_1'], ['pads'], { axis: intAttribute(0) }),
        node('Pad', ['small', 'pads'], ['padded']),
        node('Sub', ['padded', 'x'], ['y']),
      ],
    },
    'cut to the size of another one': {
      nodes: [...sizeOf('small', 'i2', 'sh'), unsqueezed('sh'), node('Slice', ['x', 'one', 'sh_1', 'two'], ['y'])],
    },
    'elements counted from the end of the batch': {
      nodes: [
        ...batch,
        node('Range', ['i0', 'b', 'i1'], ['range']),
        node('Sub', ['minus', 'range'], ['back']),
        node('Gather', ['x', 'back'], ['turned'], { axis: intAttribute(0) }),
        node('Neg', ['b'], ['first']),
        node('Gather', ['turned', 'first'], ['last'], { axis: intAttribute(0) }),
        node('Unsqueeze', ['back', 'one'], ['places']),
        node('GatherND', ['turned', 'places'], ['again']),
        node('ScatterND', ['x', 'places', 'again'], ['placed']),
        node('Sub', ['placed', 'last'], ['y']),
      ],
    },
    'elements of each of any number of pictures': {
      nodes: [
        node('ArgMax', ['x'], ['best'], { axis: intAttribute(1), keepdims: intAttribute(0) }),
        ...batch,
        unsqueezed('b'),
        node('Concat', ['b_1', 'minus', 'one'], ['rows'], { axis: intAttribute(0) }),
        node('Reshape', ['best', 'rows'], ['places']),
        node('GatherND', ['x', 'places'], ['y'], { batch_dims: intAttribute(1) }),
      ],
    },
    'the largest and the mean around each place': {
      nodes: [
        node('MaxPool', ['x'], ['wide'], { kernel_shape: ints([5, 3]), pads: ints([2, 1, 2, 1]), strides: ints([2, 1]) }),
        node('AveragePool', ['wide'], ['mean'], {
          kernel_shape: ints([3, 3]),
          pads: ints([1, 1, 1, 1]),
          strides: ints([2, 2]),
          count_include_pad: intAttribute(1),
        }),
        node('AveragePool', ['mean'], ['y'], { kernel_shape: ints([3, 3]), pads: ints([1, 1, 1, 1]), strides: ints([1, 1]) }),
      ],
    },
    'the largest around each place, windows rounded up': {
      nodes: [
        node('MaxPool', ['x'], ['a'], { kernel_shape: ints([2, 3]), pads: ints([0, 1, 0, 1]), strides: ints([2, 2]), ceil_mode: intAttribute(1) }),
        node('Neg', ['a'], ['b']),
        node('MaxPool', ['b'], ['y'], { kernel_shape: ints([3, 3]), strides: ints([2, 2]), ceil_mode: intAttribute(1) }),
      ],
    },
    'as many ones as all scales have places': {
      nodes: [
        ...['a', 'b', 'c'].flatMap((scale, i, all) => [
          node('MaxPool', [i === 0 ? 'x' : all[i - 1]!], [scale], { kernel_shape: ints([3, 3]), pads: ints([1, 1, 1, 1]), strides: ints([2, 2]) }),
          ...sizeOf(scale, 'i2', `h${scale}`),
          ...sizeOf(scale, 'i3', `w${scale}`),
          node('Mul', [`h${scale}`, `w${scale}`], [`n${scale}`]),
        ]),
        node('Add', ['na', 'nb'], ['nab']),
        node('Add', ['nab', 'nc'], ['n']),
        unsqueezed('n'),
        node('Cast', ['one'], ['float'], { to: intAttribute(1) }),
        node('Expand', ['float', 'n_1'], ['y']),
      ],
    },
    'blocks of channels to pixels': { nodes: [node('DepthToSpace', ['x'], ['y'], { blocksize: intAttribute(2), mode: { type: 'string', value: 'CRD' } })] },
  };

  test.each(Object.entries(graphs))('%s', async (_, graph) => {
    const read = new Set(graph.nodes.flatMap((one) => ('inputs' in one ? one.inputs : [])));
    const ports = inputs.filter(([name]) => read.has(name));
    const file = await onnxFile({ ...graph, inputs: ports, tensors: [...tensors, int64('four', [4]), int64('one', [1]), int64('two', [2])] });
    const sink = memorySink();
    await convert(memoryFileSet({ 'm.onnx': file }, 'm.onnx'), sink, 'model.json', { to: 'tfjs-graph' });
    for (const [n, h, w] of [
      [1, 6, 4],
      [2, 5, 7],
    ] as const) {
      const feeds = ports.map(([name]) => random(name === 'x' ? [n, 4, h, w] : [n, 4, Math.floor(h / 2), Math.floor(w / 2)]));
      const [wanted] = [...(await runOnnx(file, feeds)).values()];
      const [made] = await runTfjs('tfjs-graph', sink.files, feeds);
      expect(made!.shape).toEqual(wanted!.shape);
      expect(difference(made!, wanted!)).toBeLessThan(1e-5);
    }
  });
});

test('outputs whose names are numbers keep their order', async () => {
  const nodes = [node('Relu', ['x'], ['118']), node('Neg', ['x'], ['95'])];
  const file = await onnxFile({ nodes, inputs: [['x', ['n', 3]]], outputs: ['118', '95'] });
  const sink = memorySink();
  await convert(memoryFileSet({ 'm.onnx': file }, 'm.onnx'), sink, 'model.json', { to: 'tfjs-graph' });
  const { signature } = JSON.parse(new TextDecoder().decode(sink.files.get('model.json'))) as { signature: { outputs: Record<string, { name: string }> } };
  expect(Object.values(signature.outputs).map(({ name }) => name.replace(/:0$/, ''))).toEqual(['118', '95']);
  const [relu, negative] = await runTfjs('tfjs-graph', sink.files, [{ shape: [1, 3], data: Float32Array.of(-1, 1, 2) }]);
  expect([...relu!.data]).toEqual([0, 1, 2]);
  expect([...negative!.data]).toEqual([1, -1, -2]);
});
