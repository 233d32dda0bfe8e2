/**
 * Makes a fresh clone ready: installs the locked dependencies and compiles, each only when something changed.
 * `npm run demo` and `npm test` call it first, so that each works as the very first command.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, lstatSync, readdirSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
process.chdir(root);

const major = Number(process.versions.node.split('.')[0]);
if (major < 20) {
  console.error(`Weighbridge needs Node 20 or newer; this is ${process.versions.node}.`);
  process.exit(2);
}

const installed = 'node_modules/.package-lock.json';
// npm ci empties node_modules first: through a link, an install that others use.
const isShared = lstatSync('node_modules', { throwIfNoEntry: false })?.isSymbolicLink() ?? false;
if (isShared) {
  if (newest(['package-lock.json']) > modified(installed)) console.error('setup: node_modules is a link, whose packages are used as they are');
} else if (newest(['package.json', 'package-lock.json']) > modified(installed)) {
  console.error('setup: installing dependencies (npm ci); about 350 MB are fetched, which takes a minute or two');
  // That of onnxruntime-node would download CUDA libraries, and hang where it cannot.
  run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']);
  const now = new Date();
  if (existsSync(installed)) utimesSync(installed, now, now);
}

const stamp = 'dist/.built';
if (newest(['src', 'scripts/build.mjs', 'scripts/compile.mjs', 'tsconfig.json', 'tsconfig.build.json', 'package-lock.json']) > modified(stamp)) {
  console.error('setup: compiling');
  run(process.execPath, ['scripts/build.mjs']);
}

/** @param {string[]} paths files and folders; @returns the newest modification time among them, in ms */
function newest(paths) {
  return Math.max(
    ...paths.map((path) => {
      if (!existsSync(path)) return 0;
      if (!statSync(path).isDirectory()) return modified(path);
      return Math.max(modified(path), ...readdirSync(path, { recursive: true }).map((name) => modified(join(path, String(name)))));
    }),
  );
}

function modified(path) {
  return existsSync(path) ? statSync(path).mtimeMs : 0;
}

function run(command, args) {
  // npm is a script on Windows, which only a shell can start.
  const result = spawnSync(command, args, { stdio: ['ignore', 2, 2], shell: process.platform === 'win32' && command === 'npm' });
  if (result.status !== 0) {
    console.error(`setup: ${command} ${args.join(' ')} failed`);
    process.exit(result.status ?? 1);
  }
}
