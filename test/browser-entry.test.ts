/** The library in a page: bundlers take it as it comes, what is loaded first is small, and it runs in a browser. */

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { rolldown } from 'rolldown';
import { build, createLogger } from 'vite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CHROMIUM, NO_CHROMIUM, openPage } from './chromium.js';
import { serve } from './web-server.js';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** What a page that inspects and converts loads before it knows of any file. */
const MAX_FIRST_BYTES = 50_000;

let project: string;

beforeAll(() => {
  project = mkdtempSync(join(tmpdir(), 'weighbridge-page-'));
  mkdirSync(join(project, 'node_modules'));
  symlinkSync(ROOT, join(project, 'node_modules', 'weighbridge'), 'junction');
  writeFileSync(join(project, 'package.json'), '{ "type": "module" }');
});

afterAll(() => rmSync(project, { recursive: true, force: true }));

/** A page made with nothing but Vite's defaults, and what Vite had to say. */
async function buildPage(name: string, script: string): Promise<{ readonly folder: string; readonly warnings: readonly string[] }> {
  const root = join(project, name);
  mkdirSync(root);
  writeFileSync(join(root, 'index.html'), '<!doctype html><title>page</title><link rel="icon" href="data:,"><script type="module" src="./main.js"></script>');
  writeFileSync(join(root, 'main.js'), script);
  const warnings: string[] = [];
  const logger = createLogger('warn');
  logger.warn = (message) => void warnings.push(message);
  logger.warnOnce = logger.warn;
  logger.error = logger.warn;
  await build({ root, configFile: false, logLevel: 'warn', customLogger: logger, build: { chunkSizeWarningLimit: 5000 } });
  return { folder: join(root, 'dist'), warnings };
}

const CONVERTS = `
import { convert, inspect, memoryFileSet, memorySink } from 'weighbridge';
globalThis.run = async (name) => {
  const files = () => memoryFileSet({ [name]: bytes }, name);
  const bytes = new Uint8Array(await (await fetch('/demo/digits/' + name)).arrayBuffer());
  const document = await inspect(files());
  const sink = memorySink();
  await convert(files(), sink, 'digits.onnx');
  return { format: document.format, layers: document.layers.length, written: [...sink.files].map(([file, { byteLength }]) => [file, byteLength]) };
};`;

const VERIFIES = `
import { convert, memoryFileSet, memorySink } from 'weighbridge';
import { verifyConversion } from 'weighbridge/verify';
globalThis.run = async (name) => {
  const bytes = new Uint8Array(await (await fetch('/demo/digits/' + name)).arrayBuffer());
  const files = memoryFileSet({ [name]: bytes }, name);
  const sink = memorySink();
  const { model, map } = await convert(files, sink, 'digits.onnx');
  const target = { files: memoryFileSet(Object.fromEntries(sink.files), 'digits.onnx'), format: 'onnx' };
  const { verdict, engines } = await verifyConversion({ source: { files }, model, map, target });
  return { verdict, engines };
};`;

describe('a page built by Vite as it comes', () => {
  it('that inspects and converts is small, and nothing was warned of', async () => {
    const { folder, warnings } = await buildPage('converts', CONVERTS);
    expect(warnings).toEqual([]);
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' });
    expect(files.filter((name) => name.endsWith('.wasm'))).toEqual([]);
    const html = readFileSync(join(folder, 'index.html'), 'utf8');
    const first = [...html.matchAll(/(?:src|href)="\/(assets\/[^"]+\.js)"/g)].map((match) => match[1]!);
    expect(first.length).toBeGreaterThan(0);
    const byteLength = first.reduce((sum, name) => sum + gzipSync(readFileSync(join(folder, name))).byteLength, 0);
    expect(byteLength).toBeLessThan(MAX_FIRST_BYTES);
  });

  it('that verifies too needs nothing of Node', async () => {
    const { warnings } = await buildPage('verifies', VERIFIES);
    expect(warnings.filter((message) => /weighbridge|node:|externalized/.test(message))).toEqual([]);
  });

  describe.skipIf(CHROMIUM === null && !NO_CHROMIUM.isRequired)(`in Chromium${NO_CHROMIUM.why}`, () => {
    it.each(['converts', 'verifies'])('%s', async (name) => {
      const folder = join(project, name, 'dist');
      const files = new Map(
        readdirSync(folder, { recursive: true, encoding: 'utf8' })
          .filter((file) => file.includes('.'))
          .map((file) => [file, readFileSync(join(folder, file))]),
      );
      const server = await serve(files);
      const page = await openPage();
      try {
        await page.goto(`${server.origin}/index.html`);
        const result = await page.evaluate<Record<string, unknown>>(`run('digits.h5')`);
        expect(result).toMatchObject(name === 'converts' ? { format: 'keras-h5', written: [['digits.onnx', expect.any(Number)]] } : { verdict: 'match' });
        expect(page.console.filter((line) => /^(error|exception)/.test(line))).toEqual([]);
      } finally {
        await page.close();
        await server.close();
      }
    });
  });
});

it('rolldown takes it for browsers without a word', async () => {
  const entry = join(project, 'entry.js');
  writeFileSync(entry, "export { convert, inspect } from 'weighbridge';\nexport { verifyConversion } from 'weighbridge/verify';");
  const said: string[] = [];
  const bundle = await rolldown({ input: entry, cwd: project, platform: 'browser', onLog: (_level, { message }) => void said.push(message) });
  const { output } = await bundle.generate({ format: 'esm' });
  await bundle.close();
  expect(output.length).toBeGreaterThan(1);
  expect(said.filter((message) => /weighbridge|node:|externalized/.test(message))).toEqual([]);
});

