/** `diff` of two files on disk. */
import { type DiffOptions, diffFiles as diffSets } from '../diff/diff.js';
import type { DiffDocument } from '../diff/document.js';
import { checkOptions, forPrograms, type OptionNames } from '../spelling.js';
import { openFiles, SOURCE_NAMES, type SourceFileOptions } from './open-files.js';
import { checkOneOrigin } from './remote/location.js';
import { onBytes, WATCHING_NAMES, type Watching } from './watching.js';

export interface DiffFilesOptions extends Watching, Pick<DiffOptions, 'histograms'> {
  /** What the first file does not say of itself, and the second. */
  readonly a?: SourceFileOptions;
  readonly b?: SourceFileOptions;
}

const DIFF_NAMES: OptionNames<DiffFilesOptions> = { ...WATCHING_NAMES, histograms: true, a: true, b: true };

/**
 * Compares two models of any formats, tensor by tensor.
 *
 * @returns the document that `weighbridge diff --json` prints
 * @throws ModelError for a file that cannot be read, or that holds no weights
 */
export async function diffFiles(a: string, b: string, options: DiffFilesOptions = {}): Promise<DiffDocument> {
  return forPrograms(options, async () => {
    checkOptions(options, DIFF_NAMES, 'diffFiles');
    for (const side of [options.a, options.b]) checkOptions(side ?? {}, SOURCE_NAMES, 'diffFiles');
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
