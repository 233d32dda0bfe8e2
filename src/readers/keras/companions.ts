/** The configuration of a Keras model that lies beside its weights, and what the JSON says of its origin. */
import type { FileSet } from '../../bytes/file-set.js';
import { checkJson } from '../../containers/json.js';
import { ModelError } from '../../errors.js';
import type { ReadOptions } from '../reader.js';

export interface ConfigText {
  readonly text: string;
  /** The file that it was read from; null where it is in the weights' own file. */
  readonly name: string | null;
}

/** Configurations of the largest published nets have some megabytes. */
const MAX_CONFIG_BYTES = 2 ** 26;
/** What people put between the net's name and ".json". */
const JSON_SUFFIXES: readonly string[] = ['', '_config', '.config', '_arch', '_architecture', '_model', '_json', '-config'];

/** The configuration that the user named, or else one of the weights' own name beside them. */
export async function findConfigBeside(files: FileSet, options: ReadOptions): Promise<ConfigText | null> {
  const named = options.config ?? (options.arch?.endsWith('.json') ? options.arch : undefined);
  if (named !== undefined) return { text: await readText(files, named), name: named };
  const base = files.main!.replace(/\.[^.]*$/, '');
  const stems = new Set([base, base.replace(/[._-]?weights?$/i, ''), base.replace(/([._-]legacy)?[._-]?weights?$/i, '')]);
  for (const stem of stems) {
    for (const suffix of JSON_SUFFIXES) {
      const name = `${stem}${suffix}.json`;
      if (!(await files.has(name))) continue;
      const text = await readText(files, name);
      if (looksLikeConfig(text)) return { text, name };
    }
  }
  return null;
}

/** Version and backend, which `model.to_json()` has noted since Keras 1.2; Keras 3 can be told by its policies. */
export function configOrigin(text: string): { readonly version: string | null; readonly backend: string | null } {
  let json: Readonly<Record<string, unknown>> | null;
  try {
    checkJson(text, '');
    json = JSON.parse(text) as Readonly<Record<string, unknown>> | null;
  } catch {
    return { version: null, backend: null }; // Told when the configuration is parsed.
  }
  const word = (value: unknown) => (typeof value === 'string' ? value : null);
  return { version: word(json?.keras_version) ?? (text.includes('"DTypePolicy"') ? '3.0' : null), backend: word(json?.backend) };
}

async function readText(files: FileSet, name: string): Promise<string> {
  const source = await files.open(name);
  return decodeConfig(await source.read(0, checkedLength(source.byteLength, name)));
}

/** @throws ModelError 'unsafe' for more bytes than a configuration has reason to have */
export function checkedLength(byteLength: number, file: string): number {
  if (byteLength <= MAX_CONFIG_BYTES) return byteLength;
  throw new ModelError('unsafe', `a configuration of ${byteLength} bytes is larger than any model's`, { file });
}

export function decodeConfig(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

function looksLikeConfig(text: string): boolean {
  return /"class_name"\s*:/.test(text) && /"config"\s*:/.test(text);
}
