/** Adaptive average pooling over known sizes is exact: every pair of sizes against the definition, through our evaluator. */
import { describe, expect, it } from 'vitest';
import { adaptivePool } from '../../src/architectures/adaptive.js';
import { Net } from '../../src/architectures/net.js';
import { blankStore } from '../../src/architectures/store.js';
import { referenceSession } from '../../src/verify/reference/session.js';

/** PyTorch's definition: the mean over rows floor(i * size / out) to ceil((i + 1) * size / out). */
function expected(data: readonly number[], [h, w]: readonly [number, number], [outH, outW]: readonly [number, number]): number[] {
  const bounds = (i: number, size: number, out: number) => [Math.floor((i * size) / out), Math.ceil(((i + 1) * size) / out)] as const;
  const y: number[] = [];
  for (let i = 0; i < outH; i++) {
    for (let j = 0; j < outW; j++) {
      const [top, bottom] = bounds(i, h, outH);
      const [left, right] = bounds(j, w, outW);
      let sum = 0;
      for (let r = top; r < bottom; r++) for (let c = left; c < right; c++) sum += data[r * w + c]!;
      y.push(sum / ((bottom - top) * (right - left)));
    }
  }
  return y;
}

const sizes = [1, 2, 3, 5, 6, 7, 8, 9, 14, 15];

describe('adaptive average pooling', () => {
  it.each(sizes.flatMap((h) => [2, 7, 8, 14].map((w) => [h, w] as const)))('of %d x %d makes 7 x 7 and 3 x 5', async (h, w) => {
    const data = Array.from({ length: h * w }, (_, i) => Math.sin(i * 1.7) * 3);
    for (const out of [
      [7, 7],
      [3, 5],
    ] as const) {
      const net = new Net(blankStore());
      const pooled = adaptivePool(net, { name: 'x', shape: [1, 1, h, w] }, out[0], out[1]);
      expect(pooled.shape).toEqual([1, 1, ...out]);
      if (net.layers.length === 0) continue;
      const port = (name: string, shape: readonly number[]) => ({ name, value: name, dtype: 'float32', shape, layout: 'nchw' }) as const;
      const map = { name: '', format: '', producer: null, architecture: null, warnings: [], layers: net.layers };
      const session = await referenceSession({ ...map, inputs: [port('x', [1, 1, h, w])], outputs: [port(pooled.name, [1, 1, ...out])] });
      const results = await session.run(new Map([['x', { shape: [1, 1, h, w], data: Float64Array.from(data) }]]));
      await session.close();
      const [actual] = [...results.values()];
      expected(data, [h, w], out).forEach((value, i) => void expect(actual!.data[i]).toBeCloseTo(value, 6));
    }
  });
});
