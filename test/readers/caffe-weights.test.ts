/** Where Caffe keeps weights: every encoding of a blob, sharing by name, fillers, and what nobody asked for. */
import { describe, expect, it } from 'vitest';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { toFloat64Array } from '../../src/model/cast.js';
import { type Tensor, tensorBytes } from '../../src/model/tensor.js';
import { openModel } from '../../src/readers/open.js';
import { contiguous, dataset, FLOAT32, Hdf5Image, hardLink } from '../hdf5-image.js';
import { expectCpuSeconds } from '../speed.js';
import {
  type BlobSpec,
  type Blobs,
  blob,
  caffemodel,
  difference,
  filesOf,
  floats,
  made,
  mapOf,
  net,
  refusal,
  v1Caffemodel,
  values,
  valuesOf,
} from './caffe-files.js';
import { predict } from './caffe-predict.js';

const float16 = (list: readonly number[]) => {
  const out = new Uint16Array(list.length);
  for (const [i, value] of list.entries()) out[i] = halfOf(value);
  return new Uint8Array(out.buffer);
};

/** Exact for the eighths that are used here. */
function halfOf(value: number): number {
  if (value === 0) return 0;
  const exponent = Math.floor(Math.log2(Math.abs(value)));
  return (value < 0 ? 0x8000 : 0) | ((exponent + 15) << 10) | ((Math.abs(value) / 2 ** exponent - 1) * 1024);
}

const read = async (tensor: Tensor) => [...toFloat64Array(await tensorBytes(tensor), tensor.dtype)];
const eighths = [0.125, -2, 3.5, 0, 1, -0.375];

describe('encodings of a blob', () => {
  const bias = (spec: Partial<BlobSpec>) => ({ out: [{ shape: [6], values: eighths, ...spec }] });
  const text = net(['data 2 6 3 3'], 'Bias data -> out');
  const stored = async (spec: Partial<BlobSpec>) => {
    const [found] = (await openModel(filesOf(text, caffemodel(bias(spec))), {})).tensors;
    return { dtype: found!.tensor.dtype, values: await read(found!.tensor) };
  };

  it.each([
    ['packed floats', {}, 'float32'],
    ['floats in two packs', { encode: (list, message) => void message.bytes(5, floats(list.slice(0, 2))).bytes(5, floats(list.slice(2))) }, 'float32'],
    ['floats one by one', { encode: (list, message) => list.forEach((value) => void message.float(5, value)) }, 'float32'],
    ['doubles', { encode: (list, message) => void message.bytes(8, new Uint8Array(Float64Array.from(list).buffer)) }, 'float64'],
    ['raw halves', { encode: (list, message) => void message.int(10, 2).bytes(12, float16(list)) }, 'float16'],
    ['raw halves whose type comes last', { encode: (list, message) => void message.bytes(12, float16(list)).int(10, 2) }, 'float16'],
    ['raw floats', { encode: (list, message) => void message.int(10, 1).bytes(12, floats(list)) }, 'float32'],
    ['raw doubles', { encode: (list, message) => void message.int(10, 0).bytes(12, new Uint8Array(Float64Array.from(list).buffer)) }, 'float64'],
    ['a legacy shape', { legacy: true }, 'float32'],
    [
      'gradients beside it',
      {
        encode: (list, message) =>
          void message
            .bytes(5, floats(list))
            .bytes(6, floats(made(6)))
            .int(11, 1)
            .bytes(13, floats(made(6))),
      },
      'float32',
    ],
  ] as [string, Partial<BlobSpec>, string][])('%s', async (_, spec, dtype) => {
    expect(await stored(spec)).toEqual({ dtype, values: eighths });
    const { inputs, outputs } = await predict(text, caffemodel(bias(spec)));
    const expected = Array.from(inputs[0]!.data, (value, i) => value + eighths[Math.floor(i / 9) % 6]!);
    expect(difference(outputs.get('out')!.data, expected)).toBeLessThan(1e-6);
  });

  it.each([
    ['raw integers', (list, message) => void message.int(10, 3).bytes(12, floats(list)), /raw values of the type INT; known: DOUBLE, FLOAT, FLOAT16/],
    ['raw values of a type that nobody knows', (list, message) => void message.int(10, 9).bytes(12, floats(list)), /of the type 9/],
    ['raw values of no type', (list, message) => void message.bytes(12, floats(list)), /of no stated type/],
    ['values twice', (list, message) => void message.bytes(5, floats(list)).bytes(12, floats(list)).int(10, 1), /has its values twice/],
    ['too few values', (list, message) => void message.bytes(5, floats(list.slice(1))), /shape \[6\], but 5 values/],
    ['a part of a value', (_, message) => void message.int(10, 2).bytes(12, new Uint8Array(11)), /shape \[6\], but 5.5 values/],
    ['no values', () => {}, /shape \[6\], but 0 values/],
    ['a field that is not known', (list, message) => void message.bytes(5, floats(list)).float(77, 0.5), /a field 77, which is not known/],
  ] as [string, BlobSpec['encode'], RegExp][])('%s are refused', async (_, encode, words) => {
    expect((await refusal(text, bias({ encode }))).message).toMatch(words);
  });

  it.each([
    ['more axes than Caffe has', { shape: Array.from({ length: 400 }, () => 1) }],
    ['a negative size', { shape: [-6], encode: (list, message) => void message.bytes(5, floats(list)) }],
    ['sizes whose product is beyond all numbers', { shape: [2 ** 40, 2 ** 40, 2 ** 40], values: [], encode: () => {} }],
  ] as [string, Partial<BlobSpec>][])('%s is refused', async (_, spec) => {
    await refusal(text, bias(spec));
  });
});

