/** Full-size VGG16 on WebGPU: every layer by both engines, and the command with --device gpu. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ROOT, weighbridge } from '../cli/run-cli.js';
import { findGpu, gpuIsRequired, gpuTitle } from '../gpu.js';

const gpu = await findGpu('large');
/** Kept for the next time: the seeded VGG16 takes longer to make than to convert. */
const FOLDER = join(ROOT, '.cache/gpu');

test.skipIf(!gpuIsRequired)('an adapter is there, as this machine promises (WEIGHBRIDGE_REQUIRE_GPU)', () => {
  expect(gpu).not.toBeNull();
});

interface Measured {
  readonly engine: string;
  readonly passed: boolean;
  readonly failure?: string;
  readonly worst: { readonly layer: string; readonly error: number };
  readonly compared: number;
}

describe.skipIf(gpu === null)(gpuTitle(gpu), () => {
  test('every layer of VGG16 is that of the float64 evaluator', () => {
    const args = [join(ROOT, 'scripts/gpu.mjs'), '--software', '--json', '--folder', FOLDER];
    const { stdout, stderr, status } = spawnSync(process.execPath, args, { env: { ...process.env, ...gpu!.env }, encoding: 'utf8', maxBuffer: 2 ** 26 });
    expect(status, stderr).toBe(0);
    const { adapter, measured } = JSON.parse(stdout) as { adapter: object; measured: Measured[] };
    expect(adapter).toEqual(gpu!.adapter);
    const engines = new Map(measured.map((entry) => [entry.engine, entry]));
    expect([...engines.keys()]).toEqual(expect.arrayContaining(['ort-cpu', 'ort-webgpu', 'tfjs-webgpu']));
    for (const { engine, passed, failure, compared, worst } of measured) {
      expect(failure, engine).toBeUndefined();
      expect(passed, `${engine}: ${worst.layer} ${worst.error}`).toBe(true);
      // 13 convolutions and 3 dense layers with their activations, 5 poolings, the softmax; Keras layers hold their activations.
      expect(compared, engine).toBe(engine.startsWith('ort') ? 37 : 21);
    }
  });

  test('verify --device gpu gives the verdict with the adapter in the report', () => {
    const [source, written] = [join(FOLDER, 'vgg16.h5'), join(FOLDER, 'vgg16-float32.onnx')];
    const run = weighbridge(['verify', source, written, '--device', 'gpu', '--samples', '1', '--json'], undefined, gpu!.env);
    expect(run.status, run.stderr).toBe(0);
    expect(JSON.parse(run.stdout)).toMatchObject({ verdict: 'match', device: gpu!.adapter.name });
  });
});
