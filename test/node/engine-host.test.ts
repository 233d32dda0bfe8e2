/** Engines in processes of their own: what goes wrong there is an error here, with what was said last. */
import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test } from 'vitest';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { isModelError } from '../../src/errors.js';
import { engineHost, nodeFileSet } from '../../src/node/index.js';
import type { Engine, EngineHost, NdArray, Session } from '../../src/verify/engine.js';
import { DIGITS, ROOT } from '../cli/run-cli.js';

const entry = fileURLToPath(new URL('unruly-engine.mjs', import.meta.url));
const MODEL = join(DIGITS, 'digits.h5');
let host: EngineHost = engineHost({ entry });

afterEach(async () => {
  await host.close();
  host = engineHost({ entry });
});

/** Only the name matters: what runs is in the other process. */
function engine(name: string): Engine {
  const unused = async () => Promise.reject(new Error('this engine was run in the wrong process'));
  return { name, formats: ['onnx'], device: 'gpu', availability: unused, open: unused };
}

async function open(name: string): Promise<Session> {
  return host.open(engine(name), { files: await nodeFileSet(MODEL), path: MODEL });
}

const feeds = new Map<string, NdArray>([['x', { shape: [1, 2], data: new Float32Array([1, 2]) }]]);

async function failure(name: string): Promise<unknown> {
  return (await open(name)).run(feeds).then(
    () => expect.unreachable('it ran'),
    (error: unknown) => error,
  );
}

describe('a process that', () => {
  test.each([
    ['is killed by a signal', 'kill themselves', /crashed \(SIGSEGV\).*the driver says: bad descriptor/s],
    ['aborts', 'abort', /crashed \(SIGABRT\).*libc\+\+abi: terminating/s],
    ['exits', 'exit', /ended with exit code 3/],
  ])('%s is an engine error that tells how, and what it said last', async (_, name, message) => {
    const error = await failure(name);
    expect(isModelError(error, 'engine'), String(error)).toBe(true);
    expect((error as Error).message).toMatch(message);
  });

  test.each(['hang', 'wait'])('gives no answer (%s) is ended when its time is up', async (name) => {
    host = engineHost({ entry, timeoutMs: 1500 });
    const startedAt = performance.now();
    const error = await failure(name);
    expect(error).toMatchObject({ kind: 'engine', problem: expect.stringContaining('gave no answer within 1.5 s') });
    expect(performance.now() - startedAt).toBeLessThan(10_000);
  });

  test('has ended fails what is asked of it, at once, and the next one is started afresh', async () => {
    const session = await open('kill themselves');
    await expect(session.run(feeds)).rejects.toMatchObject({ kind: 'engine' });
    await expect(session.run(feeds)).rejects.toMatchObject({ kind: 'engine', problem: expect.stringContaining('SIGSEGV') });
    await session.close();
    expect((await open('kill themselves')).inputs).toHaveLength(1);
  });

  test('ends as soon as it is looked at makes its engine unavailable', async () => {
    expect(await host.availability(engine('exit'))).toMatchObject({ available: false, detail: expect.stringContaining('exit code 7') });
  });

  test('cannot be started makes its engine unavailable', async () => {
    host = engineHost({ entry: join(ROOT, 'no-such-program.mjs') });
    expect(await host.availability(engine('chatter'))).toMatchObject({ available: false, detail: expect.stringContaining('exit code 1') });
  });
});

test('a model error comes across with its kind and place, and the engine goes on', async () => {
  const session = await open('refuse');
  await expect(session.run(feeds)).rejects.toMatchObject({ name: 'ModelError', kind: 'unsupported', place: { layer: 'fc9' } });
  await expect(session.run(feeds)).rejects.toMatchObject({ kind: 'unsupported' });
});

test('a mistake of ours keeps its stack and is no model error', async () => {
  const error = await failure('err');
  expect(isModelError(error)).toBe(false);
  expect((error as Error).message).toMatch(/TypeError: a mistake of ours\n\s+at .*unruly-engine/);
});

