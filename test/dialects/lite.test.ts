/** TensorFlow Lite's operators, in models that the test writes: through the layer map into ONNX Runtime, against the arithmetic of its kernels. */
import { describe, expect, it } from 'vitest';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { LITE_OPERATORS } from '../../src/containers/tflite.js';
import { float32Tensor } from '../../src/model/tensor.js';
import { openModel } from '../../src/readers/open.js';
import { pickArrays } from '../../src/verify/feeds.js';
import { runLayers } from '../../src/verify/reference/session.js';
import { byte, child, float, int, ints, type LiteOperator, type LiteTensor, liteModel, table, text } from '../lite-models.js';
import { convertInMemory, type Run, runOnnx } from '../run-onnx.js';
import { zipImage } from '../zip-image.js';

const code = (op: string): number => LITE_OPERATORS.indexOf(op);
const bytesOf = (list: Float32Array | Int32Array | Int8Array): Uint8Array => new Uint8Array(list.buffer);
const floats = (values: readonly number[]): Uint8Array => bytesOf(Float32Array.from(values));
const whole = (name: string, values: readonly number[], shape: readonly number[] = [values.length]): LiteTensor => ({
  name,
  shape,
  type: 2,
  data: bytesOf(Int32Array.from(values)),
});
const constant = (name: string, shape: readonly number[], values: readonly number[]): LiteTensor => ({ name, shape, type: 0, data: floats(values) });
const flowing = (name: string, shape: readonly number[], type = 0): LiteTensor => ({ name, shape, type });
const FILE = 'm.tflite';
const files = (bytes: Uint8Array) => memoryFileSet({ [FILE]: bytes }, FILE);
/** Values of both signs without a pattern. */
const noise = (count: number, seed = 1): number[] => Array.from({ length: count }, (_, i) => Math.fround(Math.sin((i + 1) * 12.9898 * seed) * 2));
const count = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

describe('dynamic range: kernels in int8 where floats flow', () => {
  const kernels = Int8Array.from(noise(3 * 2 * 2 * 2, 3), (value) => Math.round(value * 60));
  const scales = [0.5, 0.02, 0.1].map(Math.fround);

  /** To the nearest of 256 steps between the least and the largest value, zero among both. */
  function rounded(values: readonly number[]): number[] {
    const [least, largest] = [Math.min(0, ...values), Math.max(0, ...values)];
    const step = (largest - least) / 255 || 1;
    const zero = -128 - Math.round(least / step);
    return values.map((value) => (Math.max(-128, Math.min(127, Math.round(value / step) + zero)) - zero) * step);
  }

  const size = [2, 3, 3, 2];
  const x = [...noise(18), ...noise(18, 7).map((value) => value * 20)];
  /** Of channels-last pictures with a kernel [out, height, width, in]. */
  function convolved(seen: (sample: number, row: number, column: number) => readonly number[], extent: number): number[] {
    const made: number[] = [];
    for (let sample = 0; sample < 2; sample++)
      for (let row = 0; row + extent <= 3; row++)
        for (let column = 0; column + extent <= 3; column++)
          for (let out = 0; out < 3; out++) {
            let sum = 0;
            for (let r = 0; r < extent; r++)
              for (let c = 0; c < extent; c++)
                for (let channel = 0; channel < 2; channel++)
                  sum += seen(sample, row + r, column + c)[channel]! * kernels[((out * extent + r) * extent + c) * 2 + channel]! * scales[out]!;
            made.push(sum);
          }
    return made;
  }
  const model = (extent: number, kernel: Partial<LiteTensor> = {}) =>
    liteModel(
      [
        flowing('x', size),
        { name: 'kernel', shape: [3, extent, extent, 2], type: 9, data: bytesOf(kernels.slice(0, 6 * extent * extent)), scales, ...kernel },
        flowing('y', [2, 4 - extent, 4 - extent, 3]),
      ],
      [{ code: code('CONV_2D'), inputs: [0, 1], outputs: [2], options: table(byte(1), int(1), int(1)) }],
      [0],
      [2],
    );
  async function run(bytes: Uint8Array, options = {}, shape = size, data = x): Promise<number[]> {
    const converted = await convertInMemory(files(bytes), options);
    const [output] = (await runOnnx(converted.bytes, [{ shape, data: Float32Array.from(data) }])).values();
    return [...output!.data];
  }
  function expectClose(actual: readonly number[], expected: readonly number[]): void {
    expect(actual).toHaveLength(expected.length);
    const scale = Math.max(...expected.map(Math.abs));
    expect(Math.max(...actual.map((value, i) => Math.abs(value - expected[i]!))) / scale).toBeLessThan(1e-6);
  }

  it('round what flows to steps of each sample', async () => {
    const samples = [rounded(x.slice(0, 18)), rounded(x.slice(18))];
    const expected = convolved((sample, row, column) => samples[sample]!.slice(2 * (3 * row + column)), 2);
    expectClose(await run(model(2)), expected);
  });

  it('round to steps of each place, where the kernel is of one place', async () => {
    const expected = convolved((sample, row, column) => rounded(x.slice(18 * sample + 2 * (3 * row + column)).slice(0, 2)), 1);
    expectClose(await run(model(1)), expected);
  });

  it('round to steps of each row of a dense layer', async () => {
    const weights = kernels.slice(0, 12);
    const dense = liteModel(
      [flowing('x', [2, 4]), { name: 'w', shape: [3, 4], type: 9, data: bytesOf(weights), scales: [0.25] }, flowing('y', [2, 3])],
      [{ code: code('FULLY_CONNECTED'), inputs: [0, 1], outputs: [2], options: table(undefined, undefined, undefined, byte(1)) }],
      [0],
      [2],
    );
    const rows = [
      [1, -2, 0.3, 0.011],
      [0, 0, 0, 0],
    ];
    const expected = rows.flatMap((row) => {
      const held = rounded(row);
      return [0, 1, 2].map((out) => held.reduce((sum, value, i) => sum + value * weights[4 * out + i]! * 0.25, 0));
    });
    expectClose(await run(dense, {}, [2, 4], rows.flat()), expected);
  });

  it('round to steps of each row that a dense layer makes of a picture', async () => {
    const weights = kernels.slice(0, 12);
    const dense = liteModel(
      [flowing('x', [2, 2, 1, 2]), { name: 'w', shape: [3, 4], type: 9, data: bytesOf(weights), scales: [0.25] }, flowing('y', [2, 3])],
      [{ code: code('FULLY_CONNECTED'), inputs: [0, 1], outputs: [2] }],
      [0],
      [2],
    );
    const rows = [
      [1, -2, 30, 0.11],
      [0.5, 0.26, -7, 3.1],
    ];
    const expected = rows.flatMap((row) => {
      const held = rounded(row);
      return [0, 1, 2].map((out) => held.reduce((sum, value, i) => sum + value * weights[4 * out + i]! * 0.25, 0));
    });
    expectClose(await run(dense, {}, [2, 2, 1, 2], rows.flat()), expected);
  });

  it('are told, and are taken as plain numbers where that is said', async () => {
    const told = await (await openModel(files(model(2)))).map();
    expect(told.warnings).toMatchObject([{ code: 'assumed', message: expect.stringMatching(/dynamic range.*dynamic_range=float/) }]);
    const plain = convolved((sample, row, column) => x.slice(18 * sample + 2 * (3 * row + column)), 2);
    expectClose(await run(model(2), { assume: { dynamic_range: 'float' } }), plain);
    await expect(convertInMemory(files(model(2)), { assume: { dynamic_range: 'exact' } })).rejects.toThrow(/rounded or float/);
  });

  it('are refused in uint8, which versions of the runtime read in two ways', async () => {
    await expect(convertInMemory(files(model(2, { type: 3 })))).rejects.toThrow(/weights in uint8/);
    expect((await convertInMemory(files(model(2, { type: 3 })), { assume: { dynamic_range: 'float' } })).bytes.length).toBeGreaterThan(0);
  });
});

