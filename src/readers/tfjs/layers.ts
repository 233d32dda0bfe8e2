/** The layer map of a TensorFlow.js layers model: its topology is a Keras configuration, read as Keras's own is. */

import { nameVgg } from '../../architectures/vgg-names.js';
import { inTurns } from '../../bytes/breath.js';
import { ModelError } from '../../errors.js';
import type { LayerMap } from '../../model/layer-map.js';
import type { Tensor } from '../../model/tensor.js';
import { type KerasLayer, type KerasModel, parseModelConfig } from '../keras/config.js';
import { buildGraph } from '../keras/graph.js';
import { leafLayers } from '../keras/weight-roles.js';
import type { ReadOptions } from '../reader.js';
import type { Json } from './model-json.js';

/** Keras's order of a layer's weights. */
const ROLES: readonly string[] = [
  ...['depthwise_kernel', 'pointwise_kernel', 'kernel', 'recurrent_kernel', 'bias', 'embeddings'],
  ...['gamma', 'beta', 'moving_mean', 'moving_variance', 'alpha'],
];

export interface LayersContext {
  readonly file: string;
  readonly producer: string | null;
  readonly options: ReadOptions;
}

/** @throws ModelError 'unsupported' listing every layer without a translation, 'malformed' where weights do not fit */
export async function buildLayersMap(topology: Json, weights: readonly Tensor[], { file, producer, options }: LayersContext): Promise<LayerMap> {
  const model = parseModelConfig(JSON.stringify(topology.model_config ?? topology), file);
  const version = /^(\d+)\.(\d+)/.exec(typeof topology.keras_version === 'string' ? topology.keras_version : '');
  const dialect = { version: version ? ([Number(version[1]), Number(version[2])] as const) : null, theano: false };
  const graph = await inTurns(buildGraph(model, () => assignByName(model, weights, file), { file, dialect, inputShape: options.inputShape }));
  return nameVgg({ name: model.name, format: 'tfjs', producer, architecture: null, ...graph });
}

/**
 * Weights are named `layer/kernel`; converters of Keras 3 put the names of the enclosing models before it.
 */
function assignByName(model: KerasModel, weights: readonly Tensor[], file: string): Map<KerasLayer, readonly Tensor[]> {
  const layers = new Map<string, KerasLayer>();
  for (const layer of leafLayers(model)) for (const name of [layer.path, layer.name]) if (!layers.has(name)) layers.set(name, layer);
  const byLayer = new Map<KerasLayer, Tensor[]>();
  for (const tensor of weights) {
    const layer = ownerOf(tensor.name.split('/').slice(0, -1), layers);
    if (!layer) throw new ModelError('malformed', 'belongs to no layer of the topology. Do they belong together?', { file, tensor: tensor.name });
    const own = byLayer.get(layer);
    if (own) own.push(tensor);
    else byLayer.set(layer, [tensor]);
  }
  return new Map([...byLayer].map(([layer, tensors]) => [layer, inOrder(tensors)]));
}

/** Keras's order: cell by cell, direction by direction, as the manifest has these; within them by role. */
function inOrder(tensors: readonly Tensor[]): Tensor[] {
  const parts = new Map<string, Tensor[]>();
  for (const tensor of tensors) {
    const part = tensor.name.slice(0, tensor.name.lastIndexOf('/'));
    const own = parts.get(part);
    if (own) own.push(tensor);
    else parts.set(part, [tensor]);
  }
  const rank = ({ name }: Tensor) => {
    const role = ROLES.indexOf(name.slice(name.lastIndexOf('/') + 1));
    return role < 0 ? ROLES.length : role;
  };
  return [...parts.values()].flatMap((own) => own.toSorted((x, y) => rank(x) - rank(y)));
}

/** The layer that most of the scope names; its own name may have slashes, and those of a direction and of a cell may follow. */
function ownerOf(scope: readonly string[], layers: ReadonlyMap<string, KerasLayer>): KerasLayer | undefined {
  for (const parts of [scope, scope.slice(0, -1), scope.slice(0, -2), scope.slice(0, -3)]) {
    for (let first = 0; first < parts.length; first++) {
      const found = layers.get(parts.slice(first).join('/'));
      if (found) return found;
    }
  }
  return undefined;
}
