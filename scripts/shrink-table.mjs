/**
 * Measures what `shrink` makes of trained nets, and writes the table and the picture of docs/shrink.md: node scripts/shrink-table.mjs [shared folder] [way;way] [net;net]
 *
 * The folder has nets of other people in `trained` and `corpus` (see their READMEs), which are read in place; without it the demo's net alone is measured. With ways or nets
 * named, these alone are measured, and the rows of others stay as they are; '' stands for all. The page is written after each net. Needs a build. The same nets and inputs
 * give the same numbers.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { NETS, SEARCH, SEARCH_BY_SIZE, WAYS } from './shrink-nets.mjs';
import { plotOf } from './shrink-plot.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const shared = process.argv[2] || join(root, '../shared');
const [ways, nets] = [process.argv[3], process.argv[4]].map((list) => (list ? list.split(';') : null));
const DOC = join(root, 'docs/shrink.md');
const [BEGIN, END] = ['<!-- measured by scripts/shrink-table.mjs -->', '<!-- end of what was measured -->'];
const ROWS = 200;

const SMALL = 1 / 3;

const { memorySource, readNpz, tensorBytes } = await import(new URL('../dist/index.js', import.meta.url));
const { shrinkFile } = await import(new URL('../dist/node/index.js', import.meta.url));
const { zipSync } = await import('fflate');

/** The file of a net, and options with the inputs that judge it; null where it is not here. */
function sourceOf(net, where) {
  if (net.model) return { path: join(root, net.model), options: { golden: join(root, net.golden) } };
  const inCorpus = net.corpus && join(shared, 'corpus', net.corpus);
  const path = inCorpus ? join(inCorpus, 'case.json') : join(shared, 'trained', net.trained);
  if (!existsSync(path)) return null;
  if (!inCorpus) return { path, options: { inputs: picturesOf(net, where) } };
  const { model, prototxt, inputs } = JSON.parse(readFileSync(path, 'utf8'));
  const given = net.pictures ? picturesOf(net, where) : recordedOf(inCorpus, inputs, where);
  return { path: join(inCorpus, model), options: { inputs: given, ...(prototxt ? { prototxt: join(inCorpus, prototxt) } : {}), ...net.own } };
}

/** The pictures as the net takes them, and their labels, as .npz. */
async function picturesOf({ pictures: folder, prepare, layout, rows: most = ROWS }, where) {
  const path = join(shared, 'trained', folder, 'pictures.npz');
  const arrays = await readNpz(memorySource(new Uint8Array(readFileSync(path)), path));
  const pictures = arrays.get('pictures');
  const rows = Math.min(most, pictures.shape[0]);
  const size = pictures.shape.slice(1);
  const bytes = (await tensorBytes(pictures)).subarray(0, rows * size.reduce((a, b) => a * b, 1));
  const shape = size.length > 2 ? size : layout === 'nhwc' ? [...size, 1] : [1, ...size];
  const files = { 'input.npy': npy([rows, ...shape], Float32Array.from(bytes, prepare)) };
  const labels = arrays.get('labels');
  if (labels) files['labels.npy'] = npy([rows], Float32Array.from((await tensorBytes(labels)).subarray(0, rows)));
  return archive(where, files);
}

function recordedOf(folder, inputs, where) {
  const name = (input) => (inputs.length === 1 || input.name === null ? 'input' : input.name);
  return archive(where, Object.fromEntries(inputs.map((input) => [`${name(input)}.npy`, new Uint8Array(readFileSync(join(folder, input.file)))])));
}

function archive(where, files) {
  const out = join(where, 'inputs.npz');
  writeFileSync(out, zipSync(files, { level: 0 }));
  return out;
}

function npy(shape, values) {
  const head = `{'descr': '<f4', 'fortran_order': False, 'shape': (${shape.join(', ')},), }`;
  const padded = `${head.padEnd(Math.ceil((head.length + 11) / 64) * 64 - 11)}\n`;
  const magic = Buffer.from([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, padded.length & 255, padded.length >> 8]);
  return new Uint8Array(Buffer.concat([magic, Buffer.from(padded, 'latin1'), Buffer.from(values.buffer)]));
}

