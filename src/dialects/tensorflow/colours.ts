/** Nodes that turn the colours of pictures, whose channels come last. */
import type { Value } from '../../model/builder.js';
import { hsvOf, rgbOf, type Steps } from '../colours.js';
import type { TfOperation } from './node.js';
import type { TfRule } from './rule.js';

type Channels = readonly [Value, Value, Value];

const channelwise =
  (convert: (channels: Channels, steps: Steps<Value>, operation: TfOperation) => Channels): TfRule =>
  (operation) => {
    const x = operation.input(0);
    const axis = operation.rank(x) - 1;
    if (operation.sizes(x)[axis] !== 3) throw operation.decline(`its pictures are [${x.shape}], expected three channels at the end`);
    const channel = (at: number) => operation.before('Slice', [x], { starts: [at], ends: [at + 1], axes: [axis] });
    const steps: Steps<Value> = {
      step: (op, inputs, attributes) => operation.before(op, inputs, attributes),
      number: (value) => operation.scalar(value, x),
    };
    return operation.add('Concat', convert([channel(0), channel(1), channel(2)], steps, operation), { axis });
  };

export const colours: Readonly<Record<string, TfRule>> = {
  RGBToHSV: channelwise(hsvOf),
  HSVToRGB: channelwise(rgbOf),
  /** A hue goes around: 1 is 0. */
  AdjustHue: channelwise((channels, steps, operation) => {
    const [hue, saturation, value] = hsvOf(channels, steps);
    const moved = steps.step('Add', [hue, operation.input(1)]);
    return rgbOf([steps.step('Sub', [moved, steps.step('Floor', [moved])]), saturation, value], steps);
  }),
  AdjustSaturation: channelwise((channels, steps, operation) => {
    const [hue, saturation, value] = hsvOf(channels, steps);
    return rgbOf([hue, steps.step('Clip', [steps.step('Mul', [saturation, operation.input(1)])], { min: 0, max: 1 }), value], steps);
  }),
};
