/** What a verification found; `schemas/report.schema.json` describes it. */

import type { Claim } from '../model/claims.js';
import type { Change } from '../model/edited.js';

/** `disputed`: an importer of the source's format says otherwise, and our evaluator of the source and the file's own runtime agree with each other. */
export type Verdict = 'match' | 'mismatch' | 'disputed' | 'nothing-compared';

export interface Witness {
  /**
   * `recorded`: outputs of the original framework; `runtime`: another runtime on the original file; `reference`: our evaluator on
   * the layer map; `weights`: the source's weights alone, for a target that has no wiring.
   */
  readonly kind: 'recorded' | 'runtime' | 'reference' | 'weights';
  /** Whether it shares no code with our reader, and so can see the reader's mistakes. */
  readonly independent: boolean;
  /** A sentence on what it is, and what it cannot see. */
  readonly detail: string;
  /** Independent witnesses that could not be asked, before this one was taken: engines by name; the notes say why. */
  readonly refused: readonly string[];
}

/** How many values of each side are NaN or infinite. */
export interface NonFinite {
  readonly expected: number;
  readonly actual: number;
}

export interface OutputReport {
  readonly name: string;
  /** Values compared; where both sides have the same NaN or infinity there is nothing to compare. */
  readonly compared: number;
  /** Whether both sides gave arrays of the same shape without a single value, so that there is nothing to compare. */
  readonly isEmpty?: boolean;
  /** NaN and infinities among the values; where there are any, the output does not match. */
  readonly nonFinite: NonFinite;
  /** Infinite where one side is not finite, or not in the same way. So are the two that follow. */
  readonly maxAbsolute: number;
  /** Of values that are not tiny beside the output's scale. */
  readonly maxRelative: number;
  /** max|a - b| / max|expected|, over each sample's whole output; the worst. */
  readonly relativeToScale: number;
  /** The largest difference as a part of what is allowed at its place: what is beyond 1 fails. */
  readonly ofAllowed: number;
  readonly cosine: number | null;
  /** Samples whose largest value is at the same place; null where the output is no list of classes. */
  readonly top1: { readonly same: number; readonly of: number } | null;
  readonly worst: { readonly index: readonly number[]; readonly expected: number; readonly actual: number } | null;
  readonly passed: boolean;
}

/** What one layer makes, compared with what the witness's layer makes. */
export interface LayerReport {
  readonly layer: string;
  readonly canonicalName: string | null;
  readonly op: string;
  /** What its value was compared with: 'recorded', the name of an engine, or 'reference'. */
  readonly witness: string;
  /** Of the value compared, channels-first, one sample. */
  readonly shape: readonly number[];
  readonly compared: number;
  readonly nonFinite: NonFinite;
  readonly maxAbsolute: number;
  /** max|a - b| / max|expected| over the layer's whole value; the worst sample. */
  readonly relativeToScale: number;
  /** The largest difference as a part of what is allowed at its place: what is beyond 1 fails. */
  readonly ofAllowed: number;
  /** What is allowed, of the layer's scale. */
  readonly allowed: number;
  readonly passed: boolean;
}

/** One weight of the written file beside the one that it was made from. */
export interface WeightReport {
  readonly layer: string;
  readonly role: string;
  /** Name of the tensor in the written file. */
  readonly name: string;
  /** As stored. */
  readonly dtype: string;
  /** 'as is', 'rounded', 'int8 per channel', 'uint8 per tensor', ... */
  readonly method: string;
  /** Values of the weight. */
  readonly count: number;
  readonly byteLengthBefore: number;
  readonly byteLengthAfter: number;
  /** NaN and infinities among the stored values. */
  readonly nonFinite: number;
  /** Largest |source - what the stored values stand for|; null where that was not worked out. */
  readonly maxAbsolute: number | null;
  /** Root mean square of the difference over that of the source. */
  readonly relativeError: number | null;
  /** Whether every stored value is the source's, or what rounding to the stored dtype makes of it. */
  readonly equal: boolean;
}

export interface WeightMismatch {
  readonly layer: string;
  readonly role: string;
  readonly message: string;
}