describe('nets in integers', () => {
  it('have as many zero points as scales, or none that counts', async () => {
    const net = (zeroPoints: readonly number[]) =>
      liteModel(
        [
          { ...flowing('x', [1, 2], 9), scales: [0.5], zeroPoints: [0] },
          { name: 'kernel', shape: [2, 2], type: 9, data: Uint8Array.of(1, 2, 3, 4), scales: [0.5, 0.25], zeroPoints },
          { ...flowing('y', [1, 2], 9), scales: [0.5], zeroPoints: [0] },
        ],
        [{ code: code('FULLY_CONNECTED'), inputs: [0, 1], outputs: [2], options: table(byte(0)) }],
        [0],
        [2],
      );
    await expect(openModel(files(net([3])))).rejects.toMatchObject({
      kind: 'malformed',
      message: expect.stringMatching(/"kernel".*2 scales and 1 zero points/),
    });
    expect((await openModel(files(net([])))).tensors.length).toBeGreaterThan(0);
  });

  it('compute codes from codes, each output channel by its own scale', async () => {
    const [inScale, inZero, outScale, outZero] = [0.5, 3, 0.75, -10];
    const kernel = Int8Array.from(noise(2 * 3 * 3, 5), (value) => Math.round(value * 50));
    const scales = [0.03125, 0.25];
    const bias = [40, -7];
    const model = liteModel(
      [
        { ...flowing('x', [1, 4, 4, 1], 9), scales: [inScale], zeroPoints: [inZero] },
        { name: 'kernel', shape: [2, 3, 3, 1], type: 9, data: bytesOf(kernel), scales },
        { ...whole('bias', bias), scales: scales.map((scale) => scale * inScale) },
        { ...flowing('y', [1, 2, 2, 2], 9), scales: [outScale], zeroPoints: [outZero] },
      ],
      [{ code: code('CONV_2D'), inputs: [0, 1, 2], outputs: [3], options: table(byte(1), int(1), int(1), byte(1)) }],
      [0],
      [3],
    );
    const codes = noise(16, 2).map((value) => Math.round(value * 60));
    const map = await (await openModel(files(model))).map();
    expect(map.inputs[0]).toMatchObject({ dtype: 'int8', shape: [1, 4, 4, 1], layout: 'nhwc' });
    expect(map.layers.filter(({ op }) => op === 'Transpose')).toEqual([]);
    const [made] = await runLayers(map, [{ shape: [1, 4, 4, 1], data: Float64Array.from(codes) }], () => {});
    const expected: number[] = [];
    for (const row of [0, 1])
      for (const column of [0, 1])
        for (const out of [0, 1]) {
          let sum = bias[out]!;
          for (let r = 0; r < 3; r++) for (let c = 0; c < 3; c++) sum += (codes[4 * (row + r) + column + c]! - inZero) * kernel[out * 9 + 3 * r + c]!;
          const value = Math.max(0, sum * scales[out]! * inScale);
          expected.push(Math.min(127, Math.max(-128, Math.round(value / outScale) + outZero)));
        }
    expect([...made!.data]).toEqual(expected);
  });
});

describe('codes in kernels that take them as they are', () => {
  const codes = (name: string, scale: number, zero = 0, shape = [1, 2]): LiteTensor => ({ ...flowing(name, shape, 9), scales: [scale], zeroPoints: [zero] });
  const one = (op: string, tensors: readonly LiteTensor[], reads: readonly number[], options?: LiteOperator['options']) =>
    liteModel(tensors, [{ code: code(op), inputs: reads, outputs: [tensors.length - 1], ...(options ? { options } : {}) }], [0], [tensors.length - 1]);
  const evaluated = async (bytes: Uint8Array, feed: readonly number[], shape: readonly number[] = [1, 2]) => {
    const [made] = await runLayers(await (await openModel(files(bytes))).map(), [{ shape: [...shape], data: Float64Array.from(feed) }], () => {});
    return Array.from(made!.data, Number);
  };

  it('are cast as integers', async () => {
    expect(await evaluated(one('CAST', [codes('x', 0.5, 3), flowing('y', [1, 2])], [0]), [7, -9])).toEqual([7, -9]);
    expect(await evaluated(one('CAST', [flowing('x', [1, 2]), codes('y', 0.5, 3)], [0]), [7, -9])).toEqual([7, -9]);
  });

  it.each(['RESHAPE', 'MAXIMUM', 'TRANSPOSE'])('are moved by %s where both sides have one scale, and refused where they have two', async (op) => {
    const reads = op === 'RESHAPE' ? whole('more', [1, 2]) : op === 'TRANSPOSE' ? whole('more', [0, 1]) : codes('z', 0.5, 3);
    const second = op === 'MAXIMUM' ? { ...reads, data: Uint8Array.of(0, 0) } : reads;
    expect(await evaluated(one(op, [codes('x', 0.5, 3), second, codes('y', 0.5, 3)], [0, 1]), [7, 9])).toEqual([7, 9]);
    await expect(evaluated(one(op, [codes('x', 0.5, 3), second, codes('y', 0.25, 3)], [0, 1]), [7, 9])).rejects.toThrow(/moves codes between "x" and "y"/);
    await expect(evaluated(one(op, [codes('x', 0.5, 3), second, codes('y', 0.5, 4)], [0, 1]), [7, 9])).rejects.toThrow(/other numbers/);
  });

  it('are refused where the kernel knows nothing of scales, or the scale is none', async () => {
    await expect(evaluated(one('FLOOR_MOD', [codes('x', 0.5), codes('y', 0.5)], [0, 0]), [1, 2])).rejects.toThrow(
      /FLOOR_MOD: it takes the codes of "x" as integers/,
    );
    await expect(evaluated(one('RELU', [codes('x', 0), codes('y', 0.5)], [0]), [1, 2])).rejects.toThrow(/"x".*the scale 0/);
  });

  it('have biases of the product of both scales, whatever they say', async () => {
    const kernel = { name: 'k', shape: [2, 2], type: 9, data: bytesOf(Int8Array.of(1, 2, 3, 4)), scales: [0.5] };
    const dense = (bias: Partial<LiteTensor>) =>
      liteModel(
        [codes('x', 0.25), kernel, { ...whole('b', [8, -8]), ...bias }, codes('y', 0.5)],
        [{ code: code('FULLY_CONNECTED'), inputs: [0, 1, 2], outputs: [3] }],
        [0],
        [3],
      );
    // 1 4 + 2 8 + 8 and 3 4 + 4 8 - 8, in eighths; a code is a half.
    for (const bias of [{}, { scales: [0.125] }, { scales: [7] }]) expect(await evaluated(dense(bias), [4, 8])).toEqual([7, 9]);
    const wide = { type: 4, data: new Uint8Array(BigInt64Array.of(8n, -8n).buffer) };
    expect(await evaluated(dense(wide), [4, 8])).toEqual([7, 9]);
  });

  it('are rounded away from zero where they are means of windows', async () => {
    const mean = liteModel(
      [codes('x', 0.3, 3, [1, 1, 6, 1]), codes('y', 0.3, 3, [1, 1, 3, 1])],
      [{ code: code('AVERAGE_POOL_2D'), inputs: [0], outputs: [1], options: table(byte(1), int(2), int(1), int(2), int(1)) }],
      [0],
      [1],
    );
    // 2.5, -2.5 and 3.5.
    expect(await evaluated(mean, [2, 3, -2, -3, 3, 4], [1, 1, 6, 1])).toEqual([3, -3, 4]);
  });

  it('have no zero point in kernels of convolutions in int8', async () => {
    const kernel = { name: 'k', shape: [1, 1, 1, 2], type: 9, data: bytesOf(Int8Array.of(1, 2)), scales: [0.5], zeroPoints: [1] };
    const tensors = [codes('x', 0.5, 0, [1, 1, 1, 2]), kernel, codes('y', 0.5, 0, [1, 1, 1, 1])];
    await expect(evaluated(one('CONV_2D', tensors, [0, 1], table(byte(1), int(1), int(1))), [4, 8], [1, 1, 1, 2])).rejects.toThrow(/"k".*zero point 1/);
  });
});