describe('shared weights', () => {
  const twins = (param: string, more = '') =>
    net(
      ['data 2 3 5 5', 'more 2 3 5 5'],
      `Convolution data -> a | convolution_param { num_output: 4 kernel_size: 3 } ${param}`,
      `Convolution more -> b | convolution_param { num_output: 4 kernel_size: 3 } ${param} ${more}`,
      'Eltwise a b -> out | eltwise_param { operation: PROD }',
    );
  const shared = 'param { name: "w" } param { name: "b" }';
  const kernel = [blob(4, 3, 3, 3), blob(4)];

  it('are those of the layer that has them', async () => {
    const [once, twice] = [{ a: kernel }, { a: kernel, b: kernel.map((spec, i) => ({ ...spec, values: valuesOf(spec, i + 1) })) }];
    const { outputs } = await predict(twins(shared), caffemodel(once));
    const plain = await predict(twins(''), caffemodel(twice));
    expect(difference(outputs.get('out')!.data, [...plain.outputs.get('out')!.data])).toBe(0);
  });

  it('are stored by any of them', async () => {
    const { outputs } = await predict(twins(shared), caffemodel({ b: kernel }));
    const plain = await predict(twins(shared), caffemodel({ a: kernel }));
    expect(difference(outputs.get('out')!.data, [...plain.outputs.get('out')!.data])).toBe(0);
  });

  it('are the ones that are stored last, where copies differ: Caffe fills one blob twice', async () => {
    const { map } = await predict(twins(shared), caffemodel({ a: kernel, b: [{ ...blob(4, 3, 3, 3), values: made(108, 9) }, blob(4)] }));
    expect(await read(map.layers[0]!.weights.kernel!)).toEqual(made(108, 9));
    expect(await read(map.layers[1]!.weights.kernel!)).toEqual(made(108, 9));
  });

  it('may be some of a layer only: a snapshot of HDF5 then has the others under their own numbers', async () => {
    const image = new Hdf5Image();
    const floatsOf = (spec: BlobSpec, seed: number) => {
      const bytes = floats(valuesOf(spec, seed));
      return image.object(dataset(spec.shape, FLOAT32, contiguous(image.place(bytes), bytes.byteLength)));
    };
    const group = (entries: Readonly<Record<string, number>>) => image.object(Object.entries(entries).map(([name, address]) => hardLink(name, address)));
    const a = group({ 0: floatsOf(kernel[0]!, 1), 1: floatsOf(kernel[1]!, 2) });
    const b = group({ 1: floatsOf(values(5, 6, 7, 8), 1) });
    const snapshot = image.bytes(group({ data: group({ a, b }), diff: group({}) }));
    const files = memoryFileSet({ 'x.caffemodel.h5': snapshot, 'x.prototxt': new TextEncoder().encode(twins('param { name: "w" }')) }, 'x.caffemodel.h5');
    const model = await openModel(files, {});
    expect(model.tensors.map(({ tensor }) => tensor.name)).toEqual(['a/0', 'a/1', 'b/1']);
    const [first, second] = (await model.map()).layers;
    expect(await read(second!.weights.kernel!)).toEqual(await read(first!.weights.kernel!));
    expect(await read(second!.weights.bias!)).toEqual([5, 6, 7, 8]);
  });

  it('of older nets are named by strings', async () => {
    const text = `input: "data" input_dim: 2 input_dim: 3 input_dim: 5 input_dim: 5
      layers { name: "a" type: CONVOLUTION bottom: "data" top: "a" convolution_param { num_output: 3 kernel_size: 3 pad: 1 } param: "w" param: "b" blobs_lr: 1 weight_decay: 0 }
      layers { name: "b" type: CONVOLUTION bottom: "a" top: "b" convolution_param { num_output: 3 kernel_size: 3 } param: "w" param: "b" }`;
    const { map } = await predict(text, v1Caffemodel({ a: [blob(3, 3, 3, 3), blob(3)] }));
    expect(await read(map.layers[1]!.weights.kernel!)).toEqual(valuesOf(blob(81), 1));
  });

  it('of another shape fit only where the net says so', async () => {
    const text = (mode: string) =>
      net(
        ['data 2 4'],
        `InnerProduct data -> a | inner_product_param { num_output: 6 bias_term: false } param { name: "w" }`,
        `InnerProduct a -> b | inner_product_param { num_output: 4 bias_term: false } param { name: "w" ${mode} }`,
      );
    const { map } = await predict(text('share_mode: PERMISSIVE'), caffemodel({ a: [blob(6, 4)] }));
    expect(map.layers[1]!.weights.kernel!.shape).toEqual([4, 6]);
    expect((await refusal(text(''), { a: [blob(6, 4)] })).message).toMatch(/shape \[6,4\], but the net asks for \[4,6\]/);
  });

  it('are not those of a layer that happens to have the same name', async () => {
    const text = net(
      ['data 2 3 5 5'],
      'layer { name: "x" type: "Convolution" bottom: "data" top: "a" convolution_param { num_output: 3 kernel_size: 1 } }',
      'layer { name: "x" type: "Convolution" bottom: "a" top: "b" convolution_param { num_output: 3 kernel_size: 1 } }',
    );
    expect((await refusal(text, { x: [blob(3, 3, 1, 1), blob(3)] })).message).toMatch(/two layers have this name and weights/);
  });

  it('may stand beside layers of one name that have none', async () => {
    const text = net(['data 2 3 5 5'], 'layer { name: "x" type: "ReLU" bottom: "data" top: "a" }', 'layer { name: "x" type: "TanH" bottom: "a" top: "b" }');
    expect((await mapOf(text)).layers.map(({ op }) => op)).toEqual(['Relu', 'Tanh']);
  });
});

