/** Recordings of kernels in integers may be a code apart where a value lies between two, and no further. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { LITE_OPERATORS } from '../../src/containers/tflite.js';
import { numbersTensor } from '../../src/model/numbers.js';
import { convertFile } from '../../src/node/convert-file.js';
import { openModel } from '../../src/readers/open.js';
import { MOST_OF_CODES, rtolsOfCodes } from '../../src/verify/code-band.js';
import { runLayers } from '../../src/verify/reference/session.js';
import { byte, type LiteTensor, liteModel, table } from '../lite-models.js';

const folder = mkdtempSync(join(tmpdir(), 'codes-'));
afterAll(() => rmSync(folder, { recursive: true }));

const code = (op: string): number => LITE_OPERATORS.indexOf(op);
const STEP = 0.125;
const kernel = Int8Array.from({ length: 24 }, (_, i) => Math.round(90 * Math.sin(i * 1.7)));
const coded = (name: string, shape: readonly number[], scale: number, data?: Uint8Array): LiteTensor => ({
  ...{ name, shape, type: 9, scales: [scale], zeroPoints: [0] },
  ...(data ? { data } : {}),
});
/** Codes to codes by a dense layer, and the numbers that they stand for. */
const modelOf = (step: number) =>
  liteModel(
    [
      coded('x', [1, 4], 0.05),
      coded('kernel', [6, 4], 0.01, new Uint8Array(kernel.buffer)),
      coded('codes', [1, 6], step),
      { name: 'y', shape: [1, 6], type: 0 },
    ],
    [
      { code: code('FULLY_CONNECTED'), inputs: [0, 1], outputs: [2], options: table(byte(0)) },
      { code: code('DEQUANTIZE'), inputs: [2], outputs: [3] },
    ],
    [0],
    [3],
  );
const feed = { shape: [1, 4], data: Float64Array.of(100, -70, 33, 12) };
const FILE = 'm.tflite';
const mapOf = async (step: number) => (await openModel(memoryFileSet({ [FILE]: modelOf(step) }, FILE))).map();
const valuesOf = async (step: number) => Array.from((await runLayers(await mapOf(step), [feed], () => {}))[0]!.data as Float64Array);
const map = await mapOf(STEP);
const exact = await valuesOf(STEP);

describe('a recording of kernels in integers', () => {
  const path = join(folder, FILE);
  const recorded = (all: readonly number[], steps: number, step: number) => {
    const values = all.map((value, i) => value + (i === 2 ? steps * step : 0));
    const origin = { file: 'recorded' };
    return new Map([
      ['input:x', numbersTensor('x', 'int8', [1, 4], [...feed.data], origin)],
      ['output:y', numbersTensor('y', 'float32', [1, 6], values, origin)],
    ]);
  };
  const verdict = async (steps: number, { step = STEP, ...limits }: { readonly step?: number; readonly rtol?: number } = {}) => {
    writeFileSync(path, modelOf(step));
    return (await convertFile(path, join(folder, 'm.onnx'), { golden: recorded(await valuesOf(step), steps, step), force: true, ...limits })).report;
  };

  it('matches where it is one code apart, and the report says what is let pass', async () => {
    const report = await verdict(1);
    expect(report?.verdict).toBe('match');
    expect(report?.notes.join()).toMatch(/kernels in integers/);
  });

  it('is held to a limit that was given, and the report says where codes explain what is beyond it', async () => {
    const close = await verdict(1, { rtol: 1e-3 });
    expect(close).toMatchObject({ verdict: 'mismatch', tolerance: { rtol: 1e-3 } });
    expect(close?.notes.join()).toMatch(/kernels in integers.*the limit given is narrower than what two right runs of this net differ by/s);
    const far = await verdict(4, { rtol: 1e-3 });
    expect(far?.verdict).toBe('mismatch');
    expect(far?.notes.join()).not.toMatch(/the limit given/);
    expect((await verdict(1, { rtol: 0.05 }))?.verdict).toBe('match');
  });

  it('matches where it is a coarse code apart, of a net whose codes explain more than is let pass', async () => {
    const coarse = { step: 0.42 };
    expect((await rtolsOfCodes(await mapOf(coarse.step), [feed]))![0]).toBeGreaterThan(MOST_OF_CODES);
    const report = await verdict(1, coarse);
    expect(report?.verdict).toBe('match');
    expect(report?.notes.join()).toMatch(/kernels in integers.* of which 0.1 is let pass/);
    expect((await verdict(2, coarse))?.verdict).not.toBe('match');
  });

  it('does not match where it is four codes apart', async () => {
    expect((await verdict(4))?.verdict).toBe('mismatch');
  });

  it('is allowed a step of the last codes at least, whatever the scale, and nothing of a net without codes', async () => {
    const [rtol] = (await rtolsOfCodes(map, [feed]))!;
    const scale = Math.max(...exact.map(Math.abs));
    expect(rtol! * scale).toBeGreaterThanOrEqual(STEP);
    expect(rtol! * scale).toBeLessThan(4 * STEP);
    expect(await rtolsOfCodes({ ...map, layers: map.layers.filter(({ op }) => op !== 'Clip') }, [feed])).toBeNull();
  });
});