describe('settings that kernels pass over', () => {
  const net = (op: string, options: LiteOperator['options'], reads = [0]) =>
    liteModel([flowing('x', [1, 2]), flowing('y', [1, 2])], [{ code: code(op), inputs: reads, outputs: [1], ...(options ? { options } : {}) }], [0], [1]);

  it.each([
    ['ADD', table(byte(4)), [0, 0], /activation 4/],
    ['MUL', table(byte(5)), [0, 0], /activation 5/],
    ['CONCATENATION', table(int(0), byte(1)), [0], /activation/],
    ['L2_NORMALIZATION', table(byte(1)), [0], /activation/],
    ['SOFTMAX', undefined, [0], /beta is 0/],
    ['SOFTMAX', table(float(1)), [0, 0], /SOFTMAX: its input 2 \("x"\) is not known/],
  ] as const)('%s is refused with them', async (op, options, reads, message) => {
    await expect(openModel(files(net(op, options, [...reads]))).then((opened) => opened.map())).rejects.toThrow(message);
  });

  it('cut a transposed convolution to the sizes that are asked for', async () => {
    const model = liteModel(
      [whole('sizes', [1, 1, 3, 1]), constant('k', [1, 1, 2, 1], [2, -3]), flowing('x', [1, 1, 2, 1]), flowing('y', [1, 1, 3, 1])],
      [{ code: code('TRANSPOSE_CONV'), inputs: [0, 1, 2], outputs: [3], options: table(byte(1), int(2), int(1)) }],
      [2],
      [3],
    );
    const { bytes } = await convertInMemory(files(model));
    const [y] = (await runOnnx(bytes, [{ shape: [1, 1, 2, 1], data: Float32Array.of(1, 10) }])).values();
    expect(y).toMatchObject({ shape: [1, 1, 3, 1], data: Float32Array.of(2, -3, 20) });
  });
});

