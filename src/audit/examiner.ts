/** What looks at one kind of file. Adding a kind is one file here and one line in `index.ts`. */
import type { ByteSource } from '../bytes/byte-source.js';
import type { FileSet } from '../bytes/file-set.js';
import type { RuleName } from './document.js';

export interface Examined {
  readonly source: ByteSource;
  /** With the archives that it lies in: 'model.pth/archive/data.pkl'. */
  readonly path: string;
  /** The first bytes. */
  readonly head: Uint8Array;
  /** Archives around it. */
  readonly depth: number;
  /** Files beside the model. */
  readonly files: FileSet;
}

export interface Audit {
  tell(rule: RuleName, message: string, path: string, offset?: number): void;
  /** Looks at a file inside of the one at hand. */
  examine(source: ByteSource, path: string, depth: number): Promise<void>;
}

export interface Examiner {
  /** For the list of what was looked at. */
  readonly kind: string;
  match(file: Examined): boolean | Promise<boolean>;
  /** @throws ModelError which becomes a finding */
  examine(file: Examined, audit: Audit): Promise<void>;
}
