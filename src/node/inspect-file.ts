/** `inspect` of a file on disk. */
import { type InspectOptions, inspect, type ModelDocument } from '../inspect.js';
import { checkOptions, forPrograms, type OptionNames } from '../spelling.js';
import { openFiles, SOURCE_NAMES, type SourceFileOptions } from './open-files.js';
import { sha256Hasher } from './sha256-hasher.js';
import { onBytes, WATCHING_NAMES, type Watching } from './watching.js';

export interface InspectFileOptions extends SourceFileOptions, Watching, Pick<InspectOptions, 'weights'> {}

const INSPECT_NAMES: OptionNames<InspectFileOptions> = { ...SOURCE_NAMES, ...WATCHING_NAMES, weights: true };

/**
 * What a model file holds: format, producer, architecture, layers and weights. With `weights` every weight is read, for statistics and SHA-256.
 *
 * @returns the document that `weighbridge inspect --json` prints
 * @throws ModelError for a file that cannot be read, or whose wiring and weights disagree
 */
export async function inspectFile(path: string, options: InspectFileOptions = {}): Promise<ModelDocument> {
  return forPrograms(options, async () => {
    checkOptions(options, INSPECT_NAMES, 'inspectFile');
    return inspectPath(path, options);
  });
}

/** The same in the command's words. */
export async function inspectPath(path: string, options: InspectFileOptions): Promise<ModelDocument> {
  const source = await openFiles(path, options, options.signal, options.weights !== true);
  try {
    return await inspect(source.files, {
      ...source.options,
      weights: options.weights,
      createHasher: options.weights ? await sha256Hasher() : undefined,
      onProgress: onBytes(options, 'reading weights'),
    });
  } finally {
    await source.files.close();
  }
}
