/** What `convert` and `shrink` say of what they did; `schemas/convert.schema.json` describes it. */
import type { ConvertResult } from '../convert.js';
import type { Change } from '../model/edited.js';
import type { Report } from '../verify/report.js';

/** What `convert --json` prints. */
export interface ConvertDocument {
  readonly schema: 'weighbridge/convert@1';
  readonly source: {
    readonly path: string;
    readonly format: string;
    readonly producer: string | null;
    readonly architecture: string | null;
    readonly parameterCount: number;
    /** Of all its files. */
    readonly byteLength: number;
  };
  readonly target: {
    readonly format: string;
    readonly dtype: string;
    readonly byteLength: number;
    /** Of the compressed files; null where none were written. */
    readonly wireByteLength: number | null;
  };
  readonly files: readonly { readonly path: string; readonly byteLength: number; readonly sha256: string }[];
  /** What was done to the net between reading and writing it, in this order. */
  readonly changes: readonly Change[];
  readonly warnings: ConvertResult['warnings'];
  /** Of the conversion, without verification. */
  readonly elapsedMs: number;
  readonly report: Report | null;
}
