/** Files that give the right values for one input of ordinary size, and are not what they were made from. */
import { describe, expect, it } from 'vitest';
import type { LayerMap } from '../../src/model/layer-map.js';
import { float32Tensor } from '../../src/model/tensor.js';
import { nextStep } from '../../src/report/next-step.js';
import type { VerifyOptions } from '../../src/verify/verify.js';
import { branchedNet } from './faults/nets.js';
import { beforeOutput, behindInput, constant, type Edit, editOnnx, integers, nodeOf } from './faults/onnx-edit.js';
import { attributes, type Graph, int64s, mapOf, node, port, spread, tensor, verifyFiles, verifyWrittenMap, written } from './small-files.js';

const X: LayerMap['inputs'][0] = { name: 'x', value: 'x', dtype: 'float32', shape: ['N', 4], layout: 'other' };
const Y: LayerMap['outputs'][0] = { name: 'y', value: 'y', dtype: 'float32', shape: ['N', 3], layout: 'other' };
const dense = mapOf([{ name: 'dense', op: 'Gemm', inputs: ['x'], outputs: ['y'], weights: { kernel: tensor('k', [3, 4]), bias: tensor('b', [3]) } }], [X], [Y]);

/** A conversion, with something done to the written file. */
async function attacked(map: LayerMap, edit: (graph: Parameters<Edit>[0]) => void, options: VerifyOptions = {}) {
  const files = await written(map);
  return verifyWrittenMap(map, { 'net.onnx': editOnnx(files['net.onnx']!, edit) }, options);
}

describe('a conversion that is not attacked', () => {
  it('is a match, with all that was tried', async () => {
    const report = await verifyWrittenMap(dense, await written(dense));
    expect(report).toMatchObject({
      verdict: 'match',
      interface: [],
      trials: [{ kind: 'batch', what: 'a batch of 3', passed: true }],
      compared: { outputs: 1, of: 1, values: 30 },
      witness: { kind: 'reference', refused: [] },
    });
    expect(report.inputs.ranges.length).toBe(10);
  });
});

describe('what numbers of other sizes show', () => {
  it.each([
    ['an input that is clipped at 10', -10, 10],
    ['an input that is clipped at 200', -200, 200],
  ])('%s', async (_, low, high) => {
    const report = await attacked(dense, (graph) =>
      behindInput(graph, (input, output) => [
        { opType: 'Clip', name: 'clip', input: [input, constant(graph, 'low', [low]), constant(graph, 'high', [high])], output: [output], attribute: [] },
      ]),
    );
    expect(report.verdict).toBe('mismatch');
  });

  it('ReLU6 in the place of ReLU', async () => {
    const map = mapOf([...dense.layers.map((layer) => ({ ...layer, outputs: ['h'] })), { name: 'relu', op: 'Relu', inputs: ['h'], outputs: ['y'] }], [X], [Y]);
    const report = await attacked(map, (graph) => {
      const relu = nodeOf(graph, 'relu');
      Object.assign(relu, { opType: 'Clip', input: [relu.input![0]!, constant(graph, 'zero', [0]), constant(graph, 'six', [6])] });
    });
    expect(report.verdict).toBe('mismatch');
  });

  it('NaN on an input of zeros alone', async () => {
    const report = await attacked(dense, (graph) =>
      beforeOutput(graph, (input, output) => {
        const x = graph.input![0]!.name!;
        return [
          { opType: 'ReduceMax', name: 'm', input: [x], output: ['most'], attribute: [] },
          { opType: 'Div', name: 'd', input: ['most', 'most'], output: ['one'], attribute: [] },
          { opType: 'Mul', name: 'e', input: [input, 'one'], output: [output], attribute: [] },
        ];
      }),
    );
    expect(report.verdict).toBe('mismatch');
    expect(report.outputs[0]!.nonFinite).toEqual({ expected: 0, actual: 3 });
  });

  it('leaves out numbers that the source itself overflows on', async () => {
    const map = mapOf([{ name: 'exp', op: 'Exp', inputs: ['x'], outputs: ['y'] }], [X], [{ ...Y, shape: ['N', 4] }]);
    const report = await verifyWrittenMap(map, await written(map));
    expect(report.verdict).toBe('match');
    expect(report.notes.join(' ')).toMatch(/left out/);
  });

  it('does not blame a file for a softmax that rounding decides', async () => {
    const weights = { kernel: tensor('k', [3, 4], spread(12, -40, 40)), bias: tensor('b', [3]) };
    const map = mapOf(
      [
        { name: 'dense', op: 'Gemm', inputs: ['x'], outputs: ['h'], weights },
        { name: 'soft', op: 'Softmax', inputs: ['h'], outputs: ['y'], attributes: { axis: -1 } },
      ],
      [X],
      [Y],
    );
    expect((await verifyWrittenMap(map, await written(map))).verdict).toBe('match');
  });
});

