/** Keras files that hold weights and no configuration: the nets of keras.applications are recognised by names and shapes. */
import { recogniseKeras } from '../../architectures/recognise.js';
import { ModelError } from '../../errors.js';
import type { LayerMap } from '../../model/layer-map.js';
import { recogniseOptions, shortList, type WiringContext } from '../wire.js';
import type { LayerWeights } from './weights.js';

/**
 * The layer map of a weights-only file.
 *
 * @param theano whether kernels are turned by 180 degrees
 * @throws ModelError 'unsupported' when the names and shapes are of no known net: the wiring is not in the file
 */
export function wireKerasWeights(saved: readonly LayerWeights[], theano: boolean, context: WiringContext): LayerMap {
  const layers = saved.map(({ layer, tensors }) => ({ name: layer, tensors }));
  const recognition = recogniseKeras(layers, theano, recogniseOptions(context));
  if (recognition.map) return recognition.map;
  const names = layers.filter(({ tensors }) => tensors.length > 0).map(({ name }) => name);
  throw new ModelError(
    'unsupported',
    `this file holds weights without a configuration, and ${recognition.unknown} Its layers: ${shortList(names)}. ` +
      'Give the configuration (the JSON of model.to_json()) with --config, or put it beside the file under the same name with .json.',
    { file: context.file },
  );
}
