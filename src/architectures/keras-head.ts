/**
 * What people put behind a net of keras.applications: pooling or Flatten, dense layers, normalisations between them. A weights-only file
 * has them under names of a session (dense_3), behind the net; what leaves no weights is assumed, and told.
 */
import { ModelError } from '../errors.js';
import type { Tensor } from '../model/tensor.js';
import { inLine } from './keras-order.js';
import type { Activation, Net, Value } from './net.js';
import { type OrderedLayer, RAW_NAME } from './store.js';

const ACTIVATIONS = ['relu', 'relu6', 'silu', 'hard-swish', 'sigmoid', 'tanh', 'gelu', 'none'] as const satisfies readonly Activation[];

/** Weights of `.weights.h5`. */
const IN_TREE = /(^|\/)vars\/\d+$/;

/** More layers than any head has. */
const MAX_LAYERS = 16;

/** The head of the layers that the net left over, where they are one; else what flowed in. */
export function ownKerasHead(net: Net, x: Value): Value {
  const stored = net.store.rest?.() ?? [];
  if (stored.length === 0 || stored.length > MAX_LAYERS || stored.some((layer) => kindOf(layer) === null)) return x;
  // Groups of a tree are in the model's order within their class alone.
  const line = stored.some(({ tensors }) => IN_TREE.test(tensors[0]!.name)) ? inLine(stored) : null;
  const rest = line ?? stored;
  const kinds = rest.map(kindOf);
  if (kinds.at(-1) !== 'dense') return x;
  const start = entrance(net, x, rest[0]!.tensors[0]!.shape[0]!);
  if (!start || !fits(rest, start.features)) return x;
  if (line && kinds.includes('norm'))
    net.assume(
      'head_order',
      "layers of the head stand as their sizes fit, a normalisation as early as it can: the file has the order of each class's own alone",
    );
  const last = rest.length - 1;
  let y = start.value;
  for (const [i, { name }] of rest.entries()) {
    y = kinds[i] === 'dense' ? net.dense(y, `${RAW_NAME}${name}`) : net.norm(y, `${RAW_NAME}${name}`, 1e-3);
    // An activation is a setting of the dense layer, in front of a normalisation behind it.
    if (kinds[i] === 'dense' && i < last) y = activated(net, y);
  }
  net.endsInClasses = true;
  return y;
}

function activated(net: Net, y: Value): Value {
  const act = net.setting<string>('head_activation', 'relu', 'between the layers of the head stands a {} (or another one)');
  const known = ACTIVATIONS.find((name) => name === act);
  if (!known) throw new ModelError('usage', `--assume head_activation=${act}: one of ${ACTIVATIONS.join(', ')} is expected`);
  return net.activation(y, known);
}

/** What the first layer's features are of a picture: its channels, or all that it holds. */
function entrance(net: Net, x: Value, features: number): { readonly value: Value; readonly features: number } | null {
  if (x.shape.length === 2) return x.shape[1] === features ? { value: x, features } : null;
  const [, channels, ...spatial] = x.shape;
  if (x.shape.length !== 4) return null;
  if (channels === features) {
    const pooling = net.setting<string>(
      'head_pooling',
      'avg',
      'pictures of features are pooled by their mean (avg; max takes the largest) before the head: {}',
    );
    return { value: pooling === 'max' ? net.flatten(net.op('GlobalMaxPool', [x])) : net.globalPool(x), features };
  }
  const size = spatial.reduce<number>((product, one) => product * Number(one), Number(channels));
  return size === features ? { value: net.flatten(x), features } : null;
}

function kindOf({ tensors: [first, second, ...more] }: OrderedLayer): 'dense' | 'norm' | null {
  if (first?.shape.length === 2) return more.length === 0 && (second === undefined || isRow(second, first.shape[1]!)) ? 'dense' : null;
  const rows = [first, second, ...more];
  return rows.length >= 3 && rows.length <= 4 && rows.every((row) => row !== undefined && isRow(row, first!.shape[0]!)) ? 'norm' : null;
}

function isRow({ shape }: Tensor, size: number): boolean {
  return shape.length === 1 && shape[0] === size;
}

/** Whether each layer takes what the one before it makes. */
function fits(layers: readonly OrderedLayer[], features: number): boolean {
  let flowing = features;
  return layers.every((layer) => {
    const [rows, columns] = layer.tensors[0]!.shape as [number, number?];
    const ok = rows === flowing;
    flowing = columns ?? flowing;
    return ok;
  });
}