describe('what a batch shows', () => {
  it('rows in another order', async () => {
    const report = await attacked(dense, (graph) =>
      beforeOutput(graph, (input, output) => [
        {
          opType: 'Slice',
          name: 'turn',
          input: [input, integers(graph, 's', [-1]), integers(graph, 'e', [-(2 ** 31)]), integers(graph, 'a', [0]), integers(graph, 't', [-1])],
          output: [output],
          attribute: [],
        },
      ]),
    );
    expect(report).toMatchObject({ verdict: 'mismatch', trials: [{ kind: 'batch', passed: false }], outputs: [{ passed: true }] });
    expect(report.firstDifference!.message).toContain('row 0 of a batch of 3');
  });

  it('a batch that is written into a Reshape', async () => {
    const report = await attacked(dense, (graph) =>
      beforeOutput(graph, (input, output) => [
        { opType: 'Reshape', name: 'r', input: [input, integers(graph, 'shape', [1, 3])], output: [output], attribute: [] },
      ]),
    );
    expect(report.verdict).toBe('mismatch');
  });

  it('a batch that is declared to be one', async () => {
    const report = await attacked(dense, (graph) => {
      for (const { type } of [...graph.input!, ...graph.output!]) type!.tensorType!.shape!.dim![0] = { dimValue: 1 } as never;
    });
    expect(report.verdict).toBe('mismatch');
    expect(report.interface.filter(({ kind }) => kind === 'fixed').map(({ port: name }) => name)).toEqual(['x', 'y']);
  });

  it('nothing of a net that mixes its rows, as long as the file does too', async () => {
    const graph: Graph = {
      nodes: [node('ReduceSum', ['x', 'axes'], ['sum'], { keepdims: attributes.int(1) }), node('Div', ['x', 'sum'], ['y'])],
      inputs: [port('x', ['N', 4])],
      outputs: [port('y', ['N', 4])],
      weights: [int64s('axes', [0])],
    };
    const report = await verifyFiles(graph, graph);
    expect(report).toMatchObject({ verdict: 'match', trials: [{ kind: 'batch', passed: true }] });
    expect(report.trials[0]!.message).toContain('mixes the rows');
  });

  it('that a recording of a net that mixes its rows is fed at once', async () => {
    const graph: Graph = {
      nodes: [node('ReduceSum', ['x', 'axes'], ['sum'], { keepdims: attributes.int(1) }), node('Sub', ['x', 'sum'], ['y'])],
      inputs: [port('x', ['N', 2])],
      outputs: [port('y', ['N', 2])],
      weights: [int64s('axes', [0])],
    };
    const recorded = (name: string, values: number[]) => float32Tensor(name, [2, 2], Float32Array.from(values), { file: 'made here' });
    const golden = new Map([
      ['input', recorded('input', [1, 2, 3, 4])],
      ['output', recorded('output', [-3, -4, -1, -2])],
    ]);
    expect(await verifyFiles(graph, graph, { golden })).toMatchObject({ verdict: 'match', outputs: [{ compared: 4 }] });
    const wrong = new Map([...golden, ['output', recorded('output', [-3, -4, -1, -2.5])]]);
    expect((await verifyFiles(graph, graph, { golden: wrong })).verdict).toBe('mismatch');
  });

  it('that a recording of a net that reads its rows as frames is fed at once, for it runs on none of them alone', async () => {
    // Each row becomes the one behind it in its clip of two.
    const graph: Graph = {
      nodes: [
        node('Reshape', ['x', 'clips'], ['pairs']),
        node('Gather', ['pairs', 'turned'], ['other'], { axis: attributes.int(1) }),
        node('Reshape', ['other', 'rows'], ['y']),
      ],
      inputs: [port('x', ['N', 2])],
      outputs: [port('y', ['N', 2])],
      weights: [int64s('clips', [-1, 2, 2]), int64s('turned', [1, 0]), int64s('rows', [-1, 2])],
    };
    const recorded = (name: string, values: number[]) => float32Tensor(name, [4, 2], Float32Array.from(values), { file: 'made here' });
    const golden = new Map([
      ['input', recorded('input', [1, 2, 3, 4, 5, 6, 7, 8])],
      ['output', recorded('output', [3, 4, 1, 2, 7, 8, 5, 6])],
    ]);
    const report = await verifyFiles(graph, graph, { golden });
    expect(report).toMatchObject({ verdict: 'match', outputs: [{ compared: 8 }] });
    expect(report.notes.join()).toMatch(/does not run on each row of the recording alone/);
    const wrong = new Map([...golden, ['output', recorded('output', [3, 4, 1, 2, 5, 6, 7, 8])]]);
    expect((await verifyFiles(graph, graph, { golden: wrong })).verdict).toBe('mismatch');
    const odd = new Map([...golden].map(([name]) => [name, float32Tensor(name, [3, 2], new Float32Array(6), { file: 'made here' })]));
    await expect(verifyFiles(graph, graph, { golden: odd })).rejects.toThrow(/fails to run it/);
  });

  it('that a recording is fed in the batch that a file is fixed to, the last one filled up', async () => {
    const graph: Graph = { nodes: [node('Neg', ['x'], ['y'])], inputs: [port('x', [2, 2])], outputs: [port('y', [2, 2])] };
    const recorded = (name: string, sign: number) =>
      float32Tensor(
        name,
        [3, 2],
        Float32Array.from([1, 2, 3, 4, 5, 6], (v) => sign * v),
        { file: 'made here' },
      );
    const golden = new Map([
      ['input', recorded('input', 1)],
      ['output', recorded('output', -1)],
    ]);
    expect(await verifyFiles(graph, graph, { golden })).toMatchObject({ verdict: 'match', inputs: { samples: 2 } });
  });

  it('that a net which draws random numbers is not asked for a batch, in which it draws others, and says so', async () => {
    const graph: Graph = {
      nodes: [node('RandomNormalLike', ['x'], ['r']), node('Add', ['x', 'r'], ['y'])],
      inputs: [port('x', ['N', 2])],
      outputs: [port('y', ['N', 2])],
    };
    const report = await verifyFiles(graph, graph);
    expect(report).toMatchObject({ verdict: 'match', trials: [] });
    expect(report.notes).toContainEqual(expect.stringContaining('agrees by a seed that both runs had'));
    // What the noise does is no rounding, behind which a fault would hide.
    const wrong: Graph = { ...graph, nodes: [graph.nodes[0]!, node('Sub', ['x', 'r'], ['y'])] };
    expect((await verifyFiles(graph, wrong)).verdict).toBe('mismatch');
  });

  it('that a number without axes may be recorded as a list of one, which is told', async () => {
    const graph: Graph = {
      nodes: [node('ReduceSum', ['x'], ['y'], { keepdims: attributes.int(0) })],
      inputs: [port('x', ['N', 2])],
      outputs: [port('y', [])],
    };
    const golden = new Map([
      ['input', tensor('input', [2, 2], [1, 2, 3, 4])],
      ['output', tensor('output', [1], [10])],
    ]);
    const report = await verifyFiles(graph, graph, { golden });
    expect(report).toMatchObject({ verdict: 'match', interface: [{ kind: 'rank', port: 'y', judged: false }] });
    const wrong = new Map([...golden, ['output', tensor('output', [1], [11])]]);
    expect((await verifyFiles(graph, graph, { golden: wrong })).verdict).toBe('mismatch');
  });

  it('that recorded inputs of other lengths are one run, although their axes have one name', async () => {
    const graph: Graph = {
      nodes: [node('Concat', ['a', 'b'], ['y'], { axis: attributes.int(0) })],
      inputs: [port('a', ['N', 2]), port('b', ['N', 2])],
      outputs: [port('y', ['M', 2])],
    };
    const golden = new Map([
      ['input:a', tensor('a', [1, 2], [1, 2])],
      ['input:b', tensor('b', [2, 2], [3, 4, 5, 6])],
      ['output', tensor('output', [3, 2], [1, 2, 3, 4, 5, 6])],
    ]);
    expect(await verifyFiles(graph, graph, { golden })).toMatchObject({ verdict: 'match', outputs: [{ compared: 6 }] });
  });
});

