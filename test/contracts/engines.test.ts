/** What holds for every engine that runs here, for every format that it says it runs. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type NodeFileSet, nodeFileSet } from '../../src/node/index.js';
import { openModel } from '../../src/readers/open.js';
import type { EngineModel, NdArray, Session } from '../../src/verify/engine.js';
import { engines } from '../../src/verify/engines/index.js';
import { generateSample } from '../../src/verify/inputs.js';
import { referenceSession } from '../../src/verify/reference/session.js';
import { adaptPorts } from '../../src/verify/side.js';
import { findWrittenFormat } from '../../src/verify/written/index.js';
import { filesOf, onDisk, type Sample, samples } from './samples.js';

const folder = mkdtempSync(join(tmpdir(), 'weighbridge-engines-'));
const opened: NodeFileSet[] = [];
let all: ReadonlyMap<string, Sample>;
beforeAll(async () => {
  all = new Map((await samples()).map((sample) => [sample.format, sample]));
});
afterAll(async () => {
  for (const files of opened) await files.close();
  rmSync(folder, { recursive: true });
});

async function modelOf(sample: Sample): Promise<EngineModel> {
  const path = onDisk(sample, folder);
  const files = await nodeFileSet(path);
  opened.push(files);
  const prototxt = Object.keys(sample.files).find((name) => name.endsWith('.prototxt'));
  return { files, path, ...(prototxt ? { prototxt } : {}) };
}

/** GPUs have a suite of their own (`npm run test:gpu`); weights without wiring are run by nobody. */
const WEIGHTS_ONLY = ['safetensors', 'npz', 'pytorch'];
const CASES = engines
  .filter(({ device }) => device === 'cpu')
  .flatMap((engine) => engine.formats.filter((format) => !WEIGHTS_ONLY.includes(format)).map((format) => ({ name: engine.name, format, engine })));

it('there is a case for every engine, those apart that run nothing here', () => {
  const held = new Set(CASES.map(({ name }) => name));
  expect(engines.filter(({ name, device }) => device === 'cpu' && !held.has(name)).map(({ name }) => name)).toEqual(['recorded']);
});

describe.each(CASES)('$name on $format', ({ engine, format }) => {
  let session: Session;
  let feeds: ReadonlyMap<string, NdArray>;
  let isHere = false;

  beforeAll(async () => {
    isHere = (await engine.availability()).available;
    if (!isHere) return;
    const sample = all.get(format)!;
    const map = await (await openModel(filesOf(sample))).map();
    const written = await findWrittenFormat(format)?.open(filesOf(sample), map.layers);
    session = await engine.open(await modelOf(sample));
    const ports = adaptPorts(session, map, written?.layoutOf ?? ((port, shown) => shown.layout ?? port.layout));
    const given = generateSample(map.inputs, 0, 0);
    feeds = ports.feed(given);
    const reference = await referenceSession(map);
    const wanted = await reference.run(new Map(reference.inputs.map(({ name }, i) => [name, given[i]!])));
    const found = ports.show(await session.run(feeds));
    expect(found.length).toBe(wanted.size);
    for (const [i, { data }] of [...wanted.values()].entries()) {
      const [right, own] = [[...data].map(Number), [...found[i]!.data].map(Number)];
      expect(own.length).toBe(right.length);
      const scale = Math.max(...right.map(Math.abs), 1e-3);
      for (const [at, value] of right.entries()) expect(Math.abs(own[at]! - value) / scale).toBeLessThan(1e-4);
    }
  });
  afterAll(async () => {
    await session?.close();
  });

  it('says whether it can run, and with what', async () => {
    const { available, detail } = await engine.availability();
    expect([typeof available, detail.length > 0]).toEqual(['boolean', true]);
  });

  it('computes what the evaluator does, under the names that it states', async ({ skip }) => {
    if (!isHere) skip('it is not installed here');
    const made = await session.run(feeds);
    expect([...made.keys()]).toEqual(session.outputs.map(({ name }) => name));
    for (const { name, shape } of session.outputs) {
      const { shape: found, data } = made.get(name)!;
      expect(data.length).toBe(found.reduce((a, b) => a * b, 1));
      for (const [axis, size] of shape.entries()) if (shape.length === found.length && size !== null && size > 0) expect(found[axis]).toBe(size);
    }
    expect(new Set(session.inputs.map(({ name }) => name)).size).toBe(session.inputs.length);
  });

  it('gives the same twice, and does not write into what it is fed', async ({ skip }) => {
    if (!isHere) skip('it is not installed here');
    const before = [...feeds.values()].map(({ data }) => [...data]);
    const [first, second] = [await session.run(feeds), await session.run(feeds)];
    for (const [name, { data }] of first) expect([...second.get(name)!.data]).toEqual([...data]);
    expect([...feeds.values()].map(({ data }) => [...data])).toEqual(before);
  });

  it('gives only what is asked for, and has an error for what it lacks', async ({ skip }) => {
    if (!isHere) skip('it is not installed here');
    const [{ name }] = session.outputs as [Session['outputs'][number]];
    expect([...(await session.run(feeds, [name])).keys()]).toEqual([name]);
    await expect(session.run(feeds, ['no such value'])).rejects.toMatchObject({ kind: 'engine' });
    await expect(session.run(new Map())).rejects.toMatchObject({ name: 'ModelError' });
    expect((await session.run(feeds)).size).toBe(session.outputs.length);
  });

  it('refuses half of a file with a clear error', async ({ skip }) => {
    if (!isHere) skip('it is not installed here');
    const sample = all.get(format)!;
    const bytes = sample.files[sample.main!]!;
    const half = { ...sample, format: `half-${format}`, files: { ...sample.files, [sample.main!]: bytes.subarray(0, bytes.length >> 1) } };
    await expect(engine.open(await modelOf(half)).then((it) => it.close())).rejects.toMatchObject({ name: 'ModelError' });
  });
});
