/** Det: the determinant of each matrix of the last two axes. */
import { ModelError } from '../../errors.js';
import { elementCount } from '../tensor.js';
import { newValue } from './array.js';
import { operator } from './operator.js';

export const det = operator({
  op: 'Det',
  slots: ['x'],
  attributes: {},
  shape({ x }) {
    const [rows, columns] = x.shape.slice(-2);
    if (x.shape.length < 2 || (typeof rows === 'number' && typeof columns === 'number' && rows !== columns))
      throw new ModelError('malformed', `Det takes square matrices, not [${x.shape}]`);
    return [x.shape.slice(0, -2)];
  },
  onnx: { since: 11 },
  compute({ x }) {
    const y = newValue(x.shape.slice(0, -2));
    const size = x.shape.at(-1)!;
    for (let n = 0; n < elementCount(y.shape); n++) y.data[n] = determinant(x.data.slice(n * size * size, (n + 1) * size * size), size);
    return [y];
  },
});

/** The product of the pivots of Gauss's elimination, which takes the largest of a column and changes the matrix. */
function determinant(matrix: Float64Array, size: number): number {
  let product = 1;
  for (let column = 0; column < size; column++) {
    let pivot = column;
    for (let row = column + 1; row < size; row++) if (Math.abs(matrix[row * size + column]!) > Math.abs(matrix[pivot * size + column]!)) pivot = row;
    const [upper, chosen] = [column * size, pivot * size];
    if (pivot !== column) {
      for (let j = 0; j < size; j++) [matrix[upper + j], matrix[chosen + j]] = [matrix[chosen + j]!, matrix[upper + j]!];
      product = -product;
    }
    const largest = matrix[upper + column]!;
    product *= largest;
    if (largest === 0) return 0;
    for (let row = column + 1; row < size; row++) {
      const share = matrix[row * size + column]! / largest;
      for (let j = column; j < size; j++) matrix[row * size + j]! -= share * matrix[upper + j]!;
    }
  }
  return product;
}
