/** Parts of a list in another order are called so, however many there are. */
import { describe, expect, it, vi } from 'vitest';
import { makeLayer } from '../../src/model/ops/index.js';
import { Allowance } from '../../src/verify/allowance.js';
import { evaluateSegment } from '../../src/verify/causes/segment.js';
import { tryCauses } from '../../src/verify/causes/trial.js';
import { mapOf, spread } from './small-files.js';

/** The layer's values, as if the file had its parts in another order. */
async function found(count: number, order: (places: number[]) => number[]) {
  const names = Array.from({ length: count }, (_, i) => `part${i}`);
  const types = new Map(names.map((name) => [name, { dtype: 'float32', shape: [1, 2, 3] } as const]));
  const values = new Map(names.map((name, i) => [name, { dtype: 'float32', shape: [1, 2, 3], data: Float64Array.from(spread(6, -1 - i, 2 * i)) } as const]));
  const joined = (inputs: readonly string[]) => makeLayer({ name: 'joined', op: 'Concat', inputs, outputs: ['y'], attributes: { axis: 1 } });
  const ports = names.map((name) => ({ name, value: name, dtype: 'float32', shape: [1, 2, 3], layout: 'other' }) as const);
  const map = mapOf([joined(names)], ports, [{ ...ports[0]!, name: 'y', value: 'y', shape: [1, 2 * count, 3] }]);
  const segment = { map, layers: map.layers, values, types, others: new Map() };
  const other = order(names.map((_, i) => i)).map((place) => names[place]!);
  const target = await evaluateSegment({ ...segment, layers: [joined(other)] });
  const { explained } = await tryCauses([{ segment, target }], { allowed: 1e-6, allowance: new Allowance(1e9) });
  return explained.map(({ kind }) => kind);
}

describe.each([3, 5, 9, 20])('%i parts', (count) => {
  it.each([
    ['in reverse', (places: number[]) => places.toReversed()],
    ['the first and the last exchanged', (places: number[]) => places.with(0, count - 1).with(count - 1, 0)],
    ['two neighbours exchanged', (places: number[]) => places.with(1, 2).with(2, 1)],
  ])('%s', async (_, order) => {
    expect(await found(count, order)).toContain('concat-order');
  });
});

it('what is found does not depend on how fast the machine is', async () => {
  let now = 0;
  const clock = vi.spyOn(performance, 'now').mockImplementation(() => {
    now += 3_600_000;
    return now;
  });
  try {
    expect(await found(9, (places) => places.toReversed())).toContain('concat-order');
  } finally {
    clock.mockRestore();
  }
});

it('trying ends where no more work is allowed', async () => {
  const values = new Map([['x', { dtype: 'float32', shape: [1, 3], data: Float64Array.of(1, 2, 3) } as const]]);
  const port = { name: 'x', value: 'x', dtype: 'float32', shape: [1, 3], layout: 'other' } as const;
  const map = mapOf([makeLayer({ name: 'relu', op: 'Relu', inputs: ['x'], outputs: ['y'] })], [port], [{ ...port, name: 'y', value: 'y' }]);
  const segment = { map, layers: map.layers, values, types: new Map(), others: new Map() };
  const target = { ...values.get('x')!, data: Float64Array.of(5, 1, 7) };
  const tryWith = (allowance: Allowance) => tryCauses([{ segment, target }], { allowed: 1e-6, allowance });
  const whole = await tryWith(new Allowance(1e9));
  expect(whole.isCut).toBe(false);
  const cut = await tryWith(new Allowance(1e9).part(150_000));
  expect(cut.isCut).toBe(true);
  expect(cut.tried).toBeLessThan(whole.tried);
});
