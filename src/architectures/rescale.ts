/** torchvision's `transform_input`: nets whose weights came from TensorFlow take pictures as other nets of torchvision do, and rescale them. */
import { numbersTensor } from '../model/numbers.js';
import { TORCHVISION } from './family.js';
import type { Net, Value } from './net.js';

/** From torchvision's normalisation to values of -1 to 1, where the net was made so. */
export function rescaled(net: Net, x: Value): Value {
  const given = net.setting<string>('transform_input', 'false', "torchvision's transform_input is {} (true for torchvision's own weights)");
  if (given !== 'true' || x.shape[1] !== 3) return x;
  const constant = (name: string, values: readonly number[]) => numbersTensor(`transform_input.${name}`, 'float32', [3, 1, 1], values, { file: '' });
  const scale = TORCHVISION.std.map((std) => std / 0.5);
  const shift = TORCHVISION.mean.map((mean) => (mean - 0.5) / 0.5);
  return net.constantOp('Add', net.constantOp('Mul', x, constant('scale', scale), 'transform_input.scale'), constant('shift', shift), 'transform_input.shift');
}