export interface WeightsReport {
  readonly compared: number;
  /** Tensors without a mismatch. */
  readonly equal: number;
  /** Whether a mismatch decides the verdict: not where weights were folded into each other, or where equal names are a coincidence. */
  readonly judged: boolean;
  /** Layers of which the file has no weight: folded into others, or called otherwise. */
  readonly unpaired: readonly string[];
  /** What the file says of how its weights were made, so that they are not the source's one by one; on its word alone. */
  readonly claims?: readonly Claim[];
  readonly mismatches: readonly WeightMismatch[];
  readonly tensors: readonly WeightReport[];
}

export interface ToleranceReport {
  readonly atol: number;
  readonly rtol: number;
  readonly why: string;
  /** What one rounding does to the output that it moves most, of its scale, where the tolerance follows from that; else null. */
  readonly rounding: number | null;
  /** The smallest rtol, with the same atol, that would have passed; null where none would. */
  readonly smallestPassing: number | null;
}

/** How much was compared; a verdict of a match says that it is all there is. */
export interface ComparedReport {
  /** Outputs of which values were compared. */
  readonly outputs: number;
  /** Outputs that there are. */
  readonly of: number;
  readonly values: number;
}

/** What the file promises to its users otherwise than the source does. */
export interface InterfaceDifference {
  /** `count`: a port more or less; `order`; `dtype`; `rank`; `size`: another one; `fixed`: one that the source leaves free; `free`: one that it does not; `name`: another one; `initialiser`: a weight that is an input too. */
  readonly kind: 'count' | 'order' | 'dtype' | 'rank' | 'size' | 'fixed' | 'free' | 'name' | 'initialiser';
  readonly port: string;
  readonly message: string;
  /** Whether it decides the verdict, or is only told. */
  readonly judged: boolean;
}

/** Something that was run beside single inputs of the first size. */
export interface TrialReport {
  readonly kind: 'batch' | 'sizes' | 'inner' | 'alone' | 'stated' | 'float16';
  /** 'a batch of 3', 'a free size of 64', 'what "softmax" reads', 'each layer alone', 'activations beyond what the inputs reach', 'true float16'. */
  readonly what: string;
  /** Null where the expected side does not do it either, or it could not be looked at. */
  readonly passed: boolean | null;
  readonly message: string;
}

/** How much of the net the inputs put to use: units once on and once off, limits of clips once met, padded edges once with a value beside them. */
export interface CoverageReport {
  /** Parts that were put to use. */
  readonly reached: number;
  /** Parts that there are. */
  readonly of: number;
  /** Inputs that were found by search, and run beside the generated ones. */
  readonly added: number;
  /** 'relu3: 2 of 64 units never fired': what may be wrong unseen. */
  readonly unseen: readonly string[];
}

/** One of the two questions about a file whose weights were narrowed. */
export interface NarrowingReport {
  /** What the written file is compared with. */
  readonly expected: string;
  readonly tolerance: ToleranceReport;
  readonly outputs: readonly OutputReport[];
  readonly passed: boolean;
}

/** A share of rows, and between which shares it lies with 95 % certainty. */
export interface ShareReport {
  readonly count: number;
  readonly of: number;
  readonly share: number;
  readonly low: number;
  readonly high: number;
}

/** What narrower weights cost in predictions, on given inputs; of the output whose top class moved most often. */
export interface AgreementReport {
  readonly output: string;
  /** Rows with the same class first. */
  readonly same: ShareReport;
  /** Rows with the same five classes before all others; null where there are no more than five. */
  readonly five: ShareReport | null;
  /** Kullback-Leibler divergence of the probabilities before from those now, in nats; null where outputs are no probabilities. */
  readonly divergence: { readonly median: number; readonly largest: number } | null;
  /** How far the first class is ahead of the second, of its own value: in the median of all rows and of those whose top class moved, and rows by tenths of it. */
  readonly margins: { readonly all: number; readonly moved: number | null; readonly bands: readonly { readonly all: number; readonly moved: number }[] };
  /** Rows whose top class is that of their label; null where there are no labels. */
  readonly accuracy: {
    readonly expected: ShareReport;
    readonly actual: ShareReport;
    /** Rows that were right before and are no more, and the other way round. */
    readonly lost: number;
    readonly gained: number;
  } | null;
  /** Whether the rows show no drop worth speaking of. */
  readonly passed: boolean;
}

