/**
 * Measures what `shrink` makes of trained nets, and writes the table and the picture of docs/shrink.md: node scripts/shrink-table.mjs [folder of trained nets] [way,way]
 *
 * The folder has nets of other people (see its README), which are read in place; without it the demo's net alone is measured. With ways named, these alone
 * are measured, and the rows of others stay as they are. Needs a build. The
 * same nets and inputs give the same numbers.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { plotOf } from './shrink-plot.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const trained = process.argv[2] ?? join(root, '../shared/trained');
const only = process.argv[3]?.split(',');
const DOC = join(root, 'docs/shrink.md');
const [BEGIN, END] = ['<!-- measured by scripts/shrink-table.mjs -->', '<!-- end of what was measured -->'];
const ROWS = 200;

const NETS = [
  { title: 'digits (demo)', model: join(root, 'demo/digits/digits.h5'), inputs: ['--golden', join(root, 'demo/digits/keras.npz')] },
  { title: 'CNN for MNIST', folder: 'mnist-cnn', file: 'mnist_cnn.h5', prepare: (x) => x / 255, channel: true },
  { title: 'ResNet-8, CIFAR-10', folder: 'resnet8-cifar10', file: 'pretrainedResnet.h5', prepare: (x) => x },
  { title: 'MobileNet v2 0.35', folder: 'mobilenetv2-waste', file: 'keras_model.h5', prepare: (x) => x / 127.5 - 1 },
];

const WAYS = [
  { title: 'float16', args: ['--dtype', 'float16'] },
  { title: 'int8', args: ['--dtype', 'int8'] },
  { title: 'int4', args: ['--dtype', 'int4'] },
  { title: 'palette of 16', args: ['--palette', '16'] },
  { title: 'rank by 90 % energy', args: ['--svd', '0.9'] },
  ...['0.1', '0.3', '0.5', '0.7'].map((step) => ({ title: `steps of ${step}`, args: ['--step', step] })),
  { title: 'method best', args: ['--method', 'best'] },
  { title: 'computing in 8 bits', args: ['--activations', 'uint8'] },
  { title: 'search, agreement 0.97', args: ['--min-agreement', '0.97'] },
];

/** The pictures as the net takes them, and their labels, as .npz. */
async function inputsOf({ folder, prepare, channel }, where) {
  const { memorySource, readNpz, tensorBytes } = await import(new URL('../dist/index.js', import.meta.url));
  const path = join(trained, folder, 'pictures.npz');
  const arrays = await readNpz(memorySource(new Uint8Array(readFileSync(path)), path));
  const pictures = arrays.get('pictures');
  const rows = Math.min(ROWS, pictures.shape[0]);
  const each = pictures.shape.slice(1).reduce((a, b) => a * b, 1);
  const bytes = (await tensorBytes(pictures)).subarray(0, rows * each);
  const files = { 'input.npy': npy([rows, ...pictures.shape.slice(1), ...(channel ? [1] : [])], Float32Array.from(bytes, prepare)) };
  const labels = arrays.get('labels');
  if (labels) files['labels.npy'] = npy([rows], Float32Array.from((await tensorBytes(labels)).subarray(0, rows)));
  const { zipSync } = await import('fflate');
  const out = join(where, `${folder}.npz`);
  writeFileSync(out, zipSync(files, { level: 0 }));
  return ['--inputs', out];
}

function npy(shape, values) {
  const head = `{'descr': '<f4', 'fortran_order': False, 'shape': (${shape.join(', ')},), }`;
  const padded = `${head.padEnd(Math.ceil((head.length + 11) / 64) * 64 - 11)}\n`;
  const magic = Buffer.from([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, padded.length & 255, padded.length >> 8]);
  return new Uint8Array(Buffer.concat([magic, Buffer.from(padded, 'latin1'), Buffer.from(values.buffer)]));
}

const kb = (bytes) => `${(bytes / 1000).toFixed(0)} kB`;

function measure(net, way, inputs, where) {
  const output = join(where, 'a.onnx');
  const args = ['shrink', net, '-o', output, '--force', '--compress', 'gzip', '--json', ...inputs, ...way.args];
  const { stdout, stderr, status } = spawnSync(process.execPath, [join(root, 'dist/cli/main.js'), ...args], { encoding: 'utf8', maxBuffer: 2 ** 28 });
  if (status === 2) throw new Error(stderr);
  const { totals, report } = JSON.parse(stdout);
  const { agreement } = report.quantisation ?? { agreement: null };
  const [{ relativeToScale }] = report.outputs;
  const accuracy = agreement?.accuracy;
  return { totals, agreement, accuracy, relativeToScale };
}

const text = readFileSync(DOC, 'utf8');
const [start, end] = [text.indexOf(BEGIN), text.indexOf(END)];
if (start < 0 || end < start) throw new Error(`${DOC} has no place for the table`);
/** A row that was measured before. */
const known = (net, way) =>
  text
    .slice(start, end)
    .split('\n')
    .find((line) => line.startsWith(`| ${net} | ${way} |`));

const where = mkdtempSync(join(tmpdir(), 'weighbridge-table-'));
const lines = [
  '| net | how | on disk | on the wire | after loading | same class first | right before, now | largest error, of scale |',
  '|---|---|---|---|---|---|---|---|',
];
try {
  for (const net of NETS) {
    if (net.folder && !existsSync(join(trained, net.folder))) continue;
    const model = net.folder ? join(trained, net.folder, net.file) : net.model;
    const inputs = net.folder ? await inputsOf(net, where) : net.inputs;
    const before = only && known(net.title, 'as it is');
    if (before) lines.push(before);
    for (const [i, way] of WAYS.entries()) {
      if (only && !only.includes(way.title)) {
        lines.push(...[known(net.title, way.title)].filter(Boolean));
        continue;
      }
      const { totals, agreement, accuracy, relativeToScale } = measure(model, way, inputs, where);
      if (i === 0 && !before)
        lines.push(`| ${net.title} | as it is | ${kb(totals.onDisk.before)} | ${kb(totals.onWire.before)} | ${kb(totals.loaded.before)} | | | |`);
      const same = agreement ? `${agreement.same.count} of ${agreement.same.of}` : '';
      const right = accuracy ? `${accuracy.expected.count}, ${accuracy.actual.count}` : '';
      const sizes = [totals.onDisk.after, totals.onWire.after, totals.loaded.after].map(kb);
      lines.push(`| ${net.title} | ${way.title} | ${sizes.join(' | ')} | ${same} | ${right} | ${Number(relativeToScale.toPrecision(2))} |`);
      console.error(lines.at(-1));
    }
  }
} finally {
  rmSync(where, { recursive: true, force: true });
}
writeFileSync(DOC, `${text.slice(0, start + BEGIN.length)}\n${lines.join('\n')}\n${text.slice(end)}`);
writeFileSync(join(root, 'docs/shrink.svg'), plotOf(lines));