describe('what several graphs and steps make', () => {
  const codes = (name: string, shape: readonly number[]): LiteTensor => ({ ...flowing(name, shape, 9), scales: [0.5], zeroPoints: [1] });
  const evaluated = async (bytes: Uint8Array, ...feeds: (readonly number[])[]): Promise<number[][]> => {
    const map = await (await openModel(files(bytes))).map();
    const values = feeds.map((data, i) => ({ shape: map.inputs[i]!.shape as number[], data: Float64Array.from(data) }));
    return (await runLayers(map, values, () => {})).map(({ data }) => Array.from(data, Number));
  };

  it('is in codes at every port, and in numbers where the net reads on', async () => {
    const model = liteModel(
      [codes('x', [1, 4]), whole('axis', [1], []), codes('a', [1, 2]), codes('b', [1, 2]), codes('sum', [1, 2])],
      [
        { code: code('SPLIT'), inputs: [1, 0], outputs: [2, 3], options: table(int(2)) },
        { code: code('ADD'), inputs: [2, 3], outputs: [4] },
      ],
      [0],
      [2, 3, 4],
    );
    // Numbers 1, 2, 3 and -0.5; the sums 4 and 1.5 have the codes 9 and 4.
    expect(await evaluated(model, [3, 5, 7, 0])).toEqual([
      [3, 5],
      [7, 0],
      [9, 4],
    ]);
  });

  it('of branches is that of the one whose condition is known, and of loops that of their steps', async () => {
    const count = { tensors: [flowing('i', [], 2), flowing('v', [1, 2])], inputs: [0, 1] };
    const below = {
      ...count,
      tensors: [...count.tensors, whole('limit', [3], []), flowing('more', [], 6)],
      operators: [{ code: code('LESS'), inputs: [0, 2], outputs: [3] }],
      outputs: [3],
    };
    const double = {
      ...count,
      tensors: [...count.tensors, whole('one', [1], []), flowing('next', [], 2), flowing('twice', [1, 2])],
      operators: [
        { code: code('ADD'), inputs: [0, 2], outputs: [3] },
        { code: code('ADD'), inputs: [1, 1], outputs: [4] },
      ],
      outputs: [3, 4],
    };
    const negative = {
      tensors: [flowing('v', [1, 2]), flowing('minus', [1, 2])],
      operators: [{ code: code('NEG'), inputs: [0], outputs: [1] }],
      inputs: [0],
      outputs: [1],
    };
    const same = { ...negative, operators: [{ code: code('ABS'), inputs: [0], outputs: [1] }] };
    const model = liteModel(
      [
        flowing('x', [1, 2]),
        whole('zero', [0], []),
        flowing('i', [], 2),
        flowing('y', [1, 2]),
        { name: 'yes', shape: [], type: 6, data: Uint8Array.of(1) },
        flowing('z', [1, 2]),
      ],
      [
        { code: code('WHILE'), inputs: [1, 0], outputs: [2, 3], options: table(int(1), int(2)) },
        { code: code('IF'), inputs: [4, 3], outputs: [5], options: table(int(3), int(4)) },
      ],
      [0],
      [5],
      [below, double, negative, same].map(({ tensors, ...graph }) => ({ ...graph, tensors: tensors.map((tensor) => ({ ...tensor })) })),
    );
    expect(await evaluated(model, [1, -3])).toEqual([[-8, 24]]);
  });

  it('of a composite is what the graph of its steps makes', async () => {
    const double = { tensors: [flowing('v', [1, 2]), flowing('twice', [1, 2])], inputs: [0], outputs: [1] };
    const composite = { code: code('STABLEHLO_COMPOSITE'), inputs: [0], outputs: [1], moreOptions: table(child(text('acme.double')), int(1)) };
    const model = liteModel(
      [flowing('x', [1, 2]), flowing('y', [1, 2])],
      [composite],
      [0],
      [1],
      [{ ...double, operators: [{ code: code('ADD'), inputs: [0, 0], outputs: [1] }] }],
    );
    expect(await evaluated(model, [1, -3])).toEqual([[2, -6]]);
  });

  it('of several signatures is that of the one that is asked for, else of the first graph', async () => {
    const same = { tensors: [flowing('v', [1, 2]), flowing('w', [1, 2])], inputs: [0], outputs: [1] };
    const graph = (op: string) => ({ ...same, operators: [{ code: code(op), inputs: [0], outputs: [1] }] });
    const [main, other] = [graph('NEG'), graph('ABS')];
    const model = (signatures: Record<string, number>) => files(liteModel(main.tensors, main.operators, [0], [1], [other], signatures));
    const ops = async (assume?: Record<string, string>) => {
      const opened = await openModel(model({ infer: 0, size: 1 }), assume ? { assume } : {});
      return [(await opened.map()).layers.map(({ op }) => op).join(), opened.details.operators, opened.warnings[0]!.message];
    };
    expect(await ops()).toEqual(['Neg', 'NEG', expect.stringMatching(/the first of 2 graphs.*signature=NAME.*\(size\)/)]);
    expect(await ops({ signature: 'size' })).toEqual(['Abs', 'ABS', expect.stringMatching(/graph 1 of 2.*\(infer\)/)]);
    await expect(ops({ signature: 'train' })).rejects.toThrow(/no signature "train"; the file has infer, size/);
    await expect(openModel(model({ infer: 2 }))).rejects.toThrow(/"infer" runs graph 2 of 2/);
  });

  it('has recordings that call its inputs and outputs as its signature does', async () => {
    const tensors = ['a', 'b', 'c', 'd'].map((name) => flowing(`serving_default_${name}:0`, [1, 2]));
    const operators = ['NEG', 'ABS'].map((op, i): LiteOperator => ({ code: code(op), inputs: [i], outputs: [i + 2] }));
    // In the order of the alphabet both names would be the other's.
    const names = { graph: 0, inputs: { picture: 0, mask: 1 }, outputs: { scores: 2, boxes: 3 } };
    const map = await (await openModel(files(liteModel(tensors, operators, [0, 1], [2, 3], [], { serving_default: names })))).map();
    const array = (name: string) => float32Tensor(name, [1, 2], [0, 0], { file: 'recording' });
    const recorded = new Map(['input:mask', 'input:picture', 'output:boxes', 'output:scores'].map((name) => [name, array(name)]));
    expect(pickArrays(recorded, 'input', map.inputs).map((tensor) => tensor?.name)).toEqual(['input:picture', 'input:mask']);
    expect(pickArrays(recorded, 'output', map.outputs).map((tensor) => tensor?.name)).toEqual(['output:scores', 'output:boxes']);
  });

  it('of an LSTM is what its equations say, from states of zeros', async () => {
    const [steps, inputs, units] = [3, 2, 2];
    const kernels = [...Array(8).keys()].map((i) => constant(`k${i}`, [units, i < 4 ? inputs : units], noise(4, i + 1)));
    const biases = [...Array(4).keys()].map((i) => constant(`b${i}`, [units], noise(2, i + 11)));
    const state = (name: string): LiteTensor => ({ ...flowing(name, [1, units]), isVariable: true });
    const tensors = [flowing('x', [1, steps, inputs]), ...kernels, ...biases, state('h'), state('c'), flowing('y', [1, steps, units])];
    const at = (name: string) => tensors.findIndex((tensor) => tensor.name === name);
    const reads = [0, ...kernels.map(({ name }) => at(name)), -1, -1, -1, ...biases.map(({ name }) => at(name)), -1, -1, at('h'), at('c')];
    const model = liteModel(
      tensors,
      [{ code: code('UNIDIRECTIONAL_SEQUENCE_LSTM'), inputs: reads, outputs: [at('y')], options: table(byte(4)) }],
      [0],
      [at('y')],
    );
    const x = noise(6, 9);
    const sigmoid = (value: number) => 1 / (1 + Math.exp(-value));
    let [h, c] = [
      [0, 0],
      [0, 0],
    ];
    const expected: number[] = [];
    for (let step = 0; step < steps; step++) {
      const gate = (g: number, unit: number) => {
        const [into, back, bias] = [noise(4, g + 1), noise(4, g + 5), noise(2, g + 11)];
        return [0, 1].reduce((sum, i) => sum + into[unit * 2 + i]! * x[step * 2 + i]! + back[unit * 2 + i]! * h[i]!, bias[unit]!);
      };
      c = [0, 1].map((u) => sigmoid(gate(1, u)) * c[u]! + sigmoid(gate(0, u)) * Math.tanh(gate(2, u)));
      h = [0, 1].map((u) => sigmoid(gate(3, u)) * Math.tanh(c[u]!));
      expected.push(...h);
    }
    const [made] = await evaluated(model, x);
    for (const [i, value] of expected.entries()) expect(made![i]).toBeCloseTo(value, 5);
  });

  it('of int4 kernels is what their halves of bytes stand for, and of blocks of scales is refused', async () => {
    const packed = { name: 'w', shape: [2, 3], type: 17, data: Uint8Array.of(0x21, 0xf3, 0x98), scales: [0.5, 2] };
    const dense = (kernel: LiteTensor) =>
      liteModel([flowing('x', [1, 3]), kernel, flowing('y', [1, 2])], [{ code: code('FULLY_CONNECTED'), inputs: [0, 1], outputs: [2] }], [0], [2]);
    const map = await (await openModel(files(dense(packed)), { assume: { dynamic_range: 'float' } })).map();
    const [made] = await runLayers(map, [{ shape: [1, 3], data: Float64Array.of(1, 10, 100) }], () => {});
    // 1, 2, 3 halves; twice -1, -8 and -7.
    expect([...made!.data].map(Number)).toEqual([160.5, -1562]);
    await expect(openModel(files(dense({ ...packed, data: Uint8Array.of(1, 2) })))).rejects.toThrow(/does not take 2 bytes/);
  });

  /** A FlexBuffers map of names to float32, as `flexbuffers::Builder` lays it out. */
  function flexMap(entries: Readonly<Record<string, number>>): Uint8Array {
    const names = Object.keys(entries).sort();
    const text = names.map((name) => [...new TextEncoder().encode(name), 0]);
    const places: number[] = [];
    let at = 0;
    for (const bytes of text) {
      places.push(at);
      at += bytes.length;
    }
    const head = (at + 3) & ~3;
    const bytes = new Uint8Array(head + 4 + 4 * names.length + 12 + 4 * names.length + names.length + 3);
    const view = new DataView(bytes.buffer);
    bytes.set(text.flat());
    view.setUint32(head, names.length, true);
    const keys = head + 4;
    for (const [i, place] of places.entries()) view.setUint32(keys + 4 * i, keys + 4 * i - place, true);
    const values = keys + 4 * names.length + 12;
    view.setUint32(values - 12, values - 12 - keys, true);
    view.setUint32(values - 8, 4, true);
    view.setUint32(values - 4, names.length, true);
    for (const [i, name] of names.entries()) {
      view.setFloat32(values + 4 * i, entries[name]!, true);
      bytes[values + 4 * names.length + i] = (3 << 2) | 2;
    }
    const end = values + 5 * names.length;
    bytes.set([end - values, (9 << 2) | 2, 1], end);
    return bytes;
  }

  it('of a detector is the best of what overlaps, in boxes, classes and scores with zeros behind them', async () => {
    const own = flexMap({
      ...{ max_detections: 3, max_classes_per_detection: 1, detections_per_class: 100, use_regular_nms: 0, num_classes: 2 },
      ...{ nms_score_threshold: 0.3, nms_iou_threshold: 0.5, y_scale: 10, x_scale: 10, h_scale: 5, w_scale: 5 },
    });
    const anchors = [0.5, 0.5, 0.2, 0.2, 0.5, 0.5, 0.2, 0.2, 0.2, 0.2, 0.1, 0.1, 0.8, 0.8, 0.1, 0.1];
    const model = (settings: Uint8Array) =>
      liteModel(
        [
          ...[flowing('codes', [1, 4, 4]), flowing('scores', [1, 4, 3]), constant('anchors', [4, 4], anchors)],
          ...[flowing('boxes', [1, 3, 4]), flowing('classes', [1, 3]), flowing('best', [1, 3]), flowing('count', [1])],
        ],
        [{ code: code('CUSTOM'), custom: 'TFLite_Detection_PostProcess', own: settings, inputs: [0, 1, 2], outputs: [3, 4, 5, 6] }],
        [0, 1],
        [3, 4, 5, 6],
      );
    const codes = [0, 0, 0, 0, 0.5, 0, 0, 0, 1, -1, 5 * Math.log(2), 0, 0, 0, 0, 0];
    const scores = [0.1, 0.6, 0.2, 0.1, 0.5, 0.1, 0.9, 0.1, 0.8, 0, 0.2, 0.1];
    const [boxes, classes, best, count] = await evaluated(model(own), codes, scores);
    const expected = [0.11, 0.14, 0.31, 0.24, 0.4, 0.4, 0.6, 0.6, 0, 0, 0, 0];
    for (const [i, value] of expected.entries()) expect(boxes![i]).toBeCloseTo(value, 5);
    expect(classes).toEqual([1, 0, 0]);
    expect(best!.map((value) => Math.round(value * 10))).toEqual([8, 6, 0]);
    expect(count).toEqual([2]);
    await expect(evaluated(model(new Uint8Array(own.length)), codes, scores)).rejects.toThrow(/TFLite_Detection_PostProcess: its settings do not say/);
  });

  it('of a volume is a convolution of a volume', async () => {
    const kernel = noise(2 * 2 * 1 * 1 * 2, 4);
    const model = liteModel(
      [flowing('x', [1, 2, 2, 1, 1]), constant('k', [2, 2, 1, 1, 2], kernel), constant('b', [2], [1, -1]), flowing('y', [1, 1, 1, 1, 2])],
      [{ code: code('CONV_3D'), inputs: [0, 1, 2], outputs: [3], options: table(byte(1), int(1), int(1), int(1), byte(1)) }],
      [0],
      [3],
    );
    const x = noise(4, 6);
    const [made] = await evaluated(model, x);
    [0, 1].map((out) =>
      expect(made![out]).toBeCloseTo(
        Math.max(
          0,
          x.reduce((sum, value, i) => sum + value * kernel[i * 2 + out]!, out ? -1 : 1),
        ),
        5,
      ),
    );
  });

  it('names its classes where the file says so', async () => {
    const model = liteModel(
      [flowing('x', [1, 2]), flowing('y', [1, 2])],
      [{ code: code('SOFTMAX'), inputs: [0], outputs: [1], options: table(float(1)) }],
      [0],
      [1],
    );
    // The metadata writer puts the archive behind the model, with places that count from the model's beginning.
    const archive = zipImage([{ name: 'labels.txt', content: new TextEncoder().encode('cat\ndog\n') }]);
    const view = new DataView(archive.buffer, archive.byteOffset, archive.byteLength);
    const end = archive.byteLength - 22;
    const directory = view.getUint32(end + 16, true);
    for (const at of [end + 16, directory + 42]) view.setUint32(at, view.getUint32(at, true) + model.byteLength, true);
    const opened = await openModel(files(Uint8Array.from([...model, ...archive])));
    expect(opened.labels).toMatchObject({ names: ['cat', 'dog'], from: expect.stringContaining('labels.txt') });
  });

  it('of variables is what the first call puts into them, and what a call changes is told', async () => {
    const handle = { name: 'handle', shape: [], type: 13 };
    const variable = { code: code('VAR_HANDLE'), options: table(child(text('')), child(text('state'))) };
    const first = {
      tensors: [handle, constant('start', [1, 2], [3, -4])],
      operators: [
        { ...variable, inputs: [], outputs: [0] },
        { code: code('ASSIGN_VARIABLE'), inputs: [0, 1], outputs: [] },
      ],
      inputs: [],
      outputs: [],
    };
    const net = (readsTwice: boolean) =>
      liteModel(
        [flowing('x', [1, 2]), handle, flowing('before', [1, 2]), flowing('y', [1, 2]), flowing('after', [1, 2])],
        [
          { code: code('CALL_ONCE'), inputs: [], outputs: [], options: table(int(1)) },
          { ...variable, inputs: [], outputs: [1] },
          { code: code('READ_VARIABLE'), inputs: [1], outputs: [2] },
          { code: code('ADD'), inputs: [0, 2], outputs: [3] },
          { code: code('ASSIGN_VARIABLE'), inputs: [1, 3], outputs: [] },
          ...(readsTwice ? [{ code: code('READ_VARIABLE'), inputs: [1], outputs: [4] }] : []),
        ],
        [0],
        [readsTwice ? 4 : 3],
        [first],
      );
    expect(await evaluated(net(false), [1, 2])).toEqual([[4, -2]]);
    const { warnings } = await (await openModel(files(net(false)))).map();
    expect(warnings).toMatchObject([{ message: expect.stringContaining('each call changes the variable "state"') }]);
    await expect(evaluated(net(true), [1, 2])).rejects.toThrow(/"state" after the graph has changed it/);
  });

  it('of variables that loops are given is what the first call puts into them, and nothing is made up for those without', async () => {
    const handle = { name: 'handle', shape: [], type: 13 };
    const variable = { code: code('VAR_HANDLE'), options: table(child(text('')), child(text('kernel'))) };
    const state = { tensors: [flowing('i', [], 2), flowing('v', [1, 2]), handle], inputs: [0, 1, 2] };
    const below = {
      ...state,
      tensors: [...state.tensors, whole('limit', [2], []), flowing('more', [], 6)],
      operators: [{ code: code('LESS'), inputs: [0, 3], outputs: [4] }],
      outputs: [4],
    };
    const step = {
      ...state,
      tensors: [...state.tensors, whole('one', [1], []), flowing('next', [], 2), flowing('read', [1, 2]), flowing('sum', [1, 2])],
      operators: [
        { code: code('ADD'), inputs: [0, 3], outputs: [4] },
        { code: code('READ_VARIABLE'), inputs: [2], outputs: [5] },
        { code: code('ADD'), inputs: [1, 5], outputs: [6] },
      ],
      outputs: [4, 6, 2],
    };
    const first = {
      tensors: [handle, constant('start', [1, 2], [10, -5])],
      operators: [
        { ...variable, inputs: [], outputs: [0] },
        { code: code('ASSIGN_VARIABLE'), inputs: [0, 1], outputs: [] },
      ],
      inputs: [],
      outputs: [],
    };
    const net = (isSet: boolean) =>
      liteModel(
        [flowing('x', [1, 2]), whole('zero', [0], []), handle, flowing('n', [], 2), flowing('y', [1, 2]), { ...handle, name: 'left' }],
        [
          ...(isSet ? [{ code: code('CALL_ONCE'), inputs: [], outputs: [], options: table(int(3)) }] : []),
          { ...variable, inputs: [], outputs: [2] },
          { code: code('WHILE'), inputs: [1, 0, 2], outputs: [3, 4, 5], options: table(int(1), int(2)) },
        ],
        [0],
        [4],
        [below, step, first].map(({ tensors, ...graph }) => ({ ...graph, tensors: tensors.map((tensor) => ({ ...tensor })) })),
      );
    expect(await evaluated(net(true), [1, 2])).toEqual([[21, -8]]);
    await expect(evaluated(net(false), [1, 2])).rejects.toThrow(/nothing says what the variable "kernel" holds at first/);
  });

  it('of a part that is replaced begins where it is told, or as near to it as the part fits', async () => {
    const replaced = (begins: readonly number[]) =>
      liteModel(
        [flowing('x', [1, 2]), constant('square', [3, 3], [0, 1, 2, 3, 4, 5, 6, 7, 8]), whole('begins', begins), flowing('y', [3, 3])],
        [{ code: code('DYNAMIC_UPDATE_SLICE'), inputs: [1, 0, 2], outputs: [3] }],
        [0],
        [3],
      );
    expect(await evaluated(replaced([1, 0]), [-1, -2])).toEqual([[0, 1, 2, -1, -2, 5, 6, 7, 8]]);
    expect(await evaluated(replaced([7, 5]), [-1, -2])).toEqual([[0, 1, 2, 3, 4, 5, 6, -1, -2]]);
  });

  it('is refused where a state is kept, or a setting of any width is not known', async () => {
    const kept = liteModel(
      [flowing('x', [1, 2]), { ...flowing('s', [1, 2]), isVariable: true }, flowing('y', [1, 2])],
      [{ code: code('ADD'), inputs: [0, 1], outputs: [2] }],
      [0],
      [2],
    );
    await expect(evaluated(kept, [1, 2])).rejects.toThrow(/"s".*kept from one call to the next/);
    // 0.5 begins with a byte of zeros.
    const unknown = liteModel(
      [flowing('x', [1, 2]), flowing('y', [1, 2])],
      [{ code: code('RELU'), inputs: [0], outputs: [1], options: table(float(0.5)) }],
      [0],
      [1],
    );
    await expect(evaluated(unknown, [1, 2])).rejects.toThrow(/RELU has settings that are not known: field 0/);
  });
});

