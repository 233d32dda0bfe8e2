/** `diff` of two files on disk. */
import { type DiffOptions, diffFiles as diffSets } from '../diff/diff.js';
import type { DiffDocument } from '../diff/document.js';
import { openFiles, type SourceFileOptions } from './open-files.js';
import { checkOneOrigin } from './remote/location.js';
import { forPrograms } from './spelling.js';
import { onBytes, type Watching } from './watching.js';

export interface DiffFilesOptions extends Watching, Pick<DiffOptions, 'histograms'> {
  /** What the first file does not say of itself, and the second. */
  readonly a?: SourceFileOptions;
  readonly b?: SourceFileOptions;
}

/**
 * Compares two models of any formats, tensor by tensor.
 *
 * @returns the document that `weighbridge diff --json` prints
 * @throws ModelError for a file that cannot be read, or that holds no weights
 */
export async function diffFiles(a: string, b: string, options: DiffFilesOptions = {}): Promise<DiffDocument> {
  return forPrograms(options, async () => {
    if (options.a?.tokenEnv === options.b?.tokenEnv) checkOneOrigin([a, b], options.a?.tokenEnv);
    const first = await openFiles(a, options.a ?? {}, options.signal);
    try {
      const second = await openFiles(b, options.b ?? {}, options.signal);
      try {
        return await diffSets(first.files, second.files, {
          a: first.options,
          b: second.options,
          histograms: options.histograms,
          onProgress: onBytes(options, 'comparing'),
        });
      } finally {
        await second.files.close();
      }
    } finally {
      await first.files.close();
    }
  });
}
