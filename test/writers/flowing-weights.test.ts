/** Kernels, factors and slopes that another layer makes: PyTorch takes them, formats that store all weights refuse them in words. */
import { describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import type { AttributeValue, LayerMap } from '../../src/model/layer-map.js';
import { inferShapes, makeLayer } from '../../src/model/ops/index.js';
import type { Tensor } from '../../src/model/tensor.js';
import { caffe } from '../../src/writers/caffe/index.js';
import { kerasV3 } from '../../src/writers/keras.js';
import { pytorch } from '../../src/writers/pytorch/index.js';
import type { Writer } from '../../src/writers/writer.js';
import { emptyMap, weight } from './onnx-cases.js';

const OPTIONS = { dtype: 'source', layout: 'source', metadata: async () => ({}) } as const;

/** A layer whose kernel is stored, where `stored` names its shape; everything else flows in. */
function netOf(
  op: string,
  shapes: readonly (readonly number[])[],
  stored: readonly number[] | null,
  attributes: Record<string, AttributeValue> = {},
): LayerMap {
  const inputs = shapes.map((shape, i) => ({ name: `in${i}`, value: `in${i}`, dtype: 'float32' as const, shape, layout: 'other' as const }));
  const weights: Record<string, Tensor> = stored ? { kernel: weight('kernel', stored) } : {};
  const layers = [makeLayer({ name: 'it', op, inputs: inputs.map(({ value }) => value), outputs: ['y'], attributes, weights }, shapes)];
  const shape = inferShapes(layers, new Map(inputs.map(({ value, shape }) => [value, shape]))).get('y')!;
  return { ...emptyMap, inputs, layers, outputs: [{ name: 'y', value: 'y', dtype: 'float32', shape, layout: 'other' }] };
}

const IMAGE = [2, 3, 5, 6];
const channels = Array.from({ length: 4 }, () => [3]);
const CASES: readonly (readonly [what: string, map: LayerMap, used: RegExp])[] = [
  ['the kernel of a Conv', netOf('Conv', [IMAGE, [4, 3, 2, 2]], null, { kernel_shape: [2, 2] }), /F\.conv2d\(in0, in1, None/],
  ['the bias of a Conv', netOf('Conv', [IMAGE, [4]], [4, 3, 2, 2], { kernel_shape: [2, 2] }), /F\.conv2d\(in0, .*kernel"\), in1/],
  ['the bias of a ConvTranspose', netOf('ConvTranspose', [IMAGE, [4]], [3, 4, 2, 2], { kernel_shape: [2, 2] }), /F\.conv_transpose2d\(in0, .*kernel"\), in1/],
  ['the bias of a Gemm', netOf('Gemm', [[2, 3], [4]], [4, 3]), /F\.linear\(in0, .*kernel"\), in1/],
  ['factors of a BatchNormalization', netOf('BatchNormalization', [IMAGE, ...channels], null), /F\.batch_norm\(in0, in3, in4, in1, in2/],
  ['the slope of a PRelu', netOf('PRelu', [IMAGE, [3, 1, 1]], null), /in0 \* in1/],
];

const saidBy = async (writer: Writer, map: LayerMap) => (await writer.check(map, OPTIONS)).map(({ problem }) => problem).join('; ');

describe.each(CASES)('%s', (_, map, used) => {
  it('is used by a module of PyTorch', async () => {
    expect(await saidBy(pytorch, map)).toBe('');
    const sink = memorySink();
    await pytorch.write(map, sink, 'model.pth', OPTIONS);
    await sink.commit();
    expect(new TextDecoder().decode(sink.files.get('model.py')!)).toMatch(used);
  });

  it('is refused for Caffe and Keras', async () => {
    expect(await saidBy(caffe, map)).toContain('with weights that flow in');
    expect(await saidBy(kerasV3, map)).toContain('from another layer');
  });
});

it('bounds of a Clip, and gaps in an average, are not left out of a module', async () => {
  const clip = netOf('Clip', [IMAGE, [], []], null);
  const sink = memorySink();
  await pytorch.write(clip, sink, 'model.pth', OPTIONS);
  await sink.commit();
  expect(new TextDecoder().decode(sink.files.get('model.py')!)).toContain('in0.clamp(min=in1).clamp(max=in2)');
  expect(await saidBy(pytorch, netOf('AveragePool', [IMAGE], null, { kernel_shape: [2, 2], dilations: [2, 2] }))).toContain('dilations 2,2');
});
