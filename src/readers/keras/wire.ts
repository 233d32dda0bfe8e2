/** Keras files that hold weights and no configuration: the nets of keras.applications are recognised by names and shapes. */
import { isUnnamed } from '../../architectures/keras-order.js';
import { recogniseKeras, recogniseUnnamedKeras } from '../../architectures/recognise.js';
import type { OrderedLayer } from '../../architectures/store.js';
import { inTurns } from '../../bytes/breath.js';
import { ModelError } from '../../errors.js';
import type { LayerMap } from '../../model/layer-map.js';
import type { Tensor } from '../../model/tensor.js';
import { recogniseOptions, shortList, type WiringContext } from '../wire.js';
import { RANDOM_STATE } from './tree-weights.js';
import type { LayerWeights } from './weights.js';

/** The layers of one group of weights: a model that is used as a layer keeps those of its own layers in one list, under their names. */
function ownLayers({ layer, tensors }: LayerWeights): OrderedLayer[] {
  const byOwner = new Map<string, Tensor[]>();
  for (const tensor of tensors) {
    const owner = tensor.name.slice(layer.length + 1, Math.max(layer.length + 1, tensor.name.lastIndexOf('/')));
    const own = byOwner.get(owner);
    if (own) own.push(tensor);
    else byOwner.set(owner, [tensor]);
  }
  if (byOwner.size < 2) return [{ name: layer, tensors }];
  // The names of enclosing models may stand before all of them.
  const paths = [...byOwner.keys()].map((owner) => owner.split('/'));
  const shared = paths[0]!.findIndex((part, i) => paths.some((path) => path[i] !== part || path.length === i + 1));
  return [...byOwner].map(([owner, own]) => ({ name: owner.split('/').slice(shared).join('/'), tensors: own }));
}

/**
 * The layer map of a weights-only file.
 *
 * @param theano whether kernels are turned by 180 degrees
 * @throws ModelError 'unsupported' when the names and shapes are of no known net: the wiring is not in the file
 */
export async function wireKerasWeights(saved: readonly LayerWeights[], theano: boolean, context: WiringContext): Promise<LayerMap> {
  const layers = saved.filter(({ layer }) => !RANDOM_STATE.test(layer)).flatMap(ownLayers);
  const options = recogniseOptions(context);
  const recognition = await inTurns(isUnnamed(layers) ? recogniseUnnamedKeras(layers, options) : recogniseKeras(layers, theano, options));
  if (recognition.map) return recognition.map;
  const names = layers.filter(({ tensors }) => tensors.length > 0).map(({ name }) => name);
  throw new ModelError(
    'unsupported',
    `this file holds weights without a configuration, and ${recognition.unknown} Its layers: ${shortList(names)}. ` +
      'Give the configuration (the JSON of model.to_json()) with --config, or put it beside the file under the same name with .json.',
    { file: context.file },
  );
}
