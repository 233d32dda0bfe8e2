/** `weighbridge doctor`: whether this machine has what the other commands need, tried and not only looked for. */
import { mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { availableParallelism, freemem, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { temporaryFolder } from '../../bytes/temporary.js';
import { convert } from '../../convert.js';
import { isModelError } from '../../errors.js';
import { fileSink } from '../../node/file-sink.js';
import { cacheFolder, nodeFileSet } from '../../node/index.js';
import { cachedFiles, cacheLimit } from '../../node/remote/cache.js';
import type { Engine } from '../../verify/engine.js';
import { engines, placed } from '../../verify/engines/index.js';
import { VERSION } from '../../version.js';
import { commandHost } from '../engine-host.js';
import type { CommonFlags } from '../options.js';
import { colour, formatBytes, makeVoice, safeText, type Voice } from '../print.js';
import { startProgress } from '../progress.js';

/** `note`: nothing is wrong, but something is not there; `problem`: something does not work. */
export type Finding = 'ok' | 'note' | 'problem';

export interface Check {
  readonly name: string;
  readonly finding: Finding;
  readonly detail: string;
}

/** What `doctor --json` prints. */
export interface DoctorDocument {
  readonly schema: 'weighbridge/doctor@1';
  readonly version: string;
  readonly platform: string;
  readonly checks: readonly Check[];
  readonly healthy: boolean;
}

const LEAST_NODE = 20;
/** A runtime, and a net of some size in it. */
const LEAST_MEMORY_BYTES = 1e9;
const LEAST_DISK_BYTES = 1e9;

const DIGITS = fileURLToPath(new URL('../../../demo/digits/', import.meta.url));

export function registerDoctor(program: Command): Command {
  return program
    .command('doctor')
    .description('try what the other commands need here: Node, memory, folders, and each engine on a small net')
    .action(async (flags: CommonFlags) => {
      const voice = makeVoice(flags);
      const progress = startProgress(voice);
      const checks = await examine((name, done, total) => progress.step(name, done, total)).finally(() => progress.stop());
      const healthy = checks.every(({ finding }) => finding !== 'problem');
      const document: DoctorDocument = { schema: 'weighbridge/doctor@1', version: VERSION, platform: `${process.platform}-${process.arch}`, checks, healthy };
      if (voice.asJson) voice.json(document);
      else print(voice, document);
      if (!healthy) process.exitCode = 1;
      else voice.next(['demo'], 'converts three files of a small net, and proves them right');
    });
}

async function examine(onStep: (name: string, done: number, total: number) => void): Promise<readonly Check[]> {
  return [node(), memory(), ...folders(), ...(await tryEngines(onStep)), ...environment()];
}

function node(): Check {
  const isNew = Number(process.versions.node.split('.')[0]) >= LEAST_NODE;
  return { name: 'node', finding: isNew ? 'ok' : 'problem', detail: `${process.versions.node}${isNew ? '' : `; ${LEAST_NODE} or newer is needed`}` };
}

function memory(): Check {
  const free = freemem();
  const isLittle = free < LEAST_MEMORY_BYTES;
  const detail = `${formatBytes(free)} of ${formatBytes(totalmem())} free, ${availableParallelism()} processors`;
  return {
    name: 'memory',
    finding: isLittle ? 'note' : 'ok',
    detail: isLittle ? `${detail}: large nets convert in that, but may not be verified (--no-verify)` : detail,
  };
}

function folders(): readonly Check[] {
  return [folder('this folder', '.', false), folder('temporary files', tmpdir(), false), kept(folder('downloads', cacheFolder(), true))];
}

/** How much of it is taken, and what is allowed. */
function kept(check: Check): Check {
  if (check.finding === 'problem') return check;
  const files = cachedFiles();
  const limit = cacheLimit();
  const taken = `${files.length} ${files.length === 1 ? 'file' : 'files'} of ${formatBytes(files.reduce((sum, { byteLength }) => sum + byteLength, 0))}`;
  const most = limit === null ? '; WEIGHBRIDGE_CACHE_LIMIT=20GB would keep it within that' : `, and ${formatBytes(limit)} are allowed`;
  return { ...check, detail: `${check.detail}; ${taken}${most}` };
}

/** Whether a file can be written there; `isMade` where it is made when it is needed. */
function folder(name: string, path: string, isMade: boolean): Check {
  try {
    if (isMade) mkdirSync(path, { recursive: true, mode: 0o700 });
    const own = mkdtempSync(join(path, '.weighbridge-doctor-'));
    try {
      writeFileSync(join(own, 'file'), 'x');
    } finally {
      rmSync(own, { recursive: true, force: true });
    }
    const { bavail, bsize } = statfsSync(path);
    const free = bavail * bsize;
    return { name, finding: free < LEAST_DISK_BYTES ? 'note' : 'ok', detail: `${path === '.' ? process.cwd() : path}, ${formatBytes(free)} free` };
  } catch (error) {
    return { name, finding: 'problem', detail: `${path} cannot be written to: ${(error as Error).message}` };
  }
}

/** Formats to try an engine with, the first that it runs, and what of the digits net is of it. */
const TRIED: readonly (readonly [format: string, output: string | null])[] = [
  ['onnx', 'digits.onnx'],
  ['tfjs', 'web'],
  ['caffe', null],
];

async function tryEngines(onStep: (name: string, done: number, total: number) => void): Promise<readonly Check[]> {
  const host = commandHost();
  const { path: own, remove } = temporaryFolder('doctor')!;
  const checks: Check[] = [];
  try {
    const candidates = engines.filter(({ formats }) => TRIED.some(([format]) => formats.includes(format)));
    for (const [i, engine] of candidates.entries()) {
      onStep(engine.name, i, candidates.length);
      checks.push(await tryEngine(placed(engine, host), own));
    }
    const works = checks.some(({ finding }) => finding === 'ok');
    checks.push({
      name: 'verification',
      finding: works ? 'ok' : 'problem',
      detail: works ? 'an engine runs what is converted' : 'no engine runs here: convert needs --no-verify',
    });
  } finally {
    await host.close();
    remove();
  }
  return checks;
}

async function tryEngine(engine: Engine, folder: string): Promise<Check> {
  const name = engine.name;
  const { available, detail, adapter } = await engine.availability();
  if (!available) return { name, finding: 'note', detail };
  const where = adapter ? `${detail}, on ${adapter.name}${adapter.software ? ' (software)' : ''}` : detail;
  try {
    const sum = await runDigits(engine, folder);
    const isRight = Math.abs(sum - 1) < 1e-3;
    return isRight
      ? { name, finding: 'ok', detail: where }
      : { name, finding: 'problem', detail: `${where}: probabilities of a small net sum to ${sum} in it` };
  } catch (error) {
    if (!isModelError(error)) throw error;
    return { name, finding: 'problem', detail: `${where}: ${error.message}` };
  }
}

/** Sum of the probabilities that the digits net gives for a black picture. */
async function runDigits(engine: Engine, folder: string): Promise<number> {
  const [format, output] = TRIED.find(([candidate]) => engine.formats.includes(candidate))!;
  const path = output === null ? join(DIGITS, 'digits.caffemodel') : await convertDigits(format, join(folder, output));
  const files = await nodeFileSet(path);
  try {
    const session = await engine.open({ files, path: files.path, ...(format === 'caffe' ? { prototxt: 'digits.prototxt' } : {}) });
    try {
      const { name, shape } = session.inputs[0]!;
      const sizes = shape.map((size) => size ?? 1);
      const data = new Float32Array(sizes.reduce((product, size) => product * size, 1));
      const results = await session.run(new Map([[name, { shape: sizes, data }]]));
      const [first] = results.values();
      return Array.from(first!.data as ArrayLike<number>).reduce((sum, value) => sum + value, 0);
    } finally {
      await session.close();
    }
  } finally {
    await files.close();
  }
}

async function convertDigits(format: string, path: string): Promise<string> {
  const main = format === 'tfjs' ? join(path, 'model.json') : path;
  const source = await nodeFileSet(join(DIGITS, 'digits.h5'));
  try {
    await convert(source, await fileSink(path, { force: true }), path.split(/[\\/]/).at(-1)!, { to: format === 'tfjs' ? 'tfjs' : 'onnx' });
  } finally {
    await source.close();
  }
  return main;
}

/** What is set around us that changes what we do; secrets by their name alone. */
function environment(): readonly Check[] {
  const proxy = ['HTTPS_PROXY', 'https_proxy', 'ALL_PROXY'].find((name) => process.env[name]);
  const own = Object.keys(process.env).filter((name) => /^(WEIGHBRIDGE_|HF_ENDPOINT$|HF_TOKEN$)/.test(name));
  return [
    ...(proxy ? [{ name: 'network', finding: 'note' as const, detail: `${proxy} is set, and models are fetched without a proxy` }] : []),
    ...(own.length > 0 ? [{ name: 'environment', finding: 'ok' as const, detail: `${own.sort().join(', ')}` }] : []),
  ];
}

const PAINT: Readonly<Record<Finding, (text: string) => string>> = { ok: colour.green, note: colour.dim, problem: colour.red };

function print(voice: Voice, { version, platform, checks, healthy }: DoctorDocument): void {
  voice.say(`weighbridge ${version} on ${platform}\n`);
  const width = Math.max(...checks.map(({ name }) => name.length));
  for (const { name, finding, detail } of checks) voice.say(`${PAINT[finding](finding.padEnd(7))}  ${name.padEnd(width)}  ${safeText(detail.split('\n')[0]!)}`);
  const bad = checks.filter(({ finding }) => finding === 'problem').map(({ name }) => name);
  voice.say(`\n${healthy ? colour.green('what is here works') : colour.red(`does not work: ${bad.join(', ')}`)}`);
}
