/** What a report can show beside numbers: the inputs as pictures with what both sides say, the weights' distribution, the first filters. */
import type { Counts } from '../model/histogram.js';

export interface Exhibits {
  /** Some of the inputs; those on which the two sides disagree come in beyond the usual number. */
  readonly samples: readonly SampleExhibit[];
  readonly histograms: readonly HistogramPair[];
  /** Weights beyond those shown. */
  readonly histogramsLeftOut: number;
  readonly filters: FilterExhibit | null;
}

export interface Picture {
  readonly png: Uint8Array;
  readonly width: number;
  readonly height: number;
}

export interface SampleExhibit {
  /** Which of the inputs, from 0. */
  readonly sample: number;
  /** One for each input that can be seen as a picture. */
  readonly pictures: readonly { readonly port: string; readonly picture: Picture }[];
  /** One for each output that is a list of classes. */
  readonly rankings: readonly Ranking[];
}

/** The classes with the largest values, on both sides, best first. */
export interface Ranking {
  readonly output: string;
  readonly expected: readonly RankedClass[];
  readonly actual: readonly RankedClass[];
  /** Whether the values are probabilities, which sum to one. */
  readonly isDistribution: boolean;
}

export interface RankedClass {
  readonly index: number;
  readonly label: string | null;
  readonly value: number;
}

/** How a weight's values are distributed, in the source and as written (quantised values turned back), over the source's range. */
export interface HistogramPair {
  readonly layer: string;
  readonly role: string;
  readonly min: number;
  readonly max: number;
  readonly source: Histogram;
  /** Null where the written file has no such weight of its own. */
  readonly written: Histogram | null;
}

export interface Histogram extends Counts {
  readonly dtype: string;
}

export interface FilterExhibit {
  readonly layer: string;
  /** Filters of the layer, and how many of them are shown. */
  readonly count: number;
  readonly shown: number;
  readonly channels: 1 | 3;
  readonly source: Picture;
  readonly written: Picture | null;
}
