/** Weights of TensorFlow.js files, turned into the layer map's orientation; shared by both forms. */
import { toFloat64Array } from '../../model/cast.js';
import { DTYPE_BYTES, isFloatDType } from '../../model/dtype.js';
import type { Layer } from '../../model/layer-map.js';
import { computedTensor, elementCount, permute, reshape, sliceAxis, type Tensor, tensorBytes } from '../../model/tensor.js';
import type { ManifestWeight } from '../../readers/tfjs/weights.js';
import type { FeatureOrder, LayerFacts, TfjsNotes } from './tfjs-notes.js';
import type { WrittenModel, WrittenWeight } from './written.js';

/** A weight of the file, or one of the parts of a grouped one. */
export interface FoundWeight {
  readonly weight: ManifestWeight;
  /** A kernel [...window, channels, multiplier], whose axes are other ones than a convolution's. */
  readonly depthwise?: boolean;
  /** Stored as its negative. */
  readonly negated?: boolean;
}

/** A file as its notes describe it. @param find the parts of a layer's weight, in order */
export function notedModel(format: string, notes: TfjsNotes, find: (layer: Layer, role: string) => FoundWeight[]): WrittenModel {
  return {
    format,
    isOurs: notes.isOurs,
    claims: notes.claims,
    channelsLast: true,
    layoutOf: (port, shown) => notes.layoutOf(port, shown),
    weight: (layer, role) => orientWeight(layer, role, find(layer, role), notes.layer(layer.name)),
    valueOf(layer) {
      const { node, shown } = notes.layer(layer.name);
      return shown ? node : undefined;
    },
    orderOf: (layer) => notes.layer(layer.name).order ?? undefined,
  };
}

const CONVOLUTIONS: ReadonlySet<string> = new Set(['Conv', 'ConvTranspose', 'DeformConv']);

/** @param parts in order; several where groups have kernels of their own */
function orientWeight(layer: Layer, role: string, parts: readonly FoundWeight[], facts: LayerFacts): WrittenWeight | undefined {
  const [first] = parts;
  if (!first) return undefined;
  const wanted = layer.weights[role]!.shape;
  const oriented = parts.map((part) => orient(layer, role, part, facts));
  const tensor = oriented.length === 1 ? oriented[0]! : joined(oriented);
  const { quantisation } = first.weight;
  const fits = elementCount(tensor.shape) === elementCount(wanted);
  return {
    tensor: fits ? reshape(tensor, wanted) : tensor,
    ...(quantisation ? { quantisation: { kind: 'affine', scale: quantisation.scale, min: quantisation.min } } : {}),
  };
}

function orient(layer: Layer, role: string, { weight, depthwise, negated }: FoundWeight, { features, order }: LayerFacts): Tensor {
  const tensor = weight.stored;
  const rank = tensor.shape.length;
  const window = Array.from({ length: Math.max(0, rank - 2) }, (_, axis) => axis);
  if (role === 'kernel' && CONVOLUTIONS.has(layer.op) && rank > 2) {
    // [channels, multiplier, ...window] is [out, 1, ...window] once the first two are merged.
    if (depthwise) return permute(tensor, [rank - 2, rank - 1, ...window]);
    return permute(tensor, [rank - 1, rank - 2, ...window]);
  }
  if (role === 'kernel' && layer.op === 'Gemm' && rank === 2) {
    const turned = permute(tensor, [1, 0]);
    return features ? fromFileOrder(turned, 1, features) : turned;
  }
  if (role === 'kernel' && layer.op === 'MatMul') return features ? fromFileOrder(tensor, 0, features) : tensor;
  if (role === 'operand' || role === 'slope') return spread(negated ? negatedTensor(tensor) : tensor, layer.weights[role]!.shape, order, features);
  return features && layer.op === 'BatchNormalization' ? fromFileOrder(tensor, 0, features) : tensor;
}

