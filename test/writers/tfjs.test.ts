/** Written TensorFlow.js models: the official converter's conventions, recorded predictions in every dtype, the same bytes twice, all or nothing. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type ByteSink, memorySink } from '../../src/bytes/byte-sink.js';
import type { ByteSource } from '../../src/bytes/byte-source.js';
import { type ConvertOptions, type ConvertResult, convert } from '../../src/convert.js';
import { makeLayer } from '../../src/model/ops/index.js';
import { float32Tensor, storedTensor, type Tensor } from '../../src/model/tensor.js';
import { fileSink, nodeFileSet } from '../../src/node/index.js';
import { permuteArray, rows } from '../../src/verify/array.js';
import { tfjs, tfjsGraph } from '../../src/writers/tfjs/index.js';
import { DIGITS } from '../cli/run-cli.js';
import { readGolden } from '../golden.js';
import { temporaryFolder } from '../node/temporary-folder.js';
import type { Run } from '../run-onnx.js';
import { runTfjs, type TfjsForm } from '../run-tfjs.js';
import { emptyMap } from './onnx-cases.js';

const FORMS = ['tfjs', 'tfjs-graph'] as const;
const GOLDEN = { 'digits.h5': 'keras.npz', 'digits.pth': 'torch.npz', 'digits.caffemodel': 'caffe.npz' } as const;
type Source = keyof typeof GOLDEN;

async function digits(source: Source, form: TfjsForm, options: ConvertOptions = {}, sink = memorySink()) {
  const files = await nodeFileSet(join(DIGITS, source));
  try {
    const result = await convert(files, sink, 'net', { to: form, ...options });
    return { files: sink.files, result, json: JSON.parse(new TextDecoder().decode(sink.files.get('net/model.json'))) };
  } finally {
    await files.close();
  }
}

/** A few of the recorded pictures: the CPU backend is slow. */
async function recordedRows(source: Source): Promise<{ input: Run; output: Run }> {
  const { input, output } = await readGolden(join(DIGITS, GOLDEN[source]));
  return { input: rows(input, 0, 5) as Run, output: rows(output, 0, 5) as Run };
}

/** What was recorded, with the input in the layout that the files have. */
async function recorded(source: Source): Promise<{ input: Run; output: Run }> {
  const { input, output } = await recordedRows(source);
  return { input: source === 'digits.h5' ? input : (permuteArray(input, [0, 2, 3, 1]) as Run), output };
}

function largestDifference(a: Run, b: Run): number {
  expect(a.shape).toEqual(b.shape);
  return a.data.reduce((max, value, i) => Math.max(max, Math.abs(value - b.data[i]!)), 0);
}

