/** What a lazy tensor is: the stored elements, the order in which they are visited, and what is done to each. `tensor.ts` makes them. */
import type { ByteSource } from '../bytes/byte-source.js';
import type { DType } from './dtype.js';

/** Where a tensor's bytes come from, for messages and for `inspect`. */
export interface Origin {
  readonly file: string;
  /** Byte offset in that file, where the bytes lie there in one piece. */
  readonly offset?: number;
  /** The tensor's own name in that file. */
  readonly name?: string;
}

/** One loop of the walk: `size` steps of `stride` elements (may be negative or zero). */
export interface Loop {
  readonly size: number;
  readonly stride: number;
}

/** How a step that makes elements wider does it, without any loss; `narrow-form.ts` says what that is for. */
export type Widening =
  /** The same value in a wider float. */
  | { readonly kind: 'cast' }
  /** min + scale * code */
  | { readonly kind: 'affine'; readonly scale: number; readonly min: number }
  /** scale * (code - zero), one pair for each place on the step's path */
  | { readonly kind: 'channels'; readonly scales: Float32Array; readonly zeroPoints?: ArrayLike<number> }
  /** table[code] */
  | { readonly kind: 'palette'; readonly table: Float32Array };

/** An element-wise step over a chunk. */
export interface Stage {
  /** dtype of what comes out. */
  readonly dtype: DType;
  readonly widens?: Widening;
  /** How many bits of each element files need; all where left out. See `packing.ts`. */
  readonly bits?: number;
  /** Whether integers stay the numbers that they are. */
  readonly isSameNumber?: boolean;
  /**
   * Maps whole elements. `input` is aligned to its element size and may be changed; what comes out may lie where it lay. Large
   * chunks lie in the memory of WebAssembly kernels (`kernelsOver`).
   */
  apply(input: Uint8Array): Uint8Array;
}

/** An order in which to visit things of a list, one for each element of a tensor. */
export interface Path {
  /** Index of the first thing visited. */
  readonly offset: number;
  /** For each axis of the tensor its loops, outer first; an axis made by merging axes has several. */
  readonly axes: readonly (readonly Loop[])[];
}

/** The stored elements under a tensor and the order in which to visit them. */
export interface Walk extends Path {
  /** Holds elements of `dtype`, little-endian, the first at byte 0. */
  readonly source: ByteSource;
  readonly dtype: DType;
  /** How many bits of each element files need; all where left out. */
  readonly bits?: number;
}

/**
 * A step that treats each element with a parameter that belongs to its place (the scale of its channel). Its path goes over the
 * parameters, and takes part in every change of layout.
 */
export interface PlacedStage extends Path {
  readonly dtype: DType;
  readonly widens?: Widening;
  readonly bits?: number;
  /** Begins one stream; what it gives maps all elements on the path, in order and in pieces, as `Stage.apply` maps one piece. */
  begin(path: Path): Stage['apply'];
}

export interface Tensor {
  /** Name in the source file. */
  readonly name: string;
  /** Of the elements that `chunks` yields. */
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly origin: Origin;
  readonly walk: Walk;
  readonly stages: readonly (Stage | PlacedStage)[];
  /** Its elements, row-major, where they are few and at hand: shapes and axes that a graph holds as constants. */
  readonly known?: readonly number[];
  /** What its source has, where its elements were only given another shape; null where they were put into another order. */
  readonly stored?: StoredShape | null;
  /** The weight that it was made from on purpose, in the same orientation, where it is to stand for it with fewer levels. */
  readonly replaces?: Replaced;
  /** How it was worked out from tensors of the file, where it was: as it is, or in the shape that `stored` tells. */
  readonly derived?: Derived;
}

/** A weight of the net that is none of the file's, but made from some; `derivations.ts` says how. */
export interface Derived {
  /** Name of the derivation. */
  readonly by: string;
  readonly from: readonly Tensor[];
  readonly settings: Readonly<Record<string, number>>;
}

export interface StoredShape {
  readonly shape: readonly number[];
  /** Whether the two axes of a matrix changed places behind that. */
  readonly turned: boolean;
}

export interface Replaced {
  readonly tensor: Tensor;
  /** What was done, for reports: 'int8 in steps of 0.7 deviations'. */
  readonly method: string;
}

/** Whether the stage treats elements by their place. */
export function isPlaced(stage: Stage | PlacedStage): stage is PlacedStage {
  return 'begin' in stage;
}
