/**
 * The benchmark: full VGG16 through the built command, each figure a ratio to `cp` of the same source in the same run, with
 * the peak memory of its processes together. `npm run bench -- --runs 5 --only 'onnx'`; `--only start`
 * measures how long the command takes to start.
 *
 * Sources are made once and cached (1.6 GB). Output goes to new files; the page cache is warm. A disk that writes back what another
 * process wrote makes both slower for a while, so each command runs right after its own `cp`, and what counts is the median of the
 * ratios of such pairs, not the ratio of medians.
 */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, rmSync, statSync } from 'node:fs';
import { copyFile, mkdir } from 'node:fs/promises';
import { cpus, totalmem } from 'node:os';
import { basename, isAbsolute, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { CASES, LEGACY, MANY_NODES, VGG_ONNX } from './cases.mjs';
import { makeManyNodes } from './many-nodes.mjs';
import { GOLDEN, recordVgg16 } from './record.mjs';
import { measureStarts, median } from './start.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const main = join(root, 'dist/cli/main.cjs');
const { values: flags } = parseArgs({
  options: { runs: { type: 'string', default: '5' }, only: { type: 'string' }, folder: { type: 'string', default: join(root, '.cache/bench') } },
});
const runs = Number(flags.runs);
const cases = CASES.filter(({ title }) => !flags.only || title.includes(flags.only));

/**
 * Prints on file descriptor 3, when the process ends, its peak resident set in KiB and the time of all processors in microseconds: on Linux also
 * that of the processes which it started and which have ended.
 */
const REPORT_USE = `data:text/javascript,${encodeURIComponent(
  `import {readFileSync, writeSync} from 'node:fs';
process.on('exit', () => {
  const use = process.resourceUsage();
  let children = 0;
  try { const [cutime, cstime] = readFileSync('/proc/self/stat', 'utf8').split(') ').at(-1).split(' ').slice(13, 15).map(Number); children = 1e4 * (cutime + cstime); } catch {}
  writeSync(3, [use.maxRSS, use.userCPUTime + use.systemCPUTime + children].join(' '));
});`,
)}`;
/** How often the memory of a command's processes is added up, where the system tells it. */
const POLL_MS = 25;

await mkdir(flags.folder, { recursive: true });
if (cases.length > 0 && !existsSync(join(flags.folder, 'vgg16.h5'))) {
  console.error('bench: making the seeded VGG16 in three dialects');
  const { makeVgg16 } = await import(new URL('../dist/cli/demo/make-vgg16.js', import.meta.url));
  await makeVgg16(flags.folder);
}
if (cases.some(({ source }) => source === LEGACY) && !existsSync(join(flags.folder, LEGACY))) {
  const { makeLegacyVgg16 } = await import(new URL('../dist/cli/demo/make-vgg16.js', import.meta.url));
  await makeLegacyVgg16(flags.folder);
}
if (cases.some(({ source }) => source === VGG_ONNX) && !existsSync(join(flags.folder, VGG_ONNX)))
  await timedCommand(['convert', join(flags.folder, 'vgg16.pth'), '-o', join(flags.folder, VGG_ONNX), '--no-verify', '--quiet']);
if (cases.some(({ source }) => source === MANY_NODES) && !existsSync(join(flags.folder, MANY_NODES))) await makeManyNodes(join(flags.folder, MANY_NODES));
if (cases.some(({ isRecorded }) => isRecorded) && !existsSync(join(flags.folder, GOLDEN))) {
  console.error('bench: recording what OpenCV predicts from the original');
  await recordVgg16(flags.folder);
}

console.log(
  `${cpus()[0].model}, ${cpus().length} cores, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, ${process.platform}, Node ${process.versions.node}, median of ${runs}`,
);
console.log('| conversion | cp | wall | ratio to cp | processors | limit | peak memory | limit |');
console.log('|---|---:|---:|---:|---:|---:|---:|---:|');
let failed = false;
for (const { title, source, prepare, script = main, args, output, beside, ratioLimit, peakLimitMB, wallLimitS, cpuLimitS } of cases) {
  const from = join(flags.folder, source);
  const to = join(flags.folder, output ?? 'none');
  const program = script === main ? main : await bundled(script);
  const prepared = prepare && (await bundled(prepare.script));
  const copies = [];
  const walls = [];
  const peaks = [];
  const ratios = [];
  const times = [];
  const besides = [];
  for (let run = 0; run <= runs; run++) {
    const copied = await timedCopy(from);
    if (output) rmSync(to, { recursive: true, force: true });
    if (prepare) await timedCommand(prepare.args(from, to), prepared);
    const { wallMs, peakKiB, cpuMs } = await timedCommand(args(from, to), program);
    // The first run warms the page cache and the disk's write-back.
    if (run === 0) continue;
    copies.push(copied);
    walls.push(wallMs);
    ratios.push(wallMs / copied);
    peaks.push(peakKiB * 1024);
    times.push(cpuMs / 1000);
    if (beside) besides.push({ own: { wallMs, cpuMs }, ...(await timedCommand([to], beside.script)) });
  }
  if (output) for (const path of [to, `${to}.gz`]) rmSync(path, { recursive: true, force: true });
  const [copy, wall, ratio, cpu, peak] = [median(copies), median(walls), median(ratios), median(times), Math.max(...peaks)];
  const peakMB = peak / 1e6;
  // In time of processors: by the clock each waits for others on a shared machine.
  const toBeside = beside && median(besides.map(({ own, cpuMs }) => own.cpuMs / cpuMs));
  const over =
    (beside && toBeside > beside.limit) ||
    (ratioLimit && ratio > ratioLimit) ||
    (cpuLimitS && cpu > cpuLimitS) ||
    (wallLimitS && wall / 1000 > wallLimitS) ||
    (peakLimitMB && peakMB > peakLimitMB);
  failed ||= Boolean(over);
  const limit = beside
    ? `${beside.limit} × that of ${beside.title}`
    : ratioLimit
      ? `${ratioLimit} ×`
      : wallLimitS
        ? `${wallLimitS} s`
        : cpuLimitS
          ? `${cpuLimitS} s of processors`
          : '';
  console.log(
    `| ${title}${over ? ' **over**' : ''} | ${(copy / 1000).toFixed(2)} s | ${(wall / 1000).toFixed(2)} s | ${ratio.toFixed(2)} × | ${cpu.toFixed(1)} s | ${limit} | ${peakMB.toFixed(0)} MB | ${peakLimitMB ?? ''} MB |`,
  );
  if (beside) {
    const [alone, ofAlone] = [median(besides.map(({ wallMs }) => wallMs)), median(besides.map(({ cpuMs }) => cpuMs))];
    console.log(
      `| ${beside.title} (${median(besides.map(({ own, wallMs }) => own.wallMs / wallMs)).toFixed(2)} × by the clock, ${toBeside.toFixed(2)} × in processors) | | ${(alone / 1000).toFixed(2)} s | ${(alone / copy).toFixed(2)} × | ${(ofAlone / 1000).toFixed(1)} s | | | |`,
    );
  }
}
if (!flags.only || 'start'.includes(flags.only)) failed = !measureStarts(root, main, runs) || failed;
process.exitCode = failed ? 1 : 0;

/** Copies with `cp` where there is one, because that is the yardstick; the copy is removed afterwards. */
async function timedCopy(from) {
  const to = join(flags.folder, 'copy.tmp');
  rmSync(to, { force: true });
  const startedAt = performance.now();
  if (process.platform === 'win32') await copyFile(from, to);
  else await finished(spawn('cp', ['--reflink=never', from, to], { stdio: 'inherit' }));
  const elapsedMs = performance.now() - startedAt;
  if (statSync(to).size !== statSync(from).size) throw new Error('cp failed');
  rmSync(to);
  return elapsedMs;
}

/**
 * A script over the library in a few files, as the command itself is: to find three hundred is no part of what is measured.
 *
 * @returns its path
 */
async function bundled(script) {
  const { rolldown } = await import('rolldown');
  const dir = join(root, '.cache/bench-scripts');
  const bundle = await rolldown({ input: script, platform: 'node', logLevel: 'silent', external: (id) => !id.startsWith('.') && !isAbsolute(id) });
  await bundle.write({
    dir,
    format: 'esm',
    entryFileNames: '[name].mjs',
    chunkFileNames: '[name]-[hash].mjs',
    minify: { compress: false, mangle: false, codegen: { removeWhitespace: true } },
    codeSplitting: { groups: [{ name: 'library', test: /dist[\\/](node[\\/](convert-file|shrink-file|open-files)|model[\\/]ops[\\/]index)\.js$/ }] },
  });
  await bundle.close();
  return join(dir, basename(script));
}

async function timedCommand(args, script = main) {
  const startedAt = performance.now();
  const child = spawn(process.execPath, ['--import', REPORT_USE, script, ...args], { stdio: ['ignore', 'ignore', 'ignore', 'pipe'] });
  let use = '';
  child.stdio[3].on('data', (text) => {
    use += text;
  });
  let together = 0;
  const timer = setInterval(() => {
    together = Math.max(together, residentKiB(child.pid));
  }, POLL_MS);
  await finished(child).finally(() => clearInterval(timer));
  const [ownKiB, cpuUs] = use.split(' ').map(Number);
  return { wallMs: performance.now() - startedAt, peakKiB: Math.max(ownKiB, together), cpuMs: cpuUs / 1000 };
}

/** What a process and those that it started hold at once; 0 where the system does not tell. */
function residentKiB(pid) {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean);
    const own = /^VmRSS:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
    return children.reduce((sum, child) => sum + residentKiB(child), Number(own?.[1] ?? 0));
  } catch {
    return 0;
  }
}

function finished(child) {
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => (code === 0 ? resolve() : reject(new Error(`exit code ${code}`))));
  });
}
