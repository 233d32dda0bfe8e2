/**
 * Which known net an unknown one is like, where no family can even be measured in it: by names of modules with their numbers left out, and
 * by the sizes of their kernels. It is a hint for whoever has to find out what the file is, and nothing is decided by it.
 */
import type { Turns } from '../bytes/breath.js';
import { isModelError } from '../errors.js';
import type { Tensor } from '../model/tensor.js';
import type { Family } from './family.js';
import { families } from './list.js';
import { Departure, Net } from './net.js';
import { blankStore, type Ecosystem, type WeightStore } from './store.js';

interface Module {
  readonly path: string;
  /** Of its largest weight. */
  readonly shape: readonly number[];
}

export interface Resemblance {
  readonly family: Family;
  /** Where it first departs, in words. */
  readonly departure: string;
}

type Builds = (family: Family, size: unknown, net: Net) => unknown;

/** Less in common than this is by chance: a classifier's name. */
const LEAST = 0.03;
/** Below this there is more that is not alike, and that is said. */
const LITTLE = 0.1;
/** No net of the families has so few or so many weights; what has is not compared with any, which takes a second. */
const MIN_TENSORS = 6;
const MAX_TENSORS = 20_000;
/** Whole names say more than what modules are called within their blocks. */
const WHOLE_NAME = 2;

/** @param tensors in the file's order; null where nothing is like it */
export function* resembling(tensors: readonly Pick<Tensor, 'name' | 'shape'>[], ecosystems: readonly string[], build: Builds): Turns<Resemblance | null> {
  if (tensors.length < MIN_TENSORS || tensors.length > MAX_TENSORS) return null;
  const modules = modulesOf(tensors);
  const own = features(modules);
  let best: { score: number; family: Family; known: ReadonlySet<string> } | null = null;
  for (const family of families) {
    yield;
    const asked = modulesAsked(family, build);
    for (const { spell } of family.spellings.filter(({ ecosystem }) => ecosystems.includes(ecosystem))) {
      const spelt = asked.flatMap(({ path, shape }) => (spell(path) ?? '').split(/[|+]/).flatMap((name) => (name === '' ? [] : [{ path: name, shape }])));
      const known = features(spelt);
      const score = shared(own, known);
      if (score > (best?.score ?? LEAST)) best = { score, family, known: new Set(known.keys()) };
    }
  }
  if (!best) return null;
  const { family, known, score } = best;
  const stranger = modules.find(({ path }) => !known.has(pattern(path)));
  const departure = stranger ? `"${stranger.path}" [${stranger.shape}] is none of its own` : 'its modules are not put together so';
  return { family, departure: score < LITTLE ? `little is common to them, and ${departure}` : departure };
}

/** What one published net of the family asks for; null for what none can be built of without weights. */
function modulesAsked(family: Family, build: Builds): readonly Module[] {
  const known = ASKED.get(family);
  if (known) return known;
  const asked: Module[] = [];
  const ecosystem: Ecosystem | undefined = family.spellings[0]?.ecosystem;
  const blank = blankStore(ecosystem);
  const store: WeightStore = {
    ...blank,
    take(path, kind, expected) {
      asked.push({ path, shape: Object.values(expected)[0] ?? [] });
      return blank.take(path, kind, expected);
    },
    takeParameter(path, expected) {
      asked.push({ path, shape: expected });
      return blank.takeParameter(path, expected);
    },
  };
  try {
    build(family, Object.values(family.sizes)[0], new Net(store));
  } catch (error) {
    if (!isModelError(error) && !(error instanceof Departure)) throw error;
  }
  ASKED.set(family, asked);
  return asked;
}

const ASKED = new WeakMap<Family, readonly Module[]>();

/** Modules of tensors, without what stands before all of their names. */
function modulesOf(tensors: readonly Pick<Tensor, 'name' | 'shape'>[]): readonly Module[] {
  const found = new Map<string, Module>();
  for (const { name, shape } of tensors) {
    const path = name.replace(/\.(weight|bias|running_mean|running_var|num_batches_tracked)$/, '');
    const before = found.get(path);
    if (!before || shape.length > before.shape.length) found.set(path, { path, shape });
  }
  return [...found.values()];
}

function pattern(path: string): string {
  return path.replace(/\d+/g, '#');
}

/** What modules are like, and how much each says. */
function features(modules: readonly Module[]): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  for (const { path, shape } of modules) {
    found.set(pattern(path), WHOLE_NAME);
    found.set(`${pattern(path).split('.').slice(-2).join('.')} ${shape.length} ${shape.slice(2).join('x')}`, 1);
  }
  return found;
}

/** How much of both is common to them. */
function shared(a: ReadonlyMap<string, number>, b: ReadonlyMap<string, number>): number {
  const sum = (weights: Iterable<number>) => [...weights].reduce((all, weight) => all + weight, 0);
  const both = [...a].flatMap(([feature, weight]) => (b.has(feature) ? [weight] : []));
  return (2 * sum(both)) / Math.max(1, sum(a.values()) + sum(b.values()));
}