describe('what cannot be compared', () => {
  const withEmpty = (starts: number): Graph => ({
    nodes: [node('Neg', ['x'], ['y']), node('Slice', ['x', 'starts', 'ends', 'axes'], ['z'])],
    inputs: [port('x', ['N', 4])],
    outputs: [port('y', ['N', 4]), port('z', ['N', 'some'])],
    weights: [int64s('starts', [starts]), int64s('ends', [2]), int64s('axes', [1])],
  });

  it('is no output without a single value, where the other is as well', async () => {
    const report = await verifyFiles(withEmpty(2), withEmpty(2));
    expect(report).toMatchObject({ verdict: 'match', compared: { outputs: 2, of: 2 }, outputs: [{ passed: true }, { compared: 0, isEmpty: true }] });
    expect((await verifyFiles(withEmpty(2), withEmpty(1))).verdict).toBe('mismatch');
  });

  it('is what draws random numbers, and that is said', async () => {
    const noisy: Graph = {
      nodes: [node('RandomNormalLike', ['x'], ['noise']), node('Add', ['x', 'noise'], ['y'])],
      inputs: [port('x', ['N', 4])],
      outputs: [port('y', ['N', 4])],
    };
    const report = await verifyFiles(noisy, noisy);
    expect(report.training).toEqual(['RandomNormalLike "noise" draws random numbers']);
    expect(report.notes.join()).toContain('RandomNormalLike "noise" draws random numbers');
    // Whether two runs agree all the same depends on the runtime's seed.
    expect(nextStep({ ...report, verdict: 'mismatch' })).toMatch(
      /^RandomNormalLike "noise" draws random numbers, so what the net gives is another at each run/,
    );
  });

  it('is no row of a batch that the net itself divides by zero for', async () => {
    const dividing: Graph = {
      nodes: [node('Round', ['x'], ['whole']), node('Div', ['x', 'whole'], ['y'])],
      inputs: [port('x', ['N', 2])],
      outputs: [port('y', ['N', 2])],
    };
    const { trials } = await verifyFiles(dividing, dividing);
    expect(trials.map(({ passed }) => passed)).not.toContain(false);
  });
});

