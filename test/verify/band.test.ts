/** Who measures what rounding does to a net: our evaluator where that is a matter of seconds, else a runtime that is nudged. */
import { expect, it } from 'vitest';
import type { LayerMap } from '../../src/model/layer-map.js';
import { makeLayer } from '../../src/model/ops/index.js';
import { measureBand } from '../../src/verify/band.js';
import type { NdArray } from '../../src/verify/engine.js';
import { HALF_UNIT } from '../../src/verify/rounding.js';
import { emptyMap } from '../writers/onnx-cases.js';

/** Activations one behind the other, which multiply nothing. */
function chain(layers: number, side: number): LayerMap {
  const port = (name: string) => ({ name, value: name, dtype: 'float32' as const, shape: [1, 1, side, side], layout: 'other' as const });
  const names = Array.from({ length: layers }, (_, i) => `y${i}`);
  return {
    ...emptyMap,
    inputs: [port('x')],
    outputs: [port(names.at(-1)!)],
    layers: names.map((name, i) => makeLayer({ name, op: 'Tanh', inputs: [i === 0 ? 'x' : names[i - 1]!], outputs: [name] })),
  };
}

async function measured(map: LayerMap, isDoubted?: true) {
  let runs = 0;
  const side = {
    run: async (arrays: readonly NdArray[]) => {
      runs++;
      return arrays;
    },
  };
  const [, , height = 1, width = 1] = map.inputs[0]!.shape as number[];
  const feeds = [{ shape: [1, 1, height, width], data: new Float32Array(height * width).fill(0.5) }];
  const asked = { map, isRead: true, layers: false, size: HALF_UNIT.float32, table: 1e-5, side, ...(isDoubted && { isDoubted }) };
  return { band: await measureBand(asked, feeds), runs };
}

it('a small net on which two sides are apart is run by our evaluator, with as many disturbances as there is time for', async () => {
  const { band, runs } = await measured(chain(3, 8), true);
  expect(band?.how).toBe('evaluator');
  expect(runs).toBe(0);
});

it('a net of few products and very many values is nudged', async () => {
  const { band, runs } = await measured(chain(200, 512), true);
  expect(band?.how).toBe('runtime');
  expect(runs).toBeGreaterThan(1);
});
