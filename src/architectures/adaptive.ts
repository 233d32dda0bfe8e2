/** Resampling over known sizes, exactly: torchvision's AdaptiveAvgPool2d, where each output is the mean of its own window, and interpolation. */
import { adaptiveMeans, type Matrix, plainPooling } from '../model/adaptive.js';
import { numbersTensor } from '../model/numbers.js';
import type { Net, Value } from './net.js';
import { sizeOf } from './net.js';

export function adaptivePool(net: Net, x: Value, outH: number, outW: number): Value {
  const sizes = [sizeOf(x, 2), sizeOf(x, 3)] as const;
  const outs = [outH, outW] as const;
  if (sizes[0] === outH && sizes[1] === outW) return x;
  const plain = sizes.map((size, axis) => plainPooling(size, outs[axis]!));
  if (plain.every((axis) => axis !== null)) {
    const [h, w] = plain as { kernel: number; stride: number }[];
    return net.op('AveragePool', [x], { kernel_shape: [h!.kernel, w!.kernel], strides: [h!.stride, w!.stride] }, { name: 'avgpool' });
  }
  if (sizes.every((size, axis) => outs[axis]! % size === 0)) {
    return net.op('Resize', [x], { scales: [1, 1, outH / sizes[0], outW / sizes[1]] }, { name: 'avgpool' });
  }
  // Rows first: what comes last is in its order already, where a dense layer behind may take the features in another, and keep them so.
  const tall = mapped(net, net.transpose(x, [0, 1, 3, 2]), adaptiveMeans(sizes[0], outH), 'avgpool.rows');
  return mapped(net, net.transpose(tall, [0, 1, 3, 2]), adaptiveMeans(sizes[1], outW), 'avgpool.columns');
}

/** The same where a published net does it to inputs that are not of its own size: another writing of the net may not, so it is told. */
export function adapted(net: Net, x: Value, outH: number, outW: number): Value {
  const [h, w] = [sizeOf(x, 2), sizeOf(x, 3)];
  if (h !== outH || w !== outW)
    net.assume(
      'avgpool',
      `the ${h} x ${w} features of an input of this size are averaged, or repeated, to ${outH} x ${outW} (AdaptiveAvgPool2d), as torchvision does`,
    );
  return adaptivePool(net, x, outH, outW);
}

/** Bilinear interpolation to a known size, as PyTorch's interpolate without aligned corners. */
export function bilinear(net: Net, x: Value, outH: number, outW: number): Value {
  const sizes = [sizeOf(x, 2), sizeOf(x, 3)] as const;
  const outs = [outH, outW] as const;
  if (sizes[0] === outH && sizes[1] === outW) return x;
  const scales = sizes.map((size, axis) => outs[axis]! / size);
  if (scales.every(Number.isInteger)) {
    const isOne = sizes.every((size) => size === 1);
    const attributes: Record<string, string> = isOne ? {} : { mode: 'linear', coordinate_transformation_mode: 'pytorch_half_pixel' };
    return net.op('Resize', [x], { scales: [1, 1, ...scales], ...attributes });
  }
  const rows = net.transpose(mapped(net, x, interpolation(sizes[1], outW), `${net.lastModule}.columns`), [0, 1, 3, 2]);
  return net.transpose(mapped(net, rows, interpolation(sizes[0], outH), `${net.lastModule}.rows`), [0, 1, 3, 2]);
}

/** What stands nearest, at a known size, as PyTorch's interpolate picks it. */
export function nearest(net: Net, x: Value, outH: number, outW: number): Value {
  const sizes = [sizeOf(x, 2), sizeOf(x, 3)] as const;
  const outs = [outH, outW] as const;
  const scales = sizes.map((size, axis) => outs[axis]! / size);
  if (scales.every((scale) => scale === 1)) return x;
  if (scales.every(Number.isInteger)) {
    return net.op('Resize', [x], { scales: [1, 1, ...scales], coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' });
  }
  const rows = net.transpose(mapped(net, x, picked(sizes[1], outW), `${net.lastModule}.columns`), [0, 1, 3, 2]);
  return net.transpose(mapped(net, rows, picked(sizes[0], outH), `${net.lastModule}.rows`), [0, 1, 3, 2]);
}

/** PyTorch counts in float32. */
function picked(size: number, out: number): Matrix {
  const step = Math.fround(size / out);
  const from = (column: number) => Math.min(Math.floor(Math.fround(column * step)), size - 1);
  return Array.from({ length: size }, (_, row) => Array.from({ length: out }, (__, column) => (from(column) === row ? 1 : 0)));
}

function interpolation(size: number, out: number): Matrix {
  const matrix = Array.from({ length: size }, () => new Array<number>(out).fill(0));
  for (let column = 0; column < out; column++) {
    const at = Math.max(0, ((column + 0.5) * size) / out - 0.5);
    const low = Math.floor(at);
    const share = at - low;
    matrix[low]![column]! += 1 - share;
    matrix[Math.min(low + 1, size - 1)]![column]! += share;
  }
  return matrix;
}

/** The last axis as sums of its places: a product with a matrix. */
function mapped(net: Net, x: Value, matrix: Matrix, name: string): Value {
  const kernel = numbersTensor(name, 'float32', [matrix.length, matrix[0]!.length], matrix.flat(), { file: '' });
  return net.op('MatMul', [x], {}, { name, weights: { kernel } });
}
