/** ReduceMean, ReduceMax and ReduceSum. */
import { rowMajorStrides } from '../tensor.js';
import { frontAxis, newValue } from './array.js';
import { number, numbers, type Operator } from './operator.js';

function reduction(start: number, combine: (total: number, element: number) => number, finish = (total: number, _count: number) => total): Operator {
  return async (layer, [x]) => {
    const axes = numbers(layer, 'axes').map((axis) => frontAxis(axis, x!.shape.length));
    const kept = x!.shape.map((size, axis) => (axes.includes(axis) ? 1 : size));
    const y = newValue(kept, start);
    const strides = rowMajorStrides(kept).map((stride, axis) => (axes.includes(axis) ? 0 : stride));
    let at = 0;
    const visit = (axis: number, target: number) => {
      if (axis === kept.length) {
        y.data[target] = combine(y.data[target]!, x!.data[at++]!);
        return;
      }
      for (let i = 0; i < x!.shape[axis]!; i++) visit(axis + 1, target + i * strides[axis]!);
    };
    visit(0, 0);
    const count = x!.data.length / y.data.length;
    const shape = number(layer, 'keepdims') ? kept : kept.filter((_, axis) => !axes.includes(axis));
    return { shape, data: y.data.map((total) => finish(total, count)) };
  };
}

export const reduceSum = reduction(0, (total, element) => total + element);
export const reduceMax = reduction(Number.NEGATIVE_INFINITY, Math.max);
export const reduceMean = reduction(
  0,
  (total, element) => total + element,
  (total, count) => total / count,
);
