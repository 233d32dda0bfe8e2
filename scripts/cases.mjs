/**
 * `npm run cases -- <folder> [name ...]`: runs every case of a folder with the built command, and prints a line for each run.
 *
 * A case is a folder with a model, its recording (`golden.npz`, or `input*.npy` and `output*.npy`) and a `note.txt`. What is right for it stands in `cases.json`,
 * by its name; a case that is not named there has its models converted to ONNX, and is right when the file predicts what was recorded.
 * A file counts as right when the product says so *and* the consumer's own runtime, with nothing of the product in between, makes the recorded values of it.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { differenceFrom, readRecording } from './recording.mjs';
import { runMeasured } from './run-measured.mjs';
import { WarmCommand } from './run-warm.mjs';

/** Float32 sums in another order; the recordings come from other frameworks. */
const RELATIVE_TOLERANCE = 1e-4;
const MODEL = /\.(h5|keras|pth|pt|bin|caffemodel|onnx|safetensors)$/;
const OUTPUT = { onnx: 'out.onnx', safetensors: 'out.safetensors', tfjs: 'out', 'tfjs-graph': 'out' };

const table = JSON.parse(readFileSync(new URL('./cases.json', import.meta.url), 'utf8'));

/**
 * Every run of every case in a folder.
 *
 * @returns {{ name: string, folder: string, run: { open?: string } }[]} `run` is a row of cases.json
 */
export function listRuns(folder) {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith('_'))
    .flatMap(({ name }) => (table[name] ?? modelsOf(join(folder, name)).map((model) => ({ model }))).map((run) => ({ name, folder: join(folder, name), run })));
}

function modelsOf(folder) {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => MODEL.test(name) && readRecording(dirname(join(folder, name))) !== null)
    .sort();
}

/** The words of a command line, with `%` for the folder that outputs go to. */
function commandOf({ folder, run }, out) {
  if (run.command) return run.command.map((word) => word.replace('%', out));
  const to = run.to ?? 'onnx';
  const golden = run.golden ?? 'golden.npz';
  const recording = join(run.recording ?? dirname(run.model), golden);
  return [
    'convert',
    run.model,
    ...['-o', join(out, OUTPUT[to]), '--to', to],
    ...(existsSync(join(folder, recording)) && !run.withoutGolden ? ['--golden', recording] : []),
    ...(run.options ?? []),
  ];
}

/** @returns the case and the command that it is run with */
export function titleOf(entry) {
  const command = commandOf(entry, '%').join(' ');
  return `${entry.name}: ${command.replaceAll(/%[/\\]/g, '')}`;
}

/**
 * @returns {Promise<{ isRight: boolean, command: string, expected: string, happened: string }>}
 */
