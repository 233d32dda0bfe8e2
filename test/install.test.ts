/** Installing runs no code of a dependency's and asks nobody but the registry; what is installed is small, and works by itself. */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import enginesJson from '../engines/package.json' with { type: 'json' };
import packageJson from '../package.json' with { type: 'json' };
import lockfile from '../package-lock.json' with { type: 'json' };

type Locked = { readonly resolved?: string; readonly hasInstallScript?: boolean; readonly optional?: boolean; readonly link?: boolean };
const ROOT = fileURLToPath(new URL('..', import.meta.url));
const DIGITS = join(ROOT, 'demo/digits');
/** What a clone has that goes into a package as it is. */
const TRACKED = ['schemas', 'docs', 'demo', 'engines', 'package.json', 'README.md', 'LICENSE', 'SECURITY.md'];
/** What `npm run build` does in the clone: the build that these tests run on was made by the same script, and is not made a second time. */
const BUILD = `
import { cpSync } from 'node:fs';
cpSync(${JSON.stringify(join(ROOT, 'dist'))}, 'dist', { recursive: true });
`;
const locked = Object.entries(lockfile.packages as Record<string, Locked>);

test('no install script runs: that of onnxruntime-node would download CUDA libraries, and hang where it cannot', () => {
  expect(readFileSync(new URL('../scripts/setup.mjs', import.meta.url), 'utf8')).toMatch(/'ci', '--ignore-scripts'/);
  expect(packageJson.allowScripts).toMatchObject({ 'onnxruntime-node': false, webgpu: false });
});

test('the lockfile names no address, so that every package comes from the registry that npm is set to', () => {
  // The packages of the project itself are links to their folders.
  expect(locked.filter(([, { resolved, link }]) => resolved !== undefined && !link)).toEqual([]);
});

test('the native runtimes may be missing: they are optional', () => {
  for (const name of ['onnxruntime-node', 'webgpu', '@tensorflow/tfjs-backend-webgpu']) {
    expect(enginesJson.optionalDependencies).toHaveProperty([name]);
    expect(locked.find(([path]) => path === `node_modules/${name}`)?.[1].optional, name).toBe(true);
  }
});

test('who installs the package gets no runtime with it, and every one with the package for that', () => {
  const runtimes = Object.keys({ ...enginesJson.dependencies, ...enginesJson.optionalDependencies }).sort();
  const peers = Object.keys(packageJson.peerDependencies);
  expect(peers).toEqual([...runtimes, 'weighbridge-engines'].sort());
  expect(packageJson.peerDependenciesMeta).toEqual(Object.fromEntries(peers.map((name) => [name, { optional: true }])));
  expect(enginesJson.version).toBe(packageJson.version);
  // What is fetched, with all that it needs itself: on disk 5 MB, of which most are small packages' blocks.
  const fetched = reached(Object.keys(packageJson.dependencies));
  expect(fetched.filter((name) => runtimes.includes(name) || /^onnxruntime|^@tensorflow/.test(name))).toEqual([]);
  const byteLength = fetched.map((name) => sizeOf(join(ROOT, 'node_modules', name))).reduce((sum, size) => sum + size, 0);
  expect(byteLength).toBeLessThan(6e6);
});

/** Packages and all that they depend on. */
function reached(names: readonly string[]): string[] {
  const seen = new Set<string>();
  const queue = [...names];
  for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
    const entry = (lockfile.packages as Record<string, { dependencies?: Record<string, string> }>)[`node_modules/${name}`];
    if (!entry || seen.has(name)) continue;
    seen.add(name);
    queue.push(...Object.keys(entry.dependencies ?? {}));
  }
  return [...seen];
}

function sizeOf(folder: string): number {
  const found = readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((name) => statSync(join(folder, name)));
  return found.reduce((sum, file) => sum + (file.isFile() ? file.size : 0), 0);
}

