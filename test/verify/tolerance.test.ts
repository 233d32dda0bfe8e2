import { describe, expect, it } from 'vitest';
import { makeLayer } from '../../src/model/ops/index.js';
import { type Band, TOO_SENSITIVE } from '../../src/verify/band.js';
import { compareOutput } from '../../src/verify/compare.js';
import { engines } from '../../src/verify/engines/index.js';
import type { Moved } from '../../src/verify/rounding.js';
import { MARGIN, narrowestOf, tolerances } from '../../src/verify/tolerance.js';

const moved = (...ofScale: number[]): Moved => ({ axis: null, groupOf: [], ofScale });
const relu = makeLayer({ name: 'relu', op: 'Relu', inputs: ['x'], outputs: ['y'] });
const bandOf = (outputs: readonly Moved[], layers: Moved | null = null): Band => ({
  how: 'evaluator',
  outputs,
  layers: layers && new Map([[relu, layers]]),
});

describe('tolerances of a net that was measured', () => {
  it('are a multiple of what one rounding does to each output, and say so', () => {
    const { outputs, correctness } = tolerances({ expected: 'recorded', actual: 'ort-cpu', band: bandOf([moved(1e-7), moved(4e-6)]) });
    expect(outputs.each!.map(({ rtol }) => rtol)).toEqual([1e-5, Number((MARGIN * 4e-6).toPrecision(2))]);
    expect(outputs).toMatchObject({ atol: 0, rtol: 8e-5, rounding: 4e-6, why: expect.stringMatching(/20 times .*4\.0e-6/) });
    expect(correctness('reference')).toEqual(outputs);
  });

  it('let no output be judged where rounding decides', () => {
    const { outputs } = tolerances({ expected: 'recorded', actual: 'ort-cpu', band: bandOf([moved(0.3)]) });
    expect(outputs.rtol).toBe(TOO_SENSITIVE);
  });

  it('hold a layer to what rounding does to it, and to no less than before', () => {
    const layer = (of: Moved | null) => tolerances({ expected: 'recorded', actual: 'ort-cpu', band: bandOf([moved(1e-6)], of) }).layer('reference', relu).rtol;
    expect(layer(moved(5e-6))).toBe(1e-4);
    expect(layer(moved(1e-8))).toBe(2e-5);
    expect(layer(null)).toBe(2e-5);
  });

  it('are no tighter than the table where a runtime was nudged', () => {
    const band: Band = { how: 'runtime', outputs: [moved(1e-8)], layers: null, table: 3e-5 };
    expect(tolerances({ expected: 'recorded', actual: 'ort-cpu', band }).outputs.rtol).toBe(3e-5);
  });

  it('of narrower weights allow the loss that rounding to them does to this net, up to a limit', () => {
    const loss = (narrowest: string, of: number) =>
      tolerances({ expected: 'recorded', actual: 'ort-cpu', narrowest, narrowBand: bandOf([moved(of)]) }).outputs.rtol;
    expect(loss('float16', 1e-5)).toBe(5e-3);
    expect(loss('float16', 4e-3)).toBe(4e-2);
    expect(loss('bfloat16', 1)).toBe(0.15);
  });
});