export async function runCase({ name, folder, run }) {
  const out = mkdtempSync(join(tmpdir(), 'weighbridge-case-'));
  try {
    const command = commandOf({ folder, run }, out);
    const result = run.limits ? await runMeasured(command, { cwd: folder, cpuSeconds: run.limits.cpuSeconds + 1 }) : await runWarm(command, folder);
    const outcomes = run.accept ?? [{ right: true }];
    const failures = [];
    let accepted = null;
    for (const outcome of outcomes) {
      const failure = await failureOf(outcome, result, { folder, run, out });
      if (failure === null) accepted ??= outcome;
      else failures.push(failure);
    }
    const beyond = run.limits ? beyondLimits(run.limits, result) : null;
    const never = (run.never ?? []).find((text) => new RegExp(text, 'i').test(result.words));
    const isRight = accepted !== null && beyond === null && never === undefined;
    const wrong = beyond ?? (never !== undefined ? `says "${never}"` : failures.join('; or '));
    return {
      isRight,
      command: titleOf({ name, folder, run }),
      expected: outcomes.map(wordsOf).join(', or '),
      happened: isRight ? summaryOf(result) : `${summaryOf(result)} (${wrong})`,
    };
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
}

/** One for all runs: a case whose process must not be another's has limits. */
const warm = new WarmCommand();

async function runWarm(args, cwd) {
  const { status, signal, stdout, stderr } = await warm.run({ args, cwd, env: { ...process.env, NO_COLOR: '1' } });
  return { status, signal, words: `${Buffer.from(stderr)}${Buffer.from(stdout)}` };
}

/** Ends what the runs have shared. */
export function endRuns() {
  warm.end();
}

function wordsOf({ right, refused, exit, says = [] }) {
  const parts = [right && 'right', refused && `refused, saying ${refused}`, exit !== undefined && `exit ${[exit].flat().join(' or ')}`];
  return [...parts, ...[says].flat().map((text) => `says ${text}`)].filter(Boolean).join(' and ');
}

/** Null where the outcome is what happened. */
async function failureOf({ right, refused, exit, says = [] }, { status, signal, words }, { folder, run, out }) {
  if (signal) return `ended by ${signal}`;
  if (/^bug {2}/m.test(words)) return 'failed in a way it should not';
  if (right) {
    if (status !== 0) return `exit ${status} where a right file was expected`;
    const wrong = await differenceOf(folder, run, out);
    if (wrong) return `the runtime says: ${wrong}`;
  }
  if (refused) {
    if (status !== 2) return `not refused (exit ${status})`;
    if (!new RegExp(refused, 'i').test(words)) return `refused without saying ${refused}`;
    if (readdirSync(out).length > 0) return `refused, but ${readdirSync(out)} was written`;
  }
  if (exit !== undefined && ![exit].flat().includes(status)) return `exit ${status}`;
  const silent = [says].flat().find((text) => !new RegExp(text, 'i').test(words));
  return silent === undefined ? null : `does not say ${silent}`;
}

async function differenceOf(folder, run, out) {
  const to = run.to ?? 'onnx';
  const written = { onnx: join(out, 'out.onnx'), tfjs: join(out, 'out/model.json'), 'tfjs-graph': join(out, 'out/model.json') }[to];
  if (run.command || !written) return null;
  const recording = readRecording(join(folder, run.recording ?? dirname(run.model)), run.golden);
  if (!recording) return null;
  try {
    return await differenceFrom(recording, written, run.tolerance ?? RELATIVE_TOLERANCE);
  } catch (error) {
    return `fails: ${String(error.message).split('\n')[0]}`;
  }
}

function beyondLimits({ cpuSeconds, megabytes }, result) {
  if (result.signal) return `ended by ${result.signal}, after ${cpuSeconds} s of CPU time or a long wait`;
  if (!(result.cpuSeconds <= cpuSeconds)) return `${result.cpuSeconds.toFixed(1)} s of CPU time, at most ${cpuSeconds}`;
  if (!(result.rssBytes <= megabytes * 1e6)) return `${(result.rssBytes / 1e6).toFixed(0)} MB, at most ${megabytes}`;
  return null;
}

/** The exit code, and the line that says most: the verdict or the error. */
function summaryOf({ status, signal, words }) {
  const lines = words.split('\n');
  const line = lines.find((text) => /^(error|bug) {2}|^(match|mismatch|nothing compared):/.test(text)) ?? '';
  const short = line.replace(/^(match|mismatch):.*/, '$1');
  return `exit ${signal ?? status} ${short.length > 300 ? `${short.slice(0, 300)}...` : short}`.trimEnd();
}

async function main([folder, ...names]) {
  if (!folder || !existsSync(folder) || !statSync(folder).isDirectory()) {
    console.error('usage: npm run cases -- <folder of cases> [name ...]');
    process.exit(2);
  }
  let wrong = 0;
  const runs = listRuns(resolve(folder)).filter(({ name }) => names.length === 0 || names.some((wanted) => name.includes(wanted)));
  for (const entry of runs) {
    const { isRight, command, expected, happened } = await runCase(entry);
    const { open } = entry.run;
    if (!isRight) wrong++;
    console.log(`${isRight ? 'ok   ' : open ? 'open ' : 'WRONG'} ${command} | expected: ${expected} | happened: ${happened}`);
  }
  console.log(`${runs.length - wrong} of ${runs.length} runs as they should be`);
  process.exit(wrong > 0 || runs.length === 0 ? 1 : 0);
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) await main(process.argv.slice(2));
