/** Colours as hue, saturation and value, and back: the formulas of TensorFlow's kernels. */
import { constantValue } from '../arithmetic.js';
import type { Scope } from '../scope.js';
import type { Value } from '../value.js';
import { ofValue } from './arrangement.js';
import type { Operation } from './operation.js';

/** Red, green and blue, or hue, saturation and value, of pictures whose channels stand first in the map. */
const channelwise = (x: string, convert: (channels: readonly [Value, Value, Value], scope: Scope) => readonly Value[]): Operation =>
  ofValue(x, (args) => {
    if ((args.json('data_format') ?? 'channels_last') !== 'channels_last') args.decline('channels are expected to be last');
    return (input, scope) => {
      const value = scope.builder.toMoved(input);
      if (value.shape.length !== 4 || value.shape[1] !== 3)
        throw scope.malformed(`a value of the shape [${value.shape}], where pictures of three channels are expected`);
      const channel = (at: number) => scope.add('Slice', [value], { attributes: { starts: [at], ends: [at + 1], axes: [1] } });
      return scope.add('Concat', convert([channel(0), channel(1), channel(2)], scope), { attributes: { axis: 1 }, order: value.order });
    };
  });

export const rgbToHsv = (x: string): Operation =>
  channelwise(x, ([red, green, blue], scope) => {
    const zero = constantValue({ shape: [], values: [0] }, scope);
    const step = (op: string, ...inputs: Value[]) => scope.add(op, inputs, { order: red.order });
    const most = step('Max', red, green, blue);
    const range = step('Sub', most, step('Min', red, green, blue));
    const saturation = step('Where', step('Greater', most, zero), step('Div', range, most), zero);
    // Where nothing stands out the quotient means nothing, and the hue is 0.
    const sixth = (a: Value, b: Value, turn: number) => scope.withScalar('Add', step('Div', step('Sub', a, b), scope.withScalar('Mul', range, 6)), turn);
    const fromGreenOrBlue = step('Where', step('Equal', green, most), sixth(blue, red, 2 / 6), sixth(red, green, 4 / 6));
    const hue = step('Where', step('Equal', red, most), sixth(green, blue, 0), fromGreenOrBlue);
    const around = step('Where', step('Less', hue, zero), scope.withScalar('Add', hue, 1), hue);
    return [step('Where', step('Greater', range, zero), around, zero), saturation, most];
  });

export const hsvToRgb = (x: string): Operation =>
  channelwise(x, ([hue, saturation, value], scope) => {
    const sixths = scope.withScalar('Mul', hue, 6);
    const white = scope.withScalar('Add', scope.add('Neg', [saturation]), 1);
    const away = (from: number) => scope.add('Abs', [scope.withScalar('Add', sixths, -from)]);
    const shares = [scope.withScalar('Add', away(3), -1), ...[2, 4].map((from) => scope.withScalar('Add', scope.add('Neg', [away(from)]), 2))];
    return shares.map((share) => {
      const clipped = scope.add('Clip', [share], { attributes: { min: 0, max: 1 } });
      return scope.add('Mul', [scope.add('Add', [scope.add('Mul', [clipped, saturation]), white]), value]);
    });
  });