describe('tolerances of a net that was not', () => {
  it.each(engines.map(({ name }) => name))('for %s lie far below the smallest fault that was measured, and say why', (actual) => {
    const { outputs, correctness } = tolerances({ expected: 'recorded', actual });
    for (const { rtol, atol, why } of [outputs, correctness('reference')]) {
      expect(rtol).toBeLessThan(5e-2 / 300);
      expect(rtol).toBeGreaterThanOrEqual(2e-5);
      expect(atol).toBeLessThan(1e-5);
      expect(why).toContain(actual === 'reference' ? 'VGG16' : actual);
    }
  });

  it('of two runtimes with larger errors are wider', () => {
    const between = (expected: string, actual: string) => tolerances({ expected, actual }).outputs.rtol;
    expect(between('reference', 'ort-cpu')).toBe(2e-5);
    expect(between('tfjs-wasm', 'tfjs-webgpu')).toBeGreaterThan(between('ort-cpu', 'tfjs-webgpu'));
  });

  it('of narrower weights are wide against the original and tight against the same weights', () => {
    for (const narrowest of ['float16', 'bfloat16', 'int8', 'uint8', 'uint16']) {
      const { outputs, correctness } = tolerances({ expected: 'recorded', actual: 'ort-cpu', narrowest });
      expect(outputs.rtol).toBeGreaterThan(1e-3);
      expect(correctness('reference').rtol).toBe(2e-5);
    }
  });

  it('of outputs that a model recorded in half precision are as wide as that is coarse', () => {
    const of = (recordedIn?: 'float16' | 'bfloat16', narrowest?: string) => tolerances({ expected: 'recorded', actual: 'ort-cpu', recordedIn, narrowest });
    expect(of('float16').outputs.rtol).toBeGreaterThan(20 * of().outputs.rtol);
    expect(of('bfloat16').outputs.rtol).toBeGreaterThan(of('float16').outputs.rtol);
    expect(of('float16').outputs.rtol).toBeLessThan(5e-2);
    expect(of('float16').outputs.why).toContain('float16');
    expect(of('float16').correctness('reference').rtol).toBe(2e-5);
    expect(of('float16', 'uint8').outputs.rtol).toBe(of(undefined, 'uint8').outputs.rtol);
    expect(of('bfloat16', 'float16').outputs.rtol).toBe(of('bfloat16').outputs.rtol);
  });

  it('that a user gives bound the loss of narrower weights, and not whether they are the right ones', () => {
    const given = { expected: 'recorded', actual: 'ort-cpu', atol: 0.5, rtol: 0.25 };
    expect(tolerances(given).outputs).toMatchObject({ atol: 0.5, rtol: 0.25, why: 'as given' });
    expect(tolerances(given).correctness('reference').rtol).toBe(0.25);
    const narrow = tolerances({ ...given, narrowest: 'int8' });
    expect(narrow.outputs.rtol).toBe(0.25);
    expect(narrow.correctness('reference').rtol).toBe(2e-5);
  });

  it('of layers computed in float16 depend on how the engine adds', () => {
    const of = (actual: string) => tolerances({ expected: 'reference', actual, narrowest: 'float16', computeDType: 'float16' });
    expect(of('ort-cpu').correctness('reference').rtol).toBeLessThan(2e-3);
    expect(of('ort-webgpu').correctness('reference').rtol).toBeGreaterThan(2.7e-2);
    expect(of('ort-webgpu').outputs.rtol).toBeGreaterThan(2.7e-2);
    expect(of('ort-cpu').outputs.rtol).toBe(5e-3);
  });

  it('go by the stored dtype that loses most', () => {
    expect(narrowestOf(['float32', 'float16', 'int8'])).toBe('int8');
    expect(narrowestOf(['float32', 'int64'])).toBeUndefined();
    expect(narrowestOf(['uint8', 'uint16'])).toBe('uint8');
  });
});

describe('an output whose places differ in size', () => {
  const groups = { axis: 1, groupOf: [0, 0, 1], rtol: [1e-5, 1e-5] };
  const compare = (actual: number[], isMeasured = true) => {
    const comparison = compareOutput('boxes', { atol: 0, rtol: 1e-5, why: '', groups });
    comparison.add({ shape: [2, 3], data: Float64Array.from([300, 200, 0.5, 250, 100, 1]) }, { shape: [2, 3], data: Float64Array.from(actual) }, 0, isMeasured);
    return comparison.report();
  };

  it('has small ones held to their own scale', () => {
    expect(compare([300.002, 200, 0.5, 250, 100, 1])).toMatchObject({ passed: true });
    expect(compare([300, 200, 0.5, 250, 100, 1.000009]).passed).toBe(true);
    const apart = compare([300, 200, 0.502, 250, 100, 1]);
    expect(apart.passed).toBe(false);
    expect(apart.ofAllowed).toBeCloseTo(200);
    expect(apart.relativeToScale).toBeLessThan(1e-5);
    // On another input they need not be small.
    expect(compare([300, 200, 0.502, 250, 100, 1], false).passed).toBe(true);
  });
});