/** What broadcasts to a value: its axes lie as the value's do, which has its channels last where nothing else is said. */
function spread(tensor: Tensor, wanted: readonly number[], order: readonly number[] | null, features: FeatureOrder | null): Tensor {
  const count = elementCount(wanted);
  if (features && count > 1) return fromFileOrder(reshape(tensor, [elementCount(tensor.shape)]), 0, features);
  const flat = elementCount(tensor.shape);
  if (count === 1 && flat > 1) return sliceAxis(reshape(tensor, [flat]), 0, 0, 1);
  if (flat !== count || tensor.shape.filter((size) => size !== 1).length < 2) return tensor;
  // Several axes: put the leading ones back that were left out, then turn.
  const turned = (rank: number) => {
    const full = reshape(tensor, [...new Array<number>(Math.max(0, rank - tensor.shape.length)).fill(1), ...tensor.shape]);
    const axes = order ?? [0, ...Array.from({ length: rank - 2 }, (_, i) => i + 2), 1];
    return permute(
      full,
      axes.map((_, axis) => axes.indexOf(axis)),
    );
  };
  const rank = order?.length ?? Math.max(wanted.length, tensor.shape.length + (tensor.shape.length < wanted.length || tensor.shape[0] !== 1 ? 1 : 0));
  const made = turned(rank);
  // What has a batch of its own lacks no axis.
  if (order || rank === wanted.length || isSameShape(made.shape, wanted)) return made;
  const whole = turned(wanted.length);
  return isSameShape(whole.shape, wanted) ? whole : made;
}

/** But for axes of one at the front. */
function isSameShape(a: readonly number[], b: readonly number[]): boolean {
  const inner = (shape: readonly number[]) =>
    shape
      .slice(
        Math.max(
          0,
          shape.findIndex((size) => size !== 1),
        ),
      )
      .join();
  return inner(a) === inner(b);
}

/** An axis whose elements are in the file's order, in the map's. */
function fromFileOrder(tensor: Tensor, axis: number, { sizes, order }: FeatureOrder): Tensor {
  if (elementCount(sizes) !== tensor.shape[axis]) return tensor;
  const [before, after] = [tensor.shape.slice(0, axis), tensor.shape.slice(axis + 1)];
  const split = reshape(tensor, [...before, ...sizes, ...after]);
  const moved = order.map((_, mapAxis) => axis + order.indexOf(mapAxis));
  return reshape(permute(split, [...before.keys(), ...moved, ...after.map((_, i) => axis + order.length + i)]), tensor.shape);
}

/** Parts along their first axis. */
function joined(parts: readonly Tensor[]): Tensor {
  const [first] = parts;
  const rows = parts.reduce((sum, { shape }) => sum + shape[0]!, 0);
  const shape = [rows, ...first!.shape.slice(1)];
  return computedTensor(first!.name, first!.dtype, shape, first!.origin, async () => {
    const all = new Uint8Array(elementCount(shape) * DTYPE_BYTES[first!.dtype]);
    let at = 0;
    for (const part of parts) {
      const bytes = await tensorBytes(part);
      all.set(bytes.subarray(0, all.byteLength - at), at);
      at += bytes.byteLength;
    }
    return all;
  });
}

/** The negative of a weight, in the dtype that it is stored in; of codes, in float32. */
export function negatedTensor(tensor: Tensor): Tensor {
  const { name, dtype, shape, origin } = tensor;
  if (!isFloatDType(dtype)) {
    return computedTensor(name, 'float32', shape, origin, async () => {
      const values = Float32Array.from(toFloat64Array(await tensorBytes(tensor), dtype), (value) => -value);
      return new Uint8Array(values.buffer);
    });
  }
  return computedTensor(name, dtype, shape, origin, async () => {
    const bytes = Uint8Array.from(await tensorBytes(tensor));
    const size = DTYPE_BYTES[dtype];
    // The sign is the first bit of the last byte.
    for (let last = size - 1; last < bytes.length; last += size) bytes[last]! ^= 0x80;
    return bytes;
  });
}