test('arrays of every kind travel as they are, and what the process prints does not reach stdout', async () => {
  const session = await open('chatter');
  const arrays = new Map<string, NdArray>([
    ['f32', { shape: [3], data: new Float32Array([Number.NaN, -0, 3e-45]) }],
    ['f64', { shape: [1], data: new Float64Array([Math.PI]) }],
    ['i32', { shape: [1], data: new Int32Array([-7]) }],
    ['i64', { shape: [1], data: new BigInt64Array([-(2n ** 62n)]) }],
    ['u8', { shape: [0], data: new Uint8Array() }],
    ['large', { shape: [4_000_000], data: Float32Array.from({ length: 4_000_000 }, (_, i) => i) }],
    // A window of a larger buffer comes without the rest.
    ['window', { shape: [2], data: new Float32Array(8).fill(5).subarray(2, 4) }],
  ]);
  const found = await session.run(arrays);
  expect([...found.keys()]).toEqual([...arrays.keys()]);
  for (const [name, { shape, data }] of arrays) {
    expect(found.get(name)!.shape).toEqual(shape);
    expect(found.get(name)!.data.constructor).toBe(data.constructor);
    expect(Buffer.from(found.get(name)!.data.slice().buffer).equals(Buffer.from(data.slice().buffer)), name).toBe(true);
  }
  expect(session.intermediates).toEqual(['inner']);
});

test('values are left in files of a folder, as float32, for whoever reads them later', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'aside-'));
  try {
    const session = await open('chatter');
    const found = await session.runAside!(new Map([['x', { shape: [1, 3], data: Float32Array.of(1, -2, 0.5) }]]), ['x'], folder);
    const { shape, path } = found.get('x')!;
    expect(shape).toEqual([1, 3]);
    expect(dirname(path)).toBe(folder);
    expect((await readFile(path)).equals(Buffer.from(Float32Array.of(1, -2, 0.5).buffer))).toBe(true);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test('the variables that make runtimes exact are set before their libraries load', async () => {
  expect((await host.availability(engine('chatter'))).detail).toMatch(/^0 .*hugetlb=1:glibc.malloc.mmap_threshold=1048576$/);
  host = engineHost({ entry, env: { WEIGHBRIDGE_TEST_VARIABLE: 'seen' } });
  expect((await host.availability(engine('chatter'))).detail).toBe('seen');
});

test('large pages are asked for beside what the user tunes', async () => {
  const before = process.env.GLIBC_TUNABLES;
  process.env.GLIBC_TUNABLES = 'glibc.malloc.check=0';
  try {
    expect((await host.availability(engine('chatter'))).detail).toBe('0 glibc.malloc.check=0:glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=1048576');
  } finally {
    if (before === undefined) delete process.env.GLIBC_TUNABLES;
    else process.env.GLIBC_TUNABLES = before;
  }
});

test('a model in memory is refused, for the other process could not open it', async () => {
  const files = memoryFileSet({ 'a.onnx': new Uint8Array(1) }, 'a.onnx');
  await expect(host.open(engine('chatter'), { files })).rejects.toMatchObject({ kind: 'engine' });
});

test('a program ends although its engine has been left waiting, and takes the process along', () => {
  const script = `
    import { engineHost, nodeFileSet } from ${JSON.stringify(join(ROOT, 'dist/node/index.js'))};
    const host = engineHost({ entry: ${JSON.stringify(entry)} });
    const engine = { name: 'chatter', formats: [], device: 'gpu' };
    await host.open(engine, { files: await nodeFileSet(${JSON.stringify(MODEL)}), path: ${JSON.stringify(MODEL)} });
    console.log('done');`;
  const { stdout, status, signal } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { timeout: 20_000, encoding: 'utf8' });
  expect({ stdout, status, signal }).toEqual({ stdout: 'done\n', status: 0, signal: null });
});