describe('weights that are stored sparsely, or behind the FlatBuffer', () => {
  const csr = { order: [0, 1], levels: [3, { segments: [0, 2, 2, 3], indices: [0, 3, 1] }] };
  const sparse = (values: readonly number[], shape: readonly number[], sparsity: LiteTensor['sparsity']): LiteTensor => ({
    ...constant('w', shape, values),
    ...(sparsity ? { sparsity } : {}),
  });
  const dense = (w: LiteTensor, hasDensify = false) => {
    const [out, inputs] = w.shape as [number, number];
    const tensors = [flowing('x', [1, inputs]), w, flowing('spread', w.shape), flowing('y', [1, out])];
    const densify = { code: code('DENSIFY'), inputs: [1], outputs: [2] };
    const product = { code: code('FULLY_CONNECTED'), inputs: [0, hasDensify ? 2 : 1], outputs: [3] };
    return liteModel(tensors, hasDensify ? [densify, product] : [product], [0], [3]);
  };
  const product = async (bytes: Uint8Array, inputs: number) => {
    const map = await (await openModel(files(bytes))).map();
    const [made] = await runLayers(map, [{ shape: [1, inputs], data: Float64Array.from({ length: inputs }, (_, i) => 10 ** i) }], () => {});
    return Array.from(made!.data, Number);
  };

  it.each([
    ['by rows', sparse([1, 2, 3], [3, 4], csr), [2001, 0, 30]],
    ['by columns', sparse([1, 3, 2], [3, 4], { order: [1, 0], levels: [4, { segments: [0, 1, 2, 2, 3], indices: [0, 2, 0] }] }), [2001, 0, 30]],
    [
      'in blocks',
      sparse([1, 2, 3, 4, 5, 6, 7, 8], [4, 4], { order: [0, 1, 2, 3], blocks: [0, 1], levels: [2, { segments: [0, 1, 2], indices: [0, 1] }, 2, 2] }),
      [21, 43, 6500, 8700],
    ],
    [
      'in blocks of columns',
      sparse([1, 2, 5, 6], [2, 4], { order: [0, 1, 2], blocks: [1], levels: [2, { segments: [0, 1, 2], indices: [0, 1] }, 2] }),
      [21, 6500],
    ],
  ] as const)('are spread out %s', async (_, w, expected) => {
    expect(await product(dense(w), w.shape[1]!)).toEqual(expected);
    expect(await product(dense(w, true), w.shape[1]!)).toEqual(expected);
  });

  it.each([
    [
      'name a place that there is not',
      sparse([1, 2, 3], [3, 4], { ...csr, levels: [3, { segments: [0, 2, 2, 3], indices: [0, 4, 1] }] }),
      /what its levels name/,
    ],
    ['name a place twice', sparse([1, 2, 3], [3, 4], { ...csr, levels: [3, { segments: [0, 2, 2, 3], indices: [3, 3, 1] }] }), /what its levels name/],
    ['name a place before another', sparse([1, 2, 3], [3, 4], { ...csr, levels: [3, { segments: [0, 2, 2, 3], indices: [3, 0, 1] }] }), /what its levels name/],
    ['name more places than are stored', sparse([1, 2], [3, 4], csr), /what its levels name/],
    ['store more than they name', sparse([1, 2, 3, 4], [3, 4], csr), /what its levels name/],
    ['have fewer segments than rows', sparse([1, 2, 3], [3, 4], { ...csr, levels: [3, { segments: [0, 2, 3], indices: [0, 3, 1] }] }), /what its levels name/],
    ['have levels of other sizes', sparse([1, 2, 3], [3, 4], { ...csr, levels: [4, csr.levels[1]!] }), /a level has 4 places where there are 3/],
    ['have one order of axes twice', sparse([1, 2, 3], [3, 4], { ...csr, order: [0, 0] }), /order \[0,0\]/],
    [
      'have blocks that do not fit',
      sparse([1, 2, 3], [3, 4], { order: [0, 1, 2], blocks: [1], levels: [3, csr.levels[1]!, 3] }),
      /blocks of 3 do not make an axis of 4/,
    ],
    ['have an axis less than the tensor', sparse([1, 2, 3], [3, 4], { order: [0], levels: [3] }), /1 axes in order and 1 levels do not make 2 axes/],
    ['have blocks of an axis that there is not', sparse([1], [2, 2], { order: [0, 1, 2], blocks: [2], levels: [2, 2, 1] }), /its blocks are of the axes \[2\]/],
    ['have a block that is not stored whole', sparse([1], [2, 2], { order: [0, 1, 2], blocks: [1], levels: [2, 1, { segments: [0, 1], indices: [0] }] }), /blocks of|stored whole/], // biome-ignore format: one case, one line
    [
      'list more places than there are',
      sparse([1], [1, 2], { order: [0, 1], levels: [1, { segments: [0, 1, 1, 1, 1, 1], indices: [0] }] }),
      /a level lists 6 places/,
    ],
    ['turn their blocks', sparse([1], [2, 2], { order: [0, 1, 3, 2], blocks: [0, 1], levels: [1, 1, 2, 2] }), /turned/],
    [
      'are far larger than their file',
      sparse([1], [2 ** 13, 2 ** 11], { order: [0, 1], levels: [2 ** 13, { segments: [0], indices: [] }] }),
      /sparse tensors refers|so often/,
    ],
    [
      'are larger than memory',
      sparse([1], [2 ** 15, 2 ** 15], { order: [0, 1], levels: [2 ** 15, { segments: [0], indices: [] }] }),
      /stored sparsely and takes/,
    ],
  ] as const)('are refused where they %s', async (_, w, message) => {
    await expect(product(dense(w), w.shape[1]!)).rejects.toThrow(message);
  });

  it('lie where the buffer says, beyond the first two gigabytes too', async () => {
    const build = (offset: number) => dense({ ...flowing('w', [1, 2]), outside: { offset, size: 8 } });
    const end = build(1).byteLength;
    expect(await product(Uint8Array.from([...build(end), ...floats([3, 4])]), 2)).toEqual([43]);
    await expect(product(build(2 ** 33), 2)).rejects.toThrow(/asked for, but the file ends/);
  });

  it('in int8 behind DENSIFY round what flows as they would without it', async () => {
    const w = { name: 'w', shape: [3, 4], type: 9, data: Uint8Array.of(1, 2, 3), scales: [0.5], sparsity: csr };
    for (const hasDensify of [false, true]) expect((await (await openModel(files(dense(w, hasDensify)))).map()).warnings[0]!.message).toMatch(/dynamic range/);
  });
});

