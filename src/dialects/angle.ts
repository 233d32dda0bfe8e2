/** The angle of a point, which ONNX has no operator for. */
type Step<Value> = (op: string, ...inputs: readonly Value[]) => Value;

/** atan2(y, x), of whatever quarter: arctan of the quotient, turned by π where x is below zero. A zero has no sign here. */
export function angleOf<Value>(y: Value, x: Value, number: (value: number) => Value, step: Step<Value>, last: Step<Value>): Value {
  const [zero, pi] = [number(0), number(Math.PI)];
  const half = step('Atan', step('Div', y, x));
  const turn = step('Where', step('Less', y, zero), step('Neg', pi), pi);
  const around = step('Where', step('Less', x, zero), step('Add', half, turn), half);
  // Nothing is divided by zero: a quotient by -0 would lie on the other side.
  const upright = step('Mul', step('Sign', y), number(Math.PI / 2));
  return last('Where', step('Equal', x, zero), upright, around);
}
