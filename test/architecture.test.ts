/** The rooms keep to what they may import, and the core runs without Node. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import packageJson from '../package.json' with { type: 'json' };
import { VERSION } from '../src/version.js';

const src = fileURLToPath(new URL('../src/', import.meta.url));
const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));

/** Rooms that a room may import from, besides itself; files at the top of `src` are rooms of their own. */
const MAY_IMPORT: Readonly<Record<string, readonly string[] | 'everything'>> = {
  'errors.ts': [],
  'version.ts': [],
  bytes: ['errors.ts'],
  model: ['bytes', 'errors.ts'],
  containers: ['bytes', 'model', 'errors.ts'],
  readers: ['containers', 'bytes', 'model', 'errors.ts'],
  transforms: ['model', 'bytes', 'errors.ts'],
  writers: ['containers', 'bytes', 'model', 'transforms', 'errors.ts', 'version.ts'],
  verify: ['model', 'bytes', 'containers', 'readers', 'writers', 'errors.ts', 'version.ts'],
  report: ['model', 'bytes', 'containers', 'verify', 'errors.ts', 'version.ts'],
  node: ['bytes', 'verify', 'errors.ts'],
  'inspect.ts': ['bytes', 'model', 'readers', 'errors.ts'],
  'convert.ts': ['bytes', 'model', 'readers', 'writers', 'errors.ts', 'version.ts'],
  'index.ts': 'everything',
  cli: 'everything',
};

/** Engines that run only in Node ask for its modules when they are used. */
const IMPORT = /(?:^|\n)\s*(?:import|export)[^;'"]*?from\s+['"]([^'"]+)['"]|(?:^|\n)\s*import\s+['"]([^'"]+)['"]/g;

function importsOf(file: string): string[] {
  return [...readFileSync(join(src, file), 'utf8').matchAll(IMPORT)].map((match) => match[1] ?? match[2]!);
}

function roomOf(file: string): string {
  return file.split(sep)[0]!;
}

describe('rooms', () => {
  it('finds the source files', () => {
    expect(files.length).toBeGreaterThan(40);
  });

  it.each(files)('%s imports only from rooms it may know', (file) => {
    const room = roomOf(file);
    const allowed = MAY_IMPORT[room];
    expect(allowed, `room ${room} is not in the table`).toBeDefined();
    if (allowed === 'everything') return;
    const strangers = importsOf(file)
      .filter((name) => name.startsWith('.'))
      .map((name) => roomOf(relative(src, resolve(dirname(join(src, file)), name.replace(/\.js$/, '.ts')))))
      .filter((other) => other !== room && !allowed!.includes(other));
    expect(strangers).toEqual([]);
  });

  it.each(files.filter((file) => !['cli', 'node'].includes(roomOf(file))))('%s does not need Node to load', (file) => {
    expect(importsOf(file).filter((name) => name.startsWith('node:'))).toEqual([]);
  });
});

it('the recorded version is the one of package.json', () => {
  expect(VERSION).toBe(packageJson.version);
});
