/** The GPU path on a real adapter, mostly a software one: whole nets on it or an error, and a guard for every known pitfall. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { type ConvertOptions, convert } from '../../src/convert.js';
import type { NdArray } from '../../src/verify/engine.js';
import { nameAdapter } from '../../src/verify/engines/gpu.js';
import { ortCpu } from '../../src/verify/engines/ort-cpu.js';
import { ortWebgpu } from '../../src/verify/engines/ort-webgpu.js';
import { tfjsWasm } from '../../src/verify/engines/tfjs-wasm.js';
import { tfjsWebgpu } from '../../src/verify/engines/tfjs-webgpu.js';
import { generateSample } from '../../src/verify/inputs.js';
import { onnx } from '../../src/writers/onnx/index.js';
import { DIGITS, ROOT, weighbridge } from '../cli/run-cli.js';
import { findGpu, gpuIsRequired, gpuTitle, hostWith } from '../gpu.js';
import { openedFiles } from '../open-files.js';
import { caseMap, OP_CASES } from '../writers/onnx-cases.js';
import { compareLayers, demoNet, distance, kerasLayerOf } from './engine-layers.js';

const gpu = await findGpu();
const host = hostWith(gpu?.env ?? {});
const folder = mkdtempSync(join(tmpdir(), 'weighbridge-gpu-'));
afterAll(async () => {
  await host.close();
  rmSync(folder, { recursive: true });
});

async function written(source: string, name: string, options: ConvertOptions = {}): Promise<string> {
  const sink = memorySink();
  const files = await openedFiles(join(DIGITS, source));
  await convert(files, sink, name, { to: 'onnx', ...options });
  await files.close();
  for (const [file, bytes] of sink.files) writeFileSync(join(folder, file), bytes);
  return join(folder, name);
}

async function open(engine: typeof ortWebgpu, path: string, layers = false) {
  return host.open(engine, { files: await openedFiles(path), path, layers });
}

test.skipIf(!gpuIsRequired)('an adapter is there, as this machine promises (WEIGHBRIDGE_REQUIRE_GPU)', () => {
  expect(gpu).not.toBeNull();
});

describe.skipIf(gpu === null)(gpuTitle(gpu), () => {
  test('both engines are available and name the same adapter', async () => {
    const [first, second] = [await host.availability(ortWebgpu), await host.availability(tfjsWebgpu)];
    expect(first).toMatchObject({ available: true, adapter: gpu!.adapter, detail: expect.stringContaining(gpu!.adapter.name) });
    expect(second).toMatchObject({ available: true, adapter: gpu!.adapter, detail: expect.stringContaining(gpu!.adapter.name) });
  });

  test('ort-webgpu: every layer of a written ONNX net is that of the reference evaluator', async () => {
    const { map } = await demoNet('digits.pth');
    const session = await open(ortWebgpu, await written('digits.pth', 'layers.onnx'), true);
    const layers = new Map(map.layers.map((layer) => [layer.outputs[0]!, layer.name]));
    expect(await compareLayers(session, map, (value) => layers.get(value), false)).toBe(map.layers.length - 1);
  });

  test('tfjs-webgpu: every layer of the original Keras net is that of the reference evaluator', async () => {
    const { map, model } = await demoNet('digits.h5');
    const session = await open(tfjsWebgpu, model.path!, true);
    expect(await compareLayers(session, map, kerasLayerOf(map), true)).toBeGreaterThan(8);
  });

  test.each(['tfjs', 'tfjs-graph'])('tfjs-webgpu predicts from a written %s model what tfjs-wasm does', async (to) => {
    const sink = memorySink();
    const files = await openedFiles(join(DIGITS, 'digits.caffemodel'));
    await convert(files, sink, 'model.json', { to });
    await files.close();
    const place = join(folder, to);
    mkdirSync(place);
    for (const [name, bytes] of sink.files) writeFileSync(join(place, name), bytes);
    const sessions = [await open(tfjsWebgpu, place), await tfjsWasm.open({ files: await openedFiles(place), path: place })];
    const [input] = sessions[1]!.inputs;
    const shape = input!.shape.map((size) => size ?? 1);
    const data = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i));
    const results: NdArray[] = [];
    for (const session of sessions) {
      results.push([...(await session.run(new Map([[input!.name, { shape, data }]]))).values()][0]!);
      await session.close();
    }
    expect(distance(results[0]!, results[1]!)).toBeLessThan(5e-6);
  });

  test.each(['LRN', 'Selu'])('ort-webgpu refuses a net with %s, which it would compute on the CPU, and says what to do', async (op) => {
    const sink = memorySink();
    await onnx.write(caseMap(OP_CASES.find((entry) => entry.op === op)!), sink, 'model.onnx', {
      dtype: 'source',
      layout: 'source',
      metadata: async () => ({}),
    });
    await sink.commit();
    const path = join(folder, `${op}.onnx`);
    writeFileSync(path, sink.files.get('model.onnx')!);
    await expect(open(ortWebgpu, path)).rejects.toMatchObject({ kind: 'engine', problem: expect.stringMatching(/LRN and Selu .*--device cpu/) });
  });

  test('ort-webgpu runs int8 weights as ort-cpu does', async () => {
    const path = await written('digits.h5', 'int8.onnx', { dtype: 'int8' });
    const { map } = await demoNet('digits.h5');
    const feeds = generateSample(map.inputs, 0, 0);
    const results = await Promise.all(
      [open(ortWebgpu, path), ortCpu.open({ files: await openedFiles(path), path })].map(async (opening) => {
        const session = await opening;
        const [found] = (await session.run(new Map([[session.inputs[0]!.name, feeds[0]!]]))).values();
        await session.close();
        return found!;
      }),
    );
    expect(distance(results[0]!, results[1]!)).toBeLessThan(5e-6);
  });

  test("tfjs-webgpu's pitfalls: small tensors stay on the GPU, large products are cut, and what the device reports is an error", () => {
    const script = fileURLToPath(new URL('tfjs-webgpu-pitfalls.mjs', import.meta.url));
    const { stdout, stderr, status } = spawnSync(process.execPath, [script], { env: { ...process.env, ...gpu!.env }, encoding: 'utf8', timeout: 60_000 });
    expect(status, stderr).toBe(0);
    // Dawn prints what it reports, on stdout.
    const found = JSON.parse(stdout.trim().split('\n').at(-1)!);
    expect(found).toMatchObject({ cpuForward: false, smallSumOnGpu: true });
    // Products in blocks of columns are the same as whole ones, with and without a transposed matrix, bias and activation.
    expect(found.products).toHaveLength(6);
    for (const { name, blocks, difference } of found.products) {
      expect(blocks, name).toBe(5);
      expect(difference, name).toBeLessThan(1e-6);
    }
    expect(found.uncaptured).toMatchObject({ name: 'ModelError', kind: 'engine', message: expect.stringContaining('the GPU reports') });
    expect(found.afterwards).toBe('runs');
    expect(found.lost).toMatchObject({ name: 'ModelError', kind: 'engine' });
  });

  test('convert --device gpu verifies on the adapter and puts its name into the report', () => {
    const out = join(folder, 'cli.onnx');
    const run = weighbridge(['convert', join(DIGITS, 'digits.h5'), '-o', out, '--device', 'gpu', '--samples', '2', '--json'], undefined, gpu!.env);
    expect(run.status, run.stderr).toBe(0);
    const { report } = JSON.parse(run.stdout);
    expect(report).toMatchObject({ verdict: 'match', device: gpu!.adapter.name });
    expect(report.engines.actual).toContain('ort-webgpu');
  });

  test.skipIf(!gpu?.adapter.software)('--device auto takes no software adapter, and says so', async () => {
    const run = weighbridge(['verify', join(DIGITS, 'digits.h5'), await written('digits.h5', 'auto.onnx'), '--device', 'auto', '--json'], undefined, gpu!.env);
    expect(run.status, run.stderr).toBe(0);
    const report = JSON.parse(run.stdout);
    expect(report.device).toBe('cpu');
    expect(report.notes.join()).toContain('software');
  });
});

describe('without an adapter', () => {
  const NOTHING = { VK_DRIVER_FILES: join(ROOT, 'no-such-driver.json') };

  // Elsewhere Vulkan is not what WebGPU stands on.
  test.skipIf(process.platform !== 'linux')('--device gpu fails with exit code 2 and says what is missing; nothing is computed on the CPU', async () => {
    const run = weighbridge(['verify', join(DIGITS, 'digits.h5'), await written('digits.h5', 'none.onnx'), '--device', 'gpu'], undefined, NOTHING);
    expect(run.status).toBe(2);
    expect(run.stdout).toBe('');
    expect(run.stderr).toMatch(/no engine for onnx files can run here on a GPU. ort-webgpu: no GPU adapter was found/);
  });
});

describe("an adapter's name", () => {
  const info = { vendor: '', architecture: '', device: '', description: '' };
  test.each([
    [{ ...info, vendor: 'nvidia', architecture: 'lovelace', description: 'NVIDIA L4' }, 'nvidia lovelace NVIDIA L4', false],
    [{ ...info, vendor: 'amd', device: 'navi-31' }, 'amd navi-31', false],
    [{ ...info, vendor: 'google', architecture: 'swiftshader' }, 'google swiftshader (software, no GPU)', true],
    [{ ...info, vendor: 'mesa', description: 'llvmpipe (LLVM 15)', isFallbackAdapter: true }, 'mesa llvmpipe (LLVM 15) (software, no GPU)', true],
    [{ ...info, description: 'Microsoft Basic Render Driver' }, 'Microsoft Basic Render Driver (software, no GPU)', true],
    [info, 'an adapter without a name', false],
  ])('%o is %s', (from, name, software) => {
    expect(nameAdapter(from)).toEqual({ name, software });
  });
});