describe('weights that are not stored', () => {
  const up = (filler: string, more = '', side = 4) =>
    net(
      ['data 2 3 5 6'],
      'Convolution data -> a | convolution_param { num_output: 2 kernel_size: 1 }',
      `Deconvolution a -> out | convolution_param { num_output: 2 group: 2 kernel_size: ${side} stride: 2 bias_term: false ${filler} } ${more}`,
    );
  const stored = { a: [blob(2, 3, 1, 1), blob(2)] };

  it.each([
    [2, [0.5, 0.5]],
    [3, [0.5, 1, 0.5]],
    [4, [0.25, 0.75, 0.75, 0.25]],
    [5, [1 / 3, 2 / 3, 1, 2 / 3, 1 / 3]],
  ] as [number, number[]][])('are bilinear, as the filler says: %i wide', async (side, row) => {
    const map = await mapOf(up('weight_filler { type: "bilinear" }', '', side), stored);
    const kernel = map.layers[1]!.weights.kernel!;
    const expected = [0, 1].flatMap(() => row.flatMap((a) => row.map((b) => a * b)));
    expect(kernel.shape).toEqual([2, 1, side, side]);
    expect(difference(await read(kernel), expected)).toBeLessThan(1e-7);
    expect(map.warnings).toContainEqual({ code: 'filled-weights', message: expect.stringMatching(/bilinear interpolation/), layer: 'out' });
  });

  it('are constant, as the filler says, and a bias is 0', async () => {
    const text = net(['data 2 3 5 6'], 'Convolution data -> out | convolution_param { num_output: 2 kernel_size: 1 weight_filler { value: 0.25 } }');
    const map = await mapOf(text, {});
    expect(await read(map.layers[0]!.weights.kernel!)).toEqual(new Array(6).fill(0.25));
    expect(await read(map.layers[0]!.weights.bias!)).toEqual([0, 0]);
    expect(map.warnings.filter(({ code }) => code === 'filled-weights').length).toBe(2);
  });

  it('written: the file holds them all', async () => {
    const { inputs, outputs } = await predict(up('weight_filler { type: "bilinear" }'), caffemodel(stored));
    expect(outputs.get('out')!.shape).toEqual([2, 2, 12, 14]);
    const [kernel, bias] = [valuesOf(blob(2, 3), 1), valuesOf(blob(2), 2)];
    const first = [0, 1, 2].reduce((sum, c) => sum + kernel[c]! * inputs[0]!.data[c * 30]!, bias[0]!);
    expect(outputs.get('out')!.data[0]).toBeCloseTo(first / 16, 5);
  });

  it.each([
    ['no filler', up(''), /no kernel for this Deconvolution \(blob 0\). Do prototxt and caffemodel belong together\?/],
    ['a random filler', up('weight_filler { type: "msra" }'), /filler "msra" is a random one/],
    [
      'a bilinear filler of an oblong kernel',
      net(
        ['data 2 3 5 6'],
        'Convolution data -> a | convolution_param { num_output: 2 kernel_size: 1 }',
        'Deconvolution a -> out | convolution_param { num_output: 2 kernel_h: 2 kernel_w: 4 weight_filler { type: "bilinear" } }',
      ),
      /square kernels/,
    ],
    [
      'a filler of far too many',
      net(
        ['data 2 3 5 6'],
        'Convolution data -> a | convolution_param { num_output: 2 kernel_size: 1 }',
        'InnerProduct a -> out | inner_product_param { num_output: 100000000 weight_filler { value: 1 } }',
      ),
      /more than 67108864 values/,
    ],
  ])('%s: they are asked for', async (_, text, words) => {
    expect((await refusal(text, stored)).message).toMatch(words);
  });

  it('are asked for where others of their shape belong to no layer: the name was changed', async () => {
    const text = up('weight_filler { type: "bilinear" }');
    expect((await refusal(text, { ...stored, upscore: [blob(2, 1, 4, 4)] })).message).toMatch(/those of "upscore", which no layer takes, have its shape/);
    expect((await mapOf(text, { ...stored, auxiliary: [blob(7, 7)] })).warnings.map(({ code }) => code)).toContain('unused-weights');
  });

  it('are asked for in part only where the rest is there', async () => {
    const text = net(['data 2 3 5 6'], 'Convolution data -> out | convolution_param { num_output: 2 kernel_size: 1 bias_filler { value: 0 } }');
    expect((await refusal(text, { out: [blob(2, 3, 1, 1)] })).message).toMatch(/no bias for this Convolution \(blob 1\)/);
  });

  it('are said to be missing once, where there are none at all', async () => {
    expect((await refusal(up(''), {})).message).toMatch(/no weights are stored. Was the caffemodel meant\?/);
  });
});

