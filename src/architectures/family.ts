/** What a family of architectures is: how it is built, how its sources name their modules, and what comes before and after it. */
import type { LayerMap } from '../model/layer-map.js';
import type { Framing, Preparation } from '../model/preparation.js';
import type { Net, Outputs, Value } from './net.js';
import { withoutPrefix } from './spelling.js';
import type { Ecosystem, Spell, WeightStore } from './store.js';

/** What the net expects of a picture, in the order of the channels that it reads. */
export interface Preprocessing {
  readonly order: 'RGB' | 'BGR';
  /** Values of a picture before mean and std. */
  readonly range: readonly [number, number];
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/** How one ecosystem spells the modules of a family. */
export interface Spelling {
  readonly ecosystem: Ecosystem;
  /** Its module for one of the family's own; null where it has none. */
  readonly spell: Spell;
}

/** torchvision's features alone, or as the first of a Sequential. */
export const FEATURES_ALONE: Spelling = { ecosystem: 'torchvision', spell: withoutPrefix('features.') };

/** The names and shapes of a source, as a family asks for them. */
export interface Names {
  readonly ecosystem: Ecosystem;
  /** The source's own names of all modules with weights, in its order. */
  readonly modules: readonly string[];
  has(path: string): boolean;
  /** Of a kernel, or of another role; empty where there is none. */
  shape(path: string, role?: string): readonly number[];
  /** How many there are of a module with a running number in its name, `{n}`, counted from `first`. */
  count(path: string, first?: number): number;
}

/** @typeParam Size what tells one member of the family from another; what weights tell (`measure`), or a published net (`sizes`). */
export interface Family<Size = unknown> {
  readonly name: string;
  /** As its paper calls it. */
  readonly title: string;
  /** Who described it, and where. */
  readonly source: string;
  /** Published nets by the names under which they are known. */
  readonly sizes: Readonly<Record<string, Size>>;
  /** Names that `--arch` knows beside those of published nets. */
  readonly otherNames?: RegExp;
  /** The first convolution: its kernel tells the channels of the input, its name where in a larger file the net lies. */
  readonly stem: string;
  /** Channels of the input, where the first convolution takes others. */
  readonly channels?: (size: Size) => number;
  /** Keras's own net ends in logits, whatever activation it is asked for; others of Keras's end in a softmax. */
  readonly kerasLogits?: true;
  /** What comes out of a net that is no classifier. */
  readonly output?: string;
  /** What flows in, where a description says it: channels, height, width. */
  readonly input?: readonly [number, number, number];
  /** Side of the pictures that it was made for. */
  readonly side: number | ((size: Size, ecosystem: Ecosystem) => number);
  readonly spellings: readonly Spelling[];
  /** The name that the paper or the first release gives to a module. */
  readonly canonical?: Spell;
  /** Tensors that only matter in training, or are worked out from the net's sizes: names of the source. */
  readonly training?: { test(name: string): boolean };
  /** Modules that come behind what the net gives, and take something else as well: names of the source. They are left out, and told. */
  readonly beyond?: RegExp;
  /** @param stem what the source calls the first convolution */
  readonly preprocessing: (ecosystem: Ecosystem, size: Size, stem?: string) => Preprocessing;
  /** Where the published nets' classes come from, and their order; ImageNet's where left out. */
  readonly labels?: string;
  /** How many they are; 1000 where left out. */
  readonly classes?: number;
  /** Reads the size off the weights; null where they are of no such net. */
  measure(names: Names): Size | null;
  /** One value, or several by the names of the net's outputs. */
  build(net: Net, x: Value, size: Size): Value | Outputs;
  /** The same net under the family's own names, where `measure` takes those of the source. */
  renamed?(size: Size): Size;
  /** Names the finished net, where its size alone does not. */
  finish?(map: LayerMap): LayerMap;
}

/** What modules are called where files name them otherwise: as in the paper's first release, else as the family has them. */
export function canonicalOf({ canonical, finish, input }: Family): Spell | undefined {
  return canonical ?? (finish || input ? undefined : (path) => path);
}

/** The same for sizes that say the same, in whatever order they were put together; what is undefined is not there. */
export function sizeKey(size: unknown): string {
  return JSON.stringify(size, (_, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
}

/** Forgets the type of the size, which only the family itself needs. */
export function family<Size>(description: Family<Size>): Family {
  return description as unknown as Family;
}

export const IMAGENET_LABELS = 'ImageNet-1k (ILSVRC 2012): 1000 classes in the order of their WordNet numbers, tench (n01440764) first';

export const TORCHVISION = { order: 'RGB', range: [0, 1], mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] } as const satisfies Preprocessing;
/** Keras's 'caffe' mode: pictures of 0 to 255, blue first, the mean taken off. */
export const CAFFE = { order: 'BGR', range: [0, 255], mean: [103.939, 116.779, 123.68], std: [1, 1, 1] } as const satisfies Preprocessing;
/** Keras's 'tf' mode: -1 to 1. */
export const SYMMETRIC = { order: 'RGB', range: [0, 1], mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] } as const satisfies Preprocessing;
/** OpenAI's, of the pictures that CLIP was trained on. */
export const CLIP = {
  order: 'RGB',
  range: [0, 1],
  mean: [0.48145466, 0.4578275, 0.40821073],
  std: [0.26862954, 0.26130258, 0.27577711],
} as const satisfies Preprocessing;
/** For nets that rescale the picture themselves. */
export const RAW = { order: 'RGB', range: [0, 255], mean: [0, 0, 0], std: [1, 1, 1] } as const satisfies Preprocessing;

/** The same for pictures of 0 to 255. */
export function preparationOf({ order, range: [low, high], mean, std }: Preprocessing, from: string, framing: Framing): Preparation {
  const unit = (high - low) / 255;
  return { order, mean: mean.map((value) => (value - low) / unit), scale: std.map((value) => unit / value), from, framing };
}

/** The names of a net that is a part of another. */
export function namesWithin(names: Names, path: (path: string) => string): Names {
  return {
    ...names,
    has: (name) => names.has(path(name)),
    shape: (name, role) => names.shape(path(name), role),
    count: (name, first) => names.count(path(name), first),
  };
}

/** More modules with running numbers than any net has; where a spelling forgets the number, there is no end of them. */
const MAX_COUNT = 10_000;

export function namesOf(store: WeightStore): Names {
  const has = (path: string) => store.has(path) === true;
  return {
    ecosystem: store.ecosystem,
    get modules() {
      return store.modules;
    },
    has,
    shape: (path, role) => store.shape(path, role) ?? [],
    count: (path, first = 0) => {
      let count = 0;
      while (count < MAX_COUNT && has(path.replaceAll('{n}', String(first + count)))) count++;
      return count;
    },
  };
}
