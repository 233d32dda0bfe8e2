/** What nets of keras.applications do to a picture themselves. */
import { numbersTensor } from '../model/numbers.js';
import { TORCHVISION } from './family.js';
import type { Net, Value } from './net.js';

/** Rescaling that a net begins with, unless it was made without. No weight tells. */
export function kerasPreprocessing(net: Net, x: Value, change: (x: Value) => Value): Value {
  const included = net.setting<string>(
    'include_preprocessing',
    'true',
    'the net takes pixels of 0 to 255 and rescales them itself, as Keras makes it where include_preprocessing is not given: {}',
  );
  return included === 'true' ? change(x) : x;
}

/** From pixels of 0 to 255 in three channels to ImageNet's mean and deviation. */
export function normalisedPixels(net: Net, x: Value): Value {
  const constant = (name: string, values: readonly number[]) => numbersTensor(`imagenet.${name}`, 'float32', [3, 1, 1], values, { file: '' });
  const { mean, std } = TORCHVISION;
  // Neither taken off nor divided: layers of Caffe and Keras have something to add to each channel, and a factor.
  const offset = mean.map((value) => -255 * value);
  const scale = std.map((value) => 1 / (255 * value));
  return net.constantOp('Mul', net.constantOp('Add', x, constant('offset', offset), 'normalization.mean'), constant('scale', scale), 'normalization');
}
