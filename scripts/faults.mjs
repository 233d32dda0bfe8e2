/**
 * `npm run faults`: the catalogue of faults in nets that were made for it (test/verify/faults/families.ts) and in others (foreign.ts): every fault that fits
 * is put into the written file, alone, and the file is verified with no options. Prints what is not seen, placed or named.
 *
 *   npm run faults -- [--nets folder] [--to tfjs,caffe] [--only name] [--kinds text] [--every 3] [--save folder] [--minutes 10] [--write]
 *
 * --to: not ONNX but these formats, into which faults are written with the net (test/verify/faults/any-map.ts); of other people's nets alone.
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
    to: { type: 'string' },
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
  await measure({ ...(await load('families')), ...(await load('foreign')), ...(await load('catalogue')), ...(await load('targets')) });
} finally {
  await server.close();
}
process.exit();

async function measure({ FAMILIES, foreignNets, foreignSubject, subjectOf, targetSubject, faultsOf, findFault, scoreOf }) {
  const until = performance.now() + Number(values.minutes) * 60_000;
  const inOnnx = (open) => async () => {
    const subject = await open();
    return { faults: faultsOf(subject), find: (fault) => findFault(subject, fault), close: subject.close };
  };
  const own = FAMILIES.map((make) => make()).map((map) => ({ name: map.name, table: 'catalogue', open: inOnnx(async () => subjectOf(map)) }));
  const others = foreignNets(values.nets).map((net) => ({ name: net.name, table: 'foreign faults', open: inOnnx(() => foreignSubject(net)) }));
  const inTargets = values.to
    ?.split(',')
    .flatMap((format) =>
      foreignNets(values.nets).map((net) => ({ name: `${net.name}, in ${format}`, table: 'faults in other formats', open: () => targetSubject(net, format) })),
    );
  const done = [];
  for (const net of (inTargets ?? [...own, ...others]).filter(({ name }) => new RegExp(values.only).test(name))) {
    if (performance.now() > until) break;
    const subject = await net.open().catch((error) => {
      // One that cannot be converted is told, and the others are measured.
      console.log(`${net.name}: not converted: ${error.message.split('\n')[0]}`);
    });
    if (!subject) continue;
    const found = kept(net.name);
    try {
      const wanted = subject.faults.filter(({ kind }, i) => kind.includes(values.kinds) && i % Number(values.every) === 0);
      const keptOf = ({ kind, layer }) => found.find(({ fault }) => fault.kind === kind && fault.layer === layer)?.found;
      for (const fault of wanted) {
        if (keptOf(fault) || performance.now() > until) continue;
        found.push({ fault: { kind: fault.kind, layer: fault.layer }, found: await subject.find(fault) });
        keep(net.name, found);
      }
      // What counts as right is looked up anew: only what was said is kept.
      const scores = wanted.flatMap((fault) => (keptOf(fault) ? [scoreOf(fault, keptOf(fault))] : []));
      for (const score of scores) {
        const lacks = lacking(score);
        if (lacks) console.log(`${net.name}: ${lacks}: ${score.fault.kind} in "${score.fault.layer}": ${score.found.verdict}. ${score.found.said}`);
      }
      const left = wanted.filter((fault) => !keptOf(fault)).length;
      console.log(`${row(net.name, scores)}${left > 0 ? ` ${left} faults are left` : ''}`);
      if (left === 0) done.push({ ...net, counts: countsOf(scores) });
    } finally {
      await subject.close?.();
    }
  }
  if (values.write) writeTables(done);
}

function fileOf(name) {
  return join(values.save, `${name.replaceAll(/\W+/g, '-')}.json`);
}

function keep(name, found) {
  if (!values.save) return;
  mkdirSync(values.save, { recursive: true });
  writeFileSync(fileOf(name), JSON.stringify({ name, found }, null, 1));
}

function kept(name) {
  return values.save && existsSync(fileOf(name)) ? JSON.parse(readFileSync(fileOf(name), 'utf8')).found : [];
}

function lacking({ outcome, placed, named, among }) {
  if (outcome !== 'seen') return { unseen: 'NOT SEEN', refused: 'refused', same: '' }[outcome];
  return [placed ? '' : 'not placed', named ? '' : among ? 'named among equals' : 'not named'].filter(Boolean).join(', ');
}

/** Faults that change what the file gives, those of them that end in an error, and of the others which are seen, placed, named first, and named among equals. */
function countsOf(scores) {
  const count = (is) => scores.filter(is).length;
  return [
    count(({ outcome }) => outcome !== 'same'),
    count(({ outcome }) => outcome === 'refused'),
    count(({ outcome }) => outcome === 'seen'),
    ...['placed', 'named', 'among'].map((key) => count((score) => score[key])),
  ];
}

function row(name, scores) {
  return `| ${[name, ...countsOf(scores)].join(' | ')} |`;
}

/** Rows of a table as they are, with those of nets that were measured, and their sums. */
function writeTables(done) {
  const page = join(root, 'docs/verify.md');
  let text = readFileSync(page, 'utf8');
  for (const table of ['catalogue', 'foreign faults', 'faults in other formats']) {
    const block = new RegExp(`(<!-- ${table}:[^>]*-->\\n)([\\s\\S]*?)(<!-- end -->)`);
    text = text.replace(block, (_, start, before, end) => {
      const rows = new Map();
      for (const [, name, ...counts] of before.matchAll(/^\| ([^*|]+?)((?: \| \d+){6}) \|$/gm)) rows.set(name, counts[0].split(' | ').slice(1).map(Number));
      for (const { name, counts } of done.filter((each) => each.table === table)) {
        // The table may say more of a net than its name.
        rows.set([...rows.keys()].find((known) => known === name || known.startsWith(`${name} (`)) ?? name, counts);
      }
      const sums = [0, 1, 2, 3, 4, 5].map((i) => `**${[...rows.values()].reduce((sum, counts) => sum + counts[i], 0)}**`);
      const lines = [...[...rows].map(([name, counts]) => [name, ...counts]), [`**${rows.size} nets**`, ...sums]].map((cells) => `| ${cells.join(' | ')} |`);
      return `${start}| net | faults | errors | seen | placed | named | or among equals |\n|---|---|---|---|---|---|---|\n${lines.join('\n')}\n${end}`;
    });
  }
  writeFileSync(page, text);
}
