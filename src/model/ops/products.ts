/** The inner products behind convolutions and dense layers. */

/** Where the products go: element (a, b) of the result lies at `start + a * strideA + b * strideB`. */
export interface ProductTarget {
  readonly data: Float64Array;
  readonly start: number;
  readonly strideA: number;
  readonly strideB: number;
}

/**
 * Adds to `target` the inner products of every row of `a` with every row of `b`.
 *
 * Four by two rows are walked together, so that each element that is read serves several products: 8 accumulators and 6
 * operands are what the 16 registers of x64 hold.
 *
 * @param a rowsA rows of `depth` elements from `startA` on
 * @param b rowsB rows of `depth` elements
 */
export function addProducts(a: Float64Array, startA: number, rowsA: number, b: Float64Array, rowsB: number, depth: number, target: ProductTarget): void {
  const wholeA = rowsA - (rowsA % 4);
  const wholeB = rowsB - (rowsB % 2);
  const { data, start, strideA, strideB } = target;
  for (let i = 0; i < wholeA; i += 4) {
    for (let j = 0; j < wholeB; j += 2) addBlock(a, startA + i * depth, b, j * depth, depth, data, start + i * strideA + j * strideB, strideA, strideB);
  }
  for (let i = 0; i < rowsA; i++) {
    for (let j = i < wholeA ? wholeB : 0; j < rowsB; j++) {
      data[start + i * strideA + j * strideB]! += innerProduct(a, startA + i * depth, b, j * depth, depth);
    }
  }
}

function addBlock(
  a: Float64Array,
  a0: number,
  b: Float64Array,
  b0: number,
  depth: number,
  y: Float64Array,
  y0: number,
  strideA: number,
  strideB: number,
): void {
  const a1 = a0 + depth;
  const a2 = a1 + depth;
  const a3 = a2 + depth;
  const b1 = b0 + depth;
  let s00 = 0;
  let s01 = 0;
  let s10 = 0;
  let s11 = 0;
  let s20 = 0;
  let s21 = 0;
  let s30 = 0;
  let s31 = 0;
  for (let k = 0; k < depth; k++) {
    const left = b[b0 + k]!;
    const right = b[b1 + k]!;
    const w0 = a[a0 + k]!;
    s00 += w0 * left;
    s01 += w0 * right;
    const w1 = a[a1 + k]!;
    s10 += w1 * left;
    s11 += w1 * right;
    const w2 = a[a2 + k]!;
    s20 += w2 * left;
    s21 += w2 * right;
    const w3 = a[a3 + k]!;
    s30 += w3 * left;
    s31 += w3 * right;
  }
  y[y0]! += s00;
  y[y0 + strideB]! += s01;
  y[y0 + strideA]! += s10;
  y[y0 + strideA + strideB]! += s11;
  y[y0 + 2 * strideA]! += s20;
  y[y0 + 2 * strideA + strideB]! += s21;
  y[y0 + 3 * strideA]! += s30;
  y[y0 + 3 * strideA + strideB]! += s31;
}

/** Four sums side by side, because each addition waits for the one before it. */
export function innerProduct(a: Float64Array | Float32Array, a0: number, b: Float64Array, b0: number, depth: number): number {
  let s0 = 0;
  let s1 = 0;
  let s2 = 0;
  let s3 = 0;
  let k = 0;
  for (; k < depth - 3; k += 4) {
    s0 += a[a0 + k]! * b[b0 + k]!;
    s1 += a[a0 + k + 1]! * b[b0 + k + 1]!;
    s2 += a[a0 + k + 2]! * b[b0 + k + 2]!;
    s3 += a[a0 + k + 3]! * b[b0 + k + 3]!;
  }
  for (; k < depth; k++) s0 += a[a0 + k]! * b[b0 + k]!;
  return s0 + s1 + (s2 + s3);
}
