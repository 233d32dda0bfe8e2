/**
 * Small nets in every dialect of their source, with what was recorded: each folder test/fixtures/<format>/<case> that holds a model.*,
 * an input.npy and an output.npy.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { memoryFileSet } from '../src/bytes/file-set.js';
import type { ReadOptions } from '../src/readers/reader.js';

const FIXTURES = fileURLToPath(new URL('fixtures', import.meta.url));

/** Small nets of every family that is recognised from weights alone. */
export const ARCHITECTURE_CASES = casesOf('architectures');

export const DIALECT_CASES = foldersIn(FIXTURES)
  .filter((format) => format !== 'architectures')
  .flatMap(casesOf);

function casesOf(format: string) {
  return foldersIn(join(FIXTURES, format))
    .map((name) => ({ title: `${format}/${name}`, format, folder: join(FIXTURES, format, name) }))
    .filter(({ folder }) => readdirSync(folder).some((file) => file.startsWith('model.')) && existsSync(join(folder, 'output.npy')));
}

function foldersIn(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name);
}

/** The model's own files, and what the caller must say about them. */
export function openDialect(folder: string): { files: ReturnType<typeof memoryFileSet>; options: ReadOptions } {
  const names = readdirSync(folder).filter((name) => !/\.npy$|^options\.json$/.test(name));
  const main = names.find((name) => name.startsWith('model.') && !/\.(prototxt|json)$/.test(name))!;
  const files = memoryFileSet(Object.fromEntries(names.map((name) => [name, new Uint8Array(readFileSync(join(folder, name)))])), main);
  const optionsPath = join(folder, 'options.json');
  return { files, options: existsSync(optionsPath) ? JSON.parse(readFileSync(optionsPath, 'utf8')) : {} };
}
