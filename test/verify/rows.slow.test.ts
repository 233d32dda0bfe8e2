/** Random rows of four neighbouring operators, some with several outputs, as the stock runtimes compute them. */
import { expect, it } from 'vitest';
import { findings, rows, STOCK } from './pairs.js';

const ROWS = 1500;
const ON_CPU = STOCK.filter(({ engine, asWritten }) => engine.device === 'cpu' && !asWritten);

it.each(ON_CPU.map((stock) => [stock.name, stock] as const))('%s computes rows of four as they are meant', async (name, stock) => {
  for (const layout of ['nchw', 'nhwc'] as const) {
    const { tried, found } = await findings([stock], rows(layout, ROWS));
    expect(tried.get(name)).toBeGreaterThan(100);
    expect(found.filter(({ why }) => why === undefined)).toEqual([]);
  }
});
