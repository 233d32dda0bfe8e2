/**
 * `npm run pairs`: every pair of neighbouring operators, written by our writers and run by the stock runtimes, with their optimisations and
 * without, against our evaluator. Prints a line for each disagreement and fails where one is not known (test/verify/pairs.ts).
 *
 * `--engine ort-cpu` takes the runtimes whose names fit, `--sample 10` every tenth pair, `--rows 1500` random rows of four instead.
 */
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createViteServer } from 'vitest/node';

const { values } = parseArgs({ options: { engine: { type: 'string' }, sample: { type: 'string' }, rows: { type: 'string' }, layout: { type: 'string' } } });
const root = fileURLToPath(new URL('..', import.meta.url));
const server = await createViteServer({
  root,
  configFile: false,
  appType: 'custom',
  logLevel: 'error',
  server: { middlewareMode: true, watch: null, hmr: false, ws: false },
});
try {
  process.exitCode = await sweep(await server.ssrLoadModule('/test/verify/pairs.ts'));
} finally {
  await server.close();
}
process.exit();

async function sweep({ STOCK, findings, pairs, rows, singles }) {
  const stocks = [];
  for (const one of STOCK.filter(({ name }) => new RegExp(values.engine ?? '').test(name))) {
    const { available, detail } = await one.engine.availability();
    if (available) stocks.push(one);
    else console.log(`${one.name}: not run, ${detail}`);
  }
  let failed = 0;
  const report = (layout, { tried, found }) => {
    for (const { stock, net, apart, why } of found) {
      if (why === undefined) failed++;
      console.log(
        `${stock}, ${layout}: ${net}: ${typeof apart === 'number' ? `${apart.toPrecision(3)} of scale` : apart}${why === undefined ? '' : ` (known: ${why})`}`,
      );
    }
    for (const [name, count] of tried) console.log(`${name}, ${layout}: ${count} nets`);
  };
  const started = Date.now();
  const progress = (count) => process.stderr.write(`\r${count} nets, ${Math.round((Date.now() - started) / 1000)} s `);
  for (const layout of values.layout ? [values.layout] : ['nchw', 'nhwc']) {
    // What a runtime does not run alone is told once, and not with every neighbour.
    for (const one of stocks) {
      const alone = await findings([one], singles(layout));
      report(layout, alone);
      const refused = new Set(alone.found.map(({ net }) => net));
      const nets = values.rows ? rows(layout, Number(values.rows)) : pairs(layout, { sample: Number(values.sample ?? 1) });
      const accepted = (function* () {
        for (const net of nets) if (!net.drafts.some(({ title }) => refused.has(title))) yield net;
      })();
      report(layout, await findings([one], accepted, progress));
    }
  }
  return failed > 0 ? 1 : 0;
}
