/**
 * Heads beside a net under names of somebody's own: one behind the other (`fc1`, `fc2`), or several over the same features, each an output
 * (`age_head`, `gender_head`).
 */
import { childrenOf, type Leaf, leavesOf, placesAround, runLeaves } from './leaves.js';
import type { Net, Value } from './net.js';
import { RAW_NAME } from './store.js';

/** Names of heads have one of these words. */
const WORDS = /head|fc|class|logit|linear|output|out$|pred|dense|proj|task|branch/i;
/** What only training uses, and the second head of distilled transformers, which these run themselves. */
const OTHERS = /aux|dist/i;
/** More than any net has. */
const MAX_HEADS = 64;

const WIRING = '{} (chain: one behind the other; beside: each over the features of the net)';

/**
 * What all that is left over makes of the features, where it is heads and nothing else; else what flowed in.
 *
 * @param least so many heads
 * @param mayChain they may stand one behind the other
 */
export function otherHeads(net: Net, x: Value, least: number, mayChain: boolean): Value {
  const features = x.shape[1];
  if (x.shape.length !== 2 || typeof features !== 'number') return x;
  const groups = groupsOf(net)?.flatMap((at) => apart(net, at, features));
  if (!groups || groups.length < least || groups.some((leaves) => leaves === null)) return x;
  const heads = groups as readonly Head[];
  const areBeside = heads.every(({ leaves }) => outOf(net, leaves, features) !== null);
  const chain = heads.flatMap(({ leaves }, i) => leaves.map((leaf, k) => (i > 0 && k === 0 ? { ...leaf, gap: null } : leaf)));
  const isChain = mayChain && heads.length > 1 && outOf(net, chain, features) !== null;
  if (!areBeside && !isChain) return x;
  const names = heads.map(({ at }) => net.store.sourceName(at));
  const told = `what is beside the net is taken as its head${heads.length > 1 ? 's' : ''}: ${names.map((name) => `"${name}"`).join(', ')}`;
  const numbered = names.every((name) => /\d$/.test(name));
  const usual = isChain && (!areBeside || numbered) ? 'chain' : 'beside';
  const wiring = areBeside && isChain ? net.setting<string>('head_wiring', usual, `${told}, ${WIRING}`) : usual;
  net.assume(
    'heads',
    `${told}${heads.length > 1 ? `, ${wiring === 'chain' ? 'one behind the other' : 'each over the features of the net, and an output'}` : ''}`,
  );
  net.hasOwnHead = true;
  if (heads.length === 1 || wiring === 'chain') {
    net.endsInClasses = true;
    return runLeaves(net, x, heads[0]!.at, chain, 'relu', []);
  }
  net.heads = Object.fromEntries(heads.map(({ at, leaves }, i) => [names[i]!, runLeaves(net, x, at, leaves, 'relu', [])]));
  return Object.values(net.heads)[0]!;
}

interface Head {
  readonly at: string;
  readonly leaves: readonly Leaf[];
}

/** Modules right below the net's place, or beside it, that nothing of the net was; null where one of them is called like no head. */
function groupsOf(net: Net): readonly string[] | null {
  const { prefix = '' } = net.store;
  const names = net.store.leftOver().map(({ name }) => name);
  const groups = [...new Set(names.filter((name) => !OTHERS.test(name)).map((name) => topOf(name, prefix)))];
  return groups.length > MAX_HEADS || groups.some((name) => name === null || !WORDS.test(name)) ? null : groups.map((name) => RAW_NAME + name);
}

/** The first part of a name, behind the net's prefix where it has that; null for a tensor that is no module's. */
function topOf(name: string, prefix: string): string | null {
  const at = placesAround(prefix).find((place) => name.startsWith(place))!.length;
  const dot = name.indexOf('.', at);
  return dot < 0 ? null : name.slice(0, dot);
}

/** A head; or those that lie in it side by side (a ModuleDict, a ModuleList). */
function apart(net: Net, at: string, features: number): readonly (Head | null)[] {
  const leaves = leavesOf(net, at);
  const into = net.store.shape(leaves.find(({ kind }) => kind === 'dense')?.path ?? at)?.[1];
  if (outOf(net, leaves, into ?? features) !== null) return [{ at, leaves }];
  const children = childrenOf(net, at).map((child) => ({ at: `${at}.${child}`, leaves: leavesOf(net, `${at}.${child}`) }));
  const fit = children.length > 1 && children.every((child) => outOf(net, child.leaves, features) !== null);
  return fit ? children : [null];
}

/** How many numbers come out where each layer takes what the one before it makes; null where one does not. */
function outOf(net: Net, leaves: readonly Leaf[], features: number): number | null {
  let flowing: number | undefined = features;
  for (const { path, kind } of leaves) {
    if (kind === 'dense') {
      const shape = net.store.shape(path);
      if (shape?.length !== 2 || shape[1] !== flowing) return null;
      flowing = shape[0];
    } else if (net.store.shape(path, kind === 'norm' ? 'mean' : 'scale')?.[0] !== flowing) return null;
  }
  return leaves.some(({ kind }) => kind === 'dense') ? (flowing ?? null) : null;
}
