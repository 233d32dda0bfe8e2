/** Weights under Keras's names in a container that is not Keras's: safetensors, npz and PyTorch files made from its variables. */
import type { OrderedLayer } from '../architectures/store.js';
import type { Tensor } from '../model/tensor.js';

/** 'conv1/kernel:0': a layer, or several of them in each other, and the variable of one that TensorFlow numbers. */
const VARIABLE = /^(.+)\/([^/:]+):\d+$/;

/** The variables of a layer as Keras has them; a container that sorts names has them otherwise, and their shapes do not tell them apart. */
const ROLES = [
  'depthwise_kernel',
  'pointwise_kernel',
  'kernel',
  'embeddings',
  'alpha',
  'gamma',
  'bias',
  'beta',
  'moving_mean',
  'moving_variance',
  'mean',
  'variance',
  'count',
];

/** @returns the layers, each with its tensors in Keras's order; null where a name is none of Keras's */
export function kerasNamed(tensors: Iterable<Tensor>): OrderedLayer[] | null {
  const byOwner = new Map<string, [role: number, Tensor][]>();
  for (const tensor of tensors) {
    const [, owner, variable] = VARIABLE.exec(tensor.name) ?? [];
    const role = ROLES.indexOf(variable ?? '');
    if (owner === undefined || role < 0) return null;
    const own = byOwner.get(owner);
    if (own) own.push([role, tensor]);
    else byOwner.set(owner, [[role, tensor]]);
  }
  const paths = [...byOwner.keys()].map((owner) => owner.split('/'));
  // The names of enclosing models may stand before all of them.
  const shared = byOwner.size < 2 ? 0 : paths[0]!.findIndex((part, i) => paths.some((path) => path[i] !== part || path.length === i + 1));
  const layers = [...byOwner.values()].map((own, i): OrderedLayer => {
    const path = paths[i]!.slice(shared);
    // HDF5 files have each layer's variables in a group of its name.
    const name = path.slice(path[0] === path[1] ? 1 : 0).join('/');
    return { name, tensors: own.toSorted(([a], [b]) => a - b).map(([, tensor]) => tensor) };
  });
  return new Set(layers.map(({ name }) => name)).size === layers.length ? layers : null;
}
