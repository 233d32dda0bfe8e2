/**
 * `npm run faults`: the catalogue of faults in nets that were not made for it (test/verify/faults/foreign.ts): each is converted, every fault that fits
 * is put into the written file, alone, and the file is verified with no options. Prints what is not seen, placed or named.
 *
 *   npm run faults -- [--nets folder] [--only name] [--kinds text] [--every 3] [--save folder] [--write]
 *
 * --nets: what test/fixtures/exported/make.py or strangers.py has made. --every: each so many-th fault. --save: keeps what was found, a file for each net, so that
 * nets can be run one by one; --write puts the table of all that was kept into docs/verify.md. Nets that are not here are left out.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createViteServer } from 'vitest/node';

const { values } = parseArgs({
  options: {
    nets: { type: 'string' },
    only: { type: 'string', default: '' },
    kinds: { type: 'string', default: '' },
    every: { type: 'string', default: '1' },
    save: { type: 'string' },
    write: { type: 'boolean', default: false },
  },
});
const root = fileURLToPath(new URL('..', import.meta.url));
/** CommonJS, whose names Vite does not see. */
const PROTO = `import { createRequire } from 'node:module'; export const { onnx } = createRequire(${JSON.stringify(import.meta.url)})('onnx-proto');`;
const server = await createViteServer({
  root,
  configFile: false,
  appType: 'custom',
  optimizeDeps: { noDiscovery: true },
  logLevel: 'error',
  ssr: { noExternal: ['onnx-proto'] },
  plugins: [
    {
      name: 'onnx-proto',
      enforce: 'pre',
      resolveId: (id) => (id === 'onnx-proto' ? '\0onnx-proto' : null),
      load: (id) => (id === '\0onnx-proto' ? PROTO : null),
    },
  ],
  server: { middlewareMode: true, watch: null, hmr: false, ws: false },
});
try {
  await measure(await server.ssrLoadModule('/test/verify/faults/foreign.ts'), await server.ssrLoadModule('/test/verify/faults/catalogue.ts'));
} finally {
  await server.close();
}
process.exit();

async function measure({ foreignNets, foreignSubject }, { faultsOf, scoreFault }) {
  const rows = [];
  const refused = [];
  for (const net of foreignNets(values.nets).filter(({ name }) => new RegExp(values.only).test(name))) {
    const subject = await foreignSubject(net).catch((error) => {
      // One that cannot be converted is told, and the others are measured.
      console.log(`${net.name}: not converted: ${error.message.split('\n')[0]}`);
      refused.push(net.name);
    });
    if (!subject) continue;
    const started = process.cpuUsage();
    try {
      const wanted = faultsOf(subject).filter(({ kind }, i) => kind.includes(values.kinds) && i % Number(values.every) === 0);
      const scores = [];
      for (const fault of wanted) {
        const score = await scoreFault(subject, fault);
        if (score.verdict === 'not run') continue;
        scores.push(score);
        const lacks = ['seen', 'placed', 'named'].filter((key) => !score[key]);
        if (lacks.length > 0) console.log(`${net.name}: not ${lacks.join(', not ')}: ${fault.kind} in "${fault.layer}": ${score.verdict}. ${score.said}`);
      }
      rows.push({ name: net.name, scores });
      keep(net.name, scores);
      const { user, system } = process.cpuUsage(started);
      console.log(`${row(net.name, scores)} ${Math.round((user + system) / 1e6)} s of processors`);
    } finally {
      await subject.close();
    }
  }
  const table = tableOf(values.save ? kept() : rows);
  console.log(table);
  if (refused.length > 0) console.log(`not converted: ${refused.join(', ')}`);
  if (!values.write) return;
  const page = join(root, 'docs/verify.md');
  const block = /(<!-- foreign faults:[^>]*-->\n)[\s\S]*?(<!-- end -->)/;
  writeFileSync(
    page,
    readFileSync(page, 'utf8').replace(block, (_, start, end) => `${start}${table}${end}`),
  );
}

function keep(name, scores) {
  if (!values.save) return;
  mkdirSync(values.save, { recursive: true });
  const short = scores.map(({ fault: { kind, layer }, seen, placed, named, said }) => ({ fault: { kind, layer }, seen, placed, named, said }));
  writeFileSync(join(values.save, `${name.replaceAll(/\W+/g, '-')}.json`), JSON.stringify({ name, scores: short }, null, 1));
}

function kept() {
  return readdirSync(values.save).map((file) => JSON.parse(readFileSync(join(values.save, file), 'utf8')));
}

function tableOf(rows) {
  const all = rows.flatMap(({ scores }) => scores);
  const kinds = new Set(all.map(({ fault }) => fault.kind)).size;
  const lines = [...rows.map(({ name, scores }) => row(name, scores)), row(`**${rows.length} nets, ${kinds} kinds**`, all, '**')];
  return `| net | faults | seen | placed | named |\n|---|---|---|---|---|\n${lines.join('\n')}\n`;
}

function row(name, scores, mark = '') {
  const count = (key) => scores.filter((score) => score[key]).length;
  return `| ${name} | ${[scores.length, count('seen'), count('placed'), count('named')].map((number) => `${mark}${number}${mark}`).join(' | ')} |`;
}
