/**
 * Loads the command as the build has bundled it (`scripts/build.mjs`), with what V8 made of each file before: to compile them anew takes longer than
 * most inspections do. A clone has that from its build. What is installed keeps it in a folder of the user's own, from the first run on, because it is
 * of use to one version of V8 alone; where others could write to that folder it is left alone, because V8 does what it finds there. V8 takes what is
 * its own work on a file of this length, made under the same flags, so a file's name tells its content; else it compiles.
 */
import { createRequire } from 'node:module';
import { userCache } from '../node/user-cache.js';

// As an import each of these would be looked through for all that it could give, for which Node loads its streams.
const require = createRequire(import.meta.url);
const { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } = require('node:fs') as typeof import('node:fs');
const { basename, dirname, join } = require('node:path') as typeof import('node:path');
const { fileURLToPath } = require('node:url') as typeof import('node:url');
const { Script } = require('node:vm') as typeof import('node:vm');

const FOLDER = fileURLToPath(new URL('chunks/', import.meta.url));
const BUILT = fileURLToPath(new URL('compiled/', import.meta.url));
/** One folder for each V8: what another has made would be refused, and made anew, by turns. */
const KEPT = join(userCache('weighbridge-compiled'), `${process.versions.v8}-${process.arch}`);
/** Write permission of the group and of others. */
const OTHERS = 0o022;

type Module = { exports: object };
type Program = typeof import('./program.js');

const modules = new Map<string, Module>();
const scripts = new Map<string, import('node:vm').Script>();
/** The names of what V8 has compiled anew. */
const anew = new Set<string>();

let folder: string | null = null;

/** @param name of the file that has the program */
export function loadProgram(name: string): Program {
  const path = join(FOLDER, name);
  folder = existsSync(BUILT) ? BUILT : keptFolder();
  if (folder === null) return require(path) as Program;
  if (folder === KEPT) process.on('exit', keep);
  return load(path) as Program;
}

/** What V8 has made by now of every file that was loaded, by the path to keep it at; the build makes it of this process. */
export function compiled(): ReadonlyMap<string, Uint8Array> {
  return new Map([...scripts].map(([name, script]) => [join(BUILT, `${name}.bin`), script.createCachedData()]));
}

/** Null where nothing is to be kept, or somebody else could write there. Node's own caches are turned off by the same variable. */
function keptFolder(): string | null {
  if (process.env.NODE_DISABLE_COMPILE_CACHE) return null;
  try {
    let above = KEPT;
    while (!existsSync(above)) above = dirname(above);
    // Under sudo the folder would be root's, in the home of somebody who can do nothing about it.
    if (!isOurs(above, 0)) return null;
    mkdirSync(KEPT, { recursive: true, mode: 0o700 });
    return isOurs(KEPT, OTHERS) && isOurs(dirname(KEPT), OTHERS) ? KEPT : null;
  } catch {
    return null;
  }
}

/** Whether a folder belongs to who runs this, and has none of these permissions; on Windows the folder of a user's is that. */
function isOurs(path: string, forbidden: number): boolean {
  const { uid, mode } = statSync(path);
  return process.platform === 'win32' || (uid === process.geteuid?.() && (mode & forbidden) === 0);
}

/** Keeps what was compiled anew. A command that could not is none that failed. */
function keep(): void {
  // Under flags of its own V8 makes something else, which the next run would refuse.
  if (anew.size === 0 || process.execArgv.length > 0 || process.env.NODE_OPTIONS) return;
  try {
    const names = new Set(readdirSync(FOLDER));
    for (const old of readdirSync(KEPT)) if (!names.has(old.replace(/\.bin$/, ''))) rmSync(join(KEPT, old), { force: true });
    for (const name of anew) {
      const part = join(KEPT, `${name}.${process.pid}.part`);
      // V8 looks at the length and not at the bytes: of a machine that loses its power none may be missing.
      writeFileSync(part, scripts.get(name)!.createCachedData(), { flush: true, mode: 0o600 });
      renameSync(part, join(KEPT, `${name}.bin`));
    }
  } catch {
    // The disk is full, or somebody has removed the folder.
  }
}

/** Looked for from here, where the packages are the same as from there. */
const importPackage = (name: string): Promise<unknown> => import(name);

/** Does what `require` does, for files that the bundler made: each is of letters that Latin-1 has, which are read sooner. */
function load(path: string): object {
  const known = modules.get(path);
  if (known) return known.exports;
  const module: Module = { exports: {} };
  modules.set(path, module);
  const name = basename(path);
  const code = `(function (exports, require, module, __filename, __dirname, importPackage) {${readFileSync(path, 'latin1')}\n})`;
  const cachedData = bytesAt(join(folder!, `${name}.bin`));
  const script = new Script(code, { filename: path, ...(cachedData && { cachedData }) });
  scripts.set(name, script);
  if (script.cachedDataRejected !== false) anew.add(name);
  const inner = Object.assign((id: string) => (id.startsWith('.') ? load(join(FOLDER, id)) : require(id)), { resolve: require.resolve });
  const wrapped = script.runInThisContext() as (...scope: unknown[]) => void;
  wrapped.call(module.exports, module.exports, inner, module, path, FOLDER, importPackage);
  return module.exports;
}

function bytesAt(path: string): Uint8Array | undefined {
  return existsSync(path) ? readFileSync(path) : undefined;
}
