/**
 * `npm run conformance`: runs the operator tests of ONNX and the ONNX files of the corpus, and writes what they show to docs/conformance.md.
 *
 * `npm run conformance -- --zoo <folder>`: converts the nets of a folder to ONNX and to a TensorFlow.js graph model, runs both against what the nets' own
 * framework recorded, and puts the rows into the table of nets. The folder has an `index.json` (models with their inputs and outputs as .npy, the source's
 * layout) or folders with a `case.json`; rows of nets that it does not have stay, so that a large zoo can be made and tried a net at a time. Nothing is done
 * where the folder is absent. `--only <pattern>` takes the nets whose names fit, `--to <target>` tries that target alone: the other cell stays as it was.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { listNets } from './zoo.mjs';

const DOCUMENT = fileURLToPath(new URL('../docs/conformance.md', import.meta.url));
const HEADING = '## Nets';
const TARGETS = ['onnx', 'tfjs-graph'];
/** A net of hundreds of megabytes on a busy machine. */
const MOST_MILLISECONDS = 600_000;

/** Of a target that nobody tried. */
const NOT_RUN = 'not run';

const { values } = parseArgs({ options: { zoo: { type: 'string' }, only: { type: 'string' }, to: { type: 'string' } } });
const targets = TARGETS.filter((target) => target === (values.to ?? target));
if (targets.length === 0) throw new Error(`--to ${values.to} is none of ${TARGETS.join(', ')}`);
if (values.zoo === undefined) {
  const { status } = spawnSync('npx', ['vitest', 'run', 'test/conformance'], {
    cwd: fileURLToPath(new URL('..', import.meta.url)),
    stdio: 'inherit',
    shell: true,
    env: { ...process.env, WEIGHBRIDGE_DOCS: 'write' },
  });
  process.exitCode = status ?? 1;
} else if (!existsSync(values.zoo)) console.log(`${values.zoo} is not there: nothing was tried`);
else await tryNets(values.zoo, new RegExp(values.only ?? ''));

async function tryNets(folder, only) {
  const rows = knownRows();
  const nets = listNets(folder).filter(({ name }) => only.test(name));
  // One process for many nets; where it ends, the net that it was at is said to have ended it, and another one goes on behind it.
  for (let done = 0; done < nets.length; ) done += await tryFrom(nets.slice(done), rows);
}

/** @returns how many nets there is a row of now */
function tryFrom(nets, rows) {
  const script = fileURLToPath(new URL('./zoo.mjs', import.meta.url));
  const out = mkdtempSync(join(tmpdir(), 'weighbridge-nets-'));
  const list = join(out, 'nets.json');
  writeFileSync(list, JSON.stringify({ nets, targets, out }));
  const child = spawn(process.execPath, [script, list], { stdio: ['ignore', 'pipe', 'ignore'] });
  let [done, cells] = [0, []];
  const row = () => {
    const { name, format } = nets[done++];
    const key = `${name} | ${format}`;
    const known = rows.get(key)?.split(' | ').slice(2) ?? [];
    const all = TARGETS.map((target, i) => cells[targets.indexOf(target)] ?? known[i]?.replace(/ \|$/, '') ?? NOT_RUN);
    const line = `| ${key} | ${all.join(' | ')} |`;
    cells = [];
    rows.set(key, line);
    console.log(line);
    // Written at once: an interrupted run keeps what it found.
    write(rows);
  };
  let timer = null;
  const wait = () => {
    clearTimeout(timer);
    timer = setTimeout(() => child.kill('SIGKILL'), MOST_MILLISECONDS);
  };
  wait();
  createInterface({ input: child.stdout }).on('line', (line) => {
    const outcome = /^outcome (.*)$/.exec(line)?.[1];
    if (outcome === undefined) return;
    wait();
    cells.push(outcome);
    if (cells.length === targets.length) row();
  });
  return new Promise((resolve) => {
    child.on('close', (status, signal) => {
      clearTimeout(timer);
      rmSync(out, { recursive: true, force: true });
      if (done < nets.length) {
        while (cells.length < targets.length) cells.push(signal ? `ended by ${signal}` : `exit ${status}`);
        row();
      }
      resolve(done);
    });
  });
}

function knownRows() {
  const text = readFileSync(DOCUMENT, 'utf8');
  const lines = text.includes(HEADING) ? text.slice(text.indexOf(HEADING)).split('\n') : [];
  const rows = lines.filter((line) => line.startsWith('| ') && !line.startsWith('| net |'));
  return new Map(rows.map((line) => [line.slice(2).split(' | ').slice(0, 2).join(' | '), line]));
}

function write(rows) {
  const text = readFileSync(DOCUMENT, 'utf8');
  const tests = text.includes(HEADING) ? text.slice(0, text.indexOf(HEADING)) : `${text}\n`;
  const sorted = [...rows.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, line]) => line);
  writeFileSync(DOCUMENT, `${tests}${section(sorted)}`);
}

function section(rows) {
  const good = (column) => rows.filter((row) => /^\d/.test(row.split(' | ')[column] ?? '')).length;
  return [
    HEADING,
    '',
    'Nets of published architectures and of the corpus, by name: what `npm run conformance -- --zoo <folder>` found. A number is the largest error of any',
    "output, of its scale, against what the net's own framework recorded; the consumer's runtime ran the file that was written. Other cells say why not;",
    `\`${NOT_RUN}\` is a target that was not tried, with nets of hundreds of megabytes. Large convolutional nets have pictures of 32 to 160 pixels.`,
    '',
    'Nets of keras.applications bear the names that they have there; Keras 3.15 made, saved and recorded them, `alone` without a configuration beside the weights.',
    '',
    `${good(2)} of ${rows.length} match in ONNX, ${good(3)} in TensorFlow.js.`,
    '',
    '| net | source | ONNX | TensorFlow.js graph |',
    '|---|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}
