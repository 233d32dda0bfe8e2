/**
 * `npm run build`: compiles the library into dist/, and makes one file of what each command needs, with the rest loaded when it is asked for:
 * finding and reading 150 modules takes Node longer than reading a model's headers. What V8 makes of those files is kept beside them, and so are manual pages.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
process.chdir(root);

rmSync('dist', { recursive: true, force: true });
run('node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json');

/** Loaded by every command, as CommonJS in nine files: to look through those takes Node longer than all that is done with them. */
const BUNDLED = ['commander', 'picocolors'];
/** What files of the bundle may ask for as they are loaded. Other packages are imported on use, because they may be modules, which these are not. */
const REQUIRED = /^(node:.*|fflate)$/;

/** What modules know and scripts do not. */
const HERE = `
const toUrl = (path) => require('node:url').pathToFileURL(path).href;
const HERE = toUrl(__filename);
`;
const INTRO = `
${HERE}
const RESOLVE = (name) => toUrl(require.resolve(name));
const IMPORT = typeof importPackage === 'undefined' ? (name) => import(name) : importPackage;
`;

/** Functions keep their names, so that a trace of the stack still says where. */
const MINIFY = { compress: false, mangle: { keepNames: true }, codegen: { removeWhitespace: true } };

/** The library keeps its lines and names, and leaves the comments to the declarations, where editors look for them: a tenth of the package. */
const UNCOMMENTED = { module: true, compress: false, mangle: false, codegen: { removeWhitespace: false, legalComments: 'none' } };

/** commander loads what starts processes, and with it Node's sockets, for executable subcommands, which there are none of. */
const isForPrograms = (id, importer) => id === 'node:child_process' && importer?.includes('commander');