describe.each(FORMS)('%s', (form) => {
  it.each(Object.keys(GOLDEN) as Source[])('%s predicts what was recorded', async (source) => {
    const { files } = await digits(source, form);
    const { input, output } = await recorded(source);
    const [actual] = await runTfjs(form, files, [input], 'net/');
    expect(largestDifference(actual!, output)).toBeLessThan(1e-4);
  });

  it.each([
    ['float16', 'float16', 2, 0.01],
    ['uint16', 'uint16', 2, 0.01],
    ['uint8', 'uint8', 1, 0.2],
  ] as const)('in %s stays near what was recorded, and the manifest says how', async (dtype, stored, bytes, bound) => {
    const { files, json } = await digits('digits.h5', form, { dtype });
    const { input, output } = await recorded('digits.h5');
    const [actual] = await runTfjs(form, files, [input], 'net/');
    const found = largestDifference(actual!, output);
    expect(found).toBeLessThan(bound);
    expect(found).toBeGreaterThan(0);
    const weights = json.weightsManifest[0].weights as { name: string; shape: number[]; dtype: string; quantization?: Record<string, unknown> }[];
    const kernels = weights.filter(({ name }) => name.endsWith('/kernel'));
    expect(kernels.length).toBe(9);
    for (const { dtype: computed, quantization } of kernels) {
      expect(computed).toBe('float32');
      expect(quantization).toMatchObject({ dtype: stored, original_dtype: 'float32' });
      expect(Object.keys(quantization!).sort()).toEqual(stored === 'float16' ? ['dtype', 'original_dtype'] : ['dtype', 'min', 'original_dtype', 'scale']);
    }
    const total = weights.reduce((sum, { shape, quantization }) => sum + shape.reduce((a, b) => a * b, 1) * (quantization ? bytes : 4), 0);
    expect(files.get('net/group1-shard1of1.bin')!.byteLength).toBe(total);
  });

  it('gives the same bytes twice, and in shards of any size the same weights', async () => {
    const [first, second, small] = [await digits('digits.h5', form), await digits('digits.h5', form), await digits('digits.h5', form, { shardBytes: 10_007 })];
    expect([...first.files].map(([name, bytes]) => [name, Buffer.from(bytes).toString('base64')])).toEqual(
      [...second.files].map(([name, bytes]) => [name, Buffer.from(bytes).toString('base64')]),
    );
    const names: string[] = small.json.weightsManifest[0].paths;
    expect(names.length).toBeGreaterThan(20);
    expect(names[1]).toBe(`group1-shard2of${names.length}.bin`);
    const joined = Buffer.concat(names.map((name) => small.files.get(`net/${name}`)!));
    expect(joined.equals(Buffer.from(first.files.get('net/group1-shard1of1.bin')!))).toBe(true);
    const { input, output } = await recorded('digits.h5');
    expect(largestDifference((await runTfjs(form, small.files, [input], 'net/'))[0]!, output)).toBeLessThan(1e-4);
  });

  it('says where it comes from, what made it and which layout its ports have', async () => {
    const { json, files } = await digits('digits.pth', form, { sourceHashes: async () => ({ 'digits.pth': 'abc' }) });
    expect([...files.keys()][0]).toBe('net/model.json');
    expect(json.format).toBe(form === 'tfjs' ? 'layers-model' : 'graph-model');
    expect(json.generatedBy).toBe('PyTorch');
    expect(json.convertedBy).toMatch(/^weighbridge \d/);
    expect(json.userDefinedMetadata).toMatchObject({
      'weighbridge.source.format': 'pytorch',
      'weighbridge.source.sha256.digits.pth': 'abc',
      'weighbridge.layout.input': 'nhwc',
    });
  });

  it('takes channels first where that is asked for', async () => {
    const { files, json } = await digits('digits.pth', form, { layout: 'nchw' });
    const { input, output } = await recordedRows('digits.pth');
    expect(largestDifference((await runTfjs(form, files, [input], 'net/'))[0]!, output)).toBeLessThan(1e-4);
    expect(json.userDefinedMetadata['weighbridge.layout.input']).toBe('nchw');
  });

  it('is there as a whole or not at all, in a folder or beside a JSON file', async () => {
    const folder = temporaryFolder();
    const source = await nodeFileSet(join(DIGITS, 'digits.h5'));
    const write = async (output: string, spoil: (sink: ByteSink) => ByteSink = (sink) => sink): Promise<ConvertResult> =>
      convert(source, spoil(await fileSink(join(folder, output))), output.split('/').at(-1)!, { to: form, shardBytes: 50_000 });
    const seen: string[][] = [];
    // Nothing has a final name while weights are written; a failure in the middle leaves nothing.
    const spoiled = write('net', (sink) => ({
      ...sink,
      commit: () => sink.commit(),
      abort: () => sink.abort(),
      async create(name) {
        seen.push(existsSync(join(folder, 'net')) ? readdirSync(join(folder, 'net')).filter((file) => !file.startsWith('.')) : []);
        if (name.includes('shard3')) throw new Error('disk full');
        return sink.create(name);
      },
    }));
    await expect(spoiled).rejects.toThrow('disk full');
    expect(seen.length).toBe(4);
    expect(seen.flat()).toEqual([]);
    expect(readdirSync(folder)).toEqual([]);
    await write('net');
    expect(readdirSync(join(folder, 'net'))).toHaveLength(6);
    await write('model.json');
    expect(readdirSync(folder).filter((name) => name !== 'net')).toHaveLength(6);
    expect(readFileSync(join(folder, 'model.json')).equals(readFileSync(join(folder, 'net/model.json')))).toBe(true);
    await expect(write('net')).rejects.toMatchObject({ kind: 'usage' });
    await source.close();
  });
});

it('a layers model has the Keras 2 form', async () => {
  const { json } = await digits('digits.h5', 'tfjs');
  const { class_name: className, config } = json.modelTopology.model_config;
  expect(json.modelTopology).toMatchObject({ keras_version: expect.stringMatching(/^2\./), backend: 'tensorflow' });
  expect(className).toBe('Model');
  expect(config.layers[0]).toMatchObject({ class_name: 'InputLayer', inbound_nodes: [], config: { batch_input_shape: [null, 32, 32, 3] } });
  const conv = config.layers.find((layer: { class_name: string }) => layer.class_name === 'Conv2D');
  expect(conv.config).toMatchObject({ kernel_size: [3, 3], padding: 'same', data_format: 'channels_last', use_bias: true });
  const names: string[] = json.weightsManifest[0].weights.map(({ name }: { name: string }) => name);
  expect(names.slice(0, 2)).toEqual([`${conv.name}/kernel`, `${conv.name}/bias`]);
  // The weights of a channels-last source go over as they are: its Flatten is this file's own.
  expect(config.layers.some((layer: { class_name: string }) => layer.class_name === 'Permute')).toBe(false);
});