describe('weights in float16', () => {
  /** 1, 2, 0.5 and -1 in half precision. */
  const HALVES: Readonly<Record<number, number>> = { 1: 0x3c00, 2: 0x4000, 0.5: 0x3800, [-1]: 0xbc00 };
  const half = (name: string, shape: readonly number[], values: readonly number[]): LiteTensor => ({
    name,
    shape,
    type: 1,
    data: new Uint8Array(Uint16Array.from(values, (value) => HALVES[value]!).buffer),
  });

  it('stay so in kernels', async () => {
    const model = liteModel(
      [flowing('x', [1, 600]), half('w16', [2, 600], new Array<number>(1200).fill(2)), flowing('w', [2, 600]), flowing('y', [1, 2])],
      [
        { code: code('DEQUANTIZE'), inputs: [1], outputs: [2] },
        { code: code('FULLY_CONNECTED'), inputs: [0, 2], outputs: [3] },
      ],
      [0],
      [3],
    );
    const { layers } = await (await openModel(files(model))).map();
    expect(layers.map(({ op, weights }) => [op, weights.kernel?.dtype])).toEqual([['MatMul', 'float16']]);
  });

  it('are numbers in float32 for whatever reads them', async () => {
    const model = liteModel(
      [
        flowing('x', [1, 2, 2, 1]),
        half('k16', [2, 1, 1, 1], [2, -1]),
        flowing('k', [2, 1, 1, 1]),
        half('b16', [2], [1, 0.5]),
        flowing('b', [2]),
        flowing('made', [1, 2, 2, 2]),
        half('c16', [1, 2, 2, 1], [1, 2, 0.5, -1]),
        flowing('c', [1, 2, 2, 1]),
        flowing('y', [1, 2, 2, 3]),
      ],
      [
        { code: code('DEQUANTIZE'), inputs: [1], outputs: [2] },
        { code: code('DEQUANTIZE'), inputs: [3], outputs: [4] },
        { code: code('DEQUANTIZE'), inputs: [6], outputs: [7] },
        { code: code('CONV_2D'), inputs: [0, 2, 4], outputs: [5], options: table(byte(1), int(1), int(1)) },
        { code: code('CONCATENATION'), inputs: [5, 7], outputs: [8], options: table(int(3)) },
      ],
      [0],
      [8],
    );
    const { bytes, result } = await convertInMemory(files(model));
    expect(result.map!.layers.find(({ op }) => op === 'Conv')!.weights).toHaveProperty('kernel');
    const x = [1, 2, 3, 4];
    const [y] = (await runOnnx(bytes, [{ shape: [1, 2, 2, 1], data: Float32Array.from(x) }])).values();
    expect([...y!.data]).toEqual(x.flatMap((value, i) => [2 * value + 1, 0.5 - value, [1, 2, 0.5, -1][i]!]));
  });
});

interface Case {
  readonly op: string;
  readonly title?: string;
  /** Of x, and of y where two values flow. */
  readonly shapes: readonly (readonly number[])[];
  readonly constants?: readonly LiteTensor[];
  /** Tensors by name; x, y and the constants where left out. */
  readonly reads?: readonly string[];
  readonly made: readonly number[] | readonly (readonly number[])[];
  readonly type?: number;
  readonly options?: LiteOperator['options'];
  readonly custom?: string;
  readonly own?: Uint8Array;
  readonly feed?: readonly number[];
  readonly expected: (x: readonly number[], y: readonly number[]) => readonly number[];
}