describe('what sizes show', () => {
  const picture = (size: number | string): Graph => ({
    nodes: [node('Reshape', ['x', 'shape'], ['h']), node('ReduceMean', ['h'], ['y'], { axes: attributes.ints([2]), keepdims: attributes.int(0) })],
    inputs: [port('x', ['N', 2, 'height', 'width'])],
    outputs: [port('y', ['N', 2])],
    weights: [int64s('shape', [0, 2, typeof size === 'number' ? size : -1])],
  });

  it('a free size that is fixed to what was tried first', async () => {
    expect(await verifyFiles(picture('free'), picture('free'))).toMatchObject({
      verdict: 'match',
      trials: [{ kind: 'batch' }, { kind: 'sizes', passed: true }],
    });
    const report = await verifyFiles(picture('free'), picture(32 * 32));
    expect(report).toMatchObject({
      verdict: 'mismatch',
      trials: [
        { kind: 'batch', passed: true },
        { kind: 'sizes', passed: false },
      ],
    });
  });
});

describe('what the interface shows', () => {
  const plain: Graph = {
    nodes: [node('Relu', ['x'], ['y'])],
    inputs: [port('x', ['N', 8])],
    outputs: [port('y', ['N', 8])],
  };

  it('an output more', async () => {
    const more = { ...plain, nodes: [...plain.nodes, node('Neg', ['x'], ['z'])], outputs: [...plain.outputs, port('z', ['N', 8])] };
    expect(await verifyFiles(plain, more)).toMatchObject({ verdict: 'mismatch', interface: [{ kind: 'count', port: 'z' }] });
  });

  it('and no mistake is looked for where that is all', async () => {
    const report = await attacked(dense, ({ node: nodes, output }) => {
      nodes!.push({ opType: 'Neg', name: 'more', input: ['y'], output: ['z'], attribute: [] });
      output!.push({ ...output![0]!, name: 'z' });
    });
    expect(report).toMatchObject({ verdict: 'mismatch', interface: [{ kind: 'count' }], outputs: [{ passed: true }], cause: null, notes: [] });
  });

  it('an input that cannot be fed, with both shapes', async () => {
    const fed = (shape: (number | string)[]) => verifyFiles(plain, { ...plain, inputs: [port('x', shape)] });
    await expect(fed([4, 8])).rejects.toThrow('input "x" of the file is [4,8], and the source takes [1,8]: the file\'s batch is fixed to 4');
  });

  it('an output less, which is not compared', async () => {
    const more = { ...plain, nodes: [...plain.nodes, node('Neg', ['x'], ['z'])], outputs: [...plain.outputs, port('z', ['N', 8])] };
    const report = await verifyFiles(more, plain);
    expect(report).toMatchObject({ verdict: 'mismatch', interface: [{ kind: 'count', port: 'z' }], compared: { outputs: 1, of: 2 } });
  });

  it('an output of another rank with the same values', async () => {
    const turned: Graph = {
      ...plain,
      nodes: [node('Relu', ['x'], ['h']), node('Reshape', ['h', 'shape'], ['y'])],
      outputs: [port('y', ['N', 8, 1, 1])],
      weights: [int64s('shape', [-1, 8, 1, 1])],
    };
    expect(await verifyFiles(plain, turned)).toMatchObject({ verdict: 'mismatch', outputs: [{ passed: true }], interface: [{ kind: 'rank', port: 'y' }] });
  });

  it('outputs under other names, which is told', async () => {
    const called = { ...plain, nodes: [node('Relu', ['x'], ['z'])], outputs: [port('z', ['N', 8])] };
    const report = await verifyFiles(plain, called);
    expect(report).toMatchObject({ verdict: 'match', interface: [{ kind: 'name', port: 'y', judged: false }] });
    expect(report.notes.join()).toContain('the file calls output "y" "z"');
  });

  it('an output of another dtype', async () => {
    const wide: Graph = {
      ...plain,
      nodes: [node('Relu', ['x'], ['h']), node('Cast', ['h'], ['y'], { to: attributes.int(11) })],
      outputs: [port('y', ['N', 8], 'float64')],
    };
    expect(await verifyFiles(plain, wide)).toMatchObject({ verdict: 'mismatch', interface: [{ kind: 'dtype', port: 'y' }] });
  });

  it('ports in another order, in a file that was written from the layer map', async () => {
    const two = mapOf(
      [
        { name: 'a', op: 'Relu', inputs: ['x'], outputs: ['a'] },
        { name: 'b', op: 'Neg', inputs: ['x'], outputs: ['b'] },
      ],
      [X],
      ['a', 'b'].map((name) => ({ ...Y, name, value: name, shape: ['N', 4] })),
    );
    const report = await attacked(two, (graph) => void graph.output!.reverse());
    expect(report).toMatchObject({ verdict: 'mismatch', interface: [{ kind: 'order', judged: true }], outputs: [{ passed: true }, { passed: true }] });
  });
});

