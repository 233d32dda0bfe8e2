import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { castTensor } from '../../src/model/cast.js';
import type { DType } from '../../src/model/dtype.js';
import { affineFor, channelScales, quantiseAffine, quantiseChannels, tensorRange } from '../../src/model/quantise.js';
import { firstDifference, useAreSame } from '../../src/model/side-by-side.js';
import { constantTensor, float32Tensor, permute, type Tensor, tensorBytes } from '../../src/model/tensor.js';
import { areSame } from '../../src/node/native.js';
import { compareWeight } from '../../src/verify/weight-pair.js';

const ORIGIN = { file: 'made here' };
const SHAPE = [6, 4, 3];
const tensor = (values: ArrayLike<number>, shape: readonly number[] = SHAPE) => float32Tensor('w', shape, values, ORIGIN);
const source = tensor(Float32Array.from({ length: 72 }, (_, i) => Math.sin(1 + i * 1.7) * (1 + (i % 5))));

/** The same tensor with some of its bytes changed. */
async function edited(from: Tensor, edit: (bytes: Uint8Array) => void): Promise<Tensor> {
  const bytes = await tensorBytes(from);
  edit(bytes);
  return constantTensor(from.name, from.dtype as DType, from.shape, bytes, ORIGIN);
}

async function channels(axis: number) {
  const scales = await channelScales(source, axis);
  return { tensor: quantiseChannels(source, axis, scales), quantisation: { kind: 'channels' as const, axis, scales } };
}

async function affine(dtype: 'uint8' | 'uint16') {
  const { scale, min } = affineFor(await tensorRange(source), dtype);
  return { tensor: quantiseAffine(source, { dtype, scale, min }), quantisation: { kind: 'affine' as const, scale, min } };
}

describe('a weight that was copied or rounded', () => {
  it.each(['float32', 'float16', 'bfloat16'] as const)('is equal as %s, with its loss measured', async (dtype) => {
    const { problem, facts } = await compareWeight(source, { tensor: castTensor(source, dtype) });
    expect(problem).toBeNull();
    expect(facts.method).toBe(dtype === 'float32' ? 'as is' : 'rounded');
    expect(facts.relativeError! > 0).toBe(dtype !== 'float32');
    expect(facts.relativeError!).toBeLessThan(1e-2);
  });

  it('is not equal with any one bit changed, at any place', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(72 * 4 - 1), fc.nat(7), async (byte, bit) => {
        const changed = await edited(source, (bytes) => {
          bytes[byte]! ^= 1 << bit;
        });
        const { problem, facts } = await compareWeight(source, { tensor: changed });
        expect(problem).toContain(`byte ${byte}`);
        expect(facts.equal).toBe(false);
      }),
      { numRuns: 60 },
    );
  });

  it('is not equal with another shape, or as integers without a scale', async () => {
    expect((await compareWeight(source, { tensor: tensor(await floats(source), [4, 6, 3]) })).problem).toContain('shape');
    const bytes = constantTensor('w', 'int8', SHAPE, new Uint8Array(72), ORIGIN);
    expect((await compareWeight(source, { tensor: bytes })).problem).toContain('without a scale');
  });
});

