import { describe, expect, it } from 'vitest';
import { engines } from '../../src/verify/engines/index.js';
import { narrowestOf, tolerances } from '../../src/verify/tolerance.js';

describe('tolerances', () => {
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
    expect(tolerances(given).outputs).toEqual({ atol: 0.5, rtol: 0.25, why: 'as given' });
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
