/**
 * `npm run faults`: the catalogue of faults in nets that were made for it (test/verify/faults/families.ts) and in others (foreign.ts): every fault that fits
 * is put into the written file, alone, and the file is verified with no options. Prints what is not seen, placed or named.
 *
 *   npm run faults -- [--nets folder] [--only name] [--kinds text] [--every 3] [--save folder] [--minutes 10] [--write]
 *
 * --nets: what test/fixtures/exported/make.py or strangers.py has made. --only: a pattern of names. --every: each so many-th fault. --save: keeps what was
 * found, a file for each net, and goes on from there: after --minutes, or where it was stopped. --write puts the rows of nets that are done into the tables
 * of docs/verify.md, beside those that are there. Nets that are not here are left out.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
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
    minutes: { type: 'string', default: 'Infinity' },
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
  const load = (name) => server.ssrLoadModule(`/test/verify/faults/${name}.ts`);
  await measure({ ...(await load('families')), ...(await load('foreign')), ...(await load('catalogue')) });
} finally {
  await server.close();
}
process.exit();

async function measure({ FAMILIES, foreignNets, foreignSubject, subjectOf, faultsOf, scoreFault }) {
  const until = performance.now() + Number(values.minutes) * 60_000;
  const own = FAMILIES.map((make) => make()).map((map) => ({ name: map.name, table: 'catalogue', open: () => subjectOf(map) }));
  const others = foreignNets(values.nets).map((net) => ({ name: net.name, table: 'foreign faults', open: () => foreignSubject(net) }));
  const done = [];
  for (const net of [...own, ...others].filter(({ name }) => new RegExp(values.only).test(name))) {
    if (performance.now() > until) break;
    const subject = await net.open().catch((error) => {
      // One that cannot be converted is told, and the others are measured.
      console.log(`${net.name}: not converted: ${error.message.split('\n')[0]}`);
    });
    if (!subject) continue;
    const scores = kept(net.name);
    try {
      const wanted = faultsOf(subject).filter(({ kind }, i) => kind.includes(values.kinds) && i % Number(values.every) === 0);
      const isKept = ({ kind, layer }) => scores.some(({ fault }) => fault.kind === kind && fault.layer === layer);
      for (const fault of wanted) {
        if (isKept(fault) || performance.now() > until) continue;
        const { verdict, seen, placed, named, said } = await scoreFault(subject, fault);
        scores.push({ fault: { kind: fault.kind, layer: fault.layer }, verdict, seen, placed, named, said });
        keep(net.name, scores);
      }
      const ran = scores.filter(({ verdict }) => verdict !== 'not run');
      for (const { fault, verdict, said, ...found } of ran) {
        const lacks = ['seen', 'placed', 'named'].filter((key) => !found[key]);
        if (lacks.length > 0) console.log(`${net.name}: not ${lacks.join(', not ')}: ${fault.kind} in "${fault.layer}": ${verdict}. ${said}`);
      }
      const left = wanted.filter((fault) => !isKept(fault)).length;
      console.log(`${row(net.name, ran)}${left > 0 ? ` ${left} faults are left` : ''}`);
      if (left === 0) done.push({ ...net, counts: countsOf(ran) });
    } finally {
      await subject.close?.();
    }
  }
  if (values.write) writeTables(done);
}

function fileOf(name) {
  return join(values.save, `${name.replaceAll(/\W+/g, '-')}.json`);
}

function keep(name, scores) {
  if (!values.save) return;
  mkdirSync(values.save, { recursive: true });
  writeFileSync(fileOf(name), JSON.stringify({ name, scores }, null, 1));
}

function kept(name) {
  return values.save && existsSync(fileOf(name)) ? JSON.parse(readFileSync(fileOf(name), 'utf8')).scores : [];
}

function countsOf(scores) {
  return [scores.length, ...['seen', 'placed', 'named'].map((key) => scores.filter((score) => score[key]).length)];
}

function row(name, scores) {
  return `| ${[name, ...countsOf(scores)].join(' | ')} |`;
}

/** Rows of a table as they are, with those of nets that were measured, and their sums. */
function writeTables(done) {
  const page = join(root, 'docs/verify.md');
  let text = readFileSync(page, 'utf8');
  for (const table of ['catalogue', 'foreign faults']) {
    const block = new RegExp(`(<!-- ${table}:[^>]*-->\\n)([\\s\\S]*?)(<!-- end -->)`);
    text = text.replace(block, (_, start, before, end) => {
      const rows = new Map();
      for (const [, name, ...counts] of before.matchAll(/^\| ([^*|]+?) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$/gm)) rows.set(name, counts.map(Number));
      for (const { name, counts } of done.filter((each) => each.table === table)) {
        // The table may say more of a net than its name.
        rows.set([...rows.keys()].find((known) => known === name || known.startsWith(`${name} (`)) ?? name, counts);
      }
      const sums = [0, 1, 2, 3].map((i) => `**${[...rows.values()].reduce((sum, counts) => sum + counts[i], 0)}**`);
      const lines = [...[...rows].map(([name, counts]) => [name, ...counts]), [`**${rows.size} nets**`, ...sums]].map((cells) => `| ${cells.join(' | ')} |`);
      return `${start}| net | faults | seen | placed | named |\n|---|---|---|---|---|\n${lines.join('\n')}\n${end}`;
    });
  }
  writeFileSync(page, text);
}
