/** The library in a page: bundlers take it as it comes, what is loaded first is small, and it runs in a browser. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { rolldown } from 'rolldown';
import { build, createLogger } from 'vite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CHROMIUM, NO_CHROMIUM, openPage } from './chromium.js';
import { serve } from './web-server.js';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** What a page that inspects and converts loads before it knows of any file. */
const MAX_FIRST_BYTES = 40_000;

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
