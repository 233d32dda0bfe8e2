/** Colours as hue, saturation and value, and back: the formulas of TensorFlow's kernels, which all frameworks follow. */

/** How a dialect adds an operator, and a constant. */
export interface Steps<Value> {
  step(op: string, inputs: readonly Value[], attributes?: Readonly<Record<string, number>>): Value;
  number(value: number): Value;
}

type Channels<Value> = readonly [Value, Value, Value];

/** Red, green and blue as hue, saturation and value, all within 0 and 1. */
export function hsvOf<Value>([red, green, blue]: Channels<Value>, { step, number }: Steps<Value>): Channels<Value> {
  const zero = number(0);
  const most = step('Max', [red, green, blue]);
  const range = step('Sub', [most, step('Min', [red, green, blue])]);
  const saturation = step('Where', [step('Greater', [most, zero]), step('Div', [range, most]), zero]);
  // Where nothing stands out the quotient means nothing, and the hue is 0.
  const sixth = (a: Value, b: Value, turn: number) => step('Add', [step('Div', [step('Sub', [a, b]), step('Mul', [range, number(6)])]), number(turn)]);
  const fromGreenOrBlue = step('Where', [step('Equal', [green, most]), sixth(blue, red, 2 / 6), sixth(red, green, 4 / 6)]);
  const hue = step('Where', [step('Equal', [red, most]), sixth(green, blue, 0), fromGreenOrBlue]);
  const around = step('Where', [step('Less', [hue, zero]), step('Add', [hue, number(1)]), hue]);
  return [step('Where', [step('Greater', [range, zero]), around, zero]), saturation, most];
}

/** Hue, saturation and value as red, green and blue. */
export function rgbOf<Value>([hue, saturation, value]: Channels<Value>, { step, number }: Steps<Value>): Channels<Value> {
  const sixths = step('Mul', [hue, number(6)]);
  const white = step('Add', [step('Neg', [saturation]), number(1)]);
  const away = (from: number) => step('Abs', [step('Add', [sixths, number(-from)])]);
  const channel = (share: Value) => step('Mul', [step('Add', [step('Mul', [step('Clip', [share], { min: 0, max: 1 }), saturation]), white]), value]);
  const beside = (from: number) => channel(step('Add', [step('Neg', [away(from)]), number(2)]));
  return [channel(step('Add', [away(3), number(-1)])), beside(2), beside(4)];
}
