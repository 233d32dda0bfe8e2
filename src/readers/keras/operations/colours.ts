/** Colours as hue, saturation and value, and back. */
import { hsvOf, rgbOf, type Steps } from '../../../dialects/colours.js';
import { constantValue } from '../arithmetic.js';
import type { Scope } from '../scope.js';
import type { Value } from '../value.js';
import { ofValue } from './arrangement.js';
import type { Operation } from './operation.js';

/** Red, green and blue, or hue, saturation and value, of pictures whose channels stand first in the map. */
const channelwise = (x: string, convert: (channels: readonly [Value, Value, Value], steps: Steps<Value>) => readonly Value[]): Operation =>
  ofValue(x, (args) => {
    if ((args.json('data_format') ?? 'channels_last') !== 'channels_last') args.decline('channels are expected to be last');
    return (input, scope) => {
      const value = scope.builder.toMoved(input);
      if (value.shape.length !== 4 || value.shape[1] !== 3)
        throw scope.malformed(`a value of the shape [${value.shape}], where pictures of three channels are expected`);
      const channel = (at: number) => scope.add('Slice', [value], { attributes: { starts: [at], ends: [at + 1], axes: [1] } });
      return scope.add('Concat', convert([channel(0), channel(1), channel(2)], stepsOf(scope, value)), { attributes: { axis: 1 }, order: value.order });
    };
  });

function stepsOf(scope: Scope, { order }: Value): Steps<Value> {
  return {
    step: (op, inputs, attributes) => scope.add(op, inputs, { order, ...(attributes ? { attributes } : {}) }),
    number: (value) => constantValue({ shape: [], values: [value] }, scope),
  };
}

export const rgbToHsv = (x: string): Operation => channelwise(x, hsvOf);

export const hsvToRgb = (x: string): Operation => channelwise(x, rgbOf);
