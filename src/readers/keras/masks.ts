/**
 * Masks as Keras 3 writes them: operations work out which steps count, and calls of layers take what they make as `mask`.
 */
import { withoutArgument } from './call.js';
import { type KerasLayer, type KerasModel, mapLayers } from './config.js';
import { isOperation } from './operations/index.js';
import { maskOf } from './rules.js';

/** The argument of a call. */
export const MASK = 'mask';

/** Layers that take a mask and heed it in training only. */
const HEEDED_IN_TRAINING = /^(Sync)?BatchNormalization(V[12])?$/;

/** Whether a mask that a call names is what the layer works with: one of a model goes to its inputs. */
export function takesMask(layer: KerasLayer): boolean {
  return layer.model ? !layer.perStep : maskOf(layer.className) === 'read';
}

function isIdle(layer: KerasLayer): boolean {
  if (layer.perStep) return layer.model!.layers.every(({ className, model }) => !model && !['read', 'declined'].includes(maskOf(className) ?? ''));
  return HEEDED_IN_TRAINING.test(layer.className);
}

/** The model without masks that nothing heeds, and without the operations that work them out. */
export function withoutIdleMasks(model: KerasModel): KerasModel {
  const heeded = mapLayers(model, (layer) => (layer.model ? { ...layer, model: withoutIdleMasks(layer.model) } : layer));
  const calls = heeded.calls.map((call) => (isIdle(call.layer) ? withoutArgument(call, MASK) : call));
  const key = (layer: string, index: number) => `${index} ${layer}`;
  const needed = new Set(model.outputs.map(({ layer, call }) => key(layer, call)));
  // In running order each call is behind those that it reads.
  for (const { layer, index, inputs } of calls.toReversed())
    if (!isOperation(layer.className) || needed.has(key(layer.name, index))) for (const ref of inputs) needed.add(key(ref.layer, ref.call));
  const kept = calls.filter(({ layer, index }) => !isOperation(layer.className) || needed.has(key(layer.name, index)));
  const called = new Set(kept.map(({ layer }) => layer));
  return { ...heeded, calls: kept, layers: heeded.layers.filter((layer) => called.has(layer) || !isOperation(layer.className)) };
}
