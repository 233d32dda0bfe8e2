/**
 * `npm run build`: compiles the library into dist/, and makes one file of what each command needs, with the rest loaded when it is asked for:
 * finding and reading 150 modules takes Node longer than reading a model's headers.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
process.chdir(root);

rmSync('dist', { recursive: true, force: true });
const { status } = spawnSync(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json'], { stdio: ['ignore', 2, 2] });
if (status !== 0) process.exit(status ?? 1);

/** Loaded by every command, as CommonJS in nine files: to look through those takes Node longer than all that is done with them. */
const BUNDLED = ['commander', 'picocolors'];

const { rolldown } = await import('rolldown');
const bundle = await rolldown({
  // The host starts the child by its file name, which lies beside the host wherever that ends up.
  input: { main: 'dist/cli/main.js', 'chunks/engine-child': 'dist/node/engine-child.js' },
  platform: 'node',
  // What the core has is there already when it is asked for later; in the library, and in a page, it is not.
  checks: { ineffectiveDynamicImport: false },
  external: (id) => !BUNDLED.includes(id) && !id.startsWith('.') && !isAbsolute(id),
});
// All is read before the entry that it is made of gives way to it.
const { output } = await bundle.generate({
  format: 'esm',
  entryFileNames: '[name].js',
  chunkFileNames: 'chunks/[name]-[hash].js',
  // Names stay, so that a trace of the stack still says where.
  minify: { compress: false, mangle: false, codegen: { removeWhitespace: true } },
  // Left alone, what several commands share becomes eighty small files for an inspection, and to find and link those takes longer than to compile
  // them: what opens any model is one file. The program itself stays out, because it awaits commands, which may not await it.
  codeSplitting: {
    groups: [
      { name: 'version', test: /dist[\\/]version\.js$/, priority: 1 },
      { name: 'core', test: /dist[\\/](cli[\\/]commands[\\/]inspect|model[\\/]builder|model[\\/]ops[\\/]index)\.js$/ },
    ],
  },
});
await bundle.close();
mkdirSync('dist/cli/chunks', { recursive: true });
for (const { fileName, code } of output) writeFileSync(join('dist/cli', fileName), code);
// Who gives a package on gives its licence with it.
const licences = BUNDLED.map((name) => `${name}\n\n${readFileSync(`node_modules/${name}/LICENSE`, 'utf8')}`);
writeFileSync('dist/cli/LICENSES.txt', licences.join('\n\n'));

// A link to the command, such as `npm link` makes, keeps working after every build.
chmodSync('dist/cli/main.js', 0o755);
writeFileSync('dist/.built', '');
