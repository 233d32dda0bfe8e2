/** The angle of a point, which ONNX has no operator for. */
type Step<Value> = (op: string, ...inputs: readonly Value[]) => Value;

/** atan2(y, x), of whatever quarter: arctan of the quotient, turned by π where x is below zero. */
export function angleOf<Value>(y: Value, x: Value, number: (value: number) => Value, step: Step<Value>, last: Step<Value>): Value {
  const [zero, pi] = [number(0), number(Math.PI)];
  const half = step('Atan', step('Div', y, x));
  const turn = step('Where', step('Less', y, zero), step('Neg', pi), pi);
  const around = step('Where', step('Less', x, zero), step('Add', half, turn), half);
  // Nothing is divided by nothing.
  const isOrigin = step('And', step('Equal', x, zero), step('Equal', y, zero));
  return last('Where', isOrigin, zero, around);
}
