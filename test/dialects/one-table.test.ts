import { expect, it } from 'vitest';
import { oneTable } from '../../src/dialects/one-table.js';

it('tables of rules become one, and never has one name two of them', () => {
  expect({ ...oneTable({ Relu: 1 }, { Add: 2 }) }).toEqual({ Relu: 1, Add: 2 });
  expect(() => oneTable({ Relu: 1 }, { Add: 2 }, { Relu: 3 })).toThrow('two rules for Relu');
  expect(oneTable({ Relu: 1 }).toString).toBeUndefined();
});
