/**
 * Loads the command as the build has bundled it (`scripts/build.mjs`), with what V8 made of each file when it was built: to compile them anew
 * takes longer than most inspections do. V8 takes that where it is its own work on a file of this length, made under the same flags; else it
 * compiles, as it does where there is none, in a package from the registry. Nothing is ever written here: in a cache of the user's, or of the
 * machine's, could be what somebody else put there.
 */
import { createRequire } from 'node:module';

// As an import each of these would be looked through for all that it could give, for which Node loads its streams.
const require = createRequire(import.meta.url);
const { existsSync, readFileSync } = require('node:fs') as typeof import('node:fs');
const { basename, dirname, join } = require('node:path') as typeof import('node:path');
const { fileURLToPath } = require('node:url') as typeof import('node:url');
const { Script } = require('node:vm') as typeof import('node:vm');

const FOLDER = fileURLToPath(new URL('chunks/', import.meta.url));
const COMPILED = fileURLToPath(new URL('compiled/', import.meta.url));

type Module = { exports: object };
type Program = typeof import('./program.js');

const modules = new Map<string, Module>();
const scripts = new Map<string, import('node:vm').Script>();

/** @param anew whether what lies there is not enough: the build makes it of this process */
export function loadProgram(anew = false): Program {
  const path = join(FOLDER, 'program.js');
  return (anew || existsSync(COMPILED) ? load(path) : require(path)) as Program;
}

/** What V8 has made by now of every file that was loaded, by the path to keep it at. */
export function compiled(): ReadonlyMap<string, Uint8Array> {
  return new Map([...scripts].map(([path, script]) => [compiledPath(path), script.createCachedData()]));
}

const compiledPath = (path: string) => join(COMPILED, `${basename(path)}.bin`);

/** Looked for from here, where the packages are the same as from there. */
const importPackage = (name: string): Promise<unknown> => import(name);

/** Does what `require` does, for files that the bundler made. */
function load(path: string): object {
  const known = modules.get(path);
  if (known) return known.exports;
  const module: Module = { exports: {} };
  modules.set(path, module);
  const code = `(function (exports, require, module, __filename, __dirname, importPackage) {${readFileSync(path, 'utf8')}\n})`;
  const cachedData = existsSync(compiledPath(path)) ? readFileSync(compiledPath(path)) : undefined;
  const script = new Script(code, { filename: path, ...(cachedData && { cachedData }) });
  scripts.set(path, script);
  const folder = dirname(path);
  const inner = Object.assign((id: string) => (id.startsWith('.') ? load(join(folder, id)) : require(id)), { resolve: require.resolve });
  const wrapped = script.runInThisContext() as (...scope: unknown[]) => void;
  wrapped.call(module.exports, module.exports, inner, module, path, folder, importPackage);
  return module.exports;
}
