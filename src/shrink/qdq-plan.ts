/**
 * Which layers of a net can compute in 8 bits, and which values therefore flow as codes: what ONNX Runtime takes together where
 * QuantizeLinear and DequantizeLinear stand around it.
 *
 * A value that flows as codes does so for all who read it, behind the activation that follows its layer: a ReLU, or a clip, is no more than where
 * the codes end. What the net gives stays float32.
 *
 * @see https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
 */
import type { Layer, LayerMap } from '../model/layer-map.js';
import { inferMap, makersOf, readersOf } from '../model/ops/index.js';

export interface QdqPlan {
  /** Kernels of these become int8, and biases int32. */
  readonly products: readonly Layer[];
  /** Others that compute in 8 bits. */
  readonly others: readonly Layer[];
  /** Values that flow as codes, in running order, and the value whose codes they share: their own, but where a layer only moves what it reads. */
  readonly coded: ReadonlyMap<string, string>;
}

const PRODUCTS: ReadonlySet<string> = new Set(['Conv', 'Gemm', 'MatMul']);
/** A product of these that is not read in 8 bits need not end in codes. */
const ENDS_IN_FLOAT: ReadonlySet<string> = new Set(['Gemm', 'MatMul']);
const JOINS: ReadonlySet<string> = new Set(['Add', 'Mul', 'Concat']);
/** Worked out of one value that has been coded. */
const UNARY: ReadonlySet<string> = new Set(['AveragePool', 'GlobalAveragePool', 'LeakyRelu', 'Sigmoid']);
/** These give what they read, in another order or a part of it. */
const MOVES: ReadonlySet<string> = new Set(['MaxPool', 'Flatten', 'Reshape', 'Transpose', 'Squeeze', 'Unsqueeze']);
const ACTIVATIONS: ReadonlySet<string> = new Set(['Relu', 'Clip']);

/**
 * The net with zeros that are put around a picture taken into the convolution that alone reads it: between the two, codes would be turned into float32
 * and back.
 */
export function withPadsMerged(map: LayerMap): LayerMap {
  const shown = new Set(map.outputs.map(({ value }) => value));
  const readers = readersOf(map.layers);
  const merged = new Map<Layer, Layer>();
  const gone = new Set<Layer>();
  for (const pad of map.layers) {
    const [value = ''] = pad.outputs;
    const [conv, ...others] = readers.get(value) ?? [];
    const around = pad.op === 'Pad' && pad.inputs.length === 1 ? spatialPads(pad) : null;
    if (!around || !conv || conv.op !== 'Conv' || conv.inputs[0] !== value || others.length > 0 || shown.has(value)) continue;
    const mode = conv.attributes.auto_pad;
    if (mode !== 'NOTSET' && mode !== 'VALID') continue;
    const own = mode === 'VALID' ? around.map(() => 0) : (conv.attributes.pads as readonly number[]);
    const pads = own.map((size, i) => size + around[i]!);
    merged.set(conv, { ...conv, inputs: [pad.inputs[0]!, ...conv.inputs.slice(1)], attributes: { ...conv.attributes, auto_pad: 'NOTSET', pads } });
    gone.add(pad);
  }
  return gone.size === 0 ? map : { ...map, layers: map.layers.filter((layer) => !gone.has(layer)).map((layer) => merged.get(layer) ?? layer) };
}

/** Before and behind each spatial axis; null where it pads with anything but zeros, or other axes, or cuts. */
function spatialPads({ attributes: { mode, pads, value } }: Layer): readonly number[] | null {
  if (mode !== 'constant' || (value !== undefined && value !== 0) || !Array.isArray(pads)) return null;
  const sizes = pads as readonly number[];
  const rank = sizes.length / 2;
  const outer = [0, 1, rank, rank + 1].every((place) => sizes[place] === 0);
  if (!outer || sizes.some((size) => size < 0)) return null;
  return [...sizes.slice(2, rank), ...sizes.slice(rank + 2)];
}

export function planQdq(map: LayerMap): QdqPlan {
  const types = inferMap(map);
  const isFloat = (value: string) => types.get(value)?.dtype === 'float32';
  const shown = new Set(map.outputs.map(({ value }) => value));
  const readers = readersOf(map.layers);
  const makers = makersOf(map.layers);
  const coded = new Map<string, string>();
  const active = new Set<Layer>();
  const code = (value: string) => {
    if (!coded.has(value)) coded.set(value, value);
  };
  /** Where what a layer makes is coded: behind the activation that alone reads it. */
  const end = (value: string) => {
    const [next, ...others] = readers.get(value) ?? [];
    const isPlain = next && others.length === 0 && ACTIVATIONS.has(next.op) && next.inputs.length === 1 && !shown.has(value);
    return isPlain ? next.outputs[0]! : value;
  };
  for (const layer of map.layers) {
    const [input = '', ...more] = layer.inputs;
    const [output = ''] = layer.outputs;
    if (layer.foreign || layer.outputs.length !== 1 || !isFloat(output) || !layer.inputs.every(isFloat)) continue;
    const isProduct = PRODUCTS.has(layer.op) && layer.weights.kernel !== undefined && more.length === 0 && isFlat(layer);
    const isJoin = JOINS.has(layer.op) && more.length > 0 && Object.keys(layer.weights).length === 0 && layer.inputs.some((value) => coded.has(value));
    if (isProduct || isJoin) for (const value of layer.inputs) code(value);
    else if (!(UNARY.has(layer.op) || MOVES.has(layer.op)) || more.length > 0 || !coded.has(input)) continue;
    active.add(layer);
    if (MOVES.has(layer.op)) coded.set(output, coded.get(input)!);
    else if (!shown.has(end(output))) code(end(output));
  }
  // What is coded for nobody: a dense layer that a softmax reads, a flattening that nothing behind it takes in codes.
  for (const layer of map.layers.toReversed()) {
    if (!active.has(layer) || !(MOVES.has(layer.op) || ENDS_IN_FLOAT.has(layer.op))) continue;
    const value = MOVES.has(layer.op) ? layer.outputs[0]! : end(layer.outputs[0]!);
    if ((readers.get(value) ?? []).some((reader) => active.has(reader))) continue;
    coded.delete(value);
    if (MOVES.has(layer.op)) active.delete(layer);
  }
  const products = map.layers.filter((layer) => active.has(layer) && PRODUCTS.has(layer.op));
  const order = new Map(map.layers.map((layer, place) => [layer, place]));
  const place = (value: string) => order.get(makers.get(value)!) ?? -1;
  return {
    products,
    others: map.layers.filter((layer) => active.has(layer) && !PRODUCTS.has(layer.op)),
    coded: new Map([...coded].sort(([a], [b]) => place(a) - place(b))),
  };
}

/** Whether it is one that ONNX Runtime computes in 8 bits: by windows, or rows, with a bias for each channel. */
function isFlat({ op, weights: { kernel, bias } }: Layer): boolean {
  const channels = kernel!.shape[0]!;
  return (op === 'Conv' || kernel!.shape.length === 2) && (!bias || (bias.shape.length === 1 && bias.shape[0] === channels));
}