const kb = (bytes) => `${(bytes / 1000).toFixed(0)} kB`;

async function measure({ path, options }, own, where) {
  const inputs = await options.inputs;
  const {
    totals,
    report,
    agreement: top,
  } = await shrinkFile(path, join(where, 'a.onnx'), { ...options, ...(inputs ? { inputs } : {}), ...own, force: true, compress: 'gzip' });
  const { agreement } = report.quantisation ?? { agreement: null };
  const relativeToScale = Math.max(...report.outputs.map((output) => output.relativeToScale));
  return { totals, agreement: top ? agreement : null, accuracy: agreement?.accuracy, relativeToScale };
}

const text = readFileSync(DOC, 'utf8');
const [start, end] = [text.indexOf(BEGIN), text.indexOf(END)];
if (start < 0 || end < start) throw new Error(`${DOC} has no place for the table`);
const before = text.slice(start, end).split('\n');
/** A row that was measured before. */
const known = (net, way) => before.find((line) => [way, ...(way === SEARCH ? [SEARCH_BY_SIZE] : [])].some((title) => line.startsWith(`| ${net} | ${title} |`)));

const where = mkdtempSync(join(tmpdir(), 'weighbridge-table-'));
const head = [
  '| net | how | on disk | on the wire | after loading | same class first | right before, now | largest error, of scale |',
  '|---|---|---|---|---|---|---|---|',
];
const rowsOf = new Map(NETS.map(({ title }) => [title, [{ title: 'as it is' }, ...WAYS].flatMap((way) => known(title, way.title) ?? [])]));
try {
  for (const net of NETS) {
    if (nets && !nets.includes(net.title)) continue;
    const source = sourceOf(net, where);
    if (source) rowsOf.set(net.title, await measured(net, source));
    const lines = [...head, ...[...rowsOf.values()].flat()];
    writeFileSync(DOC, `${text.slice(0, start + BEGIN.length)}\n${lines.join('\n')}\n${text.slice(end)}`);
    writeFileSync(join(root, 'docs/shrink.svg'), plotOf(lines));
  }
} finally {
  rmSync(where, { recursive: true, force: true });
}

async function measured(net, source) {
  const lines = ways ? [known(net.title, 'as it is')].filter(Boolean) : [];
  let small = 0;
  for (const way of WAYS) {
    const old = known(net.title, way.title);
    if (ways && !ways.includes(way.title)) {
      if (old) lines.push(old);
      continue;
    }
    let found;
    try {
      found = await measure(source, way.options, where);
    } catch (error) {
      if (error.kind !== 'usage') throw error;
      // An output that is no list of classes has no agreement to search for; a net may have no layer for a way.
      if (!way.options.minAgreement || small === 0) {
        console.error(`${net.title}, ${way.title}: ${error.message.slice(0, 200)}`);
        continue;
      }
      found = await measure(source, { budget: small, count: 'wire' }, where);
      way.said = SEARCH_BY_SIZE;
    }
    const { totals, agreement, accuracy, relativeToScale } = found;
    if (lines.length === 0)
      lines.push(`| ${net.title} | as it is | ${kb(totals.onDisk.before)} | ${kb(totals.onWire.before)} | ${kb(totals.loaded.before)} | | | |`);
    if (way.title === 'float16') small = Math.round(totals.onWire.after * SMALL);
    const same = agreement ? `${agreement.same.count} of ${agreement.same.of}` : '';
    const right = accuracy ? `${accuracy.expected.count}, ${accuracy.actual.count}` : '';
    const sizes = [totals.onDisk.after, totals.onWire.after, totals.loaded.after].map(kb);
    lines.push(`| ${net.title} | ${way.said ?? way.title} | ${sizes.join(' | ')} | ${same} | ${right} | ${Number(relativeToScale.toPrecision(2))} |`);
    way.said = undefined;
    console.error(lines.at(-1));
  }
  return lines;
}