/** For files with narrower weights than their source: is it what it says, and what did that cost. */
export interface QuantisationReport {
  /** 'int8 per channel', 'float16', ... */
  readonly methods: readonly string[];
  /** Against the file's own weights, widened: null where that could not be run. */
  readonly correctness: NarrowingReport | null;
  /** Against the original. */
  readonly loss: NarrowingReport | null;
  /** What decides whether the loss is too much: a bound on values; predictions; or nothing, as on generated inputs, which cannot tell. */
  readonly lossJudgedBy: 'bound' | 'predictions' | 'nothing';
  /** Null where inputs were generated, too few, or the outputs are no classes. */
  readonly agreement: AgreementReport | null;
  /** How many times as large the loss is as that of float16 weights, on the same inputs; null where that was not measured. */
  readonly ofFloat16: number | null;
}

export interface FirstDifference {
  /** The first layer, in running order, that is out of tolerance, or whose weight is wrong. */
  readonly layer?: string;
  readonly message: string;
}

/** What kind of mistake it is: which of those that were tried on the first layer that differs gives what was found. */
export interface CauseReport {
  /** The layer that was looked at. */
  readonly layer: string;
  /**
   * `file`: the written file departs from the source as it was read; `reading`: the original's own runtime, or its recording, departs from
   * it; `recording`: what was recorded is of the net, and not as it is compared.
   */
  readonly side: 'file' | 'reading' | 'recording';
  /** Whether what the layer makes was compared, or its weights as they are stored. */
  readonly by: 'values' | 'weights';
  /** As it is, of the scale; null where it is no number, as between different shapes. */
  readonly error: number | null;
  /** What explains it, all equally well; empty where nothing that was tried does. */
  readonly explainedBy: readonly {
    /** A stable word: 'kernel-flipped'. */
    readonly kind: string;
    readonly what: string;
    /** The layer that is changed, which may be one before it that nothing shows apart. */
    readonly layer: string;
    /** What is left of the error. */
    readonly error: number;
  }[];
  readonly tried: number;
  /** All of it in a sentence. */
  readonly message: string;
}

/** A file as it was when it was verified. */
export interface FileFact {
  readonly path: string;
  readonly byteLength: number;
  readonly sha256: string;
}

export interface Report {
  readonly schema: 'weighbridge/report@1';
  readonly verdict: Verdict;
  readonly witness: Witness;
  /** Whether an independent witness was asked for, so that a match without one is a failure. */
  readonly witnessRequired: boolean;
  /** All files that were read of both sides; null where the report is not kept, or no file system is at hand. */
  readonly files: { readonly expected: readonly FileFact[]; readonly actual: readonly FileFact[] } | null;
  readonly engines: { readonly expected: string; readonly actual: string };
  readonly device: string;
  readonly tolerance: ToleranceReport;
  readonly inputs: {
    readonly samples: number;
    readonly seed: number | null;
    readonly kind: 'generated' | 'recorded' | 'none';
    /** How large the generated numbers were: '0 to 255'. */
    readonly ranges: readonly string[];
  };
  readonly compared: ComparedReport;
  /** Empty where the target has weights only. */
  readonly outputs: readonly OutputReport[];
  /** Empty where the file promises what the source does. */
  readonly interface: readonly InterfaceDifference[];
  readonly trials: readonly TrialReport[];
  /** Null where inputs are given or counted out, weights are narrower, or the net is too large to look inside in passing. */
  readonly coverage: CoverageReport | null;
  /** In running order; null where layers were not compared. */
  readonly layers: readonly LayerReport[] | null;
  /** Null where weights were not compared one by one. */
  readonly weights: WeightsReport | null;
  /** Null where no weight is narrower than in the source. */
  readonly quantisation: QuantisationReport | null;
  readonly firstDifference: FirstDifference | null;
  /** Null where nothing differs, or it could not be looked for, which a note says. */
  readonly cause: CauseReport | null;
  /** What was assumed while the source was read, because it does not say: the first suspects where the two differ. */
  readonly assumed: readonly string[];
  /** Layers of either file that act as in training: what they give depends on chance, or on the rest of a batch. */
  readonly training: readonly string[];
  /** What was done to the net between reading and writing it; the expected side is the source before that. */
  readonly changes: readonly Change[];
  readonly notes: readonly string[];
  readonly elapsedMs: number;
}
