/** torchvision's AdaptiveAvgPool2d over a known size, exactly: each output is the mean of its own window. */
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
  const rows = net.transpose(averaged(net, x, sizes[1], outW, 'columns'), [0, 1, 3, 2]);
  return net.transpose(averaged(net, rows, sizes[0], outH, 'rows'), [0, 1, 3, 2]);
}

/** The last axis as means of its windows: a product with a matrix that has one column for each. */
function averaged(net: Net, x: Value, size: number, out: number, name: string): Value {
  const values = new Float32Array(size * out);
  adaptiveWindows(size, out).forEach(([start, end], column) => {
    for (let row = start; row < end; row++) values[row * out + column] = 1 / (end - start);
  });
  const kernel = float32Tensor(`avgpool.${name}`, [size, out], values, { file: '' });
  return net.op('MatMul', [x], {}, { name: `avgpool.${name}`, weights: { kernel } });
}