describe('a package made of a fresh clone', () => {
  const folder = mkdtempSync(join(tmpdir(), 'weighbridge-pack-'));
  /** Where npm puts what everybody on a machine is to have: what a package needs lies in it, and packages do not see each other's. */
  const modules = join(folder, 'lib/node_modules');
  const installed = join(modules, 'weighbridge');
  let files: readonly { readonly path: string; readonly mode: number }[];

  beforeAll(() => {
    const clone = join(folder, 'clone');
    for (const name of TRACKED) cpSync(join(ROOT, name), join(clone, name), { recursive: true });
    // Only the command that makes a package asks for it.
    expect(packageJson.scripts.build).toBe('node scripts/build.mjs');
    mkdirSync(join(clone, 'scripts'));
    writeFileSync(join(clone, 'scripts/build.mjs'), BUILD);
    mkdirSync(installed, { recursive: true });
    mkdirSync(temporary);
    const printed = execFileSync('npm', ['pack', '--json', '--pack-destination', folder], {
      cwd: clone,
      encoding: 'utf8',
      shell: process.platform === 'win32',
    });
    const [packed] = JSON.parse(printed.slice(printed.indexOf('[\n'))) as [{ filename: string; files: typeof files }];
    files = packed.files;
    execFileSync('tar', ['-xzf', packed.filename, '-C', installed, '--strip-components=1'], { cwd: folder });
    for (const name of reached(Object.keys(packageJson.dependencies))) {
      mkdirSync(dirname(join(modules, name)), { recursive: true });
      symlinkSync(join(ROOT, 'node_modules', name), join(modules, name), 'junction');
    }
  }, 60_000);

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test('is built first, and holds the command once', () => {
    const paths = files.map(({ path }) => path);
    expect(paths).toEqual(
      expect.arrayContaining(['dist/index.js', 'dist/index.d.ts', 'dist/node/index.js', 'dist/cli/main.cjs', 'dist/cli/chunks/engine-child.js']),
    );
    // What this V8 compiled is of no use to another.
    expect(paths.filter((path) => /^(src|test|site|engines|node_modules)\/|^dist\/cli\/((commands|compiled|demo|golden|many)\/|\w+\.js)/.test(path))).toEqual(
      [],
    );
    expect(files.find(({ path }) => path === 'dist/cli/main.cjs')!.mode & 0o111).not.toBe(0);
    expect(sizeOf(installed)).toBeLessThan(10e6);
  });

  const caches = join(folder, 'caches');
  const temporary = join(folder, 'temporary');
  const run = (...args: readonly string[]) =>
    spawnSync(process.execPath, [join(installed, 'dist/cli/main.cjs'), ...args], {
      cwd: folder,
      encoding: 'utf8',
      env: { ...process.env, NO_COLOR: '1', NODE_OPTIONS: '', XDG_CACHE_HOME: caches, TMPDIR: temporary, ORT_DISABLE_TELEMETRY: undefined },
    });

  test('inspects, converts and verifies by itself, says on whose word, and names the line that installs more', () => {
    expect(run('inspect', join(DIGITS, 'digits.h5')).status).toBe(0);
    const { status, stdout, stderr } = run('convert', join(DIGITS, 'digits.h5'), '-o', 'digits.onnx', '--verbose');
    expect(status, stderr).toBe(0);
    expect(stdout).toMatch(/^match.*own reading of both files/m);
    expect(stdout).toContain('npm install -g --ignore-scripts weighbridge-engines');
  }, 120_000);

  test.skipIf(process.platform !== 'linux')('keeps what V8 compiled of it where nobody else can write, and nowhere else', () => {
    const inspect = () => expect(run('inspect', join(DIGITS, 'digits.pth')).status).toBe(0);
    const kept = join(caches, 'weighbridge-compiled', `${process.versions.v8}-${process.arch}`);
    const found = () => new Map(readdirSync(kept).map((name) => [name, statSync(join(kept, name)).mtimeMs]));
    rmSync(caches, { recursive: true, force: true });
    inspect();
    const first = found();
    expect([...first.keys()]).toEqual(expect.arrayContaining([expect.stringMatching(/^program-/), expect.stringMatching(/^core-/)]));
    expect([dirname(kept), kept].map((path) => statSync(path).mode & 0o777)).toEqual([0o700, 0o700]);
    // Of another version.
    writeFileSync(join(kept, 'core-00000000.js.bin'), '');
    writeFileSync(join(kept, [...first.keys()].find((name) => name.startsWith('core-'))!), 'damaged');
    inspect();
    const second = found();
    expect([...second.keys()]).toEqual([...first.keys()]);
    expect([...second].filter(([name, at]) => at !== first.get(name)).map(([name]) => name)).toEqual([expect.stringMatching(/^core-/)]);

    rmSync(kept, { recursive: true });
    chmodSync(dirname(kept), 0o777);
    inspect();
    expect(readdirSync(kept)).toEqual([]);
  });

  test('finds the runtimes beside weighbridge-engines', () => {
    const companion = join(modules, 'weighbridge-engines');
    mkdirSync(companion);
    for (const name of enginesJson.files.concat('package.json')) cpSync(join(ROOT, 'engines', name), join(companion, name));
    symlinkSync(join(ROOT, 'node_modules'), join(companion, 'node_modules'), 'junction');
    const { engines } = JSON.parse(run('engines', '--json').stdout) as { engines: { name: string; available: boolean; detail: string }[] };
    for (const name of ['ort-cpu', 'ort-wasm', 'tfjs-wasm', 'tfjs-cpu', 'opencv'])
      expect(engines.find((engine) => engine.name === name)).toMatchObject({ available: true });
    const { status, stdout, stderr } = run('convert', join(DIGITS, 'digits.h5'), '-o', 'digits.onnx', '--force');
    expect(status, stderr).toBe(0);
    expect(stdout).toMatch(/^match \(independent: tfjs-wasm on the original\)/m);
    // ONNX Runtime would keep there what it has to tell its makers.
    expect(readdirSync(temporary)).toEqual([]);
    expect(readdirSync(caches).filter((name) => !name.startsWith('weighbridge'))).toEqual([]);
  }, 120_000);

  test.each([ts.ModuleResolutionKind.NodeNext, ts.ModuleResolutionKind.Bundler])(
    'has types that fit, nothing left unchecked: resolution %s',
    (moduleResolution) => {
      const file = join(folder, 'lib', 'consumer.ts');
      writeFileSync(file, CONSUMER);
      const program = ts.createProgram([file], {
        strict: true,
        noEmit: true,
        skipLibCheck: false,
        exactOptionalPropertyTypes: true,
        target: ts.ScriptTarget.ES2022,
        lib: ['lib.es2022.d.ts'],
        module: moduleResolution === ts.ModuleResolutionKind.NodeNext ? ts.ModuleKind.NodeNext : ts.ModuleKind.ESNext,
        moduleResolution,
        types: ['node'],
        typeRoots: [join(ROOT, 'node_modules/@types')],
      });
      const problems = ts
        .getPreEmitDiagnostics(program)
        .map(({ messageText, file: where }) => `${where?.fileName}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`);
      expect(problems).toEqual([]);
    },
    60_000,
  );
});

/** What a program of a user's is like; a name that is none is an error. */
const CONSUMER = `
import { isModelError, type ModelDocument } from 'weighbridge';
import { convertFile, inspectFile, nodeFileSet, verifyFiles } from 'weighbridge/node';
import type { Report } from 'weighbridge/verify';

export async function all(signal: AbortSignal): Promise<Report['verdict'] | undefined> {
  const document: ModelDocument = await inspectFile('a.h5', { signal });
  const { report, target } = await convertFile('a.h5', 'b.onnx', {
    to: 'onnx', dtype: 'fp16', layout: 'nchw', device: 'auto', golden: 'r.npz', signal, onProgress: ({ unit }) => console.log(unit === 'bytes'),
  });
  // @ts-expect-error there is no such format
  await convertFile('a.h5', 'b.onnx', { to: 'onxx' });
  // @ts-expect-error there is no such engine
  await verifyFiles('a.h5', 'b.onnx', { engine: 'ort' });
  const files = await nodeFileSet(document.format + target.dtype);
  await files[Symbol.asyncDispose]();
  try {
    return report?.verdict;
  } catch (error) {
    if (isModelError(error, 'usage')) console.log(error.place.file);
    throw error;
  }
}
`;