describe('a quantised weight', () => {
  it.each([0, 1, 2])('is what it should be with scales along axis %s', async (axis) => {
    const { problem, facts } = await compareWeight(source, await channels(axis));
    expect(problem).toBeNull();
    expect(facts).toMatchObject({ method: 'int8 per channel', equal: true, byteLengthAfter: 72 + 4 * SHAPE[axis]! });
  });

  it.each(['uint8', 'uint16'] as const)('is what it should be as %s', async (dtype) => {
    const { problem, facts } = await compareWeight(source, await affine(dtype));
    expect(problem).toBeNull();
    expect(facts.method).toBe(`${dtype} per tensor`);
  });

  it('is what it should be where a matrix lies transposed in the file', async () => {
    const matrix = tensor(await floats(source), [12, 6]);
    const scales = await channelScales(matrix, 0);
    const written = quantiseChannels(matrix, 0, scales);
    const stored = constantTensor('w', 'int8', [6, 12], await tensorBytes(permute(written, [1, 0])), ORIGIN);
    const { problem } = await compareWeight(matrix, { tensor: permute(stored, [1, 0]), quantisation: { kind: 'channels', axis: 0, scales } });
    expect(problem).toBeNull();
  });

  it('is wrong with one scale off, in whichever channel', async () => {
    for (const factor of [0.9, 1.1, 2, -1, 0, Number.NaN]) {
      for (let channel = 0; channel < SHAPE[0]!; channel++) {
        const { tensor: stored, quantisation } = await channels(0);
        const scales = quantisation.scales.slice();
        scales[channel]! *= factor;
        expect((await compareWeight(source, { tensor: stored, quantisation: { ...quantisation, scales } })).problem).not.toBeNull();
      }
    }
  });

  it('is wrong with the scales along another axis, too few scales, or a zero point', async () => {
    const square = tensor((await floats(source)).slice(0, 16), [4, 4]);
    const scales = await channelScales(square, 0);
    const stored = quantiseChannels(square, 0, scales);
    expect((await compareWeight(square, { tensor: stored, quantisation: { kind: 'channels', axis: 1, scales } })).problem).not.toBeNull();
    expect((await compareWeight(square, { tensor: stored, quantisation: { kind: 'channels', axis: 0, scales: scales.slice(1) } })).problem).not.toBeNull();
    const shifted = { kind: 'channels' as const, axis: 0, scales, zeroPoints: [0, 0, 1, 0] };
    expect((await compareWeight(square, { tensor: stored, quantisation: shifted })).problem).not.toBeNull();
  });

  it('is wrong with one step changed by one, wherever it is', async () => {
    const right = await affine('uint8');
    await fc.assert(
      fc.asyncProperty(fc.nat(71), async (place) => {
        const stored = await edited(right.tensor, (bytes) => {
          bytes[place]! += bytes[place]! < 255 ? 1 : -1;
        });
        // One step off is at least half a step off, unless the value lay right between the two.
        expect((await compareWeight(source, { ...right, tensor: stored })).problem).not.toBeNull();
      }),
      { numRuns: 40 },
    );
  });

  it('is wrong with a minimum that is off', async () => {
    const { tensor: stored, quantisation } = await affine('uint8');
    expect(
      (await compareWeight(source, { tensor: stored, quantisation: { ...quantisation, min: quantisation.min + quantisation.scale } })).problem,
    ).not.toBeNull();
  });

  it('may have wider steps than its range needs, which are told, and are no excuse', async () => {
    const wide = new Float32Array(6).fill(0.5);
    const stored = quantiseChannels(source, 0, wide);
    const quantisation = { kind: 'channels' as const, axis: 0, scales: wide };
    const { problem, facts } = await compareWeight(source, { tensor: stored, quantisation });
    expect([problem, facts.method]).toEqual([null, expect.stringMatching(/^int8 per channel, steps of up to [\d.]+ deviations$/)]);
    const off = await edited(stored, (bytes) => {
      bytes[40]! += 1;
    });
    expect((await compareWeight(source, { tensor: off, quantisation })).problem).toContain('element 40');
  });

  it('is not excused by a scale so large that half of it covers everything', async () => {
    const stored = constantTensor('w', 'int8', SHAPE, new Uint8Array(72), ORIGIN);
    const quantisation = { kind: 'channels' as const, axis: 0, scales: new Float32Array(6).fill(1000) };
    expect((await compareWeight(source, { tensor: stored, quantisation })).problem).toContain('leaves next to nothing');
    const constant = tensor(new Float32Array(72).fill(0.3));
    const zeros = constantTensor('w', 'uint8', SHAPE, new Uint8Array(72), ORIGIN);
    expect((await compareWeight(constant, { tensor: zeros, quantisation: { kind: 'affine', scale: 1, min: 0 } })).problem).not.toBeNull();
    expect((await compareWeight(constant, { tensor: zeros, quantisation: { kind: 'affine', scale: 1, min: Math.fround(0.3) } })).problem).toBeNull();
  });
});

it.each([
  ['by itself', null],
  ['with Node', areSame],
])('firstDifference finds the first byte that differs, on and off word borders, %s', (_, platform) => {
  useAreSame(platform);
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 50 }), fc.nat(3), fc.nat(3), fc.nat(), (bytes, left, right, place) => {
      const at = (offset: number, content: Uint8Array) => {
        const room = new Uint8Array(content.length + offset);
        room.set(content, offset);
        return room.subarray(offset);
      };
      expect(firstDifference(at(left, bytes), at(right, bytes))).toBe(-1);
      const changed = bytes.slice();
      changed[place % bytes.length]! ^= 0x80;
      expect(firstDifference(at(left, bytes), at(right, changed))).toBe(place % bytes.length);
      expect(firstDifference(at(left, bytes), at(right, bytes.subarray(1)))).toBeGreaterThanOrEqual(0);
    }),
  );
});

async function floats(from: Tensor): Promise<Float32Array> {
  return new Float32Array((await tensorBytes(from)).slice().buffer);
}
