/** Layers of others' packages whose meaning is plain: keras_contrib, TensorFlow Addons. */
import { aligned } from './merge.js';
import type { OneRule } from './rule.js';
import type { Value } from './value.js';

/**
 * What goes around a branch, and the branch times the chance that training kept it.
 *
 * @see tensorflow_addons/layers/stochastic_depth.py
 */
export const depthDropped: OneRule = (config) => {
  const kept = config.number(['survival_probability'], 0.5);
  return (inputs, scope) => {
    const [around, branch] = aligned(inputs, scope) as [Value, Value];
    return scope.add('Add', [around, scope.withScalar('Mul', branch, kept)]);
  };
};

/** Channels become squares of pixels. @see keras_contrib/layers/convolutional/subpixelupscaling.py */
export const subPixels: OneRule = (config) => {
  const blocksize = config.integer(['scale_factor'], 2);
  if (config.dataFormat() !== 'channels_last') config.decline('squares of pixels of channels-first pictures are not translated');
  return ([input], scope) => scope.add('DepthToSpace', [scope.builder.toMoved(input!)], { attributes: { blocksize } });
};
