/** Layers of a head that somebody put together: a dense layer, or a Sequential of several, in another too. */
import { ModelError } from '../errors.js';
import { layerNorm } from './attention.js';
import { ACTIVATIONS, type Activation, type Net, type Value } from './net.js';

/** More layers than any head has. */
const MAX_CHILDREN = 32;
/** A Sequential in a Sequential in ... */
const MAX_DEPTH = 4;

/** A layer of a head. */
export interface Leaf {
  readonly path: string;
  readonly kind: 'dense' | 'norm' | 'layer-norm';
  /** Modules without weights that stand right before it, as far as numbers tell; null where names do not. */
  readonly gap: number | null;
}

/** All layers below a module, in their order. */
export function leavesOf(net: Net, at: string, gap: number | null = 0, depth = 0): Leaf[] {
  const kind = isStatistics(net, at) ? 'norm' : net.store.shape(at)?.length === 1 ? 'layer-norm' : 'dense';
  const children = isDense(net, at) || kind !== 'dense' || depth === MAX_DEPTH ? [] : childrenOf(net, at);
  if (children.length === 0) return [{ path: at, kind, gap }];
  return inOrder(net, `${at}.`, children, gap, depth + 1);
}

/** The layers below modules that stand one behind the other. A Sequential among them may end in what has no weights, which no number tells. */
function inOrder(net: Net, root: string, children: readonly string[], gap: number | null, depth: number): Leaf[] {
  let isPlain = true;
  return children.flatMap((child, i) => {
    const between = i === 0 ? gap : Number(child) - Number(children[i - 1]) - 1;
    const leaves = leavesOf(net, root + child, between === null || Number.isNaN(between) || !isPlain ? null : between, depth);
    isPlain = leaves.length === 1 && leaves[0]!.path === root + child;
    return leaves;
  });
}

/** The layers of a module that a Sequential has, and of those behind it: what follows a net that is its first. */
export function leavesFrom(net: Net, at: string): Leaf[] {
  const [, root, number] = /^(.*[.^])(\d+)$/.exec(at) ?? [];
  if (root === undefined) return leavesOf(net, at);
  const following = Array.from({ length: MAX_CHILDREN }, (_, i) => String(Number(number) + i)).filter((i) => net.has(root + i, false));
  return inOrder(net, root, following, Number(number) - 1, 0);
}

export type Published = readonly (readonly [path: string, out: number])[];

/** @param layers of the published head, where it is that, or what is left of it */
export function runLeaves(net: Net, x: Value, at: string, leaves: readonly Leaf[], act: Activation, layers: Published): Value {
  let y = x;
  // Before the first dense layer there is at most dropout; one activation follows each, before or behind its normalisation.
  let before: Leaf | null = null;
  let passed = 0;
  for (const leaf of leaves) {
    const { path, kind, gap } = leaf;
    if (before !== null && (gap === null ? kind === 'dense' : gap > 0)) {
      const [usual, next] = layers.slice(passed - 1);
      // Where the published head has one, too.
      const isPlace = before.path === `${at}.${usual?.[0]}` && (next === undefined || `${path}.`.startsWith(`${at}.${next[0]}.`));
      const isPublished = isPlace && net.store.shape(before.path)?.[0] === usual?.[1];
      y = net.activation(y, isPublished ? act : between(net, at, isPlace ? act : 'relu'));
      before = null;
    }
    if (kind === 'norm') y = net.norm(y, path);
    else if (kind === 'layer-norm') y = layerNorm(net, y, path, 1e-5);
    else {
      y = net.dense(y, path, only(net, at, leaves.length));
      before = leaf;
      passed++;
    }
  }
  return y;
}

/** @throws ModelError 'usage' for an activation that is none */
function between(net: Net, at: string, usual: Activation): Activation {
  const taken = net.setting<string>('head_activation', usual, `between the layers of the head ("${net.store.sourceName(at)}") stands a {}`);
  if (ACTIVATIONS.has(taken) || taken === 'none') return taken as Activation;
  throw new ModelError('usage', `--assume head_activation=${taken} is no activation; known: ${[...ACTIVATIONS, 'none'].join(', ')}`);
}

export function only(net: Net, at: string, count: number): { canonical?: string } {
  const canonical = count === 1 ? net.options.canonical?.(at) : null;
  return canonical ? { canonical } : {};
}

/** Numbers in their order, or names in the file's. */
export function childrenOf(net: Net, at: string): readonly string[] {
  const numbers = Array.from({ length: MAX_CHILDREN }, (_, i) => String(i)).filter((i) => net.has(`${at}.${i}`, false));
  if (numbers.length > 0) return numbers;
  return (net.store.childrenOf?.(at) ?? []).slice(0, MAX_CHILDREN);
}

function isDense(net: Net, path: string): boolean {
  return net.store.shape(path)?.length === 2;
}

function isStatistics(net: Net, path: string): boolean {
  return net.store.shape(path, 'mean') !== undefined;
}

/** Where a head may lie of a net behind a prefix, each up to a dot: where the net lies, and around it, up to the top of the file. */
export function placesAround(prefix = ''): readonly string[] {
  const parts = prefix.split('.').slice(0, -1);
  return Array.from({ length: parts.length + 1 }, (_, i) =>
    parts
      .slice(0, parts.length - i)
      .map((part) => `${part}.`)
      .join(''),
  );
}