const { rolldown } = await import('rolldown');
const { minifySync } = await import('rolldown/utils');
const bundle = await rolldown({
  // The host starts the child by its file name, which lies beside the host wherever that ends up.
  input: { program: 'dist/cli/program.js', 'engine-child': 'dist/node/engine-child.js' },
  platform: 'node',
  // What the core has is there already when it is asked for later; in the library, and in a page, it is not.
  checks: { ineffectiveDynamicImport: false },
  external: (id, importer) => !BUNDLED.includes(id) && !id.startsWith('.') && !isAbsolute(id) && !isForPrograms(id, importer),
  transform: { define: { 'import.meta.url': 'HERE', 'import.meta.resolve': 'RESOLVE' } },
  plugins: [
    // A script cannot import by itself, so what loads it does (`src/cli/load.ts`).
    { name: 'imports of packages', transform: (code) => code.replace(/\bimport\((?!'\.)/g, 'IMPORT(') },
    {
      name: 'no commands of their own programs',
      resolveId: (id, importer) => (isForPrograms(id, importer) ? '\0no-child-process' : null),
      load: (id) => (id === '\0no-child-process' ? 'export {};' : null),
    },
  ],
});
const { output } = await bundle.generate({
  // CommonJS, because only of a script V8 takes back what it has made of it.
  format: 'cjs',
  strict: true,
  intro: INTRO,
  // Its host starts the child by name; any other file's content is told by it, also to who keeps what V8 made of it.
  entryFileNames: ({ name }) => (name === 'engine-child' ? '[name].js' : '[name]-[hash].js'),
  chunkFileNames: '[name]-[hash].js',
  minify: MINIFY,
  // Left alone, what several commands share becomes eighty small files for an inspection, and to find and link those takes longer than to compile
  // them: what opens any model is one file, and so is what every Keras model needs, or every one of PyTorch's.
  codeSplitting: {
    groups: [
      {
        name: 'core',
        test: /dist[\\/](cli[\\/](program|commands[\\/]inspect)|model[\\/](builder|adaptive|ops[\\/]index)|architectures[\\/](family|framing|vgg-names)|containers[\\/]protobuf)\.js$/,
        priority: 1,
      },
      { name: 'pytorch', test: /dist[\\/]readers[\\/]pytorch[\\/](model|archived|exported|old-script|rebuild)\.js$/ },
      { name: 'keras', test: /dist[\\/]readers[\\/]keras[\\/]model\.js$/ },
    ],
  },
});
await bundle.close();
mkdirSync('dist/cli/chunks');
mkdirSync('dist/cli/compiled');
writeFileSync('dist/cli/chunks/package.json', '{ "type": "commonjs" }\n');
for (const { fileName, code, imports } of output) {
  const wrong = imports.filter((name) => !output.some((other) => other.fileName === name) && !REQUIRED.test(name));
  if (wrong.length > 0) throw new Error(`${fileName} requires ${wrong.join(', ')}: import it where it is used`);
  writeFileSync(join('dist/cli/chunks', fileName), inAscii(code));
}
const program = output.find(({ name, isEntry }) => isEntry && name === 'program').fileName;
await writeCommand(program);
mkdirSync('dist/man');
const { manualPages } = await import('../dist/cli/man.js');
for (const [name, page] of await manualPages()) writeFileSync(join('dist/man', name), page);
// Who gives a package on gives its licence with it.
const licences = BUNDLED.map((name) => `${name}\n\n${readFileSync(`node_modules/${name}/LICENSE`, 'utf8')}`);
writeFileSync('dist/cli/LICENSES.txt', licences.join('\n\n'));

for (const name of readdirSync('dist', { recursive: true })) {
  if (!name.endsWith('.js') || name.startsWith(join('cli', 'chunks'))) continue;
  const path = join('dist', name);
  const { code, errors } = minifySync(name, readFileSync(path, 'utf8'), UNCOMMENTED);
  if (errors.length > 0) throw new Error(`${name}: ${errors[0].message}`);
  writeFileSync(path, code);
}

// Each run adds what V8 compiled for it.
const scratch = mkdtempSync(join(tmpdir(), 'weighbridge-build-'));
for (const name of ['digits.h5', 'digits.pth', 'digits.caffemodel']) run('scripts/compile.mjs', program, 'inspect', `demo/digits/${name}`);
for (const [name, to] of [
  ['digits.h5', 'onnx'],
  ['digits.caffemodel', 'tfjs'],
  ['digits.h5', 'tfjs-graph'],
  ['digits.pth', 'safetensors'],
]) {
  const output = join(scratch, to === 'safetensors' ? 'weights.safetensors' : to);
  run('scripts/compile.mjs', program, 'convert', `demo/digits/${name}`, '-o', output, '--to', to, '--no-verify');
  run('scripts/compile.mjs', program, 'inspect', output);
}
rmSync(scratch, { recursive: true });

writeFileSync('dist/.built', '');

/** The command's own file: a script, because what Node loads for modules takes it a fifth of its own start. */
async function writeCommand(program) {
  const bundle = await rolldown({
    input: 'dist/cli/main.js',
    platform: 'node',
    transform: { define: { 'import.meta.url': 'HERE', PROGRAM: JSON.stringify(program) } },
  });
  const { output } = await bundle.generate({ format: 'cjs', strict: true, intro: HERE, minify: MINIFY });
  await bundle.close();
  writeFileSync('dist/cli/main.cjs', inAscii(output[0].code));
  rmSync('dist/cli/main.js');
  rmSync('dist/cli/main.d.ts');
  // A link to the command, such as `npm link` makes, keeps working after every build.
  chmodSync('dist/cli/main.cjs', 0o755);
}

/** Letters that only strings, templates and patterns have, as escapes: V8 reads a text of one byte each sooner, and holds it in half of the memory. */
function inAscii(code) {
  return code.replace(/[\u0080-\uffff]/g, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** Runs a script of Node's, whose output is no more than narration. */
function run(...args) {
  const { status, stdout } = spawnSync(process.execPath, args, { stdio: ['ignore', 'pipe', 2], encoding: 'utf8' });
  if (status === 0) return;
  process.stderr.write(stdout);
  process.exit(status ?? 1);
}
