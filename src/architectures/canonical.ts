/**
 * Canonical names for nets that came with their wiring: where layers are named as a family names them in any of its spellings, and their
 * weights have its shapes, they are called what that family calls them. So the same net is compared layer by layer however its source
 * names it.
 */
import { isModelError } from '../errors.js';
import type { Layer, LayerMap } from '../model/layer-map.js';
import { float32Tensor, permute } from '../model/tensor.js';
import { canonicalOf, type Family, namesOf, type Spelling } from './family.js';
import { families } from './list.js';
import { Departure, Net } from './net.js';
import { buildNet } from './recognise.js';
import type { ModuleKind, Spell, WeightStore, Weights } from './store.js';

/** The map with canonical names; as it is where it has them already, or is of no family. */
export function withCanonicalNames(map: LayerMap): LayerMap {
  if (map.layers.some(({ canonicalName }) => canonicalName !== undefined)) return map;
  for (const family of families.filter(({ finish }) => !finish)) {
    for (const spelling of spellingsOf(family)) {
      const found = namesBy(family, spelling, map);
      if (found) return { ...map, layers: map.layers.map((layer) => (found.has(layer.name) ? { ...layer, canonicalName: found.get(layer.name)! } : layer)) };
    }
  }
  return map;
}

/** The first release's own names, too. */
function spellingsOf({ spellings, canonical }: Family): readonly Spelling[] {
  return canonical ? [...spellings, { ecosystem: 'caffe', spell: canonical }] : spellings;
}

/** Canonical names by those of the map's layers; null where it is no net of this family. */
function namesBy(family: Family, { ecosystem, spell }: Spelling, map: LayerMap): Map<string, string> | null {
  const store = mapStore(map.layers, spell, ecosystem);
  if (store.has(family.stem) !== true) return null;
  const size = family.measure(namesOf(store));
  if (size === null) return null;
  const net = new Net(store, { canonical: canonicalOf(family) });
  try {
    buildNet(family, size, net, { file: '', format: map.format, producer: null });
  } catch (error) {
    if (error instanceof Departure || isModelError(error)) return null;
    throw error;
  }
  if (store.leftOver().length > 0) return null;
  return new Map(net.layers.flatMap(({ name, canonicalName }) => (canonicalName === undefined ? [] : [[name, canonicalName] as const])));
}

/** Layers of a map by their names, as if they were a source without wiring. */
export function mapStore(layers: readonly Layer[], spell: Spell, ecosystem: WeightStore['ecosystem']): WeightStore {
  const byName = new Map<string, Layer>();
  for (const layer of layers) if (Object.keys(layer.weights).length > 0 && !byName.has(layer.name)) byName.set(layer.name, layer);
  // A head of several layers is there where its first one is: 'classifier' by 'classifier.1'.
  const names = new Set([...byName.keys()].flatMap((name) => name.split('.').map((_, i, parts) => parts.slice(0, i + 1).join('.'))));
  const used = new Set<Layer>();
  const find = (path: string) =>
    spell(path)
      ?.split('|')
      .map((name) => byName.get(name))
      .find((layer) => layer !== undefined);
  const take = (path: string, weights: (layer: Layer) => Weights | null) => {
    const layer = find(path);
    const taken = layer ? weights(layer) : null;
    if (taken) used.add(layer!);
    return taken;
  };
  return {
    ecosystem,
    modules: [...byName.keys()],
    layout: 'nchw',
    has: (path) =>
      spell(path)
        ?.split('|')
        .some((name) => names.has(name)) ?? false,
    sourceName: (path) => find(path)?.name ?? spell(path)?.split('|')[0] ?? path,
    shape: (path, role = 'kernel') => {
      const layer = find(path);
      return layer && (layer.op === 'MatMul' && role === 'kernel' ? layer.weights.kernel?.shape.toReversed() : layer.weights[role]?.shape);
    },
    take: (path, kind) => take(path, (layer) => weightsOf(layer, kind)),
    takeParameter: (path) => take(path, ({ weights }) => (weights.operand ? { operand: weights.operand } : null))?.operand ?? null,
    // What is done to pictures has no weights that matter here.
    takeStatistics: () => ({ mean: float32Tensor('mean', [3], [0, 0, 0], { file: '' }), variance: float32Tensor('variance', [3], [1, 1, 1], { file: '' }) }),
    leftOver: () => [...byName.values()].filter((layer) => COUNTED.has(layer.op) && !used.has(layer)).flatMap(({ weights }) => Object.values(weights)),
  };
}

/** Operators whose weights a family would have asked for. */
export const COUNTED: ReadonlySet<string> = new Set(['Conv', 'Gemm', 'MatMul', 'BatchNormalization', 'LayerNormalization']);

const OPS: Readonly<Record<ModuleKind, readonly string[]>> = {
  conv: ['Conv'],
  depthwise: ['Conv'],
  separable: [],
  dense: ['Gemm', 'MatMul'],
  norm: ['BatchNormalization'],
  'layer-norm': ['LayerNormalization'],
};

function weightsOf({ op, weights }: Layer, kind: ModuleKind): Weights | null {
  if (!OPS[kind].includes(op)) return null;
  return op === 'MatMul' ? { ...weights, kernel: permute(weights.kernel!, [1, 0]) } : weights;
}
