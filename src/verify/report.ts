/** What a verification found; `schemas/report.schema.json` describes it. */

export type Verdict = 'match' | 'mismatch' | 'nothing-compared';

export interface Witness {
  /** `recorded`: outputs of the original framework; `runtime`: another runtime on the original file; `reference`: our evaluator on the layer map. */
  readonly kind: 'recorded' | 'runtime' | 'reference';
  /** Whether it shares no code with our reader, and so can see the reader's mistakes. */
  readonly independent: boolean;
  /** A sentence on what it is, and what it cannot see. */
  readonly detail: string;
}

export interface OutputReport {
  readonly name: string;
  /** Values compared. */
  readonly compared: number;
  readonly maxAbsolute: number;
  /** Of values that are not tiny beside the output's scale. */
  readonly maxRelative: number;
  /** max|a - b| / max|expected|, over each sample's whole output; the worst. */
  readonly relativeToScale: number;
  readonly cosine: number | null;
  /** Samples whose largest value is at the same place; null where the output is no list of classes. */
  readonly top1: { readonly same: number; readonly of: number } | null;
  readonly worst: { readonly index: readonly number[]; readonly expected: number; readonly actual: number } | null;
  readonly passed: boolean;
}

export interface WeightMismatch {
  readonly layer: string;
  readonly role: string;
  readonly message: string;
}

export interface Report {
  readonly schema: 'weighbridge/report@1';
  readonly verdict: Verdict;
  readonly witness: Witness;
  readonly engines: { readonly expected: string; readonly actual: string };
  readonly device: string;
  readonly tolerance: { readonly atol: number; readonly rtol: number; readonly why: string; readonly smallestPassing: number | null };
  readonly inputs: { readonly samples: number; readonly seed: number | null; readonly kind: 'generated' | 'recorded' };
  readonly outputs: readonly OutputReport[];
  /** Null where weights were not compared one by one. */
  readonly weights: { readonly compared: number; readonly equal: number; readonly mismatches: readonly WeightMismatch[] } | null;
  readonly firstDifference: { readonly message: string } | null;
  readonly notes: readonly string[];
  readonly elapsedMs: number;
}
