/** Orders of axes: axis i of what is meant is axis `order[i]` of what it is made from. */

export function identity(rank: number): number[] {
  return Array.from({ length: rank }, (_, axis) => axis);
}

/** The order that undoes another. */
export function inverse(order: readonly number[]): number[] {
  return order.map((_, axis) => order.indexOf(axis));
}

export function sameOrder(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((axis, i) => axis === b[i]);
}