describe('ports that names do not tell apart', () => {
  const two = (names: readonly [string, string], swapped: boolean): Graph => ({
    nodes: [node('Relu', ['x'], [names[swapped ? 1 : 0]]), node('Neg', ['x'], [names[swapped ? 0 : 1]])],
    inputs: [port('x', ['N', 4])],
    outputs: names.map((name) => port(name, ['N', 4])),
  });

  it('are lined up by what they make, and that is told', async () => {
    expect(await verifyFiles(two(['p', 'q'], false), two(['r', 's'], false))).toMatchObject({ verdict: 'match' });
    const report = await verifyFiles(two(['p', 'q'], false), two(['r', 's'], true));
    expect(report.verdict).toBe('match');
    expect(report.notes.join(' ')).toContain('"p" is "s"');
  });

  it('are no excuse where names do tell', async () => {
    expect(await verifyFiles(two(['p', 'q'], false), two(['p', 'q'], true))).toMatchObject({ verdict: 'mismatch' });
  });
});

describe('what loosens a tolerance', () => {
  it('is no stray narrow constant in a file whose nodes are called otherwise', async () => {
    const net = branchedNet();
    const report = await attacked(net, (graph) => {
      for (const [i, each] of graph.node!.entries()) each.name = `node_${i}`;
      graph.initializer!.push({ name: 'stray', dims: [1], dataType: 2, rawData: Uint8Array.of(7) } as never);
      beforeOutput(graph, (input, output) => [
        { opType: 'Mul', name: 'm', input: [input, constant(graph, 'almost', [1.001])], output: [output], attribute: [] },
      ]);
    });
    expect(report).toMatchObject({ verdict: 'mismatch', quantisation: null });
  });

  it('is no single kernel in float16 beside a fault', async () => {
    const net = branchedNet();
    const files = await written(net, 'onnx', { dtype: 'float16' });
    const whole = await written(net);
    // The first convolution alone reads a float16 kernel; the output is off by a thousandth.
    const half = editOnnx(whole['net.onnx']!, (graph) => {
      const conv = nodeOf(graph, 'conv1');
      const kernel = graph.initializer!.find(({ name }) => name === conv.input![1])!;
      const values = new Float32Array(Uint8Array.from(kernel.rawData as Uint8Array).buffer);
      Object.assign(kernel, { dataType: 10, rawData: new Uint8Array(Uint16Array.from(values, toHalf).buffer) });
      graph.node!.unshift({ opType: 'Cast', name: 'cast', input: [kernel.name!], output: ['wide'], attribute: [{ name: 'to', type: 2, i: 1 }] } as never);
      conv.input![1] = 'wide';
      beforeOutput(graph, (input, output) => [
        { opType: 'Mul', name: 'm', input: [input, constant(graph, 'almost', [1.001])], output: [output], attribute: [] },
      ]);
    });
    expect(Object.keys(files)).toEqual(['net.onnx']);
    expect((await verifyWrittenMap(net, { 'net.onnx': half })).verdict).toBe('mismatch');
  });
});

it('a recording of one black picture proves nothing else than that one output', async () => {
  const zeros = float32Tensor('input', [1, 4], new Float32Array(4), { file: 'made here' });
  const output = float32Tensor('output', [1, 3], Float32Array.from(spread(3)), { file: 'made here' });
  const golden = new Map([
    ['input', zeros],
    ['output', output],
  ]);
  const report = await attacked(
    dense,
    (graph) => {
      const kernel = graph.initializer!.find(({ name }) => name === nodeOf(graph, 'dense').input![1])!;
      kernel.rawData = new Uint8Array(new Float32Array(12).buffer);
    },
    { golden },
  );
  expect(report.verdict).toBe('mismatch');
});

/** Truncated to float16; normal numbers only. */
function toHalf(value: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer)[0]!;
  const exponent = ((bits >>> 23) & 0xff) - 112;
  return ((bits >>> 16) & 0x8000) | (exponent <= 0 ? 0 : (exponent << 10) | ((bits >>> 13) & 0x3ff));
}