describe('weights that nobody asked for', () => {
  const conv = (params: string) => net(['data 2 3 5 5'], `Convolution data -> out | convolution_param { num_output: 2 kernel_size: 1 ${params} }`);
  const four = [values(1, 2, 3, 4), values(1, 2, 3, 4), values(1)];
  it.each([
    ['a bias beside bias_term: false', conv('bias_term: false'), { out: [blob(2, 3, 1, 1), blob(2)] }, /no use for blob 1 of shape \[2\]/],
    ['a third blob of a convolution', conv(''), { out: [blob(2, 3, 1, 1), blob(2), blob(2)] }, /no use for blob 2 of shape \[2\]/],
    ['weights of a ReLU', net(['data 2 4'], 'ReLU data -> out'), { out: [blob(4)] }, /ReLU has no use for blob 0/],
    ['a bias of a Scale without one', net(['data 2 4'], 'Scale data -> out'), { out: [blob(4), blob(4)] }, /no use for blob 1/],
    ['a fourth blob of a BatchNorm', net(['data 2 4'], 'BatchNorm data -> out'), { out: [...four, blob(4)] }, /no use for blob 3/],
    [
      'a sixth',
      net(['data 2 4'], 'BatchNorm data -> out'),
      { out: [...four, blob(4), blob(4), blob(4)] },
      /no use for blob 3 of shape \[4\], blob 4 of shape \[4\], blob 5/,
    ],
  ] as [string, string, Blobs, RegExp][])('%s is refused', async (_, text, blobs, words) => {
    expect((await refusal(text, blobs)).message).toMatch(words);
  });

  it('a BatchNorm that is to have a scale, and has none', async () => {
    expect((await refusal(net(['data 2 4'], 'BatchNorm data -> out | batch_norm_param { scale_bias: true }'), { out: four })).message).toMatch(
      /3 blobs instead of 5/,
    );
  });
});

