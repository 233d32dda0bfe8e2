/** Written ONNX files: valid by the official schema, loadable at every opset, right in every dtype and layout, the same bytes twice. */
import { join } from 'node:path';
import { onnx as schema } from 'onnx-proto';
import { describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { type ConvertOptions, convert } from '../../src/convert.js';
import { isModelError } from '../../src/errors.js';
import type { Layer, LayerMap } from '../../src/model/layer-map.js';
import { float32Tensor } from '../../src/model/tensor.js';
import { nodeFileSet } from '../../src/node/index.js';
import { onnx } from '../../src/writers/onnx/index.js';
import { DIGITS } from '../cli/run-cli.js';
import { readGolden } from '../golden.js';
import { convertInMemory, type Run, runOnnx } from '../run-onnx.js';

const OPSETS = [13, 14, 15, 16, 17, 18, 19, 20, 21];

async function digits(model: string, options: ConvertOptions = {}) {
  const files = await nodeFileSet(join(DIGITS, model));
  try {
    return await convertInMemory(files, options);
  } finally {
    await files.close();
  }
}

function largestDifference(a: Run, b: Run): number {
  expect(a.data.length).toBe(b.data.length);
  return a.data.reduce((max, value, i) => Math.max(max, Math.abs(value - b.data[i]!)), 0);
}

describe.each(['digits.h5', 'digits.pth', 'digits.caffemodel'])('%s', (model) => {
  const golden = { 'digits.h5': 'keras.npz', 'digits.pth': 'torch.npz', 'digits.caffemodel': 'caffe.npz' }[model]!;

  it.each(OPSETS)('at opset %i gives the recorded outputs, and says its opset', async (opset) => {
    const { bytes } = await digits(model, { opset });
    const decoded = schema.ModelProto.decode(bytes);
    expect(Number(decoded.opsetImport[0]!.version)).toBe(opset);
    const { input, output } = await readGolden(join(DIGITS, golden));
    const [actual] = [...(await runOnnx(bytes, [input])).values()];
    expect(largestDifference(actual!, output)).toBeLessThan(1e-4);
  });

  it('has every attribute of its convolutions and poolings, and metadata about its source', async () => {
    const { bytes } = await digits(model);
    const { graph, metadataProps, producerName } = schema.ModelProto.decode(bytes);
    expect(producerName).toBe('weighbridge');
    const facts = Object.fromEntries(metadataProps.map(({ key, value }) => [key, value]));
    expect(facts['weighbridge.source.files']).toContain(model);
    const names = (op: string) =>
      graph!
        .node!.filter(({ opType }) => opType === op)
        .map((node) =>
          node
            .attribute!.map(({ name }) => name)
            .sort()
            .join(),
        );
    expect(new Set(names('Conv'))).toEqual(new Set(['auto_pad,dilations,group,kernel_shape,pads,strides']));
    expect(names('MaxPool').every((list) => list.includes('ceil_mode') && list.includes('storage_order'))).toBe(true);
  });

  it.each([
    { dtype: 'float16', bound: 0.05 },
    { dtype: 'bfloat16', bound: 0.5 },
    { dtype: 'float16', float16Compute: true, bound: 0.2 },
  ])('in $dtype (compute: $float16Compute) stays near the recorded outputs, takes and gives float32', async ({ bound, ...options }) => {
    const { bytes } = await digits(model, options);
    const { input, output } = await readGolden(join(DIGITS, golden));
    const [actual] = [...(await runOnnx(bytes, [input])).values()];
    expect(largestDifference(actual!, output)).toBeLessThan(bound);
    const { graph } = schema.ModelProto.decode(bytes);
    expect(graph!.input![0]!.type!.tensorType!.elemType).toBe(schema.TensorProto.DataType.FLOAT);
    expect(graph!.output![0]!.type!.tensorType!.elemType).toBe(schema.TensorProto.DataType.FLOAT);
    const stored = graph!.initializer!.filter(({ dims }) => dims!.length === 4).map(({ dataType }) => dataType);
    expect(new Set(stored)).toEqual(new Set([options.dtype === 'float16' ? schema.TensorProto.DataType.FLOAT16 : schema.TensorProto.DataType.BFLOAT16]));
  });
});

it('keeps the layout of a channels-last source, or gives the other one when asked', async () => {
  const { input, output } = await readGolden(join(DIGITS, 'keras.npz'));
  const nchw = (await readGolden(join(DIGITS, 'torch.npz'))).input;
  for (const [layout, feed] of [
    ['source', input],
    ['nhwc', input],
    ['nchw', nchw],
  ] as const) {
    const { bytes } = await digits('digits.h5', { layout });
    const [actual] = [...(await runOnnx(bytes, [feed])).values()];
    expect(largestDifference(actual!, output)).toBeLessThan(1e-5);
  }
});

it('writes external data near each other, keeps small weights inline, and the weights are those of the inline model', async () => {
  const files = await nodeFileSet(join(DIGITS, 'digits.pth'));
  const sink = memorySink();
  await convert(files, sink, 'model.onnx', { externalData: true });
  await files.close();
  expect([...sink.files.keys()]).toEqual(['model.onnx', 'model.onnx.data']);
  const { graph } = schema.ModelProto.decode(sink.files.get('model.onnx')!);
  const inline = schema.ModelProto.decode((await digits('digits.pth')).bytes).graph!;
  for (const [i, tensor] of graph!.initializer!.entries()) {
    const expected = Buffer.from(inline.initializer![i]!.rawData!);
    const facts = Object.fromEntries(tensor.externalData!.map(({ key, value }) => [key, value]));
    if (expected.length < 1024) {
      expect(expected.equals(Buffer.from(tensor.rawData!))).toBe(true);
      continue;
    }
    expect(facts.location).toBe('model.onnx.data');
    expect(Number(facts.offset) % 64).toBe(0);
    const stored = sink.files.get('model.onnx.data')!.subarray(Number(facts.offset), Number(facts.offset) + Number(facts.length));
    expect(expected.equals(Buffer.from(stored))).toBe(true);
  }
  const both = [...sink.files.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
  expect(both).toBeLessThan((await digits('digits.pth')).bytes.byteLength * 1.02);
});

describe('weights beside the model', () => {
  const port = (name: string, shape: (number | string)[]) => ({ name, value: name, dtype: 'float32', shape, layout: 'other' }) as const;

  /** Two dense layers of four outputs, with so many weights. */
  async function written(small: number, large: number) {
    const dense = (name: string, input: string, size: number): Layer => {
      const kernel = float32Tensor(`${name}.k`, [4, size / 4], new Float32Array(size), { file: 'test' });
      return { name, op: 'Gemm', inputs: [input], outputs: [name], weights: { kernel }, attributes: {} };
    };
    const map: LayerMap = {
      name: 'net',
      format: 'test',
      producer: null,
      architecture: null,
      inputs: [port('x', ['N', small / 4]), port('y', ['N', large / 4])],
      outputs: [port('small', ['N', 4]), port('large', ['N', 4])],
      layers: [dense('small', 'x', small), dense('large', 'y', large)],
      warnings: [],
    };
    const sink = memorySink();
    await onnx.write(map, sink, 'model.onnx', { dtype: 'source', layout: 'source', externalData: true, metadata: async () => ({}) });
    await sink.commit();
    return sink.files;
  }

  it('lie at multiples of 64 KiB where runtimes map them', async () => {
    const { graph } = schema.ModelProto.decode((await written(2048, 2 ** 19)).get('model.onnx')!);
    const offsets = graph!.initializer!.map(({ externalData }) => Number(externalData!.find(({ key }) => key === 'offset')!.value));
    expect(offsets).toEqual([0, 65536]);
  });

  it('make no file where all are small', async () => {
    expect([...(await written(64, 128)).keys()]).toEqual(['model.onnx']);
  });
});

it('refuses an opset or dtype that it does not write', async () => {
  for (const options of [
    { opset: 12 },
    { opset: 99 },
    { dtype: 'uint8' },
    { dtype: 'bfloat16', float16Compute: true },
    { dtype: 'int8', float16Compute: true },
  ]) {
    const outcome = await digits('digits.pth', options).catch((error: unknown) => error);
    expect(isModelError(outcome, 'usage'), JSON.stringify(options)).toBe(true);
  }
});
