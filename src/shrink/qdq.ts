/**
 * A net that computes in 8 bits: QuantizeLinear and DequantizeLinear around the values that flow as codes, kernels in int8 with a step for each
 * channel, biases in int32 in the steps of their products. Ranges come from inputs that mean something.
 *
 * Kernels of large products use half of the codes, -64 to 64: processors with AVX2 or AVX-512 and without VNNI add two products of 8 bits in 16, and
 * more would overflow there, silently. Depthwise kernels, which no such instruction multiplies, use all.
 *
 * @see https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html, "When and why do I need to try U8U8?"
 */
import { castTensor, toFloat64Array } from '../model/cast.js';
import type { Layer, LayerMap } from '../model/layer-map.js';
import { type Names, namesIn } from '../model/names.js';
import { numbersTensor } from '../model/numbers.js';
import { makeLayer } from '../model/ops/index.js';
import { dequantiseChannels, quantiseChannels } from '../model/quantise.js';
import { constantTensor, elementCount, float32Tensor, type Origin, type Tensor, tensorBytes } from '../model/tensor.js';
import { channelAxis } from '../writers/large-weights.js';
import { INT8_MAX, spreadOf } from './coded.js';
import type { QdqPlan } from './qdq-plan.js';
import type { ActivationCodes } from './ranges.js';
import { standIn } from './stand-in.js';

const ORIGIN: Origin = { file: 'weighbridge' };
const SAFE_MAX = 64;
/** Biases stay this far below the largest int32, so that sums of products have room. */
const BIAS_MAX = 2 ** 30;

/** @param codes of each value that has its own */
export async function withQdq(map: LayerMap, plan: QdqPlan, codes: ReadonlyMap<string, ActivationCodes>): Promise<LayerMap> {
  const names = namesIn(map);
  const constants = new Map<string, { readonly inputs: readonly string[]; readonly layers: readonly Layer[] }>();
  const decoded = new Map<string, string>();
  const pairs = new Map<string, readonly Layer[]>();
  for (const [value, owner] of plan.coded) {
    const known = constants.get(owner);
    const { inputs, layers } = known ?? constantsOf(owner, codes.get(owner)!, names);
    constants.set(owner, { inputs, layers });
    const [quantised, plain] = [names.take(`${value}/quantized`), names.take(`${value}/dequantized`)];
    pairs.set(value, [
      ...(known ? [] : layers),
      makeLayer(
        { name: names.take(`${value}/quantize`), op: 'QuantizeLinear', inputs: [value, ...inputs], outputs: [quantised], weights: {}, attributes: {} },
        [],
      ),
      makeLayer(
        { name: names.take(`${value}/dequantize`), op: 'DequantizeLinear', inputs: [quantised, ...inputs], outputs: [plain], weights: {}, attributes: {} },
        [],
      ),
    ]);
    decoded.set(value, plain);
  }
  const made = new Map<Layer, Layer>();
  for (const layer of plan.products) made.set(layer, { ...layer, weights: await codedProduct(layer, codes.get(plan.coded.get(layer.inputs[0]!)!)!) });
  const layers = map.inputs.flatMap(({ value }) => pairs.get(value) ?? []);
  for (const layer of map.layers) {
    layers.push({ ...(made.get(layer) ?? layer), inputs: layer.inputs.map((value) => decoded.get(value) ?? value) });
    for (const value of layer.outputs) layers.push(...(pairs.get(value) ?? []));
  }
  return { ...map, layers };
}

function constantsOf(value: string, { dtype, scale, zero }: ActivationCodes, names: Names) {
  const constant = (suffix: string, tensor: Tensor): Layer => {
    const name = names.take(`${value}/${suffix}`);
    return makeLayer({ name, op: 'Constant', inputs: [], outputs: [name], weights: { value: tensor }, attributes: {} }, []);
  };
  const layers = [
    constant('scale', float32Tensor('scale', [], [scale], ORIGIN)),
    constant('zero_point', numbersTensor('zero_point', dtype, [], [zero], ORIGIN)),
  ];
  return { layers, inputs: layers.map(({ outputs }) => outputs[0]!) };
}

/** Kernel and bias of a layer that reads codes. */
async function codedProduct(layer: Layer, { scale }: ActivationCodes): Promise<Layer['weights']> {
  const { kernel, bias, ...rest } = layer.weights as { kernel: Tensor; bias?: Tensor };
  const axis = channelAxis(layer, 'kernel')!;
  const most = isDepthwise(layer) ? INT8_MAX : SAFE_MAX;
  const { largest } = await spreadOf(kernel, axis, 'channels');
  const biases = bias && toFloat64Array(await tensorBytes(bias), bias.dtype);
  const each = (c: number) => Math.abs(biases?.[biases.length === 1 ? 0 : c] ?? 0);
  const steps = Float32Array.from(largest, (value, c) => {
    const step = Math.fround(Math.max(value / most, each(c) / (scale * BIAS_MAX)));
    return step > 0 ? step : 1;
  });
  const original = kernel.replaces?.tensor ?? kernel;
  const codes = quantiseChannels(kernel, axis, steps);
  // ONNX Runtime takes a Gemm together with codes only where their zero is stated.
  const made = standIn(
    original,
    dequantiseChannels(codes, axis, steps, new Int8Array(steps.length)),
    `int8 in ${most === INT8_MAX ? 'all levels' : 'half of the levels'}`,
  );
  return { ...rest, kernel: made, ...(bias ? { bias: codedBias(bias, biases!, steps, scale) } : {}) };
}

function codedBias(bias: Tensor, values: Float64Array, steps: Float32Array, scale: number): Tensor {
  const scales = steps.map((step) => step * scale);
  const count = elementCount(bias.shape);
  const codes = Int32Array.from({ length: steps.length }, (_, c) => Math.round(values[count === 1 ? 0 : c]! / scales[c]!));
  const stored = constantTensor(bias.name, 'int32', [steps.length], new Uint8Array(codes.buffer), bias.origin);
  return standIn(bias.replaces?.tensor ?? castTensor(bias, 'float32'), dequantiseChannels(stored, 0, scales), 'int32, in steps of its products');
}

export function isDepthwise({ op, weights, attributes }: Layer): boolean {
  const kernel = weights.kernel;
  return op === 'Conv' && kernel?.shape[1] === 1 && Number(attributes.group ?? 1) === kernel.shape[0] && kernel.shape[0]! > 1;
}