describe('statistics that nobody can have meant', () => {
  const text = net(['data 2 2 3 3'], 'BatchNorm data -> out');
  const warnings = async (...blobs: BlobSpec[]) => (await mapOf(text, { out: blobs })).warnings.filter(({ code }) => code === 'suspicious-weights');
  it.each([
    ['a factor of 0 beside statistics', [values(1, 2), values(3, 4), values(0)], /scale factor is 0 although/],
    ['nothing but zeros', [values(0, 0), values(0, 0), values(0)], /all variances .* are 0/],
    ['variances of 0', [values(1, 2), values(0, 0), values(1)], /all variances .* are 0/],
    ['a NaN', [values(1, Number.NaN), values(3, 4), values(1)], /NaN or infinite/],
    ['an infinite variance', [values(1, 2), values(3, Number.POSITIVE_INFINITY), values(1)], /NaN or infinite/],
    ['a NaN as factor', [values(1, 2), values(3, 4), values(Number.NaN)], /NaN or infinite/],
    ['a negative variance', [values(1, 2), values(3, -4), values(1)], /negative variances/],
  ] as [string, BlobSpec[], RegExp][])('%s is told', async (_, blobs, words) => {
    expect(await warnings(...blobs)).toEqual([{ code: 'suspicious-weights', message: expect.stringMatching(words), layer: 'out' }]);
  });

  it.each([
    [
      'a NaN in a bias',
      net(['data 2 2 3 3'], 'Convolution data -> out | convolution_param { num_output: 2 kernel_size: 1 }'),
      { out: [blob(2, 2, 1, 1), values(1, Number.NaN)] },
      /its bias holds values that are NaN/,
    ],
    ['an infinite slope', net(['data 2 2 3 3'], 'PReLU data -> out'), { out: [values(1, Number.NEGATIVE_INFINITY)] }, /its slope holds/],
    ['factors of 0', net(['data 2 2 3 3'], 'Scale data -> out'), { out: [values(0, 0)] }, /all factors of its scale are 0/],
    ["NVIDIA's factors of 0", text, { out: [values(1, 2), values(3, 4), values(1), values(0, 0), values(1, 1)] }, /all factors of its scale are 0/],
  ] as [string, string, Blobs, RegExp][])('%s is told, too', async (_, made, blobs, words) => {
    expect((await mapOf(made, blobs)).warnings.filter(({ code }) => code === 'suspicious-weights')).toEqual([
      { code: 'suspicious-weights', message: expect.stringMatching(words), layer: 'out' },
    ]);
  });

  it.each([
    ['statistics as they should be', [values(1, 2), values(3, 4), values(999.98)]],
    ['one variance of 0', [values(1, 2), values(3, 0), values(1)]],
    ["a factor of 0 of NVIDIA's, which has no use for it", [values(1, 2), values(3, 4), values(0), values(1, 1), values(0, 0)]],
  ] as [string, BlobSpec[]][])('%s is not', async (_, blobs) => {
    expect(await warnings(...blobs)).toEqual([]);
  });
});