const unary = (op: string, f: (value: number) => number, options?: LiteOperator['options']): Case => ({
  op,
  shapes: [[2, 3]],
  made: [2, 3],
  ...(options ? { options } : {}),
  expected: (x) => x.map(f),
});
const erf = (x: number): number => {
  let [sum, term] = [x, x];
  for (let n = 1; n < 80; n++) {
    term *= -(x * x) / n;
    sum += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
};
/** Elements of x [rows, columns] by place. */
const picked = (places: readonly number[]) => (x: readonly number[]) => places.map((at) => x[at]!);

const CASES: readonly Case[] = [
  unary('RELU', (v) => Math.max(0, v)),
  unary('RELU6', (v) => Math.min(6, Math.max(0, v))),
  unary('RELU_N1_TO_1', (v) => Math.min(1, Math.max(-1, v))),
  unary('RELU_0_TO_1', (v) => Math.min(1, Math.max(0, v))),
  unary('LEAKY_RELU', (v) => (v < 0 ? v * 0.25 : v), table(float(0.25))),
  unary('HARD_SWISH', (v) => (v * Math.min(6, Math.max(0, v + 3))) / 6),
  unary('ELU', (v) => (v < 0 ? Math.expm1(v) : v)),
  unary('LOGISTIC', (v) => 1 / (1 + Math.exp(-v))),
  unary('TANH', Math.tanh),
  unary('GELU', (v) => (v / 2) * (1 + erf(v * Math.SQRT1_2))),
  unary('GELU', (v) => (v / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3))), table(byte(1))),
  unary('SQUARE', (v) => v * v),
  unary('ABS', Math.abs),
  unary('NEG', (v) => -v),
  unary('EXP', Math.exp),
  {
    op: 'PRELU',
    shapes: [[1, 2, 1, 3]],
    constants: [constant('slope', [1, 1, 3], [0.1, 0.2, -0.5])],
    made: [1, 2, 1, 3],
    expected: (x) => x.map((v, i) => (v < 0 ? v * [0.1, 0.2, -0.5][i % 3]! : v)),
  },
  { op: 'L2_NORMALIZATION', shapes: [[2, 3]], made: [2, 3], expected: (x) => x.map((v, i) => v / Math.hypot(...x.slice(i - (i % 3), i - (i % 3) + 3))) },
  {
    op: 'ADD',
    title: 'with its activation',
    shapes: [[2, 3]],
    constants: [constant('c', [3], [1, -1, 0])],
    made: [2, 3],
    options: table(byte(1)),
    expected: (x) => x.map((v, i) => Math.max(0, v + [1, -1, 0][i % 3]!)),
  },
  {
    op: 'FLOOR_MOD',
    shapes: [[2, 3]],
    constants: [constant('c', [3], [0.7, -0.6, 1.5])],
    made: [2, 3],
    expected: (x) => x.map((v, i) => v - [0.7, -0.6, 1.5][i % 3]! * Math.floor(v / [0.7, -0.6, 1.5][i % 3]!)),
  },
  { op: 'MEAN', shapes: [[1, 2, 2, 1]], constants: [whole('axes', [1, 2])], made: [1, 1], expected: (x) => [(x[0]! + x[1]! + x[2]! + x[3]!) / 4] },
  {
    op: 'SUM',
    title: 'kept',
    shapes: [[2, 2]],
    constants: [whole('axes', [-1])],
    made: [2, 1],
    options: table(byte(1)),
    expected: (x) => [x[0]! + x[1]!, x[2]! + x[3]!],
  },
  { op: 'CUMSUM', shapes: [[1, 3]], constants: [whole('axis', [1], [])], made: [1, 3], expected: ([a, b, c]) => [a!, a! + b!, a! + b! + c!] },
  {
    op: 'CUMSUM',
    title: 'from behind, without the own',
    shapes: [[1, 3]],
    constants: [whole('axis', [1], [])],
    made: [1, 3],
    options: table(byte(1), byte(1)),
    expected: ([, b, c]) => [b! + c!, c!, 0],
  },
  { op: 'REVERSE_V2', shapes: [[2, 3]], constants: [whole('axes', [1])], made: [2, 3], expected: picked([2, 1, 0, 5, 4, 3]) },
  {
    op: 'MIRROR_PAD',
    title: 'behind the edge',
    shapes: [[2, 3]],
    constants: [whole('pads', [1, 0, 2, 1], [2, 2])],
    made: [3, 6],
    options: table(byte(1)),
    expected: picked([1, 0, 0, 1, 2, 2, 1, 0, 0, 1, 2, 2, 4, 3, 3, 4, 5, 5]),
  },
  {
    op: 'MIRROR_PAD',
    title: 'on the edge',
    shapes: [[2, 3]],
    constants: [whole('pads', [0, 0, 2, 1], [2, 2])],
    made: [2, 6],
    expected: picked([2, 1, 0, 1, 2, 1, 5, 4, 3, 4, 5, 4]),
  },
  {
    op: 'PADV2',
    shapes: [[1, 2]],
    constants: [whole('pads', [0, 0, 1, 1], [2, 2]), constant('value', [], [7])],
    made: [1, 4],
    expected: ([a, b]) => [7, a!, b!, 7],
  },
  {
    op: 'STRIDED_SLICE',
    shapes: [[2, 4]],
    constants: [whole('begin', [0, 1]), whole('end', [2, 4]), whole('strides', [1, 2])],
    made: [2, 2],
    expected: picked([1, 3, 5, 7]),
  },
  {
    op: 'STRIDED_SLICE',
    title: 'of one place',
    shapes: [[2, 3]],
    constants: [whole('begin', [0, -1]), whole('end', [0, 0]), whole('strides', [1, 1])],
    made: [2],
    options: table(int(1), int(1), int(0), int(0), int(2)),
    expected: picked([2, 5]),
  },
  { op: 'SLICE', shapes: [[2, 3]], constants: [whole('begin', [1, 0]), whole('size', [1, -1])], made: [1, 3], expected: picked([3, 4, 5]) },
  { op: 'PACK', shapes: [[2], [2]], made: [2, 2], options: table(int(2), int(1)), expected: (x, y) => [x[0]!, y[0]!, x[1]!, y[1]!] },
  { op: 'UNPACK', shapes: [[2, 2]], made: [[2], [2]], options: table(int(2), int(1)), expected: picked([0, 2, 1, 3]) },
  {
    op: 'SPLIT',
    shapes: [[1, 4]],
    constants: [whole('axis', [1], [])],
    reads: ['axis', 'x'],
    made: [
      [1, 2],
      [1, 2],
    ],
    options: table(int(2)),
    expected: picked([0, 1, 2, 3]),
  },
  {
    op: 'SPLIT_V',
    shapes: [[1, 4]],
    constants: [whole('sizes', [1, 3]), whole('axis', [1], [])],
    made: [
      [1, 1],
      [1, 3],
    ],
    options: table(int(2)),
    expected: picked([0, 1, 2, 3]),
  },
  { op: 'TRANSPOSE', shapes: [[2, 3]], constants: [whole('perm', [1, 0])], made: [3, 2], expected: picked([0, 3, 1, 4, 2, 5]) },
  { op: 'TILE', shapes: [[1, 2]], constants: [whole('times', [2, 2])], made: [2, 4], expected: picked([0, 1, 0, 1, 0, 1, 0, 1]) },
  { op: 'GATHER', shapes: [[2, 3]], constants: [whole('indices', [2, 0])], made: [2, 2], options: table(int(1)), expected: picked([2, 0, 5, 3]) },
  {
    op: 'GATHER',
    title: 'of each sample',
    shapes: [[2, 3]],
    constants: [whole('indices', [2, 0, 1, 1], [2, 2])],
    made: [2, 2],
    options: table(int(1), int(1)),
    expected: picked([2, 0, 4, 4]),
  },
  {
    op: 'SCATTER_ND',
    shapes: [[2]],
    constants: [whole('indices', [3, 1], [2, 1]), whole('shape', [4])],
    reads: ['indices', 'x', 'shape'],
    made: [4],
    expected: ([a, b]) => [0, b!, 0, a!],
  },
  { op: 'SPACE_TO_DEPTH', shapes: [[1, 2, 2, 1]], made: [1, 1, 1, 4], options: table(int(2)), expected: picked([0, 1, 2, 3]) },
  { op: 'DEPTH_TO_SPACE', shapes: [[1, 1, 1, 4]], made: [1, 2, 2, 1], options: table(int(2)), expected: picked([0, 1, 2, 3]) },
  {
    op: 'BATCH_MATMUL',
    shapes: [
      [1, 2, 2],
      [1, 2, 2],
    ],
    made: [1, 2, 2],
    options: table(byte(0), byte(1)),
    expected: (x, y) => [x[0]! * y[0]! + x[1]! * y[1]!, x[0]! * y[2]! + x[1]! * y[3]!, x[2]! * y[0]! + x[3]! * y[1]!, x[2]! * y[2]! + x[3]! * y[3]!],
  },
  {
    op: 'SOFTMAX',
    title: 'of beta 2',
    shapes: [[1, 3]],
    made: [1, 3],
    options: table(float(2)),
    expected: (x) => x.map((v) => Math.exp(2 * v) / x.reduce((sum, one) => sum + Math.exp(2 * one), 0)),
  },
  {
    op: 'L2_POOL_2D',
    shapes: [[1, 2, 2, 1]],
    made: [1, 1, 1, 1],
    options: table(byte(1), int(1), int(1), int(2), int(2)),
    expected: (x) => [Math.sqrt(x.reduce((sum, v) => sum + v * v, 0) / 4)],
  },
  { op: 'EMBEDDING_LOOKUP', shapes: [[2, 3]], constants: [whole('rows', [1])], reads: ['rows', 'x'], made: [1, 3], expected: picked([3, 4, 5]) },
  {
    op: 'RESIZE_NEAREST_NEIGHBOR',
    shapes: [[1, 1, 2, 1]],
    constants: [whole('size', [1, 5])],
    made: [1, 1, 5, 1],
    options: table(byte(0), byte(1)),
    expected: picked([0, 0, 1, 1, 1]),
  },
  {
    op: 'RESIZE_BILINEAR',
    title: 'on corners',
    shapes: [[1, 1, 2, 1]],
    constants: [whole('size', [1, 3])],
    made: [1, 1, 3, 1],
    options: table(undefined, undefined, byte(1)),
    expected: ([a, b]) => [a!, (a! + b!) / 2, b!],
  },
  {
    op: 'TRANSPOSE_CONV',
    shapes: [[1, 1, 2, 1]],
    constants: [whole('sizes', [1, 1, 4, 1]), constant('k', [1, 1, 2, 1], [2, -3])],
    reads: ['sizes', 'k', 'x'],
    made: [1, 1, 4, 1],
    options: table(byte(0), int(2), int(1)),
    expected: ([a, b]) => [2 * a!, -3 * a!, 2 * b!, -3 * b!],
  },
  {
    op: 'CUSTOM',
    custom: 'Convolution2DTransposeBias',
    own: bytesOf(Int32Array.of(1, 2, 1)),
    shapes: [[1, 1, 2, 1]],
    constants: [constant('k', [1, 1, 2, 1], [2, -3]), constant('bias', [1], [0.5])],
    made: [1, 1, 4, 1],
    expected: ([a, b]) => [2 * a!, -3 * a!, 2 * b!, -3 * b!].map((v) => v + 0.5),
  },
];

