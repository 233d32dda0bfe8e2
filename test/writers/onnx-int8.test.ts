/** ONNX files with int8 weights: what they hold is worked out anew here, and ONNX Runtime must compute with it. */
import { join } from 'node:path';
import { onnx as schema } from 'onnx-proto';
import { describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { convert } from '../../src/convert.js';
import { inspect } from '../../src/inspect.js';
import type { LayerMap } from '../../src/model/layer-map.js';
import { makeLayer } from '../../src/model/ops/index.js';
import { elementCount, float32Tensor, permute, type Tensor, tensorBytes } from '../../src/model/tensor.js';
import { nodeFileSet } from '../../src/node/index.js';
import { ortWasm } from '../../src/verify/engines/ort-wasm.js';
import { referenceSession } from '../../src/verify/reference/session.js';
import { onnx } from '../../src/writers/onnx/index.js';
import { DIGITS, temporaryFolder, weighbridge } from '../cli/run-cli.js';
import { readGolden } from '../golden.js';
import { convertInMemory, runOnnx } from '../run-onnx.js';
import { caseInputs, caseMap, emptyMap, OP_CASES, weight } from './onnx-cases.js';

const OPTIONS = { dtype: 'int8', layout: 'source', metadata: async () => ({}) } as const;
const INT8 = schema.TensorProto.DataType.INT8;
const { FLOAT } = schema.TensorProto.DataType;

/** Axis of the scales, counted in the layer map's orientation. */
const AXES: Readonly<Record<string, number>> = { Conv: 0, ConvTranspose: 1, Gemm: 0, MatMul: 1, Gather: 0 };
const QUANTISED = OP_CASES.filter(({ op, weights }) => op in AXES && Object.keys(weights).length > 0);

async function write(map: LayerMap, opset = 17): Promise<Uint8Array> {
  const sink = memorySink();
  expect(await onnx.check(map, { ...OPTIONS, opset })).toEqual([]);
  await onnx.write(map, sink, 'model.onnx', { ...OPTIONS, opset });
  await sink.commit();
  return sink.files.get('model.onnx')!;
}

async function valuesOf(tensor: Tensor): Promise<Float32Array> {
  return new Float32Array((await tensorBytes(tensor)).slice().buffer);
}

/** A weight's nearest multiples of a 127th of its channel's largest magnitude, in plain arithmetic. */
async function plainRounding(tensor: Tensor, axis: number): Promise<Tensor> {
  const values = await valuesOf(tensor);
  const inner = elementCount(tensor.shape.slice(axis + 1));
  const channelOf = (i: number) => Math.floor(i / inner) % tensor.shape[axis]!;
  const largest = new Array<number>(tensor.shape[axis]!).fill(0);
  values.forEach((value, i) => {
    largest[channelOf(i)] = Math.max(largest[channelOf(i)]!, Math.abs(value));
  });
  const rounded = values.map((value, i) => {
    const scale = Math.fround(largest[channelOf(i)]! / 127);
    return scale === 0 ? 0 : Math.round(value / scale) * scale;
  });
  return float32Tensor(tensor.name, tensor.shape, rounded, tensor.origin);
}

async function roundedMap(map: LayerMap): Promise<LayerMap> {
  const layers = await Promise.all(
    map.layers.map(async (layer) => {
      const [role, tensor] = Object.entries(layer.weights)[0]!;
      return { ...layer, weights: { ...layer.weights, [role]: await plainRounding(tensor, AXES[layer.op]!) } };
    }),
  );
  return { ...map, layers };
}

it('quantises a case of every operator that has a kernel or a table', () => {
  expect([...new Set(QUANTISED.map(({ op }) => op))].sort()).toEqual(Object.keys(AXES).sort());
});

describe.each([13, 17, 21])('opset %i', (opset) => {
  it.each(QUANTISED)('$title computes with its kernel rounded per output channel', async (case_) => {
    const map = caseMap(case_);
    const bytes = await write(map, opset);
    const [node] = schema.ModelProto.decode(bytes).graph!.node!.filter(({ opType }) => opType === 'DequantizeLinear');
    const attributes = Object.fromEntries(node!.attribute!.map(({ name, i }) => [name, Number(i)]));
    expect(attributes).toEqual({ axis: AXES[case_.op], ...(opset < 21 ? {} : { block_size: 0 }) });
    const inputs = caseInputs(case_);
    const [actual] = [...(await runOnnx(bytes, inputs)).values()];
    const wasm = await ortWasm.open({ files: memoryFileSet({ 'model.onnx': bytes }, 'model.onnx') });
    const [other] = [...(await wasm.run(new Map(inputs.map((input, i) => [`x${i}`, input])))).values()];
    await wasm.close();
    const session = await referenceSession(await roundedMap(map));
    const [expected] = [...(await session.run(new Map(inputs.map((input, i) => [`x${i}`, input])))).values()];
    const scale = Math.max(...Array.from(expected!.data as Float64Array, Math.abs));
    for (const { data } of [actual!, other!]) {
      expect(data.length).toBe(expected!.data.length);
      const worst = (data as Float32Array).reduce((max, value, i) => Math.max(max, Math.abs(value - (expected!.data[i] as number))), 0);
      expect(worst / scale).toBeLessThan(1e-5);
    }
  });
});

describe.each(['digits.h5', 'digits.pth', 'digits.caffemodel'])('%s', (model) => {
  const golden = { 'digits.h5': 'keras.npz', 'digits.pth': 'torch.npz', 'digits.caffemodel': 'caffe.npz' }[model]!;
  const load = async (options = {}) => {
    const files = await nodeFileSet(join(DIGITS, model));
    return convertInMemory(files, { dtype: 'int8', ...options }).finally(() => files.close());
  };

  it('has int8 kernels behind DequantizeLinear, float32 biases, inputs and outputs, and the same bytes each time', async () => {
    const { bytes, result } = await load();
    const { graph } = schema.ModelProto.decode(bytes);
    const types = new Map(graph!.initializer!.map(({ name, dataType }) => [name!, dataType]));
    const turned = new Map(graph!.node!.filter(({ opType }) => opType === 'DequantizeLinear').map((node) => [node.output![0]!, node.input!]));
    const apart = new Map(graph!.node!.filter(({ opType }) => opType === 'Flatten').map((node) => [node.output![0]!, node.input![0]!]));
    const layers = graph!.node!.filter(({ opType }) => opType === 'Conv' || opType === 'Gemm');
    expect(layers).toHaveLength(9);
    for (const { input } of layers) {
      expect(turned.get(apart.get(input![1]!) ?? input![1]!)!.map((name) => types.get(name))).toEqual([INT8, FLOAT]);
      expect(types.get(input![2]!)).toBe(FLOAT);
    }
    expect([graph!.input![0]!, graph!.output![0]!].map(({ type }) => type!.tensorType!.elemType)).toEqual([FLOAT, FLOAT]);
    expect(result.warnings.filter(({ code }) => code === 'overflow' || code === 'underflow')).toEqual([]);
    expect(Buffer.compare((await load()).bytes, bytes)).toBe(0);
  });

  it('computes each layer from its own weights in float32: ONNX Runtime rounds no activation', () => {
    const output = join(temporaryFolder(), 'q.onnx');
    const { status, stdout } = weighbridge(['convert', join(DIGITS, model), '-o', output, '--dtype', 'int8', '--layers', '--json']);
    expect(status).toBe(0);
    const { layers } = JSON.parse(stdout).report;
    expect(layers.length).toBeGreaterThan(20);
    for (const { layer, relativeToScale } of layers) expect(relativeToScale, layer).toBeLessThan(1e-5);
  });

  it('predicts what was recorded, in both builds of ONNX Runtime and with external data', async () => {
    const { input, output } = await readGolden(join(DIGITS, golden));
    const { bytes } = await load();
    const [cpu] = [...(await runOnnx(bytes, [input])).values()];
    const session = await ortWasm.open({ files: memoryFileSet({ 'model.onnx': bytes }, 'model.onnx') });
    const [wasm] = [...(await session.run(new Map([[session.inputs[0]!.name, input]]))).values()];
    await session.close();
    for (const data of [cpu!.data, wasm!.data as Float32Array]) {
      expect(data.length).toBe(output.data.length);
      const scale = Math.max(...output.data.map(Math.abs));
      expect(output.data.reduce((max, value, i) => Math.max(max, Math.abs(value - data[i]!)), 0) / scale).toBeLessThan(0.05);
    }
    const sink = memorySink();
    const files = await nodeFileSet(join(DIGITS, model));
    await convert(files, sink, 'model.onnx', { dtype: 'int8', externalData: true });
    await files.close();
    const { graph } = schema.ModelProto.decode(sink.files.get('model.onnx')!);
    expect(graph!.initializer!.filter(({ dataType, externalData }) => dataType === INT8 && externalData!.length > 0).length).toBeGreaterThan(3);
  });

  it('shows its int8 tensors and their scales when inspected', async () => {
    const { bytes } = await load();
    const { tensors } = await inspect(memoryFileSet({ 'model.onnx': bytes }, 'model.onnx'));
    expect(tensors.filter(({ dtype }) => dtype === 'int8')).toHaveLength(9);
    expect(tensors.filter(({ name }) => name.endsWith('/scale')).map(({ shape }) => shape[0])).toEqual([12, 12, 24, 24, 32, 32, 48, 48, 10]);
  });
});

function twoLayers(op: 'Conv' | 'Gemm', kernel: Tensor, second: Tensor = kernel): LayerMap {
  const layer = (name: string, input: string, weights: Tensor) =>
    makeLayer({ name, op, inputs: [input], outputs: [name], attributes: {}, weights: { kernel: weights } });
  const port = (name: string, value: string, shape: readonly number[]) => ({ name, value, dtype: 'float32' as const, shape, layout: 'other' as const });
  const shape = op === 'Gemm' ? [1, 3] : [1, 3, 4, 4];
  return { ...emptyMap, inputs: [port('x', 'x', shape)], outputs: [port('y', 'two', shape)], layers: [layer('one', 'x', kernel), layer('two', 'one', second)] };
}

it('stores a kernel that two layers share once, with one set of scales', async () => {
  const { graph } = schema.ModelProto.decode(await write(twoLayers('Gemm', weight('shared', [3, 3]))));
  expect(graph!.initializer!.map(({ name }) => name)).toEqual(['shared', 'shared/scale']);
  expect(graph!.node!.filter(({ opType }) => opType === 'DequantizeLinear')).toHaveLength(1);
});

it('puts the scales of a dense kernel that is kept as [in, out] on its second axis', async () => {
  const stored = weight('kernel', [3, 3], [1, 20, 300, -2, 30, 100, 0.5, -25, 50]);
  const bytes = await write(twoLayers('Gemm', permute(stored, [1, 0])));
  const { graph } = schema.ModelProto.decode(bytes);
  const node = graph!.node!.find(({ opType }) => opType === 'DequantizeLinear')!;
  expect(Number(node.attribute![0]!.i)).toBe(1);
  const [codes, scales] = graph!.initializer!.map(({ rawData }) => rawData!.slice());
  expect([...new Int8Array(codes!.buffer)]).toEqual([64, 85, 127, -127, 127, 42, 32, -106, 21]);
  expect([...new Float32Array(scales!.buffer)]).toEqual([2, 30, 300].map((largest) => Math.fround(largest / 127)));
});

it('refuses weights that are not finite, naming layer and tensor', async () => {
  const kernel = weight('w', [3, 3], [1, 2, 3, Number.NaN, 5, 6, 7, 8, 9]);
  const error = await write(twoLayers('Gemm', kernel)).catch((caught) => caught);
  expect(error).toMatchObject({ kind: 'unsupported', place: { layer: 'one', tensor: 'w', file: 'made.h5' } });
});
