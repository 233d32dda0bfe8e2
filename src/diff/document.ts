/** What `diff` finds: `schemas/diff.schema.json` describes it. */
import type { Counts } from '../model/histogram.js';

/**
 * - `equal`: bit for bit, in the same order.
 * - `changed`: equal after changes that have names.
 * - `close`: the relative L2 distance is at most a tenth; training on would leave so much.
 * - `different`: further apart, or of another shape.
 */
export type TensorStatus = 'equal' | 'changed' | 'close' | 'different' | 'only-in-a' | 'only-in-b';

export type ChangeKind =
  | 'axes-permuted'
  | 'flipped'
  | 'channels-reversed'
  | 'flatten-order'
  | 'rows-permuted'
  | 'reshaped'
  | 'scaled'
  | 'rounded'
  | 'stored-as'
  | 'signs-of-zero'
  | 'batch-norm-folded';

/** What must be done to a's values to get b's, or where they are stored otherwise. */
export interface Change {
  readonly kind: ChangeKind;
  /** In words: 'axes permuted (2, 3, 1, 0)', 'rounded to float16'. */
  readonly text: string;
  /** Whether it leaves every value and its meaning as they are: another order of storing, a wider dtype. */
  readonly keepsValues: boolean;
}

/** How two tensors were found to belong together. */
export type Alignment = 'canonical-name' | 'name' | 'position' | 'content';

export interface TensorPlace {
  /** As the file has it. */
  readonly name: string;
  readonly layer: string | null;
  readonly dtype: string;
  /** In the layer map's orientation where both files have a map, else as stored. */
  readonly shape: readonly number[];
}

/** Over all pairs of values, after the changes that are named. */
export interface TensorStatistics {
  readonly maxAbsolute: number | null;
  /** |b - a| / |a|; null where a is all zero or not finite. */
  readonly relativeL2: number | null;
  /** Of the values themselves, not of their deviations from the mean: 1 for multiples of each other. */
  readonly cosine: number | null;
  /** Values that differ. */
  readonly differing: number;
  readonly nonFinite: { readonly a: number; readonly b: number };
}

export interface TensorHistograms {
  readonly min: number;
  readonly max: number;
  readonly a: Counts;
  readonly b: Counts;
}

export interface TensorDiff {
  readonly status: TensorStatus;
  /** The layer's canonical name where it has one, else a's, else b's. */
  readonly layer: string;
  /** 'kernel', 'bias'; the last part of the name where there is no layer map. */
  readonly role: string;
  readonly count: number;
  readonly a: TensorPlace | null;
  readonly b: TensorPlace | null;
  readonly alignedBy: Alignment | null;
  readonly changes: readonly Change[];
  /** Null where the bits are equal, and where shapes leave nothing to compare. */
  readonly statistics: TensorStatistics | null;
  /** Where asked for, of tensors that are neither equal nor alone. */
  readonly histograms: TensorHistograms | null;
  /** Where the same values stand in the other file, under another name. */
  readonly elsewhere: string | null;
}

export interface LayerPlace {
  readonly name: string;
  readonly op: string;
}

export interface StructureDiff {
  /** Layers that were lined up. */
  readonly aligned: number;
  readonly onlyInA: readonly LayerPlace[];
  readonly onlyInB: readonly LayerPlace[];
  /** Layers that compute something else with the same weights. */
  readonly changed: readonly { readonly a: LayerPlace; readonly b: LayerPlace; readonly what: readonly string[] }[];
  /** What the inputs and outputs are otherwise, in sentences. */
  readonly ports: readonly string[];
  /** Whether layers that only one of the two has count: not between formats, which spell one net with other layers. */
  readonly judged: boolean;
}

export interface DiffSide {
  readonly path: string;
  readonly format: string;
  readonly producer: string | null;
  readonly architecture: string | null;
  readonly tensors: number;
  readonly parameterCount: number;
  /** Why the weights were compared as they are stored; null where there is a layer map. */
  readonly withoutMap: string | null;
}

/**
 * - `identical`: the same bits in the same order.
 * - `same-weights`: equal after named changes.
 * - `other-wiring`: the weights are equal and the layers are not.
 * - `fine-tuned`: the same net, of which some weights differ.
 * - `same-net`: the same layers and other weights in all of them.
 * - `different-nets`: most of the tensors have no counterpart.
 */
export type VerdictKind = 'identical' | 'same-weights' | 'other-wiring' | 'fine-tuned' | 'same-net' | 'different-nets';

export interface DiffDocument {
  readonly schema: 'weighbridge/diff@1';
  readonly verdict: {
    readonly kind: VerdictKind;
    /** Whether every value of both files has its equal in the other, and no layer computes something else. */
    readonly equal: boolean;
    readonly sentence: string;
  };
  readonly a: DiffSide;
  readonly b: DiffSide;
  readonly totals: Readonly<Record<TensorStatus, number>>;
  /** Layers that have weights, and those of them that differ, in running order. */
  readonly layers: { readonly compared: number; readonly differing: readonly string[] };
  readonly tensors: readonly TensorDiff[];
  /** Null where not both files hold wiring. */
  readonly structure: StructureDiff | null;
  readonly notes: readonly string[];
  readonly elapsedMs: number;
}
