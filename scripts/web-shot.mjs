/**
 * Makes docs/web.png, the picture that opens the README: the page with the demo's net, looked into and converted.
 *
 *   npx vite build --config web/vite.config.ts && node scripts/web-shot.mjs [folder for more pictures: light, dark, phone]
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runnerImport } from 'vite';

const root = fileURLToPath(new URL('..', import.meta.url));
const [folder] = process.argv.slice(2);
const { openPage } = (await runnerImport(join(root, 'test/chromium.ts'))).module;
const { serve } = (await runnerImport(join(root, 'test/web-server.ts'))).module;

const site = join(root, 'dist-web');
const names = readdirSync(site, { recursive: true, encoding: 'utf8' }).filter((name) => /\.\w+$/.test(name));
const server = await serve(new Map(names.map((name) => [name, readFileSync(join(site, name))])));
const page = await openPage();
try {
  await page.emulate({ width: 1120, height: 1180 });
  await page.goto(`${server.origin}/`);
  await page.click('#example');
  await page.waitFor(`document.querySelector('.canvas')`);
  if (folder) await picture('open', false);
  await page.click('.canvas [data-layer]');
  await page.waitFor(`document.querySelector('#layer .histograms')`);
  await page.evaluate('scrollTo(0, 0)');
  await picture('page', false, join(root, 'docs/web.png'));
  if (folder) {
    await page.click('#start');
    await page.waitFor(`document.querySelector('#report')`, 60_000);
    await page.evaluate(`document.querySelector('#result').scrollIntoView()`);
    await picture('converted', false);
    await page.emulate({ width: 1120, height: 1180, colours: 'dark' });
    await picture('dark', true);
    await page.emulate({ width: 390, height: 840 });
    await picture('phone', true);
    await page.evaluate('scrollTo(0, 0)');
    await picture('phone-top', false);
  }
} finally {
  await page.close();
  await server.close();
}

async function picture(name, whole, path = join(folder ?? '', `${name}.png`)) {
  writeFileSync(path, await page.screenshot({ whole }));
}
