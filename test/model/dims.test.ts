import { expect, test } from 'vitest';
import { addDims, divideDim, isSumOfSizes, multiplyDims, productOf, quotientOf, subtractDims } from '../../src/model/dims.js';

test('a size that comes back to its source has its name again', () => {
  expect(addDims(subtractDims(addDims('H', 2), 3), 1)).toBe('H');
  expect(subtractDims('H', 'H')).toBe(0);
  expect(quotientOf(multiplyDims('H', 4), 4)).toBe('H');
  expect(divideDim(multiplyDims('batch-size', 2), 2)).toBe('batch-size');
});

test('a derived size never has the name of its source', () => {
  expect(addDims('H', 1)).toBe('(H+1)');
  const half = addDims(divideDim(addDims('H', -1), 2), 1);
  expect(half).not.toBe('H');
  expect(divideDim('H', 2)).toBe('(floor((H)/2))');
  expect(half).toBe(addDims(divideDim(subtractDims('H', 3), 2), 2));
});

test('the same sum has one name, in whatever order it was made', () => {
  expect(productOf(['N', 3, 'H', 'W'])).toBe(productOf(['W', 'H', 'N', 3]));
  expect(addDims(multiplyDims('H', 2), 'W')).toBe(addDims('W', addDims('H', 'H')));
});

test('names that look like arithmetic are names', () => {
  const odd = 'past + 1';
  expect(addDims(odd, 1)).toBe('("past + 1"+1)');
  expect(subtractDims(addDims(odd, 1), 1)).toBe(odd);
  expect(subtractDims(addDims('(H', 1), 1)).toBe('(H');
});

test('a product divides by one of its factors, and by nothing else', () => {
  expect(quotientOf(productOf(['N', 12, 'H']), 'N')).toBe(multiplyDims('H', 12));
  expect(quotientOf(productOf(['N', 12, 'H']), productOf([4, 'H']))).toBe(multiplyDims('N', 3));
  expect(quotientOf(addDims('N', 1), 'N')).toBeNull();
  expect(quotientOf(7, 2)).toBeNull();
});

test('a long name is a digest of what it stands for', () => {
  let [a, b]: (number | string)[] = ['H', 'H'];
  for (let i = 2; i < 120; i++) [a, b] = [addDims(divideDim(a!, i), 1), addDims(1, divideDim(b!, i))];
  expect(a).toBe(b);
  expect(String(a).length).toBeLessThanOrEqual(500);
});

test('only a sum of sizes is never below zero', () => {
  expect(isSumOfSizes(addDims('H', 1))).toBe(true);
  expect(isSumOfSizes(subtractDims('H', 1))).toBe(false);
});
