/** Resampling over known sizes, exactly: torchvision's AdaptiveAvgPool2d, where each output is the mean of its own window, and interpolation. */
import { float32Tensor } from '../model/tensor.js';
import type { Net, Value } from './net.js';
import { sizeOf } from './net.js';

/** [start, end) of each output's window along an axis: from the floor of its share to the ceiling. */
export function adaptiveWindows(size: number, out: number): readonly (readonly [start: number, end: number])[] {
  return Array.from({ length: out }, (_, i) => [Math.floor((i * size) / out), Math.ceil(((i + 1) * size) / out)] as const);
}

/** Size and step where the windows are those of a plain pooling. */
function plainPooling(size: number, out: number): { kernel: number; stride: number } | null {
  const windows = adaptiveWindows(size, out);
  const kernel = windows[0]![1] - windows[0]![0];
  const stride = out === 1 ? kernel : windows[1]![0];
  const isPlain = stride > 0 && windows.every(([start, end], i) => start === i * stride && end - start === kernel);
  return isPlain ? { kernel, stride } : null;
}

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
  const rows = net.transpose(mapped(net, x, means(sizes[1], outW), 'avgpool.columns'), [0, 1, 3, 2]);
  return net.transpose(mapped(net, rows, means(sizes[0], outH), 'avgpool.rows'), [0, 1, 3, 2]);
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

/** [size, out]: what each place of the new axis takes of each place of the old one. */
type Matrix = readonly (readonly number[])[];

function means(size: number, out: number): Matrix {
  const windows = adaptiveWindows(size, out);
  return Array.from({ length: size }, (_, i) => windows.map(([start, end]) => (i >= start && i < end ? 1 / (end - start) : 0)));
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
  const kernel = float32Tensor(name, [matrix.length, matrix[0]!.length], matrix.flat(), { file: '' });
  return net.op('MatMul', [x], {}, { name, weights: { kernel } });
}
