/** The rooms keep to what they may import, and the core runs without Node. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import packageJson from '../package.json' with { type: 'json' };
import { VERSION } from '../src/version.js';

const src = fileURLToPath(new URL('../src/', import.meta.url));
const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));

/** What every room may import. */
const COMMON: readonly string[] = ['errors.ts', 'words.ts'];

/** Rooms that a room may import from, besides these and itself; files at the top of `src` are rooms of their own. */
const MAY_IMPORT: Readonly<Record<string, readonly string[] | 'everything'>> = {
  'errors.ts': [],
  'words.ts': [],
  'version.ts': [],
  bytes: [],
  model: ['bytes'],
  containers: ['bytes', 'model'],
  architectures: ['bytes', 'model'],
  transforms: ['model'],
  dialects: ['containers', 'model', 'transforms'],
  readers: ['containers', 'bytes', 'model', 'dialects', 'architectures'],
  writers: ['containers', 'bytes', 'model', 'version.ts'],
  verify: ['model', 'bytes', 'containers', 'readers', 'transforms', 'writers', 'diff', 'version.ts'],
  diff: ['architectures', 'bytes', 'model', 'readers'],
  audit: ['bytes', 'containers', 'model', 'readers', 'inspect.ts'],
  check: ['bytes', 'containers', 'model', 'readers', 'audit', 'inspect.ts', 'report', 'verify', 'version.ts'],
  shrink: ['model', 'bytes', 'containers', 'writers', 'verify'],
  evaluate: ['containers', 'model', 'verify'],
  report: ['model', 'bytes', 'containers', 'verify', 'diff', 'version.ts'],
  node: ['bytes', 'containers', 'model', 'readers', 'transforms', 'writers', 'verify', 'shrink', 'diff', 'inspect.ts', 'convert.ts', 'spelling.ts'],
  'inspect.ts': ['bytes', 'model', 'readers'],
  'convert.ts': ['architectures', 'bytes', 'model', 'readers', 'transforms', 'writers', 'version.ts'],
  'bisect.ts': ['bytes', 'model', 'containers', 'readers', 'transforms', 'verify', 'writers'],
  'spelling.ts': ['model'],
  'programs.ts': ['bytes', 'model', 'readers', 'transforms', 'diff', 'convert.ts', 'inspect.ts', 'spelling.ts'],
  'verify-programs.ts': ['verify', 'spelling.ts'],
  'index.ts': 'everything',
  'verification.ts': 'everything',
  'layers.ts': ['model'],
  cli: 'everything',
};

/** Files outside `node` and `cli` that ask for Node's modules, when they are used and nowhere but in Node. */
const ASKS_FOR_NODE: readonly string[] = [
  'verify/engines/ort-copy.ts',
  'verify/engines/ort-cuda.ts',
  'verify/engines/tfjs-node.ts',
  'verify/reference/threads.ts',
];

const STATIC = /(?:^|\n)\s*(?:import|export)[^;'"]*?from\s+['"]([^'"]+)['"]|(?:^|\n)\s*import\s+['"]([^'"]+)['"]/g;
/** `import('...')`, of a module when it is used or of a type; a name that is worked out cannot be checked and is not allowed. */
const DYNAMIC = /\bimport\(\s*(?:['"]([^'"]+)['"]\s*\)|([^)]*)\))/g;

interface Imports {
  readonly atStart: readonly string[];
  readonly whenUsed: readonly string[];
}

function importsOf(file: string): Imports {
  const text = readFileSync(join(src, file), 'utf8');
  return {
    atStart: [...text.matchAll(STATIC)].map((match) => match[1] ?? match[2]!),
    whenUsed: [...text.matchAll(DYNAMIC)].map((match) => match[1] ?? match[2]!),
  };
}

/** The files of the project among what a file imports. */
function ownFiles(file: string, names: readonly string[]): string[] {
  return names.filter((name) => name.startsWith('.')).map((name) => relative(src, resolve(dirname(join(src, file)), name.replace(/\.js$/, '.ts'))));
}

function roomOf(file: string): string {
  return file.split(sep)[0]!;
}

/** The files that a file reaches, itself only where a circle leads back to it. */
function reachable(graph: ReadonlyMap<string, readonly string[]>, start: string): Set<string> {
  const seen = new Set<string>();
  const queue = [start];
  for (let file = queue.pop(); file !== undefined; file = queue.pop()) {
    for (const next of graph.get(file) ?? []) {
      if (!seen.has(next)) {
        seen.add(next);
        queue.push(next);
      }
    }
  }
  return seen;
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
    const { atStart, whenUsed } = importsOf(file);
    const strangers = ownFiles(file, [...atStart, ...whenUsed])
      .map(roomOf)
      .filter((other) => other !== room && !COMMON.includes(other) && !allowed!.includes(other));
    expect(strangers).toEqual([]);
  });

  it('every room of the table is there', () => {
    const rooms = new Set(files.map(roomOf));
    expect(Object.keys(MAY_IMPORT).filter((room) => !rooms.has(room))).toEqual([]);
  });

  it.each(files.filter((file) => !['cli', 'node'].includes(roomOf(file))))('%s does not need Node to load', (file) => {
    const { atStart, whenUsed } = importsOf(file);
    const wanted = [...atStart, ...(ASKS_FOR_NODE.includes(file.split(sep).join('/')) ? [] : whenUsed)];
    expect(wanted.filter((name) => name.startsWith('node:'))).toEqual([]);
  });

  // What is loaded when it is used may know who loads it.
  it('no files import each other in a circle', () => {
    const graph = new Map(files.map((file) => [file, ownFiles(file, importsOf(file).atStart)]));
    expect(files.filter((file) => reachable(graph, file).has(file))).toEqual([]);
  });
});

it('what is imported for what it does when it loads is said to have effects, or a bundler leaves it out', () => {
  const bare = files.flatMap((file) => {
    const text = readFileSync(join(src, file), 'utf8');
    return ownFiles(
      file,
      [...text.matchAll(/(?:^|\n)\s*import\s+['"]([^'"]+)['"]/g)].map(([, name]) => name!),
    );
  });
  expect(bare).toContain(join('node', 'native.ts'));
  const told = bare.filter(
    (file) => !packageJson.sideEffects.includes(`./dist/${file.split(sep).join('/').replace(/\.ts$/, '.js')}`) && roomOf(file) !== 'cli',
  );
  expect(told).toEqual([]);
});

it('the recorded version is the one of package.json', () => {
  expect(VERSION).toBe(packageJson.version);
});