it('a graph model is a GraphDef whose strings are in base64 and whose convolutions say their dilations', async () => {
  const { json } = await digits('digits.h5', 'tfjs-graph');
  const { node, versions, library } = json.modelTopology as {
    node: { name: string; op: string; attr: Record<string, Record<string, unknown>> }[];
    versions: unknown;
    library: unknown;
  };
  expect([Object.keys(versions as object).sort(), library]).toEqual([['minConsumer', 'producer'], {}]);
  const convolutions = node.filter(({ op }) => op === 'Conv2D');
  expect(convolutions.length).toBeGreaterThan(5);
  for (const { attr } of convolutions) {
    expect(attr.dilations).toEqual({ list: { i: ['1', '1', '1', '1'] } });
    expect([attr.padding!.s, attr.data_format!.s].map((text) => atob(text as string))).toEqual(['SAME', 'NHWC']);
  }
  expect(Object.values(json.signature.inputs)[0]).toMatchObject({
    dtype: 'DT_FLOAT',
    tensorShape: { dim: [{ size: '-1' }, { size: '32' }, { size: '32' }, { size: '3' }] },
  });
  expect(node.filter(({ op }) => op === 'Const').map(({ name }) => name)).toEqual(json.weightsManifest[0].weights.map(({ name }: { name: string }) => name));
});

describe('weights that do not go over unharmed', () => {
  const dense = (kernel: Tensor) => ({
    ...emptyMap,
    inputs: [{ name: 'x', value: 'x', dtype: 'float32' as const, shape: ['N', kernel.shape[1]!], layout: 'other' as const }],
    outputs: [{ name: 'y', value: 'y', dtype: 'float32' as const, shape: ['N', kernel.shape[0]!], layout: 'other' as const }],
    layers: [makeLayer({ name: 'd', op: 'Gemm', inputs: ['x'], outputs: ['y'], weights: { kernel } })],
  });
  const tensor = (values: readonly number[]) => float32Tensor('d/kernel', [1, values.length], values, { file: 'made.h5' });
  const write = async (values: readonly number[], dtype: 'float16' | 'uint8' | 'uint16') => {
    const options = { dtype, layout: 'source', metadata: async () => ({}) } as const;
    return (await tfjs.write(dense(tensor(values)), memorySink(), 'model.json', options)).warnings;
  };

  it('are counted in float16', async () => {
    const warnings = await write([1e6, -1e6, 1e-9, Number.NaN, 1], 'float16');
    expect(warnings.map(({ code, message, layer }) => [code, /\d+/.exec(message)![0], layer])).toEqual([
      ['overflow', '2', 'd'],
      ['underflow', '1', 'd'],
      ['nan', '1', 'd'],
    ]);
  });

  it('are an error in whole numbers where they are not finite', async () => {
    await expect(write([1, Number.POSITIVE_INFINITY], 'uint8')).rejects.toMatchObject({ kind: 'unsupported', place: { layer: 'd' } });
  });

  it('are told where uint8 is coarse, with a pointer to uint16', async () => {
    // One outlier makes the scale a hundred times too large for the rest.
    const values = [100, ...Array.from({ length: 999 }, (_, i) => Math.sin(i))];
    const [warning, ...others] = await write(values, 'uint8');
    expect(others).toEqual([]);
    expect(warning).toMatchObject({ code: 'coarse-quantisation', layer: 'd', message: expect.stringContaining('uint16') });
    expect(await write(values, 'uint16')).toEqual([]);
    expect(await write(values.slice(1), 'uint8')).toEqual([]);
  });
});