describe('damaged caffemodels', () => {
  const text = net(['data 2 6 3 3'], 'Bias data -> out');
  const models = {
    halves: caffemodel({ out: [{ shape: [6], values: eighths, encode: (list, message) => void message.int(10, 2).bytes(12, float16(list)) }] }),
    doubles: caffemodel({
      out: [{ shape: [6], values: eighths, encode: (list, message) => void message.bytes(8, new Uint8Array(Float64Array.from(list).buffer)) }],
    }),
    older: v1Caffemodel({ out: [{ shape: [6], values: eighths }] }),
  };
  it.each(Object.entries(models))('cut anywhere are refused: %s', async (_, model) => {
    for (let cut = 0; cut < model.length; cut++) {
      const outcome = await (async () => (await openModel(filesOf(text, model.subarray(0, cut)), {})).map())().catch((error: unknown) => error);
      expect(outcome, `cut at ${cut}`).toMatchObject({ name: 'ModelError' });
    }
  });

  it.each(Object.entries(models))('with a flipped bit are a net or a ModelError: %s', async (_, model) => {
    for (let bit = 0; bit < 8 * model.length; bit++) {
      const bytes = model.slice();
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      const outcome = await (async () => (await openModel(filesOf(text, bytes), {})).map())().catch((error: unknown) => error);
      if (outcome instanceof Error) expect(outcome.name, `bit ${bit}: ${outcome.stack}`).toBe('ModelError');
    }
  });
});

describe('hostile caffemodels', () => {
  it.each([
    ['blobs without end', Uint8Array.from({ length: 4_000_000 }, (_, i) => (i % 2 ? 0 : 0x3a)), 100],
    ['names without end', Uint8Array.from({ length: 4_000_000 }, (_, i) => (i % 2 ? 0 : 0x1a)), 100],
    ['fields that are not known', Uint8Array.from({ length: 4_000_000 }, (_, i) => (i % 3 ? i % 3 : 0xf0)), 100],
  ])('%s are refused soon', async (_, body, field) => {
    const head = [0x0a, 1, 0x78];
    const length = varint(body.length + 5);
    const model = Uint8Array.from([...head, ...varint(field * 8 + 2), ...length, 0x0a, 1, 0x79, 0x12, 0, ...body]);
    const start = process.cpuUsage();
    const outcome = await openModel(memoryFileSet({ 'x.caffemodel': model }, 'x.caffemodel'), {}).catch((error: unknown) => error);
    expect(outcome).toMatchObject({ name: 'ModelError' });
    const { user, system } = process.cpuUsage(start);
    expectCpuSeconds((user + system) / 1e6, 5);
  });

  function varint(value: number): number[] {
    return value < 128 ? [value] : [(value & 127) | 128, ...varint(Math.floor(value / 128))];
  }
});