/** Of what is loaded before a file is known, by bundlers that follow every import which a module names, whether it is used or not. */
const MAX_NAMED_BYTES = 60_000;

/** A bundler that is no dependency of this project: where it is installed beside it, or in the folder that the variable names. */
function optional<Bundler>(name: string): Bundler | null {
  try {
    return createRequire(join(process.env.WEIGHBRIDGE_BUNDLERS ?? ROOT, 'package.json'))(name) as Bundler;
  } catch {
    return null;
  }
}

interface Esbuild {
  build(options: object): Promise<{
    readonly warnings: readonly { readonly text: string }[];
    readonly outputFiles: readonly { readonly path: string; readonly contents: Uint8Array }[];
    readonly metafile: { readonly outputs: Readonly<Record<string, { readonly imports: readonly { readonly path: string; readonly kind: string }[] }>> };
  }>;
}

interface WebpackStats {
  toJson(options: object): {
    readonly warnings: readonly { readonly message: string }[];
    readonly errors: readonly { readonly message: string }[];
    readonly entrypoints: Readonly<Record<string, { readonly assets: readonly { readonly name: string }[] }>>;
  };
}

const ENTRY = "import { convert, inspect } from 'weighbridge';\nglobalThis.run = [convert, inspect];";
const ENTRIES = "export { convert, inspect } from 'weighbridge';\nexport { verifyConversion } from 'weighbridge/verify';";
const esbuild = optional<Esbuild>('esbuild');
const webpack = optional<(options: object, done: (error: Error | null, stats: WebpackStats) => void) => void>('webpack');

describe('what every bundler loads before it knows of any file', () => {
  it('names no operator, no architecture and no engine', () => {
    const dist = join(ROOT, 'dist');
    const named = (file: string) =>
      [...readFileSync(file, 'utf8').matchAll(/^(?:import|export)(?: [^;'"()]*? from)? ['"](\.[^'"]+\.js)['"];/gm)].map(([, name]) =>
        resolve(dirname(file), name!),
      );
    const seen = new Set(named(join(dist, 'index.js')));
    const open = ['convert.js', 'inspect.js', 'readers/open.js', 'errors.js'].map((name) => join(dist, name));
    const followed = new Set<string>();
    for (let file = open.pop(); file !== undefined; file = open.pop()) {
      if (followed.has(file)) continue;
      followed.add(file);
      open.push(...named(file));
    }
    const names = [...seen, ...followed].map((file) => relative(dist, file).replaceAll('\\', '/')).sort();
    expect(names.length).toBeGreaterThan(30);
    expect(names.filter((name) => /^(model\/ops|architectures|verify|shrink|report|transforms|dialects|node|cli)\//.test(name))).toEqual([]);
  });

  it.skipIf(esbuild === null)(
    `esbuild takes it as it comes, and it is small${esbuild ? '' : ' (esbuild is not installed)'}`,
    async () => {
      const entry = join(project, 'esbuild.js');
      writeFileSync(entry, ENTRY);
      const how = {
        bundle: true,
        splitting: true,
        format: 'esm',
        minify: true,
        platform: 'browser',
        metafile: true,
        write: false,
        logLevel: 'silent',
        absWorkingDir: project,
      };
      const { warnings, outputFiles, metafile } = await esbuild!.build({ ...how, entryPoints: [entry], outdir: 'esbuild-out' });
      expect(warnings).toEqual([]);
      const first = new Set<string>();
      const open = ['esbuild-out/esbuild.js'];
      for (let name = open.pop(); name !== undefined; name = open.pop()) {
        if (first.has(name)) continue;
        first.add(name);
        open.push(...metafile.outputs[name]!.imports.flatMap(({ path, kind }) => (kind === 'import-statement' ? [path] : [])));
      }
      const byteLength = outputFiles
        .filter(({ path }) => first.has(relative(project, path)))
        .reduce((sum, { contents }) => sum + gzipSync(contents).byteLength, 0);
      expect(byteLength).toBeGreaterThan(10_000);
      expect(byteLength).toBeLessThan(MAX_NAMED_BYTES);
      const both = join(project, 'esbuild-both.js');
      writeFileSync(both, ENTRIES);
      const verifying = await esbuild!.build({ ...how, entryPoints: [both], outdir: 'esbuild-both-out' });
      expect(verifying.warnings).toEqual([]);
    },
    60_000,
  );

  it.skipIf(webpack === null)(
    `webpack takes it as it comes, and it is small${webpack ? '' : ' (webpack is not installed)'}`,
    async () => {
      const entry = join(project, 'webpack.js');
      writeFileSync(entry, ENTRY);
      const output = { path: join(project, 'webpack-out') };
      const stats = await new Promise<WebpackStats>((done, fail) =>
        webpack!({ mode: 'production', context: project, entry, output }, (error, found) => (error ? fail(error) : done(found))),
      );
      const { errors, warnings, entrypoints } = stats.toJson({ all: false, errors: true, warnings: true, entrypoints: true });
      expect([...errors, ...warnings].map(({ message }) => message).filter((message) => !/size limit|performance/i.test(message))).toEqual([]);
      const byteLength = entrypoints.main!.assets.reduce((sum, { name }) => sum + gzipSync(readFileSync(join(output.path, name))).byteLength, 0);
      expect(byteLength).toBeLessThan(MAX_NAMED_BYTES);
    },
    240_000,
  );
});