it('holds no tensor: the 411 MB of fc6 pass through, turned around, in a fraction of that', async () => {
  const [out, channels, side] = [4096, 512, 7];
  const byteLength = out * channels * side * side * 4;
  let bytesRead = 0;
  const source: ByteSource = {
    name: 'endless',
    byteLength,
    read: async (start, end) => new Uint8Array(end - start),
    async readInto(_start, target) {
      bytesRead += target.byteLength;
      target.fill(1);
    },
    async close() {},
  };
  const kernel = storedTensor({ name: 'fc6', dtype: 'float32', shape: [out, channels * side * side], source, origin: { file: 'made' } });
  const map = {
    ...emptyMap,
    inputs: [{ name: 'x', value: 'x', dtype: 'float32' as const, shape: ['N', channels, side, side], layout: 'nchw' as const }],
    outputs: [{ name: 'y', value: 'y', dtype: 'float32' as const, shape: ['N', out], layout: 'other' as const }],
    layers: [
      makeLayer({ name: 'flat', op: 'Flatten', inputs: ['x'], outputs: ['f'] }),
      makeLayer({ name: 'fc6', op: 'Gemm', inputs: ['f'], outputs: ['y'], weights: { kernel } }),
    ],
  };
  const before = process.memoryUsage().rss;
  let [peak, written] = [0, 0];
  const take = async (bytes: Uint8Array) => {
    written += bytes.byteLength;
    if (written % 2 ** 20 < bytes.byteLength) peak = Math.max(peak, process.memoryUsage().rss - before);
  };
  const sink: ByteSink = {
    create: async (name) => ({ name, position: 0, write: take, writeAt: async (_at, bytes) => take(bytes), close: async () => {} }),
    commit: async () => [],
    abort: async () => {},
  };
  await tfjs.write(map, sink, 'model.json', { dtype: 'source', layout: 'source', metadata: async () => ({}) });
  expect(written).toBeGreaterThan(byteLength);
  expect(bytesRead).toBe(byteLength);
  expect(peak).toBeGreaterThan(0);
  expect(peak).toBeLessThan(byteLength / 3);
});

it('a wrong dtype is refused with those that there are', async () => {
  const options = { dtype: 'bfloat16', layout: 'source', metadata: async () => ({}) } as const;
  for (const writer of [tfjs, tfjsGraph])
    expect(await writer.check(emptyMap, options)).toMatchObject([{ kind: 'usage', problem: expect.stringContaining('uint16') }]);
});

it('an output of a layers model is never under the name of another', async () => {
  const port = (name: string, value: string) => ({ name, value, dtype: 'float32' as const, shape: ['N', 2], layout: 'other' as const });
  const map = {
    ...emptyMap,
    inputs: [port('x', 'x')],
    // As of a dictionary of outputs whose keys are each other's layers' names.
    outputs: [port('b', 'a'), port('a', 'b')],
    layers: [makeLayer({ name: 'a', op: 'Relu', inputs: ['x'], outputs: ['a'] }), makeLayer({ name: 'b', op: 'Sigmoid', inputs: ['x'], outputs: ['b'] })],
  };
  const sink = memorySink();
  await tfjs.write(map, sink, 'model.json', { dtype: 'source', layout: 'source', metadata: async () => ({}) });
  await sink.commit();
  const { modelTopology } = JSON.parse(new TextDecoder().decode(sink.files.get('model.json')));
  const ends = modelTopology.model_config.config.output_layers.map(([name]: [string]) => name);
  expect(ends).not.toContain('a');
  expect(ends).not.toContain('b');
  const [b, a] = await runTfjs('tfjs', sink.files, [{ shape: [1, 2], data: Float32Array.of(0, 3) }]);
  expect([...b!.data]).toEqual([0, 3]);
  expect(a!.data[0]).toBe(0.5);
});

it('a graph gives each of its outputs, although one has the name of the node that makes another', async () => {
  const port = (name: string, value: string) => ({ name, value, dtype: 'float32' as const, shape: ['N', 2], layout: 'other' as const });
  const doubled = (name: string, input: string) =>
    makeLayer({ name, op: 'Mul', inputs: [input], outputs: [name], weights: { operand: float32Tensor(`${name}/two`, [], [2], { file: 'made here' }) } });
  const map = {
    ...emptyMap,
    inputs: [port('x', 'x')],
    // As of a layer that is called three times, whose last call is shown first.
    outputs: [port('b', 'b/call_3'), port('b_1', 'b'), port('b_2', 'b/call_2')],
    layers: [doubled('b', 'x'), doubled('b/call_2', 'b'), doubled('b/call_3', 'b/call_2')],
  };
  const sink = memorySink();
  await tfjsGraph.write(map, sink, 'model.json', { dtype: 'source', layout: 'source', metadata: async () => ({}) });
  await sink.commit();
  const made = await runTfjs('tfjs-graph', sink.files, [{ shape: [1, 2], data: Float32Array.of(1, 3) }]);
  expect(made.map(({ data }) => [...data])).toEqual([
    [8, 24],
    [2, 6],
    [4, 12],
  ]);
});
