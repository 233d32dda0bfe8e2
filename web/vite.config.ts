/** Builds the page: a folder of files that any static host takes, at any path. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineConfig, type Plugin } from 'vite';
import { STYLE } from '../src/report/html/style.js';

const here = fileURLToPath(new URL('.', import.meta.url));
const REPORT_STYLE = 'virtual:report-style.css';

/** The style of reports, which the page shares. */
const reportStyle: Plugin = {
  name: 'report-style',
  resolveId: (id) => (id === REPORT_STYLE ? `\0${REPORT_STYLE}` : null),
  load: (id) => (id === `\0${REPORT_STYLE}` ? STYLE : null),
};

/** A page has engines of its own; bundlers that use the package read the same from `browser` in package.json. */
const pageEngines: Plugin = {
  name: 'page-engines',
  enforce: 'pre',
  resolveId: (id, importer) =>
    id === './list.js' && importer?.endsWith('src/verify/engines/index.ts') ? join(here, '../src/verify/engines/list.browser.ts') : null,
};

/** Packages of Node's that are asked for only there. */
const noNode: Plugin = {
  name: 'no-node',
  enforce: 'pre',
  resolveId: (id) => (['h5wasm/node', 'webgpu'].includes(id) ? `\0nothing` : null),
  load: (id) => (id === '\0nothing' ? 'export default {};' : null),
};

/** The runtime for WebGPU is as large as all the rest, and kept when it is used first. */
const NOT_BEFOREHAND = /asyncify|\.map$|service-worker/;

/** Lists what was built in the service worker, which keeps it for work offline. */
const serviceWorker: Plugin = {
  name: 'service-worker',
  apply: 'build',
  writeBundle({ dir }) {
    const names = readdirSync(dir!, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) =>
        join(parentPath, name)
          .slice(dir!.length + 1)
          .replaceAll('\\', '/'),
      )
      .filter((name) => !NOT_BEFOREHAND.test(name))
      .sort();
    const version = createHash('sha256');
    for (const name of names) version.update(name).update(readFileSync(join(dir!, name)));
    const text = readFileSync(join(here, 'service-worker.js'), 'utf8')
      .replace("'VERSION'", JSON.stringify(version.digest('hex').slice(0, 16)))
      .replace("['FILES']", JSON.stringify(['./', ...names.map((name) => `./${name}`)]));
    writeFileSync(join(dir!, 'service-worker.js'), text);
  },
};

const plugins = [reportStyle, pageEngines, noNode];

export default defineConfig({
  root: here,
  base: './',
  plugins: [...plugins, serviceWorker],
  worker: { format: 'es', plugins: () => plugins },
  build: {
    outDir: join(here, '../dist-web'),
    emptyOutDir: true,
    target: 'es2022',
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 4000,
  },
});
