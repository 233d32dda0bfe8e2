/** What a check finds. `schemas/check.schema.json` describes the document. */

export interface Outcome {
  /** Name of the rule, or 'found', 'readable' and 'lock', which hold without being asked for. */
  readonly rule: string;
  readonly passed: boolean;
  /** What was found, and where it did not pass what was wanted. */
  readonly message: string;
}

export interface CheckedArtifact {
  /** As in the policy's folder; the pattern where it matches nothing. */
  readonly path: string;
  /** Line of the policy that asks for it. */
  readonly line: number;
  readonly format: string | null;
  readonly outcomes: readonly Outcome[];
}

/** What `check --json` prints. */
export interface CheckDocument {
  readonly schema: 'weighbridge/check@1';
  readonly policy: string;
  readonly artifacts: readonly CheckedArtifact[];
  /** The lock file, and whether it was written. */
  readonly lock: { readonly path: string; readonly updated: boolean } | null;
  readonly passed: boolean;
}