describe('operators of TensorFlow Lite', () => {
  it.each(CASES)('$op $custom $title computes what its kernel does', async ({ op, shapes, constants = [], reads, made, options, custom, own, expected }) => {
    const made1 = (typeof made[0] === 'object' ? made : [made]) as readonly (readonly number[])[];
    const values = shapes.map((shape, i) => flowing(['x', 'y'][i]!, shape));
    const results = made1.map((shape, i) => flowing(`made${i}`, shape));
    const tensors = [...values, ...constants, ...results];
    const place = (name: string) => tensors.findIndex((tensor) => tensor.name === name);
    const inputs = (reads ?? [...values, ...constants].map(({ name }) => name)).map(place);
    const outputs = results.map(({ name }) => place(name));
    const operator = { code: code(op), inputs, outputs, ...(options ? { options } : {}), ...(custom ? { custom } : {}), ...(own ? { own } : {}) };
    const feeds = shapes.map((shape, i): Run => ({ shape, data: Float32Array.from(noise(count(shape), 3 + i)) }));
    const { bytes } = await convertInMemory(
      files(
        liteModel(
          tensors,
          [operator],
          values.map((_, i) => i),
          outputs,
        ),
      ),
    );
    const found = [...(await runOnnx(bytes, feeds)).values()];
    expect(found.map(({ shape }) => shape)).toEqual(made1);
    const wanted = expected([...feeds[0]!.data], [...(feeds[1]?.data ?? [])]);
    const all = found.flatMap(({ data }) => [...data]);
    expect(all).toHaveLength(wanted.length);
    for (const [i, value] of wanted.entries()) expect(all[i]).toBeCloseTo(value, 5);
  });

  it('refuse settings that are not known, and name all operators that cannot be said', async () => {
    const model = liteModel(
      [flowing('x', [1, 2]), flowing('a', [1, 2]), flowing('b', [1, 2]), flowing('c', [1, 2])],
      [
        { code: code('LEAKY_RELU'), inputs: [0], outputs: [1], options: table(float(0.5), int(7)) },
        { code: code('CUSTOM'), custom: 'MaxUnpooling2D', inputs: [1], outputs: [2] },
        { code: code('SVDF'), inputs: [2], outputs: [3], options: table(int(1), int(2)) },
      ],
      [0],
      [3],
    );
    await expect(openModel(files(model)).then((opened) => opened.map())).rejects.toThrow(
      /LEAKY_RELU has settings that are not known: field 1[\s\S]*MaxUnpooling2D[\s\S]*SVDF/,
    );
  });

  it('that are not translated are named where their second output leaves the net', async () => {
    const tensors = [flowing('x', [4]), flowing('y', [4]), flowing('places', [4])];
    const model = liteModel(tensors, [{ code: code('UNIQUE'), inputs: [0], outputs: [1, 2] }], [0], [1, 2]);
    await expect(openModel(files(model)).then((opened) => opened.map())).rejects.toThrow(/UNIQUE is not translated/);
  });

  it('take sizes from a list in their settings', async () => {
    const model = liteModel(
      [flowing('x', [2, 3]), flowing('y', [3, 2])],
      [{ code: code('RESHAPE'), inputs: [0], outputs: [1], options: table(child(ints([3, 2]))) }],
      [0],
      [1],
    );
    const { bytes } = await convertInMemory(files(model));
    const [output] = (await runOnnx(bytes, [{ shape: [2, 3], data: Float32Array.from([1, 2, 3, 4, 5, 6]) }])).values();
    expect(output).toEqual({ shape: [3, 2], data: Float32Array.from([1, 2, 3, 4, 5, 6]) });
  });
});

it.each([
  [
    'a tensor of more axes',
    liteModel([flowing('x', new Array(40).fill(1)), flowing('y', [1])], [{ code: code('RELU'), inputs: [0], outputs: [1] }], [0], [1]),
    /40 axes/,
  ],
  [
    'an operator of more inputs',
    liteModel([flowing('x', [1]), flowing('y', [1])], [{ code: code('RELU'), inputs: new Array(250_000).fill(0), outputs: [1] }], [0], [1]),
    /inputs and outputs/,
  ],
])('%s than there is in any model is refused', async (_, bytes, words) => {
  await expect(openModel(files(bytes), {})).rejects.toThrow(words);
});

it('a graph of more ports than any net has is refused', async () => {
  const relu = { code: code('RELU'), inputs: [0], outputs: [1] };
  const bytes = liteModel([flowing('x', [1]), flowing('y', [1])], [relu], new Array(10_001).fill(0), [1]);
  await expect(openModel(files(bytes))).rejects.toMatchObject({ kind: 'unsafe' });
});
