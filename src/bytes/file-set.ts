/** The files that make up one model: the one the user named and its companions in the same folder. */
import { ModelError } from '../errors.js';
import { type ByteSource, memorySource, sliceSource } from './byte-source.js';
import { refuseLeftover } from './leftover.js';

/** A model's folder, seen from the model's main file. Nothing outside the folder can be opened through it. */
export interface FileSet {
  /** Name of the main file relative to the folder, or null where the user named the folder itself. */
  readonly main: string | null;
  /** What the user typed, for messages. */
  readonly label: string;
  /** Path of the folder, where it is one on disk. */
  readonly folder?: string;
  /** Paths of the files that were opened through the set so far, where they are on disk. */
  openedPaths?(): readonly string[];
  /** Names of the files in the folder (not below it), sorted. */
  list(): Promise<readonly string[]>;
  /** Names of the files in the folders of the folder ('one/model.h5'), for whoever looks for models; where they can be listed. */
  below?(): Promise<readonly string[]>;
  /** Whether a file of that name can be opened. */
  has(name: string): Promise<boolean>;
  /**
   * Opens a file by its name relative to the folder, '/' between parts.
   *
   * @throws ModelError 'unsafe' when the name leaves the folder, 'malformed' when there is no such file, or in its place what a failed
   *   download left there (where it is not the main file, of which the reader's own words are better)
   */
  open(name: string): Promise<ByteSource>;
  /** Closes every source opened through the set. */
  close(): Promise<void>;
}

/**
 * Checks a file name found inside a model.
 *
 * @returns the name with '/' between its parts
 * @throws ModelError 'unsafe' for absolute names, drive letters, addresses, '..' and NUL
 */
export function checkRelativeName(name: string, file?: string): string {
  const parts = name.replaceAll('\\', '/').split('/');
  const leaves = name === '' || name.includes('\0') || /^([a-z]:|[a-z][a-z0-9+.-]*:\/\/|\/|\\)/i.test(name) || parts.includes('..');
  if (leaves) {
    throw new ModelError('unsafe', `the file name ${JSON.stringify(name)} leaves the model's folder. Only files beside the model are opened.`, { file });
  }
  return parts.filter((part) => part !== '' && part !== '.').join('/');
}

/** A file set over files in memory, for tests and for the browser. */
export function memoryFileSet(files: Readonly<Record<string, Uint8Array>>, main: string | null): FileSet {
  const names = Object.keys(files).sort();
  const set: FileSet = {
    main,
    label: main ?? 'memory',
    list: async () => names,
    has: async (name) => Object.hasOwn(files, checkRelativeName(name)),
    open: async (name) => {
      const bytes = files[checkRelativeName(name)];
      if (!bytes) throw new ModelError('malformed', `there is no file ${JSON.stringify(name)} beside the model`, { file: set.label });
      const source = memorySource(bytes, name);
      if (name !== main) await refuseLeftover(source);
      return source;
    },
    close: async () => {},
  };
  return set;
}

/** The set with one more file, which may lie elsewhere because the user named it on purpose. */
export function withFile(files: FileSet, name: string, source: ByteSource): FileSet {
  return {
    ...files,
    list: async () => [...new Set([...(await files.list()), name])].sort(),
    has: async (wanted) => wanted === name || files.has(wanted),
    // A window, so that who closes it leaves the file open for the next.
    open: async (wanted) => (wanted === name ? sliceSource(source, 0, source.byteLength) : files.open(wanted)),
    close: async () => {
      await source.close();
      await files.close();
    },
  };
}
